/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of a device from a pool of its driver's (STOA_POOL_DRIVER): what is asked for is counted and limited here, order and reuse
 * are the driver's. The functions are those of pool.h, which calls them. */
#ifndef STOAI_DEVICE_DRIVER_POOL_H
#define STOAI_DEVICE_DRIVER_POOL_H

#include "pool.h"

typedef struct stoai_driver_pool stoai_driver_pool;

/** On an open device.   errors ENOTSUP the back end, driver or device has no such pools; EDEVICE; ENOMEM */
stoa_status stoai_driver_pool_create(stoa_device *device, const stoa_device_options *options, stoai_driver_pool **pool, stoa_error *err);
uint32_t stoai_driver_pool_destroy(stoai_driver_pool *pool, uint64_t *live_bytes);
stoa_status stoai_driver_pool_alloc(stoai_driver_pool *pool, stoa_queue *queue, size_t bytes, stoai_block **block, stoa_error *err);
void stoai_driver_pool_free(stoai_driver_pool *pool, stoa_queue *queue, stoai_block *block);
void stoai_driver_pool_stats(stoai_driver_pool *pool, stoa_memory_stats *stats);
stoa_status stoai_driver_pool_trim(stoai_driver_pool *pool, uint64_t keep_bytes, stoa_error *err);

#endif
