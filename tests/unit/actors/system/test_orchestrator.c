/* What List, Describe and Restart say about actors that do well, badly and not at all. */
#include "unit.h"

#include "actor_stage.h"
#include "aisys/system.pb-c.h"
#include "schema/doc.h"
#include "system_classes.h"

#include <errno.h>

static struct stage stage;
static int starts, start_result;

static int sick_start(struct aisys_actor *self, const void *config)
{
    (void)self;
    (void)config;
    starts++;
    return start_result;
}

static void sick_health(const struct aisys_actor *self, struct aisys_health *ret_health)
{
    (void)self;
    ret_health->status = AISYS_DEGRADED;
    strcpy(ret_health->why, "has a cold");
}

static const struct aisys_actor_ops sick_ops = {
    .abi = AISYS_ABI,
    .name = "sick",
    .start = sick_start,
    .health = sick_health,
};

static const char *comment(void *ctx, const char *full_name)
{
    (void)ctx;
    return aisys_schema_comment(full_name);
}

static const char *module(void *ctx, const struct aisys_actor_ops *ops)
{
    (void)ctx;
    return ops == &sick_ops ? "" : "system";
}

static int json(void *ctx, const ProtobufCMessage *message, char *buf, size_t bytes)
{
    const int n = snprintf(
        buf, bytes, "{\"of\":\"%s\",\"long\":\"%*s\"}", message->descriptor->name, *(int *)ctx, "");

    return (size_t)n < bytes ? 0 : -ENOSPC;
}

static int config_result;

static int print_config(
    void *ctx, int (*put)(void *put_ctx, const char *text, size_t bytes), void *put_ctx)
{
    int r = put(put_ctx, "redis:\n", 7);

    (void)ctx;
    if (r == 0)
        r = put(put_ctx, "  port: 6379\n", 13);
    return r == 0 ? config_result : r;
}

static int config_width;
static const struct aisys_node_facts facts = {
    .ctx = &config_width,
    .comment = comment,
    .module = module,
    .json = json,
    .config = print_config,
};

static int setup(void **state)
{
    static const char *const depends[] = { "orchestrator", NULL };
    static const Aisys__System__OrchestratorConfig config =
        AISYS__SYSTEM__ORCHESTRATOR_CONFIG__INIT;

    (void)state;
    starts = start_result = config_width = config_result = 0;
    stage_open(&stage);
    aisys_core_set_facts(stage.core, &facts);
    stage_add(&stage, &aisys_orchestrator_ops,
        &(struct aisys_actor_options){ .name = "orchestrator", .config = &config.base });
    stage_add(&stage, &sick_ops,
        &(struct aisys_actor_options){
            .name = "patient", .alias = "Patient", .depends = depends, .memory_bytes_max = 4096 });
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stage_close(&stage);
    return 0;
}

static const Aisys__System__ListReply *list(bool all)
{
    Aisys__System__ListRequest request = AISYS__SYSTEM__LIST_REQUEST__INIT;

    request.has_all = request.all = all;
    stage_call(&stage, "orchestrator", "List", &request.base);
    return stage_reply(&stage, &aisys__system__list_reply__descriptor);
}

static const Aisys__System__DescribeReply *describe(const char *actor)
{
    Aisys__System__DescribeRequest request = AISYS__SYSTEM__DESCRIBE_REQUEST__INIT;

    request.actor = (char *)(uintptr_t)actor;
    if (stage_call(&stage, "orchestrator", "Describe", &request.base) != AISYS_OK)
        return NULL;
    return stage_reply(&stage, &aisys__system__describe_reply__descriptor);
}

static int restart(const char *actor)
{
    Aisys__System__RestartRequest request = AISYS__SYSTEM__RESTART_REQUEST__INIT;

    request.actor = (char *)(uintptr_t)actor;
    return stage_call(&stage, "orchestrator", "Restart", &request.base);
}

static void test_config(void **state)
{
    static const struct aisys_node_facts none = { 0 };
    Aisys__System__ConfigRequest request = AISYS__SYSTEM__CONFIG_REQUEST__INIT;
    const Aisys__System__ConfigReply *reply;

    (void)state;
    stage_start(&stage);
    assert_int_equal(stage_call(&stage, "orchestrator", "Config", &request.base), AISYS_OK);
    reply = stage_reply(&stage, &aisys__system__config_reply__descriptor);
    assert_string_equal(reply->text, "redis:\n  port: 6379\n");
    config_result = -ENOMEM;
    assert_int_equal(
        stage_call(&stage, "orchestrator", "Config", &request.base), AISYS_RESOURCE_EXHAUSTED);
    aisys_core_set_facts(stage.core, &none);
    assert_int_equal(
        stage_call(&stage, "orchestrator", "Config", &request.base), AISYS_UNAVAILABLE);
    aisys_core_set_facts(stage.core, &facts);
}

static void test_list_shows_what_runs(void **state)
{
    const Aisys__System__ListReply *reply;

    (void)state;
    stage_start(&stage);
    reply = list(false);
    assert_int_equal(reply->n_actors, 2);
    assert_string_equal(reply->actors[0]->name, "orchestrator");
    assert_string_equal(reply->actors[0]->module, "system");
    assert_int_equal(reply->actors[0]->health, AISYS__SYSTEM__NODE_CHECK__STATUS__HEALTHY);
    assert_null(reply->actors[0]->why);
    assert_string_equal(reply->actors[1]->name, "patient");
    assert_string_equal(reply->actors[1]->alias, "Patient");
    assert_string_equal(reply->actors[1]->class_, "sick");
    assert_null(reply->actors[1]->module);
    assert_string_equal(reply->actors[1]->state, "running");
    assert_int_equal(reply->actors[1]->health, AISYS__SYSTEM__NODE_CHECK__STATUS__DEGRADED);
    assert_string_equal(reply->actors[1]->why, "has a cold");
    assert_int_equal(list(true)->n_actors, 3); /* the caller is hidden */
}

static void test_list_shows_what_is_down(void **state)
{
    const Aisys__System__ListReply *reply;

    (void)state;
    start_result = -EIO;
    stage_start(&stage);
    reply = list(false);
    assert_string_equal(reply->actors[1]->state, "down");
    assert_int_equal(reply->actors[1]->health, AISYS__SYSTEM__NODE_CHECK__STATUS__UNHEALTHY);
    assert_non_null(strstr(reply->actors[1]->why, "Input/output error"));
    assert_int_equal(reply->actors[1]->restarts, 3);
}

static const Aisys__System__Message *message_of(
    const Aisys__System__DescribeReply *reply, const char *name)
{
    for (size_t i = 0; i < reply->n_messages; i++)
        if (strcmp(reply->messages[i]->name, name) == 0)
            return reply->messages[i];
    fail_msg("no message %s", name);
    return NULL;
}

static void test_describe_is_the_manual(void **state)
{
    const Aisys__System__DescribeReply *reply;
    const Aisys__System__Message *message;

    (void)state;
    stage_start(&stage);
    reply = describe("orchestrator");
    assert_non_null(reply);
    assert_string_equal(reply->service, "aisys.system.Orchestrator");
    assert_string_equal(reply->comment, "Knows the actors of the node.");
    assert_int_equal(reply->n_methods, 4);
    assert_string_equal(reply->methods[2]->name, "Restart");
    assert_string_equal(reply->methods[2]->input, "aisys.system.RestartRequest");
    assert_non_null(strstr(reply->methods[2]->comment, "Stop an actor in order"));
    assert_string_equal(reply->config_type, "aisys.system.OrchestratorConfig");
    assert_non_null(strstr(reply->config, "aisys.system.OrchestratorConfig"));
    assert_int_equal(reply->accounts->offered, 1);
    assert_int_equal(reply->accounts->in_hand, 1);
    assert_int_equal(reply->limits->mailbox_messages, 1024);
    assert_false(reply->limits->has_memory_bytes);
    assert_null(reply->last_failure);

    message = message_of(reply, "aisys.system.Actor"); /* reached through ListReply */
    assert_string_equal(message->fields[5]->name, "health");
    assert_string_equal(message->fields[5]->type, "aisys.system.NodeCheck.Status");
    assert_int_equal(message->fields[5]->n_values, 4);
    assert_string_equal(message->fields[5]->values[3], "SKIPPED");
    message = message_of(reply, "aisys.system.ListReply");
    assert_true(message->fields[0]->repeated);
    assert_string_equal(message->fields[0]->comment, "In the order of the configuration.");
}

static void test_describe_by_alias_and_of_little(void **state)
{
    const Aisys__System__DescribeReply *reply;

    (void)state;
    stage_start(&stage);
    reply = describe("Patient");
    assert_string_equal(reply->actor->name, "patient");
    assert_null(reply->service);
    assert_null(reply->config);
    assert_int_equal(reply->n_methods, 0);
    assert_int_equal(reply->n_depends, 1);
    assert_string_equal(reply->depends[0], "orchestrator");
    assert_int_equal(reply->limits->memory_bytes, 4096);
}

static void test_a_long_config_is_shown_and_a_huge_one_is_not(void **state)
{
    (void)state;
    stage_start(&stage);
    config_width = 100000;
    assert_true(strlen(describe("orchestrator")->config) > 100000);
    config_width = 2000000;
    assert_string_equal(describe("orchestrator")->config, "\"cannot be shown: too long\"");
}

static void test_unknown_names(void **state)
{
    (void)state;
    stage_start(&stage);
    assert_null(describe("pateint"));
    assert_int_equal(stage.code, AISYS_NOT_FOUND);
    assert_string_equal(stage.words, "no actor is called \"pateint\"; did you mean \"patient\"?");
    assert_null(describe("something else"));
    assert_int_equal(stage.code, AISYS_NOT_FOUND);
    assert_int_equal(restart("pateint"), AISYS_NOT_FOUND);
    assert_null(describe(""));
    assert_int_equal(stage.code, AISYS_INVALID_ARGUMENT);
    assert_null(describe(NULL));
    assert_int_equal(stage.code, AISYS_INVALID_ARGUMENT);
}

static void test_restart(void **state)
{
    (void)state;
    stage_start(&stage);
    assert_int_equal(restart("patient"), AISYS_OK);
    assert_int_equal(starts, 2);
    assert_int_equal(list(false)->actors[1]->restarts, 1);
    assert_int_equal(restart("orchestrator"), AISYS_OK); /* also itself */
    assert_int_equal(list(false)->actors[0]->restarts, 1);
    assert_int_equal(restart("caller"), AISYS_FAILED_PRECONDITION);
}

static void test_restart_of_what_is_down(void **state)
{
    (void)state;
    start_result = -EIO;
    stage_start(&stage);
    start_result = 0;
    assert_int_equal(restart("patient"), AISYS_OK);
    assert_string_equal(list(false)->actors[1]->state, "running");
}

static void test_restart_of_what_is_starting(void **state)
{
    (void)state;
    start_result = AISYS_PENDING;
    stage_start(&stage);
    assert_int_equal(restart("patient"), AISYS_FAILED_PRECONDITION);
    assert_string_equal(stage.words,
        "\"patient\" is starting: only an actor that runs or is down can be restarted");
}

/* Whatever allocation fails: an answer, and nothing is lost. */
static void test_no_memory(void **state)
{
    (void)state;
    stage_start(&stage);
    for (long n = 0;; n++) {
        Aisys__System__DescribeRequest request = AISYS__SYSTEM__DESCRIBE_REQUEST__INIT;

        request.actor = (char *)(uintptr_t) "orchestrator";
        stage_begin(&stage, "orchestrator", "Describe", &request.base);
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
        cmocka_unit_test_setup_teardown(test_list_shows_what_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_list_shows_what_is_down, setup, teardown),
        cmocka_unit_test_setup_teardown(test_describe_is_the_manual, setup, teardown),
        cmocka_unit_test_setup_teardown(test_describe_by_alias_and_of_little, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_a_long_config_is_shown_and_a_huge_one_is_not, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart_of_what_is_down, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart_of_what_is_starting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_config, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
    };

    return cmocka_run_group_tests_name("orchestrator", tests, NULL, NULL);
}
