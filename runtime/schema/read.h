/* A tree (from JSON, YAML, variables or words) into a protobuf-c message.
 *
 * The protobuf JSON mapping with our field names as written: bytes are base64, integers may be
 * strings, enum values go by name (any case) or number, a null is a field that is not there.
 * Fields with the option `time` are RFC 3339 text. What is allowed beyond that depends on where a
 * node comes from (enum aisys_node_style): an unquoted YAML scalar is good for a string field, and
 * a variable's text for any scalar, or by commas for a list of scalars.
 *
 * Every error of an input is reported at once, with its path and position: unknown names with the
 * nearest known one, wrong types, and all that check.h finds.
 *
 * Threads: any; nothing is shared but the read-only index of doc.h. */
#ifndef AISYS_SCHEMA_READ_H
#define AISYS_SCHEMA_READ_H

#include <protobuf-c/protobuf-c.h>

#include "core/tree.h"

/* Build the message that @node says. It lives in @arena as do its parts (strings are borrowed from
 * the tree where possible); do not free it with protobuf-c. @node may be NULL or null: an empty
 * message.
 *
 * Returns 0, AISYS_TREE_INVALID with findings in @diag, or -ENOMEM. */
int aisys_schema_read(const ProtobufCMessageDescriptor *descriptor, const struct aisys_node *node,
    struct aisys_arena *arena, struct aisys_diag *diag, ProtobufCMessage **ret_message);

/* The same, but what could be read is handed out although there were findings: a field that could not
 * is as if it were not there. For finding more faults, not for acting on. */
int aisys_schema_read_part(const ProtobufCMessageDescriptor *descriptor,
    const struct aisys_node *node, struct aisys_arena *arena, struct aisys_diag *diag,
    ProtobufCMessage **ret_message);

#endif
