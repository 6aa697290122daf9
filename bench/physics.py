#!/usr/bin/env python3
"""Knowledge as a loss: where a thrown ball is a second later (datasets/physics), learned with and without the
equation of motion, by the same network of 94 numbers from the same throws, of which few were seen to the end.

    bench/physics.py [--build build/release] [--seeds 5] [--epochs 400]

For each seed (of the throws and of the training): root mean square error on 2,000 throws that nobody has seen, the
epoch being chosen on `valid`; what gravity and drag came out. Needs nothing but Python.
"""
import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PHYSICS = ROOT / "datasets" / "physics"
GRAVITY, DRAG = 9.81, 0.02


def call(command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def train(args, work, seed, loss):
    out = work / f"{loss}.onnx"
    report = call(
        [args.build / "squeeze", "distill", PHYSICS / "network.onnx", "--data", work / "throws.h5",
         "--loss", f'graph(file="{PHYSICS / loss}.onnx" rate=10)', "--epochs", args.epochs, "--batch", 128,
         "--optimizer", "adam", "--lr", 0.01, "--init", "random", "--metric", "mse", "--seed", seed,
         "--restart", "--threads", 1, "-o", out, "--json"])
    return json.loads(report)


def error(report):
    """Root mean square distance, m: mse is the mean over both coordinates."""
    return math.sqrt(2 * report["accuracy"]["metrics"]["mse"]["value"])


def mean(values):
    m = sum(values) / len(values)
    spread = math.sqrt(sum((v - m) ** 2 for v in values) / max(len(values) - 1, 1))
    return m, spread


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    p.add_argument("--seeds", type=int, default=5)
    p.add_argument("--epochs", type=int, default=400)
    args = p.parse_args()
    rows = []
    print("| seed | without, m | with the equation, m | ratio | g | k |\n|---|---|---|---|---|---|")
    for seed in range(1, args.seeds + 1):
        with tempfile.TemporaryDirectory() as folder:
            work = pathlib.Path(folder)
            call([args.build / "throws", work / "throws.h5", seed])
            plain, law = train(args, work, seed, "seen"), train(args, work, seed, "motion")
        row = error(plain), error(law), last(law, "g"), last(law, "k")
        rows.append(row)
        print(f"| {seed} | {row[0]:.3f} | {row[1]:.3f} | {row[0] / row[1]:.1f} | {row[2]:.3f} | {row[3]:.4f} |",
              flush=True)
    a, b, g, k = (mean([r[i] for r in rows]) for i in range(4))
    print(f"| mean ± sd | {a[0]:.3f} ± {a[1]:.3f} | {b[0]:.3f} ± {b[1]:.3f} | {a[0] / b[0]:.1f} | "
          f"{g[0]:.3f} ± {g[1]:.3f} | {k[0]:.4f} ± {k[1]:.4f} |")
    off = max(abs(r[2] / GRAVITY - 1) for r in rows)
    print(f"\ngravity is off by {100 * off:.2f} % at most (true: {GRAVITY}), drag by "
          f"{100 * max(abs(r[3] / DRAG - 1) for r in rows):.0f} % (true: {DRAG})")
    sys.exit(0 if a[0] >= 2 * b[0] and off <= 0.02 else 1)


def last(report, name):
    return next(r["value"] for r in report["training"]["epochs"][-1]["reports"] if r["name"] == name)


if __name__ == "__main__":
    main()
