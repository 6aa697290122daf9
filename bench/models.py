#!/usr/bin/env python3
"""Published models through squeeze: float outputs against stored ones, then int8 against float and ONNX Runtime.

    bench/models.py [--shared ../shared] [--squeeze build/release/squeeze] [MODEL ...]

error      largest difference of the float run from the stored outputs, relative to the largest number of each
file       size of the int8 file over that of the float file
int8 dB    signal-to-noise ratio of the int8 outputs against the float ones on the stored input; worst output
ORT dB     the same of ONNX Runtime on the exported file, optimized / taken literally
= ORT      share of output numbers that squeeze and ONNX Runtime (literal) put within one step of the output grid; where
           an output is computed in float, a step is 1/255 of its largest number. Deep networks drift apart: each
           rounding that falls to the other side (1 in 400 of an operator's results) is amplified by what follows
Calibration data is the stored input with noise: files without real data are measured all the same, so the ratios say
how well int8 follows float on such input and not how accurate the model stays. Needs numpy, onnx, onnxruntime.
"""
import argparse
import pathlib
import subprocess
import sys
import tarfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

BAR = 1e-4
DEEP = {"picodet-xs-416": 3e-3}  # ONNX Runtime differs from itself by 4e-4 with and without its optimizations


def stored(folder):
    """{model: {"input_0": array, ...}} of io.tar.gz"""
    models = {}
    with tarfile.open(folder / "io.tar.gz") as tar:
        for member in tar.getmembers():
            path = pathlib.PurePath(member.name)
            if path.suffix != ".pb":
                continue
            tensor = onnx.TensorProto.FromString(tar.extractfile(member).read())
            models.setdefault(path.parent.name, {})[path.stem] = numpy_helper.to_array(tensor)
    return models


def numbered(arrays, kind):
    return [arrays[f"{kind}_{k}"] for k in range(sum(name.startswith(kind) for name in arrays))]


def squeeze(args, *words):
    done = subprocess.run([args.squeeze, *map(str, words), "--quiet"], capture_output=True, text=True)
    return done.stderr.strip().splitlines()[0] if done.returncode else None


def names(model):
    graph, constants = model.graph, {t.name for t in model.graph.initializer}
    return [i.name for i in graph.input if i.name not in constants], [o.name for o in graph.output]


def run_squeeze(args, path, feeds, outputs):
    np.savez(args.work / "in.npz", **feeds)
    refused = squeeze(args, "run", path, "--inputs", args.work / "in.npz", "-o", args.work / "out.npz")
    if refused:
        return None, refused
    with np.load(args.work / "out.npz") as out:
        return [out[name] for name in outputs], None


def run_ort(path, feeds, optimized):
    options, level = ort.SessionOptions(), ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimized else level.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(None, feeds)


def relative(got, want):
    return max(np.abs(g.astype(np.float64) - w).max() / max(np.abs(w).max(), 1e-30) for g, w in zip(got, want))


def snr(got, want):
    def one(g, w):
        noise = np.square(g.astype(np.float64) - w).sum()
        return 10 * np.log10(max(np.square(w.astype(np.float64)).sum(), 1e-30) / noise) if noise else np.inf

    return min(one(g, w) for g, w in zip(got, want))


def steps(model, outputs, values):
    """The grid's step of each output; 1/255 of its largest number where it is computed in float."""
    scales = {t.name: t for t in model.graph.initializer}
    makers = {name: n for n in model.graph.node for name in n.output}
    for name, value in zip(outputs, values):
        maker = makers[name]
        grid = maker.op_type == "DequantizeLinear" and maker.input[1] in scales
        yield float(numpy_helper.to_array(scales[maker.input[1]])) if grid else max(np.abs(value).max(), 1e-30) / 255


def noisy(x, n):
    rng = np.random.default_rng(1)
    spread = 0.1 * x.std()
    return np.concatenate([x * s + rng.normal(size=x.shape) * spread for s in rng.uniform(0.7, 1.1, n)]).astype(x.dtype)


def quantized(args, path, feeds, outputs, reference):
    x, target = next(iter(feeds.values())), args.work / "int8.onnx"
    np.savez(args.work / "calib.npz", x=np.concatenate([x, noisy(x, 7)]))
    command = ["quantize", path, "--data", args.work / "calib.npz", "--calibrator", "minmax", "-o", target]
    refused = squeeze(args, *command)
    if refused and "--layout nchw" in refused:  # both would fit: the samples are in the model's own order
        refused = squeeze(args, *command, "--layout", "nchw")
    if refused:
        return f"not quantized: {refused}"
    model = onnx.load(target)
    onnx.checker.check_model(model, full_check=True)
    ours, refused = run_squeeze(args, target, feeds, outputs)
    if refused:
        return f"int8 does not run: {refused}"
    literal, optimized = run_ort(target, feeds, False), run_ort(target, feeds, True)
    near = [(np.abs(a.astype(np.float64) - b) <= 1.001 * s).mean()
            for a, b, s in zip(ours, literal, steps(model, outputs, literal))]
    ratio = target.stat().st_size / path.stat().st_size
    return (f"{ratio:6.3f} {snr(ours, reference):8.1f} {snr(optimized, reference):8.1f} /{snr(literal, reference):6.1f}"
            f" {100 * min(near):8.2f} %")


def report(args, path, arrays):
    model = onnx.load(path)
    inputs, outputs = names(model)
    feeds, want = dict(zip(inputs, numbered(arrays, "input"))), numbered(arrays, "output")
    got, refused = run_squeeze(args, path, feeds, outputs)
    if refused:
        print(f"{path.stem:32} refused: {refused[:120]}")
        return 0
    error = relative(got, want)
    if any(n.op_type == "DequantizeLinear" for n in model.graph.node):
        own = relative(run_ort(path, feeds, True), want)
        ok = error <= 2 * own + 1 / 255  # a step of the output, and what the runtime differs from itself
        print(f"{path.stem:32} {error:8.1e} {'' if ok else 'WRONG '}int8 already; ORT optimized: {own:.1e}", flush=True)
        return not ok
    ok = error <= DEEP.get(path.stem, BAR)
    line = quantized(args, path, feeds, outputs, want) if len(inputs) == 1 else "several inputs: not quantized"
    print(f"{path.stem:32} {error:8.1e} {'' if ok else 'WRONG '}{line}", flush=True)
    return not ok


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = pathlib.Path(__file__).resolve().parent.parent
    parser.add_argument("--shared", type=pathlib.Path, default=root.parent / "shared")
    parser.add_argument("--squeeze", default=str(root / "build/release/squeeze"))
    parser.add_argument("--work", type=pathlib.Path, default=root / "build/bench/models")
    parser.add_argument("model", nargs="*", help="names without .onnx; all by default")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    print(f"{'model':32} {'error':>8} {'file':>6} {'int8 dB':>8} {'ORT dB':>16} {'= ORT':>10}")
    wrong = 0
    for folder in ("models", "models-no-licence-stated"):
        folder = args.shared / "data/onnx" / folder
        have = stored(folder)
        for path in sorted(folder.glob("*.onnx")):
            if path.stem in have and (not args.model or path.stem in args.model):
                wrong += report(args, path, have[path.stem])
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
