/* The core: messages between actors through the public functions, 64 B opaque payloads, all accounts
 * on. The limit beside each is the same traffic on a bare intrusive queue: copy, link, unlink. */
#include "bench.h"
#include "core/core.h"
#include "port/uv_port.h"

#include <aisys/diag.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAYLOAD_BYTES 64
#ifndef MESSAGES
#define MESSAGES 4000000u
#endif

/* ---- An environment with real time and nothing else --------------------------------------------- */

static void *bench_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    return malloc(bytes);
}

static void bench_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static uint64_t bench_now_ms(void *ctx)
{
    struct timespec now;

    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t bench_ticks(void)
{
    return aisys_uv_ticks();
}

static void bench_wake(void *ctx)
{
    (void)ctx;
}

static void bench_log(
    void *ctx, enum aisys_log_level level, const char *actor, const char *event, const char *words)
{
    (void)ctx;
    (void)level;
    fprintf(stderr, "%s %s %s\n", actor ? actor : "-", event, words);
}

static struct aisys_env bench_env = {
    .memory = { bench_alloc, bench_free, NULL },
    .now_ms = bench_now_ms,
    .ticks = bench_ticks,
    .wake = bench_wake,
    .log = bench_log,
};

static struct aisys_core *bench_core(void)
{
    const struct aisys_core_options options = { .node = 1 };
    struct aisys_core *core;

    bench_env.ticks_per_ms = aisys_uv_ticks_per_ms();
    return aisys_core_new(&bench_env, &options, &core) == 0 ? core : NULL;
}

/* ---- The actors ---------------------------------------------------------------------------------- */

static struct {
    uint64_t handled, left;
    struct aisys_id *peers;
    uint32_t peers_nr;
    struct aisys_id consumer;
    bool stuck;
} run;

static const unsigned char payload[PAYLOAD_BYTES];
#define PAYLOAD AISYS_BYTES(payload, PAYLOAD_BYTES)

static void must(int r)
{
    if (r != 0)
        run.stuck = true;
}

/* Answers every message with one to its sender. */
static int pong_receive(struct aisys_actor *self, const struct aisys_msg *msg)
{
    run.handled++;
    if (run.left) {
        run.left--;
        must(aisys_send(self, msg->from, 1, AISYS_BYTES(msg->data, msg->bytes)));
    }
    return 0;
}

static const struct aisys_actor_ops pong_ops = {
    .abi = AISYS_ABI, .name = "pong", .receive = pong_receive
};

/* Passes every message on to the next of the ring; type is the place. */
static int ring_receive(struct aisys_actor *self, const struct aisys_msg *msg)
{
    const uint32_t next = msg->type + 1 < run.peers_nr ? msg->type + 1 : 0;

    run.handled++;
    if (run.left) {
        run.left--;
        must(aisys_send(self, run.peers[next], next, AISYS_BYTES(msg->data, msg->bytes)));
    }
    return 0;
}

static const struct aisys_actor_ops ring_ops = {
    .abi = AISYS_ABI, .name = "ring", .receive = ring_receive
};

/* Fills its consumer's mailbox, then comes back by a message to itself. */
static int producer_receive(struct aisys_actor *self, const struct aisys_msg *msg)
{
    (void)msg;
    while (run.left) {
        const int r = aisys_send(self, run.consumer, 1, PAYLOAD);

        if (r == AISYS_SEND_FULL) {
            must(aisys_send(self, aisys_self(self), 0, AISYS_NO_BYTES));
            return 0;
        }
        must(r);
        run.left--;
    }
    return 0;
}

static const struct aisys_actor_ops producer_ops = {
    .abi = AISYS_ABI, .name = "producer", .receive = producer_receive
};

static int consumer_receive(struct aisys_actor *self, const struct aisys_msg *msg)
{
    (void)self;
    run.handled += msg->bytes == PAYLOAD_BYTES;
    return 0;
}

static const struct aisys_actor_ops consumer_ops = {
    .abi = AISYS_ABI, .name = "consumer", .receive = consumer_receive
};

static int server_receive(struct aisys_actor *self, const struct aisys_msg *msg)
{
    return aisys_answer_bytes(self, msg->reply, AISYS_BYTES(msg->data, msg->bytes)) < 0 ? -EIO : 0;
}

static const struct aisys_actor_ops server_ops = {
    .abi = AISYS_ABI, .name = "server", .receive = server_receive
};

static const struct aisys_then on_answer = { .continuation = 0, .deadline_ms = 60000 };

static int asker_answer(struct aisys_actor *self, const struct aisys_end *end)
{
    run.handled += end->code == AISYS_OK;
    if (run.left) {
        run.left--;
        must(aisys_ask(self, run.consumer, 1, PAYLOAD, on_answer));
    }
    return 0;
}

static int asker_receive(struct aisys_actor *self, const struct aisys_msg *msg)
{
    for (uint32_t i = 0; i < msg->type; i++) {
        run.left--;
        must(aisys_ask(self, run.consumer, 1, PAYLOAD, on_answer));
    }
    return 0;
}

static const struct aisys_continuation asker_continuations[] = { { "answer", asker_answer, NULL },
    { 0 } };

static const struct aisys_actor_ops asker_ops = { .abi = AISYS_ABI,
    .name = "asker",
    .receive = asker_receive,
    .continuations = asker_continuations };

/* ---- Setting up ------------------------------------------------------------------------------------ */

static struct aisys_id spawn(struct aisys_core *core, const struct aisys_actor_ops *ops)
{
    static const struct aisys_actor_options options = { .mailbox_messages = 1024 };
    static struct aisys_diag diag;
    struct aisys_class *class = aisys_core_class(core, ops->name);
    struct aisys_id id = { 0 };

    aisys_diag_init(&diag);
    if (!class && aisys_core_class_add(core, ops, &diag, &class) < 0)
        abort();
    if (aisys_core_spawn(core, class, &options, &id) != 0)
        abort();
    return id;
}

/* As if @from had sent it. */
static void begin(struct aisys_core *core, struct aisys_id from, struct aisys_id to, uint32_t type)
{
    const struct aisys_envelope envelope = {
        .from = from, .to = to, .type = type, .payload = PAYLOAD
    };

    aisys_core_deliver(core, &envelope);
}

/* Run until nothing is left to do; seconds. */
static double finish(struct aisys_core *core)
{
    const double start = bench_seconds();

    while (aisys_core_turn(core))
        ;
    return bench_seconds() - start;
}

static int finished(struct aisys_core *core, uint64_t expected)
{
    aisys_core_free(core);
    return run.stuck || run.handled != expected ? -EPROTO : 0;
}

/* ---- The limit: a bare queue ------------------------------------------------------------------------- */

struct bare {
    struct bare *next;
    unsigned char data[PAYLOAD_BYTES];
};

/* @ahead messages in the queue while @n pass through it; seconds. */
static double bare_queue(unsigned n, unsigned ahead)
{
    struct bare *free_list = NULL, *head = NULL, **tail = &head;
    struct bare *all = calloc(ahead + 1, sizeof(*all));
    unsigned char out[PAYLOAD_BYTES];
    double start;

    if (!all)
        abort();
    for (unsigned i = 0; i <= ahead; i++) {
        all[i].next = free_list;
        free_list = &all[i];
    }
    start = bench_seconds();
    for (unsigned sent = 0, got = 0; got < n;) {
        if (sent < n && sent - got <= ahead) {
            struct bare *m = free_list;

            free_list = m->next;
            memcpy(m->data, payload, PAYLOAD_BYTES);
            m->next = NULL;
            *tail = m;
            tail = &m->next;
            sent++;
            __asm__ volatile("" ::: "memory");
        }
        if (sent - got > ahead || sent == n) {
            struct bare *m = head;

            head = m->next;
            if (!head)
                tail = &head;
            memcpy(out, m->data, PAYLOAD_BYTES);
            m->next = free_list;
            free_list = m;
            got++;
            __asm__ volatile("" ::"r"(out) : "memory");
        }
    }
    start = bench_seconds() - start;
    free(all);
    return start;
}

/* ---- The figures --------------------------------------------------------------------------------------- */

static int measure_ping_pong(double *ret_figure, double *ret_limit)
{
    struct aisys_core *core = bench_core();
    struct aisys_id a = spawn(core, &pong_ops), b = spawn(core, &pong_ops);
    double seconds;

    memset(&run, 0, sizeof(run));
    run.left = MESSAGES - 1;
    begin(core, a, b, 1);
    seconds = finish(core);
    *ret_figure = seconds * 1e9 / MESSAGES;
    *ret_limit = bare_queue(MESSAGES, 0) * 1e9 / MESSAGES;
    return finished(core, MESSAGES);
}

static int measure_one_way(double *ret_figure, double *ret_limit)
{
    struct aisys_core *core = bench_core();
    struct aisys_id producer = spawn(core, &producer_ops);
    const unsigned n = 10000000;
    double seconds;

    memset(&run, 0, sizeof(run));
    run.consumer = spawn(core, &consumer_ops);
    run.left = n;
    begin(core, producer, producer, 0);
    seconds = finish(core);
    *ret_figure = n / seconds;
    *ret_limit = n / bare_queue(n, 1023);
    return finished(core, n);
}

#define RING 100

static int measure_ring(double *ret_figure, double *ret_limit)
{
    struct aisys_core *core = bench_core();
    struct aisys_id ids[RING];
    double seconds;

    memset(&run, 0, sizeof(run));
    for (unsigned i = 0; i < RING; i++)
        ids[i] = spawn(core, &ring_ops);
    run.peers = ids;
    run.peers_nr = RING;
    run.left = MESSAGES - 1;
    begin(core, ids[RING - 1], ids[0], 0);
    seconds = finish(core);
    *ret_figure = MESSAGES / seconds;
    *ret_limit = MESSAGES / bare_queue(MESSAGES, 0);
    return finished(core, MESSAGES);
}

static int measure_ask64(double *ret_figure, double *ret_limit)
{
    struct aisys_core *core = bench_core();
    struct aisys_id asker = spawn(core, &asker_ops);
    double seconds;

    memset(&run, 0, sizeof(run));
    run.consumer = spawn(core, &server_ops);
    run.left = MESSAGES;
    begin(core, asker, asker, 64);
    seconds = finish(core);
    *ret_figure = MESSAGES / seconds;
    *ret_limit = MESSAGES / bare_queue(2 * MESSAGES, 64);
    return finished(core, MESSAGES);
}

#define PRODUCERS 100

static int measure_fan_in(double *ret_figure, double *ret_limit)
{
    struct aisys_core *core = bench_core();
    double seconds;

    memset(&run, 0, sizeof(run));
    run.consumer = spawn(core, &consumer_ops);
    run.left = MESSAGES;
    for (unsigned i = 0; i < PRODUCERS; i++) {
        struct aisys_id producer = spawn(core, &producer_ops);

        begin(core, producer, producer, 0);
    }
    seconds = finish(core);
    *ret_figure = MESSAGES / seconds;
    *ret_limit = MESSAGES / bare_queue(MESSAGES, 1023);
    return finished(core, MESSAGES);
}

#define SPAWNED 1000000u

static uint64_t spawn_live_bytes;

static void *counting_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    spawn_live_bytes += bytes;
    return malloc(bytes);
}

static int measure_spawning(double *ret_seconds, double *ret_bytes)
{
    const struct aisys_core_options options = { .node = 1 };
    struct aisys_env env = bench_env;
    struct aisys_core *core;
    double start;

    memset(&run, 0, sizeof(run));
    env.memory.alloc = counting_alloc;
    env.ticks_per_ms = aisys_uv_ticks_per_ms();
    if (aisys_core_new(&env, &options, &core) < 0)
        return -ENOMEM;
    spawn(core, &consumer_ops);
    spawn_live_bytes = 0;
    start = bench_seconds();
    for (unsigned i = 0; i < SPAWNED; i++)
        spawn(core, &consumer_ops);
    *ret_seconds = bench_seconds() - start;
    *ret_bytes = (double)spawn_live_bytes;
    aisys_core_free(core);
    return 0;
}

static int measure_spawn(double *ret_figure, double *ret_limit)
{
    double seconds, bytes;
    int r = measure_spawning(&seconds, &bytes);

    *ret_figure = SPAWNED / seconds;
    *ret_limit = 0;
    return r;
}

static int measure_spawn_bytes(double *ret_figure, double *ret_limit)
{
    double seconds, bytes;
    int r = measure_spawning(&seconds, &bytes);

    *ret_figure = bytes / SPAWNED;
    *ret_limit = 0;
    return r;
}

const struct bench bench_core_group[] = {
    { "ping_pong", "ns/message", measure_ping_pong, 0 },
    { "one_way", "messages/s", measure_one_way, 0 },
    { "ring", "hops/s", measure_ring, 0 },
    { "ask64", "asks/s", measure_ask64, 0 },
    { "fan_in", "messages/s", measure_fan_in, 0 },
    { "spawn", "actors/s", measure_spawn, 0 },
    { "spawn_bytes", "bytes", measure_spawn_bytes, 3 },
    { 0 },
};
