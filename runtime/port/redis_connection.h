/* One connection to one Redis server: its life (redis_connection.c), its socket (redis_stream.c) and
 * those who wait for answers (redis_calls.c).
 *
 *     waiting     --back-off passed-->             connecting
 *     connecting  --socket connected-->            greeting
 *     greeting    --AUTH, SELECT, PING answered--> ready
 *     connecting, greeting, ready  --failure-->    waiting
 *     any         --close-->                       closing
 *
 * A port in single mode has one for commands and one for subscriptions; a cluster has one per node. Nothing
 * here knows of keys, slots or other servers.
 *
 * Of hiredis only the reader is used (redis_reply.h says why). The socket is watched with uv_poll, so that
 * a library which wants to read and write it itself (TLS) has to replace socket_read and socket_write
 * alone.
 *
 * Private to the Redis port. Threads: the loop's. */
#ifndef AISYS_PORT_REDIS_CONNECTION_H
#define AISYS_PORT_REDIS_CONNECTION_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <uv.h>

#include "port/redis_deadline.h"
#include "port/redis_port.h"
#include "port/redis_reply.h"
#include "port/redis_wire.h"

#define REDIS_ADDRESSES_MAX 16u
#define REDIS_PENDING_CHUNK 64u

struct redis_connection;
struct redis_socket;
struct redis_resolve;
struct redis_pending_chunk;

/* Several commands with one answer. */
struct redis_batch {
    struct redis_arena arena; /* of values */
    uint32_t pending_nr;      /* answers of Redis still to come */
    enum aisys_redis_batch_kind kind;
    bool given_up;      /* its callback was called */
    bool multi_refused; /* so its commands may have been executed one by one */
    bool over_limit;    /* an answer was */
    bool written;       /* a part of it; known at a loss */
    char problem[192];  /* the first one, "" */
    uint32_t value_nr;
    struct aisys_redis_value values[];
};

/* A command that Redis has not answered. Those of one connection stand in a row in the order in
 * which they were, or will be, written. */
struct redis_pending {
    struct redis_deadline deadline; /* first: found by its address */
    struct redis_pending *next;
    aisys_redis_answer_cb done; /* of a batch: in its last command only */
    void *ctx;
    struct redis_batch *batch; /* NULL: alone */
    uint32_t batch_index;
    bool given_up; /* the callback was called */
    bool is_call;  /* its end is that of a call: counted */
    uint64_t start_ns;
    uint64_t at_byte; /* where in the stream of written bytes it begins */
};

struct redis_connection_ops {
    void (*event)(
        void *owner, enum aisys_redis_port_event event, const char *reason, uint32_t retry_ms);
    void (*room)(void *owner);
    /* An answer to nobody. NULL: that is a protocol error. */
    void (*push)(void *owner, const struct aisys_redis_value *value);
    void (*closed)(void *owner);
};

enum redis_greeting { GREETING_AUTH, GREETING_NAME, GREETING_SELECT, GREETING_PING };

struct redis_connection {
    struct uv_loop_s *loop;
    const struct aisys_redis_config *config; /* complete; borrowed from the port */
    const struct redis_connection_ops *ops;
    void *owner;
    struct aisys_redis_port_stats stats; /* counters; the states are below */

    enum aisys_redis_port_state state;
    enum aisys_redis_breaker breaker;
    uint32_t failures; /* running */
    uint64_t ready_ms; /* since when */
    char reason[256];

    /* the attempt */
    struct redis_resolve *resolve; /* owned by libuv until its callback */
    struct sockaddr_storage addresses[REDIS_ADDRESSES_MAX];
    unsigned address_nr;
    unsigned address_at;
    char peer[128]; /* the address that is tried or connected, for messages */
    enum redis_greeting greeting[4];
    unsigned greeting_nr;
    unsigned greeting_at;

    /* the stream */
    struct redis_socket *socket; /* NULL: none */
    struct redis_parser parser;
    struct redis_out hello; /* the greeting */
    struct redis_out out;   /* commands */
    uint64_t queued_bytes;  /* position in the stream of the next command */
    uint64_t written_bytes; /* position up to which the socket took it */
    struct redis_pending *head;
    struct redis_pending **tail;
    uint32_t in_flight;
    struct redis_pending *spare;
    struct redis_pending_chunk *chunks;
    uint32_t pending_allocated;
    bool dirty;       /* something to write at the end of the turn */
    bool wants_room;  /* somebody was told FULL */
    uint64_t turn_ns; /* clock of this turn, valid while dirty */
    uint64_t read_ns; /* clock of the read that is handled */
    uint64_t read_ms; /* last sign of life */
    bool probed;      /* asked for one since, at probe_ms */
    uint64_t probe_ms;
    char *read_buffer;

    struct redis_wheel wheel;
    uint64_t armed_ms; /* deadline timer; 0: not armed */

    uv_timer_t timer; /* back-off, connect timeout, silence: by state */
    uv_timer_t deadline_timer;
    uv_prepare_t prepare;
    uv_idle_t idle;     /* keeps the loop from blocking before prepare has run */
    unsigned handle_nr; /* closing, or sockets */
};

/* --- redis_connection.c --- */

/* Starts connecting with the loop's next turn. Returns 0 or -ENOMEM, or what libuv says. */
int aisys_redis_connection_open(struct redis_connection *conn, struct uv_loop_s *loop,
    const struct aisys_redis_config *config, const struct redis_connection_ops *ops, void *owner);
/* ops->closed comes later; then the connection is all released. */
void aisys_redis_connection_close(struct redis_connection *conn);
/* One of its handles is gone. */
void aisys_redis_connection_handle_closed(struct redis_connection *conn);

/* The connection, or the attempt, has failed: everybody is told. @r: -EACCES when the server refused
 * us, any other negative errno is only for the eye of the reader. */
void aisys_redis_connection_fail(struct redis_connection *conn, int r, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The socket is connected, or not (@r). */
void aisys_redis_connection_on_connected(struct redis_connection *conn, int r);
/* The next answer of the greeting. */
void aisys_redis_connection_on_greeting(
    struct redis_connection *conn, const struct aisys_redis_value *value);

static inline uint64_t aisys_redis_now_ms(void)
{
    return uv_hrtime() / 1000000u;
}

static inline void *aisys_redis_alloc(struct redis_connection *conn, size_t bytes)
{
    return conn->config->memory.resize(conn->config->memory.ctx, NULL, bytes);
}

static inline void aisys_redis_free(struct redis_connection *conn, void *memory)
{
    if (memory)
        conn->config->memory.resize(conn->config->memory.ctx, memory, 0);
}

/* --- redis_stream.c: the socket --- */

int aisys_redis_stream_init(struct redis_connection *conn);
void aisys_redis_stream_deinit(struct redis_connection *conn);

/* Connects a socket to @address; aisys_redis_connection_on_connected tells when. 0 or negative
 * errno. */
int aisys_redis_stream_connect(struct redis_connection *conn, const struct sockaddr *address);
/* Closes it and forgets what was half read; what waits to be written stays. */
void aisys_redis_stream_disconnect(struct redis_connection *conn);

/* Appends a command whose answer, if any, is a push. 0 or -ENOMEM. */
int aisys_redis_stream_append(
    struct redis_connection *conn, const struct aisys_redis_arg *args, size_t arg_nr);
/* Something is to be written at the end of this turn. */
void aisys_redis_stream_mark_dirty(struct redis_connection *conn);

/* Whether bytes wait in the socket: after a stall of our own, silence is not the server's. */
bool aisys_redis_stream_has_unread(const struct redis_connection *conn);

/* --- redis_calls.c: who waits for an answer --- */

struct redis_submission {
    const struct aisys_redis_command *commands;
    size_t command_nr;
    bool batch; /* false: one command, answered by its own value */
    enum aisys_redis_batch_kind kind;
    uint32_t deadline_ms;
    bool internal; /* our own PING: counted nowhere */
    aisys_redis_answer_cb done;
    void *ctx;
};

void aisys_redis_calls_init(struct redis_connection *conn);
void aisys_redis_calls_deinit(struct redis_connection *conn);

/* As aisys_redis_port_command and aisys_redis_port_batch, arguments checked. */
int aisys_redis_calls_submit(
    struct redis_connection *conn, const struct redis_submission *submission);

/* The first in the row: where its answer goes (NULL: nowhere), and that the answer is complete. */
struct redis_arena *aisys_redis_calls_arena(struct redis_connection *conn);
void aisys_redis_calls_answer(struct redis_connection *conn);

/* Nothing has been written yet: those who no longer wait are taken out of the row, unexecuted. */
void aisys_redis_calls_drop_given_up(struct redis_connection *conn);

/* Ends all of them, and forgets what was not written. */
void aisys_redis_calls_fail_all(
    struct redis_connection *conn, enum aisys_code code, const char *message);

/* Tells the owner that there is room again, if somebody waits for it. */
void aisys_redis_calls_check_room(struct redis_connection *conn);

#endif
