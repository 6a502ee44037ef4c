/* A search's words, and the full text query made of them.
 *
 * Stop words leave the query. Words that are in more than 2 % of the records (and in more than
 * MEMORY_COMMON_LEAST) would cost most of the time and tell least: they only re-rank what the others
 * found. When nothing would be left, all words count.
 *
 * Threads: any; pure. */
#ifndef AISYS_MEMORY_QUERY_H
#define AISYS_MEMORY_QUERY_H

#include "memory/words.h"

#define MEMORY_QUERY_WORDS  32 /* different words that count; further ones are left out */
#define MEMORY_COMMON_LEAST 1000

struct memory_query_word {
    char text[MEMORY_WORD_BYTES_MAX + 8];
    uint32_t bytes;
    bool stop;
    bool matches; /* is part of the full text query */
    bool counts;  /* and of the score of what that finds */
    int64_t rows; /* records it is in; -1 while not known */
};

struct memory_query {
    struct memory_query_word words[MEMORY_QUERY_WORDS];
    unsigned n;
    bool common; /* all of it is too common: few rows are better than others */
};

/* The different words of @text. */
void memory_query_parse(const char *text, size_t bytes, struct memory_query *ret_query);

/* With the number of records of every word known, and of all records: which words match? */
void memory_query_decide(struct memory_query *query, int64_t n_rows);

/* The FTS5 query of the matching words, each in quotes: OR between them, or AND. "" when there are none.
 * Returns how many there are; @ret_weights (room: MEMORY_QUERY_WORDS) gets the weight of each, for
 * aisys_rank(). */
#define MEMORY_MATCH_ROOM (MEMORY_QUERY_WORDS * (MEMORY_WORD_BYTES_MAX + 16))
unsigned memory_query_match(const struct memory_query *query, int64_t n_rows, const char *glue,
    char *ret_match, double *ret_weights);

struct memory_fields {
    const char *words, *before, *after, *date; /* normalised; NULL is "" */
};

struct memory_field_weights {
    double words, before, after, date;
};

/* How much a word counts by where it stands: from the trials in docs/memory-search.md. */
extern const struct memory_field_weights memory_field_weights;

/* BM25 of a record: all words but stop words count (all words, if nothing else matches). @length is
 * the number of words of its text, as a multiple of the mean. */
double memory_query_score(const struct memory_query *query, int64_t n_rows,
    const struct memory_field_weights *weights, const struct memory_fields *fields, double length);

#endif
