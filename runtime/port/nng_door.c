/* Doors of the NNG adapter: opening, listening, guarding against strangers, closing. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/supplemental/tls/tls.h>
#include <nng/supplemental/util/platform.h>

#include "core/check.h"
#include "port/nng_impl.h"

#define DOOR_BUFFER     128 /* messages per subscriber */
#define OUTSTANDING_MAX 1024
#define CLOSE_PIPES_MS  1000
#define CLOSE_QUIET_MS  10
#define PIPES_MAX       1024

const struct aisys_nng_limits aisys_nng_limits_requests = {
    .message_bytes_max = 24 << 20,
    .pipes_max = 64,
    .outstanding = 128,
    .idle_ms = 60000,
    .evict_ms = 1000,
};

const struct aisys_nng_limits aisys_nng_limits_inbox = {
    .message_bytes_max = (64 << 10) + 256,
    .pipes_max = 32,
    .outstanding = 64,
    .idle_ms = 60000,
    .evict_ms = 5000,
};

const struct aisys_nng_limits aisys_nng_limits_events = {
    .message_bytes_max = 1 << 10,
    .pipes_max = 64,
    .outstanding = 1, /* not used: nobody sends to a PUB */
};

/* --- pipes: on NNG's threads ---------------------------------------------------------------------- */

static bool door_is_own(const struct aisys_nng_door *door, int listener)
{
    for (unsigned i = 0; i < door->own_nr; i++)
        if (door->own[i] == (uint32_t)listener)
            return true;
    return false;
}

/* Let pipe @id in, which may cost @ret_evict its place; false: refuse it. Under the lock. */
static bool door_admit(struct aisys_nng_door *door, uint32_t id, bool ours, uint32_t *ret_evict)
{
    struct nng_pipes *pipes = &door->pipes;
    struct nng_pipe_row *victim = NULL;
    const uint64_t now_ms = nng_now_ms();

    if (atomic_load(&door->closing) || pipes->rows_nr == pipes->rows_max)
        return false;
    if (!ours && pipes->counted >= door->limits.pipes_max) {
        if (door->limits.evict_ms)
            victim = nng_pipes_silent(pipes, door->limits.evict_ms, now_ms);
        if (!victim)
            return false;
        nng_pipes_give_up(pipes, victim);
        door->stats.evicted++;
        *ret_evict = victim->id;
    }
    nng_pipes_add(pipes, id, ours, now_ms);
    return true;
}

static void door_on_pipe_add(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
    struct aisys_nng_door *door = arg;
    const int listener = nng_listener_id(nng_pipe_listener(pipe));
    uint32_t evict = 0;
    bool admitted;

    (void)ev;
    pthread_mutex_lock(&door->nng->lock);
    admitted = door_admit(door, pipe.id, door_is_own(door, listener), &evict);
    if (admitted)
        door->stats.pipes_total++;
    else
        door->stats.refused++;
    pthread_mutex_unlock(&door->nng->lock);

    if (!admitted)
        nng_pipe_close(pipe);
    if (evict)
        nng_pipe_close((nng_pipe){ evict });
}

static void door_on_pipe_removed(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
    struct aisys_nng_door *door = arg;
    struct nng_pipe_row *row;
    bool wake = false;

    (void)ev;
    pthread_mutex_lock(&door->nng->lock);
    row = nng_pipes_find(&door->pipes, pipe.id);
    if (row && door->options.pipe_gone) {
        nng_pipes_give_up(&door->pipes, row);
        row->gone = true;
        wake = nng_post_locked(door->nng, &door->pipes_event);
    } else if (row) {
        nng_pipes_remove(&door->pipes, row);
    }
    pthread_mutex_unlock(&door->nng->lock);
    if (wake)
        door->nng->wake(door->nng->wake_arg);
}

/* --- pipes: on the loop ---------------------------------------------------------------------------- */

static uint32_t door_take_gone(struct aisys_nng_door *door)
{
    uint32_t id = 0;

    pthread_mutex_lock(&door->nng->lock);
    for (unsigned i = 0; i < door->pipes.rows_nr && !id; i++) {
        if (door->pipes.rows[i].gone) {
            id = door->pipes.rows[i].id;
            nng_pipes_remove(&door->pipes, &door->pipes.rows[i]);
        }
    }
    pthread_mutex_unlock(&door->nng->lock);
    return id;
}

static void door_on_pipes_event(struct nng_event *event)
{
    struct aisys_nng_door *door = NNG_CONTAINER(event, struct aisys_nng_door, pipes_event);
    uint32_t id;

    while ((id = door_take_gone(door)) != 0)
        if (!atomic_load(&door->closing))
            door->options.pipe_gone(door->options.arg, id);
}

void aisys_nng_pipe_close(struct aisys_nng_door *door, uint32_t pipe)
{
    struct nng_pipe_row *row;

    pthread_mutex_lock(&door->nng->lock);
    row = nng_pipes_find(&door->pipes, pipe);
    if (row)
        nng_pipes_give_up(&door->pipes, row);
    pthread_mutex_unlock(&door->nng->lock);
    if (row)
        nng_pipe_close((nng_pipe){ pipe });
}

/* A pipe with half a message, or none, looks the same from here: no whole one for idle_ms. */
static void door_sweep(struct aisys_nng_door *door, uint64_t now_ms)
{
    struct nng_pipe_row *row;
    uint32_t id;

    while (door->limits.idle_ms) {
        pthread_mutex_lock(&door->nng->lock);
        row = nng_pipes_silent(&door->pipes, door->limits.idle_ms, now_ms);
        id = row ? row->id : 0;
        if (row) {
            nng_pipes_give_up(&door->pipes, row);
            door->stats.idle_closed++;
        }
        pthread_mutex_unlock(&door->nng->lock);
        if (!id)
            return;
        nng_pipe_close((nng_pipe){ id });
    }
}

void aisys_nng_sweep(struct aisys_nng *nng, uint64_t now_ms)
{
    for (struct aisys_nng_door *door = nng->doors; door; door = door->next)
        door_sweep(door, now_ms);
}

/* --- opening -------------------------------------------------------------------------------------- */

static int door_options_check(const struct aisys_nng_door *door)
{
    const struct aisys_nng_limits *l = &door->limits;

    if (!l->pipes_max || l->pipes_max > PIPES_MAX || !l->outstanding ||
        l->outstanding > OUTSTANDING_MAX || !l->message_bytes_max)
        return -EINVAL;
    AISYS_CHECK(door->kind != AISYS_NNG_REQUESTS || door->options.request);
    AISYS_CHECK(door->kind != AISYS_NNG_INBOX || door->options.frame);
    return 0;
}

static int door_socket_open(struct aisys_nng_door *door)
{
    int rv = NNG_EINVAL;

    switch (door->kind) {
    case AISYS_NNG_REQUESTS:
        rv = nng_rep0_open(&door->socket);
        break;
    case AISYS_NNG_INBOX:
        rv = nng_pull0_open(&door->socket);
        break;
    case AISYS_NNG_EVENTS:
        rv = nng_pub0_open(&door->socket);
        break;
    }
    if (rv != 0)
        return nng_errno(rv);
    door->socket_open = true;

    /* Before any listener, so that no pipe comes in unguarded. */
    rv = nng_socket_set_size(door->socket, NNG_OPT_RECVMAXSZ, door->limits.message_bytes_max);
    if (rv == 0 && door->kind == AISYS_NNG_EVENTS)
        rv = nng_socket_set_int(door->socket, NNG_OPT_SENDBUF, DOOR_BUFFER);
    if (rv == 0)
        rv = nng_pipe_notify(door->socket, NNG_PIPE_EV_ADD_PRE, door_on_pipe_add, door);
    if (rv == 0)
        rv = nng_pipe_notify(door->socket, NNG_PIPE_EV_REM_POST, door_on_pipe_removed, door);
    return nng_errno(rv);
}

static const struct aisys_nng_limits *door_limits(enum aisys_nng_kind kind)
{
    switch (kind) {
    case AISYS_NNG_REQUESTS:
        return &aisys_nng_limits_requests;
    case AISYS_NNG_INBOX:
        return &aisys_nng_limits_inbox;
    default:
        return &aisys_nng_limits_events;
    }
}

static void door_free(struct aisys_nng_door *door)
{
    nng_slots_free(door);
    nng_pipes_deinit(&door->pipes);
    free(door);
}

int aisys_nng_door_open(struct aisys_nng *nng, const struct aisys_nng_door_options *options,
    struct aisys_nng_door **ret_door)
{
    struct aisys_nng_door *door;
    int r;

    door = calloc(1, sizeof(*door));
    if (!door)
        return -ENOMEM;
    door->nng = nng;
    door->kind = options->kind;
    door->options = *options;
    door->limits = options->limits ? *options->limits : *door_limits(options->kind);
    door->pipes_event.run = door_on_pipes_event;

    r = door_options_check(door);
    if (r == 0)
        r = nng_pipes_init(&door->pipes, door->limits.pipes_max);
    if (r == 0)
        r = door_socket_open(door);
    if (r == 0)
        r = nng_slots_open(door);
    if (r < 0) {
        /* Nothing listens and nothing was received: closing cannot wait for anybody. */
        if (door->socket_open)
            nng_close(door->socket);
        nng_slots_close(door);
        door_free(door);
        return r;
    }

    nng->users++;
    door->next = nng->doors;
    nng->doors = door;
    *ret_door = door;
    return 0;
}

/* --- listening ------------------------------------------------------------------------------------- */

/* "tcp://127.0.0.1:0" with the port that was found. */
static void door_bound_url(const char *url, int port, char ret_url[static AISYS_NNG_URL_BYTES])
{
    const char *colon = strrchr(url, ':');

    if (port > 0 && colon)
        snprintf(ret_url, AISYS_NNG_URL_BYTES, "%.*s:%d", (int)(colon - url), url, port);
    else
        snprintf(ret_url, AISYS_NNG_URL_BYTES, "%s", url);
}

static void door_disown(struct aisys_nng_door *door, nng_listener listener)
{
    pthread_mutex_lock(&door->nng->lock);
    if (door->own_nr && door->own[door->own_nr - 1] == (uint32_t)nng_listener_id(listener))
        door->own_nr--;
    pthread_mutex_unlock(&door->nng->lock);
}

static int door_listener_set_up(struct aisys_nng_door *door, nng_listener listener, const char *url,
    const struct aisys_nng_tls *tls)
{
    nng_tls_config *config;
    int rv = 0, r;

    if (strncmp(url, "inproc://", 9) == 0) {
        pthread_mutex_lock(&door->nng->lock);
        door->own[door->own_nr++] = (uint32_t)nng_listener_id(listener);
        pthread_mutex_unlock(&door->nng->lock);
        return 0;
    }
    if (strncmp(url, "ipc://", 6) == 0)
        rv = nng_listener_set_int(listener, NNG_OPT_IPC_PERMISSIONS, 0600);
    if (rv == 0 && strncmp(url, "tls+tcp", 7) == 0) {
        if (!tls)
            return -EKEYREJECTED;
        r = nng_tls_make(tls, true, &config);
        if (r < 0)
            return r;
        rv = nng_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, config);
        nng_tls_config_free(config); /* the listener holds it now */
    }
    return nng_errno(rv);
}

int aisys_nng_listen(
    struct aisys_nng_door *door, const char *url, const struct aisys_nng_tls *tls, char *ret_url)
{
    nng_listener listener;
    int rv, r, port = 0;

    if (atomic_load(&door->closing))
        return -ESHUTDOWN;
    if (door->listeners_nr == AISYS_NNG_LISTENERS_MAX)
        return -ENOSPC;
    if (strlen(url) >= AISYS_NNG_URL_BYTES - 8)
        return -ENAMETOOLONG;
    rv = nng_listener_create(&listener, door->socket, url);
    if (rv != 0)
        return nng_errno(rv);
    door->listeners_nr++;

    r = door_listener_set_up(door, listener, url, tls);
    if (r == 0)
        r = nng_errno(nng_listener_start(listener, 0));
    if (r < 0) {
        nng_listener_close(listener);
        door->listeners_nr--;
        door_disown(door, listener);
        return r;
    }
    if (strstr(url, "tcp") == url || strstr(url, "tls+tcp") == url)
        (void)nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port);
    if (ret_url)
        door_bound_url(url, port, ret_url);
    return 0;
}

/* --- closing --------------------------------------------------------------------------------------- */

/* A pipe that is still open, or 0; @ret_left says how many NNG has not finished with. */
static uint32_t door_next_open(struct aisys_nng_door *door, unsigned *ret_left)
{
    uint32_t id = 0;

    *ret_left = 0;
    pthread_mutex_lock(&door->nng->lock);
    for (unsigned i = 0; i < door->pipes.rows_nr; i++) {
        struct nng_pipe_row *row = &door->pipes.rows[i];

        if (!row->gone)
            ++*ret_left;
        if (!row->closing && !id) {
            id = row->id;
            nng_pipes_give_up(&door->pipes, row);
        }
    }
    pthread_mutex_unlock(&door->nng->lock);
    return id;
}

static void door_close_pipes(struct aisys_nng_door *door)
{
    const uint64_t end_ms = nng_now_ms() + CLOSE_PIPES_MS;
    unsigned left;
    uint32_t id;

    do {
        id = door_next_open(door, &left);
        if (id)
            nng_pipe_close((nng_pipe){ id });
        else if (left)
            nng_msleep(1);
    } while (left && nng_now_ms() < end_ms);
}

/* On the closer's thread. In NNG 1.5.2 nng_close() can lock up for ever when pipes are busy (its issues 1543
 * and 1813). So the operations are ended first: then every pipe takes at most one more message and waits,
 * and after a short while all are quiet; then the pipes are closed one by one, and the socket last.
 * The callbacks of the operations have ended when nng_slots_close() returns, those of pipes when
 * nng_close() does. */
static void door_on_closer(struct nng_closer *closer)
{
    struct aisys_nng_door *door = NNG_CONTAINER(closer, struct aisys_nng_door, closer);

    nng_slots_close(door);
    nng_msleep(CLOSE_QUIET_MS);
    door_close_pipes(door);
    nng_close(door->socket);
}

static void door_on_closed(struct nng_event *event)
{
    struct aisys_nng_door *door = NNG_CONTAINER(event, struct aisys_nng_door, closer.event);
    struct aisys_nng_door **at;

    nng_closer_join(&door->closer);
    for (at = &door->nng->doors; *at != door; at = &(*at)->next)
        ;
    *at = door->next;
    door->nng->users--;
    if (door->closer.closed)
        door->closer.closed(door->closer.arg);
    door_free(door);
}

void aisys_nng_door_close(struct aisys_nng_door *door, void (*closed)(void *arg), void *arg)
{
    if (!door)
        return;
    AISYS_CHECK(!atomic_load(&door->closing));
    atomic_store(&door->closing, true);
    door->closer.nng = door->nng;
    door->closer.close = door_on_closer;
    door->closer.event.run = door_on_closed;
    door->closer.closed = closed;
    door->closer.arg = arg;
    nng_closer_start(&door->closer);
}

void aisys_nng_door_stats(const struct aisys_nng_door *door, struct aisys_nng_stats *ret_stats)
{
    pthread_mutex_lock(&door->nng->lock);
    *ret_stats = door->stats;
    ret_stats->pipes = door->pipes.counted;
    pthread_mutex_unlock(&door->nng->lock);
}

/* --- events door ------------------------------------------------------------------------------------- */

int aisys_nng_publish(
    struct aisys_nng_door *door, const char *topic, const void *data, size_t bytes)
{
    const size_t topic_bytes = strlen(topic) + 1;
    nng_msg *msg;
    int rv;

    AISYS_CHECK(door->kind == AISYS_NNG_EVENTS);
    if (atomic_load(&door->closing))
        return -ESHUTDOWN;
    if (nng_msg_alloc(&msg, topic_bytes + bytes) != 0)
        return -ENOMEM;
    memcpy(nng_msg_body(msg), topic, topic_bytes);
    if (bytes)
        memcpy((char *)nng_msg_body(msg) + topic_bytes, data, bytes);
    rv = nng_sendmsg(door->socket, msg, NNG_FLAG_NONBLOCK);
    if (rv != 0) {
        nng_msg_free(msg);
        return nng_errno(rv);
    }
    pthread_mutex_lock(&door->nng->lock);
    door->stats.messages++;
    door->stats.bytes += topic_bytes + bytes;
    pthread_mutex_unlock(&door->nng->lock);
    return 0;
}
