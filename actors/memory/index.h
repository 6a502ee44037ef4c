/* The memory's tables in SQLite, and the lists of statements that work on them.
 *
 *     memory        a record: text, its words, the words of its date, session, source
 *     memory_row    what rows.h keeps in memory of it, and its vector: read once at the start
 *     memory_fts    full text: words, and with less weight the words of the two records before it and
 *                   the one after it in its session, and of its date. Holds no text of its own
 *     memory_link   relations between records
 *     memory_request  answers already given, by request id
 *     memory_meta     by which embedder the vectors were made
 *
 * A function here only fills a list; whoever calls runs it (aisys/db.h). Everything that a list points to
 * must live until it was handed over.
 *
 * Threads: any; no state. */
#ifndef AISYS_MEMORY_INDEX_H
#define AISYS_MEMORY_INDEX_H

#include <aisys/db.h>

#include "memory/query.h"
#include "memory/rows.h"

#define MEMORY_LIST_STMTS  16
#define MEMORY_LIST_VALUES 96

struct memory_list {
    struct aisys_db_stmt stmts[MEMORY_LIST_STMTS];
    struct aisys_db_value values[MEMORY_LIST_VALUES];
    unsigned n;
    unsigned n_values;
    char match[2][MEMORY_MATCH_ROOM];
    double weights[MEMORY_QUERY_WORDS];
};

extern const char *const memory_migrations[];
extern const unsigned memory_n_migrations;

/* A record on its way in. Strings are borrowed; NULL where there is none. */
struct memory_record {
    struct memory_row row; /* id, times, hashes, kind, tier, importance */
    const char *text;
    const char *words; /* normalised text */
    const char *session;
    const char *source;
    const char *tags; /* each followed by a line feed */
    const int8_t *vector;
    const char *request_id;
    const char *duplicates; /* what the answer will say, for a repeated request */
    int64_t created_ms;
    int64_t supersedes; /* 0: nothing */
};

/* Store a record. Two guards stand in front: */
enum memory_store_stmt {
    MEMORY_STORE_REPEATED, /* returned a row (id, duplicates): this request was answered before */
    MEMORY_STORE_SUPERSEDE, /* changed nothing: the old record is not there or was superseded already */
};
/* Did all of the list run? */
bool memory_store_done(const struct aisys_db_result *result);
/* @date has room for 128 bytes and lives as long as the list. */
void memory_list_store(struct memory_list *list, const struct memory_record *record, char *date);

/* Rows with id > @after, ascending, at most @limit; memory_row_read() takes them apart. The second
 * statement returns the greatest id ever given, the third the name of the embedder that made the vectors.
 * With @texts there is one more column, MEMORY_ROW_TEXT. */
#define MEMORY_ROW_TEXT 15
void memory_list_load(struct memory_list *list, int64_t after, unsigned limit, bool texts);
/* @ret_tags has room for MEMORY_TAGS_MAX. False: a row that cannot be right (damaged). */
bool memory_row_read(const struct aisys_db_rows *rows, struct memory_row *ret_row,
    uint64_t *ret_tags, int8_t *ret_vector);

/* Statements for vectors made by another embedder; the last one of all says by which. */
extern const char memory_sql_vector[];   /* id, vector */
extern const char memory_sql_embedder[]; /* name */

/* How many records each of @n words is in: returns (word, records); a word that is in none is missing. */
void memory_list_counts(struct memory_list *list, const char *const *words, unsigned n);

/* The @limit records that match the words of @query best, in no order; memory_query_score() knows better:
 * statements that each return (id, words, before, after, date). Common words alone match nearly every
 * record: then only the newest of these are ranked, but all that hold every word. No statement: no word of
 * the query is in any record. */
struct memory_match {
    const struct memory_query *query; /* decided */
    int64_t n_rows;                   /* records there are */
    const struct memory_selection *selection;
    const struct memory_field_weights *weights; /* NULL: the usual ones */
    unsigned limit;
};
void memory_list_match(struct memory_list *list, const struct memory_match *match);

/* Texts of records: statement 0 returns (id, text, session, source, tags, supersedes, superseded_by,
 * created_ms), statement 1 relations (from, type, to, weight). @ids: a JSON array of numbers. */
void memory_list_fetch(struct memory_list *list, const char *ids);

/* Forget records. @ids: a JSON array. */
void memory_list_forget(struct memory_list *list, const char *ids);

/* Stops after its first statement when one of them is not there. */
void memory_list_relate(
    struct memory_list *list, int64_t from, const char *type, int64_t to, double weight);

/* The same without a look at whether they are there. */
void memory_list_link(
    struct memory_list *list, int64_t from, const char *type, int64_t to, double weight);

/* Store a record anywhere in its session, not only at its end, with its whole row; it must not be there.
 * @superseded_by: 0 for none. For an index that is made again. */
void memory_list_insert(struct memory_list *list, const struct memory_record *record,
    int64_t superseded_by, char *date);

/* Ids in the index, after < id <= until, ascending. */
void memory_list_ids(struct memory_list *list, int64_t after, int64_t until);

/* Save tier, hits and last use: @changes is a JSON array of [id, tier, tier_ms, hits, used_ms]. */
void memory_list_use(struct memory_list *list, const char *changes);

/* Drop answers older than @before_ms, and let FTS5 merge a little. */
void memory_list_tidy(struct memory_list *list, int64_t before_ms);

/* Add a statement: the values follow. */
void memory_list_add(struct memory_list *list, unsigned flags, const char *sql, unsigned n, ...);

/* The hash of a session or tag as rows.h wants it: never 0. */
uint64_t memory_name_hash(const char *name, size_t bytes);

#endif
