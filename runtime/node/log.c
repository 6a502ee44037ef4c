#include "core/check.h"
#include "log.h"

#include "port/systemd_port.h"
#include "port/uv_port.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES  2048
#define BURST_SLOTS 64u

/* How often an event came in the current second; events share slots by their hash. */
struct burst {
    char event[40];
    uint64_t second;
    uint32_t count;
    uint32_t dropped;
};

struct aisys_log {
    char *node, *file;
    enum aisys_log_level level;
    bool console, json, journal;
    int fd; /* -1: no file */
    uint64_t file_bytes, file_bytes_max;
    uint32_t file_keep;
    uint64_t unread; /* lines that standard error had no room for */
    struct burst bursts[BURST_SLOTS];
};

static const char *const level_names[] = { "DEBUG", "INFO", "WARN", "ERROR" };
static const int level_priorities[] = { 7, 6, 4, 3 }; /* of syslog */

static int log_file_open(const char *path, uint64_t *ret_bytes)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    struct stat stat;

    if (fd < 0)
        return -errno;
    *ret_bytes = fstat(fd, &stat) == 0 ? (uint64_t)stat.st_size : 0;
    return fd;
}

int aisys_log_open(const struct aisys_log_options *options, struct aisys_log **ret_log)
{
    struct aisys_log *log = calloc(1, sizeof(*log));
    int r = -ENOMEM;

    if (!log)
        return -ENOMEM;
    log->fd = -1;
    log->level = options->level;
    log->console = options->console;
    log->json = options->json;
    log->file_bytes_max = options->file_bytes_max;
    log->file_keep = options->file_keep;
    log->journal = options->console && options->journal && aisys_systemd_stderr_is_journal();
    log->node = strdup(options->node);
    if (!log->node)
        goto fail;
    if (options->file && options->file[0]) {
        log->file = strdup(options->file);
        if (!log->file)
            goto fail;
        r = log->fd = log_file_open(log->file, &log->file_bytes);
        if (r < 0)
            goto fail;
    }
    *ret_log = log;
    return 0;

fail:
    log->fd = -1;
    aisys_log_close(log);
    return r;
}

void aisys_log_close(struct aisys_log *log)
{
    if (!log)
        return;
    if (log->fd >= 0)
        close(log->fd);
    free(log->file);
    free(log->node);
    free(log);
}

int aisys_log_reopen(struct aisys_log *log)
{
    int fd;

    if (!log->file)
        return 0;
    fd = log_file_open(log->file, &log->file_bytes);
    if (fd < 0)
        return fd;
    close(log->fd);
    log->fd = fd;
    return 0;
}

/* file -> file.1 -> file.2 -> ...; the oldest goes. Where that fails the file grows on. */
static void log_rotate(struct aisys_log *log)
{
    char from[PATH_MAX], to[PATH_MAX];

    for (uint32_t i = log->file_keep; i > 0; i--) {
        if (i == 1)
            snprintf(from, sizeof(from), "%s", log->file);
        else
            snprintf(from, sizeof(from), "%s.%u", log->file, (unsigned)i - 1);
        snprintf(to, sizeof(to), "%s.%u", log->file, (unsigned)i);
        rename(from, to);
    }
    if (!log->file_keep)
        unlink(log->file);
    aisys_log_reopen(log);
}

/* ---- Bursts --------------------------------------------------------------------------------- */

static struct burst *log_burst(struct aisys_log *log, const char *event)
{
    unsigned hash = 5381;

    for (const char *c = event; *c; c++)
        hash = hash * 33 + (unsigned char)*c;
    return &log->bursts[hash % BURST_SLOTS];
}

/* Whether this one may be written; *ret_dropped: how many before it were not. */
static bool log_admit(struct aisys_log *log, const char *event, uint32_t *ret_dropped)
{
    struct burst *burst = log_burst(log, event);
    const uint64_t second = aisys_uv_now_ms() / 1000;

    *ret_dropped = 0;
    if (burst->second != second || strncmp(burst->event, event, sizeof(burst->event) - 1) != 0) {
        *ret_dropped = burst->dropped;
        burst->second = second;
        burst->count = burst->dropped = 0;
        snprintf(burst->event, sizeof(burst->event), "%s", event);
    }
    if (burst->count >= AISYS_LOG_BURST) {
        burst->dropped++;
        return false;
    }
    burst->count++;
    return true;
}

/* ---- Lines ---------------------------------------------------------------------------------- */

static void log_time(char *buf, size_t size)
{
    const uint64_t wall_ms = aisys_uv_wall_ms();
    const time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    char date[32];

    gmtime_r(&seconds, &tm);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(buf, size, "%s.%03uZ", date, (unsigned)(wall_ms % 1000));
}

/* One line stays one line, whatever is quoted in it. */
static void log_flatten(char *line)
{
    for (; *line; line++)
        if ((unsigned char)*line < 0x20 || *line == 0x7f)
            *line = ' ';
}

static void log_escape(const char *text, char *buf, size_t size)
{
    size_t n = 0;

    for (; *text && n + 7 < size; text++) {
        if (*text == '"' || *text == '\\')
            buf[n++] = '\\';
        buf[n++] = (unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text;
    }
    buf[n] = '\0';
}

static void log_put(int fd, const char *line, size_t bytes)
{
    ssize_t written;

    do
        written = write(fd, line, bytes);
    while (written < 0 && errno == EINTR);
}

_Static_assert(LINE_BYTES <= PIPE_BUF, "a pipe that takes anything takes a line");

/* Whoever should read standard error may have stopped: that costs lines, not the loop. */
static void log_put_console(struct aisys_log *log, const char *line, size_t bytes)
{
    struct pollfd console = { .fd = STDERR_FILENO, .events = POLLOUT };
    char many[64];

    if (poll(&console, 1, 0) <= 0 || !(console.revents & POLLOUT)) {
        log->unread++;
        return;
    }
    log_put(STDERR_FILENO, line, bytes);
    if (log->unread && poll(&console, 1, 0) > 0 && (console.revents & POLLOUT)) {
        const uint64_t unread = log->unread;

        log->unread = 0;
        snprintf(many, sizeof(many), "lines=%llu", (unsigned long long)unread);
        aisys_log_write(log, AISYS_WARNING, NULL, "log_unread", many);
    }
}

static size_t log_line(const struct aisys_log *log, enum aisys_log_level level, const char *actor,
    const char *event, const char *words, char *line, size_t size)
{
    char when[48], escaped[LINE_BYTES / 2];
    int n;

    log_time(when, sizeof(when));
    if (log->json) {
        log_escape(words, escaped, sizeof(escaped));
        n = snprintf(line, size,
            "{\"time\":\"%s\",\"level\":\"%s\",\"node\":\"%s\",\"actor\":\"%s\",\"event\":\"%s\","
            "\"words\":\"%s\"}",
            when, level_names[level], log->node, actor ? actor : "", event, escaped);
    } else {
        n = snprintf(line, size, "%s %-5s %s %s %s%s%s", when, level_names[level], log->node,
            actor ? actor : "-", event, words[0] ? " " : "", words);
    }
    if (n < 0)
        return 0;
    if ((size_t)n > size - 2)
        n = (int)size - 2;
    line[n] = '\0';
    log_flatten(line);
    line[n] = '\n';
    return (size_t)n + 1;
}

static void log_journal(const struct aisys_log *log, enum aisys_log_level level, const char *actor,
    const char *event, const char *words)
{
    char message[LINE_BYTES];
    const struct aisys_systemd_field fields[] = {
        { "AISYS_NODE", log->node, strlen(log->node) },
        { "AISYS_ACTOR", actor ? actor : "", actor ? strlen(actor) : 0 },
        { "AISYS_EVENT", event, strlen(event) },
    };

    snprintf(
        message, sizeof(message), "%s%s%s %s", actor ? actor : "", actor ? " " : "", event, words);
    aisys_systemd_journal(
        level_priorities[level], message, fields, sizeof(fields) / sizeof(fields[0]));
}

static void log_emit(struct aisys_log *log, enum aisys_log_level level, const char *actor,
    const char *event, const char *words)
{
    char line[LINE_BYTES];
    const size_t bytes = log_line(log, level, actor, event, words, line, sizeof(line));

    if (log->journal)
        log_journal(log, level, actor, event, words);
    else if (log->console)
        log_put_console(log, line, bytes);
    if (log->fd < 0)
        return;
    if (log->file_bytes_max && log->file_bytes + bytes > log->file_bytes_max)
        log_rotate(log);
    log_put(log->fd, line, bytes);
    log->file_bytes += bytes;
}

void aisys_log_write(struct aisys_log *log, enum aisys_log_level level, const char *actor,
    const char *event, const char *words)
{
    uint32_t dropped;

    if (level < log->level || !log_admit(log, event, &dropped))
        return;
    if (dropped) {
        char many[96];

        snprintf(many, sizeof(many), "event=%s dropped=%u", event, (unsigned)dropped);
        log_emit(log, AISYS_WARNING, NULL, "log_burst", many);
    }
    log_emit(log, level, actor, event, words);
}

void aisys_log_event(
    struct aisys_log *log, enum aisys_log_level level, const char *event, const char *format, ...)
{
    char words[LINE_BYTES / 2];
    va_list ap;

    va_start(ap, format);
    vsnprintf(words, sizeof(words), format, ap);
    va_end(ap);
    aisys_log_write(log, level, NULL, event, words);
}
