#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# golden.sh BUILD [--update]: which calls `visor run` makes on each of Android's hypervisors, from the
# probe to the end of a VM with two vCPUs, compared with golden/HYPERVISOR-KERNEL, or
# golden/HYPERVISOR where the drivers' versions make no difference. Prints TAP. --update writes them.
set -u
here=$(dirname "$(readlink -f "$0")")
build=$1
update=${2-}
work=$(mktemp -d "${TMPDIR:-/tmp}/golden.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

kernels='6.1 6.6 6.12'
doubles='geniezone gunyah halla'
# shellcheck disable=SC2016 # for the shell in there
"$here/lab" "$build" -t 300 -o "$work" -f "$build/tests/doubles/off_image" \
    -f "$build/vmm/visor" aarch64 -- sh -c '
    for double in geniezone gunyah halla; do
        for kernel in 6.1 6.6 6.12; do
            VISOR_DOUBLE_KERNEL=$kernel VISOR_DOUBLE_LOG=/out/$double-$kernel \
                ./visor run --hypervisor $double -c 2 -m 64 off_image >/out/$double-$kernel.out 2>&1
            echo $? >/out/$double-$kernel.status
        done
    done'

number=0 status=0
echo "1..9"
for double in $doubles; do
    for kernel in $kernels; do
        number=$((number + 1))
        name=$double-$kernel
        # Runs are as many as the machine likes.
        grep -v '^vcpu RUN' "$work/$name" >"$work/calls"
        golden=$here/golden/$name
        [ -z "$update" ] || cp "$work/calls" "$golden"
        [ -e "$golden" ] || golden=$here/golden/$double
        if [ "$(cat "$work/$name.status")" = 0 ] &&
            diff -u "$golden" "$work/calls" >"$work/diff" 2>&1; then
            echo "ok $number - calls on $double of $kernel"
        else
            status=1
            echo "not ok $number - calls on $double of $kernel"
            sed 's/^/#   /' "$work/$name.out" "$work/diff"
        fi
    done
done

same() { # same DOUBLE: do all versions of its driver get the same calls?
    for kernel in $kernels; do
        cmp -s "$here/golden/$1-6.1" "$here/golden/$1-$kernel" || return
    done
}
for double in $doubles; do
    if [ -n "$update" ] && same "$double"; then
        mv "$here/golden/$double-6.1" "$here/golden/$double"
        rm "$here/golden/$double"-*
    fi
done
exit $status
