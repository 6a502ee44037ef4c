#include "unit.h"

#include <errno.h>
#include <stdlib.h>

#include "core/tree_json.h"
#include "port/jansson_port.h"

static struct aisys_arena arena;
static struct aisys_diag diag;

static int setup(void **state)
{
    (void)state;
    aisys_arena_init(&arena, NULL, 64 << 20);
    aisys_diag_init(&diag);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    aisys_arena_deinit(&arena);
    return 0;
}

static void accepted(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        { "{}", "{}" },
        { " [ 1 , 2.5 , -3 ] ", "[1,2.5,-3]" },
        { "\"x\"", "\"x\"" },
        { "{\"b\":null,\"a\":[true,false,{\"c\":\"\\u00fc\\n\"}]}",
            "{\"b\":null,\"a\":[true,false,{\"c\":\"\xc3\xbc\\n\"}]}" },
        { "9223372036854775807", "9223372036854775807" },
        { "1e2", "100" },
        { "{\"\":1}", "{\"\":1}" },
        { "\"\\u0001\\u00010\"", "\"\\u0001\\u00010\"" },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct aisys_node *root = NULL;
        char *text;

        assert_int_equal(
            aisys_json_parse(&arena, rows[i].in, strlen(rows[i].in), NULL, &diag, &root), 0);
        assert_int_equal(aisys_tree_json(&arena, root, 0, &text, NULL), 0);
        assert_string_equal(text, rows[i].out);
    }
    assert_int_equal(aisys_diag_errors(&diag), 0);
}

static void refused(void **state)
{
    static const struct {
        const char *in;
        unsigned line, column;
        const char *problem; /* a part of it */
    } rows[] = {
        { "", 1, 1, "ends too early" },
        { "{\"a\":1", 1, 7, "ends too early" },
        { "{\"a\":\n  oops}", 2, 0, "oops" },
        { "{\"a\":1,\"a\":2}", 1, 0, "duplicate" },
        { "{} {}", 1, 0, "end of file expected" },
        { "[1,]", 1, 0, "unexpected token" },
        { "{'a':1}", 1, 0, "'" },
        { "\"\xff\"", 1, 2, "0xff" },
        { "{\n\"gr\xc3\xbc\": \"\xc0\x80\"}", 2, 9, "0xc0" },
        { "\"\\u0000\"", 1, 0, "\\u0000" },
        { "99999999999999999999", 1, 0, "integer" },
        { "1e999", 1, 0, "real number" },
        { "NaN", 1, 0, "NaN" },
        { "\"\\ud800\"", 1, 0, "nicode" },
        { "\"a\nb\"", 1, 0, "unexpected newline" },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct aisys_node *root = NULL;

        aisys_diag_init(&diag);
        assert_int_equal(
            aisys_json_parse(&arena, rows[i].in, strlen(rows[i].in), NULL, &diag, &root),
            AISYS_TREE_INVALID);
        assert_null(root);
        assert_int_equal(aisys_diag_errors(&diag), 1);
        if (strstr(diag.entries[0].problem, rows[i].problem) == NULL)
            fail_msg("%s: %s", rows[i].in, diag.entries[0].problem);
        assert_int_equal(diag.entries[0].where.line, rows[i].line);
        if (rows[i].column > 0)
            assert_int_equal(diag.entries[0].where.column, rows[i].column);
    }
}

static void limits(void **state)
{
    const struct aisys_tree_limits limits = { .bytes = 1000, .depth = 3, .nodes = 5 };
    static const struct {
        const char *in;
        bool good;
    } rows[] = {
        { "[[[1]]]", true },
        { "[[[[]]]]", false },
        { "[1,2,3,4]", true },
        { "[1,2,3,4,5]", false },
        { "[\"[[[[,,,,,,,,,\"]", true },
        { "[\"\\\"[[[[,,,,,,,,,\"]", true },
    };
    struct aisys_node *root;
    char deep[10000];

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++)
        assert_int_equal(
            aisys_json_parse(&arena, rows[i].in, strlen(rows[i].in), &limits, &diag, &root),
            rows[i].good ? 0 : AISYS_TREE_INVALID);
    memset(deep, '[', sizeof(deep));
    assert_int_equal(
        aisys_json_parse(&arena, deep, sizeof(deep), NULL, &diag, &root), AISYS_TREE_INVALID);
    assert_int_equal(
        aisys_json_parse(&arena, deep, sizeof(deep), &limits, &diag, &root), AISYS_TREE_INVALID);
}

/* {"a":"<long>","b":["<long>",1],"<long>":"x"} with @tail instead of the closing brace. */
static char *with_long_strings(const char *tail)
{
    static char text[4 * AISYS_JSON_BORROW_BYTES];
    char filler[AISYS_JSON_BORROW_BYTES + 1];

    memset(filler, 'A', sizeof(filler) - 1);
    filler[sizeof(filler) - 1] = '\0';
    snprintf(text, sizeof(text), "{\"a\":\"%s\",\"b\":[\"%s\",1],\"%s\" : \"x\"%s", filler, filler,
        filler, tail);
    return text;
}

static void long_strings_are_borrowed(void **state)
{
    char *text = with_long_strings("}"), *out;
    struct aisys_node *root = NULL, *a;

    (void)state;
    assert_int_equal(aisys_json_parse(&arena, text, strlen(text), NULL, &diag, &root), 0);
    a = aisys_node_get(root, "a");
    assert_ptr_equal(a->text, text + 6);
    assert_int_equal(a->text_bytes, AISYS_JSON_BORROW_BYTES);
    a = aisys_tree_find(root, "b[0]", false);
    assert_int_equal(a->text_bytes, AISYS_JSON_BORROW_BYTES);
    assert_true(a->text > text && a->text < text + strlen(text));
    assert_int_equal(strlen(root->items.last->key), AISYS_JSON_BORROW_BYTES);
    assert_int_equal(aisys_tree_json(&arena, root, 0, &out, NULL), 0);
    assert_int_equal(strlen(out), strlen(text) - 2);
}

static void long_strings_keep_positions(void **state)
{
    char *text = with_long_strings(", oops}");
    struct aisys_node *root = NULL;

    (void)state;
    assert_int_equal(
        aisys_json_parse(&arena, text, strlen(text), NULL, &diag, &root), AISYS_TREE_INVALID);
    assert_in_range(diag.entries[0].where.column, strlen(text) - 6, strlen(text));

    /* A string that looks like a placeholder switches the trick off. */
    text = with_long_strings(",\"c\":\"\\u00010\"}");
    assert_int_equal(aisys_json_parse(&arena, text, strlen(text), NULL, &diag, &root), 0);
    assert_string_equal(aisys_node_get_string(root, "c"), "\x01"
                                                          "0");
    assert_int_equal(aisys_node_get(root, "a")->text_bytes, AISYS_JSON_BORROW_BYTES);
}

struct counting {
    unsigned calls, fail_at;
    int live;
};

static void *counting_alloc(void *ctx, size_t bytes)
{
    struct counting *const c = ctx;

    if (++c->calls == c->fail_at)
        return NULL;
    c->live++;
    return malloc(bytes);
}

static void counting_free(void *ctx, void *memory)
{
    struct counting *const c = ctx;

    c->live--;
    free(memory);
}

static void memory_is_the_arenas_and_may_fail(void **state)
{
    char *const text = with_long_strings(",\"c\":[1,2,{\"d\":\"e\"},null,0.5]}");

    (void)state;
    for (unsigned n = 1;; n++) {
        struct counting c = { .fail_at = n };
        const struct aisys_allocator from = { counting_alloc, counting_free, &c };
        struct aisys_arena small;
        struct aisys_node *root = NULL;
        int r;

        aisys_arena_init(&small, &from, 1 << 20);
        aisys_diag_init(&diag);
        r = aisys_json_parse(&small, text, strlen(text), NULL, &diag, &root);
        aisys_arena_deinit(&small);
        assert_int_equal(c.live, 0);
        if (c.calls < n) {
            assert_int_equal(r, 0);
            assert_true(n > 10); /* jansson asks the same allocator */
            break;
        }
        assert_int_equal(r, -ENOMEM);
        assert_int_equal(aisys_diag_errors(&diag), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(accepted, setup, teardown),
        cmocka_unit_test_setup_teardown(refused, setup, teardown),
        cmocka_unit_test_setup_teardown(limits, setup, teardown),
        cmocka_unit_test_setup_teardown(long_strings_are_borrowed, setup, teardown),
        cmocka_unit_test_setup_teardown(long_strings_keep_positions, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_is_the_arenas_and_may_fail, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
