#include "port/uv_port.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <uv.h>

#define SIGNALS_MAX 8

struct aisys_uv_bell {
    uv_async_t async;
    struct aisys_uv *uv;
    struct aisys_uv_bell *next;
    aisys_uv_bell_fn ring; /* NULL once closed */
    void *arg;
};

struct uv_sig {
    uv_signal_t handle;
    aisys_uv_signal_fn fn;
    void *arg;
};

struct aisys_uv_work {
    uv_work_t req;
    struct aisys_uv *uv;
    struct aisys_uv_work *prev;
    struct aisys_uv_work *next;
    void (*run)(void *arg);
    void (*done)(void *arg, int status);
    void *arg;
};

struct aisys_uv {
    uv_loop_t loop;
    uv_prepare_t prepare; /* runs the turn, last thing before the loop would sleep */
    uv_idle_t idle;       /* active while there is work: libuv then does not sleep */
    uv_timer_t timer;
    aisys_uv_turn_fn turn; /* NULL: none, or settling */
    void *arg;
    uint64_t wake_at_ms; /* UINT64_MAX: the timer is stopped */
    bool more;           /* the last turn left work */
    bool settling;       /* no turns, no new work */
    bool closing;
    struct aisys_uv_bell *bells;
    struct aisys_uv_work *works; /* all that the pool still has */
    struct uv_resolve *resolves;
    struct uv_sig signals[SIGNALS_MAX];
    unsigned signals_nr;
};

static atomic_bool pool_used;

/* --- the loop ------------------------------------------------------------------------------- */

static void uv_on_idle(uv_idle_t *idle)
{
    (void)idle; /* being active is all it does */
}

static void uv_on_timer(uv_timer_t *timer)
{
    struct aisys_uv *uv = timer->data;

    uv->wake_at_ms = UINT64_MAX; /* waking is all it does: the turn looks at the clock */
}

/* The turn runs here, and libuv decides after this how long to wait for I/O. */
static void uv_on_prepare(uv_prepare_t *prepare)
{
    struct aisys_uv *uv = prepare->data;

    uv->more = uv->turn && uv->turn(uv->arg);
    if (uv->more)
        uv_idle_start(&uv->idle, uv_on_idle);
    else
        uv_idle_stop(&uv->idle);
}

int aisys_uv_open(aisys_uv_turn_fn turn, void *arg, struct aisys_uv **ret_uv)
{
    struct aisys_uv *uv;
    int r;

    uv = calloc(1, sizeof(*uv));
    if (!uv)
        return -ENOMEM;
    r = uv_loop_init(&uv->loop);
    if (r < 0) {
        free(uv);
        return r;
    }

    uv->turn = turn;
    uv->arg = arg;
    uv->wake_at_ms = UINT64_MAX;
    /* These cannot fail: they only enter lists. */
    uv_prepare_init(&uv->loop, &uv->prepare);
    uv_idle_init(&uv->loop, &uv->idle);
    uv_timer_init(&uv->loop, &uv->timer);
    uv->prepare.data = uv->idle.data = uv->timer.data = uv;
    uv_prepare_start(&uv->prepare, uv_on_prepare);
    (void)aisys_uv_ticks_per_ms();

    *ret_uv = uv;
    return 0;
}

int aisys_uv_run(struct aisys_uv *uv)
{
    return uv_run(&uv->loop, UV_RUN_DEFAULT) < 0 ? -EIO : 0;
}

bool aisys_uv_run_once(struct aisys_uv *uv)
{
    uv_run(&uv->loop, UV_RUN_NOWAIT);
    return uv->more;
}

void aisys_uv_stop(struct aisys_uv *uv)
{
    uv_stop(&uv->loop);
}

struct uv_loop_s *aisys_uv_loop(struct aisys_uv *uv)
{
    return &uv->loop;
}

void aisys_uv_wake_at(struct aisys_uv *uv, uint64_t at_ms)
{
    uint64_t loop_ms;

    if (at_ms == uv->wake_at_ms || uv->settling)
        return;
    uv->wake_at_ms = at_ms;
    if (at_ms == UINT64_MAX) {
        uv_timer_stop(&uv->timer);
        return;
    }
    /* libuv adds its own (older) idea of now again, so this is exact. */
    loop_ms = uv_now(&uv->loop);
    uv_timer_start(&uv->timer, uv_on_timer, at_ms > loop_ms ? at_ms - loop_ms : 0, 0);
}

/* --- clocks ------------------------------------------------------------------------------------- */

uint64_t aisys_uv_now_ns(void)
{
    return uv_hrtime();
}

uint64_t aisys_uv_now_ms(void)
{
    return uv_hrtime() / 1000000;
}

uint64_t aisys_uv_wall_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint64_t ticks_per_ms;

static void uv_calibrate(void)
{
    const uint64_t from_ns = uv_hrtime(), from = aisys_uv_ticks();
    uint64_t ns, ticks;

    do {
        ns = uv_hrtime() - from_ns;
        ticks = aisys_uv_ticks() - from;
    } while (ns < 1000000);
    ticks_per_ms = (uint64_t)((double)ticks * 1e6 / (double)ns);
    if (!ticks_per_ms)
        ticks_per_ms = 1; /* a counter that stands still must not make its users divide by zero */
}

uint64_t aisys_uv_ticks_per_ms(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, uv_calibrate);
    return ticks_per_ms;
}

/* --- bells and signals ----------------------------------------------------------------------------- */

static void uv_on_async(uv_async_t *async)
{
    struct aisys_uv_bell *bell = async->data;

    if (bell->ring)
        bell->ring(bell->arg);
}

static void uv_on_bell_closed(uv_handle_t *handle)
{
    free(handle->data);
}

int aisys_uv_bell_open(
    struct aisys_uv *uv, aisys_uv_bell_fn ring, void *arg, struct aisys_uv_bell **ret_bell)
{
    struct aisys_uv_bell *bell;
    int r;

    bell = calloc(1, sizeof(*bell));
    if (!bell)
        return -ENOMEM;
    r = uv_async_init(&uv->loop, &bell->async, uv_on_async);
    if (r < 0) {
        free(bell);
        return r;
    }
    bell->async.data = bell;
    bell->uv = uv;
    bell->ring = ring;
    bell->arg = arg;
    bell->next = uv->bells;
    uv->bells = bell;

    *ret_bell = bell;
    return 0;
}

void aisys_uv_bell_ring(struct aisys_uv_bell *bell)
{
    uv_async_send(&bell->async);
}

void aisys_uv_bell_close(struct aisys_uv_bell *bell)
{
    struct aisys_uv_bell **at;

    if (!bell)
        return;
    for (at = &bell->uv->bells; *at != bell; at = &(*at)->next)
        ;
    *at = bell->next;
    bell->ring = NULL;
    uv_close((uv_handle_t *)&bell->async, uv_on_bell_closed);
}

static void uv_on_signal(uv_signal_t *handle, int signum)
{
    struct uv_sig *sig = handle->data;

    sig->fn(sig->arg, signum);
}

int aisys_uv_signal(struct aisys_uv *uv, int signum, aisys_uv_signal_fn fn, void *arg)
{
    struct uv_sig *sig;
    int r;

    for (unsigned i = 0; i < uv->signals_nr; i++)
        if (uv->signals[i].handle.signum == signum)
            return -EEXIST;
    if (uv->signals_nr == SIGNALS_MAX)
        return -ENOSPC;

    sig = &uv->signals[uv->signals_nr];
    r = uv_signal_init(&uv->loop, &sig->handle);
    if (r < 0)
        return r;
    uv->signals_nr++; /* from here on closing has to close it, whether it starts or not */
    sig->handle.data = sig;
    sig->fn = fn;
    sig->arg = arg;
    return uv_signal_start(&sig->handle, uv_on_signal, signum);
}

/* --- the pool ------------------------------------------------------------------------------------- */

int aisys_uv_pool_size(unsigned threads)
{
    char text[12];

    if (threads < 1 || threads > 1024)
        return -EINVAL;
    if (atomic_load(&pool_used))
        return -EBUSY;
    snprintf(text, sizeof(text), "%u", threads);
    return setenv("UV_THREADPOOL_SIZE", text, 1) < 0 ? -errno : 0;
}

static void uv_on_work(uv_work_t *req)
{
    struct aisys_uv_work *work = req->data;

    work->run(work->arg);
}

static void uv_work_unlink(struct aisys_uv_work *work)
{
    if (work->prev)
        work->prev->next = work->next;
    else
        work->uv->works = work->next;
    if (work->next)
        work->next->prev = work->prev;
}

static void uv_on_work_done(uv_work_t *req, int status)
{
    struct aisys_uv_work *work = req->data;

    uv_work_unlink(work);
    work->done(work->arg, status);
    free(work);
}

int aisys_uv_work(struct aisys_uv *uv, void (*run)(void *arg), void (*done)(void *arg, int status),
    void *arg, struct aisys_uv_work **ret_work)
{
    struct aisys_uv_work *work;
    int r;

    if (uv->settling)
        return -ECANCELED;
    work = calloc(1, sizeof(*work));
    if (!work)
        return -ENOMEM;
    work->req.data = work;
    work->uv = uv;
    work->run = run;
    work->done = done;
    work->arg = arg;

    atomic_store(&pool_used, true);
    r = uv_queue_work(&uv->loop, &work->req, uv_on_work, uv_on_work_done);
    if (r < 0) {
        free(work);
        return r;
    }
    work->next = uv->works;
    if (work->next)
        work->next->prev = work;
    uv->works = work;

    if (ret_work)
        *ret_work = work;
    return 0;
}

int aisys_uv_work_cancel(struct aisys_uv_work *work)
{
    return uv_cancel((uv_req_t *)&work->req);
}

/* --- names ----------------------------------------------------------------------------------------- */

struct uv_resolve {
    uv_getaddrinfo_t req;
    struct aisys_uv *uv;
    struct uv_resolve *next;
    void (*done)(void *arg, int status, const struct aisys_uv_addresses *addresses);
    void *arg;
};

static int uv_resolve_errno(int status)
{
    switch (status) {
    case UV_EAI_NONAME:
    case UV_EAI_NODATA:
    case UV_EAI_ADDRFAMILY:
        return -ENOENT;
    case UV_EAI_AGAIN:
        return -EAGAIN;
    case UV_EAI_CANCELED:
    case UV_ECANCELED:
        return -ECANCELED;
    case UV_EAI_MEMORY:
    case UV_ENOMEM:
        return -ENOMEM;
    default:
        return -EIO;
    }
}

static void uv_on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct uv_resolve *resolve = req->data, **at;
    struct aisys_uv_addresses addresses = { 0 };

    for (at = &resolve->uv->resolves; *at != resolve; at = &(*at)->next)
        ;
    *at = resolve->next;

    for (struct addrinfo *a = list; a && addresses.n < AISYS_UV_ADDRESSES_MAX; a = a->ai_next) {
        char *text = addresses.text[addresses.n];

        if (a->ai_family == AF_INET)
            status = uv_ip4_name((struct sockaddr_in *)a->ai_addr, text, AISYS_UV_ADDRESS_BYTES);
        else if (a->ai_family == AF_INET6)
            status = uv_ip6_name((struct sockaddr_in6 *)a->ai_addr, text, AISYS_UV_ADDRESS_BYTES);
        else
            continue;
        if (status == 0)
            addresses.n++;
    }
    uv_freeaddrinfo(list);
    if (status == 0 && !addresses.n)
        status = UV_EAI_NODATA;

    if (status < 0)
        resolve->done(resolve->arg, uv_resolve_errno(status), NULL);
    else
        resolve->done(resolve->arg, 0, &addresses);
    free(resolve);
}

int aisys_uv_resolve(struct aisys_uv *uv, const char *host,
    void (*done)(void *arg, int status, const struct aisys_uv_addresses *addresses), void *arg)
{
    static const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct uv_resolve *resolve;
    int r;

    if (uv->settling)
        return -ECANCELED;
    resolve = calloc(1, sizeof(*resolve));
    if (!resolve)
        return -ENOMEM;
    resolve->req.data = resolve;
    resolve->uv = uv;
    resolve->done = done;
    resolve->arg = arg;

    atomic_store(&pool_used, true);
    r = uv_getaddrinfo(&uv->loop, &resolve->req, uv_on_resolved, host, NULL, &hints);
    if (r < 0) {
        free(resolve);
        return r;
    }
    resolve->next = uv->resolves;
    uv->resolves = resolve;
    return 0;
}

/* --- randomness ------------------------------------------------------------------------------------- */

int aisys_uv_random(void *buf, size_t bytes)
{
    unsigned char *at = buf;

    while (bytes) {
        const ssize_t n = getrandom(at, bytes, 0);

        if (n < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        at += n;
        bytes -= (size_t)n;
    }
    return 0;
}

/* --- the end ----------------------------------------------------------------------------------------- */

/* Bells stay open: running work may still ring them, and nobody hears it. */
static void uv_silence(struct aisys_uv *uv)
{
    uv->settling = true;
    uv->turn = NULL;
    uv_close((uv_handle_t *)&uv->prepare, NULL);
    uv_close((uv_handle_t *)&uv->idle, NULL);
    for (unsigned i = 0; i < uv->signals_nr; i++)
        uv_close((uv_handle_t *)&uv->signals[i].handle, NULL);
    for (struct aisys_uv_bell *bell = uv->bells; bell; bell = bell->next)
        bell->ring = NULL;
    for (struct aisys_uv_work *work = uv->works; work; work = work->next)
        (void)uv_cancel((uv_req_t *)&work->req); /* what runs already is waited for */
    for (struct uv_resolve *resolve = uv->resolves; resolve; resolve = resolve->next)
        (void)uv_cancel((uv_req_t *)&resolve->req);
}

int aisys_uv_settle(struct aisys_uv *uv, uint64_t wait_ms)
{
    const uint64_t from_ms = aisys_uv_now_ms();
    uint64_t waited_ms = 0;

    if (!uv->settling)
        uv_silence(uv);
    /* Foreign handles would keep a plain run going for ever: run while something of ours is open. */
    while ((uv->works || uv->resolves) && waited_ms < wait_ms) {
        if (wait_ms != UINT64_MAX) {
            uv_update_time(&uv->loop);
            uv_timer_start(&uv->timer, uv_on_timer, wait_ms - waited_ms, 0);
        }
        uv_run(&uv->loop, UV_RUN_ONCE);
        waited_ms = aisys_uv_now_ms() - from_ms;
    }
    uv_timer_stop(&uv->timer);
    return uv->works || uv->resolves ? -ETIMEDOUT : 0;
}

static void uv_close_handles(struct aisys_uv *uv)
{
    uv->closing = true;
    uv_close((uv_handle_t *)&uv->timer, NULL);
    while (uv->bells)
        aisys_uv_bell_close(uv->bells);
}

int aisys_uv_close(struct aisys_uv *uv)
{
    int r;

    if (!uv)
        return 0;
    aisys_uv_settle(uv, UINT64_MAX);
    if (!uv->closing)
        uv_close_handles(uv);
    r = UV_EBUSY;
    for (unsigned i = 0; i < 2 && r == UV_EBUSY;
         i++) { /* aisys_uv_stop() ends one before it begins */
        uv_run(&uv->loop, UV_RUN_NOWAIT);
        r = uv_loop_close(&uv->loop);
    }
    if (r < 0)
        return r;
    free(uv);
    return 0;
}
