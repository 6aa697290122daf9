#!/usr/bin/env python3
"""Which quantization recipe is the better default, chosen without any test data.

    bench/blind.py [--shared ../shared] [--forms int8,int4] [--folds 2] [--only ic01,kws01] [TOOL ...]

The calibration samples of each network are cut into folds (every k-th sample; time series in blocks): a recipe calibrates on all but
one fold, and its integer outputs are compared with the float model's on the fold that it has not seen. No labels and no test
samples are read. For each recipe: the SNR of the outputs in dB, how many dB above the first recipe of the list it is (mean over the networks and folds,
with its standard error over networks), in how many networks it is ahead, and the CPU time. Networks: MLPerf Tiny, ImageNet and
CIFAR-10 of ../shared/data. Needs numpy, Pillow, onnx, onnxruntime.
"""
import argparse
import math
import sys

import imagenet300
import mlperf_tiny
import numpy as np
import ptq

TOOLS = {
    "int8": ["squeeze", "squeeze:method=bias_correct", "squeeze:method=gptq", "squeeze:method=gptq,bias_correct",
             "squeeze:method=adaround", "squeeze:calibrator=minmax"],
    "int4": ["squeeze:weights=4", "squeeze:weights=4:method=gptq", "squeeze:weights=4:method=gptq,bias_correct",
             "squeeze:weights=4:method=adaround", "squeeze:weights=4:method=adaround,bias_correct"],
    "tensor": ["squeeze:per-tensor=1", "squeeze:recipe=cle,calib,ptq(per_tensor=1),bias_correct",
               "squeeze:recipe=cle(clip=channel),calib,ptq(per_tensor=1),bias_correct"],
}
MOST = 200  # samples of a network: more tells little and takes long
BLOCK = {"ad01": 196}  # windows of one clip stay together


def mlperf(name):
    file, load, nchw = mlperf_tiny.CASES[name]

    def samples(shared):
        (x, _), _ = load(shared / "data/mlperf-tiny/data")
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if nchw else x

    return "data/mlperf-tiny/models/" + file, samples


def cases():
    yield from ((name, *mlperf(name)) for name in mlperf_tiny.CASES)
    for c in imagenet300.CASES:
        yield c.name, "data/onnx/" + c.path, lambda shared, c=c: c.data(shared, "calib")[0]


def folds(name, x, k):
    """(seen, unseen) of each fold."""
    block = BLOCK.get(name, 1)
    if block == 1:
        x = x[:MOST]
    group = np.arange(len(x)) // block
    for f in range(k):
        unseen = group % k == f
        yield x[~unseen], x[unseen]


def snr(ref, got):
    return 10 * math.log10((ref.astype(float) ** 2).sum() / max(((ref.astype(float) - got) ** 2).sum(), 1e-30))


def measure(args, name, path, samples, tools):
    """{tool: (mean SNR, mean KL, CPU seconds)} of one network."""
    sums = {t: [] for t in tools}
    for f, (seen, unseen) in enumerate(folds(name, samples(args.shared), args.folds)):
        calib = ptq.save(args.work / f"blind_{name}_{f}.npz", seen)
        ref = ptq.outputs(args.shared / path, unseen)
        for k, tool in enumerate(tools):
            made = ptq.quantize(args, tool, args.shared / path, calib, args.work / f"blind_{name}_{f}_{k}.onnx")
            if made.error:
                print(f"{name} {tool}: {made.error}", file=sys.stderr)
                continue
            got = ptq.own_outputs(args, made.path, unseen)
            sums[tool].append((snr(ref, got), ptq.kl(ref, got)[0] if ref.shape[1] < 2000 else math.nan, made.cpu))
    return {t: np.mean(v, axis=0) for t, v in sums.items() if len(v) == args.folds}


def table(form, tools, results):
    base = tools[0]
    print(f"\n{form}\n{'recipe':64} {'SNR dB':>7} {'gain dB':>15} {'ahead':>6} {'KL ratio':>9} {'CPU s':>7}")
    for t in tools:
        rows = [(r[t], r[base]) for r in results.values() if t in r and base in r]
        if not rows:
            continue
        gain = np.array([a[0] - b[0] for a, b in rows])
        error = gain.std(ddof=1) / math.sqrt(len(gain)) if len(gain) > 1 else math.nan
        ratio = math.exp(np.nanmean([math.log(max(a[1], 1e-9) / max(b[1], 1e-9)) for a, b in rows]))
        print(f"{t:64} {np.mean([a[0] for a, _ in rows]):7.2f} {gain.mean():+7.2f} +-{error:5.2f} "
              f"{int((gain > 0).sum()):3}/{len(gain):<2} {ratio:9.3f} {sum(a[2] for a, _ in rows):7.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ptq.arguments(parser)
    parser.add_argument("--forms", default="int8,int4,tensor")
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--only", default="")
    parser.add_argument("tool", nargs="*", help="recipes to compare in place of the built-in lists; the first is the reference")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    only = [n for n in args.only.split(",") if n]
    for form, tools in {"given": args.tool}.items() if args.tool else {f: TOOLS[f] for f in args.forms.split(",")}.items():
        results = {}
        for name, path, samples in cases():
            if only and name not in only:
                continue
            results[name] = measure(args, name, path, samples, tools)
            print(f"{name:12} " + "  ".join(f"{t.removeprefix('squeeze')[:40] or 'default'} {v[0]:.2f}" for t, v in results[name].items()),
                  flush=True)
        table(form, tools, results)


if __name__ == "__main__":
    main()
