#!/usr/bin/env python3
"""Every published model that is there, through squeeze: float outputs against stored ones, then int8.

    bench/models.py [--shared ../shared] [--squeeze build/release/squeeze] [--only TEXT] [--no-int8]

The ONNX files of ../shared/data/onnx, its Keras files, and the Keras files of ../shared/data/mlperf-tiny.

error     largest difference of a run of squeeze from the reference, relative to the largest number of that output; files
          that are quantized already are run as ONNX defines them (--literal), and on integers beside it
allowed   1e-4, or what ONNX Runtime differs from itself with and without its optimizations where that is more (column
          `opt` of SOURCES.md: files that are quantized already, and one that is 98 convolutions deep)
reference outputs stored with the file (ONNX Runtime, tf_keras, or the Keras that trained it); else where it comes from
int8      the file that squeeze quantize makes runs: its size over that of the float file, signal-to-noise ratio of its
          outputs against the float ones in squeeze / in ONNX Runtime, and the share of output numbers that both put
          within one step of the output grid (1/255 of the largest number where an output is computed in float).
          Calibration data is the stored input with noise, so this says how well int8 follows float on such input and
          not how accurate a model stays on data.

Exit status 1 when something is refused that should not be, is further off than allowed, or cannot be quantized and run.
Needs numpy, onnx, onnxruntime and h5py.
"""
import argparse
import dataclasses
import pathlib
import re
import subprocess
import sys
import tarfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

BAR = 1e-4
# What a sentence of squeeze must say about files that are not models to be run, and why they are not.
REFUSED = {
    "space_to_depth": ("Lambda", "Python code in the file"),
    "simple_flatten_rnn_tf_keras_2_weights": ("model_config", "weights only"),
    "inputs_and_outputs": ("model_config", "data of another file here"),
}
BIND = {"silero-vad-16k": "sr=16000"}


@dataclasses.dataclass
class Case:
    path: pathlib.Path
    group: str
    inputs: list  # None: not known
    outputs: list  # references; None: there are none
    source: str
    allowed: float = 0.0  # absolute, beside BAR

    @property
    def name(self):
        return self.path.name


# ---- which models there are ----
def stored(folder):
    """{model: {"input_0": array, ...}} of io.tar.gz"""
    models = {}
    with tarfile.open(folder / "io.tar.gz") as tar:
        for member in tar.getmembers():
            path = pathlib.PurePath(member.name)
            if path.suffix == ".pb":
                tensor = onnx.TensorProto.FromString(tar.extractfile(member).read())
                models.setdefault(str(path.parent), {})[path.stem] = numpy_helper.to_array(tensor)
    return models


def numbered(arrays, kind):
    return [arrays[f"{kind}_{k}"] for k in range(sum(name.startswith(kind) for name in arrays))]


def allowances(sources):
    """Column `opt` of SOURCES.md by file name."""
    out = {}
    for line in sources.read_text().splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        if len(cells) == 11 and cells[0].endswith(".onnx"):
            out[pathlib.PurePath(cells[0]).name] = float(cells[-1])
    return out


def is_quantized(path):
    return any("QLinear" in n.op_type or n.op_type == "DequantizeLinear" for n in onnx.load(path).graph.node)


def onnx_cases(data):
    opt = allowances(data / "SOURCES.md")
    for group in ("models", "models-no-licence-stated"):
        have = stored(data / group)
        for path in sorted((data / group).glob("*.onnx")):
            io = have[path.stem]
            yield Case(path, "onnx", numbered(io, "input"), numbered(io, "output"), "stored",
                       opt[path.name])


def written_by_keras(path):
    """Inputs and outputs of the Keras that trained the model, in the file beside it; None: there is none."""
    import h5py

    beside = path.with_name(path.name.replace("_model.h5", "_inputs_and_outputs.h5"))
    if beside == path or not beside.exists():
        return None
    with h5py.File(beside) as f:
        made = f["predictions"] if "predictions" in f else f["outputs"]
        return [np.asarray(v) for v in f["inputs"].values()], [np.asarray(v) for v in made.values()]


def keras_shape(path):
    """Shape of the only input, batch 1, from the configuration; None: it does not say."""
    import h5py

    with h5py.File(path) as f:
        config = f.attrs.get("model_config", b"")
    found = re.search(r'"batch_input_shape": \[([^]]*)\]', config.decode() if isinstance(config, bytes) else config)
    return found and [1 if i == 0 or n.strip() == "null" else int(n) for i, n in enumerate(found[1].split(","))]


def keras_cases(data):
    have = stored(data)
    rng = np.random.default_rng(1)
    for path in sorted(data.glob("*.h*5")) + sorted((data / "dl4j").glob("*.h5")):
        io, own = have.get(str(path.relative_to(data))), written_by_keras(path)
        if own and "simple_lstm_tf_keras_2" not in path.name:  # that one holds what it was trained on
            yield Case(path, "keras", own[0], own[1], "Keras' own")
        elif io:
            yield Case(path, "keras", numbered(io, "input"), numbered(io, "output"), "stored")
        else:
            shape = keras_shape(path)
            x = None if not shape else rng.integers(0, 4, shape) if "embedding" in path.name else rng.normal(size=shape)
            yield Case(path, "keras", None if x is None else [x.astype(np.float32)], None, "none")


def tiny_cases(data):
    models, rng = data / "models", np.random.default_rng(1)

    def by_onnx(name, x):
        return run_ort(models / name, [x], False)

    x = np.load(data / "data/ic01/calib500_x_u8.npy")[:2].astype(np.float32)
    yield Case(models / "ic01_resnet8.h5", "tiny", [x], [np.load(data / "data/litert_outputs/ic01_calib500_fp32.npy")[:2]],
               "LiteRT")
    x = np.load(data / "data/vww01/calib100_x_u8.npy")[:1].astype(np.float32) / 255
    yield Case(models / "vww01_mobilenet96.h5", "tiny", [x],
               by_onnx("vww01_mobilenet96_fp32.onnx", np.ascontiguousarray(x.transpose(0, 3, 1, 2))), "its ONNX in ORT")
    x = np.load(data / "data/ad01/calib5_x_f32.npy")[0, :5].reshape(1, 640)
    yield Case(models / "ad01_autoencoder.h5", "tiny", [x], by_onnx("ad01_autoencoder_fp32.onnx", x), "its ONNX in ORT")
    x = np.load(data / "data/kws01/eval1000_x_f32.npy")[:1].reshape(1, 49, 10, 1)
    yield Case(models / "kws01_dscnn_retrained.h5", "tiny", [x], None, "none")
    x = np.load(data / "data/sww01/calib45_x_f32.npy")[:1]
    yield Case(models / "sww01_streaming.h5", "tiny", [x], None, "none")


# ---- running ----
def squeeze(args, *words):
    """None, or the first line of what is wrong."""
    done = subprocess.run([args.squeeze, *map(str, words), "--quiet"], capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("squeeze ")] or done.stderr.splitlines()
    return (lines or [f"exit status {done.returncode}"])[0] if done.returncode else None


def bind(case):
    """Options that make a constant of a bound input and close the shapes of the others."""
    if case.path.stem not in BIND:
        return []
    shapes = [f"{name}={','.join(map(str, x.shape))}" for name, x in zip(input_names(case.path), case.inputs) if x.ndim]
    return ["--bind", BIND[case.path.stem], "--shape", ";".join(shapes)]


def run_squeeze(args, path, inputs, *options):
    folder = args.work / "inputs"
    folder.mkdir(exist_ok=True)
    for k, x in enumerate(inputs):
        (folder / f"input_{k}.pb").write_bytes(numpy_helper.from_array(np.asarray(x, order="C")).SerializeToString())
    refused = squeeze(args, "run", path, "--inputs", folder, "-o", args.work / "out.npz", *options)
    if refused:
        return None, refused
    with np.load(args.work / "out.npz") as out:
        return [out[name] for name in out.files], None


def run_ort(path, inputs, optimized):
    options, level = ort.SessionOptions(), ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimized else level.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    # Keras files take whole numbers as floats; a model may want them as integers
    types = {"tensor(int32)": np.int32, "tensor(int64)": np.int64}
    return session.run(None, {i.name: x.astype(types.get(i.type, x.dtype)) for i, x in zip(session.get_inputs(), inputs)})


def error(case, got):
    """(relative error, is it allowed) of the worst output."""
    if len(got) != len(case.outputs):
        return float("inf"), False
    worst, ok = 0.0, True
    for g, w in zip(got, case.outputs):
        if g.shape != w.shape:
            return float("inf"), False
        g, w = g.astype(np.float64), w.astype(np.float64)
        far, top = np.abs(g - w).max(initial=0.0), np.abs(w).max(initial=0.0)
        far = np.inf if np.isnan(far) else far
        worst = max(worst, far / max(top, 1e-30))
        ok = ok and far <= max(BAR * top, 1.05 * case.allowed)  # opt has one digit
    return worst, ok


# ---- int8 ----
def snr(got, want):
    def one(g, w):
        w = w.astype(np.float64)
        noise = np.square(g - w).sum()
        return 10 * np.log10(max(np.square(w).sum(), 1e-30) / noise) if noise else np.inf

    return min(one(g, w) for g, w in zip(got, want))


def steps(model, values):
    """The grid's step of each output; 1/255 of its largest number where it is computed in float."""
    scales = {t.name: t for t in model.graph.initializer}
    makers = {name: n for n in model.graph.node for name in n.output}
    for out, value in zip(model.graph.output, values):
        maker = makers.get(out.name)
        grid = maker is not None and maker.op_type == "DequantizeLinear" and maker.input[1] in scales
        yield float(numpy_helper.to_array(scales[maker.input[1]])) if grid else max(np.abs(value).max(), 1e-30) / 255


def noisy(x, n):
    rng = np.random.default_rng(1)
    if not np.issubdtype(x.dtype, np.floating):
        return np.concatenate([x] * n)
    y = x.astype(np.float64)
    spread = 0.1 * y.std()
    return np.concatenate([y * s + rng.normal(size=x.shape) * spread for s in rng.uniform(0.7, 1.1, n)]).astype(x.dtype)


def input_names(path):
    if path.suffix != ".onnx":
        return None
    graph = onnx.load(path).graph
    constants = {t.name for t in graph.initializer}
    return [i.name for i in graph.input if i.name not in constants]


def calibration(args, case):
    """The stored inputs and seven noisy copies, one array for each input that is not a constant."""
    names, bound = input_names(case.path), BIND.get(case.path.stem, "=").split("=")[0]
    arrays = {}
    for k, x in enumerate(case.inputs):
        name = names[k] if names else f"input_{k}"
        if name != bound:
            several = len(case.inputs) > 1 and x.shape[0] > 1  # axis 0 is not that of samples
            arrays[name] = np.stack([x] * 8) if several else np.concatenate([x, noisy(x, 7)])
    if len(arrays) == 1:
        arrays = {"x": next(iter(arrays.values()))}
    np.savez(args.work / "calib.npz", **arrays)
    return args.work / "calib.npz"


def quantized(args, case, reference):
    target = args.work / "int8.onnx"
    command = ["quantize", case.path, "--data", calibration(args, case), "--calibrator", "minmax", "-o", target,
               *bind(case)]
    refused = squeeze(args, *command)
    if refused and "--layout nchw" in refused:  # both would fit: the samples are in the model's own order
        refused = squeeze(args, *command, "--layout", "nchw" if case.group == "onnx" else "nhwc")
    if refused:
        return False, f"not quantized: {refused}"
    model = onnx.load(target)
    onnx.checker.check_model(model, full_check=True)
    inputs = [x for x, name in zip(case.inputs, input_names(case.path) or [""] * len(case.inputs))
              if not name or name != BIND.get(case.path.stem, "=").split("=")[0]]
    ours, refused = run_squeeze(args, target, inputs)
    if refused:
        return False, f"int8 does not run: {refused}"
    theirs = run_ort(target, inputs, False)
    near = [(np.abs(a.astype(np.float64) - b) <= 1.001 * s).mean()
            for a, b, s in zip(ours, theirs, steps(model, theirs))]
    finite = all(np.isfinite(a.astype(np.float64)).all() for a in ours)
    ratio = target.stat().st_size / case.path.stat().st_size
    return finite, f"{ratio:6.3f} {snr(ours, reference):7.1f} /{snr(theirs, reference):6.1f} {100 * min(near):8.2f} %"


def integers(args, case):
    """A quantized file on integers, as `squeeze run` computes it unless told otherwise."""
    got, refused = run_squeeze(args, case.path, case.inputs)
    return f"int8 already: {refused or f'on integers {error(case, got)[0]:.1e}'}"


# ---- the table ----
def judge(args, case):
    """(is all well, the line)"""
    for part, (word, why) in REFUSED.items():
        if part in case.name:
            _, refused = run_squeeze(args, case.path, [np.zeros((1, 6, 6, 4), np.float32)])
            return bool(refused and word in refused), f"refused, {why}: {refused}"
    if case.inputs is None:
        return False, "nothing says what to feed it"
    ready = case.group == "onnx" and is_quantized(case.path)
    got, refused = run_squeeze(args, case.path, case.inputs, *(["--literal"] if ready else []))
    if refused:
        return False, f"REFUSED: {refused}"
    if case.outputs is None:
        ok, line = all(np.isfinite(g).all() for g in got), f"{'-':>8} {'-':>8} {case.source:16}"
    else:
        far, ok = error(case, got)
        top = max(np.abs(w.astype(np.float64)).max(initial=0.0) for w in case.outputs)
        line = f"{far:8.1e} {max(BAR, case.allowed / max(top, 1e-30)):8.1e} {case.source:16}"
    line += "   " if ok else "WRONG "
    if args.no_int8:
        return ok, line
    if ready:
        return ok, line + integers(args, case)
    good, text = quantized(args, case, case.outputs or got)
    return ok and good, line + text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = pathlib.Path(__file__).resolve().parent.parent
    parser.add_argument("--shared", type=pathlib.Path, default=root.parent / "shared")
    parser.add_argument("--squeeze", default=str(root / "build/release/squeeze"))
    parser.add_argument("--work", type=pathlib.Path, default=root / "build/bench/models")
    parser.add_argument("--only", default="", help="models whose name contains this")
    parser.add_argument("--no-int8", action="store_true")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    print(f"{'model':46} {'error':>8} {'allowed':>8} {'reference':18} {'file':>6} {'dB':>7} {'ORT dB':>7} {'= ORT':>10}")
    data = args.shared / "data"
    bad = []
    n = 0
    for make, folder in ((onnx_cases, "onnx"), (keras_cases, "onnx/keras"), (tiny_cases, "mlperf-tiny")):
        for case in make(data / folder):
            if args.only not in case.name:
                continue
            ok, line = judge(args, case)
            n += 1
            bad += [] if ok else [case.name]
            print(f"{case.name[-46:]:46} {line[:200]}", flush=True)
    print(f"{n - len(bad)} of {n} as they should be" + (f"; not: {', '.join(bad)}" if bad else ""))
    sys.exit(1 if bad or not n else 0)


if __name__ == "__main__":
    main()
