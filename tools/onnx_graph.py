# SPDX-License-Identifier: Apache-2.0
"""What the tools that write a network share: an .onnx graph node by node, and the area under a ROC curve."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Graph:
    """Constants and nodes in order; `save` checks the model and writes it. `rows`: the row axis of what does not say another."""

    def __init__(self, name, rows):
        self.name, self.rows, self.weights, self.nodes = name, rows, {}, []

    def constant(self, name, value):
        value = np.asarray(value)
        self.weights[name] = value if value.dtype in (np.int64, np.int32) else value.astype(np.float32)
        return name

    def node(self, op, inputs, output, **attributes):
        """`output`: a name, or several."""
        self.nodes.append(helper.make_node(op, inputs, [output] if isinstance(output, str) else output, **attributes))
        return output

    def _value(self, name, kind):
        rows, dtype, shape = kind if isinstance(kind, tuple) else (self.rows, TensorProto.FLOAT, kind)
        return helper.make_tensor_value_info(name, dtype, [rows, *shape])

    def save(self, path, inputs, outputs, producer, opset=17):
        """Inputs and outputs: name -> shape of a row, or (row axis, type, shape of a row)."""
        graph = helper.make_graph(self.nodes, self.name, [self._value(*item) for item in inputs.items()],
                                  [self._value(*item) for item in outputs.items()],
                                  [numpy_helper.from_array(array, name) for name, array in self.weights.items()])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, producer_name=producer)
        onnx.checker.check_model(model)
        onnx.save(model, path)


def auc(score, truth):
    order = np.argsort(score, kind="stable")
    ranks = np.empty(len(score))
    ranks[order] = np.arange(1, len(score) + 1)
    positives = truth.sum()
    return (ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * (len(score) - positives))
