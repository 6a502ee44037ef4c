#include "core/check.h"
#include "http.h"

#include "allow.h"
#include "core/tree_json.h"
#include "port/jansson_port.h"

#include <aisys/diag.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_ARENA_BYTES_MAX (96u * 1024 * 1024)
#define JSON_TYPE               "application/json"
#define TEXT_TYPE               "text/plain; charset=utf-8"
#define ACTORS                  "/api/v1/actors"
#define NAMES_MAX               32 /* max_items of network.hosts and network.origins */

struct aisys_http_doors {
    struct aisys_api *api;
    struct aisys_core *core;
    struct aisys_log *log;
    struct aisys_http_server *server, *metrics;
    char *const *allow; /* borrowed from the configuration */
    size_t allow_nr;
    unsigned closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* ---- Answers -------------------------------------------------------------------------------- */

static void respond_text(
    struct aisys_http_server *server, uint64_t id, unsigned status, const char *text)
{
    aisys_http_respond(server, id, status, TEXT_TYPE, NULL, text, strlen(text));
}

static void respond_tree(struct aisys_http_server *server, uint64_t id, unsigned status,
    const struct aisys_node *tree, struct aisys_arena *arena)
{
    char *text;
    size_t bytes;

    if (!tree || aisys_tree_json(arena, tree, 0, &text, &bytes) < 0 ||
        aisys_http_respond(server, id, status, JSON_TYPE, NULL, text, bytes) == -ENOMEM)
        aisys_http_respond_error(server, id, 503, "RESOURCE_EXHAUSTED", "no memory for the answer");
}

static void respond_failed(struct aisys_http_server *server, uint64_t id, int code,
    const struct aisys_node *error, struct aisys_arena *arena)
{
    struct aisys_node *root = aisys_node_map(arena);

    aisys_node_set(root, "error", error ? aisys_tree_copy(arena, error) : NULL);
    respond_tree(server, id, aisys_api_http_status(code), root, arena);
}

static void call_done(
    void *ctx, uint64_t tag, int code, const struct aisys_node *reply, struct aisys_arena *arena)
{
    struct aisys_http_doors *doors = ctx;

    if (code == AISYS_OK)
        respond_tree(doors->server, tag, 200, reply, arena);
    else
        respond_failed(doors->server, tag, code, reply, arena);
}

/* ---- Calls ---------------------------------------------------------------------------------- */

/* X-Deadline-Ms; 0: none. False: it is no number that may be. */
static bool request_deadline(
    const struct aisys_http_server *server, uint64_t id, uint32_t *ret_deadline_ms)
{
    const char *text = aisys_http_header(server, id, "X-Deadline-Ms");
    char *end;
    unsigned long value;

    *ret_deadline_ms = 0;
    if (!text)
        return true;
    value = strtoul(text, &end, 10);
    if (end == text || *end || text[0] == '-' || value < 1 || value > AISYS_API_DEADLINE_MAX_MS)
        return false;
    *ret_deadline_ms = (uint32_t)value;
    return true;
}

/* JSON, or what curl sends by default. */
static bool content_type_is_json(const char *type)
{
    static const char *const accepted[] = { JSON_TYPE, "application/x-www-form-urlencoded" };

    if (!type)
        return true;
    for (unsigned i = 0; i < 2; i++) {
        const size_t n = strlen(accepted[i]);

        if (strncasecmp(type, accepted[i], n) == 0 &&
            (type[n] == '\0' || type[n] == ';' || type[n] == ' '))
            return true;
    }
    return false;
}

static void call_method(struct aisys_http_doors *doors, const struct aisys_http_request *request,
    struct aisys_api_request *call, struct aisys_arena *arena)
{
    struct aisys_node *args = NULL;
    struct aisys_diag diag;

    aisys_diag_init(&diag);
    if (!content_type_is_json(request->content_type))
        aisys_diag_add(&diag, NULL, "Content-Type", JSON_TYPE, "is '%.80s'", request->content_type);
    else if (request->body_bytes && aisys_json_parse(arena, request->body, request->body_bytes,
                                        NULL, &diag, &args) == -ENOMEM)
        aisys_diag_add(&diag, NULL, "", NULL, "no memory for the request");
    if (args && args->kind != AISYS_NODE_MAP)
        aisys_diag_add(&diag, NULL, "", "an object: the request message", "the body is %s",
            aisys_node_kind_name(args));
    if (!request_deadline(doors->server, request->id, &call->deadline_ms))
        aisys_diag_add(&diag, NULL, "X-Deadline-Ms", "a number from 1 to 600000", "is '%.40s'",
            aisys_http_header(doors->server, request->id, "X-Deadline-Ms"));
    if (aisys_diag_errors(&diag)) {
        respond_failed(doors->server, request->id, AISYS_INVALID_ARGUMENT,
            aisys_api_error(arena, AISYS_INVALID_ARGUMENT, NULL, &diag), arena);
        return;
    }
    call->args = args;
    aisys_api_call(doors->api, call);
}

static void call_simple(struct aisys_http_doors *doors, uint64_t id, const char *method,
    const char *actor, struct aisys_arena *arena)
{
    struct aisys_node *args = aisys_node_map(arena);

    if (actor)
        aisys_node_set(args, "actor", aisys_node_string(arena, actor));
    aisys_api_call(doors->api, &(struct aisys_api_request){ .to = "orchestrator",
                                   .method = method,
                                   .args = args,
                                   .done = call_done,
                                   .ctx = doors,
                                   .tag = id });
}

/* Below /api/v1/actors: "", "/<actor>" or "/<actor>/<Method>". */
static void route_actors(
    struct aisys_http_doors *doors, const struct aisys_http_request *request, const char *rest)
{
    char actor[129];
    const char *slash = rest[0] ? strchr(rest + 1, '/') : NULL;
    const size_t actor_bytes = !rest[0] ? 0 : slash ? (size_t)(slash - rest - 1) : strlen(rest + 1);
    struct aisys_arena arena;

    if (actor_bytes >= sizeof(actor) || (slash && strchr(slash + 1, '/'))) {
        aisys_http_respond_error(doors->server, request->id, 404, "NOT_FOUND", "no such page");
        return;
    }
    if (rest[0])
        memcpy(actor, rest + 1, actor_bytes);
    actor[actor_bytes] = '\0';

    aisys_arena_init(&arena, NULL, REQUEST_ARENA_BYTES_MAX);
    if (slash && request->method != AISYS_HTTP_POST) {
        aisys_http_respond_error(doors->server, request->id, 405, NULL,
            "a method is called with POST, its request message in the body");
    } else if (slash) {
        struct aisys_api_request call = {
            .to = actor, .method = slash + 1, .done = call_done, .ctx = doors, .tag = request->id
        };

        call_method(doors, request, &call, &arena);
    } else {
        call_simple(
            doors, request->id, rest[0] ? "Describe" : "List", rest[0] ? actor : NULL, &arena);
    }
    aisys_arena_deinit(&arena);
}

/* ---- Health --------------------------------------------------------------------------------- */

static void lower(char *text)
{
    for (; *text; text++)
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text - 'A' + 'a');
}

/* The status of @map, a copy, in small letters; NULL: it has none, or there is no memory. */
static const char *lower_status(struct aisys_node *map, struct aisys_arena *arena)
{
    const char *status = aisys_node_get_string(map, "status");
    char *small = status ? aisys_arena_strdup(arena, status) : NULL;

    if (!small)
        return NULL;
    lower(small);
    aisys_node_take(map, "status");
    aisys_node_set(map, "status", aisys_node_string(arena, small));
    return small;
}

static void lower_statuses(struct aisys_node *list, struct aisys_arena *arena)
{
    if (list && list->kind == AISYS_NODE_LIST)
        for (struct aisys_node *item = list->items.first; item; item = item->next)
            lower_status(item, arena);
}

/* The reply of Check, each status in small letters, as the old system's monitors expect. */
static void health_done(
    void *ctx, uint64_t tag, int code, const struct aisys_node *reply, struct aisys_arena *arena)
{
    struct aisys_http_doors *doors = ctx;
    struct aisys_node *copy = code == AISYS_OK && reply ? aisys_tree_copy(arena, reply) : NULL;
    const char *status = copy ? lower_status(copy, arena) : NULL;
    bool good;

    if (!status) {
        respond_failed(doors->server, tag, code == AISYS_OK ? AISYS_INTERNAL : AISYS_UNAVAILABLE,
            reply, arena);
        return;
    }
    lower_statuses(aisys_node_get(copy, "checks"), arena);
    lower_statuses(aisys_node_get(copy, "actors"), arena);
    good = strcmp(status, "healthy") == 0 || strcmp(status, "degraded") == 0;
    respond_tree(doors->server, tag, good ? 200 : 503, copy, arena);
}

static void route_health(struct aisys_http_doors *doors, uint64_t id)
{
    static const char starting[] =
        "{\"status\":\"unhealthy\",\"why\":[\"starting\"],\"checks\":[]}";

    if (aisys_core_state(doors->core) < AISYS_CORE_READY)
        aisys_http_respond(doors->server, id, 503, JSON_TYPE, NULL, starting, strlen(starting));
    else
        aisys_api_call(doors->api, &(struct aisys_api_request){ .to = "health_service",
                                       .method = "Check",
                                       .done = health_done,
                                       .ctx = doors,
                                       .tag = id });
}

static void route_readyz(struct aisys_http_doors *doors, uint64_t id)
{
    const enum aisys_core_state state = aisys_core_state(doors->core);
    const unsigned down = aisys_core_down(doors->core);
    char words[64];

    if (state == AISYS_CORE_READY && down == 0) {
        respond_text(doors->server, id, 200, "ready\n");
        return;
    }
    if (state == AISYS_CORE_READY) /* degraded: it serves what it has */
        snprintf(words, sizeof(words), "ready, degraded: %u actors are down\n", down);
    else
        snprintf(words, sizeof(words), "not ready: %s\n",
            state < AISYS_CORE_READY ? "starting" : "stopping");
    respond_text(doors->server, id, state == AISYS_CORE_READY ? 200 : 503, words);
}

/* ---- Routes --------------------------------------------------------------------------------- */

static void http_request(void *arg, const struct aisys_http_request *request)
{
    struct aisys_http_doors *doors = arg;

    if (strncmp(request->path, ACTORS, strlen(ACTORS)) == 0 &&
        (request->path[strlen(ACTORS)] == '\0' || request->path[strlen(ACTORS)] == '/'))
        route_actors(doors, request, request->path + strlen(ACTORS));
    else if (strcmp(request->path, "/health") == 0)
        route_health(doors, request->id);
    else if (strcmp(request->path, "/livez") == 0)
        respond_text(doors->server, request->id, 200, "alive\n");
    else if (strcmp(request->path, "/readyz") == 0)
        route_readyz(doors, request->id);
    else
        aisys_http_respond_error(doors->server, request->id, 404, "NOT_FOUND",
            "no such page; there are /health, /livez, /readyz and /api/v1/actors");
}

static void http_gone(void *arg, uint64_t id)
{
    struct aisys_http_doors *doors = arg;

    aisys_api_forget(doors->api, doors, id);
}

/* The two servers number their requests apart from each other. So the calls of this one have a context of
 * their own, by which the right one is forgotten: the place of its pointer. */
static void metrics_done(
    void *ctx, uint64_t tag, int code, const struct aisys_node *reply, struct aisys_arena *arena)
{
    struct aisys_http_server *const server = *(struct aisys_http_server **)ctx;
    const struct aisys_node *text =
        code == AISYS_OK && reply ? aisys_node_get(reply, "text") : NULL;
    const char *type = text ? aisys_node_get_string(reply, "content_type") : NULL;

    if (text && text->kind == AISYS_NODE_STRING)
        aisys_http_respond(server, tag, 200, type, NULL, text->text, text->text_bytes);
    else
        respond_failed(server, tag, code == AISYS_OK ? AISYS_INTERNAL : code, reply, arena);
}

static void metrics_request(void *arg, const struct aisys_http_request *request)
{
    struct aisys_http_doors *doors = arg;
    const char *accept = aisys_http_header(doors->metrics, request->id, "Accept");
    struct aisys_arena arena;
    struct aisys_node *args;

    if (!aisys_allow_match(doors->allow, doors->allow_nr, request->peer)) {
        aisys_http_respond_error(doors->metrics, request->id, 403, "PERMISSION_DENIED",
            "this address is not in monitoring.allow");
        return;
    }
    if (strcmp(request->path, "/metrics") != 0) {
        aisys_http_respond_error(
            doors->metrics, request->id, 404, "NOT_FOUND", "there is only /metrics");
        return;
    }
    aisys_arena_init(&arena, NULL, 4096);
    args = aisys_node_map(&arena);
    aisys_node_set(args, "format",
        aisys_node_string(&arena, accept && strstr(accept, "application/openmetrics-text")
                                      ? "OPENMETRICS"
                                      : "PROMETHEUS"));
    aisys_api_call(doors->api, &(struct aisys_api_request){ .to = "metrics",
                                   .method = "Expose",
                                   .args = args,
                                   .done = metrics_done,
                                   .ctx = &doors->metrics,
                                   .tag = request->id });
    aisys_arena_deinit(&arena);
}

static void metrics_gone(void *arg, uint64_t id)
{
    struct aisys_http_doors *doors = arg;

    aisys_api_forget(doors->api, &doors->metrics, id);
}

static void http_log(void *arg, const char *text)
{
    struct aisys_http_doors *doors = arg;

    aisys_log_event(doors->log, AISYS_DEBUG, "http_client", "words=\"%s\"", text);
}

/* ---- As a whole ----------------------------------------------------------------------------- */

static int http_listen(struct uv_loop_s *loop, struct aisys_http_options *options, const char *key,
    struct aisys_diag *diag, struct aisys_http_server **ret_server)
{
    const int r = aisys_http_open(loop, options, ret_server);

    if (r < 0)
        aisys_diag_add(diag, NULL, key,
            r == -EADDRINUSE ? "a free port (network.port_offset moves all of them)" : NULL,
            "%s:%u: %s", options->address, (unsigned)options->port,
            r == -EADDRINUSE ? "somebody listens there" : strerror(-r));
    return r;
}

static void ended_by_null(char *const *names, size_t n, const char *ret_names[NAMES_MAX + 1])
{
    AISYS_CHECK(n <= NAMES_MAX);
    for (size_t i = 0; i < n; i++)
        ret_names[i] = names[i];
    ret_names[n] = NULL;
}

int aisys_http_doors_open(struct uv_loop_s *loop, const struct aisys_config *config,
    struct aisys_api *api, struct aisys_core *core, struct aisys_log *log, struct aisys_diag *diag,
    struct aisys_http_doors **ret_doors)
{
    struct aisys_http_doors *doors = calloc(1, sizeof(*doors));
    const char *hosts[NAMES_MAX + 1], *origins[NAMES_MAX + 1];
    struct aisys_http_options options = {
        .address = config->network->bind_address,
        .port = (uint16_t)aisys_config_port(config, config->network->port),
        .connections_max = config->network->connections_max,
        .hosts = hosts,
        .origins = origins,
        .request = http_request,
        .gone = http_gone,
        .log = http_log,
        .arg = doors,
    };
    int r;

    if (!doors)
        return -ENOMEM;
    ended_by_null(config->network->hosts, config->network->n_hosts, hosts);
    ended_by_null(config->network->origins, config->network->n_origins, origins);
    doors->api = api;
    doors->core = core;
    doors->log = log;
    doors->allow = config->monitoring->allow;
    doors->allow_nr = config->monitoring->n_allow;
    r = http_listen(loop, &options, "network.port", diag, &doors->server);
    if (r < 0)
        goto fail;
    options.port = (uint16_t)aisys_config_port(config, config->monitoring->port);
    options.body_bytes_max = 4096;
    options.methods = AISYS_HTTP_GET | AISYS_HTTP_HEAD;
    options.request = metrics_request;
    options.gone = metrics_gone;
    r = http_listen(loop, &options, "monitoring.port", diag, &doors->metrics);
    if (r < 0)
        goto fail_server;
    *ret_doors = doors;
    return 0;

fail_server:
    aisys_http_close(doors->server, 0, NULL, NULL);
fail:
    free(doors);
    return r;
}

uint16_t aisys_http_doors_port(const struct aisys_http_doors *doors)
{
    return aisys_http_port(doors->server);
}

uint16_t aisys_http_doors_metrics_port(const struct aisys_http_doors *doors)
{
    return aisys_http_port(doors->metrics);
}

void aisys_http_doors_stats(const struct aisys_http_doors *doors, struct aisys_http_stats *ret_api,
    struct aisys_http_stats *ret_metrics)
{
    aisys_http_stats(doors->server, ret_api);
    aisys_http_stats(doors->metrics, ret_metrics);
}

static void http_closed(void *arg)
{
    struct aisys_http_doors *doors = arg;

    if (--doors->closing)
        return;
    doors->closed(doors->closed_arg);
    free(doors);
}

void aisys_http_doors_close(
    struct aisys_http_doors *doors, uint32_t grace_ms, void (*closed)(void *arg), void *arg)
{
    if (!doors) {
        closed(arg);
        return;
    }
    doors->closed = closed;
    doors->closed_arg = arg;
    doors->closing = 2;
    aisys_http_close(doors->server, grace_ms, http_closed, doors);
    aisys_http_close(doors->metrics, grace_ms, http_closed, doors);
}
