/* A perceptual hash: 64 bits that stay (nearly) the same when a picture is resized, recompressed
 * or brightened, and differ when it is another picture.
 *
 * The picture is shrunk to 32 x 32 grey means and cosine transformed; each bit says whether one
 * of the 64 lowest frequencies, the mean excepted, is above their median. All arithmetic is
 * integer, so a hash is the same on every machine and may be stored.
 *
 * Rule of thumb for the distance: up to 8 the same picture, above 20 another one. A turned or
 * mirrored picture is another one.
 *
 * Threads: any; nothing is kept. */
#ifndef AISYS_VISION_HASH_H
#define AISYS_VISION_HASH_H

#include "image.h"

#define VISION_HASH_TEXT_BYTES 17 /* 16 hex digits and a NUL */
#define VISION_HASH_SIDE       32 /* what the hash shrinks to: no decoder needs to give much more */

/* @image is grey, of any size. 0 or -ENOMEM. */
int aisys_vision_hash(const struct vision_image *image, uint64_t *ret_hash);

/* 0 to 64: the number of bits that differ. */
unsigned aisys_vision_hash_distance(uint64_t a, uint64_t b);

/* Sixteen lower-case hex digits. */
void aisys_vision_hash_format(uint64_t hash, char text[VISION_HASH_TEXT_BYTES]);

/* The other way; upper case is taken too. AISYS_INVALID_ARGUMENT for anything else. */
enum aisys_code aisys_vision_hash_parse(
    const char *text, uint64_t *ret_hash, struct vision_error *err);

#endif
