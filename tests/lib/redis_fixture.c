#include "redis_fixture.h"

#include <arpa/inet.h>
#include <stdlib.h>

#define BOUND_MS 30000

/* --- world --- */

static void world_on_bound(uv_timer_t *timer)
{
    struct world *world = timer->data;

    world->late = true;
}

/* One turn of libuv runs the timers that are due and then waits for something else to happen: without this
 * it might wait for long after the last thing that the test is interested in. */
static void world_on_tick(uv_timer_t *timer)
{
    (void)timer;
}

void world_init(struct world *world)
{
    memset(world, 0, sizeof(*world));
    assert_int_equal(uv_loop_init(&world->loop), 0);
    uv_timer_init(&world->loop, &world->bound);
    world->bound.data = world;
    uv_timer_start(&world->bound, world_on_bound, BOUND_MS, 0);
    uv_timer_init(&world->loop, &world->tick);
    uv_timer_start(&world->tick, world_on_tick, 5, 5);
}

void world_turn(struct world *world)
{
    uv_run(&world->loop, UV_RUN_ONCE);
    assert_false(world->late);
}

static void world_on_closed(void *ctx)
{
    struct world *world = ctx;

    world->closed++;
}

void world_close(struct world *world)
{
    const int before = world->closed;

    if (!world->port)
        return;
    aisys_redis_port_close(world->port, world_on_closed, world);
    world->port = NULL;
    RUN_UNTIL(world, world->closed == before + 1);
}

void world_deinit(struct world *world)
{
    world_close(world);
    assert_int_equal(world->live_pieces, 0);
    uv_close((uv_handle_t *)&world->bound, NULL);
    uv_close((uv_handle_t *)&world->tick, NULL);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&world->loop), 0);
}

static void *world_resize(void *ctx, void *old, size_t bytes)
{
    struct world *world = ctx;

    if (bytes == 0) {
        world->live_pieces -= old != NULL;
        free(old);
        return NULL;
    }
    if (++world->allocations == world->fail_at)
        return NULL;
    world->live_pieces += old == NULL;
    return realloc(old, bytes);
}

static void world_on_event(void *ctx, enum aisys_redis_port_event event, bool subscriptions,
    const char *reason, uint32_t retry_ms)
{
    struct world *world = ctx;

    if (subscriptions) {
        world->subscription_events[event]++;
        return;
    }
    if (event == AISYS_REDIS_CONNECT_FAILED && world->events[event] < (int)ROWS(world->retries_ms))
        world->retries_ms[world->events[event]] = retry_ms;
    world->events[event]++;
    world->retry_ms = retry_ms;
    snprintf(world->reason, sizeof(world->reason), "%s", reason);
}

static void world_on_room(void *ctx)
{
    struct world *world = ctx;

    world->room++;
}

int world_try_open(struct world *world, struct aisys_redis_config config)
{
    const struct aisys_redis_port_callbacks callbacks = { world_on_event, world_on_room };

    if (!config.host && !config.unix_path)
        config.host = "127.0.0.1";
    if (config.backoff_min_ms == 0)
        config.backoff_min_ms = 5;
    if (config.backoff_max_ms == 0)
        config.backoff_max_ms = 20;
    config.memory = (struct aisys_redis_memory){ world_resize, world };
    return aisys_redis_port_open(&world->loop, &config, &callbacks, world, &world->port);
}

void world_open(struct world *world, struct aisys_redis_config config)
{
    assert_int_equal(world_try_open(world, config), 0);
}

static void show(const struct aisys_redis_value *value, char *to, size_t bytes)
{
    const size_t used = strlen(to);

    switch (value->type) {
    case AISYS_REDIS_NIL:
        snprintf(to + used, bytes - used, "nil");
        break;
    case AISYS_REDIS_INTEGER:
        snprintf(to + used, bytes - used, "%lld", (long long)value->integer);
        break;
    case AISYS_REDIS_STRING:
    case AISYS_REDIS_STATUS:
    case AISYS_REDIS_ERROR:
        snprintf(to + used, bytes - used, "%c%s", "  \"+-"[value->type], value -> text);
        break;
    case AISYS_REDIS_ARRAY:
        snprintf(to + used, bytes - used, "[");
        for (size_t i = 0; i < value->element_nr; i++) {
            if (i > 0)
                snprintf(to + strlen(to), bytes - strlen(to), " ");
            show(&value->elements[i], to, bytes);
        }
        snprintf(to + strlen(to), bytes - strlen(to), "]");
        break;
    }
}

void got_answer(void *ctx, const struct aisys_redis_answer *answer)
{
    struct got *got = ctx;

    got->calls++;
    got->code = answer->code;
    got->maybe_executed = answer->maybe_executed;
    snprintf(got->message, sizeof(got->message), "%s", answer->message);
    got->shown[0] = '\0';
    if (answer->value) {
        got->type = answer->value->type;
        show(answer->value, got->shown, sizeof(got->shown));
    }
}

size_t world_words(const char *words, struct aisys_redis_arg *args, size_t max)
{
    size_t n = 0;

    while (*words && n < max) {
        const size_t bytes = strcspn(words, " ");

        args[n++] = aisys_redis_bytes(words, bytes);
        words += bytes + (words[bytes] == ' ');
    }
    return n;
}

int world_send(struct world *world, const char *words, uint32_t deadline_ms, struct got *got)
{
    struct aisys_redis_arg args[16];
    const size_t n = world_words(words, args, 16);

    if (got)
        memset(got, 0, sizeof(*got));
    return aisys_redis_port_command(
        world->port, args, n, deadline_ms, got ? got_answer : NULL, got);
}

void world_expect(struct world *world, const char *words, const char *shown)
{
    struct got got;

    assert_int_equal(world_send(world, words, 0, &got), 0);
    RUN_UNTIL(world, got.calls > 0);
    assert_string_equal(got.message, "");
    assert_int_equal(got.code, AISYS_OK);
    assert_string_equal(got.shown, shown);
}

struct aisys_redis_port_stats world_stats(const struct world *world)
{
    struct aisys_redis_port_stats stats;

    aisys_redis_port_stats(world->port, &stats);
    assert_int_equal(stats.accepted, stats.answered + stats.errors + stats.too_large +
                                         stats.aborted + stats.deadline + stats.lost +
                                         stats.cancelled + stats.open);
    return stats;
}

/* --- fake --- */

static void fake_on_client_closed(uv_handle_t *handle)
{
    free(handle);
}

void fake_hang_up(struct fake *fake)
{
    if (!fake->client)
        return;
    uv_close((uv_handle_t *)fake->client, fake_on_client_closed);
    fake->client = NULL;
}

void fake_say(struct fake *fake, const void *data, size_t bytes)
{
    while (bytes > 0 && fake->client) {
        uv_buf_t buffer = uv_buf_init((char *)data, (unsigned)bytes);
        const int n = uv_try_write((uv_stream_t *)fake->client, &buffer, 1);

        if (n == UV_EAGAIN) { /* the port reads when its loop turns: not from in here */
            fail_msg("the fake's socket is full: say less at once");
        } else if (n < 0) {
            fake_hang_up(fake);
        } else {
            data = (const char *)data + n;
            bytes -= (size_t)n;
        }
    }
}

void fake_say_text(struct fake *fake, const char *text)
{
    fake_say(fake, text, strlen(text));
}

/* One whole command out of the input as text; its bytes, or 0 when it is incomplete. */
static size_t fake_take(struct fake *fake, char *words, size_t words_bytes)
{
    const char *at = fake->input;
    const char *const end = fake->input + fake->input_bytes;
    int n;
    int length;

    words[0] = '\0';
    if (at == end || !memchr(at, '\n', (size_t)(end - at)) || sscanf(at, "*%d", &n) != 1)
        return 0;
    at = strchr(at, '\n') + 1;
    for (int i = 0; i < n; i++) {
        if (at >= end || !memchr(at, '\n', (size_t)(end - at)) || sscanf(at, "$%d", &length) != 1)
            return 0;
        at = strchr(at, '\n') + 1;
        if (end - at < length + 2)
            return 0;
        snprintf(
            words + strlen(words), words_bytes - strlen(words), "%s%.*s", i ? " " : "", length, at);
        at += length + 2;
    }
    return (size_t)(at - fake->input);
}

static void fake_on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *ret)
{
    struct fake *fake = handle->data;

    (void)wanted;
    *ret = uv_buf_init(
        fake->input + fake->input_bytes, (unsigned)(sizeof(fake->input) - 1 - fake->input_bytes));
}

static void fake_on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    struct fake *fake = stream->data;
    char words[512];
    size_t taken;

    (void)buffer;
    if (fake->client != (uv_tcp_t *)stream)
        return;
    if (n < 0) {
        fake_hang_up(fake);
        return;
    }
    fake->input_bytes += (size_t)n;
    fake->input[fake->input_bytes] = '\0';
    while (fake->client == (uv_tcp_t *)stream && (taken = fake_take(fake, words, sizeof(words)))) {
        memmove(fake->input, fake->input + taken, fake->input_bytes - taken + 1);
        fake->input_bytes -= taken;
        if (fake->silent)
            continue;
        if (!fake->greeted) {
            fake->greeted = true;
            fake_say_text(fake, "+PONG\r\n");
        } else {
            fake->commands++;
            if (fake->command)
                fake->command(fake, words, fake->commands);
        }
    }
}

static void fake_on_connection(uv_stream_t *listener, int status)
{
    struct fake *fake = listener->data;
    uv_tcp_t *client = malloc(sizeof(*client));

    assert_int_equal(status, 0);
    assert_non_null(client);
    fake_hang_up(fake);
    uv_tcp_init(fake->loop, client);
    client->data = fake;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)client), 0);
    fake->client = client;
    fake->connections++;
    fake->input_bytes = 0;
    fake->greeted = false;
    uv_read_start((uv_stream_t *)client, fake_on_alloc, fake_on_read);
}

void fake_start(struct fake *fake, struct world *world)
{
    struct sockaddr_in address;
    int length = sizeof(address);

    memset(fake, 0, sizeof(*fake));
    fake->loop = &world->loop;
    uv_tcp_init(fake->loop, &fake->listener);
    fake->listener.data = fake;
    uv_ip4_addr("127.0.0.1", 0, &address);
    assert_int_equal(uv_tcp_bind(&fake->listener, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&fake->listener, 16, fake_on_connection), 0);
    uv_tcp_getsockname(&fake->listener, (struct sockaddr *)&address, &length);
    fake->port = ntohs(address.sin_port);
}

void fake_stop(struct fake *fake)
{
    fake_hang_up(fake);
    uv_close((uv_handle_t *)&fake->listener, NULL);
}
