#include "port/redis_connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
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

struct redis_pending_chunk {
    struct redis_pending_chunk *next;
    struct redis_pending pending[REDIS_PENDING_CHUNK];
};

uint64_t redis_now_ms(void)
{
    return uv_hrtime() / 1000000u;
}

static void *stream_alloc(struct redis_connection *conn, size_t bytes)
{
    return conn->config->memory.resize(conn->config->memory.ctx, NULL, bytes);
}

static void stream_free(struct redis_connection *conn, void *memory)
{
    if (memory)
        conn->config->memory.resize(conn->config->memory.ctx, memory, 0);
}

/* --- commands that are pending --- */

static int pending_reserve(struct redis_connection *conn, uint32_t count)
{
    while (conn->pending_allocated - conn->in_flight < count) {
        struct redis_pending_chunk *chunk = stream_alloc(conn, sizeof(*chunk));

        if (!chunk)
            return -ENOMEM;
        chunk->next = conn->chunks;
        conn->chunks = chunk;
        for (unsigned i = REDIS_PENDING_CHUNK; i-- > 0;) {
            chunk->pending[i].next = conn->spare;
            conn->spare = &chunk->pending[i];
        }
        conn->pending_allocated += REDIS_PENDING_CHUNK;
    }
    return 0;
}

/* The next one in the row; reserved before. */
static struct redis_pending *pending_push(struct redis_connection *conn, uint64_t start_ns)
{
    struct redis_pending *pending = conn->spare;

    conn->spare = pending->next;
    *pending = (struct redis_pending){ .start_ns = start_ns, .at_byte = conn->queued_bytes };
    *conn->tail = pending;
    conn->tail = &pending->next;
    conn->in_flight++;
    return pending;
}

static void pending_release(struct redis_connection *conn, struct redis_pending *pending)
{
    redis_wheel_remove(&pending->deadline);
    pending->next = conn->spare;
    conn->spare = pending;
    conn->in_flight--;
}

static struct redis_pending *pending_pop(struct redis_connection *conn)
{
    struct redis_pending *pending = conn->head;

    conn->head = pending->next;
    if (!conn->head)
        conn->tail = &conn->head;
    return pending;
}

static void batch_release(struct redis_connection *conn, struct redis_batch *batch)
{
    if (--batch->pending_nr > 0)
        return;
    redis_arena_deinit(&batch->arena);
    stream_free(conn, batch);
}

/* --- how a call ends --- */

static void stream_count(struct redis_connection *conn, const struct aisys_redis_answer *answer)
{
    struct aisys_redis_port_stats *stats = &conn->stats;

    stats->open--;
    switch (answer->code) {
    case AISYS_OK:
        if (aisys_redis_is_error(answer->value))
            stats->errors++;
        else
            stats->answered++;
        break;
    case AISYS_DEADLINE_EXCEEDED:
        stats->deadline++;
        break;
    case AISYS_RESOURCE_EXHAUSTED:
        stats->too_large++;
        break;
    case AISYS_CANCELLED:
        stats->cancelled++;
        break;
    case AISYS_ABORTED:
    case AISYS_FAILED_PRECONDITION:
        stats->aborted++;
        break;
    default:
        stats->lost++;
        break;
    }
}

/* Tells the caller. @pending may be released right after: the callback is called last. */
static void stream_end_call(struct redis_connection *conn, bool is_call, aisys_redis_answer_cb done,
    void *ctx, const struct aisys_redis_answer *answer)
{
    if (is_call)
        stream_count(conn, answer);
    if (done)
        done(ctx, answer);
}

static void stream_count_latency(struct redis_connection *conn, const struct redis_pending *pending)
{
    const uint64_t ns = conn->read_ns > pending->start_ns ? conn->read_ns - pending->start_ns : 0;

    if (!pending->is_call)
        return;
    conn->stats.latency_ns_sum += ns;
    if (ns > conn->stats.latency_ns_max)
        conn->stats.latency_ns_max = ns;
}

static void stream_answer_single(struct redis_connection *conn, struct redis_pending *pending)
{
    const struct redis_parser *parser = &conn->parser;
    const aisys_redis_answer_cb done = pending->done;
    void *ctx = pending->ctx;
    const bool is_call = pending->is_call;
    struct aisys_redis_answer answer = { AISYS_OK, "", &parser->root, true };

    if (pending->given_up) {
        conn->stats.late += is_call;
        pending_release(conn, pending);
        return;
    }
    if (parser->refusal == REDIS_TAKEN)
        stream_count_latency(conn, pending);
    else
        answer =
            (struct aisys_redis_answer){ AISYS_RESOURCE_EXHAUSTED, parser->problem, NULL, true };
    pending_release(conn, pending);
    stream_end_call(conn, is_call, done, ctx, &answer);
}

static void batch_note(struct redis_batch *batch, uint32_t index, const char *what)
{
    if (batch->problem[0])
        return;
    if (batch->kind == AISYS_REDIS_TRANSACTION && index == 0)
        snprintf(batch->problem, sizeof(batch->problem), "MULTI: %.160s", what);
    else if (batch->kind == AISYS_REDIS_TRANSACTION && index > batch->value_nr)
        snprintf(batch->problem, sizeof(batch->problem), "EXEC: %.160s", what);
    else
        snprintf(batch->problem, sizeof(batch->problem), "command %u: %.160s",
            batch->kind == AISYS_REDIS_TRANSACTION ? index : index + 1, what);
}

/* One of the answers that make up that of the batch. */
static void batch_take(struct redis_connection *conn, struct redis_batch *batch, uint32_t index)
{
    const struct redis_parser *parser = &conn->parser;

    if (parser->refusal == REDIS_REFUSED) {
        batch->over_limit = true;
        batch_note(batch, index, parser->problem);
        return;
    }
    if (parser->refusal == REDIS_DISCARDED)
        return;
    if (batch->kind == AISYS_REDIS_PIPELINE) {
        batch->values[index] = parser->root;
        return;
    }
    if (aisys_redis_is_error(&parser->root)) {
        batch->multi_refused |= index == 0;
        batch_note(batch, index, parser->root.text);
    }
    if (index == batch->value_nr + 1)
        batch->values[0] = parser->root;
}

static void batch_answer(struct redis_batch *batch, struct aisys_redis_value *ret_value,
    struct aisys_redis_answer *ret_answer)
{
    *ret_answer = (struct aisys_redis_answer){ AISYS_OK, "", ret_value, true };
    *ret_value = (struct aisys_redis_value){
        .type = AISYS_REDIS_ARRAY,
        .elements = batch->values,
        .element_nr = batch->value_nr,
    };
    if (batch->over_limit) {
        *ret_answer =
            (struct aisys_redis_answer){ AISYS_RESOURCE_EXHAUSTED, batch->problem, NULL, true };
    } else if (batch->kind == AISYS_REDIS_TRANSACTION) {
        *ret_value = batch->values[0];
        if (batch->multi_refused)
            *ret_answer = (struct aisys_redis_answer){ AISYS_FAILED_PRECONDITION, batch->problem,
                NULL, true };
        else if (!aisys_redis_is_array(ret_value))
            *ret_answer = (struct aisys_redis_answer){ AISYS_ABORTED,
                batch->problem[0] ? batch->problem : "EXEC executed nothing", NULL, false };
    }
}

static void stream_answer_batch(struct redis_connection *conn, struct redis_pending *pending)
{
    struct redis_batch *batch = pending->batch;
    const aisys_redis_answer_cb done = pending->done;
    void *ctx = pending->ctx;
    const bool last = batch->pending_nr == 1;
    struct aisys_redis_answer answer;
    struct aisys_redis_value value;

    if (batch->given_up)
        conn->stats.late++;
    else
        batch_take(conn, batch, pending->batch_index);
    if (last && !batch->given_up)
        stream_count_latency(conn, pending);
    pending_release(conn, pending);
    if (last && !batch->given_up) {
        batch_answer(batch, &value, &answer);
        stream_end_call(conn, true, done, ctx, &answer);
    }
    batch_release(conn, batch);
}

/* Ends a call without an answer of Redis; the pending command, or commands, stay in the row. */
static void stream_give_up(struct redis_connection *conn, struct redis_pending *pending,
    const struct aisys_redis_answer *answer)
{
    bool *given_up = pending->batch ? &pending->batch->given_up : &pending->given_up;

    if (*given_up)
        return;
    *given_up = true;
    stream_end_call(conn, pending->is_call, pending->done, pending->ctx, answer);
}

void redis_stream_fail_all(struct redis_connection *conn, enum aisys_code code, const char *message)
{
    const uint64_t written_bytes = conn->written_bytes;
    struct redis_pending *pending = conn->head;
    struct aisys_redis_answer answer = { code, message, NULL, false };

    conn->head = NULL;
    conn->tail = &conn->head;
    redis_out_clear(&conn->out);
    conn->queued_bytes = conn->written_bytes;
    while (pending) {
        struct redis_pending *next = pending->next;
        struct redis_batch *batch = pending->batch;
        const bool last = !batch || batch->pending_nr == 1;

        if (batch && pending->at_byte < written_bytes)
            batch->written = true;
        answer.maybe_executed = pending->at_byte < written_bytes || (batch && batch->written);
        redis_wheel_remove(&pending->deadline);
        if (last)
            stream_give_up(conn, pending, &answer);
        if (batch)
            batch_release(conn, batch);
        pending_release(conn, pending);
        pending = next;
    }
    redis_stream_check_room(conn);
}

/* --- deadlines --- */

static void stream_on_deadline(uv_timer_t *timer);

static void stream_arm(struct redis_connection *conn, uint64_t due_ms)
{
    const uint64_t now_ms = uv_now(conn->loop);

    conn->armed_ms = due_ms;
    uv_timer_start(
        &conn->deadline_timer, stream_on_deadline, due_ms > now_ms ? due_ms - now_ms : 0, 0);
}

static void stream_on_deadline(uv_timer_t *timer)
{
    struct redis_connection *conn = timer->data;
    /* What has not left yet stays in the row and will: so it may be executed either way. */
    const struct aisys_redis_answer answer = { AISYS_DEADLINE_EXCEEDED,
        "Redis did not answer before the deadline", NULL, true };
    struct redis_deadline *due;
    uint64_t next_ms;

    conn->armed_ms = 0;
    redis_wheel_collect(&conn->wheel, redis_now_ms());
    while ((due = redis_wheel_take(&conn->wheel)))
        stream_give_up(conn, (struct redis_pending *)due, &answer);
    if (conn->state == AISYS_REDIS_CLOSING)
        return;
    next_ms = redis_wheel_next_ms(&conn->wheel);
    if (next_ms > 0)
        stream_arm(conn, next_ms);
}

/* --- taking commands --- */

void redis_stream_check_room(struct redis_connection *conn)
{
    if (!conn->wants_room || conn->state == AISYS_REDIS_CLOSING ||
        conn->in_flight > conn->config->in_flight_max / 4 * 3 ||
        redis_out_bytes(&conn->out) > conn->config->unsent_bytes_max / 4 * 3)
        return;
    conn->wants_room = false;
    conn->ops->room(conn->owner);
}

static void stream_on_idle(uv_idle_t *idle)
{
    (void)idle; /* that it is active is enough */
}

static void stream_on_prepare(uv_prepare_t *prepare);

void redis_stream_mark_dirty(struct redis_connection *conn)
{
    if (conn->dirty)
        return;
    conn->dirty = true;
    conn->turn_ns = uv_hrtime();
    uv_prepare_start(&conn->prepare, stream_on_prepare);
    uv_idle_start(&conn->idle, stream_on_idle);
}

/* The bounds: 0 or an outcome, and the bytes that all the commands can take. */
static int stream_admit(struct redis_connection *conn, const struct redis_submission *submission,
    size_t pending_nr, size_t *ret_bytes)
{
    const struct aisys_redis_config *config = conn->config;
    size_t bytes = pending_nr > submission->command_nr ? 64 : 0; /* MULTI and EXEC */

    if (conn->state == AISYS_REDIS_CLOSING)
        return AISYS_REDIS_PORT_CLOSED;
    for (size_t i = 0; i < submission->command_nr; i++) {
        const struct aisys_redis_command *command = &submission->commands[i];
        const size_t more = redis_wire_bytes(command->args, command->arg_nr);

        if (!submission->internal && redis_wire_forbidden(command->args, command->arg_nr))
            return AISYS_REDIS_PORT_FORBIDDEN;
        if (more > config->unsent_bytes_max || bytes > config->unsent_bytes_max - more)
            return AISYS_REDIS_PORT_TOO_LARGE;
        bytes += more;
    }
    if (pending_nr > config->in_flight_max)
        return AISYS_REDIS_PORT_TOO_LARGE;
    if (conn->breaker != AISYS_REDIS_CLOSED)
        return AISYS_REDIS_PORT_UNAVAILABLE;
    if (pending_nr > config->in_flight_max - conn->in_flight ||
        bytes > config->unsent_bytes_max - redis_out_bytes(&conn->out))
        return AISYS_REDIS_PORT_FULL;
    *ret_bytes = bytes;
    return 0;
}

static void stream_count_refusal(struct redis_connection *conn, int outcome)
{
    if (outcome == AISYS_REDIS_PORT_FULL) {
        conn->stats.refused_full++;
        conn->wants_room = true;
    } else if (outcome == AISYS_REDIS_PORT_UNAVAILABLE) {
        conn->stats.refused_unavailable++;
    } else {
        conn->stats.refused_other++;
    }
}

static struct redis_batch *batch_new(
    struct redis_connection *conn, const struct redis_submission *submission, size_t pending_nr)
{
    struct redis_batch *batch =
        stream_alloc(conn, sizeof(*batch) + submission->command_nr * sizeof(batch->values[0]));

    if (!batch)
        return NULL;
    *batch = (struct redis_batch){
        .kind = submission->kind,
        .value_nr = (uint32_t)submission->command_nr,
        .pending_nr = (uint32_t)pending_nr,
    };
    redis_arena_init(&batch->arena, &conn->config->memory, conn->config->answer_bytes_max);
    return batch;
}

static struct redis_pending *stream_append_pending(struct redis_connection *conn,
    const struct aisys_redis_arg *args, size_t arg_nr, uint64_t start_ns)
{
    struct redis_pending *pending = pending_push(conn, start_ns);
    const size_t before = redis_out_bytes(&conn->out);

    redis_wire_append(&conn->out, args, arg_nr);
    conn->queued_bytes += redis_out_bytes(&conn->out) - before;
    return pending;
}

int redis_stream_submit(struct redis_connection *conn, const struct redis_submission *submission)
{
    static const struct aisys_redis_arg multi = { "MULTI", 5 };
    static const struct aisys_redis_arg exec = { "EXEC", 4 };
    const bool transaction = submission->batch && submission->kind == AISYS_REDIS_TRANSACTION;
    const size_t pending_nr = submission->command_nr + (transaction ? 2 : 0);
    const uint64_t start_ns = conn->dirty ? conn->turn_ns : uv_hrtime();
    const uint64_t due_ms = start_ns / 1000000u + submission->deadline_ms;
    struct redis_batch *batch = NULL;
    struct redis_pending *pending = NULL;
    size_t bytes;
    int r;

    r = stream_admit(conn, submission, pending_nr, &bytes);
    if (r > 0) {
        stream_count_refusal(conn, r);
        return r;
    }
    r = redis_out_reserve(&conn->out, bytes);
    if (r == 0)
        r = pending_reserve(conn, (uint32_t)pending_nr);
    if (r < 0)
        return r;
    if (submission->batch) {
        batch = batch_new(conn, submission, pending_nr);
        if (!batch)
            return -ENOMEM;
    }

    for (size_t i = 0; i < pending_nr; i++) {
        const size_t at = i - (transaction ? 1 : 0);

        if (transaction && i == 0)
            pending = stream_append_pending(conn, &multi, 1, start_ns);
        else if (transaction && i == pending_nr - 1)
            pending = stream_append_pending(conn, &exec, 1, start_ns);
        else
            pending = stream_append_pending(
                conn, submission->commands[at].args, submission->commands[at].arg_nr, start_ns);
        pending->batch = batch;
        pending->batch_index = (uint32_t)i;
    }
    pending->done = submission->done;
    pending->ctx = submission->ctx;
    pending->is_call = !submission->internal;
    redis_wheel_add(&conn->wheel, &pending->deadline, due_ms);
    if (conn->armed_ms == 0 || due_ms < conn->armed_ms)
        stream_arm(conn, due_ms);
    if (!submission->internal) {
        conn->stats.accepted++;
        conn->stats.open++;
    }
    if (conn->state == AISYS_REDIS_READY)
        redis_stream_mark_dirty(conn);
    return 0;
}

int redis_stream_append(
    struct redis_connection *conn, const struct aisys_redis_arg *args, size_t arg_nr)
{
    const size_t before = redis_out_bytes(&conn->out);
    const int r = redis_out_reserve(&conn->out, redis_wire_bytes(args, arg_nr));

    if (r < 0)
        return r;
    redis_wire_append(&conn->out, args, arg_nr);
    conn->queued_bytes += redis_out_bytes(&conn->out) - before;
    if (conn->state == AISYS_REDIS_READY)
        redis_stream_mark_dirty(conn);
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

bool redis_stream_has_unread(const struct redis_connection *conn)
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

    stream_free(conn, sock);
    redis_connection_handle_closed(conn);
}

/* Where the next answer goes. */
static struct redis_arena *stream_arena(struct redis_connection *conn)
{
    const struct redis_pending *head = conn->head;

    if (conn->state != AISYS_REDIS_READY || !head)
        return &conn->parser.scratch;
    if (!head->batch)
        return head->given_up ? NULL : &conn->parser.scratch;
    if (head->batch->given_up)
        return NULL;
    if (head->batch->kind == AISYS_REDIS_TRANSACTION &&
        head->batch_index != head->batch->value_nr + 1)
        return &conn->parser.scratch; /* "QUEUED" */
    return &head->batch->arena;
}

static void stream_on_answer(struct redis_connection *conn)
{
    const struct aisys_redis_value *value = &conn->parser.root;
    struct redis_pending *head = conn->head;

    if (conn->state == AISYS_REDIS_GREETING) {
        if (conn->parser.refusal == REDIS_TAKEN)
            redis_connection_on_greeting(conn, value);
        else
            redis_connection_fail(conn, -EPROTO,
                "%s answered the greeting with what is no answer: %s", conn->peer,
                conn->parser.problem);
    } else if (head && head->at_byte < conn->written_bytes) {
        pending_pop(conn);
        if (head->batch)
            stream_answer_batch(conn, head);
        else
            stream_answer_single(conn, head);
    } else if (conn->ops->push && conn->parser.refusal == REDIS_TAKEN) {
        conn->ops->push(conn->owner, value);
    } else if (!conn->ops->push) {
        redis_connection_fail(conn, -EPROTO, "%s sent an answer that nobody asked for: %.120s",
            conn->peer, conn->parser.refusal == REDIS_TAKEN ? aisys_redis_text(value) : "");
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
        r = redis_parser_feed(&conn->parser, data, bytes, &taken);
        if (r < 0) {
            redis_connection_fail(conn, r, "no memory for what %s sent", conn->peer);
            return;
        }
        data += taken;
        bytes -= taken;
        for (;;) {
            if (redis_parser_wants_arena(&conn->parser))
                redis_parser_begin(&conn->parser, stream_arena(conn));
            r = redis_parser_next(&conn->parser);
            if (r <= 0)
                break;
            stream_on_answer(conn);
            if (conn->socket != sock)
                return;
        }
        if (r < 0) {
            redis_connection_fail(conn, r, "%s does not speak the protocol of Redis: %s",
                conn->peer, conn->parser.problem);
            return;
        }
    }
    redis_parser_shrink(&conn->parser);
}

static void stream_on_readable(struct redis_connection *conn)
{
    const struct redis_socket *sock = conn->socket;

    for (unsigned i = 0; i < READS_A_TURN; i++) {
        const ssize_t n = socket_read(sock, conn->read_buffer, READ_BYTES);

        if (n == -EAGAIN)
            return;
        if (n <= 0) {
            redis_connection_fail(conn, n == 0 ? -ECONNRESET : (int)n,
                "%s closed the connection%s%s", conn->peer, n == 0 ? "" : ": ",
                n == 0 ? "" : uv_strerror((int)n));
            return;
        }
        conn->stats.reads++;
        conn->stats.read_bytes += (uint64_t)n;
        conn->read_ns = uv_hrtime();
        conn->read_ms = conn->read_ns / 1000000u;
        stream_take(conn, conn->read_buffer, (size_t)n);
        if (conn->socket != sock)
            return;
        if ((size_t)n < READ_BYTES)
            break;
    }
    redis_stream_check_room(conn);
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
    if (redis_out_bytes(out) > 0) {
        n = socket_write(sock, out->data + out->start, redis_out_bytes(out));
        conn->stats.writes++;
    }
    if (n < 0 && n != -EAGAIN) {
        stream_on_readable(conn); /* perhaps the server said why */
        if (conn->socket == sock)
            redis_connection_fail(
                conn, (int)n, "cannot write to %s: %s", conn->peer, uv_strerror((int)n));
        return;
    }
    if (n > 0) {
        conn->stats.written_bytes += (uint64_t)n;
        if (out == &conn->out)
            conn->written_bytes += (uint64_t)n;
        redis_out_consume(out, (size_t)n);
    }
    socket_watch(sock, redis_out_bytes(out) > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE);
    redis_stream_check_room(conn);
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
        redis_connection_on_connected(conn, error != 0 ? -error : status);
        return;
    }
    if (events & UV_READABLE)
        stream_on_readable(conn);
    if (conn->socket == sock && status < 0)
        redis_connection_fail(
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

int redis_stream_connect(struct redis_connection *conn, const struct sockaddr *address)
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
    r = redis_parser_start(&conn->parser);
    if (r < 0)
        goto close_fd;
    sock = stream_alloc(conn, sizeof(*sock));
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
        redis_stream_disconnect(conn);
    return r;

free_sock:
    stream_free(conn, sock);
stop_parser:
    redis_parser_stop(&conn->parser);
close_fd:
    close(fd);
    return r;
}

void redis_stream_disconnect(struct redis_connection *conn)
{
    struct redis_socket *sock = conn->socket;

    redis_parser_stop(&conn->parser);
    redis_out_clear(&conn->hello);
    if (!sock)
        return;
    conn->socket = NULL;
    uv_poll_stop(&sock->poll); /* from here libuv no longer knows the descriptor */
    close(sock->fd);
    uv_close((uv_handle_t *)&sock->poll, socket_on_closed);
}

int redis_stream_init(struct redis_connection *conn)
{
    const struct aisys_redis_config *config = conn->config;
    const struct redis_limits limits = {
        .string_bytes_max = config->string_bytes_max,
        .answer_bytes_max = config->answer_bytes_max,
        .array_max = config->array_max,
        .depth_max = config->depth_max,
    };

    conn->tail = &conn->head;
    redis_wheel_init(&conn->wheel, redis_now_ms());
    redis_out_init(&conn->out, &config->memory);
    redis_out_init(&conn->hello, &config->memory);
    redis_parser_init(&conn->parser, &config->memory, &limits);
    conn->read_buffer = stream_alloc(conn, READ_BYTES);
    return conn->read_buffer ? 0 : -ENOMEM;
}

void redis_stream_deinit(struct redis_connection *conn)
{
    while (conn->chunks) {
        struct redis_pending_chunk *chunk = conn->chunks;

        conn->chunks = chunk->next;
        stream_free(conn, chunk);
    }
    redis_parser_deinit(&conn->parser);
    redis_out_deinit(&conn->out);
    redis_out_deinit(&conn->hello);
    stream_free(conn, conn->read_buffer);
    conn->read_buffer = NULL;
}
