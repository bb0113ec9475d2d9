/* SPDX-License-Identifier: Apache-2.0 */
/* Called libcuda.so.1, but no driver of anybody's. */
int other_library(void);
int other_library(void) { return 1; }
