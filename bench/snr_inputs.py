"""Inputs of the float models of ../shared/data/onnx: images that are there, prepared as each model's line of SOURCES.md says,
and sounds from the generator below. `calib` and `test` are different images, or different seeds."""
import functools
import pathlib

import numpy as np
from PIL import Image

IMAGENET = np.array([.485, .456, .406], np.float32), np.array([.229, .224, .225], np.float32)


# ---- images ----
class Images:
    def __init__(self, data):
        self.eval = data / "eval"

    @functools.cache
    def files(self, split):
        lines = (self.eval / "imagenet300/labels.tsv").read_text().splitlines()
        rows = [dict(zip(lines[0].split("\t"), line.split("\t"))) for line in lines[1:]]
        return [self.eval / "imagenet300" / r["file"] for r in rows if r["split"] == split]

    def photos(self, split, n, width, height):
        """uint8 NHWC, RGB, from all over the list."""
        files = self.files("calib" if split == "calib" else "dev")
        chosen = [files[i * len(files) // n] for i in range(n)]
        return np.stack([np.asarray(Image.open(f).convert("RGB").resize((width, height), Image.BILINEAR)) for f in chosen])

    def cifar(self, split, n):
        name = "cifar10jpeg_calib300_x_u8.npy" if split == "calib" else "cifar10jpeg_test1000_x_u8.npy"
        return np.load(self.eval / name)[:: 300 // n if split == "calib" else 1000 // n][:n]

    def mnist(self, split, n):
        name = "mnist_calib300_x_u8.npy" if split == "calib" else "mnist_test2000_x_u8.npy"
        return np.load(self.eval / name)[:n].astype(np.float32)[:, None]


def first(x):
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2).astype(np.float32))


def normalized(x, mean, std):
    return first((x / np.float32(255) - np.asarray(mean, np.float32)) / np.asarray(std, np.float32))


# ---- sounds: what speaks, what plays, and noise between; one seed each ----
def speech(rng, n, rate):
    """Harmonics of a wandering pitch through three wandering formants, in syllables with pauses, over faint noise."""
    t = np.arange(n) / rate
    pitch = rng.uniform(90, 240) * (1 + 0.15 * np.sin(2 * np.pi * rng.uniform(0.5, 3) * t + rng.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    formants = [f * (1 + 0.2 * np.sin(2 * np.pi * rng.uniform(1, 4) * t + rng.uniform(0, 6))) for f in (600, 1500, 2600)]
    voice = np.zeros(n)
    for k in range(1, int(min(rate / 2, 4000) / 240) + 1):
        gain = sum(np.exp(-((k * pitch - f) / 250) ** 2) for f in formants) + 0.3 / k
        voice += gain * np.sin(k * phase)
    syllable = np.clip(np.sin(2 * np.pi * rng.uniform(2, 5) * t + rng.uniform(0, 6)) * 2 + rng.uniform(-1, 1), 0, 1)
    sound = voice * syllable + 0.3 * rng.normal(size=n) * (1 - syllable) * rng.uniform(0, 0.3)
    sound *= rng.uniform(0.05, 0.6) / max(np.abs(sound).max(), 1e-9)
    return (sound + 0.002 * rng.normal(size=n)).astype(np.float32)


def music(rng, n, rate):
    """Plucked notes of the piano's range, several at a time."""
    t = np.arange(n) / rate
    sound = np.zeros(n)
    for _ in range(int(rng.integers(3, 12))):
        f, start = 440 * 2 ** ((rng.integers(36, 84) - 69) / 12), rng.uniform(0, t[-1])
        after = np.clip(t - start, 0, None)
        note = sum(np.sin(2 * np.pi * f * k * after) / k ** 1.3 for k in range(1, 7) if f * k < rate / 2)
        sound += rng.uniform(0.2, 1) * note * np.exp(-after * rng.uniform(1, 5)) * (after > 0)
    return (0.5 * sound / max(np.abs(sound).max(), 1e-9) + 0.001 * rng.normal(size=n)).astype(np.float32)


def log_mel(sound, rate, frames, bands, hop, low, high):
    """(frames, bands): logarithms of triangular bands of the power spectrum, Hann windows of two hops."""
    size = 1 << (2 * hop - 1).bit_length()
    windows = np.stack([sound[i * hop:i * hop + 2 * hop] for i in range(frames)]) * np.hanning(2 * hop)
    power = np.abs(np.fft.rfft(windows, size)) ** 2
    mel = np.linspace(*(1127 * np.log1p(np.array([low, high]) / 700)), bands + 2)
    edge = 700 * np.expm1(mel / 1127) * size / rate
    k = np.arange(size // 2 + 1)[:, None]
    bank = np.clip(np.minimum((k - edge[:-2]) / (edge[1:-1] - edge[:-2]), (edge[2:] - k) / (edge[2:] - edge[1:-1])), 0, 1)
    return np.log(power @ bank + 1e-6).astype(np.float32)


# ---- models with a state: each sample is a step of a sequence, with the state that the float model left ----
def carried(session, step, state, n, skip):
    """n samples, `skip` steps between them. step(k): the inputs of step k beside the state."""
    out = []
    for k in range(n * skip):
        feed = {**step(k), **state["values"]}
        if k % skip == skip - 1:
            out.append(feed)
        state["values"] = dict(zip(state["values"], session.run(state["outputs"], feed)))
    return out


def silero(session, split, n):
    rng = np.random.default_rng([11, split == "test"])
    skip = 3
    sound = speech(rng, 64 + 512 * n * skip, 16000)
    state = {"values": {"state": np.zeros((2, 1, 128), np.float32)}, "outputs": [session.get_outputs()[1].name]}
    return carried(session, lambda k: {"input": sound[None, 512 * k:512 * k + 576], "sr": np.array(16000, np.int64)}, state,
                   n, skip)


def dtln(session, split, n):
    rng = np.random.default_rng([12, split == "test"])
    skip = 3
    sound = speech(rng, 512 + 128 * n * skip, 16000)
    state = {"values": {"input_3": np.zeros((1, 2, 128, 2), np.float32)}, "outputs": [session.get_outputs()[1].name]}

    def step(k):
        return {"input_2": np.abs(np.fft.rfft(sound[128 * k:128 * k + 512])).astype(np.float32)[None, None]}
    return carried(session, step, state, n, skip)


# ---- by model ----
def plain(name, x):
    return [{name: row[None]} for row in x]


def patches(split, n):
    out = []
    for k in range(n):
        rng = np.random.default_rng([13, split == "test", k])
        mel = log_mel((speech if k % 2 else music)(rng, 16000 * 2, 16000), 16000, 96, 64, 160, 125, 7500).T
        out.append((mel - mel.mean()) / mel.std())
    return np.stack(out)[:, None].astype(np.float32)


def micro_features(split, n):
    """What the micro front end gives: logarithms of 40 noise-reduced bands, 49 frames, 0 .. 26."""
    out = []
    for k in range(n):
        rng = np.random.default_rng([14, split == "test", k])
        mel = log_mel(speech(rng, 16000, 16000), 16000, 49, 40, 320, 125, 7500)
        mel = np.clip(mel - np.median(mel, axis=0), 0, None)
        out.append(np.round(mel / max(mel.max(), 1) * rng.uniform(10, 26) * 256) / 256)
    return np.stack(out).reshape(n, 1960).astype(np.float32)


def ppocr(images, split, n):
    """Strips of photographs, five beside each other."""
    x = images.photos(split, 5 * n, 192, 32).reshape(n, 5, 32, 192, 3).transpose(0, 2, 1, 3, 4).reshape(n, 32, 960, 3)
    return first(x / np.float32(127.5) - 1)


def tracker(images, split, n):
    wide = images.photos(split, n, 256, 256)
    near = images.photos(split, n, 512, 512)[:, 192:320, 192:320]  # the middle at the same scale
    return [{"template": t[None], "search": s[None]}
            for t, s in zip(normalized(near, *IMAGENET), normalized(wide, *IMAGENET))]


def samples(data, model, session, split, n):
    """n inputs of a model, by name of the input."""
    images, name = Images(data), session.get_inputs()[0].name
    cifar, photos = images.cifar, images.photos
    mean, std = (.4914, .4822, .4465), (.2471, .2435, .2616)
    sri = (.2023, .1994, .2010)
    bgr = np.array([103.939, 116.779, 123.68], np.float32)
    rng = np.random.default_rng([15, split == "test"])
    makers = {
        "squeezenet1.1-fp32": lambda: first(photos(split, n, 224, 224)[..., ::-1] - bgr),
        "squeezenet1.1-fp16": lambda: first(photos(split, n, 224, 224)[..., ::-1] - bgr).astype(np.float16),
        "mobilenet_v1_0.25_224-imagenet": lambda: photos(split, n, 224, 224).astype(np.float32) / 127.5 - 1,
        "cifar10-pytorch-winml": lambda: first(cifar(split, n) / np.float32(127.5) - 1),
        "mnist-burn": lambda: (images.mnist(split, n) / 255 - np.float32(.1307)) / np.float32(.3081),
        "mnist-gru-gap": lambda: images.mnist(split, n)[:, 0] / 255,
        "mnist-cntk-winml": lambda: images.mnist(split, n),
        "ultraface-slim-320": lambda: first((photos(split, n, 320, 240).astype(np.float32) - 127) / 128),
        "yunet-n-320": lambda: first(photos(split, n, 320, 320)[..., ::-1]),
        "picodet-xs-416": lambda: normalized(photos(split, n, 416, 416), *IMAGENET),
        "ppocrv2-cls": lambda: ppocr(images, split, n),
        "espcn-float": lambda: first(photos(split, n, 256, 256)[:, 64:192, 64:192] / np.float32(255)),
        "basic-pitch": lambda: np.stack([music(np.random.default_rng([16, split == "test", k]), 43844, 22050)
                                         for k in range(n)])[..., None],
        "yamnet-256": lambda: patches(split, n),
        "micro-kws-m-fp32": lambda: micro_features(split, n),
        "streaming-espdl": lambda: rng.normal(size=(n, 16, 24)).astype(np.float32),
        "fer2013-mini-xception": lambda: photos(split, n, 64, 64).mean(-1, keepdims=True).astype(np.float32) / 127.5 - 1,
        "cifar10-resnet-2b": lambda: normalized(cifar(split, n), mean, std),
        "cifar10-sri-resnet-a": lambda: normalized(cifar(split, n), mean, sri),
        "cifar10-vit-ibp": lambda: normalized(cifar(split, n), mean, sri),
        "cifar10-marabou-medium": lambda: cifar(split, n).astype(np.float32) / 255,
    }
    if model == "vittracker":
        return tracker(images, split, n)
    if model in ("silero-vad-16k", "dtln-1"):
        return (silero if model == "silero-vad-16k" else dtln)(session, split, n)
    return plain(name, makers[model]()) if model in makers else None
