/* A picture in memory, and how PNG and JPEG bytes become one.
 *
 * probe() reads only headers and the list of parts: format, size, orientation, and whether the
 * end of the file is there. It refuses what is too large, so nothing is decoded, and nothing
 * allocated, for a picture beyond the limits (a decompression bomb states its size too).
 * decode() calls probe() itself.
 *
 * What comes out is always 8 bits a channel, grey or RGB, the right way up (EXIF orientation 1 to
 * 8 applied), on white where it was transparent. Colour profiles and gamma are not applied.
 *
 * Threads: any. Nothing is shared, nothing is kept, nothing is written to stderr.
 * Errors:  see base.h; AISYS_INVALID_ARGUMENT for bytes that are not such a picture,
 *          AISYS_DEADLINE_EXCEEDED when told to stop, AISYS_RESOURCE_EXHAUSTED without memory. */
#ifndef AISYS_VISION_IMAGE_H
#define AISYS_VISION_IMAGE_H

#include "base.h"

#define VISION_MAX_BYTES_DEFAULT  (16u << 20)
#define VISION_MAX_PIXELS_DEFAULT 50000000u
/* No side may be longer, whatever max_pixels says: decoders hold whole rows, and JPEG ends there. */
#define VISION_MAX_SIDE           65535u

enum vision_format {
    VISION_FORMAT_PNG,
    VISION_FORMAT_JPEG,
};

struct vision_limits {
    uint64_t max_bytes;  /* of the file */
    uint64_t max_pixels; /* width x height */
};

/* What the header says. */
struct vision_image_info {
    enum vision_format format;
    uint32_t width, height; /* as one looks at it: swapped when orientation is 5 to 8 */
    uint32_t stored_width, stored_height;
    unsigned orientation; /* EXIF, 1 to 8; 1 is upright, and what a file without EXIF has */
};

struct vision_image {
    uint32_t width, height;
    uint32_t channels; /* 1 grey, 3 RGB */
    uint8_t *data;     /* owned; rows follow each other without padding */
};

struct vision_decode_options {
    unsigned channels; /* 1 or 3 */
    /* 0: full size. Else the decoder may shrink by 2, 4 or 8, where that makes it faster, as long
     * as both sides keep at least so many pixels. */
    uint32_t min_side;
};

/* "PNG", "JPEG". */
const char *aisys_vision_format_name(enum vision_format format);

enum aisys_code aisys_vision_image_probe(const void *bytes, size_t size,
    const struct vision_limits *limits, struct vision_image_info *ret_info,
    struct vision_error *err);

/* The caller releases *@ret_image with aisys_vision_image_deinit(). */
enum aisys_code aisys_vision_image_decode(const void *bytes, size_t size,
    const struct vision_limits *limits, const struct vision_decode_options *options,
    const struct vision_stop *stop, struct vision_image *ret_image, struct vision_error *err);

/* A grey picture of @width x @height, both at most those of @from (grey): every new pixel is the
 * exact mean of the area it covers. 0 or -ENOMEM. */
int aisys_vision_image_shrink(const struct vision_image *from, uint32_t width, uint32_t height,
    struct vision_image *ret_image);

/* 0 or -ENOMEM; the pixels are not set. */
int aisys_vision_image_init(
    struct vision_image *image, uint32_t width, uint32_t height, unsigned channels);
void aisys_vision_image_deinit(struct vision_image *image);

#endif
