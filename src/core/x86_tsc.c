/* SPDX-License-Identifier: BSD-3-Clause */
/* The time-stamp counter of x86-64 guests, by the backend or with MSR 0x10 and the host's own. */
#include "core/backend.h"
#include "core/x86.h"
#include "os/cpu.h"

#define MEASURE_NS 10000000u

int visor__x86_host_tsc(uint64_t *out, const char *operation)
{
    if (visor__cpu_tsc(out))
        return 0;
    return visor__error(VISOR_EUNSUPPORTED, "", operation,
                        "the host's processor has no time-stamp counter");
}

/* A moment on both clocks. Of a few tries the one in which the two were read closest together. */
static int both_clocks(uint64_t *tsc, uint64_t *ns)
{
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < 5; i++) {
        uint64_t before, after, now;
        int ret = visor__x86_host_tsc(&before, "measure_tsc");

        if (ret < 0)
            return ret;
        now = visor__os_now_ns();
        ret = visor__x86_host_tsc(&after, "measure_tsc");
        if (ret < 0)
            return ret;
        if (after - before < best) {
            best = after - before;
            *tsc = before + best / 2;
            *ns = now;
        }
    }
    return 0;
}

int visor__x86_measure_tsc(uint64_t *out)
{
    uint64_t tsc0, tsc1, ns0, ns1;
    int ret = both_clocks(&tsc0, &ns0);

    if (ret < 0)
        return ret;
    for (unsigned i = 0; visor__os_now_ns() - ns0 < MEASURE_NS; i++)
        visor__os_pause(i);
    ret = both_clocks(&tsc1, &ns1);
    if (ret < 0)
        return ret;
    *out = (uint64_t)((double)(tsc1 - tsc0) * 1e9 / (double)(ns1 - ns0));
    return 0;
}

int visor_x86_get_tsc_offset(uint64_t *out, visor_vcpu *vcpu)
{
    const struct visor__x86_ops *ops;
    uint64_t before, after, guest;
    int ret = visor__x86_ops(&ops, vcpu->vm, __func__);

    if (ret == 0 && ops->get_tsc_offset != NULL)
        return ops->get_tsc_offset(out, vcpu);
    if (ret == 0)
        ret = visor__x86_host_tsc(&before, __func__);
    if (ret == 0)
        ret = visor_x86_get_msr(&guest, vcpu, VISOR__MSR_TSC);
    if (ret == 0)
        ret = visor__x86_host_tsc(&after, __func__);
    if (ret == 0)
        *out = guest - (before + (after - before) / 2);
    return ret;
}

int visor_x86_set_tsc_offset(visor_vcpu *vcpu, uint64_t offset)
{
    const struct visor__x86_ops *ops;
    uint64_t now;
    int ret = visor__x86_ops(&ops, vcpu->vm, __func__);

    if (ret == 0 && ops->set_tsc_offset != NULL)
        return ops->set_tsc_offset(vcpu, offset);
    if (ret == 0)
        ret = visor__x86_host_tsc(&now, __func__);
    return ret != 0 ? ret : visor_x86_set_tsc(vcpu, now + offset);
}

int visor_x86_set_tsc(visor_vcpu *vcpu, uint64_t value)
{
    return visor_x86_set_msr(vcpu, VISOR__MSR_TSC, value);
}

int visor_x86_get_tsc_hz(uint64_t *out, visor_vcpu *vcpu)
{
    const struct visor__x86_ops *ops;
    int ret = visor__x86_ops(&ops, vcpu->vm, __func__);

    if (ret < 0)
        return ret;
    if (ops->get_tsc_hz == NULL)
        return visor__error(VISOR_ENOENT, vcpu->vm->hv->backend->name, __func__,
                            "the hypervisor does not tell the frequency");
    return ops->get_tsc_hz(out, vcpu);
}
