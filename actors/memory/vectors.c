#include "memory/vectors.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CHUNKS_MAX (MEMORY_VECTORS_MAX / MEMORY_VECTORS_CHUNK)
#define BLOCK      64 /* vectors whose products are worked out at once; one word of a filter */

_Static_assert(MEMORY_VECTORS_CHUNK % BLOCK == 0, "a block lies in one chunk");

struct vectors_chunk {
    int8_t data[MEMORY_VECTORS_CHUNK][MEMORY_VECTOR_BYTES];
    _Atomic uint64_t dead[MEMORY_VECTORS_CHUNK / 64];
};

struct memory_vectors {
    atomic_uint refs;
    _Atomic uint32_t count; /* published last: what is below it is complete */
    struct vectors_chunk *_Atomic chunks[CHUNKS_MAX];
};

static _Atomic int vectors_forced = -1; /* index of a kernel; -1: the best */

struct memory_vectors *memory_vectors_new(void)
{
    struct memory_vectors *v = calloc(1, sizeof(*v));

    if (v != NULL)
        atomic_init(&v->refs, 1);
    return v;
}

struct memory_vectors *memory_vectors_ref(struct memory_vectors *vectors)
{
    atomic_fetch_add_explicit(&vectors->refs, 1, memory_order_relaxed);
    return vectors;
}

void memory_vectors_unref(struct memory_vectors *vectors)
{
    if (vectors == NULL || atomic_fetch_sub_explicit(&vectors->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < CHUNKS_MAX && vectors->chunks[i] != NULL; i++)
        free(vectors->chunks[i]);
    free(vectors);
}

static struct vectors_chunk *vectors_chunk(const struct memory_vectors *vectors, uint32_t slot)
{
    return atomic_load_explicit(
        &vectors->chunks[slot / MEMORY_VECTORS_CHUNK], memory_order_acquire);
}

int64_t memory_vectors_append(struct memory_vectors *vectors, const int8_t *vector)
{
    const uint32_t slot = atomic_load_explicit(&vectors->count, memory_order_relaxed);
    struct vectors_chunk *chunk;

    if (slot >= MEMORY_VECTORS_MAX)
        return -ENOSPC;
    chunk = vectors_chunk(vectors, slot);
    if (chunk == NULL) {
        chunk = aligned_alloc(64, sizeof(*chunk));
        if (chunk == NULL)
            return -ENOMEM;
        memset((void *)chunk->dead, 0, sizeof(chunk->dead));
        atomic_store_explicit(
            &vectors->chunks[slot / MEMORY_VECTORS_CHUNK], chunk, memory_order_release);
    }
    memcpy(chunk->data[slot % MEMORY_VECTORS_CHUNK], vector, MEMORY_VECTOR_BYTES);
    atomic_store_explicit(&vectors->count, slot + 1, memory_order_release);
    return slot;
}

void memory_vectors_kill(struct memory_vectors *vectors, uint32_t slot)
{
    const uint32_t i = slot % MEMORY_VECTORS_CHUNK;

    if (slot < memory_vectors_count(vectors))
        atomic_fetch_or_explicit(
            &vectors_chunk(vectors, slot)->dead[i / 64], 1ull << i % 64, memory_order_relaxed);
}

/* The last unref of another thread came after its scan: with one reference left nobody looks. */
int memory_vectors_compact(struct memory_vectors *vectors)
{
    const uint32_t count = memory_vectors_count(vectors);
    uint32_t n = 0;

    if (atomic_load_explicit(&vectors->refs, memory_order_acquire) != 1)
        return -EBUSY;
    for (uint32_t slot = 0; slot < count; slot++) {
        const struct vectors_chunk *from = vectors_chunk(vectors, slot);
        const uint32_t i = slot % MEMORY_VECTORS_CHUNK;

        if ((atomic_load_explicit(&from->dead[i / 64], memory_order_relaxed) >> i % 64 & 1) != 0)
            continue;
        if (n != slot)
            memcpy(vectors_chunk(vectors, n)->data[n % MEMORY_VECTORS_CHUNK], from->data[i],
                MEMORY_VECTOR_BYTES);
        n++;
    }
    for (uint32_t i = 0; i < CHUNKS_MAX && vectors->chunks[i] != NULL; i++) {
        if (i * MEMORY_VECTORS_CHUNK < n) {
            memset((void *)vectors->chunks[i]->dead, 0, sizeof(vectors->chunks[i]->dead));
        } else {
            free(vectors->chunks[i]);
            vectors->chunks[i] = NULL;
        }
    }
    atomic_store_explicit(&vectors->count, n, memory_order_release);
    return 0;
}

uint32_t memory_vectors_count(const struct memory_vectors *vectors)
{
    return atomic_load_explicit(&vectors->count, memory_order_acquire);
}

uint64_t memory_vectors_bytes(const struct memory_vectors *vectors)
{
    const uint64_t chunks =
        ((uint64_t)memory_vectors_count(vectors) + MEMORY_VECTORS_CHUNK - 1) / MEMORY_VECTORS_CHUNK;

    return sizeof(*vectors) + chunks * sizeof(struct vectors_chunk);
}

const int8_t *memory_vectors_at(const struct memory_vectors *vectors, uint32_t slot)
{
    return vectors_chunk(vectors, slot)->data[slot % MEMORY_VECTORS_CHUNK];
}

/* ---- The k nearest: a heap with the farthest on top ------------------------------------------- */

static bool near_before(struct memory_near a, struct memory_near b)
{
    return a.product != b.product ? a.product > b.product : a.slot > b.slot;
}

static void near_sift(struct memory_near *heap, uint32_t n, uint32_t i, struct memory_near x)
{
    for (;;) {
        uint32_t child = 2 * i + 1;

        if (child >= n)
            break;
        if (child + 1 < n && near_before(heap[child], heap[child + 1]))
            child++;
        if (!near_before(x, heap[child]))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = x;
}

static uint32_t near_add(struct memory_near *heap, uint32_t n, uint32_t k, struct memory_near x)
{
    uint32_t i = n;

    if (n == k) {
        near_sift(heap, n, 0, x);
        return n;
    }
    while (i > 0 && near_before(heap[(i - 1) / 2], x)) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = x;
    return n + 1;
}

/* From a heap to the nearest first. */
static void near_sort(struct memory_near *heap, uint32_t n)
{
    while (n > 1) {
        const struct memory_near last = heap[--n];

        heap[n] = heap[0];
        near_sift(heap, n, 0, last);
    }
}

uint32_t memory_near_merge(
    struct memory_near *a, uint32_t n_a, const struct memory_near *b, uint32_t n_b, uint32_t k)
{
    const uint32_t n = n_a + n_b < k ? n_a + n_b : k;
    uint32_t keep_a = 0, keep_b = 0;

    for (uint32_t i = 0; i < n; i++) { /* how many of each, then from behind, in place */
        if (keep_b >= n_b || (keep_a < n_a && near_before(a[keep_a], b[keep_b])))
            keep_a++;
        else
            keep_b++;
    }
    for (uint32_t i = n; i-- > 0;) {
        if (keep_b == 0 || (keep_a > 0 && near_before(b[keep_b - 1], a[keep_a - 1])))
            a[i] = a[--keep_a];
        else
            a[i] = b[--keep_b];
    }
    return n;
}

/* ---- The scan ------------------------------------------------------------------------------- */

static memory_products_fn vectors_kernel(void)
{
    const struct memory_kernel *kernels;
    const int forced = atomic_load_explicit(&vectors_forced, memory_order_relaxed);

    memory_kernels(&kernels);
    return kernels[forced < 0 ? 0 : forced].products;
}

bool memory_kernel_force(const char *name)
{
    const struct memory_kernel *kernels;
    const unsigned n = memory_kernels(&kernels);

    if (name[0] == '\0') {
        atomic_store(&vectors_forced, -1);
        return true;
    }
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(kernels[i].name, name) == 0) {
            atomic_store(&vectors_forced, (int)i);
            return true;
        }
    }
    return false;
}

/* The slots of the block at @base that may be found, as bits. */
static uint64_t vectors_wanted(
    const struct vectors_chunk *chunk, const struct memory_scan *scan, uint32_t base)
{
    uint64_t wanted =
        ~atomic_load_explicit(&chunk->dead[base % MEMORY_VECTORS_CHUNK / 64], memory_order_relaxed);

    if (scan->filter != NULL)
        wanted &= scan->filter[base / 64];
    if (base < scan->begin)
        wanted &= ~0ull << (scan->begin - base);
    if (scan->end - base < BLOCK)
        wanted &= (1ull << (scan->end - base)) - 1;
    return wanted;
}

uint32_t memory_vectors_scan(const struct memory_vectors *vectors, const struct memory_scan *scan,
    struct memory_near *ret_near)
{
    const memory_products_fn products = vectors_kernel();
    int32_t found[BLOCK];
    uint32_t n = 0;

    if (scan->k == 0)
        return 0;
    for (uint32_t base = scan->begin / BLOCK * BLOCK; base < scan->end; base += BLOCK) {
        const struct vectors_chunk *chunk = vectors_chunk(vectors, base);
        const int8_t *data = chunk->data[base % MEMORY_VECTORS_CHUNK];
        uint64_t wanted = vectors_wanted(chunk, scan, base);
        const unsigned bits = (unsigned)__builtin_popcountll(wanted);

        if (bits == 0)
            continue;
        if (bits > BLOCK / 4) /* straight on is faster than picking */
            products(
                scan->vector, data, scan->end - base < BLOCK ? scan->end - base : BLOCK, found);
        for (; wanted != 0; wanted &= wanted - 1) {
            const unsigned i = (unsigned)__builtin_ctzll(wanted);
            struct memory_near x = { .slot = base + i };

            if (bits <= BLOCK / 4)
                products(scan->vector, data + i * MEMORY_VECTOR_BYTES, 1, &found[i]);
            x.product = found[i];
            if (n < scan->k || near_before(x, ret_near[0]))
                n = near_add(ret_near, n, scan->k, x);
        }
    }
    near_sort(ret_near, n);
    return n;
}
