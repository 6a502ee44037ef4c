/* The cache in memory: what stays, what leaves, and that nothing leaks or is counted wrong. */
#include "unit.h"

#include "lru.h"

#include <errno.h>
#include <stdlib.h>

static struct {
    long live, fail_after; /* negative: never */
    bool fired;
} heap;

static void *heap_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    if (heap.fail_after == 0) {
        heap.fired = true;
        return NULL;
    }
    heap.fail_after -= heap.fail_after > 0;
    heap.live++;
    return calloc(1, bytes ? bytes : 1);
}

static void heap_free(void *ctx, void *p)
{
    (void)ctx;
    heap.live--;
    free(p);
}

static struct aisys_lru *lru;

static void open_with(uint64_t quota, uint64_t total, uint32_t namespaces)
{
    const struct aisys_lru_options options = { .quota_bytes = quota,
        .total_bytes = total,
        .namespaces_max = namespaces,
        .seed = 7,
        .alloc = heap_alloc,
        .free = heap_free };

    lru = aisys_lru_new(&options);
    assert_non_null(lru);
}

static int setup(void **state)
{
    (void)state;
    heap.live = 0;
    heap.fail_after = -1;
    heap.fired = false;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    aisys_lru_free(lru);
    lru = NULL;
    assert_int_equal(heap.live, 0);
    return 0;
}

static struct aisys_lru_text text(const char *s)
{
    return (struct aisys_lru_text){ s, strlen(s) };
}

static int set(const char *ns, const char *key, const char *value, uint64_t expires_ms)
{
    return aisys_lru_set(lru, ns, text(key), text(value), expires_ms, 0);
}

static bool has(const char *ns, const char *key, const char *value, uint64_t now_ms)
{
    struct aisys_lru_value got;

    if (!aisys_lru_get(lru, ns, text(key), now_ms, &got))
        return false;
    assert_int_equal(got.bytes, strlen(value));
    assert_memory_equal(got.data, value, got.bytes);
    return true;
}

static struct aisys_lru_stats found;
static const char *wanted;

static void stats_each(void *ctx, const struct aisys_lru_stats *stats)
{
    unsigned *nr = ctx;

    ++*nr;
    if (wanted && strcmp(stats->name, wanted) == 0)
        found = *stats;
}

static struct aisys_lru_stats stats_of(const char *ns)
{
    unsigned nr = 0;

    memset(&found, 0, sizeof(found));
    wanted = ns;
    aisys_lru_each(lru, stats_each, &nr);
    assert_int_equal(nr, aisys_lru_namespaces(lru));
    return found;
}

static void test_keeps_replaces_and_forgets(void **state)
{
    (void)state;
    open_with(1 << 20, 1 << 20, 4);
    assert_false(has("a", "k", "", 0));
    assert_int_equal(aisys_lru_namespaces(lru), 0); /* asking makes no namespace */
    assert_int_equal(set("a", "k", "one", 0), 0);
    assert_int_equal(set("b", "k", "two", 0), 0);
    assert_true(has("a", "k", "one", 0));
    assert_true(has("b", "k", "two", 0));
    assert_int_equal(set("a", "k", "another", 0), 0);
    assert_true(has("a", "k", "another", 0));
    assert_int_equal(stats_of("a").keys, 1);
    assert_int_equal(stats_of("a").bytes, 1 + 7 + AISYS_LRU_PAIR_BYTES);
    assert_int_equal(set("a", "empty", "", 0), 0);
    assert_true(has("a", "empty", "", 0));
    assert_true(aisys_lru_delete(lru, "a", text("k"), 0));
    assert_false(aisys_lru_delete(lru, "a", text("k"), 0));
    assert_false(aisys_lru_delete(lru, "none", text("k"), 0));
    assert_false(has("a", "k", "", 0));
    assert_int_equal(stats_of("a").hits, 3);
    assert_int_equal(stats_of("a").misses, 1);
}

/* Room for three pairs of this size: the fourth makes the least recently used leave. */
static void test_the_least_recently_used_leaves(void **state)
{
    const uint64_t pair = AISYS_LRU_PAIR_BYTES + 2;

    (void)state;
    open_with(3 * pair, 1 << 20, 4);
    assert_int_equal(set("a", "1", "x", 0), 0);
    assert_int_equal(set("a", "2", "x", 0), 0);
    assert_int_equal(set("a", "3", "x", 0), 0);
    assert_true(has("a", "1", "x", 0));
    assert_int_equal(set("a", "4", "x", 0), 0);
    assert_true(has("a", "1", "x", 0));
    assert_false(has("a", "2", "x", 0));
    assert_true(has("a", "3", "x", 0));
    assert_true(has("a", "4", "x", 0));
    assert_int_equal(stats_of("a").evictions, 1);
    assert_int_equal(stats_of("a").bytes, 3 * pair);
    assert_int_equal(set("a", "3", "x", 0), 0); /* in its own place: nobody leaves */
    assert_int_equal(stats_of("a").evictions, 1);
}

static void test_sizes(void **state)
{
    static char big[4096];

    (void)state;
    memset(big, 'x', sizeof(big) - 1);
    open_with(4096, 8192, 4);
    assert_int_equal(set("a", "k", "old", 0), 0);
    assert_int_equal(set("a", "k", big, 0), AISYS_LRU_TOO_LARGE);
    assert_true(has("a", "k", "old", 0));
    assert_int_equal(set("a", "k", big + AISYS_LRU_PAIR_BYTES, 0), 0); /* exactly the quota */
    assert_int_equal(stats_of("a").bytes, 4096);
}

static void test_all_together_have_a_bound(void **state)
{
    const uint64_t pair = AISYS_LRU_PAIR_BYTES + 2;

    (void)state;
    open_with(2 * pair, 3 * pair, 4);
    assert_int_equal(set("a", "1", "x", 0), 0);
    assert_int_equal(set("b", "1", "x", 0), 0);
    assert_int_equal(set("c", "1", "x", 0), 0);
    assert_true(has("a", "1", "x", 0));
    assert_int_equal(set("d", "1", "x", 0), 0);
    assert_false(has("b", "1", "x", 0)); /* the oldest of all */
    assert_true(has("a", "1", "x", 0));
    assert_int_equal(stats_of("b").evictions, 1);
}

static void test_namespaces_have_a_bound(void **state)
{
    (void)state;
    open_with(1 << 20, 1 << 20, 2);
    assert_int_equal(set("a", "k", "x", 0), 0);
    assert_int_equal(set("b", "k", "x", 0), 0);
    assert_int_equal(set("c", "k", "x", 0), AISYS_LRU_NAMESPACES);
    assert_true(aisys_lru_delete(lru, "a", text("k"), 0));
    assert_int_equal(set("c", "k", "x", 0), 0); /* in the place of the empty one */
    assert_false(has("a", "k", "x", 0));
    assert_true(has("b", "k", "x", 0));
    assert_true(has("c", "k", "x", 0));
}

static void test_expiry(void **state)
{
    struct aisys_lru_value got;

    (void)state;
    open_with(1 << 20, 1 << 20, 4);
    assert_int_equal(aisys_lru_sweep(lru, 0), 0);
    assert_int_equal(set("a", "1", "x", 100), 0);
    assert_int_equal(set("a", "2", "x", 200), 0);
    assert_int_equal(set("a", "3", "x", 0), 0);
    assert_true(has("a", "1", "x", 99));
    assert_true(aisys_lru_get(lru, "a", text("2"), 99, &got));
    assert_int_equal(got.expires_ms, 200);
    assert_false(has("a", "1", "x", 100));
    assert_false(aisys_lru_delete(lru, "a", text("1"), 100));
    assert_int_equal(stats_of("a").keys, 2);
    assert_true(aisys_lru_sweep(lru, 199) > 0);
    assert_int_equal(stats_of("a").keys, 2);
    assert_int_equal(aisys_lru_sweep(lru, 200), 0); /* nothing is left that expires */
    assert_int_equal(stats_of("a").keys, 1);
    assert_true(has("a", "3", "x", 1000000));
}

static void test_invalidate_forgets_now_and_frees_later(void **state)
{
    long before;

    (void)state;
    open_with(UINT64_C(1) << 30, UINT64_C(1) << 30, 4);
    for (unsigned i = 0; i < 20000; i++) {
        char key[16];

        snprintf(key, sizeof(key), "%u", i);
        assert_int_equal(set("a", key, "value", i % 2 ? 1000 : 0), 0);
    }
    assert_int_equal(set("b", "k", "x", 0), 0);
    before = heap.live;
    assert_int_equal(aisys_lru_invalidate(lru, "a"), 20000);
    assert_int_equal(aisys_lru_invalidate(lru, "a"), 0);
    assert_int_equal(aisys_lru_invalidate(lru, "none"), 0);
    assert_true(heap.live > before - 10);
    assert_false(has("a", "7", "", 0));
    assert_int_equal(set("a", "7", "new", 0), 0);
    while (aisys_lru_sweep(lru, 0))
        ;
    assert_true(has("a", "7", "new", 0));
    assert_true(has("b", "k", "x", 0));
    assert_true(heap.live < 20);
}

/* Against a plain array that remembers everything: many keys, growing tables, all operations. */
static void test_many_keys(void **state)
{
    enum { KEYS = 30000 };
    static unsigned kept[KEYS]; /* value + 1; 0: none */
    uint64_t random = 88172645463325252u;

    (void)state;
    memset(kept, 0, sizeof(kept));
    open_with(UINT64_C(1) << 30, UINT64_C(1) << 30, 4);
    for (unsigned n = 0; n < 300000; n++) {
        char key[16], value[16];
        unsigned i;

        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        i = (unsigned)(random % KEYS);
        snprintf(key, sizeof(key), "key %u", i);
        snprintf(value, sizeof(value), "%u", kept[i] - 1);
        switch (random >> 60) {
        case 0:
            assert_int_equal(aisys_lru_delete(lru, "a", text(key), 0), kept[i] != 0);
            kept[i] = 0;
            break;
        case 1:
        case 2:
        case 3:
        case 4:
        case 5:
            assert_int_equal(has("a", key, value, 0), kept[i] != 0);
            break;
        default:
            snprintf(value, sizeof(value), "%u", n);
            assert_int_equal(set("a", key, value, 0), 0);
            kept[i] = n + 1;
        }
    }
    for (unsigned i = 0; i < KEYS; i++) {
        char key[16], value[16];

        snprintf(key, sizeof(key), "key %u", i);
        snprintf(value, sizeof(value), "%u", kept[i] - 1);
        assert_int_equal(has("a", key, value, 0), kept[i] != 0);
    }
}

/* Whatever allocation fails: what was there is still there, and nothing leaks. */
static void test_no_memory(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        int r;

        open_with(1 << 20, 1 << 20, 4);
        assert_int_equal(set("a", "k", "old", 0), 0);
        heap.fired = false;
        heap.fail_after = n;
        r = set("b", "k", "new", 0);
        heap.fail_after = -1;
        if (!heap.fired) {
            assert_int_equal(r, 0);
            break;
        }
        if (r == 0)
            assert_true(has("b", "k", "new", 0));
        else
            assert_int_equal(r, -ENOMEM);
        aisys_lru_free(lru);
        assert_int_equal(heap.live, 0);
    }
}

/* Little memory: others leave for the new one, which stays what it replaces when that does not help. */
static void test_others_leave_when_memory_is_short(void **state)
{
    (void)state;
    open_with(1 << 20, 1 << 20, 4);
    for (char key[2] = "a"; key[0] <= 'z'; key[0]++)
        assert_int_equal(set("a", key, "value", 0), 0);
    heap.fail_after = 0;
    assert_int_equal(set("a", "m", "new", 0), -ENOMEM);
    heap.fail_after = -1;
    assert_true(has("a", "m", "value", 0));
    assert_int_equal(set("a", "m", "new", 0), 0);
    assert_true(has("a", "m", "new", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_keeps_replaces_and_forgets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_least_recently_used_leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_together_have_a_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_namespaces_have_a_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_expiry, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_invalidate_forgets_now_and_frees_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_others_leave_when_memory_is_short, setup, teardown),
    };

    return cmocka_run_group_tests_name("lru", tests, NULL, NULL);
}
