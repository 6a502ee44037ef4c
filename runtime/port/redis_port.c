#include "port/redis_port.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "core/check.h"
#include "port/redis_internal.h"

#define DEADLINE_MS_MAX 600000u
#define TIME_MS_MAX     86400000u
#define IN_FLIGHT_MAX   1048576u
#define DATABASE_MAX    65535u
#define DEPTH_MAX       7u

/* --- configuration --- */

struct config_number {
    const char *name;
    size_t offset;
    uint32_t otherwise;
    uint32_t most;
};

#define NUMBER(field, otherwise, most)                                                             \
    {                                                                                              \
#field, offsetof(struct aisys_redis_config, field), otherwise, most                        \
    }

static const struct config_number config_numbers[] = {
    NUMBER(connect_timeout_ms, 2000, TIME_MS_MAX),
    NUMBER(deadline_ms, 5000, DEADLINE_MS_MAX),
    NUMBER(ping_interval_ms, 5000, TIME_MS_MAX),
    NUMBER(ping_timeout_ms, 2000, TIME_MS_MAX),
    NUMBER(backoff_min_ms, 50, TIME_MS_MAX),
    NUMBER(backoff_max_ms, 10000, TIME_MS_MAX),
    NUMBER(refused_retry_ms, 30000, TIME_MS_MAX),
    NUMBER(healthy_ms, 5000, TIME_MS_MAX),
    NUMBER(breaker_failures, 1, 1000000),
    NUMBER(in_flight_max, 4096, IN_FLIGHT_MAX),
    NUMBER(array_max, 1048576, INT32_MAX),
    NUMBER(depth_max, DEPTH_MAX, DEPTH_MAX),
    NUMBER(subscription_max, 1024, 1048576),
};
#undef NUMBER

static bool text_is_set(const char *text)
{
    return text && text[0];
}

static bool text_has_blank(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || (unsigned char)*text > '~')
            return true;
    return false;
}

const char *aisys_redis_config_problem(const struct aisys_redis_config *config)
{
    static _Thread_local char problem[160];

    if (!text_is_set(config->host) && !text_is_set(config->unix_path))
        return "neither host nor unix_path is set: one of them says where Redis is";
    if (text_is_set(config->unix_path) &&
        strlen(config->unix_path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return "unix_path is longer than the 107 bytes that a socket's path may have";
    if (text_is_set(config->host) && strlen(config->host) > 255)
        return "host is longer than the 255 bytes that a name may have";
    if (text_is_set(config->username) && !text_is_set(config->password))
        return "username is set and password is not: AUTH needs both";
    if (text_is_set(config->client_name) && text_has_blank(config->client_name))
        return "client_name has a blank or a special character: Redis takes letters and signs only";
    if (config->database > DATABASE_MAX) {
        snprintf(problem, sizeof(problem), "database %" PRIu32 ": at most %u", config->database,
            DATABASE_MAX);
        return problem;
    }
    for (size_t i = 0; i < sizeof(config_numbers) / sizeof(config_numbers[0]); i++) {
        const struct config_number *number = &config_numbers[i];
        uint32_t value;

        memcpy(&value, (const char *)config + number->offset, sizeof(value));
        if (value > number->most) {
            snprintf(problem, sizeof(problem), "%s %" PRIu32 ": at most %" PRIu32, number->name,
                value, number->most);
            return problem;
        }
    }
    if (config->backoff_min_ms > (config->backoff_max_ms ? config->backoff_max_ms : 10000))
        return "backoff_min_ms is more than backoff_max_ms";
    return NULL;
}

static void *memory_heap(void *ctx, void *old, size_t bytes)
{
    (void)ctx;
    if (bytes == 0) {
        free(old);
        return NULL;
    }
    return realloc(old, bytes);
}

static void config_complete(struct aisys_redis_config *config)
{
    for (size_t i = 0; i < sizeof(config_numbers) / sizeof(config_numbers[0]); i++) {
        char *at = (char *)config + config_numbers[i].offset;
        uint32_t value;

        memcpy(&value, at, sizeof(value));
        if (value == 0)
            memcpy(at, &config_numbers[i].otherwise, sizeof(value));
    }
    if (config->port == 0)
        config->port = 6379;
    if (config->unsent_bytes_max == 0)
        config->unsent_bytes_max = (size_t)64 << 20;
    if (config->string_bytes_max == 0)
        config->string_bytes_max = (size_t)16 << 20;
    if (config->answer_bytes_max == 0)
        config->answer_bytes_max = (size_t)64 << 20;
    if (!config->memory.resize)
        config->memory.resize = memory_heap;
}

/* Moves the strings into one piece of the port's memory; empty ones become NULL. */
static int port_copy_texts(struct aisys_redis_port *port)
{
    struct aisys_redis_config *config = &port->config;
    const char **texts[] = { &config->host, &config->unix_path, &config->username,
        &config->password, &config->client_name };
    size_t bytes = 1;
    char *at;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (!text_is_set(*texts[i]))
            *texts[i] = NULL;
        else
            bytes += strlen(*texts[i]) + 1;
    }
    at = port->text = config->memory.resize(config->memory.ctx, NULL, bytes);
    if (!at)
        return -ENOMEM;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (!*texts[i])
            continue;
        *texts[i] = strcpy(at, *texts[i]);
        at += strlen(at) + 1;
    }
    return 0;
}

/* --- the port --- */

static void port_on_event(
    void *owner, enum aisys_redis_port_event event, const char *reason, uint32_t retry_ms)
{
    struct aisys_redis_port *port = owner;

    if (port->callbacks.event && !port->closing)
        port->callbacks.event(port->ctx, event, false, reason, retry_ms);
}

static void port_on_room(void *owner)
{
    struct aisys_redis_port *port = owner;

    if (port->callbacks.room && !port->closing)
        port->callbacks.room(port->ctx);
}

static const struct redis_connection_ops port_ops = {
    .event = port_on_event,
    .room = port_on_room,
    .closed = aisys_redis_port_on_connection_closed,
};

static void port_free(struct aisys_redis_port *port)
{
    const struct aisys_redis_memory memory = port->config.memory;

    if (port->text)
        memory.resize(memory.ctx, port->text, 0);
    memory.resize(memory.ctx, port, 0);
}

int aisys_redis_port_open(struct uv_loop_s *loop, const struct aisys_redis_config *config,
    const struct aisys_redis_port_callbacks *callbacks, void *ctx, struct aisys_redis_port **ret)
{
    struct aisys_redis_config complete = *config;
    struct aisys_redis_port *port;
    int r;

    if (aisys_redis_config_problem(config))
        return -EINVAL;
    config_complete(&complete);
    port = complete.memory.resize(complete.memory.ctx, NULL, sizeof(*port));
    if (!port)
        return -ENOMEM;
    memset(port, 0, sizeof(*port));
    port->config = complete;
    if (callbacks)
        port->callbacks = *callbacks;
    port->ctx = ctx;
    aisys_redis_pubsub_init(port);
    r = port_copy_texts(port);
    if (r == 0)
        r = aisys_redis_connection_open(&port->commands, loop, &port->config, &port_ops, port);
    if (r < 0) {
        port_free(port);
        return r;
    }
    port->connection_nr = 1;
    *ret = port;
    return 0;
}

void aisys_redis_port_on_connection_closed(void *owner)
{
    struct aisys_redis_port *port = owner;
    void (*const closed)(void *ctx) = port->closed;
    void *ctx = port->closed_ctx;

    AISYS_CHECK(port->closing);
    if (--port->connection_nr > 0)
        return;
    aisys_redis_pubsub_deinit(port);
    port_free(port);
    if (closed)
        closed(ctx);
}

void aisys_redis_port_close(struct aisys_redis_port *port, void (*closed)(void *ctx), void *ctx)
{
    if (!port || port->closing)
        return;
    port->closing = true;
    port->closed = closed;
    port->closed_ctx = ctx;
    aisys_redis_pubsub_close(port);
    aisys_redis_connection_close(&port->commands);
}

static int port_submit(struct aisys_redis_port *port, struct redis_submission *submission)
{
    if (submission->command_nr == 0 || submission->deadline_ms > DEADLINE_MS_MAX)
        return -EINVAL;
    for (size_t i = 0; i < submission->command_nr; i++)
        if (submission->commands[i].arg_nr == 0)
            return -EINVAL;
    if (submission->deadline_ms == 0)
        submission->deadline_ms = port->config.deadline_ms;
    return aisys_redis_calls_submit(&port->commands, submission);
}

int aisys_redis_port_command(struct aisys_redis_port *port, const struct aisys_redis_arg *args,
    size_t arg_nr, uint32_t deadline_ms, aisys_redis_answer_cb done, void *ctx)
{
    const struct aisys_redis_command command = { args, arg_nr };

    return port_submit(port, &(struct redis_submission){
                                 .commands = &command,
                                 .command_nr = 1,
                                 .deadline_ms = deadline_ms,
                                 .done = done,
                                 .ctx = ctx,
                             });
}

int aisys_redis_port_batch(struct aisys_redis_port *port, enum aisys_redis_batch_kind kind,
    const struct aisys_redis_command *commands, size_t command_nr, uint32_t deadline_ms,
    aisys_redis_answer_cb done, void *ctx)
{
    return port_submit(port, &(struct redis_submission){
                                 .commands = commands,
                                 .command_nr = command_nr,
                                 .batch = true,
                                 .kind = kind,
                                 .deadline_ms = deadline_ms,
                                 .done = done,
                                 .ctx = ctx,
                             });
}

void aisys_redis_port_stats(
    const struct aisys_redis_port *port, struct aisys_redis_port_stats *ret_stats)
{
    const struct redis_connection *conn = &port->commands;

    *ret_stats = conn->stats;
    ret_stats->state = conn->state;
    ret_stats->breaker = conn->breaker;
    ret_stats->subscriptions_ready = port->pubsub_open && port->pubsub.state == AISYS_REDIS_READY;
    ret_stats->in_flight = conn->in_flight;
    ret_stats->unsent_bytes = aisys_redis_out_bytes(&conn->out);
    ret_stats->subscriptions = port->subscription_nr;
    ret_stats->messages = port->message_nr;
}

const char *aisys_redis_port_reason(const struct aisys_redis_port *port)
{
    return port->commands.reason;
}
