"""Engines that compare.py measures. Each loads a model at a batch size and a number of threads, takes its input where it
lies, and runs again and again without making anything new: what a serving loop would do."""
import ctypes
import os
import pathlib

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent



class Source(ctypes.Structure):  # sqz_model_source
    _fields_ = [("struct_size", ctypes.c_size_t), ("path", ctypes.c_char_p), ("bytes", ctypes.c_void_p),
                ("n", ctypes.c_size_t), ("shape", ctypes.c_char_p), ("bind", ctypes.c_char_p)]


class ContextOptions(ctypes.Structure):  # sqz_ctx_options
    _fields_ = [("struct_size", ctypes.c_size_t), ("allocator", ctypes.c_void_p * 3), ("threads", ctypes.c_int32),
                ("reserved", ctypes.c_int32), ("cpu", ctypes.c_char_p), ("log", ctypes.c_void_p * 4)]


class SessionOptions(ctypes.Structure):  # sqz_session_options
    _fields_ = [("struct_size", ctypes.c_size_t), ("batch", ctypes.c_int64), ("literal", ctypes.c_int32),
                ("reserved", ctypes.c_int32)]


class Port(ctypes.Structure):  # sqz_port
    _fields_ = [("struct_size", ctypes.c_size_t), ("name", ctypes.c_char_p), ("type", ctypes.c_char_p),
                ("dim", ctypes.c_int64 * 8), ("rank", ctypes.c_uint32), ("bytes", ctypes.c_size_t)]


class Squeeze:
    """libsqueeze.so through ctypes: one foreign call for each run."""
    library = None

    @classmethod
    def load_library(cls):
        path = os.environ.get("SQUEEZE_LIBRARY", str(ROOT / "build/release/libsqueeze.so"))
        cls.library = ctypes.CDLL(path)
        cls.library.sqz_last_error.restype = ctypes.c_char_p
        cls.library.sqz_last_error.argtypes = [ctypes.c_void_p]

    def check(self, status):
        if status:
            raise RuntimeError(self.library.sqz_last_error(self.ctx).decode())

    def __init__(self, path, x, threads):
        lib = self.library
        self.ctx = ctypes.c_void_p()
        options = ContextOptions(struct_size=ctypes.sizeof(ContextOptions), threads=threads)
        if lib.sqz_ctx_create(ctypes.byref(options), ctypes.byref(self.ctx)):
            raise RuntimeError("no context: is SQZ_CPU right?")
        lib.sqz_own_process(self.ctx)
        source = Source(struct_size=ctypes.sizeof(Source), path=str(path).encode())
        session_options = SessionOptions(struct_size=ctypes.sizeof(SessionOptions), batch=x.shape[0])
        session = ctypes.c_void_p()
        self.check(lib.sqz_session_open(self.ctx, ctypes.byref(source), ctypes.byref(session_options),
                                        ctypes.byref(session)))
        port = Port(struct_size=ctypes.sizeof(Port))
        self.check(lib.sqz_session_output(session, 0, ctypes.byref(port)))
        self.x = np.ascontiguousarray(x)
        self.y = np.empty(port.dim[:port.rank], np.float32)
        self.call = lib.sqz_session_run
        self.call.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        self.ins = (ctypes.c_void_p * 1)(self.x.ctypes.data)
        self.outs = (ctypes.c_void_p * 1)(self.y.ctypes.data)
        self.args = (session, ctypes.addressof(self.ins), ctypes.addressof(self.outs))

    def run(self):
        if self.call(*self.args):
            self.check(1)

    def output(self):
        return self.y


class OnnxRuntime:
    """Bound input and output buffers, so that a run makes no arrays."""
    @staticmethod
    def load_library():
        import onnxruntime
        onnxruntime.set_default_logger_severity(3)

    def __init__(self, path, x, threads):
        import onnxruntime as ort
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.x = ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(x))
        shape = [x.shape[0], *self.session.get_outputs()[0].shape[1:]]
        self.y = ort.OrtValue.ortvalue_from_shape_and_type(shape, np.float32)
        self.binding = self.session.io_binding()
        self.binding.bind_ortvalue_input("x", self.x)
        self.binding.bind_ortvalue_output("y", self.y)

    def run(self):
        self.session.run_with_iobinding(self.binding)

    def output(self):
        return self.y.numpy()


class OpenVino:
    """Fixed shape, input shared with the array, float where the model is float; results stay in the request."""
    @staticmethod
    def load_library():
        import openvino  # noqa: F401

    def __init__(self, path, x, threads):
        import openvino as ov
        core = ov.Core()
        model = core.read_model(str(path))
        model.reshape({model.inputs[0]: list(x.shape)})
        compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
                                                     "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1})
        self.request = compiled.create_infer_request()
        self.x = ov.Tensor(np.ascontiguousarray(x), shared_memory=True)
        self.request.set_input_tensor(self.x)
        # the method under the Python wrapper, which would look for inputs to convert: some microseconds less
        self.infer = super(type(self.request), self.request).infer

    def run(self):
        self.infer({}, share_outputs=True, decode_strings=False)

    def output(self):
        return np.array(self.request.get_output_tensor(0).data)


ENGINES = {"squeeze": Squeeze, "ort": OnnxRuntime, "ov": OpenVino}
