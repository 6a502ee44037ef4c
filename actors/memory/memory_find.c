/* Get and Search.
 *
 *     Search   words not counted yet?  --counts-->  full text and vectors, side by side  --> rank
 *              --texts of the hits--> answer
 */
#include "memory/memory_orchestrator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memory/words.h"

#define SCAN_SLOTS_MIN 131072 /* fewer are not worth another job */

/* A count is good while the number of memories has not changed by an eighth. */
#define COUNT_DRIFT 8

/* ---- Counts of words ------------------------------------------------------------------------- */

static struct memory_count *find_count(
    struct memory_state *m, const struct memory_query_word *word, uint64_t *ret_hash)
{
    *ret_hash = memory_name_hash(word->text, word->bytes);
    return &m->counts[*ret_hash % MEMORY_COUNTS];
}

/* Fill in what is known; the words that are not. */
static unsigned find_unknown(
    struct memory_state *m, struct memory_query *query, const char **ret_words)
{
    const uint32_t living = memory_rows_living(m->heap->rows);
    unsigned n = 0;

    for (unsigned i = 0; i < query->n; i++) {
        uint64_t hash;
        const struct memory_count *c = find_count(m, &query->words[i], &hash);
        const uint32_t drift = c->living > living ? c->living - living : living - c->living;

        if (c->word == hash && drift <= c->living / COUNT_DRIFT)
            query->words[i].rows = c->rows;
        else
            ret_words[n++] = query->words[i].text;
    }
    return n;
}

static void find_learn(
    struct memory_state *m, struct memory_query *query, const struct aisys_db_result *result)
{
    for (unsigned i = 0; i < query->n; i++) {
        struct memory_query_word *word = &query->words[i];
        struct memory_count *c;
        uint64_t hash;

        if (word->rows >= 0)
            continue;
        word->rows = 0;
        for (unsigned s = 0; s < result->n_done; s++) {
            struct aisys_db_rows rows;

            aisys_db_rows(result, s, &rows);
            while (aisys_db_next(&rows)) {
                if (strcmp(aisys_db_column_text(&rows, 0, NULL), word->text) == 0)
                    word->rows = aisys_db_column_int(&rows, 1);
            }
        }
        c = find_count(m, word, &hash);
        *c = (struct memory_count){ hash, (uint32_t)word->rows, memory_rows_living(m->heap->rows) };
    }
}

/* ---- The end of a search --------------------------------------------------------------------- */

/* The hits are known: their texts. */
static int find_fetch(struct aisys_actor *self, struct memory_work *work)
{
    const struct memory_search *search = work->search;
    int64_t ids[MEMORY_K_MAX];
    struct memory_list list;
    char *json;

    for (unsigned i = 0; i < search->n; i++)
        ids[i] = search->candidates[i].id;
    json = memory_json_ids(ids, search->n);
    if (json == NULL)
        return memory_work_refused(self, work, -ENOMEM);
    memory_list_fetch(&list, json);
    memory_run(self, work, AISYS_DB_READ, &list, MEMORY_ON_FETCH);
    free(json);
    return 0;
}

int memory_on_fetch(struct aisys_actor *self, const struct aisys_end *end)
{
    struct memory_work *work = memory_work_find(aisys_state(self), end->token);

    if (work == NULL)
        return 0;
    if (end->code != AISYS_OK)
        return memory_work_fail(self, work, end->code, "%s", end->words);
    return memory_answer_found(self, work, end->result);
}

/* One of the two lists is here, or will not come. */
static int find_step(struct aisys_actor *self, struct memory_work *work)
{
    struct memory_state *m = aisys_state(self);

    if (--work->open > 0)
        return 0;
    if (work->code != AISYS_OK)
        return memory_work_fail(self, work, work->code, "%s", work->words);
    memory_search_add_near(work->search, m->heap->rows, work->near, work->n_near);
    memory_search_rank(work->search, m->heap->rows, &m->half_lives, &m->params);
    return find_fetch(self, work);
}

static void find_went_wrong(struct memory_work *work, int code, const char *words)
{
    if (work->code != AISYS_OK)
        return;
    work->code = code;
    strncpy(work->words, words, sizeof(work->words) - 1);
}

int memory_on_match(struct aisys_actor *self, const struct aisys_end *end)
{
    struct memory_state *m = aisys_state(self);
    struct memory_work *work = memory_work_find(m, end->token);

    if (work == NULL)
        return 0;
    if (end->code == AISYS_OK)
        memory_search_add_text(work->search, m->heap->rows, end->result);
    else
        find_went_wrong(work, end->code, end->words);
    return find_step(self, work);
}

/* ---- Vectors --------------------------------------------------------------------------------- */

/* What a scan owns, and its result. */
struct find_scan {
    struct memory_vectors *vectors; /* shared */
    uint64_t *filter;               /* owned: the words begin..end of the selection */
    int8_t vector[MEMORY_VECTOR_BYTES];
    uint32_t begin, end, k;
    uint32_t n;
    struct memory_near near[MEMORY_DEPTH_MAX];
};

static void find_scan_free(void *input)
{
    struct find_scan *scan = input;

    memory_vectors_unref(scan->vectors);
    free(scan->filter);
    free(scan);
}

static void find_scan_run(struct aisys_job *job)
{
    struct find_scan **input = aisys_job_input(job), *s = *input;
    const struct memory_scan scan = { s->vector, s->filter, s->begin, s->end, s->k };

    *input = NULL;
    s->n = memory_vectors_scan(s->vectors, &scan, s->near);
    aisys_job_result(job, s, find_scan_free);
}

static void find_input_free(void *input)
{
    struct find_scan **scan = input;

    if (*scan != NULL)
        find_scan_free(*scan);
    free(scan);
}

static int find_scan_range(
    struct aisys_actor *self, struct memory_work *work, uint32_t begin, uint32_t end)
{
    struct memory_state *m = aisys_state(self);
    const size_t filter_bytes = ((size_t)end / 64 + 1) * sizeof(uint64_t);
    struct find_scan **input = calloc(1, sizeof(struct find_scan *));
    struct find_scan *scan = calloc(1, sizeof(*scan));
    int rc;

    if (input == NULL || scan == NULL || (scan->filter = malloc(filter_bytes)) == NULL) {
        free(input);
        free(scan);
        return -ENOMEM;
    }
    *input = scan;
    memcpy(scan->filter, work->search->selection.bits, filter_bytes);
    memcpy(scan->vector, work->search->vector, sizeof(scan->vector));
    scan->vectors = memory_vectors_ref(memory_rows_vectors(m->heap->rows));
    scan->begin = begin;
    scan->end = end;
    scan->k = work->search->depth;
    rc = aisys_job(self, AISYS_LANE_MEMORY, find_scan_run,
        (struct aisys_job_input){ input, find_input_free },
        memory_then(self, work, MEMORY_ON_SCAN));
    if (rc != 0)
        find_input_free(input);
    else
        work->open++;
    return rc;
}

/* In as many ranges as there are jobs that may pay. */
static int find_scans(struct aisys_actor *self, struct memory_work *work)
{
    const uint32_t slots = work->search->selection.n_slots;
    uint32_t n = slots / SCAN_SLOTS_MIN + 1;
    int rc = 0;

    work->near = malloc(work->search->depth * sizeof(*work->near));
    if (work->near == NULL)
        return -ENOMEM;
    n = n < MEMORY_SCANS_MAX ? n : MEMORY_SCANS_MAX;
    for (uint32_t i = 0; i < n && rc == 0; i++)
        rc = find_scan_range(self, work, (uint32_t)((uint64_t)slots * i / n),
            (uint32_t)((uint64_t)slots * (i + 1) / n));
    return rc;
}

int memory_on_scan(struct aisys_actor *self, const struct aisys_end *end)
{
    struct memory_work *work = memory_work_find(aisys_state(self), end->token);
    const struct find_scan *scan = end->result;

    if (work == NULL)
        return 0;
    if (end->code == AISYS_OK)
        work->n_near =
            memory_near_merge(work->near, work->n_near, scan->near, scan->n, work->search->depth);
    else
        find_went_wrong(work, end->code, end->words);
    return find_step(self, work);
}

/* ---- The way there --------------------------------------------------------------------------- */

/* Words are counted: begin what may run side by side. What was begun before a refusal ends into nothing. */
static int find_lists(struct aisys_actor *self, struct memory_work *work)
{
    struct memory_state *m = aisys_state(self);
    struct memory_search *search = work->search;
    const struct memory_match match = { &search->query, memory_rows_living(m->heap->rows),
        &search->selection, NULL, search->depth };
    struct memory_list list = { .n = 0 };
    int rc = 0;

    memory_query_decide(&search->query, match.n_rows);
    work->open = 1; /* this function */
    if (search->mode != MEMORY_VECTOR)
        memory_list_match(&list, &match);
    if (list.n > 0) {
        rc = aisys_db_exec(self, m->db, AISYS_DB_READ, list.stmts, list.n,
            memory_then(self, work, MEMORY_ON_MATCH));
        work->open += rc == 0;
    }
    if (rc == 0 && search->has_vector && search->selection.n > 0)
        rc = find_scans(self, work);
    if (rc != 0)
        return memory_work_refused(self, work, rc);
    return find_step(self, work);
}

int memory_on_counts(struct aisys_actor *self, const struct aisys_end *end)
{
    struct memory_state *m = aisys_state(self);
    struct memory_work *work = memory_work_find(m, end->token);

    if (work == NULL)
        return 0;
    if (end->code != AISYS_OK)
        return memory_work_fail(self, work, end->code, "%s", end->words);
    find_learn(m, &work->search->query, end->result);
    return find_lists(self, work);
}

/* A work with a search of @k; NULL: out of memory. */
static struct memory_work *find_work(struct memory_state *m, aisys_reply reply, unsigned k)
{
    struct memory_work *work = memory_work_new(m, reply);

    if (work == NULL)
        return NULL;
    work->search = calloc(1, sizeof(*work->search));
    if (work->search == NULL) {
        memory_work_end(m, work);
        return NULL;
    }
    work->kind = MEMORY_WORK_SEARCH;
    work->search->k = k;
    return work;
}

int memory_search(struct aisys_actor *self, const void *request, aisys_reply reply)
{
    const Aisys__Memory__SearchRequest *r = request;
    const char *query = r->query != NULL ? r->query : "";
    const char *unknown[MEMORY_QUERY_WORDS];
    struct memory_state *m = aisys_state(self);
    struct memory_work *work;
    struct memory_list list;
    unsigned n;

    if (memory_utf8_check(query, strlen(query)) != 0) {
        aisys_fail(self, reply, AISYS_INVALID_ARGUMENT, "query: is not UTF-8");
        return 0;
    }
    work = find_work(m, reply, r->k < 1 ? 1 : r->k > MEMORY_K_MAX ? MEMORY_K_MAX : r->k);
    if (work == NULL)
        return -ENOMEM;
    work->search->mode = (enum memory_mode)r->mode;
    work->search->min_score = r->min_score;
    memory_filter_fill(&work->search->filter,
        &(struct memory_filter_fields){ r->kind, r->n_kind, r->tags, r->n_tags, r->session,
            r->has_since ? &r->since : NULL, r->has_until ? &r->until : NULL,
            r->include_superseded },
        aisys_wall_ms(self));
    if (memory_search_begin(work->search, m->heap->rows, query, strlen(query)) < 0)
        return memory_work_refused(self, work, -ENOMEM);

    if (query[0] == '\0') {
        memory_search_newest(work->search, m->heap->rows, &m->half_lives);
        return find_fetch(self, work);
    }
    n = find_unknown(m, &work->search->query, unknown);
    if (n == 0 || work->search->mode == MEMORY_VECTOR)
        return find_lists(self, work);
    memory_list_counts(&list, unknown, n);
    memory_run(self, work, AISYS_DB_READ, &list, MEMORY_ON_COUNTS);
    return 0;
}

int64_t memory_find_slot(struct aisys_actor *self, int64_t id)
{
    const struct memory_state *m = aisys_state(self);
    const struct memory_filter all = { .include_superseded = true, .now_ms = aisys_wall_ms(self) };
    const int64_t slot = memory_rows_find(m->heap->rows, id);

    return slot >= 0 && memory_filter_match(m->heap->rows, &all, (uint32_t)slot) ? slot : -1;
}

int memory_get(struct aisys_actor *self, const void *request, aisys_reply reply)
{
    const Aisys__Memory__GetRequest *r = request;
    struct memory_state *m = aisys_state(self);
    const int64_t id = memory_id_read(r->id), slot = memory_find_slot(self, id);
    struct memory_work *work;

    if (slot < 0) {
        aisys_fail(self, reply, AISYS_NOT_FOUND, "there is no memory %s", r->id);
        return 0;
    }
    work = find_work(m, reply, 1);
    if (work == NULL)
        return -ENOMEM;
    work->kind = MEMORY_WORK_GET;
    work->search->candidates = calloc(1, sizeof(*work->search->candidates));
    if (work->search->candidates == NULL)
        return memory_work_refused(self, work, -ENOMEM);
    work->search->candidates[0] = (struct memory_candidate){ .id = id, .slot = (uint32_t)slot };
    work->search->n = 1;
    return find_fetch(self, work);
}
