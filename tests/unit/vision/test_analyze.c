/* From bytes or path to everything that was wanted, with the real engines. */

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "analyze.h"
#include "vision_files.h"

#define ALL (VISION_WANT_INFO | VISION_WANT_TEXT | VISION_WANT_CODES | VISION_WANT_HASH)

static struct vision_request request_for(const struct file *file, unsigned wants)
{
    return (struct vision_request){
        .bytes = file->bytes,
        .bytes_nr = file->size,
        .wants = wants,
        .languages = "eng",
        .limits = default_limits,
    };
}

static int setup(void **state)
{
    return aisys_vision_tools_new(open_real_engine, 2, (struct vision_tools **)state);
}

static int teardown(void **state)
{
    aisys_vision_tools_unref(*state);
    return 0;
}

static bool has_word(const struct vision_result *result, const char *word)
{
    for (size_t i = 0; i < result->text.words_nr; i++) {
        if (strcmp(result->text.words[i].text, word) == 0)
            return true;
    }
    return false;
}

/* The whole receipt, also the part that its QR code would hide from tesseract, in both files. */
static void test_everything(void **state)
{
    static const char *const names[] = { "receipt.png", "receipt.jpg" };
    static const char *const words[] = { "CORNER", "SHOP", "Receipt", "0042", "2024-05-17",
        "Coffee", "beans", "13.90", "8.70", "Subtotal", "25.15", "TOTAL", "27.45", "30.00",
        "Change", "2.55", "Thank", "shopping" };
    uint64_t hashes[2];

    for (size_t n = 0; n < 2; n++) {
        struct file file = file_read(names[n]);
        const struct vision_request request = request_for(&file, ALL);
        struct vision_result result;
        struct vision_error err;

        assert_int_equal(aisys_vision_analyze(*state, &request, NULL, &result, &err), AISYS_OK);
        assert_int_equal(result.info.width, 560);
        assert_int_equal(result.info.height, 1000);
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
            if (!has_word(&result, words[i]))
                fail_msg("%s: no \"%s\" in:\n%s", names[n], words[i], result.text.full);
        }
        assert_int_equal(result.text.words_nr, 41);
        assert_int_equal(result.codes.codes_nr, 1);
        assert_string_equal(
            (const char *)result.codes.codes[0].data, "https://shop.example/r/0042?total=27.45");
        hashes[n] = result.hash;
        aisys_vision_result_deinit(&result);
        file_free(&file);
    }
    assert_true(aisys_vision_hash_distance(hashes[0], hashes[1]) <= 4);
}

static void test_only_what_is_wanted(void **state)
{
    struct file file = file_read("receipt.png");

    for (unsigned wants = 0; wants <= ALL; wants++) {
        const struct vision_request request = request_for(&file, wants);
        struct vision_result result;
        struct vision_error err;

        if (wants & VISION_WANT_TEXT && wants != VISION_WANT_TEXT)
            continue; /* takes its time, and is tested above */
        assert_int_equal(aisys_vision_analyze(*state, &request, NULL, &result, &err), AISYS_OK);
        assert_int_equal(result.info.width, 560);
        assert_int_equal(result.text.full != NULL, (wants & VISION_WANT_TEXT) != 0);
        assert_int_equal(result.codes.codes != NULL, (wants & VISION_WANT_CODES) != 0);
        assert_int_equal(result.hash != 0, (wants & VISION_WANT_HASH) != 0);
        aisys_vision_result_deinit(&result);
    }
    file_free(&file);
}

/* INFO reads headers only, and still says so when the rest of the file is missing. */
static void test_bad_input(void **state)
{
    static const struct {
        const char *name, *words;
    } rows[] = {
        { "receipt_truncated.png", "cut off" },
        { "receipt_truncated.jpg", "cut off" },
        { "bomb.png", "at most 50000000" },
        { "not_an_image.gif", "not a PNG or JPEG image" },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct file file = file_read(rows[i].name);

        for (unsigned wants = 1; wants <= ALL; wants <<= 1) {
            const struct vision_request request = request_for(&file, wants);
            struct vision_result result;
            struct vision_error err;

            assert_int_equal(aisys_vision_analyze(*state, &request, NULL, &result, &err),
                AISYS_INVALID_ARGUMENT);
            assert_non_null(strstr(err.words, rows[i].words));
        }
        file_free(&file);
    }
}

static void test_by_path(void **state)
{
    struct vision_roots roots = { 0 };
    struct vision_request request = {
        .path = "qr_binary.png",
        .roots = &roots,
        .wants = VISION_WANT_CODES,
        .languages = "eng",
        .limits = default_limits,
    };
    struct vision_result result;
    struct vision_error err;

    assert_int_equal(
        aisys_vision_analyze(*state, &request, NULL, &result, &err), AISYS_PERMISSION_DENIED);
    assert_int_equal(aisys_vision_roots_add(&roots, tests_data_dir, &err), AISYS_OK);
    assert_int_equal(aisys_vision_analyze(*state, &request, NULL, &result, &err), AISYS_OK);
    assert_int_equal(result.codes.codes_nr, 1);
    aisys_vision_result_deinit(&result);
    request.path = "../../etc/passwd";
    assert_int_equal(
        aisys_vision_analyze(*state, &request, NULL, &result, &err), AISYS_PERMISSION_DENIED);
    request.path = "no_such.png";
    assert_int_equal(aisys_vision_analyze(*state, &request, NULL, &result, &err), AISYS_NOT_FOUND);
    aisys_vision_roots_deinit(&roots);
}

static void test_language_and_reader_go_back(void **state)
{
    struct file file = file_read("receipt.png");
    struct vision_request request = request_for(&file, VISION_WANT_TEXT);
    struct vision_tools_stats stats;
    struct vision_result result;
    struct vision_error err;

    request.languages = "tlh";
    assert_int_equal(
        aisys_vision_analyze(*state, &request, NULL, &result, &err), AISYS_INVALID_ARGUMENT);
    assert_non_null(strstr(err.words, "\"tlh\" is not installed; installed are: "));
    request.languages = "eng";
    for (unsigned left = 1; left < 2000; left += 511) {
        struct countdown countdown = { .left = left };
        const struct vision_stop stop = { .ask = countdown_ask, .ctx = &countdown };

        if (left < 1000) /* decoding alone asks once a row */
            assert_int_equal(aisys_vision_analyze(*state, &request, &stop, &result, &err),
                AISYS_DEADLINE_EXCEEDED);
    }
    aisys_vision_tools_stats(*state, &stats);
    assert_int_equal(stats.readers_lent, 0);
    file_free(&file);
}

/* Three threads on two readers, at once. */

struct reader_thread {
    struct vision_tools *tools;
    const struct file *file;
    pthread_t thread;
    enum aisys_code code;
    bool found;
};

static void *read_receipt(void *ctx)
{
    struct reader_thread *reader = ctx;
    const struct vision_request request = request_for(reader->file, ALL);
    struct vision_result result = { 0 };
    struct vision_error err;

    reader->code = aisys_vision_analyze(reader->tools, &request, NULL, &result, &err);
    reader->found = has_word(&result, "27.45") && result.codes.codes_nr == 1;
    aisys_vision_result_deinit(&result);
    return NULL;
}

static void test_threads(void **state)
{
    struct reader_thread readers[3];
    struct file file = file_read("receipt.png");

    for (unsigned i = 0; i < 3; i++) {
        readers[i] = (struct reader_thread){ .tools = *state, .file = &file };
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_receipt, &readers[i]), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_int_equal(readers[i].code, AISYS_OK);
        assert_true(readers[i].found);
    }
    file_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_what_is_wanted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_input, setup, teardown),
        cmocka_unit_test_setup_teardown(test_by_path, setup, teardown),
        cmocka_unit_test_setup_teardown(test_language_and_reader_go_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
