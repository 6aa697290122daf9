#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets whose formats need no package to write: csv, graph,
hdf5_made, json, keras, tensor, yaml. Run it in tests/fuzz after a change and commit the files. Seeds of findings are added
by hand and named after what they showed."""
import json
import os
import struct


def save(target, name, data):
    folder = os.path.join("corpus", target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


# csv: the first byte is how to read it; see fuzz_csv.c
HEADER, SEMICOLON, VALUES, LABEL, FIRST, COLUMNS, SPOOL, TWO = (1 << i for i in range(8))


def csv(name, how, text):
    save("csv", name, bytes([how]) + text.encode())


csv("classes", HEADER | LABEL | SPOOL, "a,b,label\n1,2.5,0\n-3e2,.5,2\n0,0,1\n")
csv("names", HEADER | LABEL | SPOOL, 'a,"b ""x""",label\r\n1,2,cat\r\n3,4,"dog, big"\r\n')
csv("values", HEADER | LABEL | SEMICOLON | VALUES | SPOOL, "label;a\n0.5;1\n-1.25;2\n")
csv("no_header", FIRST | SPOOL, "0,1,2\n1,3,4\n\n0,5,6")
csv("chosen", FIRST | COLUMNS | SPOOL, "7,1\n8,2\n")
csv("not_read", HEADER | COLUMNS | TWO, "\ufeff1,2\n3,4\n")
csv("large", SPOOL, "1e38,-1e38\n1e39,0\n")

save("json", "ranges.json", """{
  "squeeze_ranges": 1,
  "calibrator": "mse",
  "samples": 512,
  "data": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
  "values": {
    "x": {"lo": -1, "hi": 1.5, "min": -1.25, "max": 2, "clipped": 0.01, "rule": "mse"},
    "y/relu:0": {"lo": 0, "hi": 6, "rule": "user"},
    "\\u00e9\\n\\"": {"min": 0, "max": 3, "calibrator": "percentile(p=99.9)"}
  }
}
""")
save("json", "few.json", '{"squeeze_ranges":1,"values":{}}')
save("json", "report.json", '{"command": "check", "estimate": {"device": "cortex-m4", "flash": 65536, '
     '"ram": 1.5e4, "latency": 0.0123}, "checks": [{"name": "flash", "holds": true}, null, []]}')
save("json", "deep.json", "[" * 40 + "]" * 40)

save("graph", "net", '''graph "net" producer "pytorch" opset 13 batch_free batch "N"
meta "author" "some\\x0abody"
input x f32 1x3x4x4 range [-1 1]
const w f32 2x3x1x1 = 0.5 -1 0.25 1 2 3
const b f32 2 = 0 0.100000001
y f32 1x2x4x4 = conv2d(x, w, b) @conv1 strides=1,1
z f32 1x2x4x4 = relu(y) @act
output z
''')
save("graph", "moves", '''input x f32 2x3x4
a = transpose(x) @t perm=2,0,1
const s s64 2 = 4 6
r = reshape(a) shape=4,6
p = pad(r) pads=0,1,0,1
q = slice(p) starts=0 ends=3 axes=0 steps=1
c = concat(q, q) axis=1
output c, r
''')
save("graph", "quantized", '''graph "q" quant ranges
input x f32 1x4
const w s8 4x4 quant s8 axis=0 group=0 [0.5@0 0.25@0 1@0 2@0] = 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
q s8 1x4 quant s8 axis=-1 group=0 [0.0078125@-128] = quantize(x)
d f32 1x4 = dequantize(q)
output d
''')
save("graph", "fold", '''const a f32 3 = 1 nan -inf
const b f32 3 = 0 0 2
const i s64 2 = 2 -3
c = div(a, b)
g = gather(c, i) axis=0
e = exp(g)
output e
''')
save("graph", "pools", '''input x f32 1x2x5x5
a = average_pool(x) kernel_shape=3,3 strides=2,2 pads=1,1,1,1
m = max_pool(x) kernel_shape=2,2 strides=2,2 ceil_mode=1
g = global_average_pool(m)
s = softmax(a) axis=1
output g, s
''')


# ---- TensorProto by hand: field number and wire type, then the value ----
def varint(n):
    out = b""
    n &= (1 << 64) - 1
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


DIMS, TYPE, FLOATS, INT32, INT64, NAME, RAW, DOUBLES, UINT64, LOCATION = 1, 2, 4, 5, 7, 8, 9, 10, 11, 14


def tensor(name, dims, code, *rest):
    data = b"".join(field(DIMS, d) for d in dims) + field(TYPE, code)
    save("tensor", name, data + b"".join(field(k, v) for k, v in rest) + field(NAME, name.encode()))


tensor("raw_f32", [2, 3], 1, (RAW, struct.pack("<6f", *range(6))))
tensor("list_f32", [3], 1, (FLOATS, struct.pack("<3f", 1, -2, float("nan"))))
tensor("scalar_f64", [], 11, (DOUBLES, struct.pack("<d", 0.1)))
tensor("list_s64", [2], 7, (INT64, varint(-1) + varint(1 << 62)))
tensor("list_u64", [1], 13, (UINT64, varint((1 << 64) - 1)))
tensor("list_u32", [2], 12, (UINT64, varint(7) + varint((1 << 32) - 1)))
tensor("list_s8", [3], 3, (INT32, varint(-128) + varint(127) + varint(0)))
tensor("list_f16", [2], 10, (INT32, varint(0x3c00) + varint(0xfc00)))
tensor("raw_bf16", [2], 16, (RAW, b"\x80\x3f\x00\xc0"))
tensor("list_bool", [3], 9, (INT32, b"\x01\x00\x01"))
tensor("raw_bool", [3], 9, (RAW, b"\x01\x00\xff"))
tensor("raw_s4", [3], 22, (RAW, b"\x8f\x07"))
tensor("list_u4", [3], 21, (INT32, b"\x21\x03"))
tensor("empty", [0, 5], 1)
tensor("huge", [1 << 40, 1 << 20], 1, (RAW, b"1234"))
tensor("string", [1], 8, (6, b"text"))
tensor("external", [2], 1, (13, field(1, b"location") + field(2, b"../w.bin")), (LOCATION, 1))

save("yaml", "device.yaml", """squeeze_device: 1
name: 64 KiB board
source: "made up"
extends: cortex-m4
core: {arch: cortex-m4, clock: 64 MHz}
memory:
  - {name: sram, kind: ram, size: 64 KiB, bytes_per_cycle: 4, arena: true}
  - {name: flash, kind: flash, size: 512 KiB, bytes_per_cycle: 4, weights: true}
limits:
  flash: 320 KiB
  ram: 64 KiB
  latency: {max: 1 s, margin: 20 %}
  accuracy: {metric: top1, max_drop: 0.5 pp}
""")
save("yaml", "own.yaml", """squeeze_device: 1
name: whole
doc: "every key"
latency_error: 25 %
core: {arch: none, clock: 1 GHz}
memory:
  - {name: all, kind: ram, size: 1 MiB, reserve: 3 kB, bytes_per_cycle: 8, arena: true, weights: true}
runtime: {ram: 100 B, code: 2 KiB, io_in_arena: true, alignment: 16, in_place: true, io: quantized}
numerics: {weights: [int8, int4, float32], activations: [int8, int16, float32], granularity: per_tensor}
kernels:
  conv: {int8: 1, float32: 4, int4: 0.5, int16: 2, fixed: 10}
  elementwise: {int8: 3}
  unsupported: [LSTM, "Resize"]
energy: {active_power: 20 mW, sleep_power: 3 uW}
limits: {energy: 1 mJ, ram: {max: 10 KiB, margin: 0 %}, accuracy: {metric: f1, min: 90 %, confidence: 95 %}}
baseline: {file: base.json, max_growth: {flash: 2 %, ram: 100 B, latency: 5 ms}}
budget: {time: 2 h, energy: 1 kWh, money: 3 EUR, price: 0.4 EUR/h, power: 100 W, trials: 7}
""")
save("yaml", "images.yaml", """squeeze_data: 1
source: {images: pictures, layout: nhwc}
layout: nchw
transform:
  resize: 40x32
  fit: cover
  antialias: false
  crop: 32
  channels: bgr
  scale: 1/255
  mean: [0.5, 0.5, 0.5]
  std: 0.25
splits: {train: 70 %, valid: 15 %, test: 15 %, calib: 100}
store: f32
seed: 7
""")
save("yaml", "table.yaml", """squeeze_data: 1
source:
  csv: {file: table.csv, y: label, x: [a, "b"], separator: tab, header: false, labels: values}
splits: {train: 100, test: 10}
shuffle: true
stratify: false
""")
save("yaml", "arrays.yaml", """squeeze_data: 1
source: {npz: {file: a.npz, x: images, y: labels}}
test: {idx: {x: t.gz, y: l.gz}}
splits: {train: 1}
class_names: [a, b, c]
""")
save("yaml", "odd.yaml", "a: [1, {b: ~, c: 'x''y'}]\nd: >\n  folded\n\n  text\n\"q\\n\": |-\n  x\n? k\n: 0x1F\n")


# ---- instructions of fuzz_h5.h ----
GROUP, UP, DATASET, ATTRIBUTE, SOFT, EXTERNAL = range(6)
NAMES = {n: i for i, n in enumerate("x y train valid test calib layout classes squeeze_data checksum divide mean std "
                                    "class_names channel_axis".split())}
F32, F64, U8, S64, F32BE, S16BE, U64, COMPOUND, BITS, VARIABLE, TEXT = range(11)
CHUNKED, DEFLATED, COMPACT, OUTSIDE, UNWRITTEN = 4, 8, 16, 32, 64


def attribute(name, kind, dims, data):
    return bytes([ATTRIBUTE, NAMES[name], kind, len(dims), *dims]) + data


def made(name, *parts):
    save("hdf5_made", name, b"".join(parts))


FLOATS8 = struct.pack("<8f", *range(8))
made("plain", bytes([DATASET, 0, 0, F32, 3, 2, 2, 2]) + FLOATS8, bytes([DATASET, 1, 0, U8, 1, 2, 0, 1]))
made("packed", bytes([DATASET, 0, CHUNKED | DEFLATED | 1, S16BE, 2, 3, 4]) + bytes(24))
made("split", bytes([GROUP, 2, DATASET, 0, CHUNKED, U8, 2, 2, 3]) + b"abcdef",
     attribute("divide", F64, [], struct.pack("<d", 255)),
     attribute("mean", F64, [1], struct.pack("<d", 0.5)), attribute("std", F64, [1], struct.pack("<d", 0.25)),
     attribute("channel_axis", S64, [], struct.pack("<q", -1)), bytes([DATASET, 1, 0, S64, 1, 2]) +
     struct.pack("<2q", 0, 2), bytes([UP]), attribute("squeeze_data", S64, [], struct.pack("<q", 1)),
     attribute("classes", S64, [], struct.pack("<q", 3)), bytes([ATTRIBUTE, 6, 10 + 12, 0]) + b"nchw\0\0")
made("outside", bytes([DATASET, 0, OUTSIDE, F32, 2, 2, 2]))
made("unwritten", bytes([DATASET, 0, UNWRITTEN | CHUNKED, F32, 2, 2, 2]))
made("links", bytes([SOFT, 0, 1, EXTERNAL, 0, DATASET, 1, 0, F32, 1, 2]) + bytes(8))
made("text", bytes([DATASET, 0, 0, VARIABLE, 1, 2, 3, 4]), bytes([DATASET, 1, 0, TEXT, 1, 2]) + b"abcdef")
made("empty", bytes([DATASET, 0, CHUNKED, F32, 2, 0, 3, DATASET, 1, COMPACT, F32, 9]) + bytes(9))


# ---- Keras: JSON, then weights as fuzz_keras.c takes them ----
WEIGHTS = {"kernel:0": 17, "bias:0": 18, "gamma:0": 19, "beta:0": 20, "moving_mean:0": 27}


def weights(layer, *shapes):
    """A layer's group: (name, shape) each; names that are not in the table of fuzz_h5.h are spelled out."""
    out = layer.encode() + b"\0" + bytes([len(shapes)])
    for name, shape in shapes:
        out += bytes([WEIGHTS[name]]) if name in WEIGHTS else b"\xff" + name.encode() + b"\0"
        out += bytes([len(shape), *shape])
    return out


def keras(name, config, *layers):
    save("keras", name, json.dumps(config).encode() + b"\0" + b"".join(layers))


def layer(cls, name, **config):
    return {"class_name": cls, "config": dict(config, name=name)}


def sequential(*layers):
    return {"class_name": "Sequential", "config": {"name": "s", "layers": list(layers)}}


def functional(inputs, outputs, *layers):
    """layers: (spec, [names of layers that feed it])"""
    return {"class_name": "Functional", "config": {
        "name": "f", "layers": [dict(spec, name=spec["config"]["name"], inbound_nodes=[[[i, 0, 0, {}] for i in src]]
                                     if src else []) for spec, src in layers],
        "input_layers": [[i, 0, 0] for i in inputs], "output_layers": [[o, 0, 0] for o in outputs]}}


keras("dense", sequential(layer("Dense", "d", units=3, activation="relu", use_bias=True, batch_input_shape=[None, 4])),
      weights("d", ("kernel:0", [4, 3]), ("bias:0", [3])))
keras("conv", sequential(
    layer("Conv2D", "c", filters=2, kernel_size=[3, 3], strides=[2, 2], padding="same", data_format="channels_last",
          dilation_rate=[1, 1], activation="linear", use_bias=True, batch_input_shape=[None, 6, 6, 1]),
    layer("BatchNormalization", "b", axis=[3], epsilon=0.001, center=True, scale=True),
    layer("ReLU", "r", max_value=6.0), layer("MaxPooling2D", "p", pool_size=[2, 2], strides=[2, 2], padding="valid"),
    layer("Flatten", "f"), layer("Dense", "d", units=2, activation="softmax", use_bias=False)),
    weights("c", ("kernel:0", [3, 3, 1, 2]), ("bias:0", [2])),
    weights("b", ("gamma:0", [2]), ("beta:0", [2]), ("moving_mean:0", [2]), ("moving_variance:0", [2])),
    weights("d", ("kernel:0", [2, 2])))
keras("old", {"class_name": "Sequential", "config": [
    {"class_name": "Convolution2D", "config": {"name": "c", "nb_filter": 2, "nb_row": 3, "nb_col": 3, "subsample": [1, 1],
     "border_mode": "valid", "dim_ordering": "th", "activation": "tanh", "bias": True, "batch_input_shape": [None, 1, 4, 4]}},
    {"class_name": "Flatten", "config": {"name": "f"}},
    {"class_name": "Dense", "config": {"name": "d", "output_dim": 2, "activation": "hard_sigmoid"}}]},
      weights("c", ("c_W", [2, 1, 3, 3]), ("c_b", [2])), weights("d", ("d_W", [8, 2]), ("d_b", [2])))
keras("graph", functional(
    ["x", "z"], ["m", "k"],
    (layer("InputLayer", "x", batch_input_shape=[None, 4, 4, 2], dtype="float32"), []),
    (layer("InputLayer", "z", batch_input_shape=[None, 4, 4, 2]), []),
    (layer("DepthwiseConv2D", "w", kernel_size=[3, 3], depth_multiplier=1, padding="same", use_bias=False), ["x"]),
    (layer("Add", "a"), ["w", "z"]), (layer("Concatenate", "k", axis=-1), ["a", "x"]),
    (layer("GlobalAveragePooling2D", "g"), ["k"]), (layer("Reshape", "r", target_shape=[2, -1]), ["g"]),
    (layer("Permute", "m", dims=[2, 1]), ["r"])), weights("w", ("depthwise_kernel:0", [3, 3, 2, 1])))
keras("recurrent", sequential(
    layer("Embedding", "e", input_dim=5, output_dim=3, mask_zero=False, batch_input_shape=[None, 4]),
    layer("Bidirectional", "bi", merge_mode="concat",
          layer=layer("LSTM", "l", units=2, return_sequences=True, activation="tanh", recurrent_activation="sigmoid")),
    layer("TimeDistributed", "t", layer=layer("Dense", "td", units=2)),
    layer("GRU", "gr", units=2, reset_after=True), layer("Dense", "d", units=1)),
    weights("e", ("embeddings:0", [5, 3])),
    weights("bi", *[(f"{way}/{n}", s) for way in ("fw", "bw") for n, s in
                    (("kernel:0", [3, 8]), ("recurrent_kernel:0", [2, 8]), ("bias:0", [8]))]),
    weights("t", ("kernel:0", [4, 2]), ("bias:0", [2])),
    weights("gr", ("kernel:0", [2, 6]), ("recurrent_kernel:0", [2, 6]), ("bias:0", [2, 6])),
    weights("d", ("kernel:0", [2, 1]), ("bias:0", [1])))
keras("nested", sequential(
    layer("InputLayer", "in", batch_input_shape=[None, 8, 2]),
    {"class_name": "Sequential", "config": {"name": "inner", "layers": [
        layer("Conv1D", "c", filters=3, kernel_size=[3], padding="causal", activation="elu"),
        layer("UpSampling1D", "u", size=2), layer("Cropping1D", "cr", cropping=[1, 1]),
        layer("ZeroPadding1D", "z", padding=[1, 0])]}},
    layer("LayerNormalization", "n", axis=[-1]), layer("PReLU", "pr", shared_axes=[1]),
    layer("AveragePooling1D", "ap", pool_size=[2])),
    weights("inner", ("c/kernel:0", [3, 2, 3]), ("c/bias:0", [3])), weights("n", ("gamma:0", [3]), ("beta:0", [3])),
    weights("pr", ("alpha:0", [1, 3])))
keras("wide", sequential(
    layer("SeparableConv2D", "s", filters=3, kernel_size=[2, 2], depth_multiplier=2, batch_input_shape=[None, 5, 5, 2]),
    layer("Conv2DTranspose", "t", filters=2, kernel_size=[3, 3], strides=[2, 2], padding="same"),
    layer("LeakyReLU", "l", alpha=0.1), layer("Softmax", "sm", axis=-1), layer("Rescaling", "re", scale=0.5, offset=1),
    layer("GlobalMaxPooling2D", "g")),
    weights("s", ("depthwise_kernel:0", [2, 2, 2, 2]), ("pointwise_kernel:0", [1, 1, 4, 3]), ("bias:0", [3])),
    weights("t", ("kernel:0", [3, 3, 2, 3]), ("bias:0", [2])))
