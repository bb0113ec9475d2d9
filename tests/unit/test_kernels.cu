/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/device_kernels.h"
