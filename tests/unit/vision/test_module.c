/* The module as a node loads it: from its file, with its engines found beside it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include <aisys/diag.h>

#include "aisys/vision.pb-c.h"
#include "core/core.h"
#include "fake_env.h"
#include "vision_files.h"

static struct aisys_actor *caller;
static char answer[65536];
static size_t answer_bytes;
static int answer_code = -1;

static int caller_start(struct aisys_actor *self, const void *config)
{
    (void)config;
    caller = self;
    return 0;
}

static int caller_on_end(struct aisys_actor *self, const struct aisys_end *end)
{
    (void)self;
    answer_code = end->code;
    answer_bytes = end->bytes < sizeof(answer) ? end->bytes : sizeof(answer);
    memcpy(answer, end->data, answer_bytes);
    if (end->code != AISYS_OK)
        snprintf(answer, sizeof(answer), "%s", end->words);
    return 0;
}

static const struct aisys_continuation caller_continuations[] = {
    { "on_end", caller_on_end, NULL },
    { 0 },
};

static const struct aisys_actor_ops caller_ops = {
    .abi = AISYS_ABI,
    .name = "caller",
    .continuations = caller_continuations,
    .start = caller_start,
};

static struct aisys_id add(
    struct aisys_core *core, const struct aisys_actor_ops *ops, struct aisys_diag *diag)
{
    const struct aisys_actor_options options = { .name = ops->name };
    struct aisys_class *class;
    struct aisys_id id;

    assert_int_equal(aisys_core_class_add(core, ops, diag, &class), 0);
    assert_int_equal(aisys_core_spawn(core, class, &options, &id), 0);
    return id;
}

static void analyze(struct fake_env *fake, struct aisys_id vision)
{
    Aisys__Vision__AnalyzeRequest request = AISYS__VISION__ANALYZE_REQUEST__INIT;
    Aisys__Vision__AnalyzeRequest__Want want[] = { AISYS__VISION__ANALYZE_REQUEST__WANT__TEXT,
        AISYS__VISION__ANALYZE_REQUEST__WANT__CODES };
    Aisys__Vision__AnalyzeReply *reply;
    struct file file = file_read("receipt.png");

    request.has_image = true;
    request.image.data = file.bytes;
    request.image.len = file.size;
    request.want = want;
    request.n_want = 2;
    assert_int_equal(
        aisys_call(caller, vision, "Analyze", &request.base, (struct aisys_then){ 0 }), 0);
    fake_env_settle(fake);
    fake_env_run_job(fake);
    fake_env_settle(fake);
    if (answer_code != AISYS_OK)
        fail_msg("code %d: %s", answer_code, answer);
    reply = aisys__vision__analyze_reply__unpack(NULL, answer_bytes, (const uint8_t *)answer);
    assert_non_null(reply);
    assert_non_null(strstr(reply->text->full, "TOTAL 27.45"));
    assert_int_equal(reply->n_codes, 1);
    aisys__vision__analyze_reply__free_unpacked(reply, NULL);
    file_free(&file);
}

static void test_module(void **state)
{
    static struct aisys_diag diag;
    static struct fake_env fake;
    const struct aisys_core_options options = { .node = UINT64_C(7) << 32 | 1 };
    const struct aisys_module *module;
    struct aisys_core *core;
    struct aisys_id vision;
    char path[512];
    void *handle;

    (void)state;
    snprintf(path, sizeof(path), "%s/aisys_vision.so", vision_modules_dir);
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        fail_msg("%s", dlerror());
    module = dlsym(handle, "aisys_module");
    assert_non_null(module);
    assert_int_equal(module->abi, AISYS_ABI);
    assert_string_equal(module->name, "vision");
    assert_string_equal(module->license, "Apache-2.0");
    assert_string_equal(module->classes[0]->name, "vision_processing");
    assert_null(module->classes[1]);

    aisys_diag_init(&diag);
    fake_env_init(&fake);
    assert_int_equal(aisys_core_new(&fake.env, &options, &core), 0);
    fake.core = core;
    add(core, &caller_ops, &diag);
    vision = add(core, module->classes[0], &diag);
    assert_int_equal(aisys_core_start(core, &diag), 0);
    fake_env_settle(&fake);
    analyze(&fake, vision);
    aisys_core_stop(core);
    fake_env_settle(&fake);
    aisys_core_free(core);
    fake_env_deinit(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_module),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
