#include "env_redis.h"

#include <aisys/exposition.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define DEADLINE_MAX_MS 600000u

struct aisys_env_redis {
    struct aisys_redis_port *port; /* NULL once closing */
    struct aisys_core *core;
    struct aisys_env *env;
    char address[272]; /* for logs */
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* A command under way. */
struct command {
    struct aisys_env_redis *redis;
    uint64_t op;
};

/* ---- Copies of answers ------------------------------------------------------------------------ */

struct size {
    size_t values, text_bytes;
};

static void value_measure(const struct aisys_redis_value *value, struct size *size)
{
    size->values++;
    if (value->text)
        size->text_bytes += value->text_bytes + 1;
    for (size_t i = 0; i < value->element_nr; i++)
        value_measure(&value->elements[i], size);
}

/* Where the next value and the next text go. */
struct place {
    struct aisys_redis_value *value;
    char *text;
};

static void value_copy(
    const struct aisys_redis_value *from, struct aisys_redis_value *to, struct place *place)
{
    struct aisys_redis_value *elements = place->value;

    *to = *from;
    if (from->text) {
        memcpy(place->text, from->text, from->text_bytes);
        place->text[from->text_bytes] = '\0';
        to->text = place->text;
        place->text += from->text_bytes + 1;
    }
    if (!from->element_nr)
        return;
    place->value += from->element_nr;
    to->elements = elements;
    for (size_t i = 0; i < from->element_nr; i++)
        value_copy(&from->elements[i], &elements[i], place);
}

/* All in one piece, the root first. The port bounds the depth. NULL: no memory. */
static struct aisys_redis_value *value_clone(const struct aisys_redis_value *value)
{
    struct aisys_redis_value *copy;
    struct size size = { 0 };
    struct place place;

    value_measure(value, &size);
    copy = malloc(size.values * sizeof(*copy) + size.text_bytes);
    if (!copy)
        return NULL;
    place.value = copy + 1;
    place.text = (char *)(copy + size.values);
    value_copy(value, copy, &place);
    return copy;
}

/* ---- Commands --------------------------------------------------------------------------------- */

static void on_answer(void *ctx, const struct aisys_redis_answer *answer)
{
    struct command *command = ctx;
    struct aisys_core *core = command->redis->core;
    struct aisys_redis_value *copy;
    char words[300];

    if (answer->code == AISYS_OK) {
        copy = value_clone(answer->value);
        if (copy)
            aisys_core_op_end(core, command->op, AISYS_OK, "", copy, free);
        else
            aisys_core_op_end(core, command->op, AISYS_RESOURCE_EXHAUSTED,
                "no memory for the answer of Redis", NULL, NULL);
    } else {
        snprintf(words, sizeof(words), "%s%s", answer->message,
            answer->maybe_executed ? " (it may have been done)" : "");
        aisys_core_op_end(core, command->op, (int)answer->code, words, NULL, NULL);
    }
    free(command);
}

/* What the port refused at once is the end of the command. */
static void refused(struct aisys_env_redis *redis, uint64_t op, int r)
{
    static const struct {
        enum aisys_code code;
        const char *words;
    } outcomes[] = {
        [0] = { AISYS_RESOURCE_EXHAUSTED, "no memory for the command" },
        [AISYS_REDIS_PORT_FULL] = { AISYS_RESOURCE_EXHAUSTED, "too many Redis commands in flight" },
        [AISYS_REDIS_PORT_UNAVAILABLE] = { AISYS_UNAVAILABLE, NULL },
        [AISYS_REDIS_PORT_FORBIDDEN] = { AISYS_INVALID_ARGUMENT,
            "a command that the shared connection must not see" },
        [AISYS_REDIS_PORT_TOO_LARGE] = { AISYS_RESOURCE_EXHAUSTED,
            "the command is larger than what Redis is sent" },
        [AISYS_REDIS_PORT_CLOSED] = { AISYS_CANCELLED, "the node stops" },
    };
    const size_t i = r > 0 && r <= AISYS_REDIS_PORT_CLOSED ? (size_t)r : 0;
    char words[300];

    if (outcomes[i].words) {
        aisys_core_op_end(redis->core, op, outcomes[i].code, outcomes[i].words, NULL, NULL);
        return;
    }
    snprintf(words, sizeof(words), "Redis is away: %s", aisys_redis_port_reason(redis->port));
    aisys_core_op_end(redis->core, op, outcomes[i].code, words, NULL, NULL);
}

static uint32_t remaining_ms(const struct aisys_env_redis *redis, uint64_t deadline_ms)
{
    const struct aisys_env *env = aisys_core_env(redis->core);
    const uint64_t now_ms = env->now_ms(env->ctx);
    const uint64_t left_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 1;

    return left_ms < DEADLINE_MAX_MS ? (uint32_t)left_ms : DEADLINE_MAX_MS;
}

static void env_redis_exec(
    void *ctx, const struct aisys_redis_work *work, uint64_t op, uint64_t deadline_ms)
{
    struct aisys_env_redis *redis = ctx;
    struct command *command;
    int r;

    if (!redis->port) {
        refused(redis, op, AISYS_REDIS_PORT_CLOSED);
        return;
    }
    command = malloc(sizeof(*command));
    if (!command) {
        refused(redis, op, -ENOMEM);
        return;
    }
    *command = (struct command){ redis, op };
    if (work->batch)
        r = aisys_redis_port_batch(redis->port,
            work->transaction ? AISYS_REDIS_TRANSACTION : AISYS_REDIS_PIPELINE, work->commands,
            work->command_nr, remaining_ms(redis, deadline_ms), on_answer, command);
    else
        r = aisys_redis_port_command(redis->port, work->commands[0].args, work->commands[0].arg_nr,
            remaining_ms(redis, deadline_ms), on_answer, command);
    if (r) {
        free(command);
        refused(redis, op, r);
    }
}

/* ---- The connection --------------------------------------------------------------------------- */

static void log_event(const struct aisys_env_redis *redis, enum aisys_log_level level,
    const char *event, const char *reason)
{
    const struct aisys_env *env = aisys_core_env(redis->core);
    char words[600];

    snprintf(words, sizeof(words), "address=%s%s%s%s", redis->address, reason[0] ? " why=\"" : "",
        reason, reason[0] ? "\"" : "");
    env->log(env->ctx, level, NULL, event, words);
}

static void on_event(void *ctx, enum aisys_redis_port_event event, bool subscriptions,
    const char *reason, uint32_t retry_ms)
{
    struct aisys_env_redis *redis = ctx;

    (void)retry_ms;
    if (subscriptions)
        return;
    switch (event) {
    case AISYS_REDIS_CONNECTED:
        log_event(redis, AISYS_INFO, "redis_connected", "");
        break;
    case AISYS_REDIS_DISCONNECTED:
        log_event(redis, AISYS_WARNING, "redis_lost", reason);
        break;
    case AISYS_REDIS_BREAKER_OPENED:
        log_event(redis, AISYS_WARNING, "redis_away", reason);
        break;
    case AISYS_REDIS_CONNECT_FAILED:
        log_event(redis, AISYS_DEBUG, "redis_connect_failed", reason);
        break;
    default:
        break;
    }
}

/* Jitter, when the configuration names no source. */
static uint32_t env_random(void *ctx)
{
    const struct aisys_env *env = ctx;

    return (uint32_t)(env->random(env->ctx) >> 32);
}

static enum aisys_redis_state env_redis_state(void *ctx, const char **ret_why)
{
    const struct aisys_env_redis *redis = ctx;
    struct aisys_redis_port_stats stats;
    const char *reason;

    *ret_why = "";
    if (!redis->port) {
        *ret_why = "the node stops";
        return AISYS_REDIS_AWAY;
    }
    aisys_redis_port_stats(redis->port, &stats);
    if (stats.state == AISYS_REDIS_READY)
        return AISYS_REDIS_THERE;
    reason = aisys_redis_port_reason(redis->port);
    *ret_why = reason[0] ? reason : "connecting";
    return AISYS_REDIS_AWAY;
}

int aisys_env_redis_open(struct uv_loop_s *loop, struct aisys_env *env, struct aisys_core *core,
    const struct aisys_redis_config *config, struct aisys_env_redis **ret_redis)
{
    static const struct aisys_redis_port_callbacks callbacks = { on_event, NULL };
    struct aisys_redis_config with_random = *config;
    struct aisys_env_redis *redis = calloc(1, sizeof(*redis));
    int r;

    if (!redis)
        return -ENOMEM;
    redis->core = core;
    redis->env = env;
    if (config->unix_path)
        snprintf(redis->address, sizeof(redis->address), "%s", config->unix_path);
    else
        snprintf(redis->address, sizeof(redis->address), "%s:%u", config->host ? config->host : "",
            config->port ? (unsigned)config->port : 6379u);
    if (!with_random.random) {
        with_random.random = env_random;
        with_random.random_ctx = env;
    }
    r = aisys_redis_port_open(loop, &with_random, &callbacks, redis, &redis->port);
    if (r < 0) {
        free(redis);
        return r;
    }
    env->redis = (struct aisys_redis_service){ redis, env_redis_exec, env_redis_state };
    *ret_redis = redis;
    return 0;
}

static void on_closed(void *ctx)
{
    struct aisys_env_redis *redis = ctx;

    redis->env->redis = (struct aisys_redis_service){ 0 };
    if (redis->closed)
        redis->closed(redis->closed_ctx);
    free(redis);
}

void aisys_env_redis_close(struct aisys_env_redis *redis, void (*closed)(void *ctx), void *ctx)
{
    struct aisys_redis_port *port;

    if (!redis) {
        if (closed)
            closed(ctx);
        return;
    }
    port = redis->port;
    redis->port = NULL;
    redis->closed = closed;
    redis->closed_ctx = ctx;
    aisys_redis_port_close(port, on_closed, redis);
}

/* ---- Metrics ---------------------------------------------------------------------------------- */

#define STAT(field) offsetof(struct aisys_redis_port_stats, field)

enum kind { KIND_UP, KIND_OUTCOMES, KIND_U64, KIND_OPEN, KIND_UNSENT, KIND_NS };

static const struct family {
    struct aisys_metric metric;
    enum kind kind;
    size_t at;
} families[] = {
    { { "ai_system_redis_up", AISYS_METRIC_GAUGE, NULL, "1 while the connection is ready." },
        KIND_UP, 0 },
    { { "ai_system_redis_commands_total", AISYS_METRIC_COUNTER, NULL,
          "Commands (a batch is one) by outcome: accepted is the sum of the others and of "
          "ai_system_redis_open_commands." },
        KIND_OUTCOMES, 0 },
    { { "ai_system_redis_open_commands", AISYS_METRIC_GAUGE, NULL,
          "Commands that have not ended." },
        KIND_OPEN, 0 },
    { { "ai_system_redis_unsent_bytes", AISYS_METRIC_GAUGE, "bytes",
          "Commands that wait to be written." },
        KIND_UNSENT, 0 },
    { { "ai_system_redis_latency_seconds_total", AISYS_METRIC_COUNTER, "seconds",
          "Time from command to answer, of those that Redis answered." },
        KIND_NS, STAT(latency_ns_sum) },
    { { "ai_system_redis_connects_total", AISYS_METRIC_COUNTER, NULL,
          "Times that the connection came about." },
        KIND_U64, STAT(connects) },
    { { "ai_system_redis_connects_failed_total", AISYS_METRIC_COUNTER, NULL,
          "Attempts that failed." },
        KIND_U64, STAT(connects_failed) },
    { { "ai_system_redis_breaker_opened_total", AISYS_METRIC_COUNTER, NULL,
          "Times that commands began to fail at once." },
        KIND_U64, STAT(breaker_opened) },
    { { "ai_system_redis_written_bytes_total", AISYS_METRIC_COUNTER, "bytes", "Sent to Redis." },
        KIND_U64, STAT(written_bytes) },
    { { "ai_system_redis_read_bytes_total", AISYS_METRIC_COUNTER, "bytes", "Received from it." },
        KIND_U64, STAT(read_bytes) },
};

static const struct {
    const char *name;
    size_t at;
} outcomes[] = {
    { "accepted", STAT(accepted) },
    { "answered", STAT(answered) },
    { "error", STAT(errors) },
    { "too_large", STAT(too_large) },
    { "aborted", STAT(aborted) },
    { "deadline", STAT(deadline) },
    { "lost", STAT(lost) },
    { "cancelled", STAT(cancelled) },
};

const struct aisys_metric *aisys_env_redis_declared(size_t i)
{
    return i < sizeof(families) / sizeof(families[0]) ? &families[i].metric : NULL;
}

static uint64_t stat_u64(const struct aisys_redis_port_stats *stats, size_t at)
{
    uint64_t value;

    memcpy(&value, (const char *)stats + at, sizeof(value));
    return value;
}

static void write_family(struct aisys_exposition *page, const struct family *family,
    const struct aisys_redis_port_stats *stats)
{
    aisys_exposition_family(page, &family->metric);
    switch (family->kind) {
    case KIND_UP:
        aisys_exposition_u64(page, NULL, 0, stats->state == AISYS_REDIS_READY);
        break;
    case KIND_OUTCOMES:
        for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
            aisys_exposition_u64(page, &(struct aisys_metric_label){ "outcome", outcomes[i].name },
                1, stat_u64(stats, outcomes[i].at));
        break;
    case KIND_U64:
        aisys_exposition_u64(page, NULL, 0, stat_u64(stats, family->at));
        break;
    case KIND_NS:
        aisys_exposition_ns(page, NULL, 0, stat_u64(stats, family->at));
        break;
    case KIND_OPEN:
        aisys_exposition_u64(page, NULL, 0, stats->open);
        break;
    case KIND_UNSENT:
        aisys_exposition_u64(page, NULL, 0, stats->unsent_bytes);
        break;
    }
}

void aisys_env_redis_metrics(const struct aisys_env_redis *redis, struct aisys_exposition *page)
{
    struct aisys_redis_port_stats stats;

    if (!redis || !redis->port)
        return;
    aisys_redis_port_stats(redis->port, &stats);
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        write_family(page, &families[i], &stats);
}
