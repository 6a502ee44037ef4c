/* Values that are given as text: AI_<SECTION>_<KEY> variables and --set. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/suggest.h"
#include "node/config_internal.h"

#define TEXT_PREFIX    "AI_"
#define TEXT_MAIN_HOST "AI_MAIN_PC_HOST"
#define TEXT_PATH_MAX  16 /* parts of a --set path */

/* Variables that choose the files; the load has looked at them already. */
static bool text_is_choice(const char *name)
{
    return strcmp(name, "AI_SYSTEM_ENV") == 0 || strcmp(name, "AI_SYSTEM_MACHINE") == 0;
}

const char *config_variable(const struct aisys_config_sources *sources, const char *name)
{
    const size_t n = strlen(name);

    for (const char *const *at = sources->environ; at != NULL && *at != NULL; at++)
        if (strncmp(*at, name, n) == 0 && (*at)[n] == '=')
            return *at + n + 1;
    return NULL;
}

static struct aisys_node *text_child_map(
    struct config_load *load, struct aisys_node *map, const char *name, const char *origin)
{
    struct aisys_node *child = aisys_node_get(map, name);

    if (child != NULL && child->kind == AISYS_NODE_MAP)
        return child;
    aisys_node_take(map, name);
    child = aisys_node_map(load->arena);
    if (child == NULL)
        return NULL;
    child->where.file = origin;
    aisys_node_set(map, name, child);
    return child;
}

int config_put_text(struct config_load *load, struct aisys_node *map, const char *path,
    const char *text, const char *origin)
{
    const char *const kept = aisys_arena_strdup(load->arena, origin);
    struct aisys_node *node;

    for (;;) {
        const size_t n = strcspn(path, ".");
        const char *const name = aisys_arena_copy(load->arena, path, n);

        if (name == NULL || kept == NULL)
            return -ENOMEM;
        if (path[n] == '\0') {
            node = aisys_node_string(load->arena, text);
            if (node == NULL)
                return -ENOMEM;
            node->style = AISYS_STYLE_TEXT;
            node->where.file = kept;
            aisys_node_take(map, name);
            aisys_node_set(map, name, node);
            return 0;
        }
        map = text_child_map(load, map, name, kept);
        if (map == NULL)
            return -ENOMEM;
        path += n + 1;
    }
}

/* "AI_NETWORK_PORT" for network and port. */
static void text_variable_name(const char *section, const char *key, char *buf, size_t size)
{
    snprintf(buf, size, TEXT_PREFIX "%s_%s", section, key);
    for (char *at = buf; *at != '\0'; at++)
        *at = (char)toupper((unsigned char)*at);
}

/* Call @each for every key of every section, with its variable, until it returns true. */
static bool text_each_variable(
    bool (*each)(void *ctx, const char *variable, const char *section, const char *key), void *ctx)
{
    for (unsigned i = 0; i < aisys__config__descriptor.n_fields; i++) {
        const ProtobufCFieldDescriptor *const field = &aisys__config__descriptor.fields[i];
        const ProtobufCMessageDescriptor *const section = field->descriptor;

        for (unsigned j = 0; j < section->n_fields; j++) {
            char variable[AISYS_SUGGEST_BYTES_MAX];

            text_variable_name(field->name, section->fields[j].name, variable, sizeof(variable));
            if (each(ctx, variable, field->name, section->fields[j].name))
                return true;
        }
    }
    return false;
}

struct text_match {
    const char *name; /* looked for, without "=value" */
    char path[128];   /* found: "section.key" */
    struct aisys_suggest suggest;
    char best[AISYS_SUGGEST_BYTES_MAX];
};

static bool text_match_one(void *ctx, const char *variable, const char *section, const char *key)
{
    struct text_match *const match = ctx;

    if (strcmp(match->name, variable) == 0) {
        snprintf(match->path, sizeof(match->path), "%s.%s", section, key);
        return true;
    }
    return false;
}

static bool text_suggest_one(void *ctx, const char *variable, const char *section, const char *key)
{
    struct text_match *const match = ctx;
    const size_t before = match->suggest.best_distance;

    (void)section;
    (void)key;
    aisys_suggest_offer(&match->suggest, variable);
    if (match->suggest.best_distance < before)
        snprintf(match->best, sizeof(match->best), "%s", variable);
    return false;
}

static void text_unknown_variable(struct config_load *load, const char *name)
{
    struct text_match match = { .name = name };

    if (strncmp(name, "AI_AGENTS_", 10) == 0) {
        aisys_diag_warn(load->diag, NULL, name, "--set agents.NAME.config.KEY=VALUE",
            "matches no key: agents have no variables");
        return;
    }
    aisys_suggest_init(&match.suggest, name);
    text_each_variable(text_suggest_one, &match);
    text_suggest_one(&match, TEXT_MAIN_HOST, "", "");
    if (match.best[0] != '\0')
        aisys_diag_warn(
            load->diag, NULL, name, NULL, "matches no key, did you mean %s?", match.best);
    else
        aisys_diag_warn(
            load->diag, NULL, name, NULL, "matches no key of the configuration and is ignored");
}

static int text_add_variable(struct config_load *load, const char *entry)
{
    const size_t n = strcspn(entry, "=");
    char name[AISYS_DIAG_TEXT_MAX];
    struct text_match match = { .name = name };

    if (entry[n] == '\0' || n >= sizeof(name))
        return 0;
    memcpy(name, entry, n);
    name[n] = '\0';
    if (text_is_choice(name) || strcmp(name, TEXT_MAIN_HOST) == 0)
        return 0;
    if (!text_each_variable(text_match_one, &match)) {
        text_unknown_variable(load, name);
        return 0;
    }
    return config_put_text(load, load->tree, match.path, entry + n + 1, name);
}

/* The peer that AI_MAIN_PC_HOST names, for every node but the main PC itself. */
static int text_add_main_host(struct config_load *load)
{
    const char *const host = config_variable(load->sources, TEXT_MAIN_HOST);
    const char *text;

    if (host == NULL || *host == '\0' || strcmp(load->config->role, "main_pc") == 0)
        return 0;
    text = aisys_arena_printf(load->arena, "main_pc=%s", host);
    if (text == NULL)
        return -ENOMEM;
    return config_put_text(load, load->tree, "cluster.nodes", text, TEXT_MAIN_HOST);
}

int config_add_variables(struct config_load *load)
{
    int r = text_add_main_host(load);

    for (const char *const *at = load->sources->environ; r == 0 && at != NULL && *at != NULL; at++)
        if (strncmp(*at, TEXT_PREFIX, strlen(TEXT_PREFIX)) == 0)
            r = text_add_variable(load, *at);
    return r;
}

/* An agent cannot come into being by a slip of the pen on the command line. */
static bool text_agent_is_known(struct config_load *load, const char *path)
{
    const struct aisys_node *const agents = aisys_node_get(load->tree, "agents");
    const struct aisys_where where = { .file = "--set" };
    char name[AISYS_SUGGEST_BYTES_MAX];
    struct aisys_suggest suggest;

    if (strncmp(path, "agents.", 7) != 0)
        return true;
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(path + 7, "."), path + 7);
    if (aisys_node_get(agents, name) != NULL)
        return true;
    aisys_suggest_init(&suggest, name);
    if (agents != NULL && agents->kind == AISYS_NODE_MAP)
        for (const struct aisys_node *at = agents->items.first; at != NULL; at = at->next)
            aisys_suggest_offer(&suggest, at->key);
    if (suggest.best != NULL)
        aisys_diag_add(load->diag, &where, path, NULL, "there is no agent \"%s\", did you mean %s?",
            name, suggest.best);
    else
        aisys_diag_add(load->diag, &where, path, NULL, "there is no agent \"%s\"", name);
    return false;
}

/* Whether @path is names joined by dots: a section and a key at least. */
static bool text_is_path(const char *path)
{
    unsigned parts = 1;

    if (*path == '.' || strstr(path, "..") != NULL || strpbrk(path, "[] ") != NULL)
        return false;
    for (const char *at = path; *at != '\0'; at++)
        if (*at == '.' && (at[1] == '\0' || ++parts > TEXT_PATH_MAX))
            return false;
    return parts >= 2;
}

int config_add_sets(struct config_load *load)
{
    const struct aisys_where where = { .file = "--set" };

    for (const char *const *at = load->sources->sets; at != NULL && *at != NULL; at++) {
        const size_t n = strcspn(*at, "=");
        const char *const path = aisys_arena_copy(load->arena, *at, n);
        int r;

        if (path == NULL)
            return -ENOMEM;
        if ((*at)[n] == '\0' || !text_is_path(path)) {
            aisys_diag_add(load->diag, &where, "",
                "section.key=value or agents.NAME.config.KEY=value", "cannot be read: \"%s\"", *at);
            continue;
        }
        if (!text_agent_is_known(load, path))
            continue;
        r = config_put_text(load, load->tree, path, *at + n + 1, "--set");
        if (r < 0)
            return r;
    }
    return 0;
}
