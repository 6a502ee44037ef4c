/* An HTTP/1.1 server on a libuv loop: libmicrohttpd behind a callback.
 *
 * One server is one listening address and port, and one callback. When a request is complete
 * (headers and body), the callback gets it; the owner answers inside the callback or any time
 * later, once, by the request's id:
 *
 *     static void on_request(void *arg, const struct aisys_http_request *request)
 *     {
 *         if (strcmp(request->path, "/livez") == 0)
 *             aisys_http_respond(server, request->id, 200, "text/plain", NULL, "ok\n", 3);
 *         else
 *             start_work(request->id, request->body, request->body_bytes);   // answers later
 *     }
 *
 * An id is never used twice. Whatever is done with one whose request is over (answered, client
 * gone, server closing) is AISYS_HTTP_GONE and does nothing, so the owner needs no bookkeeping
 * against races; with a `gone` callback it learns of it and can cancel its work.
 *
 * What never reaches the callback (each is answered here, as JSON, and counted):
 *     400  a bad target (encoding, NUL, "..", not UTF-8), doubled or contradicting headers
 *     403  a foreign Host or Origin (DNS rebinding, other people's pages)
 *     405, 501  a method not in options.methods, an unknown one
 *     408  the header or the body did not arrive in time, however it trickled
 *     413  Content-Length above body_bytes_max, before a byte is allocated; or, for a chunked body,
 *          at the byte that passes it
 *     429, 503  too many connections of one peer, in all; no room for more bodies or streams
 *     431  more header than header_bytes_max
 * Two kinds are answered by the library itself, with a page of its own: what is no HTTP at all, and a
 * header far above the limit. A body is never parsed, whatever its Content-Type says.
 *
 * A client that closes its sending side while its answer is pending counts as gone.
 *
 * Threads: the loop thread only. Callbacks come from the loop; inside them every function here may
 *          be called.
 * Errors:  0, negative errno, or AISYS_HTTP_*.
 * Memory:  connections_max connections of about 2 * header_bytes_max + 5 KiB each at most, bodies
 *          of at most bodies_bytes_max together, streams_max streams of stream_bytes_max each.
 * Times:   milliseconds.
 * Names:   addresses are numeric; nothing here resolves a name. */
#ifndef AISYS_PORT_HTTP_PORT_H
#define AISYS_PORT_HTTP_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uv_loop_s;
struct aisys_http_server;

#define AISYS_HTTP_GONE 1 /* that request is over */
#define AISYS_HTTP_FULL 2 /* the stream's buffer has no room for the chunk: nothing was taken */

enum aisys_http_method {
    AISYS_HTTP_GET = 1 << 0,
    AISYS_HTTP_HEAD = 1 << 1, /* answer it as GET: the body's size is told, the body kept back */
    AISYS_HTTP_POST = 1 << 2,
    AISYS_HTTP_PUT = 1 << 3,
    AISYS_HTTP_DELETE = 1 << 4,
    AISYS_HTTP_PATCH = 1 << 5,
    AISYS_HTTP_OPTIONS = 1 << 6,
};

struct aisys_http_pair {
    const char *name;
    const char *value;
};

/* A complete request. The struct is borrowed for the callback; what it points to (and the values
 * that the functions below return) until the request is answered or gone. */
struct aisys_http_request {
    uint64_t id; /* never 0 */
    enum aisys_http_method method;
    const char *path; /* decoded UTF-8, starts with '/', no empty, "." or ".." segments, no NUL */
    const struct aisys_http_pair *params; /* of the query, decoded, in order */
    size_t params_len;
    const char *content_type; /* as sent, NULL when it was not */
    const char *body;         /* NUL-terminated for convenience, may hold NULs; never NULL */
    size_t body_bytes;
    const char *peer; /* numeric address of the client */
    uint16_t peer_port;
};

struct aisys_http_options {
    const char *address; /* numeric IPv4 or IPv6; NULL: 127.0.0.1 */
    uint16_t port;       /* 0: any free one, aisys_http_port() tells */

    /* 0 is the default in brackets. */
    uint32_t connections_max;          /* [256], at most 65535 */
    uint32_t connections_per_peer_max; /* [connections_max] */
    uint32_t streams_max;              /* [32] */
    size_t header_bytes_max;           /* [8 KiB] request line and headers */
    size_t body_bytes_max;             /* [24 MiB] */
    size_t bodies_bytes_max;           /* [4 * body_bytes_max] of all requests together */
    size_t stream_bytes_max;           /* [64 KiB] buffered for one client that does not read */
    uint32_t header_timeout_ms;        /* [10000] from connecting to the end of the header */
    uint32_t body_timeout_ms;          /* [60000] for the whole body */
    uint32_t idle_timeout_ms;          /* [60000] between the requests of a kept connection */
    uint32_t send_timeout_ms;          /* [60000] for a whole answer; for each part of a stream */
    unsigned methods;                  /* [GET | HEAD | POST] AISYS_HTTP_* or-ed */

    /* Accepted besides localhost, 127.0.0.1, [::1], the bind address and the address that the
     * client connected to: NULL-terminated, without port, "*" for all. Copied. */
    const char *const *hosts;
    /* Origins (scheme://host[:port]) accepted besides the server's own. Copied. */
    const char *const *origins;

    const char *cache_control; /* of answers that bring none; NULL: "no-store". Copied */

    void (*request)(void *arg, const struct aisys_http_request *request);
    /* The client of an unanswered request or open stream is gone. May be NULL. */
    void (*gone)(void *arg, uint64_t id);
    /* What the library has to say about clients, one line without newline: debug level, a
     * stranger can cause it at will. May be NULL. */
    void (*log)(void *arg, const char *text);
    void *arg;
};

/* Since the server was opened, but for the *_now. */
struct aisys_http_stats {
    uint64_t connections;
    uint64_t connections_now;
    uint64_t refused_connections; /* over connections_max */
    uint64_t refused_peers;       /* over connections_per_peer_max */
    uint64_t requests;            /* handed to the callback */
    uint64_t answers[6];          /* by class of the status: [2] is 2xx; [0] is not used */
    uint64_t refused_hosts;
    uint64_t refused_origins;
    uint64_t too_large;   /* 413 and 431 */
    uint64_t no_room;     /* 503 for bodies and streams */
    uint64_t timeouts;    /* connections cut for being slow; ends of idle ones not included */
    uint64_t gone;        /* clients that left before their answer or in a stream */
    uint64_t body_bytes;  /* received */
    uint64_t sent_bytes;  /* bodies of answers, and of streams, handed to the library */
    uint64_t stream_full; /* chunks refused */
    uint64_t bodies_bytes_now;
    uint64_t streams_now;
};

/* Listen and serve. @options and what it points to are copied or read during the call.
 * -EINVAL: the address is not numeric, or no request callback; -EADDRINUSE, -EADDRNOTAVAIL,
 * -EACCES from binding; -ENOMEM, -EMFILE. */
int aisys_http_open(struct uv_loop_s *loop, const struct aisys_http_options *options,
    struct aisys_http_server **ret_server);

/* Stop listening at once, end idle connections and (after what is buffered) streams, let the open
 * requests be answered for up to @grace_ms, then cut what is left. @closed (may be NULL) is called
 * from the loop when all is released; @server may still be used until then. @server NULL is
 * nothing; a second call can only shorten the grace. */
void aisys_http_close(struct aisys_http_server *server, uint32_t grace_ms,
    void (*closed)(void *closed_arg), void *closed_arg);

/* The port listened on. */
uint16_t aisys_http_port(const struct aisys_http_server *server);

void aisys_http_stats(const struct aisys_http_server *server, struct aisys_http_stats *ret_stats);

/* The value of query parameter @name, or header @name (any case), of an open request: the first
 * one, NULL when there is none or the request is over. */
const char *aisys_http_param(const struct aisys_http_server *server, uint64_t id, const char *name);
const char *aisys_http_header(
    const struct aisys_http_server *server, uint64_t id, const char *name);

/* Answer request @id. @content_type may be NULL (no body type). @headers: pairs up to one with
 * name NULL, or NULL. @body is copied. X-Content-Type-Options: nosniff and Cache-Control (unless
 * among @headers) are added. 0, AISYS_HTTP_GONE, -EINVAL (a status outside 200 to 599, a header
 * with line breaks), -ENOMEM; after a negative result the request is still open. */
int aisys_http_respond(struct aisys_http_server *server, uint64_t id, unsigned status,
    const char *content_type, const struct aisys_http_pair *headers, const void *body,
    size_t body_bytes);

/* Answer with {"error":{"code":...,"message":...,"details":[]}}. @code NULL takes the one that
 * belongs to @status. */
int aisys_http_respond_error(struct aisys_http_server *server, uint64_t id, unsigned status,
    const char *code, const char *message);

/* Answer request @id with a body that goes on: server-sent events, for one. Then send() chunks, of
 * which all or nothing is taken, and close(), which sends what is buffered and ends the answer.
 * The stream's id is the request's. AISYS_HTTP_FULL from open: streams_max (the request is still
 * open: answer 503). A HEAD request gets the header alone, and is over. */
int aisys_http_stream_open(struct aisys_http_server *server, uint64_t id, const char *content_type,
    const struct aisys_http_pair *headers);
int aisys_http_stream_send(
    struct aisys_http_server *server, uint64_t id, const void *chunk, size_t chunk_bytes);
int aisys_http_stream_close(struct aisys_http_server *server, uint64_t id);

#endif
