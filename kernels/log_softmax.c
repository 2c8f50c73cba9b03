/* log_softmax_i = (z_i - m) - log1p(R), R the sum of exp(z_j - m) without the argmax: both terms are <= 0, so that
 * nothing cancels, and R keeps its digits where the argmax has all but a little of the probability.
 *
 * Written as (z_i - high) - low with high + low = m + log1p(R): high is the float nearest to the sum and low what is left,
 * so that it is right for logits of any size (with one float for both, logits around 1e8 lose the logarithm). */
#include "kernels/softmax.h"

struct log_sum_exp {
    vf high, low;
};

/* From log1p(R). */
SOFTFOCUS_INLINE struct log_sum_exp log_sum_exp(vf max, vd log)
{
    vd m = vd_widen(max);
    struct log_sum_exp lse;
    /* In a row the order of additions may differ with the rows beside it, too. */
    lse.high = one_nan(vd_narrow(vd_add(m, log)));
    lse.low = vd_narrow(vd_add(vd_sub(m, vd_widen(lse.high)), log));
    return lse;
}

/* R, as rest_of has it, rounded to 2^-160. What is too far down leaves less of it, up to 2^22 classes (EXP_ADDENDS_DEPTH),
   which becomes 0 here and no subnormal float later. */
SOFTFOCUS_INLINE vd others_of(vf max, vd sum, vd unit, vd more)
{
    vd bias = vd_set1(0x1p-108);
    if (EXP_CUTS_ADDENDS)
        return rest_of(max, sum, unit, more);
    return vd_sub(rest_of(max, sum, unit, vd_add(more, bias)), bias);
}

SOFTFOCUS_INLINE vf row_log_prob(const struct row_write *write, vf z, size_t i)
{
    (void)i;
    return vf_sub(vf_sub(z, write->of.a), write->of.b);
}

/* A batch of rows whose results are still to be written. */
struct unwritten {
    size_t inner, count;
    float high[ROW_PLACES], low[ROW_PLACES];
};

SOFTFOCUS_INLINE struct row_numbers numbers_of(const struct unwritten *rows, size_t place)
{
    return (struct row_numbers){.a = vf_set1(rows->high[place]), .b = vf_set1(rows->low[place])};
}

SOFTFOCUS_INLINE struct row_write write_of(const struct row_plan *plan, const struct unwritten *rows, size_t r)
{
    size_t inner = rows->inner + r;
    const real *from = row_of(plan->in, inner);
    return (struct row_write){.from = from,
                              .to = row_of(plan->out, inner),
                              .classes = plan->classes,
                              .streams = plan->streams,
                              .of = numbers_of(rows, FIRST_PLACE + r),
                              .joins_before = joins_before(plan, inner),
                              .joins_next = joins_next(plan, inner),
                              .before = numbers_of(rows, FIRST_PLACE + r - 1),
                              .before_end = from}; /* rows that are joined lie one after the other */
}

/* Of those from row `begin` on: what is not written beside a sum. Structs go by value, so that those of the caller may be in
   registers. */
SOFTFOCUS_SHARED void write_rows(struct row_plan plan, struct unwritten rows, size_t begin)
{
    for (size_t r = begin; r < rows.count; r++) {
        struct row_write write = write_of(&plan, &rows, r);
        write_row(&write, row_log_prob);
    }
}

/* A batch of rows. */
struct peaks {
    size_t inner, count;
    struct maxima maxima;
    size_t ahead, further; /* rows to what is wanted soon, of the next batch and of the one after it */
    size_t hole[VF_LANES]; /* the first element of the group that has the maximum; of short rows nothing */
};

/* Of the peaks->count rows from `inner` on. */
SOFTFOCUS_INLINE void find_peaks(const struct row_plan *plan, size_t inner, int is_short, struct peaks *peaks)
{
    size_t classes = plan->classes;
    vi group[VF_LANES];
    peaks->inner = inner;
    for (size_t r = 0; r < peaks->count; r++) {
        const real *z = row_of(plan->in, inner + r);
        peaks->maxima.best[r] = is_short ? row_max(z, classes) : row_max_group(z, classes, &group[r]);
    }
    set_maxima(&peaks->maxima, peaks->count);
    for (size_t r = 0; !is_short && r < peaks->count; r++)
        peaks->hole[r] = group_of_max(peaks->maxima.best[r], group[r], peaks->maxima.m[r]);
}

/* A line of results that two rows share does not go past the caches, and a store that waits for its line holds up those
   after it: fetched a batch before (rows of 900 and 1000 from the L3 cache: 1.04 to 1.1 times as fast; from memory 1.0
   to 1.03). */
SOFTFOCUS_INLINE void fetch_last_line(const real *row, size_t classes) { __builtin_prefetch(row + classes - 1, 1, 3); }

/* The sum over row r, and beside it row r of the batch before, as far as that is still to be written. */
SOFTFOCUS_INLINE vd sum_row(const struct row_plan *plan, const struct peaks *peaks, size_t r, int is_short,
                            const struct unwritten *last, struct softfocus_row_share *share, double *again)
{
    size_t classes = plan->classes, inner = peaks->inner + r;
    int streams = plan->streams;
    const real *z = row_of(plan->in, inner);
    float m = peaks->maxima.m[r];
    struct row_write write = {.streams = 0};
    vd sum;
    if (r < last->count) {
        write = write_of(plan, last, r);
        begin_write(&write, row_log_prob);
    }
    if (row_is_far(m)) {
        sum = row_sum_far(z, classes, (struct hole){0, m, 1}, m, NULL, share, again);
    } else {
        struct hole hole = {is_short ? 0 : peaks->hole[r], m, 1};
        struct exp_base base = base_of_row(&peaks->maxima, r, EXP_ADDENDS);
        /* Wanted soon are a row of the next batch and the place of this row's results; from memory, which takes longer than
           a batch does and gives more at once than the L1 cache can wait for, a row of the batch after it, and nothing near
           but z. */
        const real *next = row_of(plan->in, inner + peaks->ahead), *further = row_of(plan->in, inner + peaks->further);
        const real *results = row_of(plan->out, inner);
        int past = streams && classes >= FURTHER_ROW;
        struct beside beside = {.fetches = 2, .use = EXP_ADDENDS, .writes = 1, .write = &write, .result = row_log_prob,
                                .near = past ? z : next, .further = past ? further : streams ? next : results};
        if (plan->joins)
            fetch_pages(results, classes);
        else if (streams)
            fetch_last_line(results, classes);
        sum = row_sum_exp(z, classes, is_short, hole, base, &beside, share, again);
    }
    if (r < last->count)
        write_rest(&write, row_log_prob);
    return sum;
}

SOFTFOCUS_INLINE struct row_plan plan_of(const struct softfocus_log_softmax_args *args, struct run run, int streams)
{
    return (struct row_plan){.in = rows_at(args->logits, run.outer),
                             .out = rows_at(args->log_probs, run.outer),
                             .classes = args->shape.classes,
                             .begin = run.inner,
                             .end = run.inner + run.count,
                             .batch = rows_per_batch(args->shape.classes, streams ? SMALL_BATCH : BATCH_SIZE),
                             .streams = streams,
                             .joins = streams && joins_rows(&args->shape, args->logits, args->log_probs)};
}

/* The sums of a batch, and of what is equal to the maxima; beside them the rows of the batch before. */
SOFTFOCUS_INLINE void sum_rows(const struct row_plan *plan, struct peaks *peaks, int is_short, const struct unwritten *last,
                               struct softfocus_row_share *share, vd rest[VF_LANES], double again[VF_LANES])
{
    peaks->ahead = rows_ahead(plan, peaks->inner, 1);
    peaks->further = rows_ahead(plan, peaks->inner, 2);
    for (size_t r = 0; r < peaks->count; r++)
        rest[r] = sum_row(plan, peaks, r, is_short, last, share, &again[r]);
    if (peaks->count < last->count)
        write_rows(*plan, *last, peaks->count);
}

/* From the sums what results are formed of, which are the next to be written. */
SOFTFOCUS_INLINE void end_batch(const struct peaks *peaks, vd rest[VF_LANES], const double again[VF_LANES],
                                struct unwritten *last)
{
    vf max = peaks->maxima.max;
    vd sums = reduce_add_rows(rest, peaks->count);
    vd others = others_of(max, sums, peaks->maxima.unit, vd_load(again));
    struct log_sum_exp lse = log_sum_exp(max, vd_log1p(others));
    keep_last(last->high, last->count);
    keep_last(last->low, last->count);
    last->inner = peaks->inner;
    last->count = peaks->count;
    vf_store(last->high + FIRST_PLACE, lse.high);
    vf_store(last->low + FIRST_PLACE, lse.low);
}

SOFTFOCUS_INLINE void rows_of_run(const struct softfocus_log_softmax_args *args, struct run run, int is_short, int streams)
{
    struct row_plan plan = plan_of(args, run, streams);
    size_t end = plan.end;
    struct unwritten last = {.count = 0};
    struct peaks peaks = {.count = 0};
    struct softfocus_row_share *share = is_short ? NULL : args->share;
    for (size_t inner = run.inner; inner < end || last.count > 0; inner += peaks.count) {
        /* Maxima are found while the results before them wait for their logarithms. */
        peaks.count = smaller(plan.batch, end - inner);
        if (__builtin_expect(share != NULL, 0) && peaks.count > 0) {
            peaks.inner = inner;
            find_share_peak(share, row_of(plan.in, inner), plan.classes, &peaks.maxima, &peaks.hole[0]);
            if (share->step == SOFTFOCUS_STEP_MAX)
                break;
        } else if (peaks.count > 0) {
            find_peaks(&plan, inner, is_short, &peaks);
        }
        /* Results beside the next sums: short rows 1.02 to 1.07 times as fast; of longer ones see CACHED_BESIDE. */
        if (peaks.count == 0 || !(streams || is_short || CACHED_BESIDE)) {
            write_rows(plan, last, 0);
            last.count = 0;
        }
        if (peaks.count == 0)
            break;
        vd rest[VF_LANES];
        double again[VF_LANES] = {0};
        if (!is_past(share, SOFTFOCUS_STEP_SUM))
            sum_rows(&plan, &peaks, is_short, &last, share, rest, again);
        if (__builtin_expect(share != NULL, 0)) {
            if (share->step == SOFTFOCUS_STEP_SUM) {
                share->equal = again[0] + 1.0;
                break;
            }
            rest[0] = vd_load(share->sum);
            again[0] = share->equal - 1.0;
        }
        end_batch(&peaks, rest, again, &last);
    }
    if (streams)
        vf_stream_end();
}

SOFTFOCUS_INLINE int streams_results(const struct softfocus_log_softmax_args *args)
{
    return streams_rows_to(&args->shape, args->logits, args->log_probs, STREAM_STEP);
}

SOFTFOCUS_REGIME void rows(const struct softfocus_log_softmax_args *args, size_t begin, size_t end)
{
    int streams = streams_results(args);
    while (begin < end)
        rows_of_run(args, take_run(args->shape, &begin, end), 0, streams);
}

SOFTFOCUS_REGIME void short_rows(const struct softfocus_log_softmax_args *args, size_t begin, size_t end)
{
    while (begin < end)
        rows_of_run(args, take_run(args->shape, &begin, end), 1, 0);
}

SOFTFOCUS_REGIME void short_rows_past_caches(const struct softfocus_log_softmax_args *args, size_t begin, size_t end)
{
    while (begin < end)
        rows_of_run(args, take_run(args->shape, &begin, end), 1, 1);
}

/* ---- Columns */

/* Classes from which on maxima are guessed, and planes not worked on in tiles, of which one would have 96 positions at most.
   At 64 to 100 classes log-softmax is 1.05 to 1.25 times as fast so, at small images 1.0 to 1.8; with 40 to 56 in large
   images it would be 0.94 to 0.97 times (AVX2, Zen 3; SSE 0.98 and 1.04 to 1.13 from 64 on). */
enum { GUESS_CLASSES = 60 };

_Static_assert(TILE_SIZE / VF_LANES / (GUESS_CLASSES - 1) * VF_LANES >= TILE_LEAST, "fewer classes are one block");

/* Of each vector of a batch. */
struct column {
    vf guess;
    vf largest; /* what but_largest leaves: in the end the maximum, or NaN */
    vd rest;
};

struct columns_state {
    int guesses;       /* whether guesses of the maxima may be wrong */
    struct column *of; /* of the batch's vectors */
    unsigned char again[WIDE_BATCH_VECTORS]; /* whether a vector needs the second pass */
};

union columns_memory {
    struct {
        real tiles[2][TILE_SIZE + TILE_SLACK];
        struct column of[BATCH_VECTORS];
        struct log_sum_exp sums[2][BATCH_VECTORS];
    } tiled;
    struct {
        real tiles[2][PART_TILE];
        struct column of[WIDE_BATCH_VECTORS];
        struct log_sum_exp sums[2][WIDE_BATCH_VECTORS];
    } wide;
};

SOFTFOCUS_INLINE void begin_columns(void *opaque, const struct batch *batch)
{
    struct columns_state *state = opaque;
    for (size_t v = 0; v < batch->vectors; v++)
        state->of[v].rest = vd_set1(0.0);
}

SOFTFOCUS_INLINE vf finish_column(const void *opaque, vf z, vf none, size_t class, size_t v, enum form form)
{
    const struct log_sum_exp *lse = opaque;
    (void)none, (void)class, (void)form;
    return vf_sub(vf_sub(z, lse[v].high), lse[v].low);
}

/* From the block of the first classes. */
SOFTFOCUS_INLINE void find_column_peaks(struct columns_state *state, const struct batch *batch, const struct block *block)
{
    for (size_t v = 0; v < batch->vectors; v++) {
        struct column *of = &state->of[v];
        of->guess = guess_of_max(block, v); /* of one block that is all, it is right */
        of->largest = of->guess;
    }
}

SOFTFOCUS_INLINE int is_enough(void *opaque, const struct batch *batch)
{
    struct columns_state *state = opaque;
    int again = 0;
    for (size_t v = 0; v < batch->vectors && state->guesses; v++) {
        struct column *of = &state->of[v];
        state->again[v] = (unsigned char)mend_guess(&of->guess, of->largest, &of->rest);
        again |= state->again[v];
    }
    return !again;
}

SOFTFOCUS_INLINE void take_columns(void *opaque, const struct batch *batch, const struct block *block, size_t pass)
{
    struct columns_state *state = opaque;
    if (pass == 0 && block->first == 0)
        find_column_peaks(state, batch, block);
    struct column_hole maximum = {MAXIMUM, vi_set1(0)};
    struct exchange exchange = *block->exchange; /* a copy: no store may change it behind the compiler's back */
    struct column *of = state->of;
    int guesses = state->guesses;
    for (size_t v = 0; v < batch->vectors; v++, of++) {
        struct column_found found = {of->largest, of->largest};
        if (pass > 0 && !state->again[v])
            continue;
        columns_sum_exp(block, v, maximum, of->guess, guesses, 0, finish_column, &exchange, &of->rest, &found);
        of->largest = found.max;
    }
    *block->exchange = exchange;
}

SOFTFOCUS_INLINE void end_columns(void *opaque, void *sums, const struct batch *batch)
{
    struct columns_state *state = opaque;
    struct column *of = state->of;
    struct log_sum_exp *lse = sums;
    vd none = vd_set1(0.0);
    /* Step by step, as one vector after the other is a chain of which a CPU overlaps two or three: 1.05 to 1.35 times as
       fast at 2 to 8 classes. */
    if (state->guesses)
        for (size_t v = 0; v < batch->vectors; v++)
            of[v].rest = others_of(of[v].largest, of[v].rest, exp_unit_from(of[v].largest, of[v].guess), none);
    else
        for (size_t v = 0; v < batch->vectors; v++)
            of[v].rest = others_of(of[v].largest, of[v].rest, exp_unit(of[v].guess), none);
    for (size_t v = 0; v < batch->vectors; v++)
        of[v].rest = vd_log1p(of[v].rest);
    for (size_t v = 0; v < batch->vectors; v++)
        lse[v] = log_sum_exp(of[v].largest, of[v].rest);
}

SOFTFOCUS_SELDOM void exchange_all(struct exchange exchange) { exchange_rest(exchange, 0, finish_column); }
SOFTFOCUS_SHARED void give_all(struct exchange exchange) { give_tile(exchange, 0, finish_column); }

SOFTFOCUS_PER_BATCH void store_all(struct block_results results) { block_store(results, 0, 0, finish_column); }

SOFTFOCUS_REGIME void columns(const struct softfocus_log_softmax_args *args, size_t begin, size_t end)
{
    static const struct column_kernel kernel = {.passes = 2,
                                                .two = 0,
                                                .exchanges_blocks = 1,
                                                .hides_from = SIZE_MAX,
                                                .blocks_from = GUESS_CLASSES,
                                                .sum_size = sizeof(struct log_sum_exp),
                                                .begin = begin_columns,
                                                .take = take_columns,
                                                .is_enough = is_enough,
                                                .end = end_columns,
                                                .exchange_all = exchange_all,
                                                .give_all = give_all,
                                                .store_all = store_all};
    struct column_tensors tensors = {args->shape, args->logits, {NULL, 0, 0, 0}, args->log_probs,
                                     streams_to(&args->shape, args->logits, args->log_probs)};
    _Alignas(64) union columns_memory memory;
    struct columns_state state;
    state.guesses = args->shape.classes >= GUESS_CLASSES;
    state.of = memory.tiled.of;
    struct column_room room = {&state,
                               {memory.tiled.sums[0], memory.tiled.sums[1]},
                               {memory.tiled.tiles[0], memory.tiled.tiles[1]},
                               TILE_SIZE, TILE_WIDTH, 0};
    if (state.guesses && are_planes(&tensors)) {
        state.of = memory.wide.of;
        room = (struct column_room){&state, {memory.wide.sums[0], memory.wide.sums[1]},
                                    {memory.wide.tiles[0], memory.wide.tiles[1]}, TILE_SIZE, WIDE_WIDTH, 1};
    }
    for_columns(&tensors, begin, end, &kernel, &room);
}

/* All chunks as one: where a batch begins and ends costs time (1.05 to 1.15 times that of a call per chunk). */
void SOFTFOCUS_INSTANCE(log_softmax)(const struct softfocus_log_softmax_args *args, const struct softfocus_chunks *chunks,
                                     size_t first, size_t past, double *none)
{
    size_t begin = chunk_begin(chunks, first), end = chunk_begin(chunks, past);
    (void)none;
    int contiguous = args->logits.class_stride == 1 && args->log_probs.class_stride == 1;
    if (!contiguous || (args->shape.classes <= FEW_CLASSES && !args->share))
        columns(args, begin, end);
    else if (SHORT_ROW == 0 || args->shape.classes > SHORT_ROW || args->share)
        rows(args, begin, end);
    else
        streams_results(args) ? short_rows_past_caches(args, begin, end) : short_rows(args, begin, end);
}
