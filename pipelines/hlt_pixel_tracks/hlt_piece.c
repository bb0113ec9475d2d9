/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a collection, column by column, for copies and files. */
#include "pipelines/hlt_pixel_tracks/hlt_stream.h"

bool hlt_piece_of(const stoa_view_head *view, uint32_t k, uint32_t first, hlt_piece *piece)
{
    const stoa_layout *layout = view->layout;
    for (uint32_t c = 0; c < layout->column_count; c++) {
        const stoa_column_desc *column = &layout->columns[c];
        const size_t bytes = stoa_dtype_bytes(column->dtype);
        stoa_column_geometry place;
        if (column->kind == STOA_KIND_SCALAR) continue;
        if (stoa_layout_place(layout, view->rows, c, &place, NULL) != STOA_OK) return false;
        if (k < place.component_count) {
            const size_t row = (size_t)place.component_stride * k + first;
            *piece = (hlt_piece){(char *)view->blob + place.offset_bytes + row * bytes, bytes};
            return true;
        }
        k -= place.component_count;
    }
    return false;
}
