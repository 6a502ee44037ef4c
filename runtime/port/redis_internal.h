/* What redis_port.c and redis_pubsub.c share: the port itself. Private to the Redis port. */
#ifndef AISYS_PORT_REDIS_INTERNAL_H
#define AISYS_PORT_REDIS_INTERNAL_H

#include "port/redis_connection.h"

struct aisys_redis_port {
    struct aisys_redis_config config; /* complete; its strings are in text */
    char *text;                       /* owned */
    struct aisys_redis_port_callbacks callbacks;
    void *ctx;
    struct redis_connection commands;
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
    unsigned connection_nr; /* open or closing */

    /* redis_pubsub.c */
    struct redis_connection pubsub; /* valid when pubsub_open */
    bool pubsub_open;
    struct aisys_redis_subscription *subscriptions; /* owned, in the order of subscribing */
    struct aisys_redis_subscription **subscription_tail;
    uint32_t subscription_nr;
    uint64_t asked_nr;    /* SUBSCRIBE commands on this connection */
    uint64_t answered_nr; /* of those */
    unsigned dispatching; /* callbacks of subscriptions are running: nothing is freed */
    uint64_t message_nr;
};

void aisys_redis_pubsub_init(struct aisys_redis_port *port);
void aisys_redis_pubsub_close(struct aisys_redis_port *port);
void aisys_redis_pubsub_deinit(struct aisys_redis_port *port);

/* A connection is closed; the port is freed with the last. */
void aisys_redis_port_on_connection_closed(void *owner);

#endif
