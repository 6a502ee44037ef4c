#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/allow.h"

static void test_what_is_an_address_or_a_network(void **state)
{
    static const struct {
        const char *text;
        bool valid;
    } rows[] = {
        { "10.1.2.3", true },
        { "10.0.0.0/8", true },
        { "0.0.0.0/0", true },
        { "fd00::/8", true },
        { "::1", true },
        { "10.0.0.0/33", false },
        { "fd00::/129", false },
        { "10.0.0/8", false },
        { "10.0.0.0/", false },
        { "10.0.0.0/-1", false },
        { "10.0.0.0/8x", false },
        { "pc2", false },
        { "", false },
        { "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(aisys_allow_valid(rows[i].text), rows[i].valid);
}

static void test_who_may_come(void **state)
{
    static char *list[] = { (char *)"10.1.0.0/17", (char *)"192.168.7.9", (char *)"fd00:1::/33" };
    static const struct {
        const char *peer;
        bool listed, without_a_list;
    } rows[] = {
        { "127.0.0.1", true, true },
        { "127.9.9.9", true, true },
        { "::1", true, true },
        { "::ffff:127.0.0.1", true, true },
        { "10.1.127.255", true, false },
        { "10.1.128.0", false, false },
        { "::ffff:10.1.0.1", true, false },
        { "192.168.7.9", true, false },
        { "192.168.7.8", false, false },
        { "fd00:1:7fff::1", true, false },
        { "fd00:1:8000::1", false, false },
        { "no address", false, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(aisys_allow_match(list, 3, rows[i].peer), rows[i].listed);
        assert_int_equal(aisys_allow_match(NULL, 0, rows[i].peer), rows[i].without_a_list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_an_address_or_a_network),
        cmocka_unit_test(test_who_may_come),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
