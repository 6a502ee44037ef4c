/* Words of a text, as memory finds it again by them.
 *
 * Normalised text is words in lower case with one space between: letters without their accents,
 * digits, English endings cut off (Porter), "Anna's" as "anna", "8th" as "8", each Chinese or Japanese
 * character a word of its own. The full text index stores and is asked for these words only, so that
 * nothing that a user types is ever syntax to it.
 *
 * Threads: any; functions are pure.
 * Errors:  text that is not UTF-8 is refused by memory_utf8_check(); the others expect UTF-8. */
#ifndef AISYS_MEMORY_WORDS_H
#define AISYS_MEMORY_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_WORD_BYTES_MAX 64 /* a longer word is cut */

/* The longest that normalised text gets, for @bytes of text; its NUL included. */
#define MEMORY_NORMAL_ROOM(bytes) (2 * (size_t)(bytes) + 2)

/* 0, or the place (counted from 1) of the first byte that is not UTF-8. */
size_t memory_utf8_check(const char *text, size_t bytes);

/* A word of a text, one after the other. */
struct memory_word {
    char text[MEMORY_WORD_BYTES_MAX + 8]; /* normalised, with a NUL */
    uint32_t bytes;
    bool stop; /* one of the words that say nothing about what a text is about ("the", "did") */
};

struct memory_words {
    const char *at;
    const char *end;
    const char *pending; /* of a character that is a word: nothing else before it */
};

void memory_words_begin(struct memory_words *words, const char *text, size_t bytes);
bool memory_words_next(struct memory_words *words, struct memory_word *ret_word);

/* Write the normalised text of @text into @ret_normal (room: MEMORY_NORMAL_ROOM(bytes)), NUL at its
 * end; returns its bytes. */
size_t memory_normalise(const char *text, size_t bytes, char *ret_normal);

/* The words of a date (UTC) as people name it: "2023 may 8 monday spring ..." normalised. Room: 128. */
size_t memory_date_words(int64_t wall_ms, char *ret_words);

/* Cut the ending of the English word of @bytes at @word (lower case letters); returns the bytes left. */
size_t memory_stem(char *word, size_t bytes);

/* A hash of @bytes at @data: the same on every machine, not for secrets. */
uint64_t memory_hash(const void *data, size_t bytes, uint64_t seed);

/* 64 bits of which texts that share most of their words share most. @normal is normalised text. */
uint64_t memory_simhash(const char *normal, size_t bytes);

/* The lower case letter without accent for a code point; what it is not, itself. In words_fold.c. */
uint32_t memory_fold(uint32_t code_point);

#endif
