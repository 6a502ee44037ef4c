#include "core/check.h"
#include "env_db.h"

#include "core/db_pack.h"
#include "port/sqlite_port.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct aisys_db {
    struct aisys_env_db *dbs;
    struct aisys_db *next;
    const struct aisys_actor *actor; /* NULL: it has gone */
    struct aisys_sqlite *sqlite;     /* NULL while it opens, or when that failed */
    struct aisys_db_options options;
    char path[PATH_MAX];
    struct aisys_sqlite_error error;
    uint64_t op;    /* of opening */
    unsigned holds; /* reads, opening, writes not ended, the turn */
    bool closing;   /* as soon as nothing holds it */
    bool close_begun;
};

struct aisys_env_db {
    struct aisys_uv *uv;
    struct aisys_core *core;
    const char *data_dir;
    struct aisys_uv_bell *bell;
    struct aisys_db *first;
    bool loop_closed;
    pthread_mutex_t lock; /* of the list of ended writes */
    struct aisys_db_request *ended, **ended_last;
};

/* ---- Closing -------------------------------------------------------------------------------- */

static void db_free(struct aisys_db *db)
{
    struct aisys_db **at = &db->dbs->first;

    while (*at != db)
        at = &(*at)->next;
    *at = db->next;
    free(db);
}

static void db_close_run(void *arg)
{
    struct aisys_db *db = arg;

    aisys_sqlite_close(db->sqlite);
    db->sqlite = NULL;
}

static void db_close_done(void *arg, int status)
{
    struct aisys_db *db = arg;

    if (status == -ECANCELED) /* the loop ends: here and now */
        db_close_run(db);
    db_free(db);
}

/* Close it, if that is wanted and nothing needs it any more. */
static void db_maybe_close(struct aisys_db *db)
{
    if (!db->closing || db->holds || db->close_begun)
        return;
    db->close_begun = true;
    if (db->dbs->loop_closed ||
        aisys_uv_work(db->dbs->uv, db_close_run, db_close_done, db, NULL) < 0)
        db_close_done(db, -ECANCELED);
}

static void db_hold(void *ctx, struct aisys_db *db)
{
    (void)ctx;
    db->holds++;
}

static void db_drop(void *ctx, struct aisys_db *db)
{
    (void)ctx;
    AISYS_CHECK(db->holds > 0);
    db->holds--;
    db_maybe_close(db);
}

static void db_close(void *ctx, struct aisys_db *db)
{
    (void)ctx;
    db->actor = NULL;
    db->closing = true;
    db_maybe_close(db);
}

void aisys_env_db_actor_gone(struct aisys_env_db *dbs, const struct aisys_actor *actor)
{
    for (struct aisys_db *db = dbs->first, *next; db; db = next) {
        next = db->next;
        if (db->actor == actor)
            db_close(dbs, db);
    }
}

/* ---- Opening -------------------------------------------------------------------------------- */

static void db_open_run(void *arg)
{
    struct aisys_db *db = arg;

    aisys_sqlite_open(&db->options, &db->sqlite, &db->error);
}

static void db_open_done(void *arg, int status)
{
    struct aisys_db *db = arg;
    struct aisys_env_db *dbs = db->dbs;

    if (status < 0)
        aisys_core_op_end(dbs->core, db->op, AISYS_CANCELLED, "the node stops", NULL, NULL);
    else if (db->sqlite)
        aisys_core_op_end(dbs->core, db->op, AISYS_OK, "", db, NULL);
    else
        aisys_core_op_end(dbs->core, db->op, db->error.code, db->error.message, NULL, NULL);
    if (!db->sqlite)
        db->closing = true;
    db_drop(dbs, db);
}

static int db_open(
    void *ctx, struct aisys_actor *actor, const struct aisys_db_options *options, uint64_t op)
{
    struct aisys_env_db *dbs = ctx;
    struct aisys_db *db = calloc(1, sizeof(*db));
    int n, r;

    if (!db)
        return -ENOMEM;
    n = options->path[0] == '/'
            ? snprintf(db->path, sizeof(db->path), "%s", options->path)
            : snprintf(db->path, sizeof(db->path), "%s/%s", dbs->data_dir, options->path);
    if (n >= (int)sizeof(db->path)) {
        free(db);
        return -ENAMETOOLONG;
    }
    db->dbs = dbs;
    db->actor = actor;
    db->op = op;
    db->options = *options;
    db->options.path = db->path;
    db->holds = 1;
    r = aisys_uv_work(dbs->uv, db_open_run, db_open_done, db, NULL);
    if (r < 0) {
        free(db);
        return r;
    }
    db->next = dbs->first;
    dbs->first = db;
    return 0;
}

/* ---- Reading and writing -------------------------------------------------------------------- */

static void db_read(void *ctx, struct aisys_db *db, struct aisys_db_request *request)
{
    (void)ctx;
    aisys_sqlite_read(db->sqlite, request);
}

static void db_turn_run(void *arg)
{
    struct aisys_db *db = arg;

    while (aisys_sqlite_turn(db->sqlite))
        ;
}

static void db_turn_done(void *arg, int status)
{
    struct aisys_db *db = arg;

    if (status == -ECANCELED)
        db_turn_run(db); /* what was accepted is committed, also when the loop ends */
    db_drop(db->dbs, db);
}

static void db_turn_begin(struct aisys_db *db)
{
    db->holds++;
    if (aisys_uv_work(db->dbs->uv, db_turn_run, db_turn_done, db, NULL) < 0)
        db_turn_done(db, -ECANCELED);
}

static void request_release(void *result)
{
    aisys_db_request_free(
        (struct aisys_db_request *)(void *)((char *)result -
                                            offsetof(struct aisys_db_request, result)));
}

/* On the loop: the ends of writes, in the order of their commits. */
static void writes_ended(void *arg)
{
    struct aisys_env_db *dbs = arg;
    struct aisys_db_request *request, *next;

    pthread_mutex_lock(&dbs->lock);
    request = dbs->ended;
    dbs->ended = NULL;
    dbs->ended_last = &dbs->ended;
    pthread_mutex_unlock(&dbs->lock);
    for (; request; request = next) {
        struct aisys_db *db = request->owner;

        next = request->next;
        aisys_core_op_end(dbs->core, request->token, request->result.code, request->result.message,
            &request->result, request_release);
        db_drop(dbs, db);
    }
}

/* On the thread that committed. */
static void write_done(struct aisys_db_request *request)
{
    struct aisys_env_db *dbs = ((struct aisys_db *)request->owner)->dbs;
    bool first;

    request->next = NULL;
    pthread_mutex_lock(&dbs->lock);
    first = !dbs->ended;
    *dbs->ended_last = request;
    dbs->ended_last = &request->next;
    pthread_mutex_unlock(&dbs->lock);
    if (first)
        aisys_uv_bell_ring(dbs->bell);
}

static int db_write(void *ctx, struct aisys_db *db, struct aisys_db_request *request, uint64_t op)
{
    (void)ctx;
    request->owner = db;
    request->token = op;
    request->done = write_done;
    switch (aisys_sqlite_submit(db->sqlite, request)) {
    case AISYS_SQLITE_FULL:
        return AISYS_SEND_FULL;
    case AISYS_SQLITE_FIRST:
        db->holds++;
        db_turn_begin(db);
        return 0;
    default:
        db->holds++;
        return 0;
    }
}

static uint64_t db_bytes(void *ctx, const struct aisys_db *db)
{
    (void)ctx;
    return db->sqlite ? aisys_sqlite_bytes(db->sqlite) : 0;
}

/* ---- As a whole ----------------------------------------------------------------------------- */

int aisys_env_db_open(
    struct aisys_uv *uv, struct aisys_env *env, const char *data_dir, struct aisys_env_db **ret_dbs)
{
    struct aisys_env_db *dbs = calloc(1, sizeof(*dbs));
    int r;

    if (!dbs)
        return -ENOMEM;
    dbs->uv = uv;
    dbs->data_dir = data_dir;
    dbs->ended_last = &dbs->ended;
    pthread_mutex_init(&dbs->lock, NULL);
    r = aisys_uv_bell_open(uv, writes_ended, dbs, &dbs->bell);
    if (r < 0) {
        free(dbs);
        return r;
    }
    env->db = (struct aisys_db_service){ .ctx = dbs,
        .open = db_open,
        .write = db_write,
        .read = db_read,
        .hold = db_hold,
        .drop = db_drop,
        .close = db_close,
        .bytes = db_bytes };
    *ret_dbs = dbs;
    return 0;
}

void aisys_env_db_attach(struct aisys_env_db *dbs, struct aisys_core *core)
{
    dbs->core = core;
}

void aisys_env_db_close(struct aisys_env_db *dbs)
{
    if (!dbs)
        return;
    dbs->loop_closed = true;
    writes_ended(dbs);
    AISYS_CHECK(!dbs->first);
    pthread_mutex_destroy(&dbs->lock);
    free(dbs);
}
