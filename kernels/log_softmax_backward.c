/* grad_logits_i = g_i - p_i * sum g, p = exp(log_probs), g = grad_log_probs. The sum is formed in double; the difference
 * cancels by nature, so that the error is bounded by what it was formed from: 4 * 2^-24 * (|g_i| + p_i sum |g|). */
#include "kernels/softmax.h"

/* What p comes from, and what it is multiplied by, to be -p * sum g. p alone may be below what a float has where the product
   is not, so that exp gives 2^60 p, and the sum is lowered by as much. But a small sum would then be below what a float has:
   there exp gives p, and 0 where that is below 2^-126, since the product is 0, too. */
struct gradient_terms {
    vf floor, round; /* of exp_base */
    vf minus_sum;
};

#define SMALL_SUM 0x1p-60
#define PLAIN_ROUND (EXP_ROUND - 60.0f)                /* exp_base's, for p itself, */
#define PLAIN_DEPTH (VF_HAS_MASKS ? 87.0f : EXP_DEPTH) /* and how far down that goes: exp(-87) is 2^-125.5 */

SOFTFOCUS_INLINE struct gradient_terms row_terms(double sum)
{
    if (__builtin_expect(__builtin_fabs(sum) < SMALL_SUM, 0))
        return (struct gradient_terms){vf_set1(-PLAIN_DEPTH), vf_set1(PLAIN_ROUND), vf_set1((float)-sum)};
    return (struct gradient_terms){vf_set1(-EXP_DEPTH), vf_set1(EXP_ROUND), vf_set1((float)(-sum * EXP_SCALE_INVERSE))};
}

/* exp needs its argument <= 0; what rounding (or another library) left above counts as 0. */
SOFTFOCUS_INLINE vf gradient(vf log_prob, vf g, struct gradient_terms terms)
{
    struct exp_base base = {vf_set1(0.0f), terms.floor, terms.round};
    vf p = exp_of_terms(exp_terms(vf_min(vf_set1(0.0f), log_prob), base, 0, EXP_SHORT));
    return vf_mul_add(p, terms.minus_sum, g);
}

SOFTFOCUS_INLINE vf row_load_or_zero(const real *p, size_t classes, size_t i)
{
    if (i + VF_LANES <= classes)
        return vf_load(p + i);
    return vf_load_part(p + i, i < classes ? classes - i : 0, vf_set1(0.0f));
}

/* By lanes. */
SOFTFOCUS_INLINE vd piece_sum(const real *g, size_t classes)
{
    vd sum = vd_set1(0.0);
    size_t i = 0;
    for (; i + GROUP <= classes; i += GROUP)
        sum = vd_add(sum, vd_widen(add4(vf_load(g + i), vf_load(g + i + VF_LANES), vf_load(g + i + 2 * VF_LANES),
                                        vf_load(g + i + 3 * VF_LANES))));
    if (i < classes) {
        vf rest = row_load_or_zero(g, classes, i);
        if (i + VF_LANES < classes)
            rest = vf_add(rest, row_load_or_zero(g, classes, i + VF_LANES));
        if (i + 2 * VF_LANES < classes)
            rest = vf_add(rest, vf_add(row_load_or_zero(g, classes, i + 2 * VF_LANES),
                                       row_load_or_zero(g, classes, i + 3 * VF_LANES)));
        sum = vd_add(sum, vd_widen(rest));
    }
    return sum;
}

/* Of a row whose pieces have sums of their own, or, of one that several calls share, this piece's or what is known of
   all. */
SOFTFOCUS_SHARED double long_row_sum(const real *g, size_t classes, struct softfocus_row_share *share)
{
    const size_t piece = SOFTFOCUS_ROW_PIECE;
    vd sum = vd_set1(0.0);
    if (is_past(share, SOFTFOCUS_STEP_SUM))
        return vd_reduce_add(vd_load(share->sum));
    for (size_t i = 0; i < classes; i += piece)
        sum = vd_add(sum, piece_sum(g + i, smaller(piece, classes - i)));
    if (share)
        vd_store(share->sum, sum);
    return vd_reduce_add(sum);
}

SOFTFOCUS_INLINE double row_sum(const real *g, size_t classes, struct softfocus_row_share *share)
{
    if (__builtin_expect(share != NULL || classes > SOFTFOCUS_ROW_PIECE, 0))
        return long_row_sum(g, classes, share);
    return vd_reduce_add(piece_sum(g, classes));
}

/* Where the sum is NaN, so is every result: ANY_NAN. (A NaN in log_probs alone stays as it is.) */
SOFTFOCUS_SHARED void row_of_nan(real *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = ANY_NAN;
}

/* Results from element i on: of one vector, and of fewer. */
SOFTFOCUS_INLINE vf row_vector(const real *log_probs, const real *g, size_t i, struct gradient_terms terms)
{
    return gradient(vf_load(log_probs + i), vf_load(g + i), terms);
}

SOFTFOCUS_INLINE void row_part(const real *log_probs, const real *g, size_t i, size_t end, struct gradient_terms terms,
                               real *out)
{
    if (i < end)
        vf_store_part(out + i,
                      gradient(row_load_or_zero(log_probs, end, i), row_load_or_zero(g, end, i), terms), end - i);
}

/* From element i on. clang loads constants anew in each turn: 1.4 times the time with one vector in a turn (AVX2). */
SOFTFOCUS_INLINE void row_rest(const real *log_probs, const real *g, size_t i, size_t classes, struct gradient_terms terms,
                               real *out)
{
#ifdef __clang__
#pragma clang loop unroll_count(4)
#endif
    for (; i + VF_LANES <= classes; i += VF_LANES)
        vf_store(out + i, row_vector(log_probs, g, i, terms));
    row_part(log_probs, g, i, classes, terms, out);
}

/* From element i, which a cache line begins with, as many lines as there are, past the caches; the element after them. Pages
   from the third on: see fetch_pages. */
SOFTFOCUS_INLINE size_t row_stream(const real *log_probs, const real *g, size_t i, size_t classes,
                                   struct gradient_terms terms, real *out)
{
    while (i + GROUP <= classes) {
        size_t end = smaller(classes, i + PAGE);
        if (i + 2 * PAGE < classes)
            __builtin_prefetch(out + i + 2 * PAGE, 1, 3);
        for (; i + GROUP <= end; i += GROUP)
            SOFTFOCUS_UNROLL_SHORT
            for (size_t v = i; v < i + GROUP; v += VF_LANES)
                vf_stream(out + v, row_vector(log_probs, g, v, terms));
    }
    for (; i + STREAM_STEP <= classes; i += STREAM_STEP)
        SOFTFOCUS_UNROLL_SHORT
        for (size_t v = i; v < i + STREAM_STEP; v += VF_LANES)
            vf_stream(out + v, row_vector(log_probs, g, v, terms));
    return i;
}

/* The line that this row shares with the row before, which ends at `head` elements of it. */
SOFTFOCUS_INLINE void row_joint(const real *log_probs, const real *g, size_t head, struct gradient_terms before,
                                struct gradient_terms terms, real *out)
{
    SOFTFOCUS_UNROLL_SHORT
    for (size_t v = 0; v < STREAM_STEP; v += VF_LANES) {
        ptrdiff_t at = (ptrdiff_t)(head + v) - STREAM_STEP;
        vm theirs = lanes_before(at);
        struct gradient_terms both = {vf_select(theirs, before.floor, terms.floor),
                               vf_select(theirs, before.round, terms.round),
                               vf_select(theirs, before.minus_sum, terms.minus_sum)};
        vf result = gradient(vf_load(log_probs + at), vf_load(g + at), both);
        vf_stream(out + at, vf_select(vf_equal(both.minus_sum, both.minus_sum), result, vf_set1(ANY_NAN)));
    }
}

/* The neighbours of a row with which it shares lines, and the terms of the one before. */
struct joints {
    int before, next;
    struct gradient_terms of_before;
};

/* `streams` is a constant: loops for both in one function are too many for constants to stay in registers from row to row
   (1.2 times the time at 80 classes). Gives what `of_before` is to the next row. */
SOFTFOCUS_INLINE struct gradient_terms row(const real *log_probs, const real *g, size_t classes, int streams,
                                           struct joints joints, struct softfocus_row_share *share, real *out)
{
    double sum = row_sum(g, classes, share);
    struct gradient_terms terms = row_terms(sum);
    size_t i = 0;
    if (streams) {
        size_t head = before_line(out, classes);
        if (joints.before && head > 0)
            row_joint(log_probs, g, head, joints.of_before, terms, out);
        else
            row_rest(log_probs, g, 0, head, terms, out);
        i = row_stream(log_probs, g, head, classes, terms, out);
    }
    if (!joints.next)
        row_rest(log_probs, g, i, classes, terms, out);
    if (__builtin_expect(sum != sum, 0))
        row_of_nan(out, classes);
    return terms;
}

SOFTFOCUS_INLINE int streams_gradient(const struct softfocus_log_softmax_backward_args *args)
{
    return streams_to(&args->shape, args->log_probs, args->grad_logits) &&
           args->grad_logits.data != args->grad_log_probs.data;
}

SOFTFOCUS_INLINE void rows_form(const struct softfocus_log_softmax_backward_args *args, size_t begin, size_t end,
                                int streams)
{
    int joins = streams && joins_rows(&args->shape, args->log_probs, args->grad_logits) &&
                joins_rows(&args->shape, args->grad_log_probs, args->grad_logits);
    while (begin < end) {
        struct run run = take_run(args->shape, &begin, end);
        struct row_plan plan = {.in = rows_at(args->log_probs, run.outer), .out = rows_at(args->grad_logits, run.outer),
                                .classes = args->shape.classes, .begin = run.inner, .end = run.inner + run.count,
                                .batch = 1, .streams = streams, .joins = joins};
        struct rows second = rows_at(args->grad_log_probs, run.outer);
        struct softfocus_row_share *share = streams ? NULL : args->share;
        struct gradient_terms before = row_terms(0.0);
        for (size_t inner = plan.begin; inner < plan.end; inner++) {
            if (streams && inner + 1 < plan.end)
                fetch_pages(row_of(plan.out, inner + 1), plan.classes);
            struct joints joints = {joins_before(&plan, inner), joins_next(&plan, inner), before};
            before = row(row_of(plan.in, inner), row_of(second, inner), plan.classes, streams, joints, share,
                         row_of(plan.out, inner));
        }
    }
}

SOFTFOCUS_REGIME void rows(const struct softfocus_log_softmax_backward_args *args, size_t begin, size_t end)
{
    rows_form(args, begin, end, 0);
}

SOFTFOCUS_REGIME void rows_past_caches(const struct softfocus_log_softmax_backward_args *args, size_t begin, size_t end)
{
    rows_form(args, begin, end, 1);
    vf_stream_end();
}

/* ---- Columns: of grad_log_probs, and of log_probs as the second. */

/* Wide batches are a page of each class, which prefetchers follow: with WIDE_WIDTH this kernel, which computes little, takes
   1.05 times the time at 8 to 40 classes, 1.15 at 80 and 150, 1.45 at 1 x 1000 x 1024 (AVX2, Zen 3). */
enum { PAGE_WIDTH = 1024, PAGE_VECTORS = PAGE_WIDTH / VF_LANES };

/* Sums and terms lie close to the tiles and to each other: with unused pages between them 16 x 2 x 524288 took 1.06 times
   the time (AVX2, Zen 3). */
union columns_memory {
    struct {
        real tiles[2][TWO_TILE_SIZE + TILE_SLACK];
        vd sums[BATCH_VECTORS];
        struct gradient_terms terms[BATCH_VECTORS];
    } tiled;
    struct {
        real tiles[2][PART_TILE];
        vd sums[PAGE_VECTORS];
        struct gradient_terms terms[PAGE_VECTORS];
    } wide;
};

struct columns_state {
    vd *sums;    /* of the batch's vectors */
    int has_nan; /* whether any of them is */
};

SOFTFOCUS_INLINE void begin_columns(void *opaque, const struct batch *batch)
{
    struct columns_state *state = opaque;
    state->has_nan = 0;
    for (size_t v = 0; v < batch->vectors; v++)
        state->sums[v] = vd_set1(0.0);
}

SOFTFOCUS_INLINE vd columns_sum(const struct block *block, size_t v, vd sum)
{
    const real *g = columns_at(block->in, v, 0);
    ptrdiff_t stride = block->in.class_stride;
    size_t k = 0;
    for (; k + 4 <= block->classes; k += 4, g += 4 * stride)
        sum = vd_add(sum, vd_widen(add4(vf_load(g), vf_load(g + stride), vf_load(g + 2 * stride), vf_load(g + 3 * stride))));
    for (; k < block->classes; k++) /* not one stride further each time: of a single class, that may be anything */
        sum = vd_add(sum, vd_widen(vf_load(columns_at(block->in, v, k))));
    return sum;
}

SOFTFOCUS_INLINE void take_columns(void *opaque, const struct batch *batch, const struct block *block, size_t pass)
{
    vd *sums = ((struct columns_state *)opaque)->sums;
    (void)pass; /* there is one */
    for (size_t v = 0; v < batch->vectors; v++)
        sums[v] = columns_sum(block, v, sums[v]);
}

SOFTFOCUS_INLINE void end_columns(void *opaque, void *results, const struct batch *batch)
{
    struct columns_state *state = opaque;
    struct gradient_terms *result = results;
    for (size_t v = 0; v < batch->vectors; v++) { /* as row_terms */
        vd minus = vd_sub(vd_set1(0.0), state->sums[v]);
        vf lowered = vd_narrow(vd_mul(minus, vd_set1(EXP_SCALE_INVERSE)));
        vf least = vf_set1((float)(SMALL_SUM * EXP_SCALE_INVERSE)), size = vf_abs(lowered);
        struct gradient_terms terms = {vf_set1(-EXP_DEPTH), vf_set1(EXP_ROUND), lowered};
        if (__builtin_expect(!vm_all(vf_less(least, size)), 0)) { /* small, or NaN */
            vm small = vf_less(size, least);
            terms = (struct gradient_terms){vf_select(small, vf_set1(-PLAIN_DEPTH), terms.floor),
                                            vf_select(small, vf_set1(PLAIN_ROUND), terms.round),
                                            vf_select(small, vd_narrow(minus), lowered)};
            state->has_nan |= !vm_all(vf_equal(lowered, lowered));
        }
        result[v] = terms;
    }
}

SOFTFOCUS_INLINE vf finish_column(const void *opaque, vf g, vf log_prob, size_t class, size_t v, enum form form)
{
    const struct gradient_terms *terms = opaque;
    (void)class, (void)form;
    return gradient(log_prob, g, terms[v]);
}

SOFTFOCUS_SHARED void exchange_all(struct exchange exchange) { exchange_rest(exchange, 1, finish_column); }
SOFTFOCUS_SHARED void give_all(struct exchange exchange) { give_tile(exchange, 1, finish_column); }

SOFTFOCUS_PER_BATCH void store_all(struct block_results results) { block_store(results, 1, 0, finish_column); }

SOFTFOCUS_INLINE void amend_columns(const void *opaque, const void *results, const struct column_tensors *tensors,
                                    const struct batch *batch)
{
    const struct columns_state *state = opaque;
    const struct gradient_terms *terms = results;
    for (size_t v = 0; __builtin_expect(state->has_nan, 0) && v < batch->vectors; v++)
        amend_results(tensors, batch, v, terms[v].minus_sum, NULL);
}

SOFTFOCUS_REGIME void columns(const struct softfocus_log_softmax_backward_args *args, size_t begin, size_t end)
{
    static const struct column_kernel kernel = {.passes = 1,
                                                .two = 1,
                                                .hides_from = SIZE_MAX,
                                                .blocks_from = SIZE_MAX,
                                                .sum_size = sizeof(struct gradient_terms),
                                                .begin = begin_columns,
                                                .take = take_columns,
                                                .end = end_columns,
                                                .exchange_all = exchange_all,
                                                .give_all = give_all,
                                                .store_all = store_all,
                                                .amend = amend_columns};
    struct column_tensors tensors = {args->shape, args->grad_log_probs, args->log_probs, args->grad_logits,
                                     streams_gradient(args)};
    _Alignas(64) union columns_memory memory;
    struct columns_state state = {memory.tiled.sums, 0};
    struct column_room room = {&state, {memory.tiled.terms, NULL},
                               {memory.tiled.tiles[0], memory.tiled.tiles[1]}, TWO_TILE_SIZE, TILE_WIDTH, 0};
    /* This kernel reads an element twice and computes little: tiles are worth their copies past the caches alone. Else wide
       batches are 1.1 to 2.6 times as fast, there 0.9 to 0.95 (AVX2, Zen 3). Sums, of four classes at a time, have the same
       bits by any blocks. */
    if (are_planes(&tensors) && !(tensors.streams && works_in_tiles(&tensors, &room, &kernel))) {
        state.sums = memory.wide.sums;
        room = (struct column_room){&state, {memory.wide.terms, NULL},
                                    {memory.wide.tiles[0], memory.wide.tiles[1]}, TWO_TILE_SIZE, PAGE_WIDTH, 1};
    }
    for_two_columns(&tensors, begin, end, &kernel, &room);
}

/* FEW_CLASSES for this kernel, which does less across lanes: measured likewise, equal at 14 to 21 classes; at 19 with
   AVX-512 1.3 to 1.4 times as fast in the cache and level beyond it, with AVX2 1.1 and half as fast. */
enum { FEW_GRADIENTS = VF_LANES >= 16 ? 19 : VF_LANES > 1 ? 15 : 0 };

/* All chunks as one: calls by chunks were batches of 128 positions at 1 x 1000 x 1024, half as fast. */
void SOFTFOCUS_INSTANCE(log_softmax_backward)(const struct softfocus_log_softmax_backward_args *args,
                                              const struct softfocus_chunks *chunks, size_t first, size_t past,
                                              double *none)
{
    size_t begin = chunk_begin(chunks, first), end = chunk_begin(chunks, past);
    (void)none;
    if (args->log_probs.class_stride == 1 && args->grad_log_probs.class_stride == 1 &&
        args->grad_logits.class_stride == 1 && (args->shape.classes > FEW_GRADIENTS || args->share)) {
        if (is_step(args->share, SOFTFOCUS_STEP_SUM))
            (void)long_row_sum(element(args->grad_log_probs, begin / args->shape.inner, 0, begin % args->shape.inner),
                               args->shape.classes, args->share);
        else if (args->shape.classes >= STREAM_ROW && !args->share && streams_gradient(args))
            rows_past_caches(args, begin, end);
        else
            rows(args, begin, end);
    } else
        columns(args, begin, end);
}
