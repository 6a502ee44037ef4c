/* The index of this node beside the records in Redis: what is missing in it, what it has too many, and what
 * was changed while it was not told is put right before the actor is ready.
 *
 *     begin   the greatest id, and the ids whose entries may be old
 *     page    a thousand ids of Redis ...
 *     local   ... and those of the index in the same range
 *     fetch   records that are wrong here, 64 at a time: out of the index, and in again if they are there
 *     done    no entry is old any more
 *
 * A Redis that holds nothing at all does not empty an index: it lost its data, and changes are refused.
 *
 * When the actor is ready already (Redis was away at its start), differences are not put right under the
 * feet of searches: the actor begins anew. */
#include "memory/memory_orchestrator.h"

#include <aisys/redis.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_IDS  1000
#define FETCH_IDS 64
#define BEGIN_MS  3000 /* Redis is given so long to be there at the start */
#define STEP_MS   60000

enum sync_step { SYNC_BEGIN, SYNC_PAGE, SYNC_LOCAL, SYNC_FETCH, SYNC_DONE };

struct memory_sync {
    int64_t last;
    int64_t cursor; /* ids up to here were compared */
    int64_t page[PAGE_IDS];
    size_t n_page;
    int64_t *wrong; /* actor's account */
    size_t n_wrong, room, done;
    unsigned open; /* index changes that have not ended */
    bool failed;
};

static int sync_redis(struct aisys_actor *self, enum sync_step step,
    const struct aisys_redis_command *commands, size_t n)
{
    const struct aisys_then then = { .continuation = MEMORY_ON_SYNC,
        .token = step,
        .deadline_ms = step == SYNC_BEGIN ? BEGIN_MS : STEP_MS };

    return aisys_redis_batch(self, AISYS_REDIS_TOGETHER_PIPELINE, commands, n, then) == 0 ? 0
                                                                                          : -ENOMEM;
}

static int sync_add(struct aisys_actor *self, struct memory_sync *sync, int64_t id)
{
    if (sync->n_wrong == sync->room) {
        const size_t room = sync->room * 2 + 256;
        int64_t *grown = aisys_realloc(self, sync->wrong, room * sizeof(*grown));

        if (grown == NULL)
            return -ENOMEM;
        sync->wrong = grown;
        sync->room = room;
    }
    sync->wrong[sync->n_wrong++] = id;
    return 0;
}

static int sync_end(struct aisys_actor *self, const char *why)
{
    struct memory_state *m = aisys_state(self);
    const int64_t last = m->sync->last;

    aisys_free(self, m->sync->wrong);
    aisys_free(self, m->sync);
    m->sync = NULL;
    return memory_synced(self, last, why);
}

int memory_sync_begin(struct aisys_actor *self)
{
    const struct aisys_redis_arg last[] = { aisys_redis_word("GET"),
        aisys_redis_word("aisys:memory:last") };
    const struct aisys_redis_arg dirty[] = { aisys_redis_word("HKEYS"),
        aisys_redis_word("aisys:memory:dirty") };
    const struct aisys_redis_command commands[] = { { last, 2 }, { dirty, 2 } };
    struct memory_state *m = aisys_state(self);

    m->sync = aisys_alloc(self, sizeof(*m->sync));
    return m->sync != NULL ? sync_redis(self, SYNC_BEGIN, commands, 2) : -ENOMEM;
}

/* ---- What is wrong ----------------------------------------------------------------------------- */

static int sync_next_page(struct aisys_actor *self, struct memory_sync *sync)
{
    struct aisys_redis_arg page[] = { aisys_redis_word("ZRANGEBYSCORE"),
        aisys_redis_word("aisys:memory:ids"), { NULL, 0 }, aisys_redis_word("+inf"),
        aisys_redis_word("LIMIT"), aisys_redis_word("0"), aisys_redis_word("1000") };
    const struct aisys_redis_command command = { page, 7 };
    char after[32];

    snprintf(after, sizeof(after), "(%lld", (long long)sync->cursor);
    page[2] = aisys_redis_word(after);
    return sync_redis(self, SYNC_PAGE, &command, 1);
}

/* Answer @i of a batch; sync_strange() saw that it is there, and this stays safe if it did not. */
static const struct aisys_redis_value *sync_answer(const struct aisys_redis_value *value, size_t i)
{
    static const struct aisys_redis_value nothing = { .type = AISYS_REDIS_NIL };
    const struct aisys_redis_value *answer = aisys_redis_element(value, i);

    return answer != NULL ? answer : &nothing;
}

static int sync_on_begin(
    struct aisys_actor *self, struct memory_sync *sync, const struct aisys_redis_value *value)
{
    const struct aisys_redis_value *dirty = sync_answer(value, 1);

    sync->last = strtoll(aisys_redis_text(sync_answer(value, 0)), NULL, 10);
    for (size_t i = 0; i < dirty->element_nr; i++) {
        if (sync_add(self, sync, strtoll(aisys_redis_text(&dirty->elements[i]), NULL, 10)) < 0)
            return -ENOMEM;
    }
    return sync_next_page(self, sync);
}

static int sync_on_page(
    struct aisys_actor *self, struct memory_sync *sync, const struct aisys_redis_value *value)
{
    const struct aisys_redis_value *ids = sync_answer(value, 0);
    const struct aisys_then then = {
        .continuation = MEMORY_ON_SYNC, .token = SYNC_LOCAL, .deadline_ms = STEP_MS
    };
    struct memory_state *m = aisys_state(self);
    struct memory_list list;

    sync->n_page = 0;
    for (size_t i = 0; i < ids->element_nr && i < PAGE_IDS; i++)
        sync->page[sync->n_page++] = strtoll(aisys_redis_text(&ids->elements[i]), NULL, 10);
    memory_list_ids(
        &list, sync->cursor, sync->n_page == PAGE_IDS ? sync->page[PAGE_IDS - 1] : INT64_MAX);
    return aisys_db_exec(self, m->db, AISYS_DB_READ, list.stmts, list.n, then) == 0 ? 0 : -ENOMEM;
}

static int sync_fetch(struct aisys_actor *self, struct memory_sync *sync);

/* Both are ascending: what one of them lacks is wrong. */
static int sync_on_local(
    struct aisys_actor *self, struct memory_sync *sync, const struct aisys_db_result *result)
{
    struct aisys_db_rows rows;
    size_t i = 0;
    int rc = 0;

    aisys_db_rows(result, 0, &rows);
    if (sync->last == 0 && rows.n_left > 0) /* it lost its data: what is here may be all there is */
        return sync_end(self,
            "holds no memories, but the index of this node does: restore its data, or "
            "move the index away to begin anew");
    while (rc == 0 && aisys_db_next(&rows)) {
        const int64_t id = aisys_db_column_int(&rows, 0);

        while (rc == 0 && i < sync->n_page && sync->page[i] < id)
            rc = sync_add(self, sync, sync->page[i++]);
        if (i < sync->n_page && sync->page[i] == id)
            i++;
        else if (rc == 0)
            rc = sync_add(self, sync, id);
    }
    for (; rc == 0 && i < sync->n_page; i++)
        rc = sync_add(self, sync, sync->page[i]);
    if (rc < 0)
        return rc;
    if (sync->n_page == PAGE_IDS) {
        sync->cursor = sync->page[PAGE_IDS - 1];
        return sync_next_page(self, sync);
    }
    return sync_fetch(self, sync);
}

/* ---- Putting it right -------------------------------------------------------------------------- */

/* The next records, or the end. */
static int sync_fetch(struct aisys_actor *self, struct memory_sync *sync)
{
    static const struct aisys_redis_arg done[] = { { "DEL", 3 }, { "aisys:memory:dirty", 18 } };
    static const struct aisys_redis_command settle = { done, 2 };
    const struct memory_state *m = aisys_state(self);
    struct aisys_redis_arg args[FETCH_IDS][2];
    struct aisys_redis_command commands[FETCH_IDS];
    char keys[FETCH_IDS][48];
    size_t n = 0;

    if (m->ready && sync->n_wrong > 0) {
        aisys_give_up(self, -EAGAIN,
            "Redis is back and differs from the index: it is compared at a new start");
        return 0;
    }
    if (sync->done == 0 && sync->n_wrong > 0)
        aisys_log(self, AISYS_INFO, "memory_index_differs", "entries=%zu", sync->n_wrong);
    for (; n < FETCH_IDS && sync->done + n < sync->n_wrong; n++) {
        snprintf(keys[n], sizeof(keys[n]), "aisys:memory:record:%lld",
            (long long)sync->wrong[sync->done + n]);
        args[n][0] = aisys_redis_word("HGETALL");
        args[n][1] = aisys_redis_word(keys[n]);
        commands[n] = (struct aisys_redis_command){ args[n], 2 };
    }
    return n > 0 ? sync_redis(self, SYNC_FETCH, commands, n)
                 : sync_redis(self, SYNC_DONE, &settle, 1);
}

static int sync_index(
    struct aisys_actor *self, struct memory_sync *sync, const struct memory_list *list)
{
    struct memory_state *m = aisys_state(self);
    const struct aisys_then then = { .continuation = MEMORY_ON_SYNC_INDEX, .deadline_ms = STEP_MS };

    if (aisys_db_exec(self, m->db, AISYS_DB_WRITE, list->stmts, list->n, then) != 0)
        return -ENOMEM;
    sync->open++;
    return 0;
}

/* The value of field @name of a hash as HGETALL gives it; NULL when it has none. */
static const char *sync_field(const struct aisys_redis_value *hash, const char *name)
{
    for (size_t i = 0; i + 1 < hash->element_nr; i += 2) {
        if (aisys_redis_equals(&hash->elements[i], name))
            return aisys_redis_text(&hash->elements[i + 1]);
    }
    return NULL;
}

static int64_t sync_number(const struct aisys_redis_value *hash, const char *name)
{
    const char *text = sync_field(hash, name);

    return text != NULL ? strtoll(text, NULL, 10) : 0;
}

static int64_t sync_within(int64_t value, int64_t most)
{
    return value < 0 || value > most ? 0 : value;
}

/* link:TO:TYPE */
static int sync_links(struct aisys_actor *self, struct memory_sync *sync, int64_t from,
    const struct aisys_redis_value *hash)
{
    int rc = 0;

    for (size_t i = 0; i + 1 < hash->element_nr && rc == 0; i += 2) {
        const char *name = aisys_redis_text(&hash->elements[i]);
        struct memory_list list;
        char *type;
        int64_t to;

        if (strncmp(name, "link:", 5) != 0)
            continue;
        to = strtoll(name + 5, &type, 10);
        if (*type != ':')
            continue;
        memory_list_link(
            &list, from, type + 1, to, strtod(aisys_redis_text(&hash->elements[i + 1]), NULL));
        rc = sync_index(self, sync, &list);
    }
    return rc;
}

/* Tags, each of which ends in a line feed, as a list of at most MEMORY_TAGS_MAX in @words. */
static size_t sync_tags(char *words, char **ret_tags)
{
    size_t n = 0;

    for (char *end; n < MEMORY_TAGS_MAX && (end = strchr(words, '\n')) != NULL; words = end + 1) {
        *end = '\0';
        ret_tags[n++] = words;
    }
    return n;
}

static int sync_insert(struct aisys_actor *self, struct memory_sync *sync, int64_t id,
    const struct aisys_redis_value *hash)
{
    const char *text = sync_field(hash, "text"), *tags = sync_field(hash, "tags"),
               *importance = sync_field(hash, "importance");
    struct memory_record record = { .text = text,
        .session = sync_field(hash, "session"),
        .source = sync_field(hash, "source"),
        .created_ms = sync_number(hash, "created_ms"),
        .supersedes = sync_number(hash, "supersedes") };
    char date[128], words[MEMORY_TAGS_MAX * 72], *list_of_tags[MEMORY_TAGS_MAX];
    struct memory_prepared *p;
    struct memory_list list;
    int rc;

    if (text == NULL) /* not a record of ours: nothing to index */
        return 0;
    snprintf(words, sizeof(words), "%s", tags != NULL ? tags : "");
    record.row = (struct memory_row){
        .id = id,
        .kind = (uint8_t)sync_within(sync_number(hash, "kind"), MEMORY_KINDS - 1),
        .tier = (uint8_t)sync_within(sync_number(hash, "tier"), MEMORY_TIERS - 1),
        .tier_ms = sync_number(hash, "tier_ms"),
        .event_ms = sync_number(hash, "event_ms"),
        .expires_ms = sync_number(hash, "expires_ms"),
        .used_ms = sync_number(hash, "used_ms"),
        .hits = (uint32_t)sync_within(sync_number(hash, "hits"), UINT32_MAX),
        .importance = importance != NULL ? strtof(importance, NULL) : 0.5f,
    };
    p = memory_prepared_new(&record, list_of_tags, sync_tags(words, list_of_tags));
    if (p == NULL)
        return -ENOMEM;
    memory_prepare(p);
    memory_list_insert(&list, &p->record, sync_number(hash, "superseded_by"), date);
    rc = sync_index(self, sync, &list);
    memory_prepared_free(p);
    return rc == 0 ? sync_links(self, sync, id, hash) : rc;
}

static int sync_on_fetch(
    struct aisys_actor *self, struct memory_sync *sync, const struct aisys_redis_value *value)
{
    int rc = 0;

    for (size_t i = 0; i < value->element_nr && rc == 0; i++, sync->done++) {
        char id[MEMORY_ID_ROOM + 2];
        struct memory_list list;

        snprintf(id, sizeof(id), "[%lld]", (long long)sync->wrong[sync->done]);
        memory_list_forget(&list, id);
        rc = sync_index(self, sync, &list);
        if (rc == 0 && value->elements[i].element_nr > 0)
            rc = sync_insert(self, sync, sync->wrong[sync->done], &value->elements[i]);
    }
    return rc;
}

int memory_on_sync_index(struct aisys_actor *self, const struct aisys_end *end)
{
    struct memory_state *m = aisys_state(self);

    if (m->sync == NULL)
        return 0;
    if (end->code != AISYS_OK && !m->sync->failed) {
        m->sync->failed = true;
        aisys_give_up(self, -EIO, end->words);
    }
    return --m->sync->open == 0 && !m->sync->failed ? sync_fetch(self, m->sync) : 0;
}

/* Does every command of the batch have an answer of the type that was asked for? */
static const char *sync_strange(enum sync_step step, const struct aisys_redis_value *value)
{
    for (size_t i = 0; i < value->element_nr; i++) {
        const struct aisys_redis_value *e = &value->elements[i];
        const bool array =
            step == SYNC_PAGE || step == SYNC_FETCH || (step == SYNC_BEGIN && i == 1);

        if (aisys_redis_is_error(e))
            return aisys_redis_text(e);
        if (array && !aisys_redis_is_array(e))
            return "an answer of a strange type";
    }
    return value->element_nr >= (step == SYNC_BEGIN ? 2u : 1u) ? NULL : "an answer is missing";
}

int memory_on_sync(struct aisys_actor *self, const struct aisys_end *end)
{
    struct memory_state *m = aisys_state(self);
    const char *strange;

    if (m->sync == NULL)
        return 0;
    if (end->code != AISYS_OK)
        return sync_end(self, end->words);
    if (end->token == SYNC_LOCAL)
        return sync_on_local(self, m->sync, end->result);
    strange = sync_strange((enum sync_step)end->token, end->result);
    if (strange != NULL)
        return sync_end(self, strange);
    switch (end->token) {
    case SYNC_BEGIN:
        return sync_on_begin(self, m->sync, end->result);
    case SYNC_PAGE:
        return sync_on_page(self, m->sync, end->result);
    case SYNC_FETCH:
        return sync_on_fetch(self, m->sync, end->result);
    default:
        return sync_end(self, NULL);
    }
}
