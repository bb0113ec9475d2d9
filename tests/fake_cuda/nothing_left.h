/* SPDX-License-Identifier: Apache-2.0 */
/* How every test on the fake driver ends. */
#ifndef TESTS_FAKE_CUDA_NOTHING_LEFT_H
#define TESTS_FAKE_CUDA_NOTHING_LEFT_H

#include "fake_cuda.h"

/* No object of the driver is alive, and nothing was done that a real driver would refuse. cmocka.h is included before. */
static inline void assert_nothing_left(void)
{
    assert_int_equal(fake_cuda_live(), 0);
    if (fake_cuda_violations()) fail_msg("%u violations, the first: %s", fake_cuda_violations(), fake_cuda_first_violation());
}

#endif
