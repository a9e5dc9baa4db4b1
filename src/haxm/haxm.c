/* SPDX-License-Identifier: BSD-3-Clause */
/* HAXM as a backend: opening it, capabilities, the structure that ties it together. */
#include "haxm/haxm.h"

#include <stdio.h>

#include "irqchip/irqchip.h"

/* What this backend is written for: accesses decoded by the driver, memory of 64-bit size in blocks
 * of its own, CPUID that can be read and set (the last to come). */
#define NEEDED (HAX_CAP_FASTMMIO | HAX_CAP_64BIT_SETRAM | HAX_CAP_IMPLICIT_RAMBLOCK | HAX_CAP_CPUID)
/* Of the interface, which counts for itself. */
#define OLDEST 4

/* An open node is not yet the driver. */
static int check_version(struct haxm_hv *hv)
{
    struct hax_module_version version = {0};
    int err = haxm_call(&hv->node, HAXM_VERSION, &version, sizeof(version));

    if (err != 0) {
        haxm_error(HAXM_VERSION, err, "this is no node of HAXM");
        return visor__error_hint("leave the option \"device\" out");
    }
    if (version.cur_version < OLDEST || version.compat_version > HAX_CUR_VERSION) {
        visor__error(VISOR_EUNSUPPORTED, "haxm", haxm_request_name(HAXM_VERSION),
                     "the driver speaks versions %u to %u, this library %u", version.compat_version,
                     version.cur_version, HAX_CUR_VERSION);
        return visor__error_hint("install HAXM 7.8.0, the last one");
    }
    hv->version = version.cur_version;
    return 0;
}

static int check_capabilities(struct haxm_hv *hv)
{
    struct hax_capabilityinfo info = {0};
    int err = haxm_call(&hv->node, HAXM_CAPABILITY, &info, sizeof(info));
    const char *op = haxm_request_name(HAXM_CAPABILITY);

    if (err != 0)
        return haxm_error(HAXM_CAPABILITY, err, "%s", "");
    if ((info.wstatus & HAX_CAP_STATUS_WORKING) == 0) {
        bool nx = (info.winfo & HAX_CAP_FAILREASON_NX) != 0;

        visor__error(VISOR_EDISABLED, "haxm", op,
                     "the driver is there, and cannot use the processor");
        return visor__error_hint(
            nx ? "switch on \"execute disable\" in the firmware's setup"
               : "switch on VT-x in the firmware's setup, and switch off other "
                 "hypervisors that have it (Hyper-V, KVM)");
    }
    if ((info.winfo & NEEDED) != NEEDED) {
        visor__error(VISOR_EUNSUPPORTED, "haxm", op, "features 0x%x: the driver is too old",
                     info.winfo);
        return visor__error_hint("install HAXM 7.8.0, the last one");
    }
    if ((info.winfo & HAX_CAP_UG) == 0)
        return visor__error(VISOR_EUNSUPPORTED, "haxm", op,
                            "this processor cannot run guests in real mode (unrestricted guest)");
    hv->features = info.winfo;
    return 0;
}

static int hv_open(visor_hypervisor *hv)
{
    struct haxm_hv *priv = haxm_hv_of(hv);
    int ret = haxm_open_device(&priv->node, hv);

    if (ret < 0)
        return ret;
    ret = check_version(priv);
    if (ret == 0)
        ret = check_capabilities(priv);
    if (ret == 0)
        ret = visor__mutex_init(&priv->lock);
    if (ret < 0) {
        haxm_close(&priv->node);
        return ret;
    }
    snprintf(hv->version, sizeof(hv->version), "interface %u", priv->version);
    return 0;
}

static void hv_close(visor_hypervisor *hv)
{
    struct haxm_hv *priv = haxm_hv_of(hv);

    visor__mutex_destroy(&priv->lock);
    haxm_close(&priv->node);
}

static int64_t hv_cap(visor_hypervisor *hv, visor_cap cap)
{
    bool can_debug = (haxm_hv_of(hv)->features & HAX_CAP_DEBUG) != 0;

    switch (cap) {
    case VISOR_CAP_MAX_VCPUS: return HAX_MAX_VCPUS;
    case VISOR_CAP_MAX_SLOTS: return 512; /* a list in the driver */
    case VISOR_CAP_GPA_BITS: return haxm_cpuid_gpa_bits(hv);
    case VISOR_CAP_HW_BREAKPOINTS: return can_debug ? 4 : 0;
    case VISOR_CAP_DEBUG: return can_debug;
    case VISOR_CAP_X86_XSAVE_SIZE: return HAXM_XSAVE_SIZE;
    case VISOR_CAP_READ_ONLY:
    case VISOR_CAP_X86_TSC_OFFSET:
    case VISOR_CAP_MP_STATE:
    case VISOR_CAP_IRQCHIP:
    case VISOR_CAP_IRQCHIP_SPLIT:
    case VISOR_CAP_IRQFD_RESAMPLE: return 1;
    default: return 0;
    }
}

static const struct visor__hv_ops hv_ops = {
    .open = hv_open,
    .close = hv_close,
    .cap = hv_cap,
    .x86_cpuid = haxm_cpuid_supported,
    .x86_msr_list = haxm_msr_list,
};

static const struct visor__x86_ops x86_ops = {
    .ready_for_interrupt = haxm_ready_for_interrupt,
    .interrupt = haxm_interrupt,
    .request_irq_window = haxm_request_irq_window,
    .nmi = haxm_nmi,
    .get_chip = visor__irqchip_get_chip,
    .set_chip = visor__irqchip_set_chip,
    .get_msrs = haxm_get_msrs,
    .set_msrs = haxm_set_msrs,
    .get_tsc_hz = haxm_get_tsc_hz,
};

const struct visor_backend visor__haxm_backend = {
    .name = "haxm",
    .summary = "Intel's HAXM, on processors with VT-x",
    .arches = 1u << VISOR_ARCH_X86_64,
    .hv_size = sizeof(struct haxm_hv),
    .vm_size = sizeof(struct haxm_vm),
    .vcpu_size = sizeof(struct haxm_vcpu),
    .options = haxm_options,
    .pinned = "its driver keeps the host's pages while they are mapped: the guest would go on with "
              "the old ones",
    .hv = &hv_ops,
    .vm = &haxm_vm_ops,
    .vcpu = &haxm_vcpu_ops,
    .irq = &visor__irqchip_irq_ops,
    .debug = &haxm_debug_ops,
    .x86 = &x86_ops,
};
