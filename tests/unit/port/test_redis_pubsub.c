/* Subscriptions of the Redis port, against a real server. */
#include <errno.h>

#include "redis_fixture.h"
#include "redis_server.h"

/* What a subscription was told: "S" subscribed, "L" lost, "R" refused, "channel=payload" messages. */
struct heard {
    char text[512];
    struct aisys_redis_subscription *subscription;
    bool leaves; /* unsubscribes at its first message */
};

static void hear(void *ctx, enum aisys_redis_subscription_event event,
    struct aisys_redis_arg channel, struct aisys_redis_arg payload)
{
    struct heard *heard = ctx;
    const size_t used = strlen(heard->text);
    static const char *const marks[] = { "S;", NULL, "L;", "R;" };

    if (event != AISYS_REDIS_MESSAGE) {
        snprintf(heard->text + used, sizeof(heard->text) - used, "%s", marks[event]);
        return;
    }
    snprintf(heard->text + used, sizeof(heard->text) - used, "%.*s=%.*s;", (int)channel.bytes,
        (const char *)channel.data, (int)payload.bytes, (const char *)payload.data);
    if (heard->leaves) {
        aisys_redis_port_unsubscribe(heard->subscription);
        heard->subscription = NULL;
    }
}

static void subscribe(struct world *world, struct heard *heard, const char *channel, bool pattern)
{
    assert_int_equal(aisys_redis_port_subscribe(world->port, aisys_redis_word(channel), pattern,
                         hear, heard, &heard->subscription),
        0);
}

#define HEARD(world, heard, expected) RUN_UNTIL(world, !strcmp((heard).text, expected))

static void open_on(struct world *world, const struct redis_server *server)
{
    world_init(world);
    world_open(
        world, (struct aisys_redis_config){
                   .port = server->port, .password = server->password, .subscription_max = 4 });
    RUN_UNTIL(world, world->events[AISYS_REDIS_CONNECTED] == 1);
}

static void messages_reach_whom_they_concern(void **state)
{
    const struct redis_server *server = *state;
    struct heard first = { 0 };
    struct heard second = { 0 };
    struct heard pattern = { 0 };
    struct heard other = { 0 };
    struct aisys_redis_subscription *none;
    struct world world;

    open_on(&world, server);
    subscribe(&world, &first, "news", false);
    subscribe(&world, &second, "news", false);
    subscribe(&world, &pattern, "n*", true);
    subscribe(&world, &other, "n*", false); /* no pattern: a channel of that name */
    assert_int_equal(
        aisys_redis_port_subscribe(world.port, aisys_redis_word("x"), false, hear, NULL, &none),
        AISYS_REDIS_PORT_FULL);
    assert_int_equal(
        aisys_redis_port_subscribe(world.port, aisys_redis_word(""), false, hear, NULL, &none),
        -EINVAL);
    HEARD(&world, other, "S;");
    HEARD(&world, pattern, "S;");
    world_expect(&world, "PUBLISH news hello", "2"); /* once to the channel, once to the pattern */
    HEARD(&world, pattern, "S;news=hello;");
    HEARD(&world, first, "S;news=hello;");
    HEARD(&world, second, "S;news=hello;");
    assert_string_equal(other.text, "S;");

    aisys_redis_port_unsubscribe(first.subscription);
    world_expect(&world, "PUBLISH news again", "2"); /* second still wants it */
    HEARD(&world, second, "S;news=hello;news=again;");
    assert_string_equal(first.text, "S;news=hello;");
    aisys_redis_port_unsubscribe(second.subscription);
    subscribe(&world, &first, "news", false); /* UNSUBSCRIBE and SUBSCRIBE cross the answers */
    HEARD(&world, first, "S;news=hello;S;");
    world_expect(&world, "PUBLISH news third", "2");
    HEARD(&world, first, "S;news=hello;S;news=third;");
    assert_string_equal(second.text, "S;news=hello;news=again;");
    assert_int_equal(world_stats(&world).subscriptions, 3);
    assert_true(world_stats(&world).subscriptions_ready);
    aisys_redis_port_unsubscribe(NULL);
    world_deinit(&world);
}

static void a_subscriber_may_leave_in_its_callback(void **state)
{
    struct heard leaving = { .leaves = true };
    struct heard staying = { 0 };
    struct world world;

    open_on(&world, *state);
    subscribe(&world, &leaving, "c", false);
    subscribe(&world, &staying, "c", false);
    HEARD(&world, staying, "S;");
    world_expect(&world, "PUBLISH c 1", "1");
    world_expect(&world, "PUBLISH c 2", "1");
    HEARD(&world, staying, "S;c=1;c=2;");
    assert_string_equal(leaving.text, "S;c=1;");
    world_deinit(&world);
}

static void subscriptions_come_back_with_the_server(void **state)
{
    struct redis_server mortal = { .password = "pw" };
    struct heard heard = { 0 };
    struct heard during = { 0 };
    struct world world;

    (void)state;
    assert_int_equal(redis_server_start(&mortal), 0);
    open_on(&world, &mortal);
    subscribe(&world, &heard, "c", false);
    HEARD(&world, heard, "S;");
    redis_server_kill(&mortal);
    HEARD(&world, heard, "S;L;");
    subscribe(&world, &during, "d*", true);
    assert_int_equal(redis_server_start(&mortal), 0);
    HEARD(&world, heard, "S;L;S;");
    HEARD(&world, during, "S;");
    RUN_UNTIL(&world, world_stats(&world).breaker == AISYS_REDIS_CLOSED);
    world_expect(&world, "PUBLISH c back", "1");
    world_expect(&world, "PUBLISH dd x", "1");
    HEARD(&world, heard, "S;L;S;c=back;");
    HEARD(&world, during, "S;dd=x;");
    assert_int_equal(world.subscription_events[AISYS_REDIS_DISCONNECTED], 1);
    assert_int_equal(world.subscription_events[AISYS_REDIS_CONNECTED], 2);
    world_deinit(&world);
    redis_server_stop(&mortal);
}

static void a_subscription_may_be_refused(void **state)
{
    static const char *const options[] = { "--user", "default", "on", "nopass", "~*",
        "resetchannels", "&open*", "+@all", NULL };
    struct redis_server strict = { .options = options };
    struct heard closed = { 0 };
    struct heard open = { 0 };
    struct world world;

    (void)state;
    assert_int_equal(redis_server_start(&strict), 0);
    open_on(&world, &strict);
    subscribe(&world, &closed, "secret", false);
    subscribe(&world, &open, "open1", false);
    HEARD(&world, open, "S;");
    assert_string_equal(closed.text, "R;");
    world_expect(&world, "PUBLISH open1 m", "1");
    HEARD(&world, open, "S;open1=m;");
    world_deinit(&world);
    redis_server_stop(&strict);
}

static void an_idle_subscription_is_kept_alive(void **state)
{
    const struct redis_server *server = *state;
    struct heard heard = { 0 };
    struct world world;

    world_init(&world);
    world_open(&world, (struct aisys_redis_config){
                           .port = server->port, .ping_interval_ms = 10, .ping_timeout_ms = 500 });
    subscribe(&world, &heard, "quiet", false);
    HEARD(&world, heard, "S;");
    RUN_UNTIL(&world, world_stats(&world).reads > 10); /* so many PINGs of the other connection */
    assert_int_equal(world.subscription_events[AISYS_REDIS_DISCONNECTED], 0);
    world_expect(&world, "PUBLISH quiet no", "1");
    HEARD(&world, heard, "S;quiet=no;");
    world_deinit(&world);
}

static struct redis_server server;

static int start_server(void **state)
{
    *state = &server;
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
        cmocka_unit_test(messages_reach_whom_they_concern),
        cmocka_unit_test(a_subscriber_may_leave_in_its_callback),
        cmocka_unit_test(subscriptions_come_back_with_the_server),
        cmocka_unit_test(a_subscription_may_be_refused),
        cmocka_unit_test(an_idle_subscription_is_kept_alive),
    };

    return cmocka_run_group_tests(tests, start_server, stop_server);
}
