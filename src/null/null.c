/* SPDX-License-Identifier: BSD-3-Clause */
/* The null backend: opening, capabilities, faults, and the structure that ties it together. */
#include "null/null.h"

#include <stdio.h>
#include <string.h>

/* ---- faults ---- */

static const char *const op_names[] = {
#define OP_NAME(table, member) #table "." #member,
    NULL_OPS(OP_NAME)
#undef OP_NAME
};

const char *null_op_name(enum null_op op)
{
    return op_names[op];
}

int null_fault(const visor_hypervisor *hv, enum null_op op)
{
    struct null_hv *null = hv->priv;

    if (null->fail != op || atomic_fetch_sub(&null->left, 1) > 0)
        return 0;
    return visor__error(null->code, "null", null_op_name(op), "told to fail");
}

static int parse_op(enum null_op *out, const char *name)
{
    *out = NULL_OP_COUNT;
    if (name == NULL)
        return 0;
    for (int op = 0; op < NULL_OP_COUNT; op++) {
        if (strcmp(op_names[op], name) == 0) {
            *out = (enum null_op)op;
            return 0;
        }
    }
    return visor__error(VISOR_EINVAL, "null", "open", "fail=%s: no such operation", name);
}

static int parse_error(int *out, const char *name)
{
    static const struct {
        const char *name;
        int code;
    } errors[] = {
#define ERROR_ENTRY(name, value, text) {#name, value},
        VISOR_ERRORS(ERROR_ENTRY)
#undef ERROR_ENTRY
    };

    *out = VISOR_EREFUSED;
    if (name == NULL)
        return 0;
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (strcmp(errors[i].name, name) == 0) {
            *out = errors[i].code;
            return 0;
        }
    }
    return visor__error(VISOR_EINVAL, "null", "open", "error=%s: no such error", name);
}

/* ---- hypervisor ---- */

static int hv_open(visor_hypervisor *hv)
{
    struct null_hv *null = hv->priv;
    uint64_t after;
    int ret = parse_op(&null->fail, visor__option_get(hv, "fail"));

    if (ret == 0)
        ret = parse_error(&null->code, visor__option_get(hv, "error"));
    if (ret == 0)
        ret = visor__option_number(&after, hv, "after", 0, INT32_MAX);
    if (ret < 0)
        return ret;
    atomic_init(&null->left, (long long)after);
    snprintf(hv->version, sizeof(hv->version), "1");
    return NULL_FAULT(hv, hv, open);
}

static void hv_close(visor_hypervisor *hv)
{
    (void)hv; /* nothing was opened */
}

static int64_t hv_cap(visor_hypervisor *hv, visor_cap cap)
{
    (void)hv;
    switch (cap) {
    case VISOR_CAP_MAX_VCPUS:
    case VISOR_CAP_MAX_SLOTS: return 64;
    case VISOR_CAP_GPA_BITS: return 40;
    case VISOR_CAP_X86_XCRS:
    case VISOR_CAP_X86_BUS_LOCK:
    case VISOR_CAP_X86_MSR_EXITS:
    case VISOR_CAP_IRQCHIP:
    case VISOR_CAP_IRQCHIP_SPLIT:
    case VISOR_CAP_IRQFD_RESAMPLE: return 1;
    case VISOR_CAP_DIRTY_RING: return 65536;
    default: return 0;
    }
}

static int hv_x86_cpuid(visor_x86_cpuid_entry *out, size_t capacity, visor_hypervisor *hv)
{
    static const visor_x86_cpuid_entry leaves[] = {
        {.function = 0, .eax = 1, .ebx = 0x6c6c756e, .edx = 0x6c6c756e, .ecx = 0x6c6c756e},
        {.function = 1, .eax = 0x600, .edx = 0x00000030}, /* TSC, MSR */
        {.function = 0x80000000, .eax = 0x80000000},
    };
    size_t count = sizeof(leaves) / sizeof(leaves[0]);
    int ret = NULL_FAULT(hv, hv, x86_cpuid);

    if (ret < 0)
        return ret;
    if (capacity > 0)
        memcpy(out, leaves, (capacity < count ? capacity : count) * sizeof(*out));
    return (int)count;
}

static int hv_x86_msr_list(uint32_t *out, size_t capacity, visor_hypervisor *hv)
{
    int ret = NULL_FAULT(hv, hv, x86_msr_list);

    for (size_t i = 0; ret == 0 && i < NULL_MSRS && i < capacity; i++)
        out[i] = null_msrs[i].index;
    return ret < 0 ? ret : NULL_MSRS;
}

static const struct visor__hv_ops hv_ops = {
    .open = hv_open,
    .close = hv_close,
    .cap = hv_cap,
    .x86_cpuid = hv_x86_cpuid,
    .x86_msr_list = hv_x86_msr_list,
};

static const struct visor__option options[] = {
    {"fail", "operation that fails, as table.member: vm.map, vcpu.run, irq.set_routes, ..."},
    {"error", "code that it fails with, ENOMEM for instance (EREFUSED)"},
    {"after", "number of calls of it that succeed before (0)"},
    {NULL, NULL},
};

const struct visor_backend visor__null_backend = {
    .name = "null",
    .summary = "runs scripts instead of machine code, for tests",
    .is_auto = false,
    .arches = 1u << VISOR_ARCH_X86_64,
    .hv_size = sizeof(struct null_hv),
    .vm_size = sizeof(struct null_vm),
    .vcpu_size = sizeof(struct null_vcpu),
    .options = options,
    .hv = &hv_ops,
    .vm = &null_vm_ops,
    .vcpu = &null_vcpu_ops,
    .irq = &null_irq_ops,
    .io_event = &null_io_event_ops,
    .coalesce = &null_coalesce_ops,
    .dirty = &null_dirty_ops,
    .debug = &null_debug_ops,
    .clock = &null_clock_ops,
    .x86 = &null_x86_ops,
};
