#!/usr/bin/env python3
"""Models that onnxruntime's quantization tools write, run by squeeze and by ONNX Runtime: test_quant_ort.py SQUEEZE [ROUNDS].

Small random networks are quantized in every form that the tools know: QDQ and QOperator, 8 and 16-bit activations, 4 and
8-bit weights, signed and unsigned, per tensor and per channel, dynamic, and weights by blocks (MatMulNBits, packed here by
hand). `squeeze run` must agree with ONNX Runtime without optimizations, whose pairs compute in float: where squeeze computes
in integers, results of one operator may fall to two sides of a rounding boundary, one step apart, and such steps add up along
a chain; where both compute in float they agree to rounding. What squeeze reads it must also be able to write: the exported
file is run by ONNX Runtime again.

Exits with 77 (skipped) where onnx or onnxruntime cannot be imported.
"""
import logging
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime import quantization as oq
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

STEPS = 3  # of the output's grid, after a chain of integer operators
FLOAT = 1e-4  # of the output's largest value, where both sides compute in float


class Net:
    """A network under construction; operators are named by their output."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.weights, self.ops = [], [], 0

    def constant(self, array):
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weight(self, *shape):
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 8
        return self.constant((self.rng.normal(size=shape) / np.sqrt(fan_in)).astype(np.float32))

    def op(self, kind, *inputs, domain="", outputs=1, **attributes):
        self.ops += 1
        names = [f"{kind.lower()}{self.ops}" + (f"_{i}" if i else "") for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=f"node/{names[0]}", domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def model(self, shape, output, out_type=TensorProto.FLOAT, opset=21):
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        graph = helper.make_graph(self.nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                                  [helper.make_tensor_value_info(output, out_type, None)], self.weights)
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def cnn(seed):
    """Convolution, depthwise, residual, pools, concat, fully connected; every size is random."""
    net = Net(seed)
    c, k = int(net.rng.integers(2, 7)), int(net.rng.choice([1, 3]))
    shape = [1, 3, int(net.rng.integers(7, 12)), int(net.rng.integers(7, 12))]
    h = net.op("Relu", net.op("Conv", "x", net.weight(c, 3, k, k), net.weight(c), pads=[k // 2] * 4))
    d = net.op("Conv", h, net.weight(c, 1, 3, 3), net.weight(c), group=c, pads=[1] * 4)
    h = net.op("Add", h, net.op("Clip", d, net.constant(np.float32(0)), net.constant(np.float32(6))))
    h = net.op("MaxPool", h, kernel_shape=[2, 2], strides=[2, 2])
    g = net.op(str(net.rng.choice(["Sigmoid", "LeakyRelu"])), h)
    h = net.op("Concat", net.op("Mul", h, g), g, axis=1)
    h = net.op("Flatten", net.op(str(net.rng.choice(["GlobalAveragePool", "GlobalMaxPool"])), h))
    turned = int(net.rng.integers(2))
    w = net.weight(5, 2 * c) if turned else net.weight(2 * c, 5)
    h = net.op("Gemm", h, w, net.weight(5), transB=turned)
    return net.model(shape, net.op("Softmax", h, axis=-1) if net.rng.integers(2) else h), shape


def mlp(seed):
    """Products, as transformers have them: several rows, bias apart, one branch transposed."""
    net = Net(seed)
    rows, a, b = (int(v) for v in net.rng.integers(3, 20, 3))
    shape = [2, rows, a]
    h = net.op("Relu", net.op("Add", net.op("MatMul", "x", net.weight(a, b)), net.weight(b)))
    t = net.op("Transpose", h, perm=[0, 2, 1])
    h = net.op("Add", net.op("MatMul", net.op("MatMul", h, t), h), h)
    h = net.op("Reshape", h, net.constant(np.array([2, -1, b], np.int64)))
    h = net.op("MatMul", h, net.weight(b, 7))
    return net.model(shape, h), shape


class Data(oq.CalibrationDataReader):
    def __init__(self, seed, shape):
        rng = np.random.default_rng(seed)
        self.items = [{"x": rng.normal(size=shape).astype(np.float32)} for _ in range(8)]
        self.rest = iter(self.items)

    def get_next(self):
        return next(self.rest, None)


def static(fmt, activation, weight, per_channel):
    def make(model, shape, path, out):
        onnx.save(model, path)
        oq.quantize_static(str(path), str(out), Data(1, shape), quant_format=fmt, activation_type=activation,
                           weight_type=weight, per_channel=per_channel)
    return make


def dynamic(weight, per_channel):
    def make(model, shape, path, out):
        onnx.save(model, path)
        oq.quantize_dynamic(str(path), str(out), weight_type=weight, per_channel=per_channel)
    return make


T = oq.QuantType
QDQ, QOP = oq.QuantFormat.QDQ, oq.QuantFormat.QOperator
FORMS = {
    "qdq u8 s8": static(QDQ, T.QUInt8, T.QInt8, False),
    "qdq s8 s8 per channel": static(QDQ, T.QInt8, T.QInt8, True),
    "qdq u8 u8": static(QDQ, T.QUInt8, T.QUInt8, False),
    "qdq u8 u8 per channel": static(QDQ, T.QUInt8, T.QUInt8, True),
    "qdq s16 s8": static(QDQ, T.QInt16, T.QInt8, False),
    "qdq u16 u8 per channel": static(QDQ, T.QUInt16, T.QUInt8, True),
    "qdq u8 s4": static(QDQ, T.QUInt8, T.QInt4, False),
    "qdq u8 u4 per channel": static(QDQ, T.QUInt8, T.QUInt4, True),
    "qoperator u8 s8": static(QOP, T.QUInt8, T.QInt8, False),
    "qoperator u8 u8": static(QOP, T.QUInt8, T.QUInt8, False),
    "qoperator u8 s8 per channel": static(QOP, T.QUInt8, T.QInt8, True),
    "qoperator s8 s8": static(QOP, T.QInt8, T.QInt8, False),
    "dynamic u8": dynamic(T.QUInt8, False),
    "dynamic s8 per channel": dynamic(T.QInt8, True),
}


# ---- operators of com.microsoft, built by hand ----

def pack(codes, bits):
    """Codes (..., n) to bytes (..., n * bits / 8), low bits first."""
    each = 8 // bits
    codes = codes.astype(np.uint8).reshape(*codes.shape[:-1], -1, each)
    return np.bitwise_or.reduce(codes << (np.arange(each, dtype=np.uint8) * bits), axis=-1).astype(np.uint8)


def pad_to(array, n):
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, n - array.shape[-1])])


def matmul_nbits(seed):
    net = Net(seed)
    rng = net.rng
    bits, block = int(rng.choice([4, 8])), int(rng.choice([16, 32, 64]))
    k, n, rows = int(rng.integers(10, 150)), int(rng.integers(1, 20)), int(rng.integers(1, 5))
    blocks = -(-k // block)
    codes = rng.integers(0, 1 << bits, (n, blocks * block))
    scales = (rng.uniform(0.01, 0.1, (n, blocks)) * rng.choice([-1, 1], (n, blocks))).astype(np.float32)
    inputs = ["x", net.constant(pack(codes, bits).reshape(n, blocks, block * bits // 8)), net.constant(scales), "", "", ""]
    zero = int(rng.integers(3 if bits == 4 else 2))  # ONNX Runtime has float zero points for 4 bits only
    if zero == 1:
        codes = rng.integers(0, 1 << bits, (n, blocks))
        inputs[3] = net.constant(pack(pad_to(codes, -(-blocks * bits // 8) * 8 // bits), bits))
    elif zero == 2:
        inputs[3] = net.constant(rng.uniform(4, 9, (n, blocks)).astype(np.float32))
    if rng.integers(2):
        inputs[5] = net.weight(n)
    while not inputs[-1]:
        inputs.pop()
    y = net.op("MatMulNBits", *inputs, domain="com.microsoft", K=k, N=n, bits=bits, block_size=block)
    return net.model([2, rows, k], y), [2, rows, k]


def gather_blocks(seed):
    net = Net(seed)
    rng = net.rng
    rows, width = int(rng.integers(3, 12)), int(rng.choice([32, 64, 96]))
    bits = int(rng.choice([4, 8]))
    scales = rng.uniform(0.01, 0.1, (rows, width // 32)).astype(np.float32)
    data = net.constant(pack(rng.integers(0, 1 << bits, (rows, width)), bits))
    index = net.op("Cast", net.op("Abs", "x"), to=TensorProto.INT64)
    y = net.op("GatherBlockQuantized", data, index, net.constant(scales), domain="com.microsoft", block_size=32, bits=bits,
               quantize_axis=1, gather_axis=0)
    return net.model([2, 3], y), [2, 3]


def dynamic_matmul(seed):
    net = Net(seed)
    rng = net.rng
    k, n = int(rng.integers(3, 40)), int(rng.integers(1, 20))
    kind = rng.choice([np.int8, np.uint8])
    low = -128 if kind == np.int8 else 0
    many = n if rng.integers(2) else 1
    w = net.constant(rng.integers(low, low + 256, (k, n)).astype(kind))
    scale = net.constant(rng.uniform(0.01, 0.1, many).astype(np.float32) if many > 1 else np.float32(0.05))
    zero = net.constant(rng.integers(low, low + 256, many).astype(kind) if many > 1 else kind(7))
    if rng.integers(2):
        y = net.op("DynamicQuantizeMatMul", "x", w, scale, zero, net.weight(n), domain="com.microsoft")
    else:
        q, s, z = net.op("DynamicQuantizeLinear", "x", outputs=3)
        y = net.op("MatMulIntegerToFloat", q, w, s, scale, z, zero, net.weight(n), domain="com.microsoft")
    return net.model([2, 3, k], y), [2, 3, k]


def qlinear(seed):
    """One QLinear operator between a QuantizeLinear and a DequantizeLinear."""
    net = Net(seed)
    rng = net.rng
    kind = rng.choice([np.int8, np.uint8])
    low = -128 if kind == np.int8 else 0
    shape = [1, 4, 6, 5]

    def grid(scale=None):
        return [net.constant(np.float32(rng.uniform(0.01, 0.05) if scale is None else scale)),
                net.constant(kind(rng.integers(low + 64, low + 192)))]

    gx, gy, gz = grid(), grid(), grid()
    x = net.op("QuantizeLinear", "x", *gx)
    other = net.op("QuantizeLinear", net.op("Neg", "x"), *gy)
    form = ["QLinearAdd", "QLinearMul", "QLinearConcat", "QLinearLeakyRelu", "QLinearSigmoid", "QLinearSoftmax",
            "QLinearAveragePool", "QLinearGlobalAveragePool", "QLinearWhere"][seed % 9]
    ms = {"domain": "com.microsoft"}
    if form in ("QLinearAdd", "QLinearMul"):
        y = net.op(form, x, *gx, other, *gy, *gz, **ms)
    elif form == "QLinearConcat":
        y = net.op(form, *gz, x, *gx, other, *gy, axis=int(rng.integers(1, 4)), **ms)
    elif form == "QLinearWhere":
        y = net.op(form, net.op("Greater", "x", net.constant(np.float32(0.3))), x, *gx, other, *gy, *gz, **ms)
    else:
        extra = {"QLinearLeakyRelu": {"alpha": 0.1}, "QLinearSoftmax": {"axis": -1, "opset": 13},
                 "QLinearAveragePool": {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "strides": [2, 1],
                                        "count_include_pad": int(rng.integers(2))},
                 "QLinearGlobalAveragePool": {"channels_last": 0}}.get(form, {})
        if form in ("QLinearSoftmax", "QLinearSigmoid"):
            gz = [net.constant(np.float32(1 / 256)), net.constant(kind(low))]
        y = net.op(form, x, *gx, *gz, **extra, **ms)
    return net.model(shape, net.op("DequantizeLinear", y, *gz)), shape


def products(seed):
    """QGemm with a quantized or a real result, and QLinearConv, on weights with zero points."""
    net = Net(seed)
    rng = net.rng
    kind = np.uint8

    def grid(scale, n=None):
        many = (np.full(n, scale) * rng.uniform(0.5, 1, n)).astype(np.float32) if n else np.float32(scale)
        return [net.constant(many), net.constant(rng.integers(100, 150, n).astype(kind) if n else kind(rng.integers(100, 150)))]

    gx, gy = grid(0.02), grid(0.05)
    x = net.op("QuantizeLinear", "x", *gx)
    if seed % 2:
        shape, n, turned = [4, 6], 5, int(rng.integers(2))
        gw = grid(0.01, n if rng.integers(2) else None)
        w = net.constant(rng.integers(0, 256, (n, 6) if turned else (6, n)).astype(kind))
        bias = net.constant(rng.integers(-900, 900, n).astype(np.int32))
        real = rng.integers(2)
        y = net.op("QGemm", x, *gx, w, *gw, bias, *([] if real else gy), domain="com.microsoft", alpha=1.0, transB=turned)
        return net.model(shape, y if real else net.op("DequantizeLinear", y, *gy)), shape
    shape = [1, 4, 6, 5]
    gw = grid(0.01)
    w = net.constant(rng.integers(0, 256, (3, 4, 3, 3)).astype(kind))
    y = net.op("QLinearConv", x, *gx, w, *gw, *gy, net.constant(rng.integers(-900, 900, 3).astype(np.int32)), pads=[1, 0, 1, 1])
    return net.model(shape, net.op("DequantizeLinear", y, *gy)), shape


def attention(seed):
    net = Net(seed)
    rng = net.rng
    batch, rows, heads, size = (int(v) for v in rng.integers(1, 5, 4))
    width = heads * size
    x, s, z = net.op("DynamicQuantizeLinear", "x", outputs=3)
    w = net.constant(rng.integers(-127, 128, (width, 3 * width)).astype(np.int8))
    y = net.op("QAttention", x, w, net.weight(3 * width), s, net.constant(np.float32(0.01)), "", z, net.constant(np.int8(3)),
               domain="com.microsoft", num_heads=heads, unidirectional=int(rng.integers(2)))
    return net.model([batch, rows, width], y), [batch, rows, width]


def blocked(seed):
    """Weights by blocks in ONNX's own form (opset 21), 4 and 8 bits, along either axis."""
    net = Net(seed)
    rng = net.rng
    k, n, axis = int(rng.integers(9, 60)), int(rng.integers(3, 20)), int(rng.integers(2))
    block, kind = int(rng.choice([4, 16])), rng.choice([TensorProto.INT4, TensorProto.UINT4, TensorProto.INT8])
    low, high = {TensorProto.INT4: (-8, 8), TensorProto.UINT4: (0, 16), TensorProto.INT8: (-128, 128)}[kind]
    dims = [k, n]
    dims[axis] = -(-dims[axis] // block)
    scale = net.constant(rng.uniform(0.01, 0.1, dims).astype(np.float32))
    for name, shape in (("w", [k, n]), ("z", dims)):
        net.weights.append(helper.make_tensor(name, kind, shape, rng.integers(low, high, shape).flatten().tolist()))
    w = net.op("DequantizeLinear", "w", scale, "z", axis=axis, block_size=block)
    return net.model([5, k], net.op("MatMul", "x", w)), [5, k]


BY_HAND = {"MatMulNBits": matmul_nbits, "GatherBlockQuantized": gather_blocks, "dynamic products": dynamic_matmul,
           "QLinear operators": qlinear, "products": products, "attention": attention, "blocks": blocked}


# ---- comparing ----

def reference(path, x):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def squeeze(tool, *arguments):
    done = subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(done.stderr.strip())


def last_scale(path):
    """The step of the output's grid: the largest scale is a bound that needs no graph analysis."""
    model = onnx.load(path)
    numbers = {t.name: t for t in model.graph.initializer}
    scales = [float(numpy_helper.to_array(numbers[n.input[k]]).max())
              for n in model.graph.node for k in range(1, len(n.input))
              if n.input[k] in numbers and "scale" in n.input[k] and "Linear" in n.op_type]
    return max(scales, default=0.0)


def check_written(tool, path, x, have, allowed):
    """A quantized model is written as it runs: ONNX Runtime computes the same of it."""
    again = path.parent / "again.onnx"
    squeeze(tool, "quantize", path, "-o", again)
    onnx.checker.check_model(onnx.load(again), full_check=True)
    worst = np.abs(reference(again, x).astype(np.float64) - have).max(initial=0)
    assert worst <= allowed, f"as written it differs by {worst:.4g}, allowed are {allowed:.4g}"


def check(tool, path, shape, seed, integers):
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    folder = path.parent
    np.savez(folder / "in.npz", x=x)
    want = reference(path, x).astype(np.float64)
    squeeze(tool, "run", path, "--inputs", folder / "in.npz", "--out", folder / "out.npz")
    have = next(iter(np.load(folder / "out.npz").values())).astype(np.float64)
    assert have.shape == want.shape, f"shape {have.shape}, expected {want.shape}"
    allowed = STEPS * integers if integers else FLOAT * max(np.abs(want).max(), 1e-3)
    worst = np.abs(have - want).max(initial=0)
    assert worst <= allowed, f"differs by {worst:.4g} of {np.abs(want).max():.4g}, allowed are {allowed:.4g}"
    if integers:
        check_written(tool, path, x, have, allowed)
    return worst, allowed


def forms(tool, folder, rounds):
    for name, make in FORMS.items():
        for net in (cnn, mlp):
            for seed in range(rounds):
                model, shape = net(seed)
                out = folder / "q.onnx"
                make(model, shape, folder / "f.onnx", out)
                yield f"{name}, {net.__name__} {seed}", out, shape, seed, last_scale(out)
    for name, make in BY_HAND.items():
        for seed in range(10 * rounds):
            model, shape = make(seed)
            out = folder / "q.onnx"
            onnx.save(model, out)
            step = 0.05 if name in ("QLinear operators", "products") else 0
            yield f"{name} {seed}", out, shape, seed, step


def main():
    tool, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2
    logging.disable(logging.WARNING)
    failed = count = 0
    with tempfile.TemporaryDirectory() as temp:
        for what, path, shape, seed, step in forms(tool, pathlib.Path(temp), rounds):
            count += 1
            try:
                worst, allowed = check(tool, path, shape, seed, step)
                if "-v" in sys.argv:
                    print(f"{what}: {worst:.3g} of {allowed:.3g}")
            except (AssertionError, OSError) as wrong:
                failed += 1
                print(f"{what}: {wrong}")
    print(f"{count - failed} of {count} models agree")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
