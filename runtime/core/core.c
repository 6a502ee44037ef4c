/* The core as a whole: making it, starting and stopping its actors in order. */
#include "internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define ACTORS_MAX_DEFAULT        (1u << 24)
#define OPS_MAX_DEFAULT           (1u << 20)
#define MESSAGE_BYTES_MAX_DEFAULT (16u * 1024 * 1024)
#define SLICE_DIVISOR             4u   /* of a turn, which is a millisecond */
#define SLOW_DIVISOR              500u /* 2 us */
#define RESTARTS_MAX_DEFAULT      3u
#define DRAIN_MS_DEFAULT          5000u
#define RESTARTS_MS_DEFAULT       10000u

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value ? value : otherwise;
}

int aisys_core_new(const struct aisys_env *env, const struct aisys_core_options *options,
    struct aisys_core **ret_core)
{
    struct aisys_core *core = env->memory.alloc(env->memory.ctx, sizeof(*core));
    uint32_t ops_max = or_default(options->ops_max, OPS_MAX_DEFAULT);

    if (!core)
        return -ENOMEM;
    if (ops_max > OP_INDEX_MASK)
        ops_max = OP_INDEX_MASK; /* what a correlation can name */
    *core = (struct aisys_core){
        .env = env,
        .node = options->node,
        .now_ms = env->now_ms(env->ctx),
        .loopback = options->loopback,
        .message_bytes_max = or_default(options->message_bytes_max, MESSAGE_BYTES_MAX_DEFAULT),
        .slice_ticks = env->ticks_per_ms / SLICE_DIVISOR,
        .slow_ticks = env->ticks_per_ms / SLOW_DIVISOR,
        .restarts_max = or_default(options->restarts_max, RESTARTS_MAX_DEFAULT),
        .restarts_ms = or_default(options->restarts_ms, RESTARTS_MS_DEFAULT),
        .restart_delay_ms = options->restart_delay_ms,
        .drain_ms = or_default(options->drain_ms, DRAIN_MS_DEFAULT),
        .state = AISYS_CORE_NEW,
    };
    AISYS_CHECK(core->restarts_max < RESTARTS_KEPT);
    aisys_wheel_init(&core->wheel, core->now_ms, core);
    aisys_table_init(&core->actors, &env->memory, sizeof(struct aisys_actor),
        or_default(options->actors_max, ACTORS_MAX_DEFAULT));
    aisys_table_init(&core->ops, &env->memory, sizeof(struct op), ops_max);
    aisys_table_init(&core->replies, &env->memory, sizeof(struct reply), ops_max);
    for (unsigned i = 0; i < AISYS_LANE_NR; i++)
        if (aisys_lane_init(core, &core->lanes[i], options->lanes[i]) < 0) {
            aisys_core_free(core);
            return -ENOMEM;
        }
    *ret_core = core;
    return 0;
}

static void core_kill_all(struct aisys_core *core)
{
    AISYS_CHECK(!core->in_turn);
    core->state = AISYS_CORE_STOPPED; /* nobody starts any more */
    for (uint32_t slot = 0; slot < core->actors.touched; slot++) {
        struct aisys_actor *actor = table_at(&core->actors, slot);

        if (actor->life != LIFE_FREE)
            aisys_actor_kill(actor);
    }
    /* Those that were to run are given back when they are taken from there. */
    while (core->run_head) {
        struct aisys_actor *actor = core->run_head;

        core->run_head = actor->run_next;
        actor->runnable = false;
        aisys_actor_settle(actor);
    }
    core->run_tail = NULL;
}

void aisys_core_free(struct aisys_core *core)
{
    if (!core)
        return;
    AISYS_CHECK(!core->in_turn);
    core_kill_all(core);
    for (unsigned i = 0; i < AISYS_LANE_NR; i++)
        aisys_lane_deinit(core, &core->lanes[i]);
    while (core->classes) {
        struct aisys_class *class = core->classes;

        core->classes = class->next;
        core_release(core, class->methods);
        core_release(core, class);
    }
    while (core->arenas_nr)
        core_release(core, core->arenas[--core->arenas_nr]);
    core_release(core, core->dead.ring);
    core_release(core, core->names);
    aisys_table_deinit(&core->replies);
    aisys_table_deinit(&core->ops);
    aisys_table_deinit(&core->actors);
    aisys_message_pool_deinit(core);
    core_release(core, core);
}

char *aisys_core_strdup(struct aisys_core *core, const char *s)
{
    const size_t bytes = strlen(s) + 1;
    char *copy = core_alloc(core, bytes);

    return copy ? memcpy(copy, s, bytes) : NULL;
}

uint64_t aisys_core_node(const struct aisys_core *core)
{
    return core->node;
}

const struct aisys_env *aisys_core_env(const struct aisys_core *core)
{
    return core->env;
}

/* ---- Order ---------------------------------------------------------------------------------- */

static struct aisys_actor *actor_named(const struct aisys_core *core, const char *name)
{
    return actor_find(core, aisys_core_lookup(core, name));
}

enum mark { MARK_NONE, MARK_OPEN, MARK_DONE };

/* Put @word in front of what @at points to, if there is room from @begin. */
static char *order_put_before(char *at, const char *begin, const char *word)
{
    size_t bytes = strlen(word);

    if (bytes > (size_t)(at - begin))
        return at;
    while (bytes > 0)
        *--at = word[--bytes];
    return at;
}

/* The cycle that closes where @from depends on @actor, whole: "a -> b -> a". */
static void order_say_cycle(
    const struct aisys_actor *from, const struct aisys_actor *actor, struct aisys_diag *diag)
{
    char words[AISYS_DIAG_TEXT_MAX];
    char *at = words + sizeof(words) - 1;

    *at = '\0';
    at = order_put_before(at, words, actor_name(actor));
    for (const struct aisys_actor *step = from;; step = step->supervised->came_from) {
        at = order_put_before(at, words, " -> ");
        at = order_put_before(at, words, actor_name(step));
        if (step == actor)
            break;
    }
    aisys_diag_add(diag, NULL, "agents", "dependencies without a cycle", "cycle: %s", at);
}

static struct aisys_actor *order_enter(struct aisys_actor *actor, struct aisys_actor *came_from)
{
    actor->supervised->mark = MARK_OPEN;
    actor->supervised->visited = 0;
    actor->supervised->came_from = came_from;
    return actor;
}

/* Search what @actor depends on, depth first. False: a fault was found. */
static bool order_visit(struct aisys_core *core, struct aisys_actor *actor, struct aisys_diag *diag)
{
    bool good = true;

    if (actor->supervised->mark == MARK_DONE)
        return true;
    actor = order_enter(actor, NULL);
    while (actor) {
        struct supervised *supervised = actor->supervised;
        const char *depend = supervised->depends[supervised->visited];
        struct aisys_actor *other = depend ? actor_named(core, depend) : NULL;

        if (!depend) {
            supervised->mark = MARK_DONE;
            actor = supervised->came_from;
            continue;
        }
        supervised->visited++;
        if (!other) {
            aisys_diag_add(diag, NULL, actor_name(actor), "the name of an actor of this role",
                "depends on %s, which does not exist", depend);
            good = false;
        } else if (other->supervised->mark == MARK_OPEN) {
            order_say_cycle(actor, other, diag);
            good = false;
        } else if (other->supervised->mark == MARK_NONE) {
            actor = order_enter(other, actor);
        }
    }
    return good;
}

int aisys_core_start(struct aisys_core *core, struct aisys_diag *diag)
{
    bool good = true;

    AISYS_CHECK(core->state == AISYS_CORE_NEW);
    for (struct aisys_actor *actor = core->first; actor; actor = actor->supervised->next)
        actor->supervised->mark = MARK_NONE;
    for (struct aisys_actor *actor = core->first; actor; actor = actor->supervised->next)
        good = order_visit(core, actor, diag) && good;
    if (!good)
        return -EINVAL;
    core->state = AISYS_CORE_STARTING;
    aisys_dependencies_changed(core);
    return 0;
}

/* ---- Going on when something has changed ---------------------------------------------------- */

static bool may_start(const struct aisys_core *core, const struct aisys_actor *actor)
{
    for (char **depend = actor->supervised->depends; *depend; depend++) {
        const struct aisys_actor *other = actor_named(core, *depend);

        if (!other || other->life != LIFE_RUNNING)
            return false;
    }
    return true;
}

/* Whether all that depend on it have stopped. */
static bool may_stop(const struct aisys_core *core, const struct aisys_actor *actor)
{
    for (const struct aisys_actor *other = core->first; other; other = other->supervised->next) {
        if (other->life == LIFE_STOPPED)
            continue;
        for (char **depend = other->supervised->depends; *depend; depend++)
            if (actor_named(core, *depend) == actor)
                return false;
    }
    return true;
}

static void sweep_starting(struct aisys_core *core)
{
    bool all_settled = true;

    for (struct aisys_actor *actor = core->first; actor; actor = actor->supervised->next) {
        if (actor->life == LIFE_ADDED && may_start(core, actor))
            aisys_actor_begin_start(actor);
        if (actor->life == LIFE_STARTING || actor->life == LIFE_FAILED)
            all_settled = false;
    }
    if (core->state == AISYS_CORE_STARTING && all_settled)
        core->state = AISYS_CORE_READY;
}

static void sweep_stopping(struct aisys_core *core)
{
    bool all_stopped = true;

    for (struct aisys_actor *actor = core->first; actor; actor = actor->supervised->next) {
        if (actor->life != LIFE_STOPPED && may_stop(core, actor))
            aisys_actor_begin_stop(actor);
        if (actor->life != LIFE_STOPPED)
            all_stopped = false;
    }
    if (all_stopped)
        core->state = AISYS_CORE_STOPPED;
}

/* What is done here may change things again: then once more, not deeper. */
void aisys_dependencies_changed(struct aisys_core *core)
{
    core->sweep_again = true;
    if (core->sweeping)
        return;
    core->sweeping = true;
    while (core->sweep_again) {
        core->sweep_again = false;
        if (core->state == AISYS_CORE_STARTING || core->state == AISYS_CORE_READY)
            sweep_starting(core);
        else if (core->state == AISYS_CORE_STOPPING)
            sweep_stopping(core);
    }
    core->sweeping = false;
}

void aisys_core_stop(struct aisys_core *core)
{
    if (core->state == AISYS_CORE_STOPPING || core->state == AISYS_CORE_STOPPED)
        return;
    core->state = AISYS_CORE_STOPPING;
    aisys_dependencies_changed(core);
}

static void not_drained(const struct aisys_actor *actor,
    void (*report)(void *ctx, const char *actor, const char *words), void *ctx)
{
    struct aisys_actor_info info = { 0 };
    char words[160];

    aisys_core_info(actor->core, actor_id(actor), &info);
    snprintf(words, sizeof(words), "state=%s messages=%u answers_owed=%u open=%u", info.state,
        (unsigned)info.accounts.queued, (unsigned)info.open_replies, (unsigned)info.open_ops);
    report(ctx, actor_name(actor), words);
}

void aisys_core_stop_now(struct aisys_core *core,
    void (*report)(void *ctx, const char *actor, const char *words), void *ctx)
{
    for (const struct aisys_actor *actor = core->first; actor; actor = actor->supervised->next)
        if (actor->life != LIFE_STOPPED)
            not_drained(actor, report, ctx);
    core_kill_all(core);
}

enum aisys_core_state aisys_core_state(const struct aisys_core *core)
{
    return core->state;
}

unsigned aisys_core_down(const struct aisys_core *core)
{
    unsigned down = 0;

    for (const struct aisys_actor *actor = core->first; actor; actor = actor->supervised->next)
        if (actor->life == LIFE_DOWN ||
            (core->state == AISYS_CORE_READY && actor->life == LIFE_ADDED))
            down++;
    return down;
}

/* ---- Clocks, chance, words ------------------------------------------------------------------ */

uint64_t aisys_now_ms(const struct aisys_actor *self)
{
    return self->core->now_ms;
}

int64_t aisys_wall_ms(const struct aisys_actor *self)
{
    return self->core->env->wall_ms(self->core->env->ctx);
}

uint64_t aisys_random(struct aisys_actor *self)
{
    return self->core->env->random(self->core->env->ctx);
}

#define LOG_WORDS_MAX 1024

static void core_log_words(const struct aisys_core *core, const struct aisys_actor *actor,
    enum aisys_log_level level, const char *event, const char *format, va_list ap)
{
    char words[LOG_WORDS_MAX];

    vsnprintf(words, sizeof(words), format, ap);
    core->env->log(core->env->ctx, level, actor ? actor_name(actor) : NULL, event, words);
}

void aisys_core_log(const struct aisys_core *core, const struct aisys_actor *actor,
    enum aisys_log_level level, const char *event, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    core_log_words(core, actor, level, event, format, ap);
    va_end(ap);
}

void aisys_log(const struct aisys_actor *self, enum aisys_log_level level, const char *event,
    const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    core_log_words(self->core, self, level, event, format, ap);
    va_end(ap);
}
