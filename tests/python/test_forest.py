# SPDX-License-Identifier: Apache-2.0
"""Forests: imports against XGBoost, LightGBM and ONNX Runtime; the selector of `stoa hlt` against the forest walked here."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

SOURCE = pathlib.Path(os.environ["STOA_SOURCE_DIR"])
STOA = pathlib.Path(os.environ["STOA_BUILD_DIR"]) / "cli" / "stoa"
sys.path.insert(0, str(SOURCE / "tools"))
try:
    import lightgbm
    import onnxruntime
    import xgboost
except ImportError as missing:
    print(f"skip: {missing.name} is not in this Python")
    sys.exit(77)
from stoa import forest  # noqa: E402

failures = 0


def check(name, found, expected, tolerance):
    global failures
    worst = float(np.abs(np.asarray(found) - np.asarray(expected)).max())
    ok = len(found) == len(expected) and worst <= tolerance
    failures += not ok
    print(f"{'ok  ' if ok else 'FAIL'}  {name}: {len(found)} rows, worst {worst:.2e}, bound {tolerance:.0e}", flush=True)


def sample(rows=3000, features=12, seed=5):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, features)).astype(np.float32).round(2)
    x[rng.random(x.shape) < 0.05] = np.nan
    y = (np.nan_to_num(x[:, 0] * x[:, 1]) + np.nan_to_num(x[:, 2]) > 0.3).astype(int)
    return x, y


def test_xgboost(folder):
    x, y = sample()
    data = xgboost.DMatrix(x, label=y)
    for objective in ("binary:logistic", "binary:logitraw", "reg:squarederror"):
        booster = xgboost.train({"objective": objective, "max_depth": 5, "nthread": 1, "base_score": 0.3}, data, 40)
        booster.save_model(folder / "xgb.json")
        check(f"XGBoost {objective}", forest.read(folder / "xgb.json").predict(x), booster.predict(data), 2e-6)
    made = forest.read(folder / "xgb.json")
    made.sigmoid = True
    made.to_onnx(folder / "made.onnx")
    session = onnxruntime.InferenceSession(folder / "made.onnx")
    check("written as ONNX, by ONNX Runtime", session.run(None, {"features": x})[0][:, 0], made.predict(x), 2e-6)
    check("and read back", forest.read(folder / "made.onnx").predict(x), made.predict(x), 1e-7)
    import onnx
    from google.protobuf import json_format

    (folder / "made.json").write_text(json_format.MessageToJson(onnx.load(folder / "made.onnx")))
    check("and from its JSON", forest.read(folder / "made.json").predict(x), made.predict(x), 1e-7)


def test_lightgbm(folder):
    x, y = sample()
    for settings in ({}, {"use_missing": False}):
        rows = np.nan_to_num(x) if settings else x
        booster = lightgbm.train({"objective": "binary", "num_leaves": 31, "verbose": -1, "num_threads": 1, **settings},
                                 lightgbm.Dataset(rows, y), 30)
        (folder / "lgb.json").write_text(json.dumps(booster.dump_model()))
        check(f"LightGBM {settings}", forest.read(folder / "lgb.json").predict(x), booster.predict(x), 2e-6)


def test_refusals(folder):
    global failures
    (folder / "other.json").write_text("{}")
    for name, call in (("other JSON", lambda: forest.read(folder / "other.json")),
                       ("several outputs", lambda: forest.from_lightgbm({"num_tree_per_iteration": 3}))):
        try:
            call()
        except ValueError as error:
            print(f"ok    {name} refused: {error}")
        else:
            failures += 1
            print(f"FAIL  {name} taken")


def test_selector(folder):
    """All scores that the job writes for one event, against the same features made with NumPy."""
    from train_forest import all_features

    events, out = folder / "events.npz", folder / "out"
    subprocess.run([STOA, "generate", "hlt", "--events", "1", "--pileup", "60", "--out", events], check=True, capture_output=True)
    subprocess.run([STOA, "hlt", events, "--selector", "forest", "--score-min", "0", "--no-pictures", "--out", out], check=True,
                   capture_output=True)
    table = np.genfromtxt(out / "tracks.csv", delimiter=",", names=True)
    model = SOURCE / "models" / "hlt_high_purity.forest"
    expected = read_binary(model).predict(all_features(events)[0])
    check("stoa hlt --selector forest", table["score"], expected, 2e-5)


def read_binary(path):
    data = path.read_bytes()
    features, trees, nodes, sigmoid = np.frombuffer(data, "<u4", 4, 8)
    made, at = forest.Forest(int(features), float(np.frombuffer(data, "<f4", 1, 24)[0]), bool(sigmoid)), 32
    for name, dtype, count in (("roots", "<u4", trees), ("value", "<f4", nodes), ("left", "<u4", nodes), ("right", "<u4", nodes),
                               ("feature", "<u2", nodes), ("kind", "u1", nodes)):
        column = np.frombuffer(data, dtype, count, at)
        at += column.nbytes
        setattr(made, name, column.tolist())
    return made


with tempfile.TemporaryDirectory() as name:
    for test in (test_xgboost, test_lightgbm, test_refusals, test_selector):
        test(pathlib.Path(name))
sys.exit(failures > 0)
