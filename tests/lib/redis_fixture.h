/* What the tests of the Redis port share: a loop with one port on it that is driven until something has
 * happened, what the port said on the way, and a server that answers what the test wants.
 *
 * Nothing here waits for time to pass: RUN_UNTIL turns the loop until its condition holds, and fails the
 * test when that takes longer than any machine needs. */
#ifndef TESTS_REDIS_FIXTURE_H
#define TESTS_REDIS_FIXTURE_H

#include <uv.h>

#include "port/redis_port.h"
#include "unit.h"

/* How a call ended, and how often. */
struct got {
    int calls;
    enum aisys_code code;
    bool maybe_executed;
    char message[256];
    enum aisys_redis_type type; /* of the value, when there is one */
    char shown[256];            /* the value as text: [1 "a +OK -ERR nil] */
};

struct world {
    uv_loop_t loop;
    uv_timer_t bound;
    uv_timer_t tick;
    bool late;
    struct aisys_redis_port *port; /* NULL: none, or closing */
    int closed;
    int events[AISYS_REDIS_BREAKER_CLOSED + 1]; /* how often each came */
    int subscription_events[AISYS_REDIS_BREAKER_CLOSED + 1];
    char reason[512]; /* of the last one */
    uint32_t retry_ms;
    uint32_t retries_ms[8]; /* of the first failed attempts */
    int room;
    size_t live_pieces; /* of memory */
    uint64_t allocations;
    uint64_t fail_at; /* the number of the allocation that fails; 0: none */
};

void world_init(struct world *world);
/* Closes the port, if any; fails the test when memory or handles are left. */
void world_deinit(struct world *world);
/* A port with this configuration, back-offs short, no jitter, memory counted. Returns what open does. */
int world_try_open(struct world *world, struct aisys_redis_config config);
void world_open(struct world *world, struct aisys_redis_config config);
void world_close(struct world *world);
void world_turn(struct world *world);

#define RUN_UNTIL(world, condition)                                                                \
    do {                                                                                           \
        while (!(condition))                                                                       \
            world_turn(world);                                                                     \
    } while (0)

/* One command, its words parted by single blanks. */
int world_send(struct world *world, const char *words, uint32_t deadline_ms, struct got *got);
/* ... and its answer, which is expected to be this. */
void world_expect(struct world *world, const char *words, const char *shown);
void got_answer(void *ctx, const struct aisys_redis_answer *answer);
struct aisys_redis_port_stats world_stats(const struct world *world);
/* Splits @words (kept by the caller) into at most @max arguments; returns how many. */
size_t world_words(const char *words, struct aisys_redis_arg *args, size_t max);

/* --- the fake --- */

/* What the fake does when it has read a whole command (its words as text); the greeting's PING is answered
 * with +PONG unless silent. fake_say and fake_hang_up answer. */
struct fake;
typedef void (*fake_command_fn)(struct fake *fake, const char *words, unsigned number);

struct fake {
    uv_loop_t *loop;
    uv_tcp_t listener;
    uint16_t port;
    bool silent;             /* no answer to anything */
    fake_command_fn command; /* may be NULL: no answer */
    void *ctx;               /* for the test */
    unsigned connections;    /* ever */
    unsigned commands;       /* ever, greetings not counted */
    uv_tcp_t *client;        /* the newest, NULL when gone */
    char input[65536];
    size_t input_bytes;
    bool greeted;
};

void fake_start(struct fake *fake, struct world *world);
/* Bytes to the client, at once: what its socket takes. */
void fake_say(struct fake *fake, const void *data, size_t bytes);
void fake_say_text(struct fake *fake, const char *text);
void fake_hang_up(struct fake *fake);
void fake_stop(struct fake *fake);

#endif
