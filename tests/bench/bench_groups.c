/* Every benchmark there is. */
#include "bench.h"

#include <stddef.h>

extern const struct bench bench_core_group[];
extern const struct bench bench_memory_group[];
extern const struct bench bench_node_group[];
extern const struct bench bench_redis_group[];
extern const struct bench bench_wire_group[];

const struct bench *const bench_groups[] = { bench_core_group, bench_redis_group,
    bench_memory_group, bench_node_group, bench_wire_group, NULL };
