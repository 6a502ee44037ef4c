#include "scratch.h"

#include <stdarg.h>
#include <stdio.h>

#define CHUNK_BYTES 8192u
#define ALIGNMENT   _Alignof(max_align_t)

struct scratch_chunk {
    struct scratch_chunk *next;
    size_t used, bytes;
    _Alignas(max_align_t) unsigned char data[];
};

void *scratch_alloc(struct scratch *scratch, size_t bytes)
{
    const size_t whole = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    struct scratch_chunk *chunk = scratch->chunks;
    void *p;

    if (scratch->failed)
        return NULL;
    if (!chunk || whole > chunk->bytes - chunk->used) {
        const size_t room = whole > CHUNK_BYTES ? whole : CHUNK_BYTES;

        chunk = aisys_alloc(scratch->self, sizeof(*chunk) + room);
        if (!chunk) {
            scratch->failed = true;
            return NULL;
        }
        chunk->bytes = room;
        chunk->next = scratch->chunks;
        scratch->chunks = chunk;
    }
    p = chunk->data + chunk->used;
    chunk->used += whole;
    return p;
}

char *scratch_text(struct scratch *scratch, const char *format, ...)
{
    static char nothing[1];
    va_list ap, again;
    char *text;
    int n;

    va_start(ap, format);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    text = n >= 0 ? scratch_alloc(scratch, (size_t)n + 1) : NULL;
    if (text)
        vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text ? text : nothing;
}

void scratch_deinit(struct scratch *scratch)
{
    while (scratch->chunks) {
        struct scratch_chunk *chunk = scratch->chunks;

        scratch->chunks = chunk->next;
        aisys_free(scratch->self, chunk);
    }
}

static void snapshot_count(void *ctx, const struct aisys_actor_info *info)
{
    (void)info;
    ++*(size_t *)ctx;
}

static void snapshot_add(void *ctx, const struct aisys_actor_info *info)
{
    struct snapshot *snapshot = ctx;

    snapshot->actors[snapshot->nr++] = *info;
}

bool snapshot_take(struct scratch *scratch, struct snapshot *ret_snapshot)
{
    struct snapshot snapshot = { 0 };
    size_t nr = 0;

    aisys_system_each(scratch->self, snapshot_count, &nr);
    snapshot.actors = scratch_alloc(scratch, nr * sizeof(*snapshot.actors));
    if (!snapshot.actors)
        return false;
    aisys_system_each(scratch->self, snapshot_add, &snapshot);
    *ret_snapshot = snapshot;
    return true;
}
