/* The fuzz target of links on seeded noise, as an ordinary test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../fuzz/fuzz_link.c"

static void test_any_peer_is_survived(void **state)
{
    uint8_t noise[400];
    uint32_t random = 1;

    (void)state;
    for (unsigned n = 0; n < 5000; n++) {
        for (size_t i = 0; i < sizeof(noise); i++) {
            random = random * 1664525 + 1013904223;
            noise[i] = (uint8_t)(random >> 20);
        }
        assert_int_equal(LLVMFuzzerTestOneInput(noise, random % sizeof(noise)), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_any_peer_is_survived) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
