#include "schema/field.h"

#include <float.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/suggest.h"
#include "core/tree_json.h"

/* Append to @buf, which is always terminated. */
static void words_add(char *buf, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void words_add(char *buf, size_t size, const char *fmt, ...)
{
    const size_t at = strlen(buf);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(buf + at, size - at, fmt, ap);
    va_end(ap);
}

static void path_add(const struct schema_path *path, char *buf, size_t size)
{
    if (path == NULL)
        return;
    path_add(path->up, buf, size);
    if (path->name == NULL)
        words_add(buf, size, "[%zu]", path->index);
    else
        words_add(buf, size, "%s%s", *buf != '\0' ? "." : "", path->name);
}

void schema_path_write(const struct schema_path *path, char *buf, size_t size)
{
    buf[0] = '\0';
    path_add(path, buf, size);
}

void schema_error(struct aisys_diag *diag, const struct schema_path *path,
    const struct aisys_node *node, const char *expected, const char *fmt, ...)
{
    char at[AISYS_DIAG_TEXT_MAX];
    va_list ap;

    schema_path_write(path, at, sizeof(at));
    va_start(ap, fmt);
    aisys_diag_addv(diag, node != NULL ? &node->where : NULL, at, expected, fmt, ap);
    va_end(ap);
}

void schema_unknown(struct aisys_diag *diag, const ProtobufCMessageDescriptor *descriptor,
    const char *name, const struct aisys_node *node, const char *path)
{
    struct aisys_where key = { 0 };
    const struct aisys_where *const where = &key;
    char expected[SCHEMA_WORDS_BYTES] = "";
    struct aisys_suggest suggest;

    if (node != NULL)
        key = node->where;
    if (node != NULL && node->key_line > 0) {
        key.line = node->key_line;
        key.column = node->key_column;
    }
    aisys_suggest_init(&suggest, name);
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        aisys_suggest_offer(&suggest, descriptor->fields[i].name);
        words_add(expected, sizeof(expected), "%s%s", i > 0 ? ", " : "one of ",
            descriptor->fields[i].name);
    }
    if (descriptor->n_fields == 0)
        words_add(expected, sizeof(expected), "no fields");
    if (suggest.best != NULL)
        aisys_diag_add(
            diag, where, path, expected, "unknown field, did you mean \"%s\"?", suggest.best);
    else
        aisys_diag_add(diag, where, path, expected, "unknown field");
}

size_t schema_element_bytes(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_ENUM:
        return 4;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        break;
    }
    return sizeof(void *);
}

size_t schema_count(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const void *const quantifier = schema_quantifier(message, field);
    const void *const member = schema_member(message, field);

    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return *(const size_t *)quantifier;
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
        *(const uint32_t *)quantifier != field->id)
        return 0;
    if (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_MESSAGE) {
        const void *const pointer = *(void *const *)member;

        return pointer != NULL && pointer != field->default_value;
    }
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 ||
        field->label != PROTOBUF_C_LABEL_OPTIONAL)
        return 1;
    return *(const protobuf_c_boolean *)quantifier != 0;
}

const void *schema_value(
    const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, size_t i)
{
    const void *const member = schema_member(message, field);

    if (field->label != PROTOBUF_C_LABEL_REPEATED)
        return member;
    return *(const char *const *)member + i * schema_element_bytes(field);
}

bool schema_is_integer(const ProtobufCFieldDescriptor *field)
{
    return field->type <= PROTOBUF_C_TYPE_FIXED64;
}

bool schema_is_number(const ProtobufCFieldDescriptor *field)
{
    return field->type <= PROTOBUF_C_TYPE_DOUBLE;
}

bool schema_is_64_bit(const ProtobufCFieldDescriptor *field)
{
    return schema_is_integer(field) && schema_element_bytes(field) == 8;
}

double schema_number(const ProtobufCFieldDescriptor *field, const void *value)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_ENUM:
        return *(const int32_t *)value;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return *(const uint32_t *)value;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return (double)*(const int64_t *)value;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return (double)*(const uint64_t *)value;
    case PROTOBUF_C_TYPE_FLOAT:
        return *(const float *)value;
    case PROTOBUF_C_TYPE_DOUBLE:
        return *(const double *)value;
    default:
        return 0;
    }
}

static void expected_range(const Aisys__FieldRules *rules, char *buf, size_t size)
{
    char min[AISYS_JSON_NUMBER_BYTES] = "", max[AISYS_JSON_NUMBER_BYTES] = "";

    if (rules->has_min)
        aisys_json_number(rules->min, false, min);
    if (rules->has_max)
        aisys_json_number(rules->max, false, max);
    if (rules->has_min && rules->has_max)
        words_add(buf, size, " from %s to %s", min, max);
    else if (rules->has_min)
        words_add(buf, size, ", %s or more", min);
    else if (rules->has_max)
        words_add(buf, size, ", %s or less", max);
    if (rules->unit != NULL)
        words_add(buf, size, " (%s)", rules->unit);
}

static void expected_length(const Aisys__FieldRules *rules, char *buf, size_t size)
{
    if (rules->has_min_len && rules->has_max_len && rules->min_len == rules->max_len)
        words_add(buf, size, " of %llu bytes", (unsigned long long)rules->min_len);
    else if (rules->has_min_len && rules->has_max_len)
        words_add(buf, size, " of %llu to %llu bytes", (unsigned long long)rules->min_len,
            (unsigned long long)rules->max_len);
    else if (rules->has_min_len)
        words_add(buf, size, " of %llu bytes or more", (unsigned long long)rules->min_len);
    else if (rules->has_max_len)
        words_add(buf, size, " of at most %llu bytes", (unsigned long long)rules->max_len);
}

static void expected_enum(const ProtobufCEnumDescriptor *e, char *buf, size_t size)
{
    words_add(buf, size, e->n_values == 1 ? "" : "one of ");
    for (unsigned i = 0; i < e->n_values; i++)
        words_add(buf, size, "%s%s", i > 0 ? ", " : "", e->values[i].name);
}

static void expected_integer_type(
    const ProtobufCFieldDescriptor *field, const Aisys__FieldRules *rules, char *buf, size_t size)
{
    const bool is_unsigned =
        field->type == PROTOBUF_C_TYPE_UINT32 || field->type == PROTOBUF_C_TYPE_FIXED32 ||
        field->type == PROTOBUF_C_TYPE_UINT64 || field->type == PROTOBUF_C_TYPE_FIXED64;

    words_add(buf, size, "an integer");
    if (is_unsigned && !rules->has_min && rules->has_max) {
        Aisys__FieldRules from_zero = *rules;

        from_zero.has_min = 1;
        expected_range(&from_zero, buf, size);
        return;
    }
    if (is_unsigned && !rules->has_min && !schema_is_64_bit(field))
        words_add(buf, size, " from 0 to 4294967295");
    else if (is_unsigned && !rules->has_min)
        words_add(buf, size, ", 0 or more");
    expected_range(rules, buf, size);
}

void schema_expected(const ProtobufCFieldDescriptor *field, const struct aisys_schema_field *doc,
    char *buf, size_t size)
{
    const Aisys__FieldRules *const rules = doc->rules;

    buf[0] = '\0';
    if (rules->time) {
        words_add(buf, size, "a time such as \"2026-01-31T12:00:00Z\"");
    } else if (schema_is_integer(field)) {
        expected_integer_type(field, rules, buf, size);
    } else if (schema_is_number(field)) {
        words_add(buf, size, "a number");
        expected_range(rules, buf, size);
    } else if (field->type == PROTOBUF_C_TYPE_BOOL) {
        words_add(buf, size, "true or false");
    } else if (field->type == PROTOBUF_C_TYPE_ENUM) {
        expected_enum(field->descriptor, buf, size);
    } else if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        words_add(buf, size, "a map of fields");
    } else {
        words_add(buf, size, field->type == PROTOBUF_C_TYPE_STRING ? "a string" : "base64");
        expected_length(rules, buf, size);
        if (rules->pattern_words != NULL)
            words_add(buf, size, ": %s", rules->pattern_words);
        else if (rules->pattern != NULL)
            words_add(buf, size, " that matches %s", rules->pattern);
    }
}

void schema_expected_field(const ProtobufCFieldDescriptor *field,
    const struct aisys_schema_field *doc, char *buf, size_t size)
{
    const Aisys__FieldRules *const rules = doc->rules;
    char element[SCHEMA_WORDS_BYTES];

    schema_expected(field, doc, element, sizeof(element));
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
        snprintf(buf, size, "%s", element);
        return;
    }
    snprintf(buf, size, "a list");
    if (rules->has_min_items && rules->has_max_items)
        words_add(buf, size, " of %u to %u", rules->min_items, rules->max_items);
    else if (rules->has_max_items)
        words_add(buf, size, " of at most %u", rules->max_items);
    else if (rules->has_min_items)
        words_add(buf, size, " of at least %u", rules->min_items);
    words_add(buf, size, "%s, each %s", rules->unique ? " different" : "", element);
}
