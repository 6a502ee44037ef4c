#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "port/sqlite_port.h"

static const char *const steps[] = {
    "CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT NOT NULL CHECK(length(text) < 2000000));"
    "CREATE VIRTUAL TABLE note_fts USING fts5(words, content='', tokenize='ascii');",
    "CREATE UNIQUE INDEX note_text ON note(text);",
};

struct place {
    char dir[64];
    char path[96];
    struct aisys_db_options options;
    struct aisys_sqlite *db;
    struct aisys_sqlite_error error;
};

static int place_open(struct place *p)
{
    return aisys_sqlite_open(&p->options, &p->db, &p->error);
}

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof(*p));

    strcpy(p->dir, "/tmp/aisys_sqlite_XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->path, sizeof(p->path), "%s/test.db", p->dir);
    p->options =
        (struct aisys_db_options){ .path = p->path, .migrations = steps, .n_migrations = 2 };
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
    struct place *p = *state;
    char path[128];

    aisys_sqlite_close(p->db);
    for (unsigned i = 0; i < 4; i++) {
        snprintf(path, sizeof(path), "%s%s", p->path, suffixes[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(p->dir), 0);
    free(p);
    return 0;
}

static void on_done(struct aisys_db_request *request)
{
    request->token++;
}

static struct aisys_db_request *request_of(
    enum aisys_db_mode mode, const struct aisys_db_stmt *stmts, size_t n)
{
    struct aisys_db_request *r;

    assert_int_equal(aisys_db_request_new(mode, stmts, n, &r), 0);
    r->done = on_done;
    return r;
}

static struct aisys_db_request *insert_of(int64_t id, const char *text)
{
    const struct aisys_db_value values[] = { aisys_db_int(id), aisys_db_text(text) };
    const struct aisys_db_stmt stmts[] = {
        { .sql = "INSERT INTO note(id, text) VALUES(?1, ?2)", .values = values, .n_values = 2 },
        { .sql = "INSERT INTO note_fts(rowid, words) VALUES(?1, ?2)",
            .values = values,
            .n_values = 2 },
    };

    return request_of(AISYS_DB_WRITE, stmts, 2);
}

/* Submit and run here and now. */
static int run(struct aisys_sqlite *db, struct aisys_db_request *r)
{
    if (r->mode == AISYS_DB_READ) {
        aisys_sqlite_read(db, r);
    } else {
        assert_int_not_equal(aisys_sqlite_submit(db, r), AISYS_SQLITE_FULL);
        while (aisys_sqlite_turn(db))
            ;
    }
    return r->result.code;
}

static int insert(struct aisys_sqlite *db, int64_t id, const char *text)
{
    struct aisys_db_request *r = insert_of(id, text);
    const int code = run(db, r);

    aisys_db_request_free(r);
    return code;
}

static int64_t number(struct aisys_sqlite *db, const char *sql)
{
    const struct aisys_db_stmt stmt = { .sql = sql };
    struct aisys_db_request *r = request_of(AISYS_DB_READ, &stmt, 1);
    struct aisys_db_rows rows;
    int64_t n;

    assert_int_equal(run(db, r), AISYS_OK);
    aisys_db_rows(&r->result, 0, &rows);
    assert_true(aisys_db_next(&rows));
    n = aisys_db_column_int(&rows, 0);
    aisys_db_request_free(r);
    return n;
}

/* ---- Opening -------------------------------------------------------------------------------- */

static void test_new_file_is_migrated_and_stays(void **state)
{
    struct place *p = *state;
    struct stat st;

    assert_int_equal(place_open(p), 0);
    assert_int_equal(insert(p->db, 1, "one"), AISYS_OK);
    assert_true(aisys_sqlite_bytes(p->db) > 0);
    aisys_sqlite_close(p->db);
    assert_int_equal(stat(p->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(place_open(p), 0);
    assert_int_equal(number(p->db, "SELECT count(*) FROM note"), 1);
}

static void test_older_file_gets_the_missing_steps(void **state)
{
    struct place *p = *state;

    p->options.n_migrations = 1;
    assert_int_equal(place_open(p), 0);
    assert_int_equal(insert(p->db, 1, "one"), AISYS_OK);
    assert_int_equal(insert(p->db, 2, "one"), AISYS_OK); /* no unique index yet */
    aisys_sqlite_close(p->db);
    p->db = NULL;

    /* A step that fails leaves the version before it. */
    p->options.n_migrations = 2;
    assert_int_equal(place_open(p), -EIO);
    if (strstr(p->error.message, "migration to version 2") == NULL)
        fail_msg("%s", p->error.message);
    p->options.n_migrations = 1;
    assert_int_equal(place_open(p), 0);
    {
        const struct aisys_db_stmt stmt = { .sql = "DELETE FROM note WHERE id = 2" };
        struct aisys_db_request *r = request_of(AISYS_DB_WRITE, &stmt, 1);

        assert_int_equal(run(p->db, r), AISYS_OK);
        assert_int_equal(aisys_db_changes(&r->result, 0), 1);
        aisys_db_request_free(r);
    }
    aisys_sqlite_close(p->db);
    p->options.n_migrations = 2;
    assert_int_equal(place_open(p), 0);
    assert_int_equal(insert(p->db, 3, "one"), AISYS_ALREADY_EXISTS);
}

static uint64_t file_hash(const char *path, off_t *ret_bytes)
{
    uint64_t hash = 1469598103934665603u;
    FILE *f = fopen(path, "rb");
    int c;

    assert_non_null(f);
    *ret_bytes = 0;
    while ((c = fgetc(f)) != EOF) {
        hash = (hash ^ (unsigned)c) * 1099511628211u;
        (*ret_bytes)++;
    }
    fclose(f);
    return hash;
}

static void place_refuses(struct place *p, int code, const char *words)
{
    off_t before_bytes, after_bytes;
    const uint64_t before = file_hash(p->path, &before_bytes);

    p->db = NULL;
    assert_int_equal(place_open(p), -EIO);
    assert_int_equal(p->error.code, code);
    if (strstr(p->error.message, words) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", p->error.message, words);
    assert_true(file_hash(p->path, &after_bytes) == before);
    assert_int_equal(after_bytes, before_bytes);
}

static void place_fill(struct place *p)
{
    assert_int_equal(place_open(p), 0);
    for (int i = 1; i <= 200; i++) {
        char text[400];

        snprintf(text, sizeof(text), "%0300d", i);
        assert_int_equal(insert(p->db, i, text), AISYS_OK);
    }
    aisys_sqlite_close(p->db);
    p->db = NULL;
}

static void test_newer_file_is_left_alone(void **state)
{
    struct place *p = *state;

    place_fill(p);
    p->options.n_migrations = 1;
    place_refuses(p, AISYS_FAILED_PRECONDITION, "newer program");
}

static void test_damaged_file_is_left_alone(void **state)
{
    static const struct {
        off_t at;
        size_t bytes; /* overwritten; 0: cut here */
    } damages[] = {
        { 0, 20 },
        { 90, 0 },
        { 4096, 3000 },
        { 5 * 4096, 4096 },
        { 9 * 4096 + 100, 0 },
    };
    struct place *p = *state;

    for (unsigned i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        unsigned char junk[4096];
        int fd;

        unlink(p->path);
        place_fill(p);
        memset(junk, 0xa5, sizeof(junk));
        fd = open(p->path, O_RDWR);
        if (damages[i].bytes > 0)
            assert_int_equal(pwrite(fd, junk, damages[i].bytes, damages[i].at), damages[i].bytes);
        else
            assert_int_equal(ftruncate(fd, damages[i].at), 0);
        close(fd);
        place_refuses(p, AISYS_DATA_LOSS, "damaged");
    }
}

static void test_other_files_are_refused(void **state)
{
    static const char *const foreign[] = { "CREATE TABLE other(x);" };
    struct place *p = *state;
    FILE *f = fopen(p->path, "w");

    fputs("this is a letter, not a database; it is longer than one hundred bytes so that a header "
          "could be in it, but there is none\n",
        f);
    fclose(f);
    place_refuses(p, AISYS_DATA_LOSS, "not a database");
    unlink(p->path);

    p->options.migrations = foreign;
    p->options.n_migrations = 1;
    assert_int_equal(place_open(p), 0);
    {
        const struct aisys_db_stmt stmt = { .sql = "SELECT 1" };
        struct aisys_db_request *r = request_of(AISYS_DB_WRITE, &stmt, 1);

        assert_int_equal(run(p->db, r), AISYS_OK);
        aisys_db_request_free(r);
    }
    aisys_sqlite_close(p->db);
    { /* as another program would leave it: version 0 */
        int fd = open(p->path, O_RDWR);

        assert_int_equal(pwrite(fd, "\0\0\0\0", 4, 60), 4);
        close(fd);
    }
    p->options.migrations = steps;
    p->options.n_migrations = 2;
    place_refuses(p, AISYS_FAILED_PRECONDITION, "another program");

    p->options.path = p->dir;
    assert_int_equal(place_open(p), -EIO);
    p->options.path = "/nonexistent/x.db";
    assert_int_equal(place_open(p), -EIO);
    assert_int_equal(p->error.code, AISYS_UNAVAILABLE);
}

/* ---- Lists ---------------------------------------------------------------------------------- */

static void test_guards_and_references(void **state)
{
    struct place *p = *state;
    const struct aisys_db_value found = aisys_db_ref(0, 0, 1), missing = aisys_db_ref(0, 7, 0),
                                one = aisys_db_int(1), copy[] = { aisys_db_int(9), found };
    const struct aisys_db_stmt stmts[] = {
        { .sql = "SELECT id, text || '!' FROM note WHERE id = ?1",
            .values = &one,
            .n_values = 1,
            .flags = AISYS_DB_STOP_IF_NONE },
        { .sql = "INSERT INTO note(id, text) VALUES(?1, ?2)",
            .values = copy,
            .n_values = 2,
            .flags = AISYS_DB_STOP_IF_NONE },
        { .sql = "SELECT 1 WHERE ?1 IS NULL",
            .values = &missing,
            .n_values = 1,
            .flags = AISYS_DB_STOP_IF_ROWS },
        { .sql = "DELETE FROM note" },
    };
    struct aisys_db_request *r = request_of(AISYS_DB_WRITE, stmts, 4);

    assert_int_equal(place_open(p), 0);
    assert_int_equal(run(p->db, r), AISYS_OK);
    assert_int_equal(r->result.n_done, 1); /* no note 1 */
    assert_int_equal(insert(p->db, 1, "one"), AISYS_OK);
    assert_int_equal(run(p->db, r), AISYS_OK);
    assert_int_equal(r->result.n_done, 3);
    assert_int_equal(number(p->db, "SELECT count(*) FROM note WHERE id = 9 AND text = 'one!'"), 1);
    assert_int_equal(number(p->db, "SELECT count(*) FROM note"), 2);
    assert_int_equal(r->token, 2); /* done was called once for each run */
    aisys_db_request_free(r);
}

static void test_what_a_list_may_not(void **state)
{
    static const struct {
        enum aisys_db_mode mode;
        const char *sql;
    } rows[] = {
        { AISYS_DB_WRITE, "COMMIT" },
        { AISYS_DB_WRITE, "BEGIN" },
        { AISYS_DB_WRITE, "ROLLBACK" },
        { AISYS_DB_WRITE, "SAVEPOINT a" },
        { AISYS_DB_WRITE, "PRAGMA user_version = 7" },
        { AISYS_DB_WRITE, "ATTACH 'x' AS y" },
        { AISYS_DB_WRITE, "SELECT 1; SELECT 2" },
        { AISYS_DB_WRITE, "" },
        { AISYS_DB_WRITE, "-- words" },
        { AISYS_DB_WRITE, "SELEC 1" },
        { AISYS_DB_WRITE, "SELECT ?1" },
        { AISYS_DB_WRITE, "SELECT \"double quoted\"" },
        { AISYS_DB_WRITE, "INSERT INTO note_fts_data VALUES(1, x'00')" },
        { AISYS_DB_READ, "DELETE FROM note" },
        { AISYS_DB_READ, "CREATE TABLE x(y)" },
    };
    struct place *p = *state;

    assert_int_equal(place_open(p), 0);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct aisys_db_stmt stmt = { .sql = rows[i].sql };
        struct aisys_db_request *r = request_of(rows[i].mode, &stmt, 1);

        if (run(p->db, r) != AISYS_INVALID_ARGUMENT || r->result.message[0] == '\0')
            fail_msg("\"%s\": %d %s", rows[i].sql, r->result.code, r->result.message);
        aisys_db_request_free(r);
    }
    assert_int_equal(insert(p->db, 1, "still works"), AISYS_OK);
}

static void test_result_too_large(void **state)
{
    struct place *p = *state;
    const struct aisys_db_stmt stmt = { .sql = "SELECT zeroblob(5000)" };
    struct aisys_db_request *r = request_of(AISYS_DB_READ, &stmt, 1);

    p->options.result_bytes_max = 4096;
    assert_int_equal(place_open(p), 0);
    assert_int_equal(run(p->db, r), AISYS_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(r->result.message, "4096 bytes"));
    aisys_db_request_free(r);
}

static void test_deadlines(void **state)
{
    static const char endless[] =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n";
    struct place *p = *state;
    const struct aisys_db_stmt stmt = { .sql = endless };
    struct timespec now;

    assert_int_equal(place_open(p), 0);
    for (int mode = AISYS_DB_READ; mode <= AISYS_DB_WRITE; mode++) {
        struct aisys_db_request *r = request_of((enum aisys_db_mode)mode, &stmt, 1);

        clock_gettime(CLOCK_MONOTONIC, &now);
        r->deadline_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + 20;
        assert_int_equal(run(p->db, r), AISYS_DEADLINE_EXCEEDED);
        assert_int_equal(run(p->db, r), AISYS_DEADLINE_EXCEEDED); /* passed before it began */
        assert_non_null(strstr(r->result.message, "before it could begin"));
        aisys_db_request_free(r);
    }
    assert_int_equal(insert(p->db, 1, "still works"), AISYS_OK);
}

static void test_in_function(void **state)
{
    struct place *p = *state;
    static const int64_t numbers[] = { -5, 1, 7, INT64_MAX };
    static const struct {
        int64_t x;
        size_t bytes;
        int64_t in;
    } rows[] = { { -5, 32, 1 }, { 1, 32, 1 }, { 7, 32, 1 }, { INT64_MAX, 32, 1 }, { 2, 32, 0 },
        { INT64_MIN, 32, 0 }, { 7, 23, 0 }, { 1, 0, 0 } };

    assert_int_equal(place_open(p), 0);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct aisys_db_value values[] = { aisys_db_blob(numbers, rows[i].bytes),
            aisys_db_int(rows[i].x) };
        const struct aisys_db_stmt stmt = {
            .sql = "SELECT aisys_in(?1, ?2) + aisys_in(NULL, ?2)", .values = values, .n_values = 2
        };
        struct aisys_db_request *r = request_of(AISYS_DB_READ, &stmt, 1);
        struct aisys_db_rows found;

        assert_int_equal(run(p->db, r), AISYS_OK);
        aisys_db_rows(&r->result, 0, &found);
        assert_true(aisys_db_next(&found));
        assert_int_equal(aisys_db_column_int(&found, 0), rows[i].in);
        aisys_db_request_free(r);
    }
}

/* BM25 without lengths: by the weights of the phrases that the caller brings, and of the columns. */
static void test_rank_function(void **state)
{
    static const char *const tables[] = {
        "CREATE VIRTUAL TABLE page USING fts5(head, body, content='', columnsize=0);"
        "INSERT INTO page(rowid, head, body) VALUES(1, 'key', 'key key'), (2, '', 'key'), (3, "
        "'lock', 'x');",
    };
    static const double phrases[] = { 2.0, 0.5 };
    static const struct {
        const char *match;
        size_t bytes; /* of the phrases' weights */
        int64_t id;
        double score;
    } rows[] = {
        { "key OR lock", 16, 1,
            2.0 * 3.0 * 2.2 / (3.0 + 1.2) }, /* 1.0 in the head, 2 in the body */
        { "key OR lock", 16, 2, 2.0 * 1.0 * 2.2 / (1.0 + 1.2) },
        { "key OR lock", 16, 3, 0.5 * 1.0 * 2.2 / (1.0 + 1.2) },
        { "key OR lock", 8, 3, 0 }, /* a phrase without a weight counts nothing */
        { "key OR lock", 0, 1, 0 },
        { "key OR lock", 7, 1, 0 },
    };
    struct place *p = *state;

    p->options.migrations = tables;
    p->options.n_migrations = 1;
    assert_int_equal(place_open(p), 0);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct aisys_db_value values[] = { aisys_db_text(rows[i].match),
            aisys_db_blob(phrases, rows[i].bytes), aisys_db_int(rows[i].id) };
        const struct aisys_db_stmt stmt = { .sql =
                                                "SELECT aisys_rank(page, ?2, 1.0, 1.0) FROM page "
                                                "WHERE page MATCH ?1 AND rowid = ?3",
            .values = values,
            .n_values = 3 };
        struct aisys_db_request *r = request_of(AISYS_DB_READ, &stmt, 1);
        struct aisys_db_rows found;

        assert_int_equal(run(p->db, r), AISYS_OK);
        aisys_db_rows(&r->result, 0, &found);
        assert_true(aisys_db_next(&found));
        assert_float_equal(aisys_db_column_real(&found, 0), rows[i].score, 1e-9);
        aisys_db_request_free(r);
    }
}

/* ---- Groups --------------------------------------------------------------------------------- */

static void test_a_failing_list_fails_alone(void **state)
{
    struct place *p = *state;
    struct aisys_db_request *r[6];
    struct aisys_sqlite_counts counts;

    assert_int_equal(place_open(p), 0);
    assert_int_equal(insert(p->db, 3, "taken"), AISYS_OK);
    for (int i = 0; i < 6; i++) {
        char text[16];

        snprintf(text, sizeof(text), "text %d", i);
        r[i] = insert_of(i, text);
        assert_int_equal(
            aisys_sqlite_submit(p->db, r[i]), i == 0 ? AISYS_SQLITE_FIRST : AISYS_SQLITE_QUEUED);
    }
    assert_false(aisys_sqlite_turn(p->db));
    for (int i = 0; i < 6; i++) {
        assert_int_equal(r[i]->token, 1);
        assert_int_equal(r[i]->result.code, i == 3 ? AISYS_ALREADY_EXISTS : AISYS_OK);
        assert_int_equal(r[i]->result.n_done, i == 3 ? 0 : 2);
        aisys_db_request_free(r[i]);
    }
    assert_int_equal(number(p->db, "SELECT count(*) FROM note"), 6);
    assert_int_equal(number(p->db, "SELECT count(*) FROM note_fts('text')"), 5);
    aisys_sqlite_counts(p->db, &counts);
    assert_int_equal(counts.commits, 2);
    assert_int_equal(counts.requests, 7);
    assert_int_equal(counts.repeated, 6);
}

static void test_queue_is_bounded(void **state)
{
    struct place *p = *state;
    struct aisys_db_request *r[3];

    p->options.queue_max = 2;
    assert_int_equal(place_open(p), 0);
    for (int i = 0; i < 3; i++) {
        char text[2] = { (char)('a' + i), '\0' };

        r[i] = insert_of(i, text);
    }
    assert_int_equal(aisys_sqlite_submit(p->db, r[0]), AISYS_SQLITE_FIRST);
    assert_int_equal(aisys_sqlite_submit(p->db, r[1]), AISYS_SQLITE_QUEUED);
    assert_int_equal(aisys_sqlite_submit(p->db, r[2]), AISYS_SQLITE_FULL);
    assert_false(aisys_sqlite_turn(p->db));
    assert_int_equal(aisys_sqlite_submit(p->db, r[2]), AISYS_SQLITE_FIRST);
    assert_false(aisys_sqlite_turn(p->db));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(r[i]->result.code, AISYS_OK);
        aisys_db_request_free(r[i]);
    }
}

struct writers {
    struct aisys_sqlite *db;
    _Atomic int failed;
    _Atomic int next;
};

#define PER_WRITER 100

static void on_done_atomic(struct aisys_db_request *request)
{
    atomic_store((_Atomic uint64_t *)(void *)&request->token, 1);
}

static void *writer_main(void *arg)
{
    struct writers *w = arg;
    const int me = w->next++;

    for (int i = 0; i < PER_WRITER; i++) {
        char text[32];
        struct aisys_db_request *r;
        _Atomic uint64_t *done;

        snprintf(text, sizeof(text), "writer %d text %d", me, i);
        r = insert_of(me * PER_WRITER + i, text);
        r->done = on_done_atomic;
        done = (_Atomic uint64_t *)(void *)&r->token;
        if (aisys_sqlite_submit(w->db, r) == AISYS_SQLITE_FIRST) {
            while (aisys_sqlite_turn(w->db))
                ;
        }
        while (atomic_load(done) == 0)
            sched_yield();
        w->failed += r->result.code != AISYS_OK;
        aisys_db_request_free(r);
    }
    return NULL;
}

static void *reader_main(void *arg)
{
    struct writers *w = arg;

    for (int i = 0; i < 200; i++) {
        const struct aisys_db_stmt stmts[] = { { .sql = "SELECT count(*) FROM note" },
            { .sql = "SELECT count(*) FROM note_fts('text')" } };
        struct aisys_db_request *r;
        struct aisys_db_rows a, b;

        if (aisys_db_request_new(AISYS_DB_READ, stmts, 2, &r) != 0)
            break;
        aisys_sqlite_read(w->db, r);
        aisys_db_rows(&r->result, 0, &a);
        aisys_db_rows(&r->result, 1, &b);
        if (!aisys_db_next(&a) || !aisys_db_next(&b) ||
            aisys_db_column_int(&a, 0) != aisys_db_column_int(&b, 0))
            w->failed++;
        aisys_db_request_free(r);
    }
    return NULL;
}

static void test_many_threads(void **state)
{
    struct place *p = *state;
    struct writers w = { 0 };
    pthread_t threads[7];

    assert_int_equal(place_open(p), 0);
    w.db = p->db;
    for (int i = 0; i < 7; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < 4 ? writer_main : reader_main, &w), 0);
    for (int i = 0; i < 7; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(w.failed, 0);
    assert_int_equal(number(p->db, "SELECT count(*) FROM note"), 4 * PER_WRITER);
}

/* ---- Full disk and kill -9 ------------------------------------------------------------------ */

/* A file without its name takes no more writes; put back, it goes on. */
static void test_moved_file(void **state)
{
    struct place *p = *state;
    struct aisys_db_request *r;
    char aside[128];

    snprintf(aside, sizeof(aside), "%s.aside", p->path);
    assert_int_equal(place_open(p), 0);
    r = insert_of(1, "before");
    assert_int_equal(run(p->db, r), AISYS_OK);
    aisys_db_request_free(r);

    assert_int_equal(rename(p->path, aside), 0);
    r = insert_of(2, "nobody would find this again");
    assert_int_equal(run(p->db, r), AISYS_UNAVAILABLE);
    assert_non_null(strstr(r->result.message, "moved or deleted"));
    aisys_db_request_free(r);

    assert_int_equal(rename(aside, p->path), 0);
    r = insert_of(2, "after");
    assert_int_equal(run(p->db, r), AISYS_OK);
    aisys_db_request_free(r);
}

static void test_full_file(void **state)
{
    struct place *p = *state;
    char *big = malloc(400001);
    struct aisys_db_request *r[3];

    memset(big, 'x', 400000);
    big[400000] = '\0';
    p->options.pages_max = 40;
    assert_int_equal(place_open(p), 0);
    r[0] = insert_of(1, "small");
    r[1] = insert_of(2, big);
    r[2] = insert_of(3, "small too");
    for (int i = 0; i < 3; i++)
        assert_int_not_equal(aisys_sqlite_submit(p->db, r[i]), AISYS_SQLITE_FULL);
    aisys_sqlite_turn(p->db);
    assert_int_equal(r[0]->result.code, AISYS_OK);
    assert_int_equal(r[1]->result.code, AISYS_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(r[1]->result.message, "full"));
    assert_int_equal(r[2]->result.code, AISYS_OK);
    assert_int_equal(number(p->db, "SELECT count(*) FROM note"), 2);
    for (int i = 0; i < 3; i++)
        aisys_db_request_free(r[i]);
    free(big);
}

static void test_full_disk(void **state)
{
    struct place *p = *state;
    struct rlimit before, small;
    char *big = malloc(400001);

    memset(big, 'x', 400000);
    big[400000] = '\0';
    assert_int_equal(place_open(p), 0);
    assert_int_equal(insert(p->db, 1, "before"), AISYS_OK);

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 200000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    {
        struct aisys_db_request *r = insert_of(2, big);
        const int code = run(p->db, r);

        setrlimit(RLIMIT_FSIZE, &before);
        if (code != AISYS_RESOURCE_EXHAUSTED)
            fail_msg("%d %s", code, r->result.message);
        aisys_db_request_free(r);
    }
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(number(p->db, "SELECT count(*) FROM note"), 1);
    assert_int_equal(insert(p->db, 2, big), AISYS_OK); /* room again */
    free(big);
}

/* The child writes and says each number once it was acknowledged; then it is killed. */
static void child_writes(struct place *p, int fd)
{
    if (place_open(p) != 0)
        _exit(1);
    for (int64_t i = 1;; i += 2) {
        struct aisys_db_request *r[2];
        char text[32];

        for (int j = 0; j < 2; j++) {
            snprintf(text, sizeof(text), "text %d", (int)i + j);
            r[j] = insert_of(i + j, text);
            aisys_sqlite_submit(p->db, r[j]);
        }
        aisys_sqlite_turn(p->db);
        for (int j = 0; j < 2; j++) {
            const int64_t id = i + j;

            if (r[j]->result.code != AISYS_OK || write(fd, &id, sizeof(id)) != sizeof(id))
                _exit(1);
            aisys_db_request_free(r[j]);
        }
    }
}

static void test_kill_keeps_what_was_acknowledged(void **state)
{
    struct place *p = *state;

    for (int round = 1; round <= 3; round++) {
        int64_t id, last = 0;
        int fds[2], status;
        pid_t pid;

        assert_int_equal(pipe(fds), 0);
        pid = fork();
        if (pid == 0) {
            close(fds[0]);
            child_writes(p, fds[1]);
        }
        close(fds[1]);
        for (int i = 0; i < 60 * round; i++) {
            assert_int_equal(read(fds[0], &id, sizeof(id)), sizeof(id));
            last = id;
        }
        kill(pid, SIGKILL);
        while (read(fds[0], &id, sizeof(id)) == sizeof(id))
            last = id;
        close(fds[0]);
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status));

        assert_int_equal(place_open(p), 0);
        assert_true(number(p->db, "SELECT max(id) FROM note") >= last);
        assert_int_equal(number(p->db, "SELECT max(id) - count(*) FROM note"), 0);
        assert_int_equal(number(p->db, "SELECT (SELECT count(*) FROM note_fts('text')) - count(*) "
                                       "FROM note"),
            0);
        {
            const struct aisys_db_stmt stmts[] = { { .sql = "DELETE FROM note" },
                { .sql = "INSERT INTO note_fts(note_fts) VALUES('delete-all')" } };
            struct aisys_db_request *r = request_of(AISYS_DB_WRITE, stmts, 2);

            assert_int_equal(run(p->db, r), AISYS_OK);
            aisys_db_request_free(r);
        }
        aisys_sqlite_close(p->db);
        p->db = NULL;
    }
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_new_file_is_migrated_and_stays),
        CASE(test_older_file_gets_the_missing_steps),
        CASE(test_newer_file_is_left_alone),
        CASE(test_damaged_file_is_left_alone),
        CASE(test_other_files_are_refused),
        CASE(test_guards_and_references),
        CASE(test_what_a_list_may_not),
        CASE(test_result_too_large),
        CASE(test_deadlines),
        CASE(test_in_function),
        CASE(test_rank_function),
        CASE(test_a_failing_list_fails_alone),
        CASE(test_queue_is_bounded),
        CASE(test_many_threads),
        CASE(test_moved_file),
        CASE(test_full_file),
        CASE(test_full_disk),
        CASE(test_kill_keeps_what_was_acknowledged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
