#!/usr/bin/env bash
# softfocus against what a user would pick instead, with one command:
#     bench/peers/run.sh [--out FOLDER] [--pypi-torch] [--quick] [other options of compare.py]
# installs the peers, builds softfocus and the peers in C (build-peers/), and runs compare.py, which says how it
# measures. A table (results.md, results.json) and a picture (results.png) come out in build-peers/results/, or in
# FOLDER.
#
#   from Debian     oneDNN, XNNPACK, SLEEF; PyTorch and torchvision
#   from PyPI       ONNX Runtime, JAX, optax, into ${XDG_CACHE_HOME:-~/.cache}/softfocus-peers
#                   ggml: the source of its CPU backend, out of llama-cpp-python, which bundles llama.cpp (no package of
#                   Debian 12 has it); compiled there, once, for this CPU
#   --pypi-torch    PyTorch and torchvision from PyPI too, in a folder of their own there: newer, and with
#                   torch.compile; PyPI has the CUDA build, 6 GB with what it needs
# What cannot be installed is named in the report.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/packages.sh
. scripts/packages.sh

out=build-peers/results
torch=debian
options=()
while [ $# -gt 0 ]; do
    case $1 in
        --out) out=$2; shift ;;
        --pypi-torch) torch=pypi ;;
        --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
        *) options+=("$1") ;;
    esac
    shift
done

# try_packages PEER PACKAGE…: notes PEER as missing where they cannot be installed.
try_packages()
{
    local peer=$1
    shift
    (need_packages "$@") || options+=(--missing "$peer=apt could not install $*")
}

need_packages "${native_packages[@]}" python3-venv
try_packages XNNPACK libxnnpack-dev libpthreadpool-dev
cache=${XDG_CACHE_HOME:-$HOME/.cache}/softfocus-peers
environment=$cache/venv
venv_options=(--system-site-packages)
if [ $torch = pypi ]; then
    environment+=-torch # by itself: pip takes Debian's PyTorch for its own
    venv_options=()
else
    try_packages "PyTorch (Debian)" python3-torch
    try_packages "torchvision (Debian)" python3-torchvision
fi

say "Python packages in $environment"
[ -x "$environment/bin/pip" ] || /usr/bin/python3 -m venv "${venv_options[@]}" "$environment"

# try_pip PEER MODULE PACKAGE…: installs them unless MODULE is there.
try_pip()
{
    local peer=$1 module=$2
    shift 2
    ! "$environment/bin/python" -c "import importlib.metadata as m; m.version('$module')" 2>/dev/null || return 0
    "$environment/bin/pip" install --quiet "$@" || options+=(--missing "$peer=pip could not install $*")
}

"$environment/bin/pip" install --quiet numpy
try_pip "ONNX Runtime" onnxruntime onnxruntime
try_pip "ONNX Runtime" onnx onnx
try_pip JAX jax 'jax[cpu]'
try_pip optax optax optax
if [ $torch = pypi ]; then
    try_pip PyTorch torch torch
    try_pip torchvision torchvision torchvision
else
    options+=(--missing "torch.compile=Debian's PyTorch has none; --pypi-torch installs one that has")
fi

say "building in build-peers/"
need_build build-peers --buildtype=release -Dtests=disabled -Dtools=disabled -Dbench=disabled -Dexamples=disabled

# need_ggml: builds ggml in the folder $ggml unless it is there; notes it as missing where that fails. pip only fetches
# the source. cmake wants ggml.pc.in, which llama.cpp's copy of ggml lacks.
ggml_source=llama-cpp-python==0.3.36
ggml=$cache/${ggml_source/==/-}
need_ggml()
{
    [ ! -e "$ggml/built" ] || return 0
    say "building ggml, out of $ggml_source, in $ggml"
    rm -rf "$ggml"
    mkdir -p "$ggml"
    local step
    if step="download $ggml_source" &&
        "$environment/bin/pip" download --quiet --no-deps --no-binary llama-cpp-python --dest "$ggml" "$ggml_source" &&
        step="unpack $ggml_source" &&
        tar -xzf "$ggml"/*.tar.gz -C "$ggml" --strip-components=4 --wildcards '*/vendor/llama.cpp/ggml' &&
        rm "$ggml"/*.tar.gz && touch "$ggml/ggml.pc.in" &&
        step="configure (see $ggml/log)" &&
        cmake -S "$ggml" -B "$ggml/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DBUILD_SHARED_LIBS=OFF \
            -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DGGML_BUILD_TESTS=OFF -DGGML_BUILD_EXAMPLES=OFF >"$ggml/log" 2>&1 &&
        step="compile (see $ggml/log)" &&
        cmake --build "$ggml/build" --target ggml-cpu >>"$ggml/log" 2>&1; then
        touch "$ggml/built"
    else
        options+=(--missing "ggml=could not $step")
        return 1
    fi
}

# peer MACRO SOURCE LIBRARIES…: the peer takes part where it compiles.
sources=(bench/peers/native.c)
arguments=()
peer()
{
    local macro=$1 source=$2
    shift 2
    if cc -std=c11 -O2 -march=native -fPIC -shared -fopenmp -I include "-DSOFTFOCUS_BENCH_$macro" "bench/peers/$source" \
        -o build-peers/probe.so "$@" 2>build-peers/probe.log; then
        sources+=("bench/peers/$source")
        arguments+=("-DSOFTFOCUS_BENCH_$macro" "$@")
    else
        options+=(--missing "$macro=does not compile here: $(grep -m 1 error build-peers/probe.log || true)")
    fi
}
peer ONEDNN onednn.c -ldnnl
peer XNNPACK xnnpack.c -lXNNPACK -lpthreadpool
peer SLEEF sleef.c -lsleef -lm
if need_ggml; then
    peer GGML ggml.c -I "$ggml/include" -L "$ggml/build/src" -lggml-cpu -lggml-base -lstdc++ -lm
fi
all=$(nproc)
for threads in 1 "$all"; do
    cc -std=c11 -O2 -march=native -fPIC -shared -fopenmp -I include "-DSOFTFOCUS_BENCH_THREADS=$threads" "${sources[@]}" \
        -o "build-peers/libnative-$threads.so" "${arguments[@]}"
done

say "measuring"
exec "$environment/bin/python" bench/peers/compare.py --library build-peers/libsoftfocus.so --native build-peers \
    --threads "$all" --out "$out" "${options[@]}"
