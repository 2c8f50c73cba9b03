/* Runs one kernel over all units of a problem, on the caller's threads. Called by api.c. */
#ifndef SOFTFOCUS_DISPATCH_RUN_H
#define SOFTFOCUS_DISPATCH_RUN_H

#include "dispatch/fp.h"
#include "kernels/kernels.h"

/* A kernel with its arguments' type hidden: one of the softfocus_invoke_* below. */
typedef double softfocus_invoke(const struct softfocus_kernels *kernels, const void *args, size_t begin, size_t end);

#define KERNEL(name, arguments)                                                                                        \
    static inline double softfocus_invoke_##name(const struct softfocus_kernels *kernels, const void *args,            \
                                                 size_t begin, size_t end)                                             \
    {                                                                                                                  \
        return kernels->name((const arguments *)args, begin, end);                                                     \
    }
#include "kernels/kernels.def"
#undef KERNEL

/* Makes *piece the arguments for `count` elements of a row from element `first` on, of those for whole rows. */
typedef void softfocus_take_piece(void *piece, const void *args, size_t first, size_t count,
                                  struct softfocus_row_share *share);

struct softfocus_work {
    size_t units, cost; /* how many; the elements of one, about */
    size_t grain;       /* pieces for threads begin at its multiples */
    int joins; /* a task's pieces are one call of the kernel, which returns no sum, and none of whose bits depends on where a
                  piece begins, not even a NaN's: time is lost where one does (log-softmax: 1.05 to 1.15 times) */
    softfocus_take_piece *take_piece; /* NULL: threads cannot share a unit, */
    enum softfocus_step first_step;   /* or where that begins; STEP_MAX unless said */
};

/* Room for what a softfocus_take_piece makes. */
union softfocus_piece_args {
    struct softfocus_log_softmax_args log_softmax;
    struct softfocus_log_softmax_backward_args log_softmax_backward;
    struct softfocus_softmax_focal_args softmax_focal_loss;
};

/* Computes units 0 to units - 1 and returns the sum of what the kernel returned. context is complete: its isa is set and
   supported. Called in the kernels' floating-point environment; *caller is the caller's, in which parallel_for is called. */
double softfocus_run(const softfocus_context *context, softfocus_invoke *invoke, const void *args,
                     struct softfocus_work work, softfocus_fp_state *caller);

#endif
