/* The memory without its actor: the same statements, rows and ranks, run one after the other on the
 * calling thread. For tests of the engine, for the trials of the search and for benchmarks. */
#ifndef AISYS_TESTS_MEMORY_ENGINE_H
#define AISYS_TESTS_MEMORY_ENGINE_H

#include "memory/index.h"
#include "memory/search.h"
#include "port/sqlite_port.h"

struct memory_engine {
    char path[128];
    struct aisys_sqlite *db;
    struct memory_rows *rows;
    int64_t next_id;
    struct memory_half_lives half_lives;
    struct memory_rank_params params;
    /* Numbers of records by word, as the actor keeps them. */
    struct {
        char text[MEMORY_WORD_BYTES_MAX + 8];
        int64_t rows;
    } counts[8192];
};

/* Open (or open again) the database at @path and load its rows. Exits the program when it cannot. */
void memory_engine_open(struct memory_engine *engine, const char *path);
void memory_engine_close(struct memory_engine *engine);
void memory_engine_remove(struct memory_engine *engine); /* close and delete the files */

struct memory_item {
    const char *text;
    const char *session;
    int64_t event_ms;
    const char *tags;
    const char *request_id;
    int64_t supersedes;
};

/* The request that stores @item under a new id; not run. */
struct aisys_db_request *memory_engine_request(struct memory_engine *engine,
    const struct memory_item *item, struct memory_row *ret_row, int8_t *ret_vector);

/* Store one; its id. */
int64_t memory_engine_store(struct memory_engine *engine, const struct memory_item *item);

/* Store @n in groups of @group, as many callers at once would; seconds of it all. */
double memory_engine_store_many(
    struct memory_engine *engine, const struct memory_item *items, unsigned n, unsigned group);

/* Run @list; free the result's request with aisys_db_request_free(). */
struct aisys_db_request *memory_engine_run(
    struct memory_engine *engine, enum aisys_db_mode mode, const struct memory_list *list);

/* @search as memory_search_begin() wants it; its candidates are the hits. */
void memory_engine_search(
    struct memory_engine *engine, struct memory_search *search, const char *query);

#endif
