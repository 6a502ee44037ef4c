/* Records in Redis. Each change is one script there, then the same change of the index, which is SQLite's
 * as ever; an id is in `dirty` from the one to the other, so that a start after a crash knows which
 * entries of the index to make again (memory_sync.c).
 *
 *     aisys:memory:record:ID    hash: text, session, source, tags, kind, tier, tier_ms, event_ms, created_ms,
 *                               expires_ms, importance, hits, used_ms, supersedes, superseded_by; and
 *                               link:TO:TYPE with the weight
 *     aisys:memory:ids          sorted set of all ids by their number
 *     aisys:memory:last         the greatest id ever given
 *     aisys:memory:dirty        hash: changes of an id that its index entry may not have yet
 *     aisys:memory:request:ID   a first answer, for a day
 *
 * The scripts name keys that they were not given: they are for one server, not for a cluster. */
#include "memory/memory_orchestrator.h"

#include <aisys/redis.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "local p = 'aisys:memory:' local c = redis.call "

/* ARGV: id, request id or "", superseded id or 0, duplicates, then fields and values. */
static const char redis_store[] = PREFIX
    "local id, r, o = ARGV[1], ARGV[2], ARGV[3] "
    "if r ~= '' then local a = c('GET', p .. 'request:' .. r) if a then return {'repeated', a} end "
    "end "
    "if o ~= '0' and c('HGET', p .. 'record:' .. o, 'superseded_by') ~= '0' then return "
    "{'superseded'} end "
    "c('HSET', p .. 'record:' .. id, unpack(ARGV, 5)) "
    "c('ZADD', p .. 'ids', id, id) c('SET', p .. 'last', id) c('HINCRBY', p .. 'dirty', id, 1) "
    "if o ~= '0' then c('HSET', p .. 'record:' .. o, 'superseded_by', id) c('HINCRBY', p .. "
    "'dirty', o, 1) end "
    "if r ~= '' then c('SET', p .. 'request:' .. r, id .. ' ' .. ARGV[4], 'PX', 86400000) end "
    "return {'kept'}";

/* ARGV: ids. */
static const char redis_forget[] = PREFIX "for _, id in ipairs(ARGV) do "
                                          "c('UNLINK', p .. 'record:' .. id) c('ZREM', p .. 'ids', "
                                          "id) c('HINCRBY', p .. 'dirty', id, 1) end "
                                          "return {'kept'}";

/* ARGV: id, tier, tier_ms, hits, used_ms, and so on. */
static const char redis_use[] =
    PREFIX "for i = 1, #ARGV, 5 do local k = p .. 'record:' .. ARGV[i] "
           "if c('EXISTS', k) == 1 then c('HSET', k, 'tier', ARGV[i + 1], 'tier_ms', ARGV[i + 2], "
           "'hits', ARGV[i + 3], 'used_ms', ARGV[i + 4]) end end "
           "return {'kept'}";

/* ARGV: from, to, type, weight. */
static const char redis_relate[] =
    PREFIX "local from = p .. 'record:' .. ARGV[1] "
           "if c('EXISTS', from) == 0 or c('EXISTS', p .. 'record:' .. ARGV[2]) == 0 then "
           "return {'missing'} end "
           "c('HSET', from, 'link:' .. ARGV[2] .. ':' .. ARGV[3], ARGV[4]) c('HINCRBY', p .. "
           "'dirty', ARGV[1], 1) "
           "return {'kept'}";

/* ARGV: ids. */
static const char redis_settle[] =
    PREFIX "for _, id in ipairs(ARGV) do "
           "if c('HINCRBY', p .. 'dirty', id, -1) <= 0 then c('HDEL', p .. 'dirty', id) end end "
           "return {'kept'}";

/* ---- Words of a command ------------------------------------------------------------------------ */

#define ARGS_MAX    (4 + MEMORY_SAVE_AT_ONCE * 5)
#define NUMBERS_MAX (MEMORY_SAVE_AT_ONCE * 5)
#define NUMBER_ROOM 28

struct redis_args {
    struct aisys_redis_arg args[ARGS_MAX];
    char numbers[NUMBERS_MAX][NUMBER_ROOM];
    size_t n;
    size_t n_numbers;
};

static void redis_word(struct redis_args *a, const char *text)
{
    a->args[a->n++] = aisys_redis_word(text != NULL ? text : "");
}

static void redis_int(struct redis_args *a, int64_t number)
{
    char *to = a->numbers[a->n_numbers++];

    snprintf(to, NUMBER_ROOM, "%lld", (long long)number);
    redis_word(a, to);
}

static void redis_real(struct redis_args *a, double number)
{
    char *to = a->numbers[a->n_numbers++];

    snprintf(to, NUMBER_ROOM, "%.17g", number);
    redis_word(a, to);
}

static void redis_field(struct redis_args *a, const char *name, int64_t value)
{
    redis_word(a, name);
    redis_int(a, value);
}

static void redis_script(struct redis_args *a, const char *script)
{
    redis_word(a, "EVAL");
    redis_word(a, script);
    redis_word(a, "0");
}

static void redis_args_store(struct redis_args *a, const struct memory_record *record)
{
    const struct memory_row *row = &record->row;

    redis_script(a, redis_store);
    redis_int(a, row->id);
    redis_word(a, record->request_id);
    redis_int(a, record->supersedes);
    redis_word(a, record->duplicates);
    redis_word(a, "text");
    redis_word(a, record->text);
    if (record->session != NULL) {
        redis_word(a, "session");
        redis_word(a, record->session);
    }
    if (record->source != NULL) {
        redis_word(a, "source");
        redis_word(a, record->source);
    }
    redis_word(a, "tags");
    redis_word(a, record->tags);
    redis_field(a, "kind", row->kind);
    redis_field(a, "tier", row->tier);
    redis_field(a, "tier_ms", row->tier_ms);
    redis_field(a, "event_ms", row->event_ms);
    redis_field(a, "created_ms", record->created_ms);
    redis_field(a, "expires_ms", row->expires_ms);
    redis_word(a, "importance");
    redis_real(a, (double)row->importance);
    redis_field(a, "hits", 0);
    redis_field(a, "used_ms", row->used_ms);
    redis_field(a, "supersedes", record->supersedes);
    redis_field(a, "superseded_by", 0);
}

static void redis_args_change(
    struct redis_args *a, struct memory_state *m, const struct memory_work *work)
{
    const uint32_t ids = memory_next_ids(work), slots = memory_next_slots(work);

    redis_script(a, ids > 0 ? redis_forget : redis_use);
    for (uint32_t i = 0; i < ids; i++)
        redis_int(a, work->ids[work->ids_done + i]);
    for (uint32_t i = 0; i < slots; i++) {
        const struct memory_row *row =
            memory_rows_at(m->heap->rows, work->slots[work->slots_done + i]);

        redis_int(a, row->id);
        redis_int(a, row->tier);
        redis_int(a, row->tier_ms);
        redis_int(a, row->hits);
        redis_int(a, row->used_ms);
    }
}

/* ---- Keeping ----------------------------------------------------------------------------------- */

static int redis_keep(struct aisys_actor *self, struct memory_work *work)
{
    const struct memory_state *m = aisys_state(self);
    struct redis_args *a;
    const char *why;
    int rc = -ENOMEM;

    if (m->away) {
        aisys_redis_state(self, &why);
        memory_work_fail(self, work, AISYS_UNAVAILABLE,
            why[0] != '\0' ? "Redis is away: %s" : "Redis has just come back; try again", why);
        return AISYS_SEND_GONE;
    }
    a = calloc(1, sizeof(*a));
    if (a != NULL) {
        switch (work->kind) {
        case MEMORY_WORK_STORE:
            redis_args_store(a, &work->prepared->record);
            break;
        case MEMORY_WORK_RELATE:
            redis_script(a, redis_relate);
            redis_int(a, work->from);
            redis_int(a, work->to);
            redis_word(a, work->words);
            redis_real(a, work->weight);
            break;
        default:
            redis_args_change(a, aisys_state(self), work);
            break;
        }
        rc = aisys_redis_exec(self, a->args, a->n, memory_then(self, work, MEMORY_ON_KEPT));
        free(a);
    }
    if (rc != 0)
        memory_work_refused(self, work, rc);
    return rc;
}

int memory_on_kept(struct aisys_actor *self, const struct aisys_end *end)
{
    struct memory_state *m = aisys_state(self);
    struct memory_work *work = memory_work_find(m, end->token);
    const struct aisys_redis_value *value = end->result, *first;

    /* It may have been done there: the index is compared when Redis is back. */
    if (end->code == AISYS_UNAVAILABLE || end->code == AISYS_DEADLINE_EXCEEDED)
        memory_went_away(self, end->words);
    if (work == NULL)
        return 0;
    if (end->code != AISYS_OK)
        return memory_work_fail(self, work, end->code, "%s", end->words);
    first = aisys_redis_element(value, 0);
    if (first == NULL) {
        snprintf(m->trouble, sizeof(m->trouble), "Redis: %.140s", aisys_redis_text(value));
        return memory_work_fail(self, work, AISYS_UNAVAILABLE, "Redis answered: %s",
            aisys_redis_is_error(value) ? aisys_redis_text(value)
                                        : "something else than asked for");
    }
    if (aisys_redis_equals(first, "repeated") && aisys_redis_element(value, 1) != NULL)
        return memory_store_stopped(self, work, aisys_redis_text(aisys_redis_element(value, 1)));
    if (aisys_redis_equals(first, "superseded"))
        return memory_store_stopped(self, work, NULL);
    if (aisys_redis_equals(first, "missing"))
        return memory_work_fail(self, work, AISYS_NOT_FOUND, "one of the memories was forgotten");
    if (work->kind == MEMORY_WORK_STORE) /* Redis is who remembers it */
        work->prepared->record.request_id = NULL;
    memory_index_change(self, work);
    return 0;
}

/* ---- The index has it, too ---------------------------------------------------------------------- */

static void redis_settled(struct aisys_actor *self, const struct memory_work *work)
{
    const uint32_t ids = work->kind == MEMORY_WORK_CHANGE ? memory_next_ids(work) : 0;
    struct redis_args *a = calloc(1, sizeof(*a));

    if (a == NULL)
        return; /* it stays in `dirty`: the next start looks at it in vain */
    redis_script(a, redis_settle);
    if (work->kind == MEMORY_WORK_STORE) {
        redis_int(a, work->prepared->record.row.id);
        if (work->prepared->record.supersedes != 0)
            redis_int(a, work->prepared->record.supersedes);
    } else if (work->kind == MEMORY_WORK_RELATE) {
        redis_int(a, work->from);
    }
    for (uint32_t i = 0; i < ids; i++)
        redis_int(a, work->ids[work->ids_done + i]);
    if (a->n > 3)
        aisys_redis_exec(
            self, a->args, a->n, (struct aisys_then){ .continuation = MEMORY_ON_SETTLED });
    free(a);
}

int memory_on_settled(struct aisys_actor *self, const struct aisys_end *end)
{
    (void)self;
    (void)end;
    return 0;
}

const struct memory_store memory_store_redis = {
    .backend = "redis",
    .durability =
        "acknowledged by Redis, as durable as its persistence is set up; the index of this "
        "node is made from it",
    .keep = redis_keep,
    .settled = redis_settled,
};
