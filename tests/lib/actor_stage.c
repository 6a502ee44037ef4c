#include "unit.h"

#include "actor_stage.h"
#include "schema/check.h"

#include <aisys/diag.h>
#include <stdlib.h>

static struct stage
    *on_stage; /* the one whose call is open: the class below has no other way to it */

static int caller_on_reply(struct aisys_actor *self, const struct aisys_end *end)
{
    struct stage *stage = on_stage;

    (void)self;
    assert_false(stage->ended);
    assert_true(end->bytes <= STAGE_REPLY_BYTES);
    stage->ended = true;
    stage->code = end->code;
    snprintf(stage->words, sizeof(stage->words), "%s", end->words);
    free(stage->data);
    stage->data = malloc(end->bytes + 1);
    assert_non_null(stage->data);
    if (end->bytes)
        memcpy(stage->data, end->data, end->bytes);
    stage->bytes = end->bytes;
    return 0;
}

static const struct aisys_continuation caller_continuations[] = {
    { "on_reply", caller_on_reply, NULL },
    { 0 },
};

static const struct aisys_actor_ops caller_ops = {
    .abi = AISYS_ABI,
    .name = "test_caller",
    .continuations = caller_continuations,
};

static void stage_validate(void *ctx, const ProtobufCMessage *message, struct aisys_diag *diag)
{
    (void)ctx;
    aisys_schema_check(message, NULL, diag);
}

void stage_open(struct stage *stage)
{
    const struct aisys_core_options options = { .node = UINT64_C(1) << 32 | 1 };

    memset(stage, 0, sizeof(*stage));
    fake_env_init(&stage->fake);
    stage->fake.env.validate = stage_validate;
    assert_int_equal(aisys_core_new(&stage->fake.env, &options, &stage->core), 0);
    stage->fake.core = stage->core;
    stage->caller = stage_add(
        stage, &caller_ops, &(struct aisys_actor_options){ .name = "caller", .hidden = true });
}

struct aisys_id stage_add(struct stage *stage, const struct aisys_actor_ops *ops,
    const struct aisys_actor_options *options)
{
    struct aisys_class *class = aisys_core_class(stage->core, ops->name);
    static struct aisys_diag diag;
    struct aisys_id id;

    aisys_diag_init(&diag);
    if (!class)
        assert_int_equal(aisys_core_class_add(stage->core, ops, &diag, &class), 0);
    assert_int_equal(aisys_core_spawn(stage->core, class, options, &id), 0);
    return id;
}

void stage_start(struct stage *stage)
{
    static struct aisys_diag diag;

    aisys_diag_init(&diag);
    assert_int_equal(aisys_core_start(stage->core, &diag), 0);
    fake_env_settle(&stage->fake);
}

void stage_begin(
    struct stage *stage, const char *to, const char *method, const ProtobufCMessage *request)
{
    struct aisys_actor *caller = aisys_core_actor(stage->core, stage->caller);

    assert_non_null(caller);
    on_stage = stage;
    stage->ended = false;
    assert_int_equal(aisys_call(caller, aisys_core_lookup(stage->core, to), method, request,
                         (struct aisys_then){ .deadline_ms = stage->deadline_ms }),
        0);
}

int stage_call(
    struct stage *stage, const char *to, const char *method, const ProtobufCMessage *request)
{
    stage_begin(stage, to, method, request);
    fake_env_settle(&stage->fake);
    assert_true(stage->ended);
    return stage->code;
}

const void *stage_reply(struct stage *stage, const ProtobufCMessageDescriptor *type)
{
    assert_true(stage->ended);
    if (stage->code != AISYS_OK)
        fail_msg("%s: %s", aisys_code_name(stage->code), stage->words);
    if (stage->reply)
        protobuf_c_message_free_unpacked(stage->reply, NULL);
    stage->reply = protobuf_c_message_unpack(type, NULL, stage->bytes, stage->data);
    assert_non_null(stage->reply);
    return stage->reply;
}

static void check_accounts(void *ctx, const struct aisys_actor_info *info)
{
    const struct aisys_accounts *a = &info->accounts;

    (void)ctx;
    assert_int_equal(a->offered,
        a->handled + a->failed + a->refused + a->dropped + a->dead + a->queued + a->in_hand);
}

void stage_close(struct stage *stage)
{
    aisys_core_each(stage->core, check_accounts, NULL);
    while (stage->fake.jobs_nr)
        fake_env_run_job(&stage->fake);
    aisys_core_free(stage->core);
    fake_env_deinit(&stage->fake);
    if (stage->reply)
        protobuf_c_message_free_unpacked(stage->reply, NULL);
    free(stage->data);
    memset(stage, 0, sizeof(*stage));
}
