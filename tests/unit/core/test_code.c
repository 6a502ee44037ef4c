#include "unit.h"

#include <aisys/code.h>

static void names(void **state)
{
    (void)state;
    assert_string_equal(aisys_code_name(AISYS_OK), "OK");
    assert_string_equal(aisys_code_name(AISYS_NOT_FOUND), "NOT_FOUND");
    assert_string_equal(aisys_code_name(AISYS_UNAUTHENTICATED), "UNAUTHENTICATED");
    assert_string_equal(aisys_code_name(AISYS_CODE_NR), "UNKNOWN");
    assert_string_equal(aisys_code_name(-1), "UNKNOWN");
    for (int code = 0; code < AISYS_CODE_NR; code++)
        assert_non_null(aisys_code_name(code));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(names) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
