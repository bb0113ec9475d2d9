/* SPDX-License-Identifier: Apache-2.0 */
/* Weights as the tensor cores of CUDA take them: rounded to the model's precision and in the order in which the lanes of a warp hold a
 * matrix of 16 neurons x one step of k. For each group of 16 neurons and each step of FRAGMENT_STEP(precision) ks lie the words of
 * the 32 lanes, FRAGMENT_WORDS each: word r of lane l is of neuron l / 4 + 8 * (r % 2). With TFLOAT32 it is the weight of
 * k = 4 * (r / 2) + l % 4; with the 16-bit types it holds two, of k = 4 * (r / 2 * 2) + l % 4 in its lower half and of k + 4 in its
 * upper. So a lane needs the inputs of every fourth k alone, whatever the type. Beyond the matrix lie zeros. */
#ifndef STOA_NATIVE_FRAGMENTS_H
#define STOA_NATIVE_FRAGMENTS_H

#include "runtime/native/program.h"

#define FRAGMENT_LANES 32u
#define FRAGMENT_WORDS 4u
/* Floats between the columns of a tile beside its rows: lanes that read four columns at once then meet in no bank of memory. */
#define FRAGMENT_PAD 8u

/* Values of k in a step. */
#define FRAGMENT_STEP(precision) ((precision) == STOA_PRECISION_TFLOAT32 ? 8u : 16u)

#ifndef __CUDACC__
#include "runtime/native/graph_arena.h"

/* Gives every matrix of the plan with NATIVE_CHAIN_BELOW neurons or more its fragments; with STOA_PRECISION_FLOAT32 none.
 * Errors: ENOMEM; ENOTSUP a weight beyond the range of FLOAT16, naming it. */
stoa_status stoai_native_fragments(native_plan *plan, stoa_precision precision, graph_arena *arena, stoa_error *err);
#endif

#endif
