/* A message as JSON Schema (draft 2020-12): for editors, and for callers that check before they
 * send. Comments become descriptions; ranges, lengths, patterns, enum names, what is required and
 * exactly-one-of are said as far as JSON Schema can. Lengths of strings are bytes here and
 * characters there, so the schema is the more generous of the two.
 *
 * Threads: any. */
#ifndef AISYS_SCHEMA_JSON_SCHEMA_H
#define AISYS_SCHEMA_JSON_SCHEMA_H

#include <protobuf-c/protobuf-c.h>

#include "core/tree.h"

/* A whole schema document for @descriptor, in @arena. Returns 0 or -ENOMEM. */
int aisys_json_schema(const ProtobufCMessageDescriptor *descriptor, struct aisys_arena *arena,
    struct aisys_node **ret_schema);

/* For composing: the schema of @descriptor alone; messages in it are added to @defs (a map, the
 * document's "$defs") unless they are there. NULL when the arena is exhausted. */
struct aisys_node *aisys_json_schema_part(const ProtobufCMessageDescriptor *descriptor,
    struct aisys_node *defs, struct aisys_arena *arena);

#endif
