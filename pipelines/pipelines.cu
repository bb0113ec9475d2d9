/* SPDX-License-Identifier: Apache-2.0 */
/* The GPU form of the jobs' own kernels: the same files, compiled by nvcc. */
#include "pipelines/hlt_pixel_tracks/hlt_deliver.c"
#include "pipelines/hlt_pixel_tracks/hlt_select_all.c"
#include "pipelines/scouting_tau/scout_select.c"
