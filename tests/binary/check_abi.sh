#!/usr/bin/env bash
# The public functions, structs and enums, held against those of abi.xml by libabigail:
#     check_abi.sh             fails where one was changed or removed
#     check_abi.sh --update    writes abi.xml, after a change that is meant: one that breaks callers needs a new soname
# Functions that were added pass. A member added at the end of a struct and a new status break no caller either, but are
# changes that --update must say were meant; and so is a renamed member, which breaks callers when they compile.
# Run by `meson test --suite binary` for gcc on x86-64, which is what abi.xml describes. CC is the compiler.
set -euo pipefail
cd "$(dirname "$0")/../.."
stored=tests/binary/abi.xml

if ! command -v abidiff >/dev/null; then
    echo "skipped: no abidiff here (Debian: abigail-tools)"
    exit 77
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/softfocus-abi.XXXXXX")
trap 'rm -rf "$work"' EXIT

# libabigail reads debug information, which the build itself may be without: so the public functions once more, with it.
# They need no kernels: a shared library may leave those undefined.
# Unquoted: a compiler may be several words.
# shellcheck disable=SC2086
${CC:-gcc} -std=c11 -g -O1 -shared -fPIC -fvisibility=hidden -Iinclude -I. -DSOFTFOCUS_BUILT_scalar=1 dispatch/*.c \
    -Wl,--version-script=packaging/softfocus.map -o "$work/libsoftfocus.so"
# --headers-dir: types of other headers are not public, and only their names count.
abidw --no-corpus-path --no-comp-dir-path --no-show-locs --no-elf-needed --exported-interfaces-only \
    --headers-dir include --drop-private-types --no-parameter-names --type-id-style hash "$work/libsoftfocus.so" \
    >"$work/abi.xml"

functions=$(grep -c "<function-decl .*elf-symbol-id='softfocus_" "$work/abi.xml") ||
    { echo "no public function found: is this check blind?"; exit 1; }
structs=$(grep -c "<class-decl name='softfocus_.*size-in-bits=" "$work/abi.xml") ||
    { echo "no public struct found: is this check blind?"; exit 1; }
if [ "${1:-}" = --update ]; then
    cp "$work/abi.xml" "$stored"
    echo "$stored: $functions functions, $structs structs"
    exit
fi
if abidiff --no-added-syms --harmless "$stored" "$work/abi.xml"; then
    echo "$functions functions and $structs structs are as $stored has them, but for functions that were added"
else
    echo "The ABI has changed. If that was meant: tests/binary/check_abi.sh --update"
    exit 1
fi
