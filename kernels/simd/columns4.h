/* The words on blocks of rows for ISAs of four lanes, most of them by one transposition of a square. Included by their
 * headers after vf_load_part, vf_store_part and vf_transpose4. */
#ifndef SOFTFOCUS_SIMD_COLUMNS4_H
#define SOFTFOCUS_SIMD_COLUMNS4_H

SOFTFOCUS_INLINE void vf_load_columns(const float *p, ptrdiff_t stride, size_t n, vf columns[4])
{
    SOFTFOCUS_UNROLL_SHORT
    for (ptrdiff_t i = 0; i < 4; i++)
        columns[i] = vf_load_part(p + i * stride, n, vf_set1(0.0f));
    vf_transpose4(columns);
}

SOFTFOCUS_INLINE void vf_store_columns(float *p, ptrdiff_t stride, const vf columns[4], size_t n)
{
    vf rows[4] = {columns[0], columns[1], columns[2], columns[3]};
    vf_transpose4(rows);
    SOFTFOCUS_UNROLL_SHORT
    for (ptrdiff_t i = 0; i < 4; i++)
        vf_store_part(p + i * stride, rows[i], n);
}

SOFTFOCUS_INLINE vf vf_reduce_max_rows(const vf rows[VF_LANES])
{
    vf v[4] = {rows[0], rows[1], rows[2], rows[3]};
    vf_transpose4(v);
    return vf_max(vf_max(v[0], v[1]), vf_max(v[2], v[3]));
}

SOFTFOCUS_INLINE vd vd_reduce_add_rows(const vd rows[VF_LANES])
{
    double sums[VF_LANES];
    SOFTFOCUS_UNROLL_SHORT
    for (size_t i = 0; i < VF_LANES; i++)
        sums[i] = vd_reduce_add(rows[i]);
    return vd_load(sums);
}

#endif
