#!/usr/bin/env python3
"""Weights that stay int4 against ONNX Runtime's MatMulNBits, on the same files.

    bench/int4.py [--library build/release/libsqueeze.so] [--threads 1 2] [--shapes 4096x4096 4096x32768]
                  [--blocks 32 128] [--rows 1 16] [--rounds 15]

For each product y(M,N) = x(M,K) . w(K,N): the median time of both engines, taken in turns in one process, squeeze's share
of them (above 1: squeeze is faster), the error of both against the product of the unquantized weights in double, and how
much of the read bandwidth of this machine (memory that is not there being searched by memchr, in the same turns) the packed
weights come at: above 100 % they come from a cache. Accuracy level 4 rounds the rows to int8 by blocks, level 0 is float.

Needs numpy, onnx and onnxruntime. Pins itself to as many cores as there are threads.
"""
import argparse
import ctypes as ct
import os
import pathlib
import statistics
import tempfile
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parent.parent
READ = 1 << 28  # bytes of the bandwidth test: beyond every cache


def quantize(w, block):
    """int4 codes of w (K,N), two to a byte, as MatMulNBits has them, and one scale per block: symmetric, -8..7."""
    k, n = w.shape
    rows = w.T.reshape(n, k // block, block)
    at = np.abs(rows).argmax(2)[..., None]
    scale = np.take_along_axis(rows, at, 2)[..., 0] / -8  # the extreme becomes -8
    codes = np.clip(np.rint(rows / scale[..., None]) + 8, 0, 15).astype(np.uint8)
    return codes[..., 0::2] | codes[..., 1::2] << 4, scale.astype(np.float32)


def model(w, block, level, rows):
    k, n = w.shape
    codes, scale = quantize(w, block)
    constants = [numpy_helper.from_array(codes, "codes"), numpy_helper.from_array(scale.reshape(-1), "scale")]
    node = helper.make_node("MatMulNBits", ["x", "codes", "scale"], ["y"], domain="com.microsoft", K=k, N=n, bits=4,
                            block_size=block, accuracy_level=level)
    graph = helper.make_graph([node], "int4", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, k])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, n])], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


class Options(ct.Structure):
    """sqz_ctx_options; what is not named here keeps its default."""

    _fields_ = [("size", ct.c_size_t), ("user", ct.c_void_p), ("alloc", ct.c_void_p), ("free", ct.c_void_p),
                ("threads", ct.c_int32), ("rows", ct.c_int32)]


class Squeeze:
    def __init__(self, library, path, x, n, threads):
        self.lib = ct.CDLL(str(library))
        self.lib.sqz_last_error.restype = ct.c_char_p
        self.ctx, self.model = ct.c_void_p(), ct.c_void_p()
        self.lib.sqz_ctx_create(ct.byref(Options(ct.sizeof(Options), None, None, None, threads, 0)), ct.byref(self.ctx))
        self.check(self.lib.sqz_model_load(self.ctx, str(path).encode(), ct.byref(self.model)))
        self.x, self.y = x, np.empty((x.shape[0], n), np.float32)
        self.ins = (ct.c_void_p * 1)(self.x.ctypes.data)
        self.outs = (ct.c_void_p * 1)(self.y.ctypes.data)

    def check(self, status):
        if status:
            raise RuntimeError(self.lib.sqz_last_error(self.ctx).decode())

    def __call__(self):
        self.check(self.lib.sqz_model_run(self.model, ct.c_int64(self.x.shape[0]), self.ins, self.outs))
        return self.y

    def close(self):
        self.lib.sqz_model_free(self.model)
        self.lib.sqz_ctx_free(self.ctx)


def memory_reader():
    buffer = np.ones(READ, np.uint8)
    memchr = ct.CDLL(None).memchr
    memchr.argtypes = [ct.c_void_p, ct.c_int, ct.c_size_t]
    return lambda: memchr(buffer.ctypes.data, 0, READ)


def in_turns(cases, rounds):
    """{name: median seconds}; every round times each case over at least 50 ms, when the threads of the case before have
    gone to sleep and its own are awake."""
    times = {name: [] for name in cases}
    for _ in range(rounds):
        for name, fn in cases.items():
            time.sleep(0.05)
            begin = time.perf_counter()
            while time.perf_counter() - begin < 0.02:
                fn()
            n, begin = 0, time.perf_counter()
            while n == 0 or time.perf_counter() - begin < 0.05:
                fn()
                n += 1
            times[name].append((time.perf_counter() - begin) / n)
    return {name: statistics.median(t) for name, t in times.items()}


def compare(args, folder, threads, shape, block, rows, level):
    k, n = shape
    rng = np.random.default_rng(7)
    w = rng.standard_normal((k, n), dtype=np.float32) * np.float32(k**-0.5)
    x = rng.standard_normal((rows, k), dtype=np.float32)
    path = folder / "int4.onnx"
    onnx.save(model(w, block, level, rows), path)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    peer = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    ours = Squeeze(args.library, path, x, n, threads)
    t = in_turns({"squeeze": ours, "ort": lambda: peer.run(None, {"x": x}), "read": memory_reader()}, args.rounds)
    exact = x.astype(np.float64) @ w.astype(np.float64)
    error = lambda y: np.linalg.norm(y - exact) / np.linalg.norm(exact)
    packed = k * n // 2 + k // block * n * 4
    print(f"{threads:7} {k:6}x{n:<6} {block:5} {rows:4} {level:5} {t['squeeze'] * 1e6:9.0f} {t['ort'] * 1e6:9.0f} "
          f"{t['ort'] / t['squeeze']:6.2f} {packed / t['squeeze'] / 1e9:7.1f} "
          f"{packed / t['squeeze'] / (READ / t['read']) * 100:6.0f} % {error(ours()):8.4f} "
          f"{error(peer.run(None, {'x': x})[0]):8.4f}", flush=True)
    ours.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", default=ROOT / "build/release/libsqueeze.so")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--shapes", nargs="+", default=["4096x4096", "4096x32768"])
    parser.add_argument("--blocks", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--levels", type=int, nargs="+", default=[4, 0])
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    print("threads      KxN     block rows level squeeze us    ort us  ratio    GB/s of read    error  ort's")
    with tempfile.TemporaryDirectory() as folder:
        for threads in args.threads:
            os.sched_setaffinity(0, range(threads))
            for shape in args.shapes:
                for block in args.blocks:
                    for rows in args.rows:
                        for level in args.levels:
                            compare(args, pathlib.Path(folder), threads, [int(v) for v in shape.split("x")], block, rows,
                                    level)


if __name__ == "__main__":
    main()
