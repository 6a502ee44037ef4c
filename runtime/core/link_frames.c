/* The buffers of a link: what messages are written into, and how they age there. */
#include "link_impl.h"

#include <string.h>

#define HEADER AISYS_WIRE_FRAME_HEADER_BYTES

void aisys_link_lose(
    struct aisys_link *link, const struct aisys_envelope *envelope, enum aisys_link_loss why)
{
    AISYS_CHECK(link->accounts.in_flight > 0);
    link->accounts.in_flight--;
    link->accounts.in_flight_bytes -= aisys_wire_envelope_bytes(envelope);
    link->accounts.dead++;
    link->calling = true;
    link->ops->lost(link->ctx, envelope, why);
    link->calling = false;
}

struct link_frame *aisys_link_frame_new(struct aisys_link *link, bool full)
{
    struct link_frame *frame = link->spare[full];
    const uint32_t capacity = full ? AISYS_WIRE_FRAME_BYTES_MAX : LINK_FRAME_SMALL_BYTES;

    if (frame) {
        link->spare[full] = frame->next;
        link->spare_nr[full]--;
    } else {
        frame = link_alloc(link, sizeof(*frame) + capacity);
        if (!frame)
            return NULL;
    }
    *frame = (struct link_frame){ .capacity = capacity, .used = HEADER, .settled = HEADER };
    return frame;
}

void aisys_link_frame_free(struct aisys_link *link, struct link_frame *frame)
{
    const bool full = frame->capacity > LINK_FRAME_SMALL_BYTES;

    link_release(link, frame->ended);
    if (link->spare_nr[full] >= LINK_SPARE_MAX) {
        link_release(link, frame);
        return;
    }
    frame->ended = NULL;
    frame->next = link->spare[full];
    link->spare[full] = frame;
    link->spare_nr[full]++;
}

struct link_frame *aisys_link_frame_grow(struct aisys_link *link, struct link_frame *frame)
{
    struct link_frame *const full = aisys_link_frame_new(link, true);
    const uint32_t capacity = full ? full->capacity : 0;

    if (!full)
        return NULL;
    *full = *frame;
    full->capacity = capacity;
    memcpy(full->data + HEADER, frame->data + HEADER, frame->used - HEADER);
    frame->ended = NULL;
    aisys_link_frame_free(link, frame);
    return full;
}

bool aisys_link_expired(const struct aisys_envelope *envelope, uint64_t waited_ms)
{
    return envelope->deadline_ms != 0 && envelope->deadline_ms <= waited_ms &&
           (envelope->kind == AISYS_ENVELOPE_ASK || envelope->kind == AISYS_ENVELOPE_CALL);
}

void aisys_link_frame_age(
    struct aisys_link *link, struct link_queue *queue, struct link_frame *frame, uint64_t now_ms)
{
    const uint64_t waited_ms = now_ms > frame->base_ms ? now_ms - frame->base_ms : 0;
    struct aisys_wire_reader reader = { .frame = frame->data,
        .at = frame->data + HEADER,
        .end = frame->data + frame->settled,
        .from = link->config.node,
        .to = link_peer_id(link) };
    const unsigned char *at = reader.at;
    unsigned char *kept = frame->data + HEADER;
    struct aisys_wire_record record;
    struct aisys_wire_fault fault;
    uint32_t gone;

    frame->base_ms = now_ms;
    if (waited_ms == 0 || !frame->timed || frame->settled == HEADER)
        return;
    for (; aisys_wire_next(&reader, &record, &fault) == 1; at = reader.at) {
        const size_t bytes = (size_t)(reader.at - at);

        if (aisys_link_expired(&record.envelope, waited_ms)) {
            aisys_link_lose(link, &record.envelope, AISYS_LINK_LOST_DEADLINE);
            frame->count--;
            frame->messages--;
            frame->charge -= bytes;
            queue->packed++;
            continue;
        }
        memmove(kept, at, bytes);
        kept += bytes;
    }
    AISYS_CHECK(at == reader.end);
    gone = (uint32_t)(at - kept);
    memmove(kept, at, frame->used - frame->settled);
    frame->used -= gone;
    frame->settled -= gone;
    aisys_wire_rebase(frame->data + HEADER, frame->settled - HEADER, waited_ms);
}

void aisys_link_frames_deinit(struct aisys_link *link)
{
    for (unsigned full = 0; full < 2; full++) {
        while (link->spare[full]) {
            struct link_frame *const frame = link->spare[full];

            link->spare[full] = frame->next;
            link_release(link, frame);
        }
    }
}
