/* A table of equal elements that never move: chunks, and a free list of indices through the elements'
 * own first four bytes while they are free. Elements are zeroed when their chunk is made, and keep
 * what their last user left: a generation in them survives.
 *
 * Errors: NULL when the maximum or memory is reached. */
#ifndef AISYS_CORE_TABLE_H
#define AISYS_CORE_TABLE_H

#include "arena.h"
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TABLE_CHUNK_SHIFT 8
#define TABLE_CHUNK       (1u << TABLE_CHUNK_SHIFT)

struct table {
    unsigned char **chunks;
    uint32_t chunks_nr, chunks_size;
    uint32_t element_bytes;
    uint32_t used;    /* elements in use */
    uint32_t touched; /* elements ever used: all below have been handed out */
    uint32_t max;
    uint32_t free_head;                   /* index + 1; 0: none */
    const struct aisys_allocator *memory; /* borrowed */
};

void aisys_table_init(
    struct table *table, const struct aisys_allocator *memory, size_t element_bytes, uint32_t max);
void aisys_table_deinit(struct table *table);

static inline void *table_at(const struct table *table, uint32_t index)
{
    return table->chunks[index >> TABLE_CHUNK_SHIFT] +
           (size_t)(index & (TABLE_CHUNK - 1)) * table->element_bytes;
}

/* The element with @index, or NULL when it was never handed out. */
static inline void *table_get(const struct table *table, uint32_t index)
{
    return index < table->touched ? table_at(table, index) : NULL;
}

/* aisys_table_take() when no element is free: one that was never used. */
void *aisys_table_take_new(struct table *table, uint32_t *ret_index);

/* @link_offset: where in the element the free list may keep four bytes. */
static inline void *aisys_table_take(struct table *table, size_t link_offset, uint32_t *ret_index)
{
    unsigned char *element;

    if (!table->free_head)
        return aisys_table_take_new(table, ret_index);
    *ret_index = table->free_head - 1;
    element = table_at(table, *ret_index);
    memcpy(&table->free_head, element + link_offset, sizeof(table->free_head));
    table->used++;
    return element;
}

/* @element, which is @index, is free. */
static inline void aisys_table_give(
    struct table *table, size_t link_offset, void *element, uint32_t index)
{
    memcpy((unsigned char *)element + link_offset, &table->free_head, sizeof(table->free_head));
    table->free_head = index + 1;
    table->used--;
}

#endif
