/* The node's inbox and its link to itself: `bus.local: socket` sends the messages of one loop through
 * the inproc door, in the same frames that go to other machines.
 *
 * Threads: the loop thread.  Errors: negative errno. */
#ifndef AISYS_NODE_BUS_H
#define AISYS_NODE_BUS_H

#include "core/core.h"
#include "core/link.h"
#include "port/nng_port.h"

struct aisys_bus;

/* Open the inbox on inproc://aisys/<node>/inbox and the link to it; set `loopback` in @env. */
int aisys_bus_open(struct aisys_nng *nng, struct aisys_env *env, const char *node_name,
    uint64_t node, uint32_t message_bytes_max, struct aisys_bus **ret_bus);

/* Once there is a core to deliver to. */
void aisys_bus_attach(struct aisys_bus *bus, struct aisys_core *core);

/* At the end of a turn: what it sent goes out. Returns when it wants to be called again, at the latest. */
uint64_t aisys_bus_flush(struct aisys_bus *bus, uint64_t now_ms);

const struct aisys_link_accounts *aisys_bus_accounts(const struct aisys_bus *bus);

/* @closed(@arg) when nothing of it is left. NULL bus: at once. */
void aisys_bus_close(struct aisys_bus *bus, void (*closed)(void *arg), void *arg);

#endif
