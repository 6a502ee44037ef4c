/* Commands on their way out: the RESP text of a command, the buffer of a loop turn, and what may not be
 * sent on a connection that is shared. Private to the Redis port. Threads: one at a time. */
#ifndef AISYS_PORT_REDIS_WIRE_H
#define AISYS_PORT_REDIS_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include <aisys/redis_value.h>

#include "port/redis_port.h"

/* Bytes from start to end are still to be written. */
struct redis_out {
    const struct aisys_redis_memory *memory;
    char *data;
    size_t start;
    size_t end;
    size_t capacity;
};

void aisys_redis_out_init(struct redis_out *out, const struct aisys_redis_memory *memory);
void aisys_redis_out_deinit(struct redis_out *out); /* accepts a zeroed one */
void aisys_redis_out_clear(struct redis_out *out);

static inline size_t aisys_redis_out_bytes(const struct redis_out *out)
{
    return out->end - out->start;
}

/* Room for @bytes more. 0 or -ENOMEM. */
int aisys_redis_out_reserve(struct redis_out *out, size_t bytes);
/* @bytes of it were written. */
void aisys_redis_out_consume(struct redis_out *out, size_t bytes);

/* The most that the command can take on the wire; SIZE_MAX when that does not fit a size_t. */
size_t aisys_redis_wire_bytes(const struct aisys_redis_arg *args, size_t arg_nr);
/* Appends it; aisys_redis_wire_bytes() were reserved. */
void aisys_redis_wire_append(
    struct redis_out *out, const struct aisys_redis_arg *args, size_t arg_nr);

/* Whether the command would change or hold up the connection for others. */
bool aisys_redis_wire_forbidden(const struct aisys_redis_arg *args, size_t arg_nr);

#endif
