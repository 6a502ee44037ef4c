/* systemd, as the node sees it: readiness, watchdog, journal.
 *
 * Everything here does nothing, and says so by returning 0, when the process was not started by
 * systemd: callers need no condition of their own.
 *
 * Threads: any thread, but not while another one changes the environment.
 * Errors:  negative errno; 0 nothing to do; positive: done.
 * Times:   in the unit of the name. */
#ifndef AISYS_PORT_SYSTEMD_PORT_H
#define AISYS_PORT_SYSTEMD_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum aisys_systemd_state {
    AISYS_SYSTEMD_READY,     /* started, or a reload has ended */
    AISYS_SYSTEMD_RELOADING, /* with the time that Type=notify-reload wants; READY follows it */
    AISYS_SYSTEMD_STOPPING,
    AISYS_SYSTEMD_WATCHDOG, /* alive: at half of aisys_systemd_watchdog_usec() */
};

/* Tell the service manager. @status (may be NULL) is the line that `systemctl status` shows; control
 * characters in it become spaces and it ends after 200 bytes, at a whole UTF-8 character. */
int aisys_systemd_notify(enum aisys_systemd_state state, const char *status);

/* The status line alone. */
int aisys_systemd_status(const char *status);

/* How soon systemd takes silence for death, in microseconds; 0 when it does not watch this process. */
uint64_t aisys_systemd_watchdog_usec(void);

/* True when standard error goes to the journal: log there with fields, not with time stamps. */
bool aisys_systemd_stderr_is_journal(void);

struct aisys_systemd_field {
    const char
        *name; /* A to Z, 0 to 9 and _, beginning with a letter; else the field is left out */
    const void *data;
    size_t bytes;
};

#define AISYS_SYSTEMD_FIELDS_MAX 32

/* Write one entry to the journal: @priority as in syslog (0 emergency to 7 debug), @message, and up to
 * AISYS_SYSTEMD_FIELDS_MAX fields. May block for as long as the journal's socket is full. Returns 1,
 * -E2BIG with too many fields. Without a journal on this machine the entry is silently gone, as libsystemd
 * has it: ask aisys_systemd_stderr_is_journal() first. */
int aisys_systemd_journal(
    int priority, const char *message, const struct aisys_systemd_field *fields, unsigned n);

#endif
