/* The receiving half of a link: frames in, acknowledgements, incarnations. */
#include "link_impl.h"

#include <errno.h>
#include <string.h>

/* How often an incarnation is asked whether it is the peer's new one; it may be long gone. */
#define PROBES 10

void aisys_link_forget_arrivals(struct aisys_link *link)
{
    for (unsigned i = 0; i < link->config.streams_max; i++) {
        link_release(link, link->arrivals[i].payload);
        link->arrivals[i].payload = NULL;
    }
}

static int link_bad(struct aisys_link *link, enum aisys_wire_error error, uint64_t found)
{
    link->fault = (struct aisys_wire_fault){ .error = error, .found = found };
    link->accounts.bad_frames++;
    return -EBADMSG;
}

/* Tell the peer that its numbered frame will never do. */
static void link_refuse(struct aisys_link *link, enum aisys_wire_error why, uint64_t sequence)
{
    if (sequence == 0)
        return;
    link->refuse_now = true;
    link->refuse_why = why;
    link->refuse_sequence = sequence;
}

/* ---- What the peer has got ------------------------------------------------------------------ */

static void link_settle_frame(struct aisys_link *link, struct link_frame *frame)
{
    struct aisys_link_accounts *const a = &link->accounts;
    uint64_t messages = frame->messages;
    uint64_t charge = frame->charge;

    if (frame->ended) {
        messages++;
        charge += aisys_wire_envelope_bytes(&frame->ended->envelope);
    }
    AISYS_CHECK(a->in_flight >= messages);
    AISYS_CHECK(a->in_flight_bytes >= charge);
    a->acknowledged += messages;
    a->in_flight -= messages;
    a->in_flight_bytes -= charge;
    aisys_link_frame_free(link, frame);
}

static void link_take_ack(struct aisys_link *link, uint64_t ack, uint64_t now_ms)
{
    bool progress = false;

    while (link->sent && link->sent->sequence <= ack) {
        struct link_frame *const frame = link->sent;

        link->sent = frame->next;
        if (!link->sent)
            link->sent_tail = &link->sent;
        if (link->cursor == frame)
            link->cursor = frame->next;
        link->sent_nr--;
        link_settle_frame(link, frame);
        progress = true;
    }
    if (!progress)
        return;
    link->resend_wait_ms = link->config.resend_ms;
    link->resend_at_ms = link->sent ? now_ms + link->resend_wait_ms : LINK_NEVER;
}

/* Begin again behind the last acknowledgement; once, however often the peer asks meanwhile. */
static void link_go_back(struct aisys_link *link, uint64_t now_ms)
{
    if (!link->sent || !link->sent->sent)
        return;
    if (link->sent->sequence == link->back_sequence && now_ms < link->back_until_ms)
        return;
    link->back_sequence = link->sent->sequence;
    link->back_until_ms = now_ms + link->config.resend_ms / 2;
    link->cursor = link->sent;
}

/* ---- Messages ------------------------------------------------------------------------------- */

static void link_deliver(struct aisys_link *link, const struct aisys_envelope *envelope)
{
    link->accounts.delivered++;
    link->delivering = true;
    link->ops->deliver(link->ctx, envelope);
    link->delivering = false;
}

/* Whether the piece continues what has come, and room for what begins: 0, -EBADMSG, -ENOMEM. */
static int link_check_piece(
    struct aisys_link *link, const struct aisys_wire_record *record, uint64_t now_ms)
{
    const size_t len = record->envelope.payload.len;
    struct link_arrival *arrival;

    if (record->stream >= link->config.streams_max)
        return link_bad(link, AISYS_WIRE_BAD_PIECE, record->stream);
    arrival = &link->arrivals[record->stream];
    if (record->kind == AISYS_WIRE_PIECE) {
        if (!arrival->payload || record->piece_offset != arrival->have_bytes ||
            len > arrival->total_bytes - arrival->have_bytes)
            return link_bad(link, AISYS_WIRE_BAD_PIECE, record->piece_offset);
        return 0;
    }
    if (arrival->payload || record->total_bytes > link->config.message_bytes_max)
        return link_bad(link, AISYS_WIRE_BAD_PIECE, record->total_bytes);
    arrival->payload = link_alloc(link, record->total_bytes);
    if (!arrival->payload)
        return -ENOMEM;
    arrival->envelope = record->envelope;
    arrival->total_bytes = record->total_bytes;
    arrival->have_bytes = 0;
    arrival->since_ms = now_ms;
    return 0;
}

/* Before anything of a frame is delivered: the one piece that it may have. */
static int link_check_pieces(struct aisys_link *link, const void *data,
    const struct aisys_wire_frame *frame, uint64_t now_ms)
{
    struct aisys_wire_reader reader;
    struct aisys_wire_record record;

    if (!frame->pieces)
        return 0;
    aisys_wire_reader_init(&reader, data, frame);
    while (aisys_wire_next(&reader, &record, &link->fault) == 1)
        if (record.kind != AISYS_WIRE_ENVELOPE)
            return link_check_piece(link, &record, now_ms);
    return 0;
}

static void link_take_piece(
    struct aisys_link *link, const struct aisys_wire_record *record, uint64_t now_ms)
{
    struct link_arrival *const arrival = &link->arrivals[record->stream];
    const struct aisys_bytes piece = record->envelope.payload;
    const uint64_t waited_ms = now_ms - arrival->since_ms;
    unsigned char *payload;

    memcpy(arrival->payload + arrival->have_bytes, piece.data, piece.len);
    arrival->have_bytes += (uint32_t)piece.len;
    if (arrival->have_bytes < arrival->total_bytes)
        return;
    payload = arrival->payload;
    arrival->payload = NULL;
    arrival->envelope.payload = AISYS_BYTES(payload, arrival->total_bytes);
    if (arrival->envelope.deadline_ms > waited_ms)
        arrival->envelope.deadline_ms -= (uint32_t)waited_ms;
    else if (arrival->envelope.deadline_ms != 0)
        arrival->envelope.deadline_ms = 1;
    link_deliver(link, &arrival->envelope);
    link_release(link, payload);
}

static int link_take_messages(struct aisys_link *link, const void *data,
    const struct aisys_wire_frame *frame, uint64_t now_ms)
{
    struct aisys_wire_reader reader;
    struct aisys_wire_record record;
    int r;

    r = link_check_pieces(link, data, frame, now_ms);
    if (r == -EBADMSG)
        link_refuse(link, AISYS_WIRE_BAD_PIECE, frame->sequence);
    if (r < 0)
        return r;
    link->arrived = frame->sequence;
    link->gap_until_ms = 0;
    link->unacknowledged++;
    if (link->unacknowledged >= link->config.ack_frames)
        link->ack_now = true;
    else if (link->ack_at_ms == LINK_NEVER)
        link->ack_at_ms = now_ms + link->config.ack_delay_ms;
    aisys_wire_reader_init(&reader, data, frame);
    while (aisys_wire_next(&reader, &record, &link->fault) == 1) {
        if (record.kind == AISYS_WIRE_ENVELOPE)
            link_deliver(link, &record.envelope);
        else
            link_take_piece(link, &record, now_ms);
    }
    return 0;
}

/* ---- Incarnations --------------------------------------------------------------------------- */

/* From now on the peer is @incarnation, as it proved by its echo. */
static void link_meet(
    struct aisys_link *link, uint32_t incarnation, const struct aisys_wire_hello *hello)
{
    const struct aisys_link_config *const c = &link->config;
    const uint64_t was = link->peer_incarnation ? link_peer_id(link) : 0;

    aisys_link_lose_all(link, was, AISYS_LINK_LOST_RESTARTED);
    aisys_link_forget_arrivals(link);
    link->accounts.restarts += was != 0;
    link->peer_incarnation = incarnation;
    link->probes_left = 0;
    link->refused = false;
    link->refuse_now = false;
    link->sequence = 0;
    link->sequence_sent = 0;
    link->resend_at_ms = LINK_NEVER;
    link->resend_wait_ms = c->resend_ms;
    link->back_sequence = 0;
    link->arrived = 0;
    link->unacknowledged = 0;
    link->ack_at_ms = LINK_NEVER;
    link->ack_now = false;
    link->gap = false;
    link->gap_until_ms = 0;
    link->challenge = link->challenge == UINT32_MAX ? 1 : link->challenge + 1;
    link->window = c->window_frames;
    link->numbers_max = hello->streams_max < c->streams_max ? hello->streams_max : c->streams_max;
    link->message_bytes_max = hello->message_bytes_max < c->message_bytes_max
                                  ? hello->message_bytes_max
                                  : c->message_bytes_max;
    if (!link->ops->peer)
        return;
    link->calling = true;
    link->ops->peer(link->ctx, was, link_peer_id(link), hello->content);
    link->calling = false;
}

static void link_answer_hello(struct aisys_link *link, uint32_t incarnation, uint32_t echo)
{
    link->hello_now = true;
    link->hello_to = incarnation;
    link->hello_echo = echo;
}

/* A frame of an incarnation that is not the peer's as we know it: is it the peer, newly started? Only
 * an answer to a challenge made for it will tell. */
static void link_meet_unknown(struct aisys_link *link, const struct aisys_wire_frame *frame,
    const struct aisys_wire_hello *hello, uint64_t now_ms)
{
    const uint32_t incarnation = (uint32_t)frame->from;
    const bool for_us = (uint32_t)frame->to == (uint32_t)link->config.node;
    const bool probing = link->probed == incarnation;

    if (hello && for_us && hello->echo == link->challenge && (probing || link->probed == 0)) {
        link->probed = incarnation;
        link_meet(link, incarnation, hello);
        if (hello->flags & AISYS_WIRE_HELLO_WANTED)
            link_answer_hello(link, incarnation, hello->challenge);
        return;
    }
    link->accounts.stale += !hello;
    if (!hello && probing && now_ms < link->hello_at_ms)
        return; /* asked already */
    if (!probing && link->probed != 0)
        link->challenge = link->challenge == UINT32_MAX ? 1 : link->challenge + 1;
    link->probed = incarnation;
    link->probes_left = PROBES;
    link_answer_hello(link, incarnation, hello ? hello->challenge : 0);
}

/* ---- Controls ------------------------------------------------------------------------------- */

static void link_take_refused(struct aisys_link *link, const struct aisys_wire_record *record)
{
    if (!link->sent || record->sequence < link->sent->sequence ||
        record->sequence > link->sequence_sent)
        return;
    link->refused = true;
    link->fault = (struct aisys_wire_fault){ .error = record->why, .found = record->sequence };
    aisys_link_lose_all(link, link_peer_id(link), AISYS_LINK_LOST_REFUSED);
    link->resend_at_ms = LINK_NEVER;
}

static void link_take_controls(
    struct aisys_link *link, const void *data, const struct aisys_wire_frame *frame)
{
    const bool for_us = (uint32_t)frame->to == (uint32_t)link->config.node;
    struct aisys_wire_reader reader;
    struct aisys_wire_record record;

    aisys_wire_reader_init(&reader, data, frame);
    while (aisys_wire_next(&reader, &record, &link->fault) == 1) {
        if (record.kind == AISYS_WIRE_REFUSED && for_us)
            link_take_refused(link, &record);
        if (record.kind == AISYS_WIRE_HELLO && (record.hello.flags & AISYS_WIRE_HELLO_WANTED))
            link_answer_hello(link, (uint32_t)frame->from, record.hello.challenge);
    }
}

/* The frame's HELLO, or NULL; @record is its place. */
static const struct aisys_wire_hello *link_find_hello(
    const void *data, const struct aisys_wire_frame *frame, struct aisys_wire_record *record)
{
    struct aisys_wire_reader reader;
    struct aisys_wire_fault fault;

    if (frame->sequence != 0)
        return NULL;
    aisys_wire_reader_init(&reader, data, frame);
    while (aisys_wire_next(&reader, record, &fault) == 1)
        if (record->kind == AISYS_WIRE_HELLO)
            return &record->hello;
    return NULL;
}

/* ---- Frames --------------------------------------------------------------------------------- */

static int link_take_numbered(struct aisys_link *link, const void *data,
    const struct aisys_wire_frame *frame, uint64_t now_ms)
{
    if (frame->sequence <= link->arrived) {
        link->accounts.duplicates++;
        link->ack_now = true;
        return 0;
    }
    if (frame->sequence == link->arrived + 1)
        return link_take_messages(link, data, frame, now_ms);
    link->accounts.gaps++;
    if (now_ms < link->gap_until_ms)
        return 0; /* asked already */
    link->gap_until_ms = now_ms + link->config.resend_ms;
    link->gap = true;
    link->ack_now = true;
    return 0;
}

static int link_take_known(struct aisys_link *link, const void *data,
    const struct aisys_wire_frame *frame, uint64_t now_ms)
{
    if ((uint32_t)frame->to != 0) {
        if (frame->ack > link->sequence_sent)
            return link_bad(link, AISYS_WIRE_BAD_ACK, frame->ack);
        link_take_ack(link, frame->ack, now_ms);
        if (frame->flags & AISYS_WIRE_GAP)
            link_go_back(link, now_ms);
        link->window =
            frame->window < link->config.window_frames ? frame->window : link->config.window_frames;
    }
    if (frame->sequence != 0)
        return link_take_numbered(link, data, frame, now_ms);
    link_take_controls(link, data, frame);
    return 0;
}

/* A frame that cannot be read, and why is in link->fault: its sender should know, if it is the peer. */
static int link_take_bad(struct aisys_link *link, const void *data, size_t bytes, int r)
{
    struct aisys_wire_frame frame;
    struct aisys_wire_fault fault;

    link->accounts.bad_frames++;
    if (aisys_wire_open_header(data, bytes, &frame, &fault) == 0 &&
        frame.from == link_peer_id(link) && frame.to == link->config.node &&
        frame.sequence == link->arrived + 1)
        link_refuse(link, link->fault.error, frame.sequence);
    return r;
}

int aisys_link_frame(struct aisys_link *link, const void *data, size_t bytes, uint64_t now_ms)
{
    struct aisys_wire_record record;
    struct aisys_wire_frame frame;
    int r;

    AISYS_CHECK(!link->delivering);
    AISYS_CHECK(!link->calling);
    if (link->closed)
        return 0;
    r = aisys_wire_open(data, bytes, &frame, &link->fault);
    if (r < 0)
        return link_take_bad(link, data, bytes, r);
    link->accounts.frames_in++;
    link->accounts.bytes_in += bytes;
    if (frame.from >> 32 != link->config.peer || frame.to >> 32 != link->config.node >> 32)
        return link_bad(link, AISYS_WIRE_STRANGER, frame.from);
    link->heard_ms = now_ms;
    if ((uint32_t)frame.from != link->peer_incarnation) {
        link_meet_unknown(link, &frame, link_find_hello(data, &frame, &record), now_ms);
        return 0;
    }
    if ((uint32_t)frame.to != 0 && frame.to != link->config.node) {
        link->accounts.stale++; /* for an earlier run of this node: say who is here now */
        if (now_ms >= link->hello_at_ms)
            link_answer_hello(link, link->peer_incarnation, 0);
        return 0;
    }
    return link_take_known(link, data, &frame, now_ms);
}
