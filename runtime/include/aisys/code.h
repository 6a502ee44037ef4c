/* How a request ended: the gRPC status codes, one vocabulary for actors, doors and HTTP.
 *
 * The values are those of gRPC (https://grpc.io/docs/guides/status-codes/) and go over the wire.
 * Inside the runtime functions return 0, a negative errno (unexpected, passed up unchanged) or a
 * documented positive outcome; a code is what the *other side* of a request gets to see. */
#ifndef AISYS_CODE_H
#define AISYS_CODE_H

#include <aisys/api.h>

enum aisys_code {
    AISYS_OK = 0,
    AISYS_CANCELLED = 1,
    AISYS_UNKNOWN = 2,
    AISYS_INVALID_ARGUMENT = 3,
    AISYS_DEADLINE_EXCEEDED = 4,
    AISYS_NOT_FOUND = 5,
    AISYS_ALREADY_EXISTS = 6,
    AISYS_PERMISSION_DENIED = 7,
    AISYS_RESOURCE_EXHAUSTED = 8,
    AISYS_FAILED_PRECONDITION = 9,
    AISYS_ABORTED = 10,
    AISYS_OUT_OF_RANGE = 11,
    AISYS_UNIMPLEMENTED = 12,
    AISYS_INTERNAL = 13,
    AISYS_UNAVAILABLE = 14,
    AISYS_DATA_LOSS = 15,
    AISYS_UNAUTHENTICATED = 16,
};

#define AISYS_CODE_NR 17

/* "NOT_FOUND" for AISYS_NOT_FOUND; "UNKNOWN" for what is no code. Any thread. */
AISYS_API const char *aisys_code_name(int code);

#endif
