/* SPDX-License-Identifier: Apache-2.0 */
/* The shared library inside a package, before it is loaded: an ELF image in memory.
 *
 * A compiled model imports what libtorch would serve. Exporting functions of those names from here would put them into the
 * process's global scope, where a real libtorch may live too. Instead the image is changed before it is loaded: an import
 * that we serve becomes a local, absolute symbol whose value is our function's address in this process. The dynamic linker takes
 * a local symbol as it is, without a look-up, so the model is bound to exactly these functions and nothing else is touched. */
#ifndef STOAI_AOTI_IMAGE_H
#define STOAI_AOTI_IMAGE_H

#include "stoa/status.h"

/** The address that serves an import; NULL leaves it to the dynamic linker. */
typedef void *(*image_resolver)(void *user, const char *name);

/** Bind the imports of an ELF64 shared library for this machine, in place.
 *  errors EFORMAT no such file, truncated, offsets outside of it; ENOTSUP for another machine, both named */
stoa_status stoai_image_bind(void *data, size_t bytes, image_resolver resolve, void *user, stoa_error *err);

/** The first import that begins with one of the prefixes (NULL-terminated) and is still open; NULL: none. The image was bound. */
const char *stoai_image_open_import(const void *data, size_t bytes, const char *const *prefixes);

/** Load an image from memory, private to the caller: nothing is left on disk. `library` is closed with dlclose.
 *  errors ENOTSUP what the dynamic linker says */
stoa_status stoai_image_load(const void *data, size_t bytes, void **library, stoa_error *err);

#endif
