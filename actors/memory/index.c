#include "memory/index.h"

#include <stdarg.h>
#include <string.h>

#include "memory/words.h"

/* Of more rows that match, only the newest are ranked: it takes many words to get there, or, with fewer rows,
 * words that are all too common to tell one record from another. */
#define ROWS_RANKED_MAX   20000
#define COMMON_RANKED_MAX 8000

void memory_list_add(struct memory_list *list, unsigned flags, const char *sql, unsigned n, ...)
{
    struct aisys_db_stmt *stmt = &list->stmts[list->n++];
    va_list args;

    *stmt = (struct aisys_db_stmt){
        .sql = sql, .values = &list->values[list->n_values], .n_values = n, .flags = flags
    };
    va_start(args, n);
    for (unsigned i = 0; i < n; i++)
        list->values[list->n_values++] = va_arg(args, struct aisys_db_value);
    va_end(args);
}

uint64_t memory_name_hash(const char *name, size_t bytes)
{
    const uint64_t hash = memory_hash(name, bytes, 0x7a65);

    return hash != 0 ? hash : 1;
}

/* ---- Store ---------------------------------------------------------------------------------- */

/* The new record's fields, and the record before it in the session: what comes after that one is known
 * now, so it is indexed anew. FTS5 wants the old fields to take an entry out. One row at a time and by
 * VALUES: an INSERT ... SELECT would open a savepoint, at which FTS5 writes out what it has gathered. */
static void list_store_fts(
    struct memory_list *list, const struct memory_record *record, const char *date)
{
    const unsigned session = list->n; /* of the statement that returns the three before */
    const struct aisys_db_value id = aisys_db_int(record->row.id),
                                words = aisys_db_text(record->words);

    if (record->session == NULL) {
        memory_list_add(list, 0,
            "INSERT INTO memory_fts(rowid, words, before, after, date) "
            "VALUES(?1, ?2, '', '', ?3)",
            3, id, words, aisys_db_text(date));
        return;
    }
    memory_list_add(list, 0,
        "SELECT id, words, date FROM memory WHERE session = ?1 AND id < ?2 ORDER BY id DESC LIMIT "
        "3",
        2, aisys_db_text(record->session), id);
    memory_list_add(list, 0,
        "INSERT INTO memory_fts(rowid, words, before, after, date) "
        "VALUES(?1, ?2, ifnull(?3, '') || ' ' || ifnull(?4, ''), '', ?5)",
        5, id, words, aisys_db_ref(session, 0, 1), aisys_db_ref(session, 1, 1),
        aisys_db_text(date));
    memory_list_add(list, AISYS_DB_STOP_IF_NONE, "SELECT 1 WHERE ?1 IS NOT NULL", 1,
        aisys_db_ref(session, 0, 0));
    memory_list_add(list, 0,
        "INSERT INTO memory_fts(memory_fts, rowid, words, before, after, date) "
        "VALUES('delete', ?1, ?2, ifnull(?3, '') || ' ' || ifnull(?4, ''), '', ?5)",
        5, aisys_db_ref(session, 0, 0), aisys_db_ref(session, 0, 1), aisys_db_ref(session, 1, 1),
        aisys_db_ref(session, 2, 1), aisys_db_ref(session, 0, 2));
    memory_list_add(list, 0,
        "INSERT INTO memory_fts(rowid, words, before, after, date) "
        "VALUES(?1, ?2, ifnull(?3, '') || ' ' || ifnull(?4, ''), ?5, ?6)",
        6, aisys_db_ref(session, 0, 0), aisys_db_ref(session, 0, 1), aisys_db_ref(session, 1, 1),
        aisys_db_ref(session, 2, 1), words, aisys_db_ref(session, 0, 2));
}

static void list_store_row(struct memory_list *list, const struct memory_record *record,
    int64_t superseded_by, const char *date)
{
    const struct memory_row *row = &record->row;
    const struct aisys_db_value id = aisys_db_int(row->id);

    memory_list_add(list, 0,
        "INSERT INTO memory(id, text, words, date, session, source, created_ms) "
        "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        7, id, aisys_db_text(record->text), aisys_db_text(record->words), aisys_db_text(date),
        aisys_db_text(record->session), aisys_db_text(record->source),
        aisys_db_int(record->created_ms));
    memory_list_add(list, 0,
        "INSERT INTO memory_row(id, kind, tier, tier_ms, event_ms, expires_ms, importance, "
        "simhash, "
        "normal, session, hits, used_ms, supersedes, superseded_by, tags, vector) "
        "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        16, id, aisys_db_int(row->kind), aisys_db_int(row->tier), aisys_db_int(row->tier_ms),
        aisys_db_int(row->event_ms), aisys_db_int(row->expires_ms),
        aisys_db_real((double)row->importance), aisys_db_int((int64_t)row->simhash),
        aisys_db_int((int64_t)row->normal), aisys_db_int((int64_t)row->session),
        aisys_db_int(row->hits), aisys_db_int(row->used_ms), aisys_db_int(record->supersedes),
        aisys_db_int(superseded_by), aisys_db_text(record->tags != NULL ? record->tags : ""),
        aisys_db_blob(record->vector, MEMORY_VECTOR_BYTES));
}

void memory_list_store(struct memory_list *list, const struct memory_record *record, char *date)
{
    const struct aisys_db_value id = aisys_db_int(record->row.id);

    list->n = list->n_values = 0;
    memory_date_words(record->row.event_ms, date);
    memory_list_add(list, AISYS_DB_STOP_IF_ROWS,
        "SELECT id, duplicates FROM memory_request WHERE request = ?1", 1,
        aisys_db_text(record->request_id));
    if (record->supersedes != 0)
        memory_list_add(list, AISYS_DB_STOP_IF_NONE,
            "UPDATE memory_row SET superseded_by = ?1 WHERE id = ?2 AND superseded_by = 0", 2, id,
            aisys_db_int(record->supersedes));
    else
        memory_list_add(list, 0, "SELECT 1", 0);
    list_store_row(list, record, 0, date);
    if (record->request_id != NULL)
        memory_list_add(list, 0,
            "INSERT INTO memory_request(request, id, duplicates, created_ms) VALUES(?1, ?2, ?3, "
            "?4)",
            4, aisys_db_text(record->request_id), id,
            aisys_db_text(record->duplicates != NULL ? record->duplicates : ""),
            aisys_db_int(record->created_ms));
    list_store_fts(list, record, date);
}

void memory_list_insert(
    struct memory_list *list, const struct memory_record *record, int64_t superseded_by, char *date)
{
    const struct aisys_db_value id = aisys_db_int(record->row.id), near = aisys_db_ref(0, 0, 0);

    list->n = list->n_values = 0;
    memory_date_words(record->row.event_ms, date);
    /* In whose fields its words will stand: one before, two after. */
    memory_list_add(list, 0,
        "SELECT json_group_array(id) FROM ("
        "SELECT id FROM (SELECT id FROM memory WHERE session = ?1 AND id < ?2 ORDER BY id DESC "
        "LIMIT 1) "
        "UNION ALL "
        "SELECT id FROM (SELECT id FROM memory WHERE session = ?1 AND id > ?2 ORDER BY id LIMIT "
        "2))",
        2, aisys_db_text(record->session), id);
    memory_list_add(list, 0,
        "INSERT INTO memory_fts(memory_fts, rowid, words, before, after, date)"
        " SELECT 'delete', d.id, d.words, d.before, d.after, d.date"
        " FROM json_each(?1) j JOIN memory_doc d ON d.id = j.value",
        1, near);
    list_store_row(list, record, superseded_by, date);
    memory_list_add(list, 0,
        "INSERT INTO memory_fts(rowid, words, before, after, date)"
        " SELECT d.id, d.words, d.before, d.after, d.date"
        " FROM json_each(?1) j JOIN memory_doc d ON d.id = j.value",
        1, near);
    memory_list_add(list, 0,
        "INSERT INTO memory_fts(rowid, words, before, after, date)"
        " SELECT d.id, d.words, d.before, d.after, d.date FROM memory_doc d WHERE d.id = ?1",
        1, id);
}

void memory_list_ids(struct memory_list *list, int64_t after, int64_t until)
{
    list->n = list->n_values = 0;
    memory_list_add(list, 0, "SELECT id FROM memory WHERE id > ?1 AND id <= ?2 ORDER BY id", 2,
        aisys_db_int(after), aisys_db_int(until));
}

bool memory_store_done(const struct aisys_db_result *result)
{
    return result->n_done > MEMORY_STORE_SUPERSEDE + 1;
}

/* ---- Load ----------------------------------------------------------------------------------- */

#define ROW_COLUMNS                                                                                \
    "r.id, r.kind, r.tier, r.tier_ms, r.event_ms, r.expires_ms, r.importance, r.simhash, "         \
    "r.normal, "                                                                                   \
    "r.session, r.hits, r.used_ms, r.superseded_by, r.tags, r.vector"

const char memory_sql_vector[] = "UPDATE memory_row SET vector = ?2 WHERE id = ?1";
const char memory_sql_embedder[] = "INSERT INTO memory_meta(name, value) VALUES('embedder', ?1) "
                                   "ON CONFLICT DO UPDATE SET value = excluded.value";

void memory_list_load(struct memory_list *list, int64_t after, unsigned limit, bool texts)
{
    list->n = list->n_values = 0;
    memory_list_add(list, 0,
        texts ? "SELECT " ROW_COLUMNS ", m.text FROM memory_row r JOIN memory m ON m.id = r.id "
                "WHERE r.id > ?1 ORDER BY r.id LIMIT ?2"
              : "SELECT " ROW_COLUMNS " FROM memory_row r WHERE r.id > ?1 ORDER BY r.id LIMIT ?2",
        2, aisys_db_int(after), aisys_db_int(limit));
    memory_list_add(list, 0, "SELECT seq FROM sqlite_sequence WHERE name = 'memory'", 0);
    memory_list_add(list, 0, "SELECT value FROM memory_meta WHERE name = 'embedder'", 0);
}

/* The hashes of tags that each end in a line feed. */
static unsigned index_tags(const char *tags, uint64_t *ret_tags)
{
    unsigned n = 0;

    for (const char *end; n < MEMORY_TAGS_MAX && (end = strchr(tags, '\n')) != NULL; tags = end + 1)
        ret_tags[n++] = memory_name_hash(tags, (size_t)(end - tags));
    return n;
}

bool memory_row_read(const struct aisys_db_rows *rows, struct memory_row *ret_row,
    uint64_t *ret_tags, int8_t *ret_vector)
{
    const int64_t kind = aisys_db_column_int(rows, 1), tier = aisys_db_column_int(rows, 2);
    size_t bytes;
    const char *vector = aisys_db_column_text(rows, 14, &bytes);

    if (kind < 0 || kind >= MEMORY_KINDS || tier < 0 || tier >= MEMORY_TIERS ||
        bytes != MEMORY_VECTOR_BYTES)
        return false;
    *ret_row = (struct memory_row){
        .id = aisys_db_column_int(rows, 0),
        .kind = (uint8_t)kind,
        .tier = (uint8_t)tier,
        .tier_ms = aisys_db_column_int(rows, 3),
        .event_ms = aisys_db_column_int(rows, 4),
        .expires_ms = aisys_db_column_int(rows, 5),
        .importance = (float)aisys_db_column_real(rows, 6),
        .simhash = (uint64_t)aisys_db_column_int(rows, 7),
        .normal = (uint64_t)aisys_db_column_int(rows, 8),
        .session = (uint64_t)aisys_db_column_int(rows, 9),
        .hits = (uint32_t)aisys_db_column_int(rows, 10),
        .used_ms = aisys_db_column_int(rows, 11),
        .flags = aisys_db_column_int(rows, 12) != 0 ? MEMORY_ROW_SUPERSEDED : 0,
    };
    ret_row->n_tags = (uint8_t)index_tags(aisys_db_column_text(rows, 13, NULL), ret_tags);
    memcpy(ret_vector, vector, bytes);
    return true;
}

/* ---- Search --------------------------------------------------------------------------------- */

void memory_list_counts(struct memory_list *list, const char *const *words, unsigned n)
{
    list->n = list->n_values = 0;
    for (unsigned i = 0; i < n; i += 8) { /* one text for the cache: what is missing is NULL */
        struct aisys_db_value v[8];

        for (unsigned j = 0; j < 8; j++)
            v[j] = i + j < n ? aisys_db_text(words[i + j]) : aisys_db_null();
        memory_list_add(list, 0,
            "SELECT term, doc FROM memory_vocab WHERE term = ?1 UNION ALL "
            "SELECT term, doc FROM memory_vocab WHERE term = ?2 UNION ALL "
            "SELECT term, doc FROM memory_vocab WHERE term = ?3 UNION ALL "
            "SELECT term, doc FROM memory_vocab WHERE term = ?4 UNION ALL "
            "SELECT term, doc FROM memory_vocab WHERE term = ?5 UNION ALL "
            "SELECT term, doc FROM memory_vocab WHERE term = ?6 UNION ALL "
            "SELECT term, doc FROM memory_vocab WHERE term = ?7 UNION ALL "
            "SELECT term, doc FROM memory_vocab WHERE term = ?8",
            8, v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]);
    }
}

#define MATCH(filter)                                                                              \
    "SELECT d.id, d.words, d.before, d.after, d.date FROM"                                         \
    " (SELECT id FROM"                                                                             \
    "   (SELECT rowid AS id, aisys_rank(memory_fts, ?2, ?5, ?6, ?7, ?8) AS score FROM memory_fts"  \
    "    WHERE memory_fts MATCH ?1 AND " filter " ORDER BY rowid DESC LIMIT ?9)"                   \
    "  ORDER BY score DESC, id DESC LIMIT ?4) c"                                                   \
    " JOIN memory_doc d ON d.id = c.id"

void memory_list_match(struct memory_list *list, const struct memory_match *match)
{
    const struct memory_selection *s = match->selection;
    const struct memory_field_weights *w =
        match->weights != NULL ? match->weights : &memory_field_weights;
    const char *const glues[] = { " OR ", " AND " };

    list->n = list->n_values = 0;
    for (unsigned i = 0; i < (match->query->common ? 2 : 1); i++) {
        char *text = list->match[i];
        double *weights = list->weights;
        const unsigned n = memory_query_match(match->query, match->n_rows, glues[i], text, weights);

        if (n == 0 || (i > 0 && n == 1))
            return;
        memory_list_add(list, 0,
            s->excludes ? MATCH("NOT aisys_in(?3, memory_fts.rowid)")
                        : MATCH("aisys_in(?3, memory_fts.rowid)"),
            9, aisys_db_text(text), aisys_db_blob(weights, n * sizeof(*weights)),
            aisys_db_blob(s->ids, s->n_ids * sizeof(*s->ids)), aisys_db_int(match->limit),
            aisys_db_real(w->words), aisys_db_real(w->before), aisys_db_real(w->after),
            aisys_db_real(w->date),
            aisys_db_int(match->query->common && i == 0 ? COMMON_RANKED_MAX : ROWS_RANKED_MAX));
    }
}

void memory_list_fetch(struct memory_list *list, const char *ids)
{
    list->n = list->n_values = 0;
    memory_list_add(list, 0,
        "SELECT m.id, m.text, m.session, m.source, r.tags, r.supersedes, r.superseded_by, "
        "m.created_ms "
        "FROM json_each(?1) j JOIN memory m ON m.id = j.value JOIN memory_row r ON r.id = m.id",
        1, aisys_db_text(ids));
    memory_list_add(list, 0,
        "SELECT l.from_id, l.type, l.to_id, l.weight FROM json_each(?1) j JOIN memory_link l "
        "ON l.from_id = j.value ORDER BY l.from_id, l.type, l.to_id",
        1, aisys_db_text(ids));
}

/* ---- Change --------------------------------------------------------------------------------- */

void memory_list_forget(struct memory_list *list, const char *ids)
{
    const struct aisys_db_value gone = aisys_db_text(ids), touched = aisys_db_ref(0, 0, 0);

    list->n = list->n_values = 0;
    /* They, and those in whose fields their words stand: one before, two after. */
    memory_list_add(list, 0,
        "WITH gone(id, session) AS (SELECT m.id, m.session FROM json_each(?1) j JOIN memory m ON "
        "m.id = j.value),"
        " near(id) AS ("
        "  SELECT id FROM gone UNION"
        "  SELECT (SELECT p.id FROM memory p WHERE p.session = g.session AND p.id < g.id"
        "          ORDER BY p.id DESC LIMIT 1) FROM gone g UNION"
        "  SELECT (SELECT p.id FROM memory p WHERE p.session = g.session AND p.id > g.id"
        "          ORDER BY p.id LIMIT 1) FROM gone g UNION"
        "  SELECT (SELECT p.id FROM memory p WHERE p.session = g.session AND p.id > g.id"
        "          ORDER BY p.id LIMIT 1 OFFSET 1) FROM gone g)"
        " SELECT json_group_array(id) FROM near WHERE id IS NOT NULL",
        1, gone);
    memory_list_add(list, 0,
        "INSERT INTO memory_fts(memory_fts, rowid, words, before, after, date)"
        " SELECT 'delete', d.id, d.words, d.before, d.after, d.date"
        " FROM json_each(?1) j JOIN memory_doc d ON d.id = j.value",
        1, touched);
    memory_list_add(list, 0,
        "DELETE FROM memory_link WHERE from_id IN (SELECT value FROM json_each(?1))", 1, gone);
    memory_list_add(list, 0,
        "DELETE FROM memory_link WHERE to_id IN (SELECT value FROM json_each(?1))", 1, gone);
    memory_list_add(
        list, 0, "DELETE FROM memory_row WHERE id IN (SELECT value FROM json_each(?1))", 1, gone);
    memory_list_add(
        list, 0, "DELETE FROM memory WHERE id IN (SELECT value FROM json_each(?1))", 1, gone);
    memory_list_add(list, 0,
        "INSERT INTO memory_fts(rowid, words, before, after, date)"
        " SELECT d.id, d.words, d.before, d.after, d.date"
        " FROM json_each(?1) j JOIN memory_doc d ON d.id = j.value",
        1, touched);
}

static void list_add_link(
    struct memory_list *list, int64_t from, const char *type, int64_t to, double weight)
{
    memory_list_add(list, 0,
        "INSERT INTO memory_link(from_id, type, to_id, weight) VALUES(?1, ?2, ?3, ?4) "
        "ON CONFLICT DO UPDATE SET weight = excluded.weight",
        4, aisys_db_int(from), aisys_db_text(type), aisys_db_int(to), aisys_db_real(weight));
}

void memory_list_relate(
    struct memory_list *list, int64_t from, const char *type, int64_t to, double weight)
{
    list->n = list->n_values = 0;
    memory_list_add(list, AISYS_DB_STOP_IF_NONE,
        "SELECT 1 WHERE EXISTS(SELECT 1 FROM memory WHERE id = ?1) AND "
        "EXISTS(SELECT 1 FROM memory WHERE id = ?2)",
        2, aisys_db_int(from), aisys_db_int(to));
    list_add_link(list, from, type, to, weight);
}

void memory_list_link(
    struct memory_list *list, int64_t from, const char *type, int64_t to, double weight)
{
    list->n = list->n_values = 0;
    list_add_link(list, from, type, to, weight);
}

void memory_list_use(struct memory_list *list, const char *changes)
{
    list->n = list->n_values = 0;
    memory_list_add(list, 0,
        "UPDATE memory_row SET tier = j.value ->> 1, tier_ms = j.value ->> 2, hits = j.value ->> 3,"
        " used_ms = j.value ->> 4 FROM json_each(?1) j WHERE memory_row.id = j.value ->> 0",
        1, aisys_db_text(changes));
}

void memory_list_tidy(struct memory_list *list, int64_t before_ms)
{
    list->n = list->n_values = 0;
    memory_list_add(
        list, 0, "DELETE FROM memory_request WHERE created_ms < ?1", 1, aisys_db_int(before_ms));
    memory_list_add(list, 0, "INSERT INTO memory_fts(memory_fts, rank) VALUES('merge', 500)", 0);
}
