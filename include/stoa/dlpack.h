/* SPDX-License-Identifier: Apache-2.0 */
/** DLPack 1.x in and out: tensors as `DLManagedTensorVersioned`, pointers shared, nothing copied.
 *
 *  The structs below restate the published ABI (dmlc/dlpack, version 1.1), so no foreign header is needed; they are
 *  left out when dlpack.h was included before.
 *
 *      DLManagedTensorVersioned *managed;
 *      stoa_dlpack_export(STOA_COLUMNS(t, pt, eta), keep_alive, &managed, &err);   // numpy.from_dlpack, torch.from_dlpack
 */
#ifndef STOA_DLPACK_H
#define STOA_DLPACK_H

#include "stoa/buffer.h"
#include "stoa/tensor.h"

STOA_BEGIN_DECLS

#ifndef DLPACK_DLPACK_H_
typedef struct DLPackVersion {
    uint32_t major, minor;
} DLPackVersion;
typedef struct DLDevice {
    int32_t device_type, device_id;
} DLDevice;
typedef struct DLDataType {
    uint8_t code, bits;
    uint16_t lanes;
} DLDataType;
typedef struct DLTensor {
    void *data;
    DLDevice device;
    int32_t ndim;
    DLDataType dtype;
    int64_t *shape, *strides;
    uint64_t byte_offset;
} DLTensor;
typedef struct DLManagedTensorVersioned {
    DLPackVersion version;
    void *manager_ctx;
    void (*deleter)(struct DLManagedTensorVersioned *self);
    uint64_t flags; /* bit 0: read-only, bit 1: is a copy */
    DLTensor dl_tensor;
} DLManagedTensorVersioned;
#endif

/** Export a tensor that is a strided array (stoa_tensor_strided). Strides are always written; const columns set the read-only flag.
 *
 *  owns     caller or the consumer calls `managed->deleter` once; `keep_alive` (nullable) is retained until then, otherwise the
 *           memory must outlive it
 *  alloc    one small block      threads any
 *  errors   as stoa_tensor_strided; ENOMEM      since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_dlpack_export(stoa_tensor tensor, stoa_buffer *keep_alive, DLManagedTensorVersioned **managed,
                                                        stoa_error *err);

/** View a managed tensor of rank 1 or 2 ([n] or [n, k]) as columns: k columns, the row stride as given; NULL strides mean compact.
 *
 *  shape    `columns` has room for `capacity` columns; `*column_count` is set to k
 *  owns     borrows: `managed` stays the caller's, and must live as long as the columns are used
 *  threads  any       errors ESHAPE rank or capacity; EDTYPE lanes or unknown; EABI major version; EALIGN      since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_dlpack_columns(const DLManagedTensorVersioned *managed, stoa_column *columns, uint32_t capacity,
                                                         uint32_t *column_count, stoa_error *err);

STOA_END_DECLS
#endif
