#include <aisys/exposition.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN_BYTES 4096
#define NUMBER_BYTES       40 /* the longest number in text: a double with 17 digits, or u64 seconds */
#define NS_PER_S           UINT64_C(1000000000)

static void *exposition_resize_heap(void *arg, void *ptr, size_t old_bytes, size_t new_bytes)
{
    (void)arg;
    (void)old_bytes;
    if (new_bytes == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, new_bytes);
}

/* Room for @bytes more (and the closing NUL), or NULL with the error kept. */
static char *exposition_room(struct aisys_exposition *page, size_t bytes)
{
    size_t capacity_bytes = page->capacity_bytes;
    size_t need_bytes;
    char *text;

    if (page->error)
        return NULL;
    if (bytes < page->capacity_bytes - page->text_bytes)
        return page->text + page->text_bytes;
    if (page->limit_bytes <= page->text_bytes || bytes > page->limit_bytes - page->text_bytes) {
        page->error = -EFBIG;
        return NULL;
    }

    need_bytes = page->text_bytes + bytes + 1;
    if (capacity_bytes < CAPACITY_MIN_BYTES)
        capacity_bytes = CAPACITY_MIN_BYTES;
    while (capacity_bytes < need_bytes)
        capacity_bytes *= 2;
    if (capacity_bytes > page->limit_bytes + 1)
        capacity_bytes = page->limit_bytes + 1;
    text = page->resize(page->resize_arg, page->text, page->capacity_bytes, capacity_bytes);
    if (!text) {
        page->error = -ENOMEM;
        return NULL;
    }
    page->text = text;
    page->capacity_bytes = capacity_bytes;
    return text + page->text_bytes;
}

static void exposition_put(struct aisys_exposition *page, const char *bytes, size_t len)
{
    char *at = exposition_room(page, len);

    if (!at)
        return;
    memcpy(at, bytes, len);
    page->text_bytes += len;
}

static void exposition_puts(struct aisys_exposition *page, const char *text)
{
    exposition_put(page, text, strlen(text));
}

/* How many bytes the UTF-8 character at @s has, 0 when it is none (overlong, surrogate, cut). */
static size_t exposition_utf8_len(const unsigned char *s)
{
    unsigned cp;
    size_t len;

    if (s[0] < 0x80)
        return 1;
    if ((s[0] & 0xe0) == 0xc0) {
        len = 2;
        cp = s[0] & 0x1fu;
    } else if ((s[0] & 0xf0) == 0xe0) {
        len = 3;
        cp = s[0] & 0x0fu;
    } else if ((s[0] & 0xf8) == 0xf0) {
        len = 4;
        cp = s[0] & 0x07u;
    } else {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80) /* the closing NUL stops a cut one here */
            return 0;
        cp = cp << 6 | (s[i] & 0x3fu);
    }
    if ((len == 2 && cp < 0x80) || (len == 3 && cp < 0x800) || (len == 4 && cp < 0x10000))
        return 0;
    return cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff) ? 0 : len;
}

/* @text with backslash, newline and, if @quotes, the double quote escaped. */
static void exposition_escaped(struct aisys_exposition *page, const char *text, bool quotes)
{
    const char *run = text;
    const char *at = text;

    while (*at) {
        const size_t len = exposition_utf8_len((const unsigned char *)at);

        if (len > 0 && *at != '\\' && *at != '\n' && !(quotes && *at == '"')) {
            at += len;
            continue;
        }
        exposition_put(page, run, (size_t)(at - run));
        if (len == 0)
            exposition_puts(page, "\xef\xbf\xbd");
        else if (*at == '\n')
            exposition_puts(page, "\\n");
        else
            exposition_puts(page, *at == '"' ? "\\\"" : "\\\\");
        run = ++at;
    }
    exposition_put(page, run, (size_t)(at - run));
}

/* Decimal digits of @value into the end of @buf; where they start. */
static char *exposition_digits(char *end, uint64_t value)
{
    do {
        *--end = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    return end;
}

static void exposition_put_u64(struct aisys_exposition *page, uint64_t value)
{
    char buf[NUMBER_BYTES];
    char *end = buf + sizeof(buf);
    char *at = exposition_digits(end, value);

    exposition_put(page, at, (size_t)(end - at));
}

/* @ns as seconds: no trailing zeros, a dot always (OpenMetrics wants `le` as a float). */
static void exposition_put_seconds(struct aisys_exposition *page, uint64_t ns)
{
    char buf[NUMBER_BYTES];
    char *end = buf + sizeof(buf);
    char *at = end;
    uint64_t rest = ns % NS_PER_S;

    for (int i = 0; i < 9; i++) {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    }
    *--at = '.';
    while (end[-1] == '0' && end[-2] != '.')
        end--;
    at = exposition_digits(at, ns / NS_PER_S);
    exposition_put(page, at, (size_t)(end - at));
}

static void exposition_put_double(struct aisys_exposition *page, double value)
{
    char buf[NUMBER_BYTES];
    int len;

    if (isnan(value)) {
        exposition_puts(page, "NaN");
        return;
    }
    if (isinf(value)) {
        exposition_puts(page, value > 0 ? "+Inf" : "-Inf");
        return;
    }
    if (value >= 0 && value < 9007199254740992.0 && trunc(value) == value) {
        exposition_put_u64(page, (uint64_t)value);
        return;
    }
    len = snprintf(buf, sizeof(buf), "%.15g", value);
    if (strtod(buf, NULL) != value)
        len = snprintf(buf, sizeof(buf), "%.17g", value);
    exposition_put(page, buf, (size_t)len);
}

/* `name<suffix>{a="b",c="d"`: the brace is left open, and not there without labels. */
static void exposition_put_name(struct aisys_exposition *page, const char *suffix,
    const struct aisys_metric_label *labels, size_t labels_len)
{
    exposition_put(page, page->family->name, page->name_bytes);
    exposition_puts(page, suffix);
    for (size_t i = 0; i < labels_len; i++) {
        exposition_put(page, i ? "," : "{", 1);
        exposition_puts(page, labels[i].name);
        exposition_put(page, "=\"", 2);
        exposition_escaped(page, labels[i].value ? labels[i].value : "", true);
        exposition_put(page, "\"", 1);
    }
}

/* The start of a sample line of a counter or gauge, up to its value. */
static bool exposition_sample(
    struct aisys_exposition *page, const struct aisys_metric_label *labels, size_t labels_len)
{
    if (!page->error &&
        (!page->family || page->finished || page->family->type == AISYS_METRIC_HISTOGRAM))
        page->error = -EINVAL;
    if (page->error)
        return false;
    exposition_put_name(
        page, page->family->type == AISYS_METRIC_COUNTER ? "_total" : "", labels, labels_len);
    exposition_puts(page, labels_len ? "} " : " ");
    return true;
}

static void exposition_put_type(
    struct aisys_exposition *page, const char *keyword, const char *name, size_t name_bytes)
{
    exposition_puts(page, keyword);
    exposition_put(page, name, name_bytes);
    exposition_put(page, " ", 1);
}

const char *aisys_exposition_content_type(enum aisys_exposition_format format)
{
    return format == AISYS_EXPOSITION_OPENMETRICS
               ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
               : "text/plain; version=0.0.4; charset=utf-8";
}

enum aisys_exposition_format aisys_exposition_choose(const char *accept)
{
    /* Scrapers that know OpenMetrics ask for it by name, and prefer it; nobody else names it. */
    if (accept && strstr(accept, "application/openmetrics-text"))
        return AISYS_EXPOSITION_OPENMETRICS;
    return AISYS_EXPOSITION_PROMETHEUS;
}

static bool exposition_ends_with(const char *text, size_t len, const char *end)
{
    const size_t end_len = strlen(end);

    return len > end_len && memcmp(text + len - end_len, end, end_len) == 0;
}

static const char *metric_check_name(const char *name)
{
    if (!name || !name[0])
        return "no name";
    if (name[0] >= '0' && name[0] <= '9')
        return "the name starts with a digit";
    if (name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")])
        return "the name has other characters than a-z, 0-9 and _";
    if (strncmp(name, "__", 2) == 0)
        return "names that start with __ belong to Prometheus";
    return NULL;
}

const char *aisys_metric_check(const struct aisys_metric *metric)
{
    const char *problem = metric_check_name(metric->name);
    size_t len;
    bool total;

    if (problem)
        return problem;
    if (!metric->help || !metric->help[0])
        return "no help";
    len = strlen(metric->name);
    total = exposition_ends_with(metric->name, len, "_total");
    if (total != (metric->type == AISYS_METRIC_COUNTER))
        return total ? "only counters end in _total" : "a counter ends in _total";
    if (total)
        len -= strlen("_total");
    if (exposition_ends_with(metric->name, len, "_bucket") ||
        exposition_ends_with(metric->name, len, "_count") ||
        exposition_ends_with(metric->name, len, "_sum"))
        return "_bucket, _count and _sum are for the parts of a histogram";
    if (metric->unit && metric->unit[0]) {
        const size_t unit_len = strlen(metric->unit);

        if (!exposition_ends_with(metric->name, len, metric->unit) ||
            metric->name[len - unit_len - 1] != '_')
            return "the name does not end in its unit (before _total)";
    }
    if (metric->type == AISYS_METRIC_HISTOGRAM &&
        (!metric->unit || strcmp(metric->unit, "seconds") != 0))
        return "a histogram is of seconds";
    return NULL;
}

void aisys_exposition_init(struct aisys_exposition *page, enum aisys_exposition_format format,
    size_t limit_bytes, aisys_exposition_resize_fn resize, void *resize_arg)
{
    *page = (struct aisys_exposition){
        .format = format,
        .limit_bytes = limit_bytes,
        .resize = resize ? resize : exposition_resize_heap,
        .resize_arg = resize_arg,
    };
}

void aisys_exposition_deinit(struct aisys_exposition *page)
{
    if (page->text)
        page->resize(page->resize_arg, page->text, page->capacity_bytes, 0);
    page->text = NULL;
    page->text_bytes = 0;
    page->capacity_bytes = 0;
}

void aisys_exposition_family(struct aisys_exposition *page, const struct aisys_metric *metric)
{
    static const char *const types[] = {
        [AISYS_METRIC_COUNTER] = "counter\n",
        [AISYS_METRIC_GAUGE] = "gauge\n",
        [AISYS_METRIC_HISTOGRAM] = "histogram\n",
    };
    const bool openmetrics = page->format == AISYS_EXPOSITION_OPENMETRICS;
    const size_t full_bytes = strlen(metric->name);
    size_t shown_bytes;

    page->family = metric;
    page->name_bytes = full_bytes;
    if (metric->type == AISYS_METRIC_COUNTER &&
        exposition_ends_with(metric->name, full_bytes, "_total"))
        page->name_bytes -= strlen("_total");
    shown_bytes = openmetrics ? page->name_bytes : full_bytes;

    exposition_put_type(page, "# HELP ", metric->name, shown_bytes);
    exposition_escaped(page, metric->help, openmetrics);
    exposition_put_type(page, "\n# TYPE ", metric->name, shown_bytes);
    exposition_puts(page, types[metric->type]);
    if (openmetrics && metric->unit && metric->unit[0]) {
        exposition_put_type(page, "# UNIT ", metric->name, shown_bytes);
        exposition_puts(page, metric->unit);
        exposition_put(page, "\n", 1);
    }
}

void aisys_exposition_u64(struct aisys_exposition *page, const struct aisys_metric_label *labels,
    size_t labels_len, uint64_t value)
{
    if (!exposition_sample(page, labels, labels_len))
        return;
    exposition_put_u64(page, value);
    exposition_put(page, "\n", 1);
}

void aisys_exposition_ns(struct aisys_exposition *page, const struct aisys_metric_label *labels,
    size_t labels_len, uint64_t value_ns)
{
    if (!exposition_sample(page, labels, labels_len))
        return;
    exposition_put_seconds(page, value_ns);
    exposition_put(page, "\n", 1);
}

void aisys_exposition_double(struct aisys_exposition *page, const struct aisys_metric_label *labels,
    size_t labels_len, double value)
{
    if (!exposition_sample(page, labels, labels_len))
        return;
    exposition_put_double(page, value);
    exposition_put(page, "\n", 1);
}

void aisys_exposition_buckets(struct aisys_exposition *page,
    const struct aisys_metric_label *labels, size_t labels_len,
    const struct aisys_exposition_histogram *histogram)
{
    uint64_t count = 0;

    if (!page->error &&
        (!page->family || page->finished || page->family->type != AISYS_METRIC_HISTOGRAM))
        page->error = -EINVAL;
    if (page->error)
        return;

    for (size_t i = 0; i <= histogram->bounds_len; i++) {
        count += histogram->counts[i];
        exposition_put_name(page, "_bucket", labels, labels_len);
        exposition_puts(page, labels_len ? ",le=\"" : "{le=\"");
        if (i < histogram->bounds_len)
            exposition_put_seconds(page, histogram->bounds_ns[i]);
        else
            exposition_put(page, "+Inf", 4);
        exposition_put(page, "\"} ", 3);
        exposition_put_u64(page, count);
        exposition_put(page, "\n", 1);
    }
    exposition_put_name(page, "_sum", labels, labels_len);
    exposition_puts(page, labels_len ? "} " : " ");
    exposition_put_seconds(page, histogram->sum_ns);
    exposition_put(page, "\n", 1);
    exposition_put_name(page, "_count", labels, labels_len);
    exposition_puts(page, labels_len ? "} " : " ");
    exposition_put_u64(page, count);
    exposition_put(page, "\n", 1);
}

int aisys_exposition_finish(struct aisys_exposition *page)
{
    char *end;

    if (page->format == AISYS_EXPOSITION_OPENMETRICS && !page->finished)
        exposition_puts(page, "# EOF\n");
    end = exposition_room(page, 0);
    if (!end)
        return page->error;
    *end = '\0';
    page->finished = true;
    page->family = NULL;
    return 0;
}
