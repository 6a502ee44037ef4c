/* What Check says of a node that starts, is well, is not so well, and stops. */
#include "unit.h"

#include "actor_stage.h"
#include "aisys/system.pb-c.h"
#include "system_classes.h"

#include <errno.h>

#define STATUS(name) AISYS__SYSTEM__CHECK_REPLY__STATUS__##name
#define FOUND(name)  AISYS__SYSTEM__NODE_CHECK__STATUS__##name

static struct stage stage;
static int start_result;
static struct aisys_health said;
static enum aisys_redis_state redis;
static struct aisys_node_check node_checks[2];
static size_t node_checks_nr;

static int agent_start(struct aisys_actor *self, const void *config)
{
    (void)self;
    (void)config;
    return start_result;
}

static void agent_health(const struct aisys_actor *self, struct aisys_health *ret_health)
{
    (void)self;
    *ret_health = said;
}

static const struct aisys_actor_ops agent_ops = {
    .abi = AISYS_ABI,
    .name = "agent",
    .start = agent_start,
    .health = agent_health,
};

static void checks(
    void *ctx, void (*each)(void *each_ctx, const struct aisys_node_check *check), void *each_ctx)
{
    (void)ctx;
    for (size_t i = 0; i < node_checks_nr; i++)
        each(each_ctx, &node_checks[i]);
}

static struct aisys_node_facts facts = {
    .name = "here",
    .version = "1.2.3",
    .started_ms = 400,
    .checks = checks,
};

static enum aisys_redis_state redis_state(void *ctx, const char **ret_why)
{
    (void)ctx;
    if (redis == AISYS_REDIS_AWAY)
        *ret_why = "127.0.0.1:6379: connection refused";
    return redis;
}

static int setup(void **state)
{
    static char *critical[] = { "Important" };
    static Aisys__System__HealthServiceConfig config = AISYS__SYSTEM__HEALTH_SERVICE_CONFIG__INIT;

    (void)state;
    config.n_critical = 1;
    config.critical = critical;
    start_result = 0;
    said = (struct aisys_health){ AISYS_HEALTHY, "" };
    redis = AISYS_REDIS_NOT_CONFIGURED;
    node_checks_nr = 0;
    facts.role = "pc2";
    stage_open(&stage);
    stage.fake.env.redis.state = redis_state;
    aisys_core_set_facts(stage.core, &facts);
    stage_add(&stage, &aisys_health_service_ops,
        &(struct aisys_actor_options){ .name = "health_service", .config = &config.base });
    stage_add(&stage, &agent_ops,
        &(struct aisys_actor_options){ .name = "important", .alias = "Important" });
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stage_close(&stage);
    return 0;
}

static const Aisys__System__CheckReply *check(void)
{
    const Aisys__System__CheckRequest request = AISYS__SYSTEM__CHECK_REQUEST__INIT;

    stage_call(&stage, "health_service", "Check", &request.base);
    return stage_reply(&stage, &aisys__system__check_reply__descriptor);
}

static const Aisys__System__NodeCheck *named(
    const Aisys__System__CheckReply *reply, const char *name)
{
    for (size_t i = 0; i < reply->n_checks; i++)
        if (strcmp(reply->checks[i]->name, name) == 0)
            return reply->checks[i];
    fail_msg("no check %s", name);
    return NULL;
}

static void test_a_healthy_node(void **state)
{
    static const struct {
        const char *name;
        int status;
        const char *message;
    } rows[] = {
        { "Redis Connection", FOUND(SKIPPED), "redis.host is not set" },
        { "Main PC Agents", FOUND(SKIPPED), "no peer with this role is configured" },
        { "PC2 Agents", FOUND(HEALTHY), "2 of 2 are healthy" },
        { "Cross-Machine Communication", FOUND(SKIPPED), "no peer is configured" },
        { "Error Bus", FOUND(SKIPPED), "no error_bus runs on this node" },
        { "Monitoring Stack", FOUND(SKIPPED), "no metrics actor runs on this node" },
    };
    const Aisys__System__CheckReply *reply;

    (void)state;
    stage_start(&stage);
    reply = check();
    assert_int_equal(reply->status, STATUS(HEALTHY));
    assert_int_equal(reply->n_why, 0);
    assert_int_equal(reply->n_checks, ROWS(rows));
    for (size_t i = 0; i < ROWS(rows); i++) {
        assert_string_equal(reply->checks[i]->name, rows[i].name);
        assert_int_equal(reply->checks[i]->status, rows[i].status);
        assert_string_equal(reply->checks[i]->message, rows[i].message);
    }
    assert_int_equal(reply->n_actors, 2);
    assert_string_equal(reply->actors[1]->name, "important");
    assert_string_equal(reply->node, "here");
    assert_string_equal(reply->role, "pc2");
    assert_string_equal(reply->version, "1.2.3");
    assert_int_equal(reply->uptime_ms, 600);
}

static void test_the_other_role_and_what_runs(void **state)
{
    const Aisys__System__CheckReply *reply;

    (void)state;
    facts.role = "main_pc";
    redis = AISYS_REDIS_THERE;
    stage_add(&stage, &aisys_metrics_ops, &(struct aisys_actor_options){ .name = "metrics" });
    stage_add(&stage, &agent_ops, &(struct aisys_actor_options){ .name = "error_bus" });
    stage_start(&stage);
    reply = check();
    assert_int_equal(reply->status, STATUS(HEALTHY));
    assert_int_equal(named(reply, "Redis Connection")->status, FOUND(HEALTHY));
    assert_int_equal(named(reply, "Main PC Agents")->status, FOUND(HEALTHY));
    assert_int_equal(named(reply, "PC2 Agents")->status, FOUND(SKIPPED));
    assert_string_equal(named(reply, "Error Bus")->message, "error_bus is healthy");
    assert_int_equal(named(reply, "Monitoring Stack")->status, FOUND(HEALTHY));
}

static void test_degraded(void **state)
{
    const Aisys__System__CheckReply *reply;

    (void)state;
    stage_start(&stage);
    said = (struct aisys_health){ AISYS_DEGRADED, "has a cold" };
    redis = AISYS_REDIS_AWAY;
    reply = check();
    assert_int_equal(reply->status, STATUS(DEGRADED));
    assert_int_equal(reply->n_why, 2);
    assert_string_equal(reply->why[0], "important: has a cold");
    assert_string_equal(
        reply->why[1], "Redis Connection: Redis is away: 127.0.0.1:6379: connection refused");
    assert_string_equal(named(reply, "PC2 Agents")->message, "1 of 2 are healthy");
    assert_string_equal(reply->actors[1]->why, "has a cold");

    said = (struct aisys_health){ AISYS_SKIPPED, "nothing to do here" };
    redis = AISYS_REDIS_THERE;
    assert_int_equal(check()->status, STATUS(HEALTHY));
}

static void test_unhealthy_without_what_is_critical(void **state)
{
    const Aisys__System__CheckReply *reply;

    (void)state;
    start_result = -EIO;
    stage_start(&stage);
    reply = check();
    assert_int_equal(reply->status, STATUS(UNHEALTHY));
    assert_int_equal(reply->n_why, 1);
    assert_non_null(strstr(reply->why[0], "important: down"));
}

static void test_what_was_taken_away_is_not_missed(void **state)
{
    (void)state;
    stage_start(&stage);
    said = (struct aisys_health){ AISYS_UNHEALTHY, "" };
    assert_int_equal(check()->status, STATUS(UNHEALTHY));
    aisys_core_kill(stage.core, aisys_core_lookup(stage.core, "important"));
    assert_int_equal(check()->status, STATUS(HEALTHY));
}

static void test_starting_and_stopping(void **state)
{
    const Aisys__System__CheckReply *reply;

    (void)state;
    start_result = AISYS_PENDING;
    stage_start(&stage);
    reply = check();
    assert_int_equal(reply->status, STATUS(STARTING));
    assert_string_equal(reply->why[0], "important: starting");
}

static void test_what_the_node_says(void **state)
{
    const Aisys__System__CheckReply *reply;

    (void)state;
    node_checks[0] = (struct aisys_node_check){ "Cross-Machine Communication", AISYS_HEALTHY,
        "main_pc: 0.2 ms" };
    node_checks[1] = (struct aisys_node_check){ "Events door", AISYS_DEGRADED, "is closed" };
    node_checks_nr = 2;
    stage_start(&stage);
    reply = check();
    assert_int_equal(reply->n_checks, 7);
    assert_int_equal(reply->checks[3]->status, FOUND(HEALTHY));
    assert_string_equal(reply->checks[3]->message, "main_pc: 0.2 ms");
    assert_string_equal(reply->checks[6]->name, "Events door");
    assert_int_equal(reply->status, STATUS(DEGRADED));
    assert_string_equal(reply->why[0], "Events door: is closed");
}

static void test_many_reasons(void **state)
{
    const Aisys__System__CheckReply *reply;
    static char names[100][8];

    (void)state;
    for (unsigned i = 0; i < ROWS(names); i++) {
        snprintf(names[i], sizeof(names[i]), "a%u", i);
        stage_add(&stage, &agent_ops, &(struct aisys_actor_options){ .name = names[i] });
    }
    stage_start(&stage);
    said = (struct aisys_health){ AISYS_DEGRADED, "tired" };
    reply = check();
    assert_int_equal(reply->n_why, 64);
    assert_string_equal(reply->why[63], "and 38 more");
    assert_int_equal(reply->n_actors, 102);
}

static void test_no_memory(void **state)
{
    (void)state;
    stage_start(&stage);
    for (long n = 0;; n++) {
        const Aisys__System__CheckRequest request = AISYS__SYSTEM__CHECK_REQUEST__INIT;

        stage_begin(&stage, "health_service", "Check", &request.base);
        stage.fake.fault_fired = false;
        stage.fake.fail_alloc_after = n;
        fake_env_settle(&stage.fake);
        stage.fake.fail_alloc_after = -1;
        assert_true(stage.ended);
        if (!stage.fake.fault_fired)
            break;
        assert_int_equal(stage.code, AISYS_RESOURCE_EXHAUSTED);
    }
    assert_int_equal(stage.code, AISYS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_healthy_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_other_role_and_what_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_degraded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unhealthy_without_what_is_critical, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_was_taken_away_is_not_missed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_starting_and_stopping, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_the_node_says, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_reasons, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
    };

    return cmocka_run_group_tests_name("health_service", tests, NULL, NULL);
}
