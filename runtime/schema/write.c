#include "schema/write.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/base64.h"
#include "core/rfc3339.h"
#include "core/tree_json.h"
#include "schema/field.h"

struct write {
    struct aisys_arena *arena;
    unsigned flags;
    unsigned depth;
};

static struct aisys_node *write_signed(
    struct write *write, const struct aisys_schema_field *doc, int64_t value)
{
    char time[AISYS_RFC3339_BYTES];

    if (doc->rules->time) {
        aisys_rfc3339_write(value, time);
        return aisys_node_string(write->arena, time);
    }
    if ((write->flags & AISYS_WRITE_NUMBERS) != 0)
        return aisys_node_int(write->arena, value);
    return aisys_node_printf(write->arena, "%" PRId64, value);
}

static struct aisys_node *write_unsigned(struct write *write, uint64_t value)
{
    if ((write->flags & AISYS_WRITE_NUMBERS) != 0)
        return aisys_node_uint(write->arena, value);
    return aisys_node_printf(write->arena, "%" PRIu64, value);
}

/* A float is written with the digits that a float has. */
static struct aisys_node *write_float(struct write *write, float value)
{
    struct aisys_node *const node = aisys_node_double(write->arena, (double)value);
    char text[AISYS_JSON_NUMBER_BYTES];

    if (node == NULL || !isfinite(value))
        return node;
    aisys_json_number((double)value, true, text);
    node->text = aisys_arena_strdup(write->arena, text);
    node->text_bytes = strlen(text);
    return node->text != NULL ? node : NULL;
}

static struct aisys_node *write_enum(
    struct write *write, const ProtobufCEnumDescriptor *e, int value)
{
    const ProtobufCEnumValue *const known = protobuf_c_enum_descriptor_get_value(e, value);

    if (known == NULL)
        return aisys_node_int(write->arena, value);
    return aisys_node_string_borrowed(write->arena, known->name, strlen(known->name));
}

static struct aisys_node *write_bytes(struct write *write, const ProtobufCBinaryData *value)
{
    const size_t chars = AISYS_BASE64_TEXT_BYTES(value->len);
    char *const text = aisys_arena_alloc(write->arena, chars + 1);

    if (text == NULL)
        return NULL;
    aisys_base64_encode(value->data, value->len, text);
    return aisys_node_string_borrowed(write->arena, text, chars);
}

static struct aisys_node *write_message(struct write *write, const ProtobufCMessage *message);

static struct aisys_node *write_value(struct write *write, const ProtobufCFieldDescriptor *field,
    const struct aisys_schema_field *doc, const void *value)
{
    const char *text;

    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return aisys_node_int(write->arena, *(const int32_t *)value);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return aisys_node_int(write->arena, *(const uint32_t *)value);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return write_signed(write, doc, *(const int64_t *)value);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return write_unsigned(write, *(const uint64_t *)value);
    case PROTOBUF_C_TYPE_FLOAT:
        return write_float(write, *(const float *)value);
    case PROTOBUF_C_TYPE_DOUBLE:
        return aisys_node_double(write->arena, *(const double *)value);
    case PROTOBUF_C_TYPE_BOOL:
        return aisys_node_bool(write->arena, *(const protobuf_c_boolean *)value != 0);
    case PROTOBUF_C_TYPE_ENUM:
        return write_enum(write, field->descriptor, *(const int *)value);
    case PROTOBUF_C_TYPE_STRING:
        text = *(const char *const *)value;
        return aisys_node_string_borrowed(
            write->arena, text != NULL ? text : "", text != NULL ? strlen(text) : 0);
    case PROTOBUF_C_TYPE_BYTES:
        return write_bytes(write, value);
    case PROTOBUF_C_TYPE_MESSAGE:
        break;
    }
    return write_message(write, *(const ProtobufCMessage *const *)value);
}

static bool write_is_masked(const struct write *write, const struct aisys_schema_field *doc)
{
    return (write->flags & AISYS_WRITE_MASK) != 0 && doc->rules->secret;
}

static struct aisys_node *write_list(struct write *write, const ProtobufCMessage *message,
    const ProtobufCFieldDescriptor *field, const struct aisys_schema_field *doc, size_t count)
{
    struct aisys_node *const list = aisys_node_list(write->arena);

    for (size_t i = 0; i < count && list != NULL; i++)
        aisys_node_append(
            list, write_is_masked(write, doc)
                      ? aisys_node_string(write->arena, AISYS_WRITE_MASKED)
                      : write_value(write, field, doc, schema_value(message, field, i)));
    return list;
}

static struct aisys_node *write_field(struct write *write, const ProtobufCMessage *message,
    const ProtobufCFieldDescriptor *field, const struct aisys_schema_field *doc)
{
    const size_t count = schema_count(message, field);

    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return write_list(write, message, field, doc, count);
    if (count == 0)
        return (write->flags & AISYS_WRITE_DEFAULTS) != 0
                   ? aisys_schema_default(field, write->flags, write->arena)
                   : NULL;
    if (write_is_masked(write, doc))
        return aisys_node_string(write->arena, AISYS_WRITE_MASKED);
    return write_value(write, field, doc, schema_value(message, field, 0));
}

static struct aisys_node *write_message(struct write *write, const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *const d = message->descriptor;
    const struct aisys_schema_message *const doc = aisys_schema_message(d->name);
    struct aisys_node *const map = aisys_node_map(write->arena);

    if (map == NULL || write->depth == AISYS_TREE_DEPTH_MAX)
        return map;
    write->depth++;
    for (unsigned i = 0; i < d->n_fields; i++)
        aisys_node_set(map, d->fields[i].name,
            write_field(write, message, &d->fields[i], aisys_schema_field_at(doc, d, i)));
    write->depth--;
    return map;
}

struct aisys_node *aisys_schema_default(
    const ProtobufCFieldDescriptor *field, unsigned flags, struct aisys_arena *arena)
{
    static const Aisys__FieldRules rules = AISYS__FIELD_RULES__INIT;
    static const struct aisys_schema_field doc = { .rules = &rules };
    struct write write = { .arena = arena, .flags = flags };
    const char *text = field->default_value;

    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return aisys_node_list(arena);
    if (field->default_value == NULL || field->type == PROTOBUF_C_TYPE_MESSAGE)
        return NULL;
    if (field->type == PROTOBUF_C_TYPE_STRING)
        return aisys_node_string_borrowed(arena, text, strlen(text));
    return write_value(&write, field, &doc, field->default_value);
}

int aisys_schema_write(const ProtobufCMessage *message, unsigned flags, struct aisys_arena *arena,
    struct aisys_node **ret_node)
{
    struct write write = { .arena = arena, .flags = flags };
    struct aisys_node *const node = write_message(&write, message);

    if (node == NULL || aisys_arena_failed(arena))
        return -ENOMEM;
    *ret_node = node;
    return 0;
}
