"""One peer quantizes one model in one process, so that its memory and its time are its own; called by ptq.py.

    python bench/ptq_peers.py TOOL MODEL CALIB.npz OUT [--threads 1]

    ort[:minmax|entropy|percentile][:tensor][:u8][:w4]   ONNX Runtime, static QDQ, after its own preprocessing
    nncf[:nobc]                                          NNCF on the ONNX graph; fast bias correction unless nobc
    nncfov                                               NNCF on OpenVINO's graph; OUT.xml
    aimet[:cle][:seqmse][:adaround[=ITERATIONS]][:w4]    AIMET, min-max activations; AdaRound 2000 iterations
Prints one line of JSON: CPU and wall seconds without the imports, peak of resident memory in MB.
"""
import argparse
import json
import logging
import os
import time
import warnings

import numpy as np
import onnxruntime

warnings.filterwarnings("ignore")
onnxruntime.set_default_logger_severity(3)


def limit_threads(threads):
    """Every session that a peer opens gets as many threads as the bench allows."""
    begin = onnxruntime.InferenceSession.__init__

    def limited(self, path_or_bytes, sess_options=None, *rest, **named):
        options = sess_options or onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        begin(self, path_or_bytes, options, *rest, **named)

    onnxruntime.InferenceSession.__init__ = limited


def modern(model, out):
    """Peers drop scales per channel, or refuse, below opset 13: the same graph at that opset."""
    import onnx
    from onnx import version_converter

    graph = onnx.load(model)
    if next(o.version for o in graph.opset_import if o.domain in ("", "ai.onnx")) >= 13:
        return model
    constant = {t.name for t in graph.graph.initializer}  # old files list weights among the inputs
    for port in [i for i in graph.graph.input if i.name in constant]:
        graph.graph.input.remove(port)
    graph.ir_version = max(graph.ir_version, 7)
    onnx.save(version_converter.convert_version(graph, 13), out)
    return out


def input_of(model):
    import onnx

    graph = onnx.load(model).graph
    constant = {t.name for t in graph.initializer}
    return next(i for i in graph.input if i.name not in constant)


def samples(model, calib):
    """Batches of one, or of what the model insists on."""
    port = input_of(model)
    dims = [d.dim_value for d in port.type.tensor_type.shape.dim]
    step = max(dims[0], 1)
    x = np.load(calib)["x"].astype(np.float32)
    return port.name, [np.ascontiguousarray(x[i : i + step]) for i in range(0, len(x) - step + 1, step)]


def ort(words, model, name, data, out):
    from onnxruntime import quantization as q
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(q.CalibrationDataReader):
        def __init__(self):
            self.left = iter(data)

        def get_next(self):
            x = next(self.left, None)
            return None if x is None else {name: x}

    method = q.CalibrationMethod.Entropy if "entropy" in words else \
        q.CalibrationMethod.Percentile if "percentile" in words else q.CalibrationMethod.MinMax

    def run():
        before = out + ".pre.onnx"
        quant_pre_process(model, before)
        q.quantize_static(before, out, Reader(), quant_format=q.QuantFormat.QDQ, per_channel="tensor" not in words,
                          activation_type=q.QuantType.QUInt8 if "u8" in words else q.QuantType.QInt8,
                          weight_type=q.QuantType.QInt4 if "w4" in words else q.QuantType.QInt8, calibrate_method=method)
        os.remove(before)

    return run


def nncf(words, model, name, data, out, on_openvino, threads):
    import nncf as n

    n.set_log_level(logging.ERROR)
    set_of = n.Dataset(data, lambda x: {name: x})

    def on_onnx():
        import onnx

        advanced = n.AdvancedQuantizationParameters(disable_bias_correction="nobc" in words)
        made = n.quantize(onnx.load(model), set_of, subset_size=len(data), preset=n.QuantizationPreset.PERFORMANCE,
                          advanced_parameters=advanced)
        onnx.save(made, out)

    def on_ov():
        import openvino as ov

        core = ov.Core()
        core.set_property("CPU", {"INFERENCE_NUM_THREADS": threads})
        made = n.quantize(core.read_model(model), set_of, subset_size=len(data), preset=n.QuantizationPreset.PERFORMANCE)
        ov.save_model(made, out, compress_to_fp16=False)

    if on_openvino:
        import openvino  # noqa: F401  (imports are not timed)
    return on_ov if on_openvino else on_onnx


def aimet(words, model, name, data, out, threads):
    import torch

    torch.set_num_threads(threads)
    import aimet_onnx as a
    import onnx
    from aimet_onnx.common.defs import QuantScheme
    from aimet_onnx.cross_layer_equalization import equalize_model

    word = {w.split("=")[0]: w.partition("=")[2] for w in words}

    def run():
        graph = onnx.load(model)
        if "cle" in word:
            equalize_model(graph)
        sim = a.QuantizationSimModel(graph, param_type=a.int4 if "w4" in word else a.int8, activation_type=a.int8,
                                     quant_scheme=QuantScheme.min_max, dummy_input={name: data[0]},
                                     providers=["CPUExecutionProvider"])
        groups = [{name: np.concatenate(data[i : i + 32])} for i in range(0, len(data), 32)]
        if "seqmse" in word:
            a.apply_seq_mse(sim, groups)
        if "adaround" in word:
            a.apply_adaround(sim, groups, num_iterations=int(word["adaround"] or 2000))
        sim.compute_encodings([{name: x} for x in data])
        onnx.save(sim.to_onnx_qdq(), out)

    return run


def peak():
    """MB; what the process that began this one once used does not count."""
    line = next(text for text in open("/proc/self/status") if text.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tool")
    parser.add_argument("model")
    parser.add_argument("calib")
    parser.add_argument("out")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    family, *words = args.tool.split(":")
    limit_threads(args.threads)
    args.model = modern(args.model, args.out + ".13.onnx")
    name, data = samples(args.model, args.calib)
    common = (words, args.model, name, data, args.out)
    run = {"ort": lambda: ort(*common), "nncf": lambda: nncf(*common, False, args.threads),
           "nncfov": lambda: nncf(*common, True, args.threads), "aimet": lambda: aimet(*common, args.threads)}[family]()
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    print(json.dumps({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall,
                      "peak": peak()}))


if __name__ == "__main__":
    main()
