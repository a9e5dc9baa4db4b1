#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# soft.sh BUILD [haxm]: a stock Debian kernel on the software CPU, on this machine itself and without
# anything that it may have of virtualization; haxm: on the double of HAXM, with 2 vCPUs.
# Prints TAP and "N passed, N failed, N skipped".
set -u
build=$(readlink -f "${1:?usage: soft.sh BUILD [haxm]}")
hypervisor=${2:-soft} counts='1 2' preload=
[ "$hypervisor" != haxm ] || { counts=2; preload=$build/tests/doubles/haxm_double.so; }
here=$(dirname "$(readlink -f "$0")")
guest=$here/../lab/guest
work=$(mktemp -d "${TMPDIR:-/tmp}/visor-soft-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# shellcheck source=tap.sh
. "$here/tap.sh"

# On a busy machine ticks come late, and Linux takes its timer for broken.
boot() { # boot CPUS: with a token for the disk
    LD_PRELOAD=$preload timeout 300 "$build/vmm/visor" run --hypervisor "$hypervisor" -m 256 -c "$1" -i "$initrd" \
        -b "path=$work/disk.img" -p "quiet no_timer_check visor.token=WITH-$1" "$kernel" >"$work/log" 2>&1 </dev/null
    status=$?
    cat "$work/log"
    echo "status $status"
    test $status = 0
}
said() { grep -F "$1" "$work/log"; }

prepare() {
    kernel=$("$guest" kernel) && initrd=$("$guest" initrd) && "$guest" disk "$work/disk.img" 16
}
check "kernel, initrd and a disk are at hand" prepare
for cpus in $counts; do
    check "bzImage, $cpus vCPUs: ends with poweroff" boot "$cpus"
    check "bzImage, $cpus vCPUs: reaches user space" said "visor: user space reached, $cpus cpus"
    check "bzImage, $cpus vCPUs: has random numbers" said "visor: hwrng virtio_rng.0, 32 bytes"
    check "bzImage, $cpus vCPUs: the host finds the token" "$guest" check "$work/disk.img" "WITH-$cpus"
done
summary
