#include "nng_stage.h"

/* A push into the stage's inbox, and what it told. */
struct pusher {
    struct aisys_nng_push *push;
    unsigned ups;
    unsigned downs;
    unsigned rooms;
    unsigned closed;
};

static void on_state(void *arg, bool up)
{
    struct pusher *p = arg;

    if (up)
        p->ups++;
    else
        p->downs++;
}

static void on_room(void *arg)
{
    ((struct pusher *)arg)->rooms++;
}

static void on_push_closed(void *arg)
{
    ((struct pusher *)arg)->closed++;
}

static void pusher_open(struct stage *s, struct pusher *p, const char *url, unsigned queue)
{
    const struct aisys_nng_push_options options = {
        .url = url,
        .buffer = 2,
        .queue = queue,
        .reconnect_min_ms = 1,
        .reconnect_max_ms = 10,
        .state = on_state,
        .room = on_room,
        .arg = p,
    };

    *p = (struct pusher){ 0 };
    assert_int_equal(aisys_nng_push_open(s->nng, &options, &p->push), 0);
}

static bool push_is_closed(struct stage *s, void *arg)
{
    (void)s;
    return ((struct pusher *)arg)->closed == 1;
}

static void pusher_close(struct stage *s, struct pusher *p)
{
    aisys_nng_push_close(p->push, on_push_closed, p);
    stage_until(s, push_is_closed, p);
}

struct counts {
    struct pusher *p;
    unsigned ups;
    unsigned downs;
    unsigned rooms;
};

static bool has_told(struct stage *s, void *arg)
{
    const struct counts *c = arg;

    (void)s;
    return c->p->ups >= c->ups && c->p->downs >= c->downs && c->p->rooms >= c->rooms;
}

static void await_told(struct stage *s, struct pusher *p, struct counts counts)
{
    counts.p = p;
    stage_until(s, has_told, &counts);
}

static void test_frames_keep_their_order(void **state)
{
    static const char *const urls[] = { "tcp://127.0.0.1:0", "inproc://test/inbox" };
    const struct aisys_nng_limits limits = {
        .message_bytes_max = 1024, .pipes_max = 4, .outstanding = 7
    };
    struct stage *s = *state;
    unsigned want = 5000;
    struct pusher p;

    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        s->frames = s->last_frame = 0;
        stage_open_at(s, AISYS_NNG_INBOX, &limits, urls[i]);
        pusher_open(s, &p, s->url, 8);
        for (uint32_t n = 1; n <= want;) {
            const unsigned rooms = p.rooms;
            const int r = aisys_nng_push_send(p.push, &n, sizeof(n));

            if (r == 0) {
                n++;
                continue;
            }
            assert_int_equal(r, AISYS_NNG_FULL);
            await_told(s, &p, (struct counts){ .rooms = rooms + 1 });
        }
        stage_until(s, seen_frames, &want);
        assert_int_equal(s->frames, want);
        assert_int_equal(s->disorder, 0);
        pusher_close(s, &p);
        stage_close_door(s);
    }
}

static void test_a_push_without_an_inbox_fills_up(void **state)
{
    struct stage *s = *state;
    struct aisys_nng_push_stats stats;
    unsigned accepted = 0;
    struct pusher p;

    pusher_open(s, &p, "inproc://test/nobody", 3);
    while (aisys_nng_push_send(p.push, "x", 1) == 0)
        accepted++;
    assert_int_equal(accepted, 2 + 1 + 3); /* NNG's buffer, the one that waits, our queue */
    aisys_nng_push_stats(p.push, &stats);
    assert_false(stats.up);
    assert_int_equal(stats.full, 1);
    assert_int_equal(stats.queued, 4);
    pusher_close(s, &p);
}

static void test_a_push_without_a_queue(void **state)
{
    struct stage *s = *state;
    unsigned accepted = 0;
    struct pusher p;

    pusher_open(s, &p, "inproc://test/nobody", 0);
    while (aisys_nng_push_send(p.push, "x", 1) == 0)
        accepted++;
    assert_int_equal(accepted, 2 + 1);
    pusher_close(s, &p);
}

static bool is_gone(struct stage *s, void *arg)
{
    (void)arg;
    return s->gone >= 1;
}

static void test_connections_come_and_go(void **state)
{
    struct stage *s = *state;
    struct aisys_nng_push_stats stats;
    unsigned one = 1;
    struct pusher p;

    stage_open(s, AISYS_NNG_INBOX, NULL);
    pusher_open(s, &p, s->url, 4);
    await_told(s, &p, (struct counts){ .ups = 1 });
    assert_int_equal(aisys_nng_push_send(p.push, "keep", 4), 0);
    stage_until(s, seen_frames, &one);
    assert_non_null(s->keep);
    aisys_nng_msg_free(s->keep);

    aisys_nng_pipe_close(s->door, s->pipe);
    await_told(s, &p, (struct counts){ .ups = 2, .downs = 1 });
    aisys_nng_push_stats(p.push, &stats);
    assert_true(stats.up);
    assert_int_equal(stats.connects, 2);
    stage_until(s, is_gone, NULL);
    stage_close_door(s);
    await_told(s, &p, (struct counts){ .ups = 2, .downs = 2 });
    pusher_close(s, &p);
}

static void test_a_frame_above_the_limit_ends_the_pipe(void **state)
{
    static const char *const urls[] = { "tcp://127.0.0.1:0", "inproc://test/inbox" };
    const struct aisys_nng_limits limits = {
        .message_bytes_max = 64, .pipes_max = 4, .outstanding = 4
    };
    struct stage *s = *state;
    char frame[65] = "";
    struct pusher p;

    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        stage_open_at(s, AISYS_NNG_INBOX, &limits, urls[i]);
        pusher_open(s, &p, s->url, 4);
        await_told(s, &p, (struct counts){ .ups = 1 });
        assert_int_equal(aisys_nng_push_send(p.push, frame, sizeof(frame)), 0);
        await_told(s, &p, (struct counts){ .downs = 1 });
        assert_int_equal(s->frames, 0);
        pusher_close(s, &p);
        stage_close_door(s);
    }
}

/* --- from other threads ---------------------------------------------------------------------------- */

struct sender {
    struct pusher *p;
    pthread_t thread;
    unsigned n;
    unsigned timeout_ms;
    int r;
    atomic_bool done;
};

static void *sender_main(void *arg)
{
    struct sender *t = arg;

    for (uint32_t n = 1; n <= t->n && t->r == 0; n++)
        t->r = aisys_nng_push_send_wait(t->p->push, &n, sizeof(n), t->timeout_ms);
    atomic_store(&t->done, true);
    return NULL;
}

static bool sender_is_done(struct stage *s, void *arg)
{
    (void)s;
    return atomic_load(&((struct sender *)arg)->done);
}

static int sender_finish(struct stage *s, struct sender *t)
{
    stage_until(s, sender_is_done, t);
    pthread_join(t->thread, NULL);
    return t->r;
}

static void test_a_thread_sends_and_waits_for_room(void **state)
{
    struct stage *s = *state;
    unsigned want = 2000;
    struct pusher p;
    struct sender t = { .p = &p, .n = want, .timeout_ms = PATIENCE_MS };

    stage_open_at(s, AISYS_NNG_INBOX, NULL, "inproc://test/inbox");
    pusher_open(s, &p, s->url, 0);
    assert_int_equal(pthread_create(&t.thread, NULL, sender_main, &t), 0);
    stage_until(s, seen_frames, &want);
    assert_int_equal(sender_finish(s, &t), 0);
    assert_int_equal(s->disorder, 0);
    pusher_close(s, &p);
}

static void test_a_thread_waits_only_so_long(void **state)
{
    struct stage *s = *state;
    struct pusher p;
    struct sender t = { .p = &p, .n = 10, .timeout_ms = 20 };

    pusher_open(s, &p, "inproc://test/nobody", 0);
    assert_int_equal(pthread_create(&t.thread, NULL, sender_main, &t), 0);
    assert_int_equal(sender_finish(s, &t), -ETIMEDOUT);
    pusher_close(s, &p);
}

static bool push_has_sent(struct stage *s, void *arg)
{
    struct aisys_nng_push_stats stats;

    (void)s;
    aisys_nng_push_stats(((struct pusher *)arg)->push, &stats);
    return stats.messages == 2;
}

static void test_closing_ends_a_threads_wait(void **state)
{
    struct stage *s = *state;
    struct pusher p;
    struct sender t = { .p = &p, .n = 10, .timeout_ms = PATIENCE_MS };

    pusher_open(s, &p, "inproc://test/nobody", 0);
    assert_int_equal(pthread_create(&t.thread, NULL, sender_main, &t), 0);
    stage_until(s, push_has_sent, &p); /* the buffer is full: it waits, or is about to */
    pusher_close(s, &p);
    assert_int_equal(sender_finish(s, &t), -ESHUTDOWN);
}

static void test_a_push_that_cannot_be_opened(void **state)
{
    static const struct {
        struct aisys_nng_push_options options;
        int r;
    } rows[] = {
        { { .url = "garbage" }, -EINVAL },
        { { .url = "gopher://x:1" }, -EOPNOTSUPP },
        { { .url = NULL }, -EINVAL },
        { { .url = "inproc://x", .buffer = 8193 }, -EINVAL },
        { { .url = "inproc://x", .queue = 8193 }, -EINVAL },
    };
    struct stage *s = *state;
    struct aisys_nng_push *push;
    unsigned closed = 1;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(aisys_nng_push_open(s->nng, &rows[i].options, &push), rows[i].r);
    /* Some of them close themselves on the loop. */
    stage_open(s, AISYS_NNG_INBOX, NULL);
    aisys_nng_door_close(s->door, stage_on_closed, s);
    s->door = NULL;
    stage_until(s, stage_is_closed, &closed);
    while (aisys_nng_close(s->nng) == -EBUSY)
        aisys_nng_drain(s->nng);
    s->nng = NULL;
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, stage_setup, stage_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_frames_keep_their_order),
        ROW(test_a_push_without_an_inbox_fills_up),
        ROW(test_a_push_without_a_queue),
        ROW(test_connections_come_and_go),
        ROW(test_a_frame_above_the_limit_ends_the_pipe),
        ROW(test_a_thread_sends_and_waits_for_room),
        ROW(test_a_thread_waits_only_so_long),
        ROW(test_closing_ends_a_threads_wait),
        ROW(test_a_push_that_cannot_be_opened),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
