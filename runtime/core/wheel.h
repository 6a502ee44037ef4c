/* A hierarchical timing wheel: deadlines in milliseconds, constant time to arm and disarm, those of
 * one millisecond in the order they were armed.
 *
 * After G. Varghese and T. Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987: seven wheels of 64
 * slots; a node waits in the wheel of its distance and moves inwards when that wheel turns. */
#ifndef AISYS_CORE_WHEEL_H
#define AISYS_CORE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_LEVELS    7
#define WHEEL_SLOT_BITS 6
#define WHEEL_SLOTS     (1u << WHEEL_SLOT_BITS)

struct wheel_node;

typedef void (*wheel_expired_fn)(struct wheel_node *node, void *ctx);

/* Embedded in what waits. All zero: not armed. */
struct wheel_node {
    struct wheel_node *next, *prev;
    uint64_t at_ms;
    wheel_expired_fn expired; /* set by whoever embeds it, before it is armed */
};

struct wheel {
    uint64_t now_ms;
    void *ctx; /* for expired */
    uint32_t armed;
    uint64_t occupied[WHEEL_LEVELS]; /* a bit per slot that may hold nodes */
    struct wheel_node slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void aisys_wheel_init(struct wheel *wheel, uint64_t now_ms, void *ctx);

/* Call node->expired for @node when the wheel has been advanced to @at_ms (or the next ms, if that has passed).
 * Nothing waits past 139 years of the clock. */
void aisys_wheel_arm(struct wheel *wheel, struct wheel_node *node, uint64_t at_ms);
void aisys_wheel_disarm(struct wheel *wheel, struct wheel_node *node); /* not armed is fine */

static inline bool wheel_is_armed(const struct wheel_node *node)
{
    return node->next != 0;
}

/* Expire everything up to and including @now_ms, in order. What is called may arm and disarm. */
void aisys_wheel_advance(struct wheel *wheel, uint64_t now_ms);

/* A time at which advancing is worth it: never later than the first deadline; UINT64_MAX: nothing waits. */
uint64_t aisys_wheel_next_ms(const struct wheel *wheel);

#endif
