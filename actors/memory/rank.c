#include "memory/rank.h"

#include <math.h>
#include <stdlib.h>

const struct memory_rank_params memory_rank_defaults = {
    .constant = 10,
    .text_weight = 1.0,
    .vector_weight = 0.3,
    .recency_share = 0.05,
    .importance_share = 0.05,
    .cosine_least = 0.25,
};

double memory_recency(int64_t event_ms, int64_t now_ms, int64_t half_life_ms)
{
    if (event_ms >= now_ms || half_life_ms <= 0)
        return 1;
    return exp2(-((double)now_ms - (double)event_ms) / (double)half_life_ms);
}

static int rank_order(
    double a, double b, const struct memory_candidate *x, const struct memory_candidate *y)
{
    if (a != b)
        return a > b ? -1 : 1;
    return x->id > y->id ? -1 : x->id < y->id;
}

static int rank_by_text(const void *a, const void *b)
{
    const struct memory_candidate *x = a, *y = b;

    return rank_order(x->text, y->text, x, y);
}

static int rank_by_cosine(const void *a, const void *b)
{
    const struct memory_candidate *x = a, *y = b;

    return rank_order(x->cosine, y->cosine, x, y);
}

static int rank_by_score(const void *a, const void *b)
{
    const struct memory_candidate *x = a, *y = b;

    return rank_order(x->score, y->score, x, y);
}

void memory_rank(struct memory_candidate *candidates, unsigned n, bool use_text, bool use_vectors,
    const struct memory_rank_params *params)
{
    const double best =
        ((use_text ? params->text_weight : 0) + (use_vectors ? params->vector_weight : 0)) /
        (params->constant + 1);

    if (n == 0 || best <= 0)
        return;
    for (unsigned i = 0; i < n; i++)
        candidates[i].score = 0;
    if (use_text) {
        qsort(candidates, n, sizeof(*candidates), rank_by_text);
        for (unsigned i = 0; i < n && candidates[i].text > 0; i++) {
            candidates[i].score += params->text_weight / (params->constant + 1 + i);
            candidates[i].text_part = candidates[i].text / candidates[0].text;
        }
    }
    if (use_vectors) {
        qsort(candidates, n, sizeof(*candidates), rank_by_cosine);
        for (unsigned i = 0; i < n && candidates[i].cosine >= params->cosine_least; i++) {
            candidates[i].score += params->vector_weight / (params->constant + 1 + i);
            candidates[i].vector_part = fmin(candidates[i].cosine, 1);
        }
    }
    for (unsigned i = 0; i < n; i++) {
        struct memory_candidate *c = &candidates[i];

        c->score *= 1 - params->recency_share * (1 - c->recency) -
                    params->importance_share * (1 - c->importance);
        c->score = fmin(c->score / best, 1);
    }
    qsort(candidates, n, sizeof(*candidates), rank_by_score);
}
