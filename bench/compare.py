#!/usr/bin/env python3
"""squeeze beside ONNX Runtime and OpenVINO: speed, start and memory, on the networks of zoo.py.

    bench/compare.py [--zoo build/bench/zoo] [--only MODEL,...] [--forms float,int8] [--threads 1,2] [--rounds 5]
                     [--start] [--check] [--json build/bench/compare.json] [--print]

Speed. Every engine is a process of its own that holds the loaded model and waits; the others are stopped while one
runs, so that no engine's spinning threads disturb another. They take turns in rounds; a round of an engine counts only
when other processes used less than --quiet of our cores meanwhile, a rule that does not look at the result. Medians and
spread ((largest - smallest) / median) of what counted. int8: squeeze runs what squeeze quantize makes, the others what
ONNX Runtime's quantizer makes with unsigned activations, their fast form. `ratio` is the time of the faster of the two
over that of squeeze: above 1, squeeze is faster.

--start: time from the path of the model to the first result, and the peak of resident memory meanwhile beyond that of
Python with numpy (the library's own code counts, the interpreter does not: what a small C program would need), each in
a fresh process, median of --rounds. Wanted: memory at most 0.7 of ONNX Runtime's, start 3 times sooner.

--check: outputs. Float: largest difference from ONNX Runtime's, relative to its largest number. int8: the same bytes
as with SQZ_CPU=scalar.

Results are added to the JSON file, so that parts can be measured one after the other; --print only prints it.
"""
import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np

import engines
import zoo
from turns import Worker, busy, memory

BATCHES = {"resnet8": (1, 32), "dscnn": (1, 32), "mbv1_025": (1, 32), "fc_ae": (1, 128), "mbv2": (1, 16),
           "resnet18": (1, 16), "resnet50": (1, 8), "bert": (1, 16)}
FORMS = {"float": {"squeeze": "", "ort": "", "ov": ""}, "int8": {"squeeze": ".sqz", "ort": ".u8", "ov": ".u8"}}


# ---- the other process ----
def serve(engine, path, model, batch, threads):
    """Loads, then answers lines: "run SECONDS" with seconds per run, "save FILE"."""
    engine = engines.ENGINES[engine]
    engine.load_library()
    runner = engine(path, zoo.samples(model, batch), threads)
    runner.run()
    print("ready", flush=True)
    for line in sys.stdin:
        word, value = line.split()
        if word == "save":
            np.save(value, runner.output())
            print("saved", flush=True)
            continue
        n, begin, span = 0, time.perf_counter(), float(value)
        while True:
            runner.run()
            n += 1
            took = time.perf_counter() - begin
            if took >= span:
                break
        print(took / n, flush=True)


def start_once(engine, path, model, threads):
    """Seconds and bytes of a fresh start, as JSON."""
    x = zoo.samples(model, 1)
    base = memory("VmRSS")
    engine = engines.ENGINES[engine]
    engine.load_library()
    library = memory("VmRSS")
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")  # the peak begins anew
    begin = time.perf_counter()
    runner = engine(path, x, threads)
    loaded = time.perf_counter()
    runner.run()
    first = time.perf_counter()
    peak = memory("VmHWM")
    print(json.dumps({"load": loaded - begin, "first": first - loaded, "base": base, "library": library, "peak": peak}))


def started(args, engine, path, model, batch, threads, env=None):
    return Worker([sys.executable, __file__, "--serve", engine, "--model", str(path), "--only", model, "--batch", str(batch),
                   "--threads", str(threads)], args.cores[:threads], env)


def keep(args, key, value):
    """A result, at once: a run may be cut short."""
    args.results[key] = value
    args.json.write_text(json.dumps(args.results, indent=1))


# ---- speed ----
def measured(args, worker, cores):
    """Seconds per run, or None when others used our cores."""
    begin, all_before, own_before = time.perf_counter(), busy(cores), worker.cpu()
    seconds = float(worker.ask(f"run {args.span}"))
    span = time.perf_counter() - begin
    foreign = (busy(cores) - all_before) - (worker.cpu() - own_before)
    return seconds if foreign / span < args.quiet * len(cores) else None


def rounds(args, workers, cores):
    times, rejected = {k: [] for k in workers}, dict.fromkeys(workers, 0)
    for k, w in workers.items():
        w.ask("run 0.02")
    for _ in range(3 * args.rounds):
        for k, w in workers.items():
            if len(times[k]) >= args.rounds:
                continue
            seconds = measured(args, w, cores)
            if seconds is None:
                rejected[k] += 1
                time.sleep(0.2)
            else:
                times[k].append(seconds)
        if all(len(t) >= args.rounds for t in times.values()):
            break
    return times, rejected


def speed(args, model, form, batch, threads):
    cores = args.cores[:threads]
    workers = {}
    try:
        for engine in args.engines:
            path = args.zoo / f"{model}{FORMS[form][engine]}.onnx"
            worker = started(args, engine, path, model, batch, threads)
            if worker.ready:
                workers[engine] = worker
            else:
                worker.close()
        times, rejected = rounds(args, workers, set(cores))
    finally:
        for w in workers.values():
            w.close()
    for engine, t in times.items():
        if t:
            middle = statistics.median(t)
            keep(args, f"speed {model} {form} {batch} {threads} {engine}",
                 {"seconds": middle, "spread": (max(t) - min(t)) / middle, "kept": len(t), "rejected": rejected[engine]})
    print(line_of(args.results, model, form, batch, threads), flush=True)


# ---- start ----
def start(args, model, form):
    for engine in args.engines:
        path = args.zoo / f"{model}{FORMS[form][engine]}.onnx"
        path.read_bytes()  # into the page cache
        got = []
        for _ in range(args.rounds):
            done = subprocess.run([sys.executable, __file__, "--start-once", engine, "--model", str(path), "--only", model,
                                   "--threads", "1"], capture_output=True, text=True,
                                  preexec_fn=lambda: os.sched_setaffinity(0, args.cores[:1]))
            if done.returncode == 0:
                got.append(json.loads(done.stdout.splitlines()[-1]))
        if got:
            keep(args, f"start {model} {form} {engine}", {k: statistics.median(g[k] for g in got) for k in got[0]})
    print(start_line(args.results, model, form), flush=True)


# ---- outputs ----
def output(args, engine, path, model, batch, env=None):
    worker = started(args, engine, path, model, batch, 1, env)
    file = args.json.with_name(f"out-{os.getpid()}.npy")
    worker.ask(f"save {file}")
    worker.close()
    y = np.load(file)
    file.unlink()
    return y


def check(args, model):
    y = {e: output(args, e, args.zoo / f"{model}.onnx", model, 2) for e in args.engines}
    far = {e: float(np.abs(y[e] - y["ort"]).max() / np.abs(y["ort"]).max()) for e in y}
    path = args.zoo / f"{model}.sqz.onnx"
    fast, scalar = (output(args, "squeeze", path, model, 2, env) for env in (None, {"SQZ_CPU": "scalar"}))
    u8 = output(args, "ort", args.zoo / f"{model}.u8.onnx", model, 2)
    noise = {k: float(10 * math.log10(np.square(y["ort"]).sum() / np.square(v - y["ort"]).sum()))
             for k, v in (("squeeze", fast), ("ort", u8))}
    keep(args, f"check {model}", {"far": far, "scalar": bool(np.array_equal(fast, scalar)), "snr": noise})
    print(f"{model:10} float off by {far['squeeze']:.1e} (OpenVINO {far.get('ov', 0):.1e}); int8 "
          f"{'the same bytes as scalar' if np.array_equal(fast, scalar) else 'DIFFERS FROM SCALAR'}, "
          f"{noise['squeeze']:.1f} dB from float (ONNX Runtime's {noise['ort']:.1f})", flush=True)


# ---- tables ----
def line_of(results, model, form, batch, threads):
    cells, found = [], {}
    for engine in ("squeeze", "ort", "ov"):
        r = results.get(f"speed {model} {form} {batch} {threads} {engine}")
        if r:
            found[engine] = r["seconds"]
            g = 2 * results["macs"][model] * batch / r["seconds"] / 1e9
            cells.append(f"{r['seconds'] * 1e3:9.3f} {g:6.1f} {100 * r['spread']:3.0f}%")
        else:
            cells.append(f"{'-':>9} {'-':>6} {'-':>4}")
    peers = [found[e] for e in ("ort", "ov") if e in found]
    ratio = min(peers) / found["squeeze"] if peers and "squeeze" in found else math.nan
    own = results.get(f"speed {model} float {batch} {threads} squeeze")
    gain = own["seconds"] / found["squeeze"] if form == "int8" and own and "squeeze" in found else math.nan
    return f"{model:9} {form:5} {batch:4} {threads:2} | {' | '.join(cells)} | {ratio:5.2f}" + \
        (f" {gain:6.2f}" if form == "int8" else "")


def geometric(values):
    values = [v for v in values if not math.isnan(v)]
    return math.exp(statistics.fmean(map(math.log, values))) if values else math.nan


def keys(results, kind):
    return [k.split()[1:] for k in results if k.startswith(kind + " ")]


def print_speed(results):
    rows = sorted({tuple(k[:4]) for k in keys(results, "speed")},
                  key=lambda r: (list(BATCHES).index(r[0]), r[1], int(r[3]), int(r[2])))
    if not rows:
        return
    print("ms, GOP/s and spread of squeeze, ONNX Runtime and OpenVINO; ratio to the faster of the two; float over int8")
    print("model     form batch  t |     squeeze             |     ONNX Runtime        |     OpenVINO            | ratio")
    groups = {}
    for model, form, batch, threads in rows:
        line = line_of(results, model, form, int(batch), int(threads))
        print(line)
        tail = line.rsplit("|", 1)[1].split()
        groups.setdefault((form, threads), []).append([float(v) for v in tail])
    for (form, threads), values in sorted(groups.items()):
        text = f"geometric mean, {form}, {threads} threads: ratio {geometric(v[0] for v in values):.2f}, " \
               f"worst {min(v[0] for v in values):.2f}"
        if form == "int8":
            text += f"; int8 over our float {geometric(v[1] for v in values if len(v) > 1):.2f}"
        print(text)


def start_line(results, model, form):
    r = {e: results.get(f"start {model} {form} {e}") for e in ("squeeze", "ort", "ov")}
    cells = [f"{1e3 * (v['load'] + v['first']):8.1f} {(v['peak'] - v['base']) / 2**20:7.1f}" if v else f"{'-':>8} {'-':>7}"
             for v in r.values()]
    a, b = r["squeeze"], r["ort"]
    if not a or not b:
        return f"{model:9} {form:5} | {' | '.join(cells)}"
    sooner = (b["load"] + b["first"]) / (a["load"] + a["first"])
    share = (a["peak"] - a["base"]) / (b["peak"] - b["base"])
    return f"{model:9} {form:5} | {' | '.join(cells)} | {sooner:6.2f} {share:6.2f}"


def print_start(results):
    rows = sorted({tuple(k[:2]) for k in keys(results, "start")}, key=lambda r: (list(BATCHES).index(r[0]), r[1]))
    if not rows:
        return
    print("\nms from path to first result, and MiB at the peak, of squeeze, ONNX Runtime and OpenVINO; how much sooner than"
          "\nONNX Runtime (3 is wanted), share of its memory (0.7 is wanted); one thread")
    for model, form in rows:
        print(start_line(results, model, form))


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zoo", type=pathlib.Path, default=root / "build/bench/zoo")
    parser.add_argument("--only", default=",".join(BATCHES))
    parser.add_argument("--forms", default="float,int8")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--batch", default="", help="small, large; both when not given")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--span", type=float, default=0.15, help="seconds of a round of one engine")
    parser.add_argument("--quiet", type=float, default=0.12, help="share of our cores that others may use in a round that counts")
    parser.add_argument("--engines", default="squeeze,ort,ov")
    parser.add_argument("--start", action="store_true", help="measure start and memory, not speed")
    parser.add_argument("--check", action="store_true", help="compare outputs, not speed")
    parser.add_argument("--print", action="store_true", help="print the tables of the JSON file")
    parser.add_argument("--json", type=pathlib.Path, default=root / "build/bench/compare.json")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--start-once", help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args.serve, args.model, args.only, int(args.batch), int(args.threads))
    if args.start_once:
        return start_once(args.start_once, args.model, args.only, int(args.threads))
    args.cores = sorted(os.sched_getaffinity(0))
    args.engines = args.engines.split(",")
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.results = json.loads(args.json.read_text()) if args.json.exists() else {}
    macs = args.results.setdefault("macs", {})
    models = args.only.split(",")
    for model in models:
        if model not in macs and not args.print:
            import onnx
            macs[model] = zoo.multiply_adds(onnx.load(args.zoo / f"{model}.onnx"))
    for model in [] if args.print else models:
        if args.check:
            check(args, model)
            continue
        for form in args.forms.split(","):
            if args.start:
                start(args, model, form)
                continue
            for threads in map(int, args.threads.split(",")):
                if threads > len(args.cores):
                    print(f"{threads} threads want as many cores; there are {len(args.cores)}")
                    continue
                for batch in BATCHES[model][slice(0, 1) if args.batch == "small" else slice(1, 2)
                                            if args.batch == "large" else slice(2)]:
                    speed(args, model, form, batch, threads)
    if args.print or len(models) > 1:
        print_speed(args.results)
        print_start(args.results)


if __name__ == "__main__":
    main()
