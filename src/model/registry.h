/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STOA_MODEL_REGISTRY_H
#define STOA_MODEL_REGISTRY_H

#include "stoa/runtime.h"

/* Name of the runtime that reads files of that extension (".onnx"), loaded or not; NULL: none. */
const char *stoai_runtime_of_extension(const char *extension);

#endif
