#include "roots.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

#define ROOTS_RETRIES 8 /* openat2 says EAGAIN when the tree is renamed under its feet */

static bool roots_no_openat2; /* tests only; set before threads start */

void aisys_vision_roots_without_openat2(bool without)
{
    roots_no_openat2 = without;
}

static enum aisys_code roots_fail_root(
    const char *path, const char *problem, struct vision_error *err)
{
    return aisys_vision_fail(err, AISYS_INVALID_ARGUMENT, "root \"%.200s\": %s", path, problem);
}

enum aisys_code aisys_vision_roots_add(
    struct vision_roots *roots, const char *path, struct vision_error *err)
{
    size_t length = strlen(path);
    char *copy;
    int fd;

    if (roots->count == VISION_ROOTS_MAX)
        return roots_fail_root(path, "too many roots", err);
    if (path[0] != '/')
        return roots_fail_root(path, "not an absolute path", err);
    while (length > 1 && path[length - 1] == '/')
        length--;
    copy = strndup(path, length);
    if (copy == NULL)
        return roots_fail_root(path, "no memory", err);
    fd = open(copy, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        free(copy);
        return roots_fail_root(path, strerror(errno), err);
    }
    roots->root[roots->count].path = copy;
    roots->root[roots->count].fd = fd;
    roots->count++;
    return AISYS_OK;
}

void aisys_vision_roots_deinit(struct vision_roots *roots)
{
    if (roots == NULL)
        return;
    for (size_t i = 0; i < roots->count; i++) {
        free(roots->root[i].path);
        close(roots->root[i].fd);
    }
    memset(roots, 0, sizeof(*roots));
}

/* Opening: a descriptor or a negative errno. O_NONBLOCK, so that a FIFO does not wait for its
 * writer before we find out that it is none of ours. */
#define ROOTS_OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

static int roots_open_beneath(int root_fd, const char *path)
{
    struct open_how how = {
        .flags = ROOTS_OPEN_FLAGS,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    int r = -EAGAIN;

    for (unsigned n = 0; n < ROOTS_RETRIES && r == -EAGAIN; n++) {
        r = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
        if (r < 0)
            r = -errno;
    }
    return r;
}

/* One step down from @at: a descriptor or a negative errno; -ELOOP for a link of any kind. */
static int roots_step(int at, const char *name, bool last)
{
    const int flags = last ? ROOTS_OPEN_FLAGS : O_PATH | O_DIRECTORY | O_CLOEXEC;
    struct stat st;
    int fd;

    fd = openat(at, name, flags | O_NOFOLLOW);
    if (fd >= 0)
        return fd;
    if (errno == ENOTDIR && fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
        return -ELOOP;
    return -errno;
}

/* Without openat2: one component at a time, never through a link, never upwards. */
static int roots_open_walking(int root_fd, const char *path)
{
    int at = root_fd;
    int r = -ENOENT;

    for (;;) {
        char name[NAME_MAX + 1];
        size_t length;
        bool last;

        path += strspn(path, "/");
        length = strcspn(path, "/");
        last = path[length + strspn(path + length, "/")] == '\0';
        if (length == 0) {
            r = -EISDIR;
            break;
        }
        if (length > NAME_MAX) {
            r = -ENAMETOOLONG;
            break;
        }
        memcpy(name, path, length);
        name[length] = '\0';
        path += length;
        if (strcmp(name, "..") == 0) {
            r = -EXDEV;
            break;
        }
        r = roots_step(at, name, last);
        if (at != root_fd)
            close(at);
        at = r;
        if (r < 0 || last)
            return r;
    }
    if (at != root_fd)
        close(at);
    return r;
}

static int roots_open_one(int root_fd, const char *path)
{
    int r = -ENOSYS;

    if (!roots_no_openat2)
        r = roots_open_beneath(root_fd, path);
    if (r == -ENOSYS || r == -EPERM) /* a seccomp filter may answer either */
        r = roots_open_walking(root_fd, path);
    return r;
}

/* The part of @path behind the root's name, or NULL when it does not begin with it. */
static const char *roots_strip(const char *root, const char *path)
{
    const size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);

    if (strncmp(path, root, length) != 0 || path[length] != '/')
        return NULL;
    path += length;
    return path + strspn(path, "/");
}

/* Try every root. When none has it, what a root said that has something to say ("outside", "not
 * allowed") counts before "missing"; a path that begins with no root's name is outside. */
static int roots_open(const struct vision_roots *roots, const char *path)
{
    int best = 0;

    for (size_t i = 0; i < roots->count; i++) {
        const char *inside = path[0] == '/' ? roots_strip(roots->root[i].path, path) : path;
        int r;

        if (inside == NULL)
            continue;
        r = roots_open_one(roots->root[i].fd, inside[0] == '\0' ? "." : inside);
        if (r >= 0)
            return r;
        if (best == 0 || best == -ENOENT || best == -ENOTDIR)
            best = r;
    }
    return best != 0 ? best : -EXDEV;
}

static enum aisys_code roots_fail_open(int error, const char *path, struct vision_error *err)
{
    switch (-error) {
    case EXDEV:
    case ELOOP:
        return aisys_vision_fail(err, AISYS_PERMISSION_DENIED,
            "\"%.200s\" is outside the directories that may be read (config.roots)", path);
    case EACCES:
        return aisys_vision_fail(
            err, AISYS_PERMISSION_DENIED, "\"%.200s\" may not be read by this process", path);
    case ENOENT:
    case ENOTDIR:
        return aisys_vision_fail(err, AISYS_NOT_FOUND, "no file \"%.200s\"", path);
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return aisys_vision_fail(
            err, AISYS_RESOURCE_EXHAUSTED, "cannot open \"%.200s\": %s", path, strerror(-error));
    default:
        return aisys_vision_fail(
            err, AISYS_INVALID_ARGUMENT, "cannot open \"%.200s\": %s", path, strerror(-error));
    }
}

/* Read exactly @size bytes and see that the file ends there. 0, -ESTALE when it does not, or
 * another negative errno. */
static int roots_read_all(int fd, uint8_t *bytes, size_t size)
{
    uint8_t more;
    size_t at = 0;
    ssize_t n;

    while (at < size) {
        n = read(fd, bytes + at, size - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -ESTALE;
        at += (size_t)n;
    }
    do {
        n = read(fd, &more, 1);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return n == 0 ? 0 : -ESTALE;
}

static enum aisys_code roots_read_fd(int fd, const char *path, uint64_t max_bytes, void **ret_bytes,
    size_t *ret_size, struct vision_error *err)
{
    struct stat st;
    void *bytes;
    int r;

    if (fstat(fd, &st) < 0)
        return roots_fail_open(-errno, path, err);
    if (!S_ISREG(st.st_mode))
        return aisys_vision_fail(
            err, AISYS_INVALID_ARGUMENT, "\"%.200s\" is not a regular file", path);
    if ((uint64_t)st.st_size > max_bytes)
        return aisys_vision_fail(err, AISYS_INVALID_ARGUMENT,
            "\"%.200s\" has %" PRIu64 " bytes; at most %" PRIu64 " are taken (max_bytes)", path,
            (uint64_t)st.st_size, max_bytes);
    bytes = malloc(st.st_size > 0 ? (size_t)st.st_size : 1);
    if (bytes == NULL)
        return aisys_vision_fail(err, AISYS_RESOURCE_EXHAUSTED,
            "no memory for the %" PRIu64 " bytes of \"%.200s\"", (uint64_t)st.st_size, path);
    r = roots_read_all(fd, bytes, (size_t)st.st_size);
    if (r < 0) {
        free(bytes);
        if (r == -ESTALE)
            return aisys_vision_fail(
                err, AISYS_ABORTED, "\"%.200s\" changed while it was read; try again", path);
        return aisys_vision_fail(
            err, AISYS_UNAVAILABLE, "cannot read \"%.200s\": %s", path, strerror(-r));
    }
    *ret_bytes = bytes;
    *ret_size = (size_t)st.st_size;
    return AISYS_OK;
}

enum aisys_code aisys_vision_roots_read(const struct vision_roots *roots, const char *path,
    uint64_t max_bytes, void **ret_bytes, size_t *ret_size, struct vision_error *err)
{
    enum aisys_code code;
    int fd;

    if (path[0] == '\0')
        return aisys_vision_fail(err, AISYS_INVALID_ARGUMENT, "the path is empty");
    if (strlen(path) >= VISION_PATH_MAX_BYTES)
        return aisys_vision_fail(err, AISYS_INVALID_ARGUMENT, "the path is longer than %d bytes",
            VISION_PATH_MAX_BYTES - 1);
    if (roots->count == 0)
        return aisys_vision_fail(err, AISYS_PERMISSION_DENIED,
            "reading by path is off: no directories are configured (config.roots); send the "
            "bytes as image");
    fd = roots_open(roots, path);
    if (fd < 0)
        return roots_fail_open(fd, path, err);
    code = roots_read_fd(fd, path, max_bytes, ret_bytes, ret_size, err);
    close(fd);
    return code;
}
