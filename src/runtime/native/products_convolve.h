/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution as a product whose right side is never made. An image is copied with its padding, split by phase when the stride
 * is above 1: then the positions of the output, padded to the copy's line, are adjacent lanes, and each element of the kernel
 * sees the copy through a window that begins at an offset of its own. The lanes between two lines are computed and dropped.
 * Of many small images a vector's lanes are the same position of as many images, and none is lost. Private to products.c. */
#ifndef STOA_NATIVE_PRODUCTS_CONVOLVE_H
#define STOA_NATIVE_PRODUCTS_CONVOLVE_H

#include <string.h>

#include "runtime/native/products.h"
#include "runtime/native/products_tile.h"

typedef struct window {
    int64_t line, plane, copy; /* positions of a line, of one phase of a channel, of all */
    int64_t height, width;     /* of the output */
    int64_t depth;
    int64_t beside;            /* images in the copy, adjacent elements at each position: 1 or WIDTH; by `convolve` */
} window;

/* As many bytes of a copy as a near cache holds beside the rest. Larger images lose few lanes between their lines. */
#define BESIDE_BYTES ((int64_t)256 << 10)

static int64_t images_beside(const window *w, int64_t images)
{ return images >= WIDTH && w->copy * WIDTH * (int64_t)sizeof(real) <= BESIDE_BYTES ? WIDTH : 1; }

static window window_of(const native_convolution *c)
{
    window w = {.height = stoai_native_convolved(c, 0), .width = stoai_native_convolved(c, 1)};
    w.line = (c->size[1] + 2 * c->padding[1] + c->stride[1] - 1) / c->stride[1];
    w.plane = w.line * ((c->size[0] + 2 * c->padding[0] + c->stride[0] - 1) / c->stride[0]);
    w.copy = c->groups * c->channels * c->stride[0] * c->stride[1] * w.plane;
    w.depth = c->channels * c->kernel[0] * c->kernel[1];
    return w;
}

/* Where position (channel, y, x) of the padded images lies in the copy. */
INLINE int64_t place(const native_convolution *c, const window *w, int64_t channel, int64_t y, int64_t x)
{
    const int64_t phase = (channel * c->stride[0] + y % c->stride[0]) * c->stride[1] + x % c->stride[1];
    return (phase * w->plane + y / c->stride[0] * w->line + x / c->stride[1]) * w->beside;
}

/* `beside` is a constant where this is expanded. */
INLINE void copy_images(const native_convolution *c, const window *w, int64_t image, real *copy, const int64_t beside)
{
    const real *in = (const real *)c->in.data + image * c->in.image;
    for (int64_t channel = 0; channel < c->groups * c->channels; channel++)
        for (int64_t y = 0; y < c->size[0]; y++) {
            const real *from = in + channel * c->in.channel + y * c->in.row;
            for (int64_t phase = 0; phase < least(c->stride[1], c->size[1]); phase++) {
                real *to = copy + place(c, w, channel, y + c->padding[0], phase + c->padding[1]);
                for (int64_t x = phase; x < c->size[1]; x += c->stride[1])
                    for (int64_t i = 0; i < beside; i++) *to++ = from[x * c->in.column + i * c->in.image];
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

/* The same where the lanes of a vector are images. */
static void store_beside(const native_convolution *c, const window *w, const real *sums, int64_t rows, int64_t first, int64_t count,
                         real *out)
{
    for (int64_t lane = 0; lane < count; lane += WIDTH) {
        const int64_t position = (first + lane) / WIDTH;
        real *to = out + position / w->line * c->out.row + position % w->line * c->out.column;
        for (int64_t i = 0; i < rows; i++, to += c->out.channel)
            for (int64_t k = 0; k < WIDTH; k++) to[k * c->out.image] = sums[i * PANEL + lane + k];
    }
}

/* `count` lanes of a group's output from lane `first` on. */
static void convolve_lanes(const native_convolution *c, const window *w, int64_t group, int64_t first, int64_t count, const real *copy,
                           const int64_t *offsets, real *out)
{
    const real zero = 0;
    real sums[BLOCK_ROWS * PANEL];
    const real *weight = (const real *)c->weight + group * c->outs * w->depth;
    const real *bias = c->bias ? (const real *)c->bias + group * c->outs : &zero;
    const int64_t bias_row = c->bias ? 1 : 0;
    for (int64_t j = first, columns; j < first + count; j += columns) {
        const int vectors = panel_vectors(TILE_ROWS, first + count - j);
        columns = least(vectors * WIDTH, first + count - j);
        for (int64_t o = 0; o < c->outs; o += BLOCK_ROWS) {
            const int64_t rows = least(c->outs - o, BLOCK_ROWS);
            run_strip((strip){w->depth, weight + o * w->depth, w->depth, 1, copy + j, offsets, bias + o * bias_row, bias_row, 0, sums,
                              PANEL, columns},
                      rows, vectors);
            (w->beside > 1 ? store_beside : store_lanes)(c, w, sums, rows, j, columns, out + o * c->out.channel);
        }
    }
}

static void convolve_group(const native_convolution *c, const window *w, int64_t group, const real *copy, const int64_t *offsets, real *out)
{
    if (w->beside == 1) convolve_lanes(c, w, group, 0, (w->height - 1) * w->line + w->width, copy, offsets, out);
    else
        for (int64_t y = 0; y < w->height; y++) convolve_lanes(c, w, group, y * w->line * WIDTH, w->width * WIDTH, copy, offsets, out);
}

static size_t convolve_bytes(const native_convolution *c)
{
    const window w = window_of(c);
    return (size_t)w.depth * sizeof(int64_t) + (size_t)(w.copy * images_beside(&w, c->images)) * sizeof(real);
}

/* Images [first, end), a multiple of `beside`. */
static void convolve_images(const native_convolution *c, const window *w, int64_t first, int64_t end, void *workspace)
{
    int64_t *offsets = workspace, *next = offsets;
    real *copy = (real *)(void *)(offsets + w->depth);
    for (int64_t channel = 0; channel < c->channels; channel++)
        for (int64_t y = 0; y < c->kernel[0]; y++)
            for (int64_t x = 0; x < c->kernel[1]; x++) *next++ = place(c, w, channel, y * c->dilation[0], x * c->dilation[1]);
    memset(copy, 0, (size_t)(w->copy * w->beside) * sizeof *copy); /* the padding stays zero from image to image */
    for (int64_t image = first; image < end; image += w->beside) {
        if (w->beside == 1) copy_images(c, w, image, copy, 1);
        else copy_images(c, w, image, copy, WIDTH);
        for (int64_t group = 0; group < c->groups; group++)
            convolve_group(c, w, group, copy + place(c, w, group * c->channels, 0, 0), offsets,
                           (real *)c->out.data + image * c->out.image + group * c->outs * c->out.channel);
    }
}

static void convolve(const native_convolution *c, void *workspace)
{
    window w = window_of(c);
    if (w.height < 1 || w.width < 1) return;
    for (int64_t first = 0, end; first < c->images; first = end) {
        w.beside = images_beside(&w, c->images - first);
        end = c->images - (c->images - first) % w.beside;
        convolve_images(c, &w, first, end, workspace);
    }
}

#endif
