#include "unit.h"

#include <errno.h>
#include <stdbool.h>

#include "everything.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "schema/doc.h"

static void built_in(void **state)
{
    const struct aisys_schema_message *m;

    (void)state;
    assert_int_equal(aisys_schema_load(), 0);
    m = aisys_schema_message("aisys.Error");
    assert_non_null(m);
    assert_string_equal(m->comment, "Why a request was not done.");
    assert_int_equal(m->field_count, 3);
    assert_string_equal(aisys_schema_comment("aisys.Error.message"), "For people.");
    assert_string_equal(aisys_schema_comment("aisys.Error.Detail.problem"), "What is wrong there.");
    assert_string_equal(aisys_schema_comment("aisys.nothing"), "");
    assert_null(aisys_schema_message("aisys.Nothing"));
}

static void added(void **state)
{
    static const struct {
        const char *name, *comment;
    } rows[] = {
        { "aisys.test.Everything", "Everything at once.\n  Indented." },
        { "aisys.test.Everything.Want", "An enum in the message that uses it." },
        { "aisys.test.Everything.Want.INFO", "Only the size." },
        { "aisys.test.Everything.Part.name", "What it is called." },
        { "aisys.test.Everyone", "Does everything." },
        { "aisys.test.Everyone.Echo", "Says it back.\n\nIn so many words." },
        { "aisys.test.Everything.i32", "" },
    };
    const struct aisys_schema_message *m;
    const struct aisys_schema_field *f;

    (void)state;
    assert_int_equal(aisys_schema_add(everything_set, everything_set_bytes), 0);
    assert_int_equal(
        aisys_schema_add(everything_set, everything_set_bytes), 0); /* again: nothing */
    for (size_t i = 0; i < ROWS(rows); i++)
        assert_string_equal(aisys_schema_comment(rows[i].name), rows[i].comment);

    m = aisys_schema_message("aisys.test.Everything");
    for (unsigned i = 0; i < aisys__test__everything__descriptor.n_fields; i++) {
        const ProtobufCFieldDescriptor *const d = &aisys__test__everything__descriptor.fields[i];

        assert_string_equal(aisys_schema_field(m, d)->name, d->name);
    }
    /* rules in one piece, and said one by one */
    f = aisys_schema_field(m,
        protobuf_c_message_descriptor_get_field_by_name(&aisys__test__everything__descriptor, "k"));
    assert_true(f->rules->has_min && f->rules->has_max);
    assert_int_equal(f->rules->max, 1000);
    f = aisys_schema_field(m, protobuf_c_message_descriptor_get_field_by_name(
                                  &aisys__test__everything__descriptor, "lower"));
    assert_non_null(f->pattern);
    assert_int_equal(m->rules->n_order, 1);
    m = aisys_schema_message("aisys.test.Choices");
    assert_int_equal(m->rules->n_choice, 2);
    f = aisys_schema_field(NULL, &aisys__test__everything__descriptor.fields[0]);
    assert_false(f->rules->required);
}

static void damaged_sets(void **state)
{
    static const char junk[] = "\xff\xff\xff\xff";

    (void)state;
    assert_int_equal(aisys_schema_add(junk, sizeof(junk)), -EINVAL);
    assert_int_equal(aisys_schema_add(everything_set, everything_set_bytes / 2), -EINVAL);
    assert_int_equal(aisys_schema_add("", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(built_in),
        cmocka_unit_test(added),
        cmocka_unit_test(damaged_sets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
