/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Three guests: one that adds (does anything run?), one that counts (how fast?), and one that uses
 * an MMX register and a segment limit in protected mode. A KVM without VMX or SVM, which emulates
 * ordinary code, fails the last one: it will not boot an operating system.
 */
#include <stdio.h>

#include "core/backend.h"
#include "core/probe.h"

#define MEMORY_SIZE 0x10000u
#define CODE_GPA    0x1000u
#define GDT_GPA     0x2000u
#define CODE_SEL    0x08u

/* add %bx, %ax; hlt */
static const uint8_t add_code[] = {0x01, 0xd8, 0xf4};
/* 1: dec %ecx; jnz 1b; hlt */
static const uint8_t count_code[] = {0x66, 0x49, 0x75, 0xfc, 0xf4};
/* lsl %ecx, %eax; movd %eax, %mm0; movd %mm0, %ebx; emms; hlt, in 32-bit protected mode */
static const uint8_t full_code[] = {0x0f, 0x03, 0xc1, 0x0f, 0x6e, 0xc0,
                                    0x0f, 0x7e, 0xc3, 0x0f, 0x77, 0xf4};
/* null; 32-bit code, base 0, limit 4 GiB */
static const uint64_t gdt[] = {0, 0x00cf9b000000ffff};

struct guest {
    visor_memory *memory;
    visor_vm *vm;
    visor_vcpu *vcpu;
};

static void guest_free(struct guest *guest)
{
    visor_vcpu_free(guest->vcpu);
    visor_vm_free(guest->vm);
    visor_memory_free(guest->memory);
}

static int guest_create(struct guest *guest, visor_hypervisor *hv)
{
    const visor_memory_region ram = {.length = MEMORY_SIZE};
    int ret;

    *guest = (struct guest){0};
    ret = visor_memory_create(&guest->memory, &ram, 1, NULL);
    if (ret == 0)
        ret = visor_vm_create(&guest->vm, hv, guest->memory, NULL);
    if (ret == 0)
        ret = visor_vcpu_create(&guest->vcpu, guest->vm, 0);
    if (ret == 0)
        ret = visor_x86_configure_cpuid(guest->vcpu, NULL);
    if (ret == 0)
        ret = visor_memory_write(guest->memory, GDT_GPA, gdt, sizeof(gdt));
    if (ret < 0)
        guest_free(guest);
    return ret;
}

/* Puts code in place and the vCPU at it, with CS at 0: real mode, or flat 32-bit protected mode. */
static int load(struct guest *guest, const uint8_t *code, size_t length, bool protected_mode)
{
    visor_x86_sregs sregs;
    int ret = visor_memory_write(guest->memory, CODE_GPA, code, length);

    visor_x86_reset_sregs(&sregs);
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    if (protected_mode) {
        visor_x86_segment_from_descriptor(&sregs.cs, gdt[1], CODE_SEL);
        sregs.gdt = (visor_x86_table){.base = GDT_GPA, .limit = sizeof(gdt) - 1};
        sregs.cr0 |= 1; /* PE */
    }
    return ret < 0 ? ret : visor_x86_set_sregs(guest->vcpu, &sregs);
}

/* Runs from CODE_GPA to the first exit. */
static int run(struct guest *guest, visor_x86_regs *regs)
{
    int ret;

    regs->rip = CODE_GPA;
    regs->rflags = 2;
    ret = visor_x86_set_regs(guest->vcpu, regs);
    if (ret < 0)
        return ret;
    ret = visor__probe_run(guest->vcpu);
    if (ret >= 0 && visor_x86_get_regs(regs, guest->vcpu) < 0)
        return visor_error_last()->code;
    return ret;
}

static int run_add(struct guest *guest)
{
    visor_x86_regs regs = {.rax = 2, .rbx = 3};
    int ret = load(guest, add_code, sizeof(add_code), false);

    if (ret == 0)
        ret = run(guest, &regs);
    if (ret < 0)
        return ret;
    if (ret != VISOR_EXIT_HLT || regs.rax != 5)
        return visor__error(VISOR_EBROKEN, visor_hypervisor_backend(visor_vm_hypervisor(guest->vm)),
                            "probe", "a guest that adds 2 and 3 ended with exit \"%s\" and %llu",
                            visor_exit_name(ret), (unsigned long long)regs.rax);
    return 0;
}

/* The shortest of three runs: others may have had the processor meanwhile, and `auto` compares. */
static int time_count(uint64_t *took, struct guest *guest, uint32_t count)
{
    int ret = VISOR_EXIT_HLT;

    *took = UINT64_MAX;
    for (int i = 0; i < 3 && ret == VISOR_EXIT_HLT; i++) {
        visor_x86_regs regs = {.rcx = count};
        uint64_t start = visor__os_now_ns();
        uint64_t now;

        ret = run(guest, &regs);
        now = visor__os_now_ns();
        if (now - start < *took)
            *took = now - start;
    }
    return ret;
}

/* Counts longer and longer until the time is long enough to be told from that of one exit. */
static int measure(double *mips, struct guest *guest)
{
    int ret = load(guest, count_code, sizeof(count_code), false);

    *mips = 0;
    for (uint32_t count = 20000; ret == 0 && count <= 20000000; count *= 10) {
        uint64_t took;

        ret = time_count(&took, guest, count);
        if (ret < 0)
            break;
        if (ret != VISOR_EXIT_HLT)
            return 0; /* odd, but no reason to refuse it: the speed stays unknown */
        ret = 0;
        *mips = 2.0 * count * 1000.0 / (double)(took > 0 ? took : 1);
        if (took > 2000000)
            break;
    }
    return ret;
}

/* Whether the guest that needs a real processor gets to its end. */
static int run_full(bool *full, struct guest *guest)
{
    visor_x86_regs regs = {.rcx = CODE_SEL};
    int ret = load(guest, full_code, sizeof(full_code), true);

    if (ret == 0)
        ret = run(guest, &regs);
    *full = ret == VISOR_EXIT_HLT && regs.rbx == 0xffffffff;
    return ret < 0 ? ret : 0;
}

int visor__probe_x86_64(visor_probe *out, visor_hypervisor *hv)
{
    struct guest guest;
    int ret = guest_create(&guest, hv);

    if (ret < 0)
        return ret;
    ret = run_add(&guest);
    if (ret == 0)
        ret = measure(&out->mips, &guest);
    if (ret == 0)
        ret = run_full(&out->full, &guest);
    guest_free(&guest);
    if (ret == 0 && !out->full) {
        snprintf(out->detail, sizeof(out->detail),
                 "runs simple guests only, at %.1f million instructions a second: it emulates the "
                 "processor and stops at instructions that operating systems use",
                 out->mips);
        snprintf(out->hint, sizeof(out->hint),
                 "use a host with VT-x or AMD-V (in a virtual machine: nested virtualization)");
    }
    return ret;
}
