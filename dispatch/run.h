/* Runs one kernel over all units of a problem, on the caller's threads. Called by api.c. */
#ifndef SOFTFOCUS_DISPATCH_RUN_H
#define SOFTFOCUS_DISPATCH_RUN_H

#include "dispatch/fp.h"
#include "kernels/kernels.h"

/* A kernel with its arguments' type hidden: one of the softfocus_invoke_* below. */
typedef void softfocus_invoke(const struct softfocus_kernels *kernels, const void *args,
                              const struct softfocus_chunks *chunks, size_t begin, size_t end, double *sums);

#define KERNEL(name, arguments)                                                                                        \
    static inline void softfocus_invoke_##name(const struct softfocus_kernels *kernels, const void *args,              \
                                               const struct softfocus_chunks *chunks, size_t begin, size_t end,        \
                                               double *sums)                                                           \
    {                                                                                                                  \
        kernels->name((const arguments *)args, chunks, begin, end, sums);                                              \
    }
#include "kernels/kernels.def"
#undef KERNEL

/* Makes *piece the arguments for `count` elements of a row from element `first` on, of those for whole rows. */
typedef void softfocus_take_piece(void *piece, const void *args, size_t first, size_t count,
                                  struct softfocus_row_share *share);

struct softfocus_work {
    size_t units, cost; /* how many units, and how many elements each has: of a row that threads share, its length */
    size_t grain;       /* chunks begin at multiples of it */
    int sums;           /* whether the kernel gives any */
    softfocus_take_piece *take_piece; /* NULL: threads cannot share a unit */
    enum softfocus_step first_step;   /* where they can, the step that they begin with; STEP_MAX unless said */
};

/* Room for what a softfocus_take_piece makes. */
union softfocus_piece_args {
    struct softfocus_log_softmax_args log_softmax;
    struct softfocus_log_softmax_backward_args log_softmax_backward;
    struct softfocus_softmax_focal_args softmax_focal_loss;
};

/* Computes units 0 to units - 1 and returns the sum of the kernel's sums, or 0 where there are none. context is complete:
   its isa is set and supported. Called in the kernels' floating-point environment; *caller is the caller's, in which
   parallel_for is called. */
double softfocus_run(const softfocus_context *context, softfocus_invoke *invoke, const void *args,
                     struct softfocus_work work, softfocus_fp_state *caller);

#endif
