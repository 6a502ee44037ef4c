/* Redis as an actor sees it: ends, results that outlive their callback, a server that is away. */
#include "unit.h"

#include "redis_server.h"
#include "redis_world.h"

#include <aisys/exposition.h>
#include <errno.h>
#include <stdlib.h>

static struct redis_server server;
static struct redis_world world;

static struct {
    unsigned nr;
    int code;
    uint64_t token;
    char words[256];
    char shown[512];
} got;

static void show(const struct aisys_redis_value *value)
{
    char *end = got.shown + strlen(got.shown);
    const size_t room = sizeof(got.shown) - strlen(got.shown);

    switch (value->type) {
    case AISYS_REDIS_NIL:
        snprintf(end, room, "nil ");
        break;
    case AISYS_REDIS_INTEGER:
        snprintf(end, room, "%lld ", (long long)value->integer);
        break;
    case AISYS_REDIS_ARRAY:
        snprintf(end, room, "[ ");
        for (size_t i = 0; i < value->element_nr; i++)
            show(&value->elements[i]);
        snprintf(got.shown + strlen(got.shown), sizeof(got.shown) - strlen(got.shown), "] ");
        break;
    default:
        snprintf(end, room, "%s ", value->text);
        assert_int_equal(strlen(value->text), value->text_bytes);
    }
}

static int on_redis(struct aisys_actor *self, const struct aisys_end *end)
{
    (void)self;
    got.nr++;
    got.code = end->code;
    got.token = end->token;
    got.shown[0] = '\0';
    snprintf(got.words, sizeof(got.words), "%s", end->words);
    if (end->result)
        show(end->result);
    return 0;
}

static const struct aisys_continuation continuations[] = { { "on_redis", on_redis, NULL }, { 0 } };
static const struct aisys_actor_ops user_ops = {
    .abi = AISYS_ABI, .name = "user", .continuations = continuations
};
static struct aisys_id user;

static int setup(void **state)
{
    (void)state;
    memset(&got, 0, sizeof(got));
    redis_world_open(&world);
    user = stage_add(&world.stage, &user_ops,
        &(struct aisys_actor_options){ .name = "user", .mailbox_messages = 64 });
    stage_start(&world.stage);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    redis_world_close(&world);
    return 0;
}

static size_t split(const char *words, struct aisys_redis_arg *args)
{
    size_t n = 0;

    while (*words) {
        const size_t length = strcspn(words, " ");

        args[n++] = aisys_redis_bytes(words, length);
        words += length + (words[length] == ' ');
    }
    return n;
}

static void begin(const char *words, uint64_t token)
{
    struct aisys_redis_arg args[16];

    assert_int_equal(aisys_redis_exec(aisys_core_actor(world.stage.core, user), args,
                         split(words, args), (struct aisys_then){ .token = token }),
        0);
}

static void expect(const char *words, const char *shown)
{
    const unsigned before = got.nr;

    begin(words, 0);
    REDIS_WORLD_UNTIL(&world, got.nr > before);
    assert_int_equal(got.code, AISYS_OK);
    assert_string_equal(got.shown, shown);
}

static void connected(void)
{
    redis_world_connect(&world, server.port);
    REDIS_WORLD_UNTIL(&world, redis_world_state(&world) == AISYS_REDIS_THERE);
}

static void test_not_configured(void **state)
{
    (void)state;
    assert_false(aisys_redis_configured(aisys_core_actor(world.stage.core, user)));
    begin("PING", 5);
    fake_env_settle(&world.stage.fake);
    assert_int_equal(got.nr, 1);
    assert_int_equal(got.token, 5);
    assert_int_equal(got.code, AISYS_FAILED_PRECONDITION);
    assert_string_equal(got.words, "Redis is not configured: set redis.host");
}

static void test_every_kind_of_answer(void **state)
{
    static const char *const rows[][2] = {
        { "FLUSHALL", "OK " },
        { "SET k v", "OK " },
        { "GET k", "v " },
        { "GET none", "nil " },
        { "INCR n", "1 " },
        { "EVAL return{1,{'x',{2,'y'}},false,{}} 0", "[ 1 [ x [ 2 y ] ] nil [ ] ] " },
        { "LPUSH k x", "WRONGTYPE Operation against a key holding the wrong kind of value " },
    };

    (void)state;
    connected();
    for (size_t i = 0; i < ROWS(rows); i++)
        expect(rows[i][0], rows[i][1]);
}

static void test_batches(void **state)
{
    struct aisys_redis_arg set[4], get[4], wrong[4];
    const struct aisys_redis_command commands[] = { { set, split("SET b 1", set) },
        { get, split("GET b", get) }, { wrong, split("LPUSH b x", wrong) } };

    (void)state;
    connected();
    for (int together = 0; together < 2; together++) {
        const unsigned before = got.nr;

        assert_int_equal(aisys_redis_batch(aisys_core_actor(world.stage.core, user),
                             (enum aisys_redis_together)together, commands, ROWS(commands),
                             (struct aisys_then){ 0 }),
            0);
        REDIS_WORLD_UNTIL(&world, got.nr > before);
        assert_int_equal(got.code, AISYS_OK);
        assert_string_equal(got.shown,
            "[ OK 1 WRONGTYPE Operation against a key holding the wrong kind of value ] ");
    }
}

static void test_what_the_connection_refuses(void **state)
{
    (void)state;
    connected();
    begin("SELECT 1", 0);
    fake_env_settle(&world.stage.fake);
    assert_int_equal(got.code, AISYS_INVALID_ARGUMENT);
}

static void test_the_mailbox_bounds_what_is_open(void **state)
{
    struct aisys_redis_arg args[1] = { aisys_redis_word("PING") };
    struct aisys_actor *self = aisys_core_actor(world.stage.core, user);
    unsigned taken = 0;
    int r = 0;

    (void)state;
    connected();
    for (; taken < 100; taken++) {
        r = aisys_redis_exec(self, args, 1, (struct aisys_then){ 0 });
        if (r)
            break;
    }
    assert_int_equal(r, AISYS_SEND_FULL);
    assert_int_equal(taken, 64);
    REDIS_WORLD_UNTIL(&world, got.nr == 64);
    assert_int_equal(got.code, AISYS_OK);
}

/* The answer arrives; nobody is there. teardown finds what leaked. */
static void test_the_actor_goes_before_the_answer(void **state)
{
    (void)state;
    connected();
    begin("PING", 0);
    aisys_core_kill(world.stage.core, user);
    user = stage_add(&world.stage, &user_ops, &(struct aisys_actor_options){ 0 });
    expect("PING", "PONG ");
    assert_int_equal(got.nr, 1);
}

static void test_a_server_that_dies_and_comes_back(void **state)
{
    (void)state;
    connected();
    expect("SET k v", "OK ");
    redis_server_kill(&server);
    REDIS_WORLD_UNTIL(&world, redis_world_state(&world) == AISYS_REDIS_AWAY);
    REDIS_WORLD_UNTIL(&world, strstr(world.stage.fake.log, "redis_lost") != NULL);
    begin("PING", 0);
    REDIS_WORLD_UNTIL(&world, got.nr == 2);
    assert_int_equal(got.code, AISYS_UNAVAILABLE);
    assert_true(got.words[0] != '\0');
    assert_int_equal(redis_server_start(&server), 0);
    REDIS_WORLD_UNTIL(&world, redis_world_state(&world) == AISYS_REDIS_THERE);
    expect("GET k", "nil ");
}

static void test_deadline(void **state)
{
    struct aisys_redis_arg args[1] = { aisys_redis_word("PING") };

    (void)state;
    connected();
    redis_server_pause(&server);
    assert_int_equal(aisys_redis_exec(aisys_core_actor(world.stage.core, user), args, 1,
                         (struct aisys_then){ .deadline_ms = 20 }),
        0);
    REDIS_WORLD_UNTIL(&world, got.nr == 1);
    redis_server_resume(&server);
    assert_int_equal(got.code, AISYS_DEADLINE_EXCEEDED);
    assert_non_null(strstr(got.words, "may have been done"));
    expect("PING", "PONG ");
}

static void test_closing_ends_what_is_open(void **state)
{
    (void)state;
    connected();
    redis_server_pause(&server);
    begin("PING", 9);
    redis_world_disconnect(&world);
    fake_env_settle(&world.stage.fake);
    redis_server_resume(&server);
    assert_int_equal(got.code, AISYS_CANCELLED);
    assert_int_equal(got.token, 9);
}

static void test_metrics(void **state)
{
    struct aisys_exposition page;

    (void)state;
    for (size_t i = 0; aisys_env_redis_declared(i); i++)
        assert_null(aisys_metric_check(aisys_env_redis_declared(i)));
    connected();
    expect("PING", "PONG ");
    aisys_exposition_init(&page, AISYS_EXPOSITION_PROMETHEUS, 1 << 20, NULL, NULL);
    aisys_env_redis_metrics(world.redis, &page);
    assert_int_equal(aisys_exposition_finish(&page), 0);
    assert_non_null(strstr(page.text, "\nai_system_redis_up 1\n"));
    assert_non_null(strstr(page.text, "ai_system_redis_commands_total{outcome=\"answered\"} 1\n"));
    assert_non_null(strstr(page.text, "\nai_system_redis_open_commands 0\n"));
    aisys_exposition_deinit(&page);
    aisys_env_redis_metrics(NULL, &page);
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
        cmocka_unit_test_setup_teardown(test_not_configured, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_kind_of_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_batches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_the_connection_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_mailbox_bounds_what_is_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_actor_goes_before_the_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_server_that_dies_and_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closing_ends_what_is_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_metrics, setup, teardown),
    };

    return cmocka_run_group_tests_name("env_redis", tests, start_server, stop_server);
}
