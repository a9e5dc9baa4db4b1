/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CPUID. The driver has one list for all vCPUs of a VM, which the first of them owns, of leaves
 * that it knows; the others read as zeros. So every vCPU of a VM reads the APIC id 0 there.
 *
 * It runs guests that use XSAVE, and lets nobody read or write what XSAVE saves. A guest that had
 * it would lose its vector registers' upper halves in a snapshot; so it is not offered.
 */
#include <stddef.h>
#include <string.h>

#include "haxm/haxm.h"

#define LEAF_FEATURES  1u
#define LEAF_EXTENDED  7u
#define LEAF_XSTATE    0xdu
#define LEAF_ADDRESSES 0x80000008u

#define MOST_GPA_BITS 43u

/* XSAVE and what needs it. */
#define XSAVE_ECX_1 (1u << 12 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 29) /* FMA ... F16C */
#define XSAVE_EBX_7 (1u << 5)                                              /* AVX2 */

#define APIC_ID(ebx) ((ebx)&0xff000000u)

/* A struct hax_cpuid with room for all. */
struct list {
    uint32_t total, pad;
    struct hax_cpuid_entry entries[HAX_MAX_CPUID_ENTRIES];
};
_Static_assert(offsetof(struct list, entries) == offsetof(struct hax_cpuid, entries),
               "entries follow the head");

static bool has_index(uint32_t function)
{
    return function == LEAF_EXTENDED || function == LEAF_XSTATE;
}

/* ---- the driver's list ---- */

static int read_list(struct list *list, const struct haxm_node *node)
{
    int err;

    memset(list, 0, sizeof(*list));
    list->total = HAX_MAX_CPUID_ENTRIES;
    err = haxm_call(node, HAXM_GET_CPUID, list, sizeof(*list));
    if (err == 0 && list->total > HAX_MAX_CPUID_ENTRIES)
        err = haxm_error_broken;
    return err != 0 ? haxm_error(HAXM_GET_CPUID, err, "%s", "") : 0;
}

static int write_list(const struct haxm_node *node, struct list *list)
{
    int err = haxm_call(node, HAXM_SET_CPUID, list, sizeof(*list));

    return err != 0 ? haxm_error(HAXM_SET_CPUID, err, "%u entries", list->total) : 0;
}

static struct hax_cpuid_entry *find(struct list *list, uint32_t function, uint32_t index)
{
    for (uint32_t i = 0; i < list->total; i++) {
        if (list->entries[i].function == function && list->entries[i].index == index)
            return &list->entries[i];
    }
    return NULL;
}

/* Takes XSAVE out. Returns whether it was there. */
static bool without_xsave(struct list *list)
{
    struct hax_cpuid_entry *features = find(list, LEAF_FEATURES, 0);
    struct hax_cpuid_entry *extended = find(list, LEAF_EXTENDED, 0);
    bool found = false;

    if (features != NULL) {
        found = (features->ecx & XSAVE_ECX_1) != 0;
        features->ecx &= ~XSAVE_ECX_1;
    }
    if (extended != NULL) {
        found |= (extended->ebx & XSAVE_EBX_7) != 0;
        extended->ebx &= ~XSAVE_EBX_7;
    }
    return found;
}

/* In the public form; what XSAVE saves is left out. */
static int convert(visor_x86_cpuid_entry *out, size_t capacity, const struct list *list)
{
    size_t count = 0;

    for (uint32_t i = 0; i < list->total; i++) {
        const struct hax_cpuid_entry *from = &list->entries[i];

        if (from->function == LEAF_XSTATE)
            continue;
        if (count < capacity)
            out[count] = (visor_x86_cpuid_entry){
                .function = from->function,
                .index = from->index,
                .flags = has_index(from->function) ? VISOR_X86_CPUID_INDEXED : 0,
                .eax = from->eax,
                .ebx = from->ebx,
                .ecx = from->ecx,
                .edx = from->edx};
        count++;
    }
    return (int)count;
}

/* ---- what the hypervisor offers: what a new vCPU has ---- */

static int ask_vcpu(struct list *list, visor_hypervisor *hv, const struct haxm_node *vm,
                    uint32_t id)
{
    struct haxm_node vcpu;
    uint32_t first = 0;
    int err = haxm_call(vm, HAXM_VCPU_CREATE, &first, sizeof(first));
    int ret;

    if (err != 0)
        return haxm_error(HAXM_VCPU_CREATE, err, "%s", "");
    ret = haxm_open_vcpu(&vcpu, &haxm_hv_of(hv)->node, id, first);
    if (ret < 0)
        return ret;
    ret = read_list(list, &vcpu);
    haxm_close(&vcpu);
    return ret;
}

static int ask(struct list *list, visor_hypervisor *hv)
{
    struct haxm_node vm;
    uint32_t id;
    int err = haxm_call(&haxm_hv_of(hv)->node, HAXM_CREATE_VM, &id, sizeof(id));
    int ret;

    if (err != 0)
        return haxm_error(HAXM_CREATE_VM, err, "%s", "");
    ret = haxm_open_vm(&vm, &haxm_hv_of(hv)->node, id);
    if (ret < 0)
        return ret;
    ret = ask_vcpu(list, hv, &vm, id);
    haxm_close(&vm);
    return ret;
}

int haxm_cpuid_supported(visor_x86_cpuid_entry *out, size_t capacity, visor_hypervisor *hv)
{
    struct haxm_hv *priv = haxm_hv_of(hv);
    struct list list;
    int ret = 0;

    visor__mutex_lock(&priv->lock);
    if (priv->cpuid_count == 0) {
        ret = ask(&list, hv);
        if (ret == 0) {
            without_xsave(&list);
            priv->cpuid_count = convert(priv->cpuid, HAX_MAX_CPUID_ENTRIES, &list);
        }
    }
    if (ret == 0) {
        ret = priv->cpuid_count;
        if (capacity > 0)
            memcpy(out, priv->cpuid,
                   ((size_t)ret < capacity ? (size_t)ret : capacity) * sizeof(*out));
    }
    visor__mutex_unlock(&priv->lock);
    return ret;
}

/* The processor's, but for the driver's numbers of pages, which have 31 bits. */
unsigned haxm_cpuid_gpa_bits(visor_hypervisor *hv)
{
    visor_x86_cpuid_entry list[HAX_MAX_CPUID_ENTRIES] = {{0}};
    int count = haxm_cpuid_supported(list, HAX_MAX_CPUID_ENTRIES, hv);

    for (int i = 0; i < count; i++) {
        unsigned bits = list[i].eax & 0xff;

        if (list[i].function == LEAF_ADDRESSES && bits >= 32 && bits < MOST_GPA_BITS)
            return bits;
    }
    return count < 0 ? 32 : MOST_GPA_BITS;
}

/* ---- a vCPU's ---- */

int haxm_cpuid_init(visor_vcpu *vcpu)
{
    const struct haxm_node *node = &haxm_vcpu_of(vcpu)->node;
    struct list list;
    int ret;

    if (vcpu->id != 0)
        return 0;
    ret = read_list(&list, node);
    if (ret < 0 || !without_xsave(&list))
        return ret;
    return write_list(node, &list);
}

int haxm_cpuid_get(visor_x86_cpuid_entry *out, size_t capacity, visor_vcpu *vcpu)
{
    struct list list;
    int ret = read_list(&list, &haxm_vcpu_of(vcpu)->node);

    return ret < 0 ? ret : convert(out, capacity, &list);
}

/* What the driver makes of a leaf on its own (its core/cpuid.c), registers' bits that may differ
 * from what was asked for. docs/backends/haxm.md. */
static const struct {
    uint32_t function, eax, ebx, ecx, edx;
} own[] = {
    {0, ~0u, ~0u, ~0u, ~0u}, /* the vendor is the processor's, the highest leaf has a limit */
    {LEAF_FEATURES, 0, 0, 1u << 24 | 1u << 31, 1u << 9}, /* TSC deadline, hypervisor; APIC */
    {LEAF_XSTATE, ~0u, ~0u, ~0u, ~0u},
    {0x15, ~0u, ~0u, ~0u, ~0u}, /* not with zeros */
    {0x16, ~0u, ~0u, ~0u, ~0u},
    {0x80000000, ~0u, ~0u, ~0u, ~0u},
    {0x80000001, 0, ~0u, 0, 0},
    {0x80000006, ~0u, ~0u, 0, ~0u},
    {LEAF_ADDRESSES, 0, 0, ~0u, ~0u},
};

static bool is_same(const struct hax_cpuid_entry *a, const struct hax_cpuid_entry *b)
{
    uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (own[i].function == a->function)
            eax = own[i].eax, ebx = own[i].ebx, ecx = own[i].ecx, edx = own[i].edx;
    }
    return ((a->eax ^ b->eax) & ~eax) == 0 && ((a->ebx ^ b->ebx) & ~ebx) == 0 &&
           ((a->ecx ^ b->ecx) & ~ecx) == 0 && ((a->edx ^ b->edx) & ~edx) == 0;
}

/* Writes the list, and reads it back: the driver drops in silence what it does not take. Leaves
 * that it does not list are none of its own, and read as zeros. */
static int write_and_check(const struct haxm_node *node, struct list *list)
{
    struct list now;
    int ret = write_list(node, list);

    if (ret == 0)
        ret = read_list(&now, node);
    for (uint32_t i = 0; ret == 0 && i < list->total; i++) {
        const struct hax_cpuid_entry *want = &list->entries[i];
        const struct hax_cpuid_entry *got = find(&now, want->function, want->index);

        /* Of two entries for one leaf it takes the first. */
        if (got != NULL && find(list, want->function, want->index) == want && !is_same(want, got))
            ret = visor__error(VISOR_EREFUSED, "haxm", "visor_x86_set_cpuid",
                               "leaf 0x%x, %u: the driver has not taken it over", want->function,
                               want->index);
    }
    return ret;
}

int haxm_cpuid_set(visor_vcpu *vcpu, const visor_x86_cpuid_entry *entries, size_t count)
{
    static const char op[] = "visor_x86_set_cpuid";
    const struct haxm_node *node = &haxm_vcpu_of(vcpu)->node;
    struct hax_cpuid_entry *features;
    const struct hax_cpuid_entry *before;
    struct list list, now;
    int ret = read_list(&now, node);

    if (ret < 0)
        return ret;
    if (count == 0 || count > HAX_MAX_CPUID_ENTRIES)
        return visor__error(VISOR_ELIMIT, "haxm", op, "%zu entries; the driver takes 1 to %u",
                            count, HAX_MAX_CPUID_ENTRIES);
    memset(&list, 0, sizeof(list));
    list.total = (uint32_t)count;
    for (size_t i = 0; i < count; i++)
        list.entries[i] = (struct hax_cpuid_entry){.function = entries[i].function,
                                                   .index = entries[i].index,
                                                   .eax = entries[i].eax,
                                                   .ebx = entries[i].ebx,
                                                   .ecx = entries[i].ecx,
                                                   .edx = entries[i].edx};
    if (without_xsave(&list))
        return visor__error(VISOR_EREFUSED, "haxm", op,
                            "a guest with XSAVE or AVX could not be saved");
    features = find(&list, LEAF_FEATURES, 0);
    before = find(&now, LEAF_FEATURES, 0);
    if (vcpu->id != 0 && features != NULL && before != NULL)
        features->ebx = (features->ebx & 0x00ffffffu) | APIC_ID(before->ebx);
    return write_and_check(node, &list);
}
