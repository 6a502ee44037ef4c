/* The calls of a connection: those that Redis has not answered, how they end, and their bounds. */
#include "port/redis_connection.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/check.h"

struct redis_pending_chunk {
    struct redis_pending_chunk *next;
    struct redis_pending pending[REDIS_PENDING_CHUNK];
};

/* --- commands that are pending --- */

static int pending_reserve(struct redis_connection *conn, uint32_t count)
{
    while (conn->pending_allocated - conn->in_flight < count) {
        struct redis_pending_chunk *chunk = aisys_redis_alloc(conn, sizeof(*chunk));

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

    AISYS_CHECK(pending);
    conn->spare = pending->next;
    *pending = (struct redis_pending){ .start_ns = start_ns, .at_byte = conn->queued_bytes };
    *conn->tail = pending;
    conn->tail = &pending->next;
    conn->in_flight++;
    return pending;
}

static void pending_release(struct redis_connection *conn, struct redis_pending *pending)
{
    aisys_redis_wheel_remove(&pending->deadline);
    pending->next = conn->spare;
    conn->spare = pending;
    conn->in_flight--;
}

static struct redis_pending *pending_pop(struct redis_connection *conn)
{
    struct redis_pending *pending = conn->head;

    AISYS_CHECK(pending);
    conn->head = pending->next;
    if (!conn->head)
        conn->tail = &conn->head;
    return pending;
}

static void batch_release(struct redis_connection *conn, struct redis_batch *batch)
{
    AISYS_CHECK(batch->pending_nr > 0);
    if (--batch->pending_nr > 0)
        return;
    aisys_redis_arena_deinit(&batch->arena);
    aisys_redis_free(conn, batch);
}

/* --- how a call ends --- */

static void calls_count(struct redis_connection *conn, const struct aisys_redis_answer *answer)
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

/* Tells the caller: the last thing to do with a call, as the callback may do anything. */
static void calls_end_call(struct redis_connection *conn, bool is_call, aisys_redis_answer_cb done,
    void *ctx, const struct aisys_redis_answer *answer)
{
    if (is_call)
        calls_count(conn, answer);
    if (done)
        done(ctx, answer);
}

static void calls_count_latency(struct redis_connection *conn, const struct redis_pending *pending)
{
    const uint64_t ns = conn->read_ns > pending->start_ns ? conn->read_ns - pending->start_ns : 0;

    if (!pending->is_call)
        return;
    conn->stats.latency_ns_sum += ns;
    if (ns > conn->stats.latency_ns_max)
        conn->stats.latency_ns_max = ns;
}

static void calls_answer_single(struct redis_connection *conn, struct redis_pending *pending)
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
        calls_count_latency(conn, pending);
    else
        answer =
            (struct aisys_redis_answer){ AISYS_RESOURCE_EXHAUSTED, parser->problem, NULL, true };
    pending_release(conn, pending);
    calls_end_call(conn, is_call, done, ctx, &answer);
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

static void calls_answer_batch(struct redis_connection *conn, struct redis_pending *pending)
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
        calls_count_latency(conn, pending);
    pending_release(conn, pending);
    if (last && !batch->given_up) {
        batch_answer(batch, &value, &answer);
        calls_end_call(conn, true, done, ctx, &answer);
    }
    batch_release(conn, batch);
}

/* Ends a call without an answer of Redis; the pending command, or commands, stay in the row. */
static void calls_give_up(struct redis_connection *conn, struct redis_pending *pending,
    const struct aisys_redis_answer *answer)
{
    bool *given_up = pending->batch ? &pending->batch->given_up : &pending->given_up;

    if (*given_up)
        return;
    *given_up = true;
    calls_end_call(conn, pending->is_call, pending->done, pending->ctx, answer);
}

void aisys_redis_calls_fail_all(
    struct redis_connection *conn, enum aisys_code code, const char *message)
{
    const uint64_t written_bytes = conn->written_bytes;
    struct redis_pending *pending = conn->head;
    struct aisys_redis_answer answer = { code, message, NULL, false };

    conn->head = NULL;
    conn->tail = &conn->head;
    aisys_redis_out_clear(&conn->out);
    conn->queued_bytes = conn->written_bytes;
    while (pending) {
        struct redis_pending *next = pending->next;
        struct redis_batch *batch = pending->batch;
        const bool last = !batch || batch->pending_nr == 1;

        if (batch && pending->at_byte < written_bytes)
            batch->written = true;
        answer.maybe_executed = pending->at_byte < written_bytes || (batch && batch->written);
        aisys_redis_wheel_remove(&pending->deadline);
        if (last)
            calls_give_up(conn, pending, &answer);
        if (batch)
            batch_release(conn, batch);
        pending_release(conn, pending);
        pending = next;
    }
    aisys_redis_calls_check_room(conn);
}

/* --- deadlines --- */

static void calls_on_deadline(uv_timer_t *timer);

static void calls_arm(struct redis_connection *conn, uint64_t due_ms)
{
    const uint64_t now_ms = uv_now(conn->loop);

    conn->armed_ms = due_ms;
    uv_timer_start(
        &conn->deadline_timer, calls_on_deadline, due_ms > now_ms ? due_ms - now_ms : 0, 0);
}

static void calls_on_deadline(uv_timer_t *timer)
{
    struct redis_connection *conn = timer->data;
    /* While connected, what has not left yet will; else it is dropped before it does. */
    const struct aisys_redis_answer answer = { AISYS_DEADLINE_EXCEEDED,
        conn->state == AISYS_REDIS_READY ? "Redis did not answer before the deadline"
                                         : "no connection to Redis before the deadline",
        NULL, conn->state == AISYS_REDIS_READY };
    struct redis_deadline *due;
    uint64_t next_ms;

    conn->armed_ms = 0;
    aisys_redis_wheel_collect(&conn->wheel, aisys_redis_now_ms());
    while ((due = aisys_redis_wheel_take(&conn->wheel)))
        calls_give_up(conn, (struct redis_pending *)due, &answer);
    if (conn->state == AISYS_REDIS_CLOSING)
        return;
    next_ms = aisys_redis_wheel_next_ms(&conn->wheel);
    if (next_ms > 0)
        calls_arm(conn, next_ms);
}

/* --- taking commands --- */

void aisys_redis_calls_check_room(struct redis_connection *conn)
{
    if (!conn->wants_room || conn->state == AISYS_REDIS_CLOSING ||
        conn->in_flight > conn->config->in_flight_max / 4 * 3 ||
        aisys_redis_out_bytes(&conn->out) > conn->config->unsent_bytes_max / 4 * 3)
        return;
    conn->wants_room = false;
    conn->ops->room(conn->owner);
}

/* The bounds: 0 or an outcome, and the bytes that all the commands can take. */
static int calls_admit(struct redis_connection *conn, const struct redis_submission *submission,
    size_t pending_nr, size_t *ret_bytes)
{
    const struct aisys_redis_config *config = conn->config;
    size_t bytes = pending_nr > submission->command_nr ? 64 : 0; /* MULTI and EXEC */

    if (conn->state == AISYS_REDIS_CLOSING)
        return AISYS_REDIS_PORT_CLOSED;
    for (size_t i = 0; i < submission->command_nr; i++) {
        const struct aisys_redis_command *command = &submission->commands[i];
        const size_t more = aisys_redis_wire_bytes(command->args, command->arg_nr);

        if (!submission->internal && aisys_redis_wire_forbidden(command->args, command->arg_nr))
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
        bytes > config->unsent_bytes_max - aisys_redis_out_bytes(&conn->out))
        return AISYS_REDIS_PORT_FULL;
    *ret_bytes = bytes;
    return 0;
}

static void calls_count_refusal(struct redis_connection *conn, int outcome)
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
        aisys_redis_alloc(conn, sizeof(*batch) + submission->command_nr * sizeof(batch->values[0]));

    if (!batch)
        return NULL;
    *batch = (struct redis_batch){
        .kind = submission->kind,
        .value_nr = (uint32_t)submission->command_nr,
        .pending_nr = (uint32_t)pending_nr,
    };
    aisys_redis_arena_init(&batch->arena, &conn->config->memory, conn->config->answer_bytes_max);
    return batch;
}

static struct redis_pending *calls_append_pending(struct redis_connection *conn,
    const struct aisys_redis_arg *args, size_t arg_nr, uint64_t start_ns)
{
    struct redis_pending *pending = pending_push(conn, start_ns);
    const size_t before = aisys_redis_out_bytes(&conn->out);

    aisys_redis_wire_append(&conn->out, args, arg_nr);
    conn->queued_bytes += aisys_redis_out_bytes(&conn->out) - before;
    return pending;
}

int aisys_redis_calls_submit(
    struct redis_connection *conn, const struct redis_submission *submission)
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

    r = calls_admit(conn, submission, pending_nr, &bytes);
    if (r > 0) {
        calls_count_refusal(conn, r);
        return r;
    }
    r = aisys_redis_out_reserve(&conn->out, bytes);
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
            pending = calls_append_pending(conn, &multi, 1, start_ns);
        else if (transaction && i == pending_nr - 1)
            pending = calls_append_pending(conn, &exec, 1, start_ns);
        else
            pending = calls_append_pending(
                conn, submission->commands[at].args, submission->commands[at].arg_nr, start_ns);
        pending->batch = batch;
        pending->batch_index = (uint32_t)i;
    }
    pending->done = submission->done;
    pending->ctx = submission->ctx;
    pending->is_call = !submission->internal;
    aisys_redis_wheel_add(&conn->wheel, &pending->deadline, due_ms);
    if (conn->armed_ms == 0 || due_ms < conn->armed_ms)
        calls_arm(conn, due_ms);
    if (!submission->internal) {
        conn->stats.accepted++;
        conn->stats.open++;
    }
    if (conn->state == AISYS_REDIS_READY)
        aisys_redis_stream_mark_dirty(conn);
    return 0;
}

/* --- for the stream --- */

struct redis_arena *aisys_redis_calls_arena(struct redis_connection *conn)
{
    const struct redis_pending *head = conn->head;

    if (!head->batch)
        return head->given_up ? NULL : &conn->parser.scratch;
    if (head->batch->given_up)
        return NULL;
    if (head->batch->kind == AISYS_REDIS_TRANSACTION &&
        head->batch_index != head->batch->value_nr + 1)
        return &conn->parser.scratch; /* "QUEUED" */
    return &head->batch->arena;
}

void aisys_redis_calls_answer(struct redis_connection *conn)
{
    struct redis_pending *pending = pending_pop(conn);

    if (pending->batch)
        calls_answer_batch(conn, pending);
    else
        calls_answer_single(conn, pending);
}

void aisys_redis_calls_drop_given_up(struct redis_connection *conn)
{
    struct redis_out *out = &conn->out;
    struct redis_pending **at = &conn->head;
    size_t from = out->start;
    size_t to = out->start;
    uint64_t at_byte = conn->written_bytes;

    while (*at) {
        struct redis_pending *pending = *at;
        struct redis_batch *batch = pending->batch;
        const uint64_t end = pending->next ? pending->next->at_byte : conn->queued_bytes;
        const size_t bytes = (size_t)(end - pending->at_byte);

        if (batch ? batch->given_up : pending->given_up) {
            *at = pending->next;
            pending_release(conn, pending);
            if (batch)
                batch_release(conn, batch);
        } else {
            memmove(out->data + to, out->data + from, bytes);
            to += bytes;
            pending->at_byte = at_byte;
            at_byte += bytes;
            at = &pending->next;
        }
        from += bytes;
    }
    conn->tail = at;
    out->end = to;
    conn->queued_bytes = at_byte;
}

void aisys_redis_calls_init(struct redis_connection *conn)
{
    conn->tail = &conn->head;
    aisys_redis_wheel_init(&conn->wheel, aisys_redis_now_ms());
}

void aisys_redis_calls_deinit(struct redis_connection *conn)
{
    while (conn->chunks) {
        struct redis_pending_chunk *chunk = conn->chunks;

        conn->chunks = chunk->next;
        aisys_redis_free(conn, chunk);
    }
}
