/* The sending half's queues: what is accepted, until it is packed into numbered frames. */
#include "link_impl.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define HEADER AISYS_WIRE_FRAME_HEADER_BYTES

/* Frames in a row of each priority while all have work. */
static const unsigned weights[LINK_PRIORITIES] = {
    [AISYS_HIGH] = 8, [AISYS_NORMAL] = 4, [AISYS_LOW] = 1
};
static const uint8_t served[LINK_PRIORITIES] = { AISYS_HIGH, AISYS_NORMAL, AISYS_LOW };

/* Small ones that go along in a frame of pieces. */
#define MERGE_WITH_PIECES_BYTES (AISYS_WIRE_FRAME_BYTES_MAX / 4)

/* A piece below this is not worth its header, unless it is the last. */
#define PIECE_BYTES_MIN 1024u

/* ---- Accepting ------------------------------------------------------------------------------ */

void aisys_link_queues_init(struct aisys_link *link)
{
    for (unsigned p = 0; p < LINK_PRIORITIES; p++) {
        struct link_queue *const queue = &link->queues[p];

        *queue = (struct link_queue){ .credit = weights[p] };
        queue->tail = &queue->head;
        queue->streams_tail = &queue->streams;
    }
    link->sent_tail = &link->sent;
}

static struct link_frame *link_queue_pop(struct link_queue *queue)
{
    struct link_frame *const frame = queue->head;

    queue->head = frame->next;
    if (!queue->head || queue->tail == &frame->next)
        queue->tail = &queue->head;
    if (queue->fresh == frame)
        queue->fresh = frame->next;
    frame->next = NULL;
    return frame;
}

/* The open frame that takes @charge bytes more. */
static struct link_frame *link_queue_room(
    struct aisys_link *link, struct link_queue *queue, size_t charge)
{
    struct link_frame *const last = *queue->tail;
    struct link_frame *frame;

    if (last && last->used + charge <= last->capacity)
        return last;
    if (last && last->used + charge <= AISYS_WIRE_FRAME_BYTES_MAX) {
        const bool fresh = queue->fresh == last;

        frame = aisys_link_frame_grow(link, last);
        if (!frame)
            return NULL;
        *queue->tail = frame;
        if (fresh)
            queue->fresh = frame;
        return frame;
    }
    frame = aisys_link_frame_new(link, last || HEADER + charge > LINK_FRAME_SMALL_BYTES);
    if (!frame)
        return NULL;
    queue->tail = last ? &last->next : &queue->head;
    *queue->tail = frame;
    return frame;
}

static int link_put_small(struct aisys_link *link, struct link_queue *queue,
    const struct aisys_envelope *envelope, size_t charge)
{
    struct link_frame *const frame = link_queue_room(link, queue, charge);

    if (!frame)
        return -ENOMEM;
    frame->used += (uint32_t)aisys_wire_put_envelope(frame->data + frame->used, envelope);
    frame->count++;
    frame->messages++;
    frame->charge += charge;
    frame->timed |= envelope->deadline_ms != 0;
    queue->pushed++;
    if (!queue->fresh)
        queue->fresh = frame;
    return 0;
}

static struct link_stream **link_bucket(
    struct aisys_link *link, const struct aisys_envelope *envelope)
{
    const uint32_t mixed = (envelope->from.slot * 0x9e3779b1u ^ envelope->to.slot) * 0x85ebca6bu;

    return &link->buckets[mixed >> 26];
}

static_assert(LINK_BUCKETS == 1 << (32 - 26), "the hash's upper bits");

static struct link_stream *link_find_stream(
    struct aisys_link *link, const struct aisys_envelope *envelope)
{
    for (struct link_stream *s = *link_bucket(link, envelope); s; s = s->bucket_next)
        if (s->priority == envelope->priority && aisys_id_equal(s->from, envelope->from) &&
            aisys_id_equal(s->to, envelope->to))
            return s;
    return NULL;
}

static struct link_stream *link_stream_new(
    struct aisys_link *link, struct link_queue *queue, const struct aisys_envelope *envelope)
{
    struct link_stream **const bucket = link_bucket(link, envelope);
    struct link_stream *const stream = link_alloc(link, sizeof(*stream));

    if (!stream)
        return NULL;
    *stream = (struct link_stream){ .bucket_next = *bucket,
        .from = envelope->from,
        .to = envelope->to,
        .barrier = queue->pushed,
        .number = -1,
        .priority = envelope->priority };
    *bucket = stream;
    *queue->streams_tail = stream;
    queue->streams_tail = &stream->next;
    link->streams_nr++;
    return stream;
}

static int link_put_item(struct aisys_link *link, struct link_queue *queue,
    struct link_stream *stream, const struct aisys_envelope *envelope)
{
    const size_t len = envelope->payload.len;
    struct link_item *const item = link_alloc(link, sizeof(*item) + len);

    if (!item)
        return -ENOMEM;
    if (!stream)
        stream = link_stream_new(link, queue, envelope);
    if (!stream) {
        link_release(link, item);
        return -ENOMEM;
    }
    *item = (struct link_item){
        .envelope = *envelope, .base_ms = LINK_NEVER, .fresh_next = link->fresh_items
    };
    if (len > 0)
        memcpy(item + 1, envelope->payload.data, len);
    item->envelope.payload.data = item + 1;
    link->fresh_items = item;
    if (stream->tail)
        stream->tail->next = item;
    else
        stream->head = item;
    stream->tail = item;
    return 0;
}

int aisys_link_queue_put(
    struct aisys_link *link, const struct aisys_envelope *envelope, size_t charge)
{
    struct link_queue *const queue = &link->queues[envelope->priority];
    struct link_stream *const stream = link->streams_nr ? link_find_stream(link, envelope) : NULL;

    if (stream || envelope->payload.len > link->config.piece_above_bytes)
        return link_put_item(link, queue, stream, envelope);
    return link_put_small(link, queue, envelope, charge);
}

void aisys_link_queues_settle(struct aisys_link *link, uint64_t now_ms)
{
    struct link_item *item = link->fresh_items;

    link->fresh_items = NULL;
    while (item) {
        struct link_item *const next = item->fresh_next;

        item->base_ms = now_ms;
        item->fresh_next = NULL;
        item = next;
    }
    for (unsigned p = 0; p < LINK_PRIORITIES; p++) {
        struct link_queue *const queue = &link->queues[p];

        for (struct link_frame *f = queue->fresh; f; f = f->next) {
            aisys_link_frame_age(link, queue, f, now_ms);
            f->settled = f->used;
        }
        queue->fresh = NULL;
    }
}

/* ---- Packing -------------------------------------------------------------------------------- */

static bool link_item_is_large(const struct aisys_link *link, const struct link_item *item)
{
    return item->envelope.payload.len > link->config.piece_above_bytes;
}

/* Where the first stream hangs that can go on; NULL: none can. */
static struct link_stream **link_ready_stream(
    const struct aisys_link *link, struct link_queue *queue)
{
    for (struct link_stream **at = &queue->streams; *at; at = &(*at)->next) {
        const struct link_stream *const s = *at;

        if (s->barrier > queue->packed)
            continue;
        if (s->number >= 0 || !link_item_is_large(link, s->head) ||
            link->numbers_nr < link->numbers_max)
            return at;
    }
    return NULL;
}

static bool link_queue_has_work(const struct aisys_link *link, struct link_queue *queue)
{
    return queue->head || (queue->streams && link_ready_stream(link, queue));
}

bool aisys_link_queues_any(const struct aisys_link *link)
{
    for (unsigned p = 0; p < LINK_PRIORITIES; p++)
        if (link->queues[p].head || link->queues[p].streams)
            return true;
    return false;
}

static struct link_queue *link_choose(struct aisys_link *link)
{
    bool any = true;

    while (any) {
        any = false;
        for (unsigned i = 0; i < LINK_PRIORITIES; i++) {
            struct link_queue *const queue = &link->queues[served[i]];

            if (!link_queue_has_work(link, queue))
                continue;
            any = true;
            if (queue->credit > 0) {
                queue->credit--;
                return queue;
            }
        }
        for (unsigned p = 0; p < LINK_PRIORITIES; p++)
            link->queues[p].credit = weights[p];
    }
    return NULL;
}

/* Add open frames that fit below @limit to @frame, so that a turn of a few messages is one frame. */
static struct link_frame *link_merge(
    struct aisys_link *link, struct link_frame *frame, uint32_t limit, uint64_t now_ms)
{
    for (unsigned i = 0; i < LINK_PRIORITIES; i++) {
        struct link_queue *const queue = &link->queues[served[i]];

        while (queue->head && frame->used + queue->head->used - HEADER <= limit) {
            struct link_frame *more = queue->head;

            if (frame->used + more->used - HEADER > frame->capacity) {
                more = aisys_link_frame_grow(link, frame);
                if (!more)
                    return frame;
                frame = more;
            }
            more = link_queue_pop(queue);
            aisys_link_frame_age(link, queue, more, now_ms);
            queue->packed += more->messages;
            memcpy(frame->data + frame->used, more->data + HEADER, more->used - HEADER);
            frame->used += more->used - HEADER;
            frame->count = (uint16_t)(frame->count + more->count);
            frame->messages = (uint16_t)(frame->messages + more->messages);
            frame->charge += more->charge;
            frame->timed |= more->timed;
            aisys_link_frame_free(link, more);
        }
    }
    return frame;
}

static struct link_frame *link_pack_small(
    struct aisys_link *link, struct link_queue *queue, uint64_t now_ms)
{
    struct link_frame *const frame = link_queue_pop(queue);

    aisys_link_frame_age(link, queue, frame, now_ms);
    queue->packed += frame->messages;
    return link_merge(link, frame, AISYS_WIRE_FRAME_BYTES_MAX, now_ms);
}

static struct link_item *link_stream_pop(struct link_stream *stream)
{
    struct link_item *const item = stream->head;

    stream->head = item->next;
    if (!stream->head)
        stream->tail = NULL;
    return item;
}

static void link_stream_free(struct aisys_link *link, struct link_stream *stream)
{
    const struct aisys_envelope key = { .from = stream->from, .to = stream->to };
    struct link_stream **at = link_bucket(link, &key);

    while (*at != stream)
        at = &(*at)->bucket_next;
    *at = stream->bucket_next;
    link->streams_nr--;
    link_release(link, stream);
}

static void link_stream_take_number(struct aisys_link *link, struct link_stream *stream)
{
    int number = 0;

    while (link->numbers_used[number])
        number++;
    link->numbers_used[number] = true;
    link->numbers_nr++;
    stream->number = number;
}

static void link_stream_give_number(struct aisys_link *link, struct link_stream *stream)
{
    link->numbers_used[stream->number] = false;
    link->numbers_nr--;
    stream->number = -1;
}

/* The next piece of the stream's first item into @frame, which has room for @room bytes of it. */
static void link_pack_piece(struct aisys_link *link, struct link_stream *stream,
    struct link_frame *frame, const struct aisys_envelope *envelope, size_t room)
{
    struct link_item *const item = stream->head;
    const size_t total = item->envelope.payload.len;
    const size_t left = total - item->sent_bytes;
    const size_t bytes = left < room ? left : room;
    unsigned char *const at = frame->data + frame->used;

    if (item->sent_bytes == 0) {
        link_stream_take_number(link, stream);
        frame->used +=
            (uint32_t)aisys_wire_put_first(at, envelope, (uint16_t)stream->number, (uint16_t)bytes);
        frame->timed |= envelope->deadline_ms != 0;
    } else {
        const struct aisys_bytes piece = { (const char *)(item + 1) + item->sent_bytes, bytes };

        frame->used += (uint32_t)aisys_wire_put_piece(
            at, (uint16_t)stream->number, (uint32_t)item->sent_bytes, piece);
    }
    frame->count++;
    item->sent_bytes += bytes;
    if (item->sent_bytes < total)
        return;
    link_stream_give_number(link, stream);
    frame->ended = link_stream_pop(stream);
}

enum link_packed {
    LINK_PACK_MORE,  /* another may follow in this frame */
    LINK_PACK_PIECE, /* a frame has one piece at most */
    LINK_PACK_FULL,  /* no room was left */
};

/* The stream's first item, or a piece of it, into @frame. */
static enum link_packed link_pack_item(
    struct aisys_link *link, struct link_stream *stream, struct link_frame *frame, uint64_t now_ms)
{
    struct link_item *const item = stream->head;
    struct aisys_envelope envelope = item->envelope;
    const size_t bytes = aisys_wire_envelope_bytes(&envelope);
    const uint64_t waited_ms = now_ms > item->base_ms ? now_ms - item->base_ms : 0;
    const uint32_t overhead =
        AISYS_WIRE_ENVELOPE_BYTES + AISYS_WIRE_TRACE_BYTES + AISYS_WIRE_FIRST_BYTES;

    if (item->sent_bytes == 0 && aisys_link_expired(&envelope, waited_ms)) {
        aisys_link_lose(link, &envelope, AISYS_LINK_LOST_DEADLINE);
        link_release(link, link_stream_pop(stream));
        return LINK_PACK_MORE;
    }
    if (envelope.deadline_ms != 0)
        envelope.deadline_ms =
            envelope.deadline_ms > waited_ms ? envelope.deadline_ms - (uint32_t)waited_ms : 1;
    if (item->sent_bytes == 0 && frame->used + bytes <= AISYS_WIRE_FRAME_BYTES_MAX) {
        frame->used += (uint32_t)aisys_wire_put_envelope(frame->data + frame->used, &envelope);
        frame->count++;
        frame->messages++;
        frame->charge += bytes;
        frame->timed |= envelope.deadline_ms != 0;
        link_release(link, link_stream_pop(stream));
        return LINK_PACK_MORE;
    }
    if (!link_item_is_large(link, item))
        return LINK_PACK_FULL;
    if (frame->used + overhead + PIECE_BYTES_MIN > AISYS_WIRE_FRAME_BYTES_MAX)
        return LINK_PACK_FULL;
    if (stream->number < 0 && link->numbers_nr >= link->numbers_max)
        return LINK_PACK_FULL;
    link_pack_piece(
        link, stream, frame, &envelope, AISYS_WIRE_FRAME_BYTES_MAX - frame->used - overhead);
    return LINK_PACK_PIECE;
}

static struct link_frame *link_pack_streams(
    struct aisys_link *link, struct link_queue *queue, uint64_t now_ms)
{
    struct link_frame *frame = aisys_link_frame_new(link, true);
    enum link_packed packed = LINK_PACK_MORE;
    struct link_stream **at;

    if (!frame)
        return NULL;
    frame = link_merge(link, frame, MERGE_WITH_PIECES_BYTES, now_ms);
    while (packed == LINK_PACK_MORE && (at = link_ready_stream(link, queue)) != NULL) {
        struct link_stream *const stream = *at;

        packed = link_pack_item(link, stream, frame, now_ms);
        if (packed == LINK_PACK_FULL)
            break;
        *at = stream->next; /* to the end of the row, or away */
        stream->next = NULL;
        if (!*at)
            queue->streams_tail = at;
        if (!stream->head) {
            link_stream_free(link, stream);
            continue;
        }
        *queue->streams_tail = stream;
        queue->streams_tail = &stream->next;
    }
    return frame;
}

struct link_frame *aisys_link_pack(struct aisys_link *link, uint64_t now_ms)
{
    struct link_queue *queue;

    while ((queue = link_choose(link)) != NULL) {
        const bool streams = queue->streams && link_ready_stream(link, queue);
        struct link_frame *frame;

        if (queue->head && !(streams && queue->streams_turn)) {
            frame = link_pack_small(link, queue, now_ms);
            queue->streams_turn = true;
        } else {
            frame = link_pack_streams(link, queue, now_ms);
            queue->streams_turn = false;
        }
        if (!frame)
            return NULL;
        if (frame->count > 0) {
            frame->base_ms = now_ms;
            return frame;
        }
        aisys_link_frame_free(link, frame); /* all of it had expired */
    }
    return NULL;
}

/* ---- Giving up ------------------------------------------------------------------------------ */

static void link_lose_frame(
    struct aisys_link *link, struct link_frame *frame, uint64_t to, enum aisys_link_loss why)
{
    struct aisys_wire_reader reader = { .frame = frame->data,
        .at = frame->data + HEADER,
        .end = frame->data + frame->used,
        .from = link->config.node,
        .to = to };
    struct aisys_wire_record record;
    struct aisys_wire_fault fault;

    while (aisys_wire_next(&reader, &record, &fault) == 1)
        if (record.kind == AISYS_WIRE_ENVELOPE)
            aisys_link_lose(link, &record.envelope, why);
    if (frame->ended)
        aisys_link_lose(link, &frame->ended->envelope, why);
    aisys_link_frame_free(link, frame);
}

static void link_lose_streams(
    struct aisys_link *link, struct link_queue *queue, enum aisys_link_loss why)
{
    struct link_stream *stream = queue->streams;

    queue->streams = NULL;
    queue->streams_tail = &queue->streams;
    while (stream) {
        struct link_stream *const next = stream->next;

        while (stream->head) {
            struct link_item *const item = link_stream_pop(stream);

            aisys_link_lose(link, &item->envelope, why);
            link_release(link, item);
        }
        link_stream_free(link, stream);
        stream = next;
    }
}

void aisys_link_lose_all(struct aisys_link *link, uint64_t to, enum aisys_link_loss why)
{
    while (link->sent) {
        struct link_frame *const frame = link->sent;

        link->sent = frame->next;
        link_lose_frame(link, frame, to, why);
    }
    link->sent_tail = &link->sent;
    link->cursor = NULL;
    link->sent_nr = 0;
    link->fresh_items = NULL;
    for (unsigned i = 0; i < LINK_PRIORITIES; i++) {
        struct link_queue *const queue = &link->queues[served[i]];

        link_lose_streams(link, queue, why);
        while (queue->head)
            link_lose_frame(link, link_queue_pop(queue), to, why);
        queue->packed = queue->pushed;
    }
    memset(link->numbers_used, 0, link->config.streams_max * sizeof(*link->numbers_used));
    link->numbers_nr = 0;
    AISYS_CHECK(link->accounts.in_flight == 0);
}
