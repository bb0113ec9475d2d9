/* SPDX-License-Identifier: Apache-2.0 */
/* XGBoost through its C interface, loaded at run time from the Python package: nothing of it is needed to build. */
#include "mlp.h"

#include <dlfcn.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct xgboost {
    void *booster;
    mlp_case mlp;
    char array[160]; /* NumPy's array interface, as JSON */
    const char *(*last_error)(void);
    int (*create)(void *const *matrices, uint64_t count, void **booster);
    int (*load)(void *booster, const char *path);
    int (*set)(void *booster, const char *name, const char *value);
    int (*predict)(void *booster, const char *array, const char *config, void *matrix, const uint64_t **shape, uint64_t *rank,
                   const float **out);
    int (*release)(void *booster);
} xgboost;

static bool find_symbols(xgboost *x, void *library)
{
    struct {
        const char *name;
        void *to;
    } const symbols[] = {{"XGBGetLastError", &x->last_error},        {"XGBoosterCreate", &x->create},
                         {"XGBoosterLoadModel", &x->load},           {"XGBoosterSetParam", &x->set},
                         {"XGBoosterPredictFromDense", &x->predict}, {"XGBoosterFree", &x->release}};
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *symbol = dlsym(library, symbols[i].name);
        if (!symbol) return false;
        memcpy(symbols[i].to, &symbol, sizeof symbol); /* ISO C has no cast from object to function pointer */
    }
    return true;
}

static bool load_library(xgboost *x, char *why)
{
    glob_t found;
    void *library = NULL;
    snprintf(why, MLP_WHY, "no libxgboost.so: install xgboost-cpu into .venv");
    if (glob(STOA_BENCH_SOURCE_DIR "/.venv/lib/python*/site-packages/xgboost/lib/libxgboost.so", 0, NULL, &found) == 0) {
        library = dlopen(found.gl_pathv[0], RTLD_NOW | RTLD_LOCAL);
        if (!library) snprintf(why, MLP_WHY, "%.400s", dlerror());
    }
    globfree(&found);
    if (!library) return false;
    if (find_symbols(x, library)) return true;
    snprintf(why, MLP_WHY, "libxgboost.so lacks a function of its C interface");
    return false;
}

static void xgboost_close(void *self)
{
    xgboost *x = self;
    if (x && x->booster) (void)x->release(x->booster);
    free(x);
}

static bool xgboost_open(const mlp_case *mlp, void **self, char *why)
{
    xgboost *x = calloc(1, sizeof *x);
    *self = x;
    if (!x || !load_library(x, why)) return false;
    if (x->create(NULL, 0, &x->booster) == 0 && x->load(x->booster, mlp->path) == 0 && x->set(x->booster, "nthread", "1") == 0) return true;
    snprintf(why, MLP_WHY, "%.400s", x->last_error());
    return false;
}

static bool xgboost_prepare(void *self, const mlp_case *mlp, char *why)
{
    xgboost *x = self;
    (void)why;
    x->mlp = *mlp;
    snprintf(x->array, sizeof x->array,
             "{\"data\": [%" PRIuPTR ", true], \"shape\": [%" PRIu32 ", %" PRIu32 "], \"typestr\": \"<f4\", \"version\": 3}",
             (uintptr_t)mlp->row_major, mlp->rows, mlp->spec->widths[0]);
    return true;
}

static void xgboost_run(void *self)
{
    static const char config[] = "{\"type\": 0, \"training\": false, \"iteration_begin\": 0, \"iteration_end\": 0, "
                                 "\"strict_shape\": false, \"cache_id\": 0, \"missing\": NaN}";
    const xgboost *x = self;
    const uint64_t *shape;
    const float *out;
    uint64_t rank;
    if (x->predict(x->booster, x->array, config, NULL, &shape, &rank, &out) == 0)
        memcpy(x->mlp.out, out, sizeof(float) * x->mlp.rows); /* the library's own memory, until its next call */
}

const mlp_contender forest_xgboost = {"xgboost", xgboost_open, xgboost_prepare, xgboost_run, xgboost_close, true};
