#!/usr/bin/env bash
# What the compilers' warnings do not see.
#     scripts/lint.sh            clang-tidy on dispatch/, tools/ and bench/, and shellcheck: any finding fails
#                                and clang-format over all of it, which only says what it would change
# Packages: clang-tidy, clang-format, shellcheck, and what building needs. Builds in build-lint/.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
. scripts/packages.sh

need_packages "${native_packages[@]}" clang clang-tidy clang-format shellcheck
CC=clang CXX=clang++ need_build build-lint --buildtype=debug

failed=0
# Not ggml.c: no package has ggml's headers.
mapfile -t sources < <(git ls-files 'dispatch/*.c' 'tools/*.c' 'bench/*.c' ':!bench/peers/ggml.c')
[ ${#sources[@]} -gt 0 ] || die "no sources: not a clone?"
say "clang-tidy: ${#sources[@]} files"
printf '%s\0' "${sources[@]}" | xargs -0 -n 1 -P "$(nproc)" \
    clang-tidy --quiet -p build-lint --warnings-as-errors='*' 2>/dev/null || failed=1

mapfile -t shell_scripts < <(git ls-files '*.sh' .ci/run)
say "shellcheck: ${#shell_scripts[@]} files"
shellcheck -x "${shell_scripts[@]}" || failed=1

say "clang-format (advice: nothing fails)"
mapfile -t formatted < <(git ls-files '*.c' '*.h' '*.cc')
clang-format --dry-run "${formatted[@]}" 2>&1 | grep -c 'warning:' |
    sed 's/$/ places that clang-format would change (clang-format --dry-run FILE shows them)/' || true
exit $failed
