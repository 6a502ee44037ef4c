/* Names and aliases of actors: a hash table with linear probing. */
#include "internal.h"

#include <errno.h>

#define NAMES_SIZE_MIN 64u

static uint32_t names_home(const struct aisys_core *core, const char *text)
{
    return aisys_method_id(text) & (core->names_size - 1);
}

static struct name *names_find(const struct aisys_core *core, const char *text)
{
    if (!core->names_size)
        return NULL;
    for (uint32_t i = names_home(core, text); core->names[i].text;
         i = (i + 1) & (core->names_size - 1))
        if (strcmp(core->names[i].text, text) == 0)
            return &core->names[i];
    return NULL;
}

static void names_put(struct aisys_core *core, struct name name)
{
    uint32_t i = names_home(core, name.text);

    while (core->names[i].text)
        i = (i + 1) & (core->names_size - 1);
    core->names[i] = name;
}

static int names_grow(struct aisys_core *core)
{
    struct name *old = core->names;
    const uint32_t old_size = core->names_size;
    const uint32_t size = old_size ? old_size * 2 : NAMES_SIZE_MIN;
    struct name *names = core_calloc(core, size * sizeof(*names));

    if (!names)
        return -ENOMEM;
    core->names = names;
    core->names_size = size;
    for (uint32_t i = 0; i < old_size; i++)
        if (old[i].text)
            names_put(core, old[i]);
    core_release(core, old);
    return 0;
}

int aisys_names_add(struct aisys_core *core, const char *text, uint32_t slot)
{
    if (names_find(core, text))
        return -EEXIST;
    if (core->names_used * 2 >= core->names_size && names_grow(core) < 0)
        return -ENOMEM;
    names_put(core, (struct name){ text, slot });
    core->names_used++;
    return 0;
}

void aisys_names_remove(struct aisys_core *core, const char *text)
{
    struct name *found = names_find(core, text);
    uint32_t i;

    if (!found)
        return;
    *found = (struct name){ 0 };
    core->names_used--;
    /* Those that had to go past it are put again. */
    i = ((uint32_t)(found - core->names) + 1) & (core->names_size - 1);
    while (core->names[i].text) {
        const struct name moved = core->names[i];

        core->names[i] = (struct name){ 0 };
        names_put(core, moved);
        i = (i + 1) & (core->names_size - 1);
    }
}

struct aisys_id aisys_core_lookup(const struct aisys_core *core, const char *name)
{
    const struct name *found = names_find(core, name);

    if (!found)
        return (struct aisys_id){ 0 };
    return actor_id(table_at(&core->actors, found->slot));
}

struct aisys_id aisys_lookup(const struct aisys_actor *self, const char *name)
{
    return aisys_core_lookup(self->core, name);
}
