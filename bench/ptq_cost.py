#!/usr/bin/env python3
"""CPU time and memory of quantizing ResNet-18 and MobileNetV2 at 224x224 with 128 calibration samples, beside NNCF on OpenVINO.

    bench/zoo.py --only mbv2,resnet18
    bench/ptq_cost.py [--rounds 3] [--only mbv2] [--peers nncfov] [--nncf PYTHON] [--aimet PYTHON]

Tools take turns; the figure is the least CPU time of the rounds (user and system), as whatever else a machine does can only
add to it. Ours is the whole process, peers' without their imports. Memory is the peak of resident memory, which holds the
calibration data only where a tool keeps it: 77 MB of it here, one file for all. Bars: at most half of the peer's time and
memory, each at equal or better signal-to-noise ratio of the outputs against float; entropy and percentile at most 1.2
times min-max.
"""
import argparse
import math
import pathlib
import sys

import numpy as np
import ptq

SHAPES = {"mbv2": (3, 224, 224), "resnet18": (3, 224, 224), "resnet8": (3, 32, 32)}
OURS = ["squeeze", "squeeze:calibrator=minmax", "squeeze:calibrator=percentile", "squeeze:calibrator=entropy"]


def snr(ref, got):
    return 10 * math.log10(np.square(ref, dtype=np.float64).sum() / np.square(got.astype(np.float64) - ref).sum())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ptq.arguments(parser)
    parser.add_argument("--zoo", type=pathlib.Path, default=ptq.ROOT / "build/bench/zoo")
    parser.add_argument("--only", default="mbv2,resnet18")
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default="nncfov")
    parser.add_argument("--ours", action="append", help="tools of ours (default: each calibrator)")
    args = parser.parse_args()
    ours, bad = args.ours or OURS, 0
    for model in args.only.split(","):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((args.samples + 16, *SHAPES[model]), dtype=np.float32)
        calib, path = ptq.save(args.work / f"{model}_calib.npz", x[:args.samples]), args.zoo / f"{model}.onnx"
        ref, best, cpu = ptq.outputs(path, x[args.samples:]), {}, {}
        tools = [t for t in args.peers.split(",") if t] + ours
        for _ in range(args.rounds):
            for k, tool in enumerate(tools):
                made = ptq.quantize(args, tool, path, calib, args.work / f"{model}_{k}.onnx")
                if made.error:
                    sys.exit(f"{tool}: {made.error}")
                cpu.setdefault(tool, []).append(made.cpu)
                best[tool] = made if tool not in best or made.cpu < best[tool].cpu else best[tool]
        print(f"{model}, {args.samples} samples\n{'tool':34} {'CPU s':>7} {'of peer':>8} {'of min-max':>10} {'MB':>6} {'of peer':>8} "
              f"{'SNR dB':>7}  CPU s of each round")
        peer = best[tools[0]] if args.peers else None
        plain = best.get("squeeze:calibrator=minmax")
        for tool, made in best.items():
            time, memory = (made.cpu / peer.cpu, made.peak / peer.peak) if peer else (math.nan, math.nan)
            more = made.cpu / plain.cpu if plain and tool.startswith("squeeze") else math.nan
            got = ptq.outputs(made.path, x[args.samples:])
            bad += tool in ours and (time > 0.5 or memory > 0.5 or more > 1.2)
            print(f"{tool:34} {made.cpu:7.2f} {time:8.2f} {more:10.2f} {made.peak:6.0f} {memory:8.2f} {snr(ref, got):7.2f}  "
                  f"{' '.join(f'{c:.2f}' for c in cpu[tool])}", flush=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
