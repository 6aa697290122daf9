#!/usr/bin/env python3
"""How squeeze's costs grow with the model and the batch: time to load, to plan, to run, and memory.

    bench/scaling.py [--squeeze build/release/squeeze] [--quick]

Each series doubles one size: layers of a chain, branches that live at the same time, width, batch, constants. The last column is the
exponent between the last two points (1: linear, 2: quadratic); what grows faster than its series says it may is marked.
Needs numpy and onnx.
"""
import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

if "--build" in sys.argv:  # the process that measures stays small: its size is the least that a child shows
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper


def model(nodes, weights, shape, path):
    graph = helper.make_graph(nodes, "scaling", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    proto.ir_version = 8
    onnx.save(proto, path)


def weight(name, *shape):
    rng = np.random.default_rng(len(name))
    return numpy_helper.from_array((rng.standard_normal(shape) / math.sqrt(np.prod(shape[1:]))).astype(np.float32), name)


def chain(n, path):
    """n convolutions, one behind the other."""
    nodes, weights, x = [], [], "x"
    for i in range(n):
        weights.append(weight(f"w{i}", 8, 8, 1, 1))
        y = "y" if i == n - 1 else f"v{i}"
        nodes += [helper.make_node("Conv", [x, f"w{i}"], [f"c{i}"]), helper.make_node("Relu", [f"c{i}"], [y])]
        x = y
    model(nodes, weights, ["N", 8, 8, 8], path)


def branches(n, path):
    """n branches that are all alive when they are joined."""
    nodes = [helper.make_node("Sigmoid", ["x"], ["s"])]
    nodes += [helper.make_node("MaxPool", ["s"], [f"b{i}"], kernel_shape=[1 + i % 7, 1], pads=[0, 0, i % 7, 0])
              for i in range(n)]
    nodes.append(helper.make_node("Concat", [f"b{i}" for i in range(n)], ["y"], axis=1))
    model(nodes, [], ["N", 4, 8, 8], path)


def skips(n, path):
    """n layers; the first half stays alive for the second half, as in a U-Net."""
    nodes, x = [], "x"
    for i in range(n):
        nodes.append(helper.make_node("Sigmoid", [x], [f"d{i}"]))
        x = f"d{i}"
    for i in reversed(range(n)):
        y = "y" if i == 0 else f"u{i}"
        nodes.append(helper.make_node("Add", [x, f"d{i}"], [y]))
        x = y
    model(nodes, [], ["N", 16 + n % 3], path)


def wide(n, path):
    """Two matrix products n wide."""
    nodes = [helper.make_node("Gemm", ["x", "a"], ["h"], transB=1), helper.make_node("Gemm", ["h", "b"], ["y"], transB=1)]
    model(nodes, [weight("a", n, n), weight("b", n, n)], ["N", n], path)


SERIES = {  # name: (builder, sizes, exponents that may be reached: load, run, memory)
    "layers": (chain, (250, 500, 1000, 2000), (1.3, 1.3, 1.3)),
    "branches": (branches, (125, 250, 500, 1000), (1.3, 1.3, 1.3)),
    "skips": (skips, (250, 500, 1000, 2000), (1.3, 1.3, 1.3)),
    "width": (wide, (512, 1024, 2048, 4096), (2.3, 2.3, 2.3)),
}


def make(name, size, path):
    subprocess.run([sys.executable, __file__, "--build", name, str(size), str(path)], check=True)


def bench(args, path, batch):
    """load and run seconds, peak bytes of the process"""
    command = [args.squeeze, "bench", path, "--repeat", "3", "--batch", str(batch), "--threads", "1", "--json", "-q"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        out = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit status {process.returncode}: {out.decode()[:300]}")
    report = json.loads(out)
    return report["load_seconds"], report["minimum_seconds"], used.ru_maxrss * 1024


def best(args, path, batch):
    """Of three runs, as others may use the machine."""
    return [min(v) for v in zip(*(bench(args, path, batch) for _ in range(3)))]


def exponent(points, k):
    (n, *a), (m, *b) = points[-2:]
    return math.log(b[k] / a[k]) / math.log(m / n)


def show(name, points, allowed):
    print(name)
    for size, load, run, memory in points:
        print(f"  {size:6} load {1e3 * load:9.2f} ms   run {1e3 * run:9.3f} ms   memory {memory / 2**20:8.1f} MiB")
    got = [exponent(points, k) for k in range(3)]
    bad = [what for what, e, most in zip(("load", "run", "memory"), got, allowed) if e > most]
    print(f"  exponents: load {got[0]:.2f}, run {got[1]:.2f}, memory {got[2]:.2f}" + (f"   GROWS TOO FAST: {', '.join(bad)}" if bad else ""),
          flush=True)
    return bad


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--squeeze", default=str(root / "build/release/squeeze"))
    parser.add_argument("--quick", action="store_true", help="without the largest sizes")
    parser.add_argument("--build", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.build:
        name, size, path = args.build
        return SERIES[name][0](int(size), path)
    bad = []
    with tempfile.TemporaryDirectory() as work:
        path = pathlib.Path(work) / "m.onnx"
        for name, (_, sizes, allowed) in SERIES.items():
            points = []
            for size in sizes[:-1] if args.quick else sizes:
                make(name, size, path)
                points.append((size, *best(args, path, 1)))
            bad += show(name, points, allowed)
        make("layers", 50, path)
        bad += show("batch", [(n, *best(args, path, n)) for n in (64, 128, 256, 512)], (1.3, 1.3, 1.3))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
