/* Reading files for callers, but only inside the directories that the operator named.
 *
 * A root is opened once, when the configuration is taken, and a path is then resolved beneath it
 * by the kernel (openat2, RESOLVE_BENEATH): neither ".." nor a link, in any component, leads
 * out, and there is no moment between check and use. Links that stay inside are followed. On a
 * kernel without openat2, or where a filter forbids it, components are walked one by one and
 * links are not followed at all.
 *
 * A path may be absolute (it must then begin with the name of a root, as configured) or relative
 * (each root is tried in turn). Only regular files are read; a FIFO or device cannot block us.
 *
 * Threads: add() and deinit() on one; read() on any number of threads, between the two.
 * Errors:  see base.h; AISYS_PERMISSION_DENIED outside the roots, AISYS_NOT_FOUND inside but
 *          missing. */
#ifndef AISYS_VISION_ROOTS_H
#define AISYS_VISION_ROOTS_H

#include "base.h"

#define VISION_ROOTS_MAX      16
#define VISION_PATH_MAX_BYTES 4096

struct vision_roots {
    size_t count;
    struct {
        char *path; /* owned; absolute, without a trailing slash */
        int fd;     /* O_PATH */
    } root[VISION_ROOTS_MAX];
};

/* Open one more directory, @path, which must be absolute. *@roots is zero before the first. On failure
 * it stays as it was and @err names the path. */
enum aisys_code aisys_vision_roots_add(
    struct vision_roots *roots, const char *path, struct vision_error *err);
void aisys_vision_roots_deinit(struct vision_roots *roots);

/* Read the file at @path whole into memory that the caller frees with free(). A file of more than
 * @max_bytes is refused before anything is allocated; one that grows meanwhile, too. */
enum aisys_code aisys_vision_roots_read(const struct vision_roots *roots, const char *path,
    uint64_t max_bytes, void **ret_bytes, size_t *ret_size, struct vision_error *err);

/* For tests: resolve as if the kernel had no openat2. */
void aisys_vision_roots_without_openat2(bool without);

#endif
