#!/usr/bin/env python3
"""Makes kernels/constants.h: the polynomials and tables behind exp and log1p in kernels/math.h.

    scripts/generate_constants.py            writes kernels/constants.h (1 to 4 minutes; the same bytes every time)
    scripts/generate_constants.py --check    says whether kernels/constants.h is what this script makes
    scripts/generate_constants.py --measure  prints the measured errors, with where each was found, and writes nothing

Run by hand by whoever changes a coefficient, never during a build. It needs Sollya (Debian: sollya), which fits the
polynomials and bounds their errors, and a C compiler, which builds measure_constants.c outside the tree: that program
evaluates the constants as the kernels do and finds the worst error in ulp. Both figures go into the header's comments.
"""

import argparse
import math
import os
import struct
import subprocess
import sys
import tempfile
import textwrap
from fractions import Fraction

HERE = os.path.dirname(os.path.abspath(__file__))
OUTPUT = os.path.join(HERE, os.pardir, "kernels", "constants.h")
MEASURE_SOURCE = os.path.join(HERE, "measure_constants.c")

ETA = 2.0**-24  # half an ulp of 1.0f; the unit of relative errors here
REACH = 2.0**15 + 160  # the largest |z| that exp reduces (EXP_REACH and EXP_DEPTH, kernels/math.h)


# ---- Sollya and floats -----------------------------------------------------------------------------------------------


def sollya(script):
    """Runs a script and returns what it printed, a line per print."""
    run = subprocess.run(["sollya", "--warnonstderr"], input="verbosity=0!; roundingwarnings=off!;\n" + script,
                         capture_output=True, text=True, timeout=120, check=True)
    return run.stdout.split()


def nearest_float(x):
    """x rounded to the nearest float32 (normal range)."""
    mantissa, exponent = math.frexp(x)
    return math.ldexp(round(math.ldexp(mantissa, 24)), exponent - 24)


def few_bits(x, bits):
    """x rounded to a number of significant bits."""
    mantissa, exponent = math.frexp(x)
    return math.ldexp(round(math.ldexp(mantissa, bits)), exponent - bits)


def float_bits(x):
    return struct.unpack("<I", struct.pack("<f", x))[0]


def c_hex(x):
    """The shortest hexadecimal form of x."""
    mantissa, exponent = x.hex().split("p")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}p{exponent}"


def c_float(x):
    assert nearest_float(x) == x
    return c_hex(x) + "f"


class Polynomial:
    """Coefficients, constant first, and the largest relative error that Sollya found for what they approximate."""

    def __init__(self, coefficients, error):
        self.coefficients = coefficients
        self.error = error


def fit(target, powers, width, pieces, fixed="0"):
    """fpminimax of `target` in the given powers of x, with coefficients of `width` (SG or D), on top of the polynomial
    `fixed`, relative to target. The fit is over the hull of `pieces`, the intervals on which the error is then found
    (they leave out what the target cannot be evaluated at). Returns all coefficients, fixed ones included."""
    low, high = pieces[0][0], pieces[-1][1]
    monomials = ",".join(str(p) for p in powers)
    norms = ",".join(f"dirtyinfnorm(p / ({target}) - 1, [{a};{b}])" for a, b in pieces)
    lines = sollya(f"""
        prec = 200!; display = hexadecimal!;
        p = fpminimax({target}, [|{monomials}|], [|{width}...|], [{low};{high}], relative, {fixed});
        for i from 0 to degree(p) do coeff(p, i);
        display = decimal!;
        round(max({norms}), D, RU);
        quit;""")
    return Polynomial([float.fromhex(line) for line in lines[:-1]], float(lines[-1]))


# ---- exp with a table ------------------------------------------------------------------------------------------------


def folded_table(entries, keep, offsets):
    """The scale c for which every c * 2^(k/entries) is nearest to a float, and those floats T_k. A factor of
    2^(1/entries) only rotates the table, so c within half of that around 1 is every table there is: each float near 1
    is tried as T_0, and c put where the errors of all entries, relative to the first, are balanced. `keep` (in eta)
    prunes; `offsets` (in eta) move c within T_0's rounding interval before the other entries are rounded. Returns
    (worst relative error in eta, c, T)."""
    steps = [2.0 ** (k / entries) for k in range(entries)]
    best = (keep, 0.0, [])
    first = nearest_float(2.0 ** (-0.5 / entries))
    while first < 2.0 ** (0.5 / entries):
        for offset in offsets:
            centre = first * (1 + offset * ETA)
            low = high = 0.0
            table = [first]
            for step in steps[1:]:
                entry = nearest_float(centre * step)
                error = (entry / (first * step) - 1) / ETA
                low, high = min(low, error), max(high, error)
                if high - low >= 2 * best[0]:
                    break
                table.append(entry)
            else:
                best = ((high - low) / 2, first * (1 + (high + low) / 2 * ETA), table)
        first += ETA if first < 1 else 2 * ETA
    return best


def table_constant(first):
    """The smallest float q0 for which first * (1 + q0), rounded once, is exactly 1."""
    q0 = nearest_float((1 - ETA / 2) / first - 1)
    ulp = math.ulp(q0) * 2.0**29  # math.ulp is of a double
    q0 -= 4 * ulp
    while not rounds_to_one(first, q0):
        q0 += ulp
    return q0


def rounds_to_one(first, q0):
    value = Fraction(first) * (1 + Fraction(q0))
    return 1 - Fraction(ETA) / 2 <= value <= 1 + Fraction(ETA)  # both ties go to 1, whose last bit is 0


def past_half(entries):
    """How far |r| of z = n ln2 / entries + r may pass half a step, as a factor, in whole percents: by what LOG2E's rounding
    moves n where |z| is largest; without FMA the product's rounding moves it, too. Of z alone: what is left of m is in
    exp_unit."""
    log2e = 1 / math.log(2)
    moved = REACH * abs(nearest_float(log2e) - log2e) * entries
    if entries == 1:
        moved += REACH * log2e * ETA
    return math.ceil(100 * (1 + 2 * moved)) / 100


def remainder(entries):
    return past_half(entries) * math.log(2) / (2 * entries)


def table_exp(entries, degree, c, table):
    """q with T (1 + q(r)) = e^r T / c for |r| <= remainder(entries)."""
    bound = remainder(entries)
    target = f"(exp(x) / {c_hex(c)})"
    pieces = [(-bound, bound)]
    polynomial = fit(target, range(degree + 1), "SG", pieces, fixed="1")
    polynomial.coefficients[0] -= 1
    smallest = table_constant(table[0])
    if polynomial.coefficients[0] < smallest:
        polynomial = fit(target, range(1, degree + 1), "SG", pieces, fixed=f"(1 + {c_hex(smallest)})")
        polynomial.coefficients[0] = smallest
    assert rounds_to_one(table[0], polynomial.coefficients[0]), "e^0 must be exactly 1"
    return polynomial


# ---- The header ------------------------------------------------------------------------------------------------------


def define(name, value):
    return f"#define {name} {value}"


def define_polynomial(prefix, coefficients, spell, first=0):
    return [define(f"{prefix}{i}", spell(c)) for i, c in enumerate(coefficients) if i >= first]


def define_table(name, table, shift):
    words = [f"0x{(float_bits(t) - (k << shift) + (60 << 23)) & 0xFFFFFFFF:08x}u" for k, t in enumerate(table)]
    rows = [", ".join(words[i:i + 4]) for i in range(0, len(words), 4)]
    body = ", \\\n".join("        " + row for row in rows)
    return [f"#define {name} \\\n    {{ \\\n{body} \\\n    }}"]


def power(error):
    """An error as a power of two, rounded up to a tenth."""
    return f"2^{math.ceil(math.log2(error) * 10) / 10:.1f}"


def make_constants():
    """Everything that the header defines, as a list of (comment, lines). [name] in a comment stands for a figure that
    measure() finds."""
    error16, c16, table16 = folded_table(16, 0.6, (-0.25, 0, 0.25))
    error8, c8, table8 = folded_table(8, 0.2, (0,))
    e16 = table_exp(16, 3, c16, table16)
    e8 = table_exp(8, 3, c8, table8)
    e8_fine = table_exp(8, 4, c8, table8)
    half = remainder(1)
    e1 = fit("exp(x)", range(2, 7), "SG", [(-half, half)], fixed="(1 + x)")
    inverse = fit("exp(-x)", range(1, 7), "D", [(-half, half)], fixed="1")
    tiny = 2.0**-30
    excess = fit("(log(1.5 + x) / (0.5 + x))", range(10), "SG", [(tiny - 0.5, 0.5)], fixed="1")
    excess.coefficients[0] -= 1
    log1p = fit("(log(1 + x) / x)", range(13), "D", [(-0.2501, -tiny), (tiny, 0.5001)])

    ln2 = float.fromhex("0x1.62e42fefa39efp-1")
    ln2_low = float.fromhex("0x1.abc9e3b39803fp-56")  # ln2 - the double above
    high = nearest_float(ln2)
    low = nearest_float(ln2 - high + ln2_low)
    one = few_bits(ln2, 8)
    two = few_bits(ln2 - one, 8)
    three = nearest_float(ln2 - one - two + ln2_low)

    return [
        (f"""exp with a table of 16 entries, T_k = RN(c 2^(k/16)) with c = {c_hex(c16)}: of all c that give different
         tables, the one whose entries are nearest to floats (worst: {error16:.3f} eta; eta = 2^-24). q absorbs 1/c:
         e^r T / c = T + T q(r). The words are bits(T_k) - (k << 19) + (60 << 23): with t << 19 added, k being t's last
         four bits, they are T_k 2^(n + 60).""",
         define_table("SOFTFOCUS_EXP16_TABLE", table16, 19)),
        (f"""q of degree 3 for it, |r| <= {steps(16)}: fpminimax (single); Q0 is the smallest with T_0 (1 + Q0) rounded
         to exactly 1. Largest error of 1 + q relative to e^r / c: {power(e16.error)} (dirtyinfnorm). Measured, Horner:
         {measured("exp16")}.""",
         define_polynomial("SOFTFOCUS_EXP16_Q", e16.coefficients, c_float)),
        (f"""exp with a table of 8 entries, c = {c_hex(c8)} (worst entry: {error8:.3f} eta). The words are
         bits(T_k) - (k << 20) + (60 << 23), for t << 20.""",
         define_table("SOFTFOCUS_EXP8_TABLE", table8, 20)),
        (f"""q of degree 3 for it, |r| <= {steps(8)}, by the same method: {power(e8.error)}. Measured, Horner:
         {measured("exp8")}.""",
         define_polynomial("SOFTFOCUS_EXP8_Q", e8.coefficients, c_float)),
        (f"""q of degree 4: {power(e8_fine.error)}. Measured, Horner: {measured("exp8_fine")}.""",
         define_polynomial("SOFTFOCUS_EXP8_FINE_Q", e8_fine.coefficients, c_float)),
        (f"""exp without a table, |r| <= {steps(1)}: e^r = 1 + q(r), q(r) = r + Q2 r^2 + ... + Q6 r^6, so that e^0 is
         exactly 1: fpminimax (single). Largest relative error: {power(e1.error)} (dirtyinfnorm). Measured with
         q = r + r^2 (Q2 + ...): with FMA {measured("exp1_fma")}; without, {measured("exp1_plain")}.""",
         define_polynomial("SOFTFOCUS_EXP1_Q", e1.coefficients, c_float, first=2)),
        (f"""exp(-r) in double, |r| <= {steps(1)}: fpminimax (double), degree 6, the first coefficient exactly 1. Largest
         relative error: {power(inverse.error)} (dirtyinfnorm).""",
         define_polynomial("SOFTFOCUS_EXP_INVERSE_", inverse.coefficients, c_hex)),
        ("""log2(e); ln2 in two parts for FMA, where the first product is exact within its fused subtraction; and in three
         without FMA: n times one of the first two (8 significant bits each) is exact for every integer |n| <= 2^16.""",
         [define("SOFTFOCUS_LOG2E", c_float(nearest_float(1.4426950408889634))),
          define("SOFTFOCUS_LN2_FMA_HI", c_float(high)), define("SOFTFOCUS_LN2_FMA_LO", c_float(low)),
          define("SOFTFOCUS_LN2_1", c_float(one)), define("SOFTFOCUS_LN2_2", c_float(two)),
          define("SOFTFOCUS_LN2_3", c_float(three))]),
        (f"""log1p(E) / E - 1 for float E of [0, 1], as a polynomial p in x = E - 0.5: log1p(E) is E + E p(x). Its error
         counts against 1, not against p, and half as large an x halves what each rounding adds. fpminimax (single),
         degree 9. Largest error of 1 + p relative to log1p(E) / E: {power(excess.error)} (dirtyinfnorm). Measured over
         every float of [2^-30, 1], Horner: [log1p_excess_fma] ulp with FMA, [log1p_excess_plain] without.""",
         [define("SOFTFOCUS_LOG1P_EXCESS_CENTRE", "0.5f")]
         + define_polynomial("SOFTFOCUS_LOG1P_EXCESS_", excess.coefficients, c_float)),
        (f"""log1p(f) / f in double for 1 + f of [0.75, 1.5]: fpminimax (double), degree 12. Largest relative error:
         {power(log1p.error)} (dirtyinfnorm); measured for log1p(x) = k ln2 + log1p(f) over random x of [2^-60, 2^31]:
         [log1p_double].""",
         define_polynomial("SOFTFOCUS_LOG1P_", log1p.coefficients, c_hex)
         + [define("SOFTFOCUS_LN2_DOUBLE", c_hex(ln2))]),
    ]


def steps(entries):
    """remainder(entries), as a comment has it."""
    return f"{past_half(entries)} ln2/{2 * entries}"


# ---- Measuring -------------------------------------------------------------------------------------------------------


def measured(version):
    return f"[{version}_at_zero] ulp for m = 0, [{version}_reduced] for any m"


def measure(sections):
    """Builds and runs measure_constants.c with these constants: what it printed, as {name: [error, "at", x, m]}."""
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "constants.h"), "w", encoding="utf-8") as file:
            file.write(render(sections, {}))
        program = os.path.join(folder, "measure")
        subprocess.run(["cc", "-std=c11", "-O3", "-march=native", "-ffp-contract=off", "-I", folder, MEASURE_SOURCE,
                        "-o", program, "-lm"], check=True)
        lines = subprocess.run([program], capture_output=True, text=True, check=True).stdout.splitlines()
    return {words[0]: words[1:] for words in map(str.split, lines)}


def spell_figure(name, figure):
    error = float(figure)
    return power(error) if name == "log1p_double" else f"{math.ceil(error * 100) / 100:.2f}"


# ---- The file --------------------------------------------------------------------------------------------------------

HEADER = """\
/* The constants of exp and log1p. Used by kernels/math.h, and by scripts/measure_constants.c.
 *
 * Made by scripts/generate_constants.py, which has the methods; change it there. Its --check compares.
 *
 * Errors measured for exp are of e^(z - m), what is left of m after its multiple of ln2 in a factor of its own, in ulp of
 * the correctly rounded result, rounded up: 'm = 0' is every float z of [-128, -2^-32]; 'any m' is 4e7 random draws with
 * |m| < 32768, z of [m - 128, m] (others are dropped), half of them with remainders of z and m near the ends of their
 * range, with opposite signs. */
#ifndef SOFTFOCUS_CONSTANTS_H
#define SOFTFOCUS_CONSTANTS_H
"""


def render(sections, figures):
    text = HEADER
    for comment, lines in sections:
        for name, words in figures.items():
            comment = comment.replace(f"[{name}]", spell_figure(name, words[0]))
        comment = " ".join(comment.split())
        comment = textwrap.fill(comment, 118, subsequent_indent=" * ", break_on_hyphens=False, break_long_words=False)
        text += f"\n/* {comment} */\n" + "\n".join(lines) + "\n"
    return text + "\n#endif\n"


def main():
    parser = argparse.ArgumentParser(description="Makes kernels/constants.h.")
    parser.add_argument("--check", action="store_true", help="compare with the checked-in file")
    parser.add_argument("--measure", action="store_true", help="print the measured errors and write nothing")
    arguments = parser.parse_args()
    sections = make_constants()
    figures = measure(sections)
    if arguments.measure:
        for name, words in figures.items():
            print(f"{name:26} {' '.join(words)}")
        return 0
    text = render(sections, figures)
    if arguments.check:
        with open(OUTPUT, encoding="utf-8") as file:
            same = file.read() == text
        print("kernels/constants.h is " + ("what this script makes" if same else "NOT what this script makes"))
        return 0 if same else 1
    with open(OUTPUT, "w", encoding="utf-8") as file:
        file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
