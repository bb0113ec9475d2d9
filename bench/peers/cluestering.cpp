// SPDX-License-Identifier: Apache-2.0
// CLUEstering as a contender of `stoa bench clue` (clue_peer.h). Not part of the build; bench/README.md has the command. CLUEstering and alpaka
// are headers, so that nothing of them is here.
#include "bench/clue_peer.h"

#include <CLUEstering/CLUEstering.hpp>

#include <memory>
#include <span>
#include <vector>

namespace
{
using clusterer = clue::Clusterer<2>;
using host_points = clue::PointsHost<2>;
using device_points = clue::PointsDevice<2>;

// The points of one call, kept with their memory on the "device" from call to call, as a user would.
struct call {
    std::vector<float> coordinates, weights;
    std::vector<int> clusters;
    std::unique_ptr<host_points> host;
    std::unique_ptr<device_points> device;
};

struct peer {
    clue::Queue queue{clue::get_queue(0u)};
    std::unique_ptr<clusterer> algorithm;
    std::vector<call> calls;
    std::vector<std::uint32_t> sizes; // of the samples, when all go in one call
    std::uint32_t last = 0;

    void add(const clue_peer_points &p, std::uint32_t first, std::uint32_t end)
    {
        call c;
        c.coordinates.assign(p.x + first, p.x + end);
        c.coordinates.insert(c.coordinates.end(), p.y + first, p.y + end);
        c.weights.assign(p.weight + first, p.weight + end);
        c.clusters.resize(end - first);
        const auto n = static_cast<std::int32_t>(end - first);
        c.host = std::make_unique<host_points>(queue, n, std::span<float>(c.coordinates), std::span<float>(c.weights),
                                               std::span<int>(c.clusters));
        c.device = std::make_unique<device_points>(queue, n);
        calls.push_back(std::move(c));
    }

    void run(std::uint32_t sample)
    {
        last = sizes.empty() ? sample : 0;
        call &c = calls[last];
        if (c.clusters.empty()) return;
        if (sizes.size() > 1) algorithm->make_clusters(queue, *c.host, *c.device, std::span<const std::uint32_t>(sizes));
        else algorithm->make_clusters(queue, *c.host, *c.device);
    }
};

void *open_points(const clue_peer_points *points, int one_by_one)
try {
    auto self = std::make_unique<peer>();
    self->algorithm = std::make_unique<clusterer>(self->queue, points->density_radius, points->density_min, points->outlier_distance);
    if (!one_by_one) self->add(*points, 0, points->offset[points->samples]);
    for (std::uint32_t s = 0; s < points->samples; s++) {
        if (one_by_one) self->add(*points, points->offset[s], points->offset[s + 1]);
        else self->sizes.push_back(points->offset[s + 1] - points->offset[s]);
    }
    return self.release();
} catch (...) {
    return nullptr;
}

int run_sample(void *self, std::uint32_t sample)
try {
    static_cast<peer *>(self)->run(sample);
    return 0;
} catch (...) {
    return 1;
}

// Numbers are those of seeds: in one call for all samples they go on from sample to sample.
std::uint64_t count_clusters(void *self)
{
    const peer &p = *static_cast<peer *>(self);
    int largest = -1;
    for (int cluster : p.calls[p.last].clusters) largest = cluster > largest ? cluster : largest;
    return static_cast<std::uint64_t>(largest + 1);
}

void close_points(void *self) { delete static_cast<peer *>(self); }
} // namespace

extern "C" const clue_peer *stoa_peer_clue(std::uint32_t abi)
{
    static const clue_peer functions = {open_points, run_sample, count_clusters, close_points};
    return abi == CLUE_PEER_ABI ? &functions : nullptr;
}
