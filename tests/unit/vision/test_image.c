/* Pictures: what is decoded comes out right and upright, and what cannot be is a clear error. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "image_codec.h"
#include "vision_files.h"

static enum aisys_code decode(const void *bytes, size_t size, unsigned channels,
    struct vision_image *image, struct vision_error *err)
{
    const struct vision_decode_options options = { .channels = channels };

    memset(err, 0, sizeof(*err));
    memset(image, 0, sizeof(*image));
    return aisys_vision_image_decode(bytes, size, &default_limits, &options, NULL, image, err);
}

static void test_probe_reads_headers(void **state)
{
    static const struct {
        const char *name, *format;
        uint32_t width, height;
        unsigned orientation;
    } rows[] = {
        { "receipt.png", "PNG", 560, 1000, 1 },
        { "receipt.jpg", "JPEG", 560, 1000, 6 }, /* stored as 1000 x 560 */
        { "landscape.jpg", "JPEG", 480, 320, 1 },
        { "transparent.png", "PNG", 40, 30, 1 },
        { "palette_interlaced.png", "PNG", 48, 40, 1 },
        { "cmyk.jpg", "JPEG", 64, 32, 1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct file file = file_read(rows[i].name);
        struct vision_image_info info;
        struct vision_error err = { 0 };

        assert_int_equal(
            aisys_vision_image_probe(file.bytes, file.size, &default_limits, &info, &err), 0);
        assert_string_equal(aisys_vision_format_name(info.format), rows[i].format);
        assert_int_equal(info.width, rows[i].width);
        assert_int_equal(info.height, rows[i].height);
        assert_int_equal(info.orientation, rows[i].orientation);
        file_free(&file);
    }
}

static void test_bad_files_are_clear_errors(void **state)
{
    static const struct {
        const char *name, *words;
    } rows[] = {
        { "receipt_truncated.png", "the PNG is cut off" },
        { "receipt_truncated.jpg", "the JPEG is cut off" },
        { "bomb.png", "50000 x 50000 = 2500000000 pixels; at most 50000000" },
        { "not_an_image.gif", "not a PNG or JPEG image (it begins with 47 49 46 38)" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct file file = file_read(rows[i].name);
        struct vision_image image;
        struct vision_image_info info;
        struct vision_error err;

        assert_int_equal(decode(file.bytes, file.size, 1, &image, &err), AISYS_INVALID_ARGUMENT);
        if (strstr(err.words, rows[i].words) == NULL)
            fail_msg("%s: \"%s\" lacks \"%s\"", rows[i].name, err.words, rows[i].words);
        assert_null(image.data);
        assert_int_equal(
            aisys_vision_image_probe(file.bytes, file.size, &default_limits, &info, &err),
            AISYS_INVALID_ARGUMENT);
        file_free(&file);
    }
}

/* Every shorter version of a file, as a transfer may leave it, is refused; ASan watches. */
static void test_every_cut_is_refused(void **state)
{
    static const char *const names[] = { "qr_binary.png", "cmyk.jpg", "palette_interlaced.png" };

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct file file = file_read(names[i]);

        for (size_t size = 0; size < file.size; size++) {
            uint8_t *cut = malloc(size + 1); /* of its own, so that reading on is seen */
            struct vision_image image;
            struct vision_error err;

            memcpy(cut, file.bytes, size);
            assert_int_equal(decode(cut, size, 3, &image, &err), AISYS_INVALID_ARGUMENT);
            assert_true(err.words[0] != '\0');
            free(cut);
        }
        file_free(&file);
    }
}

/* One damaged byte anywhere: a picture or an error, never more. */
static void test_damage_is_survived(void **state)
{
    static const char *const names[] = { "qr_binary.png", "cmyk.jpg", "palette_interlaced.png",
        "transparent.png", "landscape.jpg" };

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct file file = file_read(names[i]);
        const size_t step = file.size > 1000 ? 37 : 1;
        unsigned refused = 0;

        for (size_t at = 0; at < file.size; at += step) {
            struct vision_image image;
            struct vision_error err;

            file.bytes[at] ^= 0x5a;
            if (decode(file.bytes, file.size, 3, &image, &err) != AISYS_OK) {
                assert_true(err.words[0] != '\0');
                refused++;
            }
            aisys_vision_image_deinit(&image);
            file.bytes[at] ^= 0x5a;
        }
        assert_true(refused > 0);
        file_free(&file);
    }
}

static void test_a_cut_jpeg_with_an_end_mark_is_refused(void **state)
{
    struct file file = file_read("receipt_truncated.jpg");
    struct vision_image image;
    struct vision_error err;

    (void)state;
    file.bytes[file.size - 2] = 0xff;
    file.bytes[file.size - 1] = 0xd9;
    assert_int_equal(decode(file.bytes, file.size, 1, &image, &err), AISYS_INVALID_ARGUMENT);
    assert_non_null(strstr(err.words, "a broken JPEG: "));
    file_free(&file);
}

static void test_limits_come_first(void **state)
{
    const struct vision_limits few_bytes = { .max_bytes = 1000, .max_pixels = 1u << 20 };
    const struct vision_limits few_pixels = { .max_bytes = 1u << 20, .max_pixels = 559999 };
    const struct vision_limits enough = { .max_bytes = 1u << 20, .max_pixels = 560000 };
    struct file file = file_read("receipt.png");
    struct vision_image_info info;
    struct vision_error err = { 0 };

    (void)state;
    assert_int_equal(aisys_vision_image_probe(file.bytes, file.size, &few_bytes, &info, &err),
        AISYS_INVALID_ARGUMENT);
    assert_non_null(strstr(err.words, "at most 1000 are taken (max_bytes)"));
    assert_int_equal(aisys_vision_image_probe(file.bytes, file.size, &few_pixels, &info, &err),
        AISYS_INVALID_ARGUMENT);
    assert_non_null(strstr(err.words, "(max_pixels)"));
    assert_int_equal(
        aisys_vision_image_probe(file.bytes, file.size, &enough, &info, &err), AISYS_OK);

    /* Few pixels, but one absurd side. */
    memcpy(file.bytes + 16, "\x00\x01\x00\x00\x00\x00\x00\x01", 8);
    assert_int_equal(aisys_vision_image_probe(file.bytes, file.size, &enough, &info, &err),
        AISYS_INVALID_ARGUMENT);
    assert_non_null(strstr(err.words, "no side may be longer than 65535"));
    file_free(&file);
}

static void test_stops_when_told(void **state)
{
    static const char *const names[] = { "receipt.png", "palette_interlaced.png", "receipt.jpg",
        "landscape.jpg" };

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct vision_decode_options options = { .channels = 1 };
        struct file file = file_read(names[i]);

        for (unsigned left = 0; left < 12; left += 3) {
            struct countdown countdown = { .left = left };
            const struct vision_stop stop = { .ask = countdown_ask, .ctx = &countdown };
            struct vision_image image = { 0 };
            struct vision_error err = { 0 };

            assert_int_equal(aisys_vision_image_decode(file.bytes, file.size, &default_limits,
                                 &options, &stop, &image, &err),
                AISYS_DEADLINE_EXCEEDED);
            assert_null(image.data);
        }
        file_free(&file);
    }
}

/* Depths, colours, transparency. */

static void expect_pixel(
    const struct vision_image *image, uint32_t x, uint32_t y, int r, int g, int b, int slack)
{
    const uint8_t *at = image->data + ((size_t)y * image->width + x) * 3;
    const int want[3] = { r, g, b };

    for (unsigned c = 0; c < 3; c++) {
        if (abs(at[c] - want[c]) > slack)
            fail_msg("pixel %u,%u is %d,%d,%d, not %d,%d,%d", x, y, at[0], at[1], at[2], r, g, b);
    }
}

static void test_transparent_is_white(void **state)
{
    struct vision_image image = picture_of("transparent.png", 3);

    (void)state;
    expect_pixel(&image, 3, 3, 255, 255, 255, 0);
    expect_pixel(&image, 30, 3, 255, 0, 0, 0);
    aisys_vision_image_deinit(&image);

    image = picture_of("transparent.png", 1);
    assert_int_equal(image.data[3], 255);
    assert_int_equal(image.data[30], 77); /* what red is as grey */
    aisys_vision_image_deinit(&image);
}

static void test_palette_interlaced(void **state)
{
    struct vision_image image = picture_of("palette_interlaced.png", 3);

    (void)state;
    expect_pixel(&image, 5, 5, 0, 0, 255, 0);
    expect_pixel(&image, 40, 5, 0, 0, 0, 0);
    expect_pixel(&image, 40, 35, 255, 255, 0, 0);
    expect_pixel(&image, 5, 35, 255, 255, 255, 0); /* transparent */
    aisys_vision_image_deinit(&image);
}

static void test_cmyk(void **state)
{
    struct vision_image image = picture_of("cmyk.jpg", 3);

    (void)state;
    expect_pixel(&image, 10, 10, 0, 255, 255, 6);
    expect_pixel(&image, 50, 10, 0, 0, 0, 6);
    aisys_vision_image_deinit(&image);
}

static void test_partly_transparent_mixes(void **state)
{
    static const uint8_t rgba[8] = { 0, 0, 0, 128, 100, 200, 50, 0 };
    static const uint8_t grey_alpha[2] = { 0, 51 };
    uint8_t rgb[6];
    uint8_t grey;

    (void)state;
    aisys_vision_row_convert(rgba, 4, 2, 3, rgb);
    assert_memory_equal(rgb, ((uint8_t[]){ 127, 127, 127, 255, 255, 255 }), 6);
    aisys_vision_row_convert(grey_alpha, 2, 1, 1, &grey);
    assert_int_equal(grey, 204);
}

/* Orientation. */

/* A 3 x 2 picture "abc/def" through every orientation; the table says what one then sees. */
static void test_all_eight_orientations(void **state)
{
    static const char *const seen[9] = {
        NULL,
        "abc/def",
        "cba/fed",
        "fed/cba",
        "def/abc",
        "ad/be/cf",
        "da/eb/fc",
        "fc/eb/da",
        "cf/be/ad",
    };

    (void)state;
    for (unsigned orientation = 1; orientation <= 8; orientation++) {
        struct vision_image image;
        struct vision_rows rows = { .orientation = orientation, .channels = 1, .image = &image };
        char text[16] = "";

        assert_int_equal(aisys_vision_rows_open(&rows, 3, 2), 0);
        aisys_vision_rows_put(&rows, 0, (const uint8_t *)"abc");
        aisys_vision_rows_put(&rows, 1, (const uint8_t *)"def");
        for (uint32_t y = 0; y < image.height; y++)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%.*s", y > 0 ? "/" : "",
                (int)image.width, (const char *)image.data + (size_t)y * image.width);
        assert_string_equal(text, seen[orientation]);
        aisys_vision_image_deinit(&image);
    }
}

static void test_exif_blocks(void **state)
{
    static const struct {
        const char *tiff;
        size_t size;
        unsigned orientation;
    } rows[] = {
        { "II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x08\0\0\0\0\0\0\0", 26, 8 },
        { "MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0", 26, 3 },
        { "II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09\0\0\0\0\0\0\0", 26, 1 }, /* no 9 */
        { "II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x08\0", 20, 1 },             /* cut */
        { "II*\0\xff\xff\xff\xff\x01\0", 10, 1 }, /* a directory far away */
        { "II*\0\x08\0\0\0\xff\xff", 10, 1 },     /* entries without end */
        { "XX*\0\x08\0\0\0\x01\0", 10, 1 },
        { "II", 2, 1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t *copy = malloc(rows[i].size);

        memcpy(copy, rows[i].tiff, rows[i].size);
        assert_int_equal(aisys_vision_exif_orientation(copy, rows[i].size), rows[i].orientation);
        free(copy);
    }
}

/* The JPEG is stored sideways; as one sees it, it is the PNG. */
static void test_exif_jpeg_equals_png(void **state)
{
    struct vision_image jpeg = picture_of("receipt.jpg", 1);
    struct vision_image png = picture_of("receipt.png", 1);
    uint64_t difference = 0;

    (void)state;
    assert_int_equal(jpeg.width, png.width);
    assert_int_equal(jpeg.height, png.height);
    for (size_t i = 0; i < (size_t)png.width * png.height; i++)
        difference += (unsigned)abs(jpeg.data[i] - png.data[i]);
    assert_true(difference / ((uint64_t)png.width * png.height) < 4); /* of 255, on average */
    aisys_vision_image_deinit(&jpeg);
    aisys_vision_image_deinit(&png);
}

/* Shrinking. */

static void test_decoder_shrinks_as_far_as_asked(void **state)
{
    static const struct {
        uint32_t min_side, width;
    } rows[] = { { 0, 480 }, { 320, 480 }, { 160, 240 }, { 100, 160 * 3 / 2 }, { 80, 120 },
        { 40, 60 }, { 1, 60 } };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct vision_decode_options options = { .channels = 1,
            .min_side = rows[i].min_side };
        struct file file = file_read("landscape.jpg");
        struct vision_image image;
        struct vision_error err;

        assert_int_equal(aisys_vision_image_decode(
                             file.bytes, file.size, &default_limits, &options, NULL, &image, &err),
            0);
        assert_int_equal(image.width, rows[i].width);
        aisys_vision_image_deinit(&image);
        file_free(&file);
    }
}

static void test_shrink_takes_exact_means(void **state)
{
    static uint8_t pixels[15] = { 0, 90, 180, 30, 60, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255 };
    const struct vision_image from = { .width = 5, .height = 3, .channels = 1, .data = pixels };
    struct vision_image to;

    (void)state;
    assert_int_equal(aisys_vision_image_shrink(&from, 5, 3, &to), 0);
    assert_memory_equal(to.data, pixels, 15);
    aisys_vision_image_deinit(&to);

    assert_int_equal(aisys_vision_image_shrink(&from, 2, 3, &to), 0);
    /* 2.5 pixels each: (0 + 90 + 90) / 2.5 and (90 + 30 + 60) / 2.5 */
    assert_memory_equal(to.data, ((uint8_t[]){ 72, 72, 0, 0, 255, 255 }), 6);
    aisys_vision_image_deinit(&to);

    assert_int_equal(aisys_vision_image_shrink(&from, 1, 1, &to), 0);
    assert_int_equal(to.data[0], (360 + 5 * 255 + 7) / 15);
    aisys_vision_image_deinit(&to);
}

/* A JPEG of @scans refinement scans would keep a decoder busy for ever. Made here: a progressive
 * file whose script repeats one coefficient's scan is refused by libjpeg's writer, so the AC scan
 * of a real one is copied until there are too many. */
static void test_too_many_scans(void **state)
{
    struct file file = file_read("landscape.jpg");
    size_t first = 0;
    size_t second = 0;
    struct vision_image image;
    struct vision_error err;
    uint8_t *many;
    size_t at;

    (void)state;
    for (at = 2; at + 1 < file.size && second == 0; at++) {
        if (file.bytes[at] != 0xff || file.bytes[at + 1] != 0xda)
            continue;
        if (first == 0)
            first = at;
        else
            second = at;
    }
    assert_true(second > first);
    many = malloc(file.size + 150 * (second - first));
    memcpy(many, file.bytes, second);
    at = second;
    for (unsigned n = 0; n < 150; n++, at += second - first)
        memcpy(many + at, file.bytes + first, second - first);
    memcpy(many + at, file.bytes + second, file.size - second);
    assert_int_equal(
        decode(many, at + file.size - second, 1, &image, &err), AISYS_INVALID_ARGUMENT);
    assert_non_null(strstr(err.words, "scans"));
    free(many);
    file_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probe_reads_headers),
        cmocka_unit_test(test_bad_files_are_clear_errors),
        cmocka_unit_test(test_every_cut_is_refused),
        cmocka_unit_test(test_damage_is_survived),
        cmocka_unit_test(test_a_cut_jpeg_with_an_end_mark_is_refused),
        cmocka_unit_test(test_limits_come_first),
        cmocka_unit_test(test_stops_when_told),
        cmocka_unit_test(test_transparent_is_white),
        cmocka_unit_test(test_palette_interlaced),
        cmocka_unit_test(test_cmyk),
        cmocka_unit_test(test_partly_transparent_mixes),
        cmocka_unit_test(test_all_eight_orientations),
        cmocka_unit_test(test_exif_blocks),
        cmocka_unit_test(test_exif_jpeg_equals_png),
        cmocka_unit_test(test_decoder_shrinks_as_far_as_asked),
        cmocka_unit_test(test_shrink_takes_exact_means),
        cmocka_unit_test(test_too_many_scans),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
