#include "port/redis_connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_BYTES   65536u
#define READS_A_TURN 4u /* then others have their turn; what is left is read in the next */

/* A socket and its watch; outlives the connection's interest in it until libuv lets go. */
struct redis_socket {
    uv_poll_t poll;
    struct redis_connection *conn;
    int fd;
    int events;
};

/* --- what is written at the end of the turn --- */

static void stream_on_idle(uv_idle_t *idle)
{
    (void)idle; /* that it is active is enough */
}

static void stream_on_prepare(uv_prepare_t *prepare);

void aisys_redis_stream_mark_dirty(struct redis_connection *conn)
{
    if (conn->dirty)
        return;
    conn->dirty = true;
    conn->turn_ns = uv_hrtime();
    uv_prepare_start(&conn->prepare, stream_on_prepare);
    uv_idle_start(&conn->idle, stream_on_idle);
}

int aisys_redis_stream_append(
    struct redis_connection *conn, const struct aisys_redis_arg *args, size_t arg_nr)
{
    const size_t before = aisys_redis_out_bytes(&conn->out);
    const int r = aisys_redis_out_reserve(&conn->out, aisys_redis_wire_bytes(args, arg_nr));

    if (r < 0)
        return r;
    aisys_redis_wire_append(&conn->out, args, arg_nr);
    conn->queued_bytes += aisys_redis_out_bytes(&conn->out) - before;
    if (conn->state == AISYS_REDIS_READY)
        aisys_redis_stream_mark_dirty(conn);
    return 0;
}

/* --- the socket --- */

static ssize_t socket_read(const struct redis_socket *sock, void *buffer, size_t bytes)
{
    ssize_t n;

    do {
        n = recv(sock->fd, buffer, bytes, 0);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t socket_write(const struct redis_socket *sock, const void *data, size_t bytes)
{
    ssize_t n;

    do {
        n = send(sock->fd, data, bytes, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

bool aisys_redis_stream_has_unread(const struct redis_connection *conn)
{
    char byte;

    return conn->socket && recv(conn->socket->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void stream_on_poll(uv_poll_t *poll, int status, int events);

static int socket_watch(struct redis_socket *sock, int events)
{
    if (sock->events == events)
        return 0;
    sock->events = events;
    return uv_poll_start(&sock->poll, events, stream_on_poll);
}

static void socket_on_closed(uv_handle_t *handle)
{
    struct redis_socket *sock = handle->data;
    struct redis_connection *conn = sock->conn;

    aisys_redis_free(conn, sock);
    aisys_redis_connection_handle_closed(conn);
}

/* Where the next answer goes. */
static struct redis_arena *stream_arena(struct redis_connection *conn)
{
    if (conn->state != AISYS_REDIS_READY || !conn->head)
        return &conn->parser.scratch;
    return aisys_redis_calls_arena(conn);
}

static void stream_on_answer(struct redis_connection *conn)
{
    const struct aisys_redis_value *value = &conn->parser.root;

    if (conn->state == AISYS_REDIS_GREETING) {
        if (conn->parser.refusal == REDIS_TAKEN)
            aisys_redis_connection_on_greeting(conn, value);
        else
            aisys_redis_connection_fail(conn, -EPROTO,
                "%s answered the greeting with what is no answer: %s", conn->peer,
                conn->parser.problem);
    } else if (conn->head && conn->head->at_byte < conn->written_bytes) {
        aisys_redis_calls_answer(conn);
    } else if (conn->ops->push && conn->parser.refusal == REDIS_TAKEN) {
        conn->ops->push(conn->owner, value);
    } else if (!conn->ops->push) {
        aisys_redis_connection_fail(conn, -EPROTO,
            "%s sent an answer that nobody asked for: %.120s", conn->peer,
            conn->parser.refusal == REDIS_TAKEN ? aisys_redis_text(value) : "");
    }
}

/* Hands @bytes to the parser and every complete answer to whom it belongs. Stops when a callback
 * ended the connection. */
static void stream_take(struct redis_connection *conn, const char *data, size_t bytes)
{
    const struct redis_socket *sock = conn->socket;
    size_t taken;
    int r;

    while (bytes > 0) {
        r = aisys_redis_parser_feed(&conn->parser, data, bytes, &taken);
        if (r < 0) {
            aisys_redis_connection_fail(conn, r, "no memory for what %s sent", conn->peer);
            return;
        }
        data += taken;
        bytes -= taken;
        for (;;) {
            if (aisys_redis_parser_wants_arena(&conn->parser))
                aisys_redis_parser_begin(&conn->parser, stream_arena(conn));
            r = aisys_redis_parser_next(&conn->parser);
            if (r <= 0)
                break;
            stream_on_answer(conn);
            if (conn->socket != sock)
                return;
        }
        if (r < 0) {
            aisys_redis_connection_fail(conn, r, "%s does not speak the protocol of Redis: %s",
                conn->peer, conn->parser.problem);
            return;
        }
    }
    aisys_redis_parser_shrink(&conn->parser);
}

static void stream_on_readable(struct redis_connection *conn)
{
    const struct redis_socket *sock = conn->socket;

    for (unsigned i = 0; i < READS_A_TURN; i++) {
        const ssize_t n = socket_read(sock, conn->read_buffer, READ_BYTES);

        if (n == -EAGAIN)
            return;
        if (n <= 0) {
            aisys_redis_connection_fail(conn, n == 0 ? -ECONNRESET : (int)n,
                "%s closed the connection%s%s", conn->peer, n == 0 ? "" : ": ",
                n == 0 ? "" : uv_strerror((int)n));
            return;
        }
        conn->stats.reads++;
        conn->stats.read_bytes += (uint64_t)n;
        conn->read_ns = uv_hrtime();
        conn->read_ms = conn->read_ns / 1000000u;
        conn->probed = false;
        stream_take(conn, conn->read_buffer, (size_t)n);
        if (conn->socket != sock)
            return;
        if ((size_t)n < READ_BYTES)
            break;
    }
    aisys_redis_calls_check_room(conn);
}

static struct redis_out *stream_out(struct redis_connection *conn)
{
    if (conn->state == AISYS_REDIS_GREETING)
        return &conn->hello;
    return conn->state == AISYS_REDIS_READY ? &conn->out : NULL;
}

/* Writes what there is, in one go as far as the socket takes it. */
static void stream_flush(struct redis_connection *conn)
{
    struct redis_socket *sock = conn->socket;
    struct redis_out *out = stream_out(conn);
    ssize_t n = 0;

    if (!sock || !out)
        return;
    if (aisys_redis_out_bytes(out) > 0) {
        n = socket_write(sock, out->data + out->start, aisys_redis_out_bytes(out));
        conn->stats.writes++;
    }
    if (n < 0 && n != -EAGAIN) {
        stream_on_readable(conn); /* perhaps the server said why */
        if (conn->socket == sock)
            aisys_redis_connection_fail(
                conn, (int)n, "cannot write to %s: %s", conn->peer, uv_strerror((int)n));
        return;
    }
    if (n > 0) {
        conn->stats.written_bytes += (uint64_t)n;
        if (out == &conn->out)
            conn->written_bytes += (uint64_t)n;
        aisys_redis_out_consume(out, (size_t)n);
    }
    socket_watch(sock, aisys_redis_out_bytes(out) > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE);
    aisys_redis_calls_check_room(conn);
}

static void stream_on_prepare(uv_prepare_t *prepare)
{
    struct redis_connection *conn = prepare->data;

    conn->dirty = false;
    uv_prepare_stop(&conn->prepare);
    uv_idle_stop(&conn->idle);
    if (conn->socket && !(conn->socket->events & UV_WRITABLE))
        stream_flush(conn);
}

static void stream_on_poll(uv_poll_t *poll, int status, int events)
{
    struct redis_socket *sock = poll->data;
    struct redis_connection *conn = sock->conn;
    socklen_t length = sizeof(int);
    int error = 0;

    if (conn->socket != sock)
        return;
    if (status < 0) {
        /* An error of the socket: libuv stops watching and calls it EBADF, whatever it was. What the
         * server sent before it can still be read, and the read tells the error too. */
        sock->events = 0;
        events = UV_READABLE;
    }
    if (conn->state == AISYS_REDIS_CONNECTING) {
        if (getsockopt(sock->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
            error = errno;
        if (error == 0 && status == 0)
            status = socket_watch(sock, UV_READABLE);
        aisys_redis_connection_on_connected(conn, error != 0 ? -error : status);
        return;
    }
    if (events & UV_READABLE)
        stream_on_readable(conn);
    if (conn->socket == sock && status < 0)
        aisys_redis_connection_fail(
            conn, status, "cannot watch the socket to %s: %s", conn->peer, uv_strerror(status));
    if (conn->socket == sock && (events & UV_WRITABLE))
        stream_flush(conn);
}

static socklen_t address_bytes(const struct sockaddr *address)
{
    if (address->sa_family == AF_UNIX)
        return sizeof(struct sockaddr_un);
    return address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                          : sizeof(struct sockaddr_in);
}

int aisys_redis_stream_connect(struct redis_connection *conn, const struct sockaddr *address)
{
    const int on = 1;
    struct redis_socket *sock;
    int fd;
    int r;

    fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (address->sa_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, address, address_bytes(address)) < 0 && errno != EINPROGRESS &&
        errno != EINTR) {
        r = -errno;
        goto close_fd;
    }
    r = aisys_redis_parser_start(&conn->parser);
    if (r < 0)
        goto close_fd;
    sock = aisys_redis_alloc(conn, sizeof(*sock));
    if (!sock) {
        r = -ENOMEM;
        goto stop_parser;
    }
    *sock = (struct redis_socket){ .conn = conn, .fd = fd };
    r = uv_poll_init(conn->loop, &sock->poll, fd);
    if (r < 0)
        goto free_sock;
    sock->poll.data = sock;
    conn->socket = sock;
    conn->handle_nr++;
    r = socket_watch(sock, UV_WRITABLE);
    if (r < 0)
        aisys_redis_stream_disconnect(conn);
    return r;

free_sock:
    aisys_redis_free(conn, sock);
stop_parser:
    aisys_redis_parser_stop(&conn->parser);
close_fd:
    close(fd);
    return r;
}

void aisys_redis_stream_disconnect(struct redis_connection *conn)
{
    struct redis_socket *sock = conn->socket;

    aisys_redis_parser_stop(&conn->parser);
    aisys_redis_out_clear(&conn->hello);
    if (!sock)
        return;
    conn->socket = NULL;
    uv_poll_stop(&sock->poll); /* from here libuv no longer knows the descriptor */
    close(sock->fd);
    uv_close((uv_handle_t *)&sock->poll, socket_on_closed);
}

int aisys_redis_stream_init(struct redis_connection *conn)
{
    const struct aisys_redis_config *config = conn->config;
    const struct redis_limits limits = {
        .string_bytes_max = config->string_bytes_max,
        .answer_bytes_max = config->answer_bytes_max,
        .array_max = config->array_max,
        .depth_max = config->depth_max,
    };

    aisys_redis_calls_init(conn);
    aisys_redis_out_init(&conn->out, &config->memory);
    aisys_redis_out_init(&conn->hello, &config->memory);
    aisys_redis_parser_init(&conn->parser, &config->memory, &limits);
    conn->read_buffer = aisys_redis_alloc(conn, READ_BYTES);
    return conn->read_buffer ? 0 : -ENOMEM;
}

void aisys_redis_stream_deinit(struct redis_connection *conn)
{
    aisys_redis_calls_deinit(conn);
    aisys_redis_parser_deinit(&conn->parser);
    aisys_redis_out_deinit(&conn->out);
    aisys_redis_out_deinit(&conn->hello);
    aisys_redis_free(conn, conn->read_buffer);
    conn->read_buffer = NULL;
}
