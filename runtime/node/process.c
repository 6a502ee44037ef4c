#include "core/check.h"
#include "process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The beginning of a file of /proc as text; "" when it cannot be read. */
static void read_text(const char *path, char *buf, size_t size)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd >= 0 ? read(fd, buf, size - 1) : -1;

    buf[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

/* The number behind "@key:" in lines as /proc/meminfo has them; negative: it is not there. */
static double value_of(const char *text, const char *key)
{
    const size_t bytes = strlen(key);

    for (const char *line = text; line; line = strchr(line, '\n')) {
        if (*line == '\n')
            line++;
        if (strncmp(line, key, bytes) == 0 && line[bytes] == ':')
            return strtod(line + bytes + 1, NULL);
    }
    return -1;
}

static double read_cpu(struct aisys_process_reader *reader)
{
    enum { USER, NICE, SYSTEM, IDLE, IOWAIT, IRQ, SOFTIRQ, STEAL, FIELDS };
    unsigned long long v[FIELDS] = { 0 };
    uint64_t busy = 0, total = 0;
    double percent = -1;
    char text[512];

    read_text("/proc/stat", text, sizeof(text));
    if (sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[USER], &v[NICE], &v[SYSTEM],
            &v[IDLE], &v[IOWAIT], &v[IRQ], &v[SOFTIRQ], &v[STEAL]) != FIELDS)
        return -1;
    for (unsigned i = 0; i < FIELDS; i++) {
        total += v[i];
        busy += i == IDLE || i == IOWAIT ? 0 : v[i];
    }
    if (total > reader->total)
        percent = 100.0 * (double)(busy - reader->busy) / (double)(total - reader->total);
    reader->busy = busy;
    reader->total = total;
    return percent;
}

static double read_memory(void)
{
    char text[4096];
    double total, available;

    read_text("/proc/meminfo", text, sizeof(text));
    total = value_of(text, "MemTotal");
    available = value_of(text, "MemAvailable");
    return total > 0 && available >= 0 ? 100.0 * (total - available) / total : -1;
}

/* As df has it: of what a normal user may use. */
static double read_disk(const char *path)
{
    struct statvfs fs;
    double used;

    if (statvfs(path, &fs) < 0 || fs.f_blocks == 0)
        return -1;
    used = (double)(fs.f_blocks - fs.f_bfree);
    return 100.0 * used / (used + (double)fs.f_bavail);
}

static uint32_t count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    uint32_t n = 0;

    if (!dir)
        return 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n > 3 ? n - 3 : 0; /* ".", ".." and the directory's own */
}

static void read_self(struct aisys_process_stats *stats)
{
    char text[4096];
    struct rusage usage;
    struct rlimit fds;

    read_text("/proc/self/status", text, sizeof(text));
    stats->resident_bytes =
        (uint64_t)(value_of(text, "VmRSS") > 0 ? value_of(text, "VmRSS") : 0) * 1024;
    stats->virtual_bytes =
        (uint64_t)(value_of(text, "VmSize") > 0 ? value_of(text, "VmSize") : 0) * 1024;
    stats->threads = (uint32_t)(value_of(text, "Threads") > 0 ? value_of(text, "Threads") : 0);
    stats->open_fds = count_fds();
    if (getrlimit(RLIMIT_NOFILE, &fds) == 0)
        stats->max_fds = fds.rlim_cur < UINT32_MAX ? (uint32_t)fds.rlim_cur : UINT32_MAX;
    stats->cpu_seconds = -1;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        stats->cpu_seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                             (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void aisys_process_read(
    struct aisys_process_reader *reader, const char *disk, struct aisys_process_stats *ret_stats)
{
    struct aisys_process_stats stats = { 0 };

    stats.machine_cpu_percent = read_cpu(reader);
    stats.machine_memory_percent = read_memory();
    stats.machine_disk_percent = read_disk(disk);
    read_self(&stats);
    *ret_stats = stats;
}
