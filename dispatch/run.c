/* The split of a problem over threads.
 *
 * The units are cut into chunks by the problem's shape alone. Each chunk's sum goes to a place of its own, and the caller
 * adds them in order: the same bits for any number of threads. A task is one call of the kernel, for a range of chunks.
 * Where there are long rows, and too few of them for the threads, all threads work on one row after the other, each on some
 * pieces of it. */
#include "dispatch/run.h"

#include "dispatch/dispatch.h"

enum {
    CHUNK_MAX = 256,        /* partial sums, on the stack */
    CHUNK_ELEMENTS = 16384, /* some 5 us of work: the least worth handing to another thread */
    /* A problem that fills this many chunks is cut into as many longer ones, and into more only when each has
       LONG_CHUNK_ELEMENTS: kernels that work on one after the other lose time where a chunk begins and ends (1.1 to 1.6
       times, on Zen 4). */
    MANY_CHUNKS = 8,
    LONG_CHUNK_ELEMENTS = 131072,
    SHARED_ELEMENTS = 4 * SOFTFOCUS_ROW_PIECE, /* see shares_rows */
    MOST_PIECES = 64,  /* of a row, on the stack */
    SHARED_THREADS = 4 /* for each row at least, where there are several */
};

struct split {
    const struct softfocus_kernels *kernels;
    softfocus_invoke *invoke;
    const void *args;
    struct softfocus_work work;
    struct softfocus_chunks chunks;
    size_t tasks;
    double sums[CHUNK_MAX];
};

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
static size_t at_least_one(size_t a) { return a > 0 ? a : 1; }

static void run_chunks(struct split *split, size_t task)
{
    size_t begin = softfocus_fraction(split->chunks.count, task, split->tasks);
    size_t end = softfocus_fraction(split->chunks.count, task + 1, split->tasks);
    split->invoke(split->kernels, split->args, &split->chunks, begin, end, split->sums + begin);
}

/* For parallel_for, in whose threads there may be any environment. */
static void run_task(void *argument, size_t task)
{
    softfocus_fp_state caller = softfocus_fp_enter();
    run_chunks(argument, task);
    softfocus_fp_leave(caller);
}

static double add(const double *sums, size_t count)
{
    double sum = 0.0;
    for (size_t i = 0; i < count; i++)
        sum += sums[i];
    return sum;
}

/* By the shape alone. */
static size_t chunks_of(struct softfocus_work work)
{
    size_t elements = work.units * work.cost, most = smaller(CHUNK_MAX, at_least_one(work.units / work.grain));
    size_t fine = elements / CHUNK_ELEMENTS + 1, coarse = elements / LONG_CHUNK_ELEMENTS + 1;
    size_t wanted = fine < MANY_CHUNKS ? fine : coarse < MANY_CHUNKS ? MANY_CHUNKS : coarse;
    return smaller(most, wanted); /* of a grain at least, so that none is empty */
}

/* parallel_for may run other work than ours, and make threads that inherit the environment. */
static void in_threads(const softfocus_context *context, size_t tasks, void (*task)(void *argument, size_t index),
                       void *argument, softfocus_fp_state *caller)
{
    softfocus_fp_leave(*caller);
    context->parallel_for(context->pool, tasks, task, argument);
    *caller = softfocus_fp_enter();
}

/* ---- Rows that threads share */

struct shared_row {
    const struct split *split;
    size_t unit, pieces, tasks;
    enum softfocus_step step;
    double sum; /* of the first piece's call */
    double hole[SOFTFOCUS_MOST_LANES], tail[SOFTFOCUS_MOST_LANES];
    struct softfocus_row_share share[MOST_PIECES];
};

static void run_piece(struct shared_row *row, size_t p)
{
    const struct split *split = row->split;
    const size_t piece = SOFTFOCUS_ROW_PIECE;
    size_t first = p * piece;
    union softfocus_piece_args args;
    row->share[p].step = row->step;
    row->share[p].first = first;
    row->share[p].hole = row->hole;
    row->share[p].tail = row->tail;
    split->work.take_piece(&args, split->args, first, smaller(piece, split->work.cost - first), &row->share[p]);
    struct softfocus_chunks rows = {split->work.units, 1, split->work.units};
    double sum = 0.0;
    split->invoke(split->kernels, &args, &rows, row->unit, row->unit + 1, &sum);
    if (p == 0)
        row->sum = sum;
}

static void run_pieces(void *argument, size_t task)
{
    struct shared_row *row = argument;
    size_t end = softfocus_fraction(row->pieces, task + 1, row->tasks);
    softfocus_fp_state caller = softfocus_fp_enter();
    for (size_t p = softfocus_fraction(row->pieces, task, row->tasks); p < end; p++)
        run_piece(row, p);
    softfocus_fp_leave(caller);
}

static void add_lanes(double *to, const double *from)
{
    for (size_t lane = 0; lane < SOFTFOCUS_MOST_LANES; lane++)
        to[lane] += from[lane];
}

/* What the pieces give in a step, put together in the order in which a kernel does that has the whole row. */
static void join_pieces(struct shared_row *row)
{
    struct softfocus_row_share all = row->share[0];
    for (size_t lane = 0; lane < SOFTFOCUS_MOST_LANES; lane++)
        all.sum[lane] += 0.0; /* a sum begins with 0, and is never -0 */
    for (size_t p = 1; p < row->pieces; p++) {
        const struct softfocus_row_share *piece = &row->share[p];
        for (size_t lane = 0; lane < SOFTFOCUS_MOST_LANES; lane++)
            if (all.best[lane] < piece->best[lane]) {
                all.best[lane] = piece->best[lane];
                all.group[lane] = piece->group[lane];
            }
        add_lanes(all.sum, piece->sum);
        all.equal += piece->equal;
    }
    add_lanes(all.sum, row->hole);
    add_lanes(all.sum, row->tail);
    for (size_t p = 0; p < row->pieces; p++)
        row->share[p] = all;
}

/* For a row of its own threads wait for each other two or three times, some 20 us (OpenMP, 16 threads, Emerald Rapids): what
   50000 elements take in one. So rows are shared where that is less than what is saved. Times as fast as by rows: 1 x
   131072 1.1 and 1.3 with 2 threads (Zen 4, Emerald Rapids), 2 with 4 to 16; 1 x 256000 1.3 and 2, 3 to 5; 2 x 256000 with
   16 threads 3; but 1 x 65536 0.9 to 1.4, and 4 x 131072 with 16 threads 0.7. */
static int shares_rows(const softfocus_context *context, struct softfocus_work work)
{
    return work.take_piece && context->parallel_for && context->threads > 1 &&
           work.units <= at_least_one(context->threads / SHARED_THREADS) && work.cost / SHARED_ELEMENTS > work.units &&
           work.cost <= (size_t)MOST_PIECES * SOFTFOCUS_ROW_PIECE;
}

/* The row `unit`; the kernel's sum of it. Not inlined, or each call would have its 20 KB on the stack. */
static __attribute__((noinline, cold)) double share_row(const softfocus_context *context, const struct split *split,
                                                        size_t unit, softfocus_fp_state *caller)
{
    struct shared_row row = {.split = split, .unit = unit, .pieces = (split->work.cost - 1) / SOFTFOCUS_ROW_PIECE + 1};
    row.tasks = smaller(row.pieces, context->threads);
    for (row.step = split->work.first_step; row.step <= SOFTFOCUS_STEP_RESULTS; row.step++) {
        in_threads(context, row.tasks, run_pieces, &row, caller);
        if (row.step < SOFTFOCUS_STEP_RESULTS)
            join_pieces(&row);
    }
    return row.sum;
}

/* ---- The whole */

double softfocus_run(const softfocus_context *context, softfocus_invoke *invoke, const void *args,
                     struct softfocus_work work, softfocus_fp_state *caller)
{
    if (work.units == 0)
        return 0.0;
    struct split split;
    split.kernels = context->isa->f32;
    split.invoke = invoke;
    split.args = args;
    split.work = work;
    split.chunks = (struct softfocus_chunks){work.units, work.grain, chunks_of(work)};
    split.tasks = context->parallel_for && context->threads > 1 ? smaller(split.chunks.count, context->threads) : 1;
    if (shares_rows(context, work)) {
        for (size_t chunk = 0; chunk < split.chunks.count; chunk++) {
            size_t end = softfocus_chunk_begin(&split.chunks, chunk + 1);
            split.sums[chunk] = 0.0;
            for (size_t unit = softfocus_chunk_begin(&split.chunks, chunk); unit < end; unit++)
                split.sums[chunk] += share_row(context, &split, unit, caller);
        }
    } else if (split.tasks == 1) {
        run_chunks(&split, 0);
    } else {
        in_threads(context, split.tasks, run_task, &split, caller);
    }
    return work.sums ? add(split.sums, split.chunks.count) : 0.0;
}
