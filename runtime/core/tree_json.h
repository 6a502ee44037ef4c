/* A tree as JSON text (RFC 8259). Numbers are the shortest that read back as the same value;
 * strings are written as UTF-8 with only what must be escaped escaped. Parsing is
 * port/jansson_port.h.
 *
 * Threads: any, the tree is only read.
 * Errors:  a writer passes on what its sink returned; -ENOMEM from the arena variants. */
#ifndef AISYS_CORE_TREE_JSON_H
#define AISYS_CORE_TREE_JSON_H

#include "core/tree.h"

/* Takes @bytes of text. 0, or a negative errno that ends the writing. */
typedef int (*aisys_text_fn)(void *ctx, const char *text, size_t bytes);

/* Write @node; @indent spaces per level, 0 for one line without any. No newline at the end. */
int aisys_tree_json_write(
    const struct aisys_node *node, unsigned indent, aisys_text_fn sink, void *ctx);

/* The same into @arena, NUL-terminated. @ret_bytes may be NULL. */
int aisys_tree_json(struct aisys_arena *arena, const struct aisys_node *node, unsigned indent,
    char **ret_text, size_t *ret_bytes);

/* Write @text as a JSON string, quotes included. */
int aisys_json_write_string(const char *text, size_t bytes, aisys_text_fn sink, void *ctx);

/* The shortest text of a finite @value that reads back as the same; as a float's when @single.
 * @buf has AISYS_JSON_NUMBER_BYTES. */
#define AISYS_JSON_NUMBER_BYTES 32
void aisys_json_number(double value, bool single, char *buf);

#endif
