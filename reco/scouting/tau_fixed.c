/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/check.h"
#include "reco/scouting/puppi_taus.h"
#include "reco/vector_levels.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The layers in order: name in the file, sizes, bits behind the point of the inputs and of the weights. */
enum { LAYERS = 7, HIDDEN = 5, WIDEST = 80, ACCUMULATOR_BITS = 10, HIDDEN_BITS = 9, INPUT_BITS = 6 };
typedef struct tau_layer {
    const char *weight, *bias;
    uint32_t inputs, outputs, input_bits, weight_bits;
} tau_layer;
#ifdef __CUDACC__
__constant__
#endif
    static const tau_layer layers[LAYERS] = {
        {"w2", "b2", 80, 25, INPUT_BITS, 6},    {"w5", "b5", 25, 25, HIDDEN_BITS, 6},   {"w8", "b8", 25, 15, HIDDEN_BITS, 6},
        {"w11", "b11", 15, 15, HIDDEN_BITS, 6}, {"w14", "b14", 15, 10, HIDDEN_BITS, 6}, {"w17", "b17", 10, 1, HIDDEN_BITS, 9},
        {"w20", "b20", 10, 1, HIDDEN_BITS, 9},
};

/* ap_fixed<16,6>: products are cut to 10 bits behind the point, the sum of 16 bits wraps. An input meets all outputs in
 * turn, which is a vector loop; most inputs of a cone are 0. */
RECO_VECTOR_LEVELS void dense(const tau_layer *layer, const int16_t *weight, const int16_t *bias, const int32_t *in, int32_t *sum)
{
    const uint32_t cut = layer->input_bits + layer->weight_bits - ACCUMULATOR_BITS, outputs = layer->outputs;
    for (uint32_t o = 0; o < outputs; o++) sum[o] = bias[o] * (1 << (ACCUMULATOR_BITS - layer->weight_bits));
    for (uint32_t i = 0; i < layer->inputs; i++, weight += outputs) {
        const int32_t x = in[i];
        if (x == 0) continue;
        for (uint32_t o = 0; o < outputs; o++) sum[o] += (x * weight[o]) >> cut;
    }
    for (uint32_t o = 0; o < outputs; o++) sum[o] = (int16_t)(uint16_t)sum[o];
}

/* ap_ufixed<9,0>, rounded to even and saturated: a ReLU that ends at 511/512. */
STOA_DEVICE int32_t clipped_relu(int32_t sum)
{
    const int32_t rounded = (sum + ((sum >> 1) & 1)) >> 1;
    return rounded < 0 ? 0 : rounded > 511 ? 511 : rounded;
}

STOA_DEVICE uint32_t sigmoid_index(int32_t sum)
{
    const int32_t index = (sum >> 4) + 512; /* 1/1024 to steps of 1/64 */
    return (uint32_t)(index < 0 ? 0 : index > 1023 ? 1023 : index);
}

/* A feature as the firmware has it. Angles come in units of pi/720 and are multiplied by 571 / 2^17. */
STOA_DEVICE int32_t input_of(float feature, uint32_t number)
{
    const bool is_angle = number == 1 || number == 2;
    if (!is_angle) return (int16_t)(uint16_t)(int32_t)floorf(feature * 64.0f); /* ap_fixed<16,10> */
    const int32_t units = (int32_t)rintf(feature * 229.183118f);
    return (units * 571 * 64) >> 17;
}

STOA_KERNEL(reco_tau_fixed, reco_tau_fixed)
{
    const taus_soa *t = &args->taus;
    const reco_tau_network *network = args->network;
    const uint32_t rows = *t->taus < t->head.rows ? *t->taus : t->head.rows;
    STOA_FOR (row, grid, rows) {
        int32_t in[WIDEST], sum[WIDEST], heads[2];
        const int16_t *weight = network->weight, *bias = network->bias;
        for (uint32_t k = 0; k < RECO_TAU_FEATURES; k++)
            in[k] = input_of(t->features.data[k * t->features.stride + row], k % RECO_TAU_NUMBERS);
        for (uint32_t l = 0; l < HIDDEN; l++) {
            dense(&layers[l], weight, bias, in, sum);
            for (uint32_t o = 0; o < layers[l].outputs; o++) in[o] = clipped_relu(sum[o]);
            weight += layers[l].inputs * layers[l].outputs;
            bias += layers[l].outputs;
        }
        dense(&layers[HIDDEN], weight, bias, in, &heads[0]);
        dense(&layers[HIDDEN + 1], weight + layers[HIDDEN].inputs, bias + 1, in, &heads[1]);
        t->id[row] = 0x1p-10f * (float)network->sigmoid[sigmoid_index(heads[0])];
        t->pt_factor[row] = 0x1p-10f * (float)heads[1];
    }
}

#ifndef __CUDACC__
stoa_status reco_tau_fixed_enqueue(stoa_queue *queue, const reco_tau_fixed *args, stoa_error *err)
{
    RECO_NEED(err, "tau network", queue);
    RECO_NEED(err, "tau network", args);
    RECO_NEED(err, "tau network", args->network);
    RECO_NEED(err, "tau network", args->taus.taus);
    return stoa_queue_launch(queue, &reco_tau_fixed_kernel, args, err);
}

/* ---- The file of weights. ---- */

/* The next tensor must have this name and size. Numbers are cut to `bits` behind the point, as the firmware's
 * constants. */
static stoa_status read_tensor(FILE *file, const char *path, const char *name, uint32_t size, uint32_t bits, int16_t *out, stoa_error *err)
{
    char line[256], found[32] = "";
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "tensor %31s", found) == 1) break;
    if (strcmp(found, name)) return STOA_FAIL(err, STOA_EFORMAT, "'%s': tensor '%s' where '%s' is needed", path, found, name);
    for (uint32_t i = 0; i < size; i++) {
        double value;
        if (fscanf(file, "%lf", &value) != 1 || !(fabs(value) < 32))
            return STOA_FAIL(err, STOA_EFORMAT, "'%s': tensor '%s': %u numbers below 32 read, %u needed", path, name, i, size);
        out[i] = (int16_t)floor(ldexp(value, (int)bits));
    }
    return STOA_OK;
}

static stoa_status read_layers(FILE *file, const char *path, reco_tau_network *network, stoa_error *err)
{
    int16_t *weight = network->weight, *bias = network->bias;
    for (uint32_t l = 0; l < LAYERS; l++) {
        const tau_layer *layer = &layers[l];
        STOA_TRY(read_tensor(file, path, layer->weight, layer->inputs * layer->outputs, layer->weight_bits, weight, err));
        STOA_TRY(read_tensor(file, path, layer->bias, layer->outputs, layer->weight_bits, bias, err));
        weight += layer->inputs * layer->outputs;
        bias += layer->outputs;
    }
    return STOA_OK;
}

stoa_status reco_tau_network_read(const char *path, reco_tau_network *network, stoa_error *err)
{
    RECO_NEED(err, "tau network", path);
    RECO_NEED(err, "tau network", network);
    FILE *file = fopen(path, "r");
    if (!file) return stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "'%s': %s", path, strerror(errno));
    const stoa_status status = read_layers(file, path, network, err);
    fclose(file);
    for (int i = 0; i < 1024; i++) network->sigmoid[i] = (uint16_t)floor(1024 / (1 + exp(-(i - 512) / 64.0)));
    return status;
}
#endif
