/* The timing wheel against a list that is searched whole. */
#include "unit.h"

#include "core/check.h"
#include "core/wheel.h"

#define NODES_NR 48

struct item {
    struct wheel_node node; /* first */
    uint64_t at_ms;
    uint64_t order; /* of arming; 0: not armed */
};

static struct wheel wheel;
static struct item items[NODES_NR];
static uint64_t chance, orders, expired_nr;

static uint64_t any(uint64_t below)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return chance % below;
}

/* From one millisecond to years, all magnitudes alike. */
static uint64_t any_time(void)
{
    return any(UINT64_C(1) << any(39));
}

static const struct item *first_due(void)
{
    const struct item *first = NULL;

    for (unsigned i = 0; i < NODES_NR; i++)
        if (items[i].order &&
            (!first || items[i].at_ms < first->at_ms ||
                (items[i].at_ms == first->at_ms && items[i].order < first->order)))
            first = &items[i];
    return first;
}

static void arm(struct item *item, uint64_t at_ms)
{
    aisys_wheel_arm(&wheel, &item->node, at_ms);
    item->at_ms = at_ms > wheel.now_ms ? at_ms : wheel.now_ms + 1;
    item->order = ++orders;
}

static void on_expired(struct wheel_node *node, void *ctx)
{
    struct item *item = (struct item *)(void *)node;
    struct item *other = &items[any(NODES_NR)];

    assert_ptr_equal(ctx, &wheel);
    assert_ptr_equal(item, first_due());
    assert_true(item->at_ms == wheel.now_ms);
    assert_false(wheel_is_armed(node));
    item->order = 0;
    expired_nr++;
    if (any(4) == 0) /* what is called may arm itself and disarm others */
        arm(item, wheel.now_ms + any_time());
    if (any(4) == 0) {
        aisys_wheel_disarm(&wheel, &other->node);
        other->order = 0;
    }
}

static void check_wheel(void)
{
    const struct item *first = first_due();
    unsigned armed = 0;

    for (unsigned i = 0; i < NODES_NR; i++) {
        assert_int_equal(wheel_is_armed(&items[i].node), items[i].order != 0);
        armed += items[i].order != 0;
    }
    assert_int_equal(wheel.armed, armed);
    if (first) {
        assert_true(aisys_wheel_next_ms(&wheel) <= first->at_ms);
        assert_true(aisys_wheel_next_ms(&wheel) > wheel.now_ms);
    } else {
        assert_true(aisys_wheel_next_ms(&wheel) == UINT64_MAX);
    }
}

static void setup_wheel(uint64_t now_ms)
{
    aisys_wheel_init(&wheel, now_ms, &wheel);
    memset(items, 0, sizeof(items));
    for (unsigned i = 0; i < NODES_NR; i++)
        items[i].node.expired = on_expired;
}

static void test_as_a_list_would(void **state)
{
    static const uint64_t starts[] = { 0, 1, 63, 64, 4095, 262143, UINT64_C(1) << 36,
        (UINT64_C(1) << 40) - 1 };

    (void)state;
    for (unsigned run = 0; run < 64; run++) {
        chance = run + 1;
        setup_wheel(starts[run % ROWS(starts)]);
        for (unsigned i = 0; i < 500; i++) {
            struct item *item = &items[any(NODES_NR)];

            if (item->order == 0)
                arm(item, any(8) ? wheel.now_ms + any_time() : any(1000));
            else if (any(3) == 0) {
                aisys_wheel_disarm(&wheel, &item->node);
                item->order = 0;
            }
            if (any(3) == 0) {
                const uint64_t to_ms = wheel.now_ms + any_time() / 8;

                aisys_wheel_advance(&wheel, to_ms);
                assert_true(wheel.now_ms == to_ms);
                assert_true(!first_due() || first_due()->at_ms > to_ms);
            }
            check_wheel();
        }
    }
    assert_true(expired_nr > 1000);
}

static void test_one_millisecond_keeps_the_order_of_arming(void **state)
{
    (void)state;
    setup_wheel(0);
    /* The same moment, armed from far and from near. */
    for (unsigned i = 0; i < 40; i++) {
        aisys_wheel_advance(&wheel, i * 2500);
        arm(&items[i], 100000);
    }
    chance = 3;
    expired_nr = 0;
    aisys_wheel_advance(&wheel, 100000);
    assert_true(expired_nr > 20); /* on_expired compares; it disarms some */
}

/* Sleeping until next_ms, again and again, gets there without waking for each millisecond. */
static void test_sleeping_until_next_reaches_the_deadline(void **state)
{
    unsigned wakes = 0;

    (void)state;
    setup_wheel(12345);
    chance = 1;
    arm(&items[0], 12345 + 5 * 365 * UINT64_C(86400000));
    expired_nr = 0;
    while (!expired_nr && wakes < 100) {
        aisys_wheel_advance(&wheel, aisys_wheel_next_ms(&wheel));
        wakes++;
    }
    assert_int_equal(expired_nr, 1);
    assert_true(wakes <= WHEEL_LEVELS);
}

static void test_disarming_what_is_not_armed(void **state)
{
    (void)state;
    setup_wheel(5);
    aisys_wheel_disarm(&wheel, &items[0].node);
    check_wheel();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_a_list_would),
        cmocka_unit_test(test_one_millisecond_keeps_the_order_of_arming),
        cmocka_unit_test(test_sleeping_until_next_reaches_the_deadline),
        cmocka_unit_test(test_disarming_what_is_not_armed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
