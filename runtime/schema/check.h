/* Validation of a message against the rules of options.proto: ranges, lengths, patterns, what must
 * be there, exactly-one-of, order. read.h does it by itself; this is for what came over the wire.
 *
 * Threads: any. */
#ifndef AISYS_SCHEMA_CHECK_H
#define AISYS_SCHEMA_CHECK_H

#include <protobuf-c/protobuf-c.h>

#include "core/tree.h"

/* Check @message and all it holds. @node: the tree it was read from, for positions and so that
 * what was reported as unreadable is not reported as missing too; NULL when there is none: then
 * also what only the wire can get wrong is checked (UTF-8, numbers that no enum value has,
 * not-a-number).
 *
 * Returns 0, or AISYS_TREE_INVALID with findings in @diag. */
int aisys_schema_check(
    const ProtobufCMessage *message, const struct aisys_node *node, struct aisys_diag *diag);

/* Unpack @bytes of @packed into @arena and check it.
 *
 * Returns 0, AISYS_TREE_INVALID with findings in @diag, or -ENOMEM (also: larger than the arena's
 * limit). */
int aisys_schema_unpack(const ProtobufCMessageDescriptor *descriptor, const void *packed,
    size_t bytes, struct aisys_arena *arena, struct aisys_diag *diag,
    ProtobufCMessage **ret_message);

#endif
