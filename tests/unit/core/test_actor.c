/* Actors as actors see them: sending, asking, timers, jobs, failing, stopping. Every case of the first
 * group runs twice, with bus.local direct and socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/core.h"
#include "fake_env.h"

#include <aisys/diag.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- A class that does what the test says, and remembers ------------------------------------- */

enum type { NOTE = 1, WANT_ECHO, WANT_SILENCE, WANT_ERROR, WANT_FAILURE, WANT_CHECK, WANT_LATER };
enum { ON_REPLY, ON_TIMER, ON_JOB };

#define SEEN_MAX 256

struct seen {
    uint32_t type;
    int code;
    uint64_t token;
    bool end, more;
    char text[96];
};

static struct seen seen[SEEN_MAX];
static unsigned seen_nr;
static aisys_reply kept_reply;
static struct aisys_actor *kept_actor;
static unsigned starts, stops, live_results;
static int start_result, stop_result;

static void remember(struct seen what, const void *data, size_t bytes)
{
    assert_true(seen_nr < SEEN_MAX);
    if (bytes)
        memcpy(what.text, data, bytes < sizeof(what.text) ? bytes : sizeof(what.text) - 1);
    seen[seen_nr++] = what;
}

static int probe_start(struct aisys_actor *self, const void *config)
{
    (void)config;
    starts++;
    kept_actor = self;
    return start_result;
}

static int probe_stop(struct aisys_actor *self, enum aisys_stop why)
{
    (void)self;
    (void)why;
    stops++;
    return stop_result;
}

static int probe_receive(struct aisys_actor *self, const struct aisys_msg *msg)
{
    remember((struct seen){ .type = msg->type }, msg->data, msg->bytes);
    switch ((enum type)msg->type) {
    case WANT_ECHO:
        return aisys_answer_bytes(self, msg->reply, AISYS_BYTES(msg->data, msg->bytes)) < 0 ? -EIO
                                                                                            : 0;
    case WANT_ERROR:
        return aisys_fail(self, msg->reply, AISYS_NOT_FOUND, "no %s here", "key");
    case WANT_FAILURE:
        return -EIO;
    case WANT_CHECK:
        aisys_check_failed_in_actor(
            "1 + 1 == 3", __FILE__, __LINE__); /* what an actor's AISYS_CHECK does */
    case WANT_LATER:
        kept_reply = msg->reply;
        return 0;
    default:
        return 0;
    }
}

static int probe_on_end(struct aisys_actor *self, const struct aisys_end *end)
{
    (void)self;
    if (end->code == AISYS_OK && end->result)
        remember(
            (struct seen){ .end = true, .token = end->token }, end->result, strlen(end->result));
    else if (end->code == AISYS_OK)
        remember((struct seen){ .end = true, .token = end->token, .more = end->more }, end->data,
            end->bytes);
    else
        remember((struct seen){ .end = true, .token = end->token, .code = end->code }, end->words,
            strlen(end->words));
    return 0;
}

static const struct aisys_continuation probe_continuations[] = {
    [ON_REPLY] = { "on_reply", probe_on_end, NULL },
    [ON_TIMER] = { "on_timer", probe_on_end, NULL },
    [ON_JOB] = { "on_job", probe_on_end, NULL },
    { 0 },
};

static const struct aisys_actor_ops probe_ops = {
    .abi = AISYS_ABI,
    .name = "probe",
    .continuations = probe_continuations,
    .state_bytes = 64,
    .start = probe_start,
    .receive = probe_receive,
    .stop = probe_stop,
};

/* ---- A stage: two of them, "a" and "b" -------------------------------------------------------- */

struct stage {
    struct fake_env fake;
    struct aisys_core *core;
    struct aisys_class *class;
    struct aisys_id a, b;
};

static struct stage stage;

static struct aisys_actor_options option(const char *name)
{
    return (struct aisys_actor_options){ .name = name, .mailbox_messages = 8 };
}

static void stage_open(bool loopback)
{
    static struct aisys_diag diag;
    const struct aisys_core_options options = { .node = UINT64_C(7) << 32 | 1,
        .loopback = loopback };
    const struct aisys_actor_options a = option("a"), b = option("b");

    seen_nr = starts = stops = live_results = 0;
    start_result = stop_result = 0;
    aisys_diag_init(&diag);
    fake_env_init(&stage.fake);
    assert_int_equal(aisys_core_new(&stage.fake.env, &options, &stage.core), 0);
    stage.fake.core = stage.core;
    assert_int_equal(aisys_core_class_add(stage.core, &probe_ops, &diag, &stage.class), 0);
    assert_int_equal(aisys_core_spawn(stage.core, stage.class, &a, &stage.a), 0);
    assert_int_equal(aisys_core_spawn(stage.core, stage.class, &b, &stage.b), 0);
    assert_int_equal(aisys_core_start(stage.core, &diag), 0);
    fake_env_settle(&stage.fake);
    assert_int_equal(aisys_core_state(stage.core), AISYS_CORE_READY);
}

static int setup_direct(void **state)
{
    (void)state;
    stage_open(false);
    return 0;
}

static int setup_socket(void **state)
{
    (void)state;
    stage_open(true);
    return 0;
}

/* Whatever happened: the accounts of every actor add up, and nothing leaks. */
static void check_accounts(void *ctx, const struct aisys_actor_info *info)
{
    const struct aisys_accounts *a = &info->accounts;

    (void)ctx;
    assert_int_equal(a->offered,
        a->handled + a->failed + a->refused + a->dropped + a->dead + a->queued + a->in_hand);
}

static int teardown(void **state)
{
    (void)state;
    aisys_core_each(stage.core, check_accounts, NULL);
    while (stage.fake.jobs_nr)
        fake_env_run_job(&stage.fake);
    aisys_core_free(stage.core);
    fake_env_deinit(&stage.fake);
    assert_int_equal(live_results, 0);
    return 0;
}

static struct aisys_accounts accounts(struct aisys_id id)
{
    struct aisys_actor_info info;

    assert_true(aisys_core_info(stage.core, id, &info));
    return info.accounts;
}

/* The actor itself, to act as it would in a handler. */
static struct aisys_actor *actor(struct aisys_id id)
{
    struct aisys_actor *found = aisys_core_actor(stage.core, id);

    assert_non_null(found);
    return found;
}

static struct aisys_bytes text(const char *s)
{
    return AISYS_BYTES(s, strlen(s));
}

static const struct aisys_then reply_to_7 = {
    .token = 7, .continuation = ON_REPLY, .deadline_ms = 100
};

/* ---- Cases ------------------------------------------------------------------------------------ */

static void test_messages_arrive_in_order(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        char word[8];

        snprintf(word, sizeof(word), "m%u", i);
        assert_int_equal(aisys_send(actor(stage.a), stage.b, NOTE, text(word)), 0);
    }
    fake_env_settle(&stage.fake);
    assert_int_equal(seen_nr, 5);
    assert_string_equal(seen[0].text, "m0");
    assert_string_equal(seen[4].text, "m4");
    assert_int_equal(accounts(stage.b).handled, 5);
}

static void test_priorities_are_served_by_weight(void **state)
{
    static const char *const expected = "hhhhhhhhnnnnlh";
    char got[16] = "";

    (void)state;
    aisys_core_kill(stage.core, stage.b);
    assert_int_equal(aisys_core_spawn(stage.core, stage.class,
                         &(struct aisys_actor_options){ .mailbox_messages = 64 }, &stage.b),
        0);
    for (unsigned i = 0; i < 9; i++)
        assert_int_equal(aisys_send_at(actor(stage.a), stage.b, NOTE, text("h"), AISYS_HIGH), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(aisys_send(actor(stage.a), stage.b, NOTE, text("n")), 0);
    assert_int_equal(aisys_send_at(actor(stage.a), stage.b, NOTE, text("l"), AISYS_LOW), 0);
    fake_env_settle(&stage.fake);
    for (unsigned i = 0; i < seen_nr; i++)
        got[i] = seen[i].text[0];
    assert_string_equal(got, expected);
}

/* What an ask of each type ends in. */
static void test_an_ask_has_exactly_one_end(void **state)
{
    static const struct {
        uint32_t type;
        int code;
        const char *text;
        unsigned wait_ms;
    } rows[] = {
        { WANT_ECHO, AISYS_OK, "hello", 0 },
        { WANT_ERROR, AISYS_NOT_FOUND, "no key here", 0 },
        { WANT_FAILURE, AISYS_INTERNAL, "the actor failed", 0 },
        { WANT_CHECK, AISYS_INTERNAL, "the actor failed", 0 },
        { WANT_SILENCE, AISYS_DEADLINE_EXCEEDED, "no answer before the deadline", 100 },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        seen_nr = 0;
        assert_int_equal(
            aisys_ask(actor(stage.a), stage.b, rows[i].type, text("hello"), reply_to_7), 0);
        fake_env_settle(&stage.fake);
        assert_int_equal(seen_nr, rows[i].wait_ms ? 1 : 2);
        fake_env_pass(&stage.fake, rows[i].wait_ms);
        assert_int_equal(seen_nr, 2);
        assert_true(seen[1].end);
        assert_int_equal(seen[1].token, 7);
        assert_int_equal(seen[1].code, rows[i].code);
        assert_string_equal(seen[1].text, rows[i].text);
        fake_env_pass(&stage.fake, 200);
        assert_int_equal(seen_nr, 2);
    }
}

static void test_a_late_answer_is_a_dead_letter(void **state)
{
    struct aisys_core_info info;

    (void)state;
    assert_int_equal(aisys_ask(actor(stage.a), stage.b, WANT_LATER, text("x"), reply_to_7), 0);
    fake_env_pass(&stage.fake, 101);
    assert_int_equal(seen[1].code, AISYS_DEADLINE_EXCEEDED);
    aisys_answer_bytes(actor(stage.b), kept_reply, text("too late"));
    fake_env_settle(&stage.fake);
    aisys_core_stats(stage.core, &info);
    assert_int_equal(info.dead[AISYS_DEAD_LATE], 1);
    assert_int_equal(accounts(stage.a).dead, 1);
    assert_int_equal(
        aisys_answer_bytes(actor(stage.b), kept_reply, text("twice")), AISYS_SEND_GONE);
}

static void test_a_request_nobody_waits_for_is_not_handled(void **state)
{
    struct aisys_core_info info;

    (void)state;
    assert_int_equal(aisys_ask(actor(stage.a), stage.b, WANT_ECHO, text("x"), reply_to_7), 0);
    stage.fake.now_ms += 100; /* the loop was held elsewhere */
    fake_env_settle(&stage.fake);
    assert_int_equal(seen_nr, 1);
    assert_int_equal(seen[0].code, AISYS_DEADLINE_EXCEEDED);
    aisys_core_stats(stage.core, &info);
    assert_int_equal(info.dead[AISYS_DEAD_DEADLINE], 1);
    assert_int_equal(accounts(stage.b).dead, 1);
}

static void test_a_full_mailbox_refuses(void **state)
{
    struct aisys_core_info info;
    int r = 0;

    (void)state;
    for (unsigned i = 0; i < 12; i++)
        r = aisys_send(actor(stage.a), stage.b, NOTE, text("x"));
    fake_env_settle(&stage.fake);
    assert_int_equal(seen_nr, 8);
    assert_int_equal(accounts(stage.b).refused, 4);
    aisys_core_stats(stage.core, &info);
    /* told at once, or, where the sender could not be, a dead letter */
    assert_true(r == AISYS_SEND_FULL || info.dead[AISYS_DEAD_REFUSED] == 4);
}

static void test_an_ask_at_a_full_mailbox_ends(void **state)
{
    int r;

    (void)state;
    for (unsigned i = 0; i < 8; i++)
        aisys_send(actor(stage.a), stage.b, NOTE, text("x"));
    r = aisys_ask(actor(stage.a), stage.b, WANT_ECHO, text("x"), reply_to_7);
    fake_env_settle(&stage.fake);
    if (r == 0)
        assert_int_equal(seen[seen_nr - 1].code, AISYS_RESOURCE_EXHAUSTED);
    else
        assert_int_equal(r, AISYS_SEND_FULL);
}

static void test_places_for_ends_are_reserved(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(
            aisys_ask(actor(stage.a), stage.b, WANT_SILENCE, AISYS_NO_BYTES, reply_to_7), 0);
    assert_int_equal(aisys_ask(actor(stage.a), stage.b, WANT_SILENCE, AISYS_NO_BYTES, reply_to_7),
        AISYS_SEND_FULL);
    assert_int_equal(aisys_after(actor(stage.a), 5, reply_to_7), AISYS_SEND_FULL);
    /* ... and nobody else gets them */
    aisys_send(actor(stage.b), stage.a, NOTE, text("x"));
    fake_env_settle(&stage.fake);
    assert_int_equal(accounts(stage.a).refused, 1);
    fake_env_pass(&stage.fake, 101);
    assert_int_equal(seen_nr, 16);
}

static void test_nobody_is_gone(void **state)
{
    (void)state;
    aisys_core_kill(stage.core, stage.b);
    assert_int_equal(aisys_send(actor(stage.a), stage.b, NOTE, text("x")), AISYS_SEND_GONE);
    assert_int_equal(
        aisys_ask(actor(stage.a), stage.b, WANT_ECHO, text("x"), reply_to_7), AISYS_SEND_GONE);
    assert_true(aisys_id_is_none(aisys_core_lookup(stage.core, "b")));
}

static void test_killing_answers_what_it_owed(void **state)
{
    (void)state;
    assert_int_equal(aisys_ask(actor(stage.a), stage.b, WANT_LATER, text("x"), reply_to_7), 0);
    fake_env_settle(&stage.fake);
    assert_int_equal(aisys_ask(actor(stage.a), stage.b, WANT_ECHO, text("y"), reply_to_7), 0);
    aisys_core_kill(stage.core, stage.b);
    fake_env_settle(&stage.fake);
    assert_int_equal(seen_nr, 3);
    assert_int_equal(seen[1].code, AISYS_UNAVAILABLE);
    assert_int_equal(seen[2].code, AISYS_UNAVAILABLE);
}

static void test_a_large_payload_travels(void **state)
{
    static char large[300000];
    static const struct aisys_then then = { .continuation = ON_REPLY };

    (void)state;
    memset(large, 'x', sizeof(large));
    assert_int_equal(
        aisys_ask(actor(stage.a), stage.b, WANT_ECHO, AISYS_BYTES(large, sizeof(large)), then), 0);
    fake_env_settle(&stage.fake);
    assert_int_equal(seen_nr, 2);
    assert_int_equal(seen[1].code, AISYS_OK);
    assert_int_equal(aisys_send(actor(stage.a), stage.b, NOTE, AISYS_BYTES(large, 17u << 20)),
        AISYS_SEND_TOO_BIG);
}

static void test_cancelled_asks_end_nowhere(void **state)
{
    (void)state;
    assert_int_equal(aisys_ask(actor(stage.a), stage.b, WANT_LATER, text("x"), reply_to_7), 0);
    fake_env_settle(&stage.fake);
    assert_int_equal(aisys_cancel(actor(stage.a), ON_REPLY, 7), 1);
    assert_int_equal(aisys_cancel(actor(stage.a), ON_REPLY, 7), 0);
    aisys_answer_bytes(actor(stage.b), kept_reply, text("unheard"));
    fake_env_pass(&stage.fake, 200);
    assert_int_equal(seen_nr, 1);
}

/* ---- Timers ----------------------------------------------------------------------------------- */

static void test_timers_come_in_order(void **state)
{
    static const uint32_t delays[] = { 70, 5, 5, 4100, 64, 1, 300000 };
    static const uint64_t expected[] = { 5, 1, 2, 4, 0, 3 };

    (void)state;
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(aisys_after(actor(stage.a), delays[i],
                             (struct aisys_then){ .continuation = ON_TIMER, .token = i }),
            0);
    assert_int_equal(aisys_core_next_ms(stage.core), stage.fake.now_ms + 1);
    fake_env_pass(&stage.fake, 5000);
    assert_int_equal(seen_nr, 6);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(seen[i].token, expected[i]);
    stage.fake.now_ms += 295000;
    fake_env_settle(&stage.fake);
    assert_int_equal(seen_nr, 7);
    assert_true(aisys_core_next_ms(stage.core) == UINT64_MAX);
}

static void test_a_queued_end_can_be_cancelled(void **state)
{
    (void)state;
    assert_int_equal(aisys_after(actor(stage.a), 5, reply_to_7), 0);
    stage.fake.now_ms += 10;
    /* the end is in the mailbox of a full turn's end: cancel before it is handled */
    assert_int_equal(aisys_cancel(actor(stage.a), ON_REPLY, 7), 1);
    fake_env_settle(&stage.fake);
    assert_int_equal(seen_nr, 0);
}

/* ---- Jobs ------------------------------------------------------------------------------------- */

static void result_free(void *p)
{
    live_results--;
    free(p);
}

static char *result_new(const char *s)
{
    live_results++;
    return strdup(s);
}

static void run_upper(struct aisys_job *job)
{
    const char *input = aisys_job_input(job);

    assert_int_equal(aisys_job_progress(job, text("half")), 0);
    aisys_job_result(job, result_new(input), result_free);
}

static void run_bad(struct aisys_job *job)
{
    aisys_job_fail(job, AISYS_DATA_LOSS, "disk %d", 3);
}

static const struct aisys_then job_end = { .continuation = ON_JOB, .token = 9, .deadline_ms = 50 };

static struct aisys_job_input input(const char *s)
{
    return (struct aisys_job_input){ result_new(s), result_free };
}

static void test_a_job_ends_in_its_result(void **state)
{
    (void)state;
    assert_int_equal(
        aisys_job(actor(stage.a), AISYS_LANE_GENERAL, run_upper, input("in"), job_end), 0);
    assert_int_equal(
        aisys_job(actor(stage.a), AISYS_LANE_GENERAL, run_bad, input("in"), job_end), 0);
    fake_env_run_job(&stage.fake);
    fake_env_settle(&stage.fake);
    assert_int_equal(seen_nr, 2);
    assert_true(seen[0].more);
    assert_string_equal(seen[0].text, "half");
    assert_string_equal(seen[1].text, "in");
    fake_env_run_job(&stage.fake); /* the lane takes one at a time */
    fake_env_settle(&stage.fake);
    assert_int_equal(seen[2].code, AISYS_DATA_LOSS);
    assert_string_equal(seen[2].text, "disk 3");
    assert_int_equal(live_results, 0);
}

static void test_jobs_are_taken_by_priority_then_deadline(void **state)
{
    static const struct {
        uint8_t priority;
        uint32_t deadline_ms;
    } rows[] = { { AISYS_NORMAL, 50 }, { AISYS_LOW, 10 }, { AISYS_NORMAL, 40 }, { AISYS_HIGH, 90 },
        { AISYS_NORMAL, 30 } };
    static const uint64_t expected[] = { 0, 3, 4, 2, 1 }; /* the first began at once */

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(aisys_job(actor(stage.a), AISYS_LANE_VISION, run_bad, input("x"),
                             (struct aisys_then){ .continuation = ON_JOB,
                                 .token = i,
                                 .deadline_ms = rows[i].deadline_ms,
                                 .priority = rows[i].priority }),
            0);
    for (unsigned i = 0; i < 5; i++) {
        fake_env_run_job(&stage.fake);
        fake_env_settle(&stage.fake);
        assert_int_equal(seen[i].token, expected[i]);
    }
}

static void test_jobs_over_their_deadline(void **state)
{
    (void)state;
    assert_int_equal(
        aisys_job(actor(stage.a), AISYS_LANE_GENERAL, run_upper, input("runs"), job_end), 0);
    assert_int_equal(
        aisys_job(actor(stage.a), AISYS_LANE_GENERAL, run_upper, input("waits"), job_end), 0);
    fake_env_pass(&stage.fake, 51);
    assert_int_equal(seen_nr, 2);
    assert_int_equal(seen[0].code, AISYS_DEADLINE_EXCEEDED);
    assert_int_equal(seen[1].code, AISYS_DEADLINE_EXCEEDED);
    assert_int_equal(stage.fake.jobs_nr, 1); /* the second never began */
    fake_env_run_job(&stage.fake);           /* and nobody hears of the first */
    fake_env_settle(&stage.fake);
    assert_int_equal(seen_nr, 2);
}

static void test_a_pool_that_refuses(void **state)
{
    (void)state;
    stage.fake.job_start_error = -EAGAIN;
    assert_int_equal(
        aisys_job(actor(stage.a), AISYS_LANE_GENERAL, run_upper, input("x"), job_end), 0);
    fake_env_settle(&stage.fake);
    assert_int_equal(seen[0].code, AISYS_UNAVAILABLE);
}

static void test_a_job_outlives_its_actor(void **state)
{
    (void)state;
    assert_int_equal(
        aisys_job(actor(stage.b), AISYS_LANE_GENERAL, run_upper, input("x"), job_end), 0);
    aisys_core_kill(stage.core, stage.b);
    fake_env_run_job(&stage.fake);
    fake_env_settle(&stage.fake);
    assert_int_equal(seen_nr, 0);
    assert_int_equal(live_results, 0);
}

/* ---- Failing and stopping --------------------------------------------------------------------- */

static void test_a_failed_actor_restarts_three_times(void **state)
{
    struct aisys_health health;

    (void)state;
    assert_int_equal(starts, 2);
    for (unsigned i = 1; i <= 4; i++) {
        assert_int_equal(aisys_send(actor(stage.a), stage.b, WANT_FAILURE, AISYS_NO_BYTES), 0);
        assert_int_equal(aisys_send(actor(stage.a), stage.b, NOTE, AISYS_NO_BYTES), 0);
        fake_env_pass(&stage.fake, 10);
        assert_int_equal(starts, 2 + (i < 4 ? i : 3));
        assert_int_equal(accounts(stage.b).failed, i);
        assert_int_equal(accounts(stage.b).handled, i < 4 ? i : 3); /* its mailbox stayed */
    }
    assert_int_equal(aisys_core_down(stage.core), 1);
    aisys_core_health(stage.core, stage.b, &health);
    assert_int_equal(health.status, AISYS_UNHEALTHY);
    assert_string_equal(health.why, "down: Input/output error");
    assert_int_equal(accounts(stage.b).dead, 1);
    assert_int_equal(aisys_send(actor(stage.a), stage.b, NOTE, AISYS_NO_BYTES), AISYS_SEND_GONE);

    assert_int_equal(aisys_core_restart(stage.core, "b"), 0);
    fake_env_settle(&stage.fake);
    assert_int_equal(aisys_core_down(stage.core), 0);
    assert_int_equal(aisys_send(actor(stage.a), stage.b, NOTE, AISYS_NO_BYTES), 0);
}

static void test_failures_far_apart_are_forgotten(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(aisys_send(actor(stage.a), stage.b, WANT_CHECK, AISYS_NO_BYTES), 0);
        stage.fake.now_ms += 4000;
        fake_env_settle(&stage.fake);
    }
    assert_int_equal(aisys_core_down(stage.core), 0);
    assert_non_null(strstr(stage.fake.log, "check failed: 1 + 1 == 3"));
}

static void test_what_an_actor_owns_goes_with_it(void **state)
{
    struct aisys_actor_info info;
    void *p;

    (void)state;
    assert_non_null(aisys_alloc(actor(stage.b), 1000));
    p = aisys_alloc(actor(stage.b), 10);
    p = aisys_realloc(actor(stage.b), p, 5000);
    assert_non_null(p);
    assert_true(aisys_core_info(stage.core, stage.b, &info));
    assert_int_equal(info.memory_bytes, 6000);
    assert_int_equal(aisys_after(actor(stage.b), 5, reply_to_7), 0);
    assert_int_equal(
        aisys_job(actor(stage.b), AISYS_LANE_GENERAL, run_bad, input("x"), job_end), 0);
    aisys_send(actor(stage.a), stage.b, WANT_FAILURE, AISYS_NO_BYTES);
    fake_env_settle(&stage.fake);
    assert_true(aisys_core_info(stage.core, stage.b, &info));
    assert_int_equal(info.memory_bytes, 0);
    assert_int_equal(info.open_ops, 0);
    fake_env_pass(&stage.fake, 100);
    assert_int_equal(seen_nr, 1);
}

static void test_stop_drains(void **state)
{
    (void)state;
    assert_int_equal(aisys_send(actor(stage.a), stage.b, NOTE, text("1")), 0);
    assert_int_equal(aisys_ask(actor(stage.a), stage.b, WANT_LATER, text("2"), reply_to_7), 0);
    fake_env_settle(&stage.fake);
    aisys_core_stop(stage.core);
    assert_int_equal(aisys_send(actor(stage.b), stage.a, NOTE, text("late")), AISYS_SEND_GONE);
    fake_env_settle(&stage.fake);
    assert_int_equal(aisys_core_state(stage.core), AISYS_CORE_STOPPING); /* b owes an answer */
    aisys_answer_bytes(actor(stage.b), kept_reply, text("done"));
    assert_int_equal(aisys_after(actor(stage.b), 1, reply_to_7), 0);
    fake_env_pass(&stage.fake, 2);
    assert_int_equal(aisys_core_state(stage.core), AISYS_CORE_STOPPED);
    assert_int_equal(stops, 2);
}

static void test_a_restart_that_does_not_drain_is_bounded(void **state)
{
    (void)state;
    assert_int_equal(aisys_ask(actor(stage.a), stage.b, WANT_LATER, text("2"),
                         (struct aisys_then){ .continuation = ON_REPLY, .deadline_ms = 60000 }),
        0);
    fake_env_settle(&stage.fake);
    assert_int_equal(aisys_core_restart(stage.core, "b"), 0);
    fake_env_pass(&stage.fake, 4999);
    assert_int_equal(starts, 2);
    fake_env_pass(&stage.fake, 2);
    assert_int_equal(starts, 3);
    assert_int_equal(seen[1].code, AISYS_UNAVAILABLE);
    assert_string_equal(seen[1].text, "the actor was restarted");
    assert_int_equal(aisys_send(actor(stage.a), stage.b, NOTE, AISYS_NO_BYTES), 0);
}

static void count_report(void *ctx, const char *name, const char *words)
{
    assert_string_equal(name, "b");
    assert_string_equal(words, "state=draining messages=0 answers_owed=1 open=0");
    ++*(unsigned *)ctx;
}

static void test_stop_now_says_what_was_left(void **state)
{
    unsigned reports = 0;

    (void)state;
    assert_int_equal(aisys_ask(actor(stage.a), stage.b, WANT_LATER, text("2"),
                         (struct aisys_then){ .continuation = ON_REPLY, .deadline_ms = 60000 }),
        0);
    fake_env_settle(&stage.fake);
    aisys_core_stop(stage.core);
    fake_env_pass(&stage.fake, 10);
    aisys_core_stop_now(stage.core, count_report, &reports);
    assert_int_equal(reports, 1);
    assert_int_equal(aisys_core_state(stage.core), AISYS_CORE_STOPPED);
}

/* ---- Every allocation fails once ---------------------------------------------------------------- */

static void scenario(void)
{
    struct aisys_actor *a = actor(stage.a);

    aisys_send(a, stage.b, NOTE, text("x"));
    aisys_ask(a, stage.b, WANT_ECHO, text("x"), reply_to_7);
    aisys_ask(a, stage.b, WANT_ERROR, text("x"), reply_to_7);
    aisys_after(a, 1, reply_to_7);
    {
        struct aisys_job_input in = input("x");

        if (aisys_job(a, AISYS_LANE_GENERAL, run_upper, in, job_end))
            in.free(in.data);
    }
    aisys_alloc(a, 100);
    aisys_send(a, stage.b, WANT_FAILURE, AISYS_NO_BYTES);
    fake_env_pass(&stage.fake, 5);
    while (stage.fake.jobs_nr)
        fake_env_run_job(&stage.fake);
    fake_env_pass(&stage.fake, 200);
}

static void test_any_allocation_may_fail(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        bool fired;

        stage_open(n % 2);
        stage.fake.fail_alloc_after = n / 2;
        scenario();
        fired = stage.fake.fault_fired;
        stage.fake.fail_alloc_after = -1;
        teardown(NULL);
        if (!fired && n % 2)
            break;
    }
}

#define BOTH(test)                                                                                 \
    { #test " (direct)", test, setup_direct, teardown, NULL },                                     \
    {                                                                                              \
#test " (socket)", test, setup_socket, teardown, NULL                                      \
    }
#define ONE(test)                                                                                  \
    {                                                                                              \
#test, test, setup_direct, teardown, NULL                                                  \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_messages_arrive_in_order),
        BOTH(test_priorities_are_served_by_weight),
        BOTH(test_an_ask_has_exactly_one_end),
        BOTH(test_a_late_answer_is_a_dead_letter),
        ONE(test_a_request_nobody_waits_for_is_not_handled),
        BOTH(test_a_full_mailbox_refuses),
        BOTH(test_an_ask_at_a_full_mailbox_ends),
        BOTH(test_places_for_ends_are_reserved),
        BOTH(test_nobody_is_gone),
        BOTH(test_killing_answers_what_it_owed),
        BOTH(test_a_large_payload_travels),
        BOTH(test_cancelled_asks_end_nowhere),
        ONE(test_timers_come_in_order),
        ONE(test_a_queued_end_can_be_cancelled),
        ONE(test_a_job_ends_in_its_result),
        ONE(test_jobs_are_taken_by_priority_then_deadline),
        ONE(test_jobs_over_their_deadline),
        ONE(test_a_pool_that_refuses),
        ONE(test_a_job_outlives_its_actor),
        ONE(test_a_failed_actor_restarts_three_times),
        ONE(test_failures_far_apart_are_forgotten),
        ONE(test_what_an_actor_owns_goes_with_it),
        ONE(test_stop_drains),
        ONE(test_a_restart_that_does_not_drain_is_bounded),
        ONE(test_stop_now_says_what_was_left),
        cmocka_unit_test(test_any_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
