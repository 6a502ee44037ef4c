/* "Did you mean": the known name nearest to one that is not known. Pure; any thread. */
#ifndef AISYS_CORE_SUGGEST_H
#define AISYS_CORE_SUGGEST_H

#include <stddef.h>

/* Names longer than this are never suggested for or from. */
#define AISYS_SUGGEST_BYTES_MAX 96

/* How many characters must be inserted, left out, replaced or swapped with their neighbour to turn
 * @a into @b, case aside. SIZE_MAX when either is too long. */
size_t aisys_suggest_distance(const char *a, const char *b);

/* A search in progress: start with the unknown name, offer every known one. */
struct aisys_suggest {
    const char *name;
    const char *best; /* NULL while nothing is near enough to be meant */
    size_t best_distance;
};

void aisys_suggest_init(struct aisys_suggest *suggest, const char *name);

/* @known is borrowed as long as .best is used. */
void aisys_suggest_offer(struct aisys_suggest *suggest, const char *known);

#endif
