#include "port/http_internal.h"

#include <ctype.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#define ID_SLOT_BITS   16
#define BODY_MIN_BYTES 4096

/* The headers that decide about a request, and how often they came. */
struct http_headers {
    const char *host, *origin, *length, *encoding, *content_type, *expect;
    unsigned hosts, origins, lengths, encodings;
};

uint64_t http_conn_id(const struct http_conn *conn)
{
    return conn->request_nr << ID_SLOT_BITS | (uint64_t)(conn - conn->server->conns);
}

struct http_conn *http_conn_find(const struct aisys_http_server *server, uint64_t id)
{
    const size_t slot = id & ((1u << ID_SLOT_BITS) - 1);
    struct http_conn *conn;

    if (id == 0 || slot >= server->options.connections_max)
        return NULL;
    conn = &server->conns[slot];
    return conn->state != HTTP_FREE && conn->request_nr == id >> ID_SLOT_BITS ? conn : NULL;
}

void http_conn_deadline(struct http_conn *conn, uint32_t timeout_ms)
{
    conn->deadline_ms = timeout_ms ? uv_now(conn->server->loop) + timeout_ms : 0;
    if (timeout_ms)
        http_server_due(conn->server, conn->deadline_ms);
}

/* Let the library look at a suspended connection again. */
void http_conn_wake(struct http_conn *conn)
{
    if (!conn->suspended)
        return;
    conn->suspended = false;
    http_server_unwatch(conn);
    MHD_resume_connection(conn->mhd);
    http_server_again(conn->server);
}

void http_conn_sleep(struct http_conn *conn)
{
    conn->suspended = true;
    MHD_suspend_connection(conn->mhd);
    http_server_watch(conn);
}

static void http_conn_drop_body(struct http_conn *conn)
{
    conn->server->stats.bodies_bytes_now -= conn->body_capacity;
    free(conn->body);
    conn->body = NULL;
    conn->body_bytes = 0;
    conn->body_capacity = 0;
}

/* The current request is over, however it ended. */
static void http_conn_end_request(struct http_conn *conn)
{
    struct aisys_http_server *server = conn->server;
    const uint64_t id = http_conn_id(conn);
    const bool tell = conn->state == HTTP_OPEN || conn->ring;

    if (conn->request_nr == 0)
        return;
    http_server_unwatch(conn);
    conn->request_nr = 0; /* from here on the id is GONE */
    http_conn_drop_body(conn);
    http_stream_release(conn);
    free(conn->params);
    conn->params = NULL;
    conn->params_len = 0;
    conn->target = NULL;
    conn->path = NULL;
    if (conn->response)
        MHD_destroy_response(conn->response);
    conn->response = NULL;
    if (tell) {
        server->stats.gone++;
        if (server->options.gone)
            server->options.gone(server->options.arg, id);
    }
}

/* End the connection: the library sees a closed socket and lets go of it in its next run. Never from
 * inside the library. */
void http_conn_cut(struct http_conn *conn)
{
    if (conn->state == HTTP_FREE || conn->state == HTTP_CUT)
        return;
    http_conn_end_request(conn);
    shutdown(conn->fd, SHUT_RDWR);
    conn->state = HTTP_CUT;
    conn->deadline_ms = 0;
    http_conn_wake(conn);
}

void http_conn_release(struct http_conn *conn)
{
    struct aisys_http_server *server = conn->server;

    http_conn_end_request(conn);
    conn->state = HTTP_FREE;
    conn->mhd = NULL;
    conn->fd = -1;
    conn->deadline_ms = 0;
    conn->next_free = server->free_first;
    server->free_first = (uint32_t)(conn - server->conns);
    server->stats.connections_now--;
}

void http_conn_adopt(struct aisys_http_server *server, int fd, const struct sockaddr *addr,
    socklen_t addr_len, const char *peer, uint16_t peer_port)
{
    struct http_conn *conn = &server->conns[server->free_first];

    server->free_first = conn->next_free;
    *conn = (struct http_conn){ .server = server, .fd = fd, .state = HTTP_ADOPTED };
    snprintf(conn->peer, sizeof(conn->peer), "%s", peer);
    conn->peer_port = peer_port;
    server->stats.connections++;
    server->stats.connections_now++;
    http_conn_deadline(conn, server->options.header_timeout_ms);
    if (MHD_add_connection(server->daemon, fd, addr, addr_len) != MHD_YES &&
        conn->state != HTTP_FREE)
        http_conn_release(conn);
}

/* --- refusing --- */

/* Answer now, without waiting for the rest of the request, and end the connection. */
static enum MHD_Result http_refuse_now(struct http_conn *conn, unsigned status, const char *message)
{
    struct aisys_http_server *server = conn->server;
    char answer[HTTP_ANSWER_BYTES];
    const size_t len = http_raw(answer, sizeof(answer), status, message, conn->head);
    const int fd = dup(conn->fd);

    if (send(conn->fd, answer, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len)
        http_count_answer(server, status);
    shutdown(conn->fd, SHUT_WR);
    if (fd >= 0)
        http_server_linger(server, fd);
    conn->state = HTTP_CUT;
    server->quiet = true;
    return MHD_NO;
}

static enum MHD_Result http_queue(struct http_conn *conn)
{
    struct aisys_http_server *server = conn->server;
    struct MHD_Response *response = conn->response;
    enum MHD_Result result;

    conn->response = NULL;
    if (!response) { /* no memory for an answer */
        conn->state = HTTP_CUT;
        return MHD_NO;
    }
    if (server->closing)
        MHD_add_response_header(response, "Connection", "close");
    conn->state = HTTP_SENDING;
    http_conn_deadline(conn, server->options.send_timeout_ms);
    result = MHD_queue_response(conn->mhd, conn->status, response);
    MHD_destroy_response(response);
    if (result == MHD_YES)
        http_count_answer(server, conn->status);
    return result;
}

static enum MHD_Result http_refuse(struct http_conn *conn)
{
    http_conn_drop_body(conn);
    conn->status = conn->refusal.status;
    conn->response = http_error_response(conn->server, conn->status, NULL, conn->refusal.message);
    if (conn->response && (conn->status == 405 || conn->status == 501)) {
        const unsigned methods = conn->server->options.methods;
        char allow[64];

        snprintf(allow, sizeof(allow), "%s%s%s%s%s%s%s", methods & AISYS_HTTP_GET ? ", GET" : "",
            methods & AISYS_HTTP_HEAD ? ", HEAD" : "", methods & AISYS_HTTP_POST ? ", POST" : "",
            methods & AISYS_HTTP_PUT ? ", PUT" : "", methods & AISYS_HTTP_DELETE ? ", DELETE" : "",
            methods & AISYS_HTTP_PATCH ? ", PATCH" : "",
            methods & AISYS_HTTP_OPTIONS ? ", OPTIONS" : "");
        MHD_add_response_header(conn->response, "Allow", allow + 2);
    }
    return http_queue(conn);
}

/* --- judging the header --- */

static enum MHD_Result http_on_header(
    void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct http_headers *headers = cls;

    (void)kind;
    if (!value)
        value = "";
    if (strcasecmp(name, "Host") == 0) {
        headers->hosts++;
        headers->host = value;
    } else if (strcasecmp(name, "Origin") == 0) {
        headers->origins++;
        headers->origin = value;
    } else if (strcasecmp(name, "Content-Length") == 0) {
        headers->lengths++;
        headers->length = value;
    } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
        headers->encodings++;
        headers->encoding = value;
    } else if (strcasecmp(name, "Content-Type") == 0) {
        headers->content_type = value;
    } else if (strcasecmp(name, "Expect") == 0) {
        headers->expect = value;
    }
    return MHD_YES;
}

static enum aisys_http_method http_method(const char *name)
{
    static const struct {
        const char *name;
        enum aisys_http_method method;
    } methods[] = {
        { "GET", AISYS_HTTP_GET },
        { "HEAD", AISYS_HTTP_HEAD },
        { "POST", AISYS_HTTP_POST },
        { "PUT", AISYS_HTTP_PUT },
        { "DELETE", AISYS_HTTP_DELETE },
        { "PATCH", AISYS_HTTP_PATCH },
        { "OPTIONS", AISYS_HTTP_OPTIONS },
    };

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (strcmp(methods[i].name, name) == 0)
            return methods[i].method;
    return 0;
}

static bool http_host_allowed(const struct http_conn *conn, const char *host)
{
    const struct aisys_http_server *server = conn->server;
    struct sockaddr_storage local = { 0 };
    socklen_t local_len = sizeof(local);
    char text[HTTP_PEER_BYTES] = "";

    if (aisys_http_host_is(host, "localhost") || aisys_http_host_is(host, "127.0.0.1") ||
        aisys_http_host_is(host, "::1") || aisys_http_host_is(host, server->address))
        return true;
    for (char **name = server->hosts; *name; name++)
        if (strcmp(*name, "*") == 0 || aisys_http_host_is(host, *name))
            return true;

    /* Bound to all addresses: the one that the client reached is no stranger's name either. */
    if (getsockname(conn->fd, (struct sockaddr *)&local, &local_len) != 0)
        return false;
    if (local.ss_family == AF_INET)
        inet_ntop(AF_INET, &((struct sockaddr_in *)&local)->sin_addr, text, sizeof(text));
    else
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&local)->sin6_addr, text, sizeof(text));
    return aisys_http_host_is(host, strncmp(text, "::ffff:", 7) == 0 ? text + 7 : text);
}

static bool http_origin_allowed(
    const struct aisys_http_server *server, const char *origin, const char *host)
{
    if (host && aisys_http_origin_is_host(origin, host))
        return true;
    for (char **name = server->origins; *name; name++)
        if (strcmp(*name, "*") == 0 || strcasecmp(*name, origin) == 0)
            return true;
    return false;
}

/* What is wrong with the frame of the body: such a connection cannot go on. NULL: nothing. */
static const char *http_judge_frame(struct http_conn *conn, const struct http_headers *headers)
{
    if (headers->lengths > 1 || headers->encodings > 1)
        return "more than one Content-Length or Transfer-Encoding";
    if (headers->length && headers->encoding)
        return "both Content-Length and Transfer-Encoding";
    if (headers->encoding && strcasecmp(headers->encoding, "chunked") != 0)
        return "the only Transfer-Encoding understood here is chunked";
    if (headers->length && !aisys_http_length_parse(headers->length, &conn->body_announced))
        return "the Content-Length is not a number of bytes";
    return NULL;
}

/* The first thing wrong with the request that can be told after its body. */
static struct http_refusal http_judge(
    struct http_conn *conn, const struct http_headers *headers, const char *method)
{
    struct aisys_http_server *server = conn->server;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

    if (info && info->header_size > server->options.header_bytes_max) {
        server->stats.too_large++;
        return (struct http_refusal){ 431, "the request line and headers are too large" };
    }
    if (headers->hosts > 1)
        return (struct http_refusal){ 400, "more than one Host header" };
    if (headers->host && !http_host_allowed(conn, headers->host)) {
        server->stats.refused_hosts++;
        return (struct http_refusal){ 403,
            "the Host header names another server: use localhost, the address that this one is "
            "bound to, or a host name that its configuration allows" };
    }
    if (headers->origins > 1 ||
        (headers->origin && !http_origin_allowed(server, headers->origin, headers->host))) {
        server->stats.refused_origins++;
        return (struct http_refusal){ 403,
            "the Origin header names another site: requests from its pages are not allowed" };
    }
    conn->method = http_method(method);
    if (!conn->method)
        return (struct http_refusal){ 501, "this method is not known here" };
    if (!(server->options.methods & conn->method))
        return (struct http_refusal){ 405, "this method is not allowed here" };
    if (conn->problem)
        return (struct http_refusal){ 400, conn->problem };
    return (struct http_refusal){ 0, NULL };
}

static enum MHD_Result http_on_headers(struct http_conn *conn, const char *method)
{
    struct aisys_http_server *server = conn->server;
    struct http_headers headers = { 0 };
    const char *problem;

    conn->head = strcmp(method, "HEAD") == 0;
    if (!conn->params)
        return http_refuse_now(conn, 503, "out of memory");
    MHD_get_connection_values(conn->mhd, MHD_HEADER_KIND, http_on_header, &headers);
    problem = http_judge_frame(conn, &headers);
    if (problem)
        return http_refuse_now(conn, 400, problem);
    if (conn->body_announced > server->options.body_bytes_max) {
        server->stats.too_large++;
        return http_refuse_now(conn, 413, "the body is larger than this server accepts");
    }
    conn->refusal = http_judge(conn, &headers, method);
    conn->state = HTTP_BODY;
    if (conn->refusal.status && headers.expect)
        return http_refuse(conn); /* the client waits to hear whether it may send the body */
    if (conn->body_announced > 0 || headers.encoding) {
        http_conn_deadline(conn, server->options.body_timeout_ms);
        http_server_watch(conn); /* the library misses who leaves right behind his last bytes */
    }
    return MHD_YES;
}

/* --- the body --- */

static enum MHD_Result http_on_body(struct http_conn *conn, const char *data, size_t bytes)
{
    struct aisys_http_server *server = conn->server;
    const size_t limit = server->options.body_bytes_max;
    const size_t need = conn->body_bytes + bytes;

    if (need > limit) {
        server->stats.too_large++;
        return http_refuse_now(conn, 413, "the body is larger than this server accepts");
    }
    server->stats.body_bytes += bytes;
    if (conn->refusal.status) {
        conn->body_bytes = need; /* counted against the limit, not kept */
        return MHD_YES;
    }
    if (need > conn->body_capacity) {
        size_t capacity = conn->body_capacity * 2;
        char *body;

        if (capacity < BODY_MIN_BYTES)
            capacity = BODY_MIN_BYTES;
        if (conn->body_announced && capacity > conn->body_announced)
            capacity = (size_t)conn->body_announced;
        if (capacity < need)
            capacity = need;
        if (capacity > limit)
            capacity = limit;
        if (server->stats.bodies_bytes_now + (capacity - conn->body_capacity) >
                server->options.bodies_bytes_max ||
            !(body = realloc(conn->body, capacity + 1))) {
            server->stats.no_room++;
            return http_refuse_now(conn, 503, "no room for another body now: try again");
        }
        server->stats.bodies_bytes_now += capacity - conn->body_capacity;
        conn->body = body;
        conn->body_capacity = capacity;
    }
    memcpy(conn->body + conn->body_bytes, data, bytes);
    conn->body_bytes = need;
    conn->body[need] = '\0';
    return MHD_YES;
}

static enum MHD_Result http_on_complete(struct http_conn *conn)
{
    struct aisys_http_server *server = conn->server;
    struct aisys_http_request request;

    http_server_unwatch(conn);
    if (conn->refusal.status)
        return http_refuse(conn);
    request = (struct aisys_http_request){
        .id = http_conn_id(conn),
        .method = conn->method,
        .path = conn->path,
        .params = conn->params,
        .params_len = conn->params_len,
        .content_type = MHD_lookup_connection_value(conn->mhd, MHD_HEADER_KIND, "Content-Type"),
        .body = conn->body ? conn->body : "",
        .body_bytes = conn->body_bytes,
        .peer = conn->peer,
        .peer_port = conn->peer_port,
    };
    conn->state = HTTP_OPEN;
    http_conn_deadline(conn, 0);
    server->stats.requests++;
    server->options.request(server->options.arg, &request);
    if (conn->state == HTTP_CUT)
        return MHD_NO;
    if (conn->response)
        return http_queue(conn);
    http_conn_sleep(conn);
    return MHD_YES;
}

/* --- what the library calls --- */

static enum MHD_Result http_on_access(void *cls, struct MHD_Connection *mhd, const char *url,
    const char *method, const char *version, const char *data, size_t *data_bytes, void **request)
{
    struct http_conn *conn = *request;
    enum MHD_Result result;

    (void)cls;
    (void)mhd;
    (void)url;
    (void)version;
    switch (conn->state) {
    case HTTP_HEADER:
        return http_on_headers(conn, method);
    case HTTP_BODY:
        if (*data_bytes == 0)
            return http_on_complete(conn);
        result = http_on_body(conn, data, *data_bytes);
        *data_bytes = 0;
        return result;
    case HTTP_OPEN: /* woken: answered */
        return http_queue(conn);
    default: /* woken: cut */
        conn->server->quiet = true;
        return MHD_NO;
    }
}

static void *http_on_target(void *cls, const char *target, struct MHD_Connection *mhd)
{
    struct aisys_http_server *server = cls;
    struct http_conn *conn =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    const size_t target_bytes = strlen(target) + 1;
    size_t params_max = aisys_http_target_params(target);

    http_conn_end_request(conn);
    conn->request_nr = ++server->requests_nr;
    conn->problem = NULL;
    conn->refusal = (struct http_refusal){ 0, NULL };
    conn->body_announced = 0;
    conn->method = 0;
    conn->head = false;
    conn->stream_ended = false;
    if (params_max > HTTP_PARAMS_MAX)
        params_max = HTTP_PARAMS_MAX;
    conn->params = malloc(params_max * sizeof(*conn->params) + target_bytes);
    if (conn->params) {
        conn->target = (char *)(conn->params + params_max);
        memcpy(conn->target, target, target_bytes);
        conn->problem = aisys_http_target_parse(
            conn->target, &conn->path, conn->params, params_max, &conn->params_len);
    }
    if (conn->state == HTTP_CUT)
        return conn;
    conn->state = HTTP_HEADER;
    if (conn->kept) /* the first request had its time from the connecting on */
        http_conn_deadline(conn, server->options.header_timeout_ms);
    return conn;
}

static void http_on_completed(
    void *cls, struct MHD_Connection *mhd, void **request, enum MHD_RequestTerminationCode why)
{
    struct http_conn *conn = *request;

    (void)cls;
    (void)mhd;
    if (!conn)
        return;
    if (why == MHD_REQUEST_TERMINATED_COMPLETED_OK && conn->ring && conn->stream_ended)
        http_stream_release(conn); /* its owner ended it: nobody has to be told */
    http_conn_end_request(conn);
    *request = NULL;
    if (conn->state == HTTP_CUT)
        return;
    if (conn->server->closing) { /* it was answered before it could be told */
        shutdown(conn->fd, SHUT_RDWR);
        conn->state = HTTP_CUT;
        conn->deadline_ms = 0;
        return;
    }
    conn->state = HTTP_WAITING;
    conn->kept = true;
    http_conn_deadline(conn, conn->server->options.idle_timeout_ms);
}

static void http_on_connection(
    void *cls, struct MHD_Connection *mhd, void **context, enum MHD_ConnectionNotificationCode code)
{
    struct aisys_http_server *server = cls;

    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (*context)
            http_conn_release(*context);
        *context = NULL;
        return;
    }
    for (uint32_t i = 0; i < server->options.connections_max; i++) {
        struct http_conn *conn = &server->conns[i];

        if (conn->state != HTTP_ADOPTED ||
            conn->fd != MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd)
            continue;
        conn->mhd = mhd;
        conn->state = HTTP_WAITING;
        *context = conn;
        return;
    }
}

static void http_on_log(void *cls, const char *format, va_list args)
{
    struct aisys_http_server *server = cls;
    char text[256];
    size_t len;

    if (server->quiet || !server->options.log) {
        server->quiet = false;
        return;
    }
    vsnprintf(text, sizeof(text), format, args);
    for (len = strlen(text); len > 0 && isspace((unsigned char)text[len - 1]); len--)
        text[len - 1] = '\0';
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < 0x20)
            *at = ' ';
    server->options.log(server->options.arg, text);
}

/* Targets are decoded by http_parse.c, which knows what to refuse. */
static size_t http_on_unescape(void *cls, struct MHD_Connection *mhd, char *text)
{
    (void)cls;
    (void)mhd;
    return strlen(text);
}

struct MHD_Daemon *http_daemon_start(struct aisys_http_server *server)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG, 0,
        NULL, NULL, http_on_access, server, MHD_OPTION_EXTERNAL_LOGGER, http_on_log, server,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, 2 * server->options.header_bytes_max + 4096,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)server->options.connections_max + 1,
        MHD_OPTION_CONNECTION_TIMEOUT, 0u, MHD_OPTION_NOTIFY_COMPLETED, http_on_completed, server,
        MHD_OPTION_NOTIFY_CONNECTION, http_on_connection, server, MHD_OPTION_URI_LOG_CALLBACK,
        http_on_target, server, MHD_OPTION_UNESCAPE_CALLBACK, http_on_unescape, server,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
}
