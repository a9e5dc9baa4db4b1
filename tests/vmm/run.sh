#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# run.sh [--cli] BUILD: tests of the visor command in the lab, on a real KVM: first its manners
# (cli_test) and what it is to test kernels and firmware (pc_test), then, without --cli, stock Debian kernels. BUILD may be static or one with sanitizers.
# Prints TAP and "N passed, N failed, N skipped".
set -u
only_cli=
[ "${1-}" != --cli ] || { only_cli=1; shift; }
build=$(readlink -f "${1:?usage: run.sh [--cli] BUILD}")
here=$(dirname "$(readlink -f "$0")")
lab=$here/../lab/lab
guest=$here/../lab/guest
visor=$build/vmm/visor
work=$(mktemp -d "${TMPDIR:-/tmp}/visor-vmm-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
passed=0 failed=0 skipped=0

check() { # check NAME COMMAND...: a line of TAP
    name=$1
    shift
    if "$@" >"$work/check" 2>&1; then
        passed=$((passed + 1))
        echo "ok - $name"
    else
        failed=$((failed + 1))
        echo "not ok - $name"
        sed 's/^/#   /' "$work/check"
    fi
}

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
program cli
bios=/usr/share/seabios/bios-256k.bin
if [ -r $bios ]; then program pc -f $bios:/lab/bios -e SEABIOS=/lab/bios; else program pc; fi

"$lab" x86_64 -- "$visor" info --json >"$work/json" 2>&1
check "cli: info --json is JSON" python3 -m json.tool "$work/json"

summary() {
    echo "$passed passed, $failed failed, $skipped skipped"
    test "$failed" = 0
}
if [ -n "$only_cli" ]; then
    summary
    exit
fi

# ---- Linux ----

prepare() {
    kernel=$("$guest" kernel) && ln -s "$kernel" "$work/bzImage" &&
        initrd=$("$guest" initrd) && ln -s "$initrd" "$work/stock-initrd" &&
        kernel=$("$guest" -k cloud vmlinux) && ln -s "$kernel" "$work/vmlinux" &&
        initrd=$("$guest" -k cloud initrd) && ln -s "$initrd" "$work/initrd" &&
        "$guest" disk "$work/disk.img" 16
}
check "linux: kernels, initrds and a disk are at hand" prepare

# Runs in the lab: a log, an exit status and the seconds it took for each boot.
cat >"$work/boots" <<'BOOTS'
mkdir -p /out/small
chmod +x visor
boot() {
    name=$1
    shift
    read -r start _ </proc/uptime
    timeout 150 ./visor run --hypervisor kvm "$@" >/out/$name.log 2>&1
    echo $? >/out/$name.status
    read -r end _ </proc/uptime
    echo "$start $end" >/out/$name.times
}
# A sparse copy of the disk where there is room for 4 MiB only.
mount -t tmpfs -o size=4m tmpfs /out/small
dd if=/dev/zero of=zeros bs=64k count=1 2>/dev/null
i=0
while [ $i -lt 256 ]; do
    dd if=disk.img of=block bs=64k skip=$i count=1 2>/dev/null
    cmp -s block zeros || dd if=block of=/out/small/disk.img bs=64k seek=$i conv=notrunc 2>/dev/null
    i=$((i + 1))
done
truncate -s 16M /out/small/disk.img

boot one -m 256 -i stock-initrd -b path=disk.img -p 'quiet visor.token=WITH-ONE' bzImage
boot two -m 256 -c 2 --decompress guest -i stock-initrd -b path=disk.img -p 'quiet visor.token=WITH-TWO' bzImage
boot pvh -m 256 -c 2 -i initrd -b path=disk.img,ro=true -p 'quiet visor.token=READ-ONLY' vmlinux
boot reboot -m 256 -c 2 -i initrd -p 'quiet visor.end=reboot' vmlinux
boot triple -m 256 -i initrd -p 'quiet visor.end=reboot reboot=t' vmlinux
boot panic -m 256 -c 2 -i initrd -p 'quiet visor.end=panic' vmlinux
boot full -m 256 -i initrd -b path=/out/small/disk.img \
    -p 'quiet visor.token=BEFORE-FULL visor.fill=12' vmlinux
cp disk.img /out
cp /out/small/disk.img /out/full.img
umount /out/small
BOOTS
"$lab" -t 900 -o "$work/out" -f "$work/boots" -f "$visor" -f "$work/disk.img" \
    -f "$work/bzImage" -f "$work/stock-initrd" -f "$work/vmlinux" -f "$work/initrd" \
    x86_64 -- sh ./boots >"$work/lab" 2>&1
status=$?
lab_worked() {
    cat "$work/lab"
    test "$status" = 0
}
check "linux: the lab ran all boots" lab_worked

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

check "bzImage unpacked by the host, 1 vCPU: ends with poweroff" ended one 0
check "bzImage unpacked by the host, 1 vCPU: reaches user space" said one "visor: user space reached, 1 cpus"
check "bzImage unpacked by the host, 1 vCPU: writes to its disk" said one "visor: disk: token written"
check "bzImage unpacked by the host, 1 vCPU: has random numbers" said one "visor: hwrng virtio_rng.0, 32 bytes"
check "bzImage unpacked by the host, 1 vCPU: the host finds the token" "$guest" check "$work/out/disk.img" WITH-ONE
took one
check "bzImage unpacking itself, 2 vCPUs: ends with poweroff" ended two 0
check "bzImage unpacking itself, 2 vCPUs: reaches user space" said two "visor: user space reached, 2 cpus"
check "bzImage unpacking itself, 2 vCPUs: the host finds the token" "$guest" check "$work/out/disk.img" WITH-TWO
took two
check "PVH, 2 vCPUs: ends with poweroff" ended pvh 0
check "PVH, 2 vCPUs: reaches user space" said pvh "visor: user space reached, 2 cpus"
check "PVH, read-only disk: is read" said pvh "visor: disk: read-only, last token WITH-TWO"
not_there() {
    ! "$guest" check "$work/out/disk.img" READ-ONLY
}
check "PVH, read-only disk: is not written" not_there
took pvh
check "reboot gives status 32" ended reboot 32
check "reboot by triple fault gives status 33" ended triple 33
check "panic gives status 34" ended panic 34
check "panic: the message is complete" said panic \
    "Kernel panic - not syncing: sysrq triggered crash"
check "full host: the guest gets an I/O error" said full "visor: disk: fill failed"
check "full host: the machine goes on to its end" ended full 0
# After failed writes Linux unmounts with its journal half closed: repair that first.
flushed_is_there() {
    PATH=$PATH:/usr/sbin:/sbin
    e2fsck -fy "$work/out/full.img"
    debugfs -R 'cat visor.token' "$work/out/full.img" | grep -x BEFORE-FULL
}
check "full host: what was flushed before is there" flushed_is_there

summary
