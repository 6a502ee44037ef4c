/* The core of a node: actors, mailboxes, scheduler, asks, timers, jobs, names, accounts. Pure: it has no
 * clock, no I/O, no threads, and reaches the world through struct aisys_env alone, so the same seed
 * gives the same run.
 *
 * The owner (runtime/node or the simulator) calls aisys_core_turn() whenever there may be work: it
 * handles messages for at most a millisecond and says whether there is more.
 *
 * Threads: everything on the loop thread, except aisys_job_execute() and what it leads to.
 * Errors:  0, a negative errno, or the positive outcomes that a function documents.
 * Times:   _ms are milliseconds of env->now_ms, ticks are env->ticks. */
#ifndef AISYS_CORE_CORE_H
#define AISYS_CORE_CORE_H

#include "env.h"
#include "envelope.h"
#include <aisys/system.h>

struct aisys_core;

struct aisys_core_options {
    uint64_t node;              /* number << 32 | incarnation */
    uint32_t actors_max;        /* 0: 2^24 */
    uint32_t ops_max;           /* asks, timers and jobs open at once, below 2^24; 0: 2^20 */
    uint32_t message_bytes_max; /* payload; 0: 16 MiB */
    uint32_t restarts_max; /* failures within restarts_ms after which an actor stays down; 0: 3 */
    uint32_t restarts_ms;  /* 0: 10000 */
    uint32_t restart_delay_ms; /* before each restart; 0: at once */
    uint32_t drain_ms;         /* that a restart waits for what is still to be done; 0: 5000 */
    bool loopback;             /* bus.local: socket */
    struct aisys_lane_limits lanes[AISYS_LANE_NR]; /* 0: 1 running, 256 queued */
};

/* 0 or -ENOMEM. @env is borrowed until free. */
int aisys_core_new(const struct aisys_env *env, const struct aisys_core_options *options,
    struct aisys_core **ret_core);

/* Everything of every actor is released, without calling stop(). Jobs must have ended. NULL is fine. */
void aisys_core_free(struct aisys_core *core);

/* The node that it is: number << 32 | incarnation. */
uint64_t aisys_core_node(const struct aisys_core *core);

/* ---- Classes and actors ------------------------------------------------------------------- */

struct aisys_class;

/* Make @ops (borrowed for the core's life) known: its tables are checked and indexed. 0, -ENOMEM;
 * -EINVAL with the reason in @diag; -EEXIST when another class has the name. */
int aisys_core_class_add(struct aisys_core *core, const struct aisys_actor_ops *ops,
    struct aisys_diag *diag, struct aisys_class **ret_class);
struct aisys_class *aisys_core_class(const struct aisys_core *core, const char *name);
const struct aisys_actor_ops *aisys_class_ops(const struct aisys_class *class);

enum aisys_mailbox_policy { AISYS_MAILBOX_REFUSE, AISYS_MAILBOX_DROP_OLDEST };

struct aisys_actor_options {
    const char *name;  /* NULL: anonymous; else unique on the node; copied */
    const char *alias; /* another name for it, or NULL; copied */
    const ProtobufCMessage
        *config;                /* given to start() at each start; borrowed for the actor's life */
    const char *const *depends; /* names; NULL ends; copied */
    uint32_t mailbox_messages;  /* 0: 1024 */
    uint32_t mailbox_bytes;     /* 0: 32 MiB */
    enum aisys_mailbox_policy policy;
    uint64_t memory_bytes_max; /* 0: no limit */
    bool hidden;               /* part of the node itself: not listed among its actors */
    bool never_restart;        /* down at its first failure */
    uint8_t lane;              /* enum aisys_lane + 1: of all its jobs; 0: as its class says */
};

/* Add an actor. With a name it is supervised, starts by aisys_core_start() and is started again when
 * it fails; without one it starts in the next turn, is gone when it fails, and is not waited for when the
 * node stops. 0, -ENOMEM, -EEXIST (the name or the alias is taken), AISYS_SEND_FULL (actors_max). */
int aisys_core_spawn(struct aisys_core *core, struct aisys_class *class,
    const struct aisys_actor_options *options, struct aisys_id *ret_id);

/* Start every added actor, each when all that it depends on run. Watch aisys_core_state(). -EINVAL: a
 * dependency is unknown or in a cycle, in @diag, whole. */
int aisys_core_start(struct aisys_core *core, struct aisys_diag *diag);

/* Stop every actor, each when all that depend on it have stopped: what is in its mailbox is handled and
 * what it owes is answered first. aisys_core_state() becomes AISYS_CORE_STOPPED. */
void aisys_core_stop(struct aisys_core *core);

/* The time for that is over: tear down what is left, at once; between turns. @report is told for each actor what was
 * not drained ("3 messages, 1 answer"). */
void aisys_core_stop_now(struct aisys_core *core,
    void (*report)(void *ctx, const char *actor, const char *words), void *ctx);

/* Tear one actor down at once, whatever its state; its messages are dead, the asks of others in them end.
 * One whose handler runs is torn down when that has returned. */
void aisys_core_kill(struct aisys_core *core, struct aisys_id id);

/* Stop the named actor in order and start it again (as after a failure, but not counted as one).
 * 0; -ENOENT: no such actor; -EAGAIN: it is neither running nor down, or the node stops. */
int aisys_core_restart(struct aisys_core *core, const char *name);

enum aisys_core_state aisys_core_state(const struct aisys_core *core);
unsigned aisys_core_down(const struct aisys_core *core); /* actors that stay down */

/* ---- Running ------------------------------------------------------------------------------ */

/* Handle messages for at most about @budget_ms. True: there is more to do, call again soon. */
bool aisys_core_turn(struct aisys_core *core);

/* When a turn is wanted at the latest: the next timer or deadline; UINT64_MAX: never. */
uint64_t aisys_core_next_ms(const struct aisys_core *core);

/* ---- What comes from outside --------------------------------------------------------------- */

/* A message that arrived over a link. Nothing is owed to the caller: what can't be delivered is
 * answered (an ask) or a dead letter. 0, or -EPROTO when the envelope is none. */
int aisys_core_deliver(struct aisys_core *core, const struct aisys_envelope *envelope);

/* A link had accepted @envelope and gives it up: a request ends in UNAVAILABLE, anything is a dead letter. */
void aisys_core_lost(
    struct aisys_core *core, const struct aisys_envelope *envelope, enum aisys_dead_reason reason);

/* The end of work that a service began for an actor (aisys_core_op_begin); @result is borrowed until
 * @release(result) is called, after the continuation ran or the actor had gone. @words: the reason
 * when @code is not AISYS_OK. An @op that is no longer open: released at once. */
void aisys_core_op_end(struct aisys_core *core, uint64_t op, int code, const char *words,
    void *result, aisys_free_fn release);

/* For the functions behind aisys/db.h and its sisters: reserve the place of an end for @self. On 0,
 * *ret_op must be ended once. AISYS_SEND_FULL, -ENOMEM. The deadline is the service's to keep. */
int aisys_core_op_begin(
    struct aisys_actor *self, struct aisys_then then, uint64_t *ret_op, uint64_t *ret_deadline_ms);

/* It did not begin after all: forget it, no end. */
void aisys_core_op_abandon(struct aisys_core *core, uint64_t op);

void aisys_job_execute(struct aisys_job *job); /* on a pool thread */
void aisys_core_job_progressed(struct aisys_job *job, struct aisys_bytes payload);
void aisys_core_job_ended(struct aisys_job *job);

/* ---- Looking at it -------------------------------------------------------------------------- */
/* What is seen is declared in aisys/system.h, for the node's infrastructure actors. */

/* What the node tells of itself; borrowed for the core's life. Before that all is empty. */
void aisys_core_set_facts(struct aisys_core *core, const struct aisys_node_facts *facts);
const struct aisys_node_facts *aisys_core_facts(const struct aisys_core *core); /* never NULL */

/* The actor with @id, for whoever acts in its name between turns; NULL: none. */
struct aisys_actor *aisys_core_actor(const struct aisys_core *core, struct aisys_id id);
const struct aisys_env *aisys_core_env(const struct aisys_core *core);

/* False: no such actor. */
bool aisys_core_info(
    const struct aisys_core *core, struct aisys_id id, struct aisys_actor_info *ret_info);

/* Call @each for every named actor in the order they were added. */
void aisys_core_each(const struct aisys_core *core,
    void (*each)(void *ctx, const struct aisys_actor_info *info), void *ctx);

struct aisys_id aisys_core_lookup(const struct aisys_core *core, const char *name);

/* What its health() says, and its life: one that is down is unhealthy. */
void aisys_core_health(
    const struct aisys_core *core, struct aisys_id id, struct aisys_health *ret_health);

void aisys_core_stats(const struct aisys_core *core, struct aisys_core_info *ret_info);

/* Call @each for the dead letters kept, oldest first. */
void aisys_core_dead_letters(const struct aisys_core *core,
    void (*each)(void *ctx, const struct aisys_dead_letter *letter), void *ctx);

#endif
