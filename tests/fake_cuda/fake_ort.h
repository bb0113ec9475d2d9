/* SPDX-License-Identifier: Apache-2.0 */
/* libonnxruntime for tests: the CPU build that FAKE_ORT_LIBRARY names, with the execution providers of CUDA and TensorRT on the fake driver.
 * A session on a device keeps weights there and a run an intermediate tensor, by the allocator that was registered; the graph itself is run
 * by the CPU's session as work of the stream, where it may touch device memory. What the real library would refuse, or would answer by
 * waiting, is refused or waits here; what would be a crash or a wrong result on a GPU is a violation of the fake driver. */
#ifndef FAKE_ORT_H
#define FAKE_ORT_H

/** What the session that was made last was told: "CUDAExecutionProvider: device_id=0 ...\n", a line for each provider, in the order in
 *  which they were appended. Static storage. */
const char *fake_ort_told(void);
/** The stream of the first of them. */
void *fake_ort_stream(void);

#endif
