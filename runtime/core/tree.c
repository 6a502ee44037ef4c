#include "core/tree.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct aisys_node *node_new(struct aisys_arena *arena, enum aisys_node_kind kind)
{
    struct aisys_node *const node = aisys_arena_calloc(arena, 1, sizeof(*node));

    if (node != NULL)
        node->kind = (uint8_t)kind;
    return node;
}

const char *aisys_node_kind_name(const struct aisys_node *node)
{
    static const char *const names[] = {
        [AISYS_NODE_NULL] = "null",
        [AISYS_NODE_BOOL] = "a boolean",
        [AISYS_NODE_INT] = "an integer",
        [AISYS_NODE_UINT] = "an integer",
        [AISYS_NODE_DOUBLE] = "a number",
        [AISYS_NODE_STRING] = "a string",
        [AISYS_NODE_LIST] = "a list",
        [AISYS_NODE_MAP] = "a map",
    };

    return names[node->kind];
}

struct aisys_node *aisys_node_null(struct aisys_arena *arena)
{
    return node_new(arena, AISYS_NODE_NULL);
}

struct aisys_node *aisys_node_bool(struct aisys_arena *arena, bool value)
{
    struct aisys_node *const node = node_new(arena, AISYS_NODE_BOOL);

    if (node != NULL)
        node->boolean = value;
    return node;
}

struct aisys_node *aisys_node_int(struct aisys_arena *arena, int64_t value)
{
    struct aisys_node *const node = node_new(arena, AISYS_NODE_INT);

    if (node != NULL)
        node->i64 = value;
    return node;
}

struct aisys_node *aisys_node_uint(struct aisys_arena *arena, uint64_t value)
{
    struct aisys_node *node;

    if (value <= INT64_MAX)
        return aisys_node_int(arena, (int64_t)value);
    node = node_new(arena, AISYS_NODE_UINT);
    if (node != NULL)
        node->u64 = value;
    return node;
}

struct aisys_node *aisys_node_double(struct aisys_arena *arena, double value)
{
    struct aisys_node *const node = node_new(arena, AISYS_NODE_DOUBLE);

    if (node != NULL)
        node->f64 = value;
    return node;
}

struct aisys_node *aisys_node_list(struct aisys_arena *arena)
{
    return node_new(arena, AISYS_NODE_LIST);
}

struct aisys_node *aisys_node_map(struct aisys_arena *arena)
{
    return node_new(arena, AISYS_NODE_MAP);
}

struct aisys_node *aisys_node_string_borrowed(
    struct aisys_arena *arena, const char *text, size_t bytes)
{
    struct aisys_node *const node = node_new(arena, AISYS_NODE_STRING);

    if (node != NULL) {
        node->text = text;
        node->text_bytes = bytes;
    }
    return node;
}

struct aisys_node *aisys_node_string_n(struct aisys_arena *arena, const char *text, size_t bytes)
{
    const char *const copy = aisys_arena_copy(arena, text, bytes);

    return copy != NULL ? aisys_node_string_borrowed(arena, copy, bytes) : NULL;
}

struct aisys_node *aisys_node_string(struct aisys_arena *arena, const char *text)
{
    return aisys_node_string_n(arena, text, strlen(text));
}

struct aisys_node *aisys_node_printf(struct aisys_arena *arena, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n >= 0)
        text = aisys_arena_alloc(arena, (size_t)n + 1);
    if (text == NULL)
        return NULL;
    va_start(ap, fmt);
    vsnprintf(text, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return aisys_node_string_borrowed(arena, text, (size_t)n);
}

void aisys_node_append(struct aisys_node *list, struct aisys_node *item)
{
    if (list == NULL || item == NULL)
        return;
    item->next = NULL;
    if (list->items.last != NULL)
        list->items.last->next = item;
    else
        list->items.first = item;
    list->items.last = item;
    list->items.count++;
}

void aisys_node_set(struct aisys_node *map, const char *key, struct aisys_node *item)
{
    if (item == NULL)
        return;
    item->key = key;
    aisys_node_append(map, item);
}

struct aisys_node *aisys_node_take(struct aisys_node *map, const char *key)
{
    struct aisys_node *before = NULL;
    struct aisys_node *at;

    if (map == NULL || map->kind != AISYS_NODE_MAP)
        return NULL;
    for (at = map->items.first; at != NULL && strcmp(at->key, key) != 0; at = at->next)
        before = at;
    if (at == NULL)
        return NULL;
    if (before != NULL)
        before->next = at->next;
    else
        map->items.first = at->next;
    if (map->items.last == at)
        map->items.last = before;
    map->items.count--;
    at->next = NULL;
    return at;
}

struct aisys_node *aisys_node_get(const struct aisys_node *map, const char *key)
{
    if (map == NULL || map->kind != AISYS_NODE_MAP)
        return NULL;
    for (struct aisys_node *at = map->items.first; at != NULL; at = at->next)
        if (strcmp(at->key, key) == 0)
            return at;
    return NULL;
}

const char *aisys_node_get_string(const struct aisys_node *map, const char *key)
{
    const struct aisys_node *const node = aisys_node_get(map, key);

    if (node == NULL || node->kind != AISYS_NODE_STRING || node->text[node->text_bytes] != '\0')
        return NULL;
    return node->text;
}

/* The child of @node that the first part of *@path names; *@path moves behind that part. */
static struct aisys_node *tree_step(const struct aisys_node *node, const char **path)
{
    const char *at = *path;
    size_t n;

    if (*at == '[') {
        char *end;
        unsigned long i = strtoul(at + 1, &end, 10);
        struct aisys_node *item = node->kind == AISYS_NODE_LIST ? node->items.first : NULL;

        for (; item != NULL && i > 0; i--)
            item = item->next;
        *path = *end == ']' ? end + 1 : end;
        return *end == ']' ? item : NULL;
    }
    if (*at == '.')
        at++;
    n = strcspn(at, ".[");
    *path = at + n;
    if (node->kind != AISYS_NODE_MAP)
        return NULL;
    for (struct aisys_node *item = node->items.first; item != NULL; item = item->next)
        if (strncmp(item->key, at, n) == 0 && item->key[n] == '\0')
            return item;
    return NULL;
}

struct aisys_node *aisys_tree_find(const struct aisys_node *root, const char *path, bool nearest)
{
    /* The tree itself is not const: only this walk promises not to write. */
    struct aisys_node *node = (struct aisys_node *)(uintptr_t)root;

    while (node != NULL && *path != '\0') {
        struct aisys_node *const child = tree_step(node, &path);

        if (child == NULL)
            return nearest ? node : NULL;
        node = child;
    }
    return node;
}

struct aisys_node *aisys_tree_copy(struct aisys_arena *arena, const struct aisys_node *node)
{
    struct aisys_node *copy;

    if (node == NULL)
        return NULL;
    copy = aisys_arena_alloc(arena, sizeof(*copy));
    if (copy == NULL)
        return NULL;
    *copy = *node;
    copy->next = NULL;
    if (node->key != NULL)
        copy->key = aisys_arena_strdup(arena, node->key);
    if (node->text != NULL)
        copy->text = aisys_arena_copy(arena, node->text, node->text_bytes);
    if (node->where.file != NULL)
        copy->where.file = aisys_arena_strdup(arena, node->where.file);
    if (node->kind != AISYS_NODE_LIST && node->kind != AISYS_NODE_MAP)
        return copy;

    copy->items.first = NULL;
    copy->items.last = NULL;
    copy->items.count = 0;
    for (const struct aisys_node *at = node->items.first; at != NULL; at = at->next)
        aisys_node_append(copy, aisys_tree_copy(arena, at));
    return copy;
}

struct aisys_node *aisys_tree_overlay(struct aisys_node *base, struct aisys_node *over)
{
    struct aisys_node *next;

    if (base == NULL || over == NULL)
        return base != NULL ? base : over;
    if (base->kind != AISYS_NODE_MAP || over->kind != AISYS_NODE_MAP)
        return over;

    for (struct aisys_node *at = over->items.first; at != NULL; at = next) {
        struct aisys_node *old = aisys_node_get(base, at->key);

        next = at->next;
        if (at->kind == AISYS_NODE_NULL) {
            aisys_node_take(base, at->key);
        } else if (old != NULL && old->kind == AISYS_NODE_MAP && at->kind == AISYS_NODE_MAP) {
            aisys_tree_overlay(old, at);
        } else {
            aisys_node_take(base, at->key);
            aisys_node_append(base, at);
        }
    }
    return base;
}

static bool tree_items_equal(const struct aisys_node *a, const struct aisys_node *b)
{
    const struct aisys_node *other = b->items.first;

    if (a->items.count != b->items.count)
        return false;
    for (const struct aisys_node *at = a->items.first; at != NULL; at = at->next) {
        if (a->kind == AISYS_NODE_MAP)
            other = aisys_node_get(b, at->key);
        if (other == NULL || !aisys_tree_equal(at, other))
            return false;
        other = other->next;
    }
    return true;
}

bool aisys_tree_equal(const struct aisys_node *a, const struct aisys_node *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    if (a->kind != b->kind)
        return false;
    switch ((enum aisys_node_kind)a->kind) {
    case AISYS_NODE_NULL:
        return true;
    case AISYS_NODE_BOOL:
        return a->boolean == b->boolean;
    case AISYS_NODE_INT:
        return a->i64 == b->i64;
    case AISYS_NODE_UINT:
        return a->u64 == b->u64;
    case AISYS_NODE_DOUBLE:
        return memcmp(&a->f64, &b->f64, sizeof(a->f64)) == 0;
    case AISYS_NODE_STRING:
        return a->text_bytes == b->text_bytes && memcmp(a->text, b->text, a->text_bytes) == 0;
    case AISYS_NODE_LIST:
    case AISYS_NODE_MAP:
        return tree_items_equal(a, b);
    }
    return false;
}

static int tree_compare_keys(const void *a, const void *b)
{
    const struct aisys_node *const left = *(const struct aisys_node *const *)a;
    const struct aisys_node *const right = *(const struct aisys_node *const *)b;
    const int order = strcmp(left->key, right->key);

    if (order != 0)
        return order;
    if (left->key_line != right->key_line)
        return left->key_line < right->key_line ? -1 : 1;
    return left->key_column < right->key_column ? -1 : 1;
}

int aisys_tree_check_keys(const struct aisys_node *map, struct aisys_arena *scratch,
    struct aisys_diag *diag, const char *path)
{
    const struct aisys_node **sorted;
    size_t n = 0;

    if (map->items.count < 2)
        return 0;
    sorted = aisys_arena_calloc(scratch, map->items.count, sizeof(const struct aisys_node *));
    if (sorted == NULL)
        return -ENOMEM;
    for (const struct aisys_node *at = map->items.first; at != NULL; at = at->next)
        sorted[n++] = at;
    qsort(sorted, n, sizeof(const struct aisys_node *), tree_compare_keys);

    for (size_t i = 1; i < n; i++) {
        struct aisys_where where = sorted[i]->where;

        if (strcmp(sorted[i - 1]->key, sorted[i]->key) != 0)
            continue;
        where.line = sorted[i]->key_line;
        where.column = sorted[i]->key_column;
        aisys_diag_add(diag, &where, path, "each key once",
            "the key \"%s\" is here twice, first on line %u", sorted[i]->key,
            sorted[i - 1]->key_line);
    }
    return 0;
}

size_t aisys_tree_count(const struct aisys_node *node)
{
    size_t n = 1;

    if (node == NULL)
        return 0;
    if (node->kind == AISYS_NODE_LIST || node->kind == AISYS_NODE_MAP)
        for (const struct aisys_node *at = node->items.first; at != NULL; at = at->next)
            n += aisys_tree_count(at);
    return n;
}
