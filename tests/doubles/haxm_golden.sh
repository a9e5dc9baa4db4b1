#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# haxm_golden.sh BUILD [--update]: which calls a program makes on HAXM, from opening it to the end of
# a VM, compared with golden/haxm; and the same for a few cases of the suite. Prints TAP. --update
# writes it.
set -u
here=$(dirname "$(readlink -f "$0")")
build=$(readlink -f "$1")
update=${2-}
work=$(mktemp -d "${TMPDIR:-/tmp}/golden.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

logged() { # logged NAME PROGRAM ARGUMENT...: its calls; runs are as many as the machine likes
    echo "# $1"
    shift
    LD_PRELOAD=$build/tests/doubles/haxm_double.so VISOR_DOUBLE_LOG=$work/log "$@" >"$work/out" 2>&1 ||
        echo "$1 ended with $?"
    grep -v '^vcpu RUN' "$work/log"
    rm "$work/log"
}
{
    logged add "$build/examples/add" haxm
    for case in pio/rep_string_wide interrupts/nmi debug/breakpoint memory/read_only_region; do
        logged $case "$build/tests/conformance/visor-conformance" --hypervisor haxm --filter $case
    done
} >"$work/calls"
[ -z "$update" ] || cp "$work/calls" "$here/golden/haxm"
echo "1..1"
if diff -u "$here/golden/haxm" "$work/calls" >"$work/diff" 2>&1; then
    echo "ok 1 - calls on HAXM"
else
    echo "not ok 1 - calls on HAXM"
    sed 's/^/#   /' "$work/diff"
    exit 1
fi
