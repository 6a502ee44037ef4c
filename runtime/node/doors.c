#include "core/check.h"
#include "doors.h"

#include "core/tree_json.h"
#include "port/jansson_port.h"
#include "schema/read.h"

#include <aisys/diag.h>
#include <aisys/door.pb-c.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REQUEST_ARENA_BYTES_MAX (96u * 1024 * 1024)
#define SOCKET_PATH_BYTES       104 /* of a local socket's address, portably */
#define HEALTH_CHECK            "health_check"

/* Calls that are open: of all clients, and of one. The door has room for 128 requests in flight, so there is
 * always some for a health_check and for those that are told to come back later. */
#define CALLS_MAX        96u
#define CLIENT_CALLS_MAX 64u

struct aisys_doors {
    struct aisys_api *api;
    struct aisys_core *core;
    struct aisys_nng_door *requests, *events;
    char request_url[AISYS_NNG_URL_BYTES], events_url[AISYS_NNG_URL_BYTES];
    char socket_path[SOCKET_PATH_BYTES];
    unsigned open; /* requests not answered */
    unsigned closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* ---- Answers -------------------------------------------------------------------------------- */

static const char no_memory[] =
    "{\"ok\":false,\"error\":{\"code\":\"RESOURCE_EXHAUSTED\",\"message\":\"no memory for the "
    "answer\",\"details\":[]}}";

static void door_reply(struct aisys_doors *doors, uint64_t id, const void *data, size_t bytes)
{
    doors->open--;
    if (aisys_nng_reply(doors->requests, id, data, bytes) == -ENOMEM)
        aisys_nng_reply(doors->requests, id, no_memory, sizeof(no_memory) - 1);
}

static void door_reply_tree(struct aisys_doors *doors, uint64_t id, int code,
    const struct aisys_node *reply, struct aisys_arena *arena)
{
    struct aisys_node *root = aisys_node_map(arena);
    struct aisys_node *copy = reply ? aisys_tree_copy(arena, reply) : NULL;
    size_t bytes = 0;
    char *text = NULL;

    aisys_node_set(root, "ok", aisys_node_bool(arena, code == AISYS_OK));
    aisys_node_set(root, code == AISYS_OK ? "result" : "error", copy);
    if (copy && aisys_tree_json(arena, root, 0, &text, &bytes) == 0)
        door_reply(doors, id, text, bytes);
    else
        door_reply(doors, id, no_memory, sizeof(no_memory) - 1);
}

static void call_done(
    void *ctx, uint64_t tag, int code, const struct aisys_node *reply, struct aisys_arena *arena)
{
    door_reply_tree(ctx, tag, code, reply, arena);
}

/* ---- health_check --------------------------------------------------------------------------- */

static void door_unhealthy(struct aisys_doors *doors, uint64_t id, const char *why)
{
    char text[512];
    const int n = snprintf(text, sizeof(text), "unhealthy: %s", why);

    door_reply(doors, id, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

/* HealthService.Check, in two words. */
static void health_done(
    void *ctx, uint64_t tag, int code, const struct aisys_node *reply, struct aisys_arena *arena)
{
    const char *status = reply && code == AISYS_OK ? aisys_node_get_string(reply, "status") : NULL;
    const struct aisys_node *why = reply && code == AISYS_OK ? aisys_node_get(reply, "why") : NULL;

    (void)arena;
    if (status && (strcmp(status, "HEALTHY") == 0 || strcmp(status, "DEGRADED") == 0)) {
        door_reply(ctx, tag, "healthy", strlen("healthy"));
        return;
    }
    if (code != AISYS_OK)
        door_unhealthy(ctx, tag, aisys_code_name(code));
    else if (why && why->kind == AISYS_NODE_LIST && why->items.first && why->items.first->text)
        door_unhealthy(ctx, tag, why->items.first->text);
    else
        door_unhealthy(ctx, tag, status ? status : "unknown");
}

static void door_health_check(struct aisys_doors *doors, uint64_t id)
{
    const struct aisys_api_request check = {
        .to = "health_service", .method = "Check", .done = health_done, .ctx = doors, .tag = id
    };

    switch (aisys_core_state(doors->core)) {
    case AISYS_CORE_NEW:
    case AISYS_CORE_STARTING:
        door_unhealthy(doors, id, "starting");
        break;
    case AISYS_CORE_READY:
        aisys_api_call(doors->api, &check);
        break;
    default:
        door_unhealthy(doors, id, "stopping");
    }
}

/* ---- JSON calls ----------------------------------------------------------------------------- */

/* Read the envelope: 0, AISYS_TREE_INVALID with the faults in @diag, or -ENOMEM. */
static int door_read(const struct aisys_nng_msg *msg, struct aisys_arena *arena,
    struct aisys_diag *diag, Aisys__DoorRequest **ret_request, struct aisys_node **ret_args)
{
    struct aisys_node *root, *args;
    ProtobufCMessage *message;
    int r = aisys_json_parse(arena, msg->data, msg->bytes, NULL, diag, &root);

    if (r)
        return r;
    args = root->kind == AISYS_NODE_MAP ? aisys_node_take(root, "args") : NULL;
    if (args && args->kind != AISYS_NODE_MAP && args->kind != AISYS_NODE_NULL)
        aisys_diag_add(diag, NULL, "args", "an object", "is %s", aisys_node_kind_name(args));
    r = aisys_schema_read(&aisys__door_request__descriptor, root, arena, diag, &message);
    if (r)
        return r;
    *ret_request = (Aisys__DoorRequest *)(void *)message;
    *ret_args = args && args->kind == AISYS_NODE_MAP ? args : NULL;
    return aisys_diag_errors(diag) ? AISYS_TREE_INVALID : 0;
}

static void door_refuse(
    struct aisys_doors *doors, uint64_t id, const char *words, struct aisys_arena *arena)
{
    door_reply_tree(doors, id, AISYS_RESOURCE_EXHAUSTED,
        aisys_api_error(arena, AISYS_RESOURCE_EXHAUSTED, words, NULL), arena);
}

static void door_call(struct aisys_doors *doors, uint64_t id, const struct aisys_nng_msg *msg,
    struct aisys_arena *arena)
{
    Aisys__DoorRequest *request = NULL;
    struct aisys_node *args = NULL;
    struct aisys_diag diag;
    int r;

    if (msg->pipe_requests > CLIENT_CALLS_MAX) {
        door_refuse(doors, id, "this connection has 64 calls open: wait for their answers", arena);
        return;
    }
    if (doors->open > CALLS_MAX) {
        door_refuse(doors, id, "96 calls are open at this door: try again later", arena);
        return;
    }
    aisys_diag_init(&diag);
    r = door_read(msg, arena, &diag, &request, &args);
    if (r == AISYS_TREE_INVALID)
        door_reply_tree(doors, id, AISYS_INVALID_ARGUMENT,
            aisys_api_error(arena, AISYS_INVALID_ARGUMENT, NULL, &diag), arena);
    else if (r < 0)
        door_refuse(doors, id, "no memory for the request", arena);
    else
        aisys_api_call(
            doors->api, &(struct aisys_api_request){ .to = request->to,
                            .method = request->method,
                            .args = args,
                            .deadline_ms = request->has_deadline_ms ? request->deadline_ms : 0,
                            .done = call_done,
                            .ctx = doors,
                            .tag = id });
}

/* The bare word; a newline behind it, as echo sends it, is no part of it. */
static bool is_health_check(const char *text, size_t bytes)
{
    const size_t word = strlen(HEALTH_CHECK);

    return (bytes == word || (bytes == word + 1 && text[word] == '\n')) &&
           memcmp(text, HEALTH_CHECK, word) == 0;
}

static void door_request(void *arg, uint64_t id, struct aisys_nng_msg *msg)
{
    struct aisys_doors *doors = arg;
    struct aisys_arena arena;

    doors->open++;
    if (is_health_check(msg->data, msg->bytes)) {
        door_health_check(doors, id);
        return;
    }
    aisys_arena_init(&arena, NULL, REQUEST_ARENA_BYTES_MAX);
    door_call(doors, id, msg, &arena);
    aisys_arena_deinit(&arena);
}

/* ---- As a whole ----------------------------------------------------------------------------- */

static int door_listen(
    struct aisys_nng_door *door, const char *url, char *ret_url, struct aisys_diag *diag)
{
    const int r = aisys_nng_listen(door, url, NULL, ret_url);

    if (r < 0)
        aisys_diag_add(diag, NULL, url,
            r == -EADDRINUSE ? "a free address (network.port_offset moves all ports)" : NULL, "%s",
            r == -EADDRINUSE ? "somebody listens there" : aisys_nng_words(r));
    return r;
}

static int doors_listen(
    struct aisys_doors *doors, const struct aisys_config *config, struct aisys_diag *diag)
{
    const Aisys__NetworkConfig *network = config->network;
    const char *bracket = strchr(network->bind_address, ':') ? "[" : "";
    const char *unbracket = bracket[0] ? "]" : "";
    char url[AISYS_NNG_URL_BYTES];
    int r;

    snprintf(url, sizeof(url), "tcp://%s%s%s:%u", bracket, network->bind_address, unbracket,
        aisys_config_port(config, network->request_port));
    r = door_listen(doors->requests, url, doors->request_url, diag);
    if (r < 0)
        return r;
    snprintf(url, sizeof(url), "tcp://%s%s%s:%u", bracket, network->bind_address, unbracket,
        aisys_config_port(config, network->events_port));
    r = door_listen(doors->events, url, doors->events_url, diag);
    if (r < 0)
        return r;
    snprintf(url, sizeof(url), "inproc://aisys/%s/request", config->system->node);
    r = door_listen(doors->requests, url, NULL, diag);
    if (r < 0)
        return r;
    /* The directory is locked: a socket that is there is of a node that has gone. */
    if (snprintf(doors->socket_path, sizeof(doors->socket_path), "%s/run/request.sock",
            config->data->dir) >= (int)sizeof(doors->socket_path)) {
        aisys_diag_add(diag, NULL, "data.dir", "a shorter path", "too long for a local socket");
        return -ENAMETOOLONG;
    }
    unlink(doors->socket_path);
    snprintf(url, sizeof(url), "ipc://%s", doors->socket_path);
    return door_listen(doors->requests, url, NULL, diag);
}

int aisys_doors_open(struct aisys_nng *nng, const struct aisys_config *config,
    struct aisys_api *api, struct aisys_core *core, struct aisys_diag *diag,
    struct aisys_doors **ret_doors)
{
    struct aisys_doors *doors = calloc(1, sizeof(*doors));
    const struct aisys_nng_door_options requests = {
        .kind = AISYS_NNG_REQUESTS, .request = door_request, .arg = doors
    };
    const struct aisys_nng_door_options events = { .kind = AISYS_NNG_EVENTS, .arg = doors };
    int r;

    if (!doors)
        return -ENOMEM;
    doors->api = api;
    doors->core = core;
    r = aisys_nng_door_open(nng, &requests, &doors->requests);
    if (r < 0)
        goto fail;
    r = aisys_nng_door_open(nng, &events, &doors->events);
    if (r < 0)
        goto fail_requests;
    r = doors_listen(doors, config, diag);
    if (r < 0)
        goto fail_events;
    *ret_doors = doors;
    return 0;

fail_events:
    aisys_nng_door_close(doors->events, NULL, NULL);
fail_requests:
    aisys_nng_door_close(doors->requests, NULL, NULL);
fail:
    free(doors);
    return r;
}

const char *aisys_doors_request_url(const struct aisys_doors *doors)
{
    return doors->request_url;
}

const char *aisys_doors_events_url(const struct aisys_doors *doors)
{
    return doors->events_url;
}

void aisys_doors_publish(
    struct aisys_doors *doors, const char *topic, const char *json, size_t bytes)
{
    aisys_nng_publish(doors->events, topic, json, bytes);
}

void aisys_doors_stats(const struct aisys_doors *doors, struct aisys_nng_stats *ret_requests,
    struct aisys_nng_stats *ret_events)
{
    aisys_nng_door_stats(doors->requests, ret_requests);
    aisys_nng_door_stats(doors->events, ret_events);
}

static void door_closed(void *arg)
{
    struct aisys_doors *doors = arg;

    if (--doors->closing)
        return;
    unlink(doors->socket_path);
    doors->closed(doors->closed_arg);
    free(doors);
}

void aisys_doors_close(struct aisys_doors *doors, void (*closed)(void *arg), void *arg)
{
    if (!doors) {
        closed(arg);
        return;
    }
    doors->closed = closed;
    doors->closed_arg = arg;
    doors->closing = 2;
    aisys_nng_door_close(doors->requests, door_closed, doors);
    aisys_nng_door_close(doors->events, door_closed, doors);
}
