/* The Redis port against a real server: what it answers, how it logs in, what happens when it dies. */
#include <stdlib.h>

#include "redis_fixture.h"
#include "redis_server.h"

static struct redis_server server;

static void connected(struct world *world, struct aisys_redis_config config)
{
    world_init(world);
    if (!config.unix_path)
        config.port = server.port;
    world_open(world, config);
    RUN_UNTIL(world, world->events[AISYS_REDIS_CONNECTED] == 1);
}

static void every_kind_of_answer(void **state)
{
    static const char *const rows[][2] = {
        { "FLUSHALL", "+OK" },
        { "SET k v", "+OK" },
        { "GET k", "\"v" },
        { "GET none", "nil" },
        { "INCR n", "1" },
        { "LPUSH l a b", "2" },
        { "LRANGE l 0 -1", "[\"b \"a]" },
        { "LRANGE none 0 -1", "[]" },
        { "INCR k", "-ERR value is not an integer or out of range" },
        { "LPUSH k x", "-WRONGTYPE Operation against a key holding the wrong kind of value" },
        { "EVAL return{1,{2,{'x'}},false} 0", "[1 [2 [\"x]] nil]" },
        { "NOSUCH a", "-ERR unknown command 'NOSUCH', with args beginning with: 'a' " },
        { "PING", "+PONG" },
    };
    struct world world;

    (void)state;
    connected(&world, (struct aisys_redis_config){ 0 });
    for (size_t i = 0; i < ROWS(rows); i++)
        world_expect(&world, rows[i][0], rows[i][1]);
    assert_int_equal(world_stats(&world).errors, 3);
    assert_int_equal(world_stats(&world).answered, ROWS(rows) - 3);
    assert_int_equal(world_stats(&world).open, 0);
    assert_true(world_stats(&world).latency_ns_sum > 0);
    world_deinit(&world);
}

struct echo {
    const char *bytes;
    size_t nr;
    int same;
};

static void echo_on_answer(void *ctx, const struct aisys_redis_answer *answer)
{
    struct echo *echo = ctx;

    echo->same = answer->code == AISYS_OK && answer->value->type == AISYS_REDIS_STRING &&
                         answer->value->text_bytes == echo->nr &&
                         !memcmp(answer->value->text, echo->bytes, echo->nr)
                     ? 1
                     : -1;
}

static void bytes_of_any_kind_and_size_come_back(void **state)
{
    const size_t sizes[] = { 0, 1, 16383, 65536, 10000000 };
    char *big = malloc(sizes[ROWS(sizes) - 1]);
    struct world world;

    (void)state;
    for (size_t i = 0; i < sizes[ROWS(sizes) - 1]; i++)
        big[i] = (char)(i * 31);
    connected(&world, (struct aisys_redis_config){ 0 });
    for (size_t i = 0; i < ROWS(sizes); i++) {
        const struct aisys_redis_arg args[3] = { aisys_redis_word("SET"),
            aisys_redis_bytes("a\0b\r\n", 5), aisys_redis_bytes(big, sizes[i]) };
        const struct aisys_redis_arg get[2] = { aisys_redis_word("GET"), args[1] };
        struct echo echo = { big, sizes[i], 0 };

        assert_int_equal(aisys_redis_port_command(world.port, args, 3, 0, NULL, NULL), 0);
        assert_int_equal(aisys_redis_port_command(world.port, get, 2, 0, echo_on_answer, &echo), 0);
        RUN_UNTIL(&world, echo.same != 0);
        assert_int_equal(echo.same, 1);
    }
    world_expect(&world, "PING", "+PONG");
    free(big);
    world_deinit(&world);
}

static void a_turn_is_one_write_and_answers_keep_their_order(void **state)
{
    enum { NR = 1000 };
    static struct got got[NR];
    struct world world;
    uint64_t writes;
    char expected[16];

    (void)state;
    connected(&world, (struct aisys_redis_config){ 0 });
    world_expect(&world, "SET order 0", "+OK");
    writes = world_stats(&world).writes;
    for (int i = 0; i < NR; i++)
        assert_int_equal(world_send(&world, "INCR order", 0, &got[i]), 0);
    assert_int_equal(world_stats(&world).writes, writes);
    RUN_UNTIL(&world, got[NR - 1].calls == 1);
    assert_int_equal(world_stats(&world).writes, writes + 1);
    for (int i = 0; i < NR; i++) {
        snprintf(expected, sizeof(expected), "%d", i + 1);
        assert_int_equal(got[i].calls, 1);
        assert_string_equal(got[i].shown, expected);
    }
    world_deinit(&world);
}

struct flood {
    struct aisys_redis_port *port;
    int left;
    int wrong;
    int64_t last;
    int done;
};

static void flood_on_answer(void *ctx, const struct aisys_redis_answer *answer);

static void flood_send(struct flood *flood)
{
    static const struct aisys_redis_arg args[2] = { { "INCR", 4 }, { "flood", 5 } };

    if (flood->left == 0)
        return;
    flood->left--;
    flood->wrong += aisys_redis_port_command(flood->port, args, 2, 0, flood_on_answer, flood) != 0;
}

static void flood_on_answer(void *ctx, const struct aisys_redis_answer *answer)
{
    struct flood *flood = ctx;

    flood->wrong += answer->code != AISYS_OK || answer->value->integer != flood->last + 1;
    flood->last++;
    flood->done++;
    flood_send(flood);
}

static void a_hundred_thousand_commands(void **state)
{
    struct flood flood = { .left = 100000 };
    struct world world;

    (void)state;
    connected(&world, (struct aisys_redis_config){ 0 });
    world_expect(&world, "DEL flood nothing", "0");
    flood.port = world.port;
    for (int i = 0; i < 1024; i++)
        flood_send(&flood);
    RUN_UNTIL(&world, flood.done == 100000);
    assert_int_equal(flood.wrong, 0);
    assert_int_equal(world_stats(&world).in_flight, 0);
    assert_int_equal(world_stats(&world).answered, 100001);
    world_expect(&world, "DEL flood", "1");
    world_deinit(&world);
}

/* --- batches --- */

struct batch_row {
    enum aisys_redis_batch_kind kind;
    const char *commands[4];
    enum aisys_code code;
    const char *shown;   /* the value ... */
    const char *message; /* ... or part of the message */
};

static const struct batch_row batches[] = {
    { AISYS_REDIS_PIPELINE, { "SET b 1", "INCR b", "GET b" }, AISYS_OK, "[+OK 2 \"2]", "" },
    { AISYS_REDIS_PIPELINE, { "SET b x", "INCR b", "LRANGE none 0 1", "GET b" }, AISYS_OK,
        "[+OK -ERR value is not an integer or out of range [] \"x]", "" },
    { AISYS_REDIS_TRANSACTION, { "SET b 5", "INCRBY b 2", "GET b" }, AISYS_OK, "[+OK 7 \"7]", "" },
    { AISYS_REDIS_TRANSACTION, { "SET b 9", "INCRBY b" }, AISYS_ABORTED, "",
        "command 2: ERR wrong number of arguments for 'incrby' command" },
    { AISYS_REDIS_PIPELINE, { "GET b" }, AISYS_OK, "[\"7]", "" },
};

static void batches_answer_once_and_as_a_whole(void **state)
{
    struct world world;

    (void)state;
    connected(&world, (struct aisys_redis_config){ 0 });
    for (size_t i = 0; i < ROWS(batches); i++) {
        struct aisys_redis_arg args[4][8];
        struct aisys_redis_command commands[4];
        struct got got = { 0 };
        size_t n = 0;

        for (; n < 4 && batches[i].commands[n]; n++) {
            commands[n].args = args[n];
            commands[n].arg_nr = world_words(batches[i].commands[n], args[n], 8);
        }
        assert_int_equal(
            aisys_redis_port_batch(world.port, batches[i].kind, commands, n, 0, got_answer, &got),
            0);
        RUN_UNTIL(&world, got.calls == 1);
        assert_int_equal(got.code, batches[i].code);
        assert_string_equal(got.shown, batches[i].shown);
        assert_string_equal(got.message, batches[i].message);
    }
    world_expect(&world, "PING", "+PONG");
    assert_int_equal(world_stats(&world).accepted, ROWS(batches) + 1);
    assert_int_equal(world_stats(&world).aborted, 1);
    world_deinit(&world);
}

/* --- who we are --- */

struct login_row {
    const char *username;
    const char *password;
    uint32_t database;
    const char *refused; /* part of the reason; NULL: welcome */
};

static const struct login_row logins[] = {
    { NULL, "secret", 0, NULL },
    { "default", "secret", 0, NULL },
    { "reader", "letmein", 2, NULL },
    { NULL, "wrong", 0, "refused AUTH: WRONGPASS" },
    { "nobody", "secret", 0, "refused AUTH: WRONGPASS" },
    { NULL, NULL, 0, ": NOAUTH Authentication required" },
    { NULL, "secret", 1000, "refused SELECT: ERR DB index is out of range" },
};

static void the_password_the_user_and_the_database_count(void **state)
{
    static const char *const options[] = { "--user", "reader", "on", ">letmein", "~*", "+@all",
        NULL };
    struct redis_server guarded = { .password = "secret", .options = options };

    (void)state;
    assert_int_equal(redis_server_start(&guarded), 0);
    for (size_t i = 0; i < ROWS(logins); i++) {
        struct world world;
        struct got got;

        world_init(&world);
        world_open(&world, (struct aisys_redis_config){
                               .port = guarded.port,
                               .username = logins[i].username,
                               .password = logins[i].password,
                               .database = logins[i].database,
                               .client_name = "aisys-test",
                           });
        assert_int_equal(
            world_send(&world, "CLIENT GETNAME", 0, &got), 0); /* waits for the answer */
        RUN_UNTIL(&world, got.calls == 1);
        if (logins[i].refused) {
            assert_int_equal(world.events[AISYS_REDIS_CONNECT_FAILED], 1);
            assert_non_null(strstr(world.reason, logins[i].refused));
            assert_int_equal(world.retry_ms, 30000); /* no hurry to be wrong again */
            assert_int_equal(got.code, AISYS_UNAVAILABLE);
            assert_false(got.maybe_executed);
            assert_non_null(strstr(got.message, logins[i].refused));
            assert_int_equal(world_send(&world, "PING", 0, &got), AISYS_REDIS_PORT_UNAVAILABLE);
            assert_non_null(strstr(aisys_redis_port_reason(world.port), logins[i].refused));
        } else {
            assert_string_equal(got.shown, "\"aisys-test");
        }
        world_deinit(&world);
    }
    redis_server_stop(&guarded);
}

static void databases_are_apart(void **state)
{
    struct world three;
    struct world zero;

    (void)state;
    connected(&three, (struct aisys_redis_config){ .database = 3 });
    world_expect(&three, "SET only-in-3 yes", "+OK");
    connected(&zero, (struct aisys_redis_config){ 0 });
    world_expect(&zero, "GET only-in-3", "nil");
    world_expect(&three, "GET only-in-3", "\"yes");
    world_deinit(&zero);
    world_deinit(&three);
}

static void a_unix_socket_and_a_name_lead_there_too(void **state)
{
    struct world world;

    (void)state;
    connected(&world, (struct aisys_redis_config){ .unix_path = server.socket_path });
    world_expect(&world, "PING", "+PONG");
    world_deinit(&world);
    connected(&world, (struct aisys_redis_config){ .host = "localhost" });
    world_expect(&world, "PING", "+PONG");
    world_deinit(&world);
}

/* --- death and resurrection --- */

static void a_server_killed_in_flight(void **state)
{
    struct redis_server mortal = { 0 };
    struct got first;
    struct got second;
    struct world world;

    (void)state;
    assert_int_equal(redis_server_start(&mortal), 0);
    world_init(&world);
    world_open(&world, (struct aisys_redis_config){ .port = mortal.port });
    RUN_UNTIL(&world, world.events[AISYS_REDIS_CONNECTED] == 1);

    redis_server_pause(&mortal);
    assert_int_equal(world_send(&world, "INCR n", 0, &first), 0);
    assert_int_equal(world_send(&world, "INCR n", 0, &second), 0);
    RUN_UNTIL(&world, world_stats(&world).unsent_bytes == 0);
    assert_int_equal(world_stats(&world).in_flight, 2);
    redis_server_kill(&mortal);
    RUN_UNTIL(&world, first.calls == 1);
    assert_int_equal(first.code, AISYS_UNAVAILABLE);
    assert_non_null(strstr(first.message, "connection lost: 127.0.0.1"));
    assert_true(first.maybe_executed);
    assert_int_equal(second.calls, 1);
    assert_int_equal(world.events[AISYS_REDIS_DISCONNECTED], 1);
    assert_int_equal(world.events[AISYS_REDIS_BREAKER_OPENED], 1);
    assert_int_equal(world_stats(&world).breaker, AISYS_REDIS_OPEN);
    assert_int_equal(world_send(&world, "PING", 0, &first), AISYS_REDIS_PORT_UNAVAILABLE);
    assert_int_equal(first.calls, 0);

    RUN_UNTIL(&world, world.events[AISYS_REDIS_CONNECT_FAILED] >= 3);
    assert_non_null(strstr(world.reason, "connection refused"));
    assert_int_equal(redis_server_start(&mortal), 0);
    RUN_UNTIL(&world, world.events[AISYS_REDIS_BREAKER_CLOSED] == 1);
    world_expect(&world, "PING", "+PONG");
    assert_int_equal(world_stats(&world).connects, 2);
    assert_int_equal(world_stats(&world).lost, 2);
    assert_int_equal(world_stats(&world).refused_unavailable, 1);
    world_deinit(&world);
    redis_server_stop(&mortal);
}

static void a_server_that_is_not_there_yet(void **state)
{
    struct redis_server late = { 0 };
    struct got got;
    struct world world;

    (void)state;
    assert_int_equal(redis_server_start(&late), 0); /* finds the port */
    redis_server_kill(&late);
    world_init(&world);
    world_open(&world, (struct aisys_redis_config){ .port = late.port });
    assert_int_equal(world_send(&world, "PING", 0, &got), 0);
    RUN_UNTIL(&world, got.calls == 1);
    assert_int_equal(got.code, AISYS_UNAVAILABLE);
    assert_false(got.maybe_executed);
    assert_non_null(strstr(got.message, "not connected: cannot connect to 127.0.0.1"));
    assert_int_equal(world.events[AISYS_REDIS_BREAKER_OPENED], 1);
    assert_int_equal(redis_server_start(&late), 0);
    RUN_UNTIL(&world, world.events[AISYS_REDIS_CONNECTED] == 1);
    world_expect(&world, "PING", "+PONG");
    world_deinit(&world);
    redis_server_stop(&late);
}

static void a_silent_server_is_noticed(void **state)
{
    struct redis_server frozen = { 0 };
    struct got got;
    struct world world;

    (void)state;
    assert_int_equal(redis_server_start(&frozen), 0);
    world_init(&world);
    world_open(&world, (struct aisys_redis_config){
                           .port = frozen.port, .ping_interval_ms = 20, .ping_timeout_ms = 1000 });
    RUN_UNTIL(&world, world.events[AISYS_REDIS_CONNECTED] == 1);
    RUN_UNTIL(&world, world_stats(&world).reads >= 4); /* PINGs keep it alive */
    assert_int_equal(world.events[AISYS_REDIS_DISCONNECTED], 0);
    redis_server_pause(&frozen);
    assert_int_equal(world_send(&world, "PING", 0, &got), 0);
    RUN_UNTIL(&world, world.events[AISYS_REDIS_DISCONNECTED] == 1);
    assert_non_null(strstr(world.reason, "silent for"));
    assert_int_equal(got.calls, 1);
    assert_int_equal(got.code, AISYS_UNAVAILABLE);
    redis_server_resume(&frozen);
    RUN_UNTIL(&world, world.events[AISYS_REDIS_CONNECTED] == 2);
    world_expect(&world, "PING", "+PONG");
    world_deinit(&world);
    redis_server_stop(&frozen);
}

/* --- closing --- */

static void closing_ends_what_is_open_once(void **state)
{
    struct got got[10];
    struct world world;

    (void)state;
    connected(&world, (struct aisys_redis_config){ 0 });
    for (size_t i = 0; i < ROWS(got); i++)
        assert_int_equal(world_send(&world, "PING", 0, &got[i]), 0);
    world_close(&world);
    for (size_t i = 0; i < ROWS(got); i++) {
        assert_int_equal(got[i].calls, 1);
        assert_int_equal(got[i].code, AISYS_CANCELLED);
        assert_false(got[i].maybe_executed);
    }
    aisys_redis_port_close(NULL, NULL, NULL);
    world_deinit(&world);
}

static void close_on_answer(void *ctx, const struct aisys_redis_answer *answer)
{
    struct world *world = ctx;

    aisys_redis_port_close(world->port, NULL, NULL);
    assert_string_equal(answer->value->text, "PONG"); /* still there */
    assert_int_equal(world_send(world, "PING", 0, NULL), AISYS_REDIS_PORT_CLOSED);
    world->port = NULL;
}

static void a_callback_may_close(void **state)
{
    static const struct aisys_redis_arg ping = { "PING", 4 };
    struct got got = { 0 };
    struct world world;

    (void)state;
    connected(&world, (struct aisys_redis_config){ 0 });
    assert_int_equal(aisys_redis_port_command(world.port, &ping, 1, 0, close_on_answer, &world), 0);
    assert_int_equal(aisys_redis_port_command(world.port, &ping, 1, 0, got_answer, &got), 0);
    RUN_UNTIL(&world, got.calls == 1);
    assert_int_equal(got.code, AISYS_CANCELLED);
    assert_true(got.maybe_executed);
    RUN_UNTIL(&world, world.live_pieces == 0);
    world_deinit(&world);
}

static int start_server(void **state)
{
    (void)state;
    return redis_server_start(&server);
}

static int stop_server(void **state)
{
    (void)state;
    redis_server_stop(&server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_answer),
        cmocka_unit_test(bytes_of_any_kind_and_size_come_back),
        cmocka_unit_test(a_turn_is_one_write_and_answers_keep_their_order),
        cmocka_unit_test(a_hundred_thousand_commands),
        cmocka_unit_test(batches_answer_once_and_as_a_whole),
        cmocka_unit_test(the_password_the_user_and_the_database_count),
        cmocka_unit_test(databases_are_apart),
        cmocka_unit_test(a_unix_socket_and_a_name_lead_there_too),
        cmocka_unit_test(a_server_killed_in_flight),
        cmocka_unit_test(a_server_that_is_not_there_yet),
        cmocka_unit_test(a_silent_server_is_noticed),
        cmocka_unit_test(closing_ends_what_is_open_once),
        cmocka_unit_test(a_callback_may_close),
    };

    return cmocka_run_group_tests(tests, start_server, stop_server);
}
