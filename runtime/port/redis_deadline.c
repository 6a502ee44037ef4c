#include "port/redis_deadline.h"

#include <stddef.h>
#include <string.h>

#define SLOT_MASK (REDIS_WHEEL_SLOTS - 1u)

static void ring_init(struct redis_deadline *head)
{
    head->prev = head->next = head;
}

static void ring_append(struct redis_deadline *head, struct redis_deadline *deadline)
{
    deadline->prev = head->prev;
    deadline->next = head;
    head->prev->next = deadline;
    head->prev = deadline;
}

void aisys_redis_wheel_init(struct redis_wheel *wheel, uint64_t now_ms)
{
    for (unsigned i = 0; i < REDIS_WHEEL_SLOTS; i++)
        ring_init(&wheel->slots[i]);
    ring_init(&wheel->due);
    memset(wheel->used, 0, sizeof(wheel->used));
    wheel->seen_ms = now_ms;
}

void aisys_redis_wheel_add(
    struct redis_wheel *wheel, struct redis_deadline *deadline, uint64_t due_ms)
{
    unsigned slot;

    if (due_ms <= wheel->seen_ms)
        due_ms = wheel->seen_ms + 1; /* the lists until then are not looked at again */
    slot = (unsigned)due_ms & SLOT_MASK;
    deadline->due_ms = due_ms;
    ring_append(&wheel->slots[slot], deadline);
    wheel->used[slot / 64] |= (uint64_t)1 << (slot % 64);
}

void aisys_redis_wheel_remove(struct redis_deadline *deadline)
{
    if (!deadline->next)
        return;
    deadline->prev->next = deadline->next;
    deadline->next->prev = deadline->prev;
    deadline->prev = deadline->next = NULL;
}

static void wheel_collect_slot(struct redis_wheel *wheel, unsigned slot, uint64_t now_ms)
{
    struct redis_deadline *head = &wheel->slots[slot];
    struct redis_deadline *at = head->next;

    while (at != head) {
        struct redis_deadline *next = at->next;

        if (at->due_ms <= now_ms) {
            aisys_redis_wheel_remove(at);
            ring_append(&wheel->due, at);
        }
        at = next;
    }
}

void aisys_redis_wheel_collect(struct redis_wheel *wheel, uint64_t now_ms)
{
    uint64_t ms = wheel->seen_ms + 1;

    if (now_ms <= wheel->seen_ms)
        return;
    if (now_ms - wheel->seen_ms > REDIS_WHEEL_SLOTS)
        ms = now_ms - SLOT_MASK; /* every list once is enough */
    for (; ms <= now_ms; ms++)
        wheel_collect_slot(wheel, (unsigned)ms & SLOT_MASK, now_ms);
    wheel->seen_ms = now_ms;
}

struct redis_deadline *aisys_redis_wheel_take(struct redis_wheel *wheel)
{
    struct redis_deadline *deadline = wheel->due.next;

    if (deadline == &wheel->due)
        return NULL;
    aisys_redis_wheel_remove(deadline);
    return deadline;
}

uint64_t aisys_redis_wheel_next_ms(struct redis_wheel *wheel)
{
    for (unsigned i = 1; i <= REDIS_WHEEL_SLOTS; i++) {
        const unsigned slot = (unsigned)(wheel->seen_ms + i) & SLOT_MASK;
        const uint64_t bit = (uint64_t)1 << (slot % 64);

        if (!(wheel->used[slot / 64] & bit))
            continue;
        if (wheel->slots[slot].next != &wheel->slots[slot])
            return wheel->seen_ms + i;
        wheel->used[slot / 64] &= ~bit;
    }
    return 0;
}
