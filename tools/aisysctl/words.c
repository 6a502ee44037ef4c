/* The arguments of a call: from key=value words, or from standard input. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/base64.h"
#include "core/utf8.h"
#include "ctl.h"
#include "port/jansson_port.h"
#include "schema/words.h"

#define FILE_BYTES_MAX (24u << 20) /* of a file; the request has no room for more */

static void put_finding(void *ctx, const char *line)
{
    struct ctl *ctl = ctx;

    fprintf(ctl->err, "  ");
    ctl_show_line(ctl->err, line, strlen(line));
    fprintf(ctl->err, "\n");
}

/* Say all that is wrong with the words. */
static int words_fail(struct ctl *ctl, const char *what, const struct aisys_diag *diag)
{
    fprintf(ctl->err, "aisysctl: %s\n", what);
    aisys_diag_print(diag, put_finding, ctl);
    return CTL_USAGE;
}

/* --- files ------------------------------------------------------------------------------------------- */

/* Read @fd to its end. */
static int read_all(int fd, struct aisys_arena *arena, const char **ret_data, size_t *ret_bytes)
{
    size_t room = 64u << 10, used = 0;
    char *data = aisys_arena_alloc(arena, room + 1);

    while (data) {
        const ssize_t n = read(fd, data + used, room - used);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        used += (size_t)n;
        if (used > FILE_BYTES_MAX)
            return -EFBIG;
        if (used == room) {
            char *larger = aisys_arena_alloc(arena, 2 * room + 1);

            if (larger)
                memcpy(larger, data, used);
            data = larger;
            room *= 2;
        }
    }
    if (!data)
        return -ENOMEM;
    data[used] = '\0';
    *ret_data = data;
    *ret_bytes = used;
    return 0;
}

static int read_file(void *ctx, const char *path, struct aisys_arena *arena, const char **ret_data,
    size_t *ret_bytes)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    int r;

    (void)ctx;
    if (fd < 0)
        return -errno;
    r = read_all(fd, arena, ret_data, ret_bytes);
    close(fd);
    return r;
}

/* --- words for a method that is not known ------------------------------------------------------------- */

/* @text as JSON, or NULL when it is none. */
static struct aisys_node *literal(struct ctl *ctl, const char *text)
{
    struct aisys_node *node = NULL;
    struct aisys_diag diag;

    aisys_diag_init(&diag);
    if (aisys_json_parse(&ctl->arena, text, strlen(text), NULL, &diag, &node) != 0)
        return NULL;
    return node;
}

static int free_value(struct ctl *ctl, const char *key, const char *text, struct aisys_diag *diag,
    struct aisys_node **ret_node)
{
    const char *data = text;
    size_t bytes = strlen(text);
    char *encoded;
    int r;

    *ret_node = NULL;
    if (!aisys_utf8_valid(text, bytes)) {
        aisys_diag_add(diag, NULL, key, "UTF-8", "is not UTF-8");
        return 0;
    }
    if (text[0] == '@' && text[1] == '@') {
        *ret_node = aisys_node_string(&ctl->arena, text + 1);
    } else if (text[0] != '@') {
        *ret_node = literal(ctl, text);
        if (!*ret_node)
            *ret_node = aisys_node_string(&ctl->arena, text);
    } else {
        r = read_file(NULL, text + 1, &ctl->arena, &data, &bytes);
        if (r == -ENOMEM)
            return r;
        if (r < 0) {
            aisys_diag_add(diag, NULL, key, "a file that can be read (@@ for a literal @)",
                "%s: %s", text + 1, strerror(-r));
            return 0;
        }
        if (aisys_utf8_valid(data, bytes)) {
            *ret_node = aisys_node_string_n(&ctl->arena, data, bytes);
        } else {
            encoded = aisys_arena_alloc(&ctl->arena, AISYS_BASE64_TEXT_BYTES(bytes) + 1);
            if (!encoded)
                return -ENOMEM;
            aisys_base64_encode(data, bytes, encoded);
            *ret_node =
                aisys_node_string_borrowed(&ctl->arena, encoded, AISYS_BASE64_TEXT_BYTES(bytes));
        }
    }
    return *ret_node ? 0 : -ENOMEM;
}

/* Put @value at @key; the second one makes it a list. */
static void free_set(
    struct ctl *ctl, struct aisys_node *args, const char *key, bool again, struct aisys_node *value)
{
    struct aisys_node *there = again ? aisys_node_get(args, key) : NULL;
    struct aisys_node *list;

    if (there && there->kind == AISYS_NODE_LIST) {
        aisys_node_append(there, value);
    } else if (there) {
        list = aisys_node_list(&ctl->arena);
        aisys_node_append(list, aisys_node_take(args, key));
        aisys_node_append(list, value);
        aisys_node_set(args, key, list);
    } else {
        aisys_node_set(args, key, value);
    }
}

static int free_words(struct ctl *ctl, char *const *words, int words_nr, struct aisys_diag *diag,
    struct aisys_node **ret_args)
{
    struct aisys_node *args = aisys_node_map(&ctl->arena);

    for (int i = 0; i < words_nr; i++) {
        const size_t n = strcspn(words[i], "=");
        const char *key = aisys_arena_copy(&ctl->arena, words[i], n);
        struct aisys_node *value;
        int r;

        if (!key)
            return -ENOMEM;
        if (n == 0 || !words[i][n]) {
            aisys_diag_add(diag, NULL, words[i], "key=value", "is no key=value");
            continue;
        }
        r = free_value(ctl, key, words[i] + n + 1, diag, &value);
        if (r < 0)
            return r;
        if (value)
            free_set(ctl, args, key, aisys_node_get(args, key) != NULL, value);
    }
    if (!args || aisys_arena_failed(&ctl->arena))
        return -ENOMEM;
    *ret_args = args;
    return aisys_diag_errors(diag) ? AISYS_TREE_INVALID : 0;
}

/* --- as a whole --------------------------------------------------------------------------------------- */

int ctl_words(struct ctl *ctl, const ProtobufCMessageDescriptor *input, char *const *words,
    int words_nr, struct aisys_node **ret_args)
{
    struct aisys_diag diag;
    int r;

    aisys_diag_init(&diag);
    if (input)
        r = aisys_schema_words(input, (const char *const *)words, (size_t)words_nr, read_file, NULL,
            &ctl->arena, &diag, ret_args);
    else
        r = free_words(ctl, words, words_nr, &diag, ret_args);
    if (r < 0)
        return ctl_no_memory(ctl);
    return r != 0 ? words_fail(ctl, "the arguments are not right:", &diag) : 0;
}

int ctl_words_stdin(struct ctl *ctl, FILE *in, struct aisys_node **ret_args)
{
    struct aisys_diag diag;
    struct aisys_node *root = NULL;
    const char *text = NULL;
    size_t bytes = 0;
    int r;

    aisys_diag_init(&diag);
    r = read_all(fileno(in), &ctl->arena, &text, &bytes);
    if (r == -ENOMEM)
        return ctl_no_memory(ctl);
    if (r < 0)
        aisys_diag_add(&diag, NULL, "", "a JSON object", "%s", strerror(-r));
    else
        r = aisys_json_parse(&ctl->arena, text, bytes, NULL, &diag, &root);
    if (r == -ENOMEM)
        return ctl_no_memory(ctl);
    if (r == 0 && root->kind != AISYS_NODE_MAP)
        aisys_diag_add(&diag, NULL, "", "an object: {\"key\":value, ...}", "is %s",
            aisys_node_kind_name(root));
    if (aisys_diag_errors(&diag))
        return words_fail(ctl, "standard input is not right:", &diag);
    *ret_args = root;
    return 0;
}
