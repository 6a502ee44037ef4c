#include "schema/read.h"

#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base64.h"
#include "core/rfc3339.h"
#include "core/suggest.h"
#include "core/utf8.h"
#include "schema/check.h"
#include "schema/field.h"

struct read {
    struct aisys_arena *arena;
    struct aisys_diag *diag;
};

/* One value that is being read. */
struct read_value {
    const ProtobufCFieldDescriptor *field;
    const struct aisys_schema_field *doc;
    const struct schema_path *path;
    const struct aisys_node *node;
};

/* What @node is, quoted where that is short: `the string "abc"`, `a list`. */
static void read_describe(const struct aisys_node *node, char *buf, size_t size)
{
    const int cut = node->text_bytes > 60 ? 60 : (int)node->text_bytes;
    const char *const dots = node->text_bytes > 60 ? "..." : "";

    switch ((enum aisys_node_kind)node->kind) {
    case AISYS_NODE_STRING:
        snprintf(buf, size, "%s\"%.*s%s\"", node->style == AISYS_STYLE_STRICT ? "the string " : "",
            cut, node->text, dots);
        break;
    case AISYS_NODE_INT:
        snprintf(buf, size, "%lld", (long long)node->i64);
        break;
    case AISYS_NODE_UINT:
        snprintf(buf, size, "%llu", (unsigned long long)node->u64);
        break;
    case AISYS_NODE_DOUBLE:
        snprintf(buf, size, "%.9g", node->f64);
        break;
    case AISYS_NODE_BOOL:
        snprintf(buf, size, "%s", node->boolean ? "true" : "false");
        break;
    case AISYS_NODE_NULL:
    case AISYS_NODE_LIST:
    case AISYS_NODE_MAP:
        snprintf(buf, size, "%s", aisys_node_kind_name(node));
        break;
    }
}

/* Report that the node is not what the field wants. Always false. */
static bool read_wrong(struct read *read, const struct read_value *v, const char *why)
{
    char expected[SCHEMA_WORDS_BYTES];
    char is[160];

    schema_expected(v->field, v->doc, expected, sizeof(expected));
    read_describe(v->node, is, sizeof(is));
    schema_error(read->diag, v->path, v->node, expected, "is %s%s", is, why);
    return false;
}

/* Whether the node has text that may stand for something else than a string. */
static bool read_has_text(const struct aisys_node *node)
{
    return node->kind == AISYS_NODE_STRING ||
           (node->style == AISYS_STYLE_PLAIN && node->text != NULL && node->kind < AISYS_NODE_LIST);
}

/* An integer of any size: sign and magnitude. False when the node is none. */
static bool read_integer(const struct aisys_node *node, bool *ret_negative, uint64_t *ret_magnitude)
{
    char digits[24];
    char *end;

    *ret_negative = false;
    switch ((enum aisys_node_kind)node->kind) {
    case AISYS_NODE_INT:
        *ret_negative = node->i64 < 0;
        *ret_magnitude = *ret_negative ? 0 - (uint64_t)node->i64 : (uint64_t)node->i64;
        return true;
    case AISYS_NODE_UINT:
        *ret_magnitude = node->u64;
        return true;
    case AISYS_NODE_DOUBLE: /* 1e3 is an integer, too */
        if (!(fabs(node->f64) < 9007199254740992.0) || node->f64 != floor(node->f64))
            return false;
        *ret_negative = node->f64 < 0;
        *ret_magnitude = (uint64_t)fabs(node->f64);
        return true;
    case AISYS_NODE_STRING:
        if (node->text_bytes == 0 || node->text_bytes >= sizeof(digits))
            return false;
        memcpy(digits, node->text, node->text_bytes);
        digits[node->text_bytes] = '\0';
        *ret_negative = digits[0] == '-';
        if (!isdigit((unsigned char)digits[*ret_negative]))
            return false;
        errno = 0;
        *ret_magnitude = strtoull(digits + *ret_negative, &end, 10);
        return *end == '\0' && errno == 0;
    default:
        return false;
    }
}

static bool read_signed(
    struct read *read, const struct read_value *v, int64_t min, int64_t max, int64_t *ret_value)
{
    uint64_t magnitude;
    bool negative;

    if (!read_integer(v->node, &negative, &magnitude))
        return read_wrong(read, v, "");
    if (negative ? magnitude > (uint64_t)INT64_MAX + 1 : magnitude > INT64_MAX)
        return read_wrong(read, v, ", too large for the field");
    *ret_value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    if (*ret_value < min || *ret_value > max)
        return read_wrong(read, v, ", too large for the field");
    return true;
}

static bool read_unsigned(
    struct read *read, const struct read_value *v, uint64_t max, uint64_t *ret_value)
{
    uint64_t magnitude;
    bool negative;

    if (!read_integer(v->node, &negative, &magnitude))
        return read_wrong(read, v, "");
    if (negative && magnitude > 0)
        return read_wrong(read, v, "");
    if (magnitude > max)
        return read_wrong(read, v, ", too large for the field");
    *ret_value = magnitude;
    return true;
}

static bool read_double(struct read *read, const struct read_value *v, double *ret_value)
{
    const struct aisys_node *const node = v->node;
    char text[64];
    char *end;

    switch ((enum aisys_node_kind)node->kind) {
    case AISYS_NODE_INT:
        *ret_value = (double)node->i64;
        return true;
    case AISYS_NODE_UINT:
        *ret_value = (double)node->u64;
        return true;
    case AISYS_NODE_DOUBLE:
        *ret_value = node->f64;
        break;
    case AISYS_NODE_STRING:
        if (node->text_bytes == 0 || node->text_bytes >= sizeof(text))
            return read_wrong(read, v, "");
        memcpy(text, node->text, node->text_bytes);
        text[node->text_bytes] = '\0';
        *ret_value = strtod(text, &end);
        if (*end != '\0' || strspn(text, "0123456789+-.eE") != strlen(text))
            return read_wrong(read, v, "");
        break;
    default:
        return read_wrong(read, v, "");
    }
    return isfinite(*ret_value) || read_wrong(read, v, ", not a finite number");
}

static bool read_float(struct read *read, const struct read_value *v, float *ret_value)
{
    double value;

    if (!read_double(read, v, &value))
        return false;
    if (fabs(value) > (double)FLT_MAX)
        return read_wrong(read, v, ", too large for the field");
    *ret_value = (float)value;
    return true;
}

static bool read_bool(struct read *read, const struct read_value *v, protobuf_c_boolean *ret_value)
{
    static const char *const trues[] = { "true", "1", "yes", "on" };
    static const char *const falses[] = { "false", "0", "no", "off" };

    if (v->node->kind == AISYS_NODE_BOOL) {
        *ret_value = v->node->boolean;
        return true;
    }
    if (v->node->style != AISYS_STYLE_TEXT)
        return read_wrong(read, v, "");
    for (size_t i = 0; i < sizeof(trues) / sizeof(*trues); i++) {
        if (strcasecmp(v->node->text, trues[i]) == 0 || strcasecmp(v->node->text, falses[i]) == 0) {
            *ret_value = strcasecmp(v->node->text, trues[i]) == 0;
            return true;
        }
    }
    return read_wrong(read, v, "");
}

static const ProtobufCEnumValue *read_enum_name(
    const ProtobufCEnumDescriptor *e, const char *name, size_t bytes)
{
    for (unsigned i = 0; i < e->n_values; i++)
        if (strlen(e->values[i].name) == bytes && strncasecmp(e->values[i].name, name, bytes) == 0)
            return &e->values[i];
    return NULL;
}

static bool read_enum_wrong(struct read *read, const struct read_value *v)
{
    const ProtobufCEnumDescriptor *const e = v->field->descriptor;
    char name[AISYS_SUGGEST_BYTES_MAX + 1];
    struct aisys_suggest suggest;
    char why[160] = "";

    if (read_has_text(v->node) && v->node->text_bytes < sizeof(name)) {
        memcpy(name, v->node->text, v->node->text_bytes);
        name[v->node->text_bytes] = '\0';
        aisys_suggest_init(&suggest, name);
        for (unsigned i = 0; i < e->n_values; i++)
            aisys_suggest_offer(&suggest, e->values[i].name);
        if (suggest.best != NULL)
            snprintf(why, sizeof(why), ", did you mean %s?", suggest.best);
    }
    return read_wrong(read, v, why);
}

static bool read_enum(struct read *read, const struct read_value *v, int *ret_value)
{
    const ProtobufCEnumDescriptor *const e = v->field->descriptor;
    const ProtobufCEnumValue *value = NULL;
    uint64_t magnitude;
    bool negative;

    if (read_has_text(v->node))
        value = read_enum_name(e, v->node->text, v->node->text_bytes);
    if (value == NULL && read_integer(v->node, &negative, &magnitude) && magnitude <= INT32_MAX)
        value =
            protobuf_c_enum_descriptor_get_value(e, negative ? -(int)magnitude : (int)magnitude);
    if (value == NULL)
        return read_enum_wrong(read, v);
    *ret_value = value->value;
    return true;
}

static bool read_string(struct read *read, const struct read_value *v, const char **ret_value)
{
    const struct aisys_node *const node = v->node;

    if (!read_has_text(node))
        return read_wrong(read, v, "");
    if (memchr(node->text, '\0', node->text_bytes) != NULL)
        return read_wrong(read, v, " with a NUL in it");
    if (node->style == AISYS_STYLE_TEXT && !aisys_utf8_valid(node->text, node->text_bytes))
        return read_wrong(read, v, ", which is not UTF-8");
    *ret_value = node->text;
    if (node->text[node->text_bytes] != '\0')
        *ret_value = aisys_arena_copy(read->arena, node->text, node->text_bytes);
    return *ret_value != NULL;
}

static bool read_bytes(
    struct read *read, const struct read_value *v, ProtobufCBinaryData *ret_value)
{
    const struct aisys_node *const node = v->node;
    const Aisys__FieldRules *const rules = v->doc->rules;
    uint8_t *data;

    if (!read_has_text(node))
        return read_wrong(read, v, "");
    /* Said here, before the memory for it is taken. */
    if (rules->has_max_len && node->text_bytes / 4 * 3 > rules->max_len + 3) {
        char expected[SCHEMA_WORDS_BYTES];

        schema_expected(v->field, v->doc, expected, sizeof(expected));
        schema_error(
            read->diag, v->path, node, expected, "has %zu bytes", node->text_bytes / 4 * 3);
        return false;
    }
    data = aisys_arena_alloc(read->arena, AISYS_BASE64_DATA_BYTES(node->text_bytes));
    if (data == NULL)
        return false;
    if (!aisys_base64_decode(node->text, node->text_bytes, data, &ret_value->len))
        return read_wrong(read, v, ", which is not base64");
    ret_value->data = data;
    return true;
}

static bool read_time(struct read *read, const struct read_value *v, int64_t *ret_value)
{
    if (!read_has_text(v->node) ||
        !aisys_rfc3339_read(v->node->text, v->node->text_bytes, ret_value))
        return read_wrong(read, v, "");
    return true;
}

static bool read_message(struct read *read, const ProtobufCMessageDescriptor *descriptor,
    const struct aisys_node *node, const struct schema_path *path, ProtobufCMessage **ret_message);

static bool read_nested(struct read *read, const struct read_value *v, ProtobufCMessage **ret_value)
{
    if (v->node->kind != AISYS_NODE_MAP)
        return read_wrong(read, v, "");
    return read_message(read, v->field->descriptor, v->node, v->path, ret_value);
}

static bool read_int64(struct read *read, const struct read_value *v, int64_t *ret_value)
{
    if (v->doc->rules->time)
        return read_time(read, v, ret_value);
    return read_signed(read, v, INT64_MIN, INT64_MAX, ret_value);
}

/* Read one value into @to, which has room for an element of the field. */
static bool read_scalar(struct read *read, const struct read_value *v, void *to)
{
    uint64_t u64;
    int64_t i64;

    switch (v->field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        if (!read_signed(read, v, INT32_MIN, INT32_MAX, &i64))
            return false;
        *(int32_t *)to = (int32_t)i64;
        return true;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return read_int64(read, v, to);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        if (!read_unsigned(read, v, UINT32_MAX, &u64))
            return false;
        *(uint32_t *)to = (uint32_t)u64;
        return true;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return read_unsigned(read, v, UINT64_MAX, to);
    case PROTOBUF_C_TYPE_FLOAT:
        return read_float(read, v, to);
    case PROTOBUF_C_TYPE_DOUBLE:
        return read_double(read, v, to);
    case PROTOBUF_C_TYPE_BOOL:
        return read_bool(read, v, to);
    case PROTOBUF_C_TYPE_ENUM:
        return read_enum(read, v, to);
    case PROTOBUF_C_TYPE_STRING:
        return read_string(read, v, to);
    case PROTOBUF_C_TYPE_BYTES:
        return read_bytes(read, v, to);
    case PROTOBUF_C_TYPE_MESSAGE:
        return read_nested(read, v, to);
    }
    return false;
}

/* "a,b,c" of a variable as a list of texts. */
static const struct aisys_node *read_split(struct read *read, const struct aisys_node *node)
{
    struct aisys_node *const list = aisys_node_list(read->arena);
    const char *at = node->text;
    const char *const end = at + node->text_bytes;

    while (list != NULL && at < end) {
        const char *const comma = memchr(at, ',', (size_t)(end - at));
        const char *to = comma != NULL ? comma : end;
        struct aisys_node *item;

        while (at < to && *at == ' ')
            at++;
        while (to > at && to[-1] == ' ')
            to--;
        item = aisys_node_string_n(read->arena, at, (size_t)(to - at));
        if (item == NULL)
            return NULL;
        item->style = AISYS_STYLE_TEXT;
        item->where = node->where;
        aisys_node_append(list, item);
        at = comma != NULL ? comma + 1 : end;
    }
    return list;
}

static void read_list(struct read *read, const struct read_value *v, ProtobufCMessage *message)
{
    const size_t element_bytes = schema_element_bytes(v->field);
    const struct aisys_node *list = v->node;
    size_t count = 0;
    char *elements;

    if (list->style == AISYS_STYLE_TEXT && list->kind == AISYS_NODE_STRING &&
        v->field->type != PROTOBUF_C_TYPE_MESSAGE)
        list = read_split(read, list);
    if (list == NULL)
        return;
    if (list->kind != AISYS_NODE_LIST) {
        char expected[SCHEMA_WORDS_BYTES], is[160];

        schema_expected_field(v->field, v->doc, expected, sizeof(expected));
        read_describe(list, is, sizeof(is));
        schema_error(read->diag, v->path, list, expected, "is %s", is);
        return;
    }
    elements = aisys_arena_calloc(read->arena, list->items.count, element_bytes);
    if (elements == NULL)
        return;
    for (const struct aisys_node *at = list->items.first; at != NULL; at = at->next) {
        const struct schema_path path = { .up = v->path, .index = count };
        struct read_value element = { .field = v->field, .doc = v->doc, .path = &path, .node = at };

        if (read_scalar(read, &element, elements + count * element_bytes))
            count++;
    }
    *(char **)schema_member(message, v->field) = elements;
    *(size_t *)schema_quantifier(message, v->field) = count;
}

/* Say in the message that the field is there. False when another of its oneof is already. */
static bool read_mark(struct read *read, const struct read_value *v, ProtobufCMessage *message)
{
    void *const quantifier = schema_quantifier(message, v->field);

    if ((v->field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        uint32_t *const which = quantifier;

        if (*which != 0) {
            const ProtobufCFieldDescriptor *const other =
                protobuf_c_message_descriptor_get_field(message->descriptor, *which);

            schema_error(read->diag, v->path, v->node, "one of them",
                "excludes %s, which is there, too", other->name);
            return false;
        }
        *which = v->field->id;
    } else if (v->field->label == PROTOBUF_C_LABEL_OPTIONAL &&
               v->field->type != PROTOBUF_C_TYPE_STRING &&
               v->field->type != PROTOBUF_C_TYPE_MESSAGE) {
        *(protobuf_c_boolean *)quantifier = 1;
    }
    return true;
}

static void read_single(struct read *read, const struct read_value *v, ProtobufCMessage *message)
{
    union {
        uint64_t number;
        void *pointer;
        ProtobufCBinaryData bytes;
    } value = { .bytes = { 0 } };

    if (read_scalar(read, v, &value) && read_mark(read, v, message))
        memcpy(schema_member(message, v->field), &value, schema_element_bytes(v->field));
}

static void read_unknown(struct read *read, const ProtobufCMessageDescriptor *descriptor,
    const struct aisys_node *node, const struct schema_path *path)
{
    char at[AISYS_DIAG_TEXT_MAX];

    schema_path_write(path, at, sizeof(at));
    schema_unknown(read->diag, descriptor, node->key, node, at);
}

/* Recursion ends with the tree, whose depth its parser has limited. */
static bool read_message(struct read *read, const ProtobufCMessageDescriptor *descriptor,
    const struct aisys_node *node, const struct schema_path *path, ProtobufCMessage **ret_message)
{
    const struct aisys_schema_message *const doc = aisys_schema_message(descriptor->name);
    ProtobufCMessage *const message = aisys_arena_alloc(read->arena, descriptor->sizeof_message);

    if (message == NULL)
        return false;
    protobuf_c_message_init(descriptor, message);
    *ret_message = message;
    for (const struct aisys_node *at = node->items.first; at != NULL; at = at->next) {
        const struct schema_path field_path = { .up = path, .name = at->key };
        struct read_value v = { .path = &field_path, .node = at };

        v.field = protobuf_c_message_descriptor_get_field_by_name(descriptor, at->key);
        if (v.field == NULL) {
            read_unknown(read, descriptor, at, &field_path);
            continue;
        }
        if (at->kind == AISYS_NODE_NULL)
            continue;
        v.doc = aisys_schema_field(doc, v.field);
        if (v.field->label == PROTOBUF_C_LABEL_REPEATED)
            read_list(read, &v, message);
        else
            read_single(read, &v, message);
    }
    return true;
}

int aisys_schema_read_part(const ProtobufCMessageDescriptor *descriptor,
    const struct aisys_node *node, struct aisys_arena *arena, struct aisys_diag *diag,
    ProtobufCMessage **ret_message)
{
    static const struct aisys_node nothing = { .kind = AISYS_NODE_MAP };
    struct read read = { .arena = arena, .diag = diag };
    const unsigned errors = aisys_diag_errors(diag);
    ProtobufCMessage *message = NULL;

    if (node == NULL || node->kind == AISYS_NODE_NULL)
        node = &nothing;
    if (node->kind != AISYS_NODE_MAP) {
        aisys_diag_add(
            diag, &node->where, "", "a map of fields", "is %s", aisys_node_kind_name(node));
        node = &nothing;
    }
    read_message(&read, descriptor, node, NULL, &message);
    if (message == NULL || aisys_arena_failed(arena))
        return -ENOMEM;
    if (node != &nothing || aisys_diag_errors(diag) == errors)
        aisys_schema_check(message, node, diag);
    *ret_message = message;
    return aisys_diag_errors(diag) > errors ? AISYS_TREE_INVALID : 0;
}

int aisys_schema_read(const ProtobufCMessageDescriptor *descriptor, const struct aisys_node *node,
    struct aisys_arena *arena, struct aisys_diag *diag, ProtobufCMessage **ret_message)
{
    ProtobufCMessage *message = NULL;
    const int r = aisys_schema_read_part(descriptor, node, arena, diag, &message);

    if (r == 0)
        *ret_message = message;
    return r;
}
