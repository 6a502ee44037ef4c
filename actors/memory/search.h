/* One search from the query to the order of its hits, without the waiting: whoever runs it asks the
 * database for what memory_list_counts(), memory_list_match() and memory_list_fetch() say and scans the
 * vectors, in this order:
 *
 *     memory_search_begin       the words, the filter
 *     (counts of its words)     memory_query_decide()
 *     memory_search_add_text    what the full text query found, scored by all words and lengths
 *     memory_search_add_near    what the vectors found
 *     memory_search_rank        the k best
 *
 * Threads: one at a time. */
#ifndef AISYS_MEMORY_SEARCH_H
#define AISYS_MEMORY_SEARCH_H

#include <aisys/db.h>

#include "memory/query.h"
#include "memory/rank.h"
#include "memory/rows.h"

#define MEMORY_K_MAX       1000
#define MEMORY_DEPTH_LEAST 100 /* candidates of each list, also when fewer are wanted */
#define MEMORY_DEPTH_MAX   (MEMORY_K_MAX + 50)

enum memory_mode { MEMORY_HYBRID, MEMORY_TEXT, MEMORY_VECTOR };

struct memory_search {
    struct memory_query query;
    struct memory_filter filter;
    struct memory_selection selection; /* owned */
    enum memory_mode mode;
    unsigned k;
    unsigned depth; /* candidates wanted of each list */
    double min_score;
    const struct memory_field_weights *weights; /* NULL: the usual ones */
    int8_t vector[MEMORY_VECTOR_BYTES];
    bool has_vector;
    struct memory_candidate *candidates; /* owned; sorted after memory_search_rank() */
    unsigned n;
};

/* Recency halves in this time, by tier. */
struct memory_half_lives {
    int64_t ms[MEMORY_TIERS];
};

/* @search zeroed but for filter, mode, k and min_score. 0 or -ENOMEM. */
int memory_search_begin(
    struct memory_search *search, const struct memory_rows *rows, const char *query, size_t bytes);
void memory_search_deinit(struct memory_search *search);

/* The newest k of the selection by event time, in place of a search: for an empty query. */
void memory_search_newest(struct memory_search *search, struct memory_rows *rows,
    const struct memory_half_lives *half_lives);

void memory_search_add_text(struct memory_search *search, const struct memory_rows *rows,
    const struct aisys_db_result *result);
void memory_search_add_near(struct memory_search *search, struct memory_rows *rows,
    const struct memory_near *near, unsigned n);

/* Sort and cut to k; candidates whose records went meanwhile, or that score less than min_score, go. */
void memory_search_rank(struct memory_search *search, struct memory_rows *rows,
    const struct memory_half_lives *half_lives, const struct memory_rank_params *params);

#endif
