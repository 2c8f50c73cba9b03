#!/usr/bin/env bash
# Runs a program on an instruction set that this machine's CPU need not have. For continuous integration and by hand.
#     scripts/emulate.sh avx512 PROGRAM [ARGUMENT…]   a Skylake-X in Bochs, under a Linux kernel booted there
#     scripts/emulate.sh neon   PROGRAM [ARGUMENT…]   an ARMv8.0 CPU (Cortex-A53) in qemu-user; an AArch64 program
#     scripts/emulate.sh sse    PROGRAM [ARGUMENT…]   an x86-64 CPU of 2003 in qemu-user: no AVX, so that a newer
#                                                     instruction in a baseline path ends the program by SIGILL
# For example:
#     scripts/emulate.sh avx512 build/tests/softfocus-tests --isa avx512
#
# The program's output comes back live, standard output and standard error each on its own, and its exit status as this
# script's own (128 + the signal's number for one that a signal ended). Standard input is empty. Instead of it:
#     124   time-out
#     125   the emulator failed: kernel panic, no sign of life, packages missing, …; a line on standard error says what
#
# Environment:
#     SOFTFOCUS_EMULATE_TIMEOUT   seconds for all of a run (3600)
#     SOFTFOCUS_EMULATE_ENV       names of the variables that the program is to see under avx512, separated by spaces
#                                 (under qemu-user it sees all)
#     SOFTFOCUS_EMULATE_FILES     files that the program reads under avx512, separated by spaces, at the same paths there
#
# avx512 takes about 10 s to boot on an idle Xeon of 2023, then executes some 70 million scalar instructions a second, or 5
# million of 512-bit arithmetic, which Bochs does lane by lane. The program comes with its loader and shared libraries, runs
# as root in / with 512 MB of memory and sees no other file of this machine. Bochs 2.7 takes a gather or scatter whose
# offsets are in zmm16 to zmm31 for an invalid instruction (SIGILL).
# The kernel is Debian's cloud kernel, fetched once, unpacked and not installed, and kept in
# ${XDG_CACHE_HOME:-~/.cache}/softfocus-emulate; remove that folder to have a newer one. Debian packages that are missing
# are installed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=scripts/packages.sh
. "$here/packages.sh"

bochs_packages=(bochs bochs-term bochsbios vgabios isolinux syslinux-common xorriso cpio busybox-static)
qemu_packages=(qemu-user-static)
arm64_libraries=(libc6:arm64 libsleef3:arm64)

limit=${SOFTFOCUS_EMULATE_TIMEOUT:-3600}
boot_limit=300 # seconds until /init must have spoken

# Exit statuses of this script itself, as those of timeout(1).
status_timeout=124
status_failed=125

status=   # the program's, or that of a time-out; empty: this script failed
folder=   # of this run, removed at its end
emulator= # the process to end with this script
trap 'code=$?; clean_up; [ -n "$status" ] || code=$status_failed; exit "$code"' EXIT
trap 'exit "$status_failed"' INT TERM HUP

main()
{
    local isa=${1:-} program=${2:-}
    [ $# -ge 2 ] || fail "usage: emulate.sh avx512|neon|sse PROGRAM [ARGUMENT…]"
    shift 2
    [[ $limit =~ ^[1-9][0-9]*$ ]] || fail "SOFTFOCUS_EMULATE_TIMEOUT must be a number of seconds: $limit"
    [[ -f $program && -x $program ]] || fail "no such program: $program"
    program=$(realpath "$program")
    case $isa in
    avx512) in_bochs "$program" "$@" ;;
    neon)
        need_packages "${qemu_packages[@]}" "${arm64_libraries[@]}" >&2
        in_qemu aarch64 cortex-a53 "$program" "$@"
        ;;
    sse)
        need_packages "${qemu_packages[@]}" >&2
        in_qemu x86_64 qemu64 "$program" "$@"
        ;;
    *) fail "no such instruction set: $isa (avx512, neon, sse)" ;;
    esac
    explain
    exit "$status"
}

fail()
{
    printf 'emulate.sh: %s\n' "$*" >&2
    exit "$status_failed"
}

# shellcheck disable=SC2317 # called by the trap
clean_up()
{
    [ -z "$emulator" ] || kill "$emulator" 2>/dev/null || true
    [ -z "$folder" ] || rm -rf "$folder"
}

explain()
{
    if [ "$status" -eq "$status_timeout" ]; then
        printf 'emulate.sh: time-out: not done after %s seconds (SOFTFOCUS_EMULATE_TIMEOUT)\n' "$limit" >&2
    elif [ "$status" -gt 128 ] && [ "$status" -le 192 ]; then
        printf 'emulate.sh: the program ended by SIG%s\n' "$(kill -l "$status")" >&2
    fi
}

# e_machine of an ELF file's header, as readelf would name it.
machine_of()
{
    case $(od -An -tx1 -N20 "$1" | tr -d ' \n') in
    7f454c46????????????????????????????3e00) echo x86_64 ;;
    7f454c46????????????????????????????b700) echo aarch64 ;;
    *) echo unknown ;;
    esac
}

need_machine()
{
    [ "$(machine_of "$2")" = "$1" ] || fail "not a program for $1: $2"
}

# ---- qemu-user -----------------------------------------------------------------------------------------------------

# in_qemu MACHINE CPU PROGRAM [ARGUMENT…]. Debian's arm64 packages put the loader and the libraries where the program
# looks for them, beside those of this machine.
in_qemu()
{
    local machine=$1 cpu=$2
    shift 2
    need_machine "$machine" "$1"
    status=0
    timeout --foreground --kill-after=5 "$limit" "qemu-$machine-static" -cpu "$cpu" "$@" </dev/null || status=$?
}

# ---- Bochs ---------------------------------------------------------------------------------------------------------

# In the folder of one run: boot.iso is what Bochs boots, kernel what the kernel has to say, events 'started' and
# 'status N' by /init, and stdout and stderr are the program's.
in_bochs()
{
    need_machine x86_64 "$1"
    need_packages "${bochs_packages[@]}" >&2
    folder=$(mktemp -d "${TMPDIR:-/tmp}/softfocus-emulate.XXXXXX")
    local kernel
    kernel=$(kernel_image)
    make_initramfs "$@"
    make_iso "$kernel"
    cd "$folder"
    : >stdout
    : >stderr
    : >events
    : >kernel
    boot
}

# Boots and waits for the program's end. Bochs with Debian's debugger needs a standard input that stays open. Its VNC
# server, the one display that needs neither X nor a terminal, gets a network of its own where that is allowed: else it
# listens on a port from 5900 on meanwhile, on a console that nobody is logged in to.
boot()
{
    local private=(unshare --map-root-user --net) streams started=''
    "${private[@]}" true 2>/dev/null || private=()
    mkfifo standard-input
    exec 9<>standard-input
    timeout --kill-after=5 "$limit" "${private[@]}" bochs -f "$here/emulate/bochsrc" -rc "$here/emulate/debugger" \
        <&9 >bochs-output 2>&1 9<&- &
    emulator=$!
    tail -f -s 0.2 -c +1 --pid="$emulator" stdout 2>/dev/null 9<&- &
    streams=$!
    tail -f -s 0.2 -c +1 --pid="$emulator" stderr >&2 2>/dev/null 9<&- &
    streams+=" $!"

    SECONDS=0
    while kill -0 "$emulator" 2>/dev/null; do
        grep -q '^started$' events && started=yes
        ! grep -q '^status [0-9]*$' events || break
        if grep -qa 'Kernel panic' kernel; then
            sleep 1 # for the rest of its message
            break
        fi
        [ -n "$started" ] || [ $SECONDS -le $boot_limit ] || break
        sleep 0.2
    done
    kill "$emulator" 2>/dev/null || true
    local code=0
    wait "$emulator" || code=$?
    emulator=
    # shellcheck disable=SC2086
    wait $streams || true
    judge "$code"
}

# judge CODE: sets status from what /init reported, or fails and shows what there is to see. CODE is what timeout(1) gave.
judge()
{
    status=$(sed -n 's/^status \([0-9]*\)$/\1/p' events)
    [ -z "$status" ] || return 0
    if grep -qa 'Kernel panic' kernel; then
        fail_after kernel "the kernel panicked under Bochs"
    elif [ "$1" -eq "$status_timeout" ]; then
        status=$status_timeout
    elif [ ! -s events ] && [ $SECONDS -gt $boot_limit ]; then
        fail_after kernel "silence: no /init under Bochs in $boot_limit seconds"
    else
        fail_after bochs-output "Bochs ended before the program did"
    fi
}

# fail_after FILE WHAT
fail_after()
{
    printf '%s\n' "$(tail -n 20 "$1" | tr -d '\000')" >&2
    fail "$2; the last lines of its output are above"
}

# make_initramfs PROGRAM [ARGUMENT…]: /init, busybox, and the program with all that it loads, at their own paths.
make_initramfs()
{
    local root=$folder/root program=$1 libraries files
    mkdir -p "$root"/{bin,dev,proc,sys,tmp,emulate}
    mapfile -t libraries < <(libraries_of "$program")
    read -ra files <<<"${SOFTFOCUS_EMULATE_FILES:-}"
    cp -RL --parents "$program" "${libraries[@]}" "${files[@]}" "$root"
    cp "$(command -v busybox)" "$root/bin/busybox"
    install -m 755 "$here/emulate/init" "$root/init"
    write_command "$@" >"$root/emulate/command"
    (cd "$root" && find . -print0 | cpio --null --quiet --owner=0:0 -o -H newc) >"$folder/initrd"
}

# The loader and the shared libraries of a program, and where the loader looks for them; nothing for a static one.
libraries_of()
{
    local listing
    listing=$(ldd "$1" 2>/dev/null) || return 0
    sed -n 's/^[^/]*\(\/[^ ]*\) (0x[0-9a-f]*)$/\1/p' <<<"$listing"
    echo /etc/ld.so.cache
}

# What /init reads. LD_BIND_NOW: lazy binding saves the registers by XSAVEC, which the kernel is told to leave alone.
write_command()
{
    local name
    echo 'export LD_BIND_NOW=1'
    for name in ${SOFTFOCUS_EMULATE_ENV:-}; do
        [ -z "${!name+set}" ] || printf 'export %s=%s\n' "$name" "${!name@Q}"
    done
    echo "set -- ${*@Q}"
}

make_iso()
{
    local iso=$folder/iso
    mkdir "$iso"
    cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$here/emulate/isolinux.cfg" "$iso"
    cp "$1" "$iso/vmlinuz"
    mv "$folder/initrd" "$iso/initrd"
    xorriso -as mkisofs -quiet -o "$folder/boot.iso" -b isolinux.bin -c boot.cat \
        -no-emul-boot -boot-load-size 4 -boot-info-table "$iso" 2>"$folder/xorriso-output" ||
        fail "xorriso: $(tail -n 3 "$folder/xorriso-output")"
}

# Prints the path of the kernel in the cache, after fetching it where there is none.
kernel_image()
{
    local cache=${XDG_CACHE_HOME:-${HOME:?}/.cache}/softfocus-emulate kept
    kept=$(find "$cache" -name 'vmlinuz-*' 2>/dev/null | sort -V | tail -n 1)
    if [ -z "$kept" ]; then
        fetch_kernel >&2 || { as_root apt-get update -q >&2 && fetch_kernel >&2; } || fail "no kernel could be fetched"
        kept=$cache/$(basename "$folder"/fetched/boot/vmlinuz-*)
        mkdir -p "$cache"
        cp "$folder"/fetched/boot/vmlinuz-* "$cache/new.$$"
        mv "$cache/new.$$" "$kept"
    fi
    printf '%s\n' "$kept"
}

fetch_kernel()
{
    local package
    package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: //p' | head -n 1)
    [ -n "$package" ] || return 1
    say "fetching $package for Bochs (it is not installed)"
    rm -rf "$folder/fetched"
    mkdir "$folder/fetched" && cd "$folder/fetched" && apt-get download -q -o APT::Sandbox::User=root "$package" &&
        dpkg-deb -x ./*.deb . && ls boot/vmlinuz-*
}

main "$@"
