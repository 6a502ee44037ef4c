/* An arena: memory that is handed out piece by piece and given back all at once. A request's
 * decoded message, the tree it came from and the reply live in one that dies with the reply.
 *
 * Every arena has a limit, so that an input cannot cost more than its limit whatever it says.
 * Pieces are aligned for any type. There is no free of one piece.
 *
 * Threads: one at a time.
 * Errors:  functions that return memory return NULL when the limit or the memory is exhausted, and
 *          the arena remembers it (aisys_arena_failed), so that a builder may check once. */
#ifndef AISYS_CORE_ARENA_H
#define AISYS_CORE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

/* Where memory comes from: an actor's account, a test that fails the n-th call, or the heap.
 * alloc may return NULL; free gets what alloc returned, never NULL. */
struct aisys_allocator {
    void *(*alloc)(void *ctx, size_t bytes);
    void (*free)(void *ctx, void *memory);
    void *ctx;
};

/* The C library's heap. */
extern const struct aisys_allocator aisys_allocator_heap;

struct aisys_arena_chunk;

/* Visible so that it can live in another struct; use the functions. */
struct aisys_arena {
    const struct aisys_allocator *from; /* borrowed until deinit */
    struct aisys_arena_chunk *chunks;   /* newest first; owned */
    char *at;                           /* free part of the newest chunk */
    char *end;
    size_t used_bytes;  /* taken from the allocator */
    size_t limit_bytes; /* of used_bytes */
    bool failed;
};

/* Empty: takes nothing until the first piece. @from is borrowed, NULL is the heap. */
void aisys_arena_init(
    struct aisys_arena *arena, const struct aisys_allocator *from, size_t limit_bytes);

/* Gives everything back. Accepts an arena that was only zeroed. */
void aisys_arena_deinit(struct aisys_arena *arena);

/* deinit and init with the same allocator and limit. */
void aisys_arena_reset(struct aisys_arena *arena);

/* @bytes of memory, not cleared; a valid pointer for 0 too. */
void *aisys_arena_alloc(struct aisys_arena *arena, size_t bytes);

/* @count times @bytes, cleared; NULL when the product does not fit either. */
void *aisys_arena_calloc(struct aisys_arena *arena, size_t count, size_t bytes);

/* A copy of @bytes of @from, with a NUL behind it. */
char *aisys_arena_copy(struct aisys_arena *arena, const void *from, size_t bytes);
char *aisys_arena_strdup(struct aisys_arena *arena, const char *from);
char *aisys_arena_printf(struct aisys_arena *arena, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Whether any of the above has returned NULL since init. */
bool aisys_arena_failed(const struct aisys_arena *arena);

/* An allocator for protobuf-c that takes from @arena (borrowed) and whose free does nothing. */
ProtobufCAllocator aisys_arena_protobuf(struct aisys_arena *arena);

#endif
