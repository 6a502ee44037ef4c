/* aisysctl ps: orchestrator.List, a line an actor. */
#include <string.h>

#include "ctl.h"

enum column { NAME, STATE, HEALTH, QUEUE, HANDLED, FAILED, RESTARTS, MEMORY, LOOP, COLUMNS };

static const char *const titles[COLUMNS] = { "ACTOR", "STATE", "HEALTH", "QUEUE", "HANDLED",
    "FAILED", "RESTARTS", "MEMORY", "LOOP" };

enum ctl_color ctl_status_color(const char *status)
{
    static const struct {
        const char *status;
        enum ctl_color color;
    } table[] = { { "HEALTHY", CTL_GREEN }, { "running", CTL_GREEN }, { "DEGRADED", CTL_YELLOW },
        { "STARTING", CTL_YELLOW }, { "starting", CTL_YELLOW }, { "waiting", CTL_YELLOW },
        { "STOPPING", CTL_YELLOW }, { "draining", CTL_YELLOW }, { "stopping", CTL_YELLOW },
        { "UNHEALTHY", CTL_RED }, { "failed", CTL_RED }, { "down", CTL_RED },
        { "stopped", CTL_RED } };

    for (unsigned i = 0; status && i < sizeof(table) / sizeof(*table); i++)
        if (strcmp(table[i].status, status) == 0)
            return table[i].color;
    return CTL_PLAIN;
}

/* The count at @key; what is not said is none. */
static struct ctl_cell count_cell(
    struct ctl *ctl, const struct aisys_node *actor, const char *key, enum ctl_color above_zero)
{
    double n = 0;

    ctl_node_number(actor, key, &n);
    return (struct ctl_cell){ aisys_arena_printf(&ctl->arena, "%.0f", n),
        n > 0 ? above_zero : CTL_PLAIN };
}

static void actor_row(struct ctl *ctl, const struct aisys_node *actor, struct ctl_cell *row)
{
    const char *state = aisys_node_get_string(actor, "state");
    const char *health = aisys_node_get_string(actor, "health");
    char buf[CTL_SHOW_QUANTITY_BYTES];
    double n = 0;

    row[NAME].text = aisys_node_get_string(actor, "name");
    row[STATE] = (struct ctl_cell){ state, ctl_status_color(state) };
    row[HEALTH] = (struct ctl_cell){ health, ctl_status_color(health) };
    row[QUEUE] = count_cell(ctl, actor, "queued", CTL_PLAIN);
    row[HANDLED] = count_cell(ctl, actor, "handled", CTL_PLAIN);
    row[FAILED] = count_cell(ctl, actor, "failed", CTL_RED);
    row[RESTARTS] = count_cell(ctl, actor, "restarts", CTL_YELLOW);
    ctl_node_number(actor, "memory_bytes", &n);
    row[MEMORY].text = aisys_arena_strdup(&ctl->arena, ctl_show_bytes(n, buf));
    n = 0;
    ctl_node_number(actor, "loop_ms", &n);
    row[LOOP].text = aisys_arena_strdup(&ctl->arena, ctl_show_duration(n, buf));
}

void ctl_ps_show(struct ctl *ctl, const struct aisys_node *reply)
{
    const struct aisys_node *actors = aisys_node_get(reply, "actors");
    const size_t n = actors && actors->kind == AISYS_NODE_LIST ? actors->items.count : 0;
    struct ctl_cell *cells = aisys_arena_calloc(&ctl->arena, (n + 1) * COLUMNS, sizeof(*cells));
    const char **notes = aisys_arena_calloc(&ctl->arena, n + 1, sizeof(*notes));
    const struct ctl_table table = { COLUMNS, "lllrrrrrr", cells, notes, (unsigned)n + 1 };
    size_t row = 1;

    if (!cells || !notes)
        return;
    for (unsigned i = 0; i < COLUMNS; i++)
        cells[i] = (struct ctl_cell){ titles[i], CTL_BOLD };
    for (const struct aisys_node *at = n ? actors->items.first : NULL; at; at = at->next, row++) {
        actor_row(ctl, at, cells + row * COLUMNS);
        notes[row] = aisys_node_get_string(at, "why");
        if (notes[row] && !*notes[row])
            notes[row] = NULL;
    }
    ctl_show_table(ctl->out, &table, ctl->color);
}

int ctl_ps(struct ctl *ctl)
{
    struct aisys_node *args = aisys_node_map(&ctl->arena);
    const struct aisys_node *reply;
    int r;

    if (ctl->options.all)
        aisys_node_set(args, "all", aisys_node_bool(&ctl->arena, true));
    r = ctl_ask(ctl, "orchestrator", "List", args, &reply);
    if (r != 0)
        return r;
    if (ctl->options.json)
        ctl_show_json(ctl->out, reply);
    else
        ctl_ps_show(ctl, reply);
    return aisys_arena_failed(&ctl->arena) ? ctl_no_memory(ctl) : CTL_OK;
}
