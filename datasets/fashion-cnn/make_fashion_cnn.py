#!/usr/bin/env python3
"""Train the small Fashion-MNIST classifier used by the demo and write it as ONNX.

This script is how fashion-cnn.onnx in this folder came to be. It is needed
only to make the model again; nothing in the build or the tests runs it.

Packages it ran with (Python 3.11.7, x86-64, two CPU threads, no GPU):

    torch 2.13.0+cpu   numpy 2.4.6   onnx 1.23.2   onnxruntime 1.32.0

Data: the four IDX files of Debian's package dataset-fashion-mnist
(0.0~git20200523.55506a9-1), as they are, gzip-compressed.

Command:

    python3 make_fashion_cnn.py --epochs 40 --bf16 --test

How the data are used
  - training:    the first 55,000 images of the training file
  - validation:  the last 5,000 images of the training file; printed every
                 epoch, to see that training goes well
  - test:        the 10,000 test images; read only with --test, after the
                 model file is written, and never to choose anything
The weights written are the moving average at the end of the last epoch, so
no epoch is picked by score either.

The network is a ResNet with four residual blocks. The graph is written with
onnx.helper straight from the weights: one node per operator, BatchNormalization
not folded, and names that say where a node stands ("block1/conv1").
"""

import argparse
import copy
import gzip
import hashlib
import math
import os
import time

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn as nn
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

NUM_CLASSES = 10
NUM_VALIDATION = 5000
PAD = 2  # random shifts of up to this many pixels

# (name, input channels, output channels, stride) of each residual block.
STEM_CHANNELS = 16
BLOCKS = [
    ("block1", 16, 16, 1),  # 28x28
    ("block2", 16, 40, 2),  # 14x14
    ("block3", 40, 72, 2),  # 7x7
    ("block4", 72, 72, 1),  # 7x7
]


# ---------------------------------------------------------------- data

def read_idx(path):
    """Read one gzip-compressed IDX file of unsigned bytes."""
    with gzip.open(path, "rb") as f:
        raw = f.read()
    if raw[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path}: not an IDX file of unsigned bytes")
    rank = raw[3]
    shape = np.frombuffer(raw, ">u4", count=rank, offset=4)
    body = np.frombuffer(raw, np.uint8, offset=4 + 4 * rank)
    return body.reshape([int(n) for n in shape]).copy()


def load_split(folder, prefix):
    images = read_idx(os.path.join(folder, f"{prefix}-images-idx3-ubyte.gz"))
    labels = read_idx(os.path.join(folder, f"{prefix}-labels-idx1-ubyte.gz"))
    return images, labels.astype(np.int64)


def to_input(images):
    """Bytes (n,28,28) to the model's input: float32 (n,1,28,28) in 0..1."""
    return images[:, None].astype(np.float32) / np.float32(255)


class Augmenter:
    """Makes augmented batches from a byte tensor that stays in memory.

    Each image gets a random shift of up to PAD pixels, a mirror image with
    probability 1/2, and a blank square with probability `cutout_chance`.
    """

    def __init__(self, images, generator, cutout_size=8, cutout_chance=0.5):
        self.side = images.shape[-1]
        self.padded = F.pad(torch.from_numpy(images), (PAD,) * 4)
        self.generator = generator
        self.cutout_size = cutout_size
        self.cutout_chance = cutout_chance

    def _randint(self, low, high, n):
        return torch.randint(low, high, (n, 1), generator=self.generator)

    def batch(self, index):
        n, side = len(index), self.side
        grid = torch.arange(side)[None, :]
        # One gather does shift and mirror: choose source rows and columns.
        rows = grid + self._randint(0, 2 * PAD + 1, n)
        columns = torch.where(self._randint(0, 2, n) == 1, side - 1 - grid, grid)
        columns = columns + self._randint(0, 2 * PAD + 1, n)
        out = self.padded[index[:, None, None], rows[:, :, None], columns[:, None, :]]
        # The square may hang over the border, so that edges are covered too.
        half = self.cutout_size // 2
        in_rows = (grid - self._randint(0, side, n) + half).clamp(-1, self.cutout_size)
        in_columns = (grid - self._randint(0, side, n) + half).clamp(-1, self.cutout_size)
        in_rows = (in_rows >= 0) & (in_rows < self.cutout_size)
        in_columns = (in_columns >= 0) & (in_columns < self.cutout_size)
        use = torch.rand((n, 1, 1), generator=self.generator) < self.cutout_chance
        out = out.masked_fill(in_rows[:, :, None] & in_columns[:, None, :] & use, 0)
        return out[:, None].float() / 255


# ---------------------------------------------------------------- network

def conv(c_in, c_out, kernel, stride=1):
    return nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)


class Block(nn.Module):
    """conv-bn-relu-conv-bn, plus the input (through 1x1 conv-bn if its shape
    differs), then relu."""

    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(c_in, c_out, 3, stride), nn.BatchNorm2d(c_out)
        self.conv2, self.bn2 = conv(c_out, c_out, 3), nn.BatchNorm2d(c_out)
        self.has_projection = stride != 1 or c_in != c_out
        if self.has_projection:
            self.proj_conv = conv(c_in, c_out, 1, stride)
            self.proj_bn = nn.BatchNorm2d(c_out)

    def forward(self, x):
        branch = self.proj_bn(self.proj_conv(x)) if self.has_projection else x
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + branch, inplace=True)


class FashionCnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem_conv = conv(1, STEM_CHANNELS, 3)
        self.stem_bn = nn.BatchNorm2d(STEM_CHANNELS)
        for name, c_in, c_out, stride in BLOCKS:
            setattr(self, name, Block(c_in, c_out, stride))
        self.head = nn.Linear(BLOCKS[-1][2], NUM_CLASSES)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.head.weight, std=0.05)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        x = F.relu(self.stem_bn(self.stem_conv(x)), inplace=True)
        for name, *_ in BLOCKS:
            x = getattr(self, name)(x)
        return self.head(x.mean(dim=(2, 3)))


# ---------------------------------------------------------------- training

class MovingAverage:
    """Exponential moving average of weights and BatchNorm statistics."""

    def __init__(self, model, decay):
        self.model = copy.deepcopy(model).eval()
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def update(self, model):
        self.steps += 1
        # A young average forgets its random start faster.
        decay = min(self.decay, self.steps / (self.steps + 10))
        ours, theirs = self.model.state_dict(), model.state_dict()
        floating = [k for k in ours if ours[k].is_floating_point()]
        torch._foreach_lerp_([ours[k] for k in floating],
                             [theirs[k] for k in floating], 1 - decay)


def learning_rate(progress, peak, warmup=0.1):
    """Linear rise over the first tenth, then half a cosine down to zero."""
    if progress < warmup:
        return peak * progress / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


@torch.no_grad()
def torch_accuracy(model, images, labels, batch=500):
    model.eval()
    right = 0
    for i in range(0, len(images), batch):
        x = torch.from_numpy(to_input(images[i:i + batch]))
        x = x.contiguous(memory_format=torch.channels_last)
        right += (model(x).argmax(1).numpy() == labels[i:i + batch]).sum()
    return right / len(images)


def train(args, images, labels):
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed + 1)
    n = len(images) - NUM_VALIDATION
    val_images, val_labels = images[n:], labels[n:]
    augmenter = Augmenter(images[:n], generator)
    targets = torch.from_numpy(labels[:n])

    model = FashionCnn().to(memory_format=torch.channels_last)
    # Weight decay on convolution and matrix weights only.
    optimizer = torch.optim.SGD(
        [{"params": [p for p in model.parameters() if p.ndim > 1],
          "weight_decay": args.weight_decay},
         {"params": [p for p in model.parameters() if p.ndim <= 1]}],
        lr=0.0, momentum=0.9, nesterov=True)
    average = MovingAverage(model, args.ema)

    steps_per_epoch = n // args.batch
    total = steps_per_epoch * args.epochs
    step, start = 0, time.monotonic()
    for epoch in range(1, args.epochs + 1):
        model.train()
        order = torch.randperm(n, generator=generator)
        loss_sum = torch.zeros(())
        for i in range(steps_per_epoch):
            index = order[i * args.batch:(i + 1) * args.batch]
            x = augmenter.batch(index).contiguous(memory_format=torch.channels_last)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step / total, args.lr)
            with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
                logits = model(x)
            loss = F.cross_entropy(logits.float(), targets[index],
                                   label_smoothing=args.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            average.update(model)
            loss_sum += loss.detach()
            step += 1
            if args.bench and step == args.bench:
                per_step = (time.monotonic() - start) / step
                print(f"{per_step * 1e3:.1f} ms a step, "
                      f"{per_step * steps_per_epoch:.1f} s an epoch")
                return None
        accuracy = torch_accuracy(average.model, val_images, val_labels)
        print(f"epoch {epoch:3d}/{args.epochs}  loss {loss_sum.item() / steps_per_epoch:.4f}  "
              f"validation {100 * accuracy:.2f} %  {time.monotonic() - start:.0f} s", flush=True)
        if args.checkpoint:
            torch.save(average.model.state_dict(), args.checkpoint)
    return average.model


# ---------------------------------------------------------------- ONNX

class GraphWriter:
    """Collects nodes and weights; a node's output bears the node's name."""

    def __init__(self):
        self.nodes, self.weights = [], []

    def _weight(self, name, tensor):
        array = np.ascontiguousarray(tensor.detach().numpy(), dtype=np.float32)
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op, name, inputs, output=None, **attributes):
        output = output or name
        self.nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        return output

    def conv(self, name, x, module):
        kernel, pad = module.kernel_size[0], module.padding[0]
        return self.node("Conv", name, [x, self._weight(f"{name}/weight", module.weight)],
                         kernel_shape=[kernel, kernel], strides=list(module.stride),
                         pads=[pad] * 4, dilations=[1, 1], group=1)

    def batch_norm(self, name, x, module):
        inputs = [x,
                  self._weight(f"{name}/scale", module.weight),
                  self._weight(f"{name}/bias", module.bias),
                  self._weight(f"{name}/mean", module.running_mean),
                  self._weight(f"{name}/var", module.running_var)]
        return self.node("BatchNormalization", name, inputs, epsilon=module.eps)

    def block(self, name, x, block):
        branch = x
        if block.has_projection:
            branch = self.conv(f"{name}/proj_conv", x, block.proj_conv)
            branch = self.batch_norm(f"{name}/proj_bn", branch, block.proj_bn)
        y = self.conv(f"{name}/conv1", x, block.conv1)
        y = self.batch_norm(f"{name}/bn1", y, block.bn1)
        y = self.node("Relu", f"{name}/relu1", [y])
        y = self.conv(f"{name}/conv2", y, block.conv2)
        y = self.batch_norm(f"{name}/bn2", y, block.bn2)
        y = self.node("Add", f"{name}/add", [y, branch])
        return self.node("Relu", f"{name}/relu2", [y])

    def network(self, net):
        x = self.conv("stem/conv", "image", net.stem_conv)
        x = self.batch_norm("stem/bn", x, net.stem_bn)
        x = self.node("Relu", "stem/relu", [x])
        for name, *_ in BLOCKS:
            x = self.block(name, x, getattr(net, name))
        x = self.node("GlobalAveragePool", "head/pool", [x])
        x = self.node("Flatten", "head/flatten", [x], axis=1)
        self.node("Gemm", "head/fc",
                  [x, self._weight("head/fc/weight", net.head.weight),
                   self._weight("head/fc/bias", net.head.bias)],
                  output="logits", alpha=1.0, beta=1.0, transB=1)


def write_onnx(net, path):
    writer = GraphWriter()
    writer.network(net.eval().to(memory_format=torch.contiguous_format))
    graph = helper.make_graph(
        writer.nodes, "fashion_cnn",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", NUM_CLASSES])],
        writer.weights)
    model = helper.make_model(graph, producer_name="make_fashion_cnn.py", ir_version=7,
                              opset_imports=[helper.make_opsetid("", 13)])
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    with open(path, "wb") as f:
        f.write(model.SerializeToString(deterministic=True))
    return model


def peak_live_elements(model):
    """Most activation elements alive at once for batch 1, nodes in file order.

    A tensor lives from the node that writes it to the last node that reads it;
    no node works in place, except Flatten, whose output is its input's memory.
    """
    graph = model.graph
    weights = {w.name for w in graph.initializer}
    size = {}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        dims = [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
        size[value.name] = math.prod(dims)
    last_use = {}
    for i, node in enumerate(graph.node):
        for name in node.input:
            last_use[name] = i
    alive, peak = {"image"}, (0, "")
    for i, node in enumerate(graph.node):
        alive.add(node.output[0])
        inputs = [n for n in node.input if n not in weights]
        total = sum(size[n] for n in alive)
        if node.op_type == "Flatten":
            total -= size[node.output[0]]
        peak = max(peak, (total, node.name))
        alive -= {n for n in inputs if last_use[n] == i}
    return peak


def onnx_accuracy(path, images, labels, threads, batch=500):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    right = 0
    for i in range(0, len(images), batch):
        logits = session.run(["logits"], {"image": to_input(images[i:i + batch])})[0]
        right += int((logits.argmax(1) == labels[i:i + batch]).sum())
    return right, len(images)


# ---------------------------------------------------------------- main

def parse_args():
    p = argparse.ArgumentParser(description="Train and export the demo's Fashion-MNIST network.")
    p.add_argument("--data", default="/usr/share/datasets/fashion-mnist",
                   help="folder with the four IDX .gz files")
    p.add_argument("--out", default="fashion-cnn.onnx", help="ONNX file to write")
    p.add_argument("--epochs", type=int, default=40)
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--lr", type=float, default=0.1, help="peak learning rate")
    p.add_argument("--weight-decay", type=float, default=5e-4)
    p.add_argument("--label-smoothing", type=float, default=0.1)
    p.add_argument("--ema", type=float, default=0.998, help="decay of the weight average")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--bf16", action="store_true",
                   help="run forward and backward passes in bfloat16 where safe")
    p.add_argument("--checkpoint", help="file that holds the average after each epoch")
    p.add_argument("--from-checkpoint", help="skip training; export these weights")
    p.add_argument("--test", action="store_true", help="report test accuracy at the end")
    p.add_argument("--bench", type=int, metavar="STEPS", help="only time this many steps")
    return p.parse_args()


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    images, labels = load_split(args.data, "train")

    if args.from_checkpoint:
        net = FashionCnn()
        net.load_state_dict(torch.load(args.from_checkpoint, weights_only=True))
    else:
        net = train(args, images, labels)
        if net is None:
            return

    model = write_onnx(net, args.out)
    with open(args.out, "rb") as f:
        data = f.read()
    peak, where = peak_live_elements(model)
    print(f"parameters      {sum(p.numel() for p in net.parameters())}")
    print(f"file            {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")
    print(f"peak live       {peak} activation elements, at {where}")
    right, n = onnx_accuracy(args.out, images[-NUM_VALIDATION:], labels[-NUM_VALIDATION:],
                             args.threads)
    print(f"validation      {100 * right / n:.2f} % ({right} of {n}), onnxruntime")
    if args.test:
        right, n = onnx_accuracy(args.out, *load_split(args.data, "t10k"), args.threads)
        print(f"test            {100 * right / n:.2f} % ({right} of {n}), onnxruntime")


if __name__ == "__main__":
    main()
