#include "wire.h"

#include "crc32c.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Where each field is: FRAME_magic_AT, ENVELOPE_type_AT, ... */
#define AT_FRAME(name, at, bytes)    FRAME_##name##_AT = (at),
#define AT_ENVELOPE(name, at, bytes) ENVELOPE_##name##_AT = (at),
#define AT_FIRST(name, at, bytes)    FIRST_##name##_AT = (at),
#define AT_PIECE(name, at, bytes)    PIECE_##name##_AT = (at),
#define AT_HELLO(name, at, bytes)    HELLO_##name##_AT = (at),
#define AT_REFUSED(name, at, bytes)  REFUSED_##name##_AT = (at),
enum wire_at {
    AISYS_WIRE_FRAME_FIELDS(AT_FRAME) AISYS_WIRE_ENVELOPE_FIELDS(AT_ENVELOPE)
        AISYS_WIRE_FIRST_FIELDS(AT_FIRST) AISYS_WIRE_PIECE_FIELDS(AT_PIECE)
            AISYS_WIRE_HELLO_FIELDS(AT_HELLO) AISYS_WIRE_REFUSED_FIELDS(AT_REFUSED)
};
#undef AT_FRAME
#undef AT_ENVELOPE
#undef AT_FIRST
#undef AT_PIECE
#undef AT_HELLO
#undef AT_REFUSED

#define RECORD_KIND_MASK 0x0fu

/* The three bytes `deadline`: milliseconds, then the message's kind, then its priority. */
#define DEADLINE_MASK  0xfffffu
#define KIND_SHIFT     20
#define PRIORITY_SHIFT 22

static_assert(sizeof(struct aisys_trace) == AISYS_WIRE_TRACE_BYTES, "copied as it is");
static_assert(AISYS_WIRE_DEADLINE_MS_MAX <= DEADLINE_MASK, "20 bits");

/* Little endian whatever the machine; compilers make one load or store of each. */

static inline uint16_t get16(const unsigned char *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static inline uint32_t get32(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline uint64_t get64(const unsigned char *at)
{
    return get32(at) | (uint64_t)get32(at + 4) << 32;
}

static inline void put16(unsigned char *at, uint16_t v)
{
    at[0] = (unsigned char)v;
    at[1] = (unsigned char)(v >> 8);
}

static inline void put32(unsigned char *at, uint32_t v)
{
    at[0] = (unsigned char)v;
    at[1] = (unsigned char)(v >> 8);
    at[2] = (unsigned char)(v >> 16);
    at[3] = (unsigned char)(v >> 24);
}

static inline void put64(unsigned char *at, uint64_t v)
{
    put32(at, (uint32_t)v);
    put32(at + 4, (uint32_t)(v >> 32));
}

/* ---- Writing -------------------------------------------------------------------------------- */

/* The fixed part and the trace; @payload_bytes is what this record carries. */
static inline size_t wire_put_head(unsigned char *at, unsigned record,
    const struct aisys_envelope *envelope, uint16_t payload_bytes)
{
    const uint32_t times = envelope->deadline_ms | (uint32_t)envelope->kind << KIND_SHIFT |
                           (uint32_t)envelope->priority << PRIORITY_SHIFT;

    AISYS_CHECK(envelope->deadline_ms <= AISYS_WIRE_DEADLINE_MS_MAX);
    AISYS_CHECK(envelope->correlation >> AISYS_WIRE_CORRELATION_BITS == 0);
    AISYS_CHECK(envelope->kind <= AISYS_ENVELOPE_END);
    AISYS_CHECK(envelope->priority <= AISYS_LOW);

    record |= envelope->traced ? AISYS_WIRE_RECORD_TRACED : 0;
    put32(at + ENVELOPE_record_AT, record | times << 8);
    put64(at + ENVELOPE_payload_bytes_AT, payload_bytes | envelope->correlation << 16);
    put32(at + ENVELOPE_type_AT, envelope->type);
    put32(at + ENVELOPE_from_slot_AT, envelope->from.slot);
    put32(at + ENVELOPE_from_generation_AT, envelope->from.generation);
    put32(at + ENVELOPE_to_slot_AT, envelope->to.slot);
    put32(at + ENVELOPE_to_generation_AT, envelope->to.generation);
    if (!envelope->traced)
        return AISYS_WIRE_ENVELOPE_BYTES;
    memcpy(at + AISYS_WIRE_ENVELOPE_BYTES, &envelope->trace, AISYS_WIRE_TRACE_BYTES);
    return AISYS_WIRE_ENVELOPE_BYTES + AISYS_WIRE_TRACE_BYTES;
}

static inline void wire_copy(unsigned char *at, const void *from, size_t bytes)
{
    if (bytes > 0) /* an empty payload may have no address */
        memcpy(at, from, bytes);
}

size_t aisys_wire_put_envelope(unsigned char *at, const struct aisys_envelope *envelope)
{
    const size_t len = envelope->payload.len;
    size_t head;

    AISYS_CHECK(aisys_wire_envelope_bytes(envelope) <=
                AISYS_WIRE_FRAME_BYTES_MAX - AISYS_WIRE_FRAME_HEADER_BYTES);
    head = wire_put_head(at, AISYS_WIRE_ENVELOPE, envelope, (uint16_t)len);
    wire_copy(at + head, envelope->payload.data, len);
    return head + len;
}

size_t aisys_wire_put_first(unsigned char *at, const struct aisys_envelope *envelope,
    uint16_t stream, uint16_t payload_bytes)
{
    size_t head;

    AISYS_CHECK(payload_bytes < envelope->payload.len);
    AISYS_CHECK(envelope->payload.len <= UINT32_MAX);
    head = wire_put_head(at, AISYS_WIRE_FIRST, envelope, payload_bytes);
    put32(at + head + FIRST_total_bytes_AT, (uint32_t)envelope->payload.len);
    put16(at + head + FIRST_stream_AT, stream);
    put16(at + head + FIRST_reserved_AT, 0);
    head += AISYS_WIRE_FIRST_BYTES;
    wire_copy(at + head, envelope->payload.data, payload_bytes);
    return head + payload_bytes;
}

size_t aisys_wire_put_piece(
    unsigned char *at, uint16_t stream, uint32_t offset, struct aisys_bytes piece)
{
    AISYS_CHECK(piece.len <= UINT16_MAX);
    at[PIECE_record_AT] = AISYS_WIRE_PIECE;
    at[PIECE_reserved_AT] = 0;
    put16(at + PIECE_stream_AT, stream);
    put16(at + PIECE_payload_bytes_AT, (uint16_t)piece.len);
    put16(at + PIECE_reserved_2_AT, 0);
    put32(at + PIECE_offset_AT, offset);
    wire_copy(at + AISYS_WIRE_PIECE_BYTES, piece.data, piece.len);
    return AISYS_WIRE_PIECE_BYTES + piece.len;
}

size_t aisys_wire_put_hello(unsigned char *at, const struct aisys_wire_hello *hello)
{
    AISYS_CHECK(hello->content.len <= AISYS_WIRE_HELLO_CONTENT_BYTES_MAX);
    at[HELLO_record_AT] = AISYS_WIRE_HELLO;
    at[HELLO_version_min_AT] = hello->version_min;
    at[HELLO_version_max_AT] = hello->version_max;
    at[HELLO_flags_AT] = hello->flags;
    put32(at + HELLO_challenge_AT, hello->challenge);
    put32(at + HELLO_echo_AT, hello->echo);
    put32(at + HELLO_message_bytes_max_AT, hello->message_bytes_max);
    put16(at + HELLO_streams_max_AT, hello->streams_max);
    put16(at + HELLO_content_bytes_AT, (uint16_t)hello->content.len);
    wire_copy(at + AISYS_WIRE_HELLO_BYTES, hello->content.data, hello->content.len);
    return AISYS_WIRE_HELLO_BYTES + hello->content.len;
}

size_t aisys_wire_put_refused(unsigned char *at, enum aisys_wire_error why, uint64_t sequence)
{
    at[REFUSED_record_AT] = AISYS_WIRE_REFUSED;
    at[REFUSED_why_AT] = (unsigned char)why;
    put16(at + REFUSED_reserved_AT, 0);
    put64(at + REFUSED_sequence_AT, sequence);
    return AISYS_WIRE_REFUSED_BYTES;
}

void aisys_wire_seal(unsigned char *frame, const struct aisys_wire_frame *header)
{
    AISYS_CHECK(header->bytes >= AISYS_WIRE_FRAME_HEADER_BYTES);
    AISYS_CHECK(header->bytes <= AISYS_WIRE_FRAME_BYTES_MAX);
    put32(frame + FRAME_magic_AT, AISYS_WIRE_MAGIC);
    frame[FRAME_version_AT] = AISYS_WIRE_VERSION;
    frame[FRAME_flags_AT] = header->flags;
    put16(frame + FRAME_count_AT, header->count);
    put32(frame + FRAME_bytes_AT, header->bytes);
    put32(frame + FRAME_crc_AT, 0);
    put32(frame + FRAME_from_node_AT, (uint32_t)(header->from >> 32));
    put32(frame + FRAME_from_incarnation_AT, (uint32_t)header->from);
    put32(frame + FRAME_to_node_AT, (uint32_t)(header->to >> 32));
    put32(frame + FRAME_to_incarnation_AT, (uint32_t)header->to);
    put64(frame + FRAME_sequence_AT, header->sequence);
    put64(frame + FRAME_ack_AT, header->ack);
    put64(frame + FRAME_window_AT, header->window); /* and the reserved bytes */
    put32(frame + FRAME_crc_AT, aisys_crc32c(0, frame, header->bytes));
}

/* ---- Reading -------------------------------------------------------------------------------- */

static int wire_fail(
    struct aisys_wire_fault *ret_fault, enum aisys_wire_error error, size_t offset, uint64_t found)
{
    *ret_fault =
        (struct aisys_wire_fault){ .error = error, .offset = (uint32_t)offset, .found = found };
    return error == AISYS_WIRE_BAD_VERSION ? -EPROTONOSUPPORT : -EBADMSG;
}

/* The checksum as if its own field were zero. */
static uint32_t wire_crc(const unsigned char *frame, size_t bytes)
{
    unsigned char header[AISYS_WIRE_FRAME_HEADER_BYTES];

    memcpy(header, frame, sizeof(header));
    put32(header + FRAME_crc_AT, 0);
    return aisys_crc32c(
        aisys_crc32c(0, header, sizeof(header)), frame + sizeof(header), bytes - sizeof(header));
}

static void wire_get_header(const unsigned char *frame, struct aisys_wire_frame *ret_frame)
{
    *ret_frame = (struct aisys_wire_frame){
        .from = (uint64_t)get32(frame + FRAME_from_node_AT) << 32 |
                get32(frame + FRAME_from_incarnation_AT),
        .to = (uint64_t)get32(frame + FRAME_to_node_AT) << 32 |
              get32(frame + FRAME_to_incarnation_AT),
        .sequence = get64(frame + FRAME_sequence_AT),
        .ack = get64(frame + FRAME_ack_AT),
        .bytes = get32(frame + FRAME_bytes_AT),
        .count = get16(frame + FRAME_count_AT),
        .window = get16(frame + FRAME_window_AT),
        .version = frame[FRAME_version_AT],
        .flags = frame[FRAME_flags_AT],
    };
}

static int wire_check_header(const unsigned char *frame, size_t bytes,
    struct aisys_wire_frame *ret_frame, struct aisys_wire_fault *ret_fault)
{
    if (bytes < AISYS_WIRE_FRAME_HEADER_BYTES)
        return wire_fail(ret_fault, AISYS_WIRE_SHORT, bytes, bytes);
    wire_get_header(frame, ret_frame);
    if (get32(frame + FRAME_magic_AT) != AISYS_WIRE_MAGIC)
        return wire_fail(
            ret_fault, AISYS_WIRE_NOT_A_FRAME, FRAME_magic_AT, get32(frame + FRAME_magic_AT));
    if (ret_frame->version < AISYS_WIRE_VERSION_MIN || ret_frame->version > AISYS_WIRE_VERSION)
        return wire_fail(ret_fault, AISYS_WIRE_BAD_VERSION, FRAME_version_AT, ret_frame->version);
    if (ret_frame->bytes != bytes || bytes > AISYS_WIRE_FRAME_BYTES_MAX)
        return wire_fail(ret_fault, AISYS_WIRE_BAD_BYTES, FRAME_bytes_AT, ret_frame->bytes);
    if (get32(frame + FRAME_crc_AT) != wire_crc(frame, bytes))
        return wire_fail(ret_fault, AISYS_WIRE_BAD_CRC, FRAME_crc_AT, get32(frame + FRAME_crc_AT));
    if (ret_frame->flags & ~AISYS_WIRE_GAP)
        return wire_fail(ret_fault, AISYS_WIRE_BAD_HEADER, FRAME_flags_AT, ret_frame->flags);
    if ((uint32_t)ret_frame->from == 0)
        return wire_fail(ret_fault, AISYS_WIRE_BAD_HEADER, FRAME_from_incarnation_AT, 0);
    if ((uint32_t)ret_frame->to == 0 && ret_frame->sequence != 0)
        return wire_fail(ret_fault, AISYS_WIRE_BAD_HEADER, FRAME_to_incarnation_AT, 0);
    if (ret_frame->window == 0)
        return wire_fail(ret_fault, AISYS_WIRE_BAD_HEADER, FRAME_window_AT, 0);
    if (get64(frame + FRAME_window_AT) >> 16 != 0)
        return wire_fail(ret_fault, AISYS_WIRE_BAD_HEADER, FRAME_reserved_AT,
            get64(frame + FRAME_window_AT) >> 16);
    if (ret_frame->sequence != 0 && ret_frame->count == 0)
        return wire_fail(ret_fault, AISYS_WIRE_BAD_COUNT, FRAME_count_AT, 0);
    return 0;
}

/* The fixed bytes of a record whose first byte is @record; 0: no such record. */
static inline size_t wire_fixed_bytes(unsigned record)
{
    const unsigned flags = record & ~RECORD_KIND_MASK;
    const size_t trace = flags ? AISYS_WIRE_TRACE_BYTES : 0;

    if (flags & ~AISYS_WIRE_RECORD_TRACED)
        return 0;
    switch (record & RECORD_KIND_MASK) {
    case AISYS_WIRE_ENVELOPE:
        return AISYS_WIRE_ENVELOPE_BYTES + trace;
    case AISYS_WIRE_FIRST:
        return AISYS_WIRE_ENVELOPE_BYTES + trace + AISYS_WIRE_FIRST_BYTES;
    case AISYS_WIRE_PIECE:
        return flags ? 0 : AISYS_WIRE_PIECE_BYTES;
    case AISYS_WIRE_HELLO:
        return flags ? 0 : AISYS_WIRE_HELLO_BYTES;
    case AISYS_WIRE_REFUSED:
        return flags ? 0 : AISYS_WIRE_REFUSED_BYTES;
    default:
        return 0;
    }
}

/* What of an envelope's fixed part is out of range: the field's offset, or -1. */
static inline int wire_bad_envelope(const unsigned char *at)
{
    const uint32_t times = get32(at + ENVELOPE_record_AT) >> 8;

    if ((times & DEADLINE_MASK) > AISYS_WIRE_DEADLINE_MS_MAX)
        return ENVELOPE_deadline_AT;
    if (times >> PRIORITY_SHIFT > AISYS_LOW)
        return ENVELOPE_deadline_AT;
    if (get32(at + ENVELOPE_to_generation_AT) == 0)
        return ENVELOPE_to_generation_AT;
    return -1;
}

static inline int wire_bad_first(const unsigned char *at, size_t fixed)
{
    const unsigned char *const first = at + fixed - AISYS_WIRE_FIRST_BYTES;

    if (get32(first + FIRST_total_bytes_AT) <= get16(at + ENVELOPE_payload_bytes_AT))
        return (int)(fixed - AISYS_WIRE_FIRST_BYTES) + FIRST_total_bytes_AT;
    if (get16(at + ENVELOPE_payload_bytes_AT) == 0)
        return ENVELOPE_payload_bytes_AT;
    if (get16(first + FIRST_reserved_AT) != 0)
        return (int)(fixed - AISYS_WIRE_FIRST_BYTES) + FIRST_reserved_AT;
    return wire_bad_envelope(at);
}

static int wire_bad_control(unsigned kind, const unsigned char *at)
{
    if (kind == AISYS_WIRE_PIECE) {
        if (at[PIECE_reserved_AT] != 0)
            return PIECE_reserved_AT;
        if (get16(at + PIECE_reserved_2_AT) != 0)
            return PIECE_reserved_2_AT;
        return get16(at + PIECE_payload_bytes_AT) == 0 ? PIECE_payload_bytes_AT : -1;
    }
    if (kind == AISYS_WIRE_REFUSED)
        return get16(at + REFUSED_reserved_AT) != 0 ? REFUSED_reserved_AT : -1;
    if (at[HELLO_version_min_AT] == 0 || at[HELLO_version_min_AT] > at[HELLO_version_max_AT])
        return HELLO_version_min_AT;
    if (at[HELLO_flags_AT] & ~AISYS_WIRE_HELLO_WANTED)
        return HELLO_flags_AT;
    if (get32(at + HELLO_challenge_AT) == 0)
        return HELLO_challenge_AT;
    if (get16(at + HELLO_streams_max_AT) == 0)
        return HELLO_streams_max_AT;
    return get16(at + HELLO_content_bytes_AT) > AISYS_WIRE_HELLO_CONTENT_BYTES_MAX
               ? HELLO_content_bytes_AT
               : -1;
}

static inline uint16_t wire_payload_bytes(unsigned kind, const unsigned char *at)
{
    switch (kind) {
    case AISYS_WIRE_HELLO:
        return get16(at + HELLO_content_bytes_AT);
    case AISYS_WIRE_REFUSED:
        return 0;
    default: /* of envelopes and pieces it is at the same place */
        return get16(at + ENVELOPE_payload_bytes_AT);
    }
}

static_assert((int)ENVELOPE_payload_bytes_AT == (int)PIECE_payload_bytes_AT, "see above");

/* Check the record at @at. The bytes that it takes, or 0 and *@ret_fault with an offset from @at. */
static inline size_t wire_measure(
    const unsigned char *at, size_t left, struct aisys_wire_fault *ret_fault)
{
    const unsigned kind = at[0] & RECORD_KIND_MASK;
    const size_t fixed = wire_fixed_bytes(at[0]);
    size_t bytes;
    int bad;

    if (fixed == 0) {
        wire_fail(ret_fault, AISYS_WIRE_BAD_KIND, 0, at[0]);
        return 0;
    }
    if (left < fixed) {
        wire_fail(ret_fault, AISYS_WIRE_BAD_LENGTH, 0, fixed);
        return 0;
    }
    if (kind == AISYS_WIRE_ENVELOPE)
        bad = wire_bad_envelope(at);
    else
        bad = kind == AISYS_WIRE_FIRST ? wire_bad_first(at, fixed) : wire_bad_control(kind, at);
    if (bad >= 0) {
        wire_fail(ret_fault, AISYS_WIRE_BAD_RECORD, (size_t)bad, at[bad]);
        return 0;
    }
    bytes = fixed + wire_payload_bytes(kind, at);
    if (bytes > left) {
        wire_fail(ret_fault, AISYS_WIRE_BAD_LENGTH, 0, bytes);
        return 0;
    }
    return bytes;
}

/* Whether a record of @kind may stand in a frame, of which @pieces were seen before. */
static inline enum aisys_wire_error wire_misplaced(unsigned kind, bool numbered, unsigned pieces)
{
    if ((kind < AISYS_WIRE_HELLO) != numbered)
        return AISYS_WIRE_BAD_KIND;
    return pieces > 1 ? AISYS_WIRE_BAD_PIECE : AISYS_WIRE_OK;
}

int aisys_wire_open(const void *data, size_t bytes, struct aisys_wire_frame *ret_frame,
    struct aisys_wire_fault *ret_fault)
{
    const unsigned char *const frame = data;
    struct aisys_wire_frame header;
    unsigned pieces = 0;
    unsigned count = 0;
    int r;

    r = wire_check_header(frame, bytes, &header, ret_fault);
    if (r < 0)
        return r;
    for (size_t at = AISYS_WIRE_FRAME_HEADER_BYTES; at < bytes; count++) {
        const unsigned kind = frame[at] & RECORD_KIND_MASK;
        enum aisys_wire_error error;
        size_t n;

        pieces += kind == AISYS_WIRE_FIRST || kind == AISYS_WIRE_PIECE;
        error = wire_misplaced(kind, header.sequence != 0, pieces);
        if (error != AISYS_WIRE_OK)
            return wire_fail(ret_fault, error, at, frame[at]);
        n = wire_measure(frame + at, bytes - at, ret_fault);
        if (n == 0) {
            ret_fault->offset += (uint32_t)at;
            return -EBADMSG;
        }
        at += n;
    }
    if (count != header.count)
        return wire_fail(ret_fault, AISYS_WIRE_BAD_COUNT, FRAME_count_AT, header.count);
    header.pieces = pieces > 0;
    *ret_frame = header;
    return 0;
}

int aisys_wire_open_header(const void *data, size_t bytes, struct aisys_wire_frame *ret_frame,
    struct aisys_wire_fault *ret_fault)
{
    struct aisys_wire_frame header;
    const int r = wire_check_header(data, bytes, &header, ret_fault);

    if (r == 0)
        *ret_frame = header;
    return r;
}

void aisys_wire_reader_init(
    struct aisys_wire_reader *reader, const void *data, const struct aisys_wire_frame *frame)
{
    const unsigned char *const at = data;

    *reader = (struct aisys_wire_reader){
        .frame = at,
        .at = at + AISYS_WIRE_FRAME_HEADER_BYTES,
        .end = at + frame->bytes,
        .from = frame->from,
        .to = frame->to,
    };
}

static inline void wire_get_envelope(const struct aisys_wire_reader *reader,
    const unsigned char *at, struct aisys_envelope *ret_envelope)
{
    const uint32_t times = get32(at + ENVELOPE_record_AT) >> 8;
    const uint32_t from_generation = get32(at + ENVELOPE_from_generation_AT);

    ret_envelope->from.node = from_generation == 0 ? 0 : reader->from;
    ret_envelope->from.slot = get32(at + ENVELOPE_from_slot_AT);
    ret_envelope->from.generation = from_generation;
    ret_envelope->to.node = reader->to;
    ret_envelope->to.slot = get32(at + ENVELOPE_to_slot_AT);
    ret_envelope->to.generation = get32(at + ENVELOPE_to_generation_AT);
    ret_envelope->correlation = get64(at + ENVELOPE_payload_bytes_AT) >> 16;
    ret_envelope->type = get32(at + ENVELOPE_type_AT);
    ret_envelope->deadline_ms = times & DEADLINE_MASK;
    ret_envelope->kind = (uint8_t)(times >> KIND_SHIFT & 3);
    ret_envelope->priority = (uint8_t)(times >> PRIORITY_SHIFT);
    ret_envelope->traced = (at[0] & AISYS_WIRE_RECORD_TRACED) != 0;
    if (ret_envelope->traced)
        memcpy(&ret_envelope->trace, at + AISYS_WIRE_ENVELOPE_BYTES, AISYS_WIRE_TRACE_BYTES);
    else
        memset(&ret_envelope->trace, 0, sizeof(ret_envelope->trace));
}

static void wire_get_control(const unsigned char *at, struct aisys_wire_record *ret_record)
{
    if (ret_record->kind == AISYS_WIRE_REFUSED) {
        ret_record->why = (enum aisys_wire_error)at[REFUSED_why_AT];
        ret_record->sequence = get64(at + REFUSED_sequence_AT);
        return;
    }
    ret_record->hello = (struct aisys_wire_hello){
        .challenge = get32(at + HELLO_challenge_AT),
        .echo = get32(at + HELLO_echo_AT),
        .message_bytes_max = get32(at + HELLO_message_bytes_max_AT),
        .streams_max = get16(at + HELLO_streams_max_AT),
        .version_min = at[HELLO_version_min_AT],
        .version_max = at[HELLO_version_max_AT],
        .flags = at[HELLO_flags_AT],
        .content = { at + AISYS_WIRE_HELLO_BYTES, get16(at + HELLO_content_bytes_AT) },
    };
}

int aisys_wire_next(struct aisys_wire_reader *reader, struct aisys_wire_record *ret_record,
    struct aisys_wire_fault *ret_fault)
{
    const unsigned char *const at = reader->at;
    size_t payload_bytes;
    size_t bytes;

    if (at >= reader->end)
        return 0;
    bytes = wire_measure(at, (size_t)(reader->end - at), ret_fault);
    if (bytes == 0) {
        ret_fault->offset += (uint32_t)(at - reader->frame);
        return -EBADMSG;
    }
    reader->at = at + bytes;
    ret_record->kind = (enum aisys_wire_record_kind)(at[0] & RECORD_KIND_MASK);
    ret_record->offset = (uint32_t)(at - reader->frame);
    payload_bytes = wire_payload_bytes(ret_record->kind, at);
    switch (ret_record->kind) {
    case AISYS_WIRE_FIRST:
        ret_record->total_bytes =
            get32(at + bytes - payload_bytes - AISYS_WIRE_FIRST_BYTES + FIRST_total_bytes_AT);
        ret_record->stream =
            get16(at + bytes - payload_bytes - AISYS_WIRE_FIRST_BYTES + FIRST_stream_AT);
        wire_get_envelope(reader, at, &ret_record->envelope);
        break;
    case AISYS_WIRE_ENVELOPE:
        wire_get_envelope(reader, at, &ret_record->envelope);
        break;
    case AISYS_WIRE_PIECE:
        ret_record->stream = get16(at + PIECE_stream_AT);
        ret_record->piece_offset = get32(at + PIECE_offset_AT);
        break;
    default:
        wire_get_control(at, ret_record);
        return 1;
    }
    ret_record->envelope.payload.data = at + bytes - payload_bytes;
    ret_record->envelope.payload.len = payload_bytes;
    return 1;
}

void aisys_wire_rebase(unsigned char *at, size_t bytes, uint64_t waited_ms)
{
    struct aisys_wire_fault fault;

    for (size_t n; bytes > 0; at += n, bytes -= n) {
        const unsigned kind = at[0] & RECORD_KIND_MASK;
        uint32_t left_ms;

        n = wire_measure(at, bytes, &fault);
        AISYS_CHECK(n != 0);
        if (kind > AISYS_WIRE_FIRST)
            continue;
        left_ms = get32(at) >> 8 & DEADLINE_MASK;
        if (left_ms == 0)
            continue;
        left_ms = left_ms > waited_ms ? left_ms - (uint32_t)waited_ms : 1;
        put32(at, (get32(at) & ~(DEADLINE_MASK << 8)) | left_ms << 8);
    }
}

/* ---- Words ---------------------------------------------------------------------------------- */

const char *aisys_wire_error_words(enum aisys_wire_error error)
{
    switch (error) {
    case AISYS_WIRE_OK:
        return "nothing is wrong";
    case AISYS_WIRE_SHORT:
        return "frame ends inside its header of 56 bytes";
    case AISYS_WIRE_NOT_A_FRAME:
        return "not a frame: it would begin with \"AISF\"";
    case AISYS_WIRE_BAD_VERSION:
        return "version of the frame is not 1";
    case AISYS_WIRE_BAD_BYTES:
        return "announced size is not the size, or above 65536";
    case AISYS_WIRE_BAD_CRC:
        return "checksum does not match";
    case AISYS_WIRE_BAD_HEADER:
        return "header field out of its range";
    case AISYS_WIRE_BAD_KIND:
        return "unknown kind of record, or one that does not belong in this frame";
    case AISYS_WIRE_BAD_RECORD:
        return "record field out of its range";
    case AISYS_WIRE_BAD_LENGTH:
        return "record ends behind the frame";
    case AISYS_WIRE_BAD_COUNT:
        return "number of records is not what the header says";
    case AISYS_WIRE_BAD_PIECE:
        return "piece of a large message that does not continue it, or above the limit";
    case AISYS_WIRE_BAD_ACK:
        return "acknowledges a frame that was never sent";
    case AISYS_WIRE_STRANGER:
        return "frame is not between these two nodes";
    }
    return "unknown fault";
}

void aisys_wire_fault_print(const struct aisys_wire_fault *fault, char *text, size_t bytes)
{
    snprintf(text, bytes, "%s (at byte %u, found %llu)", aisys_wire_error_words(fault->error),
        fault->offset, (unsigned long long)fault->found);
}
