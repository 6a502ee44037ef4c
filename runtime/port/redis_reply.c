#include "port/redis_reply.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <hiredis/read.h>
#include <hiredis/sds.h>

/* hiredis moves the rest of its buffer to the front at every KiB it has read, so a larger slice costs
 * more per answer, a smaller one more calls. */
#define FEED_BYTES_MAX        16384u
#define CHUNK_BYTES_MIN       4096u
#define CHUNK_BYTES_MAX       1048576u
#define LINE_BYTES_MAX        65536u /* of a status or an error */
#define NUMBER_BYTES_MAX      32u    /* of an integer or a length */
#define SKIP_BYTES_MAX        ((uint64_t)1 << 32)
#define READER_BYTES_KEPT_MAX 262144u

struct redis_chunk {
    struct redis_chunk *next;
    size_t bytes; /* behind this header */
    size_t used_bytes;
    max_align_t data[];
};

void aisys_redis_arena_init(
    struct redis_arena *arena, const struct aisys_redis_memory *memory, size_t limit_bytes)
{
    *arena = (struct redis_arena){ .memory = memory, .limit_bytes = limit_bytes };
}

static void arena_free_chunks(struct redis_arena *arena, struct redis_chunk *chunk)
{
    while (chunk) {
        struct redis_chunk *next = chunk->next;

        arena->memory->resize(arena->memory->ctx, chunk, 0);
        chunk = next;
    }
}

void aisys_redis_arena_deinit(struct redis_arena *arena)
{
    arena_free_chunks(arena, arena->chunks);
    arena->chunks = NULL;
    arena->used_bytes = 0;
}

void aisys_redis_arena_reset(struct redis_arena *arena)
{
    struct redis_chunk *chunk = arena->chunks;

    arena->used_bytes = 0;
    if (!chunk)
        return;
    arena_free_chunks(arena, chunk->next);
    chunk->next = NULL;
    chunk->used_bytes = 0;
    if (chunk->bytes > 16 * CHUNK_BYTES_MIN)
        aisys_redis_arena_deinit(arena);
}

static struct redis_chunk *arena_grow(struct redis_arena *arena, size_t bytes)
{
    size_t chunk_bytes = arena->chunks ? arena->chunks->bytes * 2 : CHUNK_BYTES_MIN;
    struct redis_chunk *chunk;

    if (chunk_bytes > CHUNK_BYTES_MAX)
        chunk_bytes = CHUNK_BYTES_MAX;
    if (chunk_bytes < bytes)
        chunk_bytes = bytes;
    chunk = arena->memory->resize(arena->memory->ctx, NULL, sizeof(*chunk) + chunk_bytes);
    if (!chunk)
        return NULL;
    chunk->next = arena->chunks;
    chunk->bytes = chunk_bytes;
    chunk->used_bytes = 0;
    arena->chunks = chunk;
    return chunk;
}

void *aisys_redis_arena_alloc(struct redis_arena *arena, size_t bytes)
{
    struct redis_chunk *chunk = arena->chunks;
    void *piece;

    if (bytes > arena->limit_bytes - arena->used_bytes)
        return NULL;
    bytes = (bytes + 7) & ~(size_t)7;
    if (!chunk || bytes > chunk->bytes - chunk->used_bytes) {
        chunk = arena_grow(arena, bytes);
        if (!chunk)
            return NULL;
    }
    piece = (char *)chunk->data + chunk->used_bytes;
    chunk->used_bytes += bytes;
    arena->used_bytes = arena->used_bytes + bytes > arena->limit_bytes ? arena->limit_bytes
                                                                       : arena->used_bytes + bytes;
    return piece;
}

/* What hiredis gets for a value that is not kept: it only wants something that is not NULL. */
static struct aisys_redis_value nowhere;

static void *parser_refuse(struct redis_parser *parser, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void *parser_refuse(struct redis_parser *parser, const char *format, ...)
{
    va_list args;

    if (parser->refusal == REDIS_TAKEN) {
        va_start(args, format);
        vsnprintf(parser->problem, sizeof(parser->problem), format, args);
        va_end(args);
        parser->refusal = REDIS_REFUSED;
    }
    return &nowhere;
}

static void *parser_alloc(struct redis_parser *parser, size_t bytes)
{
    struct redis_arena *arena = parser->arena;
    void *piece = aisys_redis_arena_alloc(arena, bytes);

    if (piece)
        return piece;
    if (bytes > arena->limit_bytes - arena->used_bytes)
        parser_refuse(
            parser, "the answer needs more than the limit of %zu bytes", arena->limit_bytes);
    else
        parser_refuse(parser, "no memory for the answer");
    return NULL;
}

/* Where the value of @task goes: into its array, or to the root. */
static struct aisys_redis_value *task_value(const redisReadTask *task)
{
    struct redis_parser *parser = task->privdata;

    if (task->parent) {
        const struct aisys_redis_value *array = task->parent->obj;

        return (struct aisys_redis_value *)&array->elements[task->idx];
    }
    return &parser->root;
}

static void *reply_on_string(const redisReadTask *task, char *text, size_t bytes)
{
    struct redis_parser *parser = task->privdata;
    struct aisys_redis_value *value;
    char *copy;

    if (parser->refusal != REDIS_TAKEN)
        return &nowhere;
    if (bytes > parser->limits.string_bytes_max)
        return parser_refuse(parser, "a string of %zu bytes is over the limit of %zu", bytes,
            parser->limits.string_bytes_max);
    copy = parser_alloc(parser, bytes + 1);
    if (!copy)
        return &nowhere;
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    value = task_value(task);
    *value = (struct aisys_redis_value){
        .type = task->type == REDIS_REPLY_STRING   ? AISYS_REDIS_STRING
                : task->type == REDIS_REPLY_STATUS ? AISYS_REDIS_STATUS
                                                   : AISYS_REDIS_ERROR,
        .text = copy,
        .text_bytes = bytes,
    };
    return value;
}

static unsigned task_depth(const redisReadTask *task)
{
    unsigned depth = 1;

    while ((task = task->parent))
        depth++;
    return depth;
}

static void *reply_on_array(const redisReadTask *task, int count)
{
    struct redis_parser *parser = task->privdata;
    struct aisys_redis_value *elements = NULL;
    struct aisys_redis_value *value;

    if (parser->refusal != REDIS_TAKEN)
        return &nowhere;
    if ((unsigned)count > parser->limits.array_max)
        return parser_refuse(parser, "an array of %d elements is over the limit of %" PRIu32, count,
            parser->limits.array_max);
    if (task_depth(task) > parser->limits.depth_max)
        return parser_refuse(parser, "arrays are nested deeper than the limit of %" PRIu32,
            parser->limits.depth_max);
    if (count > 0) {
        elements = parser_alloc(parser, (size_t)count * sizeof(*elements));
        if (!elements)
            return &nowhere;
    }
    value = task_value(task);
    *value = (struct aisys_redis_value){
        .type = AISYS_REDIS_ARRAY,
        .elements = elements,
        .element_nr = (size_t)count,
    };
    return value;
}

static void *reply_on_integer(const redisReadTask *task, long long integer)
{
    struct redis_parser *parser = task->privdata;
    struct aisys_redis_value *value;

    if (parser->refusal != REDIS_TAKEN)
        return &nowhere;
    value = task_value(task);
    *value = (struct aisys_redis_value){ .type = AISYS_REDIS_INTEGER, .integer = integer };
    return value;
}

static void *reply_on_nil(const redisReadTask *task)
{
    struct redis_parser *parser = task->privdata;
    struct aisys_redis_value *value;

    if (parser->refusal != REDIS_TAKEN)
        return &nowhere;
    value = task_value(task);
    *value = (struct aisys_redis_value){ .type = AISYS_REDIS_NIL };
    return value;
}

static void reply_on_free(void *value)
{
    (void)value; /* the arena's owner frees */
}

static redisReplyObjectFunctions reply_functions = {
    .createString = reply_on_string,
    .createArray = reply_on_array,
    .createInteger = reply_on_integer,
    .createNil = reply_on_nil,
    .freeObject = reply_on_free,
};

static redisReader *parser_new_reader(struct redis_parser *parser)
{
    redisReader *reader = redisReaderCreateWithFunctions(&reply_functions);

    if (!reader)
        return NULL;
    reader->privdata = parser;
    reader->maxbuf = 0; /* it would give its buffer back and get it again at every slice */
    return reader;
}

void aisys_redis_parser_init(struct redis_parser *parser, const struct aisys_redis_memory *memory,
    const struct redis_limits *limits)
{
    *parser = (struct redis_parser){ .memory = memory, .limits = *limits };
    aisys_redis_arena_init(&parser->scratch, memory, limits->answer_bytes_max);
}

void aisys_redis_parser_deinit(struct redis_parser *parser)
{
    aisys_redis_parser_stop(parser);
    if (parser->memory)
        aisys_redis_arena_deinit(&parser->scratch);
}

int aisys_redis_parser_start(struct redis_parser *parser)
{
    aisys_redis_parser_stop(parser);
    parser->reader = parser_new_reader(parser);
    return parser->reader ? 0 : -ENOMEM;
}

void aisys_redis_parser_stop(struct redis_parser *parser)
{
    if (parser->reader)
        redisReaderFree(parser->reader);
    parser->reader = NULL;
    parser->in_answer = false;
    parser->skip_bytes = 0;
}

int aisys_redis_parser_feed(
    struct redis_parser *parser, const char *data, size_t bytes, size_t *ret_taken)
{
    if (parser->skip_bytes > 0) {
        *ret_taken = bytes < parser->skip_bytes ? bytes : (size_t)parser->skip_bytes;
        parser->skip_bytes -= *ret_taken;
        return 0;
    }
    *ret_taken = bytes < FEED_BYTES_MAX ? bytes : FEED_BYTES_MAX;
    if (redisReaderFeed(parser->reader, data, *ret_taken) != REDIS_OK)
        return -ENOMEM;
    return 0;
}

bool aisys_redis_parser_wants_arena(const struct redis_parser *parser)
{
    return !parser->in_answer && parser->reader->len > parser->reader->pos;
}

void aisys_redis_parser_begin(struct redis_parser *parser, struct redis_arena *arena)
{
    if (arena == &parser->scratch)
        aisys_redis_arena_reset(arena);
    parser->arena = arena;
    parser->refusal = arena ? REDIS_TAKEN : REDIS_DISCARDED;
    parser->in_answer = true;
}

static int parser_broken(struct redis_parser *parser, const char *what)
{
    snprintf(parser->problem, sizeof(parser->problem), "%s", what);
    return -EPROTO;
}

/* The length in the header of a string that is still incomplete: 0 and the header's size with its CRLF;
 * -EAGAIN when the header is incomplete too; -EPROTO. */
static int bulk_header(const char *at, size_t bytes, uint64_t *ret_length, size_t *ret_bytes)
{
    uint64_t length = 0;
    size_t i = 0;

    if (bytes > 0 && at[0] == '-') /* a nil, or what hiredis knows to refuse */
        return bytes > NUMBER_BYTES_MAX ? -EPROTO : -EAGAIN;
    while (i < bytes && i < NUMBER_BYTES_MAX && at[i] >= '0' && at[i] <= '9') {
        if (length > UINT64_MAX / 16)
            return -EPROTO;
        length = length * 10 + (uint64_t)(at[i++] - '0');
    }
    if (i + 1 >= bytes && i < NUMBER_BYTES_MAX)
        return -EAGAIN;
    if (i == 0 || i >= NUMBER_BYTES_MAX || at[i] != '\r' || at[i + 1] != '\n')
        return -EPROTO;
    *ret_length = length;
    *ret_bytes = i + 2;
    return 0;
}

/* hiredis waits for the rest of a string. If that is one we do not want, let it read a nil instead and skip
 * the bytes as they come. (The type has been read, the length has not: that is how hiredis 0.14
 * waits.) Returns 1 when there is something to read again. */
static int parser_guard_string(struct redis_parser *parser)
{
    redisReader *reader = parser->reader;
    const size_t waiting = reader->len - reader->pos;
    uint64_t length;
    size_t header_bytes;
    int r;

    r = bulk_header(reader->buf + reader->pos, waiting, &length, &header_bytes);
    if (r == -EAGAIN)
        return 0;
    if (r < 0)
        return parser_broken(parser, "the length of a string is not a number");
    if (length > SKIP_BYTES_MAX)
        return parser_broken(parser, "a string longer than any that Redis sends");
    if (length <= parser->limits.string_bytes_max &&
        (parser->refusal == REDIS_TAKEN || length < FEED_BYTES_MAX))
        return 0;
    parser_refuse(parser, "a string of %" PRIu64 " bytes is over the limit of %zu", length,
        parser->limits.string_bytes_max);
    parser->skip_bytes = length + 2 - (waiting - header_bytes);
    reader->pos = reader->len;
    if (redisReaderFeed(reader, "-1\r\n", 4) != REDIS_OK)
        return -ENOMEM;
    return 1;
}

/* Looks at what hiredis left unread: only an incomplete item of bounded size may stay. */
static int parser_guard(struct redis_parser *parser)
{
    const redisReader *reader = parser->reader;
    const size_t waiting = reader->len - reader->pos;
    size_t most = NUMBER_BYTES_MAX;
    int type;

    if (waiting == 0 || reader->ridx < 0)
        return 0;
    type = reader->rstack[reader->ridx].type;
    if (type == REDIS_REPLY_STRING)
        return parser_guard_string(parser);
    if (type == REDIS_REPLY_STATUS || type == REDIS_REPLY_ERROR)
        most = LINE_BYTES_MAX;
    if (waiting > most)
        return parser_broken(parser, "a line that does not end");
    return 0;
}

int aisys_redis_parser_next(struct redis_parser *parser)
{
    void *reply;
    int r;

    if (parser->reader->len == parser->reader->pos)
        return 0;
    do {
        if (redisReaderGetReply(parser->reader, &reply) != REDIS_OK)
            return parser_broken(parser, parser->reader->errstr);
        if (reply) {
            parser->in_answer = false;
            return 1;
        }
        r = parser_guard(parser);
    } while (r > 0);
    return r;
}

void aisys_redis_parser_shrink(struct redis_parser *parser)
{
    redisReader *reader = parser->reader;

    if (parser->in_answer || reader->len > reader->pos ||
        sdslen(reader->buf) + sdsavail(reader->buf) <= READER_BYTES_KEPT_MAX)
        return;
    reader = parser_new_reader(parser);
    if (!reader)
        return; /* the large one serves as well */
    redisReaderFree(parser->reader);
    parser->reader = reader;
}
