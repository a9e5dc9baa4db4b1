/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Model-specific registers. The driver stops at the first that it does not have, and says how many
 * it has done; on Linux not of those it has set. Some it takes and forgets. So they are set one at
 * a time, and read back.
 */
#include <string.h>

#include "core/x86.h"
#include "haxm/haxm.h"

/* LMA is the driver's to work out. Of MISC_ENABLE it has a value of its own, in which the guest
 * loses nothing: fast strings are only fast, and the others say what the processor has not (SDM
 * vol. 4, table 2-2). */
#define EFER_LMA        0x400u
#define MSR_MISC_ENABLE 0x1a0u
#define MISC_ENABLE_OWN 0x1801u /* fast strings; no branch trace, no sampling */

/* All that the driver keeps a value of, EFER aside, which is in sregs. */
static const struct {
    uint32_t first, last;
} ranges[] = {
    {0x10, 0x10},   /* TSC */
    {0x174, 0x176}, /* SYSENTER_CS, ESP, EIP */
    {0x200, 0x213}, /* variable MTRRs */
    {0x250, 0x250},
    {0x258, 0x259},
    {0x268, 0x26f},           /* fixed MTRRs */
    {0x277, 0x277},           /* PAT */
    {0x2ff, 0x2ff},           /* MTRR_DEF_TYPE */
    {0xc0000081, 0xc0000084}, /* STAR, LSTAR, CSTAR, SF_MASK */
    {0xc0000102, 0xc0000103}, /* KERNEL_GS_BASE, TSC_AUX */
};

int haxm_msr_list(uint32_t *out, size_t capacity, visor_hypervisor *hv)
{
    size_t count = 0;

    (void)hv;
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        for (uint32_t index = ranges[i].first; index <= ranges[i].last; index++, count++) {
            if (count < capacity)
                out[count] = index;
        }
    }
    return (int)count;
}

/* Reads up to haxm_msrs_most. Returns how many the driver has read, < 0: an error. */
static int read_some(visor_x86_msr *msrs, size_t count, visor_vcpu *vcpu)
{
    struct hax_msr_data data;
    int err;

    memset(&data, 0, sizeof(data));
    data.nr_msr = (uint16_t)count;
    for (size_t i = 0; i < count; i++)
        data.entries[i].entry = msrs[i].index;
    err = haxm_call(&haxm_vcpu_of(vcpu)->node, HAXM_GET_MSRS, &data, sizeof(data));
    if (err != 0)
        return haxm_error(HAXM_GET_MSRS, err, "vCPU %u", vcpu->id);
    if (data.done > count)
        data.done = (uint16_t)count;
    for (size_t i = 0; i < data.done; i++)
        msrs[i].value = data.entries[i].value;
    return data.done;
}

int haxm_get_msrs(visor_x86_msr *msrs, size_t count, visor_vcpu *vcpu)
{
    size_t done = 0;

    while (done < count) {
        size_t batch = count - done < haxm_msrs_most ? count - done : haxm_msrs_most;
        int ret = read_some(msrs + done, batch, vcpu);

        if (ret < 0)
            return ret;
        done += (size_t)ret;
        if ((size_t)ret < batch) {
            visor__error(VISOR_ENOENT, "haxm", "visor_x86_get_msrs", "MSR 0x%x", msrs[done].index);
            break;
        }
    }
    return (int)done;
}

/* Those that may differ from what was set. */
static uint64_t own_bits(uint32_t index)
{
    switch (index) {
    case HAXM_MSR_TSC: return ~UINT64_C(0);
    case HAXM_MSR_EFER: return EFER_LMA;
    case MSR_MISC_ENABLE: return MISC_ENABLE_OWN;
    default: return 0;
    }
}

int haxm_write_msr(visor_vcpu *vcpu, const visor_x86_msr *msr)
{
    struct hax_msr_data data;
    visor_x86_msr now = {.index = msr->index};
    int err, ret;

    memset(&data, 0, sizeof(data));
    data.nr_msr = 1;
    data.entries[0] = (struct vmx_msr){msr->index, msr->value};
    err = haxm_call(&haxm_vcpu_of(vcpu)->node, HAXM_SET_MSRS, &data, sizeof(data));
    /* A segment's base is an MSR too. */
    haxm_vcpu_of(vcpu)->has_state = false;
    if (err != 0)
        return haxm_error(HAXM_SET_MSRS, err, "vCPU %u, MSR 0x%x", vcpu->id, msr->index);
    if (!haxm_tells_msrs_set || data.done == 1) {
        ret = read_some(&now, 1, vcpu);
        if (ret < 0)
            return ret;
        if (ret == 1 && (((now.value ^ msr->value) & ~own_bits(msr->index)) == 0))
            return 0;
    }
    return visor__error(VISOR_EREFUSED, "haxm", "visor_x86_set_msrs", "MSR 0x%x = 0x%llx",
                        msr->index, (unsigned long long)msr->value);
}

int haxm_set_msrs(visor_vcpu *vcpu, const visor_x86_msr *msrs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (haxm_write_msr(vcpu, &msrs[i]) < 0)
            return (int)i;
    }
    return (int)count;
}

/* The guest's counter is the processor's with an offset. Measured when it is asked for. */
int haxm_get_tsc_hz(uint64_t *out, visor_vcpu *vcpu)
{
    struct haxm_vm *vm = haxm_vm_of(vcpu->vm);
    uint64_t hz = atomic_load(&vm->tsc_hz);
    int ret = hz != 0 ? 0 : visor__x86_measure_tsc(&hz);

    if (ret < 0)
        return ret;
    atomic_store(&vm->tsc_hz, hz);
    *out = hz;
    return 0;
}
