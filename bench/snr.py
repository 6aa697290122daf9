#!/usr/bin/env python3
"""How near int8 is to float, model by model: squeeze beside ONNX Runtime's own quantization.

    bench/snr.py [--shared ../shared] [--squeeze build/release/squeeze] [--only TEXT] [--again] [--options "..."]

Every float model of ../shared/data/onnx. All three forms are made from the same calibration inputs and judged on the same
others (bench/snr_inputs.py) and on the model's stored input, by ONNX Runtime without graph optimizations, which computes
pairs as ONNX defines them.

squeeze     `squeeze quantize` as it is, without options
minmax      onnxruntime.quantization: static QDQ, uint8 activations, int8 weights for each channel, after its preprocessing
percentile  the same, calibrated with percentiles (99.999, its default)
dB          10 log10 of signal energy over noise energy, over all held-out inputs; of a model with several outputs the worst
MB          size of the file of squeeze over that of the float file
warned      below 10 dB, and squeeze said so and named a node

Results of ONNX Runtime's quantization are kept in --work, as they take long: --again makes them anew.
Exit status 1 where squeeze is better on less than 90 % of the models, or a collapse is not told.
Needs numpy, pillow, onnx, onnxruntime.
"""
import argparse
import contextlib
import io
import json
import logging
import pathlib
import shlex
import subprocess
import sys

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime as ort

import models as published
import snr_inputs

CALIB = {"picodet-xs-416": 16, "espcn-float": 16, "yunet-n-320": 16, "basic-pitch": 12, "ultraface-slim-320": 16}
TEST = 12
SKIP = {"squeezenet1.1-fp16"}  # the model below in float16


def session(path):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


# ---- the forms ----
def by_squeeze(args, path, calib, target):
    """The lines that squeeze says."""
    stem, feeds = path.stem, dict(calib[0])
    bound = published.BIND.get(stem, "=").split("=")[0]
    names = [name for name in feeds if name != bound]
    # an input whose first dimension is not the batch takes a whole sample
    arrays = {name: (np.concatenate if feeds[name].shape[0] == 1 else np.stack)([s[name] for s in calib]) for name in names}
    np.savez(args.work / "calib.npz", **(arrays if len(names) > 1 else {"x": arrays[names[0]]}))
    shapes = ";".join(f"{n}={','.join(map(str, feeds[n].shape))}" for n in names)
    options = ["--bind", published.BIND[stem]] if bound else []
    if bound or any(not isinstance(d, int) for i in session(path).get_inputs() for d in i.shape[1:]):
        options += ["--shape", shapes]
    done = subprocess.run([args.squeeze, "quantize", path, "--data", args.work / "calib.npz", "-o", target, *options,
                           *shlex.split(args.options)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or f"exit status {done.returncode}")
    return done.stdout + done.stderr


def by_ort(path, calib, target, method):
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.rows = iter(calib)

        def get_next(self):
            return next(self.rows, None)

    wrong = None
    for prepared in prepare(path, target.with_suffix(".ready")):  # the first that its tools can work with
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                quantize_static(str(prepared), str(target), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, calibrate_method=method)
            session(target)
            return
        except Exception as error:  # whatever they raise
            wrong = error
    raise RuntimeError((str(wrong).splitlines() or [type(wrong).__name__])[0])


def prepare(path, ready):
    """The model in an opset that has scales for each channel, as its preprocessing leaves it: with everything, without
    graph optimization, and as it is."""
    from onnxruntime.quantization.shape_inference import quant_pre_process
    model = onnx.load(path)
    if next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")) < 13:
        constants = {t.name for t in model.graph.initializer}
        inputs = [i for i in model.graph.input if i.name not in constants]
        del model.graph.input[:]
        model.graph.input.extend(inputs)
        model.ir_version = max(model.ir_version, 7)
        with contextlib.suppress(Exception):
            model = onnx.version_converter.convert_version(model, 13)
    onnx.save(model, ready)
    for options in ({}, {"skip_symbolic_shape": True}, {"skip_symbolic_shape": True, "skip_optimization": True}):
        made = ready.with_suffix(".made")
        with contextlib.suppress(Exception):
            quant_pre_process(str(ready), str(made), **options)
            yield made
    yield ready


# ---- judging ----
def outputs(path, inputs):
    s = session(path)
    have = {i.name for i in s.get_inputs()}
    return [s.run(None, {k: v for k, v in feed.items() if k in have}) for feed in inputs]


def decibels(got, want):
    """The worst output's signal to noise ratio over all samples."""
    worst = np.inf
    for k in range(len(want[0])):
        g, w = (np.stack([np.asarray(s[k], np.float64) for s in side]) for side in (got, want))
        if not np.isfinite(g).all():
            return -np.inf
        noise, signal = np.square(g - w).sum(), np.square(w).sum()
        if signal:
            worst = min(worst, 10 * np.log10(signal / noise) if noise else 200.0)
    return float(worst)


def ort_forms(args, path, calib, judge):
    """{method: dB or why not}, kept."""
    from onnxruntime.quantization import CalibrationMethod
    kept = args.work / f"{path.stem}.ort.json"
    if kept.exists() and not args.again:
        return json.loads(kept.read_text())
    result = {}
    for name, method in (("minmax", CalibrationMethod.MinMax), ("percentile", CalibrationMethod.Percentile)):
        target = args.work / f"{path.stem}.{name}.onnx"
        try:
            by_ort(path, calib, target, method)
            result[name] = judge(target)
        except Exception as wrong:  # whatever its tools raise
            result[name] = (str(wrong).splitlines() or [type(wrong).__name__])[0]
            print(f"  {name}: {result[name][:150]}", file=sys.stderr)
    kept.write_text(json.dumps(result))
    return result


def cell(value):
    return f"{value:10.1f}" if isinstance(value, float) else f"{'-':>10}"


def one(args, path, stored):
    float_session = session(path)
    calib = snr_inputs.samples(args.data, path.stem, float_session, "calib", CALIB.get(path.stem, 32))
    if calib is None:
        raise RuntimeError("snr_inputs.py has no inputs for it")
    test = snr_inputs.samples(args.data, path.stem, float_session, "test", TEST)
    names = [i.name for i in float_session.get_inputs()]
    test.append(dict(zip(names, published.numbered(stored[path.stem], "input"))))
    want = outputs(path, test)

    def judge(target):
        return decibels(outputs(target, test), want)

    target = args.work / f"{path.stem}.squeeze.onnx"
    said = by_squeeze(args, path, calib, target)
    (args.work / f"{path.stem}.squeeze.txt").write_text(said)
    ours, theirs = judge(target), {} if args.alone else ort_forms(args, path, calib, judge)
    numbers = [v for v in theirs.values() if isinstance(v, float)]
    best = max(numbers, default=None)
    told = any("node '" in line and " dB" in line for line in said.splitlines())
    mark = "" if ours >= 10 else "  warned" if told else "  COLLAPSED"
    won = best is None or ours > best
    print(f"{path.stem:32}{ours:10.1f}{cell(theirs.get('minmax'))}{cell(theirs.get('percentile'))}"
          f"{target.stat().st_size / path.stat().st_size:8.3f}{'' if won else '  behind'}{mark}", flush=True)
    return won, ours >= 10 or told


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=pathlib.Path, default=root.parent / "shared")
    parser.add_argument("--squeeze", default=str(root / "build/release/squeeze"))
    parser.add_argument("--work", type=pathlib.Path, default=root / "build/bench/snr")
    parser.add_argument("--only", default="")
    parser.add_argument("--options", default="", help="more options for squeeze quantize")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--alone", action="store_true", help="squeeze only")
    args = parser.parse_args()
    args.data = args.shared / "data/onnx"
    args.work.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.WARNING)
    ort.set_default_logger_severity(4)
    results = []
    print(f"{'model':32}{'squeeze':>10}{'minmax':>10}{'percentile':>10}{'size':>8}")
    for group in ("models", "models-no-licence-stated"):
        stored = published.stored(args.data / group)
        for path in sorted((args.data / group).glob("*.onnx")):
            if args.only not in path.stem or path.stem in SKIP or published.is_quantized(path):
                continue
            try:
                results.append(one(args, path, stored))
            except RuntimeError as wrong:
                print(f"{path.stem:32}failed: {wrong}")
                results.append((False, False))
    won, told = sum(r[0] for r in results), all(r[1] for r in results)
    print(f"better than the best of ONNX Runtime's on {won} of {len(results)}" + ("" if told else "; a collapse was not told"))
    return won < 0.9 * len(results) or not told


if __name__ == "__main__":
    sys.exit(main())
