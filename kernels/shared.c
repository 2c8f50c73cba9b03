/* What the kernels of an ISA share and call: too long for a copy in each, which would be no faster. */
#include "kernels/softmax.h"

size_t chunk_begin(const struct softfocus_chunks *chunks, size_t chunk) { return softfocus_chunk_begin(chunks, chunk); }

SOFTFOCUS_INLINE void copy_vectors(real *to, const real *from, size_t count)
{
    for (size_t i = 0; i < count * VF_LANES; i += VF_LANES)
        vf_store(to + i, vf_load(from + i));
}

SOFTFOCUS_INLINE void store4(real *p, const vf a[4])
{
    SOFTFOCUS_UNROLL_SHORT
    for (size_t i = 0; i < 4; i++)
        vf_store(p + i * VF_LANES, a[i]);
}

void tile_load_from(real *tile, struct softfocus_view view, struct batch batch, size_t first, size_t classes, size_t v)
{
    struct columns columns = tile_columns(tile, view, &batch, classes);
    for (; is_rows(view) && (v + 1) * VF_LANES <= batch.count; v++) {
        const real *source = element(view, batch.outer, first, batch.inner + v * VF_LANES);
        real *target = tile + v * classes * VF_LANES;
        vf column[4];
        size_t k = 0;
        for (; k + 4 <= classes; k += 4, target += 4 * VF_LANES) {
            vf_load_columns(source + k, fresh(view.inner_stride), 4, column);
            store4(target, column);
        }
        if (k < classes) {
            vf_load_columns(source + k, view.inner_stride, classes - k, column);
            store4(target, column);
        }
    }
    size_t full = batch.count / VF_LANES;
    for (size_t k = 0; k < classes; k++) {
        size_t w = v;
        const real *source = element(view, batch.outer, first + k, batch.inner + w * VF_LANES);
        real *target = columns_at(columns, w, k);
        if (is_planes(view) && w < full) {
            copy_vectors(target, source, full - w);
            w = full;
        }
        for (; w < batch.vectors; w++)
            vf_store(columns_at(columns, w, k),
                     lanes_load(element(view, batch.outer, first + k, batch.inner + w * VF_LANES), view.inner_stride,
                               batch_lanes(&batch, w)));
    }
}

/* Short loops, in which each group looks for the hole. */
SOFTFOCUS_RARE vd row_sum_far(const real *z, size_t classes, struct hole hole, float m, real *keep,
                              struct softfocus_row_share *share, double *again)
{
    enum exp_use use = hole.by_value ? EXP_ADDENDS : EXP_FACTORS; /* as the caller has it */
    struct exp_base base = exp_base(vf_set1(m), 1, use);
    struct beside beside = {.keeps = keep != NULL, .use = use, .keep = keep};
    const size_t piece = SOFTFOCUS_ROW_PIECE;
    size_t equal = 0;
    vd total = vd_set1(0.0);
    for (size_t i = 0; i < classes;) { /* piece by piece, as long_row_sum_exp */
        struct exp_sum sum = no_terms(vd_set1(0.0), use);
        for (size_t end = smaller(i + piece, classes); i < end; i += GROUP)
            row_group(z, classes, i, hole, base, 1, &beside, &sum, &equal);
        total = vd_add(total, sum.sum);
    }
    if (again)
        *again = (double)equal - 1.0;
    if (share)
        vd_store(share->sum, total);
    return total;
}

SOFTFOCUS_RARE void find_share_peak(struct softfocus_row_share *share, const real *z, size_t classes, struct maxima *maxima,
                                    size_t *hole)
{
    vi group;
    if (share->step == SOFTFOCUS_STEP_MAX) {
        vf_store(share->best, row_max_group(z, classes, &group));
        vi_store(share->group, vi_add(group, vi_set1((int32_t)(share->first / GROUP))));
        return;
    }
    maxima->best[0] = vf_load(share->best);
    set_maxima(maxima, 1);
    *hole = group_of_max(maxima->best[0], vi_load(share->group), maxima->m[0]) - share->first;
}

SOFTFOCUS_RARE void columns_sum_far(const struct column_sum *of, vd *sum, struct column_found *found)
{
    struct column_sum rest = *of;
    enum exp_use use = use_of(rest.hole.kind);
    struct exp_base base = exp_base_of(rest.near, 1, rest.whole, use);
    struct exp_sum terms = no_terms(*sum, use);
    while (rest.class < rest.end)
        next_group(&rest, base, 1, &terms, found);
    settle(&terms, COLUMNS_SPLIT, use);
    *sum = terms.sum;
}
