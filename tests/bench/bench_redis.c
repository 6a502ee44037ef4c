/* SET and GET of 64 bytes with 1,024 outstanding: the Redis port against bare hiredis on libuv (its own adapter,
 * commands formatted once before the run), same server, same loop, in turns.
 *
 * The redis-server is a child; the figures are those of a machine where it has a core to itself. */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>
#include <hiredis/async.h>
#include <hiredis/adapters/libuv.h>
#include <uv.h>

#include "port/redis_port.h"
#include "redis_server.h"

#define OUTSTANDING 1024
#define COMMANDS    200000

struct pair {
    uv_loop_t loop;
    struct aisys_redis_port *port;
    redisAsyncContext *bare;
    const struct aisys_redis_arg *args;
    size_t arg_nr;
    char *text; /* the command, formatted */
    size_t text_bytes;
    unsigned to_send;
    unsigned to_come;
    unsigned wrong;
    bool connected;
};

static void die(const char *what)
{
    fprintf(stderr, "bench_redis: %s\n", what);
    exit(1);
}

/* --- the port --- */

static void port_on_answer(void *ctx, const struct aisys_redis_answer *answer);

static void port_send(struct pair *pair)
{
    pair->to_send--;
    if (aisys_redis_port_command(pair->port, pair->args, pair->arg_nr, 0, port_on_answer, pair) !=
        0)
        die("the port refused a command");
}

static void port_on_answer(void *ctx, const struct aisys_redis_answer *answer)
{
    struct pair *pair = ctx;

    pair->wrong += answer->code != AISYS_OK || !aisys_redis_is_string(answer->value);
    if (pair->to_send > 0)
        port_send(pair);
    if (--pair->to_come == 0)
        uv_stop(&pair->loop);
}

static void port_on_event(void *ctx, enum aisys_redis_port_event event, bool subscriptions,
    const char *reason, uint32_t retry_ms)
{
    struct pair *pair = ctx;

    (void)subscriptions;
    (void)retry_ms;
    if (event != AISYS_REDIS_CONNECTED)
        die(reason);
    pair->connected = true;
    uv_stop(&pair->loop);
}

/* --- bare hiredis --- */

static void bare_on_answer(redisAsyncContext *context, void *reply, void *ctx);

static void bare_send(struct pair *pair)
{
    pair->to_send--;
    if (redisAsyncFormattedCommand(
            pair->bare, bare_on_answer, pair, pair->text, pair->text_bytes) != REDIS_OK)
        die("hiredis refused a command");
}

static void bare_on_answer(redisAsyncContext *context, void *reply, void *ctx)
{
    struct pair *pair = ctx;
    const redisReply *answer = reply;

    (void)context;
    pair->wrong +=
        !answer || (answer->type != REDIS_REPLY_STATUS && answer->type != REDIS_REPLY_STRING);
    if (pair->to_send > 0)
        bare_send(pair);
    if (--pair->to_come == 0)
        uv_stop(&pair->loop);
}

static void bare_on_connect(const redisAsyncContext *context, int status)
{
    struct pair *pair = context->data;

    if (status != REDIS_OK)
        die("hiredis cannot connect");
    pair->connected = true;
    uv_stop(&pair->loop);
}

/* --- runs --- */

/* Commands a second. */
static double run(struct pair *pair, void (*send)(struct pair *pair), unsigned commands)
{
    const uint64_t start_ns = uv_hrtime();

    pair->to_send = pair->to_come = commands;
    for (unsigned i = 0; i < OUTSTANDING && pair->to_send > 0; i++)
        send(pair);
    uv_run(&pair->loop, UV_RUN_DEFAULT);
    if (pair->to_come > 0)
        die("a run ended early");
    return commands * 1e9 / (double)(uv_hrtime() - start_ns);
}

static struct pair pair;
static struct redis_server server;

static void stop_server(void)
{
    redis_server_stop(&server);
}

static const char value[] = "sixty-four bytes of a value that nobody is ever going to read...";
static const struct aisys_redis_arg set_args[] = { { "SET", 3 }, { "bench:key", 9 },
    { value, sizeof(value) - 1 } };

/* Server, port and bare connection, at the first benchmark. 0 or BENCH_SKIPPED. */
static int set_up(void)
{
    const struct aisys_redis_port_callbacks callbacks = { .event = port_on_event };
    struct aisys_redis_config config = { .host = "127.0.0.1" };

    if (pair.port)
        return 0;
    if (redis_server_start(&server) < 0) {
        fprintf(stderr, "no redis-server: its benchmarks are left out\n");
        return BENCH_SKIPPED;
    }
    atexit(stop_server);
    uv_loop_init(&pair.loop);
    config.port = server.port;
    if (aisys_redis_port_open(&pair.loop, &config, &callbacks, &pair, &pair.port) < 0)
        die("cannot open the port");
    uv_run(&pair.loop, UV_RUN_DEFAULT);
    pair.bare = redisAsyncConnect("127.0.0.1", server.port);
    if (!pair.bare || pair.bare->err)
        die("hiredis cannot connect");
    pair.bare->data = &pair;
    redisLibuvAttach(pair.bare, &pair.loop);
    redisAsyncSetConnectCallback(pair.bare, bare_on_connect);
    uv_run(&pair.loop, UV_RUN_DEFAULT);
    pair.args = set_args;
    pair.arg_nr = 3;
    run(&pair, port_send, 1); /* so that there is something to get */
    return 0;
}

static int measure(
    const struct aisys_redis_arg *args, size_t arg_nr, double *ret_figure, double *ret_limit)
{
    const char *words[4];
    size_t bytes[4];
    int length;

    if (set_up() != 0)
        return BENCH_SKIPPED;
    for (size_t i = 0; i < arg_nr; i++) {
        words[i] = args[i].data;
        bytes[i] = args[i].bytes;
    }
    length = redisFormatCommandArgv(&pair.text, (int)arg_nr, words, bytes);
    if (length < 0)
        return -ENOMEM;
    pair.text_bytes = (size_t)length;
    pair.args = args;
    pair.arg_nr = arg_nr;
    *ret_figure = run(&pair, port_send, COMMANDS);
    *ret_limit = run(&pair, bare_send, COMMANDS);
    redisFreeCommand(pair.text);
    if (pair.wrong > 0)
        die("wrong answers");
    return 0;
}

static int measure_set(double *ret_figure, double *ret_limit)
{
    return measure(set_args, 3, ret_figure, ret_limit);
}

static int measure_get(double *ret_figure, double *ret_limit)
{
    static const struct aisys_redis_arg args[] = { { "GET", 3 }, { "bench:key", 9 } };

    return measure(args, 2, ret_figure, ret_limit);
}

const struct bench bench_redis_group[] = {
    { "redis_set", "commands/s", measure_set, 11 },
    { "redis_get", "commands/s", measure_get, 11 },
    { 0 },
};
