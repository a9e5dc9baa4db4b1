/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names of nodes and control codes of HAXM's driver for Windows (hax_entry.c, components.c of it):
 * which sizes it checks, what it gives back, and what its errors become.
 */
#include "haxm_nodes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "haxm_machine.h"

/* ---- nodes ---- */

/* The name that the driver of Linux has for a node; false: it is none. */
static bool linux_name(char *out, size_t size, const char *path)
{
    unsigned vm, vcpu;
    char again[64];

    if (strcmp(path, HAX_DEVICE_WINDOWS) == 0) {
        snprintf(out, size, "%s", HAX_DEVICE_LINUX);
        return true;
    }
    if (sscanf(path, HAX_VCPU_WINDOWS, &vm, &vcpu) == 2) {
        snprintf(again, sizeof(again), HAX_VCPU_WINDOWS, vm, vcpu);
        snprintf(out, size, HAX_VCPU_LINUX, vm, vcpu);
    } else if (sscanf(path, HAX_VM_WINDOWS, &vm) == 1) {
        snprintf(again, sizeof(again), HAX_VM_WINDOWS, vm);
        snprintf(out, size, HAX_VM_LINUX, vm);
    } else {
        return false;
    }
    return strcmp(again, path) == 0;
}

DWORD driver_open(struct object **out, const char *path)
{
    char name[64];
    long ret;

    if (!linux_name(name, sizeof(name), path))
        return NO_NODE;
    ret = double_open(out, name);
    switch (-ret) {
    case 0: return 0;
    case EBUSY: return ERROR_ACCESS_DENIED; /* they are exclusive devices */
    case ENOENT: return ERROR_FILE_NOT_FOUND;
    default: return ERROR_NOT_ENOUGH_MEMORY;
    }
}

void driver_close(struct object *object)
{
    if (object->ops->close != NULL)
        object->ops->close(object);
    object_put(object);
}

/* ---- control codes ---- */

struct rule {
    DWORD code;
    unsigned request; /* of Linux */
    DWORD in, out;    /* at least */
    DWORD returned;
    DWORD invalid; /* what EINVAL becomes */
};

/* Sizes of what goes in and comes out, and what EINVAL becomes. */
#define RULE(name, in, out, invalid)                        \
    {                                                       \
        name##_WINDOWS, name, (in), (out), (out), (invalid) \
    }
#define TAKES(name, type)                                           \
    {                                                               \
        name##_WINDOWS, name, sizeof(type), 0, 0, ERROR_GEN_FAILURE \
    }
#define GIVES(name, type)                                                      \
    {                                                                          \
        name##_WINDOWS, name, 0, sizeof(type), sizeof(type), ERROR_GEN_FAILURE \
    }

static const struct rule device_rules[] = {
    GIVES(HAX_IOCTL_VERSION, struct hax_module_version),
    GIVES(HAX_IOCTL_CAPABILITY, struct hax_capabilityinfo),
    GIVES(HAX_IOCTL_CREATE_VM, uint32_t),
    TAKES(HAX_IOCTL_SET_MEMLIMIT, struct hax_set_memlimit),
    {.code = 0},
};

static const struct rule vm_rules[] = {
    TAKES(HAX_VM_IOCTL_VCPU_CREATE, uint32_t),
    TAKES(HAX_VM_IOCTL_ALLOC_RAM, struct hax_alloc_ram_info),
    TAKES(HAX_VM_IOCTL_ADD_RAMBLOCK, struct hax_ramblock_info),
    RULE(HAX_VM_IOCTL_SET_RAM, sizeof(struct hax_set_ram_info), 0, ERROR_INVALID_PARAMETER),
    RULE(HAX_VM_IOCTL_SET_RAM2, sizeof(struct hax_set_ram_info2), 0, ERROR_INVALID_PARAMETER),
    RULE(HAX_VM_IOCTL_PROTECT_RAM, sizeof(struct hax_protect_ram_info), 0, ERROR_INVALID_PARAMETER),
    TAKES(HAX_VM_IOCTL_NOTIFY_QEMU_VERSION, struct hax_qemu_version),
    {.code = 0},
};

static const struct rule vcpu_rules[] = {
    RULE(HAX_VCPU_IOCTL_RUN, 0, 0, ERROR_GEN_FAILURE),
    GIVES(HAX_VCPU_IOCTL_SETUP_TUNNEL, struct hax_tunnel_info),
    RULE(HAX_VCPU_IOCTL_SET_MSRS, sizeof(struct hax_msr_data), sizeof(struct hax_msr_data),
         ERROR_GEN_FAILURE),
    GIVES(HAX_VCPU_IOCTL_GET_MSRS, struct hax_msr_data),
    TAKES(HAX_VCPU_IOCTL_SET_FPU, struct fx_layout),
    GIVES(HAX_VCPU_IOCTL_GET_FPU, struct fx_layout),
    TAKES(HAX_VCPU_SET_REGS, struct vcpu_state_t),
    GIVES(HAX_VCPU_GET_REGS, struct vcpu_state_t),
    TAKES(HAX_VCPU_IOCTL_INTERRUPT, uint32_t),
    TAKES(HAX_IOCTL_VCPU_DEBUG, struct hax_debug_t),
    TAKES(HAX_VCPU_IOCTL_SET_CPUID, struct hax_cpuid),
    GIVES(HAX_VCPU_IOCTL_GET_CPUID, struct hax_cpuid),
    {.code = 0},
};

static DWORD error_of(long result, const struct rule *rule)
{
    switch (-result) {
    case 0: return 0;
    case EINVAL: return rule->invalid;
    case EFAULT: return ERROR_INVALID_PARAMETER; /* too many MSRs */
    default: return ERROR_GEN_FAILURE;
    }
}

static long request(struct object *object, const struct rule *rule, void *argument)
{
    uint64_t arg = (uintptr_t)argument;
    long result;

    log_request(object, rule->request, arg);
    result = object->ops->ioctl(object, rule->request, arg);
    log_result(result, false);
    return result;
}

/* The list is in the buffer itself; both sizes are of the one that has it. */
static DWORD control_cpuid(struct object *object, const struct rule *rule, void *buffer, DWORD size,
                           DWORD *returned)
{
    struct hax_cpuid *list = buffer;
    bool is_set = rule->code == HAX_VCPU_IOCTL_SET_CPUID_WINDOWS;
    long result;

    if (list->total > HAX_MAX_CPUID_ENTRIES && !is_set)
        double_die("room for %u leaves: the driver writes more than it has", list->total);
    if (size < sizeof(*list) + (uint64_t)list->total * sizeof(list->entries[0]))
        return ERROR_INVALID_PARAMETER;
    result = request(object, rule, &list);
    if (is_set)
        return result == 0 ? 0 : ERROR_GEN_FAILURE;
    if (result == -ENOMEM) { /* no error here: the number that it needs */
        *returned = sizeof(*list);
        return 0;
    }
    if (result == 0)
        *returned = (DWORD)(sizeof(*list) + list->total * sizeof(list->entries[0]));
    return result == 0 ? 0 : ERROR_GEN_FAILURE;
}

static const struct rule *rules_of(const struct object *object)
{
    if (object->ops == &driver_vm_ops)
        return vm_rules;
    return object->ops == &driver_vcpu_ops ? vcpu_rules : device_rules;
}

DWORD driver_control(struct object *object, DWORD code, void *buffer, DWORD in, DWORD out,
                     DWORD *returned)
{
    const struct rule *rules = rules_of(object), *rule = rules;
    DWORD error;

    *returned = 0;
    if (rules == vcpu_rules && code == HAX_VCPU_IOCTL_KICKOFF_WINDOWS) {
        driver_kick_off(((struct node_object *)object)->vcpu);
        return 0;
    }
    while (rule->code != 0 && rule->code != code)
        rule++;
    if (rule->code == 0)
        return rules == device_rules ? ERROR_INVALID_FUNCTION : ERROR_INVALID_PARAMETER;
    if (in < rule->in || out < rule->out)
        return code == HAX_IOCTL_CREATE_VM_WINDOWS ? ERROR_INSUFFICIENT_BUFFER
                                                   : ERROR_INVALID_PARAMETER;
    if (rules == vcpu_rules &&
        (code == HAX_VCPU_IOCTL_GET_MSRS_WINDOWS || code == HAX_VCPU_IOCTL_GET_CPUID_WINDOWS) &&
        in < 8)
        double_die("request 0x%lx without input: the driver reads what was in its buffer", code);
    if (code == HAX_VCPU_IOCTL_SET_CPUID_WINDOWS || code == HAX_VCPU_IOCTL_GET_CPUID_WINDOWS)
        return control_cpuid(object, rule, buffer,
                             code == HAX_VCPU_IOCTL_SET_CPUID_WINDOWS ? in : out, returned);
    if (rules == vm_rules && code == HAX_VM_IOCTL_ADD_RAMBLOCK_WINDOWS &&
        ((struct hax_ramblock_info *)buffer)->reserved != 0)
        return ERROR_INVALID_PARAMETER;
    error = error_of(request(object, rule, buffer), rule);
    *returned = error == 0 ? rule->returned : 0;
    return error;
}
