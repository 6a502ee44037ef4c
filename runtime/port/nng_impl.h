/* What the files of the NNG adapter share. For them alone; include <nng/nng.h> first.
 *
 * One lock (of struct aisys_nng) protects the queue of events, `done` of every operation, the tables of
 * pipes and the counters that NNG's threads change. No function of NNG that could wait or
 * call back is called with it held. */
#ifndef AISYS_PORT_NNG_IMPL_H
#define AISYS_PORT_NNG_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "port/nng_port.h"

/* Something that the loop should look at: part of the object that it is about, queued at most once. */
struct nng_event {
    struct nng_event *next;
    void (*run)(struct nng_event *event);
    bool queued; /* under the lock */
};

struct aisys_nng {
    pthread_mutex_t lock;
    void (*wake)(void *arg);
    void *wake_arg;
    struct nng_event *head; /* under the lock, as tail is */
    struct nng_event *tail;
    struct aisys_nng_door *doors; /* loop only */
    unsigned users;               /* doors and pushes not yet closed; loop only */
};

/* Closing a socket waits for NNG, so a thread of its own does it. */
struct nng_closer {
    pthread_t thread;
    bool joinable;
    void (*close)(struct nng_closer *closer); /* on that thread */
    struct aisys_nng *nng;
    struct nng_event event; /* on the loop: the thread is done */
    void (*closed)(void *arg);
    void *arg;
};

#define NNG_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

int nng_errno(int rv);
uint64_t nng_now_ms(void);

/* With the lock held: queue @event. True: call nng_wake() once the lock is free again. */
bool nng_post_locked(struct aisys_nng *nng, struct nng_event *event);
void nng_post(struct aisys_nng *nng, struct nng_event *event);

void nng_closer_start(struct nng_closer *closer);
void nng_closer_join(struct nng_closer *closer);

/* The TLS configuration of a listener (@server) or dialer, to be freed by the caller. */
struct nng_tls_config;
int nng_tls_make(const struct aisys_nng_tls *tls, bool server, struct nng_tls_config **ret_config);

/* --- pipes of a door: nng_pipes.c ------------------------------------------------------------- */

struct nng_pipe_row {
    uint32_t id;
    unsigned requests; /* in flight */
    uint64_t last_ms;  /* of its last whole message, or of its arrival */
    bool ours;         /* inproc: not counted, never evicted */
    bool closing;      /* we closed it and wait for NNG to say so: not counted any more */
    bool gone;         /* closed; waits for the loop to tell the owner */
};

/* All under the lock of struct aisys_nng. */
struct nng_pipes {
    struct nng_pipe_row *rows; /* packed, in no order */
    unsigned rows_nr;
    unsigned rows_max;
    unsigned counted;
};

int nng_pipes_init(struct nng_pipes *pipes, unsigned pipes_max);
void nng_pipes_deinit(struct nng_pipes *pipes);
struct nng_pipe_row *nng_pipes_find(struct nng_pipes *pipes, uint32_t id);
void nng_pipes_add(struct nng_pipes *pipes, uint32_t id, bool ours, uint64_t now_ms);
void nng_pipes_remove(struct nng_pipes *pipes, struct nng_pipe_row *row);
/* Count @row as closed; the caller closes the pipe itself once the lock is free. */
void nng_pipes_give_up(struct nng_pipes *pipes, struct nng_pipe_row *row);
/* The pipe that has been silent longest, and for @silent_ms at least; NULL: none. */
struct nng_pipe_row *nng_pipes_silent(struct nng_pipes *pipes, uint64_t silent_ms, uint64_t now_ms);

/* --- doors: nng_door.c, nng_door_in.c ------------------------------------------------------------ */

/* One receive operation and, for a request, its answer. */
struct nng_slot {
    struct aisys_nng_door *door;
    nng_aio *aio;
    nng_ctx ctx; /* requests door */
    struct nng_event event;
    bool done; /* under the lock: the operation has ended and the loop has not looked */
    enum { SLOT_RECEIVING, SLOT_OPEN, SLOT_SENDING } state; /* loop only */
    uint32_t pipe;
    uint64_t serial;
};

struct aisys_nng_door {
    struct aisys_nng *nng;
    struct aisys_nng_door *next;
    enum aisys_nng_kind kind;
    struct aisys_nng_limits limits;
    struct aisys_nng_door_options options; /* `limits` of it is not used */
    nng_socket socket;
    bool socket_open;
    atomic_bool closing;
    uint32_t own[AISYS_NNG_LISTENERS_MAX]; /* ids of the inproc listeners; under the lock */
    unsigned own_nr;
    unsigned listeners_nr;
    struct nng_pipes pipes;
    struct nng_event pipes_event;
    struct nng_slot *slots;
    unsigned slots_nr;
    unsigned sending; /* slots in SLOT_SENDING; loop only */
    unsigned head;    /* inbox: the slot whose frame is next */
    uint64_t serial;
    struct nng_event inbox_event;
    struct aisys_nng_stats stats; /* under the lock */
    struct nng_closer closer;
};

int nng_slots_open(struct aisys_nng_door *door);
void nng_slots_close(struct aisys_nng_door *door); /* on the closer's thread, after the socket */
void nng_slots_free(struct aisys_nng_door *door);

#endif
