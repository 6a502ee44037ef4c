/* Pushes of the NNG adapter: one PUSH socket with one dialer to somebody's inbox. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nng/nng.h>
#include <nng/protocol/pipeline0/push.h>
#include <nng/supplemental/tls/tls.h>

#include "core/check.h"
#include "port/nng_impl.h"

#define BUFFER_MAX       8192
#define QUEUE_MAX        8192
#define RECONNECT_MIN_MS 100
#define RECONNECT_MAX_MS 1000

struct aisys_nng_push {
    struct aisys_nng *nng;
    struct aisys_nng_push_options options; /* url and tls of it are not used later */
    nng_socket socket;
    nng_aio *aio; /* for the one message that waits inside NNG */
    atomic_bool closing;

    /* Loop only. */
    bool sending;    /* the aio is in use */
    bool was_full;   /* somebody was refused and waits for `room` */
    nng_msg **queue; /* a ring of options.queue messages */
    unsigned queue_at;
    unsigned queue_nr;
    uint64_t connects_told;
    bool up_told;

    /* Under the lock. */
    struct nng_event event;
    bool sent;           /* the aio has ended and the loop has not looked */
    uint32_t pipe;       /* 0: not connected */
    unsigned waiters;    /* threads in aisys_nng_push_send_wait() */
    pthread_cond_t idle; /* waiters is 0 */
    struct aisys_nng_push_stats stats;

    struct nng_closer closer;
};

/* --- connections ------------------------------------------------------------------------------- */

/* On NNG's threads. Before the protocol starts the pipe, so that this never comes after its removal. */
static void push_on_pipe(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
    struct aisys_nng_push *push = arg;
    bool wake = false;

    pthread_mutex_lock(&push->nng->lock);
    if (ev == NNG_PIPE_EV_ADD_PRE) {
        push->pipe = pipe.id;
        push->stats.connects++;
        wake = nng_post_locked(push->nng, &push->event);
    } else if (push->pipe == pipe.id) {
        push->pipe = 0;
        wake = nng_post_locked(push->nng, &push->event);
    }
    pthread_mutex_unlock(&push->nng->lock);
    if (wake)
        push->nng->wake(push->nng->wake_arg);
}

/* Tell of each change; a loss and a new connection between two looks are told as both. */
static void push_tell_state(struct aisys_nng_push *push)
{
    uint64_t connects;
    bool up;

    pthread_mutex_lock(&push->nng->lock);
    up = push->pipe != 0;
    connects = push->stats.connects;
    pthread_mutex_unlock(&push->nng->lock);

    if (push->up_told && (!up || connects != push->connects_told)) {
        push->up_told = false;
        if (push->options.state)
            push->options.state(push->options.arg, false);
    }
    push->connects_told = connects;
    if (up && !push->up_told) {
        push->up_told = true;
        if (push->options.state)
            push->options.state(push->options.arg, true);
    }
}

/* --- sending ------------------------------------------------------------------------------------- */

static void push_count(struct aisys_nng_push *push, size_t bytes)
{
    pthread_mutex_lock(&push->nng->lock);
    push->stats.messages++;
    push->stats.bytes += bytes;
    pthread_mutex_unlock(&push->nng->lock);
}

/* Hand @msg to NNG, at once or through the aio; it is NNG's in any case. */
static void push_hand_over(struct aisys_nng_push *push, nng_msg *msg)
{
    const size_t bytes = nng_msg_len(msg);

    if (nng_sendmsg(push->socket, msg, NNG_FLAG_NONBLOCK) == 0) {
        push_count(push, bytes);
        return;
    }
    /* Full, or another failure, which the aio will meet too and report. */
    push->sending = true;
    nng_aio_set_msg(push->aio, msg);
    nng_send_aio(push->socket, push->aio);
}

static void push_on_aio(void *arg)
{
    struct aisys_nng_push *push = arg;
    bool wake;

    pthread_mutex_lock(&push->nng->lock);
    push->sent = true;
    wake = nng_post_locked(push->nng, &push->event);
    pthread_mutex_unlock(&push->nng->lock);
    if (wake)
        push->nng->wake(push->nng->wake_arg);
}

static void push_sent(struct aisys_nng_push *push)
{
    nng_msg *msg = nng_aio_get_msg(push->aio);

    push->sending = false;
    pthread_mutex_lock(&push->nng->lock);
    if (nng_aio_result(push->aio) == 0) {
        push->stats.messages++;
        push->stats.bytes += nng_aio_count(push->aio);
        msg = NULL;
    } else {
        push->stats.lost++;
    }
    pthread_mutex_unlock(&push->nng->lock);
    nng_msg_free(msg);
    nng_aio_set_msg(push->aio, NULL);

    while (push->queue_nr && !push->sending) {
        msg = push->queue[push->queue_at];
        push->queue_at = (push->queue_at + 1) % push->options.queue;
        push->queue_nr--;
        push_hand_over(push, msg);
    }
    if (push->was_full && (!push->sending || push->queue_nr < push->options.queue)) {
        push->was_full = false;
        if (push->options.room)
            push->options.room(push->options.arg);
    }
}

static void push_on_event(struct nng_event *event)
{
    struct aisys_nng_push *push = NNG_CONTAINER(event, struct aisys_nng_push, event);
    bool sent;

    if (atomic_load(&push->closing))
        return; /* push_free() releases what there is */
    push_tell_state(push);
    if (atomic_load(&push->closing))
        return; /* as its owner decided just now */
    pthread_mutex_lock(&push->nng->lock);
    sent = push->sent;
    push->sent = false;
    pthread_mutex_unlock(&push->nng->lock);
    if (sent)
        push_sent(push);
}

int aisys_nng_push_send(struct aisys_nng_push *push, const void *data, size_t bytes)
{
    nng_msg *msg;

    if (atomic_load(&push->closing))
        return -ESHUTDOWN;
    if (push->sending && push->queue_nr == push->options.queue) {
        push->was_full = true;
        pthread_mutex_lock(&push->nng->lock);
        push->stats.full++;
        pthread_mutex_unlock(&push->nng->lock);
        return AISYS_NNG_FULL;
    }
    if (nng_msg_alloc(&msg, bytes) != 0)
        return -ENOMEM;
    if (bytes)
        memcpy(nng_msg_body(msg), data, bytes);
    if (push->sending)
        push->queue[(push->queue_at + push->queue_nr++) % push->options.queue] = msg;
    else
        push_hand_over(push, msg);
    return 0;
}

static int push_send_wait(
    struct aisys_nng_push *push, const void *data, size_t bytes, unsigned timeout_ms)
{
    nng_msg *msg = NULL;
    nng_aio *aio;
    int rv;

    rv = nng_aio_alloc(&aio, NULL, NULL);
    if (rv != 0)
        return nng_errno(rv);
    rv = nng_msg_alloc(&msg, bytes);
    if (rv == 0) {
        if (bytes)
            memcpy(nng_msg_body(msg), data, bytes);
        nng_aio_set_timeout(aio, (nng_duration)(timeout_ms < INT32_MAX ? timeout_ms : INT32_MAX));
        nng_aio_set_msg(aio, msg);
        nng_send_aio(push->socket, aio);
        nng_aio_wait(aio);
        rv = nng_aio_result(aio);
        if (rv != 0)
            nng_msg_free(msg);
        else
            push_count(push, bytes);
    }
    nng_aio_free(aio);
    return nng_errno(rv);
}

int aisys_nng_push_send_wait(
    struct aisys_nng_push *push, const void *data, size_t bytes, unsigned timeout_ms)
{
    int r;

    if (atomic_load(&push->closing))
        return -ESHUTDOWN;
    pthread_mutex_lock(&push->nng->lock);
    push->waiters++;
    pthread_mutex_unlock(&push->nng->lock);

    r = push_send_wait(push, data, bytes, timeout_ms);

    pthread_mutex_lock(&push->nng->lock);
    if (--push->waiters == 0)
        pthread_cond_signal(&push->idle);
    pthread_mutex_unlock(&push->nng->lock);
    return r;
}

/* --- opening --------------------------------------------------------------------------------------- */

static int push_options_check(const struct aisys_nng_push_options *o)
{
    if (!o->url || o->buffer > BUFFER_MAX || o->queue > QUEUE_MAX)
        return -EINVAL;
    return o->reconnect_min_ms > INT32_MAX || o->reconnect_max_ms > INT32_MAX ? -EINVAL : 0;
}

static int push_socket_open(struct aisys_nng_push *push)
{
    const struct aisys_nng_push_options *o = &push->options;
    const nng_duration min_ms =
        (nng_duration)(o->reconnect_min_ms ? o->reconnect_min_ms : RECONNECT_MIN_MS);
    const nng_duration max_ms =
        (nng_duration)(o->reconnect_max_ms ? o->reconnect_max_ms : RECONNECT_MAX_MS);
    int rv;

    rv = nng_socket_set_int(push->socket, NNG_OPT_SENDBUF, (int)o->buffer);
    if (rv == 0)
        rv = nng_socket_set_size(push->socket, NNG_OPT_RECVMAXSZ, 1 << 10); /* nothing comes back */
    if (rv == 0)
        rv = nng_socket_set_ms(push->socket, NNG_OPT_RECONNMINT, min_ms);
    if (rv == 0)
        rv = nng_socket_set_ms(push->socket, NNG_OPT_RECONNMAXT, max_ms);
    if (rv == 0)
        rv = nng_pipe_notify(push->socket, NNG_PIPE_EV_ADD_PRE, push_on_pipe, push);
    if (rv == 0)
        rv = nng_pipe_notify(push->socket, NNG_PIPE_EV_REM_POST, push_on_pipe, push);
    return nng_errno(rv);
}

static int push_dial(struct aisys_nng_push *push)
{
    nng_tls_config *config;
    nng_dialer dialer;
    int rv, r;

    rv = nng_dialer_create(&dialer, push->socket, push->options.url);
    if (rv != 0)
        return nng_errno(rv);
    if (push->options.tls) {
        r = nng_tls_make(push->options.tls, false, &config);
        if (r < 0)
            return r;
        rv = nng_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, config);
        nng_tls_config_free(config); /* the dialer holds it now */
        if (rv != 0)
            return nng_errno(rv);
    }
    return nng_errno(nng_dialer_start(dialer, NNG_FLAG_NONBLOCK));
}

static void push_free(struct aisys_nng_push *push)
{
    /* Failed and never looked at. */
    if (push->sending && push->sent && nng_aio_result(push->aio) != 0)
        nng_msg_free(nng_aio_get_msg(push->aio));
    for (unsigned i = 0; i < push->queue_nr; i++)
        nng_msg_free(push->queue[(push->queue_at + i) % push->options.queue]);
    if (push->aio)
        nng_aio_free(push->aio);
    pthread_cond_destroy(&push->idle);
    free(push->queue);
    free(push);
}

/* On the closer's thread. */
static void push_on_closer(struct nng_closer *closer)
{
    struct aisys_nng_push *push = NNG_CONTAINER(closer, struct aisys_nng_push, closer);

    nng_close(push->socket); /* ends the waits of aisys_nng_push_send_wait() */
    nng_aio_stop(push->aio);
    pthread_mutex_lock(&push->nng->lock);
    while (push->waiters)
        pthread_cond_wait(&push->idle, &push->nng->lock);
    pthread_mutex_unlock(&push->nng->lock);
}

static void push_on_closed(struct nng_event *event)
{
    struct aisys_nng_push *push = NNG_CONTAINER(event, struct aisys_nng_push, closer.event);

    nng_closer_join(&push->closer);
    push->nng->users--;
    if (push->closer.closed)
        push->closer.closed(push->closer.arg);
    push_free(push);
}

int aisys_nng_push_open(struct aisys_nng *nng, const struct aisys_nng_push_options *options,
    struct aisys_nng_push **ret_push)
{
    struct aisys_nng_push *push;
    int r;

    r = push_options_check(options);
    if (r < 0)
        return r;
    push = calloc(1, sizeof(*push));
    if (!push)
        return -ENOMEM;
    push->nng = nng;
    push->options = *options;
    push->event.run = push_on_event;
    pthread_cond_init(&push->idle, NULL);
    push->queue = calloc(options->queue + 1, sizeof(*push->queue));
    r = push->queue ? nng_errno(nng_aio_alloc(&push->aio, push_on_aio, push)) : -ENOMEM;
    if (r == 0)
        r = nng_errno(nng_push0_open(&push->socket));
    if (r < 0) {
        push_free(push);
        return r;
    }

    nng->users++;
    r = push_socket_open(push);
    if (r == 0)
        r = push_dial(push);
    if (r < 0) {
        aisys_nng_push_close(push, NULL, NULL); /* a first try may have posted an event already */
        return r;
    }
    *ret_push = push;
    return 0;
}

void aisys_nng_push_close(struct aisys_nng_push *push, void (*closed)(void *arg), void *arg)
{
    if (!push)
        return;
    AISYS_CHECK(!atomic_load(&push->closing));
    atomic_store(&push->closing, true);
    push->closer.nng = push->nng;
    push->closer.close = push_on_closer;
    push->closer.event.run = push_on_closed;
    push->closer.closed = closed;
    push->closer.arg = arg;
    nng_closer_start(&push->closer);
}

void aisys_nng_push_stats(const struct aisys_nng_push *push, struct aisys_nng_push_stats *ret_stats)
{
    pthread_mutex_lock(&push->nng->lock);
    *ret_stats = push->stats;
    ret_stats->up = push->pipe != 0;
    pthread_mutex_unlock(&push->nng->lock);
    ret_stats->queued = push->queue_nr + push->sending;
}
