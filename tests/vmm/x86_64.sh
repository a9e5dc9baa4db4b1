# shellcheck shell=sh disable=SC2154
# What Linux on x86-64 is asked for; sourced by run.sh. A bzImage that the host unpacks and one that
# unpacks itself, an ELF file by PVH, and the ways to end.

prepare() {
    kernel=$("$guest" kernel) && ln -s "$kernel" "$work/bzImage" &&
        initrd=$("$guest" initrd) && ln -s "$initrd" "$work/stock-initrd" &&
        kernel=$("$guest" -k cloud vmlinux) && ln -s "$kernel" "$work/vmlinux" &&
        initrd=$("$guest" -k cloud initrd) && ln -s "$initrd" "$work/initrd" &&
        "$guest" disk "$work/disk.img" 16
}
check "linux: kernels, initrds and a disk are at hand" prepare

boots -f "$work/disk.img" -f "$work/bzImage" -f "$work/stock-initrd" -f "$work/vmlinux" \
    -f "$work/initrd" <<'BOOTS'
# A sparse copy of the disk where there is room for 4 MiB only.
mkdir -p /out/small
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
