/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guests of architectures whose processors do not leave the guest when they halt. They load
 * what they are to do from where no memory is, and store what it came to there: so all that they
 * need is to be started at their first instruction, which every hypervisor can do, while some let
 * no other register be set, and none once the guest has run.
 */
#include <string.h>

#include "core/backend.h"
#include "core/probe.h"

#define MEMORY_GPA UINT64_C(0x80000000)
/* Code, and an area for a device tree in whole pages, whatever their size. */
#define AREA_LENGTH UINT64_C(0x10000)
#define NOTHING_GPA 0x10000000u

/* Adds two numbers, loaded from NOTHING_GPA and the 8 bytes after it, and stores the sum at
 * NOTHING_GPA. Then, again and again, loads a number from there, counts it down and stores the 0.
 */
struct program {
    const uint32_t *code;
    size_t size; /* bytes */
    int (*start)(visor_vcpu *vcpu);
};

static const uint32_t aarch64_code[] = {
    0xd2a20002, /*    mov  x2, #0x10000000 */
    0xf9400040, /*    ldr  x0, [x2] */
    0xf9400441, /*    ldr  x1, [x2, #8] */
    0x8b010000, /*    add  x0, x0, x1 */
    0xf9000040, /*    str  x0, [x2] */
    0xf9400040, /* 1: ldr  x0, [x2] */
    0xf1000400, /* 2: subs x0, x0, #1 */
    0x54ffffe1, /*    b.ne 2b */
    0xf9000040, /*    str  x0, [x2] */
    0x17fffffc, /*    b    1b */
};

static int aarch64_start(visor_vcpu *vcpu)
{
    /* EL1 with SP_EL1, all interrupts masked (Arm ARM, C5.2.18). */
    const visor_aarch64_regs regs = {.pc = MEMORY_GPA, .pstate = 0x3c5};
    const visor_aarch64_boot boot = {
        .size = sizeof(boot),
        .entry_gpa = MEMORY_GPA,
        .tree_gpa = MEMORY_GPA + AREA_LENGTH,
        .tree_length = AREA_LENGTH,
    };
    int ret = visor_aarch64_set_boot(vcpu->vm, &boot);

    if (ret < 0 || visor_vm_cap(vcpu->vm, VISOR_CAP_BOOT_CONTEXT) != 0)
        return ret;
    return visor_aarch64_set_regs(vcpu, &regs);
}

static const uint32_t riscv_code[] = {
    0x10000637, /*    lui  a2, 0x10000 */
    0x00063503, /*    ld   a0, 0(a2) */
    0x00863583, /*    ld   a1, 8(a2) */
    0x00b50533, /*    add  a0, a0, a1 */
    0x00a63023, /*    sd   a0, 0(a2) */
    0x00063503, /* 1: ld   a0, 0(a2) */
    0xfff50513, /* 2: addi a0, a0, -1 */
    0xfe051ee3, /*    bnez a0, 2b */
    0x00a63023, /*    sd   a0, 0(a2) */
    0xff1ff06f, /*    j    1b */
};

static int riscv_start(visor_vcpu *vcpu)
{
    const visor_riscv_regs regs = {.pc = MEMORY_GPA, .mode = VISOR_RISCV_SUPERVISOR};

    return visor_riscv_set_regs(vcpu, &regs);
}

struct guest {
    visor_memory *memory;
    visor_vm *vm;
    visor_vcpu *vcpu;
};

static int guest_create(struct guest *guest, visor_hypervisor *hv, visor_arch arch,
                        const struct program *program)
{
    const visor_memory_region ram = {.gpa = MEMORY_GPA, .length = 2 * AREA_LENGTH};
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    void *code;
    int ret;

    config.arch = arch;
    ret = visor_memory_create(&guest->memory, &ram, 1, NULL);
    if (ret == 0)
        ret = visor_memory_ptr(&code, guest->memory, MEMORY_GPA, program->size);
    if (ret != 0)
        return ret;
    memcpy(code, program->code, program->size);
    /* Instruction caches need not see what was written as data. */
    __builtin___clear_cache((char *)code, (char *)code + program->size);
    ret = visor_vm_create(&guest->vm, hv, guest->memory, &config);
    if (ret == 0)
        ret = visor_vcpu_create(&guest->vcpu, guest->vm, 0);
    return ret == 0 ? program->start(guest->vcpu) : ret;
}

/* Runs to the next access, which has to be this one. */
static int run_to(struct guest *guest, bool is_write, uint64_t address)
{
    const visor_io *io = &visor_vcpu_exit(guest->vcpu)->io;
    int ret = visor__probe_run(guest->vcpu);

    if (ret == VISOR_EXIT_MMIO && io->is_write == is_write && io->address == address &&
        io->length == 8)
        return 0;
    if (ret < 0)
        return ret;
    return visor__error(VISOR_EBROKEN, visor_hypervisor_backend(visor_vm_hypervisor(guest->vm)),
                        "probe", "a guest that should %s a number ended with exit \"%s\"",
                        is_write ? "store" : "load", visor_exit_name(ret));
}

static int give(struct guest *guest, uint64_t address, uint64_t value)
{
    int ret = run_to(guest, false, address);

    if (ret == 0)
        visor_io_set_value(&visor_vcpu_exit(guest->vcpu)->io, value);
    return ret;
}

static int run_add(struct guest *guest)
{
    uint64_t sum;
    int ret = give(guest, NOTHING_GPA, 2);

    if (ret == 0)
        ret = give(guest, NOTHING_GPA + 8, 3);
    if (ret == 0)
        ret = run_to(guest, true, NOTHING_GPA);
    if (ret < 0)
        return ret;
    sum = visor_io_value(&visor_vcpu_exit(guest->vcpu)->io);
    if (sum != 5)
        return visor__error(VISOR_EBROKEN, visor_hypervisor_backend(visor_vm_hypervisor(guest->vm)),
                            "probe", "a guest that adds 2 and 3 came to %llu",
                            (unsigned long long)sum);
    return 0;
}

/* Counts longer and longer until the time is long enough to be told from that of one exit. */
static int measure(double *mips, struct guest *guest)
{
    int ret = 0;

    *mips = 0;
    for (uint64_t count = 20000; ret == 0 && count <= 20000000; count *= 10) {
        uint64_t start, took;

        ret = give(guest, NOTHING_GPA, count);
        start = visor__os_now_ns();
        if (ret == 0)
            ret = run_to(guest, true, NOTHING_GPA);
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
    int ret = guest_create(&guest, hv, arch, program);

    if (ret == 0)
        ret = run_add(&guest);
    if (ret == 0)
        ret = measure(&out->mips, &guest);
    visor_vcpu_free(guest.vcpu);
    visor_vm_free(guest.vm);
    visor_memory_free(guest.memory);
    return ret;
}

int visor__probe_aarch64(visor_probe *out, visor_hypervisor *hv)
{
    static const struct program program = {
        .code = aarch64_code,
        .size = sizeof(aarch64_code),
        .start = aarch64_start,
    };

    return probe(out, hv, VISOR_ARCH_AARCH64, &program);
}

int visor__probe_riscv64(visor_probe *out, visor_hypervisor *hv)
{
    static const struct program program = {
        .code = riscv_code,
        .size = sizeof(riscv_code),
        .start = riscv_start,
    };

    return probe(out, hv, VISOR_ARCH_RISCV64, &program);
}
