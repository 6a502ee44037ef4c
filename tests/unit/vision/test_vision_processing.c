/* The actor: requests in, answers out, and whatever goes wrong is the answer to one caller. The core
 * is real, time and the pool are the test's; the engines are the real ones unless a test takes them
 * away. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <aisys/diag.h>

#include "aisys/vision.pb-c.h"
#include "core/core.h"
#include "fake_env.h"
#include "vision_files.h"
#include "vision_processing.h"

/* ---- A caller that remembers what came back ------------------------------------------------- */

struct end {
    int code;
    uint64_t token;
    char words[512];
    uint8_t data[8192];
    size_t bytes;
};

static struct end ends[16];
static unsigned ends_nr;

static int caller_on_end(struct aisys_actor *self, const struct aisys_end *end)
{
    struct end *kept = &ends[ends_nr++];

    (void)self;
    assert_true(ends_nr < 16);
    kept->code = end->code;
    kept->token = end->token;
    snprintf(kept->words, sizeof(kept->words), "%s", end->words);
    kept->bytes = end->bytes < sizeof(kept->data) ? end->bytes : sizeof(kept->data);
    if (kept->bytes > 0)
        memcpy(kept->data, end->data, kept->bytes);
    return 0;
}

static const struct aisys_continuation caller_continuations[] = {
    { "on_end", caller_on_end, NULL },
    { 0 },
};

static struct aisys_actor *caller; /* to act as it would in a handler */

static int caller_start(struct aisys_actor *self, const void *config)
{
    (void)config;
    caller = self;
    return 0;
}

static const struct aisys_actor_ops caller_ops = {
    .abi = AISYS_ABI,
    .name = "caller",
    .start = caller_start,
    .continuations = caller_continuations,
};

/* ---- A stage with both ---------------------------------------------------------------------- */

static struct stage {
    struct fake_env fake;
    struct aisys_core *core;
    struct aisys_id vision;
    Aisys__Vision__VisionProcessingConfig config;
    char *roots[2];
} stage;

static const void *open_nothing(const char *module, const char *symbol, struct vision_error *err)
{
    (void)symbol;
    aisys_vision_fail(err, AISYS_UNAVAILABLE, "no engine: %s is not installed", module);
    return NULL;
}

vision_open_engine_fn aisys_vision_open_engine; /* module.c's, in the real module */

static void stage_add(const struct aisys_actor_ops *ops, const char *name,
    const ProtobufCMessage *config, struct aisys_id *ret_id)
{
    static struct aisys_diag diag;
    const struct aisys_actor_options options = { .name = name, .config = config };
    struct aisys_class *class;

    aisys_diag_init(&diag);
    assert_int_equal(aisys_core_class_add(stage.core, ops, &diag, &class), 0);
    assert_int_equal(aisys_core_spawn(stage.core, class, &options, ret_id), 0);
}

static void stage_open(const char *root)
{
    static struct aisys_diag diag;
    struct aisys_id caller_id;
    const struct aisys_core_options options = {
        .node = UINT64_C(7) << 32 | 1,
        .lanes[AISYS_LANE_VISION] = { .running = 1, .queued = 2 },
    };

    aisys_diag_init(&diag);
    ends_nr = 0;
    fake_env_init(&stage.fake);
    assert_int_equal(aisys_core_new(&stage.fake.env, &options, &stage.core), 0);
    stage.fake.core = stage.core;
    aisys__vision__vision_processing_config__init(&stage.config);
    stage.roots[0] = (char *)tests_data_dir;
    stage.roots[1] = (char *)root;
    stage.config.roots = stage.roots;
    stage.config.n_roots = root != NULL ? 2 : 1;
    stage_add(&caller_ops, "caller", NULL, &caller_id);
    stage_add(&aisys_vision_processing_ops, "vision_processing", &stage.config.base, &stage.vision);
    assert_int_equal(aisys_core_start(stage.core, &diag), 0);
    fake_env_settle(&stage.fake);
    assert_int_equal(aisys_core_state(stage.core), AISYS_CORE_READY);
}

static int setup(void **state)
{
    (void)state;
    aisys_vision_open_engine = open_real_engine;
    stage_open(NULL);
    return 0;
}

static void stage_run_jobs(void)
{
    while (stage.fake.jobs_nr > 0) {
        fake_env_run_job(&stage.fake);
        fake_env_settle(&stage.fake);
    }
}

static int teardown(void **state)
{
    (void)state;
    stage_run_jobs();
    aisys_core_stop(stage.core);
    fake_env_settle(&stage.fake);
    assert_int_equal(aisys_core_state(stage.core), AISYS_CORE_STOPPED);
    aisys_core_free(stage.core);
    fake_env_deinit(&stage.fake);
    return 0;
}

static void call(const char *method, const ProtobufCMessage *request)
{
    const struct aisys_then then = { .token = ends_nr, .deadline_ms = 1000 };

    assert_int_equal(aisys_call(caller, stage.vision, method, request, then), 0);
    fake_env_settle(&stage.fake);
}

/* Call, let the job run if there is one, and return the one end. */
static const struct end *call_and_wait(const char *method, const ProtobufCMessage *request)
{
    const unsigned before = ends_nr;

    call(method, request);
    stage_run_jobs();
    assert_int_equal(ends_nr, before + 1);
    return &ends[before];
}

static const void *reply_of(const struct end *end, const ProtobufCMessageDescriptor *descriptor)
{
    void *message;

    if (end->code != AISYS_OK)
        fail_msg("code %d: %s", end->code, end->words);
    message = protobuf_c_message_unpack(descriptor, NULL, end->bytes, end->data);
    assert_non_null(message);
    return message;
}

static void release(const void *message)
{
    protobuf_c_message_free_unpacked((ProtobufCMessage *)message, NULL);
}

/* A request that owns its bytes. */
static Aisys__Vision__AnalyzeRequest request_of(const struct file *file)
{
    Aisys__Vision__AnalyzeRequest request = AISYS__VISION__ANALYZE_REQUEST__INIT;

    if (file != NULL) {
        request.has_image = true;
        request.image.data = file->bytes;
        request.image.len = file->size;
    }
    return request;
}

static void expect_stats(unsigned answered, unsigned refused, unsigned late, unsigned failed)
{
    const Aisys__Vision__StatsRequest request = AISYS__VISION__STATS_REQUEST__INIT;
    const Aisys__Vision__StatsReply *stats =
        reply_of(call_and_wait("Stats", &request.base), &aisys__vision__stats_reply__descriptor);

    assert_int_equal(stats->answered, answered);
    assert_int_equal(stats->refused, refused);
    assert_int_equal(stats->late, late);
    assert_int_equal(stats->failed, failed);
    assert_int_equal(stats->open, 0);
    assert_int_equal(stats->readers_busy, 0);
    assert_int_equal(stats->readers_max, 2);
    release(stats);
}

static void expect_health(enum aisys_health_status status, const char *why)
{
    struct aisys_health health = { 0 };

    aisys_core_health(stage.core, stage.vision, &health);
    assert_int_equal(health.status, status);
    if (strstr(health.why, why) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", health.why, why);
}

/* ---- Cases ---------------------------------------------------------------------------------- */

static void test_analyze_everything(void **state)
{
    Aisys__Vision__AnalyzeRequest__Want want[] = { AISYS__VISION__ANALYZE_REQUEST__WANT__TEXT,
        AISYS__VISION__ANALYZE_REQUEST__WANT__CODES, AISYS__VISION__ANALYZE_REQUEST__WANT__INFO,
        AISYS__VISION__ANALYZE_REQUEST__WANT__HASH };
    struct file file = file_read("receipt.png");
    Aisys__Vision__AnalyzeRequest request = request_of(&file);
    const Aisys__Vision__AnalyzeReply *reply;
    unsigned totals = 0;

    (void)state;
    request.want = want;
    request.n_want = 4;
    reply = reply_of(
        call_and_wait("Analyze", &request.base), &aisys__vision__analyze_reply__descriptor);
    assert_int_equal(reply->info->width, 560);
    assert_int_equal(reply->info->height, 1000);
    assert_string_equal(reply->info->format, "PNG");
    assert_non_null(strstr(reply->text->full, "TOTAL 27.45"));
    for (size_t i = 0; i < reply->text->n_words; i++) {
        const Aisys__Vision__AnalyzeReply__Word *word = reply->text->words[i];

        if (strcmp(word->text, "TOTAL") != 0)
            continue;
        totals++;
        assert_true(word->confidence > 0.8F && word->confidence <= 1);
        assert_in_range(word->box->y, 580, 610);
    }
    assert_int_equal(totals, 1);
    assert_int_equal(reply->n_codes, 1);
    assert_string_equal(reply->codes[0]->type, "QR_CODE");
    assert_int_equal(reply->codes[0]->data.len, 39);
    assert_memory_equal(reply->codes[0]->data.data, "https://shop.example/r/0042?total=27.45", 39);
    assert_int_equal(strlen(reply->hash), 16);
    release(reply);
    file_free(&file);
    expect_stats(1, 0, 0, 0);
    expect_health(AISYS_HEALTHY, "");
}

static void test_info_is_what_one_gets_unasked(void **state)
{
    struct file file = file_read("receipt.jpg");
    const Aisys__Vision__AnalyzeRequest request = request_of(&file);
    const Aisys__Vision__AnalyzeReply *reply = reply_of(
        call_and_wait("Analyze", &request.base), &aisys__vision__analyze_reply__descriptor);

    (void)state;
    assert_int_equal(reply->info->width, 560); /* stored sideways */
    assert_string_equal(reply->info->format, "JPEG");
    assert_null(reply->text);
    assert_null(reply->hash);
    assert_int_equal(reply->n_codes, 0);
    release(reply);
    file_free(&file);
}

static void test_bad_requests(void **state)
{
    static const struct {
        const char *file, *path, *language;
        int code;
        const char *words;
    } rows[] = {
        { NULL, NULL, NULL, AISYS_INVALID_ARGUMENT, "exactly one of image and path" },
        { "ean13.png", "ean13.png", NULL, AISYS_INVALID_ARGUMENT, "exactly one of image" },
        { "not_an_image.gif", NULL, NULL, AISYS_INVALID_ARGUMENT, "not a PNG or JPEG image" },
        { "receipt_truncated.png", NULL, NULL, AISYS_INVALID_ARGUMENT, "cut off" },
        { "bomb.png", NULL, NULL, AISYS_INVALID_ARGUMENT, "(max_pixels)" },
        { NULL, "/etc/passwd", NULL, AISYS_PERMISSION_DENIED, "outside the directories" },
        { NULL, "../../../etc/passwd", NULL, AISYS_PERMISSION_DENIED, "outside" },
        { NULL, "nothing.png", NULL, AISYS_NOT_FOUND, "no file \"nothing.png\"" },
        { NULL, "ean13.png", "tlh", AISYS_INVALID_ARGUMENT, "not installed; installed are: " },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        Aisys__Vision__AnalyzeRequest__Want want = AISYS__VISION__ANALYZE_REQUEST__WANT__TEXT;
        struct file file = { 0 };
        Aisys__Vision__AnalyzeRequest request;
        char *languages[1] = { (char *)rows[i].language };
        const struct end *end;

        if (rows[i].file != NULL)
            file = file_read(rows[i].file);
        request = request_of(rows[i].file != NULL ? &file : NULL);
        request.path = (char *)rows[i].path;
        request.languages = languages;
        request.n_languages = rows[i].language != NULL;
        request.want = &want;
        request.n_want = rows[i].language != NULL;
        end = call_and_wait("Analyze", &request.base);
        assert_int_equal(end->code, rows[i].code);
        if (strstr(end->words, rows[i].words) == NULL)
            fail_msg("\"%s\" lacks \"%s\"", end->words, rows[i].words);
        file_free(&file);
    }
    expect_stats(0, 9, 0, 0);
    expect_health(AISYS_HEALTHY, "");
}

static void test_by_path(void **state)
{
    Aisys__Vision__AnalyzeRequest__Want want = AISYS__VISION__ANALYZE_REQUEST__WANT__CODES;
    Aisys__Vision__AnalyzeRequest request = request_of(NULL);
    const Aisys__Vision__AnalyzeReply *reply;

    (void)state;
    request.path = (char *)"ean13.png";
    request.want = &want;
    request.n_want = 1;
    reply = reply_of(
        call_and_wait("Analyze", &request.base), &aisys__vision__analyze_reply__descriptor);
    assert_int_equal(reply->n_codes, 1);
    assert_memory_equal(reply->codes[0]->data.data, "4006381333931", 13);
    assert_null(reply->info);
    release(reply);
}

static unsigned distance(const Aisys__Vision__CompareRequest *request)
{
    const Aisys__Vision__CompareReply *reply = reply_of(
        call_and_wait("Compare", &request->base), &aisys__vision__compare_reply__descriptor);
    const unsigned bits = reply->distance;

    assert_true(reply->has_distance);
    release(reply);
    return bits;
}

static void test_compare(void **state)
{
    struct file png = file_read("receipt.png");
    struct file jpeg = file_read("receipt.jpg");
    struct file other = file_read("landscape.jpg");
    Aisys__Vision__CompareRequest request = AISYS__VISION__COMPARE_REQUEST__INIT;
    const struct end *end;

    (void)state;
    request.a_hash = (char *)"00000000000000ff";
    request.b_hash = (char *)"000000000000000F";
    assert_int_equal(distance(&request), 4); /* at once: there was no job */

    request = (Aisys__Vision__CompareRequest)AISYS__VISION__COMPARE_REQUEST__INIT;
    request.has_a_image = request.has_b_image = true;
    request.a_image = (ProtobufCBinaryData){ png.size, png.bytes };
    request.b_image = (ProtobufCBinaryData){ jpeg.size, jpeg.bytes };
    assert_true(distance(&request) <= 4);
    request.b_image = (ProtobufCBinaryData){ other.size, other.bytes };
    assert_true(distance(&request) > 20);

    request.b_image.len /= 2;
    end = call_and_wait("Compare", &request.base);
    assert_int_equal(end->code, AISYS_INVALID_ARGUMENT);
    assert_ptr_equal(strstr(end->words, "b: the JPEG is cut off"), end->words);
    request.b_hash = (char *)"00000000000000ff";
    end = call_and_wait("Compare", &request.base);
    assert_non_null(strstr(end->words, "exactly one of b_hash and b_image"));
    request.has_b_image = false;
    request.b_hash = (char *)"12";
    end = call_and_wait("Compare", &request.base);
    assert_int_equal(end->code, AISYS_INVALID_ARGUMENT);
    assert_non_null(strstr(end->words, "16 hex digits"));
    expect_stats(3, 3, 0, 0);
    file_free(&png);
    file_free(&jpeg);
    file_free(&other);
}

/* The deadline passes while the job waits or runs: the caller hears it in time, and the job, when it
 * gets to run, sees that it must stop. */
static void test_deadline(void **state)
{
    Aisys__Vision__AnalyzeRequest__Want want = AISYS__VISION__ANALYZE_REQUEST__WANT__TEXT;
    struct file file = file_read("receipt.png");
    Aisys__Vision__AnalyzeRequest request = request_of(&file);

    (void)state;
    request.want = &want;
    request.n_want = 1;
    call("Analyze", &request.base);
    assert_int_equal(stage.fake.jobs_nr, 1);
    fake_env_pass(&stage.fake, 1001);
    assert_int_equal(ends_nr, 1);
    assert_int_equal(ends[0].code, AISYS_DEADLINE_EXCEEDED);
    stage_run_jobs();
    assert_int_equal(ends_nr, 1);
    expect_stats(0, 0, 1, 0);
    file_free(&file);
}

static void test_a_full_lane_refuses(void **state)
{
    struct file file = file_read("ean13.png");
    const Aisys__Vision__AnalyzeRequest request = request_of(&file);

    (void)state;
    for (unsigned i = 0; i < 4; i++) /* one runs, two wait */
        call("Analyze", &request.base);
    assert_int_equal(ends_nr, 1);
    assert_int_equal(ends[0].code, AISYS_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(ends[0].words, "too many pictures are waiting (3)"));
    stage_run_jobs();
    assert_int_equal(ends_nr, 4);
    expect_stats(3, 0, 0, 1);
    file_free(&file);
}

static void test_without_engines(void **state)
{
    Aisys__Vision__AnalyzeRequest__Want want = AISYS__VISION__ANALYZE_REQUEST__WANT__TEXT;
    struct file file = file_read("receipt.png");
    Aisys__Vision__AnalyzeRequest request = request_of(&file);
    const struct end *end;

    (void)state;
    teardown(state);
    aisys_vision_open_engine = open_nothing;
    stage_open(NULL);
    request.want = &want;
    request.n_want = 1;
    end = call_and_wait("Analyze", &request.base);
    assert_int_equal(end->code, AISYS_UNAVAILABLE);
    assert_non_null(strstr(end->words, "aisys_ocr_tesseract.so is not installed"));
    expect_health(AISYS_DEGRADED, "aisys_ocr_tesseract.so is not installed");
    want = AISYS__VISION__ANALYZE_REQUEST__WANT__HASH; /* needs none */
    assert_int_equal(call_and_wait("Analyze", &request.base)->code, AISYS_OK);
    expect_stats(1, 0, 0, 1);
    expect_health(AISYS_DEGRADED, "aisys_ocr_tesseract.so");
    file_free(&file);
}

static void test_a_missing_root_degrades(void **state)
{
    Aisys__Vision__AnalyzeRequest request = request_of(NULL);

    teardown(state);
    stage_open("/nonexistent/pictures");
    expect_health(AISYS_DEGRADED, "root \"/nonexistent/pictures\": No such file");
    request.path = (char *)"ean13.png";
    assert_int_equal(call_and_wait("Analyze", &request.base)->code, AISYS_OK);
}

/* Stopping answers what is owed; restarting starts anew. */
static void test_stop_with_work_open(void **state)
{
    struct file file = file_read("ean13.png");
    const Aisys__Vision__AnalyzeRequest request = request_of(&file);

    (void)state;
    call("Analyze", &request.base);
    assert_int_equal(aisys_core_restart(stage.core, "vision_processing"), 0);
    fake_env_settle(&stage.fake);
    stage_run_jobs();
    assert_int_equal(ends_nr, 1);
    assert_int_equal(ends[0].code, AISYS_OK);
    expect_stats(0, 0, 0, 0);
    file_free(&file);
}

/* Torn down while its job runs: the job keeps what it needs, and nothing is left (ASan watches). */
static void test_killed_while_a_job_runs(void **state)
{
    struct file file = file_read("ean13.png");
    const Aisys__Vision__AnalyzeRequest request = request_of(&file);

    (void)state;
    call("Analyze", &request.base);
    aisys_core_kill(stage.core, stage.vision);
    fake_env_settle(&stage.fake);
    assert_int_equal(ends_nr, 1);
    assert_int_equal(ends[0].code, AISYS_UNAVAILABLE);
    stage_run_jobs();
    file_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_analyze_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(test_info_is_what_one_gets_unasked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_by_path, setup, teardown),
        cmocka_unit_test_setup_teardown(test_compare, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_lane_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_engines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_missing_root_degrades, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_with_work_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_while_a_job_runs, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
