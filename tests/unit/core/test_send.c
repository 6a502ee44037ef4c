/* What sending and beginning may come to: every outcome, both ways of the bus; bounds, handles, accounts. */
#include "unit.h"

#include "core/internal.h"
#include "fake_env.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

enum { ON_END, ON_CANCEL_OWN, ON_BAD_THEN };
enum { NOTE = 1, KEEP, LARGE_ANSWER };

#define MESSAGE_MAX 3000u
#define MAILBOX_MAX 4000u

static struct fake_env fake;
static struct aisys_core *core;
static struct aisys_class *class;
static struct aisys_id a, b;
static aisys_reply kept[16];
static unsigned kept_nr, received, ends, cancelled, live_inputs;
static int codes[64];
static char data[MAILBOX_MAX + MESSAGE_MAX];
static void (*misuse)(struct aisys_actor *self);

static void input_free(void *p)
{
    live_inputs--;
    free(p);
}

static struct aisys_job_input input(void)
{
    live_inputs++;
    return (struct aisys_job_input){ malloc(1), input_free };
}

static int on_receive(struct aisys_actor *self, const struct aisys_msg *msg)
{
    received++;
    if (misuse) {
        void (*now)(struct aisys_actor *) = misuse;

        misuse = NULL;
        now(self);
        fail_msg("not reached");
    }
    if (msg->type == LARGE_ANSWER)
        aisys_answer_bytes(self, msg->reply, AISYS_BYTES(data, MESSAGE_MAX));
    else if (msg->reply)
        kept[kept_nr++] = msg->reply;
    return 0;
}

static int on_end(struct aisys_actor *self, const struct aisys_end *end)
{
    (void)self;
    codes[ends++ % 64] = end->code;
    return 0;
}

static int on_cancel_own(struct aisys_actor *self, const struct aisys_end *end)
{
    cancelled += aisys_cancel(self, ON_CANCEL_OWN, end->token);
    return on_end(self, end);
}

static const struct aisys_continuation continuations[] = {
    [ON_END] = { "on_end", on_end, NULL },
    [ON_CANCEL_OWN] = { "on_cancel_own", on_cancel_own, NULL },
    { 0 },
};

static const struct aisys_actor_ops ops = {
    .abi = AISYS_ABI,
    .name = "probe",
    .receive = on_receive,
    .continuations = continuations,
};

static struct aisys_id add(const char *name, uint32_t messages, enum aisys_mailbox_policy policy)
{
    struct aisys_id id;

    assert_int_equal(aisys_core_spawn(core, class,
                         &(struct aisys_actor_options){ .name = name,
                             .mailbox_messages = messages,
                             .mailbox_bytes = MAILBOX_MAX,
                             .memory_bytes_max = 1000,
                             .policy = policy },
                         &id),
        0);
    return id;
}

static int open_core(bool loopback)
{
    static struct aisys_diag diag;
    const struct aisys_core_options options = { .node = 1,
        .loopback = loopback,
        .ops_max = 12,
        .message_bytes_max = MESSAGE_MAX,
        .lanes = { { .running = 1, .queued = 2 } } };

    kept_nr = received = ends = cancelled = live_inputs = 0;
    misuse = NULL;
    fake_env_init(&fake);
    assert_int_equal(aisys_core_new(&fake.env, &options, &core), 0);
    fake.core = core;
    aisys_diag_init(&diag);
    assert_int_equal(aisys_core_class_add(core, &ops, &diag, &class), 0);
    a = add("a", 16, AISYS_MAILBOX_REFUSE);
    b = add("b", 4, AISYS_MAILBOX_REFUSE);
    assert_int_equal(aisys_core_start(core, &diag), 0);
    fake_env_settle(&fake);
    return 0;
}

static int setup_direct(void **state)
{
    (void)state;
    return open_core(false);
}

static int setup_socket(void **state)
{
    (void)state;
    return open_core(true);
}

static int teardown(void **state)
{
    (void)state;
    while (fake.jobs_nr)
        fake_env_run_job(&fake);
    aisys_core_free(core);
    fake_env_deinit(&fake);
    assert_int_equal(live_inputs, 0);
    return 0;
}

static struct aisys_actor *actor(struct aisys_id id)
{
    return aisys_core_actor(core, id);
}

static const struct aisys_then end_then = { .continuation = ON_END, .deadline_ms = 50 };

static int send(struct aisys_id to, size_t bytes)
{
    return aisys_send(actor(a), to, NOTE, AISYS_BYTES(data, bytes));
}

static int ask(struct aisys_id to, uint32_t type, size_t bytes)
{
    return aisys_ask(actor(a), to, type, AISYS_BYTES(data, bytes), end_then);
}

static struct aisys_accounts accounts(struct aisys_id id)
{
    struct aisys_actor_info info;

    assert_true(aisys_core_info(core, id, &info));
    assert_int_equal(info.accounts.offered, info.accounts.handled + info.accounts.failed +
                                                info.accounts.refused + info.accounts.dropped +
                                                info.accounts.dead + info.accounts.queued);
    return info.accounts;
}

/* ---- Outcomes --------------------------------------------------------------------------------- */

static void test_outcomes_known_at_once(void **state)
{
    const struct aisys_id rows[] = {
        { 0 },
        { b.node + 1, b.slot, b.generation }, /* another node: there is no link */
        { b.node, b.slot, b.generation + 1 },
        { b.node, 1000, 1 },
    };

    (void)state;
    for (unsigned i = 0; i < ROWS(rows); i++) {
        assert_int_equal(send(rows[i], 1), AISYS_SEND_GONE);
        assert_int_equal(ask(rows[i], NOTE, 1), AISYS_SEND_GONE);
    }
    assert_int_equal(send(b, MESSAGE_MAX + 1), AISYS_SEND_TOO_BIG);
    assert_int_equal(ask(b, NOTE, MESSAGE_MAX + 1), AISYS_SEND_TOO_BIG);
    assert_int_equal(actor(a)->reserved, 0); /* what failed reserved nothing */
    for (unsigned i = 0; i < 12; i++)
        assert_int_equal(aisys_after(actor(a), 5, end_then), 0);
    assert_int_equal(aisys_after(actor(a), 5, end_then), AISYS_SEND_FULL); /* ops_max */
    assert_int_equal(ask(b, NOTE, 1), AISYS_SEND_FULL);
    fake_env_pass(&fake, 5);
    assert_int_equal(ends, 12);
}

/* Direct: said by the send. Over the link: the end of an ask, else a dead letter. */
static void test_full_by_bytes(void **state)
{
    struct aisys_core_info info;
    int r;

    (void)state;
    assert_int_equal(send(b, MESSAGE_MAX), 0);
    r = send(b, MESSAGE_MAX);
    if (!core->loopback)
        assert_int_equal(r, AISYS_SEND_FULL);
    r = ask(b, NOTE, MESSAGE_MAX);
    if (!core->loopback)
        assert_int_equal(r, AISYS_SEND_FULL);
    fake_env_settle(&fake);
    aisys_core_stats(core, &info);
    assert_int_equal(received, 1);
    assert_int_equal(accounts(b).refused, 2);
    if (core->loopback) {
        assert_int_equal(info.dead[AISYS_DEAD_REFUSED], 1);
        assert_int_equal(codes[0], AISYS_RESOURCE_EXHAUSTED);
    }
}

/* Mailboxes are bounded in bytes whatever comes; ends have as much again, so that others do not
 * keep them out. */
static void test_ends_have_a_bound_too(void **state)
{
    unsigned good = 0;

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(ask(b, LARGE_ANSWER, 1), 0);
    fake_env_settle(&fake); /* b answers all before a looks */
    for (unsigned i = 0; i < ends; i++)
        good += codes[i] == AISYS_OK;
    assert_int_equal(ends, 4);
    assert_int_equal(good, 2); /* of 3000 bytes, twice 4000 */
    for (unsigned i = 0; i < ends; i++)
        assert_true(codes[i] == AISYS_OK || codes[i] == AISYS_RESOURCE_EXHAUSTED);
}

static void test_a_dropped_question_is_answered(void **state)
{
    const struct aisys_id c = add("c", 4, AISYS_MAILBOX_DROP_OLDEST);

    (void)state;
    fake_env_settle(&fake);
    assert_int_equal(ask(c, NOTE, 1), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(send(c, 1), 0);
    fake_env_settle(&fake);
    assert_int_equal(ends, 1);
    assert_int_equal(codes[0], AISYS_RESOURCE_EXHAUSTED);
    assert_int_equal(accounts(c).dropped, 1);
    assert_int_equal(received, 4);
}

static void test_the_least_important_is_dropped_first(void **state)
{
    static const enum aisys_priority rows[] = { AISYS_HIGH, AISYS_LOW, AISYS_NORMAL, AISYS_LOW };
    const struct aisys_id c = add("c", 4, AISYS_MAILBOX_DROP_OLDEST);

    (void)state;
    fake_env_settle(&fake);
    for (unsigned i = 0; i < ROWS(rows); i++)
        assert_int_equal(aisys_send_at(actor(a), c, NOTE, AISYS_BYTES(data, i + 1), rows[i]), 0);
    send(c, 5);
    if (!core->loopback) {
        assert_int_equal(actor(c)->tail[AISYS_LOW]->next->seen.bytes, 4);
        assert_non_null(actor(c)->tail[AISYS_HIGH]);
    }
    fake_env_settle(&fake);
    assert_int_equal(received, 4);
    assert_int_equal(accounts(c).dropped, 1);
}

static void test_questions_of_the_buried_are_answered(void **state)
{
    (void)state;
    assert_int_equal(ask(b, KEEP, 1), 0);
    fake_env_settle(&fake);
    assert_int_equal(ask(b, NOTE, 1), 0);
    aisys_core_kill(core, b); /* the second is in its mailbox, or on its way there */
    fake_env_settle(&fake);
    assert_int_equal(ends, 2);
    assert_int_equal(codes[0], AISYS_UNAVAILABLE);
    assert_int_equal(codes[1], AISYS_UNAVAILABLE);
}

/* ---- Handles ---------------------------------------------------------------------------------- */

static void test_an_old_handle_reaches_nobody(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++) { /* the same entries of the tables each time */
        assert_int_equal(ask(b, KEEP, 1), 0);
        fake_env_settle(&fake);
        for (unsigned i = 0; i < kept_nr - 1; i++)
            assert_int_equal(
                aisys_answer_bytes(actor(b), kept[i], AISYS_NO_BYTES), AISYS_SEND_GONE);
        assert_int_equal(aisys_answer_bytes(actor(a), kept[kept_nr - 1], AISYS_NO_BYTES),
            AISYS_SEND_GONE); /* another's */
        assert_int_equal(ends, round);
        assert_int_equal(aisys_answer_bytes(actor(b), kept[kept_nr - 1], AISYS_NO_BYTES), 0);
        fake_env_settle(&fake);
        assert_int_equal(ends, round + 1);
        assert_int_equal(aisys_reply_remaining_ms(actor(b), kept[kept_nr - 1]), 0);
    }
    assert_int_equal(aisys_fail(actor(b), 0, AISYS_ABORTED, "never"), AISYS_SEND_GONE);
    assert_int_equal(aisys_answer_bytes(actor(b), UINT64_MAX, AISYS_NO_BYTES), AISYS_SEND_GONE);
}

/* An answer that comes over a link ends an ask only when all of it is right. */
static void test_forged_answers(void **state)
{
    struct aisys_envelope envelope = { .kind = AISYS_ENVELOPE_END, .type = AISYS_OK };
    uint64_t correlation;
    struct aisys_id stranger = b;

    (void)state;
    assert_int_equal(ask(b, KEEP, 1), 0);
    fake_env_settle(&fake);
    correlation = aisys_op_id(actor(a)->ops);
    stranger.slot = 77;
    const struct {
        struct aisys_id from, to;
        uint64_t correlation;
    } rows[] = {
        { stranger, a, correlation },
        { b, b, correlation },
        { b, a, correlation + 1 },
        { b, a, correlation + (1u << OP_INDEX_BITS) },
    };

    for (unsigned i = 0; i < ROWS(rows); i++) {
        envelope.from = rows[i].from;
        envelope.to = rows[i].to;
        envelope.correlation = rows[i].correlation;
        assert_int_equal(aisys_core_deliver(core, &envelope), 0);
        fake_env_settle(&fake);
        assert_int_equal(ends, 0);
    }
    envelope = (struct aisys_envelope){
        .kind = AISYS_ENVELOPE_END, .from = b, .to = a, .correlation = correlation
    };
    assert_int_equal(aisys_core_deliver(core, &envelope), 0);
    fake_env_settle(&fake);
    assert_int_equal(ends, 1);
}

static void test_envelopes_that_are_none(void **state)
{
    const struct aisys_envelope rows[] = {
        { .kind = 4 },
        { .priority = 3 },
        { .kind = AISYS_ENVELOPE_ASK },
        { .kind = AISYS_ENVELOPE_END, .correlation = 1, .type = AISYS_CODE_NR },
    };

    (void)state;
    for (unsigned i = 0; i < ROWS(rows); i++)
        assert_int_equal(aisys_core_deliver(core, &rows[i]), -EPROTO);
}

/* A request that is lost on its way ends once, though its answer should come after all. */
static void test_lost_requests_end_once(void **state)
{
    struct aisys_envelope envelope = { .kind = AISYS_ENVELOPE_ASK, .from = a, .to = b };

    (void)state;
    assert_int_equal(ask(b, KEEP, 1), 0);
    fake_env_settle(&fake);
    envelope.correlation = aisys_op_id(actor(a)->ops);
    aisys_core_lost(core, &envelope, AISYS_DEAD_GONE);
    aisys_answer_bytes(actor(b), kept[0], AISYS_NO_BYTES);
    fake_env_pass(&fake, 100);
    assert_int_equal(ends, 1);
    assert_int_equal(codes[0], AISYS_UNAVAILABLE);
    accounts(a);
}

/* ---- Cancelling, jobs ------------------------------------------------------------------------- */

static void test_cancelling_what_is_being_handled(void **state)
{
    const struct aisys_then then = { .continuation = ON_CANCEL_OWN, .token = 4 };

    (void)state;
    assert_int_equal(aisys_after(actor(a), 1, then), 0);
    fake_env_pass(&fake, 1);
    assert_int_equal(ends, 1);
    assert_int_equal(cancelled, 0); /* it has come */
    assert_int_equal(aisys_after(actor(a), 1, then), 0);
    assert_int_equal(aisys_after(actor(a), 2, then), 0);
    fake_env_pass(&fake, 3);
    assert_int_equal(ends, 2);
    assert_int_equal(cancelled, 1); /* the other one of that token */
}

static void run_progress(struct aisys_job *job)
{
    for (unsigned i = 1; i <= 3; i++)
        aisys_job_progress(job, AISYS_BYTES(data, i));
}

static void test_a_cancelled_job_ends_nowhere(void **state)
{
    struct aisys_job_input second = { 0 };

    (void)state;
    assert_int_equal(aisys_job(actor(a), AISYS_LANE_GENERAL, run_progress, input(), end_then), 0);
    assert_int_equal(aisys_job(actor(a), AISYS_LANE_GENERAL, run_progress, input(), end_then), 0);
    assert_int_equal(aisys_job(actor(a), AISYS_LANE_GENERAL, run_progress, input(), end_then), 0);
    second = input();
    assert_int_equal(aisys_job(actor(a), AISYS_LANE_GENERAL, run_progress, second, end_then),
        AISYS_SEND_FULL); /* one runs, two wait */
    second.free(second.data);
    assert_int_equal(live_inputs, 3);
    assert_int_equal(aisys_cancel(actor(a), ON_END, 0), 3);
    assert_int_equal(live_inputs, 1); /* the one that runs keeps what it reads */
    assert_int_equal(fake.jobs_nr, 1);
    fake_env_run_job(&fake);
    fake_env_settle(&fake);
    assert_int_equal(ends, 0);
    assert_int_equal(fake.jobs_nr, 0);
}

static void test_progress_that_has_no_place_is_dropped(void **state)
{
    const struct aisys_id c = add("c", 3, AISYS_MAILBOX_REFUSE);

    (void)state;
    fake_env_settle(&fake);
    assert_int_equal(aisys_job(actor(c), AISYS_LANE_GENERAL, run_progress, input(), end_then), 0);
    fake_env_run_job(&fake);
    fake_env_settle(&fake);
    assert_int_equal(ends, 3); /* two of the three, and the end, whose place was reserved */
    assert_int_equal(accounts(c).dropped, 1);
}

/* ---- Misuse: the actor fails, and nothing is left behind ---------------------------------------- */

static void ask_into_nowhere(struct aisys_actor *self)
{
    aisys_ask(self, b, NOTE, AISYS_NO_BYTES, (struct aisys_then){ .continuation = ON_BAD_THEN });
}

static void time_into_nowhere(struct aisys_actor *self)
{
    aisys_after(self, 1, (struct aisys_then){ .priority = 9 });
}

static void work_into_nowhere(struct aisys_actor *self)
{
    aisys_job(self, AISYS_LANE_GENERAL, run_progress, (struct aisys_job_input){ 0 },
        (struct aisys_then){ .continuation = ON_BAD_THEN });
}

static void work_in_no_lane(struct aisys_actor *self)
{
    aisys_job(self, (enum aisys_lane)7, run_progress, (struct aisys_job_input){ 0 }, end_then);
}

static void work_on_nothing(struct aisys_actor *self)
{
    aisys_job(self, AISYS_LANE_GENERAL, NULL, (struct aisys_job_input){ 0 }, end_then);
}

static void send_at_no_priority(struct aisys_actor *self)
{
    aisys_send_at(self, b, NOTE, AISYS_NO_BYTES, (enum aisys_priority)5);
}

static void fail_with_ok(struct aisys_actor *self)
{
    aisys_fail(self, 1, AISYS_OK, "fine");
}

static void ready_twice(struct aisys_actor *self)
{
    aisys_ready(self);
}

static void stopped_unasked(struct aisys_actor *self)
{
    aisys_stopped(self);
}

static void test_misuse_fails_the_actor_alone(void **state)
{
    static void (*const rows[])(struct aisys_actor *) = { ask_into_nowhere, time_into_nowhere,
        work_into_nowhere, work_in_no_lane, work_on_nothing, send_at_no_priority, fail_with_ok,
        ready_twice, stopped_unasked };
    const int64_t before = fake.live_allocations;

    (void)state;
    for (unsigned i = 0; i < ROWS(rows); i++) {
        misuse = rows[i];
        assert_int_equal(send(b, 1), 0);
        fake.now_ms += 20000; /* far enough apart to be forgiven */
        fake_env_settle(&fake);
        assert_null(misuse);
        assert_int_equal(accounts(b).failed, i + 1);
        assert_int_equal(actor(b)->life, LIFE_RUNNING);
    }
    assert_true(fake.live_allocations <= before + 2); /* messages' first slabs */
}

/* ---- Memory of actors ------------------------------------------------------------------------- */

static void test_accounts_of_memory(void **state)
{
    char *p = aisys_alloc(actor(a), 600), *q;

    (void)state;
    assert_non_null(p);
    assert_int_equal(p[599], 0);
    assert_null(aisys_alloc(actor(a), 401));
    assert_null(aisys_alloc(actor(a), SIZE_MAX));
    memset(p, 'x', 600);
    assert_null(aisys_realloc(actor(a), p, 1001));
    assert_null(aisys_realloc(actor(a), p, SIZE_MAX));
    q = aisys_realloc(actor(a), p, 1000);
    assert_non_null(q);
    assert_int_equal(q[599], 'x');
    q = aisys_realloc(actor(a), q, 10);
    assert_int_equal(actor(a)->memory_bytes, 10);
    assert_int_equal(actor(a)->memory_peak_bytes, 1000);
    aisys_free(actor(a), q);
    aisys_free(actor(a), NULL);
    assert_int_equal(actor(a)->memory_bytes, 0);
    assert_non_null(aisys_realloc(actor(a), NULL, 5));
    assert_string_equal(aisys_strdup(actor(a), "word"), "word");
    assert_int_equal(actor(a)->memory_bytes, 10);

    actor(b)->memory_bytes_max = 0; /* no limit: the sizes alone must not overflow */
    p = aisys_alloc(actor(b), 100);
    for (size_t less = 0; less < sizeof(size_t) * 4; less += 8) /* as large as what is in front */
        assert_null(aisys_realloc(actor(b), p, SIZE_MAX - less));
    fake.fail_alloc_after = 0;
    assert_null(aisys_realloc(actor(b), p, 200)); /* the old one stays */
    fake.fail_alloc_after = -1;
    p[99] = 1;
}

#define BOTH(test)                                                                                 \
    cmocka_unit_test_setup_teardown(test, setup_direct, teardown),                                 \
        cmocka_unit_test_setup_teardown(test, setup_socket, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_outcomes_known_at_once),
        BOTH(test_full_by_bytes),
        BOTH(test_ends_have_a_bound_too),
        BOTH(test_a_dropped_question_is_answered),
        BOTH(test_the_least_important_is_dropped_first),
        BOTH(test_questions_of_the_buried_are_answered),
        BOTH(test_an_old_handle_reaches_nobody),
        BOTH(test_forged_answers),
        BOTH(test_envelopes_that_are_none),
        BOTH(test_lost_requests_end_once),
        BOTH(test_cancelling_what_is_being_handled),
        BOTH(test_a_cancelled_job_ends_nowhere),
        BOTH(test_progress_that_has_no_place_is_dropped),
        BOTH(test_misuse_fails_the_actor_alone),
        BOTH(test_accounts_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
