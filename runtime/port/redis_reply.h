/* Answers of Redis: hiredis' reader, fed in slices and building our own values within limits.
 *
 * Of hiredis only the reader is used, not its asynchronous context. That context (0.14.1) aborts when
 * memory is short, reads the socket straight into the reader so that nobody can look first, allocates
 * once per command, and builds arrays of whatever size is announced. Here the values are made by
 * our own functions in an arena, so an array over the limit is never allocated; and a string over the
 * limit is skipped as it arrives instead of piling up in the reader. Either way the reader stays in
 * step: only the one answer turns into a problem, the connection and everyone else's answers live on.
 * What is no RESP at all, or nested deeper than hiredis can, ends the connection.
 *
 * Private to the Redis port. Threads: one at a time. */
#ifndef AISYS_PORT_REDIS_REPLY_H
#define AISYS_PORT_REDIS_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <aisys/redis_value.h>

#include "port/redis_port.h"

struct redisReader;
struct redis_chunk;

/* Memory of one or more answers, given back all at once. */
struct redis_arena {
    const struct aisys_redis_memory *memory;
    struct redis_chunk *chunks; /* newest first */
    size_t used_bytes;
    size_t limit_bytes;
};

void aisys_redis_arena_init(
    struct redis_arena *arena, const struct aisys_redis_memory *memory, size_t limit_bytes);
void aisys_redis_arena_deinit(struct redis_arena *arena);
/* Empties it; keeps one small chunk. */
void aisys_redis_arena_reset(struct redis_arena *arena);
/* NULL when there is no memory, or when the limit is reached: then limit_bytes is too small. */
void *aisys_redis_arena_alloc(struct redis_arena *arena, size_t bytes);

struct redis_limits {
    size_t string_bytes_max;
    size_t answer_bytes_max;
    uint32_t array_max;
    uint32_t depth_max;
};

/* Why an answer could not be taken; the text is in problem. */
enum redis_refusal {
    REDIS_TAKEN,
    REDIS_REFUSED,   /* over a limit, or no memory */
    REDIS_DISCARDED, /* nobody wants it */
};

struct redis_parser {
    struct redisReader *reader; /* owned */
    const struct aisys_redis_memory *memory;
    struct redis_limits limits;
    struct redis_arena scratch; /* of answers that nobody keeps */
    struct redis_arena *arena;  /* of the answer that is being read */
    struct aisys_redis_value root;
    enum redis_refusal refusal;
    bool in_answer;
    uint64_t skip_bytes; /* of the rest of a string over the limit */
    char problem[160];   /* of the refused answer, or why next() failed */
};

void aisys_redis_parser_init(struct redis_parser *parser, const struct aisys_redis_memory *memory,
    const struct redis_limits *limits);
void aisys_redis_parser_deinit(struct redis_parser *parser); /* accepts a zeroed one */

/* A new stream begins. 0 or -ENOMEM. */
int aisys_redis_parser_start(struct redis_parser *parser);
/* The stream has ended. An answer that was complete stays where it is: somebody may be looking at it. */
void aisys_redis_parser_stop(struct redis_parser *parser);

/* Takes some of @bytes (> 0) at @data and sets *@ret_taken (> 0); then ask next() until it says 0.
 * Returns 0 or -ENOMEM, after which the stream is out of step. */
int aisys_redis_parser_feed(
    struct redis_parser *parser, const char *data, size_t bytes, size_t *ret_taken);

/* Whether the next answer has not begun, but its first byte is here: say where it goes. */
bool aisys_redis_parser_wants_arena(const struct redis_parser *parser);
/* Into @arena (borrowed until the answer is complete), or nowhere at all when NULL. */
void aisys_redis_parser_begin(struct redis_parser *parser, struct redis_arena *arena);

/* 1 and an answer: when parser->refusal is REDIS_TAKEN, parser->root until the next begin. 0: more
 * bytes are needed. -EPROTO: not RESP, parser->problem says what; -ENOMEM. */
int aisys_redis_parser_next(struct redis_parser *parser);

/* Gives back a read buffer that one large answer left behind. */
void aisys_redis_parser_shrink(struct redis_parser *parser);

#endif
