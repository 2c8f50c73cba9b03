/* Google Benchmark, as far as bench.c needs it, in C. gbench_shim.cc, the benchmark's only C++, implements it. */
#ifndef SOFTFOCUS_GBENCH_SHIM_H
#define SOFTFOCUS_GBENCH_SHIM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One run of one benchmark: benchmark::State. */
typedef struct softfocus_bench_state softfocus_bench_state;
typedef void softfocus_bench_function(softfocus_bench_state *state, void *argument);

/* Takes the --benchmark_... options out of argv. 0, or 1 after a message if others are left. */
int softfocus_bench_initialize(int *argc, char **argv);
/* A line of the report's context: "context" in the JSON. */
void softfocus_bench_add_context(const char *key, const char *value);
/* Benchmarks run in the order of registration. How many iterations they take is decided by this
   thread's CPU time (by wall time each name would end with /real_time). */
void softfocus_bench_register(const char *name, softfocus_bench_function *function, void *argument);
/* Runs those that the options chose and reports. Their number. */
size_t softfocus_bench_run(void);

/* In a function: while (keep_running(state)) { one call }; then counters. */
int softfocus_bench_keep_running(softfocus_bench_state *state);
size_t softfocus_bench_iterations(const softfocus_bench_state *state);
void softfocus_bench_set_counter(softfocus_bench_state *state, const char *name, double value);
/* Ends this benchmark with an error in the report. Before the loop; the function then returns. */
void softfocus_bench_fail(softfocus_bench_state *state, const char *message);

#ifdef __cplusplus
}
#endif

#endif
