/* Values by key in namespaces, within quotas: what is least recently used leaves, what expired is gone.
 *
 * No call does more than a bounded amount of work but for what it must free to make room: tables grow a few
 * buckets per call, and what an invalidation forgets is freed by aisys_lru_sweep(), piece by piece.
 *
 * Threads: one at a time.  Errors: 0, -ENOMEM, or the positive outcomes that a function documents.
 * Units:   bytes; milliseconds of whatever clock the caller passes as now_ms. */
#ifndef ACTORS_MEMORY_LRU_H
#define ACTORS_MEMORY_LRU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What each pair is charged beside its key and value; about what it truly costs. */
#define AISYS_LRU_PAIR_BYTES 128u

struct aisys_lru;

struct aisys_lru_options {
    uint64_t quota_bytes; /* of a namespace */
    uint64_t total_bytes; /* of all of them */
    uint32_t namespaces_max;
    uint64_t seed;                           /* of the hash: chance */
    void *(*alloc)(void *ctx, size_t bytes); /* zeroed, or NULL */
    void (*free)(void *ctx, void *p);
    void *ctx;
};

/* Options are copied. NULL: no memory. */
struct aisys_lru *aisys_lru_new(const struct aisys_lru_options *options);
void aisys_lru_free(struct aisys_lru *lru); /* and all in it; NULL is fine */

struct aisys_lru_text {
    const void *data;
    size_t bytes;
};

enum aisys_lru_outcome {
    AISYS_LRU_TOO_LARGE = 1,  /* it would not fit, were it alone */
    AISYS_LRU_NAMESPACES = 2, /* namespaces_max, none of them empty */
};

/* Keep a copy of @value until @expires_ms (0: no such time). On failure what was there stays, though others
 * may have left to make room. 0, -ENOMEM, an outcome. */
int aisys_lru_set(struct aisys_lru *lru, const char *namespace, struct aisys_lru_text key,
    struct aisys_lru_text value, uint64_t expires_ms, uint64_t now_ms);

struct aisys_lru_value {
    const void *data; /* borrowed until the next call */
    size_t bytes;
    uint64_t expires_ms; /* 0: never */
};

/* False: there is none. Either is counted, when there is such a namespace. */
bool aisys_lru_get(struct aisys_lru *lru, const char *namespace, struct aisys_lru_text key,
    uint64_t now_ms, struct aisys_lru_value *ret_value);

bool aisys_lru_delete(
    struct aisys_lru *lru, const char *namespace, struct aisys_lru_text key, uint64_t now_ms);

/* Forget all of a namespace; how many there were, expired ones that nobody missed yet included. */
uint32_t aisys_lru_invalidate(struct aisys_lru *lru, const char *namespace);

/* Free a bounded number of what is forgotten or expired. Returns in how many milliseconds it would like to
 * be called again; 0: there is nothing to do until something else happens. */
uint32_t aisys_lru_sweep(struct aisys_lru *lru, uint64_t now_ms);

struct aisys_lru_stats {
    const char *name; /* borrowed until the next call */
    uint32_t keys;
    uint64_t bytes;
    uint64_t hits, misses, evictions;
};

/* Call @each for each namespace, by name. */
void aisys_lru_each(const struct aisys_lru *lru,
    void (*each)(void *ctx, const struct aisys_lru_stats *stats), void *ctx);
size_t aisys_lru_namespaces(const struct aisys_lru *lru);

#endif
