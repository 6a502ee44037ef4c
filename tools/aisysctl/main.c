#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "ctl.h"

#define ARENA_BYTES_MAX ((size_t)512 << 20)

static int run_bench(struct ctl *ctl)
{
    static char path[PATH_MAX];

    if (ctl_runtime_path(path, sizeof(path)))
        bench_runtime = path;
    return bench_main(ctl->options.args, ctl->options.args_nr, ctl->options.json);
}

static int (*const runs[CTL_COMMANDS])(struct ctl *ctl) = {
    [CTL_CALL] = ctl_call,
    [CTL_PS] = ctl_ps,
    [CTL_DESCRIBE] = ctl_describe,
    [CTL_HEALTH] = ctl_health,
    [CTL_CONFIG] = ctl_config,
    [CTL_BENCH] = run_bench,
    [CTL_COMPLETION] = ctl_completion,
};

int main(int argc, char **argv)
{
    struct ctl ctl = { .out = stdout, .err = stderr };
    int r = ctl_options_parse(argc, argv, stderr, &ctl.options);

    if (r != 0)
        return r;
    if (ctl.options.help || ctl.options.version) {
        if (ctl.options.help)
            ctl_options_help(stdout);
        else
            printf("aisysctl " AISYS_VERSION "\n");
    } else {
        ctl.color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
        aisys_arena_init(&ctl.arena, NULL, ARENA_BYTES_MAX);
        r = runs[ctl.options.command](&ctl);
        aisys_arena_deinit(&ctl.arena);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("aisysctl: standard output");
        return r ? r : CTL_INTERNAL;
    }
    return r;
}
