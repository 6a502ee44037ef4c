/* aisys-runtime: from its command line to its exit code. docs/man/aisys-runtime.8 is its manual. */
#include "core/check.h"
#include "config.h"
#include "runtime.h"

#include <aisys/diag.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef AISYS_VERSION
#error "the build says which version this is"
#endif

enum { EXIT_USAGE = 64, EXIT_TAKEN = 69, EXIT_INTERNAL = 70, EXIT_CONFIG = 78 };
enum action { RUN, CHECK_CONFIG, PRINT_CONFIG, PRINT_SCHEMA };

#define SETS_MAX 256

struct command_line {
    const char *role, *env, *config, *only, *config_dir;
    const char *sets[SETS_MAX + 1];
    size_t sets_nr;
    char offset_set[64];
    enum action action;
};

static const char usage[] =
    "usage: aisys-runtime --role ROLE [options]\n"
    "\n"
    "Runs the actors of a role on this machine.\n"
    "\n"
    "  --role ROLE             config/roles/ROLE.yaml; else AI_SYSTEM_MACHINE\n"
    "  --env ENV               dev, staging or prod; else AI_SYSTEM_ENV, else dev\n"
    "  --config PATH           a file or directory of YAML laid over the role\n"
    "  --config-dir DIR        where defaults/ and roles/ are\n"
    "  --set SECTION.KEY=V     one value, over everything; may be repeated\n"
    "  --only NAME[,NAME]      only these actors, with what they depend on\n"
    "  --port-offset N         added to every port\n"
    "  --check-config          tell every fault of the configuration, and exit\n"
    "  --print-config          the configuration with the origin of every value, and exit\n"
    "  --print-schema          JSON Schema of the configuration, and exit\n"
    "  --version               the version, and exit\n"
    "  --help                  this, and exit\n"
    "\n"
    "Signals: SIGTERM and SIGINT drain and stop, a second one hurries; SIGHUP opens the log anew.\n"
    "Exit: 0; 1 not drained; 64 usage; 69 a door or the data directory is taken; 70 internal;\n"
    "78 configuration. See aisys-runtime(8).\n";

enum {
    OPT_ROLE = 256,
    OPT_ENV,
    OPT_CONFIG,
    OPT_CONFIG_DIR,
    OPT_SET,
    OPT_ONLY,
    OPT_PORT_OFFSET,
    OPT_CHECK,
    OPT_PRINT,
    OPT_SCHEMA,
    OPT_VERSION,
    OPT_HELP
};

static const struct option options[] = {
    { "role", required_argument, NULL, OPT_ROLE },
    { "env", required_argument, NULL, OPT_ENV },
    { "config", required_argument, NULL, OPT_CONFIG },
    { "config-dir", required_argument, NULL, OPT_CONFIG_DIR },
    { "set", required_argument, NULL, OPT_SET },
    { "only", required_argument, NULL, OPT_ONLY },
    { "port-offset", required_argument, NULL, OPT_PORT_OFFSET },
    { "check-config", no_argument, NULL, OPT_CHECK },
    { "print-config", no_argument, NULL, OPT_PRINT },
    { "print-schema", no_argument, NULL, OPT_SCHEMA },
    { "version", no_argument, NULL, OPT_VERSION },
    { "help", no_argument, NULL, OPT_HELP },
    { 0 },
};

static int add_set(struct command_line *line, const char *set)
{
    if (line->sets_nr == SETS_MAX) {
        fprintf(stderr, "aisys-runtime: more than %d times --set\n", SETS_MAX);
        return EXIT_USAGE;
    }
    line->sets[line->sets_nr++] = set;
    return 0;
}

/* One option: 0 to go on, an exit code, or -1 to exit well. */
static int take_option(struct command_line *line, int option)
{
    switch (option) {
    case OPT_ROLE:
        line->role = optarg;
        return 0;
    case OPT_ENV:
        line->env = optarg;
        return 0;
    case OPT_CONFIG:
        line->config = optarg;
        return 0;
    case OPT_CONFIG_DIR:
        line->config_dir = optarg;
        return 0;
    case OPT_ONLY:
        line->only = optarg;
        return 0;
    case OPT_SET:
        return add_set(line, optarg);
    case OPT_PORT_OFFSET:
        snprintf(line->offset_set, sizeof(line->offset_set), "network.port_offset=%.32s", optarg);
        return add_set(line, line->offset_set);
    case OPT_CHECK:
        line->action = CHECK_CONFIG;
        return 0;
    case OPT_PRINT:
        line->action = PRINT_CONFIG;
        return 0;
    case OPT_SCHEMA:
        line->action = PRINT_SCHEMA;
        return 0;
    case OPT_VERSION:
        printf("aisys-runtime %s\n", AISYS_VERSION);
        return -1;
    case OPT_HELP:
        fputs(usage, stdout);
        return -1;
    default:
        fputs("Try 'aisys-runtime --help'.\n", stderr);
        return EXIT_USAGE;
    }
}

static int take_command_line(struct command_line *line, int argc, char **argv)
{
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        const int r = take_option(line, option);

        if (r)
            return r;
    }
    if (optind < argc) {
        fprintf(stderr, "aisys-runtime: '%s' is no option\nTry 'aisys-runtime --help'.\n",
            argv[optind]);
        return EXIT_USAGE;
    }
    return 0;
}

/* ---- Where the configuration is ---------------------------------------------------------------- */

static bool is_config_dir(const char *path)
{
    char defaults[PATH_MAX];

    return snprintf(defaults, sizeof(defaults), "%s/defaults/base.yaml", path) <
               (int)sizeof(defaults) &&
           access(defaults, R_OK) == 0;
}

/* @path without its detours, and from here where it is below: it stands before every finding. */
static const char *short_path(char *path, size_t size)
{
    char real[PATH_MAX], here[PATH_MAX];
    const char *cut = real;

    if (!realpath(path, real))
        return path;
    if (getcwd(here, sizeof(here)) && strncmp(real, here, strlen(here)) == 0 &&
        real[strlen(here)] == '/')
        cut = real + strlen(here) + 1;
    if (strlen(cut) < size)
        strcpy(path, cut);
    return path;
}

/* config/ of the checkout that this was built in, or what was installed. */
static const char *find_config_dir(char *buf, size_t size)
{
    static const char *const places[] = { "../../../config", "../config", "../share/aisys/config" };
    char self[PATH_MAX / 2];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    self[n > 0 ? n : 0] = '\0';
    slash = strrchr(self, '/');
    for (size_t i = 0; slash && i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(buf, size, "%.*s/%s", (int)(slash - self), self, places[i]);
        if (is_config_dir(buf))
            return short_path(buf, size);
    }
    return "/etc/ai-system/config";
}

/* In dev, state belongs to the checkout: var/<role> beside config/. */
static const char *dev_data_dir(const char *config_dir, const char *role, char *buf, size_t size)
{
    char real[PATH_MAX];

    if (!role || !realpath(config_dir, real) || strlen(real) < strlen("/config"))
        return NULL;
    snprintf(buf, size, "%.*s/var/%s", (int)(strlen(real) - strlen("/config")), real, role);
    return buf;
}

static bool is_dev(const struct command_line *line)
{
    const char *env = line->env ? line->env : getenv("AI_SYSTEM_ENV");

    if (!env || !env[0])
        env = getenv("ENVIRONMENT");
    return !env || !env[0] || strcmp(env, "dev") == 0;
}

/* ---- What to do with it -------------------------------------------------------------------------- */

static void print_line(void *ctx, const char *text)
{
    fprintf(ctx, "%s\n", text);
}

static int put_text(void *ctx, const char *text, size_t bytes)
{
    return fwrite(text, 1, bytes, ctx) == bytes ? 0 : -EIO;
}

static int exit_code_of(int r)
{
    switch (r) {
    case -EADDRINUSE:
    case -EWOULDBLOCK:
        return EXIT_TAKEN;
    case -EINVAL: /* what the configuration names is not there, may not be used, or is no such thing */
    case -ENOENT:
    case -ENOTDIR:
    case -ENAMETOOLONG:
    case -EACCES:
    case -EPERM:
    case -EROFS:
    case -EADDRNOTAVAIL:
    case -ENOEXEC:
        return EXIT_CONFIG;
    default:
        return EXIT_INTERNAL;
    }
}

static int tell(const struct aisys_config *config, struct aisys_diag *diag, int r, const char *what)
{
    if (config)
        aisys_config_locate(config, diag);
    aisys_diag_print(diag, print_line, stderr);
    if (r < 0 && !aisys_diag_errors(diag))
        fprintf(stderr, "aisys-runtime: %s: %s\n", what, strerror(-r));
    return r < 0 ? exit_code_of(r) : 0;
}

static int run_node(struct aisys_config *config, struct aisys_diag *diag)
{
    struct aisys_runtime *runtime;
    int r = aisys_runtime_open(config, diag, &runtime);

    if (r < 0)
        return tell(config, diag, r, "cannot start");
    aisys_config_locate(config, diag);
    aisys_diag_print(diag, print_line, stderr); /* warnings */
    r = aisys_runtime_run(runtime);
    aisys_runtime_close(runtime);
    return r;
}

static int check_config(struct aisys_config *config, struct aisys_diag *diag)
{
    const int r = aisys_runtime_check(config, diag, NULL, NULL);

    if (r == 0)
        printf("configuration of role %s (%s): no faults\n", config->role, config->env);
    return tell(config, diag, r, "cannot check");
}

static int look_print_config(
    void *ctx, struct aisys_config *config, aisys_config_class_fn class_of, void *class_ctx)
{
    (void)class_of;
    (void)class_ctx;
    return aisys_config_print(config, put_text, ctx);
}

static int look_print_schema(
    void *ctx, struct aisys_config *config, aisys_config_class_fn class_of, void *class_ctx)
{
    return aisys_config_print_schema(config, class_of, class_ctx, config->arena, put_text, ctx);
}

static int with_config(
    const struct command_line *line, struct aisys_arena *arena, struct aisys_diag *diag)
{
    char dir_buf[PATH_MAX], data_buf[PATH_MAX + 128];
    const char *dir =
        line->config_dir ? line->config_dir : find_config_dir(dir_buf, sizeof(dir_buf));
    const char *role = line->role ? line->role : getenv("AI_SYSTEM_MACHINE");
    const struct aisys_config_sources sources = {
        .directory = dir,
        .role = line->role,
        .env = line->env,
        .operator_path = line->config,
        .environ = (const char *const *)environ,
        .sets = line->sets,
        .only = line->only,
        .data_dir = is_dev(line) ? dev_data_dir(dir, role, data_buf, sizeof(data_buf)) : NULL,
    };
    struct aisys_config *config = NULL;
    const int r = aisys_config_load(&sources, arena, diag, &config);

    if (r == AISYS_CONFIG_NO_ROLE) {
        fputs("aisys-runtime: which role? Give --role ROLE or set AI_SYSTEM_MACHINE.\n", stderr);
        return EXIT_USAGE;
    }
    if (r < 0) {
        fprintf(stderr, "aisys-runtime: configuration: %s\n", strerror(-r));
        return EXIT_INTERNAL;
    }
    if (r) { /* faults: all of them, those in the agents' own configuration too */
        if (line->action == CHECK_CONFIG)
            aisys_runtime_check(config, diag, NULL, NULL);
        tell(config, diag, 0, "");
        return EXIT_CONFIG;
    }
    switch (line->action) {
    case CHECK_CONFIG:
        return check_config(config, diag);
    case PRINT_CONFIG:
        return tell(config, diag, aisys_runtime_check(config, diag, look_print_config, stdout),
            "cannot print");
    case PRINT_SCHEMA:
        return tell(config, diag, aisys_runtime_check(config, diag, look_print_schema, stdout),
            "cannot print");
    default:
        return run_node(config, diag);
    }
}

int main(int argc, char **argv)
{
    static struct command_line line;
    static struct aisys_diag diag;
    struct aisys_arena arena;
    int r = take_command_line(&line, argc, argv);

    if (r)
        return r > 0 ? r : 0;
    aisys_diag_init(&diag);
    aisys_arena_init(&arena, NULL, AISYS_CONFIG_BYTES_MAX);
    r = with_config(&line, &arena, &diag);
    aisys_arena_deinit(&arena);
    return r;
}
