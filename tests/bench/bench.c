#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double bench_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(double *values, unsigned n)
{
    qsort(values, n, sizeof(*values), compare);
    return values[n / 2];
}

#define RUNS_MAX 31

static void print_json(
    const struct bench *bench, const double *sorted, unsigned runs, double figure, double limit)
{
    printf("{\"name\":\"%s\",\"unit\":\"%s\",\"median\":%.6g,\"min\":%.6g,\"max\":%.6g,\"runs\":%u",
        bench->name, bench->unit, figure, sorted[0], sorted[runs - 1], runs);
    if (limit > 0)
        printf(",\"limit\":%.6g", limit);
    printf("}\n");
}

/* "26.6 M": four digits are more than any of this is sure of. */
static const char *short_figure(double value, char buf[16])
{
    const char *unit = value >= 1e9 ? " G" : value >= 1e6 ? " M" : value >= 1e4 ? " k" : "";

    value /= value >= 1e9 ? 1e9 : value >= 1e6 ? 1e6 : value >= 1e4 ? 1e3 : 1;
    snprintf(buf, 16, "%.*f%s", value >= 1000 ? 0 : value >= 100 ? 1 : 2, value, unit);
    return buf;
}

static void print_line(
    const struct bench *bench, const double *sorted, unsigned runs, double figure, double limit)
{
    char buf[16], least[16], most[16];

    printf("%-18s %10s %-12s  min %s, max %s, %u runs", bench->name, short_figure(figure, buf),
        bench->unit, short_figure(sorted[0], least), short_figure(sorted[runs - 1], most), runs);
    if (limit > 0)
        printf(", limit %s", short_figure(limit, buf));
    printf("\n");
}

static int bench_one(const struct bench *bench, bool json)
{
    const unsigned runs = bench->runs ? bench->runs : BENCH_RUNS;
    double figures[RUNS_MAX], limits[RUNS_MAX];
    double limit, figure;

    for (unsigned i = 0; i < runs; i++) {
        const int r = bench->measure(&figures[i], &limits[i]);

        if (r == BENCH_SKIPPED)
            return 0;
        if (r < 0) {
            fprintf(stderr, "%s: %s\n", bench->name, strerror(-r));
            return 1;
        }
    }
    limit = median(limits, runs);
    figure = median(figures, runs); /* sorts them */
    if (json)
        print_json(bench, figures, runs, figure, limit);
    else
        print_line(bench, figures, runs, figure, limit);
    fflush(stdout);
    return 0;
}

static bool wanted(const char *name, char *const *names, int names_nr)
{
    for (int i = 0; i < names_nr; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return names_nr == 0;
}

static bool known(const char *name)
{
    for (const struct bench *const *group = bench_groups; *group; group++)
        for (const struct bench *bench = *group; bench->name; bench++)
            if (strcmp(bench->name, name) == 0)
                return true;
    return false;
}

int bench_main(char *const *names, int names_nr, bool json)
{
    int exit_code = 0;

    for (int i = 0; i < names_nr; i++)
        if (!known(names[i])) {
            fprintf(stderr, "no benchmark is called '%s'; there are:", names[i]);
            for (const struct bench *const *group = bench_groups; *group; group++)
                for (const struct bench *bench = *group; bench->name; bench++)
                    fprintf(stderr, " %s", bench->name);
            fprintf(stderr, "\n");
            return 64;
        }
    for (const struct bench *const *group = bench_groups; *group; group++)
        for (const struct bench *bench = *group; bench->name; bench++)
            if (wanted(bench->name, names, names_nr))
                exit_code |= bench_one(bench, json);
    return exit_code;
}
