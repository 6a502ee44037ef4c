/* Redis for an actor: commands that run without waiting and answer to a continuation.
 *
 * The node has one connection (`redis.host`), shared by all its actors; commands of one actor run in the
 * order in which they were given. What would change the connection for others, or keep others waiting,
 * is refused: SELECT, AUTH, MULTI (there is aisys_redis_batch), SUBSCRIBE, MONITOR, BLPOP and their kin.
 *
 * The end of a command has, when its code is AISYS_OK, as `result` a const struct aisys_redis_value,
 * borrowed for the continuation: what Redis answered, which may well be an ERROR ("WRONGTYPE ..."). Other
 * codes have no result:
 *
 *     FAILED_PRECONDITION  redis.host is not set
 *     UNAVAILABLE          the server is away; it may or may not have done it when the connection was lost
 *                          after the command had left (the words say which)
 *     DEADLINE_EXCEEDED    no answer in time; it may have been done
 *     RESOURCE_EXHAUSTED   too much in flight, or the command or its answer is over a limit
 *     INVALID_ARGUMENT     a command that the shared connection must not see
 *     ABORTED              a transaction was not executed, none of it had an effect
 *     CANCELLED            the node stops
 *
 * Threads: the loop thread, inside a handler of @self.
 * Errors:  0; AISYS_SEND_FULL: one's own mailbox has no place for the end; -ENOMEM. What the server or the
 *          connection has against it comes as the end, never as a return value.
 * Times:   then.deadline_ms, at most 600000. */
#ifndef AISYS_REDIS_H
#define AISYS_REDIS_H

#include <aisys/actor.h>
#include <aisys/redis_value.h>

/* Send the command of @arg_nr words (at least 1; copied). */
AISYS_API int aisys_redis_exec(struct aisys_actor *self, const struct aisys_redis_arg *args,
    size_t arg_nr, struct aisys_then then);

enum aisys_redis_together {
    AISYS_REDIS_TOGETHER_PIPELINE, /* in order, nobody's commands between them on this connection */
    AISYS_REDIS_TOGETHER_TRANSACTION, /* MULTI ... EXEC: all or nothing, others see no state between */
};

/* Send @command_nr commands (at least 1; copied) and get one end: its result is an ARRAY with the answer
 * of each, any of which may be an ERROR. */
AISYS_API int aisys_redis_batch(struct aisys_actor *self, enum aisys_redis_together together,
    const struct aisys_redis_command *commands, size_t command_nr, struct aisys_then then);

enum aisys_redis_state {
    AISYS_REDIS_NOT_CONFIGURED, /* redis.host is not set */
    AISYS_REDIS_AWAY,           /* no connection: commands fail, or wait for the first one */
    AISYS_REDIS_THERE,
};

/* *@ret_why (may be NULL): why it is away, "" otherwise; borrowed until the handler returns. */
AISYS_API enum aisys_redis_state aisys_redis_state(
    const struct aisys_actor *self, const char **ret_why);

static inline bool aisys_redis_configured(const struct aisys_actor *self)
{
    return aisys_redis_state(self, NULL) != AISYS_REDIS_NOT_CONFIGURED;
}

#endif
