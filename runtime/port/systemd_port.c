#include "port/systemd_port.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

#define STATUS_BYTES_MAX 200

/* Copy @status as one clean line of at most STATUS_BYTES_MAX bytes. */
static void systemd_status_line(const char *status, char ret_line[static STATUS_BYTES_MAX + 1])
{
    size_t n = strnlen(status, STATUS_BYTES_MAX + 1);

    if (n > STATUS_BYTES_MAX) {
        n = STATUS_BYTES_MAX;
        while (n > 0 && ((unsigned char)status[n] & 0xc0) == 0x80)
            n--; /* the cut would be inside a character: leave it out whole */
    }
    for (size_t i = 0; i < n; i++)
        ret_line[i] = (unsigned char)status[i] < 0x20 ? ' ' : status[i];
    ret_line[n] = '\0';
}

int aisys_systemd_notify(enum aisys_systemd_state state, const char *status)
{
    char text[STATUS_BYTES_MAX + 80], line[STATUS_BYTES_MAX + 1];
    struct timespec now;
    int n = 0;

    switch (state) {
    case AISYS_SYSTEMD_READY:
        n = snprintf(text, sizeof(text), "READY=1");
        break;
    case AISYS_SYSTEMD_RELOADING:
        clock_gettime(CLOCK_MONOTONIC, &now);
        n = snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
            (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
        break;
    case AISYS_SYSTEMD_STOPPING:
        n = snprintf(text, sizeof(text), "STOPPING=1");
        break;
    case AISYS_SYSTEMD_WATCHDOG:
        n = snprintf(text, sizeof(text), "WATCHDOG=1");
        break;
    }
    if (n <= 0)
        return -EINVAL;
    if (status) {
        systemd_status_line(status, line);
        snprintf(text + n, sizeof(text) - (size_t)n, "\nSTATUS=%s", line);
    }
    return sd_notify(0, text);
}

int aisys_systemd_status(const char *status)
{
    char text[STATUS_BYTES_MAX + 16], line[STATUS_BYTES_MAX + 1];

    systemd_status_line(status, line);
    snprintf(text, sizeof(text), "STATUS=%s", line);
    return sd_notify(0, text);
}

uint64_t aisys_systemd_watchdog_usec(void)
{
    uint64_t usec = 0;

    return sd_watchdog_enabled(0, &usec) > 0 ? usec : 0;
}

bool aisys_systemd_stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    uint64_t device, inode;
    struct stat st;

    if (!stream || sscanf(stream, "%" SCNu64 ":%" SCNu64, &device, &inode) != 2)
        return false;
    /* The variable is inherited also by children whose standard error went elsewhere. */
    return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static bool systemd_field_name_ok(const char *name)
{
    if (name[0] < 'A' || name[0] > 'Z' || strlen(name) > 64)
        return false;
    return name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] == '\0';
}

/* "NAME=data" on the heap, into @iov. */
static int systemd_field(const char *name, const void *data, size_t bytes, struct iovec *iov)
{
    const size_t name_bytes = strlen(name);
    char *text;

    text = malloc(name_bytes + 1 + bytes);
    if (!text)
        return -ENOMEM;
    memcpy(text, name, name_bytes);
    text[name_bytes] = '=';
    if (bytes)
        memcpy(text + name_bytes + 1, data, bytes);
    iov->iov_base = text;
    iov->iov_len = name_bytes + 1 + bytes;
    return 0;
}

int aisys_systemd_journal(
    int priority, const char *message, const struct aisys_systemd_field *fields, unsigned n)
{
    struct iovec iov[AISYS_SYSTEMD_FIELDS_MAX + 2];
    const char digit = (char)('0' + (priority & 7));
    int used = 0, r;

    if (n > AISYS_SYSTEMD_FIELDS_MAX)
        return -E2BIG;
    r = systemd_field("MESSAGE", message, strlen(message), &iov[used]);
    if (r < 0)
        goto out;
    used++;
    r = systemd_field("PRIORITY", &digit, 1, &iov[used]);
    if (r < 0)
        goto out;
    used++;
    for (unsigned i = 0; i < n; i++) {
        if (!systemd_field_name_ok(fields[i].name))
            continue;
        r = systemd_field(fields[i].name, fields[i].data, fields[i].bytes, &iov[used]);
        if (r < 0)
            goto out;
        used++;
    }
    r = sd_journal_sendv(iov, used);
    if (r == 0)
        r = 1;
out:
    while (used > 0)
        free(iov[--used].iov_base);
    return r;
}
