/* The metrics page: exact text in both formats, its bound, allocation failures, and what promtool
 * says about it. */
#include <aisys/exposition.h>

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define LIMIT_BYTES (4u << 20)

static const struct aisys_metric restarts = { "ai_system_restarts_total", AISYS_METRIC_COUNTER, "",
    "Starts after a failure." };
static const struct aisys_metric loop_time = { "ai_system_loop_seconds_total", AISYS_METRIC_COUNTER,
    "seconds", "Time on the loop." };
static const struct aisys_metric depth = { "ai_system_queue_size", AISYS_METRIC_GAUGE, NULL,
    "Messages that wait." };
static const struct aisys_metric wait = { "ai_system_wait_seconds", AISYS_METRIC_HISTOGRAM,
    "seconds", "From send to handling, \"sampled\"\nC:\\." };
static const struct aisys_metric_label actor = { "actor", "cache_manager" };

static void write_page(struct aisys_exposition *page)
{
    static const uint64_t bounds_ns[] = { 1000, 250000000, 1500000000 };
    static const uint64_t counts[] = { 2, 0, 3, 1 };
    static const struct aisys_exposition_histogram histogram = { bounds_ns, counts, 3, 7000000001 };
    static const struct aisys_metric_label two[] = { { "actor", "a\"b\\c\nd" }, { "low", "\xff" } };

    aisys_exposition_family(page, &restarts);
    aisys_exposition_u64(page, &actor, 1, 3);
    aisys_exposition_u64(page, two, 2, UINT64_MAX);
    aisys_exposition_family(page, &loop_time);
    aisys_exposition_ns(page, NULL, 0, 1234500000);
    aisys_exposition_family(page, &wait);
    aisys_exposition_buckets(page, &actor, 1, &histogram);
    aisys_exposition_family(page, &depth);
    aisys_exposition_double(page, NULL, 0, 0.1);
}

static void test_prometheus_text(void **state)
{
    struct aisys_exposition page;

    (void)state;
    aisys_exposition_init(&page, AISYS_EXPOSITION_PROMETHEUS, LIMIT_BYTES, NULL, NULL);
    write_page(&page);
    assert_int_equal(aisys_exposition_finish(&page), 0);
    assert_int_equal(strlen(page.text), page.text_bytes);
    assert_string_equal(page.text,
        "# HELP ai_system_restarts_total Starts after a failure.\n"
        "# TYPE ai_system_restarts_total counter\n"
        "ai_system_restarts_total{actor=\"cache_manager\"} 3\n"
        "ai_system_restarts_total{actor=\"a\\\"b\\\\c\\nd\",low=\"\xef\xbf\xbd\"} "
        "18446744073709551615\n"
        "# HELP ai_system_loop_seconds_total Time on the loop.\n"
        "# TYPE ai_system_loop_seconds_total counter\n"
        "ai_system_loop_seconds_total 1.2345\n"
        "# HELP ai_system_wait_seconds From send to handling, \"sampled\"\\nC:\\\\.\n"
        "# TYPE ai_system_wait_seconds histogram\n"
        "ai_system_wait_seconds_bucket{actor=\"cache_manager\",le=\"0.000001\"} 2\n"
        "ai_system_wait_seconds_bucket{actor=\"cache_manager\",le=\"0.25\"} 2\n"
        "ai_system_wait_seconds_bucket{actor=\"cache_manager\",le=\"1.5\"} 5\n"
        "ai_system_wait_seconds_bucket{actor=\"cache_manager\",le=\"+Inf\"} 6\n"
        "ai_system_wait_seconds_sum{actor=\"cache_manager\"} 7.000000001\n"
        "ai_system_wait_seconds_count{actor=\"cache_manager\"} 6\n"
        "# HELP ai_system_queue_size Messages that wait.\n"
        "# TYPE ai_system_queue_size gauge\n"
        "ai_system_queue_size 0.1\n");
    aisys_exposition_deinit(&page);
    aisys_exposition_deinit(&page);
}

static void test_openmetrics_text(void **state)
{
    struct aisys_exposition page;

    (void)state;
    aisys_exposition_init(&page, AISYS_EXPOSITION_OPENMETRICS, LIMIT_BYTES, NULL, NULL);
    aisys_exposition_family(&page, &restarts);
    aisys_exposition_u64(&page, &actor, 1, 3);
    aisys_exposition_family(&page, &loop_time);
    aisys_exposition_ns(&page, NULL, 0, 2000000000);
    aisys_exposition_family(&page, &wait);
    assert_int_equal(aisys_exposition_finish(&page), 0);
    assert_string_equal(page.text,
        "# HELP ai_system_restarts Starts after a failure.\n"
        "# TYPE ai_system_restarts counter\n"
        "ai_system_restarts_total{actor=\"cache_manager\"} 3\n"
        "# HELP ai_system_loop_seconds Time on the loop.\n"
        "# TYPE ai_system_loop_seconds counter\n"
        "# UNIT ai_system_loop_seconds seconds\n"
        "ai_system_loop_seconds_total 2.0\n"
        "# HELP ai_system_wait_seconds From send to handling, \\\"sampled\\\"\\nC:\\\\.\n"
        "# TYPE ai_system_wait_seconds histogram\n"
        "# UNIT ai_system_wait_seconds seconds\n"
        "# EOF\n");
    aisys_exposition_deinit(&page);
}

static void test_numbers(void **state)
{
    static const struct {
        double value;
        const char *text;
    } rows[] = {
        { 0, "0\n" },
        { -0.5, "-0.5\n" },
        { 42, "42\n" },
        { -3, "-3\n" },
        { 0.1 + 0.2, "0.30000000000000004\n" },
        { 1e300, "1e+300\n" },
        { 9007199254740993.0, "9.00719925474099e+15\n" },
        { NAN, "NaN\n" },
        { INFINITY, "+Inf\n" },
        { -INFINITY, "-Inf\n" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct aisys_exposition page;
        const char *text;

        aisys_exposition_init(&page, AISYS_EXPOSITION_PROMETHEUS, LIMIT_BYTES, NULL, NULL);
        aisys_exposition_family(&page, &depth);
        aisys_exposition_double(&page, NULL, 0, rows[i].value);
        assert_int_equal(aisys_exposition_finish(&page), 0);
        text = strstr(page.text, "\nai_system_queue_size ") + strlen("\nai_system_queue_size ");
        if (!isnan(rows[i].value))
            assert_true(strtod(text, NULL) == rows[i].value);
        if (i != 6) /* there, what matters is that it reads back as the same number */
            assert_string_equal(text, rows[i].text);
        aisys_exposition_deinit(&page);
    }
}

static void test_label_text(void **state)
{
    static const struct {
        const char *value;
        const char *text;
    } rows[] = {
        { NULL, "" }, { "plain", "plain" }, { "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
        { "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
        { "cut\xe2\x82", "cut\xef\xbf\xbd\xef\xbf\xbd" },
        { "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" },                 /* overlong */
        { "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* a surrogate */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct aisys_metric_label label = { "l", rows[i].value };
        struct aisys_exposition page;
        char want[128];

        aisys_exposition_init(&page, AISYS_EXPOSITION_PROMETHEUS, LIMIT_BYTES, NULL, NULL);
        aisys_exposition_family(&page, &depth);
        aisys_exposition_u64(&page, &label, 1, 1);
        assert_int_equal(aisys_exposition_finish(&page), 0);
        snprintf(want, sizeof(want), "\nai_system_queue_size{l=\"%s\"} 1\n", rows[i].text);
        assert_non_null(strstr(page.text, want));
        aisys_exposition_deinit(&page);
    }
}

static void test_declarations(void **state)
{
    static const struct {
        struct aisys_metric metric;
        const char *problem;
    } rows[] = {
        { { "a_total", AISYS_METRIC_COUNTER, "", "H." }, NULL },
        { { "a_seconds_total", AISYS_METRIC_COUNTER, "seconds", "H." }, NULL },
        { { "system_cpu_usage_percent", AISYS_METRIC_GAUGE, "percent", "H." }, NULL },
        { { "", AISYS_METRIC_GAUGE, "", "H." }, "no name" },
        { { "1a", AISYS_METRIC_GAUGE, "", "H." }, "starts with a digit" },
        { { "a-b", AISYS_METRIC_GAUGE, "", "H." }, "other characters" },
        { { "__a", AISYS_METRIC_GAUGE, "", "H." }, "belong to Prometheus" },
        { { "a", AISYS_METRIC_GAUGE, "", "" }, "no help" },
        { { "a", AISYS_METRIC_COUNTER, "", "H." }, "a counter ends in _total" },
        { { "a_total", AISYS_METRIC_GAUGE, "", "H." }, "only counters" },
        { { "a_count", AISYS_METRIC_GAUGE, "", "H." }, "parts of a histogram" },
        { { "a_total", AISYS_METRIC_COUNTER, "seconds", "H." }, "end in its unit" },
        { { "seconds", AISYS_METRIC_GAUGE, "seconds", "H." }, "end in its unit" },
        { { "a_bytes", AISYS_METRIC_HISTOGRAM, "bytes", "H." }, "of seconds" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *problem = aisys_metric_check(&rows[i].metric);

        if (!rows[i].problem)
            assert_null(problem);
        else if (!problem || !strstr(problem, rows[i].problem))
            fail_msg("%s: %s", rows[i].metric.name, problem ? problem : "accepted");
    }
}

static void test_misuse_and_bound(void **state)
{
    struct aisys_exposition page;
    static const struct aisys_exposition_histogram none = { 0 };

    (void)state;
    aisys_exposition_init(&page, AISYS_EXPOSITION_PROMETHEUS, LIMIT_BYTES, NULL, NULL);
    aisys_exposition_u64(&page, NULL, 0, 1); /* no family */
    assert_int_equal(aisys_exposition_finish(&page), -EINVAL);
    aisys_exposition_deinit(&page);

    aisys_exposition_init(&page, AISYS_EXPOSITION_PROMETHEUS, LIMIT_BYTES, NULL, NULL);
    aisys_exposition_family(&page, &depth);
    aisys_exposition_buckets(&page, NULL, 0, &none);
    assert_int_equal(aisys_exposition_finish(&page), -EINVAL);
    aisys_exposition_deinit(&page);

    for (size_t limit_bytes = 0; limit_bytes < 2000; limit_bytes++) {
        aisys_exposition_init(&page, AISYS_EXPOSITION_PROMETHEUS, limit_bytes, NULL, NULL);
        write_page(&page);
        if (aisys_exposition_finish(&page) == 0) {
            assert_int_equal(page.text_bytes, limit_bytes); /* the bound is exact */
            aisys_exposition_deinit(&page);
            return;
        }
        assert_int_equal(aisys_exposition_finish(&page), -EFBIG);
        assert_true(page.text_bytes <= limit_bytes);
        aisys_exposition_deinit(&page);
    }
    fail();
}

struct fault {
    unsigned after;
    size_t held_bytes;
};

static void *fault_resize(void *arg, void *ptr, size_t old_bytes, size_t new_bytes)
{
    struct fault *fault = arg;

    if (new_bytes == 0) {
        fault->held_bytes -= old_bytes;
        free(ptr);
        return NULL;
    }
    if (fault->after-- == 0)
        return NULL;
    fault->held_bytes += new_bytes - old_bytes;
    return realloc(ptr, new_bytes);
}

static void test_allocation_faults(void **state)
{
    (void)state;
    for (unsigned n = 0;; n++) {
        struct fault fault = { .after = n };
        struct aisys_exposition page;
        int r;

        aisys_exposition_init(
            &page, AISYS_EXPOSITION_PROMETHEUS, LIMIT_BYTES, fault_resize, &fault);
        for (int i = 0; i < 20; i++)
            write_page(&page);
        r = aisys_exposition_finish(&page);
        aisys_exposition_deinit(&page);
        assert_int_equal(fault.held_bytes, 0);
        if (r == 0)
            break;
        assert_int_equal(r, -ENOMEM);
    }
}

static void test_choose(void **state)
{
    (void)state;
    assert_int_equal(aisys_exposition_choose(NULL), AISYS_EXPOSITION_PROMETHEUS);
    assert_int_equal(aisys_exposition_choose("*/*"), AISYS_EXPOSITION_PROMETHEUS);
    assert_int_equal(
        aisys_exposition_choose("application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1"),
        AISYS_EXPOSITION_OPENMETRICS);
    assert_non_null(strstr(aisys_exposition_content_type(AISYS_EXPOSITION_PROMETHEUS), "0.0.4"));
}

static void test_promtool_is_content(void **state)
{
    struct aisys_exposition page;
    FILE *promtool;

    (void)state;
    if (system("command -v promtool >/dev/null 2>&1") != 0)
        skip();
    aisys_exposition_init(&page, AISYS_EXPOSITION_PROMETHEUS, LIMIT_BYTES, NULL, NULL);
    write_page(&page);
    assert_int_equal(aisys_exposition_finish(&page), 0);
    promtool = popen("promtool check metrics", "w");
    assert_non_null(promtool);
    assert_int_equal(fwrite(page.text, 1, page.text_bytes, promtool), page.text_bytes);
    assert_int_equal(pclose(promtool), 0);
    aisys_exposition_deinit(&page);
}

/* 100 actors, 20 series each. The figure is printed; what is asserted is only the size. */
static void test_large_page(void **state)
{
    struct aisys_exposition page;
    struct timespec from, to;

    (void)state;
    clock_gettime(CLOCK_MONOTONIC, &from);
    aisys_exposition_init(&page, AISYS_EXPOSITION_PROMETHEUS, LIMIT_BYTES, NULL, NULL);
    for (int series = 0; series < 20; series++) {
        aisys_exposition_family(&page, series % 2 ? &depth : &loop_time);
        for (uint64_t i = 0; i < 100; i++) {
            if (series % 2)
                aisys_exposition_u64(&page, &actor, 1, i * 1000);
            else
                aisys_exposition_ns(&page, &actor, 1, i * 123456789);
        }
    }
    assert_int_equal(aisys_exposition_finish(&page), 0);
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_true(page.text_bytes > 50000);
    print_message("2000 samples, %zu bytes: %.0f us\n", page.text_bytes,
        (double)(to.tv_sec - from.tv_sec) * 1e6 + (double)(to.tv_nsec - from.tv_nsec) / 1e3);
    aisys_exposition_deinit(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prometheus_text),
        cmocka_unit_test(test_openmetrics_text),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_label_text),
        cmocka_unit_test(test_declarations),
        cmocka_unit_test(test_misuse_and_bound),
        cmocka_unit_test(test_allocation_faults),
        cmocka_unit_test(test_choose),
        cmocka_unit_test(test_promtool_is_content),
        cmocka_unit_test(test_large_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
