#!/usr/bin/env bash
# Writes docs/accuracy.md, which takes about ten minutes on two cores:
#     scripts/accuracy.sh [ARGUMENT…]     arguments go to the run on this CPU: --search 10000 for a shorter one
#   the ISAs of this CPU: every float32 of every domain, and a search over 100000 specs of each kernel; in build-accuracy/
#   AVX-512 where this CPU has none, in Bochs: a sample with all boundaries, and a short search
#   NEON under qemu-user: a larger sample; in build-accuracy-aarch64/
# A result beyond its bound is said, stands in bold and makes this fail.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
. scripts/packages.sh

need_packages "${native_packages[@]}" "${arm64_packages[@]}"
say "building"
options=(--buildtype=release -Dtests=enabled -Dtools=disabled -Dbench=disabled -Dexamples=disabled)
need_build build-accuracy "${options[@]}"
need_build build-accuracy-aarch64 "${options[@]}" --cross-file packaging/cross-aarch64.ini
program=tests/accuracy/softfocus-accuracy
status=0

written=build-accuracy/accuracy.md
cat >"$written" <<'END'
# Accuracy

Written by `scripts/accuracy.sh`, not by hand. An ulp is that of the correctly rounded float32 result, subnormal ones
included. Bounds are what the tests hold.

END
say "the ISAs of this CPU"
"build-accuracy/$program" "$@" >>"$written" </dev/null || status=1
if ! grep -qw avx512f /proc/cpuinfo; then
    say "AVX-512 in Bochs"
    echo >>"$written"
    scripts/emulate.sh avx512 "build-accuracy/$program" --isa avx512 --sample 100000 --search 50 --jobs 1 \
        --machine 'Skylake-X in Bochs' >>"$written" || status=1
fi
say "NEON under qemu-user"
echo >>"$written"
scripts/emulate.sh neon "build-accuracy-aarch64/$program" --isa neon --sample 1000000 --search 500 \
    --machine 'Cortex-A53 under qemu-user' >>"$written" || status=1
mv "$written" docs/accuracy.md
exit $status
