/* memory_orchestrator: remembers texts and finds them again (proto/aisys/memory.proto).
 *
 * Texts are in SQLite, on the pool (or in Redis, with SQLite as their index: memory_redis.c); what filters
 * and ranks is in memory (rows.h), with the vectors. The actor is the only one that writes, gives the ids,
 * and keeps both in step: a row counts from the moment at which its text is on the disk.
 *
 *     start: open the database --> (compare it with Redis) --> read all rows --> ready
 *     stop:  save what was used --> stopped
 *
 * A handler here never fails the actor but for want of memory: whatever goes wrong is the answer to one
 * caller, and what the database said last shows in health. */
#include "memory/memory_orchestrator.h"

#include <aisys/redis.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HOUR_MS 3600000.0

#define LOOK_EVERY_MS 500 /* while Redis is away */

/* ---- Start ----------------------------------------------------------------------------------- */

static int memory_start(struct aisys_actor *self, const void *config_message)
{
    static const Aisys__Memory__MemoryOrchestratorConfig none =
        AISYS__MEMORY__MEMORY_ORCHESTRATOR_CONFIG__INIT;
    const Aisys__Memory__MemoryOrchestratorConfig *c =
        config_message != NULL ? config_message : &none;
    struct memory_state *m = aisys_state(self);
    const struct aisys_db_options options = {
        .path = c->path,
        .migrations = memory_migrations,
        .n_migrations = memory_n_migrations,
        .cache_kib = c->cache_kib,
    };
    const struct aisys_then then = { .continuation = MEMORY_ON_OPEN, .deadline_ms = 60000 };

    m->store = c->backend == AISYS__MEMORY__MEMORY_ORCHESTRATOR_CONFIG__BACKEND__REDIS ||
                       (c->backend == AISYS__MEMORY__MEMORY_ORCHESTRATOR_CONFIG__BACKEND__AUTO &&
                           aisys_storage_is_redis(self))
                   ? &memory_store_redis
                   : &memory_store_sqlite;
    m->half_lives = (struct memory_half_lives){ { (int64_t)(c->short_half_life_hours * HOUR_MS),
        (int64_t)(c->medium_half_life_hours * HOUR_MS),
        (int64_t)(c->long_half_life_hours * HOUR_MS) } };
    m->params = memory_rank_defaults;
    m->params.recency_share = c->recency_share;
    m->params.importance_share = c->importance_share;
    m->memories_max = c->memories_max;
    m->promote_uses = c->promote_uses;
    m->decay_half_lives = c->decay_half_lives;
    m->consolidate_every_s = c->consolidate_every_s;
    if (m->store == &memory_store_redis && !aisys_redis_configured(self)) {
        aisys_give_up(self, -ENOTCONN, "the records belong in Redis, but redis.host is not set");
        return AISYS_PENDING;
    }
    m->heap = memory_heap_take(aisys_self(self));
    m->counts = aisys_alloc(self, MEMORY_COUNTS * sizeof(*m->counts));
    if (m->heap == NULL || m->counts == NULL)
        return -ENOMEM;
    return aisys_db_open(self, &options, then) == 0 ? AISYS_PENDING : -ENOMEM;
}

static int memory_on_open(struct aisys_actor *self, const struct aisys_end *end)
{
    struct memory_state *m = aisys_state(self);

    if (end->code != AISYS_OK) {
        aisys_log(self, AISYS_ERROR, "memory_open_failed", "why=\"%s\"", end->words);
        aisys_give_up(self, -EIO, end->words);
        return 0;
    }
    m->db = end->result;
    return m->store == &memory_store_redis ? memory_sync_begin(self) : memory_load(self);
}

/* Is Redis back? */
static int memory_look_again(struct aisys_actor *self)
{
    const struct aisys_then then = { .continuation = MEMORY_ON_LOOK };

    return aisys_after(self, LOOK_EVERY_MS, then) == 0 ? 0 : -ENOMEM;
}

static int memory_on_look(struct aisys_actor *self, const struct aisys_end *end)
{
    (void)end;
    return aisys_redis_state(self, NULL) == AISYS_REDIS_THERE ? memory_sync_begin(self)
                                                              : memory_look_again(self);
}

void memory_went_away(struct aisys_actor *self, const char *why)
{
    struct memory_state *m = aisys_state(self);
    char trouble[sizeof(m->trouble)];
    bool known;

    snprintf(trouble, sizeof(trouble), "Redis: %.130s", why);
    known = strcmp(m->trouble, trouble) == 0;
    memcpy(m->trouble, trouble, sizeof(m->trouble));
    if (m->away)
        return;
    m->away = true;
    if (!known) /* every look finds it so: once is enough */
        aisys_log(self, AISYS_WARNING, "memory_redis_away", "why=\"%s\"", why);
    if (memory_look_again(self) != 0)
        aisys_give_up(self, -ENOMEM, "no place for a timer");
}

int memory_synced(struct aisys_actor *self, int64_t last, const char *why)
{
    struct memory_state *m = aisys_state(self);

    m->next_id = last + 1 > m->next_id ? last + 1 : m->next_id;
    m->away = false;
    if (why != NULL)
        memory_went_away(self, why);
    else
        m->trouble[0] = '\0';
    return m->ready ? 0 : memory_load(self);
}

int memory_loaded(struct aisys_actor *self)
{
    struct memory_state *m = aisys_state(self);
    int rc = 0;

    if (m->consolidate_every_s != 0)
        rc = aisys_after(self, m->consolidate_every_s * 1000,
            (struct aisys_then){ .continuation = MEMORY_ON_TIMER });
    m->ready = true;
    aisys_log(self, AISYS_INFO, "memory_loaded", "memories=%u", memory_rows_living(m->heap->rows));
    aisys_ready(self);
    return rc == 0 ? 0 : -ENOMEM;
}

/* ---- Stop ------------------------------------------------------------------------------------ */

static int memory_stop(struct aisys_actor *self, enum aisys_stop why)
{
    struct memory_state *m = aisys_state(self);

    (void)why;
    m->stopping = true;
    if (m->ready && memory_consolidate_begin(self, true) == 0)
        return AISYS_PENDING;
    memory_heap_give(aisys_self(self));
    return 0;
}

/* ---- Looking at it --------------------------------------------------------------------------- */

static void memory_health(const struct aisys_actor *self, struct aisys_health *ret_health)
{
    const struct memory_state *m = aisys_state(self);

    ret_health->status = m->trouble[0] == '\0' ? AISYS_HEALTHY : AISYS_DEGRADED;
    snprintf(ret_health->why, sizeof(ret_health->why), "%.150s", m->trouble);
}

static int memory_stats(struct aisys_actor *self, const void *request, aisys_reply reply)
{
    struct memory_state *m = aisys_state(self);
    Aisys__Memory__StatsReply answer = AISYS__MEMORY__STATS_REPLY__INIT;
    Aisys__Memory__StatsReply__Rows rows[MEMORY_KINDS * MEMORY_TIERS],
        *pointers[MEMORY_KINDS * MEMORY_TIERS];
    uint64_t counts[MEMORY_KINDS][MEMORY_TIERS] = { { 0 } };

    (void)request;
    for (uint32_t slot = 0; slot < memory_rows_count(m->heap->rows); slot++) {
        const struct memory_row *row = memory_rows_at(m->heap->rows, slot);

        counts[row->kind][row->tier] += (row->flags & MEMORY_ROW_DEAD) == 0;
    }
    for (unsigned i = 0; i < MEMORY_KINDS * MEMORY_TIERS; i++) {
        Aisys__Memory__StatsReply__Rows *r = &rows[answer.n_rows];

        if (counts[i / MEMORY_TIERS][i % MEMORY_TIERS] == 0)
            continue;
        aisys__memory__stats_reply__rows__init(r);
        r->has_kind = r->has_tier = r->has_count = true;
        r->kind = (Aisys__Memory__Record__Kind)(i / MEMORY_TIERS);
        r->tier = (Aisys__Memory__Record__Tier)(i % MEMORY_TIERS);
        r->count = counts[i / MEMORY_TIERS][i % MEMORY_TIERS];
        pointers[answer.n_rows++] = r;
    }
    answer.rows = pointers;
    answer.has_count = answer.has_bytes = true;
    answer.count = memory_rows_living(m->heap->rows);
    answer.bytes = memory_rows_bytes(m->heap->rows) + aisys_db_bytes(self, m->db);
    answer.backend = (char *)(uintptr_t)m->store->backend;
    answer.durability = (char *)(uintptr_t)m->store->durability;
    aisys_answer(self, reply, &answer.base);
    return 0;
}

/* ---- The class ------------------------------------------------------------------------------- */

static const struct aisys_method memory_methods[] = {
    { "Store", memory_store },
    { "Get", memory_get },
    { "Search", memory_search },
    { "Supersede", memory_supersede },
    { "Relate", memory_relate },
    { "Forget", memory_forget },
    { "Consolidate", memory_consolidate },
    { "Stats", memory_stats },
    { 0 },
};

static const struct aisys_continuation memory_continuations[] = {
    [MEMORY_ON_OPEN] = { "on_open", memory_on_open, NULL },
    [MEMORY_ON_LOAD] = { "on_load", memory_on_load, NULL },
    [MEMORY_ON_EMBEDDED] = { "on_embedded", memory_on_embedded, NULL },
    [MEMORY_ON_PREPARED] = { "on_prepared", memory_on_prepared, NULL },
    [MEMORY_ON_STORED] = { "on_stored", memory_on_stored, NULL },
    [MEMORY_ON_RELATED] = { "on_related", memory_on_related, NULL },
    [MEMORY_ON_CHANGED] = { "on_changed", memory_on_changed, NULL },
    [MEMORY_ON_COUNTS] = { "on_counts", memory_on_counts, NULL },
    [MEMORY_ON_MATCH] = { "on_match", memory_on_match, NULL },
    [MEMORY_ON_SCAN] = { "on_scan", memory_on_scan, NULL },
    [MEMORY_ON_FETCH] = { "on_fetch", memory_on_fetch, NULL },
    [MEMORY_ON_TIMER] = { "on_timer", memory_on_timer, NULL },
    [MEMORY_ON_KEPT] = { "on_kept", memory_on_kept, NULL },
    [MEMORY_ON_SETTLED] = { "on_settled", memory_on_settled, NULL },
    [MEMORY_ON_SYNC] = { "on_sync", memory_on_sync, NULL },
    [MEMORY_ON_SYNC_INDEX] = { "on_sync_index", memory_on_sync_index, NULL },
    [MEMORY_ON_LOOK] = { "on_look", memory_on_look, NULL },
    [MEMORY_CONTINUATIONS] = { 0 },
};

const struct aisys_actor_ops aisys_memory_orchestrator_ops = {
    .abi = AISYS_ABI,
    .name = "memory_orchestrator",
    .service = &aisys__memory__memory_orchestrator__descriptor,
    .config = &aisys__memory__memory_orchestrator_config__descriptor,
    .methods = memory_methods,
    .continuations = memory_continuations,
    .state_bytes = sizeof(struct memory_state),
    .state_version = 1,
    .start = memory_start,
    .stop = memory_stop,
    .health = memory_health,
};
