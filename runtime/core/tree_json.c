#include "core/tree_json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"

struct json_out {
    aisys_text_fn sink;
    void *ctx;
    unsigned indent;
    int error; /* the first, after which nothing is written */
};

static void json_put(struct json_out *out, const char *text, size_t bytes)
{
    if (out->error == 0 && bytes > 0)
        out->error = out->sink(out->ctx, text, bytes);
}

static void json_break(struct json_out *out, unsigned level)
{
    static const char spaces[] = "                                ";
    size_t n = (size_t)level * out->indent;

    if (out->indent == 0)
        return;
    json_put(out, "\n", 1);
    while (n > 0) {
        const size_t part = n < sizeof(spaces) - 1 ? n : sizeof(spaces) - 1;

        json_put(out, spaces, part);
        n -= part;
    }
}

void aisys_json_number(double value, bool single, char *buf)
{
    if (value == 0 && signbit(value)) {
        strcpy(buf, "-0.0"); /* "-0" would come back as an integer, which has no sign there */
        return;
    }
    for (int digits = single ? 6 : 15;; digits++) {
        snprintf(buf, AISYS_JSON_NUMBER_BYTES, "%.*g", digits, value);
        if (digits >= (single ? 9 : 17))
            return;
        if (single ? strtof(buf, NULL) == (float)value : strtod(buf, NULL) == value)
            return;
    }
}

/* What stands for @c inside a string; NULL when it stands for itself. @buf has 8 bytes. */
static const char *json_escape(unsigned char c, char *buf)
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        if (c >= 0x20 && c != 0x7f)
            return NULL;
        snprintf(buf, 8, "\\u%04x", c);
        return buf;
    }
}

static void json_string(struct json_out *out, const char *text, size_t bytes)
{
    const unsigned char *const from = (const unsigned char *)text;
    size_t done = 0;
    size_t at = 0;
    char buf[8];

    json_put(out, "\"", 1);
    while (at < bytes) {
        const size_t n = aisys_utf8_char(from + at, bytes - at);
        /* What is no UTF-8 cannot be said in JSON; U+FFFD is what readers expect instead. */
        const char *const instead = n == 0 ? "\xef\xbf\xbd" : json_escape(from[at], buf);

        if (instead != NULL) {
            json_put(out, text + done, at - done);
            json_put(out, instead, strlen(instead));
            done = at + 1;
        }
        at += n > 0 ? n : 1;
    }
    json_put(out, text + done, bytes - done);
    json_put(out, "\"", 1);
}

static void json_scalar(struct json_out *out, const struct aisys_node *node)
{
    char buf[AISYS_JSON_NUMBER_BYTES] = "null";

    switch ((enum aisys_node_kind)node->kind) {
    case AISYS_NODE_STRING:
        json_string(out, node->text, node->text_bytes);
        return;
    case AISYS_NODE_BOOL:
        strcpy(buf, node->boolean ? "true" : "false");
        break;
    case AISYS_NODE_INT:
        snprintf(buf, sizeof(buf), "%" PRId64, node->i64);
        break;
    case AISYS_NODE_UINT:
        snprintf(buf, sizeof(buf), "%" PRIu64, node->u64);
        break;
    case AISYS_NODE_DOUBLE:
        if (node->style == AISYS_STYLE_STRICT && node->text != NULL)
            snprintf(buf, sizeof(buf), "%s", node->text);
        else if (isfinite(node->f64))
            aisys_json_number(node->f64, false, buf);
        break;
    case AISYS_NODE_NULL:
    case AISYS_NODE_LIST:
    case AISYS_NODE_MAP:
        break;
    }
    json_put(out, buf, strlen(buf));
}

static void json_node(struct json_out *out, const struct aisys_node *node, unsigned level)
{
    const bool map = node->kind == AISYS_NODE_MAP;

    if (!map && node->kind != AISYS_NODE_LIST) {
        json_scalar(out, node);
        return;
    }
    json_put(out, map ? "{" : "[", 1);
    for (const struct aisys_node *at = node->items.first; at != NULL; at = at->next) {
        json_break(out, level + 1);
        if (map) {
            json_string(out, at->key, strlen(at->key));
            json_put(out, ": ", out->indent > 0 ? 2 : 1);
        }
        json_node(out, at, level + 1);
        if (at->next != NULL)
            json_put(out, ",", 1);
    }
    if (node->items.count > 0)
        json_break(out, level);
    json_put(out, map ? "}" : "]", 1);
}

int aisys_tree_json_write(
    const struct aisys_node *node, unsigned indent, aisys_text_fn sink, void *ctx)
{
    struct json_out out = { .sink = sink, .ctx = ctx, .indent = indent };

    json_node(&out, node, 0);
    return out.error;
}

int aisys_json_write_string(const char *text, size_t bytes, aisys_text_fn sink, void *ctx)
{
    struct json_out out = { .sink = sink, .ctx = ctx };

    json_string(&out, text, bytes);
    return out.error;
}

static int json_count(void *ctx, const char *text, size_t bytes)
{
    size_t *const count = ctx;

    (void)text;
    *count += bytes;
    return 0;
}

static int json_copy(void *ctx, const char *text, size_t bytes)
{
    char **const at = ctx;

    memcpy(*at, text, bytes);
    *at += bytes;
    return 0;
}

int aisys_tree_json(struct aisys_arena *arena, const struct aisys_node *node, unsigned indent,
    char **ret_text, size_t *ret_bytes)
{
    size_t bytes = 0;
    char *text;
    char *at;

    aisys_tree_json_write(node, indent, json_count, &bytes);
    text = aisys_arena_alloc(arena, bytes + 1);
    if (text == NULL)
        return -ENOMEM;
    at = text;
    aisys_tree_json_write(node, indent, json_copy, &at);
    *at = '\0';
    *ret_text = text;
    if (ret_bytes != NULL)
        *ret_bytes = bytes;
    return 0;
}
