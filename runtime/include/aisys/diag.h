/* What is wrong with one input, all of it: the list that readers, validators and an actor's
 * check() add to, and that becomes the `details` of an error reply or the output of
 * --check-config.
 *
 * A diag is a plain value of about 20 KiB that allocates nothing and cannot fail: it keeps the
 * first AISYS_DIAG_MAX findings whose text fits, counts the others, and never grows. Texts are
 * made valid, printable UTF-8 (what was quoted from an input may be neither) and cut at
 * AISYS_DIAG_TEXT_MAX.
 *
 * Threads: one at a time; nothing is shared between two diags.
 * Errors:  none. Whether the input was good is aisys_diag_errors() == 0. */
#ifndef AISYS_DIAG_H
#define AISYS_DIAG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <aisys/api.h>

#define AISYS_DIAG_MAX        64  /* findings kept; the rest is counted */
#define AISYS_DIAG_TEXT_MAX   480 /* bytes of a path, problem or expected, without the NUL */
#define AISYS_DIAG_PREFIX_MAX 256
#define AISYS_DIAG_BYTES      16384

/* A place in an input. file: "" or NULL when there is none; it need not be a file ("AI_REDIS_PORT",
 * "--set"). line and column count from 1, 0 is "none". */
struct aisys_where {
    const char *file;
    uint32_t line;
    uint32_t column;
};

/* One finding. The strings belong to the diag, live until it is initialised again and are never
 * NULL: "" where there is nothing to say. */
struct aisys_diag_entry {
    const char *path;     /* "agents.vision_processing.config.roots[2]" */
    const char *problem;  /* "is not absolute" */
    const char *expected; /* "an absolute path" */
    struct aisys_where where;
    bool warning; /* the input is usable all the same */
};

struct aisys_diag {
    struct aisys_diag_entry entries[AISYS_DIAG_MAX];
    unsigned kept;     /* entries in use */
    unsigned errors;   /* added, kept or not */
    unsigned warnings; /* added, kept or not */
    unsigned used_bytes;
    unsigned prefix_bytes;
    char prefix[AISYS_DIAG_PREFIX_MAX];
    char text[AISYS_DIAG_BYTES];
};

/* Empty. Also the way to use one again. */
AISYS_API void aisys_diag_init(struct aisys_diag *diag);

/* Add an error: at @path below the current prefix ("" for the whole input), @fmt says what is
 * wrong, @expected (or NULL) what would be right. @where may be NULL. Everything is copied. */
AISYS_API void aisys_diag_add(struct aisys_diag *diag, const struct aisys_where *where,
    const char *path, const char *expected, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
AISYS_API void aisys_diag_addv(struct aisys_diag *diag, const struct aisys_where *where,
    const char *path, const char *expected, const char *fmt, va_list ap)
    __attribute__((format(printf, 5, 0)));

/* The same for what deserves a word but stops nothing. */
AISYS_API void aisys_diag_warn(struct aisys_diag *diag, const struct aisys_where *where,
    const char *path, const char *expected, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* From now on paths begin with @prefix (after the prefix in force). Returns what
 * aisys_diag_leave() wants back to undo exactly this. */
AISYS_API unsigned aisys_diag_enter(struct aisys_diag *diag, const char *prefix);
AISYS_API void aisys_diag_leave(struct aisys_diag *diag, unsigned mark);

/* Errors added since init, whether kept or not. */
AISYS_API unsigned aisys_diag_errors(const struct aisys_diag *diag);

/* Findings that were counted but not kept: "and N more". */
AISYS_API unsigned aisys_diag_more(const struct aisys_diag *diag);

/* Entry @i as one line without a newline: `file:line:column: path: problem; expected ...`, a
 * warning with "warning: " before the path. Writes at most @size bytes, always NUL-terminated, and
 * returns the length of the whole line, as snprintf does. */
AISYS_API size_t aisys_diag_line(const struct aisys_diag *diag, unsigned i, char *buf, size_t size);

/* Hand each kept entry, as a line, to @line, and "and N more" as the last one. */
AISYS_API void aisys_diag_print(
    const struct aisys_diag *diag, void (*line)(void *ctx, const char *text), void *ctx);

#endif
