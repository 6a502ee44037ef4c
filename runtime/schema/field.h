/* What reader, checker, writer and manual share about one field of a message: where it is in the C
 * struct, how its path is said, and what it expects, in words. For runtime/schema, and for programs that print
 * descriptions. */
#ifndef AISYS_SCHEMA_FIELD_H
#define AISYS_SCHEMA_FIELD_H

#include <stdbool.h>
#include <stddef.h>

#include <aisys/diag.h>
#include <protobuf-c/protobuf-c.h>

#include "core/arena.h"
#include "core/tree.h"
#include "schema/doc.h"

#define SCHEMA_WORDS_BYTES 400

/* A path as a chain of frames on the C stack: nothing is formatted unless there is an error. */
struct schema_path {
    const struct schema_path *up; /* NULL at the root */
    const char *name;             /* NULL for an element */
    size_t index;
};

/* Write @path ("filter.tags[2]") to @buf, cut at @size. */
void schema_path_write(const struct schema_path *path, char *buf, size_t size);

/* Add an error at @path (and @node's position; NULL for none). */
void schema_error(struct aisys_diag *diag, const struct schema_path *path,
    const struct aisys_node *node, const char *expected, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* Report that @descriptor has no field @name, with the nearest that it has. */
void schema_unknown(struct aisys_diag *diag, const ProtobufCMessageDescriptor *descriptor,
    const char *name, const struct aisys_node *node, const char *path);

/* Bytes of one element of @field in a message or in a repeated field's array. */
size_t schema_element_bytes(const ProtobufCFieldDescriptor *field);

/* Where @field is in @message; its count, has-flag or case of its oneof. */
static inline void *schema_member(
    const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    return (char *)(uintptr_t)message + field->offset;
}

static inline void *schema_quantifier(
    const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    return (char *)(uintptr_t)message + field->quantifier_offset;
}

/* How many values @field has in @message: elements, or 0 or 1. */
size_t schema_count(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);

/* The @i-th value of @field in @message (0 for one that is not repeated). */
const void *schema_value(
    const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, size_t i);

bool schema_is_integer(const ProtobufCFieldDescriptor *field);
bool schema_is_number(const ProtobufCFieldDescriptor *field); /* floats too */
bool schema_is_64_bit(const ProtobufCFieldDescriptor *field); /* integers of 64 bits */

/* A number as double, for ranges and order. */
double schema_number(const ProtobufCFieldDescriptor *field, const void *value);

/* What one value of @field must be, with all its rules: "an integer from 1 to 1000". */
void schema_expected(const ProtobufCFieldDescriptor *field, const struct aisys_schema_field *doc,
    char *buf, size_t size);

/* The same for the field as a whole: "a list of at most 32 strings of at most 64 bytes". */
void schema_expected_field(const ProtobufCFieldDescriptor *field,
    const struct aisys_schema_field *doc, char *buf, size_t size);

#endif
