# SPDX-License-Identifier: Apache-2.0
"""The events of CMSSW's PyTorchAlpaka tests, and what must come out where that is known without running a network."""
import numpy

LINEAR_X = numpy.array([(1, 2, 1), (2, 4, 3), (3, 4, 1), (2, 3, 2)], numpy.float32)
LINEAR_Y = numpy.array([(2.3, -0.5), (6.6, 3.0), (2.5, -4.9), (4.4, 1.3)])

MASK = numpy.array((0, 1, 0), numpy.uint8)

# sum of the three inputs, regression, classes
MULTIHEAD = ((0.0, 4.163795, (0.042328, 0.181282, 0.776389)), (1.0, 4.478368, (0.035239, 0.167603, 0.797159)),
             (2.0, 4.792941, (0.029255, 0.154527, 0.816218)), (3.0, 5.107514, (0.024227, 0.142117, 0.833656)))


def multihead(x):
    """MultiHeadNet in closed form: all its weights of a layer are the same, and nothing is negative for inputs of [0, 1)."""
    h = 0.025 * x.sum(1, dtype=numpy.float64)[:, None] + 0.1
    for width in (32, 64, 256, 64):
        h = 0.025 * width * h + 0.1
    logits = 32 * numpy.array((0.06, 0.07, 0.08)) * h + numpy.array((0.1, 0.2, 0.3))
    weights = numpy.exp(logits)
    return 32 * 0.03 * h + 0.1, weights / weights.sum(1, keepdims=True)


HITS_OF_TRACKS = (2, 3, 1, 4, 1, 2, 3, 0)
TRACKS_WITHOUT_HITS = (7,)


def deepset(seed=3):
    """Eight tracks and their 16 hits, named as TrackHitDeepSet's inputs."""
    rng = numpy.random.default_rng(seed)
    tracks = len(HITS_OF_TRACKS)
    return {
        "tracks": rng.random((tracks, 3), numpy.float32), "hits": rng.random((sum(HITS_OF_TRACKS), 3), numpy.float32),
        "hit_to_track": numpy.repeat(numpy.arange(tracks), HITS_OF_TRACKS)[:, None],
        "track_begin": numpy.array([[0]]), "hit_scale": numpy.array([[0.5]], numpy.float32),
    }


def images(rows, seed=9):
    """[rows, 3, 9, 9], as TinyResNet takes them."""
    return numpy.random.default_rng(seed).random((rows, 3, 9, 9), numpy.float32)


def uniform(rows, width=3, seed=5):
    return numpy.random.default_rng(seed).random((rows, width), numpy.float32)
