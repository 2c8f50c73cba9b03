"""Who takes part in compare.py: softfocus, the peers of peers.def, and the Python packages.

A family is a class with a name, made once per process with the number of threads; its constructor raises
where it is not there. family.contenders(problem) gives Contender objects: one call, and a way to read what
the call gave. Whatever a package lets its user do ahead of a call (compiling, binding buffers, filling
structs) is done ahead of it.
"""

import ctypes
import dataclasses
import typing

import numpy as np

import problems


@dataclasses.dataclass
class Contender:
    name: str
    call: typing.Callable  # returns the outputs, or None where they lie in `outputs`
    read: typing.Callable  # what call returned -> list of arrays
    expected: list = None  # instead of the problem's


def address(array):
    return array.ctypes.data


# ---- softfocus: the public functions, through ctypes -------------------------------------------------------


class Context(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("isa", ctypes.c_void_p), ("parallel_for", ctypes.c_void_p),
                ("pool", ctypes.c_void_p), ("threads", ctypes.c_size_t), ("error", ctypes.c_void_p)]


class Tensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("dtype", ctypes.c_int), ("outer", ctypes.c_size_t),
                ("classes", ctypes.c_size_t), ("inner", ctypes.c_size_t), ("outer_stride", ctypes.c_ssize_t),
                ("class_stride", ctypes.c_ssize_t), ("inner_stride", ctypes.c_ssize_t)]

    @classmethod
    def of(cls, array):
        outer, classes, inner = array.shape
        return cls(address(array), 0, outer, classes, inner, classes * inner, inner, 1)


class Targets(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("index", ctypes.c_void_p), ("index_type", ctypes.c_int), ("dense", Tensor)]


class FocalOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("reduction", ctypes.c_int), ("gamma", ctypes.c_double),
                ("alpha", ctypes.c_double), ("class_weight", ctypes.c_void_p), ("class_gamma", ctypes.c_void_p),
                ("ignore_index", ctypes.c_int64), ("background_index", ctypes.c_int64),
                ("label_smoothing", ctypes.c_double), ("normalizer", ctypes.c_double)]


MEAN, I64 = 1, 1


class Softfocus:
    name = "softfocus"

    def __init__(self, threads, library, native):
        self.library = ctypes.CDLL(library)
        self.native = ctypes.CDLL(native)
        self.library.softfocus_isa_default.restype = ctypes.c_void_p
        self.library.softfocus_isa_name.restype = ctypes.c_char_p
        self.library.softfocus_isa_name.argtypes = [ctypes.c_void_p]
        self.library.softfocus_status_string.restype = ctypes.c_char_p
        self.context = Context(ctypes.sizeof(Context))
        if threads > 1:
            self.context.parallel_for = ctypes.cast(self.native.softfocus_bench_parallel_for, ctypes.c_void_p)
            self.context.threads = threads
        self.version = self.library.softfocus_isa_name(self.library.softfocus_isa_default()).decode()

    def contenders(self, problem):
        given = list(problem.inputs.values())
        output = problems.aligned(problem.shape)
        loss = np.empty(1, dtype=np.float32)
        out = Tensor.of(output)
        if problem.operation in ("log_softmax", "log_softmax_backward"):
            structs = [*map(Tensor.of, given), out]
            arguments = [ctypes.byref(struct) for struct in structs]
            outputs = [output]
        else:
            if given[1].dtype == np.int64:
                targets = Targets(ctypes.sizeof(Targets), address(given[1]), I64)
            else:
                targets = Targets(ctypes.sizeof(Targets), None, 0, Tensor.of(given[1]))
            options = FocalOptions(ctypes.sizeof(FocalOptions), MEAN, problems.GAMMA, problems.ALPHA, None, None,
                                   -100, -1, 0.0, 0.0)
            structs = [Tensor.of(given[0]), targets, options, out]
            arguments = [*(ctypes.byref(struct) for struct in structs[:3]), ctypes.c_void_p(address(loss)),
                         ctypes.byref(out)]
            outputs = [loss, output]
        function = getattr(self.library, "softfocus_" + problem.operation.removesuffix("_with_grad"))
        context = ctypes.byref(self.context)

        def call(keep=structs):
            status = function(context, *arguments)
            if status != 0:
                raise RuntimeError(self.library.softfocus_status_string(status).decode())

        yield Contender("softfocus", call, lambda _: outputs)


# ---- The peers of peers.def --------------------------------------------------------------------------------


class NativePeer(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("kernel", ctypes.c_char_p),
                ("make", ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_size_t)),
                ("run", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)),
                ("destroy", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
                ("buffer", ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)),
                ("gives_softmax", ctypes.c_int)]


class Native:
    """All peers in C. Each is called as softfocus is: one call through ctypes."""

    name = "in C"
    titles = {"onednn": "oneDNN", "xnnpack": "XNNPACK (softmax)", "sleef": "loop with SLEEF's exp",
              "ggml": "ggml (softmax)"}

    def __init__(self, threads, library):
        self.library = ctypes.CDLL(library)
        table = ctypes.cast(self.library.softfocus_bench_peers, ctypes.POINTER(ctypes.POINTER(NativePeer)))
        self.peers, i = [], 0
        while table[i]:
            self.peers.append(table[i].contents)
            i += 1
        self.version = ", ".join(dict.fromkeys(peer.name.decode() for peer in self.peers))

    def contenders(self, problem):
        for peer in self.peers:
            if peer.kernel.decode() == problem.operation:
                made = peer.make(*problem.shape)
                if made is not None:  # None: not for this shape
                    yield self.contender(peer, made, problem)

    def contender(self, peer, made, problem):
        given = list(problem.inputs.values())

        def tensor(i):
            memory = (ctypes.c_float * problem.elements).from_address(peer.buffer(made, i))
            return np.frombuffer(memory, dtype=np.float32).reshape(problem.shape)

        for i, array in enumerate(given):
            tensor(i)[...] = array
        output, run = tensor(len(given)), peer.run

        def call(keep=Destroyed(peer, made)):
            if run(made) != 0:
                raise RuntimeError("the call failed")

        name = self.titles[peer.name.decode()]
        expected = [np.exp(problem.expected[0])] if peer.gives_softmax else None
        return Contender(name, call, lambda _: [output], expected)


class Destroyed:
    """Destroys what a peer made when the last one who uses it is gone."""

    def __init__(self, peer, made):
        self.peer, self.made = peer, made

    def __del__(self):
        self.peer.destroy(self.made)


# ---- PyTorch and torchvision -------------------------------------------------------------------------------


class Torch:
    name = "PyTorch"

    def __init__(self, threads):
        import torch
        self.torch = torch
        torch.set_num_threads(threads)
        self.version = torch.__version__

    def tensor(self, array, shape):
        """On the array's memory. By the buffer protocol: Debian's PyTorch does not know NumPy 2."""
        kind = {"float32": self.torch.float32, "int64": self.torch.int64}[array.dtype.name]
        return self.torch.frombuffer(array, dtype=kind).reshape(shape)

    def array(self, tensor):
        tensor = tensor.detach().contiguous()
        memory = (ctypes.c_float * tensor.numel()).from_address(tensor.data_ptr())
        return np.frombuffer(memory, dtype=np.float32).copy()

    def read(self, outputs):
        return [self.array(output) for output in outputs]

    def contenders(self, problem):
        torch, shape = self.torch, problem.tensor_shape
        given = [self.tensor(array, shape if array.shape == problem.shape else shape[:1] + shape[2:])
                 for array in problem.inputs.values()]
        if problem.operation == "log_softmax":
            out = torch.empty(shape)  # written over and over, as softfocus does: no allocation in the call
            yield Contender("PyTorch", lambda: (torch._log_softmax(given[0], 1, False, out=out),), self.read)
        elif problem.operation == "log_softmax_backward":
            out, (log_probs, grad) = torch.empty(shape), given
            yield Contender("PyTorch", lambda: (torch._log_softmax_backward_data(grad, log_probs, 1, torch.float32,
                                                                                 out=out),), self.read)
        else:
            yield from self.losses(problem, *given)

    def losses(self, problem, logits, targets):
        logits.requires_grad_()
        name = "PyTorch"
        loss_of = self.softmax_focal_loss
        if problem.operation == "sigmoid_focal_loss_with_grad":
            import torchvision
            name, ops = "torchvision", torchvision.ops

            def loss_of(z, y):
                return ops.sigmoid_focal_loss(z, y, alpha=problems.ALPHA, gamma=problems.GAMMA, reduction="mean")

        yield Contender(name, self.with_grad(loss_of, logits, targets), self.read)
        if hasattr(self.torch, "compile"):
            compiled = self.torch.compile(loss_of, dynamic=False)
            yield Contender("torch.compile", self.with_grad(compiled, logits, targets), self.read)

    def with_grad(self, loss_of, logits, targets):
        def call():
            loss = loss_of(logits, targets)
            return loss, self.torch.autograd.grad(loss, logits)[0]
        return call

    def softmax_focal_loss(self, z, y):
        """As it is usually written."""
        ce = self.torch.nn.functional.cross_entropy(z, y, reduction="none")
        return (problems.ALPHA * (1 - self.torch.exp(-ce)) ** problems.GAMMA * ce).mean()


# ---- ONNX Runtime ------------------------------------------------------------------------------------------


class OnnxRuntime:
    name = "ONNX Runtime"

    def __init__(self, threads):
        import onnx
        import onnxruntime
        self.onnx, self.runtime = onnx, onnxruntime
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = threads
        # Its threads would go on spinning into the next contender's time.
        self.options.add_session_config_entry("session.force_spinning_stop", "1")
        self.version = onnxruntime.__version__

    def contenders(self, problem):
        if problem.operation != "log_softmax":
            return
        helper, shape = self.onnx.helper, problem.tensor_shape
        kind = self.onnx.TensorProto.FLOAT
        graph = helper.make_graph([helper.make_node("LogSoftmax", ["x"], ["y"], axis=1)], "log_softmax",
                                  [helper.make_tensor_value_info("x", kind, shape)],
                                  [helper.make_tensor_value_info("y", kind, shape)])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        session = self.runtime.InferenceSession(model.SerializeToString(), self.options,
                                                providers=["CPUExecutionProvider"])
        x = problem.inputs["logits"].reshape(shape)
        y = problems.aligned(shape)
        binding = session.io_binding()
        binding.bind_input("x", "cpu", 0, np.float32, shape, address(x))
        binding.bind_output("y", "cpu", 0, np.float32, shape, address(y))

        def call(keep=(x, y)):
            session.run_with_iobinding(binding)

        yield Contender("ONNX Runtime", call, lambda _: [y])


# ---- JAX and optax -----------------------------------------------------------------------------------------


class Jax:
    name = "JAX"

    def __init__(self, threads):
        import jax  # its threads are as many as the CPUs that this process may use: compare.py sees to that
        jax.config.update("jax_platforms", "cpu")
        self.jax = jax
        self.version = jax.__version__

    def contenders(self, problem):
        jax, shape = self.jax, problem.tensor_shape
        np_ = jax.numpy
        given = [jax.device_put(array.reshape(shape if array.shape == problem.shape else shape[:1] + shape[2:]))
                 for array in problem.inputs.values()]
        name = "JAX"
        if problem.operation == "log_softmax":
            function = jax.jit(lambda z: [jax.nn.log_softmax(z, axis=1)])
        elif problem.operation == "log_softmax_backward":
            function = jax.jit(lambda y, g: [g - np_.exp(y) * g.sum(axis=1, keepdims=True)])
        elif problem.operation == "softmax_focal_loss_with_grad":
            def loss_of(z, y):
                ce = -np_.take_along_axis(jax.nn.log_softmax(z, axis=1), np_.expand_dims(y, 1), axis=1)
                return (problems.ALPHA * (1 - np_.exp(-ce)) ** problems.GAMMA * ce).mean()
            function = jax.jit(jax.value_and_grad(loss_of))
        else:
            import optax
            name = "JAX (optax)"
            function = jax.jit(jax.value_and_grad(lambda z, y: optax.sigmoid_focal_loss(
                z, y, alpha=problems.ALPHA, gamma=problems.GAMMA).mean()))
        yield Contender(name, lambda: jax.block_until_ready(function(*given)),
                        lambda outputs: [np.asarray(output) for output in outputs])


def families(threads, library, native):
    """Those that are there, and why each of the others is not."""
    found, missing = [Softfocus(threads, library, native), Native(threads, native)], {}
    for kind in (Torch, OnnxRuntime, Jax):
        try:
            found.append(kind(threads))
        except Exception as reason:  # a package may fail to load in many ways, and any of them is an answer
            missing[kind.name] = f"{type(reason).__name__}: {reason}"
    return found, missing
