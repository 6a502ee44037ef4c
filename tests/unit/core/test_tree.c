#include "unit.h"

#include <math.h>

#include "core/tree_yaml.h"

static struct aisys_arena arena;

static int setup(void **state)
{
    (void)state;
    aisys_arena_init(&arena, NULL, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    aisys_arena_deinit(&arena);
    return 0;
}

static const char *json(const struct aisys_node *node)
{
    char *text = NULL;
    size_t bytes = 0;

    assert_int_equal(aisys_tree_json(&arena, node, 0, &text, &bytes), 0);
    assert_int_equal(strlen(text), bytes);
    return text;
}

/* {"a":{"b":[1,"two"],"c":true},"d":null} */
static struct aisys_node *sample(void)
{
    struct aisys_node *root = aisys_node_map(&arena), *a = aisys_node_map(&arena),
                      *b = aisys_node_list(&arena);

    aisys_node_append(b, aisys_node_int(&arena, 1));
    aisys_node_append(b, aisys_node_string(&arena, "two"));
    aisys_node_set(a, "b", b);
    aisys_node_set(a, "c", aisys_node_bool(&arena, true));
    aisys_node_set(root, "a", a);
    aisys_node_set(root, "d", aisys_node_null(&arena));
    return root;
}

static void building_and_finding(void **state)
{
    struct aisys_node *root = sample();

    (void)state;
    assert_string_equal(json(root), "{\"a\":{\"b\":[1,\"two\"],\"c\":true},\"d\":null}");
    assert_int_equal(aisys_tree_count(root), 7);
    assert_string_equal(aisys_tree_find(root, "a.b[1]", false)->text, "two");
    assert_null(aisys_tree_find(root, "a.b[2]", false));
    assert_null(aisys_tree_find(root, "a.bb", false));
    assert_null(aisys_tree_find(root, "a.b[1].x", false));
    assert_ptr_equal(aisys_tree_find(root, "a.b[9].q", true), aisys_tree_find(root, "a.b", false));
    assert_ptr_equal(aisys_tree_find(root, "", false), root);
    assert_null(aisys_node_get(root, "zz"));
    assert_null(aisys_node_get(aisys_node_get(root, "d"), "x"));
    assert_null(aisys_node_get(NULL, "x"));
    assert_null(aisys_node_get_string(root, "d"));

    assert_non_null(aisys_node_take(root, "d"));
    assert_null(aisys_node_take(root, "d"));
    aisys_node_set(root, "e", aisys_node_string(&arena, "x"));
    assert_string_equal(aisys_node_get_string(root, "e"), "x");
    assert_int_equal(root->items.count, 2);
}

static void copies_are_equal(void **state)
{
    struct aisys_node *root = sample(), *copy = aisys_tree_copy(&arena, root);

    (void)state;
    assert_true(aisys_tree_equal(root, copy));
    aisys_node_set(copy, "z", aisys_node_int(&arena, 1));
    assert_false(aisys_tree_equal(root, copy));
    assert_null(aisys_tree_copy(&arena, NULL));
}

static void overlay(void **state)
{
    struct aisys_node *over = aisys_node_map(&arena), *a = aisys_node_map(&arena), *result;

    (void)state;
    aisys_node_set(a, "b", aisys_node_list(&arena));
    aisys_node_set(a, "n", aisys_node_double(&arena, 0.5));
    aisys_node_set(a, "c", aisys_node_null(&arena));
    aisys_node_set(over, "a", a);
    aisys_node_set(over, "d", aisys_node_string(&arena, "now"));
    result = aisys_tree_overlay(sample(), over);
    assert_string_equal(json(result), "{\"a\":{\"b\":[],\"n\":0.5},\"d\":\"now\"}");
    assert_ptr_equal(aisys_tree_overlay(NULL, over), over);
    assert_ptr_equal(aisys_tree_overlay(over, NULL), over);
}

static void duplicate_keys(void **state)
{
    struct aisys_node *map = aisys_node_map(&arena);
    static struct aisys_diag diag;
    static const char *const keys[] = { "b", "a", "c", "a", "b", "a" };

    (void)state;
    for (unsigned i = 0; i < ROWS(keys); i++) {
        struct aisys_node *node = aisys_node_int(&arena, i);

        node->key_line = i + 1;
        aisys_node_set(map, keys[i], node);
    }
    aisys_diag_init(&diag);
    assert_int_equal(aisys_tree_check_keys(map, &arena, &diag, "here"), 0);
    assert_int_equal(aisys_diag_errors(&diag), 3);
    assert_string_equal(diag.entries[0].problem, "the key \"a\" is here twice, first on line 2");
    assert_int_equal(diag.entries[0].where.line, 4);
}

static void numbers(void **state)
{
    static const struct {
        double value;
        bool single;
        const char *text;
    } rows[] = {
        { 0.1, false, "0.1" },
        { 0.1f, true, "0.1" },
        { 1.0 / 3, false, "0.3333333333333333" },
        { 1e300, false, "1e+300" },
        { 5, false, "5" },
        { -0.0, false, "-0.0" },
        { 0.30000000000000004, false, "0.30000000000000004" },
        { 16777216.0, true, "16777216" },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        char buf[AISYS_JSON_NUMBER_BYTES];

        aisys_json_number(rows[i].value, rows[i].single, buf);
        assert_string_equal(buf, rows[i].text);
    }
    assert_string_equal(json(aisys_node_double(&arena, NAN)), "null");
    assert_string_equal(json(aisys_node_uint(&arena, UINT64_MAX)), "18446744073709551615");
    assert_string_equal(json(aisys_node_int(&arena, INT64_MIN)), "-9223372036854775808");
}

static void strings(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        { "", "\"\"" },
        { "a\"b\\c/d", "\"a\\\"b\\\\c/d\"" },
        { "\n\t\r\b\f\x01\x7f", "\"\\n\\t\\r\\b\\f\\u0001\\u007f\"" },
        { "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80", "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\"" },
        { "bad\xff!", "\"bad\xef\xbf\xbd!\"" },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++)
        assert_string_equal(json(aisys_node_string(&arena, rows[i].in)), rows[i].out);
    assert_string_equal(json(aisys_node_string_n(&arena, "a\0b", 3)), "\"a\\u0000b\"");
}

static void indented(void **state)
{
    char *text;

    (void)state;
    assert_int_equal(aisys_tree_json(&arena, sample(), 2, &text, NULL), 0);
    assert_string_equal(text, "{\n  \"a\": {\n    \"b\": [\n      1,\n      \"two\"\n    ],\n"
                              "    \"c\": true\n  },\n  \"d\": null\n}");
}

struct text {
    char bytes[1024];
    size_t n;
};

static int text_add(void *ctx, const char *bytes, size_t n)
{
    struct text *const text = ctx;

    if (text->n + n >= sizeof(text->bytes))
        return -1;
    memcpy(text->bytes + text->n, bytes, n);
    text->n += n;
    text->bytes[text->n] = '\0';
    return 0;
}

static const char *origin(void *ctx, const struct aisys_node *node)
{
    (void)ctx;
    return node->kind == AISYS_NODE_BOOL ? "base.yaml:3" : NULL;
}

static void yaml(void **state)
{
    struct aisys_node *root = sample();
    struct text text = { .n = 0 };

    (void)state;
    aisys_node_set(root, "on", aisys_node_string(&arena, "off"));
    aisys_node_set(root, "s", aisys_node_string(&arena, "two words: # \"x\""));
    aisys_node_set(root, "port", aisys_node_string(&arena, "5555"));
    aisys_node_set(root, "empty", aisys_node_list(&arena));
    assert_int_equal(aisys_tree_yaml_write(root, origin, NULL, text_add, &text), 0);
    assert_string_equal(text.bytes,
        "a:\n"
        "  b:\n"
        "    - 1\n"
        "    - two\n"
        "  c: true                                       # base.yaml:3\n"
        "d: null\n"
        "\"on\": \"off\"\n"
        "s: \"two words: # \\\"x\\\"\"\n"
        "port: \"5555\"\n"
        "empty: []\n");
}

static void exhausted_arena(void **state)
{
    struct aisys_arena small;
    struct aisys_node *list;

    (void)state;
    aisys_arena_init(&small, NULL, 1000);
    list = aisys_node_list(&small);
    for (unsigned i = 0; i < 100; i++)
        aisys_node_append(list, aisys_node_printf(&small, "%u", i));
    aisys_node_append(NULL, NULL);
    assert_true(aisys_arena_failed(&small));
    assert_true(list->items.count < 100);
    aisys_arena_deinit(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(building_and_finding, setup, teardown),
        cmocka_unit_test_setup_teardown(copies_are_equal, setup, teardown),
        cmocka_unit_test_setup_teardown(overlay, setup, teardown),
        cmocka_unit_test_setup_teardown(duplicate_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(strings, setup, teardown),
        cmocka_unit_test_setup_teardown(indented, setup, teardown),
        cmocka_unit_test_setup_teardown(yaml, setup, teardown),
        cmocka_unit_test(exhausted_arena),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
