/* What the files of the HTTP port share; nobody else includes it.
 *
 *     http_port.c    the server: listening, the loop, time, close
 *     http_conn.c    a connection's life, as libmicrohttpd's callbacks tell it
 *     http_answer.c  answers, refusals and streams
 *     http_watch.c   clients that leave, or that do not stop sending
 *
 * Life of a connection (a slot of the server's table):
 *
 *     free     --accepted-->           adopted   handed to the library
 *     adopted  --its own callback-->   waiting   for a request line
 *     waiting  --request line-->       header
 *     header   --header complete-->    body
 *     body     --body complete-->      open      the owner has it
 *     open     --answered-->           sending
 *     sending  --all sent-->           waiting
 *     any      --cut-->                cut       until the library lets go of it
 *
 * Open connections and streams that have nothing to send are suspended: the library does not look
 * at them, so the server watches their sockets for the client's leaving (watch_fd). */
#ifndef AISYS_PORT_HTTP_INTERNAL_H
#define AISYS_PORT_HTTP_INTERNAL_H

#include "port/http_parse.h"

#include <uv.h>

struct MHD_Connection;
struct MHD_Daemon;
struct MHD_Response;

#define HTTP_LINGER_NR       32
#define HTTP_LINGER_MS       2000
#define HTTP_ACCEPT_PAUSE_MS 100
#define HTTP_PEER_BYTES      48
#define HTTP_PARAMS_MAX      64
#define HTTP_ANSWER_BYTES    640 /* the longest answer of http_raw() */

enum http_conn_state {
    HTTP_FREE,
    HTTP_ADOPTED,
    HTTP_WAITING,
    HTTP_HEADER,
    HTTP_BODY,
    HTTP_OPEN,
    HTTP_SENDING,
    HTTP_CUT,
};

/* A refusal that is answered when the body has been read past. */
struct http_refusal {
    unsigned status; /* 0: none */
    const char *message;
};

struct http_conn {
    struct aisys_http_server *server;
    struct MHD_Connection *mhd; /* NULL until the library announced it */
    enum http_conn_state state;
    int fd;               /* the library's */
    uint64_t request_nr;  /* of the current request, part of its id */
    uint64_t deadline_ms; /* on the loop's clock, 0: none */
    uint32_t next_free;
    bool suspended;
    bool watched; /* for the leaving of its client */
    bool kept;    /* had a request before */
    bool head;    /* the current request is HEAD */
    char peer[HTTP_PEER_BYTES];
    uint16_t peer_port;

    /* the current request */
    struct aisys_http_pair *params; /* owned; the target's text is behind them */
    size_t params_len;
    char *target;        /* inside params */
    const char *path;    /* inside target; NULL until parsed */
    const char *problem; /* what is wrong with the target, NULL: nothing */
    enum aisys_http_method method;
    struct http_refusal refusal;
    char *body; /* owned */
    size_t body_bytes;
    size_t body_capacity;    /* counted in server->stats.bodies_bytes_now, without the NUL */
    uint64_t body_announced; /* Content-Length, 0 if none */

    /* its answer */
    struct MHD_Response *response; /* owned, until queued */
    unsigned status;
    char *ring; /* owned; a stream's buffer, NULL: no stream */
    size_t ring_at;
    size_t ring_bytes;
    bool stream_ended; /* nothing more will be put into the ring */
};

/* A socket that was answered before its client had sent everything: what still comes is thrown
 * away for a moment, because closing with unread bytes would reset the connection and the client
 * might never see the answer. */
struct http_linger {
    int fd; /* -1: free */
    uint64_t deadline_ms;
    uint64_t left_bytes;
};

struct aisys_http_server {
    uv_loop_t *loop;
    struct aisys_http_options options; /* with its numbers; its strings are copied to: */
    char **hosts, **origins;           /* owned, NULL-terminated */
    char *cache_control;               /* owned */
    struct MHD_Daemon *daemon;
    struct aisys_http_stats stats;
    struct http_conn *conns; /* connections_max */
    uint32_t free_first;     /* of conns, UINT32_MAX: none */
    struct http_linger lingers[HTTP_LINGER_NR];
    uint64_t requests_nr;

    int listen_fd; /* -1 when closed */
    int watch_fd;  /* epoll: suspended connections, lingers */
    uint16_t port;
    char address[HTTP_PEER_BYTES];

    uv_poll_t listen_poll;
    uv_poll_t mhd_poll;
    uv_poll_t watch_poll;
    uv_timer_t deadlines;     /* the earliest deadline of anything */
    uv_timer_t again;         /* the library wants to be run without an event */
    uint64_t timer_due_ms;    /* UINT64_MAX: not armed */
    uint64_t accept_again_ms; /* 0: accepting */

    bool quiet;   /* the library's next line tells of what we did ourselves */
    bool running; /* inside the library */
    bool closing;
    bool closing_started; /* idle connections were cut */
    bool stopped;
    uint64_t close_at_ms;
    unsigned handles_open;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* http_port.c */
void http_server_due(struct aisys_http_server *server, uint64_t at_ms);
void http_server_run(struct aisys_http_server *server);
void http_server_again(struct aisys_http_server *server);

/* http_watch.c */
void http_server_watch(struct http_conn *conn);
void http_server_unwatch(struct http_conn *conn);
void http_server_linger(struct aisys_http_server *server, int fd);
void http_linger_end(struct http_linger *linger);
void http_server_on_watch(uv_poll_t *poll, int status, int events);

/* http_conn.c */
struct MHD_Daemon *http_daemon_start(struct aisys_http_server *server);
void http_conn_adopt(struct aisys_http_server *server, int fd, const struct sockaddr *addr,
    socklen_t addr_len, const char *peer, uint16_t peer_port);
void http_conn_deadline(struct http_conn *conn, uint32_t timeout_ms);
void http_conn_cut(struct http_conn *conn);
void http_conn_wake(struct http_conn *conn);
void http_conn_sleep(struct http_conn *conn);
void http_conn_release(struct http_conn *conn);
struct http_conn *http_conn_find(const struct aisys_http_server *server, uint64_t id);
uint64_t http_conn_id(const struct http_conn *conn);

/* http_answer.c */
size_t http_raw(char *buf, size_t buf_bytes, unsigned status, const char *message, bool head);
struct MHD_Response *http_error_response(
    struct aisys_http_server *server, unsigned status, const char *code, const char *message);
void http_stream_release(struct http_conn *conn);
void http_count_answer(struct aisys_http_server *server, unsigned status);

#endif
