/* How fast are vectors scanned, beside a plain loop that only reads the same bytes?
 *
 *     bench_memory_kernels [vectors] [runs]
 *
 * One line of JSON per case: median, least and most of the runs, in GB/s; `limit` is the plain read with
 * as many threads over the same buffer, measured in turn with the scan. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "memory/vectors.h"

#define THREADS_MAX 2
#define RUNS_MAX    101

struct part {
    const struct memory_vectors *vectors;
    struct memory_scan scan;
    struct memory_near found[10];
    uint32_t n;
    uint64_t sum;
};

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *part_scan(void *arg)
{
    struct part *p = arg;

    p->n = memory_vectors_scan(p->vectors, &p->scan, p->found);
    return NULL;
}

/* Adds up all words of the buffer, as fast as the compiler knows how to. */
static void *part_read(void *arg)
{
    struct part *p = arg;
    uint64_t sum = 0;

    for (uint32_t slot = p->scan.begin; slot < p->scan.end;) {
        const uint64_t *words = (const uint64_t *)(const void *)memory_vectors_at(p->vectors, slot);
        uint32_t n = MEMORY_VECTORS_CHUNK - slot % MEMORY_VECTORS_CHUNK;

        if (n > p->scan.end - slot)
            n = p->scan.end - slot;
        for (size_t i = 0; i < (size_t)n * MEMORY_VECTOR_BYTES / 8; i++)
            sum += words[i];
        slot += n;
    }
    p->sum = sum;
    return NULL;
}

static double run(struct part *parts, unsigned threads, void *(*work)(void *))
{
    const double begin = now_s();
    pthread_t ids[THREADS_MAX];

    for (unsigned i = 1; i < threads; i++)
        pthread_create(&ids[i], NULL, work, &parts[i]);
    work(&parts[0]);
    for (unsigned i = 1; i < threads; i++)
        pthread_join(ids[i], NULL);
    return now_s() - begin;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void measure(const struct memory_vectors *vectors, const int8_t *query, const char *kernel,
    unsigned threads, unsigned runs)
{
    const uint32_t n = memory_vectors_count(vectors);
    const double gb = (double)n * MEMORY_VECTOR_BYTES * 1e-9;
    struct part parts[THREADS_MAX];
    double scan[RUNS_MAX], read[RUNS_MAX];

    memset(parts, 0, sizeof(parts));
    for (unsigned i = 0; i < threads; i++) {
        parts[i].vectors = vectors;
        parts[i].scan =
            (struct memory_scan){ query, NULL, (uint32_t)((uint64_t)n * i / threads / 64 * 64),
                i + 1 == threads ? n : (uint32_t)((uint64_t)n * (i + 1) / threads / 64 * 64), 10 };
    }
    memory_kernel_force(kernel);
    for (unsigned i = 0; i < runs; i++) {
        read[i] = gb / run(parts, threads, part_read);
        scan[i] = gb / run(parts, threads, part_scan);
    }
    qsort(scan, runs, sizeof(double), compare);
    qsort(read, runs, sizeof(double), compare);
    printf("{\"name\":\"memory_scan\",\"kernel\":\"%s\",\"vectors\":%u,\"threads\":%u,\"unit\":"
           "\"GB/s\","
           "\"median\":%.2f,\"min\":%.2f,\"max\":%.2f,\"runs\":%u,\"limit\":%.2f,\"share\":%.3f}\n",
        kernel, n, threads, scan[runs / 2], scan[0], scan[runs - 1], runs, read[runs / 2],
        scan[runs / 2] / read[runs / 2]);
}

int main(int argc, char **argv)
{
    const uint32_t n = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100000;
    unsigned runs = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 21;
    struct memory_vectors *vectors = memory_vectors_new();
    const struct memory_kernel *kernels;
    const unsigned n_kernels = memory_kernels(&kernels);
    int8_t vector[MEMORY_VECTOR_BYTES];
    uint32_t seed = 1;

    if (runs < 1 || runs > RUNS_MAX)
        runs = 21;
    for (uint32_t i = 0; i < n; i++) {
        for (unsigned j = 0; j < sizeof(vector); j++) {
            seed = seed * 1664525u + 1013904223u;
            vector[j] = (int8_t)((int)(seed >> 24) - 128);
        }
        if (memory_vectors_append(vectors, vector) < 0)
            return 1;
    }
    for (unsigned threads = 1; threads <= THREADS_MAX; threads++) {
        for (unsigned k = 0; k < n_kernels; k++)
            measure(vectors, vector, kernels[k].name, threads, runs);
    }
    memory_vectors_unref(vectors);
    return 0;
}
