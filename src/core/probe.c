/* SPDX-License-Identifier: BSD-3-Clause */
/* Finding out whether a hypervisor works, by using it. */
#include <stdio.h>
#include <string.h>

#include "core/backend.h"
#include "core/probe.h"
#include "core/spec.h"

/* A guest that has not stopped by then never will. */
#define TIME_LIMIT_NS UINT64_C(5000000000)

static void out_of_time(void *vcpu)
{
    visor_vcpu_kick(vcpu);
}

int visor__probe_run(visor_vcpu *vcpu)
{
    struct visor__alarm alarm;
    int ret = visor__alarm_start(&alarm, TIME_LIMIT_NS, out_of_time, vcpu);

    if (ret < 0)
        return ret;
    do {
        ret = visor_vcpu_run(vcpu);
    } while (ret == VISOR_EXIT_INTR);
    visor__alarm_stop(&alarm);
    if (ret == VISOR_EXIT_KICKED)
        return visor__error(VISOR_EBROKEN, vcpu->vm->hv->backend->name, "probe",
                            "a guest of a few instructions did not come to its end");
    return ret;
}

/* The guests that this library can probe with, in the order of preference. */
static const struct {
    visor_arch arch;
    int (*run)(visor_probe *out, visor_hypervisor *hv);
} guests[] = {
    {VISOR_ARCH_X86_64, visor__probe_x86_64},
    {VISOR_ARCH_AARCH64, visor__probe_aarch64},
    {VISOR_ARCH_RISCV64, visor__probe_riscv64},
};

static int run_guests(visor_probe *out, visor_hypervisor *hv)
{
    for (size_t i = 0; i < sizeof(guests) / sizeof(guests[0]); i++) {
        if (!visor_hypervisor_has_arch(hv, guests[i].arch))
            continue;
        out->arch = guests[i].arch;
        return guests[i].run(out, hv);
    }
    return visor__error(VISOR_EUNSUPPORTED, hv->backend->name, "probe",
                        "it runs no guest of an architecture that this library can probe");
}

/* The error of this thread becomes the result of the probe. */
static void take_error(visor_probe *probe, int status)
{
    probe->status = status;
    probe->full = false;
    snprintf(probe->hint, sizeof(probe->hint), "%s", visor_error_last()->hint);
    visor__error_hint("%s", ""); /* it has a member of its own, so not in the sentence too */
    visor_error_format(probe->detail, sizeof(probe->detail));
}

int visor_hypervisor_probe(visor_probe *out, const char *text)
{
    visor_probe probe = VISOR_PROBE_INIT;
    visor_hypervisor *hv;
    uint32_t size = out->size;
    int ret;

    if (size < sizeof(size))
        return visor__error(VISOR_EINVAL, "", "visor_hypervisor_probe",
                            "the size member is %u: use VISOR_PROBE_INIT", size);
    ret = visor_hypervisor_open(&hv, text);
    if (ret == VISOR_EINVAL)
        return ret;
    if (ret < 0) {
        take_error(&probe, ret);
    } else {
        snprintf(probe.version, sizeof(probe.version), "%s", visor_hypervisor_version(hv));
        probe.full = true;
        ret = run_guests(&probe, hv);
        if (ret < 0)
            take_error(&probe, ret);
        else if (probe.detail[0] == '\0')
            snprintf(probe.detail, sizeof(probe.detail),
                     "runs %s guests at %.0f million "
                     "instructions a second",
                     visor_arch_name(probe.arch), probe.mips);
        visor_hypervisor_free(hv);
    }
    memcpy(out, &probe, size < sizeof(probe) ? size : sizeof(probe));
    out->size = size;
    return 0;
}
