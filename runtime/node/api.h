/* Calls from outside: whoever stands at a door names an actor and a method and brings a document; the
 * answer comes back as one. HTTP, the request door and the node's own questions all use it.
 *
 * It is an actor of the node ("api", hidden), so its calls are asks like any others, with deadlines,
 * bounds and accounts.
 *
 * Threads: the loop thread, between turns (door callbacks) or inside one.
 * Errors:  a call never fails by itself: `done` is called exactly once, perhaps before
 *          aisys_api_call() has returned. */
#ifndef AISYS_NODE_API_H
#define AISYS_NODE_API_H

#include "core/core.h"
#include "core/tree.h"

#define AISYS_API_CALLS_MAX           4096u
#define AISYS_API_DEADLINE_DEFAULT_MS 5000u
#define AISYS_API_DEADLINE_MAX_MS     600000u

struct aisys_api;

/* @code AISYS_OK: @reply is the method's reply message; else it is an aisys.Error. A tree in an arena that
 * both end when this returns; NULL only when there was no memory for it. */
typedef void (*aisys_api_done_fn)(
    void *ctx, uint64_t tag, int code, const struct aisys_node *reply, struct aisys_arena *arena);

struct aisys_api_request {
    const char *to; /* an actor's name or alias */
    const char *method;
    const struct aisys_node *args; /* a map; NULL: empty */
    uint32_t deadline_ms;          /* 0: the default; at most the maximum */
    aisys_api_done_fn done;
    void *ctx;
    uint64_t tag; /* handed to done, for the caller to know which */
};

/* Add the actor. */
int aisys_api_open(struct aisys_core *core, struct aisys_api **ret_api);
void aisys_api_close(struct aisys_api *api); /* open calls end in UNAVAILABLE; NULL is fine */

void aisys_api_call(struct aisys_api *api, const struct aisys_api_request *request);

/* The caller left: done(ctx, tag) is not called any more. */
void aisys_api_forget(struct aisys_api *api, const void *ctx, uint64_t tag);

/* An aisys.Error as a tree: @words, or, when NULL, what @diag found, which also are its details (@diag may be
 * NULL). NULL: no memory. */
struct aisys_node *aisys_api_error(
    struct aisys_arena *arena, int code, const char *words, const struct aisys_diag *diag);

/* The HTTP status of @code (DESIGN section 7). */
unsigned aisys_api_http_status(int code);

#endif
