#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# stress.sh BUILD [CPUS...]: programs and the kernel's own checks on the software CPU (default: on 2
# vCPUs). stress.c and Debian's C compiler run here and in a guest with Debian's kernel, and must
# print the same; the kernel tests its memory, and its modules of ciphers, checksums and RAID test
# their instructions against plain C. Prints TAP and "N passed, N failed, N skipped".
set -u
build=$(readlink -f "${1:?usage: stress.sh BUILD [CPUS...]}")
shift
[ $# -gt 0 ] || set -- 2
me=stress.sh
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=../lab/common.sh
. "$here/../lab/common.sh"
T=$(mktemp -d "${TMPDIR:-/tmp}/visor-stress-XXXXXX")
work=$T
trap 'rm -rf "$T"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# shellcheck source=tap.sh
. "$here/tap.sh"

# Those with vector and cipher instructions, for each of which Linux has a self-test; and RAID's,
# which choose the fastest of theirs.
LAB_MODULES='raid6_pq xor aesni_intel ghash-clmulni-intel sha1-ssse3 sha256-ssse3 sha512-ssse3
    crc32c-intel crc32-pclmul crct10dif-pclmul chacha-x86_64 poly1305-x86_64 curve25519-x86_64
    blake2s-x86_64 nhpoly1305-avx2 camellia-aesni-avx2 serpent-avx2 twofish-avx-x86_64
    cast5-avx-x86_64 cast6-avx-x86_64 blowfish-x86_64 des3_ede-x86_64 sm4-aesni-avx2-x86_64'
export LAB_MODULES

prepare() {
    kernel=$("$here/../lab/guest" kernel) && initrd=$("$here/../lab/guest" initrd) || return 1
    compiler=$(gcc -print-prog-name=cc1) && add "$compiler" /work/ || return 1
    add "$build/tests/vmm/stress" /work/
    # A file of our own, with all that it includes.
    gcc -std=gnu17 -D_GNU_SOURCE -E -P -I "$here/../../src" -I "$here/../../include" \
        "$here/../../src/core/spec.c" >"$T/root/work/program.i" || return 1
    cat >"$T/root/test" <<'TEST'
#!/bin/busybox sh
export PATH=/bin
cd /work
./stress
echo "stress: compiler $(./cc1 -quiet -fpreprocessed -O2 program.i -o - | /bin/busybox md5sum)"
crypto() { grep -c "selftest *: $1" /proc/crypto; }
echo "stress: $(crypto passed) self-tests passed, of $(crypto '')"
dmesg | grep -E 'early_memtest|bad mem|alg: .*(fail|mismatch|err)|self-tests|raid6: using|xor: using|BUG|WARNING|Oops'
TEST
    chmod +x "$T/root/test"
    { cat "$initrd" && pack "$T/root"; } >"$T/initrd"
}
natively() {
    (cd "$T/root/work" && ./stress && echo "stress: compiler $("$compiler" -quiet -fpreprocessed -O2 program.i -o - | md5sum)") \
        >"$T/native"
}
boot() { # boot CPUS
    timeout 600 "$build/vmm/visor" run --hypervisor soft -m 512 -c "$1" -i "$T/initrd" \
        -p "quiet no_timer_check memtest=1" "$kernel" >"$T/log" 2>&1 </dev/null
    status=$?
    tr -d '\r' <"$T/log" >"$T/lines"
    cat "$T/lines"
    echo "status $status"
    test $status = 0
}
same() {
    grep -E '^stress: [a-z_]+ [0-9a-f]{16}' "$T/lines" | diff "$T/native" -
}
all_passed() { # and there are enough of them that the modules must have been there
    line=$(grep -E '^stress: [0-9]+ self-tests passed, of [0-9]+$' "$T/lines") || return 1
    echo "$line"
    # shellcheck disable=SC2086 # words of the line
    set -- $line
    test "$2" -ge 60 && test "$2" = "$6"
}
chosen() { grep -E "$1" "$T/lines"; }
nothing_bad() {
    ! grep -E 'bad mem|alg: .*(fail|mismatch|err)|BUG|WARNING|Oops' "$T/lines"
}

check "kernel, modules, compiler and program are at hand" prepare
check "all of it runs here" natively
for cpus; do
    check "$cpus vCPUs: it comes to its end" boot "$cpus"
    check "$cpus vCPUs: the programs print what they print here" same
    check "$cpus vCPUs: the self-tests of ciphers and checksums pass" all_passed
    check "$cpus vCPUs: memory was tested" chosen 'early_memtest'
    check "$cpus vCPUs: RAID 6 has chosen its instructions" chosen 'raid6: using algorithm avx2'
    check "$cpus vCPUs: the kernel has complained of nothing" nothing_bad
done
summary
