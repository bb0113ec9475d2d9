/* SPDX-License-Identifier: Apache-2.0 */
/* Internal: a function of plain loops, compiled for each vector unit that a machine may have; the loader takes the best.
 * Other compilers, and sanitizers (which cannot resolve functions before they are set up), get the one of the build. */
#ifndef RECO_VECTOR_LEVELS_H
#define RECO_VECTOR_LEVELS_H

#include "stoa/kernel.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define RECO_VECTOR_LEVELS static __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define RECO_VECTOR_LEVELS STOA_DEVICE
#endif

/* Ask for a line of memory that is soon read; a wrong address is no fault. A GPU has other threads to go on with. */
#if defined(__GNUC__) && !defined(__CUDACC__)
#define RECO_ASK_AHEAD(at) __builtin_prefetch(at)
#else
#define RECO_ASK_AHEAD(at) ((void)(at))
#endif

/* Before a loop over a fixed number of lanes: vectors of it as it stands, not of what unrolling leaves. RECO_HAVE_VECTORS comes from the
 * build, where the compiler takes -fopenmp-simd. */
#ifdef RECO_HAVE_VECTORS
#define RECO_VECTORS _Pragma("omp simd")
#else
#define RECO_VECTORS
#endif

#endif
