/* How many 64-byte envelopes a second the wire format and a link carry, in one process, one thread.
 *
 *     bench_wire [RUNS]     one JSON object per line: name, unit, median, min, max, runs */
#include "core/crc32c.h"
#include "core/link.h"
#include "core/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAYLOAD_BYTES 64u
#define ENVELOPES     2000000u
#define TURN          1000u /* sent in one turn of the loop */
#define RUNS_MAX      101

static const uint64_t self = (uint64_t)1 << 32 | 7;
static unsigned char payload[PAYLOAD_BYTES];
static uint64_t seen; /* what was read, so that reading cannot be left out */

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

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

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;

    return (x > y) - (x < y);
}

static void measure(
    const char *name, const char *unit, double work, unsigned runs, void (*run)(void))
{
    double rates[RUNS_MAX];

    run(); /* warm */
    for (unsigned i = 0; i < runs; i++) {
        const double from_s = now_s();

        run();
        rates[i] = work / (now_s() - from_s);
    }
    qsort(rates, runs, sizeof(rates[0]), compare);
    printf(
        "{\"name\":\"%s\",\"unit\":\"%s\",\"median\":%.3g,\"min\":%.3g,\"max\":%.3g,\"runs\":%u}\n",
        name, unit, rates[runs / 2], rates[0], rates[runs - 1], runs);
}

int main(int argc, char **argv)
{
    const int asked = argc > 1 ? atoi(argv[1]) : 9;
    const unsigned runs = asked < 1 ? 1 : asked > RUNS_MAX ? RUNS_MAX : (unsigned)asked;

    measure("wire_codec_64", "envelopes/s", ENVELOPES, runs, codec_run);
    measure("link_self_64", "envelopes/s", ENVELOPES, runs, link_run);
    measure("crc32c", "bytes/s", ENVELOPES / 1000 * (double)sizeof(ring[0].data), runs, crc_run);
    return seen == 0;
}
