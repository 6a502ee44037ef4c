/* QR and bar codes, by the real engine: exact bytes, right places, nothing out of noise. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "vision_files.h"

/* What qr_binary.png says. */
static const char binary[16] = "\x00\x01\x7f\x80\xc3\x28\xff\xfe\x0d\x0a\x00\x41\xe2\x82\xac\x5c";

static const struct vision_codes_ops *ops;

static int open_engine(void **state)
{
    struct vision_error err = { 0 };

    (void)state;
    ops = open_real_engine(VISION_CODES_MODULE, VISION_CODES_SYMBOL, &err);
    if (ops == NULL)
        fail_msg("%s", err.words);
    assert_int_equal(ops->abi, VISION_ENGINE_ABI);
    return 0;
}

static struct vision_codes codes_in(const struct vision_image *image)
{
    struct vision_codes codes = { 0 };
    struct vision_error err = { 0 };

    if (ops->find(image, NULL, &codes, &err) != AISYS_OK)
        fail_msg("%s", err.words);
    return codes;
}

static void expect_code(const struct vision_code *code, const char *type, const char *data,
    size_t data_bytes, const struct vision_box *box, uint32_t slack)
{
    assert_string_equal(code->type, type);
    assert_int_equal(code->data_bytes, data_bytes);
    assert_memory_equal(code->data, data, data_bytes);
    assert_in_range(code->box.x + slack, box->x, box->x + 2 * slack);
    assert_in_range(code->box.y + slack, box->y, box->y + 2 * slack);
    assert_in_range(code->box.width + slack, box->width, box->width + 2 * slack);
    assert_in_range(code->box.height + slack, box->height, box->height + 2 * slack);
}

static void test_files(void **state)
{
    static const struct {
        const char *name, *type, *data;
        size_t data_bytes;
        struct vision_box box;
    } rows[] = {
        { "receipt.png", "QR_CODE", "https://shop.example/r/0042?total=27.45", 39,
            { 207, 814, 147, 147 } },
        { "receipt.jpg", "QR_CODE", "https://shop.example/r/0042?total=27.45", 39,
            { 207, 814, 147, 147 } },
        { "qr_light_on_dark.png", "QR_CODE", "light on dark 7319", 18, { 24, 24, 151, 151 } },
        { "qr_binary.png", "QR_CODE", binary, 16, { 24, 24, 151, 151 } },
        { "ean13.png", "EAN13", "4006381333931", 13, { 33, 10, 285, 100 } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct vision_image image = picture_of(rows[i].name, 1);
        struct vision_codes codes = codes_in(&image);

        assert_int_equal(codes.codes_nr, 1);
        expect_code(
            &codes.codes[0], rows[i].type, rows[i].data, rows[i].data_bytes, &rows[i].box, 6);
        aisys_vision_codes_deinit(&codes);
        aisys_vision_image_deinit(&image);
    }
}

/* Put @from on @to with its corner at (@x, @y), every pixel @scale times as wide and high. */
static void paste(
    const struct vision_image *to, const char *name, uint32_t x, uint32_t y, uint32_t scale)
{
    struct vision_image from = picture_of(name, 1);

    for (uint32_t row = 0; row < from.height * scale; row++) {
        for (uint32_t column = 0; column < from.width * scale; column++)
            to->data[(size_t)(y + row) * to->width + x + column] =
                from.data[(size_t)(row / scale) * from.width + column / scale];
    }
    aisys_vision_image_deinit(&from);
}

static const struct vision_code *code_of_type(
    const struct vision_codes *codes, const char *type, uint32_t x)
{
    for (size_t i = 0; i < codes->codes_nr; i++) {
        if (strcmp(codes->codes[i].type, type) == 0 && codes->codes[i].box.x >= x)
            return &codes->codes[i];
    }
    fail_msg("no %s right of %u", type, x);
    return NULL;
}

/* A picture that is searched in pieces: small codes, one on the border of two pieces, one larger
 * than a piece, one light on dark; each is reported once, in its place. */
static void test_large_picture(void **state)
{
    static const struct vision_box boxes[] = { { 1700 + 24, 100 + 24, 151, 151 },
        { 4400 + 33, 100 + 10, 285, 100 }, { 2500 + 24 * 12, 1000 + 24 * 12, 151 * 12, 151 * 12 },
        { 224, 3024, 151, 151 } };
    struct vision_image image;
    struct vision_codes codes;

    (void)state;
    assert_int_equal(aisys_vision_image_init(&image, 5000, 3600, 1), 0);
    memset(image.data, 255, (size_t)5000 * 3600);
    paste(&image, "qr_binary.png", 1700, 100, 1);
    paste(&image, "ean13.png", 4400, 100, 1);
    paste(&image, "qr_binary.png", 2500, 1000, 12);
    paste(&image, "qr_light_on_dark.png", 200, 3000, 1);
    codes = codes_in(&image);
    assert_int_equal(codes.codes_nr, 4);
    expect_code(code_of_type(&codes, "EAN13", 0), "EAN13", "4006381333931", 13, &boxes[1], 6);
    expect_code(code_of_type(&codes, "QR_CODE", 2000), "QR_CODE", binary, 16, &boxes[2], 40);
    aisys_vision_codes_deinit(&codes);
    aisys_vision_image_deinit(&image);
}

static void test_noise_is_no_code(void **state)
{
    struct vision_image image;
    struct vision_codes codes;
    uint32_t random = 1;

    (void)state;
    assert_int_equal(aisys_vision_image_init(&image, 900, 900, 1), 0);
    for (size_t i = 0; i < (size_t)900 * 900; i++) {
        random = random * 1664525 + 1013904223;
        image.data[i] = (uint8_t)(random >> 24);
    }
    codes = codes_in(&image);
    assert_int_equal(codes.codes_nr, 0);
    aisys_vision_codes_deinit(&codes);
    aisys_vision_image_deinit(&image);
}

static void test_tiny_pictures(void **state)
{
    static const uint32_t sizes[][2] = { { 1, 1 }, { 1, 500 }, { 500, 1 }, { 1, 5000 }, { 7, 3 } };

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct vision_image image;
        struct vision_codes codes;

        assert_int_equal(aisys_vision_image_init(&image, sizes[i][0], sizes[i][1], 1), 0);
        memset(image.data, 128, (size_t)sizes[i][0] * sizes[i][1]);
        codes = codes_in(&image);
        assert_int_equal(codes.codes_nr, 0);
        aisys_vision_codes_deinit(&codes);
        aisys_vision_image_deinit(&image);
    }
}

static void test_stops_when_told(void **state)
{
    struct vision_image image = picture_of("receipt.png", 1);

    (void)state;
    for (unsigned left = 0; left < 2; left++) {
        struct countdown countdown = { .left = left };
        const struct vision_stop stop = { .ask = countdown_ask, .ctx = &countdown };
        struct vision_codes codes = { 0 };
        struct vision_error err = { 0 };

        assert_int_equal(ops->find(&image, &stop, &codes, &err), AISYS_DEADLINE_EXCEEDED);
        assert_null(codes.codes);
    }
    aisys_vision_image_deinit(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_large_picture),
        cmocka_unit_test(test_noise_is_no_code),
        cmocka_unit_test(test_tiny_pictures),
        cmocka_unit_test(test_stops_when_told),
    };

    return cmocka_run_group_tests(tests, open_engine, NULL);
}
