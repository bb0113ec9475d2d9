/* SPDX-License-Identifier: Apache-2.0 */
/* A library with an import that nobody exports, for test_image. */
int stoa_test_import(void);
int stoa_test_call(void);
__attribute__((visibility("default"))) int stoa_test_call(void) { return stoa_test_import() + 1; }
