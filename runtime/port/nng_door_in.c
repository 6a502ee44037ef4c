/* What comes in through a door: requests and their answers, frames.
 *
 * A slot is one operation of NNG. A requests door has a context in each, which receives, is answered and
 * receives again. An inbox has them in a ring: NNG fills receive operations in the order in which
 * they were made, and only the loop makes them, so taking them in that order keeps the order of the frames
 * although their callbacks run on several threads. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nng/nng.h>

#include "core/check.h"
#include "port/nng_impl.h"

#define REPLY_TIMEOUT_MS 10000
#define REPLY_TIMEOUT_CROWDED_MS                                                                   \
    500              /* while more than half of the slots hold answers not yet read */
#define SLOT_BITS 16 /* of a request's id; the rest is its serial number */

/* The message that @slot's operation brought, as its owner sees it. */
static struct aisys_nng_msg slot_msg(nng_msg *msg)
{
    return (struct aisys_nng_msg){
        .data = nng_msg_body(msg),
        .bytes = nng_msg_len(msg),
        .pipe = nng_msg_get_pipe(msg).id,
        .handle = msg,
    };
}

/* Count what was received. On NNG's threads, under the lock. */
static void slot_count(struct aisys_nng_door *door, const nng_msg *msg)
{
    struct nng_pipe_row *row = nng_pipes_find(&door->pipes, nng_msg_get_pipe(msg).id);

    door->stats.messages++;
    door->stats.bytes += nng_msg_len(msg);
    if (row) {
        row->last_ms = nng_now_ms();
        if (door->kind == AISYS_NNG_REQUESTS)
            row->requests++;
    }
}

/* --- requests ---------------------------------------------------------------------------------- */

static void request_receive(struct nng_slot *slot)
{
    slot->state = SLOT_RECEIVING;
    nng_aio_set_timeout(slot->aio, NNG_DURATION_INFINITE);
    nng_ctx_recv(slot->ctx, slot->aio);
}

/* On NNG's threads: a request was received, or an answer sent, or neither. */
static void request_on_aio(void *arg)
{
    struct nng_slot *slot = arg;
    struct aisys_nng_door *door = slot->door;
    bool wake;

    pthread_mutex_lock(&door->nng->lock);
    slot->done = true;
    if (slot->state == SLOT_RECEIVING && nng_aio_result(slot->aio) == 0)
        slot_count(door, nng_aio_get_msg(slot->aio));
    wake = nng_post_locked(door->nng, &slot->event);
    pthread_mutex_unlock(&door->nng->lock);
    if (wake)
        door->nng->wake(door->nng->wake_arg);
}

/* The request of @slot is over. Returns false when its pipe was gone. */
static bool request_end(struct nng_slot *slot)
{
    struct aisys_nng_door *door = slot->door;
    struct nng_pipe_row *row;

    pthread_mutex_lock(&door->nng->lock);
    door->stats.requests--;
    row = nng_pipes_find(&door->pipes, slot->pipe);
    if (row && row->closing)
        row = NULL;
    if (row) {
        row->requests--;
        row->last_ms = nng_now_ms();
        door->stats.replies++;
    } else {
        door->stats.replies_gone++;
    }
    pthread_mutex_unlock(&door->nng->lock);
    return row != NULL;
}

static void request_received(struct nng_slot *slot, nng_msg *received)
{
    struct aisys_nng_door *door = slot->door;
    struct aisys_nng_msg msg = slot_msg(received);
    struct nng_pipe_row *row;

    slot->state = SLOT_OPEN;
    slot->serial = ++door->serial;
    slot->pipe = msg.pipe;
    pthread_mutex_lock(&door->nng->lock);
    door->stats.requests++;
    row = nng_pipes_find(&door->pipes, slot->pipe);
    msg.pipe_requests = row ? row->requests : 1;
    pthread_mutex_unlock(&door->nng->lock);

    if (msg.bytes > door->limits.message_bytes_max) {
        /* Only this process's own can do that: NNG holds the others to it, in the same way. */
        request_end(slot);
        request_receive(slot);
        aisys_nng_pipe_close(door, msg.pipe);
    } else {
        door->options.request(
            door->options.arg, slot->serial << SLOT_BITS | (uint64_t)(slot - door->slots), &msg);
    }
    nng_msg_free(msg.handle);
}

static void request_sent(struct nng_slot *slot, int rv)
{
    struct aisys_nng_door *door = slot->door;

    door->sending--;
    if (rv != 0) {
        nng_msg_free(nng_aio_get_msg(slot->aio));
        nng_aio_set_msg(slot->aio, NULL);
    }
    if (rv == NNG_ETIMEDOUT) {
        pthread_mutex_lock(&door->nng->lock);
        door->stats.slow_closed++;
        pthread_mutex_unlock(&door->nng->lock);
        aisys_nng_pipe_close(door, slot->pipe);
    }
    request_receive(slot);
}

static void request_on_event(struct nng_event *event)
{
    struct nng_slot *slot = NNG_CONTAINER(event, struct nng_slot, event);
    const int rv = nng_aio_result(slot->aio);
    nng_msg *msg;

    if (atomic_load(&slot->door->closing))
        return; /* nng_slots_free() releases what there is */
    pthread_mutex_lock(&slot->door->nng->lock);
    slot->done = false;
    pthread_mutex_unlock(&slot->door->nng->lock);

    if (slot->state == SLOT_SENDING) {
        request_sent(slot, rv);
    } else if (rv != 0) {
        request_receive(slot); /* out of memory, say: the next one may fit */
    } else {
        msg = nng_aio_get_msg(slot->aio);
        nng_aio_set_msg(slot->aio, NULL);
        request_received(slot, msg);
    }
}

int aisys_nng_reply(struct aisys_nng_door *door, uint64_t id, const void *data, size_t bytes)
{
    const size_t at = id & ((1U << SLOT_BITS) - 1);
    struct nng_slot *slot;
    nng_msg *msg;

    AISYS_CHECK(door->kind == AISYS_NNG_REQUESTS);
    if (at >= door->slots_nr)
        return -ENOENT;
    slot = &door->slots[at];
    if (slot->state != SLOT_OPEN || slot->serial != id >> SLOT_BITS)
        return -ENOENT;
    if (atomic_load(&door->closing))
        return AISYS_NNG_GONE;
    if (nng_msg_alloc(&msg, bytes) != 0)
        return -ENOMEM;
    if (bytes)
        memcpy(nng_msg_body(msg), data, bytes);

    if (!request_end(slot)) {
        nng_msg_free(msg);
        request_receive(slot); /* which also makes NNG forget the request */
        return AISYS_NNG_GONE;
    }
    slot->state = SLOT_SENDING;
    door->sending++;
    nng_aio_set_msg(slot->aio, msg);
    nng_aio_set_timeout(slot->aio,
        door->sending > door->slots_nr / 2 ? REPLY_TIMEOUT_CROWDED_MS : REPLY_TIMEOUT_MS);
    nng_ctx_send(slot->ctx, slot->aio);
    return 0;
}

/* --- frames -------------------------------------------------------------------------------------- */

static void inbox_on_aio(void *arg)
{
    struct nng_slot *slot = arg;
    struct aisys_nng_door *door = slot->door;
    bool wake = false;

    pthread_mutex_lock(&door->nng->lock);
    slot->done = true;
    if (nng_aio_result(slot->aio) == 0)
        slot_count(door, nng_aio_get_msg(slot->aio));
    if (door->slots[door->head].done)
        wake = nng_post_locked(door->nng, &door->inbox_event);
    pthread_mutex_unlock(&door->nng->lock);
    if (wake)
        door->nng->wake(door->nng->wake_arg);
}

static void inbox_receive(struct nng_slot *slot)
{
    nng_recv_aio(slot->door->socket, slot->aio);
}

/* How many frames are ready, from the next one on; they are the loop's from here. */
static unsigned inbox_ready(struct aisys_nng_door *door)
{
    unsigned n = 0;

    pthread_mutex_lock(&door->nng->lock);
    while (n < door->slots_nr && door->slots[(door->head + n) % door->slots_nr].done)
        n++;
    pthread_mutex_unlock(&door->nng->lock);
    return n;
}

static void inbox_take(struct nng_slot *slot)
{
    struct aisys_nng_door *door = slot->door;
    nng_msg *received = NULL;
    struct aisys_nng_msg msg;

    if (nng_aio_result(slot->aio) == 0) {
        received = nng_aio_get_msg(slot->aio);
        nng_aio_set_msg(slot->aio, NULL);
    }
    pthread_mutex_lock(&door->nng->lock);
    slot->done = false;
    door->head = (door->head + 1) % door->slots_nr;
    pthread_mutex_unlock(&door->nng->lock);
    inbox_receive(slot); /* before the callback: NNG fills it while the frame is handled */

    if (!received)
        return;
    msg = slot_msg(received);
    if (msg.bytes <= door->limits.message_bytes_max)
        door->options.frame(door->options.arg, &msg);
    else
        aisys_nng_pipe_close(door, msg.pipe); /* as NNG does with other processes */
    nng_msg_free(msg.handle);
}

static void inbox_on_event(struct nng_event *event)
{
    struct aisys_nng_door *door = NNG_CONTAINER(event, struct aisys_nng_door, inbox_event);
    unsigned n = inbox_ready(door);

    while (n-- && !atomic_load(&door->closing)) /* a frame's owner may close the door */
        inbox_take(&door->slots[door->head]);
    /* A callback that ran before head moved on had no reason to post. */
    if (!atomic_load(&door->closing) && inbox_ready(door))
        nng_post(door->nng, &door->inbox_event);
}

/* --- opening and closing ---------------------------------------------------------------------------- */

int nng_slots_open(struct aisys_nng_door *door)
{
    const bool requests = door->kind == AISYS_NNG_REQUESTS;
    int rv = 0;

    if (door->kind == AISYS_NNG_EVENTS)
        return 0;
    door->slots = calloc(door->limits.outstanding, sizeof(*door->slots));
    if (!door->slots)
        return -ENOMEM;
    door->inbox_event.run = inbox_on_event;
    for (unsigned i = 0; rv == 0 && i < door->limits.outstanding; i++) {
        struct nng_slot *slot = &door->slots[i];

        slot->door = door;
        slot->event.run = request_on_event;
        rv = nng_aio_alloc(&slot->aio, requests ? request_on_aio : inbox_on_aio, slot);
        if (rv == 0) {
            door->slots_nr++;
            if (requests)
                rv = nng_ctx_open(&slot->ctx, door->socket);
        }
    }
    if (rv != 0)
        return nng_errno(rv);
    for (unsigned i = 0; i < door->slots_nr; i++) {
        if (requests)
            request_receive(&door->slots[i]);
        else
            inbox_receive(&door->slots[i]);
    }
    return 0;
}

void nng_slots_close(struct aisys_nng_door *door)
{
    for (unsigned i = 0; i < door->slots_nr; i++)
        nng_aio_stop(door->slots[i].aio);
}

void nng_slots_free(struct aisys_nng_door *door)
{
    for (unsigned i = 0; i < door->slots_nr; i++) {
        struct nng_slot *slot = &door->slots[i];
        nng_msg *msg = NULL;

        /* Received and never looked at, or an answer that could not be sent. */
        if (slot->done && (slot->state == SLOT_SENDING) == (nng_aio_result(slot->aio) != 0))
            msg = nng_aio_get_msg(slot->aio);
        nng_msg_free(msg);
        nng_aio_free(slot->aio);
    }
    free(door->slots);
}
