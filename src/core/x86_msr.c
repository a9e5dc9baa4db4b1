/* SPDX-License-Identifier: BSD-3-Clause */
/* Model-specific registers of x86-64 guests: lists of any length, and the rules of a restore. */
#include <stdlib.h>
#include <string.h>

#include "core/backend.h"
#include "core/x86.h"

#define MSR_PERF_CAPABILITIES 0x345u
#define MSR_AMD_PERF_FIRST    0xc0010200u /* PERF_CTL0 */
#define MSR_AMD_PERF_LAST     0xc001020bu /* PERF_CTR5 */

/* Reads in batches. Returns how many were read before the first that failed. */
static size_t read_some(visor_x86_msr *msrs, size_t count, visor_vcpu *vcpu,
                        const struct visor__x86_ops *ops, int *error)
{
    size_t done = 0;

    *error = 0;
    while (done < count) {
        size_t batch = count - done < VISOR__MSR_BATCH ? count - done : VISOR__MSR_BATCH;
        int ret = ops->get_msrs(msrs + done, batch, vcpu);

        done += ret < 0 ? 0 : (size_t)ret;
        if (ret < 0 || (size_t)ret < batch) {
            *error = ret < 0 ? ret : visor_error_last()->code;
            break;
        }
    }
    return done;
}

static size_t write_some(visor_vcpu *vcpu, const visor_x86_msr *msrs, size_t count,
                         const struct visor__x86_ops *ops, int *error)
{
    size_t done = 0;

    *error = 0;
    while (done < count) {
        size_t batch = count - done < VISOR__MSR_BATCH ? count - done : VISOR__MSR_BATCH;
        int ret = ops->set_msrs(vcpu, msrs + done, batch);

        done += ret < 0 ? 0 : (size_t)ret;
        if (ret < 0 || (size_t)ret < batch) {
            *error = ret < 0 ? ret : visor_error_last()->code;
            break;
        }
    }
    return done;
}

int visor_x86_get_msrs(visor_x86_msr *msrs, size_t count, visor_vcpu *vcpu)
{
    const struct visor__x86_ops *ops;
    int ret = visor__x86_ops(&ops, vcpu->vm, __func__);
    size_t done;

    if (ret < 0)
        return ret;
    done = read_some(msrs, count, vcpu, ops, &ret);
    return done == count ? 0 : visor__error_context("MSR 0x%x", msrs[done].index);
}

int visor_x86_set_msrs(visor_vcpu *vcpu, const visor_x86_msr *msrs, size_t count)
{
    const struct visor__x86_ops *ops;
    int ret = visor__x86_ops(&ops, vcpu->vm, __func__);
    size_t done;

    if (ret < 0)
        return ret;
    done = write_some(vcpu, msrs, count, ops, &ret);
    return done == count ? 0
                         : visor__error_context("MSR 0x%x = 0x%llx", msrs[done].index,
                                                (unsigned long long)msrs[done].value);
}

int visor_x86_get_msr(uint64_t *out, visor_vcpu *vcpu, uint32_t index)
{
    visor_x86_msr msr = {.index = index};
    int ret = visor_x86_get_msrs(&msr, 1, vcpu);

    if (ret == 0)
        *out = msr.value;
    return ret;
}

int visor_x86_set_msr(visor_vcpu *vcpu, uint32_t index, uint64_t value)
{
    const visor_x86_msr msr = {.index = index, .value = value};

    return visor_x86_set_msrs(vcpu, &msr, 1);
}

int visor_x86_msr_list(uint32_t *out, size_t capacity, visor_hypervisor *hv)
{
    if (hv->backend->hv->x86_msr_list == NULL)
        return visor__unsupported(hv, __func__, "this backend has no list of MSRs");
    return hv->backend->hv->x86_msr_list(out, capacity, hv);
}

/* The list of the hypervisor as MSRs without value. The caller frees it. */
static int make_list(visor_x86_msr **out, visor_hypervisor *hv)
{
    int count = visor_x86_msr_list(NULL, 0, hv);
    uint32_t *indices;

    *out = NULL;
    if (count <= 0)
        return count;
    indices = calloc((size_t)count, sizeof(*indices));
    *out = calloc((size_t)count, sizeof(**out));
    if (indices == NULL || *out == NULL) {
        free(indices);
        free(*out);
        *out = NULL;
        return visor__error(VISOR_ENOMEM, "", "visor_x86_msr_list", "%d MSRs", count);
    }
    count = visor_x86_msr_list(indices, (size_t)count, hv);
    for (int i = 0; i < count; i++)
        (*out)[i].index = indices[i];
    free(indices);
    return count;
}

/*
 * Reads every MSR that can be read and moves the others behind them. Returns how many were read:
 * the list is the hypervisor's, and a vCPU whose CPUID lacks a feature may not have its MSRs.
 */
static int read_present(visor_x86_msr *msrs, size_t count, visor_vcpu *vcpu,
                        const struct visor__x86_ops *ops)
{
    size_t done = 0;

    while (done < count) {
        visor_x86_msr missing;
        int error;

        done += read_some(msrs + done, count - done, vcpu, ops, &error);
        if (done == count)
            break;
        if (error != VISOR_ENOENT)
            return visor__error_context("MSR 0x%x", msrs[done].index);
        missing = msrs[done];
        memmove(&msrs[done], &msrs[done + 1], (count - done - 1) * sizeof(*msrs));
        msrs[--count] = missing;
    }
    return (int)count;
}

int visor_x86_get_all_msrs(visor_x86_msr *out, size_t capacity, visor_vcpu *vcpu)
{
    const struct visor__x86_ops *ops;
    visor_x86_msr *msrs = NULL;
    int ret = visor__x86_ops(&ops, vcpu->vm, __func__);

    if (ret == 0)
        ret = make_list(&msrs, vcpu->vm->hv);
    if (msrs == NULL)
        return ret;
    ret = read_present(msrs, (size_t)ret, vcpu, ops);
    if (ret > 0 && capacity > 0)
        memcpy(out, msrs, ((size_t)ret < capacity ? (size_t)ret : capacity) * sizeof(*out));
    free(msrs);
    return ret;
}

/* ---- restoring ---- */

bool visor__x86_msr_is_tolerated(uint32_t index)
{
    return index == MSR_PERF_CAPABILITIES ||
           (index >= MSR_AMD_PERF_FIRST && index <= MSR_AMD_PERF_LAST);
}

/*
 * MSRs that KVM lists for every guest although they hold nothing of the guest's: they are read-only
 * and tell about the host (any value), or have the value that they are born with. Where they are
 * not, nothing is lost.
 */
static bool is_no_loss(const visor_x86_msr *msr, uint64_t present)
{
    static const struct {
        uint32_t index;
        bool any;
        uint64_t value;
    } rows[] = {
        {.index = 0x40000010, .any = true}, /* Hyper-V (TLFS, 12.4): run time, */
        {.index = 0x40000020, .any = true}, /* reference counter, */
        {.index = 0x40000022, .any = true}, /* frequency of the TSC */
        {.index = 0x40000023, .any = true}, /* and of the local APIC's timer */
        {.index = 0x4b564d05, .value = 1},  /* KVM: the host may poll for the guest's wake-up */
        {.index = 0x9e, .value = 0x30000},  /* SMBASE: there is no SMM */
        {.index = 0xc0000104, .value = UINT64_C(1) << 32}, /* AMD's TSC ratio of nested guests */
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].index == msr->index)
            return rows[i].any || (rows[i].value == msr->value && present == 0);
    }
    return false;
}

/* The values that the vCPU has now, in the order of wanted; 0 for one that it does not have. */
static int read_present_values(visor_x86_msr *present, const visor_x86_msr *wanted, size_t count,
                               visor_vcpu *vcpu, const struct visor__x86_ops *ops)
{
    size_t done = 0;

    for (size_t i = 0; i < count; i++)
        present[i] = (visor_x86_msr){.index = wanted[i].index};
    while (done < count) {
        int error;

        done += read_some(present + done, count - done, vcpu, ops, &error);
        if (done == count)
            break;
        if (error != VISOR_ENOENT)
            return visor__error_context("MSR 0x%x", wanted[done].index);
        present[done++].value = 0;
    }
    return 0;
}

static void note_lost(const struct visor__printer *notes, const visor_vcpu *vcpu,
                      const visor_x86_msr *msr)
{
    if (notes != NULL && notes->print != NULL)
        visor__say(notes, "vCPU %u: MSR 0x%x cannot be set to 0x%llx here", vcpu->id, msr->index,
                   (unsigned long long)msr->value);
}

/* Writes all in order; the tolerated ones may fail. */
static int write_tolerant(visor_vcpu *vcpu, const visor_x86_msr *msrs, size_t count,
                          const struct visor__x86_ops *ops, const struct visor__printer *notes)
{
    size_t done = 0;

    while (done < count) {
        int error;

        done += write_some(vcpu, msrs + done, count - done, ops, &error);
        if (done == count)
            break;
        if (!visor__x86_msr_is_tolerated(msrs[done].index))
            return visor__error_context("MSR 0x%x = 0x%llx", msrs[done].index,
                                        (unsigned long long)msrs[done].value);
        note_lost(notes, vcpu, &msrs[done++]);
    }
    return 0;
}

int visor__x86_restore_msrs(visor_vcpu *vcpu, const visor_x86_msr *msrs, size_t count,
                            const struct visor__printer *notes)
{
    const struct visor__x86_ops *ops;
    visor_x86_msr *present;
    size_t changed = 0;
    int ret = visor__x86_ops(&ops, vcpu->vm, "visor_x86_set_msrs");

    if (ret < 0 || count == 0)
        return ret;
    present = calloc(count, sizeof(*present));
    if (present == NULL)
        return visor__error(VISOR_ENOMEM, "", "visor_x86_set_msrs", "%zu MSRs", count);
    ret = read_present_values(present, msrs, count, vcpu, ops);
    for (size_t i = 0; ret == 0 && i < count; i++) {
        if (present[i].value != msrs[i].value && !is_no_loss(&msrs[i], present[i].value))
            present[changed++] = (visor_x86_msr){.index = msrs[i].index, .value = msrs[i].value};
    }
    if (ret == 0)
        ret = write_tolerant(vcpu, present, changed, ops, notes);
    free(present);
    return ret;
}
