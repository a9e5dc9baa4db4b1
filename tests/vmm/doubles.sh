# shellcheck shell=sh disable=SC2154
# What Linux on aarch64 is asked for on each of Android's hypervisors, in front of the doubles of
# their drivers, one after another in one run of the lab; sourced by run.sh. The guest also tells
# which virtual devices Gunyah's resource manager was asked for: the double starts no guest without
# what it reads, but the tree is the guest's, too.

arch=aarch64
in_lab() { "$here/../doubles/lab" "$build" "$@"; }

add_test() { # add_test INITRD: appends the program that the guest runs before its end
    mkdir "$work/root"
    cat >"$work/root/test" <<'TEST'
#!/bin/sh
for node in /proc/device-tree/gunyah-vm-config/vdevices/*-*; do
    [ ! -d "$node" ] || echo "visor: vdevice ${node##*/}"
done
TEST
    chmod 755 "$work/root/test"
    (cd "$work/root" && echo test | cpio --quiet -o -H newc) >>"$1"
}
prepare() {
    kernel=$("$guest" -a aarch64 kernel) && ln -s "$kernel" "$work/Image" &&
        initrd=$("$guest" -a aarch64 initrd) && cp "$initrd" "$work/initrd" &&
        add_test "$work/initrd" &&
        "$guest" disk "$work/disk.img" 16
}
check "linux: a kernel, an initrd and a disk are at hand" prepare

images=$build/tests/doubles
boots -s 2 -m 1024 -f "$work/disk.img" -f "$work/Image" -f "$work/initrd" \
    -f "$images/protected_image" -f "$images/firmware_image" <<'BOOTS'
limit=300
for hypervisor in geniezone gunyah halla; do
    boot $hypervisor -m 256 -c 2 -i initrd -b path=disk.img -p "quiet visor.token=ON-$hypervisor" Image
done
cp disk.img /out
protect() { # protect NAME OPTION...
    name=$1
    shift
    boot $name --serial type=file,path=/out/$name.serial --swiotlb 8 -m 64 "$@" protected_image
}
for hypervisor in geniezone gunyah halla; do
    protect $hypervisor-protected --protected-vm
    protect $hypervisor-without --protected-vm-without-firmware
    protect $hypervisor-with --protected-vm-with-firmware firmware_image
done
BOOTS

for hypervisor in geniezone gunyah halla; do
    check "$hypervisor, 2 vCPUs: ends with poweroff" ended $hypervisor 0
    check "$hypervisor, 2 vCPUs: reaches user space" said $hypervisor \
        "visor: user space reached, 2 cpus"
    check "$hypervisor, 2 vCPUs: writes to its disk" said $hypervisor "visor: disk: token written"
    check "$hypervisor, 2 vCPUs: the host finds the token" \
        "$guest" check "$work/out/disk.img" "ON-$hypervisor"
    took $hypervisor
done
# Lines of the serial port and of PCI.
for line in 1 8 9 a b; do
    check "gunyah: the guest's tree asks for a doorbell of line 0x$line" said gunyah \
        "visor: vdevice bell-$line"
done

# A protected VM: its devices work by the bounce buffer and by nothing else. The doubles take the
# rest of its memory away, so that a VMM that touches it ends by a signal. See protected_guest.c.
protected_guest_said() { # protected_guest_said NAME FIRMWARE
    cat "$work/out/$1.serial"
    test "$(cat "$work/out/$1.serial")" = "firmware: $2
bounce buffer: in the tree
without access_platform: refused
with access_platform: accepted
all in the bounce buffer: served
a buffer in own memory: refused
a queue in own memory: refused"
}
protected() { # protected NAME FIRMWARE
    check "$1: ends with poweroff" ended "$1" 0
    check "$1: devices reach the bounce buffer alone" protected_guest_said "$1" "$2"
}
protected geniezone-protected ran
protected geniezone-with ran
protected geniezone-without 'did not run'
protected gunyah-protected ran
protected gunyah-without 'did not run'
check "gunyah-with: is refused" ended gunyah-with 1
check "gunyah-with: is told why" said gunyah-with "firmware that the VMM brings along"
for kind in protected with without; do
    check "halla-$kind: is refused" ended halla-$kind 1
    check "halla-$kind: is told why" said halla-$kind \
        "no memory that a protected VM shares from its start"
done
