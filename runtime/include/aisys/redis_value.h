/* What goes to Redis and what comes back: the words of a command and the tree of an answer.
 *
 * Plain data, no library behind it. A command is an array of words, each any bytes; an answer is a
 * tree of values. Who hands out a value says how long it lives; unless said otherwise it is borrowed
 * for the call that hands it out.
 *
 * Threads: any; nothing here keeps state. Errors: none; a helper asked for what a value is not
 * returns the neutral answer it documents, so that a strange answer cannot lead astray.
 * Units:   bytes, in names ending in _bytes; a NUL behind a text is not counted. */
#ifndef AISYS_REDIS_VALUE_H
#define AISYS_REDIS_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* One word of a command, borrowed for the call it is passed to. */
struct aisys_redis_arg {
    const void *data;
    size_t bytes;
};

/* A command as a list entry, for the calls that take several. */
struct aisys_redis_command {
    const struct aisys_redis_arg *args;
    size_t arg_nr; /* at least 1 */
};

enum aisys_redis_type {
    AISYS_REDIS_NIL,     /* no such key, no such field */
    AISYS_REDIS_INTEGER, /* .integer */
    AISYS_REDIS_STRING,  /* .text: any bytes */
    AISYS_REDIS_STATUS,  /* .text: "OK" */
    AISYS_REDIS_ERROR,   /* .text: "WRONGTYPE Operation against a key ..." */
    AISYS_REDIS_ARRAY,   /* .elements */
};

/* One value of an answer. What does not belong to its type is 0 or NULL. */
struct aisys_redis_value {
    enum aisys_redis_type type;
    int64_t integer;
    const char *text; /* STRING, STATUS, ERROR: never NULL, a NUL follows the last byte */
    size_t text_bytes;
    const struct aisys_redis_value *elements; /* ARRAY: element_nr of them, one behind the other */
    size_t element_nr;
};

/* The word @text without its NUL. */
static inline struct aisys_redis_arg aisys_redis_word(const char *text)
{
    return (struct aisys_redis_arg){ text, strlen(text) };
}

/* The word made of @bytes at @data. */
static inline struct aisys_redis_arg aisys_redis_bytes(const void *data, size_t bytes)
{
    return (struct aisys_redis_arg){ data, bytes };
}

static inline bool aisys_redis_is_nil(const struct aisys_redis_value *value)
{
    return value->type == AISYS_REDIS_NIL;
}

static inline bool aisys_redis_is_error(const struct aisys_redis_value *value)
{
    return value->type == AISYS_REDIS_ERROR;
}

static inline bool aisys_redis_is_array(const struct aisys_redis_value *value)
{
    return value->type == AISYS_REDIS_ARRAY;
}

static inline bool aisys_redis_is_integer(const struct aisys_redis_value *value)
{
    return value->type == AISYS_REDIS_INTEGER;
}

/* STRING or STATUS: what a command that "returns a string" may answer. */
static inline bool aisys_redis_is_string(const struct aisys_redis_value *value)
{
    return value->type == AISYS_REDIS_STRING || value->type == AISYS_REDIS_STATUS;
}

/* The integer, or @otherwise when it is none. */
static inline int64_t aisys_redis_integer(const struct aisys_redis_value *value, int64_t otherwise)
{
    return value->type == AISYS_REDIS_INTEGER ? value->integer : otherwise;
}

/* The text of a STRING, STATUS or ERROR, else "". Holds NULs when the bytes do. */
static inline const char *aisys_redis_text(const struct aisys_redis_value *value)
{
    return value->text ? value->text : "";
}

/* Whether the value is a STRING, STATUS or ERROR of exactly these bytes. */
static inline bool aisys_redis_equals(const struct aisys_redis_value *value, const char *text)
{
    return value->text && value->text_bytes == strlen(text) &&
           !memcmp(value->text, text, value->text_bytes);
}

/* Whether the value is an ERROR whose first word is @word: "WRONGTYPE", "NOSCRIPT", "READONLY". */
static inline bool aisys_redis_error_is(const struct aisys_redis_value *value, const char *word)
{
    const size_t bytes = strlen(word);

    return value->type == AISYS_REDIS_ERROR && value->text_bytes >= bytes &&
           !memcmp(value->text, word, bytes) &&
           (value->text_bytes == bytes || value->text[bytes] == ' ');
}

/* Element @index of an ARRAY; NULL when it is no array or has no such element. */
static inline const struct aisys_redis_value *aisys_redis_element(
    const struct aisys_redis_value *value, size_t index)
{
    return value->type == AISYS_REDIS_ARRAY && index < value->element_nr ? &value->elements[index]
                                                                         : NULL;
}

#endif
