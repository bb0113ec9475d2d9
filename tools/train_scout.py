# SPDX-License-Identifier: Apache-2.0
"""Trains the network of the scouting job's clusters on simulated taus, jets and pile-up, and writes it as .onnx.

    for s in train:60000:11 test:20000:99; do IFS=: read name events seed <<< $s
        build/release/cli/stoa generate scout --events $events --seed $seed --out out/scout_$name.raw
        build/release/cli/stoa scout out/scout_$name.raw --cluster-model none --no-tables --no-pictures \\
            --out out/scout_$name --features out/scout_$name.f32; done
    .venv/bin/python tools/train_scout.py --train out/scout_train --test out/scout_test --out models/scout_taus.onnx

The clusters are those of the job itself; one is a tau when a true tau's axis lies within 0.3 of its own. The net is the same for
any order of the members: 10 numbers -> 32 -> 32 for each, masked sum and maximum over the members, 64 -> 32 -> four heads: score,
pt as a factor of the members' sum, z as a weighted mean of the charged members', charge.
"""
import argparse

import numpy as np
import torch
from onnx_graph import Graph, auc

MEMBERS, NUMBERS, RADIUS = 16, 10, 0.3
PT, CHARGE, Z0 = 0, 3, 4
SCALES = np.array([0, 8, 8, 1, 0.1, 1, 1, 1, 1, 1], np.float32)  # of the numbers; pt enters by its logarithm
LOG_PT_LIMIT, EPSILON = 1.0, 1e-3


def load(stem):
    """Features, mask, and for each cluster: is it a tau, and that tau's pt, z and charge."""
    rows = np.fromfile(f"{stem}.f32", np.float32).reshape(-1, 5 + MEMBERS * (NUMBERS + 1))
    truth = np.genfromtxt(f"{stem}.truth.csv", delimiter=",", names=True)
    taus = truth[truth["is_tau"] > 0]
    key = rows[:, 0].astype(np.int64) * 4096 + rows[:, 1].astype(np.int64)
    tau_key = (taus["orbit"] * 4096 + taus["bx"]).astype(np.int64)
    best, match = np.full(len(rows), RADIUS), np.full(len(rows), -1)
    first, last = np.searchsorted(tau_key, key, "left"), np.searchsorted(tau_key, key, "right")
    for k in range(int((last - first).max())):
        has = first + k < last
        tau = np.where(has, first + k, 0)
        phi = (taus["phi"][tau] - rows[:, 4] + np.pi) % (2 * np.pi) - np.pi
        distance = np.where(has, np.hypot(taus["eta"][tau] - rows[:, 3], phi), np.inf)
        match = np.where(distance < best, tau, match)
        best = np.minimum(best, distance)
    targets = np.stack([match >= 0] + [np.where(match >= 0, taus[name][match], 0) for name in ("pt", "z", "charge")], axis=1)
    features = rows[:, 5 : 5 + MEMBERS * NUMBERS].reshape(-1, MEMBERS, NUMBERS)
    return [torch.from_numpy(part.astype(np.float32)) for part in (features, rows[:, -MEMBERS:], targets)]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(NUMBERS, 32), torch.nn.Linear(32, 32)
        self.attention = torch.nn.Linear(32, 1)
        self.joint = torch.nn.Linear(64, 32)
        self.heads = torch.nn.ModuleDict({name: torch.nn.Linear(32, 1) for name in ("score", "pt", "charge")})

    def forward(self, x, mask):
        m = mask[:, :, None]
        numbers = x * torch.from_numpy(SCALES)
        numbers = torch.cat([torch.log(x[:, :, :1] + 1), numbers[:, :, 1:]], 2)
        h = torch.relu(self.second(torch.relu(self.first(numbers)))) * m
        weight = torch.sigmoid(self.attention(h)) * m * x[:, :, CHARGE : CHARGE + 1].abs()
        z = (weight * x[:, :, Z0 : Z0 + 1]).sum(1) / (weight.sum(1) + EPSILON)
        g = torch.relu(self.joint(torch.cat([h.sum(1), h.amax(1)], 1)))
        log_factor = self.heads["pt"](g).clamp(-LOG_PT_LIMIT, LOG_PT_LIMIT)
        return self.heads["score"](g), log_factor, z, self.heads["charge"](g)


def loss_of(net, x, mask, targets):
    score, log_factor, z, charge = net(x, mask)
    tau = targets[:, :1]
    pt = (x[:, :, PT] * mask).sum(1, keepdim=True)
    wanted = torch.log(targets[:, 1:2].clamp(min=0.1) / pt)
    f = torch.nn.functional
    loss = f.binary_cross_entropy_with_logits(score, tau)
    loss = loss + (tau * f.smooth_l1_loss(log_factor, wanted, reduction="none", beta=0.2)).mean() * 4
    loss = loss + (tau * f.smooth_l1_loss(z, targets[:, 2:3], reduction="none", beta=0.2)).mean()
    return loss + (tau * f.binary_cross_entropy_with_logits(charge, (targets[:, 3:4] > 0).float(), reduction="none")).mean()


def train(data, epochs, seed):
    torch.manual_seed(seed)
    net, batch = Net(), 1024
    steps = len(data[0]) // batch
    optimiser = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=epochs * steps)
    for epoch in range(epochs):
        order, total = torch.randperm(len(data[0])), 0.0
        for step in range(steps):
            rows = order[step * batch : (step + 1) * batch]
            optimiser.zero_grad()
            loss = loss_of(net, *(part[rows] for part in data))
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1:2d}: loss {total / steps:.4f}", flush=True)
    return net.eval()


def export(net, path):
    graph = Graph("scout_taus", "clusters")
    constant, node = graph.constant, graph.node

    def linear(layer, source, name):
        """Of every member (a product of matrices) or of the cluster alike."""
        product = node("MatMul", [source, constant(f"{name}_weight", layer.weight.detach().numpy().T)], f"{name}_product")
        return node("Add", [product, constant(f"{name}_bias", layer.bias.detach().numpy())], f"{name}_sum")

    def column(index, name):
        return node("Gather", ["features", constant(f"{name}_index", [index])], name, axis=2)

    def over_members(source, name):
        return node("ReduceSum", [source, "members"], name, keepdims=0)

    constant("members", [1])
    mask = node("Unsqueeze", ["mask", constant("last", [2])], "mask_column")
    pt, charge, z0 = column(PT, "pt_member"), column(CHARGE, "charge_member"), column(Z0, "z0_member")
    log_pt = node("Log", [node("Add", [pt, constant("one", [1.0])], "pt_plus_one")], "log_pt")
    rest = node("Gather", ["features", constant("rest_index", np.arange(1, NUMBERS))], "rest", axis=2)
    numbers = node("Concat", [log_pt, node("Mul", [rest, constant("scales", SCALES[1:])], "rest_scaled")], "numbers", axis=2)
    h = node("Relu", [linear(net.first, numbers, "first")], "hidden_1")
    h = node("Mul", [node("Relu", [linear(net.second, h, "second")], "hidden_2"), mask], "hidden")
    attention = node("Sigmoid", [linear(net.attention, h, "attention")], "attention")
    weight = node("Mul", [node("Mul", [attention, mask], "attention_masked"), node("Abs", [charge], "charged")], "z_weight")
    mean = node("Add", [over_members(weight, "z_weight_sum"), constant("epsilon", [EPSILON])], "z_weight_safe")
    node("Div", [over_members(node("Mul", [weight, z0], "z_weighted"), "z_sum"), mean], "z")
    largest = node("ReduceMax", [h], "pool_max", axes=[1], keepdims=0)
    pooled = node("Concat", [over_members(h, "pool_sum"), largest], "pooled", axis=1)
    g = node("Relu", [linear(net.joint, pooled, "joint")], "joint")
    node("Sigmoid", [linear(net.heads["score"], g, "score_head")], "score")
    node("Tanh", [linear(net.heads["charge"], g, "charge_head")], "charge")
    limits = [constant("low", LOG_PT_LIMIT * -1.0), constant("high", LOG_PT_LIMIT)]
    factor = node("Exp", [node("Clip", [linear(net.heads["pt"], g, "pt_head")] + limits, "log_factor")], "factor")
    node("Mul", [over_members(node("Mul", [pt, mask], "pt_masked"), "pt_sum"), factor], "pt")
    graph.save(path, {"features": [MEMBERS, NUMBERS], "mask": [MEMBERS]}, {name: [1] for name in ("score", "pt", "z", "charge")},
               "tools/train_scout.py")


def judge(path, data):
    """The written file through ONNX Runtime, on held-out events."""
    import onnxruntime

    x, mask, targets = (part.numpy() for part in data)
    score, pt, z, charge = (out[:, 0] for out in onnxruntime.InferenceSession(path).run(None, {"features": x, "mask": mask}))
    tau = targets[:, 0] > 0
    ratio, raw = pt[tau] / targets[tau, 1], (x[:, :, PT] * mask).sum(1)[tau] / targets[tau, 1]
    dz = z[tau] - targets[tau, 2]
    print(f"{len(x)} clusters, {tau.sum()} at a tau: AUC {auc(score, tau):.4f}")
    for low, high in ((0, 10), (10, 20), (20, 1e9)):
        inside = (raw * targets[tau, 1] >= low) & (raw * targets[tau, 1] < high)
        other = ~tau & ((x[:, :, PT] * mask).sum(1) >= low) & ((x[:, :, PT] * mask).sum(1) < high)
        part = np.concatenate([score[tau][inside], score[other]])
        label = np.concatenate([np.ones(inside.sum(), bool), np.zeros(other.sum(), bool)])
        print(f"  cluster pt {low} to {high}: {inside.sum()} taus, {other.sum()} others, AUC {auc(part, label):.4f}")
    right = (charge[tau] > 0) == (targets[tau, 3] > 0)
    print(f"  pt over true pt: mean {ratio.mean():.3f}, spread {ratio.std():.3f}; members' sum: {raw.mean():.3f}, {raw.std():.3f}")
    print(f"  z - true z: median of the size {np.median(np.abs(dz)):.3f} cm; charge right {right.mean():.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", help="STEM of STEM.f32 and STEM.truth.csv; left out: judge the model that --out names")
    parser.add_argument("--test", required=True)
    parser.add_argument("--out", default="models/scout_taus.onnx")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.train:
        export(train(load(options.train), options.epochs, options.seed), options.out)
    judge(options.out, load(options.test))


if __name__ == "__main__":
    main()
