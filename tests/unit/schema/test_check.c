/* Rules for what came over the wire; test_read.c has them for trees. */
#include "unit.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "everything.h"
#include "schema/check.h"
#include "schema/doc.h"

static struct aisys_arena arena;
static struct aisys_diag diag;

static int setup(void **state)
{
    (void)state;
    aisys_arena_init(&arena, NULL, 1 << 20);
    aisys_diag_init(&diag);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    aisys_arena_deinit(&arena);
    return 0;
}

static void over_the_wire(void **state)
{
    Aisys__Test__Everything m = AISYS__TEST__EVERYTHING__INIT;
    Aisys__Test__Everything__Part part = AISYS__TEST__EVERYTHING__PART__INIT;
    static const char *const lines[] = {
        "wide: is not a finite number; expected a number",
        "want: is 77; expected one of INFO, TEXT, CODES",
        "text: is not UTF-8; expected a string",
        "part.name: is missing; expected a string of 1 to 8 bytes",
        "k: is 1001; expected an integer from 1 to 1000",
    };
    ProtobufCMessage *message = NULL;
    uint8_t packed[256];
    char text[] = "bad\xff";
    size_t n;

    (void)state;
    m.has_wide = 1;
    m.wide = NAN;
    m.has_want = 1;
    m.want = (Aisys__Test__Everything__Want)77;
    m.text = text;
    m.part = &part;
    m.has_k = 1;
    m.k = 1001;
    n = protobuf_c_message_pack(&m.base, packed);
    assert_int_equal(aisys_schema_unpack(
                         &aisys__test__everything__descriptor, packed, n, &arena, &diag, &message),
        AISYS_TREE_INVALID);
    assert_null(message);
    assert_int_equal(diag.kept, ROWS(lines));
    for (unsigned i = 0; i < ROWS(lines); i++) {
        char line[512];

        aisys_diag_line(&diag, i, line, sizeof(line));
        assert_string_equal(line, lines[i]);
    }
}

static void good_and_broken_bytes(void **state)
{
    Aisys__Test__Everything m = AISYS__TEST__EVERYTHING__INIT;
    ProtobufCMessage *message = NULL;
    struct aisys_arena small;
    uint8_t packed[256];
    char text[] = "fine";
    size_t n;

    (void)state;
    m.text = text;
    n = protobuf_c_message_pack(&m.base, packed);
    assert_int_equal(aisys_schema_unpack(
                         &aisys__test__everything__descriptor, packed, n, &arena, &diag, &message),
        0);
    assert_string_equal(((Aisys__Test__Everything *)message)->text, "fine");
    assert_int_equal(aisys_schema_unpack(&aisys__test__everything__descriptor, packed, n - 1,
                         &arena, &diag, &message),
        AISYS_TREE_INVALID);
    assert_string_equal(diag.entries[0].problem, "5 bytes that are not a aisys.test.Everything");

    aisys_arena_init(&small, NULL, 128);
    assert_int_equal(aisys_schema_unpack(
                         &aisys__test__everything__descriptor, packed, n, &small, &diag, &message),
        -ENOMEM);
    aisys_arena_deinit(&small);
}

/* Follow every message field; a type that contains itself would let the wire nest without end,
 * and protobuf-c unpacks recursively. */
static bool contains(const ProtobufCMessageDescriptor *d, const char *name, unsigned depth)
{
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCMessageDescriptor *const inner =
            d->fields[i].type == PROTOBUF_C_TYPE_MESSAGE ? d->fields[i].descriptor : NULL;

        if (inner != NULL &&
            (strcmp(inner->name, name) == 0 || depth == 0 || contains(inner, name, depth - 1)))
            return true;
    }
    return false;
}

static void nothing_contains_itself(void **state)
{
    (void)state;
    assert_false(contains(&aisys__test__everything__descriptor, "aisys.test.Everything", 16));
}

static int load(void **state)
{
    (void)state;
    return aisys_schema_add(everything_set, everything_set_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(over_the_wire, setup, teardown),
        cmocka_unit_test_setup_teardown(good_and_broken_bytes, setup, teardown),
        cmocka_unit_test(nothing_contains_itself),
    };

    return cmocka_run_group_tests(tests, load, NULL);
}
