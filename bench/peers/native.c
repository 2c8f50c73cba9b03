/* What compare.py loads: the peers of peers.def in one shared library, for one number of threads, and a
 * parallel-for of OpenMP for softfocus. run.sh compiles it where it runs; the table of peers ends with
 * NULL. */
#include "peer.h"
#include "softfocus/adaptors/openmp.h"

#include <stdlib.h>
#include <string.h>

const softfocus_bench_peer *const softfocus_bench_peers[] = {
#define PEER(name) &softfocus_bench_peer_##name,
#include "peers.def"
#undef PEER
    NULL};

/* Zeros: compare.py writes the inputs. */
float *softfocus_bench_logits(size_t count)
{
    size_t size = (count * sizeof(float) + 63) / 64 * 64 + 64; /* aligned_alloc wants a multiple */
    float *values = aligned_alloc(64, size);
    if (values != NULL)
        memset(values, 0, size);
    return values;
}

/* The adaptor's parallel-for for as many threads as this library is for, where ctypes finds it. */
void softfocus_bench_parallel_for(void *pool, size_t count, void (*task)(void *argument, size_t index),
                                  void *argument);
void softfocus_bench_parallel_for(void *pool, size_t count, void (*task)(void *argument, size_t index),
                                  void *argument)
{
    (void)pool;
    softfocus_openmp_parallel_for((void *)(uintptr_t)SOFTFOCUS_BENCH_THREADS, count, task, argument);
}
