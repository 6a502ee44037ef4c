/* Open work: generations that go round, jobs in their lanes, ends of services. */
#include "unit.h"

#include "core/internal.h"
#include "fake_env.h"
#include <errno.h>
#include <stdlib.h>

enum { ON_END };

static struct fake_env fake;
static struct aisys_core *core;
static struct aisys_id a;
static unsigned ends, more, live;
static int codes[32];
static size_t sizes[32];
static char words[200];

static int on_end(struct aisys_actor *self, const struct aisys_end *end)
{
    (void)self;
    more += end->more;
    sizes[ends % 32] = end->bytes;
    codes[ends++ % 32] = end->code;
    snprintf(words, sizeof(words), "%s", end->words);
    return 0;
}

static const struct aisys_continuation continuations[] = { [ON_END] = { "on_end", on_end, NULL },
    { 0 } };
static const struct aisys_actor_ops ops = {
    .abi = AISYS_ABI, .name = "probe", .continuations = continuations
};
static const struct aisys_then then = { .continuation = ON_END, .deadline_ms = 1000 };

static int setup(void **state)
{
    static const struct aisys_core_options options = { .node = 1,
        .lanes = { { .running = 2, .queued = 3 }, { .running = 1, .queued = 1 } } };
    static struct aisys_diag diag;
    struct aisys_class *class;

    (void)state;
    ends = more = live = 0;
    fake_env_init(&fake);
    assert_int_equal(aisys_core_new(&fake.env, &options, &core), 0);
    fake.core = core;
    aisys_diag_init(&diag);
    assert_int_equal(aisys_core_class_add(core, &ops, &diag, &class), 0);
    assert_int_equal(
        aisys_core_spawn(core, class, &(struct aisys_actor_options){ .name = "a" }, &a), 0);
    assert_int_equal(aisys_core_start(core, &diag), 0);
    fake_env_settle(&fake);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    while (fake.jobs_nr)
        fake_env_run_job(&fake);
    aisys_core_free(core);
    fake_env_deinit(&fake);
    assert_int_equal(live, 0);
    return 0;
}

static struct aisys_actor *self(void)
{
    return aisys_core_actor(core, a);
}

static void live_free(void *p)
{
    live--;
    free(p);
}

static void *live_new(void)
{
    live++;
    return malloc(1);
}

/* ---- Generations ------------------------------------------------------------------------------ */

static void test_generations_go_round(void **state)
{
    uint64_t old = 0;
    struct op *op;

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(aisys_op_begin(self(), OP_TIMER, then, &op), 0);
        assert_true(aisys_op_id(op) != 0); /* never "no answer wanted" */
        assert_true(aisys_op_id(op) < UINT64_C(1) << 48);
        assert_ptr_equal(aisys_op_find(core, aisys_op_id(op)), op);
        if (old)
            assert_null(aisys_op_find(core, old));
        old = aisys_op_id(op);
        aisys_op_free(core, op);
        assert_null(aisys_op_find(core, old));
        if (i == 1)
            op->generation = (1u << OP_INDEX_BITS) - 2; /* two before the first one again */
    }
}

/* ---- Services --------------------------------------------------------------------------------- */

static void test_a_service_ends_once(void **state)
{
    uint64_t op, deadline_ms;

    (void)state;
    assert_int_equal(aisys_core_op_begin(self(), then, &op, &deadline_ms), 0);
    assert_int_equal(deadline_ms, fake.now_ms + 1000);
    aisys_core_op_end(core, op, AISYS_OK, NULL, live_new(), live_free);
    aisys_core_op_end(core, op, AISYS_OK, NULL, live_new(), live_free); /* released at once */
    aisys_core_op_abandon(core, op);                                    /* too late for that */
    assert_int_equal(live, 1);
    fake_env_settle(&fake);
    assert_int_equal(ends, 1);
    assert_int_equal(live, 0);

    assert_int_equal(aisys_core_op_begin(self(), then, &op, &deadline_ms), 0);
    aisys_core_op_abandon(core, op);
    aisys_core_op_end(core, op, AISYS_UNAVAILABLE, "late", live_new(), live_free);
    fake_env_pass(&fake, 2000);
    assert_int_equal(ends, 1);

    assert_int_equal(aisys_core_op_begin(self(), then, &op, &deadline_ms), 0);
    aisys_core_op_end(core, op, AISYS_UNAVAILABLE, "the disk is away", NULL, NULL);
    fake_env_settle(&fake);
    assert_int_equal(codes[1], AISYS_UNAVAILABLE);
    assert_string_equal(words, "the disk is away");
    /* one whose actor goes before */
    assert_int_equal(aisys_core_op_begin(self(), then, &op, &deadline_ms), 0);
    aisys_core_op_end(core, op, AISYS_OK, NULL, live_new(), live_free);
    aisys_core_kill(core, a);
    assert_int_equal(live, 0);
}

/* ---- Jobs ------------------------------------------------------------------------------------- */

static struct aisys_job_input input(void)
{
    return (struct aisys_job_input){ live_new(), live_free };
}

static void run_well(struct aisys_job *job)
{
    aisys_job_result(job, live_new(), live_free);
}

static void run_steps(struct aisys_job *job)
{
    static const char steps[3000];

    assert_false(aisys_job_stopped(job));
    for (size_t i = 1; i <= 3; i++)
        assert_int_equal(aisys_job_progress(job, AISYS_BYTES(steps, i * 1000)), 0);
    aisys_job_fail(job, AISYS_DATA_LOSS, "%0250d", 7);
}

static void run_to_the_end_of_time(struct aisys_job *job)
{
    assert_true(aisys_job_stopped(job));
    assert_int_equal(aisys_job_remaining_ms(job), 0);
    run_well(job);
}

static void job(unsigned lane, aisys_run_fn run, int expected)
{
    const struct aisys_job_input in = input();

    assert_int_equal(aisys_job(self(), (enum aisys_lane)lane, run, in, then), expected);
    if (expected)
        in.free(in.data);
}

static void test_lanes_are_bounded_and_apart(void **state)
{
    struct aisys_core_info info;

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        job(0, run_well, 0);
    job(0, run_well, AISYS_SEND_FULL);
    job(1, run_well, 0); /* another lane is not concerned */
    job(1, run_well, 0);
    job(1, run_well, AISYS_SEND_FULL);
    aisys_core_stats(core, &info);
    assert_int_equal(info.lanes[0].running, 2);
    assert_int_equal(info.lanes[0].queued, 3);
    assert_int_equal(info.lanes[0].refused, 1);
    assert_int_equal(fake.jobs_nr, 3);
    while (fake.jobs_nr)
        fake_env_run_job(&fake);
    fake_env_settle(&fake);
    aisys_core_stats(core, &info);
    assert_int_equal(ends, 7);
    assert_int_equal(info.lanes[0].done, 5);
    assert_int_equal(info.lanes[1].done, 2);
    assert_int_equal(info.lanes[0].running, 0);
}

static void test_progress_comes_in_order_before_the_end(void **state)
{
    (void)state;
    job(0, run_steps, 0);
    fake_env_run_job(&fake);
    fake_env_settle(&fake);
    assert_int_equal(ends, 4);
    assert_int_equal(more, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(sizes[i], (i + 1) * 1000);
    assert_int_equal(codes[3], AISYS_DATA_LOSS);
    assert_int_equal(strlen(words), 199); /* what a job says is cut */
}

static void test_a_job_sees_its_deadline(void **state)
{
    (void)state;
    job(0, run_to_the_end_of_time, 0);
    fake.now_ms += 1000;
    fake_env_settle(&fake);
    assert_int_equal(codes[0], AISYS_DEADLINE_EXCEEDED);
    fake_env_run_job(&fake);
    fake_env_settle(&fake);
    assert_int_equal(ends, 1);
    assert_int_equal(live, 0);
}

/* The pool refuses: each one that waits ends too, none hangs. */
static void test_a_pool_that_refuses_empties_the_lane(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++)
        job(0, run_well, 0);
    fake.job_start_error = -EAGAIN;
    fake_env_run_job(&fake);
    fake_env_run_job(&fake);
    fake_env_settle(&fake);
    assert_int_equal(ends, 5);
    for (unsigned i = 0; i < ends; i++) /* the first two ran, and the first made room for three */
        assert_int_equal(codes[i], i == 0 || i == 4 ? AISYS_OK : AISYS_UNAVAILABLE);
    assert_int_equal(live, 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_generations_go_round),
        CASE(test_a_service_ends_once),
        CASE(test_lanes_are_bounded_and_apart),
        CASE(test_progress_comes_in_order_before_the_end),
        CASE(test_a_job_sees_its_deadline),
        CASE(test_a_pool_that_refuses_empties_the_lane),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
