/* Where the elements of a position lie: ranges of positions as runs along the inner axis, a position's row, and the
 * columns of neighbouring positions, one per lane. Used by the softmax kernels, which reduce over the classes. */
#ifndef SOFTFOCUS_POSITIONS_H
#define SOFTFOCUS_POSITIONS_H

#include "kernels/instance.h"

typedef float real; /* the element type of the tensors of this instance */

enum { FETCH_STEP = 64 / sizeof(real) /* elements of a cache line */ };

SOFTFOCUS_INLINE real *element(struct softfocus_view view, size_t outer, size_t class, size_t inner)
{
    return (real *)view.data + (ptrdiff_t)outer * view.outer_stride + (ptrdiff_t)class * view.class_stride +
           (ptrdiff_t)inner * view.inner_stride;
}

SOFTFOCUS_INLINE size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* Positions that share their outer index: (outer, inner) to (outer, inner + count - 1). */
struct run {
    size_t outer, inner, count;
    size_t position; /* the number of the first */
};

/* The longest run that begins at *begin and stays below end; *begin moves past it. */
SOFTFOCUS_INLINE struct run take_run(struct softfocus_shape shape, size_t *begin, size_t end)
{
    struct run run = {.outer = *begin / shape.inner, .inner = *begin % shape.inner, .position = *begin};
    run.count = smaller(shape.inner - run.inner, end - *begin);
    *begin += run.count;
    return run;
}

/* ---- Lanes as positions ------------------------------------------------------------------------------------------
 *
 * Where the classes are not contiguous, or few, each lane takes a position of its own and the loop runs over the classes:
 * no reduction across lanes. */

/* Up to VF_LANES neighbouring positions: element (class, lane) at data + class * class_stride + lane * lane_stride. */
struct columns {
    real *data;
    ptrdiff_t class_stride, lane_stride;
    size_t lanes;
};

SOFTFOCUS_INLINE struct columns columns_at(struct softfocus_view view, size_t outer, size_t inner, size_t lanes)
{
    return (struct columns){element(view, outer, 0, inner), view.class_stride, view.inner_stride, lanes};
}

/* Lanes past the last are 0. */
SOFTFOCUS_INLINE vf columns_load(struct columns columns, size_t class)
{
    const real *p = columns.data + (ptrdiff_t)class * columns.class_stride;
    if (columns.lane_stride != 1)
        return vf_load_strided(p, columns.lane_stride, columns.lanes);
    return columns.lanes == VF_LANES ? vf_load(p) : vf_load_part(p, columns.lanes, vf_set1(0.0f));
}

SOFTFOCUS_INLINE void columns_store(struct columns columns, size_t class, vf a)
{
    real *p = columns.data + (ptrdiff_t)class * columns.class_stride;
    if (columns.lane_stride != 1)
        vf_store_strided(p, columns.lane_stride, a, columns.lanes);
    else if (columns.lanes == VF_LANES)
        vf_store(p, a);
    else
        vf_store_part(p, a, columns.lanes);
}

/* Positions are worked on in batches of several vectors, one pass of a kernel after the other over all of them: what one
 * vector's results wait for (a chain of some 200 cycles from the first load to the last store) overlaps with the next one's.
 *
 * A batch is a copy of its positions, a tile, where one fits: the passes then hit the L1 cache whatever the class stride is
 * (a power of two maps all classes to one cache set), and memory is read and written TILE_WIDTH positions at a time, which is
 * what its prefetchers and pages like. In a tile the classes of one vector are neighbours. */
enum {
    TILE_SIZE = 6144,  /* elements: 24 KB, which leaves room in the smallest L1 cache in use, 32 KB; on the stack */
    TILE_WIDTH = 256,  /* positions: 1 KB of each class */
    TILE_SLACK = 3 * VF_LANES, /* see tile_load */
    BATCH_VECTORS = TILE_WIDTH / VF_LANES
};

/* The lines that the next batch of an image needs, of this run or of the next one: fetched one by one as this batch's results
   are stored, because pieces of TILE_WIDTH are too short for the prefetchers of the CPU. Into the L2 cache: in the L1 cache,
   where one class of a tile may take the place of another, they would be in the way. An image of less than FETCH_BYTES is in
   the L2 cache already.
   Measured on Zen 4 at 4 x 19 x 256 x 256: 1.4 to 1.6 times as fast; in bursts, or in another pass, 1.2 times. Non-temporal
   stores instead gain nothing there, and lose 5 to 8 % on rows. */
#define FETCH_BYTES ((size_t)1 << 19)

struct upcoming {
    const struct softfocus_view *views[3]; /* of two inputs and the output, or NULL */
    size_t outer, inner, count;            /* of the batch's first position; how many positions it has */
};

struct batch {
    struct columns in, second, out; /* of the first vector; out may be in's memory, or have no data */
    size_t step;                    /* elements from one vector's to the next's; 0: there is one, and it is in no tile */
    size_t vectors;
    size_t position, count; /* the number of the first position; how many there are */
    struct upcoming upcoming;
};

/* A constant. */
SOFTFOCUS_INLINE int is_tile(const struct batch *batch) { return batch->step != 0; }

SOFTFOCUS_INLINE struct columns columns_of(struct columns first, const struct batch *batch, size_t v)
{
    first.data += v * batch->step;
    return first;
}

/* How many positions of vector v are there; its other lanes hold anything. */
SOFTFOCUS_INLINE size_t batch_lanes(const struct batch *batch, size_t v)
{
    return smaller(VF_LANES, batch->count - v * VF_LANES);
}

/* What will be vector v of the next batch, in one class. */
SOFTFOCUS_INLINE void fetch(const struct upcoming *next, size_t class, size_t v)
{
    if (v * VF_LANES >= next->count || v * VF_LANES % FETCH_STEP != 0)
        return;
    for (size_t i = 0; i < 3; i++)
        if (next->views[i])
            __builtin_prefetch(element(*next->views[i], next->outer, class, next->inner + v * VF_LANES), 0, 2);
}

/* What a kernel does: `reduce` forms what needs all classes of a position, for each vector of the batch, keeps it in `state`,
   may overwrite the elements of batch->out; `finish` gives one vector's results for one class from that. */
typedef void batch_reduce(void *state, const struct batch *batch);
typedef vf batch_finish(const void *state, const struct batch *batch, size_t v, size_t class);

/* Whether four classes of a vector are moved at a time, by a transposition. */
SOFTFOCUS_INLINE int is_rows(struct softfocus_view view) { return view.class_stride == 1 && view.inner_stride != 1; }

/* `count` positions from (outer, inner) on, into a tile. May write up to three vectors past a vector's classes: there come the
   next one's, or the room that TILE_SLACK is. */
SOFTFOCUS_INLINE void tile_load(real *tile, struct softfocus_view view, size_t outer, size_t inner, size_t count,
                                size_t classes)
{
    size_t i = 0;
    for (; is_rows(view) && i + VF_LANES <= count; i += VF_LANES)
        for (size_t class = 0; class < classes; class += 4) {
            const real *source = element(view, outer, class, inner + i);
            real *target = tile + (i * classes + class * VF_LANES);
            vf column[4];
            if (class + 4 <= classes)
                vf_load_columns(source, view.inner_stride, 4, column);
            else
                vf_load_columns(source, view.inner_stride, classes - class, column);
            for (size_t c = 0; c < 4; c++)
                vf_store(target + c * VF_LANES, column[c]);
        }
    for (size_t class = 0; class < classes; class++)
        for (size_t k = i; k < count; k += VF_LANES) {
            struct columns source = columns_at(view, outer, inner + k, smaller(VF_LANES, count - k));
            vf_store(tile + k * classes + class * VF_LANES, columns_load(source, class));
        }
}

/* The results of a batch to where it came from. */
SOFTFOCUS_INLINE void batch_store(const struct batch *batch, struct softfocus_view view, size_t outer, size_t inner,
                                  size_t classes, batch_finish *finish, const void *state)
{
    size_t first = 0;
    for (; is_rows(view) && (first + 1) * VF_LANES <= batch->count; first++) {
        real *target = element(view, outer, 0, inner + first * VF_LANES);
        size_t class = 0;
        for (; class + 4 <= classes; class += 4) {
            vf column[4];
            for (size_t c = 0; c < 4; c++)
                column[c] = finish(state, batch, first, class + c);
            vf_store_columns(target + class, view.inner_stride, column, 4);
        }
        if (class < classes) {
            vf column[4] = {vf_set1(0.0f), vf_set1(0.0f), vf_set1(0.0f), vf_set1(0.0f)};
            for (size_t c = 0; c < 3 && class + c < classes; c++)
                column[c] = finish(state, batch, first, class + c);
            vf_store_columns(target + class, view.inner_stride, column, classes - class);
        }
    }
    for (size_t class = 0; class < classes; class++)
        for (size_t v = first; v < batch->vectors; v++) {
            columns_store(columns_at(view, outer, inner + v * VF_LANES, batch_lanes(batch, v)), class,
                          finish(state, batch, v, class));
            fetch(&batch->upcoming, class, v);
        }
}

SOFTFOCUS_INLINE void work_in_tile(const struct softfocus_shape *shape, const struct softfocus_view *in,
                                   const struct softfocus_view *second, const struct softfocus_view *out,
                                   struct run run, batch_reduce *reduce, batch_finish *finish, void *state)
{
    _Alignas(64) real tile[TILE_SIZE + TILE_SLACK];
    size_t classes = shape->classes, step = classes * VF_LANES;
    size_t fit = smaller(TILE_SIZE / ((second ? 2 : 1) * step), BATCH_VECTORS), width = fit * VF_LANES;
    int fetches = in->inner_stride == 1 && out->data && out->inner_stride == 1 &&
                  classes * shape->inner >= FETCH_BYTES / sizeof(real);
    for (size_t start = 0; start < run.count; start += width) {
        size_t count = smaller(width, run.count - start), inner = run.inner + start;
        struct columns columns = {tile, VF_LANES, 1, VF_LANES}, next = {tile + fit * step, VF_LANES, 1, VF_LANES};
        struct batch batch = {.in = columns, .second = next, .out = columns, .step = step,
                              .vectors = (count + VF_LANES - 1) / VF_LANES, .position = run.position + start, .count = count};
        if (fetches)
            batch.upcoming = (struct upcoming){{in, second, out->data != in->data ? out : NULL}, run.outer,
                                               inner + count, smaller(width, shape->inner - inner - count)};
        tile_load(columns.data, *in, run.outer, inner, count, classes);
        if (second)
            tile_load(next.data, *second, run.outer, inner, count, classes);
        reduce(state, &batch);
        if (out->data)
            batch_store(&batch, *out, run.outer, inner, classes, finish, state);
    }
}

/* Where no tile fits: one vector after the other, in place. */
SOFTFOCUS_INLINE void work_in_memory(const struct softfocus_shape *shape, const struct softfocus_view *in,
                                     const struct softfocus_view *second, const struct softfocus_view *out,
                                     struct run run, batch_reduce *reduce, batch_finish *finish, void *state)
{
    for (size_t i = 0; i < run.count; i += VF_LANES) {
        size_t lanes = smaller(VF_LANES, run.count - i), inner = run.inner + i;
        struct columns source = columns_at(*in, run.outer, inner, lanes);
        struct batch batch = {.in = source, .second = second ? columns_at(*second, run.outer, inner, lanes) : source,
                              .out = out->data ? columns_at(*out, run.outer, inner, lanes) : source, .step = 0,
                              .vectors = 1, .position = run.position + i, .count = lanes};
        reduce(state, &batch);
        if (out->data)
            batch_store(&batch, *out, run.outer, inner, shape->classes, finish, state);
    }
}

/* Works on the positions begin to end - 1. `second` may be NULL and out->data too: then there is nothing to read or write. */
SOFTFOCUS_INLINE void for_columns(const struct softfocus_shape *shape, const struct softfocus_view *in,
                                  const struct softfocus_view *second, const struct softfocus_view *out, size_t begin,
                                  size_t end, batch_reduce *reduce, batch_finish *finish, void *state)
{
    int fits = (second ? 2 : 1) * shape->classes <= TILE_SIZE / VF_LANES;
    while (begin < end) {
        struct run run = take_run(*shape, &begin, end);
        if (fits)
            work_in_tile(shape, in, second, out, run, reduce, finish, state);
        else
            work_in_memory(shape, in, second, out, run, reduce, finish, state);
    }
}

#endif
