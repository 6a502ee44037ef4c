#include <aisys/diag.h>

#include <stdio.h>
#include <string.h>

#include "core/utf8.h"

void aisys_diag_init(struct aisys_diag *diag)
{
    diag->kept = 0;
    diag->errors = 0;
    diag->warnings = 0;
    diag->used_bytes = 0;
    diag->prefix_bytes = 0;
    diag->prefix[0] = '\0';
}

/* Replace what no terminal, log or JSON text should get to see by '?'. */
static void diag_clean(char *text)
{
    unsigned char *at = (unsigned char *)text;

    while (*at != '\0') {
        const size_t n = aisys_utf8_char(at, 4);

        if (n == 0 || *at < 0x20 || *at == 0x7f) {
            *at++ = '?';
            continue;
        }
        at += n;
    }
}

/* Cut @text so that no more than AISYS_DIAG_TEXT_MAX bytes and no half character stay. */
static void diag_cut(char *text)
{
    size_t n = strlen(text);

    if (n <= AISYS_DIAG_TEXT_MAX)
        return;
    n = AISYS_DIAG_TEXT_MAX - 3;
    while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    memcpy(text + n, "...", 4);
}

/* A copy of @text in the diag, NULL when it is full. */
static const char *diag_keep(struct aisys_diag *diag, char *text)
{
    char *const to = diag->text + diag->used_bytes;
    size_t n;

    diag_cut(text);
    diag_clean(text);
    n = strlen(text) + 1;
    if (n > sizeof(diag->text) - diag->used_bytes)
        return NULL;
    memcpy(to, text, n);
    diag->used_bytes += (unsigned)n;
    return to;
}

static const char *diag_keep_string(struct aisys_diag *diag, const char *text)
{
    char buf[AISYS_DIAG_TEXT_MAX + 8];

    if (text == NULL || *text == '\0')
        return "";
    snprintf(buf, sizeof(buf), "%s", text);
    return diag_keep(diag, buf);
}

static const char *diag_keep_path(struct aisys_diag *diag, const char *path)
{
    char buf[AISYS_DIAG_TEXT_MAX + AISYS_DIAG_PREFIX_MAX + 8];
    const char *dot = "";

    if (path == NULL)
        path = "";
    if (diag->prefix_bytes > 0 && *path != '\0' && *path != '[')
        dot = ".";
    snprintf(buf, sizeof(buf), "%s%s%s", diag->prefix, dot, path);
    return diag_keep(diag, buf);
}

static const char *diag_keep_format(struct aisys_diag *diag, const char *fmt, va_list ap)
{
    char buf[AISYS_DIAG_TEXT_MAX + 8];

    vsnprintf(buf, sizeof(buf), fmt, ap);
    return diag_keep(diag, buf);
}

/* Inputs have few files and many findings: a name that is already kept is used again. */
static const char *diag_keep_file(struct aisys_diag *diag, const char *file)
{
    if (file == NULL || *file == '\0')
        return "";
    for (unsigned i = diag->kept; i > 0; i--)
        if (strcmp(diag->entries[i - 1].where.file, file) == 0)
            return diag->entries[i - 1].where.file;
    return diag_keep_string(diag, file);
}

static void diag_entry(struct aisys_diag *diag, bool warning, const struct aisys_where *where,
    const char *path, const char *expected, const char *fmt, va_list ap)
{
    struct aisys_diag_entry entry = { .warning = warning };
    const unsigned used_bytes = diag->used_bytes;

    if (warning)
        diag->warnings++;
    else
        diag->errors++;
    if (diag->kept == AISYS_DIAG_MAX)
        return;

    entry.where.file = diag_keep_file(diag, where != NULL ? where->file : NULL);
    entry.where.line = where != NULL ? where->line : 0;
    entry.where.column = where != NULL ? where->column : 0;
    entry.path = diag_keep_path(diag, path);
    entry.problem = diag_keep_format(diag, fmt, ap);
    entry.expected = diag_keep_string(diag, expected);
    if (entry.where.file == NULL || entry.path == NULL || entry.problem == NULL ||
        entry.expected == NULL) {
        diag->used_bytes = used_bytes;
        return;
    }
    diag->entries[diag->kept++] = entry;
}

void aisys_diag_addv(struct aisys_diag *diag, const struct aisys_where *where, const char *path,
    const char *expected, const char *fmt, va_list ap)
{
    diag_entry(diag, false, where, path, expected, fmt, ap);
}

void aisys_diag_add(struct aisys_diag *diag, const struct aisys_where *where, const char *path,
    const char *expected, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    diag_entry(diag, false, where, path, expected, fmt, ap);
    va_end(ap);
}

void aisys_diag_warn(struct aisys_diag *diag, const struct aisys_where *where, const char *path,
    const char *expected, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    diag_entry(diag, true, where, path, expected, fmt, ap);
    va_end(ap);
}

unsigned aisys_diag_enter(struct aisys_diag *diag, const char *prefix)
{
    const unsigned mark = diag->prefix_bytes;
    const char *const dot = mark > 0 && *prefix != '[' && *prefix != '\0' ? "." : "";
    const int n = snprintf(diag->prefix + mark, sizeof(diag->prefix) - mark, "%s%s", dot, prefix);

    /* A prefix that does not fit is cut: the finding counts more than its address. */
    if (n > 0)
        diag->prefix_bytes = (unsigned)strlen(diag->prefix);
    return mark;
}

void aisys_diag_leave(struct aisys_diag *diag, unsigned mark)
{
    diag->prefix_bytes = mark;
    diag->prefix[mark] = '\0';
}

unsigned aisys_diag_errors(const struct aisys_diag *diag)
{
    return diag->errors;
}

unsigned aisys_diag_more(const struct aisys_diag *diag)
{
    return diag->errors + diag->warnings - diag->kept;
}

size_t aisys_diag_line(const struct aisys_diag *diag, unsigned i, char *buf, size_t size)
{
    const struct aisys_diag_entry *const e = &diag->entries[i];
    char place[AISYS_DIAG_TEXT_MAX + 64] = "";
    int n;

    if (*e->where.file != '\0' && e->where.line > 0)
        snprintf(place, sizeof(place), "%s:%u:%u: ", e->where.file, e->where.line, e->where.column);
    else if (*e->where.file != '\0')
        snprintf(place, sizeof(place), "%s: ", e->where.file);
    else if (e->where.line > 0)
        snprintf(place, sizeof(place), "%u:%u: ", e->where.line, e->where.column);

    n = snprintf(buf, size, "%s%s%s%s%s%s%s", place, e->warning ? "warning: " : "", e->path,
        *e->path != '\0' ? ": " : "", e->problem, *e->expected != '\0' ? "; expected " : "",
        e->expected);
    return n > 0 ? (size_t)n : 0;
}

void aisys_diag_print(
    const struct aisys_diag *diag, void (*line)(void *ctx, const char *text), void *ctx)
{
    char buf[4 * AISYS_DIAG_TEXT_MAX + 128];

    for (unsigned i = 0; i < diag->kept; i++) {
        aisys_diag_line(diag, i, buf, sizeof(buf));
        line(ctx, buf);
    }
    if (aisys_diag_more(diag) > 0) {
        snprintf(buf, sizeof(buf), "and %u more", aisys_diag_more(diag));
        line(ctx, buf);
    }
}
