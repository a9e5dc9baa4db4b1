#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# visor.sh BUILD NATIVE PREFIX: visor.exe of the build BUILD under Wine, whose files are in the folder
# PREFIX: its manners, as far as the cli_test of the build NATIVE for this machine can ask for them
# there, and a stock Debian kernel on the software CPU and on the double of WHPX.
# Prints TAP and "N passed, N failed, N skipped".
set -u
build=$(readlink -f "${1:?usage: visor.sh BUILD NATIVE PREFIX}")
native=$(readlink -f "$2")
here=$(dirname "$(readlink -f "$0")")
guest=$here/../lab/guest
work=$(mktemp -d "${TMPDIR:-/tmp}/visor-windows-XXXXXX")
trap 'wine_end; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# shellcheck source=wine.sh
. "$here/wine.sh"
# shellcheck source=../vmm/tap.sh
. "$here/../vmm/tap.sh"
wine_begin "$3"
export VISOR_EXE="$work/visor.exe"

# ---- manners ----

# Not those with terminals and signals of POSIX, Unix sockets, KVM, or line ends of Unix.
manners='a_guest_that_powers_off_gives_status_0 a_guest_that_resets_gives_status_32
    a_guest_that_crashes_gives_status_33 a_guest_that_panics_gives_status_34
    many_processors_boot the_kernel_command_line_is_the_defaults_and_what_was_given
    standard_input_reaches_the_guest_through_pipes the_end_of_standard_input_does_not_end_the_guest
    serial_ports_go_to_files_and_sinks all_output_arrives_before_the_end
    output_that_nobody_takes_does_not_stop_the_guest output_that_cannot_be_written_is_told
    files_that_are_no_kernels_are_told a_machine_without_a_device_tree_dumps_none
    an_initrd_that_does_not_fit_is_told a_command_line_that_is_too_long_is_told
    disks_that_cannot_be_used_say_why'
cli() {
    # shellcheck disable=SC2086
    VISOR=$here/visor timeout 400 "$native/tests/vmm/cli_test" $manners >"$work/cli" 2>&1
    status=$?
    grep -v '^1\.\.' "$work/cli"
    ok=$(grep -c '^ok ' "$work/cli")
    bad=$(grep -c '^not ok ' "$work/cli")
    passed=$((passed + ok)) failed=$((failed + bad))
    # shellcheck disable=SC2086
    set -- $manners
    check "cli: the test program ran all of these to its end" \
        test "$((ok + bad)) $status" = "$# $((bad > 0))"
}
says() { # says TEXT ARGUMENT...
    text=$1
    shift
    timeout 60 "$wine/wine64" "$VISOR_EXE" "$@" </dev/null | tee "$work/said"
    grep -qF "$text" "$work/said"
}
json() {
    timeout 60 "$wine/wine64" "$VISOR_EXE" info --json </dev/null | python3 -m json.tool
}

# ---- Linux ----

# On a busy machine ticks come late, and Linux takes its timer for broken. What is typed comes once
# the guest's shell asks for it.
boot() { # boot HYPERVISOR CPUS PARAMETERS: into $work/log
    : >"$work/log"
    mkfifo "$work/keys"
    timeout 300 "$wine/wine64" "$VISOR_EXE" run --hypervisor "$1" -m 256 -c "$2" -i "$initrd" \
        -b "path=$work/disk.img" -p "quiet no_timer_check $3" "$kernel" >"$work/log" 2>&1 \
        <"$work/keys" &
    exec 3>"$work/keys"
    while kill -0 $! 2>/dev/null && ! grep -qF 'visor:/# ' "$work/log"; do sleep 0.2; done
    # shellcheck disable=SC2016 # the guest's shell counts
    ! kill -0 $! 2>/dev/null || echo 'cat /mnt/visor.token; echo $((6 * 7))-was-typed; exit' >&3
    exec 3>&-
    wait $!
    status=$?
    rm "$work/keys"
    cat "$work/log"
    echo "status $status"
    test $status = 0
}
said() {
    cat "$work/log"
    grep -qF "$1" "$work/log"
}
prepare() {
    cp "$build/vmm/visor.exe" "$build/tests/doubles/whpx/WinHvPlatform.dll" "$work" &&
        kernel=$("$guest" kernel) && initrd=$("$guest" initrd) && "$guest" disk "$work/disk.img" 16
}
check "the command, a kernel, an initrd and a disk are at hand" prepare
cli
check "info: tells of the software CPU" says "soft       works" info
check "info --json is JSON" json
check "help: is there" says "34  the guest reported a panic" run --help

check "software CPU, 2 vCPUs: ends with poweroff" boot soft 2 visor.token=ON-SOFT
check "software CPU, 2 vCPUs: reaches user space" said "visor: user space reached, 2 cpus"
check "software CPU, 2 vCPUs: has random numbers" said "visor: hwrng virtio_rng.0, 32 bytes"
check "software CPU, 2 vCPUs: the host finds the token" "$guest" check "$work/disk.img" ON-SOFT
check "WHPX's double, 2 vCPUs: ends when its shell is told to" boot whpx 2 \
    'visor.end=shell visor.token=ON-WHPX'
check "WHPX's double, 2 vCPUs: reaches user space" said "visor: user space reached, 2 cpus"
check "WHPX's double, 2 vCPUs: reads what was written" said "ON-SOFT"
check "WHPX's double, 2 vCPUs: what is typed arrives" said "42-was-typed"
check "WHPX's double, 2 vCPUs: the host finds the token" "$guest" check "$work/disk.img" ON-WHPX
summary
