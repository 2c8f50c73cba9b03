/* Softmax focal loss with class indices: L = w u^gamma l, with p = softmax(z)_t, u = 1 - p, l = -log p, and its gradient
 *     dL/dz_j = F e_j / S  (j != t),   dL/dz_t = -F u,   F = w u^gamma (1 + gamma p l / u).
 *
 * With e_j = exp(z_j - m), U the sum of e_j over j != t and S = U + e_t:
 *     u = U / S,   l = (m - z_t) + log1p(U + (e_t - 1)),   p l / u = e_t l / U.
 * U is summed without the target, so that u and l keep their digits however near 1 p is; p is never formed and nothing is
 * divided by u. All of this is done in double, one lane per position; only the sums and the gradient run over classes.
 *
 * Where a gradient is wanted, the sweep that forms U leaves e_j, in units, in the gradient's place and a second one scales.
 */
#include "kernels/softmax.h"

/* The factor of e_j in units in the gradient, as two floats: where it is so small that a float would lose digits (below
   2^-126), 2^124 of it comes with the first and is taken back by the second, after the product with e_j has its digits. The
   second is 1 most often, and 0 where the position is ignored. */
struct factor {
    vf first, second;
};

#define FACTOR_TINY 0x1p-126
#define FACTOR_LIFT 0x1p124

/* What one vector of positions comes to. */
struct focal {
    vd loss;
    struct factor factor;
    vf at_target; /* the gradient there */
};

/* The classes of one vector of positions: their low 32 bits, as there are at most 2^32 - 1 classes; -1 where ignored, or
   where there is no position. */
struct targets {
    int32_t class[VF_LANES];
};

SOFTFOCUS_INLINE int32_t target_or_ignored(int64_t target, int64_t ignore_index)
{
    return target != ignore_index ? (int32_t)(uint32_t)target : -1;
}

/* A whole vector's is worth loops of its own, which a compiler vectorizes. */
SOFTFOCUS_INLINE struct targets targets_at(const struct softfocus_softmax_focal_args *args, size_t position, size_t count)
{
    struct targets targets;
    int64_t ignore_index = args->ignore_index;
    int is_wide = args->index_type == SOFTFOCUS_I64;
    const int64_t *wide = is_wide ? (const int64_t *)args->index + position : NULL;
    const int32_t *narrow = is_wide ? NULL : (const int32_t *)args->index + position;
    if (count == VF_LANES && is_wide)
        for (size_t i = 0; i < VF_LANES; i++)
            targets.class[i] = target_or_ignored(wide[i], ignore_index);
    else if (count == VF_LANES)
        for (size_t i = 0; i < VF_LANES; i++)
            targets.class[i] = target_or_ignored(narrow[i], ignore_index);
    else
        for (size_t i = 0; i < VF_LANES; i++)
            targets.class[i] = target_or_ignored(i >= count ? ignore_index : is_wide ? wide[i] : narrow[i], ignore_index);
    return targets;
}

SOFTFOCUS_INLINE vm ignored(vi target) { return vi_equal(target, vi_set1(-1)); }
SOFTFOCUS_INLINE int is_live(const struct targets *targets, size_t i) { return targets->class[i] != -1; }
SOFTFOCUS_INLINE size_t class_of(const struct targets *targets, size_t i) { return (uint32_t)targets->class[i]; }

/* Of the ignored, any finite weight. */
SOFTFOCUS_INLINE vd weights_of(const struct softfocus_softmax_focal_args *args, const struct targets *targets)
{
    if (!args->class_weight)
        return vd_set1(args->alpha);
    double weight[VF_LANES];
    for (size_t i = 0; i < VF_LANES; i++)
        weight[i] = is_live(targets, i) ? args->alpha * (double)args->class_weight[class_of(targets, i)] : 0.0;
    return vd_load(weight);
}

/* From m, the target's logit and U, in steps. NaN anywhere in a position makes its results NaN; +inf and a position of -inf
   alone do so by U (rest_of). */
struct focal_parts {
    vd target_exp, nll; /* e_t and l */
};

SOFTFOCUS_INLINE vd gap_of(vf max, vf target_logit) { return vd_sub(vd_widen(max), vd_widen(target_logit)); }

/* `base`: of m, or whatever the unit is of. */
SOFTFOCUS_INLINE vd focal_target_exp(vf max, vf target_logit, struct exp_base base, vd unit)
{
    vd zero = vd_set1(0.0), one = vd_set1(1.0), gap = gap_of(max, target_logit);
    vd target_exp = vd_mul(vd_widen(exp_based(target_logit, base, 1)), unit);
    /* Exactly 1 at the maximum, where p may be near 1; NaN for NaN, which the sum leaves out as it does any target. */
    return vd_select_less(zero, gap, target_exp, vd_sub(one, gap));
}

SOFTFOCUS_INLINE vd focal_nll(vf max, vf target_logit, vd rest, vd target_exp)
{
    return vd_add(gap_of(max, target_logit), vd_log1p(vd_add(rest, vd_sub(target_exp, vd_set1(1.0)))));
}

SOFTFOCUS_INLINE struct focal focal_end(const struct softfocus_softmax_focal_args *args, const struct targets *targets,
                                        vd rest, vd unit, const struct focal_parts *parts)
{
    vd zero = vd_set1(0.0), one = vd_set1(1.0), target_exp = parts->target_exp, nll = parts->nll;
    vd weight = weights_of(args, targets);
    vf live = vf_select(ignored(vi_load(targets->class)), vf_set1(0.0f), vf_set1(1.0f));
    vd sum = vd_add(rest, target_exp);

    /* One division for both quotients. The bound keeps the product normal; below 2^-40 the quotient p l / u is 1 to within
       2^-40 and is not formed. And a numerator that makes up for all four roundings up to u: where p is 0, or nearly, u is 1
       and no less, whose power an extreme gamma would make 0; past 1 it would make it inf. */
    vd safe_rest = vd_max(vd_set1(0x1p-60), rest);
    vd product = vd_div(vd_set1(1.0 + 0x1p-50), vd_mul(sum, safe_rest));
    vd inverse_sum = vd_mul(safe_rest, product);
    vd u = vd_min(one, vd_mul(rest, inverse_sum));
    vd finite_nll = vd_min(vd_set1((double)__FLT_MAX__), nll);
    vd quotient = vd_mul(vd_mul(target_exp, finite_nll), vd_mul(sum, product));
    quotient = vd_select_less(rest, vd_set1(0x1p-40), one, quotient);

    vd weighted = vd_mul(weight, vd_power(u, args->focal.gamma));
    struct focal result;
    result.loss = vd_mul(weighted, vd_select_less(zero, weight, nll, finite_nll)); /* a weight of 0 times inf is 0 */
    result.loss = vd_select_less(zero, vd_widen(live), result.loss, zero);

    vd gamma = vd_min(vd_set1(0x1p1000), vd_set1(args->focal.gamma)); /* finite: u^gamma may be 0 */
    vd factor = vd_mul(vd_mul(weighted, vd_set1(args->focal.scale)), vd_mul_add(gamma, quotient, one));
    result.at_target = one_nan(vd_narrow(vd_mul(factor, vd_sub(zero, u))));
    vd scaled = vd_mul(vd_mul(factor, inverse_sum), unit);
    vd tiny = vd_set1(FACTOR_TINY);
    result.factor.first = one_nan(vd_narrow(vd_select_less(scaled, tiny, vd_mul(scaled, vd_set1(FACTOR_LIFT)), scaled)));
    result.factor.second = vf_mul(live, vd_narrow(vd_select_less(scaled, tiny, vd_set1(1.0 / FACTOR_LIFT), one)));
    return result;
}

/* Hands out the losses of `count` positions from `position` on. */
SOFTFOCUS_INLINE void keep_losses(const struct softfocus_softmax_focal_args *args, size_t position, size_t count, vd loss)
{
    if (args->focal.loss)
        vf_store_part(args->focal.loss + position, one_nan(vd_narrow(loss)), count);
}

/* ---- Rows */

/* A batch of rows whose gradients are still to be written. */
struct unwritten {
    size_t inner, count;
    float first[ROW_PLACES], second[ROW_PLACES], at_target[ROW_PLACES];
    int32_t target[ROW_PLACES]; /* -1 where it is ignored */
    const real *scratch;
};

SOFTFOCUS_INLINE size_t target_of_row(const struct unwritten *rows, size_t r)
{
    return (uint32_t)rows->target[FIRST_PLACE + r];
}
SOFTFOCUS_INLINE int is_live_row(const struct unwritten *rows, size_t r) { return rows->target[FIRST_PLACE + r] != -1; }

SOFTFOCUS_INLINE void keep_last_row(struct unwritten *rows)
{
    keep_last(rows->first, rows->count);
    keep_last(rows->second, rows->count);
    keep_last(rows->at_target, rows->count);
    rows->target[FIRST_PLACE - 1] = rows->target[FIRST_PLACE + rows->count - 1];
    rows->count = 0;
}

/* Whether short rows' gradients are written beside the sums of the next batch: 1.03 to 1.08 times as fast with AVX-512, 0.95
   to 0.99 with AVX2. */
enum { SHORT_BESIDE = VF_LANES >= 16 };

/* Elements from which on gradients stream: 1.05 to 1.25 times as fast at 64 to 384 with AVX-512, 0.9 to 1.0 with AVX2. */
enum { STREAM_LEAST = VF_LANES >= 16 ? 64 : 256 };

/* Where gradients stream, e_j stay in memory of our own, from a row's sum to its gradient; else they are in the gradient's
   place. So far from row to row in that memory: whole lines. */
SOFTFOCUS_INLINE size_t scratch_step(size_t classes) { return (classes + STREAM_STEP - 1) / STREAM_STEP * STREAM_STEP; }

/* With the gradient at the target in its place where it streams: a store there afterwards would wait for memory. */
SOFTFOCUS_INLINE vf row_gradient(const struct row_write *write, vf e, size_t i)
{
    vf grad = vf_mul(vf_mul(e, write->of.a), write->of.b);
    vm here = vi_equal(vi_add(vi_lane_numbers(), vi_set1((int32_t)i)), write->of.special);
    return write->streams ? vf_select(here, write->of.special_result, grad) : grad;
}

static void zero_row(real *p, size_t classes)
{
    for (size_t i = 0; i < classes; i++)
        p[i] = 0.0f;
}

SOFTFOCUS_INLINE struct row_numbers numbers_of(const struct unwritten *rows, size_t place)
{
    return (struct row_numbers){.a = vf_set1(rows->first[place]),
                                .b = vf_set1(rows->second[place]),
                                .special = vi_set1(rows->target[place]),
                                .special_result = vf_set1(rows->at_target[place])};
}

SOFTFOCUS_INLINE struct row_write write_of(const struct row_plan *plan, const struct unwritten *rows, size_t r)
{
    size_t inner = rows->inner + r;
    struct row_write write = {.to = row_of(plan->out, inner),
                              .classes = plan->classes,
                              .streams = plan->streams,
                              .of = numbers_of(rows, FIRST_PLACE + r),
                              .joins_before = joins_before(plan, inner),
                              .joins_next = joins_next(plan, inner),
                              .before = numbers_of(rows, FIRST_PLACE + r - 1)};
    write.from = plan->streams ? rows->scratch + r * scratch_step(write.classes) : write.to;
    if (plan->joins)
        write.before_end = r > 0 ? write.from - scratch_step(write.classes) + write.classes
                                 : write.from; /* or the copy before the first row */
    return write;
}

/* After its row, where that does not stream. */
SOFTFOCUS_INLINE void set_at_target(const struct row_plan *plan, const struct unwritten *rows, size_t r)
{
    if (!plan->streams)
        row_of(plan->out, rows->inner + r)[target_of_row(rows, r)] = rows->at_target[FIRST_PLACE + r];
}

SOFTFOCUS_PER_BATCH void write_rows(const struct row_plan *plan, const struct unwritten *rows, size_t begin)
{
    for (size_t r = begin; r < rows->count; r++) {
        if (!plan->streams && !is_live_row(rows, r)) {
            zero_row(row_of(plan->out, rows->inner + r), plan->classes);
            continue;
        }
        struct row_write write = write_of(plan, rows, r);
        write_row(&write, row_gradient);
        if (target_of_row(rows, r) < plan->classes) /* or it is in another piece of the row */
            set_at_target(plan, rows, r);
    }
}

/* The same, where speed does not depend on it. Structs go by value, so that those of the caller may be in registers (short
   rows 1.05 times as fast). */
SOFTFOCUS_SHARED void write_rest_of_rows(struct row_plan plan, struct unwritten rows, size_t begin)
{
    write_rows(&plan, &rows, begin);
}

/* A batch of rows. */
struct peaks {
    size_t inner, position, count;
    size_t ahead; /* rows to one of the next batch */
    struct maxima maxima;
    struct targets targets;
    float target_logit[VF_LANES];
};

/* Of `count` rows from row `start` of a run on. */
SOFTFOCUS_SHARED void find_peaks(const struct softfocus_softmax_focal_args *args, struct run run, size_t start, size_t count,
                                 struct peaks *peaks)
{
    peaks->inner = run.inner + start;
    peaks->position = run.position + start;
    peaks->count = count;
    peaks->targets = targets_at(args, peaks->position, count);
    struct rows logits = rows_at(args->logits, run.outer);
    size_t classes = args->shape.classes;
    for (size_t r = 0; r < count; r++) {
        peaks->maxima.best[r] = vf_set1(0.0f);
        peaks->target_logit[r] = 0.0f;
        if (!is_live(&peaks->targets, r))
            continue;
        const real *z = row_of(logits, run.inner + start + r);
        peaks->maxima.best[r] = row_max(z, classes);
        peaks->target_logit[r] = z[class_of(&peaks->targets, r)];
    }
    set_maxima(&peaks->maxima, count);
}

/* The same of a share of one row. */
SOFTFOCUS_SELDOM void find_share_peaks(const struct softfocus_softmax_focal_args *args, struct run run, struct peaks *peaks)
{
    const real *z = element(args->logits, run.outer, 0, run.inner);
    size_t none;
    peaks->inner = run.inner;
    peaks->position = run.position;
    peaks->count = 1;
    peaks->targets = targets_at(args, run.position, 1);
    peaks->target_logit[0] = 0.0f;
    if (is_live(&peaks->targets, 0))
        peaks->target_logit[0] = *(z - args->share->first + class_of(&peaks->targets, 0));
    find_share_peak(args->share, z, args->shape.classes, &peaks->maxima, &none);
}

/* The sum over row r of a batch, and beside it row r of the batch before, where there is one: both are live then. */
SOFTFOCUS_INLINE vd sum_row(const struct row_plan *plan, const struct peaks *peaks, size_t r, int is_short, real *scratch,
                            const struct unwritten *last, struct softfocus_row_share *share)
{
    size_t classes = plan->classes, inner = peaks->inner + r;
    float m = peaks->maxima.m[r];
    struct exp_base base = base_of_row(&peaks->maxima, r, EXP_FACTORS);
    const real *z = row_of(plan->in, inner);
    struct hole hole = {class_of(&peaks->targets, r) - (is_short ? 0 : first_of(share)), 0.0f, 0};
    size_t ahead = inner + peaks->ahead; /* a row of the next batch */
    double none;
    if (!plan->out.data) {
        struct beside next = {.fetches = 1, .near = row_of(plan->in, ahead)};
        return row_is_far(m) ? row_sum_far(z, classes, hole, m, NULL, share, NULL)
                             : row_sum_exp(z, classes, is_short, hole, base, &next, share, &none);
    }
    struct row_write write = {.streams = 0};
    const real *next = row_of(plan->in, ahead);
    struct beside beside = {.keeps = 1, .fetches = 2, .writes = 1, .write = &write, .result = row_gradient,
                            .keep = plan->streams ? scratch + r * scratch_step(classes) : row_of(plan->out, inner),
                            .near = next, .further = plan->streams ? next : row_of(plan->out, ahead)};
    if (row_is_far(m))
        return row_sum_far(z, classes, hole, m, beside.keep, share, NULL);
    if (plan->streams)
        fetch_pages(row_of(plan->out, inner), classes);
    if (r < last->count) {
        write = write_of(plan, last, r);
        begin_write(&write, row_gradient);
    }
    vd sum = row_sum_exp(z, classes, is_short, hole, base, &beside, share, &none);
    if (r < last->count) {
        write_rest(&write, row_gradient);
        set_at_target(plan, last, r);
    }
    return sum;
}

/* From the sums: the losses, and what gradients are formed of. */
SOFTFOCUS_PER_BATCH void end_batch(const struct softfocus_softmax_focal_args *args, const struct peaks *peaks,
                                   vd rest[VF_LANES], struct unwritten *last, vd *sum)
{
    struct focal_parts parts;
    vf max = peaks->maxima.max, target_logit = vf_load(peaks->target_logit);
    vd unit = peaks->maxima.unit, others = rest_of(max, reduce_add_rows(rest, peaks->count), unit, vd_set1(0.0));
    parts.target_exp = focal_target_exp(max, target_logit, exp_base(max, 1, EXP_FACTORS), unit);
    parts.nll = focal_nll(max, target_logit, others, parts.target_exp);
    struct focal result = focal_end(args, &peaks->targets, others, unit, &parts);
    keep_losses(args, peaks->position, peaks->count, result.loss);
    *sum = vd_add(*sum, result.loss);
    keep_last_row(last);
    last->inner = peaks->inner;
    last->count = args->grad.data ? peaks->count : 0;
    vm none = ignored(vi_load(peaks->targets.class));
    vf_store(last->first + FIRST_PLACE, vf_select(none, vf_set1(0.0f), result.factor.first));
    vf_store(last->second + FIRST_PLACE, result.factor.second);
    vf_store(last->at_target + FIRST_PLACE, result.at_target);
    vi_store(last->target + FIRST_PLACE, vi_load(peaks->targets.class));
}

SOFTFOCUS_INLINE struct row_plan plan_of(const struct softfocus_softmax_focal_args *args, struct run run, int streams)
{
    size_t classes = args->shape.classes;
    /* Not by `streams`, which depends on where the rows lie: a sum's bits, and those of a NaN, may depend on the rows of a
     * batch. */
    size_t size = classes <= BATCH_SIZE && exceeds_caches(&args->shape) ? SMALL_BATCH : BATCH_SIZE;
    return (struct row_plan){.in = rows_at(args->logits, run.outer),
                             .out = rows_at(args->grad, run.outer),
                             .classes = classes,
                             .begin = run.inner,
                             .end = run.inner + run.count,
                             .batch = rows_per_batch(classes, size),
                             .joins = streams && joins_rows(&args->shape, args->grad, args->grad),
                             .streams = streams};
}

/* The sums of a batch, and beside them the rows of the batch before. */
SOFTFOCUS_INLINE void sum_rows(const struct row_plan *plan, const struct peaks *peaks, int is_short, real *scratch,
                               struct unwritten *last, struct softfocus_row_share *share, vd rest[VF_LANES])
{
    for (size_t r = 0; r < peaks->count; r++) {
        int live = is_live(&peaks->targets, r);
        /* Rows of two batches go side by side only where both have something to do. */
        if (r < last->count && (row_is_far(peaks->maxima.m[r]) || !live || !is_live_row(last, r))) {
            write_rest_of_rows(*plan, *last, r);
            keep_last_row(last);
        }
        rest[r] = live ? sum_row(plan, peaks, r, is_short, scratch, last, share) : vd_set1(0.0);
        if (!live && plan->streams)
            zero_row(scratch + r * scratch_step(plan->classes), plan->classes);
    }
    if (peaks->count < last->count)
        write_rest_of_rows(*plan, *last, peaks->count);
}

/* Before the first row of a batch's scratch memory, as much of the last row before as it may share a line with. */
SOFTFOCUS_INLINE void copy_row_end(real *scratch, const real *row, size_t classes)
{
    for (size_t i = 0; i < STREAM_STEP; i++)
        scratch[i] = row[classes - STREAM_STEP + i];
}

/* The target's number within a piece of a row, or that of none of its elements. */
SOFTFOCUS_INLINE int32_t target_of_share(const struct softfocus_row_share *share, const struct targets *targets,
                                         size_t classes)
{
    size_t at = class_of(targets, 0) - share->first;
    return !is_live(targets, 0) ? -1 : at < classes ? (int32_t)at : INT32_MAX;
}

SOFTFOCUS_INLINE vd rows_of_run(const struct softfocus_softmax_focal_args *args, struct run run, int is_short, int streams,
                                vd sum)
{
    _Alignas(64) real scratch[2][STREAM_STEP + BATCH_SIZE];
    struct row_plan plan = plan_of(args, run, streams);
    size_t classes = plan.classes;
    struct unwritten last = {.count = 0};
    struct peaks peaks = {.count = 0};
    struct softfocus_row_share *share = is_short ? NULL : args->share;
    if (__builtin_expect(share != NULL, 0)) {
        find_share_peaks(args, run, &peaks);
        if (share->step == SOFTFOCUS_STEP_MAX)
            return sum;
    } else {
        find_peaks(args, run, 0, smaller(plan.batch, run.count), &peaks);
    }
    for (size_t start = peaks.count, number = 0; peaks.count > 0; number++) {
        vd rest[VF_LANES];
        real *own = scratch[number % 2] + STREAM_STEP;
        peaks.ahead = rows_ahead(&plan, peaks.inner, 1);
        if (!is_past(share, SOFTFOCUS_STEP_SUM))
            sum_rows(&plan, &peaks, is_short, own, &last, share, rest);
        if (__builtin_expect(share != NULL, 0)) {
            if (share->step == SOFTFOCUS_STEP_SUM)
                return sum;
            rest[0] = vd_load(share->sum);
        }
        last.scratch = own;
        if (plan.joins)
            copy_row_end(scratch[(number + 1) % 2], own + (peaks.count - 1) * scratch_step(classes), classes);
        end_batch(args, &peaks, rest, &last, &sum);
        if (share)
            last.target[FIRST_PLACE] = target_of_share(share, &peaks.targets, classes);
        /* The next maxima are found while these results wait for their logarithms. */
        peaks.count = 0;
        if (start < run.count) {
            find_peaks(args, run, start, smaller(plan.batch, run.count - start), &peaks);
            start += peaks.count;
        }
        /* Rows longer than a batch have their e_j in the gradient's place, in memory: beside the next sums 0.88 to 1.0
         * times. */
        if (!plan.streams && (is_short ? !SHORT_BESIDE : !CACHED_BESIDE || classes > BATCH_SIZE)) {
            write_rows(&plan, &last, 0);
            keep_last_row(&last);
        }
    }
    write_rest_of_rows(plan, last, 0);
    if (plan.streams)
        vf_stream_end();
    return sum;
}

SOFTFOCUS_INLINE int streams_gradient(const struct softfocus_softmax_focal_args *args)
{
    return args->shape.classes <= BATCH_SIZE && streams_rows_to(&args->shape, args->logits, args->grad, STREAM_LEAST);
}

SOFTFOCUS_INLINE double rows_of(const struct softfocus_softmax_focal_args *args, size_t begin, size_t end, int is_short,
                                int streams)
{
    vd sum = vd_set1(0.0);
    while (begin < end)
        sum = rows_of_run(args, take_run(args->shape, &begin, end), is_short, streams, sum);
    return vd_reduce_add(sum);
}

SOFTFOCUS_REGIME double rows(const struct softfocus_softmax_focal_args *args, size_t begin, size_t end)
{
    return rows_of(args, begin, end, 0, !args->share && streams_gradient(args));
}

SOFTFOCUS_REGIME double short_rows(const struct softfocus_softmax_focal_args *args, size_t begin, size_t end)
{
    return rows_of(args, begin, end, 1, 0);
}

SOFTFOCUS_REGIME double short_rows_past_caches(const struct softfocus_softmax_focal_args *args, size_t begin, size_t end)
{
    return rows_of(args, begin, end, 1, 1);
}

/* ---- Columns */

/* The sums of losses by chunks, of positions as they come: each goes to the lane that its number in the chunk says, so that
   a sum has the same bits whatever the batches are. */
struct chunk_sums {
    const struct softfocus_chunks *chunks;
    size_t chunk, begin, end; /* the chunk that is added up: its number, and its positions */
    double *to;               /* where its sum goes */
    double lanes[VF_LANES];
};

SOFTFOCUS_INLINE void begin_chunk(struct chunk_sums *sums, size_t chunk)
{
    sums->chunk = chunk;
    sums->begin = chunk_begin(sums->chunks, chunk);
    sums->end = chunk_begin(sums->chunks, chunk + 1);
    vd_store(sums->lanes, vd_set1(0.0));
}

/* Of `count` positions from `position` on, within the chunk: one by one, */
SOFTFOCUS_SELDOM void add_few_losses(struct chunk_sums *sums, const double *losses, size_t position, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sums->lanes[(position + i - sums->begin) % VF_LANES] += losses[i];
}

/* and as they come, of this chunk and of those after it. */
SOFTFOCUS_SHARED void add_losses(struct chunk_sums *sums, const double *losses, size_t position, size_t count)
{
    while (count > 0) {
        size_t here = smaller(count, sums->end - position), lane = (position - sums->begin) % VF_LANES;
        size_t few = lane > 0 ? smaller(here, VF_LANES - lane) : 0, i = few;
        add_few_losses(sums, losses, position, few);
        vd sum = vd_load(sums->lanes);
        for (; i + VF_LANES <= here; i += VF_LANES)
            sum = vd_add(sum, vd_load(losses + i));
        vd_store(sums->lanes, sum);
        add_few_losses(sums, losses + i, position + i, here - i);
        losses += here;
        position += here;
        count -= here;
        if (position == sums->end) {
            *sums->to++ = vd_reduce_add(vd_load(sums->lanes));
            if (sums->chunk + 1 < sums->chunks->count)
                begin_chunk(sums, sums->chunk + 1);
        }
    }
}

/* What is known of a vector of positions. */
struct column_vector {
    struct targets targets;
    float max[VF_LANES], target_logit[VF_LANES];
    float guess[VF_LANES]; /* of the maximum, which exponentials are relative to, if not to the maximum */
    vd rest;
    union column_unit {
        vd unit; /* and when the loss is known, of blocks: */
        struct exp_base base;
    } of;
};

/* What a vector of positions comes to, for its gradient; of hidden targets the first factor alone. Where there is a
   tile, the second is of no use any more (end_tile). */
struct column_results {
    struct targets targets;
    struct factor factor; /* of e_j */
    vf at_target;
};

union column_end {
    struct focal_parts parts; /* and when all is known: */
    struct column_results results;
};

/* What `end` leaves is an array of column_end in tiles. By blocks, where e_j are formed again for the gradient: */
struct block_sums {
    union column_end *of;
    const struct column_vector *vectors;
};

struct columns_state {
    const struct softfocus_softmax_focal_args *args;
    struct chunk_sums sums;
    struct column_vector *of; /* of the batch, */
    double *losses;           /* and those */
    struct columns tile;      /* of the batch; of blocks without data */
    int hidden;               /* whether targets are, there */
    int guesses;              /* whether exponentials are relative to guesses of the maxima, or to these */
    int has_nan;              /* of blocks: whether a gradient is */
    unsigned char again[WIDE_BATCH_VECTORS]; /* of blocks: whether a vector needs a pass with another guess */
};

/* What exponentials of vector v are relative to. */
SOFTFOCUS_INLINE vf near_max(const struct columns_state *state, size_t v)
{
    return vf_load(state->guesses ? state->of[v].guess : state->of[v].max);
}

SOFTFOCUS_INLINE int mend_guess_of(struct column_vector *vector)
{
    vf guess = vf_load(vector->guess);
    int mended = mend_guess(&guess, vf_load(vector->max), &vector->rest);
    vf_store(vector->guess, guess);
    return mended;
}

/* The targets of some tiles later, as many as a vector's, into the L2 cache: a batch reads all of its own at once, sooner
   than the CPU's prefetchers follow (from memory 1.03 to 1.08 times as fast). As numbers, for there may be no such place. */
SOFTFOCUS_INLINE void fetch_targets(const struct softfocus_softmax_focal_args *args, size_t position)
{
    size_t size = args->index_type == SOFTFOCUS_I64 ? sizeof(int64_t) : sizeof(int32_t);
    uintptr_t at = (uintptr_t)args->index + (position + 2 * SMALL_TILE_WIDTH) * size;
    __builtin_prefetch((const void *)at, 0, 2);
    if (VF_LANES * sizeof(int64_t) > 64)
        __builtin_prefetch((const void *)(at + 64), 0, 2);
}

SOFTFOCUS_INLINE void begin_columns(void *opaque, const struct batch *batch)
{
    struct columns_state *state = opaque;
    for (size_t v = 0; v < batch->vectors; v++) {
        struct column_vector *vector = &state->of[v];
        vector->targets = targets_at(state->args, batch->position + v * VF_LANES, batch_lanes(batch, v));
        fetch_targets(state->args, batch->position + v * VF_LANES);
        vf_store(vector->max, vf_set1(MINUS_INFINITY));
        vf_store(vector->target_logit, vf_set1(0.0f));
        vector->rest = vd_set1(0.0);
    }
}

/* ---- Targets that are hidden
 *
 * In a tile, which is a copy, a target may be hidden: as -inf it has no part in a maximum or a sum, and no pass has to look
 * for it in each class. Where its exponential would be, 0, comes the gradient there, which is not above 0. Then
 *     min(e, e * factor), with a factor of [0, 1],
 * is the gradient at every class: of an e >= 0 the product, of a gradient that one. Where that does not hold (factors that
 * are tiny, see struct factor, or past 1, or NaN), or where the position is ignored, gradients are formed in the tile, and
 * the factor is 1.
 *
 * In other tiles the target is looked for beside the sum, where its logit is found, too, and again with the results. These
 * are products with the first factor alone there, too: tiny factors, NaN, and ignored positions are seen to in the tile as
 * above.
 *
 * What is done lane by lane to hide targets is some 60 operations for a vector, and what is saved 5 for each class. With 12
 * classes not hidden the loss with its gradient is 1.02 to 1.03 times as fast (clang 1.0), with 16 1.01 to 1.03 (clang
 * 0.97 to 1.03), with 24 0.98 to 1.01 (0.95 to 0.97; AVX2, Zen 3). */
enum { HIDE_CLASSES = VF_LANES > 1 ? 16 : INT32_MAX };

/* Classes from which on exponentials are relative to guesses of the maxima: more than a tile holds of the least positions.
   In tiles, too, where there are still fewer positions, since sums have other bits by a guess. */
enum {
    LEAST_POSITIONS = VF_LANES > 1 ? HIDING_TILE_LEAST : TILE_LEAST,
    GUESS_CLASSES = SMALL_TILE_SIZE / LEAST_POSITIONS + 1
};

_Static_assert(SMALL_TILE_SIZE / VF_LANES / (GUESS_CLASSES - 1) * VF_LANES >= LEAST_POSITIONS, "blocks have guesses");

/* The places of a vector's targets in its tile, from that of its first class on; of what is ignored that of class 0. */
struct places {
    int32_t at[VF_LANES];
};

SOFTFOCUS_INLINE struct places places_of(const struct targets *targets, struct columns tile)
{
    struct places places;
    int32_t stride = (int32_t)tile.class_stride;
    for (size_t i = 0; i < VF_LANES; i++) {
        int32_t class = targets->class[i];
        places.at[i] = (class > 0 ? class : 0) * stride + (int32_t)i;
    }
    return places;
}

/* Their logits go to logit[0] to logit[VF_LANES - 1]: read as a vector some time later, which a CPU makes wait for stores of
   single numbers that are still on their way. */
SOFTFOCUS_INLINE void hide_targets(struct columns tile, size_t v, const struct targets *targets, float *logit)
{
    real *z = columns_at(tile, v, 0);
    struct places places = places_of(targets, tile);
    SOFTFOCUS_UNROLL
    for (size_t i = 0; i < VF_LANES; i++) {
        logit[i] = z[places.at[i]];
        z[places.at[i]] = MINUS_INFINITY;
    }
}

SOFTFOCUS_INLINE void set_at_targets(struct columns tile, size_t v, const struct targets *targets, vf at_target)
{
    real *z = columns_at(tile, v, 0);
    struct places places = places_of(targets, tile);
    float values[VF_LANES];
    vf_store(values, at_target);
    SOFTFOCUS_UNROLL
    for (size_t i = 0; i < VF_LANES; i++)
        z[places.at[i]] = values[i];
}

/* The gradients but at the targets, formed in the tile. */
SOFTFOCUS_PER_BATCH void scale_in_tile(const struct columns *tile, size_t v, size_t classes, const struct targets *targets,
                                       const struct factor *factor)
{
    vm none = ignored(vi_load(targets->class)), sound = vf_equal(factor->first, factor->first);
    vf first = factor->first, second = factor->second, nan = vf_set1(ANY_NAN);
    ptrdiff_t stride = tile->class_stride;
    real *e = columns_at(*tile, v, 0);
    for (size_t k = 0; k < classes; k++, e += stride) {
        vf grad = vf_select(sound, vf_mul(vf_mul(vf_load(e), first), second), nan);
        vf_store(e, vf_select(none, vf_set1(0.0f), grad));
    }
}

/* Makes of vector v's part of a tile what gradients are formed of, and returns the factor. */
SOFTFOCUS_INLINE vf end_tile(const struct columns *tile, size_t v, size_t classes, int hidden, const struct targets *targets,
                             const struct focal *result)
{
    vf one = vf_set1(1.0f), factor = result->factor.first;
    vm ordinary = vm_and(vf_equal(result->factor.second, one), vf_equal(factor, factor));
    if (!vm_all(ordinary) || (hidden && vm_any(vf_less(one, factor)))) {
        scale_in_tile(tile, v, classes, targets, &result->factor);
        factor = one;
    }
    if (hidden)
        set_at_targets(*tile, v, targets,
                       vf_select(ignored(vi_load(targets->class)), vf_set1(0.0f), result->at_target));
    return factor;
}

/* Gradients from what end_tile leaves in a hiding tile. */
SOFTFOCUS_INLINE vf finish_hidden(const void *opaque, vf x, vf none, size_t class, size_t v, enum form form)
{
    const union column_end *sums = opaque;
    (void)none, (void)class, (void)form;
    return vf_min(x, vf_mul(x, sums[v].results.factor.first));
}

/* The same in any other tile, which has e_j. */
SOFTFOCUS_INLINE vf finish_seen(const void *opaque, vf x, vf none, size_t class, size_t v, enum form form)
{
    const struct column_results *results = &((const union column_end *)opaque)[v].results;
    (void)none, (void)form;
    return vf_select(vi_equal(vi_load(results->targets.class), class_number(class)), results->at_target,
                     vf_mul(x, results->factor.first));
}

/* Gradients from z_j of a block. */
SOFTFOCUS_INLINE vf finish_block(const void *opaque, vf x, vf none, size_t class, size_t v, enum form form)
{
    const struct block_sums *sums = opaque;
    (void)none, (void)form;
    const struct column_results *results = &sums->of[v].results;
    vi target = vi_load(results->targets.class);
    vf e = exp_based(x, sums->vectors[v].of.base, 1);
    vf grad = vf_mul(vf_mul(e, results->factor.first), results->factor.second);
    grad = vf_select(vi_equal(target, class_number(class)), results->at_target, grad);
    return vf_select(ignored(target), vf_set1(0.0f), grad);
}

SOFTFOCUS_INLINE vf finish_column(const void *opaque, vf x, vf none, size_t class, size_t v, enum form form)
{
    if (form == BLOCKS)
        return finish_block(opaque, x, none, class, v, form);
    return form == TILE ? finish_seen(opaque, x, none, class, v, form) : finish_hidden(opaque, x, none, class, v, form);
}

SOFTFOCUS_INLINE void guess_maxima(struct columns_state *state, const struct batch *batch, const struct block *block)
{
    for (size_t v = 0; v < batch->vectors && state->guesses; v++)
        vf_store(state->of[v].guess, guess_of_max(block, v));
}

/* The passes, functions of their own, so that each has all registers. In tiles: */
SOFTFOCUS_SHARED void find_column_peaks(struct columns_state *state, const struct batch *batch, const struct block *block)
{
    int hidden = block->form == HIDING_TILE;
    if (block->first == 0) {
        guess_maxima(state, batch, block);
        state->tile = block->in;
        state->hidden = hidden;
        for (size_t v = 0; v < batch->vectors && hidden; v++)
            hide_targets(block->in, v, &state->of[v].targets, state->of[v].target_logit);
    }
    struct block in = *block; /* copies: no store may change them behind the compiler's back */
    struct column_vector *of = state->of;
    size_t vectors = batch->vectors;
    for (size_t v = 0; v < vectors; v++) {
        struct column_vector *vector = &of[v];
        vf max = vf_load(vector->max);
        if (hidden)
            max = vf_max(vf_load(vector->target_logit), max);
        columns_max(&in, v, &max);
        vf_store(vector->max, max);
    }
    if (block->first + block->classes == state->args->shape.classes)
        for (size_t v = 0; v < batch->vectors && state->guesses; v++)
            (void)mend_guess_of(&state->of[v]);
}

SOFTFOCUS_INLINE void sum_columns(struct columns_state *state, const struct batch *batch, const struct block *block,
                                  int hidden, int keeps, column_result *result)
{
    /* Copies: no store may change them behind the compiler's back. */
    struct exchange exchange = *block->exchange;
    struct block in = *block;
    int guesses = state->guesses;
    for (size_t v = 0; v < batch->vectors; v++) {
        struct column_vector *vector = &state->of[v];
        struct column_hole hole = {hidden ? HIDDEN : TARGET,
                                   hidden ? vi_set1(INT32_MAX) : vi_load(vector->targets.class)};
        struct column_found found = {vf_set1(0.0f), vf_load(vector->target_logit)};
        columns_sum_exp(&in, v, hole, near_max(state, v), guesses, keeps, result, &exchange, &vector->rest, &found);
        vf_store(vector->target_logit, found.logit);
    }
    *block->exchange = exchange;
}

SOFTFOCUS_REGIME void sum_hidden(struct columns_state *state, const struct batch *batch, const struct block *block)
{
    sum_columns(state, batch, block, 1, 1, finish_hidden);
}

SOFTFOCUS_REGIME void sum_seen(struct columns_state *state, const struct batch *batch, const struct block *block)
{
    sum_columns(state, batch, block, 0, state->args->grad.data != NULL, finish_seen);
}

/* By blocks, beside which there is nothing to exchange. */
SOFTFOCUS_REGIME void sum_block(struct columns_state *state, const struct batch *batch, const struct block *block,
                                size_t pass)
{
    struct exchange nothing = {.classes = 0};
    if (pass == 0 && block->first == 0) {
        guess_maxima(state, batch, block);
        state->tile = (struct columns){NULL, 0, 0};
    }
    for (size_t v = 0; v < batch->vectors; v++) {
        struct column_vector *vector = &state->of[v];
        struct column_hole hole = {SOUGHT, vi_load(vector->targets.class)};
        struct column_found found = {vf_load(vector->max), vf_load(vector->target_logit)};
        if (pass > 0 && !state->again[v])
            continue;
        columns_sum_exp(block, v, hole, vf_load(vector->guess), 1, 0, finish_block, &nothing, &vector->rest, &found);
        vf_store(vector->max, found.max);
        vf_store(vector->target_logit, found.logit);
    }
}

SOFTFOCUS_INLINE void take_columns(void *opaque, const struct batch *batch, const struct block *block, size_t pass)
{
    struct columns_state *state = opaque;
    if (block->form == BLOCKS)
        sum_block(state, batch, block, pass);
    else if (pass == 0)
        find_column_peaks(state, batch, block);
    else if (block->form == HIDING_TILE)
        sum_hidden(state, batch, block);
    else
        sum_seen(state, batch, block);
}

SOFTFOCUS_INLINE int is_enough(void *opaque, const struct batch *batch)
{
    struct columns_state *state = opaque;
    int again = 0;
    if (state->tile.data) /* of a tile the first pass has no sums */
        return 0;
    for (size_t v = 0; v < batch->vectors; v++) {
        state->again[v] = (unsigned char)mend_guess_of(&state->of[v]);
        again |= state->again[v];
    }
    return !again;
}

/* The first step of end_columns. `guesses` is a constant. */
SOFTFOCUS_INLINE void end_sums(struct columns_state *state, union column_end *done, const struct batch *batch, int guesses)
{
    for (size_t v = 0; v < batch->vectors; v++) {
        struct column_vector *vector = &state->of[v];
        vf max = vf_load(vector->max), near = guesses ? vf_load(vector->guess) : max;
        vd unit = guesses ? exp_unit_from(max, near) : exp_unit(max);
        vector->of.unit = unit;
        vector->rest = rest_of(max, vector->rest, unit, vd_set1(0.0));
        done[v].parts.target_exp =
            focal_target_exp(max, vf_load(vector->target_logit), exp_base_of(near, 1, guesses, EXP_FACTORS), unit);
    }
}

SOFTFOCUS_SHARED void end_columns(void *opaque, void *sums, const struct batch *batch)
{
    struct columns_state *state = opaque;
    struct columns tile = state->tile;
    union column_end *done = tile.data ? sums : ((struct block_sums *)sums)->of;
    int guesses = state->guesses;
    /* Step by step, as one vector after the other is a chain of which a CPU overlaps hardly two: 1.1 to 1.2 times as fast at
       2 to 8 classes. What a step leaves lies where results will: there is no room for it beside them. */
    if (guesses)
        end_sums(state, done, batch, 1);
    else
        end_sums(state, done, batch, 0);
    for (size_t v = 0; v < batch->vectors; v++) {
        const struct column_vector *vector = &state->of[v];
        struct focal_parts *parts = &done[v].parts;
        parts->nll = focal_nll(vf_load(vector->max), vf_load(vector->target_logit), vector->rest, parts->target_exp);
    }
    /* Copies: no store may change them behind the compiler's back. */
    const struct softfocus_softmax_focal_args *args = state->args;
    struct batch own = *batch;
    struct column_vector *of = state->of;
    double *losses = state->losses;
    size_t classes = args->shape.classes;
    int hidden = state->hidden, mends = tile.data && args->grad.data;
    state->has_nan = 0;
    for (size_t v = 0; v < own.vectors; v++) {
        struct column_vector *vector = &of[v];
        struct focal_parts parts = done[v].parts;
        struct focal result = focal_end(args, &vector->targets, vector->rest, vector->of.unit, &parts);
        vd_store(losses + v * VF_LANES, result.loss);
        keep_losses(args, own.position + v * VF_LANES, batch_lanes(&own, v), result.loss);
        if (mends) {
            result.factor.first = end_tile(&tile, v, classes, hidden, &vector->targets, &result);
        } else if (!tile.data) {
            vector->of.base = exp_base_of(vf_load(vector->guess), 1, 1, EXP_FACTORS);
            state->has_nan |= !vm_all(vf_equal(result.factor.first, result.factor.first));
        }
        done[v].results = (struct column_results){vector->targets, result.factor, result.at_target};
    }
    add_losses(&state->sums, losses + own.repeated, own.position + own.repeated, own.count - own.repeated);
}

SOFTFOCUS_SELDOM void exchange_all(struct exchange exchange)
{
    if (exchange.form == HIDING_TILE)
        exchange_rest(exchange, 0, finish_hidden);
    else
        exchange_rest(exchange, 0, finish_seen);
}

SOFTFOCUS_SHARED void give_all(struct exchange exchange)
{
    if (exchange.form == HIDING_TILE)
        give_tile(exchange, 0, finish_hidden);
    else
        give_tile(exchange, 0, finish_seen);
}

SOFTFOCUS_PER_BATCH void store_all(struct block_results results) { block_store(results, 0, 1, finish_column); }

/* What finish_block has made of NaN; gradients at targets are ANY_NAN already. */
SOFTFOCUS_INLINE void amend_columns(const void *opaque, const void *sums, const struct column_tensors *tensors,
                                    const struct batch *batch)
{
    const struct columns_state *state = opaque;
    const struct block_sums *blocks = sums; /* where has_nan */
    for (size_t v = 0; __builtin_expect(state->has_nan, 0) && tensors->out.data && v < batch->vectors; v++) {
        const struct column_results *results = &blocks->of[v].results;
        amend_results(tensors, batch, v, results->factor.first, results->targets.class);
    }
}

union columns_memory {
    struct {
        real tiles[2][SMALL_TILE_SIZE + TILE_SLACK];
        struct column_vector of[SMALL_BATCH_VECTORS];
        union column_end sums[2][SMALL_BATCH_VECTORS];
        double losses[SMALL_TILE_WIDTH];
    } tiled;
    struct {
        real tiles[2][PART_TILE];
        struct column_vector of[WIDE_BATCH_VECTORS];
        union column_end sums[WIDE_BATCH_VECTORS];
        double losses[WIDE_WIDTH];
    } wide;
};

_Static_assert(sizeof(((union columns_memory *)NULL)->wide) <= sizeof(((union columns_memory *)NULL)->tiled),
               "wide batches fit in the place of tiles");

SOFTFOCUS_REGIME void columns(const struct softfocus_softmax_focal_args *args, const struct softfocus_chunks *chunks,
                              size_t first, size_t past, double *sums_of_chunks)
{
    static const struct column_kernel kernel = {.passes = 2,
                                                .two = 0,
                                                .hides_from = HIDE_CLASSES,
                                                .blocks_from = GUESS_CLASSES,
                                                .sum_size = sizeof(union column_end),
                                                .begin = begin_columns,
                                                .take = take_columns,
                                                .is_enough = is_enough,
                                                .end = end_columns,
                                                .exchange_all = exchange_all,
                                                .give_all = give_all,
                                                .store_all = store_all,
                                                .amend = amend_columns};
    struct column_tensors tensors = {args->shape, args->logits, {NULL, 0, 0, 0}, args->grad,
                                     streams_to(&args->shape, args->logits, args->grad)};
    _Alignas(64) union columns_memory memory;
    struct columns_state state = {.args = args,
                                  .sums = {.chunks = chunks, .to = sums_of_chunks},
                                  .of = memory.tiled.of,
                                  .losses = memory.tiled.losses,
                                  .guesses = args->shape.classes >= GUESS_CLASSES};
    struct block_sums blocks = {memory.tiled.sums[0], memory.tiled.of};
    struct column_room room = {&state, {memory.tiled.sums[0], memory.tiled.sums[1]},
                               {memory.tiled.tiles[0], memory.tiled.tiles[1]}, SMALL_TILE_SIZE, SMALL_TILE_WIDTH, 0};
    int tiles = works_in_tiles(&tensors, &room, &kernel);
    if (!tiles && are_planes(&tensors)) {
        state.of = memory.wide.of;
        state.losses = memory.wide.losses;
        blocks = (struct block_sums){memory.wide.sums, memory.wide.of};
        room = (struct column_room){&state, {&blocks, &blocks},
                                    {memory.wide.tiles[0], memory.wide.tiles[1]}, SMALL_TILE_SIZE, WIDE_WIDTH, 1};
    } else if (!tiles) {
        room.sums[0] = room.sums[1] = &blocks;
    }
    begin_chunk(&state.sums, first);
    for_columns(&tensors, chunk_begin(chunks, first), chunk_begin(chunks, past), &kernel, &room);
}

SOFTFOCUS_INLINE double chunk_along_rows(const struct softfocus_softmax_focal_args *args, size_t begin, size_t end)
{
    if (SHORT_ROW == 0 || args->shape.classes > SHORT_ROW || args->share)
        return rows(args, begin, end);
    if ((int)STREAM_LEAST <= (int)SHORT_ROW && streams_gradient(args))
        return short_rows_past_caches(args, begin, end);
    return short_rows(args, begin, end);
}

SOFTFOCUS_INLINE void along_rows(const struct softfocus_softmax_focal_args *args, const struct softfocus_chunks *chunks,
                                 size_t first, size_t past, double *sums)
{
    for (size_t chunk = first; chunk < past; chunk++)
        *sums++ = chunk_along_rows(args, chunk_begin(chunks, chunk), chunk_begin(chunks, chunk + 1));
}

void SOFTFOCUS_INSTANCE(softmax_focal_loss)(const struct softfocus_softmax_focal_args *args,
                                            const struct softfocus_chunks *chunks, size_t first, size_t past, double *sums)
{
    struct softfocus_softmax_focal_args losses = *args, gradients = *args;
    if (args->logits.class_stride != 1 || (args->shape.classes <= FEW_CLASSES && !args->share)) {
        columns(args, chunks, first, past, sums);
    } else if (!args->grad.data || args->grad.class_stride == 1) {
        along_rows(args, chunks, first, past, sums);
    } else { /* rows, and gradients that are none: losses have the bits that they have without gradients */
        losses.grad.data = NULL;
        gradients.focal.loss = NULL;
        columns(&gradients, chunks, first, past, sums);
        along_rows(&losses, chunks, first, past, sums);
    }
}
