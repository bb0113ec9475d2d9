/* SPDX-License-Identifier: Apache-2.0 */
/** Status codes and the caller-owned error record.
 *
 *  Every function that can fail returns a `stoa_status` and takes a nullable `stoa_error *err` last. The library
 *  never prints, aborts or keeps a "last error": what went wrong stands in the caller's record, or nowhere.
 *
 *  Structs that grow with the library begin with `struct_size`, the caller's sizeof. A shorter one than this version's is EINVAL; of a
 *  longer one, of options, what is behind this version's must be zero, and of one to be filled it is left alone.
 *
 *      stoa_error err;
 *      if (stoa_model_load("net.onnx", NULL, &model, &err) != STOA_OK)
 *          fprintf(stderr, "%s: %s\n", stoa_status_name(err.status), err.message);
 */
#ifndef STOA_STATUS_H
#define STOA_STATUS_H

#include "stoa/export.h"

STOA_BEGIN_DECLS

/** The one table of statuses: name, number, text. Numbers are frozen and never reused. */
#define STOA_STATUS_MAP(X) \
    X(OK, 0, "success") \
    X(EINVAL, 10, "argument outside its documented domain") \
    X(ESHAPE, 11, "count, rank, shape or stride mismatch") \
    X(EDTYPE, 12, "data type mismatch or unsupported data type") \
    X(EALIGN, 13, "pointer not aligned as required") \
    X(EOVERLAP, 14, "memory ranges overlap") \
    X(ENAME, 15, "unknown or duplicate name") \
    X(ECONST, 16, "read-only memory where the function writes") \
    X(EPLACE, 17, "memory or object of another device") \
    X(ESTATE, 18, "object not in a state that allows the call") \
    X(ENOMEM, 20, "host or device memory exhausted") \
    X(ELIMIT, 21, "configured limit exceeded") \
    X(ENOTSUP, 30, "not supported by this build, device or runtime") \
    X(EABI, 31, "plugin built for another version of the interface") \
    X(ECOPY, 32, "a copy would be needed and was not allowed") \
    X(EDEVICE, 40, "device or driver failure") \
    X(ERUNTIME, 50, "model runtime failure") \
    X(EIO, 60, "file or stream cannot be read or written") \
    X(EFORMAT, 61, "malformed or truncated data")

typedef enum stoa_status {
#define STOA_STATUS_ENUM_(name, number, text) STOA_##name = (number),
    STOA_STATUS_MAP(STOA_STATUS_ENUM_)
#undef STOA_STATUS_ENUM_
} stoa_status;

/** What went wrong. 1 KiB, frozen; the caller owns it, usually on the stack.
 *  After a call that returned STOA_OK its contents are unspecified. */
typedef struct stoa_error {
    stoa_status status;  /**< same as the returned status */
    int32_t native;      /**< errno, CUresult, OrtErrorCode ... of the layer below, or 0 */
    const char *where;   /**< "file.c:line", static storage */
    char message[1008];  /**< names the thing and both values; always terminated */
} stoa_error;

/** The name of a status: "STOA_ESHAPE" for STOA_ESHAPE; "STOA_UNKNOWN" for a number outside the table.
 *  owns static storage   threads any   errors none   since 0.1 */
STOA_API const char *stoa_status_name(stoa_status status);

/** One line of English for a status.
 *  owns static storage   threads any   errors none   since 0.1 */
STOA_API const char *stoa_status_text(stoa_status status);

/** Fill `err` (when not NULL) and return `status`. For plugins and for code built on the library; use STOA_FAIL.
 *  owns borrows all; `where` must be static   threads any   errors returns `status`   since 0.1 */
STOA_API stoa_status stoa_error_set(stoa_error *err, stoa_status status, int32_t native, const char *where, const char *format, ...)
    STOA_PRINTF(5, 6);

#define STOA_STRING_2_(x) #x
#define STOA_STRING_(x) STOA_STRING_2_(x)
#ifdef __FILE_NAME__
#define STOA_HERE __FILE_NAME__ ":" STOA_STRING_(__LINE__)
#else
#define STOA_HERE __FILE__ ":" STOA_STRING_(__LINE__)
#endif

/** `return STOA_FAIL(err, STOA_ESHAPE, "tensor '%s': %u columns given, %u needed", ...);` */
#define STOA_FAIL(err, status, ...) stoa_error_set((err), (status), 0, STOA_HERE, __VA_ARGS__)

/** Forward a failure of `expr` to the caller. The only macro of this library that hides control flow. */
#define STOA_TRY(expr) \
    do { \
        stoa_status status_ = (expr); \
        if (status_ != STOA_OK) return status_; \
    } while (0)

STOA_END_DECLS
#endif
