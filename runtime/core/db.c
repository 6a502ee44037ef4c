/* Databases for actors: requests become jobs of the memory lane (those that read) or wait for the next
 * group commit (those that write). What runs them is the environment's. */
#include "internal.h"

#include "db_pack.h"
#include <errno.h>

int aisys_db_open(
    struct aisys_actor *self, const struct aisys_db_options *options, struct aisys_then then)
{
    const struct aisys_env *env = self->core->env;
    uint64_t op, deadline_ms;
    int r;

    if (!env->db.open)
        return -ENOSYS;
    r = aisys_core_op_begin(self, then, &op, &deadline_ms);
    if (r)
        return r;
    r = env->db.open(env->db.ctx, self, options, op);
    if (r)
        aisys_core_op_abandon(self->core, op);
    return r;
}

/* ---- Reading: a job --------------------------------------------------------------------------- */

struct db_read {
    struct aisys_core *core;
    struct aisys_db *db;
    struct aisys_db_request *request; /* owned; its result is what the end shows */
};

static void db_read_free(void *p)
{
    struct db_read *read = p;
    const struct aisys_env *env = read->core->env;

    aisys_db_request_free(read->request);
    env->db.drop(env->db.ctx, read->db);
    core_release(read->core, read);
}

static void db_read_run(struct aisys_job *job)
{
    struct db_read *read = aisys_job_input(job);
    const struct aisys_env *env = read->core->env;
    struct aisys_db_result *result = &read->request->result;

    env->db.read(env->db.ctx, read->db, read->request);
    aisys_job_result(job, result, NULL);
    if (result->code != AISYS_OK)
        aisys_job_fail(job, (enum aisys_code)result->code, "%s", result->message);
}

static int db_begin_read(struct aisys_actor *self, struct aisys_db *db,
    struct aisys_db_request *request, struct aisys_then then)
{
    struct aisys_core *core = self->core;
    struct db_read *read = core_alloc(core, sizeof(*read));
    int r;

    if (!read)
        return -ENOMEM;
    *read = (struct db_read){ core, db, request };
    core->env->db.hold(core->env->db.ctx, db);
    r = aisys_job(
        self, AISYS_LANE_MEMORY, db_read_run, (struct aisys_job_input){ read, db_read_free }, then);
    if (r) {
        core->env->db.drop(core->env->db.ctx, db);
        core_release(core, read);
    }
    return r;
}

/* ---- Writing: a place in the next commit -------------------------------------------------------- */

static int db_begin_write(struct aisys_actor *self, struct aisys_db *db,
    struct aisys_db_request *request, struct aisys_then then)
{
    const struct aisys_env *env = self->core->env;
    uint64_t op;
    int r = aisys_core_op_begin(self, then, &op, &request->deadline_ms);

    if (r)
        return r;
    r = env->db.write(env->db.ctx, db, request, op);
    if (r)
        aisys_core_op_abandon(self->core, op);
    return r;
}

int aisys_db_exec(struct aisys_actor *self, struct aisys_db *db, enum aisys_db_mode mode,
    const struct aisys_db_stmt *stmts, size_t n_stmts, struct aisys_then then)
{
    struct aisys_db_request *request;
    int r;

    then_check(self, then);
    r = aisys_db_request_new(mode, stmts, n_stmts, &request);
    if (r < 0)
        return r;
    request->deadline_ms =
        self->core->now_ms + (then.deadline_ms ? then.deadline_ms : DEADLINE_DEFAULT_MS);
    r = mode == AISYS_DB_READ ? db_begin_read(self, db, request, then)
                              : db_begin_write(self, db, request, then);
    if (r)
        aisys_db_request_free(request);
    return r;
}

void aisys_db_close(struct aisys_actor *self, struct aisys_db *db)
{
    if (db)
        self->core->env->db.close(self->core->env->db.ctx, db);
}

uint64_t aisys_db_bytes(const struct aisys_actor *self, const struct aisys_db *db)
{
    return self->core->env->db.bytes(self->core->env->db.ctx, db);
}

bool aisys_storage_is_redis(const struct aisys_actor *self)
{
    return self->core->env->storage_redis;
}
