/* What the tests of the NNG adapter share: a loop reduced to "wait until woken, drain", clients on threads of
 * their own, and strangers that speak raw TCP. Everything is recorded and asserted on by the test. */
#ifndef TEST_NNG_STAGE_H
#define TEST_NNG_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "port/nng_port.h"

#define PATIENCE_MS 20000 /* how long a test waits for what must come */
#define SEEN_MAX    64

struct stage {
    int bell; /* an eventfd: written by wake */
    struct aisys_nng *nng;
    struct aisys_nng_door *door;
    char url[AISYS_NNG_URL_BYTES];
    bool echo; /* answer requests at once with what they say */
    unsigned requests;
    uint64_t ids[SEEN_MAX];
    char texts[SEEN_MAX][32];
    unsigned pipe_requests;
    unsigned frames;
    unsigned disorder; /* frames that were not the successor of the one before */
    uint32_t last_frame;
    void *keep; /* "keep" asks for it */
    uint32_t pipe;
    unsigned gone;
    unsigned closed;
};

static inline uint64_t stage_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static inline void stage_wake(void *arg)
{
    const struct stage *s = arg;

    if (write(s->bell, &(uint64_t){ 1 }, 8) != 8)
        abort(); /* not an assert: these jump, and this is another thread */
}

/* Drain until @done says so. */
static inline void stage_until(struct stage *s, bool (*done)(struct stage *s, void *arg), void *arg)
{
    const uint64_t end_ms = stage_now_ms() + PATIENCE_MS;
    struct pollfd fd = { .fd = s->bell, .events = POLLIN };
    uint64_t rings;

    while (!done(s, arg)) {
        if (stage_now_ms() > end_ms)
            fail_msg("nothing happened for %d ms", PATIENCE_MS);
        if (poll(&fd, 1, 10) == 1 && read(s->bell, &rings, 8) == 8)
            aisys_nng_drain(s->nng);
    }
}

static inline void stage_on_request(void *arg, uint64_t id, struct aisys_nng_msg *msg)
{
    struct stage *s = arg;
    const unsigned at = s->requests++ % SEEN_MAX;

    s->ids[at] = id;
    snprintf(s->texts[at], sizeof(s->texts[at]), "%.*s", (int)(msg->bytes < 31 ? msg->bytes : 31),
        (const char *)msg->data);
    s->pipe_requests = msg->pipe_requests;
    s->pipe = msg->pipe;
    if (s->echo)
        aisys_nng_reply(s->door, id, msg->data, msg->bytes);
}

static inline void stage_on_frame(void *arg, struct aisys_nng_msg *msg)
{
    struct stage *s = arg;
    uint32_t n = 0;

    s->frames++;
    s->pipe = msg->pipe;
    if (msg->bytes >= sizeof(n))
        memcpy(&n, msg->data, sizeof(n));
    if (n != s->last_frame + 1)
        s->disorder++;
    s->last_frame = n;
    if (msg->bytes == 4 && memcmp(msg->data, "keep", 4) == 0)
        s->keep = aisys_nng_msg_keep(msg);
}

static inline void stage_on_gone(void *arg, uint32_t pipe)
{
    (void)pipe;
    ((struct stage *)arg)->gone++;
}

static inline void stage_on_closed(void *arg)
{
    ((struct stage *)arg)->closed++;
}

static inline int stage_setup(void **state)
{
    struct stage *s = calloc(1, sizeof(*s));

    *state = s;
    s->echo = true;
    s->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return aisys_nng_open(stage_wake, s, &s->nng);
}

static inline bool stage_is_closed(struct stage *s, void *arg)
{
    return s->closed >= *(unsigned *)arg;
}

static inline void stage_close_door(struct stage *s)
{
    unsigned closed = s->closed + 1;

    aisys_nng_door_close(s->door, stage_on_closed, s);
    stage_until(s, stage_is_closed, &closed);
    s->door = NULL;
}

static inline int stage_teardown(void **state)
{
    struct stage *s = *state;
    int r;

    if (s->door)
        stage_close_door(s);
    r = aisys_nng_close(s->nng);
    close(s->bell);
    free(s);
    return r;
}

static inline void stage_open_at(struct stage *s, enum aisys_nng_kind kind,
    const struct aisys_nng_limits *limits, const char *url)
{
    const struct aisys_nng_door_options options = {
        .kind = kind,
        .limits = limits,
        .request = stage_on_request,
        .frame = stage_on_frame,
        .pipe_gone = stage_on_gone,
        .arg = s,
    };

    assert_int_equal(aisys_nng_door_open(s->nng, &options, &s->door), 0);
    assert_int_equal(aisys_nng_listen(s->door, url, NULL, s->url), 0);
}

static inline void stage_open(
    struct stage *s, enum aisys_nng_kind kind, const struct aisys_nng_limits *limits)
{
    stage_open_at(s, kind, limits, "tcp://127.0.0.1:0");
}

/* --- clients on their own threads ----------------------------------------------------------------- */

struct ask {
    pthread_t thread;
    const char *url;
    const char *text;
    unsigned deadline_ms;
    int r;
    char *answer;
    size_t bytes;
    atomic_bool done;
};

static inline void *ask_main(void *arg)
{
    struct ask *a = arg;

    a->r = aisys_nng_request(
        a->url, a->text, strlen(a->text), a->deadline_ms, (void **)&a->answer, &a->bytes);
    atomic_store(&a->done, true);
    return NULL;
}

static inline void ask_start(struct ask *a, const char *url, const char *text)
{
    *a = (struct ask){ .url = url, .text = text, .deadline_ms = PATIENCE_MS };
    assert_int_equal(pthread_create(&a->thread, NULL, ask_main, a), 0);
}

static inline bool ask_is_done(struct stage *s, void *arg)
{
    (void)s;
    return atomic_load(&((struct ask *)arg)->done);
}

/* What came of it; the answer stays for ask_free(). */
static inline int ask_finish(struct stage *s, struct ask *a)
{
    stage_until(s, ask_is_done, a);
    pthread_join(a->thread, NULL);
    return a->r;
}

static inline void assert_answered(struct stage *s, const char *url)
{
    struct ask a;

    ask_start(&a, url, "hello");
    assert_int_equal(ask_finish(s, &a), 0);
    assert_string_equal(a.answer, "hello");
    free(a.answer);
}

/* --- conditions ------------------------------------------------------------------------------------ */

static inline bool seen_requests(struct stage *s, void *arg)
{
    return s->requests >= *(unsigned *)arg;
}

static inline bool seen_frames(struct stage *s, void *arg)
{
    return s->frames >= *(unsigned *)arg;
}

static inline bool pipes_are(struct stage *s, void *arg)
{
    struct aisys_nng_stats stats;

    aisys_nng_door_stats(s->door, &stats);
    return stats.pipes == *(unsigned *)arg;
}

static inline void await_pipes(struct stage *s, unsigned n)
{
    stage_until(s, pipes_are, &n);
}

static inline void await_requests(struct stage *s, unsigned n)
{
    stage_until(s, seen_requests, &n);
}

/* --- strangers -------------------------------------------------------------------------------------- */

#define SP_REQ   "\0SP\0\0\x30\0\0"
#define SP_PUSH  "\0SP\0\0\x50\0\0"
#define SP_SUB   "\0SP\0\0\x21\0\0"
#define SP_BYTES 8

static inline int stranger_connect(const char *url)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    const struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static inline void stranger_say(int fd, const void *data, size_t bytes)
{
    assert_int_equal(send(fd, data, bytes, MSG_NOSIGNAL), bytes);
}

/* Connected, and past the SP header when @header is a good one. */
static inline int stranger(const char *url, const char *header)
{
    const int fd = stranger_connect(url);

    stranger_say(fd, header, SP_BYTES);
    return fd;
}

/* The door hung up on it, after its own SP header perhaps. */
static inline void assert_hung_up(int fd)
{
    char buf[64];
    ssize_t n;

    do
        n = recv(fd, buf, sizeof(buf), 0);
    while (n > 0);
    assert_true(n == 0 || errno == ECONNRESET);
    close(fd);
}

#endif
