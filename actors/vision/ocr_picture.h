/* What tesseract gets to see of a picture; a part of its engine.
 *
 * Limits: its search for lines cannot be stopped and takes 1 to 2 us for every dark run of a row on
 * noise, the worst there is. A picture with too many pixels or runs is shrunk. (A dense A4 page at 300
 * dpi has 270,000 runs, one of 12 pixel print on a screen 90,000.)
 * Small print: when most shapes are less than 10 pixels high it is enlarged (type of 12 pixels, three
 * fonts: 93 % of the words were right as they were, 100 % enlarged twice; 9 pixels: 58 % and 97 %).
 * Contrast: it is stretched until ink is black and paper white (a receipt as a JPEG of quality 75: 4
 * of 41 words were wrong before, none after).
 *
 * Threads: any. */
#ifndef AISYS_VISION_OCR_PICTURE_H
#define AISYS_VISION_OCR_PICTURE_H

#include "image.h"

struct Pix; /* leptonica's */

/* *@ret_image is @image when it is within the limits, else a smaller one, which *@ret_owned then holds
 * for the caller to deinit. 0 or -ENOMEM. */
int aisys_ocr_picture_fit(const struct vision_image *image, struct vision_image *ret_owned,
    const struct vision_image **ret_image);

/* @image, which fits, as leptonica has it; *@ret_enlarge says how many times larger. The caller
 * destroys it. NULL without memory. */
struct Pix *aisys_ocr_picture_prepare(const struct vision_image *image, unsigned *ret_enlarge);

#endif
