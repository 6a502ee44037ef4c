#include "memory/embed.h"

#include "memory/words.h"

#include <math.h>
#include <string.h>

/* A word counts once in full and its sequences together about as much again: that is what found
 * most in the trials (docs/memory-search.md). */
#define WORD_WEIGHT  1.0f
#define GRAM_WEIGHT  0.35f
#define GRAM_LETTERS 3

static void embed_add(float *sums, const char *feature, size_t bytes, uint64_t seed, float weight)
{
    const uint64_t h = memory_hash(feature, bytes, seed);

    sums[h % MEMORY_EMBED_DIMS] += (h >> 32 & 1) != 0 ? weight : -weight;
}

static void embed_word(float *sums, const struct memory_word *word)
{
    char marked[sizeof(word->text) + 2];
    const size_t bytes = word->bytes + 2;

    embed_add(sums, word->text, word->bytes, 1, WORD_WEIGHT);
    marked[0] = '<'; /* so that beginnings and endings differ from what is inside */
    memcpy(marked + 1, word->text, word->bytes);
    marked[bytes - 1] = '>';
    for (size_t i = 0; i + GRAM_LETTERS <= bytes; i++)
        embed_add(sums, marked + i, GRAM_LETTERS, 2, GRAM_WEIGHT);
}

static bool embed_finish(const float *sums, int8_t *ret_vector)
{
    double length = 0;

    for (unsigned i = 0; i < MEMORY_EMBED_DIMS; i++)
        length += (double)sums[i] * (double)sums[i];
    if (!(length > 0)) {
        memset(ret_vector, 0, MEMORY_EMBED_DIMS);
        return false;
    }
    for (unsigned i = 0; i < MEMORY_EMBED_DIMS; i++) {
        const double x = (double)sums[i] * MEMORY_EMBED_LENGTH / sqrt(length);

        ret_vector[i] = (int8_t)lrint(x > 127 ? 127 : x < -127 ? -127 : x);
    }
    return true;
}

/* Stop words are left out unless there is nothing else. */
static bool embed_lexical(const char *text, size_t bytes, int8_t *ret_vector)
{
    float sums[MEMORY_EMBED_DIMS] = { 0 };
    unsigned n = 0;

    for (int stop = 0; stop <= 1 && n == 0; stop++) {
        struct memory_words words;
        struct memory_word word;

        memory_words_begin(&words, text, bytes);
        while (memory_words_next(&words, &word)) {
            if (word.stop != (stop == 1))
                continue;
            embed_word(sums, &word);
            n++;
        }
    }
    return embed_finish(sums, ret_vector);
}

const struct memory_embedder memory_embedder_lexical = { "lexical-1", MEMORY_EMBED_DIMS,
    embed_lexical };
