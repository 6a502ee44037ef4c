#include "memory_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "memory/embed.h"
#include "memory/words.h"

static void engine_die(const char *what)
{
    fprintf(stderr, "memory_engine: %s\n", what);
    exit(1);
}

static void engine_done(struct aisys_db_request *request)
{
    request->token = 1;
}

struct aisys_db_request *memory_engine_run(
    struct memory_engine *engine, enum aisys_db_mode mode, const struct memory_list *list)
{
    struct aisys_db_request *r;

    if (aisys_db_request_new(mode, list->stmts, list->n, &r) != 0)
        engine_die("request");
    r->done = engine_done;
    if (mode == AISYS_DB_READ) {
        aisys_sqlite_read(engine->db, r);
    } else {
        aisys_sqlite_submit(engine->db, r);
        while (aisys_sqlite_turn(engine->db))
            ;
    }
    if (r->result.code != AISYS_OK)
        fprintf(stderr, "memory_engine: %s\n", r->result.message);
    return r;
}

static void engine_load(struct memory_engine *engine)
{
    int64_t after = 0;
    unsigned n = 1;

    engine->rows = memory_rows_new();
    while (n > 0) {
        struct memory_list list;
        struct aisys_db_rows rows;
        struct aisys_db_request *r;

        memory_list_load(&list, after, 1000, false);
        r = memory_engine_run(engine, AISYS_DB_READ, &list);
        aisys_db_rows(&r->result, 0, &rows);
        for (n = 0; aisys_db_next(&rows); n++) {
            struct memory_row row;
            uint64_t tags[MEMORY_TAGS_MAX];
            int8_t vector[MEMORY_VECTOR_BYTES];

            if (!memory_row_read(&rows, &row, tags, vector) ||
                memory_rows_append(engine->rows, &row, tags, vector) < 0)
                engine_die("a row cannot be loaded");
            after = row.id;
        }
        aisys_db_rows(&r->result, 1, &rows);
        engine->next_id = aisys_db_next(&rows) ? aisys_db_column_int(&rows, 0) + 1 : 1;
        aisys_db_request_free(r);
    }
}

void memory_engine_open(struct memory_engine *engine, const char *path)
{
    struct aisys_db_options options = { .migrations = memory_migrations,
        .n_migrations = memory_n_migrations };
    struct aisys_sqlite_error error;
    const int64_t day_ms = 86400000;

    memset(engine, 0, sizeof(*engine));
    snprintf(engine->path, sizeof(engine->path), "%s", path);
    options.path = engine->path;
    options.cache_kib = 65536;
    if (aisys_sqlite_open(&options, &engine->db, &error) != 0)
        engine_die(error.message);
    engine->half_lives = (struct memory_half_lives){ { day_ms, 14 * day_ms, 180 * day_ms } };
    engine->params = memory_rank_defaults;
    engine_load(engine);
}

void memory_engine_close(struct memory_engine *engine)
{
    aisys_sqlite_close(engine->db);
    memory_rows_free(engine->rows);
    engine->db = NULL;
    engine->rows = NULL;
}

void memory_engine_remove(struct memory_engine *engine)
{
    static const char *const suffixes[] = { "", "-wal", "-shm" };
    char path[160];

    memory_engine_close(engine);
    for (unsigned i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s%s", engine->path, suffixes[i]);
        unlink(path);
    }
}

struct aisys_db_request *memory_engine_request(struct memory_engine *engine,
    const struct memory_item *item, struct memory_row *ret_row, int8_t *ret_vector)
{
    const size_t bytes = strlen(item->text);
    char *words = malloc(MEMORY_NORMAL_ROOM(bytes)), date[128];
    const size_t n_words = memory_normalise(item->text, bytes, words);
    struct memory_record record = { .text = item->text,
        .words = words,
        .session = item->session,
        .tags = item->tags,
        .vector = ret_vector,
        .request_id = item->request_id,
        .supersedes = item->supersedes,
        .created_ms = item->event_ms };
    struct memory_list list;
    struct aisys_db_request *r;

    memory_embedder_lexical.embed(item->text, bytes, ret_vector);
    record.row = (struct memory_row){ .id = engine->next_id++,
        .event_ms = item->event_ms,
        .used_ms = item->event_ms,
        .tier_ms = item->event_ms,
        .importance = 0.5f,
        .simhash = memory_simhash(words, n_words),
        .normal = memory_hash(words, n_words, 0),
        .session =
            item->session != NULL ? memory_name_hash(item->session, strlen(item->session)) : 0 };
    memory_list_store(&list, &record, date);
    if (aisys_db_request_new(AISYS_DB_WRITE, list.stmts, list.n, &r) != 0)
        engine_die("request");
    r->done = engine_done;
    *ret_row = record.row;
    free(words);
    return r;
}

static void engine_keep(struct memory_engine *engine, struct aisys_db_request *r,
    const struct memory_row *row, const int8_t *vector)
{
    if (r->result.code != AISYS_OK)
        engine_die(r->result.message);
    if (memory_store_done(&r->result) && memory_rows_append(engine->rows, row, NULL, vector) < 0)
        engine_die("rows");
    aisys_db_request_free(r);
}

int64_t memory_engine_store(struct memory_engine *engine, const struct memory_item *item)
{
    int8_t vector[MEMORY_VECTOR_BYTES];
    struct memory_row row;
    struct aisys_db_request *r = memory_engine_request(engine, item, &row, vector);

    aisys_sqlite_submit(engine->db, r);
    while (aisys_sqlite_turn(engine->db))
        ;
    engine_keep(engine, r, &row, vector);
    return row.id;
}

static double engine_now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double memory_engine_store_many(
    struct memory_engine *engine, const struct memory_item *items, unsigned n, unsigned group)
{
    const double begin = engine_now_s();
    struct aisys_db_request *r[256];
    struct memory_row rows[256];
    static int8_t vectors[256][MEMORY_VECTOR_BYTES];

    for (unsigned i = 0; i < n; i += group) {
        const unsigned m = n - i < group ? n - i : group;

        for (unsigned j = 0; j < m; j++) {
            r[j] = memory_engine_request(engine, &items[i + j], &rows[j], vectors[j]);
            if (aisys_sqlite_submit(engine->db, r[j]) == AISYS_SQLITE_FULL)
                engine_die("full");
        }
        while (aisys_sqlite_turn(engine->db))
            ;
        for (unsigned j = 0; j < m; j++)
            engine_keep(engine, r[j], &rows[j], vectors[j]);
    }
    return engine_now_s() - begin;
}

/* ---- Search --------------------------------------------------------------------------------- */

static void engine_counts(struct memory_engine *engine, struct memory_query *query)
{
    const unsigned places = sizeof(engine->counts) / sizeof(engine->counts[0]);
    const char *missing[MEMORY_QUERY_WORDS];
    struct memory_list list;
    struct aisys_db_request *r;
    unsigned n = 0;

    for (unsigned i = 0; i < query->n; i++) {
        const uint64_t at = memory_hash(query->words[i].text, query->words[i].bytes, 0) % places;

        if (strcmp(engine->counts[at].text, query->words[i].text) == 0)
            query->words[i].rows = engine->counts[at].rows;
        else
            missing[n++] = query->words[i].text;
    }
    if (n == 0)
        return;
    memory_list_counts(&list, missing, n);
    r = memory_engine_run(engine, AISYS_DB_READ, &list);
    for (unsigned i = 0; i < query->n; i++) {
        struct memory_query_word *word = &query->words[i];
        const uint64_t at = memory_hash(word->text, word->bytes, 0) % places;

        if (word->rows >= 0)
            continue;
        word->rows = 0;
        for (unsigned s = 0; s < list.n; s++) {
            struct aisys_db_rows rows;

            aisys_db_rows(&r->result, s, &rows);
            while (aisys_db_next(&rows)) {
                if (strcmp(aisys_db_column_text(&rows, 0, NULL), word->text) == 0)
                    word->rows = aisys_db_column_int(&rows, 1);
            }
        }
        strcpy(engine->counts[at].text, word->text);
        engine->counts[at].rows = word->rows;
    }
    aisys_db_request_free(r);
}

void memory_engine_search(
    struct memory_engine *engine, struct memory_search *search, const char *query)
{
    struct memory_near near[MEMORY_DEPTH_MAX];
    struct memory_list list;
    struct aisys_db_request *r;

    if (memory_search_begin(search, engine->rows, query, strlen(query)) < 0)
        engine_die("memory");
    engine_counts(engine, &search->query);
    memory_query_decide(&search->query, memory_rows_living(engine->rows));
    list.n = 0;
    if (search->mode != MEMORY_VECTOR) {
        const struct memory_match m = { &search->query, memory_rows_living(engine->rows),
            &search->selection, search->weights, search->depth };

        memory_list_match(&list, &m);
    }
    if (list.n > 0) {
        r = memory_engine_run(engine, AISYS_DB_READ, &list);
        memory_search_add_text(search, engine->rows, &r->result);
        aisys_db_request_free(r);
    }
    if (search->mode != MEMORY_TEXT && search->has_vector) {
        const struct memory_scan scan = { search->vector, search->selection.bits, 0,
            search->selection.n_slots, search->depth };
        const uint32_t n = memory_vectors_scan(memory_rows_vectors(engine->rows), &scan, near);

        memory_search_add_near(search, engine->rows, near, n);
    }
    memory_search_rank(search, engine->rows, &engine->half_lives, &engine->params);
}
