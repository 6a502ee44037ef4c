/* The scheduler: which actor handles messages next, and the handling itself. */
#include "internal.h"

#include "error.h"
#include <errno.h>
#include <stdio.h>

/* One activation: an actor's messages in a row, before it is the next one's turn. */
#define ACTIVATION_MESSAGES 1024u

/* A clock read costs more than a quick message, so the clock is looked at after this many; after each
 * when the actor's messages turn out to be slow (core->slow_ticks). */
#define MESSAGES_PER_LOOK 16u

/* ---- Handling one message ------------------------------------------------------------------- */

/* Unpack @message's payload into @arena; NULL: it is not a @type. */
static ProtobufCMessage *unpack(
    struct aisys_arena *arena, const ProtobufCMessageDescriptor *type, const struct aisys_msg *seen)
{
    ProtobufCAllocator allocator = aisys_arena_protobuf(arena);

    return protobuf_c_message_unpack(type, &allocator, seen->bytes, seen->data);
}

/* The request of a call, unpacked and valid, in the reply's arena; NULL: @reply was failed. */
static const ProtobufCMessage *call_request(struct aisys_actor *actor,
    const struct class_method *method, const struct message *message, struct reply *reply)
{
    struct aisys_core *core = actor->core;
    ProtobufCMessage *request;
    struct aisys_diag diag;

    reply->output = method->descriptor->output;
    reply->arena = aisys_arena_take(core, message->seen.bytes);
    request = reply->arena ? unpack(reply->arena, method->descriptor->input, &message->seen) : NULL;
    if (!request) {
        const bool short_of_memory = !reply->arena || aisys_arena_failed(reply->arena);

        aisys_reply_fail(core, reply,
            short_of_memory ? AISYS_RESOURCE_EXHAUSTED : AISYS_INVALID_ARGUMENT,
            short_of_memory ? "no memory to unpack the request"
                            : "the request is not a message of its type");
        return NULL;
    }
    if (core->env->validate) {
        aisys_diag_init(&diag);
        core->env->validate(core->env->ctx, request, &diag);
        if (aisys_diag_errors(&diag)) {
            struct aisys_bytes packed = aisys_error_pack_diag(core, AISYS_INVALID_ARGUMENT, &diag);

            aisys_reply_end(core, reply, AISYS_INVALID_ARGUMENT, packed);
            core_release(core, (void *)(uintptr_t)packed.data);
            return NULL;
        }
    }
    return request;
}

static int handle_call(struct aisys_actor *actor, struct message *message, struct reply *reply)
{
    const struct class_method *method = aisys_class_method(actor->class, message->seen.type);
    const ProtobufCMessage *request;

    if (!method || !method->handle) {
        aisys_reply_fail(actor->core, reply, AISYS_UNIMPLEMENTED, "no such method");
        return 0;
    }
    request = call_request(actor, method, message, reply);
    return request ? method->handle(actor, request, reply_handle(reply)) : 0;
}

/* A message that wants an answer: its place is taken before the handler sees it. */
static int handle_request(struct aisys_actor *actor, struct message *message)
{
    struct aisys_core *core = actor->core;
    struct reply *reply;

    if (unlikely(message->seen.deadline_ms && core->now_ms >= message->seen.deadline_ms)) {
        message->flags |= MESSAGE_UNCOUNTED; /* its asker has been told: work for nobody */
        actor->dead++;
        aisys_dead_letter_add(core, message->seen.from, actor_id(actor), message->kind,
            message->seen.type, message->seen.bytes, AISYS_DEAD_DEADLINE);
        return 0;
    }
    reply = aisys_reply_new(actor, message);
    if (!reply) {
        aisys_message_fail(
            core, actor_id(actor), message, AISYS_RESOURCE_EXHAUSTED, "too many answers are owed");
        return 0;
    }
    core->in_hand_reply = reply;
    if (message->kind == AISYS_ENVELOPE_CALL)
        return handle_call(actor, message, reply);
    if (!actor->class->ops->receive) {
        aisys_reply_fail(core, reply, AISYS_UNIMPLEMENTED, "takes no untyped messages");
        return 0;
    }
    message->seen.reply = reply_handle(reply);
    return actor->class->ops->receive(actor, &message->seen);
}

/* The end of @op, unpacked as its continuation wishes. */
static int handle_end_of(struct aisys_actor *actor, struct op *op, const struct message *message)
{
    const struct aisys_continuation *then = &actor->class->ops->continuations[op->continuation];
    struct aisys_core *core = actor->core;
    struct aisys_end end = {
        .token = op->token,
        .code = (int)message->seen.type,
        .more = message->flags & MESSAGE_MORE,
        .words = "",
        .data = message->seen.data,
        .bytes = message->seen.bytes,
    };

    if (!end.more)
        end.result = op->kind == OP_JOB ? aisys_job_outcome(op->job) : op->result;
    if (end.code != AISYS_OK || (then->message && op->kind == OP_ASK)) {
        core->in_hand_arena = aisys_arena_take(core, end.bytes);
        if (!core->in_hand_arena)
            end = (struct aisys_end){ .token = op->token,
                .code = AISYS_RESOURCE_EXHAUSTED,
                .words = "no memory to unpack the reply" };
        else if (end.code != AISYS_OK)
            end.words =
                aisys_error_words(end.code, AISYS_BYTES(end.data, end.bytes), core->in_hand_arena);
        else if (!(end.message = unpack(core->in_hand_arena, then->message, &message->seen)))
            end = (struct aisys_end){ .token = op->token,
                .code = aisys_arena_failed(core->in_hand_arena) ? AISYS_RESOURCE_EXHAUSTED
                                                                : AISYS_INTERNAL,
                .words = aisys_arena_failed(core->in_hand_arena)
                             ? "no memory to unpack the reply"
                             : "the reply is not a message of its type" };
    }
    return then->handle(actor, &end);
}

static int handle_end(struct aisys_actor *actor, struct message *message)
{
    struct aisys_core *core = actor->core;
    const uint64_t id = message->seen.reply;
    const bool more = message->flags & MESSAGE_MORE;
    struct op *op = aisys_op_find(core, id);
    int r;

    if (!op || op->cancelled) {
        if (op && !more)
            aisys_op_free(core, op);
        message->flags |= MESSAGE_UNCOUNTED;
        actor->dropped++;
        return 0;
    }
    if (!more)
        op->cancelled = true; /* it has come: nothing is left that its own handler could cancel */
    r = handle_end_of(actor, op, message);
    if (!more)
        aisys_op_free(core, op);
    return r;
}

static int handle_tell(struct aisys_actor *actor, struct message *message)
{
    if (!actor->class->ops->receive) {
        aisys_core_log(actor->core, actor, AISYS_WARNING, "message_not_understood", "type=%u",
            (unsigned)message->seen.type);
        return 0;
    }
    message->seen.reply = 0;
    return actor->class->ops->receive(actor, &message->seen);
}

/* As handled(), for an actor that does not go on as it is. */
static void handled_badly(struct aisys_actor *actor, int r, const char *why)
{
    const struct message *message = actor->core->in_hand;

    if (message && !(message->flags & MESSAGE_UNCOUNTED)) {
        if (r < 0 || actor->fate == FATE_GAVE_UP)
            actor->failed++;
        else
            actor->handled++;
    }
    if (actor->fate == FATE_KILLED)
        aisys_actor_kill(actor);
    else
        aisys_actor_fail(actor, r < 0 ? r : -ECANCELED, why);
}

/* What a request or an end was unpacked into; its handler has returned, or was unwound. */
static void release_unpacked(struct aisys_core *core)
{
    core->in_hand_reply = NULL;
    if (core->in_hand_arena)
        aisys_arena_put_back(core, core->in_hand_arena);
    core->in_hand_arena = NULL;
}

/* A handler without a message (start, stop), or one that was unwound, is over. */
static void handled(struct aisys_actor *actor, int r, const char *why)
{
    struct aisys_core *core = actor->core;
    struct message *message = core->in_hand;

    if (r < 0 || actor->fate != FATE_NONE)
        handled_badly(actor, r, why);
    release_unpacked(core);
    core->in_hand = NULL;
    if (message)
        message_free(core, message);
}

static inline int handle(struct aisys_actor *actor, struct message *message)
{
    switch (message->kind) {
    case AISYS_ENVELOPE_TELL:
        return handle_tell(actor, message);
    case AISYS_ENVELOPE_ASK:
    case AISYS_ENVELOPE_CALL:
        return handle_request(actor, message);
    default:
        return handle_end(actor, message);
    }
}

static inline __attribute__((always_inline)) void handle_unsampled(
    struct aisys_actor *actor, struct message *message)
{
    struct aisys_core *core = actor->core;
    int r;

    core->in_hand = message;
    r = handle(actor, message);
    if (unlikely(r < 0 || actor->fate != FATE_NONE))
        handled_badly(actor, r, NULL);
    else if (likely(!(message->flags & MESSAGE_UNCOUNTED)))
        actor->handled++;
    if (unlikely(core->in_hand_reply || core->in_hand_arena))
        release_unpacked(core);
    core->in_hand = NULL;
    message_free(core, message);
}

/* One message in 64: how long it waited, how long it takes. */
static __attribute__((noinline)) void handle_sampled(
    struct aisys_actor *actor, struct message *message)
{
    struct aisys_core *core = actor->core;
    const uint64_t begin = core->env->ticks();
    const uint64_t waited = (uint64_t)((uint32_t)(begin >> STAMP_SHIFT) - message->stamp)
                            << STAMP_SHIFT;

    handle_unsampled(actor, message);
    if (actor->life != LIFE_FREE)
        aisys_measured_sample(actor, waited, core->env->ticks() - begin);
}

static inline void handle_one(struct aisys_actor *actor, struct message *message)
{
    if (unlikely(message->flags & MESSAGE_SAMPLED))
        handle_sampled(actor, message);
    else
        handle_unsampled(actor, message);
}

/* ---- Activations and turns ------------------------------------------------------------------ */

static inline struct message *next_message(struct aisys_actor *actor)
{
    if (likely(actor->life == LIFE_RUNNING || actor->life == LIFE_DRAINING))
        return mailbox_pop(actor);
    return actor_gated(actor) ? aisys_mailbox_pop_end(actor) : NULL;
}

static bool has_message(const struct aisys_actor *actor)
{
    if (actor->life == LIFE_RUNNING || actor->life == LIFE_DRAINING)
        return actor->queued > 0;
    return actor_gated(actor) && actor->ends_queued > 0;
}

/* An activation is over: does the actor's life go on, and does it have more to do? */
static inline void activated(struct aisys_actor *actor)
{
    if (likely(actor->life == LIFE_RUNNING)) {
        if (actor->queued)
            actor_run_later(actor);
        return;
    }
    aisys_actor_settle(actor);
    if (has_message(actor))
        actor_run_later(actor);
}

/* @n messages took @ticks: are they slow? */
static inline void activation_looked(struct aisys_actor *actor, uint64_t ticks, unsigned n)
{
    if (unlikely(ticks > actor->core->slow_ticks * n))
        actor->slow = true;
    else if (unlikely(actor->slow))
        actor->slow = false;
}

/* Handle messages of @actor until its budget is used. Returns the time at which it looked last. */
static inline uint64_t activate(struct aisys_core *core, struct aisys_actor *actor, uint64_t begin)
{
    uint64_t look = begin, now = begin;
    unsigned looked_at = 0, n = 0, budget;
    struct message *message;

    core->current = actor;
    core->activations++;
    if (unlikely(actor->todo != TODO_NOTHING))
        handled(actor, aisys_actor_do(actor), NULL);
    /* What it sends to itself now waits for the next activation: the others come first. */
    budget = actor->queued < ACTIVATION_MESSAGES ? actor->queued : ACTIVATION_MESSAGES;
    while (n < budget && (message = next_message(actor))) {
        handle_one(actor, message);
        n++;
        if (actor->slow || n - looked_at == MESSAGES_PER_LOOK) {
            now = core->env->ticks();
            activation_looked(actor, now - look, n - looked_at);
            look = now;
            looked_at = n;
            if (now - begin > core->slice_ticks)
                break;
        }
    }
    core->current = NULL;
    if (likely(looked_at != n || n == 0)) {
        now = core->env->ticks();
        activation_looked(actor, now - look, n - looked_at);
    }
    actor->loop_ticks += now - begin;
    activated(actor);
    return now;
}

/* A check failed in the code of the current actor: it fails, the others go on. */
static void unwound(struct aisys_core *core)
{
    struct aisys_actor *actor = core->current;
    uint64_t now;

    AISYS_CHECK(actor);
    handled(actor, -EFAULT, core->unwind_words);
    core->current = NULL;
    now = core->env->ticks();
    actor->loop_ticks += now - core->turn_look; /* its activation began there */
    core->turn_look = now;
    activated(actor);
}

/* The core whose turn runs on this thread: where a failed check unwinds to. */
static _Thread_local struct aisys_core *turning;

void aisys_check_failed_in_actor(const char *condition, const char *file, int line)
{
    struct aisys_core *core = turning;

    if (core && core->current) {
        snprintf(core->unwind_words, sizeof(core->unwind_words), "check failed: %s (%s:%d)",
            condition, file, line);
        longjmp(*core->unwind, 1);
    }
    aisys_check_failed(condition, file, line); /* in a job, or between handlers */
}

void aisys_actor_health(struct aisys_actor *actor, struct aisys_health *ret_health)
{
    struct aisys_core *const core = actor->core, *const outer_core = turning;
    struct aisys_actor *const outer = core->current;
    jmp_buf *const outer_unwind = core->unwind;
    jmp_buf unwind;

    if (!actor->class->ops->health)
        return;
    turning = core;
    core->current = actor;
    core->unwind = &unwind;
    if (setjmp(unwind)) {
        ret_health->status = AISYS_UNHEALTHY;
        snprintf(ret_health->why, sizeof(ret_health->why), "%s", core->unwind_words);
    } else {
        actor->class->ops->health(actor, ret_health);
    }
    core->unwind = outer_unwind;
    core->current = outer;
    turning = outer_core;
}

/* Not in turn_run(): a function that calls setjmp() keeps nothing in registers. */
static __attribute__((noinline)) void turn_activations(struct aisys_core *core)
{
    while (core->run_head && core->turn_look - core->turn_began <= core->env->ticks_per_ms) {
        struct aisys_actor *actor = core->run_head;

        core->run_head = actor->run_next;
        if (!core->run_head)
            core->run_tail = NULL;
        actor->runnable = false;
        core->turn_look = activate(core, actor, core->turn_look);
    }
}

/* A longjmp leaves locals that were changed undefined: what the loop needs is in @core. */
static void turn_run(struct aisys_core *core)
{
    jmp_buf unwind;

    core->unwind = &unwind; /* cppcheck-suppress autoVariables ; gone when this returns */
    core->turn_look = core->turn_began;
    if (setjmp(unwind))
        unwound(core);
    turn_activations(core);
    core->unwind = NULL;
}

bool aisys_core_turn(struct aisys_core *core)
{
    struct aisys_core *outer = turning;

    AISYS_CHECK(!core->in_turn);
    core->in_turn = true;
    core->turns++;
    core->now_ms = core->env->now_ms(core->env->ctx);
    aisys_wheel_advance(&core->wheel, core->now_ms);
    core->turn_began = core->env->ticks();
    turning = core;
    turn_run(core);
    turning = outer;
    core->in_turn = false;
    return core->run_head != NULL;
}

uint64_t aisys_core_next_ms(const struct aisys_core *core)
{
    return aisys_wheel_next_ms(&core->wheel);
}
