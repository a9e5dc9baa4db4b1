/* SPDX-License-Identifier: BSD-3-Clause */
/* Virtual machines: creation, references, and what goes straight to the backend. */
#include <stdlib.h>

#include "core/aarch64.h"
#include "core/riscv.h"
#include "core/vm.h"

static bool power_of_two(uint32_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

/* Replaces the defaults by what they stand for, and refuses what no backend could make. */
static int check_config(visor_vm_config *config, visor_hypervisor *hv)
{
    static const char op[] = "visor_vm_create";
    const char *name = hv->backend->name;

    if (config->arch == VISOR_ARCH_NATIVE)
        config->arch = VISOR__HOST_ARCH;
    if (config->split_pins == 0)
        config->split_pins = VISOR_X86_IOAPIC_PINS;
    if ((unsigned)config->arch > VISOR_ARCH_RISCV64)
        return visor__error(VISOR_EINVAL, name, op, "architecture %d", config->arch);
    if ((unsigned)config->irqchip > VISOR_IRQCHIP_SPLIT)
        return visor__error(VISOR_EINVAL, name, op, "interrupt chip %d", config->irqchip);
    if ((unsigned)config->protection > VISOR_UNPROTECTED_FIRMWARE)
        return visor__error(VISOR_EINVAL, name, op, "protection %d", config->protection);
    if (config->irqchip == VISOR_IRQCHIP_SPLIT && config->arch != VISOR_ARCH_X86_64)
        return visor__error(VISOR_EINVAL, name, op, "a split interrupt chip is for x86 guests");
    if (config->dirty_ring_entries != 0 && !power_of_two(config->dirty_ring_entries))
        return visor__error(VISOR_EINVAL, name, op,
                            "a dirty ring of %u entries, which is no power of two",
                            config->dirty_ring_entries);
    if (!visor_hypervisor_has_arch(hv, config->arch))
        return visor__error(VISOR_EUNSUPPORTED, name, op, "it runs no %s guests here",
                            visor_arch_name(config->arch));
    if (config->gpa_bits != 0 && config->gpa_bits > visor_hypervisor_cap(hv, VISOR_CAP_GPA_BITS)) {
        visor__error(VISOR_EUNSUPPORTED, name, op, "guest addresses of %u bits", config->gpa_bits);
        return visor__error_hint("this host has %lld",
                                 (long long)visor_hypervisor_cap(hv, VISOR_CAP_GPA_BITS));
    }
    if (config->irqchip != VISOR_IRQCHIP_NONE && hv->backend->irq == NULL) {
        visor__error(VISOR_EUNSUPPORTED, name, op, "it has no interrupt chip");
        return visor__error_hint("use VISOR_IRQCHIP_NONE and inject vCPU by vCPU");
    }
    if (config->dirty_ring_entries != 0 && hv->backend->dirty == NULL)
        return visor__error(VISOR_EUNSUPPORTED, name, op, "it has no dirty log");
    return 0;
}

static void destroy(visor_vm *vm, bool created)
{
    if (created)
        vm->hv->backend->vm->destroy(vm);
    visor__slots_destroy(vm);
    visor__io_destroy(vm);
    visor__irq_destroy(vm);
    while (vm->vcpus != NULL) {
        visor_vcpu *vcpu = vm->vcpus;

        vm->vcpus = vcpu->next;
        free(vcpu);
    }
    visor__mutex_destroy(&vm->lock);
    visor_memory_free(vm->memory);
    visor_hypervisor_free(vm->hv);
    free(vm->priv);
    free(vm);
}

int visor_vm_create(visor_vm **out, visor_hypervisor *hv, visor_memory *memory,
                    const visor_vm_config *config)
{
    static const char op[] = "visor_vm_create";
    visor_vm *vm = calloc(1, sizeof(*vm));
    bool created = false;
    int ret;

    if (vm == NULL)
        return visor__error(VISOR_ENOMEM, "", op, "no memory for the object");
    ret = visor__config_copy(&vm->config, sizeof(vm->config), config, op);
    if (ret == 0)
        ret = check_config(&vm->config, hv);
    if (ret == 0)
        ret = visor__mutex_init(&vm->lock);
    if (ret < 0) {
        free(vm);
        return ret;
    }

    atomic_init(&vm->refs, 1);
    atomic_init(&vm->sealed, hv->backend->vm->seal == NULL);
    vm->hv = visor_hypervisor_ref(hv);
    vm->memory = visor_memory_ref(memory);
    vm->priv = calloc(1, hv->backend->vm_size > 0 ? hv->backend->vm_size : 1);
    if (vm->priv == NULL)
        ret = visor__error(VISOR_ENOMEM, "", op, "no memory for the object");
    if (ret == 0)
        ret = visor__io_create(vm);
    if (ret == 0)
        ret = visor__irq_create(vm);
    if (ret == 0) {
        ret = hv->backend->vm->create(vm);
        created = ret == 0;
    }
    if (ret == 0)
        ret = visor__slots_create(vm);
    if (ret < 0) {
        destroy(vm, created);
        return ret;
    }
    *out = vm;
    return 0;
}

visor_vm *visor_vm_ref(visor_vm *vm)
{
    atomic_fetch_add(&vm->refs, 1);
    return vm;
}

void visor_vm_free(visor_vm *vm)
{
    if (vm != NULL && atomic_fetch_sub(&vm->refs, 1) == 1)
        destroy(vm, true);
}

visor_hypervisor *visor_vm_hypervisor(visor_vm *vm)
{
    return vm->hv;
}

visor_memory *visor_vm_memory(visor_vm *vm)
{
    return vm->memory;
}

visor_arch visor_vm_arch(const visor_vm *vm)
{
    return vm->config.arch;
}

visor_irqchip visor_vm_irqchip(const visor_vm *vm)
{
    return vm->config.irqchip;
}

int visor_vm_native_cap(int64_t *out, visor_vm *vm, uint32_t number)
{
    const struct visor__vm_ops *ops = vm->hv->backend->vm;

    if (ops->native_cap == NULL)
        return visor__unsupported(vm->hv, "visor_vm_native_cap", "it has no numbered capabilities");
    return ops->native_cap(out, vm, number);
}

int visor_vm_native_handle(visor_file *out, visor_vm *vm)
{
    const struct visor__vm_ops *ops = vm->hv->backend->vm;

    if (ops->native_handle == NULL)
        return visor__unsupported(vm->hv, "visor_vm_native_handle", "a VM has no descriptor here");
    return ops->native_handle(out, vm);
}

int visor_vm_create_vfio(visor_file *out, visor_vm *vm)
{
    const struct visor__vm_ops *ops = vm->hv->backend->vm;

    if (ops->create_vfio == NULL)
        return visor__unsupported(vm->hv, "visor_vm_create_vfio", "it has no VFIO device");
    return ops->create_vfio(out, vm);
}

int visor__vm_configure_default(visor_vm *vm)
{
    if (vm->configured)
        return 0;
    switch (vm->config.arch) {
    case VISOR_ARCH_AARCH64: return visor__aarch64_configure(vm, NULL);
    case VISOR_ARCH_RISCV64: return visor__riscv_configure(vm, NULL);
    default: return 0;
    }
}

int visor_vm_seal(visor_vm *vm)
{
    int ret = 0;

    if (atomic_load_explicit(&vm->sealed, memory_order_acquire))
        return 0;
    visor__mutex_lock(&vm->lock);
    if (!atomic_load(&vm->sealed)) {
        ret = visor__vm_configure_default(vm);
        if (ret == 0)
            ret = vm->hv->backend->vm->seal(vm);
        if (ret == 0 && vm->config.irqchip != VISOR_IRQCHIP_NONE)
            ret = visor__irq_sealed(vm);
        if (ret == 0)
            atomic_store_explicit(&vm->sealed, true, memory_order_release);
    }
    visor__mutex_unlock(&vm->lock);
    return ret;
}

int visor_vm_load_firmware(uint64_t *out, visor_vm *vm, uint64_t gpa, uint64_t max_size)
{
    const struct visor__vm_ops *ops = vm->hv->backend->vm;
    int ret;

    if (ops->load_firmware == NULL)
        return visor__unsupported(vm->hv, "visor_vm_load_firmware", "it has no protected VMs");
    visor__mutex_lock(&vm->lock);
    ret = ops->load_firmware(out, vm, gpa, max_size);
    visor__mutex_unlock(&vm->lock);
    return ret;
}

int visor_vm_enable_hypercalls(visor_vm *vm, uint32_t first, uint32_t count)
{
    static const char op[] = "visor_vm_enable_hypercalls";
    const struct visor__vm_ops *ops = vm->hv->backend->vm;
    int ret;

    if (count == 0 || first > UINT32_MAX - (count - 1))
        return visor__error(VISOR_EINVAL, "", op, "%u hypercalls from %u on", count, first);
    if (ops->enable_hypercalls == NULL)
        return visor__unsupported(vm->hv, op, "its hypercalls do not exit");
    visor__mutex_lock(&vm->lock);
    ret = ops->enable_hypercalls(vm, first, count);
    visor__mutex_unlock(&vm->lock);
    return ret;
}

int visor_vm_get_clock(uint64_t *out, visor_vm *vm)
{
    const struct visor__clock_ops *ops = vm->hv->backend->clock;

    if (ops == NULL)
        return visor__unsupported(vm->hv, "visor_vm_get_clock", "it has no paravirtual clock");
    return ops->get(out, vm);
}

int visor_vm_set_clock(visor_vm *vm, uint64_t ns)
{
    const struct visor__clock_ops *ops = vm->hv->backend->clock;

    if (ops == NULL)
        return visor__unsupported(vm->hv, "visor_vm_set_clock", "it has no paravirtual clock");
    return ops->set(vm, ns);
}
