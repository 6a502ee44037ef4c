/* The HTTP server with real sockets: server and clients share one loop and one thread. A test
 * turns the loop until what it waits for has happened; the clients read and write between turns. */
#include "port/http_port.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cmocka.h>
#include <uv.h>

#define CLIENTS      64
#define GIVE_UP_NS   (UINT64_C(10) * 1000000000)
#define CLIENT_BYTES (1u << 20)
#define TIMEOUT_MS   60 /* of the servers whose time-outs are tested */
#define HOST         "Host: localhost\r\n"

struct client {
    int fd; /* -1: free */
    char *in;
    size_t in_bytes;
    bool eof;
    bool deaf; /* does not read */
};

struct stage {
    uv_loop_t loop;
    struct aisys_http_server *server;
    struct client clients[CLIENTS];
    unsigned requests;
    unsigned gones;
    unsigned closes;
    unsigned logs;
    uint64_t gone_id;
    uint64_t later_id; /* the last request to /later or /stream */
    char path[256];
    char body[256];
    size_t body_bytes;
    char seen[256]; /* query parameter x, content type, peer */
};

static void stage_on_request(void *arg, const struct aisys_http_request *request)
{
    struct stage *stage = arg;
    const char *x = aisys_http_param(stage->server, request->id, "x");

    stage->requests++;
    snprintf(stage->path, sizeof(stage->path), "%s", request->path);
    snprintf(stage->body, sizeof(stage->body), "%s", request->body);
    stage->body_bytes = request->body_bytes;
    snprintf(stage->seen, sizeof(stage->seen), "%s|%s|%s|%s", x ? x : "-",
        request->content_type ? request->content_type : "-", request->peer,
        aisys_http_header(stage->server, request->id, "x-MARK")
            ? aisys_http_header(stage->server, request->id, "x-MARK")
            : "-");
    if (strcmp(request->path, "/ok") == 0) {
        assert_int_equal(
            aisys_http_respond(stage->server, request->id, 200, "text/plain", NULL, "ok\n", 3), 0);
        assert_int_equal(
            aisys_http_respond(stage->server, request->id, 200, "text/plain", NULL, "ok\n", 3),
            AISYS_HTTP_GONE);
    } else if (strcmp(request->path, "/echo") == 0) {
        aisys_http_respond(stage->server, request->id, 200, "application/octet-stream", NULL,
            request->body, request->body_bytes);
    } else if (strcmp(request->path, "/later") == 0 || strcmp(request->path, "/stream") == 0) {
        stage->later_id = request->id;
        if (request->path[1] == 's')
            assert_int_equal(
                aisys_http_stream_open(stage->server, request->id, "text/event-stream", NULL), 0);
    } else {
        aisys_http_respond_error(stage->server, request->id, 404, NULL, "no such \"path\"");
    }
}

static void stage_on_gone(void *arg, uint64_t id)
{
    struct stage *stage = arg;

    stage->gones++;
    stage->gone_id = id;
    assert_int_equal(
        aisys_http_respond(stage->server, id, 200, NULL, NULL, "", 0), AISYS_HTTP_GONE);
}

static void stage_on_log(void *arg, const char *text)
{
    struct stage *stage = arg;

    assert_null(strchr(text, '\n'));
    stage->logs++;
}

static void stage_on_closed(void *arg)
{
    struct stage *stage = arg;

    stage->closes++;
    stage->server = NULL;
}

static struct aisys_http_options stage_options(struct stage *stage)
{
    return (struct aisys_http_options){
        .request = stage_on_request,
        .gone = stage_on_gone,
        .log = stage_on_log,
        .arg = stage,
    };
}

static void stage_open(struct stage *stage, struct aisys_http_options options)
{
    assert_int_equal(aisys_http_open(&stage->loop, &options, &stage->server), 0);
}

/* One turn: the loop, then every client. */
static void stage_turn(struct stage *stage)
{
    uv_run(&stage->loop, UV_RUN_NOWAIT);
    for (int i = 0; i < CLIENTS; i++) {
        struct client *client = &stage->clients[i];

        while (client->fd >= 0 && !client->eof && !client->deaf) {
            const ssize_t bytes = recv(client->fd, client->in + client->in_bytes,
                CLIENT_BYTES - 1 - client->in_bytes, MSG_DONTWAIT);

            if (bytes < 0 && errno == EAGAIN)
                break;
            if (bytes <= 0) {
                client->eof = true;
                break;
            }
            client->in_bytes += (size_t)bytes;
            client->in[client->in_bytes] = '\0';
        }
    }
}

#define TURN_UNTIL(stage, condition)                                                               \
    do {                                                                                           \
        const uint64_t from_ns_ = uv_hrtime();                                                     \
        while (!(condition)) {                                                                     \
            stage_turn(stage);                                                                     \
            if (uv_hrtime() - from_ns_ > GIVE_UP_NS)                                               \
                fail_msg("gave up waiting for: %s", #condition);                                   \
        }                                                                                          \
    } while (0)

static int setup(void **state)
{
    struct stage *stage = calloc(1, sizeof(*stage));

    uv_loop_init(&stage->loop);
    for (int i = 0; i < CLIENTS; i++)
        stage->clients[i].fd = -1;
    *state = stage;
    return 0;
}

static void client_close(struct client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    free(client->in);
    client->in = NULL;
}

static int teardown(void **state)
{
    struct stage *stage = *state;

    for (int i = 0; i < CLIENTS; i++)
        client_close(&stage->clients[i]);
    if (stage->server) {
        aisys_http_close(stage->server, 0, stage_on_closed, stage);
        TURN_UNTIL(stage, stage->closes == 1);
    }
    uv_run(&stage->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&stage->loop), 0);
    free(stage);
    return 0;
}

static struct client *client_open(struct stage *stage)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
        .sin_port = htons(aisys_http_port(stage->server)) };

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < CLIENTS; i++) {
        struct client *client = &stage->clients[i];

        if (client->fd >= 0)
            continue;
        *client = (struct client){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
        assert_true(client->fd >= 0);
        /* The kernel completes it without the server's accept(). */
        assert_int_equal(connect(client->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
        client->in = malloc(CLIENT_BYTES);
        client->in[0] = '\0';
        return client;
    }
    fail_msg("too many clients");
    return NULL;
}

/* Send all of it, or as much as the server lets. */
static void client_send(struct stage *stage, struct client *client, const char *text, size_t bytes)
{
    const uint64_t from_ns = uv_hrtime();

    while (bytes > 0) {
        const ssize_t sent = send(client->fd, text, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent < 0 && errno != EAGAIN)
            return; /* cut by the server */
        if (sent > 0) {
            text += sent;
            bytes -= (size_t)sent;
        }
        stage_turn(stage);
        assert_true(uv_hrtime() - from_ns < GIVE_UP_NS);
    }
}

static void client_say(struct stage *stage, struct client *client, const char *text)
{
    client_send(stage, client, text, strlen(text));
}

/* Whether a whole answer has arrived: its status and length of header and body. */
static bool client_answer(const struct client *client, bool head, unsigned *ret_status,
    size_t *ret_header_bytes, size_t *ret_body_bytes)
{
    const char *end = strstr(client->in, "\r\n\r\n");
    const char *length;

    if (!end || sscanf(client->in, "HTTP/1.1 %u ", ret_status) != 1)
        return false;
    *ret_header_bytes = (size_t)(end - client->in) + 4;
    length = strcasestr(client->in, "\r\nContent-Length: ");
    *ret_body_bytes = length && length < end && !head
                          ? strtoul(length + strlen("\r\nContent-Length: "), NULL, 10)
                          : 0;
    return client->in_bytes >= *ret_header_bytes + *ret_body_bytes;
}

/* Wait for one whole answer, check it, take it from the buffer. */
static void client_expect_as(struct stage *stage, struct client *client, bool head, unsigned status,
    const char *words, const char *file, int line)
{
    unsigned got = 0;
    size_t header_bytes = 0, body_bytes = 0;
    bool found;

    TURN_UNTIL(stage, client_answer(client, head, &got, &header_bytes, &body_bytes) || client->eof);
    if (!client_answer(client, head, &got, &header_bytes, &body_bytes))
        fail_msg("%s:%d: no answer but \"%s\"", file, line, client->in);
    found = words[0] == '\0' || memmem(client->in, header_bytes + body_bytes, words, strlen(words));
    if (got != status || !found)
        fail_msg("%s:%d: not %u \"%s\": %s", file, line, status, words, client->in);
    if (status >= 400 && !head)
        assert_non_null(strstr(client->in, "{\"error\":{\"code\":\""));
    client->in_bytes -= header_bytes + body_bytes;
    memmove(client->in, client->in + header_bytes + body_bytes, client->in_bytes + 1);
}

#define EXPECT(stage, client, status, words)                                                       \
    client_expect_as(stage, client, false, status, words, __FILE__, __LINE__)

static struct aisys_http_stats stage_stats(const struct stage *stage)
{
    struct aisys_http_stats stats;

    aisys_http_stats(stage->server, &stats);
    return stats;
}

/* --- */

static void test_get(void **state)
{
    struct stage *stage = *state;
    struct client *client;

    stage_open(stage, stage_options(stage));
    client = client_open(stage);
    client_say(stage, client, "GET /ok HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(stage, client, 200, "\r\n\r\nok\n");
    client_say(stage, client, "GET /ok HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(stage, client, 200, "X-Content-Type-Options: nosniff\r\n");
    client_say(stage, client, "GET /ok HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(stage, client, 200, "Cache-Control: no-store\r\n");
    client_say(stage, client, "GET /none HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(stage, client, 404,
        "{\"error\":{\"code\":\"NOT_FOUND\",\"message\":\"no such \\\"path\\\"\",\"details\":[]}}");
    client_say(stage, client,
        "GET //a%20b/./%c3%bc/?x=1%2B1+2&y&x=3 HTTP/1.1\r\n" HOST "X-Mark: m\r\n\r\n");
    EXPECT(stage, client, 404, "");
    assert_string_equal(stage->path, "/a b/\xc3\xbc/");
    assert_string_equal(stage->seen, "1+1 2|-|127.0.0.1|m");
    assert_false(client->eof);
    assert_int_equal(stage_stats(stage).connections, 1);
    assert_int_equal(stage_stats(stage).requests, 5);
    assert_int_equal(stage_stats(stage).answers[2], 3);
    assert_int_equal(stage_stats(stage).answers[4], 2);
}

static void test_head(void **state)
{
    struct stage *stage = *state;
    struct client *client;

    stage_open(stage, stage_options(stage));
    client = client_open(stage);
    client_say(stage, client, "HEAD /ok HTTP/1.1\r\n" HOST "\r\nGET /ok HTTP/1.1\r\n" HOST "\r\n");
    client_expect_as(stage, client, true, 200, "Content-Length: 3\r\n", __FILE__, __LINE__);
    EXPECT(stage, client, 200, "\r\n\r\nok\n");
    client_say(stage, client, "HEAD /stream HTTP/1.1\r\n" HOST "\r\n");
    client_expect_as(stage, client, true, 200, "text/event-stream", __FILE__, __LINE__);
    assert_int_equal(
        aisys_http_stream_send(stage->server, stage->later_id, "x", 1), AISYS_HTTP_GONE);
    assert_int_equal(stage->gones, 0);
}

static void test_pipelined(void **state)
{
    struct stage *stage = *state;
    struct client *client;

    stage_open(stage, stage_options(stage));
    client = client_open(stage);
    for (int i = 0; i < 20; i++)
        client_say(stage, client,
            "GET /ok HTTP/1.1\r\n" HOST "\r\n"
            "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"
            "GET /later HTTP/1.1\r\n" HOST "\r\n");
    for (int i = 0; i < 20; i++) {
        EXPECT(stage, client, 200, "ok\n");
        EXPECT(stage, client, 200, "hello");
        TURN_UNTIL(stage, stage->later_id != 0);
        assert_int_equal(
            aisys_http_respond(stage->server, stage->later_id, 201, NULL, NULL, "late", 4), 0);
        stage->later_id = 0;
        EXPECT(stage, client, 201, "late");
    }
    assert_int_equal(stage->requests, 60);
    client_say(stage, client, "GET /ok HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    EXPECT(stage, client, 200, "ok\n");
    TURN_UNTIL(stage, client->eof);
}

static void test_bodies(void **state)
{
    struct stage *stage = *state;
    struct client *client;

    stage_open(stage, stage_options(stage));
    client = client_open(stage);
    client_say(stage, client,
        "POST /none HTTP/1.1\r\n" HOST "Content-Type: application/x-www-form-urlencoded\r\n"
        "Content-Length: 13\r\n\r\n{\"a\":\"b&c=d\"}");
    EXPECT(stage, client, 404, "");
    assert_string_equal(stage->body, "{\"a\":\"b&c=d\"}"); /* not parsed as a form */
    assert_string_equal(stage->seen, "-|application/x-www-form-urlencoded|127.0.0.1|-");

    client_say(stage, client,
        "POST /none HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n10;ext=1\r\n0123456789abcdef\r\n0\r\nTrailer: x\r\n\r\n");
    EXPECT(stage, client, 404, "");
    assert_string_equal(stage->body, "abc0123456789abcdef");

    client_say(stage, client, "POST /none HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n");
    EXPECT(stage, client, 404, "");
    assert_int_equal(stage->body_bytes, 0);

    client_say(stage, client,
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    TURN_UNTIL(stage, strcmp(client->in, "HTTP/1.1 100 Continue\r\n\r\n") == 0);
    client->in_bytes = 0;
    client_say(stage, client, "body");
    EXPECT(stage, client, 200, "\r\n\r\nbody");
    assert_int_equal(stage_stats(stage).bodies_bytes_now, 0);
    assert_int_equal(stage_stats(stage).body_bytes, 13 + 19 + 4);
}

static void test_large_body(void **state)
{
    enum { BYTES = 700000 };
    struct stage *stage = *state;
    struct client *client;
    char *body = malloc(BYTES);
    char header[128];

    for (size_t i = 0; i < BYTES; i++)
        body[i] = (char)('a' + i % 23);
    stage_open(stage, stage_options(stage));
    client = client_open(stage);
    snprintf(
        header, sizeof(header), "POST /echo HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n", BYTES);
    client_say(stage, client, header);
    client_send(stage, client, body, BYTES);
    TURN_UNTIL(stage, client->in_bytes > BYTES);
    assert_memory_equal(strstr(client->in, "\r\n\r\n") + 4, body, BYTES);
    free(body);
}

static void test_body_too_large(void **state)
{
    struct stage *stage = *state;
    struct aisys_http_options options = stage_options(stage);
    struct client *client;
    char *flood = calloc(1, 200000);

    options.body_bytes_max = 1000;
    stage_open(stage, options);

    /* announced: refused before anything is sent or allocated */
    client = client_open(stage);
    client_say(stage, client, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n\r\n");
    EXPECT(stage, client, 413, "\"RESOURCE_EXHAUSTED\"");
    TURN_UNTIL(stage, client->eof);

    /* and the client that sends it all the same still gets to read why */
    client = client_open(stage);
    client_say(stage, client, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 60000\r\n\r\n");
    client_send(stage, client, flood, 60000);
    EXPECT(stage, client, 413, "\"RESOURCE_EXHAUSTED\"");

    client = client_open(stage);
    client_say(stage, client,
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999999\r\n\r\n");
    TURN_UNTIL(stage, client->eof);
    assert_non_null(strstr(client->in, "HTTP/1.1 4"));

    /* chunked: at the byte that passes the limit */
    client = client_open(stage);
    client_say(stage, client,
        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n30d40\r\n");
    client_send(stage, client, flood, 1000);
    assert_int_equal(client->in_bytes, 0);
    client_send(stage, client, flood, 60000);
    EXPECT(stage, client, 413, "\"RESOURCE_EXHAUSTED\"");

    assert_int_equal(stage->requests, 0);
    assert_int_equal(stage_stats(stage).bodies_bytes_now, 0);
    assert_int_equal(stage_stats(stage).too_large, 3);

    /* exactly the limit is served */
    client = client_open(stage);
    client_say(stage, client, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\n");
    memset(flood, 'z', 1000);
    client_send(stage, client, flood, 1000);
    EXPECT(stage, client, 200, "zzzz");
    free(flood);
}

static void test_bodies_together(void **state)
{
    struct stage *stage = *state;
    struct aisys_http_options options = stage_options(stage);
    struct client *first, *second;
    char body[6000];

    memset(body, 'b', sizeof(body));
    options.body_bytes_max = 6000;
    options.bodies_bytes_max = 10000;
    stage_open(stage, options);
    first = client_open(stage);
    client_say(stage, first, "POST /later HTTP/1.1\r\n" HOST "Content-Length: 6000\r\n\r\n");
    client_send(stage, first, body, 6000);
    TURN_UNTIL(stage, stage->later_id != 0);
    assert_int_equal(stage_stats(stage).bodies_bytes_now, 6000);

    second = client_open(stage);
    client_say(stage, second, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 6000\r\n\r\n");
    client_send(stage, second, body, 6000);
    EXPECT(stage, second, 503, "no room");
    assert_int_equal(stage_stats(stage).no_room, 1);

    aisys_http_respond(stage->server, stage->later_id, 200, NULL, NULL, "done", 4);
    EXPECT(stage, first, 200, "done");
    TURN_UNTIL(stage, stage_stats(stage).bodies_bytes_now == 0);
    second = client_open(stage);
    client_say(stage, second, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 6000\r\n\r\n");
    client_send(stage, second, body, 6000);
    EXPECT(stage, second, 200, "bbbb");
}

/* Each is refused as it says, and the server answers the next client. */
static void test_refused_requests(void **state)
{
    static const struct {
        const char *request;
        unsigned status; /* 0: the library's own answer, or none; the connection ends */
        const char *words;
    } rows[] = {
        { "GET /%zz HTTP/1.1\r\n" HOST "\r\n", 400, "hexadecimal" },
        { "GET /a% HTTP/1.1\r\n" HOST "\r\n", 400, "hexadecimal" },
        { "GET /a%4 HTTP/1.1\r\n" HOST "\r\n", 400, "hexadecimal" },
        { "GET /a%00b HTTP/1.1\r\n" HOST "\r\n", 400, "NUL" },
        { "GET /a?b=%00 HTTP/1.1\r\n" HOST "\r\n", 400, "NUL" },
        { "GET /a%2fb HTTP/1.1\r\n" HOST "\r\n", 400, "slash" },
        { "GET /a/../b HTTP/1.1\r\n" HOST "\r\n", 400, "\\\"..\\\"" },
        { "GET /a/%2e%2E HTTP/1.1\r\n" HOST "\r\n", 400, "\\\"..\\\"" },
        { "GET /%0a HTTP/1.1\r\n" HOST "\r\n", 400, "control" },
        { "GET /%ff HTTP/1.1\r\n" HOST "\r\n", 400, "UTF-8" },
        { "GET /?x=%c0%af HTTP/1.1\r\n" HOST "\r\n", 400, "UTF-8" },
        { "GET ok HTTP/1.1\r\n" HOST "\r\n", 400, "start with a slash" },
        { "GET http://localhost/ok HTTP/1.1\r\n" HOST "\r\n", 400, "start with a slash" },
        { "GET /ok HTTP/1.1\r\nHost: evil\r\n\r\n", 403, "Host header" },
        { "GET /ok HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 403, "Host header" },
        { "GET /ok HTTP/1.1\r\nHost: localhost:x\r\n\r\n", 403, "Host header" },
        { "GET /ok HTTP/1.1\r\nHost: \r\n\r\n", 403, "Host header" },
        { "GET /ok HTTP/1.1\r\n" HOST "Host: evil\r\n\r\n", 400, "more than one Host" },
        { "GET /ok HTTP/1.1\r\n" HOST "Origin: http://evil\r\n\r\n", 403, "Origin" },
        { "GET /ok HTTP/1.1\r\n" HOST "Origin: null\r\n\r\n", 403, "Origin" },
        { "GET /ok HTTP/1.1\r\n" HOST "Origin: http://localhost:3000\r\n\r\n", 403, "Origin" },
        { "POST /ok HTTP/1.1\r\nHost: evil\r\nContent-Length: 3\r\n\r\nabc", 403, "Host" },
        { "POST /ok HTTP/1.1\r\nHost: evil\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
            403, "Host" },
        { "PUT /ok HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", 405,
            "Allow: GET, HEAD, POST\r\n" },
        { "BREW /ok HTTP/1.1\r\n" HOST "\r\n", 501, "not known" },
        { "get /ok HTTP/1.1\r\n" HOST "\r\n", 501, "not known" },
        { "POST /ok HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400,
            "more than one" },
        { "POST /ok HTTP/1.1\r\n" HOST
          "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400, "both" },
        { "POST /ok HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\nabc", 400, "chunked" },
        { "POST /ok HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", 0, "" },
        { "POST /ok HTTP/1.1\r\n" HOST "Content-Length: 3x\r\n\r\nabc", 0, "" },
        { "POST /ok HTTP/1.1\r\n" HOST "Content-Length: +3\r\n\r\nabc", 0, "" },
        { "POST /ok HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 0, "" },
        { "POST /ok HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\n",
            0, "" },
        { "GET /ok HTTP/1.1\r\n\r\n", 0, "" }, /* no Host */
        { "GET /ok HTTP/9.9\r\n" HOST "\r\n", 0, "" },
        { "GET /ok FTP/1.1\r\n" HOST "\r\n", 0, "" },
        { "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls\r\n\r\n", 0, "" },
        { "\xff\xfe\xfd\r\n\r\n\r\n", 0, "" },
        { "GET /ok HTTP/1.1\r\nbroken header line\r\n\r\n", 0, "" },
    };
    struct stage *stage = *state;
    struct aisys_http_options options = stage_options(stage);

    options.header_timeout_ms = 500; /* for what is still no request after all of the row */
    options.body_timeout_ms = 500;
    stage_open(stage, options);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct client *client = client_open(stage);
        const unsigned requests = stage->requests;

        client_say(stage, client, rows[i].request);
        if (rows[i].status) {
            client_expect_as(
                stage, client, false, rows[i].status, rows[i].words, rows[i].request, (int)i);
            assert_int_equal(stage->requests, requests);
        } else {
            TURN_UNTIL(stage, client->eof);
        }
        client_close(client);
        client = client_open(stage);
        client_say(stage, client, "GET /ok HTTP/1.1\r\n" HOST "\r\n");
        EXPECT(stage, client, 200, "ok\n");
        client_close(client);
    }
    assert_int_equal(stage_stats(stage).bodies_bytes_now, 0);
    assert_true(stage_stats(stage).refused_hosts >= 5);
    assert_int_equal(stage_stats(stage).refused_origins, 3);
    TURN_UNTIL(stage, stage_stats(stage).connections_now == 0);
}

static void test_allowed_hosts_and_origins(void **state)
{
    static const char *const hosts[] = { "pc2.example", NULL };
    static const char *const origins[] = { "https://panel.example", NULL };
    static const char *const rows[] = {
        "Host: localhost\r\n",
        "Host: LOCALHOST:8080\r\n",
        "Host: 127.0.0.1:1\r\n",
        "Host: [::1]:8080\r\n",
        "Host: [::1]\r\n",
        "Host: pc2.example\r\n",
        "Host: PC2.example:80\r\n",
        "Host: pc2.example\r\nOrigin: https://panel.example\r\n",
        "Host: localhost:8080\r\nOrigin: http://localhost:8080\r\n",
    };
    struct stage *stage = *state;
    struct aisys_http_options options = stage_options(stage);
    struct client *client;

    options.hosts = hosts;
    options.origins = origins;
    stage_open(stage, options);
    client = client_open(stage);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char request[256];

        snprintf(request, sizeof(request), "GET /ok HTTP/1.1\r\n%s\r\n", rows[i]);
        client_say(stage, client, request);
        EXPECT(stage, client, 200, "ok\n");
    }
    client_say(stage, client, "GET /ok HTTP/1.0\r\n\r\n"); /* no browser sends no Host */
    EXPECT(stage, client, 200, "ok\n");
}

static void test_large_header(void **state)
{
    struct stage *stage = *state;
    struct aisys_http_options options = stage_options(stage);
    struct client *client;
    char *request = malloc(200000);

    options.header_bytes_max = 4096;
    stage_open(stage, options);
    client = client_open(stage);
    strcpy(request, "GET /ok HTTP/1.1\r\n" HOST "X-Large: ");
    memset(request + strlen(request), 'x', 190000);
    strcpy(request + 6000, "\r\n\r\n");
    client_say(stage, client, request);
    EXPECT(stage, client, 431, "too large");

    memset(request + 6000, 'x', 10);
    strcpy(request + 190000, "\r\n\r\n");
    client = client_open(stage); /* far above: the library's own words */
    client_say(stage, client, request);
    TURN_UNTIL(stage, client->eof);
    assert_int_equal(stage->requests, 0);

    strcpy(request, "GET /ok?");
    for (int i = 0; i < 100; i++)
        strcat(request, "a&");
    strcat(request, " HTTP/1.1\r\n" HOST "\r\n");
    client = client_open(stage);
    client_say(stage, client, request);
    EXPECT(stage, client, 400, "too many parameters");
    free(request);
}

static void test_slow_clients(void **state)
{
    static const struct {
        const char *start;
        const char *trickle; /* sent again and again */
    } rows[] = {
        { "", "" },
        { "GET /o", "" },
        { "GET /ok HTTP/1.1\r\nHost: localhost\r\n", "" },
        { "GET /ok HTTP/1.1\r\nHost: localhost\r\n", "X-A: 1\r\n" },
        { "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n", "" },
        { "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n", "x" },
        { "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n" },
    };
    struct stage *stage = *state;
    struct aisys_http_options options = stage_options(stage);

    options.header_timeout_ms = TIMEOUT_MS;
    options.body_timeout_ms = TIMEOUT_MS;
    options.header_bytes_max = 1 << 20;
    stage_open(stage, options);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct client *client = client_open(stage);
        uint64_t at_ns = 0;

        client_say(stage, client, rows[i].start);
        while (!client->eof) {
            stage_turn(stage);
            if (rows[i].trickle[0] && uv_hrtime() - at_ns > 2000000) {
                at_ns = uv_hrtime();
                send(client->fd, rows[i].trickle, strlen(rows[i].trickle), MSG_NOSIGNAL);
            }
        }
        if (!rows[i].trickle[0]) /* one that goes on sending may lose the words to a reset */
            assert_non_null(strstr(client->in, "HTTP/1.1 408 "));
        client_close(client);
    }
    assert_int_equal(stage->requests, 0);
    assert_int_equal(stage_stats(stage).timeouts, sizeof(rows) / sizeof(rows[0]));
    TURN_UNTIL(stage, stage_stats(stage).connections_now == 0);
    assert_int_equal(stage_stats(stage).bodies_bytes_now, 0);
}

static void test_idle_connection(void **state)
{
    struct stage *stage = *state;
    struct aisys_http_options options = stage_options(stage);
    struct client *client;

    options.idle_timeout_ms = TIMEOUT_MS;
    stage_open(stage, options);
    client = client_open(stage);
    client_say(stage, client, "GET /ok HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(stage, client, 200, "ok\n");
    TURN_UNTIL(stage, client->eof);
    assert_int_equal(client->in_bytes, 0);
    assert_int_equal(stage_stats(stage).timeouts, 0);
}

static void test_client_that_does_not_read(void **state)
{
    enum { BYTES = 16 << 20 };
    struct stage *stage = *state;
    struct aisys_http_options options = stage_options(stage);
    struct client *client;
    char *body = calloc(1, BYTES);

    options.send_timeout_ms = TIMEOUT_MS;
    stage_open(stage, options);
    client = client_open(stage);
    client->deaf = true;
    client_say(stage, client, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    TURN_UNTIL(stage, stage->later_id != 0);
    aisys_http_respond(stage->server, stage->later_id, 200, NULL, NULL, body, BYTES);
    TURN_UNTIL(stage, stage_stats(stage).timeouts == 1);
    TURN_UNTIL(stage, stage_stats(stage).connections_now == 0);
    assert_int_equal(stage->gones, 0); /* it was answered */
    free(body);
}

static void test_late_answer(void **state)
{
    struct stage *stage = *state;
    const struct aisys_http_pair headers[] = { { "Cache-Control", "max-age=60" }, { "X-A", "b" },
        { NULL, NULL } };
    const struct aisys_http_pair broken[] = { { "X-A", "b\r\nX-B: c" }, { NULL, NULL } };
    struct client *client;
    uint64_t id;

    stage_open(stage, stage_options(stage));
    client = client_open(stage);
    client_say(stage, client, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    TURN_UNTIL(stage, stage->later_id != 0);
    id = stage->later_id;
    assert_int_equal(aisys_http_respond(stage->server, id, 200, NULL, broken, "x", 1), -EINVAL);
    assert_int_equal(aisys_http_respond(stage->server, id, 99, NULL, NULL, "x", 1), -EINVAL);
    assert_int_equal(
        aisys_http_respond(stage->server, id + 1, 200, NULL, NULL, "x", 1), AISYS_HTTP_GONE);
    assert_int_equal(
        aisys_http_respond(stage->server, UINT64_MAX, 200, NULL, NULL, "x", 1), AISYS_HTTP_GONE);
    assert_int_equal(aisys_http_respond(stage->server, id, 200, "text/plain", headers, "x", 1), 0);
    assert_int_equal(
        aisys_http_respond(stage->server, id, 200, NULL, NULL, "x", 1), AISYS_HTTP_GONE);
    EXPECT(stage, client, 200, "Cache-Control: max-age=60\r\n");
    assert_int_equal(
        aisys_http_respond(stage->server, id, 200, NULL, NULL, "x", 1), AISYS_HTTP_GONE);
    assert_null(aisys_http_header(stage->server, id, "Host"));
    client_say(stage, client, "GET /ok HTTP/1.1\r\n" HOST "\r\n"); /* the connection goes on */
    EXPECT(stage, client, 200, "ok\n");
}

static void test_client_gone(void **state)
{
    struct stage *stage = *state;
    struct client *client;

    stage_open(stage, stage_options(stage));
    client = client_open(stage);
    client_say(stage, client, "POST /later HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc");
    TURN_UNTIL(stage, stage->later_id != 0);
    client_close(client);
    TURN_UNTIL(stage, stage->gones == 1);
    assert_int_equal(stage->gone_id, stage->later_id);
    TURN_UNTIL(stage, stage_stats(stage).connections_now == 0);
    assert_int_equal(stage_stats(stage).bodies_bytes_now, 0);

    client = client_open(stage); /* half a body, then gone: the owner never heard of it */
    client_say(stage, client, "POST /later HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nabc");
    TURN_UNTIL(stage, stage_stats(stage).bodies_bytes_now > 0);
    client_close(client);
    TURN_UNTIL(stage, stage_stats(stage).connections_now == 0);
    assert_int_equal(stage_stats(stage).bodies_bytes_now, 0);
    assert_int_equal(stage->gones, 1);
    assert_int_equal(stage->requests, 1);
}

static void test_too_many_connections(void **state)
{
    struct stage *stage = *state;
    struct aisys_http_options options = stage_options(stage);
    struct client *clients[8], *extra;

    options.connections_max = 8;
    stage_open(stage, options);
    for (int i = 0; i < 8; i++)
        clients[i] = client_open(stage);
    TURN_UNTIL(stage, stage_stats(stage).connections_now == 8);
    for (int i = 0; i < 20; i++) {
        extra = client_open(stage);
        client_say(stage, extra, "GET /ok HTTP/1.1\r\n" HOST "\r\n");
        EXPECT(stage, extra, 503, "too many connections");
        client_close(extra);
    }
    assert_int_equal(stage_stats(stage).refused_connections, 20);
    client_say(stage, clients[7], "GET /ok HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(stage, clients[7], 200, "ok\n");
    client_close(clients[0]);
    TURN_UNTIL(stage, stage_stats(stage).connections_now == 7);
    extra = client_open(stage);
    client_say(stage, extra, "GET /ok HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(stage, extra, 200, "ok\n");
}

static void test_too_many_of_one_peer(void **state)
{
    struct stage *stage = *state;
    struct aisys_http_options options = stage_options(stage);
    struct client *client;

    options.connections_per_peer_max = 2;
    stage_open(stage, options);
    client_open(stage);
    client_open(stage);
    client = client_open(stage);
    EXPECT(stage, client, 429, "this address");
    assert_int_equal(stage_stats(stage).refused_peers, 1);
}

static void test_no_descriptors_left(void **state)
{
    struct stage *stage = *state;
    struct client *first, *second;
    struct rlimit limit, low;

    stage_open(stage, stage_options(stage));
    first = client_open(stage);
    client_say(stage, first, "GET /ok HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(stage, first, 200, "ok\n");
    second = client_open(stage); /* it has the highest descriptor there is */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = (rlim_t)second->fd;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    client_say(stage, second, "GET /ok HTTP/1.1\r\n" HOST "\r\n");
    client_say(stage, first, "GET /ok HTTP/1.1\r\n" HOST "\r\n"); /* others are served */
    EXPECT(stage, first, 200, "ok\n");
    assert_int_equal(stage_stats(stage).connections, 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    EXPECT(stage, second, 200, "ok\n"); /* and it, when there are descriptors again */
}

static void test_open_errors(void **state)
{
    struct stage *stage = *state;
    struct aisys_http_options options = stage_options(stage);
    struct aisys_http_server *second = NULL;

    stage_open(stage, options);
    assert_true(aisys_http_port(stage->server) > 0);
    options.port = aisys_http_port(stage->server);
    assert_int_equal(aisys_http_open(&stage->loop, &options, &second), -EADDRINUSE);
    options.port = 0;
    options.address = "localhost";
    assert_int_equal(aisys_http_open(&stage->loop, &options, &second), -EINVAL);
    options.address = "192.0.2.1";
    assert_int_equal(aisys_http_open(&stage->loop, &options, &second), -EADDRNOTAVAIL);
    options.address = NULL;
    options.request = NULL;
    assert_int_equal(aisys_http_open(&stage->loop, &options, &second), -EINVAL);
    assert_null(second);
    aisys_http_close(NULL, 0, NULL, NULL);
}

static void test_stream(void **state)
{
    struct stage *stage = *state;
    struct client *client;
    uint64_t id;

    stage_open(stage, stage_options(stage));
    client = client_open(stage);
    client_say(stage, client, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
    TURN_UNTIL(stage, strstr(client->in, "\r\n\r\n"));
    assert_non_null(strstr(client->in, "text/event-stream"));
    assert_non_null(strstr(client->in, "Transfer-Encoding: chunked"));
    id = stage->later_id;
    assert_int_equal(
        aisys_http_respond(stage->server, id, 200, NULL, NULL, "", 0), AISYS_HTTP_GONE);
    assert_int_equal(aisys_http_stream_send(stage->server, id, "data: 1\n\n", 9), 0);
    TURN_UNTIL(stage, strstr(client->in, "data: 1\n\n"));
    assert_int_equal(aisys_http_stream_send(stage->server, id, "data: 2\n\n", 9), 0);
    TURN_UNTIL(stage, strstr(client->in, "data: 2\n\n"));
    assert_int_equal(aisys_http_stream_send(stage->server, id, "data: 3\n\n", 9), 0);
    assert_int_equal(aisys_http_stream_close(stage->server, id), 0);
    assert_int_equal(aisys_http_stream_send(stage->server, id, "x", 1), AISYS_HTTP_GONE);
    TURN_UNTIL(stage, strstr(client->in, "\r\n0\r\n\r\n"));
    assert_non_null(strstr(client->in, "data: 3\n\n"));
    TURN_UNTIL(stage, stage_stats(stage).streams_now == 0);
    assert_int_equal(stage->gones, 0);

    client->in_bytes = 0; /* the connection is kept */
    client->in[0] = '\0';
    client_say(stage, client, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
    TURN_UNTIL(stage, strstr(client->in, "\r\n\r\n"));
    assert_int_not_equal(stage->later_id, id);
    client_close(client);
    TURN_UNTIL(stage, stage->gones == 1);
    assert_int_equal(stage->gone_id, stage->later_id);
    assert_int_equal(stage_stats(stage).streams_now, 0);
}

static void test_stream_is_bounded(void **state)
{
    struct stage *stage = *state;
    struct aisys_http_options options = stage_options(stage);
    struct client *client;
    char chunk[1000];
    size_t sent = 0;
    int r = 0;

    memset(chunk, 'e', sizeof(chunk));
    options.stream_bytes_max = 8192;
    options.send_timeout_ms = 200; /* more than a delayed acknowledgement */
    stage_open(stage, options);
    client = client_open(stage);
    client->deaf = true;
    client_say(stage, client, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
    TURN_UNTIL(stage, stage->later_id != 0);
    while ((r = aisys_http_stream_send(stage->server, stage->later_id, chunk, sizeof(chunk))) !=
           AISYS_HTTP_GONE) {
        if (r == 0)
            sent += sizeof(chunk);
        stage_turn(stage);
        assert_true(sent < 4u << 20); /* buffer, kernel, and nothing else */
    }
    assert_true(stage_stats(stage).stream_full > 0);
    assert_int_equal(stage->gones, 1); /* cut: no progress for send_timeout_ms */
    TURN_UNTIL(stage, stage_stats(stage).connections_now == 0);
    assert_int_equal(stage_stats(stage).timeouts, 1);
}

static void test_stream_wraps(void **state)
{
    struct stage *stage = *state;
    struct aisys_http_options options = stage_options(stage);
    struct client *client;
    unsigned want = 0, got = 0;

    options.stream_bytes_max = 100;
    stage_open(stage, options);
    client = client_open(stage);
    client_say(stage, client, "GET /stream HTTP/1.0\r\n\r\n"); /* without chunks: plain text */
    TURN_UNTIL(stage, stage->later_id != 0);
    while (want < 2000) {
        char line[32];
        const int len = snprintf(line, sizeof(line), "n%u\n", want);

        if (aisys_http_stream_send(stage->server, stage->later_id, line, (size_t)len) == 0)
            want++;
        else
            stage_turn(stage);
    }
    aisys_http_stream_close(stage->server, stage->later_id);
    TURN_UNTIL(stage, client->eof);
    for (const char *at = strstr(client->in, "\r\n\r\n") + 4; *at; at = strchr(at, '\n') + 1)
        assert_int_equal(strtoul(at + 1, NULL, 10), got++);
    assert_int_equal(got, want);
}

static void test_too_many_streams(void **state)
{
    struct stage *stage = *state;
    struct aisys_http_options options = stage_options(stage);
    struct client *first, *second;

    options.streams_max = 1;
    stage_open(stage, options);
    first = client_open(stage);
    client_say(stage, first, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
    TURN_UNTIL(stage, stage_stats(stage).streams_now == 1);
    second = client_open(stage);
    stage->later_id = 0;
    client_say(stage, second, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    TURN_UNTIL(stage, stage->later_id != 0);
    assert_int_equal(
        aisys_http_stream_open(stage->server, stage->later_id, NULL, NULL), AISYS_HTTP_FULL);
    aisys_http_respond_error(stage->server, stage->later_id, 503, NULL, "too many streams");
    EXPECT(stage, second, 503, "UNAVAILABLE");
}

static void test_graceful_close(void **state)
{
    struct stage *stage = *state;
    struct client *idle, *working, *streaming, *late;
    struct sockaddr_in addr = { .sin_family = AF_INET };
    int fd;

    stage_open(stage, stage_options(stage));
    idle = client_open(stage);
    client_say(stage, idle, "GET /ok HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(stage, idle, 200, "ok\n");
    streaming = client_open(stage);
    client_say(stage, streaming, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
    TURN_UNTIL(stage, stage->later_id != 0);
    aisys_http_stream_send(stage->server, stage->later_id, "last", 4);
    stage->later_id = 0;
    working = client_open(stage);
    client_say(stage, working, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    TURN_UNTIL(stage, stage->later_id != 0);
    late = client_open(stage); /* sent before the close, read after it */
    send(late->fd, "GET /ok HTTP/1.1\r\n" HOST "\r\n", strlen("GET /ok HTTP/1.1\r\n" HOST "\r\n"),
        0);

    addr.sin_port = htons(aisys_http_port(stage->server));
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    aisys_http_close(stage->server, 10000, stage_on_closed, stage);
    TURN_UNTIL(stage, idle->eof && streaming->eof && late->eof);
    assert_non_null(strstr(streaming->in, "last"));
    assert_non_null(strstr(streaming->in, "\r\n0\r\n\r\n"));
    assert_int_equal(stage->closes, 0);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), -1);
    close(fd);

    aisys_http_respond(stage->server, stage->later_id, 200, NULL, NULL, "done", 4);
    EXPECT(stage, working, 200, "Connection: close\r\n");
    TURN_UNTIL(stage, stage->closes == 1);
    assert_int_equal(stage->gones, 0);
}

static void test_close_cuts_after_the_grace(void **state)
{
    struct stage *stage = *state;
    struct client *client;

    stage_open(stage, stage_options(stage));
    client = client_open(stage);
    client_say(stage, client, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    TURN_UNTIL(stage, stage->later_id != 0);
    client_open(stage);
    client_say(
        stage, client_open(stage), "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nx");
    aisys_http_close(stage->server, TIMEOUT_MS, stage_on_closed, stage);
    aisys_http_close(stage->server, 60000, stage_on_closed, stage); /* can only shorten */
    TURN_UNTIL(stage, stage->closes == 1);
    assert_int_equal(stage->gones, 1);
    TURN_UNTIL(stage, client->eof);
    assert_int_equal(client->in_bytes, 0);
}

static void test_two_servers_and_ipv6(void **state)
{
    struct stage *stage = *state;
    struct aisys_http_options options = stage_options(stage);
    struct aisys_http_server *first;
    struct client *client;

    stage_open(stage, options);
    first = stage->server;
    options.address = "0.0.0.0";
    options.cache_control = "max-age=1";
    stage_open(stage, options);
    client = client_open(stage);
    client_say(stage, client, "GET /ok HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    EXPECT(stage, client, 200, "Cache-Control: max-age=1");
    client_say(stage, client, "GET /ok HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n");
    EXPECT(stage, client, 403, "");
    aisys_http_close(stage->server, 0, stage_on_closed, stage);
    TURN_UNTIL(stage, stage->closes == 1);
    client_close(client);
    stage->closes = 0;
    stage->server = first;
    client = client_open(stage);
    client_say(stage, client, "GET /ok HTTP/1.1\r\n" HOST "\r\n");
    EXPECT(stage, client, 200, "no-store");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(test_get),
        TEST(test_head),
        TEST(test_pipelined),
        TEST(test_bodies),
        TEST(test_large_body),
        TEST(test_body_too_large),
        TEST(test_bodies_together),
        TEST(test_refused_requests),
        TEST(test_allowed_hosts_and_origins),
        TEST(test_large_header),
        TEST(test_slow_clients),
        TEST(test_idle_connection),
        TEST(test_client_that_does_not_read),
        TEST(test_late_answer),
        TEST(test_client_gone),
        TEST(test_too_many_connections),
        TEST(test_too_many_of_one_peer),
        TEST(test_no_descriptors_left),
        TEST(test_open_errors),
        TEST(test_stream),
        TEST(test_stream_is_bounded),
        TEST(test_stream_wraps),
        TEST(test_too_many_streams),
        TEST(test_graceful_close),
        TEST(test_close_cuts_after_the_grace),
        TEST(test_two_servers_and_ipv6),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]); /* one test, say test_stream, or test_slow* */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
