# SPDX-License-Identifier: Apache-2.0
"""Trains the forest selector of the HLT job with XGBoost, on the samples of tools/train_hlt.py, and writes it as .forest.

    (samples: the head of tools/train_hlt.py)
    .venv/bin/python tools/train_forest.py --train out/train_*0.npz --test out/test_200.npz --out models/hlt_high_purity.forest

100 trees of depth 6 on 31 features: the 17 of the network, then the combinations of reco/formats/track_derived.def.
"""
import argparse
import pathlib
import sys
import tempfile

import numpy as np
import xgboost

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tools")]
from stoa import forest  # noqa: E402
from train_hlt import auc, features  # noqa: E402

TREES, DEPTH = 100, 6


def derived(x, cot_theta, q_over_pt):
    """The columns of track_derived.def, in its order, from the network's 17 and two of the state."""
    chi2, dz_error, dxy_error, eta, hits, _, phi_error, pt, qpt_error, dz, dxy, layers, cot_error, *covariance = x.T
    ndof, errors = 2 * hits - 5, (cot_error * dz_error, dxy_error * qpt_error, phi_error * dxy_error, phi_error * qpt_error)
    columns = [cot_theta, q_over_pt, np.abs(eta), ndof, chi2 * ndof, hits / layers, np.abs(dxy) / dxy_error,
               np.abs(dz) / dz_error, qpt_error * pt, phi_error * pt, *(c / e for c, e in zip(covariance, errors))]
    return np.stack(columns, axis=1).astype(np.float32)


def all_features(path):
    """31 columns of the preselected tracks, their truth and duplicate flags."""
    x, truth, duplicate = features(path)
    table = np.load(path)
    state = table["state"][table["quality"] >= 5].astype(np.float32)
    return np.concatenate([x, derived(x, state[:, 3], state[:, 2])], axis=1), truth, duplicate


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", nargs="+", required=True)
    parser.add_argument("--test", nargs="+", default=[])
    parser.add_argument("--out", default="models/hlt_high_purity.forest")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    x, truth, duplicate = (np.concatenate(parts) for parts in zip(*map(all_features, options.train)))
    settings = {"objective": "binary:logistic", "max_depth": DEPTH, "eta": 0.2, "seed": options.seed, "tree_method": "hist"}
    booster = xgboost.train(settings, xgboost.DMatrix(x[~duplicate], label=truth[~duplicate]), TREES)
    with tempfile.TemporaryDirectory() as folder:
        booster.save_model(f"{folder}/model.json")
        made = forest.read(f"{folder}/model.json")
    made.write(options.out)
    for path in options.test:
        x, truth, duplicate = all_features(path)
        score = made.predict(x)
        threshold = float(np.quantile(score[truth], 0.03))
        chosen = score >= threshold
        print(f"{pathlib.Path(path).name}: {len(x)} tracks, AUC {auc(score, truth):.4f}, "
              f"{auc(score[~duplicate], truth[~duplicate]):.4f} without duplicates; score >= {threshold:.3f}: efficiency "
              f"{chosen[truth].mean():.4f}, wrong among selected {1 - truth[chosen].mean():.4f}")


if __name__ == "__main__":
    main()
