/* libuv, as the node sees it: one loop, its clock, its pool.
 *
 * The loop does one thing per iteration beside I/O: it calls the *turn* function. That runs actors
 * for as long as the caller's own budget lets it (1 ms) and says whether work is left. While work is
 * left the loop looks at its sockets without waiting and comes back at once; when none is left it
 * sleeps until a socket, a bell, a signal, the end of pool work or wake_at().
 *
 * Threads: the thread that called aisys_uv_open() is the loop thread; every function belongs to it and
 *          every callback runs on it, unless a comment says "any thread" or "on the pool".
 * Errors:  0 is success, else negative errno. libuv's codes are that already; its name lookup's are
 *          translated.
 * Times:   milliseconds on CLOCK_MONOTONIC, never 0. */
#ifndef AISYS_PORT_UV_PORT_H
#define AISYS_PORT_UV_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aisys_uv;
struct aisys_uv_bell;
struct aisys_uv_work;
struct uv_loop_s;

/* Handle what there is, within the caller's own budget. True: there is more, come back at once. */
typedef bool (*aisys_uv_turn_fn)(void *arg);
typedef void (*aisys_uv_bell_fn)(void *arg);
typedef void (*aisys_uv_signal_fn)(void *arg, int signum);

/* --- the loop ------------------------------------------------------------------------------- */

/* Make a loop. @turn may be NULL (a loop of I/O alone). */
int aisys_uv_open(aisys_uv_turn_fn turn, void *arg, struct aisys_uv **ret_uv);

/* Run until aisys_uv_stop(). May be called again afterwards. */
int aisys_uv_run(struct aisys_uv *uv);

/* One iteration that does not wait, for tests and for a start in steps. True: a turn left work. */
bool aisys_uv_run_once(struct aisys_uv *uv);

/* Make aisys_uv_run() return at the end of this iteration. */
void aisys_uv_stop(struct aisys_uv *uv);

/* The beginning of the end: bells, signals and the turn function fall silent, no work is taken any more, pool
 * work not yet begun ends with -ECANCELED, and running work is waited for, at most @wait_ms (UINT64_MAX: for
 * ever). 0: every `done` has been called. -ETIMEDOUT: work still runs; call again, or let the process end
 * by _exit(): exit() waits for the pool, too. */
int aisys_uv_settle(struct aisys_uv *uv, uint64_t wait_ms);

/* Settle without a limit, close what this port opened and free the loop. Accepts NULL.
 *
 * -EBUSY: a handle that someone else put on aisys_uv_loop() is still open. The loop is then still
 * valid; close the handle and call again. */
int aisys_uv_close(struct aisys_uv *uv);

/* libuv's own loop, borrowed, for the adapters that bring another library onto it. */
struct uv_loop_s *aisys_uv_loop(struct aisys_uv *uv);

/* Wake the loop, and with it the turn function, at @at_ms. One alarm: the last call counts;
 * UINT64_MAX is never. */
void aisys_uv_wake_at(struct aisys_uv *uv, uint64_t at_ms);

/* --- clocks: any thread -------------------------------------------------------------------------- */

uint64_t aisys_uv_now_ms(void);

/* CLOCK_MONOTONIC in nanoseconds: what a deadline in microseconds or a benchmark wants. */
uint64_t aisys_uv_now_ns(void);

/* Milliseconds since 1970, for what people and other machines read. It may jump. */
uint64_t aisys_uv_wall_ms(void);

/* A counter that costs a few nanoseconds: for shares of loop time, never for deadlines. Only
 * differences on one thread mean anything. */
static inline uint64_t aisys_uv_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;

    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return aisys_uv_now_ns();
#endif
}

/* What that counter makes of a millisecond. The first call measures for a millisecond, on any thread;
 * aisys_uv_open() has already done it. */
uint64_t aisys_uv_ticks_per_ms(void);

/* --- wake-ups and signals ------------------------------------------------------------------------- */

/* A bell calls @ring on the loop some time after it was rung; several rings before that are one, so
 * @ring takes all there is. */
int aisys_uv_bell_open(
    struct aisys_uv *uv, aisys_uv_bell_fn ring, void *arg, struct aisys_uv_bell **ret_bell);

/* Any thread, and from a signal handler, until the bell is closed: whoever rings must have stopped by then. */
void aisys_uv_bell_ring(struct aisys_uv_bell *bell);

/* The bell is silent on return and frees itself. Accepts NULL. */
void aisys_uv_bell_close(struct aisys_uv_bell *bell);

/* Call @fn on the loop for each @signum (several at once may be one). Once per signal;
 * -EEXIST when it is taken. */
int aisys_uv_signal(struct aisys_uv *uv, int signum, aisys_uv_signal_fn fn, void *arg);

/* --- the pool ------------------------------------------------------------------------------------- */

/* How many threads the pool has: 1 to 1024. Process-wide, before the first use of the pool and before
 * there are other threads (it sets UV_THREADPOOL_SIZE): -EBUSY after the first use. */
int aisys_uv_pool_size(unsigned threads);

/* Run @run(@arg) on the pool, then @done(@arg, status) on the loop: 0, or -ECANCELED and @run was
 * never called. The queue has no bound of its own: the caller's lanes have.
 *
 * @ret_work (may be NULL) is borrowed until @done is called. */
int aisys_uv_work(struct aisys_uv *uv, void (*run)(void *arg), void (*done)(void *arg, int status),
    void *arg, struct aisys_uv_work **ret_work);

/* Take back work that has not begun: 0, and `done` still comes, with -ECANCELED; -EBUSY when it runs
 * already. */
int aisys_uv_work_cancel(struct aisys_uv_work *work);

/* Read a regular file of at most @max_bytes on the pool. @done gets 0 and the bytes (takes: free(); a
 * zero byte follows them), or negative errno and NULL: -EFBIG when it is larger, -EINVAL when it is no
 * regular file. -ECANCELED: the loop was closed. */
int aisys_uv_read_file(struct aisys_uv *uv, const char *path, size_t max_bytes,
    void (*done)(void *arg, int status, void *data, size_t bytes), void *arg);

/* dlopen(@path, RTLD_NOW | RTLD_LOCAL) on the pool: constructors of the module run there. @done gets the
 * handle (takes: dlclose()), or NULL and the words of the linker, borrowed for the call. */
int aisys_uv_dlopen(struct aisys_uv *uv, const char *path,
    void (*done)(void *arg, void *handle, const char *error), void *arg);

#define AISYS_UV_ADDRESSES_MAX 8
#define AISYS_UV_ADDRESS_BYTES 46 /* INET6_ADDRSTRLEN */

struct aisys_uv_addresses {
    unsigned n;
    char text[AISYS_UV_ADDRESSES_MAX][AISYS_UV_ADDRESS_BYTES]; /* 192.0.2.1 or 2001:db8::1 */
};

/* The addresses of @host in the resolver's order, the first AISYS_UV_ADDRESSES_MAX of them. @done gets 0 and a
 * borrowed list, or: -ENOENT no such name, -EAGAIN the name server did not answer, -ECANCELED the
 * loop was closed, -EIO, -ENOMEM. */
int aisys_uv_resolve(struct aisys_uv *uv, const char *host,
    void (*done)(void *arg, int status, const struct aisys_uv_addresses *addresses), void *arg);

/* --- randomness: any thread ------------------------------------------------------------------------- */

/* Fill @buf from the kernel's generator. */
int aisys_uv_random(void *buf, size_t bytes);

#endif
