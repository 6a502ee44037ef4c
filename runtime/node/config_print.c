/* --print-config and --print-schema. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/tree_yaml.h"
#include "node/config_internal.h"
#include "schema/json_schema.h"
#include "schema/write.h"

#define PRINT_FLAGS     (AISYS_WRITE_MASK | AISYS_WRITE_DEFAULTS | AISYS_WRITE_NUMBERS)
#define PRINT_BYTES_MAX (64u * 1024u * 1024u)

/* Give each value of @node the place of the one that it was read from. */
static void print_annotate(struct aisys_node *node, const struct aisys_node *from)
{
    const bool list = node->kind == AISYS_NODE_LIST;
    const struct aisys_node *item = NULL;

    if (from != NULL)
        node->where = from->where;
    else
        node->where.file = "default";
    if (!list && node->kind != AISYS_NODE_MAP)
        return;
    if (list && from != NULL && from->kind == AISYS_NODE_LIST)
        item = from->items.first;
    for (struct aisys_node *at = node->items.first; at != NULL; at = at->next) {
        if (!list)
            item = aisys_node_get(from, at->key);
        print_annotate(at, list && item == NULL ? from : item);
        if (list && item != NULL)
            item = item->next;
    }
}

static const char *print_origin(void *ctx, const struct aisys_node *node)
{
    char(*buf)[AISYS_DIAG_TEXT_MAX] = ctx;

    if (node->where.file == NULL || node->kind == AISYS_NODE_MAP)
        return NULL;
    if (node->where.line == 0)
        return node->where.file;
    snprintf(*buf, sizeof(*buf), "%s:%u", node->where.file, node->where.line);
    return *buf;
}

/* A typed message as a tree with origins; NULL when there is no memory. */
static struct aisys_node *print_message(
    const ProtobufCMessage *message, const struct aisys_node *from, struct aisys_arena *arena)
{
    struct aisys_node *node = NULL;

    if (aisys_schema_write(message, PRINT_FLAGS, arena, &node) < 0)
        return NULL;
    print_annotate(node, from);
    return node;
}

static struct aisys_node *print_agent(
    const struct aisys_config_agent *agent, struct aisys_arena *arena)
{
    Aisys__AgentConfig options = *agent->options;
    struct aisys_node *node;

    /* What has a default is shown, also where it is a part or the name. */
    options.class_ = (char *)(uintptr_t)agent->class_name;
    options.mailbox = (Aisys__AgentConfig__Mailbox *)(uintptr_t)agent->mailbox;
    options.limits = (Aisys__AgentConfig__Limits *)(uintptr_t)agent->limits;
    node = print_message(&options.base, agent->node, arena);
    if (node == NULL)
        return NULL;
    if (agent->config_message != NULL)
        aisys_node_set(node, "config", print_message(agent->config_message, agent->config, arena));
    else if (agent->config != NULL)
        aisys_node_set(node, "config", aisys_tree_copy(arena, agent->config));
    return node;
}

static int print_line(aisys_text_fn sink, void *ctx, const char *text)
{
    return sink(ctx, text, strlen(text));
}

int aisys_config_print(const struct aisys_config *config, aisys_text_fn sink, void *ctx)
{
    char origin[AISYS_DIAG_TEXT_MAX];
    struct aisys_node *root, *agents;
    struct aisys_arena arena;
    int r = -ENOMEM;

    aisys_arena_init(&arena, config->arena->from, PRINT_BYTES_MAX);
    root = print_message(&config->message->base, config->tree, &arena);
    agents = aisys_node_map(&arena);
    for (size_t i = 0; i < config->agent_count; i++)
        aisys_node_set(agents, config->agents[i].name, print_agent(&config->agents[i], &arena));
    if (root != NULL && !aisys_arena_failed(&arena)) {
        aisys_node_set(root, "agents", agents);
        snprintf(origin, sizeof(origin), "# role %s, env %s\n", config->role, config->env);
        r = print_line(sink, ctx, origin);
        if (r == 0)
            r = aisys_tree_yaml_write(root, print_origin, &origin, sink, ctx);
    }
    aisys_arena_deinit(&arena);
    return r;
}

/* ---- Schema --------------------------------------------------------------------------------- */

/* The schema of an entry of agents whose class is configured by @descriptor; NULL: by anything. */
static struct aisys_node *print_agent_schema(const ProtobufCMessageDescriptor *descriptor,
    struct aisys_node *defs, struct aisys_arena *arena)
{
    struct aisys_node *const entry =
        aisys_json_schema_part(&aisys__agent_config__descriptor, defs, arena);
    struct aisys_node *const fields = aisys_node_get(entry, "properties");
    struct aisys_node *config;

    if (fields == NULL)
        return NULL;
    aisys_node_take(entry, "required"); /* of the layers together, not of each */
    if (descriptor != NULL) {
        config = aisys_json_schema_part(descriptor, defs, arena);
        if (config != NULL)
            aisys_node_take(config, "required");
    } else {
        config = aisys_node_map(arena);
        aisys_node_set(config, "type", aisys_node_string(arena, "object"));
    }
    aisys_node_set(fields, "config", config);
    return entry;
}

static struct aisys_node *print_agents_schema(const struct aisys_config *config,
    aisys_config_class_fn class_of, void *class_ctx, struct aisys_node *defs,
    struct aisys_arena *arena)
{
    struct aisys_node *const agents = aisys_node_map(arena), *const named = aisys_node_map(arena);

    aisys_node_set(agents, "type", aisys_node_string(arena, "object"));
    aisys_node_set(
        agents, "description", aisys_node_string(arena, "The actors of the role, by name."));
    for (size_t i = 0; config != NULL && class_of != NULL && i < config->agent_count; i++) {
        const struct aisys_config_agent *const agent = &config->agents[i];

        aisys_node_set(named, agent->name,
            print_agent_schema(
                class_of(class_ctx, agent->options->module, agent->class_name), defs, arena));
    }
    aisys_node_set(agents, "properties", named);
    aisys_node_set(agents, "additionalProperties", print_agent_schema(NULL, defs, arena));
    return agents;
}

int aisys_config_print_schema(const struct aisys_config *config, aisys_config_class_fn class_of,
    void *class_ctx, struct aisys_arena *scratch, aisys_text_fn sink, void *ctx)
{
    struct aisys_node *root = NULL, *defs;
    int r = aisys_json_schema(&aisys__config__descriptor, scratch, &root);

    if (r < 0)
        return r;
    defs = aisys_node_get(root, "$defs");
    aisys_node_set(aisys_node_get(root, "properties"), "agents",
        print_agents_schema(config, class_of, class_ctx, defs, scratch));
    if (aisys_arena_failed(scratch))
        return -ENOMEM;
    r = aisys_tree_json_write(root, 2, sink, ctx);
    return r == 0 ? print_line(sink, ctx, "\n") : r;
}
