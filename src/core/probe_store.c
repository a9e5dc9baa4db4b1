/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guests of architectures whose processors do not leave the guest when they halt: two that end
 * by storing their result where no memory is. One adds (does anything run?), one counts (how
 * fast?).
 */
#include <string.h>

#include "core/backend.h"
#include "core/probe.h"

#define MEMORY_GPA  0x80000000u
#define MEMORY_SIZE 0x10000u
#define NOTHING_GPA 0x10000000u

/* Registers: a and b are what to add, or in a how far to count; address is where to store a. */
struct program {
    const uint32_t *add, *count;
    size_t add_size, count_size; /* bytes */
    int (*start)(visor_vcpu *vcpu, uint64_t a, uint64_t b, uint64_t address);
};

/* add x0, x0, x1; str x0, [x2] */
static const uint32_t aarch64_add[] = {0x8b010000, 0xf9000040};
/* 1: subs x0, x0, #1; b.ne 1b; str x0, [x2] */
static const uint32_t aarch64_count[] = {0xf1000400, 0x54ffffe1, 0xf9000040};

static int aarch64_start(visor_vcpu *vcpu, uint64_t a, uint64_t b, uint64_t address)
{
    /* EL1 with SP_EL1, all interrupts masked (Arm ARM, C5.2.18). */
    const visor_aarch64_regs regs = {.x = {a, b, address}, .pc = MEMORY_GPA, .pstate = 0x3c5};

    return visor_aarch64_set_regs(vcpu, &regs);
}

/* add a0, a0, a1; sd a0, 0(a2) */
static const uint32_t riscv_add[] = {0x00b50533, 0x00a63023};
/* 1: addi a0, a0, -1; bnez a0, 1b; sd a0, 0(a2) */
static const uint32_t riscv_count[] = {0xfff50513, 0xfe051ee3, 0x00a63023};

static int riscv_start(visor_vcpu *vcpu, uint64_t a, uint64_t b, uint64_t address)
{
    const visor_riscv_regs regs = {.pc = MEMORY_GPA,
                                   .x = {[10] = a, [11] = b, [12] = address},
                                   .mode = VISOR_RISCV_SUPERVISOR};

    return visor_riscv_set_regs(vcpu, &regs);
}

struct guest {
    visor_memory *memory;
    visor_vm *vm;
    visor_vcpu *vcpu;
};

static int guest_create(struct guest *guest, visor_hypervisor *hv, visor_arch arch)
{
    const visor_memory_region ram = {.gpa = MEMORY_GPA, .length = MEMORY_SIZE};
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    int ret;

    config.arch = arch;
    ret = visor_memory_create(&guest->memory, &ram, 1, NULL);
    if (ret == 0)
        ret = visor_vm_create(&guest->vm, hv, guest->memory, &config);
    if (ret == 0)
        ret = visor_vcpu_create(&guest->vcpu, guest->vm, 0);
    return ret;
}

/* Runs a program to its store; out receives what it stores. */
static int run(uint64_t *out, struct guest *guest, const struct program *program, const void *code,
               size_t size, uint64_t a, uint64_t b)
{
    const visor_exit *exit = visor_vcpu_exit(guest->vcpu);
    int ret = visor_memory_write(guest->memory, MEMORY_GPA, code, size);

    if (ret == 0)
        ret = program->start(guest->vcpu, a, b, NOTHING_GPA);
    if (ret == 0)
        ret = visor__probe_run(guest->vcpu);
    if (ret < 0)
        return ret;
    if (ret != VISOR_EXIT_MMIO || !exit->io.is_write || exit->io.address != NOTHING_GPA)
        return visor__error(VISOR_EBROKEN, visor_hypervisor_backend(visor_vm_hypervisor(guest->vm)),
                            "probe", "a guest that should store a number ended with exit \"%s\"",
                            visor_exit_name(ret));
    memcpy(out, exit->io.data, sizeof(*out));
    ret = visor_vcpu_settle(guest->vcpu);
    return ret < 0 ? ret : 0;
}

static int run_add(struct guest *guest, const struct program *program)
{
    uint64_t sum;
    int ret = run(&sum, guest, program, program->add, program->add_size, 2, 3);

    if (ret == 0 && sum != 5)
        ret = visor__error(VISOR_EBROKEN, visor_hypervisor_backend(visor_vm_hypervisor(guest->vm)),
                           "probe", "a guest that adds 2 and 3 came to %llu",
                           (unsigned long long)sum);
    return ret;
}

/* Counts longer and longer until the time is long enough to be told from that of one exit. */
static int measure(double *mips, struct guest *guest, const struct program *program)
{
    int ret = 0;

    *mips = 0;
    for (uint64_t count = 20000; ret == 0 && count <= 20000000; count *= 10) {
        uint64_t start = visor__os_now_ns(), took, left;

        ret = run(&left, guest, program, program->count, program->count_size, count, 0);
        took = visor__os_now_ns() - start;
        if (ret == 0)
            *mips = 2.0 * (double)count * 1000.0 / (double)(took > 0 ? took : 1);
        if (took > 2000000)
            break;
    }
    return ret;
}

static int probe(visor_probe *out, visor_hypervisor *hv, visor_arch arch,
                 const struct program *program)
{
    struct guest guest = {0};
    int ret = guest_create(&guest, hv, arch);

    if (ret == 0)
        ret = run_add(&guest, program);
    if (ret == 0)
        ret = measure(&out->mips, &guest, program);
    visor_vcpu_free(guest.vcpu);
    visor_vm_free(guest.vm);
    visor_memory_free(guest.memory);
    return ret;
}

int visor__probe_aarch64(visor_probe *out, visor_hypervisor *hv)
{
    static const struct program program = {
        .add = aarch64_add,
        .add_size = sizeof(aarch64_add),
        .count = aarch64_count,
        .count_size = sizeof(aarch64_count),
        .start = aarch64_start,
    };

    return probe(out, hv, VISOR_ARCH_AARCH64, &program);
}

int visor__probe_riscv64(visor_probe *out, visor_hypervisor *hv)
{
    static const struct program program = {
        .add = riscv_add,
        .add_size = sizeof(riscv_add),
        .count = riscv_count,
        .count_size = sizeof(riscv_count),
        .start = riscv_start,
    };

    return probe(out, hv, VISOR_ARCH_RISCV64, &program);
}
