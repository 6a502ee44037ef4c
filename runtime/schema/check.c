#include "schema/check.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/utf8.h"
#include "schema/field.h"

#define CHECK_DEPTH_MAX     AISYS_TREE_DEPTH_MAX
#define CHECK_UNIQUE_MAX    4096 /* longer lists are not compared pair by pair */
#define CHECK_PATTERN_BYTES 65536

struct check {
    struct aisys_diag *diag;
    bool wire; /* no reader has looked at the values yet */
    unsigned depth;
};

/* One field of one message, with all that the checks of its values need. */
struct check_field {
    const ProtobufCFieldDescriptor *field;
    const struct aisys_schema_field *doc;
    const struct schema_path *path;
    const struct aisys_node *node; /* of the value, NULL when there is none */
};

static void check_fails(struct check *check, const struct check_field *f, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void check_fails(struct check *check, const struct check_field *f, const char *fmt, ...)
{
    char expected[SCHEMA_WORDS_BYTES];
    char path[AISYS_DIAG_TEXT_MAX];
    va_list ap;

    schema_expected(f->field, f->doc, expected, sizeof(expected));
    schema_path_write(f->path, path, sizeof(path));
    va_start(ap, fmt);
    aisys_diag_addv(check->diag, f->node != NULL ? &f->node->where : NULL, path, expected, fmt, ap);
    va_end(ap);
}

static void check_number(struct check *check, const struct check_field *f, const void *value)
{
    const Aisys__FieldRules *const rules = f->doc->rules;
    const double number = schema_number(f->field, value);
    char text[AISYS_DIAG_TEXT_MAX];

    if (check->wire && !isfinite(number)) {
        check_fails(check, f, "is not a finite number");
        return;
    }
    if (!(rules->has_min && number < rules->min) && !(rules->has_max && number > rules->max))
        return;
    if (schema_is_integer(f->field))
        snprintf(text, sizeof(text), "%.0f", number);
    else
        snprintf(text, sizeof(text), "%.9g", number);
    check_fails(check, f, "is %s", text);
}

static void check_enum(struct check *check, const struct check_field *f, const void *value)
{
    const int number = *(const int *)value;

    if (check->wire && protobuf_c_enum_descriptor_get_value(f->field->descriptor, number) == NULL)
        check_fails(check, f, "is %d", number);
}

/* False when the length is already wrong: then nothing else is worth saying. */
static bool check_length(struct check *check, const struct check_field *f, size_t bytes)
{
    const Aisys__FieldRules *const rules = f->doc->rules;

    if ((rules->has_min_len && bytes < rules->min_len) ||
        (rules->has_max_len && bytes > rules->max_len)) {
        if (bytes == 0)
            check_fails(check, f, "is empty");
        else
            check_fails(check, f, "has %zu byte%s", bytes, bytes == 1 ? "" : "s");
        return false;
    }
    return true;
}

static void check_string(struct check *check, const struct check_field *f, const char *text)
{
    const size_t bytes = strlen(text);

    if (!check_length(check, f, bytes))
        return;
    if (check->wire && !aisys_utf8_valid(text, bytes)) {
        check_fails(check, f, "is not UTF-8");
        return;
    }
    if (f->doc->pattern != NULL &&
        (bytes > CHECK_PATTERN_BYTES || regexec(f->doc->pattern, text, 0, NULL, 0) != 0))
        check_fails(check, f, "is \"%.100s\"", text);
}

static void check_message(struct check *check, const ProtobufCMessage *message,
    const struct aisys_node *node, const struct schema_path *path);

static void check_value(struct check *check, const struct check_field *f, const void *value)
{
    switch (f->field->type) {
    case PROTOBUF_C_TYPE_STRING:
        check_string(check, f, *(const char *const *)value);
        break;
    case PROTOBUF_C_TYPE_BYTES:
        check_length(check, f, ((const ProtobufCBinaryData *)value)->len);
        break;
    case PROTOBUF_C_TYPE_ENUM:
        check_enum(check, f, value);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        check_message(check, *(const ProtobufCMessage *const *)value, f->node, f->path);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        break;
    default:
        check_number(check, f, value);
        break;
    }
}

static bool check_same(const ProtobufCFieldDescriptor *field, const void *a, const void *b)
{
    if (field->type == PROTOBUF_C_TYPE_STRING)
        return strcmp(*(const char *const *)a, *(const char *const *)b) == 0;
    if (field->type == PROTOBUF_C_TYPE_BYTES || field->type == PROTOBUF_C_TYPE_MESSAGE)
        return false;
    return memcmp(a, b, schema_element_bytes(field)) == 0;
}

static void check_unique(
    struct check *check, const struct check_field *f, const ProtobufCMessage *message, size_t count)
{
    for (size_t i = 1; i < count && count <= CHECK_UNIQUE_MAX; i++) {
        for (size_t j = 0; j < i; j++) {
            const struct schema_path element = { .up = f->path, .index = i };

            if (!check_same(f->field, schema_value(message, f->field, i),
                    schema_value(message, f->field, j)))
                continue;
            schema_error(check->diag, &element, f->node, "elements that all differ",
                "is the same as element %zu", j);
            break;
        }
    }
}

static void check_list(
    struct check *check, const struct check_field *f, const ProtobufCMessage *message, size_t count)
{
    const Aisys__FieldRules *const rules = f->doc->rules;
    const struct aisys_node *item = NULL;

    if (f->node != NULL && f->node->kind == AISYS_NODE_LIST) {
        if (f->node->items.count != count)
            return; /* the reader has complained about an element */
        item = f->node->items.first;
    }
    if ((rules->has_max_items && count > rules->max_items) ||
        (rules->has_min_items && count > 0 && count < rules->min_items)) {
        char expected[SCHEMA_WORDS_BYTES];

        schema_expected_field(f->field, f->doc, expected, sizeof(expected));
        schema_error(check->diag, f->path, f->node, expected, "has %zu element%s", count,
            count == 1 ? "" : "s");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const struct schema_path path = { .up = f->path, .index = i };
        const struct check_field element = {
            .field = f->field,
            .doc = f->doc,
            .path = &path,
            .node = item != NULL ? item : f->node,
        };

        check_value(check, &element, schema_value(message, f->field, i));
        if (item != NULL)
            item = item->next;
    }
    if (rules->unique)
        check_unique(check, f, message, count);
}

/* Whether the input has a value for @name: then its absence in the message was reported already. */
static bool check_was_said(const struct aisys_node *node, const char *name)
{
    const struct aisys_node *const value = aisys_node_get(node, name);

    return value != NULL && value->kind != AISYS_NODE_NULL &&
           !(value->kind == AISYS_NODE_LIST && value->items.count == 0);
}

static void check_field(struct check *check, const ProtobufCMessage *message,
    const struct aisys_schema_message *doc, unsigned i, const struct aisys_node *node,
    const struct schema_path *up)
{
    const ProtobufCFieldDescriptor *const field = &message->descriptor->fields[i];
    const size_t count = schema_count(message, field);
    const struct schema_path path = { .up = up, .name = field->name };
    struct check_field f = { .field = field, .path = &path, .node = node };

    f.doc = aisys_schema_field_at(doc, message->descriptor, i);
    if (count == 0) {
        if (f.doc->rules->required && !check_was_said(node, field->name)) {
            char expected[SCHEMA_WORDS_BYTES];

            schema_expected_field(field, f.doc, expected, sizeof(expected));
            schema_error(check->diag, &path, node, expected, "is missing");
        }
        return;
    }
    f.node = aisys_node_get(node, field->name);
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        check_list(check, &f, message, count);
    else
        check_value(check, &f, schema_value(message, field, 0));
}

/* "a", "a or b", "a, b or c". */
static void check_choice_words(const Aisys__MessageRules__Choice *choice, char *buf, size_t size)
{
    buf[0] = '\0';
    for (size_t i = 0; i < choice->n_of; i++) {
        const size_t at = strlen(buf);
        const char *const glue = i == 0 ? "" : i + 1 == choice->n_of ? " or " : ", ";

        snprintf(buf + at, size - at, "%s%s", glue, choice->of[i]);
    }
}

static void check_choice(struct check *check, const ProtobufCMessage *message,
    const Aisys__MessageRules__Choice *choice, const struct aisys_node *node,
    const struct schema_path *path)
{
    char names[SCHEMA_WORDS_BYTES], expected[SCHEMA_WORDS_BYTES];
    char given[SCHEMA_WORDS_BYTES] = "";
    const struct aisys_node *where = node;
    size_t count = 0;

    for (size_t i = 0; i < choice->n_of; i++) {
        const ProtobufCFieldDescriptor *const field =
            protobuf_c_message_descriptor_get_field_by_name(message->descriptor, choice->of[i]);
        const size_t at = strlen(given);

        if (field == NULL ||
            (schema_count(message, field) == 0 && !check_was_said(node, choice->of[i])))
            continue;
        snprintf(given + at, sizeof(given) - at, "%s%s", count > 0 ? " and " : "", choice->of[i]);
        if (++count == 2)
            where = aisys_node_get(node, choice->of[i]);
    }
    if (count == 1 || (count == 0 && choice->at_most_one))
        return;
    check_choice_words(choice, names, sizeof(names));
    snprintf(expected, sizeof(expected), "%s of %s",
        choice->at_most_one ? "at most one" : "exactly one", names);
    if (count == 0)
        schema_error(check->diag, path, node, expected, "has none of %s", names);
    else
        schema_error(
            check->diag, path, where, expected, "has %s%s", count == 2 ? "both " : "", given);
}

static void check_order(struct check *check, const ProtobufCMessage *message,
    const Aisys__MessageRules__Order *order, const struct aisys_node *node,
    const struct schema_path *path)
{
    const ProtobufCFieldDescriptor *const first =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, order->first);
    const ProtobufCFieldDescriptor *const second =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, order->second);
    const struct schema_path at = { .up = path, .name = order->second };
    const struct aisys_node *const value = aisys_node_get(node, order->second);
    double a, b;

    if (first == NULL || second == NULL || schema_count(message, first) == 0 ||
        schema_count(message, second) == 0)
        return;
    a = schema_number(first, schema_value(message, first, 0));
    b = schema_number(second, schema_value(message, second, 0));
    if (a > b || (!(a < b) && !order->or_equal)) {
        char expected[SCHEMA_WORDS_BYTES];

        snprintf(expected, sizeof(expected), "%s after %s", order->second, order->first);
        schema_error(check->diag, &at, value != NULL ? value : node, expected, "is %s %s",
            a > b ? "before" : "the same as", order->first);
    }
}

static void check_message(struct check *check, const ProtobufCMessage *message,
    const struct aisys_node *node, const struct schema_path *path)
{
    const ProtobufCMessageDescriptor *const d = message->descriptor;
    const struct aisys_schema_message *const doc = aisys_schema_message(d->name);

    if (check->depth == CHECK_DEPTH_MAX) {
        schema_error(check->diag, path, node, NULL, "is nested too deep");
        return;
    }
    check->depth++;
    for (unsigned i = 0; i < d->n_fields; i++)
        check_field(check, message, doc, i, node, path);
    for (size_t i = 0; doc != NULL && i < doc->rules->n_choice; i++)
        check_choice(check, message, doc->rules->choice[i], node, path);
    for (size_t i = 0; doc != NULL && i < doc->rules->n_order; i++)
        check_order(check, message, doc->rules->order[i], node, path);
    check->depth--;
}

int aisys_schema_check(
    const ProtobufCMessage *message, const struct aisys_node *node, struct aisys_diag *diag)
{
    struct check check = { .diag = diag, .wire = node == NULL };
    const unsigned errors = aisys_diag_errors(diag);

    check_message(&check, message, node, NULL);
    return aisys_diag_errors(diag) > errors ? AISYS_TREE_INVALID : 0;
}

int aisys_schema_unpack(const ProtobufCMessageDescriptor *descriptor, const void *packed,
    size_t bytes, struct aisys_arena *arena, struct aisys_diag *diag,
    ProtobufCMessage **ret_message)
{
    ProtobufCAllocator allocator = aisys_arena_protobuf(arena);
    ProtobufCMessage *const message =
        protobuf_c_message_unpack(descriptor, &allocator, bytes, packed);
    int r;

    if (message == NULL && aisys_arena_failed(arena))
        return -ENOMEM;
    if (message == NULL) {
        aisys_diag_add(
            diag, NULL, "", NULL, "%zu bytes that are not a %s", bytes, descriptor->name);
        return AISYS_TREE_INVALID;
    }
    r = aisys_schema_check(message, NULL, diag);
    if (r == 0)
        *ret_message = message;
    return r;
}
