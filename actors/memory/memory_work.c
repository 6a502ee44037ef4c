#include "memory/memory_orchestrator.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- What a failure leaves behind ------------------------------------------------------------ */

/* An actor that fails (a check, no memory) is torn down without stop(). The next start of the same actor
 * finds here, and releases, what the last one left. Loop thread. */
#define HEAPS_MAX 16

static struct memory_kept {
    struct aisys_id owner;
    struct memory_heap *heap; /* NULL: a free place */
} memory_kept[HEAPS_MAX];

static void work_clear(struct memory_work *work)
{
    memory_prepared_free(work->prepared);
    if (work->search != NULL)
        memory_search_deinit(work->search);
    free(work->search);
    free(work->near);
    free(work->ids);
    free(work->slots);
}

static void heap_free(struct memory_heap *heap)
{
    for (uint32_t i = 0; i < heap->n_works; i++) {
        work_clear(heap->works[i]);
        free(heap->works[i]);
    }
    free(heap->works);
    memory_rows_free(heap->rows);
    free(heap);
}

void memory_heap_give(struct aisys_id owner)
{
    for (unsigned i = 0; i < HEAPS_MAX; i++) {
        if (memory_kept[i].heap == NULL || !aisys_id_equal(memory_kept[i].owner, owner))
            continue;
        heap_free(memory_kept[i].heap);
        memory_kept[i].heap = NULL;
    }
}

/* The module goes, at the end of the process: what the last ones left goes with it. */
__attribute__((destructor)) static void memory_heap_give_all(void)
{
    for (unsigned i = 0; i < HEAPS_MAX; i++) {
        if (memory_kept[i].heap != NULL)
            heap_free(memory_kept[i].heap);
        memory_kept[i].heap = NULL;
    }
}

struct memory_heap *memory_heap_take(struct aisys_id owner)
{
    struct memory_heap *heap;

    memory_heap_give(owner);
    for (unsigned i = 0; i < HEAPS_MAX; i++) {
        if (memory_kept[i].heap != NULL)
            continue;
        heap = calloc(1, sizeof(*heap));
        if (heap == NULL)
            return NULL;
        heap->rows = memory_rows_new();
        if (heap->rows == NULL) {
            free(heap);
            return NULL;
        }
        memory_kept[i] = (struct memory_kept){ owner, heap };
        return heap;
    }
    return NULL;
}

#define OWN_MS  60000 /* what nobody waits for */
#define STOP_MS 2000  /* but for stop() */

/* ---- Work ------------------------------------------------------------------------------------ */

/* A token is the index in the lower half and, above it, how often that place was used. */
struct memory_work *memory_work_new(struct memory_state *m, aisys_reply reply)
{
    struct memory_heap *heap = m->heap;
    struct memory_work *work;
    uint32_t index, uses = 0;

    if (heap->free == 0) {
        if (heap->n_works == heap->works_room) {
            const uint32_t room = heap->works_room * 2 + 16;
            struct memory_work **works = realloc(heap->works, room * sizeof(struct memory_work *));

            if (works == NULL)
                return NULL;
            heap->works = works;
            heap->works_room = room;
        }
        work = calloc(1, sizeof(*work));
        if (work == NULL)
            return NULL;
        index = heap->n_works++;
        heap->works[index] = work;
    } else {
        index = heap->free - 1;
        work = heap->works[index];
        heap->free = work->next_free;
        uses = (uint32_t)work->n_near; /* kept there meanwhile */
    }
    *work = (struct memory_work){ .token = (uint64_t)(uses + 1) << 32 | index, .reply = reply };
    return work;
}

struct memory_work *memory_work_find(struct memory_state *m, uint64_t token)
{
    const uint32_t index = (uint32_t)token;

    if (token == 0 || index >= m->heap->n_works || m->heap->works[index]->token != token)
        return NULL;
    return m->heap->works[index];
}

/* Is any work open that knows rows by their slots? */
static bool work_holds_slots(const struct memory_heap *heap)
{
    for (uint32_t i = 0; i < heap->n_works; i++) {
        const struct memory_work *work = heap->works[i];

        if (work->token != 0 && (work->search != NULL || work->slots != NULL))
            return true;
    }
    return false;
}

/* Give the slots of what was forgotten back. While a scan runs that nobody waits for any more: later. */
static void work_compact(struct memory_heap *heap)
{
    if (memory_rows_sparse(heap->rows) && !work_holds_slots(heap))
        memory_rows_compact(heap->rows);
}

void memory_work_end(struct memory_state *m, struct memory_work *work)
{
    const uint64_t token = work->token;

    m->in_flight -= work->counted;
    work_clear(work);
    *work = (struct memory_work){ .next_free = m->heap->free, .n_near = (uint32_t)(token >> 32) };
    m->heap->free = (uint32_t)token + 1;
    work_compact(m->heap);
}

struct aisys_then memory_then(
    struct aisys_actor *self, const struct memory_work *work, unsigned continuation)
{
    const struct memory_state *m = aisys_state(self);
    const uint32_t left = work->reply != 0 ? aisys_reply_remaining_ms(self, work->reply)
                          : m->stopping    ? STOP_MS
                                           : OWN_MS;

    return (struct aisys_then){
        .token = work->token, .deadline_ms = left, .continuation = (uint16_t)continuation
    };
}

void memory_stop_now(struct aisys_actor *self)
{
    memory_heap_give(aisys_self(self));
    aisys_stopped(self);
}

/* End @work; when nobody asked for it, whoever waits for its end goes on. */
static void memory_work_end_own(
    struct aisys_actor *self, struct memory_work *work, const char *words)
{
    struct memory_state *m = aisys_state(self);
    const bool own = work->reply == 0 && work->consolidates;

    memory_work_end(m, work);
    if (!own)
        return;
    m->consolidating = false;
    aisys_log(self, AISYS_WARNING, "memory_consolidate_failed", "why=\"%s\"", words);
    if (m->saving)
        memory_stop_now(self);
}

int memory_work_fail(
    struct aisys_actor *self, struct memory_work *work, int code, const char *format, ...)
{
    char words[256];
    va_list args;

    va_start(args, format);
    vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    if (work->reply != 0)
        aisys_fail(self, work->reply, (enum aisys_code)code, "%s", words);
    memory_work_end_own(self, work, words);
    return 0;
}

int memory_work_refused(struct aisys_actor *self, struct memory_work *work, int rc)
{
    return memory_work_fail(self, work, rc == -EINVAL ? AISYS_INTERNAL : AISYS_RESOURCE_EXHAUSTED,
        rc == -ENOMEM ? "out of memory" : "too many requests are waiting; try again later");
}

int memory_run(struct aisys_actor *self, struct memory_work *work, enum aisys_db_mode mode,
    const struct memory_list *list, unsigned continuation)
{
    struct memory_state *m = aisys_state(self);
    const int rc = aisys_db_exec(
        self, m->db, mode, list->stmts, list->n, memory_then(self, work, continuation));

    if (rc != 0)
        memory_work_refused(self, work, rc);
    return rc;
}

void memory_note(struct aisys_actor *self, const struct aisys_end *end)
{
    struct memory_state *m = aisys_state(self);
    const bool was_well = m->trouble[0] == '\0';

    switch (end->code) {
    case AISYS_OK:
        if (!was_well && !m->away)
            aisys_log(self, AISYS_INFO, "memory_writes_again", "was=\"%s\"", m->trouble);
        m->trouble[0] = '\0';
        break;
    case AISYS_RESOURCE_EXHAUSTED:
    case AISYS_UNAVAILABLE:
    case AISYS_DATA_LOSS:
    case AISYS_INTERNAL:
        snprintf(m->trouble, sizeof(m->trouble), "%.150s", end->words);
        if (was_well)
            aisys_log(self, AISYS_ERROR, "memory_cannot_write", "why=\"%s\"", m->trouble);
        break;
    default:
        break;
    }
}
