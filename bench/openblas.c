/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_internal.h"

#ifdef STOA_BENCH_OPENBLAS
#include "openblas.h"

#include <dlfcn.h>
#include <string.h>

bench_openblas_table bench_openblas;

bool bench_openblas_load(char *why, size_t capacity)
{
    static const char *const names[] = {"cblas_sgemm", "cblas_sgemv", "openblas_set_num_threads", "openblas_get_corename"};
    enum { COUNT = sizeof names / sizeof *names };
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL), *symbols[COUNT] = {NULL};
    if (!library) snprintf(why, capacity, "%.400s", dlerror());
    for (int i = 0; library && i < COUNT; i++) {
        symbols[i] = dlsym(library, names[i]);
        if (symbols[i]) continue;
        snprintf(why, capacity, "libopenblas.so.0 has no %s", names[i]);
        library = NULL;
    }
    if (library) memcpy(&bench_openblas, symbols, sizeof bench_openblas); /* ISO C has no cast from object to function pointer */
    return library != NULL;
}
#endif
