/* What is open: asks, timers, jobs and service work of actors, and the answers that they owe. */
#include "internal.h"

#include "error.h"
#include <errno.h>
#include <stdlib.h>

/* ---- Beginning ------------------------------------------------------------------------------ */

static void op_expired(struct wheel_node *node, void *ctx);

/* A place in the mailbox that nobody else may take. */
static bool actor_has_place(const struct aisys_actor *actor)
{
    return actor->queued + actor->reserved < actor->queued_max;
}

int aisys_op_begin(
    struct aisys_actor *actor, enum op_kind kind, struct aisys_then then, struct op **ret_op)
{
    struct aisys_core *core = actor->core;
    struct message *end;
    struct op *op;
    uint32_t index;

    then_check(actor, then);
    core_look_at_clock(core);
    if (!actor_has_place(actor))
        return AISYS_SEND_FULL;
    end = message_new(core, 0);
    if (!end)
        return -ENOMEM;
    op = aisys_table_take(&core->ops, offsetof(struct op, index), &index);
    if (!op) {
        message_free(core, end);
        return core->ops.used >= core->ops.max ? AISYS_SEND_FULL : -ENOMEM;
    }

    op->index = index;
    op->generation = op->generation % ((1u << OP_INDEX_BITS) - 1) + 1;
    op->timer = (struct wheel_node){ .expired = op_expired };
    op->actor = actor;
    op->end = end;
    op->token = then.token;
    op->job = NULL;
    op->result = NULL;
    op->release = NULL;
    op->to = (struct aisys_id){ 0 };
    op->continuation = then.continuation;
    op->kind = (uint8_t)kind;
    op->priority = then.priority;
    op->ended = false;
    op->cancelled = false;
    op->prev = NULL;
    op->next = actor->ops;
    if (op->next)
        op->next->prev = op;
    actor->ops = op;
    actor->reserved++;
    *ret_op = op;
    return 0;
}

void aisys_op_arm(struct aisys_core *core, struct op *op, uint64_t at_ms)
{
    aisys_wheel_arm(&core->wheel, &op->timer, at_ms);
}

void aisys_op_free(struct aisys_core *core, struct op *op)
{
    struct aisys_job *job = op->job;
    const aisys_free_fn release = op->release;
    void *result = op->result;

    AISYS_CHECK(op->kind != OP_FREE);
    aisys_wheel_disarm(&core->wheel, &op->timer);
    if (op->prev)
        op->prev->next = op->next;
    else
        op->actor->ops = op->next;
    if (op->next)
        op->next->prev = op->prev;
    if (op->end) {
        message_free(core, op->end);
        op->end = NULL;
        op->actor->reserved--;
    }
    op->job = NULL;
    op->release = NULL;
    op->kind = OP_FREE;
    aisys_table_give(&core->ops, offsetof(struct op, index), op, op->index);
    if (job)
        aisys_job_free(job);
    core_release_with(core, release, result);
}

/* ---- Ending --------------------------------------------------------------------------------- */

/* The reserved end goes into the mailbox, with what it holds by now. */
static void op_queue_end(struct aisys_core *core, struct op *op, struct message *end, int code)
{
    struct aisys_actor *actor = op->actor;

    aisys_wheel_disarm(&core->wheel, &op->timer);
    actor->reserved--;
    op->end = NULL;
    op->ended = true;
    end->kind = AISYS_ENVELOPE_END;
    end->priority = op->priority;
    end->seen.type = (uint32_t)code;
    end->seen.from = op->to;
    end->seen.reply = aisys_op_id(op);
    end->seen.deadline_ms = 0;
    actor->offered++;
    mailbox_push(actor, end);
    actor_run_later(actor);
}

/* The place of an end is reserved as a message, its size nobody knew. Other messages fill a mailbox up to
 * its bytes, ends up to twice that, so that the ones never keep the others out. */
static bool end_fits(const struct aisys_actor *actor, size_t bytes)
{
    return bytes <= actor->core->message_bytes_max &&
           actor->queued_bytes + bytes <= 2 * actor->queued_bytes_max;
}

int aisys_op_end(struct aisys_core *core, struct op *op, int code, struct aisys_bytes payload)
{
    struct message *end = op->end;
    int r = 0;

    AISYS_CHECK(!op->ended);
    if (payload.len > aisys_message_capacity(end)) {
        struct message *larger =
            end_fits(op->actor, payload.len) ? message_new(core, payload.len) : NULL;

        if (larger) {
            message_free(core, end);
            end = larger;
        } else {
            code = AISYS_RESOURCE_EXHAUSTED;
            payload = AISYS_NO_BYTES;
            r = -ENOMEM;
        }
    }
    if (payload.len) {
        payload_copy(end->payload, payload.data, payload.len);
        end->seen.data = end->payload;
    }
    end->seen.bytes = (uint32_t)payload.len;
    op_queue_end(core, op, end, code);
    return r;
}

void aisys_op_end_words(struct aisys_core *core, struct op *op, int code, const char *words)
{
    unsigned char packed[ERROR_WORDS_BYTES_MAX];

    aisys_op_end(core, op, code, aisys_error_pack_words(code, words, packed));
}

/* Timers end well; what waited for somebody else does not. */
static void op_expired(struct wheel_node *node, void *ctx)
{
    struct aisys_core *core = ctx;
    struct op *op = (struct op *)(void *)node;

    if (op->kind == OP_TIMER) {
        aisys_op_end(core, op, AISYS_OK, AISYS_NO_BYTES);
        return;
    }
    if (op->kind == OP_JOB)
        aisys_job_cancel(op->job); /* its end is now; should it still run, nobody hears of it */
    aisys_op_end_words(core, op, AISYS_DEADLINE_EXCEEDED, "no answer before the deadline");
}

/* A job that runs outlives its op: it is told to stop, and frees itself at its end. */
void aisys_op_abandon(struct aisys_core *core, struct op *op)
{
    if (op->job)
        aisys_job_cancel(op->job);
    aisys_op_free(core, op);
}

unsigned aisys_cancel(struct aisys_actor *self, uint16_t continuation, uint64_t token)
{
    unsigned cancelled = 0;

    for (struct op *op = self->ops, *next; op; op = next) {
        next = op->next;
        if (op->continuation != continuation || op->token != token || op->cancelled)
            continue;
        cancelled++;
        if (op->ended)
            op->cancelled = true; /* dropped when its turn comes */
        else
            aisys_op_abandon(self->core, op);
    }
    return cancelled;
}

int aisys_after(struct aisys_actor *self, uint32_t delay_ms, struct aisys_then then)
{
    struct op *op;
    int r = aisys_op_begin(self, OP_TIMER, then, &op);

    if (r)
        return r;
    aisys_op_arm(self->core, op, self->core->now_ms + (delay_ms ? delay_ms : 1));
    return 0;
}

/* ---- Services ------------------------------------------------------------------------------- */

int aisys_core_op_begin(
    struct aisys_actor *self, struct aisys_then then, uint64_t *ret_op, uint64_t *ret_deadline_ms)
{
    struct op *op;
    int r = aisys_op_begin(self, OP_SERVICE, then, &op);

    if (r)
        return r;
    *ret_op = aisys_op_id(op);
    *ret_deadline_ms =
        self->core->now_ms + (then.deadline_ms ? then.deadline_ms : DEADLINE_DEFAULT_MS);
    return 0;
}

void aisys_core_op_abandon(struct aisys_core *core, uint64_t id)
{
    struct op *op = aisys_op_find(core, id);

    if (op && !op->ended)
        aisys_op_free(core, op);
}

void aisys_core_op_end(struct aisys_core *core, uint64_t id, int code, const char *words,
    void *result, aisys_free_fn release)
{
    struct op *op = aisys_op_find(core, id);

    if (!op || op->ended) {
        core_release_with(core, release, result);
        return;
    }
    AISYS_CHECK(op->kind == OP_SERVICE);
    op->result = result;
    op->release = release;
    if (code == AISYS_OK)
        aisys_op_end(core, op, code, AISYS_NO_BYTES);
    else
        aisys_op_end_words(core, op, code, words);
}

/* ---- Answers owed --------------------------------------------------------------------------- */

struct reply *aisys_reply_new(struct aisys_actor *actor, const struct message *message)
{
    struct aisys_core *core = actor->core;
    uint32_t index;
    struct reply *reply = aisys_table_take(&core->replies, offsetof(struct reply, index), &index);

    if (!reply)
        return NULL;
    reply->index = index;
    if (++reply->generation == 0)
        reply->generation = 1;
    reply->actor = actor;
    reply->to = message->seen.from;
    reply->correlation = message->seen.reply;
    reply->deadline_ms = message->seen.deadline_ms;
    reply->priority = message->priority;
    reply->arena = NULL;
    reply->output = NULL;
    reply->prev = NULL;
    reply->next = actor->replies;
    if (reply->next)
        reply->next->prev = reply;
    actor->replies = reply;
    return reply;
}

/* What protobuf-c makes of a message is a small multiple of its packed size; a hostile one (many empty
 * submessages) is stopped at the limit. */
#define ARENA_FACTOR      24u
#define ARENA_FLOOR_BYTES (64u * 1024)

struct aisys_arena *aisys_arena_take(struct aisys_core *core, size_t payload_bytes)
{
    struct aisys_arena *arena;

    if (core->arenas_nr) {
        arena = core->arenas[--core->arenas_nr];
    } else {
        arena = core_alloc(core, sizeof(*arena));
        if (!arena)
            return NULL;
    }
    aisys_arena_init(arena, &core->env->memory, ARENA_FLOOR_BYTES + payload_bytes * ARENA_FACTOR);
    return arena;
}

void aisys_arena_put_back(struct aisys_core *core, struct aisys_arena *arena)
{
    if (!arena)
        return;
    aisys_arena_deinit(arena);
    if (core->arenas_nr < ARENAS_KEPT)
        core->arenas[core->arenas_nr++] = arena;
    else
        core_release(core, arena);
}

void aisys_reply_free(struct aisys_core *core, struct reply *reply)
{
    if (reply->prev)
        reply->prev->next = reply->next;
    else
        reply->actor->replies = reply->next;
    if (reply->next)
        reply->next->prev = reply->prev;
    if (core->in_hand_reply == reply) {
        core->in_hand_arena = reply->arena; /* the handler still reads its request */
        core->in_hand_reply = NULL;
    } else {
        aisys_arena_put_back(core, reply->arena);
    }
    reply->arena = NULL;
    reply->actor = NULL;
    aisys_table_give(&core->replies, offsetof(struct reply, index), reply, reply->index);
}
