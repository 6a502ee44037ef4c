/* Store, Supersede and Relate. */
#include "memory/memory_orchestrator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory/words.h"

/* A longer text is made ready by a job: on the loop it would take a good part of a millisecond. */
#define LOOP_BYTES_MAX 4096

static int change_invalid(struct aisys_actor *self, aisys_reply reply, const char *words)
{
    aisys_fail(self, reply, AISYS_INVALID_ARGUMENT, "%s", words);
    return 0;
}

/* ---- Store ----------------------------------------------------------------------------------- */

static void store_duplicates(struct memory_state *m, struct memory_prepared *p)
{
    char *at = p->duplicates;
    int64_t ids[MEMORY_DUPLICATES_MAX];
    const unsigned n = memory_rows_duplicates(
        m->heap->rows, p->record.row.normal, p->record.row.simhash, p->record.created_ms, ids);

    for (unsigned i = 0; i < n; i++)
        at += sprintf(at, "%s%lld", i > 0 ? " " : "", (long long)ids[i]);
    p->record.duplicates = p->duplicates;
}

/* The text is ready: give it an id and send it to the database. */
static int store_run(struct aisys_actor *self, struct memory_work *work)
{
    struct memory_state *m = aisys_state(self);
    struct memory_prepared *p = work->prepared;

    if (memory_rows_living(m->heap->rows) + m->in_flight >= m->memories_max)
        return memory_work_fail(self, work, AISYS_RESOURCE_EXHAUSTED,
            "there are %u memories, as many as memories_max allows", m->memories_max);
    if (memory_rows_count(m->heap->rows) + m->in_flight >= MEMORY_VECTORS_MAX)
        return memory_work_fail(self, work, AISYS_RESOURCE_EXHAUSTED,
            "there is no room until what was forgotten is cleared away; try again later");
    store_duplicates(m, p);
    p->record.row.id = m->next_id++; /* in the order of the database's queue, which is ours */
    work->counted = true;
    m->in_flight++;
    m->store->keep(self, work);
    return 0;
}

/* What a job for a long text owns, until it hands it back as its result. */
static void store_job(struct aisys_job *job)
{
    struct memory_prepared **input = aisys_job_input(job), *p = *input;

    *input = NULL;
    memory_prepare(p);
    aisys_job_result(job, p, memory_prepared_free);
}

static void store_input_free(void *input)
{
    memory_prepared_free(*(struct memory_prepared **)input);
    free(input);
}

static int store_by_job(struct aisys_actor *self, struct memory_work *work)
{
    struct memory_prepared **input = malloc(sizeof(struct memory_prepared *));
    int rc = -ENOMEM;

    if (input != NULL) {
        *input = work->prepared;
        work->prepared = NULL;
        rc = aisys_job(self, AISYS_LANE_MEMORY, store_job,
            (struct aisys_job_input){ input, store_input_free },
            memory_then(self, work, MEMORY_ON_PREPARED));
        if (rc != 0)
            store_input_free(input);
    }
    return rc == 0 ? 0 : memory_work_refused(self, work, rc);
}

int memory_on_prepared(struct aisys_actor *self, const struct aisys_end *end)
{
    struct memory_work *work = memory_work_find(aisys_state(self), end->token);

    if (work == NULL)
        return 0;
    if (end->code != AISYS_OK)
        return memory_work_fail(self, work, end->code, "%s", end->words);
    work->prepared = memory_prepared_move(end->result);
    return work->prepared != NULL ? store_run(self, work)
                                  : memory_work_refused(self, work, -ENOMEM);
}

/* Everything that Store and Supersede have in common. @record borrows from the request. */
static int store_begin(struct aisys_actor *self, const struct memory_record *record,
    char *const *tags, size_t n_tags, aisys_reply reply)
{
    struct memory_state *m = aisys_state(self);
    const size_t bytes = strlen(record->text), bad = memory_utf8_check(record->text, bytes);
    struct memory_work *work;

    if (bad != 0) {
        aisys_fail(self, reply, AISYS_INVALID_ARGUMENT, "text: byte %zu is not UTF-8", bad);
        return 0;
    }
    for (size_t i = 0; i < n_tags; i++) {
        if (memory_utf8_check(tags[i], strlen(tags[i])) != 0 || strchr(tags[i], '\n') != NULL)
            return change_invalid(self, reply, "tags: a tag must be UTF-8 without line feeds");
    }
    if ((record->session != NULL &&
            memory_utf8_check(record->session, strlen(record->session)) != 0) ||
        (record->source != NULL && memory_utf8_check(record->source, strlen(record->source)) != 0))
        return change_invalid(self, reply, "session and source must be UTF-8");

    work = memory_work_new(m, reply);
    if (work == NULL)
        return -ENOMEM;
    work->kind = MEMORY_WORK_STORE;
    work->supersede = record->supersedes != 0;
    work->prepared = memory_prepared_new(record, tags, n_tags);
    if (work->prepared == NULL)
        return memory_work_refused(self, work, -ENOMEM);
    if (bytes > LOOP_BYTES_MAX)
        return store_by_job(self, work);
    memory_prepare(work->prepared);
    return store_run(self, work);
}

/* A record as of now. */
static struct memory_record store_record(
    struct aisys_actor *self, const int64_t *event_ms, int kind, double importance, int64_t ttl_ms)
{
    const int64_t now_ms = aisys_wall_ms(self);
    struct memory_record record = { .created_ms = now_ms };

    record.row = (struct memory_row){
        .event_ms = event_ms != NULL ? *event_ms : now_ms,
        .expires_ms = ttl_ms > 0 ? now_ms + ttl_ms : 0,
        .used_ms = now_ms,
        .tier_ms = now_ms,
        .importance = (float)importance,
        .kind = (uint8_t)kind,
    };
    return record;
}

/* Request ids of Store and of Supersede do not meet. */
static int store_request_id(const char *method, const char *request_id, char *to, size_t room)
{
    return request_id != NULL ? snprintf(to, room, "%s %s", method, request_id) : 0;
}

int memory_store(struct aisys_actor *self, const void *request, aisys_reply reply)
{
    const Aisys__Memory__StoreRequest *r = request;
    struct memory_record record = store_record(
        self, r->has_event_time ? &r->event_time : NULL, (int)r->kind, r->importance, r->ttl_ms);
    char request_id[160];

    if (r->text == NULL || r->text[0] == '\0')
        return change_invalid(self, reply, "text: is empty");
    store_request_id("Store", r->request_id, request_id, sizeof(request_id));
    record.text = r->text;
    record.session = r->session;
    record.source = r->source;
    record.request_id = r->request_id != NULL ? request_id : NULL;
    return store_begin(self, &record, r->tags, r->n_tags, reply);
}

int memory_supersede(struct aisys_actor *self, const void *request, aisys_reply reply)
{
    const Aisys__Memory__SupersedeRequest *r = request;
    struct memory_state *m = aisys_state(self);
    struct memory_record record = store_record(
        self, r->has_event_time ? &r->event_time : NULL, (int)r->kind, r->importance, r->ttl_ms);
    const int64_t id = memory_id_read(r->id), slot = memory_find_slot(self, id);
    char request_id[160];

    if (r->text == NULL || r->text[0] == '\0')
        return change_invalid(self, reply, "text: is empty");
    if (slot < 0) {
        aisys_fail(self, reply, AISYS_NOT_FOUND, "there is no memory %s", r->id);
        return 0;
    }
    /* With a request id the database decides: it may be the same request again. */
    if (r->request_id == NULL &&
        (memory_rows_at(m->heap->rows, (uint32_t)slot)->flags & MEMORY_ROW_SUPERSEDED) != 0) {
        aisys_fail(
            self, reply, AISYS_FAILED_PRECONDITION, "memory %s was superseded before", r->id);
        return 0;
    }
    store_request_id("Supersede", r->request_id, request_id, sizeof(request_id));
    record.text = r->text;
    record.session = r->session;
    record.source = r->source;
    record.request_id = r->request_id != NULL ? request_id : NULL;
    record.supersedes = id;
    return store_begin(self, &record, r->tags, r->n_tags, reply);
}

/* ---- The answer ------------------------------------------------------------------------------ */

/* @duplicates: ids with a space between. */
static void store_answer(
    struct aisys_actor *self, const struct memory_work *work, int64_t id, const char *duplicates)
{
    Aisys__Memory__StoreReply answer = AISYS__MEMORY__STORE_REPLY__INIT;
    Aisys__Memory__SupersedeReply superseded = AISYS__MEMORY__SUPERSEDE_REPLY__INIT;
    char text[MEMORY_ID_ROOM], copy[MEMORY_DUPLICATES_MAX * MEMORY_ID_ROOM],
        *names[MEMORY_DUPLICATES_MAX];
    char *save;

    if (work->supersede) {
        superseded.id = memory_id_text(id, text);
        aisys_answer(self, work->reply, &superseded.base);
        return;
    }
    snprintf(copy, sizeof(copy), "%s", duplicates);
    for (char *name = strtok_r(copy, " ", &save);
         name != NULL && answer.n_duplicates < MEMORY_DUPLICATES_MAX;
         name = strtok_r(NULL, " ", &save))
        names[answer.n_duplicates++] = name;
    answer.id = memory_id_text(id, text);
    answer.duplicates = names;
    aisys_answer(self, work->reply, &answer.base);
}

int memory_store_stopped(struct aisys_actor *self, struct memory_work *work, const char *repeated)
{
    char *duplicates;
    int64_t id;

    if (repeated == NULL)
        return memory_work_fail(self, work, AISYS_FAILED_PRECONDITION,
            "memory %lld was superseded before", (long long)work->prepared->record.supersedes);
    id = strtoll(repeated, &duplicates, 10);
    store_answer(self, work, id, duplicates);
    memory_work_end(aisys_state(self), work);
    return 0;
}

/* Guards stopped the list: the request was answered before, or the old record is taken. */
static int store_stopped(
    struct aisys_actor *self, struct memory_work *work, const struct aisys_db_result *result)
{
    char words[MEMORY_ID_ROOM * (MEMORY_DUPLICATES_MAX + 1)];
    struct aisys_db_rows rows;

    aisys_db_rows(result, MEMORY_STORE_REPEATED, &rows);
    if (!aisys_db_next(&rows))
        return memory_store_stopped(self, work, NULL);
    snprintf(words, sizeof(words), "%lld %s", (long long)aisys_db_column_int(&rows, 0),
        aisys_db_column_text(&rows, 1, NULL));
    return memory_store_stopped(self, work, words);
}

/* It is on the disk: now it counts. */
static int store_keep(struct memory_state *m, const struct memory_prepared *p)
{
    const int64_t slot = memory_rows_append(m->heap->rows, &p->record.row, p->tags, p->vector);
    const int64_t old =
        p->record.supersedes != 0 ? memory_rows_find(m->heap->rows, p->record.supersedes) : -1;

    if (slot < 0)
        return (int)slot;
    return old >= 0 ? memory_rows_supersede(m->heap->rows, (uint32_t)old) : 0;
}

int memory_on_stored(struct aisys_actor *self, const struct aisys_end *end)
{
    struct memory_state *m = aisys_state(self);
    struct memory_work *work = memory_work_find(m, end->token);
    int rc;

    memory_note(self, end);
    if (work == NULL)
        return 0;
    if (end->code != AISYS_OK)
        return memory_work_fail(self, work, end->code, "%s", end->words);
    if (!memory_store_done(end->result))
        return store_stopped(self, work, end->result);
    rc = store_keep(m, work->prepared);
    if (rc < 0) /* stored, but not here: a new start reads it */
        return rc;
    m->store->settled(self, work);
    store_answer(self, work, work->prepared->record.row.id, work->prepared->duplicates);
    memory_work_end(m, work);
    return 0;
}

/* ---- Relate ---------------------------------------------------------------------------------- */

int memory_relate(struct aisys_actor *self, const void *request, aisys_reply reply)
{
    const Aisys__Memory__RelateRequest *r = request;
    struct memory_state *m = aisys_state(self);
    const int64_t from = memory_id_read(r->from), to = memory_id_read(r->to);
    struct memory_work *work;

    if (memory_utf8_check(r->type, strlen(r->type)) != 0)
        return change_invalid(self, reply, "type: must be UTF-8");
    if (memory_find_slot(self, from) < 0 || memory_find_slot(self, to) < 0) {
        aisys_fail(self, reply, AISYS_NOT_FOUND, "there is no memory %s",
            memory_find_slot(self, from) < 0 ? r->from : r->to);
        return 0;
    }
    work = memory_work_new(m, reply);
    if (work == NULL)
        return -ENOMEM;
    work->kind = MEMORY_WORK_RELATE;
    work->from = from;
    work->to = to;
    work->weight = r->weight;
    snprintf(work->words, sizeof(work->words), "%s", r->type);
    m->store->keep(self, work);
    return 0;
}

int memory_on_related(struct aisys_actor *self, const struct aisys_end *end)
{
    struct memory_state *m = aisys_state(self);
    struct memory_work *work = memory_work_find(m, end->token);
    Aisys__Memory__RelateReply answer = AISYS__MEMORY__RELATE_REPLY__INIT;

    memory_note(self, end);
    if (work == NULL)
        return 0;
    if (end->code != AISYS_OK)
        return memory_work_fail(self, work, end->code, "%s", end->words);
    if (((const struct aisys_db_result *)end->result)->n_done < 2)
        return memory_work_fail(self, work, AISYS_NOT_FOUND, "one of the memories was forgotten");
    m->store->settled(self, work);
    aisys_answer(self, work->reply, &answer.base);
    memory_work_end(m, work);
    return 0;
}
