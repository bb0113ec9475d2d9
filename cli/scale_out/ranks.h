/* SPDX-License-Identifier: Apache-2.0 */
/* The processes that `mpirun` started together: who we are, numbers that are handed out once, and one common outcome.
 *
 * Nothing here links MPI. Under mpirun the plugin libstoa_mpi.so (ranks_mpi.c) is loaded; without mpirun there is one rank,
 * no plugin is looked for, and all calls are local.
 *
 *     ranks_open(&ranks, &err);
 *     while (ranks_next(&ranks, &number, &err) == STOA_OK && number < count) work(number);
 *     status = ranks_agree(&ranks, status, &err);      // all have come here, and all have the same answer
 *     ranks_close(&ranks);
 *
 * OpenMPI ends all ranks of a job when one dies; what survives that is in files (parts.h). */
#ifndef STOA_CLI_RANKS_H
#define STOA_CLI_RANKS_H

#include <stdbool.h>
#include <stdint.h>

#include "stoa/status.h"

/* What the plugin exports under RANKS_ENTRY. All return 0, or an error code of MPI. */
typedef struct ranks_api {
    uint32_t abi; /* RANKS_ABI */
    int (*start)(uint32_t *rank, uint32_t *count);
    int (*next)(uint64_t *number);                      /* 0, 1, 2 .., each to one rank; no rank waits for another */
    int (*most)(int64_t mine, int64_t *of_all);         /* collective; the largest */
    int (*stop)(void);                                  /* collective */
    void (*abort)(void);                                /* end all ranks */
} ranks_api;
#define RANKS_ENTRY "stoa_ranks_api"
enum { RANKS_ABI = 1 };

typedef struct ranks {
    const ranks_api *api; /* NULL: not under mpirun */
    uint32_t rank, count;
    uint64_t handed_out; /* by a rank alone */
} ranks;

/* Join the other ranks; one rank without mpirun.
 * errors  ENOTSUP under mpirun without the plugin, and why; EABI another plugin; ERUNTIME of MPI, its code in `native` */
STOA_MUST_CHECK stoa_status ranks_open(ranks *self, stoa_error *err);
/* The next number that no rank has had.   errors ERUNTIME */
STOA_MUST_CHECK stoa_status ranks_next(ranks *self, uint64_t *number, stoa_error *err);
/* Wait for all ranks. STOA_OK when all came with it; else the own failure, or ERUNTIME where it was another's. Collective. */
STOA_MUST_CHECK stoa_status ranks_agree(ranks *self, stoa_status status, stoa_error *err);
/* Leave; waits for all ranks. No-op when not open. */
void ranks_close(ranks *self);

static inline bool ranks_is_first(const ranks *self) { return self->rank == 0; }

#endif
