/* SPDX-License-Identifier: Apache-2.0 */
/* Peers that are built by hand: a shared library named by an environment variable, with one C function (bench/README.md). */
#ifndef STOA_BENCH_PEER_H
#define STOA_BENCH_PEER_H

#include <stdbool.h>
#include <stddef.h>

/* Put the function `symbol` of the library that `variable` names at `function`, the address of a function pointer. False with
 * the reason when the variable is not set or names no such library. The library stays loaded. */
bool bench_peer_find(const char *variable, const char *symbol, void *function, char *why, size_t capacity);

#endif
