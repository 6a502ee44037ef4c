/* What every file of the vision group speaks of: errors for the caller, the question "must I
 * stop?", boxes, and the largest things we take from outside.
 *
 * Nothing in this group but vision_processing.c knows actors: the rest is plain C for pool
 * threads. A function that can fail for reasons of its input returns AISYS_OK (0) or the gRPC
 * code for whoever sent the input, with the words in @err; results (ret_*) are then untouched.
 *
 * Threads: every function may run on any thread, on objects of its own.
 * Units:   pixels, bytes, milliseconds, as the names say. */
#ifndef AISYS_VISION_BASE_H
#define AISYS_VISION_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <aisys/code.h>

#define VISION_ERROR_WORDS_BYTES 320

/* Why something did not work, for the one who asked: what was wrong and what would be right. */
struct vision_error {
    enum aisys_code code;
    char words[VISION_ERROR_WORDS_BYTES];
};

/* Is the time up (or the caller gone)? @ask is called often, from the thread that works; once it
 * has said true it goes on saying so. A NULL @ask means: never. */
struct vision_stop {
    bool (*ask)(void *ctx);
    void *ctx; /* borrowed */
};

/* A rectangle in pixels of the picture as one looks at it (after EXIF rotation). */
struct vision_box {
    uint32_t x, y, width, height;
};

/* Fill @err and return its code, so that a failure is one line. */
enum aisys_code aisys_vision_fail(struct vision_error *err, enum aisys_code code,
    const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The code for "the deadline passed", with @doing in the words ("while reading text"). */
enum aisys_code aisys_vision_fail_stopped(struct vision_error *err, const char *doing);

/* True when the work must end now; @stop may be NULL. */
bool aisys_vision_stopped(const struct vision_stop *stop);

#endif
