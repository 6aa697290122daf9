#!/usr/bin/env python3
"""What `squeeze quantize` writes, against ONNX Runtime: test_export_ort.py SQUEEZE [ROUNDS].

Small random networks are quantized on random data. For each, ONNX Runtime (with and without its optimizations) and
`squeeze run` must agree on the exported file. Squeeze requantizes with a 31-bit multiplier, ONNX Runtime in float32:
the results of one operator may fall to two sides of a rounding boundary, one step apart and no more. A step of
difference that enters a further operator spreads over its sums, so a chain is allowed to be further apart on a few
elements. The file must be valid, keep names, shapes, order and operators, and stay close to the float network.

Exits with 77 (skipped) where onnx or onnxruntime cannot be imported.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

ONE_STEP_SHARE = 0.995  # of the elements of a chain; all of them of a single operator
LEAST_SNR = 20.0  # dB against the float network; 8 bits on random data give 30 and more
SAMPLES = 24
FUSED = {"Conv", "Gemm", "MatMul", "Add", "Mul", "AveragePool", "GlobalAveragePool", "Sigmoid", "LeakyRelu", "Softmax",
         "Concat", "Relu", "Clip"}  # what its integer kernels cover: none may stay float
QDQ = ("QuantizeLinear", "DequantizeLinear")


class Net:
    """A network under construction; operators are appended and named by their output."""

    def __init__(self, seed, shape):
        self.rng = np.random.default_rng(seed)
        self.shape, self.nodes, self.weights, self.ops = shape, [], [], 0

    def constant(self, array):
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def weight(self, *shape):
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 8
        return self.constant((self.rng.normal(size=shape) / np.sqrt(fan_in)).astype(np.float32))

    def op(self, kind, *inputs, **attributes):
        self.ops += 1
        name = f"{kind.lower()}{self.ops}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=f"node/{name}", **attributes))
        return name

    def conv(self, x, c_in, c_out, k=3, group=1, bias=True, **attributes):
        attributes.setdefault("pads", [k // 2] * 4)
        inputs = [x, self.weight(c_out, c_in // group, k, k)] + ([self.weight(c_out)] if bias else [])
        return self.op("Conv", *inputs, group=group, **attributes)

    def gemm(self, x, n_in, n_out, alpha=1.0):
        return self.op("Gemm", x, self.weight(n_out, n_in), self.weight(n_out), transB=1, alpha=alpha)

    def batch_norm(self, x, c):
        scale, mean = self.rng.uniform(0.5, 1.5, c), self.rng.normal(size=c)
        data = [scale, self.rng.normal(size=c), mean, self.rng.uniform(0.5, 2, c)]
        return self.op("BatchNormalization", x, *(self.constant(d.astype(np.float32)) for d in data))

    def axes(self, *values):
        return self.constant(np.array(values, np.int64))

    def model(self, output):
        """A batch that is left open; shapes are inferred."""
        self.nodes[-1].output[0] = "result" if self.nodes[-1].output[0] == output else output
        info = [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["batch", *self.shape])]
        out = [helper.make_tensor_value_info("result", TensorProto.FLOAT, None)]
        graph = helper.make_graph(self.nodes, "net", info, out, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
        helper.set_model_props(model, {"trained_by": "nobody"})
        return onnx.shape_inference.infer_shapes(model, strict_mode=True)


# ---- networks: (name, shape of a sample, chain or not, builder) ----
def residual(n):
    a = n.op("Relu", n.conv("data", 3, 8))
    b = n.conv(n.op("Relu", n.conv(a, 8, 8)), 8, 8)
    return n.op("Relu", n.op("Add", a, b))


def separable(n):
    x = n.op("Clip", n.batch_norm(n.conv("data", 3, 8, strides=[2, 2], bias=False), 8), n.constant(np.float32(0)),
             n.constant(np.float32(6)))
    x = n.op("Clip", n.batch_norm(n.conv(x, 8, 8, group=8, bias=False), 8), n.constant(np.float32(0)),
             n.constant(np.float32(6)))
    x = n.op("Relu", n.conv(x, 8, 12, k=1))
    x = n.op("Flatten", n.op("GlobalAveragePool", x))
    return n.gemm(x, 12, 5)


def branches(n):
    a, b = n.op("Relu", n.conv("data", 3, 4)), n.op("MaxPool", "data", kernel_shape=[3, 3], pads=[1] * 4)
    x = n.op("Concat", a, n.op("Sigmoid", n.conv("data", 3, 4, k=1)), b, axis=1)
    return n.conv(x, 11, 6, k=1)


def classifier(n):
    x = n.op("Relu", n.conv("data", 3, 8))
    x = n.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = n.op("Reshape", x, n.axes(0, -1))
    # a step of the scores moves softmax by up to a quarter of their scale: that stays below a step of 1/256
    return n.op("Softmax", n.gemm(x, 8 * 16, 6, alpha=0.25), axis=1)


def excite(n):
    x = n.op("Relu", n.conv("data", 3, 8))
    s = n.op("Relu", n.conv(n.op("GlobalAveragePool", x), 8, 4, k=1))
    s = n.op("HardSigmoid", n.conv(s, 4, 8, k=1))
    return n.op("Mul", x, s)


def swap(n):
    x = n.conv("data", 3, 8)
    a = n.op("Slice", x, n.axes(0), n.axes(4), n.axes(1))
    b = n.op("Slice", x, n.axes(4), n.axes(8), n.axes(1))
    return n.conv(n.op("Concat", b, n.op("Pad", a, n.axes(0, 0, 1, 1, 0, 0, -1, -1)), axis=1), 8, 4, k=1)


def upsample(n):
    twice = n.constant(np.array([1, 1, 2, 2], np.float32))
    x = n.op("Resize", n.op("Relu", n.conv("data", 3, 6)), "", twice, mode="nearest",
             coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    return n.conv(n.op("Tanh", x), 6, 3)


SINGLE = [
    ("conv", (3, 8, 8), lambda n: n.conv("data", 3, 16)),
    ("conv, no bias", (3, 8, 8), lambda n: n.conv("data", 3, 16, bias=False)),
    ("conv, stride and dilation", (4, 9, 11), lambda n: n.conv("data", 4, 8, strides=[2, 1], dilations=[1, 2])),
    ("conv, uneven pads", (3, 7, 7), lambda n: n.conv("data", 3, 8, pads=[0, 1, 2, 1])),
    ("conv, two groups", (4, 8, 8), lambda n: n.conv("data", 4, 8, group=2)),
    ("conv over 64 channels", (64, 5, 6), lambda n: n.conv("data", 64, 8)),
    ("depthwise", (8, 7, 9), lambda n: n.conv("data", 8, 8, group=8)),
    ("conv, relu", (3, 8, 8), lambda n: n.op("Relu", n.conv("data", 3, 8))),
    ("gemm", (32,), lambda n: n.gemm("data", 32, 10)),
    ("matmul", (32,), lambda n: n.op("MatMul", "data", n.constant(n.rng.normal(size=(32, 10)).astype(np.float32)))),
    ("add", (6, 5, 5), lambda n: n.op("Add", "data", n.weight(6, 1, 1))),
    ("mul", (6, 5, 5), lambda n: n.op("Mul", "data", "data")),
    ("sub", (6, 5, 5), lambda n: n.op("Sub", "data", n.weight(6, 5, 5))),
    ("average pool", (4, 8, 8), lambda n: n.op("AveragePool", "data", kernel_shape=[2, 2], strides=[2, 2])),
    ("average pool, padded", (4, 7, 7), lambda n: n.op("AveragePool", "data", kernel_shape=[3, 3], pads=[1] * 4)),
    ("global average pool", (6, 7, 7), lambda n: n.op("GlobalAveragePool", "data")),
    ("sigmoid", (40,), lambda n: n.op("Sigmoid", "data")),
    ("tanh", (40,), lambda n: n.op("Tanh", "data")),
    ("hard-swish", (40,), lambda n: n.op("HardSwish", "data")),
    ("hard-sigmoid", (40,), lambda n: n.op("HardSigmoid", "data")),
    ("mean over space", (6, 5, 7), lambda n: n.op("ReduceMean", "data", axes=[2, 3])),
    ("leaky relu", (40,), lambda n: n.op("LeakyRelu", "data", alpha=0.1)),
]
CHAINS = [
    ("residual", (3, 8, 8), residual),
    ("separable", (3, 12, 12), separable),
    ("branches", (3, 8, 8), branches),
    ("classifier", (3, 8, 8), classifier),
    ("squeeze and excite", (3, 8, 8), excite),
    ("transposed", (8, 6, 3), lambda n: n.conv(n.op("Transpose", "data", perm=[0, 3, 1, 2]), 3, 4)),
    ("halves swapped", (3, 6, 6), swap),
    ("upsampled", (3, 6, 6), upsample),
    ("float island", (3, 5, 7), lambda n: n.op("ConvTranspose", n.conv("data", 3, 6), n.weight(6, 4, 3, 3))),
]


# ---- running ----
def squeeze(program, *arguments):
    done = subprocess.run([program, *map(str, arguments), "--quiet"], capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"squeeze {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stderr}")


def left_float(model, folder):
    """Operators that ONNX Runtime does not make integer, with int8 activations kept as they are: on processors where
    it would rather have uint8 it turns pairs one by one, and a value that two nodes read is then left out."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    kinds = {n.op_type for n in onnx.load(options.optimized_model_filepath).graph.node}
    return sorted(kinds & FUSED & {n.op_type for n in onnx.load(model).graph.node})


def runtime(model, x, optimized=True):
    options = ort.SessionOptions()
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimized else level.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, {"data": x})[0]


def output_step(graph):
    """The scale of the integers behind the output; None: it is computed in float."""
    maker = [n for n in graph.node if "result" in n.output][0]
    scale = [t for t in graph.initializer if maker.op_type == "DequantizeLinear" and t.name == maker.input[1]]
    return float(numpy_helper.to_array(scale[0])) if scale else None


def snr(got, want):
    noise = np.square(got.astype(np.float64) - want).sum()
    return 10 * np.log10(np.square(want.astype(np.float64)).sum() / noise) if noise else np.inf


# ---- what must hold ----
def described(values):
    """Names, types and shapes; a dimension that only shape inference named has no name."""
    text = "".join(str(v) for v in values)
    return re.sub('"(unk__.*|batch)"', '"open"', text)


def check_file(before, after):
    onnx.checker.check_model(after, full_check=True)
    kinds = [n.op_type for n in after.graph.node]
    assert kinds.count("Transpose") == [n.op_type for n in before.graph.node].count("Transpose"), "a Transpose was added"
    assert any(k in QDQ for k in kinds), "nothing was quantized"
    kept = [n.name for n in after.graph.node if n.op_type not in QDQ]
    order = [n.name for n in before.graph.node if n.name in kept]
    assert kept == order, f"nodes are {kept}, they were {order}"
    lost = {n.op_type for n in before.graph.node if n.name not in kept} - {"BatchNormalization"}
    assert not lost, f"lost: {lost}"
    for was, now in ((before.graph.input, after.graph.input), (before.graph.output, after.graph.output)):
        assert described(was) == described(now), f"{was} became {now}"
    opset = {o.domain: o.version for o in after.opset_import}
    assert opset == {"": 14}, f"opset became {opset}"
    meta = {p.key: p.value for p in after.metadata_props}
    assert meta.get("trained_by") == "nobody", f"metadata lost: {meta}"
    assert "ptq" in meta.get("squeeze.recipe", ""), f"no recipe in the metadata: {meta}"


def check_numbers(ours, theirs, step, single, what):
    difference = np.abs(ours.astype(np.float64) - theirs) / (step or np.abs(theirs).max() / 255)
    share = (difference <= 1.001).mean()
    least = 1.0 if single else ONE_STEP_SHARE
    assert share >= least, f"{what}: {100 * share:.2f} % within one step, most {difference.max():.1f} steps"
    return difference


def check(program, folder, name, shape, build, single, seed):
    net = Net(seed, shape)
    before = net.model(build(net))
    x = net.rng.normal(size=(SAMPLES, *shape)).astype(np.float32)
    source, result = str(folder / "net.onnx"), str(folder / "int8.onnx")
    onnx.save(before, source)
    np.savez(folder / "calib.npz", x=x)
    np.savez(folder / "in.npz", data=x)
    squeeze(program, "quantize", source, "--data", folder / "calib.npz", "--recipe", "calib(method=minmax),ptq(islands=integer,softmax=integer)", "-o", result)
    squeeze(program, "run", result, "--inputs", folder / "in.npz", "-o", folder / "out.npz")
    after = onnx.load(result)
    check_file(before, after)
    ours, step = np.load(folder / "out.npz")["result"], output_step(after.graph)
    rest = left_float(result, folder)
    assert not rest, f"ONNX Runtime computes {', '.join(rest)} in float"
    literal = check_numbers(ours, runtime(result, x, False), step, single, "literally")
    check_numbers(ours, runtime(result, x, True), step, single, "optimized")
    quality = snr(ours, runtime(source, x))
    assert quality >= LEAST_SNR, f"{quality:.1f} dB against the float network"
    print(f"ok    {name:28} {100 * (literal < 0.5).mean():6.2f} % equal, most {literal.max():.1f} steps, {quality:.1f} dB")


def main():
    program, failed = str(pathlib.Path(sys.argv[1]).resolve()), 0
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    cases = ([(*c, True) for c in SINGLE] + [(*c, False) for c in CHAINS]) * rounds
    with tempfile.TemporaryDirectory() as folder:
        for seed, (name, shape, build, single) in enumerate(cases, 1):
            try:
                check(program, pathlib.Path(folder), name, shape, build, single, seed)
            except (AssertionError, onnx.checker.ValidationError) as error:
                failed += 1
                print(f"FAIL  {name}: {error}")
    print(f"{len(cases)} networks, {failed} failed")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
