#include "core/check.h"
#include "agents.h"

#include <aisys/diag.h>
#include <errno.h>
#include <stdio.h>

/* The class @class_name of @module, with the module loaded. */
static int class_find(struct aisys_modules *modules, struct aisys_core *core, const char *module,
    const char *class_name, struct aisys_diag *diag, struct aisys_class **ret_class)
{
    const int r = aisys_modules_load(modules, core, module, diag);

    if (r < 0)
        return r;
    *ret_class = aisys_core_class(core, class_name);
    if (*ret_class)
        return 0;
    aisys_diag_add(diag, NULL, "", "a class of that module", "there is no class %s in module %s",
        class_name, module);
    return -EINVAL;
}

/* Read the agent's own configuration, and let its class look at it. */
static int agent_read(struct aisys_config *config, struct aisys_config_agent *agent,
    const struct aisys_actor_ops *ops, struct aisys_diag *diag)
{
    const unsigned before = aisys_diag_errors(diag);
    const char *path = aisys_config_agent_path(config, agent);
    const int r = aisys_config_agent_read(config, agent, ops->config, diag);

    if (r < 0 || !path)
        return -ENOMEM;
    if (r == 0 && ops->check) {
        const unsigned mark = aisys_diag_enter(diag, path);

        ops->check(agent->config_message, diag);
        aisys_diag_leave(diag, mark);
    }
    return aisys_diag_errors(diag) == before ? 0 : -EINVAL;
}

static int agent_prepare(struct aisys_modules *modules, struct aisys_core *core,
    struct aisys_config *config, struct aisys_config_agent *agent, struct aisys_diag *diag,
    struct aisys_class **ret_class)
{
    char path[128];
    unsigned mark;
    int r;

    snprintf(path, sizeof(path), "agents.%s.module", agent->name);
    mark = aisys_diag_enter(diag, path);
    r = class_find(modules, core, agent->options->module, agent->class_name, diag, ret_class);
    aisys_diag_leave(diag, mark);
    return r < 0 ? r : agent_read(config, agent, aisys_class_ops(*ret_class), diag);
}

static const char *const no_depends[] = { NULL };

/* A list of names as the core wants it; in the configuration's arena. */
static const char *const *depends_list(
    const struct aisys_config *config, const Aisys__AgentConfig *options)
{
    const char **list;

    if (!options->n_depends)
        return no_depends;
    list = aisys_arena_calloc(config->arena, options->n_depends + 1, sizeof(*list));
    for (size_t i = 0; list && i < options->n_depends; i++)
        list[i] = options->depends[i];
    return list;
}

static int agent_spawn(struct aisys_core *core, const struct aisys_config *config,
    const struct aisys_config_agent *agent, struct aisys_class *class, struct aisys_diag *diag)
{
    const struct aisys_actor_options options = {
        .name = agent->name,
        .alias = agent->options->alias,
        .config = agent->config_message,
        .depends = depends_list(config, agent->options),
        .mailbox_messages = agent->mailbox->messages,
        .mailbox_bytes = agent->mailbox->bytes,
        .policy = agent->mailbox->policy == AISYS__AGENT_CONFIG__MAILBOX__POLICY__drop_oldest
                      ? AISYS_MAILBOX_DROP_OLDEST
                      : AISYS_MAILBOX_REFUSE,
        .memory_bytes_max = (uint64_t)agent->limits->memory_mb << 20,
        .lane = agent->options->has_lane ? (uint8_t)(agent->options->lane + 1) : 0,
        .never_restart = agent->options->restart == AISYS__AGENT_CONFIG__RESTART__never,
    };
    struct aisys_id id;
    int r;

    if (!options.depends)
        return -ENOMEM;
    r = aisys_core_spawn(core, class, &options, &id);
    if (r == -EEXIST)
        aisys_diag_add(
            diag, NULL, agent->name, "another name or alias", "the name or its alias is taken");
    return r < 0 ? r : 0;
}

int aisys_agents_add(struct aisys_modules *modules, struct aisys_core *core,
    struct aisys_config *config, struct aisys_diag *diag)
{
    int result = 0;

    for (size_t i = 0; i < config->agent_count; i++) {
        struct aisys_config_agent *agent = &config->agents[i];
        struct aisys_class *class;
        int r = agent_prepare(modules, core, config, agent, diag, &class);

        if (r == 0)
            r = agent_spawn(core, config, agent, class, diag);
        result = result ? result : r;
    }
    return result;
}
