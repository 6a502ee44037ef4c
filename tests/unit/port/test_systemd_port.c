#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "port/systemd_port.h"

/* A service manager that only listens. */
struct manager {
    int fd;
    char dir[32];
    char path[64];
    char text[1024]; /* the last notification */
};

static int setup(void **state)
{
    struct manager *m = calloc(1, sizeof(*m));
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    *state = m;
    strcpy(m->dir, "/tmp/aisys-sd-XXXXXX");
    if (!mkdtemp(m->dir))
        return -1;
    snprintf(m->path, sizeof(m->path), "%s/notify", m->dir);
    strcpy(addr.sun_path, m->path);
    m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (m->fd < 0 || bind(m->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        return -1;
    return setenv("NOTIFY_SOCKET", m->path, 1);
}

static int teardown(void **state)
{
    struct manager *m = *state;

    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    unsetenv("JOURNAL_STREAM");
    close(m->fd);
    unlink(m->path);
    rmdir(m->dir);
    free(m);
    return 0;
}

static const char *heard(struct manager *m)
{
    const ssize_t n = recv(m->fd, m->text, sizeof(m->text) - 1, 0);

    m->text[n < 0 ? 0 : n] = '\0';
    return m->text;
}

static void test_states(void **state)
{
    static const struct {
        enum aisys_systemd_state state;
        const char *status;
        const char *text;
    } rows[] = {
        { AISYS_SYSTEMD_READY, NULL, "READY=1" },
        { AISYS_SYSTEMD_READY, "22 actors", "READY=1\nSTATUS=22 actors" },
        { AISYS_SYSTEMD_STOPPING, "draining", "STOPPING=1\nSTATUS=draining" },
        { AISYS_SYSTEMD_WATCHDOG, NULL, "WATCHDOG=1" },
    };
    struct manager *m = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(aisys_systemd_notify(rows[i].state, rows[i].status) > 0);
        assert_string_equal(heard(m), rows[i].text);
    }
}

static void test_reloading_tells_the_time(void **state)
{
    struct manager *m = *state;
    unsigned long long usec = 0;

    assert_true(aisys_systemd_notify(AISYS_SYSTEMD_RELOADING, NULL) > 0);
    assert_int_equal(sscanf(heard(m), "RELOADING=1\nMONOTONIC_USEC=%llu", &usec), 1);
    assert_true(usec > 0);
}

static void test_a_status_cannot_smuggle_in_another_variable(void **state)
{
    struct manager *m = *state;

    assert_true(aisys_systemd_status("one\nMAINPID=1") > 0);
    assert_string_equal(heard(m), "STATUS=one MAINPID=1");
}

static void test_a_long_status_is_cut_at_a_character(void **state)
{
    struct manager *m = *state;
    char status[512] = "";

    for (unsigned i = 0; i < 100; i++)
        strcat(status, "\xe2\x82\xac"); /* three bytes each: 200 is inside one */
    assert_true(aisys_systemd_status(status) > 0);
    assert_int_equal(strlen(heard(m)), strlen("STATUS=") + 198);
}

static void test_nothing_happens_without_systemd(void **state)
{
    struct manager *m = *state;

    unsetenv("NOTIFY_SOCKET");
    assert_int_equal(aisys_systemd_notify(AISYS_SYSTEMD_READY, "x"), 0);
    assert_int_equal(aisys_systemd_status("x"), 0);
    assert_string_equal(heard(m), "");
    assert_int_equal(aisys_systemd_watchdog_usec(), 0);
    assert_false(aisys_systemd_stderr_is_journal());
}

static void test_a_manager_that_went_away_is_an_error(void **state)
{
    setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
    assert_true(aisys_systemd_notify(AISYS_SYSTEMD_READY, NULL) < 0);
    (void)state;
}

static void test_watchdog(void **state)
{
    char pid[16];

    (void)state;
    setenv("WATCHDOG_USEC", "3000000", 1);
    assert_int_equal(aisys_systemd_watchdog_usec(), 3000000);
    setenv("WATCHDOG_PID", "1", 1); /* meant for another process */
    assert_int_equal(aisys_systemd_watchdog_usec(), 0);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    assert_int_equal(aisys_systemd_watchdog_usec(), 3000000);
    setenv("WATCHDOG_USEC", "soon", 1);
    assert_int_equal(aisys_systemd_watchdog_usec(), 0);
}

static void test_journal_stream_must_be_our_stderr(void **state)
{
    char stream[64];
    struct stat st;

    (void)state;
    assert_int_equal(fstat(STDERR_FILENO, &st), 0);
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
        (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    assert_true(aisys_systemd_stderr_is_journal());
    setenv("JOURNAL_STREAM", "1:1", 1);
    assert_false(aisys_systemd_stderr_is_journal());
    setenv("JOURNAL_STREAM", "garbage", 1);
    assert_false(aisys_systemd_stderr_is_journal());
}

static void test_journal_entries(void **state)
{
    struct aisys_systemd_field fields[AISYS_SYSTEMD_FIELDS_MAX] = {
        { "AISYS_ACTOR", "memory", 6 },
        { "not a name", "x", 1 },
        { "_PRIVATE", "x", 1 },
        { "EMPTY", NULL, 0 },
    };

    (void)state;
    for (unsigned i = 4; i < AISYS_SYSTEMD_FIELDS_MAX; i++)
        fields[i] = fields[0];
    /* Priority 7: where a journal listens, a test run leaves a debug line in it. */
    assert_int_equal(aisys_systemd_journal(7, "unit test", fields, 4), 1);
    assert_int_equal(aisys_systemd_journal(7, "unit test", fields, AISYS_SYSTEMD_FIELDS_MAX), 1);
    assert_int_equal(
        aisys_systemd_journal(7, "unit test", fields, AISYS_SYSTEMD_FIELDS_MAX + 1), -E2BIG);
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_states),
        ROW(test_reloading_tells_the_time),
        ROW(test_a_status_cannot_smuggle_in_another_variable),
        ROW(test_a_long_status_is_cut_at_a_character),
        ROW(test_nothing_happens_without_systemd),
        ROW(test_a_manager_that_went_away_is_an_error),
        ROW(test_watchdog),
        ROW(test_journal_stream_must_be_our_stderr),
        ROW(test_journal_entries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
