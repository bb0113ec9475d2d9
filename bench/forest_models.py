# SPDX-License-Identifier: Apache-2.0
"""Trains the forests of `stoa bench forest` with XGBoost and writes each as its JSON, as ONNX and in our format.

    .venv/bin/python bench/forest_models.py DIR
"""
import pathlib
import sys

import numpy as np
import xgboost

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "python"))
from stoa import forest  # noqa: E402

FEATURES, ROWS = 31, 60_000
SHAPES = ((100, 6), (300, 8))


def main(folder: pathlib.Path) -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(ROWS, FEATURES)).astype(np.float32)
    noise = rng.normal(size=ROWS)
    y = (np.sin(x[:, 0] * x[:, 1]) + x[:, 2] ** 2 - x[:, 3:9].sum(1) * 0.4 + 0.2 * x[:, 9:].sum(1) + noise > 1).astype(int)
    data = xgboost.DMatrix(x, label=y)
    for trees, depth in SHAPES:
        booster = xgboost.train({"objective": "binary:logistic", "max_depth": depth, "eta": 0.1, "nthread": 1, "seed": 1,
                                 "tree_method": "hist", "min_child_weight": 0}, data, trees)
        stem = folder / f"forest_{trees}x{depth}"
        booster.save_model(f"{stem}.json")
        made = forest.read(f"{stem}.json")
        made.write(f"{stem}.forest")
        made.to_onnx(f"{stem}.onnx")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
