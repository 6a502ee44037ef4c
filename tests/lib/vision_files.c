#include "vision_files.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

const char *const tests_data_dir = TESTS_DATA_DIR;
const char *const vision_modules_dir = VISION_MODULES_DIR;

const struct vision_limits default_limits = {
    .max_bytes = VISION_MAX_BYTES_DEFAULT,
    .max_pixels = VISION_MAX_PIXELS_DEFAULT,
};

struct file file_read(const char *name)
{
    struct file file = { 0 };
    char path[512];
    FILE *f;
    long size;

    snprintf(path, sizeof(path), name[0] == '/' ? "%s%s" : "%s/%s",
        name[0] == '/' ? "" : TESTS_DATA_DIR, name);
    f = fopen(path, "rb");
    if (f == NULL)
        fail_msg("cannot open %s", path);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    size = ftell(f);
    rewind(f);
    file.size = (size_t)size;
    file.bytes = malloc(file.size + 1);
    assert_non_null(file.bytes);
    assert_int_equal(fread(file.bytes, 1, file.size, f), file.size);
    fclose(f);
    return file;
}

void file_free(struct file *file)
{
    free(file->bytes);
    file->bytes = NULL;
}

struct vision_image picture_of(const char *name, unsigned channels)
{
    const struct vision_decode_options options = { .channels = channels };
    struct file file = file_read(name);
    struct vision_image image = { 0 };
    struct vision_error err = { 0 };

    if (aisys_vision_image_decode(
            file.bytes, file.size, &default_limits, &options, NULL, &image, &err) != AISYS_OK)
        fail_msg("%s: %s", name, err.words);
    file_free(&file);
    return image;
}

bool countdown_ask(void *ctx)
{
    struct countdown *countdown = ctx;

    if (countdown->left == 0)
        return true;
    countdown->left--;
    return false;
}

const void *open_real_engine(const char *module, const char *symbol, struct vision_error *err)
{
    const void *table = NULL;
    char path[512];
    void *handle;

    snprintf(path, sizeof(path), "%s/%s", vision_modules_dir, module);
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (handle != NULL)
        table = dlsym(handle, symbol);
    if (table == NULL)
        aisys_vision_fail(err, AISYS_UNAVAILABLE, "%s", dlerror());
    return table;
}
