/* cache_manager: keeps values for others, for a while (proto/aisys/cache.proto).
 *
 * This file is the actor, and the backend in memory (lru.h), whose memory is the actor's own account. On
 * Redis everything is in cache_redis.c. Which of them is decided at start. */
#include "cache_manager.h"

#include <aisys/redis.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const Aisys__Cache__CacheManagerConfig no_config = AISYS__CACHE__CACHE_MANAGER_CONFIG__INIT;

/* ---- Errors ----------------------------------------------------------------------------------- */

void cache_fail_too_large(
    struct aisys_actor *self, aisys_reply reply, size_t key_bytes, size_t value_bytes)
{
    const struct cache_manager *cache = aisys_state(self);

    if (value_bytes > cache->value_bytes_max)
        aisys_fail(self, reply, AISYS_RESOURCE_EXHAUSTED,
            "a value of %zu bytes; config.value_bytes allows %u", value_bytes,
            (unsigned)cache->value_bytes_max);
    else
        aisys_fail(self, reply, AISYS_RESOURCE_EXHAUSTED,
            "key and value of %zu bytes and %u for the pair are more than a namespace may hold, "
            "which is %u",
            key_bytes + value_bytes, AISYS_LRU_PAIR_BYTES, (unsigned)cache->quota_bytes);
}

void cache_fail_missing(struct aisys_actor *self, aisys_reply reply)
{
    aisys_fail(self, reply, AISYS_NOT_FOUND, "no such key in this namespace, or it has left");
}

void cache_fail_namespaces(struct aisys_actor *self, aisys_reply reply)
{
    const struct cache_manager *cache = aisys_state(self);

    aisys_fail(self, reply, AISYS_RESOURCE_EXHAUSTED,
        "there are %u namespaces, as many as config.namespaces_max allows, and none is empty",
        (unsigned)cache->namespaces_max);
}

/* ---- In memory -------------------------------------------------------------------------------- */

static struct aisys_lru_text text_of(const char *key)
{
    return (struct aisys_lru_text){ key, strlen(key) };
}

static void *cache_alloc(void *ctx, size_t bytes)
{
    return aisys_alloc(ctx, bytes);
}

static void cache_free(void *ctx, void *p)
{
    aisys_free(ctx, p);
}

/* What expires or was forgotten is freed later. Should there be no place for the timer, the next call that
 * leaves something to sweep sets it. */
static void cache_sweep_later(struct aisys_actor *self, uint32_t delay_ms)
{
    struct cache_manager *cache = aisys_state(self);

    if (!cache->sweeping && delay_ms)
        cache->sweeping =
            aisys_after(self, delay_ms, (struct aisys_then){ .continuation = CACHE_ON_SWEEP }) == 0;
}

static int cache_on_sweep(struct aisys_actor *self, const struct aisys_end *end)
{
    struct cache_manager *cache = aisys_state(self);

    (void)end;
    cache->sweeping = false;
    cache_sweep_later(self, aisys_lru_sweep(cache->lru, aisys_now_ms(self)));
    return 0;
}

static void cache_memory_set(
    struct aisys_actor *self, const Aisys__Cache__SetRequest *request, aisys_reply reply)
{
    const Aisys__Cache__SetReply answer = AISYS__CACHE__SET_REPLY__INIT;
    struct cache_manager *cache = aisys_state(self);
    const uint64_t now_ms = aisys_now_ms(self);

    switch (aisys_lru_set(cache->lru, request->namespace_, text_of(request->key),
        (struct aisys_lru_text){ request->value.data, request->value.len },
        request->ttl_ms ? now_ms + request->ttl_ms : 0, now_ms)) {
    case 0:
        if (request->ttl_ms)
            cache_sweep_later(self, 1000);
        aisys_answer(self, reply, &answer.base);
        break;
    case AISYS_LRU_TOO_LARGE:
        cache_fail_too_large(self, reply, strlen(request->key), request->value.len);
        break;
    case AISYS_LRU_NAMESPACES:
        cache_fail_namespaces(self, reply);
        break;
    default:
        aisys_fail(self, reply, AISYS_RESOURCE_EXHAUSTED,
            "no memory for the value, even with all others gone: see limits.memory_mb of %s",
            aisys_name(self));
    }
}

static void cache_memory_get(
    struct aisys_actor *self, const Aisys__Cache__GetRequest *request, aisys_reply reply)
{
    Aisys__Cache__GetReply answer = AISYS__CACHE__GET_REPLY__INIT;
    struct cache_manager *cache = aisys_state(self);
    const uint64_t now_ms = aisys_now_ms(self);
    struct aisys_lru_value value;

    if (!aisys_lru_get(cache->lru, request->namespace_, text_of(request->key), now_ms, &value)) {
        cache_fail_missing(self, reply);
        return;
    }
    answer.has_value = answer.has_ttl_ms = true;
    answer.value.data = (uint8_t *)(uintptr_t)value.data;
    answer.value.len = value.bytes;
    answer.ttl_ms = value.expires_ms ? (uint32_t)(value.expires_ms - now_ms) : 0;
    aisys_answer(self, reply, &answer.base);
}

static void cache_memory_delete(
    struct aisys_actor *self, const Aisys__Cache__DeleteRequest *request, aisys_reply reply)
{
    Aisys__Cache__DeleteReply answer = AISYS__CACHE__DELETE_REPLY__INIT;
    struct cache_manager *cache = aisys_state(self);

    answer.has_deleted = true;
    answer.deleted = aisys_lru_delete(
        cache->lru, request->namespace_, text_of(request->key), aisys_now_ms(self));
    aisys_answer(self, reply, &answer.base);
}

static void cache_memory_invalidate(
    struct aisys_actor *self, const Aisys__Cache__InvalidateRequest *request, aisys_reply reply)
{
    Aisys__Cache__InvalidateReply answer = AISYS__CACHE__INVALIDATE_REPLY__INIT;
    struct cache_manager *cache = aisys_state(self);

    answer.has_count = true;
    answer.count = aisys_lru_invalidate(cache->lru, request->namespace_);
    aisys_answer(self, reply, &answer.base);
    if (answer.count)
        cache_sweep_later(self, 1);
}

struct rows {
    Aisys__Cache__StatsReply__Namespace *rows;
    Aisys__Cache__StatsReply__Namespace **pointers;
    size_t nr;
};

static void rows_add(void *ctx, const struct aisys_lru_stats *stats)
{
    struct rows *rows = ctx;
    Aisys__Cache__StatsReply__Namespace *row = &rows->rows[rows->nr];

    aisys__cache__stats_reply__namespace__init(row);
    row->name = (char *)(uintptr_t)stats->name;
    row->has_keys = row->has_bytes = row->has_hits = row->has_misses = row->has_evictions = true;
    row->keys = stats->keys;
    row->bytes = (uint32_t)stats->bytes;
    row->hits = stats->hits;
    row->misses = stats->misses;
    row->evictions = stats->evictions;
    rows->pointers[rows->nr++] = row;
}

static void cache_memory_stats(struct aisys_actor *self, aisys_reply reply)
{
    Aisys__Cache__StatsReply answer = AISYS__CACHE__STATS_REPLY__INIT;
    struct cache_manager *cache = aisys_state(self);
    const size_t nr = aisys_lru_namespaces(cache->lru);
    struct rows rows = { .rows = aisys_alloc(self, nr * sizeof(*rows.rows) + 1),
        .pointers = aisys_alloc(self, nr * sizeof(*rows.pointers) + 1) };

    if (rows.rows && rows.pointers) {
        aisys_lru_each(cache->lru, rows_add, &rows);
        answer.has_backend = true;
        answer.backend = AISYS__CACHE__STATS_REPLY__BACKEND__MEMORY;
        answer.namespaces = rows.pointers;
        answer.n_namespaces = rows.nr;
        aisys_answer(self, reply, &answer.base);
    } else {
        aisys_fail(self, reply, AISYS_RESOURCE_EXHAUSTED, "no memory to write the answer");
    }
    aisys_free(self, rows.rows);
    aisys_free(self, rows.pointers);
}

/* ---- Methods ---------------------------------------------------------------------------------- */

static int cache_set(struct aisys_actor *self, const void *message, aisys_reply reply)
{
    const struct cache_manager *cache = aisys_state(self);
    const Aisys__Cache__SetRequest *request = message;
    const size_t key_bytes = strlen(request->key);

    if (request->value.len > cache->value_bytes_max ||
        key_bytes + request->value.len + AISYS_LRU_PAIR_BYTES > cache->quota_bytes)
        cache_fail_too_large(self, reply, key_bytes, request->value.len);
    else if (cache->on_redis)
        cache_redis_set(self, request, reply);
    else
        cache_memory_set(self, request, reply);
    return 0;
}

static int cache_get(struct aisys_actor *self, const void *message, aisys_reply reply)
{
    const struct cache_manager *cache = aisys_state(self);

    (cache->on_redis ? cache_redis_get : cache_memory_get)(self, message, reply);
    return 0;
}

static int cache_delete(struct aisys_actor *self, const void *message, aisys_reply reply)
{
    const struct cache_manager *cache = aisys_state(self);

    (cache->on_redis ? cache_redis_delete : cache_memory_delete)(self, message, reply);
    return 0;
}

static int cache_invalidate(struct aisys_actor *self, const void *message, aisys_reply reply)
{
    const struct cache_manager *cache = aisys_state(self);

    (cache->on_redis ? cache_redis_invalidate : cache_memory_invalidate)(self, message, reply);
    return 0;
}

static int cache_stats(struct aisys_actor *self, const void *message, aisys_reply reply)
{
    const struct cache_manager *cache = aisys_state(self);

    (void)message;
    (cache->on_redis ? cache_redis_stats : cache_memory_stats)(self, reply);
    return 0;
}

/* ---- Life ------------------------------------------------------------------------------------- */

static int cache_start_memory(
    struct aisys_actor *self, const Aisys__Cache__CacheManagerConfig *config)
{
    struct cache_manager *cache = aisys_state(self);
    const struct aisys_lru_options options = {
        .quota_bytes = config->quota_bytes,
        .total_bytes = config->total_bytes,
        .namespaces_max = config->namespaces_max,
        .seed = aisys_random(self),
        .alloc = cache_alloc,
        .free = cache_free,
        .ctx = self,
    };

    cache->lru = aisys_lru_new(&options);
    return cache->lru ? 0 : -ENOMEM;
}

static int cache_start(struct aisys_actor *self, const void *message)
{
    const Aisys__Cache__CacheManagerConfig *config = message ? message : &no_config;
    struct cache_manager *cache = aisys_state(self);
    const bool configured = aisys_redis_configured(self);

    cache->quota_bytes = config->quota_bytes;
    cache->value_bytes_max = config->value_bytes;
    cache->namespaces_max = config->namespaces_max;
    if (config->backend == AISYS__CACHE__CACHE_MANAGER_CONFIG__BACKEND__MEMORY ||
        (config->backend == AISYS__CACHE__CACHE_MANAGER_CONFIG__BACKEND__AUTO && !configured))
        return cache_start_memory(self, config);
    if (!configured) {
        aisys_give_up(self, -ENOTCONN, "config.backend is REDIS, but redis.host is not set");
        return -ENOTCONN;
    }
    cache->on_redis = true;
    cache->invalidations =
        aisys_alloc(self, CACHE_INVALIDATIONS_MAX * sizeof(*cache->invalidations));
    return cache->invalidations ? 0 : -ENOMEM;
}

static void cache_health(const struct aisys_actor *self, struct aisys_health *ret_health)
{
    const struct cache_manager *cache = aisys_state(self);
    const char *why;

    if (!cache->on_redis || aisys_redis_state(self, &why) == AISYS_REDIS_THERE)
        return;
    ret_health->status = AISYS_DEGRADED;
    snprintf(ret_health->why, sizeof(ret_health->why), "Redis is away: %s", why);
}

static const struct aisys_method cache_methods[] = {
    { "Set", cache_set },
    { "Get", cache_get },
    { "Delete", cache_delete },
    { "Invalidate", cache_invalidate },
    { "Stats", cache_stats },
    { 0 },
};

static const struct aisys_continuation cache_continuations[] = {
    [CACHE_ON_SWEEP] = { "on_sweep", cache_on_sweep, NULL },
    [CACHE_ON_SET] = { "on_set", cache_redis_on_set, NULL },
    [CACHE_ON_GET] = { "on_get", cache_redis_on_get, NULL },
    [CACHE_ON_DELETE] = { "on_delete", cache_redis_on_delete, NULL },
    [CACHE_ON_INVALIDATE] = { "on_invalidate", cache_redis_on_invalidate, NULL },
    [CACHE_ON_STATS] = { "on_stats", cache_redis_on_stats, NULL },
    { 0 },
};

const struct aisys_actor_ops aisys_cache_manager_ops = {
    .abi = AISYS_ABI,
    .name = "cache_manager",
    .service = &aisys__cache__cache_manager__descriptor,
    .config = &aisys__cache__cache_manager_config__descriptor,
    .methods = cache_methods,
    .continuations = cache_continuations,
    .state_bytes = sizeof(struct cache_manager),
    .start = cache_start,
    .health = cache_health,
};
