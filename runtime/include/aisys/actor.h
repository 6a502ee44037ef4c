/* An actor: private state, and handlers that run one at a time on the loop thread.
 *
 * A class is one `struct aisys_actor_ops`; an instance of it with a name is an actor. It receives
 *
 *     calls     typed requests of its protobuf service: one handler per method (`methods`)
 *     messages  untyped events and asks: `receive`
 *     ends      of what it began itself (asks, timers, jobs, database and Redis work):
 *               one named function per kind of end (`continuations`)
 *
 * Everything an actor begins is said with a `struct aisys_then`: which continuation takes the end,
 * a token of the actor's own choosing (an index into its state, say) and a deadline. Continuations
 * are numbers into a table that is matched by name, never pointers, so that open work survives
 * a change of the code under it.
 *
 * Threads: functions here run on the loop thread, inside a handler of @self, unless a comment says
 *          otherwise. Handlers never block; what blocks is a job (aisys_job).
 * Errors:  0 is success; negative errno means "not handled here, pass it up"; positive AISYS_SEND_*
 *          values are outcomes that the caller must handle. A handler that returns a negative errno
 *          fails its actor: it is torn down and started again, and its caller gets INTERNAL.
 * Times:   milliseconds on the node's monotonic clock, in names ending in _ms.
 * Memory:  aisys_alloc() belongs to the actor and is released when it stops, however it stops.
 *          What a handler is given is borrowed until it returns.
 * Checks:  a failed AISYS_CHECK in an actor's code fails that actor alone (in a job it aborts). It
 *          unwinds past the frames of the handler: nothing there may hold what only it can release. */
#ifndef AISYS_ACTOR_H
#define AISYS_ACTOR_H

#include <aisys/api.h>
#include <aisys/code.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The layout of this file and its siblings; a module built for another number is refused. */
#define AISYS_ABI 1u

struct aisys_actor;
struct aisys_diag;
struct aisys_job;

/* ---- Addresses ---------------------------------------------------------------------------- */

/* Who: a run of a node, a slot in it, and which of the slot's tenants. An id of an actor that has
 * gone never reaches another. {0} is nobody. An id outlives restarts of its actor by the supervisor
 * (the mailbox stays), not its removal. */
struct aisys_id {
    uint64_t node;       /* which run of which node: number and incarnation */
    uint32_t slot;       /* in that node's table */
    uint32_t generation; /* of the slot; never 0 for an actor */
};

static inline bool aisys_id_equal(struct aisys_id a, struct aisys_id b)
{
    return a.node == b.node && a.slot == b.slot && a.generation == b.generation;
}

static inline bool aisys_id_is_none(struct aisys_id a)
{
    return a.generation == 0;
}

/* Bytes that are borrowed for a call. */
struct aisys_bytes {
    const void *data;
    size_t len;
};

#define AISYS_BYTES(data_, len_) ((struct aisys_bytes){ (data_), (len_) })
#define AISYS_NO_BYTES           ((struct aisys_bytes){ NULL, 0 })

/* The actor called @name (or with that alias) on this node, or nobody. */
AISYS_API struct aisys_id aisys_lookup(const struct aisys_actor *self, const char *name);

AISYS_API struct aisys_id aisys_self(const struct aisys_actor *self);
AISYS_API const char *aisys_name(
    const struct aisys_actor *self); /* borrowed while the actor lives */

/* The actor's state: state_bytes zeroed before start(), released after stop(). */
static inline void *aisys_state(const struct aisys_actor *self)
{
    return *(void *const *)(const void *)self; /* the first word of an actor, by contract */
}

/* ---- Messages ----------------------------------------------------------------------------- */

/* Three queues per mailbox, served 8 : 4 : 1 while each has messages: low is late, never starved.
 * Order is kept within one priority. The zero value is the usual one. */
enum aisys_priority { AISYS_NORMAL = 0, AISYS_HIGH = 1, AISYS_LOW = 2 };

/* Where an answer goes: a number, valid until it was used once. 0: no answer is wanted. */
typedef uint64_t aisys_reply;

/* What receive() gets; borrowed until it returns. */
struct aisys_msg {
    struct aisys_id from;
    const void *data; /* NULL when bytes is 0 */
    uint32_t bytes;
    uint32_t type;        /* whatever both sides agreed on */
    uint64_t deadline_ms; /* on this node's clock; 0: none */
    aisys_reply reply;    /* 0: a plain message */
};

/* Why something could not be sent or begun. Nothing of it will be heard of again. */
enum aisys_send_outcome {
    AISYS_SEND_FULL = 1, /* the receiver's mailbox, or the place for an end in one's own */
    AISYS_SEND_GONE = 2, /* no such actor (any more) */
    AISYS_SEND_TOO_BIG =
        3, /* larger than a message may be (16 MiB, and never over the mailbox's bytes) */
};

/* How the end of something begun comes back. */
struct aisys_then {
    uint64_t token;
    uint32_t deadline_ms;  /* from now; 0: 5000; of an ask at most 600000 */
    uint16_t continuation; /* index into ops->continuations */
    uint8_t priority;      /* enum aisys_priority, of the request and of its end */
};

/* The end of something that this actor began; borrowed until the continuation returns. */
struct aisys_end {
    uint64_t token;
    int code;            /* enum aisys_code; AISYS_OK: what follows is the result */
    bool more;           /* a job's progress: its end is still to come */
    const char *words;   /* why, for people; "" when code is AISYS_OK */
    const void *message; /* the unpacked reply, when the continuation names its type; else NULL */
    const void *data;    /* the reply as it came (an aisys.Error when code is not AISYS_OK) */
    size_t bytes;
    void *result; /* of a job, a database or Redis command: see the function that began it */
};

/* Send a copy of @payload to @to. Returns 0, an AISYS_SEND_* outcome or -ENOMEM. */
AISYS_API int aisys_send(
    struct aisys_actor *self, struct aisys_id to, uint32_t type, struct aisys_bytes payload);
AISYS_API int aisys_send_at(struct aisys_actor *self, struct aisys_id to, uint32_t type,
    struct aisys_bytes payload, enum aisys_priority priority);

/* As aisys_send, and one answer comes back: exactly one of the reply, an error, DEADLINE_EXCEEDED or
 * UNAVAILABLE (the other side went) reaches @then, unless this actor stops or cancels first. */
AISYS_API int aisys_ask(struct aisys_actor *self, struct aisys_id to, uint32_t type,
    struct aisys_bytes payload, struct aisys_then then);

/* A typed ask: @method of the receiver's service, @request its input message. */
AISYS_API int aisys_call(struct aisys_actor *self, struct aisys_id to, const char *method,
    const ProtobufCMessage *request, struct aisys_then then);

/* As aisys_call with the request already packed. */
AISYS_API int aisys_call_packed(struct aisys_actor *self, struct aisys_id to, const char *method,
    struct aisys_bytes request, struct aisys_then then);

/* Answer: each completes @reply, exactly once. On a reply whose asker has gone, or that was completed,
 * they do nothing and return AISYS_SEND_GONE. Nothing can be refused: the asker reserved the place.
 * When memory is short the asker gets RESOURCE_EXHAUSTED and the result is -ENOMEM. */
AISYS_API int aisys_answer(
    struct aisys_actor *self, aisys_reply reply, const ProtobufCMessage *message);
AISYS_API int aisys_answer_bytes(
    struct aisys_actor *self, aisys_reply reply, struct aisys_bytes payload);
AISYS_API int aisys_fail(struct aisys_actor *self, aisys_reply reply, enum aisys_code code,
    const char *format, ...) __attribute__((format(printf, 4, 5)));
AISYS_API int aisys_fail_diag(struct aisys_actor *self, aisys_reply reply, enum aisys_code code,
    const struct aisys_diag *diag);

/* Pass the error of @end on to @reply as it came, details included. */
AISYS_API int aisys_fail_as(
    struct aisys_actor *self, aisys_reply reply, const struct aisys_end *end);

/* What is left of the time that @reply's asker gave, at least 1; 0 when it gave none or has gone. */
AISYS_API uint32_t aisys_reply_remaining_ms(const struct aisys_actor *self, aisys_reply reply);

/* ---- Timers and cancelling ---------------------------------------------------------------- */

AISYS_API uint64_t aisys_now_ms(const struct aisys_actor *self); /* monotonic, one value per turn */
AISYS_API int64_t aisys_wall_ms(const struct aisys_actor *self); /* since 1970, UTC */
AISYS_API uint64_t aisys_random(struct aisys_actor *self);       /* 64 bits, not for secrets */

/* AISYS_OK to @then after @delay_ms (>= 1); then.deadline_ms is ignored. */
AISYS_API int aisys_after(struct aisys_actor *self, uint32_t delay_ms, struct aisys_then then);

/* Forget everything open that would end in (@continuation, @token): no end comes. A job that has not
 * started never will; one that runs sees aisys_job_stopped(). Returns how many there were. */
AISYS_API unsigned aisys_cancel(struct aisys_actor *self, uint16_t continuation, uint64_t token);

/* ---- Jobs: work on the pool --------------------------------------------------------------- */

enum aisys_lane { AISYS_LANE_GENERAL = 0, AISYS_LANE_MEMORY = 1, AISYS_LANE_VISION = 2 };
#define AISYS_LANE_NR 3

typedef void (*aisys_run_fn)(struct aisys_job *job);
typedef void (*aisys_free_fn)(void *object); /* any thread */

/* What a job owns: released with @free (may be NULL) when the job has ended or never began. */
struct aisys_job_input {
    void *data;
    aisys_free_fn free;
};

/* Run @run on a pool thread of @lane, by priority, then by deadline. Takes @input unless it returns
 * other than 0 (AISYS_SEND_FULL: the lane's queue or one's own mailbox is full). The end's `result`
 * is what aisys_job_result() gave, borrowed for the continuation. */
AISYS_API int aisys_job(struct aisys_actor *self, enum aisys_lane lane, aisys_run_fn run,
    struct aisys_job_input input, struct aisys_then then);

/* For run(), on its pool thread: */
AISYS_API void *aisys_job_input(const struct aisys_job *job);
AISYS_API bool aisys_job_stopped(const struct aisys_job *job); /* cancelled, or over its deadline */
AISYS_API uint64_t aisys_job_remaining_ms(const struct aisys_job *job);
AISYS_API int aisys_job_progress(
    struct aisys_job *job, struct aisys_bytes payload); /* 0, -ENOMEM */
AISYS_API void aisys_job_result(
    struct aisys_job *job, void *result, aisys_free_fn free); /* takes */
AISYS_API void aisys_job_fail(struct aisys_job *job, enum aisys_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- Memory ------------------------------------------------------------------------------- */

/* Zeroed memory in the actor's account. NULL when its limit or the system's memory is reached. */
AISYS_API void *aisys_alloc(struct aisys_actor *self, size_t bytes);
AISYS_API void *aisys_realloc(
    struct aisys_actor *self, void *p, size_t bytes);         /* new bytes are not zeroed */
AISYS_API void aisys_free(struct aisys_actor *self, void *p); /* NULL is fine */
AISYS_API char *aisys_strdup(struct aisys_actor *self, const char *s);

/* ---- Log ---------------------------------------------------------------------------------- */

enum aisys_log_level { AISYS_DEBUG, AISYS_INFO, AISYS_WARNING, AISYS_ERROR };

/* One event: a stable name, then printf-style key=value pairs. The runtime adds time, node and actor. */
AISYS_API void aisys_log(const struct aisys_actor *self, enum aisys_log_level level,
    const char *event, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* ---- Classes ------------------------------------------------------------------------------ */

enum aisys_stop {
    AISYS_STOP_DRAIN,   /* the node or an operator stops it: finish what is open */
    AISYS_STOP_RESTART, /* an operator restarts it */
};

enum aisys_health_status { AISYS_HEALTHY, AISYS_DEGRADED, AISYS_UNHEALTHY, AISYS_SKIPPED };

struct aisys_health {
    enum aisys_health_status status;
    char why[160]; /* "" when healthy */
};

/* start() and stop() that go on: AISYS_PENDING now, aisys_ready() or aisys_stopped() later. Meanwhile
 * only ends are delivered; messages wait. */
#define AISYS_PENDING 1

AISYS_API void aisys_ready(struct aisys_actor *self);
AISYS_API void aisys_stopped(struct aisys_actor *self);

/* Something is wrong with the actor itself, found outside a handler's return: it fails (as if the
 * handler had returned @error) when the handler has returned. */
AISYS_API void aisys_give_up(struct aisys_actor *self, int error, const char *why);

/* A handler of one method: @request is the input message, unpacked and valid by its field options,
 * borrowed until @reply is completed and the handler has returned. 0: answered, or will be. */
typedef int (*aisys_method_fn)(struct aisys_actor *self, const void *request, aisys_reply reply);

struct aisys_method {
    const char *name; /* of the service's method; NULL ends the table */
    aisys_method_fn handle;
};

typedef int (*aisys_continuation_fn)(struct aisys_actor *self, const struct aisys_end *end);

struct aisys_continuation {
    const char *name; /* matched across code versions; NULL ends the table */
    aisys_continuation_fn handle;
    const ProtobufCMessageDescriptor *message; /* of a reply to unpack; NULL: bytes only */
};

/* A class. All but abi and name may be absent; what is absent is refused clearly, not ignored. */
struct aisys_actor_ops {
    uint32_t abi;     /* AISYS_ABI */
    const char *name; /* key in YAML, label in logs and metrics */
    const ProtobufCServiceDescriptor *service;
    const ProtobufCMessageDescriptor *config;
    const struct aisys_method *methods;
    const struct aisys_continuation *continuations;
    size_t state_bytes;
    uint32_t state_version;

    /* May veto with words in @diag, touches nothing. */
    int (*check)(const void *config, struct aisys_diag *diag);
    int (*start)(struct aisys_actor *self, const void *config); /* 0, AISYS_PENDING, -errno */
    int (*receive)(struct aisys_actor *self, const struct aisys_msg *msg);
    int (*stop)(struct aisys_actor *self, enum aisys_stop why); /* 0, AISYS_PENDING */
    void (*health)(const struct aisys_actor *self, struct aisys_health *ret_health);
};

/* What a module exports: `const struct aisys_module aisys_module = { ... }`. */
struct aisys_module {
    uint32_t abi;
    const char *name;
    const char *license;                          /* SPDX; a module that links GPL code says so */
    const struct aisys_actor_ops *const *classes; /* NULL ends the list */
};

/* ---- Checks ------------------------------------------------------------------------------- */

/* What must be true if our own code is right; stays in release builds. Never for what comes from outside. */
#ifndef AISYS_CHECK
#define AISYS_CHECK(condition)                                                                     \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            aisys_check_failed_in_actor(#condition, __FILE__, __LINE__);                           \
    } while (0)
#endif

AISYS_API _Noreturn void aisys_check_failed_in_actor(
    const char *condition, const char *file, int line);

#endif
