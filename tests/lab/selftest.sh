#!/bin/sh
# selftest.sh [lab] [guest] [vmx] - prove the scripts of this folder (default: lab guest).
# Prints TAP and, last, a line "N passed, N failed, N skipped".
set -u

here=$(dirname "$(readlink -f "$0")")
PATH=$here:$PATH
T=$(mktemp -d "${TMPDIR:-/tmp}/selftest.XXXXXX") || exit 125
trap 'rm -rf "$T"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
passed=0 failed=0 skipped=0

pass() { passed=$((passed + 1)); echo "ok $((passed + failed + skipped)) - $1"; }
skip() { skipped=$((skipped + 1)); echo "ok $((passed + failed + skipped)) - $1 # SKIP $2"; }
fail() { # fail WHAT REASON: with what the run printed
    failed=$((failed + 1))
    echo "not ok $((passed + failed + skipped)) - $1"
    { echo "$2"; tail -n 20 "$T/stdout" "$T/stderr"; } 2>/dev/null |
        tr -cd '\11\12\40-\176' | cut -c 1-200 | sed 's/^/#   /'
}

run() { # run COMMAND...: set $rc, $T/stdout, $T/stderr
    rc=0
    "$@" >"$T/stdout" 2>"$T/stderr" </dev/null || rc=$?
}

expect() { # expect WHAT STATUS [STDOUT [STDERR]]: of the last run, exactly
    what=$1
    if [ "$rc" != "$2" ]; then fail "$what" "status $rc where $2 was due"; return; fi
    if [ $# -gt 2 ] && [ "$(cat "$T/stdout")" != "$3" ]; then
        fail "$what" "another standard output than '$3'"; return
    fi
    if [ $# -gt 3 ] && [ "$(cat "$T/stderr")" != "$4" ]; then
        fail "$what" "another standard error than '$4'"; return
    fi
    pass "$what"
}

same() { # same WHAT FILE FILE: the last run succeeded and the files are equal
    if [ "$rc" = 0 ] && cmp -s "$2" "$3"; then pass "$1"; return; fi
    fail "$1" "status $rc, or the bytes differ"
}

compile() { # compile PROBE OPTION...
    program=$1
    shift
    run "${CC:-cc}" -std=c17 -D_GNU_SOURCE -O1 -Wall -Wextra -Werror "$@" \
        -o "$program" "$here/probe.c"
    expect "$(basename "$program") compiles" 0
}

on_terminal() { # on_terminal COMMAND...: run it on a terminal where 'word' is typed
    # shellcheck disable=SC2016 # $1 and the others are the inner shell's
    echo 'stty rows 30 cols 90; before=$(stty -g)
"$@"; rc=$?
[ "$(stty -g)" = "$before" ] && echo && echo restored; exit $rc' >"$T/inner"
    quoted=$(for word; do printf "'%s' " "$word"; done)
    run sh -c '(printf "word\r"; sleep 1) | script -qec "$1" /dev/null' sh "sh $T/inner $quoted"
    tr -d '\r' <"$T/stdout" >"$T/lines"
}

lines() { # lines WHAT LINE...: the last run on a terminal, or boot, showed each LINE
    what=$1
    shift
    for line; do
        if ! grep -qxF -e "$line" "$T/lines"; then fail "$what" "no line '$line'"; return; fi
    done
    pass "$what"
}

test_lab() {
    run lab x86_64
    expect "lab x86_64: ready" 0 '' # the first time it tells of fetching
    run lab x86_64 -- "$T/probe" exit 7
    expect "lab x86_64: the exit status comes back" 7 '' ''
    run lab x86_64 -- "$T/probe" abort
    expect "lab x86_64: a signal becomes 128 + N" 134
    run lab x86_64 -- nothing-of-that-name
    expect "lab x86_64: a command that is not there is 127" 127
    run lab -e PROBE="it's" x86_64 -- "$T/probe" arguments a 'b  c' '' "d'\"\$e\\"
    expect "lab x86_64: arguments and variables arrive" 0 "<a><b  c><><d'\"\$e\\>[it's]" ''
    "$T/probe" stdout >"$T/bytes"
    run lab x86_64 -- "$T/probe" stdout
    same "lab x86_64: standard output, every byte" "$T/stdout" "$T/bytes"
    run lab x86_64 -- "$T/probe" stderr
    same "lab x86_64: standard error, every byte" "$T/stderr" "$T/bytes"
    run lab -o "$T/out" -f "$T/probe" -f "$T/bytes:/lab/sub/in" x86_64 -- \
        sh -c 'probe file && cp sub/in /out'
    same "lab x86_64: a file made there comes back" "$T/out/bytes" "$T/bytes"
    same "lab x86_64: a file brought there arrives" "$T/out/in" "$T/bytes"
    run lab x86_64 -- "$T/probe" kvm
    expect "lab x86_64: /dev/kvm runs a guest" 0 'kvm: a guest ran' ''
    run lab -t 15 x86_64 -- "$T/probe" sleep
    expect "lab x86_64: the time limit is 124, output kept" 124 asleep
    run lab x86_64 -- "$T/probe-dynamic" kvm
    expect "lab x86_64: a dynamic program brings its libraries" 0 'kvm: a guest ran' ''
    run lab -s 2 x86_64 -- nproc
    expect "lab x86_64: two processors" 0 2 ''
    lab x86_64 -- sh -c 'sleep 1; exit 3' &
    run lab x86_64 -- sh -c 'sleep 1; exit 4'
    expect "lab x86_64: one of two runs in parallel" 4
    rc=0
    wait $! || rc=$?
    expect "lab x86_64: the other" 3
    run lab x86_64 -- sh -c 'su nobody -s /bin/sh -c "id -un; true </dev/kvm"'
    expect "lab x86_64: /dev/kvm is not for everybody" 1 nobody
    # shellcheck disable=SC2016 # $1 and $word are the inner shells'
    run sh -c 'lab -i x86_64 -- cat <"$1"' sh "$T/bytes"
    same "lab x86_64: standard input, every byte" "$T/stdout" "$T/bytes"
    # shellcheck disable=SC2016
    on_terminal lab -i x86_64 -- \
        sh -c 'tty; stty size; read -r word; stty -echo; echo "[$word]"; exit 7'
    expect "lab x86_64: a terminal: the exit status comes back" 7
    lines "lab x86_64: a terminal: a terminal there, restored here" /dev/hvc0 '30 90' '[word]' \
        restored
    on_terminal timeout --foreground 10 lab -i x86_64 -- sh -c 'echo asleep; sleep 60'
    expect "lab x86_64: a terminal: a signal ends the run" 124
    lines "lab x86_64: a terminal: restored after a signal" asleep restored
    run env VISOR_CACHE="$T/bytes" "$here/lab" x86_64 -- true
    expect "lab x86_64: trouble is 125 and told" 125 '' \
        "lab: cannot make or enter $T/bytes/lab (set VISOR_CACHE)"
}

boot() { # boot FLAVOUR FORM CPUS DISK PARAMETERS: plain QEMU, for up to two minutes
    # no_timer_check: on a busy host the kernel counts too few ticks of the emulated timer.
    run timeout 120 qemu-system-x86_64 -accel tcg -M q35 -m 512 -smp "$3" -nodefaults \
        -display none -no-reboot -serial stdio \
        -kernel "$(guest -k "$1" "$2")" -initrd "$(guest -k "$1" initrd)" \
        -append "console=ttyS0 quiet panic=-1 no_timer_check $5" \
        -drive file="$4",format=raw,if=virtio -device virtio-rng-pci
    tr -d '\r' <"$T/stdout" >"$T/lines"
}

test_guest() {
    for k in stock cloud; do
        run guest -k $k kernel
        expect "guest $k: ready" 0
    done
    for k in stock/kernel/1 stock/vmlinux/2 cloud/kernel/2 cloud/vmlinux/1; do
        flavour=${k%%/*} cpus=${k##*/} form=${k#*/} form=${form%/*}
        disk=$T/$flavour-$form.img
        token=token-$flavour-$form-$$
        run guest disk "$disk"
        run guest check "$disk" "$token"
        expect "guest $k: the token is not on a new disk" 1
        boot "$flavour" "$form" "$cpus" "$disk" "visor.token=$token"
        lines "guest $k: user space does its work" "visor: user space reached, $cpus cpus" \
            "visor: disk: token written" "visor: hwrng virtio_rng.0, 32 bytes" \
            "visor: end poweroff"
        run guest check "$disk" "$token"
        expect "guest $k: the host finds the token" 0
    done
    boot cloud kernel 1 "$disk" "visor.token=last visor.fill=100 visor.end=reboot"
    lines "guest: a full disk is told" "visor: disk: token written" "visor: disk: fill failed" \
        "visor: end reboot"
    run guest check "$disk" "$token"
    expect "guest: what was written first is still there" 0
    run guest check "$disk" last
    expect "guest: what was written before the disk was full too" 0
    run guest check "$T/probe" last
    expect "guest: a file that is no disk fails the check" 1
    run guest disk "$disk"
    expect "guest: a disk is not overwritten" 125 '' "guest: $disk exists already"
}

test_vmx() { # as few runs as will do: one takes 20 s and more
    run vmx
    expect "vmx: ready" 0 ''
    "$T/probe" stdout >"$T/bytes"
    # shellcheck disable=SC2016 # $1 is the inner shell's
    run vmx -o "$T/out" -f "$T/bytes:/lab/sub/in" -f "$T/probe" -e PROBE="it's" -- \
        sh -c 'probe stdout; probe stderr; probe file; cp sub/in /out
            probe arguments a "$1" "" >/out/arguments; exit 7' sh 'b  c'
    expect "vmx: the exit status comes back" 7
    rc=0
    same "vmx: standard output, every byte" "$T/stdout" "$T/bytes"
    same "vmx: standard error, every byte" "$T/stderr" "$T/bytes"
    same "vmx: a file made there comes back" "$T/out/bytes" "$T/bytes"
    same "vmx: a file brought there arrives" "$T/out/in" "$T/bytes"
    echo "<a><b  c><>[it's]" >"$T/arguments"
    same "vmx: arguments and variables arrive" "$T/out/arguments" "$T/arguments"
    vmx -- "$T/probe" kvm >"$T/parallel" 2>&1 &
    run vmx -- "$T/probe-dynamic" breakpoint
    expect "vmx: a hardware breakpoint is hit" 0 'kvm: a hardware breakpoint was hit' ''
    rc=0
    wait $! || rc=$?
    mv "$T/parallel" "$T/stdout"
    expect "vmx: a second run in parallel" 0 'kvm: a guest ran'
    run vmx -a kvm_intel.ept=0 -- cat /sys/module/kvm_intel/parameters/ept
    expect "vmx: parameters of kvm_intel" 0 N ''
    run vmx -t 60 -- "$T/probe" sleep
    expect "vmx: the time limit is 124, output kept" 124 asleep
}

[ $# -gt 0 ] || set -- lab guest
compile "$T/probe" -static
compile "$T/probe-dynamic"
for part; do
    case $part in
    lab | guest | vmx) "test_$part" ;;
    *) echo "selftest.sh: no part $part (lab, guest, vmx)" >&2; exit 125 ;;
    esac
done
echo "1..$((passed + failed + skipped))"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
