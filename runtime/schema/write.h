/* A protobuf-c message as a tree, for JSON or YAML text (core/tree_json.h, core/tree_yaml.h).
 *
 * The protobuf JSON mapping with our field names as written: fields that are not set are left out,
 * but lists are always there; 64-bit integers are strings, bytes base64, enum values names; an
 * int64 with the option `time` is RFC 3339 text.
 *
 * Threads: any. */
#ifndef AISYS_SCHEMA_WRITE_H
#define AISYS_SCHEMA_WRITE_H

#include <protobuf-c/protobuf-c.h>

#include "core/tree.h"

enum aisys_write_flags {
    AISYS_WRITE_MASK = 1 << 0,     /* fields with the option `secret` say ******** */
    AISYS_WRITE_DEFAULTS = 1 << 1, /* what is not set but has a value of its own is there, too */
    AISYS_WRITE_NUMBERS = 1 << 2,  /* 64-bit integers are numbers: for YAML, for people */
};

#define AISYS_WRITE_MASKED "********"

/* Write @message to a tree in @arena. Strings are borrowed from the message. @flags: any of the
 * above, 0 for replies. Returns 0 or -ENOMEM. */
int aisys_schema_write(const ProtobufCMessage *message, unsigned flags, struct aisys_arena *arena,
    struct aisys_node **ret_node);

/* The default of @field that the .proto file gives (a list: empty), NULL when there is none. */
struct aisys_node *aisys_schema_default(
    const ProtobufCFieldDescriptor *field, unsigned flags, struct aisys_arena *arena);

#endif
