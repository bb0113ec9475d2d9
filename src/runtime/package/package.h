/* SPDX-License-Identifier: Apache-2.0 */
/* What a model file says of itself, for the runtimes whose files carry a manifest (written by python/stoa/export.py) or are described by
 * the caller's signature: the schema that sessions bind to, how rows are told, and test vectors. */
#ifndef STOAI_PACKAGE_PACKAGE_H
#define STOAI_PACKAGE_PACKAGE_H

#include <jansson.h>

#include "model/block.h"
#include "stoa/runtime.h"

STOA_BEGIN_DECLS

#define PACKAGE_AXES_MAX 8u
#define PACKAGE_CARRIER_EXTRA UINT32_MAX

typedef struct stoai_package {
    stoa_schema schema;              /* its arrays are the package's */
    uint32_t carriers[PACKAGE_AXES_MAX]; /* of each axis: the output value (column) whose rows tell n, or PACKAGE_CARRIER_EXTRA */
    bool row_independent;
    json_t *manifest;                /* holds the names; NULL when the package was made from a signature */
    char *names;                     /* of a signature */
    size_t names_bytes;
    stoa_tensor_schema *tensors;     /* inputs, then outputs */
    const char **axes;
    uint32_t tensor_capacity;
} stoai_package;

/** Read a manifest, JSON text under the key "stoa".  errors EFORMAT, naming the key and both values; ENOTSUP newer format; ENOMEM */
stoa_status stoai_package_read(const char *text, size_t bytes, stoai_package *package, stoa_error *err);

/** Read a signature: "x:float32:17, h:float32:2:hits -> y:float32:1".  errors EINVAL, naming the part; ENOMEM */
stoa_status stoai_package_of_signature(const char *signature, stoai_package *package, stoa_error *err);

/** For files that tell their tensors themselves.  errors EINVAL a signature is given */
stoa_status stoai_package_need_no_signature(const stoa_model_options *options, stoa_error *err);

void stoai_package_deinit(stoai_package *package);

/** A string or a number of the manifest; `otherwise` when there is none. */
const char *stoai_package_text(const stoai_package *package, const char *key, const char *otherwise);
bool stoai_package_flag(const stoai_package *package, const char *key);

/** Values (columns) of all inputs or outputs together. */
uint32_t stoai_package_values(const stoa_tensor_schema *tensors, uint32_t count);

/** Elements from one value to the next of a bound block in memory order (pitch); `rows` when it has a single value. */
int64_t stoai_package_pitch(const stoa_tensor_schema *schema, const stoa_bound *values, uint32_t rows);

/** Extents of a bound block in memory order, outermost first: the schema's, the last two exchanged when column-major. */
void stoai_package_memory_shape(const stoa_tensor_schema *schema, int64_t *shape);

/** Run the test vectors that the file carries through a runtime's own slots and compare.
 *  errors ENOTSUP it carries none; ERUNTIME, naming output, row and both values; what the runtime gives */
stoa_status stoai_package_self_check(const stoai_package *package, const stoa_runtime_api *api, const void *model, stoa_error *err);

/** Find a library of a Python package: the file or folder in environment variable `variable`, else `inside` (may hold a wildcard) below
 *  $VIRTUAL_ENV's site-packages, else below the one found when this was built.  errors ENOTSUP, naming what was tried */
stoa_status stoai_package_find_library(const char *variable, const char *inside, char *path, size_t capacity, stoa_error *err);

STOA_END_DECLS
#endif
