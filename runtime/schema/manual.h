/* The page of the reference manual that a service or message writes by itself, in Markdown: its
 * comment, each method, each field with type, default, limits and comment, and the messages
 * inside.
 *
 * Threads: any. */
#ifndef AISYS_SCHEMA_MANUAL_H
#define AISYS_SCHEMA_MANUAL_H

#include <protobuf-c/protobuf-c.h>

#include "core/tree_json.h"

/* Write the section of @service, headings from @level (1 is "#"). @scratch is used and grows.
 * Returns 0, -ENOMEM, or what @sink returned. */
int aisys_manual_service(const ProtobufCServiceDescriptor *service, unsigned level,
    struct aisys_arena *scratch, aisys_text_fn sink, void *ctx);

/* The same for one message, such as an agent's configuration. */
int aisys_manual_message(const ProtobufCMessageDescriptor *message, unsigned level,
    struct aisys_arena *scratch, aisys_text_fn sink, void *ctx);

#endif
