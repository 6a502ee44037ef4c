#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[] = "/tmp/aisys-log-XXXXXX";
static char path[64];

static char *content(const char *name)
{
    static char text[65536];
    FILE *file = fopen(name, "r");
    size_t n = 0;

    if (file) {
        n = fread(text, 1, sizeof(text) - 1, file);
        fclose(file);
    }
    text[n] = '\0';
    return file ? text : NULL;
}

static struct aisys_log *open_log(struct aisys_log_options options)
{
    struct aisys_log *log;

    options.node = "pc2";
    options.file = path;
    assert_int_equal(aisys_log_open(&options, &log), 0);
    return log;
}

static int teardown(void **state)
{
    char name[80];

    (void)state;
    unlink(path);
    for (unsigned i = 1; i < 5; i++) {
        snprintf(name, sizeof(name), "%s.%u", path, i);
        unlink(name);
    }
    return 0;
}

static void test_a_line_is_one_line(void **state)
{
    struct aisys_log *log = open_log((struct aisys_log_options){ .level = AISYS_INFO });

    (void)state;
    aisys_log_write(log, AISYS_DEBUG, NULL, "unheard", "");
    aisys_log_write(log, AISYS_WARNING, "memory", "stored", "text=\"two\nlines\"");
    aisys_log_close(log);
    assert_non_null(strstr(content(path), " WARN  pc2 memory stored text=\"two lines\"\n"));
    assert_null(strstr(content(path), "unheard"));
}

static void test_json_is_escaped(void **state)
{
    struct aisys_log *log = open_log((struct aisys_log_options){ .json = true });

    (void)state;
    aisys_log_write(log, AISYS_ERROR, NULL, "bad", "why=\"a\\b\"");
    aisys_log_close(log);
    assert_non_null(strstr(content(path), "\"level\":\"ERROR\",\"node\":\"pc2\",\"actor\":\"\","
                                          "\"event\":\"bad\",\"words\":\"why=\\\"a\\\\b\\\"\"}\n"));
}

static void test_a_burst_is_cut(void **state)
{
    struct aisys_log *log = open_log((struct aisys_log_options){ 0 });
    const char *text;
    unsigned lines = 0;

    (void)state;
    for (unsigned i = 0; i < 3 * AISYS_LOG_BURST; i++)
        aisys_log_write(log, AISYS_INFO, NULL, "again", "");
    aisys_log_close(log);
    for (text = content(path); *text; text++)
        lines += *text == '\n';
    assert_in_range(
        lines, AISYS_LOG_BURST, 2 * AISYS_LOG_BURST + 1); /* a second may end in between */
}

static void test_a_full_file_is_rotated(void **state)
{
    struct aisys_log *log =
        open_log((struct aisys_log_options){ .file_bytes_max = 100, .file_keep = 2 });
    char name[80];

    (void)state;
    for (unsigned i = 0; i < 8; i++)
        aisys_log_event(log, AISYS_INFO, "event", "number=%u", i);
    aisys_log_close(log);
    assert_non_null(strstr(content(path), "number=7"));
    snprintf(name, sizeof(name), "%s.1", path);
    assert_non_null(strstr(content(name), "number=6"));
    snprintf(name, sizeof(name), "%s.2", path);
    assert_non_null(content(name));
    snprintf(name, sizeof(name), "%s.3", path);
    assert_null(content(name));
}

static void test_a_moved_file_is_opened_anew(void **state)
{
    struct aisys_log *log = open_log((struct aisys_log_options){ 0 });
    char name[80];

    (void)state;
    aisys_log_write(log, AISYS_INFO, NULL, "before", "");
    snprintf(name, sizeof(name), "%s.1", path);
    assert_int_equal(rename(path, name), 0);
    assert_int_equal(aisys_log_reopen(log), 0);
    aisys_log_write(log, AISYS_INFO, NULL, "after", "");
    aisys_log_close(log);
    assert_non_null(strstr(content(path), "after"));
    assert_null(strstr(content(path), "before"));
}

/* What nobody reads is lost, counted, and holds nobody up. */
static void test_standard_error_that_nobody_reads(void **state)
{
    const int before = dup(STDERR_FILENO);
    struct aisys_log *log = open_log((struct aisys_log_options){ .console = true });
    static char read_text[65536];
    char event[16];
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 16384) > 0);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    for (unsigned i = 0; i < 600; i++) {
        snprintf(event, sizeof(event), "event_%u", i);
        aisys_log_write(log, AISYS_INFO, NULL, event, "");
    }
    assert_true(read(ends[0], read_text, sizeof(read_text)) > 0);
    aisys_log_write(log, AISYS_INFO, NULL, "read_again", "");
    memset(read_text, 0, sizeof(read_text));
    assert_true(read(ends[0], read_text, sizeof(read_text) - 1) > 0);
    dup2(before, STDERR_FILENO);
    aisys_log_close(log);
    close(before);
    close(ends[0]);
    close(ends[1]);
    assert_non_null(strstr(read_text, "read_again"));
    assert_non_null(strstr(read_text, "log_unread lines="));
    assert_non_null(strstr(content(path), "event_599")); /* the file has them all */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_line_is_one_line, teardown),
        cmocka_unit_test_teardown(test_json_is_escaped, teardown),
        cmocka_unit_test_teardown(test_a_burst_is_cut, teardown),
        cmocka_unit_test_teardown(test_a_full_file_is_rotated, teardown),
        cmocka_unit_test_teardown(test_a_moved_file_is_opened_anew, teardown),
        cmocka_unit_test_teardown(test_standard_error_that_nobody_reads, teardown),
    };
    int failed;

    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof(path), "%s/agents.log", dir);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(dir);
    return failed;
}
