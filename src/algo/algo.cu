/* SPDX-License-Identifier: Apache-2.0 */
/* The GPU form of stoa/algo.h and of records to columns: the same files, compiled by nvcc. */
#include "algo/compact.c"
#include "algo/gather.c"
#include "algo/histogram.c"
#include "algo/scan.c"
#include "algo/sort.c"
#include "soa/transpose.c"
