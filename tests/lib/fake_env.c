#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fake_env.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake_envelope {
    struct fake_envelope *next;
    struct aisys_envelope envelope;
    unsigned char payload[];
};

static uint64_t ticks_now; /* the counter has no context: one for all, a step per look */

static void *fake_alloc(void *ctx, size_t bytes)
{
    struct fake_env *fake = ctx;
    void *p;

    if (fake->fail_alloc_after == 0) {
        fake->fault_fired = true;
        return NULL;
    }
    if (fake->fail_alloc_after > 0)
        fake->fail_alloc_after--;
    p = malloc(bytes ? bytes : 1);
    assert_non_null(p);
    memset(p, 0xa5, bytes); /* nobody relies on zeroes */
    fake->live_allocations++;
    return p;
}

static void fake_free(void *ctx, void *p)
{
    struct fake_env *fake = ctx;

    fake->live_allocations--;
    free(p);
}

static uint64_t fake_now_ms(void *ctx)
{
    return ((struct fake_env *)ctx)->now_ms;
}

static int64_t fake_wall_ms(void *ctx)
{
    return (int64_t)((struct fake_env *)ctx)->now_ms + INT64_C(1767225600000); /* 2026-01-01 */
}

static uint64_t fake_ticks(void)
{
    return ++ticks_now;
}

/* xorshift64* */
static uint64_t fake_random(void *ctx)
{
    struct fake_env *fake = ctx;

    fake->seed ^= fake->seed >> 12;
    fake->seed ^= fake->seed << 25;
    fake->seed ^= fake->seed >> 27;
    return fake->seed * UINT64_C(2685821657736338717);
}

static void fake_wake(void *ctx)
{
    ((struct fake_env *)ctx)->wakes++;
}

static void fake_log(
    void *ctx, enum aisys_log_level level, const char *actor, const char *event, const char *words)
{
    struct fake_env *fake = ctx;
    const size_t room = sizeof(fake->log) - fake->log_bytes;
    const int n = snprintf(
        fake->log + fake->log_bytes, room, "%s %s %s\n", actor ? actor : "-", event, words);

    (void)level;
    if (n > 0 && (size_t)n < room)
        fake->log_bytes += (size_t)n;
}

static int fake_job_start(void *ctx, struct aisys_job *job)
{
    struct fake_env *fake = ctx;

    if (fake->job_start_error)
        return fake->job_start_error;
    assert_true(fake->jobs_nr < FAKE_JOBS_MAX);
    fake->jobs[fake->jobs_nr++] = job;
    return 0;
}

static int fake_job_progress(void *ctx, struct aisys_job *job, struct aisys_bytes payload)
{
    (void)ctx;
    aisys_core_job_progressed(job, payload);
    return 0;
}

static int fake_loopback(void *ctx, const struct aisys_envelope *envelope)
{
    struct fake_env *fake = ctx;
    struct fake_envelope *copy = fake_alloc(fake, sizeof(*copy) + envelope->payload.len);

    if (!copy)
        return -ENOMEM;
    copy->next = NULL;
    copy->envelope = *envelope;
    if (envelope->payload.len)
        memcpy(copy->payload, envelope->payload.data, envelope->payload.len);
    copy->envelope.payload.data = copy->payload;
    if (fake->last)
        fake->last->next = copy;
    else
        fake->first = copy;
    fake->last = copy;
    return 0;
}

void fake_env_init(struct fake_env *fake)
{
    *fake = (struct fake_env){ .seed = 1, .now_ms = 1000, .fail_alloc_after = -1 };
    fake->env = (struct aisys_env){
        .ctx = fake,
        .memory = { fake_alloc, fake_free, fake },
        .now_ms = fake_now_ms,
        .wall_ms = fake_wall_ms,
        .ticks = fake_ticks,
        .ticks_per_ms = 1000 * 1000,
        .random = fake_random,
        .wake = fake_wake,
        .log = fake_log,
        .job_start = fake_job_start,
        .job_progress = fake_job_progress,
        .loopback = fake_loopback,
        .loopback_ctx = fake,
    };
}

void fake_env_deinit(struct fake_env *fake)
{
    while (fake->first) {
        struct fake_envelope *envelope = fake->first;

        fake->first = envelope->next;
        fake_free(fake, envelope);
    }
    assert_int_equal(fake->live_allocations, 0);
}

void fake_env_settle(struct fake_env *fake)
{
    for (;;) {
        struct fake_envelope *envelope = fake->first;
        const bool more = aisys_core_turn(fake->core);

        if (!more && !envelope && !fake->first)
            return;
        while ((envelope = fake->first)) {
            fake->first = envelope->next;
            if (!fake->first)
                fake->last = NULL;
            aisys_core_deliver(fake->core, &envelope->envelope);
            fake_free(fake, envelope);
        }
    }
}

void fake_env_pass(struct fake_env *fake, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i++) {
        fake->now_ms++;
        fake_env_settle(fake);
    }
}

void fake_env_run_job(struct fake_env *fake)
{
    struct aisys_job *job = fake->jobs[0];

    assert_true(fake->jobs_nr > 0);
    memmove(&fake->jobs[0], &fake->jobs[1], --fake->jobs_nr * sizeof(fake->jobs[0]));
    aisys_job_execute(job);
    aisys_core_job_ended(job);
}
