/* SPDX-License-Identifier: Apache-2.0 */
/* An exception from C. Where libtorch would throw, compiled code relies on not being returned to: a bad index would be used. */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unwind.h>

#include "runtime/aoti/shim_internal.h"

/* Thrown again on the same thread only when the one before has ended. */
static _Thread_local struct _Unwind_Exception exception;

static void forget(_Unwind_Reason_Code reason, struct _Unwind_Exception *thrown)
{
    (void)reason, (void)thrown;
}

void stoai_shim_throw(const char *format, ...)
{
    shim_context *context = stoai_shim_current();
    va_list args;
    va_start(args, format);
    if (context && !context->message[0]) vsnprintf(context->message, sizeof context->message, format, args);
    va_end(args);
    exception = (struct _Unwind_Exception){.exception_class = 0x53544f4100000000u /* "STOA" */, .exception_cleanup = forget};
    _Unwind_RaiseException(&exception);
    abort(); /* no frame catches: the model's entry always does */
}

void *stoai_shim_libstdcxx(const char *name)
{
    static void *_Atomic opened; /* stays: the model needs it too. Opening it twice is the same library. */
    void *found = dlsym(RTLD_DEFAULT, name); /* the linker's own order: somebody may have put his functions first */
    if (found) return found;
    void *library = opened;
    if (!library) opened = library = dlopen("libstdc++.so.6", RTLD_NOW | RTLD_LOCAL);
    return library ? dlsym(library, name) : NULL;
}
