/* A link: the reliable, ordered stream of messages between this run of this node and one peer node.
 *
 * A pure state machine. The carrier (an NNG socket, the simulator, a loop to oneself) moves whole frames
 * and may lose, double, delay and reorder them; the link makes of that: each message once, in order for
 * each priority and pair of actors, while both incarnations live. The format is proto/WIRE.md.
 *
 *     handler:   aisys_link_send()     as often as it likes; packs into buffers, calls nobody
 *     turn end:  aisys_link_flush()    hands frames to the carrier
 *     carrier:   aisys_link_frame()    a frame came; deliver() for each message in it
 *                aisys_link_writable() after it was busy
 *                aisys_link_reconnected() after a cut: sends again at once, not after resend_ms
 *     timer:     aisys_link_flush()    at aisys_link_next_ms(), ask again after every call
 *
 * Nothing is sent to a peer before HELLO has told its incarnation (unless the configuration has). When it
 * comes back as another, everything undelivered goes to lost() and peer() tells of the new one. Ids with
 * another incarnation than the peer's are AISYS_SEND_GONE.
 *
 * Deadlines count from the flush that ends the turn of the send. A request (ask, call) that expires
 * before it was in a frame is lost{deadline}; what was in a frame once is sent again with at least 1 ms.
 *
 * Accounts: accepted = acknowledged + in_flight + dead, always (a check).
 *
 * Threads: one at a time. Inside deliver(), aisys_link_send() alone may be called; inside the
 *          other callbacks no function of the same link.
 * Errors:  0, AISYS_SEND_* of <aisys/actor.h>, negative errno. Nothing that a peer sends is a check.
 * Times:   milliseconds of any clock that does not go back, given by the caller. */
#ifndef AISYS_CORE_LINK_H
#define AISYS_CORE_LINK_H

#include "arena.h"
#include "envelope.h"
#include "wire.h"

struct aisys_link;

/* What carrier() answers when it cannot take a frame now; aisys_link_writable() is called later. */
#define AISYS_LINK_BUSY 1

enum aisys_link_loss {
    AISYS_LINK_LOST_DEADLINE,  /* a request that nobody waits for any more */
    AISYS_LINK_LOST_RESTARTED, /* the peer came back as a new incarnation */
    AISYS_LINK_LOST_REFUSED,   /* the peer cannot read our frames: aisys_link_fault() */
    AISYS_LINK_LOST_CLOSED,    /* aisys_link_close() */
};

/* Called by the link; what they are given is borrowed for the call. All but peer are required. */
struct aisys_link_ops {
    /* Take a copy of the frame and return 0, or AISYS_LINK_BUSY and forget it. */
    int (*carrier)(void *ctx, const void *frame, size_t bytes);
    void (*deliver)(void *ctx, const struct aisys_envelope *envelope);
    /* Accepted, and not known to have arrived (it may have). */
    void (*lost)(void *ctx, const struct aisys_envelope *envelope, enum aisys_link_loss why);
    /* The peer is now @is (node number << 32 | incarnation), was @was (0: first time), and said @hello. */
    void (*peer)(void *ctx, uint64_t was, uint64_t is, struct aisys_bytes hello);
};

/* 0 takes the default in brackets. */
struct aisys_link_config {
    uint64_t node;                        /* this run of this node; incarnation not 0 */
    uint32_t peer;                        /* the peer's node number */
    uint32_t peer_incarnation;            /* when known, as on a link to oneself; 0: by HELLO */
    const struct aisys_allocator *memory; /* borrowed; NULL: the heap */
    uint32_t queue_messages;              /* accepted and not yet acknowledged [65536] */
    uint64_t queue_bytes;       /* the same in bytes [64 MiB, or twice message_bytes_max] */
    uint32_t message_bytes_max; /* payload, both ways [16 MiB] */
    uint32_t piece_above_bytes; /* larger payloads travel in pieces [16 KiB; <= 32 KiB] */
    uint16_t streams_max;       /* large messages in transit at once, each way [8; <= 1024] */
    uint16_t window_frames;     /* sent and not acknowledged [64] */
    uint16_t ack_frames;        /* acknowledge after so many [a quarter of the window] */
    uint32_t ack_delay_ms;      /* or after this time [5] */
    uint32_t resend_ms;         /* first wait for an acknowledgement [200]; doubles */
    uint32_t resend_max_ms;     /* up to this [2000] */
    struct aisys_bytes hello;   /* told to the peer; copied; at most 4096 bytes */
};

struct aisys_link_accounts {
    uint64_t accepted;
    uint64_t acknowledged;
    uint64_t in_flight; /* accepted, waiting or sent, not acknowledged */
    uint64_t dead;      /* given to lost() */
    uint64_t in_flight_bytes;
    uint64_t refused; /* not accepted: AISYS_SEND_FULL, TOO_BIG, GONE */
    uint64_t delivered;
    uint64_t frames_out; /* handed to the carrier, resent and bare ones included */
    uint64_t bytes_out;
    uint64_t frames_in;
    uint64_t bytes_in;
    uint64_t resent;     /* frames */
    uint64_t duplicates; /* frames that had come before */
    uint64_t gaps;       /* frames dropped because one before them is missing */
    uint64_t bad_frames;
    uint64_t stale;    /* frames of or for another incarnation */
    uint64_t restarts; /* of the peer */
};

/* Make a link. @ops (borrowed) and @ctx for as long as it lives. -EINVAL: a limit contradicts another or
 * the format; -ENOMEM. */
int aisys_link_new(const struct aisys_link_config *config, const struct aisys_link_ops *ops,
    void *ctx, struct aisys_link **ret_link);

/* Give up what is undelivered: lost{closed} for each. Afterwards sends are AISYS_SEND_GONE, frames are
 * ignored. May be repeated. */
void aisys_link_close(struct aisys_link *link);

/* Close and release. NULL is fine. */
void aisys_link_free(struct aisys_link *link);

/* Queue a copy of @envelope. 0: accepted. AISYS_SEND_FULL: the window of messages or bytes is full.
 * AISYS_SEND_TOO_BIG: more than either side takes. AISYS_SEND_GONE: not to this incarnation of this
 * peer, or the link is closed or refused. -ENOMEM. Other than 0: nothing is kept. */
int aisys_link_send(struct aisys_link *link, const struct aisys_envelope *envelope);

/* Hand to the carrier what may be sent, what is due to be sent again, and acknowledgements that are due. */
void aisys_link_flush(struct aisys_link *link, uint64_t now_ms);

/* A frame came. 0: taken, or dropped as seen, early or stale. -EBADMSG, -EPROTONOSUPPORT: it was bad;
 * aisys_link_fault() has why, for the log. -ENOMEM: dropped, the peer will send it again. */
int aisys_link_frame(struct aisys_link *link, const void *data, size_t bytes, uint64_t now_ms);

/* The carrier takes frames again: flush. */
void aisys_link_writable(struct aisys_link *link, uint64_t now_ms);

/* The carrier is connected anew; what it held may be lost: send everything in flight again, and flush. */
void aisys_link_reconnected(struct aisys_link *link, uint64_t now_ms);

/* When to call aisys_link_flush() at the latest: a time, 0 for at once, UINT64_MAX for never. */
uint64_t aisys_link_next_ms(const struct aisys_link *link);

/* The peer, node number << 32 | incarnation; incarnation 0: not known yet. */
uint64_t aisys_link_peer(const struct aisys_link *link);

/* When a frame of the peer came last; 0: never. */
uint64_t aisys_link_heard_ms(const struct aisys_link *link);

/* Borrowed while the link lives. */
const struct aisys_link_accounts *aisys_link_accounts(const struct aisys_link *link);
const struct aisys_wire_fault *aisys_link_fault(const struct aisys_link *link); /* the last one */

/* "deadline", "peer restarted", ... Static. */
const char *aisys_link_loss_words(enum aisys_link_loss why);

#endif
