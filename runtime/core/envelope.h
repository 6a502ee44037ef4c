/* One message as links see it: the same for the loop, a socket to oneself, and another machine.
 *
 * Pure data; borrowed fields. Its bytes on the wire are fixed by proto/WIRE.md and wire.h. */
#ifndef AISYS_CORE_ENVELOPE_H
#define AISYS_CORE_ENVELOPE_H

#include "check.h"
#include <aisys/actor.h>

enum aisys_envelope_kind {
    AISYS_ENVELOPE_TELL = 0, /* an untyped message, no answer wanted */
    AISYS_ENVELOPE_ASK = 1,  /* an untyped message that wants one answer */
    AISYS_ENVELOPE_CALL = 2, /* a typed request; type is the method's id */
    AISYS_ENVELOPE_END =
        3, /* the answer; type is an aisys_code, payload the reply or an aisys.Error */
};

/* W3C trace context (https://www.w3.org/TR/trace-context/): who caused this. All zero: not traced. */
struct aisys_trace {
    uint8_t trace_id[16];
    uint8_t span_id[8];
};

struct aisys_envelope {
    struct aisys_id from;
    struct aisys_id to;
    uint64_t correlation; /* the asker's number for the answer, below 2^48; 0: none wanted */
    uint32_t type;
    uint32_t deadline_ms; /* time remaining, at most 600000; 0: none */
    uint8_t kind;         /* enum aisys_envelope_kind */
    uint8_t priority;     /* enum aisys_priority */
    bool traced;
    struct aisys_trace trace; /* when traced */
    struct aisys_bytes payload;
};

#endif
