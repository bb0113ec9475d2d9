/* SPDX-License-Identifier: Apache-2.0 */
/* What every public header needs: symbol visibility, C++ linkage, and the attribute that makes an ignored
 * status a warning. Holds no declaration of its own. */
#ifndef STOA_EXPORT_H
#define STOA_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(STOA_PLUGIN) /* a plugin keeps its copies of the library's functions to itself, and exports its entry alone */
#define STOA_API
#define STOA_PLUGIN_EXPORT __attribute__((visibility("default")))
#elif defined(_WIN32) && defined(STOA_BUILDING)
#define STOA_API __declspec(dllexport)
#elif defined(_WIN32)
#define STOA_API __declspec(dllimport)
#elif defined(__GNUC__)
#define STOA_API __attribute__((visibility("default")))
#else
#define STOA_API
#endif

#if defined(__GNUC__)
#define STOA_MUST_CHECK __attribute__((warn_unused_result))
#define STOA_PRINTF(format_index, first_index) __attribute__((format(printf, format_index, first_index)))
#else
#define STOA_MUST_CHECK
#define STOA_PRINTF(format_index, first_index)
#endif

#ifdef __cplusplus
#define STOA_BEGIN_DECLS extern "C" {
#define STOA_END_DECLS }
#else
#define STOA_BEGIN_DECLS
#define STOA_END_DECLS
#endif

#endif
