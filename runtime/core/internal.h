/* What the files of the core share; nobody else includes it.
 *
 *     message.c   blocks of memory for messages     actor.c    an actor's life, supervision
 *     mailbox.c   bounds, priorities                class.c    ops tables, indexed
 *     wheel.c     deadlines                         turn.c     scheduling, delivery
 *     op.c        what is open: asks, timers, ...   send.c     sending, asking, answering
 *     job.c       lanes and jobs                    account.c  memory, histograms, dead letters */
#ifndef AISYS_CORE_INTERNAL_H
#define AISYS_CORE_INTERNAL_H

#include "check.h"
#include "core.h"
#include "table.h"
#include "wheel.h"
#include <aisys/diag.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <string.h>

/* ---- Messages ------------------------------------------------------------------------------- */

enum message_flag {
    MESSAGE_SAMPLED = 1,   /* stamp is set: its wait and handling are measured */
    MESSAGE_MORE = 2,      /* an END that is a job's progress */
    MESSAGE_UNCOUNTED = 4, /* counted as something else already */
};

/* A message in memory: what the receiver sees, then ours, then the payload. */
struct message {
    struct aisys_msg seen; /* reply: the asker's correlation until it is delivered */
    struct message *next;
    uint8_t kind;     /* enum aisys_envelope_kind */
    uint8_t priority; /* enum aisys_priority */
    uint8_t flags;
    uint8_t size_class;
    uint32_t stamp; /* ticks >> STAMP_SHIFT when it was queued */
    unsigned char payload[];
};
_Static_assert(sizeof(struct message) == 64, "one cache line before the payload");

#define STAMP_SHIFT 6

/* Payload bytes of the classes that have free lists; larger ones come from the heap, exactly sized. */
#define MESSAGE_CLASSES    4
#define MESSAGE_CLASS_HEAP MESSAGE_CLASSES

struct message_pool {
    struct message *free[MESSAGE_CLASSES];
    void *slabs; /* owned; linked by their first word */
    uint64_t bytes;
};

/* NULL: no memory. The caller fills all but next, payload place and size class. */
static inline struct message *message_new(struct aisys_core *core, size_t bytes);
struct message *aisys_message_new_slowly(struct aisys_core *core, size_t bytes);
static inline void message_free(struct aisys_core *core, struct message *message);
void aisys_message_free_to_heap(struct aisys_core *core, struct message *message);
size_t aisys_message_capacity(const struct message *message);
void aisys_message_pool_deinit(struct aisys_core *core);

/* ---- What is open --------------------------------------------------------------------------- */

enum op_kind { OP_FREE = 0, OP_ASK, OP_TIMER, OP_JOB, OP_SERVICE };

/* Something an actor began and has not seen the end of. Its id goes over the wire as an ask's
 * correlation: index and generation, 24 bits each. */
struct op {
    struct wheel_node timer; /* first: the wheel hands it back */
    struct op *next, *prev;  /* of its actor */
    struct aisys_actor *actor;
    struct message *end; /* reserved for its end; NULL once it is in the mailbox */
    uint64_t token;
    struct aisys_job *job; /* OP_JOB */
    void *result;          /* of a service */
    aisys_free_fn release; /* of result */
    struct aisys_id to;    /* OP_ASK: whom */
    uint32_t index;
    uint32_t generation;
    uint16_t continuation;
    uint8_t kind;
    uint8_t priority;
    bool ended;     /* the end is in the mailbox */
    bool cancelled; /* ... and nobody wants it, or its handler has it */
};

/* An answer that an actor owes. */
struct reply {
    struct reply *next, *prev; /* of its actor */
    struct aisys_actor *actor;
    struct aisys_id to;
    uint64_t correlation;
    uint64_t deadline_ms;
    struct aisys_arena *arena;                /* holds the unpacked request; NULL: none */
    const ProtobufCMessageDescriptor *output; /* what the method answers; NULL: bytes */
    uint32_t index;
    uint32_t generation; /* 0: free */
    uint8_t priority;
};

#define OP_INDEX_BITS 24
#define OP_INDEX_MASK ((1u << OP_INDEX_BITS) - 1)

static inline uint64_t aisys_op_id(const struct op *op)
{
    return (uint64_t)op->generation << OP_INDEX_BITS | op->index;
}

static inline struct op *aisys_op_find(
    struct aisys_core *core, uint64_t id); /* NULL: it has ended */

/* Whether @then is one that @actor may say; fails the actor when not. Whoever takes something before
 * aisys_op_begin() calls this first: a failed check releases nothing. */
static inline void then_check(const struct aisys_actor *actor, struct aisys_then then);

/* Reserve the place of an end: 0, AISYS_SEND_FULL, -ENOMEM. The op is linked to @actor, no deadline. */
int aisys_op_begin(
    struct aisys_actor *actor, enum op_kind kind, struct aisys_then then, struct op **ret_op);
void aisys_op_arm(struct aisys_core *core, struct op *op, uint64_t at_ms);
void aisys_op_free(struct aisys_core *core, struct op *op); /* and its reservation, if still held */

/* Put the end into the mailbox; @payload is copied. When there is no memory for it the end is
 * RESOURCE_EXHAUSTED, and the result -ENOMEM. */
int aisys_op_end(struct aisys_core *core, struct op *op, int code, struct aisys_bytes payload);
void aisys_op_end_words(struct aisys_core *core, struct op *op, int code, const char *words);
void aisys_op_abandon(
    struct aisys_core *core, struct op *op); /* its actor wants no end: cancel whatever runs */

#define DEADLINE_DEFAULT_MS 5000u
#define DEADLINE_MAX_MS     600000u

static inline struct reply *aisys_reply_find(struct aisys_core *core, aisys_reply handle);
struct reply *aisys_reply_new(struct aisys_actor *actor, const struct message *message);
static inline aisys_reply reply_handle(const struct reply *reply)
{
    return (uint64_t)reply->generation << 32 | reply->index;
}
void aisys_reply_free(struct aisys_core *core, struct reply *reply);

/* Arenas for what requests and replies are unpacked into, at most @payload_bytes packed; NULL: no memory. */
struct aisys_arena *aisys_arena_take(struct aisys_core *core, size_t payload_bytes);
void aisys_arena_put_back(struct aisys_core *core, struct aisys_arena *arena); /* NULL is fine */

/* Complete and free @reply. */
int aisys_reply_end(
    struct aisys_core *core, struct reply *reply, int code, struct aisys_bytes payload);
void aisys_reply_fail(struct aisys_core *core, struct reply *reply, int code, const char *words);

/* Answer the ask of @message, which nobody will handle. Nothing happens when it is none. */
void aisys_message_fail(struct aisys_core *core, struct aisys_id by, const struct message *message,
    int code, const char *words);

/* ---- Classes -------------------------------------------------------------------------------- */

struct class_method {
    uint32_t id;
    aisys_method_fn handle; /* NULL: declared by the service, not implemented */
    const ProtobufCMethodDescriptor *descriptor;
};

struct aisys_class {
    const struct aisys_actor_ops *ops;
    struct aisys_class *next;
    struct class_method *methods; /* owned */
    unsigned methods_nr;
    unsigned continuations_nr;
};

uint32_t aisys_method_id(const char *name);
const struct class_method *aisys_class_method(const struct aisys_class *class, uint32_t id);

/* ---- Actors --------------------------------------------------------------------------------- */

/*     added    --start, dependencies run-->  starting
 *     starting --ready-->                    running    --fails-->  failed
 *     running  --stop-->                     draining   --mailbox empty, nothing owed-->  stopping
 *     stopping --stopped-->                  stopped (or, of a restart, starting)
 *     failed   --restart-->                  starting   --too often-->  down
 *     any      --torn down-->                free */
enum life {
    LIFE_FREE,
    LIFE_ADDED,
    LIFE_STARTING,
    LIFE_RUNNING,
    LIFE_DRAINING,
    LIFE_STOPPING,
    LIFE_STOPPED,
    LIFE_FAILED,
    LIFE_DOWN,
    LIFE_NR
};

const char *aisys_life_name(enum life life);

/* start() and stop() run in an activation, as every other handler does. */
enum todo {
    TODO_NOTHING,
    TODO_START,
    TODO_STOP,
    TODO_FINISH, /* aisys_stopped() was called: tear down when the handler has returned */
};

/* What happens to an actor when its handler has returned. */
enum fate { FATE_NONE, FATE_GAVE_UP, FATE_KILLED };

#define PRIORITIES    3
#define RESTARTS_KEPT 16

/* What only named actors need. */
struct supervised {
    struct aisys_actor *next, *prev;     /* named actors in the order they were added */
    char *name;                          /* owned */
    char **depends;                      /* owned; NULL ends */
    char *alias;                         /* owned or NULL */
    uint64_t failures_ms[RESTARTS_KEPT]; /* a ring */
    uint32_t failures;
    uint32_t restarts;
    uint8_t mark;                  /* of the search for cycles: */
    uint32_t visited;              /* dependencies that it has looked at */
    struct aisys_actor *came_from; /* who depends on this one; NULL: it began here */
    bool restarting;               /* stop, then start */
    bool hidden, never_restart;
    struct wheel_node restart_timer;
    char last_failure[160];
};

struct measured {
    struct aisys_histogram wait;
    struct aisys_histogram handle;
};

struct aisys_actor {
    void *state; /* first: aisys_state() */
    struct aisys_class *class;
    struct aisys_core *core;
    struct aisys_actor *run_next;     /* of the run queue */
    struct message *tail[PRIORITIES]; /* circular: tail->next is the oldest */
    uint32_t slot, generation;
    uint32_t queued;   /* messages in the three queues */
    uint32_t reserved; /* places that open ops hold */
    uint32_t queued_max;
    uint32_t ends_queued; /* of queued */
    uint64_t queued_bytes;
    uint64_t queued_bytes_max;

    uint8_t life;
    bool runnable; /* in the run queue */
    bool drop_oldest;
    uint8_t fate; /* enum fate: what the current handler decided of it */
    uint8_t lane; /* enum aisys_lane + 1 that all its jobs take; 0: as they say */
    uint8_t todo; /* enum todo */
    uint8_t credits[PRIORITIES];
    bool slow; /* a recent message took long: look at the clock after each */

    uint64_t offered, handled, failed, refused, dropped, dead;
    uint64_t loop_ticks, pool_ticks;

    struct op *ops;
    struct reply *replies;
    struct block *blocks; /* of aisys_alloc */
    uint64_t memory_bytes;
    uint64_t memory_peak_bytes;
    uint64_t memory_bytes_max;
    const ProtobufCMessage *config;
    struct supervised *supervised; /* owned; NULL: anonymous */
    struct measured *measured;     /* owned; NULL: nothing sampled yet */
};
_Static_assert(sizeof(struct aisys_actor) <= 248, "an idle actor is small");

/* NULL: it is anonymous. */
static inline const char *actor_name(const struct aisys_actor *actor)
{
    return actor->supervised ? actor->supervised->name : NULL;
}

static inline bool actor_takes_messages(const struct aisys_actor *actor)
{
    return (1u << LIFE_RUNNING | 1u << LIFE_STARTING | 1u << LIFE_FAILED | 1u << LIFE_ADDED) >>
               actor->life &
           1u;
}

/* Only ends are delivered while it starts or stops. */
static inline bool actor_gated(const struct aisys_actor *actor)
{
    return actor->life == LIFE_STARTING || actor->life == LIFE_STOPPING;
}

static inline struct aisys_actor *actor_find(const struct aisys_core *core, struct aisys_id id);
void aisys_actor_begin_start(struct aisys_actor *actor);
void aisys_actor_begin_stop(struct aisys_actor *actor);
int aisys_actor_do(struct aisys_actor *actor); /* what is in todo; returns as a handler does */
void aisys_actor_fail(struct aisys_actor *actor, int error, const char *why);
void aisys_actor_kill(struct aisys_actor *actor); /* at once; not in its own handler */
void aisys_actor_settle(
    struct aisys_actor *actor); /* after an activation: is a drain or a stop complete? */
static inline void actor_run_later(struct aisys_actor *actor);

/* What its class's health() says; a check that fails there makes it unhealthy, whoever asked. */
void aisys_actor_health(struct aisys_actor *actor, struct aisys_health *ret_health);

/* ---- Mailboxes ------------------------------------------------------------------------------ */

static inline void mailbox_push(
    struct aisys_actor *actor, struct message *message);              /* bounds were seen to */
static inline struct message *mailbox_pop(struct aisys_actor *actor); /* by weight; NULL: empty */
struct message *aisys_mailbox_pop_weighed(struct aisys_actor *actor);
struct message *aisys_mailbox_pop_end(struct aisys_actor *actor); /* the oldest end; NULL: none */
struct message *aisys_mailbox_drop_oldest(
    struct aisys_actor *actor); /* the least important; not an end */

/* ---- Jobs ----------------------------------------------------------------------------------- */

struct lane {
    struct aisys_job **heap; /* owned; the next to run is the first */
    uint32_t queued;
    uint32_t running;
    uint64_t done, refused, pool_ticks, sequence;
    struct aisys_lane_limits limits;
};

int aisys_lane_init(struct aisys_core *core, struct lane *lane, struct aisys_lane_limits limits);
void aisys_lane_deinit(struct aisys_core *core, struct lane *lane);
void aisys_job_cancel(struct aisys_job *job);
void *aisys_job_outcome(struct aisys_job *job);
void aisys_job_free(struct aisys_job *job);

/* ---- Accounts ------------------------------------------------------------------------------- */

void aisys_blocks_release(struct aisys_actor *actor);
void aisys_measured_sample(struct aisys_actor *actor, uint64_t wait_ticks, uint64_t handle_ticks);
void aisys_dead_letter_add(struct aisys_core *core, struct aisys_id from, struct aisys_id to,
    uint8_t kind, uint32_t type, uint32_t bytes, enum aisys_dead_reason reason);
void aisys_dead_message(
    struct aisys_actor *actor, struct message *message, enum aisys_dead_reason reason); /* takes */

/* ---- The core ------------------------------------------------------------------------------- */

struct name {
    const char *text; /* borrowed from the actor */
    uint32_t slot;
};

struct dead_letters {
    struct aisys_dead_letter *ring; /* owned; allocated at the first one */
    uint64_t written;
    uint64_t count[AISYS_DEAD_NR];
};

/* A few arenas for unpacked requests, so that a call costs no malloc. */
#define ARENAS_KEPT 32

struct aisys_core {
    const struct aisys_env *env;
    const struct aisys_node_facts *facts; /* borrowed; NULL: none told yet */
    struct message_pool messages;
    struct table actors, ops, replies;
    struct aisys_actor *run_head, *run_tail;
    struct aisys_actor *current; /* whose handler runs */
    uint64_t now_ms;
    uint64_t node;
    struct wheel wheel;
    bool in_turn;
    bool loopback;

    uint32_t message_bytes_max;
    uint64_t slice_ticks; /* an activation's share of a turn */
    uint64_t slow_ticks;  /* a message that takes longer is slow */
    uint32_t restarts_max, restarts_ms, restart_delay_ms, drain_ms;
    enum aisys_core_state state;

    struct aisys_class *classes;
    struct name *names; /* open addressing; owned */
    uint32_t names_used, names_size;
    struct aisys_actor *first, *last; /* named actors */
    bool sweeping, sweep_again;       /* aisys_dependencies_changed() */

    struct lane lanes[AISYS_LANE_NR];
    struct dead_letters dead;
    struct aisys_arena *arenas[ARENAS_KEPT];
    unsigned arenas_nr;
    uint64_t unknown, turns, activations;

    uint64_t turn_began, turn_look; /* ticks */
    struct message *in_hand;        /* being handled */
    struct reply *in_hand_reply;    /* of in_hand, while it is open */
    struct aisys_arena
        *in_hand_arena; /* what in_hand was unpacked into; NULL: in its reply's arena, or none */
    jmp_buf *unwind;    /* where a failed check of the current actor's code goes on */
    char unwind_words[160];
};

static inline void *core_alloc(struct aisys_core *core, size_t bytes)
{
    return core->env->memory.alloc(core->env->memory.ctx, bytes);
}

static inline void *core_calloc(struct aisys_core *core, size_t bytes)
{
    void *p = core_alloc(core, bytes);

    if (p)
        memset(p, 0, bytes);
    return p;
}

static inline void core_release(struct aisys_core *core, void *p)
{
    if (p)
        core->env->memory.free(core->env->memory.ctx, p);
}

/* Release @object with the function that whoever handed it over wants. That is nobody's handler: a
 * check that fails there has nowhere to unwind to, and aborts. */
static inline void core_release_with(struct aisys_core *core, aisys_free_fn release, void *object)
{
    struct aisys_actor *current = core->current;

    if (!release)
        return;
    core->current = NULL;
    release(object);
    core->current = current;
}

/* Where time matters between turns (a door acts for an actor), the time of the last one is too old. */
static inline void core_look_at_clock(struct aisys_core *core)
{
    if (__builtin_expect(!core->in_turn, 0))
        core->now_ms = core->env->now_ms(core->env->ctx);
}

char *aisys_core_strdup(struct aisys_core *core, const char *s);

void aisys_core_log(const struct aisys_core *core, const struct aisys_actor *actor,
    enum aisys_log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

static inline struct aisys_id actor_id(const struct aisys_actor *actor)
{
    return (struct aisys_id){ actor->core->node, actor->slot, actor->generation };
}

void aisys_dependencies_changed(
    struct aisys_core *core); /* something runs, is down or has stopped: go on */

/* Names. 0, -EEXIST, -ENOMEM. */
int aisys_names_add(struct aisys_core *core, const char *text, uint32_t slot);
void aisys_names_remove(struct aisys_core *core, const char *text);

/* ---- The hot path ----------------------------------------------------------------------------- */

#define likely(condition)   __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

#define MESSAGE_SMALL_BYTES 64u /* payload of the first size class */

/* memcpy() without the call for what is common: 16 to 64 bytes, in pieces that may overlap. */
static inline void payload_copy(void *to, const void *from, size_t bytes)
{
    char *t = to;
    const char *f = from;

    if (unlikely(bytes < 16 || bytes > MESSAGE_SMALL_BYTES)) {
        memcpy(to, from, bytes);
    } else if (bytes <= 32) {
        __builtin_memcpy(t, f, 16);
        __builtin_memcpy(t + bytes - 16, f + bytes - 16, 16);
    } else {
        __builtin_memcpy(t, f, 32);
        __builtin_memcpy(t + bytes - 32, f + bytes - 32, 32);
    }
}

static inline struct message *message_new(struct aisys_core *core, size_t bytes)
{
    struct message *message = core->messages.free[0];

    if (unlikely(bytes > MESSAGE_SMALL_BYTES || !message))
        return aisys_message_new_slowly(core, bytes);
    core->messages.free[0] = message->next;
    message->seen.bytes = (uint32_t)bytes;
    message->seen.data = bytes ? message->payload : NULL;
    message->flags = 0;
    return message;
}

static inline void message_free(struct aisys_core *core, struct message *message)
{
    struct message **list;

    if (unlikely(message->size_class == MESSAGE_CLASS_HEAP)) {
        aisys_message_free_to_heap(core, message);
        return;
    }
    list = &core->messages.free[message->size_class];
    message->next = *list;
    *list = message;
}

static inline struct aisys_actor *actor_find(const struct aisys_core *core, struct aisys_id id)
{
    struct aisys_actor *actor;

    if (unlikely(id.node != core->node || id.slot >= core->actors.touched))
        return NULL;
    actor = (struct aisys_actor *)(void *)core->actors.chunks[id.slot >> TABLE_CHUNK_SHIFT] +
            (id.slot & (TABLE_CHUNK - 1));
    return likely(actor->generation == id.generation && actor->life != LIFE_FREE) ? actor : NULL;
}

static inline struct op *aisys_op_find(struct aisys_core *core, uint64_t id)
{
    struct op *op = table_get(&core->ops, (uint32_t)id & OP_INDEX_MASK);

    return op && op->kind != OP_FREE && op->generation == id >> OP_INDEX_BITS ? op : NULL;
}

static inline void then_check(const struct aisys_actor *actor, struct aisys_then then)
{
    if (unlikely(then.continuation >= actor->class->continuations_nr))
        aisys_check_failed_in_actor(
            "then.continuation is in ops->continuations", __FILE__, __LINE__);
    if (unlikely(then.priority >= PRIORITIES))
        aisys_check_failed_in_actor("then.priority is an enum aisys_priority", __FILE__, __LINE__);
}

static inline struct reply *aisys_reply_find(struct aisys_core *core, aisys_reply handle)
{
    struct reply *reply = table_get(&core->replies, (uint32_t)handle);

    return reply && reply->actor && reply->generation == handle >> 32 ? reply : NULL;
}

static inline void actor_run_later(struct aisys_actor *actor)
{
    struct aisys_core *core = actor->core;

    if (actor->runnable)
        return;
    actor->runnable = true;
    actor->run_next = NULL;
    if (core->run_tail)
        core->run_tail->run_next = actor;
    else
        core->run_head = actor;
    core->run_tail = actor;
    if (unlikely(!core->in_turn))
        core->env->wake(core->env->ctx);
}

static inline void mailbox_push(struct aisys_actor *actor, struct message *message)
{
    struct message **tail = &actor->tail[message->priority];

    if (*tail) {
        message->next = (*tail)->next;
        (*tail)->next = message;
    } else {
        message->next = message;
    }
    *tail = message;
    actor->queued++;
    actor->queued_bytes += message->seen.bytes;
    if (message->kind == AISYS_ENVELOPE_END)
        actor->ends_queued++;
}

/* Count @message out. */
static inline void mailbox_took(struct aisys_actor *actor, const struct message *message)
{
    actor->queued--;
    actor->queued_bytes -= message->seen.bytes;
    if (message->kind == AISYS_ENVELOPE_END)
        actor->ends_queued--;
}

static inline struct message *mailbox_take(struct aisys_actor *actor, unsigned priority)
{
    struct message *tail = actor->tail[priority];
    struct message *oldest = tail->next;

    if (oldest == tail)
        actor->tail[priority] = NULL;
    else
        tail->next = oldest->next;
    mailbox_took(actor, oldest);
    return oldest;
}

static inline struct message *mailbox_pop(struct aisys_actor *actor)
{
    if (!actor->queued)
        return NULL;
    if (likely(!actor->tail[AISYS_HIGH] && !actor->tail[AISYS_LOW]))
        return mailbox_take(actor, AISYS_NORMAL);
    return aisys_mailbox_pop_weighed(actor);
}

#endif
