/* SPDX-License-Identifier: Apache-2.0 */
/* The native runtime: ONNX files, read, lowered and run by this library alone. */
#ifndef STOA_NATIVE_NATIVE_H
#define STOA_NATIVE_NATIVE_H

#include "stoa/runtime.h"

extern const stoa_runtime_api stoai_native_api;

#endif
