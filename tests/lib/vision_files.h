/* Pictures for the vision tests: those of tests/data, and some made on the spot. */
#ifndef TESTS_VISION_FILES_H
#define TESTS_VISION_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "tools.h"

struct file {
    uint8_t *bytes;
    size_t size;
};

/* tests/data/@name, or the path itself if it is absolute. Fails the test when it is missing. */
struct file file_read(const char *name);
void file_free(struct file *file);

extern const char *const tests_data_dir, *const vision_modules_dir;
extern const struct vision_limits default_limits;

/* Decode to @channels; fails the test when that does not work. */
struct vision_image picture_of(const char *name, unsigned channels);

/* @stop.ask for tests: true from the @n-th question on. */
struct countdown {
    unsigned left;
};
bool countdown_ask(void *ctx);

/* A vision_open_engine_fn: the real modules, from the build directory. */
const void *open_real_engine(const char *module, const char *symbol, struct vision_error *err);

#endif
