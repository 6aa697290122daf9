#!/usr/bin/env python3
"""models.py FOLDER: the ONNX files of this example, with nothing but the standard library.

  network.onnx  94 numbers: 14 positions -> 2 features -> a linear map + 12 tanh units -> where the ball is a second later
  seen.onnx     loss without knowledge: squared error where the end of the throw was seen
  motion.onnx   the same, and the equation of motion dv/dt = -g (0,1) - k |v| v, which says where every throw
                ends, seen or not. g and k are trained; they begin with 5 and 0.

A throw is seen at times t = -0.35 ... 0 (step 0.05). Its speed in the middle of these, tc = -0.175, is the slope
of a straight line through the positions (least squares), less what the third derivative j adds to it:
v = slope - j <tau^4> / (6 <tau^2>), tau = t - tc; its place there is the mean less a <tau^2> / 2. From there five
steps of classical Runge-Kutta go on to t = 1."""
import random
import struct
import sys

# ---- ONNX is protobuf: fields are (number << 3 | kind), then a varint or length and bytes ----


def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def number(field, n):
    return varint(field << 3) + varint(n)


def block(field, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


def tensor(name, shape, values, ints=False):
    data = struct.pack(f"<{len(values)}{'q' if ints else 'f'}", *values)
    return b"".join(number(1, d) for d in shape) + number(2, 7 if ints else 1) + block(8, name) + block(9, data)


def info(name, shape):
    dims = b"".join(block(1, block(2, d) if isinstance(d, str) else number(1, d)) for d in shape)
    return block(1, name) + block(2, block(1, number(1, 1) + block(2, dims)))


class Graph:
    def __init__(self, name):
        self.name, self.node, self.init, self.count = name, b"", b"", 0
        self.input = self.output = b""

    def add(self, op, *inputs, out=None, **attrs):
        """A node; attributes are ints."""
        self.count += 1
        out = out or f"{op.lower()}_{self.count}"
        data = b"".join(block(1, i) for i in inputs) + block(2, out) + block(3, f"n{self.count}") + block(4, op)
        for key, value in attrs.items():
            data += block(5, block(1, key) + number(3, value) + number(20, 2))
        self.node += block(1, data)
        return out

    def trained(self, name, shape, values):
        self.init += block(5, tensor(name, shape, values))
        return name

    def ints(self, name, values):
        self.init += block(5, tensor(name, [len(values)], values, True))
        return name

    def fixed(self, shape, values):
        """The result of a Constant node: squeeze does not train it."""
        self.count += 1
        out = f"const_{self.count}"
        attr = block(1, "value") + block(5, tensor("", shape, values)) + number(20, 4)
        self.node += block(1, block(2, out) + block(3, f"n{self.count}") + block(4, "Constant") + block(5, attr))
        return out

    def write(self, path):
        graph = self.node + block(2, self.name) + self.init + self.input + self.output
        with open(path, "wb") as f:
            f.write(number(1, 8) + block(2, "models.py") + block(7, graph) + block(8, block(1, "") + number(2, 13)))


TIMES = [-0.35 + 0.05 * i for i in range(8)]
MIDDLE = sum(TIMES) / 8
TAU = [t - MIDDLE for t in TIMES]
TAU2 = sum(t**2 for t in TAU) / 8
TAU4 = sum(t**4 for t in TAU) / 8


def columns(g, first, last, out=None):
    return g.add("Slice", "x", g.ints(f"from{first}_{last}", [first]), g.ints(f"to{first}_{last}", [last]),
                 g.ints(f"axis{first}_{last}", [1]), out=out)


def network():
    g, draw = Graph("network"), random.Random(1)

    def weights(name, rows, cols):
        limit = (6 / (rows + cols)) ** 0.5
        return g.trained(name, [rows, cols], [draw.uniform(-limit, limit) for _ in range(rows * cols)])

    speed = g.add("MatMul", columns(g, 0, 14), weights("w", 14, 2))
    hidden = g.add("Tanh", g.add("Gemm", speed, weights("w1", 2, 12), g.trained("b1", [12], [0] * 12)))
    curved = g.add("Gemm", hidden, weights("w2", 12, 2), g.trained("b2", [2], [0] * 2))
    g.add("Add", g.add("MatMul", speed, weights("w3", 2, 2)), curved, out="place")
    g.input, g.output = block(11, info("x", ["N", 15])), block(12, info("place", ["N", 2]))
    return g


def distance(g, a, b):
    """(N,1): squared distance of places."""
    d = g.add("Sub", a, b)
    return g.add("ReduceSum", g.add("Mul", d, d), "last", keepdims=1)


def acceleration(g, v):
    """a = - g (0,1) - k |v| v, and |v|."""
    square = g.add("ReduceSum", g.add("Mul", v, v), "last", keepdims=1)
    speed = g.add("Sqrt", g.add("Add", square, g.fixed([], [1e-6])))
    air = g.add("Mul", g.add("Mul", speed, v), "k")
    return g.add("Neg", g.add("Add", air, g.add("Mul", "g", g.fixed([1, 2], [0, 1])))), speed


def scaled(g, v, factor):
    return g.add("Mul", v, g.fixed([], [factor]))


def start(g):
    """Place and speed in the middle of what was seen. The 8th position is 0 0."""
    pick = [[[0.0, 0.0] for _ in range(14)] for _ in range(2)]
    for i in range(7):
        for c in range(2):
            pick[0][2 * i + c][c] = 1 / 8
            pick[1][2 * i + c][c] = TAU[i] / (8 * TAU2)
    x = columns(g, 0, 14)
    mean, slope = (g.add("MatMul", x, g.fixed([14, 2], [n for row in m for n in row])) for m in pick)
    a, speed = acceleration(g, slope)
    along = g.add("ReduceSum", g.add("Mul", slope, a), "last", keepdims=1)
    j = g.add("Add", g.add("Mul", g.add("Div", along, speed), slope), g.add("Mul", speed, a))
    j = g.add("Neg", g.add("Mul", "k", j))
    v = g.add("Sub", slope, scaled(g, j, TAU4 / (6 * TAU2)))
    a, _ = acceleration(g, v)
    return g.add("Sub", mean, scaled(g, a, TAU2 / 2)), v


def fly(g, p, v, time, steps):
    h = time / steps
    for _ in range(steps):
        a1, _ = acceleration(g, v)
        v2 = g.add("Add", v, scaled(g, a1, h / 2))
        a2, _ = acceleration(g, v2)
        v3 = g.add("Add", v, scaled(g, a2, h / 2))
        a3, _ = acceleration(g, v3)
        v4 = g.add("Add", v, scaled(g, a3, h))
        a4, _ = acceleration(g, v4)
        speeds = g.add("Add", g.add("Add", v, v4), scaled(g, g.add("Add", v2, v3), 2))
        slopes = g.add("Add", g.add("Add", a1, a4), scaled(g, g.add("Add", a2, a3), 2))
        p = g.add("Add", p, scaled(g, speeds, h / 6))
        v = g.add("Add", v, scaled(g, slopes, h / 6))
    return p


def mean(g, v, out):
    return g.add("ReduceMean", v, out=out, keepdims=0)


def loss(name, motion):
    g = Graph(name)
    g.ints("last", [1])
    seen = columns(g, 14, 15)
    data = mean(g, g.add("Mul", seen, distance(g, "place", "label")), "data")
    total = data
    g.output = block(12, info("total", []))
    if motion:
        g.trained("g", [], [5.0])
        g.trained("k", [], [0.0])
        end = fly(g, *start(g), 1 - MIDDLE, 5)
        law = mean(g, distance(g, "place", end), "law")
        told = mean(g, g.add("Mul", seen, distance(g, end, "label")), "told")
        g.output += block(12, info("law", [])) + block(12, info("told", []))
        total = g.add("Add", g.add("Add", total, law), scaled(g, told, 10))
    # 24 of 1,024 ends were seen: the mean over these
    g.add("Mul", total, g.fixed([], [1024 / 24 if not motion else 1.0]), out="total")
    g.input = b"".join(block(11, info(n, ["N", c])) for n, c in (("x", 15), ("place", 2), ("label", 2)))
    return g


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else "."
    network().write(f"{folder}/network.onnx")
    loss("seen", False).write(f"{folder}/seen.onnx")
    loss("motion", True).write(f"{folder}/motion.onnx")


if __name__ == "__main__":
    main()
