/* SPDX-License-Identifier: Apache-2.0 */
/** alpaka's devices, queues, events and memory as Stoa's, and back: handles are wrapped, nothing is copied, no second queue exists.
 *
 *  Header-only C++17, for applications that use alpaka 1.2 (C++17) or 2.x (C++20); libstoa knows nothing of alpaka. It covers alpaka's CPU
 *  device with all its accelerators, and CUDA where the application enables it. What cannot be done throws stoa::failure.
 *
 *      stoa::alpaka_device device{dev};                        // of an alpaka device
 *      stoa::alpaka_queue queue{device, alpaka_queue};         // the same queue, under its other name
 *      stoa_session_create(model, queue, rows, nullptr, &session, &err);
 *      stoa_session_bind(session, "x", STOA_PORTABLE_COLUMNS(tracks, pt, eta, phi), &err);
 *      alpaka::exec<Acc>(queue.alpaka(), work_div, fill, ...);   // alpaka's kernel, Stoa's run, alpaka's kernel: in this order
 *      stoa_session_run(session, rows, &err);
 *      alpaka::exec<Acc>(queue.alpaka(), work_div, select, ...);
 *
 *  | alpaka's queue    | stoa::alpaka_queue                                | what is guaranteed |
 *  |---|---|---|
 *  | CPU, blocking     | a blocking queue: the caller's thread             | Stoa's calls return with the work done, as alpaka's do. alpaka's lock is not taken: one thread at a time |
 *  | CPU, non-blocking | entries are host tasks of that same queue         | one order with alpaka's tasks and kernels, on alpaka's thread. alpaka allocates for each task |
 *  | CUDA, either      | the stream is wrapped; Stoa's queue is an async one | one order with alpaka's work. Stoa does not wait after each call, even if alpaka's queue does */
#ifndef STOA_ALPAKA_HPP
#define STOA_ALPAKA_HPP

#include <alpaka/alpaka.hpp>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "stoa/stoa.h"

namespace stoa
{

/** A status of the C interface as an exception. */
struct failure : std::runtime_error {
    explicit failure(const stoa_error &e) : std::runtime_error(std::string(stoa_status_name(e.status)) + ": " + e.message), error(e) {}
    stoa_error error;
};

/** Throws unless the call went well: stoa::check(stoa_session_run(session, rows, &err), err).
 *  owns nothing   threads any   errors throws failure with `err`   since 0.1 */
inline void check(stoa_status status, const stoa_error &err)
{
    if (status != STOA_OK) throw failure(err);
}

/* ---- Devices ---------------------------------------------------------------------------------------------------------- */

/** The place of an alpaka device, and so of the buffers and views that lie there.
 *  owns nothing   threads any   errors none   since 0.1 */
inline stoa_place place_of(const alpaka::DevCpu &) { return {STOA_PLACE_HOST, 0}; }
#ifdef ALPAKA_ACC_GPU_CUDA_ENABLED
/** The same of a GPU.   owns nothing   threads any   errors none   since 0.1 */
inline stoa_place place_of(const alpaka::DevCudaRt &device) { return {STOA_PLACE_CUDA, alpaka::getNativeHandle(device)}; }
#endif

/** The alpaka device of a place: the way back. `platform` is alpaka's, of the kind that the place names.
 *  owns alpaka's handle, by value   threads any   errors throws failure, EPLACE with both places; what alpaka throws   since 0.1 */
template <class Platform> auto device_at(const Platform &platform, stoa_place place)
{
    auto device = alpaka::getDevByIdx(platform, static_cast<std::size_t>(place.index));
    const stoa_place there = place_of(device);
    stoa_error err;
    if (there.type != place.type || there.index != place.index)
        check(STOA_FAIL(&err, STOA_EPLACE, "alpaka device of place %d:%d: the platform's is %d:%d", place.type, place.index, there.type,
                        there.index),
              err);
    return device;
}

/** An opened Stoa device for an alpaka device. Closed with this object, which must outlive all that is made on it. */
class alpaka_device
{
public:
    template <class Device> explicit alpaka_device(const Device &device)
    {
        const stoa_place place = place_of(device);
        const std::string name = place.type == STOA_PLACE_HOST ? "host" : "cuda:" + std::to_string(place.index);
        stoa_error err;
        check(stoa_device_open(name.c_str(), &device_, &err), err);
    }
    ~alpaka_device() { stoa_device_close(device_); }
    alpaka_device(const alpaka_device &) = delete;
    alpaka_device &operator=(const alpaka_device &) = delete;
    operator stoa_device *() const { return device_; }

private:
    stoa_device *device_ = nullptr;
};

/* ---- Queues and events ------------------------------------------------------------------------------------------------ */

namespace detail
{

/* How each kind of queue is seen from C; the executor is used by one of them and lies beside the alpaka queue. */
inline stoa_status wrap(stoa_device *device, alpaka::QueueCpuBlocking &, stoa_host_executor *, stoa_queue **queue, stoa_error *err)
{ return stoa_queue_create(device, STOA_QUEUE_BLOCKING, queue, err); }

/* alpaka throws when there is no memory for a task; no exception may pass through C. */
inline stoa_status enqueue_task(void *queue, stoa_host_task task, void *user, stoa_error *err)
{
    try {
        alpaka::enqueue(*static_cast<alpaka::QueueCpuNonBlocking *>(queue), [task, user] { task(user); });
        return STOA_OK;
    } catch (const std::exception &e) {
        return STOA_FAIL(err, STOA_ENOMEM, "alpaka's queue takes no task: %s", e.what());
    }
}
inline stoa_status wrap(stoa_device *device, alpaka::QueueCpuNonBlocking &alpaka_queue, stoa_host_executor *executor, stoa_queue **queue,
                        stoa_error *err)
{
    *executor = {static_cast<uint32_t>(sizeof *executor), enqueue_task, &alpaka_queue};
    return stoa_queue_wrap(device, executor, queue, err);
}

/* Every other queue is a stream. */
template <class Queue> stoa_status wrap(stoa_device *device, Queue &alpaka_queue, stoa_host_executor *, stoa_queue **queue, stoa_error *err)
{ return stoa_queue_wrap(device, alpaka::getNativeHandle(alpaka_queue), queue, err); }

} // namespace detail

/** An alpaka queue and the Stoa queue around it: two names of one queue (table at the top). Holds a copy of alpaka's handle; when it is
 *  destroyed it waits for the queue. Events of either side mark and order all of its work: alpaka's through alpaka(), Stoa's through the
 *  conversion, as in alpaka::wait(queue.alpaka(), event) and stoa_queue_wait_event(queue, event, &err). */
template <class Queue> class alpaka_queue
{
public:
    alpaka_queue(stoa_device *device, Queue queue) : alpaka_(std::move(queue))
    {
        stoa_error err;
        const stoa_place needed = place_of(alpaka::getDev(alpaka_)), place = stoa_device_place(device);
        if (place.type != needed.type || place.index != needed.index)
            check(STOA_FAIL(&err, STOA_EPLACE, "alpaka queue of place %d:%d on a device of place %d:%d", needed.type, needed.index,
                            place.type, place.index),
                  err);
        check(detail::wrap(device, alpaka_, &executor_, &queue_, &err), err);
    }
    ~alpaka_queue() { stoa_queue_destroy(queue_); }
    alpaka_queue(const alpaka_queue &) = delete;
    alpaka_queue &operator=(const alpaka_queue &) = delete;
    operator stoa_queue *() const { return queue_; }
    Queue &alpaka() { return alpaka_; }

private:
    Queue alpaka_;
    stoa_host_executor executor_ = {};
    stoa_queue *queue_ = nullptr;
};

/** Let a queue that Stoa made, not one of alpaka's, wait for an alpaka event. On the host the queue's thread waits; on CUDA the stream does.
 *  owns     a copy of the event's handle until the queue passes
 *  sync     asynchronous    alloc that copy, on the host      threads one at a time per queue
 *  errors   throws failure, as stoa_queue_enqueue; EDEVICE with CUDA's text       since 0.1 */
template <class Event> void wait_event(stoa_queue *queue, const Event &event)
{
    stoa_error err;
    if constexpr (std::is_same_v<Event, alpaka::EventCpu>) {
        auto *copy = new Event(event);
        const auto task = [](void *user) {
            alpaka::wait(*static_cast<Event *>(user));
            delete static_cast<Event *>(user);
        };
        const stoa_status status = stoa_queue_enqueue(queue, task, copy, &err);
        if (status != STOA_OK) delete copy;
        check(status, err);
    }
#ifdef ALPAKA_ACC_GPU_CUDA_ENABLED
    else {
        const auto stream = static_cast<cudaStream_t>(stoa_queue_native(queue));
        const cudaError_t code = alpaka::ApiCudaRt::streamWaitEvent(stream, alpaka::getNativeHandle(event), 0);
        if (code != cudaSuccess) check(STOA_FAIL(&err, STOA_EDEVICE, "stream waits for alpaka event: %s", cudaGetErrorString(code)), err);
    }
#endif
}

/* ---- Memory ----------------------------------------------------------------------------------------------------------- */

namespace detail
{

template <class T> constexpr stoa_dtype dtype_of()
{
#define STOA_DTYPE_IS_(name, number, type, code, text) \
    if constexpr (std::is_same_v<std::remove_cv_t<T>, type>) return STOA_##name;
    STOA_DTYPE_MAP(STOA_DTYPE_IS_)
#undef STOA_DTYPE_IS_
    return STOA_DTYPE_NONE;
}

template <class T> stoa_column column_at(T *data, std::size_t rows, int64_t row_stride, stoa_place place)
{
    static_assert(dtype_of<T>() != STOA_DTYPE_NONE, "no stoa_dtype for elements of this type");
    if constexpr (std::is_const_v<T>) return stoa_column_over_const(data, dtype_of<T>(), static_cast<uint32_t>(rows), row_stride, place);
    else return stoa_column_over(data, dtype_of<T>(), static_cast<uint32_t>(rows), row_stride, place);
}

} // namespace detail

/** An alpaka buffer or view as a column, in place: [n] one value a row, [n, R] a vector, [n, R, C] a matrix. Read-only for const views.
 *  owns borrows the memory   threads any   errors throws failure, EALIGN rows that are no whole elements apart   since 0.1 */
template <class View> stoa_column column_of(View &&view)
{
    constexpr std::size_t rank = alpaka::Dim<std::decay_t<View>>::value;
    static_assert(rank >= 1 && rank <= 3, "columns have one to three dimensions, the rows first");
    const auto extents = alpaka::getExtents(view);
    const auto pitches = alpaka::getPitchesInBytes(view);
    auto *data = alpaka::getPtrNative(view);
    const auto stride = [&](std::size_t axis) { return static_cast<int64_t>(static_cast<std::size_t>(pitches[axis]) / sizeof *data); };
    stoa_error err;
    if (static_cast<std::size_t>(pitches[0]) % sizeof *data != 0)
        check(STOA_FAIL(&err, STOA_EALIGN, "alpaka view: rows %zu bytes apart, elements of %zu", static_cast<std::size_t>(pitches[0]),
                        sizeof *data),
              err);
    stoa_column column = detail::column_at(data, static_cast<std::size_t>(extents[0]), stride(0), place_of(alpaka::getDev(view)));
    for (std::size_t axis = 1; axis < rank; axis++) {
        column.extent[axis - 1] = static_cast<uint32_t>(extents[axis]);
        column.stride[axis - 1] = stride(axis);
    }
    return column;
}

/** A column as an alpaka view of `device`: the way back. One value a row, rows adjacent, elements of T.
 *  owns borrows the memory   threads any   errors throws failure, EDTYPE; ESHAPE; ECONST; EPLACE, with both values   since 0.1 */
template <class T, class Index, class Device> auto view_of(const Device &device, const stoa_column &column)
{
    const stoa_place place = place_of(device);
    stoa_error err;
    if (column.dtype != detail::dtype_of<T>())
        check(STOA_FAIL(&err, STOA_EDTYPE, "alpaka view: column of %s, view of %s", stoa_dtype_name((stoa_dtype)column.dtype),
                        stoa_dtype_name(detail::dtype_of<T>())),
              err);
    if (column.row_stride != 1 || column.extent[0] != 1 || column.extent[1] != 1)
        check(STOA_FAIL(&err, STOA_ESHAPE, "alpaka view: column with row stride %lld of %u x %u values, needed 1 of 1 x 1",
                        static_cast<long long>(column.row_stride), column.extent[0], column.extent[1]),
              err);
    if (!std::is_const_v<T> && column.flags & STOA_COLUMN_CONST)
        check(STOA_FAIL(&err, STOA_ECONST, "alpaka view: the column is read-only, the view is not"), err);
    if (!stoa_place_accessible(column.place, place))
        check(STOA_FAIL(&err, STOA_EPLACE, "alpaka view: column in place %d:%d, device of place %d:%d", column.place.type,
                        column.place.index, place.type, place.index),
              err);
    return alpaka::createView(device, static_cast<T *>(column.data),
                              alpaka::Vec<alpaka::DimInt<1>, Index>{static_cast<Index>(column.rows)});
}

namespace detail
{

/* A view of a PortableCollection's column by its address; the collection says where that is. */
template <class Collection, class T> stoa_column portable_column(Collection &collection, T *address)
{
    return column_at(address, static_cast<std::size_t>(collection.view().metadata().size()), 1,
                     place_of(alpaka::getDev(collection.buffer())));
}

} // namespace detail
} // namespace stoa

#define STOA_PORTABLE_COLUMN_(collection, name) \
    stoa::detail::portable_column((collection), (collection).view().metadata().addressOf_##name())
/** Columns of a collection as CMSSW's PortableCollection is, in place: one with view().metadata().addressOf_NAME() and size(), and buffer().
 *  Of a const collection they are read-only. Columns only: scalars and Eigen columns are had by adopting the blob with a layout of the
 *  same columns (stoa_collection_adopt), whose geometry is CMSSW's. */
#define STOA_PORTABLE_COLUMNS(collection, ...) stoa::make_columns(STOA_EACH_(STOA_PORTABLE_COLUMN_, collection, __VA_ARGS__))

#endif
