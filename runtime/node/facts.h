/* What the node tells its infrastructure actors of itself (aisys/system.h): name, doors, process.
 *
 * Threads: the loop thread; /proc is read on the pool, every few seconds. */
#ifndef AISYS_NODE_FACTS_H
#define AISYS_NODE_FACTS_H

#include "bus.h"
#include "config.h"
#include "doors.h"
#include "http.h"
#include "modules.h"
#include "port/uv_port.h"

struct aisys_env_redis;
struct aisys_facts;

/* Make them known to @core. All are borrowed until close. */
int aisys_facts_open(const struct aisys_config *config, struct aisys_uv *uv,
    struct aisys_core *core, const struct aisys_modules *modules, struct aisys_facts **ret_facts);

/* The doors, once they are open; NULL: they are not any more. */
void aisys_facts_doors(struct aisys_facts *facts, const struct aisys_doors *doors,
    const struct aisys_http_doors *http);

/* The connection, for its metrics; NULL: there is none (any more). */
void aisys_facts_redis(struct aisys_facts *facts, const struct aisys_env_redis *redis);

/* The link to oneself; NULL: there is none (any more). */
void aisys_facts_bus(struct aisys_facts *facts, const struct aisys_bus *bus);

/* Read what is due to be read again; returns when it is due next. */
uint64_t aisys_facts_refresh(struct aisys_facts *facts, uint64_t now_ms);

/* After the loop was closed. NULL is fine. */
void aisys_facts_close(struct aisys_facts *facts);

#endif
