/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution as a product whose right side is never made. An image is copied with its padding, split by phase when the stride
 * is above 1: then the positions of the output, padded to the copy's line, are adjacent lanes, and each element of the kernel
 * sees the copy through a window that begins at an offset of its own. The lanes between two lines are computed and dropped.
 * Private to products.c. */
#ifndef STOA_NATIVE_PRODUCTS_CONVOLVE_H
#define STOA_NATIVE_PRODUCTS_CONVOLVE_H

#include <string.h>

#include "runtime/native/products.h"
#include "runtime/native/products_tile.h"

typedef struct window {
    int64_t line, plane, copy; /* elements of a line, of one phase of a channel, of all */
    int64_t height, width;     /* of the output */
    int64_t depth;
} window;

static window window_of(const native_convolution *c)
{
    window w = {.height = stoai_native_convolved(c, 0), .width = stoai_native_convolved(c, 1)};
    w.line = (c->size[1] + 2 * c->padding[1] + c->stride[1] - 1) / c->stride[1];
    w.plane = w.line * ((c->size[0] + 2 * c->padding[0] + c->stride[0] - 1) / c->stride[0]);
    w.copy = c->groups * c->channels * c->stride[0] * c->stride[1] * w.plane;
    w.depth = c->channels * c->kernel[0] * c->kernel[1];
    return w;
}

/* Where element (channel, y, x) of the padded image lies in the copy. */
INLINE int64_t place(const native_convolution *c, const window *w, int64_t channel, int64_t y, int64_t x)
{
    const int64_t phase = (channel * c->stride[0] + y % c->stride[0]) * c->stride[1] + x % c->stride[1];
    return phase * w->plane + y / c->stride[0] * w->line + x / c->stride[1];
}

static void copy_image(const native_convolution *c, const window *w, int64_t image, real *copy)
{
    const real *in = (const real *)c->in.data + image * c->in.image;
    for (int64_t channel = 0; channel < c->groups * c->channels; channel++)
        for (int64_t y = 0; y < c->size[0]; y++) {
            const real *from = in + channel * c->in.channel + y * c->in.row;
            for (int64_t phase = 0; phase < least(c->stride[1], c->size[1]); phase++) {
                real *to = copy + place(c, w, channel, y + c->padding[0], phase + c->padding[1]);
                for (int64_t x = phase; x < c->size[1]; x += c->stride[1]) *to++ = from[x * c->in.column];
            }
        }
}

/* Lanes [first, first + count) of `rows` channels to the image, without those between its lines. */
static void store_lanes(const native_convolution *c, const window *w, const real *sums, int64_t rows, int64_t first, int64_t count,
                        real *out)
{
    for (int64_t lane = first, stop; lane < first + count; lane = stop) {
        const int64_t y = lane / w->line, x = lane % w->line;
        stop = least(first + count, (y + 1) * w->line);
        const int64_t width = least(stop - lane, w->width - x);
        for (int64_t i = 0; i < rows; i++) {
            const real *from = sums + i * PANEL + lane - first;
            real *to = out + i * c->out.channel + y * c->out.row + x * c->out.column;
            for (int64_t k = 0; k < width; k++) to[k * c->out.column] = from[k];
        }
    }
}

static void convolve_group(const native_convolution *c, const window *w, int64_t group, const real *copy, const int64_t *offsets, real *out)
{
    const real zero = 0;
    real sums[BLOCK_ROWS * PANEL];
    const real *weight = (const real *)c->weight + group * c->outs * w->depth;
    const real *bias = c->bias ? (const real *)c->bias + group * c->outs : &zero;
    const int64_t positions = (w->height - 1) * w->line + w->width, bias_row = c->bias ? 1 : 0;
    for (int64_t j = 0, columns; j < positions; j += columns) {
        const int vectors = panel_vectors(TILE_ROWS, positions - j);
        columns = least(vectors * WIDTH, positions - j);
        for (int64_t o = 0; o < c->outs; o += BLOCK_ROWS) {
            const int64_t rows = least(c->outs - o, BLOCK_ROWS);
            run_strip((strip){w->depth, weight + o * w->depth, w->depth, 1, copy + j, offsets, bias + o * bias_row, bias_row, 0, sums,
                              PANEL, columns},
                      rows, vectors);
            store_lanes(c, w, sums, rows, j, columns, out + o * c->out.channel);
        }
    }
}

static size_t convolve_bytes(const native_convolution *c)
{
    const window w = window_of(c);
    return (size_t)w.depth * sizeof(int64_t) + (size_t)w.copy * sizeof(real);
}

static void convolve(const native_convolution *c, void *workspace)
{
    const window w = window_of(c);
    int64_t *offsets = workspace, *next = offsets;
    real *copy = (real *)(void *)(offsets + w.depth);
    if (w.height < 1 || w.width < 1) return;
    for (int64_t channel = 0; channel < c->channels; channel++)
        for (int64_t y = 0; y < c->kernel[0]; y++)
            for (int64_t x = 0; x < c->kernel[1]; x++) *next++ = place(c, &w, channel, y * c->dilation[0], x * c->dilation[1]);
    memset(copy, 0, (size_t)w.copy * sizeof *copy); /* the padding stays zero from image to image */
    for (int64_t image = 0; image < c->images; image++) {
        copy_image(c, &w, image, copy);
        for (int64_t group = 0; group < c->groups; group++)
            convolve_group(c, &w, group, copy + place(c, &w, group * c->channels, 0, 0), offsets,
                           (real *)c->out.data + image * c->out.image + group * c->outs * c->out.channel);
    }
}

#endif
