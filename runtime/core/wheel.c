#include "check.h"
#include "wheel.h"

#include <stddef.h>

#define SLOT_MASK (WHEEL_SLOTS - 1)

static unsigned wheel_shift(unsigned level)
{
    return level * WHEEL_SLOT_BITS;
}

void aisys_wheel_init(struct wheel *wheel, uint64_t now_ms, void *ctx)
{
    *wheel = (struct wheel){ .now_ms = now_ms, .ctx = ctx };
    for (unsigned level = 0; level < WHEEL_LEVELS; level++)
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++) {
            struct wheel_node *head = &wheel->slots[level][slot];

            head->next = head->prev = head;
        }
}

/* The level whose slots tell @at_ms and now apart: the highest digit in which they differ. */
static unsigned wheel_level(const struct wheel *wheel, uint64_t at_ms)
{
    const uint64_t differ = at_ms ^ wheel->now_ms;

    return differ ? (63u - (unsigned)__builtin_clzll(differ)) / WHEEL_SLOT_BITS : 0;
}

static void wheel_place(struct wheel *wheel, struct wheel_node *node)
{
    const unsigned level = wheel_level(wheel, node->at_ms);
    unsigned slot;
    struct wheel_node *head;

    AISYS_CHECK(level < WHEEL_LEVELS);
    slot = (unsigned)(node->at_ms >> wheel_shift(level)) & SLOT_MASK;
    head = &wheel->slots[level][slot];
    node->next = head;
    node->prev = head->prev;
    head->prev->next = node;
    head->prev = node;
    wheel->occupied[level] |= UINT64_C(1) << slot;
}

void aisys_wheel_arm(struct wheel *wheel, struct wheel_node *node, uint64_t at_ms)
{
    /* The last moment that differs from now in digits that have a wheel. */
    const uint64_t horizon_ms =
        wheel->now_ms | ((UINT64_C(1) << (WHEEL_LEVELS * WHEEL_SLOT_BITS)) - 1);

    AISYS_CHECK(!wheel_is_armed(node));
    if (at_ms <= wheel->now_ms)
        at_ms = wheel->now_ms + 1;
    node->at_ms = at_ms < horizon_ms ? at_ms : horizon_ms;
    wheel_place(wheel, node);
    wheel->armed++;
}

static void wheel_unlink(struct wheel_node *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node->prev = NULL;
}

void aisys_wheel_disarm(struct wheel *wheel, struct wheel_node *node)
{
    if (!wheel_is_armed(node))
        return;
    AISYS_CHECK(wheel->armed > 0);
    wheel_unlink(node);
    wheel->armed--;
}

/* Move what waits in @level's current slot inwards. */
static void wheel_cascade(struct wheel *wheel, unsigned level)
{
    const unsigned slot = (unsigned)(wheel->now_ms >> wheel_shift(level)) & SLOT_MASK;
    struct wheel_node *head = &wheel->slots[level][slot];

    wheel->occupied[level] &= ~(UINT64_C(1) << slot);
    while (head->next != head) {
        struct wheel_node *node = head->next;

        wheel_unlink(node);
        wheel_place(wheel, node);
    }
}

static void wheel_expire_now(struct wheel *wheel)
{
    const unsigned slot = (unsigned)wheel->now_ms & SLOT_MASK;
    struct wheel_node *head = &wheel->slots[0][slot];

    wheel->occupied[0] &= ~(UINT64_C(1) << slot);
    while (head->next != head) {
        struct wheel_node *node = head->next;

        AISYS_CHECK(node->at_ms == wheel->now_ms);
        wheel_unlink(node);
        wheel->armed--;
        node->expired(node, wheel->ctx);
    }
}

uint64_t aisys_wheel_next_ms(const struct wheel *wheel)
{
    if (!wheel->armed)
        return UINT64_MAX;
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        const unsigned shift = wheel_shift(level);
        const unsigned digit = (unsigned)(wheel->now_ms >> shift) & SLOT_MASK;
        /* Slots after the current one; what is in the current one has moved inwards. */
        const uint64_t after =
            digit == SLOT_MASK ? 0 : wheel->occupied[level] & (~UINT64_C(0) << (digit + 1));

        if (after) {
            const uint64_t slot = (uint64_t)__builtin_ctzll(after);
            const uint64_t above = (wheel->now_ms >> shift >> WHEEL_SLOT_BITS) << WHEEL_SLOT_BITS;

            return (above | slot) << shift;
        }
    }
    aisys_check_failed(
        "what is armed differs from now in some digit, and is later", __FILE__, __LINE__);
}

void aisys_wheel_advance(struct wheel *wheel, uint64_t now_ms)
{
    while (wheel->now_ms < now_ms) {
        const uint64_t next_ms = aisys_wheel_next_ms(wheel);

        if (next_ms > now_ms) {
            wheel->now_ms = now_ms;
            return;
        }
        wheel->now_ms = next_ms;
        for (unsigned level = WHEEL_LEVELS - 1; level > 0; level--)
            if ((wheel->now_ms & ((UINT64_C(1) << wheel_shift(level)) - 1)) == 0)
                wheel_cascade(wheel, level);
        wheel_expire_now(wheel);
    }
}
