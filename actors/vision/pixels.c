/* Pixels in memory, whatever they came from; all of image.h that an engine needs. */

#include "image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int aisys_vision_image_init(
    struct vision_image *image, uint32_t width, uint32_t height, unsigned channels)
{
    /* Sizes come from limited pictures, but the product is formed wide all the same. */
    const uint64_t bytes = (uint64_t)width * height * channels;

    if (bytes == 0 || bytes > SIZE_MAX / 2)
        return -ENOMEM;
    image->data = malloc((size_t)bytes);
    if (image->data == NULL)
        return -ENOMEM;
    image->width = width;
    image->height = height;
    image->channels = channels;
    return 0;
}

void aisys_vision_image_deinit(struct vision_image *image)
{
    if (image == NULL)
        return;
    free(image->data);
    memset(image, 0, sizeof(*image));
}

/* Shrinking. Lengths are counted so that nothing is rounded before the end: along one side a
 * source pixel is `to` units long and a new pixel `from` units (their numbers, crosswise). */

/* Sum one source row into @sums (one per new column), each pixel weighted by its overlap. */
static void shrink_row(const uint8_t *row, uint32_t from, uint32_t to, uint64_t *sums)
{
    uint32_t i = 0;
    uint64_t left = from; /* units still missing from new pixel i */

    memset(sums, 0, to * sizeof(*sums));
    for (uint32_t x = 0; x < from; x++) {
        uint64_t units = to;

        while (units >= left) {
            sums[i] += left * row[x];
            units -= left;
            left = from;
            i++;
        }
        if (units > 0) {
            sums[i] += units * row[x];
            left -= units;
        }
    }
}

static void shrink_finish_row(uint64_t *totals, uint32_t width, uint64_t area, uint8_t *to)
{
    for (uint32_t i = 0; i < width; i++) {
        to[i] = (uint8_t)((totals[i] + area / 2) / area);
        totals[i] = 0;
    }
}

static void shrink_rows(
    const struct vision_image *from, struct vision_image *to, uint64_t *sums, uint64_t *totals)
{
    const uint64_t area = (uint64_t)from->width * from->height;
    uint64_t left = from->height;
    uint32_t j = 0;

    for (uint32_t y = 0; y < from->height; y++) {
        uint64_t units = to->height;

        shrink_row(from->data + (size_t)y * from->width, from->width, to->width, sums);
        while (units >= left) {
            for (uint32_t i = 0; i < to->width; i++)
                totals[i] += left * sums[i];
            shrink_finish_row(totals, to->width, area, to->data + (size_t)j * to->width);
            units -= left;
            left = from->height;
            j++;
        }
        if (units > 0) {
            for (uint32_t i = 0; i < to->width; i++)
                totals[i] += units * sums[i];
            left -= units;
        }
    }
}

int aisys_vision_image_shrink(const struct vision_image *from, uint32_t width, uint32_t height,
    struct vision_image *ret_image)
{
    struct vision_image to;
    uint64_t *sums;
    int r;

    sums = calloc(2 * (size_t)width, sizeof(*sums));
    if (sums == NULL)
        return -ENOMEM;
    r = aisys_vision_image_init(&to, width, height, 1);
    if (r < 0) {
        free(sums);
        return r;
    }
    shrink_rows(from, &to, sums, sums + width);
    free(sums);
    *ret_image = to;
    return 0;
}
