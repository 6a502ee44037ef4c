/* A disk that hangs, by LD_PRELOAD: fsync() and fdatasync() do not return while the file that AISYS_HANG names
 * is there. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void hang(void)
{
    const char *path = getenv("AISYS_HANG");

    while (path && access(path, F_OK) == 0)
        usleep(1000);
}

__attribute__((visibility("default"))) int fsync(int fd)
{
    hang();
    return (int)syscall(SYS_fsync, fd);
}

__attribute__((visibility("default"))) int fdatasync(int fd)
{
    hang();
    return (int)syscall(SYS_fdatasync, fd);
}
