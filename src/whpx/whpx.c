/* SPDX-License-Identifier: BSD-3-Clause */
/* The Windows Hypervisor Platform as a backend: capabilities, the structure that ties it together.
 */
#include "whpx/whpx.h"

/* Hyper-V's own limit for a partition is higher; src/irqchip/ has APIC ids up to 254. */
#define MAX_VCPUS 64
#define MAX_SLOTS 256

static int hv_open(visor_hypervisor *hv)
{
    int ret = visor__mutex_init(&whpx_hv_of(hv)->lock);

    if (ret < 0)
        return ret;
    ret = whpx_library_open(hv);
    if (ret < 0)
        visor__mutex_destroy(&whpx_hv_of(hv)->lock);
    return ret;
}

static void hv_close(visor_hypervisor *hv)
{
    visor__mutex_destroy(&whpx_hv_of(hv)->lock);
    whpx_library_close(hv);
}

static int64_t hv_cap(visor_hypervisor *hv, visor_cap cap)
{
    const struct whpx_hv *whpx = whpx_hv_of(hv);

    switch (cap) {
    case VISOR_CAP_MAX_VCPUS: return MAX_VCPUS;
    case VISOR_CAP_MAX_SLOTS: return MAX_SLOTS;
    case VISOR_CAP_READ_ONLY:
    case VISOR_CAP_MP_STATE:
    case VISOR_CAP_X86_XCRS:
    case VISOR_CAP_X86_MSR_EXITS:
    case VISOR_CAP_X86_TSC_OFFSET:
    case VISOR_CAP_X86_TSC_DEADLINE:
    case VISOR_CAP_IRQCHIP:
    case VISOR_CAP_IRQCHIP_SPLIT:
    case VISOR_CAP_IRQFD_RESAMPLE: return 1;
    case VISOR_CAP_DEBUG: return whpx->exits.ExceptionExit && (whpx->exceptions & 0xa) == 0xa;
    case VISOR_CAP_HW_BREAKPOINTS:
        return whpx->exits.ExceptionExit && (whpx->exceptions & 0xa) == 0xa ? 4 : 0;
    case VISOR_CAP_DIRTY_LOG:
        return whpx->features.DirtyPageTracking && whpx->call.QueryGpaRangeDirtyBitmap != NULL;
    case VISOR_CAP_GPA_BITS: return whpx_survey(hv) == 0 ? whpx->gpa_bits : 0;
    case VISOR_CAP_X86_XSAVE_SIZE: return whpx_survey(hv) == 0 ? whpx->xsave_size : 0;
    default: return 0;
    }
}

static const struct visor__hv_ops hv_ops = {
    .open = hv_open,
    .close = hv_close,
    .cap = hv_cap,
    .x86_cpuid = whpx_x86_cpuid,
    .x86_msr_list = whpx_msr_list,
};

static const struct visor__x86_ops x86_ops = {
    .ready_for_interrupt = whpx_ready_for_interrupt,
    .interrupt = whpx_interrupt,
    .request_irq_window = whpx_request_irq_window,
    .nmi = whpx_nmi,
    .get_msrs = whpx_get_msrs,
    .set_msrs = whpx_set_msrs,
    .get_chip = visor__irqchip_get_chip,
    .set_chip = visor__irqchip_set_chip,
    .set_msr_exits = whpx_set_msr_exits,
    .get_tsc_hz = whpx_get_tsc_hz,
};

static const struct visor__option options[] = {
    {"library", "path of WinHvPlatform.dll (beside the program, or the system's)"},
    {NULL, NULL},
};

const struct visor_backend visor__whpx_backend = {
    .name = "whpx",
    .summary = "Windows Hypervisor Platform (WinHvPlatform.dll)",
    .is_auto = true,
    .arches = 1u << VISOR_ARCH_X86_64,
    .hv_size = sizeof(struct whpx_hv),
    .vm_size = sizeof(struct whpx_vm),
    .vcpu_size = sizeof(struct whpx_vcpu),
    .options = options,
    .hv = &hv_ops,
    .vm = &whpx_vm_ops,
    .vcpu = &whpx_vcpu_ops,
    .irq = &visor__irqchip_irq_ops,
    .dirty = &whpx_dirty_ops,
    .debug = &whpx_debug_ops,
    .x86 = &x86_ops,
};
