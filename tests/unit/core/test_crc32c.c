#include "core/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static unsigned char text[70000];

static void fill(unsigned char *at, size_t bytes, int first, int step)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (unsigned char)(first + step * (int)i);
}

/* The vectors of RFC 3720, B.4, and the usual check value. */
static void test_known_vectors(void **state)
{
    static const struct row {
        size_t bytes;
        int first, step;
        uint32_t crc;
    } rows[] = {
        { 0, 0, 0, 0x00000000 },
        { 32, 0x00, 0, 0x8a9136aa },
        { 32, 0xff, 0, 0x62a8ab43 },
        { 32, 0x00, 1, 0x46dd794e },
        { 32, 0x1f, -1, 0x113fdb5c },
        { 9, '1', 1, 0xe3069283 },
    };
    unsigned char bytes[32];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fill(bytes, rows[i].bytes, rows[i].first, rows[i].step);
        assert_int_equal(aisys_crc32c(0, bytes, rows[i].bytes), rows[i].crc);
        assert_int_equal(aisys_crc32c_table(0, bytes, rows[i].bytes), rows[i].crc);
    }
}

static void test_both_engines_agree(void **state)
{
    static const size_t lengths[] = { 1, 7, 8, 9, 63, 64, 1359, 1360, 1361, 4079, 4080, 4081, 8160,
        8167, 65535, 65536 };

    (void)state;
    fill(text, sizeof(text), 3, 7);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
        for (size_t at = 0; at < 9; at++)
            assert_int_equal(aisys_crc32c((uint32_t)i, text + at, lengths[i]),
                aisys_crc32c_table((uint32_t)i, text + at, lengths[i]));
}

static void test_parts_give_the_whole(void **state)
{
    const uint32_t whole = aisys_crc32c(0, text, 9000);

    (void)state;
    for (size_t cut = 0; cut <= 9000; cut += 499)
        assert_int_equal(aisys_crc32c(aisys_crc32c(0, text, cut), text + cut, 9000 - cut), whole);
}

static void test_engine_has_a_name(void **state)
{
    (void)state;
    assert_true(strcmp(aisys_crc32c_engine(), "sse4.2") == 0 ||
                strcmp(aisys_crc32c_engine(), "table") == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_vectors),
        cmocka_unit_test(test_both_engines_agree),
        cmocka_unit_test(test_parts_give_the_whole),
        cmocka_unit_test(test_engine_has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
