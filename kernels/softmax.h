/* The sums that log-softmax and the softmax losses share, over a row of contiguous classes or over columns.
 *
 * Both need, per position, m = max z and the sum of exp(z_j - m) *without one class*: the argmax for log-softmax, the
 * target for the losses. That class's term is known (1, or exp(z_t - m)) and adding it last keeps the digits of a sum that
 * is far below it: with p near 1 they are the whole result.
 * Sums are formed of two or four vectors in float, then in double: within 0.6 or 1.2 ulp of the sum of the terms for rows
 * of any length, where a chain of floats loses hundreds. They are scaled by 2^60, as exp_scaled's results are. */
#ifndef SOFTFOCUS_SOFTMAX_H
#define SOFTFOCUS_SOFTMAX_H

#include "kernels/math.h"
#include "kernels/positions.h"

#define MINUS_INFINITY (-__builtin_inff())

enum {
    GROUP = 4 * VF_LANES, /* elements of a tree of four vectors */
    SHORT_ROW = VF_LANES >= 16 ? 2 * GROUP : 0 /* see row_sum_form */
};

SOFTFOCUS_INLINE vf add4(vf a, vf b, vf c, vf d) { return vf_add(vf_add(a, b), vf_add(c, d)); }
/* How a sum is formed from four vectors. A constant. */
enum precision {
    SUM_FOURS, /* in float, then in double: 1.0 ulp besides the terms' own error */
    SUM_PAIRS  /* in double from pairs on: 0.5 ulp, 4 to 8 % slower. For the losses, where easy rows have the sum's error
                  gamma + 1 times (with SUM_FOURS, 15.2 ulp of 14 at gamma 5) */
};

SOFTFOCUS_INLINE vd sum4(const vf part[4], enum precision precision)
{
    vf low = vf_add(part[0], part[1]), high = vf_add(part[2], part[3]);
    return precision == SUM_FOURS ? vd_widen(vf_add(low, high)) : vd_add(vd_widen(low), vd_widen(high));
}

SOFTFOCUS_INLINE vf max4(vf a, vf b, vf c, vf d) { return vf_max(vf_max(a, b), vf_max(c, d)); }

/* ---- Rows ---------------------------------------------------------------------------------------------------------
 *
 * How many rows are worked on before their results are written: as many as fit the L1 cache with their outputs (the
 * second read hits it), at most one per lane (the work per position, in vectors across rows, is shared by them). */
SOFTFOCUS_INLINE size_t rows_per_batch(size_t classes)
{
    size_t fit = 32768 / (2 * sizeof(real)) / classes;
    return fit < 1 ? 1 : smaller(fit, VF_LANES);
}

/* Part of a row: elements from i on, where there are fewer than a vector, -inf past the end. */
SOFTFOCUS_INLINE vf row_load(const real *z, size_t classes, size_t i)
{
    if (i + VF_LANES <= classes)
        return vf_load(z + i);
    return vf_load_part(z + i, i < classes ? classes - i : 0, vf_set1(MINUS_INFINITY));
}

SOFTFOCUS_INLINE float row_max(const real *z, size_t classes)
{
    vf m[4] = {vf_set1(MINUS_INFINITY), vf_set1(MINUS_INFINITY), vf_set1(MINUS_INFINITY), vf_set1(MINUS_INFINITY)};
    size_t i = 0;
    for (; i + GROUP <= classes; i += GROUP)
        for (size_t v = 0; v < 4; v++)
            m[v] = vf_max(m[v], vf_load(z + i + v * VF_LANES));
    for (; i < classes; i += VF_LANES)
        m[0] = vf_max(m[0], row_load(z, classes, i));
    return vf_reduce_max(max4(m[0], m[1], m[2], m[3]));
}

/* The maximum goes to *max; returned is the first element of the group that holds it. Per lane only the group of the best is
   tracked, which costs two operations in four vectors. NaN is never the maximum (a group with NaN may be passed over whole:
   the sums become NaN in any case); where nothing exceeds -inf, *max is -inf and the group the first. */
SOFTFOCUS_INLINE size_t row_max_group(const real *z, size_t classes, float *max)
{
    vf best = vf_set1(MINUS_INFINITY);
    vi best_group = vi_set1(0), group = vi_set1(0);
    for (size_t i = 0; i < classes; i += GROUP) {
        vf m = i + GROUP <= classes
                   ? max4(vf_load(z + i), vf_load(z + i + VF_LANES), vf_load(z + i + 2 * VF_LANES),
                          vf_load(z + i + 3 * VF_LANES))
                   : max4(row_load(z, classes, i), row_load(z, classes, i + VF_LANES),
                          row_load(z, classes, i + 2 * VF_LANES), row_load(z, classes, i + 3 * VF_LANES));
        vm better = vf_less(best, m);
        best = vf_select(better, m, best);
        best_group = vi_select(better, group, best_group);
        group = vi_add(group, vi_set1(1));
    }
    *max = vf_reduce_max(best);
    int32_t groups[VF_LANES];
    vi_store(groups, best_group);
    return (size_t)(uint32_t)groups[vm_first_lane(vf_equal(best, vf_set1(*max)))] * GROUP;
}

/* What the sum over a row does with the row of the output. A constant wherever it is passed. */
enum output_use {
    OUTPUT_NONE,
    OUTPUT_STORE, /* every 2^60 exp(z_j - m) goes there */
    OUTPUT_FETCH  /* fetched into the cache for a later sweep to write: its misses are hidden behind the arithmetic (15 % of
                     log-softmax where rows come from the L2 or L3 cache) */
};

/* Fetches what vector v of the group at element i will become. */
SOFTFOCUS_INLINE void row_fetch(const real *out, size_t i, size_t v, enum output_use use)
{
    if (use == OUTPUT_FETCH && v * VF_LANES % FETCH_STEP == 0)
        __builtin_prefetch(out + i + v * VF_LANES, 1);
}

/* What a sum leaves out: one element. */
struct hole {
    size_t at;      /* its index, or where it is given by its value the first of its group */
    float value;
    int by_value; /* a constant. Elements equal to it are left out, and all but one counted */
};

/* Log-softmax leaves out by value, the losses by index. */
SOFTFOCUS_INLINE enum precision precision_of(int by_value) { return by_value ? SUM_FOURS : SUM_PAIRS; }

/* The sum of four vectors from element i on, fewer at the end of the row, without the hole if that is here. Past the end (and
   at -inf) exp gives 2^-125, which no sum notices: its terms add up to 1 scaled by 2^60, or to a probability near 1 that
   float rounds to 1. */
SOFTFOCUS_INLINE vd row_group(const real *z, size_t classes, size_t i, struct hole hole, struct exp_reference ref, int far,
                              real *out, enum output_use use, size_t *equal)
{
    vf part[4];
    for (size_t v = 0; v < 4; v++) {
        size_t at = i + v * VF_LANES;
        part[v] = vf_set1(0.0f);
        if (at >= classes)
            continue;
        vf x = row_load(z, classes, at), e = exp_scaled(x, ref, far);
        if (use == OUTPUT_STORE)
            vf_store_part(out + at, e, smaller(VF_LANES, classes - at));
        row_fetch(out, i, v, use);
        vm here = hole.by_value ? vf_equal(x, vf_set1(hole.value))
                                : vi_equal(vi_lane_numbers(), vi_set1((int32_t)(hole.at - at)));
        part[v] = vf_select(here, part[v], e);
        if (hole.by_value)
            *equal += vm_count(here);
    }
    return sum4(part, precision_of(hole.by_value));
}

/* `count` whole groups without a hole: the hot loop. After the one at `end` comes that at 0. */
SOFTFOCUS_INLINE vd row_groups(const real *z, size_t i, size_t end, size_t count, struct exp_reference ref, int far,
                               real *out, enum output_use use, enum precision precision, vd sum)
{
    for (; count > 0; count--) {
        vf part[4];
        for (size_t v = 0; v < 4; v++) {
            part[v] = exp_scaled(vf_load(z + i + v * VF_LANES), ref, far);
            if (use == OUTPUT_STORE)
                vf_store(out + i + v * VF_LANES, part[v]);
            row_fetch(out, i, v, use);
        }
        sum = vd_add(sum, sum4(part, precision));
        i = i == end ? 0 : i + GROUP;
    }
    return sum;
}

/* Only the group that has the hole looks for it, and the others follow it round the row: two loops, before and after it, would
   end where no branch predictor foresees. In a short row of wide vectors each group looks, which costs less still (by
   measurement: a gain of 10 % with two groups of AVX-512, a loss from three on and with fewer lanes). */
SOFTFOCUS_INLINE double row_sum_form(const real *z, size_t classes, struct hole hole, struct exp_reference ref, int far,
                                     real *out, enum output_use use)
{
    vd sum = vd_set1(0.0);
    size_t i = 0, equal = 0;
    if (classes > SHORT_ROW) {
        size_t groups = classes / GROUP, first = hole.at - hole.at % GROUP;
        i = groups * GROUP;
        if (first < i) {
            sum = row_group(z, i, first, hole, ref, far, out, use, &equal);
            groups--;
        }
        size_t next = first + GROUP < i ? first + GROUP : 0;
        sum = row_groups(z, next, i - GROUP, groups, ref, far, out, use, precision_of(hole.by_value), sum);
    }
    for (; i < classes; i += GROUP)
        sum = vd_add(sum, row_group(z, classes, i, hole, ref, far, out, use, &equal));
    double again = hole.by_value ? (double)(equal - 1) : 0.0;
    return vd_reduce_add(sum) + again * (double)EXP_SCALE;
}

/* 2^60 sum of exp(z_j - m) over j but the hole. `out` is the output's row, and may be z. */
SOFTFOCUS_INLINE double row_sum_exp(const real *z, size_t classes, struct hole hole, float m, real *out,
                                    enum output_use use)
{
    struct exp_reference ref = exp_reference(vf_set1(m));
    return exp_is_far(ref) ? row_sum_form(z, classes, hole, ref, 1, out, use)
                           : row_sum_form(z, classes, hole, ref, 0, out, use);
}

/* ---- Columns ----------------------------------------------------------------------------------------------------- */

SOFTFOCUS_INLINE vi class_number(size_t class) { return vi_set1((int32_t)(uint32_t)class); }

/* What a sum leaves out in each lane: a class by its number, or all elements of a value, of which it counts all but one. */
struct column_hole {
    vi class;
    vf value;
    int by_value; /* a constant */
};

/* A count below 2^32, from 32 bits. */
SOFTFOCUS_INLINE vf unsigned_float(vi count)
{
    vf a = vf_from_int(count);
    return vf_select(vf_less(a, vf_set1(0.0f)), vf_add(a, vf_set1(0x1p32f)), a);
}

/* The sum over up to four classes; `equal` counts. */
SOFTFOCUS_INLINE vd columns_group(struct columns z, size_t class, size_t n, struct column_hole hole,
                                  struct exp_reference ref, int far, const struct columns *e, vi *equal)
{
    vf part[4];
    for (size_t c = 0; c < 4; c++) {
        part[c] = vf_set1(0.0f);
        if (c >= n)
            continue;
        vf x = columns_load(z, class + c), term = exp_scaled(x, ref, far);
        if (e)
            columns_store(*e, class + c, term);
        vm here = hole.by_value ? vf_equal(x, hole.value) : vi_equal(hole.class, class_number(class + c));
        part[c] = vf_select(here, vf_set1(0.0f), term);
        if (hole.by_value)
            *equal = vi_increment(here, *equal);
    }
    return sum4(part, precision_of(hole.by_value));
}

SOFTFOCUS_INLINE vd columns_sum_form(struct columns z, size_t classes, struct column_hole hole, struct exp_reference ref,
                                     int far, const struct columns *e)
{
    vd sum = vd_set1(0.0);
    vi equal = vi_set1(-1);
    size_t class = 0;
    for (; class + 4 <= classes; class += 4)
        sum = vd_add(sum, columns_group(z, class, 4, hole, ref, far, e, &equal));
    if (class < classes)
        sum = vd_add(sum, columns_group(z, class, classes - class, hole, ref, far, e, &equal));
    return hole.by_value ? vd_add(sum, vd_widen(vf_mul(unsigned_float(equal), vf_set1(EXP_SCALE)))) : sum;
}

/* As row_sum_exp, for the positions of vector v. Outside a tile memory is what counts, and the far form does for all. */
SOFTFOCUS_INLINE vd columns_sum_exp(const struct batch *batch, size_t v, size_t classes, struct column_hole hole, vf m,
                                    const struct columns *e)
{
    struct columns z = columns_of(batch->in, batch, v);
    struct exp_reference ref = exp_reference(m);
    return !is_tile(batch) || exp_is_far(ref) ? columns_sum_form(z, classes, hole, ref, 1, e)
                                              : columns_sum_form(z, classes, hole, ref, 0, e);
}

/* The regime of a call: vectors along the classes where every tensor's classes are contiguous and there are enough of
   them; else a position per lane. Up to this many the work across lanes, per row, costs more than transposing: measured by
   timing both at 8 to 128 classes (Zen 4; equal at 56 with AVX-512, at 64 to 91 with AVX2, at 16 to 48 with SSE). */
enum { FEW_CLASSES = VF_LANES >= 16 ? 48 : VF_LANES >= 8 ? 64 : VF_LANES > 1 ? 24 : 0 };

#endif
