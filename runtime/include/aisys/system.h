/* The node itself, for its infrastructure actors: what runs on it and how it fares, and the few commands
 * that change that. Only actors/system/ may include this; others have no business with their neighbours.
 *
 * A view is filled for the caller; the strings, tables and histograms in it are borrowed until the handler
 * that asked returns.
 *
 * Threads: the loop thread, inside a handler of @self.
 * Errors:  0 or a negative errno; looking cannot fail.
 * Units:   milliseconds, nanoseconds and bytes, in the names. */
#ifndef AISYS_SYSTEM_H
#define AISYS_SYSTEM_H

#include <aisys/actor.h>

struct aisys_exposition;

/* ---- Actors --------------------------------------------------------------------------------- */

/* Messages by outcome (invariant 6): offered is the sum of the others. */
struct aisys_accounts {
    uint64_t offered, handled, failed, refused, dropped, dead;
    uint64_t queued;
    uint64_t in_hand; /* being handled at this moment */
};

/* Counts by time: bucket i holds [2^i, 2^(i+1)) ns, the first also what is less, the last what is more. */
#define AISYS_HISTOGRAM_BUCKETS 36
struct aisys_histogram {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t buckets[AISYS_HISTOGRAM_BUCKETS];
};

struct aisys_actor_info {
    struct aisys_id id;
    const char *name;  /* "" for an anonymous one */
    const char *alias; /* "" when it has none */
    const struct aisys_actor_ops *ops;
    const ProtobufCMessage *config; /* NULL: it has none */
    const char *state;              /* "running", ... */
    const char *const *depends;     /* NULL ends */
    bool running, down, hidden;
    uint32_t restarts;
    const char *last_failure; /* "" when none */
    struct aisys_accounts accounts;
    uint32_t mailbox_messages, mailbox_messages_max;
    uint32_t mailbox_bytes, mailbox_bytes_max;
    uint64_t memory_bytes, memory_peak_bytes, memory_bytes_max;
    uint64_t loop_ns;
    uint64_t pool_ns;
    uint32_t open_ops;                    /* asks, timers, jobs and service work */
    uint32_t open_replies;                /* answers that it owes */
    const struct aisys_histogram *wait;   /* in the mailbox, 1 message in 64; NULL: none yet */
    const struct aisys_histogram *handle; /* in the handler, the same messages */
};

/* Call @each for every named actor, hidden ones too, in the order they were added. */
AISYS_API void aisys_system_each(const struct aisys_actor *self,
    void (*each)(void *ctx, const struct aisys_actor_info *info), void *ctx);

/* The actor with that name or alias; false: there is none. */
AISYS_API bool aisys_system_find(
    const struct aisys_actor *self, const char *name, struct aisys_actor_info *ret_info);

/* What its health() says, and its life: one that is down is unhealthy. */
AISYS_API void aisys_system_health(
    const struct aisys_actor *self, struct aisys_id id, struct aisys_health *ret_health);

/* The name or alias nearest to @name, which nobody has; NULL when none is near. */
AISYS_API const char *aisys_system_suggest(const struct aisys_actor *self, const char *name);

/* Stop the named actor in order and start it again (as after a failure, but not counted as one).
 * 0; -ENOENT: no such actor; -EAGAIN: it is neither running nor down, or the node stops. */
AISYS_API int aisys_system_restart(struct aisys_actor *self, const char *name);

/* ---- The core --------------------------------------------------------------------------------- */

enum aisys_core_state {
    AISYS_CORE_NEW,
    AISYS_CORE_STARTING,
    AISYS_CORE_READY, /* every actor runs, or has given up */
    AISYS_CORE_STOPPING,
    AISYS_CORE_STOPPED,
};

enum aisys_dead_reason {
    AISYS_DEAD_GONE,     /* no such actor */
    AISYS_DEAD_STOPPED,  /* it stopped with messages in its mailbox */
    AISYS_DEAD_LATE,     /* a reply after its ask had ended */
    AISYS_DEAD_REFUSED,  /* came over a link and the mailbox was full */
    AISYS_DEAD_DEADLINE, /* a request that nobody waits for any more */
    AISYS_DEAD_MEMORY,   /* came over a link and there was no memory for it */
    AISYS_DEAD_NR
};

AISYS_API const char *aisys_dead_reason_name(enum aisys_dead_reason reason);

/* The last ones are kept, without payload. */
struct aisys_dead_letter {
    uint64_t at_ms;
    struct aisys_id from, to;
    char to_name[64];
    enum aisys_dead_reason reason;
    uint32_t type, bytes;
    uint8_t kind; /* enum aisys_envelope_kind */
};

#define AISYS_DEAD_LETTERS_MAX 256

struct aisys_lane_limits {
    uint32_t running; /* jobs at once, >= 1 */
    uint32_t queued;  /* waiting jobs, >= 1 */
};

struct aisys_core_info {
    enum aisys_core_state state;
    uint32_t actors, actors_down;
    uint32_t ops, ops_max;
    uint64_t turns, activations;
    uint64_t unknown; /* messages offered to nobody: all dead */
    uint64_t dead[AISYS_DEAD_NR];
    uint64_t message_bytes; /* held by messages, free lists included */
    struct {
        uint32_t running, queued;
        uint64_t done, refused, pool_ns;
        struct aisys_lane_limits limits;
    } lanes[AISYS_LANE_NR];
};

AISYS_API void aisys_system_stats(const struct aisys_actor *self, struct aisys_core_info *ret_info);

/* Call @each for the dead letters kept, oldest first. */
AISYS_API void aisys_system_dead_letters(const struct aisys_actor *self,
    void (*each)(void *ctx, const struct aisys_dead_letter *letter), void *ctx);

/* ---- The node --------------------------------------------------------------------------------- */

/* The machine and the process. What cannot be read is negative, or 0 for the unsigned ones. */
struct aisys_process_stats {
    double machine_cpu_percent;    /* of all its cores, since it was last read */
    double machine_memory_percent; /* used, caches aside */
    double machine_disk_percent;   /* of the file system of data.dir */
    double cpu_seconds;            /* of this process, user and system */
    uint64_t resident_bytes;
    uint64_t virtual_bytes;
    uint32_t threads;
    uint32_t open_fds, max_fds;
};

/* One finding of the node about itself: a door, Redis, a peer. */
struct aisys_node_check {
    const char *name; /* "Request door" */
    enum aisys_health_status status;
    const char *message;
};

/* What the node tells of itself. Its owner is the node; a function or string that is not there (NULL)
 * is not known. @ctx is the first argument of each function. */
struct aisys_node_facts {
    void *ctx;
    const char *name;
    const char *role;
    const char *version;
    const char *environment; /* dev, staging, prod */
    uint64_t incarnation;
    int64_t started_wall_ms; /* since 1970, UTC */
    uint64_t started_ms;     /* monotonic */
    uint32_t pid;

    /* What was read last; never blocks, may be seconds old. */
    void (*process)(void *ctx, struct aisys_process_stats *ret_stats);

    /* Hand each check of the node to @each. */
    void (*checks)(void *ctx, void (*each)(void *each_ctx, const struct aisys_node_check *check),
        void *each_ctx);

    /* Append the families of doors, HTTP, Redis and whatever else the node counts. */
    void (*metrics)(void *ctx, struct aisys_exposition *page);

    /* The comment in the .proto of whatever has that full name; "" when there is none. */
    const char *(*comment)(void *ctx, const char *full_name);

    /* The module that brought a class; "" for the node's own. */
    const char *(*module)(void *ctx, const struct aisys_actor_ops *ops);

    /* @message as JSON, secrets masked, into @buf; what does not fit is -ENOSPC. */
    int (*json)(void *ctx, const ProtobufCMessage *message, char *buf, size_t bytes);

    /* The whole configuration as --print-config writes it, handed to @put piece by piece. 0, a negative
     * errno, or what @put returned when that was not 0. */
    int (*config)(
        void *ctx, int (*put)(void *put_ctx, const char *text, size_t bytes), void *put_ctx);
};

/* Never NULL; in a core that was told nothing all is empty. */
AISYS_API const struct aisys_node_facts *aisys_system_facts(const struct aisys_actor *self);

#endif
