#include "unit.h"

#include <errno.h>

#include "core/tree_json.h"
#include "everything.h"
#include "schema/doc.h"
#include "schema/words.h"

static struct aisys_arena arena;
static struct aisys_diag diag;

static int setup(void **state)
{
    (void)state;
    aisys_arena_init(&arena, NULL, 1 << 20);
    aisys_diag_init(&diag);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    aisys_arena_deinit(&arena);
    return 0;
}

/* "hello" has five bytes, "big" is too big for memory, everything else does not exist. */
static int file(
    void *ctx, const char *path, struct aisys_arena *to, const char **ret_data, size_t *ret_bytes)
{
    (void)ctx;
    (void)to;
    if (strcmp(path, "big") == 0)
        return -ENOMEM;
    if (strcmp(path, "hello") != 0)
        return -ENOENT;
    *ret_data = "hello";
    *ret_bytes = 5;
    return 0;
}

static void words_become_json(void **state)
{
    static const struct {
        const char *words[4];
        const char *json;
    } rows[] = {
        { { NULL }, "{}" },
        { { "text=The spare key", "k=3", "flag=true", "want=TEXT" },
            "{\"text\":\"The spare key\",\"k\":3,\"flag\":true,\"want\":\"TEXT\"}" },
        { { "tags=a,b", "tags=c" }, "{\"tags\":[\"a,b\",\"c\"]}" },
        { { "wants=TEXT,CODES", "numbers=1,2", "numbers=3", "weights=0.5,1" },
            "{\"wants\":[\"TEXT\",\"CODES\"],\"numbers\":[1,2,3],\"weights\":[0.5,1]}" },
        { { "data=@hello", "text=@hello" }, "{\"data\":\"aGVsbG8=\",\"text\":\"hello\"}" },
        { { "data=@@hello", "text=@@" }, "{\"data\":\"QGhlbGxv\",\"text\":\"@\"}" },
        { { "data=raw", "blobs=a", "blobs=b" },
            "{\"data\":\"cmF3\",\"blobs\":[\"YQ==\",\"Yg==\"]}" },
        { { "part.name=x", "part.weight=5" }, "{\"part\":{\"name\":\"x\",\"weight\":5}}" },
        { { "i64=9223372036854775807", "u64=18446744073709551615" },
            "{\"i64\":9223372036854775807,\"u64\":\"18446744073709551615\"}" },
        { { "k=abc", "flag=maybe", "wide=nan", "text=" },
            "{\"k\":\"abc\",\"flag\":\"maybe\",\"wide\":\"nan\",\"text\":\"\"}" },
        { { "text=a=b", "since=2026-01-01T00:00:00Z" },
            "{\"text\":\"a=b\",\"since\":\"2026-01-01T00:00:00Z\"}" },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct aisys_node *root = NULL;
        size_t n = 0;
        char *text;

        while (n < 4 && rows[i].words[n] != NULL)
            n++;
        if (aisys_schema_words(&aisys__test__everything__descriptor, rows[i].words, n, file, NULL,
                &arena, &diag, &root) != 0)
            fail_msg("%s: %s", rows[i].words[0], diag.entries[0].problem);
        assert_int_equal(aisys_tree_json(&arena, root, 0, &text, NULL), 0);
        assert_string_equal(text, rows[i].json);
    }
}

static void refused_words(void **state)
{
    static const struct {
        const char *words[2];
        const char *line;
    } rows[] = {
        { { "text" }, "text: is no key=value; expected key=value" },
        { { "=x" }, "=x: is no key=value; expected key=value" },
        { { "txet=x" }, "txet: unknown field, did you mean \"text\"?; expected one of i32, s32" },
        { { "part.nmae=x" }, "part.nmae: unknown field, did you mean \"name\"?; expected one of "
                             "name, weight, leaves" },
        { { "text=a", "text=b" }, "text: is given twice; expected one value" },
        { { "part=x" }, "part: is a message, not one value; expected part.FIELD=VALUE, or JSON on "
                        "standard input" },
        { { "parts.name=x" },
            "parts.name: parts is no single message; expected JSON on standard input for that" },
        { { "k.x=1" }, "k.x: k is no single message; expected JSON on standard input for that" },
        { { "data=@nothing" },
            "data: nothing: No such file or directory; expected a file that can be "
            "read (@@ for a literal @)" },
        { { "text=\xff" }, "text: is not UTF-8; expected UTF-8" },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct aisys_node *root = NULL;
        char line[1024];

        aisys_diag_init(&diag);
        assert_int_equal(aisys_schema_words(&aisys__test__everything__descriptor, rows[i].words,
                             rows[i].words[1] != NULL ? 2 : 1, file, NULL, &arena, &diag, &root),
            AISYS_TREE_INVALID);
        assert_int_equal(diag.kept, 1);
        aisys_diag_line(&diag, 0, line, sizeof(line));
        if (strlen(line) > strlen(rows[i].line))
            line[strlen(rows[i].line)] = '\0';
        assert_string_equal(line, rows[i].line);
    }
}

static void without_files(void **state)
{
    const char *words[] = { "text=@hello" };
    struct aisys_node *root = NULL;

    (void)state;
    assert_int_equal(aisys_schema_words(&aisys__test__everything__descriptor, words, 1, NULL, NULL,
                         &arena, &diag, &root),
        0);
    assert_string_equal(aisys_node_get_string(root, "text"), "@hello");
    words[0] = "text=@big";
    assert_int_equal(aisys_schema_words(&aisys__test__everything__descriptor, words, 1, file, NULL,
                         &arena, &diag, &root),
        -ENOMEM);
}

static int load(void **state)
{
    (void)state;
    return aisys_schema_add(everything_set, everything_set_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(words_become_json, setup, teardown),
        cmocka_unit_test_setup_teardown(refused_words, setup, teardown),
        cmocka_unit_test_setup_teardown(without_files, setup, teardown),
    };

    return cmocka_run_group_tests(tests, load, NULL);
}
