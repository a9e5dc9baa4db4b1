/* SPDX-License-Identifier: BSD-3-Clause */
/* Capabilities: what a backend's tables decide, what its cap() answers, what the VM left out. */
#include "core/vm.h"

enum level { HV, VM };

static const struct {
    const char *name, *text;
    enum level level;
} caps[] = {
#define CAP_ENTRY(id, name, level, text) {name, text, level},
    VISOR_CAPS(CAP_ENTRY)
#undef CAP_ENTRY
};

static bool is_known(visor_cap cap)
{
    return (unsigned)cap < VISOR_CAP_COUNT;
}

const char *visor_cap_name(visor_cap cap)
{
    return is_known(cap) ? caps[cap].name : "unknown";
}

const char *visor_cap_text(visor_cap cap)
{
    return is_known(cap) ? caps[cap].text : "unknown";
}

static int present_if(bool there)
{
    return there ? 1 : 0;
}

static int ask_if(bool there)
{
    return there ? VISOR__CAP_ASK : 0;
}

int visor__cap_by_table(const struct visor_backend *backend, visor_cap cap)
{
    const struct visor__irq_ops *irq = backend->irq;
    const struct visor__x86_ops *x86 = backend->x86;
    const struct visor__aarch64_ops *aarch64 = backend->aarch64;

    switch (cap) {
    /* Every backend has what these need; I/O events are the core's where it has no table. */
    case VISOR_CAP_KICK:
    case VISOR_CAP_USER_MEMORY:
    case VISOR_CAP_IO_EVENTS: return 1;
    case VISOR_CAP_SNAPSHOT: return present_if(backend->vcpu->get_state != NULL);
    case VISOR_CAP_IRQ_LINES: return present_if(irq != NULL && irq->set_irq != NULL);
    case VISOR_CAP_IRQFD: return present_if(irq != NULL && irq->add_event != NULL);
    case VISOR_CAP_MSI: return present_if(irq != NULL && irq->send_msi != NULL);
    case VISOR_CAP_IO_COALESCE: return present_if(backend->coalesce != NULL);
    case VISOR_CAP_DIRTY_LOG: return present_if(backend->dirty != NULL);
    case VISOR_CAP_PV_CLOCK: return present_if(backend->clock != NULL);
    case VISOR_CAP_NMI: return present_if(x86 != NULL && x86->nmi != NULL);
    case VISOR_CAP_IRQCHIP:
    case VISOR_CAP_IRQCHIP_SPLIT: return ask_if(irq != NULL);
    case VISOR_CAP_IRQFD_RESAMPLE: return ask_if(irq != NULL && irq->add_event != NULL);
    case VISOR_CAP_DIRTY_RING: return ask_if(backend->dirty != NULL);
    case VISOR_CAP_DEBUG:
    case VISOR_CAP_HW_BREAKPOINTS:
    case VISOR_CAP_HW_WATCHPOINTS: return ask_if(backend->debug != NULL);
    case VISOR_CAP_VFIO: return ask_if(backend->vm->create_vfio != NULL);
    case VISOR_CAP_HYPERCALLS: return ask_if(backend->vm->enable_hypercalls != NULL);
    case VISOR_CAP_X86_BUS_LOCK: return ask_if(x86 != NULL && x86->set_bus_lock_exits != NULL);
    case VISOR_CAP_X86_MSR_EXITS: return ask_if(x86 != NULL && x86->set_msr_exits != NULL);
    case VISOR_CAP_X86_XCRS:
    case VISOR_CAP_X86_XSAVE_SIZE:
    case VISOR_CAP_X86_NESTED_STATE_SIZE:
    case VISOR_CAP_X86_TSC_DEADLINE:
    case VISOR_CAP_X86_TSC_OFFSET: return ask_if(x86 != NULL);
    case VISOR_CAP_AARCH64_GIC_V2:
    case VISOR_CAP_AARCH64_GIC_V3:
    case VISOR_CAP_AARCH64_ITS:
    case VISOR_CAP_AARCH64_PMU:
    case VISOR_CAP_AARCH64_SVE:
    case VISOR_CAP_AARCH64_PAUTH:
    case VISOR_CAP_AARCH64_EL2:
    case VISOR_CAP_AARCH64_STOLEN_TIME: return ask_if(aarch64 != NULL);
    case VISOR_CAP_AARCH64_MTE: return ask_if(aarch64 != NULL && aarch64->get_tags != NULL);
    case VISOR_CAP_AARCH64_COUNTER_OFFSET:
        return ask_if(aarch64 != NULL && aarch64->set_counter_offset != NULL);
    case VISOR_CAP_RISCV_AIA: return ask_if(backend->riscv != NULL);
    default: return VISOR__CAP_ASK;
    }
}

int64_t visor_hypervisor_cap(visor_hypervisor *hv, visor_cap cap)
{
    int known;

    if (!is_known(cap) || caps[cap].level != HV)
        return 0;
    known = visor__cap_by_table(hv->backend, cap);
    return known == VISOR__CAP_ASK ? hv->backend->hv->cap(hv, cap) : known;
}

/* Whether the VM was configured so that it cannot have it, whatever the hypervisor offers. */
static bool left_out(const visor_vm *vm, visor_cap cap)
{
    switch (cap) {
    case VISOR_CAP_READ_ONLY: return vm->config.no_read_only;
    case VISOR_CAP_IRQ_LINES:
    case VISOR_CAP_IRQFD:
    case VISOR_CAP_IRQFD_RESAMPLE: return vm->config.irqchip == VISOR_IRQCHIP_NONE;
    /* Arm's messages go to an ITS; before it is decided whether there is one, they may. */
    case VISOR_CAP_MSI:
        return vm->config.irqchip == VISOR_IRQCHIP_NONE ||
               (vm->config.arch == VISOR_ARCH_AARCH64 && vm->configured &&
                vm->machine.aarch64.its == VISOR_OFF);
    case VISOR_CAP_SNAPSHOT:
        return vm->config.protection != VISOR_UNPROTECTED &&
               vm->config.protection != VISOR_UNPROTECTED_FIRMWARE;
    default: return false;
    }
}

int64_t visor_vm_cap(visor_vm *vm, visor_cap cap)
{
    const struct visor_backend *backend = vm->hv->backend;
    int known;

    if (!is_known(cap) || left_out(vm, cap))
        return 0;
    known = visor__cap_by_table(backend, cap);
    return known == VISOR__CAP_ASK ? backend->vm->cap(vm, cap) : known;
}
