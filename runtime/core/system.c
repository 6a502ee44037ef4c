/* What aisys/system.h offers, over the core. */
#include "internal.h"

#include "suggest.h"

static const struct aisys_node_facts no_facts = { 0 };

void aisys_core_set_facts(struct aisys_core *core, const struct aisys_node_facts *facts)
{
    core->facts = facts;
}

const struct aisys_node_facts *aisys_core_facts(const struct aisys_core *core)
{
    return core->facts ? core->facts : &no_facts;
}

const struct aisys_node_facts *aisys_system_facts(const struct aisys_actor *self)
{
    return aisys_core_facts(self->core);
}

void aisys_system_each(const struct aisys_actor *self,
    void (*each)(void *ctx, const struct aisys_actor_info *info), void *ctx)
{
    aisys_core_each(self->core, each, ctx);
}

bool aisys_system_find(
    const struct aisys_actor *self, const char *name, struct aisys_actor_info *ret_info)
{
    return aisys_core_info(self->core, aisys_core_lookup(self->core, name), ret_info);
}

void aisys_system_health(
    const struct aisys_actor *self, struct aisys_id id, struct aisys_health *ret_health)
{
    aisys_core_health(self->core, id, ret_health);
}

const char *aisys_system_suggest(const struct aisys_actor *self, const char *name)
{
    struct aisys_suggest suggest;

    aisys_suggest_init(&suggest, name);
    for (const struct aisys_actor *actor = self->core->first; actor;
         actor = actor->supervised->next) {
        if (actor->supervised->hidden)
            continue;
        aisys_suggest_offer(&suggest, actor_name(actor));
        if (actor->supervised->alias)
            aisys_suggest_offer(&suggest, actor->supervised->alias);
    }
    return suggest.best;
}

int aisys_system_restart(struct aisys_actor *self, const char *name)
{
    return aisys_core_restart(self->core, name);
}

void aisys_system_stats(const struct aisys_actor *self, struct aisys_core_info *ret_info)
{
    aisys_core_stats(self->core, ret_info);
}

void aisys_system_dead_letters(const struct aisys_actor *self,
    void (*each)(void *ctx, const struct aisys_dead_letter *letter), void *ctx)
{
    aisys_core_dead_letters(self->core, each, ctx);
}
