#!/usr/bin/env python3
"""Weights of 4 bits in blocks of 32 on a transformer: error of each layer's output, against rounding to nearest and against
blocks of the kinds that llama.cpp uses.

    bench/transformer_int4.py [--squeeze build/release/squeeze] [--dir build/bench/transformer] [--seeds 0 1 2] [--steps 1000] [--batch 16]

Trains a small language model (characters of the licences and documentation that Debian installs; 4 blocks of width 128) once for
each seed, and quantizes its dense layers by each recipe. The error of a layer is E|(W^ - W) x|^2 / E|W x|^2 over text that neither
training nor calibration saw, with the float model's x. Where awq scales channels, W, W^ and x are those of the scaled
model, and outputs are scaled back. Written here from public descriptions:

    nearest   symmetric, -7..7, scale max|w| / 7
    q4_0      blocks of 32: the weight of largest magnitude is -8 exactly, codes -8..7, the scale in float16
    q4_k      superblocks of 256: eight blocks of 32, each with scale and least value (both of 6 bits, relative to a float16
              scale of the superblock), codes 0..15; scale and least value fitted by weighted least squares

Needs torch (to train), numpy, onnx and onnxruntime.
"""
import argparse
import glob
import pathlib
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK, CONTEXT, WIDTH, DEPTH, HEADS = 32, 64, 128, 4, 4
INT4 = "ptq(weights=4 group=32 activations=0 edges=0 ranges="
RECIPES = {  # all make the same kind of file: 4 bits, blocks of 32, float activations
    "squeeze nearest": INT4 + "minmax)",
    "awq": "awq(bits=4 group=32)," + INT4 + "minmax)",
    "gptq": INT4 + "mse),gptq",
    "gptq, own input": INT4 + "mse),gptq(asymmetric=0)",
    "awq, gptq": "awq(bits=4 group=32 clip=0)," + INT4 + "mse),gptq",
    "hqq": INT4 + "minmax),hqq(p=2)",
    "hqq, gptq": INT4 + "minmax),hqq(p=2),gptq",
    "hqq, gptq own": INT4 + "minmax),hqq(p=2),gptq(asymmetric=0)",
}


# ---- the model ----

def text():
    """Bytes of documentation, and the alphabet: the 95 printable characters and the line's end."""
    names = sorted(glob.glob("/usr/share/common-licenses/*") + glob.glob("/usr/share/doc/*/copyright"))
    data = b"\n".join(pathlib.Path(n).read_bytes() for n in names if pathlib.Path(n).is_file())[:2_000_000]
    codes = np.frombuffer(data, np.uint8).astype(np.int64)
    return np.where((codes >= 32) & (codes < 127), codes - 31, 0)


def train(where, seed, steps, batch):
    import torch
    from torch import nn

    torch.manual_seed(seed)
    torch.set_num_threads(1)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.ln1, self.ln2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
            self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
            self.register_buffer("mask", torch.full((CONTEXT, CONTEXT), -1e4).triu(1))

        def forward(self, x):
            h = self.ln1(x)
            split = lambda t: t.reshape(-1, CONTEXT, HEADS, WIDTH // HEADS).transpose(1, 2)
            q, k, v = split(self.q(h)), split(self.k(h)), split(self.v(h))
            a = (q @ k.transpose(2, 3) * (WIDTH // HEADS) ** -0.5 + self.mask).softmax(-1)
            x = x + self.o((a @ v).transpose(1, 2).reshape(-1, CONTEXT, WIDTH))
            return x + self.down(nn.functional.gelu(self.up(self.ln2(x))))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.place = nn.Embedding(96, WIDTH), nn.Parameter(0.02 * torch.randn(CONTEXT, WIDTH))
            self.blocks = nn.Sequential(*(Block() for _ in range(DEPTH)))
            self.ln, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 96)

        def forward(self, t):
            return self.head(self.ln(self.blocks(self.embed(t) + self.place)))

    data = text()
    cut = len(data) * 9 // 10
    rng = np.random.default_rng(seed)
    draw = lambda lo, hi, n: np.stack([data[i:i + CONTEXT + 1] for i in rng.integers(lo, hi - CONTEXT - 1, n)])
    model = Model()
    opt = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.01)
    plan = torch.optim.lr_scheduler.OneCycleLR(opt, 3e-3, steps)
    for step in range(steps):
        b = torch.from_numpy(draw(0, cut, batch))
        loss = nn.functional.cross_entropy(model(b[:, :-1]).flatten(0, 1), b[:, 1:].flatten())
        opt.zero_grad()
        loss.backward()
        opt.step()
        plan.step()
        if step % 50 == 0 or step == steps - 1:
            print(f"seed {seed}: step {step}, loss {loss.item():.3f}", flush=True)
    model.eval()
    where.mkdir(parents=True, exist_ok=True)
    np.savez(where / "calib.npz", x=draw(0, cut, 128)[:, :-1].astype(np.float32))
    np.savez(where / "test.npz", x=draw(cut, len(data), 64).astype(np.float32))
    torch.onnx.export(model, torch.zeros(1, CONTEXT, dtype=torch.long), str(where / "model.onnx"), opset_version=17,
                      input_names=["tokens"], output_names=["logits"], dynamic_axes={"tokens": {0: "n"}}, dynamo=False)


# ---- quantizers to compare with: w (N, K), blocks along K ----

def nearest(w):
    b = w.reshape(-1, BLOCK)
    s = np.abs(b).max(1, keepdims=True) / 7
    s[s == 0] = 1
    return (np.clip(np.rint(b / s), -7, 7) * s).reshape(w.shape)


def q4_0(w):
    b = w.reshape(-1, BLOCK)
    peak = np.take_along_axis(b, np.abs(b).argmax(1)[:, None], 1)
    s = (peak / -8).astype(np.float16).astype(np.float32)
    s[s == 0] = 1
    return (np.clip(np.rint(b / s), -8, 7) * s).reshape(w.shape)


def q4_k(w):
    """Least value is at most 0: real = scale * code - least."""
    b = w.reshape(-1, BLOCK).astype(np.float64)
    weight = np.sqrt((b * b).mean(1, keepdims=True)) + np.abs(b)  # large weights count more
    lo, hi = np.minimum(b.min(1, keepdims=True), 0), b.max(1, keepdims=True)
    best, scale, least = np.full((len(b), 1), np.inf), np.zeros((len(b), 1)), np.zeros((len(b), 1))
    for step in range(-10, 11):  # candidates of the scale, each refined by weighted least squares
        s = np.maximum(hi - lo, 1e-12) / (15 + 0.1 * step)
        q = np.clip(np.rint((b - lo) / s), 0, 15)
        sw, sq, sq2 = weight.sum(1, keepdims=True), (weight * q).sum(1, keepdims=True), (weight * q * q).sum(1, keepdims=True)
        sb, sqb = (weight * b).sum(1, keepdims=True), (weight * q * b).sum(1, keepdims=True)
        det = sw * sq2 - sq * sq
        ok = det > 0
        s2 = np.where(ok, (sw * sqb - sq * sb) / np.where(ok, det, 1), s)
        m2 = np.where(ok, (sq2 * sb - sq * sqb) / np.where(ok, det, 1), lo)
        over = m2 > 0
        s2 = np.where(over, sqb / np.maximum(sq2, 1e-12), s2)
        m2 = np.where(over, 0, m2)
        e = (weight * (s2 * q + m2 - b) ** 2).sum(1, keepdims=True)
        better = e < best
        best, scale, least = (np.where(better, x, y) for x, y in ((e, best), (s2, scale), (-m2, least)))
    pad = -len(b) % 8
    big = lambda v: np.pad(v, ((0, pad), (0, 0))).reshape(-1, 8)
    six = lambda v: (lambda d: np.where(d > 0, np.clip(np.rint(v / np.where(d > 0, d, 1)), 0, 63) * d, 0))(
        (v.max(1, keepdims=True) / 63).astype(np.float16).astype(np.float64))
    s, m = (six(big(np.maximum(v, 0))).reshape(-1, 1)[:len(b)] for v in (scale, least))
    q = np.clip(np.rint((b + m) / np.where(s > 0, s, 1)), 0, 15)
    return (s * q - m).reshape(w.shape).astype(np.float32)


# ---- layers of a model file ----

def weight_of(graph, name, made, const):
    """Numbers of a constant, through DequantizeLinear and whatever else is made of constants."""
    import onnx

    if name in const:
        return const[name]
    n = made.get(name)
    if n is None:
        return None
    ins = [weight_of(graph, i, made, const) if i else None for i in n.input]
    if any(v is None and i for v, i in zip(ins, n.input)):
        return None
    if n.op_type == "DequantizeLinear":
        at = {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute}
        q, s = ins[0].astype(np.float32), ins[1].astype(np.float32)
        z = ins[2].astype(np.float32) if len(ins) > 2 and ins[2] is not None else np.zeros_like(s)
        axis, block = at.get("axis", 1), at.get("block_size", 0)
        if block:
            fit = lambda v: np.repeat(v, block, axis).take(range(q.shape[axis]), axis)
        elif s.ndim == 1 and s.size > 1:
            fit = lambda v: v.reshape([-1 if a == axis % q.ndim else 1 for a in range(q.ndim)])
        else:
            fit = lambda v: v
        return (q - fit(z)) * fit(s)
    if n.op_type == "Transpose":
        perm = [list(a.ints) for a in n.attribute if a.name == "perm"]
        return ins[0].transpose(perm[0] if perm else None)
    return None


def layers(path):
    """name -> (input, output, w (N, K)) of the dense layers of a file."""
    import onnx
    from onnx import numpy_helper

    g = onnx.load(str(path)).graph
    const = {}
    for i in g.initializer:
        v = numpy_helper.to_array(i)
        const[i.name] = v.astype(np.float32) if v.dtype.name in ("int4", "uint4") else v
    for n in g.node:
        if n.op_type == "Constant":
            const[n.output[0]] = numpy_helper.to_array(n.attribute[0].t)
    made = {o: n for n in g.node for o in n.output}
    out = {}
    for n in g.node:
        if n.op_type not in ("MatMul", "Gemm"):
            continue
        w = weight_of(g, n.input[1], made, const)
        if w is None or w.ndim != 2:
            continue
        turned = n.op_type == "Gemm" and any(a.name == "transB" and a.i for a in n.attribute)
        out[n.name] = (n.input[0], n.output[0], w if turned else w.T)
    return out


def activations(path, names, x):
    """Values of a model on x, as rows."""
    import onnx
    import onnxruntime as ort

    m = onnx.load(str(path))
    have = {o.name for o in m.graph.output}
    m.graph.output.extend(onnx.helper.make_empty_tensor_value_info(n) for n in names if n not in have)
    s = ort.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"])
    got = s.run(list(names), {s.get_inputs()[0].name: x.astype(np.int64)})
    return {n: v.reshape(-1, v.shape[-1]) for n, v in zip(names, got)}


# ---- errors ----

def error(w, hat, x, scale=1.0):
    y = x @ w.T
    return float((((x @ (hat - w).T) * scale) ** 2).sum() / ((y * scale) ** 2).sum())


def squeeze(tool, model, calib, recipe, out):
    p = subprocess.run([tool, "quantize", str(model), "--data", str(calib), "--recipe", recipe, "--seed", "0", "-o", str(out)],
                       capture_output=True, text=True, check=False)
    if p.returncode:
        print(f"  {recipe}: {p.stderr.strip().splitlines()[-1]}", file=sys.stderr)
    return p.returncode == 0


def by_recipe(tool, where, recipe, base, x0, y0):
    """Relative errors by layer of a recipe; None: it could not be run."""
    out, plain = where / "q.onnx", where / "scaled.onnx"
    if not squeeze(tool, where / "model.onnx", where / "calib.npz", recipe, out):
        return None
    hat = layers(out)
    floats, x = base, x0
    scale = {n: 1.0 for n in base}
    if recipe.startswith("awq"):  # the same factors without rounding: what the layers should give
        step = recipe[:recipe.index(")") + 1].replace("clip=0", "").replace(")", " clip=0)") + ',ptq(activations=0 exclude=".*")'
        if not squeeze(tool, where / "model.onnx", where / "calib.npz", step, plain):
            return None
        floats = layers(plain)
        got = activations(plain, sorted({floats[n][0] for n in base}), np.load(where / "test.npz")["x"][:, :-1])
        x = {n: got[floats[n][0]] for n in base}
        for n in base:  # outputs that are scaled themselves: least squares by channel
            y = x[n] @ floats[n][2].T
            full = x0[n] @ base[n][2].T
            scale[n] = (y * full).sum(0) / np.maximum((y * y).sum(0), 1e-30)
    return {n: error(floats[n][2], hat[n][2], x[n], scale[n]) for n in base}


def show(table, names):
    rows = list(table)
    print(f"{'layer':34s}" + "".join(f"{r:>17s}" for r in rows))
    for n in names:
        print(f"{n[:33]:34s}" + "".join(f"{table[r][n]:17.5f}" for r in rows))
    mean = {r: np.exp(np.mean([np.log(table[r][n]) for n in names])) for r in rows}
    print(f"{'geometric mean':34s}" + "".join(f"{mean[r]:17.5f}" for r in rows))
    print(f"{'of nearest':34s}" + "".join(f"{mean[r] / mean['nearest']:17.3f}" for r in rows), flush=True)
    return mean


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--squeeze", default=str(ROOT / "build/release/squeeze"))
    p.add_argument("--dir", type=pathlib.Path, default=ROOT / "build/bench/transformer")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--steps", type=int, default=1000)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--train-only", action="store_true")
    a = p.parse_args()
    good = True
    for seed in a.seeds:
        where = a.dir / f"seed{seed}"
        if not (where / "model.onnx").exists():
            train(where, seed, a.steps, a.batch)
        if a.train_only:
            continue
        base = layers(where / "model.onnx")
        got = activations(where / "model.onnx", sorted({v[0] for v in base.values()}), np.load(where / "test.npz")["x"][:, :-1])
        x = {n: got[base[n][0]] for n in base}
        table = {k.__name__: {n: error(base[n][2], k(base[n][2]), x[n]) for n in base} for k in (nearest, q4_0, q4_k)}
        for name, recipe in RECIPES.items():
            e = by_recipe(a.squeeze, where, recipe, base, x, None)
            if e:
                table[name] = e
        mean = show(table, sorted(base))
        best = min((mean[r], r) for r in mean if r in RECIPES)
        ok = best[0] <= 0.7 * mean["nearest"] and best[0] < min(mean["q4_0"], mean["q4_k"])
        good = good and ok
        print(f"seed {seed}: {best[1]} at {best[0] / mean['nearest']:.3f} of nearest, {best[0] / mean['q4_0']:.3f} of q4_0, "
              f"{best[0] / mean['q4_k']:.3f} of q4_k: {'holds' if ok else 'DOES NOT HOLD'}\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
