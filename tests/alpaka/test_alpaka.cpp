/* SPDX-License-Identifier: Apache-2.0 */
/* stoa/alpaka.hpp on alpaka's CPU device: one order, no thread more, memory where it lies, and every refusal. A plain program: cmocka is C. */
#define ALPAKA_DEFAULT_HOST_MEMORY_ALIGNMENT 128
#include "stoa/alpaka.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <dirent.h>
#include <thread>
#include <vector>

#define STOA_LAYOUT tracks
#define STOA_LAYOUT_DEF "tracks.def"
#include "stoa/layout_gen.h"

using Index = uint32_t;
using Extent = alpaka::Vec<alpaka::DimInt<1>, Index>;
using Extent2 = alpaka::Vec<alpaka::DimInt<2>, Index>;

static int failures;

static void expect(bool good, const char *what)
{
    if (!good) failures++;
    std::printf("%s %s\n", good ? "ok" : "FAILED", what);
}

template <class Call> static void expect_failure(stoa_status status, const char *text, Call call)
{
    try {
        call();
        expect(false, text);
    } catch (const stoa::failure &f) {
        expect(f.error.status == status && std::string(f.what()).find(text) != std::string::npos, f.what());
    }
}

static int threads_of_process()
{
    int count = 0;
    DIR *folder = opendir("/proc/self/task");
    while (const dirent *entry = readdir(folder)) count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

struct step_log {
    std::vector<int> steps;
    std::thread::id thread;
    void add(int step) { steps.push_back(step), thread = std::this_thread::get_id(); }
};
struct stoa_step {
    step_log *log;
    int step;
};
static void add_step(void *user)
{
    const auto *self = static_cast<stoa_step *>(user);
    self->log->add(self->step);
}

/* Steps of both sides in turn, more than the ring of a queue has entries. */
template <class Queue> static void work_of_both_sides_is_in_one_order(const char *name, bool callers_thread)
{
    const auto dev = alpaka::getDevByIdx(alpaka::PlatformCpu{}, 0);
    stoa::alpaka_device device{dev};
    Queue native{dev};
    alpaka::enqueue(native, [] {}); /* alpaka starts its thread with the first task */
    const int threads = threads_of_process();
    step_log log;
    std::vector<stoa_step> steps;
    stoa_error err;
    for (int i = 0; i < 400; i++) steps.push_back({&log, 2 * i + 1});
    {
        stoa::alpaka_queue queue{device, native};
        expect(queue.alpaka() == native, name);
        for (int i = 0; i < 400; i++) {
            alpaka::enqueue(native, [&log, i] { log.add(2 * i); });
            stoa::check(stoa_queue_enqueue(queue, add_step, &steps[static_cast<size_t>(i)], &err), err);
        }
        expect(threads_of_process() == threads, "no thread more");
        alpaka::wait(native);
        bool idle = false;
        stoa::check(stoa_queue_is_idle(queue, &idle, &err), err);
        expect(idle, "waiting for alpaka's queue waits for Stoa's work");
    }
    bool ordered = log.steps.size() == 800;
    for (int i = 0; ordered && i < 800; i++) ordered = log.steps[static_cast<size_t>(i)] == i;
    expect(ordered, "800 steps in the order they were enqueued");
    expect((log.thread == std::this_thread::get_id()) == callers_thread, "on the thread that was promised");
}

/* A queue held back by a gate; another one waits for its event, once by each side's call. */
static void events_order_queues()
{
    const auto dev = alpaka::getDevByIdx(alpaka::PlatformCpu{}, 0);
    stoa::alpaka_device device{dev};
    stoa_error err;
    for (int way = 0; way < 3; way++) {
        std::atomic<bool> open{false};
        std::atomic<int> seen{-1};
        int value = 0;
        struct reader {
            std::atomic<int> *seen;
            int *value;
        } read{&seen, &value};
        const auto read_value = [](void *user) { static_cast<reader *>(user)->seen->store(*static_cast<reader *>(user)->value); };
        stoa::alpaka_queue first{device, alpaka::QueueCpuNonBlocking{dev}};
        stoa::alpaka_queue second{device, alpaka::QueueCpuNonBlocking{dev}};
        stoa_queue *made;
        stoa::check(stoa_queue_create(device, STOA_QUEUE_ASYNC, &made, &err), err);
        alpaka::EventCpu alpaka_event{dev};
        stoa_event *event;
        stoa::check(stoa_event_create(device, &event, &err), err);

        alpaka::enqueue(first.alpaka(), [&] {
            while (!open) std::this_thread::yield();
        });
        stoa::check(stoa_queue_enqueue(first, [](void *user) { *static_cast<int *>(user) = 7; }, &value, &err), err);
        stoa::check(stoa_event_record(event, first, &err), err);
        alpaka::enqueue(first.alpaka(), alpaka_event);

        stoa_queue *waiting = way == 2 ? made : static_cast<stoa_queue *>(second);
        if (way == 0) stoa::check(stoa_queue_wait_event(second, event, &err), err);
        if (way == 1) alpaka::wait(second.alpaka(), alpaka_event);
        if (way == 2) stoa::wait_event(made, alpaka_event);
        stoa::check(stoa_queue_enqueue(waiting, read_value, &read, &err), err);
        expect(seen == -1 && !alpaka::isComplete(alpaka_event), "the host goes on while queues wait");
        open = true;
        stoa::check(stoa_queue_wait(waiting, &err), err);
        expect(seen == 7, "the second queue sees what the first one wrote");
        stoa_event_destroy(event);
        stoa_queue_destroy(made);
    }
}

static void views_are_columns_and_back()
{
    const auto dev = alpaka::getDevByIdx(alpaka::PlatformCpu{}, 0);
    auto one = alpaka::allocBuf<float, Index>(dev, Extent{100u});
    auto two = alpaka::allocBuf<double, Index>(dev, Extent2{10u, 3u});
    const stoa_column column = stoa::column_of(one);
    expect(column.data == alpaka::getPtrNative(one) && column.rows == 100 && column.row_stride == 1 && column.dtype == STOA_FLOAT32 &&
               column.place.type == STOA_PLACE_HOST && column.flags == 0,
           "a buffer is a column in place");
    const stoa_column vector = stoa::column_of(two);
    const auto pitch = static_cast<int64_t>(alpaka::getPitchesInBytes(two)[0] / sizeof(double));
    expect(vector.rows == 10 && vector.row_stride == pitch && vector.extent[0] == 3 && vector.stride[0] == 1 && vector.extent[1] == 1,
           "a buffer of two dimensions is a vector column");
    const float constant[5] = {1, 2, 3, 4, 5};
    const auto read_only = alpaka::createView(dev, constant, Extent{5u});
    const stoa_column const_column = stoa::column_of(read_only);
    expect(const_column.flags == STOA_COLUMN_CONST && const_column.data == constant, "a view of constants is read-only");

    auto back = stoa::view_of<float, Index>(dev, column);
    expect(alpaka::getPtrNative(back) == alpaka::getPtrNative(one) && alpaka::getExtents(back)[0] == 100u, "a column is a view in place");
    expect_failure(STOA_EDTYPE, "column of float32, view of int32", [&] { (void)stoa::view_of<int32_t, Index>(dev, column); });
    expect_failure(STOA_ESHAPE, "of 3 x 1 values", [&] { (void)stoa::view_of<double, Index>(dev, vector); });
    expect_failure(STOA_ECONST, "read-only", [&] { (void)stoa::view_of<float, Index>(dev, const_column); });
    expect(alpaka::getPtrNative(stoa::view_of<const float, Index>(dev, const_column)) == constant, "a view of a read-only column");
    stoa_column elsewhere = column;
    elsewhere.place = {STOA_PLACE_CUDA, 1};
    expect_failure(STOA_EPLACE, "place 2:1", [&] { (void)stoa::view_of<float, Index>(dev, elsewhere); });

    expect(stoa::device_at(alpaka::PlatformCpu{}, stoa::place_of(dev)) == dev, "a place is a device again");
    expect_failure(STOA_EPLACE, "place 2:0", [&] { (void)stoa::device_at(alpaka::PlatformCpu{}, {STOA_PLACE_CUDA, 0}); });
}

/* What CMSSW's PortableCollection of a layout with two columns offers, as far as it is asked. */
class point_collection
{
public:
    template <class T> struct view_of_points {
        T *x_, *y_;
        int size_;
        struct metadata_of_points {
            const view_of_points *parent;
            T *addressOf_x() const { return parent->x_; }
            T *addressOf_y() const { return parent->y_; }
            int size() const { return parent->size_; }
        };
        metadata_of_points metadata() const { return {this}; }
    };
    using Buffer = alpaka::Buf<alpaka::DevCpu, float, alpaka::DimInt<1>, Index>;
    explicit point_collection(int size)
        : size_(size),
          buffer_(alpaka::allocBuf<float, Index>(alpaka::getDevByIdx(alpaka::PlatformCpu{}, 0), Extent{static_cast<Index>(2 * padded())}))
    {
    }
    const Buffer &buffer() const { return buffer_; }
    view_of_points<float> view() { return {data(), data() + padded(), size_}; }
    view_of_points<const float> view() const { return {data(), data() + padded(), size_}; }

private:
    int padded() const { return (size_ + 31) / 32 * 32; }
    float *data() const { return const_cast<float *>(alpaka::getPtrNative(buffer_)); }
    int size_;
    Buffer buffer_;
};

static void a_portable_collection_is_a_tensor_in_one_line()
{
    point_collection points{50};
    const point_collection &read_only = points;
    stoa_strided strided;
    stoa_error err;
    stoa::check(stoa_tensor_strided(STOA_PORTABLE_COLUMNS(points, x, y), &strided, &err), err);
    expect(strided.data == points.view().x_ && strided.rank == 2 && strided.shape[0] == 50 && strided.shape[1] == 2 &&
               strided.strides[0] == 1 && strided.strides[1] == 64 && strided.flags == 0,
           "[50, 2] with strides [1, 64], in place");
    stoa::check(stoa_tensor_strided(STOA_PORTABLE_COLUMNS(read_only, y), &strided, &err), err);
    expect(strided.data == points.view().y_ && strided.flags == STOA_COLUMN_CONST, "read-only of a const collection");
}

int main()
{
    work_of_both_sides_is_in_one_order<alpaka::QueueCpuNonBlocking>("non-blocking queue", false);
    work_of_both_sides_is_in_one_order<alpaka::QueueCpuBlocking>("blocking queue", true);
    events_order_queues();
    views_are_columns_and_back();
    a_portable_collection_is_a_tensor_in_one_line();
    std::printf("%d failures\n", failures);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
