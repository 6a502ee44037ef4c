#include "port/redis_connection.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static void connection_attempt(struct redis_connection *conn);
static void connection_try_address(struct redis_connection *conn);
static void connection_on_timer(uv_timer_t *timer);

/* A name being looked up. Belongs to libuv until its callback: a lookup that was given up on cannot be
 * stopped, so it forgets the connection instead. It may outlive the port, and so comes from the C
 * library's heap and not from the port's memory. */
struct redis_resolve {
    uv_getaddrinfo_t request;
    struct redis_connection *conn; /* NULL: given up */
};

static const char *connection_error(int r)
{
    return r < 0 ? uv_strerror(r) : "";
}

static void connection_event(struct redis_connection *conn, enum aisys_redis_port_event event,
    const char *reason, uint32_t retry_ms)
{
    conn->ops->event(conn->owner, event, reason, retry_ms);
}

/* --- the one timer, whose meaning is the state's --- */

static void connection_start_timer(struct redis_connection *conn, uint64_t timeout_ms)
{
    /* uv_now() is that of the turn's beginning; the wait is meant from now. */
    const uint64_t late_ms = aisys_redis_now_ms() - uv_now(conn->loop);

    uv_timer_start(&conn->timer, connection_on_timer, timeout_ms > 0 ? timeout_ms + late_ms : 0, 0);
}

/* Asks a silent server whether it lives: with a PING, unless commands are waiting for an answer
 * anyway. */
static int connection_probe(struct redis_connection *conn)
{
    static const struct aisys_redis_arg ping = { "PING", 4 };
    const struct aisys_redis_command command = { &ping, 1 };

    if (conn->ops->push)
        return aisys_redis_stream_append(conn, &ping, 1);
    if (conn->head)
        return 0;
    return aisys_redis_calls_submit(conn, &(struct redis_submission){
                                              .commands = &command,
                                              .command_nr = 1,
                                              .deadline_ms = conn->config->ping_timeout_ms,
                                              .internal = true,
                                          });
}

/* The silence counts from the last byte that was read, but nobody is lost without having been asked: when
 * the loop itself was held up, the answer may be waiting in the socket. */
static void connection_check_silence(struct redis_connection *conn)
{
    const uint64_t now_ms = aisys_redis_now_ms();
    const uint32_t interval_ms = conn->config->ping_interval_ms;
    const uint32_t timeout_ms = conn->config->ping_timeout_ms;
    uint64_t next_ms = timeout_ms;

    if (aisys_redis_stream_has_unread(conn)) {
        conn->read_ms = now_ms;
        conn->probed = false;
    }
    if (now_ms - conn->read_ms < interval_ms) {
        next_ms = interval_ms - (now_ms - conn->read_ms);
    } else if (!conn->probed) {
        conn->probed = true;
        conn->probe_ms = now_ms;
        if (connection_probe(conn) < 0) {
            aisys_redis_connection_fail(conn, -ENOMEM, "no memory for a PING");
            return;
        }
    } else if (now_ms - conn->probe_ms >= timeout_ms) {
        aisys_redis_connection_fail(conn, -ETIMEDOUT,
            "%s has been silent for %" PRIu64 " ms and did not answer for the last %" PRIu64,
            conn->peer, now_ms - conn->read_ms, now_ms - conn->probe_ms);
        return;
    } else {
        next_ms = timeout_ms - (now_ms - conn->probe_ms);
    }
    connection_start_timer(conn, next_ms < interval_ms ? next_ms : interval_ms);
}

static void connection_on_timer(uv_timer_t *timer)
{
    struct redis_connection *conn = timer->data;

    switch (conn->state) {
    case AISYS_REDIS_WAITING:
        connection_attempt(conn);
        break;
    case AISYS_REDIS_CONNECTING:
        if (conn->resolve)
            aisys_redis_connection_fail(conn, -ETIMEDOUT,
                "the name %s was not found within %" PRIu32 " ms", conn->config->host,
                conn->config->connect_timeout_ms);
        else
            aisys_redis_connection_on_connected(conn, -ETIMEDOUT);
        break;
    case AISYS_REDIS_GREETING:
        aisys_redis_connection_fail(conn, -ETIMEDOUT,
            "%s did not answer the greeting within %" PRIu32 " ms", conn->peer,
            conn->config->connect_timeout_ms);
        break;
    case AISYS_REDIS_READY:
        connection_check_silence(conn);
        break;
    case AISYS_REDIS_CLOSING:
        break;
    }
}

/* --- failure --- */

static uint32_t connection_backoff(struct redis_connection *conn)
{
    const struct aisys_redis_config *config = conn->config;
    uint64_t delay_ms = config->backoff_min_ms;

    for (uint32_t i = 1; i < conn->failures && delay_ms < config->backoff_max_ms; i++)
        delay_ms *= 2;
    if (delay_ms > config->backoff_max_ms)
        delay_ms = config->backoff_max_ms;
    if (config->random) /* between half and all of it */
        delay_ms =
            delay_ms / 2 + config->random(config->random_ctx) % (delay_ms - delay_ms / 2 + 1);
    return (uint32_t)delay_ms;
}

/* Drops socket and lookup, whatever there is of them. */
static void connection_drop(struct redis_connection *conn)
{
    if (conn->resolve) {
        conn->resolve->conn = NULL;
        uv_cancel((uv_req_t *)&conn->resolve->request);
        conn->resolve = NULL;
    }
    aisys_redis_stream_disconnect(conn);
    uv_timer_stop(&conn->timer);
    conn->address_nr = conn->address_at = 0;
}

void aisys_redis_connection_fail(struct redis_connection *conn, int r, const char *format, ...)
{
    const bool was_ready = conn->state == AISYS_REDIS_READY;
    const bool was_closed = conn->breaker == AISYS_REDIS_CLOSED;
    char message[sizeof(conn->reason) + 64];
    uint32_t retry_ms;
    va_list args;

    if (conn->state == AISYS_REDIS_CLOSING)
        return;
    va_start(args, format);
    vsnprintf(conn->reason, sizeof(conn->reason), format, args);
    va_end(args);

    connection_drop(conn);
    if (was_ready && aisys_redis_now_ms() - conn->ready_ms >= conn->config->healthy_ms)
        conn->failures = 0;
    if (conn->failures < UINT32_MAX)
        conn->failures++;
    retry_ms = r == -EACCES ? conn->config->refused_retry_ms : connection_backoff(conn);
    if (!was_closed || conn->failures >= conn->config->breaker_failures)
        conn->breaker = AISYS_REDIS_OPEN;
    conn->state = AISYS_REDIS_WAITING;
    connection_start_timer(conn, retry_ms > 0 ? retry_ms : 1);

    if (was_ready)
        conn->stats.disconnects++;
    else
        conn->stats.connects_failed++;
    connection_event(conn, was_ready ? AISYS_REDIS_DISCONNECTED : AISYS_REDIS_CONNECT_FAILED,
        conn->reason, retry_ms);
    if (was_closed && conn->breaker == AISYS_REDIS_OPEN) {
        conn->stats.breaker_opened++;
        connection_event(conn, AISYS_REDIS_BREAKER_OPENED, conn->reason, retry_ms);
    }
    snprintf(message, sizeof(message), was_ready ? "connection lost: %s" : "not connected: %s",
        conn->reason);
    aisys_redis_calls_fail_all(conn, AISYS_UNAVAILABLE, message);
}

/* --- greeting --- */

static int connection_greet(struct redis_connection *conn, enum redis_greeting step,
    const struct aisys_redis_arg *args, size_t arg_nr)
{
    int r = aisys_redis_out_reserve(&conn->hello, aisys_redis_wire_bytes(args, arg_nr));

    if (r < 0)
        return r;
    aisys_redis_wire_append(&conn->hello, args, arg_nr);
    conn->greeting[conn->greeting_nr++] = step;
    return 0;
}

static int connection_queue_greeting(struct redis_connection *conn)
{
    const struct aisys_redis_config *config = conn->config;
    struct aisys_redis_arg args[3];
    char database[12];
    size_t arg_nr = 0;
    int r = 0;

    conn->greeting_nr = conn->greeting_at = 0;
    if (config->password) {
        args[arg_nr++] = aisys_redis_word("AUTH");
        if (config->username)
            args[arg_nr++] = aisys_redis_word(config->username);
        args[arg_nr++] = aisys_redis_word(config->password);
        r = connection_greet(conn, GREETING_AUTH, args, arg_nr);
    }
    if (r == 0 && config->client_name) {
        args[0] = aisys_redis_word("CLIENT");
        args[1] = aisys_redis_word("SETNAME");
        args[2] = aisys_redis_word(config->client_name);
        r = connection_greet(conn, GREETING_NAME, args, 3);
    }
    if (r == 0 && config->database > 0) {
        snprintf(database, sizeof(database), "%" PRIu32, config->database);
        args[0] = aisys_redis_word("SELECT");
        args[1] = aisys_redis_word(database);
        r = connection_greet(conn, GREETING_SELECT, args, 2);
    }
    if (r == 0) {
        args[0] = aisys_redis_word("PING");
        r = connection_greet(conn, GREETING_PING, args, 1);
    }
    return r;
}

static void connection_become_ready(struct redis_connection *conn)
{
    const bool was_closed = conn->breaker == AISYS_REDIS_CLOSED;

    conn->state = AISYS_REDIS_READY;
    conn->breaker = AISYS_REDIS_CLOSED;
    conn->ready_ms = conn->read_ms = aisys_redis_now_ms();
    conn->probed = false;
    conn->stats.connects++;
    connection_start_timer(conn, conn->config->ping_interval_ms);
    if (conn->head) /* what waited for this */
        aisys_redis_calls_drop_given_up(conn);
    if (aisys_redis_out_bytes(&conn->out) > 0)
        aisys_redis_stream_mark_dirty(conn);
    connection_event(conn, AISYS_REDIS_CONNECTED, conn->peer, 0);
    if (!was_closed && conn->state == AISYS_REDIS_READY)
        connection_event(conn, AISYS_REDIS_BREAKER_CLOSED, conn->peer, 0);
    aisys_redis_calls_check_room(conn);
}

void aisys_redis_connection_on_greeting(
    struct redis_connection *conn, const struct aisys_redis_value *value)
{
    static const char *const steps[] = { "AUTH", "CLIENT SETNAME", "SELECT", "PING" };
    const enum redis_greeting step = conn->greeting[conn->greeting_at++];
    const char *text = aisys_redis_text(value);
    bool refused;

    if (aisys_redis_is_error(value)) {
        /* A name that may not be set costs nothing; a password where none is needed is told. */
        if (step == GREETING_NAME && !aisys_redis_error_is(value, "NOAUTH"))
            return;
        refused = step != GREETING_PING || aisys_redis_error_is(value, "NOAUTH") ||
                  aisys_redis_error_is(value, "NOPERM");
        if (aisys_redis_error_is(value, "LOADING") || aisys_redis_error_is(value, "MASTERDOWN") ||
            !strncmp(text, "ERR max number of clients", 25))
            refused = false; /* that passes */
        aisys_redis_connection_fail(conn, refused ? -EACCES : -EAGAIN, "%s refused %s: %.120s",
            conn->peer, steps[step], text);
        return;
    }
    if (!aisys_redis_equals(value, step == GREETING_PING ? "PONG" : "OK")) {
        aisys_redis_connection_fail(conn, -EPROTO, "%s answered %s with \"%.60s\": is it Redis?",
            conn->peer, steps[step], text);
        return;
    }
    if (conn->greeting_at == conn->greeting_nr)
        connection_become_ready(conn);
}

/* --- connecting --- */

static void connection_name_peer(struct redis_connection *conn, const struct sockaddr *address)
{
    char ip[INET6_ADDRSTRLEN] = "?";

    if (address->sa_family == AF_UNIX) {
        snprintf(conn->peer, sizeof(conn->peer), "%s", conn->config->unix_path);
    } else if (address->sa_family == AF_INET6) {
        uv_ip6_name((const struct sockaddr_in6 *)address, ip, sizeof(ip));
        snprintf(conn->peer, sizeof(conn->peer), "[%s]:%u", ip, conn->config->port);
    } else {
        uv_ip4_name((const struct sockaddr_in *)address, ip, sizeof(ip));
        snprintf(conn->peer, sizeof(conn->peer), "%s:%u", ip, conn->config->port);
    }
}

void aisys_redis_connection_on_connected(struct redis_connection *conn, int r)
{
    if (r == 0)
        r = connection_queue_greeting(conn);
    if (r < 0) {
        aisys_redis_stream_disconnect(conn);
        if (++conn->address_at < conn->address_nr) {
            connection_try_address(conn);
            return;
        }
        aisys_redis_connection_fail(
            conn, r, "cannot connect to %s: %s", conn->peer, connection_error(r));
        return;
    }
    conn->state = AISYS_REDIS_GREETING;
    connection_start_timer(conn, conn->config->connect_timeout_ms);
    aisys_redis_stream_mark_dirty(conn);
}

static void connection_try_address(struct redis_connection *conn)
{
    int r;

    for (;;) {
        const struct sockaddr *address =
            (const struct sockaddr *)&conn->addresses[conn->address_at];

        connection_name_peer(conn, address);
        connection_start_timer(conn, conn->config->connect_timeout_ms);
        r = aisys_redis_stream_connect(conn, address);
        if (r == 0)
            return;
        if (++conn->address_at >= conn->address_nr)
            break;
    }
    aisys_redis_connection_fail(
        conn, r, "cannot connect to %s: %s", conn->peer, connection_error(r));
}

static void connection_on_resolved(
    uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct redis_resolve *resolve = request->data;
    struct redis_connection *conn = resolve->conn;

    free(resolve);
    if (conn) {
        conn->resolve = NULL;
        for (const struct addrinfo *at = addresses; at && conn->address_nr < REDIS_ADDRESSES_MAX;
             at = at->ai_next)
            if (at->ai_addrlen <= sizeof(conn->addresses[0]))
                memcpy(&conn->addresses[conn->address_nr++], at->ai_addr, at->ai_addrlen);
    }
    uv_freeaddrinfo(addresses);
    if (!conn)
        return;
    if (conn->address_nr == 0)
        aisys_redis_connection_fail(conn, status < 0 ? status : -ENOENT,
            "no address for the name %s: %s", conn->config->host,
            status < 0 ? uv_strerror(status) : "it has none");
    else
        connection_try_address(conn);
}

static int connection_resolve(struct redis_connection *conn)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
    struct redis_resolve *resolve = malloc(sizeof(*resolve));
    char service[8];
    int r;

    if (!resolve)
        return -ENOMEM;
    resolve->conn = conn;
    resolve->request.data = resolve;
    snprintf(service, sizeof(service), "%u", conn->config->port);
    r = uv_getaddrinfo(
        conn->loop, &resolve->request, connection_on_resolved, conn->config->host, service, &hints);
    if (r < 0) {
        free(resolve);
        return r;
    }
    conn->resolve = resolve;
    connection_start_timer(conn, conn->config->connect_timeout_ms);
    return 0;
}

/* The address that the configuration itself holds: a path or a number. */
static bool connection_literal(
    const struct aisys_redis_config *config, struct sockaddr_storage *ret)
{
    struct sockaddr_un *path = (struct sockaddr_un *)ret;

    if (config->unix_path) {
        path->sun_family = AF_UNIX;
        snprintf(path->sun_path, sizeof(path->sun_path), "%s", config->unix_path);
        return true;
    }
    return uv_ip4_addr(config->host, config->port, (struct sockaddr_in *)ret) == 0 ||
           uv_ip6_addr(config->host, config->port, (struct sockaddr_in6 *)ret) == 0;
}

static void connection_attempt(struct redis_connection *conn)
{
    int r;

    conn->state = AISYS_REDIS_CONNECTING;
    if (conn->breaker == AISYS_REDIS_OPEN)
        conn->breaker = AISYS_REDIS_HALF_OPEN;
    conn->address_nr = conn->address_at = 0;
    if (connection_literal(conn->config, &conn->addresses[0])) {
        conn->address_nr = 1;
        connection_try_address(conn);
        return;
    }
    r = connection_resolve(conn);
    if (r < 0)
        aisys_redis_connection_fail(
            conn, r, "cannot look up the name %s: %s", conn->config->host, uv_strerror(r));
}

/* --- open and close --- */

int aisys_redis_connection_open(struct redis_connection *conn, struct uv_loop_s *loop,
    const struct aisys_redis_config *config, const struct redis_connection_ops *ops, void *owner)
{
    int r;

    *conn = (struct redis_connection){
        .loop = loop,
        .config = config,
        .ops = ops,
        .owner = owner,
        .state = AISYS_REDIS_WAITING,
    };
    r = aisys_redis_stream_init(conn);
    if (r < 0)
        return r;
    /* These only fill the handles in: libuv documents no failure, and has none. */
    uv_timer_init(loop, &conn->timer);
    uv_timer_init(loop, &conn->deadline_timer);
    uv_prepare_init(loop, &conn->prepare);
    uv_idle_init(loop, &conn->idle);
    conn->timer.data = conn->deadline_timer.data = conn;
    conn->prepare.data = conn->idle.data = conn;
    return uv_timer_start(&conn->timer, connection_on_timer, 0, 0);
}

void aisys_redis_connection_handle_closed(struct redis_connection *conn)
{
    if (--conn->handle_nr > 0 || conn->state != AISYS_REDIS_CLOSING)
        return;
    aisys_redis_calls_fail_all(conn, AISYS_CANCELLED, "the connection to Redis was closed");
    aisys_redis_stream_deinit(conn);
    conn->ops->closed(conn->owner);
}

static void connection_on_handle_closed(uv_handle_t *handle)
{
    aisys_redis_connection_handle_closed(handle->data);
}

void aisys_redis_connection_close(struct redis_connection *conn)
{
    if (conn->state == AISYS_REDIS_CLOSING)
        return;
    connection_drop(conn);
    conn->state = AISYS_REDIS_CLOSING;
    conn->handle_nr += 4;
    uv_close((uv_handle_t *)&conn->timer, connection_on_handle_closed);
    uv_close((uv_handle_t *)&conn->deadline_timer, connection_on_handle_closed);
    uv_close((uv_handle_t *)&conn->prepare, connection_on_handle_closed);
    uv_close((uv_handle_t *)&conn->idle, connection_on_handle_closed);
}
