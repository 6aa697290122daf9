#!/usr/bin/env python3
"""Weights int4, activations int8, on the Fashion-MNIST networks of ../shared/peers/fm.py, beside AIMET's AdaRound and ONNX Runtime.

    T=1 python ../shared/peers/fm.py resnet8 0 5      # makes fm_resnet8_s0.onnx; dscnn, and seeds 1 and 2 likewise
    bench/fashion_int4.py --models FOLDER --aimet PYTHON [--seeds 0,1,2] [--only dscnn]

Calibration: 256 training images, the same for all; the test split (10,000) is looked at once for each result. Our figures
are those of ONNX Runtime on the exported file, beside them squeeze's own. Bars: ResNet-8 not below AIMET's AdaRound, DS-CNN
at most 0.28 points below float (90.55 of 90.83), both in at most a quarter of AIMET's CPU time. Differences are paired, with
their standard errors.
"""
import argparse
import gzip
import pathlib
import sys

import numpy as np
import ptq

DATA = pathlib.Path("/usr/share/datasets/fashion-mnist")  # Debian: dataset-fashion-mnist
PEERS = ["ort:w4", "aimet:w4", "aimet:w4:cle", "aimet:w4:seqmse", "aimet:w4:adaround"]


def fashion(split):
    def read(kind, header):
        return np.frombuffer(gzip.open(DATA / f"{split}-{kind}-ubyte.gz").read(), np.uint8, offset=header)

    x = read("images-idx3", 16).reshape(-1, 1, 28, 28).astype(np.float32)
    return (x / 255 - 0.2860) / 0.3530, read("labels-idx1", 8).astype(np.int64)


def run(args, net, seed):
    model = args.models / f"fm_{net}_s{seed}.onnx"
    if not model.exists():
        sys.exit(f"{model}: no such file; fm.py makes it (see --help)")
    calib = ptq.save(args.work / "fashion_calib.npz", fashion("train")[0][:256])
    x, y = fashion("t10k")
    ref, seen = ptq.outputs(model, x), {}
    print(f"{net}, seed {seed}, float {100 * (ptq.decisions(ref) == y).mean():.2f}\n{ptq.HEAD}")
    for k, tool in enumerate([t for t in args.peers.split(",") if t] + [args.ours]):
        if tool.startswith("aimet") and not args.aimet:
            continue
        made = ptq.quantize(args, tool, model, calib, args.work / f"{net}{seed}_{k}.onnx")
        if made.error:
            print(f"{tool}: {made.error}")
            continue
        # AIMET's figures are those of its file as ONNX defines it: fused forms of its pairs differ
        score = ptq.judge(ref, ptq.outputs(made.path, x, plain=tool.startswith("aimet")), y)
        seen[tool] = (score, made)
        print(ptq.line(tool, score, made, model), flush=True)
        if tool == args.ours:
            print(ptq.line("  the same in squeeze", ptq.judge(ref, ptq.own_outputs(args, made.path, x), y)), flush=True)
    return compare(args, net, seen)


def compare(args, net, seen):
    """Number of broken bars."""
    if args.ours not in seen:
        return 1
    (ours, made), bad = seen[args.ours], 0
    for tool, (score, peer) in seen.items():
        if tool != args.ours:
            far, error = ptq.paired(ours.hit, score.hit)
            print(f"  ours - {tool:24} {far:+.2f} +- {error:.2f} points, {made.cpu / peer.cpu:.2f} of its CPU time")
    ada = seen.get("aimet:w4:adaround")
    if ada:
        bad += made.cpu > 0.25 * ada[1].cpu
        bad += net == "resnet8" and ours.top1 < ada[0].top1
    return bad + (net == "dscnn" and ours.change < -0.28)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ptq.arguments(parser)
    parser.add_argument("--models", type=pathlib.Path, required=True)
    parser.add_argument("--only", default="resnet8,dscnn")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--ours", default="squeeze:weights=4:method=adaround")
    parser.add_argument("--peers", default=",".join(PEERS))
    args = parser.parse_args()
    sys.exit(1 if sum(run(args, net, int(s)) for net in args.only.split(",") for s in args.seeds.split(",")) else 0)


if __name__ == "__main__":
    main()
