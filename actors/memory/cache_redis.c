/* cache_manager on Redis. Each method is one script, which changes a value and its accounts in one step,
 * whoever else does the same; cache.proto says what lies where.
 *
 * The scripts name keys that they were not given (those of what they evict): they are for one server, not
 * for a cluster. An account may outlive its value (it expired, or Redis evicted it): then it is put right
 * when the key is asked for, when its time of expiry has come, or when it is the oldest. */
#include "cache_manager.h"

#include <aisys/redis.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Of a namespace, written for Redis: every byte may become three. */
#define NAMESPACE_MAX         256u /* as in cache.proto */
#define NAMESPACE_WRITTEN_MAX (NAMESPACE_MAX * 3 + 1)
#define INVALIDATE_STEP       "500"
#define INVALIDATE_STEPS_MAX  20000u
#define TOO_MANY_NAMESPACES   "namespaces"

/* ---- Scripts ---------------------------------------------------------------------------------- */

/* ARGV[1] is the namespace. now: ms; used: us. leave(k): k leaves the accounts.
 *
 * A Redis that is full refuses the first command of a script that needs memory, and only the first that
 * writes. So where a value comes it comes first; all else begins with a command that takes something away,
 * and works on a full server, too. */
#define SCRIPT_COMMON                                                                              \
    "local t = redis.call('TIME') "                                                                \
    "local used = t[1] * 1000000 + t[2] "                                                          \
    "local now = math.floor(used / 1000) "                                                         \
    "local names = 'aisys:cache-namespaces' "                                                      \
    "local function keys(ns) return 'aisys:cache-used:' .. ns, 'aisys:cache-bytes:' .. ns, "       \
    "'aisys:cache-expires:' .. ns, 'aisys:cache-counts:' .. ns, 'aisys:cache:' .. ns .. ':' end "  \
    "local U, B, E, C, P = keys(ARGV[1]) "                                                         \
    "local function leave(k) "                                                                     \
    "redis.call('ZREM', U, k) redis.call('ZREM', E, k) "                                           \
    "local b = redis.call('HGET', B, k) "                                                          \
    "if b then redis.call('HINCRBY', C, 'bytes', -b) redis.call('HDEL', B, k) end end "            \
    "local function expire(n) "                                                                    \
    "for _, k in ipairs(redis.call('ZRANGEBYSCORE', E, '-inf', now, 'LIMIT', 0, n)) do "           \
    "if redis.call('EXISTS', P .. k) == 0 then leave(k) end end end "

/* ARGV: namespace, key, value, ttl_ms, cost, quota, namespaces_max. */
static const char script_set[] = SCRIPT_COMMON
    "local new = redis.call('SISMEMBER', names, ARGV[1]) == 0 "
    "if new and redis.call('SCARD', names) >= tonumber(ARGV[7]) then "
    "local free = false "
    "for _, ns in ipairs(redis.call('SMEMBERS', names)) do "
    "local u, b, e, c = keys(ns) "
    "if redis.call('EXISTS', u) == 0 then "
    "redis.call('DEL', b, e, c) redis.call('SREM', names, ns) free = true break end end "
    "if not free then return '" TOO_MANY_NAMESPACES "' end end "
    "local k, ttl, cost, quota = ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]) "
    "if ttl > 0 then redis.call('SET', P .. k, ARGV[3], 'PX', ttl) "
    "else redis.call('SET', P .. k, ARGV[3]) end "
    "if new then redis.call('SADD', names, ARGV[1]) end "
    "local old = tonumber(redis.call('HGET', B, k)) or 0 "
    "redis.call('ZADD', U, used, k) "
    "if ttl > 0 then redis.call('ZADD', E, now + ttl, k) "
    "elseif old > 0 then redis.call('ZREM', E, k) end "
    "if old ~= cost then redis.call('HSET', B, k, cost) end "
    "if redis.call('HINCRBY', C, 'bytes', cost - old) > quota then expire(100) "
    "while tonumber(redis.call('HGET', C, 'bytes')) > quota do "
    "local oldest = redis.call('ZRANGE', U, 0, 0)[1] "
    "if not oldest or oldest == k then break end "
    "if redis.call('UNLINK', P .. oldest) == 1 then redis.call('HINCRBY', C, 'evictions', 1) end "
    "leave(oldest) end end "
    "return 'OK'";

/* ARGV: namespace, key. The value and its time to live, or nothing. */
static const char script_get[] =
    SCRIPT_COMMON "local k = ARGV[2] "
                  "local v = redis.call('GET', P .. k) "
                  "if not v then leave(k) "
                  "if redis.call('SISMEMBER', names, ARGV[1]) == 1 "
                  "then redis.call('HINCRBY', C, 'misses', 1) end "
                  "return {} end "
                  "if redis.call('ZREM', U, k) == 1 then redis.call('ZADD', U, used, k) end "
                  "redis.call('HINCRBY', C, 'hits', 1) "
                  "return {v, redis.call('PTTL', P .. k)}";

/* ARGV: namespace, key. */
static const char script_delete[] =
    SCRIPT_COMMON "local n = redis.call('UNLINK', P .. ARGV[2]) leave(ARGV[2]) return n";

/* ARGV: namespace, how many at most. How many there were, and whether there are more. */
static const char script_invalidate[] =
    SCRIPT_COMMON "local n = 0 "
                  "for _, k in ipairs(redis.call('ZRANGE', U, 0, ARGV[2] - 1)) do "
                  "n = n + redis.call('UNLINK', P .. k) leave(k) end "
                  "local more = redis.call('EXISTS', U) "
                  "if more == 0 then redis.call('UNLINK', B, E) redis.call('HDEL', C, 'bytes') end "
                  "return {n, more}";

/* ARGV: "". For each namespace: name, keys, bytes, hits, misses, evictions. */
static const char script_stats[] =
    SCRIPT_COMMON "local r = {} "
                  "local all = redis.call('SMEMBERS', names) table.sort(all) "
                  "for _, ns in ipairs(all) do "
                  "U, B, E, C, P = keys(ns) expire(1000) "
                  "local c = redis.call('HMGET', C, 'bytes', 'hits', 'misses', 'evictions') "
                  "r[#r + 1] = ns r[#r + 1] = redis.call('ZCARD', U) "
                  "for i = 1, 4 do r[#r + 1] = tonumber(c[i]) or 0 end end "
                  "return r";

#define STATS_COLUMNS 6u

/* ---- Commands --------------------------------------------------------------------------------- */

/* @namespace as it is written in the names of keys: without ':', so that no two read the same. */
static void write_namespace(const char *namespace, char written[NAMESPACE_WRITTEN_MAX])
{
    for (; *namespace; namespace ++) {
        if (*namespace == ':' || *namespace == '%') {
            memcpy(written, *namespace == ':' ? "%3A" : "%25", 3);
            written += 3;
        } else {
            *written++ = *namespace;
        }
    }
    *written = '\0';
}

/* The other way; in place, @written has the bytes. */
static void read_namespace(char *written, size_t bytes)
{
    char *to = written;

    for (size_t i = 0; i < bytes; i++) {
        if (written[i] == '%' && bytes - i > 2) {
            *to++ = written[i + 1] == '3' ? ':' : '%';
            i += 2;
        } else {
            *to++ = written[i];
        }
    }
    *to = '\0';
}

/* EVAL @script with @args; 0, or the error was answered to @reply. */
static int run(struct aisys_actor *self, const char *script, const struct aisys_redis_arg *args,
    size_t args_nr, uint16_t continuation, uint64_t token, aisys_reply reply)
{
    struct aisys_redis_arg words[3 + 7] = { aisys_redis_word("EVAL"), aisys_redis_word(script),
        aisys_redis_word("0") };
    const struct aisys_then then = { .continuation = continuation,
        .token = token,
        .deadline_ms = aisys_reply_remaining_ms(self, reply) };
    int r;

    memcpy(words + 3, args, args_nr * sizeof(*args));
    r = aisys_redis_exec(self, words, 3 + args_nr, then);
    if (r)
        aisys_fail(self, reply, AISYS_RESOURCE_EXHAUSTED,
            r == AISYS_SEND_FULL ? "too many requests to Redis are open" : "no memory");
    return r;
}

/* What Redis did not do goes to who asked. False: it did. */
static bool failed(struct aisys_actor *self, aisys_reply reply, const struct aisys_end *end)
{
    const struct aisys_redis_value *value = end->result;
    enum aisys_code code = AISYS_INTERNAL;

    if (end->code == AISYS_FAILED_PRECONDITION) {
        aisys_fail(self, reply, AISYS_UNAVAILABLE, "%s", end->words);
        return true;
    }
    if (end->code != AISYS_OK) {
        aisys_fail_as(self, reply, end);
        return true;
    }
    if (!aisys_redis_is_error(value))
        return false;
    if (aisys_redis_error_is(value, "OOM"))
        code = AISYS_RESOURCE_EXHAUSTED;
    else if (aisys_redis_error_is(value, "READONLY") || aisys_redis_error_is(value, "BUSY") ||
             aisys_redis_error_is(value, "MASTERDOWN") || aisys_redis_error_is(value, "MISCONF") ||
             aisys_redis_error_is(value, "LOADING") || aisys_redis_error_is(value, "NOREPLICAS"))
        code = AISYS_UNAVAILABLE;
    aisys_fail(self, reply, code, "Redis says: %.200s", aisys_redis_text(value));
    return true;
}

static void strange(struct aisys_actor *self, aisys_reply reply)
{
    aisys_fail(self, reply, AISYS_INTERNAL, "Redis gave an answer of another shape than was asked");
}

/* ---- Set -------------------------------------------------------------------------------------- */

void cache_redis_set(
    struct aisys_actor *self, const Aisys__Cache__SetRequest *request, aisys_reply reply)
{
    const struct cache_manager *cache = aisys_state(self);
    char namespace[NAMESPACE_WRITTEN_MAX], ttl[16], cost[16], quota[16], namespaces[16];

    write_namespace(request->namespace_, namespace);
    snprintf(ttl, sizeof(ttl), "%u", (unsigned)request->ttl_ms);
    snprintf(cost, sizeof(cost), "%zu",
        strlen(request->key) + request->value.len + AISYS_LRU_PAIR_BYTES);
    snprintf(quota, sizeof(quota), "%u", (unsigned)cache->quota_bytes);
    snprintf(namespaces, sizeof(namespaces), "%u", (unsigned)cache->namespaces_max);
    run(self, script_set,
        (const struct aisys_redis_arg[]){ aisys_redis_word(namespace),
            aisys_redis_word(request->key),
            aisys_redis_bytes(request->value.data, request->value.len), aisys_redis_word(ttl),
            aisys_redis_word(cost), aisys_redis_word(quota), aisys_redis_word(namespaces) },
        7, CACHE_ON_SET, reply, reply);
}

int cache_redis_on_set(struct aisys_actor *self, const struct aisys_end *end)
{
    const Aisys__Cache__SetReply answer = AISYS__CACHE__SET_REPLY__INIT;
    const aisys_reply reply = end->token;

    if (failed(self, reply, end))
        return 0;
    if (aisys_redis_equals(end->result, "OK"))
        aisys_answer(self, reply, &answer.base);
    else if (aisys_redis_equals(end->result, TOO_MANY_NAMESPACES))
        cache_fail_namespaces(self, reply);
    else
        strange(self, reply);
    return 0;
}

/* ---- Get -------------------------------------------------------------------------------------- */

void cache_redis_get(
    struct aisys_actor *self, const Aisys__Cache__GetRequest *request, aisys_reply reply)
{
    char namespace[NAMESPACE_WRITTEN_MAX];

    write_namespace(request->namespace_, namespace);
    run(self, script_get,
        (const struct aisys_redis_arg[]){
            aisys_redis_word(namespace), aisys_redis_word(request->key) },
        2, CACHE_ON_GET, reply, reply);
}

int cache_redis_on_get(struct aisys_actor *self, const struct aisys_end *end)
{
    Aisys__Cache__GetReply answer = AISYS__CACHE__GET_REPLY__INIT;
    const struct aisys_redis_value *value, *ttl;
    const aisys_reply reply = end->token;

    if (failed(self, reply, end))
        return 0;
    value = aisys_redis_element(end->result, 0);
    ttl = aisys_redis_element(end->result, 1);
    if (!value && aisys_redis_is_array(end->result)) {
        cache_fail_missing(self, reply);
        return 0;
    }
    if (!value || !ttl || !aisys_redis_is_string(value)) {
        strange(self, reply);
        return 0;
    }
    answer.has_value = answer.has_ttl_ms = true;
    answer.value.data = (uint8_t *)(uintptr_t)value->text;
    answer.value.len = value->text_bytes;
    answer.ttl_ms = aisys_redis_integer(ttl, 0) > 0 ? (uint32_t)ttl->integer : 0;
    aisys_answer(self, reply, &answer.base);
    return 0;
}

/* ---- Delete ----------------------------------------------------------------------------------- */

void cache_redis_delete(
    struct aisys_actor *self, const Aisys__Cache__DeleteRequest *request, aisys_reply reply)
{
    char namespace[NAMESPACE_WRITTEN_MAX];

    write_namespace(request->namespace_, namespace);
    run(self, script_delete,
        (const struct aisys_redis_arg[]){
            aisys_redis_word(namespace), aisys_redis_word(request->key) },
        2, CACHE_ON_DELETE, reply, reply);
}

int cache_redis_on_delete(struct aisys_actor *self, const struct aisys_end *end)
{
    Aisys__Cache__DeleteReply answer = AISYS__CACHE__DELETE_REPLY__INIT;
    const aisys_reply reply = end->token;

    if (failed(self, reply, end))
        return 0;
    if (!aisys_redis_is_integer(end->result)) {
        strange(self, reply);
        return 0;
    }
    answer.has_deleted = true;
    answer.deleted = aisys_redis_integer(end->result, 0) != 0;
    aisys_answer(self, reply, &answer.base);
    return 0;
}

/* ---- Invalidate: a bounded step at a time, so that Redis serves others between ----------------- */

static void invalidation_end(struct aisys_actor *self, struct cache_invalidation *invalidation)
{
    aisys_free(self, invalidation->namespace);
    *invalidation = (struct cache_invalidation){ 0 };
}

static void invalidation_step(struct aisys_actor *self, struct cache_invalidation *invalidation)
{
    const struct cache_manager *cache = aisys_state(self);

    if (run(self, script_invalidate,
            (const struct aisys_redis_arg[]){
                aisys_redis_word(invalidation->namespace), aisys_redis_word(INVALIDATE_STEP) },
            2, CACHE_ON_INVALIDATE, (uint64_t)(invalidation - cache->invalidations),
            invalidation->reply))
        invalidation_end(self, invalidation);
}

void cache_redis_invalidate(
    struct aisys_actor *self, const Aisys__Cache__InvalidateRequest *request, aisys_reply reply)
{
    struct cache_manager *cache = aisys_state(self);
    struct cache_invalidation *invalidation = cache->invalidations;
    char namespace[NAMESPACE_WRITTEN_MAX];

    while (invalidation < cache->invalidations + CACHE_INVALIDATIONS_MAX && invalidation->reply)
        invalidation++;
    if (invalidation == cache->invalidations + CACHE_INVALIDATIONS_MAX) {
        aisys_fail(self, reply, AISYS_RESOURCE_EXHAUSTED, "%u invalidations are under way already",
            CACHE_INVALIDATIONS_MAX);
        return;
    }
    write_namespace(request->namespace_, namespace);
    invalidation->namespace = aisys_strdup(self, namespace);
    if (!invalidation->namespace) {
        aisys_fail(self, reply, AISYS_RESOURCE_EXHAUSTED, "no memory");
        return;
    }
    invalidation->reply = reply;
    invalidation_step(self, invalidation);
}

int cache_redis_on_invalidate(struct aisys_actor *self, const struct aisys_end *end)
{
    Aisys__Cache__InvalidateReply answer = AISYS__CACHE__INVALIDATE_REPLY__INIT;
    struct cache_manager *cache = aisys_state(self);
    struct cache_invalidation *invalidation = &cache->invalidations[end->token];
    const struct aisys_redis_value *count, *more;

    if (failed(self, invalidation->reply, end)) {
        invalidation_end(self, invalidation);
        return 0;
    }
    count = aisys_redis_element(end->result, 0);
    more = aisys_redis_element(end->result, 1);
    if (!count || !more) {
        strange(self, invalidation->reply);
        invalidation_end(self, invalidation);
        return 0;
    }
    invalidation->count += (uint32_t)aisys_redis_integer(count, 0);
    if (aisys_redis_integer(more, 0) && ++invalidation->steps < INVALIDATE_STEPS_MAX) {
        invalidation_step(self, invalidation);
        return 0;
    }
    answer.has_count = true;
    answer.count = invalidation->count;
    aisys_answer(self, invalidation->reply, &answer.base);
    invalidation_end(self, invalidation);
    return 0;
}

/* ---- Stats ------------------------------------------------------------------------------------ */

void cache_redis_stats(struct aisys_actor *self, aisys_reply reply)
{
    run(self, script_stats, (const struct aisys_redis_arg[]){ aisys_redis_word("") }, 1,
        CACHE_ON_STATS, reply, reply);
}

/* One row of @array, of which @at is the first column. False: it is of another shape. */
static bool stats_row(
    const struct aisys_redis_value *array, size_t at, Aisys__Cache__StatsReply__Namespace *row)
{
    const struct aisys_redis_value *const columns = &array->elements[at];

    if (!aisys_redis_is_string(&columns[0]) || columns[0].text_bytes >= NAMESPACE_WRITTEN_MAX)
        return false;
    for (unsigned i = 1; i < STATS_COLUMNS; i++)
        if (!aisys_redis_is_integer(&columns[i]))
            return false;
    aisys__cache__stats_reply__namespace__init(row);
    row->has_keys = row->has_bytes = row->has_hits = row->has_misses = row->has_evictions = true;
    row->keys = (uint32_t)columns[1].integer;
    row->bytes = (uint32_t)columns[2].integer;
    row->hits = (uint64_t)columns[3].integer;
    row->misses = (uint64_t)columns[4].integer;
    row->evictions = (uint64_t)columns[5].integer;
    return true;
}

/* The rows, and behind them room for their pointers and names, in one piece. */
struct stats_page {
    Aisys__Cache__StatsReply__Namespace *rows;
    Aisys__Cache__StatsReply__Namespace **pointers;
    char (*names)[NAMESPACE_WRITTEN_MAX];
};

static bool stats_fill(const struct aisys_redis_value *array, struct stats_page *page)
{
    for (size_t i = 0; i < array->element_nr / STATS_COLUMNS; i++) {
        const struct aisys_redis_value *name = &array->elements[i * STATS_COLUMNS];

        if (!stats_row(array, i * STATS_COLUMNS, &page->rows[i]))
            return false;
        memcpy(page->names[i], name->text, name->text_bytes);
        read_namespace(page->names[i], name->text_bytes);
        page->rows[i].name = page->names[i];
        page->pointers[i] = &page->rows[i];
    }
    return true;
}

int cache_redis_on_stats(struct aisys_actor *self, const struct aisys_end *end)
{
    Aisys__Cache__StatsReply answer = AISYS__CACHE__STATS_REPLY__INIT;
    const struct aisys_redis_value *array = end->result;
    const aisys_reply reply = end->token;
    struct stats_page page;
    size_t nr;

    if (failed(self, reply, end))
        return 0;
    nr = array->element_nr / STATS_COLUMNS;
    page.rows = aisys_alloc(self, nr * sizeof(*page.rows) + 1);
    page.pointers = aisys_alloc(self, nr * sizeof(*page.pointers) + 1);
    page.names = aisys_alloc(self, nr * sizeof(*page.names) + 1);
    if (!page.rows || !page.pointers || !page.names) {
        aisys_fail(self, reply, AISYS_RESOURCE_EXHAUSTED, "no memory to write the answer");
    } else if (!aisys_redis_is_array(array) || array->element_nr % STATS_COLUMNS ||
               !stats_fill(array, &page)) {
        strange(self, reply);
    } else {
        answer.has_backend = true;
        answer.backend = AISYS__CACHE__STATS_REPLY__BACKEND__REDIS;
        answer.n_namespaces = nr;
        answer.namespaces = page.pointers;
        aisys_answer(self, reply, &answer.base);
    }
    aisys_free(self, page.rows);
    aisys_free(self, page.pointers);
    aisys_free(self, page.names);
    return 0;
}
