#!/usr/bin/env python3
"""Writes the seeds of fuzz_onnx: one small model for each corner of the format. Needs the packages
onnx and numpy; run it in tests/fuzz after a change and commit the files."""
import os

import numpy as np
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper


def tensor(name, values, dtype=np.float32):
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def save(name, nodes, inputs, outputs, init=(), opset=13, ir=7, **extra):
    graph = h.make_graph(
        nodes, name,
        [h.make_tensor_value_info(n, t, s) for n, t, s in inputs],
        [h.make_tensor_value_info(n, T.FLOAT, None) for n in outputs], list(init))
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=ir)
    for key, value in extra.items():
        h.set_model_props(model, {key: value})
    with open(os.path.join("corpus", "onnx", name + ".onnx"), "wb") as f:
        f.write(model.SerializeToString(deterministic=True))


def grid(name, scale, zero, dtype=np.int8):
    return [tensor(name + "s", scale), tensor(name + "z", zero, dtype)]


N = h.make_node
rng = np.random.default_rng(1)

save("conv", [N("Conv", ["x", "w", "b"], ["c"], auto_pad="SAME_UPPER", strides=[2, 2]),
              N("Relu", ["c"], ["y"])],
     [("x", T.FLOAT, ["N", 2, 5, 5])], ["y"],
     [tensor("w", rng.normal(size=(3, 2, 3, 3))), tensor("b", [1, 2, 3])], author="squeeze")

typed = h.make_tensor("w", T.FLOAT, [2], [1.0, 2.0])
save("typed", [N("Add", ["x", "w"], ["y"])], [("x", T.FLOAT, [1, 2])], ["y"], [typed])

save("shapes", [N("Shape", ["x"], ["s"]), N("Gather", ["s", "i"], ["n"], axis=0),
                N("Unsqueeze", ["n"], ["u"], axes=[0]),
                N("Concat", ["u", "r"], ["t"], axis=0), N("Reshape", ["x", "t"], ["y"])],
     [("x", T.FLOAT, [None, 3, 4])], ["y"],
     [tensor("i", 0, np.int64), tensor("r", [-1], np.int64)], opset=11)

save("unsorted", [N("Add", ["a", "b"], ["y"]), N("Neg", ["x"], ["a"]), N("Abs", ["x"], ["b"])],
     [("x", T.FLOAT, [1, 3])], ["y"])

save("old", [N("Mul", ["x", "w"], ["m"]), N("Clip", ["m"], ["y"], min=0.0, max=6.0)],
     [("x", T.FLOAT, [1, 3]), ("w", T.FLOAT, [3])], ["y"], [tensor("w", [1, 2, 3])], opset=7, ir=3)

save("constants", [N("Constant", [], ["c"], value=tensor("", [[1, 2], [3, 4]])),
                   N("Constant", [], ["k"], value_floats=[1.0, 2.0]),
                   N("Mul", ["c", "k"], ["d"]), N("Sub", ["x", "d"], ["y"])],
     [("x", T.FLOAT, [1, 2])], ["y"])

save("qdq", [N("QuantizeLinear", ["x", "as", "az"], ["q"]),
             N("DequantizeLinear", ["q", "as", "az"], ["d"]),
             N("DequantizeLinear", ["w", "ws"], ["wd"], axis=0),
             N("DequantizeLinear", ["b", "bs"], ["bd"], axis=0),
             N("Conv", ["d", "wd", "bd"], ["c"]), N("Relu", ["c"], ["r"]),
             N("QuantizeLinear", ["r", "ys", "yz"], ["e"]),
             N("DequantizeLinear", ["e", "ys", "yz"], ["y"])],
     [("x", T.FLOAT, ["batch", 2, 3, 3])], ["y"],
     grid("a", 0.5, 3) + grid("y", 0.25, -128) +
     [tensor("w", rng.integers(-127, 128, (2, 2, 1, 1)), np.int8), tensor("ws", [0.5, 0.25]),
      tensor("b", [7, -9], np.int32), tensor("bs", [0.25, 0.125])])

save("uint8", [N("QuantizeLinear", ["x", "as", "az"], ["q"]),
               N("DequantizeLinear", ["q", "as", "az"], ["y"])],
     [("x", T.FLOAT, [1, 2])], ["y"], grid("a", 0.5, 128, np.uint8))

branch = h.make_graph([N("Neg", ["x"], ["o"])], "b", [],
                      [h.make_tensor_value_info("o", T.FLOAT, None)])
save("subgraph", [N("If", ["c"], ["y"], then_branch=branch, else_branch=branch)],
     [("x", T.FLOAT, [1]), ("c", T.BOOL, [])], ["y"])

outside = tensor("w", [1, 2])
outside.ClearField("raw_data")
outside.data_location = T.EXTERNAL
for k, v in (("location", "../weights.bin"), ("offset", "0"), ("length", "8")):
    outside.external_data.add(key=k, value=v)
save("external", [N("Add", ["x", "w"], ["y"])], [("x", T.FLOAT, [2])], ["y"], [outside])
