/* An actor's life: added, started, failed, started again, drained, stopped, torn down. */
#include "internal.h"

#include "utf8.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>

#define ACTOR_LINK               offsetof(struct aisys_actor, slot)
#define MAILBOX_MESSAGES_DEFAULT 1024u
#define MAILBOX_BYTES_DEFAULT    (32u * 1024 * 1024)

const char *aisys_life_name(enum life life)
{
    static const char *const names[LIFE_NR] = {
        [LIFE_FREE] = "gone",
        [LIFE_ADDED] = "waiting",
        [LIFE_STARTING] = "starting",
        [LIFE_RUNNING] = "running",
        [LIFE_DRAINING] = "draining",
        [LIFE_STOPPING] = "stopping",
        [LIFE_STOPPED] = "stopped",
        [LIFE_FAILED] = "failed",
        [LIFE_DOWN] = "down",
    };

    return names[life];
}

struct aisys_id aisys_self(const struct aisys_actor *self)
{
    return actor_id(self);
}

const char *aisys_name(const struct aisys_actor *self)
{
    return self->supervised ? self->supervised->name : "";
}

struct aisys_actor *aisys_core_actor(const struct aisys_core *core, struct aisys_id id)
{
    return actor_find(core, id);
}

/* ---- Adding --------------------------------------------------------------------------------- */

static void supervised_free(struct aisys_core *core, struct supervised *supervised)
{
    if (!supervised)
        return;
    for (char **depend = supervised->depends; depend && *depend; depend++)
        core_release(core, *depend);
    core_release(core, supervised->depends);
    core_release(core, supervised->alias);
    core_release(core, supervised->name);
    core_release(core, supervised);
}

static void restart_due(struct wheel_node *node, void *ctx);

static struct supervised *supervised_new(
    struct aisys_core *core, const struct aisys_actor_options *options)
{
    struct supervised *supervised = core_calloc(core, sizeof(*supervised));
    size_t n = 0;

    if (!supervised)
        return NULL;
    supervised->hidden = options->hidden;
    supervised->never_restart = options->never_restart;
    supervised->restart_timer.expired = restart_due;
    supervised->name = aisys_core_strdup(core, options->name);
    if (!supervised->name)
        goto fail;
    while (options->depends && options->depends[n])
        n++;
    supervised->depends = core_calloc(core, (n + 1) * sizeof(*supervised->depends));
    if (!supervised->depends)
        goto fail;
    for (size_t i = 0; i < n; i++) {
        supervised->depends[i] = aisys_core_strdup(core, options->depends[i]);
        if (!supervised->depends[i])
            goto fail;
    }
    if (options->alias) {
        supervised->alias = aisys_core_strdup(core, options->alias);
        if (!supervised->alias)
            goto fail;
    }
    return supervised;

fail:
    supervised_free(core, supervised);
    return NULL;
}

static int actor_give_name(struct aisys_actor *actor, const struct aisys_actor_options *options)
{
    struct aisys_core *core = actor->core;
    struct supervised *supervised = supervised_new(core, options);
    int r;

    if (!supervised)
        return -ENOMEM;
    r = aisys_names_add(core, supervised->name, actor->slot);
    if (r < 0)
        goto fail;
    r = supervised->alias ? aisys_names_add(core, supervised->alias, actor->slot) : 0;
    if (r < 0) {
        aisys_names_remove(core, supervised->name);
        goto fail;
    }
    supervised->prev = core->last;
    if (core->last)
        core->last->supervised->next = actor;
    else
        core->first = actor;
    core->last = actor;
    actor->supervised = supervised;
    return 0;

fail:
    supervised_free(core, supervised);
    return r;
}

static void actor_take_name(struct aisys_actor *actor)
{
    struct supervised *supervised = actor->supervised;
    struct aisys_core *core = actor->core;

    if (!supervised)
        return;
    aisys_wheel_disarm(&core->wheel, &supervised->restart_timer);
    aisys_names_remove(core, supervised->name);
    if (supervised->alias)
        aisys_names_remove(core, supervised->alias);
    if (supervised->prev)
        supervised->prev->supervised->next = supervised->next;
    else
        core->first = supervised->next;
    if (supervised->next)
        supervised->next->supervised->prev = supervised->prev;
    else
        core->last = supervised->prev;
    supervised_free(core, supervised);
    actor->supervised = NULL;
}

void aisys_actor_begin_start(struct aisys_actor *actor)
{
    if (actor->supervised)
        aisys_wheel_disarm(&actor->core->wheel, &actor->supervised->restart_timer);
    actor->life = LIFE_STARTING;
    actor->todo = TODO_START;
    actor_run_later(actor);
}

int aisys_core_spawn(struct aisys_core *core, struct aisys_class *class,
    const struct aisys_actor_options *options, struct aisys_id *ret_id)
{
    uint32_t slot;
    struct aisys_actor *actor = aisys_table_take(&core->actors, ACTOR_LINK, &slot);
    uint32_t generation;

    if (!actor)
        return core->actors.used >= core->actors.max ? AISYS_SEND_FULL : -ENOMEM;
    generation = actor->generation + 1 ? actor->generation + 1 : 1;
    *actor = (struct aisys_actor){
        .class = class,
        .core = core,
        .slot = slot,
        .generation = generation,
        .queued_max =
            options->mailbox_messages ? options->mailbox_messages : MAILBOX_MESSAGES_DEFAULT,
        .queued_bytes_max = options->mailbox_bytes ? options->mailbox_bytes : MAILBOX_BYTES_DEFAULT,
        .drop_oldest = options->policy == AISYS_MAILBOX_DROP_OLDEST,
        .memory_bytes_max = options->memory_bytes_max,
        .config = options->config,
        .lane = options->lane,
        .life = LIFE_ADDED,
    };
    if (options->name) {
        const int r = actor_give_name(actor, options);

        if (r < 0) {
            actor->life = LIFE_FREE;
            aisys_table_give(&core->actors, ACTOR_LINK, actor, slot);
            return r;
        }
    } else if (class->ops->start || class->ops->state_bytes) {
        aisys_actor_begin_start(actor);
    } else {
        actor->life = LIFE_RUNNING;
    }
    *ret_id = (struct aisys_id){ core->node, slot, generation };
    if (options->name)
        aisys_dependencies_changed(core);
    return 0;
}

/* ---- Tearing down --------------------------------------------------------------------------- */

/* Everything that this instance owns is released; its mailbox, name and accounts stay. */
static void actor_tear_down(struct aisys_actor *actor, int code, const char *words)
{
    struct aisys_core *core = actor->core;

    while (actor->ops) /* an end that is in the mailbox already finds no op, and is dropped */
        aisys_op_abandon(core, actor->ops);
    while (actor->replies)
        aisys_reply_fail(core, actor->replies, code, words);
    if (core->env->actor_gone)
        core->env->actor_gone(core->env->gone_ctx, actor);
    core_release(core, actor->state);
    actor->state = NULL;
    aisys_blocks_release(actor);
    actor->fate = FATE_NONE;
    actor->todo = TODO_NOTHING;
}

/* What waits in the mailbox of an actor that will not handle it. */
static void actor_bury_mailbox(struct aisys_actor *actor, const char *words)
{
    struct message *message;

    while ((message = mailbox_pop(actor))) {
        aisys_message_fail(actor->core, actor_id(actor), message, AISYS_UNAVAILABLE, words);
        aisys_dead_message(actor, message, AISYS_DEAD_STOPPED);
    }
}

/* The slot is given back; an actor whose handler runs is given back after it. */
static void actor_remove(struct aisys_actor *actor)
{
    struct aisys_core *core = actor->core;

    actor_bury_mailbox(actor, "the actor has stopped");
    actor_take_name(actor);
    core_release(core, actor->measured);
    actor->measured = NULL;
    actor->life = LIFE_FREE;
    if (core->current != actor && !actor->runnable)
        aisys_table_give(&core->actors, ACTOR_LINK, actor, actor->slot);
}

void aisys_actor_kill(struct aisys_actor *actor)
{
    struct aisys_core *core = actor->core;

    actor_tear_down(actor, AISYS_UNAVAILABLE, "the actor was stopped");
    actor_remove(actor);
    aisys_dependencies_changed(core);
}

void aisys_core_kill(struct aisys_core *core, struct aisys_id id)
{
    struct aisys_actor *actor = actor_find(core, id);

    if (!actor)
        return;
    if (core->current == actor)
        actor->fate = FATE_KILLED; /* its handler still uses what it has */
    else
        aisys_actor_kill(actor);
}

/* ---- Starting and failing ------------------------------------------------------------------- */

static void actor_runs(struct aisys_actor *actor)
{
    actor->life = LIFE_RUNNING;
    if (actor->queued)
        actor_run_later(actor);
    aisys_dependencies_changed(actor->core);
}

void aisys_ready(struct aisys_actor *self)
{
    if (self->life != LIFE_STARTING || self->todo != TODO_NOTHING)
        aisys_check_failed_in_actor(
            "ready() is called once, after start() was pending", __FILE__, __LINE__);
    actor_runs(self);
}

static int actor_do_start(struct aisys_actor *actor)
{
    const struct aisys_actor_ops *ops = actor->class->ops;
    int r;

    if (ops->state_bytes) {
        actor->state = core_calloc(actor->core, ops->state_bytes);
        if (!actor->state)
            return -ENOMEM;
    }
    r = ops->start ? ops->start(actor, actor->config) : 0;
    if (r == 0 && actor->life == LIFE_STARTING)
        actor_runs(actor);
    return r < 0 ? r : 0;
}

static int actor_do_stop(struct aisys_actor *actor)
{
    const struct aisys_actor_ops *ops = actor->class->ops;
    const bool restarting = actor->supervised && actor->supervised->restarting;
    const int r =
        ops->stop ? ops->stop(actor, restarting ? AISYS_STOP_RESTART : AISYS_STOP_DRAIN) : 0;

    if (r == 0 && actor->life == LIFE_STOPPING)
        aisys_stopped(actor);
    return r < 0 ? r : 0;
}

int aisys_actor_do(struct aisys_actor *actor)
{
    const enum todo todo = actor->todo;

    if (todo == TODO_FINISH)
        return 0;
    actor->todo = TODO_NOTHING;
    return todo == TODO_START ? actor_do_start(actor) : actor_do_stop(actor);
}

static int error_number(int error)
{
    return error == INT_MIN ? INT_MAX : error < 0 ? -error : error;
}

void aisys_give_up(struct aisys_actor *self, int error, const char *why)
{
    aisys_core_log(self->core, self, AISYS_WARNING, "gave_up", "errno=%d why=\"%s\"",
        error_number(error), why);
    if (self->supervised)
        aisys_utf8_copy(
            self->supervised->last_failure, sizeof(self->supervised->last_failure), why);
    if (self->fate == FATE_NONE)
        self->fate = FATE_GAVE_UP;
}

static bool core_stops(const struct aisys_core *core)
{
    return core->state == AISYS_CORE_STOPPING || core->state == AISYS_CORE_STOPPED;
}

/* Whether it has failed too often, this time included. */
static bool supervised_failed(struct aisys_actor *actor)
{
    struct supervised *supervised = actor->supervised;
    const struct aisys_core *core = actor->core;
    uint32_t recent = 0;

    supervised->failures_ms[supervised->failures++ % RESTARTS_KEPT] = core->now_ms;
    for (uint32_t i = 0; i < RESTARTS_KEPT && i < supervised->failures; i++)
        if (core->now_ms - supervised->failures_ms[i] < core->restarts_ms)
            recent++;
    return supervised->never_restart || recent > core->restarts_max;
}

/* A restart whose drain took too long: what is left is answered with an error. */
static void restart_undrained(struct aisys_actor *actor)
{
    struct aisys_core *core = actor->core;

    if (core_stops(core))
        return; /* the node's own limit holds */
    aisys_core_log(core, actor, AISYS_WARNING, "not_drained", "state=%s messages=%u",
        aisys_life_name(actor->life), (unsigned)actor->queued);
    actor_tear_down(actor, AISYS_UNAVAILABLE, "the actor was restarted");
    actor->supervised->restarting = false;
    actor->supervised->restarts++;
    aisys_actor_begin_start(actor);
    aisys_dependencies_changed(core);
}

/* After a failure, or at the end of the time that a restart may drain. */
static void restart_due(struct wheel_node *node, void *ctx)
{
    struct aisys_core *core = ctx;
    struct supervised *supervised =
        (struct supervised *)(void *)((char *)node - offsetof(struct supervised, restart_timer));

    for (struct aisys_actor *actor = core->first; actor; actor = actor->supervised->next)
        if (actor->supervised == supervised) {
            if (actor->life == LIFE_DRAINING || actor->life == LIFE_STOPPING)
                restart_undrained(actor);
            else
                aisys_actor_begin_start(actor);
            return;
        }
}

static void actor_is_down(struct aisys_actor *actor)
{
    aisys_core_log(actor->core, actor, AISYS_ERROR, "actor_down",
        "restarts=%u within_ms=%u last_failure=\"%s\" action=\"mend the cause, then aisysctl call "
        "orchestrator Restart actor=%s\"",
        (unsigned)actor->core->restarts_max, (unsigned)actor->core->restarts_ms,
        actor->supervised->last_failure, actor->supervised->name);
    actor->life = LIFE_DOWN;
    actor_bury_mailbox(actor, "the actor is down");
}

void aisys_actor_fail(struct aisys_actor *actor, int error, const char *why)
{
    struct aisys_core *core = actor->core;
    struct supervised *supervised = actor->supervised;
    const bool stopping =
        actor->life == LIFE_DRAINING || actor->life == LIFE_STOPPING || actor->life == LIFE_STOPPED;
    const bool said = actor->fate == FATE_GAVE_UP && !why; /* the reason is in last_failure */

    if (!why)
        why = strerrordesc_np(error_number(error));
    if (!why)
        why = "unknown error";
    if (supervised && !said)
        aisys_utf8_copy(supervised->last_failure, sizeof(supervised->last_failure), why);
    aisys_core_log(core, actor, AISYS_ERROR, "actor_failed", "state=%s errno=%d why=\"%s\"",
        aisys_life_name(actor->life), error_number(error),
        supervised ? supervised->last_failure : why);
    actor_tear_down(actor, AISYS_INTERNAL, "the actor failed");
    if (!supervised) {
        actor_remove(actor);
        return;
    }
    aisys_wheel_disarm(&core->wheel, &supervised->restart_timer);
    if (stopping && (!supervised->restarting || core_stops(core))) {
        actor_bury_mailbox(actor, "the actor has stopped");
        actor->life = LIFE_STOPPED;
    } else if (supervised_failed(actor)) {
        actor_is_down(actor);
    } else {
        supervised->restarts++;
        supervised->restarting = false;
        actor->life = LIFE_FAILED;
        if (core->restart_delay_ms)
            aisys_wheel_arm(
                &core->wheel, &supervised->restart_timer, core->now_ms + core->restart_delay_ms);
        else
            aisys_actor_begin_start(actor);
    }
    aisys_dependencies_changed(core);
}

/* ---- Stopping ------------------------------------------------------------------------------- */

void aisys_actor_begin_stop(struct aisys_actor *actor)
{
    switch ((enum life)actor->life) {
    case LIFE_RUNNING:
        actor->life = LIFE_DRAINING;
        actor_run_later(actor);
        break;
    case LIFE_STARTING:
        actor_tear_down(actor, AISYS_UNAVAILABLE, "the actor is stopped");
        /* fall through */
    case LIFE_ADDED:
    case LIFE_FAILED:
    case LIFE_DOWN:
        aisys_wheel_disarm(&actor->core->wheel, &actor->supervised->restart_timer);
        actor_bury_mailbox(actor, "the actor is stopped");
        actor->life = LIFE_STOPPED;
        break;
    default:
        break;
    }
}

void aisys_stopped(struct aisys_actor *self)
{
    if (self->life != LIFE_STOPPING || self->todo != TODO_NOTHING)
        aisys_check_failed_in_actor(
            "stopped() is called once, after stop() was pending", __FILE__, __LINE__);
    self->life = LIFE_STOPPED;
    self->todo = TODO_FINISH;
    if (self->core->current != self)
        actor_run_later(self);
}

/* Called outside handlers. */
void aisys_actor_settle(struct aisys_actor *actor)
{
    struct aisys_core *core = actor->core;

    if (actor->life == LIFE_FREE) {
        if (!actor->runnable)
            aisys_table_give(&core->actors, ACTOR_LINK, actor, actor->slot);
        return;
    }
    if (actor->life == LIFE_DRAINING && !actor->queued && !actor->replies) {
        actor->life = LIFE_STOPPING;
        actor->todo = TODO_STOP;
        actor_run_later(actor);
    } else if (actor->life == LIFE_STOPPED && actor->todo == TODO_FINISH) {
        const bool again = actor->supervised->restarting && !core_stops(core);

        actor_tear_down(actor, AISYS_UNAVAILABLE, "the actor has stopped");
        actor->supervised->restarting = false;
        if (again) {
            actor->supervised->restarts++;
            aisys_actor_begin_start(actor);
        } else {
            actor_bury_mailbox(actor, "the actor has stopped");
        }
        aisys_dependencies_changed(core);
    }
}

int aisys_core_restart(struct aisys_core *core, const char *name)
{
    struct aisys_actor *actor = actor_find(core, aisys_core_lookup(core, name));

    if (!actor)
        return -ENOENT;
    if (core_stops(core))
        return -EAGAIN;
    if (actor->life == LIFE_DOWN) {
        actor->supervised->failures = 0;
        actor->supervised->restarts++;
        aisys_actor_begin_start(actor);
        return 0;
    }
    if (actor->life != LIFE_RUNNING)
        return -EAGAIN;
    actor->supervised->restarting = true;
    aisys_wheel_arm(&core->wheel, &actor->supervised->restart_timer, core->now_ms + core->drain_ms);
    aisys_actor_begin_stop(actor);
    return 0;
}

/* ---- Health --------------------------------------------------------------------------------- */

void aisys_core_health(
    const struct aisys_core *core, struct aisys_id id, struct aisys_health *ret_health)
{
    struct aisys_actor *actor = actor_find(core, id);
    struct aisys_health health = { .status = AISYS_HEALTHY };

    if (!actor) {
        health.status = AISYS_UNHEALTHY;
        snprintf(health.why, sizeof(health.why), "no such actor");
    } else if (actor->life == LIFE_RUNNING) {
        aisys_actor_health(actor, &health);
    } else {
        const char *failure = actor->supervised ? actor->supervised->last_failure : "";

        health.status = AISYS_UNHEALTHY;
        snprintf(health.why, sizeof(health.why), "%s%s%.140s", aisys_life_name(actor->life),
            failure[0] ? ": " : "", failure);
    }
    *ret_health = health;
    aisys_utf8_copy(ret_health->why, sizeof(ret_health->why), health.why);
}
