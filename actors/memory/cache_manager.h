/* What the files of cache_manager share: the actor's state, and the backend on Redis. */
#ifndef ACTORS_MEMORY_CACHE_MANAGER_H
#define ACTORS_MEMORY_CACHE_MANAGER_H

#include "aisys/cache.pb-c.h"
#include "lru.h"

#include <aisys/actor.h>

extern const struct aisys_actor_ops aisys_cache_manager_ops;

/* Invalidations of large namespaces take several steps; as many of them at once. */
#define CACHE_INVALIDATIONS_MAX 32u

struct cache_invalidation {
    aisys_reply reply; /* 0: a free place */
    char *namespace;   /* owned */
    uint32_t count;
    uint32_t steps;
};

struct cache_manager {
    bool on_redis;
    bool sweeping; /* a timer is set */
    uint32_t quota_bytes;
    uint32_t value_bytes_max;
    uint32_t namespaces_max;
    struct aisys_lru *lru;                    /* in memory; else NULL */
    struct cache_invalidation *invalidations; /* on Redis: owned, CACHE_INVALIDATIONS_MAX */
};

/* Continuations: ops->continuations in this order. */
enum {
    CACHE_ON_SWEEP,
    CACHE_ON_SET,
    CACHE_ON_GET,
    CACHE_ON_DELETE,
    CACHE_ON_INVALIDATE,
    CACHE_ON_STATS
};

/* The methods on Redis; each answers @reply, now or later. */
void cache_redis_set(
    struct aisys_actor *self, const Aisys__Cache__SetRequest *request, aisys_reply reply);
void cache_redis_get(
    struct aisys_actor *self, const Aisys__Cache__GetRequest *request, aisys_reply reply);
void cache_redis_delete(
    struct aisys_actor *self, const Aisys__Cache__DeleteRequest *request, aisys_reply reply);
void cache_redis_invalidate(
    struct aisys_actor *self, const Aisys__Cache__InvalidateRequest *request, aisys_reply reply);
void cache_redis_stats(struct aisys_actor *self, aisys_reply reply);

int cache_redis_on_set(struct aisys_actor *self, const struct aisys_end *end);
int cache_redis_on_get(struct aisys_actor *self, const struct aisys_end *end);
int cache_redis_on_delete(struct aisys_actor *self, const struct aisys_end *end);
int cache_redis_on_invalidate(struct aisys_actor *self, const struct aisys_end *end);
int cache_redis_on_stats(struct aisys_actor *self, const struct aisys_end *end);

/* The errors that both backends have. */
void cache_fail_too_large(
    struct aisys_actor *self, aisys_reply reply, size_t key_bytes, size_t value_bytes);
void cache_fail_missing(struct aisys_actor *self, aisys_reply reply);
void cache_fail_namespaces(struct aisys_actor *self, aisys_reply reply);

#endif
