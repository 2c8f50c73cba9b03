/* A batch to train on, for the examples of threads: made-up logits and labels, and a place for the gradient. */
#ifndef SOFTFOCUS_EXAMPLES_BATCH_H
#define SOFTFOCUS_EXAMPLES_BATCH_H

#include <softfocus/softfocus.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct softfocus_example_batch {
    softfocus_tensor logits, grad;
    softfocus_targets targets;
} softfocus_example_batch;

/* 1024 rows of 1000 classes, in static memory: one batch per program. */
softfocus_example_batch softfocus_example_make_batch(void);

/* Prints what a call on `threads` threads gave, and whether the calling thread alone gives the same bits (it must).
   Returns the program's exit status. */
int softfocus_example_report(const softfocus_example_batch *batch, softfocus_status status, float loss, size_t threads);

#ifdef __cplusplus
}
#endif

#endif
