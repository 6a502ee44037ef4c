/* A growing array of vectors, 256 signed bytes each, and the search for those nearest to another.
 *
 * Vectors are appended at the end and found by their place (slot 0, 1, ...); one may be marked dead,
 * none is moved or changed while anybody but the owner holds a reference, so that other threads may scan
 * while the owner appends.
 *
 * Threads: one thread (the owner's) appends and kills; any thread that holds a reference scans what was
 *          appended before it asked for the count.
 * Errors:  negative errno. */
#ifndef AISYS_MEMORY_VECTORS_H
#define AISYS_MEMORY_VECTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_VECTOR_BYTES  256
#define MEMORY_VECTORS_CHUNK 4096        /* vectors of one chunk: 1 MiB */
#define MEMORY_VECTORS_MAX   (16u << 20) /* 4 GiB */

struct memory_vectors;

/* Shared: starts with one reference. NULL when memory is short. */
struct memory_vectors *memory_vectors_new(void);
struct memory_vectors *memory_vectors_ref(struct memory_vectors *vectors);
void memory_vectors_unref(struct memory_vectors *vectors); /* NULL is fine */

/* Append a copy of @vector; its slot. -ENOMEM, or -ENOSPC at MEMORY_VECTORS_MAX. Owner. */
int64_t memory_vectors_append(struct memory_vectors *vectors, const int8_t *vector);

/* No later scan finds @slot. Owner. */
void memory_vectors_kill(struct memory_vectors *vectors, uint32_t slot);

/* Leave the dead slots out; the others move up, in their order. 0, or -EBUSY while anybody else holds a
 * reference, because that one may scan: nothing changed. Owner, the only one to give references then. */
int memory_vectors_compact(struct memory_vectors *vectors);

uint32_t memory_vectors_count(const struct memory_vectors *vectors); /* slots, dead ones too */
uint64_t memory_vectors_bytes(const struct memory_vectors *vectors);
const int8_t *memory_vectors_at(const struct memory_vectors *vectors, uint32_t slot);

struct memory_near {
    int32_t product; /* of the two vectors: larger is nearer */
    uint32_t slot;
};

/* What to look for. */
struct memory_scan {
    const int8_t *vector;
    const uint64_t *filter; /* bit i: slot i may be found; NULL: all. Up to @end */
    uint32_t begin;         /* slots begin <= i < end; at most the count read before */
    uint32_t end;
    uint32_t k; /* how many of the nearest */
};

/* The @scan->k nearest, the nearest first, equal ones the newer (greater slot) first; how many there
 * were. @ret_near has room for k. Ranges that are scanned apart are put together by
 * memory_near_merge(). */
uint32_t memory_vectors_scan(const struct memory_vectors *vectors, const struct memory_scan *scan,
    struct memory_near *ret_near);

/* Merge @n_b sorted results into @n_a sorted ones, in place, keeping at most @k; the new number. */
uint32_t memory_near_merge(
    struct memory_near *a, uint32_t n_a, const struct memory_near *b, uint32_t n_b, uint32_t k);

/* ---- The product, several ways --------------------------------------------------------------- */

/* Products of @query with @n vectors that lie one after the other. All give the same numbers. */
typedef void (*memory_products_fn)(
    const int8_t *query, const int8_t *vectors, uint32_t n, int32_t *ret_products);

struct memory_kernel {
    const char *name; /* "avx512vnni", "avx2", "plain" */
    memory_products_fn products;
};

/* The kernels that this processor can run, best first; the last is "plain". */
unsigned memory_kernels(const struct memory_kernel **ret_kernels);

/* Use kernel @name for every scan from now on, "" for the best: for tests. False when there is none. */
bool memory_kernel_force(const char *name);

#endif
