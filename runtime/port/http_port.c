#include "port/http_internal.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#define ACCEPTS_PER_TURN 64
#define RUNS_PER_TURN    4
#define BACKLOG          512

/* --- the library --- */

static void http_on_again(uv_timer_t *timer)
{
    http_server_run(timer->data);
}

/* A woken connection causes no event: run the library in the next turn of the loop, once for all
 * that were woken in this one. */
void http_server_again(struct aisys_http_server *server)
{
    if (!server->stopped)
        uv_timer_start(&server->again, http_on_again, 0, 0);
}

/* Let the library work. Between events it must be run again when it says so. */
void http_server_run(struct aisys_http_server *server)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms = 0;
    bool wanted = true;

    if (server->running || server->stopped)
        return;
    server->running = true;
    for (unsigned i = 0; i < RUNS_PER_TURN && wanted && timeout_ms == 0; i++) {
        MHD_run(server->daemon);
        wanted = MHD_get_timeout(server->daemon, &timeout_ms) == MHD_YES;
    }
    server->running = false;
    server->quiet = false;
    if (wanted)
        uv_timer_start(&server->again, http_on_again, timeout_ms, 0);
    if (server->closing && server->closing_started && server->stats.connections_now == 0)
        http_server_due(server, 0);
}

static void http_on_mhd(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    http_server_run(poll->data);
}

/* --- listening --- */

static void http_peer_text(
    const struct sockaddr_storage *addr, char *text, size_t text_bytes, uint16_t *ret_port)
{
    if (addr->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)addr;

        inet_ntop(AF_INET, &v4->sin_addr, text, (socklen_t)text_bytes);
        *ret_port = ntohs(v4->sin_port);
    } else {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)addr;

        inet_ntop(AF_INET6, &v6->sin6_addr, text, (socklen_t)text_bytes);
        if (strncmp(text, "::ffff:", 7) == 0 && strchr(text, '.')) /* IPv4 on an IPv6 socket */
            memmove(text, text + 7, strlen(text + 7) + 1);
        *ret_port = ntohs(v6->sin6_port);
    }
}

static void http_turn_away(
    struct aisys_http_server *server, int fd, unsigned status, const char *message)
{
    char answer[HTTP_ANSWER_BYTES];
    const size_t len = http_raw(answer, sizeof(answer), status, message, false);

    if (send(fd, answer, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len)
        http_count_answer(server, status);
    shutdown(fd, SHUT_WR);
    http_server_linger(server, fd);
}

static bool http_peer_over(const struct aisys_http_server *server, const char *peer)
{
    uint32_t count = 0;

    if (server->options.connections_per_peer_max >= server->options.connections_max)
        return false;
    for (uint32_t i = 0; i < server->options.connections_max; i++)
        if (server->conns[i].state != HTTP_FREE && strcmp(server->conns[i].peer, peer) == 0)
            count++;
    return count >= server->options.connections_per_peer_max;
}

static void http_on_listen(uv_poll_t *poll, int status, int events)
{
    struct aisys_http_server *server = poll->data;

    (void)status;
    (void)events;
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage addr = { 0 };
        socklen_t addr_len = sizeof(addr);
        char peer[HTTP_PEER_BYTES] = "";
        uint16_t peer_port = 0;
        const int fd = accept4(
            server->listen_fd, (struct sockaddr *)&addr, &addr_len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            /* The listener stays readable: asking again at once would spin. */
            uv_poll_stop(&server->listen_poll);
            server->accept_again_ms = uv_now(server->loop) + HTTP_ACCEPT_PAUSE_MS;
            http_server_due(server, server->accept_again_ms);
            break;
        }
        if (fd < 0)
            continue; /* the client was gone before it was served */
        http_peer_text(&addr, peer, sizeof(peer), &peer_port);
        if (server->free_first == UINT32_MAX) {
            server->stats.refused_connections++;
            http_turn_away(server, fd, 503, "too many connections: try again");
        } else if (http_peer_over(server, peer)) {
            server->stats.refused_peers++;
            http_turn_away(server, fd, 429, "too many connections from this address");
        } else {
            http_conn_adopt(server, fd, (struct sockaddr *)&addr, addr_len, peer, peer_port);
        }
    }
    http_server_run(server);
}

static int http_listen(struct aisys_http_server *server)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(server->options.port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(server->options.port) };
    const bool is_v4 = inet_pton(AF_INET, server->address, &v4.sin_addr) == 1;
    const struct sockaddr *addr = is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
    socklen_t addr_len = is_v4 ? sizeof(v4) : sizeof(v6);
    struct sockaddr_storage bound = { 0 };
    socklen_t bound_len = sizeof(bound);
    char text[HTTP_PEER_BYTES];
    const int on = 1, off = 0;
    int fd;

    if (!is_v4 && inet_pton(AF_INET6, server->address, &v6.sin6_addr) != 1)
        return -EINVAL;
    fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* Lets a restarted server bind while old connections are in TIME_WAIT; two still cannot. */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (!is_v4)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, addr, addr_len) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &bound_len) != 0) {
        const int r = -errno;

        close(fd);
        return r;
    }
    http_peer_text(&bound, text, sizeof(text), &server->port);
    server->listen_fd = fd;
    return 0;
}

/* --- close --- */

static void http_server_free(struct aisys_http_server *server);

static void http_on_handle_closed(uv_handle_t *handle)
{
    struct aisys_http_server *server = handle->data;
    void (*closed)(void *) = server->closed;
    void *closed_arg = server->closed_arg;

    if (--server->handles_open > 0)
        return;
    http_server_free(server);
    if (closed)
        closed(closed_arg);
}

static void http_handle_close(void *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, http_on_handle_closed);
}

static void http_server_finish(struct aisys_http_server *server)
{
    for (uint32_t i = 0; i < server->options.connections_max; i++) {
        if (server->conns[i].state == HTTP_ADOPTED)
            http_conn_release(&server->conns[i]);
        else
            http_conn_cut(&server->conns[i]);
    }
    for (unsigned i = 0; i < HTTP_LINGER_NR; i++)
        if (server->lingers[i].fd >= 0)
            http_linger_end(&server->lingers[i]);
    server->stopped = true;
    /* A poll handle must be closed before its descriptor: that number may serve another soon. */
    http_handle_close(&server->mhd_poll);
    server->quiet = true;
    MHD_stop_daemon(server->daemon);
    http_handle_close(&server->watch_poll);
    http_handle_close(&server->deadlines);
    http_handle_close(&server->again);
}

/* After everything that was waiting in the sockets has been looked at once. */
static void http_server_close_step(struct aisys_http_server *server, uint64_t now_ms)
{
    if (!server->closing_started) {
        server->closing_started = true;
        for (uint32_t i = 0; i < server->options.connections_max; i++) {
            struct http_conn *conn = &server->conns[i];

            if (conn->state == HTTP_WAITING) {
                server->quiet = true;
                http_conn_cut(conn);
            } else if (conn->ring && !conn->stream_ended) {
                conn->stream_ended = true;
                http_conn_wake(conn);
            }
        }
        http_server_run(server);
    }
    if (server->stats.connections_now == 0 || now_ms >= server->close_at_ms)
        http_server_finish(server);
    else
        http_server_due(server, server->close_at_ms);
}

void aisys_http_close(struct aisys_http_server *server, uint32_t grace_ms,
    void (*closed)(void *closed_arg), void *closed_arg)
{
    uint64_t close_at_ms;

    if (!server || server->stopped)
        return;
    close_at_ms = uv_now(server->loop) + grace_ms;
    if (server->closing) {
        if (close_at_ms < server->close_at_ms)
            server->close_at_ms = close_at_ms;
    } else {
        server->closing = true;
        server->close_at_ms = close_at_ms;
        server->closed = closed;
        server->closed_arg = closed_arg;
        http_handle_close(&server->listen_poll);
        close(server->listen_fd);
        server->listen_fd = -1;
    }
    http_server_due(server, 0); /* the rest is done from the loop: this may be a callback of ours */
}

/* --- time --- */

static void http_conn_expire(struct http_conn *conn)
{
    struct aisys_http_server *server = conn->server;
    char answer[HTTP_ANSWER_BYTES];

    switch (conn->state) {
    case HTTP_ADOPTED: /* the library never announced it, and has closed it */
        http_conn_release(conn);
        return;
    case HTTP_WAITING:
        if (conn->kept)
            break; /* an idle connection: nobody waits for words */
        /* fall through */
    case HTTP_HEADER:
    case HTTP_BODY: {
        const size_t len = http_raw(answer, sizeof(answer), 408,
            conn->state == HTTP_BODY ? "the body of the request did not arrive in time"
                                     : "the header of the request did not arrive in time",
            conn->head);

        if (send(conn->fd, answer, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len)
            http_count_answer(server, 408);
        server->stats.timeouts++;
        break;
    }
    default:
        server->stats.timeouts++;
        break;
    }
    server->quiet = true;
    http_conn_cut(conn);
}

static void http_on_deadline(uv_timer_t *timer)
{
    struct aisys_http_server *server = timer->data;
    const uint64_t now_ms = uv_now(server->loop);
    uint64_t next_ms = UINT64_MAX;

    server->timer_due_ms = UINT64_MAX;
    for (uint32_t i = 0; i < server->options.connections_max; i++) {
        struct http_conn *conn = &server->conns[i];

        if (conn->state == HTTP_FREE || conn->deadline_ms == 0)
            continue;
        if (conn->deadline_ms <= now_ms)
            http_conn_expire(conn);
        else if (conn->deadline_ms < next_ms)
            next_ms = conn->deadline_ms;
    }
    for (unsigned i = 0; i < HTTP_LINGER_NR; i++) {
        struct http_linger *linger = &server->lingers[i];

        if (linger->fd >= 0 && linger->deadline_ms <= now_ms)
            http_linger_end(linger);
        else if (linger->fd >= 0 && linger->deadline_ms < next_ms)
            next_ms = linger->deadline_ms;
    }
    if (server->accept_again_ms && server->accept_again_ms <= now_ms) {
        server->accept_again_ms = 0;
        if (!server->closing)
            uv_poll_start(&server->listen_poll, UV_READABLE, http_on_listen);
    } else if (server->accept_again_ms && server->accept_again_ms < next_ms) {
        next_ms = server->accept_again_ms;
    }
    if (next_ms != UINT64_MAX)
        http_server_due(server, next_ms);
    http_server_run(server);
    if (server->closing)
        http_server_close_step(server, now_ms);
}

/* Look at all deadlines at @at_ms, unless that is done earlier anyway. */
void http_server_due(struct aisys_http_server *server, uint64_t at_ms)
{
    const uint64_t now_ms = uv_now(server->loop);

    if (at_ms >= server->timer_due_ms || server->stopped)
        return;
    server->timer_due_ms = at_ms;
    uv_timer_start(&server->deadlines, http_on_deadline, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

/* --- open --- */

static void http_list_free(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

static int http_list_copy(const char *const *list, char ***ret_copy)
{
    size_t len = 0;
    char **copy;

    while (list && list[len])
        len++;
    copy = calloc(len + 1, sizeof(*copy));
    if (!copy)
        return -ENOMEM;
    *ret_copy = copy; /* released with the server, also when only a part of it was copied */
    for (size_t i = 0; i < len; i++) {
        copy[i] = strdup(list[i]);
        if (!copy[i])
            return -ENOMEM;
    }
    return 0;
}

static void http_server_defaults(struct aisys_http_options *o)
{
#define DEFAULT(field, value) o->field = o->field ? o->field : (value)
    DEFAULT(address, "127.0.0.1");
    DEFAULT(connections_max, 256);
    DEFAULT(connections_per_peer_max, o->connections_max);
    DEFAULT(streams_max, 32);
    DEFAULT(header_bytes_max, 8u << 10);
    DEFAULT(body_bytes_max, 24u << 20);
    DEFAULT(bodies_bytes_max, 4 * o->body_bytes_max);
    DEFAULT(stream_bytes_max, 64u << 10);
    DEFAULT(header_timeout_ms, 10000);
    DEFAULT(body_timeout_ms, 60000);
    DEFAULT(idle_timeout_ms, 60000);
    DEFAULT(send_timeout_ms, 60000);
    DEFAULT(methods, AISYS_HTTP_GET | AISYS_HTTP_HEAD | AISYS_HTTP_POST);
#undef DEFAULT
}

static void http_server_free(struct aisys_http_server *server)
{
    if (server->listen_fd >= 0)
        close(server->listen_fd);
    if (server->watch_fd >= 0)
        close(server->watch_fd);
    http_list_free(server->hosts);
    http_list_free(server->origins);
    free(server->cache_control);
    free(server->conns);
    free(server);
}

static int http_handles_open(struct aisys_http_server *server)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    int r;

    uv_timer_init(server->loop, &server->deadlines);
    uv_timer_init(server->loop, &server->again);
    server->deadlines.data = server;
    server->again.data = server;
    server->handles_open = 2;
    r = uv_poll_init(server->loop, &server->listen_poll, server->listen_fd);
    if (r < 0)
        return r;
    server->listen_poll.data = server;
    server->handles_open++;
    r = uv_poll_init(server->loop, &server->mhd_poll, info->epoll_fd);
    if (r < 0)
        return r;
    server->mhd_poll.data = server;
    server->handles_open++;
    r = uv_poll_init(server->loop, &server->watch_poll, server->watch_fd);
    if (r < 0)
        return r;
    server->watch_poll.data = server;
    server->handles_open++;

    r = uv_poll_start(&server->listen_poll, UV_READABLE, http_on_listen);
    if (r == 0)
        r = uv_poll_start(&server->mhd_poll, UV_READABLE, http_on_mhd);
    if (r == 0)
        r = uv_poll_start(&server->watch_poll, UV_READABLE, http_server_on_watch);
    return r;
}

/* After http_handles_open() failed: what it opened closes in the background.
 * UNTESTED: libuv refuses a descriptor of these kinds only for want of memory. */
static void http_handles_abandon(struct aisys_http_server *server)
{
    server->stopped = true;
    server->closed = NULL;
    if (server->handles_open > 4)
        http_handle_close(&server->watch_poll);
    if (server->handles_open > 3)
        http_handle_close(&server->mhd_poll);
    if (server->handles_open > 2)
        http_handle_close(&server->listen_poll);
    http_handle_close(&server->deadlines);
    http_handle_close(&server->again);
    MHD_stop_daemon(server->daemon);
}

int aisys_http_open(struct uv_loop_s *loop, const struct aisys_http_options *options,
    struct aisys_http_server **ret_server)
{
    struct aisys_http_server *server;
    int r;

    if (!options->request || options->connections_max > UINT16_MAX)
        return -EINVAL;
    server = calloc(1, sizeof(*server));
    if (!server)
        return -ENOMEM;
    server->loop = loop;
    server->listen_fd = -1;
    server->watch_fd = -1;
    server->timer_due_ms = UINT64_MAX;
    for (unsigned i = 0; i < HTTP_LINGER_NR; i++)
        server->lingers[i].fd = -1;
    server->options = *options;
    http_server_defaults(&server->options);
    server->cache_control = strdup(options->cache_control ? options->cache_control : "no-store");

    r = -ENOMEM;
    server->conns = calloc(server->options.connections_max, sizeof(*server->conns));
    if (!server->conns || !server->cache_control ||
        http_list_copy(options->hosts, &server->hosts) < 0 ||
        http_list_copy(options->origins, &server->origins) < 0)
        goto release;
    for (uint32_t i = 0; i < server->options.connections_max; i++)
        server->conns[i].next_free = i + 1 < server->options.connections_max ? i + 1 : UINT32_MAX;

    r = -EINVAL;
    if (strlen(server->options.address) >= sizeof(server->address))
        goto release;
    strcpy(server->address, server->options.address);
    server->options.address = server->address;
    r = http_listen(server);
    if (r < 0)
        goto release;
    server->watch_fd = epoll_create1(EPOLL_CLOEXEC);
    if (server->watch_fd < 0) {
        r = -errno;
        goto release;
    }
    server->daemon = http_daemon_start(server);
    if (!server->daemon) {
        r = -ENOMEM;
        goto release;
    }
    r = http_handles_open(server);
    if (r < 0) {
        http_handles_abandon(server);
        return r;
    }
    *ret_server = server;
    return 0;

release:
    http_server_free(server);
    return r;
}

uint16_t aisys_http_port(const struct aisys_http_server *server)
{
    return server->port;
}

void aisys_http_stats(const struct aisys_http_server *server, struct aisys_http_stats *ret_stats)
{
    *ret_stats = server->stats;
}
