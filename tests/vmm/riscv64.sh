# shellcheck shell=sh disable=SC2154
# What Linux on riscv64 is asked for; sourced by run.sh. An Image with an EFI stub as it is and packed
# by gzip, and the ways to end. Debian has but one kernel for it, and its guests are slow.

prepare() {
    kernel=$("$guest" -a riscv64 kernel) && ln -s "$kernel" "$work/Image" &&
        gzip -1 <"$kernel" >"$work/Image.gz" &&
        initrd=$("$guest" -a riscv64 initrd) && ln -s "$initrd" "$work/initrd" &&
        foreign=$("$guest" kernel) && ln -s "$foreign" "$work/bzImage" &&
        "$guest" disk "$work/disk.img" 16
}
check "linux: kernels, initrds and a disk are at hand" prepare

boots -m 1024 -f "$work/disk.img" -f "$work/Image" -f "$work/Image.gz" -f "$work/initrd" \
    -f "$work/bzImage" <<'BOOTS'
limit=400
boot one -m 256 -i initrd -b path=disk.img -p 'quiet visor.token=WITH-ONE' Image
boot two -m 256 -c 2 -i initrd -b path=disk.img -p 'quiet visor.token=WITH-TWO' Image.gz
boot reboot -m 256 -c 2 -i initrd -p 'quiet visor.end=reboot' Image
boot foreign -m 256 bzImage
boot tree -m 256 -c 2 --dump-fdt /out/tree.dtb Image
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
check "reboot gives status 32" ended reboot 32
took reboot
check "kernel of another architecture: is refused" ended foreign 1
check "kernel of another architecture: is named, and what it should be" said foreign \
    "is not a riscv64 Image: it is an x86 bzImage"
check "device tree: is written, and nothing run" ended tree 0
# The magic number of a flattened tree, big-endian; and the two processors.
tree_is_one() {
    test "$(od -An -t x1 -N 4 "$work/out/tree.dtb" | tr -d ' ')" = d00dfeed &&
        grep -qa 'riscv,imsics' "$work/out/tree.dtb" && grep -qa 'cpu@1' "$work/out/tree.dtb"
}
check "device tree: has the IMSICs and both processors" tree_is_one
