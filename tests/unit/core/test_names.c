/* Names of actors against a plain list, with names that collide. */
#include "unit.h"

#include "core/internal.h"
#include "fake_env.h"
#include <errno.h>

#define NAMES_NR 60

static struct fake_env fake;
static struct aisys_core *core;
static char texts[NAMES_NR][16];
static bool present[NAMES_NR];

static int setup(void **state)
{
    static const struct aisys_core_options options = { .node = 1 };
    struct aisys_id id;
    struct aisys_class *class;
    struct aisys_diag diag;
    static const struct aisys_actor_ops ops = { .abi = AISYS_ABI, .name = "nothing" };
    unsigned found = 0;

    (void)state;
    fake_env_init(&fake);
    assert_int_equal(aisys_core_new(&fake.env, &options, &core), 0);
    aisys_diag_init(&diag);
    assert_int_equal(aisys_core_class_add(core, &ops, &diag, &class), 0);
    for (unsigned i = 0; i < NAMES_NR; i++) /* slots for the names to mean */
        assert_int_equal(aisys_core_spawn(core, class, &(struct aisys_actor_options){ 0 }, &id), 0);
    /* Names whose home is among the last three or the first two places of the smallest table. */
    for (unsigned n = 0; found < NAMES_NR; n++) {
        snprintf(texts[found], sizeof(texts[found]), "n%u", n);
        if ((aisys_method_id(texts[found]) + 3) % 64 < 5)
            found++;
    }
    memset(present, 0, sizeof(present));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NAMES_NR; i++)
        aisys_names_remove(core, texts[i]);
    assert_int_equal(core->names_used, 0);
    aisys_core_free(core);
    fake_env_deinit(&fake);
    return 0;
}

static void check_names(void)
{
    for (unsigned i = 0; i < NAMES_NR; i++) {
        const struct aisys_id id = aisys_core_lookup(core, texts[i]);

        if (present[i])
            assert_int_equal(id.slot, i);
        else
            assert_true(aisys_id_is_none(id));
    }
}

/* @max names at once: below half of 64 the table stays small and its clusters long. */
static void add_and_remove(unsigned max)
{
    uint64_t chance = 42;
    unsigned nr = 0;

    for (unsigned n = 0; n < 3000; n++) {
        const unsigned i = (unsigned)(chance >> 33) % NAMES_NR;

        chance = chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
        if (present[i]) {
            assert_int_equal(aisys_names_add(core, texts[i], 0), -EEXIST);
            if (chance >> 62 < 2)
                continue;
            aisys_names_remove(core, texts[i]);
            present[i] = false;
            nr--;
        } else if (nr < max) {
            assert_int_equal(aisys_names_add(core, texts[i], i), 0);
            present[i] = true;
            nr++;
        } else {
            aisys_names_remove(core, texts[i]); /* none: nothing happens */
        }
        assert_int_equal(core->names_used, nr);
        check_names();
    }
}

static void test_clusters(void **state)
{
    (void)state;
    add_and_remove(31);
    assert_int_equal(core->names_size, 64);
}

static void test_growing(void **state)
{
    (void)state;
    add_and_remove(NAMES_NR);
    assert_int_equal(core->names_size, 128);
}

static void test_no_memory_to_grow(void **state)
{
    (void)state;
    fake.fail_alloc_after = 0;
    assert_int_equal(aisys_names_add(core, texts[0], 0), -ENOMEM);
    fake.fail_alloc_after = -1;
    check_names();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_clusters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_growing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory_to_grow, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
