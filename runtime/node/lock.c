#include "core/check.h"
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIR_MODE  0700
#define FILE_MODE 0600

static int make_dirs(const char *dir)
{
    char path[PATH_MAX];
    const size_t bytes = strlen(dir);

    if (bytes == 0 || bytes >= sizeof(path))
        return bytes ? -ENAMETOOLONG : -EINVAL;
    memcpy(path, dir, bytes + 1);
    for (char *c = path + 1;; c++) {
        const char was = *c;

        if (was != '/' && was != '\0')
            continue;
        *c = '\0';
        if (mkdir(path, DIR_MODE) < 0 && errno != EEXIST)
            return -errno;
        if (was == '\0')
            return 0;
        *c = '/';
    }
}

static pid_t read_pid(int fd)
{
    char text[32];
    const ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

    if (n <= 0)
        return 0;
    text[n] = '\0';
    return (pid_t)strtol(text, NULL, 10);
}

static int write_pid(int fd)
{
    char text[32];
    const int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
        return -errno;
    return 0;
}

int aisys_lock_dir(const char *dir, int *ret_fd, pid_t *ret_pid)
{
    char path[PATH_MAX];
    int fd, r;

    if (snprintf(path, sizeof(path), "%s/run", dir) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    r = make_dirs(path);
    if (r < 0)
        return r;
    if (snprintf(path, sizeof(path), "%s/run/lock", dir) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        r = -errno;
        *ret_pid = read_pid(fd);
        close(fd);
        return r;
    }
    r = write_pid(fd);
    if (r < 0) {
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}
