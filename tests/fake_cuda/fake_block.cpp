/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a launch. The threads of a grid kernel know nothing of each other and run one after the other. Those of block and tile kernels
 * are fibers that give way at barriers of the block and at what a warp does together: in turn, so that a result that needs a missing barrier is wrong every time, in
 * ascending and in descending order on alternate turns. A block has at most two warps here, whatever was asked for: they are
 * enough for everything that can go wrong between warps. */
#include "fake_device.h"
#include "fake_internal.h"

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <ucontext.h>
#include <vector>

// The thread sanitizer is told about every change of stack.
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

thread_local fake_index threadIdx, blockIdx, blockDim, gridDim;

namespace
{

constexpr unsigned warp_threads = FAKE_WARP_THREADS, block_threads_max = 2 * warp_threads;
constexpr size_t stack_bytes = 256 * 1024;

enum class stop { warp, block, end }; // what a thread waits for

struct fiber {
    ucontext_t context;
    std::vector<char> stack; // the scheduler's is the thread's own: empty
    stop at;
    void *known; // what the thread sanitizer calls it
};

struct block_run {
    const fake_kernel *kernel;
    const void *args;
    unsigned threads, current;
    fiber scheduler;
    fiber fibers[block_threads_max];
    unsigned char *memory; // the launch's bytes for each block
    uint32_t exchanged[block_threads_max];
    struct {
        uint32_t a[4], b[2];
    } matrices[block_threads_max];
};

std::mutex one_block; // __shared__ is static, and so is the one block that runs
block_run block;
thread_local block_run *running;

void change(fiber &from, fiber &to)
{
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(to.known, 0);
#endif
    swapcontext(&from.context, &to.context);
}

// Fibers stay and run one block after the other. They do not look at `running`: the next block may be another thread's.
void enter()
{
    for (;;) {
        block.kernel->run(block.args);
        block.fibers[block.current].at = stop::end;
        change(block.fibers[block.current], block.scheduler);
    }
}

void give_way(stop at)
{
    fiber &self = running->fibers[running->current];
    self.at = at;
    change(self, running->scheduler);
}

void start(fiber &self)
{
    if (!self.stack.empty()) return;
    self.stack.resize(stack_bytes);
    getcontext(&self.context);
    self.context.uc_stack.ss_sp = self.stack.data();
    self.context.uc_stack.ss_size = stack_bytes;
    self.context.uc_link = nullptr;
    makecontext(&self.context, enter, 0);
#if defined(__SANITIZE_THREAD__)
    self.known = __tsan_create_fiber(0);
#endif
}

// Threads [first, first + count) up to where each of them waits, which must be the same place.
stop run_threads(unsigned first, unsigned count, bool descending)
{
    unsigned at[3] = {0, 0, 0};
    for (unsigned i = 0; i < count; i++) {
        block.current = first + (descending ? count - 1 - i : i);
        threadIdx.x = block.current;
        change(block.scheduler, block.fibers[block.current]);
        at[static_cast<unsigned>(block.fibers[block.current].at)]++;
    }
    for (unsigned where = 0; where < 3; where++)
        if (at[where] == count) return static_cast<stop>(where);
    fprintf(stderr, "fake driver: %s: of %u threads of a warp %u wait for the warp, %u for the block, %u ended\n", block.kernel->symbol,
            count, at[0], at[1], at[2]);
    abort();
}

// A warp up to its next barrier of the block, or its end.
stop run_warp(unsigned first, unsigned count, bool descending)
{
    stop at = stop::warp;
    for (; at == stop::warp; descending = !descending) at = run_threads(first, count, descending);
    return at;
}

// One turn: every warp up to its next barrier. All must stop there, or all must end.
bool take_turn(bool descending)
{
    const unsigned warps = (block.threads + warp_threads - 1) / warp_threads;
    unsigned done = 0;
    for (unsigned i = 0; i < warps; i++) {
        const unsigned first = (descending ? warps - 1 - i : i) * warp_threads, left = block.threads - first;
        done += run_warp(first, left < warp_threads ? left : warp_threads, descending) == stop::end;
    }
    if (done != 0 && done != warps) {
        fprintf(stderr, "fake driver: %s: %u of %u warps ended, the others wait\n", block.kernel->symbol, done, warps);
        abort();
    }
    return done == 0;
}

bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

// Memory of a block holds no zeros when it starts but NaNs, and ends where it was asked to.
struct block_memory {
    explicit block_memory(size_t size) : bytes(size), data(static_cast<unsigned char *>(aligned_alloc(64, (size + 127) / 64 * 64)))
    {
        memset(data, 0xFF, bytes);
        memset(data + bytes, canary, canary_bytes);
    }
    ~block_memory()
    {
        for (size_t i = 0; i < canary_bytes; i++)
            if (data[bytes + i] != canary) fake_violation("a block wrote behind its %zu bytes of shared memory", bytes);
        free(data);
    }
    static constexpr unsigned char canary = 0xC5;
    static constexpr size_t canary_bytes = 64;
    size_t bytes;
    unsigned char *data;
};

void run_block(const fake_launch &launch, const void *args)
{
    std::lock_guard<std::mutex> only(one_block);
    const block_memory memory(launch.shared_bytes);
    block.kernel = launch.kernel;
    block.args = args;
    block.memory = memory.data;
    block.threads = launch.threads < block_threads_max ? launch.threads : block_threads_max;
    blockDim.x = block.threads;
    running = &block;
#if defined(__SANITIZE_THREAD__)
    block.scheduler.known = __tsan_get_current_fiber();
#endif
    for (unsigned t = 0; t < block.threads; t++) start(block.fibers[t]);
    for (bool descending = false; take_turn(descending); descending = !descending) continue;
    running = nullptr;
}

} // namespace

extern "C" void fake_barrier(void)
{
    if (!running) {
        fprintf(stderr, "fake driver: a barrier in a kernel whose threads do not wait for each other\n");
        abort();
    }
    give_way(stop::block);
}

extern "C" uint32_t fake_shuffle_up(uint32_t value, uint32_t distance)
{
    const unsigned thread = running->current, lane = thread % warp_threads;
    running->exchanged[thread] = value;
    give_way(stop::warp);
    const uint32_t result = lane >= distance ? running->exchanged[thread - distance] : value;
    give_way(stop::warp);
    return result;
}

// Products of a warp's matrices, 16 x K and K x 8, spread over its lanes as the instruction wants them; float32 sums in order of k.
extern "C" void fake_warp_mma(bool tfloat32, float (*element)(uint32_t word, unsigned half), float *sum, const uint32_t *a,
                              const uint32_t *b)
{
    const unsigned thread = running->current, lane = thread % warp_threads, pair = tfloat32 ? 1 : 2;
    auto &mine = running->matrices[thread];
    const auto *warp = &running->matrices[thread - lane];
    memcpy(mine.a, a, sizeof mine.a);
    memcpy(mine.b, b, sizeof mine.b);
    give_way(stop::warp);
    for (unsigned c = 0; c < 4; c++) {
        const unsigned row = lane / 4 + 8 * (c / 2), column = 2 * (lane % 4) + c % 2;
        for (unsigned k = 0; k < 8 * pair; k++) {
            const unsigned at = k / pair % 4, high = k / pair / 4, half = k % pair;
            const float x = element(warp[row % 8 * 4 + at].a[row / 8 + 2 * high], half);
            sum[c] = fmaf(x, element(warp[column * 4 + at].b[high], half), sum[c]);
        }
    }
    give_way(stop::warp);
}

extern "C" unsigned char *fake_block_memory(void) { return running->memory; }

extern "C" void fake_run_launch(const fake_launch *launch, const void *args)
{
    const bool together = !ends_with(launch->kernel->symbol, "_grid");
    gridDim.x = launch->blocks;
    for (blockIdx.x = 0; blockIdx.x < launch->blocks; blockIdx.x++) {
        blockDim.x = launch->threads;
        if (together) {
            run_block(*launch, args);
            continue;
        }
        for (threadIdx.x = 0; threadIdx.x < launch->threads; threadIdx.x++) launch->kernel->run(args);
    }
}
