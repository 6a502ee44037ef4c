/* One connection to a SQLite file: prepared statements by text, limits, and one request run on it.
 * Inside of port/sqlite_*.c only.
 *
 * Threads: a connection is used by one thread at a time; whoever holds it sees to that. */
#ifndef AISYS_PORT_SQLITE_CONN_H
#define AISYS_PORT_SQLITE_CONN_H

#include "core/db_pack.h"

#include <stdatomic.h>

struct sqlite3;
struct sqlite3_stmt;

#define AISYS_SQLITE_CACHED 96 /* prepared statements kept per connection */

struct aisys_sqlite_cached {
    struct sqlite3_stmt *stmt;
    char *sql;
    uint64_t hash;
    uint64_t used; /* when: a count of uses, the smallest leaves first */
};

struct aisys_sqlite_conn {
    struct sqlite3 *db;
    _Atomic int64_t *account; /* bytes of the library for this database */
    struct aisys_sqlite_cached cache[AISYS_SQLITE_CACHED];
    uint64_t uses;
    uint64_t deadline_ms; /* of the request that runs; 0 is none */
    bool own_words;       /* our own BEGIN, COMMIT, PRAGMA: the authorizer lets them pass */
    bool busy;            /* a reading connection that is out */
};

/* Memory accounts: the library's allocations are charged to the account set on this thread. */
_Atomic int64_t *aisys_sqlite_account_new(void); /* NULL when all are taken */
void aisys_sqlite_account_free(_Atomic int64_t *account);
_Atomic int64_t *aisys_sqlite_charge(_Atomic int64_t *account); /* returns the one before */

/* Open @path for @mode with our limits; 0 or an SQLite code, then @ret_words (>= 200 bytes) says more. */
int aisys_sqlite_conn_open(struct aisys_sqlite_conn *conn, const char *path,
    enum aisys_db_mode mode, const struct aisys_db_options *options, char *ret_words);
void aisys_sqlite_conn_close(struct aisys_sqlite_conn *conn);

/* Run our own words, without rows. 0 or an SQLite code. */
int aisys_sqlite_conn_own(struct aisys_sqlite_conn *conn, const char *sql);

/* Run the statements of @request and fill its result; transactions are the caller's business.
 * 0 or the SQLite code that ended it, the result then says it in words. */
int aisys_sqlite_conn_run(struct aisys_sqlite_conn *conn, struct aisys_db_request *request);

/* Is the connection outside of a transaction (also because an error ended it)? */
bool aisys_sqlite_conn_idle(const struct aisys_sqlite_conn *conn);

/* Has the file lost its name since it was opened: moved, deleted, another in its place? What is written
 * to it then is gone with the process. */
bool aisys_sqlite_conn_moved(const struct aisys_sqlite_conn *conn);

/* End @request in what @rc and the connection say. */
void aisys_sqlite_conn_fail(
    struct aisys_sqlite_conn *conn, struct aisys_db_request *request, int rc, unsigned stmt);

/* The gRPC code for an SQLite code on @conn (NULL: none yet). */
int aisys_sqlite_code(struct aisys_sqlite_conn *conn, int rc);

/* Give FTS5 on @db its function aisys_rank(). 0 or an SQLite code. */
int aisys_sqlite_rank_add(struct sqlite3 *db);

uint64_t aisys_sqlite_now_ms(void);

#endif
