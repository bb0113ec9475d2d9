/* SPDX-License-Identifier: Apache-2.0 */
/** Devices: where memory lies and queues run. "host" is built in; others ("cuda:0") are plugins, loaded on demand.
 *
 *  Not for work itself: that is ordered on a queue (stoa/queue.h).
 *
 *      stoa_device *host;
 *      stoa_device_open("host", &host, &err);
 *      ...
 *      stoa_device_close(host);
 */
#ifndef STOA_DEVICE_H
#define STOA_DEVICE_H

#include "stoa/status.h"

STOA_BEGIN_DECLS

/** Where memory lies: DLPack's device type and an index. PODs carry it, so that a wrong device is an error and not a crash. */
typedef struct stoa_place {
    int32_t type;
    int32_t index;
} stoa_place;
enum { STOA_PLACE_HOST = 1, STOA_PLACE_CUDA = 2, STOA_PLACE_CUDA_HOST = 3, STOA_PLACE_ROCM = 10 };

/** An opened device: a back end's context and one caching allocator for each kind of memory. */
typedef struct stoa_device stoa_device;

typedef struct stoa_device_info {
    uint32_t struct_size;
    stoa_place place;
    char name[128];              /**< "AMD EPYC 7003" */
    char features[256];          /**< instruction sets or architecture: "sse2 avx2 fma" , "sm_90" */
    uint64_t memory_bytes;       /**< total */
    uint64_t memory_free_bytes;  /**< now */
    uint32_t compute_units;      /**< logical processors or multiprocessors */
    uint32_t lane_width;         /**< floats in a vector register, or threads in a warp */
} stoa_device_info;

/** Counters of a device's allocator, its own or the driver's. live + cached = taken from the back end. */
typedef struct stoa_memory_stats {
    uint32_t struct_size;
    uint64_t live_bytes;        /**< in blocks that are in use, rounded up to their bins */
    uint64_t requested_bytes;   /**< of these, what was asked for */
    uint64_t cached_bytes;      /**< in blocks kept for reuse */
    uint64_t peak_live_bytes;
    uint64_t alloc_calls;       /**< requests served */
    uint64_t raw_alloc_calls;   /**< of these, the ones that went to the back end */
} stoa_memory_stats;

typedef enum stoa_memory_kind {
    STOA_MEMORY_DEVICE = 0, /**< the device's own memory */
    STOA_MEMORY_PINNED = 1  /**< host memory that the device's copies can use directly; on the host device: plain */
} stoa_memory_kind;

/** Who keeps the device's memory that is given back, for the next request in the order of its queue. Pinned memory is always the
 *  library's. */
typedef enum stoa_pool_kind {
    STOA_POOL_OWN = 0,   /**< the library: blocks in bins, each with the event behind its last use */
    STOA_POOL_DRIVER = 1 /**< a pool of the driver's, made for this device (cuMemAllocFromPoolAsync, hipMallocFromPoolAsync): every buffer
                              is calls of the driver, blocks are of the size asked for, which it splits and merges. `limit_bytes` bounds
                              what is live, `cache_limit_bytes` is the pool's release threshold: more goes back when somebody waits; bins
                              say nothing. On a queue that is captured no buffer can be made (ESTATE), and one released there stays
                              live until the device is closed. */
} stoa_pool_kind;

typedef struct stoa_device_options {
    uint32_t struct_size;
    uint64_t limit_bytes;         /**< live + cached never exceed it; 0: no limit */
    uint64_t cache_limit_bytes;   /**< cached never exceeds it; 0: no limit */
    uint64_t bin_min_bytes;       /**< smallest bin; 0: 256 */
    uint64_t bin_max_bytes;       /**< above it blocks are rounded to 2 MiB, not to a power of two; 0: 1 GiB. Not a limit. */
    uint32_t debug_fill;          /**< 1: fill blocks with 0xA5 when handed out and 0x5A when given back (host only) */
    uint32_t pool;                /**< stoa_pool_kind; 0: the library's own */
} stoa_device_options;

/** How many devices a back end ("host", "cuda") has; 0 with ENOTSUP and the reason when the back end cannot be used.
 *
 *  owns borrows `backend`   sync may load a plugin   threads any   errors ENOTSUP no such back end, driver or device; EABI   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_device_count(const char *backend, uint32_t *count, stoa_error *err);

/** Open a device by name: "host", "cuda:0". Each call makes an independent object with allocators of its own.
 *
 *  owns     caller closes it with stoa_device_close, after all queues, buffers, events and sessions made on it
 *  threads  any      alloc yes
 *  errors   EINVAL malformed name; ENOTSUP no such back end or ordinal; ENOMEM; EDEVICE      since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_device_open(const char *name, stoa_device **device, stoa_error *err);

/** As stoa_device_open, with options; NULL is the default.
 *  owns caller closes; copies `options`   threads any   errors as stoa_device_open; EINVAL options; ENOTSUP no pools of the driver's, and what is missing   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_device_open_with(const char *name, const stoa_device_options *options, stoa_device **device,
                                                           stoa_error *err);

/** Close a device and free its cached memory; NULL is a no-op. Memory that is still live is freed too, and logged as a warning.
 *  owns takes `device`   sync waits for the queues' outstanding releases   threads none may use it   errors none   since 0.1 */
STOA_API void stoa_device_close(stoa_device *device);

/** The place that memory of this device has.
 *  owns nothing   threads any   errors none   since 0.1 */
STOA_API stoa_place stoa_device_place(const stoa_device *device);

/** Describe a device. `info->struct_size` must be set.
 *  owns fills caller's struct   threads any   errors EINVAL struct_size; EDEVICE   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_device_describe(const stoa_device *device, stoa_device_info *info, stoa_error *err);

/** Wait until all queues of the device are empty.
 *  owns nothing   sync blocks the caller   threads any   errors EDEVICE   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_device_wait(stoa_device *device, stoa_error *err);

/** The allocator's counters. `stats->struct_size` must be set.
 *  owns fills caller's struct   threads any   errors EINVAL   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_device_memory_stats(const stoa_device *device, stoa_memory_kind kind, stoa_memory_stats *stats,
                                                              stoa_error *err);

/** Give cached blocks whose queue has passed back to the back end until at most `keep_bytes` stay cached.
 *  owns nothing   sync none on the host; CUDA's driver waits for the device   threads any   errors EDEVICE   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_device_memory_trim(stoa_device *device, stoa_memory_kind kind, uint64_t keep_bytes,
                                                             stoa_error *err);

/** True when both places are host memory that the processor can read (host or pinned), or the same device, or `memory` is pinned
 *  and `from` a GPU, which reads it over the bus.
 *  owns nothing   threads any   errors none   since 0.1 */
STOA_API bool stoa_place_accessible(stoa_place memory, stoa_place from);

STOA_END_DECLS
#endif
