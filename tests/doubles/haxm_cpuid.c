/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CPUID as the driver of HAXM has it (core/cpuid.c): leaves that it knows, made of the processor's
 * and of what it can virtualise; once for a VM. The processor is the software CPU.
 */
#include <errno.h>
#include <string.h>

#include "haxm_machine.h"

#define BIT(n) (1u << (n))

#define FEATURES_ECX                                                                        \
    (BIT(0) | BIT(1) | BIT(9) | BIT(13) | BIT(19) | BIT(20) | BIT(22) | BIT(23) | BIT(25) | \
     BIT(26) | BIT(28) | BIT(29))
#define FEATURES_EDX                                                                           \
    (BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(9) | \
     BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(15) | BIT(16) | BIT(19) | BIT(23) | BIT(24) | \
     BIT(25) | BIT(26) | BIT(27) | BIT(28))
#define FEATURES_7_EBX   (BIT(9) | BIT(10))
#define FEATURES_EXT_EDX (BIT(11) | BIT(20) | BIT(27) | BIT(29))
#define ECX_TSC_DEADLINE BIT(24)
#define ECX_HYPERVISOR   BIT(31)
#define EDX_APIC         BIT(9)
#define MAX_BASIC        0x16u
#define MAX_EXTENDED     0x80000008u

/* The leaves, in the driver's order. */
static const struct {
    uint32_t function, index;
} leaves[] = {
    {0, 0},          {1, 0},          {2, 0},          {7, 0},          {7, 1},
    {0xa, 0},        {0xd, 0},        {0xd, 1},        {0x15, 0},       {0x16, 0},
    {0x40000000, 0}, {0x80000000, 0}, {0x80000001, 0}, {0x80000002, 0}, {0x80000003, 0},
    {0x80000004, 0}, {0x80000006, 0}, {0x80000008, 0},
};
#define LEAVES (sizeof(leaves) / sizeof(leaves[0]))

static void host(struct hax_cpuid_entry *entry, visor_hypervisor *hv)
{
    visor_x86_cpuid_entry all[64];
    int count = SOFT_OK(visor_x86_supported_cpuid(all, 64, hv));

    for (int i = 0; i < count; i++) {
        if (all[i].function == entry->function &&
            ((all[i].flags & VISOR_X86_CPUID_INDEXED) == 0 || all[i].index == entry->index)) {
            entry->eax = all[i].eax, entry->ebx = all[i].ebx;
            entry->ecx = all[i].ecx, entry->edx = all[i].edx;
        }
    }
}

static void adjust(struct hax_cpuid_entry *e)
{
    switch (e->function) {
    case 0: e->eax = e->eax < MAX_BASIC ? e->eax : MAX_BASIC; break;
    case 1:
        e->eax = 0x106f1; /* an old one, whatever the processor */
        e->ebx = 1u << 16 | 8u << 8;
        e->ecx = (e->ecx & FEATURES_ECX) | ECX_HYPERVISOR;
        e->edx &= FEATURES_EDX;
        break;
    case 2: e->eax = 0x03020101, e->ebx = e->ecx = 0, e->edx = 0x0c040844; break;
    case 7:
        e->ebx = e->index == 0 ? e->ebx & FEATURES_7_EBX : 0;
        e->eax = e->ecx = e->edx = 0;
        break;
    case 0xa: e->eax = e->ebx = e->ecx = e->edx = 0; break;
    case 0xd:
        if (e->index == 1)
            e->eax &= 7, e->ecx = e->edx = 0;
        break;
    case 0x40000000:
        e->eax = 0x40000000;
        memcpy(&e->ebx, "HAXM", 4), memcpy(&e->ecx, "HAXM", 4), memcpy(&e->edx, "HAXM", 4);
        break;
    case 0x80000000: e->eax = MAX_EXTENDED, e->ebx = e->ecx = e->edx = 0; break;
    case 0x80000001: e->eax = e->ebx = e->ecx = 0, e->edx &= FEATURES_EXT_EDX; break;
    case 0x80000002:
        e->eax = 0x74726956, e->ebx = 0x206c6175, e->ecx = 0x20555043, e->edx = 0;
        break;
    case 0x80000003:
    case 0x80000004: e->eax = e->ebx = e->ecx = e->edx = 0; break;
    case 0x80000006: e->eax = e->ebx = e->edx = 0, e->ecx = 0x04008040; break;
    case 0x80000008: e->ebx = e->ecx = e->edx = 0; break;
    default: break;
    }
}

void driver_cpuid_init(struct vm_double *vm, visor_hypervisor *hv)
{
    vm->cpuid_count = LEAVES;
    for (unsigned i = 0; i < LEAVES; i++) {
        vm->cpuid[i] =
            (struct hax_cpuid_entry){leaves[i].function, leaves[i].index, 0, 0, 0, 0, 0, {0}};
        host(&vm->cpuid[i], hv);
        adjust(&vm->cpuid[i]);
    }
}

void driver_cpuid_use(struct vcpu_double *v)
{
    visor_x86_cpuid_entry list[HAX_MAX_CPUID_ENTRIES];

    for (unsigned i = 0; i < v->vm->cpuid_count; i++) {
        const struct hax_cpuid_entry *e = &v->vm->cpuid[i];

        list[i] = (visor_x86_cpuid_entry){
            .function = e->function,
            .index = e->index,
            .flags = e->function == 7 || e->function == 0xd ? VISOR_X86_CPUID_INDEXED : 0,
            .eax = e->eax,
            .ebx = e->ebx,
            .ecx = e->ecx,
            .edx = e->edx};
    }
    SOFT_OK(visor_x86_set_cpuid(v->vcpu, list, v->vm->cpuid_count));
}

long driver_cpuid_get(struct vm_double *vm, struct hax_cpuid *list)
{
    bool fits = list->total >= vm->cpuid_count;

    list->total = vm->cpuid_count;
    list->pad = 0;
    if (!fits)
        return -ENOMEM;
    memcpy(list->entries, vm->cpuid, vm->cpuid_count * sizeof(vm->cpuid[0]));
    return 0;
}

/* What of a leaf the driver takes over. */
static void take(struct hax_cpuid_entry *to, const struct hax_cpuid_entry *from)
{
    switch (to->function) {
    case 0: to->eax = from->eax < MAX_BASIC ? from->eax : MAX_BASIC; break;
    case 1:
        to->eax = from->eax;
        to->ebx = from->ebx;
        to->ecx = (from->ecx & ~ECX_TSC_DEADLINE) | ECX_HYPERVISOR;
        to->edx = from->edx | EDX_APIC;
        break;
    case 0xd: break;
    case 0x15:
        if (from->eax != 0 && from->ebx != 0)
            *to = *from;
        break;
    case 0x16:
        if (from->eax != 0 && from->ebx != 0 && from->ecx != 0) {
            to->eax = from->eax & 0xffff, to->ebx = from->ebx & 0xffff;
            to->ecx = from->ecx & 0xffff, to->edx = 0;
        }
        break;
    case 0x80000000: to->eax = from->eax < MAX_EXTENDED ? from->eax : MAX_EXTENDED; break;
    case 0x80000001:
        to->eax = from->eax, to->ebx = 0, to->ecx = from->ecx, to->edx = from->edx;
        break;
    case 0x80000006: to->eax = to->ebx = to->edx = 0, to->ecx = from->ecx; break;
    case 0x80000008: to->eax = from->eax, to->ebx = from->ebx, to->ecx = to->edx = 0; break;
    default: *to = *from; break;
    }
}

long driver_cpuid_set(struct vm_double *vm, const struct hax_cpuid *list)
{
    if (list->total == 0)
        return -EINVAL;
    for (unsigned i = 0; i < vm->cpuid_count; i++) {
        for (uint32_t n = 0; n < list->total; n++) {
            if (list->entries[n].function == vm->cpuid[i].function &&
                list->entries[n].index == vm->cpuid[i].index) {
                take(&vm->cpuid[i], &list->entries[n]);
                break;
            }
        }
    }
    for (unsigned i = 0; i < HAX_MAX_VCPUS; i++) {
        if (vm->vcpus[i] != NULL)
            driver_cpuid_use(vm->vcpus[i]);
    }
    return 0;
}
