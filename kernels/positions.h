/* Where the elements of a position lie: ranges of positions as runs along the inner axis, and what is read and written
 * there. */
#ifndef SOFTFOCUS_POSITIONS_H
#define SOFTFOCUS_POSITIONS_H

#include "kernels/instance.h"

typedef float real; /* the element type of the tensors of this instance */

enum {
    FETCH_STEP = 64 / sizeof(real), /* elements of a cache line, */
    PAGE = 4096 / sizeof(real)      /* and of a page, at least */
};

SOFTFOCUS_INLINE real *element(struct softfocus_view view, size_t outer, size_t class, size_t inner)
{
    return (real *)view.data + (ptrdiff_t)outer * view.outer_stride + (ptrdiff_t)class * view.class_stride +
           (ptrdiff_t)inner * view.inner_stride;
}

SOFTFOCUS_INLINE size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* A stride, by which the addresses of several rows are formed anew in each turn of a loop. Else gcc keeps an address for
   each row, in memory where they are eight. */
SOFTFOCUS_INLINE ptrdiff_t fresh(ptrdiff_t stride)
{
    __asm__("" : "+r"(stride));
    return stride;
}

/* An address, by which what lies there is loaded anew where registers are few (AVX-512 has 32). There gcc would keep what it
   has loaded in memory. */
SOFTFOCUS_INLINE const real *fresh_place(const real *place)
{
#ifndef __clang__
    if (VF_LANES < 16)
        __asm__("" : "+r"(place));
#endif
    return place;
}

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

/* How many of `count` elements come before the first cache line, from which on they can be streamed: a line that is written
   in two parts, with other lines between them, goes to memory twice. */
SOFTFOCUS_INLINE size_t before_line(const real *p, size_t count)
{
    size_t past = (uintptr_t)p / sizeof(real) % STREAM_STEP;
    return past ? smaller(STREAM_STEP - past, count) : 0;
}

/* Whether a call has more results than a core has of cache. */
SOFTFOCUS_INLINE int exceeds_caches(const struct softfocus_shape *shape)
{
    return shape->outer * shape->inner >= SOFTFOCUS_STREAM_BYTES / sizeof(real) / shape->classes;
}

/* Whether results go past the caches: where a call has more of them than a core has of cache. A store into a cache reads the
   line first, and its way out costs what the next line's way in does. Not in place, where the line is there anyway.
   Measured (Ice Lake, rows of 1000, 4 MB): a plain copy takes 0.60 ns an element, one past the caches 0.30. On Zen 4, with
   an L3 cache of 32 MB, log-softmax past the caches takes 1.16 times the time at 4.8 MB (1200 x 1000), 0.82 at 6.4 (32 x
   50257). */
SOFTFOCUS_INLINE int streams_to(const struct softfocus_shape *shape, struct softfocus_view in, struct softfocus_view out)
{
    return VF_STREAMS && out.data && out.data != in.data && (uintptr_t)out.data % sizeof(real) == 0 && exceeds_caches(shape);
}

/* softfocus_chunk_begin as one function of an ISA (shared.c): it divides twice, and kernels call it from several places. */
#define chunk_begin SOFTFOCUS_INSTANCE(chunk_begin)
size_t chunk_begin(const struct softfocus_chunks *chunks, size_t chunk);

/* ---- Sums of losses: a lane's are added up by themselves, so that which lane a loss comes to decides the sum's last bits.
   They may depend on the shape and the strides alone, and not on where vectors begin for speed. */

/* The lanes, from lane `by` on: what vectors that begin `by` positions later add to. */
SOFTFOCUS_INLINE vd sums_from(vd sums, size_t by)
{
    double lanes[2 * VF_LANES];
    if (by % VF_LANES == 0) /* most often */
        return sums;
    vd_store(lanes, sums);
    vd_store(lanes + VF_LANES, sums);
    return vd_load(lanes + by % VF_LANES);
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

#endif
