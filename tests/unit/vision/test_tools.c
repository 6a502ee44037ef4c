/* The shared set of readers, with an engine that only counts: lent once, kept by language, bounded. */

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "vision_files.h"

struct fake_engine {
    char languages[32];
    atomic_int users;
};

static atomic_int fake_alive;
static atomic_int fake_opens;
static unsigned modules_opened;
static bool module_missing;
static uint32_t module_abi;

static enum aisys_code fake_open(const char *languages, void **ret_engine, struct vision_error *err)
{
    struct fake_engine *engine;

    if (strcmp(languages, "xyz") == 0)
        return aisys_vision_fail(err, AISYS_INVALID_ARGUMENT, "no xyz here");
    engine = calloc(1, sizeof(*engine));
    snprintf(engine->languages, sizeof(engine->languages), "%s", languages);
    fake_alive++;
    fake_opens++;
    *ret_engine = engine;
    return AISYS_OK;
}

static void fake_close(void *engine)
{
    free(engine);
    fake_alive--;
}

static struct vision_ocr_ops fake_ops = {
    .name = "fake",
    .open = fake_open,
    .close = fake_close,
};

static const void *open_fake(const char *module, const char *symbol, struct vision_error *err)
{
    assert_string_equal(module, "aisys_ocr_tesseract.so");
    assert_string_equal(symbol, "aisys_vision_ocr");
    modules_opened++;
    if (module_missing) {
        aisys_vision_fail(err, AISYS_UNAVAILABLE, "cannot open %s", module);
        return NULL;
    }
    fake_ops.abi = module_abi;
    return &fake_ops;
}

static int setup(void **state)
{
    fake_opens = 0;
    modules_opened = 0;
    module_missing = false;
    module_abi = VISION_ENGINE_ABI;
    assert_int_equal(fake_alive, 0);
    return aisys_vision_tools_new(open_fake, 2, (struct vision_tools **)state);
}

static int teardown(void **state)
{
    aisys_vision_tools_unref(*state);
    assert_int_equal(fake_alive, 0);
    return 0;
}

static struct vision_reader take(struct vision_tools *tools, const char *languages)
{
    struct vision_reader reader = { 0 };
    struct vision_error err = { 0 };

    assert_int_equal(aisys_vision_tools_take(tools, languages, NULL, &reader, &err), AISYS_OK);
    assert_string_equal(((struct fake_engine *)reader.engine)->languages, languages);
    return reader;
}

static void test_kept_by_language(void **state)
{
    struct vision_reader english = take(*state, "eng");
    struct vision_reader again;

    aisys_vision_tools_give(*state, &english);
    again = take(*state, "eng");
    assert_ptr_equal(again.engine, english.engine);
    english = take(*state, "eng"); /* the first is lent */
    assert_ptr_not_equal(again.engine, english.engine);
    assert_int_equal(fake_opens, 2);
    assert_int_equal(modules_opened, 1);
    aisys_vision_tools_give(*state, &english);
    aisys_vision_tools_give(*state, &again);
}

static void test_idle_longest_makes_room(void **state)
{
    struct vision_reader english = take(*state, "eng");
    struct vision_reader german = take(*state, "deu");
    struct vision_reader french;
    struct vision_tools_stats stats;

    aisys_vision_tools_give(*state, &german);
    aisys_vision_tools_give(*state, &english);
    french = take(*state, "fra"); /* in the place of German, which came back first */
    aisys_vision_tools_give(*state, &french);
    english = take(*state, "eng");
    aisys_vision_tools_give(*state, &english);
    aisys_vision_tools_stats(*state, &stats);
    assert_int_equal(fake_opens, 3);
    assert_int_equal(fake_alive, 2);
    assert_int_equal(stats.readers, 2);
    assert_int_equal(stats.readers_made, 3);
    assert_int_equal(stats.readers_lent, 0);
    assert_int_equal(stats.readers_max, 2);
}

static void test_all_lent(void **state)
{
    struct countdown countdown = { .left = 2 };
    const struct vision_stop stop = { .ask = countdown_ask, .ctx = &countdown };
    struct vision_reader one = take(*state, "eng");
    struct vision_reader two = take(*state, "eng");
    struct vision_reader three;
    struct vision_error err = { 0 };
    struct vision_tools_stats stats;

    assert_int_equal(
        aisys_vision_tools_take(*state, "eng", &stop, &three, &err), AISYS_DEADLINE_EXCEEDED);
    aisys_vision_tools_stats(*state, &stats);
    assert_int_equal(stats.waits, 2);
    aisys_vision_tools_give(*state, &one);
    three = take(*state, "eng");
    aisys_vision_tools_give(*state, &two);
    aisys_vision_tools_give(*state, &three);
}

static void test_wrong_language_costs_nobody(void **state)
{
    struct vision_reader english = take(*state, "eng");
    struct vision_reader second = take(*state, "eng");
    struct vision_error err = { 0 };
    char many[VISION_LANGUAGES_BYTES + 1];

    aisys_vision_tools_give(*state, &english);
    aisys_vision_tools_give(*state, &second);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(
            aisys_vision_tools_take(*state, "xyz", NULL, &second, &err), AISYS_INVALID_ARGUMENT);
    memset(many, 'e', sizeof(many) - 1);
    many[sizeof(many) - 1] = '\0';
    assert_int_equal(
        aisys_vision_tools_take(*state, many, NULL, &second, &err), AISYS_INVALID_ARGUMENT);
    assert_int_equal(fake_alive, 2);
    english = take(*state, "eng");
    aisys_vision_tools_give(*state, &english);
    assert_int_equal(fake_opens, 2);
}

static void test_module_problems(void **state)
{
    struct vision_reader reader;
    struct vision_error err = { 0 };

    module_missing = true;
    assert_int_equal(
        aisys_vision_tools_take(*state, "eng", NULL, &reader, &err), AISYS_UNAVAILABLE);
    assert_string_equal(err.words, "cannot open aisys_ocr_tesseract.so");
    module_missing = false;
    module_abi = VISION_ENGINE_ABI + 1;
    assert_int_equal(
        aisys_vision_tools_take(*state, "eng", NULL, &reader, &err), AISYS_UNAVAILABLE);
    assert_non_null(strstr(err.words, "engine ABI 2, not 1"));
    module_abi = VISION_ENGINE_ABI; /* installed anew: the next picture works */
    reader = take(*state, "eng");
    aisys_vision_tools_give(*state, &reader);
}

/* Four threads, two places, three languages: nobody ever shares an engine. */

struct worker {
    struct vision_tools *tools;
    unsigned seed;
    unsigned shared, failed, done;
    pthread_t thread;
};

static void *work(void *ctx)
{
    static const char *const languages[] = { "eng", "deu", "fra" };
    struct worker *worker = ctx;

    for (unsigned i = 0; i < 200; i++) {
        struct vision_reader reader;
        struct vision_error err;
        struct fake_engine *engine;

        if (aisys_vision_tools_take(worker->tools, languages[(worker->seed + i * i) % 3], NULL,
                &reader, &err) != AISYS_OK) {
            worker->failed++;
            continue;
        }
        engine = reader.engine;
        worker->shared += atomic_fetch_add(&engine->users, 1) != 0;
        atomic_fetch_sub(&engine->users, 1);
        worker->done++;
        aisys_vision_tools_give(worker->tools, &reader);
    }
    aisys_vision_tools_unref(worker->tools);
    return NULL;
}

static void test_threads(void **state)
{
    struct worker workers[4];
    struct vision_tools_stats stats;

    for (unsigned i = 0; i < 4; i++) {
        workers[i] = (struct worker){ .tools = aisys_vision_tools_ref(*state), .seed = i };
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].failed, 0);
        assert_int_equal(workers[i].shared, 0);
        assert_int_equal(workers[i].done, 200);
    }
    aisys_vision_tools_stats(*state, &stats);
    assert_int_equal(stats.readers_lent, 0);
    assert_true(fake_alive <= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kept_by_language, setup, teardown),
        cmocka_unit_test_setup_teardown(test_idle_longest_makes_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_lent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_language_costs_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_module_problems, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
