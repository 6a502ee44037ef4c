/* The world for the core, for real: libuv's loop, clock and pool, the log, the modules' engines.
 *
 * Jobs run on libuv's pool, whose size is the sum of the lanes' limits + 2. A job's progress goes through
 * a queue and a bell; its end is libuv's own completion, which first empties that queue: so progress and
 * end keep their order, and an end needs no room that might not be there (ADR 3).
 *
 * Threads: the loop thread, but for what a job calls. */
#ifndef AISYS_NODE_ENV_H
#define AISYS_NODE_ENV_H

#include "core/core.h"
#include "log.h"
#include "modules.h"
#include "port/uv_port.h"

struct aisys_node_env;

/* @uv, @log and @modules are borrowed until close. */
int aisys_node_env_open(struct aisys_uv *uv, struct aisys_log *log, struct aisys_modules *modules,
    struct aisys_node_env **ret_env);

/* After the loop was closed: all jobs have ended, and its bell with it. NULL is fine. */
void aisys_node_env_close(struct aisys_node_env *env);

/* The table, for aisys_core_new(); what other parts of the node provide is set there before. */
struct aisys_env *aisys_node_env_table(struct aisys_node_env *env);

#endif
