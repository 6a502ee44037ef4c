/* What the .proto files say beyond types: the comment and our options (proto/aisys/options.proto)
 * of every message, field, enum value, service and method, by full name ("aisys.Error.details").
 *
 * It is read from the descriptor set that is built into the program, at first use, and kept until
 * the process ends. A module that brings .proto files of its own adds its set when it is loaded.
 *
 * Threads: any for look-ups; aisys_schema_add() only while nobody else looks anything up.
 * Errors:  look-ups cannot fail: what is not known has no comment and no rules. */
#ifndef AISYS_SCHEMA_DOC_H
#define AISYS_SCHEMA_DOC_H

#include <regex.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "aisys/options.pb-c.h"

struct aisys_schema_field {
    const char *name; /* as written */
    uint32_t number;
    const char *comment;            /* lines without the marks, "" when there is none */
    const Aisys__FieldRules *rules; /* never NULL */
    const regex_t *pattern;         /* of rules, anchored at both ends; NULL when there is none */
};

struct aisys_schema_message {
    const char *name; /* full */
    const char *comment;
    const Aisys__MessageRules *rules; /* never NULL */
    size_t field_count;
    const struct aisys_schema_field *fields; /* by number, as protobuf-c has them */
    const struct aisys_schema_message *next; /* internal */
};

/* Read the built-in set now rather than at first use. 0, -ENOMEM, or -EINVAL when it is damaged or
 * has an option that makes no sense (a pattern that is no regular expression): our mistake. */
int aisys_schema_load(void);

/* Add a serialised FileDescriptorSet (made with --include_source_info); what is known already
 * stays as it is. Errors as above. @set is not needed afterwards. */
int aisys_schema_add(const void *set, size_t bytes);

/* NULL when the message is not known. */
const struct aisys_schema_message *aisys_schema_message(const char *full_name);

/* The field of @message (may be NULL) that @field describes; one without rules when it is not
 * known. */
const struct aisys_schema_field *aisys_schema_field(
    const struct aisys_schema_message *message, const ProtobufCFieldDescriptor *field);

/* The same for the @i-th field of @descriptor, without a search when both have the same fields. */
static inline const struct aisys_schema_field *aisys_schema_field_at(
    const struct aisys_schema_message *message, const ProtobufCMessageDescriptor *descriptor,
    unsigned i)
{
    if (message != NULL && i < message->field_count &&
        message->fields[i].number == descriptor->fields[i].id)
        return &message->fields[i];
    return aisys_schema_field(message, &descriptor->fields[i]);
}

/* The comment of anything: message, field, enum, value, service, method. "" when there is none. */
const char *aisys_schema_comment(const char *full_name);

#endif
