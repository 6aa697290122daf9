"""What the post-training quantization benches share: one tool quantizes one model in one process, outputs are judged in
pairs on the same samples.

A tool is written FAMILY[:WORD...]. Families: squeeze, ort (ONNX Runtime), nncf, nncfov (NNCF with OpenVINO), aimet. Words of the
peers are in ptq_peers.py; squeeze's words are options of `squeeze quantize`, an `=` between option and value.
"""
import dataclasses
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent


@dataclasses.dataclass
class Made:
    """A quantized model, and what making it cost: CPU seconds, wall seconds, peak of resident memory in MB."""
    path: pathlib.Path
    cpu: float = math.nan
    wall: float = math.nan
    peak: float = math.nan
    error: str = ""


def arguments(parser):
    parser.add_argument("--shared", type=pathlib.Path, default=ROOT.parent / "shared")
    parser.add_argument("--squeeze", default=str(ROOT / "build/release/squeeze"))
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/bench/ptq")
    parser.add_argument("--nncf", default=os.environ.get("SQZ_PYTHON_NNCF", sys.executable),
                        help="Python that has nncf and openvino (default: $SQZ_PYTHON_NNCF, else this one)")
    parser.add_argument("--aimet", default=os.environ.get("SQZ_PYTHON_AIMET", ""),
                        help="Python that has aimet_onnx (default: $SQZ_PYTHON_AIMET; none: left out)")
    parser.add_argument("--threads", type=int, default=1)


# The peak that the system notes for a process includes that of whoever forked it: a small process in between.
LAUNCH = """
import os, subprocess, sys, time
begin = time.monotonic()
p = subprocess.Popen(sys.argv[2:])
_, status, use = os.wait4(p.pid, 0)
with open(sys.argv[1], "w") as f:
    print(os.waitstatus_to_exitcode(status), use.ru_utime + use.ru_stime, time.monotonic() - begin, use.ru_maxrss / 1024, file=f)
"""


def watched(command, env=None):
    """(exit status, stdout, stderr, CPU seconds, wall seconds, peak MB) of a process."""
    with tempfile.NamedTemporaryFile() as note:
        done = subprocess.run([sys.executable, "-S", "-c", LAUNCH, note.name, *map(str, command)], capture_output=True, text=True,
                              env=dict(os.environ, **(env or {})))
        words = note.read().split()
    if len(words) != 4:
        return 1, done.stdout, done.stderr, math.nan, math.nan, math.nan
    return int(words[0]), done.stdout, done.stderr, *map(float, words[1:])


def quantize(args, tool, model, calib, out, layout=None):
    """Runs `tool` on a model and an NPZ of calibration samples (array x, in the order of the model's axes unless `layout`
    says nhwc). Times of peers are without their imports, ours is the whole process."""
    family, *words = tool.split(":")
    out = pathlib.Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    if family == "squeeze":
        options = [o for w in words for o in ("--" + w).split("=", 1)]
        command = [args.squeeze, "quantize", model, "--data", calib, "-o", out, "--samples", "1000000", "--quiet",
                   "--threads", args.threads, *(["--layout", layout] if layout else []), *options]
        code, _, err, cpu, wall, peak = watched(command)
        return Made(out, cpu, wall, peak, err.strip()[-300:] if code else "")
    python = {"nncf": args.nncf, "nncfov": args.nncf, "aimet": args.aimet}.get(family, sys.executable)
    if family == "nncfov":
        out = out.with_suffix(".xml")
    threads = {k: str(args.threads) for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    code, text, err, *_ = watched([python, "-W", "ignore", ROOT / "bench/ptq_peers.py", tool, model, calib, out,
                                   "--threads", args.threads], threads)
    lines = [line for line in text.splitlines() if line.startswith("{")]
    if code or not lines:
        return Made(out, error=(err.strip() or text.strip())[-300:])
    cost = json.loads(lines[-1])
    return Made(out, cost["cpu"], cost["wall"], cost["peak"])


# ---- running what was made ----
def session(path, plain=False):
    """`plain`: without graph optimizations, QDQ as ONNX defines it, for files whose integer form another tool does not mean."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    if plain:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def openvino_outputs(path, x):
    import openvino as ov

    core = ov.Core()
    model = core.compile_model(core.read_model(str(path)), "CPU", {"INFERENCE_NUM_THREADS": 1,
                                                                    "INFERENCE_PRECISION_HINT": "f32"})
    shape = model.inputs[0].get_partial_shape()
    step = shape[0].get_length() if shape[0].is_static else 100
    return np.concatenate([np.array(model([x[i : i + step]])[0]) for i in range(0, len(x), step)])


def outputs(path, x, plain=False):
    """First output for every sample, flat, in ONNX Runtime or, for an .xml, OpenVINO."""
    if str(path).endswith(".xml"):
        return openvino_outputs(path, x).reshape(len(x), -1)
    s = session(path, plain)
    port = s.get_inputs()[0]
    step = port.shape[0] if isinstance(port.shape[0], int) else 100
    parts = []
    for i in range(0, len(x), step):
        piece = x[i : i + step]
        parts.append(s.run(None, {port.name: np.ascontiguousarray(piece)})[0].reshape(len(piece), -1))
    return np.concatenate(parts)


def own_outputs(args, path, x):
    """The same in squeeze, on integers."""
    args.work.mkdir(parents=True, exist_ok=True)
    first = session(path).get_inputs()[0].shape[0]
    parts, tag, step = [], os.getpid(), first if isinstance(first, int) else 500
    for i in range(0, len(x), step):
        np.savez(args.work / f"in{tag}.npz", x=x[i : i + step])
        command = [args.squeeze, "run", path, "--inputs", args.work / f"in{tag}.npz", "-o", args.work / f"out{tag}.npz", "--quiet"]
        code, _, err, *_ = watched(command)
        if code:
            sys.exit(f"{' '.join(map(str, command))}\n{err}")
        with np.load(args.work / f"out{tag}.npz") as out:
            parts.append(out[out.files[0]].reshape(len(x[i : i + step]), -1))
    return np.concatenate(parts)


# ---- judging ----
def softmax(z):
    e = np.exp(z.astype(np.float64) - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def probabilities(y, are_already):
    """Rows that sum to 1 and have no zero, so that a divergence is finite for every tool."""
    p = y.astype(np.float64).clip(0) if are_already else softmax(y)
    p = np.maximum(p, 1e-5)
    return p / p.sum(1, keepdims=True)


def kl(ref, got):
    """Mean KL(float || quantized) in nats and its standard error; outputs are probabilities where the float ones are."""
    are = bool((ref >= 0).all() and np.allclose(ref.sum(1), 1, atol=1e-3))
    p, q = probabilities(ref, are), probabilities(got, are)
    d = (p * np.log(p / q)).sum(1)
    return d.mean(), d.std(ddof=1) / math.sqrt(len(d))


def decisions(y):
    return y.argmax(1)  # of equal ones the first


def paired(a, b):
    """Mean of a - b over the same samples and its standard error, in points."""
    d = 100.0 * (np.asarray(a, float) - np.asarray(b, float))
    return d.mean(), d.std(ddof=1) / math.sqrt(len(d))


@dataclasses.dataclass
class Score:
    top1: float
    change: float  # of top-1 against float, paired, and its standard error
    change_error: float
    equal: float  # share of decisions that are those of the float model
    kl: float
    kl_error: float
    hit: np.ndarray


def judge(ref, got, label):
    hit, own = decisions(got) == label, decisions(ref) == label
    return Score(100 * hit.mean(), *paired(hit, own), 100 * (decisions(got) == decisions(ref)).mean(), *kl(ref, got), hit)


FIGURES = f"{'top-1':>6} {'- float':>14} {'= float':>8} {'mean KL':>18}"
HEAD = f"{'tool':42} {FIGURES} {'CPU s':>7} {'MB':>6} {'file':>6}"


def figures(s):
    return (f"{s.top1:6.2f} {s.change:+6.2f} +-{s.change_error:5.2f} {s.equal:8.2f} "
            f"{s.kl:9.5f} +-{s.kl_error:.5f}")


def line(tool, score, made=None, model=None):
    ratio = made.path.stat().st_size / pathlib.Path(model).stat().st_size if made and made.path.suffix == ".onnx" else math.nan
    cpu, peak = (made.cpu, made.peak) if made else (math.nan, math.nan)
    return f"{tool:42} {figures(score)} {cpu:7.2f} {peak:6.0f} {ratio:6.3f}"


def save(path, x, y=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **({"x": x} if y is None else {"x": x, "y": y}))
    return path
