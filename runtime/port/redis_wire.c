#include "port/redis_wire.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "core/check.h"

#define OUT_BYTES_MIN       16384u
#define OUT_BYTES_KEPT_MAX  1048576u
/* "*" or "$", 20 digits, CRLF, and the CRLF behind a word */
#define WORD_OVERHEAD_BYTES 25u

void aisys_redis_out_init(struct redis_out *out, const struct aisys_redis_memory *memory)
{
    *out = (struct redis_out){ .memory = memory };
}

void aisys_redis_out_deinit(struct redis_out *out)
{
    if (out->data)
        out->memory->resize(out->memory->ctx, out->data, 0);
    out->data = NULL;
    out->start = out->end = out->capacity = 0;
}

void aisys_redis_out_clear(struct redis_out *out)
{
    out->start = out->end = 0;
    if (out->capacity > OUT_BYTES_KEPT_MAX)
        aisys_redis_out_deinit(out);
}

int aisys_redis_out_reserve(struct redis_out *out, size_t bytes)
{
    size_t capacity = out->capacity ? out->capacity : OUT_BYTES_MIN;
    char *data;

    if (bytes <= out->capacity - out->end)
        return 0;
    if (out->start > 0) {
        memmove(out->data, out->data + out->start, out->end - out->start);
        out->end -= out->start;
        out->start = 0;
        if (bytes <= out->capacity - out->end)
            return 0;
    }
    while (capacity - out->end < bytes) {
        if (capacity > SIZE_MAX / 2)
            return -ENOMEM;
        capacity *= 2;
    }
    data = out->memory->resize(out->memory->ctx, out->data, capacity);
    if (!data)
        return -ENOMEM;
    out->data = data;
    out->capacity = capacity;
    return 0;
}

void aisys_redis_out_consume(struct redis_out *out, size_t bytes)
{
    AISYS_CHECK(bytes <= aisys_redis_out_bytes(out));
    out->start += bytes;
    if (out->start == out->end)
        aisys_redis_out_clear(out);
}

size_t aisys_redis_wire_bytes(const struct aisys_redis_arg *args, size_t arg_nr)
{
    size_t bytes = WORD_OVERHEAD_BYTES;

    for (size_t i = 0; i < arg_nr; i++) {
        if (args[i].bytes > SIZE_MAX / 4 || bytes > SIZE_MAX / 2)
            return SIZE_MAX;
        bytes += args[i].bytes + WORD_OVERHEAD_BYTES;
    }
    return bytes;
}

static char *wire_number(char *at, char mark, size_t number)
{
    char digits[20];
    size_t i = sizeof(digits);

    do {
        digits[--i] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    *at++ = mark;
    memcpy(at, digits + i, sizeof(digits) - i);
    at += sizeof(digits) - i;
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

void aisys_redis_wire_append(
    struct redis_out *out, const struct aisys_redis_arg *args, size_t arg_nr)
{
    char *at = wire_number(out->data + out->end, '*', arg_nr);

    for (size_t i = 0; i < arg_nr; i++) {
        at = wire_number(at, '$', args[i].bytes);
        if (args[i].bytes > 0)
            memcpy(at, args[i].data, args[i].bytes);
        at += args[i].bytes;
        *at++ = '\r';
        *at++ = '\n';
    }
    out->end = (size_t)(at - out->data);
    AISYS_CHECK(out->end <= out->capacity);
}

static bool word_is(const struct aisys_redis_arg *arg, const char *word)
{
    return arg->bytes == strlen(word) && !strncasecmp(arg->data, word, arg->bytes);
}

static bool wire_has_word(
    const struct aisys_redis_arg *args, size_t arg_nr, const char *word, const char *before)
{
    for (size_t i = 1; i < arg_nr; i++) {
        if (word_is(&args[i], word))
            return true;
        if (word_is(&args[i], before))
            return false;
    }
    return false;
}

bool aisys_redis_wire_forbidden(const struct aisys_redis_arg *args, size_t arg_nr)
{
    static const char *const names[] = { "AUTH", "EXEC", "QUIT", "SYNC", "WAIT", "BLMOVE", "BLMPOP",
        "BLPOP", "BRPOP", "BRPOPLPUSH", "BZMPOP", "BZPOPMAX", "BZPOPMIN", "DISCARD", "HELLO",
        "MONITOR", "MULTI", "PSUBSCRIBE", "PSYNC", "PUNSUBSCRIBE", "REPLCONF", "RESET", "SELECT",
        "SSUBSCRIBE", "SUBSCRIBE", "SUNSUBSCRIBE", "UNSUBSCRIBE", "UNWATCH", "WAITAOF", "WATCH" };

    if (args[0].bytes < 4 || args[0].bytes > 12)
        return false; /* GET, SET, DEL and most others end here */
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (word_is(&args[0], names[i]))
            return true;
    if (word_is(&args[0], "XREAD") || word_is(&args[0], "XREADGROUP"))
        return wire_has_word(args, arg_nr, "BLOCK", "STREAMS");
    if (word_is(&args[0], "CLIENT") && arg_nr > 1)
        return word_is(&args[1], "REPLY") || word_is(&args[1], "TRACKING");
    return false;
}
