/* SPDX-License-Identifier: BSD-3-Clause */
/* MSRs: registers of the platform, the bases of FS and GS, and those of the local APIC. */
#include "whpx/whpx.h"

#define MSR_TSC       0x10u
#define MSR_APIC_BASE 0x1bu
#define MSR_FS_BASE   0xc0000100u
#define MSR_GS_BASE   0xc0000101u

static const struct row {
    uint32_t msr;
    uint32_t name;
    bool canonical; /* holds an address */
    bool volatile_; /* read-only or a command: nothing that a snapshot holds */
} rows[] = {
    {MSR_TSC, WHvX64RegisterTsc, false, false},
    {0x3b, WHvX64RegisterTscAdjust, false, false},
    {0x48, WHvX64RegisterSpecCtrl, false, false},
    {0x49, WHvX64RegisterPredCmd, false, true},
    {0xe1, WHvX64RegisterUmwaitControl, false, false},
    {0xe7, WHvX64RegisterMCount, false, true},
    {0xe8, WHvX64RegisterACount, false, true},
    {0xfe, WHvX64RegisterMsrMtrrCap, false, true},
    {0x122, WHvX64RegisterTsxCtrl, false, false},
    {0x174, WHvX64RegisterSysenterCs, false, false},
    {0x175, WHvX64RegisterSysenterEsp, true, false},
    {0x176, WHvX64RegisterSysenterEip, true, false},
    {0x1a0, WHPX_REGISTER_MISC_ENABLE, false, false},
    {0x1c4, WHvX64RegisterXfd, false, false},
    {0x1c5, WHvX64RegisterXfdErr, false, false},
    {0x250, WHvX64RegisterMsrMtrrFix64k00000, false, false},
    {0x258, WHvX64RegisterMsrMtrrFix16k80000, false, false},
    {0x259, WHvX64RegisterMsrMtrrFix16kA0000, false, false},
    {0x268, WHvX64RegisterMsrMtrrFix4kC0000, false, false},
    {0x269, WHvX64RegisterMsrMtrrFix4kC8000, false, false},
    {0x26a, WHvX64RegisterMsrMtrrFix4kD0000, false, false},
    {0x26b, WHvX64RegisterMsrMtrrFix4kD8000, false, false},
    {0x26c, WHvX64RegisterMsrMtrrFix4kE0000, false, false},
    {0x26d, WHvX64RegisterMsrMtrrFix4kE8000, false, false},
    {0x26e, WHvX64RegisterMsrMtrrFix4kF0000, false, false},
    {0x26f, WHvX64RegisterMsrMtrrFix4kF8000, false, false},
    {0x277, WHvX64RegisterPat, false, false},
    {0x2ff, WHvX64RegisterMsrMtrrDefType, false, false},
    {0x6a0, WHvX64RegisterUCet, false, false},
    {0x6a2, WHvX64RegisterSCet, false, false},
    {0x6a4, WHvX64RegisterPl0Ssp, true, false},
    {0x6a5, WHvX64RegisterPl1Ssp, true, false},
    {0x6a6, WHvX64RegisterPl2Ssp, true, false},
    {0x6a7, WHvX64RegisterPl3Ssp, true, false},
    {0x6a8, WHvX64RegisterInterruptSspTableAddr, true, false},
    {0xd90, WHvX64RegisterBndcfgs, false, false},
    {0xda0, WHvX64RegisterXss, false, false},
    {0xc0000080, WHvX64RegisterEfer, false, true}, /* is in visor_x86_sregs */
    {0xc0000081, WHvX64RegisterStar, false, false},
    {0xc0000082, WHvX64RegisterLstar, true, false},
    {0xc0000083, WHvX64RegisterCstar, true, false},
    {0xc0000084, WHvX64RegisterSfmask, false, false},
    {0xc0000102, WHvX64RegisterKernelGsBase, true, false},
    {0xc0000103, WHvX64RegisterTscAux, false, false},
#define PAIR(n, hex)                                                      \
    {0x200 + 2 * (n), WHvX64RegisterMsrMtrrPhysBase##hex, false, false},  \
    {                                                                     \
        0x201 + 2 * (n), WHvX64RegisterMsrMtrrPhysMask##hex, false, false \
    }
    PAIR(0, 0),
    PAIR(1, 1),
    PAIR(2, 2),
    PAIR(3, 3),
    PAIR(4, 4),
    PAIR(5, 5),
    PAIR(6, 6),
    PAIR(7, 7),
    PAIR(8, 8),
    PAIR(9, 9),
    PAIR(10, A),
    PAIR(11, B),
    PAIR(12, C),
    PAIR(13, D),
    PAIR(14, E),
    PAIR(15, F),
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))
_Static_assert(ROWS <= WHPX_MSRS, "there is room for all");

/* Which of them there are depends on the system and on the processor. */
void whpx_survey_msrs(bool has[WHPX_MSRS], const struct whpx_functions *call,
                      WHV_PARTITION_HANDLE partition)
{
    for (size_t i = 0; i < ROWS; i++) {
        const WHV_REGISTER_NAME name = (WHV_REGISTER_NAME)rows[i].name;
        WHV_REGISTER_VALUE value;

        has[i] = call->GetVirtualProcessorRegisters(partition, 0, &name, 1, &value) == S_OK;
    }
}

static const struct row *find(const visor_hypervisor *hv, uint32_t index)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].msr == index)
            return whpx_hv_of(hv)->has_msr[i] ? &rows[i] : NULL;
    }
    return NULL;
}

bool whpx_is_msr(const visor_hypervisor *hv, uint32_t index)
{
    return find(hv, index) != NULL || index == MSR_FS_BASE || index == MSR_GS_BASE;
}

int whpx_msr_list(uint32_t *out, size_t capacity, visor_hypervisor *hv)
{
    static const uint32_t others[] = {MSR_FS_BASE, MSR_GS_BASE, 0x6e0 /* TSC deadline */};
    size_t count = 0;
    int ret = whpx_survey(hv);

    if (ret < 0)
        return ret;
    for (size_t i = 0; i < ROWS + sizeof(others) / sizeof(others[0]); i++) {
        if (i < ROWS && (!whpx_hv_of(hv)->has_msr[i] || rows[i].volatile_))
            continue;
        if (count < capacity)
            out[count] = i < ROWS ? rows[i].msr : others[i - ROWS];
        count++;
    }
    return (int)count;
}

/* ---- reading ---- */

static int read_one(uint64_t *out, visor_vcpu *vcpu, uint32_t index)
{
    WHV_REGISTER_NAME name = index == MSR_FS_BASE ? WHvX64RegisterFs : WHvX64RegisterGs;
    WHV_REGISTER_VALUE value;
    int ret;

    if (index == MSR_FS_BASE || index == MSR_GS_BASE) {
        ret = whpx_get_registers(vcpu, &name, 1, &value);
        *out = ret == 0 ? value.Segment.Base : *out;
        return ret;
    }
    if (index == MSR_APIC_BASE && vcpu->lapic == NULL) {
        *out = whpx_get_apic_base(vcpu);
        return 0;
    }
    if (vcpu->lapic != NULL &&
        visor__lapic_read_msr(out, vcpu->lapic, index, false) == VISOR__MSR_DONE)
        return 0;
    return visor__error(VISOR_ENOENT, "whpx", "visor_x86_get_msrs", "MSR 0x%x", index);
}

int whpx_get_msrs(visor_x86_msr *msrs, size_t count, visor_vcpu *vcpu)
{
    WHV_REGISTER_NAME names[VISOR__MSR_BATCH];
    WHV_REGISTER_VALUE values[VISOR__MSR_BATCH];
    size_t done = 0;

    while (done < count) {
        size_t batch = 0;
        int ret;

        /* As many registers of the platform as follow each other, in one call. */
        for (; done + batch < count && batch < VISOR__MSR_BATCH; batch++) {
            const struct row *row = find(vcpu->vm->hv, msrs[done + batch].index);

            if (row == NULL)
                break;
            names[batch] = (WHV_REGISTER_NAME)row->name;
        }
        ret = batch > 0 ? whpx_get_registers(vcpu, names, batch, values)
                        : read_one(&msrs[done].value, vcpu, msrs[done].index);
        if (ret < 0)
            return (int)done;
        for (size_t i = 0; i < batch; i++)
            msrs[done + i].value = values[i].Reg64;
        done += batch > 0 ? batch : 1;
    }
    return (int)count;
}

/* ---- writing ---- */

static bool is_canonical(uint64_t value)
{
    return (uint64_t)((int64_t)(value << 7) >> 7) == value;
}

static int write_base(visor_vcpu *vcpu, WHV_REGISTER_NAME name, uint64_t base)
{
    WHV_REGISTER_VALUE value;
    int ret = whpx_get_registers(vcpu, &name, 1, &value);

    value.Segment.Base = base;
    return ret < 0 ? ret : whpx_set_registers(vcpu, &name, 1, &value);
}

static int write_lapic(visor_vcpu *vcpu, uint32_t index, uint64_t value)
{
    if (visor__lapic_write_msr(vcpu->lapic, index, value, false) != VISOR__MSR_DONE)
        return VISOR_EREFUSED;
    whpx_chip_changed(vcpu);
    return 0;
}

static int write_one(visor_vcpu *vcpu, uint32_t index, uint64_t value)
{
    const struct row *row = find(vcpu->vm->hv, index);
    int ret;

    if (index == MSR_FS_BASE || index == MSR_GS_BASE)
        return is_canonical(value)
                   ? write_base(vcpu, index == MSR_FS_BASE ? WHvX64RegisterFs : WHvX64RegisterGs,
                                value)
                   : VISOR_EREFUSED;
    if (row == NULL)
        return vcpu->lapic != NULL ? write_lapic(vcpu, index, value) : VISOR_EREFUSED;
    if (row->canonical && !is_canonical(value))
        return VISOR_EREFUSED;
    ret = whpx_set_number(vcpu, (WHV_REGISTER_NAME)row->name, value);
    if (ret == 0 && index == MSR_TSC && vcpu->lapic != NULL) {
        ret = whpx_chip_sync_tsc(vcpu);
        visor__lapic_tsc_changed(vcpu->lapic);
    }
    return ret;
}

int whpx_set_msrs(visor_vcpu *vcpu, const visor_x86_msr *msrs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (write_one(vcpu, msrs[i].index, msrs[i].value) < 0) {
            visor__error(VISOR_EREFUSED, "whpx", "visor_x86_set_msrs", "MSR 0x%x = 0x%llx",
                         msrs[i].index, (unsigned long long)msrs[i].value);
            return (int)i;
        }
    }
    return (int)count;
}
