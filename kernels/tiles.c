/* The long part of tiles.h, which needs no copy in each kernel. */
#include "kernels/tiles.h"

void tile_load_from(real *tile, struct softfocus_view view, struct batch batch, size_t first, size_t classes, size_t v)
{
    struct columns columns = tile_columns(tile, view, &batch, classes);
    for (; is_rows(view) && (v + 1) * VF_LANES <= batch.count; v++)
        for (size_t k = 0; k < classes; k += 4) {
            const real *source = element(view, batch.outer, first + k, batch.inner + v * VF_LANES);
            real *target = tile + (v * classes + k) * VF_LANES;
            vf column[4];
            if (k + 4 <= classes)
                vf_load_columns(source, view.inner_stride, 4, column);
            else
                vf_load_columns(source, view.inner_stride, classes - k, column);
            SOFTFOCUS_UNROLL_SHORT
            for (size_t c = 0; c < 4; c++)
                vf_store(target + c * VF_LANES, column[c]);
        }
    for (size_t k = 0; k < classes; k++)
        for (size_t w = v; w < batch.vectors; w++)
            vf_store(columns_at(columns, w, k),
                     lanes_load(element(view, batch.outer, first + k, batch.inner + w * VF_LANES), view.inner_stride,
                               batch_lanes(&batch, w)));
}
