/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * RISC-V guests on KVM, against a kernel that is played here: this program's own ioctl() stands in
 * for libc's. So every exit can be had, and every register is one that the test knows.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_ioctl.h"
#include "kvm/kvm_riscv.h"

#define RUN_SIZE 8192

/* ---- numbers of registers ---- */

TEST(numbers_of_registers)
{
    /* pc, x1 to x31, mode. */
    for (uint32_t i = 0; i <= 32; i++)
        CHECK_INT(kvm_riscv_reg_to_kvm(VISOR_RISCV_REG(VISOR_RISCV_CORE, i), true),
                  UINT64_C(0x8030000002000000) + i);
    CHECK_INT(kvm_riscv_reg_to_kvm(VISOR_RISCV_REG(VISOR_RISCV_CONFIG, 0), true),
              UINT64_C(0x8030000001000000));
    CHECK_INT(kvm_riscv_reg_to_kvm(VISOR_RISCV_REG(VISOR_RISCV_TIMER, 3), true),
              UINT64_C(0x8030000004000003));
    CHECK_INT(kvm_riscv_reg_to_kvm(VISOR_RISCV_REG(VISOR_RISCV_FP, 31), true),
              UINT64_C(0x803000000600001f));
    CHECK_INT(kvm_riscv_reg_to_kvm(VISOR_RISCV_REG(VISOR_RISCV_FP, 32), true),
              UINT64_C(0x8020000006000020));
    CHECK_INT(kvm_riscv_reg_to_kvm(VISOR_RISCV_REG(VISOR_RISCV_FP, 31), false),
              UINT64_C(0x802000000500001f));
    CHECK_INT(kvm_riscv_reg_to_kvm(VISOR_RISCV_REG(VISOR_RISCV_ISA, 9), true),
              UINT64_C(0x8030000007000009));
    CHECK_INT(kvm_riscv_reg_to_kvm(VISOR_RISCV_REG(VISOR_RISCV_SBI, 9), true),
              UINT64_C(0x8030000008000009));
    CHECK_INT(kvm_riscv_reg_to_kvm(VISOR_RISCV_REG(VISOR_RISCV_SBI_STATE, 1), true),
              UINT64_C(0x803000000a000001));
}

/* The public number of a CSR, and its index in KVM's group. */
static void check_csr(uint32_t csr, uint32_t index)
{
    uint32_t reg = VISOR_RISCV_REG(VISOR_RISCV_CSR, csr);
    uint64_t id = UINT64_C(0x8030000003000000) | index;

    CHECK_INT(kvm_riscv_reg_to_kvm(reg, true), id);
    CHECK_INT(kvm_riscv_reg_from_kvm(id), reg);
}

TEST(numbers_of_csrs)
{
    check_csr(0x100, 0);       /* sstatus */
    check_csr(0x180, 8);       /* satp */
    check_csr(0x106, 9);       /* scounteren */
    check_csr(0x10a, 10);      /* senvcfg */
    check_csr(0x150, 0x10000); /* siselect */
    check_csr(0x646, 0x10001); /* hviprio1 */
    check_csr(0x10c, 0x20000); /* sstateen0 */
    /* One that came later keeps the number that it has. */
    check_csr(0x830005, 0x30005);
    CHECK_INT(kvm_riscv_reg_to_kvm(VISOR_RISCV_REG(VISOR_RISCV_CSR, 0x300), true), 0);
}

TEST(lists_leave_out_what_has_no_place_there)
{
    CHECK_INT(kvm_riscv_reg_from_kvm(UINT64_C(0x8030000002000000)), 0); /* pc */
    CHECK_INT(kvm_riscv_reg_from_kvm(UINT64_C(0x8030000008010000)), 0); /* a mask */
    CHECK_INT(kvm_riscv_reg_from_kvm(UINT64_C(0x8030000008000003)),
              VISOR_RISCV_REG(VISOR_RISCV_SBI, 3));
    CHECK_INT(kvm_riscv_reg_size(UINT64_C(0x8020000006000020)), 4);
    CHECK_INT(kvm_riscv_reg_size(UINT64_C(0x8040000009000006)), 16);
}

/* ---- the kernel ---- */

#define REGS 128
static struct {
    struct kvm_run *run;
    int runs;
    int (*script)(struct kvm_run *run); /* what the guest does; 0 or -errno */
    int step;
    struct {
        uint64_t id, value;
    } regs[REGS];
    unsigned reg_count;
    bool has_run;
    uint32_t mp_state, debug_control;
} kernel;

static int memory_file(size_t length)
{
    int fd = memfd_create("fake", MFD_CLOEXEC);

    return fd >= 0 && ftruncate(fd, (off_t)length) == 0 ? fd : -1;
}

static uint64_t *reg_of(uint64_t id)
{
    for (unsigned i = 0; i < kernel.reg_count; i++) {
        if (kernel.regs[i].id == id)
            return &kernel.regs[i].value;
    }
    return NULL;
}

static uint64_t *add_reg(uint64_t id, uint64_t value)
{
    kernel.regs[kernel.reg_count].id = id;
    kernel.regs[kernel.reg_count].value = value;
    return &kernel.regs[kernel.reg_count++].value;
}

static int access_reg(const struct kvm_one_reg *reg, bool write)
{
    uint64_t *value = reg_of(reg->id);
    void *buffer = (void *)(uintptr_t)reg->addr;
    size_t size = kvm_riscv_reg_size(reg->id);

    if (value == NULL)
        return -ENOENT;
    if (!write)
        memcpy(buffer, value, size);
    else if (kernel.has_run && (reg->id >> 24 & 0xff) == 7) /* an ISA extension */
        return -EBUSY;
    else
        memcpy(value, buffer, size);
    return 0;
}

static int list_regs(struct kvm_reg_list *list)
{
    bool fits = list->n >= kernel.reg_count;

    list->n = kernel.reg_count;
    for (unsigned i = 0; fits && i < kernel.reg_count; i++)
        list->reg[i] = kernel.regs[i].id;
    return fits ? 0 : -E2BIG;
}

static int fake_run(void)
{
    struct kvm_run *run = kernel.run;

    kernel.runs++;
    kernel.has_run = true;
    return run->immediate_exit ? -EINTR : kernel.script(run);
}

static int fake_ioctl(unsigned long request, void *argument)
{
    switch (request) {
    case KVM_GET_API_VERSION: return 12;
    case KVM_GET_VCPU_MMAP_SIZE: return RUN_SIZE;
    case KVM_CHECK_EXTENSION:
        switch ((uintptr_t)argument) {
        case KVM_CAP_USER_MEMORY:
        case KVM_CAP_IMMEDIATE_EXIT:
        case KVM_CAP_SET_GUEST_DEBUG: return 1;
        case KVM_CAP_MAX_VCPUS: return 8;
        case KVM_CAP_NR_MEMSLOTS: return 32;
        case KVM_CAP_VM_GPA_BITS: return 50;
        default: return 0;
        }
    case KVM_CREATE_VM: return memory_file(1);
    case KVM_CREATE_VCPU: {
        int fd = memory_file(RUN_SIZE);

        kernel.run = mmap(NULL, RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        return fd;
    }
    case KVM_RUN: return fake_run();
    case KVM_GET_ONE_REG: return access_reg(argument, false);
    case KVM_SET_ONE_REG: return access_reg(argument, true);
    case KVM_GET_REG_LIST: return list_regs(argument);
    case KVM_SET_MP_STATE: kernel.mp_state = ((struct kvm_mp_state *)argument)->mp_state; return 0;
    case KVM_SET_GUEST_DEBUG:
        kernel.debug_control = ((struct kvm_guest_debug *)argument)->control;
        return 0;
    default: return 0;
    }
}

/* ---- a VM with one vCPU in that kernel ---- */

static struct {
    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vm *vm;
    visor_vcpu *vcpu;
    visor_exit *exit;
} box;

static bool start(uint32_t id, int (*script)(struct kvm_run *run))
{
    static const visor_memory_region region = {.gpa = 0x80000000, .length = 0x10000};

    memset(&kernel, 0, sizeof(kernel));
    memset(&box, 0, sizeof(box));
    kernel.script = script;
    CHECK_OK(visor_hypervisor_open(&box.hv, "kvm[device=/dev/null]"));
    CHECK_OK(visor_memory_create(&box.memory, &region, 1, NULL));
    if (box.hv == NULL || box.memory == NULL)
        return false;
    CHECK_OK(visor_vm_create(&box.vm, box.hv, box.memory, NULL));
    if (box.vm == NULL || !CHECK_OK(visor_vcpu_create(&box.vcpu, box.vm, id)))
        return false;
    box.exit = visor_vcpu_exit(box.vcpu);
    return true;
}

static void stop(void)
{
    visor_vcpu_free(box.vcpu);
    visor_vm_free(box.vm);
    visor_memory_free(box.memory);
    visor_hypervisor_free(box.hv);
    if (kernel.run != NULL)
        munmap(kernel.run, RUN_SIZE);
}

#define CORE(n) (UINT64_C(0x8030000002000000) + (n))

/* ---- exits ---- */

static int sbi_then_csr(struct kvm_run *run)
{
    memset(run->padding, 0, sizeof(run->padding));
    if (kernel.step++ == 0) {
        run->exit_reason = KVM_EXIT_RISCV_SBI;
        run->riscv_sbi.extension_id = 0x09000000;
        run->riscv_sbi.function_id = 7;
        run->riscv_sbi.args[5] = 6;
        run->riscv_sbi.ret[0] = (unsigned long)-2;
    } else {
        run->exit_reason = KVM_EXIT_RISCV_CSR;
        run->riscv_csr.csr_num = 0x15;
        run->riscv_csr.new_value = 5;
        run->riscv_csr.write_mask = 4;
    }
    return 0;
}

TEST(calls_and_csrs_are_answered)
{
    if (start(0, sbi_then_csr)) {
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_SBI);
        CHECK_INT(box.exit->hypercall.extension, 0x09000000);
        CHECK_INT(box.exit->hypercall.number, 7);
        CHECK_INT(box.exit->hypercall.args[5], 6);
        CHECK_INT(box.exit->hypercall.result_count, 2);
        CHECK_INT((int64_t)box.exit->hypercall.results[0], -2); /* not supported */
        box.exit->hypercall.results[0] = 0;
        box.exit->hypercall.results[1] = 99;
        CHECK_INT(visor_vcpu_settle(box.vcpu), VISOR_EXIT_NONE);
        CHECK_INT(kernel.run->exit_reason, KVM_EXIT_RISCV_SBI); /* how KVM finds the answer */
        CHECK_INT(kernel.run->riscv_sbi.ret[0], 0);
        CHECK_INT(kernel.run->riscv_sbi.ret[1], 99);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_CSR);
        CHECK_INT(box.exit->csr.csr, 0x15);
        CHECK_INT(box.exit->csr.new_value, 5);
        CHECK_INT(box.exit->csr.write_mask, 4);
        CHECK_INT(box.exit->csr.value, 0);
        box.exit->csr.value = 1234;
        CHECK_INT(visor_vcpu_settle(box.vcpu), VISOR_EXIT_NONE);
        CHECK_INT(kernel.run->riscv_csr.ret_value, 1234);
    }
    stop();
}

static int resets(struct kvm_run *run)
{
    memset(run->padding, 0, sizeof(run->padding));
    run->exit_reason = KVM_EXIT_SYSTEM_EVENT;
    run->system_event.type =
        kernel.step++ == 0 ? KVM_SYSTEM_EVENT_RESET : KVM_SYSTEM_EVENT_SHUTDOWN;
    run->system_event.ndata = 1;
    run->system_event.data[0] = 1; /* system failure */
    return 0;
}

TEST(a_reset_has_its_type)
{
    if (start(0, resets)) {
        add_reg(CORE(17), 0x53525354); /* SRST */
        add_reg(CORE(10), 2);          /* warm */
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_SYSTEM_EVENT);
        CHECK_INT(box.exit->system.type, VISOR_SYSTEM_RESET);
        CHECK_INT(box.exit->system.data_count, 2);
        CHECK_INT(box.exit->system.data[0], 1);
        CHECK_INT(box.exit->system.data[1], 2);
        *reg_of(CORE(17)) = 8; /* the shutdown of SBI 0.1 has no type */
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_SYSTEM_EVENT);
        CHECK_INT(box.exit->system.type, VISOR_SYSTEM_SHUTDOWN);
        CHECK_INT(box.exit->system.data_count, 1);
    }
    stop();
}

static int fails(struct kvm_run *run)
{
    (void)run;
    switch (kernel.step++) {
    case 0: return -EIO;
    case 1: return -EOPNOTSUPP;
    default: return -EFAULT;
    }
}

TEST(an_access_that_kvm_does_not_complete_is_an_exit)
{
    if (start(0, fails)) {
        add_reg(CORE(0), 0x80001234);
        for (int i = 0; i < 2; i++) {
            CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_INTERNAL_ERROR);
            CHECK_INT(box.exit->internal.suberror, 1);
            CHECK_INT(box.exit->internal.data_count, 1);
            CHECK_INT(box.exit->internal.data[0], 0x80001234);
        }
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_ESYSTEM); /* not the guest's doing */
    }
    stop();
}

static int mmio_read(struct kvm_run *run)
{
    run->exit_reason = KVM_EXIT_MMIO;
    run->mmio.phys_addr = 0x1000;
    run->mmio.len = 8;
    run->mmio.is_write = 0;
    return 0;
}

TEST(an_access_is_completed_before_state_is_set)
{
    if (start(0, mmio_read)) {
        add_reg(CORE(0), 0);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_MMIO);
        CHECK_INT(kernel.runs, 1);
        visor_io_set_value(&box.exit->io, 77);
        CHECK_OK(visor_riscv_set_reg(box.vcpu, VISOR_RISCV_REG(VISOR_RISCV_CORE, 0), 0x80000000));
        CHECK_INT(kernel.runs, 2);
        CHECK_INT(kernel.run->mmio.data[0], 77);
        CHECK_OK(visor_riscv_set_reg(box.vcpu, VISOR_RISCV_REG(VISOR_RISCV_CORE, 0), 0x80000000));
        CHECK_INT(kernel.runs, 2);
    }
    stop();
}

static int breakpoint(struct kvm_run *run)
{
    run->exit_reason = KVM_EXIT_DEBUG;
    return 0;
}

TEST(breakpoints_but_no_steps)
{
    visor_debug_config config = VISOR_DEBUG_CONFIG_INIT;

    if (start(0, breakpoint)) {
        add_reg(CORE(0), 0x80000010);
        config.software_breakpoints = true;
        CHECK_OK(visor_vcpu_set_debug(box.vcpu, &config));
        CHECK_INT(kernel.debug_control, 0x10001);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_DEBUG);
        CHECK_INT(box.exit->debug.pc, 0x80000010);
        CHECK(!box.exit->debug.single_step);
        config.single_step = true;
        CHECK_INT(visor_vcpu_set_debug(box.vcpu, &config), VISOR_EUNSUPPORTED);
        CHECK_OK(visor_vcpu_set_debug(box.vcpu, NULL));
        CHECK_INT(kernel.debug_control, 0);
        CHECK_INT(visor_vm_cap(box.vm, VISOR_CAP_DEBUG), 0); /* which means steps */
    }
    stop();
}

/* ---- state ---- */

TEST(only_vcpu_0_starts_by_itself)
{
    if (start(0, fails))
        CHECK_INT(kernel.mp_state, KVM_MP_STATE_RUNNABLE);
    stop();
    if (start(3, fails))
        CHECK_INT(kernel.mp_state, KVM_MP_STATE_STOPPED);
    stop();
}

TEST(the_width_of_addresses_is_asked_for)
{
    if (start(0, fails)) {
        CHECK_INT(visor_hypervisor_cap(box.hv, VISOR_CAP_GPA_BITS), 50);
        CHECK_INT(visor_vm_cap(box.vm, VISOR_CAP_GPA_BITS), 50);
    }
    stop();
}

TEST(what_describes_the_hart_is_compared)
{
    visor_reg regs[4];
    const uint64_t zba = UINT64_C(0x8030000007000011), zbb = UINT64_C(0x803000000700000d);

    if (start(0, fails)) {
        add_reg(zba, 1);
        add_reg(CORE(0), 0);
        add_reg(zbb, 0);
        CHECK_INT(visor_riscv_get_group(regs, 4, box.vcpu, VISOR_RISCV_ISA), 2);
        CHECK_INT(regs[0].id, VISOR_RISCV_REG(VISOR_RISCV_ISA, 17));
        CHECK_INT(regs[1].value, 0);
        regs[1].value = 1;
        CHECK_OK(visor_riscv_set_group(box.vcpu, VISOR_RISCV_ISA, regs, 2));
        CHECK_INT(*reg_of(zbb), 1);
        kernel.has_run = true;
        CHECK_OK(visor_riscv_set_group(box.vcpu, VISOR_RISCV_ISA, regs, 2));
        regs[0].value = 0;
        CHECK_INT(visor_riscv_set_group(box.vcpu, VISOR_RISCV_ISA, regs, 2), VISOR_EMISMATCH);
        CHECK_INT(visor_riscv_set_reg(box.vcpu, VISOR_RISCV_REG(VISOR_RISCV_ISA, 17), 0),
                  VISOR_EREFUSED);
        /* What neither has is no difference. */
        regs[0].id = VISOR_RISCV_REG(VISOR_RISCV_ISA, 60);
        CHECK_OK(visor_riscv_set_group(box.vcpu, VISOR_RISCV_ISA, regs, 1));
        regs[0].value = 1;
        CHECK_INT(visor_riscv_set_group(box.vcpu, VISOR_RISCV_ISA, regs, 1), VISOR_EMISMATCH);
        CHECK_INT(visor_riscv_set_group(box.vcpu, VISOR_RISCV_SBI, regs, 1), VISOR_EINVAL);
    }
    stop();
}

TEST(narrow_floating_point_registers_are_boxed)
{
    visor_riscv_fp fp = {0};

    if (start(0, fails)) {
        CHECK_INT(visor_riscv_get_fp(&fp, box.vcpu), VISOR_EUNSUPPORTED);
        for (unsigned i = 0; i <= 32; i++)
            add_reg(UINT64_C(0x8020000005000000) + i, i);
        CHECK_OK(visor_riscv_get_fp(&fp, box.vcpu));
        CHECK_INT(fp.f[31], UINT64_C(0xffffffff0000001f));
        CHECK_INT(fp.fcsr, 32);
        CHECK_OK(visor_riscv_set_fp(box.vcpu, &fp));
        CHECK_INT(*reg_of(UINT64_C(0x802000000500001f)), 31);
    }
    stop();
}

TEST(vectors_are_an_image)
{
    uint8_t image[40 + 32 * 16];

    if (start(0, fails)) {
        CHECK_INT(visor_riscv_get_vector(image, sizeof(image), box.vcpu), 0);
        CHECK_OK(visor_riscv_set_vector(box.vcpu, NULL, 0));
        for (unsigned i = 0; i < 5; i++)
            add_reg(UINT64_C(0x8030000009000000) + i, i == 4 ? 8 : i);
        for (unsigned i = 0; i < 32; i++)
            add_reg(UINT64_C(0x8030000009000006) + i, 100 + i);
        CHECK_INT(visor_riscv_get_vector(image, sizeof(image), box.vcpu), 40 + 32 * 8);
        CHECK_INT(image[24], 3);
        CHECK_INT(image[32], 8);
        CHECK_INT(image[40 + 31 * 8], 131);
        image[40 + 31 * 8] = 1;
        CHECK_OK(visor_riscv_set_vector(box.vcpu, image, 40 + 32 * 8));
        CHECK_INT(*reg_of(UINT64_C(0x8030000009000025)), 1);
        CHECK_INT(visor_riscv_set_vector(box.vcpu, image, 40 + 32 * 16), VISOR_EMISMATCH);
        image[32] = 16;
        CHECK_INT(visor_riscv_set_vector(box.vcpu, image, 40 + 32 * 8), VISOR_EMISMATCH);
    }
    stop();
}

#define TIMER(n) (UINT64_C(0x8030000004000000) + (n))

TEST(a_comparator_is_armed_by_its_value)
{
    visor_riscv_timer timer;

    if (start(0, fails)) {
        add_reg(UINT64_C(0x8030000007000008), 1); /* Sstc */
        add_reg(TIMER(0), 10000000);
        add_reg(TIMER(1), 500);
        add_reg(TIMER(2), UINT64_MAX);
        add_reg(TIMER(3), 7); /* must not be touched: KVM would compare with it */
        CHECK_OK(visor_riscv_get_timer(&timer, box.vcpu));
        CHECK_INT(timer.armed, 0);
        timer.time = 1000;
        timer.compare = 2000;
        timer.armed = 1;
        CHECK_OK(visor_riscv_set_timer(box.vcpu, &timer));
        CHECK_INT(*reg_of(TIMER(1)), 1000);
        CHECK_INT(*reg_of(TIMER(2)), 2000);
        CHECK_INT(*reg_of(TIMER(3)), 7);
        timer.armed = 0;
        CHECK_OK(visor_riscv_set_timer(box.vcpu, &timer));
        CHECK(*reg_of(TIMER(2)) == UINT64_MAX);
        timer.frequency++;
        CHECK_INT(visor_riscv_set_timer(box.vcpu, &timer), VISOR_EMISMATCH);
    }
    stop();
}

UNIT_MAIN()
