/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kernel of AArch64 that is played here: this program's own ioctl() stands in for libc's. It
 * keeps registers, remembers what it was told, and a script is its guest.
 */
#ifndef VISOR_TESTS_FAKE_KVM_AARCH64_H
#define VISOR_TESTS_FAKE_KVM_AARCH64_H

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_ioctl.h"
#include "kvm/kvm_aarch64.h"

#define RUN_SIZE 8192
#define REGS     4096

#define PC_ID     UINT64_C(0x6030000000100040)
#define X_ID(n)   (UINT64_C(0x6030000000100000) + 2 * (n))
#define GUEST_GPA UINT64_C(0x80000000)

struct fake_reg {
    uint64_t id;
    uint8_t value[256];
    bool fixed; /* setting it is EINVAL */
};

static struct {
    int caps[512]; /* by number */
    struct fake_reg regs[REGS];
    size_t reg_count;
    struct kvm_run *run;
    int (*script)(struct kvm_run *run); /* what the guest does; 0 or -errno */
    int step, runs;
    unsigned long vm_type;
    struct kvm_vcpu_init init[2]; /* first and last */
    unsigned inits, finalized;
    uint64_t lengths; /* of SVE, as they were set last */
    struct kvm_guest_debug debug;
    struct kvm_enable_cap enabled;
    struct kvm_userspace_memory_region region;
    struct kvm_irq_level line;
    struct kvm_arm_counter_offset offset;
    struct kvm_smccc_filter filter;
    struct kvm_arm_copy_mte_tags tags;
    int tag_calls;
    struct {
        uint32_t group;
        uint64_t attr;
        uint64_t value;
        bool has_value;
    } attrs[8];
    unsigned attr_count;
    int attr_error; /* of KVM_SET_DEVICE_ATTR */
    bool no_attrs;  /* a kernel that does not know them */
} kernel;

static inline int memory_file(size_t length)
{
    int fd = memfd_create("fake", MFD_CLOEXEC);

    return fd >= 0 && ftruncate(fd, (off_t)length) == 0 ? fd : -1;
}

static inline struct fake_reg *fake_reg(uint64_t id)
{
    for (size_t i = 0; i < kernel.reg_count; i++) {
        if (kernel.regs[i].id == id)
            return &kernel.regs[i];
    }
    return NULL;
}

static inline void fake_add(uint64_t id, uint64_t value)
{
    struct fake_reg *reg = &kernel.regs[kernel.reg_count++];

    memset(reg, 0, sizeof(*reg));
    reg->id = id;
    memcpy(reg->value, &value, sizeof(value));
}

static inline uint64_t fake_value(uint64_t id)
{
    const struct fake_reg *reg = fake_reg(id);
    uint64_t value = 0;

    if (reg != NULL)
        memcpy(&value, reg->value, sizeof(value));
    return value;
}

static inline void fake_set(uint64_t id, uint64_t value)
{
    struct fake_reg *reg = fake_reg(id);

    if (reg != NULL)
        memcpy(reg->value, &value, sizeof(value));
}

static inline int fake_one_reg(const struct kvm_one_reg *one, bool set)
{
    size_t size = (size_t)1 << ((one->id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT);
    void *value = (void *)(uintptr_t)one->addr;
    struct fake_reg *reg = fake_reg(one->id);

    if (one->id == KVM_REG_ARM64_SVE_VLS) {
        if (set)
            memcpy(&kernel.lengths, value, sizeof(kernel.lengths));
        else
            memcpy(value, &(uint64_t){0xb}, sizeof(uint64_t)); /* 128, 256 and 512 bits */
        return 0;
    }
    if (reg == NULL)
        return -ENOENT;
    if (set && reg->fixed)
        return -EINVAL;
    memcpy(set ? (void *)reg->value : value, set ? value : (void *)reg->value, size);
    return 0;
}

/* As KVM does it: the access is completed first, which moves the PC on. */
static inline int fake_run(void)
{
    struct kvm_run *run = kernel.run;

    kernel.runs++;
    if (run->exit_reason == KVM_EXIT_MMIO)
        fake_set(PC_ID, fake_value(PC_ID) + 4);
    run->exit_reason = KVM_EXIT_INTR;
    return run->immediate_exit ? -EINTR : kernel.script(run);
}

static inline int fake_attr(const struct kvm_device_attr *attr)
{
    unsigned n = kernel.attr_count++ % 8;

    kernel.attrs[n].group = attr->group;
    kernel.attrs[n].attr = attr->attr;
    kernel.attrs[n].has_value = attr->addr != 0;
    kernel.attrs[n].value = 0;
    if (attr->addr != 0)
        memcpy(&kernel.attrs[n].value, (void *)(uintptr_t)attr->addr,
               attr->group == KVM_ARM_VCPU_PMU_V3_CTRL && attr->attr == KVM_ARM_VCPU_PMU_V3_IRQ
                   ? sizeof(int)
                   : sizeof(uint64_t));
    if (kernel.attr_error == 0 && attr->addr != 0 && kernel.inits == 0)
        memcpy(&kernel.filter, (void *)(uintptr_t)attr->addr, sizeof(kernel.filter));
    return kernel.attr_error;
}

static inline int fake_tags(const struct kvm_arm_copy_mte_tags *copy)
{
    kernel.tags = *copy;
    kernel.tag_calls++;
    if (copy->flags == KVM_ARM_TAGS_FROM_GUEST)
        memset(copy->addr, kernel.tag_calls, 256);
    return 4096; /* a page, though more was asked for */
}

static inline int fake_list(struct kvm_reg_list *list)
{
    bool fits = list->n >= kernel.reg_count;

    list->n = kernel.reg_count;
    for (size_t i = 0; fits && i < kernel.reg_count; i++)
        list->reg[i] = kernel.regs[i].id;
    return fits ? 0 : -E2BIG;
}

static int fake_ioctl(unsigned long request, void *argument)
{
    uintptr_t number = (uintptr_t)argument;

    switch (request) {
    case KVM_GET_API_VERSION: return 12;
    case KVM_GET_VCPU_MMAP_SIZE: return RUN_SIZE;
    case KVM_CHECK_EXTENSION: return number < 512 ? kernel.caps[number] : 0;
    case KVM_CREATE_VM: kernel.vm_type = number; return memory_file(1);
    case KVM_CREATE_VCPU:
        number = (uintptr_t)memory_file(RUN_SIZE);
        if (kernel.run != NULL)
            munmap(kernel.run, RUN_SIZE);
        kernel.run = mmap(NULL, RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, (int)number, 0);
        return (int)number;
    case KVM_RUN: return fake_run();
    case KVM_ARM_PREFERRED_TARGET:
        memset(argument, 0, sizeof(struct kvm_vcpu_init));
        ((struct kvm_vcpu_init *)argument)->target = KVM_ARM_TARGET_GENERIC_V8;
        return 0;
    case KVM_ARM_VCPU_INIT:
        kernel.init[1] = *(struct kvm_vcpu_init *)argument;
        if (kernel.inits++ == 0)
            kernel.init[0] = kernel.init[1];
        return 0;
    case KVM_ARM_VCPU_FINALIZE: kernel.finalized |= 1u << *(int *)argument; return 0;
    case KVM_GET_ONE_REG: return fake_one_reg(argument, false);
    case KVM_SET_ONE_REG: return fake_one_reg(argument, true);
    case KVM_GET_REG_LIST: return fake_list(argument);
    case KVM_SET_GUEST_DEBUG: kernel.debug = *(struct kvm_guest_debug *)argument; return 0;
    case KVM_ENABLE_CAP: kernel.enabled = *(struct kvm_enable_cap *)argument; return 0;
    case KVM_HAS_DEVICE_ATTR: return kernel.no_attrs ? -ENOTTY : 0;
    case KVM_SET_DEVICE_ATTR: return fake_attr(argument);
    case KVM_IRQ_LINE: kernel.line = *(struct kvm_irq_level *)argument; return 0;
    case KVM_ARM_SET_COUNTER_OFFSET:
        kernel.offset = *(struct kvm_arm_counter_offset *)argument;
        return 0;
    case KVM_ARM_MTE_COPY_TAGS: return fake_tags(argument);
    case KVM_SET_USER_MEMORY_REGION:
        kernel.region = *(struct kvm_userspace_memory_region *)argument;
        return 0;
    default: return 0;
    }
}

/* ---- a VM in that kernel ---- */

static struct {
    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vm *vm;
    visor_vcpu *vcpu;
    visor_exit *exit;
} box;

/* General registers, and of the others what the assist looks at. */
static inline void fake_reset(void)
{
    memset(&kernel, 0, sizeof(kernel));
    kernel.caps[KVM_CAP_USER_MEMORY] = kernel.caps[KVM_CAP_IMMEDIATE_EXIT] = 1;
    kernel.caps[KVM_CAP_SET_GUEST_DEBUG] = 1;
    kernel.caps[KVM_CAP_MAX_VCPUS] = 8;
    kernel.caps[KVM_CAP_NR_MEMSLOTS] = 32;
    for (uint64_t i = 0; i < 34; i++)
        fake_add(X_ID(i), 0);
    fake_set(PC_ID, GUEST_GPA);
    fake_set(X_ID(33), 0x3c5);
    fake_add(0x6030000000100044, 0); /* SP_EL1 */
    fake_add(0x603000000013c080, 0); /* SCTLR_EL1 */
    fake_add(0x603000000013c102, 0); /* TCR_EL1 */
    fake_add(0x603000000013c100, 0); /* TTBR0_EL1 */
    fake_add(0x603000000013c101, 0); /* TTBR1_EL1 */
}

static inline bool box_open(const visor_vm_config *config)
{
    static const visor_memory_region region = {.gpa = GUEST_GPA, .length = 0x10000};

    memset(&box, 0, sizeof(box));
    CHECK_OK(visor_hypervisor_open(&box.hv, "kvm[device=/dev/null]"));
    CHECK_OK(visor_memory_create(&box.memory, &region, 1, NULL));
    return box.hv != NULL && box.memory != NULL &&
           CHECK_OK(visor_vm_create(&box.vm, box.hv, box.memory, config));
}

static inline bool box_vcpu(void)
{
    if (!CHECK_OK(visor_vcpu_create(&box.vcpu, box.vm, 0)))
        return false;
    box.exit = visor_vcpu_exit(box.vcpu);
    return true;
}

static inline void box_close(void)
{
    visor_vcpu_free(box.vcpu);
    visor_vm_free(box.vm);
    visor_memory_free(box.memory);
    visor_hypervisor_free(box.hv);
    if (kernel.run != NULL)
        munmap(kernel.run, RUN_SIZE);
    kernel.run = NULL;
}

#endif
