/* From rows and texts to the messages of memory.proto. */
#include "memory/memory_orchestrator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *memory_id_text(int64_t id, char *to)
{
    snprintf(to, MEMORY_ID_ROOM, "%lld", (long long)id);
    return to;
}

int64_t memory_id_read(const char *text)
{
    return text != NULL ? strtoll(text, NULL, 10) : -1;
}

char *memory_json_ids(const int64_t *ids, size_t n)
{
    char *json = malloc(n * (MEMORY_ID_ROOM + 1) + 3), *at = json;

    if (json == NULL)
        return NULL;
    *at++ = '[';
    for (size_t i = 0; i < n; i++)
        at += sprintf(at, "%s%lld", i > 0 ? "," : "", (long long)ids[i]);
    strcpy(at, "]");
    return json;
}

/* One hit on its way out: the message, and what it points to. */
struct reply_hit {
    Aisys__Memory__SearchReply__Hit hit;
    Aisys__Memory__SearchReply__Parts parts;
    Aisys__Memory__Record record;
    char id[MEMORY_ID_ROOM], superseded_by[MEMORY_ID_ROOM], supersedes[MEMORY_ID_ROOM];
    char *tags[MEMORY_TAGS_MAX];
    char *tag_words;                            /* owned */
    Aisys__Memory__Record__Relation *relations; /* owned, with their texts */
    Aisys__Memory__Record__Relation **relation_pointers;
    size_t relations_room;
    bool there; /* its text was found */
};

static void reply_hits_free(struct reply_hit *hits, unsigned n)
{
    for (unsigned i = 0; hits != NULL && i < n; i++) {
        for (size_t r = 0; r < hits[i].record.n_relations; r++)
            free(hits[i].relations[r].to);
        free(hits[i].relations);
        free(hits[i].relation_pointers);
        free(hits[i].tag_words);
    }
    free(hits);
}

/* What is known without the database. */
static void reply_row(
    struct reply_hit *h, const struct memory_row *row, const struct memory_candidate *c)
{
    Aisys__Memory__Record *record = &h->record;

    aisys__memory__record__init(record);
    record->id = memory_id_text(row->id, h->id);
    record->has_kind = record->has_tier = record->has_event_time = record->has_importance = true;
    record->kind = (Aisys__Memory__Record__Kind)row->kind;
    record->tier = (Aisys__Memory__Record__Tier)row->tier;
    record->event_time = row->event_ms;
    record->importance = (double)row->importance;
    record->has_expires = row->expires_ms != 0;
    record->expires = row->expires_ms;

    aisys__memory__search_reply__parts__init(&h->parts);
    h->parts.has_text = h->parts.has_vector = h->parts.has_recency = h->parts.has_importance = true;
    h->parts.text = c->text_part;
    h->parts.vector = c->vector_part;
    h->parts.recency = c->recency;
    h->parts.importance = c->importance;
    aisys__memory__search_reply__hit__init(&h->hit);
    h->hit.memory = record;
    h->hit.has_score = true;
    h->hit.score = c->score;
    h->hit.parts = &h->parts;
}

/* Tags, each of which ends in a line feed. */
static int reply_tags(struct reply_hit *h, const char *tags)
{
    h->tag_words = strdup(tags);
    if (h->tag_words == NULL)
        return -ENOMEM;
    for (char *tag = h->tag_words, *end; (end = strchr(tag, '\n')) != NULL; tag = end + 1) {
        *end = '\0';
        if (h->record.n_tags < MEMORY_TAGS_MAX)
            h->tags[h->record.n_tags++] = tag;
    }
    h->record.tags = h->tags;
    return 0;
}

/* A NULL of the database is an absent field; text lives as long as the result. */
static char *reply_text(const struct aisys_db_rows *rows, unsigned column)
{
    return rows->columns[column].type == AISYS_DB_TEXT
               ? (char *)(uintptr_t)aisys_db_column_text(rows, column, NULL)
               : NULL;
}

static int reply_texts(struct reply_hit *h, const struct aisys_db_rows *rows)
{
    const int64_t supersedes = aisys_db_column_int(rows, 5),
                  superseded_by = aisys_db_column_int(rows, 6);
    Aisys__Memory__Record *record = &h->record;

    h->there = true;
    record->text = reply_text(rows, 1);
    record->session = reply_text(rows, 2);
    record->source = reply_text(rows, 3);
    if (supersedes != 0)
        record->supersedes = memory_id_text(supersedes, h->supersedes);
    if (superseded_by != 0)
        record->superseded_by = memory_id_text(superseded_by, h->superseded_by);
    record->has_created = true;
    record->created = aisys_db_column_int(rows, 7);
    return reply_tags(h, aisys_db_column_text(rows, 4, NULL));
}

static int reply_relation(struct reply_hit *h, const struct aisys_db_rows *rows)
{
    Aisys__Memory__Record__Relation *relation;
    size_t bytes;
    const char *type = aisys_db_column_text(rows, 1, &bytes);

    if (h->record.n_relations == h->relations_room) {
        const size_t room = h->relations_room * 2 + 4;
        void *grown = realloc(h->relations, room * sizeof(*relation));

        if (grown == NULL)
            return -ENOMEM;
        h->relations = grown;
        h->relations_room = room;
    }
    relation = &h->relations[h->record.n_relations];
    aisys__memory__record__relation__init(relation);
    relation->to = malloc(MEMORY_ID_ROOM + bytes + 1); /* both texts in one */
    if (relation->to == NULL)
        return -ENOMEM;
    memory_id_text(aisys_db_column_int(rows, 2), relation->to);
    relation->type = memcpy(relation->to + MEMORY_ID_ROOM, type, bytes + 1);
    relation->has_weight = true;
    relation->weight = aisys_db_column_real(rows, 3);
    h->record.n_relations++;
    return 0;
}

static int reply_point(struct reply_hit *h)
{
    const size_t n = h->record.n_relations;

    if (n == 0)
        return 0;
    h->relation_pointers = malloc(n * sizeof(*h->relation_pointers));
    if (h->relation_pointers == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++)
        h->relation_pointers[i] = &h->relations[i];
    h->record.relations = h->relation_pointers;
    return 0;
}

/* The hit with @id, from @from on and around: the database answers in the order it was asked in. */
static struct reply_hit *reply_find(
    struct reply_hit *hits, const struct memory_search *search, int64_t id, unsigned *from)
{
    for (unsigned i = 0; i < search->n; i++) {
        const unsigned at = (*from + i) % search->n;

        if (search->candidates[at].id == id) {
            *from = at;
            return &hits[at];
        }
    }
    return NULL;
}

static int reply_fill(struct memory_state *m, const struct memory_search *search,
    const struct aisys_db_result *result, struct reply_hit *hits)
{
    struct aisys_db_rows rows;
    unsigned from = 0;
    int rc = 0;

    for (unsigned i = 0; i < search->n; i++)
        reply_row(&hits[i], memory_rows_at(m->heap->rows, search->candidates[i].slot),
            &search->candidates[i]);
    aisys_db_rows(result, 0, &rows);
    while (rc == 0 && aisys_db_next(&rows)) {
        struct reply_hit *h = reply_find(hits, search, aisys_db_column_int(&rows, 0), &from);

        if (h != NULL)
            rc = reply_texts(h, &rows);
    }
    aisys_db_rows(result, 1, &rows);
    while (rc == 0 && aisys_db_next(&rows)) {
        struct reply_hit *h = reply_find(hits, search, aisys_db_column_int(&rows, 0), &from);

        if (h != NULL)
            rc = reply_relation(h, &rows);
    }
    for (unsigned i = 0; i < search->n && rc == 0; i++)
        rc = reply_point(&hits[i]);
    return rc;
}

/* Found or read: that is what promotes. */
static void reply_used(struct aisys_actor *self, struct memory_row *row)
{
    row->hits += row->hits < UINT32_MAX;
    row->used_ms = aisys_wall_ms(self);
    row->flags |= MEMORY_ROW_USED;
}

static void reply_get(struct aisys_actor *self, struct memory_work *work, struct reply_hit *hits)
{
    Aisys__Memory__GetReply answer = AISYS__MEMORY__GET_REPLY__INIT;

    if (work->search->n == 0 || !hits[0].there) {
        aisys_fail(self, work->reply, AISYS_NOT_FOUND, "the memory was forgotten");
        return;
    }
    answer.memory = &hits[0].record;
    aisys_answer(self, work->reply, &answer.base);
}

static int reply_search(struct aisys_actor *self, struct memory_work *work, struct reply_hit *hits)
{
    Aisys__Memory__SearchReply answer = AISYS__MEMORY__SEARCH_REPLY__INIT;
    Aisys__Memory__SearchReply__Hit **pointers = malloc((work->search->n + 1) * sizeof(*pointers));

    if (pointers == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < work->search->n; i++) {
        if (hits[i].there) /* else it was forgotten meanwhile */
            pointers[answer.n_hits++] = &hits[i].hit;
    }
    answer.hits = pointers;
    aisys_answer(self, work->reply, &answer.base);
    free(pointers);
    return 0;
}

int memory_answer_found(
    struct aisys_actor *self, struct memory_work *work, const struct aisys_db_result *result)
{
    struct memory_state *m = aisys_state(self);
    const struct memory_search *search = work->search;
    struct reply_hit *hits = calloc(search->n + 1, sizeof(*hits));
    int rc = hits != NULL ? reply_fill(m, search, result, hits) : -ENOMEM;

    if (rc == 0) {
        for (unsigned i = 0; i < search->n; i++) {
            if (hits[i].there)
                reply_used(self, memory_rows_at(m->heap->rows, search->candidates[i].slot));
        }
        if (work->kind == MEMORY_WORK_GET)
            reply_get(self, work, hits);
        else
            rc = reply_search(self, work, hits);
    }
    reply_hits_free(hits, search->n);
    if (rc != 0)
        return memory_work_refused(self, work, rc);
    memory_work_end(m, work);
    return 0;
}
