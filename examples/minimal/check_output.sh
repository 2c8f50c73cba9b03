#!/bin/sh
# check_output.sh PROGRAM EXPECTED: runs PROGRAM and compares what it prints with the file EXPECTED. The test
# example-minimal. expected.txt was computed from the formula with 50 digits (mpmath), not by softfocus; none of its
# values lies near the middle between two printed ones, so every ISA prints the same.
# MESON_EXE_WRAPPER is the emulator of a cross build (meson sets it); it may be several words.
set -u
printed=$(${MESON_EXE_WRAPPER:-} "$1") || exit 1
printf '%s\n' "$printed" | diff -u "$2" -
