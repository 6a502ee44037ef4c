/* Fuzz target: a link whose peer says anything, in frames that are well formed outside. No input may trip
 * a check, and the accounts add up. The input is a list of steps. */
#include "core/link.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define NODE ((uint64_t)1 << 32 | 7)
#define PEER ((uint64_t)2 << 32 | 9)

struct fuzz {
    const uint8_t *at;
    size_t left;
    uint64_t offered, heard, lost;
    bool busy;
};

static uint8_t take(struct fuzz *f)
{
    if (f->left == 0)
        return 0;
    f->left--;
    return *f->at++;
}

static int on_fuzz_carrier(void *ctx, const void *frame, size_t bytes)
{
    const struct fuzz *const f = ctx;
    struct aisys_wire_frame header;
    struct aisys_wire_fault fault;

    AISYS_CHECK(aisys_wire_open(frame, bytes, &header, &fault) == 0);
    return f->busy ? AISYS_LINK_BUSY : 0;
}

static void on_fuzz_deliver(void *ctx, const struct aisys_envelope *e)
{
    struct fuzz *const f = ctx;
    const unsigned char *const at = e->payload.data;

    f->heard++;
    if (e->payload.len > 0) /* both ends may be read */
        f->heard += (unsigned)(at[0] + at[e->payload.len - 1]) & 0;
}

static void on_fuzz_lost(void *ctx, const struct aisys_envelope *e, enum aisys_link_loss why)
{
    struct fuzz *const f = ctx;

    (void)e;
    (void)why;
    f->lost++;
}

static size_t fuzz_record(struct fuzz *f, unsigned char *at)
{
    static const char payload[60000];
    const struct aisys_envelope e = {
        .to = { PEER, take(f), 1 }, .deadline_ms = take(f), .payload = { payload, 1000u + take(f) }
    };
    const struct aisys_wire_hello hello = { .challenge = 1u + take(f) % 4,
        .echo = take(f) % 8,
        .message_bytes_max = 256u * take(f),
        .streams_max = (uint16_t)(1 + take(f) % 4),
        .version_min = 1,
        .version_max = 1,
        .flags = take(f) & AISYS_WIRE_HELLO_WANTED };

    switch (take(f) % 5) {
    case 0:
        return aisys_wire_put_envelope(at, &e);
    case 1:
        return aisys_wire_put_first(at, &e, take(f) % 4, (uint16_t)(1 + take(f)));
    case 2:
        return aisys_wire_put_piece(at, take(f) % 4, take(f), AISYS_BYTES(payload, 1u + take(f)));
    case 3:
        return aisys_wire_put_hello(at, &hello);
    default:
        return aisys_wire_put_refused(at, AISYS_WIRE_BAD_PIECE, take(f) % 8);
    }
}

static void fuzz_frame(struct fuzz *f, struct aisys_link *link, uint64_t now_ms)
{
    unsigned char *const frame = calloc(1, AISYS_WIRE_FRAME_BYTES_MAX);
    struct aisys_wire_frame header = { .from = PEER + take(f) % 3 % 2,
        .to = take(f) % 4 ? NODE : NODE + 1,
        .sequence = take(f) % 8,
        .ack = take(f) % 8,
        .window = (uint16_t)(1 + take(f) % 4),
        .flags = take(f) & AISYS_WIRE_GAP };
    size_t at = AISYS_WIRE_FRAME_HEADER_BYTES;

    if (!frame)
        return;
    for (header.count = 0; header.count < take(f) % 4; header.count++)
        at += fuzz_record(f, frame + at);
    header.bytes = (uint32_t)at;
    aisys_wire_seal(frame, &header);
    aisys_link_frame(link, frame, at, now_ms);
    free(frame);
}

static void fuzz_send(struct fuzz *f, struct aisys_link *link)
{
    static const char payload[60000];
    const uint32_t bytes = take(f);
    const struct aisys_envelope e = { .from = { NODE, 1, 1 },
        .to = { aisys_link_peer(link), take(f) % 3, 1 },
        .deadline_ms = take(f),
        .kind = take(f) % 4,
        .priority = take(f) % 3,
        .payload = { payload, bytes > 200 ? bytes * 200 : bytes } };

    f->offered += aisys_link_send(link, &e) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct aisys_link_ops ops = { on_fuzz_carrier, on_fuzz_deliver, on_fuzz_lost,
        NULL };
    struct fuzz f = { .at = data, .left = bytes };
    const struct aisys_link_config config = { .node = NODE,
        .peer = PEER >> 32,
        .peer_incarnation = take(&f) % 2 ? (uint32_t)PEER : 0,
        .message_bytes_max = 60000,
        .streams_max = 3,
        .window_frames = 4 };
    const struct aisys_link_accounts *a;
    struct aisys_link *link;
    uint64_t now_ms = 1;

    if (aisys_link_new(&config, &ops, &f, &link) < 0)
        return 0;
    a = aisys_link_accounts(link);
    while (f.left > 0) {
        const uint8_t step = take(&f);

        now_ms += step >> 4;
        f.busy = step % 16 == 15;
        if (step % 4 == 0)
            fuzz_send(&f, link);
        else if (step % 4 == 1)
            aisys_link_flush(link, now_ms);
        else if (step % 4 == 2)
            fuzz_frame(&f, link, now_ms);
        else if (step & 64)
            aisys_link_writable(link, now_ms);
        else
            aisys_link_reconnected(link, now_ms);
        AISYS_CHECK(a->accepted == a->acknowledged + a->in_flight + a->dead);
        AISYS_CHECK(a->accepted == f.offered && a->dead == f.lost);
    }
    aisys_link_close(link);
    AISYS_CHECK(a->in_flight == 0 && a->dead == f.lost);
    aisys_link_free(link);
    return 0;
}
