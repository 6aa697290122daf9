#!/usr/bin/env python3
"""The eight networks that speed is measured with, with random weights, and their int8 forms.

    bench/zoo.py [--out build/bench/zoo] [--squeeze build/release/squeeze] [--only TEXT] [--float] [--again]

NAME.onnx       float, as PyTorch exports it: batch normalization apart from its convolution, an open batch dimension N,
                MatMul and Add, GELU by Erf, LayerNormalization
NAME.sqz.onnx   int8 by squeeze quantize
NAME.u8.onnx    int8 by onnxruntime.quantization: unsigned activations, signed weights for each channel (its fast form)
NAME.s8.onnx    the same with signed activations (what squeeze and most devices compute)
NAME.calib.npz  what they were calibrated on: 32 samples (8 of 224x224)

Weights are He-normal from a written seed and the last normalization of each residual branch is small, so that numbers
keep their size through all layers. Accuracy means nothing here; speed does not depend on it.

Needs numpy and onnx; the u8 and s8 forms onnxruntime too.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
VOCABULARY, TOKENS = 8000, 128


class Net:
    """Writes nodes and initializers under the names that a module path of PyTorch would give."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.weights, self.n = [], [], 0

    def const(self, name, array):
        self.weights.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def node(self, kind, inputs, **attrs):
        self.n += 1
        out = f"{kind.lower()}_{self.n}"
        self.nodes.append(helper.make_node(kind, inputs, [out], f"/{out}", **attrs))
        return out

    def normal(self, shape, std):
        return self.rng.normal(0, std, shape).astype(np.float32)

    def conv(self, x, i, o, kernel, stride=1, pads=None, group=1):
        kh, kw = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        pads = pads or [kh // 2, kw // 2] * 2
        fan_in = i // group * kh * kw
        w = self.const(f"conv{self.n}.weight", self.normal((o, i // group, kh, kw), (2 / fan_in) ** 0.5))
        return self.node("Conv", [x, w], kernel_shape=[kh, kw], strides=[stride] * 2, pads=pads, group=group,
                         dilations=[1, 1])

    def norm(self, x, c, scale=1.0):
        name = f"bn{self.n}"
        parts = {"weight": scale * self.rng.uniform(0.8, 1.2, c), "bias": self.normal(c, 0.1),
                 "running_mean": self.normal(c, 0.1), "running_var": self.rng.uniform(0.8, 1.25, c)}
        names = [self.const(f"{name}.{k}", v.astype(np.float32)) for k, v in parts.items()]
        return self.node("BatchNormalization", [x, *names], epsilon=1e-5, momentum=0.9)

    def cbr(self, x, i, o, kernel, stride=1, group=1, act="relu", scale=1.0, pads=None):
        x = self.norm(self.conv(x, i, o, kernel, stride, pads, group), o, scale)
        return self.act(x, act)

    def act(self, x, act):
        if act == "relu":
            return self.node("Relu", [x])
        if act == "relu6":
            low, high = (self.const(f"clip{self.n}.{k}", np.float32(v)) for k, v in (("min", 0), ("max", 6)))
            return self.node("Clip", [x, low, high])
        return x

    def linear(self, x, i, o, gain=2.0):
        w = self.const(f"fc{self.n}.weight", self.normal((o, i), (gain / i) ** 0.5))
        b = self.const(f"fc{self.n}.bias", self.normal(o, 0.1))
        return self.node("Gemm", [x, w, b], transB=1, alpha=1.0, beta=1.0)

    def head(self, x, i, o):
        x = self.node("Flatten", [self.node("GlobalAveragePool", [x])], axis=1)
        return self.linear(x, i, o, 1.0)

    def matmul(self, x, i, o, gain=1.0):
        w = self.const(f"linear{self.n}.weight", self.normal((i, o), (gain / i) ** 0.5))
        b = self.const(f"linear{self.n}.bias", self.normal(o, 0.02))
        return self.node("Add", [b, self.node("MatMul", [x, w])])

    def layer_norm(self, x, d):
        g = self.const(f"ln{self.n}.weight", self.rng.uniform(0.8, 1.2, d).astype(np.float32))
        b = self.const(f"ln{self.n}.bias", self.normal(d, 0.1))
        return self.node("LayerNormalization", [x, g, b], axis=-1, epsilon=1e-5)

    def model(self, name, shape, y, n_out, dtype=TensorProto.FLOAT):
        assert self.nodes[-1].output[0] == y
        self.nodes[-1].output[0] = "y"
        graph = helper.make_graph(self.nodes, name,
                                  [helper.make_tensor_value_info("x", dtype, ["N", *shape])],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", n_out])], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="squeeze-bench")
        model.ir_version = 8
        onnx.checker.check_model(model, full_check=True)
        return model


# ---- the networks ----
def basic(net, x, i, o, stride):
    y = net.cbr(net.cbr(x, i, o, 3, stride), o, o, 3, act=None, scale=0.4)
    if stride != 1 or i != o:
        x = net.cbr(x, i, o, 1, stride, act=None)
    return net.node("Relu", [net.node("Add", [y, x])])


def bottleneck(net, x, i, mid, stride):
    o = 4 * mid
    y = net.cbr(net.cbr(net.cbr(x, i, mid, 1), mid, mid, 3, stride), mid, o, 1, act=None, scale=0.4)
    if stride != 1 or i != o:
        x = net.cbr(x, i, o, 1, stride, act=None)
    return net.node("Relu", [net.node("Add", [y, x])])


def resnet8(net):  # MLPerf Tiny, image classification
    x = net.cbr("x", 3, 16, 3)
    for i, o, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)):
        x = basic(net, x, i, o, stride)
    return net.model("resnet8", [3, 32, 32], net.head(x, 64, 10), 10)


def dscnn(net):  # MLPerf Tiny, keyword spotting
    x = net.cbr("x", 1, 64, (10, 4), 2, pads=[4, 1, 5, 2])
    for _ in range(4):
        x = net.cbr(net.cbr(x, 64, 64, 3, group=64), 64, 64, 1)
    return net.model("dscnn", [1, 49, 10], net.head(x, 64, 12), 12)


def mbv1_025(net):  # MLPerf Tiny, visual wake words: MobileNetV1 with a quarter of the channels
    x, i = net.cbr("x", 3, 8, 3, 2), 8
    for o, stride in [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2)] + [(128, 1)] * 5 + [(256, 2), (256, 1)]:
        x, i = net.cbr(net.cbr(x, i, i, 3, stride, group=i), i, o, 1), o
    return net.model("mbv1_025", [3, 96, 96], net.head(x, i, 2), 2)


def fc_ae(net):  # MLPerf Tiny, anomaly detection
    x, width = "x", [640, 128, 128, 128, 128, 8, 128, 128, 128, 128]
    for i, o in zip(width, width[1:]):
        x = net.node("Relu", [net.norm(net.linear(x, i, o), o)])
    return net.model("fc_ae", [640], net.linear(x, 128, 640, 1.0), 640)


def mbv2(net):
    x, i = net.cbr("x", 3, 32, 3, 2, act="relu6"), 32
    for t, o, n, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
                            (6, 320, 1, 1)):
        for k in range(n):
            s, h = (stride if k == 0 else 1), i * t
            y = x if t == 1 else net.cbr(x, i, h, 1, act="relu6")
            adds = s == 1 and i == o
            y = net.cbr(net.cbr(y, h, h, 3, s, group=h, act="relu6"), h, o, 1, act=None, scale=0.4 if adds else 1.0)
            x, i = (net.node("Add", [x, y]) if adds else y), o
    return net.model("mbv2", [3, 224, 224], net.head(net.cbr(x, i, 1280, 1, act="relu6"), 1280, 1000), 1000)


def resnet(net, name, block, widths, counts, expand):
    x = net.cbr("x", 3, 64, 7, 2)
    x, i = net.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), 64
    for k, (w, n) in enumerate(zip(widths, counts)):
        for j in range(n):
            x, i = block(net, x, i, w, 2 if k and j == 0 else 1), w * expand
    return net.model(name, [3, 224, 224], net.head(x, i, 1000), 1000)


def resnet18(net):
    return resnet(net, "resnet18", basic, (64, 128, 256, 512), (2, 2, 2, 2), 1)


def resnet50(net):
    return resnet(net, "resnet50", bottleneck, (64, 128, 256, 512), (3, 4, 6, 3), 4)


def heads(net, x, d, h):
    split = net.const(f"split{net.n}", np.array([-1, TOKENS, h, d // h], np.int64))
    return net.node("Transpose", [net.node("Reshape", [net.matmul(x, d, d), split])], perm=[0, 2, 1, 3])


def gelu(net, x):
    root, one, half = (net.const(f"gelu{net.n}.{k}", np.float32(v)) for k, v in (("a", 2**0.5), ("b", 1), ("c", 0.5)))
    e = net.node("Add", [net.node("Erf", [net.node("Div", [x, root])]), one])
    return net.node("Mul", [net.node("Mul", [x, e]), half])


def encoder(net, x, d, h, ffn):
    q, k, v = (heads(net, x, d, h) for _ in range(3))
    k = net.node("Transpose", [k], perm=[0, 1, 3, 2])
    scale = net.const(f"scale{net.n}", np.float32((d // h) ** -0.5))
    a = net.node("Softmax", [net.node("Mul", [net.node("MatMul", [q, k]), scale])], axis=-1)
    a = net.node("Transpose", [net.node("MatMul", [a, v])], perm=[0, 2, 1, 3])
    a = net.node("Reshape", [a, net.const(f"join{net.n}", np.array([-1, TOKENS, d], np.int64))])
    x = net.layer_norm(net.node("Add", [x, net.matmul(a, d, d)]), d)
    return net.layer_norm(net.node("Add", [x, net.matmul(gelu(net, net.matmul(x, d, ffn)), ffn, d)]), d)


def bert(net, layers=4, d=256, h=4, ffn=1024):
    x = net.node("Gather", [net.const("embedding.weight", net.normal((VOCABULARY, d), 1.0)), "x"], axis=0)
    x = net.layer_norm(net.node("Add", [x, net.const("position", net.normal((1, TOKENS, d), 0.5))]), d)
    for _ in range(layers):
        x = encoder(net, x, d, h, ffn)
    first = net.node("Gather", [x, net.const("first", np.int64(0))], axis=1)
    return net.model("bert", [TOKENS], net.linear(first, d, 2, 1.0), 2, TensorProto.INT64)


ZOO = {f.__name__: f for f in (resnet8, dscnn, mbv1_025, fc_ae, mbv2, resnet18, resnet50, bert)}
SHAPE = {"resnet8": (3, 32, 32), "dscnn": (1, 49, 10), "mbv1_025": (3, 96, 96), "fc_ae": (640,), "mbv2": (3, 224, 224),
         "resnet18": (3, 224, 224), "resnet50": (3, 224, 224), "bert": (TOKENS,)}


def samples(name, n, seed=1):
    """n inputs of a network."""
    rng = np.random.default_rng(seed)
    if name == "bert":
        return rng.integers(0, VOCABULARY, (n, TOKENS), dtype=np.int64)
    return rng.standard_normal((n, *SHAPE[name]), dtype=np.float32)


def multiply_adds(model):
    """Of one sample: convolutions, Gemm and MatMul."""
    inferred = onnx.ModelProto()
    inferred.CopyFrom(model)
    inferred.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    inferred = onnx.shape_inference.infer_shapes(inferred, data_prop=True)
    values = list(inferred.graph.value_info) + list(inferred.graph.input) + list(inferred.graph.output)
    dims = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}
    dims |= {t.name: list(t.dims) for t in inferred.graph.initializer}
    total = 0
    for n in inferred.graph.node:
        if n.op_type == "Conv":
            total += int(np.prod(dims[n.output[0]])) * int(np.prod(dims[n.input[1]][1:]))
        elif n.op_type in ("Gemm", "MatMul"):
            k = dims[n.input[0]][-1]
            total += int(np.prod(dims[n.output[0]])) * k
    return total


# ---- int8 forms ----
def by_squeeze(squeeze, path, name, target):
    shape = [] if name != "bert" else ["--shape", f"x=1,{TOKENS}"]
    subprocess.run([squeeze, "quantize", path, "--data", path.with_suffix(".calib.npz"), "--calibrator", "minmax", "-o",
                    target, "--quiet", *shape], check=True, stdout=subprocess.DEVNULL)


def by_ort(path, name, target, unsigned):
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.rows = iter(np.load(path.with_suffix(".calib.npz"))["x"])

        def get_next(self):
            row = next(self.rows, None)
            return None if row is None else {"x": row[None]}

    with tempfile.TemporaryDirectory() as work:
        ready = pathlib.Path(work) / "ready.onnx"
        quant_pre_process(str(path), str(ready), skip_symbolic_shape=True)
        quantize_static(str(ready), str(target), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                        activation_type=QuantType.QUInt8 if unsigned else QuantType.QInt8, weight_type=QuantType.QInt8,
                        calibrate_method=CalibrationMethod.MinMax)


def make(args, name):
    path = args.out / f"{name}.onnx"
    if args.again or not path.exists():
        onnx.save(ZOO[name](Net(list(ZOO).index(name) + 1)), path)
    model = onnx.load(path)
    calib = path.with_suffix(".calib.npz")
    if args.again or not calib.exists():
        np.savez(calib, x=samples(name, 8 if SHAPE[name][-1] == 224 else 32, 2))
    made = [path]
    forms = {} if args.float else {"sqz": lambda t: by_squeeze(args.squeeze, path, name, t),
                                   "u8": lambda t: by_ort(path, name, t, True),
                                   "s8": lambda t: by_ort(path, name, t, False)}
    for form, build in forms.items():
        target = path.with_suffix(f".{form}.onnx")
        if args.again or not target.exists():
            try:
                build(target)
            except (ImportError, subprocess.CalledProcessError, OSError) as error:
                print(f"{name}: no {form} form: {error}", file=sys.stderr)
                continue
        made.append(target)
    sizes = " ".join(f"{p.stat().st_size / 1e6:8.2f}" for p in made)
    print(f"{name:10} {multiply_adds(model) / 1e6:9.2f} M multiply-adds, {len(model.graph.node):3} nodes, MB: {sizes}",
          flush=True)


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=root / "build/bench/zoo")
    parser.add_argument("--squeeze", default=str(root / "build/release/squeeze"))
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--float", action="store_true", help="no int8 forms")
    parser.add_argument("--again", action="store_true", help="also what is there already")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in ZOO:
        if args.only in name:
            make(args, name)


if __name__ == "__main__":
    main()
