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

bool ctl_runtime_path(char *buf, size_t size)
{
    char self[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (n <= 0)
        return false;
    self[n] = '\0';
    strrchr(self, '/')[1] = '\0'; /* the link is absolute */
    for (unsigned i = 0; i < sizeof(places) / sizeof(*places); i++)
        if ((size_t)snprintf(buf, size, "%s%s" RUNTIME, self, places[i]) < size &&
            access(buf, X_OK) == 0)
            return true;
    return false;
}

/* Become the runtime with @option and our remaining words. Returns only when it cannot. */
static int run_runtime(struct ctl *ctl, char *option)
{
    char **argv = calloc((size_t)ctl->options.args_nr + 2, sizeof(*argv));
    char path[PATH_MAX + 64] = RUNTIME;

    if (!argv)
        return ctl_no_memory(ctl);
    argv[0] = path;
    argv[1] = option;
    for (int i = 1; i < ctl->options.args_nr; i++)
        argv[i + 1] = ctl->options.args[i];
    if (ctl_runtime_path(path, sizeof(path)))
        execv(path, argv);
    execvp(RUNTIME, argv);
    fprintf(ctl->err,
        "aisysctl: cannot run " RUNTIME ": %s; it was looked for beside aisysctl and in PATH\n",
        strerror(errno));
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
