#include "core/check.h"
#include "runtime.h"

#include "agents.h"
#include "api.h"
#include "bus.h"
#include "doors.h"
#include "env.h"
#include "env_db.h"
#include "env_redis.h"
#include "facts.h"
#include "http.h"
#include "lock.h"
#include "log.h"
#include "modules.h"
#include "port/systemd_port.h"

#include <aisys/diag.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SWEEP_MS          1000u
#define HTTP_GRACE_MS     250u
#define END_MS            5000u /* for what is not in our hands at the end: sockets of NNG, jobs that run */
#define MESSAGE_BYTES_MAX (18u * 1024 * 1024) /* an image of 16 MiB, and what is said of it */
#define POOL_EXTRA        2u                  /* for libuv's own: names, files */

enum phase { PHASE_STARTING, PHASE_RUNNING, PHASE_DRAINING, PHASE_CLOSING, PHASE_CLOSED };

struct aisys_runtime {
    struct aisys_config *config;
    struct aisys_uv *uv;
    struct aisys_log *log;
    struct aisys_modules modules;
    struct aisys_node_env *env;
    struct aisys_uv_bell *nng_bell;
    struct aisys_nng *nng;
    struct aisys_facts *facts;
    struct aisys_env_db *dbs;
    struct aisys_env_redis *redis; /* NULL: not configured */
    struct aisys_bus *bus;         /* NULL unless bus.local is socket */
    struct aisys_core *core;
    struct aisys_api *api;
    struct aisys_doors *doors;
    struct aisys_http_doors *http;
    int lock_fd;
    enum phase phase;
    unsigned closing; /* doors that have not closed yet */
    uint64_t started_ms, sweep_ms, drain_until_ms, close_until_ms;
    uint64_t watchdog_ms, watchdog_every_ms; /* 0: systemd does not watch */
    int exit_code;
    bool abandoned; /* others still use what would be released */
};

/* ---- Turns ---------------------------------------------------------------------------------- */

static void runtime_ready(struct aisys_runtime *rt)
{
    const unsigned down = aisys_core_down(rt->core);
    char status[160];

    rt->phase = PHASE_RUNNING;
    aisys_log_event(rt->log, down ? AISYS_WARNING : AISYS_INFO, "ready",
        "role=%s start_ms=%llu actors_down=%u request=%s http=%u metrics=%u data=%s",
        rt->config->role, (unsigned long long)(aisys_uv_now_ms() - rt->started_ms), down,
        aisys_doors_request_url(rt->doors), (unsigned)aisys_http_doors_port(rt->http),
        (unsigned)aisys_http_doors_metrics_port(rt->http), rt->config->data->dir);
    snprintf(status, sizeof(status), down ? "degraded: %u actors are down" : "running", down);
    aisys_systemd_notify(AISYS_SYSTEMD_READY, status);
}

static void door_closed(void *arg)
{
    struct aisys_runtime *rt = arg;

    if (--rt->closing == 0) {
        rt->phase = PHASE_CLOSED;
        aisys_uv_stop(rt->uv);
    }
}

/* Everything has stopped: doors close, then the loop ends. */
static void runtime_close_doors(struct aisys_runtime *rt)
{
    rt->phase = PHASE_CLOSING;
    rt->closing = 4;
    rt->close_until_ms = aisys_uv_now_ms() + END_MS;
    aisys_uv_wake_at(rt->uv, rt->close_until_ms);
    aisys_facts_doors(rt->facts, NULL, NULL);
    aisys_api_close(rt->api); /* what is still open is answered: the node has stopped */
    rt->api = NULL;
    aisys_http_doors_close(rt->http, HTTP_GRACE_MS, door_closed, rt);
    aisys_doors_close(rt->doors, door_closed, rt);
    aisys_bus_close(rt->bus, door_closed, rt);
    aisys_facts_redis(rt->facts, NULL);
    aisys_facts_bus(rt->facts, NULL);
    aisys_env_redis_close(rt->redis, door_closed, rt);
    rt->http = NULL;
    rt->doors = NULL;
    rt->bus = NULL;
    rt->redis = NULL;
}

static void report_not_drained(void *ctx, const char *actor, const char *words)
{
    struct aisys_runtime *rt = ctx;

    aisys_log_write(rt->log, AISYS_WARNING, actor, "not_drained", words);
    rt->exit_code = 1;
}

static void runtime_stop_now(struct aisys_runtime *rt)
{
    aisys_core_stop_now(rt->core, report_not_drained, rt);
    runtime_close_doors(rt);
}

/* NNG may lock up in closing (nng_port.h): then the process ends without it. */
static void runtime_check_closing(struct aisys_runtime *rt)
{
    if (rt->phase != PHASE_CLOSING || aisys_uv_now_ms() < rt->close_until_ms)
        return;
    aisys_log_event(rt->log, AISYS_ERROR, "doors_not_closed", "waited_ms=%u left=%u",
        (unsigned)END_MS, rt->closing);
    rt->phase = PHASE_CLOSED;
    rt->abandoned = true;
    rt->exit_code = 1;
    aisys_uv_stop(rt->uv);
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What is due by the clock beside the actors' own timers. Returns when it is due again. */
static uint64_t runtime_housekeeping(struct aisys_runtime *rt, uint64_t now_ms)
{
    uint64_t next_ms;

    if (now_ms >= rt->sweep_ms) {
        aisys_nng_sweep(rt->nng, now_ms);
        rt->sweep_ms = now_ms + SWEEP_MS;
    }
    next_ms = earliest(rt->sweep_ms, aisys_facts_refresh(rt->facts, now_ms));
    if (rt->watchdog_every_ms) {
        if (now_ms >= rt->watchdog_ms) {
            aisys_systemd_notify(AISYS_SYSTEMD_WATCHDOG, NULL);
            rt->watchdog_ms = now_ms + rt->watchdog_every_ms;
        }
        next_ms = earliest(next_ms, rt->watchdog_ms);
    }
    if (rt->phase == PHASE_DRAINING)
        next_ms = earliest(next_ms, rt->drain_until_ms);
    return next_ms;
}

static bool runtime_turn(void *arg)
{
    struct aisys_runtime *rt = arg;
    uint64_t now_ms, next_ms;
    bool more;

    if (rt->phase >= PHASE_CLOSING) {
        runtime_check_closing(rt);
        return false;
    }
    more = aisys_core_turn(rt->core);
    now_ms = aisys_uv_now_ms();
    next_ms = runtime_housekeeping(rt, now_ms);
    if (rt->bus)
        next_ms = earliest(next_ms, aisys_bus_flush(rt->bus, now_ms));
    aisys_uv_wake_at(rt->uv, earliest(next_ms, aisys_core_next_ms(rt->core)));

    if (rt->phase == PHASE_STARTING && aisys_core_state(rt->core) == AISYS_CORE_READY)
        runtime_ready(rt);
    else if (rt->phase == PHASE_DRAINING && aisys_core_state(rt->core) == AISYS_CORE_STOPPED)
        runtime_close_doors(rt);
    else if (rt->phase == PHASE_DRAINING && now_ms >= rt->drain_until_ms)
        runtime_stop_now(rt);
    return more;
}

static void runtime_on_stop(void *arg, int signum)
{
    struct aisys_runtime *rt = arg;

    if (rt->phase >= PHASE_CLOSING)
        return;
    if (rt->phase == PHASE_DRAINING) {
        aisys_log_event(rt->log, AISYS_WARNING, "hurrying", "signal=%d", signum);
        runtime_stop_now(rt);
        return;
    }
    aisys_log_event(rt->log, AISYS_INFO, "stopping", "signal=%d drain_ms=%u", signum,
        (unsigned)rt->config->system->drain_ms);
    aisys_systemd_notify(AISYS_SYSTEMD_STOPPING, "draining");
    rt->phase = PHASE_DRAINING;
    rt->drain_until_ms = aisys_uv_now_ms() + rt->config->system->drain_ms;
    aisys_core_stop(rt->core);
}

static void runtime_on_hangup(void *arg, int signum)
{
    struct aisys_runtime *rt = arg;
    const int r = aisys_log_reopen(rt->log);

    (void)signum;
    if (r < 0)
        aisys_log_event(rt->log, AISYS_ERROR, "log_not_reopened", "error=\"%s\"", strerror(-r));
    else
        aisys_log_event(rt->log, AISYS_INFO, "log_reopened", "%s", "");
}

static void nng_wake(void *arg)
{
    struct aisys_runtime *rt = arg;

    aisys_uv_bell_ring(rt->nng_bell);
}

static void nng_drain(void *arg)
{
    struct aisys_runtime *rt = arg;

    aisys_nng_drain(rt->nng);
}

/* ---- Opening -------------------------------------------------------------------------------- */

/* FNV-1a of the name: the node's number; its run is told from others by chance. */
static uint64_t node_id(const char *name)
{
    uint32_t number = 2166136261u, incarnation = 0;

    for (; *name; name++)
        number = (number ^ (unsigned char)*name) * 16777619u;
    while (!incarnation)
        if (aisys_uv_random(&incarnation, sizeof(incarnation)) < 0)
            incarnation = (uint32_t)aisys_uv_now_ns() | 1;
    return (uint64_t)number << 32 | incarnation;
}

static int runtime_lock(struct aisys_runtime *rt, struct aisys_diag *diag)
{
    pid_t pid = 0;
    const int r = aisys_lock_dir(rt->config->data->dir, &rt->lock_fd, &pid);

    if (r == -EWOULDBLOCK)
        aisys_diag_add(diag, NULL, "data.dir", "a directory of its own for each node",
            "%s is in use by process %ld", rt->config->data->dir, (long)pid);
    else if (r < 0)
        aisys_diag_add(diag, NULL, "data.dir", "a directory that may be written", "%s: %s",
            rt->config->data->dir, strerror(-r));
    return r;
}

static struct aisys_lane_limits lane(uint32_t running, uint32_t queued)
{
    return (struct aisys_lane_limits){ running, queued };
}

static void lanes_limits(
    const Aisys__PerformanceConfig *p, struct aisys_lane_limits ret_lanes[AISYS_LANE_NR])
{
    ret_lanes[AISYS_LANE_GENERAL] = lane(p->general_jobs, p->general_queue);
    ret_lanes[AISYS_LANE_MEMORY] = lane(p->memory_jobs, p->memory_queue);
    ret_lanes[AISYS_LANE_VISION] = lane(p->vision_jobs, p->vision_queue);
}

static int runtime_open_log(struct aisys_runtime *rt, struct aisys_diag *diag)
{
    const Aisys__LoggingConfig *logging = rt->config->logging;
    const struct aisys_log_options options = {
        .node = rt->config->system->node,
        .level = rt->config->system->debug ? AISYS_DEBUG : (enum aisys_log_level)logging->level,
        .console = logging->console_output,
        .json = logging->format == AISYS__LOGGING_CONFIG__FORMAT__json,
        .journal = logging->journal,
        .file = logging->file,
        .file_bytes_max = logging->file_max_bytes,
        .file_keep = logging->file_keep,
    };
    const int r = aisys_log_open(&options, &rt->log);

    if (r < 0)
        aisys_diag_add(diag, NULL, "logging.file", "a file that may be written", "%s: %s",
            logging->file ? logging->file : "", strerror(-r));
    return r;
}

static int runtime_open_world(struct aisys_runtime *rt, struct aisys_diag *diag)
{
    const Aisys__PerformanceConfig *p = rt->config->performance;
    int r = aisys_uv_pool_size(p->general_jobs + p->memory_jobs + p->vision_jobs + POOL_EXTRA);

    if (r == 0 || r == -EBUSY)
        r = aisys_uv_open(runtime_turn, rt, &rt->uv);
    if (r == 0)
        r = runtime_open_log(rt, diag);
    if (r == 0)
        r = aisys_modules_init(&rt->modules, NULL);
    if (r == 0)
        r = aisys_node_env_open(rt->uv, rt->log, &rt->modules, &rt->env);
    if (r == 0)
        r = aisys_uv_bell_open(rt->uv, nng_drain, rt, &rt->nng_bell);
    if (r == 0)
        r = aisys_nng_open(nng_wake, rt, &rt->nng);
    return r;
}

static void runtime_actor_gone(void *gone_ctx, struct aisys_actor *actor)
{
    struct aisys_runtime *rt = gone_ctx;

    aisys_env_db_actor_gone(rt->dbs, actor);
}

/* The connection, when there is one to be. That the server is away is no error. */
static int runtime_open_redis(struct aisys_runtime *rt, struct aisys_env *env)
{
    const Aisys__RedisConfig *from = rt->config->redis;
    const struct aisys_redis_config config = {
        .host = from->host,
        .port = (uint16_t)from->port,
        .unix_path = from->unix_path[0] ? from->unix_path : NULL,
        .username = from->username,
        .password = from->password,
        .client_name = "aisys",
        .database = from->db,
        .connect_timeout_ms = from->connect_timeout_ms,
        .deadline_ms = from->deadline_ms,
        .backoff_max_ms = from->backoff_max_ms,
        .in_flight_max = from->in_flight_max,
    };
    int r;

    if (!from->host[0] && !from->unix_path[0])
        return 0;
    r = aisys_env_redis_open(aisys_uv_loop(rt->uv), env, rt->core, &config, &rt->redis);
    if (r == 0)
        aisys_facts_redis(rt->facts, rt->redis);
    return r;
}

static int runtime_open_core(struct aisys_runtime *rt)
{
    const struct aisys_config *config = rt->config;
    struct aisys_env *env = aisys_node_env_table(rt->env);
    struct aisys_core_options options = {
        .node = node_id(config->system->node),
        .message_bytes_max = MESSAGE_BYTES_MAX,
        .restarts_max = config->supervision->restarts,
        .restarts_ms = config->supervision->window_ms,
        .restart_delay_ms = config->supervision->delay_ms,
        .drain_ms = config->system->drain_ms,
        .loopback = config->bus->local == AISYS__BUS_CONFIG__LOCAL__socket,
    };
    int r = 0;

    lanes_limits(config->performance, options.lanes);
    if (options.loopback)
        r = aisys_bus_open(
            rt->nng, env, config->system->node, options.node, MESSAGE_BYTES_MAX, &rt->bus);
    if (r == 0)
        r = aisys_env_db_open(rt->uv, env, config->data->dir, &rt->dbs);
    env->storage_redis = config->storage->backend == AISYS__STORAGE_CONFIG__BACKEND__redis;
    env->actor_gone = runtime_actor_gone;
    env->gone_ctx = rt;
    if (r == 0)
        r = aisys_core_new(env, &options, &rt->core);
    if (r == 0)
        aisys_env_db_attach(rt->dbs, rt->core);
    if (r == 0 && rt->bus)
        aisys_bus_attach(rt->bus, rt->core);
    if (r == 0)
        r = aisys_facts_open(config, rt->uv, rt->core, &rt->modules, &rt->facts);
    if (r == 0)
        aisys_facts_bus(rt->facts, rt->bus);
    if (r == 0)
        r = runtime_open_redis(rt, env);
    if (r == 0)
        r = aisys_api_open(rt->core, &rt->api);
    return r;
}

static int runtime_open_doors(struct aisys_runtime *rt, struct aisys_diag *diag)
{
    const int r = aisys_doors_open(rt->nng, rt->config, rt->api, rt->core, diag, &rt->doors);
    const int h = aisys_http_doors_open(
        aisys_uv_loop(rt->uv), rt->config, rt->api, rt->core, rt->log, diag, &rt->http);

    if (r == 0 && h == 0)
        aisys_facts_doors(rt->facts, rt->doors, rt->http);
    return r < 0 ? r : h;
}

static int runtime_signals(struct aisys_runtime *rt)
{
    int r = aisys_uv_signal(rt->uv, SIGTERM, runtime_on_stop, rt);

    if (r == 0)
        r = aisys_uv_signal(rt->uv, SIGINT, runtime_on_stop, rt);
    if (r == 0)
        r = aisys_uv_signal(rt->uv, SIGHUP, runtime_on_hangup, rt);
    return r;
}

/* Doors of a node that was opened half close in the loop, too. */
static void runtime_close_open_doors(struct aisys_runtime *rt)
{
    if (!rt->uv || rt->phase == PHASE_CLOSED)
        return;
    runtime_close_doors(rt);
    if (rt->phase != PHASE_CLOSED)
        aisys_uv_run(rt->uv);
}

static void report_nothing(void *ctx, const char *actor, const char *words)
{
    (void)ctx;
    (void)actor;
    (void)words;
}

/* Doors that could not be opened whole close without a word, and not at once. False: they do not, and what
 * they use must stay. */
static bool runtime_close_nng(struct aisys_runtime *rt)
{
    static const struct timespec pause = { .tv_nsec = 1000000 };
    const uint64_t until_ms = aisys_uv_now_ms() + END_MS;

    while (aisys_nng_close(rt->nng) == -EBUSY) {
        if (aisys_uv_now_ms() >= until_ms)
            return false;
        nanosleep(&pause, NULL);
        aisys_nng_drain(rt->nng);
    }
    aisys_uv_bell_close(rt->nng_bell);
    return true;
}

/* Whatever is there. */
static void runtime_release(struct aisys_runtime *rt)
{
    runtime_close_open_doors(rt);
    if (!runtime_close_nng(rt))
        return;
    if (rt->core)
        aisys_core_stop_now(rt->core, report_nothing, NULL);
    aisys_uv_close(rt->uv); /* waits for jobs that run, and has them ended */
    aisys_env_db_close(rt->dbs);
    aisys_core_free(rt->core);
    aisys_node_env_close(rt->env);
    aisys_facts_close(rt->facts);
    aisys_modules_deinit(&rt->modules);
    aisys_log_close(rt->log);
    if (rt->lock_fd >= 0)
        close(rt->lock_fd);
}

static const ProtobufCMessageDescriptor *config_of_class(
    void *ctx, const char *module, const char *class_name)
{
    const struct aisys_runtime *rt = ctx;
    const struct aisys_class *class = aisys_core_class(rt->core, class_name);

    (void)module; /* a class has one module */
    return class ? aisys_class_ops(class)->config : NULL;
}

/* A core that only holds classes. */
int aisys_runtime_check(
    struct aisys_config *config, struct aisys_diag *diag, aisys_runtime_look_fn look, void *ctx)
{
    struct aisys_runtime rt = { .config = config, .lock_fd = -1, .phase = PHASE_CLOSED };
    const struct aisys_core_options options = { .node = 1 };
    int looked = 0;
    int r = aisys_uv_open(NULL, NULL, &rt.uv);

    if (r == 0)
        r = runtime_open_log(&rt, diag);
    if (r == 0)
        r = aisys_modules_init(&rt.modules, NULL);
    if (r == 0)
        r = aisys_node_env_open(rt.uv, rt.log, &rt.modules, &rt.env);
    if (r == 0)
        r = aisys_core_new(aisys_node_env_table(rt.env), &options, &rt.core);
    if (r == 0)
        r = aisys_agents_add(&rt.modules, rt.core, config, diag);
    if (rt.core && look)
        looked = look(ctx, config, config_of_class, &rt);
    runtime_release(&rt);
    return r ? r : looked;
}

int aisys_runtime_open(
    struct aisys_config *config, struct aisys_diag *diag, struct aisys_runtime **ret_runtime)
{
    struct aisys_runtime *rt = calloc(1, sizeof(*rt));
    int r;

    if (!rt)
        return -ENOMEM;
    rt->config = config;
    rt->lock_fd = -1;
    rt->started_ms = aisys_uv_now_ms();
    rt->watchdog_every_ms = aisys_systemd_watchdog_usec() / 2000;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error to whoever writes it */

    r = runtime_lock(rt, diag);
    if (r == 0)
        r = runtime_open_world(rt, diag);
    if (r == 0)
        r = runtime_open_core(rt);
    if (r == 0)
        r = aisys_agents_add(&rt->modules, rt->core, rt->config, diag);
    if (r == 0)
        r = runtime_open_doors(rt, diag);
    if (r == 0)
        r = runtime_signals(rt);
    if (r == 0)
        r = aisys_core_start(rt->core, diag);
    if (r < 0) {
        aisys_runtime_close(rt);
        return r;
    }
    *ret_runtime = rt;
    return 0;
}

/* Jobs that run have been told to stop; one that does not keeps the process no longer than this. */
static void runtime_settle(struct aisys_runtime *rt)
{
    static const char *const lanes[AISYS_LANE_NR] = { [AISYS_LANE_GENERAL] = "general",
        [AISYS_LANE_MEMORY] = "memory",
        [AISYS_LANE_VISION] = "vision" };
    struct aisys_core_info core;

    if (aisys_uv_settle(rt->uv, END_MS) == 0)
        return;
    aisys_core_stats(rt->core, &core);
    for (unsigned i = 0; i < AISYS_LANE_NR; i++)
        if (core.lanes[i].running)
            aisys_log_event(rt->log, AISYS_ERROR, "jobs_not_ended",
                "lane=%s running=%u waited_ms=%u", lanes[i], core.lanes[i].running,
                (unsigned)END_MS);
    aisys_log_event(rt->log, AISYS_ERROR, "pool_not_ended", "waited_ms=%u", (unsigned)END_MS);
    rt->abandoned = true;
    rt->exit_code = 1;
}

int aisys_runtime_run(struct aisys_runtime *rt)
{
    const int r = aisys_uv_run(rt->uv);

    runtime_settle(rt);
    if (r < 0)
        aisys_log_event(rt->log, AISYS_ERROR, "loop_failed", "error=\"%s\"", strerror(-r));
    aisys_log_event(rt->log, AISYS_INFO, "stopped", "exit_code=%d", r < 0 ? 70 : rt->exit_code);
    return r < 0 ? 70 : rt->exit_code;
}

void aisys_runtime_close(struct aisys_runtime *rt)
{
    if (!rt)
        return;
    if (rt->abandoned)
        _exit(rt->exit_code);
    runtime_release(rt);
    free(rt);
}
