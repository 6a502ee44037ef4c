/* Sending, asking, answering. */
#include "internal.h"

#include "error.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* What is to be sent, before it is a message. */
struct parcel {
    struct aisys_id from;
    uint64_t correlation; /* of an ask; else 0 */
    uint64_t deadline_ms; /* on our clock; 0: none */
    uint32_t type;
    uint8_t kind, priority;
    struct aisys_bytes payload;
};

/* ---- Into a mailbox of this node ------------------------------------------------------------ */

/* Make room by dropping what is oldest and least important, as the mailbox's owner wished. */
static void mailbox_make_room(struct aisys_actor *to, size_t bytes)
{
    while (to->queued + to->reserved >= to->queued_max ||
           to->queued_bytes + bytes > to->queued_bytes_max) {
        struct message *oldest = aisys_mailbox_drop_oldest(to);

        if (!oldest)
            return;
        aisys_message_fail(to->core, actor_id(to), oldest, AISYS_RESOURCE_EXHAUSTED,
            "dropped for a newer message: the mailbox is full");
        to->dropped++;
        message_free(to->core, oldest);
    }
}

static inline __attribute__((always_inline)) int offer(
    struct aisys_core *core, struct aisys_actor *to, const struct parcel *parcel)
{
    struct message *message;

    to->offered++;
    if (unlikely(!actor_takes_messages(to))) {
        to->refused++;
        return AISYS_SEND_GONE;
    }
    if (unlikely(to->queued + to->reserved >= to->queued_max ||
                 to->queued_bytes + parcel->payload.len > to->queued_bytes_max)) {
        if (to->drop_oldest && parcel->payload.len <= to->queued_bytes_max)
            mailbox_make_room(to, parcel->payload.len);
        if (to->queued + to->reserved >= to->queued_max ||
            to->queued_bytes + parcel->payload.len > to->queued_bytes_max) {
            to->refused++;
            return parcel->payload.len > to->queued_bytes_max ? AISYS_SEND_TOO_BIG
                                                              : AISYS_SEND_FULL;
        }
    }
    message = message_new(core, parcel->payload.len);
    if (unlikely(!message)) {
        to->refused++;
        return -ENOMEM;
    }
    if (parcel->payload.len)
        payload_copy(message->payload, parcel->payload.data, parcel->payload.len);
    message->seen.from.node = parcel->from.node;
    message->seen.from.slot = parcel->from.slot;
    message->seen.from.generation = parcel->from.generation;
    message->seen.type = parcel->type;
    message->seen.deadline_ms = parcel->deadline_ms;
    message->seen.reply = parcel->correlation;
    message->kind = parcel->kind;
    message->priority = parcel->priority;
    if (unlikely((to->offered & 63) == 0)) {
        message->flags |= MESSAGE_SAMPLED;
        message->stamp = (uint32_t)(core->env->ticks() >> STAMP_SHIFT);
    }
    mailbox_push(to, message);
    actor_run_later(to);
    return 0;
}

/* ---- Out of an actor ------------------------------------------------------------------------ */

static uint32_t remaining_ms(const struct aisys_core *core, uint64_t deadline_ms)
{
    uint64_t left_ms;

    if (!deadline_ms)
        return 0;
    left_ms = deadline_ms > core->now_ms ? deadline_ms - core->now_ms : 1;
    return left_ms < DEADLINE_MAX_MS ? (uint32_t)left_ms : DEADLINE_MAX_MS;
}

static int send_by_link(struct aisys_core *core, struct aisys_id to, const struct parcel *parcel)
{
    const struct aisys_envelope envelope = {
        .from = parcel->from,
        .to = to,
        .correlation = parcel->correlation,
        .type = parcel->type,
        .deadline_ms = remaining_ms(core, parcel->deadline_ms),
        .kind = parcel->kind,
        .priority = parcel->priority,
        .payload = parcel->payload,
    };

    return core->env->loopback(core->env->loopback_ctx, &envelope);
}

static inline __attribute__((always_inline)) int dispatch(
    struct aisys_core *core, struct aisys_id to, const struct parcel *parcel)
{
    struct aisys_actor *target;

    if (unlikely(parcel->payload.len > core->message_bytes_max))
        return AISYS_SEND_TOO_BIG;
    target = actor_find(core, to);
    if (unlikely(!target)) {
        core->unknown++;
        return AISYS_SEND_GONE;
    }
    if (unlikely(core->loopback)) {
        const struct parcel copy =
            *parcel; /* whose address may be taken: the other stays in registers */

        return send_by_link(core, to, &copy);
    }
    return offer(core, target, parcel);
}

static inline __attribute__((always_inline)) int send_at(struct aisys_actor *self,
    struct aisys_id to, uint32_t type, struct aisys_bytes payload, enum aisys_priority priority)
{
    const struct parcel parcel = {
        .from = actor_id(self),
        .type = type,
        .kind = AISYS_ENVELOPE_TELL,
        .priority = (uint8_t)priority,
        .payload = payload,
    };

    if ((unsigned)priority >= PRIORITIES)
        aisys_check_failed_in_actor("priority is an enum aisys_priority", __FILE__, __LINE__);
    return dispatch(self->core, to, &parcel);
}

int aisys_send_at(struct aisys_actor *self, struct aisys_id to, uint32_t type,
    struct aisys_bytes payload, enum aisys_priority priority)
{
    return send_at(self, to, type, payload, priority);
}

int aisys_send(
    struct aisys_actor *self, struct aisys_id to, uint32_t type, struct aisys_bytes payload)
{
    return send_at(self, to, type, payload, AISYS_NORMAL);
}

static inline __attribute__((always_inline)) int ask(struct aisys_actor *self, struct aisys_id to,
    uint8_t kind, uint32_t type, struct aisys_bytes payload, struct aisys_then then)
{
    struct aisys_core *core = self->core;
    const uint32_t deadline_ms = !then.deadline_ms                    ? DEADLINE_DEFAULT_MS
                                 : then.deadline_ms > DEADLINE_MAX_MS ? DEADLINE_MAX_MS
                                                                      : then.deadline_ms;
    struct parcel parcel;
    struct op *op;
    int r = aisys_op_begin(self, OP_ASK, then, &op);

    if (unlikely(r != 0))
        return r;
    op->to = to;
    parcel = (struct parcel){
        .from = actor_id(self),
        .correlation = aisys_op_id(op),
        .deadline_ms = core->now_ms + deadline_ms,
        .type = type,
        .kind = kind,
        .priority = then.priority,
        .payload = payload,
    };
    r = dispatch(core, to, &parcel);
    if (unlikely(r != 0)) {
        aisys_op_free(core, op);
        return r;
    }
    aisys_op_arm(core, op, parcel.deadline_ms);
    return 0;
}

int aisys_ask(struct aisys_actor *self, struct aisys_id to, uint32_t type,
    struct aisys_bytes payload, struct aisys_then then)
{
    return ask(self, to, AISYS_ENVELOPE_ASK, type, payload, then);
}

int aisys_call_packed(struct aisys_actor *self, struct aisys_id to, const char *method,
    struct aisys_bytes request, struct aisys_then then)
{
    return ask(self, to, AISYS_ENVELOPE_CALL, aisys_method_id(method), request, then);
}

#define PACK_ON_STACK_BYTES 1024u

int aisys_call(struct aisys_actor *self, struct aisys_id to, const char *method,
    const ProtobufCMessage *request, struct aisys_then then)
{
    const size_t bytes = protobuf_c_message_get_packed_size(request);
    unsigned char small[PACK_ON_STACK_BYTES];
    unsigned char *packed = small;
    int r;

    then_check(self, then);
    if (bytes > self->core->message_bytes_max)
        return AISYS_SEND_TOO_BIG;
    if (bytes > sizeof(small)) {
        packed = core_alloc(self->core, bytes);
        if (!packed)
            return -ENOMEM;
    }
    protobuf_c_message_pack(request, packed);
    r = aisys_call_packed(self, to, method, AISYS_BYTES(packed, bytes), then);
    if (packed != small)
        core_release(self->core, packed);
    return r;
}

/* ---- Answers -------------------------------------------------------------------------------- */

static void answer_late(
    struct aisys_core *core, struct aisys_id from, struct aisys_id to, int code, size_t bytes)
{
    struct aisys_actor *asker = actor_find(core, to);

    if (asker) {
        asker->offered++;
        asker->dead++;
    } else {
        core->unknown++;
    }
    aisys_dead_letter_add(
        core, from, to, AISYS_ENVELOPE_END, (uint32_t)code, (uint32_t)bytes, AISYS_DEAD_LATE);
}

/* An end that arrived, for the ask that it names: only the one that was asked may answer. */
static inline int answer_arrived(struct aisys_core *core, struct aisys_id from, struct aisys_id to,
    uint64_t correlation, int code, struct aisys_bytes payload)
{
    struct op *op = aisys_op_find(core, correlation);

    if (!op || op->kind != OP_ASK || op->ended || !aisys_id_equal(actor_id(op->actor), to) ||
        !aisys_id_equal(op->to, from)) {
        answer_late(core, from, to, code, payload.len);
        return AISYS_SEND_GONE;
    }
    return aisys_op_end(core, op, code, payload);
}

/* An answer's place is reserved: where the link has no room it takes the short way (and may overtake
 * what is in the link: exactly one end counts for more). */
static bool answer_by_link(struct aisys_core *core, struct aisys_id from, struct aisys_id to,
    uint64_t correlation, uint8_t priority, int code, struct aisys_bytes payload)
{
    const struct parcel parcel = {
        .from = from,
        .correlation = correlation,
        .type = (uint32_t)code,
        .kind = AISYS_ENVELOPE_END,
        .priority = priority,
        .payload = payload,
    };

    return send_by_link(core, to, &parcel) == 0;
}

static inline int answer(struct aisys_core *core, struct aisys_id from, struct aisys_id to,
    uint64_t correlation, uint8_t priority, int code, struct aisys_bytes payload)
{
    if (unlikely(core->loopback) &&
        answer_by_link(core, from, to, correlation, priority, code, payload))
        return 0;
    return answer_arrived(core, from, to, correlation, code, payload);
}

int aisys_reply_end(
    struct aisys_core *core, struct reply *reply, int code, struct aisys_bytes payload)
{
    int r = answer(core, actor_id(reply->actor), reply->to, reply->correlation, reply->priority,
        code, payload);

    aisys_reply_free(core, reply);
    return r;
}

void aisys_reply_fail(struct aisys_core *core, struct reply *reply, int code, const char *words)
{
    unsigned char packed[ERROR_WORDS_BYTES_MAX];

    aisys_reply_end(core, reply, code, aisys_error_pack_words(code, words, packed));
}

void aisys_message_fail(struct aisys_core *core, struct aisys_id by, const struct message *message,
    int code, const char *words)
{
    unsigned char packed[ERROR_WORDS_BYTES_MAX];

    if (message->kind != AISYS_ENVELOPE_ASK && message->kind != AISYS_ENVELOPE_CALL)
        return;
    answer(core, by, message->seen.from, message->seen.reply, message->priority, code,
        aisys_error_pack_words(code, words, packed));
}

int aisys_answer_bytes(struct aisys_actor *self, aisys_reply handle, struct aisys_bytes payload)
{
    struct reply *reply = aisys_reply_find(self->core, handle);

    if (!reply || reply->actor != self)
        return AISYS_SEND_GONE;
    return aisys_reply_end(self->core, reply, AISYS_OK, payload);
}

int aisys_answer(struct aisys_actor *self, aisys_reply handle, const ProtobufCMessage *message)
{
    struct aisys_core *core = self->core;
    struct reply *reply = aisys_reply_find(core, handle);
    unsigned char small[PACK_ON_STACK_BYTES];
    unsigned char *packed = small;
    size_t bytes;
    int r;

    if (!reply || reply->actor != self)
        return AISYS_SEND_GONE;
    if (reply->output && message->descriptor != reply->output)
        aisys_check_failed_in_actor(
            "the answer is of the method's output type", __FILE__, __LINE__);

    bytes = protobuf_c_message_get_packed_size(message);
    if (bytes > sizeof(small))
        packed = bytes <= core->message_bytes_max ? core_alloc(core, bytes) : NULL;
    if (!packed) {
        aisys_reply_fail(
            core, reply, AISYS_RESOURCE_EXHAUSTED, "no memory for the answer, or it is too large");
        return -ENOMEM;
    }
    protobuf_c_message_pack(message, packed);
    r = aisys_reply_end(core, reply, AISYS_OK, AISYS_BYTES(packed, bytes));
    if (packed != small)
        core_release(core, packed);
    return r;
}

int aisys_fail(
    struct aisys_actor *self, aisys_reply handle, enum aisys_code code, const char *format, ...)
{
    struct reply *reply = aisys_reply_find(self->core, handle);
    char words[ERROR_WORDS_MAX];
    va_list ap;

    if (code == AISYS_OK || (unsigned)code >= AISYS_CODE_NR)
        aisys_check_failed_in_actor("a failure has an error code", __FILE__, __LINE__);
    if (!reply || reply->actor != self)
        return AISYS_SEND_GONE;
    va_start(ap, format);
    vsnprintf(words, sizeof(words), format, ap);
    va_end(ap);
    aisys_reply_fail(self->core, reply, (int)code, words);
    return 0;
}

int aisys_fail_diag(struct aisys_actor *self, aisys_reply handle, enum aisys_code code,
    const struct aisys_diag *diag)
{
    struct reply *reply = aisys_reply_find(self->core, handle);
    struct aisys_bytes packed;
    int r;

    if (!reply || reply->actor != self)
        return AISYS_SEND_GONE;
    packed = aisys_error_pack_diag(self->core, (int)code, diag);
    r = aisys_reply_end(self->core, reply, (int)code, packed);
    core_release(self->core, (void *)(uintptr_t)packed.data);
    return r;
}

int aisys_fail_as(struct aisys_actor *self, aisys_reply handle, const struct aisys_end *end)
{
    struct reply *reply = aisys_reply_find(self->core, handle);

    if (end->code == AISYS_OK)
        aisys_check_failed_in_actor("the end that is passed on is an error", __FILE__, __LINE__);
    if (!reply || reply->actor != self)
        return AISYS_SEND_GONE;
    if (!end->bytes) { /* an error that arose here */
        aisys_reply_fail(self->core, reply, end->code, end->words);
        return 0;
    }
    return aisys_reply_end(self->core, reply, end->code, AISYS_BYTES(end->data, end->bytes));
}

uint32_t aisys_reply_remaining_ms(const struct aisys_actor *self, aisys_reply handle)
{
    const struct reply *reply = aisys_reply_find(self->core, handle);

    return reply ? remaining_ms(self->core, reply->deadline_ms) : 0;
}

/* ---- In from a link ------------------------------------------------------------------------- */

static void deliver_refused(
    struct aisys_core *core, const struct aisys_envelope *envelope, int outcome)
{
    static const struct {
        enum aisys_code code;
        enum aisys_dead_reason reason;
        const char *words;
    } outcomes[] = {
        [0] = { AISYS_RESOURCE_EXHAUSTED, AISYS_DEAD_MEMORY, "no memory for the message" },
        [AISYS_SEND_FULL] = { AISYS_RESOURCE_EXHAUSTED, AISYS_DEAD_REFUSED, "the mailbox is full" },
        [AISYS_SEND_GONE] = { AISYS_UNAVAILABLE, AISYS_DEAD_GONE,
            "no such actor, or it is stopping" },
        [AISYS_SEND_TOO_BIG] = { AISYS_RESOURCE_EXHAUSTED, AISYS_DEAD_REFUSED,
            "larger than the mailbox takes" },
    };
    const unsigned i = outcome > 0 ? (unsigned)outcome : 0;
    unsigned char packed[ERROR_WORDS_BYTES_MAX];

    if (envelope->kind == AISYS_ENVELOPE_TELL)
        aisys_dead_letter_add(core, envelope->from, envelope->to, envelope->kind, envelope->type,
            (uint32_t)envelope->payload.len, outcomes[i].reason);
    else
        answer(core, envelope->to, envelope->from, envelope->correlation, envelope->priority,
            outcomes[i].code, aisys_error_pack_words(outcomes[i].code, outcomes[i].words, packed));
}

int aisys_core_deliver(struct aisys_core *core, const struct aisys_envelope *envelope)
{
    struct parcel parcel = {
        .from = envelope->from,
        .correlation = envelope->kind == AISYS_ENVELOPE_TELL ? 0 : envelope->correlation,
        .type = envelope->type,
        .kind = envelope->kind,
        .priority = envelope->priority,
        .payload = envelope->payload,
    };
    struct aisys_actor *target;
    int r;

    if (envelope->priority >= PRIORITIES || envelope->kind > AISYS_ENVELOPE_END ||
        (envelope->kind != AISYS_ENVELOPE_TELL && !envelope->correlation))
        return -EPROTO;
    if (envelope->kind == AISYS_ENVELOPE_END) {
        if (envelope->type >= AISYS_CODE_NR)
            return -EPROTO;
        answer_arrived(core, envelope->from, envelope->to, envelope->correlation,
            (int)envelope->type, envelope->payload);
        return 0;
    }
    if (envelope->deadline_ms) {
        core_look_at_clock(core);
        parcel.deadline_ms = core->now_ms + envelope->deadline_ms;
    }
    target = actor_find(core, envelope->to);
    if (!target)
        core->unknown++;
    r = target ? offer(core, target, &parcel) : AISYS_SEND_GONE;
    if (r)
        deliver_refused(core, envelope, r);
    return 0;
}

void aisys_core_lost(
    struct aisys_core *core, const struct aisys_envelope *envelope, enum aisys_dead_reason reason)
{
    unsigned char packed[ERROR_WORDS_BYTES_MAX];

    aisys_dead_letter_add(core, envelope->from, envelope->to, envelope->kind, envelope->type,
        (uint32_t)envelope->payload.len, reason);
    if (envelope->kind != AISYS_ENVELOPE_TELL && envelope->kind != AISYS_ENVELOPE_END)
        answer_arrived(core, envelope->to, envelope->from, envelope->correlation, AISYS_UNAVAILABLE,
            aisys_error_pack_words(AISYS_UNAVAILABLE, "the request was lost on its way", packed));
}
