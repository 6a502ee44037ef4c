#include "image.h"

#include <inttypes.h>
#include <string.h>

#include "image_codec.h"

const char *aisys_vision_format_name(enum vision_format format)
{
    return format == VISION_FORMAT_PNG ? "PNG" : "JPEG";
}

static enum aisys_code image_fail_format(
    const uint8_t *bytes, size_t size, struct vision_error *err)
{
    char begins[3 * 4 + 1] = "";

    if (size == 0)
        return aisys_vision_fail(err, AISYS_INVALID_ARGUMENT, "the image is empty (0 bytes)");
    for (size_t i = 0; i < size && i < 4; i++) {
        static const char digits[] = "0123456789abcdef";

        begins[3 * i] = ' ';
        begins[3 * i + 1] = digits[bytes[i] >> 4];
        begins[3 * i + 2] = digits[bytes[i] & 15];
        begins[3 * i + 3] = '\0';
    }
    return aisys_vision_fail(
        err, AISYS_INVALID_ARGUMENT, "not a PNG or JPEG image (it begins with%s)", begins);
}

static enum aisys_code image_check_limits(const struct vision_limits *limits,
    const struct vision_image_info *info, struct vision_error *err)
{
    const uint64_t pixels = (uint64_t)info->stored_width * info->stored_height;

    if (info->stored_width > VISION_MAX_SIDE || info->stored_height > VISION_MAX_SIDE)
        return aisys_vision_fail(err, AISYS_INVALID_ARGUMENT,
            "the %s has %" PRIu32 " x %" PRIu32 " pixels; no side may be longer than %u",
            aisys_vision_format_name(info->format), info->stored_width, info->stored_height,
            VISION_MAX_SIDE);
    if (pixels <= limits->max_pixels)
        return AISYS_OK;
    return aisys_vision_fail(err, AISYS_INVALID_ARGUMENT,
        "the %s has %" PRIu32 " x %" PRIu32 " = %" PRIu64 " pixels; at most %" PRIu64
        " are decoded (max_pixels)",
        aisys_vision_format_name(info->format), info->stored_width, info->stored_height, pixels,
        limits->max_pixels);
}

enum aisys_code aisys_vision_image_probe(const void *bytes, size_t size,
    const struct vision_limits *limits, struct vision_image_info *ret_info,
    struct vision_error *err)
{
    struct vision_image_info info = { .orientation = 1 };
    enum aisys_code code;
    bool sideways;

    if (size > limits->max_bytes)
        return aisys_vision_fail(err, AISYS_INVALID_ARGUMENT,
            "the image has %zu bytes; at most %" PRIu64 " are taken (max_bytes)", size,
            limits->max_bytes);
    if (aisys_vision_png_is(bytes, size))
        code = aisys_vision_png_probe(bytes, size, &info, err);
    else if (aisys_vision_jpeg_is(bytes, size))
        code = aisys_vision_jpeg_probe(bytes, size, &info, err);
    else
        code = image_fail_format(bytes, size, err);
    if (code != AISYS_OK)
        return code;

    code = image_check_limits(limits, &info, err);
    if (code != AISYS_OK)
        return code;
    sideways = info.orientation >= 5;
    info.width = sideways ? info.stored_height : info.stored_width;
    info.height = sideways ? info.stored_width : info.stored_height;
    *ret_info = info;
    return AISYS_OK;
}

enum aisys_code aisys_vision_image_decode(const void *bytes, size_t size,
    const struct vision_limits *limits, const struct vision_decode_options *options,
    const struct vision_stop *stop, struct vision_image *ret_image, struct vision_error *err)
{
    struct vision_image_info info;
    struct vision_image image = { 0 };
    struct vision_rows rows = { .channels = options->channels, .image = &image };
    enum aisys_code code;

    code = aisys_vision_image_probe(bytes, size, limits, &info, err);
    if (code != AISYS_OK)
        return code;
    if (aisys_vision_stopped(stop))
        return aisys_vision_fail_stopped(err, "before the image was decoded");

    rows.orientation = info.orientation;
    if (info.format == VISION_FORMAT_PNG)
        code = aisys_vision_png_decode(bytes, size, &info, &rows, stop, err);
    else
        code = aisys_vision_jpeg_decode(bytes, size, &info, options->min_side, &rows, stop, err);
    if (code != AISYS_OK) {
        aisys_vision_image_deinit(&image);
        return code;
    }
    *ret_image = image;
    return AISYS_OK;
}

/* Rows, as the decoders hand them over. */

int aisys_vision_rows_open(struct vision_rows *rows, uint32_t stored_width, uint32_t stored_height)
{
    const bool sideways = rows->orientation >= 5;

    rows->stored_width = stored_width;
    rows->stored_height = stored_height;
    return aisys_vision_image_init(rows->image, sideways ? stored_height : stored_width,
        sideways ? stored_width : stored_height, rows->channels);
}

/* Where the stored pixel (0, @y) goes, and how far apart, in pixels, its row's neighbours land. */
static void rows_place(
    const struct vision_rows *rows, uint32_t y, int64_t *ret_first, int64_t *ret_step)
{
    const int64_t w = rows->stored_width;
    const int64_t h = rows->stored_height;

    switch (rows->orientation) {
    case 2: /* mirrored left to right */
        *ret_first = (int64_t)y * w + (w - 1);
        *ret_step = -1;
        break;
    case 3: /* upside down */
        *ret_first = (h - 1 - y) * w + (w - 1);
        *ret_step = -1;
        break;
    case 4: /* mirrored top to bottom */
        *ret_first = (h - 1 - y) * w;
        *ret_step = 1;
        break;
    case 5: /* stored rows are columns from the left, going down */
        *ret_first = y;
        *ret_step = h;
        break;
    case 6: /* columns from the right, going down */
        *ret_first = h - 1 - y;
        *ret_step = h;
        break;
    case 7: /* columns from the right, going up */
        *ret_first = (w - 1) * h + (h - 1 - y);
        *ret_step = -h;
        break;
    case 8: /* columns from the left, going up */
        *ret_first = (w - 1) * h + y;
        *ret_step = -h;
        break;
    default:
        *ret_first = (int64_t)y * w;
        *ret_step = 1;
        break;
    }
}

void aisys_vision_rows_put(const struct vision_rows *rows, uint32_t y, const uint8_t *row)
{
    const unsigned channels = rows->channels;
    int64_t first;
    int64_t step;
    uint8_t *to;

    rows_place(rows, y, &first, &step);
    to = rows->image->data + first * channels;
    if (step == 1) {
        memcpy(to, row, (size_t)rows->stored_width * channels);
        return;
    }
    step *= channels;
    for (uint32_t x = 0; x < rows->stored_width; x++) {
        for (unsigned c = 0; c < channels; c++)
            to[step * x + c] = row[(size_t)x * channels + c];
    }
}

static uint8_t row_luma(unsigned r, unsigned g, unsigned b)
{
    return (uint8_t)((77 * r + 150 * g + 29 * b + 128) >> 8);
}

static uint8_t row_on_white(unsigned value, unsigned alpha)
{
    return (uint8_t)((value * alpha + 255 * (255 - alpha) + 127) / 255);
}

void aisys_vision_row_convert(
    const uint8_t *from, unsigned from_channels, uint32_t width, unsigned channels, uint8_t *to)
{
    const bool colour = from_channels >= 3;
    const bool alpha = from_channels == 2 || from_channels == 4;

    for (uint32_t x = 0; x < width; x++, from += from_channels, to += channels) {
        uint8_t r = from[0];
        uint8_t g = colour ? from[1] : r;
        uint8_t b = colour ? from[2] : r;

        if (alpha) {
            const uint8_t a = from[from_channels - 1];

            r = row_on_white(r, a);
            g = row_on_white(g, a);
            b = row_on_white(b, a);
        }
        if (channels == 1) {
            to[0] = colour ? row_luma(r, g, b) : r;
        } else {
            to[0] = r;
            to[1] = g;
            to[2] = b;
        }
    }
}
