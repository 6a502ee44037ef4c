#include "core/tree_yaml.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define YAML_COMMENT_COLUMN 48

struct yaml_out {
    aisys_text_fn sink;
    void *ctx;
    aisys_yaml_comment_fn comment;
    void *comment_ctx;
    unsigned column;
    int error;
};

static int yaml_sink(void *ctx, const char *text, size_t bytes)
{
    struct yaml_out *const out = ctx;

    if (out->error == 0 && bytes > 0)
        out->error = out->sink(out->ctx, text, bytes);
    out->column += (unsigned)bytes;
    return out->error;
}

static void yaml_put(struct yaml_out *out, const char *text)
{
    yaml_sink(out, text, strlen(text));
}

static void yaml_indent(struct yaml_out *out, unsigned level)
{
    for (unsigned i = 0; i < level; i++)
        yaml_put(out, "  ");
}

static void yaml_line_end(struct yaml_out *out, const struct aisys_node *node)
{
    const char *const comment = out->comment != NULL ? out->comment(out->comment_ctx, node) : NULL;

    if (comment != NULL) {
        do
            yaml_put(out, " ");
        while (out->column < YAML_COMMENT_COLUMN);
        yaml_put(out, "# ");
        for (const char *at = comment; *at != '\0'; at++)
            yaml_sink(out, (unsigned char)*at < 0x20 ? "?" : at, 1);
    }
    yaml_put(out, "\n");
    out->column = 0;
}

/* Words that one version or another of YAML takes for a boolean or null. */
static bool yaml_is_word(const char *text)
{
    static const char *const words[] = { "true", "false", "yes", "no", "on", "off", "y", "n",
        "null", "nan", "inf" };

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (strcasecmp(text, words[i]) == 0)
            return true;
    return false;
}

/* Whether @text means itself without quotes: begins like a name or a path, has no blanks and
 * nothing that YAML gives a meaning. */
static bool yaml_is_plain(const char *text, size_t bytes)
{
    if (bytes == 0 || strlen(text) != bytes || yaml_is_word(text))
        return false;
    if (!isalpha((unsigned char)text[0]) && text[0] != '/' && text[0] != '_')
        return false;
    for (size_t i = 0; i < bytes; i++)
        if (!isalnum((unsigned char)text[i]) && strchr("_/.-+@", text[i]) == NULL)
            return false;
    return true;
}

static void yaml_string(struct yaml_out *out, const char *text, size_t bytes)
{
    if (yaml_is_plain(text, bytes))
        yaml_sink(out, text, bytes);
    else
        aisys_json_write_string(text, bytes, yaml_sink, out); /* a JSON string is a YAML one */
}

static bool yaml_is_block(const struct aisys_node *node)
{
    return (node->kind == AISYS_NODE_MAP || node->kind == AISYS_NODE_LIST) && node->items.count > 0;
}

static void yaml_value(struct yaml_out *out, const struct aisys_node *node)
{
    if (node->kind == AISYS_NODE_STRING)
        yaml_string(out, node->text, node->text_bytes);
    else
        aisys_tree_json_write(node, 0, yaml_sink, out); /* scalars, [] and {} are the same */
}

static void yaml_items(struct yaml_out *out, const struct aisys_node *node, unsigned level)
{
    for (const struct aisys_node *at = node->items.first; at != NULL; at = at->next) {
        yaml_indent(out, level);
        if (node->kind == AISYS_NODE_MAP) {
            yaml_string(out, at->key, strlen(at->key));
            yaml_put(out, ":");
        } else {
            yaml_put(out, "-");
        }
        if (yaml_is_block(at)) {
            yaml_put(out, "\n");
            out->column = 0;
            yaml_items(out, at, level + 1);
        } else {
            yaml_put(out, " ");
            yaml_value(out, at);
            yaml_line_end(out, at);
        }
    }
}

int aisys_tree_yaml_write(const struct aisys_node *node, aisys_yaml_comment_fn comment,
    void *comment_ctx, aisys_text_fn sink, void *ctx)
{
    struct yaml_out out = {
        .sink = sink,
        .ctx = ctx,
        .comment = comment,
        .comment_ctx = comment_ctx,
    };

    if (yaml_is_block(node)) {
        yaml_items(&out, node, 0);
    } else {
        yaml_value(&out, node);
        yaml_line_end(&out, node);
    }
    return out.error;
}
