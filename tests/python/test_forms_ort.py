#!/usr/bin/env python3
"""What `squeeze quantize --format` writes, run by ONNX Runtime and by squeeze: test_forms_ort.py SQUEEZE [ROUNDS].

Small random networks are quantized to int8 and written as pairs and in integer-only operators. Both files hold the same
integers: squeeze computes the same bytes of either. ONNX Runtime, without optimizations, agrees to some steps of the
output's grid, as its requantization has one rounding where squeeze has two. Nothing that has an integer-only operator may
be left between pairs.

Other bits (int4 weights by channel and by blocks, int16 activations, weights alone, MatMulNBits, palettes) are written so
that ONNX Runtime computes what squeeze computes of the same file.

Exits with 77 (skipped) where onnx or onnxruntime cannot be imported.
"""
import pathlib
import sys
import tempfile

try:
    import numpy as np
    import onnx
    from onnx import numpy_helper
    from test_quant_ort import Net, cnn, mlp, reference, squeeze
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

STEPS = 3
FLOATS = {"Conv", "Gemm", "Add", "Mul", "AveragePool", "GlobalAveragePool", "Sigmoid", "LeakyRelu", "MaxPool", "Concat",
          "Relu", "Clip", "Reshape", "Transpose", "Flatten"}  # have integer forms, or take integers


def residual(seed):
    """What cnn() of the other test does not have: average pool, strides, 1-D convolution, transpose and reshape, slices."""
    net = Net(seed)
    c = int(net.rng.integers(3, 6))
    shape = [2, c, 8, 10]
    h = net.op("Conv", "x", net.weight(c, c, 3, 3), net.weight(c), pads=[1] * 4)
    h = net.op("Relu", net.op("Add", h, "x"))
    h = net.op("AveragePool", h, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4,
               count_include_pad=int(net.rng.integers(2)))
    h = net.op("Mul", h, net.weight(1, c, 1, 1))
    h = net.op("Slice", h, net.constant(np.array([1], np.int64)), net.constant(np.array([4], np.int64)),
               net.constant(np.array([3], np.int64)))
    h = net.op("Transpose", h, perm=[0, 2, 1, 3])
    h = net.op("Reshape", h, net.constant(np.array([0, 4, -1], np.int64)))
    h = net.op("Conv", h, net.weight(6, 4, 3), strides=[2])
    h = net.op("Clip", h, net.constant(np.float32(-0.2)), net.constant(np.float32(0.5)))
    h = net.op("MatMul", net.op("Flatten", h), net.weight(6 * ((3 * c - 3) // 2 + 1), 5))
    return net.model(shape, net.op("Add", h, net.weight(5))), shape


def quantized(tool, folder, name, form):
    out = folder / f"{form}.onnx"
    squeeze(tool, "quantize", name, "--data", folder / "calib.npz", "--format", form, "-o", out)
    onnx.checker.check_model(onnx.load(out))
    return out


def run(tool, folder, path, x):
    np.savez(folder / "in.npz", x=x)
    squeeze(tool, "run", path, "--inputs", folder / "in.npz", "--out", folder / "out.npz")
    return next(iter(np.load(folder / "out.npz").values()))


def check(tool, folder, make, seed):
    model, shape = make(seed)
    onnx.save(model, folder / "f.onnx")
    rng = np.random.default_rng(seed)
    np.savez(folder / "calib.npz", x=np.concatenate([rng.normal(size=shape).astype(np.float32) for _ in range(8)]))
    x = rng.normal(size=shape).astype(np.float32)
    pairs, integers = (quantized(tool, folder, folder / "f.onnx", form) for form in ("qdq", "qoperator"))
    first, second = run(tool, folder, pairs, x), run(tool, folder, integers, x)
    assert np.array_equal(first, second), f"squeeze differs from itself by {np.abs(first - second).max():.4g}"
    left = {n.op_type for n in onnx.load(integers).graph.node if n.op_type in FLOATS and on_reals(integers, n)}
    assert not left, f"left between pairs: {left}"
    worst, allowed = np.abs(reference(integers, x).astype(np.float64) - second).max(), STEPS * largest_scale(pairs)
    assert worst <= allowed, f"ONNX Runtime differs by {worst:.4g}, allowed are {allowed:.4g}"


def largest_scale(path):
    """A bound of the output's step."""
    model = onnx.load(path)
    numbers = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    return max(float(numbers[n.input[1]].max()) for n in model.graph.node if n.op_type == "QuantizeLinear")


def on_reals(path, node):
    """The node reads what a DequantizeLinear made."""
    made = {o: n.op_type for n in onnx.load(path).graph.node for o in n.output}
    return any(made.get(i) == "DequantizeLinear" for i in node.input)


BITS = {
    "int4 weights": ["--weights", "4"],
    "int4 in blocks": ["--weights", "4", "--group", "16"],
    "weights alone": ["--weights", "4", "--group", "16", "--activations", "float"],
    "MatMulNBits": ["--weights", "4", "--group", "16", "--activations", "float", "--format", "matmulnbits"],
    "MatMulNBits of 8 bits": ["--weights", "8", "--activations", "float", "--format", "matmulnbits"],
    "int16 activations": ["--activations", "16"],
    "palette": ["--recipe", "palette(colors=16),ptq(activations=0)"],
    "palette of 200": ["--recipe", "palette(colors=200),ptq(activations=0)"],
}
INTEGER = {"int4 weights"}  # squeeze computes on integers there: steps apart, not roundings of float


def check_bits(tool, folder, make, seed, name):
    model, shape = make(seed)
    onnx.save(model, folder / "f.onnx")
    rng = np.random.default_rng(seed)
    np.savez(folder / "calib.npz", x=np.concatenate([rng.normal(size=shape).astype(np.float32) for _ in range(8)]))
    x = rng.normal(size=shape).astype(np.float32)
    out = folder / "bits.onnx"
    squeeze(tool, "quantize", folder / "f.onnx", "--data", folder / "calib.npz", "-o", out, *BITS[name])
    want = reference(out, x).astype(np.float64)
    worst = np.abs(want - run(tool, folder, out, x)).max()
    allowed = STEPS * largest_scale(out) if name in INTEGER else 1e-4 * np.abs(want).max()
    if name == "int16 activations":
        allowed += 4 * np.abs(want).max() / 65535  # a rounding of float may fall to two sides of a step
    if "in blocks" in name:
        allowed += 2 * largest_scale(out)
    assert worst <= allowed, f"ONNX Runtime differs by {worst:.4g}, allowed are {allowed:.4g}"


def main():
    tool, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 4
    failed = count = 0
    with tempfile.TemporaryDirectory() as temp:
        cases = [(check, make, seed) for make in (cnn, mlp, residual) for seed in range(rounds)]
        cases += [(check_bits, make, seed, name) for name in BITS for make in (cnn, mlp, residual)
                  for seed in range(max(rounds // 2, 1))]
        for test, *case in cases:
            count += 1
            try:
                test(tool, pathlib.Path(temp), *case)
            except Exception as wrong:  # ours, and what ONNX Runtime raises
                failed += 1
                print(f"{case[0].__name__} {case[1:]}: {str(wrong)[:300]}")
    print(f"{count - failed} of {count} models agree")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
