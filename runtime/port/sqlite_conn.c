#include "port/sqlite_conn.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Instructions of SQLite's machine between two looks at the deadline: some tens of microseconds. */
#define PROGRESS_EVERY 4000

#define VALUE_BYTES_MAX (64 << 20)

/* Ours, in the library's numbering: the request's result is full. */
#define CONN_RESULT_FULL (SQLITE_TOOBIG | 99 << 8)

uint64_t aisys_sqlite_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- What the library asks us --------------------------------------------------------------- */

static int conn_on_progress(void *arg)
{
    const struct aisys_sqlite_conn *conn = arg;

    return conn->deadline_ms != 0 && aisys_sqlite_now_ms() >= conn->deadline_ms;
}

/* Lists may not touch transactions, other files or settings. FTS5 itself asks for data_version. */
static int conn_on_authorize(void *arg, int action, const char *what, const char *value,
    const char *database, const char *inner)
{
    const struct aisys_sqlite_conn *conn = arg;

    (void)database;
    (void)inner;
    if (conn->own_words)
        return SQLITE_OK;
    switch (action) {
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
        return SQLITE_DENY;
    case SQLITE_PRAGMA:
        return value == NULL && what != NULL && strcmp(what, "data_version") == 0 ? SQLITE_OK
                                                                                  : SQLITE_DENY;
    default:
        return SQLITE_OK;
    }
}

/* aisys_in(numbers, x): 1 when x is one of the numbers, else 0. They are a blob of 64-bit integers as
 * this machine keeps them, ascending. A filter over row ids that was worked out elsewhere, at the price
 * of a search in an array per row. */
static void conn_in(sqlite3_context *context, int n_values, sqlite3_value **values)
{
    const unsigned char *numbers = sqlite3_value_blob(values[0]);
    const int64_t x = sqlite3_value_int64(values[1]);
    size_t low = 0, high = numbers != NULL ? (size_t)sqlite3_value_bytes(values[0]) / 8 : 0;

    (void)n_values;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        int64_t at;

        memcpy(&at, numbers + 8 * middle, 8);
        if (at == x) {
            sqlite3_result_int(context, 1);
            return;
        }
        if (at < x)
            low = middle + 1;
        else
            high = middle;
    }
    sqlite3_result_int(context, 0);
}

/* ---- Errors --------------------------------------------------------------------------------- */

static int conn_code_of_constraint(int extended)
{
    switch (extended) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
        return AISYS_ALREADY_EXISTS;
    default:
        return AISYS_FAILED_PRECONDITION;
    }
}

/* Is an I/O error for want of room? sqlite3_system_errno() has often been overwritten by then, but the
 * journal's file remembers. */
static bool conn_disk_full(struct aisys_sqlite_conn *conn)
{
    sqlite3_file *journal = NULL;
    int errors[2] = { 0, 0 };

    if (conn == NULL || conn->db == NULL)
        return false;
    errors[0] = sqlite3_system_errno(conn->db);
    sqlite3_file_control(conn->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &journal);
    if (journal != NULL && journal->pMethods != NULL)
        journal->pMethods->xFileControl(journal, SQLITE_FCNTL_LAST_ERRNO, &errors[1]);
    for (unsigned i = 0; i < 2; i++) {
        if (errors[i] == ENOSPC || errors[i] == EDQUOT || errors[i] == EFBIG)
            return true;
    }
    return false;
}

int aisys_sqlite_code(struct aisys_sqlite_conn *conn, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
        return AISYS_OK;
    case SQLITE_CONSTRAINT:
        return conn_code_of_constraint(rc);
    case SQLITE_FULL:
    case SQLITE_NOMEM:
    case SQLITE_TOOBIG:
        return AISYS_RESOURCE_EXHAUSTED;
    case SQLITE_IOERR:
        return conn_disk_full(conn) ? AISYS_RESOURCE_EXHAUSTED : AISYS_UNAVAILABLE;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return AISYS_UNAVAILABLE;
    case SQLITE_INTERRUPT:
        return AISYS_DEADLINE_EXCEEDED;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return AISYS_DATA_LOSS;
    case SQLITE_AUTH:
    case SQLITE_ERROR:
    case SQLITE_RANGE:
    case SQLITE_MISMATCH:
        return AISYS_INVALID_ARGUMENT;
    default:
        return AISYS_INTERNAL;
    }
}

void aisys_sqlite_conn_fail(
    struct aisys_sqlite_conn *conn, struct aisys_db_request *request, int rc, unsigned stmt)
{
    const int code = aisys_sqlite_code(conn, rc);
    char words[160];

    snprintf(words, sizeof(words), "%s", sqlite3_errmsg(conn->db));
    if (code == AISYS_DEADLINE_EXCEEDED)
        aisys_db_result_fail(request, code, "statement %u: over its deadline", stmt);
    else if (code == AISYS_RESOURCE_EXHAUSTED && (rc & 0xff) != SQLITE_NOMEM &&
             (rc & 0xff) != SQLITE_TOOBIG)
        aisys_db_result_fail(request, code, "disk full: nothing was written (%s)", words);
    else
        aisys_db_result_fail(request, code, "statement %u: %s", stmt, words);
}

/* ---- Open and close ------------------------------------------------------------------------- */

static void conn_limit(sqlite3 *db)
{
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX);
    sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, AISYS_DB_SQL_BYTES_MAX);
    sqlite3_limit(db, SQLITE_LIMIT_VARIABLE_NUMBER, AISYS_DB_VALUES_MAX);
    sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(db, SQLITE_LIMIT_WORKER_THREADS, 0);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
}

int aisys_sqlite_conn_open(struct aisys_sqlite_conn *conn, const char *path,
    enum aisys_db_mode mode, const struct aisys_db_options *options, char *ret_words)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                      (mode == AISYS_DB_WRITE ? SQLITE_OPEN_CREATE : 0);
    const uint32_t cache_kib = options->cache_kib != 0 ? options->cache_kib : 8192;
    char words[160];
    int rc = sqlite3_open_v2(path, &conn->db, flags, NULL);

    if (rc == SQLITE_OK) {
        conn_limit(conn->db);
        sqlite3_extended_result_codes(conn->db, 1);
        sqlite3_busy_timeout(conn->db, (int)(options->busy_ms != 0 ? options->busy_ms : 2000));
        snprintf(words, sizeof(words),
            "PRAGMA cache_size=-%u; PRAGMA temp_store=MEMORY; PRAGMA synchronous=FULL;"
            "PRAGMA foreign_keys=ON; PRAGMA query_only=%s;",
            cache_kib, mode == AISYS_DB_READ ? "ON" : "OFF");
        rc = sqlite3_exec(conn->db, words, NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK)
        rc = sqlite3_create_function_v2(conn->db, "aisys_in", 2,
            SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, NULL, conn_in, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = aisys_sqlite_rank_add(conn->db);
    if (rc != SQLITE_OK) {
        snprintf(
            ret_words, 200, "%s", conn->db != NULL ? sqlite3_errmsg(conn->db) : sqlite3_errstr(rc));
        return rc;
    }
    sqlite3_progress_handler(conn->db, PROGRESS_EVERY, conn_on_progress, conn);
    sqlite3_set_authorizer(conn->db, conn_on_authorize, conn);
    return SQLITE_OK;
}

void aisys_sqlite_conn_close(struct aisys_sqlite_conn *conn)
{
    for (unsigned i = 0; i < AISYS_SQLITE_CACHED; i++) {
        sqlite3_finalize(conn->cache[i].stmt);
        free(conn->cache[i].sql);
    }
    sqlite3_close_v2(conn->db);
    memset(conn, 0, sizeof(*conn));
}

/* ---- Statements ----------------------------------------------------------------------------- */

static uint64_t conn_hash(const char *sql)
{
    uint64_t hash = 1469598103934665603u;

    for (; *sql != '\0'; sql++)
        hash = (hash ^ (unsigned char)*sql) * 1099511628211u;
    return hash;
}

static int conn_prepare(struct aisys_sqlite_conn *conn, const char *sql, sqlite3_stmt **ret_stmt)
{
    const char *tail;
    int rc = sqlite3_prepare_v3(conn->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_stmt, &tail);

    if (rc != SQLITE_OK)
        return rc;
    if (*ret_stmt != NULL && tail[strspn(tail, " \t\r\n;")] == '\0')
        return SQLITE_OK;
    sqlite3_finalize(*ret_stmt);
    *ret_stmt = NULL;
    return SQLITE_RANGE; /* none, or more than one: conn_run() finds the words */
}

/* The prepared statement for @sql: from the cache, or new in the place that was not used for longest.
 * A list holds one statement at a time, so no place of the cache is in use here. */
static int conn_statement(struct aisys_sqlite_conn *conn, const char *sql, sqlite3_stmt **ret_stmt)
{
    const uint64_t hash = conn_hash(sql);
    struct aisys_sqlite_cached *oldest = &conn->cache[0];
    sqlite3_stmt *stmt;
    char *copy;
    int rc;

    for (unsigned i = 0; i < AISYS_SQLITE_CACHED; i++) {
        struct aisys_sqlite_cached *c = &conn->cache[i];

        if (c->stmt != NULL && c->hash == hash && strcmp(c->sql, sql) == 0) {
            c->used = ++conn->uses;
            *ret_stmt = c->stmt;
            return SQLITE_OK;
        }
        if (c->used < oldest->used)
            oldest = c;
    }

    rc = conn_prepare(conn, sql, &stmt);
    if (rc != SQLITE_OK)
        return rc;
    copy = strdup(sql);
    if (copy == NULL) {
        sqlite3_finalize(stmt);
        return SQLITE_NOMEM;
    }
    sqlite3_finalize(oldest->stmt);
    free(oldest->sql);
    *oldest = (struct aisys_sqlite_cached){ stmt, copy, hash, ++conn->uses };
    *ret_stmt = stmt;
    return SQLITE_OK;
}

static int conn_bind(sqlite3_stmt *stmt, int i, const struct aisys_db_value *value)
{
    switch (value->type) {
    case AISYS_DB_INT:
        return sqlite3_bind_int64(stmt, i, value->i);
    case AISYS_DB_REAL:
        return sqlite3_bind_double(stmt, i, value->r);
    case AISYS_DB_TEXT: /* a NULL pointer would bind NULL: the empty text is not NULL */
        return sqlite3_bind_text(
            stmt, i, value->bytes > 0 ? value->data : "", (int)value->bytes, SQLITE_STATIC);
    case AISYS_DB_BLOB:
        return sqlite3_bind_blob(
            stmt, i, value->bytes > 0 ? value->data : "", (int)value->bytes, SQLITE_STATIC);
    default:
        return sqlite3_bind_null(stmt, i);
    }
}

/* Values that stand for columns are copied (a later row may move the result), others are not. */
static int conn_bind_all(
    const struct aisys_db_request *request, const struct aisys_db_stmt *from, sqlite3_stmt *stmt)
{
    for (uint32_t v = 0; v < from->n_values; v++) {
        struct aisys_db_value value = from->values[v];
        const int i = (int)v + 1;
        int rc;

        if (value.type != AISYS_DB_REF) {
            rc = conn_bind(stmt, i, &value);
        } else {
            value = aisys_db_resolve(request, &value);
            if (value.type == AISYS_DB_TEXT)
                rc = sqlite3_bind_text(stmt, i, value.data, (int)value.bytes, SQLITE_TRANSIENT);
            else if (value.type == AISYS_DB_BLOB)
                rc = sqlite3_bind_blob(stmt, i, value.data, (int)value.bytes, SQLITE_TRANSIENT);
            else
                rc = conn_bind(stmt, i, &value);
        }
        if (rc != SQLITE_OK)
            return rc;
    }
    return SQLITE_OK;
}

static struct aisys_db_value conn_column(sqlite3_stmt *stmt, int i)
{
    switch (sqlite3_column_type(stmt, i)) {
    case SQLITE_INTEGER:
        return aisys_db_int(sqlite3_column_int64(stmt, i));
    case SQLITE_FLOAT:
        return aisys_db_real(sqlite3_column_double(stmt, i));
    case SQLITE_TEXT: {
        const char *text = (const char *)sqlite3_column_text(stmt, i);

        return aisys_db_text_n(text, (size_t)sqlite3_column_bytes(stmt, i));
    }
    case SQLITE_BLOB: {
        const void *data = sqlite3_column_blob(stmt, i);

        return aisys_db_blob(data, (size_t)sqlite3_column_bytes(stmt, i));
    }
    default:
        return aisys_db_null();
    }
}

static int conn_put_row(struct aisys_db_request *request, sqlite3_stmt *stmt, int n_columns)
{
    int rc = aisys_db_put_row(request);

    for (int i = 0; i < n_columns && rc == 0; i++) {
        const struct aisys_db_value value = conn_column(stmt, i);

        rc = aisys_db_put_value(request, &value);
    }
    if (rc == 0)
        return SQLITE_OK;
    return rc == -ENOMEM ? SQLITE_NOMEM : CONN_RESULT_FULL;
}

/* Step @stmt to its end, rows and changes into the result. */
static int conn_step(
    struct aisys_sqlite_conn *conn, struct aisys_db_request *request, sqlite3_stmt *stmt)
{
    const int n_columns = sqlite3_column_count(stmt);
    const int64_t before = sqlite3_total_changes64(conn->db);
    int rc;

    aisys_db_put_stmt(request, (uint32_t)n_columns);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        rc = conn_put_row(request, stmt, n_columns);
        if (rc != SQLITE_OK)
            return rc;
    }
    if (rc != SQLITE_DONE)
        return rc;
    aisys_db_put_changes(request, sqlite3_total_changes64(conn->db) - before);
    return SQLITE_OK;
}

/* Run statement @n. On an error the result says it. */
static int conn_run_one(
    struct aisys_sqlite_conn *conn, struct aisys_db_request *request, uint32_t n)
{
    const struct aisys_db_stmt *from = &request->stmts[n];
    sqlite3_stmt *stmt;
    int rc = conn_statement(conn, from->sql, &stmt);

    if (rc == SQLITE_RANGE) {
        aisys_db_result_fail(request, AISYS_INVALID_ARGUMENT,
            "statement %u: a text must hold exactly one statement", n);
        return rc;
    }
    if (rc != SQLITE_OK) {
        aisys_sqlite_conn_fail(conn, request, rc, n);
        return rc;
    }
    if (sqlite3_bind_parameter_count(stmt) != (int)from->n_values ||
        sqlite3_column_count(stmt) > AISYS_DB_COLUMNS_MAX ||
        (request->mode == AISYS_DB_READ && !sqlite3_stmt_readonly(stmt))) {
        aisys_db_result_fail(request, AISYS_INVALID_ARGUMENT,
            "statement %u: %d values for %u given, %d columns of at most %d%s", n,
            sqlite3_bind_parameter_count(stmt), from->n_values, sqlite3_column_count(stmt),
            AISYS_DB_COLUMNS_MAX,
            sqlite3_stmt_readonly(stmt) ? "" : "; it writes, which a reading request may not");
        return SQLITE_RANGE;
    }

    rc = conn_bind_all(request, from, stmt);
    if (rc == SQLITE_OK)
        rc = conn_step(conn, request, stmt);
    if (rc == CONN_RESULT_FULL)
        aisys_db_result_fail(request, AISYS_RESOURCE_EXHAUSTED,
            "statement %u: the result is larger than %u bytes", n, request->rows_max_bytes);
    else if (rc != SQLITE_OK)
        aisys_sqlite_conn_fail(conn, request, rc, n);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return rc;
}

static bool conn_stops(const struct aisys_db_request *request, uint32_t n)
{
    const struct aisys_db_stmt_result *did = &request->result.stmts[n];
    const uint32_t flags = request->stmts[n].flags;

    if ((flags & AISYS_DB_STOP_IF_ROWS) != 0 && did->n_rows > 0)
        return true;
    return (flags & AISYS_DB_STOP_IF_NONE) != 0 && did->n_rows == 0 && did->changes == 0;
}

int aisys_sqlite_conn_run(struct aisys_sqlite_conn *conn, struct aisys_db_request *request)
{
    int rc = SQLITE_OK;

    aisys_db_result_reset(request);
    conn->deadline_ms = request->deadline_ms;
    if (request->deadline_ms != 0 && aisys_sqlite_now_ms() >= request->deadline_ms) {
        aisys_db_result_fail(
            request, AISYS_DEADLINE_EXCEEDED, "over its deadline before it could begin");
        rc = SQLITE_INTERRUPT;
    }
    for (uint32_t n = 0; n < request->n_stmts && rc == SQLITE_OK; n++) {
        rc = conn_run_one(conn, request, n);
        if (rc == SQLITE_OK && conn_stops(request, n))
            break;
    }
    conn->deadline_ms = 0;
    return rc;
}

int aisys_sqlite_conn_own(struct aisys_sqlite_conn *conn, const char *sql)
{
    sqlite3_stmt *stmt;
    int rc;

    conn->own_words = true;
    rc = conn_statement(conn, sql, &stmt);
    if (rc == SQLITE_OK) {
        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
            ;
        rc = rc == SQLITE_DONE ? SQLITE_OK : rc;
        sqlite3_reset(stmt); /* the error stays readable in the connection */
    }
    conn->own_words = false;
    return rc;
}

bool aisys_sqlite_conn_idle(const struct aisys_sqlite_conn *conn)
{
    return sqlite3_get_autocommit(conn->db) != 0;
}

bool aisys_sqlite_conn_moved(const struct aisys_sqlite_conn *conn)
{
    int moved = 0;

    return sqlite3_file_control(conn->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
           moved != 0;
}
