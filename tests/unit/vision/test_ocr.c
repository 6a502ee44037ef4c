/* Text, by the real engine: known words with their places, silence, and a stop that stops. */

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "vision_files.h"

static const struct vision_ocr_ops *ops;

static int open_engine(void **state)
{
    struct vision_error err = { 0 };

    (void)state;
    ops = open_real_engine(VISION_OCR_MODULE, VISION_OCR_SYMBOL, &err);
    if (ops == NULL)
        fail_msg("%s", err.words);
    assert_int_equal(ops->abi, VISION_ENGINE_ABI);
    return 0;
}

static void *english(void)
{
    struct vision_error err = { 0 };
    void *engine = NULL;

    if (ops->open("eng", &engine, &err) != AISYS_OK)
        fail_msg("%s", err.words);
    return engine;
}

static struct vision_text text_in(void *engine, const struct vision_image *image)
{
    struct vision_text text = { 0 };
    struct vision_error err = { 0 };

    if (ops->read(engine, image, NULL, &text, &err) != AISYS_OK)
        fail_msg("%s", err.words);
    return text;
}

static const struct vision_word *word_in(const struct vision_text *text, const char *word)
{
    for (size_t i = 0; i < text->words_nr; i++) {
        if (strcmp(text->words[i].text, word) == 0)
            return &text->words[i];
    }
    return NULL;
}

/* receipt.png without its lower part, the code, which is not this engine's business. */
static struct vision_image receipt(void)
{
    struct vision_image image = picture_of("receipt.png", 1);

    image.height = 780;
    return image;
}

static void test_receipt(void **state)
{
    static const struct {
        const char *word;
        uint32_t x, y; /* a point within it */
    } rows[] = {
        { "CORNER", 210, 60 },
        { "Street", 300, 126 },
        { "notebook", 260, 385 },
        { "Subtotal", 120, 496 },
        { "27.45", 440, 607 },
        { "Change", 110, 681 },
    };
    void *engine = english();
    struct vision_image image = receipt();
    struct vision_text text = text_in(engine, &image);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct vision_word *word = word_in(&text, rows[i].word);

        if (word == NULL)
            fail_msg("no word \"%s\" in:\n%s", rows[i].word, text.full);
        assert_true(word->confidence > 0.8F && word->confidence <= 1);
        assert_in_range(rows[i].x, word->box.x, word->box.x + word->box.width - 1);
        assert_in_range(rows[i].y, word->box.y, word->box.y + word->box.height - 1);
        assert_in_range(word->box.height, 16, 40);
        assert_non_null(strstr(text.full, rows[i].word));
    }
    assert_non_null(strstr(text.full, "TOTAL 27.45\n"));
    assert_ptr_equal(strstr(text.full, "CORNER SHOP\n"), text.full); /* no space around it all */
    aisys_vision_text_deinit(&text);
    aisys_vision_image_deinit(&image);
    ops->close(engine);
}

/* Small print is read enlarged; the boxes are still those of the small picture. */
static void test_small_print(void **state)
{
    void *engine = english();
    struct vision_image image = receipt();
    struct vision_image small;
    const struct vision_word *word;
    struct vision_text text;

    (void)state;
    assert_int_equal(aisys_vision_image_shrink(&image, 560 / 4, 780 / 4, &small), 0);
    text = text_in(engine, &small);
    word = word_in(&text, "Subtotal");
    if (word == NULL)
        fail_msg("no \"Subtotal\" in:\n%s", text.full);
    assert_in_range(120 / 4, word->box.x, word->box.x + word->box.width - 1);
    assert_in_range(496 / 4, word->box.y, word->box.y + word->box.height - 1);
    assert_in_range(word->box.height, 3, 20);
    aisys_vision_text_deinit(&text);
    aisys_vision_image_deinit(&small);
    aisys_vision_image_deinit(&image);
    ops->close(engine);
}

/* A page beyond the pixels that are searched: shrunk, with boxes of the large page. */
static void test_large_page(void **state)
{
    void *engine = english();
    struct vision_image image = receipt();
    struct vision_image large;
    const struct vision_word *word;
    struct vision_text text;

    (void)state;
    assert_int_equal(aisys_vision_image_init(&large, 560 * 6, 780 * 6, 1), 0);
    for (uint32_t y = 0; y < large.height; y++) {
        for (uint32_t x = 0; x < large.width; x++)
            large.data[(size_t)y * large.width + x] =
                image.data[(size_t)(y / 6) * image.width + x / 6];
    }
    text = text_in(engine, &large);
    word = word_in(&text, "27.45");
    if (word == NULL)
        fail_msg("no \"27.45\" in:\n%s", text.full);
    assert_in_range(440 * 6, word->box.x, word->box.x + word->box.width - 1);
    assert_in_range(607 * 6, word->box.y, word->box.y + word->box.height - 1);
    aisys_vision_text_deinit(&text);
    aisys_vision_image_deinit(&large);
    aisys_vision_image_deinit(&image);
    ops->close(engine);
}

static void test_nothing_to_read(void **state)
{
    static const uint32_t sizes[][2] = { { 1, 1 }, { 3, 3 }, { 1, 4000 }, { 4000, 1 },
        { 300, 300 } };
    void *engine = english();

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct vision_image image;
        struct vision_text text;

        assert_int_equal(aisys_vision_image_init(&image, sizes[i][0], sizes[i][1], 1), 0);
        memset(image.data, 200, (size_t)sizes[i][0] * sizes[i][1]);
        text = text_in(engine, &image);
        assert_int_equal(text.words_nr, 0);
        assert_string_equal(text.full, "");
        aisys_vision_text_deinit(&text);
        aisys_vision_image_deinit(&image);
    }
    ops->close(engine);
}

/* Wherever the stop comes, the outcome is DEADLINE_EXCEEDED and the engine can be used again. */
static void test_stops_when_told(void **state)
{
    static const unsigned lefts[] = { 0, 1, 2, 5, 9 };
    void *engine = english();
    struct vision_image image = receipt();
    struct vision_text text;

    (void)state;
    for (size_t i = 0; i < sizeof(lefts) / sizeof(lefts[0]); i++) {
        struct countdown countdown = { .left = lefts[i] };
        const struct vision_stop stop = { .ask = countdown_ask, .ctx = &countdown };
        struct vision_error err = { 0 };

        text = (struct vision_text){ 0 };
        assert_int_equal(ops->read(engine, &image, &stop, &text, &err), AISYS_DEADLINE_EXCEEDED);
        assert_null(text.full);
        assert_int_equal(countdown.left, 0);
    }
    text = text_in(engine, &image);
    assert_non_null(word_in(&text, "TOTAL"));
    aisys_vision_text_deinit(&text);
    aisys_vision_image_deinit(&image);
    ops->close(engine);
}

/* Noise is the worst there is for the search for lines: it is made bearable, and can be stopped. */
static void test_noise_is_stopped(void **state)
{
    struct countdown countdown = { .left = 1 }; /* over while lines are searched */
    const struct vision_stop stop = { .ask = countdown_ask, .ctx = &countdown };
    void *engine = english();
    struct vision_text text = { 0 };
    struct vision_error err = { 0 };
    struct vision_image image;
    uint32_t random = 1;

    (void)state;
    assert_int_equal(aisys_vision_image_init(&image, 4000, 3000, 1), 0);
    for (size_t i = 0; i < (size_t)4000 * 3000; i++) {
        random = random * 1664525 + 1013904223;
        image.data[i] = (uint8_t)(random >> 24);
    }
    assert_int_equal(ops->read(engine, &image, &stop, &text, &err), AISYS_DEADLINE_EXCEEDED);
    assert_non_null(strstr(err.words, "deadline"));
    aisys_vision_image_deinit(&image);
    ops->close(engine);
}

static void test_languages(void **state)
{
    static const char *const bad[] = { "xyz", "eng+xyz", "", "eng+", "../../etc/passwd", "osd",
        "~eng", "ENG", "a_language_with_a_name_that_is_far_too_long_for_any" };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct vision_error err = { 0 };
        void *engine = NULL;

        assert_int_equal(ops->open(bad[i], &engine, &err), AISYS_INVALID_ARGUMENT);
        assert_null(engine);
        assert_non_null(strstr(err.words, "is not installed; installed are: "));
        assert_non_null(strstr(err.words, "eng"));
        assert_null(strstr(strstr(err.words, "installed are"), "osd"));
    }
}

static void test_no_data_at_all(void **state)
{
    struct vision_error err = { 0 };
    void *engine = NULL;

    (void)state;
    setenv("TESSDATA_PREFIX", "/nonexistent", 1);
    assert_int_equal(ops->open("eng", &engine, &err), AISYS_UNAVAILABLE);
    assert_non_null(strstr(err.words, "/nonexistent"));
    unsetenv("TESSDATA_PREFIX");
}

/* Nothing may appear on stderr, whatever the picture. */
static void test_silence(void **state)
{
    FILE *file = tmpfile();
    const int kept = dup(STDERR_FILENO);
    void *engine = english();
    struct vision_image image;
    struct vision_text text;
    long written;

    (void)state;
    assert_non_null(file);
    assert_int_equal(
        aisys_vision_image_init(&image, 2, 900, 1), 0); /* "Image too small", "0 dpi" */
    memset(image.data, 0, (size_t)2 * 900);
    fflush(stderr);
    dup2(fileno(file), STDERR_FILENO);
    text = text_in(engine, &image);
    aisys_vision_text_deinit(&text);
    aisys_vision_image_deinit(&image);
    image = receipt();
    text = text_in(engine, &image);
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    fseek(file, 0, SEEK_END);
    written = ftell(file);
    fclose(file);
    assert_int_equal(written, 0);
    aisys_vision_text_deinit(&text);
    aisys_vision_image_deinit(&image);
    ops->close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_receipt),
        cmocka_unit_test(test_small_print),
        cmocka_unit_test(test_large_page),
        cmocka_unit_test(test_nothing_to_read),
        cmocka_unit_test(test_stops_when_told),
        cmocka_unit_test(test_noise_is_stopped),
        cmocka_unit_test(test_languages),
        cmocka_unit_test(test_no_data_at_all),
        cmocka_unit_test(test_silence),
    };

    return cmocka_run_group_tests(tests, open_engine, NULL);
}
