#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# run.sh [--cli] BUILD [ARCH]: tests of the visor command in the lab, on a real KVM: first its
# manners (cli_test) and what it is to test kernels and firmware (pc_test), for which it is x86-64's,
# then, without --cli, stock Debian kernels. BUILD may be static or, for x86_64, one with sanitizers;
# ARCH is x86_64 (default), aarch64, riscv64, or doubles: aarch64 in front of the doubles of Android's
# hypervisors, for which BUILD is dynamic.
# Prints TAP and "N passed, N failed, N skipped".
#
# What is booted on an architecture, and what has to come of it, is in ARCH.sh beside this file:
# another one is a file of that shape, a case in ../lab/guest, and a step in ../run.
set -u
only_cli=
[ "${1-}" != --cli ] || { only_cli=1; shift; }
build=$(readlink -f "${1:?usage: run.sh [--cli] BUILD [ARCH]}")
arch=${2:-x86_64}
here=$(dirname "$(readlink -f "$0")")
lab=$here/../lab/lab
guest=$here/../lab/guest
visor=$build/vmm/visor
work=$(mktemp -d "${TMPDIR:-/tmp}/visor-vmm-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# shellcheck source=tap.sh
. "$here/tap.sh"

# ---- the command ----

# A sanitizer would take fatal signals for itself; and with one there is more to load.
program() { # program NAME OPTION-OF-LAB...
    name=$1
    shift
    "$lab" -t 400 -m 1024 -f "$visor" -e VISOR=/lab/visor "$@" \
        -e ASAN_OPTIONS=handle_segv=0:handle_abort=0 \
        x86_64 -- "$build/tests/vmm/${name}_test" >"$work/$name" 2>&1
    status=$?
    grep -v '^1\.\.' "$work/$name"
    ok=$(grep -c '^ok ' "$work/$name")
    bad=$(grep -c '^not ok ' "$work/$name")
    skip=$(grep -ci '^ok .*# skip' "$work/$name")
    passed=$((passed + ok - skip)) failed=$((failed + bad)) skipped=$((skipped + skip))
    planned=$(sed -n 's/^1\.\.//p' "$work/$name")
    check "$name: the test program ran to its end" \
        test "$((ok + bad)) $status" = "${planned:-0} $((bad > 0))"
}
manners() {
    program cli
    bios=/usr/share/seabios/bios-256k.bin
    if [ -r $bios ]; then program pc -f $bios:/lab/bios -e SEABIOS=/lab/bios; else program pc; fi

    "$lab" x86_64 -- "$visor" info --json >"$work/json" 2>&1
    check "cli: info --json is JSON" python3 -m json.tool "$work/json"
}

[ "$arch" != x86_64 ] || manners
if [ -n "$only_cli" ]; then
    summary
    exit
fi

# ---- Linux ----

# Runs in the lab: a log, an exit status and the seconds it took for each boot.
cat >"$work/boots" <<'BOOTS'
chmod +x visor
limit=150
boot() {
    name=$1
    shift
    read -r start _ </proc/uptime
    timeout $limit ./visor run --hypervisor ${hypervisor:-kvm} "$@" >/out/$name.log 2>&1
    echo $? >/out/$name.status
    read -r end _ </proc/uptime
    echo "$start $end" >/out/$name.times
}
BOOTS

in_lab() { "$lab" "$@"; } # where the kernels are booted

# boots LAB-OPTION...: runs in the lab what standard input says, with boot() as above.
boots() {
    cat >>"$work/boots"
    in_lab -t 900 -o "$work/out" -f "$work/boots" -f "$visor" "$@" "$arch" -- sh ./boots \
        >"$work/lab" 2>&1
    status=$?
    check "linux: the lab ran all boots" lab_worked
}
lab_worked() {
    cat "$work/lab"
    test "$status" = 0
}
ended() { # ended NAME STATUS
    echo "status $(cat "$work/out/$1.status")"
    cat "$work/out/$1.log"
    test "$(cat "$work/out/$1.status")" = "$2"
}
said() { # said NAME TEXT
    cat "$work/out/$1.log"
    grep -qF "$2" "$work/out/$1.log"
}
took() { # took NAME: as a comment
    awk -v name="$1" '{ printf "# %s: %.1f s from start to end\n", name, $2 - $1 }' \
        "$work/out/$1.times"
}

# shellcheck source=x86_64.sh
. "$here/$arch.sh"

summary
