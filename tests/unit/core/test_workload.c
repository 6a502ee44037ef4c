/* The invariants of the core under everything at once: actors that send, ask, answer late, twice or never,
 * set timers, run jobs, cancel, fail, kill, spawn and run out of memory, as a seed says. After every turn
 * all that the core counts is counted again.
 *
 *     test_core_workload              200 seeds
 *     AISYS_SEEDS=20000 AISYS_SEED=1 test_core_workload */
#include "unit.h"

#include "core/internal.h"
#include "fake_env.h"
#include <errno.h>
#include <stdlib.h>

enum { ON_END, ON_READY, ON_STOPPED };

#define PEOPLE_MAX  128
#define NAMED       6
#define RECORDS_MAX 16384
#define KEPT_MAX    8
#define STEPS       1000
#define LETTERS_MAX 4096

/* ---- What the test knows ---------------------------------------------------------------------- */

/* An actor from its spawn to its end, restarts included. */
struct person {
    struct aisys_id id;
    uint32_t instance;                        /* changes at each start() */
    uint64_t sent[PEOPLE_MAX][PRIORITIES];    /* last number sent, by receiver */
    uint64_t arrived[PEOPLE_MAX][PRIORITIES]; /* last number that came, by sender */
};

/* Something begun: it ends once, unless it is cancelled or its instance ends before. */
struct record {
    uint32_t instance;
    unsigned ends;
    bool cancelled;
};

/* A letter on its way through the node's own link. */
struct letter {
    struct aisys_envelope envelope;
    void *payload;
};

struct worker {
    uint32_t person;
    unsigned kept_nr;
    aisys_reply kept[KEPT_MAX];
    void *block;
};

struct note {
    uint32_t from, padding;
    uint64_t number;
};

static struct {
    struct fake_env fake;
    struct aisys_core *core;
    struct aisys_class *class;
    struct person people[PEOPLE_MAX];
    unsigned people_nr;
    struct record records[RECORDS_MAX];
    unsigned records_nr;
    struct letter letters[LETTERS_MAX];
    unsigned letters_first, letters_nr;
    uint32_t instances;
    int live_objects;
    uint64_t random, hash;
    bool quiet; /* nothing new is begun */
} w;

static uint32_t any(uint32_t below)
{
    w.random ^= w.random << 13;
    w.random ^= w.random >> 7;
    w.random ^= w.random << 17;
    return (uint32_t)(w.random >> 20) % below;
}

static bool one_in(uint32_t n)
{
    return any(n) == 0;
}

static void happened(uint64_t what, uint64_t a, uint64_t b)
{
    const uint64_t values[] = { what, a, b, w.fake.now_ms };

    for (unsigned i = 0; i < ROWS(values); i++)
        w.hash = (w.hash ^ values[i]) * UINT64_C(1099511628211);
}

/* ---- What actors do --------------------------------------------------------------------------- */

static uint32_t record_new(uint32_t instance)
{
    assert_true(w.records_nr < RECORDS_MAX);
    w.records[w.records_nr] = (struct record){ .instance = instance };
    return w.records_nr++;
}

static struct aisys_then then_any(const struct person *person, uint32_t *ret_record)
{
    *ret_record = record_new(person->instance);
    return (struct aisys_then){ .continuation = ON_END,
        .token = *ret_record,
        .deadline_ms = one_in(8) ? 0 : 1 + any(300),
        .priority = (uint8_t)any(PRIORITIES) };
}

/* One who lives, mostly. */
static uint32_t somebody(void)
{
    uint32_t i = 0;

    for (unsigned tries = 0; tries < 6; tries++) {
        i = any(w.people_nr);
        if (aisys_core_actor(w.core, w.people[i].id))
            break;
    }
    return i;
}

/* Tell or ask somebody, with the next number of this pair and priority. */
static void act_send(struct aisys_actor *self, struct person *me)
{
    static unsigned char payload[9000];
    const uint32_t to = somebody();
    const uint32_t record_before = w.records_nr;
    uint32_t record;
    struct aisys_then then = then_any(me, &record);
    uint64_t *sent = &me->sent[to][then.priority];
    struct note note = { .from = (uint32_t)(me - w.people), .number = *sent + 1 };
    const size_t bytes = sizeof(note) + (one_in(6) ? any(8000) : any(60));
    int r;

    memcpy(payload, &note, sizeof(note));
    switch (any(4)) {
    case 0:
        r = aisys_send_at(self, w.people[to].id, 1, AISYS_BYTES(payload, bytes),
            (enum aisys_priority)then.priority);
        w.records_nr = record_before;
        break;
    case 1:
        r = aisys_call_packed(self, w.people[to].id, "Nothing", AISYS_BYTES(payload, bytes), then);
        note.number = *sent; /* its receiver has no handler that would see it */
        break;
    default:
        r = aisys_ask(self, w.people[to].id, 2, AISYS_BYTES(payload, bytes), then);
        break;
    }
    happened(1, to, (uint64_t)r);
    if (r == 0)
        *sent = note.number;
    else
        w.records_nr = record_before;
}

static void object_free(void *p)
{
    w.live_objects--;
    free(p);
}

static void *object_new(void)
{
    void *p = malloc(8);

    assert_non_null(p);
    w.live_objects++;
    return p;
}

static void run_job(struct aisys_job *job)
{
    static const char progress[300];

    for (unsigned n = any(4); n > 0; n--)
        aisys_job_progress(job, AISYS_BYTES(progress, any(sizeof(progress))));
    if (one_in(4))
        aisys_job_fail(job, AISYS_ABORTED, "chance");
    if (one_in(2))
        aisys_job_result(job, object_new(), object_free);
}

static void act_begin(struct aisys_actor *self, const struct person *me)
{
    const uint32_t record_before = w.records_nr;
    uint32_t record;
    const struct aisys_then then = then_any(me, &record);
    struct aisys_job_input input;
    int r;

    if (one_in(2)) {
        r = aisys_after(self, any(400), then);
    } else {
        input = (struct aisys_job_input){ object_new(), object_free };
        r = aisys_job(self, (enum aisys_lane)any(AISYS_LANE_NR), run_job, input, then);
        if (r != 0)
            object_free(input.data);
    }
    happened(2, record, (uint64_t)r);
    if (r != 0)
        w.records_nr = record_before;
}

static void act_cancel(struct aisys_actor *self, const struct person *me)
{
    for (unsigned tries = 0; tries < 4 && w.records_nr; tries++) {
        const uint32_t i = any(w.records_nr);
        struct record *record = &w.records[i];

        if (record->instance == me->instance && aisys_cancel(self, ON_END, i)) {
            assert_false(record->cancelled);
            record->cancelled = true;
            happened(3, i, record->ends);
            return;
        }
    }
}

static void act_answer(struct aisys_actor *self, struct worker *worker)
{
    aisys_reply reply;
    int r;

    if (!worker->kept_nr)
        return;
    reply = worker->kept[--worker->kept_nr];
    r = one_in(3) ? aisys_fail(self, reply, AISYS_NOT_FOUND, "chance")
                  : aisys_answer_bytes(self, reply, AISYS_BYTES("later", 5));
    happened(4, 0, (uint64_t)r);
    assert_int_equal(aisys_answer_bytes(self, reply, AISYS_NO_BYTES), AISYS_SEND_GONE);
}

static void act_memory(struct aisys_actor *self, struct worker *worker)
{
    void *p = aisys_realloc(self, worker->block, any(2000));

    if (p)
        worker->block = p;
    if (one_in(3)) {
        aisys_free(self, worker->block);
        worker->block = NULL;
    }
}

static void spawn(const char *name, const char *depends)
{
    const char *const list[] = { depends, NULL };
    const struct aisys_actor_options options = {
        .name = name,
        .depends = depends ? list : NULL,
        .mailbox_messages = 4 + any(12),
        .mailbox_bytes = 10000 + any(20000),
        .policy = one_in(3) ? AISYS_MAILBOX_DROP_OLDEST : AISYS_MAILBOX_REFUSE,
        .memory_bytes_max = one_in(2) ? 1500 : 0,
    };
    struct person *person = &w.people[w.people_nr];

    if (w.people_nr == PEOPLE_MAX)
        return;
    memset(person, 0, sizeof(*person));
    if (aisys_core_spawn(w.core, w.class, &options, &person->id) == 0)
        w.people_nr++;
}

static void act_kill(struct aisys_actor *self)
{
    const struct aisys_id id = w.people[any(w.people_nr)].id;

    if (!aisys_id_equal(
            id, aisys_self(self))) /* that is for outcome(): here it may be between turns */
        aisys_core_kill(w.core, id);
}

static void act(struct aisys_actor *self)
{
    struct worker *worker = aisys_state(self);
    struct person *me = &w.people[worker->person];

    if (w.quiet)
        return;
    for (unsigned n = any(10) < 5 ? 0 : 1 + any(2); n > 0; n--) {
        const uint32_t what = any(100);

        if (what < 60)
            act_send(self, me);
        else if (what < 80)
            act_begin(self, me);
        else if (what < 86)
            act_cancel(self, me);
        else if (what < 92)
            act_answer(self, worker);
        else if (what < 96)
            act_memory(self, worker);
        else if (what < 98)
            spawn(NULL, NULL);
        else if (what < 99)
            act_kill(self);
    }
}

/* How a handler ends: well, mostly. */
static int outcome(struct aisys_actor *self)
{
    if (w.quiet || any(100) < 98)
        return 0;
    happened(5, 0, 0);
    switch (any(4)) {
    case 0:
        aisys_check_failed_in_actor("chance is kind", __FILE__, __LINE__);
    case 1:
        aisys_give_up(self, -EIO, "chance");
        return 0;
    case 2:
        aisys_core_kill(w.core, aisys_self(self));
        return 0;
    default:
        return -EIO;
    }
}

static uint32_t person_of(const struct aisys_actor *self)
{
    for (uint32_t i = 0; i < w.people_nr; i++)
        if (aisys_id_equal(w.people[i].id, aisys_self(self)))
            return i;
    fail_msg("an actor that nobody spawned");
    return 0;
}

static int worker_start(struct aisys_actor *self, const void *config)
{
    struct worker *worker = aisys_state(self);
    const struct aisys_then ready = { .continuation = ON_READY };

    (void)config;
    assert_int_equal(worker->kept_nr, 0);
    worker->person = person_of(self);
    w.people[worker->person].instance = ++w.instances;
    happened(6, worker->person, 0);
    if (one_in(4) && aisys_after(self, 1 + any(20), ready) == 0)
        return AISYS_PENDING;
    return outcome(self);
}

static int worker_stop(struct aisys_actor *self, enum aisys_stop why)
{
    const struct aisys_then stopped = { .continuation = ON_STOPPED };

    happened(7, (uint64_t)why, 0);
    if (one_in(3) && aisys_after(self, 1 + any(20), stopped) == 0)
        return AISYS_PENDING;
    return outcome(self);
}

static int worker_receive(struct aisys_actor *self, const struct aisys_msg *msg)
{
    struct worker *worker = aisys_state(self);
    struct person *me = &w.people[worker->person];
    const struct message *message = w.core->in_hand;
    struct note note;

    assert_true(msg->bytes >= sizeof(note));
    memcpy(&note, msg->data, sizeof(note));
    happened(8, worker->person, note.number);
    assert_true(note.number > me->arrived[note.from][message->priority]);
    me->arrived[note.from][message->priority] = note.number;
    if (msg->reply) {
        const uint32_t how = w.quiet ? 0 : any(10);

        if (how < 4)
            assert_in_range(aisys_answer_bytes(self, msg->reply, AISYS_BYTES("now", 3)) + ENOMEM, 0,
                ENOMEM + AISYS_SEND_GONE);
        else if (how < 8 && worker->kept_nr < KEPT_MAX)
            worker->kept[worker->kept_nr++] = msg->reply;
    }
    act(self);
    return outcome(self);
}

static int worker_on_end(struct aisys_actor *self, const struct aisys_end *end)
{
    const struct worker *worker = aisys_state(self);
    struct record *record = &w.records[end->token];

    happened(9, end->token, (uint64_t)end->code);
    assert_true(end->token < w.records_nr);
    assert_int_equal(record->instance, w.people[worker->person].instance);
    assert_int_equal(record->ends, 0);
    assert_false(record->cancelled);
    assert_true(end->code == AISYS_OK || end->words[0]);
    if (!end->more)
        record->ends = 1;
    act(self);
    return outcome(self);
}

static int worker_on_ready(struct aisys_actor *self, const struct aisys_end *end)
{
    (void)end;
    aisys_ready(self);
    return outcome(self);
}

static int worker_on_stopped(struct aisys_actor *self, const struct aisys_end *end)
{
    (void)end;
    aisys_stopped(self);
    return outcome(self);
}

static const struct aisys_continuation worker_continuations[] = {
    [ON_END] = { "on_end", worker_on_end, NULL },
    [ON_READY] = { "on_ready", worker_on_ready, NULL },
    [ON_STOPPED] = { "on_stopped", worker_on_stopped, NULL },
    { 0 },
};

static const struct aisys_actor_ops worker_ops = {
    .abi = AISYS_ABI,
    .name = "worker",
    .continuations = worker_continuations,
    .state_bytes = sizeof(struct worker),
    .start = worker_start,
    .receive = worker_receive,
    .stop = worker_stop,
};

/* ---- Counting again --------------------------------------------------------------------------- */

static void check_mailbox(const struct aisys_actor *actor)
{
    uint32_t queued = 0, ends = 0;
    uint64_t bytes = 0;

    for (unsigned priority = 0; priority < PRIORITIES; priority++) {
        const struct message *tail = actor->tail[priority];

        for (const struct message *m = tail ? tail->next : NULL; m;
             m = m == tail ? NULL : m->next) {
            assert_int_equal(m->priority, priority);
            queued++;
            bytes += m->seen.bytes;
            ends += m->kind == AISYS_ENVELOPE_END;
        }
    }
    assert_int_equal(queued, actor->queued);
    assert_int_equal(bytes, actor->queued_bytes);
    assert_int_equal(ends, actor->ends_queued);
    assert_true(actor->queued + actor->reserved <= actor->queued_max);
    assert_true(bytes <= 2 * actor->queued_bytes_max);
    assert_int_equal(actor->offered, actor->handled + actor->failed + actor->refused +
                                         actor->dropped + actor->dead + actor->queued);
}

struct counted {
    uint32_t actors, ops, replies, armed, runnable;
};

static void check_open(const struct aisys_actor *actor, struct counted *counted)
{
    uint32_t reserved = 0;

    for (const struct op *op = actor->ops; op; op = op->next) {
        assert_ptr_equal(op->actor, actor);
        assert_int_equal(op->ended, op->end == NULL);
        reserved += !op->ended;
        counted->ops++;
        counted->armed += wheel_is_armed(&op->timer);
        if (wheel_is_armed(&op->timer))
            assert_true(aisys_core_next_ms(w.core) <= op->timer.at_ms);
    }
    assert_int_equal(reserved, actor->reserved);
    for (const struct reply *reply = actor->replies; reply; reply = reply->next) {
        assert_ptr_equal(reply->actor, actor);
        counted->replies++;
    }
    if (actor->supervised)
        counted->armed += wheel_is_armed(&actor->supervised->restart_timer);
}

/* Nobody who has something to do is forgotten. */
static void check_scheduled(const struct aisys_actor *actor)
{
    if (actor->todo != TODO_NOTHING)
        assert_true(actor->runnable);
    if ((actor->life == LIFE_RUNNING || actor->life == LIFE_DRAINING) && actor->queued)
        assert_true(actor->runnable);
    if (actor_gated(actor) && actor->ends_queued)
        assert_true(actor->runnable);
    if (actor->life == LIFE_DRAINING && !actor->queued && !actor->replies)
        assert_true(actor->runnable);
}

static void check_all(void)
{
    struct counted counted = { 0 };
    uint32_t in_queue = 0;

    for (uint32_t slot = 0; slot < w.core->actors.touched; slot++) {
        const struct aisys_actor *actor = table_at(&w.core->actors, slot);

        counted.actors += actor->life != LIFE_FREE || actor->runnable;
        counted.runnable += actor->runnable;
        if (actor->life == LIFE_FREE)
            continue;
        check_mailbox(actor);
        check_open(actor, &counted);
        check_scheduled(actor);
    }
    for (const struct aisys_actor *actor = w.core->run_head; actor; actor = actor->run_next) {
        assert_true(actor->runnable);
        in_queue++;
    }
    assert_int_equal(in_queue, counted.runnable);
    assert_int_equal(w.core->actors.used, counted.actors);
    assert_int_equal(w.core->ops.used, counted.ops);
    assert_int_equal(w.core->replies.used, counted.replies);
    assert_int_equal(w.core->wheel.armed, counted.armed);
    assert_null(w.core->current);
    assert_null(w.core->in_hand);
    assert_null(w.core->in_hand_reply);
    assert_null(w.core->in_hand_arena);
}

/* ---- The world --------------------------------------------------------------------------------- */

static int link_send(void *ctx, const struct aisys_envelope *envelope)
{
    struct letter *letter;

    (void)ctx;
    if (w.letters_nr == LETTERS_MAX || (!w.quiet && one_in(40)))
        return AISYS_SEND_FULL;
    letter = &w.letters[(w.letters_first + w.letters_nr++) % LETTERS_MAX];
    letter->envelope = *envelope;
    letter->payload = malloc(envelope->payload.len + 1);
    assert_non_null(letter->payload);
    if (envelope->payload.len)
        memcpy(letter->payload, envelope->payload.data, envelope->payload.len);
    letter->envelope.payload.data = letter->payload;
    return 0;
}

static void link_move(void)
{
    struct letter *letter = &w.letters[w.letters_first];

    w.letters_first = (w.letters_first + 1) % LETTERS_MAX;
    w.letters_nr--;
    if (!w.quiet && one_in(50))
        aisys_core_lost(w.core, &letter->envelope, AISYS_DEAD_GONE);
    else
        assert_int_equal(aisys_core_deliver(w.core, &letter->envelope), 0);
    free(letter->payload);
}

static void turn(void)
{
    aisys_core_turn(w.core);
    check_all();
}

static void settle(void)
{
    do {
        while (w.letters_nr)
            link_move();
        turn();
    } while (w.core->run_head || w.letters_nr);
}

/* Somebody acts. As the node does for its doors, between turns. */
static void poke(void)
{
    struct aisys_actor *actor = aisys_core_actor(w.core, w.people[somebody()].id);

    for (unsigned n = 1 + any(5); n > 0 && actor && actor->life == LIFE_RUNNING; n--)
        act(actor);
}

static void step(void)
{
    static const char *const names[NAMED] = { "a", "b", "c", "d", "e", "f" };
    const uint32_t what = any(100);

    if (one_in(10)) /* memory is short for a while */
        w.fake.fail_alloc_after = any(6);
    if (what < 50)
        poke();
    else if (what < 62)
        w.fake.now_ms += any(30);
    else if (what < 72 && w.fake.jobs_nr)
        fake_env_run_job(&w.fake);
    else if (what < 76)
        aisys_core_restart(w.core, names[any(NAMED)]);
    else if (what < 77 && one_in(4))
        aisys_core_kill(w.core, w.people[any(w.people_nr)].id);
    else if (what < 80)
        spawn(names[any(NAMED)], one_in(2) ? "a" : NULL);
    else if (what < 81)
        w.fake.job_start_error = one_in(2) ? -EAGAIN : 0;
    for (unsigned n = any(4); n > 0 && w.letters_nr; n--)
        link_move();
    if (one_in(3))
        turn();
    else
        check_all();
    w.fake.fail_alloc_after = -1;
}

static void open_world(uint64_t seed)
{
    static const uint64_t speeds[] = { 1000000, 60,
        4 }; /* ticks a ms: how often a turn's time is up */
    static struct aisys_diag diag;
    const struct aisys_core_options options = { .node = 1,
        .loopback = seed % 2,
        .restart_delay_ms = seed % 3 == 0 ? 7 : 0,
        .restarts_ms = 100,
        .ops_max = seed % 5 ? 0 : 20,
        .actors_max = 24,
        .message_bytes_max = 8500,
        .lanes = { { .queued = 4 }, { .running = 2, .queued = 2 }, { .queued = 1 } } };
    static const char *const order[][2] = { { "a", NULL }, { "b", "a" }, { "c", "b" },
        { "d", NULL }, { "e", "d" }, { "f", "e" } };

    memset(&w, 0, sizeof(w));
    w.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    fake_env_init(&w.fake);
    w.fake.env.loopback = link_send;
    w.fake.env.ticks_per_ms = speeds[seed % ROWS(speeds)];
    assert_int_equal(aisys_core_new(&w.fake.env, &options, &w.core), 0);
    w.fake.core = w.core;
    aisys_diag_init(&diag);
    assert_int_equal(aisys_core_class_add(w.core, &worker_ops, &diag, &w.class), 0);
    for (unsigned i = 0; i < ROWS(order); i++)
        spawn(order[i][0], order[i][1]);
    assert_int_equal(aisys_core_start(w.core, &diag), 0);
}

/* All time passes that anything may take: whatever was begun has ended, for those who still live. */
static void everything_ends(void)
{
    w.quiet = true;
    w.fake.job_start_error = 0;
    settle();
    for (unsigned i = 0; i < 40 || w.fake.jobs_nr; i++) {
        while (w.fake.jobs_nr)
            fake_env_run_job(&w.fake);
        w.fake.now_ms += 400;
        settle();
    }
    for (unsigned i = 0; i < w.people_nr; i++) {
        const struct person *person = &w.people[i];
        const struct aisys_actor *actor = aisys_core_actor(w.core, person->id);

        if (!actor)
            continue;
        assert_null(actor->ops);
        for (unsigned k = 0; actor->life == LIFE_RUNNING && k < w.records_nr; k++)
            if (w.records[k].instance == person->instance)
                assert_int_equal(w.records[k].ends + w.records[k].cancelled, 1);
    }
}

static void ignore_report(void *ctx, const char *name, const char *words)
{
    (void)ctx;
    happened(10, name[0], strlen(words));
}

static void close_world(void)
{
    aisys_core_stop(w.core);
    for (unsigned i = 0; i < 30; i++) {
        w.fake.now_ms++;
        settle();
    }
    aisys_core_stop_now(w.core, ignore_report, NULL);
    assert_int_equal(w.core->actors.used, 0);
    settle(); /* those that were to run are not given back twice */
    assert_int_equal(w.core->actors.used, 0);
    assert_int_equal(w.core->ops.used, 0);
    assert_int_equal(w.core->replies.used, 0);
    aisys_core_free(w.core);
    fake_env_deinit(&w.fake);
    assert_int_equal(w.live_objects, 0);
}

static uint64_t run(uint64_t seed)
{
    open_world(seed);
    for (unsigned i = 0; i < STEPS; i++)
        step();
    if (seed % 7) /* else it is stopped in the middle */
        everything_ends();
    while (w.fake.jobs_nr)
        fake_env_run_job(&w.fake);
    w.fake.job_start_error = -ECANCELED;
    close_world();
    return w.hash;
}

/* ---- Cases -------------------------------------------------------------------------------------- */

static uint64_t current_seed;

/* Said when the program ends otherwise than well. */
static int say_seed(void **state)
{
    (void)state;
    print_message("last seed: AISYS_SEED=%llu AISYS_SEEDS=1\n", (unsigned long long)current_seed);
    return 0;
}

static uint64_t number_from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_invariants_hold_whatever_the_seed(void **state)
{
    const uint64_t first = number_from_environment("AISYS_SEED", 1);
    const uint64_t nr = number_from_environment("AISYS_SEEDS", 200);

    (void)state;
    for (uint64_t seed = first; seed < first + nr; seed++) {
        current_seed = seed;
        run(seed);
    }
}

static void test_one_seed_is_one_run(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++)
        assert_true(run(seed) == run(seed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_invariants_hold_whatever_the_seed, say_seed),
        cmocka_unit_test(test_one_seed_is_one_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
