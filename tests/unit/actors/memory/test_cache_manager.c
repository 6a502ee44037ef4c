/* cache_manager as its callers see it: every case runs in memory, and on a real Redis. */
#include "unit.h"

#include "redis_server.h"
#include "redis_world.h"

#include "cache_manager.h"

#include <stdlib.h>

static struct redis_server server;
static struct redis_world world;
static Aisys__Cache__CacheManagerConfig config;
static bool on_redis;

static void begin_world(bool redis)
{
    on_redis = redis;
    redis_world_open(&world);
    if (redis) {
        redis_world_connect(&world, server.port);
        REDIS_WORLD_UNTIL(&world, redis_world_state(&world) == AISYS_REDIS_THERE);
    }
    aisys__cache__cache_manager_config__init(&config);
}

static void start(void)
{
    stage_add(&world.stage, &aisys_cache_manager_ops,
        &(struct aisys_actor_options){ .name = "cache_manager", .config = &config.base });
    stage_start(&world.stage);
}

/* ---- Calls ------------------------------------------------------------------------------------ */

static int call(const char *method, const ProtobufCMessage *request)
{
    return redis_world_call(&world, "cache_manager", method, request);
}

static int set_bytes(
    const char *ns, const char *key, const void *value, size_t bytes, uint32_t ttl_ms)
{
    Aisys__Cache__SetRequest request = AISYS__CACHE__SET_REQUEST__INIT;

    request.namespace_ = (char *)(uintptr_t)ns;
    request.key = (char *)(uintptr_t)key;
    request.has_value = value != NULL;
    request.value.data = (uint8_t *)(uintptr_t)value;
    request.value.len = bytes;
    request.has_ttl_ms = ttl_ms != 0;
    request.ttl_ms = ttl_ms;
    return call("Set", &request.base);
}

static int set(const char *ns, const char *key, const char *value, uint32_t ttl_ms)
{
    return set_bytes(ns, key, value, strlen(value), ttl_ms);
}

static const Aisys__Cache__GetReply *get(const char *ns, const char *key)
{
    Aisys__Cache__GetRequest request = AISYS__CACHE__GET_REQUEST__INIT;

    request.namespace_ = (char *)(uintptr_t)ns;
    request.key = (char *)(uintptr_t)key;
    if (call("Get", &request.base) != AISYS_OK)
        return NULL;
    return stage_reply(&world.stage, &aisys__cache__get_reply__descriptor);
}

static void expect(const char *ns, const char *key, const char *value)
{
    const Aisys__Cache__GetReply *reply = get(ns, key);

    if (!value) {
        assert_null(reply);
        assert_int_equal(world.stage.code, AISYS_NOT_FOUND);
        return;
    }
    assert_non_null(reply);
    assert_int_equal(reply->value.len, strlen(value));
    assert_memory_equal(reply->value.data, value, strlen(value));
}

static bool delete (const char *ns, const char *key)
{
    Aisys__Cache__DeleteRequest request = AISYS__CACHE__DELETE_REQUEST__INIT;
    const Aisys__Cache__DeleteReply *reply;

    request.namespace_ = (char *)(uintptr_t)ns;
    request.key = (char *)(uintptr_t)key;
    call("Delete", &request.base);
    reply = stage_reply(&world.stage, &aisys__cache__delete_reply__descriptor);
    return reply->deleted;
}

static unsigned invalidate(const char *ns)
{
    Aisys__Cache__InvalidateRequest request = AISYS__CACHE__INVALIDATE_REQUEST__INIT;
    const Aisys__Cache__InvalidateReply *reply;

    request.namespace_ = (char *)(uintptr_t)ns;
    call("Invalidate", &request.base);
    reply = stage_reply(&world.stage, &aisys__cache__invalidate_reply__descriptor);
    return reply->count;
}

static const Aisys__Cache__StatsReply *stats(void)
{
    const Aisys__Cache__StatsRequest request = AISYS__CACHE__STATS_REQUEST__INIT;

    call("Stats", &request.base);
    return stage_reply(&world.stage, &aisys__cache__stats_reply__descriptor);
}

static const Aisys__Cache__StatsReply__Namespace *stats_of(const char *ns)
{
    const Aisys__Cache__StatsReply *reply = stats();

    for (size_t i = 0; i < reply->n_namespaces; i++)
        if (strcmp(reply->namespaces[i]->name, ns) == 0)
            return reply->namespaces[i];
    fail_msg("no namespace %s", ns);
    return NULL;
}

/* ---- On both backends ------------------------------------------------------------------------- */

static int setup_memory(void **state)
{
    (void)state;
    begin_world(false);
    return 0;
}

static int setup_redis(void **state)
{
    (void)state;
    redis_server_kill(&server); /* an empty one for each case */
    if (redis_server_start(&server))
        return -1;
    begin_world(true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    redis_world_close(&world);
    return 0;
}

static void test_set_get_delete(void **state)
{
    (void)state;
    start();
    expect("ns", "k", NULL);
    assert_int_equal(set("ns", "k", "one", 0), AISYS_OK);
    expect("ns", "k", "one");
    assert_int_equal(get("ns", "k")->ttl_ms, 0);
    assert_int_equal(set("ns", "k", "two", 0), AISYS_OK);
    expect("ns", "k", "two");
    expect("other", "k", NULL);
    assert_int_equal(set("ns", "empty", "", 0), AISYS_OK);
    expect("ns", "empty", "");
    assert_int_equal(set_bytes("ns", "bytes", "a\0\xff\r\n", 5, 0), AISYS_OK);
    assert_memory_equal(get("ns", "bytes")->value.data, "a\0\xff\r\n", 5);
    assert_true(delete ("ns", "k"));
    assert_false(delete ("ns", "k"));
    expect("ns", "k", NULL);
}

/* No two pairs of namespace and key are the same, whatever signs are in them. */
static void test_names(void **state)
{
    static const char *const names[][2] = { { "a", "b:c" }, { "a:b", "c" }, { "a%3Ab", "c" },
        { "a%b", "c" }, { "ä ö", "ü:" }, { "%3A", ":" }, { ":", "%3A" } };
    const Aisys__Cache__StatsReply *reply;

    (void)state;
    start();
    for (size_t i = 0; i < ROWS(names); i++) {
        char value[8];

        snprintf(value, sizeof(value), "%zu", i);
        assert_int_equal(set(names[i][0], names[i][1], value, 0), AISYS_OK);
    }
    for (size_t i = 0; i < ROWS(names); i++) {
        char value[8];

        snprintf(value, sizeof(value), "%zu", i);
        expect(names[i][0], names[i][1], value);
    }
    reply = stats();
    assert_int_equal(reply->n_namespaces, ROWS(names));
    for (size_t i = 0; i < ROWS(names); i++)
        assert_int_equal(stats_of(names[i][0])->keys, 1);
}

static void test_stats(void **state)
{
    const Aisys__Cache__StatsReply__Namespace *ns;

    (void)state;
    start();
    assert_int_equal(stats()->n_namespaces, 0);
    assert_int_equal(stats()->backend, on_redis ? AISYS__CACHE__STATS_REPLY__BACKEND__REDIS
                                                : AISYS__CACHE__STATS_REPLY__BACKEND__MEMORY);
    set("ns", "key", "value", 0);
    set("ns", "key", "valu", 0);
    set("ns", "key2", "value", 0);
    expect("ns", "key", "valu");
    expect("ns", "key", "valu");
    expect("ns", "none", NULL);
    ns = stats_of("ns");
    assert_int_equal(ns->keys, 2);
    assert_int_equal(ns->bytes, 3 + 4 + 4 + 5 + 2 * 128);
    assert_int_equal(ns->hits, 2);
    assert_int_equal(ns->misses, 1);
    assert_int_equal(ns->evictions, 0);
    assert_true(delete ("ns", "key2"));
    assert_int_equal(stats_of("ns")->bytes, 3 + 4 + 128);
}

static void test_the_least_recently_used_leaves(void **state)
{
    static char kib[1025];

    (void)state;
    memset(kib, 'x', 1024);
    config.quota_bytes = 4 * (1 + 1024 + 128);
    start();
    for (char key[2] = "1"; key[0] <= '4'; key[0]++)
        assert_int_equal(set("ns", key, kib, 0), AISYS_OK);
    assert_int_equal(set("other", "1", kib, 0), AISYS_OK);
    expect("ns", "1", kib);
    assert_int_equal(set("ns", "5", kib, 0), AISYS_OK);
    expect("ns", "1", kib);
    expect("ns", "2", NULL);
    expect("ns", "3", kib);
    expect("ns", "5", kib);
    expect("other", "1", kib);
    assert_int_equal(stats_of("ns")->keys, 4);
    assert_int_equal(stats_of("ns")->bytes, config.quota_bytes);
    assert_int_equal(stats_of("ns")->evictions, 1);
}

static void test_sizes(void **state)
{
    static char big[(1u << 20) + 1];
    static char name[258];

    (void)state;
    start();
    memset(big, 'x', sizeof(big));
    memset(name, 'n', 257);
    assert_int_equal(set_bytes("ns", "k", big, 1u << 20, 0), AISYS_OK);
    assert_int_equal(get("ns", "k")->value.len, 1u << 20);
    assert_int_equal(set_bytes("ns", "k", big, sizeof(big), 0), AISYS_RESOURCE_EXHAUSTED);
    assert_string_equal(
        world.stage.words, "a value of 1048577 bytes; config.value_bytes allows 1048576");
    assert_int_equal(get("ns", "k")->value.len, 1u << 20);

    assert_int_equal(set("ns", name, "x", 0), AISYS_INVALID_ARGUMENT);
    assert_int_equal(set(name, "k", "x", 0), AISYS_INVALID_ARGUMENT);
    assert_int_equal(set("", "k", "x", 0), AISYS_INVALID_ARGUMENT);
    assert_int_equal(set("ns", "", "x", 0), AISYS_INVALID_ARGUMENT);
    assert_int_equal(set("ns", "\xff", "x", 0), AISYS_INVALID_ARGUMENT);
    assert_int_equal(set_bytes("ns", "k", NULL, 0, 0), AISYS_INVALID_ARGUMENT);
    name[256] = '\0';
    assert_int_equal(set(name, name, "x", 0), AISYS_OK);
    expect(name, name, "x");
    memset(name, ':', 256);
    assert_int_equal(set(name, name, "x", 0), AISYS_OK);
    expect(name, name, "x");
}

static void test_a_value_over_the_quota(void **state)
{
    static char value[8192];

    (void)state;
    config.quota_bytes = 4096;
    start();
    assert_int_equal(set("ns", "k", "old", 0), AISYS_OK);
    assert_int_equal(set_bytes("ns", "k", value, 4096, 0), AISYS_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(world.stage.words, "more than a namespace may hold"));
    expect("ns", "k", "old");
    assert_int_equal(set_bytes("ns", "k", value, 4096 - 128 - 1, 0), AISYS_OK);
}

static void test_invalidate(void **state)
{
    (void)state;
    start();
    assert_int_equal(invalidate("ns"), 0);
    for (unsigned i = 0; i < 1234; i++) { /* more than one step on Redis */
        char key[16];

        snprintf(key, sizeof(key), "%u", i);
        assert_int_equal(set("ns", key, "x", i % 3 ? 0 : 60000), AISYS_OK);
    }
    set("other", "k", "x", 0);
    assert_int_equal(invalidate("ns"), 1234);
    expect("ns", "5", NULL);
    expect("other", "k", "x");
    assert_int_equal(stats_of("ns")->keys, 0);
    assert_int_equal(stats_of("ns")->bytes, 0);
    assert_int_equal(invalidate("ns"), 0);
    set("ns", "5", "new", 0);
    expect("ns", "5", "new");
    assert_int_equal(stats_of("ns")->keys, 1);
    fake_env_pass(&world.stage.fake, 10); /* in memory the sweeper frees */
}

static void test_namespaces_have_a_bound(void **state)
{
    (void)state;
    config.namespaces_max = 2;
    start();
    assert_int_equal(set("a", "k", "x", 0), AISYS_OK);
    assert_int_equal(set("b", "k", "x", 0), AISYS_OK);
    assert_int_equal(set("c", "k", "x", 0), AISYS_RESOURCE_EXHAUSTED);
    assert_string_equal(world.stage.words,
        "there are 2 namespaces, as many as config.namespaces_max allows, and none is empty");
    expect("c", "k", NULL);
    assert_int_equal(invalidate("a"), 1);
    assert_int_equal(set("c", "k", "x", 0), AISYS_OK);
    assert_int_equal(stats()->n_namespaces, 2);
}

/* ---- In memory -------------------------------------------------------------------------------- */

static void test_ttl_in_memory(void **state)
{
    (void)state;
    start();
    assert_int_equal(set("ns", "k", "x", 2500), AISYS_OK);
    assert_int_equal(set("ns", "swept", "x", 2500), AISYS_OK);
    fake_env_pass(&world.stage.fake, 1000);
    assert_int_equal(get("ns", "k")->ttl_ms, 1500);
    fake_env_pass(&world.stage.fake, 1499);
    assert_int_equal(get("ns", "k")->ttl_ms, 1);
    fake_env_pass(&world.stage.fake, 1);
    expect("ns", "k", NULL);
    fake_env_pass(&world.stage.fake, 1000);
    assert_int_equal(stats_of("ns")->keys, 0);
    assert_int_equal(aisys_core_next_ms(world.stage.core), UINT64_MAX); /* the sweeper sleeps */
}

/* The account of the actor is the bound; others leave for the new value, and it never fails the actor. */
static void test_the_memory_limit(void **state)
{
    static char big[300000];
    struct aisys_actor_info info;

    (void)state;
    stage_add(&world.stage, &aisys_cache_manager_ops,
        &(struct aisys_actor_options){
            .name = "cache_manager", .memory_bytes_max = 1 << 20, .config = &config.base });
    stage_start(&world.stage);
    for (char key[2] = "a"; key[0] <= 'z'; key[0]++)
        assert_int_equal(set_bytes("ns", key, big, sizeof(big), 0), AISYS_OK);
    expect("ns", "a", NULL);
    assert_int_equal(get("ns", "z")->value.len, sizeof(big));
    assert_true(stats_of("ns")->keys >= 2);
    assert_true(aisys_core_info(
        world.stage.core, aisys_core_lookup(world.stage.core, "cache_manager"), &info));
    assert_true(info.memory_bytes <= 1 << 20);
    assert_int_equal(info.restarts, 0);
}

static void test_redis_is_demanded_but_not_configured(void **state)
{
    struct aisys_actor_info info;

    (void)state;
    config.backend = AISYS__CACHE__CACHE_MANAGER_CONFIG__BACKEND__REDIS;
    start();
    assert_true(aisys_core_info(
        world.stage.core, aisys_core_lookup(world.stage.core, "cache_manager"), &info));
    assert_true(info.down);
    assert_string_equal(info.last_failure, "config.backend is REDIS, but redis.host is not set");
}

/* Whatever allocation fails: one end, and nothing leaks (teardown). */
static void test_no_memory(void **state)
{
    Aisys__Cache__SetRequest request = AISYS__CACHE__SET_REQUEST__INIT;

    (void)state;
    start();
    request.namespace_ = (char *)(uintptr_t) "ns";
    request.key = (char *)(uintptr_t) "k";
    request.has_value = true;
    request.value.data = (uint8_t *)(uintptr_t) "value";
    request.value.len = 5;
    for (long n = 0;; n++) {
        stage_begin(&world.stage, "cache_manager", "Set", &request.base);
        world.stage.fake.fault_fired = false;
        world.stage.fake.fail_alloc_after = n;
        fake_env_settle(&world.stage.fake);
        world.stage.fake.fail_alloc_after = -1;
        assert_true(world.stage.ended);
        if (!world.stage.fake.fault_fired)
            break;
        assert_true(world.stage.code == AISYS_OK || world.stage.code == AISYS_RESOURCE_EXHAUSTED);
    }
    expect("ns", "k", "value");
}

/* ---- On Redis --------------------------------------------------------------------------------- */

/* Ask Redis itself, behind the actor's back. */
static char shown[256];
static unsigned answers;

static int on_peek(struct aisys_actor *self, const struct aisys_end *end)
{
    const struct aisys_redis_value *value = end->result;

    (void)self;
    assert_int_equal(end->code, AISYS_OK);
    if (aisys_redis_is_integer(value))
        snprintf(shown, sizeof(shown), "%lld", (long long)value->integer);
    else
        snprintf(shown, sizeof(shown), "%s", aisys_redis_text(value));
    answers++;
    return 0;
}

static const struct aisys_continuation peek_continuations[] = { { "on_peek", on_peek, NULL },
    { 0 } };
static const struct aisys_actor_ops peek_ops = {
    .abi = AISYS_ABI, .name = "peek", .continuations = peek_continuations
};

static const char *redis_says(const char *words)
{
    const struct aisys_id id =
        stage_add(&world.stage, &peek_ops, &(struct aisys_actor_options){ 0 });
    const unsigned before = answers;
    struct aisys_redis_arg args[8];
    size_t nr = 0;

    while (*words) {
        const size_t bytes = strcspn(words, " ");

        args[nr++] = aisys_redis_bytes(words, bytes);
        words += bytes + (words[bytes] == ' ');
    }
    assert_int_equal(aisys_redis_exec(aisys_core_actor(world.stage.core, id), args, nr,
                         (struct aisys_then){ 0 }),
        0);
    REDIS_WORLD_UNTIL(&world, answers > before);
    aisys_core_kill(world.stage.core, id);
    return shown;
}

static void test_where_it_lies(void **state)
{
    (void)state;
    start();
    set("ns", "k", "value", 0);
    set("a:b", "k", "other", 60000);
    assert_string_equal(redis_says("GET aisys:cache:ns:k"), "value");
    assert_string_equal(redis_says("PTTL aisys:cache:ns:k"), "-1");
    assert_string_equal(redis_says("GET aisys:cache:a%3Ab:k"), "other");
    assert_true(get("a:b", "k")->ttl_ms > 50000);
    assert_true(get("a:b", "k")->ttl_ms <= 60000);
}

/* What left without us is put right: by a Get, by Stats, by the next one that needs the room. */
static void test_the_accounts_follow_what_redis_did(void **state)
{
    static char value[1025];

    (void)state;
    memset(value, 'x', 1024);
    config.quota_bytes = 4 * (1 + 1024 + 128);
    start();
    for (char key[2] = "1"; key[0] <= '4'; key[0]++)
        assert_int_equal(set("ns", key, value, 0), AISYS_OK);
    redis_says("DEL aisys:cache:ns:1");
    redis_says("DEL aisys:cache:ns:2");
    expect("ns", "1", NULL);
    assert_int_equal(stats_of("ns")->keys, 3);
    set("ns", "5", value, 0);
    set("ns", "6", value, 0); /* the oldest is 2, which is gone: nobody else must leave */
    assert_int_equal(stats_of("ns")->evictions, 0);
    expect("ns", "3", value);

    set("short", "k", "x", 1);
    set("short", "long", "x", 60000);
    do
        expect("short", "long", "x"); /* until Redis's clock has gone on */
    while (strcmp(redis_says("EXISTS aisys:cache:short:k"), "0") != 0);
    assert_int_equal(stats_of("short")->keys, 1);
    assert_int_equal(stats_of("short")->bytes, 4 + 1 + 128);
    redis_says("FLUSHALL SYNC");
    assert_int_equal(stats()->n_namespaces, 0);
    assert_int_equal(set("ns", "k", "x", 0), AISYS_OK);
    assert_int_equal(stats_of("ns")->bytes, 1 + 1 + 128);
}

static void health(struct aisys_health *ret_health)
{
    aisys_core_health(
        world.stage.core, aisys_core_lookup(world.stage.core, "cache_manager"), ret_health);
}

static void test_redis_goes_and_comes_back(void **state)
{
    struct aisys_health said;

    (void)state;
    start();
    set("ns", "k", "x", 0);
    health(&said);
    assert_int_equal(said.status, AISYS_HEALTHY);
    redis_server_kill(&server);
    REDIS_WORLD_UNTIL(&world, redis_world_state(&world) == AISYS_REDIS_AWAY);
    assert_null(get("ns", "k"));
    assert_int_equal(world.stage.code, AISYS_UNAVAILABLE);
    assert_int_equal(set("ns", "k", "y", 0), AISYS_UNAVAILABLE);
    health(&said);
    assert_int_equal(said.status, AISYS_DEGRADED);
    assert_non_null(strstr(said.why, "Redis is away: "));
    assert_int_equal(redis_server_start(&server), 0);
    REDIS_WORLD_UNTIL(&world, redis_world_state(&world) == AISYS_REDIS_THERE);
    assert_int_equal(set("ns", "k", "y", 0), AISYS_OK);
    expect("ns", "k", "y");
    health(&said);
    assert_int_equal(said.status, AISYS_HEALTHY);
}

static void test_redis_is_full(void **state)
{
    static char value[100000];

    (void)state;
    start();
    assert_int_equal(set("ns", "k", "old", 0), AISYS_OK);
    assert_int_equal(set("ns", "k2", "old", 60000), AISYS_OK);
    assert_string_equal(redis_says("CONFIG SET maxmemory 1"), "OK");
    assert_int_equal(set_bytes("ns", "k", value, sizeof(value), 0), AISYS_RESOURCE_EXHAUSTED);
    expect("ns", "k", "old"); /* all that needs no room works */
    expect("ns", "none", NULL);
    assert_int_equal(stats_of("ns")->keys, 2);
    assert_true(delete ("ns", "k"));
    assert_int_equal(invalidate("ns"), 1);
}

static void test_a_key_of_another_type(void **state)
{
    (void)state;
    start();
    redis_says("LPUSH aisys:cache:ns:k x");
    assert_null(get("ns", "k"));
    assert_int_equal(world.stage.code, AISYS_INTERNAL);
    assert_non_null(strstr(world.stage.words, "WRONGTYPE"));
    assert_int_equal(set("ns", "k", "x", 0), AISYS_OK); /* Set replaces whatever it was */
    expect("ns", "k", "x");
}

static int stop_server(void **state)
{
    (void)state;
    redis_server_stop(&server);
    return 0;
}

#define BOTH(test)                                                                                 \
    { #test " in memory", test, setup_memory, teardown, NULL },                                    \
    {                                                                                              \
#test " on Redis", test, setup_redis, teardown, NULL                                       \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_set_get_delete),
        BOTH(test_names),
        BOTH(test_stats),
        BOTH(test_the_least_recently_used_leaves),
        BOTH(test_sizes),
        BOTH(test_a_value_over_the_quota),
        BOTH(test_invalidate),
        BOTH(test_namespaces_have_a_bound),
        cmocka_unit_test_setup_teardown(test_ttl_in_memory, setup_memory, teardown),
        cmocka_unit_test_setup_teardown(test_the_memory_limit, setup_memory, teardown),
        cmocka_unit_test_setup_teardown(
            test_redis_is_demanded_but_not_configured, setup_memory, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory, setup_memory, teardown),
        cmocka_unit_test_setup_teardown(test_where_it_lies, setup_redis, teardown),
        cmocka_unit_test_setup_teardown(
            test_the_accounts_follow_what_redis_did, setup_redis, teardown),
        cmocka_unit_test_setup_teardown(test_redis_goes_and_comes_back, setup_redis, teardown),
        cmocka_unit_test_setup_teardown(test_redis_is_full, setup_redis, teardown),
        cmocka_unit_test_setup_teardown(test_a_key_of_another_type, setup_redis, teardown),
    };

    return cmocka_run_group_tests_name("cache_manager", tests, NULL, stop_server);
}
