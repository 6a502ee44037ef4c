/* Between image.c and the two decoders: each format offers a probe and a decoder.
 *
 * A decoder finds out the size it will produce, calls open_rows() once, and then hands over every
 * row from top to bottom, as stored, with put_row(); image.c turns and stores it. */
#ifndef AISYS_VISION_IMAGE_CODEC_H
#define AISYS_VISION_IMAGE_CODEC_H

#include "image.h"

struct vision_rows {
    unsigned orientation;
    unsigned channels; /* of a row that is put, and of the picture */
    uint32_t stored_width, stored_height;
    struct vision_image *image; /* borrowed; allocated by open_rows() */
};

/* 0 or -ENOMEM. */
int aisys_vision_rows_open(struct vision_rows *rows, uint32_t stored_width, uint32_t stored_height);

/* Store row @y: stored_width x channels bytes. */
void aisys_vision_rows_put(const struct vision_rows *rows, uint32_t y, const uint8_t *row);

/* Turn one row of @from_channels (1 grey, 2 grey and alpha, 3 RGB, 4 RGBA) into @channels (1, 3),
 * on white. @to may not overlap @from. */
void aisys_vision_row_convert(
    const uint8_t *from, unsigned from_channels, uint32_t width, unsigned channels, uint8_t *to);

/* The orientation in a TIFF block (what follows "Exif\0\0"), or 1. Never reads past @size. */
unsigned aisys_vision_exif_orientation(const uint8_t *tiff, size_t size);

bool aisys_vision_png_is(const uint8_t *bytes, size_t size);
bool aisys_vision_jpeg_is(const uint8_t *bytes, size_t size);

/* Fill format, stored size and orientation of *@info. The size is non-zero and not yet checked
 * against any limit. */
enum aisys_code aisys_vision_png_probe(
    const uint8_t *bytes, size_t size, struct vision_image_info *info, struct vision_error *err);
enum aisys_code aisys_vision_jpeg_probe(
    const uint8_t *bytes, size_t size, struct vision_image_info *info, struct vision_error *err);

/* Bytes that passed probe() and the limits. On failure the picture may be half filled; the caller
 * releases it. */
enum aisys_code aisys_vision_png_decode(const uint8_t *bytes, size_t size,
    const struct vision_image_info *info, struct vision_rows *rows, const struct vision_stop *stop,
    struct vision_error *err);
enum aisys_code aisys_vision_jpeg_decode(const uint8_t *bytes, size_t size,
    const struct vision_image_info *info, uint32_t min_side, struct vision_rows *rows,
    const struct vision_stop *stop, struct vision_error *err);

#endif
