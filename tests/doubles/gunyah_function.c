/* SPDX-License-Identifier: BSD-3-Clause */
/* Functions of a VM: vCPUs, irqfds, ioeventfds. */
#include "gunyah.h"

#include <errno.h>
#include <stdlib.h>

union argument {
    struct gunyah_fn_vcpu_arg vcpu;
    struct gunyah_fn_irqfd_arg irqfd;
    struct gunyah_fn_ioeventfd_arg ioeventfd;
    uint8_t bytes[GUNYAH_FN_MAX_ARG_SIZE];
};

struct gunyah_vcpu_function *gunyah_find_vcpu(const struct gunyah_vm *vm, uint32_t id)
{
    struct gunyah_vcpu_function *vcpu = vm->vcpus;

    while (vcpu != NULL && (vcpu->id != id || vcpu->is_removed))
        vcpu = vcpu->next;
    return vcpu;
}

static long add_vcpu(struct gunyah_vm *vm, const struct gunyah_fn_vcpu_arg *arg)
{
    struct gunyah_vcpu_function *function;
    long fd;

    log_note("vcpu id=%u", arg->id);
    /* The newest driver only warns, and the second gets nothing to run. */
    if (gunyah_find_vcpu(vm, arg->id) != NULL)
        return double_kernel() == KERNEL_6_12 ? gunyah_new_vcpu(vm, NULL) : -EEXIST;
    function = calloc(1, sizeof(*function));
    if (function == NULL)
        return -ENOMEM;
    function->id = arg->id;
    fd = gunyah_new_vcpu(vm, function);
    if (fd < 0) {
        free(function);
        return fd;
    }
    function->next = vm->vcpus;
    vm->vcpus = function;
    return fd;
}

static bool has_same_label(const struct machine_irqfd *one, const struct machine_irqfd *model)
{
    return one->number == model->number;
}

static long add_irqfd(struct gunyah_vm *vm, const struct gunyah_fn_irqfd_arg *arg)
{
    struct machine_irqfd model = {
        .fd = (int)arg->fd,
        .number = arg->label,
        .flags = arg->flags,
    };
    bool is_taken = false;
    int ret;

    log_note("irqfd fd=* label=0x%x flags=0x%x padding=0x%x", arg->label, arg->flags, arg->padding);
    if ((arg->flags & ~GUNYAH_IRQFD_FLAGS_LEVEL) != 0)
        return -EINVAL;
    ret = eventfd_identity(model.fd, &model.id);
    if (ret < 0)
        return ret;
    pthread_mutex_lock(&vm->machine.lock);
    for (struct machine_irqfd *one = vm->machine.irqfds; one != NULL; one = one->next)
        is_taken |= has_same_label(one, &model);
    pthread_mutex_unlock(&vm->machine.lock);
    if (is_taken && double_kernel() != KERNEL_6_12)
        return -EEXIST;
    return machine_add_irqfd(&vm->machine, &model);
}

static bool is_same_ioevent(const struct machine_ioevent *one, const struct machine_ioevent *model)
{
    return one->addr == model->addr && one->id == model->id && one->has_match == model->has_match &&
           (!one->has_match || one->match == model->match);
}

static long add_ioeventfd(struct gunyah_vm *vm, const struct gunyah_fn_ioeventfd_arg *arg)
{
    struct machine_ioevent model = {
        .addr = arg->addr,
        .fd = arg->fd,
        .has_match = (arg->flags & GUNYAH_IOEVENTFD_FLAGS_DATAMATCH) != 0,
        .match = arg->datamatch,
    };
    bool is_taken = false;
    unsigned id;
    int ret;

    log_note("ioeventfd match=0x%llx addr=0x%llx len=%u fd=* flags=0x%x padding=0x%x",
             (unsigned long long)arg->datamatch, (unsigned long long)arg->addr, arg->len,
             arg->flags, arg->padding);
    if ((arg->flags & ~GUNYAH_IOEVENTFD_FLAGS_DATAMATCH) != 0 || arg->len > 8 ||
        (arg->len & (arg->len - 1)) != 0 || arg->addr + arg->len < arg->addr ||
        (arg->len == 0 && model.has_match))
        return -EINVAL;
    ret = eventfd_identity(arg->fd, &id);
    if (ret < 0)
        return ret;
    /* Only a data match is one of the length too. */
    model.size = model.has_match ? arg->len : 0;
    model.id = arg->len; /* what a removal names */
    pthread_mutex_lock(&vm->machine.lock);
    for (struct machine_ioevent *one = vm->machine.ioevents; one != NULL; one = one->next)
        is_taken |=
            one->addr == model.addr && (!one->has_match || !model.has_match ||
                                        (one->match == model.match && one->size == model.size));
    pthread_mutex_unlock(&vm->machine.lock);
    return is_taken ? -EEXIST : machine_add_ioevent(&vm->machine, &model);
}

static long get_argument(union argument *argument, const struct gunyah_fn_desc *desc)
{
    if (desc->arg_size > GUNYAH_FN_MAX_ARG_SIZE)
        return -EINVAL;
    return copy_from_user(argument, desc->arg, desc->arg_size);
}

long gunyah_add_function(struct gunyah_vm *vm, uint64_t arg)
{
    struct gunyah_fn_desc desc;
    union argument argument = {0};
    long ret;

    if (copy_from_user(&desc, arg, sizeof(desc)) < 0)
        return -EFAULT;
    ret = get_argument(&argument, &desc);
    if (ret < 0)
        return ret;
    switch (desc.type) {
    case GUNYAH_FN_VCPU:
        return desc.arg_size == sizeof(argument.vcpu) ? add_vcpu(vm, &argument.vcpu) : -EINVAL;
    case GUNYAH_FN_IRQFD:
        return desc.arg_size == sizeof(argument.irqfd) ? add_irqfd(vm, &argument.irqfd) : -EINVAL;
    case GUNYAH_FN_IOEVENTFD:
        return desc.arg_size == sizeof(argument.ioeventfd) ? add_ioeventfd(vm, &argument.ioeventfd)
                                                           : -EINVAL;
    default: return -ENOENT;
    }
}

static long remove_vcpu(struct gunyah_vm *vm, const struct gunyah_fn_vcpu_arg *arg)
{
    struct gunyah_vcpu_function *vcpu = gunyah_find_vcpu(vm, arg->id);

    log_note("vcpu id=%u", arg->id);
    if (vcpu == NULL)
        return -ENOENT;
    vcpu->is_removed = true;
    return 0;
}

static long remove_irqfd(struct gunyah_vm *vm, const struct gunyah_fn_irqfd_arg *arg)
{
    struct machine_irqfd model = {.number = arg->label};

    log_note("irqfd label=0x%x", arg->label);
    return machine_remove_irqfd(&vm->machine, &model, has_same_label) ? 0 : -ENOENT;
}

static long remove_ioeventfd(struct gunyah_vm *vm, const struct gunyah_fn_ioeventfd_arg *arg)
{
    struct machine_ioevent model = {
        .addr = arg->addr,
        .id = arg->len,
        .has_match = (arg->flags & GUNYAH_IOEVENTFD_FLAGS_DATAMATCH) != 0,
        .match = arg->datamatch,
    };

    log_note("ioeventfd match=0x%llx addr=0x%llx len=%u flags=0x%x",
             (unsigned long long)arg->datamatch, (unsigned long long)arg->addr, arg->len,
             arg->flags);
    return machine_remove_ioevent(&vm->machine, &model, is_same_ioevent) ? 0 : -ENOENT;
}

long gunyah_remove_function(struct gunyah_vm *vm, uint64_t arg)
{
    struct gunyah_fn_desc desc;
    union argument argument = {0};

    if (copy_from_user(&desc, arg, sizeof(desc)) < 0)
        return -EFAULT;
    if (desc.arg_size == 0 && double_kernel() == KERNEL_6_1)
        return 0;
    /* Here the driver does not limit the size. */
    if (copy_from_user(&argument, desc.arg,
                       desc.arg_size < sizeof(argument) ? desc.arg_size : sizeof(argument)) < 0)
        return -EFAULT;
    switch (desc.type) {
    case GUNYAH_FN_VCPU: return remove_vcpu(vm, &argument.vcpu);
    case GUNYAH_FN_IRQFD: return remove_irqfd(vm, &argument.irqfd);
    case GUNYAH_FN_IOEVENTFD: return remove_ioeventfd(vm, &argument.ioeventfd);
    default: return -ENOENT;
    }
}
