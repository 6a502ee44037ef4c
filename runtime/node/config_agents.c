/* The map at `agents`: each entry typed, who depends on whom, and --only. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/suggest.h"
#include "node/config_internal.h"
#include "schema/read.h"

static bool agents_is_name(const char *text)
{
    return *text >= 'a' && *text <= 'z' && strlen(text) <= 64 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(text);
}

static size_t agents_find(const struct aisys_config *config, const char *name)
{
    for (size_t i = 0; i < config->agent_count; i++)
        if (strcmp(config->agents[i].name, name) == 0)
            return i;
    return SIZE_MAX;
}

/* A copy of the map without its `config`, which only the class can read. Children are shared. */
static struct aisys_node *agents_without_config(
    struct config_load *load, const struct aisys_node *entry, const struct aisys_node **ret_config)
{
    struct aisys_node *const map = aisys_node_map(load->arena);

    *ret_config = NULL;
    if (map == NULL)
        return NULL;
    map->where = entry->where;
    for (const struct aisys_node *at = entry->items.first; at != NULL; at = at->next) {
        struct aisys_node *copy;

        if (strcmp(at->key, "config") == 0) {
            *ret_config = at;
            continue;
        }
        copy = aisys_arena_alloc(load->arena, sizeof(*copy));
        if (copy == NULL)
            return NULL;
        *copy = *at;
        aisys_node_append(map, copy);
    }
    return map;
}

static int agents_complete(struct config_load *load, struct aisys_config_agent *agent)
{
    static const Aisys__AgentConfig__Mailbox mailbox = AISYS__AGENT_CONFIG__MAILBOX__INIT;
    static const Aisys__AgentConfig__Limits limits = AISYS__AGENT_CONFIG__LIMITS__INIT;
    const Aisys__AgentConfig *const o = agent->options;
    char path[128];

    agent->class_name = o->class_ != NULL ? o->class_ : agent->name;
    agent->mailbox = o->mailbox != NULL ? o->mailbox : &mailbox;
    agent->limits = o->limits != NULL ? o->limits : &limits;
    if (o->isolation == AISYS__AGENT_CONFIG__ISOLATION__process) {
        const struct aisys_node *const value = aisys_node_get(agent->node, "isolation");

        snprintf(path, sizeof(path), "agents.%s.isolation", agent->name);
        aisys_diag_add(load->diag, value != NULL ? &value->where : &agent->node->where, path,
            "none", "actors in processes of their own are not built yet");
    }
    if (agent->config != NULL && agent->config->kind != AISYS_NODE_MAP &&
        agent->config->kind != AISYS_NODE_NULL) {
        snprintf(path, sizeof(path), "agents.%s.config", agent->name);
        aisys_diag_add(load->diag, &agent->config->where, path, "a map of fields", "is %s",
            aisys_node_kind_name(agent->config));
    }
    return 0;
}

/* Add the agent of @entry to the configuration, if it is one. */
static int agents_add(struct config_load *load, const struct aisys_node *entry)
{
    struct aisys_config_agent *const agent = &load->config->agents[load->config->agent_count];
    ProtobufCMessage *message = NULL;
    char path[128];
    unsigned mark;
    int r;

    snprintf(path, sizeof(path), "agents.%s", entry->key);
    if (!agents_is_name(entry->key)) {
        aisys_diag_add(load->diag, &entry->where, path,
            "a name of at most 64 lower case letters, digits and _", "is no name for an actor");
        return 0;
    }
    if (entry->kind != AISYS_NODE_MAP) {
        aisys_diag_add(load->diag, &entry->where, path, "a map with at least module", "is %s",
            aisys_node_kind_name(entry));
        return 0;
    }
    *agent = (struct aisys_config_agent){ .name = entry->key };
    agent->node = agents_without_config(load, entry, &agent->config);
    if (agent->node == NULL)
        return -ENOMEM;
    mark = aisys_diag_enter(load->diag, path);
    r = aisys_schema_read(
        &aisys__agent_config__descriptor, agent->node, load->arena, load->diag, &message);
    aisys_diag_leave(load->diag, mark);
    if (r != 0)
        return r < 0 ? r : 0;
    agent->options = (const Aisys__AgentConfig *)message;
    load->config->agent_count++;
    return agents_complete(load, agent);
}

/* ---- Names ---------------------------------------------------------------------------------- */

static void agents_unknown_dependency(
    struct config_load *load, const struct aisys_config_agent *agent, size_t i)
{
    const struct aisys_config *const config = load->config;
    const char *const name = agent->options->depends[i];
    struct aisys_suggest suggest;
    struct aisys_where where;
    char path[160];

    aisys_suggest_init(&suggest, name);
    for (size_t j = 0; j < config->agent_count; j++)
        aisys_suggest_offer(&suggest, config->agents[j].name);
    snprintf(path, sizeof(path), "agents.%s.depends[%zu]", agent->name, i);
    where = config_where(load->tree, path);
    if (suggest.best != NULL)
        aisys_diag_add(load->diag, &where, path, "an agent of this role",
            "there is no \"%s\", did you mean %s?", name, suggest.best);
    else
        aisys_diag_add(
            load->diag, &where, path, "an agent of this role", "there is no \"%s\"", name);
}

static void agents_check_depends(struct config_load *load, const struct aisys_node *agents)
{
    const struct aisys_config *const config = load->config;

    for (size_t i = 0; i < config->agent_count; i++) {
        const Aisys__AgentConfig *const o = config->agents[i].options;

        for (size_t j = 0; j < o->n_depends; j++)
            if (aisys_node_get(agents, o->depends[j]) == NULL)
                agents_unknown_dependency(load, &config->agents[i], j);
    }
}

static void agents_check_aliases(struct config_load *load)
{
    const struct aisys_config *const config = load->config;

    for (size_t i = 0; i < config->agent_count; i++) {
        const char *const alias = config->agents[i].options->alias;

        for (size_t j = 0; alias != NULL && j < config->agent_count; j++) {
            const struct aisys_config_agent *const other = &config->agents[j];
            const bool same_alias =
                j < i && other->options->alias != NULL && strcmp(other->options->alias, alias) == 0;
            struct aisys_where where;
            char path[128];

            if (!same_alias && (j == i || strcmp(other->name, alias) != 0))
                continue;
            snprintf(path, sizeof(path), "agents.%s.alias", config->agents[i].name);
            where = config_where(load->tree, path);
            aisys_diag_add(load->diag, &where, path, "a name of its own",
                "%s is called \"%s\", too", other->name, alias);
        }
    }
}

/* ---- Cycles --------------------------------------------------------------------------------- */

enum agents_mark { AGENTS_NEW, AGENTS_ON_PATH, AGENTS_DONE };

struct agents_walk {
    struct config_load *load;
    unsigned char *marks; /* enum agents_mark, by agent */
    size_t *path;         /* agents from the first one followed to the one at hand */
    size_t *next;         /* by depth: which dependency comes next */
    size_t depth;
};

/* Name the whole cycle that ends in @again, which is on the path. */
static void agents_report_cycle(struct agents_walk *walk, size_t again)
{
    const struct aisys_config *const config = walk->load->config;
    const char *const name = config->agents[again].name;
    char words[AISYS_DIAG_TEXT_MAX] = "";
    struct aisys_where where;
    size_t from = 0;
    char path[128];

    while (walk->path[from] != again)
        from++;
    for (size_t i = from; i < walk->depth; i++) {
        const size_t at = strlen(words);

        snprintf(words + at, sizeof(words) - at, "%s -> ", config->agents[walk->path[i]].name);
    }
    snprintf(
        path, sizeof(path), "agents.%s.depends", config->agents[walk->path[walk->depth - 1]].name);
    where = config_where(walk->load->tree, path);
    aisys_diag_add(
        walk->load->diag, &where, path, "no cycle", "they wait for each other: %s%s", words, name);
}

/* Depth first from @start, without recursion: 512 agents in a row are no reason to run out of
 * stack. */
static void agents_walk_from(struct agents_walk *walk, size_t start)
{
    const struct aisys_config *const config = walk->load->config;

    walk->path[0] = start;
    walk->next[0] = 0;
    walk->depth = 1;
    walk->marks[start] = AGENTS_ON_PATH;
    while (walk->depth > 0) {
        const size_t at = walk->path[walk->depth - 1];
        const Aisys__AgentConfig *const o = config->agents[at].options;
        size_t to;

        if (walk->next[walk->depth - 1] == o->n_depends) {
            walk->marks[at] = AGENTS_DONE;
            walk->depth--;
            continue;
        }
        to = agents_find(config, o->depends[walk->next[walk->depth - 1]++]);
        if (to == SIZE_MAX || walk->marks[to] == AGENTS_DONE)
            continue;
        if (walk->marks[to] == AGENTS_ON_PATH) {
            agents_report_cycle(walk, to);
            continue;
        }
        walk->marks[to] = AGENTS_ON_PATH;
        walk->path[walk->depth] = to;
        walk->next[walk->depth] = 0;
        walk->depth++;
    }
}

static int agents_check_cycles(struct config_load *load)
{
    const size_t count = load->config->agent_count;
    struct agents_walk walk = {
        .load = load,
        .marks = aisys_arena_calloc(load->arena, count, 1),
        .path = aisys_arena_calloc(load->arena, count, sizeof(size_t)),
        .next = aisys_arena_calloc(load->arena, count, sizeof(size_t)),
    };

    if (walk.marks == NULL || walk.path == NULL || walk.next == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        if (walk.marks[i] == AGENTS_NEW)
            agents_walk_from(&walk, i);
    return 0;
}

/* ---- --only --------------------------------------------------------------------------------- */

static void agents_only_unknown(struct config_load *load, const char *name)
{
    const struct aisys_where where = { .file = "--only" };
    struct aisys_suggest suggest;

    aisys_suggest_init(&suggest, name);
    for (size_t i = 0; i < load->config->agent_count; i++)
        aisys_suggest_offer(&suggest, load->config->agents[i].name);
    if (suggest.best != NULL)
        aisys_diag_add(load->diag, &where, "", "agents of this role",
            "there is no \"%s\", did you mean %s?", name, suggest.best);
    else
        aisys_diag_add(load->diag, &where, "", "agents of this role", "there is no \"%s\"", name);
}

/* Keep agent @start and all it depends on. */
static void agents_keep(const struct aisys_config *config, bool *keep, size_t *stack, size_t start)
{
    size_t depth = 0;

    if (keep[start])
        return;
    keep[start] = true;
    stack[depth++] = start;
    while (depth > 0) {
        const Aisys__AgentConfig *const o = config->agents[stack[--depth]].options;

        for (size_t i = 0; i < o->n_depends; i++) {
            const size_t to = agents_find(config, o->depends[i]);

            if (to == SIZE_MAX || keep[to])
                continue;
            keep[to] = true;
            stack[depth++] = to;
        }
    }
}

static int agents_apply_only(struct config_load *load)
{
    struct aisys_config *const config = load->config;
    bool *const keep = aisys_arena_calloc(load->arena, config->agent_count, sizeof(bool));
    size_t *const stack = aisys_arena_calloc(load->arena, config->agent_count, sizeof(size_t));
    const char *at = load->sources->only;
    size_t kept = 0;

    if (keep == NULL || stack == NULL)
        return -ENOMEM;
    while (*at != '\0') {
        const size_t n = strcspn(at, ",");
        const char *const name = aisys_arena_copy(load->arena, at, n);
        size_t i;

        if (name == NULL)
            return -ENOMEM;
        i = agents_find(config, name);
        if (i != SIZE_MAX)
            agents_keep(config, keep, stack, i);
        else
            agents_only_unknown(load, name);
        at += n + (at[n] == ',');
    }
    for (size_t i = 0; i < config->agent_count; i++)
        if (keep[i] || strcmp(config->agents[i].options->module, AISYS_CONFIG_SYSTEM_MODULE) == 0)
            config->agents[kept++] = config->agents[i];
    config->agent_count = kept;
    return 0;
}

int config_read_agents(struct config_load *load, const struct aisys_node *agents)
{
    int r = 0;

    if (agents == NULL)
        return load->sources->only != NULL ? agents_apply_only(load) : 0;
    if (agents->kind != AISYS_NODE_MAP) {
        aisys_diag_add(load->diag, &agents->where, "agents", "a map of agents by name", "is %s",
            aisys_node_kind_name(agents));
        return 0;
    }
    if (agents->items.count > AISYS_CONFIG_AGENTS_MAX) {
        aisys_diag_add(load->diag, &agents->where, "agents", NULL, "%zu agents, more than %d",
            agents->items.count, AISYS_CONFIG_AGENTS_MAX);
        return 0;
    }
    load->config->agents =
        aisys_arena_calloc(load->arena, agents->items.count, sizeof(*load->config->agents));
    if (load->config->agents == NULL)
        return -ENOMEM;
    for (const struct aisys_node *at = agents->items.first; r == 0 && at != NULL; at = at->next)
        r = agents_add(load, at);
    if (r < 0)
        return r;
    agents_check_depends(load, agents);
    agents_check_aliases(load);
    r = agents_check_cycles(load);
    if (r == 0 && load->sources->only != NULL)
        r = agents_apply_only(load);
    return r;
}
