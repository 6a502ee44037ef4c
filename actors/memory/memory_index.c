/* Changes of the index, which is all there is when the records live in SQLite. */
#include "memory/memory_orchestrator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t index_least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

uint32_t memory_next_ids(const struct memory_work *work)
{
    return index_least(work->n_ids - work->ids_done, MEMORY_FORGET_AT_ONCE);
}

uint32_t memory_next_slots(const struct memory_work *work)
{
    return memory_next_ids(work) > 0
               ? 0
               : index_least(work->n_slots - work->slots_done, MEMORY_SAVE_AT_ONCE);
}

/* The next rows to be saved, as JSON; NULL: out of memory. */
static char *index_rows(struct memory_state *m, const struct memory_work *work, uint32_t n)
{
    char *json = malloc((size_t)n * 120 + 3), *at = json;

    if (json == NULL)
        return NULL;
    *at++ = '[';
    for (uint32_t i = 0; i < n; i++) {
        const struct memory_row *row =
            memory_rows_at(m->heap->rows, work->slots[work->slots_done + i]);

        at += sprintf(at, "%s[%lld,%u,%lld,%u,%lld]", i > 0 ? "," : "", (long long)row->id,
            row->tier, (long long)row->tier_ms, row->hits, (long long)row->used_ms);
    }
    strcpy(at, "]");
    return json;
}

static int index_change_many(struct aisys_actor *self, struct memory_work *work)
{
    struct memory_state *m = aisys_state(self);
    const uint32_t ids = memory_next_ids(work);
    char *json = ids > 0 ? memory_json_ids(work->ids + work->ids_done, ids)
                         : index_rows(m, work, memory_next_slots(work));
    struct memory_list list;
    int rc;

    if (json == NULL) {
        memory_work_refused(self, work, -ENOMEM);
        return -ENOMEM;
    }
    if (ids > 0)
        memory_list_forget(&list, json);
    else
        memory_list_use(&list, json);
    rc = memory_run(self, work, AISYS_DB_WRITE, &list, MEMORY_ON_CHANGED);
    free(json);
    return rc;
}

int memory_index_change(struct aisys_actor *self, struct memory_work *work)
{
    struct memory_list list;
    char date[128];

    switch (work->kind) {
    case MEMORY_WORK_STORE:
        memory_list_store(&list, &work->prepared->record, date);
        return memory_run(self, work, AISYS_DB_WRITE, &list, MEMORY_ON_STORED);
    case MEMORY_WORK_RELATE:
        memory_list_relate(&list, work->from, work->words, work->to, work->weight);
        return memory_run(self, work, AISYS_DB_WRITE, &list, MEMORY_ON_RELATED);
    default:
        return index_change_many(self, work);
    }
}

static void index_settled(struct aisys_actor *self, const struct memory_work *work)
{
    (void)self;
    (void)work;
}

const struct memory_store memory_store_sqlite = {
    .backend = "sqlite",
    .durability = "on the disk before it is answered (WAL, synchronous=FULL)",
    .keep = memory_index_change,
    .settled = index_settled,
};
