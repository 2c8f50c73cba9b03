#!/usr/bin/python3
"""Writes golden.h: expected losses and gradients, in float64, of the definitions that people use elsewhere.

    make_golden.py > golden.h

Nothing here knows the library's formulas. The losses are the usual lines of PyTorch and of torchvision, in NumPy:

    ce = cross_entropy(logits, targets, reduction="none"); pt = exp(-ce); mean(alpha * (1 - pt) ** gamma * ce)

and their gradients come from the complex step (f(x + ih) has the derivative times h for its imaginary part, without any
difference that could cancel). These lines lose digits where p -> 1, so random logits are moderate here; the hard rows
are the published fixtures at the end, whose values are computed with 50 digits.
"""
import mpmath
import numpy as np

STEP = 1e-30


def cross_entropy(z, t):
    """Of one position, for complex logits."""
    m = np.max(z.real)
    return m + np.log(np.sum(np.exp(z - m))) - z[t]


def softmax_focal(z, t, gamma, alpha):
    ce = cross_entropy(z, t)
    pt = np.exp(-ce)
    return alpha * (1 - pt) ** gamma * ce


def sigmoid_focal(z, y, gamma, alpha):
    """torchvision.ops.sigmoid_focal_loss, of one logit."""
    p = 1 / (1 + np.exp(-z))
    ce = (z if z.real > 0 else 0) - z * y + np.log(1 + np.exp(-z if z.real > 0 else z))
    p_t = p * y + (1 - p) * (1 - y)
    loss = ce * (1 - p_t) ** gamma
    if alpha >= 0:
        loss = (alpha * y + (1 - alpha) * (1 - y)) * loss
    return loss


def with_gradient(f, z):
    """f of complex logits -> its value and its gradient."""
    gradient = []
    for j in range(len(z)):
        moved = z.astype(complex)
        moved[j] += 1j * STEP
        gradient.append(f(moved).imag / STEP)
    return f(z.astype(complex)).real, gradient


def floats(values):
    """A C array of float32, exactly: the shortest decimals that round to them."""
    return "(const float[]){" + ", ".join(str(np.float32(v)) + "f" for v in values) + "}"


def doubles(values):
    return "(const double[]){" + ", ".join("%.17g" % v for v in values) + "}"


def integers(values):
    return "(const int64_t[]){" + ", ".join("%d" % v for v in values) + "}"


def row(**fields):
    print("    {" + ",\n     ".join(f".{name} = {value}" for name, value in fields.items()) + "},")


def reduce(losses, gradients, reduction, divide_by):
    """Sums of each, divided; NONE leaves both."""
    if reduction == "NONE":
        return losses, gradients
    scale = 1.0 if reduction == "SUM" else 1.0 / divide_by
    return [scale * sum(losses)], [scale * g for g in gradients]


def softmax_row(random, name, rows, classes, gamma, alpha, reduction, weighted=False, ignored=()):
    z = np.float32(random.normal(0, 1.5, (rows, classes)))
    t = random.integers(0, classes, rows)
    w = np.float32(random.uniform(0.25, 2, classes)) if weighted else np.ones(classes)
    losses, gradients, weights = [], [], 0.0
    for i in range(rows):
        if i in ignored:
            t[i] = -100
            losses.append(0.0)
            gradients += [0.0] * classes
            continue
        a = (alpha if alpha >= 0 else 1.0) * float(w[t[i]])
        loss, gradient = with_gradient(lambda x: softmax_focal(x, t[i], gamma, a), np.float64(z[i]))
        losses.append(loss)
        gradients += gradient
        weights += float(w[t[i]])
    losses, gradients = reduce(losses, gradients, reduction, weights)
    row(name=f'"{name}"', kernel="SOFTMAX", outer=rows, classes=classes, logits=floats(z.ravel()), index=integers(t),
        class_weight=floats(w) if weighted else "NULL", gamma=gamma, alpha=alpha,
        reduction=f"SOFTFOCUS_{reduction}", loss_count=len(losses), loss=doubles(losses), grad=doubles(gradients),
        precision="1e-12")


def sigmoid_row(random, name, rows, classes, gamma, alpha, reduction, soft=False):
    z = np.float32(random.normal(0, 1.5, (rows, classes)))
    y = np.float32(random.uniform(0, 1, (rows, classes))) if soft else np.float32(random.integers(0, 2, (rows, classes)))
    losses, gradients = [], []
    for x, target in zip(np.float64(z.ravel()), np.float64(y.ravel())):
        loss, gradient = with_gradient(lambda v: sigmoid_focal(v[0], target, gamma, alpha), np.array([x]))
        losses.append(loss)
        gradients += gradient
    losses, gradients = reduce(losses, gradients, reduction, rows * classes)
    row(name=f'"{name}"', kernel="SIGMOID", outer=rows, classes=classes, logits=floats(z.ravel()),
        dense=floats(y.ravel()), gamma=gamma, alpha=alpha, reduction=f"SOFTFOCUS_{reduction}", loss_count=len(losses),
        loss=doubles(losses), grad=doubles(gradients),
        precision="4e-6" if soft else "1e-12")  # for targets between 0 and 1 the gradient is a difference


def log_softmax_row(name, z):
    """With 50 digits, since rows where one entry is near 0 are the point."""
    values = [mpmath.mpf(float(np.float32(v))) for v in z]
    log_sum = mpmath.log(mpmath.fsum(mpmath.exp(v) for v in values))
    row(name=f'"{name}"', kernel="LOG_SOFTMAX", outer=1, classes=len(z), logits=floats(z), loss_count=len(z),
        loss=doubles([float(v - log_sum) for v in values]), precision="1e-15")


def sigmoid_fixture(name, x, y, published, precision):
    """gamma 2, alpha 0.25; `published` as in the documentation of the losses, checked here against 50 digits."""
    s = 2 * y - 1
    q = 1 / (1 + mpmath.exp(mpmath.mpf(s * x)))
    loss = (mpmath.mpf("0.25") if y == 1 else mpmath.mpf("0.75")) * q**2 * mpmath.log(1 + mpmath.exp(mpmath.mpf(-s * x)))
    assert abs(loss / published - 1) < precision, (name, loss)
    row(name=f'"{name}"', kernel="SIGMOID", outer=1, classes=1, logits=floats([x]), dense=floats([y]), gamma=2.0,
        alpha=0.25, reduction="SOFTFOCUS_NONE", loss_count=1, loss=doubles([float(loss)]), precision="1e-15")


def published():
    """Values printed in other projects' documentation and tests, to as many digits as those give."""
    z, t = [1, 2, 3, 1, 0, -1, 0.5, 0.5, 2], [2, 0, -100]
    common = dict(outer=3, classes=3, logits=floats(z), index=integers(t), gamma=0.0, alpha=-1.0, loss_count=1)
    row(name='"torch cross_entropy, mean"', kernel="SOFTMAX", reduction="SOFTFOCUS_MEAN",
        loss=doubles([0.40760596]), precision="2e-8", **common)
    row(name='"torch cross_entropy, mean of class weights"', kernel="SOFTMAX", reduction="SOFTFOCUS_MEAN",
        class_weight=floats([0.2, 0.3, 0.5]), loss=doubles([0.40760596]), precision="2e-8", **common)
    common = dict(gamma=2.0, alpha=0.25, reduction="SOFTFOCUS_MEAN", loss_count=1)
    row(name='"mmcv softmax, 2 classes"', kernel="SOFTMAX", outer=2, classes=2, logits=floats([1, 0, 0, 1]),
        index=integers([0, 1]), loss=doubles([0.00566451]), precision="1e-6", **common)
    row(name='"mmcv softmax, 3 classes"', kernel="SOFTMAX", outer=2, classes=3, logits=floats([1, 0, -1, 0, 1, 2]),
        index=integers([2, 1]), loss=doubles([0.34956908]), precision="1.5e-7", **common)
    row(name='"mmcv sigmoid, 2 classes, mean over rows"', kernel="SIGMOID", outer=2, classes=2,
        logits=floats([1, 0, 0, 1]), dense=floats([1, 0, 0, 1]), normalizer=2.0, loss=doubles([0.13562961]),
        precision="1e-7", **common)
    row(name='"mmcv sigmoid, 3 classes, mean over rows"', kernel="SIGMOID", outer=2, classes=3,
        logits=floats([1, 0, -1, 0, 1, 2]), dense=floats([0, 0, 1, 0, 1, 0]), normalizer=2.0,
        loss=doubles([1.10251057]), precision="3e-7", **common)
    keras = dict(kernel="SIGMOID", outer=1, classes=4, logits=floats([-1.6, 0.51, 2.94, -1.8]),
                 dense=floats([0, 1, 0, 0]), gamma=2.0, reduction="SOFTFOCUS_MEAN", loss_count=1)
    row(name='"Keras binary focal, from logits"', alpha=-1.0, loss=doubles([0.6932789]), precision="1e-6", **keras)
    row(name='"Keras binary focal, balanced"', alpha=0.25, loss=doubles([0.51168]), precision="1e-5", **keras)


def main():
    mpmath.mp.dps = 50
    random = np.random.default_rng(20240501)
    print("/* Written by make_golden.py: losses and gradients of the usual definitions, in float64. Not to be edited. */")
    print("/* clang-format off */")
    print("static const golden_values goldens[] = {")
    softmax_row(random, "plain focal, mean", 6, 5, 2.0, 0.25, "MEAN")
    softmax_row(random, "plain focal, sum", 5, 3, 0.5, 0.75, "SUM")
    softmax_row(random, "plain focal, none", 4, 10, 5.0, 1.0, "NONE")
    softmax_row(random, "plain focal, two classes", 8, 2, 1.0, 0.25, "NONE")
    softmax_row(random, "plain focal, gamma 1.5, some ignored", 6, 7, 1.5, 0.25, "MEAN", ignored=(0, 4))
    softmax_row(random, "cross-entropy", 4, 6, 0.0, -1.0, "NONE")
    softmax_row(random, "weighted focal, mean of weights, some ignored", 6, 4, 2.0, 0.25, "MEAN", True, (2,))
    sigmoid_row(random, "torchvision, mean", 3, 5, 2.0, 0.25, "MEAN")
    sigmoid_row(random, "torchvision, none, no alpha", 4, 3, 0.5, -1.0, "NONE")
    sigmoid_row(random, "torchvision, sum, alpha 0", 3, 3, 3.0, 0.0, "SUM")
    sigmoid_row(random, "torchvision, soft targets", 3, 4, 2.0, 0.25, "NONE", True)
    log_softmax_row("log-softmax near 0", [20, 0, 1, 2])
    log_softmax_row("log-softmax near 0, less", [15, 0, 1, 2])
    log_softmax_row("log-softmax of equal logits", [7, 7, 7, 7, 7])
    sigmoid_fixture("sigmoid, x = +20, y = 0", 20, 0, 15.0, 1e-6)
    sigmoid_fixture("sigmoid, x = -100, y = 1", -100, 1, 25.0, 1e-6)
    sigmoid_fixture("sigmoid, x = 15, y = 1", 15, 1, 7.156e-21, 1e-3)
    sigmoid_fixture("sigmoid, x = 17, y = 1", 17, 1, 1.77e-23, 3e-3)
    published()
    print("};")


main()
