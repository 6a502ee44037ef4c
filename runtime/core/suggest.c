#include "core/suggest.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static size_t suggest_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool suggest_same(const char *a, const char *b)
{
    return tolower((unsigned char)*a) == tolower((unsigned char)*b);
}

/* Optimal string alignment, three rows at a time. */
size_t aisys_suggest_distance(const char *a, const char *b)
{
    size_t rows[3][AISYS_SUGGEST_BYTES_MAX + 1];
    size_t *two_up = rows[0], *up = rows[1], *row = rows[2];
    const size_t n = strlen(a), m = strlen(b);

    if (n > AISYS_SUGGEST_BYTES_MAX || m > AISYS_SUGGEST_BYTES_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        up[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *const spare = two_up;

        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            const size_t replace = up[j - 1] + !suggest_same(a + i - 1, b + j - 1);

            row[j] = suggest_min(replace, suggest_min(up[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && suggest_same(a + i - 1, b + j - 2) &&
                suggest_same(a + i - 2, b + j - 1))
                row[j] = suggest_min(row[j], two_up[j - 2] + 1);
        }
        two_up = up;
        up = row;
        row = spare;
    }
    return up[m];
}

void aisys_suggest_init(struct aisys_suggest *suggest, const char *name)
{
    const size_t n = strlen(name);

    suggest->name = name;
    suggest->best = NULL;
    /* A third of the letters may be wrong, and one of two: more is another word. */
    suggest->best_distance = (n < 2 ? 0 : n < 6 ? 1 : n / 3 < 5 ? n / 3 : 4) + 1;
}

void aisys_suggest_offer(struct aisys_suggest *suggest, const char *known)
{
    const size_t distance = aisys_suggest_distance(suggest->name, known);

    if (distance < suggest->best_distance) {
        suggest->best = known;
        suggest->best_distance = distance;
    }
}
