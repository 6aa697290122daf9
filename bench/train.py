#!/usr/bin/env python3
"""Training steps of squeeze beside PyTorch's on the CPU: images per second, memory, gradients.

    ninja -C build/release bench_train
    bench/train.py [--program build/release/bench_train] [--only MODEL,...] [--threads 1,2] [--rounds 5] [--quick]
                   [--check] [--json build/bench/train.json]

Needs torch (CPU) and onnx. The networks are those of train_models.py; both sides start from the same numbers: the
ONNX file has them with its batch norms, as training needs it.

Speed. A step is forward, backward and SGD with momentum, float32, on one random batch. PyTorch runs in the default
and in the channels-last layout, with --compile also through torch.compile; squeeze runs bench_train. Each is a process
of its own on the same cores; they take turns, the others being stopped meanwhile. A turn counts when other processes
used less than --quiet of our cores meanwhile, a rule that does not look at the result; where too few count, the least
disturbed half does. Medians, and spread ((largest - smallest) / median). `ratio`: images/s of squeeze over those of
PyTorch's best.

Memory: the peak of resident memory beyond that before the model was loaded (for PyTorch: after import torch).

--check: the loss and the gradient of every parameter after one step on the same numbers, batch norms in training mode,
against PyTorch's in double: the largest difference, relative to the largest number of that gradient, must be at most
1e-4, or three times that of PyTorch in float (networks in which one ReLU that turns over moves whole gradients). Exit
status 1 otherwise.
"""
import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

from turns import Worker, busy, memory

BAR = 1e-4


# ---- PyTorch's process ----
def serve(name, layout, threads):
    import torch

    import train_models as models
    torch.set_num_threads(threads)
    start = memory("VmRSS")
    model = models.build(name)
    x, target = models.data(name)
    if layout == "last":
        model = model.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    forward = torch.compile(model) if layout == "compile" else model

    def step():
        loss = models.loss_of(name, forward(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for _ in range(3):
        step()
    print("ready", flush=True)
    for line in sys.stdin:
        if line.startswith("peak"):
            print(memory("VmHWM") - start, flush=True)
            continue
        n, begin, span = 0, time.perf_counter(), float(line.split()[1])
        while True:
            step()
            n += 1
            took = time.perf_counter() - begin
            if took >= span:
                break
        print(took / n, flush=True)


# ---- turns ----
def turn(args, worker, cores):
    """Seconds of a step, and the share of our cores that others used."""
    begin, all_before, own_before = time.perf_counter(), busy(cores), worker.cpu()
    seconds = float(worker.ask(f"run {args.span}"))
    span = time.perf_counter() - begin
    return seconds, max(0.0, busy(cores) - all_before - (worker.cpu() - own_before)) / span / len(cores)


def kept(args, turns):
    quiet = [s for s, others in turns if others < args.quiet]
    return quiet if len(quiet) >= 3 else [s for s, _ in sorted(turns, key=lambda t: t[1])[:max(1, len(turns) // 2)]]


def speed(args, name, folder, threads):
    import train_models as models
    _, sample, classes, batch, wanted = models.MODELS[name]
    cores = set(args.cores[:threads])
    python = [sys.executable, __file__, "--serve", name, "--threads", str(threads), "--layout"]
    commands = {"squeeze": [args.program, str(folder / f"{name}.onnx"), str(batch), "ce" if classes else "mse", "-j",
                            str(threads)], "torch": python + ["default"]}
    if len(sample) == 3:
        commands["torch last"] = python + ["last"]
    if args.compile:
        commands["torch compile"] = python + ["compile"]
    workers = {key: Worker(command, cores) for key, command in commands.items()}
    workers = {key: w for key, w in workers.items() if w.ready}
    turns = {key: [] for key in workers}
    for _ in range(args.rounds):
        for key, w in workers.items():
            turns[key].append(turn(args, w, cores))
    row = {"model": name, "threads": threads, "batch": batch, "wanted": wanted}
    for key, w in workers.items():
        times = kept(args, turns[key])
        middle = statistics.median(times)
        row[key] = {"images": batch / middle, "ms": middle * 1e3, "spread": (max(times) - min(times)) / middle,
                    "kept": len(times), "peak": float(w.ask("peak"))}
        w.close()
    if "squeeze" in row:
        best = max((k for k in row if k.startswith("torch")), key=lambda k: row[k]["images"])
        row["best"] = best
        row["ratio"] = row["squeeze"]["images"] / row[best]["images"]
        row["memory"] = row["squeeze"]["peak"] / row[best]["peak"]
    return row


def show(row):
    ours, best = row["squeeze"], row[row["best"]]
    print(f"{row['model']:12} {row['threads']} thread{'s' * (row['threads'] > 1):1} {ours['images']:9.0f} images/s "
          f"(spread {ours['spread']:4.0%})  {row['best']:13} {best['images']:9.0f} ({best['spread']:4.0%})  "
          f"ratio {row['ratio']:5.2f} (wanted {row['wanted']})  memory {ours['peak'] / 1e6:6.1f} of "
          f"{best['peak'] / 1e6:6.1f} MB: {row['memory']:4.2f}", flush=True)


# ---- gradients ----
def gradients(args, name, folder):
    """Largest relative difference of a gradient, with its name."""
    import numpy as np
    import torch

    import train_models as models
    _, _, classes, batch, _ = models.MODELS[name]
    x, target = models.data(name)
    wide = models.build(name).double()
    loss = models.loss_of(name, wide(x.double()), target if classes else target.double())
    loss.backward()
    model = models.build(name)
    models.loss_of(name, model(x), target).backward()
    label = torch.nn.functional.one_hot(target, classes).float() if classes else target
    x.numpy().tofile(folder / "x")
    label.numpy().tofile(folder / "label")
    worker = Worker([args.program, str(folder / f"{name}.onnx"), str(batch), "ce" if classes else "mse"], {0, 1})
    if not worker.ready:
        return 1.0, "bench_train failed", 0, 0.0
    listed = [n.rsplit(":", 1) for n in worker.ask("names").split()]
    names, counts = [n for n, _ in listed], [int(c) for _, c in listed]
    ours = float(worker.ask(f"step {folder / 'x'} {folder / 'label'} {folder / 'grads'}"))
    worker.close()
    got, at, worst = np.fromfile(folder / "grads", np.float32), 0, (abs(ours - loss.item()) / abs(loss.item()), "loss")
    # A bias in front of a batch norm has gradient 0; what is there is rounding of the numbers around it.
    parameters = dict(wide.named_parameters())
    floor = 1e-3 * max(float(p.grad.abs().max()) for p in parameters.values())
    own = max(float((p.grad - parameters[k].grad).abs().max() / max(float(parameters[k].grad.abs().max()), floor))
              for k, p in model.named_parameters())
    left = {k: p.grad.numpy() for k, p in parameters.items()}
    for key, count in zip(names, counts):
        mine = got[at:at + count]
        at += count
        key = key if key in left else nearest(left, mine)
        theirs = left.pop(key).reshape(-1)
        if theirs.size != mine.size:
            return 1.0, f"{key} has {mine.size} numbers", len(names), 0.0
        if not np.allclose(theirs, mine, rtol=1e-2, atol=1e-2 * np.abs(theirs).max()) and theirs.size:
            turned = parameters[key].grad.T.numpy().reshape(-1) if parameters[key].dim() == 2 else theirs
            theirs = turned if np.abs(turned - mine).max() < np.abs(theirs - mine).max() else theirs
        worst = max(worst, (float(np.abs(theirs - mine).max() / max(float(np.abs(theirs).max()), floor)), key))
    if left:
        return 1.0, f"no gradients of {', '.join(left)}", len(names), 0.0
    return worst + (len(names), own)


def nearest(left, mine):
    """Constants that the exporter named anew (transposed weights of products): by size and numbers."""
    import numpy as np
    fits = [k for k, g in left.items() if g.size == mine.size]
    order = {k: np.abs(np.sort(left[k].reshape(-1)) - np.sort(mine)).max() for k in fits}
    return min(order, key=order.get) if order else next(iter(left))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/release/bench_train")
    parser.add_argument("--only")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--span", type=float, default=1.0, help="seconds of a turn")
    parser.add_argument("--quiet", type=float, default=0.05)
    parser.add_argument("--quick", action="store_true", help="three short rounds on one thread")
    parser.add_argument("--compile", action="store_true", help="torch.compile too")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--json", type=pathlib.Path, default=pathlib.Path("build/bench/train.json"))
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--layout", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args.serve, args.layout, int(args.threads))
    import train_models as models
    if args.quick:
        args.rounds, args.span, args.threads = 3, 0.4, "1"
    args.cores = sorted(os.sched_getaffinity(0))
    names = args.only.split(",") if args.only else list(models.MODELS)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    failed, rows = False, json.loads(args.json.read_text()) if args.json.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in names:
            models.export(name, folder / f"{name}.onnx")
            if args.check:
                worst, where, n, own = gradients(args, name, folder)
                good = worst <= max(BAR, 3 * own)
                failed = failed or not good
                print(f"{name:12} {n:3} gradients, largest difference {worst:.1e} ({where}), of PyTorch in float "
                      f"{own:.1e}{'' if good else '  TOO LARGE'}", flush=True)
                continue
            for threads in map(int, args.threads.split(",")):
                row = speed(args, name, folder, threads)
                if "ratio" not in row:
                    print(f"{name:12} bench_train failed")
                    failed = True
                    continue
                show(row)
                rows[f"{name} {threads}"] = row
                args.json.write_text(json.dumps(rows, indent=1))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
