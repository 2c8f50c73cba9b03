/* vf_load_columns and vf_store_columns for ISAs of four lanes: one transposition of a square. Included by their headers
 * after vf_load_part, vf_store_part and vf_transpose4. */
#ifndef SOFTFOCUS_SIMD_COLUMNS4_H
#define SOFTFOCUS_SIMD_COLUMNS4_H

SOFTFOCUS_INLINE void vf_load_columns(const float *p, ptrdiff_t stride, size_t n, vf columns[4])
{
    for (ptrdiff_t i = 0; i < 4; i++)
        columns[i] = vf_load_part(p + i * stride, n, vf_set1(0.0f));
    vf_transpose4(columns);
}

SOFTFOCUS_INLINE void vf_store_columns(float *p, ptrdiff_t stride, const vf columns[4], size_t n)
{
    vf rows[4] = {columns[0], columns[1], columns[2], columns[3]};
    vf_transpose4(rows);
    for (ptrdiff_t i = 0; i < 4; i++)
        vf_store_part(p + i * stride, rows[i], n);
}

#endif
