"""What compare.py asks of everyone: operations, shapes, inputs, and results in float64 to hold the answers
against.
"""

import dataclasses

import numpy as np

GAMMA, ALPHA = 2.0, 0.25
OPERATIONS = ["log_softmax", "log_softmax_backward", "softmax_focal_loss_with_grad", "sigmoid_focal_loss_with_grad"]

# The largest |difference| from the float64 result that counts as the same, relative to that result's largest magnitude.
# Ours are wrong by a few 1e-8 of it; the usual formulas lose up to two digits more where p is near 1.
TOLERANCE = 1e-5

# [outer, classes, inner]; NCHW and class axis first have inner > 1.
QUICK_SHAPES = [(16384, 8, 1), (16384, 80, 1), (1024, 1000, 1), (32, 50257, 1), (4, 19, 256 * 256)]
QUICK_SIGMOID = [2**12, 2**20]
CLASSES = [2, 4, 8, 21, 80, 91, 1000, 32000, 50257, 131072, 256000]
IN_CACHE, OUT_OF_CACHE, MOST_ROWS = 2**16, 2**25, 65536  # elements, elements, rows
SIGMOID = [2**n for n in (12, 14, 16, 18, 20, 22, 24, 26)]


def shapes(operation, quick):
    if operation == "sigmoid_focal_loss_with_grad":  # elementwise: columns of 64 classes
        return [(n // 64, 64, 1) for n in (QUICK_SIGMOID if quick else SIGMOID)]
    if quick:
        return QUICK_SHAPES
    rows = [(1, classes, 1) for classes in (1000, 50257, 256000)]
    for classes in CLASSES:
        for elements in (IN_CACHE, OUT_OF_CACHE):
            rows.append((min(MOST_ROWS, max(1, elements // classes)), classes, 1))
    middle = [(4, 19, 256 * 256), (1, 21, 512 * 512), (64, 91, 100)]
    first = [(1, 8, 65536), (1, 80, 16384), (1, 1000, 1024)]
    return list(dict.fromkeys(rows + middle + first))


@dataclasses.dataclass
class Problem:
    operation: str
    shape: tuple  # outer, classes, inner
    inputs: dict  # name: array
    expected: list  # float64 arrays, in the order in which a contender gives its outputs

    @property
    def elements(self):
        return int(np.prod(self.shape))

    @property
    def tensor_shape(self):
        """As a framework sees it: rows are matrices, not tensors with a last axis of 1."""
        return self.shape[:2] if self.shape[2] == 1 else self.shape


def log_softmax(z):
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def softmax_focal_loss(z, labels):
    """The mean, and its gradient."""
    log_p = log_softmax(z)
    p = np.exp(log_p)
    index = labels[:, None]
    ce = -np.take_along_axis(log_p, index, axis=1)
    pt = np.take_along_axis(p, index, axis=1)
    u = -np.expm1(-ce)
    scale = ALPHA * u**GAMMA * (1 + GAMMA * pt * ce / u) / labels.size
    np.put_along_axis(p, index, -u, axis=1)
    return np.mean(ALPHA * u**GAMMA * ce), scale * p


def sigmoid_focal_loss(z, targets):
    """The mean, and its gradient, for targets of 0 and 1."""
    s = 2 * targets - 1
    softplus = np.logaddexp(0, -s * z)
    q = 1 / (1 + np.exp(s * z))
    weight = np.where(targets > 0.5, ALPHA, 1 - ALPHA)
    loss = weight * q**GAMMA * softplus
    return np.mean(loss), -s * weight * q**GAMMA * (q + GAMMA * (1 - q) * softplus) / z.size


def aligned(shape, dtype=np.float32):
    """As C libraries allocate: NumPy's own large arrays begin 16 bytes into a cache line, which costs whoever
    reads them with vectors of a line. Zeros, so that all pages are there."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape))
    memory = np.empty(count * dtype.itemsize + 64, dtype=np.uint8)
    memory[:] = 0
    begin = -memory.ctypes.data % 64
    return memory[begin:begin + count * dtype.itemsize].view(dtype).reshape(shape)


def aligned_copy(array):
    copy = aligned(array.shape, array.dtype)
    copy[...] = array
    return copy


def make(operation, shape):
    random = np.random.default_rng(1)
    z = random.standard_normal(shape, dtype=np.float32)
    wide = z.astype(np.float64)
    if operation == "log_softmax":
        inputs, expected = {"logits": z}, [log_softmax(wide)]
    elif operation == "log_softmax_backward":
        log_probs = log_softmax(wide).astype(np.float32)
        grad = random.standard_normal(shape, dtype=np.float32)
        wide = grad.astype(np.float64)
        inputs = {"log_probs": log_probs, "grad_log_probs": grad}
        expected = [wide - np.exp(log_probs.astype(np.float64)) * wide.sum(axis=1, keepdims=True)]
    elif operation == "softmax_focal_loss_with_grad":
        labels = random.integers(0, shape[1], size=(shape[0], shape[2]))
        inputs, expected = {"logits": z, "labels": labels}, list(softmax_focal_loss(wide, labels))
    else:
        targets = (random.random(shape) < 0.1).astype(np.float32)
        inputs, expected = {"logits": z, "targets": targets}, list(sigmoid_focal_loss(wide, targets))
    inputs = {name: aligned_copy(array) for name, array in inputs.items()}
    return Problem(operation, shape, inputs, [np.asarray(e, dtype=np.float64) for e in expected])


def worst_difference(outputs, expected):
    """Relative to the largest magnitude of each output; inf where shapes differ or a value is not finite."""
    worst = 0.0
    for output, wanted in zip(outputs, expected, strict=True):
        output = np.asarray(output, dtype=np.float64)
        if output.size != wanted.size or not np.isfinite(output).all():
            return float("inf")
        worst = max(worst, float(np.abs(output.reshape(wanted.shape) - wanted).max() / np.abs(wanted).max()))
    return worst
