#include "hash.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDE        VISION_HASH_SIDE
#define FREQUENCIES 11 /* of one axis: the 64 pairs (u, v) of lowest u + v need 0 to 10 */

struct hash_pair {
    uint8_t u, v;
};

static void hash_cosines(int32_t cosines[FREQUENCIES][SIDE])
{
    for (unsigned u = 0; u < FREQUENCIES; u++) {
        for (unsigned x = 0; x < SIDE; x++)
            cosines[u][x] = (int32_t)lround(16384 * cos((2 * x + 1) * u * M_PI / (2 * SIDE)));
    }
}

/* One side short of 32 pixels: repeat pixels until it has them. */
static int hash_widen(const struct vision_image *from, struct vision_image *ret_image)
{
    const uint32_t width = from->width < SIDE ? SIDE : from->width;
    const uint32_t height = from->height < SIDE ? SIDE : from->height;
    struct vision_image to;
    int r;

    r = aisys_vision_image_init(&to, width, height, 1);
    if (r < 0)
        return r;
    for (uint32_t y = 0; y < height; y++) {
        const uint64_t from_y = (uint64_t)y * from->height / height;

        for (uint32_t x = 0; x < width; x++)
            to.data[(size_t)y * width + x] =
                from->data[from_y * from->width + (uint64_t)x * from->width / width];
    }
    *ret_image = to;
    return 0;
}

static int hash_shrink(const struct vision_image *image, struct vision_image *ret_small)
{
    struct vision_image wide;
    int r;

    if (image->width >= SIDE && image->height >= SIDE)
        return aisys_vision_image_shrink(image, SIDE, SIDE, ret_small);
    r = hash_widen(image, &wide);
    if (r < 0)
        return r;
    r = aisys_vision_image_shrink(&wide, SIDE, SIDE, ret_small);
    aisys_vision_image_deinit(&wide);
    return r;
}

/* The 64 lowest frequencies in a fixed order, diagonal by diagonal, without (0, 0). */
static void hash_order(struct hash_pair pairs[64])
{
    unsigned n = 0;

    for (unsigned sum = 1; n < 64; sum++) {
        for (unsigned u = 0; u <= sum && n < 64; u++)
            pairs[n++] = (struct hash_pair){ (uint8_t)u, (uint8_t)(sum - u) };
    }
}

static void hash_transform(const struct vision_image *small, int64_t ret_values[64])
{
    int32_t cosines[FREQUENCIES][SIDE];
    int64_t half[SIDE][FREQUENCIES]; /* rows transformed, columns not yet */
    struct hash_pair pairs[64];

    hash_cosines(cosines);
    for (unsigned y = 0; y < SIDE; y++) {
        for (unsigned u = 0; u < FREQUENCIES; u++) {
            half[y][u] = 0;
            for (unsigned x = 0; x < SIDE; x++)
                half[y][u] += (int64_t)cosines[u][x] * small->data[y * SIDE + x];
        }
    }
    hash_order(pairs);
    for (unsigned i = 0; i < 64; i++) {
        int64_t sum = 0;

        for (unsigned y = 0; y < SIDE; y++)
            sum += cosines[pairs[i].v][y] * half[y][pairs[i].u];
        /* Down to eighths of a grey level: what is below is rounding, and must not set bits in
         * an empty picture. */
        ret_values[i] = sum / ((int64_t)16384 * 16384 * SIDE / 8);
    }
}

static int hash_compare(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a;
    const int64_t y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

int aisys_vision_hash(const struct vision_image *image, uint64_t *ret_hash)
{
    struct vision_image small;
    int64_t values[64];
    int64_t sorted[64];
    int64_t median;
    uint64_t hash = 0;
    int r;

    r = hash_shrink(image, &small);
    if (r < 0)
        return r;
    hash_transform(&small, values);
    aisys_vision_image_deinit(&small);

    memcpy(sorted, values, sizeof(sorted));
    qsort(sorted, 64, sizeof(sorted[0]), hash_compare);
    median = (sorted[31] + sorted[32]) / 2;
    for (unsigned i = 0; i < 64; i++)
        hash |= (uint64_t)(values[i] > median) << (63 - i);
    *ret_hash = hash;
    return 0;
}

unsigned aisys_vision_hash_distance(uint64_t a, uint64_t b)
{
    return (unsigned)__builtin_popcountll(a ^ b);
}

void aisys_vision_hash_format(uint64_t hash, char text[VISION_HASH_TEXT_BYTES])
{
    snprintf(text, VISION_HASH_TEXT_BYTES, "%016" PRIx64, hash);
}

enum aisys_code aisys_vision_hash_parse(
    const char *text, uint64_t *ret_hash, struct vision_error *err)
{
    uint64_t hash = 0;
    size_t n = 0;

    for (; n < 17 && text[n] != '\0'; n++) {
        const char c = text[n];
        unsigned digit;

        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (unsigned)(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F')
            digit = (unsigned)(c - 'A') + 10;
        else
            break;
        hash = hash << 4 | digit;
    }
    if (n != 16 || text[n] != '\0')
        return aisys_vision_fail(err, AISYS_INVALID_ARGUMENT,
            "a hash has exactly 16 hex digits, as Analyze returns it; got \"%.24s\"", text);
    *ret_hash = hash;
    return AISYS_OK;
}
