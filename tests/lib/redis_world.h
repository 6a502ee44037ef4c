/* Actors in virtual time with a real Redis connection: a stage, a libuv loop, and env_redis between them.
 * The stage's clock stands still unless the test moves it; deadlines of commands are real.
 *
 * Threads: the main one; everything is asserted with cmocka. */
#ifndef TESTS_REDIS_WORLD_H
#define TESTS_REDIS_WORLD_H

#include <uv.h>

#include "actor_stage.h"
#include "node/env_redis.h"

struct redis_world {
    struct stage stage;
    uv_loop_t loop;
    uv_timer_t bound;
    bool late;
    struct aisys_env_redis *redis; /* NULL: not configured */
    bool closed;
};

/* A stage without Redis. */
void redis_world_open(struct redis_world *world);

/* ... and with one at @port of 127.0.0.1, back-offs short. Actors that look at start see it. */
void redis_world_connect(struct redis_world *world, uint16_t port);

/* Loop and stage, one turn each; fails the test when all of it takes longer than any machine needs. */
void redis_world_turn(struct redis_world *world);

#define REDIS_WORLD_UNTIL(world, condition)                                                        \
    do {                                                                                           \
        while (!(condition))                                                                       \
            redis_world_turn(world);                                                               \
    } while (0)

enum aisys_redis_state redis_world_state(const struct redis_world *world);

/* stage_call() that turns the loop until the answer is there. */
int redis_world_call(
    struct redis_world *world, const char *to, const char *method, const ProtobufCMessage *request);

/* The connection is closed; what is open ends. */
void redis_world_disconnect(struct redis_world *world);
void redis_world_close(struct redis_world *world);

#endif
