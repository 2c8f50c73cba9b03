// The C side of Google Benchmark: see gbench_shim.h. An opaque state is a benchmark::State under another name.
#include "gbench_shim.h"

#include <benchmark/benchmark.h>

static benchmark::State &of(softfocus_bench_state *state)
{
    return *reinterpret_cast<benchmark::State *>(state);
}

int softfocus_bench_initialize(int *argc, char **argv)
{
    benchmark::Initialize(argc, argv);
    return benchmark::ReportUnrecognizedArguments(*argc, argv) ? 1 : 0;
}

void softfocus_bench_add_context(const char *key, const char *value)
{
    benchmark::AddCustomContext(key, value);
}

void softfocus_bench_register(const char *name, softfocus_bench_function *function, void *argument)
{
    benchmark::RegisterBenchmark(name, [=](benchmark::State &state) {
        function(reinterpret_cast<softfocus_bench_state *>(&state), argument);
    });
}

size_t softfocus_bench_run(void)
{
    const size_t count = benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return count;
}

int softfocus_bench_keep_running(softfocus_bench_state *state)
{
    return of(state).KeepRunning() ? 1 : 0;
}

size_t softfocus_bench_iterations(const softfocus_bench_state *state)
{
    return static_cast<size_t>(reinterpret_cast<const benchmark::State *>(state)->iterations());
}

void softfocus_bench_set_counter(softfocus_bench_state *state, const char *name, double value)
{
    of(state).counters[name] = benchmark::Counter(value);
}

void softfocus_bench_fail(softfocus_bench_state *state, const char *message)
{
    of(state).SkipWithError(message);
}
