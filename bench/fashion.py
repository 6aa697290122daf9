#!/usr/bin/env python3
"""The demo's network, fitted, against ONNX Runtime on the whole test split (10,000 images).

    bench/fashion.py [--squeeze build/release/squeeze] [--threads 2]

Shows top-1 of the float model and of the squeezed one (by squeeze and by ONNX Runtime on the exported file), how many
decisions of squeeze and ONNX Runtime are equal, how far outputs are apart in steps of the output grid, the ratio of the
file sizes, and whether the same command gives the same bytes again and with one thread. Needs numpy, onnx, onnxruntime.
"""
import argparse
import gzip
import hashlib
import json
import pathlib
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = pathlib.Path("/usr/share/datasets/fashion-mnist")  # Debian: dataset-fashion-mnist


def idx(name):
    raw = gzip.open(DATA / name).read()
    n_dim = raw[3]
    shape = np.frombuffer(raw, ">i4", n_dim, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * n_dim).reshape(shape)


def call(command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def run_squeeze(squeeze, model, x, work):
    out = []
    for i in range(0, len(x), 1000):
        np.savez(work / "in.npz", image=x[i : i + 1000])
        call([squeeze, "run", model, "--inputs", work / "in.npz", "-o", work / "out.npz", "--quiet"])
        out.append(np.load(work / "out.npz")["logits"])
    return np.concatenate(out)


def run_ort(model, x, level):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = level
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": x[i : i + 500]})[0] for i in range(0, len(x), 500)])


def output_scale(model):
    import onnx

    graph = onnx.load(model).graph
    tensors = {t.name: t for t in graph.initializer}
    last = next(n for n in graph.node if n.output[0] == graph.output[0].name)
    return float(onnx.numpy_helper.to_array(tensors[last.input[1]])) if last.op_type == "DequantizeLinear" else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--squeeze", default=ROOT / "build/release/squeeze")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default=ROOT / "datasets/fashion-cnn/device.yaml")
    args = parser.parse_args()
    import onnxruntime as ort

    work = ROOT / "build/bench/fashion"
    work.mkdir(parents=True, exist_ok=True)
    model, data = ROOT / "datasets/fashion-cnn/fashion-cnn.onnx", work / "fashion.h5"
    if not data.exists():
        call([args.squeeze, "prepare", ROOT / "datasets/fashion-mnist.yaml", "-o", data, "--quiet"])
    digests = []
    for run, threads in enumerate((args.threads, args.threads, 1)):
        report = call([args.squeeze, "fit", model, "--data", data, "--device", args.device, "--threads", threads, "--json",
                       "--quiet", "-o", work / f"out{run}"])
        digests.append(hashlib.sha256((work / f"out{run}/model.onnx").read_bytes()).hexdigest()[:16])
    result, squeezed = json.loads(report)["result"], work / "out0/model.onnx"
    x = idx("t10k-images-idx3-ubyte.gz").reshape(-1, 1, 28, 28).astype(np.float32) / np.float32(255)
    y = idx("t10k-labels-idx1-ubyte.gz")
    levels = ort.GraphOptimizationLevel
    flo = run_ort(model, x, levels.ORT_ENABLE_ALL)
    fast, plain = (run_ort(squeezed, x, level) for level in (levels.ORT_ENABLE_ALL, levels.ORT_DISABLE_ALL))
    ours, ours_float = run_squeeze(args.squeeze, squeezed, x, work), run_squeeze(args.squeeze, model, x, work)
    step = output_scale(squeezed)
    top1 = lambda o: 100 * (o.argmax(1) == y).mean()
    equal = lambda a, b: 100 * (a.argmax(1) == b.argmax(1)).mean()
    print(f"trial                            {result['trial']}")
    print(f"float top-1                      {top1(flo):.2f} % (ONNX Runtime)  {top1(ours_float):.2f} % (squeeze)")
    print(f"largest difference of float      {np.abs(flo - ours_float).max():.2e}")
    print(f"int8 top-1                       {top1(fast):.2f} % (ONNX Runtime)  {top1(ours):.2f} % (squeeze)")
    print(f"loss of top-1                    {top1(flo) - top1(ours):+.2f} points (bar: at most 0.10)")
    print(f"equal classes, ORT and squeeze   {equal(fast, ours):.2f} % optimized, {equal(plain, ours):.2f} % not (bar: 99.8)")
    print(f"equal classes, int8 and float    {equal(fast, flo):.2f} %")
    if step:
        d = np.abs(np.rint((plain - ours) / step))
        print(f"outputs apart in steps           {100 * (d == 0).mean():.2f} % equal, {100 * (d == 1).mean():.2f} % by one, most {d.max():.0f}")
    print(f"file                             {squeezed.stat().st_size / model.stat().st_size:.3f} of the float file (bar: 0.30)")
    print(f"same bytes: again, one thread    {digests[0] == digests[1]}, {digests[0] == digests[2]}  ({digests[0]})")


if __name__ == "__main__":
    main()
