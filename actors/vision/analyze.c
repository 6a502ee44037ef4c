#include "analyze.h"

#include <stdlib.h>
#include <string.h>

void aisys_vision_result_deinit(struct vision_result *result)
{
    if (result == NULL)
        return;
    aisys_vision_text_deinit(&result->text);
    aisys_vision_codes_deinit(&result->codes);
    memset(result, 0, sizeof(*result));
}

/* Covering codes before text is read: a QR code looks like a photograph to tesseract, which then
 * leaves out the lines around it, or reads letters into it. */

static uint32_t cover_less(uint32_t from, uint32_t by)
{
    return from > by ? from - by : 0;
}

static uint32_t cover_more(uint32_t from, uint32_t by, uint32_t limit)
{
    return limit - from > by ? from + by : limit;
}

/* The mean of the pixels along the edge of the rectangle: the paper around the code. */
static uint8_t cover_colour(
    const struct vision_image *image, uint32_t left, uint32_t top, uint32_t right, uint32_t bottom)
{
    const uint8_t *first = image->data + (size_t)top * image->width;
    const uint8_t *last = image->data + (size_t)(bottom - 1) * image->width;
    uint64_t sum = 0;

    for (uint32_t x = left; x < right; x++)
        sum += (uint64_t)first[x] + last[x];
    return (uint8_t)(sum / (2 * (uint64_t)(right - left)));
}

static void cover_code(const struct vision_image *image, const struct vision_box *box)
{
    const uint32_t margin = 2 + (box->width < box->height ? box->width : box->height) / 16;
    const uint32_t left = cover_less(box->x, margin);
    const uint32_t top = cover_less(box->y, margin);
    const uint32_t right = cover_more(box->x + box->width, margin, image->width);
    const uint32_t bottom = cover_more(box->y + box->height, margin, image->height);
    const uint8_t colour = cover_colour(image, left, top, right, bottom);

    for (uint32_t y = top; y < bottom; y++)
        memset(image->data + (size_t)y * image->width + left, colour, right - left);
}

static enum aisys_code analyze_codes(struct vision_tools *tools, const struct vision_image *image,
    const struct vision_stop *stop, struct vision_codes *ret_codes, struct vision_error *err)
{
    const struct vision_codes_ops *ops;
    enum aisys_code code;

    code = aisys_vision_tools_codes(tools, &ops, err);
    if (code == AISYS_OK)
        code = ops->find(image, stop, ret_codes, err);
    return code;
}

static enum aisys_code analyze_text(struct vision_tools *tools, const struct vision_image *image,
    const char *languages, const struct vision_stop *stop, struct vision_text *ret_text,
    struct vision_error *err)
{
    struct vision_reader reader;
    enum aisys_code code;

    code = aisys_vision_tools_take(tools, languages, stop, &reader, err);
    if (code != AISYS_OK)
        return code;
    code = reader.ops->read(reader.engine, image, stop, ret_text, err);
    aisys_vision_tools_give(tools, &reader);
    return code;
}

/* All that needs pixels. @image is ours to paint on. */
static enum aisys_code analyze_image(struct vision_tools *tools,
    const struct vision_request *request, const struct vision_image *image,
    const struct vision_stop *stop, struct vision_result *result, struct vision_error *err)
{
    const bool text = request->wants & VISION_WANT_TEXT;
    const bool codes = request->wants & VISION_WANT_CODES;
    enum aisys_code code = AISYS_OK;

    if ((request->wants & VISION_WANT_HASH) && aisys_vision_hash(image, &result->hash) < 0)
        return aisys_vision_fail(err, AISYS_RESOURCE_EXHAUSTED, "no memory to hash a picture");
    if (codes || text)
        code = analyze_codes(tools, image, stop, &result->codes, err);
    /* Without the codes engine text can be read all the same. */
    if (code != AISYS_OK && !(code == AISYS_UNAVAILABLE && !codes))
        return code;
    if (!text)
        return AISYS_OK;

    for (size_t i = 0; i < result->codes.codes_nr; i++)
        cover_code(image, &result->codes.codes[i].box);
    if (!codes)
        aisys_vision_codes_deinit(&result->codes);
    return analyze_text(tools, image, request->languages, stop, &result->text, err);
}

static enum aisys_code analyze_bytes(struct vision_tools *tools,
    const struct vision_request *request, const void *bytes, size_t bytes_nr,
    const struct vision_stop *stop, struct vision_result *result, struct vision_error *err)
{
    const bool hash_only = !(request->wants & (VISION_WANT_TEXT | VISION_WANT_CODES));
    const struct vision_decode_options options = {
        .channels = 1,
        .min_side = hash_only ? 2 * VISION_HASH_SIDE : 0,
    };
    struct vision_image image;
    enum aisys_code code;

    code = aisys_vision_image_probe(bytes, bytes_nr, &request->limits, &result->info, err);
    if (code != AISYS_OK || (request->wants & ~(unsigned)VISION_WANT_INFO) == 0)
        return code;
    code =
        aisys_vision_image_decode(bytes, bytes_nr, &request->limits, &options, stop, &image, err);
    if (code != AISYS_OK)
        return code;
    code = analyze_image(tools, request, &image, stop, result, err);
    aisys_vision_image_deinit(&image);
    return code;
}

enum aisys_code aisys_vision_analyze(struct vision_tools *tools,
    const struct vision_request *request, const struct vision_stop *stop,
    struct vision_result *ret_result, struct vision_error *err)
{
    struct vision_result result = { 0 };
    const void *bytes = request->bytes;
    size_t bytes_nr = request->bytes_nr;
    void *read = NULL;
    enum aisys_code code = AISYS_OK;

    if (bytes == NULL && request->path != NULL) {
        code = aisys_vision_roots_read(
            request->roots, request->path, request->limits.max_bytes, &read, &bytes_nr, err);
        bytes = read;
    }
    if (code == AISYS_OK)
        code = analyze_bytes(tools, request, bytes, bytes_nr, stop, &result, err);
    free(read);
    if (code != AISYS_OK) {
        aisys_vision_result_deinit(&result);
        return code;
    }
    *ret_result = result;
    return AISYS_OK;
}
