#include "lru.h"

#include <errno.h>
#include <string.h>

#define BUCKETS_FIRST    64u
#define MIGRATE_PER_CALL 4u     /* buckets that move to the larger table with each call */
#define SWEEP_BUCKETS    16384u /* looked at in one sweep */
#define SWEEP_FREES      4096u  /* forgotten pairs freed in one sweep */
#define SWEEP_SOON_MS    1u
#define SWEEP_LATER_MS   1000u

struct pair {
    struct pair *bucket_next;
    struct pair *newer, *older; /* of the forgotten, older is the next */
    uint64_t hash;
    uint64_t used;       /* when, in calls */
    uint64_t expires_ms; /* 0: never */
    uint32_t key_bytes, value_bytes;
    unsigned char data[]; /* key, then value */
};

struct table {
    struct pair **buckets; /* owned; NULL when there are none */
    uint32_t size;         /* a power of two */
};

struct namespace
{
    char *name; /* owned; NULL: a free place */
    struct table table;
    struct table old;  /* what still moves to table */
    uint32_t migrated; /* buckets of old that did */
    uint32_t sweep_at; /* the next bucket of table to look at */
    struct pair *newest, *oldest;
    uint32_t keys, keys_that_expire;
    uint64_t bytes;
    uint64_t hits, misses, evictions;
    uint64_t used;
};

struct aisys_lru {
    struct aisys_lru_options options;
    struct namespace *namespaces; /* owned; sorted by name */
    uint32_t namespaces_nr;
    struct pair *forgotten; /* owned; still charged to bytes */
    uint64_t bytes;
    uint64_t calls;
    uint32_t sweep_from; /* the namespace that is swept first: each has its turn */
};

/* ---- Pairs ------------------------------------------------------------------------------------ */

/* FNV-1a over seed and key, then a mix, so that low bits are good ones. */
static uint64_t hash_of(const struct aisys_lru *lru, struct aisys_lru_text key)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ lru->options.seed;
    const unsigned char *bytes = key.data;

    for (size_t i = 0; i < key.bytes; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
    hash ^= hash >> 32;
    hash *= UINT64_C(0xd6e8feb86659fd93);
    return hash ^ hash >> 32;
}

static uint64_t cost_of(size_t key_bytes, size_t value_bytes)
{
    return (uint64_t)key_bytes + value_bytes + AISYS_LRU_PAIR_BYTES;
}

static uint64_t pair_cost(const struct pair *pair)
{
    return cost_of(pair->key_bytes, pair->value_bytes);
}

static bool pair_expired(const struct pair *pair, uint64_t now_ms)
{
    return pair->expires_ms && pair->expires_ms <= now_ms;
}

static void pair_free(struct aisys_lru *lru, struct pair *pair)
{
    lru->bytes -= pair_cost(pair);
    lru->options.free(lru->options.ctx, pair);
}

static void list_take(struct namespace *ns, struct pair *pair)
{
    *(pair->newer ? &pair->newer->older : &ns->newest) = pair->older;
    *(pair->older ? &pair->older->newer : &ns->oldest) = pair->newer;
}

static void list_put(struct namespace *ns, struct pair *pair)
{
    pair->newer = NULL;
    pair->older = ns->newest;
    *(ns->newest ? &ns->newest->newer : &ns->oldest) = pair;
    ns->newest = pair;
}

/* ---- Tables ----------------------------------------------------------------------------------- */

static struct pair **bucket_of(const struct table *table, uint64_t hash)
{
    return &table->buckets[hash & (table->size - 1)];
}

static void table_drop(struct aisys_lru *lru, struct table *table)
{
    if (table->buckets)
        lru->options.free(lru->options.ctx, table->buckets);
    *table = (struct table){ 0 };
}

/* A few buckets go on to the larger table. */
static void table_migrate(struct aisys_lru *lru, struct namespace *ns)
{
    for (unsigned i = 0; i < MIGRATE_PER_CALL && ns->old.buckets; i++) {
        struct pair *pair = ns->old.buckets[ns->migrated];

        while (pair) {
            struct pair *next = pair->bucket_next;
            struct pair **to = bucket_of(&ns->table, pair->hash);

            pair->bucket_next = *to;
            *to = pair;
            pair = next;
        }
        ns->old.buckets[ns->migrated++] = NULL;
        if (ns->migrated == ns->old.size)
            table_drop(lru, &ns->old);
    }
}

/* Room for one more. A table that cannot grow only becomes slower; false: there is none at all. */
static bool table_grow(struct aisys_lru *lru, struct namespace *ns)
{
    const uint32_t size = ns->table.buckets ? ns->table.size * 2 : BUCKETS_FIRST;
    struct pair **buckets;

    if (ns->table.buckets && (ns->keys < ns->table.size || ns->old.buckets || !size))
        return true;
    buckets = lru->options.alloc(lru->options.ctx, size * sizeof(struct pair *));
    if (!buckets)
        return ns->table.buckets != NULL;
    ns->old = ns->table;
    ns->migrated = 0;
    ns->table = (struct table){ buckets, size };
    return true;
}

/* Where the pointer to the pair is; NULL: there is none. */
static struct pair **table_find(
    const struct namespace *ns, uint64_t hash, struct aisys_lru_text key)
{
    const struct table *const tables[] = { &ns->table, &ns->old };

    for (unsigned i = 0; i < 2; i++) {
        if (!tables[i]->buckets)
            continue;
        for (struct pair **at = bucket_of(tables[i], hash); *at; at = &(*at)->bucket_next)
            if ((*at)->hash == hash && (*at)->key_bytes == key.bytes &&
                memcmp((*at)->data, key.data, key.bytes) == 0)
                return at;
    }
    return NULL;
}

/* ---- Namespaces ------------------------------------------------------------------------------- */

/* Where @name is, or would be. */
static uint32_t namespace_place(const struct aisys_lru *lru, const char *name)
{
    uint32_t low = 0, high = lru->namespaces_nr;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;

        if (strcmp(lru->namespaces[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct namespace *namespace_find(struct aisys_lru *lru, const char *name)
{
    const uint32_t at = namespace_place(lru, name);

    return at < lru->namespaces_nr && strcmp(lru->namespaces[at].name, name) == 0
               ? &lru->namespaces[at]
               : NULL;
}

static void namespace_remove(struct aisys_lru *lru, struct namespace *ns)
{
    const uint32_t at = (uint32_t)(ns - lru->namespaces);

    table_drop(lru, &ns->table);
    table_drop(lru, &ns->old);
    lru->options.free(lru->options.ctx, ns->name);
    lru->namespaces_nr--;
    memmove(ns, ns + 1, (lru->namespaces_nr - at) * sizeof(*ns));
}

/* The empty one that was not used for longest makes room. */
static bool namespace_make_room(struct aisys_lru *lru)
{
    struct namespace *empty = NULL;

    for (uint32_t i = 0; i < lru->namespaces_nr; i++) {
        struct namespace *ns = &lru->namespaces[i];

        if (!ns->keys && (!empty || ns->used < empty->used))
            empty = ns;
    }
    if (empty)
        namespace_remove(lru, empty);
    return empty != NULL;
}

/* 0, -ENOMEM, AISYS_LRU_NAMESPACES. */
static int namespace_get(struct aisys_lru *lru, const char *name, struct namespace **ret_ns)
{
    struct namespace *ns = namespace_find(lru, name);
    const size_t bytes = strlen(name) + 1;
    char *copy;
    uint32_t at;

    if (ns) {
        *ret_ns = ns;
        return 0;
    }
    if (lru->namespaces_nr == lru->options.namespaces_max && !namespace_make_room(lru))
        return AISYS_LRU_NAMESPACES;
    copy = lru->options.alloc(lru->options.ctx, bytes);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, name, bytes);
    at = namespace_place(lru, name);
    ns = &lru->namespaces[at];
    memmove(ns + 1, ns, (lru->namespaces_nr - at) * sizeof(*ns));
    *ns = (struct namespace){ .name = copy, .used = lru->calls };
    lru->namespaces_nr++;
    *ret_ns = ns;
    return 0;
}

/* ---- Leaving ---------------------------------------------------------------------------------- */

/* The pair that @at points to leaves its namespace and is freed. */
static void pair_remove(struct aisys_lru *lru, struct namespace *ns, struct pair **at)
{
    struct pair *pair = *at;

    *at = pair->bucket_next;
    list_take(ns, pair);
    ns->keys--;
    ns->keys_that_expire -= pair->expires_ms != 0;
    ns->bytes -= pair_cost(pair);
    pair_free(lru, pair);
}

static void pair_evict(struct aisys_lru *lru, struct namespace *ns)
{
    const struct pair *pair = ns->oldest;

    pair_remove(lru, ns,
        table_find(ns, pair->hash, (struct aisys_lru_text){ pair->data, pair->key_bytes }));
    ns->evictions++;
}

static bool free_forgotten(struct aisys_lru *lru, unsigned at_most)
{
    for (unsigned i = 0; i < at_most && lru->forgotten; i++) {
        struct pair *pair = lru->forgotten;

        lru->forgotten = pair->older;
        pair_free(lru, pair);
    }
    return lru->forgotten != NULL;
}

/* Whatever nobody needs most: something forgotten, else the least recently used of all. False: nothing is
 * left but @keep. */
static bool free_something(struct aisys_lru *lru, const struct pair *keep)
{
    struct namespace *with_oldest = NULL;

    if (lru->forgotten) {
        free_forgotten(lru, 1);
        return true;
    }
    for (uint32_t i = 0; i < lru->namespaces_nr; i++) {
        struct namespace *ns = &lru->namespaces[i];

        if (ns->oldest && ns->oldest != keep &&
            (!with_oldest || ns->oldest->used < with_oldest->oldest->used))
            with_oldest = ns;
    }
    if (with_oldest)
        pair_evict(lru, with_oldest);
    return with_oldest != NULL;
}

/* ---- Calls ------------------------------------------------------------------------------------ */

struct aisys_lru *aisys_lru_new(const struct aisys_lru_options *options)
{
    struct aisys_lru *lru = options->alloc(options->ctx, sizeof(*lru));

    if (!lru)
        return NULL;
    lru->options = *options;
    lru->namespaces =
        options->alloc(options->ctx, options->namespaces_max * sizeof(*lru->namespaces));
    if (!lru->namespaces) {
        options->free(options->ctx, lru);
        return NULL;
    }
    return lru;
}

void aisys_lru_free(struct aisys_lru *lru)
{
    if (!lru)
        return;
    while (lru->namespaces_nr) {
        struct namespace *ns = &lru->namespaces[lru->namespaces_nr - 1];

        aisys_lru_invalidate(lru, ns->name);
        namespace_remove(lru, ns);
    }
    while (free_forgotten(lru, SWEEP_FREES))
        ;
    lru->options.free(lru->options.ctx, lru->namespaces);
    lru->options.free(lru->options.ctx, lru);
}

/* A pair that is in no namespace yet. Others, but not @old, leave while there is no memory for it. */
static struct pair *pair_new(struct aisys_lru *lru, struct aisys_lru_text key,
    struct aisys_lru_text value, const struct pair *old)
{
    struct pair *pair;

    for (;;) {
        pair = lru->options.alloc(lru->options.ctx, sizeof(*pair) + key.bytes + value.bytes);
        if (pair)
            break;
        if (!free_something(lru, old))
            return NULL;
    }
    pair->key_bytes = (uint32_t)key.bytes;
    pair->value_bytes = (uint32_t)value.bytes;
    memcpy(pair->data, key.data, key.bytes);
    if (value.bytes)
        memcpy(pair->data + key.bytes, value.data, value.bytes);
    lru->bytes += pair_cost(pair);
    return pair;
}

int aisys_lru_set(struct aisys_lru *lru, const char *namespace, struct aisys_lru_text key,
    struct aisys_lru_text value, uint64_t expires_ms, uint64_t now_ms)
{
    const uint64_t cost = cost_of(key.bytes, value.bytes);
    const uint64_t hash = hash_of(lru, key);
    struct namespace *ns;
    struct pair **at, *pair;
    int r;

    (void)now_ms;
    if (cost > lru->options.quota_bytes || cost > lru->options.total_bytes)
        return AISYS_LRU_TOO_LARGE;
    lru->calls++;
    r = namespace_get(lru, namespace, &ns);
    if (r)
        return r;
    ns->used = lru->calls;
    table_migrate(lru, ns);
    if (!table_grow(lru, ns))
        return -ENOMEM;
    at = table_find(ns, hash, key);
    pair = pair_new(lru, key, value, at ? *at : NULL);
    if (!pair)
        return -ENOMEM;
    at = table_find(ns, hash, key); /* others have left, perhaps from its bucket */
    if (at)
        pair_remove(lru, ns, at);
    while (ns->bytes + cost > lru->options.quota_bytes)
        pair_evict(lru, ns);
    while (lru->bytes > lru->options.total_bytes && free_something(lru, NULL))
        ;
    pair->hash = hash;
    pair->used = lru->calls;
    pair->expires_ms = expires_ms;
    at = bucket_of(&ns->table, hash);
    pair->bucket_next = *at;
    *at = pair;
    list_put(ns, pair);
    ns->keys++;
    ns->keys_that_expire += expires_ms != 0;
    ns->bytes += cost;
    return 0;
}

/* The pair, unless it has expired: then it is gone now. */
static struct pair **find_living(
    struct aisys_lru *lru, struct namespace *ns, struct aisys_lru_text key, uint64_t now_ms)
{
    struct pair **at = table_find(ns, hash_of(lru, key), key);

    if (!at || !pair_expired(*at, now_ms))
        return at;
    pair_remove(lru, ns, at);
    return NULL;
}

bool aisys_lru_get(struct aisys_lru *lru, const char *namespace, struct aisys_lru_text key,
    uint64_t now_ms, struct aisys_lru_value *ret_value)
{
    struct namespace *ns = namespace_find(lru, namespace);
    struct pair **at, *pair;

    if (!ns)
        return false;
    ns->used = ++lru->calls;
    table_migrate(lru, ns);
    at = find_living(lru, ns, key, now_ms);
    if (!at) {
        ns->misses++;
        return false;
    }
    ns->hits++;
    pair = *at;
    pair->used = lru->calls;
    list_take(ns, pair);
    list_put(ns, pair);
    *ret_value = (struct aisys_lru_value){ pair->data + pair->key_bytes, pair->value_bytes,
        pair->expires_ms };
    return true;
}

bool aisys_lru_delete(
    struct aisys_lru *lru, const char *namespace, struct aisys_lru_text key, uint64_t now_ms)
{
    struct namespace *ns = namespace_find(lru, namespace);
    struct pair **at;

    if (!ns)
        return false;
    ns->used = ++lru->calls;
    table_migrate(lru, ns);
    at = find_living(lru, ns, key, now_ms);
    if (at)
        pair_remove(lru, ns, at);
    return at != NULL;
}

uint32_t aisys_lru_invalidate(struct aisys_lru *lru, const char *namespace)
{
    struct namespace *ns = namespace_find(lru, namespace);
    const uint32_t keys = ns ? ns->keys : 0;

    if (!keys)
        return 0;
    ns->used = ++lru->calls;
    ns->oldest->older = lru->forgotten; /* the list by age goes in front of what is forgotten */
    lru->forgotten = ns->newest;
    ns->newest = ns->oldest = NULL;
    table_drop(lru, &ns->table);
    table_drop(lru, &ns->old);
    ns->keys = ns->keys_that_expire = 0;
    ns->bytes = 0;
    return keys;
}

/* Look at the next buckets of @ns for what has expired; how many were looked at. */
static uint32_t namespace_sweep(
    struct aisys_lru *lru, struct namespace *ns, uint64_t now_ms, uint32_t at_most)
{
    uint32_t looked = 0;

    while (ns->old.buckets && looked < at_most) { /* first what moves, so that one table is all */
        table_migrate(lru, ns);
        looked += MIGRATE_PER_CALL;
    }
    for (uint32_t i = 0; i < ns->table.size && looked < at_most; i++, looked++) {
        struct pair **at = &ns->table.buckets[ns->sweep_at++ & (ns->table.size - 1)];

        while (*at) {
            if (pair_expired(*at, now_ms))
                pair_remove(lru, ns, at);
            else
                at = &(*at)->bucket_next;
        }
    }
    return looked;
}

uint32_t aisys_lru_sweep(struct aisys_lru *lru, uint64_t now_ms)
{
    uint32_t left = SWEEP_BUCKETS;
    bool expiring = false;

    if (free_forgotten(lru, SWEEP_FREES))
        return SWEEP_SOON_MS;
    lru->sweep_from++;
    for (uint32_t i = 0; i < lru->namespaces_nr && left; i++) {
        struct namespace *ns = &lru->namespaces[(lru->sweep_from + i) % lru->namespaces_nr];
        uint32_t looked;

        if (!ns->keys_that_expire)
            continue;
        looked = namespace_sweep(lru, ns, now_ms, left);
        left = looked < left ? left - looked : 0;
    }
    for (uint32_t i = 0; i < lru->namespaces_nr; i++)
        expiring |= lru->namespaces[i].keys_that_expire != 0;
    return expiring ? SWEEP_LATER_MS : 0;
}

size_t aisys_lru_namespaces(const struct aisys_lru *lru)
{
    return lru->namespaces_nr;
}

void aisys_lru_each(const struct aisys_lru *lru,
    void (*each)(void *ctx, const struct aisys_lru_stats *stats), void *ctx)
{
    for (uint32_t i = 0; i < lru->namespaces_nr; i++) {
        const struct namespace *ns = &lru->namespaces[i];

        each(ctx, &(struct aisys_lru_stats){
                      ns->name, ns->keys, ns->bytes, ns->hits, ns->misses, ns->evictions });
    }
}
