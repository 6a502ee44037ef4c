/* The world, as the core and the actors reach it: one table of functions.
 *
 * runtime/node fills it with libuv, NNG and the other ports, runtime/sim with virtual time, and fault
 * injection wraps either. The core calls nothing else: no clock, randomness, I/O or thread of its own.
 *
 * Threads: all functions are called on the loop thread, except where "any thread" is said. */
#ifndef AISYS_CORE_ENV_H
#define AISYS_CORE_ENV_H

#include "check.h"
#include "arena.h"
#include "envelope.h"
#include <aisys/actor.h>
#include <aisys/redis.h>

/* What an actor wants of Redis. */
struct aisys_redis_work {
    const struct aisys_redis_command *commands;
    size_t command_nr;
    bool batch;       /* the result is an ARRAY of the answers; else it is the one answer */
    bool transaction; /* of a batch: MULTI ... EXEC */
};

struct aisys_db;
struct aisys_db_options;
struct aisys_db_request;

/* Databases (aisys/db.h). All zero: there are none. */
struct aisys_db_service {
    void *ctx; /* first argument of all */

    /* Begin to open on the pool; aisys_core_op_end(@op) gives the database. 0 or a negative errno. */
    int (*open)(
        void *ctx, struct aisys_actor *actor, const struct aisys_db_options *options, uint64_t op);

    /* Take @request and end @op with its result. 0, or AISYS_SEND_FULL: it was not taken. */
    int (*write)(void *ctx, struct aisys_db *db, struct aisys_db_request *request, uint64_t op);

    /* Fill the result of @request, which only reads. On a pool thread. */
    void (*read)(void *ctx, struct aisys_db *db, struct aisys_db_request *request);

    /* @db stays open between the two. */
    void (*hold)(void *ctx, struct aisys_db *db);
    void (*drop)(void *ctx, struct aisys_db *db);

    /* Close once nothing holds it and all writes have ended. */
    void (*close)(void *ctx, struct aisys_db *db);

    uint64_t (*bytes)(void *ctx, const struct aisys_db *db);
};

/* Redis, behind aisys/redis.h. */
struct aisys_redis_service {
    void *ctx; /* first argument of all */

    /* Begin @work (borrowed for the call) and end @op once, later or at once, with aisys_core_op_end():
     * the result is a struct aisys_redis_value. @deadline_ms is on now_ms. */
    void (*exec)(void *ctx, const struct aisys_redis_work *work, uint64_t op, uint64_t deadline_ms);

    /* *@ret_why is borrowed until the loop runs again. */
    enum aisys_redis_state (*state)(void *ctx, const char **ret_why);
};

struct aisys_env {
    void *ctx; /* borrowed by the core for its lifetime; first argument of all but ticks() */

    struct aisys_allocator memory; /* any thread */

    uint64_t (*now_ms)(void *ctx); /* monotonic; any thread */
    int64_t (*wall_ms)(void *ctx); /* since 1970, UTC */
    uint64_t (*ticks)(void);       /* the cheapest counter of elapsed time there is */
    uint64_t ticks_per_ms;         /* of ticks() */
    uint64_t (*random)(void *ctx);

    /* aisys_core_turn() has something to do. Called when work came from outside a turn. */
    void (*wake)(void *ctx);

    /* One log event. @actor: its name, or NULL for the node itself; @words: "key=value ..." */
    void (*log)(void *ctx, enum aisys_log_level level, const char *actor, const char *event,
        const char *words);

    /* Call aisys_job_execute(job) on a pool thread, then aisys_core_job_ended(job) on the loop
     * thread. 0 or a negative errno. The core has respected the lane's limit. */
    int (*job_start)(void *ctx, struct aisys_job *job);

    /* From the job's pool thread: have aisys_core_job_progressed(job, payload) called on the loop
     * thread, in order and before the end. Copies @payload. 0 or -ENOMEM. */
    int (*job_progress)(void *ctx, struct aisys_job *job, struct aisys_bytes payload);

    /* aisys_engine(): on a pool thread. */
    const void *(*engine)(
        void *ctx, const char *file, const char *symbol, char *why, size_t why_bytes);

    /* Give @envelope, addressed to this node, to its link to itself (bus.local: socket). What arrives
     * comes back by aisys_core_deliver(), what does not by aisys_core_lost(). 0, AISYS_SEND_FULL,
     * AISYS_SEND_TOO_BIG or -ENOMEM. */
    int (*loopback)(void *loopback_ctx, const struct aisys_envelope *envelope);
    void *loopback_ctx;

    /* Check @message against the field options of its type, all faults into @diag. NULL: none known. */
    void (*validate)(void *ctx, const ProtobufCMessage *message, struct aisys_diag *diag);

    struct aisys_redis_service redis; /* state NULL: Redis is not configured */

    struct aisys_db_service db;
    bool storage_redis; /* storage.backend is redis */

    /* The actor stopped, however: services release what they hold for it (databases, subscriptions). */
    void (*actor_gone)(void *gone_ctx, struct aisys_actor *actor);
    void *gone_ctx;
};

#endif
