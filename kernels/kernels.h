/* The contract between the dispatcher, which validates and normalises, and the kernels, which compute.
 *
 * Included by dispatch/ and by every kernel. A kernel has the type
 *     void name(const ARGUMENTS *args, const struct softfocus_chunks *chunks, size_t begin, size_t end, double *sums)
 * and computes the units of the chunks begin to end - 1 of its problem. A unit is a position (outer * shape.inner + inner)
 * for the softmax kernels and an element ((outer * classes + class) * shape.inner + inner) for the sigmoid kernel. Units are
 * independent: any range of chunks gives the same bits in every output. A kernel with losses writes their sum over each
 * chunk, to sums[0] that of the chunk `begin`, with the same bits whichever other chunks there are; the others write none.
 *
 * Of the softmax kernels a call may also do a share of one unit: struct softfocus_row_share.
 *
 * A kernel may rely on: everything that dispatch/validate.c checks, default rounding and no flush to zero
 * (dispatch/fp.h), and end > begin. */
#ifndef SOFTFOCUS_KERNELS_H
#define SOFTFOCUS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "softfocus/softfocus.h"

struct softfocus_shape {
    size_t outer, classes, inner;
};

/* The units of a problem cut into chunks, which begin at multiples of a grain. */
struct softfocus_chunks {
    size_t units, grain, count;
};

/* floor(total * part / parts), without overflow for part <= parts < 2^32 or so */
static inline size_t softfocus_fraction(size_t total, size_t part, size_t parts)
{
    return total / parts * part + total % parts * part / parts;
}

/* The first unit of a chunk; of the one after the last, as many as there are. */
static inline size_t softfocus_chunk_begin(const struct softfocus_chunks *chunks, size_t chunk)
{
    return chunk == chunks->count ? chunks->units
                                  : softfocus_fraction(chunks->units, chunk, chunks->count) / chunks->grain * chunks->grain;
}

/* A tensor whose shape is known from elsewhere; strides in elements. */
struct softfocus_view {
    void *data;
    ptrdiff_t outer_stride, class_stride, inner_stride;
};

/* Results of a call that are so many bytes go past the caches, where an ISA has stores for that: kernels/positions.h. */
#ifndef SOFTFOCUS_STREAM_BYTES /* fuzzers, whose tensors are small, and tests on an emulated CPU are built with less */
#define SOFTFOCUS_STREAM_BYTES ((size_t)6 << 20)
#endif

/* ---- Rows that several calls share, each of which has a piece
 *
 * Elements of a row that have a sum of their own; a row's is the sum of these, in their order, whether one call adds them or
 * several do: the same bits. Some 5 us of work. */
#ifndef SOFTFOCUS_ROW_PIECE /* fuzzers, whose tensors are small, and tests on an emulated CPU are built with less */
#define SOFTFOCUS_ROW_PIECE 16384
#endif

enum softfocus_step { SOFTFOCUS_STEP_MAX, SOFTFOCUS_STEP_SUM, SOFTFOCUS_STEP_RESULTS };

enum { SOFTFOCUS_MOST_LANES = 16 };

/* One call's piece of one row, which is its only chunk: the args' data and shape.classes are the piece's.
   `step` says what to do. After STEP_MAX the call has set best and group; after STEP_SUM, sum and (log-softmax) equal.
   Before each later step the dispatcher replaces them by the whole row's. STEP_RESULTS writes the piece's results. Arrays
   are by lane: as many as the ISA has. */
struct softfocus_row_share {
    enum softfocus_step step;
    size_t first; /* the piece's first element in the row */
    float best[SOFTFOCUS_MOST_LANES];    /* the maximum */
    int32_t group[SOFTFOCUS_MOST_LANES]; /* which of the row's groups the maximum is in */
    double sum[SOFTFOCUS_MOST_LANES];    /* without what goes to hole and tail; the whole row's has that, too */
    double *hole; /* the row's, written by the piece that has it: the sum of the group with what is left out */
    double *tail; /* the row's, likewise: the sum of the elements after its last whole group */
    double equal; /* elements equal to the maximum that are not in the sum */
};

struct softfocus_log_softmax_args {
    struct softfocus_shape shape;
    struct softfocus_view logits, log_probs;
    struct softfocus_row_share *share; /* NULL: whole rows */
};

struct softfocus_log_softmax_backward_args {
    struct softfocus_shape shape;
    struct softfocus_view log_probs, grad_log_probs, grad_logits;
    struct softfocus_row_share *share; /* NULL: whole rows; there is no STEP_MAX */
};

/* What both losses take. */
struct softfocus_focal_args {
    double gamma;
    double scale; /* of the gradient: 1, or 1 / denominator of the mean */
    float *loss;  /* one value per unit, or NULL where only the sum is wanted */
};

struct softfocus_softmax_focal_args {
    struct softfocus_shape shape;
    struct softfocus_view logits, grad; /* grad.data NULL: the loss alone */
    const void *index;
    softfocus_index_type index_type;
    int64_t ignore_index;
    double alpha;              /* a factor of every position */
    const float *class_weight; /* NULL: 1 */
    struct softfocus_focal_args focal;
    struct softfocus_row_share *share; /* NULL: whole rows. The loss is that of STEP_RESULTS of the first piece */
};

struct softfocus_sigmoid_focal_args {
    struct softfocus_shape shape;
    struct softfocus_view logits, targets, grad; /* grad.data NULL: the loss alone */
    struct softfocus_view weight;                /* data NULL: 1; strides of 0 but along the classes; never written */
    double alpha_positive, alpha_negative;
    struct softfocus_focal_args focal;
};

/* One table per ISA and element type: softfocus_kernels_avx2_f32 and the like, defined by table.c. */
struct softfocus_kernels {
#define KERNEL(name, arguments)                                                                                        \
    void (*name)(const arguments *args, const struct softfocus_chunks *chunks, size_t begin, size_t end, double *sums);
#include "kernels/kernels.def"
#undef KERNEL
};

#endif
