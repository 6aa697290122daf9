#!/usr/bin/env python3
"""Cycles per MAC of a processor from published MLPerf Tiny latencies (method: docs/device-files.md).

usage: fit_devices.py board_results.csv

The CSV has one row per result with at least: round, submitter, board, core, clock_mhz, software, benchmark,
dtype, latency_ms, power_mW. It is made from the results folders of the public repositories
mlcommons/tiny_results_v0.5 .. v1.3 and is not part of this one. Needs numpy and scipy.
"""
import csv
import sys

import numpy as np
from scipy.optimize import least_squares

KINDS = ["conv", "pointwise", "depthwise", "fc", "elementwise", "pool", "fixed"]
# Work in one inference of the four reference models: MACs; elements for elementwise and pool; calls for fixed.
WORK = {
    "ic": [12238848, 262144, 0, 640, 28672, 4096, 14],
    "vww": [497664, 6193152, 798336, 512, 0, 2304, 29],
    "ad": [0, 0, 0, 264192, 0, 0, 10],
    "kws": [320000, 2048000, 288000, 768, 0, 8000, 11],
}
# Four numbers cannot fix seven: what the data leaves open comes from this shape (relative to conv = 1; fixed in
# calls), which follows instruction counts of CMSIS-NN, with a standard deviation of a factor 1.6.
PRIOR = np.log([1.0, 1.15, 4.0, 1.6, 10.0, 2.0, 800.0])
SPREAD = np.log(1.6)
# name: core, dtype, and a test that picks the rows
SETS = {
    "cortex-m0plus": ("cortex-m0+", "int8", lambda r: True),
    "cortex-m4": ("cortex-m4f", "int8", lambda r: True),
    "cortex-m4 float32": ("cortex-m4f", "float32", lambda r: True),
    "nucleo-l4r5zi": ("cortex-m4f", "int8", lambda r: r["board"].upper().startswith("NUCLEO-L4R5ZI")),
    "cortex-m7": ("cortex-m7", "int8", lambda r: True),
    "cortex-m7 float32": ("cortex-m7", "float32", lambda r: True),
    "nucleo-h7a3zi": ("cortex-m7", "int8", lambda r: r["board"].upper().startswith("NUCLEO-H7A3")),
    "cortex-m33": ("cortex-m33", "int8", lambda r: r["device_class"] == "mcu_cpu"),
    "nucleo-u575zi": ("cortex-m33", "int8", lambda r: r["board"].upper().startswith("NUCLEO-U575")),
    "cortex-m85": ("cortex-m85", "int8", lambda r: True),
    "riscv-rv32imafc": ("riscv-rv32imafc", "int8", lambda r: True),
    "renesas-rx65n": ("renesas-rxv2", "int8", lambda r: True),
    "raspberry-pi-4": ("cortex-a72", "int8", lambda r: True),
    "raspberry-pi-4 float32": ("cortex-a72", "float32", lambda r: True),
    "nezha-c906": ("xuantie-c906", "int8", lambda r: True),
}


def usable(r):
    if r["division"] != "closed" or not r["latency_ms"] or r["benchmark"] not in WORK:
        return False
    if r["round"] == "v0.5" and r["core"] == "cortex-m4f":
        return False  # the unoptimized reference
    if "microTVM" in r["software"]:
        return False  # partly without optimized kernels, and the rows do not say which
    # From v1.1 on several engines drop the dead channels of the vww model: its MACs are no longer 7.49 million.
    dropped = r["round"] >= "v1.1" and not r["submitter"].startswith("bosch")
    return not (r["benchmark"] == "vww" and dropped and r["core"].startswith("cortex-m") and r["core"] != "cortex-m85")


def fit(rows):
    """Least squares of log(cycles), every engine and benchmark of equal weight."""
    groups = {}
    for r in rows:
        key = (r["benchmark"], r["board"].upper()[:14], r["software"].split("|")[0].strip(), r["round"])
        groups.setdefault(key, []).append(float(r["latency_ms"]) * 1e3 * float(r["clock_mhz"]))
    bench = [k[0] for k in groups]
    cycles = np.log([np.median(v) for v in groups.values()])
    work = np.array([WORK[b] for b in bench], dtype=float)
    weight = np.array([1 / np.sqrt(bench.count(b)) for b in bench])

    def residual(p):
        scale, x = p[0], np.exp(p[1:] + p[0])
        return np.concatenate([(np.log(work @ x) - cycles) * weight / 0.05, (p[1:] - PRIOR) / SPREAD])

    start = np.concatenate([[np.median(cycles - np.log(work @ np.exp(PRIOR)))], PRIOR])
    p = least_squares(residual, start).x
    x = np.exp(p[1:] + p[0])
    error = np.log(work @ x) - cycles
    return x, np.sqrt(np.mean(error**2)), np.abs(error).max(), len(groups), sorted(set(k[3] for k in groups))


def main():
    with open(sys.argv[1], newline="") as f:
        rows = [r for r in csv.DictReader(f) if usable(r)]
    for name, (core, dtype, pick) in SETS.items():
        mine = [r for r in rows if r["core"] == core and r["dtype"] == dtype and pick(r)]
        if not mine:
            print(name, "no rows")
            continue
        x, rms, worst, n, rounds = fit(mine)
        power = sorted(float(r["power_mW"]) for r in mine if r["power_mW"])
        print(f"{name}: {n} figures of {rounds[0]}..{rounds[-1]}, rms {rms:.2f}, worst {worst:.2f}, clocks",
              sorted(set(r["clock_mhz"] for r in mine)))
        print("   ", ", ".join(f"{k} {v:.3g}" for k, v in zip(KINDS, x)))
        if power:
            print(f"    power mW: median {np.median(power):.1f}, {power[0]:.1f} to {power[-1]:.1f}")


main()
