#include "core/check.h"
#include "bus.h"

#include "core/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Frames inside NNG on the way to ourselves: the queue belongs to the link. */
#define BUS_BUFFER 4u

struct aisys_bus {
    struct aisys_env *env;
    struct aisys_core *core;
    struct aisys_nng_door *inbox;
    struct aisys_nng_push *push;
    struct aisys_link *link;
    unsigned closing; /* sockets that have not closed yet */
    void (*closed)(void *arg);
    void *closed_arg;
};

/* ---- The link's side ------------------------------------------------------------------------ */

static int bus_carrier(void *ctx, const void *frame, size_t bytes)
{
    struct aisys_bus *bus = ctx;

    return aisys_nng_push_send(bus->push, frame, bytes) == 0 ? 0 : AISYS_LINK_BUSY;
}

static void bus_deliver(void *ctx, const struct aisys_envelope *envelope)
{
    struct aisys_bus *bus = ctx;

    aisys_core_deliver(bus->core, envelope);
}

static void bus_lost(void *ctx, const struct aisys_envelope *envelope, enum aisys_link_loss why)
{
    struct aisys_bus *bus = ctx;

    aisys_core_lost(bus->core, envelope,
        why == AISYS_LINK_LOST_DEADLINE ? AISYS_DEAD_DEADLINE : AISYS_DEAD_GONE);
}

static const struct aisys_link_ops bus_link_ops = {
    .carrier = bus_carrier, .deliver = bus_deliver, .lost = bus_lost
};

static int bus_loopback(void *ctx, const struct aisys_envelope *envelope)
{
    struct aisys_bus *bus = ctx;

    return aisys_link_send(bus->link, envelope);
}

/* ---- NNG's side ----------------------------------------------------------------------------- */

static void bus_frame(void *arg, struct aisys_nng_msg *msg)
{
    struct aisys_bus *bus = arg;

    if (aisys_link_frame(bus->link, msg->data, msg->bytes, bus->env->now_ms(bus->env->ctx)) < 0)
        bus->env->log(bus->env->ctx, AISYS_WARNING, NULL, "frame_refused", "door=inbox");
}

static void bus_room(void *arg)
{
    struct aisys_bus *bus = arg;

    aisys_link_writable(bus->link, bus->env->now_ms(bus->env->ctx));
}

static void bus_state(void *arg, bool up)
{
    struct aisys_bus *bus = arg;

    if (up)
        aisys_link_reconnected(bus->link, bus->env->now_ms(bus->env->ctx));
}

int aisys_bus_open(struct aisys_nng *nng, struct aisys_env *env, const char *node_name,
    uint64_t node, uint32_t message_bytes_max, struct aisys_bus **ret_bus)
{
    struct aisys_bus *bus = calloc(1, sizeof(*bus));
    char url[AISYS_NNG_URL_BYTES];
    const struct aisys_nng_door_options inbox = {
        .kind = AISYS_NNG_INBOX, .frame = bus_frame, .arg = bus
    };
    const struct aisys_nng_push_options push = {
        .url = url, .buffer = BUS_BUFFER, .state = bus_state, .room = bus_room, .arg = bus
    };
    const struct aisys_link_config config = {
        .node = node,
        .peer = (uint32_t)(node >> 32),
        .peer_incarnation = (uint32_t)node,
        .message_bytes_max = message_bytes_max,
    };
    int r;

    if (!bus)
        return -ENOMEM;
    bus->env = env;
    snprintf(url, sizeof(url), "inproc://aisys/%s/inbox", node_name);
    r = aisys_link_new(&config, &bus_link_ops, bus, &bus->link);
    if (r < 0)
        goto fail;
    r = aisys_nng_door_open(nng, &inbox, &bus->inbox);
    if (r < 0)
        goto fail_link;
    r = aisys_nng_listen(bus->inbox, url, NULL, NULL);
    if (r == 0)
        r = aisys_nng_push_open(nng, &push, &bus->push);
    if (r < 0) {
        /* the door frees itself; the bus may go at once, nothing arrives from a door without peers */
        aisys_nng_door_close(bus->inbox, NULL, NULL);
        goto fail_link;
    }
    env->loopback = bus_loopback;
    env->loopback_ctx = bus;
    *ret_bus = bus;
    return 0;

fail_link:
    aisys_link_free(bus->link);
fail:
    free(bus);
    return r;
}

void aisys_bus_attach(struct aisys_bus *bus, struct aisys_core *core)
{
    bus->core = core;
}

uint64_t aisys_bus_flush(struct aisys_bus *bus, uint64_t now_ms)
{
    aisys_link_flush(bus->link, now_ms);
    return aisys_link_next_ms(bus->link);
}

const struct aisys_link_accounts *aisys_bus_accounts(const struct aisys_bus *bus)
{
    return aisys_link_accounts(bus->link);
}

static void bus_socket_closed(void *arg)
{
    struct aisys_bus *bus = arg;

    if (--bus->closing)
        return;
    aisys_link_free(bus->link);
    bus->closed(bus->closed_arg);
    free(bus);
}

void aisys_bus_close(struct aisys_bus *bus, void (*closed)(void *arg), void *arg)
{
    if (!bus) {
        closed(arg);
        return;
    }
    bus->closed = closed;
    bus->closed_arg = arg;
    bus->closing = 2;
    aisys_nng_push_close(bus->push, bus_socket_closed, bus);
    aisys_nng_door_close(bus->inbox, bus_socket_closed, bus);
}
