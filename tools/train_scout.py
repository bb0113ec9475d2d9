# SPDX-License-Identifier: Apache-2.0
"""Trains the network of the scouting job's clusters on simulated taus, jets and pile-up, and writes it in two forms.

    for s in train:60000:11 test:20000:99; do IFS=: read name events seed <<< $s
        build/release/cli/stoa generate scout --events $events --seed $seed --out out/scout_$name.raw
        build/release/cli/stoa scout out/scout_$name.raw --cluster-model none --no-tables --no-pictures \\
            --out out/scout_$name --features out/scout_$name.f32; done
    .venv/bin/python tools/train_scout.py --train out/scout_train --test out/scout_test --out models

The clusters are those of the job itself; one is a tau when a true tau's axis lies within 0.3 of its own. The net is the same for
any order of the members: 10 numbers -> 32 -> 32 for each, sum and maximum over the members, with 4 numbers of the cluster and its crossing
68 -> 32 -> four heads: score, pt as a factor of the members' sum, z as a weighted mean of the charged members', charge.

scout_taus.onnx works on the collections as they lie: candidates, the members of clusters (rows of candidates), clusters, crossings, each
with its own number of rows. scout_taus_padded.onnx takes the 16 leading members of each cluster as a matrix and a mask. Same weights.
"""
import argparse
import os

import numpy as np
import torch
from onnx import TensorProto
from onnx_graph import Graph, auc

MEMBERS, NUMBERS, CLUSTER_NUMBERS, RADIUS = 16, 10, 7, 0.3
PT, D_ETA, D_PHI, CHARGE, Z0 = range(5)
SCALES = np.array([0, 8, 8, 1, 0.1, 1, 1, 1, 1, 1], np.float32)  # of the numbers; pt enters by its logarithm
KINDS = [211, 130, 11, 13, 22]  # the last five numbers: charged and neutral hadron, electron, muon, photon
CHARGES = np.array([1, 0, -1, -1, 0], np.float32)  # of a positive particle number
CLUSTER_SCALE, CROSSING_SCALE = np.array([0.3, 0.4, 0.3], np.float32), np.array([0.3], np.float32)
LOG_PT_LIMIT, EPSILON = 1.0, 1e-3
SCALARS = 4


def load(stem):
    """Features, mask, numbers of the cluster (pt, eta, phi, mass, candidates of its crossing), and of each cluster: is it a tau, and
    that tau's pt, z and charge."""
    rows = np.fromfile(f"{stem}.f32", np.float32).reshape(-1, CLUSTER_NUMBERS + MEMBERS * (NUMBERS + 1))
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
    features = rows[:, CLUSTER_NUMBERS:-MEMBERS].reshape(-1, MEMBERS, NUMBERS)
    return [torch.from_numpy(part.astype(np.float32)) for part in (features, rows[:, -MEMBERS:], rows[:, 2:CLUSTER_NUMBERS], targets)]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(NUMBERS, 32), torch.nn.Linear(32, 32)
        self.attention = torch.nn.Linear(32, 1)
        self.joint = torch.nn.Linear(64 + SCALARS, 32)
        self.heads = torch.nn.ModuleDict({name: torch.nn.Linear(32, 1) for name in ("score", "pt", "charge")})

    def forward(self, x, mask, cluster):
        m = mask[:, :, None]
        numbers = x * torch.from_numpy(SCALES)
        numbers = torch.cat([torch.log(x[:, :, :1] + 1), numbers[:, :, 1:]], 2)
        h = torch.relu(self.second(torch.relu(self.first(numbers)))) * m
        weight = torch.sigmoid(self.attention(h)) * m * x[:, :, CHARGE : CHARGE + 1].abs()
        z = (weight * x[:, :, Z0 : Z0 + 1]).sum(1) / (weight.sum(1) + EPSILON)
        pt, eta, _, mass, candidates = cluster.split(1, 1)
        scalars = torch.cat([torch.log(pt + 1), eta, torch.log(mass + 1), torch.log(candidates + 1)], 1)
        scalars = scalars * torch.from_numpy(np.concatenate([CLUSTER_SCALE, CROSSING_SCALE]))
        g = torch.relu(self.joint(torch.cat([h.sum(1), h.amax(1), scalars], 1)))
        log_factor = self.heads["pt"](g).clamp(-LOG_PT_LIMIT, LOG_PT_LIMIT)
        return self.heads["score"](g), log_factor, z, self.heads["charge"](g)


def loss_of(net, x, mask, cluster, targets):
    score, log_factor, z, charge = net(x, mask, cluster)
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


class Writer(Graph):
    """What both forms share: they differ in where the members lie, and in how their numbers are summed up."""

    def __init__(self, name, net):
        super().__init__(name, "clusters")
        self.net = net
        for name, value in (("one", [1.0]), ("members", [1]), ("epsilon", [EPSILON]), ("low", -LOG_PT_LIMIT), ("high", LOG_PT_LIMIT)):
            self.constant(name, value)

    def linear(self, layer, source, name):
        """Of every member (a product of matrices) or of the cluster alike."""
        weight = self.constant(f"{name}_weight", layer.weight.detach().numpy().T)
        product = self.node("MatMul", [source, weight], f"{name}_product")
        return self.node("Add", [product, self.constant(f"{name}_bias", layer.bias.detach().numpy())], f"{name}_sum")

    def pick(self, source, indices, name, axis):
        return self.node("Gather", [source, self.constant(f"{name}_index", indices)], name, axis=axis)

    def log_of(self, source, name):
        return self.node("Log", [self.node("Add", [source, "one"], f"{name}_plus_one")], name)

    def embed(self, pt, rest, axis):
        """The members' 32 values, before any mask, of their 10 numbers."""
        scaled = self.node("Mul", [rest, self.constant("scales", SCALES[1:])], "rest_scaled")
        numbers = self.node("Concat", [self.log_of(pt, "log_pt"), scaled], "numbers", axis=axis)
        h = self.node("Relu", [self.linear(self.net.first, numbers, "first")], "hidden_1")
        return self.node("Relu", [self.linear(self.net.second, h, "second")], "hidden_2")

    def scalars(self):
        """Of the cluster, and of its crossing, whose row `crossing_of` has."""
        logs = self.log_of(self.pick("cluster", [0, 3], "cluster_pt_mass", 1), "cluster_logs")
        cluster = self.node("Concat", [self.pick(logs, [0], "cluster_log_pt", 1), self.pick("cluster", [1], "cluster_eta", 1),
                                       self.pick(logs, [1], "cluster_log_mass", 1)], "cluster_numbers", axis=1)
        cluster = self.node("Mul", [cluster, self.constant("cluster_scale", CLUSTER_SCALE)], "cluster_scaled")
        row = self.node("Squeeze", ["crossing_of", "members"], "crossing_row")
        crossing = self.node("Gather", [self.log_of("crossing", "crossing_log"), row], "crossing_here", axis=0)
        crossing = self.node("Mul", [crossing, self.constant("crossing_scale", CROSSING_SCALE)], "crossing_scaled")
        return [cluster, crossing]

    def heads(self, total, largest, weight, weighted_z, pt):
        """From sums over the members: of the 32 values, their maxima, weights of z, z times weight, pt."""
        self.node("Div", [weighted_z, self.node("Add", [weight, "epsilon"], "z_weight_safe")], "z")
        pooled = self.node("Concat", [total, largest, *self.scalars()], "pooled", axis=1)
        g = self.node("Relu", [self.linear(self.net.joint, pooled, "joint")], "joint")
        self.node("Sigmoid", [self.linear(self.net.heads["score"], g, "score_head")], "score")
        self.node("Tanh", [self.linear(self.net.heads["charge"], g, "charge_head")], "charge")
        factor = self.node("Clip", [self.linear(self.net.heads["pt"], g, "pt_head"), "low", "high"], "log_factor")
        self.node("Mul", [pt, self.node("Exp", [factor], "factor")], "pt")

    def save_heads(self, path, inputs):
        scalars = {"cluster": [4], "crossing_of": ("clusters", TensorProto.INT64, [1]), "crossing": ("crossings", TensorProto.FLOAT, [1])}
        self.save(path, inputs | scalars, {name: [1] for name in ("score", "pt", "z", "charge")}, "tools/train_scout.py", opset=18)


def export_padded(net, path):
    graph = Writer("scout_taus_padded", net)
    node = graph.node

    def over_members(source, name):
        return node("ReduceSum", [source, "members"], name, keepdims=0)

    mask = node("Unsqueeze", ["mask", graph.constant("last", [2])], "mask_column")
    pt, charge, z0 = (graph.pick("features", [index], name, 2) for index, name in ((PT, "pt_member"), (CHARGE, "charge_member"), (Z0, "z0_member")))
    h = node("Mul", [graph.embed(pt, graph.pick("features", np.arange(1, NUMBERS), "rest", 2), 2), mask], "hidden")
    attention = node("Mul", [node("Sigmoid", [graph.linear(net.attention, h, "attention")], "attention"), mask], "attention_masked")
    weight = node("Mul", [attention, node("Abs", [charge], "charged")], "z_weight")
    weighted_z = over_members(node("Mul", [weight, z0], "z_weighted"), "z_sum")
    largest = node("ReduceMax", [h, "members"], "pool_max", keepdims=0)
    graph.heads(over_members(h, "pool_sum"), largest, over_members(weight, "z_weight_sum"), weighted_z,
                over_members(node("Mul", [pt, mask], "pt_masked"), "pt_sum"))
    graph.save_heads(path, {"features": [MEMBERS, NUMBERS], "mask": [MEMBERS]})


def export_members(net, path):
    """The members are rows: of each, its candidate and through that its cluster. Their sums and maxima are scattered to the clusters."""
    graph = Writer("scout_taus", net)
    node, pick = graph.node, graph.pick

    def here(source, row, name):
        return node("Gather", [source, row], name, axis=0)

    def scattered(parts, width, reduction):
        shape = node("Concat", [node("Shape", ["cluster"], f"{reduction}_rows", end=1), graph.constant(f"{reduction}_width", [width])],
                     f"{reduction}_shape", axis=0)
        values = node("Concat", parts, f"{reduction}_values", axis=1) if len(parts) > 1 else parts[0]
        return node("ScatterND", [node("ConstantOfShape", [shape], f"{reduction}_none"), "owner", values], f"pool_{reduction}",
                    reduction=reduction)

    member = node("Squeeze", ["member", "members"], "member_row")
    owner = node("Squeeze", [here("cluster_of", member, "owner"), "members"], "owner_row")
    candidate, cluster, particle = here("candidate", member, "it"), here("cluster", owner, "its_cluster"), here("pdgid", member, "id")
    turn = graph.constant("turn", [2 * np.pi])
    away = node("Sub", [pick(candidate, [1, 2], "angles", 1), pick(cluster, [1, 2], "cluster_angles", 1)], "away")
    d_eta, d_phi = pick(away, [0], "d_eta", 1), pick(away, [1], "d_phi_open", 1)
    turns = node("Mul", [node("Round", [node("Div", [d_phi, turn], "turns_open")], "turns"), turn], "turned")
    d_phi = node("Sub", [d_phi, turns], "d_phi")
    kinds = node("Cast", [node("Equal", [node("Abs", [particle], "id_size"), graph.constant("kinds", np.array(KINDS, np.int32))], "is_kind")],
                 "kind", to=TensorProto.FLOAT)
    sign = node("Cast", [node("Sign", [particle], "id_sign")], "sign", to=TensorProto.FLOAT)
    charge = node("Mul", [sign, node("MatMul", [kinds, graph.constant("charges", CHARGES[:, None])], "charge_size")], "charge_member")
    pt, z0 = pick(candidate, [0], "pt_member", 1), pick(candidate, [3], "z0", 1)
    h = graph.embed(pt, node("Concat", [d_eta, d_phi, charge, z0, kinds], "rest", axis=1), 1)
    weight = node("Mul", [node("Sigmoid", [graph.linear(net.attention, h, "attention")], "attention"), node("Abs", [charge], "charged")], "z_weight")
    total = scattered([h, weight, node("Mul", [weight, z0], "z_weighted"), pt], 35, "add")
    largest = scattered([h], 32, "max")
    sums = node("Split", [total, graph.constant("parts", [32, 1, 1, 1])], ["pool_sum", "z_weight_sum", "z_sum", "pt_sum"], axis=1)
    graph.heads(sums[0], largest, *sums[1:])
    rows = lambda axis, kind, width: (axis, kind, [width])
    graph.save_heads(path, {"candidate": rows("candidates", TensorProto.FLOAT, 4), "pdgid": rows("candidates", TensorProto.INT32, 1),
                            "cluster_of": rows("candidates", TensorProto.INT64, 1), "member": rows("members", TensorProto.INT64, 1)})


def run_padded(path, x, mask, cluster):
    import onnxruntime

    row = np.arange(len(x))[:, None]
    return onnxruntime.InferenceSession(path).run(None, {"features": x, "mask": mask, "cluster": cluster[:, :4], "crossing_of": row,
                                                         "crossing": cluster[:, 4:]})


def run_members(path, x, mask, cluster):
    """Each member as a candidate of its own."""
    import onnxruntime

    owner, place = np.nonzero(mask)
    numbers = x[owner, place]
    candidate = np.stack([numbers[:, PT], numbers[:, D_ETA] + cluster[owner, 1], numbers[:, D_PHI] + cluster[owner, 2], numbers[:, Z0]], 1)
    kind = numbers[:, NUMBERS - len(KINDS) :].argmax(1)
    sign = np.where(numbers[:, CHARGE] * CHARGES[kind] < 0, -1, 1)
    return onnxruntime.InferenceSession(path).run(None, {
        "candidate": candidate.astype(np.float32), "pdgid": (sign * np.array(KINDS)[kind]).astype(np.int32)[:, None],
        "cluster_of": owner[:, None], "member": np.arange(len(owner))[:, None], "cluster": cluster[:, :4],
        "crossing_of": np.arange(len(x))[:, None], "crossing": cluster[:, 4:]})


def judge(folder, data):
    """The written files through ONNX Runtime, on held-out events."""
    x, mask, cluster, targets = (part.numpy() for part in data)
    results = run_members(f"{folder}/scout_taus.onnx", x, mask, cluster)
    padded = run_padded(f"{folder}/scout_taus_padded.onnx", x, mask, cluster)
    print("largest difference of the two forms:", *(f"{name} {np.abs(a - b).max():.1e}" for name, a, b in
                                                      zip(("score", "pt", "z", "charge"), results, padded)))
    score, pt, z, charge = (out[:, 0] for out in results)
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
    parser.add_argument("--train", help="STEM of STEM.f32 and STEM.truth.csv; left out: judge the models in --out")
    parser.add_argument("--test", required=True)
    parser.add_argument("--out", default="models", help="folder of the models")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.train:
        net = train(load(options.train), options.epochs, options.seed)
        os.makedirs(options.out, exist_ok=True)
        export_members(net, f"{options.out}/scout_taus.onnx")
        export_padded(net, f"{options.out}/scout_taus_padded.onnx")
    judge(options.out, load(options.test))


if __name__ == "__main__":
    main()
