#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "memory/embed.h"
#include "memory/vectors.h"

static uint32_t seed = 1;

static void random_vector(int8_t *v, unsigned range)
{
    for (unsigned i = 0; i < MEMORY_VECTOR_BYTES; i++) {
        seed = seed * 1664525u + 1013904223u;
        v[i] = (int8_t)((int)(seed >> 16) % (int)(2 * range + 1) - (int)range);
    }
}

static void test_kernels_agree(void **state)
{
    static int8_t vectors[70][MEMORY_VECTOR_BYTES];
    int8_t query[MEMORY_VECTOR_BYTES];
    const struct memory_kernel *kernels;
    const unsigned n = memory_kernels(&kernels);

    (void)state;
    assert_string_equal(kernels[n - 1].name, "plain");
    for (unsigned v = 0; v < 70; v++)
        random_vector(vectors[v], 127);
    memset(vectors[0], -128, MEMORY_VECTOR_BYTES); /* the largest products there are */
    memset(vectors[1], 127, MEMORY_VECTOR_BYTES);
    for (unsigned round = 0; round < 20; round++) {
        int32_t plain[70], other[70];

        random_vector(query, 127);
        if (round < 2)
            memset(query, round == 0 ? -128 : 127, sizeof(query));
        kernels[n - 1].products(query, vectors[0], 70, plain);
        for (unsigned k = 0; k + 1 < n; k++) {
            kernels[k].products(query, vectors[0], 70, other);
            assert_memory_equal(plain, other, sizeof(plain));
        }
    }
}

#define MANY (2 * MEMORY_VECTORS_CHUNK + 100)

static int compare_near(const void *a, const void *b)
{
    const struct memory_near *x = a, *y = b;

    if (x->product != y->product)
        return x->product > y->product ? -1 : 1;
    return x->slot > y->slot ? -1 : 1;
}

/* What a scan should find, the slow way. */
static uint32_t expect(const struct memory_vectors *v, const struct memory_scan *scan,
    bool (*dead)(uint32_t slot), struct memory_near *all)
{
    uint32_t n = 0;

    for (uint32_t slot = scan->begin; slot < scan->end; slot++) {
        int32_t product = 0;

        if ((dead != NULL && dead(slot)) ||
            (scan->filter != NULL && (scan->filter[slot / 64] >> slot % 64 & 1) == 0))
            continue;
        for (unsigned i = 0; i < MEMORY_VECTOR_BYTES; i++)
            product += scan->vector[i] * memory_vectors_at(v, slot)[i];
        all[n++] = (struct memory_near){ product, slot };
    }
    qsort(all, n, sizeof(all[0]), compare_near);
    return n < scan->k ? n : scan->k;
}

static bool every_seventh(uint32_t slot)
{
    return slot % 7 == 3;
}

static void test_scan_finds_the_nearest(void **state)
{
    static struct memory_near all[MANY], found[1000];
    static uint64_t sparse[MANY / 64 + 1], dense[MANY / 64 + 1];
    struct memory_vectors *v = memory_vectors_new();
    int8_t query[MEMORY_VECTOR_BYTES];
    const struct memory_scan scans[] = {
        { query, NULL, 0, MANY, 10 },
        { query, NULL, 0, MANY, 1 },
        { query, NULL, 0, MANY, 1000 },
        { query, NULL, 0, 0, 10 },
        { query, NULL, 5, 6, 10 },
        { query, NULL, 63, 129, 1000 },
        { query, NULL, MEMORY_VECTORS_CHUNK - 1, MEMORY_VECTORS_CHUNK + 1, 10 },
        { query, sparse, 0, MANY, 100 },
        { query, dense, 10, MANY - 10, 100 },
        { query, NULL, 0, MANY, 0 },
    };

    (void)state;
    for (uint32_t i = 0; i < MANY; i++) {
        int8_t x[MEMORY_VECTOR_BYTES];

        random_vector(x, i % 10 == 0 ? 0 : 2); /* many equal products */
        assert_int_equal(memory_vectors_append(v, x), i);
        if (every_seventh(i))
            memory_vectors_kill(v, i);
        sparse[i / 64] |= (uint64_t)(i % 97 == 0) << i % 64;
        dense[i / 64] |= (uint64_t)(i % 3 != 0) << i % 64;
    }
    assert_int_equal(memory_vectors_count(v), MANY);
    memory_vectors_kill(v, MANY); /* not there: nothing happens */
    assert_true(memory_vectors_bytes(v) >= MANY * MEMORY_VECTOR_BYTES);
    random_vector(query, 50);

    for (unsigned i = 0; i < ROWS(scans); i++) {
        const struct memory_kernel *kernels;
        const unsigned n_kernels = memory_kernels(&kernels);
        const uint32_t n = expect(v, &scans[i], every_seventh, all);

        for (unsigned k = 0; k < n_kernels; k++) {
            assert_true(memory_kernel_force(kernels[k].name));
            assert_int_equal(memory_vectors_scan(v, &scans[i], found), n);
            for (uint32_t j = 0; j < n; j++) {
                assert_int_equal(found[j].slot, all[j].slot);
                assert_int_equal(found[j].product, all[j].product);
            }
        }
        assert_true(memory_kernel_force(""));
    }
    assert_false(memory_kernel_force("abacus"));
    memory_vectors_unref(v);
    memory_vectors_unref(NULL);
}

static void test_ranges_merge(void **state)
{
    struct memory_vectors *v = memory_vectors_new();
    int8_t query[MEMORY_VECTOR_BYTES], x[MEMORY_VECTOR_BYTES];

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        random_vector(x, 1);
        memory_vectors_append(v, x);
    }
    random_vector(query, 3);
    for (uint32_t k = 1; k < 300; k += 37) {
        struct memory_near whole[300], a[300], b[300];
        const struct memory_scan all = { query, NULL, 0, 1000, k },
                                 left = { query, NULL, 0, 333, k },
                                 right = { query, NULL, 333, 1000, k };
        const uint32_t n = memory_vectors_scan(v, &all, whole);
        const uint32_t n_a = memory_vectors_scan(v, &left, a);
        const uint32_t n_b = memory_vectors_scan(v, &right, b);

        assert_int_equal(memory_near_merge(a, n_a, b, n_b, k), n);
        assert_memory_equal(a, whole, n * sizeof(a[0]));
        assert_int_equal(memory_near_merge(b, 0, whole, n, k), n);
        assert_memory_equal(b, whole, n * sizeof(a[0]));
    }
    memory_vectors_unref(v);
}

struct scanner {
    struct memory_vectors *vectors;
    atomic_bool stop;
    atomic_uint wrong;
};

/* Every vector begins with the low byte of its slot: what is counted must be complete. */
static void *scanner_main(void *arg)
{
    struct scanner *s = arg;
    int8_t query[MEMORY_VECTOR_BYTES] = { 1 };
    uint32_t last = 0;

    while (!atomic_load(&s->stop)) {
        struct memory_near found[16];
        const struct memory_scan scan = { query, NULL, 0, memory_vectors_count(s->vectors), 16 };
        const uint32_t n = memory_vectors_scan(s->vectors, &scan, found);

        if (scan.end < last)
            s->wrong++;
        last = scan.end;
        for (uint32_t i = 0; i < n; i++) {
            if (found[i].product != (int8_t)found[i].slot)
                s->wrong++;
        }
    }
    memory_vectors_unref(s->vectors);
    return NULL;
}

static void test_scan_while_appending(void **state)
{
    struct scanner s = { .vectors = memory_vectors_new() };
    pthread_t thread;

    (void)state;
    memory_vectors_ref(s.vectors);
    assert_int_equal(pthread_create(&thread, NULL, scanner_main, &s), 0);
    for (uint32_t i = 0; i < 3 * MEMORY_VECTORS_CHUNK; i++) {
        int8_t x[MEMORY_VECTOR_BYTES] = { (int8_t)i };

        assert_int_equal(memory_vectors_append(s.vectors, x), i);
        if (i % 5 == 0)
            memory_vectors_kill(s.vectors, i);
    }
    atomic_store(&s.stop, true);
    memory_vectors_unref(s.vectors); /* the scanner's reference keeps them */
    pthread_join(thread, NULL);
    assert_int_equal(s.wrong, 0);
}

static void *scan_once(void *arg)
{
    struct scanner *s = arg;
    int8_t query[MEMORY_VECTOR_BYTES] = { 1 };
    struct memory_near found[16];
    const struct memory_scan scan = { query, NULL, 0, memory_vectors_count(s->vectors), 16 };
    const uint32_t n = memory_vectors_scan(s->vectors, &scan, found);

    for (uint32_t i = 0; i < n; i++)
        s->wrong += found[i].product != memory_vectors_at(s->vectors, found[i].slot)[0];
    memory_vectors_unref(s->vectors);
    return NULL;
}

/* Vectors move only when the last scan has ended; what stays is in its order. */
static void test_compact_waits_for_scans(void **state)
{
    struct scanner s = { .vectors = memory_vectors_new() };
    uint32_t left = 0;

    (void)state;
    assert_int_equal(memory_vectors_compact(s.vectors), 0);
    for (uint32_t round = 0; round < 8; round++) {
        pthread_t thread;

        while (memory_vectors_count(s.vectors) < left + MEMORY_VECTORS_CHUNK) {
            const uint32_t slot = memory_vectors_count(s.vectors);
            int8_t x[MEMORY_VECTOR_BYTES] = { (int8_t)((slot - left) / 50) };

            memory_vectors_append(s.vectors, x);
            if ((slot - left) % 50 != 0)
                memory_vectors_kill(s.vectors, slot);
        }
        memory_vectors_ref(s.vectors);
        assert_int_equal(memory_vectors_compact(s.vectors), -EBUSY);
        assert_int_equal(pthread_create(&thread, NULL, scan_once, &s), 0);
        while (memory_vectors_compact(s.vectors) != 0)
            sched_yield();
        pthread_join(thread, NULL);
        left += MEMORY_VECTORS_CHUNK / 50 + 1;
        assert_int_equal(memory_vectors_count(s.vectors), left);
        for (uint32_t slot = 0; slot < left; slot++)
            assert_int_equal(
                memory_vectors_at(s.vectors, slot)[0], slot % (MEMORY_VECTORS_CHUNK / 50 + 1));
    }
    assert_int_equal(s.wrong, 0);
    memory_vectors_unref(s.vectors);
}

/* ---- The built-in embedding ------------------------------------------------------------------- */

static double cosine(const char *a, const char *b)
{
    int8_t x[MEMORY_EMBED_DIMS], y[MEMORY_EMBED_DIMS];
    int32_t product;
    const struct memory_kernel *kernels;

    memory_kernels(&kernels);
    memory_embedder_lexical.embed(a, strlen(a), x);
    memory_embedder_lexical.embed(b, strlen(b), y);
    kernels[0].products(x, y, 1, &product);
    return product / (MEMORY_EMBED_LENGTH * MEMORY_EMBED_LENGTH);
}

static void test_near_texts_have_near_vectors(void **state)
{
    static const char key[] = "The spare key is in the blue drawer";
    static const struct {
        const char *text;
        double least, most;
    } rows[] = {
        { "The spare key is in the blue drawer", 0.95, 1.05 },
        { "spare keys: blue drawers", 0.9, 1.05 },           /* other forms, without stop words */
        { "the spair key is in the blu drawer", 0.4, 0.95 }, /* misspelt */
        { "Where is the key?", 0.25, 0.8 },
        { "We had lunch with Peter on Sunday", -0.2, 0.3 },
    };
    int8_t x[MEMORY_EMBED_DIMS];

    (void)state;
    for (unsigned i = 0; i < ROWS(rows); i++) {
        const double c = cosine(key, rows[i].text);

        if (c < rows[i].least || c > rows[i].most)
            fail_msg("%s: %f", rows[i].text, c);
    }
    assert_true(cosine("to be or not to be", "to be") > 0.3); /* stop words count when alone */
    assert_false(memory_embedder_lexical.embed("?!", 2, x));
    assert_int_equal(x[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernels_agree),
        cmocka_unit_test(test_scan_finds_the_nearest),
        cmocka_unit_test(test_ranges_merge),
        cmocka_unit_test(test_scan_while_appending),
        cmocka_unit_test(test_compact_waits_for_scans),
        cmocka_unit_test(test_near_texts_have_near_vectors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
