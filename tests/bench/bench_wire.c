/* The wire format and a link: 64-byte envelopes in one process, one thread. */
#include "bench.h"
#include "core/crc32c.h"
#include "core/link.h"
#include "core/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAYLOAD_BYTES 64u
#define ENVELOPES     2000000u
#define TURN          1000u /* sent in one turn of the loop */

static const uint64_t self = (uint64_t)1 << 32 | 7;
static unsigned char payload[PAYLOAD_BYTES];
static uint64_t seen; /* what was read, so that reading cannot be left out */

static struct aisys_envelope envelope_of(uint64_t i)
{
    return (struct aisys_envelope){ .from = { self, (uint32_t)i, 1 },
        .to = { self, 3, 1 },
        .correlation = i,
        .type = 5,
        .deadline_ms = 5000,
        .kind = AISYS_ENVELOPE_ASK,
        .payload = { payload, PAYLOAD_BYTES } };
}

/* ---- The format alone: written, sealed, checked, read --------------------------------------- */

static void codec_read(const unsigned char *frame, size_t bytes)
{
    struct aisys_wire_reader reader;
    struct aisys_wire_record record;
    struct aisys_wire_frame header;
    struct aisys_wire_fault fault;

    if (aisys_wire_open(frame, bytes, &header, &fault) < 0)
        abort();
    aisys_wire_reader_init(&reader, frame, &header);
    while (aisys_wire_next(&reader, &record, &fault) == 1)
        seen += record.envelope.correlation +
                ((const unsigned char *)record.envelope.payload.data)[PAYLOAD_BYTES - 1];
}

static void codec_run(void)
{
    static unsigned char frame[AISYS_WIRE_FRAME_BYTES_MAX];
    uint64_t i = 0;

    while (i < ENVELOPES) {
        struct aisys_wire_frame header = {
            .from = self, .to = self, .sequence = i + 1, .window = 64
        };
        size_t at = AISYS_WIRE_FRAME_HEADER_BYTES;

        for (; at + AISYS_WIRE_ENVELOPE_BYTES + PAYLOAD_BYTES <= sizeof(frame); i++) {
            const struct aisys_envelope e = envelope_of(i);

            at += aisys_wire_put_envelope(frame + at, &e);
            header.count++;
        }
        header.bytes = (uint32_t)at;
        aisys_wire_seal(frame, &header);
        codec_read(frame, at);
    }
}

/* ---- A link to oneself over a carrier that copies ------------------------------------------- */

static struct {
    unsigned char data[AISYS_WIRE_FRAME_BYTES_MAX];
    size_t bytes;
} ring[64];
static unsigned ring_head, ring_nr;

static int on_carrier(void *ctx, const void *frame, size_t bytes)
{
    const unsigned at = (ring_head + ring_nr) % 64;

    (void)ctx;
    if (ring_nr == 64)
        return AISYS_LINK_BUSY;
    memcpy(ring[at].data, frame, bytes);
    ring[at].bytes = bytes;
    ring_nr++;
    return 0;
}

static void on_deliver(void *ctx, const struct aisys_envelope *e)
{
    (void)ctx;
    seen += e->correlation + ((const unsigned char *)e->payload.data)[PAYLOAD_BYTES - 1];
}

static void on_lost(void *ctx, const struct aisys_envelope *e, enum aisys_link_loss why)
{
    (void)ctx;
    (void)e;
    (void)why;
    abort();
}

static void link_run(void)
{
    static const struct aisys_link_ops ops = { on_carrier, on_deliver, on_lost, NULL };
    const struct aisys_link_config config = { .node = self, .peer = 1, .peer_incarnation = 7 };
    struct aisys_link *link;
    uint64_t now_ms = 1;
    uint64_t i = 0;

    if (aisys_link_new(&config, &ops, NULL, &link) < 0)
        abort();
    while (i < ENVELOPES) {
        for (unsigned n = 0; n < TURN; n++, i++) {
            const struct aisys_envelope e = envelope_of(i);

            if (aisys_link_send(link, &e) != 0)
                abort();
        }
        aisys_link_flush(link, now_ms);
        for (; ring_nr > 0; ring_nr--, ring_head = (ring_head + 1) % 64)
            if (aisys_link_frame(link, ring[ring_head].data, ring[ring_head].bytes, now_ms) < 0)
                abort();
        now_ms += i % (16 * TURN) == 0;
    }
    if (aisys_link_accounts(link)->delivered != ENVELOPES)
        abort();
    for (aisys_link_flush(link, now_ms + 1000); ring_nr > 0;
         ring_nr--, ring_head = (ring_head + 1) % 64)
        aisys_link_frame(link, ring[ring_head].data, ring[ring_head].bytes, now_ms + 1000);
    aisys_link_free(link);
}

/* ---- The checksum --------------------------------------------------------------------------- */

static void crc_run(void)
{
    for (unsigned i = 0; i < ENVELOPES / 1000; i++)
        seen += aisys_crc32c(i, ring[0].data, sizeof(ring[0].data));
}

/* ---- The figures ---------------------------------------------------------------------------- */

/* @work a second. There is no barer code to hold it against. */
static int measure(double work, void (*run)(void), double *ret_figure, double *ret_limit)
{
    const double start = bench_seconds();

    run();
    *ret_figure = work / (bench_seconds() - start);
    *ret_limit = 0;
    return seen == 0 ? -EPROTO : 0;
}

static int measure_codec(double *ret_figure, double *ret_limit)
{
    return measure(ENVELOPES, codec_run, ret_figure, ret_limit);
}

static int measure_link(double *ret_figure, double *ret_limit)
{
    return measure(ENVELOPES, link_run, ret_figure, ret_limit);
}

static int measure_crc(double *ret_figure, double *ret_limit)
{
    return measure(
        (double)(ENVELOPES / 1000) * sizeof(ring[0].data), crc_run, ret_figure, ret_limit);
}

const struct bench bench_wire_group[] = {
    { "wire_codec_64", "envelopes/s", measure_codec, 9 },
    { "link_self_64", "envelopes/s", measure_link, 9 },
    { "crc32c", "bytes/s", measure_crc, 9 },
    { 0 },
};
