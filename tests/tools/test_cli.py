#!/usr/bin/env python3
"""test_cli.py SOFTFOCUS: the program softfocus, from the command line to the last byte of its files. Run by `meson test`.

Arrays are written and read by NumPy, and results compared with the formulas in float64. What is held here is the program
(axes, orders, options, messages, files); how exact the kernels are is the other tests' concern, so that tolerances are
a few float32 roundings.
"""
import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import unittest

import numpy as np

PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 else "softfocus"
RNG = np.random.default_rng(20170807)
TOLERANCE = 1e-6  # 8 float32 roundings, relative


def run(*arguments, stdin=None, text=True, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SOFTFOCUS_")}
    return subprocess.run([PROGRAM, *map(str, arguments)], input=stdin, capture_output=True, text=text, timeout=500,
                          env={**clean, **environment})


def reference_log_softmax(z, axis):
    z = z.astype(np.float64)
    z = z - z.max(axis, keepdims=True)
    return z - np.log(np.exp(z).sum(axis, keepdims=True))


def reference_softmax_focal(z, targets, axis, gamma=2.0, alpha=0.25, weights=None, ignore=-100, reduction="mean",
                            normalizer=0.0):
    """Loss and gradient, from the formulas in the public header."""
    z = np.moveaxis(z.astype(np.float64), axis, -1)
    classes = z.shape[-1]
    valid = targets != ignore
    t = np.where(valid, targets, 0)
    log_probs = reference_log_softmax(z, -1)
    one_hot = np.arange(classes) == t[..., None]
    log_p = (log_probs * one_hot).sum(-1)
    p = np.exp(log_p)
    u = -np.expm1(log_p)
    w = (np.ones(classes) if weights is None else np.asarray(weights, np.float64))[t] * valid
    scale = (alpha if alpha >= 0 else 1.0) * w
    loss = scale * u**gamma * -log_p
    slope = scale * u**gamma * (1 + gamma * p * -log_p / u)
    grad = slope[..., None] * (np.exp(log_probs) - one_hot)
    divisor = {"mean": normalizer or w.sum(), "sum": 1.0, "none": 1.0}[reduction]
    return (loss if reduction == "none" else loss.sum() / divisor), np.moveaxis(grad / divisor, -1, axis)


def reference_sigmoid_focal(z, y, gamma=2.0, alpha=0.25, reduction="mean"):
    z = z.astype(np.float64)
    s = np.where(y == 1, 1.0, -1.0)
    softplus = np.logaddexp(0, -s * z)
    q = -np.expm1(-softplus)
    a = np.where(y == 1, alpha, 1 - alpha) if alpha >= 0 else 1.0
    loss = a * q**gamma * softplus
    grad = -s * a * q**gamma * (q + gamma * (1 - q) * softplus)
    divisor = z.size if reduction == "mean" else 1
    return (loss if reduction == "none" else loss.sum() / divisor), grad / divisor


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def save(self, name, array, version=None):
        with open(self.path(name), "wb") as file:
            np.lib.format.write_array(file, array, version=version)
        return self.path(name)

    def succeed(self, *arguments, **more):
        ran = run(*arguments, **more)
        self.assertEqual((ran.returncode, ran.stderr), (0, "" if more.get("text", True) else b""))
        return ran.stdout

    def fail_with(self, status, pattern, *arguments, **more):
        """It fails with this status, one line says why (after it, argp's own advice), and nothing is left behind."""
        before = sorted(os.listdir(self.folder))
        ran = run(*arguments, **more)
        self.assertEqual(ran.returncode, status, ran.stderr)
        self.assertEqual(ran.stdout, "")
        line, _, advice = ran.stderr.partition("\n")
        self.assertRegex(line, r"^softfocus( [a-z-]+)?: .*" + pattern)
        self.assertRegex(advice, r"^(Try .*--help.*\n(information\.\n)?)?$" if status == 2 else "^$")
        self.assertEqual(sorted(os.listdir(self.folder)), before)

    def assert_close(self, got, expected, scale=None):
        self.assertEqual(got.dtype, np.float32)
        self.assertEqual(got.shape, np.shape(expected))
        scale = np.abs(expected) if scale is None else scale
        worst = np.max(np.abs(got - expected) / (scale + 1e-30), initial=0.0)
        self.assertLessEqual(worst, TOLERANCE)


class CommandLine(Case):
    COMMANDS = ["info", "log-softmax", "focal-loss", "check", "bench"]

    def test_help(self):
        overview = self.succeed("--help")
        for command in self.COMMANDS:
            self.assertRegex(overview, rf"\n  {command} ")
            text = self.succeed(command, "--help")
            self.assertIn(f"Usage: softfocus {command} ", text)

    def test_version(self):
        version = self.succeed("--version")
        self.assertRegex(version, r"^softfocus \d+\.\d+\.\d+\n$")
        for command in self.COMMANDS:
            self.assertEqual(self.succeed(command, "--version"), version)

    def test_usage_errors(self):
        z = self.save("z.npy", np.zeros((2, 3), np.float32))
        for pattern, *arguments in [
            ["a command is expected"],
            ["there is no command 'frobnicate'", "frobnicate"],
            ["unrecognized option '--frobnicate'", "--frobnicate"],
            ["unrecognized option '--frobnicate'", "info", "--frobnicate"],
            ["one argument too many", "info", "x"],
            ["one argument too many", "check", "x"],
            ["there is no kernel 'x'", "check", "--kernel", "x"],
            ["this build has no ISA 'avx3'", "check", "--isa", "avx3"],
            ["'x' is not a whole number", "check", "--seed", "x"],
            ["a .npy file of logits is expected", "log-softmax"],
            ["-o OUT.npy is expected", "log-softmax", z],
            ["one file is expected", "log-softmax", z, z, "-o", "x"],
            ["--output: the file's name is empty", "log-softmax", z, "-o", ""],
            ["--output: the file's name is empty", "focal-loss", z, z, "-o", ""],
            ["--grad: the file's name is empty", "focal-loss", z, z, "--grad", ""],
            ["--axis: '1.5' is not a whole number", "log-softmax", z, "--axis", "1.5"],
            ["--threads: 0 is not between 1 and", "log-softmax", z, "--threads", "0"],
            ["--threads: 99999999999999999999 is not between", "log-softmax", z, "--threads", "9" * 20],
            ["this build has no ISA 'avx3' .it has .*scalar", "log-softmax", z, "--isa", "avx3"],
            ["two .npy files are expected", "focal-loss", z],
            ["two files are expected", "focal-loss", z, z, z],
            ["cannot both be read from standard input", "focal-loss", "-", "-"],
            ["name the same file", "focal-loss", z, z, "-o", self.path("x"), "--grad", self.folder + "/./x"],
            ["--grad - needs -o", "focal-loss", z, z, "--grad", "-"],
            ["--gamma: 'x' is not a number", "focal-loss", z, z, "--gamma", "x"],
            ["--alpha: '1x' is not a number", "focal-loss", z, z, "--alpha", "1x"],
            ["--reduction: 'avg' is not none, mean or sum", "focal-loss", z, z, "--reduction", "avg"],
        ]:
            with self.subTest(arguments):
                self.fail_with(2, pattern, *arguments)

    def test_full_disk(self):
        z = self.save("z.npy", np.zeros((2, 3), np.float32))
        t = self.save("t.npy", np.zeros(2, np.int64))
        helps = [[command, "--help"] for command in self.COMMANDS]
        for arguments in [["--help"], ["--usage"], ["--version"], *helps, ["info"], ["info", "--json"],
                          ["log-softmax", z, "-o", "-"], ["focal-loss", z, t], ["focal-loss", z, t, "-o", "-"],
                          ["check", "--isa", "scalar", "--kernel", "log_softmax", "--json"]]:
            for redirection, reason in [(">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")]:
                with self.subTest(arguments + [redirection]):
                    ran = subprocess.run(["sh", "-c", '"$@" ' + redirection, "sh", PROGRAM, *arguments], capture_output=True,
                                         text=True)
                    self.assertEqual((ran.returncode, ran.stderr), (1, f"softfocus: standard output: {reason}\n"))

    def test_closed_streams(self):
        """What is closed and not needed does no harm; a file that is opened does not take its place."""
        z = self.save("z.npy", np.zeros((2, 3), np.float32))
        closed = ["sh", "-c", '"$@" <&- >&-', "sh", PROGRAM]
        ran = subprocess.run([*closed, "log-softmax", z, "-o", self.path("out.npy")], capture_output=True, text=True)
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        self.assert_close(np.load(self.path("out.npy")), np.full((2, 3), -np.log(3)))
        for name, reason in [("/dev/stdout", "(Bad file descriptor|Is a directory)"), ("/dev/null", "")]:
            ran = subprocess.run([*closed, "log-softmax", z, "-o", name], capture_output=True, text=True)
            self.assertEqual(ran.returncode, 1 if reason else 0)
            self.assertRegex(ran.stderr, f"^softfocus: {name}: {reason}\n$" if reason else "^$")
        ran = subprocess.run([*closed, "log-softmax", "-", "-o", self.path("out.npy")], capture_output=True, text=True)
        self.assertEqual((ran.returncode, ran.stderr), (1, "softfocus: standard input: Bad file descriptor\n"))

    def test_messages_are_one_line(self):
        out = self.path("out.npy")
        for name, shown in [("a\nb\t\x1b[2J\x7f", r"a\nb\t\x1b[2J\x7f"), (b"\xff\xc3", r"\xff\xc3"),
                            ("é€😀", "é€😀"), ("\x85", r"\xc2\x85"), (b"\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80",
                                                 r"\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80"), ("", "''")]:
            with self.subTest(name):
                ran = subprocess.run([PROGRAM, "log-softmax", name, "-o", out], capture_output=True)
                self.assertEqual(ran.stderr.decode(), f"softfocus: {shown}: No such file or directory\n")
        self.fail_with(2, r"there is no command 'a\\nb'", "a\nb")


class Info(Case):
    def info(self, **environment):
        return json.loads(self.succeed("info", "--json", **environment))

    def test_json(self):
        info = self.info()
        self.assertEqual("softfocus " + info["version"] + "\n", self.succeed("--version"))
        by_name = {isa["name"]: isa for isa in info["isas"]}
        self.assertTrue(by_name["scalar"]["supported"])
        self.assertEqual(info["chosen"], next(isa["name"] for isa in info["isas"] if isa["supported"]))
        self.assertTrue(info["features"])
        for isa in info["isas"]:
            self.assertEqual(isa["supported"], not isa["missing"])
            self.assertTrue(set(isa["missing"]) <= set(isa["needs"]))
            self.assertFalse(set(isa["missing"]) & set(info["features"]))

    def test_features_are_those_of_linux(self):
        with open("/proc/cpuinfo") as file:
            flags = re.search(r"^(?:flags|Features)\s*:(.*)$", file.read(), re.M).group(1).split()
        for feature in self.info()["features"]:
            self.assertIn({"neon": "asimd"}.get(feature, feature.replace(".", "_")), flags)

    def test_text(self):
        text = self.succeed("info")
        info = self.info()
        self.assertIn(info["version"], text)
        self.assertIn(info["cpu_model"], text)
        for isa in info["isas"]:
            self.assertRegex(text, rf"\n\s*{isa['name']} ")

    def test_environment(self):
        info = self.info(SOFTFOCUS_ISA="scalar")
        self.assertEqual((info["chosen"], info["environment"]), ("scalar", "scalar"))
        self.assertRegex(info["why"], "named by SOFTFOCUS_ISA")
        info = self.info(SOFTFOCUS_ISA="avx3")
        self.assertEqual(info["chosen"], self.info()["chosen"])
        self.assertRegex(info["why"], "this build has no ISA of that name")
        self.assertRegex(self.succeed("info", SOFTFOCUS_ISA="avx3"), "avx3.*no ISA of that name")
        for name, shown in [(b"\xff\n", r"\xff\n"), ("é" * 500, "é" * 500)]:
            info = self.info(SOFTFOCUS_ISA=name)
            self.assertEqual(info["environment"], shown)
            self.assertIn(f"SOFTFOCUS_ISA={shown} is ignored: this build has no ISA of that name", info["why"])
            self.assertIn(f"SOFTFOCUS_ISA={shown} is ignored", self.succeed("info", SOFTFOCUS_ISA=name).splitlines()[-1])
        for isa in self.info()["isas"]:
            if not isa["supported"]:
                self.assertRegex(self.info(SOFTFOCUS_ISA=isa["name"])["why"], "this CPU lacks " + isa["missing"][0])

    def isas(self):
        return [isa["name"] for isa in self.info()["isas"] if isa["supported"]]


class LogSoftmax(Case):
    def log_softmax(self, array, *options, version=None):
        out = self.path("out.npy")
        path = self.save("in.npy", array, version)
        self.assertEqual(self.succeed("log-softmax", path, "-o", out, *options), "")
        return np.load(out)

    def test_shapes_axes_and_orders(self):
        for shape in [(7,), (1,), (5, 10), (4, 3, 6), (2, 3, 4, 5), (2, 3, 1, 2, 3), (0, 4), (3, 4, 0), (50, 1000)]:
            z = RNG.normal(0, 5, shape).astype(np.float32)
            for axis in [None, *range(-len(shape), len(shape))]:
                effective = axis if axis is not None else min(1, len(shape) - 1)
                if shape[effective] == 0:
                    continue
                for order in "CF":
                    with self.subTest(shape=shape, axis=axis, order=order):
                        got = self.log_softmax(np.asarray(z, order=order), *([] if axis is None else ["--axis", axis]))
                        self.assertEqual(got.flags.f_contiguous, np.asarray(z, order=order).flags.f_contiguous)
                        self.assert_close(got, reference_log_softmax(z, effective) if z.size else z)

    def test_versions(self):
        z = RNG.normal(size=(3, 4)).astype(np.float32)
        for version in [(1, 0), (2, 0), (3, 0)]:
            self.assert_close(self.log_softmax(z, version=version), reference_log_softmax(z, 1))

    def test_mapped_and_read_give_the_same(self):
        z = RNG.normal(0, 5, (700, 1000)).astype(np.float32)  # 2.8 MB: mapped
        mapped = self.log_softmax(z)
        self.assert_close(mapped, reference_log_softmax(z, 1))
        with open(self.path("in.npy"), "rb") as file:
            piped = self.succeed("log-softmax", "-", "-o", "-", stdin=file.read(), text=False)
        with open(self.path("out.npy"), "rb") as file:
            self.assertEqual(piped, file.read())
        np.testing.assert_array_equal(np.load(self.path("in.npy")), z)

    def test_isas_and_threads(self):
        z = RNG.normal(0, 5, (300, 1000)).astype(np.float32)
        for isa in Info.isas(self):
            one = self.log_softmax(z, "--isa", isa, "--threads", 1)
            self.assert_close(one, reference_log_softmax(z, 1))
            for threads in [2, 7]:
                np.testing.assert_array_equal(one, self.log_softmax(z, "--isa", isa, "--threads", threads))
            np.testing.assert_array_equal(one, self.log_softmax(z, "--isa", isa))

    def info(self):
        return json.loads(self.succeed("info", "--json"))

    def test_special_values(self):
        z = np.array([[np.nan, 1], [np.inf, 1], [-np.inf, 1], [-np.inf, -np.inf]], np.float32)
        np.testing.assert_array_equal(self.log_softmax(z), [[np.nan] * 2, [np.nan] * 2, [-np.inf, 0], [np.nan] * 2])

    def test_in_place_of_its_input(self):
        z = RNG.normal(size=(600, 1000)).astype(np.float32)
        path = self.save("z.npy", z)
        os.chmod(path, 0o640)
        os.symlink("z.npy", self.path("link.npy"))
        self.succeed("log-softmax", path, "-o", self.path("link.npy"))
        self.assert_close(np.load(path), reference_log_softmax(z, 1))
        self.assertTrue(os.path.islink(self.path("link.npy")))
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o640)

    def test_links_to_what_is_not_there(self):
        z = self.save("z.npy", np.zeros((2, 3), np.float32))
        os.mkdir(self.path("folder"))
        os.symlink("second", self.path("first"))
        os.symlink("folder/out.npy", self.path("second"))
        os.symlink(self.path("absolute.npy"), self.path("third"))
        for link, target in [("first", "folder/out.npy"), ("third", "absolute.npy")]:
            self.succeed("log-softmax", z, "-o", self.path(link))
            self.assertTrue(os.path.islink(self.path(link)))
            self.assert_close(np.load(self.path(target)), np.full((2, 3), -np.log(3)))
        os.symlink("circle", self.path("circle"))
        os.symlink("nowhere/out.npy", self.path("fourth"))
        os.symlink("nowhere/", self.path("fifth"))
        self.fail_with(1, "circle: Too many levels of symbolic links", "log-softmax", z, "-o", self.path("circle"))
        for link in ["fourth", "fifth"]:
            self.fail_with(1, link + ": No such file or directory", "log-softmax", z, "-o", self.path(link))
        os.symlink("same.npy", self.path("sixth"))
        t = self.save("t.npy", np.zeros(2, np.int64))
        self.fail_with(2, "name the same file", "focal-loss", z, t, "-o", self.path("sixth"), "--grad",
                       self.path("same.npy"))

    def test_errors(self):
        ok = self.save("ok.npy", np.zeros((2, 3), np.float32))
        f8 = self.save("f8.npy", np.zeros((2, 3)))
        big = self.save("big.npy", np.zeros((2, 3), ">f4"))
        i4 = self.save("i4.npy", np.zeros((2, 3), np.int32))
        none = self.save("none.npy", np.zeros((2, 0), np.float32))
        scalar = self.save("scalar.npy", np.float32(1) + np.zeros((), np.float32))
        objects = self.path("objects.npy")
        np.save(objects, np.array([{}], object))
        np.savez(self.path("z.npz"), np.zeros(3, np.float32))
        with open(ok, "rb") as file:
            content = file.read()
        for name, damaged in [("short", content[:-1]), ("long", content + b"\0"), ("header", content[:50])]:
            with open(self.path(name), "wb") as file:
                file.write(damaged)
        out = self.path("out.npy")
        for pattern, *arguments in [
            ["missing.npy: No such file or directory", self.path("missing.npy")],
            ["Is a directory", self.folder],
            ["f8.npy: dtype '<f8' is not supported", f8],
            ["big.npy: dtype '>f4' is big endian", big],
            ["i4.npy: logits are of dtype f4; this file holds i4", i4],
            ["objects.npy: dtype '|O' is not supported".replace("|", r"\|"), objects],
            [r"none.npy: there are no classes on axis 1 of its shape \(2, 0\)", none],
            ["scalar.npy: a single value has no axis", scalar],
            ["z.npz: a .npz archive", self.path("z.npz")],
            ["short: truncated: 23 bytes of elements, where its shape needs 24", self.path("short")],
            ["long: 1 bytes too many", self.path("long")],
            ["header: truncated in its header", self.path("header")],
            [r"ok.npy: there is no axis 2 in its shape \(2, 3\)", ok, "--axis", "2"],
            [r"ok.npy: there is no axis -3 in its shape \(2, 3\)", ok, "--axis", "-3"],
            ["standard input: empty file", "-"],
        ]:
            with self.subTest(arguments):
                self.fail_with(1, pattern, "log-softmax", *arguments, "-o", out, stdin="")
        self.fail_with(1, "nowhere/out.npy: No such file", "log-softmax", ok, "-o", self.path("nowhere/out.npy"))
        self.fail_with(1, "nowhere/: No such file", "log-softmax", ok, "-o", self.path("nowhere/"))
        self.fail_with(1, "ok.npy/: Not a directory", "log-softmax", ok, "-o", ok + "/")
        self.fail_with(1, "/dev/full: No space left", "log-softmax", ok, "-o", "/dev/full")
        self.fail_with(1, "Is a directory", "log-softmax", ok, "-o", self.folder)

    def test_an_error_leaves_the_output_as_it_was(self):
        out = self.path("out.npy")
        with open(out, "w") as file:
            file.write("precious")
        self.fail_with(1, "dtype '<f8'", "log-softmax", self.save("f8.npy", np.zeros(3)), "-o", out)
        # A file size limit of 64 KiB ends the writing in its middle.
        z = self.save("z.npy", np.zeros((300, 100), np.float32))
        before = sorted(os.listdir(self.folder))
        limited = 'ulimit -f 64; trap "" XFSZ; exec "$@"'
        ran = subprocess.run(["sh", "-c", limited, "sh", PROGRAM, "log-softmax", z, "-o", out], capture_output=True, text=True)
        self.assertEqual((ran.returncode, ran.stdout), (1, ""))
        self.assertRegex(ran.stderr, r"^softfocus: .*out.npy: File too large\n$")
        self.assertEqual(sorted(os.listdir(self.folder)), before)
        with open(out) as file:
            self.assertEqual(file.read(), "precious")


class FocalLoss(Case):
    def focal(self, z, targets, *options):
        """What is printed, and the gradient; the same loss from a file, and without a gradient."""
        grad = self.path("grad.npy")
        arguments = ["focal-loss", self.save("z.npy", z), self.save("t.npy", targets), *options]
        printed = self.succeed(*arguments, "--grad", grad)
        self.assertEqual(printed, self.succeed(*arguments))
        self.assertEqual(self.succeed(*arguments, "-o", self.path("loss.npy")), "")
        loss = np.load(self.path("loss.npy"))
        order = "F" if loss.flags.f_contiguous and not loss.flags.c_contiguous else "C"
        values = np.array([float(line) for line in printed.split()], np.float32)
        np.testing.assert_array_equal(values, loss.ravel(order))  # nine digits are enough
        return loss, np.load(grad)

    def assert_gradient(self, got, expected, axis):
        # The bound is relative to each element; the reference's own p - 1 cancels, so its position's largest is the scale.
        self.assert_close(got, expected, np.abs(expected).max(axis, keepdims=True))

    def test_softmax(self):
        for shape, axis in [((9,), None), ((20, 10), None), ((4, 3, 6), None), ((2, 3, 4, 5), None), ((4, 6, 3), -1), ((5, 4, 3), 0)]:
            effective = axis if axis is not None else min(1, len(shape) - 1)
            z = RNG.normal(0, 3, shape).astype(np.float32)
            positions = tuple(np.delete(shape, effective))
            targets = RNG.integers(0, shape[effective], positions)
            weights = RNG.uniform(0.5, 2, shape[effective]).astype(np.float32)
            for order, target_order, dtype in [("C", "C", "i4"), ("F", "F", "i8"), ("C", "F", "i8"), ("F", "C", "i4")]:
                for options in [{}, {"gamma": 0.5, "alpha": -1}, {"gamma": 0, "alpha": 1, "reduction": "sum"},
                                {"reduction": "none", "gamma": 1}, {"weights": weights, "gamma": 3.5},
                                {"normalizer": 17.5}]:
                    with self.subTest(shape=shape, axis=axis, order=order, target_order=target_order, options=options):
                        arguments = [] if axis is None else [f"--axis={axis}"]
                        for name, value in options.items():
                            if name == "weights":
                                value = ",".join(map(repr, map(float, value)))
                                name = "class-weight"
                            arguments += [f"--{name}={value}"]
                        loss, grad = self.focal(np.asarray(z, order=order),
                                                np.asarray(targets.astype(dtype), order=target_order), *arguments)
                        expected_loss, expected_grad = reference_softmax_focal(z, targets, effective, **options)
                        self.assert_close(loss, expected_loss)
                        self.assert_gradient(grad, expected_grad, effective)

    def test_sigmoid(self):
        for shape in [(6,), (20, 10), (2, 3, 4, 5)]:
            z = RNG.normal(0, 3, shape).astype(np.float32)
            y = RNG.integers(0, 2, shape).astype(np.float32)
            for order, target_order in ["CC", "FF", "CF", "FC"]:
                for options in [{}, {"gamma": 0.5, "alpha": -1}, {"reduction": "none", "alpha": 0}, {"reduction": "sum"}]:
                    with self.subTest(shape=shape, order=order, target_order=target_order, options=options):
                        arguments = [f"--{name}={value}" for name, value in options.items()]
                        loss, grad = self.focal(np.asarray(z, order=order), np.asarray(y, order=target_order), "--sigmoid",
                                                *arguments)
                        expected_loss, expected_grad = reference_sigmoid_focal(z, y, **options)
                        self.assert_close(loss, expected_loss)
                        self.assert_close(grad, expected_grad)

    def test_ignored(self):
        z = RNG.normal(0, 3, (20, 10)).astype(np.float32)
        targets = RNG.integers(0, 10, 20)
        targets[::3] = -100
        loss, grad = self.focal(z, targets)
        expected_loss, expected_grad = reference_softmax_focal(z, targets, 1)
        self.assert_close(loss, expected_loss)
        self.assertTrue((grad[::3] == 0).all())
        targets[::3] = 7
        loss, _ = self.focal(z, targets, "--ignore-index", "7")
        self.assert_close(loss, reference_softmax_focal(z, targets, 1, ignore=7)[0])
        self.assertEqual(self.succeed("focal-loss", self.path("z.npy"), self.save("t.npy", np.full(20, -100))), "nan\n")

    def test_class_weight_file(self):
        z = RNG.normal(0, 3, (20, 4)).astype(np.float32)
        targets = RNG.integers(0, 4, 20)
        weights = RNG.uniform(0.5, 2, 4).astype(np.float32)
        loss, _ = self.focal(z, targets, "--class-weight", self.save("w.npy", weights))
        self.assert_close(loss, reference_softmax_focal(z, targets, 1, weights=weights)[0])

    def test_standard_streams(self):
        z = RNG.normal(0, 3, (20, 4)).astype(np.float32)
        targets = self.save("t.npy", RNG.integers(0, 4, 20))
        with open(self.save("z.npy", z), "rb") as file:
            content = file.read()
        grad = self.succeed("focal-loss", "-", targets, "-o", self.path("loss.npy"), "--grad", "-", stdin=content, text=False)
        self.succeed("focal-loss", self.path("z.npy"), targets, "--grad", self.path("grad.npy"))
        with open(self.path("grad.npy"), "rb") as file:
            self.assertEqual(grad, file.read())

    def test_errors(self):
        z = self.save("z.npy", np.zeros((4, 3, 2), np.float32))
        zf = self.save("zf.npy", np.asfortranarray(np.zeros((4, 3, 2), np.float32)))
        t = self.save("t.npy", np.zeros((4, 2), np.int64))
        bad = np.zeros((4, 2), np.int64)
        bad[2, 1] = 3
        bad = self.save("bad.npy", bad)
        low = self.save("low.npy", np.full((4, 2), -1, np.int32))
        flat = self.save("flat.npy", np.zeros(8, np.int64))
        f8 = self.save("f8.npy", np.zeros((4, 2)))
        weights_f8 = self.save("wf8.npy", np.zeros(3))
        weights_2d = self.save("w2d.npy", np.zeros((3, 1), np.float32))
        self.save("dense.npy", np.zeros((4, 3, 2), np.float32))
        self.save("vector.npy", np.zeros(4, np.float32))
        for pattern, *arguments in [
            [r"bad.npy: class 3 at \[2, 1\] is not from 0 to 2 \(nor --ignore-index -100\)", z, bad],
            [r"bad.npy: class 3 at \[2, 1\] is not from 0 to 2", zf, bad],
            [r"low.npy: class -1 at \[0, 0\] is not from 0 to 2", z, low],
            [r"flat.npy: shape \(8,\), where these logits need \(4, 2\) of i8 targets", z, flat],
            [r"t.npy: shape \(4, 2\), where these logits need \(3, 2\) of i8 targets", z, t, "--axis", "0"],
            ["f8.npy: dtype '<f8' is not supported", z, f8],
            ["missing: No such file", z, self.path("missing")],
            ["missing: No such file", self.path("missing"), t],
            ["--class-weight: 2 weights for 3 classes", z, t, "--class-weight", "1,2"],
            ["--class-weight: the weight of class 0, which a target names, is -1", z, t, "--class-weight=-1,2,3"],
            ["--class-weight: the weight of class 0, which a target names, is nan", z, t, "--class-weight", "nan,2,3"],
            ["--class-weight: the weight of class 1 is -2$", z, self.path("dense.npy"), "--sigmoid",
             "--class-weight=1,-2,3"],
            ["1,2,x: No such file or directory .--class-weight takes", z, t, "--class-weight", "1,2,x"],
            ["wf8.npy: dtype '<f8' is not supported", z, t, "--class-weight", weights_f8],
            ["w2d.npy: class weights are f4 with one axis; this file holds f4 with 2", z, t, "--class-weight", weights_2d],
            ["dense.npy: this version does not implement softmax focal loss with f4 targets", z, self.path("dense.npy")],
            ["vector.npy: this version does not implement softmax focal loss with f4 targets", z, self.path("vector.npy")],
            ["t.npy: this version does not implement sigmoid focal loss with i8 targets", z, t, "--sigmoid"],
            ["flat.npy: this version does not implement sigmoid focal loss with i8 targets", z, flat, "--sigmoid"],
        ]:
            with self.subTest(arguments):
                self.fail_with(1, "(" + pattern + ")", "focal-loss", *arguments, "--grad", self.path("grad.npy"))
        for option in ["--gamma=-1", "--gamma=inf", "--gamma=nan", "--alpha=1.5", "--alpha=nan", "--normalizer=-1"]:
            self.fail_with(2, option[: option.index("=")] + ": ", "focal-loss", z, t, option)

    def test_both_outputs_or_none(self):
        z = self.save("z.npy", np.zeros((4, 3), np.float32))
        t = self.save("t.npy", np.zeros(4, np.int64))
        self.fail_with(1, "nowhere/grad.npy", "focal-loss", z, t, "-o", self.path("loss.npy"), "--grad",
                       self.path("nowhere/grad.npy"))
        self.fail_with(1, "nowhere/grad.npy", "focal-loss", z, t, "--grad", self.path("nowhere/grad.npy"))


class StandardOutputByName(Case):
    """/dev/stdout and the like are "-", and so is the plain name of a file that standard output goes to: what is in that
    file, and what is printed there, is kept."""

    def setUp(self):
        super().setUp()
        self.z = self.save("z.npy", RNG.normal(0, 3, (4, 3)).astype(np.float32))
        self.t = self.save("t.npy", RNG.integers(0, 3, 4))
        self.file = self.path("file")
        os.symlink("file", self.path("link"))
        self.names = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", self.file, self.path("link"), self.folder + "/./file"]

    def redirected(self, redirection, *arguments):
        """Run with standard output redirected ("$0" is the file). The status, what is told, and what is in the file then."""
        with open(self.file, "wb") as file:
            file.write(b"keep me\n")
        inode, before = os.stat(self.file).st_ino, sorted(os.listdir(self.folder))
        ran = subprocess.run(["sh", "-c", f'"$@" {redirection}', self.file, PROGRAM, *arguments], capture_output=True,
                             text=True)
        self.assertEqual((os.stat(self.file).st_ino, sorted(os.listdir(self.folder))), (inode, before))
        with open(self.file, "rb") as file:
            return ran.returncode, ran.stderr, file.read()

    def appended(self, *arguments):
        return self.redirected('>>"$0"', *arguments)

    def test_one_result(self):
        expected = self.succeed("log-softmax", self.z, "-o", "-", text=False)
        for name in self.names:
            for redirection, kept in [('>"$0"', b""), ('>>"$0"', b"keep me\n")]:
                with self.subTest(name + redirection):
                    self.assertEqual(self.redirected(redirection, "log-softmax", self.z, "-o", name),
                                     (0, "", kept + expected))

    def test_a_result_beside_the_printed_loss(self):
        self.save("loss.npy", np.zeros((), np.float32))
        loss_to_file = ["focal-loss", self.z, self.t, "-o", self.path("loss.npy"), "--grad"]
        expected = self.succeed(*loss_to_file, "-", text=False)
        for name in self.names:
            with self.subTest(name):
                for output in ["-", "/dev/stdout", self.file]:
                    status, told, content = self.appended("focal-loss", self.z, self.t, "-o", output, "--grad", name)
                    self.assertEqual((status, content), (2, b"keep me\n"))
                    self.assertIn("-o and --grad name the same file\n", told)
                status, told, content = self.appended("focal-loss", self.z, self.t, "--grad", name)
                self.assertEqual((status, content), (2, b"keep me\n"))
                self.assertIn(f"--grad {name} needs -o: the loss is printed on standard output\n", told)
                self.assertEqual(self.appended(*loss_to_file, name), (0, "", b"keep me\n" + expected))

    def test_pipes_and_devices(self):
        self.fail_with(2, "--grad /dev/stdout needs -o", "focal-loss", self.z, self.t, "--grad", "/dev/stdout")
        expected = self.succeed("log-softmax", self.z, "-o", "-", text=False)
        self.assertEqual(self.succeed("log-softmax", self.z, "-o", "/dev/stdout", text=False), expected)
        # Of what keeps nothing, nothing is lost.
        self.assertEqual(self.redirected(">/dev/null", "focal-loss", self.z, self.t, "--grad", "/dev/null")[:2], (0, ""))
        self.assertEqual(self.redirected(">/dev/full", "log-softmax", self.z, "-o", "/dev/stdout")[:2],
                         (1, "softfocus: /dev/stdout: No space left on device\n"))


class Check(Case):
    def test_one_kernel(self):
        found = json.loads(self.succeed("check", "--isa", "scalar", "--kernel", "log_softmax", "--json"))
        self.assertTrue(found["ok"])
        self.assertEqual((found["seed"], found["failed"], found["failures"]), (1, 0, []))
        self.assertGreater(found["runs"], 10)
        (result,) = found["results"]
        self.assertEqual((result["kernel"], result["isa"], result["unit"]), ("log_softmax", "scalar", "ulp"))
        self.assertEqual(result["cases"], found["runs"])
        self.assertTrue(0 < result["worst"] <= result["bound"])

    def test_table_and_seed(self):
        text = self.succeed("check", "--isa", "scalar", "--kernel", "log_softmax", "--seed", "7")
        self.assertIn("seed 7\n", text)
        self.assertRegex(text, r"\nlog_softmax +log_probs +scalar +\d+ +\d\.\d+ +\d\.\d +ulp +ok\n")
        self.assertRegex(text, r"\n0 of \d+ runs failed\n$")


    def test_broken_bounds(self):
        wrong = {"LD_PRELOAD": os.environ["WRONG_LOG1P"], "ASAN_OPTIONS": "verify_asan_link_order=0"}
        arguments = ["check", "--isa", "scalar", "--kernel", "log_softmax"]
        ran = run(*arguments, **wrong)
        self.assertEqual(ran.returncode, 1)
        self.assertRegex(ran.stdout, r"\nlog_softmax +log_probs +scalar +\d+ +[\d.]+ +3\.0 +ulp +BROKEN\n")
        self.assertRegex(ran.stdout, r"\n[1-9]\d* of \d+ runs failed; the first are above")
        lines = ran.stderr.splitlines()
        self.assertEqual(len(lines), 20)
        self.assertTrue(all(line.startswith("log_softmax/scalar: log_probs ") for line in lines))
        ran = run(*arguments, "--json", **wrong)
        found = json.loads(ran.stdout)
        self.assertEqual((ran.returncode, ran.stderr, found["ok"], found["results"][0]["ok"]), (1, "", False, False))
        self.assertEqual(len(found["failures"]), found["failed"])


class Bench(Case):
    """With a stand-in for softfocus-bench: bench/ tests the real one."""

    def stand_in(self, script):
        path = self.path("softfocus-bench")
        with open(path, "w") as file:
            file.write("#!/bin/sh\n" + script)
        os.chmod(path, 0o755)
        return path

    def report(self):
        def row(run_name, aggregate, ns):
            return {"name": run_name + "_" + aggregate, "run_name": run_name, "run_type": "aggregate", "repetitions": 3,
                    "aggregate_name": aggregate, "ns_per_element": ns, "bytes_per_second": 8e9 / ns,
                    "speedup_over_scalar": 4 / ns}
        names = {"log_softmax/f32/scalar/rows:8/classes:10": 4.0, "log_softmax/f32/avx2/rows:8/classes:10": 0.5,
                 "onednn_log_softmax/f32/rows:8/classes:10": 1.0}
        if not {"avx2"} <= {isa["name"] for isa in json.loads(self.succeed("info", "--json"))["isas"]}:
            names = {name.replace("avx2", "neon"): ns for name, ns in names.items()}
        return {"context": {"softfocus_version": "9.9.9", "cpu_model": "A CPU", "compiler": "cc 1", "flags": "-O3"},
                "benchmarks": [row(name, what, ns) for name, ns in names.items() for what in ["mean", "median"]]}

    def print_report(self):
        with open(self.path("report.json"), "w") as file:
            json.dump(self.report(), file)
        return f'echo "$@" >"{self.folder}/arguments"; cat "{self.folder}/report.json"'

    def test_table(self):
        bench = self.stand_in(self.print_report())
        lines = self.succeed("bench", "--quick", "--filter", "a|b", "--", "--more", SOFTFOCUS_BENCH=bench).splitlines()
        with open(self.path("arguments")) as file:
            self.assertEqual(file.read(), "--benchmark_format=json --quick --benchmark_filter=a|b --more\n")
        self.assertEqual(lines[0], "softfocus 9.9.9 on A CPU")
        table = [line.split() for line in lines[-4:]]
        self.assertEqual(table[0], ["kernel", "shape", "by", "ns/element", "GB/s", "x", "scalar", "of", "roof"])
        self.assertEqual(table[1], ["log_softmax", "rows:8/classes:10", "scalar", "4.000", "2.0", "1.00", "-"])
        self.assertIn(table[2][0], ["avx2", "neon"])
        self.assertEqual(table[2][1:], ["0.500", "16.0", "8.00", "-"])
        self.assertEqual(table[3], ["onednn", "1.000", "8.0", "4.00", "-"])

    def test_json(self):
        bench = self.stand_in(self.print_report())
        self.assertEqual(json.loads(self.succeed("bench", "--json", SOFTFOCUS_BENCH=bench)), self.report())

    def test_errors(self):
        self.fail_with(1, "missing: No such file or directory .named by SOFTFOCUS_BENCH", "bench",
                       SOFTFOCUS_BENCH=self.path("missing"))
        self.fail_with(1, "ended with exit status 3", "bench", SOFTFOCUS_BENCH=self.stand_in("echo '{'; exit 3"))
        self.fail_with(1, "ended by signal 15", "bench", SOFTFOCUS_BENCH=self.stand_in("kill -TERM $$"))
        self.fail_with(1, "its JSON cannot be read: line 1", "bench", SOFTFOCUS_BENCH=self.stand_in("echo hello"))
        for option in ["--json", "--quick", "--filter=x", "--roofline=x"]:
            self.fail_with(2, "--compare times nothing: no other option", "bench", "--compare", "a", "b", option)
        self.fail_with(2, "--json and --roofline exclude each other", "bench", "--json", "--roofline", self.path("x"))

    def test_what_is_wrong_is_told_before_timing(self):
        """By the first line that softfocus-bench writes when it is asked for its list."""
        said = 'case "$*" in *list_tests*) echo "$0: error: no --foo" >&2; echo more >&2; exit 1;; esac; '
        bench = self.stand_in(said + "touch " + self.path("timed"))
        ran = run("bench", "foo", SOFTFOCUS_BENCH=bench)
        self.assertEqual((ran.returncode, ran.stdout, ran.stderr), (1, "", f"softfocus: {bench}: error: no --foo\n"))
        self.assertFalse(os.path.exists(self.path("timed")))

    def test_lost_output(self):
        bench = self.stand_in(self.print_report() + "; head -c 100000 /dev/zero | tr '\\0' ' '")
        for arguments in [[], ["--json"]]:
            for redirection, reason in [(">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")]:
                ran = subprocess.run(["sh", "-c", '"$@" ' + redirection, "sh", PROGRAM, "bench", *arguments], text=True,
                                     capture_output=True, env={**os.environ, "SOFTFOCUS_BENCH": bench})
                self.assertEqual((ran.returncode, ran.stderr), (1, f"softfocus: standard output: {reason}\n"))


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    unittest.main(verbosity=2)
