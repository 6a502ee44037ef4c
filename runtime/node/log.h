/* The log: one event per line, to the console, a file or the journal.
 *
 *     2026-11-23T18:04:57.123Z INFO  pc2 memory_orchestrator stored id="..." bytes=12
 *
 * or one JSON object per line. A burst of one event is cut after AISYS_LOG_BURST lines in a second; how
 * many were dropped is logged when the second is over and the event comes again.
 *
 * Threads: the loop thread.  Errors: a line that cannot be written is lost; the log harms nobody. Lines for
 * which standard error had no room, because nobody reads it, are counted, and the count is logged later. */
#ifndef AISYS_NODE_LOG_H
#define AISYS_NODE_LOG_H

#include "core/env.h"

#define AISYS_LOG_BURST 50u

struct aisys_log;

struct aisys_log_options {
    const char *node;
    enum aisys_log_level level; /* events below are not written */
    bool console;               /* to standard error */
    bool json;
    bool journal;            /* as entries with fields, where standard error goes to the journal */
    const char *file;        /* NULL or "": none; created with mode 0640, appended to */
    uint64_t file_bytes_max; /* then it becomes file.1, file.1 file.2, ...; 0: never */
    uint32_t file_keep;      /* older ones that stay */
};

/* 0, -ENOMEM, or the errno of opening the file. */
int aisys_log_open(const struct aisys_log_options *options, struct aisys_log **ret_log);
void aisys_log_close(struct aisys_log *log); /* NULL is fine */

/* The file under its name again, after a rotation. 0, or the errno; the old one stays then. */
int aisys_log_reopen(struct aisys_log *log);

/* @actor: NULL for the node itself. */
void aisys_log_write(struct aisys_log *log, enum aisys_log_level level, const char *actor,
    const char *event, const char *words);
void aisys_log_event(struct aisys_log *log, enum aisys_log_level level, const char *event,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
