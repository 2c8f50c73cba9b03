/* Where the elements of a position lie: ranges of positions as runs along the inner axis, a position's row, and the
 * columns of neighbouring positions, one per lane. Used by the softmax kernels, which reduce over the classes. */
#ifndef SOFTFOCUS_POSITIONS_H
#define SOFTFOCUS_POSITIONS_H

#include "kernels/instance.h"

typedef float real; /* the element type of the tensors of this instance */

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

/* The work on one vector of positions: reads each class of `in` once and only then, or not at all, writes it to `out`
   (which may be the same memory). The positions are `position` to `position + lanes - 1`; in and out may have more lanes,
   whose values do not matter. */
typedef void column_work(const void *state, struct columns in, struct columns out, size_t position, size_t lanes);

/* Columns are worked on in a copy where it fits: the several passes over them then hit the L1 cache whatever the class
   stride is (a power of two maps all classes to one cache set), and memory is read and written TILE_WIDTH positions at a
   time, which is what its prefetchers and pages like. */
enum {
    TILE_SIZE = 8192, /* elements: 32 KB, the smallest L1 cache in use; on the stack */
    TILE_WIDTH = 256  /* positions: 1 KB of each class */
};

/* From memory to a tile and back: `count` positions from (outer, inner) on. In a tile the classes of one vector of positions
   are neighbours. Where the classes of a position are (rows), four are moved at a time by a transposition. */
SOFTFOCUS_INLINE void tile_load(real *tile, struct softfocus_view view, size_t outer, size_t inner, size_t count,
                                size_t classes)
{
    size_t i = 0;
    for (; view.class_stride == 1 && view.inner_stride != 1 && i + VF_LANES <= count; i += VF_LANES)
        for (size_t class = 0; class < classes; class += 4) {
            size_t n = smaller(4, classes - class);
            vf column[4];
            vf_load_columns(element(view, outer, class, inner + i), view.inner_stride, n, column);
            for (size_t c = 0; c < n; c++)
                vf_store(tile + i * classes + (class + c) * VF_LANES, column[c]);
        }
    for (size_t class = 0; class < classes; class++)
        for (size_t k = i; k < count; k += VF_LANES) {
            struct columns source = columns_at(view, outer, inner + k, smaller(VF_LANES, count - k));
            vf_store(tile + k * classes + class * VF_LANES, columns_load(source, class));
        }
}

SOFTFOCUS_INLINE void tile_store(const real *tile, struct softfocus_view view, size_t outer, size_t inner, size_t count,
                                 size_t classes)
{
    size_t i = 0;
    for (; view.class_stride == 1 && view.inner_stride != 1 && i + VF_LANES <= count; i += VF_LANES)
        for (size_t class = 0; class < classes; class += 4) {
            size_t n = smaller(4, classes - class);
            vf column[4];
            for (size_t c = 0; c < 4; c++)
                column[c] = c < n ? vf_load(tile + i * classes + (class + c) * VF_LANES) : vf_set1(0.0f);
            vf_store_columns(element(view, outer, class, inner + i), view.inner_stride, column, n);
        }
    for (size_t class = 0; class < classes; class++)
        for (size_t k = i; k < count; k += VF_LANES) {
            struct columns target = columns_at(view, outer, inner + k, smaller(VF_LANES, count - k));
            columns_store(target, class, vf_load(tile + k * classes + class * VF_LANES));
        }
}

SOFTFOCUS_INLINE void work_in_tile(const struct softfocus_shape *shape, const struct softfocus_view *in,
                                   const struct softfocus_view *out, struct run run, column_work *work,
                                   const void *state)
{
    _Alignas(64) real tile[TILE_SIZE];
    size_t block = shape->classes * VF_LANES; /* one vector of positions */
    size_t width = smaller(TILE_SIZE / block * VF_LANES, TILE_WIDTH);
    for (size_t start = 0; start < run.count; start += width) {
        size_t count = smaller(width, run.count - start), inner = run.inner + start;
        tile_load(tile, *in, run.outer, inner, count, shape->classes);
        for (size_t i = 0; i < count; i += VF_LANES) {
            struct columns columns = {tile + i * shape->classes, VF_LANES, 1, VF_LANES};
            work(state, columns, columns, run.position + start + i, smaller(VF_LANES, count - i));
        }
        if (out->data)
            tile_store(tile, *out, run.outer, inner, count, shape->classes);
    }
}

/* Calls work for the positions of a run, VF_LANES at a time. out->data may be NULL: then work must not write. */
SOFTFOCUS_INLINE void for_columns(const struct softfocus_shape *shape, const struct softfocus_view *in,
                                  const struct softfocus_view *out, struct run run, column_work *work,
                                  const void *state)
{
    if (shape->classes <= TILE_SIZE / VF_LANES) {
        work_in_tile(shape, in, out, run, work, state);
        return;
    }
    for (size_t i = 0; i < run.count; i += VF_LANES) {
        size_t lanes = smaller(VF_LANES, run.count - i);
        struct columns source = columns_at(*in, run.outer, run.inner + i, lanes);
        struct columns target = out->data ? columns_at(*out, run.outer, run.inner + i, lanes) : source;
        work(state, source, target, run.position + i, lanes);
    }
}

#endif
