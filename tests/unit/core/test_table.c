/* Tables of elements that never move. */
#include "unit.h"

#include "core/check.h"
#include "core/table.h"
#include <stdlib.h>

struct element {
    uint32_t generation; /* survives */
    uint32_t link;
    uint64_t owner;
};

static long allocations_left = -1;
static long live;

static void *counted_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    if (allocations_left == 0)
        return NULL;
    if (allocations_left > 0)
        allocations_left--;
    live++;
    return malloc(bytes);
}

static void counted_free(void *ctx, void *p)
{
    (void)ctx;
    live--;
    free(p);
}

static const struct aisys_allocator memory = { counted_alloc, counted_free, NULL };

#define LINK offsetof(struct element, link)

static void test_elements_are_apart_and_stay(void **state)
{
    static struct element *taken[5000];
    static uint32_t indices[5000];
    struct table table;

    (void)state;
    aisys_table_init(&table, &memory, sizeof(struct element), 5000);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 5000; i++) {
            taken[i] = aisys_table_take(&table, LINK, &indices[i]);
            assert_non_null(taken[i]);
            assert_int_equal(taken[i]->generation, round); /* zero at first, then what was left */
            taken[i]->generation++;
            taken[i]->owner = i;
        }
        for (unsigned i = 0; i < 5000; i++) {
            assert_ptr_equal(table_get(&table, indices[i]), taken[i]);
            assert_int_equal(taken[i]->owner, i); /* nobody else has it */
        }
        assert_int_equal(table.used, 5000);
        assert_null(aisys_table_take(&table, LINK, &indices[0]));
        for (unsigned i = 0; i < 5000; i++)
            aisys_table_give(&table, LINK, taken[i], indices[i]);
        assert_int_equal(table.used, 0);
    }
    aisys_table_deinit(&table);
    assert_int_equal(live, 0);
}

static void test_what_was_never_handed_out_is_not_there(void **state)
{
    struct table table;
    uint32_t index;

    (void)state;
    aisys_table_init(&table, &memory, sizeof(struct element), 10);
    assert_null(table_get(&table, 0));
    assert_non_null(aisys_table_take(&table, LINK, &index));
    assert_non_null(table_get(&table, index));
    assert_null(table_get(&table, 1));
    assert_null(table_get(&table, UINT32_MAX));
    aisys_table_deinit(&table);
}

static void test_without_memory_nothing_changes(void **state)
{
    (void)state;
    for (long n = 0; n < 4; n++) {
        struct table table;
        uint32_t index = 77;
        unsigned got = 0;

        aisys_table_init(&table, &memory, sizeof(struct element), 100000);
        allocations_left = n;
        while (aisys_table_take(&table, LINK, &index))
            got++;
        assert_int_equal(table.used, got);
        assert_int_equal(got, n < 2 ? 0 : (unsigned)(n - 1) * TABLE_CHUNK);
        allocations_left = -1;
        assert_non_null(aisys_table_take(&table, LINK, &index)); /* it was only then */
        assert_int_equal(index, got);
        aisys_table_deinit(&table);
        assert_int_equal(live, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements_are_apart_and_stay),
        cmocka_unit_test(test_what_was_never_handed_out_is_not_there),
        cmocka_unit_test(test_without_memory_nothing_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
