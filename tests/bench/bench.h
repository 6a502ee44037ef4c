/* Benchmarks: each measures one figure several times, beside the limit that bare code reaches in the
 * same run, and reports median and spread.
 *
 * `aisysctl bench [NAME...]` and `meson test --benchmark` run the same list. */
#ifndef TESTS_BENCH_H
#define TESTS_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#define BENCH_RUNS    7
#define BENCH_SKIPPED 1

struct bench {
    const char *name;
    const char *unit; /* what a figure counts: "ns/message", "messages/s", "bytes" */
    /* Measure once: the figure, and what bare code reaches (0: there is no such limit). 0, BENCH_SKIPPED
     * with the reason on stderr, or a negative errno. */
    int (*measure)(double *ret_figure, double *ret_limit);
    unsigned runs; /* 0: BENCH_RUNS */
};

extern const struct bench *const bench_groups[]; /* each ends in a zero name; NULL ends the list */

/* Run those named (all when @names_nr is 0) and print a line each, or a JSON object each. Returns an
 * exit code: 0, 1 when one failed, 64 when a name is unknown. */
int bench_main(char *const *names, int names_nr, bool json);

double bench_seconds(void);

/* The aisys-runtime that is started and measured; NULL, and what needs one is skipped. Set by main. */
extern const char *bench_runtime;

#endif
