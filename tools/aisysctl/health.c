/* aisysctl health: HealthService.Check, a line a check; then the actors that are not well. */
#include <string.h>

#include "ctl.h"

enum column { NAME, STATUS, MESSAGE, COLUMNS };

static bool is_well(const char *status)
{
    return status && (strcmp(status, "HEALTHY") == 0 || strcmp(status, "DEGRADED") == 0);
}

static size_t count(const struct aisys_node *list)
{
    return list && list->kind == AISYS_NODE_LIST ? list->items.count : 0;
}

/* One line for @check, whose reason is at @why. */
static void row_of(const struct aisys_node *check, const char *why, struct ctl_cell *row)
{
    const char *status = aisys_node_get_string(check, "status");
    const char *words = aisys_node_get_string(check, why);

    row[NAME].text = aisys_node_get_string(check, "name");
    row[STATUS] = (struct ctl_cell){ status, ctl_status_color(status) };
    row[MESSAGE].text = words ? words : "";
}

static void show_head(struct ctl *ctl, const struct aisys_node *reply, const char *status)
{
    const char *node = aisys_node_get_string(reply, "node");
    const char *role = aisys_node_get_string(reply, "role");
    const char *version = aisys_node_get_string(reply, "version");
    double ms;

    ctl_show_table(ctl->out,
        &(struct ctl_table){ 1, "l",
            &(struct ctl_cell){
                aisys_arena_printf(&ctl->arena, "%s%s%s%s%s%s%s", status ? status : "UNKNOWN",
                    node ? "  node " : "", node ? node : "", role ? ", role " : "",
                    role ? role : "", version ? ", version " : "", version ? version : ""),
                ctl_status_color(status) },
            NULL, 1 },
        ctl->color);
    if (ctl_node_number(reply, "uptime_ms", &ms)) {
        char buf[CTL_SHOW_QUANTITY_BYTES];

        fprintf(ctl->out, "up %s\n", ctl_show_duration(ms, buf));
    }
}

int ctl_health_show(struct ctl *ctl, const struct aisys_node *reply)
{
    const char *status = aisys_node_get_string(reply, "status");
    const struct aisys_node *checks = aisys_node_get(reply, "checks");
    const struct aisys_node *actors = aisys_node_get(reply, "actors");
    const size_t room = count(checks) + count(actors) + 1;
    struct ctl_cell *cells = aisys_arena_calloc(&ctl->arena, room * COLUMNS, sizeof(*cells));
    struct ctl_table table = { COLUMNS, "lll", cells, NULL, 1 };

    if (!cells)
        return ctl_no_memory(ctl);
    show_head(ctl, reply, status);
    cells[NAME] = (struct ctl_cell){ "CHECK", CTL_BOLD };
    cells[STATUS] = (struct ctl_cell){ "STATUS", CTL_BOLD };
    cells[MESSAGE] = (struct ctl_cell){ "FOUND", CTL_BOLD };
    for (const struct aisys_node *at = count(checks) ? checks->items.first : NULL; at;
         at = at->next)
        row_of(at, "message", cells + COLUMNS * table.rows++);
    for (const struct aisys_node *at = count(actors) ? actors->items.first : NULL; at;
         at = at->next) {
        const char *its = aisys_node_get_string(at, "status");

        if (!its || strcmp(its, "HEALTHY") != 0)
            row_of(at, "why", cells + COLUMNS * table.rows++);
    }
    if (table.rows > 1) {
        fputc('\n', ctl->out);
        ctl_show_table(ctl->out, &table, ctl->color);
    }
    return is_well(status) ? CTL_OK : CTL_FAILED;
}

int ctl_health(struct ctl *ctl)
{
    const struct aisys_node *reply;
    const int r = ctl_ask(ctl, "health_service", "Check", NULL, &reply);

    if (r != 0)
        return r;
    if (!ctl->options.json)
        return ctl_health_show(ctl, reply);
    ctl_show_json(ctl->out, reply);
    return is_well(aisys_node_get_string(reply, "status")) ? CTL_OK : CTL_FAILED;
}
