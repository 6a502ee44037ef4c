/* Redis for the actors of a node: the environment's redis service, over the port. The node has one, or none
 * when redis.host is not set.
 *
 * Answers are copied, each into one piece of memory, since an actor handles them in a later turn. What
 * happens to the connection is logged: coming, going, and no more than that while it is away.
 *
 * Threads: the loop thread.
 * Errors:  0 or a negative errno; what happens to a command is its end. */
#ifndef AISYS_NODE_ENV_REDIS_H
#define AISYS_NODE_ENV_REDIS_H

#include "core/core.h"
#include "port/redis_port.h"

struct aisys_env_redis;
struct aisys_exposition;
struct uv_loop_s;

/* Set @env's redis service; actors that look for it when they start must find it, so this is done before
 * they do. Connecting starts with the loop's next turn; a server that is away is no error. @config is
 * copied, but for its random and memory functions (NULL: jitter is the environment's, memory the heap's).
 * @env and its @core are borrowed until closed. 0, -EINVAL (aisys_redis_config_problem() says why),
 * -ENOMEM. */
int aisys_env_redis_open(struct uv_loop_s *loop, struct aisys_env *env, struct aisys_core *core,
    const struct aisys_redis_config *config, struct aisys_env_redis **ret_redis);

/* What is open ends with CANCELLED; then @closed (may be NULL) is called and it is gone. The loop must run
 * until then and the core must live. NULL: @closed is called at once. */
void aisys_env_redis_close(struct aisys_env_redis *redis, void (*closed)(void *ctx), void *ctx);

/* Append the families about the connection; NULL appends none. */
void aisys_env_redis_metrics(const struct aisys_env_redis *redis, struct aisys_exposition *page);

/* Declaration @i of them, for the manual page and tests; NULL behind the last. */
const struct aisys_metric *aisys_env_redis_declared(size_t i);

#endif
