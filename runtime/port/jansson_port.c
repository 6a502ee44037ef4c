#include "port/jansson_port.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "core/utf8.h"

/* A long string does not go through jansson: the text that jansson gets has a placeholder instead,
 * a string of U+0001 and the number of the cut. No other string can look like it, because an input
 * with U+0001 in it (only an escape can say that) is never cut. */
#define JSON_CUT_MARK  "\\u0001"
#define JSON_CUTS_MAX  64
#define JSON_CUT_BYTES 16

struct json_cut {
    size_t at;                /* of the string's first byte, in the input */
    size_t bytes;             /* without the quotes */
    size_t reduced_at;        /* of the placeholder's opening quote, in the reduced text */
    size_t placeholder_bytes; /* with its quotes */
};

struct json_input {
    const char *text;
    size_t bytes;
    struct aisys_tree_limits limits;
    struct aisys_arena *arena;
    struct aisys_diag *diag;
    struct json_cut cuts[JSON_CUTS_MAX];
    unsigned cut_count;
};

/* jansson's allocator is process-wide, so ours asks who is parsing on this thread. */
static _Thread_local const struct aisys_allocator *json_allocator;
static _Thread_local bool
    json_starved; /* it said no: jansson does not always report that as such */

static void *json_malloc(size_t bytes)
{
    void *memory;

    if (json_allocator == NULL)
        return malloc(bytes);
    memory = json_allocator->alloc(json_allocator->ctx, bytes);
    if (memory == NULL)
        json_starved = true;
    return memory;
}

static void json_mfree(void *memory)
{
    if (json_allocator == NULL)
        free(memory);
    else if (memory != NULL)
        json_allocator->free(json_allocator->ctx, memory);
}

static void json_hook(void)
{
    json_set_alloc_funcs(json_malloc, json_mfree);
    json_object_seed(0);
}

/* Line and column (in characters) of the byte @at, both from 1. */
static struct aisys_where json_where(const struct json_input *in, size_t at)
{
    struct aisys_where where = { .line = 1, .column = 1 };

    if (at > in->bytes)
        at = in->bytes;
    for (size_t i = 0; i < at; i++) {
        if (in->text[i] == '\n') {
            where.line++;
            where.column = 1;
        } else if (((unsigned char)in->text[i] & 0xc0) != 0x80) {
            where.column++;
        }
    }
    return where;
}

static int json_refuse(const struct json_input *in, size_t at, const char *expected,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static int json_refuse(
    const struct json_input *in, size_t at, const char *expected, const char *fmt, ...)
{
    const struct aisys_where where = json_where(in, at);
    va_list ap;

    va_start(ap, fmt);
    aisys_diag_addv(in->diag, &where, "", expected, fmt, ap);
    va_end(ap);
    return AISYS_TREE_INVALID;
}

/* The end of the string that opens at @at: its closing quote, or the end of the text. */
static size_t json_string_end(const struct json_input *in, size_t at, bool *ret_escapes)
{
    const char *const quote = memchr(in->text + at + 1, '"', in->bytes - at - 1);
    const size_t end = quote != NULL ? (size_t)(quote - in->text) : in->bytes;

    *ret_escapes = memchr(in->text + at + 1, '\\', end - at - 1) != NULL;
    if (!*ret_escapes)
        return end;
    for (at++; at < in->bytes && in->text[at] != '"'; at++)
        if (in->text[at] == '\\')
            at++;
    return at < in->bytes ? at : in->bytes;
}

/* Whether any of @bytes at @text is below a blank. */
static bool json_has_control(const char *text, size_t bytes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    size_t at = 0;

    for (; bytes - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
        uint64_t eight;

        memcpy(&eight, text + at, sizeof(eight));
        /* The high bit of a byte comes on by the borrow of its subtraction alone. */
        if (((eight - ones * 0x20) & ~eight & (ones * 0x80)) != 0)
            return true;
    }
    for (; at < bytes; at++)
        if ((unsigned char)text[at] < 0x20)
            return true;
    return false;
}

static bool json_is_key(const struct json_input *in, size_t behind)
{
    while (behind < in->bytes && strchr(" \t\r\n", in->text[behind]) != NULL &&
           in->text[behind] != '\0')
        behind++;
    return behind < in->bytes && in->text[behind] == ':';
}

static void json_maybe_cut(struct json_input *in, size_t at, size_t end)
{
    const size_t bytes = end - at - 1;

    if (bytes < AISYS_JSON_BORROW_BYTES || in->cut_count == JSON_CUTS_MAX || end >= in->bytes ||
        json_is_key(in, end + 1))
        return;
    /* jansson would refuse raw control characters; so they, too, are left to it. */
    if (json_has_control(in->text + at + 1, bytes))
        return;
    in->cuts[in->cut_count++] = (struct json_cut){ .at = at + 1, .bytes = bytes };
}

/* One pass over the text, before anything is allocated: depth, number of values, long strings. */
static int json_scan(struct json_input *in)
{
    const bool may_cut = memmem(in->text, in->bytes, JSON_CUT_MARK, 6) == NULL;
    size_t nodes = 1;
    unsigned depth = 0;

    for (size_t at = 0; at < in->bytes; at++) {
        const char c = in->text[at];
        bool escapes;

        if (c == '"') {
            const size_t end = json_string_end(in, at, &escapes);

            if (!escapes && may_cut)
                json_maybe_cut(in, at, end);
            at = end;
        } else if (c == '[' || c == '{') {
            nodes++;
            if (++depth > in->limits.depth)
                return json_refuse(in, at, NULL, "nested deeper than %u levels", in->limits.depth);
        } else if (c == ']' || c == '}') {
            depth -= depth > 0;
        } else if (c == ',') {
            nodes++;
        }
        if (nodes > in->limits.nodes)
            return json_refuse(in, at, NULL, "more than %zu values", in->limits.nodes);
    }
    return 0;
}

/* The text for jansson: the input itself when nothing is cut. */
static int json_reduce(struct json_input *in, const char **ret_text, size_t *ret_bytes)
{
    size_t from = 0;
    size_t to = 0;
    char *text;

    *ret_text = in->text;
    *ret_bytes = in->bytes;
    if (in->cut_count == 0)
        return 0;

    to = in->bytes;
    for (unsigned i = 0; i < in->cut_count; i++)
        to -= in->cuts[i].bytes - JSON_CUT_BYTES;
    text = aisys_arena_alloc(in->arena, to);
    if (text == NULL)
        return -ENOMEM;

    to = 0;
    for (unsigned i = 0; i < in->cut_count; i++) {
        struct json_cut *const cut = &in->cuts[i];
        const size_t keep = cut->at - 1 - from;

        memcpy(text + to, in->text + from, keep);
        cut->reduced_at = to + keep;
        cut->placeholder_bytes =
            (size_t)snprintf(text + cut->reduced_at, JSON_CUT_BYTES, "\"" JSON_CUT_MARK "%u\"", i);
        to = cut->reduced_at + cut->placeholder_bytes;
        from = cut->at + cut->bytes + 1;
    }
    memcpy(text + to, in->text + from, in->bytes - from);
    *ret_text = text;
    *ret_bytes = to + in->bytes - from;
    return 0;
}

/* Where the byte @at of the reduced text is in the input. */
static size_t json_original(const struct json_input *in, size_t at)
{
    size_t shift = 0;

    for (unsigned i = 0; i < in->cut_count && in->cuts[i].reduced_at < at; i++)
        shift += in->cuts[i].bytes + 2 - in->cuts[i].placeholder_bytes;
    return at + shift;
}

static struct aisys_node *json_string_node(
    const struct json_input *in, const char *text, size_t bytes)
{
    if (in->cut_count > 0 && bytes > 1 && text[0] == '\x01') {
        const struct json_cut *const cut = &in->cuts[strtoul(text + 1, NULL, 10)];

        return aisys_node_string_borrowed(in->arena, in->text + cut->at, cut->bytes);
    }
    return aisys_node_string_n(in->arena, text, bytes);
}

/* Recursion is bounded: the scan has counted the depth. */
static struct aisys_node *json_convert(const struct json_input *in, json_t *value)
{
    struct aisys_node *node;
    const char *key;
    json_t *item;
    size_t i;

    switch (json_typeof(value)) {
    case JSON_OBJECT:
        node = aisys_node_map(in->arena);
        json_object_foreach(value, key, item)
            aisys_node_set(node, aisys_arena_strdup(in->arena, key), json_convert(in, item));
        return node;
    case JSON_ARRAY:
        node = aisys_node_list(in->arena);
        json_array_foreach(value, i, item) aisys_node_append(node, json_convert(in, item));
        return node;
    case JSON_STRING:
        return json_string_node(in, json_string_value(value), json_string_length(value));
    case JSON_INTEGER:
        return aisys_node_int(in->arena, json_integer_value(value));
    case JSON_REAL:
        return aisys_node_double(in->arena, json_real_value(value));
    case JSON_TRUE:
    case JSON_FALSE:
        return aisys_node_bool(in->arena, json_is_true(value));
    case JSON_NULL:
        break;
    }
    return aisys_node_null(in->arena);
}

static int json_syntax(const struct json_input *in, json_error_t *error)
{
    const size_t position = error->position > 0 ? (size_t)error->position : 0;
    const size_t at = json_original(in, position);
    const char *expected = NULL;

    if (json_starved)
        return -ENOMEM;
    switch (json_error_code(error)) {
    case json_error_invalid_utf8:
        expected = "UTF-8";
        break;
    case json_error_duplicate_key:
        expected = "each key once";
        break;
    case json_error_end_of_input_expected:
        expected = "one JSON value and nothing behind it";
        break;
    case json_error_premature_end_of_input:
        return json_refuse(in, in->bytes, "a complete JSON value", "the text ends too early");
    case json_error_numeric_overflow:
        expected = "a number that fits 64 bits (larger integers as strings)";
        break;
    case json_error_null_character:
        return json_refuse(
            in, at > 0 ? at - 1 : 0, "text without the character \\u0000", "holds \\u0000");
    default:
        break;
    }
    return json_refuse(in, at > 0 ? at - 1 : 0, expected, "not JSON: %s", error->text);
}

static int json_load(struct json_input *in, struct aisys_node **ret_root)
{
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
    struct aisys_node *root;
    json_error_t error;
    const char *text;
    size_t bytes;
    json_t *value;
    int r;

    r = json_reduce(in, &text, &bytes);
    if (r < 0)
        return r;
    value = json_loadb(text, bytes, flags, &error);
    if (value == NULL)
        return json_syntax(in, &error);
    root = json_convert(in, value);
    json_decref(value);
    if (aisys_arena_failed(in->arena) || json_starved)
        return -ENOMEM;
    *ret_root = root;
    return 0;
}

int aisys_json_parse(struct aisys_arena *arena, const char *text, size_t bytes,
    const struct aisys_tree_limits *limits, struct aisys_diag *diag, struct aisys_node **ret_root)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct json_input in = { .text = text, .bytes = bytes, .arena = arena, .diag = diag };
    size_t valid;
    int r;

    in.limits = limits != NULL ? *limits
                               : (struct aisys_tree_limits){ AISYS_JSON_BYTES_MAX,
                                     AISYS_TREE_DEPTH_MAX, AISYS_TREE_NODES_MAX };
    if (bytes > in.limits.bytes) {
        aisys_diag_add(diag, NULL, "", NULL, "%zu bytes are more than the limit of %zu", bytes,
            in.limits.bytes);
        return AISYS_TREE_INVALID;
    }
    valid = aisys_utf8_valid_bytes(text, bytes);
    if (valid < bytes)
        return json_refuse(
            &in, valid, "UTF-8", "the byte 0x%02x is not UTF-8", (unsigned char)text[valid]);
    r = json_scan(&in);
    if (r != 0)
        return r;

    pthread_once(&once, json_hook);
    json_allocator = arena->from;
    json_starved = false;
    r = json_load(&in, ret_root);
    json_allocator = NULL;
    return r;
}
