/* What aisys/redis.h offers: a place for the end here, the rest is the environment's. */
#include "internal.h"

static int redis_begin(
    struct aisys_actor *self, const struct aisys_redis_work *work, struct aisys_then then)
{
    const struct aisys_env *env = self->core->env;
    uint64_t op, deadline_ms;
    int r;

    for (size_t i = 0; i < work->command_nr; i++)
        if (work->commands[i].arg_nr == 0)
            aisys_check_failed_in_actor("a command has at least one word", __FILE__, __LINE__);
    if (work->command_nr == 0)
        aisys_check_failed_in_actor("there is at least one command", __FILE__, __LINE__);
    r = aisys_core_op_begin(self, then, &op, &deadline_ms);
    if (r)
        return r;
    if (aisys_redis_state(self, NULL) != AISYS_REDIS_NOT_CONFIGURED)
        env->redis.exec(env->redis.ctx, work, op, deadline_ms);
    else
        aisys_core_op_end(self->core, op, AISYS_FAILED_PRECONDITION,
            "Redis is not configured: set redis.host", NULL, NULL);
    return 0;
}

int aisys_redis_exec(struct aisys_actor *self, const struct aisys_redis_arg *args, size_t arg_nr,
    struct aisys_then then)
{
    const struct aisys_redis_command command = { args, arg_nr };

    return redis_begin(
        self, &(struct aisys_redis_work){ .commands = &command, .command_nr = 1 }, then);
}

int aisys_redis_batch(struct aisys_actor *self, enum aisys_redis_together together,
    const struct aisys_redis_command *commands, size_t command_nr, struct aisys_then then)
{
    return redis_begin(self,
        &(struct aisys_redis_work){ .commands = commands,
            .command_nr = command_nr,
            .batch = true,
            .transaction = together == AISYS_REDIS_TOGETHER_TRANSACTION },
        then);
}

enum aisys_redis_state aisys_redis_state(const struct aisys_actor *self, const char **ret_why)
{
    const struct aisys_env *env = self->core->env;
    const char *why = "";
    enum aisys_redis_state state = AISYS_REDIS_NOT_CONFIGURED;

    if (env->redis.state)
        state = env->redis.state(env->redis.ctx, &why);
    if (ret_why)
        *ret_why = why;
    return state;
}
