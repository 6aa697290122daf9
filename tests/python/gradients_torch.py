#!/usr/bin/env python3
"""Gradients of random networks by squeeze and by PyTorch: gradients_torch.py GRAD_OF [ROUNDS].

Convolutions with batch norms (statistics stored, and of the batch), recurrent networks, transformers, and operators in a row.
Parameters are compared by their names, in the shapes of the file, and gradients of the input in all. PyTorch computes in
double; ours must be within 1e-4 of the largest number of each gradient (of what is left of it beside the largest one of all
gradients times 1e-3: a bias in front of a batch norm has a gradient of zero, but for rounding).

Exits with 77 (skipped) where torch or onnx cannot be imported.
"""
import pathlib
import subprocess
import sys
import tempfile
import warnings

try:
    import numpy as np
    import onnx  # noqa: F401  (torch.onnx wants it)
    import torch
    from torch import nn
    import torch.nn.functional as F
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

RELATIVE = 1e-4
warnings.filterwarnings("ignore")


class Conv(nn.Module):
    """Blocks of convolution, batch norm and an activation, with a skip and a depthwise layer."""

    def __init__(self, r, bias):
        super().__init__()
        c = int(r.integers(2, 5)) * 4
        self.a, self.an = nn.Conv2d(3, c, 3, padding=1, bias=bias), nn.BatchNorm2d(c)
        self.b, self.bn = nn.Conv2d(c, c, 3, stride=2, padding=1, groups=c, bias=bias), nn.BatchNorm2d(c)
        self.d, self.dn = nn.Conv2d(c, c, 1, bias=bias), nn.BatchNorm2d(c)
        self.f = nn.Linear(c, 5)
        self.act = [F.relu, F.silu, F.hardswish, F.leaky_relu][int(r.integers(4))]
        for n in (self.an, self.bn, self.dn):
            nn.init.uniform_(n.weight, 0.5, 1.5)
            nn.init.normal_(n.bias)
            n.running_mean.normal_()
            n.running_var.uniform_(0.5, 2)

    def forward(self, x):
        x = self.act(self.an(self.a(x)))
        y = self.act(self.bn(self.b(x)))
        y = self.dn(self.d(y)) + F.avg_pool2d(x, 2)
        return self.f(F.max_pool2d(torch.tanh(y), 2).mean((2, 3)))


class Recurrent(nn.Module):
    def __init__(self, r, kind):
        super().__init__()
        both = bool(r.integers(2))
        self.l = getattr(nn, kind)(5, 7, num_layers=2, batch_first=bool(r.integers(2)), bidirectional=both)
        self.f = nn.Linear(14 if both else 7, 3)

    def forward(self, x):
        y, _ = self.l(x)
        return self.f(torch.tanh(y)).mean(1)


class Transformer(nn.Module):
    def __init__(self, r):
        super().__init__()
        d = 12
        self.n, self.m = nn.LayerNorm(d), nn.LayerNorm(d)
        self.q, self.k, self.v, self.o = (nn.Linear(d, d) for _ in range(4))
        self.up, self.down = nn.Linear(d, 2 * d), nn.Linear(2 * d, d)
        self.heads = int(r.integers(1, 4))

    def forward(self, x):
        n, t, d = x.shape
        z = self.n(x)
        q, k, v = (f(z).reshape(n, t, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        w = torch.softmax(q @ k.transpose(2, 3) / (d / self.heads) ** 0.5, -1)
        x = x + self.o((w @ v).transpose(1, 2).reshape(n, t, d))
        return (x + self.down(F.gelu(self.up(self.m(x))))).mean(1)


class Mixed(nn.Module):
    """Norms of groups, resizing, reductions and functions in a row."""

    def __init__(self, r):
        super().__init__()
        self.c, self.g, self.i = nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(4, 8), nn.InstanceNorm2d(8, affine=True)
        self.t, self.p = nn.ConvTranspose2d(8, 4, 2, stride=2), nn.PReLU(4)
        self.mode = ["nearest", "bilinear"][int(r.integers(2))]

    def forward(self, x):
        x = self.p(self.t(self.i(torch.sin(self.g(self.c(x))))))
        x = F.interpolate(x, scale_factor=2, mode=self.mode)
        x = torch.cat([x, F.elu(x), F.pixel_unshuffle(x, 2).repeat(1, 1, 2, 2)], 1)
        return torch.logsumexp(x, (2, 3)) + torch.sqrt(1 + x.abs().amax((2, 3))) + x.cumsum(1).prod(1).mean((1, 2))[:, None]


def networks(r):
    yield "conv, stored", Conv(r, True), (4, 3, 8, 8), False
    yield "conv, of the batch", Conv(r, False), (4, 3, 8, 8), True
    for kind in ("LSTM", "GRU", "RNN"):
        yield kind, Recurrent(r, kind), (3, 6, 5), False
    yield "transformer", Transformer(r), (2, 5, 12), False
    yield "mixed", Mixed(r), (2, 3, 6, 6), False


def ours(tool, folder, model, x, u, train):
    mode = torch.onnx.TrainingMode.TRAINING if train else torch.onnx.TrainingMode.EVAL
    torch.onnx.export(model, (x,), folder / "m.onnx", dynamo=False, do_constant_folding=False, opset_version=17,
                      training=mode, input_names=["x"])
    np.savez(folder / "in.npz", x=x.numpy(), u=u.numpy())
    command = [tool, folder / "m.onnx", folder / "in.npz", folder / "out.npz"] + (["train"] if train else [])
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    got = {}
    for name, v in np.load(folder / "out.npz").items():
        got[name.removesuffix("@last")] = np.moveaxis(v, -1, 1) if name.endswith("@last") else v
    return got


def theirs(model, x, u, train):
    model = model.double()
    model.train(train)
    x = x.double().requires_grad_()
    model.zero_grad()
    y = model(x)
    (y * u.double()).sum().backward()
    want = {"y": y.detach().numpy(), "grad.x": x.grad.numpy()}
    want.update({"grad." + n: p.grad.numpy() for n, p in model.named_parameters() if p.grad is not None})
    return want


def compare(what, got, want):
    most = max(np.abs(v).max() for n, v in want.items() if n != "y")
    bad, seen = [], 0
    for name, v in want.items():
        if name not in got:
            continue  # a parameter that the file spells otherwise: its effect is in the others
        seen += 1
        size = np.abs(v).max() if name == "y" else max(np.abs(v).max(), 1e-3 * most)
        off = np.abs(got[name].reshape(v.shape) - v).max() / size
        if not off <= RELATIVE:
            bad.append(f"{what}: {name} is off by {off:.2g} of its largest number")
    if seen < 3:
        bad.append(f"{what}: only {seen} gradients could be compared")
    return bad, seen


def main():
    tool, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
    bad, compared = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(rounds):
            torch.manual_seed(seed)
            for what, model, shape, train in networks(np.random.default_rng(seed)):
                x = torch.randn(shape)
                model.train(train)
                with torch.no_grad():
                    u = torch.randn(model(x).shape)
                try:
                    got = ours(tool, pathlib.Path(folder), model, x, u, train)
                except RuntimeError as e:
                    bad.append(f"{what}, seed {seed}: {e}")
                    continue
                more, seen = compare(f"{what}, seed {seed}", got, theirs(model, x, u, train))
                bad += more
                compared += seen
    print("\n".join(bad) or f"{compared} arrays agree")
    return 1 if bad else 0


sys.exit(main())
