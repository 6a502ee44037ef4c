/* What holds between the sections. Each finding says what to do about it. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/allow.h"
#include "node/config_internal.h"

static void check_add(struct config_load *load, const char *path, const char *expected,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static void check_add(
    struct config_load *load, const char *path, const char *expected, const char *fmt, ...)
{
    const struct aisys_where where = config_where(load->tree, path);
    va_list ap;

    va_start(ap, fmt);
    aisys_diag_addv(load->diag, &where, path, expected, fmt, ap);
    va_end(ap);
}

/* Whether @text is a numeric address; its bytes (4 or 16) in @ret. */
static bool check_parse_address(const char *text, unsigned char ret[16], unsigned *ret_bytes)
{
    if (inet_pton(AF_INET, text, ret) == 1) {
        *ret_bytes = 4;
        return true;
    }
    *ret_bytes = 16;
    return inet_pton(AF_INET6, text, ret) == 1;
}

bool aisys_config_is_loopback(const char *address)
{
    static const unsigned char loopback6[16] = { [15] = 1 };
    unsigned char bytes[16];
    unsigned n;

    if (!check_parse_address(address, bytes, &n))
        return false;
    return n == 4 ? bytes[0] == 127 : memcmp(bytes, loopback6, 16) == 0;
}

static void check_bind(struct config_load *load)
{
    const struct aisys_config *const c = load->config;
    const char *const address = c->network->bind_address;
    unsigned char bytes[16];
    unsigned n;

    if (!check_parse_address(address, bytes, &n)) {
        check_add(load, "network.bind_address", "a numeric address such as 127.0.0.1 or ::1",
            "is \"%s\"", address);
        return;
    }
    if (aisys_config_is_loopback(address) || c->security->allow_insecure ||
        (c->security->enable_auth && c->security->ssl_enabled))
        return;
    check_add(load, "network.bind_address",
        "a loopback address, or security.enable_auth and security.ssl_enabled, or "
        "security.allow_insecure: true",
        "%s can be reached by others, and %s", address,
        c->security->enable_auth   ? "TLS is off"
        : c->security->ssl_enabled ? "authentication is off"
                                   : "both TLS and authentication are off");
}

static void check_security(struct config_load *load)
{
    const Aisys__SecurityConfig *const s = load->config->security;

    if (s->enable_auth)
        check_add(load, "security.enable_auth", "false",
            "is true, but tokens are not built yet: this version cannot keep what that promises");
    if (s->ssl_enabled)
        check_add(load, "security.ssl_enabled", "false",
            "is true, but TLS is not built yet: this version cannot keep what that promises");
}

static void check_ports(struct config_load *load)
{
    const struct aisys_config *const c = load->config;
    const struct {
        const char *path;
        unsigned port;
    } ports[] = {
        { "network.request_port", c->network->request_port },
        { "network.port", c->network->port },
        { "network.link_port", c->network->link_port },
        { "network.events_port", c->network->events_port },
        { "monitoring.port", c->monitoring->port },
    };
    const size_t count = sizeof(ports) / sizeof(*ports);
    size_t highest = 0;

    for (size_t i = 0; i < count; i++) {
        if (aisys_config_port(c, ports[i].port) > aisys_config_port(c, ports[highest].port))
            highest = i;
        for (size_t j = 0; j < i; j++) {
            if (ports[i].port != ports[j].port || ports[i].port == 0)
                continue;
            check_add(load, ports[i].path, "a port of its own", "%u is %s, too", ports[i].port,
                ports[j].path);
            break;
        }
    }
    if (aisys_config_port(c, ports[highest].port) > 65535)
        check_add(load, "network.port_offset", "65535 at most with every port",
            "is %u, which makes %s %u", c->network->port_offset, ports[highest].path,
            aisys_config_port(c, ports[highest].port));
}

static void check_monitoring(struct config_load *load)
{
    const Aisys__MonitoringConfig *const m = load->config->monitoring;

    for (size_t i = 0; i < m->n_allow; i++) {
        char path[64];

        if (aisys_allow_valid(m->allow[i]))
            continue;
        snprintf(path, sizeof(path), "monitoring.allow[%zu]", i);
        check_add(load, path, "an address or network such as 10.0.0.0/8", "is \"%s\"", m->allow[i]);
    }
}

static void check_redis(struct config_load *load)
{
    const struct aisys_config *const c = load->config;
    const bool configured = *c->redis->host != '\0' || *c->redis->unix_path != '\0';

    if (c->redis->mode != AISYS__REDIS_CONFIG__MODE__single)
        check_add(load, "redis.mode", "single", "this mode is not built yet");
    if (c->storage->backend == AISYS__STORAGE_CONFIG__BACKEND__redis && !configured)
        check_add(load, "storage.backend", "sqlite, or redis.host",
            "is redis, but there is no redis.host");
    if (*c->redis->host != '\0' && *c->redis->unix_path != '\0')
        check_add(load, "redis.unix_path", "one of redis.host and redis.unix_path", "both are set");
}

/* A peer is there once, is not this node, and has a port that is one. */
static void check_cluster(struct config_load *load)
{
    const struct aisys_config *const c = load->config;

    for (size_t i = 0; i < c->cluster->n_nodes; i++) {
        const char *const node = c->cluster->nodes[i];
        const size_t n = strcspn(node, "=");
        const char *const colon = strrchr(node + n, ':');
        const bool bracket = node[n + 1] == '[';
        char path[64];

        snprintf(path, sizeof(path), "cluster.nodes[%zu]", i);
        if (strlen(c->system->node) == n && strncmp(c->system->node, node, n) == 0)
            check_add(load, path, "the other nodes", "\"%s\" is this node", c->system->node);
        for (size_t j = 0; j < i; j++)
            if (strncmp(c->cluster->nodes[j], node, n + 1) == 0)
                check_add(load, path, "each node once", "\"%.*s\" is there twice", (int)n, node);
        if (colon == NULL || (bracket && colon[-1] != ']'))
            continue;
        if (strspn(colon + 1, "0123456789") != strlen(colon + 1) || strlen(colon + 1) > 5 ||
            atoi(colon + 1) < 1 || atoi(colon + 1) > 65535)
            check_add(load, path, "name=host:port, an IPv6 address in []", "is \"%s\"", node);
    }
    if (c->cluster->n_nodes > 0 && aisys_diag_errors(load->diag) == 0)
        aisys_diag_warn(load->diag, NULL, "cluster.nodes", NULL,
            "nodes do not link to each other yet: peers are only remembered");
}

void config_check(struct config_load *load)
{
    check_bind(load);
    check_security(load);
    check_ports(load);
    check_monitoring(load);
    check_redis(load);
    check_cluster(load);
}
