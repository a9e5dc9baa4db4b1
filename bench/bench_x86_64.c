/* SPDX-License-Identifier: BSD-3-Clause */
/* Guests of 16-bit code with CS base 0, and the registers of x86-64. */
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "bench.h"

#define PORT 0x10u

const bool bench_has_pio = true;

/* 1: out %al, $0x10; jmp 1b */
static const uint8_t pio_code[] = {0xe6, PORT, 0xeb, 0xfc};
/* 1: addr32 mov %al, (%ebx); jmp 1b */
static const uint8_t mmio_code[] = {0x67, 0x88, 0x03, 0xeb, 0xfb};
/*
 * 2: mov %ebx, %ecx; mov $1024, %dx
 * 1: addr32 mov %al, (%ecx); add $0x100000, %ecx; dec %dx; jnz 1b
 *    out %al, $0x10; jmp 2b
 */
static const uint8_t dirty_code[] = {
    0x66,
    0x89,
    0xd9,
    0xba,
    0x00,
    0x04, /* mov; mov */
    0x67,
    0x88,
    0x01, /* store */
    0x66,
    0x81,
    0xc1,
    BENCH_STRIDE & 0xff,
    BENCH_STRIDE >> 8 & 0xff,
    BENCH_STRIDE >> 16,
    0x00,
    0x4a,
    0x75,
    0xf3, /* dec; jnz */
    0xe6,
    PORT,
    0xeb,
    0xe9, /* out; jmp */
};

const struct bench_guest *bench_guest(enum bench_row row)
{
    static const struct bench_guest pio = {pio_code, sizeof(pio_code), 0};
    static const struct bench_guest mmio = {mmio_code, sizeof(mmio_code), BENCH_MMIO_GPA};
    static const struct bench_guest dirty = {dirty_code, sizeof(dirty_code), BENCH_DIRTY_GPA};

    return row == BENCH_MMIO ? &mmio : row == BENCH_DIRTY ? &dirty : &pio;
}

bool bench_raw_start(int vm, int vcpu, const struct bench_guest *guest)
{
    const struct kvm_regs regs = {.rip = BENCH_CODE_GPA, .rflags = 2, .rbx = guest->address};
    struct kvm_sregs sregs;

    (void)vm;
    if (ioctl(vcpu, KVM_GET_SREGS, &sregs) != 0)
        return false;
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    sregs.ds.limit = 0xffffffff; /* 16-bit code that reaches all of memory */
    sregs.ds.g = 1;
    return ioctl(vcpu, KVM_SET_SREGS, &sregs) == 0 && ioctl(vcpu, KVM_SET_REGS, &regs) == 0;
}

bool bench_visor_configure(visor_vm *vm)
{
    (void)vm;
    return true;
}

bool bench_visor_start(visor_vcpu *vcpu, const struct bench_guest *guest)
{
    const visor_x86_regs regs = {.rip = BENCH_CODE_GPA, .rflags = 2, .rbx = guest->address};
    visor_x86_sregs sregs;

    if (visor_x86_get_sregs(&sregs, vcpu) < 0)
        return false;
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    sregs.ds.limit = 0xffffffff; /* 16-bit code that reaches all of memory */
    sregs.ds.g = 1;
    return visor_x86_set_sregs(vcpu, &sregs) == 0 && visor_x86_set_regs(vcpu, &regs) == 0;
}

bool bench_raw_regs(int vcpu)
{
    struct kvm_regs regs;

    if (ioctl(vcpu, KVM_GET_REGS, &regs) != 0)
        return false;
    regs.rax++;
    return ioctl(vcpu, KVM_SET_REGS, &regs) == 0;
}

bool bench_visor_regs(visor_vcpu *vcpu)
{
    visor_x86_regs regs;

    if (visor_x86_get_regs(&regs, vcpu) < 0)
        return false;
    regs.rax++;
    return visor_x86_set_regs(vcpu, &regs) == 0;
}
