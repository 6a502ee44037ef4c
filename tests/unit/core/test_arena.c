#include "unit.h"

#include <stdlib.h>

#include "core/arena.h"

/* An allocator that fails its @fail_at-th call (from 1, 0 never) and counts what is out. */
struct counting {
    unsigned calls;
    unsigned fail_at;
    int live;
};

static void *counting_alloc(void *ctx, size_t bytes)
{
    struct counting *const c = ctx;

    if (++c->calls == c->fail_at)
        return NULL;
    c->live++;
    return malloc(bytes);
}

static void counting_free(void *ctx, void *memory)
{
    struct counting *const c = ctx;

    c->live--;
    free(memory);
}

static void pieces(void **state)
{
    struct counting c = { 0 };
    const struct aisys_allocator from = { counting_alloc, counting_free, &c };
    struct aisys_arena arena;
    char *texts[1000];

    (void)state;
    aisys_arena_init(&arena, &from, 1 << 20);
    assert_int_equal(c.live, 0);
    for (unsigned i = 0; i < ROWS(texts); i++) {
        texts[i] = aisys_arena_printf(&arena, "text %u", i);
        assert_int_equal((uintptr_t)texts[i] % _Alignof(max_align_t), 0);
    }
    for (unsigned i = 0; i < ROWS(texts); i++)
        assert_int_equal(atoi(texts[i] + 5), i);
    assert_string_equal(aisys_arena_copy(&arena, "abcdef", 3), "abc");
    assert_string_equal(aisys_arena_strdup(&arena, ""), "");
    assert_non_null(aisys_arena_alloc(&arena, 0));
    assert_false(aisys_arena_failed(&arena));
    assert_true(c.calls < 10);
    aisys_arena_deinit(&arena);
    assert_int_equal(c.live, 0);
    aisys_arena_deinit(&arena);
}

static void limit(void **state)
{
    struct aisys_arena arena;

    (void)state;
    aisys_arena_init(&arena, NULL, 10000);
    assert_non_null(aisys_arena_alloc(&arena, 9000));
    assert_null(aisys_arena_alloc(&arena, 5000));
    assert_true(aisys_arena_failed(&arena));
    assert_null(aisys_arena_alloc(&arena, SIZE_MAX));
    assert_null(aisys_arena_calloc(&arena, SIZE_MAX / 2, 3));
    assert_true(arena.used_bytes <= 10000);
    aisys_arena_reset(&arena);
    assert_false(aisys_arena_failed(&arena));
    assert_non_null(aisys_arena_alloc(&arena, 5000));
    aisys_arena_deinit(&arena);

    aisys_arena_init(&arena, NULL, 0);
    assert_null(aisys_arena_alloc(&arena, 1));
    aisys_arena_deinit(&arena);
}

/* A large piece gets a chunk of its own and the small ones go on where they were. */
static void large_piece_wastes_nothing(void **state)
{
    struct aisys_arena arena;
    char *before, *after;

    (void)state;
    aisys_arena_init(&arena, NULL, 64 << 20);
    before = aisys_arena_alloc(&arena, 16);
    assert_non_null(aisys_arena_alloc(&arena, 8 << 20));
    after = aisys_arena_alloc(&arena, 16);
    assert_ptr_equal(after, before + 16);
    aisys_arena_deinit(&arena);
}

static void failing_allocator(void **state)
{
    (void)state;
    for (unsigned n = 1;; n++) {
        struct counting c = { .fail_at = n };
        const struct aisys_allocator from = { counting_alloc, counting_free, &c };
        struct aisys_arena arena;

        aisys_arena_init(&arena, &from, 1 << 20);
        for (unsigned i = 0; i < 100; i++)
            aisys_arena_alloc(&arena, 1000);
        assert_true(aisys_arena_failed(&arena) == (c.calls >= n));
        aisys_arena_deinit(&arena);
        assert_int_equal(c.live, 0);
        if (c.calls < n)
            break;
    }
}

static void protobuf_allocator(void **state)
{
    struct aisys_arena arena;
    ProtobufCAllocator pb;

    (void)state;
    aisys_arena_init(&arena, NULL, 8192);
    pb = aisys_arena_protobuf(&arena);
    assert_non_null(pb.alloc(pb.allocator_data, 100));
    pb.free(pb.allocator_data, pb.alloc(pb.allocator_data, 100));
    assert_null(pb.alloc(pb.allocator_data, 100000));
    aisys_arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces),
        cmocka_unit_test(limit),
        cmocka_unit_test(large_piece_wastes_nothing),
        cmocka_unit_test(failing_allocator),
        cmocka_unit_test(protobuf_allocator),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
