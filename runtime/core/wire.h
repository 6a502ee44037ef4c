/* The bytes that links exchange: frames, and the envelopes, pieces and controls in them.
 *
 * proto/WIRE.md is the format; the tables here say the same (a test compares them). Little endian,
 * nothing aligned. A frame is a header and `count` records behind it, at most 64 KiB in all.
 *
 * Writing: aisys_wire_put_*() append records to memory that the caller has; aisys_wire_seal() fills
 * the header in front and the checksum.
 * Reading: aisys_wire_open() checks a frame completely (header, checksum, every record, their number)
 * before anything of it is believed; aisys_wire_next() then walks the records.
 *
 * Threads: pure. Errors: 0, or -EBADMSG / -EPROTONOSUPPORT with a struct aisys_wire_fault that says
 * what was wrong and where. Nothing is allocated. */
#ifndef AISYS_CORE_WIRE_H
#define AISYS_CORE_WIRE_H

#include "envelope.h"

#define AISYS_WIRE_MAGIC       0x46534941u /* "AISF" */
#define AISYS_WIRE_VERSION     1u          /* what this code writes */
#define AISYS_WIRE_VERSION_MIN 1u          /* the oldest that it still reads */

#define AISYS_WIRE_FRAME_BYTES_MAX  65536u
#define AISYS_WIRE_DEADLINE_MS_MAX  600000u
#define AISYS_WIRE_CORRELATION_BITS 48

/* ---- Layout: X(field, offset, bytes) -------------------------------------------------------- */

#define AISYS_WIRE_FRAME_FIELDS(X)                                                                 \
    X(magic, 0, 4)                                                                                 \
    X(version, 4, 1)                                                                               \
    X(flags, 5, 1)                                                                                 \
    X(count, 6, 2)                                                                                 \
    X(bytes, 8, 4)                                                                                 \
    X(crc, 12, 4)                                                                                  \
    X(from_node, 16, 4)                                                                            \
    X(from_incarnation, 20, 4)                                                                     \
    X(to_node, 24, 4)                                                                              \
    X(to_incarnation, 28, 4)                                                                       \
    X(sequence, 32, 8)                                                                             \
    X(ack, 40, 8)                                                                                  \
    X(window, 48, 2)                                                                               \
    X(reserved, 50, 6)

#define AISYS_WIRE_ENVELOPE_FIELDS(X)                                                              \
    X(record, 0, 1)                                                                                \
    X(deadline, 1, 3)                                                                              \
    X(payload_bytes, 4, 2)                                                                         \
    X(correlation, 6, 6)                                                                           \
    X(type, 12, 4)                                                                                 \
    X(from_slot, 16, 4)                                                                            \
    X(from_generation, 20, 4)                                                                      \
    X(to_slot, 24, 4)                                                                              \
    X(to_generation, 28, 4)

#define AISYS_WIRE_TRACE_FIELDS(X)                                                                 \
    X(trace_id, 0, 16)                                                                             \
    X(span_id, 16, 8)

#define AISYS_WIRE_FIRST_FIELDS(X)                                                                 \
    X(total_bytes, 0, 4)                                                                           \
    X(stream, 4, 2)                                                                                \
    X(reserved, 6, 2)

#define AISYS_WIRE_PIECE_FIELDS(X)                                                                 \
    X(record, 0, 1)                                                                                \
    X(reserved, 1, 1)                                                                              \
    X(stream, 2, 2)                                                                                \
    X(payload_bytes, 4, 2)                                                                         \
    X(reserved_2, 6, 2)                                                                            \
    X(offset, 8, 4)

#define AISYS_WIRE_HELLO_FIELDS(X)                                                                 \
    X(record, 0, 1)                                                                                \
    X(version_min, 1, 1)                                                                           \
    X(version_max, 2, 1)                                                                           \
    X(flags, 3, 1)                                                                                 \
    X(challenge, 4, 4)                                                                             \
    X(echo, 8, 4)                                                                                  \
    X(message_bytes_max, 12, 4)                                                                    \
    X(streams_max, 16, 2)                                                                          \
    X(content_bytes, 18, 2)

#define AISYS_WIRE_REFUSED_FIELDS(X)                                                               \
    X(record, 0, 1)                                                                                \
    X(why, 1, 1)                                                                                   \
    X(reserved, 2, 2)                                                                              \
    X(sequence, 4, 8)

#define AISYS_WIRE_FRAME_HEADER_BYTES 56u
#define AISYS_WIRE_ENVELOPE_BYTES     32u
#define AISYS_WIRE_TRACE_BYTES        24u
#define AISYS_WIRE_FIRST_BYTES        8u
#define AISYS_WIRE_PIECE_BYTES        12u
#define AISYS_WIRE_HELLO_BYTES        20u
#define AISYS_WIRE_REFUSED_BYTES      12u

/* The largest payload that fits a frame in one record, traced. */
#define AISYS_WIRE_PAYLOAD_BYTES_MAX                                                               \
    (AISYS_WIRE_FRAME_BYTES_MAX - AISYS_WIRE_FRAME_HEADER_BYTES - AISYS_WIRE_ENVELOPE_BYTES -      \
        AISYS_WIRE_TRACE_BYTES)

#define AISYS_WIRE_HELLO_CONTENT_BYTES_MAX 4096u

enum aisys_wire_frame_flag {
    AISYS_WIRE_GAP = 1, /* frames are missing behind `ack`: please re-send from there */
};

enum aisys_wire_hello_flag {
    AISYS_WIRE_HELLO_WANTED = 1, /* please answer: I do not know you yet */
};

enum aisys_wire_record_kind {
    AISYS_WIRE_ENVELOPE = 1, /* a whole message */
    AISYS_WIRE_FIRST = 2,    /* the first piece of a large message, with its envelope */
    AISYS_WIRE_PIECE = 3,    /* a further piece */
    AISYS_WIRE_HELLO = 8,
    AISYS_WIRE_REFUSED = 9,
};

#define AISYS_WIRE_RECORD_TRACED 0x10u /* flag in an envelope's `record` byte */

/* What can be wrong with a frame. The numbers travel in REFUSED. */
enum aisys_wire_error {
    AISYS_WIRE_OK = 0,
    AISYS_WIRE_SHORT = 1,       /* ends inside its header */
    AISYS_WIRE_NOT_A_FRAME = 2, /* another magic */
    AISYS_WIRE_BAD_VERSION = 3, /* newer or older than this code reads */
    AISYS_WIRE_BAD_BYTES = 4,   /* the announced size is not the size */
    AISYS_WIRE_BAD_CRC = 5,
    AISYS_WIRE_BAD_HEADER = 6, /* unknown flag, reserved bits, window 0, incarnation 0 */
    AISYS_WIRE_BAD_KIND = 7,   /* of a record, or one that does not belong in such a frame */
    AISYS_WIRE_BAD_RECORD = 8, /* a field out of its range */
    AISYS_WIRE_BAD_LENGTH = 9, /* a record ends behind the frame */
    AISYS_WIRE_BAD_COUNT = 10, /* more or fewer records than the header says */
    AISYS_WIRE_BAD_PIECE = 11, /* of no stream, out of order, too large, or a second in one frame */
    AISYS_WIRE_BAD_ACK = 12,   /* of a frame never sent */
    AISYS_WIRE_STRANGER = 13,  /* not between these two nodes */
};

struct aisys_wire_fault {
    enum aisys_wire_error error;
    uint32_t offset; /* into the frame, of the field or record that is wrong */
    uint64_t found;  /* its value */
};

/* A frame's header. Nodes are number << 32 | incarnation. */
struct aisys_wire_frame {
    uint64_t from;     /* the sender */
    uint64_t to;       /* the receiver; incarnation 0: not known yet */
    uint64_t sequence; /* from 1; 0: not numbered (acks, controls) */
    uint64_t ack;      /* all frames up to this number have arrived */
    uint32_t bytes;    /* the whole frame */
    uint16_t count;    /* records */
    uint16_t window;   /* frames behind `ack` that the sender of this one takes at most; never 0 */
    uint8_t version;
    uint8_t flags; /* enum aisys_wire_frame_flag */
    bool pieces;   /* as opened: one of the records is a piece of a large message */
};

struct aisys_wire_hello {
    uint32_t challenge; /* a number that the answer must echo; never 0 */
    uint32_t echo;      /* the challenge answered; 0: none */
    uint32_t message_bytes_max;
    uint16_t streams_max; /* large messages in transit at once */
    uint8_t version_min;
    uint8_t version_max;
    uint8_t flags; /* enum aisys_wire_hello_flag */
    struct aisys_bytes content;
};

/* A record as read; what it points to is borrowed from the frame. */
struct aisys_wire_record {
    enum aisys_wire_record_kind kind;
    uint32_t offset;                /* into the frame, of the record */
    struct aisys_envelope envelope; /* ENVELOPE and FIRST; of PIECE only payload */
    uint16_t stream;                /* FIRST and PIECE */
    uint32_t total_bytes;           /* FIRST: of the whole payload */
    uint32_t piece_offset;          /* PIECE: where its payload belongs */
    struct aisys_wire_hello hello;
    enum aisys_wire_error why; /* REFUSED */
    uint64_t sequence;         /* REFUSED: of which frame */
};

/* ---- Writing -------------------------------------------------------------------------------- */

/* Bytes of @envelope as one record. */
static inline size_t aisys_wire_envelope_bytes(const struct aisys_envelope *envelope)
{
    return AISYS_WIRE_ENVELOPE_BYTES + (envelope->traced ? AISYS_WIRE_TRACE_BYTES : 0) +
           envelope->payload.len;
}

/* Append a record at @at, where there is room, and return what it takes. The envelope's limits
 * (deadline, correlation, payload) are checks; from.node and to.node are the frame's and not written. */
size_t aisys_wire_put_envelope(unsigned char *at, const struct aisys_envelope *envelope);

/* The first @payload_bytes of @envelope's payload, as piece one of @stream. */
size_t aisys_wire_put_first(unsigned char *at, const struct aisys_envelope *envelope,
    uint16_t stream, uint16_t payload_bytes);

/* Further bytes: @piece belongs at @offset. */
size_t aisys_wire_put_piece(
    unsigned char *at, uint16_t stream, uint32_t offset, struct aisys_bytes piece);

size_t aisys_wire_put_hello(unsigned char *at, const struct aisys_wire_hello *hello);
size_t aisys_wire_put_refused(unsigned char *at, enum aisys_wire_error why, uint64_t sequence);

/* Write the header of the frame at @frame, whose records are in place, and its checksum. `version` is
 * set here. May be repeated with another header. */
void aisys_wire_seal(unsigned char *frame, const struct aisys_wire_frame *header);

/* Take @waited_ms off the deadlines of the @bytes of valid records at @at; what is left is at least
 * 1 ms. Pieces but for the first have none. */
void aisys_wire_rebase(unsigned char *at, size_t bytes, uint64_t waited_ms);

/* ---- Reading -------------------------------------------------------------------------------- */

/* Check the whole of the @bytes at @data. 0: *@ret_frame is its header. Else -EPROTONOSUPPORT (a
 * version that this code does not read) or -EBADMSG, and *@ret_fault. */
int aisys_wire_open(const void *data, size_t bytes, struct aisys_wire_frame *ret_frame,
    struct aisys_wire_fault *ret_fault);

/* The same for header and checksum alone: of whom and which is a frame that is bad inside? */
int aisys_wire_open_header(const void *data, size_t bytes, struct aisys_wire_frame *ret_frame,
    struct aisys_wire_fault *ret_fault);

/* Walks the records between @at and @end, of a frame that aisys_wire_open() has accepted. */
struct aisys_wire_reader {
    const unsigned char *frame;
    const unsigned char *at;
    const unsigned char *end;
    uint64_t from; /* nodes for the envelopes */
    uint64_t to;
};

void aisys_wire_reader_init(
    struct aisys_wire_reader *reader, const void *data, const struct aisys_wire_frame *frame);

/* The next record: 1, 0 at the end, or -EBADMSG with *@ret_fault. Of an opened frame, never that. Only
 * the fields of the record's kind are set. */
int aisys_wire_next(struct aisys_wire_reader *reader, struct aisys_wire_record *ret_record,
    struct aisys_wire_fault *ret_fault);

/* What the fault is, in words without its place: "checksum does not match". Static. */
const char *aisys_wire_error_words(enum aisys_wire_error error);

/* The whole sentence into @text, cut at @bytes: what was wrong, where, and what would be right. */
void aisys_wire_fault_print(const struct aisys_wire_fault *fault, char *text, size_t bytes);

#endif
