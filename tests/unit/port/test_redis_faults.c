/* The Redis port against a server that misbehaves: late, garbled, half, huge, gone; and without memory. */
#include <errno.h>
#include <stdlib.h>

#include "redis_fixture.h"
#include "redis_server.h"

static void with_fake(struct world *world, struct fake *fake, fake_command_fn command,
    struct aisys_redis_config config)
{
    world_init(world);
    fake_start(fake, world);
    fake->command = command;
    config.port = fake->port;
    world_open(world, config);
    RUN_UNTIL(world, world->events[AISYS_REDIS_CONNECTED] == 1);
}

static void without_fake(struct world *world, struct fake *fake)
{
    world_close(world);
    fake_stop(fake);
    world_deinit(world);
}

/* --- deadlines --- */

/* Answers nothing until it is asked for "flush". */
static void answer_late(struct fake *fake, const char *words, unsigned number)
{
    if (!strcmp(words, "flush"))
        for (unsigned i = 1; i <= number; i++)
            fake_say_text(fake, i < number ? "*2\r\n+late\r\n$4\r\nlate\r\n" : "+in time\r\n");
}

static void a_late_answer_is_swallowed(void **state)
{
    struct fake fake;
    struct world world;
    struct got late;
    struct got batch = { 0 };
    const struct aisys_redis_arg word = { "b", 1 };
    const struct aisys_redis_command commands[2] = { { &word, 1 }, { &word, 1 } };

    (void)state;
    with_fake(&world, &fake, answer_late, (struct aisys_redis_config){ 0 });
    assert_int_equal(world_send(&world, "a", 20, &late), 0);
    assert_int_equal(aisys_redis_port_batch(
                         world.port, AISYS_REDIS_PIPELINE, commands, 2, 30, got_answer, &batch),
        0);
    RUN_UNTIL(&world, late.calls == 1 && batch.calls == 1);
    assert_int_equal(late.code, AISYS_DEADLINE_EXCEEDED);
    assert_true(late.maybe_executed);
    assert_int_equal(batch.code, AISYS_DEADLINE_EXCEEDED);
    assert_int_equal(world_stats(&world).in_flight, 3); /* the server still owes them */
    assert_int_equal(world_stats(&world).open, 0);
    world_expect(&world, "flush", "+in time");
    assert_int_equal(late.calls, 1);
    assert_int_equal(batch.calls, 1);
    assert_int_equal(world_stats(&world).late, 3);
    assert_int_equal(world_stats(&world).deadline, 2);
    assert_int_equal(world_stats(&world).in_flight, 0);
    assert_int_equal(world_send(&world, "a", 600001, NULL), -EINVAL);
    without_fake(&world, &fake);
}

static void answer_pings(struct fake *fake, const char *words, unsigned number)
{
    (void)number;
    if (!strcmp(words, "PING"))
        fake_say_text(fake, "+PONG\r\n");
}

static void note_order(void *ctx, const struct aisys_redis_answer *answer)
{
    char **at = ctx;

    *(*at)++ = answer->code == AISYS_DEADLINE_EXCEEDED ? 'd' : '?';
}

static void deadlines_pass_in_their_own_order(void **state)
{
    const struct aisys_redis_arg word = { "x", 1 };
    struct fake fake;
    struct world world;
    char short_ones[8] = "";
    char long_ones[8] = "";
    char *short_at = short_ones;
    char *long_at = long_ones;

    (void)state;
    with_fake(&world, &fake, NULL, (struct aisys_redis_config){ .ping_interval_ms = 60000 });
    for (int i = 0; i < 3; i++) {
        aisys_redis_port_command(world.port, &word, 1, 700, note_order, &long_at);
        aisys_redis_port_command(world.port, &word, 1, 10 + (unsigned)i, note_order, &short_at);
    }
    RUN_UNTIL(&world, short_at == short_ones + 3);
    assert_string_equal(short_ones, "ddd");
    assert_string_equal(long_ones, "");
    RUN_UNTIL(&world, long_at == long_ones + 3);
    assert_string_equal(long_ones, "ddd"); /* past one turn of the wheel */
    without_fake(&world, &fake);
}

static void a_stalled_loop_is_not_taken_for_a_silent_server(void **state)
{
    struct fake fake;
    struct world world;
    const uint64_t start_ns = uv_hrtime();

    (void)state;
    with_fake(&world, &fake, answer_pings,
        (struct aisys_redis_config){ .ping_interval_ms = 5, .ping_timeout_ms = 1000 });
    while (uv_hrtime() - start_ns < 20 * 1000000)
        ; /* somebody holds the loop for far longer than the interval */
    RUN_UNTIL(&world, fake.commands >= 2);
    RUN_UNTIL(&world, world_stats(&world).reads >= 3);
    assert_int_equal(world.events[AISYS_REDIS_DISCONNECTED], 0);
    assert_int_equal(world_stats(&world).accepted, 0); /* our own PINGs are nobody's calls */
    without_fake(&world, &fake);
}

/* --- bounds --- */

static void what_is_in_flight_is_bounded(void **state)
{
    struct got got[8];
    struct fake fake;
    struct world world;
    const struct aisys_redis_arg word = { "w", 1 };
    const struct aisys_redis_command commands[9] = { { &word, 1 }, { &word, 1 }, { &word, 1 },
        { &word, 1 }, { &word, 1 }, { &word, 1 }, { &word, 1 }, { &word, 1 }, { &word, 1 } };

    (void)state;
    with_fake(&world, &fake, answer_late, (struct aisys_redis_config){ .in_flight_max = 8 });
    for (int i = 0; i < 7; i++)
        assert_int_equal(world_send(&world, "x", 0, &got[i]), 0);
    /* a batch is taken whole or not at all */
    assert_int_equal(
        aisys_redis_port_batch(world.port, AISYS_REDIS_PIPELINE, commands, 2, 0, NULL, NULL),
        AISYS_REDIS_PORT_FULL);
    assert_int_equal(
        aisys_redis_port_batch(world.port, AISYS_REDIS_PIPELINE, commands, 9, 0, NULL, NULL),
        AISYS_REDIS_PORT_TOO_LARGE);
    assert_int_equal(
        aisys_redis_port_batch(world.port, AISYS_REDIS_TRANSACTION, commands, 7, 0, NULL, NULL),
        AISYS_REDIS_PORT_TOO_LARGE);
    assert_int_equal(world_send(&world, "flush", 0, &got[7]), 0);
    assert_int_equal(world_send(&world, "x", 0, NULL), AISYS_REDIS_PORT_FULL);
    assert_int_equal(world.room, 0);
    RUN_UNTIL(&world, got[7].calls == 1);
    assert_string_equal(got[0].shown, "[+late \"late]");
    RUN_UNTIL(&world, world.room == 1);
    assert_int_equal(world_stats(&world).refused_full, 2);
    assert_int_equal(world_stats(&world).refused_other, 2);
    assert_int_equal(world_send(&world, "x", 0, NULL), 0);
    without_fake(&world, &fake);
}

static void unsent_bytes_are_bounded(void **state)
{
    static char big[6000];
    const struct aisys_redis_arg args[2] = { { "x", 1 }, { big, sizeof(big) } };
    const struct aisys_redis_arg huge[2] = { { "x", 1 }, { big, (size_t)1 << 50 } };
    struct fake fake;
    struct world world;

    (void)state;
    with_fake(&world, &fake, NULL, (struct aisys_redis_config){ .unsent_bytes_max = 10000 });
    assert_int_equal(aisys_redis_port_command(world.port, args, 2, 0, NULL, NULL), 0);
    assert_int_equal(
        aisys_redis_port_command(world.port, args, 2, 0, NULL, NULL), AISYS_REDIS_PORT_FULL);
    assert_int_equal(
        aisys_redis_port_command(world.port, huge, 2, 0, NULL, NULL), AISYS_REDIS_PORT_TOO_LARGE);
    assert_int_equal(aisys_redis_port_command(world.port, args, 0, 0, NULL, NULL), -EINVAL);
    assert_int_equal(world_send(&world, "SELECT 2", 0, NULL), AISYS_REDIS_PORT_FORBIDDEN);
    RUN_UNTIL(&world, world.room == 1); /* written */
    assert_int_equal(aisys_redis_port_command(world.port, args, 2, 0, NULL, NULL), 0);
    without_fake(&world, &fake);
}

static void a_server_that_does_not_read_fills_up_without_harm(void **state)
{
    static char big[100000];
    const struct aisys_redis_arg args[2] = { { "x", 1 }, { big, sizeof(big) } };
    struct fake fake;
    struct world world;
    int r = 0;

    (void)state;
    with_fake(&world, &fake, NULL,
        (struct aisys_redis_config){ .unsent_bytes_max = 1000000, .ping_interval_ms = 60000 });
    uv_read_stop((uv_stream_t *)fake.client);
    while (r == 0) {
        r = aisys_redis_port_command(world.port, args, 2, 50, NULL, NULL);
        uv_run(&world.loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(r, AISYS_REDIS_PORT_FULL);
    assert_true(world_stats(&world).unsent_bytes <= 1000000);
    RUN_UNTIL(&world, world_stats(&world).open == 0); /* each by its deadline */
    without_fake(&world, &fake);
}

/* --- what the server says --- */

struct bad_row {
    const char *says;   /* in answer to the first command */
    bool hangs_up;      /* and then */
    const char *reason; /* part of it; NULL: the connection lives */
    enum aisys_code code;
    const char *shown; /* the answer, or part of the message */
};

static const struct bad_row bad[] = {
    { "HTTP/1.1 400 Bad Request\r\n", false, "does not speak the protocol of Redis: Protocol error",
        AISYS_UNAVAILABLE, "does not speak" },
    { "\x16\x03\x01\x02", false, "does not speak", AISYS_UNAVAILABLE, "does not speak" },
    { "$x\r\n", false, "does not speak", AISYS_UNAVAILABLE, "does not speak" },
    { "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", false, "does not speak",
        AISYS_UNAVAILABLE, "does not speak" },
    { "$9999999999\r\n", false, "a string longer than any", AISYS_UNAVAILABLE, "does not speak" },
    { "+one\r\n+two\r\n", false, "nobody asked for: two", AISYS_OK, "+one" },
    { "*2\r\n$5\r\nhal", true, "closed the connection", AISYS_UNAVAILABLE, "connection lost" },
    { "", true, "closed the connection", AISYS_UNAVAILABLE, "connection lost" },
    { "-ERR max\r\n", true, "closed the connection", AISYS_OK, "-ERR max" },
    { "*2147483647\r\n:1\r\n", true, "closed the connection", AISYS_UNAVAILABLE,
        "connection lost" },
    { "*1001\r\n", false, NULL, AISYS_DEADLINE_EXCEEDED, "before the deadline" },
    { "$4000000\r\nxxxx", false, NULL, AISYS_RESOURCE_EXHAUSTED, "over the limit of 1000000" },
};

static void answer_badly(struct fake *fake, const char *words, unsigned number)
{
    const struct bad_row *row = fake->ctx;

    (void)words;
    if (number > 1)
        return;
    fake_say_text(fake, row->says);
    if (row->hangs_up)
        fake_hang_up(fake);
}

static void bad_answers_end_in_clear_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(bad); i++) {
        struct fake fake;
        struct world world;
        struct got got;

        with_fake(&world, &fake, answer_badly,
            (struct aisys_redis_config){ .array_max = 1000, .string_bytes_max = 1000000 });
        fake.ctx = (void *)&bad[i];
        assert_int_equal(world_send(&world, "x", bad[i].reason ? 0 : 30, &got), 0);
        RUN_UNTIL(&world, got.calls == 1);
        assert_int_equal(got.code, bad[i].code);
        assert_non_null(strstr(got.code == AISYS_OK ? got.shown : got.message, bad[i].shown));
        if (bad[i].reason) {
            RUN_UNTIL(&world, world.events[AISYS_REDIS_DISCONNECTED] == 1);
            assert_non_null(strstr(aisys_redis_port_reason(world.port), bad[i].reason));
            RUN_UNTIL(&world, world.events[AISYS_REDIS_CONNECTED] == 2); /* tries again */
            assert_int_equal(world_stats(&world).breaker, AISYS_REDIS_CLOSED);
        } else {
            assert_int_equal(world.events[AISYS_REDIS_DISCONNECTED], 0);
        }
        assert_int_equal(got.calls, 1);
        without_fake(&world, &fake);
    }
}

/* A string over the limit, in pieces that a socket takes, with an answer behind it. */
static void answer_hugely(struct fake *fake, const char *words, unsigned number)
{
    static char x[10000];

    (void)number;
    if (!strcmp(words, "huge"))
        fake_say_text(fake, "*2\r\n:1\r\n$100000\r\n");
    if (!strcmp(words, "more"))
        fake_say(fake, x, sizeof(x));
    if (!strcmp(words, "end"))
        fake_say_text(
            fake, "\r\n+a\r\n+b\r\n+c\r\n+d\r\n+e\r\n+f\r\n+g\r\n+h\r\n+i\r\n+j\r\n+k\r\n");
}

static void a_huge_answer_costs_only_itself(void **state)
{
    struct fake fake;
    struct world world;
    struct got huge;
    struct got end;

    (void)state;
    with_fake(
        &world, &fake, answer_hugely, (struct aisys_redis_config){ .string_bytes_max = 65536 });
    assert_int_equal(world_send(&world, "huge", 0, &huge), 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(world_send(&world, "more", 0, NULL), 0);
    assert_int_equal(world_send(&world, "end", 0, &end), 0);
    RUN_UNTIL(&world, end.calls == 1);
    assert_int_equal(huge.code, AISYS_RESOURCE_EXHAUSTED);
    assert_string_equal(huge.message, "a string of 100000 bytes is over the limit of 65536");
    assert_string_equal(end.shown, "+k");
    assert_int_equal(world_stats(&world).too_large, 1);
    assert_int_equal(world.events[AISYS_REDIS_DISCONNECTED], 0);
    without_fake(&world, &fake);
}

/* --- connecting --- */

static void a_server_that_never_greets(void **state)
{
    struct fake fake;
    struct world world;

    (void)state;
    world_init(&world);
    fake_start(&fake, &world);
    fake.silent = true;
    world_open(&world, (struct aisys_redis_config){ .port = fake.port, .connect_timeout_ms = 20 });
    RUN_UNTIL(&world, world.events[AISYS_REDIS_CONNECT_FAILED] >= 2);
    assert_non_null(strstr(world.reason, "did not answer the greeting within 20 ms"));
    RUN_UNTIL(&world, world_stats(&world).breaker == AISYS_REDIS_HALF_OPEN);
    assert_int_equal(world_send(&world, "PING", 0, NULL), AISYS_REDIS_PORT_UNAVAILABLE);
    fake.silent = false;
    RUN_UNTIL(&world, world.events[AISYS_REDIS_CONNECTED] == 1);
    without_fake(&world, &fake);
}

static void say_ok(struct fake *fake, const char *words, unsigned number)
{
    (void)words;
    (void)number;
    fake_say_text(fake, "+OK\r\n");
}

static void what_expired_while_connecting_is_never_sent(void **state)
{
    static const char *const words[] = { "first long", "second", "third longer", "fourth" };
    struct got got[ROWS(words)];
    struct got batch = { 0 };
    const struct aisys_redis_arg word = { "b", 1 };
    const struct aisys_redis_command commands[2] = { { &word, 1 }, { &word, 1 } };
    struct fake fake;
    struct world world;

    (void)state;
    world_init(&world);
    fake_start(&fake, &world);
    fake.silent = true;
    fake.command = say_ok;
    world_open(&world, (struct aisys_redis_config){ .port = fake.port });
    for (size_t i = 0; i < ROWS(words); i++)
        assert_int_equal(world_send(&world, words[i], i % 2 ? 0 : 20, &got[i]), 0);
    assert_int_equal(aisys_redis_port_batch(
                         world.port, AISYS_REDIS_TRANSACTION, commands, 2, 20, got_answer, &batch),
        0);
    RUN_UNTIL(&world, got[0].calls == 1 && got[2].calls == 1 && batch.calls == 1);
    assert_int_equal(got[0].code, AISYS_DEADLINE_EXCEEDED);
    assert_false(got[0].maybe_executed);
    assert_false(batch.maybe_executed);
    RUN_UNTIL(&world, fake.client);
    fake.silent = false;
    fake.greeted = true;
    fake_say_text(&fake, "+PONG\r\n");
    RUN_UNTIL(&world, got[1].calls == 1 && got[3].calls == 1);
    assert_string_equal(got[3].shown, "+OK");
    assert_int_equal(fake.commands, 2);
    assert_int_equal(world_stats(&world).in_flight, 0);
    without_fake(&world, &fake);
}

static void a_name_that_does_not_exist(void **state)
{
    struct world world;

    (void)state;
    world_init(&world);
    world_open(&world, (struct aisys_redis_config){ .host = "no-such-name.invalid" });
    RUN_UNTIL(&world, world.events[AISYS_REDIS_CONNECT_FAILED] >= 1);
    assert_non_null(strstr(world.reason, "no-such-name.invalid"));
    world_deinit(&world);
}

static void the_back_off_doubles_to_its_cap(void **state)
{
    static const uint32_t delays[] = { 2, 4, 8, 16, 16, 16 };
    struct fake fake;
    struct world world;

    (void)state;
    world_init(&world);
    fake_start(&fake, &world); /* for a port that refuses */
    fake_stop(&fake);
    world_turn(&world);
    world_open(&world,
        (struct aisys_redis_config){
            .port = fake.port, .backoff_min_ms = 2, .backoff_max_ms = 16, .breaker_failures = 3 });
    for (int i = 0; i < (int)ROWS(delays); i++) {
        RUN_UNTIL(&world, world.events[AISYS_REDIS_CONNECT_FAILED] > i);
        assert_int_equal(world.retries_ms[i], delays[i]);
        assert_int_equal(world.events[AISYS_REDIS_BREAKER_OPENED],
            world.events[AISYS_REDIS_CONNECT_FAILED] >= 3);
    }
    assert_int_equal(world_stats(&world).breaker_opened, 1);
    world_deinit(&world);
}

static uint32_t random_top(void *ctx)
{
    (void)ctx;
    return 100; /* 100 % (50 + 1) = 49 of what may be added to the half */
}

static void jitter_takes_up_to_half_away(void **state)
{
    struct world world;

    (void)state;
    world_init(&world);
    world_open(&world, (struct aisys_redis_config){ .unix_path = "/nonexistent/redis.sock",
                           .backoff_min_ms = 100,
                           .backoff_max_ms = 1000,
                           .random = random_top });
    RUN_UNTIL(&world, world.events[AISYS_REDIS_CONNECT_FAILED] >= 1);
    assert_non_null(strstr(world.reason, "/nonexistent/redis.sock: no such file or directory"));
    assert_int_equal(world.retries_ms[0], 50 + 49);
    world_deinit(&world);
}

/* --- no memory --- */

/* Everything once: connect, a command, a batch, a subscription, close. */
static void run_short_of_memory(struct world *world, const struct redis_server *server)
{
    const struct aisys_redis_arg words[2] = { { "GET", 3 }, { "k", 1 } };
    const struct aisys_redis_command commands[2] = { { words, 2 }, { words, 2 } };
    struct aisys_redis_subscription *subscription;
    struct got single = { 0 };
    struct got batch = { 0 };
    int r;

    if (world_try_open(world, (struct aisys_redis_config){ .port = server->port }) < 0) {
        world->port = NULL;
        return;
    }
    RUN_UNTIL(world, world->events[AISYS_REDIS_CONNECTED] > 0);
    r = world_send(world, "SET k v", 0, &single);
    assert_true(r == 0 || r == -ENOMEM);
    if (r == 0)
        RUN_UNTIL(world, single.calls == 1);
    RUN_UNTIL(world, world_stats(world).state == AISYS_REDIS_READY);
    r = aisys_redis_port_batch(
        world->port, AISYS_REDIS_TRANSACTION, commands, 2, 0, got_answer, &batch);
    assert_true(r == 0 || r == -ENOMEM);
    if (r == 0) {
        RUN_UNTIL(world, batch.calls == 1);
        assert_true(batch.code == AISYS_OK || batch.code == AISYS_RESOURCE_EXHAUSTED);
    }
    r = aisys_redis_port_subscribe(world->port, aisys_redis_word("c"), false,
        (aisys_redis_subscription_cb)abort, NULL, &subscription);
    assert_true(r == 0 || r == -ENOMEM);
    if (r == 0)
        aisys_redis_port_unsubscribe(subscription);
    world_close(world);
}

static void memory_may_run_out_at_any_time(void **state)
{
    struct redis_server server = { 0 };
    uint64_t n = 0;
    bool fired = true;

    (void)state;
    assert_int_equal(redis_server_start(&server), 0);
    while (fired) {
        struct world world;

        world_init(&world);
        world.fail_at = ++n;
        run_short_of_memory(&world, &server);
        fired = world.allocations >= world.fail_at;
        world_deinit(&world); /* whatever failed, nothing is left */
    }
    assert_true(n > 10);
    redis_server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_late_answer_is_swallowed),
        cmocka_unit_test(deadlines_pass_in_their_own_order),
        cmocka_unit_test(a_stalled_loop_is_not_taken_for_a_silent_server),
        cmocka_unit_test(what_is_in_flight_is_bounded),
        cmocka_unit_test(unsent_bytes_are_bounded),
        cmocka_unit_test(a_server_that_does_not_read_fills_up_without_harm),
        cmocka_unit_test(bad_answers_end_in_clear_errors),
        cmocka_unit_test(a_huge_answer_costs_only_itself),
        cmocka_unit_test(a_server_that_never_greets),
        cmocka_unit_test(what_expired_while_connecting_is_never_sent),
        cmocka_unit_test(a_name_that_does_not_exist),
        cmocka_unit_test(the_back_off_doubles_to_its_cap),
        cmocka_unit_test(jitter_takes_up_to_half_away),
        cmocka_unit_test(memory_may_run_out_at_any_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
