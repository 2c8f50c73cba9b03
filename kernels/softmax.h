/* The sums that log-softmax and the softmax losses share, over a row of contiguous classes or over columns.
 *
 * Both need, per position, m = max z and the sum of exp(z_j - m) *without one class*: the argmax for log-softmax, the
 * target for the losses. That class's term is known (1, or exp(z_t - m)) and adding it last keeps the digits of a sum that
 * is far below it: with p near 1 they are the whole result.
 * Sums are of exp_based's results: exp_unit makes them those of exp(z - m). They are formed in double but for a few
 * roundings, the same for rows of any length, where a chain of floats loses hundreds of ulp: see add_group. */
#ifndef SOFTFOCUS_SOFTMAX_H
#define SOFTFOCUS_SOFTMAX_H

#include "kernels/math.h"
#include "kernels/tiles.h"

enum {
    GROUP = 4 * VF_LANES, /* elements of a tree of four vectors */
    SHORT_VECTORS = VF_TABLE_BITS ? 128 / VF_LANES : 2, /* 2: of no use, but small */
    SHORT_ROW = VF_TABLE_BITS ? 128 : 0, /* elements up to which a row is short: where there is a table */
    COLUMNS_SPLIT = VF_LANES >= 16 /* see add_group: 1.03 to 1.1 times as fast; with 16 registers 0.9 to 1.15 */
};

SOFTFOCUS_INLINE vf add4(vf a, vf b, vf c, vf d) { return vf_add(vf_add(a, b), vf_add(c, d)); }

/* ---- Sums of exp_based, four vectors at a time
 *
 * A term is scale + scale * quotient. Where scales come from a table, quotients are at most 0.034 (0.048 with eight
 * entries). Then scales are added by themselves, in float up to four and in double from there on: two roundings of 2^-24 at
 * most, and none of the terms. What they leave out, the sum of the products, is so much smaller that floats do for a while,
 * an FMA for each: n of them in one float err by (n / 2) 0.034 2^-24 at most, 0.27 2^-24 (0.38) until they are settled. Four
 * vectors of 16 take 58 operations so, exp's included; with terms added as pairs in float, then in double, which makes two
 * roundings as well, they take 64 (rows of 1000 classes and more: 1.05 to 1.09 times as fast with AVX-512, 1.03 to 1.18 with
 * AVX2). Pairs remain where there is no table, and where too little is added up to be worth settling. In float up to four,
 * terms would have three roundings, their own and two: too many for log-softmax where one element is most of the sum (3.2
 * ulp of 3), and easy rows have the sum's error gamma + 1 times in the losses (15.2 ulp of 14 at gamma 5). */
struct exp_sum {
    vd sum;
    vf rest[2]; /* products still to be added */
};

enum { SETTLE_GROUPS = 8 }; /* after so many, 16 products in each lane */

/* Where the two floats of products begin: at 0, but those of addends that are not cut (EXP_ADDENDS_DEPTH) at 2^-100 and
   -2^-100, which cancel in the end. Added to 0, products of what is too far down would be subnormal. What a float result
   shows is 2^-89 or more, in units. */
#define FIRST_REST(use) ((use) == EXP_ADDENDS && !EXP_CUTS_ADDENDS ? 0x1p-100f : 0.0f)

SOFTFOCUS_INLINE struct exp_sum no_terms(vd sum, enum exp_use use)
{
    return (struct exp_sum){sum, {vf_set1(FIRST_REST(use)), vf_set1(0.0f - FIRST_REST(use))}};
}

/* Of four vectors: what there is of each. */
struct exp_group {
    vf e[4];
    vf scale[4], quotient[4]; /* where there is a table */
};

SOFTFOCUS_INLINE void set_term(struct exp_group *group, size_t v, vf z, struct exp_base base, int far, enum exp_use use)
{
    struct exp_terms terms = exp_terms(z, base, far, use);
    group->e[v] = exp_of_terms(terms);
    if (VF_TABLE_BITS) {
        group->scale[v] = terms.scale;
        group->quotient[v] = terms.quotient;
    }
}

/* 0, where there is nothing. */
SOFTFOCUS_INLINE void set_no_term(struct exp_group *group, size_t v)
{
    group->e[v] = vf_set1(0.0f);
    if (VF_TABLE_BITS)
        group->scale[v] = group->quotient[v] = vf_set1(0.0f);
}

SOFTFOCUS_INLINE void leave_out(struct exp_group *group, size_t v, vm lanes)
{
    group->e[v] = vf_select(lanes, vf_set1(0.0f), group->e[v]);
    if (VF_TABLE_BITS)
        group->scale[v] = vf_select(lanes, vf_set1(0.0f), group->scale[v]);
}

/* Of what is added by itself: vector v's products, */
SOFTFOCUS_INLINE void add_products(struct exp_sum *sum, const struct exp_group *group, size_t v)
{
    sum->rest[v % 2] = vf_mul_add(group->scale[v], group->quotient[v], sum->rest[v % 2]);
}

/* and all scales. */
SOFTFOCUS_INLINE void add_scales(struct exp_sum *sum, const struct exp_group *group)
{
    const vf *scale = group->scale;
    sum->sum = vd_add(sum->sum, vd_widen(add4(scale[0], scale[1], scale[2], scale[3])));
}

/* With `splits` (a constant, of no effect without a table) scales and products are added by themselves: to be settled after
   SETTLE_GROUPS, and in the end. Else terms are. */
SOFTFOCUS_INLINE void add_group(struct exp_sum *sum, const struct exp_group *group, int splits)
{
    const vf *e = group->e;
    if (!VF_TABLE_BITS || !splits) {
        sum->sum = vd_add(sum->sum, vd_add(vd_widen(vf_add(e[0], e[1])), vd_widen(vf_add(e[2], e[3]))));
        return;
    }
    add_scales(sum, group);
    SOFTFOCUS_UNROLL_SHORT
    for (size_t v = 0; v < 4; v++)
        add_products(sum, group, v);
}

/* With the same `splits`. */
SOFTFOCUS_INLINE void settle(struct exp_sum *sum, int splits, enum exp_use use)
{
    if (VF_TABLE_BITS && splits)
        *sum = no_terms(vd_add(sum->sum, vd_widen(vf_add(sum->rest[0], sum->rest[1]))), use);
}

SOFTFOCUS_INLINE vf max4(vf a, vf b, vf c, vf d) { return vf_max(vf_max(a, b), vf_max(c, d)); }

/* Leaves out the maximum of the elements that come by, whichever that is in the end: of the largest so far and x, gives the
   smaller. No mask, no count of ties: two operations for the three of a comparison with the maximum (columns: 1.02 to 1.1
   times as fast). By the order of the operands NaN is what is given, unless *largest begins with it. `again` is x, perhaps
   loaded once more: what comes after it waits for *largest, for which gcc, short of registers, had x go by memory (columns,
   AVX2: 0.94 to 0.97 times as fast). */
SOFTFOCUS_INLINE vf but_largest(vf *largest, vf x, vf again)
{
    vf less = vf_min(*largest, x);
    *largest = vf_max(again, *largest);
    return less;
}

/* ---- Rows ---------------------------------------------------------------------------------------------------------
 *
 * Rows are worked on in batches: the maxima of all, their sums, the work per position (in vectors across rows), the results.
 */
enum {
    /* Elements of a batch: 16 KB, so that it and its results fit an L1 cache of 32 KB (the second read hits it), or with its
       results the next one, too. Which is best where was measured (Zen 4). */
    BATCH_SIZE = 4096,
    SMALL_BATCH = 2048,

    /* Elements below which too many lines are written in two parts, with two rows, for rows to be streamed. */
    STREAM_ROW = 512,

    /* Whether a line that two rows share is written once, see begin_stream: log-softmax from memory 1.15 to 1.5 times as
       fast at 91 to 500 classes, 1.05 to 1.3 at 1000 (0.97 to 1.08 at 91 to 1000 while nobody else wants memory, in huge
       pages); with SSE 1.0 to 1.07, for some kB. */
    JOIN_ROWS = VF_LANES >= 8,

    /* Elements from which on results are written by whole cache lines: 1.05 times as fast where rows are not aligned (1000
       elements; at 80 it costs 4 %). */
    ALIGNED_ROW = 128,

    /* Elements from which on rows from memory are fetched two batches before: 1.1 to 1.3 times as fast (log-softmax; with
       AVX2 0.94 at 128, 1.05 to 1.1 at 1000). */
    FURTHER_ROW = VF_LANES >= 16 ? 128 : 512,

    /* Whether results that stay in the caches are written beside the sums of the next batch as those that stream are:
       arithmetic and the caches wait less for each other (1000 classes and more: log-softmax 1.07 to 1.15 times as fast with
       AVX-512, 1.02 to 1.1 with AVX2, loss with gradient 1.02 to 1.17; 131072 and 256000 classes 1.1 to 1.3; SSE 0.93 to
       1.04). */
    CACHED_BESIDE = VF_LANES >= 8
};

/* Whether rows lie one after the other, so that all results of a line that two of them share can be had at once. */
SOFTFOCUS_INLINE int joins_rows(const struct softfocus_shape *shape, struct softfocus_view in, struct softfocus_view out)
{
    ptrdiff_t classes = (ptrdiff_t)shape->classes;
    return JOIN_ROWS && classes >= STREAM_STEP && in.inner_stride == classes && out.inner_stride == classes;
}

/* Of a vector from element `at` of a row, which may be below 0, the lanes of the row before. */
SOFTFOCUS_INLINE vm lanes_before(ptrdiff_t at) { return vm_first(at < 0 ? smaller((size_t)-at, VF_LANES) : 0); }

/* `least`: elements from which on rows stream, where no line is written in two parts. */
SOFTFOCUS_INLINE int streams_rows_to(const struct softfocus_shape *shape, struct softfocus_view in,
                                     struct softfocus_view out, size_t least)
{
    size_t places = (uintptr_t)out.data / sizeof(real) | (size_t)out.outer_stride | (size_t)out.inner_stride;
    int own_lines = (places | shape->classes) % STREAM_STEP == 0; /* no line belongs to two rows */
    return streams_to(shape, in, out) && shape->classes >= (own_lines || joins_rows(shape, in, out) ? least : STREAM_ROW);
}

/* At least one, at most one per lane. */
SOFTFOCUS_INLINE size_t rows_per_batch(size_t classes, size_t size)
{
    size_t fit = size / classes;
    return fit < 1 ? 1 : smaller(fit, VF_LANES);
}

/* Part of a row: elements from i on, where there are fewer than a vector, -inf past the end. */
SOFTFOCUS_INLINE vf row_load(const real *z, size_t classes, size_t i)
{
    if (i + VF_LANES <= classes)
        return vf_load(z + i);
    return vf_load_part(z + i, i < classes ? classes - i : 0, vf_set1(MINUS_INFINITY));
}

/* The maximum of each lane's elements: reduced over the lanes of several rows at once. */
SOFTFOCUS_INLINE vf row_max(const real *z, size_t classes)
{
    vf m[4] = {vf_set1(MINUS_INFINITY), vf_set1(MINUS_INFINITY), vf_set1(MINUS_INFINITY), vf_set1(MINUS_INFINITY)};
    const real *groups = z + classes / GROUP * GROUP, *whole = z + classes / VF_LANES * VF_LANES;
    for (; z < groups; z += GROUP)
        SOFTFOCUS_UNROLL
        for (size_t v = 0; v < 4; v++)
            m[v] = vf_max(m[v], vf_load(z + v * VF_LANES));
    for (; z < whole; z += VF_LANES)
        m[0] = vf_max(m[0], vf_load(z));
    if (classes % VF_LANES > 0)
        m[1] = vf_max(m[1], row_load(z, classes % VF_LANES, 0));
    return max4(m[0], m[1], m[2], m[3]);
}

/* By lane: the maximum of what *best has and m, and in *best_group which group it is of. */
SOFTFOCUS_INLINE void note_max(vf m, vi group, vf *best, vi *best_group)
{
    *best_group = vi_select(vf_less(*best, m), group, *best_group);
    *best = vf_max(m, *best); /* not vf_select: the mask would be in the chain from group to group */
}

/* The same, and in *group which group each lane's maximum is in: two operations more in four vectors. NaN is the maximum on
   NEON alone (elsewhere a group with NaN may be passed over whole): sums become NaN in any case, and the group is of no use.
   Where nothing exceeds -inf, the group is the first. The last group, which may have fewer elements, by itself: 1.02 to 1.06
   times as fast (AVX2) as asking at each. */
SOFTFOCUS_INLINE vf row_max_group(const real *z, size_t classes, vi *group)
{
    vf best = vf_set1(MINUS_INFINITY);
    vi best_group = vi_set1(0), number = vi_set1(0);
    const real *whole = z + classes / GROUP * GROUP;
    size_t more = classes % GROUP;
    for (; z < whole; z += GROUP) {
        vf m = max4(vf_load(z), vf_load(z + VF_LANES), vf_load(z + 2 * VF_LANES), vf_load(z + 3 * VF_LANES));
        note_max(m, number, &best, &best_group);
        number = vi_add(number, vi_set1(1));
    }
    if (more > 0)
        note_max(max4(row_load(z, more, 0), row_load(z, more, VF_LANES), row_load(z, more, 2 * VF_LANES),
                      row_load(z, more, 3 * VF_LANES)),
                 number, &best, &best_group);
    *group = best_group;
    return best;
}

/* The first element of the group that holds the row's maximum m. */
SOFTFOCUS_INLINE size_t group_of_max(vf best, vi group, float m)
{
    int32_t groups[VF_LANES];
    vi_store(groups, group);
    return (size_t)(uint32_t)groups[vm_first_lane(vf_equal(best, vf_set1(m)))] * GROUP;
}

/* The maxima, or the sums, of a batch's first `count` rows. Few are faster one by one. */
enum { FEW_ROWS = 4 };

SOFTFOCUS_INLINE vf reduce_max_rows(vf rows[VF_LANES], size_t count)
{
    if (count <= FEW_ROWS) {
        float max[VF_LANES] = {0};
        for (size_t r = 0; r < count; r++)
            max[r] = vf_reduce_max(rows[r]);
        return vf_load(max);
    }
    for (size_t r = count; r < VF_LANES; r++)
        rows[r] = vf_set1(0.0f);
    return vf_reduce_max_rows(rows);
}

SOFTFOCUS_INLINE vd reduce_add_rows(vd rows[VF_LANES], size_t count)
{
    if (count <= FEW_ROWS) {
        double sum[VF_LANES] = {0};
        for (size_t r = 0; r < count; r++)
            sum[r] = vd_reduce_add(rows[r]);
        return vd_load(sum);
    }
    for (size_t r = count; r < VF_LANES; r++)
        rows[r] = vd_set1(0.0);
    return vd_reduce_add_rows(rows);
}

/* The maxima of a batch of rows, and what follows from them: found for all rows at once, since a row by itself is a chain.
 */
struct maxima {
    vf best[VF_LANES];   /* by lane, of each row */
    vf max;              /* by row */
    vd unit;
    float m[VF_LANES], floor[VF_LANES], round[VF_LANES]; /* m and its exp_base, not far, of each row */
};

/* From `best` of the first `count` rows. */
SOFTFOCUS_INLINE void set_maxima(struct maxima *maxima, size_t count)
{
    maxima->max = reduce_max_rows(maxima->best, count);
    maxima->unit = exp_unit(maxima->max);
    struct exp_base base = exp_base(maxima->max, 0, EXP_FACTORS);
    vf_store(maxima->m, maxima->max);
    vf_store(maxima->floor, base.floor);
    vf_store(maxima->round, base.round);
}

/* The base of row r, which is not far. With 16 registers the constants that it is formed of had better be there: 0.9 to 1.0
   times as fast with what is stored. That is for any use: where there are 16 lanes there are masks, and one depth. */
SOFTFOCUS_INLINE struct exp_base base_of_row(const struct maxima *maxima, size_t r, enum exp_use use)
{
    if (VF_LANES < 16)
        return exp_base(vf_set1(maxima->m[r]), 0, use);
    return (struct exp_base){vf_set1(0.0f), vf_set1(maxima->floor[r]), vf_set1(maxima->round[r])};
}

/* The sum of exp(z - m), from two parts, the first in units. That of a position with +inf, or of -inf alone, becomes NaN by
   m - m. */
SOFTFOCUS_INLINE vd rest_of(vf max, vd scaled_rest, vd unit, vd more)
{
    vd m = vd_widen(max);
    return vd_mul_add(scaled_rest, unit, vd_add(more, vd_sub(m, m)));
}

/* ---- Writing a row's results, element by element, from what was left for it and two numbers of the row. */

/* The numbers of a row. */
struct row_numbers {
    vf a, b;
    vi special;        /* the number of an element with another result, as 32 bits, */
    vf special_result; /* which is this */
};

/* The rows of an outer index, or none. By value: any store of a vector may change what a call's arguments point at, for all
   that the compiler knows, so that it formed each address anew (1.02 to 1.08 times as fast at 80 and 91 classes, AVX2). */
struct rows {
    real *data;
    ptrdiff_t step; /* from row to row */
};

SOFTFOCUS_INLINE struct rows rows_at(struct softfocus_view view, size_t outer)
{
    return (struct rows){view.data ? element(view, outer, 0, 0) : NULL, view.inner_stride};
}

SOFTFOCUS_INLINE real *row_of(struct rows rows, size_t inner) { return rows.data + (ptrdiff_t)inner * rows.step; }

/* How a run of rows is worked on. */
struct row_plan {
    struct rows in, out;
    size_t classes;
    size_t begin, end, batch; /* the rows, from begin to end - 1, and how many at once */
    int streams, joins;       /* whether results go past the caches, and then by joined rows (see begin_stream) */
};

/* How far on the rows `batches` batches after that from row `inner` on are; 0 unless all are there. */
SOFTFOCUS_INLINE size_t rows_ahead(const struct row_plan *plan, size_t inner, size_t batches)
{
    return plan->end - inner >= (batches + 1) * plan->batch ? batches * plan->batch : 0;
}

/* Whether the line that the row before ends in is left to this row, and this row's to the next. */
SOFTFOCUS_INLINE int joins_before(const struct row_plan *plan, size_t inner) { return plan->joins && inner > plan->begin; }
SOFTFOCUS_INLINE int joins_next(const struct row_plan *plan, size_t inner) { return plan->joins && inner + 1 < plan->end; }

struct row_write {
    const real *from;
    real *to;
    size_t classes, done; /* of these elements, how many are written */
    int streams;          /* past the caches */
    struct row_numbers of;
    int joins_before, joins_next;
    struct row_numbers before; /* if it joins the row before, that one's, */
    const real *before_end;    /* and the end of what its results come from */
};

/* Where a batch keeps its rows' numbers: after that of the row before, and on a vector's place. */
enum { FIRST_PLACE = VF_LANES, ROW_PLACES = 2 * VF_LANES };

/* When all of a batch's `count` rows are written, the last one is the row before the next batch. */
SOFTFOCUS_INLINE void keep_last(float numbers[ROW_PLACES], size_t count)
{
    numbers[FIRST_PLACE - 1] = numbers[FIRST_PLACE + count - 1];
}

/* One vector of results, those of element i on, from one of `from`. */
typedef vf row_result(const struct row_write *write, vf x, size_t i);

SOFTFOCUS_INLINE void write_part(struct row_write *write, size_t count, row_result *result)
{
    vf x = vf_load_part(write->from + write->done, count, vf_set1(0.0f));
    vf_store_part(write->to + write->done, result(write, x, write->done), count);
    write->done += count;
}

SOFTFOCUS_INLINE vf write_vector(const struct row_write *write, size_t i, row_result *result)
{
    return result(write, vf_load(write->from + i), i);
}

SOFTFOCUS_INLINE void write_head(struct row_write *write, size_t head, row_result *result)
{
    for (; write->done + VF_LANES <= head; write->done += VF_LANES)
        vf_store(write->to + write->done, write_vector(write, write->done, result));
    if (write->done < head)
        write_part(write, head - write->done, result);
}

/* Up to the first whole line. Of a line that two rows share, one part by itself would have to go through the caches, which
   fetch the line first, while other stores wait; so it is written once, with the second row, by when both rows' numbers are
   known. */
SOFTFOCUS_INLINE void begin_stream(struct row_write *write, row_result *result)
{
    size_t classes = write->classes, head = before_line(write->to, classes);
    if (write->joins_next)
        write->classes -= (classes - head) % STREAM_STEP;
    if (head == 0)
        return;
    if (!write->joins_before) {
        write_head(write, head, result);
        return;
    }
    struct row_write before = *write;
    before.of = write->before;
    SOFTFOCUS_UNROLL_SHORT
    for (size_t v = 0; v < STREAM_STEP; v += VF_LANES) {
        ptrdiff_t at = (ptrdiff_t)(head + v) - STREAM_STEP; /* of this row's elements */
        vf theirs = result(&before, vf_load(write->before_end + at), classes + (size_t)at);
        vf ours = result(write, vf_load(write->from + at), (size_t)at);
        vf_stream(write->to + at, vf_select(lanes_before(at), theirs, ours));
    }
    write->done = head;
}

/* Up to the first cache line. */
SOFTFOCUS_INLINE void begin_write(struct row_write *write, row_result *result)
{
    if (write->streams)
        begin_stream(write, result);
    else if (write->classes >= ALIGNED_ROW)
        write_head(write, before_line(write->to, write->classes), result);
}

SOFTFOCUS_INLINE void write_group(struct row_write *write, row_result *result)
{
    vf x[4];
    SOFTFOCUS_UNROLL_SHORT
    for (size_t v = 0; v < 4; v++)
        x[v] = write_vector(write, write->done + v * VF_LANES, result);
    real *to = write->to + write->done;
    if (write->streams) {
        if (write->done % PAGE < GROUP && write->done + 2 * PAGE < write->classes) /* see fetch_pages */
            __builtin_prefetch(to + 2 * PAGE, 1, 3);
        SOFTFOCUS_UNROLL_SHORT
        for (size_t v = 0; v < 4; v++)
            vf_stream(to + v * VF_LANES, x[v]);
    } else {
        SOFTFOCUS_UNROLL_SHORT
        for (size_t v = 0; v < 4; v++)
            vf_store(to + v * VF_LANES, x[v]);
    }
    write->done += GROUP;
}

/* Beside a sum. */
SOFTFOCUS_INLINE size_t groups_to_write(const struct row_write *write)
{
    return CACHED_BESIDE || write->streams ? (write->classes - write->done) / GROUP : 0;
}

SOFTFOCUS_INLINE void write_rest(struct row_write *write, row_result *result)
{
    size_t i = write->done;
    for (; write->streams && i + VF_LANES <= write->classes; i += VF_LANES)
        vf_stream(write->to + i, write_vector(write, i, result));
    for (; i + GROUP <= write->classes; i += GROUP)
        SOFTFOCUS_UNROLL_SHORT
        for (size_t v = 0; v < GROUP; v += VF_LANES)
            vf_store(write->to + i + v, write_vector(write, i + v, result));
    for (; i + VF_LANES <= write->classes; i += VF_LANES)
        vf_store(write->to + i, write_vector(write, i, result));
    write->done = i;
    if (i < write->classes)
        write_part(write, write->classes - i, result);
}

SOFTFOCUS_INLINE void write_row(struct row_write *write, row_result *result)
{
    begin_write(write, result);
    write_rest(write, result);
}

/* A line of each page of a row's results, some time before they stream: stores past the caches to a page whose address the
   CPU has still to find hold up those after them. Of long rows the first two pages here, and each other one two pages before
   it, in the loop. From memory, log-softmax 1.1 times as fast at 91 classes and more, focal loss with gradient 1.0 to 1.1,
   backward 1.02 to 1.12. */
SOFTFOCUS_INLINE void fetch_pages(const real *row, size_t classes)
{
    size_t past = (uintptr_t)row / sizeof(real) % PAGE, end = smaller(classes, 2 * PAGE);
    for (size_t i = (PAGE - past) % PAGE; i < end; i += PAGE)
        __builtin_prefetch(row + i, 1, 3);
}

/* ---- Sums over a row */

/* What goes on beside a sum over a row. Constants: whether each of them does (`fetches`: how many), and `result`. */
struct beside {
    int keeps, fetches, writes;
    enum exp_use use;        /* of what is summed: a constant, too, where speed depends on it */
    real *keep;              /* where the exponentials go */
    const real *near, *further; /* what is wanted soon, element by element: in the L1 cache, and in L2 */
    struct row_write *write;    /* a row of results, as far as it has whole groups, of which there may be none: stores wait
                                   while there is arithmetic to do, and the other way round */
    row_result *result;      /* how */
};

/* Fetches what is wanted of vector v of the group at element i. Sums are arithmetic and leave memory idle, and the row that
   comes after a batch is further away than the CPU looks ahead. */
SOFTFOCUS_INLINE void row_fetch(const struct beside *beside, size_t i, size_t v)
{
    if (v * VF_LANES % FETCH_STEP != 0)
        return;
    if (beside->fetches > 0)
        __builtin_prefetch(beside->near + i + v * VF_LANES, 0, 3);
    if (beside->fetches > 1)
        __builtin_prefetch(beside->further + i + v * VF_LANES, 0, 2);
}

/* ---- Steps of a row that several calls share (struct softfocus_row_share); `share` is NULL most often. */

_Static_assert((int)VF_LANES <= (int)SOFTFOCUS_MOST_LANES, "a share has a place for each lane");

SOFTFOCUS_INLINE size_t first_of(const struct softfocus_row_share *share) { return share ? share->first : 0; }

SOFTFOCUS_INLINE int is_step(const struct softfocus_row_share *share, enum softfocus_step step)
{
    return share && share->step == step;
}

/* Whether what this step gives is known. */
SOFTFOCUS_INLINE int is_past(const struct softfocus_row_share *share, enum softfocus_step step)
{
    return share && share->step > step;
}

/* What a sum leaves out: one element. */
struct hole {
    size_t at; /* its index, or where it is given by its value the first of its group */
    float value;
    int by_value; /* a constant. Elements equal to it are left out, and all but one counted */
};

/* The sum of four vectors from element i on, fewer at the end of the row, without the hole if that is here. Past the end
   there is -inf, whose exp is 0, or (addends) as good as that. */
SOFTFOCUS_INLINE void row_group(const real *z, size_t classes, size_t i, struct hole hole, struct exp_base base, int far,
                                const struct beside *beside, struct exp_sum *sum, size_t *equal)
{
    struct exp_group group;
    vi offset = vi_set1((int32_t)(hole.at - i));
    SOFTFOCUS_UNROLL
    for (size_t v = 0; v < 4; v++) {
        size_t at = i + v * VF_LANES;
        set_no_term(&group, v);
        if (at >= classes)
            continue;
        vf x = row_load(z, classes, at);
        set_term(&group, v, x, base, far, beside->use);
        if (beside->keeps)
            vf_store_part(beside->keep + at, group.e[v], smaller(VF_LANES, classes - at));
        row_fetch(beside, i, v);
        vm here = hole.by_value ? vf_equal(x, vf_set1(hole.value))
                                : vi_equal(vi_add(vi_lane_numbers(), vi_set1((int32_t)(v * VF_LANES))), offset);
        leave_out(&group, v, here);
        if (hole.by_value)
            *equal += vm_count(here);
    }
    add_group(sum, &group, 0); /* what a row has beside its whole groups is too little to be worth settling */
}

/* A whole group without a hole. Products are added at once, so that no quotient is kept: rows of 1000 classes and more 1.02
   to 1.035 times as fast with AVX2 and gcc, 0.97 to 1.0 with clang. */
SOFTFOCUS_INLINE void whole_group(const real *z, size_t i, struct exp_base base, const struct beside *beside,
                                  struct exp_sum *sum)
{
    struct exp_group group;
    SOFTFOCUS_UNROLL
    for (size_t v = 0; v < 4; v++) {
        set_term(&group, v, vf_load(z + i + v * VF_LANES), base, 0, beside->use);
        if (beside->keeps)
            vf_store(beside->keep + i + v * VF_LANES, group.e[v]);
        if (VF_TABLE_BITS)
            add_products(sum, &group, v);
        row_fetch(beside, i, v);
    }
    if (VF_TABLE_BITS)
        add_scales(sum, &group);
    else
        add_group(sum, &group, 1);
}

/* `count` of them: the hot loops. The group at `skip` is passed over. `is_long`: each piece of the row has a sum of its own
   (SOFTFOCUS_ROW_PIECE), the same as if it came alone. */
SOFTFOCUS_INLINE vd whole_groups(const real *z, size_t skip, size_t count, int is_long, struct exp_base base,
                                 const struct beside *beside)
{
    const size_t piece = SOFTFOCUS_ROW_PIECE;
    struct exp_sum sum = no_terms(vd_set1(0.0), beside->use);
    struct row_write write = {.streams = 0};
    vd total = vd_set1(0.0);
    size_t i = 0, writes = 0, in_piece = piece / GROUP - (skip < piece); /* groups that are left */
    if (beside->writes) {
        write = *beside->write;
        writes = groups_to_write(&write);
    }
    while (count > 0) {
        size_t some = VF_TABLE_BITS ? smaller(count, SETTLE_GROUPS) : count, both;
        if (__builtin_expect(is_long, 0)) {
            some = smaller(some, in_piece);
            in_piece -= some;
        }
        both = smaller(some, writes);
        count -= some;
        writes -= both;
        some -= both;
        for (; both > 0; both--) {
            i = i == skip ? i + GROUP : i;
            whole_group(z, i, base, beside, &sum);
            write_group(&write, beside->result);
            i += GROUP;
        }
        for (; some > 0; some--) {
            i = i == skip ? i + GROUP : i;
            whole_group(z, i, base, beside, &sum);
            i += GROUP;
        }
        settle(&sum, 1, beside->use);
        if (__builtin_expect(is_long && in_piece == 0, 0)) {
            size_t next = (i / piece + (i % piece != 0)) * piece; /* i may be where the piece's last group was passed over */
            in_piece = piece / GROUP - (skip - next < piece);
            total = vd_add(total, sum.sum);
            sum.sum = vd_set1(0.0);
        }
    }
    if (beside->writes)
        beside->write->done = write.done;
    return is_long ? vd_add(total, sum.sum) : sum.sum;
}

/* The same sum where m is so large that exp needs its far form, for all who need it (shared.c). `keep`, `share` and `again`
 * may be NULL. */
#define row_sum_far SOFTFOCUS_INSTANCE(row_sum_far)
vd row_sum_far(const real *z, size_t classes, struct hole hole, float m, real *keep, struct softfocus_row_share *share,
               double *again);

SOFTFOCUS_INLINE int row_is_far(float m) { return !(__builtin_fabsf(m) < EXP_REACH); }

/* ---- Short rows, straight from the first vector to the last. A CPU looks some 320 instructions ahead, little more than
   such a row, and waits for the end of its chain: each instruction less counts, whatever its port (1.05 to 1.4 times as fast
   as by groups, at 60 to 91 classes; at 128 with AVX-512 the same). */

/* A vector of a short row: its scale, without lanes that are left out, while its products go to *rest. */
SOFTFOCUS_INLINE vf short_row_terms(vf x, vm out, int leaves_out, struct exp_base base, enum exp_use use, vf *rest, vf *e)
{
    struct exp_terms terms = exp_terms(x, base, 0, use);
    *e = exp_of_terms(terms);
    vf scale = leaves_out ? vf_select(out, vf_set1(0.0f), terms.scale) : terms.scale;
    *rest = vf_mul_add(scale, terms.quotient, *rest);
    return scale;
}

/* Vector `at` on of a short row, of which `count` elements are there. */
SOFTFOCUS_INLINE vf short_row_vector(const real *z, size_t at, size_t count, struct hole hole, struct exp_base base,
                                     const struct beside *beside, vf *rest, vf *largest)
{
    vf x = count == VF_LANES ? vf_load(z + at) : vf_load_part(z + at, count, vf_set1(MINUS_INFINITY)), e;
    vm here = vi_equal(vi_add(vi_lane_numbers(), vi_set1((int32_t)at)), vi_set1((int32_t)hole.at));
    vf scale = short_row_terms(hole.by_value ? but_largest(largest, x, x) : x, here, !hole.by_value, base,
                               beside->use, rest, &e);
    if (beside->keeps && count == VF_LANES)
        vf_store(beside->keep + at, e);
    else if (beside->keeps)
        vf_store_part(beside->keep + at, e, count);
    return scale;
}

/* Where the hole is the row's maximum, what is left over when all vectors have gone by has it. */
SOFTFOCUS_INLINE vd short_row_sum_exp(const real *z, size_t classes, struct hole hole, struct exp_base base,
                                      const struct beside *beside, double *again)
{
    size_t whole = (classes - 1) / VF_LANES; /* vectors, before the last, which may have fewer elements */
    size_t at = whole * VF_LANES;
    struct exp_sum terms = no_terms(vd_set1(0.0), beside->use);
    vf *rest = terms.rest, s[3] = {vf_set1(0.0f), vf_set1(0.0f), vf_set1(0.0f)};
    vf last, largest = vf_set1(MINUS_INFINITY);
    vd sum = terms.sum;
    if (hole.by_value)
        largest = row_load(z, classes, at);
    else
        last = short_row_vector(z, at, classes - at, hole, base, beside, &rest[1], &largest);
    row_fetch(beside, at, 0);
    SOFTFOCUS_UNROLL
    for (size_t v = 0; v < SHORT_VECTORS - 1; v++) {
        if (v >= whole)
            continue;
        vf scale = short_row_vector(z, v * VF_LANES, VF_LANES, hole, base, beside, &rest[v % 2], &largest);
        row_fetch(beside, 0, v);
        if (v % 4 == 3) {
            sum = vd_add(sum, vd_widen(add4(s[0], s[1], s[2], scale)));
            s[0] = s[1] = s[2] = vf_set1(0.0f);
        } else {
            s[v % 4] = scale;
        }
    }
    if (hole.by_value) {
        vm here = vf_equal(largest, vf_set1(hole.value));
        vf e;
        last = short_row_terms(largest, here, 1, base, beside->use, &rest[1], &e);
        *again = (double)vm_count(here) - 1.0;
    }
    vf more = vf_add(rest[0], rest[1]);
    if (whole % 4 < 3) /* s[2] is 0: there is room for what the products add up to */
        return vd_add(sum, vd_widen(vf_add(vf_add(s[0], s[1]), vf_add(last, more))));
    return vd_add(vd_add(sum, vd_widen(add4(s[0], s[1], s[2], last))), vd_widen(more));
}

/* Only the group that has the hole looks for it, after all others: two loops, before and after it, would end where no branch
   predictor foresees. A share has these apart, since they come after the whole groups of all pieces. */
SOFTFOCUS_INLINE vd long_row_sum_exp(const real *z, size_t classes, struct hole hole, struct exp_base base,
                                     const struct beside *beside, struct softfocus_row_share *share, double *again)
{
    size_t groups = classes / GROUP, end = groups * GROUP, first = hole.at - hole.at % GROUP, equal = 0;
    size_t i = first < end ? first : end;
    int is_long = share || classes > SOFTFOCUS_ROW_PIECE;
    struct exp_sum sum = no_terms(whole_groups(z, i, first < end ? groups - 1 : groups, is_long, base, beside),
                                  beside->use);
    if (share) {
        vd_store(share->sum, sum.sum);
        sum.sum = vd_set1(0.0);
    }
    for (; i < classes; i = i < end ? end : i + GROUP) {
        row_group(z, classes, i, hole, base, 0, beside, &sum, &equal);
        if (share) {
            vd_store(i < end ? share->hole : share->tail, sum.sum);
            sum.sum = vd_set1(0.0);
        }
    }
    if (hole.by_value)
        *again = (double)equal - 1.0;
    return sum.sum;
}

/* The sum of exp_based over j but the hole, still to be reduced over the lanes. With a hole by value, how many elements are
   equal to it but for one goes to *again: 1 each, which are not in the sum (of a short row, those that are left over with
   it). `is_short`, a constant: SHORT_ROW classes at most. */
SOFTFOCUS_INLINE vd row_sum_exp(const real *z, size_t classes, int is_short, struct hole hole, struct exp_base base,
                                const struct beside *beside, struct softfocus_row_share *share, double *again)
{
    return is_short ? short_row_sum_exp(z, classes, hole, base, beside, again)
                    : long_row_sum_exp(z, classes, hole, base, beside, share, again);
}

/* The steps of a share for its maximum (shared.c): after STEP_MAX nothing is left to do. Later ones find there what is known
 * of the row, and where the group with the maximum begins in this piece, if it is there. */
#define find_share_peak SOFTFOCUS_INSTANCE(find_share_peak)
void find_share_peak(struct softfocus_row_share *share, const real *z, size_t classes, struct maxima *maxima, size_t *hole);

/* ---- Columns ----------------------------------------------------------------------------------------------------- */

/* Makes the results of vector v that came of a NaN in `factor` one and the same, ANY_NAN, where they belong. `targets`, if
   not NULL: but for these classes, and for what is ignored, -1. */
SOFTFOCUS_SELDOM void amend_results(const struct column_tensors *tensors, const struct batch *batch, size_t v, vf factor,
                                    const int32_t *targets)
{
    real factors[VF_LANES];
    vf_store(factors, factor);
    for (size_t i = 0; i < batch_lanes(batch, v); i++) {
        if (factors[i] == factors[i] || (targets && targets[i] == -1))
            continue;
        for (size_t k = 0; k < tensors->shape.classes; k++)
            if (!targets || k != (uint32_t)targets[i])
                *element(tensors->out, batch->outer, k, batch->inner + v * VF_LANES + i) = ANY_NAN;
    }
}

SOFTFOCUS_INLINE vi class_number(size_t class) { return vi_set1((int32_t)(uint32_t)class); }

/* Of *max and vector v of a block; by the order of the operands never NaN, but on NEON. Four chains: in one, each maximum
   waits for the one before (1.04 to 1.065 times as fast, AVX-512). */
SOFTFOCUS_INLINE void columns_max(const struct block *block, size_t v, vf *max)
{
    vf m[4] = {*max, *max, *max, *max};
    const real *z = columns_at(block->in, v, 0);
    ptrdiff_t stride = block->in.class_stride;
    size_t k = 0;
    for (; k + 4 <= block->classes; k += 4, z += 4 * stride)
        SOFTFOCUS_UNROLL_SHORT
        for (size_t c = 0; c < 4; c++)
            m[c] = vf_max(vf_load(z + (ptrdiff_t)c * stride), m[c]);
    for (; k < block->classes; k++, z += stride)
        m[0] = vf_max(vf_load(z), m[0]);
    *max = max4(m[0], m[1], m[2], m[3]);
}

/* ---- Guesses of the maximum
 *
 * Many classes are read once per pass, and not copied to tiles, so that there is no pass for the maximum: exponentials are
 * relative to a guess of it, the largest of the first block's logits, and the maximum is known when all have gone by. Where
 * that is too far above the guess, another pass has it for a base (mend_guess); a position has the same bits whether others
 * need it or not. Log-softmax is 1.1 to 1.2 times as fast at 150 and 1000 classes so (AVX2, Zen 3), but half as fast where
 * all of the first block are -inf. In tiles, which the pass for the maximum brings into the L1 cache, it is 0.95 to 1.0
 * times. */
SOFTFOCUS_INLINE vf guess_of_max(const struct block *block, size_t v)
{
    vf guess = vf_set1(MINUS_INFINITY);
    columns_max(block, v, &guess);
    return guess;
}

/* What a sum leaves out in each lane. */
enum hole_kind {
    MAXIMUM, /* whichever that is in the end. Such sums are for a logarithm, and nothing else: EXP_ADDENDS */
    TARGET,  /* a class, whose logit is wanted; */
    HIDDEN,  /* nothing: in the place of a class is -inf. `class` is one that does not come then, INT32_MAX: it is looked for
                where speed does not depend on it. */
    SOUGHT   /* the same, and the maximum is wanted, where no pass before has looked for it */
};

struct column_hole {
    enum hole_kind kind; /* a constant where speed depends on it */
    vi class;            /* by how far it is from the next one */
};

SOFTFOCUS_INLINE enum exp_use use_of(enum hole_kind kind) { return kind == MAXIMUM ? EXP_ADDENDS : EXP_FACTORS; }

/* What comes of it beside the sum: the maximum and the logit. */
struct column_found {
    vf max, logit;
};

/* A block of some classes, or of all, and a vector of it: what the sums below run over. */
struct column_sum {
    real *z; /* of the next class */
    ptrdiff_t stride;
    size_t class, end;
    struct column_hole hole;
    vf near;   /* what exponentials are relative to: the maximum, or (`whole`, see exp_base_of) a guess of it */
    int whole;
    int keeps; /* exponentials take the place of what they are of; always where the hole is hidden */
};

/* The sum over the next `n` classes, of `most`, a constant of up to four. `keeps` and `hidden` are constants where speed
   depends on them. */
SOFTFOCUS_INLINE void columns_group(const struct column_sum *of, size_t n, size_t most, struct exp_base base, int far,
                                    int keeps, int hidden, struct exp_sum *sum, struct column_found *found)
{
    struct exp_group group;
    const real *again = fresh_place(of->z);
    enum hole_kind kind = of->hole.kind;
    SOFTFOCUS_UNROLL
    for (size_t c = 0; c < 4; c++) {
        set_no_term(&group, c);
        if (c >= most || c >= n)
            continue;
        real *z = of->z + (ptrdiff_t)c * of->stride;
        vf x = vf_load(z);
        vm here = vi_equal(of->hole.class, vi_set1((int32_t)c));
        vf term = x;
        if (kind == MAXIMUM)
            term = but_largest(&found->max, x, vf_load(again + (ptrdiff_t)c * of->stride));
        set_term(&group, c, term, base, far, use_of(kind));
        if (kind == SOUGHT)
            found->max = vf_max(x, found->max); /* by the order of the operands never NaN, but on NEON */
        if (kind == SOUGHT || kind == TARGET)
            found->logit = vf_select(here, x, found->logit);
        if (keeps)
            vf_store(z, group.e[c]);
        if (kind != MAXIMUM && !hidden)
            leave_out(&group, c, here);
    }
    add_group(sum, &group, COLUMNS_SPLIT);
}

/* Where speed depends on it, whole groups are apart from the last, which may have fewer classes: 1.02 to 1.04 times as fast
   as asking at each class. */
SOFTFOCUS_INLINE void next_group(struct column_sum *of, struct exp_base base, int far, struct exp_sum *sum,
                                 struct column_found *found)
{
    size_t n = smaller(of->end - of->class, 4);
    int hidden = of->hole.kind == HIDDEN;
    if (far)
        columns_group(of, n, 4, base, far, of->keeps, 0, sum, found);
    else if (n == 4 && hidden)
        columns_group(of, 4, 4, base, far, 1, 1, sum, found);
    else if (n == 4 && of->keeps)
        columns_group(of, 4, 4, base, far, 1, 0, sum, found);
    else if (n == 4)
        columns_group(of, 4, 4, base, far, 0, 0, sum, found);
    else
        columns_group(of, n, 3, base, far, of->keeps, 0, sum, found);
    of->hole.class = vi_add(of->hole.class, vi_set1(-4));
    of->class += n;
    of->z += 4 * of->stride;
    if (of->class / 4 % SETTLE_GROUPS == 0)
        settle(sum, COLUMNS_SPLIT, use_of(of->hole.kind));
}

/* The far form, for all who need it (shared.c). */
#define columns_sum_far SOFTFOCUS_INSTANCE(columns_sum_far)
void columns_sum_far(const struct column_sum *of, vd *sum, struct column_found *found);

/* As row_sum_exp, for vector v of a block, added to *sum. Where something is found beside it, *found has that of the blocks
   before, and then of this one, too. Beside it goes what there is to exchange, with results by `result`. */
SOFTFOCUS_INLINE void columns_sum_exp(const struct block *block, size_t v, struct column_hole hole, vf near, int whole,
                                      int keeps, column_result *result, struct exchange *exchange, vd *sum,
                                      struct column_found *found)
{
    struct column_sum of = {.z = columns_at(block->in, v, 0),
                            .stride = block->in.class_stride,
                            .class = block->first,
                            .end = block->first + block->classes,
                            .hole = {hole.kind, vi_add(hole.class, vi_set1(-(int32_t)(uint32_t)block->first))},
                            .near = near,
                            .whole = whole,
                            .keeps = keeps};
    if (hole.kind == MAXIMUM && of.class == 0) { /* which leaves no term */
        found->max = vf_load(of.z);
        of.class = 1;
        of.z += of.stride;
    }
    if (base_is_far(near)) {
        struct column_sum copy = of; /* or the loops below would have `of` in memory, and the caller *found */
        struct column_found found_far = *found;
        columns_sum_far(&copy, sum, &found_far);
        *found = found_far;
        return;
    }
    struct exp_base base = exp_base_of(near, 0, whole, use_of(hole.kind));
    struct column_found so_far = *found;
    struct exp_sum terms = no_terms(*sum, use_of(hole.kind));
    while (of.class < of.end) {
        next_group(&of, base, 0, &terms, &so_far);
        if (to_exchange(exchange))
            exchange_some(exchange, result);
    }
    settle(&terms, COLUMNS_SPLIT, use_of(hole.kind));
    *found = so_far;
    *sum = terms.sum;
}

/* Whether a guess of a vector's maxima is bad in one of its lanes. There the maximum takes its place, for another sum. */
SOFTFOCUS_INLINE int mend_guess(vf *guess, vf max, vd *sum)
{
    vm good = is_good_guess(*guess, max);
    if (__builtin_expect(vm_all(good), 1))
        return 0;
    *guess = vf_select(good, *guess, max);
    *sum = vd_set1(0.0);
    return 1;
}

/* The regime of a call: vectors along the classes where every tensor's classes are contiguous and there are enough of
   them; else a position per lane. Up to this many the work across lanes, per row, costs more than transposing: measured by
   timing both at 24 to 64 classes (Zen 4, in the cache; log-softmax equal at 48 with AVX-512 and AVX2, where with AVX2 the
   loss with its gradient is 1.07 and 1.15 times as fast along classes at 40 and 48), and at 8 to 128 with SSE (equal at 16
   to 48). Rows from beyond the L2 cache favour the vectors along classes (equal at 40 with AVX-512, at 32 with AVX2); the
   size of a call must not decide, since its bits are those of any part of it. */
enum { FEW_CLASSES = VF_LANES >= 16 ? 47 : VF_LANES >= 8 ? 39 : VF_LANES > 1 ? 24 : 0 };

#endif
