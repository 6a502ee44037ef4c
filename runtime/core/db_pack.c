#include "core/db_pack.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A row is its columns one after the other: one byte of type, then 8 bytes of number, or 4 bytes of
 * length, the bytes and (text only) a NUL. Nothing is aligned; a result never leaves the machine. */

static int pack_check(const struct aisys_db_stmt *stmts, size_t n_stmts, size_t *ret_bytes)
{
    size_t bytes = sizeof(struct aisys_db_request) + n_stmts * sizeof(struct aisys_db_stmt);

    if (n_stmts == 0 || n_stmts > AISYS_DB_STMTS_MAX)
        return -EINVAL;

    for (size_t i = 0; i < n_stmts; i++) {
        const size_t sql_bytes = strnlen(stmts[i].sql, AISYS_DB_SQL_BYTES_MAX + 1);

        if (sql_bytes > AISYS_DB_SQL_BYTES_MAX || stmts[i].n_values > AISYS_DB_VALUES_MAX)
            return -EINVAL;
        bytes += stmts[i].n_values * sizeof(struct aisys_db_value) + sql_bytes + 1;
        for (uint32_t v = 0; v < stmts[i].n_values; v++) {
            const struct aisys_db_value *value = &stmts[i].values[v];

            if (value->type == AISYS_DB_REF && value->ref.stmt >= i)
                return -EINVAL;
            if (value->type == AISYS_DB_TEXT || value->type == AISYS_DB_BLOB)
                bytes += value->bytes;
        }
    }
    *ret_bytes = bytes + n_stmts * sizeof(struct aisys_db_stmt_result);
    return 0;
}

int aisys_db_request_new(enum aisys_db_mode mode, const struct aisys_db_stmt *stmts, size_t n_stmts,
    struct aisys_db_request **ret_request)
{
    struct aisys_db_request *r;
    struct aisys_db_stmt_result *results;
    struct aisys_db_value *values;
    size_t bytes;
    char *at;
    int rc = pack_check(stmts, n_stmts, &bytes);

    if (rc < 0)
        return rc;
    r = calloc(1, bytes);
    if (r == NULL)
        return -ENOMEM;

    r->mode = mode;
    r->bytes = bytes;
    r->n_stmts = (uint32_t)n_stmts;
    memcpy(r->stmts, stmts, n_stmts * sizeof(*stmts));
    results = (struct aisys_db_stmt_result *)(void *)(r->stmts + n_stmts);
    values = (struct aisys_db_value *)(void *)(results + n_stmts);
    r->result.n_stmts = r->n_stmts;
    r->result.stmts = results;

    for (size_t i = 0; i < n_stmts; i++) { /* values first: they must be aligned */
        if (stmts[i].n_values > 0)
            memcpy(values, stmts[i].values, stmts[i].n_values * sizeof(*values));
        r->stmts[i].values = values;
        values += stmts[i].n_values;
    }
    at = (char *)values;
    values = (struct aisys_db_value *)(void *)(results + n_stmts);
    for (size_t i = 0; i < n_stmts; i++) {
        const size_t sql_bytes = strlen(stmts[i].sql) + 1;

        r->stmts[i].sql = memcpy(at, stmts[i].sql, sql_bytes);
        at += sql_bytes;
        for (uint32_t v = 0; v < stmts[i].n_values; v++, values++) {
            if ((values->type != AISYS_DB_TEXT && values->type != AISYS_DB_BLOB))
                continue;
            if (values->bytes > 0)
                memcpy(at, values->data, values->bytes);
            values->data = at;
            at += values->bytes;
        }
    }
    *ret_request = r;
    return 0;
}

void aisys_db_request_free(struct aisys_db_request *request)
{
    if (request == NULL)
        return;
    free(request->result.data);
    free(request);
}

void aisys_db_result_reset(struct aisys_db_request *request)
{
    struct aisys_db_result *result = &request->result;

    result->code = AISYS_OK;
    result->message[0] = '\0';
    result->n_done = 0;
    result->data_bytes = 0;
    memset(result->stmts, 0, result->n_stmts * sizeof(*result->stmts));
}

void aisys_db_result_fail(struct aisys_db_request *request, int code, const char *format, ...)
{
    va_list args;

    aisys_db_result_reset(request);
    request->result.code = code;
    va_start(args, format);
    vsnprintf(request->result.message, sizeof(request->result.message), format, args);
    va_end(args);
}

static int pack_room(struct aisys_db_request *request, size_t bytes)
{
    struct aisys_db_result *result = &request->result;
    const size_t needed = result->data_bytes + bytes;
    size_t room = request->data_room != 0 ? request->data_room : 256;
    unsigned char *data;

    if (needed > request->rows_max_bytes)
        return -EMSGSIZE;
    if (needed <= request->data_room)
        return 0;
    while (room < needed)
        room *= 2;
    if (room > request->rows_max_bytes)
        room = request->rows_max_bytes;
    data = realloc(result->data, room);
    if (data == NULL)
        return -ENOMEM;
    result->data = data;
    request->data_room = (uint32_t)room;
    return 0;
}

void aisys_db_put_stmt(struct aisys_db_request *request, uint32_t n_columns)
{
    struct aisys_db_stmt_result *stmt = &request->result.stmts[request->result.n_done++];

    *stmt = (struct aisys_db_stmt_result){ .n_columns = n_columns,
        .at = (uint32_t)request->result.data_bytes };
}

int aisys_db_put_row(struct aisys_db_request *request)
{
    request->result.stmts[request->result.n_done - 1].n_rows++;
    return 0;
}

int aisys_db_put_value(struct aisys_db_request *request, const struct aisys_db_value *value)
{
    struct aisys_db_result *result = &request->result;
    const bool is_long = value->type == AISYS_DB_TEXT || value->type == AISYS_DB_BLOB;
    const size_t bytes = is_long                        ? 1 + 4 + (size_t)value->bytes + 1
                         : value->type == AISYS_DB_NULL ? 1
                                                        : 1 + 8;
    unsigned char *at;
    int rc = pack_room(request, bytes);

    if (rc < 0)
        return rc;
    at = result->data + result->data_bytes;
    *at++ = (unsigned char)value->type;
    if (is_long) {
        memcpy(at, &value->bytes, 4);
        if (value->bytes > 0)
            memcpy(at + 4, value->data, value->bytes);
        at[4 + value->bytes] = '\0';
    } else if (value->type != AISYS_DB_NULL) {
        memcpy(at, &value->i, 8); /* a real has the same size and place */
    }
    result->data_bytes += bytes;
    result->stmts[result->n_done - 1].bytes += (uint32_t)bytes;
    return 0;
}

void aisys_db_put_changes(struct aisys_db_request *request, int64_t changes)
{
    request->result.stmts[request->result.n_done - 1].changes = changes;
}

struct aisys_db_value aisys_db_resolve(
    const struct aisys_db_request *request, const struct aisys_db_value *value)
{
    struct aisys_db_rows rows;

    aisys_db_rows(&request->result, value->ref.stmt, &rows);
    for (uint32_t row = 0; aisys_db_next(&rows); row++) {
        if (row == value->ref.row)
            return value->ref.column < rows.n_columns ? rows.columns[value->ref.column]
                                                      : aisys_db_null();
    }
    return aisys_db_null();
}

void aisys_db_rows(
    const struct aisys_db_result *result, unsigned stmt, struct aisys_db_rows *ret_rows)
{
    *ret_rows = (struct aisys_db_rows){ .at = NULL };
    if (stmt >= result->n_done || result->stmts[stmt].n_rows == 0)
        return;
    ret_rows->at = result->data + result->stmts[stmt].at;
    ret_rows->end = ret_rows->at + result->stmts[stmt].bytes;
    ret_rows->n_left = result->stmts[stmt].n_rows;
    ret_rows->n_columns = result->stmts[stmt].n_columns;
}

bool aisys_db_next(struct aisys_db_rows *rows)
{
    if (rows->n_left == 0)
        return false;
    rows->n_left--;
    for (uint32_t i = 0; i < rows->n_columns; i++) {
        struct aisys_db_value *value = &rows->columns[i];

        *value = (struct aisys_db_value){ .type = (enum aisys_db_type) * rows->at++ };
        if (value->type == AISYS_DB_TEXT || value->type == AISYS_DB_BLOB) {
            memcpy(&value->bytes, rows->at, 4);
            value->data = rows->at + 4;
            rows->at += 4 + (size_t)value->bytes + 1;
        } else if (value->type != AISYS_DB_NULL) {
            memcpy(&value->i, rows->at, 8);
            rows->at += 8;
        }
    }
    return true;
}

int64_t aisys_db_column_int(const struct aisys_db_rows *rows, unsigned i)
{
    const struct aisys_db_value *value = &rows->columns[i];

    if (value->type == AISYS_DB_INT)
        return value->i;
    if (value->type != AISYS_DB_REAL || !(value->r > -9.2e18 && value->r < 9.2e18))
        return 0;
    return (int64_t)value->r;
}

double aisys_db_column_real(const struct aisys_db_rows *rows, unsigned i)
{
    const struct aisys_db_value *value = &rows->columns[i];

    return value->type == AISYS_DB_REAL  ? value->r
           : value->type == AISYS_DB_INT ? (double)value->i
                                         : 0.0;
}

const char *aisys_db_column_text(const struct aisys_db_rows *rows, unsigned i, size_t *ret_bytes)
{
    const struct aisys_db_value *value = &rows->columns[i];
    const bool is_long = value->type == AISYS_DB_TEXT || value->type == AISYS_DB_BLOB;

    if (ret_bytes != NULL)
        *ret_bytes = is_long ? value->bytes : 0;
    return is_long ? value->data : "";
}

int64_t aisys_db_changes(const struct aisys_db_result *result, unsigned stmt)
{
    return stmt < result->n_done ? result->stmts[stmt].changes : 0;
}
