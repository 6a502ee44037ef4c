/* Store, Search and the vector scan of the memory's engine: what runs on the pool, without the actor.
 *
 * 100,000 memories in 2,000 sessions, 20 of which take turns; 8 to 24 words each, drawn by Zipf's law from
 * 50,000. Made once, in TMPDIR or /tmp, when the first figure needs it.
 *
 *     memory_store        stores a second, 64 callers: one commit for each group, sessions on,
 *                         synchronous=FULL. Limit: the same rows into bare tables, no full text, same groups
 *     memory_search       ms, half of the searches are faster: 2 to 6 words as a text begins with them, k = 10,
 *                         hybrid, one thread, the texts of the hits fetched
 *     memory_search_p95   ms, 95 % of them are faster
 *     memory_scan         GB/s over all vectors, one thread. Limit: a loop that adds up the same bytes */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory_engine.h"

#define WORDS       50000
#define CALLERS     64
#define PER_SESSION 50

static uint64_t seed = 42;

static double uniform(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(seed >> 11) * 0x1p-53;
}

static double zipf[WORDS];

static void zipf_init(void)
{
    double sum = 0;

    for (unsigned i = 0; i < WORDS; i++)
        zipf[i] = sum += 1 / (double)(i + 1);
    for (unsigned i = 0; i < WORDS; i++)
        zipf[i] /= sum;
}

static unsigned word(void)
{
    const double u = uniform();
    unsigned low = 0, high = WORDS - 1;

    while (low < high) {
        const unsigned middle = (low + high) / 2;

        if (zipf[middle] < u)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A word that looks like one: syllables by its number. */
static size_t spell(unsigned n, char *to)
{
    static const char *const syllables[] = { "ba", "ke", "lo", "mi", "nu", "ra", "se", "to", "vi",
        "zu", "dan", "fel", "gor", "him", "jul", "pax" };
    size_t bytes = 0;

    n += 16;
    for (; n > 0; n /= 16) {
        const char *s = syllables[n % 16];

        memcpy(to + bytes, s, strlen(s));
        bytes += strlen(s);
    }
    to[bytes] = '\0';
    return bytes;
}

static char *text_of(unsigned n_words)
{
    char *text = malloc(n_words * 24 + 1);
    size_t n = 0;

    for (unsigned i = 0; i < n_words; i++) {
        if (i > 0)
            text[n++] = ' ';
        n += spell(word(), text + n);
    }
    return text;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* ---- The memories ---------------------------------------------------------------------------- */

#define MEMORIES         100000
#define STORED_PER_RUN   3200
#define SEARCHES_PER_RUN 200

static struct memory_engine engine;
static unsigned made; /* memories so far; their texts are kept */
static char *texts[MEMORIES + 64 * STORED_PER_RUN];

static void item_next(struct memory_item *item)
{
    static char sessions[64][24];
    char *session = sessions[made % 64];

    snprintf(
        session, sizeof(sessions[0]), "session %u", made / (20 * PER_SESSION) * 20 + made % 20);
    texts[made] = text_of(8 + (unsigned)(uniform() * 17));
    *item = (struct memory_item){
        .text = texts[made], .session = session, .event_ms = 1600000000000 + (int64_t)made * 60000
    };
    made++;
}

static double store_some(unsigned n)
{
    double seconds = 0;

    for (unsigned i = 0; i < n; i += CALLERS) {
        struct memory_item items[CALLERS];

        for (unsigned j = 0; j < CALLERS; j++)
            item_next(&items[j]);
        seconds += memory_engine_store_many(&engine, items, CALLERS, CALLERS);
    }
    return seconds;
}

static const char *place(void)
{
    return getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
}

static void engine_gone(void)
{
    memory_engine_remove(&engine);
}

static void engine_need(void)
{
    char path[100];

    if (made > 0)
        return;
    snprintf(path, sizeof(path), "%.60s/bench_memory.%ld.db", place(), (long)getpid());
    zipf_init();
    memory_engine_open(&engine, path);
    atexit(engine_gone);
    store_some(MEMORIES);
}

/* ---- Figures --------------------------------------------------------------------------------- */

static void bare_done(struct aisys_db_request *request)
{
    aisys_db_request_free(request);
}

/* The rows of a memory into tables without full text, in groups of as many. */
static double bare_store(unsigned n)
{
    static const char *const tables[] = {
        "CREATE TABLE memory(id INTEGER PRIMARY KEY, text TEXT, words TEXT);"
        "CREATE TABLE memory_row(id INTEGER PRIMARY KEY, vector BLOB);"
    };
    char path[100];
    const struct aisys_db_options options = {
        .path = path, .migrations = tables, .n_migrations = 1
    };
    static const char vector[256];
    struct aisys_sqlite_error error;
    struct aisys_sqlite *bare;
    double begin;

    snprintf(path, sizeof(path), "%.60s/bench_bare.%ld.db", place(), (long)getpid());
    if (aisys_sqlite_open(&options, &bare, &error) != 0)
        return 0;
    begin = bench_seconds();
    for (unsigned i = 0; i < n; i++) {
        const struct aisys_db_value values[] = { aisys_db_int(i), aisys_db_text(texts[i]),
            aisys_db_text(texts[i]) };
        const struct aisys_db_value row[] = { aisys_db_int(i),
            aisys_db_blob(vector, sizeof(vector)) };
        const struct aisys_db_stmt stmts[] = {
            { .sql = "INSERT INTO memory VALUES(?1, ?2, ?3)", .values = values, .n_values = 3 },
            { .sql = "INSERT INTO memory_row VALUES(?1, ?2)", .values = row, .n_values = 2 },
        };
        struct aisys_db_request *r;

        if (aisys_db_request_new(AISYS_DB_WRITE, stmts, 2, &r) != 0)
            break;
        r->done = bare_done;
        aisys_sqlite_submit(bare, r);
        if (i % CALLERS == CALLERS - 1)
            aisys_sqlite_turn(bare);
    }
    begin = n / (bench_seconds() - begin);
    aisys_sqlite_close(bare);
    unlink(path);
    return begin;
}

static int measure_store(double *ret_figure, double *ret_limit)
{
    engine_need();
    *ret_figure = STORED_PER_RUN / store_some(STORED_PER_RUN);
    *ret_limit = bare_store(STORED_PER_RUN);
    return 0;
}

/* Words that a text begins with. */
static void query_next(char *query, size_t room)
{
    const char *text = texts[(unsigned)(uniform() * MEMORIES)];
    unsigned n = 2 + (unsigned)(uniform() * 5);
    size_t bytes = 0;

    for (; n > 0 && text[bytes] != '\0'; n--)
        bytes += strcspn(text + bytes + 1, " ") + 1;
    snprintf(query, room, "%.*s", (int)bytes, text);
}

static double search_one(void)
{
    struct memory_search search = { .k = 10, .filter.now_ms = 1700000000000 };
    char query[400], ids[400] = "[";
    struct memory_list list;
    size_t at = 1;
    double begin;

    query_next(query, sizeof(query));
    begin = bench_seconds();
    memory_engine_search(&engine, &search, query);
    for (unsigned i = 0; i < search.n; i++)
        at += (size_t)snprintf(ids + at, sizeof(ids) - at, "%s%lld", i > 0 ? "," : "",
            (long long)search.candidates[i].id);
    strcpy(ids + at, "]");
    memory_list_fetch(&list, ids);
    aisys_db_request_free(memory_engine_run(&engine, AISYS_DB_READ, &list));
    memory_search_deinit(&search);
    return (bench_seconds() - begin) * 1e3;
}

static int measure_share(double share, double *ret_figure, double *ret_limit)
{
    double times[SEARCHES_PER_RUN];

    engine_need();
    for (unsigned i = 0; i < SEARCHES_PER_RUN; i++)
        times[i] = search_one();
    qsort(times, SEARCHES_PER_RUN, sizeof(double), compare);
    *ret_figure = times[(unsigned)(SEARCHES_PER_RUN * share)];
    *ret_limit = 0;
    return 0;
}

static int measure_search(double *ret_figure, double *ret_limit)
{
    return measure_share(0.5, ret_figure, ret_limit);
}

static int measure_search_p95(double *ret_figure, double *ret_limit)
{
    return measure_share(0.95, ret_figure, ret_limit);
}

static int measure_scan(double *ret_figure, double *ret_limit)
{
    static struct memory_vectors *vectors;
    static volatile uint64_t sink;
    const double gb = (double)MEMORIES * MEMORY_VECTOR_BYTES * 1e-9;
    struct memory_near near[10];
    struct memory_scan scan = { NULL, NULL, 0, MEMORIES, 10 };
    uint64_t sum = 0;
    double begin;

    if (vectors == NULL) {
        int8_t vector[MEMORY_VECTOR_BYTES];

        vectors = memory_vectors_new();
        for (uint32_t i = 0; i < MEMORIES; i++) {
            for (unsigned j = 0; j < sizeof(vector); j++)
                vector[j] = (int8_t)((int)(uniform() * 255) - 127);
            if (memory_vectors_append(vectors, vector) < 0)
                return -ENOMEM;
        }
    }
    scan.vector = memory_vectors_at(vectors, 0);
    begin = bench_seconds();
    for (uint32_t slot = 0; slot < MEMORIES; slot += MEMORY_VECTORS_CHUNK) {
        const uint64_t *words = (const uint64_t *)(const void *)memory_vectors_at(vectors, slot);
        const uint32_t n =
            MEMORIES - slot < MEMORY_VECTORS_CHUNK ? MEMORIES - slot : MEMORY_VECTORS_CHUNK;

        for (size_t i = 0; i < (size_t)n * MEMORY_VECTOR_BYTES / 8; i++)
            sum += words[i];
    }
    *ret_limit = gb / (bench_seconds() - begin);
    sink = sum;
    begin = bench_seconds();
    memory_vectors_scan(vectors, &scan, near);
    *ret_figure = gb / (bench_seconds() - begin);
    (void)sink;
    return 0;
}

extern const struct bench bench_memory_group[];
const struct bench bench_memory_group[] = {
    { "memory_store", "stores/s", measure_store, 0 },
    { "memory_search", "ms", measure_search, 0 },
    { "memory_search_p95", "ms", measure_search_p95, 0 },
    { "memory_scan", "GB/s", measure_scan, 21 },
    { 0 },
};
