/* aisysctl completion bash: what to source. The script asks aisysctl for its words: `completion words` for
 * commands and options, `completion actors`, `completion methods ACTOR` for those of the node; a node that
 * is not there has none. */
#include <string.h>

#include "completion_bash.h"
#include "ctl.h"

#define PATIENCE_MS 300 /* somebody waits with a finger on the key */

/* A name that a shell may see: others could not be typed, or do harm. */
static bool is_name(const char *name)
{
    return name && *name &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.@") ==
               strlen(name);
}

static void put_names(struct ctl *ctl, const struct aisys_node *reply, const char *list)
{
    const struct aisys_node *all = reply ? aisys_node_get(reply, list) : NULL;

    if (!all || all->kind != AISYS_NODE_LIST)
        return;
    for (const struct aisys_node *at = all->items.first; at; at = at->next) {
        const char *name = aisys_node_get_string(at, "name");

        if (is_name(name))
            fprintf(ctl->out, "%s\n", name);
    }
}

static int put_answer(
    struct ctl *ctl, const char *method, struct aisys_node *args, const char *list)
{
    const struct aisys_node *reply = NULL, *error;
    FILE *err = ctl->err;
    FILE *nowhere = fopen("/dev/null", "w");

    if (!nowhere)
        return CTL_OK;
    ctl->err = nowhere;
    ctl->options.deadline_ms = PATIENCE_MS;
    ctl_ask_either(ctl, "orchestrator", method, args, &reply, &error);
    ctl->err = err;
    fclose(nowhere);
    put_names(ctl, reply, list);
    return CTL_OK;
}

int ctl_completion(struct ctl *ctl)
{
    const char *what = ctl->options.args[0];
    const int words = ctl->options.args_nr;
    struct aisys_node *args = aisys_node_map(&ctl->arena);

    if (strcmp(what, "bash") == 0 && words == 1) {
        fwrite(ctl_completion_bash, 1, ctl_completion_bash_bytes, ctl->out);
        return CTL_OK;
    }
    if (strcmp(what, "words") == 0 && words == 1) {
        ctl_options_words(ctl->out);
        return CTL_OK;
    }
    if (strcmp(what, "actors") == 0 && words == 1)
        return put_answer(ctl, "List", args, "actors");
    if (strcmp(what, "methods") == 0 && words == 2) {
        aisys_node_set(args, "actor", aisys_node_string(&ctl->arena, ctl->options.args[1]));
        return put_answer(ctl, "Describe", args, "methods");
    }
    fprintf(ctl->err, "aisysctl: usage: aisysctl completion bash\n");
    return CTL_USAGE;
}
