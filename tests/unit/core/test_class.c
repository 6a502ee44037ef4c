/* Classes: what an ops table must be, and what is said when it is not. */
#include "unit.h"

#include "core/internal.h"
#include "fake_env.h"
#include <errno.h>

static struct fake_env fake;
static struct aisys_core *core;
static struct aisys_diag diag;

static int setup(void **state)
{
    static const struct aisys_core_options options = { .node = 1 };

    (void)state;
    fake_env_init(&fake);
    aisys_diag_init(&diag);
    return aisys_core_new(&fake.env, &options, &core);
}

static int teardown(void **state)
{
    (void)state;
    aisys_core_free(core);
    fake_env_deinit(&fake);
    return 0;
}

static int on_method(struct aisys_actor *self, const void *request, aisys_reply reply)
{
    (void)self;
    (void)request;
    (void)reply;
    return 0;
}

static int on_end(struct aisys_actor *self, const struct aisys_end *end)
{
    (void)self;
    (void)end;
    return 0;
}

/* Two words that FNV-1a does not tell apart, and one that it does; in the order of their names. */
static const ProtobufCMethodDescriptor clashing[] = { { .name = "Other" }, { .name = "costarring" },
    { .name = "liquid" } };
static const unsigned by_name[] = { 0, 1, 2 };
static const ProtobufCServiceDescriptor clash = { .magic = PROTOBUF_C__SERVICE_DESCRIPTOR_MAGIC,
    .name = "tests.Clash",
    .n_methods = 3,
    .methods = clashing,
    .method_indices_by_name = by_name };
static const ProtobufCServiceDescriptor good = { .magic = PROTOBUF_C__SERVICE_DESCRIPTOR_MAGIC,
    .name = "tests.Good",
    .n_methods = 2,
    .methods = clashing,
    .method_indices_by_name = by_name };

static const struct aisys_method no_such[] = { { "Nothing", on_method }, { 0 } };
static const struct aisys_method no_handler[] = { { "Other", NULL }, { 0 } };
static const struct aisys_method twice[] = { { "Other", on_method }, { "Other", on_method },
    { 0 } };
static const struct aisys_method one[] = { { "Other", on_method }, { 0 } };
static const struct aisys_continuation no_function[] = { { "on_x", NULL, NULL }, { 0 } };
static const struct aisys_continuation same_name[] = { { "on_x", on_end, NULL },
    { "on_y", on_end, NULL }, { "on_x", on_end, NULL }, { 0 } };

static void test_what_is_refused(void **state)
{
    static const struct {
        struct aisys_actor_ops ops;
        const char *path, *problem;
    } rows[] = {
        { { .abi = AISYS_ABI + 1, .name = "x" }, "x", "built for ABI 2, this is 1" },
        { { .abi = AISYS_ABI }, "name", "a class without a name" },
        { { .abi = AISYS_ABI, .name = "" }, "name", "a class without a name" },
        { { .abi = AISYS_ABI, .name = "x", .methods = one }, "methods",
            "methods without a service" },
        { { .abi = AISYS_ABI, .name = "x", .service = &good, .methods = no_such }, "Nothing",
            "tests.Good has no such method" },
        { { .abi = AISYS_ABI, .name = "x", .service = &good, .methods = no_handler }, "Other",
            "no handler" },
        { { .abi = AISYS_ABI, .name = "x", .service = &good, .methods = twice }, "Other",
            "two handlers" },
        { { .abi = AISYS_ABI, .name = "x", .service = &clash, .methods = one }, "costarring",
            "same number on the wire as liquid" },
        { { .abi = AISYS_ABI, .name = "x", .continuations = no_function }, "on_x", "no handler" },
        { { .abi = AISYS_ABI, .name = "x", .continuations = same_name }, "on_x",
            "two continuations have it" },
    };
    struct aisys_class *class = NULL;

    (void)state;
    for (unsigned i = 0; i < ROWS(rows); i++) {
        aisys_diag_init(&diag);
        assert_int_equal(aisys_core_class_add(core, &rows[i].ops, &diag, &class), -EINVAL);
        assert_int_equal(diag.kept, 1);
        assert_string_equal(diag.entries[0].path, rows[i].path);
        assert_string_equal(diag.entries[0].problem, rows[i].problem);
        assert_null(class);
        assert_null(aisys_core_class(core, "x"));
    }
}

static void test_methods_that_are_left_out_are_known_to_be(void **state)
{
    static const struct aisys_actor_ops ops = {
        .abi = AISYS_ABI, .name = "x", .service = &good, .methods = one
    };
    struct aisys_class *class;

    (void)state;
    assert_int_equal(aisys_core_class_add(core, &ops, &diag, &class), 0);
    assert_ptr_equal(aisys_class_method(class, aisys_method_id("Other"))->handle, on_method);
    assert_null(aisys_class_method(class, aisys_method_id("costarring"))->handle);
    assert_null(aisys_class_method(class, aisys_method_id("Nothing")));
    assert_ptr_equal(aisys_core_class(core, "x"), class);
    assert_ptr_equal(aisys_class_ops(class), &ops);
    assert_int_equal(aisys_core_class_add(core, &ops, &diag, &class), -EEXIST);
}

/* The numbers are on every wire: they must never change. */
static void test_numbers_of_methods(void **state)
{
    (void)state;
    assert_true(aisys_method_id("") == 0x811c9dc5u);
    assert_true(aisys_method_id("a") == 0xe40c292cu);
    assert_true(aisys_method_id("foobar") == 0xbf9cf968u);
}

static void test_without_memory_nothing_is_kept(void **state)
{
    static const struct aisys_actor_ops ops = {
        .abi = AISYS_ABI, .name = "x", .service = &good, .methods = one
    };
    struct aisys_class *class;
    int r = -ENOMEM;

    (void)state;
    for (long n = 0; r; n++) {
        fake.fail_alloc_after = n;
        r = aisys_core_class_add(core, &ops, &diag, &class);
        fake.fail_alloc_after = -1;
        if (r) {
            assert_int_equal(r, -ENOMEM);
            assert_null(aisys_core_class(core, "x"));
        }
    }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_what_is_refused),
        CASE(test_methods_that_are_left_out_are_known_to_be),
        CASE(test_numbers_of_methods),
        CASE(test_without_memory_nothing_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
