#include "show.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/tree_json.h"
#include "core/utf8.h"

#define ALIGN_MAX 24 /* longer keys stand out */

/* --- text that cannot drive a terminal -------------------------------------------------------------- */

/* The character that @bytes of UTF-8 are. */
static uint32_t decode(const unsigned char *at, size_t bytes)
{
    uint32_t c = bytes == 1 ? at[0] : at[0] & (0xffu >> (bytes + 1));

    for (size_t i = 1; i < bytes; i++)
        c = c << 6 | (at[i] & 0x3f);
    return c;
}

/* Controls, and what changes the direction of text or hides in it. */
static bool is_harmful(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff ||
           (c >= 0xe0000 && c <= 0xe007f);
}

static void put_blanks(FILE *out, unsigned n)
{
    fprintf(out, "%*s", (int)n, "");
}

static void put_text(FILE *out, const char *text, size_t bytes, bool lines, unsigned indent)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t n;

    for (size_t i = 0; i < bytes; i += n ? n : 1) {
        n = at[i] ? aisys_utf8_char(at + i, bytes - i) : 0;
        if (lines && at[i] == '\n') {
            fputc('\n', out);
            if (i + 1 < bytes && at[i + 1] != '\n')
                put_blanks(out, indent);
        } else if (at[i] == '\n' || at[i] == '\t') {
            fputc(' ', out);
        } else if (n == 0 || is_harmful(decode(at + i, n))) {
            fputc('?', out);
        } else {
            fwrite(at + i, 1, n, out);
        }
    }
}

void ctl_show_line(FILE *out, const char *text, size_t bytes)
{
    put_text(out, text, bytes, false, 0);
}

void ctl_show_lines(FILE *out, const char *text, size_t bytes, unsigned indent)
{
    put_text(out, text, bytes, true, indent);
}

/* --- quantities --------------------------------------------------------------------------------------- */

const char *ctl_show_bytes(double bytes, char *buf)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    unsigned unit = 0;

    while (bytes >= 1024 && unit + 1 < sizeof(units) / sizeof(*units)) {
        bytes /= 1024;
        unit++;
    }
    snprintf(buf, CTL_SHOW_QUANTITY_BYTES, unit > 0 && bytes < 100 ? "%.1f %s" : "%.0f %s", bytes,
        units[unit]);
    return buf;
}

const char *ctl_show_duration(double ms, char *buf)
{
    static const struct {
        double ms;
        const char *unit;
    } units[] = { { 86400e3, "d" }, { 3600e3, "h" }, { 60e3, "min" }, { 1e3, "s" }, { 1, "ms" },
        { 1e-3, "us" } };
    unsigned i = 0;

    while (i + 1 < sizeof(units) / sizeof(*units) && ms < units[i].ms)
        i++;
    ms /= units[i].ms;
    snprintf(buf, CTL_SHOW_QUANTITY_BYTES, ms > 0 && ms < 100 ? "%.1f %s" : "%.0f %s", ms,
        ms > 0 ? units[i].unit : "ms");
    return buf;
}

bool ctl_node_number(const struct aisys_node *map, const char *key, double *ret_number)
{
    const struct aisys_node *node = aisys_node_get(map, key);
    char *end;

    if (!node)
        return false;
    switch (node->kind) {
    case AISYS_NODE_INT:
        *ret_number = (double)node->i64;
        return true;
    case AISYS_NODE_UINT:
        *ret_number = (double)node->u64;
        return true;
    case AISYS_NODE_DOUBLE:
        *ret_number = node->f64;
        return true;
    case AISYS_NODE_STRING:
        *ret_number = strtod(node->text, &end);
        return node->text_bytes > 0 && end == node->text + node->text_bytes;
    default:
        return false;
    }
}

/* --- answers ------------------------------------------------------------------------------------------ */

static bool is_block(const struct aisys_node *node)
{
    if (node->kind == AISYS_NODE_MAP || node->kind == AISYS_NODE_LIST)
        return node->items.count > 0;
    return node->kind == AISYS_NODE_STRING && memchr(node->text, '\n', node->text_bytes);
}

static int put_json(void *ctx, const char *text, size_t bytes)
{
    FILE *out = ctx;
    const unsigned char *at = (const unsigned char *)text;

    /* Only inside of strings can there be any; there the escape means the same. */
    for (size_t i = 0; i < bytes; i++) {
        if (at[i] == 0x7f)
            fputs("\\u007f", out);
        else if (at[i] == 0xc2 && i + 1 < bytes && at[i + 1] >= 0x80 && at[i + 1] < 0xa0)
            fprintf(out, "\\u%04x", at[++i]);
        else
            fputc(at[i], out);
    }
    return 0;
}

void ctl_show_json(FILE *out, const struct aisys_node *node)
{
    aisys_tree_json_write(node, 0, put_json, out);
    fputc('\n', out);
}

static void put_scalar(FILE *out, const struct aisys_node *node)
{
    if (node->kind == AISYS_NODE_STRING && node->text_bytes > 0)
        ctl_show_line(out, node->text, node->text_bytes);
    else if (node->kind == AISYS_NODE_DOUBLE)
        fprintf(out, "%.6g", node->f64); /* enough for eyes; --json has all */
    else
        aisys_tree_json_write(node, 0, put_json, out);
    fputc('\n', out);
}

static void put_tree(FILE *out, const struct aisys_node *node, unsigned indent, bool begun);

/* Lines, the first of them where the line stands. */
static void put_lines(FILE *out, const struct aisys_node *node, unsigned indent)
{
    size_t bytes = node->text_bytes;

    while (bytes > 0 && node->text[bytes - 1] == '\n')
        bytes--;
    ctl_show_lines(out, node->text, bytes, indent);
    fputc('\n', out);
}

/* What stands behind "key:" or "-": the rest of the line, or a block below it. */
static void put_block(FILE *out, const struct aisys_node *node, unsigned indent)
{
    if (node->kind != AISYS_NODE_STRING) {
        put_tree(out, node, indent, false);
        return;
    }
    put_blanks(out, indent);
    put_lines(out, node, indent);
}

static unsigned key_width(const struct aisys_node *map)
{
    size_t width = 0;

    for (const struct aisys_node *at = map->items.first; at; at = at->next) {
        const size_t n = ctl_show_width(at->key);

        if (!is_block(at) && n > width && n <= ALIGN_MAX)
            width = n;
    }
    return (unsigned)width;
}

static void put_map(FILE *out, const struct aisys_node *map, unsigned indent, bool begun)
{
    const unsigned width = key_width(map);

    for (const struct aisys_node *at = map->items.first; at; at = at->next, begun = false) {
        const size_t n = ctl_show_width(at->key);

        put_blanks(out, begun ? 0 : indent);
        ctl_show_line(out, at->key, strlen(at->key));
        fputc(':', out);
        if (is_block(at)) {
            fputc('\n', out);
            put_block(out, at, indent + 2);
        } else {
            put_blanks(out, 1 + (n < width ? width - (unsigned)n : 0));
            put_scalar(out, at);
        }
    }
}

/* @begun: the line stands at the place already. Depth is bounded by the parser. */
static void put_tree(FILE *out, const struct aisys_node *node, unsigned indent, bool begun)
{
    if (node->kind == AISYS_NODE_MAP) {
        put_map(out, node, indent, begun);
        return;
    }
    for (const struct aisys_node *at = node->items.first; at; at = at->next, begun = false) {
        put_blanks(out, begun ? 0 : indent);
        fputs("- ", out);
        if (!is_block(at))
            put_scalar(out, at);
        else if (at->kind == AISYS_NODE_STRING)
            put_lines(out, at, indent + 2);
        else
            put_tree(out, at, indent + 2, true);
    }
}

void ctl_show_tree(FILE *out, const struct aisys_node *node)
{
    if (node->kind == AISYS_NODE_STRING)
        put_block(out, node, 0);
    else if (is_block(node))
        put_tree(out, node, 0, false);
    else
        put_scalar(out, node);
}

/* --- tables ------------------------------------------------------------------------------------------- */

size_t ctl_show_width(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static const char *const colors[] = { "", "\033[32m", "\033[33m", "\033[31m", "\033[1m" };

static void put_cell(
    FILE *out, const struct ctl_cell *cell, size_t width, bool right, bool last, bool color)
{
    const char *text = cell->text ? cell->text : "-";
    const size_t n = ctl_show_width(text);
    const unsigned gap = (unsigned)(n < width ? width - n : 0);
    const bool colored = color && cell->color != CTL_PLAIN;

    if (right)
        put_blanks(out, gap);
    fputs(colored ? colors[cell->color] : "", out);
    ctl_show_line(out, text, strlen(text));
    fputs(colored ? "\033[0m" : "", out);
    if (!last)
        put_blanks(out, 2 + (right ? 0 : gap));
}

void ctl_show_table(FILE *out, const struct ctl_table *table, bool color)
{
    size_t widths[16] = { 0 };

    for (unsigned i = 0; i < table->rows * table->columns; i++) {
        const size_t n = ctl_show_width(table->cells[i].text ? table->cells[i].text : "-");
        size_t *width = &widths[i % table->columns % 16];

        if (n > *width)
            *width = n;
    }
    for (unsigned row = 0; row < table->rows; row++) {
        for (unsigned i = 0; i < table->columns; i++)
            put_cell(out, &table->cells[row * table->columns + i], widths[i % 16],
                table->align[i] == 'r', i + 1 == table->columns, color);
        fputc('\n', out);
        if (table->notes && table->notes[row]) {
            fputs("  ", out);
            ctl_show_line(out, table->notes[row], strlen(table->notes[row]));
            fputc('\n', out);
        }
    }
}
