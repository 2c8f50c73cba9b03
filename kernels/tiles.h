/* A position per lane: tiles of neighbouring positions, and the loop over them that the softmax kernels share.
 * The layout of positions: positions.h. */
#ifndef SOFTFOCUS_TILES_H
#define SOFTFOCUS_TILES_H

#include "kernels/positions.h"

/* ---- Lanes as positions ------------------------------------------------------------------------------------------
 *
 * Where the classes are not contiguous, or few, each lane takes a position of its own and the loop runs over the classes:
 * no reduction across lanes.
 *
 * Positions are worked on in batches of several vectors, one pass of a kernel after the other over all of them: what one
 * vector's results wait for (a chain of some 200 cycles from the first load to the last store) overlaps with the next one's.
 * A pass works on a block of classes at a time:
 *
 * - A block of all classes is a tile, a copy of the batch that fits the L1 cache. The passes then hit that cache whatever
 *   the class stride is (a power of two maps all classes to one cache set), and memory is read and written TILE_WIDTH
 *   positions at a time, which is what its prefetchers and pages like. Tiles of planes (class axis not last) are read, and
 *   results written, beside the arithmetic of others: struct exchange.
 * - With more classes, or where a tile is not worth its copy, the passes go over blocks of BLOCK_CLASSES, one after the
 *   other, so that each still reads lines of TILE_WIDTH positions: where they lie, or where their positions are not
 *   neighbours in a tile. Where they lie, a kernel's numbers of each position may be where tiles would, for batches of
 *   WIDE_WIDTH, and log-softmax's results are written, and what comes next is fetched, beside the arithmetic of others.
 *
 * Sizes were measured on Zen 4 (L1 32 KB) at 8 to 150 classes. A kernel has two tiles on its stack, which is why they are
 * not all as large as they should be: 4096 elements cost 5 to 25 %. */
enum {
    TILE_SIZE = 5824,       /* elements: 23 KB */
    SMALL_TILE_SIZE = 5120, /* where a kernel keeps more beside it: 20 KB, 80 classes by 64 positions. The loss with its
                               gradient is 1.05 times as fast there as with 4864, 1.15 at 64 x 91 x 100 (AVX2, Zen 3) */
    TWO_TILE_SIZE = 3072,   /* of each of two tensors: 12 KB */
    TILE_WIDTH = 256,       /* positions: 1 KB of each class */
    SMALL_TILE_WIDTH = 192,
    TILE_LEAST = 48,        /* positions, 192 bytes of each class: for less, blocks are faster */
    TILE_SLACK = 3 * VF_LANES, /* see tile_load_from */
    WIDE_WIDTH = 512, /* positions: 2 KB of each class, which prefetchers follow. The loss with its gradient is 1.23 times
                         as fast as with 192 at 1 x 1000 x 1024, 1.06 to 1.14 at 200 and 300 classes (AVX2, Zen 3) */
    BLOCK_CLASSES = 12, /* a multiple of four */
    PART_TILE = BLOCK_CLASSES * VF_LANES + TILE_SLACK, /* elements: of a block and less than a vector of positions */
    BATCH_VECTORS = TILE_WIDTH / VF_LANES,
    WIDE_BATCH_VECTORS = WIDE_WIDTH / VF_LANES,
    SMALL_BATCH_VECTORS = SMALL_TILE_WIDTH / VF_LANES,
    MOVE = 4,        /* vectors that are exchanged at a time */
    /* TILE_LEAST where a class is hidden, which tiles gain by and blocks cannot: the loss with its gradient is 1.4 to 1.6
       times as fast at 110 and 150 classes (AVX2, Zen 3; SSE 1.7, 1.8 to 2.0 at 200 and 300), but 0.9 to 1.2 times where a
       piece is less than a move. With AVX-512 not measured. */
    HIDING_TILE_LEAST = MOVE * VF_LANES < TILE_LEAST ? MOVE * VF_LANES : TILE_LEAST,
    PIECES_AHEAD = 4,     /* pieces that are fetched ahead of an exchange: 1 costs 8 % at 4 x 19 x 65536, 8 gain nothing */
    WIDE_PIECES_AHEAD = 1 /* and of wide batches, whose pieces are longer */
};

_Static_assert(BLOCK_CLASSES * TILE_WIDTH <= TWO_TILE_SIZE && TWO_TILE_SIZE <= TILE_SIZE, "a block fits a tile");
_Static_assert(BLOCK_CLASSES * SMALL_TILE_WIDTH <= SMALL_TILE_SIZE, "a block fits a tile");

/* Of some classes and a batch's positions: class k, lane l of vector v at data + k * class_stride + v * step + l. */
struct columns {
    real *data;
    ptrdiff_t class_stride;
    size_t step;
};

struct batch {
    size_t outer, inner, position; /* of the first position, and its number */
    size_t count, vectors;         /* positions, and the vectors that they fill: lanes past the last one hold anything */
    size_t repeated;               /* how many of them, the first, the batch before had, too */
};

struct exchange;
struct block_results;

/* How a batch is worked on: by blocks, where it lies, or in a tile of all classes, which is a copy, where a kernel may hide
   one class of each position. */
enum form { BLOCKS, TILE, HIDING_TILE };

/* Some classes of a batch, or the whole of them. */
struct block {
    struct columns in, second; /* of one or two inputs */
    size_t first, classes;
    enum form form;
    struct exchange *exchange; /* what may be done beside a pass that computes much */
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

/* The result of vector v for a class, from what its block has of it (y of the second tensor) and what `end` left in `sums`.
 */
typedef vf column_result(const void *sums, vf x, vf y, size_t class, size_t v, enum form form);

struct column_tensors {
    struct softfocus_shape shape;
    struct softfocus_view in, second, out; /* second and out may have no data */
    int streams;                           /* `out` goes past the caches, where a line of it is aligned */
};

/* What a kernel does with a batch. `take` sees each block in turn, pass by pass; `is_enough`, if not NULL, says whether the
   first pass was; `end` forms what needs all classes of a position, in `sums`. */
struct column_kernel {
    size_t passes; /* of `take` */
    int two;       /* whether there is a second input; the struct is a compile-time constant, so that no code asks */
    int exchanges_blocks; /* likewise: whether wide batches are exchanged, so that there are two `sums` */
    size_t hides_from;    /* classes from which on a tile is a HIDING_TILE, */
    size_t blocks_from;   /* and passes go over blocks of it, since sums have the bits of blocks there: not more than the
                             classes of which a tile has the least positions, or past all, where bits do not change */
    size_t sum_size;   /* bytes of `sums` for a vector */
    void (*begin)(void *state, const struct batch *batch);
    void (*take)(void *state, const struct batch *batch, const struct block *block, size_t pass);
    int (*is_enough)(void *state, const struct batch *batch);
    void (*end)(void *state, void *sums, const struct batch *batch);
    void (*exchange_all)(struct exchange exchange); /* exchange_rest, below, with its results, as one function */
    void (*give_all)(struct exchange exchange);     /* give_tile, below, likewise, */
    void (*store_all)(struct block_results results); /* and block_store */
    /* What is left to do with a batch once its results are where they belong; of one tensor's kernels, where they are not
       exchanged. NULL: nothing. */
    void (*amend)(const void *state, const void *sums, const struct column_tensors *tensors, const struct batch *batch);
};

/* ---- Exchanging tiles */

/* A tile's results go to where they belong, and in its place comes another tile, of as many positions: piece by piece (a
   class's part of a batch), beside arithmetic, which leaves loads and stores idle. Measured on Zen 4: 1.1 to 1.4 times as
   fast at 4 x 19 x 65536, 1.4 to 2.9 at 16 x 19 x 4096, whose results stay in the caches. What is wanted is fetched some
   pieces before, in the same order, so that class strides of a power of two, by which all pieces have the same places in a
   cache, do no harm: into the L2 cache, since what L1 can wait for at once is less than memory gives.
   Of blocks, which lie where they are, results go the same way, and what comes next is fetched only. */
struct exchange {
    size_t classes, vectors; /* of the batches; no classes: nothing to exchange */
    enum form form;
    size_t class, left;        /* where it is: the class, and how many vectors of its piece are left */
    real *tile, *to;           /* the next vector's place in the tile or tensor, and where its results belong */
    const real *from, *second; /* what comes in its place, and in that of the second tensor's tile */
    ptrdiff_t second_tile;     /* how far the second tensor's tile is from `tile` */
    const char *sums;          /* what `end` left for the next vector */
    ptrdiff_t tile_step, to_step, from_step, second_step; /* from the end of a piece to the next one */
    ptrdiff_t to_fetch, from_fetch, second_fetch;         /* from the next vector to what is to be fetched */
    ptrdiff_t from_wrap, second_wrap; /* added to that once the last piece is fetched: on in the batch after that */
    size_t ahead;                     /* how many pieces ahead that is */
    int gives, copies;                /* whether there are results, and whether what comes is copied */
    int streams, may_stream;          /* whether this piece's go past the caches, and any's */
    ptrdiff_t sum_size;               /* bytes of `sums` for a vector */
};

SOFTFOCUS_INLINE int streams_piece(const struct exchange *exchange)
{
    return exchange->may_stream && before_line(exchange->to, 1) == 0;
}

SOFTFOCUS_INLINE int to_exchange(const struct exchange *exchange) { return exchange->class < exchange->classes; }

/* Into the L2 cache, the line in which vector v of some begins at p. */
SOFTFOCUS_INLINE void fetch_soon(const real *p, size_t v)
{
    if (v * VF_LANES % FETCH_STEP == 0)
        __builtin_prefetch(p, 0, 2);
}

/* The result of the next vector but i. `two`, a constant: there is a second tensor. */
SOFTFOCUS_INLINE vf result_of(const struct exchange *e, size_t i, int two, column_result *result)
{
    const real *own = e->tile + i * VF_LANES;
    return result(e->sums, vf_load(own), two ? vf_load(own + e->second_tile) : vf_set1(0.0f), e->class, i, TILE);
}

/* To what comes `count` vectors later in the piece. */
SOFTFOCUS_INLINE void advance(struct exchange *e, size_t count, int two)
{
    e->left -= count;
    e->tile += count * VF_LANES;
    e->to += count * VF_LANES;
    e->from += count * VF_LANES;
    if (two)
        e->second += count * VF_LANES;
    e->sums += (ptrdiff_t)count * e->sum_size;
}

/* From the next vector but `at` on, `count` of them: a constant, MOVE (and `at` 0) or 1. What is the same for all is asked
   once (with AVX2 log-softmax 1.05 to 1.09 times as fast). */
SOFTFOCUS_INLINE void exchange_vectors(const struct exchange *e, size_t at, size_t count, int two, column_result *result)
{
    size_t first = count == MOVE ? 0 : e->vectors - e->left + at; /* to ask for the line: either begins one, or does not */
    real *tile = e->tile + at * VF_LANES;
    const real *from = e->from + at * VF_LANES, *second = two ? e->second + at * VF_LANES : NULL;
    if (e->gives) {
        real *to = e->to + at * VF_LANES;
        vf x[MOVE];
        SOFTFOCUS_UNROLL_SHORT
        for (size_t i = 0; i < count; i++)
            x[i] = result_of(e, at + i, two, result);
        if (e->streams)
            SOFTFOCUS_UNROLL_SHORT
            for (size_t i = 0; i < count; i++)
                vf_stream(to + i * VF_LANES, x[i]);
        else
            SOFTFOCUS_UNROLL_SHORT
            for (size_t i = 0; i < count; i++) {
                vf_store(to + i * VF_LANES, x[i]);
                fetch_soon(to + i * VF_LANES + e->to_fetch, first + i);
            }
    }
    if (two || e->copies)
        SOFTFOCUS_UNROLL_SHORT
        for (size_t i = 0; i < count; i++)
            vf_store(tile + i * VF_LANES, vf_load(from + i * VF_LANES));
    SOFTFOCUS_UNROLL_SHORT
    for (size_t i = 0; i < count; i++) {
        fetch_soon(from + i * VF_LANES + e->from_fetch, first + i);
        if (two) {
            vf_store(tile + i * VF_LANES + e->second_tile, vf_load(second + i * VF_LANES));
            fetch_soon(second + i * VF_LANES + e->second_fetch, first + i);
        }
    }
}

/* MOVE vectors, or as many as the piece has left. */
SOFTFOCUS_INLINE void exchange_next(struct exchange *e, int two, column_result *result)
{
    size_t count = smaller(e->left, MOVE);
    if (count == MOVE) { /* not the loop below: log-softmax would take 1.06 times the instructions */
        exchange_vectors(e, 0, MOVE, two, result);
        advance(e, MOVE, two);
    } else {
        for (size_t i = 0; i < count; i++)
            exchange_vectors(e, i, 1, two, result);
        advance(e, count, two);
    }
}

SOFTFOCUS_INLINE void next_piece(struct exchange *e, int two)
{
    if (++e->class == e->classes)
        return; /* one stride further there may be no address */
    e->left = e->vectors;
    e->sums -= (ptrdiff_t)e->vectors * e->sum_size;
    e->tile += e->tile_step;
    e->from += e->from_step;
    if (two)
        e->second += e->second_step;
    if (e->class + e->ahead == e->classes) {
        e->from_fetch += e->from_wrap;
        e->second_fetch += e->second_wrap;
        e->to_fetch = 0;
    }
    if (e->gives) {
        e->to += e->to_step;
        e->streams = streams_piece(e);
    }
}

SOFTFOCUS_INLINE void exchange_some(struct exchange *e, column_result *result)
{
    exchange_next(e, 0, result);
    if (e->left == 0)
        next_piece(e, 0);
}

/* All that is left of it. */
SOFTFOCUS_INLINE void exchange_rest(struct exchange e, int two, column_result *result)
{
    for (; to_exchange(&e); next_piece(&e, two))
        while (e.left > 0)
            exchange_next(&e, two, result);
}

/* Its results alone, where no other tile comes. Its loops are short, where the way of any block (block_store) asks what each
   vector is: with them, and such loops in tile_load_from, the loss with its gradient took 0.8 times the instructions at
   64 x 91 x 100, while no tile was exchanged there. */
SOFTFOCUS_INLINE void give_tile(struct exchange e, int two, column_result *result)
{
    for (; e.class < e.classes; e.class++, e.tile += e.vectors * VF_LANES) {
        real *to = e.to + (ptrdiff_t)e.class * e.to_step;
        if (e.may_stream && before_line(to, 1) == 0)
            for (size_t v = 0; v < e.vectors; v++)
                vf_stream(to + v * VF_LANES, result_of(&e, v, two, result));
        else
            for (size_t v = 0; v < e.vectors; v++)
                vf_store(to + v * VF_LANES, result_of(&e, v, two, result));
    }
}

/* ---- Tiles and blocks */

/* Whether rows lie one after the other, or there are none. */
SOFTFOCUS_INLINE int has_no_gaps(struct softfocus_view view, size_t classes)
{
    return !view.data || (view.class_stride == 1 && view.inner_stride == (ptrdiff_t)classes);
}

/* Whether the next rows are fetched, into the L2 cache: a batch of them is read at once, and then nothing until its results
   are written. From the L3 cache 1.6 to 1.8 times as fast at 21 and 40 classes (Zen 4). Not for rows shorter than a line,
   which the CPU's prefetchers follow (0.9 to 1.0 times), nor for less than FETCH_BYTES, which are there already. */
#define FETCH_BYTES ((size_t)1 << 19)

SOFTFOCUS_INLINE int wants_row_fetches(const struct column_tensors *tensors)
{
    size_t classes = tensors->shape.classes;
    return classes >= FETCH_STEP && has_no_gaps(tensors->in, classes) && has_no_gaps(tensors->second, classes) &&
           has_no_gaps(tensors->out, classes) && classes * tensors->shape.inner >= FETCH_BYTES / sizeof(real);
}

/* From position (outer, inner) on as much as vector v has of `count` classes, in its place. */
SOFTFOCUS_INLINE void fetch_rows(struct softfocus_view view, size_t outer, size_t inner, size_t classes, size_t v,
                                 size_t class, size_t count)
{
    const real *from = element(view, outer, 0, inner) + (v * classes + class) * VF_LANES;
    SOFTFOCUS_UNROLL_SHORT
    for (size_t i = 0; i < count * VF_LANES; i += FETCH_STEP)
        __builtin_prefetch(from + i, 0, 2);
}

SOFTFOCUS_INLINE int is_planes(struct softfocus_view view) { return view.inner_stride == 1; }

/* Whether four classes of a vector are moved at a time, by a transposition. */
SOFTFOCUS_INLINE int is_rows(struct softfocus_view view)
{
    return VF_LANES > 1 && view.class_stride == 1 && view.inner_stride != 1;
}

/* Rows of two, four or eight classes without gaps are as many vectors as there are classes, in which a class has every
   second, fourth or eighth element: unzipped until each vector has one class, and zipped again. `classes` is a constant.
   More than two only where unzipping takes one instruction, else transpositions of four by four take fewer. */
SOFTFOCUS_INLINE int is_packed(struct softfocus_view view, size_t classes)
{
    return is_rows(view) && view.inner_stride == (ptrdiff_t)classes && (classes == 2 || VF_LANES >= 16);
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
    SOFTFOCUS_UNROLL_SHORT
    for (size_t k = 0; k < classes; k++)
        a[k] = vf_load(p + k * VF_LANES);
    if (classes == 2)
        vf_unzip(a[0], a[1], &columns[0], &columns[1]);
    if (classes == 4)
        unzip4(a, columns);
    if (classes == 8) {
        SOFTFOCUS_UNROLL_SHORT
        for (size_t i = 0; i < 4; i++)
            vf_unzip(a[2 * i], a[2 * i + 1], &even[i], &odd[i]);
        unzip4(even, a);
        unzip4(odd, a + 4);
        SOFTFOCUS_UNROLL_SHORT
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
        SOFTFOCUS_UNROLL_SHORT
        for (size_t i = 0; i < 4; i++)
            a[i] = columns[2 * i], a[4 + i] = columns[2 * i + 1];
        zip4(a, even);
        zip4(a + 4, odd);
        SOFTFOCUS_UNROLL_SHORT
        for (size_t i = 0; i < 4; i++)
            vf_zip(even[i], odd[i], &a[2 * i], &a[2 * i + 1]);
    }
    SOFTFOCUS_UNROLL_SHORT
    for (size_t k = 0; k < classes; k++)
        vf_store(p + k * VF_LANES, a[k]);
}

/* A tile of planes has a class's positions side by side, as they come; any other a vector's classes. */
SOFTFOCUS_INLINE struct columns tile_columns(real *tile, struct softfocus_view view, const struct batch *batch,
                                             size_t classes)
{
    return is_planes(view) ? (struct columns){tile, (ptrdiff_t)(batch->vectors * VF_LANES), VF_LANES}
                           : (struct columns){tile, VF_LANES, classes * VF_LANES};
}

/* `classes` classes of the batch's vectors from v on, from class `first` on, into a tile. May write up to three vectors past
   a vector's classes: there come the next one's, or the room that TILE_SLACK is. One function for all kernels of an ISA
   (shared.c), since it is long. Structs go by value: the address of one that a function has been given is one through which
   any store of a vector may write, for all that the compiler knows. */
#define tile_load_from SOFTFOCUS_INSTANCE(tile_load_from)
void tile_load_from(real *tile, struct softfocus_view view, struct batch batch, size_t first, size_t classes, size_t v);

/* Where packed rows have `number` classes, a constant. Gives the first vector that is not loaded. */
SOFTFOCUS_INLINE size_t tile_load_packed(real *tile, const struct softfocus_view *view, const struct batch *batch,
                                         size_t classes, size_t number, size_t v)
{
    for (; classes == number && is_packed(*view, number) && (v + 1) * VF_LANES <= batch->count; v++) {
        vf column[8];
        packed_load(element(*view, batch->outer, 0, batch->inner + v * VF_LANES), number, column);
        SOFTFOCUS_UNROLL_SHORT
        for (size_t k = 0; k < number; k++)
            vf_store(tile + (v * number + k) * VF_LANES, column[k]);
    }
    return v;
}

/* All classes of a batch. Packed rows by themselves: a call for each tile would cost them up to 12 %. */
SOFTFOCUS_INLINE void tile_load(real *tile, struct softfocus_view view, struct batch batch, size_t classes)
{
    size_t v = 0;
    v = tile_load_packed(tile, &view, &batch, classes, 2, v);
    v = tile_load_packed(tile, &view, &batch, classes, 4, v);
    v = tile_load_packed(tile, &view, &batch, classes, 8, v);
    if (v < batch.vectors)
        tile_load_from(tile, view, batch, 0, classes, v);
}

/* A block where its passes find it: a tile of all classes, which is loaded; of some classes, whole vectors of neighbours
   where they lie, others in a tile. */
SOFTFOCUS_INLINE struct columns block_load(real *tile, const struct softfocus_view *view, const struct batch *batch,
                                           const struct block *block)
{
    if (block->form != BLOCKS)
        return tile_columns(tile, *view, batch, block->classes);
    if (is_planes(*view) && batch->count % VF_LANES == 0)
        return (struct columns){element(*view, batch->outer, block->first, batch->inner), view->class_stride, VF_LANES};
    tile_load_from(tile, *view, *batch, block->first, block->classes, 0);
    return tile_columns(tile, *view, batch, block->classes);
}

/* ---- The results of a block to where they belong */

/* What they are formed of. `next`, if not 0: the rows to fetch meanwhile are so many positions further on. */
struct block_results {
    const struct column_tensors *tensors;
    const struct batch *batch;
    const struct block *block;
    const void *sums;
    size_t next;
    int two;               /* constants: whether there is a second tensor, */
    column_result *result; /* and how they are formed */
};

/* That of class k of the block and vector v, from what lies at x and, in the second tensor's tile, at y. */
SOFTFOCUS_INLINE vf block_result(const struct block_results *of, const real *x, const real *y, size_t k, size_t v,
                                 enum form form)
{
    vf second = of->two ? vf_load(y) : vf_set1(0.0f);
    return of->result(of->sums, vf_load(x), second, of->block->first + k, v, form);
}

/* What is to be fetched where `count` classes of vector v are written as rows. */
SOFTFOCUS_INLINE void fetch_next_rows(const struct block_results *of, size_t v, size_t k, size_t count)
{
    const struct column_tensors *tensors = of->tensors;
    size_t outer = of->batch->outer, inner = of->batch->inner + of->next, classes = of->block->classes;
    if (!of->next)
        return;
    fetch_rows(tensors->in, outer, inner, classes, v, k, count);
    if (of->two)
        fetch_rows(tensors->second, outer, inner, classes, v, k, count);
    fetch_rows(tensors->out, outer, inner, classes, v, k, count);
}

/* As packed rows of `classes` classes, a constant, which is all there are: so few are not hidden. Gives the first vector
   that is not written. */
SOFTFOCUS_INLINE size_t store_packed(const struct block_results *of, size_t classes, size_t v)
{
    struct softfocus_view out = of->tensors->out;
    const struct batch *batch = of->batch;
    struct columns in = of->block->in, second = of->two ? of->block->second : in;
    for (; of->block->classes == classes && is_packed(out, classes) && (v + 1) * VF_LANES <= batch->count; v++) {
        const real *x = columns_at(in, v, 0), *y = columns_at(second, v, 0);
        vf columns[8];
        SOFTFOCUS_UNROLL_SHORT
        for (size_t k = 0; k < classes; k++, x += in.class_stride, y += second.class_stride)
            columns[k] = block_result(of, x, y, k, v, TILE);
        packed_store(element(out, batch->outer, 0, batch->inner + v * VF_LANES), classes, columns);
    }
    return v;
}

/* As rows, whole vectors of positions from v on, four classes at a time; likewise. */
SOFTFOCUS_INLINE size_t store_rows(const struct block_results *of, size_t v, enum form form)
{
    struct softfocus_view out = of->tensors->out;
    const struct batch *batch = of->batch;
    struct columns in = of->block->in, second = of->two ? of->block->second : in;
    size_t classes = of->block->classes;
    vf zero = vf_set1(0.0f);
    for (; is_rows(out) && (v + 1) * VF_LANES <= batch->count; v++) {
        const real *x = columns_at(in, v, 0), *y = columns_at(second, v, 0);
        real *target = element(out, batch->outer, of->block->first, batch->inner + v * VF_LANES);
        vf column[4] = {zero, zero, zero, zero};
        size_t k = 0;
        for (; k + 4 <= classes; k += 4) {
            ptrdiff_t from = fresh(in.class_stride), second_from = fresh(second.class_stride);
            fetch_next_rows(of, v, k, 4);
            SOFTFOCUS_UNROLL_SHORT
            for (size_t c = 0; c < 4; c++, x += from, y += second_from)
                column[c] = block_result(of, x, y, k + c, v, form);
            vf_store_columns(target + k, fresh(out.inner_stride), column, 4);
        }
        if (k < classes) {
            fetch_next_rows(of, v, k, 3);
            SOFTFOCUS_UNROLL
            for (size_t c = 0; c < 3; c++, x += in.class_stride, y += second.class_stride)
                if (k + c < classes)
                    column[c] = block_result(of, x, y, k + c, v, form);
            vf_store_columns(target + k, out.inner_stride, column, classes - k);
        }
    }
    return v;
}

/* Class by class, from vector v on. */
SOFTFOCUS_INLINE void store_classes(const struct block_results *of, size_t first)
{
    struct softfocus_view out = of->tensors->out;
    const struct batch *batch = of->batch;
    struct columns in = of->block->in, second = of->two ? of->block->second : in;
    size_t classes = of->block->classes, step = in.step, second_step = second.step;
    enum form form = of->block->form;
    for (size_t k = 0; k < classes; k++) {
        const real *x = columns_at(in, first, k), *y = columns_at(second, first, k);
        real *line = element(out, batch->outer, of->block->first + k, batch->inner);
        size_t v = first;
        int streams = of->tensors->streams && before_line(line, 1) == 0;
        /* Whole vectors of neighbours by themselves: what is asked for each of the others takes 20 of 49 instructions of the
           backward pass (clang, AVX2). */
        for (size_t full = is_planes(out) ? batch->count / VF_LANES : 0; v < full; v++, x += step, y += second_step) {
            vf result = block_result(of, x, y, k, v, form);
            if (streams)
                vf_stream(line + v * VF_LANES, result);
            else
                vf_store(line + v * VF_LANES, result);
        }
        for (; v < batch->vectors; v++, x += step, y += second_step)
            lanes_store(line + (ptrdiff_t)(v * VF_LANES) * out.inner_stride, out.inner_stride,
                        block_result(of, x, y, k, v, form), batch_lanes(batch, v));
    }
}

/* `hides`, a constant: whether there may be a HIDING_TILE. */
SOFTFOCUS_INLINE void block_store(struct block_results of, int two, int hides, column_result *result)
{
    of.two = two;
    of.result = result;
    size_t v = store_packed(&of, 2, 0);
    v = store_packed(&of, 4, v);
    v = store_packed(&of, 8, v);
    if (hides && of.block->form == HIDING_TILE) /* by itself, or each class would ask */
        v = store_rows(&of, v, HIDING_TILE);
    else if (hides && of.block->form == TILE)
        v = store_rows(&of, v, TILE);
    else
        v = store_rows(&of, v, of.block->form);
    store_classes(&of, v);
}

/* The batches of a range of positions, one by one. */
struct walk {
    struct softfocus_shape shape;
    size_t begin, end, width;
    size_t grain; /* of widths, in positions: a vector, or a line of results that go past the caches */
    int splits;  /* what is less than a vector in a run is a batch by itself */
    int repeats; /* a run's last vector is filled up with positions before it, whose results are formed twice:
                    log-softmax 1.15 to 1.25 times as fast at 64 x 91 x 100 and 64 x 150 x 100, since parts of vectors have
                    to be copied to be read, and are not exchanged. Not in place, where what they are formed of may be
                    gone */
    int pairs;   /* a run that does not fill its vectors is two batches at least, of which the second can be filled up */
    size_t evens; /* from so many batches in a run on, the last is filled up to be as long as the others. 0: never */
    struct run run;
    size_t start; /* of the next batch in the run */
    size_t each;  /* positions of the run's batches, but for the last, which may have fewer */
    int even;     /* unless it is filled up, by positions before it */
};

SOFTFOCUS_INLINE size_t each_of(size_t count, size_t batches, size_t grain)
{
    return (count + batches * grain - 1) / (batches * grain) * grain;
}

/* Begins a run, in as few batches as there may be, which are as long as each other as far as the grain lets them: of two
   that differ much, one is not exchanged beside the other. Nor is a tile for one of another length, which is that of the
   batch after next: where a run has three batches or more, a shorter last one would keep several from it. It is filled up,
   where that is a sixth more positions at most: at 64 x 80 x 196 (an eighth more) the loss is 1.24 to 1.28 times as fast and
   log-softmax 1.4; with a fifth more, at 64 x 91 x 100, the loss is 0.98 to 1.05 (AVX2, Zen 3).
   Blocks that are exchanged are whole moves, where that makes a batch a sixth longer at most (1.05 times as fast at
   64 x 91 x 100, 0.95 with a fifth more at 64 x 80 x 196). */
SOFTFOCUS_INLINE void begin_run(struct walk *walk)
{
    walk->run = take_run(walk->shape, &walk->begin, walk->end);
    size_t grain = walk->grain, width = walk->width - walk->width % grain, count = walk->run.count;
    size_t batches = (count + width - 1) / width;
    if (walk->pairs && batches == 1 && count > VF_LANES && count % VF_LANES != 0) {
        batches = 2;
        grain = VF_LANES; /* with a line's, the first might have all of them */
    }
    walk->each = each_of(count, batches, grain);
    size_t moves = each_of(count, batches, MOVE * VF_LANES);
    if (walk->pairs && 6 * (moves - walk->each) <= walk->each)
        walk->each = moves;
    walk->even = walk->evens && batches >= walk->evens && 6 * (batches * walk->each - count) <= count;
}

/* Of no positions past the last. */
SOFTFOCUS_INLINE struct batch next_batch(struct walk *walk)
{
    if (walk->start == walk->run.count) {
        walk->start = walk->run.count = 0;
        if (walk->begin < walk->end)
            begin_run(walk);
    }
    size_t count = smaller(walk->each, walk->run.count - walk->start);
    if (walk->splits && count > VF_LANES)
        count -= count % VF_LANES;
    size_t repeated = walk->even ? walk->each - count : (VF_LANES - count % VF_LANES) % VF_LANES;
    if (!walk->repeats || repeated > walk->start)
        repeated = 0;
    walk->start -= repeated;
    count += repeated;
    struct batch batch = {.outer = walk->run.outer,
                          .inner = walk->run.inner + walk->start,
                          .position = walk->run.position + walk->start,
                          .count = count,
                          .vectors = (count + VF_LANES - 1) / VF_LANES,
                          .repeated = repeated};
    walk->start += count;
    return batch;
}

/* How a call goes over its positions. */
struct column_plan {
    enum form form;
    int exchanges; /* whether batches are exchanged */
    /* How many classes are a block to a pass. By the number of classes alone where sums have other bits by other blocks: a
       tile may hold all where there are few positions, and there may be few because a batch was split; and one position by
       itself may lie in planes or not. */
    size_t step;
    struct walk walk;
};

/* The passes over a batch but for its results. `loaded`: its tile is. `exchange`: what is done beside them, as far as there
   is anything to do. */
SOFTFOCUS_INLINE void work_on_batch(const struct column_tensors *tensors, const struct batch *batch,
                                    const struct column_plan *plan, int loaded, const struct column_kernel *kernel,
                                    void *state, void *sums, real *tile, struct exchange *exchange)
{
    size_t classes = tensors->shape.classes, step = plan->step;
    int whole = plan->form != BLOCKS;
    if (whole && !loaded)
        tile_load(tile, tensors->in, *batch, classes);
    kernel->begin(state, batch);
    for (size_t pass = 0; pass < kernel->passes; pass++) {
        if (pass == 1 && kernel->is_enough && kernel->is_enough(state, batch))
            break;
        for (size_t first = 0; first < classes; first += step) {
            struct block block = {
                .first = first, .classes = smaller(step, classes - first), .form = plan->form, .exchange = exchange};
            if (whole) {
                block.in = tile_columns(tile, tensors->in, batch, classes);
                block.in.data = columns_at(block.in, 0, first);
            } else {
                block.in = block_load(tile, &tensors->in, batch, &block);
            }
            kernel->take(state, batch, &block, pass);
        }
    }
    kernel->end(state, sums, batch);
}

/* What give_tile needs of a batch in tiles of planes. */
SOFTFOCUS_INLINE struct exchange given_of(const struct column_tensors *tensors, const struct column_plan *plan,
                                          const struct batch *batch, real *tile, const real *second_tile, const void *sums)
{
    return (struct exchange){.classes = tensors->shape.classes,
                             .vectors = batch->vectors,
                             .form = plan->form,
                             .tile = tile,
                             .to = element(tensors->out, batch->outer, 0, batch->inner),
                             .to_step = tensors->out.class_stride,
                             .second_tile = tensors->second.data ? second_tile - tile : 0,
                             .may_stream = tensors->streams,
                             .sums = sums};
}

/* And these. */
SOFTFOCUS_INLINE void finish_batch(const struct column_tensors *tensors, const struct batch *batch,
                                   const struct column_plan *plan, const struct column_kernel *kernel, const void *sums,
                                   real *tile, real *second_tile)
{
    int whole = plan->form != BLOCKS;
    size_t classes = tensors->shape.classes, step = whole ? classes : BLOCK_CLASSES;
    if (plan->exchanges && whole && batch->count % VF_LANES == 0) {
        if (tensors->out.data)
            kernel->give_all(given_of(tensors, plan, batch, tile, second_tile, sums));
        return;
    }
    size_t next = 0;
    if (whole && wants_row_fetches(tensors) && batch->inner + batch->count + plan->walk.each <= tensors->shape.inner)
        next = batch->count;
    for (size_t first = 0; tensors->out.data && first < classes; first += step) {
        struct block block = {.first = first, .classes = smaller(step, classes - first), .form = plan->form};
        block.in = block_load(tile, &tensors->in, batch, &block);
        if (kernel->two)
            block.second = block_load(second_tile, &tensors->second, batch, &block);
        kernel->store_all((struct block_results){tensors, batch, &block, sums, next, 0, NULL});
    }
}

/* Of what is in `tile` (the batch `last`, with its sums) and what comes there (`next`), beside the work on `batch`. Of
   nothing unless both fill their vectors, and unless that work is long enough. */
SOFTFOCUS_INLINE struct exchange exchange_of(const struct column_tensors *tensors, const struct column_plan *plan,
                                             const struct batch *last, const struct batch *batch, const struct batch *next,
                                             real *tile, real *second_tile, const void *sums, size_t sum_size)
{
    size_t classes = tensors->shape.classes;
    int gives = tensors->out.data != NULL;
    if (next->count == 0 || next->count % VF_LANES != 0 || (gives && last->count != next->count) ||
        3 * next->vectors > 4 * batch->vectors)
        return (struct exchange){.classes = 0};
    ptrdiff_t width = (ptrdiff_t)(next->vectors * VF_LANES);
    struct exchange e = {.classes = classes,
                         .vectors = next->vectors,
                         .form = plan->form,
                         .left = next->vectors,
                         .tile = tile,
                         .to = tile, /* some place, where there are no results */
                         .from = element(tensors->in, next->outer, 0, next->inner),
                         .from_step = tensors->in.class_stride - width,
                         .ahead = smaller(PIECES_AHEAD, classes - 1),
                         .gives = gives,
                         .copies = 1,
                         .may_stream = tensors->streams,
                         .sums = sums,
                         .sum_size = (ptrdiff_t)sum_size};
    /* After the last piece comes the batch after next, or, where an image ends, what is there already. */
    ptrdiff_t ahead = (ptrdiff_t)e.ahead, steps = -ahead, positions = 0;
    if (next->inner + next->count + plan->walk.each <= tensors->shape.inner) {
        steps = -(ptrdiff_t)classes;
        positions = (ptrdiff_t)next->count;
    }
    e.from_fetch = ahead * tensors->in.class_stride;
    e.from_wrap = steps * tensors->in.class_stride + positions;
    if (tensors->second.data) {
        e.second_tile = second_tile - tile;
        e.second = element(tensors->second, next->outer, 0, next->inner);
        e.second_step = tensors->second.class_stride - width;
        e.second_fetch = ahead * tensors->second.class_stride;
        e.second_wrap = steps * tensors->second.class_stride + positions;
    }
    if (gives) {
        e.to = element(tensors->out, last->outer, 0, last->inner);
        e.to_step = tensors->out.class_stride - width;
        e.to_fetch = ahead * tensors->out.class_stride;
        e.streams = streams_piece(&e);
    }
    return e;
}

/* The same of blocks: of the results of `last`, unless it is too long for that work, and of what is fetched for `next`. */
SOFTFOCUS_INLINE struct exchange exchange_of_blocks(const struct column_tensors *tensors, const struct batch *last,
                                                    const struct batch *batch, const struct batch *next, const void *sums,
                                                    size_t sum_size)
{
    size_t classes = tensors->shape.classes;
    int gives = last->count > 0 && last->count % VF_LANES == 0 && last->vectors <= 2 * batch->vectors;
    const struct batch *own = gives ? last : next;
    int fetches = next->count >= own->count && next->count % VF_LANES == 0;
    if (own->count == 0 || !(gives || fetches))
        return (struct exchange){.classes = 0};
    ptrdiff_t width = (ptrdiff_t)(own->vectors * VF_LANES);
    real *in = element(tensors->in, own->outer, 0, own->inner);
    struct exchange e = {.classes = classes,
                         .vectors = own->vectors,
                         .form = BLOCKS,
                         .left = own->vectors,
                         .tile = in,
                         .to = element(tensors->out, own->outer, 0, own->inner),
                         .from = fetches ? element(tensors->in, next->outer, 0, next->inner) : in,
                         .tile_step = tensors->in.class_stride - width,
                         .to_step = tensors->out.class_stride - width,
                         .from_step = tensors->in.class_stride - width,
                         .ahead = smaller(WIDE_PIECES_AHEAD, classes - 1),
                         .gives = gives,
                         .may_stream = tensors->streams,
                         .sums = sums,
                         .sum_size = (ptrdiff_t)sum_size};
    e.to_fetch = (ptrdiff_t)e.ahead * tensors->out.class_stride;
    e.streams = streams_piece(&e);
    return e;
}

/* How many positions of all classes a tile of `size` elements has room for, and whether batches are such tiles. */
SOFTFOCUS_INLINE size_t positions_that_fit(const struct column_tensors *tensors, size_t size)
{
    return size / VF_LANES / tensors->shape.classes * VF_LANES;
}

SOFTFOCUS_INLINE int fits_whole(const struct column_tensors *tensors, size_t fit, size_t least)
{
    return fit >= least || (fit > 0 && fit >= tensors->shape.inner);
}

SOFTFOCUS_INLINE int are_planes(const struct column_tensors *tensors)
{
    return is_planes(tensors->in) && (!tensors->second.data || is_planes(tensors->second));
}

/* What a call of for_columns works in. */
struct column_room {
    void *state;   /* of the batch */
    void *sums[2]; /* of it and of the one before, where `end` leaves them */
    real *tiles[2]; /* of `size` elements and TILE_SLACK, or of PART_TILE */
    size_t size, width; /* positions of a batch, at most */
    int wide; /* passes go over blocks where they lie, so that there are tiles of less than a vector of positions alone */
};

/* Whether batches are tiles, and how many positions a tile has room for at least then. */
SOFTFOCUS_INLINE size_t least_of_tiles(const struct column_tensors *tensors, const struct column_kernel *kernel)
{
    return tensors->shape.classes >= kernel->hides_from ? HIDING_TILE_LEAST : TILE_LEAST;
}

SOFTFOCUS_INLINE int works_in_tiles(const struct column_tensors *tensors, const struct column_room *room,
                                    const struct column_kernel *kernel)
{
    return !room->wide && fits_whole(tensors, positions_that_fit(tensors, room->size), least_of_tiles(tensors, kernel));
}

SOFTFOCUS_INLINE struct column_plan column_plan(const struct column_tensors *tensors, const struct column_room *room,
                                                const struct column_kernel *kernel, size_t begin, size_t end)
{
    size_t fit = positions_that_fit(tensors, room->size), classes = tensors->shape.classes;
    struct column_plan plan;
    int whole = works_in_tiles(tensors, room, kernel);
    plan.form = !whole ? BLOCKS : classes >= kernel->hides_from ? HIDING_TILE : TILE;
    plan.step = whole && classes < kernel->blocks_from ? classes : BLOCK_CLASSES;
    plan.exchanges = (whole || (kernel->exchanges_blocks && room->wide)) && are_planes(tensors) &&
                     (!tensors->out.data || is_planes(tensors->out));
    size_t width = whole ? smaller(fit, room->width) : room->width;
    int in_place = tensors->out.data && (tensors->out.data == tensors->in.data || tensors->out.data == tensors->second.data);
    int pairs = kernel->exchanges_blocks && !whole && plan.exchanges && !in_place;
    plan.walk = (struct walk){.shape = tensors->shape,
                              .begin = begin,
                              .end = end,
                              .width = width,
                              .grain = tensors->streams && width >= STREAM_STEP ? STREAM_STEP : VF_LANES,
                              .splits = !whole && !pairs,
                              .repeats = !in_place,
                              .pairs = pairs,
                              .evens = !whole || !plan.exchanges || !tensors->out.data ? 0 : tensors->second.data ? 2 : 3};
    return plan;
}

/* Works on the positions begin to end - 1, where most of the arithmetic is in `take`: a batch's results are exchanged for
   the batch after next beside the work on the next one. */
SOFTFOCUS_INLINE void for_columns(const struct column_tensors *tensors, size_t begin, size_t end,
                                  const struct column_kernel *kernel, const struct column_room *room)
{
    struct column_plan plan = column_plan(tensors, room, kernel, begin, end);
    struct batch last = {.count = 0}, batch = next_batch(&plan.walk);
    int loaded = 0;
    for (size_t number = 0;; number++) {
        size_t own = plan.exchanges ? number % 2 : 0, others = plan.exchanges ? 1 - own : 0; /* which tile and sums */
        struct batch next = next_batch(&plan.walk);
        struct exchange exchange = {.classes = 0};
        if (kernel->exchanges_blocks && plan.exchanges && plan.form == BLOCKS)
            exchange = exchange_of_blocks(tensors, &last, &batch, &next, room->sums[others], kernel->sum_size);
        else if (plan.exchanges)
            exchange = exchange_of(tensors, &plan, &last, &batch, &next, room->tiles[others], NULL, room->sums[others],
                                   kernel->sum_size);
        int gives = to_exchange(&exchange) && (exchange.gives || !tensors->out.data), loads = exchange.copies;
        if (last.count > 0 && !gives) {
            finish_batch(tensors, &last, &plan, kernel, room->sums[others], room->tiles[others], NULL);
            if (kernel->amend)
                kernel->amend(room->state, room->sums[others], tensors, &last);
        }
        if (batch.count == 0)
            break;
        work_on_batch(tensors, &batch, &plan, loaded, kernel, room->state, room->sums[own], room->tiles[own], &exchange);
        if (to_exchange(&exchange))
            kernel->exchange_all(exchange);
        loaded = loads;
        last = batch;
        batch = next;
    }
    if (tensors->streams)
        vf_stream_end();
}

/* The same where there is a second tensor, and most of the arithmetic is in `finish`: beside it comes the next batch. The
   tiles are those of the two tensors. */
SOFTFOCUS_INLINE void for_two_columns(const struct column_tensors *tensors, size_t begin, size_t end,
                                      const struct column_kernel *kernel, const struct column_room *room)
{
    struct column_plan plan = column_plan(tensors, room, kernel, begin, end);
    int loaded = 0;
    for (struct batch batch = next_batch(&plan.walk), next; batch.count > 0; batch = next) {
        struct exchange exchange = {.classes = 0};
        next = next_batch(&plan.walk);
        work_on_batch(tensors, &batch, &plan, loaded, kernel, room->state, room->sums[0], room->tiles[0], &exchange);
        if (plan.form != BLOCKS && !loaded)
            tile_load(room->tiles[1], tensors->second, batch, tensors->shape.classes);
        if (plan.exchanges)
            exchange = exchange_of(tensors, &plan, &batch, &batch, &next, room->tiles[0], room->tiles[1], room->sums[0],
                                   kernel->sum_size);
        loaded = to_exchange(&exchange);
        if (loaded)
            kernel->exchange_all(exchange);
        else
            finish_batch(tensors, &batch, &plan, kernel, room->sums[0], room->tiles[0], room->tiles[1]);
        if (kernel->amend)
            kernel->amend(room->state, room->sums[0], tensors, &batch);
    }
    if (tensors->streams)
        vf_stream_end();
}

#endif
