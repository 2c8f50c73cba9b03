#!/usr/bin/env python3
"""What is in the library's binaries, held against what may be. Called by meson.build beside it; by hand:

    check.py --root SOURCES --core CORE.a --isa libsoftfocus-NAME.a ... [--shared LIB.so] [--cpu x86_64]
             [--tools PREFIX] [--any-size]

Needs binutils, whose names begin with PREFIX. Prints a line per check, and the size and the needed libraries of the shared
library; ends with "N passed, N failed, N skipped".
"""
import argparse
import collections
import os
import re
import subprocess
import sys
import tempfile

# Stripped, in bytes. A guard against an accident, such as a table per ISA or static SLEEF, not a target.
SIZE_LIMIT = 608 * 1024

# What the shared library may need at run time. libm: for the few functions that compilers do not inline.
NEEDED_ALWAYS = {"libsleef.so.3", "libc.so.6"}
NEEDED_MAYBE = {"libm.so.6", "ld-linux-aarch64.so.1"}

# Where the one writable word may lie: the default ISA.
WRITABLE = {("dispatch_dispatch.c.o", "choice")}

# The functions of other libraries that an ISA's kernels may call: a SLEEF function of that ISA (never one of SLEEF's own
# dispatchers, which are suffixed with less), and what compilers make calls to by themselves.
SLEEF_SUFFIX = {"avx512": "avx512f", "avx2": "avx2(128)?", "sse": "sse2", "neon": "advsimd", "scalar": "purec"}
COMPILER_CALLS = {"memcpy", "memset", "memmove", "memcmp", "_GLOBAL_OFFSET_TABLE_"}

# Instructions past SSE2 that have no v in front (tzcnt is bsf to older CPUs, and compilers use it so).
PAST_SSE2 = re.compile(
    r"^(addsubp[sd]|haddp[sd]|hsubp[sd]|lddqu|mov(ddup|shdup|sldup)|pabs[bwd]|palignr|phadd\w+|phsub\w+|pmaddubsw|pmulhrsw"
    r"|pshufb|psign[bwd]|blendv?p[sd]|dpp[sd]|extractps|insertps|movntdqa|mpsadbw|packusdw|pblendvb|pblendw|pcmpeqq|pcmpgtq"
    r"|pextr[bdq]|phminposuw|pinsr[bdq]|pmax(sb|sd|ud|uw)|pmin(sb|sd|ud|uw)|pmov[sz]x\w+|pmuldq|pmulld|ptest|roundp[sd]"
    r"|rounds[sd]|pcmp[ei]str[im]|crc32\w?|popcnt|lzcnt|movbe|aes\w+|pclmulqdq|andn|bextr|bls(i|r|msk)|bzhi|mulx|pdep|pext"
    r"|rorx|s[ah][lr]x)[lqw]?$")
VECTOR_EXTENSION = re.compile(r"^v(?!er[rw]|mcall|mxon|mxoff)")
# AVX-512 past F, BW, DQ and VL.
PAST_AVX512 = re.compile(
    r"^v(p(conflict|lzcnt|broadcastm|madd52|dpbusd|dpwssd|popcnt|shufbitqmb|multishiftqb|shld|shrd|compress[bw]|expand[bw])"
    r"|perm(i2|t2)?b$|exp2p|rcp28|rsqrt28|gf2p8|aes|pclmul|cvtne2?ps2bf16|dpbf16|p2intersect|\w+(ph|sh)$)")
OPMASK = re.compile(r"%k[0-7]\b")
HIGH_REGISTER = re.compile(r"%[xyz]mm(1[6-9]|2\d|3[01])\b")

passed = failed = 0


def check(what, problems):
    global passed, failed
    problems = list(problems)
    if problems:
        failed += 1
        print(f"FAILED  {what}")
        for problem in problems[:20]:
            print(f"          {problem}")
    else:
        passed += 1
        print(f"ok      {what}")


class Tools:
    """binutils for the CPU that the library is for."""

    def __init__(self, prefix):
        self.prefix = prefix

    def __call__(self, tool, *arguments):
        return subprocess.run([self.prefix + tool, *arguments], check=True, stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "LC_ALL": "C"}).stdout


def members(text):
    """(member's base name, line) of what nm, objdump and readelf print for an archive."""
    member = None
    for line in text.splitlines():
        header = re.match(r"^(?:File: )?(?:.*\()?([^\s()]*\.o)\)?:(?:\s+file format.*)?$", line)
        if header:
            member = os.path.basename(header.group(1))
        elif line.strip():
            yield member, line


# ---- Symbols -------------------------------------------------------------------------------------------------------

def declared(root):
    """The functions that the public header declares."""
    with open(os.path.join(root, "include/softfocus/softfocus.h"), encoding="utf-8") as header:
        names = re.findall(r"^SOFTFOCUS_API\s[^;(]*?(softfocus_\w+)\(", header.read(), re.MULTILINE)
    return set(names)


def check_exports(tools, shared, root):
    versions = {name: version for name, _, version in
                (line.split()[-1].partition("@") for line in tools("nm", "-D", "--defined-only", shared).splitlines()
                 if line.split()[-2] != "A")}
    exported, wanted = set(versions), declared(root)
    check(f"the shared library exports the header's {len(wanted)} functions and nothing else",
          [f"exported, not in the header: {name}" for name in sorted(exported - wanted)] +
          [f"in the header, not exported: {name}" for name in sorted(wanted - exported)] +
          ([] if wanted else ["no function found in the header"]))
    soname = re.search(r"\(SONAME\).*\[libsoftfocus\.so\.(\d+)\]", tools("readelf", "-d", shared))
    node = "@SOFTFOCUS_" + soname.group(1) if soname else "of a soname, which is missing"
    check("each has the version that the soname has",
          [f"{name} has {version.lstrip('@') or 'none'}" for name, version in sorted(versions.items()) if version != node])


def global_names(tools, archive):
    for member, line in members(tools("nm", "--defined-only", "--extern-only", archive)):
        yield member, line.split()[-1]


def check_archive_names(tools, core):
    names = list(global_names(tools, core))
    check(f"all {len(names)} global names of the archive begin with softfocus_",
          [f"{member}: {name}" for member, name in names if not name.startswith("softfocus_")] +
          ([] if names else ["no name at all"]))


def check_isa_names(tools, isa, archive):
    """A global name that two ISAs define could be linked from the wrong one: each must carry its ISA."""
    names = list(global_names(tools, archive))
    check(f"{isa}: all {len(names)} global names carry the ISA's name",
          [f"{member}: {name}" for member, name in names if not re.search(rf"_{isa}_f\d+$", name)] +
          ([] if names else ["no name at all"]))


def check_calls(tools, isa, archive):
    called = {line.split()[-1] for _, line in members(tools("nm", "--undefined-only", archive))}
    suffix = SLEEF_SUFFIX[isa]
    check(f"{isa}: calls nothing but SLEEF's functions of this ISA",
          [name for name in sorted(called - COMPILER_CALLS)
           if not re.fullmatch(rf"Sleef_\w+_u\d+{suffix}", name) and not re.search(rf"^softfocus_\w+_{isa}_f\d+$", name)])


# ---- Sections ------------------------------------------------------------------------------------------------------

def check_writable(tools, core):
    """No writable data but one word, and nothing that runs when the library is loaded."""
    symbols = collections.defaultdict(list)
    sizes = collections.defaultdict(int)
    problems = []
    for member, line in members(tools("objdump", "-t", core)):
        entry = re.match(r"^[0-9a-f]+ .{7} (\S+)\t([0-9a-f]+) +(?:\.hidden )?(\S+)$", line)
        if entry and re.match(r"\.(data(?!\.rel\.ro)|bss|tdata|tbss)|\*COM\*", entry.group(1)) and int(entry.group(2), 16):
            symbols[member].append(entry.group(3))
            if (member, entry.group(3)) not in WRITABLE:
                problems.append(f"{member}: {entry.group(3)} in {entry.group(1)}")
    for member, line in members(tools("objdump", "-h", core)):
        section = re.match(r"^\s*\d+ (\S+)\s+([0-9a-f]+)\s", line)
        if not section or int(section.group(2), 16) == 0:
            continue
        if re.match(r"\.(data(?!\.rel\.ro)|bss|tdata|tbss)", section.group(1)):
            sizes[member] += int(section.group(2), 16)
        if re.match(r"\.(init_array|fini_array|ctors|dtors|preinit_array)", section.group(1)):
            problems.append(f"{member}: runs code at load: {section.group(1)}")
    problems += [f"{member}: {size} bytes of writable data" for member, size in sizes.items()
                 if member not in {allowed for allowed, _ in WRITABLE} or size != 4]
    problems += [f"{name} of {member} was not found: is this check blind?" for member, name in WRITABLE
                 if name not in symbols[member]]
    check("one atomic word is all that is writable, and nothing runs at load", problems)


# ---- Instructions --------------------------------------------------------------------------------------------------

def instructions(tools, archive):
    for member, line in members(tools("objdump", "-d", "--no-show-raw-insn", archive)):
        parts = line.split("\t")
        if len(parts) >= 2:
            yield member, line.strip(), parts[1].split()[0] if parts[1].split() else "", parts[1]


def check_instructions(tools, what, archive, forbidden, needed, only=""):
    found, count = [], 0
    evidence = needed is None
    for member, line, mnemonic, text in instructions(tools, archive):
        if not member.startswith(only):
            continue
        count += 1
        if forbidden(mnemonic, text):
            found.append(f"{member}: {line}")
        evidence = evidence or needed in text
    check(f"{what}: none of {count} instructions is past its ISA",
          found + ([] if count else ["no instruction at all"]) +
          ([] if evidence else [f"no {needed} register: is this check blind?"]))


def past_baseline(mnemonic, text):
    return bool(VECTOR_EXTENSION.match(mnemonic) or PAST_SSE2.match(mnemonic) or OPMASK.search(text) or
                "%ymm" in text or "%zmm" in text)


def features(root, isa):
    """What dispatch/isa.def asks of the CPU."""
    with open(os.path.join(root, "dispatch/isa.def"), encoding="utf-8") as rows:
        row = re.search(rf"^ISA\({isa},([^)]*)\)", rows.read(), re.MULTILINE)
    return set(re.findall(r"SOFTFOCUS_CPU_(\w+)", row.group(1)))


def past_vex(mnemonic, have):
    """An instruction without a v, such as lzcnt, that the CPU was not asked for."""
    return bool(PAST_SSE2.match(mnemonic)) and mnemonic.rstrip("lqw").upper() not in have


def check_x86(tools, root, core, isas):
    check_instructions(tools, "dispatch", core, past_baseline, None, "dispatch_")
    for isa, archive in isas.items():
        have = features(root, isa)
        if isa in ("sse", "scalar"):
            check_instructions(tools, isa, archive, past_baseline, "%xmm")
        elif isa == "avx2":
            check_instructions(tools, isa, archive, lambda mnemonic, text, have=have: "%zmm" in text or OPMASK.search(text) or
                               HIGH_REGISTER.search(text) or past_vex(mnemonic, have), "%ymm")
        elif isa == "avx512":
            check_instructions(tools, isa, archive, lambda mnemonic, text, have=have: PAST_AVX512.match(mnemonic) or
                               past_vex(mnemonic, have), "%zmm")
        else:
            check(f"{isa}: its instructions", [f"what {isa} may use is not known to this check"])


# ---- The shared library --------------------------------------------------------------------------------------------

def check_needed(tools, shared):
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", tools("readelf", "-d", shared)))
    print("needed: " + " ".join(sorted(needed)))
    check("the shared library needs SLEEF and the C library alone",
          [f"needed: {name}" for name in sorted(needed - NEEDED_ALWAYS - NEEDED_MAYBE)] +
          [f"not needed any more: {name}" for name in sorted(NEEDED_ALWAYS - needed)])


def check_size(tools, shared, any_size):
    with tempfile.TemporaryDirectory() as folder:
        stripped = os.path.join(folder, "stripped.so")
        tools("strip", "--strip-unneeded", "-o", stripped, shared)
        size = os.path.getsize(stripped)
    print(f"size, stripped: {size} bytes")
    if not any_size:
        check(f"the stripped shared library is under {SIZE_LIMIT} bytes", [] if size < SIZE_LIMIT else [f"{size} bytes"])


def check_hardening(tools, shared):
    headers, dynamic = tools("readelf", "-lW", shared), tools("readelf", "-d", shared)
    problems = []
    if re.search(r"GNU_STACK.*\bRWE\b", headers):
        problems.append("an executable stack")
    if "GNU_RELRO" not in headers:
        problems.append("no RELRO: constant tables of pointers stay writable")
    if "TEXTREL" in dynamic:
        problems.append("text relocations")
    check("the stack is not executable, constant tables are read-only after loading", problems)


def check_binding(tools, shared):
    """Lazy binding would take the loader's lock, and some KB more of stack, at the deepest point of a first call."""
    now = re.search(r"\(BIND_NOW\)|\(FLAGS\).*\bBIND_NOW\b|\(FLAGS_1\).*\bNOW\b", tools("readelf", "-d", shared))
    check("SLEEF's functions are found when the library is loaded", [] if now else ["neither BIND_NOW nor NOW"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True)
    parser.add_argument("--core", required=True)
    parser.add_argument("--isa", action="append", required=True, metavar="ARCHIVE")
    parser.add_argument("--shared")
    parser.add_argument("--cpu", default="x86_64")
    parser.add_argument("--tools", default="", metavar="PREFIX")
    parser.add_argument("--any-size", action="store_true", help="print the size, but do not hold it")
    options = parser.parse_args()
    tools = Tools(options.tools)
    isas = {re.search(r"softfocus-(\w+)\.a$", archive).group(1): archive for archive in options.isa}

    check_archive_names(tools, options.core)
    for isa, archive in isas.items():
        check_isa_names(tools, isa, archive)
        check_calls(tools, isa, archive)
    check_writable(tools, options.core)
    if options.cpu == "x86_64":
        check_x86(tools, options.root, options.core, isas)
    if options.shared:
        check_exports(tools, options.shared, options.root)
        check_needed(tools, options.shared)
        check_size(tools, options.shared, options.any_size)
        check_hardening(tools, options.shared)
        check_binding(tools, options.shared)
    else:
        print("skipped the shared library: this build has none")
    print(f"{passed} passed, {failed} failed, {0 if options.shared else 1} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
