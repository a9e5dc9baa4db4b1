/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Halla, the hypervisor of Samsung's Exynos: /dev/halla, android14-6.1 and later. The code is in
 * twin/, what is Halla's alone is here.
 */
#include "linux_halla.h"

#include <stddef.h>

#include "twin/twin.h"

/* The code in twin/ uses Geniezone's structures for both, so they have to be the same. */
#define SAME_SIZE(halla, gz) \
    _Static_assert(sizeof(struct halla) == sizeof(struct gz), #halla " is not laid out like " #gz)
#define SAME(halla, gz, member)                                                                 \
    _Static_assert(offsetof(struct halla, member) == offsetof(struct gz, member) &&             \
                       sizeof(((struct halla *)0)->member) == sizeof(((struct gz *)0)->member), \
                   #halla "." #member " is elsewhere in " #gz)
SAME_SIZE(hvm_userspace_memory_region, gzvm_userspace_memory_region);
SAME(hvm_userspace_memory_region, gzvm_userspace_memory_region, slot);
SAME(hvm_userspace_memory_region, gzvm_userspace_memory_region, flags);
SAME(hvm_userspace_memory_region, gzvm_userspace_memory_region, guest_phys_addr);
SAME(hvm_userspace_memory_region, gzvm_userspace_memory_region, memory_size);
SAME(hvm_userspace_memory_region, gzvm_userspace_memory_region, userspace_addr);
SAME_SIZE(hvm_irq_level, gzvm_irq_level);
SAME(hvm_irq_level, gzvm_irq_level, irq);
SAME(hvm_irq_level, gzvm_irq_level, level);
SAME_SIZE(hvm_irqfd, gzvm_irqfd);
SAME(hvm_irqfd, gzvm_irqfd, fd);
SAME(hvm_irqfd, gzvm_irqfd, gsi);
SAME(hvm_irqfd, gzvm_irqfd, flags);
SAME_SIZE(hvm_ioeventfd, gzvm_ioeventfd);
SAME(hvm_ioeventfd, gzvm_ioeventfd, datamatch);
SAME(hvm_ioeventfd, gzvm_ioeventfd, addr);
SAME(hvm_ioeventfd, gzvm_ioeventfd, len);
SAME(hvm_ioeventfd, gzvm_ioeventfd, fd);
SAME(hvm_ioeventfd, gzvm_ioeventfd, flags);
SAME_SIZE(hvm_enable_cap, gzvm_enable_cap);
SAME(hvm_enable_cap, gzvm_enable_cap, cap);
SAME(hvm_enable_cap, gzvm_enable_cap, args);
SAME_SIZE(hvm_one_reg, gzvm_one_reg);
SAME(hvm_one_reg, gzvm_one_reg, id);
SAME(hvm_one_reg, gzvm_one_reg, addr);
SAME_SIZE(hvm_create_device, gzvm_create_device);
SAME(hvm_create_device, gzvm_create_device, dev_type);
SAME(hvm_create_device, gzvm_create_device, dev_addr);
SAME(hvm_create_device, gzvm_create_device, dev_reg_size);
SAME_SIZE(hvm_dtb_config, gzvm_dtb_config);
SAME(hvm_dtb_config, gzvm_dtb_config, dtb_addr);
SAME(hvm_dtb_config, gzvm_dtb_config, dtb_size);
SAME_SIZE(hvm_regs, gzvm_regs);
SAME(hvm_regs, gzvm_regs, regs);
SAME(hvm_regs, gzvm_regs, sp_el1);
SAME(hvm_regs, gzvm_regs, elr_el1);
SAME(hvm_regs, gzvm_regs, spsr);
SAME_SIZE(hvm_vcpu_run, gzvm_vcpu_run);
SAME(hvm_vcpu_run, gzvm_vcpu_run, exit_reason);
SAME(hvm_vcpu_run, gzvm_vcpu_run, immediate_exit);
SAME(hvm_vcpu_run, gzvm_vcpu_run, mmio);
SAME(hvm_vcpu_run, gzvm_vcpu_run, mmio.data);
SAME(hvm_vcpu_run, gzvm_vcpu_run, mmio.size);
SAME(hvm_vcpu_run, gzvm_vcpu_run, mmio.is_write);
SAME(hvm_vcpu_run, gzvm_vcpu_run, exception);
SAME(hvm_vcpu_run, gzvm_vcpu_run, exception.fault_gpa);
SAME(hvm_vcpu_run, gzvm_vcpu_run, system_event);
SAME(hvm_vcpu_run, gzvm_vcpu_run, system_event.data);
SAME(hvm_vcpu_run, gzvm_vcpu_run, padding);

#define SAME_VALUE(halla, gz) _Static_assert((halla) == (gz), #halla " is not " #gz)
SAME_VALUE(HVM_USER_MEM_REGION_GUEST_MEM, GZVM_USER_MEM_REGION_GUEST_MEM);
SAME_VALUE(HVM_USER_MEM_REGION_PROTECT_FW, GZVM_USER_MEM_REGION_PROTECT_FW);
SAME_VALUE(HVM_USER_MEM_REGION_STATIC_SWIOTLB, GZVM_USER_MEM_REGION_STATIC_SWIOTLB);
SAME_VALUE(HVM_CAP_PVM_SET_PVMFW_GPA, GZVM_CAP_PVM_SET_PVMFW_GPA);
SAME_VALUE(HVM_CAP_PVM_GET_PVMFW_SIZE, GZVM_CAP_PVM_GET_PVMFW_SIZE);
SAME_VALUE(HVM_CAP_PVM_SET_PROTECTED_VM, GZVM_CAP_PVM_SET_PROTECTED_VM);
SAME_VALUE(HVM_IRQFD_FLAG_DEASSIGN, GZVM_IRQFD_FLAG_DEASSIGN);
SAME_VALUE(HVM_IOEVENTFD_FLAG_DATAMATCH, GZVM_IOEVENTFD_FLAG_DATAMATCH);
SAME_VALUE(HVM_IOEVENTFD_FLAG_DEASSIGN, GZVM_IOEVENTFD_FLAG_DEASSIGN);
SAME_VALUE(HVM_DEV_TYPE_ARM_VGIC_V3_DIST, GZVM_DEV_TYPE_ARM_VGIC_V3_DIST);
SAME_VALUE(HVM_DEV_TYPE_ARM_VGIC_V3_REDIST, GZVM_DEV_TYPE_ARM_VGIC_V3_REDIST);
SAME_VALUE(HVM_EXCEPTION_PAGE_FAULT, GZVM_EXCEPTION_PAGE_FAULT);
SAME_VALUE(HVM_SYSTEM_EVENT_SUSPEND, GZVM_SYSTEM_EVENT_SUSPEND);
SAME_VALUE(HVM_IRQ_TYPE_SPI, GZVM_IRQ_TYPE_SPI);
SAME_VALUE(HVM_IRQ_LINE_TYPE, (unsigned)GZVM_IRQ_TYPE_MASK << GZVM_IRQ_TYPE_SHIFT);
SAME_VALUE(HVM_IRQ_LINE_NUM, GZVM_IRQ_NUM_MASK);

/* The driver takes care of HALLA, IDLE and SGI itself; an older one that does not know them lets
 * them out, and nothing is lost by running on. */
static const struct twin_exit exits[] = {
    {HVM_EXIT_MMIO, VISOR_EXIT_MMIO},
    {HVM_EXIT_IRQ, VISOR_EXIT_IRQ_WINDOW},
    {HVM_EXIT_EXCEPTION, VISOR_EXIT_EXCEPTION},
    {HVM_EXIT_INTERNAL_ERROR, VISOR_EXIT_INTERNAL_ERROR},
    {HVM_EXIT_SYSTEM_EVENT, VISOR_EXIT_SYSTEM_EVENT},
    {HVM_EXIT_SHUTDOWN, VISOR_EXIT_SHUTDOWN},
    {HVM_EXIT_HALLA, VISOR_EXIT_INTR},
    {HVM_EXIT_IDLE, VISOR_EXIT_INTR},
    {HVM_EXIT_SGI, VISOR_EXIT_INTR},
    {0, VISOR_EXIT_NONE},
};

/* Width of guest addresses and, unlike Geniezone, whether the VM is protected. */
static unsigned long vm_type(const visor_vm *vm)
{
    unsigned bits = vm->config.gpa_bits != 0 ? vm->config.gpa_bits : twin_hv_of(vm->hv)->gpa_bits;
    bool isolates = vm->config.protection != VISOR_UNPROTECTED &&
                    vm->config.protection != VISOR_UNPROTECTED_FIRMWARE;

    return (bits & HVM_VM_TYPE_IPA_SIZE_MASK) | (isolates ? HVM_VM_TYPE_ARM_PROTECTED : 0);
}

static const struct twin halla = {
    .name = "halla",
    .title = "Halla",
    .default_path = "/dev/halla",
    .create_vm = TWIN_REQUEST(HVM_CREATE_VM),
    .check_extension = TWIN_REQUEST(HVM_CHECK_EXTENSION),
    .enable_cap = TWIN_REQUEST(HVM_ENABLE_CAP),
    .set_dtb = TWIN_REQUEST(HVM_SET_DTB_CONFIG),
    .create_vcpu = TWIN_REQUEST(HVM_CREATE_VCPU),
    .run = TWIN_REQUEST(HVM_VCPU_RUN),
    .set_reg = TWIN_REQUEST(HVM_SET_ONE_REG),
    .set_memory = TWIN_REQUEST(HVM_SET_USER_MEMORY_REGION),
    .irqfd = TWIN_REQUEST(HVM_IRQFD),
    .irq_line = TWIN_REQUEST(HVM_IRQ_LINE),
    .create_device = TWIN_REQUEST(HVM_CREATE_DEVICE),
    .ioeventfd = TWIN_REQUEST(HVM_IOEVENTFD),
    .cap_gpa_size = HVM_CAP_VM_GPA_SIZE,
    .cap_protected = HVM_CAP_PROTECTED_VM,
    .max_vcpus = HVM_MAX_VCPUS,
    .max_slots = HVM_MAX_MEM_REGION,
    .narrow_vms = true,
    .exits = exits,
    .vm_type = vm_type,
};

static int halla_open(visor_hypervisor *hv)
{
    return twin_open(hv, &halla);
}

static const struct visor__hv_ops hv_ops = {TWIN_HV_OPS_COMMON, .open = halla_open};

const struct visor_backend visor__halla_backend = {
    TWIN_BACKEND_COMMON,
    .name = "halla",
    .summary = "Halla of Samsung's Exynos (/dev/halla)",
    .hv = &hv_ops,
};
