# SPDX-License-Identifier: Apache-2.0
"""Boosted forests for reco/forest/forest.h: read from XGBoost, LightGBM and ONNX, written as STOAFRS1 or ONNX.

    forest = stoa.forest.read("model.json")        # XGBoost, LightGBM (dump_model) or ONNX, by what the file holds
    forest.write("model.forest")

In a shell: python -m stoa forest model.json model.forest
"""
from __future__ import annotations

import json
import math
import pathlib
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_MAGIC = b"STOAFRS1"
_LEAF, _NAN_RIGHT, _NAN_LEFT = range(3)


def _below(threshold: float) -> float:
    """The float t for which x < t is x <= threshold, for float x."""
    low = np.float32(threshold)
    if float(low) > threshold:
        low = np.nextafter(low, np.float32(-np.inf))
    return float(np.nextafter(low, np.float32(np.inf)))


def _at_least(threshold: float) -> float:
    """The float t for which x < t is x < threshold, for float x: the least one that is not below."""
    near = np.float32(threshold)
    return float(near if float(near) >= threshold else np.nextafter(near, np.float32(np.inf)))


@dataclass
class Forest:
    """Nodes of all trees; a child's number is above its parent's. A row goes left where x < value."""

    features: int
    base: float = 0.0
    sigmoid: bool = True
    roots: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    feature: list[int] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)

    def _node(self) -> int:
        for column, start in ((self.value, 0.0), (self.left, 0), (self.right, 0), (self.feature, 0), (self.kind, _LEAF)):
            column.append(start)
        return len(self.value) - 1

    def add_tree(self, root: Any, describe: Any) -> None:
        """`describe(node)` is a number, for a leaf, or (feature, threshold, nan_left, left, right)."""
        self.roots.append(self._node())
        waiting = [(root, self.roots[-1])]
        while waiting:
            source, at = waiting.pop()
            what = describe(source)
            if not isinstance(what, tuple):
                self.value[at] = float(what)
                continue
            self.feature[at], self.value[at] = what[0], what[1]
            self.kind[at] = _NAN_LEFT if what[2] else _NAN_RIGHT
            self.left[at], self.right[at] = self._node(), self._node()
            waiting += [(what[3], self.left[at]), (what[4], self.right[at])]

    def write(self, path: str | pathlib.Path) -> None:
        header = struct.pack("<8s4IfI", _MAGIC, self.features, len(self.roots), len(self.value), self.sigmoid, self.base, 0)
        columns = ((self.roots, "<u4"), (self.value, "<f4"), (self.left, "<u4"), (self.right, "<u4"), (self.feature, "<u2"),
                   (self.kind, "u1"))
        pathlib.Path(path).write_bytes(header + b"".join(np.asarray(column).astype(dtype).tobytes() for column, dtype in columns))

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Slow and plain: what the C library is tested against."""
        value, feature, kind = np.asarray(self.value, np.float32), np.asarray(self.feature), np.asarray(self.kind)
        left, right = np.asarray(self.left), np.asarray(self.right)
        total, rows = np.full(len(x), self.base, np.float32), np.arange(len(x))
        for root in self.roots:
            at = np.full(len(x), root)
            while (inner := kind[at] != _LEAF).any():
                seen = x[rows, feature[at]]
                goes_left = np.where(np.isnan(seen), kind[at] == _NAN_LEFT, seen < value[at])
                at = np.where(inner, np.where(goes_left, left[at], right[at]), at)
            total += value[at]
        return 1 / (1 + np.exp(-total)) if self.sigmoid else total

    def to_onnx(self, path: str | pathlib.Path, names: tuple[str, str] = ("features", "score")) -> None:
        """The same forest as an ONNX TreeEnsembleRegressor with LOGISTIC or no transform."""
        import onnx
        from onnx import TensorProto, helper

        trees = np.zeros(len(self.value), int)
        order = np.argsort(self.roots)
        bounds = np.asarray(self.roots)[order].tolist() + [len(self.value)]
        for tree, (low, high) in zip(order, zip(bounds, bounds[1:])):
            trees[low:high] = tree
        kind = np.asarray(self.kind)
        leaves = np.flatnonzero(kind == _LEAF)
        firsts = np.asarray(self.roots)[trees]
        node = helper.make_node(
            "TreeEnsembleRegressor", [names[0]], ["sum" if self.sigmoid else names[1]], domain="ai.onnx.ml", n_targets=1,
            base_values=[self.base], post_transform="NONE", aggregate_function="SUM",
            nodes_treeids=trees.tolist(), nodes_nodeids=(np.arange(len(kind)) - firsts).tolist(), nodes_featureids=self.feature,
            nodes_values=[0.0 if k == _LEAF else v for k, v in zip(self.kind, self.value)],
            nodes_modes=["LEAF" if k == _LEAF else "BRANCH_LT" for k in self.kind],
            nodes_truenodeids=[0 if k == _LEAF else int(c - f) for k, c, f in zip(self.kind, self.left, firsts)],
            nodes_falsenodeids=[0 if k == _LEAF else int(c - f) for k, c, f in zip(self.kind, self.right, firsts)],
            nodes_missing_value_tracks_true=[int(k == _NAN_LEFT) for k in self.kind],
            target_treeids=trees[leaves].tolist(), target_nodeids=(leaves - firsts[leaves]).tolist(),
            target_ids=[0] * len(leaves), target_weights=[self.value[i] for i in leaves])
        nodes = [node] + ([helper.make_node("Sigmoid", ["sum"], [names[1]])] if self.sigmoid else [])
        info = lambda name, width: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", width])
        graph = helper.make_graph(nodes, "forest", [info(names[0], self.features)], [info(names[1], 1)])
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


def from_xgboost(model: dict) -> Forest:
    """XGBoost's JSON (Booster.save_model), one output, numeric splits."""
    learner = model["learner"]
    booster, objective = learner["gradient_booster"], learner["objective"]["name"]
    if booster["name"] != "gbtree" or objective not in ("binary:logistic", "binary:logitraw", "reg:squarederror", "reg:logistic"):
        raise ValueError(f"XGBoost booster '{booster['name']}' with objective '{objective}': gbtree with one output needed")
    score = learner["learner_model_param"]["base_score"].strip("[]")
    logistic = objective in ("binary:logistic", "reg:logistic")
    base = math.log(float(score) / (1 - float(score))) if logistic else float(score)
    forest = Forest(int(learner["learner_model_param"]["num_feature"]), base, logistic)
    for tree in booster["model"]["trees"]:
        if any(tree["split_type"]):
            raise ValueError("XGBoost tree with categorical splits: numeric ones needed")
        left, right, split = tree["left_children"], tree["right_children"], tree["split_conditions"]
        forest.add_tree(0, lambda i, t=tree: split[i] if left[i] < 0 else
                        (t["split_indices"][i], split[i], bool(t["default_left"][i]), left[i], right[i]))
    return forest


def from_lightgbm(model: dict) -> Forest:
    """LightGBM's dump_model, one output, numeric splits. It compares x <= threshold; missing None means NaN counts as 0."""
    if model["num_tree_per_iteration"] != 1:
        raise ValueError(f"LightGBM model of {model['num_tree_per_iteration']} outputs: 1 needed")

    def describe(node: dict) -> Any:
        if "leaf_value" in node:
            return node["leaf_value"]
        if node["decision_type"] != "<=" or node["missing_type"] == "Zero":
            raise ValueError(f"LightGBM split '{node['decision_type']}' with missing '{node['missing_type']}': "
                             "'<=' with NaN or None needed")
        nan_left = node["default_left"] if node["missing_type"] == "NaN" else 0.0 <= node["threshold"]
        return node["split_feature"], _below(node["threshold"]), nan_left, node["left_child"], node["right_child"]

    forest = Forest(model["max_feature_idx"] + 1, 0.0, str(model.get("objective", "")).startswith("binary"))
    for tree in model["tree_info"]:
        forest.add_tree(tree["tree_structure"], describe)
    return forest


def from_onnx(model: Any) -> Forest:
    """The TreeEnsembleRegressor of an ONNX model with one target; a Sigmoid behind it is taken over."""
    from onnx import helper

    trees = [node for node in model.graph.node if node.op_type == "TreeEnsembleRegressor"]
    if len(trees) != 1:
        raise ValueError(f"ONNX model with {len(trees)} TreeEnsembleRegressor nodes: 1 needed")
    a = {attribute.name: helper.get_attribute_value(attribute) for attribute in trees[0].attribute}
    text = lambda value: value.decode() if isinstance(value, bytes) else value
    if a.get("n_targets", 1) != 1 or text(a.get("aggregate_function", "SUM")) != "SUM":
        raise ValueError("ONNX tree ensemble of several targets, or not summed: one sum needed")
    width = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    sigmoid = text(a.get("post_transform", "NONE")) == "LOGISTIC" or any(n.op_type == "Sigmoid" for n in model.graph.node)
    forest = Forest(width or max(a["nodes_featureids"]) + 1, sum(a.get("base_values", [0.0])), sigmoid)
    keys = list(zip(a["nodes_treeids"], a["nodes_nodeids"]))
    number = {key: i for i, key in enumerate(keys)}
    weight: dict = {}
    for key, value in zip(zip(a["target_treeids"], a["target_nodeids"]), a["target_weights"]):
        weight[key] = weight.get(key, 0.0) + value
    missing = a.get("nodes_missing_value_tracks_true", [0] * len(keys))

    def describe(i: int) -> Any:
        mode, tree = text(a["nodes_modes"][i]), a["nodes_treeids"][i]
        if mode == "LEAF":
            return weight.get(keys[i], 0.0)
        yes, no = number[tree, a["nodes_truenodeids"][i]], number[tree, a["nodes_falsenodeids"][i]]
        threshold, to_true = a["nodes_values"][i], bool(missing[i])
        strict = _at_least(threshold) if mode in ("BRANCH_LT", "BRANCH_GTE") else _below(threshold)
        if mode in ("BRANCH_LT", "BRANCH_LEQ"):
            return a["nodes_featureids"][i], strict, to_true, yes, no
        if mode in ("BRANCH_GTE", "BRANCH_GT"):
            return a["nodes_featureids"][i], strict, not to_true, no, yes
        raise ValueError(f"ONNX tree node {i}: mode '{mode}': a comparison needed")

    for tree in dict.fromkeys(a["nodes_treeids"]):
        inner = {number[tree, child] for i, key in enumerate(keys) if key[0] == tree and text(a["nodes_modes"][i]) != "LEAF"
                 for child in (a["nodes_truenodeids"][i], a["nodes_falsenodeids"][i])}
        forest.add_tree(next(i for i, key in enumerate(keys) if key[0] == tree and i not in inner), describe)
    return forest


def read(path: str | pathlib.Path) -> Forest:
    """Any of the three, by what the file holds; ONNX as .onnx or as protobuf's JSON."""
    path = pathlib.Path(path)
    if path.suffix == ".onnx":
        import onnx

        return from_onnx(onnx.load(path))
    model = json.loads(path.read_text())
    if "learner" in model:
        return from_xgboost(model)
    if "tree_info" in model:
        return from_lightgbm(model)
    if "graph" in model:
        import onnx
        from google.protobuf import json_format

        return from_onnx(json_format.ParseDict(model, onnx.ModelProto()))
    raise ValueError(f"{path}: neither XGBoost's, LightGBM's nor ONNX's JSON")
