/* Requests to a database as they travel: one block of memory each, and the result they grow.
 *
 * aisys_db_request_new() copies a list of statements with all that it points to, so that the request
 * can run later and elsewhere. Whoever runs it writes its result with the aisys_db_put_*() functions;
 * whoever asked reads it with <aisys/db.h> and frees the request.
 *
 * Threads: a request belongs to one thread at a time; no function here takes a lock.
 * Errors:  0 or a negative errno: -ENOMEM, -EINVAL (a list or value outside the limits of aisys/db.h),
 *          -EMSGSIZE (a result past its limit). */
#ifndef AISYS_CORE_DB_PACK_H
#define AISYS_CORE_DB_PACK_H

#include <aisys/db.h>

struct aisys_db_request;

/* Called once, on the thread that ran the request, which then no longer touches it. */
typedef void (*aisys_db_done_cb)(struct aisys_db_request *request);

struct aisys_db_request {
    struct aisys_db_request *next; /* of the queue that holds it */
    aisys_db_done_cb done;
    void *owner;          /* the submitter's; nobody else looks at it */
    uint64_t token;       /* the submitter's */
    uint64_t deadline_ms; /* on CLOCK_MONOTONIC; 0 is none */
    enum aisys_db_mode mode;
    size_t bytes;                  /* of this block */
    struct aisys_db_result result; /* owned */
    uint32_t rows_max_bytes;       /* limit of result.data; set by whoever runs it */
    uint32_t data_room;
    uint32_t n_stmts;
    struct aisys_db_stmt stmts[]; /* texts and values lie behind them in this block */
};

int aisys_db_request_new(enum aisys_db_mode mode, const struct aisys_db_stmt *stmts, size_t n_stmts,
    struct aisys_db_request **ret_request);
void aisys_db_request_free(struct aisys_db_request *request);

/* Forget what was written into the result. */
void aisys_db_result_reset(struct aisys_db_request *request);

/* End in an error: the rows written so far are dropped. */
void aisys_db_result_fail(struct aisys_db_request *request, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Statement @n_done now begins: rows and values that follow are its. */
void aisys_db_put_stmt(struct aisys_db_request *request, uint32_t n_columns);
int aisys_db_put_row(struct aisys_db_request *request);
int aisys_db_put_value(struct aisys_db_request *request, const struct aisys_db_value *value);
void aisys_db_put_changes(struct aisys_db_request *request, int64_t changes);

/* What a value of type AISYS_DB_REF stands for now; NULL where there is nothing. Borrowed from the
 * result until the next aisys_db_put_*(). */
struct aisys_db_value aisys_db_resolve(
    const struct aisys_db_request *request, const struct aisys_db_value *value);

#endif
