/* SPDX-License-Identifier: Apache-2.0 */
/* alpaka and Stoa on one queue: a kernel of alpaka fills columns, Stoa runs the model on them, the next kernel of alpaka reads the
 * scores. Nothing waits in between and nothing is copied but the last count. Built for the first accelerator that is enabled:
 * CUDA with ALPAKA_ACC_GPU_CUDA_ENABLED, else the CPU. */
#define ALPAKA_DEFAULT_HOST_MEMORY_ALIGNMENT 128 /* of a layout's blob; CMSSW sets it too */
#include "stoa/alpaka.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>

#define STOA_LAYOUT tracks
#define STOA_LAYOUT_DEF "tracks.def"
#include "stoa/layout_gen.h"

using Index = uint32_t;
using Dim = alpaka::DimInt<1>;
using Extent = alpaka::Vec<Dim, Index>;
#ifdef ALPAKA_ACC_GPU_CUDA_ENABLED
using Acc = alpaka::AccGpuCudaRt<Dim, Index>;
#else
using Acc = alpaka::AccCpuSerial<Dim, Index>;
#endif

struct FillTracks {
    template <class TAcc> ALPAKA_FN_ACC void operator()(const TAcc &acc, tracks t) const
    {
        for (Index i : alpaka::uniformElements(acc, static_cast<Index>(t.head.rows))) {
            t.pt[i] = 1.0f + 0.01f * static_cast<float>(i);
            t.eta[i] = 0.5f;
            t.phi[i] = 0.001f * static_cast<float>(i);
        }
    }
};

struct CountSelected {
    template <class TAcc> ALPAKA_FN_ACC void operator()(const TAcc &acc, tracks t, float threshold, uint32_t *count) const
    {
        for (Index i : alpaka::uniformElements(acc, static_cast<Index>(t.head.rows)))
            if (t.score[i] > threshold) alpaka::atomicAdd(acc, count, 1u);
    }
};

/* How many of `rows` tracks score above the threshold, and the score of the first. */
template <class Queue> static void infer(const char *path, Index rows)
{
    const auto platform = alpaka::Platform<Acc>{};
    const auto dev = alpaka::getDevByIdx(platform, 0);
    const auto host = alpaka::getDevByIdx(alpaka::PlatformCpu{}, 0);
    stoa_error err;
    stoa::alpaka_device device{dev};
    stoa::alpaka_queue queue{device, Queue{dev}};

    /* The application's memory: one buffer of alpaka's for the columns, laid out as CMSSW would. */
    size_t bytes;
    stoa::check(stoa_layout_bytes(&tracks_layout, rows, &bytes, &err), err);
    auto blob = alpaka::allocBuf<std::byte, Index>(dev, Extent{static_cast<Index>(bytes)});
    auto count = alpaka::allocBuf<uint32_t, Index>(dev, Extent{1u});
    auto count_on_host = alpaka::allocBuf<uint32_t, Index>(host, Extent{1u});
    auto score_on_host = alpaka::allocBuf<float, Index>(host, Extent{1u});
    tracks t;
    stoa::check(stoa_layout_bind(&tracks_layout, rows, alpaka::getPtrNative(blob), bytes, stoa::place_of(dev), &t.head, &err), err);

    stoa_model *model;
    stoa_session *session;
    stoa::check(stoa_model_load(path, nullptr, &model, &err), err);
    stoa::check(stoa_session_create(model, queue, rows, nullptr, &session, &err), err);
    stoa::check(stoa_session_bind(session, "x", STOA_COLUMNS(t, pt, eta, phi), &err), err);
    stoa::check(stoa_session_bind(session, "y", STOA_COLUMNS(t, score), &err), err);

    const auto work = alpaka::WorkDivMembers<Dim, Index>{Extent{(rows + 63) / 64}, Extent{1u}, Extent{64u}};
    alpaka::memset(queue.alpaka(), count, 0);
    alpaka::exec<Acc>(queue.alpaka(), work, FillTracks{}, t);
    stoa::check(stoa_session_run(session, rows, &err), err);
    alpaka::exec<Acc>(queue.alpaka(), work, CountSelected{}, t, 0.5f, alpaka::getPtrNative(count));
    alpaka::memcpy(queue.alpaka(), count_on_host, count);
    alpaka::memcpy(queue.alpaka(), score_on_host, stoa::view_of<const float, Index>(dev, STOA_COLUMN(t, score)), Extent{1u});
    alpaka::wait(queue.alpaka());
    std::printf("score of track 0: %g, tracks above 0.5: %u\n", static_cast<double>(*alpaka::getPtrNative(score_on_host)),
                *alpaka::getPtrNative(count_on_host));
    stoa_session_destroy(session);
    stoa_model_destroy(model);
}

int main(int argc, char **argv)
{
    const char *kind = argc == 3 ? argv[2] : "non-blocking";
    const bool blocking = std::strcmp(kind, "blocking") == 0;
    if (argc < 2 || argc > 3 || (!blocking && std::strcmp(kind, "non-blocking") != 0))
        return std::fprintf(stderr, "usage: alpaka_infer MODEL.onnx [non-blocking|blocking] (inputs x [N,3], outputs y [N,1])\n"), 2;
    try {
        if (blocking) infer<alpaka::Queue<Acc, alpaka::Blocking>>(argv[1], 1000);
        else infer<alpaka::Queue<Acc, alpaka::NonBlocking>>(argv[1], 1000);
        return 0;
    } catch (const std::exception &e) {
        return std::fprintf(stderr, "alpaka_infer: %s\n", e.what()), 1;
    }
}
