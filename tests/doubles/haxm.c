/* SPDX-License-Identifier: BSD-3-Clause */
/* The nodes of HAXM, and its device. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "haxm_machine.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct vm_double *vms[HAX_MAX_VMS];
static visor_hypervisor *soft;

int soft_check(int ret, const char *call)
{
    char text[256];

    if (ret >= 0)
        return ret;
    visor_error_format(text, sizeof(text));
    double_die("%s: %s", call, text);
}

static visor_hypervisor *hypervisor(void)
{
    if (soft == NULL)
        SOFT_OK(visor_hypervisor_open(&soft, "soft"));
    return soft;
}

/* ---- the device ---- */

static long create_vm(uint64_t arg)
{
    uint32_t id = 0;
    long ret;

    pthread_mutex_lock(&lock);
    while (id < HAX_MAX_VMS && vms[id] != NULL)
        id++;
    ret = id == HAX_MAX_VMS ? -ENOMEM : driver_vm_create(&vms[id], hypervisor(), id);
    pthread_mutex_unlock(&lock);
    return ret < 0 ? ret : copy_to_user(arg, &id, sizeof(id));
}

static long capability(uint64_t arg)
{
    const struct hax_capabilityinfo info = {
        .wstatus = HAX_CAP_STATUS_WORKING,
        .winfo = HAX_CAP_EPT | HAX_CAP_FASTMMIO | HAX_CAP_UG | HAX_CAP_64BIT_RAMBLOCK |
                 HAX_CAP_64BIT_SETRAM | HAX_CAP_TUNNEL_PAGE | HAX_CAP_RAM_PROTECTION |
                 HAX_CAP_DEBUG | HAX_CAP_IMPLICIT_RAMBLOCK | HAX_CAP_CPUID};

    return copy_to_user(arg, &info, sizeof(info));
}

static long device_ioctl(struct object *object, unsigned request, uint64_t arg)
{
    const struct hax_module_version version = {HAX_COMPAT_VERSION, HAX_CUR_VERSION};

    (void)object;
    switch (request) {
    case HAX_IOCTL_VERSION: return copy_to_user(arg, &version, sizeof(version));
    case HAX_IOCTL_CREATE_VM: return create_vm(arg);
    case HAX_IOCTL_CAPABILITY: return capability(arg);
    default: return 0; /* as the driver: what it does not know succeeds */
    }
}

static void device_release(struct object *object)
{
    free(object);
}

static const struct request device_requests[] = {
    {HAX_IOCTL_VERSION, "VERSION", ""},
    {HAX_IOCTL_CREATE_VM, "CREATE_VM", ""},
    {HAX_IOCTL_CAPABILITY, "CAPABILITY", ""},
    {0, NULL, NULL},
};

static const struct object_ops device_ops = {
    .name = "haxm",
    .requests = device_requests,
    .ioctl = device_ioctl,
    .release = device_release,
};

/* ---- nodes ---- */

void vm_put(struct vm_double *vm)
{
    bool is_last;

    pthread_mutex_lock(&lock);
    is_last = --vm->references == 0;
    if (is_last)
        vms[vm->id] = NULL;
    pthread_mutex_unlock(&lock);
    if (is_last)
        driver_vm_free(vm);
}

static long object_new(struct object **out, const struct object_ops *ops, struct vm_double *vm,
                       struct vcpu_double *vcpu)
{
    struct node_object *object = malloc(sizeof(*object));

    if (object == NULL)
        return -ENOMEM;
    object_init(&object->object, ops);
    object->vm = vm;
    object->vcpu = vcpu;
    *out = &object->object;
    return 0;
}

/* A node can be open once; it goes with its object. */
static long open_once(struct object **out, bool *opened, const struct object_ops *ops,
                      struct vm_double *vm, struct vcpu_double *vcpu)
{
    if (*opened)
        return -EBUSY;
    *opened = true;
    return object_new(out, ops, vm, vcpu);
}

/* Among the nodes of a VM and its vCPUs. */
static long open_of(struct object **out, struct vm_double *vm, const char *path)
{
    char name[64];

    snprintf(name, sizeof(name), HAX_VM_LINUX, vm->id);
    if (strcmp(path, name) == 0)
        return open_once(out, &vm->opened, &driver_vm_ops, vm, NULL);
    for (unsigned i = 0; i < HAX_MAX_VCPUS; i++) {
        struct vcpu_double *vcpu = vm->vcpus[i];

        snprintf(name, sizeof(name), HAX_VCPU_LINUX, vm->id, i);
        if (vcpu != NULL && strcmp(path, name) == 0)
            return open_once(out, &vcpu->opened, &driver_vcpu_ops, vm, vcpu);
    }
    return -ENOENT;
}

long double_open(struct object **out, const char *path)
{
    long ret = -ENOENT;

    if (strcmp(path, HAX_DEVICE_LINUX) != 0 && strncmp(path, "/dev/hax_vm", 11) != 0)
        return -ENOTTY;
    pthread_mutex_lock(&lock);
    if (strcmp(path, HAX_DEVICE_LINUX) == 0)
        ret = object_new(out, &device_ops, NULL, NULL);
    for (unsigned i = 0; i < HAX_MAX_VMS && ret == -ENOENT; i++) {
        if (vms[i] != NULL)
            ret = open_of(out, vms[i], path);
    }
    pthread_mutex_unlock(&lock);
    return ret;
}
