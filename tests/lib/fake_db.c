#include "fake_db.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/db_pack.h"
#include "port/sqlite_port.h"

struct aisys_db {
    const struct aisys_actor *actor;
    struct aisys_sqlite *sqlite;
    struct aisys_sqlite_error error;
    unsigned holds;
    bool closing;
};

struct fake_db_write {
    struct fake_db_write *next;
    struct aisys_db *db;
    struct aisys_db_request *request; /* NULL: an open */
    uint64_t op;
};

static void fake_later(
    struct fake_db *fake, struct aisys_db *db, struct aisys_db_request *request, uint64_t op)
{
    struct fake_db_write *w = calloc(1, sizeof(*w));

    *w = (struct fake_db_write){ NULL, db, request, op };
    *fake->last = w;
    fake->last = &w->next;
    db->holds++;
}

static int fake_open(
    void *ctx, struct aisys_actor *actor, const struct aisys_db_options *options, uint64_t op)
{
    struct fake_db *fake = ctx;
    struct aisys_db *db = calloc(1, sizeof(*db));
    struct aisys_db_options at = *options;
    char path[160];
    unsigned i = 0;

    db->actor = actor;
    snprintf(path, sizeof(path), "%s/%s", fake->dir, options->path);
    at.path = path;
    aisys_sqlite_open(&at, &db->sqlite, &db->error);
    while (fake->open[i] != NULL)
        assert_true(++i < FAKE_DBS_MAX);
    fake->open[i] = db;
    fake_later(fake, db, NULL, op);
    return 0;
}

static int fake_write(void *ctx, struct aisys_db *db, struct aisys_db_request *request, uint64_t op)
{
    fake_later(ctx, db, request, op);
    return 0;
}

static void fake_read(void *ctx, struct aisys_db *db, struct aisys_db_request *request)
{
    (void)ctx;
    request->deadline_ms = 0; /* of virtual time */
    aisys_sqlite_read(db->sqlite, request);
}

static void fake_maybe_close(struct fake_db *fake, struct aisys_db *db)
{
    if (!db->closing || db->holds > 0)
        return;
    for (unsigned i = 0; i < FAKE_DBS_MAX; i++) {
        if (fake->open[i] == db)
            fake->open[i] = NULL;
    }
    aisys_sqlite_close(db->sqlite);
    free(db);
}

static void fake_hold(void *ctx, struct aisys_db *db)
{
    (void)ctx;
    db->holds++;
}

static void fake_drop(void *ctx, struct aisys_db *db)
{
    db->holds--;
    fake_maybe_close(ctx, db);
}

static void fake_close(void *ctx, struct aisys_db *db)
{
    db->closing = true;
    fake_maybe_close(ctx, db);
}

static void fake_gone(void *ctx, struct aisys_actor *actor)
{
    struct fake_db *fake = ctx;

    for (unsigned i = 0; i < FAKE_DBS_MAX; i++) {
        if (fake->open[i] != NULL && fake->open[i]->actor == actor)
            fake_close(fake, fake->open[i]);
    }
}

static uint64_t fake_bytes(void *ctx, const struct aisys_db *db)
{
    (void)ctx;
    return aisys_sqlite_bytes(db->sqlite);
}

void fake_db_init(struct fake_db *db, struct fake_env *fake, const char *dir)
{
    *db = (struct fake_db){ .fake = fake };
    db->last = &db->first;
    if (dir != NULL) {
        snprintf(db->dir, sizeof(db->dir), "%s", dir);
    } else {
        strcpy(db->dir, "/tmp/aisys_db_XXXXXX");
        assert_non_null(mkdtemp(db->dir));
    }
    fake->env.db = (struct aisys_db_service){ db, fake_open, fake_write, fake_read, fake_hold,
        fake_drop, fake_close, fake_bytes };
    fake->env.actor_gone = fake_gone;
    fake->env.gone_ctx = db;
}

static void fake_request_done(struct aisys_db_request *request)
{
    request->token = 1;
}

/* The result is inside of its request. */
static void fake_release(void *result)
{
    aisys_db_request_free(
        (struct aisys_db_request *)(void *)((char *)result -
                                            offsetof(struct aisys_db_request, result)));
}

/* What waits for one database: one commit. */
static void fake_commit(struct fake_db *db, struct fake_db_write *writes)
{
    for (struct fake_db_write *w = writes; w != NULL; w = w->next) {
        if (w->request == NULL)
            continue;
        w->request->deadline_ms = 0;
        w->request->done = fake_request_done;
        if (db->fail_writes > 0) {
            db->fail_writes--;
            aisys_db_result_fail(w->request, db->fail_code, "%s", db->fail_words);
            continue;
        }
        assert_int_not_equal(aisys_sqlite_submit(w->db->sqlite, w->request), AISYS_SQLITE_FULL);
    }
    db->commits++;
    for (unsigned i = 0; i < FAKE_DBS_MAX; i++) {
        while (db->open[i] != NULL && db->open[i]->sqlite != NULL &&
               aisys_sqlite_turn(db->open[i]->sqlite))
            ;
    }
}

static void fake_end(struct fake_db *db, struct fake_db_write *w)
{
    struct aisys_core *core = db->fake->core;

    if (w->request != NULL)
        aisys_core_op_end(core, w->op, w->request->result.code, w->request->result.message,
            &w->request->result, fake_release);
    else if (w->db->sqlite != NULL)
        aisys_core_op_end(core, w->op, AISYS_OK, "", w->db, NULL);
    else
        aisys_core_op_end(core, w->op, w->db->error.code, w->db->error.message, NULL, NULL);
    w->db->closing |= w->db->sqlite == NULL;
    fake_drop(db, w->db);
    free(w);
}

bool fake_db_pump(struct fake_db *db)
{
    bool any = false;

    for (;;) {
        fake_env_settle(db->fake);
        if (db->fake->jobs_nr > 0) {
            fake_env_run_job(db->fake);
        } else if (db->first != NULL && !db->hold_writes) {
            struct fake_db_write *writes = db->first, *next;

            db->first = NULL;
            db->last = &db->first;
            fake_commit(db, writes);
            for (; writes != NULL; writes = next) {
                next = writes->next;
                fake_end(db, writes);
            }
        } else {
            return any;
        }
        any = true;
    }
}

void fake_db_deinit(struct fake_db *db, bool keep)
{
    DIR *dir = opendir(db->dir);
    struct dirent *entry;

    for (unsigned i = 0; i < FAKE_DBS_MAX; i++)
        assert_null(db->open[i]); /* the actors have stopped */
    while (!keep && (entry = readdir(dir)) != NULL) {
        char path[400];

        snprintf(path, sizeof(path), "%s/%s", db->dir, entry->d_name);
        if (entry->d_name[0] != '.')
            unlink(path);
    }
    closedir(dir);
    if (!keep)
        rmdir(db->dir);
}
