/* What an HTTP request may say: targets, hosts, origins, lengths, and error bodies. */
#include "port/http_parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_targets(void **state)
{
    static const struct {
        const char *target;
        const char *path;   /* NULL: refused */
        const char *params; /* name=value; ... or words of the refusal */
    } rows[] = {
        { "/", "/", "" },
        { "/a", "/a", "" },
        { "/a/", "/a/", "" },
        { "//", "/", "" },
        { "///a////b///", "/a/b/", "" },
        { "/./a/./b/.", "/a/b", "" },
        { "/.", "/", "" },
        { "/..a/b..", "/..a/b..", "" },
        { "/...", "/...", "" },
        { "/%61%2d%7E", "/a-~", "" },
        { "/a+b", "/a+b", "" },
        { "/%e2%82%ac", "/\xe2\x82\xac", "" },
        { "/a?", "/a", "" },
        { "/a?x", "/a", "x=;" },
        { "/a?x=", "/a", "x=;" },
        { "/a?=y", "/a", "=y;" },
        { "/a?x=1&y=2", "/a", "x=1;y=2;" },
        { "/a?&&x=1&&", "/a", "x=1;" },
        { "/a?x=a+b%2Bc%26%3d", "/a", "x=a b+c&=;" },
        { "/a?x%20y=%2F..%0A", "/a", "x y=/..\n;" },
        { "/a?x=1?y=2", "/a", "x=1?y=2;" },
        { "", NULL, "start with a slash" },
        { "*", NULL, "start with a slash" },
        { "a/b", NULL, "start with a slash" },
        { "http://h/", NULL, "start with a slash" },
        { "/..", NULL, "\"..\"" },
        { "/a/..", NULL, "\"..\"" },
        { "/../a", NULL, "\"..\"" },
        { "/%2e./a", NULL, "\"..\"" },
        { "/%", NULL, "hexadecimal" },
        { "/%1", NULL, "hexadecimal" },
        { "/%g0", NULL, "hexadecimal" },
        { "/%0g", NULL, "hexadecimal" },
        { "/%%41", NULL, "hexadecimal" },
        { "/a?x=%", NULL, "hexadecimal" },
        { "/a?%4=1", NULL, "hexadecimal" },
        { "/%00", NULL, "NUL" },
        { "/a?%00=1", NULL, "NUL" },
        { "/%2F", NULL, "slash" },
        { "/\x01", NULL, "control" },
        { "/%7f", NULL, "control" },
        { "/\xc3", NULL, "UTF-8" },
        { "/%80", NULL, "UTF-8" },
        { "/%c0%80", NULL, "UTF-8" },
        { "/%ed%a0%80", NULL, "UTF-8" },
        { "/%f4%90%80%80", NULL, "UTF-8" },
        { "/%f8%88%80%80%80", NULL, "UTF-8" },
        { "/a?x=%e2%82", NULL, "UTF-8" },
        { "/a?1&2&3&4&5", NULL, "too many" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct aisys_http_pair params[4];
        char *target = strdup(rows[i].target); /* on the heap: its bounds are checked */
        char text[128] = "";
        const char *path = NULL;
        const char *problem;
        size_t len = 0;

        problem = aisys_http_target_parse(target, &path, params, 4, &len);
        if (rows[i].path) {
            if (problem)
                fail_msg("%s: %s", rows[i].target, problem);
            assert_string_equal(path, rows[i].path);
            for (size_t k = 0; k < len; k++)
                snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s=%s;", params[k].name,
                    params[k].value);
            assert_string_equal(text, rows[i].params);
            assert_true(len <= aisys_http_target_params(rows[i].target));
        } else if (!problem || !strstr(problem, rows[i].params)) {
            fail_msg("%s: %s", rows[i].target, problem ? problem : "accepted");
        }
        free(target);
    }
}

/* Every byte in every place of a small target: it is judged, and nothing is written outside. */
static void test_any_bytes(void **state)
{
    static const char start[] = "/a%41?b=c+%42&d";

    (void)state;
    for (size_t at = 0; at < sizeof(start) - 1; at++) {
        for (int byte = 1; byte < 256; byte++) {
            struct aisys_http_pair params[4];
            char *target = strdup(start);
            const char *path;
            size_t len;

            target[at] = (char)byte;
            if (!aisys_http_target_parse(target, &path, params, 4, &len))
                assert_int_equal(path[0], '/');
            free(target);
        }
    }
}

static void test_hosts(void **state)
{
    static const struct {
        const char *host;
        const char *allowed;
        bool is;
    } rows[] = {
        { "localhost", "localhost", true },
        { "LocalHost:8080", "localhost", true },
        { "localhost:", "localhost", true },
        { "127.0.0.1:8080", "127.0.0.1", true },
        { "[::1]:8080", "::1", true },
        { "[::1]", "::1", true },
        { "localhost.", "localhost", false },
        { "localhost.evil", "localhost", false },
        { "evil", "localhost", false },
        { "local", "localhost", false },
        { "localhost:80:80", "localhost", false },
        { "localhost:8o", "localhost", false },
        { "localhost@evil", "localhost", false },
        { "::1", "::1", false },
        { "[::1", "::1", false },
        { "[::1]evil", "::1", false },
        { "[::1]:x", "::1", false },
        { "", "localhost", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (aisys_http_host_is(rows[i].host, rows[i].allowed) != rows[i].is)
            fail_msg("%s", rows[i].host);
    assert_true(aisys_http_origin_is_host("http://a:1", "A:1"));
    assert_true(aisys_http_origin_is_host("https://a", "a"));
    assert_false(aisys_http_origin_is_host("http://a:2", "a:1"));
    assert_false(aisys_http_origin_is_host("http://a", "a:80"));
    assert_false(aisys_http_origin_is_host("null", "null"));
    assert_false(aisys_http_origin_is_host("ftp://a", "a"));
}

static void test_lengths(void **state)
{
    uint64_t bytes = 7;

    (void)state;
    assert_true(aisys_http_length_parse("0", &bytes));
    assert_int_equal(bytes, 0);
    assert_true(aisys_http_length_parse("25165824", &bytes));
    assert_int_equal(bytes, 25165824);
    assert_true(aisys_http_length_parse("000000000000000000000000000001", &bytes));
    assert_int_equal(bytes, 1);
    assert_false(aisys_http_length_parse("", &bytes));
    assert_false(aisys_http_length_parse("-1", &bytes));
    assert_false(aisys_http_length_parse("1 ", &bytes));
    assert_false(aisys_http_length_parse("0x10", &bytes));
    assert_false(aisys_http_length_parse("18446744073709551616", &bytes));
    assert_int_equal(bytes, 1);
}

static void test_error_json(void **state)
{
    char message[400];
    char buf[160];

    (void)state;
    aisys_http_error_json(buf, sizeof(buf), "NOT_FOUND", "a \"b\" \\ c\n\xc3\xbc");
    assert_string_equal(buf, "{\"error\":{\"code\":\"NOT_FOUND\",\"message\":\"a \\\"b\\\" \\\\ c"
                             "\\u000a\xc3\xbc\",\"details\":[]}}");
    aisys_http_error_json(buf, sizeof(buf), "X", "\xff!");
    assert_string_equal(buf, "{\"error\":{\"code\":\"X\",\"message\":\"?!\",\"details\":[]}}");
    for (size_t len = 0; len + 3 < sizeof(message); len++) { /* cut at any place, still whole */
        size_t bytes;

        memset(message, '"', len);
        strcpy(message + len, "\xe2\x82\xac");
        bytes = aisys_http_error_json(buf, sizeof(buf), "X", message);
        assert_true(bytes < sizeof(buf));
        assert_int_equal(strlen(buf), bytes);
        assert_string_equal(buf + bytes - strlen("\",\"details\":[]}}"), "\",\"details\":[]}}");
    }
    assert_string_equal(aisys_http_status_code(413), "RESOURCE_EXHAUSTED");
    assert_string_equal(aisys_http_status_code(599), "UNKNOWN");
    assert_string_equal(aisys_http_status_reason(503), "Service Unavailable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_error_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
