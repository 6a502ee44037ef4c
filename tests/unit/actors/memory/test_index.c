#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "memory/embed.h"
#include "memory_engine.h"

#define NOW_MS 1700000000000

static char dir[64];

static int setup(void **state)
{
    struct memory_engine *e = malloc(sizeof(*e));
    char path[96];

    strcpy(dir, "/tmp/aisys_memory_XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/memory.db", dir);
    memory_engine_open(e, path);
    *state = e;
    return 0;
}

static int teardown(void **state)
{
    memory_engine_remove(*state);
    free(*state);
    return rmdir(dir);
}

static int64_t store(struct memory_engine *e, const char *session, const char *text)
{
    const struct memory_item item = { .text = text, .session = session, .event_ms = NOW_MS };

    return memory_engine_store(e, &item);
}

/* The ids that a search finds, as "3 1 2". */
static const char *found(struct memory_engine *e, struct memory_search *search, const char *query)
{
    static char ids[4096];
    size_t n = 0;

    ids[0] = '\0';
    memset(e->counts, 0, sizeof(e->counts));
    search->filter.now_ms = NOW_MS;
    if (search->k == 0)
        search->k = 10;
    search->n = 0;
    memory_engine_search(e, search, query);
    for (unsigned i = 0; i < search->n; i++) {
        assert_true(search->candidates[i].score > 0 && search->candidates[i].score <= 1);
        n += (size_t)snprintf(ids + n, sizeof(ids) - n, "%s%lld", i > 0 ? " " : "",
            (long long)search->candidates[i].id);
    }
    memory_search_deinit(search);
    return ids;
}

static int by_id(const void *a, const void *b)
{
    const struct memory_candidate *x = a, *y = b;

    return x->id < y->id ? -1 : x->id > y->id;
}

/* The same in the order of the ids: where the weights decide the order, and may change. */
static const char *found_set(
    struct memory_engine *e, struct memory_search *search, const char *query)
{
    static char ids[4096];
    struct memory_candidate hits[MEMORY_K_MAX];
    unsigned n = 0;
    size_t at = 0;

    for (const char *next = found(e, search, query); *next != '\0'; next += *next == ' ')
        hits[n++].id = strtoll(next, (char **)(void *)&next, 10);
    qsort(hits, n, sizeof(hits[0]), by_id);
    ids[0] = '\0';
    for (unsigned i = 0; i < n; i++)
        at += (size_t)snprintf(
            ids + at, sizeof(ids) - at, "%s%lld", i > 0 ? " " : "", (long long)hits[i].id);
    return ids;
}

static int64_t number(struct memory_engine *e, const char *sql)
{
    struct memory_list list = { .n = 0 };
    struct aisys_db_rows rows;
    struct aisys_db_request *r;
    int64_t n;

    memory_list_add(&list, 0, sql, 0);
    r = memory_engine_run(e, AISYS_DB_READ, &list);
    assert_int_equal(r->result.code, AISYS_OK);
    aisys_db_rows(&r->result, 0, &rows);
    n = aisys_db_next(&rows) ? aisys_db_column_int(&rows, 0) : -1;
    aisys_db_request_free(r);
    return n;
}

static void test_finds_by_words_in_other_forms(void **state)
{
    struct memory_engine *e = *state;
    struct memory_search search = { .mode = MEMORY_HYBRID };

    store(e, NULL, "The spare key is in the blue drawer");
    store(e, NULL, "We walked the dogs along the river");
    store(e, NULL, "The car needs new brakes before winter");
    assert_string_equal(found(e, &search, "where is the key"), "1");
    assert_string_equal(found(e, &search, "KEYS!"), "1");
    assert_string_equal(found(e, &search, "walking a dog"), "2");
    assert_string_equal(found(e, &search, "braking"), "3");
    assert_string_equal(found(e, &search, "elephants"), "");
    search.mode = MEMORY_VECTOR;
    assert_string_equal(found(e, &search, "spair key"), "1"); /* misspelt */
    search.mode = MEMORY_TEXT;
    assert_string_equal(found(e, &search, "spair"), "");
    assert_string_equal(found(e, &search, "the is in the"), "1 2 3"); /* stop words alone count */
}

static void test_neighbours_and_dates_find(void **state)
{
    struct memory_engine *e = *state;
    struct memory_search search = { .mode = MEMORY_TEXT };

    store(e, "a", "What did Anna bring to the picnic?"); /* 1 */
    store(e, "b", "The printer is out of toner");        /* 2: another session, between them */
    store(e, "a", "A ceramic teapot.");                  /* 3 */
    store(e, "a", "Lovely.");                            /* 4 */
    store(e, "a", "Shall we go?");                       /* 5 */
    assert_string_equal(found_set(e, &search, "picnic"), "1 3 4");
    assert_string_equal(found_set(e, &search, "teapot"), "1 3 4 5"); /* after 1; before 4 and 5 */
    assert_string_equal(found(e, &search, "toner"), "2");
    assert_string_equal(found_set(e, &search, "november 14th 2023"), "1 2 3 4 5");
    assert_string_equal(found(e, &search, "december"), "");
}

static void test_filters(void **state)
{
    struct memory_engine *e = *state;
    struct memory_search search = { .mode = MEMORY_HYBRID };

    for (int i = 0; i < 40; i++) {
        const struct memory_item item = { .text = i % 2 != 0 ? "a green parrot" : "a grey parrot",
            .session = i % 4 == 1 ? "one" : "two",
            .event_ms = NOW_MS - i * 1000 };

        memory_engine_store(e, &item);
    }
    search.filter.session = memory_name_hash("one", 3);
    assert_string_equal(found(e, &search, "grey"), ""); /* odd ones are green */
    assert_string_equal(found_set(e, &search, "green parrot"), "2 6 10 14 18 22 26 30 34 38");
    search.filter.has_until = true;
    search.filter.until_ms = NOW_MS - 29 * 1000;
    assert_string_equal(found(e, &search, "green parrot"), "34 38");
    search.filter.has_since = true;
    search.filter.since_ms = NOW_MS - 33 * 1000;
    assert_string_equal(found(e, &search, "green parrot"), "34");
    search.filter.kinds = 1 << 2;
    assert_string_equal(found(e, &search, "green parrot"), "");
    search = (struct memory_search){ .k = 1, .min_score = 0.5 };
    assert_string_equal(found(e, &search, "green"), "34"); /* its neighbours are green, too */
}

/* Forgotten words are gone from everywhere: also from the fields of the neighbours. */
static void test_forget_leaves_nothing(void **state)
{
    struct memory_engine *e = *state;
    struct memory_search search = { .mode = MEMORY_TEXT };
    struct memory_list list;
    struct aisys_db_request *r;
    static const char *const texts[] = { "alpha", "bravo", "charlie", "delta", "echo", "foxtrot" };

    for (unsigned i = 0; i < 6; i++)
        store(e, "s", texts[i]);
    store(e, NULL, "golf");
    memory_list_relate(&list, 1, "before", 3, 0.5);
    aisys_db_request_free(memory_engine_run(e, AISYS_DB_WRITE, &list));
    memory_list_forget(&list, "[3,4,99]");
    r = memory_engine_run(e, AISYS_DB_WRITE, &list);
    assert_int_equal(r->result.code, AISYS_OK);
    aisys_db_request_free(r);

    assert_int_equal(
        number(e, "SELECT count(*) FROM memory_vocab WHERE term IN ('charli', 'delta')"), 0);
    assert_int_equal(number(e, "SELECT count(*) FROM memory"), 5);
    assert_int_equal(number(e, "SELECT count(*) FROM memory_row"), 5);
    assert_int_equal(number(e, "SELECT count(*) FROM memory_link"), 0);
    assert_string_equal(found_set(e, &search, "bravo"), "1 2 5 6"); /* 5 and 6 moved up */
    assert_string_equal(found_set(e, &search, "echo"), "2 5 6");
    assert_string_equal(found(e, &search, "golf"), "7");
    assert_int_equal(number(e, "SELECT doc FROM memory_vocab WHERE term = 'bravo'"), 4);

    memory_list_forget(&list, "[1,2,5,6,7]");
    aisys_db_request_free(memory_engine_run(e, AISYS_DB_WRITE, &list));
    assert_int_equal(number(e, "SELECT count(*) FROM memory_vocab"), 0);
}

static void test_same_request_is_stored_once(void **state)
{
    struct memory_engine *e = *state;
    struct memory_item item = { .text = "one", .event_ms = NOW_MS, .request_id = "r-1" };
    struct aisys_db_request *r;
    struct aisys_db_rows rows;
    struct memory_row row;
    int8_t vector[MEMORY_VECTOR_BYTES];

    assert_int_equal(memory_engine_store(e, &item), 1);
    r = memory_engine_request(e, &item, &row, vector);
    aisys_sqlite_submit(e->db, r);
    aisys_sqlite_turn(e->db);
    assert_int_equal(r->result.code, AISYS_OK);
    assert_false(memory_store_done(&r->result));
    aisys_db_rows(&r->result, MEMORY_STORE_REPEATED, &rows);
    assert_true(aisys_db_next(&rows));
    assert_int_equal(aisys_db_column_int(&rows, 0), 1);
    aisys_db_request_free(r);
    assert_int_equal(number(e, "SELECT count(*) FROM memory"), 1);
}

static void test_supersede_once(void **state)
{
    struct memory_engine *e = *state;
    struct memory_item item = {
        .text = "The key is in the red drawer", .event_ms = NOW_MS, .supersedes = 1
    };
    struct memory_search search = { .mode = MEMORY_HYBRID };
    struct aisys_db_request *r;
    struct memory_row row;
    int8_t vector[MEMORY_VECTOR_BYTES];

    store(e, NULL, "The key is in the blue drawer");
    assert_int_equal(memory_engine_store(e, &item), 2);
    memory_rows_supersede(e->rows, 0);
    r = memory_engine_request(e, &item, &row, vector);
    aisys_sqlite_submit(e->db, r);
    aisys_sqlite_turn(e->db);
    assert_int_equal(r->result.code, AISYS_OK);
    assert_false(memory_store_done(&r->result));
    assert_int_equal(r->result.n_done, MEMORY_STORE_SUPERSEDE + 1);
    aisys_db_request_free(r);
    assert_string_equal(found(e, &search, "key drawer"), "2");
    search.filter.include_superseded = true;
    assert_string_equal(found(e, &search, "key drawer"), "2 1");
}

/* Nothing that is typed is syntax to FTS5, and nothing breaks. */
static void test_queries_are_only_words(void **state)
{
    static const char *const queries[] = { "\"", "\"\"", "'; DROP TABLE memory; --", "key*", "^key",
        "-key", "words:key", "{words before}: key", "NEAR(key drawer, 2)", "key AND", "OR",
        "NOT key", "(key", "key)", "key + drawer", "\\", "%s%n", "key\" OR \"x",
        "\xe6\x9d\xb1\xe4\xba\xac", "\xff\xfe", "AND OR NOT NEAR", "?1", "\x01\x02", "" };
    struct memory_engine *e = *state;

    store(e, NULL, "The spare key is in the blue drawer");
    for (unsigned i = 0; i < ROWS(queries); i++) {
        struct memory_search search = { .mode = MEMORY_HYBRID };
        const bool has_key = strstr(queries[i], "key") != NULL;

        if (strcmp(found(e, &search, queries[i]), has_key ? "1" : "") != 0)
            fail_msg("%s", queries[i]);
    }
    assert_int_equal(number(e, "SELECT count(*) FROM memory"), 1);
}

static void test_rows_come_back(void **state)
{
    struct memory_engine *e = *state;
    struct memory_item item = {
        .text = "tagged", .tags = "red\nvery blue\n", .session = "s", .event_ms = NOW_MS
    };
    struct memory_filter filter = { .now_ms = NOW_MS, .n_tags = 2 };
    struct memory_row *row;
    char path[128];
    int8_t expected[MEMORY_EMBED_DIMS];

    memory_engine_store(e, &item);
    item.tags = "red\n";
    memory_engine_store(e, &item);
    {
        struct memory_list list;

        memory_list_use(&list, "[[2,1,777,5,888]]");
        aisys_db_request_free(memory_engine_run(e, AISYS_DB_WRITE, &list));
        memory_list_forget(&list, "[2]"); /* its id is not given again */
        aisys_db_request_free(memory_engine_run(e, AISYS_DB_WRITE, &list));
        memory_list_use(&list, "[[1,2,777,5,888]]");
        aisys_db_request_free(memory_engine_run(e, AISYS_DB_WRITE, &list));
    }
    strcpy(path, e->path);
    memory_engine_close(e);
    memory_engine_open(e, path);

    assert_int_equal(e->next_id, 3);
    assert_int_equal(memory_rows_count(e->rows), 1);
    row = memory_rows_at(e->rows, 0);
    assert_int_equal(row->id, 1);
    assert_int_equal(row->tier, MEMORY_LONG);
    assert_int_equal(row->tier_ms, 777);
    assert_int_equal(row->hits, 5);
    assert_int_equal(row->used_ms, 888);
    assert_int_equal(row->event_ms, NOW_MS);
    assert_true(row->session == memory_name_hash("s", 1));
    assert_int_equal(row->n_tags, 2);
    filter.tags[0] = memory_name_hash("very blue", 9);
    filter.tags[1] = memory_name_hash("red", 3);
    assert_true(memory_filter_match(e->rows, &filter, 0));
    filter.tags[1] = memory_name_hash("green", 5);
    assert_false(memory_filter_match(e->rows, &filter, 0));
    memory_embedder_lexical.embed("tagged", 6, expected);
    assert_memory_equal(
        memory_vectors_at(memory_rows_vectors(e->rows), 0), expected, sizeof(expected));
}

static void test_common_words_only_rank(void **state)
{
    static const struct {
        bool stop;
        int64_t rows;
        bool matches, counts;
    } cases[][3] = {
        { { false, 10, true, true }, { true, 90000, false, false }, { false, 3000, false, true } },
        { { false, 50000, true, true }, { true, 90000, false, false },
            { false, 3000, true, true } },
        { { true, 50000, true, true }, { true, 90000, true, true }, { false, 0, false, false } },
        { { false, 0, false, false }, { true, 0, false, false }, { false, 0, false, false } },
    };

    (void)state;
    for (unsigned i = 0; i < ROWS(cases); i++) {
        struct memory_query query = { .n = 3 };

        for (unsigned j = 0; j < 3; j++)
            query.words[j] = (struct memory_query_word){
                .text = "x", .bytes = 1, .stop = cases[i][j].stop, .rows = cases[i][j].rows
            };
        memory_query_decide(&query, 100000);
        for (unsigned j = 0; j < 3; j++) {
            assert_int_equal(query.words[j].matches, cases[i][j].matches);
            assert_int_equal(query.words[j].counts, cases[i][j].counts);
        }
        assert_int_equal(query.common, i > 0);
    }
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_finds_by_words_in_other_forms),
        CASE(test_neighbours_and_dates_find),
        CASE(test_filters),
        CASE(test_forget_leaves_nothing),
        CASE(test_same_request_is_stored_once),
        CASE(test_supersede_once),
        CASE(test_queries_are_only_words),
        CASE(test_rows_come_back),
        cmocka_unit_test(test_common_words_only_rank),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
