/* The benchmarks of the Redis port alone: bench_redis [NAME...] prints a JSON object each. */
#include "bench.h"

#include <stddef.h>

extern const struct bench bench_redis_group[];

const struct bench *const bench_groups[] = { bench_redis_group, NULL };

int main(int argc, char **argv)
{
    return bench_main(argv + 1, argc - 1, true);
}
