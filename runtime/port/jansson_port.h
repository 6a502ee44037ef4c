/* JSON text to a tree, by jansson. The way back is core/tree_json.h.
 *
 * Strict RFC 8259: one value, no duplicate keys, no trailing text, valid UTF-8, no NUL in a
 * string. Size, depth and number of values are checked before jansson sees the text. Integers must
 * fit int64 (larger ones go in strings, as the protobuf mapping says). Nodes have no positions; a
 * syntax error has its line and column. jansson's memory comes from the arena's allocator and is
 * given back before the function returns.
 *
 * Threads: any, one at a time per arena. */
#ifndef AISYS_PORT_JANSSON_H
#define AISYS_PORT_JANSSON_H

#include "core/tree.h"

#define AISYS_JSON_BYTES_MAX (24u * 1024u * 1024u) /* API: the largest request */

/* A string of at least so many bytes and without escapes (an image in base64) is not copied. */
#define AISYS_JSON_BORROW_BYTES 4096

/* Parse @bytes of @text, which must stay as it is for as long as the tree: long strings are
 * borrowed from it. @limits may be NULL: AISYS_JSON_BYTES_MAX and the maxima of tree.h.
 *
 * Returns 0, AISYS_TREE_INVALID with one finding in @diag, or -ENOMEM. */
int aisys_json_parse(struct aisys_arena *arena, const char *text, size_t bytes,
    const struct aisys_tree_limits *limits, struct aisys_diag *diag, struct aisys_node **ret_root);

#endif
