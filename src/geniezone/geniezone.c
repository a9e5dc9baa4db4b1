/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Geniezone, the hypervisor of MediaTek's phones: /dev/gzvm, android14-6.1 and later. The code is
 * in twin/, what is Geniezone's alone is here.
 */
#include "linux_gzvm.h"
#include "twin/twin.h"

/* Drivers take care of GZ, IDLE and IPI themselves; an older one that does not know them lets them
 * out, and nothing is lost by running on. */
static const struct twin_exit exits[] = {
    {GZVM_EXIT_MMIO, VISOR_EXIT_MMIO},
    {GZVM_EXIT_HYPERCALL, VISOR_EXIT_HYPERCALL},
    {GZVM_EXIT_IRQ, VISOR_EXIT_IRQ_WINDOW},
    {GZVM_EXIT_EXCEPTION, VISOR_EXIT_EXCEPTION},
    {GZVM_EXIT_DEBUG, VISOR_EXIT_DEBUG},
    {GZVM_EXIT_FAIL_ENTRY, VISOR_EXIT_FAIL_ENTRY},
    {GZVM_EXIT_INTERNAL_ERROR, VISOR_EXIT_INTERNAL_ERROR},
    {GZVM_EXIT_SYSTEM_EVENT, VISOR_EXIT_SYSTEM_EVENT},
    {GZVM_EXIT_SHUTDOWN, VISOR_EXIT_SHUTDOWN},
    {GZVM_EXIT_GZ, VISOR_EXIT_INTR},
    {GZVM_EXIT_IDLE, VISOR_EXIT_INTR},
    {GZVM_EXIT_IPI, VISOR_EXIT_INTR},
    {0, VISOR_EXIT_NONE},
};

/* There is one type. */
static unsigned long vm_type(const visor_vm *vm)
{
    (void)vm;
    return 0;
}

static const struct twin geniezone = {
    .name = "geniezone",
    .title = "Geniezone",
    .default_path = "/dev/gzvm",
    .create_vm = TWIN_REQUEST(GZVM_CREATE_VM),
    .check_extension = TWIN_REQUEST(GZVM_CHECK_EXTENSION),
    .enable_cap = TWIN_REQUEST(GZVM_ENABLE_CAP),
    .set_dtb = TWIN_REQUEST(GZVM_SET_DTB_CONFIG),
    .create_vcpu = TWIN_REQUEST(GZVM_CREATE_VCPU),
    .run = TWIN_REQUEST(GZVM_RUN),
    .set_reg = TWIN_REQUEST(GZVM_SET_ONE_REG),
    .set_memory = TWIN_REQUEST(GZVM_SET_USER_MEMORY_REGION),
    .irqfd = TWIN_REQUEST(GZVM_IRQFD),
    .irq_line = TWIN_REQUEST(GZVM_IRQ_LINE),
    .create_device = TWIN_REQUEST(GZVM_CREATE_DEVICE),
    .ioeventfd = TWIN_REQUEST(GZVM_IOEVENTFD),
    .cap_gpa_size = GZVM_CAP_VM_GPA_SIZE,
    .cap_protected = GZVM_CAP_PROTECTED_VM,
    .max_vcpus = GZVM_MAX_VCPUS,
    .max_slots = GZVM_MAX_MEM_REGION,
    .swiotlb_region = true,
    .protect_after_firmware = true,
    .exits = exits,
    .vm_type = vm_type,
};

static int geniezone_open(visor_hypervisor *hv)
{
    return twin_open(hv, &geniezone);
}

static const struct visor__hv_ops hv_ops = {TWIN_HV_OPS_COMMON, .open = geniezone_open};

const struct visor_backend visor__geniezone_backend = {
    TWIN_BACKEND_COMMON,
    .name = "geniezone",
    .summary = "Geniezone of MediaTek's phones (/dev/gzvm)",
    .hv = &hv_ops,
};
