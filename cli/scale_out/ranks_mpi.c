/* SPDX-License-Identifier: Apache-2.0 */
/* The ranks of ranks.h by MPI: a plugin, the only code here that links it. Numbers come from a counter in the memory of the
 * first rank that all add to one-sidedly, so a busy rank holds up nobody. */
#include <mpi.h>

#include "scale_out/ranks.h"
#include "stoa/export.h"

static MPI_Win window;
static uint64_t *counter;

#define MPI_TRY(call) \
    do { \
        const int code_ = (call); \
        if (code_ != MPI_SUCCESS) return code_; \
    } while (0)

static int start(uint32_t *rank, uint32_t *count)
{
    int level, me, all;
    MPI_TRY(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level));
    MPI_TRY(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
    MPI_TRY(MPI_Comm_rank(MPI_COMM_WORLD, &me));
    MPI_TRY(MPI_Comm_size(MPI_COMM_WORLD, &all));
    MPI_TRY(MPI_Win_allocate(me == 0 ? sizeof *counter : 0, sizeof *counter, MPI_INFO_NULL, MPI_COMM_WORLD, (void *)&counter, &window));
    if (me == 0) *counter = 0;
    MPI_TRY(MPI_Win_lock_all(0, window));
    MPI_TRY(MPI_Win_sync(window));
    MPI_TRY(MPI_Barrier(MPI_COMM_WORLD)); /* nobody counts before the counter is 0 */
    *rank = (uint32_t)me;
    *count = (uint32_t)all;
    return 0;
}

static int next(uint64_t *number)
{
    const uint64_t one = 1;
    MPI_TRY(MPI_Fetch_and_op(&one, number, MPI_UINT64_T, 0, 0, MPI_SUM, window));
    return MPI_Win_flush(0, window);
}

static int most(int64_t mine, int64_t *of_all) { return MPI_Allreduce(&mine, of_all, 1, MPI_INT64_T, MPI_MAX, MPI_COMM_WORLD); }

static int stop(void)
{
    MPI_TRY(MPI_Win_unlock_all(window));
    MPI_TRY(MPI_Win_free(&window));
    return MPI_Finalize();
}

static void end_all(void) { (void)MPI_Abort(MPI_COMM_WORLD, 1); }

STOA_API extern const ranks_api stoa_ranks_api;
const ranks_api stoa_ranks_api = {RANKS_ABI, start, next, most, stop, end_all};
