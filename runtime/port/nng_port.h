/* NNG, as the node sees it: doors that others may use, pushes to others' doors, one request.
 *
 * NNG's threads run none of our code but short callbacks that queue an event and, when the queue was
 * empty, call the `wake` function; aisys_nng_drain() on the loop takes the events and calls the owners.
 *
 * Doors are open to strangers, so each has limits (struct aisys_nng_limits). What a door can cost:
 *   memory  <= pipes_max * message_bytes_max announced and not yet sent in full (NNG allocates what a
 *           peer announces; the kernel gives pages only to what then arrives)
 *           + outstanding * message_bytes_max received + pipes_max * largest reply not read by its client;
 *   sockets  pipes_max, and those that connected in the last 10 s without a word (NNG ends them; they do
 *           not count as pipes and hold no message).
 *
 * Threads: functions belong to the loop thread, and owners' callbacks run on it, inside
 *          aisys_nng_drain(), unless a comment says "any thread".
 * Errors:  0, negative errno (NNG's codes are translated), or a documented positive outcome.
 * Times:   milliseconds on CLOCK_MONOTONIC. */
#ifndef AISYS_PORT_NNG_PORT_H
#define AISYS_PORT_NNG_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aisys_nng;      /* all sockets of a node */
struct aisys_nng_door; /* where others come in */
struct aisys_nng_push; /* the way to one inbox */

/* Positive outcomes. */
enum {
    AISYS_NNG_GONE = 1, /* the client left before its answer */
    AISYS_NNG_FULL = 2, /* the push has no room: wait for `room` */
};

/* What an error of this port means, for people; any thread. */
const char *aisys_nng_words(int negative_errno);

/* --- the whole -------------------------------------------------------------------------------- */

/* @wake is called on any thread, and only says "call aisys_nng_drain() soon". Sets malloc()'s threshold for
 * fresh pages to 1 MiB, for the whole process: see the reason in the code. */
int aisys_nng_open(void (*wake)(void *arg), void *wake_arg, struct aisys_nng **ret_nng);

/* Hand what has arrived to its owners. Calls wake itself when it left some for the next turn. */
void aisys_nng_drain(struct aisys_nng *nng);

/* Close the pipes that did nothing for longer than their door's idle_ms. Call it every second or so. */
void aisys_nng_sweep(struct aisys_nng *nng, uint64_t now_ms);

/* Free @nng. -EBUSY while a door or a push has not called its closed function. Accepts NULL. */
int aisys_nng_close(struct aisys_nng *nng);

/* --- doors -------------------------------------------------------------------------------------- */

enum aisys_nng_kind {
    AISYS_NNG_REQUESTS, /* REP: every request is answered, in any order */
    AISYS_NNG_INBOX,    /* PULL: frames, in order per pipe */
    AISYS_NNG_EVENTS,   /* PUB: what anybody may hear */
};

struct aisys_nng_limits {
    size_t message_bytes_max; /* a pipe that announces more is closed by NNG */
    unsigned pipes_max;   /* of other processes, 1 to 1024; this process's own (inproc) are extra */
    unsigned outstanding; /* 1 to 1024 requests in flight, or frames not yet handled */
    unsigned idle_ms;     /* a pipe without a whole message for so long is closed; 0: never */
    unsigned evict_ms;    /* at pipes_max the pipe that was silent longest gives way to a newcomer,
                               * when it was silent for so long; 0: newcomers are refused */
};

/* Requests 24 MiB, 64 pipes, 128 in flight, 60 s; inbox 64 KiB frames; events: nobody may send. */
extern const struct aisys_nng_limits aisys_nng_limits_requests;
extern const struct aisys_nng_limits aisys_nng_limits_inbox;
extern const struct aisys_nng_limits aisys_nng_limits_events;

struct aisys_nng_msg {
    const void *data; /* borrowed for the call, unless kept */
    size_t bytes;
    uint32_t pipe; /* by whom: one id per connection, never reused soon */
    unsigned
        pipe_requests; /* requests door: how many of that pipe are in flight, this one included */
    void *handle;      /* for aisys_nng_msg_keep() */
};

/* Take the message over: its data stays where it is until aisys_nng_msg_free(). */
void *aisys_nng_msg_keep(struct aisys_nng_msg *msg);
void aisys_nng_msg_free(void *kept); /* any thread; accepts NULL */

struct aisys_nng_door_options {
    enum aisys_nng_kind kind;
    const struct aisys_nng_limits *limits; /* copied; NULL: those of the kind, above */
    void (*request)(void *arg, uint64_t id, struct aisys_nng_msg *msg); /* requests door */
    void (*frame)(void *arg, struct aisys_nng_msg *msg);                /* inbox */
    void (*pipe_gone)(
        void *arg, uint32_t pipe); /* may be NULL; frames that it sent before may still follow */
    void *arg;
};

struct aisys_nng_tls { /* texts in PEM, copied */
    const char *ca;
    const char *cert;
    const char *key;
    const char *server_name; /* a push: the name that the listener must prove */
};

int aisys_nng_door_open(struct aisys_nng *nng, const struct aisys_nng_door_options *options,
    struct aisys_nng_door **ret_door);

#define AISYS_NNG_LISTENERS_MAX 8
#define AISYS_NNG_URL_BYTES     160

/* Let the door listen also on @url: inproc://, ipc:// (mode 0600), tcp://, tls+tcp:// (with @tls, whose CA
 * must have signed the client). Port 0 takes a free one. @ret_url (may be NULL, else
 * AISYS_NNG_URL_BYTES) gets the address in use. -EADDRINUSE: somebody listens there. */
int aisys_nng_listen(
    struct aisys_nng_door *door, const char *url, const struct aisys_nng_tls *tls, char *ret_url);

/* Answer request @id, once. @data is copied.
 *
 * 0; AISYS_NNG_GONE, the client has left and nothing was sent; -ENOENT, no such request is open (any more);
 * -ENOMEM, the request is still open and may get a shorter answer. A client that does not read its
 * answers for 10 s is disconnected; while more than half of @outstanding are answers that wait to be read, after
 * half a second, so that nobody's answers keep others' requests out. */
int aisys_nng_reply(struct aisys_nng_door *door, uint64_t id, const void *data, size_t bytes);

/* Send "@topic NUL @data" to whoever subscribed to a beginning of it. Never waits: a subscriber that is 128
 * messages behind loses some. */
int aisys_nng_publish(
    struct aisys_nng_door *door, const char *topic, const void *data, size_t bytes);

/* End a connection: its requests may still be answered, into nothing. */
void aisys_nng_pipe_close(struct aisys_nng_door *door, uint32_t pipe);

/* Stop listening and receiving now; @closed (may be NULL) is called when nothing of the door is left, and the
 * door is freed after it. Requests in flight get no answer.
 *
 * NNG 1.5.2 may lock up in closing (its issues 1543 and 1813). The ways that we could make it do so are avoided
 * here; a program that ends still waits for @closed with a limit, and then exits without it. */
void aisys_nng_door_close(struct aisys_nng_door *door, void (*closed)(void *arg), void *arg);

struct aisys_nng_stats {
    unsigned pipes;       /* now, without this process's own */
    unsigned requests;    /* in flight now */
    uint64_t pipes_total; /* that were let in */
    uint64_t refused;     /* newcomers above pipes_max */
    uint64_t evicted;     /* that gave way to a newcomer */
    uint64_t idle_closed; /* by aisys_nng_sweep() */
    uint64_t slow_closed; /* clients that did not read their answers */
    uint64_t messages;    /* received; published, for events */
    uint64_t bytes;
    uint64_t replies;
    uint64_t replies_gone; /* answers whose client had left */
};

void aisys_nng_door_stats(const struct aisys_nng_door *door, struct aisys_nng_stats *ret_stats);

/* --- pushes ---------------------------------------------------------------------------------------- */

struct aisys_nng_push_options {
    const char *url;                   /* with an IP address: NNG would resolve a name by itself */
    const struct aisys_nng_tls *tls;   /* NULL: none */
    unsigned buffer;                   /* messages inside NNG: 2 to 4 for links; up to 8192 */
    unsigned queue;                    /* messages that wait here when those are full; may be 0 */
    unsigned reconnect_min_ms;         /* 0: 100 */
    unsigned reconnect_max_ms;         /* 0: 1000 */
    void (*state)(void *arg, bool up); /* may be NULL; every connection and its loss, in turns */
    void (*room)(void *arg);           /* may be NULL; after AISYS_NNG_FULL there is room again */
    void *arg;
};

/* Connect to an inbox, now and again after each loss. */
int aisys_nng_push_open(struct aisys_nng *nng, const struct aisys_nng_push_options *options,
    struct aisys_nng_push **ret_push);

/* Queue one message, copied, in order. 0; AISYS_NNG_FULL, nothing was queued; -ENOMEM. What was queued is
 * lost when the connection is. */
int aisys_nng_push_send(struct aisys_nng_push *push, const void *data, size_t bytes);

/* Any thread but the loop's: the same, waiting for room up to @timeout_ms; -ETIMEDOUT, -ESHUTDOWN when the
 * push is being closed. Two threads' messages have no order. No thread may begin to use a push whose
 * close has begun. */
int aisys_nng_push_send_wait(
    struct aisys_nng_push *push, const void *data, size_t bytes, unsigned timeout_ms);

/* As for a door. What NNG has not sent yet is lost. */
void aisys_nng_push_close(struct aisys_nng_push *push, void (*closed)(void *arg), void *arg);

struct aisys_nng_push_stats {
    bool up;
    unsigned queued; /* here, not in NNG */
    uint64_t connects;
    uint64_t messages; /* handed to NNG */
    uint64_t bytes;
    uint64_t full; /* refused */
    uint64_t lost; /* accepted and then failed */
};

void aisys_nng_push_stats(
    const struct aisys_nng_push *push, struct aisys_nng_push_stats *ret_stats);

/* --- one request, for tools and tests ----------------------------------------------------------------- */

/* Ask @url once and wait for the answer, at most @deadline_ms. Any thread but the loop's; needs no struct
 * aisys_nng. @ret_data (takes: free()) has a zero byte behind its end.
 *
 * -ECONNREFUSED nobody listens there (nor is there such a path or name), -EHOSTUNREACH, -ETIMEDOUT no
 * connection or no answer in time, -ECONNRESET the other side hung up, perhaps because the answer is
 * larger than 64 MiB or the request than its door allows, -EINVAL the URL. */
int aisys_nng_request(const char *url, const void *data, size_t bytes, unsigned deadline_ms,
    void **ret_data, size_t *ret_bytes);

#endif
