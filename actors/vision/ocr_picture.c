#include "ocr_picture.h"

#include <errno.h>
#include <stdlib.h>

#include <leptonica/allheaders.h>

#define OCR_PIXELS_MAX     9000000u /* A4 at 300 dpi, and a little more */
#define OCR_RUNS_MAX       500000u
#define OCR_RUNS_LARGE_MAX 300000u /* runs x enlargement: larger shapes cost more */
#define OCR_SIDE_MAX       32000u  /* tesseract's own limit is 32767 */
#define OCR_SMALL_PX       9u /* median height of shapes (letters) up to which we enlarge twice, */
#define OCR_TINY_PX        4u /* and four times */

/* The two kinds of pixels of a picture, parted so that they differ most (Otsu). */
struct ocr_tones {
    uint8_t threshold;   /* dark is below */
    uint8_t dark, light; /* the means of either side; equal when all pixels are */
};

static struct ocr_tones ocr_picture_find_tones(const struct vision_image *image)
{
    const size_t pixels = (size_t)image->width * image->height;
    struct ocr_tones tones = { image->data[0], image->data[0], image->data[0] };
    uint64_t histogram[256] = { 0 };
    double sum_all = 0;
    double sum_dark = 0;
    double dark = 0;
    double best = 0;

    for (size_t i = 0; i < pixels; i++)
        histogram[image->data[i]]++;
    for (unsigned grey = 0; grey < 256; grey++)
        sum_all += grey * (double)histogram[grey];
    for (unsigned grey = 0; grey < 255; grey++) {
        double apart;
        double light;

        dark += (double)histogram[grey];
        light = (double)pixels - dark;
        sum_dark += grey * (double)histogram[grey];
        if (dark == 0 || light == 0)
            continue;
        apart = (sum_all - sum_dark) / light - sum_dark / dark;
        if (apart * apart * dark * light > best) {
            best = apart * apart * dark * light;
            tones.threshold = (uint8_t)(grey + 1);
            tones.dark = (uint8_t)(sum_dark / dark);
            tones.light = (uint8_t)((sum_all - sum_dark) / light);
        }
    }
    return tones;
}

/* A table that makes ink black and paper white, an eighth of their distance included: the shades
 * that compression and paper leave there cost tesseract digits. */
static void ocr_picture_stretch_table(const struct ocr_tones *tones, uint8_t table[256])
{
    const int apart = tones->light - tones->dark;
    const int low = tones->dark + apart / 8;
    const int high = tones->light - apart / 8;

    for (int grey = 0; grey < 256; grey++) {
        if (apart < 16)
            table[grey] = (uint8_t)grey; /* as good as plain: there is nothing to bring out */
        else if (grey <= low)
            table[grey] = 0;
        else if (grey >= high)
            table[grey] = 255;
        else
            table[grey] = (uint8_t)((grey - low) * 255 / (high - low));
    }
}

/* How often a row changes from light to dark, over all rows: about what the search for lines will
 * have to carry. */
static uint64_t ocr_picture_count_runs(const struct vision_image *image)
{
    const uint8_t threshold = ocr_picture_find_tones(image).threshold;
    uint64_t runs = 0;

    for (uint32_t y = 0; y < image->height; y++) {
        const uint8_t *row = image->data + (size_t)y * image->width;

        for (uint32_t x = 1; x < image->width; x++)
            runs += row[x - 1] >= threshold && row[x] < threshold;
    }
    return runs;
}

static int ocr_picture_shrink_by(
    const struct vision_image *image, double factor, struct vision_image *ret_small)
{
    const uint32_t width = (uint32_t)(image->width * factor);
    const uint32_t height = (uint32_t)(image->height * factor);

    return aisys_vision_image_shrink(
        image, width > 0 ? width : 1, height > 0 ? height : 1, ret_small);
}

/* By how much @image must be shrunk to keep the limits; 1 when it need not be. */
static double ocr_picture_factor(const struct vision_image *image)
{
    const double pixels = (double)image->width * image->height;
    const double side = image->width > image->height ? image->width : image->height;
    double factor = 1;

    /* The square root of the area, by steps of a sixteenth: exactness is worth nothing here. */
    while (pixels * factor * factor > OCR_PIXELS_MAX || side * factor > OCR_SIDE_MAX)
        factor *= 15.0 / 16;
    return factor;
}

/* A picture within the limits: @image itself (*@ret_owned is then empty), or a smaller one. */
int aisys_ocr_picture_fit(const struct vision_image *image, struct vision_image *ret_owned,
    const struct vision_image **ret_image)
{
    double factor = ocr_picture_factor(image);

    *ret_image = image;
    *ret_owned = (struct vision_image){ 0 };
    for (;;) {
        if (factor < 1) {
            /* Always from the original: shrinking twice would blur. */
            aisys_vision_image_deinit(ret_owned);
            if (ocr_picture_shrink_by(image, factor, ret_owned) < 0)
                return -ENOMEM;
            *ret_image = ret_owned;
        }
        if (ocr_picture_count_runs(*ret_image) <= OCR_RUNS_MAX)
            return 0;
        factor *= 0.75;
    }
}

/* The grey picture as leptonica has it (rows of 32-bit words), each pixel through @table. */
static PIX *ocr_picture_pix(const struct vision_image *image, const uint8_t table[256])
{
    PIX *pix = pixCreate((l_int32)image->width, (l_int32)image->height, 8);

    if (pix == NULL)
        return NULL;
    for (uint32_t y = 0; y < image->height; y++) {
        l_uint32 *line = pixGetData(pix) + (size_t)y * (size_t)pixGetWpl(pix);
        const uint8_t *row = image->data + (size_t)y * image->width;

        for (uint32_t x = 0; x < image->width; x++)
            SET_DATA_BYTE(line, x, table[row[x]]);
    }
    return pix;
}

static int ocr_picture_compare_heights(const void *a, const void *b)
{
    return *(const l_int32 *)a - *(const l_int32 *)b;
}

/* The median height of the connected shapes in @boxes, dots and dashes aside; 0 without any. */
static unsigned ocr_picture_median_height(BOXA *boxes)
{
    const l_int32 boxes_nr = boxaGetCount(boxes);
    l_int32 *heights = malloc(((size_t)boxes_nr + 1) * sizeof(*heights));
    unsigned median = 0;
    size_t n = 0;

    if (heights == NULL)
        return 0;
    for (l_int32 i = 0; i < boxes_nr; i++) {
        l_int32 height = 0;

        boxaGetBoxGeometry(boxes, i, NULL, NULL, NULL, &height);
        if (height >= 3)
            heights[n++] = height;
    }
    if (n > 0) {
        qsort(heights, n, sizeof(*heights), ocr_picture_compare_heights);
        median = (unsigned)heights[n / 2];
    }
    free(heights);
    return median;
}

/* How high the letters of @pix are, about; 0 when that cannot be told. */
static unsigned ocr_picture_letter_height(PIX *pix)
{
    PIX *dark = pixThresholdToBinary(pix, 128); /* its tones are stretched */
    l_float32 share = 0;
    BOXA *boxes = NULL;
    unsigned height = 0;

    if (dark != NULL && pixForegroundFraction(dark, &share) == 0 && share > 0.5F)
        pixInvert(dark, dark); /* light on dark */
    if (dark != NULL)
        boxes = pixConnCompBB(dark, 8);
    if (boxes != NULL)
        height = ocr_picture_median_height(boxes);
    boxaDestroy(&boxes);
    pixDestroy(&dark);
    return height;
}

/* By how much to enlarge; 1 unless the print is small and there is room. */
static unsigned ocr_picture_enlargement(const struct vision_image *image, PIX *pix)
{
    const uint64_t pixels = (uint64_t)image->width * image->height;
    const uint32_t side = image->width > image->height ? image->width : image->height;
    const uint64_t runs = ocr_picture_count_runs(image);
    const unsigned height = ocr_picture_letter_height(pix);
    unsigned enlarge = height == 0 || height > OCR_SMALL_PX ? 1 : height > OCR_TINY_PX ? 2 : 4;

    while (enlarge > 1 && (pixels * enlarge * enlarge > OCR_PIXELS_MAX ||
                              side * enlarge > OCR_SIDE_MAX || runs * enlarge > OCR_RUNS_LARGE_MAX))
        enlarge /= 2;
    return enlarge;
}

/* What tesseract gets of @image, and by how much it is enlarged. NULL without memory. */
struct Pix *aisys_ocr_picture_prepare(const struct vision_image *image, unsigned *ret_enlarge)
{
    const struct ocr_tones tones = ocr_picture_find_tones(image);
    uint8_t table[256];
    unsigned enlarge;
    PIX *large;
    PIX *pix;

    ocr_picture_stretch_table(&tones, table);
    pix = ocr_picture_pix(image, table);
    if (pix == NULL)
        return NULL;
    enlarge = ocr_picture_enlargement(image, pix);
    *ret_enlarge = enlarge;
    if (enlarge == 1)
        return pix;
    large = pixScale(pix, (l_float32)enlarge, (l_float32)enlarge);
    pixDestroy(&pix);
    return large;
}
