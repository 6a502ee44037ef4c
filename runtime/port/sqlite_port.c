#include "port/sqlite_port.h"

#include "port/sqlite_conn.h"
#include "port/sqlite_open.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define READERS_MAX      16
#define GROUP_MAX        1024 /* requests in one commit */
#define RESULT_BYTES_MAX (16u << 20)
#define QUEUE_MAX        4096
#define QUEUE_BYTES_MAX  (64u << 20)

struct aisys_sqlite {
    _Atomic int64_t *account;
    struct aisys_sqlite_conn writer; /* used by the thread that runs the turn */
    uint32_t result_bytes_max;
    uint32_t queue_max;
    uint64_t queue_bytes_max;

    pthread_mutex_t lock; /* what follows */
    pthread_cond_t reader_back;
    struct aisys_db_request *first; /* waiting writers, oldest first */
    struct aisys_db_request **last;
    uint32_t queued;
    uint64_t queued_bytes;
    bool turning; /* a turn is due or runs */
    struct aisys_sqlite_counts counts;
    uint32_t n_readers;
    struct aisys_sqlite_conn readers[READERS_MAX];
};

/* ---- Open and close ------------------------------------------------------------------------- */

static int sqlite_open_all(struct aisys_sqlite *db, const struct aisys_db_options *options,
    struct aisys_sqlite_error *ret_error)
{
    const uint32_t n_readers = options->readers == 0 ? 2 : options->readers;
    char words[200];
    off_t bytes;
    int rc = aisys_sqlite_look(options, &bytes, ret_error);

    if (rc < 0)
        return rc;
    rc = aisys_sqlite_prepare_file(&db->writer, options, bytes, ret_error);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; rc == SQLITE_OK && i < n_readers && i < READERS_MAX; i++) {
        rc = aisys_sqlite_conn_open(&db->readers[i], options->path, AISYS_DB_READ, options, words);
        db->n_readers = i + 1;
    }
    if (rc == SQLITE_OK)
        return 0;
    ret_error->code = aisys_sqlite_code(&db->writer, rc);
    snprintf(ret_error->message, sizeof(ret_error->message), "%.80s: cannot be opened: %.180s",
        options->path, words);
    return -EIO;
}

int aisys_sqlite_open(const struct aisys_db_options *options, struct aisys_sqlite **ret_db,
    struct aisys_sqlite_error *ret_error)
{
    struct aisys_sqlite *db = calloc(1, sizeof(*db));
    _Atomic int64_t *before;
    pthread_condattr_t attr;
    int rc;

    *ret_error = (struct aisys_sqlite_error){ .code = AISYS_RESOURCE_EXHAUSTED };
    snprintf(ret_error->message, sizeof(ret_error->message), "out of memory");
    if (db == NULL)
        return -EIO;
    db->account = aisys_sqlite_account_new();
    if (db->account == NULL) {
        free(db);
        snprintf(ret_error->message, sizeof(ret_error->message), "too many open databases");
        return -EIO;
    }
    pthread_mutex_init(&db->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&db->reader_back, &attr);
    pthread_condattr_destroy(&attr);
    db->last = &db->first;
    db->result_bytes_max =
        options->result_bytes_max != 0 ? options->result_bytes_max : RESULT_BYTES_MAX;
    db->queue_max = options->queue_max != 0 ? options->queue_max : QUEUE_MAX;
    db->queue_bytes_max =
        options->queue_bytes_max != 0 ? options->queue_bytes_max : QUEUE_BYTES_MAX;

    before = aisys_sqlite_charge(db->account);
    rc = sqlite_open_all(db, options, ret_error);
    aisys_sqlite_charge(before);
    if (rc < 0) {
        aisys_sqlite_close(db);
        return rc;
    }
    *ret_db = db;
    return 0;
}

void aisys_sqlite_close(struct aisys_sqlite *db)
{
    _Atomic int64_t *before;

    if (db == NULL)
        return;
    before = aisys_sqlite_charge(db->account);
    for (uint32_t i = 0; i < db->n_readers; i++)
        aisys_sqlite_conn_close(&db->readers[i]);
    aisys_sqlite_conn_close(&db->writer);
    aisys_sqlite_charge(before);
    pthread_cond_destroy(&db->reader_back);
    pthread_mutex_destroy(&db->lock);
    aisys_sqlite_account_free(db->account);
    free(db);
}

uint64_t aisys_sqlite_bytes(const struct aisys_sqlite *db)
{
    const int64_t bytes = atomic_load_explicit(db->account, memory_order_relaxed);

    return bytes > 0 ? (uint64_t)bytes : 0;
}

void aisys_sqlite_counts(struct aisys_sqlite *db, struct aisys_sqlite_counts *ret_counts)
{
    pthread_mutex_lock(&db->lock);
    *ret_counts = db->counts;
    pthread_mutex_unlock(&db->lock);
}

/* ---- Writing: the gatherer ------------------------------------------------------------------ */

enum aisys_sqlite_submitted aisys_sqlite_submit(
    struct aisys_sqlite *db, struct aisys_db_request *request)
{
    enum aisys_sqlite_submitted outcome = AISYS_SQLITE_FULL;

    pthread_mutex_lock(&db->lock);
    if (db->queued < db->queue_max && db->queued_bytes + request->bytes <= db->queue_bytes_max) {
        request->next = NULL;
        *db->last = request;
        db->last = &request->next;
        db->queued++;
        db->queued_bytes += request->bytes;
        outcome = db->turning ? AISYS_SQLITE_QUEUED : AISYS_SQLITE_FIRST;
        db->turning = true;
    }
    pthread_mutex_unlock(&db->lock);
    return outcome;
}

static uint32_t sqlite_take(struct aisys_sqlite *db, struct aisys_db_request **group)
{
    uint32_t n = 0;

    pthread_mutex_lock(&db->lock);
    while (db->first != NULL && n < GROUP_MAX) {
        group[n] = db->first;
        db->first = group[n]->next;
        db->queued--;
        db->queued_bytes -= group[n]->bytes;
        n++;
    }
    if (db->first == NULL)
        db->last = &db->first;
    pthread_mutex_unlock(&db->lock);
    return n;
}

static void sqlite_rollback(struct aisys_sqlite_conn *conn)
{
    if (!aisys_sqlite_conn_idle(conn))
        aisys_sqlite_conn_own(conn, "ROLLBACK");
}

/* All in one transaction, no savepoints. False: nothing was kept; a request that failed has its
 * result, the others are to run again. */
static bool sqlite_group_at_once(
    struct aisys_sqlite_conn *conn, struct aisys_db_request **group, uint32_t n)
{
    int rc = aisys_sqlite_conn_own(conn, "BEGIN IMMEDIATE");

    for (uint32_t i = 0; i < n && rc == SQLITE_OK; i++)
        rc = aisys_sqlite_conn_run(conn, group[i]);
    if (rc == SQLITE_OK)
        rc = aisys_sqlite_conn_own(conn, "COMMIT");
    if (rc == SQLITE_OK)
        return true;
    sqlite_rollback(conn);
    return false;
}

/* All in one transaction with a savepoint each: who fails fails alone. False: an error ended the
 * whole transaction (full disk, I/O), nothing was kept. */
static bool sqlite_group_apart(
    struct aisys_sqlite_conn *conn, struct aisys_db_request **group, uint32_t n)
{
    int rc = aisys_sqlite_conn_own(conn, "BEGIN IMMEDIATE");

    for (uint32_t i = 0; i < n && rc == SQLITE_OK; i++) {
        rc = aisys_sqlite_conn_own(conn, "SAVEPOINT request");
        if (rc != SQLITE_OK)
            break;
        if (aisys_sqlite_conn_run(conn, group[i]) != SQLITE_OK) {
            if (aisys_sqlite_conn_idle(conn))
                return false;
            rc = aisys_sqlite_conn_own(conn, "ROLLBACK TO request");
        }
        if (rc == SQLITE_OK)
            rc = aisys_sqlite_conn_own(conn, "RELEASE request");
    }
    if (rc == SQLITE_OK)
        rc = aisys_sqlite_conn_own(conn, "COMMIT");
    if (rc == SQLITE_OK)
        return true;
    sqlite_rollback(conn);
    return false;
}

/* A transaction for this one: on a full disk the small may still fit. */
static void sqlite_alone(struct aisys_sqlite_conn *conn, struct aisys_db_request *request)
{
    int rc = aisys_sqlite_conn_own(conn, "BEGIN IMMEDIATE");

    if (rc == SQLITE_OK) {
        if (aisys_sqlite_conn_run(conn, request) != SQLITE_OK) {
            sqlite_rollback(conn);
            return;
        }
        rc = aisys_sqlite_conn_own(conn, "COMMIT");
    }
    if (rc != SQLITE_OK) {
        aisys_sqlite_conn_fail(conn, request, rc, request->n_stmts);
        sqlite_rollback(conn);
    }
}

/* The file is not where it was: an answer would promise what nobody finds again. */
static void sqlite_group_moved(struct aisys_db_request **group, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        aisys_db_result_fail(group[i], AISYS_UNAVAILABLE,
            "the database's file was moved or deleted while in use: nothing was written; put it "
            "back, "
            "or restart its actor");
}

static void sqlite_group(struct aisys_sqlite *db, struct aisys_db_request **group, uint32_t n)
{
    struct aisys_sqlite_conn *conn = &db->writer;
    bool once = n == 1;

    for (uint32_t i = 0; i < n; i++)
        group[i]->rows_max_bytes = db->result_bytes_max;
    if (aisys_sqlite_conn_moved(conn)) {
        sqlite_group_moved(group, n);
        return;
    }
    if (n == 1)
        sqlite_alone(conn, group[0]);
    else
        once = sqlite_group_at_once(conn, group, n);
    if (!once && !sqlite_group_apart(conn, group, n)) {
        for (uint32_t i = 0; i < n; i++)
            sqlite_alone(conn, group[i]);
    }

    pthread_mutex_lock(&db->lock);
    db->counts.commits++;
    db->counts.requests += n;
    db->counts.repeated += once ? 0 : n;
    pthread_mutex_unlock(&db->lock);
}

bool aisys_sqlite_turn(struct aisys_sqlite *db)
{
    struct aisys_db_request *group[GROUP_MAX];
    _Atomic int64_t *before = aisys_sqlite_charge(db->account);
    const uint32_t n = sqlite_take(db, group);
    bool more;

    if (n > 0)
        sqlite_group(db, group, n);
    aisys_sqlite_charge(before);
    for (uint32_t i = 0; i < n; i++)
        group[i]->done(group[i]);

    pthread_mutex_lock(&db->lock);
    more = db->first != NULL;
    db->turning = more;
    pthread_mutex_unlock(&db->lock);
    return more;
}

/* ---- Reading -------------------------------------------------------------------------------- */

/* A free reading connection, or NULL when the deadline passed first. */
static struct aisys_sqlite_conn *sqlite_reader_take(struct aisys_sqlite *db, uint64_t deadline_ms)
{
    const struct timespec until = { (time_t)(deadline_ms / 1000),
        (long)(deadline_ms % 1000) * 1000000 };
    struct aisys_sqlite_conn *conn = NULL;
    int rc = 0;

    pthread_mutex_lock(&db->lock);
    while (rc == 0) {
        for (uint32_t i = 0; i < db->n_readers && conn == NULL; i++) {
            if (!db->readers[i].busy)
                conn = &db->readers[i];
        }
        if (conn != NULL) {
            conn->busy = true;
            break;
        }
        rc = deadline_ms != 0 ? pthread_cond_timedwait(&db->reader_back, &db->lock, &until)
                              : pthread_cond_wait(&db->reader_back, &db->lock);
    }
    pthread_mutex_unlock(&db->lock);
    return conn;
}

static void sqlite_reader_give(struct aisys_sqlite *db, struct aisys_sqlite_conn *conn)
{
    pthread_mutex_lock(&db->lock);
    conn->busy = false;
    pthread_cond_signal(&db->reader_back);
    pthread_mutex_unlock(&db->lock);
}

void aisys_sqlite_read(struct aisys_sqlite *db, struct aisys_db_request *request)
{
    struct aisys_sqlite_conn *conn = sqlite_reader_take(db, request->deadline_ms);
    _Atomic int64_t *before;
    int rc = SQLITE_OK;

    request->rows_max_bytes = db->result_bytes_max;
    if (conn == NULL) {
        aisys_db_result_fail(
            request, AISYS_DEADLINE_EXCEEDED, "over its deadline before it could begin");
        return;
    }
    before = aisys_sqlite_charge(db->account);
    if (request->n_stmts > 1) /* all of them see the same state */
        rc = aisys_sqlite_conn_own(conn, "BEGIN");
    if (rc == SQLITE_OK)
        aisys_sqlite_conn_run(conn, request);
    else
        aisys_sqlite_conn_fail(conn, request, rc, 0);
    sqlite_rollback(conn);
    aisys_sqlite_charge(before);
    sqlite_reader_give(db, conn);
}
