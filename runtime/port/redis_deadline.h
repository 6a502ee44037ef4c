/* Deadlines of many commands on one timer: a wheel of 512 lists, one per millisecond, in which
 * adding and removing cost the same however many there are. A deadline further away than a turn of the
 * wheel stays in its list and is looked at once per turn.
 *
 * Private to the Redis port. Threads: one at a time. Times: milliseconds of one monotonic clock, given by
 * the caller. */
#ifndef AISYS_PORT_REDIS_DEADLINE_H
#define AISYS_PORT_REDIS_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>

#define REDIS_WHEEL_SLOTS 512u

/* Part of what has the deadline; zeroed: none is set. */
struct redis_deadline {
    struct redis_deadline *prev;
    struct redis_deadline *next;
    uint64_t due_ms;
};

struct redis_wheel {
    struct redis_deadline slots[REDIS_WHEEL_SLOTS]; /* heads of rings */
    struct redis_deadline due;                      /* head: found by collect, not yet taken */
    uint64_t used[REDIS_WHEEL_SLOTS / 64];          /* lists that may have members */
    uint64_t seen_ms;                               /* everything due until here was collected */
};

void aisys_redis_wheel_init(struct redis_wheel *wheel, uint64_t now_ms);
void aisys_redis_wheel_add(
    struct redis_wheel *wheel, struct redis_deadline *deadline, uint64_t due_ms);
/* Accepts one that is not set. */
void aisys_redis_wheel_remove(struct redis_deadline *deadline);

/* Gathers everything that is due at @now_ms; then take one after the other until NULL. */
void aisys_redis_wheel_collect(struct redis_wheel *wheel, uint64_t now_ms);
struct redis_deadline *aisys_redis_wheel_take(struct redis_wheel *wheel);

/* When to collect next: never later than the first deadline, at times earlier; 0 when none is set. */
uint64_t aisys_redis_wheel_next_ms(struct redis_wheel *wheel);

#endif
