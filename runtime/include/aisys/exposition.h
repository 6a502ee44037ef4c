/* Exposition: writes metrics as text, for Prometheus (format 0.0.4) and OpenMetrics 1.0.
 *
 * Metrics are declared once, as an array of struct aisys_metric: name, type, unit and help. What
 * is scraped and what the manual says both come from that array, and a test runs
 * aisys_metric_check() over it. A page is written family by family:
 *
 *     struct aisys_exposition page;
 *
 *     aisys_exposition_init(&page, AISYS_EXPOSITION_PROMETHEUS, 4 << 20, resize, arg);
 *     aisys_exposition_family(&page, &metrics[M_RESTARTS]);
 *     for each actor
 *         aisys_exposition_u64(&page, labels, 1, actor->restarts);
 *     r = aisys_exposition_finish(&page);           // 0: page.text, page.text_bytes
 *     ...
 *     aisys_exposition_deinit(&page);
 *
 * The differences between the two formats (a counter's family name has no `_total` in OpenMetrics,
 * `# UNIT`, `# EOF`, escapes in help) are settled here; the caller writes the same calls for both.
 *
 * Threads: pure; an exposition belongs to one thread at a time.
 * Errors:  sticky. After the first one every call does nothing and finish() returns it:
 *          -ENOMEM (no memory), -EFBIG (the page would pass its bound), -EINVAL (a sample with no
 *          family, or of the wrong kind for it). So the writers in between return nothing.
 * Text:    label values and help may be any bytes: what is not UTF-8 becomes U+FFFD.
 * Units:   times go in as nanoseconds and come out as decimal seconds, exactly. */
#ifndef AISYS_EXPOSITION_H
#define AISYS_EXPOSITION_H

#include <aisys/api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum aisys_exposition_format {
    AISYS_EXPOSITION_PROMETHEUS,  /* text/plain; version=0.0.4 */
    AISYS_EXPOSITION_OPENMETRICS, /* application/openmetrics-text; version=1.0.0 */
};

enum aisys_metric_type {
    AISYS_METRIC_COUNTER,
    AISYS_METRIC_GAUGE,
    AISYS_METRIC_HISTOGRAM,
};

struct aisys_metric {
    const char *name; /* as scraped: counters end in _total, what has a unit has it before that */
    enum aisys_metric_type type;
    const char *unit; /* "seconds", "bytes", ...; NULL or "" for plain numbers */
    const char *help; /* one sentence */
};

struct aisys_metric_label {
    const char *name;  /* borrowed; [a-zA-Z_][a-zA-Z0-9_]*, not checked per sample */
    const char *value; /* borrowed; NULL is "" */
};

/* A histogram as it is kept: counts per bucket, not yet cumulative. */
struct aisys_exposition_histogram {
    const uint64_t *bounds_ns; /* borrowed; upper bounds, ascending, +Inf not among them */
    const uint64_t *counts;    /* borrowed; bounds_len + 1, the last is what passed every bound */
    size_t bounds_len;
    uint64_t sum_ns;
};

/* Reallocates @ptr (@old_bytes, NULL and 0 at first) to @new_bytes; 0 frees and returns NULL. */
typedef void *(*aisys_exposition_resize_fn)(
    void *arg, void *ptr, size_t old_bytes, size_t new_bytes);

struct aisys_exposition {
    char *text;        /* owned; NUL-terminated after finish() */
    size_t text_bytes; /* without the NUL */

    /* private */
    size_t capacity_bytes;
    size_t limit_bytes;
    aisys_exposition_resize_fn resize;
    void *resize_arg;
    const struct aisys_metric *family; /* borrowed until the next family or finish() */
    size_t name_bytes;                 /* of family->name without a counter's _total */
    enum aisys_exposition_format format;
    int error; /* 0, or the first one */
    bool finished;
};

/* The Content-Type of a page in @format. Static. */
AISYS_API const char *aisys_exposition_content_type(enum aisys_exposition_format format);

/* Which format a scraper asked for by its Accept header (NULL: none sent). */
AISYS_API enum aisys_exposition_format aisys_exposition_choose(const char *accept);

/* Why @metric is badly declared, or NULL when it is right: characters of the name, `_total` on
 * counters and only there, the unit in the name, a help text. Static text. */
AISYS_API const char *aisys_metric_check(const struct aisys_metric *metric);

/* Start an empty page of at most @limit_bytes. @resize NULL is realloc and free. */
AISYS_API void aisys_exposition_init(struct aisys_exposition *page,
    enum aisys_exposition_format format, size_t limit_bytes, aisys_exposition_resize_fn resize,
    void *resize_arg);

/* Release the text. Safe on an all-zero struct and twice. */
AISYS_API void aisys_exposition_deinit(struct aisys_exposition *page);

/* Start the family of @metric (borrowed until the next one): all its samples follow, and come
 * nowhere else on the page. */
AISYS_API void aisys_exposition_family(
    struct aisys_exposition *page, const struct aisys_metric *metric);

/* One sample of a counter or gauge. _ns writes nanoseconds as seconds. */
AISYS_API void aisys_exposition_u64(struct aisys_exposition *page,
    const struct aisys_metric_label *labels, size_t labels_len, uint64_t value);
AISYS_API void aisys_exposition_ns(struct aisys_exposition *page,
    const struct aisys_metric_label *labels, size_t labels_len, uint64_t value_ns);
AISYS_API void aisys_exposition_double(struct aisys_exposition *page,
    const struct aisys_metric_label *labels, size_t labels_len, double value);

/* One histogram: cumulative `_bucket{le=...}` in seconds, `_sum`, `_count`. */
AISYS_API void aisys_exposition_buckets(struct aisys_exposition *page,
    const struct aisys_metric_label *labels, size_t labels_len,
    const struct aisys_exposition_histogram *histogram);

/* Close the page. 0 with page->text complete, or the first error. */
AISYS_API int aisys_exposition_finish(struct aisys_exposition *page);

#endif
