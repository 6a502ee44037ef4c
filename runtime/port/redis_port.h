/* The Redis port: one Redis server (TCP or Unix socket) as seen from one libuv loop.
 *
 * Commands of everybody on the loop share one connection. All commands of a loop turn leave in one
 * write; answers come back in order, each to its own callback. What is in flight is bounded in
 * number and, until written, in bytes. Every command has a deadline. The connection is kept: names are
 * resolved again and every address is tried, lost connections come back with exponential back-off and
 * jitter, a silent server is noticed by PING. Subscriptions have a second connection of their own,
 * opened with the first subscription and re-subscribed whenever it comes back.
 *
 *   breaker    when                                            a new command
 *   closed     ready, or connecting for the first time         is sent, or waits for the connection
 *   open       a connection was lost or could not be made      UNAVAILABLE at once
 *              (`breaker_failures` times running); waiting
 *   half open  the next attempt is under way                   UNAVAILABLE at once
 *
 * The probe of the half open breaker is the port's own greeting (AUTH, SELECT, PING): it costs no caller
 * a command. A server that is still loading its data set counts as not there yet. When it refuses the
 * password, the user or the database, the port says so and tries again only every `refused_retry_ms`.
 *
 * The connection is shared, so commands that would change it for others, or keep others waiting, are
 * refused (FORBIDDEN): SELECT, AUTH, HELLO, RESET, QUIT, MULTI and its kin (there is
 * aisys_redis_port_batch), SUBSCRIBE and its kin, MONITOR, SYNC, WAIT, the blocking ones (BLPOP, XREAD
 * BLOCK ...), CLIENT REPLY and CLIENT TRACKING.
 *
 * Threads: everything here runs on the loop's thread, callbacks too.
 * Errors:  0; negative errno (nothing happened, no callback will come); positive outcomes of enum
 *          aisys_redis_port_outcome (likewise).
 *          Once a call returned 0, its callback comes exactly once, never from inside the call.
 * Times:   milliseconds, in names ending in _ms; a 0 in the configuration means the default.
 * Memory:  bounded by the limits of the configuration; hiredis keeps at most one incomplete string. */
#ifndef AISYS_PORT_REDIS_PORT_H
#define AISYS_PORT_REDIS_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <aisys/code.h>
#include <aisys/redis_value.h>

struct uv_loop_s;
struct aisys_redis_port;
struct aisys_redis_subscription;

/* Where memory comes from: resize(ctx, NULL, n) allocates, resize(ctx, p, n) moves, resize(ctx, p, 0)
 * frees and returns NULL. NULL is "no memory". All zero: the C library's heap. */
struct aisys_redis_memory {
    void *(*resize)(void *ctx, void *old, size_t bytes);
    void *ctx;
};

/* How to reach the server and how much to take from it. Everything is borrowed for the call of
 * aisys_redis_port_open, which copies it. All fields but host or unix_path may be 0. */
struct aisys_redis_config {
    const char *host;        /* name or address; or ... */
    uint16_t port;           /* 6379 */
    const char *unix_path;   /* ... the path of a Unix socket, which wins over host */
    const char *username;    /* ACL user; NULL or "": AUTH with the password alone */
    const char *password;    /* NULL or "": no AUTH */
    const char *client_name; /* for CLIENT SETNAME; NULL or "": none; no blanks */
    uint32_t database;       /* SELECT; 0..65535 */

    uint32_t connect_timeout_ms; /* 2000; for the name, for each address, for the greeting */
    uint32_t deadline_ms;        /* 5000; of commands that name none; at most 600000 */
    uint32_t ping_interval_ms;   /* 5000; of silence before a PING asks whether the server lives */
    uint32_t ping_timeout_ms;    /* 2000; of more silence before the connection counts as lost */
    uint32_t backoff_min_ms;     /* 50; doubled at each attempt */
    uint32_t backoff_max_ms;     /* 10000 */
    uint32_t refused_retry_ms;   /* 30000; wrong password, user or database */
    uint32_t healthy_ms;         /* 5000; a connection that lived this long resets the back-off */
    uint32_t breaker_failures;   /* 1; failures running that open the breaker */

    uint32_t in_flight_max;    /* 4096; commands sent or waiting; at most 1048576 */
    size_t unsent_bytes_max;   /* 64 MiB; commands waiting to be written */
    size_t string_bytes_max;   /* 16 MiB; of one string in an answer */
    size_t answer_bytes_max;   /* 64 MiB; memory of one whole answer, or of those of one batch */
    uint32_t array_max;        /* 1048576; elements of one array in an answer */
    uint32_t depth_max;        /* 7; arrays inside arrays; 7 is the most that hiredis can */
    uint32_t subscription_max; /* 1024 */

    /* Any 32 bits, for jitter; NULL: none, which is for tests. */
    uint32_t (*random)(void *ctx);
    void *random_ctx;
    struct aisys_redis_memory memory;
};

enum aisys_redis_port_outcome {
    AISYS_REDIS_PORT_FULL = 1, /* in_flight_max or unsent_bytes_max reached: later, or elsewhere */
    AISYS_REDIS_PORT_UNAVAILABLE = 2, /* the breaker is open; aisys_redis_port_reason says why */
    AISYS_REDIS_PORT_FORBIDDEN = 3,   /* a command that a shared connection must not see */
    AISYS_REDIS_PORT_TOO_LARGE = 4,   /* would not fit even when nothing else waits */
    AISYS_REDIS_PORT_CLOSED = 5,      /* close was called */
};

/* How a command ended.
 *
 * code is AISYS_OK when Redis answered; value is the answer, and may well be an ERROR ("WRONGTYPE ...").
 * Otherwise value is NULL and message says what happened:
 *   DEADLINE_EXCEEDED    no answer in time; the connection stays, a late answer is swallowed, and what
 *                        waited for the connection all that time is not sent any more
 *   UNAVAILABLE          the connection was lost, or never came about
 *   RESOURCE_EXHAUSTED   the answer is over a limit, or there is no memory for it; only this command fails
 *   ABORTED              a transaction was not executed, none of its commands had an effect
 *   CANCELLED            the port was closed */
struct aisys_redis_answer {
    enum aisys_code code;
    const char *message;                   /* "" when OK; borrowed for the callback */
    const struct aisys_redis_value *value; /* borrowed for the callback */
    bool
        maybe_executed; /* Redis may have run it; false: it certainly never left, a retry is safe */
};

typedef void (*aisys_redis_answer_cb)(void *ctx, const struct aisys_redis_answer *answer);

enum aisys_redis_port_event {
    AISYS_REDIS_CONNECTED,      /* greeting done, commands flow */
    AISYS_REDIS_DISCONNECTED,   /* a ready connection was lost */
    AISYS_REDIS_CONNECT_FAILED, /* an attempt failed; comes for each attempt, so log it sparingly */
    AISYS_REDIS_BREAKER_OPENED, /* commands fail at once from here */
    AISYS_REDIS_BREAKER_CLOSED, /* commands flow again */
};

/* What the owner of a port is told, to log it. Either may be NULL. May call anything here. */
struct aisys_redis_port_callbacks {
    /* @reason: a sentence, "" when there is nothing to say; @retry_ms: until the next attempt, or 0;
     * @subscriptions: it is the connection of the subscriptions, not that of the commands. */
    void (*event)(void *ctx, enum aisys_redis_port_event event, bool subscriptions,
        const char *reason, uint32_t retry_ms);
    /* There is room again after a FULL, once, from the loop. */
    void (*room)(void *ctx);
};

/* What is wrong with @config as a sentence, or NULL. "database 70000: at most 65535". Any thread. */
const char *aisys_redis_config_problem(const struct aisys_redis_config *config);

/* A port on @loop (borrowed until the close callback). Connecting starts with the loop's next turn: a
 * server that is away is no error here. Returns 0, -EINVAL (see aisys_redis_config_problem), -ENOMEM.
 * *@ret is owned by the caller until aisys_redis_port_close. */
int aisys_redis_port_open(struct uv_loop_s *loop, const struct aisys_redis_config *config,
    const struct aisys_redis_port_callbacks *callbacks, void *ctx, struct aisys_redis_port **ret);

/* Ends the port: what is open ends with CANCELLED, then @closed is called (may be NULL) and the port is
 * gone; all from later turns of the loop, which must run until then. Accepts NULL, and then calls nothing.
 * Subscriptions end with it, without a further callback. */
void aisys_redis_port_close(struct aisys_redis_port *port, void (*closed)(void *ctx), void *ctx);

/* Sends the command of @arg_nr words. The words are copied. @deadline_ms from now, at most 600000; 0 is
 * the default of the configuration. Returns 0, an outcome, -EINVAL (no words, deadline too long) or
 * -ENOMEM. @done may be NULL when nobody cares for the answer. */
int aisys_redis_port_command(struct aisys_redis_port *port, const struct aisys_redis_arg *args,
    size_t arg_nr, uint32_t deadline_ms, aisys_redis_answer_cb done, void *ctx);

enum aisys_redis_batch_kind {
    AISYS_REDIS_PIPELINE, /* in order, one behind the other; others' commands never come between */
    AISYS_REDIS_TRANSACTION, /* MULTI ... EXEC: all or nothing, others see no state between */
};

/* Sends @command_nr commands (1..in_flight_max) and answers once, with an ARRAY of as many values, each
 * of which may be an ERROR of its own. All or none are taken. A transaction needs two more places in
 * flight. As aisys_redis_port_command otherwise. */
int aisys_redis_port_batch(struct aisys_redis_port *port, enum aisys_redis_batch_kind kind,
    const struct aisys_redis_command *commands, size_t command_nr, uint32_t deadline_ms,
    aisys_redis_answer_cb done, void *ctx);

enum aisys_redis_subscription_event {
    AISYS_REDIS_SUBSCRIBED, /* from here on; again after each reconnect: messages may be missing */
    AISYS_REDIS_MESSAGE,    /* one message */
    AISYS_REDIS_SUBSCRIPTION_LOST, /* the connection is gone; it will be subscribed again */
    AISYS_REDIS_SUBSCRIPTION_REFUSED, /* Redis said no, text in payload; tried again after a reconnect */
};

/* @channel: where it was published (the pattern's match, not the pattern). Borrowed, as is @payload. */
typedef void (*aisys_redis_subscription_cb)(void *ctx, enum aisys_redis_subscription_event event,
    struct aisys_redis_arg channel, struct aisys_redis_arg payload);

/* Subscribes to @channel (1..65536 bytes, copied), a glob pattern when @pattern. Several subscriptions to
 * one channel are served each. Returns 0, FULL (subscription_max), CLOSED, -EINVAL or -ENOMEM. *@ret is
 * owned by the caller until unsubscribe or the port's close. */
int aisys_redis_port_subscribe(struct aisys_redis_port *port, struct aisys_redis_arg channel,
    bool pattern, aisys_redis_subscription_cb cb, void *ctx, struct aisys_redis_subscription **ret);

/* No callback comes after this, not even one that is under way. Accepts NULL. */
void aisys_redis_port_unsubscribe(struct aisys_redis_subscription *subscription);

enum aisys_redis_port_state {
    AISYS_REDIS_WAITING,    /* for the back-off to pass */
    AISYS_REDIS_CONNECTING, /* name and addresses */
    AISYS_REDIS_GREETING,   /* AUTH, SELECT, PING */
    AISYS_REDIS_READY,
    AISYS_REDIS_CLOSING,
};

enum aisys_redis_breaker { AISYS_REDIS_CLOSED, AISYS_REDIS_OPEN, AISYS_REDIS_HALF_OPEN };

/* Numbers since open. At any time between callbacks
 *   accepted = answered + errors + too_large + aborted + deadline + lost + cancelled + open;
 * a batch counts as one. */
struct aisys_redis_port_stats {
    enum aisys_redis_port_state state;
    enum aisys_redis_breaker breaker;
    bool subscriptions_ready; /* connection of the subscriptions */
    uint32_t open;            /* calls whose callback is still to come */
    uint32_t
        in_flight; /* places taken: commands of open calls, and those given up on but unanswered */
    size_t unsent_bytes;
    uint32_t subscriptions;

    uint64_t accepted;
    uint64_t answered;  /* Redis answered, no error */
    uint64_t errors;    /* Redis answered with an error */
    uint64_t too_large; /* answer over a limit */
    uint64_t aborted;   /* transactions */
    uint64_t deadline;
    uint64_t lost; /* connection lost or never made */
    uint64_t cancelled;
    uint64_t refused_full;
    uint64_t refused_unavailable;
    uint64_t refused_other; /* FORBIDDEN, TOO_LARGE, CLOSED */
    uint64_t late;          /* commands answered after their deadline */

    uint64_t connects; /* ready again, the first time included */
    uint64_t connects_failed;
    uint64_t disconnects;
    uint64_t breaker_opened;
    uint64_t messages; /* of subscriptions */

    uint64_t latency_ns_sum; /* from the call to the answer, over answered + errors */
    uint64_t latency_ns_max;
    uint64_t writes; /* system calls */
    uint64_t reads;
    uint64_t written_bytes;
    uint64_t read_bytes;
};

void aisys_redis_port_stats(
    const struct aisys_redis_port *port, struct aisys_redis_port_stats *ret_stats);

/* Why the last connection ended or the last attempt failed, with the address; "" if none did. Borrowed
 * until the loop runs again. */
const char *aisys_redis_port_reason(const struct aisys_redis_port *port);

#endif
