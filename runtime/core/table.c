#include "check.h"
#include "table.h"

#include <string.h>

void aisys_table_init(
    struct table *table, const struct aisys_allocator *memory, size_t element_bytes, uint32_t max)
{
    AISYS_CHECK(element_bytes <= UINT32_MAX);
    *table =
        (struct table){ .memory = memory, .element_bytes = (uint32_t)element_bytes, .max = max };
}

void aisys_table_deinit(struct table *table)
{
    for (uint32_t i = 0; i < table->chunks_nr; i++)
        table->memory->free(table->memory->ctx, table->chunks[i]);
    if (table->chunks)
        table->memory->free(table->memory->ctx, table->chunks);
    table->chunks = NULL;
    table->chunks_nr = table->chunks_size = table->used = table->touched = table->free_head = 0;
}

static int table_grow(struct table *table)
{
    const size_t chunk_bytes = (size_t)TABLE_CHUNK * table->element_bytes;
    unsigned char *chunk;

    if (table->chunks_nr == table->chunks_size) {
        const uint32_t size = table->chunks_size ? table->chunks_size * 2 : 16;
        unsigned char **chunks =
            table->memory->alloc(table->memory->ctx, size * sizeof(*table->chunks));

        if (!chunks)
            return -1;
        if (table->chunks) {
            memcpy(chunks, table->chunks, table->chunks_nr * sizeof(*chunks));
            table->memory->free(table->memory->ctx, table->chunks);
        }
        table->chunks = chunks;
        table->chunks_size = size;
    }
    chunk = table->memory->alloc(table->memory->ctx, chunk_bytes);
    if (!chunk)
        return -1;
    memset(chunk, 0, chunk_bytes);
    table->chunks[table->chunks_nr++] = chunk;
    return 0;
}

void *aisys_table_take_new(struct table *table, uint32_t *ret_index)
{
    if (table->touched >= table->max)
        return NULL;
    if (table->touched == table->chunks_nr * TABLE_CHUNK && table_grow(table) < 0)
        return NULL;
    *ret_index = table->touched++;
    table->used++;
    return table_at(table, *ret_index);
}
