#include "schema/words.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base64.h"
#include "core/utf8.h"
#include "schema/field.h"

struct words {
    struct aisys_arena *arena;
    struct aisys_diag *diag;
    aisys_words_file_fn file;
    void *file_ctx;
    const char *key; /* of the word at hand, as written */
};

static struct aisys_node *words_number(
    struct words *words, const ProtobufCFieldDescriptor *field, const char *text)
{
    char *end;

    errno = 0;
    if (!schema_is_integer(field)) {
        const double value = strtod(text, &end);

        if (*text != '\0' && *end == '\0' && isfinite(value))
            return aisys_node_double(words->arena, value);
    } else {
        const long long value = strtoll(text, &end, 10);

        if (*text != '\0' && *end == '\0' && errno == 0)
            return aisys_node_int(words->arena, value);
    }
    return aisys_node_string(words->arena, text);
}

/* The bytes that a string or bytes field gets: the text, or the file it names. */
static int words_bytes(struct words *words, const char *text, const char **ret, size_t *ret_bytes)
{
    int r;

    *ret = text;
    *ret_bytes = strlen(text);
    if (text[0] != '@' || words->file == NULL)
        return 0;
    if (text[1] == '@') {
        (*ret)++;
        (*ret_bytes)--;
        return 0;
    }
    r = words->file(words->file_ctx, text + 1, words->arena, ret, ret_bytes);
    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        aisys_diag_add(words->diag, NULL, words->key,
            "a file that can be read (@@ for a literal @)", "%s: %s", text + 1, strerror(-r));
        return AISYS_TREE_INVALID;
    }
    return 0;
}

static int words_string(struct words *words, const ProtobufCFieldDescriptor *field,
    const char *text, struct aisys_node **ret_node)
{
    const char *data;
    char *encoded;
    size_t bytes;
    int r;

    r = words_bytes(words, text, &data, &bytes);
    if (r != 0)
        return r;
    if (field->type == PROTOBUF_C_TYPE_BYTES) {
        encoded = aisys_arena_alloc(words->arena, AISYS_BASE64_TEXT_BYTES(bytes) + 1);
        if (encoded == NULL)
            return -ENOMEM;
        aisys_base64_encode(data, bytes, encoded);
        *ret_node =
            aisys_node_string_borrowed(words->arena, encoded, AISYS_BASE64_TEXT_BYTES(bytes));
        return 0;
    }
    if (!aisys_utf8_valid(data, bytes)) {
        aisys_diag_add(words->diag, NULL, words->key, "UTF-8", "is not UTF-8");
        return AISYS_TREE_INVALID;
    }
    *ret_node = aisys_node_string_n(words->arena, data, bytes);
    return 0;
}

static int words_value(struct words *words, const ProtobufCFieldDescriptor *field, const char *text,
    struct aisys_node **ret_node)
{
    char expected[SCHEMA_WORDS_BYTES];

    *ret_node = NULL;
    if (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_BYTES)
        return words_string(words, field, text, ret_node);
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        snprintf(
            expected, sizeof(expected), "%s.FIELD=VALUE, or JSON on standard input", words->key);
        aisys_diag_add(words->diag, NULL, words->key, expected, "is a message, not one value");
        return AISYS_TREE_INVALID;
    }
    if (schema_is_number(field))
        *ret_node = words_number(words, field, text);
    else if (field->type == PROTOBUF_C_TYPE_BOOL &&
             (strcasecmp(text, "true") == 0 || strcasecmp(text, "false") == 0))
        *ret_node = aisys_node_bool(words->arena, strcasecmp(text, "true") == 0);
    else
        *ret_node = aisys_node_string(words->arena, text);
    return 0;
}

static int words_append(struct words *words, const ProtobufCFieldDescriptor *field,
    const char *text, struct aisys_node *list)
{
    const bool split = schema_is_number(field) || field->type == PROTOBUF_C_TYPE_ENUM;

    for (;;) {
        const size_t n = split ? strcspn(text, ",") : strlen(text);
        const char *const part = aisys_arena_copy(words->arena, text, n);
        struct aisys_node *item;
        int r;

        if (part == NULL)
            return -ENOMEM;
        r = words_value(words, field, part, &item);
        if (r != 0)
            return r;
        aisys_node_append(list, item);
        if (text[n] == '\0')
            return 0;
        text += n + 1;
    }
}

static int words_field(struct words *words, const ProtobufCFieldDescriptor *field,
    struct aisys_node *map, const char *text)
{
    struct aisys_node *node = aisys_node_get(map, field->name);
    int r;

    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        if (node == NULL) {
            node = aisys_node_list(words->arena);
            aisys_node_set(map, field->name, node);
        }
        return node != NULL ? words_append(words, field, text, node) : -ENOMEM;
    }
    if (node != NULL) {
        aisys_diag_add(words->diag, NULL, words->key, "one value", "is given twice");
        return AISYS_TREE_INVALID;
    }
    r = words_value(words, field, text, &node);
    if (r == 0)
        aisys_node_set(map, field->name, node);
    return r;
}

/* Follow the dotted key from @map, then set the field that it ends at. */
static int words_key(struct words *words, const ProtobufCMessageDescriptor *descriptor,
    struct aisys_node *map, const char *key, const char *text)
{
    for (;;) {
        const size_t n = strcspn(key, ".");
        const char *const name = aisys_arena_copy(words->arena, key, n);
        const ProtobufCFieldDescriptor *field;
        struct aisys_node *inner;

        if (name == NULL)
            return -ENOMEM;
        field = protobuf_c_message_descriptor_get_field_by_name(descriptor, name);
        if (field == NULL) {
            schema_unknown(words->diag, descriptor, name, NULL, words->key);
            return AISYS_TREE_INVALID;
        }
        if (key[n] == '\0')
            return words_field(words, field, map, text);
        if (field->type != PROTOBUF_C_TYPE_MESSAGE || field->label == PROTOBUF_C_LABEL_REPEATED) {
            aisys_diag_add(words->diag, NULL, words->key, "JSON on standard input for that",
                "%s is no single message", name);
            return AISYS_TREE_INVALID;
        }
        inner = aisys_node_get(map, name);
        if (inner == NULL) {
            inner = aisys_node_map(words->arena);
            if (inner == NULL)
                return -ENOMEM;
            aisys_node_set(map, field->name, inner);
        }
        map = inner;
        descriptor = field->descriptor;
        key += n + 1;
    }
}

int aisys_schema_words(const ProtobufCMessageDescriptor *descriptor, const char *const *words_in,
    size_t count, aisys_words_file_fn file, void *file_ctx, struct aisys_arena *arena,
    struct aisys_diag *diag, struct aisys_node **ret_root)
{
    struct words words = { .arena = arena, .diag = diag, .file = file, .file_ctx = file_ctx };
    struct aisys_node *const root = aisys_node_map(arena);
    const unsigned errors = aisys_diag_errors(diag);

    for (size_t i = 0; i < count && root != NULL; i++) {
        const char *const equals = strchr(words_in[i], '=');
        int r;

        if (equals == NULL || equals == words_in[i]) {
            aisys_diag_add(diag, NULL, words_in[i], "key=value", "is no key=value");
            continue;
        }
        words.key = aisys_arena_copy(arena, words_in[i], (size_t)(equals - words_in[i]));
        if (words.key == NULL)
            return -ENOMEM;
        r = words_key(&words, descriptor, root, words.key, equals + 1);
        if (r < 0)
            return r;
    }
    if (root == NULL || aisys_arena_failed(arena))
        return -ENOMEM;
    if (aisys_diag_errors(diag) > errors)
        return AISYS_TREE_INVALID;
    *ret_root = root;
    return 0;
}
