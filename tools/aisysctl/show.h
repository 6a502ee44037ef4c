/* Text for people, on what may be a terminal. Whatever comes from a node is written so that it cannot
 * drive the terminal: control characters become '?', except for line feeds where lines are meant, and so
 * do marks that turn the direction of text.
 *
 * Errors: none; the caller looks at ferror() once, at the end. */
#ifndef AISYSCTL_SHOW_H
#define AISYSCTL_SHOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/tree.h"

/* Write @text; what is no printable character is '?', a line feed or tab is a blank. */
void ctl_show_line(FILE *out, const char *text, size_t bytes);

/* The same with its lines kept, each after the first behind @indent blanks. */
void ctl_show_lines(FILE *out, const char *text, size_t bytes, unsigned indent);

/* Write an answer for people: fields in order, values aligned, text of several lines as a block. */
void ctl_show_tree(FILE *out, const struct aisys_node *node);

/* Write @node as one line of JSON, control characters of all kinds escaped. */
void ctl_show_json(FILE *out, const struct aisys_node *node);

/* "1.5 MiB", "12 B"; "850 us", "12.3 ms", "4.2 s", "3 min", "2 h", "5 d". */
#define CTL_SHOW_QUANTITY_BYTES 32
const char *ctl_show_bytes(double bytes, char *buf);
const char *ctl_show_duration(double ms, char *buf);

enum ctl_color { CTL_PLAIN, CTL_GREEN, CTL_YELLOW, CTL_RED, CTL_BOLD };

struct ctl_cell {
    const char *text; /* NULL: "-" */
    enum ctl_color color;
};

/* Rows of cells, the first row the titles. */
struct ctl_table {
    unsigned columns;
    const char *align; /* a letter for each column: l or r */
    const struct ctl_cell *cells;
    const char *const *notes; /* for each row: a line below it, or NULL; may be NULL */
    unsigned rows;
};

void ctl_show_table(FILE *out, const struct ctl_table *table, bool color);

/* How wide @text is on a terminal that shows each character in one place. */
size_t ctl_show_width(const char *text);

/* The number at @key, whichever way JSON has it; false when there is none. */
bool ctl_node_number(const struct aisys_node *map, const char *key, double *ret_number);

#endif
