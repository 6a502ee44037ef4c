#include "core/check.h"
#include "env_redis.h"
#include "facts.h"

#include "core/tree_json.h"
#include "process.h"
#include "schema/doc.h"
#include "schema/write.h"

#include <aisys/exposition.h>
#include <aisys/system.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REFRESH_MS           2000u
#define JSON_ARENA_BYTES_MAX (1024u * 1024)

struct aisys_facts {
    struct aisys_node_facts table;
    const struct aisys_config *config;
    struct aisys_uv *uv;
    const struct aisys_modules *modules;
    const struct aisys_doors *doors;
    const struct aisys_http_doors *http;
    const struct aisys_env_redis *redis;
    const struct aisys_bus *bus;
    struct aisys_process_reader reader;          /* the pool's while it reads */
    struct aisys_process_stats reading, current; /* the same; what was read last */
    bool reads;
    uint64_t refresh_ms;
};

/* ---- The process ------------------------------------------------------------------------------ */

static void process_run(void *arg)
{
    struct aisys_facts *facts = arg;

    aisys_process_read(&facts->reader, facts->config->data->dir, &facts->reading);
}

static void process_done(void *arg, int status)
{
    struct aisys_facts *facts = arg;

    facts->reads = false;
    if (status == 0)
        facts->current = facts->reading;
}

uint64_t aisys_facts_refresh(struct aisys_facts *facts, uint64_t now_ms)
{
    if (now_ms >= facts->refresh_ms) {
        facts->refresh_ms = now_ms + REFRESH_MS;
        if (!facts->reads)
            facts->reads = aisys_uv_work(facts->uv, process_run, process_done, facts, NULL) == 0;
    }
    return facts->refresh_ms;
}

static void facts_process(void *ctx, struct aisys_process_stats *ret_stats)
{
    *ret_stats = ((const struct aisys_facts *)ctx)->current;
}

/* ---- Doors ------------------------------------------------------------------------------------ */

static const struct aisys_metric metric_door_connections = { "ai_system_door_connections",
    AISYS_METRIC_GAUGE, NULL, "Connections that are open at a door." };
static const struct aisys_metric metric_door_requests = { "ai_system_door_requests_total",
    AISYS_METRIC_COUNTER, NULL, "Requests that came through a door." };
static const struct aisys_metric metric_door_refused = { "ai_system_door_refused_total",
    AISYS_METRIC_COUNTER, NULL, "Connections and requests that a door turned away, by why." };

static const struct aisys_metric metric_link_messages = { "ai_system_link_messages_total",
    AISYS_METRIC_COUNTER, NULL,
    "Messages of a link by outcome: accepted is the sum of the others and in flight." };
static const struct aisys_metric metric_link_in_flight = { "ai_system_link_in_flight",
    AISYS_METRIC_GAUGE, NULL, "Messages that a link accepted and that are not acknowledged." };

struct door_counts {
    const char *door;
    uint64_t connections, requests, refused;
};

static unsigned door_counts(const struct aisys_facts *facts, struct door_counts ret_counts[4])
{
    struct aisys_nng_stats requests, events;
    struct aisys_http_stats api, metrics;

    if (!facts->doors || !facts->http)
        return 0;
    aisys_doors_stats(facts->doors, &requests, &events);
    aisys_http_doors_stats(facts->http, &api, &metrics);
    ret_counts[0] = (struct door_counts){ "request", requests.pipes, requests.messages,
        requests.refused + requests.evicted + requests.idle_closed + requests.slow_closed };
    ret_counts[1] = (struct door_counts){ "events", events.pipes, events.messages,
        events.refused + events.evicted };
    ret_counts[2] = (struct door_counts){ "http", api.connections_now, api.requests,
        api.refused_connections + api.refused_peers + api.refused_hosts + api.refused_origins +
            api.too_large + api.no_room + api.timeouts };
    ret_counts[3] = (struct door_counts){ "metrics", metrics.connections_now, metrics.requests,
        metrics.refused_connections + metrics.refused_hosts + metrics.timeouts };
    return 4;
}

/* The link to oneself, with bus.local: socket. */
static void link_metrics(const struct aisys_bus *bus, struct aisys_exposition *page)
{
    static const char *const outcomes[] = { "accepted", "acknowledged", "dead", "refused" };
    const struct aisys_link_accounts *accounts = bus ? aisys_bus_accounts(bus) : NULL;
    struct aisys_metric_label labels[2] = { { "peer", "self" }, { "outcome", NULL } };

    aisys_exposition_family(page, &metric_link_messages);
    for (unsigned i = 0; accounts && i < 4; i++) {
        const uint64_t values[] = { accounts->accepted, accounts->acknowledged, accounts->dead,
            accounts->refused };

        labels[1].value = outcomes[i];
        aisys_exposition_u64(page, labels, 2, values[i]);
    }
    aisys_exposition_family(page, &metric_link_in_flight);
    if (accounts)
        aisys_exposition_u64(page, labels, 1, accounts->in_flight);
}

static void facts_metrics(void *ctx, struct aisys_exposition *page)
{
    static const struct {
        const struct aisys_metric *metric;
        size_t at;
    } families[] = {
        { &metric_door_connections, offsetof(struct door_counts, connections) },
        { &metric_door_requests, offsetof(struct door_counts, requests) },
        { &metric_door_refused, offsetof(struct door_counts, refused) },
    };
    struct door_counts counts[4];
    const struct aisys_facts *facts = ctx;
    const unsigned n = door_counts(facts, counts);

    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
        aisys_exposition_family(page, families[f].metric);
        for (unsigned i = 0; i < n; i++) {
            const struct aisys_metric_label label = { "door", counts[i].door };
            uint64_t value;

            memcpy(&value, (const char *)&counts[i] + families[f].at, sizeof(value));
            aisys_exposition_u64(page, &label, 1, value);
        }
    }
    link_metrics(facts->bus, page);
    aisys_env_redis_metrics(facts->redis, page);
}

/* A door that is open works; what it turned away is in the metrics. */
static void facts_checks(
    void *ctx, void (*each)(void *each_ctx, const struct aisys_node_check *check), void *each_ctx)
{
    const struct aisys_facts *facts = ctx;
    char port[64];

    if (!facts->doors || !facts->http)
        return;
    snprintf(port, sizeof(port), "port %u", (unsigned)aisys_http_doors_port(facts->http));
    each(each_ctx, &(struct aisys_node_check){
                       "Request Door", AISYS_HEALTHY, aisys_doors_request_url(facts->doors) });
    each(each_ctx, &(struct aisys_node_check){ "HTTP", AISYS_HEALTHY, port });
}

/* ---- Words -------------------------------------------------------------------------------------- */

static const char *facts_comment(void *ctx, const char *full_name)
{
    (void)ctx;
    return aisys_schema_comment(full_name);
}

static const char *facts_module(void *ctx, const struct aisys_actor_ops *ops)
{
    return aisys_modules_of(((const struct aisys_facts *)ctx)->modules, ops);
}

static int facts_json(void *ctx, const ProtobufCMessage *message, char *buf, size_t bytes)
{
    struct aisys_arena arena;
    struct aisys_node *tree;
    char *text;
    size_t text_bytes;
    int r;

    (void)ctx;
    aisys_arena_init(&arena, NULL, JSON_ARENA_BYTES_MAX);
    r = aisys_schema_write(message, AISYS_WRITE_MASK | AISYS_WRITE_DEFAULTS, &arena, &tree);
    if (r == 0)
        r = aisys_tree_json(&arena, tree, 0, &text, &text_bytes);
    if (r == 0 && text_bytes >= bytes)
        r = -ENOSPC;
    if (r == 0)
        memcpy(buf, text, text_bytes + 1);
    aisys_arena_deinit(&arena);
    return r;
}

static int facts_config(
    void *ctx, int (*put)(void *put_ctx, const char *text, size_t bytes), void *put_ctx)
{
    return aisys_config_print(((const struct aisys_facts *)ctx)->config, put, put_ctx);
}

/* ---- As a whole --------------------------------------------------------------------------------- */

int aisys_facts_open(const struct aisys_config *config, struct aisys_uv *uv,
    struct aisys_core *core, const struct aisys_modules *modules, struct aisys_facts **ret_facts)
{
    struct aisys_facts *facts = calloc(1, sizeof(*facts));

    if (!facts)
        return -ENOMEM;
    facts->config = config;
    facts->uv = uv;
    facts->modules = modules;
    facts->current = (struct aisys_process_stats){ .machine_cpu_percent = -1,
        .machine_memory_percent = -1,
        .machine_disk_percent = -1,
        .cpu_seconds = -1 };
    facts->table = (struct aisys_node_facts){
        .ctx = facts,
        .name = config->system->node,
        .role = config->role,
        .version = AISYS_VERSION,
        .environment = config->env,
        .incarnation = aisys_core_node(core) & UINT32_MAX,
        .started_wall_ms = (int64_t)aisys_uv_wall_ms(),
        .started_ms = aisys_uv_now_ms(),
        .pid = (uint32_t)getpid(),
        .process = facts_process,
        .checks = facts_checks,
        .metrics = facts_metrics,
        .comment = facts_comment,
        .module = facts_module,
        .json = facts_json,
        .config = facts_config,
    };
    aisys_core_set_facts(core, &facts->table);
    *ret_facts = facts;
    return 0;
}

void aisys_facts_doors(
    struct aisys_facts *facts, const struct aisys_doors *doors, const struct aisys_http_doors *http)
{
    if (!facts)
        return;
    facts->doors = doors;
    facts->http = http;
}

void aisys_facts_redis(struct aisys_facts *facts, const struct aisys_env_redis *redis)
{
    if (facts)
        facts->redis = redis;
}

void aisys_facts_bus(struct aisys_facts *facts, const struct aisys_bus *bus)
{
    if (facts)
        facts->bus = bus;
}

void aisys_facts_close(struct aisys_facts *facts)
{
    free(facts);
}
