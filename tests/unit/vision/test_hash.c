/* The perceptual hash: near for the same picture in another dress, far for another picture. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "hash.h"
#include "vision_files.h"

static uint64_t hash_of(const struct vision_image *image)
{
    uint64_t hash;

    assert_int_equal(aisys_vision_hash(image, &hash), 0);
    return hash;
}

static uint64_t hash_of_file(const char *name)
{
    struct vision_image image = picture_of(name, 1);
    const uint64_t hash = hash_of(&image);

    aisys_vision_image_deinit(&image);
    return hash;
}

static void test_same_picture_is_near(void **state)
{
    const uint64_t png = hash_of_file("receipt.png");
    const uint64_t jpeg = hash_of_file("receipt.jpg"); /* recompressed, and turned by EXIF */

    (void)state;
    assert_true(aisys_vision_hash_distance(png, jpeg) <= 4);
}

static void test_other_picture_is_far(void **state)
{
    const uint64_t receipt = hash_of_file("receipt.png");
    const uint64_t landscape = hash_of_file("landscape.jpg");
    const uint64_t code = hash_of_file("qr_binary.png");

    (void)state;
    assert_true(aisys_vision_hash_distance(receipt, landscape) > 20);
    assert_true(aisys_vision_hash_distance(receipt, code) > 20);
    assert_true(aisys_vision_hash_distance(landscape, code) > 20);
}

static void test_resized_is_near(void **state)
{
    static const uint32_t sizes[][2] = { { 279, 499 }, { 140, 250 }, { 200, 200 }, { 64, 64 } };
    struct vision_image image = picture_of("receipt.png", 1);
    const uint64_t hash = hash_of(&image);

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct vision_image small;

        assert_int_equal(aisys_vision_image_shrink(&image, sizes[i][0], sizes[i][1], &small), 0);
        assert_true(aisys_vision_hash_distance(hash, hash_of(&small)) <= 6);
        aisys_vision_image_deinit(&small);
    }
    aisys_vision_image_deinit(&image);
}

static void test_darkened_and_noisy_is_near(void **state)
{
    struct vision_image image = picture_of("landscape.jpg", 1);
    const uint64_t hash = hash_of(&image);
    uint32_t random = 7319;

    (void)state;
    for (size_t i = 0; i < (size_t)image.width * image.height; i++) {
        random = random * 1664525 + 1013904223;
        image.data[i] = (uint8_t)(image.data[i] * 3 / 4 + (random >> 27));
    }
    assert_true(aisys_vision_hash_distance(hash, hash_of(&image)) <= 8);
    aisys_vision_image_deinit(&image);
}

static void test_decoder_shrinking_changes_little(void **state)
{
    const struct vision_decode_options options = { .channels = 1, .min_side = VISION_HASH_SIDE };
    struct file file = file_read("landscape.jpg");
    struct vision_image small;
    struct vision_error err;

    (void)state;
    assert_int_equal(aisys_vision_image_decode(
                         file.bytes, file.size, &default_limits, &options, NULL, &small, &err),
        0);
    assert_int_equal(small.width, 60);
    assert_true(aisys_vision_hash_distance(hash_of(&small), hash_of_file("landscape.jpg")) <= 2);
    aisys_vision_image_deinit(&small);
    file_free(&file);
}

static void test_plain_and_tiny_pictures(void **state)
{
    uint8_t pixels[64 * 64];
    struct vision_image image = { .width = 64, .height = 64, .channels = 1, .data = pixels };

    (void)state;
    for (unsigned grey = 0; grey < 256; grey += 51) {
        memset(pixels, (int)grey, sizeof(pixels));
        assert_int_equal(hash_of(&image), 0);
    }
    image.width = 1;
    image.height = 1;
    assert_int_equal(hash_of(&image), 0);
    image.width = 2;
    pixels[0] = 0;
    assert_int_not_equal(hash_of(&image), 0);
}

static void test_text_form(void **state)
{
    static const char *const bad[] = { "", "0123", "0123456789abcdeg", "0123456789abcdef0",
        " 123456789abcdef", "0x23456789abcdef" };
    struct vision_error err = { 0 };
    char text[VISION_HASH_TEXT_BYTES];
    uint64_t hash = 1;

    (void)state;
    aisys_vision_hash_format(0x00ab54a98ceb1f0aULL, text);
    assert_string_equal(text, "00ab54a98ceb1f0a");
    assert_int_equal(aisys_vision_hash_parse(text, &hash, &err), 0);
    assert_int_equal(hash, 0x00ab54a98ceb1f0aULL);
    assert_int_equal(aisys_vision_hash_parse("FFFFFFFFFFFFFFFF", &hash, &err), 0);
    assert_int_equal(aisys_vision_hash_distance(hash, 0), 64);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(aisys_vision_hash_parse(bad[i], &hash, &err), AISYS_INVALID_ARGUMENT);
        assert_non_null(strstr(err.words, "exactly 16 hex digits"));
        assert_int_equal(hash, UINT64_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_picture_is_near),
        cmocka_unit_test(test_other_picture_is_far),
        cmocka_unit_test(test_resized_is_near),
        cmocka_unit_test(test_darkened_and_noisy_is_near),
        cmocka_unit_test(test_decoder_shrinking_changes_little),
        cmocka_unit_test(test_plain_and_tiny_pictures),
        cmocka_unit_test(test_text_form),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
