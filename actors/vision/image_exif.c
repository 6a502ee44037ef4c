/* The one thing we take from EXIF: which way up the picture is. */

#include "image_codec.h"

#include <string.h>

#define TIFF_TAG_ORIENTATION 0x0112
#define TIFF_TYPE_SHORT      3

struct tiff {
    const uint8_t *bytes;
    size_t size;
    bool big_endian;
};

static uint32_t tiff_get(const struct tiff *tiff, size_t at, unsigned bytes)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | tiff->bytes[at + (tiff->big_endian ? i : bytes - 1 - i)];
    return value;
}

unsigned aisys_vision_exif_orientation(const uint8_t *bytes, size_t size)
{
    struct tiff tiff = { .bytes = bytes, .size = size };
    uint32_t directory;
    uint32_t entries;

    if (size < 8)
        return 1;
    if (memcmp(bytes, "MM", 2) == 0)
        tiff.big_endian = true;
    else if (memcmp(bytes, "II", 2) != 0)
        return 1;
    directory = tiff_get(&tiff, 4, 4);
    if (tiff_get(&tiff, 2, 2) != 42 || directory > size - 2)
        return 1;

    entries = tiff_get(&tiff, directory, 2);
    for (uint32_t i = 0; i < entries; i++) {
        const size_t at = directory + 2 + (size_t)i * 12;
        uint32_t value;

        if (at > size || size - at < 12)
            return 1;
        if (tiff_get(&tiff, at, 2) != TIFF_TAG_ORIENTATION)
            continue;
        value = tiff_get(&tiff, at + 8, 2);
        if (tiff_get(&tiff, at + 2, 2) != TIFF_TYPE_SHORT || value < 1 || value > 8)
            return 1;
        return value;
    }
    return 1;
}
