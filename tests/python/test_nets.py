# SPDX-License-Identifier: Apache-2.0
"""The networks of nets.py in eager PyTorch: parameters and results that their descriptions state."""
import sys

import numpy
import torch

import events
import nets
from expect import check, close, finish


def run(net, *inputs):
    with torch.no_grad():
        results = net(*(torch.as_tensor(value) for value in inputs))
    return [result.numpy() for result in (results if isinstance(results, tuple) else (results,))]


def as_declared(name, case):
    """The table is true: parameters, and shapes and types of the results for no row, one and several."""
    net = case.module()
    check(sum(p.numel() for p in net.parameters()) == case.parameters, f"{name}: {case.parameters} parameters")
    check(all(torch.equal(a, b) for a, b in zip(net.parameters(), case.module().parameters())), f"{name}: same weights each time")
    for n in (0, 1, 5):
        def shape(tensor):
            return (1 if tensor.rows == "1" else n, *tensor.shape)

        with torch.no_grad():
            found = net(*(torch.ones(shape(tensor)).to(getattr(torch, tensor.dtype)) for tensor in case.inputs.values()))
        found = found if isinstance(found, tuple) else (found,)
        declared = [(shape(tensor), getattr(torch, tensor.dtype)) for tensor in case.outputs.values()]
        check([(tuple(value.shape), value.dtype) for value in found] == declared, f"{name}: results of {n} rows as declared")


def multihead():
    net = nets.CASES["multihead"].module()
    for total, r, classes in events.MULTIHEAD:
        x = torch.full((1, 3), total / 3)
        for kind, (regression, probability) in (("eager", run(net, x)), ("closed form", events.multihead(x.numpy()))):
            close(regression, [[r]], 2e-6, 1e-6, f"multihead, sum {total}: regression, {kind}")
            close(probability, [classes], 0, 1e-6, f"multihead, sum {total}: classes, {kind}")
    x = events.uniform(1000)
    regression, classes = run(net, x)
    expected = events.multihead(x)
    close(regression, expected[0], 1e-5, 0, "multihead: regression in closed form")
    close(classes, expected[1], 1e-4, 0, "multihead: classes in closed form")
    close(regression[:, 0], 4.163795 + 0.314573 * x.sum(1), 1e-5, 0, "multihead: regression is linear in the sum")


def resnet():
    net, image = nets.CASES["resnet"].module(), torch.as_tensor(events.images(10))
    (classes,) = run(net, image)
    close(classes.sum(1), numpy.ones(10), 0, 1e-6, "resnet: probabilities add up to one")
    check(numpy.ptp(classes, axis=0).min() > 0, "resnet: images differ in every class")
    block = torch.zeros(3 * 81 * 32)
    columns = block.as_strided((10, 3, 9, 9), (1, 2592, 32, 288))  # three matrix columns of ten rows, padded to 32
    columns.copy_(image)
    close(run(net, columns)[0], classes, 1e-5, 1e-7, "resnet: on matrix columns")


def deepset():
    net, event = nets.CASES["deepset"].module(), events.deepset()
    (score,) = run(net, *event.values())
    bare = {**event, "hit_scale": numpy.zeros((1, 1), numpy.float32)}
    none = run(net, *bare.values())[0]
    empty = list(events.TRACKS_WITHOUT_HITS)
    check((numpy.flatnonzero(score == none) == empty).all(), "deepset: only tracks without hits do not feel them")
    batches = [run(net, *{**event, "tracks": event["tracks"][first:first + 3], "track_begin": numpy.array([[first]])}.values())[0]
               for first in (0, 3, 6)]
    close(numpy.concatenate(batches), score, 1e-6, 0, "deepset: batches of three tracks beside all hits")
    order = numpy.random.default_rng(1).permutation(16)
    shuffled = {**event, "hits": event["hits"][order], "hit_to_track": event["hit_to_track"][order]}
    close(run(net, *shuffled.values())[0], score, 1e-6, 0, "deepset: hits in another order")


for name, case in nets.CASES.items():
    as_declared(name, case)
close(run(nets.CASES["linear"].module(), events.LINEAR_X)[0], events.LINEAR_Y, 0, 1e-5, "linear: CMSSW's four rows")
x = events.uniform(100)
masked = run(nets.CASES["masked"].module(), x, numpy.tile(events.MASK, (100, 1)), numpy.ones((1, 1), numpy.float32))[0]
check((masked[:, 0] == x[:, 0] + x[:, 2]).all(), "masked: pt + phi to the bit")
multihead()
resnet()
deepset()
sys.exit(finish())
