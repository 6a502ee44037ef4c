/* orchestrator: lists, describes and restarts the actors of the node, tells its configuration
 * (proto/aisys/system.proto). */
#include "orchestrator.h"

#include "system_classes.h"
#include <errno.h>
#include <string.h>

#define NO_MEMORY "no memory to write the answer: raise limits.memory_mb of this actor"

void orchestrator_fill_actor(
    struct scratch *scratch, const struct aisys_actor_info *info, Aisys__System__Actor *ret_actor)
{
    const struct aisys_node_facts *facts = aisys_system_facts(scratch->self);
    const struct aisys_accounts *accounts = &info->accounts;
    struct aisys_health health;

    aisys_system_health(scratch->self, info->id, &health);
    aisys__system__actor__init(ret_actor);
    ret_actor->name = (char *)(uintptr_t)info->name;
    ret_actor->alias = text_or_unset(info->alias);
    ret_actor->class_ = (char *)(uintptr_t)info->ops->name;
    if (facts->module)
        ret_actor->module = text_or_unset(facts->module(facts->ctx, info->ops));
    ret_actor->state = (char *)(uintptr_t)info->state;
    ret_actor->has_health = true;
    ret_actor->health = (Aisys__System__NodeCheck__Status)health.status;
    if (health.why[0])
        ret_actor->why = scratch_text(scratch, "%s", health.why);
    ret_actor->has_restarts = true;
    ret_actor->restarts = info->restarts;
    ret_actor->has_queued = true;
    ret_actor->queued = accounts->queued;
    ret_actor->has_handled = true;
    ret_actor->handled = accounts->handled;
    ret_actor->has_failed = true;
    ret_actor->failed = accounts->failed;
    ret_actor->has_refused = true;
    ret_actor->refused = accounts->refused;
    ret_actor->has_memory_bytes = true;
    ret_actor->memory_bytes = info->memory_bytes;
    ret_actor->has_loop_ms = true;
    ret_actor->loop_ms = (double)info->loop_ns / 1e6;
    ret_actor->has_pool_ms = true;
    ret_actor->pool_ms = (double)info->pool_ns / 1e6;
    ret_actor->has_hidden = info->hidden;
    ret_actor->hidden = info->hidden;
}

static int orchestrator_list(struct aisys_actor *self, const void *message, aisys_reply reply)
{
    const Aisys__System__ListRequest *request = message;
    Aisys__System__ListReply answer = AISYS__SYSTEM__LIST_REPLY__INIT;
    Aisys__System__Actor *actors;
    struct snapshot snapshot;
    struct scratch scratch;

    scratch_init(&scratch, self);
    if (snapshot_take(&scratch, &snapshot)) {
        actors = scratch_alloc(&scratch, snapshot.nr * sizeof(*actors));
        answer.actors = scratch_alloc(&scratch, snapshot.nr * sizeof(Aisys__System__Actor *));
        for (size_t i = 0; i < snapshot.nr && !scratch_failed(&scratch); i++) {
            if (snapshot.actors[i].hidden && !request->all)
                continue;
            orchestrator_fill_actor(&scratch, &snapshot.actors[i], &actors[answer.n_actors]);
            answer.actors[answer.n_actors] = &actors[answer.n_actors];
            answer.n_actors++;
        }
    }
    if (scratch_failed(&scratch))
        aisys_fail(self, reply, AISYS_RESOURCE_EXHAUSTED, NO_MEMORY);
    else
        aisys_answer(self, reply, &answer.base);
    scratch_deinit(&scratch);
    return 0;
}

/* NOT_FOUND with the name that was perhaps meant. */
static void orchestrator_no_such_actor(
    struct aisys_actor *self, aisys_reply reply, const char *name)
{
    const char *meant = aisys_system_suggest(self, name);

    if (meant)
        aisys_fail(self, reply, AISYS_NOT_FOUND, "no actor is called \"%s\"; did you mean \"%s\"?",
            name, meant);
    else
        aisys_fail(self, reply, AISYS_NOT_FOUND,
            "no actor is called \"%s\"; orchestrator List shows those there are", name);
}

static int orchestrator_describe(struct aisys_actor *self, const void *message, aisys_reply reply)
{
    const Aisys__System__DescribeRequest *request = message;
    Aisys__System__DescribeReply answer;
    struct aisys_actor_info info;
    struct scratch scratch;

    if (!aisys_system_find(self, request->actor, &info)) {
        orchestrator_no_such_actor(self, reply, request->actor);
        return 0;
    }
    scratch_init(&scratch, self);
    orchestrator_fill_description(&scratch, &info, &answer);
    if (scratch_failed(&scratch))
        aisys_fail(self, reply, AISYS_RESOURCE_EXHAUSTED, NO_MEMORY);
    else
        aisys_answer(self, reply, &answer.base);
    scratch_deinit(&scratch);
    return 0;
}

static int orchestrator_restart(struct aisys_actor *self, const void *message, aisys_reply reply)
{
    const Aisys__System__RestartRequest *request = message;
    const Aisys__System__RestartReply answer = AISYS__SYSTEM__RESTART_REPLY__INIT;
    struct aisys_actor_info info;
    struct aisys_core_info core;
    int r;

    if (!aisys_system_find(self, request->actor, &info)) {
        orchestrator_no_such_actor(self, reply, request->actor);
        return 0;
    }
    if (info.hidden)
        return aisys_fail(self, reply, AISYS_FAILED_PRECONDITION,
                   "\"%s\" is a part of the node: restart the node", info.name) < 0
                   ? -EIO
                   : 0;
    r = aisys_system_restart(self, request->actor);
    if (r < 0) {
        aisys_system_stats(self, &core);
        aisys_fail(self, reply, AISYS_FAILED_PRECONDITION,
            core.state == AISYS_CORE_STOPPING
                ? "the node is stopping"
                : "\"%s\" is %s: only an actor that runs or is down can be restarted",
            info.name, info.state);
        return 0;
    }
    aisys_log(self, AISYS_INFO, "restart_asked", "actor=%s was=%s", info.name, info.state);
    aisys_answer(self, reply, &answer.base);
    return 0;
}

/* ---- Config --------------------------------------------------------------------------------- */

/* A text that comes in pieces: counted first, then kept. */
struct config_text {
    char *at; /* NULL: count alone */
    size_t bytes, room;
};

static int config_put(void *ctx, const char *text, size_t bytes)
{
    struct config_text *to = ctx;

    if (to->at) {
        if (bytes > to->room - to->bytes)
            return -ENOSPC;
        memcpy(to->at + to->bytes, text, bytes);
    }
    to->bytes += bytes;
    return 0;
}

static int orchestrator_config(struct aisys_actor *self, const void *message, aisys_reply reply)
{
    const struct aisys_node_facts *facts = aisys_system_facts(self);
    Aisys__System__ConfigReply answer = AISYS__SYSTEM__CONFIG_REPLY__INIT;
    struct config_text count = { 0 }, text = { 0 };
    struct scratch scratch;

    (void)message;
    if (!facts->config) {
        aisys_fail(self, reply, AISYS_UNAVAILABLE, "the node does not tell its configuration");
        return 0;
    }
    scratch_init(&scratch, self);
    if (facts->config(facts->ctx, config_put, &count) == 0) {
        text.room = count.bytes;
        text.at = scratch_alloc(&scratch, count.bytes + 1);
    }
    if (text.at && facts->config(facts->ctx, config_put, &text) == 0) {
        text.at[text.bytes] = '\0';
        answer.text = text.at;
        aisys_answer(self, reply, &answer.base);
    } else {
        aisys_fail(self, reply, AISYS_RESOURCE_EXHAUSTED, NO_MEMORY);
    }
    scratch_deinit(&scratch);
    return 0;
}

static const struct aisys_method orchestrator_methods[] = {
    { "List", orchestrator_list },
    { "Describe", orchestrator_describe },
    { "Restart", orchestrator_restart },
    { "Config", orchestrator_config },
    { 0 },
};

const struct aisys_actor_ops aisys_orchestrator_ops = {
    .abi = AISYS_ABI,
    .name = "orchestrator",
    .service = &aisys__system__orchestrator__descriptor,
    .config = &aisys__system__orchestrator_config__descriptor,
    .methods = orchestrator_methods,
};
