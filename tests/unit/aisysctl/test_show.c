#include "ctl_stage.h"

static struct ctl_stage stage;

static int setup(void **state)
{
    (void)state;
    ctl_stage_init(&stage);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ctl_stage_deinit(&stage);
    return 0;
}

static void nothing_drives_the_terminal(void **state)
{
    static const struct {
        const char *text;
        size_t bytes; /* 0: all */
        const char *line, *lines;
    } rows[] = {
        { "plain", 0, "plain", "plain" },
        { "a\nb\tc", 0, "a b c", "a\n  b c" },
        { "a\n\nb", 0, "a  b", "a\n\n  b" },
        { "\033[2Jx\r\a", 0, "?[2Jx??", "?[2Jx??" },
        { "\x7f\xc2\x9b"
          "31m",
            0, "??31m", "??31m" },
        { "gr\xc3\xbc\xc3\x9f", 0, "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
        { "\xe2\x80\xaegpj.exe", 0, "?gpj.exe", "?gpj.exe" }, /* right to left from here */
        { "\xff\xc3", 0, "??", "??" },
        { "a\0b", 3, "a?b", "a?b" },
        { "\xf0\x9f\x94\x91", 0, "\xf0\x9f\x94\x91", "\xf0\x9f\x94\x91" },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        const size_t bytes = rows[i].bytes ? rows[i].bytes : strlen(rows[i].text);

        ctl_show_line(stage.ctl.out, rows[i].text, bytes);
        assert_string_equal(ctl_stage_out(&stage), rows[i].line);
        ctl_show_lines(stage.ctl.out, rows[i].text, bytes, 2);
        assert_string_equal(ctl_stage_out(&stage), rows[i].lines);
    }
}

static void quantities(void **state)
{
    static const struct {
        double value;
        const char *bytes, *duration;
    } rows[] = {
        { 0, "0 B", "0 ms" },
        { 0.25, "0 B", "250 us" },
        { 1, "1 B", "1.0 ms" },
        { 999, "999 B", "999 ms" },
        { 1536, "1.5 KiB", "1.5 s" },
        { 150 * 1024.0, "150 KiB", "2.6 min" },
        { 3.5 * 1048576, "3.5 MiB", "1.0 h" },
        { 2.0 * 86400e3, "165 MiB", "2.0 d" },
    };
    char buf[CTL_SHOW_QUANTITY_BYTES];

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        assert_string_equal(ctl_show_bytes(rows[i].value, buf), rows[i].bytes);
        assert_string_equal(ctl_show_duration(rows[i].value, buf), rows[i].duration);
    }
}

static void trees(void **state)
{
    static const struct {
        const char *json, *text;
    } rows[] = {
        { "{\"id\":\"7\",\"duplicates\":[]}", "id:         7\nduplicates: []\n" },
        { "{\"a\":1,\"list\":[\"x\",\"y\"],\"b\":true}", "a: 1\nlist:\n  - x\n  - y\nb: true\n" },
        { "{\"hits\":[{\"id\":\"1\",\"score\":0.5},{\"id\":\"2\",\"tags\":[\"t\"]}]}",
            "hits:\n  - id:    1\n    score: 0.5\n  - id: 2\n    tags:\n      - t\n" },
        { "{\"text\":\"one\\ntwo\\n\",\"n\":null,\"e\":\"\"}",
            "text:\n  one\n  two\nn: null\ne: \"\"\n" },
        { "[[1,2],[\"a\\nb\"]]", "- - 1\n  - 2\n- - a\n    b\n" },
        { "\"\\u001b[31m\"", "?[31m\n" },
        { "{\"k\\u001b\":{\"x\":{\"y\":1}}}", "k?:\n  x:\n    y: 1\n" },
        { "{}", "{}\n" },
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        ctl_show_tree(stage.ctl.out, ctl_stage_json(&stage, rows[i].json));
        assert_string_equal(ctl_stage_out(&stage), rows[i].text);
    }
}

static void json_is_one_line_without_controls(void **state)
{
    (void)state;
    ctl_show_json(stage.ctl.out,
        ctl_stage_json(&stage, "{\"a\":\"x\\ny\\u001b\\u007f\\u009bz\xc3\xbc\",\"b\":[]}"));
    assert_string_equal(
        ctl_stage_out(&stage), "{\"a\":\"x\\ny\\u001b\\u007f\\u009bz\xc3\xbc\",\"b\":[]}\n");
}

static const char list_reply[] =
    "{\"actors\":[{\"name\":\"orchestrator\",\"state\":\"running\",\"health\":\"HEALTHY\","
    "\"handled\":\"1234\",\"memory_bytes\":\"2048\",\"loop_ms\":0.4},"
    "{\"name\":\"cache_manager\",\"state\":\"running\",\"health\":\"DEGRADED\",\"why\":\"Redis is "
    "away\\u001b\",\"restarts\":2,\"queued\":\"3\",\"handled\":\"5\",\"failed\":\"1\","
    "\"refused\":\"0\",\"memory_bytes\":\"100\",\"loop_ms\":12}]}";

static void ps(void **state)
{
    (void)state;
    ctl_ps_show(&stage.ctl, ctl_stage_json(&stage, list_reply));
    assert_string_equal(ctl_stage_out(&stage),
        "ACTOR          STATE    HEALTH    QUEUE  HANDLED  FAILED  RESTARTS   MEMORY     LOOP\n"
        "orchestrator   running  HEALTHY       0     1234       0         0  2.0 KiB   400 us\n"
        "cache_manager  running  DEGRADED      3        5       1         2    100 B  12.0 ms\n"
        "  Redis is away?\n");
    stage.ctl.color = true;
    ctl_ps_show(&stage.ctl, ctl_stage_json(&stage, list_reply));
    assert_non_null(strstr(ctl_stage_out(&stage), "\033[33mDEGRADED\033[0m      3"));
    stage.ctl.color = false;
    ctl_ps_show(&stage.ctl, ctl_stage_json(&stage, "{\"actors\":[{}]}"));
    assert_non_null(strstr(ctl_stage_out(&stage), "\n-      -      -           0        0"));
    ctl_ps_show(&stage.ctl, ctl_stage_json(&stage, "[1]"));
    assert_non_null(strstr(ctl_stage_out(&stage), "ACTOR  STATE"));
}

static void health(void **state)
{
    static const struct {
        const char *status;
        int exit_code;
    } rows[] = { { "HEALTHY", 0 }, { "DEGRADED", 0 }, { "UNHEALTHY", 1 }, { "STARTING", 1 },
        { "STOPPING", 1 }, { "odd", 1 } };
    char json[600];

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        snprintf(json, sizeof(json),
            "{\"status\":\"%s\",\"why\":[],\"node\":\"pc2\",\"role\":\"pc2\",\"uptime_ms\":"
            "\"61000\","
            "\"checks\":[{\"name\":\"Redis Connection\",\"status\":\"SKIPPED\",\"message\":\"not "
            "configured\"}],\"actors\":[{\"name\":\"a\",\"status\":\"HEALTHY\"},{\"name\":\"b\","
            "\"status\":\"UNHEALTHY\",\"why\":\"down\"}]}",
            rows[i].status);
        assert_int_equal(
            ctl_health_show(&stage.ctl, ctl_stage_json(&stage, json)), rows[i].exit_code);
        snprintf(json, sizeof(json),
            "%s  node pc2, role pc2\nup 1.0 min\n\n"
            "CHECK             STATUS     FOUND\n"
            "Redis Connection  SKIPPED    not configured\n"
            "b                 UNHEALTHY  down\n",
            rows[i].status);
        assert_string_equal(ctl_stage_out(&stage), json);
    }
}

static void describe_what_the_node_tells(void **state)
{
    static const char reply[] =
        "{\"actor\":{\"name\":\"x\",\"class\":\"x\",\"state\":\"running\",\"health\":\"HEALTHY\","
        "\"memory_bytes\":\"1024\"},\"service\":\"other.Service\",\"comment\":\"Does "
        "things.\\nMore.\","
        "\"methods\":[{\"name\":\"Do\",\"input\":\"other.In\",\"output\":\"other.Out\",\"comment\":"
        "\"Does it.\"},{\"name\":\"Other\",\"input\":\"other.Out\",\"output\":\"other.Out\"}],"
        "\"config\":\"{\\\"k\\\":3}\",\"messages\":[{\"name\":\"other.In\",\"fields\":[{\"name\":"
        "\"n\","
        "\"type\":\"uint32\",\"repeated\":true,\"comment\":\"How "
        "many.\"}]},{\"name\":\"other.Out\","
        "\"fields\":[]}],\"depends\":[\"a\",\"b\"],\"accounts\":{\"offered\":\"3\",\"handled\":"
        "\"2\","
        "\"queued\":\"1\",\"dead\":\"0\"},\"limits\":{\"mailbox_messages\":16,\"mailbox_bytes\":"
        "1024}}";

    (void)state;
    ctl_describe_show(&stage.ctl, ctl_stage_json(&stage, reply), NULL);
    assert_string_equal(ctl_stage_out(&stage),
        "x  running  HEALTHY\n"
        "  Does things.\n  More.\n"
        "  class      x\n"
        "  service    other.Service\n"
        "  depends    a, b\n"
        "  messages   3 offered = 2 handled + 1 queued\n"
        "  memory     1.0 KiB now, 0 B at most so far, no limit\n"
        "  mailbox    at most 16 messages or 1.0 KiB\n"
        "\nDo\n  Does it.\n  takes\n    n  a list of uint32\n        How many.\n"
        "\nOther\n"
        "\nConfiguration\nk: 3\n");
    ctl_describe_show(&stage.ctl, ctl_stage_json(&stage, reply), "Other");
    assert_string_equal(ctl_stage_out(&stage), "\nOther\n");
}

static void describe_what_is_known(void **state)
{
    const char *out;

    (void)state;
    ctl_describe_show(&stage.ctl,
        ctl_stage_json(&stage, "{\"actor\":{\"name\":\"orchestrator\"},\"service\":"
                               "\"aisys.system.Orchestrator\",\"methods\":[]}"),
        "Describe");
    out = ctl_stage_out(&stage);
    assert_non_null(strstr(out, "\n  takes\n    actor  a string of 1 to 128 bytes, required\n"
                                "        Name or alias of the actor.\n  gives\n"));
    ctl_describe_show(&stage.ctl,
        ctl_stage_json(&stage, "{\"service\":\"aisys.vision.VisionProcessing\"}"), "Analyze");
    out = ctl_stage_out(&stage);
    assert_non_null(strstr(out, "\n    image  bytes"));
    assert_non_null(strstr(out, "\n    want  a list of at most 8, each one of INFO, TEXT, CODES"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_drives_the_terminal),
        TEST(quantities),
        TEST(trees),
        TEST(json_is_one_line_without_controls),
        TEST(ps),
        TEST(health),
        TEST(describe_what_the_node_tells),
        TEST(describe_what_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
