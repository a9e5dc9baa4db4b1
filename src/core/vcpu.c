/* SPDX-License-Identifier: BSD-3-Clause */
/* Virtual CPUs: creation, running, exits. */
#include <stdlib.h>

#include "core/vm.h"

static const struct {
    const char *name, *text;
} exits[] = {
#define EXIT_ENTRY(id, name, text) {name, text},
    VISOR_EXITS(EXIT_ENTRY)
#undef EXIT_ENTRY
};

const char *visor_exit_name(int reason)
{
    return reason >= 0 && reason < VISOR_EXIT_COUNT ? exits[reason].name : "unknown";
}

const char *visor_exit_text(int reason)
{
    return exits[reason >= 0 && reason < VISOR_EXIT_COUNT ? reason : VISOR_EXIT_UNKNOWN].text;
}

/* Whether the VM can have one more vCPU, with this id. VM lock. */
static int check_id(visor_vm *vm, uint32_t id)
{
    static const char op[] = "visor_vcpu_create";
    int64_t max = visor_vm_cap(vm, VISOR_CAP_MAX_VCPUS);
    int64_t count = 0;

    if (vm->hv->backend->vm->seal != NULL && atomic_load(&vm->sealed)) {
        visor__error(VISOR_ESTATE, vm->hv->backend->name, op,
                     "the VM has run, or its interrupt chip was used");
        return visor__error_hint("create all vCPUs before");
    }
    for (const visor_vcpu *vcpu = vm->vcpus; vcpu != NULL; vcpu = vcpu->next) {
        if (vcpu->id == id)
            return visor__error(VISOR_EEXIST, "", op, "vCPU %u %s", id,
                                vcpu->closed ? "was used before" : "is there");
        count++;
    }
    if (count >= max)
        return visor__error(VISOR_ELIMIT, vm->hv->backend->name, op,
                            "the VM has had all of its %lld vCPUs", (long long)max);
    return 0;
}

/* Whether what the VM was configured as has a place for this vCPU: an IMSIC. VM lock. */
static int check_place(const visor_vm *vm, uint32_t id)
{
    if (vm->config.arch != VISOR_ARCH_RISCV64 || vm->config.irqchip == VISOR_IRQCHIP_NONE ||
        id < vm->machine.riscv.vcpu_count)
        return 0;
    visor__error(VISOR_ELIMIT, "", "visor_vcpu_create", "vCPU %u: the VM was configured for %u", id,
                 vm->machine.riscv.vcpu_count);
    return visor__error_hint("set vcpu_count in visor_riscv_config");
}

int visor_vcpu_create(visor_vcpu **out, visor_vm *vm, uint32_t id)
{
    const struct visor_backend *backend = vm->hv->backend;
    visor_vcpu *vcpu = calloc(1, sizeof(*vcpu));
    void *priv = calloc(1, backend->vcpu_size > 0 ? backend->vcpu_size : 1);
    int ret;

    if (vcpu == NULL || priv == NULL) {
        free(vcpu);
        free(priv);
        return visor__error(VISOR_ENOMEM, "", "visor_vcpu_create", "no memory for the object");
    }
    vcpu->vm = vm;
    vcpu->id = id;
    vcpu->priv = priv;
    visor__mutex_lock(&vm->lock);
    ret = check_id(vm, id);
    if (ret == 0)
        ret = visor__vm_configure_default(vm);
    if (ret == 0)
        ret = check_place(vm, id);
    if (ret == 0)
        ret = backend->vcpu->create(vcpu);
    if (ret == 0) {
        vcpu->next = vm->vcpus;
        vm->vcpus = vcpu;
    }
    visor__mutex_unlock(&vm->lock);
    if (ret < 0) {
        free(priv);
        free(vcpu);
        return ret;
    }
    visor_vm_ref(vm);
    *out = vcpu;
    return 0;
}

void visor_vcpu_free(visor_vcpu *vcpu)
{
    visor_vm *vm;

    if (vcpu == NULL)
        return;
    vm = vcpu->vm;
    visor__mutex_lock(&vm->lock);
    vcpu->closed = true;
    vm->hv->backend->vcpu->destroy(vcpu);
    free(vcpu->priv);
    vcpu->priv = NULL;
    visor__mutex_unlock(&vm->lock);
    visor_vm_free(vm);
}

uint32_t visor_vcpu_id(const visor_vcpu *vcpu)
{
    return vcpu->id;
}

visor_vm *visor_vcpu_vm(visor_vcpu *vcpu)
{
    return vcpu->vm;
}

visor_exit *visor_vcpu_exit(visor_vcpu *vcpu)
{
    return &vcpu->exit;
}

int visor_vcpu_run(visor_vcpu *vcpu)
{
    const struct visor__vcpu_ops *ops = vcpu->vm->hv->backend->vcpu;
    int reason = visor_vm_seal(vcpu->vm);

    if (reason < 0)
        return reason;
    do {
        reason = ops->run(vcpu);
        if (reason < 0)
            return reason;
        vcpu->exit.reason = (visor_exit_reason)reason;
    } while (visor__io_exit(vcpu));
    return reason;
}

int visor_vcpu_settle(visor_vcpu *vcpu)
{
    const struct visor__vcpu_ops *ops = vcpu->vm->hv->backend->vcpu;
    int reason;

    do {
        reason = ops->settle(vcpu);
        if (reason < 0)
            return reason;
        vcpu->exit.reason = (visor_exit_reason)reason;
    } while (visor__io_exit(vcpu));
    return reason;
}

int visor_vcpu_paused(visor_vcpu *vcpu)
{
    const struct visor__vcpu_ops *ops = vcpu->vm->hv->backend->vcpu;

    return ops->paused != NULL ? ops->paused(vcpu) : 0;
}

int visor_vcpu_native_enable(visor_vcpu *vcpu, uint32_t number, const uint64_t args[4])
{
    const struct visor__vcpu_ops *ops = vcpu->vm->hv->backend->vcpu;

    if (ops->native_enable == NULL)
        return visor__unsupported(vcpu->vm->hv, "visor_vcpu_native_enable",
                                  "its vCPUs have no numbered features");
    return ops->native_enable(vcpu, number, args);
}
