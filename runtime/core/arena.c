#include "core/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_ALIGN           (_Alignof(max_align_t))
#define ARENA_CHUNK_MIN_BYTES 4096u
#define ARENA_CHUNK_MAX_BYTES (1024u * 1024u)

struct aisys_arena_chunk {
    struct aisys_arena_chunk *next;
    size_t bytes; /* all of it, this header included */
};

#define ARENA_HEADER_BYTES                                                                         \
    ((sizeof(struct aisys_arena_chunk) + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN)

static void *heap_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    return malloc(bytes);
}

static void heap_free(void *ctx, void *memory)
{
    (void)ctx;
    free(memory);
}

const struct aisys_allocator aisys_allocator_heap = { .alloc = heap_alloc, .free = heap_free };

void aisys_arena_init(
    struct aisys_arena *arena, const struct aisys_allocator *from, size_t limit_bytes)
{
    *arena = (struct aisys_arena){
        .from = from != NULL ? from : &aisys_allocator_heap,
        .limit_bytes = limit_bytes,
    };
}

void aisys_arena_deinit(struct aisys_arena *arena)
{
    struct aisys_arena_chunk *chunk = arena->chunks;

    while (chunk != NULL) {
        struct aisys_arena_chunk *const next = chunk->next;

        arena->from->free(arena->from->ctx, chunk);
        chunk = next;
    }
    arena->chunks = NULL;
    arena->at = NULL;
    arena->end = NULL;
    arena->used_bytes = 0;
}

void aisys_arena_reset(struct aisys_arena *arena)
{
    aisys_arena_deinit(arena);
    arena->failed = false;
}

/* How much to ask for when a piece of @bytes does not fit: what grows with the arena, so that a
 * small request stays small and a large one takes few chunks, but never past the limit. */
static size_t arena_chunk_bytes(const struct aisys_arena *arena, size_t bytes)
{
    const size_t left = arena->limit_bytes - arena->used_bytes;
    size_t want = arena->used_bytes;

    if (want < ARENA_CHUNK_MIN_BYTES)
        want = ARENA_CHUNK_MIN_BYTES;
    if (want > ARENA_CHUNK_MAX_BYTES)
        want = ARENA_CHUNK_MAX_BYTES;
    if (want < bytes + ARENA_HEADER_BYTES)
        want = bytes + ARENA_HEADER_BYTES;
    return want <= left ? want : left;
}

static void *arena_grow(struct aisys_arena *arena, size_t bytes)
{
    const size_t left = arena->limit_bytes - arena->used_bytes;
    struct aisys_arena_chunk *chunk;
    size_t chunk_bytes;
    char *piece;

    if (left < ARENA_HEADER_BYTES || bytes > left - ARENA_HEADER_BYTES)
        return NULL;
    chunk_bytes = arena_chunk_bytes(arena, bytes);
    chunk = arena->from->alloc(arena->from->ctx, chunk_bytes);
    if (chunk == NULL)
        return NULL;

    chunk->next = arena->chunks;
    chunk->bytes = chunk_bytes;
    arena->chunks = chunk;
    arena->used_bytes += chunk_bytes;
    piece = (char *)chunk + ARENA_HEADER_BYTES;
    /* A piece that fills its chunk leaves the free part of the chunk before it in use. */
    if ((size_t)(arena->end - arena->at) < chunk_bytes - ARENA_HEADER_BYTES - bytes) {
        arena->at = piece + bytes;
        arena->end = (char *)chunk + chunk_bytes;
    }
    return piece;
}

void *aisys_arena_alloc(struct aisys_arena *arena, size_t bytes)
{
    void *piece = NULL;

    if (bytes <= SIZE_MAX / 2) {
        bytes = (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
        if (bytes == 0)
            bytes = ARENA_ALIGN;
        if (bytes <= (size_t)(arena->end - arena->at)) {
            piece = arena->at;
            arena->at += bytes;
        } else {
            piece = arena_grow(arena, bytes);
        }
    }
    if (piece == NULL)
        arena->failed = true;
    return piece;
}

void *aisys_arena_calloc(struct aisys_arena *arena, size_t count, size_t bytes)
{
    void *piece;
    size_t all;

    if (__builtin_mul_overflow(count, bytes, &all)) {
        arena->failed = true;
        return NULL;
    }
    piece = aisys_arena_alloc(arena, all);
    if (piece != NULL)
        memset(piece, 0, all);
    return piece;
}

char *aisys_arena_copy(struct aisys_arena *arena, const void *from, size_t bytes)
{
    char *const copy = bytes < SIZE_MAX ? aisys_arena_alloc(arena, bytes + 1) : NULL;

    if (copy == NULL)
        return NULL;
    if (bytes > 0)
        memcpy(copy, from, bytes);
    copy[bytes] = '\0';
    return copy;
}

char *aisys_arena_strdup(struct aisys_arena *arena, const char *from)
{
    return aisys_arena_copy(arena, from, strlen(from));
}

char *aisys_arena_printf(struct aisys_arena *arena, const char *fmt, ...)
{
    va_list ap;
    char *text;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        return NULL;
    text = aisys_arena_alloc(arena, (size_t)n + 1);
    if (text == NULL)
        return NULL;
    va_start(ap, fmt);
    vsnprintf(text, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return text;
}

bool aisys_arena_failed(const struct aisys_arena *arena)
{
    return arena->failed;
}

static void *protobuf_alloc(void *data, size_t bytes)
{
    return aisys_arena_alloc(data, bytes);
}

static void protobuf_free(void *data, void *memory)
{
    (void)data;
    (void)memory;
}

ProtobufCAllocator aisys_arena_protobuf(struct aisys_arena *arena)
{
    return (ProtobufCAllocator){
        .alloc = protobuf_alloc,
        .free = protobuf_free,
        .allocator_data = arena,
    };
}
