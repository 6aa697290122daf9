#!/usr/bin/env python3
"""Distillation on Fashion-MNIST: the half-width student (19.8 k parameters) of a ResNet-8-type teacher, trained from
nothing with one loss after the other.

    bench/distill.py --teacher resnet8.onnx [--squeeze build/release/squeeze] [--seeds 5] [--epochs 5,20]
                     [--losses none,kd,...] [--threads 1]

The teacher's file must have its batch norms: students are made of it (torch.onnx.export with
training=TrainingMode.PRESERVE, do_constant_folding=False).

Top-1 on `test` (10,000 images) of the epoch that is best on `valid` (5,000 of the training images): mean and standard
error over seeds, and the gain over no teacher with its standard error, seed by seed. Same optimizer, schedule,
batches and flips for all. Weights and temperatures below are first guesses: none was searched for yet. Needs nothing but Python.
"""
import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOSSES = {
    "none": None,
    "kd": "ce(weight=0.3),kd(temperature=4 weight=0.7)",
    "dkd": "ce,dkd(temperature=4 alpha=0.25 beta=0.5)",
    "hint": "ce(weight=0.3),kd(temperature=4 weight=0.7),hint(weight=1)",
    "attention": "ce(weight=0.3),kd(temperature=4 weight=0.7),attention(weight=100)",
    "rkd": "ce(weight=0.3),kd(temperature=4 weight=0.7),rkd(distance=1 angle=2)",
    "sp": "ce(weight=0.3),kd(temperature=4 weight=0.7),sp(weight=100)",
    "crd": "ce(weight=0.3),kd(temperature=4 weight=0.7),crd(weight=0.05)",
}
COMMON = ["--student", "width=0.5", "--init", "random", "--batch", 128, "--lr", 0.1, "--decay", 1e-4,
          "--optimizer", "sgd(momentum=0.9 nesterov=1)", "--schedule", "onecycle(rise=0.2)", "--augment", "flip",
          "--metric", "top1", "--restart", "--json"]


def call(command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def prepare(args, work):
    """The set as the teacher knows it: of mean 0 and deviation 1."""
    spec = (ROOT / "datasets" / "fashion-mnist.yaml").read_text()
    if "{divide: 255}" not in spec:
        sys.exit("datasets/fashion-mnist.yaml has another transform than expected")
    (work / "set.yaml").write_text(spec.replace("{divide: 255}", "{divide: 255, mean: 0.2860, std: 0.3530}"))
    call([args.squeeze, "prepare", work / "set.yaml", "-o", work / "fashion.h5"])
    return work / "fashion.h5"


def train(args, data, work, name, seed, epochs):
    text = LOSSES.get(name, name)
    command = [args.squeeze, "distill", "--teacher", args.teacher, "--data", data, "--epochs", epochs, "--seed", seed,
               "--loss", text or "ce", "--threads", args.threads, "-o", work / "student.onnx", *COMMON]
    report = json.loads(call(command))
    training = report["training"]
    if training["teacher"] < 0.85:
        sys.exit(f"the teacher has {100 * training['teacher']:.1f} % on valid: it was trained on other samples")
    best = training["epochs"][training["best_epoch"] - 1]["metric"]
    return 100 * report["accuracy"]["metrics"]["top1"]["value"], 100 * best


def mean(values):
    m = sum(values) / len(values)
    if len(values) < 2:
        return m, math.nan
    return m, math.sqrt(sum((v - m) ** 2 for v in values) / (len(values) - 1) / len(values))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--squeeze", default=ROOT / "build" / "release" / "squeeze")
    p.add_argument("--teacher", required=True)
    p.add_argument("--data", help="prepared set; made from datasets/fashion-mnist.yaml where it is not given")
    p.add_argument("--seeds", type=int, default=5)
    p.add_argument("--epochs", default="5,20")
    p.add_argument("--losses", default=",".join(LOSSES))
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        data = args.data or prepare(args, work)
        for epochs in map(int, args.epochs.split(",")):
            print(f"\n{epochs} epochs, {args.seeds} seeds\n\n| loss | test | valid | over no teacher |\n|---|---|---|---|")
            alone = None
            for name in args.losses.split(","):
                runs = [train(args, data, work, name, seed, epochs) for seed in range(args.seeds)]
                test, valid = (mean([r[i] for r in runs]) for i in range(2))
                alone = alone or [r[0] for r in runs]
                gain = mean([r[0] - a for r, a in zip(runs, alone)])
                print(f"| {name} | {test[0]:.2f} ± {test[1]:.2f} | {valid[0]:.2f} ± {valid[1]:.2f} | "
                      f"{gain[0]:+.2f} ± {gain[1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
