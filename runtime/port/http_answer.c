#include "port/http_internal.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define ERROR_JSON_BYTES 448
#define STREAM_BLOCK     4096

void http_count_answer(struct aisys_http_server *server, unsigned status)
{
    if (status / 100 < 6)
        server->stats.answers[status / 100]++;
}

size_t http_raw(char *buf, size_t buf_bytes, unsigned status, const char *message, bool head)
{
    char json[ERROR_JSON_BYTES];
    const size_t json_bytes =
        aisys_http_error_json(json, sizeof(json), aisys_http_status_code(status), message);
    const int len = snprintf(buf, buf_bytes,
        "HTTP/1.1 %u %s\r\nConnection: close\r\nContent-Type: application/json\r\n"
        "X-Content-Type-Options: nosniff\r\nContent-Length: %zu\r\n\r\n%s",
        status, aisys_http_status_reason(status), json_bytes, head ? "" : json);

    return len < (int)buf_bytes ? (size_t)len : buf_bytes - 1;
}

/* The standard headers, then the owner's, of which Cache-Control replaces ours. */
static int http_add_headers(struct aisys_http_server *server, struct MHD_Response *response,
    const char *content_type, const struct aisys_http_pair *headers)
{
    bool cache_control = false;

    for (; headers && headers->name; headers++) {
        if (strcasecmp(headers->name, "Cache-Control") == 0)
            cache_control = true;
        if (MHD_add_response_header(response, headers->name, headers->value) != MHD_YES)
            return -EINVAL;
    }
    if (content_type && MHD_add_response_header(response, "Content-Type", content_type) != MHD_YES)
        return -EINVAL;
    if (MHD_add_response_header(response, "X-Content-Type-Options", "nosniff") != MHD_YES)
        return -ENOMEM;
    if (!cache_control &&
        MHD_add_response_header(response, "Cache-Control", server->cache_control) != MHD_YES)
        return -ENOMEM;
    return 0;
}

static int http_response_new(struct aisys_http_server *server, const char *content_type,
    const struct aisys_http_pair *headers, const void *body, size_t body_bytes,
    struct MHD_Response **ret_response)
{
    /* The library copies, and does not write through the pointer. */
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body_bytes, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
    int r;

    if (!response)
        return -ENOMEM;
    r = http_add_headers(server, response, content_type, headers);
    if (r < 0) {
        MHD_destroy_response(response);
        return r;
    }
    *ret_response = response;
    return 0;
}

struct MHD_Response *http_error_response(
    struct aisys_http_server *server, unsigned status, const char *code, const char *message)
{
    struct MHD_Response *response = NULL;
    char json[ERROR_JSON_BYTES];
    const size_t json_bytes = aisys_http_error_json(
        json, sizeof(json), code ? code : aisys_http_status_code(status), message);

    http_response_new(server, "application/json", NULL, json, json_bytes, &response);
    return response;
}

/* The connection whose request @id waits for an answer. */
static struct http_conn *http_unanswered(const struct aisys_http_server *server, uint64_t id)
{
    struct http_conn *conn = http_conn_find(server, id);

    return conn && conn->state == HTTP_OPEN && !conn->response ? conn : NULL;
}

/* Takes @response. Inside the request callback it is queued when that returns. */
static void http_answer(struct http_conn *conn, unsigned status, struct MHD_Response *response)
{
    conn->status = status;
    conn->response = response;
    http_conn_wake(conn);
}

int aisys_http_respond(struct aisys_http_server *server, uint64_t id, unsigned status,
    const char *content_type, const struct aisys_http_pair *headers, const void *body,
    size_t body_bytes)
{
    struct http_conn *conn = http_unanswered(server, id);
    struct MHD_Response *response;
    int r;

    if (!conn)
        return AISYS_HTTP_GONE;
    if (status < 200 || status > 599)
        return -EINVAL;
    r = http_response_new(server, content_type, headers, body, body_bytes, &response);
    if (r < 0)
        return r;
    server->stats.sent_bytes += conn->head ? 0 : body_bytes;
    http_answer(conn, status, response);
    return 0;
}

int aisys_http_respond_error(struct aisys_http_server *server, uint64_t id, unsigned status,
    const char *code, const char *message)
{
    struct http_conn *conn = http_unanswered(server, id);
    struct MHD_Response *response;

    if (!conn)
        return AISYS_HTTP_GONE;
    if (status < 200 || status > 599)
        return -EINVAL;
    response = http_error_response(server, status, code, message);
    if (!response)
        return -ENOMEM;
    http_answer(conn, status, response);
    return 0;
}

/* --- streams --- */

void http_stream_release(struct http_conn *conn)
{
    if (!conn->ring)
        return;
    free(conn->ring);
    conn->ring = NULL;
    conn->ring_at = 0;
    conn->ring_bytes = 0;
    conn->server->stats.streams_now--;
}

/* The library can take up to @max bytes more. */
static ssize_t http_stream_on_read(void *cls, uint64_t pos, char *buf, size_t max)
{
    struct http_conn *conn = cls;
    const size_t size = conn->server->options.stream_bytes_max;
    size_t bytes = conn->ring_bytes;

    (void)pos;
    if (!conn->ring || conn->state == HTTP_CUT)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (bytes == 0 && conn->stream_ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (bytes == 0) {
        http_conn_deadline(conn, 0);
        http_conn_sleep(conn);
        return 0;
    }
    if (bytes > max)
        bytes = max;
    if (bytes > size - conn->ring_at)
        bytes = size - conn->ring_at;
    memcpy(buf, conn->ring + conn->ring_at, bytes);
    conn->ring_at = (conn->ring_at + bytes) % size;
    conn->ring_bytes -= bytes;
    http_conn_deadline(conn, conn->server->options.send_timeout_ms);
    return (ssize_t)bytes;
}

int aisys_http_stream_open(struct aisys_http_server *server, uint64_t id, const char *content_type,
    const struct aisys_http_pair *headers)
{
    struct http_conn *conn = http_unanswered(server, id);
    const int send_buffer_bytes = (int)server->options.stream_bytes_max;
    struct MHD_Response *response;
    int r;

    if (!conn)
        return AISYS_HTTP_GONE;
    if (server->stats.streams_now >= server->options.streams_max) {
        server->stats.no_room++;
        return AISYS_HTTP_FULL;
    }
    response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, STREAM_BLOCK, http_stream_on_read, conn, NULL);
    if (!response)
        return -ENOMEM;
    r = http_add_headers(server, response, content_type, headers);
    if (r < 0)
        goto destroy;
    if (!conn->head) {
        r = -ENOMEM;
        conn->ring = malloc(server->options.stream_bytes_max);
        if (!conn->ring)
            goto destroy;
        server->stats.streams_now++;
        /* What the kernel holds for a client that does not read is old news too. */
        setsockopt(conn->fd, SOL_SOCKET, SO_SNDBUF, &send_buffer_bytes, sizeof(send_buffer_bytes));
    }
    conn->stream_ended = server->closing;
    http_answer(conn, 200, response);
    return 0;

destroy:
    MHD_destroy_response(response);
    return r;
}

int aisys_http_stream_send(
    struct aisys_http_server *server, uint64_t id, const void *chunk, size_t chunk_bytes)
{
    struct http_conn *conn = http_conn_find(server, id);
    const size_t size = server->options.stream_bytes_max;
    size_t at, first;

    if (!conn || !conn->ring || conn->stream_ended)
        return AISYS_HTTP_GONE;
    if (chunk_bytes > size - conn->ring_bytes) {
        server->stats.stream_full++;
        return AISYS_HTTP_FULL;
    }
    at = (conn->ring_at + conn->ring_bytes) % size;
    first = chunk_bytes < size - at ? chunk_bytes : size - at;
    memcpy(conn->ring + at, chunk, first);
    memcpy(conn->ring, (const char *)chunk + first, chunk_bytes - first);
    conn->ring_bytes += chunk_bytes;
    server->stats.sent_bytes += chunk_bytes;
    if (conn->deadline_ms == 0 && chunk_bytes > 0)
        http_conn_deadline(conn, server->options.send_timeout_ms);
    http_conn_wake(conn);
    return 0;
}

int aisys_http_stream_close(struct aisys_http_server *server, uint64_t id)
{
    struct http_conn *conn = http_conn_find(server, id);

    if (!conn || !conn->ring || conn->stream_ended)
        return AISYS_HTTP_GONE;
    conn->stream_ended = true;
    http_conn_wake(conn);
    return 0;
}

const char *aisys_http_param(const struct aisys_http_server *server, uint64_t id, const char *name)
{
    const struct http_conn *conn = http_conn_find(server, id);

    for (size_t i = 0; conn && i < conn->params_len; i++)
        if (strcmp(conn->params[i].name, name) == 0)
            return conn->params[i].value;
    return NULL;
}

const char *aisys_http_header(const struct aisys_http_server *server, uint64_t id, const char *name)
{
    const struct http_conn *conn = http_conn_find(server, id);

    return conn ? MHD_lookup_connection_value(conn->mhd, MHD_HEADER_KIND, name) : NULL;
}
