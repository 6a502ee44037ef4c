/* A database for an actor: lists of prepared statements that run off the loop and answer to a
 * continuation.
 *
 * A *request* is a list of statements (text with `?1`, `?2`, ... and the values for them) that runs
 * as one transaction: all of it is kept or none. Requests that change something run one after the
 * other in the order in which they were submitted, many in one commit; requests that only read run
 * beside them and see what was committed before they began. An answer to a writing request means
 * that it is on the disk (WAL, synchronous=FULL).
 *
 * A list has no branches, but a statement may end it (AISYS_DB_STOP_IF_ROWS, ..._NONE: what was done
 * until there is kept) and a value may be a column that an earlier statement of the list returned
 * (aisys_db_ref()). That is enough for "the same request again gets the first answer again".
 *
 * Beside SQLite's functions there is aisys_in(numbers, x): is x in the blob of int64_t, ascending?
 * And for FTS5 tables aisys_rank(table, phrases, column...): BM25 without the row's length; `phrases` is a
 * blob with a double for each phrase of the query, its weight; the columns' weights follow.
 *
 * Refused in a list: more than one statement in a text, BEGIN, COMMIT, SAVEPOINT, ATTACH and PRAGMA.
 *
 * Threads: the functions on results run on any thread that owns the result.
 * Errors:  the result carries a gRPC code and words: ALREADY_EXISTS (a unique key), FAILED_PRECONDITION
 *          (another constraint), RESOURCE_EXHAUSTED (full disk or page limit, result or value too
 *          large), UNAVAILABLE (I/O, locked), DEADLINE_EXCEEDED, DATA_LOSS (corrupt), INVALID_ARGUMENT
 *          (the text), INTERNAL. Whatever it says, nothing of the list was kept.
 * Units:   bytes and milliseconds, in the names. */
#ifndef AISYS_DB_H
#define AISYS_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <aisys/actor.h>

/* A list longer than this, or a statement with more values or columns, is INVALID_ARGUMENT. */
#define AISYS_DB_STMTS_MAX     4096
#define AISYS_DB_VALUES_MAX    64
#define AISYS_DB_COLUMNS_MAX   32
#define AISYS_DB_SQL_BYTES_MAX 65536

enum aisys_db_type {
    AISYS_DB_NULL,
    AISYS_DB_INT,
    AISYS_DB_REAL,
    AISYS_DB_TEXT, /* UTF-8 */
    AISYS_DB_BLOB,
    AISYS_DB_REF, /* only as a value of a statement, never in a result */
};

struct aisys_db_value {
    enum aisys_db_type type;
    uint32_t bytes; /* of TEXT and BLOB */
    const void
        *data; /* of TEXT and BLOB: borrowed; in a result, text ends in a NUL beyond `bytes` */
    union {
        int64_t i;
        double r;
        struct {
            uint16_t stmt; /* an earlier statement of the same list */
            uint16_t column;
            uint32_t row; /* a row or column that is not there is NULL */
        } ref;
    };
};

static inline struct aisys_db_value aisys_db_null(void)
{
    return (struct aisys_db_value){ .type = AISYS_DB_NULL };
}

static inline struct aisys_db_value aisys_db_int(int64_t i)
{
    return (struct aisys_db_value){ .type = AISYS_DB_INT, .i = i };
}

static inline struct aisys_db_value aisys_db_real(double r)
{
    return (struct aisys_db_value){ .type = AISYS_DB_REAL, .r = r };
}

static inline struct aisys_db_value aisys_db_text_n(const char *text, size_t bytes)
{
    return (struct aisys_db_value){ .type = AISYS_DB_TEXT, .data = text, .bytes = (uint32_t)bytes };
}

/* NULL is SQL's NULL. */
static inline struct aisys_db_value aisys_db_text(const char *text)
{
    return text != NULL ? aisys_db_text_n(text, strlen(text)) : aisys_db_null();
}

static inline struct aisys_db_value aisys_db_blob(const void *data, size_t bytes)
{
    return (struct aisys_db_value){ .type = AISYS_DB_BLOB, .data = data, .bytes = (uint32_t)bytes };
}

/* Column @column of row @row that statement @stmt (0 is the first of the list) returned. */
static inline struct aisys_db_value aisys_db_ref(unsigned stmt, unsigned row, unsigned column)
{
    return (struct aisys_db_value){ .type = AISYS_DB_REF,
        .ref = { .stmt = (uint16_t)stmt, .row = row, .column = (uint16_t)column } };
}

enum aisys_db_stmt_flags {
    AISYS_DB_STOP_IF_ROWS = 1 << 0, /* it returned a row: the rest of the list is not run */
    AISYS_DB_STOP_IF_NONE = 1 << 1, /* no row returned and none changed: the rest is not run */
};

struct aisys_db_stmt {
    const char *sql; /* borrowed until the call returns */
    const struct aisys_db_value
        *values; /* borrowed until the call returns, as is what they point to */
    uint32_t n_values;
    uint32_t flags; /* enum aisys_db_stmt_flags */
};

enum aisys_db_mode {
    AISYS_DB_READ,  /* only reads; refused when a statement would write */
    AISYS_DB_WRITE, /* may write; durable when it answers */
};

/* How a database is opened. Zero means the default in parentheses. */
struct aisys_db_options {
    const char *path; /* created when missing, mode 0600 */
    const char *const
        *migrations; /* migrations[v] takes version v to v+1: an SQL script without BEGIN;
                                      existing ones never change. Version is PRAGMA user_version */
    uint32_t n_migrations;
    uint32_t readers;          /* connections that read beside the writer, at most 16 (2) */
    uint32_t busy_ms;          /* wait for a lock of another process (2000) */
    uint32_t cache_kib;        /* page cache of each connection (8192) */
    uint32_t pages_max;        /* largest file, in pages of 4096 bytes (SQLite's own limit) */
    uint32_t queue_max;        /* writing requests that may wait (4096) */
    uint64_t queue_bytes_max;  /* and their bytes (64 MiB) */
    uint32_t result_bytes_max; /* of one request (16 MiB) */
    uint64_t check_bytes_max;  /* files up to this size are checked page by page at open (64 MiB) */
};

/* What one statement of the list did. */
struct aisys_db_stmt_result {
    uint32_t n_rows;
    uint32_t n_columns;
    int64_t changes; /* rows inserted, changed or deleted */
    uint32_t at;     /* where its rows begin in the result's data */
    uint32_t bytes;  /* and how long they are */
};

/* The end of a request. */
struct aisys_db_result {
    int code;          /* enum aisys_code */
    char message[232]; /* words for a person; "" when code is AISYS_OK */
    uint32_t n_done;   /* statements that ran */
    uint32_t n_stmts;  /* statements of the list */
    struct aisys_db_stmt_result *stmts;
    unsigned char *data;
    size_t data_bytes;
};

/* A walk over the rows of one statement. */
struct aisys_db_rows {
    const unsigned char *at;
    const unsigned char *end;
    uint32_t n_left;
    uint32_t n_columns;
    struct aisys_db_value
        columns[AISYS_DB_COLUMNS_MAX]; /* of the current row; borrowed from the result */
};

/* Begin a walk over what statement @stmt returned: no rows when it did not run or returned none. */
AISYS_API void aisys_db_rows(
    const struct aisys_db_result *result, unsigned stmt, struct aisys_db_rows *ret_rows);

/* Step to the next row, or to the first: false when there is none. */
AISYS_API bool aisys_db_next(struct aisys_db_rows *rows);

/* Column @i of the current row as a number (text and blob are 0, a real is cut to an integer). */
AISYS_API int64_t aisys_db_column_int(const struct aisys_db_rows *rows, unsigned i);
AISYS_API double aisys_db_column_real(const struct aisys_db_rows *rows, unsigned i);

/* Column @i as text, with a NUL at its end; "" when it is neither text nor blob. Borrowed. */
AISYS_API const char *aisys_db_column_text(
    const struct aisys_db_rows *rows, unsigned i, size_t *ret_bytes);

/* Rows that statement @stmt inserted, changed or deleted. */
AISYS_API int64_t aisys_db_changes(const struct aisys_db_result *result, unsigned stmt);

/* An open database; belongs to the actor that opened it and is closed when that stops. */
struct aisys_db;

/* Open, and migrate, a database on the pool: @options is copied (not what the migrations point to:
 * those are constants of the module); a relative path is inside the node's data.dir. The end's
 * `result` is the struct aisys_db, the actor's from then on. Codes besides those above:
 * FAILED_PRECONDITION for a newer version or another program's file, DATA_LOSS for a corrupt one; such
 * a file is not touched. */
AISYS_API int aisys_db_open(
    struct aisys_actor *self, const struct aisys_db_options *options, struct aisys_then then);

/* Run a list of statements as one transaction: everything is copied. The end's `result` is a
 * const struct aisys_db_result, borrowed for the continuation, also when its code is not AISYS_OK (but
 * NULL when the deadline passed first). A
 * write that has begun is not stopped by its deadline unless it still runs a statement then; one that
 * has not begun by then does not. Returns as aisys_ask(). */
AISYS_API int aisys_db_exec(struct aisys_actor *self, struct aisys_db *db, enum aisys_db_mode mode,
    const struct aisys_db_stmt *stmts, size_t n_stmts, struct aisys_then then);

/* Close once what is open has ended; @db is no longer the actor's. NULL is fine. */
AISYS_API void aisys_db_close(struct aisys_actor *self, struct aisys_db *db);

/* Bytes that the library holds for @db: caches, statements, journals in memory. */
AISYS_API uint64_t aisys_db_bytes(const struct aisys_actor *self, const struct aisys_db *db);

/* What the node's `storage.backend` says: records belong in Redis, not in a database of this node. */
AISYS_API bool aisys_storage_is_redis(const struct aisys_actor *self);

#endif
