/* base64, RFC 3339 and "did you mean". */
#include "unit.h"

#include <stdbool.h>

#include "core/base64.h"
#include "core/rfc3339.h"
#include "core/suggest.h"

static void base64_both_ways(void **state)
{
    static const struct {
        const char *data, *text;
    } rows[] = {
        { "", "" },
        { "f", "Zg==" },
        { "fo", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" },
        { "\xfb\xff\xfe", "+//+" },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        const size_t bytes = strlen(rows[i].data);
        char text[32];
        uint8_t data[32];
        size_t n = 99;

        aisys_base64_encode(rows[i].data, bytes, text);
        assert_string_equal(text, rows[i].text);
        assert_true(aisys_base64_decode(text, strlen(text), data, &n));
        assert_int_equal(n, bytes);
        assert_memory_equal(data, rows[i].data, bytes);
    }
}

static void base64_read(void **state)
{
    static const struct {
        const char *text;
        int bytes; /* -1: refused */
    } rows[] = {
        { "-__-", 3 },
        { "Zg", 1 },
        { "Zm8", 2 },
        { "Zm9vYg", 4 },
        { "Z", -1 },
        { "Zg=", -1 },
        { "Zg===", -1 },
        { "====", -1 },
        { "Z===", -1 },
        { "=", -1 },
        { "Zm9v\n", -1 },
        { "Zm 9", -1 },
        { "Zg==Zg==", -1 },
        { "Zm9\xc3", -1 },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        uint8_t data[32];
        size_t n = 0;
        const bool good = aisys_base64_decode(rows[i].text, strlen(rows[i].text), data, &n);

        if (good != (rows[i].bytes >= 0))
            fail_msg("%s", rows[i].text);
        if (good)
            assert_int_equal(n, rows[i].bytes);
    }
}

static void times_both_ways(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        { 0, "1970-01-01T00:00:00Z" },
        { 1, "1970-01-01T00:00:00.001Z" },
        { -1, "1969-12-31T23:59:59.999Z" },
        { 951782400000, "2000-02-29T00:00:00Z" },
        { 1795456830250, "2026-11-23T18:00:30.250Z" },
        { AISYS_TIME_MIN_MS, "0001-01-01T00:00:00Z" },
        { AISYS_TIME_MAX_MS, "9999-12-31T23:59:59.999Z" },
        { -2203891200000, "1900-03-01T00:00:00Z" },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        char buf[AISYS_RFC3339_BYTES];
        int64_t ms = 0;

        aisys_rfc3339_write(rows[i].ms, buf);
        assert_string_equal(buf, rows[i].text);
        assert_true(aisys_rfc3339_read(buf, strlen(buf), &ms));
        assert_int_equal(ms, rows[i].ms);
    }
    for (int64_t ms = AISYS_TIME_MIN_MS; ms < AISYS_TIME_MAX_MS - 86400000 * 97LL;
         ms += 86400000 * 97LL + 1234567) {
        char buf[AISYS_RFC3339_BYTES];
        int64_t again = 0;

        aisys_rfc3339_write(ms, buf);
        assert_true(aisys_rfc3339_read(buf, strlen(buf), &again));
        assert_int_equal(again, ms);
    }
}

static void times_read(void **state)
{
    static const struct {
        const char *text;
        bool good;
        int64_t ms;
    } rows[] = {
        { "1970-01-01T01:00:00+01:00", true, 0 },
        { "1969-12-31 19:00:00-05:00", true, 0 },
        { "1970-01-01t00:00:00z", true, 0 },
        { "1970-01-01T00:00:00.5Z", true, 500 },
        { "1970-01-01T00:00:00.123456789Z", true, 123 },
        { "1972-06-30T23:59:60Z", true, 78796799000 },
        { "1970-01-01T00:00:00", false, 0 },
        { "1970-01-01", false, 0 },
        { "1970-13-01T00:00:00Z", false, 0 },
        { "1970-02-29T00:00:00Z", false, 0 },
        { "1970-01-01T24:00:00Z", false, 0 },
        { "1970-01-01T00:00:00.Z", false, 0 },
        { "1970-01-01T00:00:00Zx", false, 0 },
        { "1970-1-01T00:00:00Z", false, 0 },
        { "0000-01-01T00:00:00Z", false, 0 },
        { "1970-01-01T00:00:00+24:00", false, 0 },
        { "", false, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        int64_t ms = 0;

        if (aisys_rfc3339_read(rows[i].text, strlen(rows[i].text), &ms) != rows[i].good)
            fail_msg("%s", rows[i].text);
        assert_int_equal(ms, rows[i].ms);
    }
}

static void suggestions(void **state)
{
    static const char *const known[] = { "AI_REDIS_HOST", "AI_REDIS_PORT", "AI_NETWORK_PORT",
        "query", "k", "kind", "until" };
    static const struct {
        const char *name, *best;
    } rows[] = {
        { "AI_REDIS_HSOT", "AI_REDIS_HOST" },
        { "AI_REDIS_PROT", "AI_REDIS_PORT" },
        { "qurey", "query" },
        { "QUERY", "query" },
        { "kinds", "kind" },
        { "untill", "until" },
        { "something", NULL },
        { "", NULL },
        { "K", "k" },
        { "x", NULL },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct aisys_suggest suggest;

        aisys_suggest_init(&suggest, rows[i].name);
        for (size_t j = 0; j < ROWS(known); j++)
            aisys_suggest_offer(&suggest, known[j]);
        if (rows[i].best == NULL)
            assert_null(suggest.best);
        else
            assert_string_equal(suggest.best, rows[i].best);
    }
    assert_int_equal(aisys_suggest_distance("kitten", "sitting"), 3);
    assert_int_equal(aisys_suggest_distance("ab", "ba"), 1);
    assert_int_equal(aisys_suggest_distance("", "abc"), 3);
    assert_true(aisys_suggest_distance("a",
                    "a very long name that is longer than what anybody would suggest for anything, "
                    "longer still than ninety-six") == SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_both_ways),
        cmocka_unit_test(base64_read),
        cmocka_unit_test(times_both_ways),
        cmocka_unit_test(times_read),
        cmocka_unit_test(suggestions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
