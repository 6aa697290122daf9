#!/usr/bin/env python3
"""Import, then export unchanged, checked by ONNX Runtime: it gets the outputs that the file promises.

    bench/roundtrip.py [--shared ../shared] [--library build/release/libsqueeze.so] [--only TEXT] [-v]

Every case of ONNX's backend tests and every published model goes through sqz_model_load and sqz_model_save; ONNX
Runtime runs what came out on the stored input.

right      equal to the stored outputs, within the tolerance of the case
as before  ONNX Runtime differs from the stored outputs in the same way on the original file
not read   squeeze refuses the file (a parameter is an input whose value it would have to know, types it lacks)
not tried  ONNX Runtime does not run the original either, or its Python interface has no such type (bfloat16, int4)
WRONG      everything else; the exit status is then 1
QLinear operators come out as pairs around float ones, which ONNX Runtime makes QLinear operators of when it optimizes:
such models are run so where the plain run differs.
Needs numpy, onnx, onnxruntime.
"""
import argparse
import collections
import ctypes
import pathlib
import sys
import tarfile
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper


class Library:
    def __init__(self, path):
        self.lib = ctypes.CDLL(str(path))
        self.lib.sqz_last_error.restype = ctypes.c_char_p
        self.ctx = ctypes.c_void_p()
        if self.lib.sqz_ctx_create(None, ctypes.byref(self.ctx)):
            sys.exit(f"{path}: no context")

    def again(self, source, target):
        """None, or why not."""
        model = ctypes.c_void_p()
        if self.lib.sqz_model_load(self.ctx, str(source).encode(), ctypes.byref(model)):
            return "not read"
        failed = self.lib.sqz_model_save(model, str(target).encode())
        self.lib.sqz_model_free(model)
        return "not written: " + self.lib.sqz_last_error(self.ctx).decode() if failed else None


def groups(folder):
    """(name, model bytes, inputs, outputs) of each case of the archive and each published model."""
    with tarfile.open(folder / "conformance/onnx-backend-tests.tar.gz") as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}
    for name in sorted(n for n in files if n.endswith("/model.onnx")):
        case = name.removesuffix("/model.onnx")
        yield case, files[name], *tensors({n: b for n, b in files.items() if n.startswith(case + "/test_data_set_0/")})
    for sub in ("models", "models-no-licence-stated"):
        with tarfile.open(folder / sub / "io.tar.gz") as tar:
            files = {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}
        for path in sorted((folder / sub).glob("*.onnx")):
            yield path.stem, path.read_bytes(), *tensors(
                {n: b for n, b in files.items() if pathlib.PurePath(n).parent.name == path.stem})


def tensors(files):
    def numbered(kind):
        names = [n for n in files if pathlib.PurePath(n).name.startswith(kind)]
        names.sort(key=lambda n: int(n.rsplit("_", 1)[1].removesuffix(".pb")))
        return [files[n] for n in names]
    return numbered("input_"), numbered("output_")


def array(data):
    return numpy_helper.to_array(onnx.TensorProto.FromString(data))


def same(got, want):
    if got.shape != want.shape or got.dtype != want.dtype:
        return False
    if got.dtype.kind != "f":
        return bool((got == want).all())
    half = got.itemsize == 2
    return np.allclose(got.astype(float), want.astype(float), 1e-2 if half else 1e-3, 1e-3 if half else 1e-5,
                       equal_nan=True)


def close(got, want):
    """Of a whole network: 1e-4 of the largest number."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return False
    got, want = got.astype(float), want.astype(float)
    return np.abs(got - want).max(initial=0) <= 1e-4 * np.abs(want).max(initial=1e-30)


def run(model, names, inputs, outputs, optimized=False):
    levels, options = ort.GraphOptimizationLevel, ort.SessionOptions()
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
    s = ort.InferenceSession(model, options)
    feed = {i.name: inputs[names.index(i.name)] for i in s.get_inputs() if i.name in names}
    return s.run(outputs, feed)


def judge(lib, data, inputs, outputs, work):
    (work / "in.onnx").write_bytes(data)
    why = lib.again(work / "in.onnx", work / "out.onnx")
    if why:
        return why
    graph = onnx.load_from_string(data).graph
    constants = {t.name for t in graph.initializer}
    names, results = [i.name for i in graph.input if i.name not in constants], [o.name for o in graph.output]
    try:
        inputs, outputs = [array(x) for x in inputs], [array(x) for x in outputs]
        before = run(str(work / "in.onnx"), names, inputs, results)
    except Exception:  # of a zoo of kinds
        return "not tried"
    try:
        after = run(str(work / "out.onnx"), names, inputs, results)
        if any(n.op_type.startswith("QLinear") for n in graph.node) and not all(map(same, after, outputs)):
            after = run(str(work / "out.onnx"), names, inputs, results, True)
    except Exception as e:
        return "WRONG: " + str(e).replace("\n", " ")[:160]
    if all(map(same, after, outputs)):
        return "right"
    return "as before" if all(map(close, after, before)) else "WRONG: numbers"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shared", type=pathlib.Path, default=pathlib.Path("../shared"))
    parser.add_argument("--library", type=pathlib.Path, default=pathlib.Path("build/release/libsqueeze.so"))
    parser.add_argument("--only", default="")
    parser.add_argument("-v", action="store_true", help="every file, not only the wrong ones")
    args = parser.parse_args()
    ort.set_default_logger_severity(4)
    lib, count = Library(args.library.resolve()), collections.Counter()
    with tempfile.TemporaryDirectory() as work:
        for name, data, inputs, outputs in groups(args.shared / "data/onnx"):
            if args.only not in name or not outputs:
                continue
            result = judge(lib, data, inputs, outputs, pathlib.Path(work))
            count[result.split(":")[0]] += 1
            if args.v or result.startswith(("WRONG", "not written")):
                print(f"{name:<70} {result}", flush=True)
    print(", ".join(f"{k}: {n}" for k, n in count.most_common()))
    return 1 if count["WRONG"] or count["not written"] else 0


if __name__ == "__main__":
    sys.exit(main())
