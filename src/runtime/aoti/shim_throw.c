/* SPDX-License-Identifier: Apache-2.0 */
/* An exception from C, and the C++ library that it passes through. Where libtorch would throw, compiled code relies on not being returned to: a bad index would be used. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unwind.h>

#include "runtime/aoti/shim_internal.h"

/* Thrown again on the same thread only when the one before has ended. */
static _Thread_local struct _Unwind_Exception exception;

static void forget(_Unwind_Reason_Code reason, struct _Unwind_Exception *thrown) { (void)reason, (void)thrown; }

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

static shim_cxx cxx;
static bool cxx_is_whole;

/* In the linker's own order: somebody may have put his operator new before libstdc++'s. */
static void find_cxx(void)
{
    const struct {
        const char *name;
        void *slot;
    } wanted[] = {{"_Znwm", &cxx.allocate},
                  {"_ZdlPv", &cxx.release},
                  {SHIM_OSTREAM_INSERT, &cxx.insert},
                  {SHIM_OSTREAM_TEXT, &cxx.text},
                  {SHIM_OSTREAM_CHARACTER, &cxx.character},
                  {"_ZSt4cerr", &cxx.error_stream}};
    void *library = dlopen("libstdc++.so.6", RTLD_NOW | RTLD_LOCAL); /* stays: models need it too */
    cxx_is_whole = library != NULL;
    for (size_t i = 0; library && i < sizeof wanted / sizeof *wanted; i++) {
        void *address = dlsym(RTLD_DEFAULT, wanted[i].name);
        if (!address) address = dlsym(library, wanted[i].name);
        memcpy(wanted[i].slot, &address, sizeof address);
        cxx_is_whole &= address != NULL;
    }
}

const shim_cxx *stoai_shim_cxx(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_cxx);
    return cxx_is_whole ? &cxx : NULL;
}
