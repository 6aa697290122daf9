#!/usr/bin/env python3
"""Fits the four float ONNX models of MLPerf Tiny to int8 and sets the result beside the official int8 models.

    bench/mlperf_tiny.py [--shared ../shared] [--squeeze build/release/squeeze] [--threads 2] [CASE ...]

Needs numpy, Pillow and onnxruntime (pip install numpy pillow onnxruntime). Calibration data only is used to choose
anything; each test set is looked at once. ad01 is calibrated on clips without labels, so there the candidate whose
outputs stay closest to the float model's wins. The device takes int8 alone: float would fit this board as well.
`in ORT` is the score of the exported file in ONNX Runtime; `= float` the share of decisions there that equal the float
model's (for ad01: the correlation of the anomaly scores).
"""
import argparse
import csv
import json
import pathlib
import subprocess
import sys

import numpy as np

# official int8 (TFLite) scores on the same samples: LiteRT, see SOURCES.md of the data
OFFICIAL = {"ic01": 0.87191, "kws01": 0.89889, "vww01": 0.86111, "ad01": 0.84954}
SLACK = {"ic01": 0.003, "kws01": 0.003, "vww01": 0.003, "ad01": 0.005}


def rows(path):
    with open(path, newline="") as f:
        return list(csv.DictReader(f))


def load_ic01(data):
    d = data / "ic01"
    calib, calib_y = np.load(d / "calib500_x_u8.npy"), np.load(d / "calib500_y_i32.npy")
    more, more_y = np.load(d / "eval200_x_u8.npy"), np.load(d / "eval200_y_i32.npy")
    new = [i for i, r in enumerate(rows(d / "eval200_labels.csv")) if not r["also_in_calib500_row"]]
    test = np.concatenate([calib, more[new]]), np.concatenate([calib_y, more_y[new]])
    return (calib.astype(np.float32), calib_y), (test[0].astype(np.float32), test[1])


def load_kws01(data):
    x, y = np.load(data / "kws01/eval1000_x_f32.npy"), np.load(data / "kws01/eval1000_y_i32.npy")
    return (x[:100], y[:100]), (x[100:], y[100:])


def load_vww01(data):
    from PIL import Image

    d = data / "vww01"
    calib = np.load(d / "calib100_x_u8.npy").astype(np.float32) / 255
    keep = [r for r in rows(d / "labels.csv") if not r["calib100_row"]]
    # the submitter wrote the JPEGs with red and blue swapped
    test = np.stack([np.asarray(Image.open(d / "jpeg_bgr" / r["jpeg"]))[..., ::-1] for r in keep])
    labels = np.array([int(r["label"]) for r in keep], np.int32)
    return (calib, np.load(d / "calib100_y_i32.npy")), (test.astype(np.float32) / 255, labels)


def windows(clips):
    """(n, 200, 128) log-mel frames -> (n * 196, 640): five frames, step one."""
    return np.stack([c[i : i + 5].reshape(640) for c in clips for i in range(196)])


def load_ad01(data):
    d = data / "ad01"
    labels = np.array([int(r["label"]) for r in rows(d / "eval72_labels.csv")], np.int32)
    test = windows(np.load(d / "eval72_x_f32.npy")), np.repeat(labels, 196)
    return (windows(np.load(d / "calib5_x_f32.npy")), None), test


CASES = {
    "ic01": ("ic01_resnet8_fp32.onnx", load_ic01, "top1", True),
    "kws01": ("kws01_dscnn_fp32.onnx", load_kws01, "top1", False),
    "vww01": ("vww01_mobilenet96_fp32.onnx", load_vww01, "top1", True),
    "ad01": ("ad01_autoencoder_fp32.onnx", load_ad01, "recon_auc(group=196)", False),
}


def save(path, x, y):
    np.savez(path, **({"x": x} if y is None else {"x": x, "y": y}))
    return str(path)


def onnxruntime_outputs(model, x, nchw):
    import onnxruntime as ort

    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    name, shape = session.get_inputs()[0].name, session.get_inputs()[0].shape
    x = np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if nchw else x
    step = shape[0] if isinstance(shape[0], int) else 256
    return np.concatenate([session.run(None, {name: x[i : i + step]})[0] for i in range(0, len(x), step)])


def auc(score, label):
    pairs = (score[:, None] - score[None, :])[label == 1][:, label == 0]
    return ((pairs > 0) + 0.5 * (pairs == 0)).mean()


def clip_scores(out, x):
    return ((out - x) ** 2).mean(1).reshape(-1, 196).mean(1)


def run_case(name, args):
    file, load, metric, nchw = CASES[name]
    model, out = args.shared / "data/mlperf-tiny/models" / file, args.work / name
    (cx, cy), (tx, ty) = load(args.shared / "data/mlperf-tiny/data")
    calib, test = save(args.work / f"{name}_calib.npz", cx, cy), save(args.work / f"{name}_test.npz", tx, ty)
    command = [args.squeeze, "fit", str(model), "--data", calib, "--test", test, "--device", str(args.work / "device.yaml")]
    command += ["--metric", metric, "--samples", "100000", "--threads", str(args.threads), "--json", "--quiet", "-o", str(out)]
    command += ["--calibrator", args.calibrator] if args.calibrator else []
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    result = json.loads(done.stdout)["result"]
    got, ref = (onnxruntime_outputs(m, tx, nchw) for m in (out / "model.onnx", model))
    if name == "ad01":
        label, a, b = ty[::196], clip_scores(got, tx), clip_scores(ref, tx)
        ort, equal = auc(a, label), np.corrcoef(a, b)[0, 1]
    else:
        ort, equal = (got.argmax(1) == ty).mean(), (got.argmax(1) == ref.argmax(1)).mean()
    return result, ort, equal, (out / "model.onnx").stat().st_size / model.stat().st_size


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = pathlib.Path(__file__).resolve().parent.parent
    parser.add_argument("--shared", type=pathlib.Path, default=root.parent / "shared")
    parser.add_argument("--squeeze", default=str(root / "build/release/squeeze"))
    parser.add_argument("--device", default="stm32h747i-disco")
    parser.add_argument("--calibrator", help="this one alone, rather than the one that fit chooses")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=pathlib.Path, default=root / "build/bench/mlperf_tiny")
    parser.add_argument("case", nargs="*", default=list(CASES))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    (args.work / "device.yaml").write_text(
        f"squeeze_device: 1\nname: {args.device}-int8\nextends: {args.device}\n"
        "numerics: {activations: [int8], weights: [int8]}\n")
    print(f"{'set':6} {'float':>8} {'int8':>8} {'in ORT':>8} {'= float':>8} {'official':>8} {'allowed':>8} {'file':>6}  verdict")
    bad = 0
    for name in args.case:
        result, ort, equal, ratio = run_case(name, args)
        floor = OFFICIAL[name] - SLACK[name]
        ok = result["accuracy"] >= floor and ort >= floor
        bad += not ok
        verdict = "holds" if ok else "BROKEN" if result["float_accuracy"] >= floor else "BROKEN, by the float model too"
        print(f"{name:6} {result['float_accuracy']:8.4f} {result['accuracy']:8.4f} {ort:8.4f} {equal:8.4f} "
              f"{OFFICIAL[name]:8.4f} {floor:8.4f} {ratio:6.3f}  {verdict} ({result['trial']})", flush=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
