#include "core/check.h"
#include "env.h"

#include "schema/check.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Progress of a job, on its way from the pool to the loop. */
struct progress {
    struct progress *next;
    struct aisys_job *job;
    size_t bytes;
    unsigned char data[];
};

struct aisys_node_env {
    struct aisys_env table;
    struct aisys_uv *uv;
    struct aisys_log *log;
    struct aisys_modules *modules;
    struct aisys_uv_bell *bell;
    pthread_mutex_t lock; /* of the queue, and of opening engines */
    struct progress *first, **last;
    uint64_t seed[2]; /* of xoroshiro128+ */
};

/* ---- Memory, clocks, chance ----------------------------------------------------------------- */

static void *env_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    return malloc(bytes);
}

static void env_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static uint64_t env_now_ms(void *ctx)
{
    (void)ctx;
    return aisys_uv_now_ms();
}

static int64_t env_wall_ms(void *ctx)
{
    (void)ctx;
    return (int64_t)aisys_uv_wall_ms();
}

static uint64_t rotl(uint64_t x, unsigned k)
{
    return x << k | x >> (64 - k);
}

/* xoroshiro128+ 1.0 (D. Blackman and S. Vigna, https://prng.di.unimi.it/): jitter, not secrets. */
static uint64_t env_random(void *ctx)
{
    struct aisys_node_env *env = ctx;
    const uint64_t s0 = env->seed[0];
    uint64_t s1 = env->seed[1];
    const uint64_t result = s0 + s1;

    s1 ^= s0;
    env->seed[0] = rotl(s0, 24) ^ s1 ^ s1 << 16;
    env->seed[1] = rotl(s1, 37);
    return result;
}

static void env_wake(void *ctx)
{
    (void)ctx; /* the loop asks for a turn after each of its events, and they are what calls us */
}

static void env_log(
    void *ctx, enum aisys_log_level level, const char *actor, const char *event, const char *words)
{
    struct aisys_node_env *env = ctx;

    aisys_log_write(env->log, level, actor, event, words);
}

/* ---- Jobs ----------------------------------------------------------------------------------- */

static void progress_drain(void *arg)
{
    struct aisys_node_env *env = arg;
    struct progress *at, *next;

    pthread_mutex_lock(&env->lock);
    at = env->first;
    env->first = NULL;
    env->last = &env->first;
    pthread_mutex_unlock(&env->lock);
    for (; at; at = next) {
        next = at->next;
        aisys_core_job_progressed(at->job, AISYS_BYTES(at->data, at->bytes));
        free(at);
    }
}

static int env_job_progress(void *ctx, struct aisys_job *job, struct aisys_bytes payload)
{
    struct aisys_node_env *env = ctx;
    struct progress *progress = malloc(sizeof(*progress) + payload.len);

    if (!progress)
        return -ENOMEM;
    *progress = (struct progress){ .job = job, .bytes = payload.len };
    if (payload.len)
        memcpy(progress->data, payload.data, payload.len);
    pthread_mutex_lock(&env->lock);
    *env->last = progress;
    env->last = &progress->next;
    pthread_mutex_unlock(&env->lock);
    aisys_uv_bell_ring(env->bell);
    return 0;
}

struct job_work {
    struct aisys_node_env *env;
    struct aisys_job *job;
};

static void job_run(void *arg)
{
    struct job_work *work = arg;

    aisys_job_execute(work->job);
}

static void job_done(void *arg, int status)
{
    struct job_work *work = arg;

    (void)status; /* never begun at the end of the loop: it ends all the same, without a result */
    progress_drain(work->env);
    aisys_core_job_ended(work->job);
    free(work);
}

static int env_job_start(void *ctx, struct aisys_job *job)
{
    struct aisys_node_env *env = ctx;
    struct job_work *work = malloc(sizeof(*work));
    int r;

    if (!work)
        return -ENOMEM;
    *work = (struct job_work){ env, job };
    r = aisys_uv_work(env->uv, job_run, job_done, work, NULL);
    if (r < 0)
        free(work);
    return r;
}

/* dlopen() counts: the same file again is the same handle. */
static const void *env_engine(
    void *ctx, const char *file, const char *symbol, char *why, size_t why_bytes)
{
    struct aisys_node_env *env = ctx;
    char path[PATH_MAX];
    const void *object = NULL;
    void *handle;

    if (aisys_modules_path(env->modules, file, path, sizeof(path)) < 0) {
        snprintf(why, why_bytes, "the engine %s is not installed", file);
        return NULL;
    }
    pthread_mutex_lock(&env->lock); /* dlerror() too is of one thread at a time here */
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    object = handle ? dlsym(handle, symbol) : NULL;
    if (!object)
        snprintf(why, why_bytes, "%s", dlerror());
    pthread_mutex_unlock(&env->lock);
    return object;
}

/* ---- Validation ----------------------------------------------------------------------------- */

static void env_validate(void *ctx, const ProtobufCMessage *message, struct aisys_diag *diag)
{
    (void)ctx;
    aisys_schema_check(message, NULL, diag);
}

/* ---- As a whole ----------------------------------------------------------------------------- */

int aisys_node_env_open(struct aisys_uv *uv, struct aisys_log *log, struct aisys_modules *modules,
    struct aisys_node_env **ret_env)
{
    struct aisys_node_env *env = calloc(1, sizeof(*env));
    int r;

    if (!env)
        return -ENOMEM;
    env->uv = uv;
    env->log = log;
    env->modules = modules;
    env->last = &env->first;
    env->table = (struct aisys_env){
        .ctx = env,
        .memory = { env_alloc, env_free, NULL },
        .now_ms = env_now_ms,
        .wall_ms = env_wall_ms,
        .ticks = aisys_uv_ticks,
        .ticks_per_ms = aisys_uv_ticks_per_ms(),
        .random = env_random,
        .wake = env_wake,
        .log = env_log,
        .job_start = env_job_start,
        .job_progress = env_job_progress,
        .engine = env_engine,
        .validate = env_validate,
    };
    r = aisys_uv_random(env->seed, sizeof(env->seed));
    if (r < 0)
        goto fail;
    r = -pthread_mutex_init(&env->lock, NULL);
    if (r < 0)
        goto fail;
    r = aisys_uv_bell_open(uv, progress_drain, env, &env->bell);
    if (r < 0)
        goto fail_lock;
    *ret_env = env;
    return 0;

fail_lock:
    pthread_mutex_destroy(&env->lock);
fail:
    free(env);
    return r;
}

void aisys_node_env_close(struct aisys_node_env *env)
{
    if (!env)
        return;
    progress_drain(env); /* of jobs that have ended: nobody hears it */
    pthread_mutex_destroy(&env->lock);
    free(env);
}

struct aisys_env *aisys_node_env_table(struct aisys_node_env *env)
{
    return &env->table;
}
