/* aisysctl config check|print|schema.
 *
 * check and schema are those of aisys-runtime itself, so that both programs always agree: the agents' own
 * configuration is described by their modules, and the runtime is who opens them. print asks the node. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"

#define RUNTIME "aisys-runtime"

/* Where the runtime may be, seen from the folder of this program: installed, and in a build folder. */
static const char *const places[] = { "", "../../runtime/node/" };

/* Become the runtime with @option and our remaining words. Returns only when it cannot. */
static int run_runtime(struct ctl *ctl, char *option)
{
    char **argv = calloc((size_t)ctl->options.args_nr + 2, sizeof(*argv));
    char self[PATH_MAX], path[PATH_MAX + 64];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (!argv)
        return ctl_no_memory(ctl);
    argv[0] = (char[]){ RUNTIME };
    argv[1] = option;
    for (int i = 1; i < ctl->options.args_nr; i++)
        argv[i + 1] = ctl->options.args[i];
    self[n > 0 ? n : 0] = '\0';
    if (n > 0 && strrchr(self, '/'))
        strrchr(self, '/')[1] = '\0';
    for (unsigned i = 0; n > 0 && i < sizeof(places) / sizeof(*places); i++) {
        snprintf(path, sizeof(path), "%s%s" RUNTIME, self, places[i]);
        execv(path, argv);
    }
    execvp(RUNTIME, argv);
    fprintf(ctl->err, "aisysctl: cannot run " RUNTIME ": %s; it was looked for beside aisysctl (",
        strerror(errno));
    ctl_show_line(ctl->err, self, strlen(self));
    fprintf(ctl->err, ") and in PATH\n");
    free(argv);
    return CTL_INTERNAL;
}

static int config_print(struct ctl *ctl)
{
    const struct aisys_node *reply, *text;
    const int r = ctl_ask(ctl, "orchestrator", "Config", NULL, &reply);

    if (r != 0)
        return r;
    text = aisys_node_get(reply, "text");
    if (ctl->options.json || !text || text->kind != AISYS_NODE_STRING)
        ctl_show_json(ctl->out, reply);
    else
        ctl_show_lines(ctl->out, text->text, text->text_bytes, 0);
    return CTL_OK;
}

int ctl_config(struct ctl *ctl)
{
    const char *what = ctl->options.args[0];

    if (strcmp(what, "check") == 0)
        return run_runtime(ctl, (char[]){ "--check-config" });
    if (strcmp(what, "schema") == 0)
        return run_runtime(ctl, (char[]){ "--print-schema" });
    if (strcmp(what, "print") == 0 && ctl->options.args_nr == 1)
        return config_print(ctl);
    fprintf(ctl->err,
        "aisysctl: usage: aisysctl config check|schema [OPTION...], or: aisysctl config "
        "print\n");
    return CTL_USAGE;
}
