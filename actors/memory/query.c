#include "memory/query.h"

#include <math.h>
#include <string.h>

#define COMMON_SHARE 50 /* one record in this many: 2 % */

/* The usual constants of BM25. */
#define K1 1.2
#define B  0.75

void memory_query_parse(const char *text, size_t bytes, struct memory_query *ret_query)
{
    struct memory_words words;
    struct memory_word word;

    ret_query->n = 0;
    memory_words_begin(&words, text, bytes);
    while (ret_query->n < MEMORY_QUERY_WORDS && memory_words_next(&words, &word)) {
        struct memory_query_word *to = &ret_query->words[ret_query->n];
        bool seen = false;

        for (unsigned i = 0; i < ret_query->n && !seen; i++)
            seen = strcmp(ret_query->words[i].text, word.text) == 0;
        if (seen)
            continue;
        *to = (struct memory_query_word){ .bytes = word.bytes, .stop = word.stop, .rows = -1 };
        memcpy(to->text, word.text, word.bytes + 1);
        ret_query->n++;
    }
}

void memory_query_decide(struct memory_query *query, int64_t n_rows)
{
    const int64_t share = n_rows / COMMON_SHARE;
    const int64_t common = share > MEMORY_COMMON_LEAST ? share : MEMORY_COMMON_LEAST;
    unsigned matching = 0, counting = 0;

    for (unsigned i = 0; i < query->n; i++) {
        struct memory_query_word *word = &query->words[i];

        word->counts = !word->stop && word->rows > 0;
        word->matches = word->counts && word->rows <= common;
        counting += word->counts;
        matching += word->matches;
    }
    query->common = matching == 0;
    for (unsigned i = 0; i < query->n && matching == 0; i++) {
        if (counting == 0) /* stop words only */
            query->words[i].counts = query->words[i].rows > 0;
        query->words[i].matches = query->words[i].counts;
    }
}

/* Inverse document frequency as FTS5 has it, a little more than nothing for what is everywhere. */
static double query_weight(const struct memory_query_word *word, int64_t n_rows)
{
    const double idf =
        log(((double)n_rows - (double)word->rows + 0.5) / ((double)word->rows + 0.5));

    return word->rows < n_rows && idf > 0.05 ? idf : 0.05;
}

unsigned memory_query_match(const struct memory_query *query, int64_t n_rows, const char *glue,
    char *ret_match, double *ret_weights)
{
    unsigned matching = 0;

    for (unsigned i = 0; i < query->n; i++) {
        const struct memory_query_word *word = &query->words[i];

        if (!word->matches)
            continue;
        if (matching > 0)
            ret_match = stpcpy(ret_match, glue);
        *ret_match++ = '"'; /* a word holds letters and digits only: nothing to escape */
        ret_match = stpcpy(ret_match, word->text);
        *ret_match++ = '"';
        ret_weights[matching++] = query_weight(word, n_rows);
    }
    *ret_match = '\0';
    return matching;
}

const struct memory_field_weights memory_field_weights = { 1.0, 0.6, 0.25, 0.7 };

/* How often @word is in @field, whole. */
static unsigned query_count(const char *field, const struct memory_query_word *word)
{
    unsigned n = 0;

    if (field == NULL)
        return 0;
    for (const char *at = field; (at = strstr(at, word->text)) != NULL; at += word->bytes)
        n += (at == field || at[-1] == ' ') && (at[word->bytes] == ' ' || at[word->bytes] == '\0');
    return n;
}

double memory_query_score(const struct memory_query *query, int64_t n_rows,
    const struct memory_field_weights *weights, const struct memory_fields *fields, double length)
{
    const double k = K1 * (1 - B + B * length);
    double score = 0;

    for (unsigned i = 0; i < query->n; i++) {
        const struct memory_query_word *word = &query->words[i];
        double f;

        if (!word->counts)
            continue;
        f = weights->words * query_count(fields->words, word) +
            weights->before * query_count(fields->before, word) +
            weights->after * query_count(fields->after, word) +
            weights->date * query_count(fields->date, word);
        score += query_weight(word, n_rows) * f * (K1 + 1) / (f + k);
    }
    return score;
}
