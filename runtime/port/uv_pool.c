/* What uv_port.h offers on top of aisys_uv_work(): reading files and opening modules off the loop. */
#include "port/uv_port.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_READ_BYTES 4096 /* files of /proc and /sys say they are empty */

/* --- files ------------------------------------------------------------------------------------- */

struct pool_read {
    void (*done)(void *arg, int status, void *data, size_t bytes);
    void *arg;
    size_t max_bytes;
    char *data;
    size_t bytes;
    int status;
    char path[];
};

/* Read @fd to its end into @read->data, growing as needed: a file may grow while it is read. */
static int pool_read_all(int fd, size_t room, struct pool_read *read_)
{
    char *grown;
    ssize_t n;

    for (;;) {
        if (!read_->data || read_->bytes == room) {
            if (read_->data)
                room *= 2;
            if (room > read_->max_bytes)
                room = read_->max_bytes + 1; /* one more byte, to see that it is too large */
            grown = realloc(read_->data, room + 1);
            if (!grown)
                return -ENOMEM;
            read_->data = grown;
        }
        n = read(fd, read_->data + read_->bytes, room - read_->bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        read_->bytes += (size_t)n;
        if (read_->bytes > read_->max_bytes)
            return -EFBIG;
    }
    read_->data[read_->bytes] = '\0';
    return 0;
}

static int pool_read_path(struct pool_read *read_)
{
    struct stat st;
    int fd, r;

    /* Not blocking, so that a FIFO cannot hold a thread of the pool. */
    fd = open(read_->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0)
        r = -errno;
    else if (!S_ISREG(st.st_mode))
        r = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    else if (st.st_size > 0 && (size_t)st.st_size > read_->max_bytes)
        r = -EFBIG;
    else
        r = pool_read_all(fd, st.st_size > 0 ? (size_t)st.st_size + 1 : FIRST_READ_BYTES, read_);
    close(fd);
    return r;
}

static void pool_read_run(void *arg)
{
    struct pool_read *read_ = arg;

    read_->status = pool_read_path(read_);
}

static void pool_read_done(void *arg, int status)
{
    struct pool_read *read_ = arg;

    if (status == 0)
        status = read_->status;
    if (status < 0) {
        free(read_->data);
        read_->data = NULL;
        read_->bytes = 0;
    }
    read_->done(read_->arg, status, read_->data, read_->bytes);
    free(read_);
}

int aisys_uv_read_file(struct aisys_uv *uv, const char *path, size_t max_bytes,
    void (*done)(void *arg, int status, void *data, size_t bytes), void *arg)
{
    const size_t path_bytes = strlen(path) + 1;
    struct pool_read *read_;
    int r;

    if (max_bytes > SIZE_MAX / 4)
        return -EINVAL;
    read_ = calloc(1, sizeof(*read_) + path_bytes);
    if (!read_)
        return -ENOMEM;
    read_->done = done;
    read_->arg = arg;
    read_->max_bytes = max_bytes;
    memcpy(read_->path, path, path_bytes);
    r = aisys_uv_work(uv, pool_read_run, pool_read_done, read_, NULL);
    if (r < 0)
        free(read_);
    return r;
}

/* --- modules ----------------------------------------------------------------------------------- */

struct pool_dlopen {
    void (*done)(void *arg, void *handle, const char *error);
    void *arg;
    void *handle;
    char *error; /* NULL without memory for it */
    char path[];
};

static void pool_dlopen_run(void *arg)
{
    struct pool_dlopen *dl = arg;
    const char *error;

    dl->handle = dlopen(dl->path, RTLD_NOW | RTLD_LOCAL);
    if (!dl->handle) {
        error = dlerror(); /* belongs to this thread, so it is copied here */
        dl->error = error ? strdup(error) : NULL;
    }
}

static void pool_dlopen_done(void *arg, int status)
{
    struct pool_dlopen *dl = arg;

    if (status < 0)
        dl->done(dl->arg, NULL, "the loop was closed before the module was opened");
    else if (!dl->handle)
        dl->done(dl->arg, NULL, dl->error ? dl->error : "the linker gave no reason");
    else
        dl->done(dl->arg, dl->handle, NULL);
    free(dl->error);
    free(dl);
}

int aisys_uv_dlopen(struct aisys_uv *uv, const char *path,
    void (*done)(void *arg, void *handle, const char *error), void *arg)
{
    const size_t path_bytes = strlen(path) + 1;
    struct pool_dlopen *dl;
    int r;

    dl = calloc(1, sizeof(*dl) + path_bytes);
    if (!dl)
        return -ENOMEM;
    dl->done = done;
    dl->arg = arg;
    memcpy(dl->path, path, path_bytes);
    r = aisys_uv_work(uv, pool_dlopen_run, pool_dlopen_done, dl, NULL);
    if (r < 0)
        free(dl);
    return r;
}
