#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "core/db_pack.h"

/* A request is a copy: nothing of the caller's is looked at again. */
static void test_request_is_a_copy(void **state)
{
    char sql[] = "SELECT ?1, ?2", text[] = "words", blob[] = { 1, 0, 2 };
    struct aisys_db_value values[2];
    struct aisys_db_stmt stmts[2];
    struct aisys_db_request *r;

    (void)state;
    values[0] = aisys_db_text(text);
    values[1] = aisys_db_blob(blob, sizeof(blob));
    stmts[0] = (struct aisys_db_stmt){ .sql = sql, .values = values, .n_values = 2 };
    stmts[1] = (struct aisys_db_stmt){ .sql = "SELECT 1" };
    assert_int_equal(aisys_db_request_new(AISYS_DB_READ, stmts, 2, &r), 0);
    memset(sql, 'x', 5);
    memset(text, 'x', 5);
    memset(blob, 9, 3);
    memset(values, 0, sizeof(values));

    assert_string_equal(r->stmts[0].sql, "SELECT ?1, ?2");
    assert_int_equal(r->stmts[0].values[0].bytes, 5);
    assert_memory_equal(r->stmts[0].values[0].data, "words", 5);
    assert_memory_equal(r->stmts[0].values[1].data, "\1\0\2", 3);
    assert_string_equal(r->stmts[1].sql, "SELECT 1");
    aisys_db_request_free(r);
    aisys_db_request_free(NULL);
}

static void test_limits_of_a_list(void **state)
{
    const struct aisys_db_value later = aisys_db_ref(1, 0, 0), earlier = aisys_db_ref(0, 0, 0);
    struct aisys_db_stmt stmts[2] = { { .sql = "a" }, { .sql = "b" } };
    struct aisys_db_request *r;

    (void)state;
    assert_int_equal(aisys_db_request_new(AISYS_DB_READ, stmts, 0, &r), -EINVAL);
    stmts[1].values = &later; /* itself */
    stmts[1].n_values = 1;
    assert_int_equal(aisys_db_request_new(AISYS_DB_READ, stmts, 2, &r), -EINVAL);
    stmts[1].values = &earlier;
    assert_int_equal(aisys_db_request_new(AISYS_DB_READ, stmts, 2, &r), 0);
    aisys_db_request_free(r);
    stmts[1].n_values = AISYS_DB_VALUES_MAX + 1;
    assert_int_equal(aisys_db_request_new(AISYS_DB_READ, stmts, 2, &r), -EINVAL);
}

static void test_rows_come_back_as_written(void **state)
{
    const struct aisys_db_stmt stmts[] = { { .sql = "a" }, { .sql = "b" } };
    const struct aisys_db_value values[] = { aisys_db_int(-7), aisys_db_real(0.25), aisys_db_null(),
        aisys_db_text("\xc3\xa4"), aisys_db_blob("\0\1", 2), aisys_db_text("") };
    struct aisys_db_request *r;
    struct aisys_db_rows rows;
    size_t bytes;

    (void)state;
    assert_int_equal(aisys_db_request_new(AISYS_DB_READ, stmts, 2, &r), 0);
    r->rows_max_bytes = 4096;
    aisys_db_put_stmt(r, 6);
    for (unsigned row = 0; row < 2; row++) {
        assert_int_equal(aisys_db_put_row(r), 0);
        for (unsigned i = 0; i < 6; i++)
            assert_int_equal(aisys_db_put_value(r, &values[i]), 0);
    }
    aisys_db_put_stmt(r, 0);
    aisys_db_put_changes(r, 3);

    aisys_db_rows(&r->result, 0, &rows);
    for (unsigned row = 0; row < 2; row++) {
        assert_true(aisys_db_next(&rows));
        assert_int_equal(aisys_db_column_int(&rows, 0), -7);
        assert_true(aisys_db_column_real(&rows, 1) == 0.25);
        assert_int_equal(aisys_db_column_int(&rows, 1), 0);
        assert_int_equal(rows.columns[2].type, AISYS_DB_NULL);
        assert_string_equal(aisys_db_column_text(&rows, 2, NULL), "");
        assert_string_equal(aisys_db_column_text(&rows, 3, &bytes), "\xc3\xa4");
        assert_int_equal(bytes, 2);
        assert_memory_equal(aisys_db_column_text(&rows, 4, &bytes), "\0\1", 3);
        assert_int_equal(rows.columns[5].type, AISYS_DB_TEXT);
    }
    assert_false(aisys_db_next(&rows));
    aisys_db_rows(&r->result, 1, &rows);
    assert_false(aisys_db_next(&rows));
    aisys_db_rows(&r->result, 9, &rows);
    assert_false(aisys_db_next(&rows));
    assert_int_equal(aisys_db_changes(&r->result, 1), 3);

    {
        const struct aisys_db_value at = aisys_db_ref(0, 1, 3), beyond = aisys_db_ref(0, 2, 0);

        assert_memory_equal(aisys_db_resolve(r, &at).data, "\xc3\xa4", 2);
        assert_int_equal(aisys_db_resolve(r, &beyond).type, AISYS_DB_NULL);
    }
    aisys_db_request_free(r);
}

static void test_a_result_has_a_limit(void **state)
{
    const struct aisys_db_stmt stmt = { .sql = "a" };
    char big[600] = { 0 };
    const struct aisys_db_value value = aisys_db_blob(big, sizeof(big));
    struct aisys_db_request *r;

    (void)state;
    assert_int_equal(aisys_db_request_new(AISYS_DB_READ, &stmt, 1, &r), 0);
    r->rows_max_bytes = 1000;
    aisys_db_put_stmt(r, 1);
    assert_int_equal(aisys_db_put_value(r, &value), 0);
    assert_int_equal(aisys_db_put_value(r, &value), -EMSGSIZE);
    aisys_db_result_fail(r, AISYS_RESOURCE_EXHAUSTED, "larger than %d", 1000);
    assert_int_equal(r->result.n_done, 0);
    assert_string_equal(r->result.message, "larger than 1000");
    aisys_db_request_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_is_a_copy),
        cmocka_unit_test(test_limits_of_a_list),
        cmocka_unit_test(test_rows_come_back_as_written),
        cmocka_unit_test(test_a_result_has_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
