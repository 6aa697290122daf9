"""The networks of train.py, in PyTorch, and their ONNX files as they are before training: batch norms stay."""
import io

import torch
import torch.nn.functional as F
from torch import nn


def cbr(i, o, k, stride=1, groups=1, relu=True):
    layers = [nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o)]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))


class Basic(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.a, self.b = cbr(i, o, 3, stride), cbr(o, o, 3, relu=False)
        self.shortcut = cbr(i, o, 1, stride, relu=False) if stride != 1 or i != o else nn.Identity()

    def forward(self, x):
        return F.relu(self.b(self.a(x)) + self.shortcut(x))


class Pooled(nn.Module):
    """Features, their mean over space, one fully connected layer."""

    def __init__(self, features, width, classes):
        super().__init__()
        self.features, self.fc = features, nn.Linear(width, classes)

    def forward(self, x):
        return self.fc(self.features(x).mean((2, 3)))


def resnet8():
    return Pooled(nn.Sequential(cbr(3, 16, 3), Basic(16, 16, 1), Basic(16, 32, 2), Basic(32, 64, 2)), 64, 10)


def dscnn():
    layers = [nn.ConstantPad2d((1, 2, 4, 5), 0), nn.Conv2d(1, 64, (10, 4), 2, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    for _ in range(4):
        layers += [cbr(64, 64, 3, groups=64), cbr(64, 64, 1)]
    return Pooled(nn.Sequential(*layers), 64, 12)


def mobilenet():
    layers, i = [cbr(3, 8, 3, 2)], 8
    for o, stride in [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2)] + [(128, 1)] * 5 + [(256, 2), (256, 1)]:
        layers += [cbr(i, i, 3, stride, groups=i), cbr(i, o, 1)]
        i = o
    return Pooled(nn.Sequential(*layers), i, 2)


def mlp():
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


def autoencoder():
    sizes, layers = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128], []
    for i, o in zip(sizes, sizes[1:]):
        layers += [nn.Linear(i, o), nn.BatchNorm1d(o), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(128, 640))


def resnet18():
    layers, i = [cbr(3, 64, 3)], 64
    for o, stride in [(64, 1), (128, 2), (256, 2), (512, 2)]:
        layers += [Basic(i, o, stride), Basic(o, o, 1)]
        i = o
    return Pooled(nn.Sequential(*layers), 512, 10)


class Encoder(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.n1, self.n2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.f1, self.f2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        n, t, d = x.shape

        def split(y):
            return y.reshape(n, t, self.heads, d // self.heads).transpose(1, 2)

        q, k, v = split(self.q(x)), split(self.k(x)), split(self.v(x))
        a = torch.softmax(q @ k.transpose(-1, -2) * (d // self.heads) ** -0.5, -1) @ v
        x = self.n1(x + self.o(a.transpose(1, 2).reshape(n, t, d)))
        return self.n2(x + self.f2(F.gelu(self.f1(x))))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(32, 128)
        self.place = nn.Parameter(torch.randn(1, 64, 128) * 0.02)
        self.layers = nn.Sequential(*[Encoder(128, 4, 512) for _ in range(4)])
        self.fc = nn.Linear(128, 10)

    def forward(self, x):
        return self.fc(self.layers(self.embed(x) + self.place).mean(1))


# name: network, shape of a sample, classes (0: the autoencoder's mean square), batch, wanted ratio
MODELS = {
    "resnet8": (resnet8, (3, 32, 32), 10, 128, 1.5),
    "dscnn": (dscnn, (1, 49, 10), 12, 128, 1.5),
    "mbv1_025": (mobilenet, (3, 96, 96), 2, 64, 1.5),
    "mlp": (mlp, (784,), 10, 128, 1.5),
    "fc_ae": (autoencoder, (640,), 0, 128, 1.5),
    "resnet18": (resnet18, (3, 32, 32), 10, 64, 1.0),
    "transformer": (Transformer, (64, 32), 10, 32, 1.0),
}


def build(name):
    """Numbers of norms differ, so that the exporter does not write equal ones once."""
    torch.manual_seed(0)
    model = MODELS[name][0]().train()
    for m in model.modules():
        if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm)):
            nn.init.uniform_(m.weight, 0.5, 1.5)
            nn.init.normal_(m.bias, 0, 0.1)
        if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
            m.running_mean.normal_(0, 0.1)
            m.running_var.uniform_(0.5, 1.5)
    return model


def data(name):
    _, sample, classes, batch, _ = MODELS[name]
    g = torch.Generator().manual_seed(1)
    x = torch.randn((batch,) + sample, generator=g)
    return x, torch.randint(0, classes, (batch,), generator=g) if classes else x


def loss_of(name, y, target):
    return F.cross_entropy(y, target) if MODELS[name][2] else F.mse_loss(y, target)


def export(name, path):
    """Batch norms as inference has them, nothing folded, parameters under their names where the exporter keeps them."""
    model = build(name).eval()
    buffer = io.BytesIO()
    torch.onnx.export(model, (data(name)[0],), buffer, opset_version=17, input_names=["x"], output_names=["y"],
                      training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False, dynamo=False)
    path.write_bytes(buffer.getvalue())
