// SPDX-License-Identifier: Apache-2.0
// PyTorch's device memory out of the queues' allocator, where the process asked for that: a block is a buffer of the queue whose
// stream is PyTorch's current one, and goes back in that queue's order.
#include "runtime/torchscript/script.hpp"
#include "stoa/buffer.h"

#include <atomic>
#include <unordered_map>

namespace stoai
{
namespace
{

// Never destroyed: PyTorch gives back what it keeps when the process ends, too.
struct block_table {
    std::mutex lock;
    bool shared = false; // under the lock
    std::unordered_map<void *, stoa_buffer *> blocks;
};

block_table &table()
{
    static auto *self = new block_table;
    return *self;
}

thread_local stoa_queue *call_queue = nullptr; // of the call that this thread is in
thread_local uint64_t taken = 0;

// What is thrown passes PyTorch, which catches nothing but std::exception, and keeps its status.
void *take(size_t bytes, int, CUstream_st *stream)
{
    stoa_buffer *buffer;
    stoa_error err;
    if (!bytes) return nullptr;
    if (!call_queue || stoa_queue_native(call_queue) != stream)
        fail(STOA_ESTATE, "PyTorch's memory is the queues': %zu bytes wanted on a stream that is no session's in its call", bytes);
    if (stoa_buffer_create(call_queue, STOA_MEMORY_DEVICE, bytes, &buffer, &err) != STOA_OK) throw failure{err.status, err.message};
    const std::lock_guard<std::mutex> alone(table().lock);
    table().blocks.emplace(stoa_buffer_data(buffer), buffer);
    taken++;
    return stoa_buffer_data(buffer);
}

void give_back(void *block, size_t, int, CUstream_st *)
{
    stoa_buffer *buffer = nullptr;
    {
        const std::lock_guard<std::mutex> alone(table().lock);
        if (const auto at = table().blocks.find(block); at != table().blocks.end()) {
            buffer = at->second;
            table().blocks.erase(at);
        }
    }
    stoa_buffer_release(buffer);
}

} // namespace

uint64_t blocks_taken() { return taken; }

call_scope::call_scope(stoa_queue *queue) : outer_(call_queue) { call_queue = queue; }
call_scope::~call_scope() { call_queue = outer_; }

void share_memory()
{
    const std::lock_guard<std::mutex> alone(table().lock);
    if (table().shared) return;
    exchange_allocator(take, give_back);
    table().shared = true;
}

} // namespace stoai
