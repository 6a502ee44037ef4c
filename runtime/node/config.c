#include "node/config.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/suggest.h"
#include "node/config_internal.h"
#include "port/yaml_port.h"
#include "schema/doc.h"
#include "schema/read.h"

#define CONFIG_FILES_MAX 256 /* of an operator's directory */

static int config_stdio_read(
    void *ctx, const char *path, struct aisys_arena *arena, char **ret_text, size_t *ret_bytes)
{
    FILE *const file = fopen(path, "re");
    char *text = NULL;
    size_t n = 0;
    int r = 0;

    (void)ctx;
    if (file == NULL)
        return -errno;
    text = aisys_arena_alloc(arena, AISYS_YAML_BYTES_MAX + 2);
    if (text == NULL) {
        r = -ENOMEM;
    } else {
        /* One byte more than is allowed, so that the parser sees that it is too much. */
        n = fread(text, 1, AISYS_YAML_BYTES_MAX + 1, file);
        text[n] = '\0';
        if (ferror(file))
            r = errno != 0 ? -errno : -EIO;
    }
    fclose(file);
    if (r < 0)
        return r;
    *ret_text = text;
    *ret_bytes = n;
    return 0;
}

static int config_read_file(struct config_load *load, const char *path, struct aisys_arena *arena,
    char **ret, size_t *ret_bytes)
{
    const struct aisys_config_sources *const s = load->sources;

    if (s->read != NULL)
        return s->read(s->read_ctx, path, arena, ret, ret_bytes);
    return config_stdio_read(NULL, path, arena, ret, ret_bytes);
}

struct aisys_where config_where(const struct aisys_node *tree, const char *path)
{
    const struct aisys_node *const node = aisys_tree_find(tree, path, true);

    return node != NULL ? node->where : (struct aisys_where){ 0 };
}

/* A section whose keys are all commented out says nothing; it does not take away what is below. */
static void config_drop_empty_sections(struct aisys_node *root)
{
    struct aisys_node *next;

    for (struct aisys_node *at = root->items.first; at != NULL; at = next) {
        next = at->next;
        if (at->kind == AISYS_NODE_NULL)
            aisys_node_take(root, at->key);
    }
}

/* Parse the file at @path and lay it over the tree. The text is read into a scratch arena of its
 * own: the tree copies what it keeps. */
static int config_add_file(struct config_load *load, const char *path)
{
    const struct aisys_where where = { .file = path };
    struct aisys_node *root = NULL;
    struct aisys_arena scratch;
    char *text = NULL;
    size_t bytes = 0;
    int r;

    aisys_arena_init(&scratch, load->arena->from, 4u * AISYS_YAML_BYTES_MAX);
    r = config_read_file(load, path, &scratch, &text, &bytes);
    if (r == 0)
        r = aisys_yaml_parse(load->arena, path, text, bytes, NULL, load->diag, &root);
    else if (r != -ENOMEM)
        aisys_diag_add(load->diag, &where, "", "a file that can be read", "%s", strerror(-r));
    aisys_arena_deinit(&scratch);
    if (r == -ENOMEM)
        return r;
    if (root == NULL || root->kind == AISYS_NODE_NULL)
        return 0;
    if (root->kind != AISYS_NODE_MAP) {
        aisys_diag_add(
            load->diag, &root->where, "", "a map of sections", "is %s", aisys_node_kind_name(root));
        return 0;
    }
    config_drop_empty_sections(root);
    load->tree = aisys_tree_overlay(load->tree, root);
    return 0;
}

static bool config_is_yaml(const char *name)
{
    const size_t n = strlen(name);

    return name[0] != '.' && n > 5 && strcmp(name + n - 5, ".yaml") == 0;
}

static int config_compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of the YAML files in @path, sorted, in the arena. -ENOTDIR when it is no directory. */
static int config_list(
    struct config_load *load, const char *path, const char ***ret_names, size_t *ret_count)
{
    DIR *const dir = opendir(path);
    const char **names;
    size_t n = 0;

    if (dir == NULL)
        return -errno;
    names = aisys_arena_calloc(load->arena, CONFIG_FILES_MAX, sizeof(const char *));
    for (const struct dirent *entry; names != NULL && (entry = readdir(dir)) != NULL;) {
        if (!config_is_yaml(entry->d_name) || n == CONFIG_FILES_MAX)
            continue;
        names[n] = aisys_arena_strdup(load->arena, entry->d_name);
        if (names[n] != NULL)
            n++;
    }
    closedir(dir);
    if (aisys_arena_failed(load->arena))
        return -ENOMEM;
    qsort(names, n, sizeof(const char *), config_compare_names);
    *ret_names = names;
    *ret_count = n;
    return 0;
}

/* A file, or every file of a directory. */
static int config_add_operator(struct config_load *load, const char *path)
{
    const char **names;
    size_t count;
    int r = config_list(load, path, &names, &count);

    if (r == -ENOTDIR || (r == -ENOENT && load->sources->read != NULL))
        return config_add_file(load, path);
    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        const struct aisys_where where = { .file = path };

        aisys_diag_add(load->diag, &where, "", "a YAML file, or a directory of them (--config)",
            "%s", strerror(-r));
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        char *const file = aisys_arena_printf(load->arena, "%s/%s", path, names[i]);

        r = file != NULL ? config_add_file(load, file) : -ENOMEM;
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- Role and environment ------------------------------------------------------------------- */

/* "development" and "production" are what others call them. */
static const char *config_env_name(const char *text)
{
    static const char *const names[][2] = {
        { "dev", "dev" },
        { "development", "dev" },
        { "staging", "staging" },
        { "prod", "prod" },
        { "production", "prod" },
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strcmp(text, names[i][0]) == 0)
            return names[i][1];
    return NULL;
}

static void config_choose_env(struct config_load *load, const char **ret_origin)
{
    const struct aisys_config_sources *const s = load->sources;
    struct aisys_where where = { .file = "--env" };
    const char *text = s->env;

    if (text == NULL) {
        where.file = "AI_SYSTEM_ENV";
        text = config_variable(s, where.file);
    }
    if (text == NULL || *text == '\0') {
        where.file = "ENVIRONMENT";
        text = config_variable(s, where.file);
    }
    if (text == NULL || *text == '\0') {
        where.file = "default";
        text = "dev";
    }
    *ret_origin = where.file;
    load->config->env = config_env_name(text);
    if (load->config->env == NULL) {
        aisys_diag_add(load->diag, &where, "system.env", "dev, staging or prod", "is \"%s\"", text);
        load->config->env = "dev";
    }
}

static bool config_is_role(const char *text)
{
    return *text >= 'a' && *text <= 'z' && strlen(text) <= 64 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(text);
}

/* Report a role without a file, with those that have one. */
static int config_unknown_role(struct config_load *load, const char *role, const char *origin)
{
    const struct aisys_where where = { .file = origin };
    const char *const dir = aisys_arena_printf(load->arena, "%s/roles", load->sources->directory);
    struct aisys_suggest suggest;
    char expected[256] = "";
    const char **names;
    size_t count = 0;

    if (dir == NULL || config_list(load, dir, &names, &count) == -ENOMEM)
        return -ENOMEM;
    aisys_suggest_init(&suggest, role);
    for (size_t i = 0; i < count; i++) {
        const size_t at = strlen(expected);
        char *const name = aisys_arena_copy(load->arena, names[i], strlen(names[i]) - 5);

        if (name == NULL)
            return -ENOMEM;
        aisys_suggest_offer(&suggest, name);
        snprintf(expected + at, sizeof(expected) - at, "%s%s", i > 0 ? ", " : "one of ", name);
    }
    if (suggest.best != NULL)
        aisys_diag_add(load->diag, &where, "system.machine", expected,
            "there is no role \"%s\", did you mean %s?", role, suggest.best);
    else
        aisys_diag_add(
            load->diag, &where, "system.machine", expected, "there is no role \"%s\"", role);
    return 0;
}

static int config_add_role(struct config_load *load, const char *origin)
{
    const char *const role = load->config->role;
    const char *path;
    struct aisys_arena scratch;
    char *text;
    size_t bytes;
    int r = -ENOENT;

    path = aisys_arena_printf(load->arena, "%s/roles/%s.yaml", load->sources->directory, role);
    if (path == NULL)
        return -ENOMEM;
    if (config_is_role(role)) {
        aisys_arena_init(&scratch, load->arena->from, 4u * AISYS_YAML_BYTES_MAX);
        r = config_read_file(load, path, &scratch, &text, &bytes);
        aisys_arena_deinit(&scratch);
    }
    if (r == -ENOENT)
        return config_unknown_role(load, role, origin);
    return config_add_file(load, path);
}

/* system.env and system.machine choose the files, so no file may set them. */
static void config_refuse_choice(struct config_load *load, const char *key, const char *how)
{
    struct aisys_node *const system = aisys_node_get(load->tree, "system");
    const struct aisys_node *const node = aisys_node_take(system, key);
    char path[32];

    if (node == NULL)
        return;
    snprintf(path, sizeof(path), "system.%s", key);
    aisys_diag_add(load->diag, &node->where, path, how, "cannot be set here: it chooses the files");
}

/* ---- The whole ------------------------------------------------------------------------------ */

static int config_add_files(struct config_load *load, const char *role_origin)
{
    const char *const dir = load->sources->directory;
    const char *const base = aisys_arena_printf(load->arena, "%s/defaults/base.yaml", dir);
    const char *const env =
        aisys_arena_printf(load->arena, "%s/defaults/%s.yaml", dir, load->config->env);
    int r;

    if (base == NULL || env == NULL)
        return -ENOMEM;
    r = config_add_file(load, base);
    if (r == 0)
        r = config_add_file(load, env);
    if (r == 0)
        r = config_add_role(load, role_origin);
    if (r == 0 && load->sources->operator_path != NULL)
        r = config_add_operator(load, load->sources->operator_path);
    return r;
}

static int config_add_data_dir(struct config_load *load)
{
    const char *const given = load->sources->data_dir;
    const char *const role = load->config->role;
    const char *dir = given;

    if (aisys_tree_find(load->tree, "data.dir", false) != NULL)
        return 0;
    if (given == NULL && strcmp(load->config->env, "dev") == 0)
        dir = aisys_arena_printf(load->arena, "var/%s", role);
    else if (given == NULL)
        dir = aisys_arena_printf(load->arena, "/var/lib/ai-system/%s", role);
    if (dir == NULL)
        return -ENOMEM;
    return config_put_text(load, load->tree, "data.dir", dir, "default");
}

static int config_add_all(struct config_load *load, const char *role_origin)
{
    const char *env_origin;
    int r;

    config_choose_env(load, &env_origin);
    r = config_add_files(load, role_origin);
    if (r < 0)
        return r;
    config_refuse_choice(load, "env", "--env or AI_SYSTEM_ENV");
    config_refuse_choice(load, "machine", "--role or AI_SYSTEM_MACHINE");
    r = config_add_variables(load);
    if (r == 0)
        r = config_add_sets(load);
    if (r < 0)
        return r;
    config_refuse_choice(load, "env", "--env or AI_SYSTEM_ENV");
    config_refuse_choice(load, "machine", "--role or AI_SYSTEM_MACHINE");
    r = config_put_text(load, load->tree, "system.env", load->config->env, env_origin);
    if (r == 0)
        r = config_put_text(load, load->tree, "system.machine", load->config->role, role_origin);
    if (r == 0 && aisys_tree_find(load->tree, "system.node", false) == NULL)
        r = config_put_text(load, load->tree, "system.node", load->config->role, role_origin);
    return r == 0 ? config_add_data_dir(load) : r;
}

/* What a check must not trip over: sections that the files left out. */
static int config_fill(struct config_load *load)
{
    struct aisys_config *const config = load->config;
    const Aisys__Config *const m = config->message;

    for (unsigned i = 0; i < aisys__config__descriptor.n_fields; i++) {
        const ProtobufCFieldDescriptor *const field = &aisys__config__descriptor.fields[i];
        const ProtobufCMessageDescriptor *const section = field->descriptor;
        ProtobufCMessage **const at = (ProtobufCMessage **)((char *)(uintptr_t)m + field->offset);

        if (*at != NULL)
            continue;
        *at = aisys_arena_alloc(load->arena, section->sizeof_message);
        if (*at == NULL)
            return -ENOMEM;
        protobuf_c_message_init(section, *at);
    }
    config->system = m->system;
    config->logging = m->logging;
    config->network = m->network;
    config->bus = m->bus;
    config->performance = m->performance;
    config->health = m->health;
    config->redis = m->redis;
    config->storage = m->storage;
    config->security = m->security;
    config->monitoring = m->monitoring;
    config->cluster = m->cluster;
    config->supervision = m->supervision;
    config->data = m->data;
    return 0;
}

/* The first line of redis.password_file becomes redis.password. */
static int config_read_password(struct config_load *load)
{
    Aisys__RedisConfig *const redis = load->config->message->redis;
    const struct aisys_where where = config_where(load->tree, "redis.password_file");
    struct aisys_node *section;
    struct aisys_arena scratch;
    char *text = NULL;
    size_t bytes = 0;
    int r;

    if (redis->password_file == NULL || *redis->password_file == '\0')
        return 0;
    aisys_arena_init(&scratch, load->arena->from, 4u * AISYS_YAML_BYTES_MAX);
    r = config_read_file(load, redis->password_file, &scratch, &text, &bytes);
    if (r == 0) {
        text[strcspn(text, "\r\n")] = '\0';
        section = aisys_node_get(load->tree, "redis");
        aisys_node_take(section, "password");
        r = config_put_text(load, load->tree, "redis.password", text, redis->password_file);
        redis->password = aisys_arena_strdup(load->arena, text);
        if (redis->password == NULL)
            r = -ENOMEM;
        else if (*redis->password == '\0')
            aisys_diag_add(load->diag, &where, "redis.password_file",
                "the password on its first line", "is empty");
    } else if (r != -ENOMEM) {
        aisys_diag_add(load->diag, &where, "redis.password_file", "a file that can be read",
            "%s: %s", redis->password_file, strerror(-r));
        r = 0;
    }
    aisys_arena_deinit(&scratch);
    return r;
}

/* From one tree to the typed sections and agents, as far as they can be read, so that what is wrong in
 * one place does not hide what is wrong in another. agents stays in the tree for printing, but is no
 * field of the message. */
static int config_read_all(struct config_load *load)
{
    struct aisys_config *const config = load->config;
    struct aisys_node *const agents = aisys_node_take(load->tree, "agents");
    ProtobufCMessage *message = NULL;
    int r;

    r = aisys_schema_read_part(
        &aisys__config__descriptor, load->tree, load->arena, load->diag, &message);
    if (agents != NULL)
        aisys_node_append(load->tree, agents);
    if (r < 0)
        return r;
    config->message = (const Aisys__Config *)message;
    r = config_read_agents(load, agents);
    if (r == 0)
        r = config_fill(load);
    if (r == 0)
        r = config_read_password(load);
    if (r == 0)
        config_check(load);
    return r;
}

int aisys_config_load(const struct aisys_config_sources *sources, struct aisys_arena *arena,
    struct aisys_diag *diag, struct aisys_config **ret_config)
{
    struct config_load load = { .sources = sources, .arena = arena, .diag = diag };
    const unsigned errors = aisys_diag_errors(diag);
    const char *role_origin = "--role";
    int r;

    load.config = aisys_arena_calloc(arena, 1, sizeof(*load.config));
    load.tree = aisys_node_map(arena);
    if (load.config == NULL || load.tree == NULL)
        return -ENOMEM;
    load.config->arena = arena;
    load.config->role = sources->role;
    if (sources->role == NULL) {
        role_origin = "AI_SYSTEM_MACHINE";
        load.config->role = config_variable(sources, role_origin);
    }
    if (load.config->role == NULL || *load.config->role == '\0')
        return AISYS_CONFIG_NO_ROLE;
    load.config->role = aisys_arena_strdup(arena, load.config->role);
    if (load.config->role == NULL)
        return -ENOMEM;

    r = config_add_all(&load, role_origin);
    if (r == 0)
        r = config_read_all(&load);
    if (r < 0 || aisys_arena_failed(arena))
        return -ENOMEM;
    load.config->tree = load.tree;
    *ret_config = load.config;
    return aisys_diag_errors(diag) > errors ? AISYS_CONFIG_INVALID : 0;
}

/* ---- Afterwards ----------------------------------------------------------------------------- */

const char *aisys_config_agent_path(
    const struct aisys_config *config, const struct aisys_config_agent *agent)
{
    return aisys_arena_printf(config->arena, "agents.%s.config", agent->name);
}

int aisys_config_agent_read(struct aisys_config *config, struct aisys_config_agent *agent,
    const ProtobufCMessageDescriptor *descriptor, struct aisys_diag *diag)
{
    const char *const path = aisys_config_agent_path(config, agent);
    ProtobufCMessage *message = NULL;
    unsigned mark;
    int r;

    if (path == NULL)
        return -ENOMEM;
    if (descriptor == NULL) {
        if (agent->config == NULL || agent->config->kind == AISYS_NODE_NULL)
            return 0;
        aisys_diag_add(diag, &agent->config->where, path, "no config",
            "class %s has no configuration", agent->class_name);
        return AISYS_CONFIG_INVALID;
    }
    mark = aisys_diag_enter(diag, path);
    r = aisys_schema_read(descriptor, agent->config, config->arena, diag, &message);
    aisys_diag_leave(diag, mark);
    if (r == 0)
        agent->config_message = message;
    return r == AISYS_TREE_INVALID ? AISYS_CONFIG_INVALID : r;
}

void aisys_config_locate(const struct aisys_config *config, struct aisys_diag *diag)
{
    for (unsigned i = 0; i < diag->kept; i++) {
        struct aisys_diag_entry *const entry = &diag->entries[i];

        if (*entry->where.file != '\0' || entry->where.line != 0 || *entry->path == '\0')
            continue;
        entry->where = config_where(config->tree, entry->path);
        if (entry->where.file == NULL)
            entry->where.file = "";
    }
}

unsigned aisys_config_port(const struct aisys_config *config, unsigned port)
{
    return port != 0 ? port + config->network->port_offset : 0;
}
