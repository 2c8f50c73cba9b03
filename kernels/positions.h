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

enum { STREAM_STEP = FETCH_STEP > VF_LANES ? FETCH_STEP : VF_LANES }; /* a cache line */

/* How many of `count` elements come before the first cache line, from which on they can be streamed: a line that is written in
   two parts, with other lines between them, goes to memory twice. */
SOFTFOCUS_INLINE size_t before_line(const real *p, size_t count)
{
    size_t past = (uintptr_t)p / sizeof(real) % STREAM_STEP;
    return past ? smaller(STREAM_STEP - past, count) : 0;
}

/* Whether results go past the caches: where a call has more of them than a core has of cache. A store into a cache reads the
   line first, and its way out costs what the next line's way in does. Not in place, where the line is there anyway.
   Measured (Ice Lake, rows of 1000, 4 MB): a plain copy takes 0.60 ns an element, one past the caches 0.30. On Zen 4, with an L3
   cache of 32 MB, log-softmax past the caches takes 1.16 times the time at 4.8 MB (1200 x 1000), 0.82 at 6.4 (32 x 50257). */
#define STREAM_BYTES ((size_t)6 << 20)

SOFTFOCUS_INLINE int streams_to(const struct softfocus_shape *shape, struct softfocus_view in, struct softfocus_view out)
{
    return out.data && out.data != in.data && (uintptr_t)out.data % sizeof(real) == 0 &&
           shape->outer * shape->inner >= STREAM_BYTES / sizeof(real) / shape->classes;
}

/* ---- Lanes as positions ------------------------------------------------------------------------------------------
 *
 * Where the classes are not contiguous, or few, each lane takes a position of its own and the loop runs over the classes:
 * no reduction across lanes.
 *
 * Positions are worked on in batches of several vectors, one pass of a kernel after the other over all of them: what one
 * vector's results wait for (a chain of some 200 cycles from the first load to the last store) overlaps with the next one's.
 * A pass works on a block of classes at a time:
 *
 * - A block of all classes is a tile, a copy of the batch that fits the L1 cache. The passes then hit that cache whatever the
 *   class stride is (a power of two maps all classes to one cache set), and memory is read and written TILE_WIDTH positions at a
 *   time, which is what its prefetchers and pages like.
 * - With more classes the passes go over blocks of BLOCK_CLASSES, one after the other, so that each still reads lines of
 *   TILE_WIDTH positions: where they lie, or where their positions are not neighbours in a tile. */
enum {
    TILE_SIZE = 6144,  /* elements: 24 KB, which leaves room in the smallest L1 cache in use, 32 KB; on the stack */
    TILE_WIDTH = 256,  /* positions: 1 KB of each class */
    TILE_LEAST = 64,   /* positions, 256 bytes of each class: narrower tiles leave memory's prefetchers little to go by */
    TILE_SLACK = 3 * VF_LANES, /* see tile_load */
    BLOCK_CLASSES = TILE_SIZE / 2 / TILE_WIDTH, /* for two tensors; a multiple of four */
    BATCH_VECTORS = TILE_WIDTH / VF_LANES
};

/* Of some classes and a batch's positions: class k, lane l of vector v at data + k * class_stride + v * step + l. */
struct columns {
    real *data;
    ptrdiff_t class_stride;
    size_t step;
};

struct batch {
    size_t outer, inner, position; /* of the first position, and its number */
    size_t count, vectors;         /* positions, and the vectors that they fill: lanes past the last one hold anything */
};

/* Some classes of a batch, or the whole of them. */
struct block {
    struct columns in, second; /* of one or two inputs */
    size_t first, classes;
    int whole;
};

SOFTFOCUS_INLINE real *columns_at(struct columns columns, size_t v, size_t k)
{
    return columns.data + (ptrdiff_t)k * columns.class_stride + v * columns.step;
}

/* How many positions of vector v are there. */
SOFTFOCUS_INLINE size_t batch_lanes(const struct batch *batch, size_t v)
{
    return smaller(VF_LANES, batch->count - v * VF_LANES);
}

/* What a kernel does with a batch. `take` sees each block in turn, pass by pass; `end` forms what needs all classes of a
   position; `finish` gives vector v's results for a class from what its block has of it (y of the second tensor). */
struct column_kernel {
    size_t passes; /* of `take` */
    void (*begin)(void *state, const struct batch *batch);
    void (*take)(void *state, const struct batch *batch, const struct block *block, size_t pass);
    void (*end)(void *state, const struct batch *batch);
    vf (*finish)(const void *state, vf x, vf y, size_t class, size_t v, int whole);
};

struct column_tensors {
    struct softfocus_shape shape;
    struct softfocus_view in, second, out; /* second and out may have no data */
    int streams;                           /* `out` goes past the caches, where a line of it is aligned */
};

/* Lines that are wanted soon, because pieces of TILE_WIDTH are too short for the prefetchers of the CPU: fetched one by one
   beside other work, into the L2 cache (in the L1 cache, where one class may take the place of another, they would be in the
   way). An image of less than FETCH_BYTES is in the L2 cache already.
   Measured on Zen 4 at 4 x 19 x 256 x 256: 1.4 to 1.6 times as fast; in bursts, or in another pass, 1.2 times. */
#define FETCH_BYTES ((size_t)1 << 19)

SOFTFOCUS_INLINE int wants_fetches(const struct column_tensors *tensors)
{
    return tensors->in.inner_stride == 1 && tensors->out.data && tensors->out.inner_stride == 1 &&
           tensors->shape.classes * tensors->shape.inner >= FETCH_BYTES / sizeof(real);
}

/* Whether rows lie one after the other, or there are none. */
SOFTFOCUS_INLINE int has_no_gaps(struct softfocus_view view, size_t classes)
{
    return !view.data || (view.class_stride == 1 && view.inner_stride == (ptrdiff_t)classes);
}

/* The same for rows, of which a batch is read at once, and then nothing until its results are written: from the L3 cache 1.6 to
   1.8 times as fast at 21 and 40 classes (Zen 4). Not for rows shorter than a line, which the CPU's prefetchers follow (0.9 to 1.0
   times). */
SOFTFOCUS_INLINE int wants_row_fetches(const struct column_tensors *tensors)
{
    size_t classes = tensors->shape.classes;
    return classes >= FETCH_STEP && has_no_gaps(tensors->in, classes) && has_no_gaps(tensors->second, classes) &&
           has_no_gaps(tensors->out, classes) && classes * tensors->shape.inner >= FETCH_BYTES / sizeof(real);
}

/* As many elements from position (outer, inner) on as make a line in the place of what vector v has of a class. */
SOFTFOCUS_INLINE void fetch_rows(struct softfocus_view view, size_t outer, size_t inner, size_t classes, size_t v, size_t class)
{
    size_t at = (v * classes + class) * VF_LANES;
    if (view.data && at % FETCH_STEP == 0)
        __builtin_prefetch(element(view, outer, 0, inner) + at, 0, 2);
}

/* Of one class: the lines of vector v of a batch at (outer, inner). */
SOFTFOCUS_INLINE void fetch_line(struct softfocus_view view, size_t outer, size_t class, size_t inner, size_t v)
{
    if (view.data && v * VF_LANES % FETCH_STEP == 0)
        __builtin_prefetch(element(view, outer, class, inner + v * VF_LANES), 0, 2);
}

/* Whether four classes of a vector are moved at a time, by a transposition. */
SOFTFOCUS_INLINE int is_rows(struct softfocus_view view) { return view.class_stride == 1 && view.inner_stride != 1; }

/* Rows of two, four or eight classes without gaps are as many vectors as there are classes, in which a class has every second,
   fourth or eighth element: unzipped until each vector has one class, and zipped again. `classes` is a constant. More than two
   only where unzipping takes one instruction, else transpositions of four by four take fewer. */
SOFTFOCUS_INLINE int is_packed(struct softfocus_view view, size_t classes)
{
    return view.class_stride == 1 && view.inner_stride == (ptrdiff_t)classes && (classes == 2 || VF_LANES >= 16);
}

SOFTFOCUS_INLINE void unzip4(const vf a[4], vf columns[4])
{
    vf even[2], odd[2];
    vf_unzip(a[0], a[1], &even[0], &odd[0]);
    vf_unzip(a[2], a[3], &even[1], &odd[1]);
    vf_unzip(even[0], even[1], &columns[0], &columns[2]);
    vf_unzip(odd[0], odd[1], &columns[1], &columns[3]);
}

SOFTFOCUS_INLINE void zip4(const vf columns[4], vf a[4])
{
    vf even[2], odd[2];
    vf_zip(columns[0], columns[2], &even[0], &even[1]);
    vf_zip(columns[1], columns[3], &odd[0], &odd[1]);
    vf_zip(even[0], odd[0], &a[0], &a[1]);
    vf_zip(even[1], odd[1], &a[2], &a[3]);
}

SOFTFOCUS_INLINE void packed_load(const real *p, size_t classes, vf columns[8])
{
    vf a[8], even[4], odd[4];
    for (size_t k = 0; k < classes; k++)
        a[k] = vf_load(p + k * VF_LANES);
    if (classes == 2)
        vf_unzip(a[0], a[1], &columns[0], &columns[1]);
    if (classes == 4)
        unzip4(a, columns);
    if (classes == 8) {
        for (size_t i = 0; i < 4; i++)
            vf_unzip(a[2 * i], a[2 * i + 1], &even[i], &odd[i]);
        unzip4(even, a);
        unzip4(odd, a + 4);
        for (size_t i = 0; i < 4; i++)
            columns[2 * i] = a[i], columns[2 * i + 1] = a[4 + i];
    }
}

SOFTFOCUS_INLINE void packed_store(real *p, size_t classes, const vf columns[8])
{
    vf a[8], even[4], odd[4];
    if (classes == 2)
        vf_zip(columns[0], columns[1], &a[0], &a[1]);
    if (classes == 4)
        zip4(columns, a);
    if (classes == 8) {
        for (size_t i = 0; i < 4; i++)
            a[i] = columns[2 * i], a[4 + i] = columns[2 * i + 1];
        zip4(a, even);
        zip4(a + 4, odd);
        for (size_t i = 0; i < 4; i++)
            vf_zip(even[i], odd[i], &a[2 * i], &a[2 * i + 1]);
    }
    for (size_t k = 0; k < classes; k++)
        vf_store(p + k * VF_LANES, a[k]);
}

/* `lanes` positions of a class, the others 0. */
SOFTFOCUS_INLINE vf lanes_load(const real *p, ptrdiff_t stride, size_t lanes)
{
    if (stride != 1)
        return vf_load_strided(p, stride, lanes);
    return lanes == VF_LANES ? vf_load(p) : vf_load_part(p, lanes, vf_set1(0.0f));
}

SOFTFOCUS_INLINE void lanes_store(real *p, ptrdiff_t stride, vf a, size_t lanes)
{
    if (stride != 1)
        vf_store_strided(p, stride, a, lanes);
    else if (lanes == VF_LANES)
        vf_store(p, a);
    else
        vf_store_part(p, a, lanes);
}

/* `classes` classes of the batch, from class `first` on, into a tile. May write up to three vectors past a vector's classes:
   there come the next one's, or the room that TILE_SLACK is. Structs go by value: the address of one that a function has been
   given is one through which any store of a vector may write, for all that the compiler knows. */
SOFTFOCUS_INLINE void tile_load(real *tile, struct softfocus_view view, struct batch batch, size_t first, size_t classes)
{
    size_t v = 0;
#define LOAD_PACKED(n)                                                                                                 \
    for (; classes == n && is_packed(view, n) && (v + 1) * VF_LANES <= batch.count; v++) {                             \
        vf columns[8];                                                                                                 \
        packed_load(element(view, batch.outer, 0, batch.inner + v * VF_LANES), n, columns);                            \
        for (size_t k = 0; k < n; k++)                                                                                 \
            vf_store(tile + (v * n + k) * VF_LANES, columns[k]);                                                       \
    }
    LOAD_PACKED(2)
    LOAD_PACKED(4)
    LOAD_PACKED(8)
#undef LOAD_PACKED
    for (; is_rows(view) && (v + 1) * VF_LANES <= batch.count; v++)
        for (size_t k = 0; k < classes; k += 4) {
            const real *source = element(view, batch.outer, first + k, batch.inner + v * VF_LANES);
            real *target = tile + (v * classes + k) * VF_LANES;
            vf column[4];
            if (k + 4 <= classes)
                vf_load_columns(source, view.inner_stride, 4, column);
            else
                vf_load_columns(source, view.inner_stride, classes - k, column);
            for (size_t c = 0; c < 4; c++)
                vf_store(target + c * VF_LANES, column[c]);
        }
    for (size_t k = 0; k < classes; k++)
        for (size_t w = v; w < batch.vectors; w++)
            vf_store(tile + (w * classes + k) * VF_LANES,
                     lanes_load(element(view, batch.outer, first + k, batch.inner + w * VF_LANES), view.inner_stride,
                               batch_lanes(&batch, w)));
}

/* A block where its passes find it. Of some classes, whole vectors of neighbours are read where they lie; a tile of all is loaded
   the first time. */
SOFTFOCUS_INLINE struct columns block_load(real *tile, const struct softfocus_view *view, const struct batch *batch,
                                           const struct block *block, int first_time)
{
    if (!block->whole && view->inner_stride == 1 && batch->count % VF_LANES == 0)
        return (struct columns){element(*view, batch->outer, block->first, batch->inner), view->class_stride, VF_LANES};
    if (!block->whole || first_time)
        tile_load(tile, *view, *batch, block->first, block->classes);
    return (struct columns){tile, VF_LANES, block->classes * VF_LANES};
}

/* The results of a block to where they belong. `next` and `further`, if any: what to fetch meanwhile is so many positions, or
   classes, further on. */
SOFTFOCUS_INLINE void block_store(const struct column_tensors *tensors, const struct batch *batch, const struct block *block,
                                  const struct column_kernel *kernel, const void *state, size_t next, size_t further)
{
    struct softfocus_view out = tensors->out;
    int two = tensors->second.data != NULL, whole = block->whole;
    ptrdiff_t stride = block->in.class_stride, second_stride = two ? block->second.class_stride : 0;
    size_t classes = block->classes, first = 0;
    vf zero = vf_set1(0.0f);
#define FINISH(x, y, k, v) kernel->finish(state, vf_load(x), two ? vf_load(y) : zero, block->first + (k), v, whole)
#define FETCH_ROWS(v, k)                                                                                               \
    if (next) {                                                                                                        \
        fetch_rows(tensors->in, batch->outer, batch->inner + next, classes, v, k);                                     \
        fetch_rows(tensors->second, batch->outer, batch->inner + next, classes, v, k);                                 \
        fetch_rows(out, batch->outer, batch->inner + next, classes, v, k);                                             \
    }
#define STORE_PACKED(n)                                                                                                \
    for (; classes == n && is_packed(out, n) && (first + 1) * VF_LANES <= batch->count; first++) {                     \
        const real *x = columns_at(block->in, first, 0), *y = two ? columns_at(block->second, first, 0) : x;           \
        vf columns[8];                                                                                                 \
        for (size_t k = 0; k < n; k++, x += stride, y += second_stride)                                                \
            columns[k] = FINISH(x, y, k, first);                                                                       \
        packed_store(element(out, batch->outer, 0, batch->inner + first * VF_LANES), n, columns);                      \
    }
    STORE_PACKED(2)
    STORE_PACKED(4)
    STORE_PACKED(8)
#undef STORE_PACKED
    for (; is_rows(out) && (first + 1) * VF_LANES <= batch->count; first++) {
        const real *x = columns_at(block->in, first, 0), *y = two ? columns_at(block->second, first, 0) : x;
        real *target = element(out, batch->outer, block->first, batch->inner + first * VF_LANES);
        vf column[4] = {zero, zero, zero, zero};
        size_t k = 0;
        for (; k + 4 <= classes; k += 4) {
            for (size_t c = 0; c < 4; c++, x += stride, y += second_stride) {
                column[c] = FINISH(x, y, k + c, first);
                FETCH_ROWS(first, k + c)
            }
            vf_store_columns(target + k, out.inner_stride, column, 4);
        }
        if (k < classes) {
            for (size_t c = 0; c < 3 && k + c < classes; c++, x += stride, y += second_stride) {
                column[c] = FINISH(x, y, k + c, first);
                FETCH_ROWS(first, k + c)
            }
            vf_store_columns(target + k, out.inner_stride, column, classes - k);
        }
    }
    for (size_t k = 0; k < classes; k++) {
        const real *x = columns_at(block->in, first, k), *y = two ? columns_at(block->second, first, k) : x;
        real *line = element(out, batch->outer, block->first + k, batch->inner);
        size_t inner = batch->inner + next, class = smaller(block->first + k + further, tensors->shape.classes - 1), v = first;
        int streams = tensors->streams && (uintptr_t)line % (STREAM_STEP * sizeof(real)) == 0;
        for (; v < batch->vectors; v++, x += block->in.step, y += two ? block->second.step : 0) {
            vf result = FINISH(x, y, k, v);
            if (streams && (v + 1) * VF_LANES <= batch->count)
                vf_stream(line + v * VF_LANES, result);
            else
                lanes_store(line + (ptrdiff_t)(v * VF_LANES) * out.inner_stride, out.inner_stride, result,
                            batch_lanes(batch, v));
            if (next | further) {
                fetch_line(tensors->in, batch->outer, class, inner, v);
                fetch_line(tensors->second, batch->outer, class, inner, v);
                if (!streams)
                    fetch_line(out, batch->outer, class, inner, v);
            }
        }
    }
#undef FETCH_ROWS
#undef FINISH
}

/* All passes over a batch. `width`: how many positions the others have. */
SOFTFOCUS_INLINE void work_on_batch(const struct column_tensors *tensors, const struct batch *batch, int whole, size_t width,
                                    const struct column_kernel *kernel, void *state, real *tile)
{
    size_t classes = tensors->shape.classes, step = whole ? classes : BLOCK_CLASSES;
    int fetches = wants_fetches(tensors);
    int fetches_next = whole && (fetches || wants_row_fetches(tensors));
    size_t next = fetches_next && batch->inner + batch->count + width <= tensors->shape.inner ? batch->count : 0;
    real *second_tile = tile + (whole ? batch->vectors * classes * VF_LANES : TILE_SIZE / 2);
    kernel->begin(state, batch);
    for (size_t pass = 0; pass <= kernel->passes; pass++) {
        int last = pass == kernel->passes;
        if (last)
            kernel->end(state, batch);
        if (last && !tensors->out.data)
            return;
        for (size_t first = 0; first < classes; first += step) {
            struct block block = {.first = first, .classes = smaller(step, classes - first), .whole = whole};
            block.in = block_load(tile, &tensors->in, batch, &block, pass == 0);
            if (!whole && fetches && first + step < classes && !last)
                for (size_t k = first + step; k < smaller(first + 2 * step, classes); k++)
                    for (size_t v = 0; v < batch->vectors; v++)
                        fetch_line(tensors->in, batch->outer, k, batch->inner, v);
            if (!last)
                kernel->take(state, batch, &block, pass);
            else {
                if (tensors->second.data)
                    block.second = block_load(second_tile, &tensors->second, batch, &block, 1);
                block_store(tensors, batch, &block, kernel, state, next, whole || !fetches ? 0 : BLOCK_CLASSES);
            }
        }
    }
}

/* Works on the positions begin to end - 1. */
SOFTFOCUS_INLINE void for_columns(const struct column_tensors *tensors, size_t begin, size_t end,
                                  const struct column_kernel *kernel, void *state)
{
    _Alignas(64) real tile[TILE_SIZE + TILE_SLACK];
    size_t room = tensors->second.data ? TILE_SIZE / 2 : TILE_SIZE, fit = room / VF_LANES / tensors->shape.classes * VF_LANES;
    int whole = fit >= TILE_LEAST || (fit > 0 && fit >= tensors->shape.inner);
    size_t width = whole ? smaller(fit, TILE_WIDTH) : TILE_WIDTH;
    while (begin < end) {
        struct run run = take_run(tensors->shape, &begin, end);
        for (size_t start = 0; start < run.count; start += width) {
            size_t count = smaller(width, run.count - start);
            struct batch batch = {run.outer, run.inner + start, run.position + start, count, (count + VF_LANES - 1) / VF_LANES};
            work_on_batch(tensors, &batch, whole, width, kernel, state, tile);
        }
    }
    if (tensors->streams)
        vf_stream_end();
}

#endif
