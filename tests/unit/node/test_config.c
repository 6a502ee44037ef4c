/* The layers of the configuration, their checks, and what is printed. Files are a table here; the
 * shipped ones are read too. */
#include "unit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "everything.h"
#include "node/config.h"
#include "schema/doc.h"

struct file {
    const char *path, *text;
};

static struct aisys_arena arena;
static struct aisys_diag diag;
static struct file files[16];

static int setup(void **state)
{
    (void)state;
    aisys_arena_init(&arena, NULL, AISYS_CONFIG_BYTES_MAX);
    aisys_diag_init(&diag);
    memset(files, 0, sizeof(files));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    aisys_arena_deinit(&arena);
    return 0;
}

static void add_file(const char *path, const char *text)
{
    for (size_t i = 0; i < ROWS(files); i++) {
        if (files[i].path != NULL && strcmp(files[i].path, path) != 0)
            continue;
        files[i] = (struct file){ path, text };
        return;
    }
    fail();
}

static int read_file(
    void *ctx, const char *path, struct aisys_arena *to, char **ret_text, size_t *ret_bytes)
{
    (void)ctx;
    for (size_t i = 0; i < ROWS(files); i++) {
        if (files[i].path == NULL || strcmp(files[i].path, path) != 0)
            continue;
        *ret_text = aisys_arena_strdup(to, files[i].text);
        *ret_bytes = strlen(files[i].text);
        return *ret_text != NULL ? 0 : -ENOMEM;
    }
    return -ENOENT;
}

static struct aisys_config_sources sources(void)
{
    return (struct aisys_config_sources){ .directory = "c", .role = "pc2", .read = read_file };
}

/* A base, a dev and a pc2 that say little; @role is what pc2.yaml holds. */
static void small_files(const char *role)
{
    add_file("c/defaults/base.yaml", "network:\n  port: 8080\n");
    add_file("c/defaults/dev.yaml", "");
    add_file("c/defaults/prod.yaml", "logging: {journal: true}\n");
    add_file("c/roles/pc2.yaml", role);
    add_file("c/roles/main_pc.yaml", "agents: {}\n");
}

static struct aisys_config *loaded(const struct aisys_config_sources *s)
{
    struct aisys_config *config = NULL;
    const int r = aisys_config_load(s, &arena, &diag, &config);

    if (r != 0)
        fail_msg("%d: %s: %s", r, diag.entries[0].path, diag.entries[0].problem);
    return config;
}

static void expect_lines(const char *const *lines)
{
    unsigned i = 0;

    for (; lines[i] != NULL; i++) {
        char line[2048];

        assert_true(i < diag.kept);
        aisys_diag_line(&diag, i, line, sizeof(line));
        if (strlen(line) > strlen(lines[i]) && lines[i][strlen(lines[i]) - 1] == ' ')
            line[strlen(lines[i])] = '\0'; /* a row that ends in a blank is a beginning */
        assert_string_equal(line, lines[i]);
    }
    if (diag.kept > i)
        fail_msg("and %s: %s", diag.entries[i].path, diag.entries[i].problem);
}

/* Load what must be refused, with exactly these findings. */
static void refused(const struct aisys_config_sources *s, const char *const *lines)
{
    struct aisys_config *config = NULL;

    aisys_diag_init(&diag);
    assert_int_equal(aisys_config_load(s, &arena, &diag, &config), AISYS_CONFIG_INVALID);
    assert_non_null(config); /* for finding more */
    expect_lines(lines);
}

struct text {
    char bytes[65536];
    size_t n;
};

static int text_add(void *ctx, const char *bytes, size_t n)
{
    struct text *const text = ctx;

    assert_true(text->n + n < sizeof(text->bytes));
    memcpy(text->bytes + text->n, bytes, n);
    text->n += n;
    text->bytes[text->n] = '\0';
    return 0;
}

static const char *printed(const struct aisys_config *config)
{
    static struct text text;

    text.n = 0;
    assert_int_equal(aisys_config_print(config, text_add, &text), 0);
    return text.bytes;
}

/* Whether a line of @text is @value (blanks before it aside) with the comment @origin. */
static void expect_printed(const char *text, const char *value, const char *origin)
{
    for (const char *at = text; *at != '\0';) {
        const size_t n = strcspn(at, "\n");
        char line[512];
        char *comment;

        snprintf(line, sizeof(line), "%.*s", (int)(n - strspn(at, " ")), at + strspn(at, " "));
        comment = strstr(line, " # ");
        if (comment != NULL && strcmp(comment + 3, origin) == 0) {
            while (comment > line && comment[-1] == ' ')
                comment--;
            *comment = '\0';
            if (strcmp(line, value) == 0)
                return;
        }
        at += n + (at[n] != '\0');
    }
    fail_msg("no \"%s  # %s\" in\n%s", value, origin, text);
}

static void layers_and_origins(void **state)
{
    static const char *const environ_[] = { "HOME=/root", "AI_NETWORK_PORT=8090",
        "AI_LOGGING_LEVEL=DEBUG", "AI_LOGGING_CONSOLE_OUTPUT=false", "AI_REDIS_PASSWORD=hunter2",
        "AI_MONITORING_ALLOW=10.0.0.0/8, ::1", NULL };
    static const char *const sets[] = { "network.events_port=9011",
        "agents.memory_orchestrator.mailbox.messages=7",
        "agents.memory_orchestrator.config.text=hello", NULL };
    struct aisys_config_sources s = sources();
    struct aisys_config *config;
    const char *text;

    (void)state;
    small_files("agents:\n"
                "  memory_orchestrator:\n"
                "    alias: MemoryOrchestratorService\n"
                "    module: memory\n"
                "    config:\n"
                "      k: 3\n");
    add_file("op.yaml", "network: {link_port: 9010, port: 8085}\nlogging: {format: json}\n");
    s.operator_path = "op.yaml";
    s.environ = environ_;
    s.sets = sets;
    config = loaded(&s);
    assert_int_equal(diag.kept, 0);

    assert_string_equal(config->env, "dev");
    assert_string_equal(config->system->node, "pc2");
    assert_string_equal(config->data->dir, "var/pc2");
    assert_int_equal(config->network->request_port, 5555);
    assert_int_equal(config->network->port, 8090);
    assert_int_equal(config->network->link_port, 9010);
    assert_int_equal(config->network->events_port, 9011);
    assert_int_equal(config->logging->level, AISYS__LOGGING_CONFIG__LEVEL__debug);
    assert_int_equal(config->logging->format, AISYS__LOGGING_CONFIG__FORMAT__json);
    assert_false(config->logging->console_output);
    assert_int_equal(config->monitoring->n_allow, 2);
    assert_string_equal(config->monitoring->allow[1], "::1");
    assert_int_equal(config->agent_count, 1);
    assert_string_equal(config->agents[0].class_name, "memory_orchestrator");
    assert_int_equal(config->agents[0].mailbox->messages, 7);
    assert_int_equal(config->agents[0].mailbox->bytes, 33554432);

    text = printed(config);
    expect_printed(text, "env: dev", "default");
    expect_printed(text, "machine: pc2", "--role");
    expect_printed(text, "request_port: 5555", "default");
    expect_printed(text, "port: 8090", "AI_NETWORK_PORT");
    expect_printed(text, "link_port: 9010", "op.yaml:1");
    expect_printed(text, "format: json", "op.yaml:2");
    expect_printed(text, "events_port: 9011", "--set");
    expect_printed(text, "bind_address: \"127.0.0.1\"", "default");
    expect_printed(text, "- \"::1\"", "AI_MONITORING_ALLOW");
    expect_printed(text, "password: \"********\"", "AI_REDIS_PASSWORD");
    expect_printed(text, "dir: var/pc2", "default");
    expect_printed(text, "module: memory", "c/roles/pc2.yaml:4");
    expect_printed(text, "class: memory_orchestrator", "default");
    expect_printed(text, "messages: 7", "--set");
    expect_printed(text, "k: 3", "c/roles/pc2.yaml:6");
    expect_printed(text, "text: hello", "--set");
    assert_null(strstr(text, "hunter2"));
}

static void agent_config(void **state)
{
    static const char *const sets[] = { "agents.one.config.numbers=1,2", NULL };
    static const char *const lines[] = {
        "c/roles/pc2.yaml:4:14: agents.one.config.txet: unknown field, did you mean \"text\"?; "
        "expected ",
        "c/roles/pc2.yaml:4:26: agents.one.config.k: is 0; expected an integer from 1 to 1000",
        NULL,
    };
    struct aisys_config_sources s = sources();
    const Aisys__Test__Everything *m;
    struct aisys_config *config;

    (void)state;
    s.sets = sets;
    small_files("agents:\n  one:\n    module: x\n    config: {txet: 1, k: 0}\n");
    config = loaded(&s);
    assert_int_equal(aisys_config_agent_read(
                         config, &config->agents[0], &aisys__test__everything__descriptor, &diag),
        AISYS_CONFIG_INVALID);
    expect_lines(lines);

    aisys_diag_init(&diag);
    small_files(
        "agents:\n  one:\n    module: x\n    config: {k: 5, password: secret, text: 5555}\n");
    config = loaded(&s);
    assert_int_equal(aisys_config_agent_read(
                         config, &config->agents[0], &aisys__test__everything__descriptor, &diag),
        0);
    m = (const Aisys__Test__Everything *)config->agents[0].config_message;
    assert_int_equal(m->k, 5);
    assert_int_equal(m->n_numbers, 2);
    assert_string_equal(m->text, "5555");
    expect_printed(printed(config), "k: 5", "c/roles/pc2.yaml:4");
    expect_printed(printed(config), "password: \"********\"", "c/roles/pc2.yaml:4");
    expect_printed(printed(config), "want: TEXT", "default");
    expect_printed(printed(config), "- 2", "--set");

    /* a class's own check() finds something */
    aisys_diag_init(&diag);
    aisys_diag_enter(&diag, aisys_config_agent_path(config, &config->agents[0]));
    aisys_diag_add(&diag, NULL, "k", "an even number", "is odd");
    aisys_diag_add(&diag, NULL, "real", NULL, "is missing");
    aisys_config_locate(config, &diag);
    expect_lines((const char *const[]){
        "c/roles/pc2.yaml:4:17: agents.one.config.k: is odd; expected an even number",
        "c/roles/pc2.yaml:4:13: agents.one.config.real: is missing", NULL });

    /* a class without configuration */
    aisys_diag_init(&diag);
    assert_int_equal(
        aisys_config_agent_read(config, &config->agents[0], NULL, &diag), AISYS_CONFIG_INVALID);
    assert_string_equal(diag.entries[0].problem, "class one has no configuration");
    small_files("agents: {one: {module: x}}\n");
    s.sets = NULL;
    aisys_diag_init(&diag);
    config = loaded(&s);
    assert_int_equal(aisys_config_agent_read(config, &config->agents[0], NULL, &diag), 0);
}

static void everything_wrong_at_once(void **state)
{
    static const char *const environ_[] = { "AI_REDIS_HSOT=x", "AI_NETWORK_LINK_PORT=many",
        "AI_AGENTS_X_CONFIG_Y=1", "AI_SOMETHING_ELSE=1", NULL };
    static const char *const sets[] = { "netwrok.port=1", "network.bind_address=localhost",
        "port=1", "nothing", "agents.vsion.config.x=1", NULL };
    struct aisys_config_sources s = sources();

    (void)state;
    small_files("agents:\n"
                "  vision:\n"
                "    modul: vision\n"
                "  Bad: {module: x}\n"
                "  three: 5\n"
                "redis:\n"
                "  port: 0\n"
                "  db: -1\n"
                "logging: loud\n"
                "system: {drain_ms: 600001, env: prod}\n");
    s.environ = environ_;
    s.sets = sets;
    refused(
        &s, (const char *const[]){ "c/roles/pc2.yaml:10:33: system.env: cannot be set here: it "
                                   "chooses the files; expected "
                                   "--env or AI_SYSTEM_ENV",
                "warning: AI_REDIS_HSOT: matches no key, did you mean AI_REDIS_HOST?",
                "warning: AI_AGENTS_X_CONFIG_Y: matches no key: agents have no variables; expected "
                "--set "
                "agents.NAME.config.KEY=VALUE",
                "warning: AI_SOMETHING_ELSE: matches no key of the configuration and is ignored",
                "--set: cannot be read: \"port=1\"; expected section.key=value or "
                "agents.NAME.config.KEY=value",
                "--set: cannot be read: \"nothing\"; expected section.key=value or "
                "agents.NAME.config.KEY=value",
                "--set: agents.vsion.config.x: there is no agent \"vsion\", did you mean vision?",
                "AI_NETWORK_LINK_PORT: network.link_port: is \"many\"; expected an integer from 0 "
                "to 65535",
                "c/roles/pc2.yaml:8:7: redis.db: is -1; expected an integer from 0 to 65535",
                "c/roles/pc2.yaml:9:10: logging: is \"loud\"; expected a map of fields",
                "--set: netwrok: unknown field, did you mean \"network\"?; expected one of system, "
                "logging, ",
                "c/roles/pc2.yaml:10:20: system.drain_ms: is 600001; expected an integer from 0 to "
                "600000 "
                "(ms)",
                "c/roles/pc2.yaml:7:9: redis.port: is 0; expected an integer from 1 to 65535",
                "c/roles/pc2.yaml:3:5: agents.vision.modul: unknown field, did you mean "
                "\"module\"?; expected ",
                "c/roles/pc2.yaml:3:5: agents.vision.module: is missing; expected a string of 1 to "
                "64 bytes: "
                "lower case letters, digits and _",
                "c/roles/pc2.yaml:4:8: agents.Bad: is no name for an actor; expected a name of at "
                "most 64 "
                "lower case letters, digits and _",
                "c/roles/pc2.yaml:5:10: agents.three: is an integer; expected a map with at least "
                "module",
                "--set: network.bind_address: is \"localhost\"; expected a numeric address such as "
                "127.0.0.1 or ::1",
                NULL });
}

static void checks_between_sections(void **state)
{
    static const struct {
        const char *set[3];
        const char *line; /* NULL: good */
    } rows[] = {
        { { "network.bind_address=::1" }, NULL },
        { { "network.bind_address=127.1.2.3" }, NULL },
        { { "network.bind_address=localhost" }, "--set: network.bind_address: is \"localhost\"; "
                                                "expected a numeric address such as 127.0.0.1 or "
                                                "::1" },
        { { "network.bind_address=0.0.0.0" },
            "--set: network.bind_address: 0.0.0.0 can be reached by others, and both TLS and "
            "authentication are off; expected a loopback address, or " },
        { { "network.bind_address=::" }, "--set: network.bind_address: :: can be reached by "
                                         "others, and both TLS and authentication are "
                                         "off; expected a loopback address, or " },
        { { "network.bind_address=0.0.0.0", "security.allow_insecure=true" }, NULL },
        { { "security.enable_auth=true" },
            "--set: security.enable_auth: is true, but tokens are not built yet: " },
        { { "security.ssl_enabled=true" },
            "--set: security.ssl_enabled: is true, but TLS is not built yet: " },
        { { "network.port=5555" },
            "--set: network.port: 5555 is network.request_port, too; expected a port of its own" },
        { { "monitoring.port=8080" },
            "--set: monitoring.port: 8080 is network.port, too; expected a port of its own" },
        { { "monitoring.port=0", "network.port=0" }, NULL },
        { { "network.port_offset=60000" },
            "--set: network.port_offset: is 60000, which makes network.port 68080; " },
        { { "network.port_offset=100" }, NULL },
        { { "monitoring.allow=10.0.0.0/8,fe80::/10,1.2.3.4" }, NULL },
        { { "monitoring.allow=1.2.3.4,10.0.0.0/33" },
            "--set: monitoring.allow[1]: is \"10.0.0.0/33\"; expected an address or network such "
            "as "
            "10.0.0.0/8" },
        { { "monitoring.allow=everyone" },
            "--set: monitoring.allow[0]: is \"everyone\"; expected " },
        { { "monitoring.allow=1.2.3.4/" },
            "--set: monitoring.allow[0]: is \"1.2.3.4/\"; expected " },
        { { "redis.mode=cluster" },
            "--set: redis.mode: this mode is not built yet; expected single" },
        { { "storage.backend=redis" }, "--set: storage.backend: is redis, but there is no "
                                       "redis.host; expected sqlite, or redis.host" },
        { { "storage.backend=redis", "redis.host=h" }, NULL },
        { { "redis.unix_path=/run/r", "redis.host=h" },
            "--set: redis.unix_path: both are set; expected one of redis.host and "
            "redis.unix_path" },
        { { "cluster.nodes=main_pc=10.0.0.1,x=h:8010,y=[::1]:1,z=[::1]" }, NULL },
        { { "cluster.nodes=pc2=h" }, "--set: cluster.nodes[0]: \"pc2\" is this node; expected " },
        { { "cluster.nodes=a=h,a=i" }, "--set: cluster.nodes[1]: \"a\" is there twice; expected " },
        { { "cluster.nodes=a=h:0" },
            "--set: cluster.nodes[0]: is \"a=h:0\"; expected name=host:port, an " },
        { { "cluster.nodes=a=h:x" },
            "--set: cluster.nodes[0]: is \"a=h:x\"; expected name=host:port, an " },
        { { "cluster.nodes=main_pc" },
            "--set: cluster.nodes[0]: is \"main_pc\"; expected a string of " },
        { { "system.node=Pc" }, "--set: system.node: is \"Pc\"; expected a string of " },
        { { "system.env=prod" },
            "--set: system.env: cannot be set here: it chooses the files; expected " },
        { { "system.machine=x" },
            "--set: system.machine: cannot be set here: it chooses the files; expected " },
        { { "redis.password_file=secret" }, NULL },
        { { "redis.password_file=nowhere" },
            "--set: redis.password_file: nowhere: No such file or " },
        { { "redis.password_file=empty" },
            "--set: redis.password_file: is empty; expected the password " },
    };
    struct aisys_config_sources s = sources();

    (void)state;
    small_files("");
    add_file("secret", "hunter2\nsecond line\n");
    add_file("empty", "");
    for (size_t i = 0; i < ROWS(rows); i++) {
        const char *const lines[] = { rows[i].line, NULL };
        struct aisys_config *config;

        s.sets = rows[i].set;
        aisys_diag_init(&diag);
        if (rows[i].line != NULL) {
            refused(&s, lines);
            continue;
        }
        config = loaded(&s);
        if (strcmp(config->redis->password_file, "secret") == 0) {
            assert_string_equal(config->redis->password, "hunter2");
            assert_null(strstr(printed(config), "hunter2"));
            expect_printed(printed(config), "password: \"********\"", "secret");
        }
    }
}

static void dependencies(void **state)
{
    static const struct {
        const char *agents;
        const char *line; /* NULL: good */
    } rows[] = {
        { "a: {module: m}\n  b: {module: m, depends: [a]}", NULL },
        { "a: {module: m, depends: [b]}\n  b: {module: m}", NULL },
        { "alpha: {module: m}\n  b: {module: m, depends: [\n alhpa]}",
            "c/roles/pc2.yaml:4:2: agents.b.depends[0]: there is no \"alhpa\", did you mean "
            "alpha?; expected " },
        { "a: {module: m, depends: [a]}", "c/roles/pc2.yaml:2:27: agents.a.depends: they wait for "
                                          "each other: a -> a; expected no cycle" },
        { "x: {module: m, depends: [a]}\n  a: {module: m, depends: [b]}\n"
          "  b: {module: m, depends: [c]}\n  c: {module: m, depends: [a]}",
            "c/roles/pc2.yaml:5:27: agents.c.depends: they wait for each other: a -> b -> c -> a; "
            "expected "
            "no cycle" },
        { "a: {module: m, depends: [b, b]}\n  b: {module: m}",
            "c/roles/pc2.yaml:2:27: agents.a.depends[1]: is the same as element 0; expected " },
        { "a: {module: m, alias: X}\n  b: {module: m, alias: X}",
            "c/roles/pc2.yaml:3:25: agents.b.alias: a is called \"X\", too; expected a name of its "
            "own" },
        { "a: {module: m}\n  b: {module: m, alias: a}",
            "c/roles/pc2.yaml:3:25: agents.b.alias: a is called \"a\", too; expected a name of its "
            "own" },
        { "a: {module: m, isolation: process}", "c/roles/pc2.yaml:2:29: agents.a.isolation: actors "
                                                "in processes of their own are not built " },
        { "a: {module: m, config: 5}",
            "c/roles/pc2.yaml:2:26: agents.a.config: is an integer; expected a map of fields" },
        { "a: {module: m, mailbox: {policy: drop_oldst}}",
            "c/roles/pc2.yaml:2:36: agents.a.mailbox.policy: is \"drop_oldst\", did you mean "
            "drop_oldest?; "
            "expected one of refuse, drop_oldest" },
    };
    struct aisys_config_sources s = sources();

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        const char *const lines[] = { rows[i].line, NULL };
        char text[512];

        snprintf(text, sizeof(text), "agents:\n  %s\n", rows[i].agents);
        small_files(text);
        aisys_diag_init(&diag);
        if (rows[i].line != NULL)
            refused(&s, lines);
        else
            loaded(&s);
    }
}

static void only(void **state)
{
    static const struct {
        const char *only, *kept;
    } rows[] = {
        { "a", "a metrics" },
        { "b", "a b metrics" },
        { "d", "a b c d metrics" },
        { "e,a", "a e metrics" },
        { "metrics", "metrics" },
    };
    struct aisys_config_sources s = sources();

    (void)state;
    small_files("agents:\n  a: {module: m}\n  b: {module: m, depends: [a]}\n  c: {module: m}\n"
                "  d: {module: m, depends: [b, c]}\n  e: {module: m}\n"
                "  metrics: {module: system}\n");
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct aisys_config *config;
        char kept[64] = "";

        s.only = rows[i].only;
        config = loaded(&s);
        for (size_t j = 0; j < config->agent_count; j++) {
            strcat(kept, j > 0 ? " " : "");
            strcat(kept, config->agents[j].name);
        }
        assert_string_equal(kept, rows[i].kept);
    }
    s.only = "a,f";
    refused(&s, (const char *const[]){ "--only: there is no \"f\"; expected ", NULL });
}

static void environment_and_role(void **state)
{
    static const struct {
        const char *role, *env;
        const char *environ_[3];
        int outcome;
        const char *is_role, *is_env, *origin;
    } rows[] = {
        { "pc2", NULL, { NULL }, 0, "pc2", "dev", "default" },
        { NULL, NULL, { NULL }, AISYS_CONFIG_NO_ROLE, NULL, NULL, NULL },
        { NULL, NULL, { "AI_SYSTEM_MACHINE=main_pc" }, 0, "main_pc", "dev", "default" },
        { "pc2", NULL, { "AI_SYSTEM_MACHINE=main_pc" }, 0, "pc2", "dev", "default" },
        { "pc2", NULL, { "AI_SYSTEM_ENV=prod" }, 0, "pc2", "prod", "AI_SYSTEM_ENV" },
        { "pc2", "dev", { "AI_SYSTEM_ENV=prod" }, 0, "pc2", "dev", "--env" },
        { "pc2", NULL, { "ENVIRONMENT=production" }, 0, "pc2", "prod", "ENVIRONMENT" },
        { "pc2", NULL, { "AI_SYSTEM_ENV=dev", "ENVIRONMENT=prod" }, 0, "pc2", "dev",
            "AI_SYSTEM_ENV" },
        { "pc2", "test", { NULL }, AISYS_CONFIG_INVALID, NULL, NULL, NULL },
        { "../pc2", NULL, { NULL }, AISYS_CONFIG_INVALID, NULL, NULL, NULL },
        { "pc3", NULL, { NULL }, AISYS_CONFIG_INVALID, NULL, NULL, NULL },
    };

    (void)state;
    small_files("");
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct aisys_config_sources s = sources();
        struct aisys_config *config = NULL;
        char line[64];

        s.role = rows[i].role;
        s.env = rows[i].env;
        s.environ = rows[i].environ_;
        aisys_diag_init(&diag);
        assert_int_equal(aisys_config_load(&s, &arena, &diag, &config), rows[i].outcome);
        if (rows[i].outcome != 0)
            continue;
        assert_string_equal(config->role, rows[i].is_role);
        assert_string_equal(config->env, rows[i].is_env);
        snprintf(line, sizeof(line), "env: %s", rows[i].is_env);
        expect_printed(printed(config), line, rows[i].origin);
        snprintf(line, sizeof(line), "%s/%s",
            strcmp(rows[i].is_env, "dev") == 0 ? "var" : "/var/lib/ai-system", rows[i].is_role);
        assert_string_equal(config->data->dir, line);
    }
}

static void main_pc_host(void **state)
{
    static const char *const environ_[] = { "AI_MAIN_PC_HOST=10.0.0.5", NULL };
    struct aisys_config_sources s = sources();
    struct aisys_config *config;

    (void)state;
    small_files("");
    s.environ = environ_;
    config = loaded(&s);
    expect_lines(
        (const char *const[]){ "warning: cluster.nodes: nodes do not link to each other yet: "
                               "peers are only remembered",
            NULL });
    assert_int_equal(config->cluster->n_nodes, 1);
    assert_string_equal(config->cluster->nodes[0], "main_pc=10.0.0.5");
    expect_printed(printed(config), "- \"main_pc=10.0.0.5\"", "AI_MAIN_PC_HOST");
    s.role = "main_pc";
    assert_int_equal(loaded(&s)->cluster->n_nodes, 0);
}

static void broken_files(void **state)
{
    struct aisys_config_sources s = sources();

    (void)state;
    small_files("agents:\n\tx: 1\n");
    refused(&s, (const char *const[]){
                    "c/roles/pc2.yaml:2:1: a tab is used to indent; expected spaces", NULL });
    small_files("a: 1\na: 2\n");
    refused(&s,
        (const char *const[]){ "c/roles/pc2.yaml:2:1: the key \"a\" is here twice, first on line "
                               "1; expected each key once",
            NULL });
    small_files("- a\n");
    refused(&s, (const char *const[]){
                    "c/roles/pc2.yaml:1:1: is a list; expected a map of sections", NULL });
    small_files("");
    s.operator_path = "nowhere.yaml";
    refused(&s,
        (const char *const[]){
            "nowhere.yaml: No such file or directory; expected a file that can be read", NULL });
}

static void nothing_and_null(void **state)
{
    struct aisys_config_sources s = sources();
    struct aisys_config *config;

    (void)state;
    small_files("network: {request_port: 1}\n"
                "monitoring: {port: 2}\n"
                "agents: {a: {module: m}, b: {module: m, alias: B}}\n");
    add_file("op.yaml", "network:\n"
                        "  # nothing\n"
                        "monitoring: {port: null}\n"
                        "agents: {a: null, b: {alias: ~}}\n");
    s.operator_path = "op.yaml";
    config = loaded(&s);
    assert_int_equal(config->network->request_port, 1);
    assert_int_equal(config->monitoring->port, 8000);
    assert_int_equal(config->agent_count, 1);
    assert_string_equal(config->agents[0].name, "b");
    assert_null(config->agents[0].options->alias);
}

static void operators_directory(void **state)
{
    char dir[] = "/tmp/test_config_XXXXXX";
    struct aisys_config_sources s = sources();
    struct aisys_config *config;
    char command[256];

    (void)state;
    assert_non_null(mkdtemp(dir));
    small_files("");
    s.operator_path = dir;
    s.directory = SHIPPED_CONFIG;
    s.read = NULL;
    snprintf(command, sizeof(command),
        "cd %s && echo 'network: {port: 1, link_port: 3}' > a.yaml && echo 'network: {port: 2}' > "
        "b.yaml && "
        "echo 'network: 5' > .c.yaml && echo 'junk' > readme.txt",
        dir);
    assert_int_equal(system(command), 0);
    config = loaded(&s);
    assert_int_equal(config->network->port, 2);
    assert_int_equal(config->network->link_port, 3);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    assert_int_equal(system(command), 0);
    aisys_diag_init(&diag);
    assert_int_equal(aisys_config_load(&s, &arena, &diag, &config), AISYS_CONFIG_INVALID);
    assert_string_equal(diag.entries[0].where.file, dir);
    assert_string_equal(diag.entries[0].problem, "No such file or directory");
}

static void shipped_files(void **state)
{
    struct aisys_config_sources s = { .directory = SHIPPED_CONFIG };
    struct aisys_config *config = NULL;

    (void)state;
    s.role = "pc2";
    config = loaded(&s);
    assert_int_equal(config->agent_count, 6);
    assert_string_equal(config->agents[0].name, "orchestrator");
    assert_string_equal(config->agents[3].options->alias, "MemoryOrchestratorService");
    assert_int_equal(aisys_diag_errors(&diag), 0);
    s.role = "main_pc";
    assert_int_equal(loaded(&s)->agent_count, 3);

    /* staging and prod promise authentication, which is not built yet */
    s.env = "prod";
    aisys_diag_init(&diag);
    assert_int_equal(aisys_config_load(&s, &arena, &diag, &config), AISYS_CONFIG_INVALID);
    assert_int_equal(diag.kept, 1);
    assert_string_equal(diag.entries[0].path, "security.enable_auth");

    s.env = "dev";
    s.role = "pc3";
    aisys_diag_init(&diag);
    assert_int_equal(aisys_config_load(&s, &arena, &diag, &config), AISYS_CONFIG_INVALID);
    assert_string_equal(diag.entries[0].problem, "there is no role \"pc3\", did you mean pc2?");
    assert_string_equal(diag.entries[0].expected, "one of main_pc, pc2");
}

static const ProtobufCMessageDescriptor *class_of(
    void *ctx, const char *module, const char *class_name)
{
    (void)ctx;
    return strcmp(module, "m") == 0 && strcmp(class_name, "k") == 0
               ? &aisys__test__everything__descriptor
               : NULL;
}

static void schema(void **state)
{
    static const char *const parts[] = {
        "\"$schema\": \"https://json-schema.org/draft/2020-12/schema\"",
        "\"network\": {\n      \"$ref\": \"#/$defs/aisys.NetworkConfig\"",
        "\"drop_oldest\"",
        "\"as it was\"",
        "\"description\": \"The module that has the class.\"",
    };
    struct aisys_config_sources s = sources();
    static struct text text;
    struct aisys_config *config;

    (void)state;
    small_files("agents:\n  a: {module: m, class: k}\n  b: {module: m}\n");
    config = loaded(&s);
    assert_int_equal(aisys_config_print_schema(config, class_of, NULL, &arena, text_add, &text), 0);
    for (size_t i = 0; i < ROWS(parts); i++)
        if (strstr(text.bytes, parts[i]) == NULL)
            fail_msg("no %s", parts[i]);
    text.n = 0;
    assert_int_equal(aisys_config_print_schema(NULL, NULL, NULL, &arena, text_add, &text), 0);
    assert_null(strstr(text.bytes, "as it was"));
}

/* Every key has a comment, for --print-schema and the manual. */
static void every_key_is_documented(void **state)
{
    (void)state;
    for (unsigned i = 0; i < aisys__config__descriptor.n_fields; i++) {
        const ProtobufCMessageDescriptor *const section =
            aisys__config__descriptor.fields[i].descriptor;
        const struct aisys_schema_message *const doc = aisys_schema_message(section->name);

        assert_true(*doc->comment != '\0');
        for (unsigned j = 0; j < section->n_fields; j++) {
            if (*doc->fields[j].comment == '\0')
                fail_msg("%s.%s has no comment", section->name, section->fields[j].name);
            assert_int_not_equal(section->fields[j].type, PROTOBUF_C_TYPE_MESSAGE); /* flat */
        }
    }
}

static void out_of_memory(void **state)
{
    struct aisys_config_sources s = sources();

    (void)state;
    small_files("agents:\n  a: {module: m, depends: [b], config: {x: 1}}\n  b: {module: m}\n");
    for (size_t limit = 0;; limit += 4096) {
        struct aisys_config *config = NULL;
        struct aisys_arena small;
        int r;

        aisys_arena_init(&small, NULL, limit);
        aisys_diag_init(&diag);
        r = aisys_config_load(&s, &small, &diag, &config);
        aisys_arena_deinit(&small);
        if (r == 0)
            break;
        assert_int_equal(r, -ENOMEM);
    }
}

static int load(void **state)
{
    (void)state;
    return aisys_schema_add(everything_set, everything_set_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(layers_and_origins, setup, teardown),
        cmocka_unit_test_setup_teardown(agent_config, setup, teardown),
        cmocka_unit_test_setup_teardown(everything_wrong_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(checks_between_sections, setup, teardown),
        cmocka_unit_test_setup_teardown(dependencies, setup, teardown),
        cmocka_unit_test_setup_teardown(only, setup, teardown),
        cmocka_unit_test_setup_teardown(environment_and_role, setup, teardown),
        cmocka_unit_test_setup_teardown(main_pc_host, setup, teardown),
        cmocka_unit_test_setup_teardown(broken_files, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_and_null, setup, teardown),
        cmocka_unit_test_setup_teardown(operators_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(shipped_files, setup, teardown),
        cmocka_unit_test_setup_teardown(schema, setup, teardown),
        cmocka_unit_test(every_key_is_documented),
        cmocka_unit_test_setup_teardown(out_of_memory, setup, teardown),
    };

    return cmocka_run_group_tests(tests, load, NULL);
}
