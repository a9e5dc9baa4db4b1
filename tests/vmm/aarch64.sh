# shellcheck shell=sh disable=SC2154
# What Linux on aarch64 is asked for; sourced by run.sh. An Image with an EFI stub as it is, packed by
# gzip and by zstd, and the ways to end. The cloud kernel where it is enough: its guests are slow.

prepare() {
    kernel=$("$guest" -a aarch64 kernel) && ln -s "$kernel" "$work/Image" &&
        initrd=$("$guest" -a aarch64 initrd) && ln -s "$initrd" "$work/stock-initrd" &&
        kernel=$("$guest" -a aarch64 -k cloud kernel) && gzip -1 <"$kernel" >"$work/Image.gz" &&
        zstd -q -1 "$kernel" -o "$work/Image.zst" &&
        initrd=$("$guest" -a aarch64 -k cloud initrd) && ln -s "$initrd" "$work/initrd" &&
        foreign=$("$guest" kernel) && ln -s "$foreign" "$work/bzImage" &&
        "$guest" disk "$work/disk.img" 16
}
check "linux: kernels, initrds and a disk are at hand" prepare

boots -s 2 -m 1024 -f "$work/disk.img" -f "$work/Image" -f "$work/stock-initrd" -f "$work/Image.gz" \
    -f "$work/Image.zst" -f "$work/initrd" -f "$work/bzImage" <<'BOOTS'
limit=400
boot one -m 256 -i stock-initrd -b path=disk.img -p 'quiet visor.token=WITH-ONE' Image
boot two -m 256 -c 2 -i initrd -b path=disk.img -p 'quiet visor.token=WITH-TWO' Image.gz
boot reboot -m 256 -i initrd -p 'quiet visor.end=reboot' Image.zst
boot panic -m 256 -c 2 -i initrd -p 'quiet visor.end=panic' Image.gz
boot foreign -m 256 bzImage
boot tree -m 256 -c 2 --dump-fdt /out/tree.dtb Image.gz
cp disk.img /out
BOOTS

check "Image, 1 vCPU: ends with poweroff" ended one 0
check "Image, 1 vCPU: reaches user space" said one "visor: user space reached, 1 cpus"
check "Image, 1 vCPU: writes to its disk" said one "visor: disk: token written"
check "Image, 1 vCPU: has random numbers" said one "visor: hwrng virtio_rng.0, 32 bytes"
check "Image, 1 vCPU: the host finds the token" "$guest" check "$work/out/disk.img" WITH-ONE
took one
check "Image packed by gzip, 2 vCPUs: ends with poweroff" ended two 0
check "Image packed by gzip, 2 vCPUs: reaches user space" said two "visor: user space reached, 2 cpus"
check "Image packed by gzip, 2 vCPUs: the host finds the token" "$guest" check "$work/out/disk.img" WITH-TWO
took two
check "Image packed by zstd: reaches user space" said reboot "visor: user space reached, 1 cpus"
check "reboot gives status 32" ended reboot 32
took reboot
# Debian's kernels for arm64 have no driver for pvpanic, so that a panic (34) is but a reset.
check "panic without pvpanic gives status 32" ended panic 32
check "panic: the message is complete" said panic \
    "Kernel panic - not syncing: sysrq triggered crash"
took panic
check "kernel of another architecture: is refused" ended foreign 1
check "kernel of another architecture: is named, and what it should be" said foreign \
    "is not an arm64 Image: it is an x86 bzImage"
check "device tree: is written, and nothing run" ended tree 0
# The magic number of a flattened tree, big-endian; and the two processors.
tree_is_one() {
    test "$(od -An -t x1 -N 4 "$work/out/tree.dtb" | tr -d ' ')" = d00dfeed &&
        grep -qa 'arm,gic-v3' "$work/out/tree.dtb" && grep -qa 'cpu@1' "$work/out/tree.dtb"
}
check "device tree: has the GIC and both processors" tree_is_one
