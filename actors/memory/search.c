#include "memory/search.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memory/embed.h"

/* Of a longer query the beginning counts: this is done on the loop. */
#define QUERY_BYTES_MAX 4096

int memory_search_begin(
    struct memory_search *search, const struct memory_rows *rows, const char *query, size_t bytes)
{
    int rc;

    if (bytes > QUERY_BYTES_MAX)
        bytes = QUERY_BYTES_MAX;
    memory_query_parse(query, bytes, &search->query);
    search->depth = search->k + 50 > MEMORY_DEPTH_LEAST ? search->k + 50 : MEMORY_DEPTH_LEAST;
    if (search->mode != MEMORY_TEXT)
        search->has_vector = memory_embedder_lexical.embed(query, bytes, search->vector);
    rc = memory_select(rows, &search->filter, &search->selection);
    if (rc < 0)
        return rc;
    search->candidates = calloc((size_t)search->depth * 3, sizeof(*search->candidates));
    return search->candidates != NULL ? 0 : -ENOMEM;
}

void memory_search_deinit(struct memory_search *search)
{
    memory_selection_deinit(&search->selection);
    free(search->candidates);
    search->candidates = NULL;
}

/* The candidate for @slot: an old one, or a new one if there is room. */
static struct memory_candidate *search_candidate(
    struct memory_search *search, int64_t id, uint32_t slot, unsigned n_before)
{
    struct memory_candidate *c;

    for (unsigned i = 0; i < n_before; i++) {
        if (search->candidates[i].slot == slot)
            return &search->candidates[i];
    }
    if (search->n == search->depth * 3)
        return NULL;
    c = &search->candidates[search->n++];
    *c = (struct memory_candidate){ .id = id, .slot = slot };
    return c;
}

static unsigned search_words(const char *normal)
{
    unsigned n = 0;

    while (*normal != '\0') {
        n += *normal != ' ';
        normal += strcspn(normal, " ");
        normal += *normal == ' ';
    }
    return n;
}

/* The words of a record, those of its neighbours by their weight. */
static double search_length(
    const struct memory_field_weights *weights, const struct memory_fields *fields)
{
    return weights->words * search_words(fields->words) +
           weights->before * search_words(fields->before) +
           weights->after * search_words(fields->after);
}

static struct memory_fields search_fields(const struct aisys_db_rows *found)
{
    return (struct memory_fields){ aisys_db_column_text(found, 1, NULL),
        aisys_db_column_text(found, 2, NULL), aisys_db_column_text(found, 3, NULL),
        aisys_db_column_text(found, 4, NULL) };
}

/* The mean length of the records that @result found. */
static double search_mean(
    const struct memory_field_weights *weights, const struct aisys_db_result *result)
{
    double sum = 0;
    unsigned n = 0;

    for (unsigned s = 0; s < result->n_done; s++) {
        struct aisys_db_rows found;

        aisys_db_rows(result, s, &found);
        for (; aisys_db_next(&found); n++) {
            const struct memory_fields fields = search_fields(&found);

            sum += search_length(weights, &fields);
        }
    }
    return sum > 0 ? sum / n : 1;
}

void memory_search_add_text(struct memory_search *search, const struct memory_rows *rows,
    const struct aisys_db_result *result)
{
    const struct memory_field_weights *weights =
        search->weights != NULL ? search->weights : &memory_field_weights;
    const double mean = search_mean(weights, result);

    for (unsigned s = 0; s < result->n_done; s++) {
        const unsigned n_before = search->n;
        struct aisys_db_rows found;

        aisys_db_rows(result, s, &found);
        while (aisys_db_next(&found)) {
            const struct memory_fields fields = search_fields(&found);
            const int64_t id = aisys_db_column_int(&found, 0), slot = memory_rows_find(rows, id);
            struct memory_candidate *c =
                slot >= 0 ? search_candidate(search, id, (uint32_t)slot, n_before) : NULL;

            if (c != NULL)
                c->text = memory_query_score(&search->query, memory_rows_living(rows), weights,
                    &fields, search_length(weights, &fields) / mean);
        }
    }
}

void memory_search_add_near(struct memory_search *search, struct memory_rows *rows,
    const struct memory_near *near, unsigned n)
{
    const unsigned n_before = search->n;

    for (unsigned i = 0; i < n; i++) {
        struct memory_candidate *c = search_candidate(
            search, memory_rows_at(rows, near[i].slot)->id, near[i].slot, n_before);

        if (c != NULL)
            c->cosine = near[i].product / (MEMORY_EMBED_LENGTH * MEMORY_EMBED_LENGTH);
    }
}

void memory_search_rank(struct memory_search *search, struct memory_rows *rows,
    const struct memory_half_lives *half_lives, const struct memory_rank_params *params)
{
    unsigned n = 0;

    for (unsigned i = 0; i < search->n; i++) {
        struct memory_candidate *c = &search->candidates[i];
        const struct memory_row *row = memory_rows_at(rows, c->slot);

        if (!memory_filter_match(rows, &search->filter, c->slot))
            continue;
        c->recency =
            memory_recency(row->event_ms, search->filter.now_ms, half_lives->ms[row->tier]);
        c->importance = (double)row->importance;
        search->candidates[n++] = *c;
    }
    memory_rank(
        search->candidates, n, search->mode != MEMORY_VECTOR, search->mode != MEMORY_TEXT, params);
    while (n > 0 && (n > search->k || search->candidates[n - 1].score <= 0 ||
                        search->candidates[n - 1].score < search->min_score))
        n--;
    search->n = n;
}

/* ---- Newest first --------------------------------------------------------------------------- */

static int search_newer(const void *a, const void *b)
{
    const struct memory_candidate *x = a, *y = b;

    if (x->recency != y->recency) /* holds the event time meanwhile */
        return x->recency > y->recency ? -1 : 1;
    return x->id > y->id ? -1 : x->id < y->id;
}

/* Keeps twice k at most and cuts to k whenever that is full: no sort of all there is. */
void memory_search_newest(struct memory_search *search, struct memory_rows *rows,
    const struct memory_half_lives *half_lives)
{
    const unsigned room = search->depth * 2;
    unsigned n = 0;

    for (uint32_t slot = 0; slot < search->selection.n_slots; slot++) {
        const struct memory_row *row = memory_rows_at(rows, slot);

        if ((search->selection.bits[slot / 64] >> slot % 64 & 1) == 0)
            continue;
        if (n == room) {
            qsort(search->candidates, n, sizeof(*search->candidates), search_newer);
            n = search->k;
        }
        search->candidates[n++] = (struct memory_candidate){ .id = row->id,
            .slot = slot,
            .recency = (double)row->event_ms,
            .importance = (double)row->importance };
    }
    qsort(search->candidates, n, sizeof(*search->candidates), search_newer);
    search->n = n < search->k ? n : search->k;
    for (unsigned i = 0; i < search->n; i++) {
        struct memory_candidate *c = &search->candidates[i];
        const struct memory_row *row = memory_rows_at(rows, c->slot);

        c->recency =
            memory_recency(row->event_ms, search->filter.now_ms, half_lives->ms[row->tier]);
        c->score = 1;
    }
}
