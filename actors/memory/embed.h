/* What a text is about, as a vector: near texts have near vectors.
 *
 * An embedder turns text into @dims signed bytes of a fixed length (Euclid's), so that the product of
 * two vectors is their cosine times MEMORY_EMBED_LENGTH squared. The built-in one is lexical: words and
 * the character sequences of words are hashed into places with a sign. It needs no model and finds other
 * forms of words and misspellings, not synonyms.
 *
 * Threads: any; an embedder has no state that changes. */
#ifndef AISYS_MEMORY_EMBED_H
#define AISYS_MEMORY_EMBED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_EMBED_DIMS   256
#define MEMORY_EMBED_LENGTH 160.0

struct memory_embedder {
    const char *name; /* kept beside stored vectors: another name means to compute them again */
    unsigned dims;
    /* Vector of @text (UTF-8). False when the text has nothing to go by: @ret_vector is then zero. */
    bool (*embed)(const char *text, size_t bytes, int8_t *ret_vector);
};

extern const struct memory_embedder memory_embedder_lexical;

#endif
