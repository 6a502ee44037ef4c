/* Subscriptions. Redis answers SUBSCRIBE commands in their order, so counting them says whose answer comes;
 * everything else on this connection is a message, or the answer to a PING. */
#include <errno.h>
#include <string.h>

#include "port/redis_internal.h"

#define CHANNEL_BYTES_MAX 65536u

enum subscription_state {
    SUBSCRIPTION_WANTED, /* to be asked for at the next connection */
    SUBSCRIPTION_ASKED,
    SUBSCRIPTION_ACTIVE,
};

struct aisys_redis_subscription {
    struct aisys_redis_port *port;
    struct aisys_redis_subscription *next;
    aisys_redis_subscription_cb cb;
    void *ctx;
    enum subscription_state state;
    uint64_t asked_at; /* number of its SUBSCRIBE */
    bool pattern;
    bool dead; /* to be freed when no callback runs */
    size_t channel_bytes;
    char channel[];
};

static struct aisys_redis_arg subscription_channel(const struct aisys_redis_subscription *sub)
{
    return (struct aisys_redis_arg){ sub->channel, sub->channel_bytes };
}

static bool subscription_matches(const struct aisys_redis_subscription *sub, bool pattern,
    const char *channel, size_t channel_bytes)
{
    return !sub->dead && sub->pattern == pattern && sub->channel_bytes == channel_bytes &&
           !memcmp(sub->channel, channel, channel_bytes);
}

static void pubsub_sweep(struct aisys_redis_port *port)
{
    struct aisys_redis_subscription **at = &port->subscriptions;

    if (port->dispatching > 0)
        return;
    while (*at) {
        struct aisys_redis_subscription *sub = *at;

        if (sub->dead) {
            *at = sub->next;
            port->config.memory.resize(port->config.memory.ctx, sub, 0);
        } else {
            at = &sub->next;
        }
    }
    port->subscription_tail = at;
}

static int pubsub_send(struct aisys_redis_port *port, const char *verb, bool pattern,
    const struct aisys_redis_subscription *sub)
{
    /* the P of PSUBSCRIBE is there or left out */
    const struct aisys_redis_arg args[2] = {
        aisys_redis_word(pattern ? verb : verb + 1),
        subscription_channel(sub),
    };

    return aisys_redis_stream_append(&port->pubsub, args, 2);
}

static int pubsub_ask(struct aisys_redis_port *port, struct aisys_redis_subscription *sub)
{
    const int r = pubsub_send(port, "PSUBSCRIBE", sub->pattern, sub);

    if (r < 0)
        return r;
    sub->state = SUBSCRIPTION_ASKED;
    sub->asked_at = port->asked_nr++;
    return 0;
}

static void subscription_tell(struct aisys_redis_subscription *sub,
    enum aisys_redis_subscription_event event, struct aisys_redis_arg channel,
    struct aisys_redis_arg payload)
{
    sub->cb(sub->ctx, event, channel, payload);
}

/* --- what the connection says --- */

static void pubsub_on_connected(struct aisys_redis_port *port)
{
    int r = 0;

    port->asked_nr = port->answered_nr = 0;
    for (struct aisys_redis_subscription *sub = port->subscriptions; sub && r == 0; sub = sub->next)
        if (!sub->dead)
            r = pubsub_ask(port, sub);
    if (r < 0)
        aisys_redis_connection_fail(&port->pubsub, r, "no memory to subscribe again");
}

static void pubsub_on_disconnected(struct aisys_redis_port *port)
{
    const struct aisys_redis_arg nothing = { "", 0 };

    port->dispatching++;
    for (struct aisys_redis_subscription *sub = port->subscriptions; sub && !port->closing;
         sub = sub->next) {
        const bool active = sub->state == SUBSCRIPTION_ACTIVE;

        sub->state = SUBSCRIPTION_WANTED;
        if (active && !sub->dead)
            subscription_tell(
                sub, AISYS_REDIS_SUBSCRIPTION_LOST, subscription_channel(sub), nothing);
    }
    port->dispatching--;
    pubsub_sweep(port);
}

static void pubsub_on_event(
    void *owner, enum aisys_redis_port_event event, const char *reason, uint32_t retry_ms)
{
    struct aisys_redis_port *port = owner;

    if (event == AISYS_REDIS_BREAKER_OPENED || event == AISYS_REDIS_BREAKER_CLOSED)
        return; /* it has nothing to refuse */
    if (event == AISYS_REDIS_CONNECTED)
        pubsub_on_connected(port);
    if (event == AISYS_REDIS_DISCONNECTED)
        pubsub_on_disconnected(port);
    if (port->callbacks.event && !port->closing)
        port->callbacks.event(port->ctx, event, true, reason, retry_ms);
}

/* The answer to the next SUBSCRIBE. */
static void pubsub_on_answer(struct aisys_redis_port *port, const struct aisys_redis_value *value)
{
    const uint64_t number = port->answered_nr++;
    const struct aisys_redis_arg nothing = { "", 0 };
    struct aisys_redis_subscription *sub = port->subscriptions;

    while (sub && (sub->dead || sub->state != SUBSCRIPTION_ASKED || sub->asked_at != number))
        sub = sub->next;
    if (!sub)
        return; /* unsubscribed meanwhile */
    port->dispatching++;
    if (aisys_redis_is_error(value)) {
        sub->state = SUBSCRIPTION_WANTED;
        subscription_tell(sub, AISYS_REDIS_SUBSCRIPTION_REFUSED, subscription_channel(sub),
            (struct aisys_redis_arg){ value->text, value->text_bytes });
    } else {
        sub->state = SUBSCRIPTION_ACTIVE;
        subscription_tell(sub, AISYS_REDIS_SUBSCRIBED, subscription_channel(sub), nothing);
    }
    port->dispatching--;
    pubsub_sweep(port);
}

/* To everybody who subscribed to @name, the channel or the pattern. */
static void pubsub_on_message(struct aisys_redis_port *port, bool pattern,
    const struct aisys_redis_value *name, const struct aisys_redis_value *channel,
    const struct aisys_redis_value *payload)
{
    port->message_nr++;
    port->dispatching++;
    for (struct aisys_redis_subscription *sub = port->subscriptions; sub && !port->closing;
         sub = sub->next)
        if (sub->state == SUBSCRIPTION_ACTIVE &&
            subscription_matches(sub, pattern, name->text, name->text_bytes))
            subscription_tell(sub, AISYS_REDIS_MESSAGE,
                (struct aisys_redis_arg){ channel->text, channel->text_bytes },
                (struct aisys_redis_arg){ payload->text, payload->text_bytes });
    port->dispatching--;
    pubsub_sweep(port);
}

static void pubsub_on_push(void *owner, const struct aisys_redis_value *value)
{
    struct aisys_redis_port *port = owner;
    const struct aisys_redis_value *kind = aisys_redis_element(value, 0);
    const size_t last = value->element_nr - 1;

    if (aisys_redis_equals(value, "PONG") || (kind && aisys_redis_equals(kind, "pong")))
        return; /* that it came is enough */
    if (aisys_redis_is_error(value) || (kind && (aisys_redis_equals(kind, "subscribe") ||
                                                    aisys_redis_equals(kind, "psubscribe")))) {
        if (port->answered_nr < port->asked_nr)
            pubsub_on_answer(port, value);
        else
            aisys_redis_connection_fail(
                &port->pubsub, -EPROTO, "unexpected: %.120s", aisys_redis_text(value));
        return;
    }
    if (kind &&
        (aisys_redis_equals(kind, "unsubscribe") || aisys_redis_equals(kind, "punsubscribe")))
        return;
    if (kind && (last == 2 || last == 3) && value->elements[1].text &&
        value->elements[last - 1].text && value->elements[last].text &&
        aisys_redis_equals(kind, last == 2 ? "message" : "pmessage")) {
        pubsub_on_message(port, last == 3, &value->elements[1], &value->elements[last - 1],
            &value->elements[last]);
        return;
    }
    aisys_redis_connection_fail(
        &port->pubsub, -EPROTO, "what came is not a message of a subscription");
}

static void pubsub_on_room(void *owner)
{
    (void)owner; /* nobody is told FULL here */
}

static const struct redis_connection_ops pubsub_ops = {
    .event = pubsub_on_event,
    .room = pubsub_on_room,
    .push = pubsub_on_push,
    .closed = aisys_redis_port_on_connection_closed,
};

/* --- the port's side --- */

void aisys_redis_pubsub_init(struct aisys_redis_port *port)
{
    port->subscription_tail = &port->subscriptions;
}

void aisys_redis_pubsub_close(struct aisys_redis_port *port)
{
    if (port->pubsub_open)
        aisys_redis_connection_close(&port->pubsub);
}

void aisys_redis_pubsub_deinit(struct aisys_redis_port *port)
{
    for (struct aisys_redis_subscription *sub = port->subscriptions; sub; sub = sub->next)
        sub->dead = true;
    pubsub_sweep(port);
}

int aisys_redis_port_subscribe(struct aisys_redis_port *port, struct aisys_redis_arg channel,
    bool pattern, aisys_redis_subscription_cb cb, void *ctx, struct aisys_redis_subscription **ret)
{
    struct aisys_redis_memory *memory = &port->config.memory;
    struct aisys_redis_subscription *sub;
    int r = 0;

    if (port->closing)
        return AISYS_REDIS_PORT_CLOSED;
    if (channel.bytes == 0 || channel.bytes > CHANNEL_BYTES_MAX || !cb)
        return -EINVAL;
    if (port->subscription_nr >= port->config.subscription_max)
        return AISYS_REDIS_PORT_FULL;
    sub = memory->resize(memory->ctx, NULL, sizeof(*sub) + channel.bytes);
    if (!sub)
        return -ENOMEM;
    *sub = (struct aisys_redis_subscription){
        .port = port,
        .cb = cb,
        .ctx = ctx,
        .pattern = pattern,
        .channel_bytes = channel.bytes,
    };
    memcpy(sub->channel, channel.data, channel.bytes);
    if (!port->pubsub_open) {
        r = aisys_redis_connection_open(
            &port->pubsub, port->commands.loop, &port->config, &pubsub_ops, port);
        if (r == 0) {
            port->pubsub_open = true;
            port->connection_nr++;
        }
    } else if (port->pubsub.state == AISYS_REDIS_READY) {
        r = pubsub_ask(port, sub);
    }
    if (r < 0) {
        memory->resize(memory->ctx, sub, 0);
        return r;
    }
    *port->subscription_tail = sub;
    port->subscription_tail = &sub->next;
    port->subscription_nr++;
    *ret = sub;
    return 0;
}

void aisys_redis_port_unsubscribe(struct aisys_redis_subscription *subscription)
{
    struct aisys_redis_port *port;
    bool shared = false;

    if (!subscription)
        return;
    port = subscription->port;
    subscription->dead = true;
    port->subscription_nr--;
    for (const struct aisys_redis_subscription *sub = port->subscriptions; sub; sub = sub->next)
        shared |= subscription_matches(
            sub, subscription->pattern, subscription->channel, subscription->channel_bytes);
    if (!shared && subscription->state != SUBSCRIPTION_WANTED && !port->closing &&
        pubsub_send(port, "PUNSUBSCRIBE", subscription->pattern, subscription) < 0)
        aisys_redis_connection_fail(&port->pubsub, -ENOMEM, "no memory to unsubscribe");
    pubsub_sweep(port);
}
