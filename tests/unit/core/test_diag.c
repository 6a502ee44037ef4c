#include "unit.h"

#include <aisys/diag.h>

static struct aisys_diag diag;

static void expect_line(unsigned i, const char *expected)
{
    char buf[2048];

    aisys_diag_line(&diag, i, buf, sizeof(buf));
    assert_string_equal(buf, expected);
}

static void lines(void **state)
{
    const struct aisys_where in_file = { "base.yaml", 12, 3 };
    const struct aisys_where variable = { "AI_REDIS_PORT", 0, 0 };
    const struct aisys_where text = { NULL, 2, 7 };

    (void)state;
    aisys_diag_init(&diag);
    aisys_diag_add(&diag, &in_file, "redis.port", "an integer", "is %s", "a string");
    aisys_diag_add(&diag, &variable, "redis.port", NULL, "is 70000");
    aisys_diag_add(&diag, &text, "", "a value", "unexpected end");
    aisys_diag_add(&diag, NULL, "k", "1 or more", "is 0");
    aisys_diag_warn(&diag, NULL, "AI_REDIS_HSOT", NULL, "did you mean AI_REDIS_HOST?");

    expect_line(0, "base.yaml:12:3: redis.port: is a string; expected an integer");
    expect_line(1, "AI_REDIS_PORT: redis.port: is 70000");
    expect_line(2, "2:7: unexpected end; expected a value");
    expect_line(3, "k: is 0; expected 1 or more");
    expect_line(4, "warning: AI_REDIS_HSOT: did you mean AI_REDIS_HOST?");
    assert_int_equal(aisys_diag_errors(&diag), 4);
    assert_int_equal(diag.warnings, 1);
    assert_int_equal(aisys_diag_more(&diag), 0);
}

static void prefixes(void **state)
{
    unsigned outer, inner;
    char longer[400];

    (void)state;
    aisys_diag_init(&diag);
    outer = aisys_diag_enter(&diag, "agents.vision_processing.config");
    aisys_diag_add(&diag, NULL, "roots[2]", NULL, "a");
    inner = aisys_diag_enter(&diag, "roots");
    aisys_diag_add(&diag, NULL, "[0]", NULL, "b");
    aisys_diag_add(&diag, NULL, "", NULL, "c");
    aisys_diag_leave(&diag, inner);
    aisys_diag_add(&diag, NULL, "x", NULL, "d");
    aisys_diag_leave(&diag, outer);
    aisys_diag_add(&diag, NULL, "x", NULL, "e");

    expect_line(0, "agents.vision_processing.config.roots[2]: a");
    expect_line(1, "agents.vision_processing.config.roots[0]: b");
    expect_line(2, "agents.vision_processing.config.roots: c");
    expect_line(3, "agents.vision_processing.config.x: d");
    expect_line(4, "x: e");

    memset(longer, 'p', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    outer = aisys_diag_enter(&diag, longer);
    inner = aisys_diag_enter(&diag, longer);
    aisys_diag_add(&diag, NULL, "x", NULL, "f");
    aisys_diag_leave(&diag, inner);
    aisys_diag_leave(&diag, outer);
    assert_int_equal(strlen(diag.entries[5].path), AISYS_DIAG_PREFIX_MAX - 1 + 2);
}

static void bounded(void **state)
{
    char big[2 * AISYS_DIAG_TEXT_MAX];

    (void)state;
    aisys_diag_init(&diag);
    for (unsigned i = 0; i < AISYS_DIAG_MAX + 10; i++)
        aisys_diag_add(&diag, NULL, "a", NULL, "%u", i);
    assert_int_equal(diag.kept, AISYS_DIAG_MAX);
    assert_int_equal(aisys_diag_errors(&diag), AISYS_DIAG_MAX + 10);
    assert_int_equal(aisys_diag_more(&diag), 10);

    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    aisys_diag_init(&diag);
    for (unsigned i = 0; i < AISYS_DIAG_MAX; i++)
        aisys_diag_add(&diag, NULL, big, big, "%s", big);
    assert_true(diag.kept >= 10 && diag.kept < AISYS_DIAG_MAX);
    assert_int_equal(diag.kept + aisys_diag_more(&diag), AISYS_DIAG_MAX);
    assert_int_equal(strlen(diag.entries[0].problem), AISYS_DIAG_TEXT_MAX);
    assert_string_equal(diag.entries[0].problem + AISYS_DIAG_TEXT_MAX - 3, "...");
}

static void only_printable_utf8(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        { "a\nb\x1b[0m", "a?b?[0m" },
        { "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
        { "\xff\xfe", "??" },
        { "cut \xe2\x82", "cut ??" },
        { "\xc0\x80 \xed\xa0\x80", "?? ???" }, /* overlong, surrogate */
        { "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        aisys_diag_init(&diag);
        aisys_diag_add(&diag, NULL, "", NULL, "%s", rows[i].in);
        assert_string_equal(diag.entries[0].problem, rows[i].out);
    }
}

static void count_line(void *ctx, const char *text)
{
    char(*last)[64] = ctx;

    snprintf(*last, sizeof(*last), "%s", text);
}

static void printing(void **state)
{
    char last[64] = "";

    (void)state;
    aisys_diag_init(&diag);
    aisys_diag_print(&diag, count_line, &last);
    assert_string_equal(last, "");
    for (unsigned i = 0; i < AISYS_DIAG_MAX + 3; i++)
        aisys_diag_add(&diag, NULL, "a", NULL, "%u", i);
    aisys_diag_print(&diag, count_line, &last);
    assert_string_equal(last, "and 3 more");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),
        cmocka_unit_test(prefixes),
        cmocka_unit_test(bounded),
        cmocka_unit_test(only_printable_utf8),
        cmocka_unit_test(printing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
