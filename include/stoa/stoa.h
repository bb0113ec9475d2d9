/* SPDX-License-Identifier: Apache-2.0 */
/** Everything an application needs; runtimes and back ends add stoa/runtime.h and stoa/backend.h. */
#ifndef STOA_STOA_H
#define STOA_STOA_H

#include "stoa/algo.h"
#include "stoa/buffer.h"
#include "stoa/collection.h"
#include "stoa/device.h"
#include "stoa/dlpack.h"
#include "stoa/dtype.h"
#include "stoa/image.h"
#include "stoa/kernel.h"
#include "stoa/layout.h"
#include "stoa/memory.h"
#include "stoa/model.h"
#include "stoa/queue.h"
#include "stoa/session.h"
#include "stoa/status.h"
#include "stoa/tensor.h"
#include "stoa/version.h"

#endif
