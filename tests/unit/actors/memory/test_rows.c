#include "unit.h"

#include <errno.h>
#include <stdlib.h>

#include "memory/rank.h"
#include "memory/rows.h"

static const int8_t no_vector[MEMORY_VECTOR_BYTES];

static int64_t append(struct memory_rows *rows, struct memory_row row)
{
    return memory_rows_append(rows, &row, NULL, no_vector);
}

static void test_find_and_kill(void **state)
{
    struct memory_rows *rows = memory_rows_new();

    (void)state;
    for (int64_t id = 10; id < 2000; id += 10)
        assert_int_equal(append(rows, (struct memory_row){ .id = id }), id / 10 - 1);
    assert_int_equal(append(rows, (struct memory_row){ .id = 1990 }), -EINVAL); /* ids must grow */
    assert_int_equal(memory_rows_find(rows, 10), 0);
    assert_int_equal(memory_rows_find(rows, 1990), 198);
    assert_int_equal(memory_rows_find(rows, 1995), -1);
    assert_int_equal(memory_rows_find(rows, 5), -1);
    assert_int_equal(memory_rows_find(rows, 2000), -1);
    memory_rows_kill(rows, 0);
    memory_rows_kill(rows, 0);
    assert_int_equal(memory_rows_find(rows, 10), -1);
    assert_int_equal(memory_rows_living(rows), 198);
    assert_int_equal(memory_rows_count(rows), 199);
    memory_rows_free(rows);
    memory_rows_free(NULL);
}

static void test_selection_names_the_fewer(void **state)
{
    static const struct {
        unsigned kinds;
        unsigned n, n_ids;
        bool excludes;
    } cases[] = { { 0, 90, 0, true }, { 1, 60, 30, true }, { 2, 30, 30, false },
        { 4, 0, 0, false } };
    struct memory_rows *rows = memory_rows_new();

    (void)state;
    for (int64_t id = 1; id <= 100; id++)
        append(rows,
            (struct memory_row){ .id = id, .kind = id % 3 == 0, .expires_ms = id > 90 ? 1000 : 0 });
    for (uint32_t slot = 90; slot < 95; slot++)
        memory_rows_kill(rows, slot); /* five expired ones are dead, too: named nowhere */
    for (unsigned i = 0; i < ROWS(cases); i++) {
        const struct memory_filter filter = { .kinds = cases[i].kinds, .now_ms = 1000 };
        struct memory_selection s;

        assert_int_equal(memory_select(rows, &filter, &s), 0);
        assert_int_equal(s.n, cases[i].n);
        assert_int_equal(s.excludes, cases[i].excludes);
        assert_int_equal(s.n_ids, cases[i].n_ids + (s.excludes ? 5 : 0));
        for (uint32_t j = 1; j < s.n_ids; j++)
            assert_true(s.ids[j - 1] < s.ids[j]);
        memory_selection_deinit(&s);
    }
    memory_rows_free(rows);
}

/* The usual selection is kept ready: it is what a look at every row would give. */
static void test_current_selection(void **state)
{
    struct memory_rows *rows = memory_rows_new();
    uint32_t seed = 7;

    (void)state;
    for (uint32_t i = 0; i < 3000; i++) {
        const struct memory_filter usual = { .now_ms = 1000 };
        struct memory_selection s;
        uint32_t n = 0, at = 0;

        seed = seed * 1664525u + 1013904223u;
        append(rows, (struct memory_row){
                         .id = 3 * i + 1, .flags = (seed >> 28) == 0 ? MEMORY_ROW_SUPERSEDED : 0 });
        if ((seed >> 24 & 15) == 1)
            memory_rows_kill(rows, (seed >> 8) % (i + 1));
        if ((seed >> 24 & 15) == 2)
            assert_int_equal(memory_rows_supersede(rows, (seed >> 8) % (i + 1)), 0);
        if (i % 100 != 99)
            continue;
        assert_int_equal(memory_select(rows, &usual, &s), 0);
        for (uint32_t slot = 0; slot <= i; slot++) {
            const bool match = memory_filter_match(rows, &usual, slot);
            const struct memory_row *row = memory_rows_at(rows, slot);

            assert_int_equal(s.bits[slot / 64] >> slot % 64 & 1, match);
            n += match;
            if (!match && (row->flags & MEMORY_ROW_DEAD) == 0)
                assert_int_equal(s.ids[at++], row->id);
        }
        assert_int_equal(s.n, n);
        assert_int_equal(s.n_ids, at);
        assert_true(s.excludes);
        memory_selection_deinit(&s);
    }
    memory_rows_free(rows);
}

static int64_t append_tagged(struct memory_rows *rows, int64_t id)
{
    const uint64_t tag = (uint64_t)id % 3;
    const int8_t vector[MEMORY_VECTOR_BYTES] = { (int8_t)(id % 100) };
    const struct memory_row row = { .id = id,
        .n_tags = 1,
        .normal = (uint64_t)id / 10,
        .simhash = 0x9e3779b97f4a7c15ull * (uint64_t)id,
        .expires_ms = id % 50 == 1 ? 1000 : 0,
        .flags = id % 50 == 0 ? MEMORY_ROW_SUPERSEDED : 0 };

    return memory_rows_append(rows, &row, &tag, vector);
}

/* Every 25th record stays: ids that end in 0 and 25, 50, 75; those of a multiple of 50 superseded. */
static void check_compacted(struct memory_rows *rows, int64_t last_id)
{
    const struct memory_filter usual = { .now_ms = 1 }, tagged = {
        .now_ms = 1, .tags = { 1 }, .n_tags = 1, .include_superseded = true
    };
    struct memory_selection s;

    assert_int_equal(memory_rows_count(rows), last_id / 25);
    assert_int_equal(memory_rows_living(rows), last_id / 25);
    assert_int_equal(memory_vectors_count(memory_rows_vectors(rows)), last_id / 25);
    assert_int_equal(memory_select(rows, &usual, &s), 0);
    assert_int_equal(s.n + s.n_ids, last_id / 25);
    assert_int_equal(s.n_ids, last_id / 50);
    for (uint32_t i = 0; i < s.n_ids; i++)
        assert_int_equal(s.ids[i], (i + 1) * 50);
    memory_selection_deinit(&s);
    for (int64_t id = 25; id <= last_id; id += 25) {
        const int64_t slot = memory_rows_find(rows, id);
        int64_t ids[MEMORY_DUPLICATES_MAX];

        assert_int_equal(slot, id / 25 - 1); /* in the order of ids */
        assert_int_equal(memory_vectors_at(memory_rows_vectors(rows), (uint32_t)slot)[0], id % 100);
        assert_int_equal(memory_filter_match(rows, &usual, (uint32_t)slot), id % 50 != 0);
        assert_int_equal(memory_filter_match(rows, &tagged, (uint32_t)slot), id % 3 == 1);
        assert_int_equal(
            memory_rows_duplicates(rows, 0, memory_rows_at(rows, (uint32_t)slot)->simhash, 1, ids),
            1);
        assert_int_equal(ids[0], id);
    }
    assert_int_equal(memory_rows_find(rows, last_id - 1), -1);
}

static void test_compact_gives_slots_back(void **state)
{
    struct memory_rows *rows = memory_rows_new();
    uint64_t bytes = 0;
    int64_t id = 0;

    (void)state;
    assert_false(memory_rows_sparse(rows));
    assert_int_equal(memory_rows_compact(rows), 0);
    for (unsigned round = 0; round < 10; round++) {
        struct memory_vectors *before = memory_vectors_ref(memory_rows_vectors(rows));
        const uint32_t n = memory_vectors_count(before);

        while (id < (round + 1) * 5000)
            assert_true(append_tagged(rows, ++id) >= 0);
        assert_false(memory_rows_sparse(rows));
        for (uint32_t slot = n; slot < memory_rows_count(rows); slot++) {
            if (memory_rows_at(rows, slot)->id % 25 != 0)
                memory_rows_kill(rows, slot);
        }
        assert_true(memory_rows_sparse(rows));
        assert_int_equal(memory_rows_compact(rows), -EBUSY); /* somebody may scan */
        assert_int_equal(memory_rows_count(rows), n + 5000);
        assert_int_equal(memory_vectors_count(before), n + 5000);
        memory_vectors_unref(before);
        assert_int_equal(memory_rows_compact(rows), 0);
        assert_false(memory_rows_sparse(rows));
        check_compacted(rows, id);
        bytes = round == 0 ? memory_rows_bytes(rows) : bytes;
    }
    assert_true(memory_rows_bytes(rows) < bytes + 2000 * 400); /* of 50000 */
    memory_rows_free(rows);
}

static void test_duplicates(void **state)
{
    static const struct {
        uint64_t simhash, normal;
        int64_t expires_ms;
    } stored[] = {
        { 0xff00ff00ff00ff00, 1, 0 },  /* 1 */
        { 0xff00ff00ff00ff07, 2, 0 },  /* 2: three bits away */
        { 0xff00ff00ff00ff0f, 3, 0 },  /* 3: four bits */
        { 0xff01ff01ff01ff00, 4, 0 },  /* 4: three bits in three bands */
        { 0xff01ff01ff01ff01, 5, 0 },  /* 5: four bits in four bands */
        { 0xff00ff00ff00ff00, 1, 50 }, /* 6: expired */
    };
    struct memory_rows *rows = memory_rows_new();
    int64_t ids[MEMORY_DUPLICATES_MAX];

    (void)state;
    for (unsigned i = 0; i < ROWS(stored); i++)
        append(rows, (struct memory_row){ .id = i + 1,
                         .simhash = stored[i].simhash,
                         .normal = stored[i].normal,
                         .expires_ms = stored[i].expires_ms });
    assert_int_equal(memory_rows_duplicates(rows, 1, 0xff00ff00ff00ff00, 60, ids), 3);
    assert_int_equal(ids[0], 4);
    assert_int_equal(ids[1], 2);
    assert_int_equal(ids[2], 1);
    memory_rows_kill(rows, 3);
    assert_int_equal(memory_rows_duplicates(rows, 1, 0xff00ff00ff00ff00, 40, ids), 3);
    assert_int_equal(ids[0], 6);
    assert_int_equal(memory_rows_duplicates(rows, 9, 0x123456789abcdef0, 60, ids), 0);

    /* Of many, the newest are named. */
    for (int64_t id = 10; id < 1000; id++)
        append(rows, (struct memory_row){ .id = id, .simhash = 7, .normal = 7 });
    assert_int_equal(memory_rows_duplicates(rows, 7, 7, 60, ids), MEMORY_DUPLICATES_MAX);
    for (int i = 0; i < MEMORY_DUPLICATES_MAX; i++)
        assert_int_equal(ids[i], 999 - i);
    memory_rows_free(rows);
}

static void test_recency(void **state)
{
    (void)state;
    assert_true(memory_recency(1000, 1000, 10) == 1);
    assert_true(memory_recency(2000, 1000, 10) == 1);
    assert_true(memory_recency(990, 1000, 10) == 0.5);
    assert_true(memory_recency(980, 1000, 10) == 0.25);
    assert_true(memory_recency(-9000000000000000, 1000, 10) == 0);
}

static void test_rank(void **state)
{
    struct memory_candidate c[] = {
        { .id = 1, .text = 9, .cosine = 0.1, .recency = 1, .importance = 1 },
        { .id = 2, .text = 0, .cosine = 0.9, .recency = 1, .importance = 1 },
        { .id = 3, .text = 5, .cosine = 0.8, .recency = 1, .importance = 1 },
        { .id = 4, .text = 5, .cosine = 0.8, .recency = 0, .importance = 0 },
        { .id = 5, .text = 0, .cosine = 0.1, .recency = 1, .importance = 1 },
    };
    struct memory_rank_params p = memory_rank_defaults;

    (void)state;
    p.text_weight = p.vector_weight = 1;
    memory_rank(c, 5, true, true, &p);
    assert_int_equal(c[0].id, 3); /* second in both */
    assert_int_equal(c[4].id, 5); /* in neither */
    assert_true(c[4].score == 0);
    assert_true(c[0].score < 1);
    memory_rank(c, 5, true, false, &p);
    assert_int_equal(c[0].id, 1);
    assert_true(c[0].score == 1 && c[0].text_part == 1);
    assert_int_equal(c[1].id, 3);
    memory_rank(c, 5, false, true, &p);
    assert_int_equal(c[0].id, 2);
    assert_true(c[0].score == 1);
    assert_true(c[3].score == 0 && c[4].score == 0); /* too far */
    memory_rank(c, 0, true, true, &p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find_and_kill),
        cmocka_unit_test(test_selection_names_the_fewer),
        cmocka_unit_test(test_current_selection),
        cmocka_unit_test(test_compact_gives_slots_back),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_recency),
        cmocka_unit_test(test_rank),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
