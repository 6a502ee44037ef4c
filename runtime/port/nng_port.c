/* The NNG adapter: what all its sockets share. Events from NNG's threads to the loop, errors, TLS, closing. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>

#include "core/check.h"
#include "port/nng_impl.h"

#define LARGE_BYTES      (1 << 20)
#define EVENTS_PER_DRAIN 256

/* --- errors ---------------------------------------------------------------------------------- */

static const struct {
    int nng;
    int err;
} nng_errors[] = {
    { NNG_EINTR, EINTR },
    { NNG_ENOMEM, ENOMEM },
    { NNG_EINVAL, EINVAL },
    { NNG_EBUSY, EBUSY },
    { NNG_ETIMEDOUT, ETIMEDOUT },
    { NNG_ECONNREFUSED, ECONNREFUSED },
    { NNG_ECLOSED, ESHUTDOWN },
    { NNG_EAGAIN, EAGAIN },
    { NNG_ENOTSUP, EOPNOTSUPP },
    { NNG_EADDRINUSE, EADDRINUSE },
    { NNG_ESTATE, EPROTO },
    { NNG_ENOENT, ENOENT },
    { NNG_EPROTO, EPROTO },
    { NNG_EUNREACHABLE, EHOSTUNREACH },
    { NNG_EADDRINVAL, EADDRNOTAVAIL },
    { NNG_EPERM, EACCES },
    { NNG_EMSGSIZE, EMSGSIZE },
    { NNG_ECONNABORTED, ECONNABORTED },
    { NNG_ECONNRESET, ECONNRESET },
    { NNG_ECANCELED, ECANCELED },
    { NNG_ENOFILES, EMFILE },
    { NNG_ENOSPC, ENOSPC },
    { NNG_EEXIST, EEXIST },
    { NNG_EREADONLY, EROFS },
    { NNG_EWRITEONLY, EACCES },
    { NNG_ECRYPTO, EKEYREJECTED },
    { NNG_EPEERAUTH, EKEYREJECTED },
    { NNG_ENOARG, EINVAL },
    { NNG_EAMBIGUOUS, EINVAL },
    { NNG_EBADTYPE, EINVAL },
    { NNG_ECONNSHUT, EPIPE },
};

int nng_errno(int rv)
{
    if (rv == 0)
        return 0;
    if (rv & NNG_ESYSERR)
        return -(rv & ~NNG_ESYSERR);
    for (size_t i = 0; i < sizeof(nng_errors) / sizeof(nng_errors[0]); i++)
        if (nng_errors[i].nng == rv)
            return -nng_errors[i].err;
    return -EIO;
}

const char *aisys_nng_words(int negative_errno)
{
    switch (-negative_errno) {
    case EADDRINUSE:
        return "the address is in use: something listens there already";
    case EADDRNOTAVAIL:
        return "the address is not one of this machine's, or is malformed";
    case ECONNREFUSED:
        return "connection refused: nothing listens there";
    case ENOENT:
        return "no such path or name";
    case EACCES:
        return "permission denied";
    case EHOSTUNREACH:
        return "the host cannot be reached";
    case ETIMEDOUT:
        return "no answer in time";
    case ECONNRESET:
        return "the other side closed the connection";
    case ESHUTDOWN:
        return "the socket was closed";
    case EMSGSIZE:
        return "the message is larger than the door allows";
    case EPROTO:
        return "the other side speaks another protocol";
    case EKEYREJECTED:
        return "TLS: key or certificate not accepted";
    case EOPNOTSUPP:
        return "not supported: the URL begins with inproc://, ipc://, tcp:// or tls+tcp://";
    case EINVAL:
        return "not a valid address: inproc://NAME, ipc://PATH, tcp://ADDRESS:PORT, "
               "tls+tcp://ADDRESS:PORT";
    default:
        return strerror(-negative_errno);
    }
}

uint64_t nng_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* --- events ---------------------------------------------------------------------------------- */

bool nng_post_locked(struct aisys_nng *nng, struct nng_event *event)
{
    const bool was_empty = !nng->head;

    if (event->queued)
        return false;
    event->queued = true;
    event->next = NULL;
    if (was_empty)
        nng->head = event;
    else
        nng->tail->next = event;
    nng->tail = event;
    return was_empty;
}

void nng_post(struct aisys_nng *nng, struct nng_event *event)
{
    bool wake;

    pthread_mutex_lock(&nng->lock);
    wake = nng_post_locked(nng, event);
    pthread_mutex_unlock(&nng->lock);
    if (wake)
        nng->wake(nng->wake_arg);
}

static struct nng_event *nng_take(struct aisys_nng *nng)
{
    struct nng_event *event;

    pthread_mutex_lock(&nng->lock);
    event = nng->head;
    if (event) {
        nng->head = event->next;
        event->queued = false; /* what happens from now on queues it again */
    }
    pthread_mutex_unlock(&nng->lock);
    return event;
}

void aisys_nng_drain(struct aisys_nng *nng)
{
    struct nng_event *event;
    bool more;

    for (unsigned i = 0; i < EVENTS_PER_DRAIN; i++) {
        event = nng_take(nng);
        if (!event)
            return;
        event->run(event);
    }
    /* Whoever queues behind these finds the queue not empty and does not wake. */
    pthread_mutex_lock(&nng->lock);
    more = nng->head != NULL;
    pthread_mutex_unlock(&nng->lock);
    if (more)
        nng->wake(nng->wake_arg);
}

/* NNG takes closed pipes apart on a thread of its own. At exit that must come to its end, or a leak
 * checker finds what the thread had still to do. */
static void nng_end_at_exit(void)
{
    (void)atexit(nng_fini);
}

int aisys_nng_open(void (*wake)(void *arg), void *wake_arg, struct aisys_nng **ret_nng)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct aisys_nng *nng;
    int r;

    (void)pthread_once(&once, nng_end_at_exit);
    /* NNG clears what a peer announces. In fresh pages that costs nothing; but glibc raises the size from which
     * on it takes fresh pages after each free(), and then clearing touches it all, and takes milliseconds in which
     * closing that pipe locks NNG 1.5.2 up (it starts to receive on an operation that was stopped). */
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    nng = calloc(1, sizeof(*nng));
    if (!nng)
        return -ENOMEM;
    r = pthread_mutex_init(&nng->lock, NULL);
    if (r != 0) {
        free(nng);
        return -r;
    }
    nng->wake = wake;
    nng->wake_arg = wake_arg;
    *ret_nng = nng;
    return 0;
}

int aisys_nng_close(struct aisys_nng *nng)
{
    if (!nng)
        return 0;
    if (nng->users)
        return -EBUSY;
    AISYS_CHECK(!nng->head);
    pthread_mutex_destroy(&nng->lock);
    free(nng);
    return 0;
}

/* --- messages -------------------------------------------------------------------------------- */

void *aisys_nng_msg_keep(struct aisys_nng_msg *msg)
{
    void *kept = msg->handle;

    AISYS_CHECK(kept);
    msg->handle = NULL;
    return kept;
}

void aisys_nng_msg_free(void *kept)
{
    nng_msg_free(kept);
}

/* --- TLS ------------------------------------------------------------------------------------- */

int nng_tls_make(const struct aisys_nng_tls *tls, bool server, nng_tls_config **ret_config)
{
    nng_tls_config *config;
    int rv;

    rv = nng_tls_config_alloc(&config, server ? NNG_TLS_MODE_SERVER : NNG_TLS_MODE_CLIENT);
    if (rv != 0)
        return nng_errno(rv);
    rv = nng_tls_config_auth_mode(config, NNG_TLS_AUTH_MODE_REQUIRED);
    if (rv == 0 && tls->ca)
        rv = nng_tls_config_ca_chain(config, tls->ca, NULL);
    if (rv == 0 && tls->cert && tls->key)
        rv = nng_tls_config_own_cert(config, tls->cert, tls->key, NULL);
    if (rv == 0 && tls->server_name)
        rv = nng_tls_config_server_name(config, tls->server_name);
    if (rv != 0) {
        nng_tls_config_free(config);
        return nng_errno(rv);
    }
    *ret_config = config;
    return 0;
}

/* --- closing --------------------------------------------------------------------------------- */

static void *nng_closer_main(void *arg)
{
    struct nng_closer *closer = arg;

    closer->close(closer);
    nng_post(closer->nng, &closer->event);
    return NULL;
}

void nng_closer_start(struct nng_closer *closer)
{
    closer->joinable = pthread_create(&closer->thread, NULL, nng_closer_main, closer) == 0;
    /* UNTESTED: a process that cannot have another thread. It waits for NNG here, then. */
    if (!closer->joinable)
        nng_closer_main(closer);
}

void nng_closer_join(struct nng_closer *closer)
{
    if (closer->joinable)
        pthread_join(closer->thread, NULL);
}
