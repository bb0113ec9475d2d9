# SPDX-License-Identifier: Apache-2.0
"""Trains the high-purity selector of the HLT job on simulated tracks and writes it as .onnx.

    for p in 200:700:11 140:400:12 50:400:13 10:300:14; do IFS=: read pileup events seed <<< $p
        build/release/cli/stoa generate hlt --events $events --seed $seed --pileup $pileup --out out/train_$pileup.npz; done
    build/release/cli/stoa generate hlt --events 20 --seed 99 --pileup 200 --out out/test_200.npz
    .venv/bin/python tools/train_hlt.py --train out/train_200.npz out/train_140.npz out/train_50.npz out/train_10.npz \
        --test out/test_200.npz --out models/hlt_high_purity.onnx

Without --train the model that is there is judged, beside plain cuts on chi2, hits and impact parameter, on simulated and real tracks:

    .venv/bin/python tools/train_hlt.py --test out/test_200.npz --physlite ../shared/data/tracks/physlite_tracks.csv

The net is 20 -> 64 -> 64 -> 1, ReLU and sigmoid, on the 17 features of CMS's selector in their order. The model itself makes its 20
inputs of them: log10 of what is positive, |dxy| also as a logarithm, |eta|, and the covariances as correlations; then clamps and
normalisation. A covariance spans orders of magnitude, a correlation does not. Duplicates are left out of
the training and counted as wrong in the evaluation. --foreign adds each track once more as another detector
might see it (docs/hlt.md has what that gives); the file in models/ is made without.
"""
import argparse
import pathlib

import numpy as np
import torch
from onnx_graph import Graph, auc

# Name, whether the model takes its log10, and the track column it comes from (COV: square root of the diagonal).
FEATURES = [
    ("chi2", True), ("dz_error", True), ("dxy_error", True), ("eta", False), ("hits", False), ("phi", False),
    ("phi_error", True), ("pt", True), ("q_over_pt_error", True), ("dz_bs", False), ("dxy_bs", False), ("layers", False),
    ("cot_theta_error", True), ("cov_cot_theta_dz", False), ("cov_dxy_q_over_pt", False), ("cov_phi_dxy", False),
    ("cov_phi_q_over_pt", False),
]
PLACE = {name: i for i, (name, _) in enumerate(FEATURES)}
# The model's own view of them: logarithms, logarithms of sizes, plain, sizes, covariances as correlations.
COLUMNS = {name: [PLACE[column] for column in columns.split()] for name, columns in {
    "logs": " ".join(name for name, log in FEATURES if log),
    "log_sizes": "dxy_bs",
    "rest": "eta hits phi dz_bs dxy_bs layers",
    "sizes": "eta",
    "covariances": "cov_cot_theta_dz cov_dxy_q_over_pt cov_phi_dxy cov_phi_q_over_pt",
    "first_errors": "cot_theta_error dxy_error phi_error phi_error",
    "second_errors": "dz_error q_over_pt_error dxy_error q_over_pt_error",
}.items()}
EPSILON = 1e-8
SIZE_EPSILON = 1e-4  # cm: smaller impact parameters are the same


def features(path):
    """The 17 columns of the preselected tracks (quality at least tight), their truth and duplicate flags."""
    table = np.load(path)
    tight = table["quality"] >= 5
    state, covariance = table["state"], table["covariance"]
    root = lambda index: np.sqrt(covariance[:, index])
    columns = [
        table["chi2"], root(14), root(5), table["eta"], table["nHits"], state[:, 0], root(0), table["pt"], root(9), state[:, 4],
        state[:, 1], table["nLayers"], root(12), covariance[:, 13], covariance[:, 6], covariance[:, 1], covariance[:, 2],
    ]
    x = np.stack([column.astype(np.float32) for column in columns], axis=1)[tight]
    return x, table["is_true"][tight] > 0, table["is_duplicate"][tight] > 0


def physlite_features(path):
    """The same of ATLAS tracks: units and covariance converted as reco_atlas_to_cms does, the truth link for truth."""
    t = np.genfromtxt(path, delimiter=",", names=True)
    sin, cos, zeros = np.sin(t["theta"]), np.cos(t["theta"]), np.zeros((len(t), 5, 5))
    sigma = np.sqrt([t["varD0"], t["varZ0"], t["varPhi"], t["varTheta"], t["varQoverP"]])
    atlas, jacobian = zeros.copy(), zeros.copy()
    for k, (a, b) in enumerate((a, b) for a in range(5) for b in range(a)):
        atlas[:, a, b] = atlas[:, b, a] = t[f"corr{k}"] * sigma[a] * sigma[b]
    for a in range(5):
        atlas[:, a, a] = sigma[a] ** 2
    for (row, column), value in {(0, 2): 1, (1, 0): 0.1, (2, 3): -1000 * t["qOverP"] * cos / sin**2, (2, 4): 1000 / sin,
                                 (3, 3): -1 / sin**2, (4, 1): 0.1}.items():
        jacobian[:, row, column] = value
    v = jacobian @ atlas @ jacobian.transpose(0, 2, 1)
    root = lambda index: np.sqrt(v[:, index, index])
    columns = [
        t["chiSquared"] / t["numberDoF"], root(4), root(1), -np.log(np.tan(t["theta"] / 2)),
        t["numberOfPixelHits"] + t["numberOfSCTHits"], t["phi"], root(0), np.abs(sin / t["qOverP"]) / 1000, root(2),
        0.1 * (t["z0"] + t["vz"]), 0.1 * t["d0"], t["numberOfPixelHits"], root(3), v[:, 3, 4], v[:, 1, 2], v[:, 0, 1], v[:, 0, 2],
    ]
    x = np.stack([column.astype(np.float32) for column in columns], axis=1)
    truth = t["truth_linked"] > 0
    return x, truth, np.zeros_like(truth)


def foreign(x, seed):
    """The same tracks of no detector in particular: other resolutions, harder, more hits on fewer layers, correlations that say nothing."""
    rng, n = np.random.default_rng(seed), len(x)
    flat = lambda low, high: rng.uniform(low, high, n).astype(np.float32)
    x = x.copy()
    resolution = np.exp(flat(np.log(0.15), np.log(3)))
    for names in (("dxy_error", "dxy_bs"), ("dz_error",), ("phi_error",), ("q_over_pt_error",), ("cot_theta_error",)):
        factor = resolution * np.exp(rng.normal(0, 0.3, n).astype(np.float32))
        for name in names:
            x[:, PLACE[name]] *= factor
    x[:, PLACE["pt"]] *= np.exp(flat(0, 3))
    x[:, PLACE["hits"]] = np.round(x[:, PLACE["hits"]] * flat(1, 2.3))
    x[:, PLACE["layers"]] = np.round(x[:, PLACE["layers"]] * flat(0.5, 1))
    for covariance, first, second in zip(*(COLUMNS[name] for name in ("covariances", "first_errors", "second_errors"))):
        x[:, covariance] = flat(-1, 1) * x[:, first] * x[:, second]
    return x


class Selector(torch.nn.Module):
    """Columns with a logarithm, the rest, what is derived from them: the order that the exported graph has."""

    def __init__(self, x, widths):
        super().__init__()
        for name, columns in COLUMNS.items():
            self.register_buffer(name, torch.tensor(columns))
        z = self.listed(torch.from_numpy(x)).double()
        low, high = torch.quantile(z[:100_000], torch.tensor([0.0005, 0.9995], dtype=torch.float64), dim=0)
        clamped = z.clamp(low, high)
        for name, value in (("low", low), ("high", high), ("mean", clamped.mean(0)), ("scale", 1 / (clamped.std(0) + EPSILON))):
            self.register_buffer(name, value.float())
        sizes = [z.shape[1], *widths, 1]
        self.layers = torch.nn.ModuleList(torch.nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))

    def listed(self, x):
        take = lambda columns: x.index_select(1, columns)
        correlations = take(self.covariances) / (take(self.first_errors) * take(self.second_errors))
        return torch.cat([torch.log10(take(self.logs) + EPSILON), torch.log10(take(self.log_sizes).abs() + SIZE_EPSILON),
                          take(self.rest), take(self.sizes).abs(), correlations], dim=1)

    def normalised(self, x):
        h = (self.listed(x).clamp(self.low, self.high) - self.mean) * self.scale
        return torch.where(torch.isnan(h), torch.zeros_like(h), h)

    def scores(self, h):
        """Before the sigmoid."""
        for layer in self.layers[:-1]:
            h = torch.relu(layer(h))
        return self.layers[-1](h)

    def forward(self, x):
        return self.scores(self.normalised(x))


def train(x, y, widths, epochs, seed):
    """Adam with one cycle of the learning rate."""
    torch.manual_seed(seed)
    model = Selector(x, widths)
    with torch.no_grad():
        data = torch.cat([model.normalised(torch.from_numpy(part)) for part in np.array_split(x, 64)])
    target = torch.from_numpy(y.astype(np.float32))[:, None]
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    batch, steps = 4096, len(x) // 4096
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 8e-3, total_steps=epochs * steps)
    loss_of = torch.nn.BCEWithLogitsLoss()
    for epoch in range(epochs):
        order, total = torch.randperm(len(x)), 0.0
        for step in range(steps):
            rows = order[step * batch : (step + 1) * batch]
            optimiser.zero_grad()
            loss = loss_of(model.scores(data[rows]), target[rows])
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1:2d}: loss {total / steps:.4f}", flush=True)
    return model.eval()


def export(model, path):
    graph = Graph("hlt_high_purity", "tracks")
    constant, node = graph.constant, graph.node
    take = lambda name: node("Gather", ["features", constant(f"{name}_columns", np.array(COLUMNS[name], np.int64))], name, axis=1)
    size = lambda name: node("Abs", [take(name)], f"{name}_abs")

    def log10(x, name, epsilon):
        shifted = node("Add", [x, constant(f"{name}_epsilon", [epsilon])], f"{name}_shifted")
        return node("Mul", [node("Log", [shifted], f"{name}_ln"), constant(f"{name}_log10_e", [1 / np.log(10)])], f"{name}_log10")

    errors = node("Mul", [take("first_errors"), take("second_errors")], "errors")
    h = node("Concat", [log10(take("logs"), "logs", EPSILON), log10(size("log_sizes"), "log_sizes", SIZE_EPSILON), take("rest"), size("sizes"),
                        node("Div", [take("covariances"), errors], "correlations")], "listed", axis=1)
    h = node("Min", [node("Max", [h, constant("low", model.low.numpy()[None])], "raised"), constant("high", model.high.numpy()[None])], "clamped")
    h = node("Mul", [node("Sub", [h, constant("mean", model.mean.numpy()[None])], "centred"), constant("scale", model.scale.numpy()[None])], "scaled")
    h = node("Where", [node("IsNaN", [h], "missing"), constant("zero", [[0.0]]), h], "normalised")
    for i, layer in enumerate(model.layers):
        last = i == len(model.layers) - 1
        parts = [h, constant(f"weight_{i}", layer.weight.detach().numpy()), constant(f"bias_{i}", layer.bias.detach().numpy())]
        h = node("Gemm", parts, f"sum_{i}", transB=1)
        h = node("Sigmoid" if last else "Relu", [h], "score" if last else f"hidden_{i}")
    graph.save(path, {"features": [17]}, {"score": [1]}, "tools/train_hlt.py")


def report(model, path, threshold=None):
    """ROC on held-out tracks; the threshold that keeps 97 % of the true ones unless one is given."""
    x, truth, _ = features(path)
    with torch.no_grad():
        score = torch.sigmoid(model(torch.from_numpy(x)))[:, 0].numpy()
    if threshold is None:
        threshold = float(np.quantile(score[truth], 0.03))
    chosen = score >= threshold
    print(f"{pathlib.Path(path).name}: {len(x)} tracks, AUC {auc(score, truth):.4f}, threshold {threshold:.3f}: "
          f"efficiency {chosen[truth].mean():.4f}, wrong among selected {1 - truth[chosen].mean():.4f} (before: {1 - truth.mean():.4f})")
    return threshold


def judge(model, path, thresholds):
    """The written model, through ONNX Runtime, and plain cuts, on the same tracks."""
    import onnxruntime

    x, truth, duplicate = physlite_features(path) if str(path).endswith(".csv") else features(path)
    score = onnxruntime.InferenceSession(model).run(None, {"features": x})[0][:, 0]
    name, kept = pathlib.Path(path).name, ~duplicate
    print(f"{name}: {len(x)} tracks, wrong {1 - truth.mean():.4f}, AUC {auc(score, truth):.4f}, "
          f"{auc(score[kept], truth[kept]):.4f} without duplicates")
    cuts = (x[:, 0] <= 2) & (x[:, 4] >= 5) & (np.abs(x[:, 10]) <= 0.1)
    for label, chosen in [("cuts", cuts)] + [(f"score >= {value}", score >= value) for value in thresholds]:
        print(f"  {label}: efficiency {chosen[truth].mean():.4f}, wrong among selected {1 - truth[chosen].mean():.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", nargs="+", help="left out: judge the model that --out names")
    parser.add_argument("--test", nargs="+", default=[])
    parser.add_argument("--physlite", nargs="+", default=[], help="physlite_tracks.csv")
    parser.add_argument("--out", default="models/hlt_high_purity.onnx")
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 64], help="of the hidden layers")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--foreign", action="store_true", help="train on each track once more, as another detector might see it")
    options = parser.parse_args()
    if not options.train:
        for path in options.test + options.physlite:
            judge(options.out, path, [0.4, 0.541])
        return
    parts = [features(path) for path in options.train]
    x, truth, duplicate = (np.concatenate([part[i] for part in parts]) for i in range(3))
    x, truth = x[~duplicate], truth[~duplicate]
    if options.foreign:
        x, truth = np.concatenate([x, foreign(x, options.seed)]), np.tile(truth, 2)
        order = np.random.default_rng(options.seed).permutation(len(x))  # the first ones tell the range of each input
        x, truth = x[order], truth[order]
    model = train(x, truth, options.widths, options.epochs, options.seed)
    export(model, options.out)
    threshold = None
    for path in options.test:
        threshold = report(model, path, threshold)


if __name__ == "__main__":
    main()
