/* SPDX-License-Identifier: BSD-3-Clause */
/* A vCPU of the double of HAXM: life, requests. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "haxm_machine.h"

/* ---- life ---- */

static void vcpu_free(struct vcpu_double *v)
{
    if (v->tunnel != NULL)
        driver_page_free(v->tunnel);
    if (v->io != NULL)
        driver_page_free(v->io);
    visor_vcpu_free(v->vcpu);
    pthread_mutex_destroy(&v->lock);
    free(v);
}

struct vcpu_double *driver_vcpu_create(struct vm_double *vm, unsigned id)
{
    struct vcpu_double *v;

    if (id >= HAX_MAX_VCPUS || vm->vcpus[id] != NULL)
        return NULL;
    /* It would use CPUID of the first, which is not there: a null pointer in the driver, which then
     * leaves the guest's registers as they are. */
    if (id != 0 && vm->vcpus[0] == NULL)
        double_die("vCPU %u before vCPU 0", id);
    v = calloc(1, sizeof(*v));
    if (v == NULL)
        return NULL;
    pthread_mutex_init(&v->lock, NULL);
    v->vm = vm;
    v->id = id;
    v->tunnel = driver_page();
    v->io = driver_page();
    /* The software CPU's keep their ids when they are freed, the driver's do not. */
    if (v->tunnel == NULL || v->io == NULL || visor_vcpu_create(&v->vcpu, vm->vm, id) < 0) {
        vcpu_free(v);
        return NULL;
    }
    v->apic_base = 0xfee00800 | (id == 0 ? 0x100 : 0);
    v->tunnel->apic_base = 0;
    driver_msr_init(v);
    driver_cpuid_use(v);
    driver_ticker_start();
    vm->references++;
    vm->vcpus[id] = v;
    return v;
}

static void vcpu_close(struct object *object)
{
    struct vcpu_double *v = ((struct node_object *)object)->vcpu;
    struct vm_double *vm = v->vm;

    pthread_mutex_lock(&vm->lock);
    for (unsigned i = 1; v->id == 0 && i < HAX_MAX_VCPUS; i++) {
        if (vm->vcpus[i] != NULL)
            double_die("vCPU 0 goes before vCPU %u, which uses its CPUID", i);
    }
    vm->vcpus[v->id] = NULL;
    pthread_mutex_unlock(&vm->lock);
    vcpu_free(v);
    vm_put(vm);
}

static void vcpu_release(struct object *object)
{
    free(object);
}

/* ---- requests ---- */

static long interrupt(struct vcpu_double *v, uint64_t arg)
{
    uint8_t vector; /* the driver of Linux reads one byte */

    if (copy_from_user(&vector, arg, sizeof(vector)) < 0)
        return -EFAULT;
    if ((v->pending[vector / 32] & 1u << vector % 32) == 0) {
        v->pending[vector / 32] |= 1u << vector % 32;
        v->pending_count++;
    }
    return 0;
}

static long tunnel_info(struct vcpu_double *v, uint64_t arg)
{
    const struct hax_tunnel_info info = {
        .va = (uintptr_t)v->tunnel, .io_va = (uintptr_t)v->io, .size = HAX_PAGE_SIZE};

    return copy_to_user(arg, &info, sizeof(info));
}

static long msrs(struct vcpu_double *v, uint64_t arg, bool is_set)
{
    struct hax_msr_data data;
    unsigned i;

    if (copy_from_user(&data, arg, sizeof(data)) < 0 || data.nr_msr >= HAX_MAX_MSR_ARRAY)
        return -EFAULT;
    for (i = 0; i < data.nr_msr; i++) {
        struct vmx_msr *msr = &data.entries[i];

        if (is_set ? !driver_msr_write(v, (uint32_t)msr->entry, msr->value)
                   : !driver_msr_read(v, (uint32_t)msr->entry, &msr->value))
            break;
    }
    data.done = (uint16_t)i;
    return is_set && !driver_tells_msrs_set ? 0 : copy_to_user(arg, &data, sizeof(data));
}

/* The argument of the driver of Linux is a pointer to a pointer. */
static long cpuid(struct vcpu_double *v, uint64_t arg, bool is_set)
{
    struct {
        uint32_t total, pad;
        struct hax_cpuid_entry entries[HAX_MAX_CPUID_ENTRIES];
    } list;
    struct hax_cpuid *head = (struct hax_cpuid *)&list;
    uint64_t from;
    size_t size;
    long ret;

    if (copy_from_user(&from, arg, sizeof(from)) < 0)
        double_die("the driver follows a pointer to nowhere");
    if (copy_from_user(head, from, sizeof(*head)) < 0)
        return -EFAULT;
    if (list.total > HAX_MAX_CPUID_ENTRIES)
        return -E2BIG;
    size = sizeof(*head) + list.total * sizeof(list.entries[0]);
    if (copy_from_user(&list, from, size) < 0)
        return -EFAULT;
    if (is_set)
        return driver_cpuid_set(v->vm, head);
    ret = driver_cpuid_get(v->vm, head);
    return copy_to_user(from, &list, size) < 0 ? -EFAULT : ret;
}

static long handle(struct vcpu_double *v, unsigned request, uint64_t arg)
{
    struct vcpu_state_t state;
    struct fx_layout fx;
    struct hax_debug_t debug;

    switch (request) {
    case HAX_VCPU_IOCTL_RUN: return driver_run(v);
    case HAX_VCPU_IOCTL_SETUP_TUNNEL: return tunnel_info(v, arg);
    case HAX_VCPU_IOCTL_SET_MSRS: return msrs(v, arg, true);
    case HAX_VCPU_IOCTL_GET_MSRS: return msrs(v, arg, false);
    case HAX_VCPU_IOCTL_SET_FPU:
        if (copy_from_user(&fx, arg, sizeof(fx)) < 0)
            return -EFAULT;
        driver_fpu_set(v, &fx);
        return 0;
    case HAX_VCPU_IOCTL_GET_FPU: driver_fpu_get(v, &fx); return copy_to_user(arg, &fx, sizeof(fx));
    case HAX_VCPU_SET_REGS:
        if (copy_from_user(&state, arg, sizeof(state)) < 0)
            return -EFAULT;
        driver_regs_set(v, &state);
        return 0;
    case HAX_VCPU_GET_REGS:
        driver_regs_get(v, &state);
        return copy_to_user(arg, &state, sizeof(state));
    case HAX_VCPU_IOCTL_INTERRUPT: return interrupt(v, arg);
    case HAX_IOCTL_VCPU_DEBUG:
        if (copy_from_user(&debug, arg, sizeof(debug)) < 0)
            return -EFAULT;
        driver_debug_set(v, &debug);
        return 0;
    case HAX_VCPU_IOCTL_SET_CPUID: return cpuid(v, arg, true);
    case HAX_VCPU_IOCTL_GET_CPUID: return cpuid(v, arg, false);
    default: return -ENOSYS;
    }
}

static long vcpu_ioctl(struct object *object, unsigned request, uint64_t arg)
{
    struct vcpu_double *v = ((struct node_object *)object)->vcpu;
    long ret;

    /* The driver has a lock for RUN alone; what else comes meanwhile reads and writes a vCPU that
     * runs. */
    if (pthread_mutex_trylock(&v->lock) != 0)
        double_die("a request 0x%x to vCPU %u, which runs", request, v->id);
    ret = handle(v, request, arg);
    pthread_mutex_unlock(&v->lock);
    return ret;
}

static const struct request vcpu_requests[] = {
    {HAX_VCPU_IOCTL_RUN, "RUN", ""},
    {HAX_VCPU_IOCTL_SETUP_TUNNEL, "SETUP_TUNNEL", ""},
    {HAX_VCPU_IOCTL_SET_MSRS, "SET_MSRS", "nr_msr:2 done:2 pad:4 entry:8 value:8"},
    {HAX_VCPU_IOCTL_GET_MSRS, "GET_MSRS", "nr_msr:2 done:2 pad:4 entry:8"},
    {HAX_VCPU_IOCTL_SET_FPU, "SET_FPU", "fcw:2"},
    {HAX_VCPU_IOCTL_GET_FPU, "GET_FPU", ""},
    {HAX_VCPU_SET_REGS, "SET_REGS", ""},
    {HAX_VCPU_GET_REGS, "GET_REGS", ""},
    {HAX_VCPU_IOCTL_INTERRUPT, "INTERRUPT", "vector:4"},
    {HAX_IOCTL_VCPU_DEBUG, "VCPU_DEBUG", "control:4 reserved:4"},
    {HAX_VCPU_IOCTL_SET_CPUID, "SET_CPUID", ""},
    {HAX_VCPU_IOCTL_GET_CPUID, "GET_CPUID", ""},
    {0, NULL, NULL},
};

const struct object_ops driver_vcpu_ops = {
    .name = "vcpu",
    .requests = vcpu_requests,
    .ioctl = vcpu_ioctl,
    .close = vcpu_close,
    .release = vcpu_release,
};
