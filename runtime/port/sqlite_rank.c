/* aisys_rank(table, weights_of_phrases, weight_of_column_1, ...): how well a row of an FTS5 table matches.
 *
 * FTS5's own bm25() counts the rows of every phrase anew at each query and looks up the length of every
 * row that matches: with common words that is nearly all the time it takes. Here the caller brings what
 * it knows (the weights of the phrases, as a blob of doubles in their order), and lengths are left to who
 * looks at the few best. Larger is better. */
#include "port/sqlite_conn.h"

#include <sqlite3.h>
#include <string.h>

#define PHRASES_MAX 64
#define SATURATION  1.2 /* k1 of BM25 */

static void rank_row(const Fts5ExtensionApi *api, Fts5Context *row, sqlite3_context *context,
    int n_values, sqlite3_value **values)
{
    const unsigned char *weights = n_values > 0 ? sqlite3_value_blob(values[0]) : NULL;
    const int n_phrases = weights != NULL ? sqlite3_value_bytes(values[0]) / 8 : 0;
    double found[PHRASES_MAX] = { 0 }, score = 0;
    int n;
    int rc = api->xInstCount(row, &n);

    for (int i = 0; i < n && rc == SQLITE_OK; i++) {
        int phrase, column, at;

        rc = api->xInst(row, i, &phrase, &column, &at);
        if (rc == SQLITE_OK && phrase < n_phrases && phrase < PHRASES_MAX)
            found[phrase] += column + 1 < n_values ? sqlite3_value_double(values[column + 1]) : 1.0;
    }
    if (rc != SQLITE_OK) {
        sqlite3_result_error_code(context, rc);
        return;
    }
    for (int i = 0; i < n_phrases && i < PHRASES_MAX; i++) {
        double weight;

        memcpy(&weight, weights + 8 * i, 8);
        score += weight * found[i] * (SATURATION + 1) / (found[i] + SATURATION);
    }
    sqlite3_result_double(context, score);
}

int aisys_sqlite_rank_add(struct sqlite3 *db)
{
    fts5_api *api = NULL;
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(db, "SELECT fts5(?1)", -1, &stmt, NULL);

    if (rc != SQLITE_OK)
        return rc;
    sqlite3_bind_pointer(stmt, 1, (void *)&api, "fts5_api_ptr", NULL);
    sqlite3_step(stmt);
    rc = sqlite3_finalize(stmt);
    if (rc != SQLITE_OK || api == NULL)
        return rc != SQLITE_OK ? rc : SQLITE_ERROR;
    return api->xCreateFunction(api, "aisys_rank", NULL, rank_row, NULL);
}
