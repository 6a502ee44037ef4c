/* Jobs: functions that run on the pool for one actor, in lanes, each with a limit and a bounded queue
 * ordered by priority, then deadline, then age. */
#include "internal.h"

#include <aisys/engine.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_ENDED };

#define LANE_RUNNING_DEFAULT 1u
#define LANE_QUEUED_DEFAULT  256u

/* Written by the loop thread before job_start() and after the end; by its pool thread in between, but for
 * stop, which both use. */
struct aisys_job {
    struct aisys_core *core;
    uint64_t op; /* 0: nobody waits for it any more */
    aisys_run_fn run;
    struct aisys_job_input input;
    void *result;
    aisys_free_fn result_free;
    uint64_t deadline_ms;
    uint64_t ticks; /* that it ran */
    uint64_t order; /* of equals: first come, first served */
    uint32_t place; /* in the heap */
    int code;
    atomic_bool stop;
    uint8_t lane, priority, state;
    char words[200];
};

/* ---- Lanes ---------------------------------------------------------------------------------- */

static const uint8_t urgency[PRIORITIES] = {
    [AISYS_HIGH] = 0, [AISYS_NORMAL] = 1, [AISYS_LOW] = 2
};

static bool job_before(const struct aisys_job *a, const struct aisys_job *b)
{
    if (a->priority != b->priority)
        return urgency[a->priority] < urgency[b->priority];
    if (a->deadline_ms != b->deadline_ms)
        return a->deadline_ms < b->deadline_ms;
    return a->order < b->order;
}

static void lane_put(struct lane *lane, uint32_t place, struct aisys_job *job)
{
    lane->heap[place] = job;
    job->place = place;
}

static void lane_sift_up(struct lane *lane, struct aisys_job *job)
{
    uint32_t place = job->place;

    while (place > 0 && job_before(job, lane->heap[(place - 1) / 2])) {
        lane_put(lane, place, lane->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    lane_put(lane, place, job);
}

static void lane_sift_down(struct lane *lane, struct aisys_job *job)
{
    uint32_t place = job->place;

    for (;;) {
        uint32_t child = 2 * place + 1;

        if (child >= lane->queued)
            break;
        if (child + 1 < lane->queued && job_before(lane->heap[child + 1], lane->heap[child]))
            child++;
        if (!job_before(lane->heap[child], job))
            break;
        lane_put(lane, place, lane->heap[child]);
        place = child;
    }
    lane_put(lane, place, job);
}

static void lane_remove(struct lane *lane, struct aisys_job *job)
{
    const uint32_t place = job->place;
    struct aisys_job *moved = lane->heap[--lane->queued];

    AISYS_CHECK(place <= lane->queued);
    if (moved == job)
        return;
    lane_put(lane, place, moved);
    lane_sift_up(lane, moved);
    lane_sift_down(lane, moved);
}

int aisys_lane_init(struct aisys_core *core, struct lane *lane, struct aisys_lane_limits limits)
{
    lane->limits.running = limits.running ? limits.running : LANE_RUNNING_DEFAULT;
    lane->limits.queued = limits.queued ? limits.queued : LANE_QUEUED_DEFAULT;
    lane->heap = core_calloc(core, lane->limits.queued * sizeof(*lane->heap));
    return lane->heap ? 0 : -ENOMEM;
}

void aisys_lane_deinit(struct aisys_core *core, struct lane *lane)
{
    AISYS_CHECK(lane->running == 0);
    core_release(core, lane->heap);
    lane->heap = NULL;
}

/* ---- A job's life --------------------------------------------------------------------------- */

static void job_start_more(struct aisys_core *core, struct lane *lane);

/* Take a queued job out, or tell a running one to stop. */
void aisys_job_cancel(struct aisys_job *job)
{
    if (job->state == JOB_QUEUED) {
        lane_remove(&job->core->lanes[job->lane], job);
        job->state = JOB_ENDED;
    } else if (job->state == JOB_RUNNING) {
        atomic_store_explicit(&job->stop, true, memory_order_relaxed);
    }
}

void aisys_job_free(struct aisys_job *job)
{
    job->op = 0;
    if (job->state == JOB_RUNNING)
        return; /* freed when it has ended */
    AISYS_CHECK(job->state == JOB_ENDED);
    core_release_with(job->core, job->input.free, job->input.data);
    core_release_with(job->core, job->result_free, job->result);
    core_release(job->core, job);
}

void *aisys_job_outcome(struct aisys_job *job)
{
    return job->state == JOB_ENDED ? job->result : NULL;
}

/* The pool would not take it: it ends at once, with an error. */
static void job_refused(struct aisys_core *core, struct aisys_job *job, int error)
{
    struct op *op = aisys_op_find(core, job->op);

    AISYS_CHECK(op); /* a queued job whose op has ended has left the heap */
    job->state = JOB_ENDED;
    aisys_core_log(core, op->actor, AISYS_ERROR, "job_not_started", "errno=%d", -error);
    aisys_op_end_words(core, op, AISYS_UNAVAILABLE, "the pool does not take the job");
}

static void job_start_more(struct aisys_core *core, struct lane *lane)
{
    while (lane->queued && lane->running < lane->limits.running) {
        struct aisys_job *job = lane->heap[0];
        int r;

        lane_remove(lane, job);
        job->state = JOB_RUNNING;
        r = core->env->job_start(core->env->ctx, job);
        if (r < 0)
            job_refused(core, job, r);
        else
            lane->running++;
    }
}

int aisys_job(struct aisys_actor *self, enum aisys_lane lane_nr, aisys_run_fn run,
    struct aisys_job_input input, struct aisys_then then)
{
    struct aisys_core *core = self->core;
    struct aisys_job *job;
    struct lane *lane;
    struct op *op;
    int r;

    then_check(self, then);
    if (self->lane)
        lane_nr = (enum aisys_lane)(self->lane - 1);
    if ((unsigned)lane_nr >= AISYS_LANE_NR)
        aisys_check_failed_in_actor("lane is an enum aisys_lane", __FILE__, __LINE__);
    if (!run)
        aisys_check_failed_in_actor("a job has a function", __FILE__, __LINE__);
    lane = &core->lanes[lane_nr];
    if (lane->queued == lane->limits.queued) {
        lane->refused++;
        return AISYS_SEND_FULL;
    }
    job = core_calloc(core, sizeof(*job));
    if (!job)
        return -ENOMEM;
    r = aisys_op_begin(self, OP_JOB, then, &op);
    if (r) {
        core_release(core, job);
        return r;
    }
    job->core = core;
    job->op = aisys_op_id(op);
    job->run = run;
    job->input = input;
    job->deadline_ms = core->now_ms + (then.deadline_ms ? then.deadline_ms : DEADLINE_DEFAULT_MS);
    job->order = lane->sequence++;
    job->priority = then.priority;
    job->lane = (uint8_t)lane_nr;
    job->state = JOB_QUEUED;
    atomic_init(&job->stop, false);
    op->job = job;
    aisys_op_arm(core, op, job->deadline_ms);

    job->place = lane->queued++;
    lane_sift_up(lane, job);
    job_start_more(core, lane);
    return 0;
}

void aisys_job_execute(struct aisys_job *job)
{
    const uint64_t begin = job->core->env->ticks();

    job->run(job);
    job->ticks = job->core->env->ticks() - begin;
}

static bool actor_has_room(const struct aisys_actor *actor, size_t bytes)
{
    return actor->queued + actor->reserved < actor->queued_max &&
           bytes <= actor->core->message_bytes_max &&
           actor->queued_bytes + bytes <= actor->queued_bytes_max;
}

void aisys_core_job_progressed(struct aisys_job *job, struct aisys_bytes payload)
{
    struct aisys_core *core = job->core;
    struct op *op = aisys_op_find(core, job->op);
    struct message *message;

    if (!op || op->ended)
        return;
    message = actor_has_room(op->actor, payload.len) ? message_new(core, payload.len) : NULL;
    op->actor->offered++;
    if (!message) {
        op->actor->dropped++; /* progress is telemetry: the end still comes */
        return;
    }
    if (payload.len)
        memcpy(message->payload, payload.data, payload.len);
    message->kind = AISYS_ENVELOPE_END;
    message->flags = MESSAGE_MORE;
    message->priority = op->priority;
    message->seen.type = AISYS_OK;
    message->seen.from = (struct aisys_id){ 0 };
    message->seen.reply = aisys_op_id(op);
    message->seen.deadline_ms = 0;
    mailbox_push(op->actor, message);
    actor_run_later(op->actor);
}

void aisys_core_job_ended(struct aisys_job *job)
{
    struct aisys_core *core = job->core;
    struct lane *lane = &core->lanes[job->lane];
    struct op *op = aisys_op_find(core, job->op);

    AISYS_CHECK(job->state == JOB_RUNNING);
    job->state = JOB_ENDED;
    lane->running--;
    lane->done++;
    lane->pool_ticks += job->ticks;
    if (op)
        op->actor->pool_ticks += job->ticks;
    if (!op)
        aisys_job_free(job);
    else if (!op->ended && job->code == AISYS_OK)
        aisys_op_end(core, op, AISYS_OK, AISYS_NO_BYTES);
    else if (!op->ended)
        aisys_op_end_words(core, op, job->code, job->words);
    job_start_more(core, lane);
}

/* ---- On the pool thread --------------------------------------------------------------------- */

void *aisys_job_input(const struct aisys_job *job)
{
    return job->input.data;
}

uint64_t aisys_job_remaining_ms(const struct aisys_job *job)
{
    const uint64_t now_ms = job->core->env->now_ms(job->core->env->ctx);

    return now_ms < job->deadline_ms ? job->deadline_ms - now_ms : 0;
}

bool aisys_job_stopped(const struct aisys_job *job)
{
    return atomic_load_explicit(&job->stop, memory_order_relaxed) ||
           aisys_job_remaining_ms(job) == 0;
}

int aisys_job_progress(struct aisys_job *job, struct aisys_bytes payload)
{
    return job->core->env->job_progress(job->core->env->ctx, job, payload);
}

void aisys_job_result(struct aisys_job *job, void *result, aisys_free_fn free_fn)
{
    AISYS_CHECK(!job->result);
    job->result = result;
    job->result_free = free_fn;
}

void aisys_job_fail(struct aisys_job *job, enum aisys_code code, const char *format, ...)
{
    va_list ap;

    job->code = (int)code;
    va_start(ap, format);
    vsnprintf(job->words, sizeof(job->words), format, ap);
    va_end(ap);
}

const void *aisys_engine(
    const struct aisys_job *job, const char *file, const char *symbol, char *why, size_t why_bytes)
{
    const struct aisys_env *env = job->core->env;

    if (env->engine)
        return env->engine(env->ctx, file, symbol, why, why_bytes);
    snprintf(why, why_bytes, "this node opens no engines");
    return NULL;
}
