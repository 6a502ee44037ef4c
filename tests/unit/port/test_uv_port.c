#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "port/uv_port.h"

/* A stage: the loop and what its callbacks saw. Recorded there, asserted on in the test. */
struct stage {
    struct aisys_uv *uv;
    unsigned turns;
    unsigned turns_with_work; /* how many turns still say "more" */
    uint64_t stop_at_ms;      /* 0: the turn does not stop the loop */
    unsigned rings;
    int signum;
    unsigned done;
    int status;
    char *data;
    size_t bytes;
    void *handle;
    char error[512];
    struct aisys_uv_addresses addresses;
};

static bool on_turn(void *arg)
{
    struct stage *s = arg;

    s->turns++;
    if (s->stop_at_ms && aisys_uv_now_ms() >= s->stop_at_ms)
        aisys_uv_stop(s->uv);
    if (s->turns_with_work) {
        s->turns_with_work--;
        return true;
    }
    return false;
}

static int setup(void **state)
{
    struct stage *s = calloc(1, sizeof(*s));

    *state = s;
    return aisys_uv_open(on_turn, s, &s->uv);
}

static int teardown(void **state)
{
    struct stage *s = *state;
    const int r = aisys_uv_close(s->uv);

    free(s->data);
    free(s);
    return r;
}

/* --- the loop ------------------------------------------------------------------------------- */

static void test_turns_go_on_without_waiting_while_there_is_work(void **state)
{
    struct stage *s = *state;

    s->turns_with_work = 3;
    assert_true(aisys_uv_run_once(s->uv));
    assert_true(aisys_uv_run_once(s->uv));
    assert_true(aisys_uv_run_once(s->uv));
    assert_false(aisys_uv_run_once(s->uv));
    assert_int_equal(s->turns, 4);
}

static void test_work_does_not_let_the_loop_sleep(void **state)
{
    struct stage *s = *state;

    /* Were it to sleep after a turn with work, only the alarm would end this. */
    s->turns_with_work = 100000;
    aisys_uv_wake_at(s->uv, aisys_uv_now_ms() + 20);
    s->stop_at_ms = aisys_uv_now_ms() + 20;
    assert_int_equal(aisys_uv_run(s->uv), 0);
    assert_true(s->turns > 100);
}

static void test_the_alarm_wakes_a_loop_that_sleeps(void **state)
{
    struct stage *s = *state;
    const uint64_t at_ms = aisys_uv_now_ms() + 5;

    s->stop_at_ms = at_ms;
    aisys_uv_wake_at(s->uv, UINT64_MAX);
    aisys_uv_wake_at(s->uv, at_ms + 60000);
    aisys_uv_wake_at(s->uv, at_ms);
    assert_int_equal(aisys_uv_run(s->uv), 0);
    assert_true(aisys_uv_now_ms() >= at_ms);
    assert_true(s->turns < 10); /* it slept */
}

static void test_an_alarm_in_the_past_rings_at_once(void **state)
{
    struct stage *s = *state;

    s->stop_at_ms = 1;
    aisys_uv_wake_at(s->uv, 1);
    assert_int_equal(aisys_uv_run(s->uv), 0);
}

static void test_clocks(void **state)
{
    const uint64_t ns = aisys_uv_now_ns(), ticks = aisys_uv_ticks();
    uint64_t ms;

    (void)state;
    while (aisys_uv_now_ns() - ns < 2000000)
        ;
    ms = (aisys_uv_ticks() - ticks) / aisys_uv_ticks_per_ms();
    assert_true(ms >= 1);
    assert_true(ms < 1000); /* a busy machine may have paused us */
    assert_true(aisys_uv_wall_ms() > 1600000000000);
}

/* --- bells and signals ------------------------------------------------------------------------- */

static void on_ring(void *arg)
{
    struct stage *s = arg;

    s->rings++;
    aisys_uv_stop(s->uv);
}

static void *ring_thread(void *arg)
{
    aisys_uv_bell_ring(arg);
    aisys_uv_bell_ring(arg);
    return NULL;
}

static void test_a_bell_rung_elsewhere_wakes_the_loop(void **state)
{
    struct stage *s = *state;
    struct aisys_uv_bell *bell;
    pthread_t thread;

    assert_int_equal(aisys_uv_bell_open(s->uv, on_ring, s, &bell), 0);
    assert_int_equal(pthread_create(&thread, NULL, ring_thread, bell), 0);
    assert_int_equal(aisys_uv_run(s->uv), 0);
    pthread_join(thread, NULL);
    assert_true(s->rings >= 1);
    aisys_uv_bell_close(bell);
    aisys_uv_bell_close(NULL);
}

static void test_a_bell_closed_after_ringing_is_silent(void **state)
{
    struct stage *s = *state;
    struct aisys_uv_bell *bell, *left_open;

    assert_int_equal(aisys_uv_bell_open(s->uv, on_ring, s, &bell), 0);
    assert_int_equal(aisys_uv_bell_open(s->uv, on_ring, s, &left_open), 0);
    aisys_uv_bell_ring(bell);
    aisys_uv_bell_close(bell);
    aisys_uv_run_once(s->uv);
    assert_int_equal(s->rings, 0);
}

static void on_signal(void *arg, int signum)
{
    struct stage *s = arg;

    s->signum = signum;
    aisys_uv_stop(s->uv);
}

static void test_signals(void **state)
{
    struct stage *s = *state;

    assert_int_equal(aisys_uv_signal(s->uv, SIGHUP, on_signal, s), 0);
    assert_int_equal(aisys_uv_signal(s->uv, SIGTERM, on_signal, s), 0);
    assert_int_equal(aisys_uv_signal(s->uv, SIGTERM, on_signal, s), -EEXIST);
    kill(getpid(), SIGTERM);
    assert_int_equal(aisys_uv_run(s->uv), 0);
    assert_int_equal(s->signum, SIGTERM);
    kill(getpid(), SIGHUP);
    assert_int_equal(aisys_uv_run(s->uv), 0);
    assert_int_equal(s->signum, SIGHUP);
}

/* --- the pool ------------------------------------------------------------------------------------- */

static void on_work(void *arg)
{
    ((struct stage *)arg)->bytes++; /* only the pool touches it until done */
}

static void on_work_done(void *arg, int status)
{
    struct stage *s = arg;

    s->done++;
    s->status = status;
    aisys_uv_stop(s->uv);
}

static void test_work_runs_and_is_done_on_the_loop(void **state)
{
    struct stage *s = *state;

    assert_int_equal(aisys_uv_work(s->uv, on_work, on_work_done, s, NULL), 0);
    assert_int_equal(aisys_uv_run(s->uv), 0);
    assert_int_equal(s->bytes, 1);
    assert_int_equal(s->done, 1);
    assert_int_equal(s->status, 0);
}

/* Work that occupies one thread of the pool until it is let go. */
struct hold {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    unsigned begun;
    bool let_go;
    bool cancelled;
};

static void on_hold(void *arg)
{
    struct hold *h = arg;

    pthread_mutex_lock(&h->mutex);
    h->begun++;
    pthread_cond_broadcast(&h->cond);
    while (!h->let_go)
        pthread_cond_wait(&h->cond, &h->mutex);
    pthread_mutex_unlock(&h->mutex);
}

static void on_hold_done(void *arg, int status)
{
    struct hold *h = arg;

    h->cancelled = h->cancelled || status == -ECANCELED;
}

static void await_begun(struct hold *h, unsigned n)
{
    pthread_mutex_lock(&h->mutex);
    while (h->begun < n)
        pthread_cond_wait(&h->cond, &h->mutex);
    pthread_mutex_unlock(&h->mutex);
}

static void let_go(struct hold *h)
{
    pthread_mutex_lock(&h->mutex);
    h->let_go = true;
    pthread_cond_broadcast(&h->cond);
    pthread_mutex_unlock(&h->mutex);
}

static void *let_go_thread(void *arg)
{
    let_go(arg);
    return NULL;
}

#define POOL_THREADS 2

static void test_work_that_has_not_begun_can_be_taken_back(void **state)
{
    struct stage *s = *state;
    struct hold h = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false, false };
    struct aisys_uv_work *work;

    for (unsigned i = 0; i < POOL_THREADS; i++)
        assert_int_equal(aisys_uv_work(s->uv, on_hold, on_hold_done, &h, NULL), 0);
    await_begun(&h, POOL_THREADS);
    assert_int_equal(aisys_uv_work(s->uv, on_work, on_work_done, s, &work), 0);
    assert_int_equal(aisys_uv_work_cancel(work), 0);
    assert_int_equal(aisys_uv_run(s->uv), 0);
    assert_int_equal(s->status, -ECANCELED);
    assert_int_equal(s->bytes, 0);
    let_go(&h);
    assert_int_equal(aisys_uv_close(s->uv), 0); /* waits for the two that run */
    s->uv = NULL;
    assert_false(h.cancelled);
}

static void test_close_ends_work_in_the_queue(void **state)
{
    struct stage *s = *state;
    struct hold h = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false, false };
    pthread_t thread;

    for (unsigned i = 0; i < POOL_THREADS; i++)
        assert_int_equal(aisys_uv_work(s->uv, on_hold, on_hold_done, &h, NULL), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(aisys_uv_work(s->uv, on_work, on_work_done, s, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, let_go_thread, &h), 0);
    assert_int_equal(aisys_uv_close(s->uv), 0);
    pthread_join(thread, NULL);
    s->uv = NULL;
    assert_int_equal(s->done, 3); /* each either ran or was cancelled */
}

struct ringing {
    struct hold hold;
    struct aisys_uv_bell *bell;
};

static void on_hold_rings(void *arg)
{
    struct ringing *ringing = arg;

    on_hold(&ringing->hold);
    aisys_uv_bell_ring(ringing->bell);
}

static void on_hold_rings_done(void *arg, int status)
{
    struct ringing *ringing = arg;

    on_hold_done(&ringing->hold, status);
}

/* Work that never ends cannot hold the end up; and what it still rings is there. */
static void test_settling_has_a_limit(void **state)
{
    struct stage *s = *state;
    struct ringing r = { .hold = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false,
                             false } };

    assert_int_equal(aisys_uv_bell_open(s->uv, on_ring, s, &r.bell), 0);
    assert_int_equal(aisys_uv_work(s->uv, on_hold_rings, on_hold_rings_done, &r, NULL), 0);
    await_begun(&r.hold, 1);
    assert_int_equal(aisys_uv_settle(s->uv, 0), -ETIMEDOUT);
    assert_int_equal(aisys_uv_settle(s->uv, 10), -ETIMEDOUT);
    assert_int_equal(aisys_uv_work(s->uv, on_work, on_work_done, s, NULL), -ECANCELED);
    let_go(&r.hold);
    assert_int_equal(aisys_uv_settle(s->uv, UINT64_MAX), 0);
    assert_false(r.hold.cancelled);
    assert_int_equal(aisys_uv_close(s->uv), 0);
    s->uv = NULL;
    assert_int_equal(s->rings, 0);
}

static void test_a_loop_that_was_stopped_before_it_ran_closes(void **state)
{
    struct stage *s = *state;

    aisys_uv_stop(s->uv);
    assert_int_equal(aisys_uv_close(s->uv), 0);
    s->uv = NULL;
}

static void test_pool_size_is_fixed_by_first_use(void **state)
{
    (void)state; /* set in main(), and used by the tests before this one */
    assert_int_equal(aisys_uv_pool_size(0), -EINVAL);
    assert_int_equal(aisys_uv_pool_size(1025), -EINVAL);
    assert_int_equal(aisys_uv_pool_size(4), -EBUSY);
}

/* --- files, modules, names ------------------------------------------------------------------------- */

static void on_file(void *arg, int status, void *data, size_t bytes)
{
    struct stage *s = arg;

    s->status = status;
    free(s->data);
    s->data = data;
    s->bytes = bytes;
    aisys_uv_stop(s->uv);
}

static void test_files(void **state)
{
    struct stage *s = *state;
    char dir[] = "/tmp/aisys-uv-XXXXXX", file[64], fifo[64], missing[64], empty[64];
    FILE *f;

    assert_non_null(mkdtemp(dir));
    snprintf(file, sizeof(file), "%s/file", dir);
    snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
    snprintf(missing, sizeof(missing), "%s/missing", dir);
    snprintf(empty, sizeof(empty), "%s/empty", dir);
    f = fopen(file, "w");
    assert_non_null(f);
    fputs("ten bytes.", f);
    fclose(f);
    fclose(fopen(empty, "w"));
    assert_int_equal(mkfifo(fifo, 0600), 0);

    const struct {
        const char *path;
        size_t max_bytes;
        int status;
        const char *data;
    } rows[] = {
        { file, 10, 0, "ten bytes." },
        { file, 1 << 20, 0, "ten bytes." },
        { file, 9, -EFBIG, NULL },
        { file, 0, -EFBIG, NULL },
        { empty, 0, 0, "" },
        { missing, 10, -ENOENT, NULL },
        { dir, 10, -EISDIR, NULL },
        { fifo, 10, -EINVAL, NULL },
        { "/proc/self/status", 8, -EFBIG, NULL },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(aisys_uv_read_file(s->uv, rows[i].path, rows[i].max_bytes, on_file, s), 0);
        assert_int_equal(aisys_uv_run(s->uv), 0);
        assert_int_equal(s->status, rows[i].status);
        if (rows[i].data)
            assert_string_equal(s->data, rows[i].data);
        else
            assert_null(s->data);
    }
    /* A file that says it is empty and is not. */
    assert_int_equal(aisys_uv_read_file(s->uv, "/proc/self/status", 1 << 20, on_file, s), 0);
    assert_int_equal(aisys_uv_run(s->uv), 0);
    assert_int_equal(s->status, 0);
    assert_true(s->bytes > 100);
    assert_memory_equal(s->data, "Name:", 5);

    unlink(file);
    unlink(fifo);
    unlink(empty);
    rmdir(dir);
}

static void on_module(void *arg, void *handle, const char *error)
{
    struct stage *s = arg;

    s->handle = handle;
    snprintf(s->error, sizeof(s->error), "%s", error ? error : "");
    aisys_uv_stop(s->uv);
}

static void test_modules(void **state)
{
    struct stage *s = *state;

    assert_int_equal(aisys_uv_dlopen(s->uv, "libm.so.6", on_module, s), 0);
    assert_int_equal(aisys_uv_run(s->uv), 0);
    assert_non_null(s->handle);
    assert_non_null(dlsym(s->handle, "cos"));
    dlclose(s->handle);

    assert_int_equal(aisys_uv_dlopen(s->uv, "/nonexistent.so", on_module, s), 0);
    assert_int_equal(aisys_uv_run(s->uv), 0);
    assert_null(s->handle);
    assert_non_null(strstr(s->error, "/nonexistent.so"));
}

static void on_names(void *arg, int status, const struct aisys_uv_addresses *addresses)
{
    struct stage *s = arg;

    s->status = status;
    if (addresses)
        s->addresses = *addresses;
    aisys_uv_stop(s->uv);
}

static void test_names(void **state)
{
    struct stage *s = *state;

    assert_int_equal(aisys_uv_resolve(s->uv, "127.0.0.1", on_names, s), 0);
    assert_int_equal(aisys_uv_run(s->uv), 0);
    assert_int_equal(s->status, 0);
    assert_int_equal(s->addresses.n, 1);
    assert_string_equal(s->addresses.text[0], "127.0.0.1");

    assert_int_equal(aisys_uv_resolve(s->uv, "::1", on_names, s), 0);
    assert_int_equal(aisys_uv_run(s->uv), 0);
    assert_string_equal(s->addresses.text[0], "::1");

    /* Fails without a query, whatever name server there is. */
    assert_int_equal(aisys_uv_resolve(s->uv, "no name..at all", on_names, s), 0);
    assert_int_equal(aisys_uv_run(s->uv), 0);
    assert_true(s->status < 0);
}

static void test_random(void **state)
{
    unsigned char a[4096] = { 0 }, b[4096] = { 0 };

    (void)state;
    assert_int_equal(aisys_uv_random(a, sizeof(a)), 0);
    assert_int_equal(aisys_uv_random(b, sizeof(b)), 0);
    assert_memory_not_equal(a, b, sizeof(a));
}

static void test_close_accepts_null(void **state)
{
    (void)state;
    assert_int_equal(aisys_uv_close(NULL), 0);
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_turns_go_on_without_waiting_while_there_is_work),
        ROW(test_work_does_not_let_the_loop_sleep),
        ROW(test_the_alarm_wakes_a_loop_that_sleeps),
        ROW(test_an_alarm_in_the_past_rings_at_once),
        ROW(test_clocks),
        ROW(test_a_bell_rung_elsewhere_wakes_the_loop),
        ROW(test_a_bell_closed_after_ringing_is_silent),
        ROW(test_signals),
        ROW(test_work_runs_and_is_done_on_the_loop),
        ROW(test_work_that_has_not_begun_can_be_taken_back),
        ROW(test_close_ends_work_in_the_queue),
        ROW(test_settling_has_a_limit),
        ROW(test_a_loop_that_was_stopped_before_it_ran_closes),
        ROW(test_pool_size_is_fixed_by_first_use),
        ROW(test_files),
        ROW(test_modules),
        ROW(test_names),
        ROW(test_random),
        cmocka_unit_test(test_close_accepts_null),
    };

    if (aisys_uv_pool_size(POOL_THREADS) < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
