#!/usr/bin/env bash
# Installs the library, shared and static, and the program into a temporary prefix and lets others use it the ways that they do:
#     check_install.sh SOURCE_DIR
# Run by `meson test --suite install`; the compilers are CC and CXX from the environment. It writes only to its own
# temporary folder and prints TAP; a step that fails shows its whole output and counts as a failure, and a step that
# could not be reached fails too, since the plan on the first line fixes their number.
set -uo pipefail

source_dir=$(realpath "$1")
here=$source_dir/tests/install
CC=${CC:-cc}
CXX=${CXX:-c++}
export CC CXX
# The caller's flags, test environment and DESTDIR are no part of what is tested here.
unset CFLAGS CXXFLAGS LDFLAGS DESTDIR PKG_CONFIG_LIBDIR SOFTFOCUS_ISA MAKEFLAGS
export MESON_TESTTHREADS=1

work=$(mktemp -d "${TMPDIR:-/tmp}/softfocus-install.XXXXXX")
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
# Two levels deep on Debian, lib/x86_64-linux-gnu, which is where CMake will look too.
libdir=lib/$($CC -print-multiarch 2>/dev/null)
libdir=${libdir%/}
strict=(-Wall -Wextra -Wconversion -Wshadow -Werror)

planned=20
number=0
passed=0
failed=0
skipped=0
echo "1..$planned"

# step NAME COMMAND…: runs it quietly, and shows all that it said if it fails.
step()
{
    local name=$1
    shift
    number=$((number + 1))
    if "$@" >"$work/log" 2>&1; then
        echo "ok $number - $name"
        passed=$((passed + 1))
    else
        echo "not ok $number - $name"
        sed 's/^/# /' "$work/log"
        failed=$((failed + 1))
    fi
}

# skip NAME REASON
skip()
{
    number=$((number + 1))
    skipped=$((skipped + 1))
    echo "ok $number - $1 # SKIP $2"
}

# ---- Install -----------------------------------------------------------------------------------------------------
install_library()
{
    meson setup "$work/build" "$source_dir" --prefix "$prefix" --libdir "$libdir" -Ddefault_library=both \
        -Dtests=disabled -Dbench=disabled -Dtools=auto -Dexamples=disabled &&
        ninja -C "$work/build" && meson install -C "$work/build" --no-rebuild
}

# What must be there, and nothing of the build's inner parts.
check_files()
{
    local file
    for file in include/softfocus/softfocus.h include/softfocus/version.h \
        include/softfocus/adaptors/openmp.h include/softfocus/adaptors/pthreadpool.h include/softfocus/adaptors/tbb.hpp \
        $libdir/libsoftfocus.so $libdir/libsoftfocus.so.0 $libdir/libsoftfocus.a $libdir/pkgconfig/softfocus.pc \
        $libdir/cmake/softfocus/softfocus-config.cmake $libdir/cmake/softfocus/softfocus-config-version.cmake; do
        test -e "$prefix/$file" || { echo "missing: $file"; return 1; }
    done
    # Every header of include/, those that are not named above too, and no other.
    diff <(cd "$source_dir" && find include -name '*.h*' | sort) <(cd "$prefix" && find include -type f | sort) || return 1
    if [ -n "$(find "$prefix" -name '*softfocus-core*' -o -name 'libsoftfocus-*')" ]; then
        echo "internal libraries were installed:"
        find "$prefix" -type f
        return 1
    fi
}

# A name that does not begin with softfocus_ could collide with the user's own.
check_symbols()
{
    local names
    # A: the name of the version that they carry.
    names=$(nm -D --defined-only "$prefix/$libdir/libsoftfocus.so" | awk '$2 != "A" {print $3}') && test -n "$names" ||
        return 1
    names+=$'\n'$(nm -g --defined-only "$prefix/$libdir/libsoftfocus.a" | awk 'NF == 3 {print $3}') || return 1
    echo "$names" | grep -v '^softfocus_' && { echo "names without the prefix"; return 1; }
    return 0
}

# From a prefix that the loader does not know, and with no help for it.
program_starts()
{
    env -u LD_LIBRARY_PATH "$prefix/bin/softfocus" info
}

# ---- pkg-config --------------------------------------------------------------------------------------------------
# compile KIND COMPILER SOURCE FLAGS…: KIND is shared or static. Static means the softfocus archive: SLEEF itself comes
# as a shared library on Debian.
compile()
{
    local kind=$1 compiler=$2 source=$3 program=$work/consumer-$1-$3 flags libs
    shift 3
    flags=$(pkg-config --cflags softfocus) || return 1
    if [ "$kind" = static ]; then
        libs=$(pkg-config --static --libs softfocus) || return 1
        libs=${libs/-lsoftfocus/-l:libsoftfocus.a}
    else
        libs=$(pkg-config --libs softfocus)\ -Wl,-rpath,$prefix/$libdir || return 1
    fi
    # Unquoted: the compilers and pkg-config's answers are lists of words.
    # shellcheck disable=SC2086
    $compiler "$@" "${strict[@]}" $flags "$here/$source" -o "$program" $libs -lm || return 1
    linked_as "$kind" "$program" && "$program"
}

# The program must hold the library (static) or name it (shared): a test that linked the other one would prove nothing.
linked_as()
{
    local needed
    needed=$(readelf -d "$2" | grep -c 'NEEDED.*libsoftfocus\.so\.0')
    case $1 in
        shared) test "$needed" -eq 1 ;;
        static) test "$needed" -eq 0 ;;
    esac || { echo "$2 is not linked $1"; return 1; }
}

check_version()
{
    local version
    version=$("$source_dir/scripts/version.sh") && pkg-config --exact-version="$version" softfocus
}

# ---- CMake -------------------------------------------------------------------------------------------------------
# with_cmake PREFIX KIND, KIND as above, or 'default', which must be shared.
with_cmake()
{
    local build=$work/cmake-$2 components=$2 kind=$2 language
    [ "$2" = default ] && components='' && kind=shared
    rm -rf "$build"
    cmake -S "$here/cmake" -B "$build" -DCMAKE_PREFIX_PATH="$1" \
        -DVERSION="$("$source_dir/scripts/version.sh")" -DCOMPONENTS="$components" \
        -DCMAKE_C_FLAGS="${strict[*]}" -DCMAKE_CXX_FLAGS="${strict[*]}" && cmake --build "$build" || return 1
    for language in c cc; do
        linked_as "$kind" "$build/consumer-$language" && "$build/consumer-$language" || return 1
    done
}

# A tree that was copied elsewhere still works, since the package finds its prefix from its own place.
with_cmake_moved()
{
    cp -a "$prefix" "$work/moved" && with_cmake "$work/moved" static
}

# A tree that is reached through links: /usr with a /lib that is a link to /usr/lib, and a prefix whose lib is a link to
# another disk.
with_cmake_linked()
{
    local linked=$work/linked
    mkdir "$linked" "$linked/disk" && cp -a "$prefix" "$linked/usr" && ln -s usr/lib "$linked/lib" &&
        with_cmake "$linked" static || return 1
    mv "$linked/usr/lib" "$linked/disk/lib" && ln -s ../disk/lib "$linked/usr/lib" && with_cmake "$linked/usr" static
}

# with_cmake_apart INCLUDEDIR LIBDIR: installed once more, with directories outside the prefix. The library is built already.
with_cmake_apart()
{
    local apart=$work/apart
    rm -rf "$apart"
    meson configure "$work/build" -Dprefix="$apart/prefix" -Dincludedir="$1" -Dlibdir="$2" &&
        meson install -C "$work/build" || return 1
    test -e "$apart/headers/softfocus/softfocus.h" -o -e "$apart/libraries/lib/libsoftfocus.a" ||
        { echo "nothing was installed outside the prefix"; return 1; }
    with_cmake "$apart/prefix;$apart/libraries" default && with_cmake "$apart/prefix;$apart/libraries" static
}

# cmake_finds VERSION: whether CMake takes the package for it. $work/found is what it says.
cmake_finds()
{
    rm -rf "$work/cmake-version"
    cmake -S "$here/cmake" -B "$work/cmake-version" -DCMAKE_PREFIX_PATH="$prefix" -DVERSION="$1" >"$work/found" 2>&1
}

# cmake_refuses VERSION…
cmake_refuses()
{
    local version
    for version; do
        if cmake_finds "$version"; then
            echo "CMake took the package for version $version"
            return 1
        fi
        grep -q 'compatible with requested' "$work/found" || { cat "$work/found"; return 1; }
    done
}

# Ranges that begin in another series, that this version begins or ends, and that end before it or begin behind it.
with_cmake_ranges()
{
    local version range
    version=$("$source_dir/scripts/version.sh") || return 1
    for range in "0.0.1...99" "$version...<99" "0.0.1...$version" "$version...$version"; do
        cmake_finds "$range" || { echo "range $range"; cat "$work/found"; return 1; }
    done
    cmake_refuses "0.0.1...<$version" "0.0.1...0.0.2" "99...100"
}

# ---- Meson -------------------------------------------------------------------------------------------------------
embed()
{
    mkdir -p "$work/embed/subprojects" && cp "$here"/consumer.c* "$here/subproject/meson.build" "$work/embed/" &&
        ln -s "$source_dir" "$work/embed/subprojects/softfocus" &&
        meson setup "$work/embed/build" "$work/embed" --wrap-mode=forcefallback -Ddefault_library=static &&
        ninja -C "$work/embed/build" && meson test -C "$work/embed/build" --no-rebuild --print-errorlogs
}

# Whoever embeds the library gets the library: no program, test or benchmark of ours, and their own default_library.
embed_builds_no_more()
{
    meson introspect --targets "$work/embed/build" >"$work/targets" &&
        python3 - "$work/targets" <<'PYTHON'
import json, sys
targets = json.load(open(sys.argv[1]))
assert len(targets) > 3, "no targets at all"
extra = [t["name"] for t in targets if t["type"] != "static library" and not t["name"].startswith("consumer-")]
sys.exit(f"built for an embedder: {extra}" if extra else 0)
PYTHON
}

step 'installs, shared and static' install_library
[ $failed -eq 0 ] || { echo "Bail out! nothing to use: the library did not install"; exit 1; }
if [ -e "$prefix/bin/softfocus" ]; then
    step 'the installed program starts' program_starts
else
    skip 'the installed program starts' 'no jansson, or no argp'
fi
export PKG_CONFIG_PATH=$prefix/$libdir/pkgconfig
step 'installs what users need and nothing else' check_files
step 'every global name begins with softfocus_' check_symbols
step 'pkg-config knows the version' check_version
for kind in shared static; do
    step "pkg-config, C, $kind" compile $kind "$CC" consumer.c -std=c11
    step "pkg-config, C++, $kind" compile $kind "$CXX" consumer.cc -std=c++17 -Wold-style-cast \
        -Wzero-as-null-pointer-constant
done
step 'CMake, shared by default' with_cmake "$prefix" default
step 'CMake, static, the tree moved' with_cmake_moved
step 'CMake, static, the tree behind links' with_cmake_linked
# A version from the future, and one of another series.
step 'CMake refuses other versions' cmake_refuses 99.0 0.0.1
if [ "$(printf '%s\n' 3.19 "$(cmake --version | sed -n '1s/.* //p')" | sort -V | head -n 1)" = 3.19 ]; then
    step 'CMake, ranges of versions' with_cmake_ranges
else
    skip 'CMake, ranges of versions' 'which CMake has since 3.19'
fi
step 'CMake, shared asked for' with_cmake "$prefix" shared
step 'CMake, headers outside the prefix' with_cmake_apart "$work/apart/headers" "$libdir"
step 'CMake, libraries outside the prefix' with_cmake_apart include "$work/apart/libraries/lib"
step 'CMake, both outside the prefix' with_cmake_apart "$work/apart/headers" "$work/apart/libraries/lib"
step 'meson subproject' embed
step 'a subproject builds neither tests nor benchmarks' embed_builds_no_more

if [ $number -ne $planned ]; then
    echo "# $planned steps were planned"
    failed=$((failed + 1))
fi
echo "# $passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
