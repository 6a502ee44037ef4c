/* A link's life, what it sends and when; the receiving half is link_in.c. */
#include "link_impl.h"

#include <errno.h>
#include <string.h>

#define HEADER AISYS_WIRE_FRAME_HEADER_BYTES

#define PIECE_ABOVE_BYTES_MAX 32768u
#define STREAMS_MAX           1024u
#define NO_MEMORY_WAIT_MS     10u

/* ---- Life ----------------------------------------------------------------------------------- */

static void link_config_defaults(struct aisys_link_config *c)
{
    if (!c->memory)
        c->memory = &aisys_allocator_heap;
    if (c->message_bytes_max == 0)
        c->message_bytes_max = 16u << 20;
    if (c->queue_messages == 0)
        c->queue_messages = 65536;
    if (c->queue_bytes == 0)
        c->queue_bytes =
            c->message_bytes_max > (32u << 20) ? 2 * (uint64_t)c->message_bytes_max : 64u << 20;
    if (c->piece_above_bytes == 0)
        c->piece_above_bytes = 16384;
    if (c->streams_max == 0)
        c->streams_max = 8;
    if (c->window_frames == 0)
        c->window_frames = 64;
    if (c->ack_frames == 0)
        c->ack_frames = (uint16_t)((c->window_frames + 3) / 4);
    if (c->ack_delay_ms == 0)
        c->ack_delay_ms = 5;
    if (c->resend_ms == 0)
        c->resend_ms = 200;
    if (c->resend_max_ms == 0)
        c->resend_max_ms = c->resend_ms > 2000 ? c->resend_ms : 2000;
}

static bool link_config_is_valid(const struct aisys_link_config *c)
{
    return (uint32_t)c->node != 0 && c->piece_above_bytes <= PIECE_ABOVE_BYTES_MAX &&
           c->streams_max <= STREAMS_MAX && c->resend_max_ms >= c->resend_ms &&
           c->hello.len <= AISYS_WIRE_HELLO_CONTENT_BYTES_MAX &&
           c->queue_bytes >=
               (uint64_t)c->message_bytes_max + AISYS_WIRE_ENVELOPE_BYTES + AISYS_WIRE_TRACE_BYTES;
}

static int link_tables_new(struct aisys_link *link)
{
    const size_t n = link->config.streams_max;
    const size_t hello_bytes = link->config.hello.len;

    link->numbers_used = link_alloc(link, n * sizeof(*link->numbers_used));
    link->arrivals = link_alloc(link, n * sizeof(*link->arrivals));
    link->hello = hello_bytes > 0 ? link_alloc(link, hello_bytes) : NULL;
    if (!link->arrivals)
        return -ENOMEM;
    memset(link->arrivals, 0, n * sizeof(*link->arrivals));
    if (!link->numbers_used)
        return -ENOMEM;
    memset(link->numbers_used, 0, n * sizeof(*link->numbers_used));
    if (hello_bytes == 0)
        return 0;
    if (!link->hello)
        return -ENOMEM;
    memcpy(link->hello, link->config.hello.data, hello_bytes);
    link->config.hello.data = link->hello;
    return 0;
}

static void link_tables_free(struct aisys_link *link)
{
    if (link->arrivals)
        aisys_link_forget_arrivals(link);
    link_release(link, link->hello);
    link_release(link, link->arrivals);
    link_release(link, link->numbers_used);
}

int aisys_link_new(const struct aisys_link_config *config, const struct aisys_link_ops *ops,
    void *ctx, struct aisys_link **ret_link)
{
    struct aisys_link_config full = *config;
    struct aisys_link *link;

    AISYS_CHECK(ops->carrier && ops->deliver && ops->lost);
    link_config_defaults(&full);
    if (!link_config_is_valid(&full))
        return -EINVAL;
    link = full.memory->alloc(full.memory->ctx, sizeof(*link));
    if (!link)
        return -ENOMEM;
    *link = (struct aisys_link){ .config = full,
        .ops = ops,
        .ctx = ctx,
        .peer_incarnation = full.peer_incarnation,
        .window = full.window_frames,
        .numbers_max = full.streams_max,
        .message_bytes_max = full.message_bytes_max,
        .resend_at_ms = LINK_NEVER,
        .resend_wait_ms = full.resend_ms,
        .ack_at_ms = LINK_NEVER,
        .challenge = 1 };
    if (link_tables_new(link) < 0) {
        link_tables_free(link);
        link_release(link, link);
        return -ENOMEM;
    }
    aisys_link_queues_init(link);
    *ret_link = link;
    return 0;
}

void aisys_link_close(struct aisys_link *link)
{
    AISYS_CHECK(!link->delivering);
    AISYS_CHECK(!link->calling);
    if (link->closed)
        return;
    link->closed = true;
    aisys_link_lose_all(link, link_peer_id(link), AISYS_LINK_LOST_CLOSED);
    aisys_link_forget_arrivals(link);
}

void aisys_link_free(struct aisys_link *link)
{
    if (!link)
        return;
    aisys_link_close(link);
    aisys_link_frames_deinit(link);
    link_tables_free(link);
    link_release(link, link);
}

/* ---- Sending -------------------------------------------------------------------------------- */

static int link_outcome(
    const struct aisys_link *link, const struct aisys_envelope *envelope, size_t charge)
{
    const struct aisys_link_accounts *const a = &link->accounts;

    if (link->closed || link->refused || link->peer_incarnation == 0)
        return AISYS_SEND_GONE;
    if (envelope->to.node != link_peer_id(link) || aisys_id_is_none(envelope->to))
        return AISYS_SEND_GONE;
    if (envelope->payload.len > link->message_bytes_max)
        return AISYS_SEND_TOO_BIG;
    if (a->in_flight >= link->config.queue_messages ||
        a->in_flight_bytes + charge > link->config.queue_bytes)
        return AISYS_SEND_FULL;
    return 0;
}

int aisys_link_send(struct aisys_link *link, const struct aisys_envelope *envelope)
{
    const size_t charge = aisys_wire_envelope_bytes(envelope);
    int r;

    AISYS_CHECK(!link->calling);
    AISYS_CHECK(envelope->priority < LINK_PRIORITIES);
    r = link_outcome(link, envelope, charge);
    if (r != 0) {
        link->accounts.refused++;
        return r;
    }
    r = aisys_link_queue_put(link, envelope, charge);
    if (r < 0)
        return r;
    link->accounts.accepted++;
    link->accounts.in_flight++;
    link->accounts.in_flight_bytes += charge;
    return 0;
}

/* Hand the sealed @frame over: whether the carrier took it. */
static bool link_carry(struct aisys_link *link, const unsigned char *frame, size_t bytes)
{
    int r;

    link->calling = true;
    r = link->ops->carrier(link->ctx, frame, bytes);
    link->calling = false;
    if (r != 0) {
        link->busy = true;
        return false;
    }
    link->accounts.frames_out++;
    link->accounts.bytes_out += bytes;
    return true;
}

/* What every frame to the known peer says besides its records, and that this settles. */
static struct aisys_wire_frame link_header(const struct aisys_link *link)
{
    return (struct aisys_wire_frame){ .from = link->config.node,
        .to = link_peer_id(link),
        .ack = link->arrived,
        .window = link->config.window_frames,
        .flags = link->gap ? AISYS_WIRE_GAP : 0 };
}

static void link_acknowledged_now(struct aisys_link *link)
{
    link->ack_now = false;
    link->ack_at_ms = LINK_NEVER;
    link->unacknowledged = 0;
    link->gap = false;
}

static bool link_hand_over(struct aisys_link *link, struct link_frame *frame, uint64_t now_ms)
{
    struct aisys_wire_frame header = link_header(link);

    if (frame->timed && now_ms > frame->base_ms)
        aisys_wire_rebase(frame->data + HEADER, frame->used - HEADER, now_ms - frame->base_ms);
    frame->base_ms = now_ms;
    header.sequence = frame->sequence;
    header.bytes = frame->used;
    header.count = frame->count;
    aisys_wire_seal(frame->data, &header);
    if (!link_carry(link, frame->data, frame->used))
        return false;
    link->accounts.resent += frame->sent;
    frame->sent = true;
    if (frame->sequence > link->sequence_sent)
        link->sequence_sent = frame->sequence;
    if (link->resend_at_ms == LINK_NEVER)
        link->resend_at_ms = now_ms + link->resend_wait_ms;
    link_acknowledged_now(link);
    return true;
}

/* The next frame for the carrier: one to send again, or a new one while the window is open. */
static struct link_frame *link_next_frame(struct aisys_link *link, uint64_t now_ms)
{
    struct link_frame *frame = link->cursor;

    if (frame || link->sent_nr >= link->window || link->peer_incarnation == 0)
        return frame;
    frame = aisys_link_pack(link, now_ms);
    link->pack_at_ms = !frame && aisys_link_queues_any(link) ? now_ms + NO_MEMORY_WAIT_MS : 0;
    if (!frame)
        return NULL;
    frame->sequence = ++link->sequence;
    *link->sent_tail = frame;
    link->sent_tail = &frame->next;
    link->sent_nr++;
    link->cursor = frame;
    return frame;
}

/* ---- Controls: what travels unnumbered ------------------------------------------------------ */

static size_t link_put_hello(const struct aisys_link *link, unsigned char *at)
{
    const bool known = link->hello_to != 0 && link->hello_to == link->peer_incarnation;
    const struct aisys_wire_hello hello = { .challenge = link->challenge,
        .echo = link->hello_echo,
        .message_bytes_max = link->config.message_bytes_max,
        .streams_max = link->config.streams_max,
        .version_min = AISYS_WIRE_VERSION_MIN,
        .version_max = AISYS_WIRE_VERSION,
        .flags = known ? 0 : AISYS_WIRE_HELLO_WANTED,
        .content = link->config.hello };

    return aisys_wire_put_hello(at, &hello);
}

static void link_say_hello(struct aisys_link *link, uint64_t now_ms)
{
    unsigned char frame[HEADER + AISYS_WIRE_HELLO_BYTES + AISYS_WIRE_HELLO_CONTENT_BYTES_MAX];
    struct aisys_wire_frame header = link_header(link);

    header.to = (uint64_t)link->config.peer << 32 | link->hello_to;
    if (link->hello_to != link->peer_incarnation) {
        header.ack = 0; /* of another stream */
        header.flags = 0;
    }
    header.count = 1;
    header.bytes = HEADER + (uint32_t)link_put_hello(link, frame + HEADER);
    aisys_wire_seal(frame, &header);
    if (!link_carry(link, frame, header.bytes))
        return;
    link->hello_now = false;
    if (link->probes_left > 0)
        link->probes_left--;
    link->hello_at_ms = now_ms + link->config.resend_ms;
}

static void link_say_ack(struct aisys_link *link)
{
    unsigned char frame[HEADER + AISYS_WIRE_REFUSED_BYTES];
    struct aisys_wire_frame header = link_header(link);

    header.bytes = HEADER;
    if (link->refuse_now) {
        header.bytes += (uint32_t)aisys_wire_put_refused(
            frame + HEADER, link->refuse_why, link->refuse_sequence);
        header.count = 1;
    }
    aisys_wire_seal(frame, &header);
    if (!link_carry(link, frame, header.bytes))
        return;
    link->refuse_now = false;
    link_acknowledged_now(link);
}

/* Until the peer is known; and some times when one that may be its new incarnation was asked. */
static bool link_hello_repeats(const struct aisys_link *link)
{
    return link->peer_incarnation == 0 || link->probes_left > 0;
}

static bool link_hello_is_due(const struct aisys_link *link, uint64_t now_ms)
{
    return link->hello_now || (link_hello_repeats(link) && now_ms >= link->hello_at_ms);
}

void aisys_link_flush(struct aisys_link *link, uint64_t now_ms)
{
    struct link_frame *frame;

    AISYS_CHECK(!link->delivering);
    AISYS_CHECK(!link->calling);
    if (link->closed)
        return;
    aisys_link_queues_settle(link, now_ms);
    if (!link->busy && link->sent && now_ms >= link->resend_at_ms) {
        const uint32_t doubled = 2 * link->resend_wait_ms;

        link->cursor = link->sent;
        link->resend_wait_ms =
            doubled < link->config.resend_max_ms ? doubled : link->config.resend_max_ms;
        link->resend_at_ms = now_ms + link->resend_wait_ms;
    }
    while (!link->busy && (frame = link_next_frame(link, now_ms)) != NULL)
        if (link_hand_over(link, frame, now_ms))
            link->cursor = frame->next;
    if (!link->busy && link_hello_is_due(link, now_ms))
        link_say_hello(link, now_ms);
    if (!link->busy && (link->ack_now || link->refuse_now || now_ms >= link->ack_at_ms))
        link_say_ack(link);
    AISYS_CHECK(link->accounts.accepted ==
                link->accounts.acknowledged + link->accounts.in_flight + link->accounts.dead);
}

void aisys_link_writable(struct aisys_link *link, uint64_t now_ms)
{
    link->busy = false;
    aisys_link_flush(link, now_ms);
}

void aisys_link_reconnected(struct aisys_link *link, uint64_t now_ms)
{
    link->busy = false;
    link->cursor = link->sent;
    link->resend_wait_ms = link->config.resend_ms;
    link->resend_at_ms = link->sent ? now_ms + link->resend_wait_ms : LINK_NEVER;
    link->hello_at_ms = 0;
    aisys_link_flush(link, now_ms);
}

uint64_t aisys_link_next_ms(const struct aisys_link *link)
{
    uint64_t next_ms = LINK_NEVER;

    if (link->closed || link->busy)
        return LINK_NEVER;
    if (link->ack_now || link->refuse_now || link->hello_now || link->cursor)
        return 0;
    if (link->peer_incarnation != 0 && link->sent_nr < link->window && aisys_link_queues_any(link))
        return link->pack_at_ms;
    if (link_hello_repeats(link))
        next_ms = link->hello_at_ms;
    if (link->ack_at_ms < next_ms)
        next_ms = link->ack_at_ms;
    if (link->sent && link->resend_at_ms < next_ms)
        next_ms = link->resend_at_ms;
    return next_ms;
}

/* ---- Looking -------------------------------------------------------------------------------- */

uint64_t aisys_link_peer(const struct aisys_link *link)
{
    return link_peer_id(link);
}

uint64_t aisys_link_heard_ms(const struct aisys_link *link)
{
    return link->heard_ms;
}

const struct aisys_link_accounts *aisys_link_accounts(const struct aisys_link *link)
{
    return &link->accounts;
}

const struct aisys_wire_fault *aisys_link_fault(const struct aisys_link *link)
{
    return &link->fault;
}

const char *aisys_link_loss_words(enum aisys_link_loss why)
{
    switch (why) {
    case AISYS_LINK_LOST_DEADLINE:
        return "deadline";
    case AISYS_LINK_LOST_RESTARTED:
        return "peer restarted";
    case AISYS_LINK_LOST_REFUSED:
        return "refused by the peer";
    case AISYS_LINK_LOST_CLOSED:
        return "link closed";
    }
    return "unknown";
}
