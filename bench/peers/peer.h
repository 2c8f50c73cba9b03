/* A peer: another library's way to do what a kernel of ours does, timed on the same shapes by bench.c in the
 * same run, and by compare.py (with native.c) on the same inputs. A peer is one file here, one row in
 * peers.def, its library in bench/meson.build for the first, and a line in run.sh for the second. */
#ifndef SOFTFOCUS_BENCH_PEER_H
#define SOFTFOCUS_BENCH_PEER_H

#include <stddef.h>

/* How many threads a peer may use. run.sh builds the peers once for one thread and once for all. */
#ifndef SOFTFOCUS_BENCH_THREADS
#define SOFTFOCUS_BENCH_THREADS 1
#endif

typedef struct softfocus_bench_peer {
    const char *name;   /* the benchmark's name begins with name_kernel: "onednn_log_softmax" */
    const char *kernel; /* the kernel of ours that it is compared with */
    /* Something to run on this shape, contiguous, with what softfocus_bench_logits gives as its inputs; NULL
       if it cannot be made. */
    void *(*make)(size_t outer, size_t classes, size_t inner);
    int (*run)(void *made); /* one call: 0, or its error */
    void (*destroy)(void *made);
    /* Where its tensors lie, each of the shape's size: its inputs in the order in which our kernel takes
       them, then its output; NULL past that. */
    float *(*buffer)(void *made, size_t i);
    int gives_softmax; /* its output is exp(what ours gives): it has no logarithm */
} softfocus_bench_peer;

#define PEER(name) extern const softfocus_bench_peer softfocus_bench_peer_##name;
#include "peers.def"
#undef PEER

/* For peers: count floats with the first and second moments of N(0, 1), 64-byte aligned (compare.py writes
   its own over them); NULL when memory runs out. */
float *softfocus_bench_logits(size_t count);

#endif
