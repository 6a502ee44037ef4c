/* The metrics page: declared well, liked by promtool, and its sums add up. */
#include "unit.h"

#include "actor_stage.h"
#include "aisys/system.pb-c.h"
#include "system_classes.h"

#include <stdlib.h>

static struct stage stage;
static const struct aisys_metric extra = { "ai_system_extra_total", AISYS_METRIC_COUNTER, NULL,
    "What the node appends." };

static const struct aisys_actor_ops agent_ops = { .abi = AISYS_ABI, .name = "agent" };

static void process(void *ctx, struct aisys_process_stats *ret_stats)
{
    (void)ctx;
    *ret_stats = (struct aisys_process_stats){ .machine_cpu_percent = 12.5,
        .machine_memory_percent = 40,
        .machine_disk_percent = -1, /* not known */
        .cpu_seconds = 1.25,
        .resident_bytes = 1 << 20,
        .threads = 4 };
}

static void more_metrics(void *ctx, struct aisys_exposition *page)
{
    (void)ctx;
    aisys_exposition_family(page, &extra);
    aisys_exposition_u64(page, NULL, 0, 7);
}

static const struct aisys_node_facts facts = {
    .name = "here",
    .role = "pc2",
    .version = "1.2.3",
    .environment = "dev",
    .started_ms = 500,
    .started_wall_ms = 1767225600500,
    .process = process,
    .metrics = more_metrics,
};

static int setup_with(const struct aisys_node_facts *told, uint32_t page_bytes)
{
    static Aisys__System__MetricsConfig config;

    aisys__system__metrics_config__init(&config);
    config.page_bytes = page_bytes ? page_bytes : config.page_bytes;
    stage_open(&stage);
    if (told)
        aisys_core_set_facts(stage.core, told);
    stage_add(&stage, &aisys_metrics_ops,
        &(struct aisys_actor_options){ .name = "metrics", .config = &config.base });
    stage_add(&stage, &agent_ops,
        &(struct aisys_actor_options){ .name = "agent", .memory_bytes_max = 4096 });
    stage_start(&stage);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    return setup_with(&facts, 0);
}

static int setup_without_facts(void **state)
{
    (void)state;
    return setup_with(NULL, 0);
}

static int setup_small(void **state)
{
    (void)state;
    return setup_with(&facts, 65536);
}

static int teardown(void **state)
{
    (void)state;
    stage_close(&stage);
    return 0;
}

static const Aisys__System__ExposeReply *expose(const char *accept, bool openmetrics)
{
    Aisys__System__ExposeRequest request = AISYS__SYSTEM__EXPOSE_REQUEST__INIT;

    request.accept = (char *)(uintptr_t)accept;
    request.has_format = openmetrics;
    request.format = AISYS__SYSTEM__EXPOSE_REQUEST__FORMAT__OPENMETRICS;
    stage_call(&stage, "metrics", "Expose", &request.base);
    return stage_reply(&stage, &aisys__system__expose_reply__descriptor);
}

/* The value of the line that begins with @series; fails when there is none. */
static double value(const char *page, const char *series)
{
    const size_t length = strlen(series);

    for (const char *line = page; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, series, length) == 0 && line[length] == ' ')
            return strtod(line + length, NULL);
    fail_msg("no %s in the page", series);
    return 0;
}

static void test_every_metric_is_declared_well(void **state)
{
    size_t n = 0;

    (void)state;
    for (const struct aisys_metric *metric; (metric = aisys_metrics_declared(n)); n++) {
        const char *problem = aisys_metric_check(metric);

        if (problem)
            fail_msg("%s: %s", metric->name, problem);
        for (size_t i = 0; i < n; i++)
            assert_string_not_equal(aisys_metrics_declared(i)->name, metric->name);
    }
    assert_true(n > 40);
}

static void test_values(void **state)
{
    static const struct {
        const char *series;
        double value;
    } rows[] = {
        { "system_cpu_usage_percent", 12.5 },
        { "system_memory_usage_percent", 40 },
        { "ai_system_build_info{version=\"1.2.3\"}", 1 },
        { "ai_system_node_info{node=\"here\",role=\"pc2\",environment=\"dev\"}", 1 },
        { "ai_system_ready", 1 },
        { "ai_system_uptime_seconds", 0.5 },
        { "ai_system_actors", 3 },
        { "ai_system_actor_up{actor=\"agent\"}", 1 },
        { "ai_system_actor_healthy{actor=\"agent\"}", 1 },
        { "ai_system_actor_state{actor=\"agent\",state=\"running\"}", 1 },
        { "ai_system_actor_memory_limit_bytes{actor=\"agent\"}", 4096 },
        { "ai_system_actor_mailbox_limit{actor=\"agent\"}", 1024 },
        { "ai_system_lane_running_limit{lane=\"vision\"}", 1 },
        { "ai_system_lane_jobs_total{lane=\"memory\",outcome=\"done\"}", 0 },
        { "ai_system_dead_letters_total{reason=\"gone\"}", 0 },
        { "process_resident_memory_bytes", 1 << 20 },
        { "process_cpu_seconds_total", 1.25 },
        { "process_start_time_seconds", 1767225600.5 },
        { "ai_system_extra_total", 7 },
    };
    const Aisys__System__ExposeReply *reply;

    (void)state;
    reply = expose(NULL, false);
    assert_string_equal(reply->content_type, "text/plain; version=0.0.4; charset=utf-8");
    for (size_t i = 0; i < ROWS(rows); i++)
        if (value(reply->text, rows[i].series) != rows[i].value)
            fail_msg("%s is %g", rows[i].series, value(reply->text, rows[i].series));
    assert_null(strstr(reply->text, "\nsystem_disk_usage_percent "));
    assert_null(strstr(reply->text, "ai_system_actor_memory_limit_bytes{actor=\"metrics\"}"));
}

/* Invariant 6, as a scraper sees it, of every actor. */
static void test_the_sums_add_up(void **state)
{
    static const char *const actors[] = { "metrics", "agent", "caller" };
    static const char *const outcomes[] = { "handled", "failed", "refused", "dropped", "dead" };
    struct aisys_actor *caller = aisys_core_actor(stage.core, stage.caller);
    const struct aisys_id agent = aisys_core_lookup(stage.core, "agent");
    const char *text;

    (void)state;
    for (unsigned i = 0; i < 2000; i++) /* some find the mailbox full, some are still there */
        aisys_send(caller, agent, 1, AISYS_BYTES("x", 1));
    text = expose(NULL, false)->text;
    for (size_t i = 0; i < ROWS(actors); i++) {
        char series[128];
        double sum = 0;

        for (size_t k = 0; k < ROWS(outcomes); k++) {
            snprintf(series, sizeof(series),
                "ai_system_actor_messages_total{actor=\"%s\",outcome=\"%s\"}", actors[i],
                outcomes[k]);
            sum += value(text, series);
        }
        snprintf(series, sizeof(series), "ai_system_queue_size{actor=\"%s\"}", actors[i]);
        sum += value(text, series);
        snprintf(series, sizeof(series), "ai_system_actor_in_hand{actor=\"%s\"}", actors[i]);
        sum += value(text, series);
        snprintf(series, sizeof(series),
            "ai_system_actor_messages_total{actor=\"%s\",outcome=\"offered\"}", actors[i]);
        assert_true(value(text, series) == sum);
        assert_true(i > 1 || sum > 0);
    }
    assert_true(
        value(text, "ai_system_actor_messages_total{actor=\"agent\",outcome=\"refused\"}") > 900);
}

/* All that was kept is in the histogram, whatever its bucket. */
static void test_histograms_hold_everything(void **state)
{
    struct aisys_actor *caller = aisys_core_actor(stage.core, stage.caller);
    const struct aisys_id agent = aisys_core_lookup(stage.core, "agent");
    const char *text;

    (void)state;
    for (unsigned i = 0; i < 640; i++)
        assert_int_equal(aisys_send(caller, agent, 1, AISYS_NO_BYTES), 0);
    fake_env_settle(&stage.fake);
    text = expose(NULL, false)->text;
    assert_true(value(text, "ai_system_actor_wait_seconds_count{actor=\"agent\"}") == 10);
    assert_true(
        value(text, "ai_system_actor_handling_seconds_bucket{actor=\"agent\",le=\"+Inf\"}") == 10);
    assert_true(
        value(text, "ai_system_actor_wait_seconds_bucket{actor=\"metrics\",le=\"+Inf\"}") == 0);
}

static void test_openmetrics(void **state)
{
    static const struct {
        const char *accept;
        bool asked;
        const char *type;
    } rows[] = {
        { NULL, true, "application/openmetrics-text" },
        { "text/plain", true, "application/openmetrics-text" },
        { "application/openmetrics-text;version=1.0.0", false, "application/openmetrics-text" },
        { "text/plain", false, "text/plain" },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        const Aisys__System__ExposeReply *reply = expose(rows[i].accept, rows[i].asked);

        assert_memory_equal(reply->content_type, rows[i].type, strlen(rows[i].type));
        assert_int_equal(strstr(reply->text, "# EOF\n") != NULL, rows[i].type[0] == 'a');
    }
}

static void test_promtool_likes_it(void **state)
{
    const char *text;
    FILE *promtool;

    (void)state;
    if (system("command -v promtool >/dev/null 2>&1") != 0)
        skip();
    text = expose(NULL, false)->text;
    promtool = popen("promtool check metrics", "w");
    assert_non_null(promtool);
    assert_int_equal(fwrite(text, 1, strlen(text), promtool), strlen(text));
    assert_int_equal(pclose(promtool), 0);
}

static void test_a_node_that_told_nothing(void **state)
{
    const char *text;

    (void)state;
    text = expose(NULL, false)->text;
    assert_true(value(text, "ai_system_build_info{version=\"\"}") == 1);
    assert_null(strstr(text, "\nsystem_cpu_usage_percent "));
    assert_null(strstr(text, "\nprocess_open_fds "));
}

static void test_a_page_over_its_bound(void **state)
{
    const Aisys__System__ExposeRequest request = AISYS__SYSTEM__EXPOSE_REQUEST__INIT;
    static char names[100][8];

    (void)state;
    for (unsigned i = 0; i < ROWS(names); i++) {
        snprintf(names[i], sizeof(names[i]), "a%u", i);
        stage_add(&stage, &agent_ops, &(struct aisys_actor_options){ .name = names[i] });
    }
    assert_int_equal(
        stage_call(&stage, "metrics", "Expose", &request.base), AISYS_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(stage.words, "config.page_bytes of 65536 bytes"));
}

static void test_no_memory(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        const Aisys__System__ExposeRequest request = AISYS__SYSTEM__EXPOSE_REQUEST__INIT;

        stage_begin(&stage, "metrics", "Expose", &request.base);
        stage.fake.fault_fired = false;
        stage.fake.fail_alloc_after = n;
        fake_env_settle(&stage.fake);
        stage.fake.fail_alloc_after = -1;
        assert_true(stage.ended);
        if (!stage.fake.fault_fired)
            break;
        assert_int_equal(stage.code, AISYS_RESOURCE_EXHAUSTED);
    }
    assert_int_equal(stage.code, AISYS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_metric_is_declared_well),
        cmocka_unit_test_setup_teardown(test_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_sums_add_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_histograms_hold_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(test_openmetrics, setup, teardown),
        cmocka_unit_test_setup_teardown(test_promtool_likes_it, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_a_node_that_told_nothing, setup_without_facts, teardown),
        cmocka_unit_test_setup_teardown(test_a_page_over_its_bound, setup_small, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
    };

    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
