#include "port/http_internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define WATCH_EVENTS 64
#define LINGER_READS 8
#define LINGER_MARK  (UINT64_C(1) << 63) /* in the watch's data: a linger, not a request id */

void http_server_watch(struct http_conn *conn)
{
    struct epoll_event event = { .events = EPOLLRDHUP, .data.u64 = http_conn_id(conn) };

    /* A failure (no memory in the kernel) means only that the leaving is seen at the answer. */
    conn->watched = epoll_ctl(conn->server->watch_fd, EPOLL_CTL_ADD, conn->fd, &event) == 0;
}

void http_server_unwatch(struct http_conn *conn)
{
    if (conn->watched)
        epoll_ctl(conn->server->watch_fd, EPOLL_CTL_DEL, conn->fd, NULL);
    conn->watched = false;
}

void http_linger_end(struct http_linger *linger)
{
    close(linger->fd);
    linger->fd = -1;
}

static void http_linger_read(struct http_linger *linger)
{
    char waste[16384];

    for (unsigned i = 0; i < LINGER_READS; i++) {
        const ssize_t bytes = recv(linger->fd, waste, sizeof(waste), MSG_DONTWAIT);

        if (bytes < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (bytes <= 0 || (uint64_t)bytes >= linger->left_bytes) {
            http_linger_end(linger);
            return;
        }
        linger->left_bytes -= (uint64_t)bytes;
    }
}

/* Takes @fd, which was answered and shut down for writing. */
void http_server_linger(struct aisys_http_server *server, int fd)
{
    for (unsigned i = 0; i < HTTP_LINGER_NR; i++) {
        struct http_linger *linger = &server->lingers[i];
        struct epoll_event event = { .events = EPOLLIN, .data.u64 = LINGER_MARK | i };

        if (linger->fd >= 0)
            continue;
        if (epoll_ctl(server->watch_fd, EPOLL_CTL_ADD, fd, &event) != 0)
            break;
        linger->fd = fd;
        linger->deadline_ms = uv_now(server->loop) + HTTP_LINGER_MS;
        linger->left_bytes = 2 * (uint64_t)server->options.body_bytes_max + 65536;
        http_server_due(server, linger->deadline_ms);
        return;
    }
    close(fd);
}

void http_server_on_watch(uv_poll_t *poll, int status, int poll_events)
{
    struct aisys_http_server *server = poll->data;
    struct epoll_event events[WATCH_EVENTS];
    const int len = epoll_wait(server->watch_fd, events, WATCH_EVENTS, 0);

    (void)status;
    (void)poll_events;
    for (int i = 0; i < len; i++) {
        const uint64_t what = events[i].data.u64;
        struct http_conn *conn;

        if (what & LINGER_MARK) {
            struct http_linger *linger = &server->lingers[what & ~LINGER_MARK];

            if (linger->fd >= 0)
                http_linger_read(linger);
            continue;
        }
        conn = http_conn_find(server, what);
        if (!conn)
            continue;
        if (conn->suspended || conn->state == HTTP_BODY) {
            server->quiet = true;
            http_conn_cut(conn);
        } else {
            http_server_unwatch(conn);
        }
    }
    http_server_run(server);
}
