/* SPDX-License-Identifier: BSD-3-Clause */
/* The software CPU as a backend: opening it, capabilities, the structure that ties it together. */
#include "soft/soft.h"

#include <stdio.h>
#include <string.h>

#include "irqchip/irqchip.h"
#include "soft/system.h"
#include "soft/xstate.h"

static int hv_open(visor_hypervisor *hv)
{
    const char *deterministic = visor__option_get(hv, "deterministic");

    if (deterministic != NULL && strcmp(deterministic, "on") != 0 &&
        strcmp(deterministic, "off") != 0)
        return visor__error(VISOR_EINVAL, "soft", "open", "deterministic=%s: on or off",
                            deterministic);
    soft_hv_of(hv)->deterministic = deterministic != NULL && strcmp(deterministic, "on") == 0;
    snprintf(hv->version, sizeof(hv->version), "%s", visor_version());
    return 0;
}

static void hv_close(visor_hypervisor *hv)
{
    (void)hv; /* nothing was opened */
}

static int64_t hv_cap(visor_hypervisor *hv, visor_cap cap)
{
    (void)hv;
    switch (cap) {
    case VISOR_CAP_MAX_VCPUS: return SOFT_MAX_CPUS;
    case VISOR_CAP_MAX_SLOTS: return 512;
    case VISOR_CAP_HYPERCALLS: return SOFT_HYPERCALLS;
    case VISOR_CAP_HW_BREAKPOINTS: return 4;
    case VISOR_CAP_GPA_BITS: return 40;
    case VISOR_CAP_X86_XSAVE_SIZE: return SOFT_XSAVE_SIZE;
    case VISOR_CAP_X86_XCRS:
    case VISOR_CAP_X86_MSR_EXITS:
    case VISOR_CAP_X86_BUS_LOCK:
    case VISOR_CAP_X86_TSC_OFFSET:
    case VISOR_CAP_DEBUG:
    case VISOR_CAP_READ_ONLY:
    case VISOR_CAP_MP_STATE:
    case VISOR_CAP_IRQCHIP:
    case VISOR_CAP_IRQCHIP_SPLIT:
    case VISOR_CAP_IRQFD_RESAMPLE:
    case VISOR_CAP_X86_TSC_DEADLINE:
    case VISOR_CAP_SYNC_REGS: return 1;
    default: return 0;
    }
}

static int hv_x86_cpuid(visor_x86_cpuid_entry *out, size_t capacity, visor_hypervisor *hv)
{
    size_t count = soft_cpuid_supported(out, capacity);

    (void)hv;
    count += count < capacity ? soft_clock_cpuid(out + count, capacity - count)
                              : soft_clock_cpuid(NULL, 0);
    return (int)count;
}

static int hv_x86_msr_list(uint32_t *out, size_t capacity, visor_hypervisor *hv)
{
    size_t count = soft_msr_list(out, capacity);

    (void)hv;
    count += count < capacity ? soft_clock_msr_list(out + count, capacity - count)
                              : soft_clock_msr_list(NULL, 0);
    return (int)count;
}

static const struct visor__hv_ops hv_ops = {
    .open = hv_open,
    .close = hv_close,
    .cap = hv_cap,
    .x86_cpuid = hv_x86_cpuid,
    .x86_msr_list = hv_x86_msr_list,
};

static const struct visor__x86_ops x86_ops = {
    .ready_for_interrupt = soft_ready_for_interrupt,
    .interrupt = soft_interrupt,
    .request_irq_window = soft_request_irq_window,
    .nmi = soft_nmi,
    .get_chip = visor__irqchip_get_chip,
    .set_chip = visor__irqchip_set_chip,
    .get_msrs = soft_get_msrs,
    .set_msrs = soft_set_msrs,
    .set_msr_exits = soft_set_msr_exits,
    .set_bus_lock_exits = soft_set_bus_lock_exits,
    .set_platform_info = soft_set_platform_info,
    .get_tsc_offset = soft_get_tsc_offset,
    .set_tsc_offset = soft_set_tsc_offset,
    .get_tsc_hz = soft_get_tsc_hz,
};

static const struct visor__option options[] = {
    {"deterministic", "on: time is a count of instructions (off)"},
    {NULL, NULL},
};

const struct visor_backend visor__soft_backend = {
    .name = "soft",
    .summary = "a processor in software, on every machine",
    .is_auto = true,
    .arches = 1u << VISOR_ARCH_X86_64,
    .hv_size = sizeof(struct soft_hv),
    .vm_size = sizeof(struct soft_vm),
    .vcpu_size = sizeof(struct soft_vcpu),
    .options = options,
    .hv = &hv_ops,
    .vm = &soft_vm_ops,
    .vcpu = &soft_vcpu_ops,
    .irq = &visor__irqchip_irq_ops,
    .coalesce = &soft_coalesce_ops,
    .dirty = &soft_dirty_ops,
    .debug = &soft_debug_ops,
    .clock = &soft_clock_ops,
    .x86 = &x86_ops,
};
