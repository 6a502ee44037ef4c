/* The world for a core in a test: time is a variable, chance a seed, jobs run when the test says,
 * and the n-th allocation fails when it wants that.
 *
 * Threads: one.  Errors: asserted with cmocka, so use it on the main thread. */
#ifndef TESTS_FAKE_ENV_H
#define TESTS_FAKE_ENV_H

#include "core/core.h"

#define FAKE_JOBS_MAX  64
#define FAKE_LOG_BYTES 16384

struct fake_env {
    struct aisys_env env;
    uint64_t now_ms;
    uint64_t seed;
    int64_t live_allocations;
    long fail_alloc_after; /* allocations that still succeed; negative: all */
    bool fault_fired;
    unsigned wakes;
    struct aisys_job *jobs[FAKE_JOBS_MAX]; /* started, oldest first */
    unsigned jobs_nr;
    int job_start_error;      /* returned by job_start when not 0 */
    char log[FAKE_LOG_BYTES]; /* "event words\n" */
    size_t log_bytes;

    /* bus.local: socket: envelopes are copied into this queue and delivered by fake_env_pump(). */
    struct fake_envelope *first, *last;
    struct aisys_core *core; /* set by the test */
};

void fake_env_init(struct fake_env *fake);
void fake_env_deinit(struct fake_env *fake); /* asserts that nothing leaked */

/* Turns until there is nothing to do at this moment, looped-back envelopes included. */
void fake_env_settle(struct fake_env *fake);

/* Let @ms pass, a millisecond at a time, settling after each. */
void fake_env_pass(struct fake_env *fake, uint64_t ms);

/* Execute the oldest started job and report its end; asserts that there is one. */
void fake_env_run_job(struct fake_env *fake);

#endif
