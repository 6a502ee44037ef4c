/* What the files of a link share: link.c (life, sending), link_in.c (receiving),
 * link_queue.c (queues and their packing), link_frames.c (the buffers).
 *
 * A small message is written once, by the sender's call, into the buffer of the frame that will carry it:
 * the *open* frames of its priority. A large one is an item, on the stream of its pair of actors; while a
 * pair has a stream, all its messages of that priority go there, so that none overtakes the large one. */
#ifndef AISYS_CORE_LINK_IMPL_H
#define AISYS_CORE_LINK_IMPL_H

#include "link.h"

#define LINK_PRIORITIES        3
#define LINK_BUCKETS           64
#define LINK_FRAME_SMALL_BYTES 4096u /* most turns need no more */
#define LINK_SPARE_MAX         16    /* frames kept for reuse, of each size */
#define LINK_NEVER             UINT64_MAX

/* A message kept outside a frame. */
struct link_item {
    struct link_item *next;         /* on its stream */
    struct link_item *fresh_next;   /* sent in this turn */
    struct aisys_envelope envelope; /* payload: behind this struct */
    uint64_t base_ms;               /* when its deadline was so long; LINK_NEVER: this turn */
    size_t sent_bytes;              /* of a large one, already in frames */
};

struct link_stream {
    struct link_stream *next;        /* of its priority */
    struct link_stream *bucket_next; /* in the table */
    struct link_item *head;
    struct link_item *tail;
    struct aisys_id from;
    struct aisys_id to;
    uint64_t barrier; /* starts when the queue has packed so many */
    int number;       /* on the wire; -1: none */
    uint8_t priority;
};

/* Room for a frame: open (records are added), then numbered and kept until acknowledged. */
struct link_frame {
    struct link_frame *next;
    struct link_item *ended; /* the large message whose last piece is here; owned */
    uint64_t sequence;
    uint64_t base_ms; /* deadlines up to `settled` are as of then */
    uint64_t charge;  /* bytes of the whole messages in it */
    uint32_t capacity;
    uint32_t used; /* header included */
    uint32_t settled;
    uint16_t count;    /* records */
    uint16_t messages; /* whole ones */
    bool timed;        /* some record has a deadline */
    bool sent;
    unsigned char data[];
};

struct link_queue {
    struct link_frame *head;  /* open frames; owned */
    struct link_frame **tail; /* where the last one hangs; &head when empty */
    struct link_frame *fresh; /* the first with messages of this turn */
    struct link_stream *streams;
    struct link_stream **streams_tail;
    uint64_t pushed; /* small messages put into open frames */
    uint64_t packed; /* of these, sent on or dropped */
    unsigned credit;
    bool streams_turn; /* the next frame is for pieces */
};

/* A large message that is arriving. */
struct link_arrival {
    unsigned char *payload; /* owned; NULL: nothing arrives here */
    struct aisys_envelope envelope;
    uint64_t since_ms; /* its deadline counts from then */
    uint32_t total_bytes;
    uint32_t have_bytes;
};

struct aisys_link {
    struct aisys_link_config config;
    const struct aisys_link_ops *ops;
    void *ctx;
    unsigned char *hello; /* owned */
    struct aisys_link_accounts accounts;
    struct aisys_wire_fault fault;

    uint32_t peer_incarnation; /* 0: not known */
    bool closed;
    bool refused;    /* by this incarnation of the peer */
    bool busy;       /* the carrier */
    bool delivering; /* inside deliver() */
    bool calling;    /* inside another callback */
    uint64_t heard_ms;

    /* Out. */
    struct link_queue queues[LINK_PRIORITIES];
    struct link_stream *buckets[LINK_BUCKETS];
    unsigned streams_nr;
    bool *numbers_used;  /* owned; config.streams_max of them */
    unsigned numbers_nr; /* of these true */
    struct link_item *fresh_items;
    uint64_t sequence;       /* of the newest numbered frame */
    uint64_t sequence_sent;  /* the highest that the carrier took */
    struct link_frame *sent; /* numbered, not acknowledged; owned */
    struct link_frame **sent_tail;
    struct link_frame *cursor; /* the next one of these for the carrier; NULL: all handed over */
    unsigned sent_nr;
    unsigned window;            /* the smaller of both sides' */
    unsigned numbers_max;       /* the same of streams */
    uint32_t message_bytes_max; /* the same of payloads */
    uint64_t pack_at_ms;        /* not before: memory was short */
    uint64_t resend_at_ms;
    uint32_t resend_wait_ms;
    uint64_t back_sequence; /* where the peer last asked to begin again */
    uint64_t back_until_ms;
    struct link_frame *spare[2]; /* small, full size; owned */
    unsigned spare_nr[2];

    /* In. */
    uint64_t arrived;              /* all frames up to this number */
    struct link_arrival *arrivals; /* owned; config.streams_max of them */
    unsigned unacknowledged;
    uint64_t ack_at_ms; /* LINK_NEVER: no acknowledgement owed */
    bool ack_now;
    bool gap; /* tell that frames are missing */
    uint64_t gap_until_ms;
    bool refuse_now;
    enum aisys_wire_error refuse_why;
    uint64_t refuse_sequence;

    /* HELLO. */
    uint32_t challenge;
    uint32_t probed;   /* the incarnation that the challenge is for; 0: any */
    uint32_t hello_to; /* incarnation */
    uint32_t hello_echo;
    unsigned probes_left; /* HELLOs to `probed` before giving up on it */
    bool hello_now;
    uint64_t hello_at_ms; /* next one, while the peer is not known or probed */
};

/* ---- link_frames.c -------------------------------------------------------------------------- */

/* An empty one, of the smaller or of the full size; NULL: no memory. */
struct link_frame *aisys_link_frame_new(struct aisys_link *link, bool full);
void aisys_link_frame_free(struct aisys_link *link, struct link_frame *frame);

/* A full-sized frame with the content of @frame, which is released; NULL: no memory, nothing changed. */
struct link_frame *aisys_link_frame_grow(struct aisys_link *link, struct link_frame *frame);

/* The settled records of the open @frame have waited until @now_ms: requests that expired are lost, the
 * others get less time. */
void aisys_link_frame_age(
    struct aisys_link *link, struct link_queue *queue, struct link_frame *frame, uint64_t now_ms);

void aisys_link_frames_deinit(struct aisys_link *link); /* the spares */

/* Whether @envelope is a request that nobody waits for after @waited_ms. */
bool aisys_link_expired(const struct aisys_envelope *envelope, uint64_t waited_ms);

/* Count an accepted message as dead and tell. */
void aisys_link_lose(
    struct aisys_link *link, const struct aisys_envelope *envelope, enum aisys_link_loss why);

/* ---- link_queue.c --------------------------------------------------------------------------- */

void aisys_link_queues_init(struct aisys_link *link);

/* Put @envelope, whose record takes @charge bytes whole, into the queue of its priority: 0, -ENOMEM. */
int aisys_link_queue_put(
    struct aisys_link *link, const struct aisys_envelope *envelope, size_t charge);

/* The turn ends: deadlines of what it sent count from now. */
void aisys_link_queues_settle(struct aisys_link *link, uint64_t now_ms);

bool aisys_link_queues_any(const struct aisys_link *link);

/* The next frame to number and send, by weight of the priorities; NULL: nothing waits, or no memory. */
struct link_frame *aisys_link_pack(struct aisys_link *link, uint64_t now_ms);

/* lost() for everything queued and in flight; queues and window are empty afterwards. @to is who it
 * was for. */
void aisys_link_lose_all(struct aisys_link *link, uint64_t to, enum aisys_link_loss why);

/* ---- link_in.c ------------------------------------------------------------------------------ */

void aisys_link_forget_arrivals(struct aisys_link *link);

static inline void *link_alloc(struct aisys_link *link, size_t bytes)
{
    return link->config.memory->alloc(link->config.memory->ctx, bytes);
}

static inline void link_release(struct aisys_link *link, void *memory)
{
    if (memory)
        link->config.memory->free(link->config.memory->ctx, memory);
}

static inline uint64_t link_peer_id(const struct aisys_link *link)
{
    return (uint64_t)link->config.peer << 32 | link->peer_incarnation;
}

#endif
