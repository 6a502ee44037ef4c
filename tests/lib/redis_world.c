#include "unit.h"

#include "redis_world.h"

#define BOUND_MS 30000

static void world_on_bound(uv_timer_t *timer)
{
    ((struct redis_world *)timer->data)->late = true;
}

void redis_world_open(struct redis_world *world)
{
    memset(world, 0, sizeof(*world));
    stage_open(&world->stage);
    assert_int_equal(uv_loop_init(&world->loop), 0);
    uv_timer_init(&world->loop, &world->bound);
    world->bound.data = world;
    uv_timer_start(&world->bound, world_on_bound, BOUND_MS, 0);
}

void redis_world_connect(struct redis_world *world, uint16_t port)
{
    const struct aisys_redis_config config = {
        .host = "127.0.0.1", .port = port, .backoff_min_ms = 5, .backoff_max_ms = 20
    };

    assert_int_equal(aisys_env_redis_open(&world->loop, &world->stage.fake.env, world->stage.core,
                         &config, &world->redis),
        0);
}

void redis_world_turn(struct redis_world *world)
{
    uv_run(&world->loop, UV_RUN_ONCE);
    fake_env_settle(&world->stage.fake);
    assert_false(world->late);
}

enum aisys_redis_state redis_world_state(const struct redis_world *world)
{
    return aisys_redis_state(aisys_core_actor(world->stage.core, world->stage.caller), NULL);
}

int redis_world_call(
    struct redis_world *world, const char *to, const char *method, const ProtobufCMessage *request)
{
    stage_begin(&world->stage, to, method, request);
    fake_env_settle(&world->stage.fake);
    REDIS_WORLD_UNTIL(world, world->stage.ended);
    return world->stage.code;
}

static void world_on_closed(void *ctx)
{
    ((struct redis_world *)ctx)->closed = true;
}

void redis_world_disconnect(struct redis_world *world)
{
    if (!world->redis)
        return;
    world->closed = false;
    aisys_env_redis_close(world->redis, world_on_closed, world);
    REDIS_WORLD_UNTIL(world, world->closed);
    world->redis = NULL;
}

void redis_world_close(struct redis_world *world)
{
    redis_world_disconnect(world);
    stage_close(&world->stage);
    uv_close((uv_handle_t *)&world->bound, NULL);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&world->loop), 0);
}
