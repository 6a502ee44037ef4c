/* Redis for the actors of a node: what the environment's redis_exec() and redis_state() do, over the port.
 *
 * The node has one, or none when redis.host is not set, and its struct aisys_env forwards to it:
 *
 *     static void node_redis_exec(void *ctx, const struct aisys_redis_work *work, uint64_t op, uint64_t d)
 *     {
 *         aisys_env_redis_exec(((struct node *)ctx)->redis, work, op, d);
 *     }
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

/* Connecting starts with the loop's next turn; a server that is away is no error. @config is copied, but for
 * its random and memory functions (NULL: jitter is the environment's, memory the heap's). @core is
 * borrowed until closed. 0, -EINVAL (aisys_redis_config_problem() says why), -ENOMEM. */
int aisys_env_redis_open(struct uv_loop_s *loop, struct aisys_core *core,
    const struct aisys_redis_config *config, struct aisys_env_redis **ret_redis);

/* What is open ends with CANCELLED; then @closed (may be NULL) is called and it is gone. The loop must run
 * until then and the core must live. NULL is fine: nothing is called. */
void aisys_env_redis_close(struct aisys_env_redis *redis, void (*closed)(void *ctx), void *ctx);

/* As the function of struct aisys_env. @redis is not NULL: the core asks the state first. */
void aisys_env_redis_exec(struct aisys_env_redis *redis, const struct aisys_redis_work *work,
    uint64_t op, uint64_t deadline_ms);

/* NULL is "not configured". *@ret_why is borrowed until the loop runs again. */
enum aisys_redis_state aisys_env_redis_state(
    const struct aisys_env_redis *redis, const char **ret_why);

/* Append the families about the connection; NULL appends none. */
void aisys_env_redis_metrics(const struct aisys_env_redis *redis, struct aisys_exposition *page);

/* Declaration @i of them, for the manual page and tests; NULL behind the last. */
const struct aisys_metric *aisys_env_redis_declared(size_t i);

#endif
