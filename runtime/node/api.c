#include "core/check.h"
#include "api.h"

#include "core/suggest.h"
#include "schema/read.h"
#include "schema/write.h"

#include <aisys/diag.h>
#include <aisys/error.pb-c.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a document may become in memory, beside a fixed part: base64 and its bytes, and their copy. */
#define ARENA_BYTES_MAX (96u * 1024 * 1024)

struct call {
    aisys_api_done_fn done; /* NULL: free */
    void *ctx;
    uint64_t tag;
    const ProtobufCMessageDescriptor *output;
    uint32_t next_free;
};

struct aisys_api {
    struct aisys_core *core;
    struct aisys_id id;
    struct call calls[AISYS_API_CALLS_MAX];
    uint32_t free_head; /* index + 1 */
    unsigned open;
    bool stopping;
};

/* The actor's state: where its answers go. */
static struct aisys_api *the_api; /* one node per process */

enum { ON_REPLY };

unsigned aisys_api_http_status(int code)
{
    static const unsigned short statuses[AISYS_CODE_NR] = {
        [AISYS_OK] = 200,
        [AISYS_CANCELLED] = 499,
        [AISYS_UNKNOWN] = 500,
        [AISYS_INVALID_ARGUMENT] = 400,
        [AISYS_DEADLINE_EXCEEDED] = 504,
        [AISYS_NOT_FOUND] = 404,
        [AISYS_ALREADY_EXISTS] = 409,
        [AISYS_PERMISSION_DENIED] = 403,
        [AISYS_RESOURCE_EXHAUSTED] = 429,
        [AISYS_FAILED_PRECONDITION] = 412,
        [AISYS_ABORTED] = 409,
        [AISYS_OUT_OF_RANGE] = 400,
        [AISYS_UNIMPLEMENTED] = 501,
        [AISYS_INTERNAL] = 500,
        [AISYS_UNAVAILABLE] = 503,
        [AISYS_DATA_LOSS] = 500,
        [AISYS_UNAUTHENTICATED] = 401,
    };

    return (unsigned)code < AISYS_CODE_NR ? statuses[code] : 500;
}

/* ---- Answers -------------------------------------------------------------------------------- */

static void done_tree(const struct aisys_api_request *to, int code, const struct aisys_node *tree,
    struct aisys_arena *arena)
{
    to->done(to->ctx, to->tag, code, tree, arena);
}

static void done_message(const struct aisys_api_request *to, int code,
    const ProtobufCMessage *message, struct aisys_arena *arena)
{
    struct aisys_node *tree = NULL;

    if (aisys_schema_write(message, 0, arena, &tree) < 0)
        tree = NULL;
    done_tree(to, code, tree, arena);
}

/* What is wrong; of a document that could not be read as a whole also where: there is no path. */
static struct aisys_node *error_problem(
    struct aisys_arena *arena, const struct aisys_diag_entry *entry, const char *more)
{
    const char *path = entry->path, *colon = path[0] && more ? ": " : "";

    if (path[0] || !entry->where.line)
        return aisys_node_printf(
            arena, "%s%s%s%s", more ? path : "", colon, entry->problem, more ? more : "");
    return aisys_node_printf(arena, "line %u, column %u: %s%s", (unsigned)entry->where.line,
        (unsigned)entry->where.column, entry->problem, more ? more : "");
}

static struct aisys_node *error_detail(
    struct aisys_arena *arena, const struct aisys_diag_entry *entry)
{
    struct aisys_node *detail = aisys_node_map(arena);

    aisys_node_set(detail, "path", aisys_node_string(arena, entry->path));
    aisys_node_set(detail, "problem", error_problem(arena, entry, NULL));
    if (entry->expected[0])
        aisys_node_set(detail, "expected", aisys_node_string(arena, entry->expected));
    return detail;
}

struct aisys_node *aisys_api_error(
    struct aisys_arena *arena, int code, const char *words, const struct aisys_diag *diag)
{
    struct aisys_node *error = aisys_node_map(arena);
    struct aisys_node *details = aisys_node_list(arena);
    const struct aisys_diag_entry *first = diag && diag->kept ? &diag->entries[0] : NULL;

    aisys_node_set(error, "code", aisys_node_string(arena, aisys_code_name(code)));
    if (words || !first)
        aisys_node_set(error, "message", aisys_node_string(arena, words ? words : "not valid"));
    else
        aisys_node_set(
            error, "message", error_problem(arena, first, diag->errors > 1 ? ", and more" : ""));
    for (unsigned i = 0; diag && i < diag->kept; i++)
        aisys_node_append(details, error_detail(arena, &diag->entries[i]));
    aisys_node_set(error, "details", details);
    return aisys_arena_failed(arena) ? NULL : error;
}

static void done_error(const struct aisys_api_request *to, struct aisys_arena *arena, int code,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

static void done_error(const struct aisys_api_request *to, struct aisys_arena *arena, int code,
    const char *format, ...)
{
    char words[400];
    va_list ap;

    va_start(ap, format);
    vsnprintf(words, sizeof(words), format, ap);
    va_end(ap);
    done_tree(to, code, aisys_api_error(arena, code, words, NULL), arena);
}

/* ---- The actor ------------------------------------------------------------------------------ */

static int api_on_reply(struct aisys_actor *self, const struct aisys_end *end)
{
    struct call *call = &the_api->calls[end->token];
    const struct aisys_api_request to = { .done = call->done, .ctx = call->ctx, .tag = call->tag };
    const ProtobufCMessageDescriptor *type =
        end->code == AISYS_OK ? call->output : &aisys__error__descriptor;
    struct aisys_arena arena;
    ProtobufCAllocator allocator;
    ProtobufCMessage *message;

    call->done = NULL;
    call->next_free = the_api->free_head;
    the_api->free_head = (uint32_t)end->token + 1;
    if (--the_api->open == 0 && the_api->stopping)
        aisys_stopped(self);
    if (!to.done)
        return 0; /* forgotten */

    aisys_arena_init(&arena, NULL, ARENA_BYTES_MAX);
    allocator = aisys_arena_protobuf(&arena);
    message = protobuf_c_message_unpack(type, &allocator, end->bytes, end->data);
    if (message && (end->code == AISYS_OK || end->bytes))
        done_message(&to, end->code, message, &arena);
    else
        done_error(&to, &arena, end->code == AISYS_OK ? AISYS_INTERNAL : end->code, "%s",
            end->code == AISYS_OK ? "the reply is not a message of its type" : end->words);
    aisys_arena_deinit(&arena);
    return 0;
}

/* It stops when its callers have their answers. */
static int api_stop(struct aisys_actor *self, enum aisys_stop why)
{
    (void)self;
    (void)why;
    the_api->stopping = the_api->open > 0;
    return the_api->stopping ? AISYS_PENDING : 0;
}

static const struct aisys_continuation api_continuations[] = {
    [ON_REPLY] = { "on_reply", api_on_reply, NULL },
    { 0 },
};

static const struct aisys_actor_ops api_ops = {
    .abi = AISYS_ABI,
    .name = "api",
    .continuations = api_continuations,
    .stop = api_stop,
};

int aisys_api_open(struct aisys_core *core, struct aisys_api **ret_api)
{
    static const struct aisys_actor_options options = {
        .name = "api", .mailbox_messages = AISYS_API_CALLS_MAX + 64, .hidden = true
    };
    static struct aisys_diag diag;
    struct aisys_class *class;
    struct aisys_api *api;
    int r;

    AISYS_CHECK(!the_api);
    api = calloc(1, sizeof(*api));
    if (!api)
        return -ENOMEM;
    api->core = core;
    for (uint32_t i = 0; i < AISYS_API_CALLS_MAX; i++)
        api->calls[i].next_free = i + 1 < AISYS_API_CALLS_MAX ? i + 2 : 0;
    api->free_head = 1;
    aisys_diag_init(&diag);
    r = aisys_core_class_add(core, &api_ops, &diag, &class);
    if (r == 0)
        r = aisys_core_spawn(core, class, &options, &api->id);
    if (r != 0) {
        free(api);
        return r < 0 ? r : -ENFILE;
    }
    *ret_api = the_api = api;
    return 0;
}

/* Who still waits is told. */
void aisys_api_close(struct aisys_api *api)
{
    if (!api)
        return;
    for (uint32_t i = 0; i < AISYS_API_CALLS_MAX; i++) {
        const struct call *call = &api->calls[i];
        const struct aisys_api_request to = {
            .done = call->done, .ctx = call->ctx, .tag = call->tag
        };
        struct aisys_arena arena;

        if (!call->done)
            continue;
        aisys_arena_init(&arena, NULL, ARENA_BYTES_MAX);
        done_error(&to, &arena, AISYS_UNAVAILABLE, "the node has stopped");
        aisys_arena_deinit(&arena);
    }
    the_api = NULL;
    free(api);
}

/* ---- Calling -------------------------------------------------------------------------------- */

static void offer_actor(void *ctx, const struct aisys_actor_info *info)
{
    if (!info->hidden)
        aisys_suggest_offer(ctx, info->name);
}

static void done_no_actor(
    struct aisys_api *api, const struct aisys_api_request *request, struct aisys_arena *arena)
{
    struct aisys_suggest suggest;
    const char *best;

    aisys_suggest_init(&suggest, request->to);
    aisys_core_each(api->core, offer_actor, &suggest);
    best = suggest.best;
    done_error(request, arena, AISYS_NOT_FOUND, "there is no actor '%.80s'%s%s%s", request->to,
        best ? "; did you mean '" : "", best ? best : "", best ? "'?" : "");
}

static void done_no_method(const struct aisys_api_request *request, struct aisys_arena *arena,
    const ProtobufCServiceDescriptor *service)
{
    struct aisys_suggest suggest;
    const char *best;

    aisys_suggest_init(&suggest, request->method);
    for (unsigned i = 0; service && i < service->n_methods; i++)
        aisys_suggest_offer(&suggest, service->methods[i].name);
    best = suggest.best;
    done_error(request, arena, AISYS_UNIMPLEMENTED, "'%.80s' has no method '%.80s'%s%s%s",
        request->to, request->method, best ? "; did you mean '" : "", best ? best : "",
        best ? "'?" : "");
}

static const struct {
    int code;
    const char *words;
} send_errors[] = {
    [AISYS_SEND_FULL] = { AISYS_RESOURCE_EXHAUSTED,
        "the actor's mailbox is full: try again later" },
    [AISYS_SEND_GONE] = { AISYS_UNAVAILABLE, "the actor does not run" },
    [AISYS_SEND_TOO_BIG] = { AISYS_RESOURCE_EXHAUSTED,
        "the request is larger than the actor takes" },
};

static int call_send(struct aisys_api *api, const struct aisys_api_request *request,
    struct aisys_id to, const ProtobufCMethodDescriptor *method, const ProtobufCMessage *message)
{
    const uint32_t deadline_ms = request->deadline_ms < AISYS_API_DEADLINE_MAX_MS
                                     ? request->deadline_ms
                                     : AISYS_API_DEADLINE_MAX_MS;
    uint32_t index;
    struct call *call;
    int r;

    if (!api->free_head)
        return AISYS_SEND_FULL;
    index = api->free_head - 1;
    call = &api->calls[index];
    r = aisys_call(aisys_core_actor(api->core, api->id), to, method->name, message,
        (struct aisys_then){ .continuation = ON_REPLY,
            .token = index,
            .deadline_ms = deadline_ms ? deadline_ms : AISYS_API_DEADLINE_DEFAULT_MS });
    if (r != 0)
        return r;
    api->free_head = call->next_free;
    api->open++;
    *call = (struct call){ request->done, request->ctx, request->tag, method->output, 0 };
    return 0;
}

static void call_begin(
    struct aisys_api *api, const struct aisys_api_request *request, struct aisys_arena *arena)
{
    const struct aisys_id to = aisys_core_lookup(api->core, request->to);
    const ProtobufCServiceDescriptor *service;
    const ProtobufCMethodDescriptor *method;
    struct aisys_actor_info info;
    struct aisys_diag diag;
    ProtobufCMessage *message;
    int r;

    if (!aisys_core_info(api->core, to, &info) || info.hidden) {
        done_no_actor(api, request, arena);
        return;
    }
    service = info.ops->service;
    method =
        service ? protobuf_c_service_descriptor_get_method_by_name(service, request->method) : NULL;
    if (!method) {
        done_no_method(request, arena, service);
        return;
    }
    aisys_diag_init(&diag);
    r = aisys_schema_read(method->input, request->args, arena, &diag, &message);
    if (r == AISYS_TREE_INVALID) {
        done_tree(request, AISYS_INVALID_ARGUMENT,
            aisys_api_error(arena, AISYS_INVALID_ARGUMENT, NULL, &diag), arena);
        return;
    }
    if (r == 0)
        r = call_send(api, request, to, method, message);
    if (r > 0)
        done_error(request, arena, send_errors[r].code, "%s", send_errors[r].words);
    else if (r < 0)
        done_error(request, arena, AISYS_RESOURCE_EXHAUSTED, "no memory for the request");
}

void aisys_api_call(struct aisys_api *api, const struct aisys_api_request *request)
{
    struct aisys_arena arena;

    aisys_arena_init(&arena, NULL, ARENA_BYTES_MAX);
    call_begin(api, request, &arena);
    aisys_arena_deinit(&arena);
}

void aisys_api_forget(struct aisys_api *api, const void *ctx, uint64_t tag)
{
    for (uint32_t i = 0; api->open && i < AISYS_API_CALLS_MAX; i++)
        if (api->calls[i].done && api->calls[i].ctx == ctx && api->calls[i].tag == tag)
            api->calls[i].done = NULL;
}
