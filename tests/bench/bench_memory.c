/* Store and Search of the memory's engine: what runs on the pool, without the actor.
 *
 *     bench_memory [directory] [memories] [searches]
 *
 * Memories in sessions of 50, words drawn by Zipf's law from 50,000, 8 to 24 words each. Store: 64
 * callers, one commit for each group, sessions on, synchronous=FULL; the last tenth is measured. Search:
 * 2 to 6 words, each at first met in a text, k = 10, hybrid; the texts of the hits are fetched too. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void bench_store(struct memory_engine *engine, struct memory_item *items, unsigned n)
{
    double rates[10], fill;

    fill = memory_engine_store_many(engine, items, n - n / 10, CALLERS);
    for (unsigned i = 0; i < 10; i++) {
        const unsigned m = n / 100;

        rates[i] = m / memory_engine_store_many(engine, items + n - n / 10 + i * m, m, CALLERS);
    }
    qsort(rates, 10, sizeof(double), compare);
    printf("{\"name\":\"memory_store\",\"unit\":\"1/"
           "s\",\"median\":%.0f,\"min\":%.0f,\"max\":%.0f,\"runs\":10,"
           "\"filling\":%.0f}\n",
        rates[5], rates[0], rates[9], (n - n / 10) / fill);
}

static void bench_search(
    struct memory_engine *engine, const struct memory_item *items, unsigned n, unsigned searches)
{
    double *times = malloc(searches * sizeof(double));

    for (unsigned i = 0; i < searches; i++) {
        struct memory_search search = { .k = 10, .filter.now_ms = 1700000000000 };
        struct memory_list list;
        struct aisys_db_request *r;
        char query[400] = "", ids[400] = "[", words[1024];
        unsigned n_words = 2 + (unsigned)(uniform() * 5);
        double begin;
        size_t at = 1;

        snprintf(words, sizeof(words), "%s", items[(unsigned)(uniform() * n)].text);
        for (char *save, *w = strtok_r(words, " ", &save); w != NULL && n_words > 0;
             w = strtok_r(NULL, " ", &save), n_words--) {
            strcat(query, w);
            strcat(query, " ");
        }
        begin = now_ms();
        memory_engine_search(engine, &search, query);
        for (unsigned j = 0; j < search.n; j++)
            at += (size_t)snprintf(ids + at, sizeof(ids) - at, "%s%lld", j > 0 ? "," : "",
                (long long)search.candidates[j].id);
        strcpy(ids + at, "]");
        memory_list_fetch(&list, ids);
        r = memory_engine_run(engine, AISYS_DB_READ, &list);
        times[i] = now_ms() - begin;
        aisys_db_request_free(r);
        memory_search_deinit(&search);
    }
    qsort(times, searches, sizeof(double), compare);
    printf("{\"name\":\"memory_search\",\"unit\":\"ms\",\"median\":%.2f,\"p95\":%.2f,\"p99\":%.2f,"
           "\"min\":%.2f,"
           "\"max\":%.2f,\"runs\":%u}\n",
        times[searches / 2], times[searches * 95 / 100], times[searches * 99 / 100], times[0],
        times[searches - 1], searches);
    free(times);
}

int main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[1] : "/tmp";
    const unsigned n = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 100000;
    const unsigned searches = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 500;
    struct memory_item *items = calloc(n, sizeof(*items));
    static struct memory_engine engine;
    char path[100];

    snprintf(path, sizeof(path), "%s/bench_memory.%ld.db", dir, (long)time(NULL));
    zipf_init();
    for (unsigned i = 0; i < n; i++) {
        char *session = malloc(24);

        /* Sessions take turns, 20 at a time, as those of many users do. */
        snprintf(session, 24, "session %u", i / (20 * PER_SESSION) * 20 + i % 20);
        items[i] = (struct memory_item){ .text = text_of(8 + (unsigned)(uniform() * 17)),
            .session = session,
            .event_ms = 1600000000000 + (int64_t)i * 60000 };
    }
    memory_engine_open(&engine, path);
    bench_store(&engine, items, n);
    bench_search(&engine, items, n, searches);
    memory_engine_remove(&engine);
    return 0;
}
