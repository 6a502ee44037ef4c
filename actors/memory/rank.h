/* From two lists of candidates (full text, vectors) to one order.
 *
 * The lists are fused by reciprocal rank: what stands at place r of a list gets weight / (constant + r).
 * That is the relevance, 1 for the first of both lists. Recency (halved with every half-life of the
 * record's tier) and importance then take away a small part of it.
 *
 * Threads: any; pure. */
#ifndef AISYS_MEMORY_RANK_H
#define AISYS_MEMORY_RANK_H

#include <stdbool.h>
#include <stdint.h>

struct memory_rank_params {
    double constant; /* of the reciprocal rank */
    double text_weight;
    double vector_weight;
    double recency_share;    /* of the score that an old record loses */
    double importance_share; /* and an unimportant one */
    double cosine_least;     /* a vector farther than this is no candidate */
};

/* Chosen by the trials in docs/memory-search.md. */
extern const struct memory_rank_params memory_rank_defaults;

struct memory_candidate {
    int64_t id;
    double text;    /* BM25, larger is better; 0: not found by its text */
    double cosine;  /* of the vectors; below cosine_least: not found by its vector */
    double recency; /* 0..1 */
    double importance;
    double score; /* 0..1; by memory_rank() */
    double text_part, vector_part;
    uint32_t slot;
};

/* 1 for what happens now, half for what is one half-life old; the future is now. */
double memory_recency(int64_t event_ms, int64_t now_ms, int64_t half_life_ms);

/* Work out the scores of @n candidates (each id once) and sort them: the best first, then the newer.
 * @use_text and @use_vectors: which lists there are. Candidates of neither list score 0. */
void memory_rank(struct memory_candidate *candidates, unsigned n, bool use_text, bool use_vectors,
    const struct memory_rank_params *params);

#endif
