/* SQLite for the runtime: one database file with one connection that writes and a few that read.
 *
 * Requests (core/db_pack.h) that write are submitted from any thread and wait in one bounded queue;
 * a pool thread takes all that wait and commits them together (group commit): the price of reaching
 * the disk is paid once for many. Each of them is still a transaction of its own: when one fails the
 * group is rolled back and run again with a savepoint around each, so that it fails alone. (The first
 * try has no savepoints because FTS5 writes out a segment at each of them.)
 *
 * Requests that only read run on the thread that brings them, on a free reading connection.
 *
 * Threads: any, none of them the loop's: everything here may block, aisys_sqlite_submit() excepted.
 * Errors:  as in aisys/db.h, with words; functions that return int give 0 or a negative errno.
 * Memory:  what the library allocates is counted per database, see aisys_sqlite_bytes().
 *
 * A process that may meet RLIMIT_FSIZE must ignore SIGXFSZ to see it as an error. */
#ifndef AISYS_PORT_SQLITE_PORT_H
#define AISYS_PORT_SQLITE_PORT_H

#include "core/db_pack.h"

struct aisys_sqlite;

/* What is wrong with a database that could not be opened. */
struct aisys_sqlite_error {
    int code; /* enum aisys_code */
    char message[300];
};

/* Open the file at @options->path, create it if missing, and bring it to the newest version.
 *
 * The migrations must live as long as the database. A file that is newer than they are
 * (FAILED_PRECONDITION), belongs to another program (same) or is damaged (DATA_LOSS) stays as it is,
 * byte for byte. Returns 0 or -EIO with @ret_error filled. */
int aisys_sqlite_open(const struct aisys_db_options *options, struct aisys_sqlite **ret_db,
    struct aisys_sqlite_error *ret_error);

/* Close; nothing may be queued or running. The journal is folded into the file. NULL is fine. */
void aisys_sqlite_close(struct aisys_sqlite *db);

/* Bytes that the library holds for @db. Any thread, also the loop's. */
uint64_t aisys_sqlite_bytes(const struct aisys_sqlite *db);

/* What became of a submitted request. */
enum aisys_sqlite_submitted {
    AISYS_SQLITE_QUEUED = 0, /* a turn that is already due or running will take it */
    AISYS_SQLITE_FIRST =
        1, /* the caller must see to it that a pool thread calls aisys_sqlite_turn() */
    AISYS_SQLITE_FULL = 2, /* too many wait, or too many bytes: the request is still the caller's */
};

/* Queue a request that writes; takes it unless FULL. Never blocks for long. Its done() is called by
 * the thread that runs the turn. */
enum aisys_sqlite_submitted aisys_sqlite_submit(
    struct aisys_sqlite *db, struct aisys_db_request *request);

/* Run all that waits as one group commit and call done() of each, in order. True when more has come
 * meanwhile: the caller sees to the next turn (here and now, or as a new job). */
bool aisys_sqlite_turn(struct aisys_sqlite *db);

/* Run a request that only reads, now, on this thread; its result is filled. Waits for a free reading
 * connection, at most until the deadline. done() is not called. */
void aisys_sqlite_read(struct aisys_sqlite *db, struct aisys_db_request *request);

/* Group commits so far, requests in them, and those that had to run a second time. */
struct aisys_sqlite_counts {
    uint64_t commits;
    uint64_t requests;
    uint64_t repeated;
};

void aisys_sqlite_counts(struct aisys_sqlite *db, struct aisys_sqlite_counts *ret_counts);

#endif
