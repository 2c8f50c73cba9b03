/* The split of a problem over threads.
 *
 * The units are cut into chunks by the problem's shape alone. Each chunk's sum goes to a place of its own, and the caller
 * adds them in order: the same bits for any number of threads. A task takes a range of chunks. */
#include "dispatch/run.h"

#include "dispatch/dispatch.h"

enum {
    CHUNK_MAX = 256,        /* partial sums, on the stack */
    CHUNK_ELEMENTS = 16384, /* some 5 us of work: the least worth handing to another thread */
    MANY_CHUNKS = 8, /* more than these are longer: kernels lose time where one begins and ends (1.1 to 1.6 times, on Zen 4) */
    LONG_CHUNK_ELEMENTS = 131072
};

struct split {
    const struct softfocus_kernels *kernels;
    softfocus_invoke *invoke;
    const void *args;
    size_t units, grain, chunks, tasks;
    int joins;
    double sums[CHUNK_MAX];
};

/* floor(total * part / parts), without overflow for part <= parts < 2^32 or so */
static size_t fraction(size_t total, size_t part, size_t parts)
{
    return total / parts * part + total % parts * part / parts;
}

/* Where a chunk begins, and the one before it ends. */
static size_t boundary(const struct split *split, size_t chunk)
{
    return chunk == split->chunks ? split->units : fraction(split->units, chunk, split->chunks) / split->grain * split->grain;
}

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static void run_chunks(struct split *split, size_t task)
{
    size_t end = fraction(split->chunks, task + 1, split->tasks), next;
    for (size_t chunk = fraction(split->chunks, task, split->tasks); chunk < end; chunk = next) {
        next = split->joins ? end : chunk + 1;
        split->sums[chunk] = split->invoke(split->kernels, split->args, boundary(split, chunk), boundary(split, next));
    }
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

static size_t at_least_one(size_t a) { return a > 0 ? a : 1; }

/* By the shape alone, as are batches within a chunk: where pieces are not joined, a NaN's bits may depend on which rows are
   added side by side. */
static size_t chunks_of(struct softfocus_work work)
{
    size_t elements = work.units * work.cost, most = smaller(CHUNK_MAX, at_least_one(work.units / work.grain));
    size_t fine = elements / CHUNK_ELEMENTS + 1, coarse = elements / LONG_CHUNK_ELEMENTS + 1;
    size_t wanted = fine < MANY_CHUNKS ? fine : coarse < MANY_CHUNKS ? MANY_CHUNKS : coarse;
    return smaller(most, wanted); /* of a grain at least, so that none is empty */
}

double softfocus_run(const softfocus_context *context, softfocus_invoke *invoke, const void *args,
                     struct softfocus_work work, softfocus_fp_state *caller)
{
    if (work.units == 0)
        return 0.0;
    struct split split;
    split.kernels = context->isa->f32;
    split.invoke = invoke;
    split.args = args;
    split.units = work.units;
    split.grain = work.grain;
    split.joins = work.joins;
    split.chunks = chunks_of(work);
    split.tasks = context->parallel_for && context->threads > 1 ? smaller(split.chunks, context->threads) : 1;
    if (split.tasks == 1) {
        run_chunks(&split, 0);
    } else { /* which may run other work than ours, and make threads that inherit the environment */
        softfocus_fp_leave(*caller);
        context->parallel_for(context->pool, split.tasks, run_task, &split);
        *caller = softfocus_fp_enter();
    }
    return work.joins ? 0.0 : add(split.sums, split.chunks);
}
