/* A document as plain data, with positions: what JSON, YAML, variables and command-line words
 * become before a schema looks at them, and what becomes text again.
 *
 * A tree lives in one arena, and so do its strings unless a function says "borrowed". Nodes are
 * plain structs: read the fields. Maps keep the order of their keys; a parser refuses duplicate
 * keys, a builder must not make any.
 *
 * Threads: one at a time per tree; a finished tree may be read by any number.
 * Errors:  builders return NULL when the arena is exhausted and accept NULL from each other, so a
 *          whole tree is built first and checked once (aisys_arena_failed). */
#ifndef AISYS_CORE_TREE_H
#define AISYS_CORE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <aisys/diag.h>

#include "core/arena.h"

/* Hard limits of any parser; a caller may ask for less, never for more. */
#define AISYS_TREE_DEPTH_MAX 64
#define AISYS_TREE_NODES_MAX 200000

/* Outcome of a parser or reader: the input is refused, the diag says why. */
#define AISYS_TREE_INVALID 1

/* What a parser accepts; it checks before it allocates. */
struct aisys_tree_limits {
    size_t bytes; /* of text */
    unsigned depth;
    size_t nodes; /* aliases counted as often as they are expanded */
};

enum aisys_node_kind {
    AISYS_NODE_NULL,
    AISYS_NODE_BOOL,
    AISYS_NODE_INT,  /* fits int64 */
    AISYS_NODE_UINT, /* does not fit int64, fits uint64 */
    AISYS_NODE_DOUBLE,
    AISYS_NODE_STRING, /* valid UTF-8 */
    AISYS_NODE_LIST,
    AISYS_NODE_MAP,
};

/* How sure the text was of its type; the schema decides what it may still become. */
enum aisys_node_style {
    AISYS_STYLE_STRICT, /* JSON, quoted YAML: it is what its kind says */
    AISYS_STYLE_PLAIN,  /* unquoted YAML: kind is a guess, a string field takes .text */
    AISYS_STYLE_TEXT,   /* a STRING from a variable or --set: any scalar, or a list by commas */
};

struct aisys_node {
    uint8_t kind;  /* enum aisys_node_kind */
    uint8_t style; /* enum aisys_node_style */
    struct aisys_where where;
    const char *key;   /* NUL-terminated; NULL unless in a map */
    uint32_t key_line; /* where the key is, in the same file; 0 when that is not known */
    uint32_t key_column;
    struct aisys_node *next; /* sibling */

    /* STRING: its bytes, with a NUL behind unless it is borrowed (text[text_bytes] may be read in
     * any case). DOUBLE, INT: the text to print, or as it was read; may be NULL. */
    const char *text;
    size_t text_bytes;
    union {
        bool boolean;
        int64_t i64;
        uint64_t u64;
        double f64;
        struct {
            struct aisys_node *first;
            struct aisys_node *last;
            size_t count;
        } items; /* of a LIST or MAP */
    };
};

/* "a list", "a number", ...: for messages. */
const char *aisys_node_kind_name(const struct aisys_node *node);

/* Builders. Every new node has style STRICT and no position. */
struct aisys_node *aisys_node_null(struct aisys_arena *arena);
struct aisys_node *aisys_node_bool(struct aisys_arena *arena, bool value);
struct aisys_node *aisys_node_int(struct aisys_arena *arena, int64_t value);
struct aisys_node *aisys_node_uint(struct aisys_arena *arena, uint64_t value); /* INT if it fits */
struct aisys_node *aisys_node_double(struct aisys_arena *arena, double value);
struct aisys_node *aisys_node_list(struct aisys_arena *arena);
struct aisys_node *aisys_node_map(struct aisys_arena *arena);

/* A string: @text is copied, or borrowed for as long as the tree lives; then the byte behind it
 * must be readable, too. */
struct aisys_node *aisys_node_string(struct aisys_arena *arena, const char *text);
struct aisys_node *aisys_node_string_n(struct aisys_arena *arena, const char *text, size_t bytes);
struct aisys_node *aisys_node_string_borrowed(
    struct aisys_arena *arena, const char *text, size_t bytes);
struct aisys_node *aisys_node_printf(struct aisys_arena *arena, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Put @item (not yet in any tree) at the end of @list; nothing happens when either is NULL. */
void aisys_node_append(struct aisys_node *list, struct aisys_node *item);

/* The same in a map. @key is borrowed for as long as the tree lives; it must be new in @map. */
void aisys_node_set(struct aisys_node *map, const char *key, struct aisys_node *item);

/* Remove @key from @map. Returns the node, no longer in any tree, or NULL. */
struct aisys_node *aisys_node_take(struct aisys_node *map, const char *key);

/* The value of @key, NULL when @map is NULL, no map, or has no such key. */
struct aisys_node *aisys_node_get(const struct aisys_node *map, const char *key);

/* The text of the STRING at @key; NULL when there is none, or when it is borrowed without a NUL
 * behind (a parser's string of several KiB). */
const char *aisys_node_get_string(const struct aisys_node *map, const char *key);

/* Follow @path ("agents.vision_processing.config.roots[2]") from @root as far as it leads. Returns
 * the node reached, or, when a part does not exist and @nearest, the last one that does. */
struct aisys_node *aisys_tree_find(const struct aisys_node *root, const char *path, bool nearest);

/* A copy of @node in @arena that depends on nothing else. Depth is bounded by the parsers. */
struct aisys_node *aisys_tree_copy(struct aisys_arena *arena, const struct aisys_node *node);

/* Lay @over on @base: maps are merged key by key, anything else replaces what was there, a null
 * takes the key out. Nodes of @over are used as they are and belong to the result; both must live
 * in arenas that outlive it. Either may be NULL. Returns the result, @base where possible. */
struct aisys_node *aisys_tree_overlay(struct aisys_node *base, struct aisys_node *over);

/* Whether both say the same, positions and styles aside; the order of keys does not count. */
bool aisys_tree_equal(const struct aisys_node *a, const struct aisys_node *b);

/* Report each key that occurs twice in @map. @scratch is used for sorting. 0, or -ENOMEM. */
int aisys_tree_check_keys(const struct aisys_node *map, struct aisys_arena *scratch,
    struct aisys_diag *diag, const char *path);

/* Nodes of the tree, itself included. */
size_t aisys_tree_count(const struct aisys_node *node);

#endif
