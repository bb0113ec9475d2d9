/* SPDX-License-Identifier: Apache-2.0 */
#include "scale_out/ranks.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Set for every process of a job by OpenMPI's mpirun, by PMIx and by PMI. */
static const char *const signs_of_mpirun[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_SIZE"};

static bool is_under_mpirun(void)
{
    for (size_t i = 0; i < sizeof signs_of_mpirun / sizeof *signs_of_mpirun; i++)
        if (getenv(signs_of_mpirun[i])) return true;
    return false;
}

/* The plugin lies beside the program, or where programs have their libraries. */
static void *open_plugin(char *tried, size_t capacity)
{
    static const char *const places[] = {"scale_out", "../" STOA_LIBDIR};
    char self[PATH_MAX] = "", path[2 * PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash = length > 0 ? strrchr(self, '/') : NULL;
    if (slash) *slash = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, sizeof path, "%s/%s/libstoa_mpi.so", self, places[i]);
        /* MPI's own plugins look for its symbols among the global ones. */
        void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
        if (library) return library;
        const size_t used = strlen(tried);
        snprintf(tried + used, capacity - used, "%s%s", used ? "; " : "", dlerror());
    }
    return NULL;
}

static stoa_status fail_mpi(int code, const char *what, stoa_error *err)
{ return stoa_error_set(err, STOA_ERUNTIME, code, STOA_HERE, "MPI: %s: error %d", what, code); }

stoa_status ranks_open(ranks *self, stoa_error *err)
{
    char tried[512] = "";
    *self = (ranks){.count = 1};
    if (!is_under_mpirun()) return STOA_OK;
    void *library = open_plugin(tried, sizeof tried);
    if (!library) return STOA_FAIL(err, STOA_ENOTSUP, "started by mpirun, but built without OpenMPI or its library is missing: %s", tried);
    const ranks_api *api = dlsym(library, RANKS_ENTRY);
    if (!api || api->abi != RANKS_ABI)
        return STOA_FAIL(err, STOA_EABI, "libstoa_mpi.so: abi %u found, %d needed", api ? api->abi : 0, RANKS_ABI);
    const int code = api->start(&self->rank, &self->count);
    if (code) return fail_mpi(code, "start", err);
    self->api = api;
    return STOA_OK;
}

stoa_status ranks_next(ranks *self, uint64_t *number, stoa_error *err)
{
    *number = self->handed_out++;
    const int code = self->api ? self->api->next(number) : 0;
    return code ? fail_mpi(code, "next number", err) : STOA_OK;
}

stoa_status ranks_agree(ranks *self, stoa_status status, stoa_error *err)
{
    int64_t worst = 0;
    const int code = self->api ? self->api->most(status != STOA_OK ? self->rank + 1 : 0, &worst) : 0;
    if (status != STOA_OK) return status;
    if (code) return fail_mpi(code, "agreement", err);
    return worst ? STOA_FAIL(err, STOA_ERUNTIME, "rank %lld of %u failed", (long long)worst - 1, self->count) : STOA_OK;
}

void ranks_close(ranks *self)
{
    if (self->api && self->api->stop()) self->api->abort();
    self->api = NULL;
}
