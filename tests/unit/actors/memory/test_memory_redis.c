/* The memory with its records in a real Redis, and its index in SQLite. */
#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "aisys/memory.pb-c.h"
#include "fake_db.h"
#include "memory/memory_orchestrator.h"
#include "redis_server.h"
#include "redis_world.h"

static struct redis_server server;
static struct redis_world world;
static struct fake_db db;
static Aisys__Memory__MemoryOrchestratorConfig config;

static void turn(void)
{
    fake_db_pump(&db);
    uv_run(&world.loop, UV_RUN_NOWAIT);
    fake_env_settle(&world.stage.fake);
    assert_false(world.late);
}

static void until_ready(void)
{
    while (aisys_core_state(world.stage.core) == AISYS_CORE_STARTING)
        turn();
    assert_int_equal(aisys_core_down(world.stage.core), 0);
}

static void open_in(const char *dir)
{
    redis_world_open(&world);
    redis_world_connect(&world, server.port);
    fake_db_init(&db, &world.stage.fake, dir);
    aisys__memory__memory_orchestrator_config__init(&config);
    config.backend = AISYS__MEMORY__MEMORY_ORCHESTRATOR_CONFIG__BACKEND__REDIS;
    stage_add(&world.stage, &aisys_memory_orchestrator_ops,
        &(struct aisys_actor_options){ .name = "memory", .config = &config.base });
    stage_start(&world.stage);
    until_ready();
}

static void shut(bool keep)
{
    aisys_core_stop(world.stage.core);
    while (aisys_core_state(world.stage.core) != AISYS_CORE_STOPPED)
        turn();
    redis_world_close(&world);
    fake_db_deinit(&db, keep);
}

static int setup(void **state)
{
    (void)state;
    memset(&server, 0, sizeof(server));
    if (redis_server_start(&server) < 0)
        return -1;
    open_in(NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    shut(false);
    redis_server_stop(&server);
    return 0;
}

static int call(const char *method, const ProtobufCMessage *request)
{
    stage_begin(&world.stage, "memory", method, request);
    while (!world.stage.ended)
        turn();
    return world.stage.code;
}

static int store_in(const char *session, const char *text, const char *request_id)
{
    Aisys__Memory__StoreRequest r = AISYS__MEMORY__STORE_REQUEST__INIT;
    char *tags[] = { (char *)"one", (char *)"two words" };

    r.text = (char *)(uintptr_t)text;
    r.session = (char *)(uintptr_t)session;
    r.request_id = (char *)(uintptr_t)request_id;
    r.tags = tags;
    r.n_tags = 2;
    return call("Store", &r.base);
}

static const char *search(const char *query)
{
    static char ids[256];
    Aisys__Memory__SearchRequest r = AISYS__MEMORY__SEARCH_REQUEST__INIT;
    const Aisys__Memory__SearchReply *reply;

    r.query = (char *)(uintptr_t)query;
    assert_int_equal(call("Search", &r.base), AISYS_OK);
    reply = stage_reply(&world.stage, &aisys__memory__search_reply__descriptor);
    ids[0] = '\0';
    for (size_t i = 0; i < reply->n_hits; i++) {
        strcat(ids, i > 0 ? " " : "");
        strcat(ids, reply->hits[i]->memory->id);
    }
    return ids;
}

static const Aisys__Memory__Record *get(const char *id)
{
    Aisys__Memory__GetRequest r = AISYS__MEMORY__GET_REQUEST__INIT;

    r.id = (char *)(uintptr_t)id;
    if (call("Get", &r.base) != AISYS_OK)
        return NULL;
    return ((const Aisys__Memory__GetReply *)stage_reply(
                &world.stage, &aisys__memory__get_reply__descriptor))
        ->memory;
}

static int supersede(const char *id, const char *text)
{
    Aisys__Memory__SupersedeRequest r = AISYS__MEMORY__SUPERSEDE_REQUEST__INIT;

    r.id = (char *)(uintptr_t)id;
    r.text = (char *)(uintptr_t)text;
    return call("Supersede", &r.base);
}

static int forget(const char *id)
{
    Aisys__Memory__ForgetRequest r = AISYS__MEMORY__FORGET_REQUEST__INIT;
    char *ids[] = { (char *)(uintptr_t)id };

    r.id = ids;
    r.n_id = 1;
    return call("Forget", &r.base);
}

static void fill(void)
{
    Aisys__Memory__RelateRequest relate = AISYS__MEMORY__RELATE_REQUEST__INIT;

    assert_int_equal(store_in("s", "What did Anna bring to the picnic?", NULL), AISYS_OK);
    assert_int_equal(store_in("s", "A ceramic teapot.", NULL), AISYS_OK);
    assert_int_equal(store_in("s", "Lovely weather today", NULL), AISYS_OK);
    assert_int_equal(store_in(NULL, "The key is in the blue drawer", "r-1"), AISYS_OK);
    assert_int_equal(supersede("4", "The key is in the red drawer"), AISYS_OK);
    relate.from = (char *)"2";
    relate.to = (char *)"1";
    relate.type = (char *)"answers: fully";
    relate.weight = 0.5;
    relate.has_weight = true;
    assert_int_equal(call("Relate", &relate.base), AISYS_OK);
    assert_int_equal(store_in(NULL, "gone soon", NULL), AISYS_OK);
    assert_int_equal(forget("6"), AISYS_OK);
}

static void check(void)
{
    const Aisys__Memory__Record *memory;

    assert_string_equal(search("key drawer"), "5");
    assert_string_equal(search("gone"), "");
    assert_string_equal(search("lovely"), "3 2"); /* a neighbour */
    memory = get("4");
    assert_string_equal(memory->superseded_by, "5");
    assert_string_equal(memory->text, "The key is in the blue drawer");
    memory = get("2");
    assert_int_equal(memory->n_tags, 2);
    assert_string_equal(memory->tags[1], "two words");
    assert_string_equal(memory->session, "s");
    assert_int_equal(memory->n_relations, 1);
    assert_string_equal(memory->relations[0]->type, "answers: fully");
    assert_string_equal(memory->relations[0]->to, "1");
    assert_null(get("6"));
}

static void test_everything_as_on_sqlite(void **state)
{
    Aisys__Memory__StatsRequest stats = AISYS__MEMORY__STATS_REQUEST__INIT;
    char dir[64];

    (void)state;
    fill();
    check();
    assert_int_equal(supersede("4", "again"), AISYS_FAILED_PRECONDITION);
    assert_int_equal(call("Stats", &stats.base), AISYS_OK);
    assert_string_equal(((const Aisys__Memory__StatsReply *)stage_reply(
                             &world.stage, &aisys__memory__stats_reply__descriptor))
                            ->backend,
        "redis");
    strcpy(dir, db.dir);
    shut(true);
    open_in(dir);
    check();
    assert_int_equal(store_in(NULL, "other", "r-1"), AISYS_OK); /* the same request again */
    assert_string_equal(((const Aisys__Memory__StoreReply *)stage_reply(
                             &world.stage, &aisys__memory__store_reply__descriptor))
                            ->id,
        "4");
    assert_string_equal(search("other"), "");
}

/* The index is lost: it is made again of what is in Redis. */
static void test_index_is_made_again(void **state)
{
    (void)state;
    fill();
    shut(false);
    open_in(NULL);
    check();
    assert_int_equal(store_in(NULL, "next", NULL), AISYS_OK);
    assert_string_equal(search("next"), "7"); /* no id is given twice */
}

/* Kept in Redis, but the index could not be told: the next start does. */
static void test_what_the_index_missed_is_made_good(void **state)
{
    char dir[64];

    (void)state;
    fill();
    db.fail_writes = 1;
    db.fail_code = AISYS_RESOURCE_EXHAUSTED;
    db.fail_words = "disk full";
    assert_int_equal(store_in("s", "purple elephant", NULL), AISYS_RESOURCE_EXHAUSTED);
    assert_string_equal(search("elephant"), "");
    db.fail_writes = 1;
    assert_int_equal(forget("3"), AISYS_RESOURCE_EXHAUSTED);
    strcpy(dir, db.dir);
    shut(true);
    open_in(dir);
    assert_string_equal(search("elephant"), "7 2"); /* it follows 2 now */
    assert_null(get("3"));
    assert_string_equal(search("picnic"), "1 2 7"); /* now the second after it */
}

static void health(struct aisys_health *ret_health)
{
    aisys_core_health(world.stage.core, aisys_core_lookup(world.stage.core, "memory"), ret_health);
}

/* A turn, and a little of the actor's time. */
static void later(struct aisys_health *ret_health)
{
    turn();
    world.stage.fake.now_ms += 10;
    health(ret_health);
}

static void test_redis_goes_and_comes_back(void **state)
{
    struct aisys_health h;

    (void)state;
    fill();
    redis_server_kill(&server);
    while (redis_world_state(&world) == AISYS_REDIS_THERE)
        turn();
    assert_int_equal(store_in(NULL, "while away", NULL), AISYS_UNAVAILABLE);
    assert_int_equal(forget("1"), AISYS_UNAVAILABLE);
    check(); /* what is known can be found */
    health(&h);
    assert_int_equal(h.status, AISYS_DEGRADED);

    /* It comes back without its data: that does not empty the index. */
    redis_server_start(&server);
    while (strstr(h.why, "restore its data") == NULL)
        later(&h);
    assert_int_equal(h.status, AISYS_DEGRADED);
    assert_int_equal(store_in(NULL, "still refused", NULL), AISYS_UNAVAILABLE);
    check();
}

/* No answer in time: it may have been done there. It was, and the index learns of it. */
static void test_redis_is_silent_for_a_while(void **state)
{
    struct aisys_health h;

    (void)state;
    fill();
    redis_server_pause(&server);
    world.stage.deadline_ms = 100;
    stage_begin(&world.stage, "memory", "Store",
        &(Aisys__Memory__StoreRequest){
            PROTOBUF_C_MESSAGE_INIT(&aisys__memory__store_request__descriptor),
            .text = (char *)"heard late" }
             .base);
    health(&h);
    while (h.status == AISYS_HEALTHY)
        later(&h);
    world.stage.deadline_ms = 0;
    assert_int_equal(store_in(NULL, "refused", NULL), AISYS_UNAVAILABLE);
    redis_server_resume(&server);
    while (h.status != AISYS_HEALTHY || strcmp(search("late"), "7") != 0)
        later(&h);
    check();
}

static void test_redis_is_away_at_the_start(void **state)
{
    char dir[64];
    struct aisys_health h;

    (void)state;
    fill();
    strcpy(dir, db.dir);
    shut(true);
    redis_server_kill(&server);
    open_in(dir); /* ready all the same */
    check();
    assert_int_equal(store_in(NULL, "no", NULL), AISYS_UNAVAILABLE);
    health(&h);
    assert_int_equal(h.status, AISYS_DEGRADED);
}

/* A silent Redis does not keep the actor from stopping: what was used is not saved, that is all. */
static void test_stops_though_redis_is_silent(void **state)
{
    (void)state;
    fill();
    check(); /* there is something to save */
    redis_server_pause(&server);
    aisys_core_stop(world.stage.core);
    while (aisys_core_state(world.stage.core) != AISYS_CORE_STOPPED)
        turn();
    redis_server_resume(&server);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_everything_as_on_sqlite),
        CASE(test_index_is_made_again),
        CASE(test_what_the_index_missed_is_made_good),
        CASE(test_redis_goes_and_comes_back),
        CASE(test_redis_is_silent_for_a_while),
        CASE(test_redis_is_away_at_the_start),
        CASE(test_stops_though_redis_is_silent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
