/* The lives of actors: starting and stopping in order, pending, failing in every place, restarts, kills.
 * What each handler did is written into one line, "a+" for a start, "a-" for a stop, "a!" for a message. */
#include "unit.h"

#include "core/core.h"
#include "fake_env.h"
#include <aisys/diag.h>
#include <errno.h>
#include <stdlib.h>

enum how { WELL, PENDING, BADLY, BY_CHECK, GIVING_UP, BY_KILL };
enum { NOTE = 1, WANT_LATER, TO_SELF, ASK_SELF };
enum { ON_READY, ON_STOPPED, ON_BAD, ON_END };

/* What an actor is to do; found by the letter of its name. */
struct script {
    enum how start, stop, receive, end, health;
    uint32_t pending_ms;
};

static struct script scripts[128];
static char done[400];
static aisys_reply kept;
static struct fake_env fake;
static struct aisys_core *core;
static struct aisys_class *class;
static struct aisys_diag diag;
static unsigned gone;

static void wrote(const struct aisys_actor *self, const char *what)
{
    const size_t at = strlen(done);

    snprintf(done + at, sizeof(done) - at, "%s%s%s", at ? " " : "", aisys_name(self), what);
}

static struct script *script(const struct aisys_actor *self)
{
    return &scripts[(unsigned char)aisys_name(self)[0]];
}

static int behave(struct aisys_actor *self, enum how how)
{
    switch (how) {
    case BADLY:
        return -EIO;
    case BY_CHECK:
        aisys_check_failed_in_actor("the moon is full", "moon.c", 7);
    case GIVING_UP:
        aisys_give_up(self, -EPIPE, "no more");
        return 0;
    case BY_KILL:
        aisys_core_kill(core, aisys_self(self));
        assert_non_null(aisys_state(self)); /* it is there until the handler returns */
        assert_int_equal(aisys_send(self, aisys_self(self), NOTE, AISYS_NO_BYTES), 0);
        return 0;
    default:
        return 0;
    }
}

static int on_start(struct aisys_actor *self, const void *config)
{
    const struct script *s = script(self);
    const struct aisys_then ready = { .continuation = ON_READY }, bad = { .continuation = ON_BAD };

    (void)config;
    wrote(self, "+");
    assert_int_equal(*(char *)aisys_state(self), 0);
    *(char *)aisys_state(self) = 1;
    if (s->start == PENDING) {
        assert_int_equal(aisys_after(self, s->pending_ms, s->end == WELL ? ready : bad), 0);
        return AISYS_PENDING;
    }
    return behave(self, s->start);
}

static int on_stop(struct aisys_actor *self, enum aisys_stop why)
{
    const struct script *s = script(self);
    const struct aisys_then stopped = { .continuation = ON_STOPPED };

    wrote(self, why == AISYS_STOP_DRAIN ? "-" : "~");
    if (s->stop == PENDING) {
        assert_int_equal(aisys_after(self, s->pending_ms, stopped), 0);
        return AISYS_PENDING;
    }
    return behave(self, s->stop);
}

static int on_receive(struct aisys_actor *self, const struct aisys_msg *msg)
{
    const struct aisys_then then = { .continuation = ON_END, .deadline_ms = 100 };

    wrote(self, "!");
    if (msg->type == WANT_LATER) {
        kept = msg->reply;
        return 0;
    }
    if (msg->type == TO_SELF)
        return aisys_send(self, aisys_self(self), NOTE, AISYS_NO_BYTES);
    if (msg->type == ASK_SELF)
        return aisys_ask(self, aisys_self(self), NOTE, AISYS_NO_BYTES, then);
    if (msg->reply && script(self)->receive == WELL)
        aisys_answer_bytes(self, msg->reply, AISYS_NO_BYTES);
    return behave(self, script(self)->receive);
}

static int on_ready(struct aisys_actor *self, const struct aisys_end *end)
{
    (void)end;
    wrote(self, "r");
    aisys_ready(self);
    return 0;
}

static int on_stopped(struct aisys_actor *self, const struct aisys_end *end)
{
    (void)end;
    wrote(self, "s");
    aisys_stopped(self);
    return 0;
}

static int on_bad(struct aisys_actor *self, const struct aisys_end *end)
{
    (void)end;
    return behave(self, script(self)->end);
}

static int on_end(struct aisys_actor *self, const struct aisys_end *end)
{
    wrote(self, end->code == AISYS_OK ? "=ok" : end->code == AISYS_UNAVAILABLE ? "=away" : "=bad");
    return behave(self, script(self)->end);
}

static void on_health(const struct aisys_actor *self, struct aisys_health *ret_health)
{
    if (script(self)->health == BY_CHECK)
        aisys_check_failed_in_actor("the moon is full", "moon.c", 8);
    if (script(self)->health == BADLY) {
        ret_health->status = AISYS_DEGRADED;
        memcpy(ret_health->why, "half \xff", 7);
    }
}

static const struct aisys_continuation continuations[] = {
    [ON_READY] = { "on_ready", on_ready, NULL },
    [ON_STOPPED] = { "on_stopped", on_stopped, NULL },
    [ON_BAD] = { "on_bad", on_bad, NULL },
    [ON_END] = { "on_end", on_end, NULL },
    { 0 },
};

static const struct aisys_actor_ops ops = {
    .abi = AISYS_ABI,
    .name = "scripted",
    .continuations = continuations,
    .state_bytes = 8,
    .start = on_start,
    .stop = on_stop,
    .receive = on_receive,
    .health = on_health,
};

/* ---- The stage -------------------------------------------------------------------------------- */

static void count_gone(void *ctx, struct aisys_actor *actor)
{
    (void)ctx;
    (void)actor;
    gone++;
}

static void open_core(uint32_t restart_delay_ms)
{
    const struct aisys_core_options options = { .node = 1, .restart_delay_ms = restart_delay_ms };

    memset(scripts, 0, sizeof(scripts));
    done[0] = '\0';
    gone = 0;
    fake_env_init(&fake);
    fake.env.actor_gone = count_gone;
    aisys_diag_init(&diag);
    assert_int_equal(aisys_core_new(&fake.env, &options, &core), 0);
    fake.core = core;
    assert_int_equal(aisys_core_class_add(core, &ops, &diag, &class), 0);
}

static int setup(void **state)
{
    (void)state;
    open_core(0);
    return 0;
}

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
    aisys_core_each(core, check_accounts, NULL);
    aisys_core_free(core);
    fake_env_deinit(&fake);
    return 0;
}

/* Add actor @name that depends on each letter of @depends. */
static struct aisys_id add(const char *name, const char *depends)
{
    char letters[8][2] = { { 0 } };
    const char *list[9] = { 0 };
    struct aisys_id id;

    for (unsigned i = 0; depends[i]; i++) {
        letters[i][0] = depends[i];
        list[i] = letters[i];
    }
    assert_int_equal(aisys_core_spawn(core, class,
                         &(struct aisys_actor_options){ .name = name, .depends = list }, &id),
        0);
    return id;
}

static void start_all(void)
{
    assert_int_equal(aisys_core_start(core, &diag), 0);
    fake_env_settle(&fake);
}

static struct aisys_actor *actor(const char *name)
{
    struct aisys_actor *found = aisys_core_actor(core, aisys_core_lookup(core, name));

    assert_non_null(found);
    return found;
}

static void send_to(const char *name, uint32_t type)
{
    assert_int_equal(
        aisys_send(actor(name), aisys_core_lookup(core, name), type, AISYS_NO_BYTES), 0);
}

static const char *state_of(const char *name)
{
    struct aisys_actor_info info;

    assert_true(aisys_core_info(core, aisys_core_lookup(core, name), &info));
    return info.state;
}

static const char *failure_of(const char *name)
{
    struct aisys_actor_info info;

    assert_true(aisys_core_info(core, aisys_core_lookup(core, name), &info));
    return info.last_failure;
}

/* ---- Order ------------------------------------------------------------------------------------ */

static void test_start_and_stop_follow_the_dependencies(void **state)
{
    (void)state;
    scripts['b'] = (struct script){ .start = PENDING, .stop = PENDING, .pending_ms = 10 };
    add("d", "c");
    add("c", "ab");
    add("b", "a");
    add("a", "");
    start_all();
    assert_string_equal(done, "a+ b+");
    assert_int_equal(aisys_core_state(core), AISYS_CORE_STARTING);
    fake_env_pass(&fake, 10);
    assert_string_equal(done, "a+ b+ br c+ d+");
    assert_int_equal(aisys_core_state(core), AISYS_CORE_READY);

    done[0] = '\0';
    aisys_core_stop(core);
    fake_env_settle(&fake);
    assert_string_equal(done, "d- c- b-");
    assert_int_equal(aisys_core_restart(core, "a"), -EAGAIN);
    fake_env_pass(&fake, 10);
    assert_string_equal(done, "d- c- b- bs a-");
    assert_int_equal(aisys_core_state(core), AISYS_CORE_STOPPED);
    assert_int_equal(gone, 4); /* once each */
}

static void test_faults_of_the_order_are_all_said(void **state)
{
    bool cycle = false, self = false, unknown = false;

    (void)state;
    add("x", "a"); /* leads into the cycle, is no part of it */
    add("a", "b");
    add("b", "c");
    add("c", "a");
    add("s", "s");
    add("u", "?");
    assert_int_equal(aisys_core_start(core, &diag), -EINVAL);
    assert_int_equal(diag.kept, 3);
    for (unsigned i = 0; i < diag.kept; i++) {
        cycle |= strcmp(diag.entries[i].problem, "cycle: a -> b -> c -> a") == 0;
        self |= strcmp(diag.entries[i].problem, "cycle: s -> s") == 0;
        unknown |= strcmp(diag.entries[i].problem, "depends on ?, which does not exist") == 0;
    }
    assert_true(cycle);
    assert_true(self);
    assert_true(unknown);
}

/* As deep as anyone likes: the search has no stack to overflow. */
static void test_a_long_chain(void **state)
{
    enum { LINKS = 20000 };

    (void)state;
    scripts['n'].start = WELL;
    for (unsigned i = 0; i < LINKS; i++) {
        char name[16], before[16];
        const char *depends[] = { before, NULL };
        struct aisys_id id;

        snprintf(name, sizeof(name), "n%u", i);
        snprintf(before, sizeof(before), "n%u", i + 1);
        assert_int_equal(aisys_core_spawn(core, class,
                             &(struct aisys_actor_options){
                                 .name = name, .depends = i + 1 < LINKS ? depends : NULL },
                             &id),
            0);
    }
    assert_int_equal(aisys_core_start(core, &diag), 0);
}

static void test_who_depends_on_one_that_is_down_waits(void **state)
{
    struct aisys_health health;

    (void)state;
    scripts['a'].start = BADLY;
    add("a", "");
    add("b", "a");
    start_all();
    assert_string_equal(done, "a+ a+ a+ a+"); /* and three times again */
    assert_int_equal(aisys_core_state(core), AISYS_CORE_READY);
    assert_string_equal(state_of("a"), "down");
    assert_string_equal(state_of("b"), "waiting");
    assert_int_equal(aisys_core_down(core), 2);
    aisys_core_health(core, aisys_core_lookup(core, "b"), &health);
    assert_int_equal(health.status, AISYS_UNHEALTHY);

    scripts['a'].start = WELL;
    assert_int_equal(aisys_core_restart(core, "a"), 0);
    fake_env_settle(&fake);
    assert_string_equal(done, "a+ a+ a+ a+ a+ b+");
    assert_int_equal(aisys_core_down(core), 0);
}

static void test_one_added_later_starts_too(void **state)
{
    (void)state;
    add("a", "");
    start_all();
    add("b", "a");
    fake_env_settle(&fake);
    assert_string_equal(done, "a+ b+");
}

static void test_restarting_a_dependency_leaves_the_others(void **state)
{
    (void)state;
    add("a", "");
    add("b", "a");
    start_all();
    assert_int_equal(aisys_core_restart(core, "a"), 0);
    assert_int_equal(aisys_core_restart(core, "a"), -EAGAIN);
    fake_env_settle(&fake);
    assert_string_equal(done, "a+ b+ a~ a+");
    assert_int_equal(aisys_core_restart(core, "nobody"), -ENOENT);
}

static void test_stopping_overtakes_a_restart(void **state)
{
    (void)state;
    scripts['a'] = (struct script){ .stop = PENDING, .pending_ms = 5 };
    add("a", "");
    start_all();
    assert_int_equal(aisys_core_restart(core, "a"), 0);
    fake_env_settle(&fake);
    aisys_core_stop(core);
    fake_env_pass(&fake, 10);
    assert_string_equal(done, "a+ a~ as"); /* and not started again */
    assert_int_equal(aisys_core_state(core), AISYS_CORE_STOPPED);
}

/* ---- Pending ---------------------------------------------------------------------------------- */

static void test_while_it_starts_messages_wait_and_ends_come(void **state)
{
    (void)state;
    scripts['a'] = (struct script){ .start = PENDING, .pending_ms = 10 };
    add("a", "");
    start_all();
    send_to("a", NOTE);
    fake_env_pass(&fake, 9);
    assert_string_equal(done, "a+");
    fake_env_pass(&fake, 1);
    assert_string_equal(done, "a+ ar a!");
}

static void test_stop_answers_and_drains_first(void **state)
{
    const struct aisys_then then = { .continuation = ON_END, .deadline_ms = 1000 };

    (void)state;
    add("a", "");
    add("b", "a");
    start_all();
    send_to("a", NOTE);
    assert_int_equal(
        aisys_ask(actor("b"), aisys_core_lookup(core, "a"), WANT_LATER, AISYS_NO_BYTES, then), 0);
    aisys_core_stop(core);
    fake_env_settle(&fake);
    assert_string_equal(done, "a+ b+ a! a! b-");
    assert_string_equal(state_of("a"), "draining"); /* it owes an answer */
    assert_int_equal(aisys_send(actor("a"), aisys_core_lookup(core, "a"), NOTE, AISYS_NO_BYTES),
        AISYS_SEND_GONE);
}

static void ignore_report(void *ctx, const char *name, const char *words)
{
    (void)ctx;
    (void)name;
    (void)words;
}

static void test_what_runs_when_time_is_over_is_torn_down_once(void **state)
{
    (void)state;
    /* b owes a an answer; both lie in the run queue when the end comes */
    add("b", "");
    add("a", "");
    start_all();
    assert_int_equal(aisys_ask(actor("a"), aisys_core_lookup(core, "b"), WANT_LATER, AISYS_NO_BYTES,
                         (struct aisys_then){ .continuation = ON_END }),
        0);
    fake_env_settle(&fake);
    send_to("b", NOTE);
    aisys_core_stop_now(core, ignore_report, NULL);
    fake_env_settle(&fake);
    assert_int_equal(gone, 2);
}

/* ---- Failing ---------------------------------------------------------------------------------- */

/* Wherever it goes wrong: once more, the reason kept; during a stop it has stopped. */
static void test_failing_anywhere(void **state)
{
    static const struct {
        struct script script;
        uint32_t type;
        const char *done, *failure;
    } rows[] = {
        { { .receive = BADLY }, NOTE, "a+ a! a+", "Input/output error" },
        { { .receive = BY_CHECK }, NOTE, "a+ a! a+", "check failed: the moon is full (moon.c:7)" },
        { { .receive = GIVING_UP }, NOTE, "a+ a! a+", "no more" },
        { { .end = BADLY }, ASK_SELF, "a+ a! a! a=ok a+", "Input/output error" },
        { { .end = BY_CHECK }, ASK_SELF, "a+ a! a! a=ok a+",
            "check failed: the moon is full (moon.c:7)" },
        { { .end = GIVING_UP }, ASK_SELF, "a+ a! a! a=ok a+", "no more" },
        /* the answer that it owed itself comes to the next instance, which never asked */
        { { .receive = BADLY }, ASK_SELF, "a+ a! a! a+", "Input/output error" },
        { { .receive = WELL }, TO_SELF, "a+ a! a!", "" },
    };

    (void)state;
    for (unsigned i = 0; i < ROWS(rows); i++) {
        open_core(0);
        scripts['a'] = rows[i].script;
        add("a", "");
        start_all();
        send_to("a", rows[i].type);
        fake_env_pass(&fake, 200);
        assert_string_equal(done, rows[i].done);
        assert_string_equal(failure_of("a"), rows[i].failure);
        assert_string_equal(state_of("a"), "running");
        teardown(NULL);
    }
}

static void test_failing_in_start(void **state)
{
    static const struct {
        struct script script;
        const char *failure;
    } rows[] = {
        { { .start = BADLY }, "Input/output error" },
        { { .start = BY_CHECK }, "check failed: the moon is full (moon.c:7)" },
        { { .start = GIVING_UP }, "no more" },
        { { .start = PENDING, .pending_ms = 1, .end = BADLY }, "Input/output error" },
        { { .start = PENDING, .pending_ms = 1, .end = BY_CHECK },
            "check failed: the moon is full (moon.c:7)" },
    };

    (void)state;
    for (unsigned i = 0; i < ROWS(rows); i++) {
        open_core(0);
        scripts['a'] = rows[i].script;
        add("a", "");
        start_all();
        fake_env_pass(&fake, 20);
        assert_string_equal(done, "a+ a+ a+ a+");
        assert_string_equal(state_of("a"), "down");
        assert_string_equal(failure_of("a"), rows[i].failure);
        assert_int_equal(gone, 4);
        teardown(NULL);
    }
}

static void test_failing_in_stop_is_stopping(void **state)
{
    static const enum how ways[] = { BADLY, BY_CHECK, GIVING_UP };

    (void)state;
    for (unsigned i = 0; i < ROWS(ways); i++) {
        open_core(0);
        scripts['a'].stop = ways[i];
        add("a", "");
        start_all();
        aisys_core_stop(core);
        fake_env_pass(&fake, 5);
        assert_string_equal(done, "a+ a-");
        assert_int_equal(aisys_core_state(core), AISYS_CORE_STOPPED);
        assert_int_equal(gone, 1);
        teardown(NULL);
    }
}

static void test_a_restart_waits_its_delay(void **state)
{
    (void)state;
    open_core(50);
    add("a", "");
    start_all();
    scripts['a'].receive = BADLY;
    send_to("a", NOTE);
    fake_env_settle(&fake);
    fake_env_pass(&fake, 49);
    assert_string_equal(done, "a+ a!");
    assert_string_equal(state_of("a"), "failed");
    assert_int_equal(aisys_core_restart(core, "a"), -EAGAIN);
    scripts['a'].receive = WELL;
    send_to("a", NOTE); /* waits */
    fake_env_pass(&fake, 1);
    assert_string_equal(done, "a+ a! a+ a!");

    scripts['a'].receive = BADLY;
    send_to("a", NOTE);
    fake_env_pass(&fake, 10);
    aisys_core_stop(core); /* nothing starts after that */
    fake_env_pass(&fake, 100);
    assert_string_equal(done, "a+ a! a+ a! a!");
    assert_int_equal(aisys_core_state(core), AISYS_CORE_STOPPED);
    teardown(NULL);
}

static void test_killing_itself(void **state)
{
    static const struct {
        struct script script;
        uint32_t type;
        const char *done;
    } rows[] = {
        { { .start = BY_KILL }, 0, "a+" },
        { { .receive = BY_KILL }, NOTE, "a+ a!" },
        { { .end = BY_KILL }, ASK_SELF, "a+ a! a! a=ok" },
    };

    (void)state;
    for (unsigned i = 0; i < ROWS(rows); i++) {
        open_core(0);
        scripts['a'] = rows[i].script;
        add("a", "");
        start_all();
        if (rows[i].type)
            send_to("a", rows[i].type);
        fake_env_pass(&fake, 5);
        assert_string_equal(done, rows[i].done);
        assert_true(aisys_id_is_none(aisys_core_lookup(core, "a")));
        assert_int_equal(gone, 1);
        add("a", ""); /* the slot is free, once */
        add("b", "");
        assert_false(aisys_core_lookup(core, "a").slot == aisys_core_lookup(core, "b").slot);
        teardown(NULL);
    }
}

/* Who asked one that kills itself with the question in its hand hears of it. */
static void test_killed_with_a_question_in_hand(void **state)
{
    (void)state;
    add("a", "");
    add("b", "");
    start_all();
    scripts['b'].receive = BY_KILL;
    assert_int_equal(aisys_ask(actor("a"), aisys_core_lookup(core, "b"), NOTE, AISYS_NO_BYTES,
                         (struct aisys_then){ .continuation = ON_END }),
        0);
    fake_env_settle(&fake);
    assert_string_equal(done, "a+ b+ b! a=away");
}

static void test_an_anonymous_one_is_gone_when_it_fails(void **state)
{
    struct aisys_id id;
    struct aisys_core_info info;

    (void)state;
    add("a", "");
    start_all();
    assert_int_equal(aisys_core_spawn(core, class, &(struct aisys_actor_options){ 0 }, &id), 0);
    fake_env_settle(&fake);
    scripts[0].receive = BY_CHECK;
    assert_int_equal(aisys_send(actor("a"), id, NOTE, AISYS_NO_BYTES), 0);
    fake_env_settle(&fake);
    assert_null(aisys_core_actor(core, id));
    aisys_core_stats(core, &info);
    assert_int_equal(info.actors, 1);
    assert_string_equal(done, "a+ + !");
}

/* ---- Health ----------------------------------------------------------------------------------- */

static void test_health_is_the_actors_own(void **state)
{
    struct aisys_health health;

    (void)state;
    add("a", "");
    start_all();
    scripts['a'].health = BADLY;
    aisys_core_health(core, aisys_core_lookup(core, "a"), &health);
    assert_int_equal(health.status, AISYS_DEGRADED);
    assert_string_equal(health.why, "half ?");
    scripts['a'].health = BY_CHECK; /* whoever asks is not harmed */
    aisys_core_health(core, aisys_core_lookup(core, "a"), &health);
    assert_int_equal(health.status, AISYS_UNHEALTHY);
    assert_string_equal(health.why, "check failed: the moon is full (moon.c:8)");
    aisys_core_health(core, (struct aisys_id){ 0 }, &health);
    assert_string_equal(health.why, "no such actor");
}

static void test_names_are_taken_once(void **state)
{
    struct aisys_id id;
    const struct aisys_actor_options rows[] = {
        { .name = "a" },
        { .name = "b", .alias = "a" },
        { .name = "b", .alias = "b" },
        { .name = "other" },
    };

    (void)state;
    assert_int_equal(aisys_core_spawn(core, class,
                         &(struct aisys_actor_options){ .name = "a", .alias = "other" }, &id),
        0);
    for (unsigned i = 0; i < ROWS(rows); i++)
        assert_int_equal(aisys_core_spawn(core, class, &rows[i], &id), -EEXIST);
    assert_true(aisys_id_is_none(aisys_core_lookup(core, "b")));
    assert_int_equal(aisys_core_lookup(core, "other").slot, aisys_core_lookup(core, "a").slot);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_start_and_stop_follow_the_dependencies),
        CASE(test_faults_of_the_order_are_all_said),
        CASE(test_a_long_chain),
        CASE(test_who_depends_on_one_that_is_down_waits),
        CASE(test_one_added_later_starts_too),
        CASE(test_restarting_a_dependency_leaves_the_others),
        CASE(test_stopping_overtakes_a_restart),
        CASE(test_while_it_starts_messages_wait_and_ends_come),
        CASE(test_stop_answers_and_drains_first),
        CASE(test_what_runs_when_time_is_over_is_torn_down_once),
        cmocka_unit_test(test_failing_anywhere),
        cmocka_unit_test(test_failing_in_start),
        cmocka_unit_test(test_failing_in_stop_is_stopping),
        cmocka_unit_test(test_a_restart_waits_its_delay),
        cmocka_unit_test(test_killing_itself),
        CASE(test_killed_with_a_question_in_hand),
        CASE(test_an_anonymous_one_is_gone_when_it_fails),
        CASE(test_health_is_the_actors_own),
        CASE(test_names_are_taken_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
