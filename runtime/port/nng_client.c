/* One request through NNG, synchronously: for command line tools and tests. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>

#include "port/nng_impl.h"

#define ANSWER_BYTES_MAX (64 << 20)

/* Closes the socket when time is up: nng_dial() has no deadline of its own. The alarm is an operation
 * that belongs to no socket, so its callback may close one. */
struct client {
    nng_socket socket;
    nng_aio *alarm;
    nng_aio *aio;
    atomic_bool lost; /* the connection: there is no second one for the request */
    uint64_t end_ms;
};

/* On NNG's threads. */
static void client_on_lost(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
    struct client *c = arg;

    (void)pipe;
    (void)ev;
    atomic_store(&c->lost, true);
    nng_aio_abort(c->aio, NNG_ECONNRESET);
}

/* Wait for the operation that was just begun. Nobody aborts it when the connection was lost before. */
static int client_wait(struct client *c)
{
    if (atomic_load(&c->lost))
        nng_aio_abort(c->aio, NNG_ECONNRESET);
    nng_aio_wait(c->aio);
    return nng_aio_result(c->aio);
}

static void client_on_alarm(void *arg)
{
    struct client *c = arg;

    if (nng_aio_result(c->alarm) == 0)
        nng_close(c->socket);
}

static nng_duration client_left_ms(const struct client *c)
{
    const uint64_t now_ms = nng_now_ms();

    return now_ms < c->end_ms ? (nng_duration)(c->end_ms - now_ms) : 0;
}

static int client_dial(struct client *c, const char *url)
{
    int rv;

    nng_sleep_aio(client_left_ms(c), c->alarm);
    rv = nng_dial(c->socket, url, NULL, 0);
    nng_aio_cancel(c->alarm);
    nng_aio_wait(c->alarm);
    if (nng_aio_result(c->alarm) == 0)
        return -ETIMEDOUT; /* it rang, perhaps just after the connection was made */
    return nng_errno(rv);
}

static int client_send(struct client *c, const void *data, size_t bytes)
{
    nng_msg *msg;
    int rv;

    if (nng_msg_alloc(&msg, bytes) != 0)
        return -ENOMEM;
    if (bytes)
        memcpy(nng_msg_body(msg), data, bytes);
    nng_aio_set_timeout(c->aio, client_left_ms(c));
    nng_aio_set_msg(c->aio, msg);
    nng_send_aio(c->socket, c->aio);
    rv = client_wait(c);
    if (rv != 0)
        nng_msg_free(msg);
    return nng_errno(rv);
}

static int client_receive(struct client *c, void **ret_data, size_t *ret_bytes)
{
    nng_msg *msg;
    size_t bytes;
    char *data;
    int rv;

    nng_aio_set_timeout(c->aio, client_left_ms(c));
    nng_recv_aio(c->socket, c->aio);
    rv = client_wait(c);
    if (rv != 0)
        return nng_errno(rv);
    msg = nng_aio_get_msg(c->aio);
    bytes = nng_msg_len(msg);
    data = malloc(bytes + 1);
    if (data) {
        memcpy(data, nng_msg_body(msg), bytes);
        data[bytes] = '\0';
        *ret_data = data;
        *ret_bytes = bytes;
    }
    nng_msg_free(msg);
    return data ? 0 : -ENOMEM;
}

static int client_set_up(struct client *c)
{
    int rv;

    rv = nng_aio_alloc(&c->alarm, client_on_alarm, c);
    if (rv == 0)
        rv = nng_aio_alloc(&c->aio, NULL, NULL);
    /* Asked once: when the connection breaks the asker hears of it. */
    if (rv == 0)
        rv = nng_socket_set_ms(c->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE);
    if (rv == 0)
        rv = nng_socket_set_size(c->socket, NNG_OPT_RECVMAXSZ, ANSWER_BYTES_MAX);
    if (rv == 0)
        rv = nng_pipe_notify(c->socket, NNG_PIPE_EV_REM_POST, client_on_lost, c);
    return nng_errno(rv);
}

int aisys_nng_request(const char *url, const void *data, size_t bytes, unsigned deadline_ms,
    void **ret_data, size_t *ret_bytes)
{
    struct client c = { .end_ms =
                            nng_now_ms() + (deadline_ms < INT32_MAX ? deadline_ms : INT32_MAX) };
    int r;

    r = nng_errno(nng_req0_open(&c.socket));
    if (r < 0)
        return r;
    r = client_set_up(&c);
    if (r == 0)
        r = client_dial(&c, url);
    if (r == 0)
        r = client_send(&c, data, bytes);
    if (r == 0)
        r = client_receive(&c, ret_data, ret_bytes);
    nng_close(c.socket);
    if (c.aio)
        nng_aio_free(c.aio);
    if (c.alarm)
        nng_aio_free(c.alarm);
    return r;
}
