#include "core/wire.h"

#include "core/crc32c.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../fuzz/fuzz_wire.c"

#define A ((uint64_t)0xaaaa << 32 | 7)
#define B ((uint64_t)0xbbbb << 32 | 9)

#define NR(table) (sizeof(table) / sizeof((table)[0]))

static unsigned char frame[AISYS_WIRE_FRAME_BYTES_MAX + 64];
static char payload[70000];

static struct aisys_wire_frame header_of(size_t bytes, unsigned count, uint64_t sequence)
{
    return (struct aisys_wire_frame){ .from = A,
        .to = B,
        .sequence = sequence,
        .ack = 5,
        .bytes = (uint32_t)bytes,
        .count = (uint16_t)count,
        .window = 64 };
}

static struct aisys_envelope envelope_of(size_t payload_bytes)
{
    return (struct aisys_envelope){ .from = { A, 1, 2 },
        .to = { B, 3, 4 },
        .correlation = 0xfedcba987654u,
        .type = 0x89abcdef,
        .deadline_ms = 600000,
        .kind = AISYS_ENVELOPE_END,
        .priority = AISYS_LOW,
        .payload = { payload, payload_bytes } };
}

/* Two envelopes, the second traced, and a first piece. */
static size_t sample(void)
{
    struct aisys_envelope e = envelope_of(5);
    size_t at = AISYS_WIRE_FRAME_HEADER_BYTES;
    struct aisys_wire_frame header;

    at += aisys_wire_put_envelope(frame + at, &e);
    e.traced = true;
    memset(&e.trace, 0x5a, sizeof(e.trace));
    e.from = (struct aisys_id){ 0 };
    e.kind = AISYS_ENVELOPE_TELL;
    e.priority = AISYS_NORMAL;
    e.deadline_ms = 0;
    e.payload = AISYS_NO_BYTES;
    at += aisys_wire_put_envelope(frame + at, &e);
    e = envelope_of(0x4e8);
    at += aisys_wire_put_first(frame + at, &e, 3, 1000);
    header = header_of(at, 3, 1);
    aisys_wire_seal(frame, &header);
    return at;
}

static void test_what_is_written_is_read(void **state)
{
    const size_t bytes = sample();
    struct aisys_wire_frame header;
    struct aisys_wire_reader reader;
    struct aisys_wire_record r;
    struct aisys_wire_fault fault;

    (void)state;
    assert_int_equal(aisys_wire_open(frame, bytes, &header, &fault), 0);
    assert_true(header.from == A && header.to == B);
    assert_int_equal(header.sequence, 1);
    assert_int_equal(header.ack, 5);
    assert_int_equal(header.window, 64);
    aisys_wire_reader_init(&reader, frame, &header);

    assert_int_equal(aisys_wire_next(&reader, &r, &fault), 1);
    assert_int_equal(r.kind, AISYS_WIRE_ENVELOPE);
    assert_true(aisys_id_equal(r.envelope.from, (struct aisys_id){ A, 1, 2 }));
    assert_true(aisys_id_equal(r.envelope.to, (struct aisys_id){ B, 3, 4 }));
    assert_int_equal(r.envelope.correlation, 0xfedcba987654u);
    assert_int_equal(r.envelope.type, 0x89abcdef);
    assert_int_equal(r.envelope.deadline_ms, 600000);
    assert_int_equal(r.envelope.kind, AISYS_ENVELOPE_END);
    assert_int_equal(r.envelope.priority, AISYS_LOW);
    assert_false(r.envelope.traced);
    assert_int_equal(r.envelope.payload.len, 5);
    assert_memory_equal(r.envelope.payload.data, payload, 5);

    assert_int_equal(aisys_wire_next(&reader, &r, &fault), 1);
    assert_true(aisys_id_is_none(r.envelope.from));
    assert_int_equal(r.envelope.from.node, 0);
    assert_true(r.envelope.traced);
    assert_int_equal(r.envelope.trace.span_id[7], 0x5a);
    assert_int_equal(r.envelope.payload.len, 0);

    assert_int_equal(aisys_wire_next(&reader, &r, &fault), 1);
    assert_int_equal(r.kind, AISYS_WIRE_FIRST);
    assert_int_equal(r.stream, 3);
    assert_int_equal(r.total_bytes, 0x4e8);
    assert_int_equal(r.envelope.payload.len, 1000);
    assert_int_equal(aisys_wire_next(&reader, &r, &fault), 0);
}

static void test_controls_and_pieces(void **state)
{
    struct aisys_wire_hello hello = { .challenge = 11,
        .echo = 12,
        .message_bytes_max = 1 << 26,
        .streams_max = 8,
        .version_min = 1,
        .version_max = 3,
        .flags = AISYS_WIRE_HELLO_WANTED,
        .content = { "names", 5 } };
    size_t at = AISYS_WIRE_FRAME_HEADER_BYTES;
    struct aisys_wire_frame header;
    struct aisys_wire_reader reader;
    struct aisys_wire_record r;
    struct aisys_wire_fault fault;

    (void)state;
    at += aisys_wire_put_hello(frame + at, &hello);
    at += aisys_wire_put_refused(frame + at, AISYS_WIRE_BAD_PIECE, 77);
    header = header_of(at, 2, 0);
    header.flags = AISYS_WIRE_GAP;
    header.to = (uint64_t)0xbbbb << 32;
    aisys_wire_seal(frame, &header);
    assert_int_equal(aisys_wire_open(frame, at, &header, &fault), 0);
    assert_int_equal(header.flags, AISYS_WIRE_GAP);
    aisys_wire_reader_init(&reader, frame, &header);
    assert_int_equal(aisys_wire_next(&reader, &r, &fault), 1);
    assert_int_equal(r.hello.challenge, 11);
    assert_int_equal(r.hello.echo, 12);
    assert_int_equal(r.hello.message_bytes_max, 1 << 26);
    assert_int_equal(r.hello.streams_max, 8);
    assert_int_equal(r.hello.version_max, 3);
    assert_int_equal(r.hello.content.len, 5);
    assert_memory_equal(r.hello.content.data, "names", 5);
    assert_int_equal(aisys_wire_next(&reader, &r, &fault), 1);
    assert_int_equal(r.why, AISYS_WIRE_BAD_PIECE);
    assert_int_equal(r.sequence, 77);

    at = AISYS_WIRE_FRAME_HEADER_BYTES;
    at += aisys_wire_put_piece(frame + at, 3, 1000, (struct aisys_bytes){ payload, 65000 });
    header = header_of(at, 1, 2);
    aisys_wire_seal(frame, &header);
    assert_int_equal(aisys_wire_open(frame, at, &header, &fault), 0);
    aisys_wire_reader_init(&reader, frame, &header);
    assert_int_equal(aisys_wire_next(&reader, &r, &fault), 1);
    assert_int_equal(r.piece_offset, 1000);
    assert_int_equal(r.stream, 3);
    assert_int_equal(r.envelope.payload.len, 65000);
}

static void test_deadlines_are_rebased(void **state)
{
    static const struct row {
        uint32_t deadline_ms;
        uint64_t waited_ms;
        uint32_t left_ms;
    } rows[] = { { 0, 100, 0 }, { 5000, 100, 4900 }, { 600000, 0, 600000 }, { 100, 100, 1 },
        { 100, UINT64_MAX, 1 } };
    struct aisys_wire_reader reader = { .frame = frame };
    struct aisys_wire_record r;
    struct aisys_wire_fault fault;

    (void)state;
    for (size_t i = 0; i < NR(rows); i++) {
        struct aisys_envelope e = envelope_of(9);
        size_t bytes;

        e.deadline_ms = rows[i].deadline_ms;
        bytes = aisys_wire_put_envelope(frame, &e);
        aisys_wire_rebase(frame, bytes, rows[i].waited_ms);
        reader.at = frame;
        reader.end = frame + bytes;
        assert_int_equal(aisys_wire_next(&reader, &r, &fault), 1);
        assert_int_equal(r.envelope.deadline_ms, rows[i].left_ms);
        assert_int_equal(r.envelope.kind, e.kind);
        assert_int_equal(r.envelope.priority, e.priority);
    }
}

/* ---- Bad frames ------------------------------------------------------------------------------- */

enum { HEAD = AISYS_WIRE_FRAME_HEADER_BYTES };

static const struct bad {
    const char *name;
    size_t at;     /* of the byte changed in sample() */
    int byte;      /* its new value; -1: none */
    int cut;       /* bytes taken off the end; negative: added */
    bool unsealed; /* leave size and checksum as they were */
    enum aisys_wire_error error;
    uint32_t offset;
} bad_frames[] = {
    { "another magic", 0, 'X', 0, true, AISYS_WIRE_NOT_A_FRAME, 0 },
    { "version 0", 4, 0, 0, false, AISYS_WIRE_BAD_VERSION, 4 },
    { "version 2", 4, 2, 0, false, AISYS_WIRE_BAD_VERSION, 4 },
    { "half a frame", 0, -1, 100, true, AISYS_WIRE_BAD_BYTES, 8 },
    { "a byte more", 0, -1, -1, true, AISYS_WIRE_BAD_BYTES, 8 },
    { "announces 4 GiB", 11, 0xff, 0, true, AISYS_WIRE_BAD_BYTES, 8 },
    { "a bit flipped in a payload", HEAD + 33, 0x77, 0, true, AISYS_WIRE_BAD_CRC, 12 },
    { "a bit flipped in the header", 33, 0x77, 0, true, AISYS_WIRE_BAD_CRC, 12 },
    { "unknown frame flag", 5, 2, 0, false, AISYS_WIRE_BAD_HEADER, 5 },
    { "sender without incarnation", 20, 0, 0, false, AISYS_WIRE_BAD_HEADER, 20 },
    { "numbered, receiver unknown", 28, 0, 0, false, AISYS_WIRE_BAD_HEADER, 28 },
    { "no window", 48, 0, 0, false, AISYS_WIRE_BAD_HEADER, 48 },
    { "reserved byte", 55, 1, 0, false, AISYS_WIRE_BAD_HEADER, 50 },
    { "unnumbered with messages", 32, 0, 0, false, AISYS_WIRE_BAD_KIND, HEAD },
    { "a record fewer", 6, 4, 0, false, AISYS_WIRE_BAD_COUNT, 6 },
    { "a record more", 6, 2, 0, false, AISYS_WIRE_BAD_COUNT, 6 },
    { "no records", 6, 0, 0, false, AISYS_WIRE_BAD_COUNT, 6 },
    { "record kind 0", HEAD, 0, 0, false, AISYS_WIRE_BAD_KIND, HEAD },
    { "record kind 7", HEAD, 7, 0, false, AISYS_WIRE_BAD_KIND, HEAD },
    { "unknown record flag", HEAD, 0x21, 0, false, AISYS_WIRE_BAD_KIND, HEAD },
    { "a control among messages", HEAD, 9, 0, false, AISYS_WIRE_BAD_KIND, HEAD },
    { "deadline too long", HEAD + 3, 0xbf, 0, false, AISYS_WIRE_BAD_RECORD, HEAD + 1 },
    { "priority 3", HEAD + 3, 0xf0, 0, false, AISYS_WIRE_BAD_RECORD, HEAD + 1 },
    { "to nobody", HEAD + 28, 0, 0, false, AISYS_WIRE_BAD_RECORD, HEAD + 28 },
    { "payload behind the end", HEAD + 5, 0xff, 0, false, AISYS_WIRE_BAD_LENGTH, HEAD },
    { "cut in a record", 0, -1, 1000, false, AISYS_WIRE_BAD_LENGTH, HEAD + 37 + 56 },
    { "cut in a fixed part", 0, -1, 1030, false, AISYS_WIRE_BAD_LENGTH, HEAD + 37 + 56 },
    { "first piece is all", HEAD + 37 + 56 + 33, 3, 0, false, AISYS_WIRE_BAD_RECORD,
        HEAD + 37 + 56 + 32 },
    { "a first piece of nothing", HEAD + 37, 0x12, 0, false, AISYS_WIRE_BAD_RECORD, HEAD + 37 + 4 },
};

static void put32_at(size_t at, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        frame[at + i] = (unsigned char)(v >> (8 * i));
}

static void test_bad_frames(void **state)
{
    (void)state;
    for (size_t i = 0; i < NR(bad_frames); i++) {
        const struct bad *const row = &bad_frames[i];
        const size_t bytes = (size_t)((int)sample() - row->cut);
        struct aisys_wire_frame header;
        struct aisys_wire_fault fault = { AISYS_WIRE_OK, 0, 0 };
        char words[160];
        int r;

        if (row->byte >= 0)
            frame[row->at] = (unsigned char)row->byte;
        if (!row->unsealed) {
            put32_at(8, (uint32_t)bytes);
            put32_at(12, 0);
            put32_at(12, aisys_crc32c(0, frame, bytes));
        }
        r = aisys_wire_open(frame, bytes, &header, &fault);
        if (fault.error != row->error || fault.offset != row->offset)
            fail_msg("%s: error %d at %u, expected %d at %u", row->name, (int)fault.error,
                fault.offset, (int)row->error, row->offset);
        assert_int_equal(r, row->error == AISYS_WIRE_BAD_VERSION ? -EPROTONOSUPPORT : -EBADMSG);
        aisys_wire_fault_print(&fault, words, sizeof(words));
        assert_true(strlen(words) > 10);
    }
}

static void test_every_cut_is_refused(void **state)
{
    const size_t bytes = sample();
    struct aisys_wire_frame header;
    struct aisys_wire_fault fault;

    (void)state;
    for (size_t n = 0; n < bytes; n++) {
        unsigned char *const exact = malloc(n ? n : 1); /* overruns show under a sanitizer */

        assert_non_null(exact);
        memcpy(exact, frame, n);
        assert_int_equal(aisys_wire_open(exact, n, &header, &fault), -EBADMSG);
        free(exact);
    }
}

/* The corpus: the sample, the bad frames, and the sample with every byte changed in turn. */
static void test_fuzz_corpus(void **state)
{
    const size_t bytes = sample();
    unsigned char *const seed = malloc(bytes);
    uint32_t random = 1;

    (void)state;
    assert_non_null(seed);
    memcpy(seed, frame, bytes);
    for (size_t at = 0; at < 200; at++) {
        static const unsigned char values[] = { 0, 1, 2, 3, 8, 9, 0x11, 0x12, 0x7f, 0x80, 0xff };

        for (size_t v = 0; v < sizeof(values); v++) {
            const unsigned char was = seed[at];

            seed[at] = values[v];
            LLVMFuzzerTestOneInput(seed, bytes);
            seed[at] = was;
        }
    }
    for (unsigned n = 0; n < 20000; n++) {
        unsigned char few[200];
        size_t len;

        memcpy(few, seed, sizeof(few));
        for (unsigned k = 0; k < 4; k++) {
            random = random * 1664525 + 1013904223;
            few[(random >> 8) % sizeof(few)] = (unsigned char)(random >> 20);
        }
        len = random % (sizeof(few) + 1);
        LLVMFuzzerTestOneInput(few, len);
    }
    free(seed);
}

/* ---- proto/WIRE.md ---------------------------------------------------------------------------- */

static const struct field {
    const char *section, *name;
    unsigned at, bytes;
} fields[] = {
#define ROW(section, name, at, bytes) { section, #name, at, bytes },
#define FRAME(name, at, bytes)        ROW("Frame", name, at, bytes)
#define ENVELOPE(name, at, bytes)     ROW("Envelope", name, at, bytes)
#define TRACE(name, at, bytes)        ROW("Trace", name, at, bytes)
#define FIRST(name, at, bytes)        ROW("First piece", name, at, bytes)
#define PIECE(name, at, bytes)        ROW("Piece", name, at, bytes)
#define HELLO(name, at, bytes)        ROW("HELLO", name, at, bytes)
#define REFUSED(name, at, bytes)      ROW("REFUSED", name, at, bytes)
    AISYS_WIRE_FRAME_FIELDS(FRAME) AISYS_WIRE_ENVELOPE_FIELDS(ENVELOPE)
        AISYS_WIRE_TRACE_FIELDS(TRACE) AISYS_WIRE_FIRST_FIELDS(FIRST) AISYS_WIRE_PIECE_FIELDS(PIECE)
            AISYS_WIRE_HELLO_FIELDS(HELLO) AISYS_WIRE_REFUSED_FIELDS(REFUSED)
};

static void test_the_page_says_what_the_header_says(void **state)
{
    FILE *const page = fopen(WIRE_MD, "r");
    char section[64] = "";
    char line[1024];
    char name[64];
    unsigned at, bytes;
    size_t n = 0;

    (void)state;
    if (!page)
        fail_msg("%s: %s", WIRE_MD, strerror(errno));
    while (fgets(line, sizeof(line), page)) {
        if (sscanf(line, "## %63[^\n]", section) == 1)
            continue;
        if (sscanf(line, "| %u | %u | %63[a-z0-9_] |", &at, &bytes, name) != 3)
            continue;
        assert_true(n < NR(fields));
        if (strcmp(fields[n].section, section) != 0 || strcmp(fields[n].name, name) != 0 ||
            fields[n].at != at || fields[n].bytes != bytes)
            fail_msg("page: %s.%s at %u, %u bytes; header: %s.%s at %u, %u bytes", section, name,
                at, bytes, fields[n].section, fields[n].name, fields[n].at, fields[n].bytes);
        n++;
    }
    fclose(page);
    assert_int_equal(n, NR(fields));
}

/* Each table has no holes, and ends where its size says. */
static void test_layouts_are_dense(void **state)
{
    static const struct row {
        const char *section;
        unsigned bytes;
    } rows[] = { { "Frame", AISYS_WIRE_FRAME_HEADER_BYTES },
        { "Envelope", AISYS_WIRE_ENVELOPE_BYTES }, { "Trace", AISYS_WIRE_TRACE_BYTES },
        { "First piece", AISYS_WIRE_FIRST_BYTES }, { "Piece", AISYS_WIRE_PIECE_BYTES },
        { "HELLO", AISYS_WIRE_HELLO_BYTES }, { "REFUSED", AISYS_WIRE_REFUSED_BYTES } };

    (void)state;
    for (size_t i = 0; i < NR(rows); i++) {
        unsigned end = 0;

        for (size_t f = 0; f < NR(fields); f++) {
            if (strcmp(fields[f].section, rows[i].section) != 0)
                continue;
            assert_int_equal(fields[f].at, end);
            end += fields[f].bytes;
        }
        assert_int_equal(end, rows[i].bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_controls_and_pieces),
        cmocka_unit_test(test_deadlines_are_rebased),
        cmocka_unit_test(test_bad_frames),
        cmocka_unit_test(test_every_cut_is_refused),
        cmocka_unit_test(test_fuzz_corpus),
        cmocka_unit_test(test_the_page_says_what_the_header_says),
        cmocka_unit_test(test_layouts_are_dense),
    };

    for (size_t i = 0; i < sizeof(payload); i++)
        payload[i] = (char)(i * 7);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
