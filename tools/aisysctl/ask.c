/* One request to the node's door and its answer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <aisys/code.h>

#include "core/tree_json.h"
#include "ctl.h"
#include "port/jansson_port.h"
#include "port/nng_port.h"

#define REQUEST_BYTES_MAX (24u << 20) /* API: the door takes no more */
#define GRACE_MS          500u        /* so that the node's own word about the deadline arrives */

int ctl_no_memory(struct ctl *ctl)
{
    fprintf(ctl->err, "aisysctl: no memory for that\n");
    return CTL_INTERNAL;
}

static int not_reached(struct ctl *ctl, const char *words)
{
    fprintf(ctl->err, "aisysctl: no node at ");
    ctl_show_line(ctl->err, ctl->options.to, strlen(ctl->options.to));
    fprintf(ctl->err,
        ": %s\n"
        "  is it running? start it with: aisys-runtime --role ROLE\n"
        "  is it elsewhere? name its request door with: --to URL\n",
        words);
    return CTL_UNREACHABLE;
}

/* Say why there is no answer. */
static int ask_fails(struct ctl *ctl, int r)
{
    switch (r) {
    case -ENOMEM:
        return ctl_no_memory(ctl);
    case -ETIMEDOUT:
        fprintf(ctl->err, "aisysctl: no answer from ");
        ctl_show_line(ctl->err, ctl->options.to, strlen(ctl->options.to));
        fprintf(ctl->err, " within %u ms (--deadline MS waits longer)\n", ctl->options.deadline_ms);
        return CTL_DEADLINE;
    case -EINVAL:
        fprintf(ctl->err, "aisysctl: --to is '");
        ctl_show_line(ctl->err, ctl->options.to, strlen(ctl->options.to));
        fprintf(ctl->err, "', which is no address; expected a URL such as %s\n", CTL_TO_DEFAULT);
        return CTL_USAGE;
    default:
        return not_reached(ctl, aisys_nng_words(r));
    }
}

static int no_answer(struct ctl *ctl, const char *what, const char *words)
{
    fprintf(ctl->err, "aisysctl: ");
    ctl_show_line(ctl->err, ctl->options.to, strlen(ctl->options.to));
    fprintf(ctl->err, " %s", what);
    ctl_show_line(ctl->err, words, strlen(words));
    fprintf(ctl->err, "; is that a request door of aisys-runtime?\n");
    return CTL_INTERNAL;
}

const char *ctl_ask_text(
    struct ctl *ctl, const char *to, const char *method, struct aisys_node *args, size_t *ret_bytes)
{
    struct aisys_arena *arena = &ctl->arena;
    struct aisys_node *root = aisys_node_map(arena);
    char *text;

    aisys_node_set(root, "to", aisys_node_string(arena, to));
    aisys_node_set(root, "method", aisys_node_string(arena, method));
    aisys_node_set(root, "args", args ? args : aisys_node_map(arena));
    aisys_node_set(root, "deadline_ms", aisys_node_int(arena, ctl->options.deadline_ms));
    if (!root || aisys_arena_failed(arena) || aisys_tree_json(arena, root, 0, &text, ret_bytes) < 0)
        return NULL;
    return text;
}

int ctl_ask_read(struct ctl *ctl, const char *text, size_t bytes,
    const struct aisys_node **ret_reply, const struct aisys_node **ret_error)
{
    const struct aisys_node *ok, *result, *error;
    struct aisys_diag diag;
    struct aisys_node *root = NULL;
    int r;

    aisys_diag_init(&diag);
    r = aisys_json_parse(&ctl->arena, text, bytes, NULL, &diag, &root);
    if (r == -ENOMEM)
        return ctl_no_memory(ctl);
    if (r != 0)
        return no_answer(
            ctl, "gave an answer that is no JSON: ", diag.kept ? diag.entries[0].problem : "");
    ok = aisys_node_get(root, "ok");
    result = aisys_node_get(root, "result");
    error = aisys_node_get(root, "error");
    if (ok && ok->kind == AISYS_NODE_BOOL && ok->boolean && result)
        *ret_reply = result;
    else if (ok && ok->kind == AISYS_NODE_BOOL && !ok->boolean && error)
        *ret_error = error;
    else
        return no_answer(ctl, "gave an answer that is neither a result nor an error", "");
    return 0;
}

int ctl_ask_either(struct ctl *ctl, const char *to, const char *method, struct aisys_node *args,
    const struct aisys_node **ret_reply, const struct aisys_node **ret_error)
{
    size_t bytes = 0, answer_bytes = 0;
    const char *text = ctl_ask_text(ctl, to, method, args, &bytes);
    void *answer = NULL;
    const char *kept;
    int r;

    *ret_reply = NULL;
    *ret_error = NULL;
    if (!text)
        return ctl_no_memory(ctl);
    if (bytes > REQUEST_BYTES_MAX) {
        fprintf(ctl->err, "aisysctl: the request has %zu bytes; a door takes at most %u\n", bytes,
            REQUEST_BYTES_MAX);
        return CTL_USAGE;
    }
    r = aisys_nng_request(
        ctl->options.to, text, bytes, ctl->options.deadline_ms + GRACE_MS, &answer, &answer_bytes);
    if (r < 0)
        return ask_fails(ctl, r);
    kept = aisys_arena_copy(&ctl->arena, answer, answer_bytes);
    free(answer);
    return kept ? ctl_ask_read(ctl, kept, answer_bytes, ret_reply, ret_error) : ctl_no_memory(ctl);
}

/* --- errors ----------------------------------------------------------------------------------------------- */

static void put_string(FILE *out, const char *before, const struct aisys_node *map, const char *key)
{
    const struct aisys_node *node = aisys_node_get(map, key);

    if (!node || node->kind != AISYS_NODE_STRING || node->text_bytes == 0)
        return;
    fputs(before, out);
    ctl_show_line(out, node->text, node->text_bytes);
}

static bool has_text(const struct aisys_node *map, const char *key)
{
    const struct aisys_node *node = aisys_node_get(map, key);

    return node && node->kind == AISYS_NODE_STRING && node->text_bytes > 0;
}

int ctl_ask_error(struct ctl *ctl, const struct aisys_node *error)
{
    const char *code = aisys_node_get_string(error, "code");
    const struct aisys_node *details = aisys_node_get(error, "details");

    if (ctl->options.json) {
        ctl_show_json(ctl->err, error);
    } else {
        fprintf(ctl->err, "aisysctl: ");
        put_string(ctl->err, "", error, "code");
        put_string(ctl->err, ": ", error, "message");
        fprintf(ctl->err, "\n");
        if (details && details->kind == AISYS_NODE_LIST)
            for (const struct aisys_node *at = details->items.first; at; at = at->next) {
                fprintf(ctl->err, "  ");
                put_string(ctl->err, "", at, "path");
                put_string(ctl->err, has_text(at, "path") ? ": " : "", at, "problem");
                put_string(ctl->err, "; expected ", at, "expected");
                fprintf(ctl->err, "\n");
            }
    }
    if (code && strcmp(code, aisys_code_name(AISYS_DEADLINE_EXCEEDED)) == 0)
        return CTL_DEADLINE;
    return CTL_FAILED;
}

int ctl_ask(struct ctl *ctl, const char *to, const char *method, struct aisys_node *args,
    const struct aisys_node **ret_reply)
{
    const struct aisys_node *error;
    const int r = ctl_ask_either(ctl, to, method, args, ret_reply, &error);

    if (r != 0)
        return r;
    return error ? ctl_ask_error(ctl, error) : 0;
}
