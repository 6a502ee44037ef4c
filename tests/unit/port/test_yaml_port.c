#include "unit.h"

#include <errno.h>

#include "core/tree_yaml.h"
#include "port/yaml_port.h"

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
        const char *in, *json;
    } rows[] = {
        { "", "null" }, { "# nothing\n", "null" },
        { "a: 1\nb: [x, 2, 'y']\n", "{\"a\":1,\"b\":[\"x\",2,\"y\"]}" },
        { "a:\n  b:\n  - c: d\n    e: ~\n  - f\n",
            "{\"a\":{\"b\":[{\"c\":\"d\",\"e\":null},\"f\"]}}" },
        { "[true, True, yes, on, 'true', false, null, '', n]",
            "[true,true,\"yes\",\"on\",\"true\",false,null,\"\",\"n\"]" },
        { "[0o17, 0x1F, +5, -5, 007, 1_000, 12:30, 0x, -0x1]",
            "[15,31,5,-5,7,\"1_000\",\"12:30\",\"0x\",\"-0x1\"]" },
        { "[1.5, .5, 1e3, -2.5E-1, 1., .inf, .nan, 1.2.3, e1, '1.5']",
            "[1.5,0.5,1000,-0.25,1,null,null,\"1.2.3\",\"e1\",\"1.5\"]" },
        { "[9223372036854775807, 9223372036854775808, 18446744073709551615, -9223372036854775808]",
            "[9223372036854775807,9223372036854775808,18446744073709551615,-9223372036854775808]" },
        { "[99999999999999999999, deadbeef]", "[1e+20,\"deadbeef\"]" },
        { "a: !!str 5\n", "{\"a\":\"5\"}" },
        { "a: &x {b: 1}\nc: *x\nd: [*x, *x]\n",
            "{\"a\":{\"b\":1},\"c\":{\"b\":1},\"d\":[{\"b\":1},{\"b\":1}]}" },
        { "a: &x 1\nb: &x 2\nc: *x\n", "{\"a\":1,\"b\":2,\"c\":2}" },
        { "---\na: |\n  two\n  lines\n...\n", "{\"a\":\"two\\nlines\\n\"}" },
        { "1: one\n", "{\"1\":\"one\"}" },
        { "\xef\xbb\xbf"
          "a: gr\xc3\xbc\xc3\x9f\n",
            "{\"a\":\"gr\xc3\xbc\xc3\x9f\"}" },
        { "a:\tb\n", "{\"a\":\"b\"}" }, /* a tab may separate, not indent */
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct aisys_node *root = NULL;
        char *text;

        aisys_diag_init(&diag);
        if (aisys_yaml_parse(&arena, "f", rows[i].in, strlen(rows[i].in), NULL, &diag, &root) != 0)
            fail_msg("%s: %s", rows[i].in, diag.entries[0].problem);
        assert_int_equal(aisys_tree_json(&arena, root, 0, &text, NULL), 0);
        assert_string_equal(text, rows[i].json);
    }
}

static void plain_scalars_keep_their_text(void **state)
{
    static const char text[] = "a: 0x10\nb: '7'\nc: 1.50\nd: true\n";
    struct aisys_node *root = NULL, *node;

    (void)state;
    assert_int_equal(aisys_yaml_parse(&arena, "f", text, strlen(text), NULL, &diag, &root), 0);
    node = aisys_node_get(root, "a");
    assert_int_equal(node->style, AISYS_STYLE_PLAIN);
    assert_string_equal(node->text, "0x10");
    assert_int_equal(aisys_node_get(root, "b")->style, AISYS_STYLE_STRICT);
    assert_string_equal(aisys_node_get(root, "c")->text, "1.50");
    assert_string_equal(aisys_node_get(root, "d")->text, "true");
}

static void positions(void **state)
{
    static const char text[] = "a:\n  bb: 1\n  c:\n    - x\n    - {y: z}\n";
    static const struct {
        const char *path;
        unsigned line, column;
    } rows[] = {
        { "", 1, 1 },
        { "a", 2, 3 },
        { "a.bb", 2, 7 },
        { "a.c[0]", 4, 7 },
        { "a.c[1]", 5, 7 },
        { "a.c[1].y", 5, 11 },
    };
    struct aisys_node *root = NULL;

    (void)state;
    assert_int_equal(aisys_yaml_parse(&arena, "f.yaml", text, strlen(text), NULL, &diag, &root), 0);
    for (size_t i = 0; i < ROWS(rows); i++) {
        const struct aisys_node *const node = aisys_tree_find(root, rows[i].path, false);

        assert_non_null(node);
        assert_string_equal(node->where.file, "f.yaml");
        assert_int_equal(node->where.line, rows[i].line);
        assert_int_equal(node->where.column, rows[i].column);
    }
}

static void refused(void **state)
{
    static const struct {
        const char *in;
        unsigned errors, line, column;
        const char *problem; /* a part of it */
    } rows[] = {
        { "a:\n\tb: 1\n", 1, 2, 1, "a tab is used to indent" },
        { "a:\n  - x\n \t- y\n", 1, 3, 0, "a tab is used to indent" },
        { "a: 1\nb: 2\na: 3\nb: 4\n", 2, 3, 1, "\"a\" is here twice, first on line 1" },
        { "{a: {x: 1, x: 2}, b: 1, b: 2}", 2, 1, 0, "\"x\" is here twice" },
        { "a: [1, 2\nb: 3\n", 1, 2, 0, "not YAML" },
        { "a: b: c\n", 1, 1, 5, "mapping values are not allowed" },
        { "a: 1\n---\nb: 2\n", 1, 2, 1, "a second document" },
        { "a: *nowhere\n", 1, 1, 4, "nothing is anchored as \"nowhere\"" },
        { "a: &x [*x]\n", 1, 1, 8, "nothing is anchored" },
        { "? [a, b]\n: c\n", 1, 1, 3, "a key that is no scalar" },
        { "\"a\\0b\": c\n", 1, 1, 1, "a key with a NUL" },
        { "a: !!binary aGk=\n", 1, 1, 4, "is not used here" },
        { "a: !mine x\n", 1, 1, 4, "\"!mine\"" },
        { "a: b\nc: \xff\n", 1, 2, 4, "0xff" },
        { "a: \"unclosed\n", 1, 2, 0, "not YAML" },
        { "a: \x01\n", 1, 0, 0, "not YAML" },
        { "%YAML 9.9\n---\na\n", 1, 1, 0, "not YAML" },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct aisys_node *root = NULL;

        aisys_diag_init(&diag);
        assert_int_equal(
            aisys_yaml_parse(&arena, "f", rows[i].in, strlen(rows[i].in), NULL, &diag, &root),
            AISYS_TREE_INVALID);
        assert_int_equal(aisys_diag_errors(&diag), rows[i].errors);
        if (strstr(diag.entries[0].problem, rows[i].problem) == NULL)
            fail_msg("%s: %s", rows[i].in, diag.entries[0].problem);
        assert_string_equal(diag.entries[0].where.file, "f");
        if (rows[i].line > 0)
            assert_int_equal(diag.entries[0].where.line, rows[i].line);
        if (rows[i].column > 0)
            assert_int_equal(diag.entries[0].where.column, rows[i].column);
    }
}

static void alias_bomb(void **state)
{
    char text[4096];
    size_t n = (size_t)snprintf(text, sizeof(text), "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    struct aisys_node *root = NULL;

    (void)state;
    for (unsigned i = 1; i < 12; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n,
            "a%u: &a%u [*a%u,*a%u,*a%u,*a%u,*a%u,*a%u,*a%u,*a%u]\n", i, i, i - 1, i - 1, i - 1,
            i - 1, i - 1, i - 1, i - 1, i - 1);
    assert_int_equal(
        aisys_yaml_parse(&arena, "f", text, n, NULL, &diag, &root), AISYS_TREE_INVALID);
    assert_non_null(strstr(diag.entries[0].problem, "aliases count with all they hold"));
    assert_true(arena.used_bytes < 60 << 20);
}

static void limits(void **state)
{
    const struct aisys_tree_limits limits = { .bytes = 200, .depth = 3, .nodes = 6 };
    static const struct {
        const char *in;
        bool good;
    } rows[] = {
        { "[[[1]]]", true },
        { "[[[[1]]]]", false },
        { "[1,2,3,4,5]", true },
        { "[1,2,3,4,5,6]", false },
        { "- &a [1]\n- [*a]\n", true },
        { "- &a [[1]]\n- [*a]\n", false }, /* depth, by the alias */
        { "- &a [1,2]\n- *a\n- *a\n", false },
    };
    struct aisys_node *root;
    static char big[20000];

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++)
        assert_int_equal(
            aisys_yaml_parse(&arena, "f", rows[i].in, strlen(rows[i].in), &limits, &diag, &root),
            rows[i].good ? 0 : AISYS_TREE_INVALID);
    memset(big, '[', sizeof(big));
    assert_int_equal(
        aisys_yaml_parse(&arena, "f", big, sizeof(big), &limits, &diag, &root), AISYS_TREE_INVALID);
    aisys_diag_init(&diag);
    assert_int_equal(
        aisys_yaml_parse(&arena, "f", big, sizeof(big), NULL, &diag, &root), AISYS_TREE_INVALID);
    assert_non_null(strstr(diag.entries[0].problem, "deeper than 64"));

    for (unsigned i = 0; i < 100; i++)
        sprintf(big + 10 * i, "- &a%03u x\n", i);
    aisys_diag_init(&diag);
    assert_int_equal(
        aisys_yaml_parse(&arena, "f", big, 1000, NULL, &diag, &root), AISYS_TREE_INVALID);
    assert_non_null(strstr(diag.entries[0].problem, "more than 64 anchors"));
}

static void exhausted_memory(void **state)
{
    static const char text[] = "a: &x [1, two, {b: c}]\nd: *x\n";

    (void)state;
    for (size_t limit = 0;; limit += 64) {
        struct aisys_arena small;
        struct aisys_node *root = NULL;
        int r;

        aisys_arena_init(&small, NULL, limit);
        r = aisys_yaml_parse(&small, "f", text, strlen(text), NULL, &diag, &root);
        aisys_arena_deinit(&small);
        if (r == 0)
            break;
        assert_int_equal(r, -ENOMEM);
    }
    assert_int_equal(aisys_diag_errors(&diag), 0);
}

struct text {
    char bytes[16384];
    size_t n;
};

static int text_add(void *ctx, const char *bytes, size_t n)
{
    struct text *const text = ctx;

    assert_true(text->n + n < sizeof(text->bytes));
    memcpy(text->bytes + text->n, bytes, n);
    text->n += n;
    return 0;
}

static const char *comment(void *ctx, const struct aisys_node *node)
{
    (void)node;
    return ctx;
}

/* Whatever is written reads back as the same. */
static void written_and_read_again(void **state)
{
    static const char *const strings[] = { "", "plain", "two words", "5", "0x10", "1.5", "true",
        "on", "No", "~", "null", "- a", "a: b", "a #b", "#x", "*x", "&x", "!x", "%x", "@x", "`x",
        "|", ">", "{a}", "[a]", "\"q\"", "'q'", "a\nb\n", "\ttab", " lead", "trail ", "\x01\x7f",
        "=", "<<", "gr\xc3\xbc\xc3\x9f", "/var/lib", "a/b.c-d_e", ".inf", "1e5", "2026-01-01", "\\",
        "?", "-", "http://x:1/?a=b" };
    struct aisys_node *root = aisys_node_map(&arena), *list = aisys_node_list(&arena),
                      *nested = aisys_node_list(&arena), *again = NULL;
    struct text text = { .n = 0 };
    char origin[] = "base.yaml:3";

    (void)state;
    for (size_t i = 0; i < ROWS(strings); i++) {
        aisys_node_append(list, aisys_node_string(&arena, strings[i]));
        aisys_node_set(root, strings[i], aisys_node_string(&arena, strings[i]));
    }
    aisys_node_append(nested, aisys_tree_copy(&arena, root));
    aisys_node_append(nested, list);
    aisys_node_append(nested, aisys_node_map(&arena));
    aisys_node_append(nested, aisys_node_null(&arena));
    aisys_node_append(nested, aisys_node_double(&arena, 0.1));
    aisys_node_append(nested, aisys_node_int(&arena, -7));
    aisys_node_append(nested, aisys_node_bool(&arena, false));
    aisys_node_set(root, "nested", nested);

    assert_int_equal(aisys_tree_yaml_write(root, comment, origin, text_add, &text), 0);
    if (aisys_yaml_parse(&arena, "f", text.bytes, text.n, NULL, &diag, &again) != 0)
        fail_msg("%u: %s\n%.*s", diag.entries[0].where.line, diag.entries[0].problem, (int)text.n,
            text.bytes);
    assert_true(aisys_tree_equal(root, again));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(accepted, setup, teardown),
        cmocka_unit_test_setup_teardown(plain_scalars_keep_their_text, setup, teardown),
        cmocka_unit_test_setup_teardown(positions, setup, teardown),
        cmocka_unit_test_setup_teardown(refused, setup, teardown),
        cmocka_unit_test_setup_teardown(alias_bomb, setup, teardown),
        cmocka_unit_test_setup_teardown(limits, setup, teardown),
        cmocka_unit_test_setup_teardown(exhausted_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(written_and_read_again, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
