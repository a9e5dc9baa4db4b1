/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * x87 and SSE, which the driver reads and writes as an image of FXSAVE. XCR0 and the upper halves
 * of vector registers cannot be reached at all, so the guest is not offered them (haxm_cpuid.c); an
 * image of XSAVE holds the two components that there are, so that snapshots move.
 */
#include <stddef.h>
#include <string.h>

#include "haxm/haxm.h"

/* Of an image of XSAVE (SDM vol. 1, 13.4). */
#define HEADER         512u /* XSTATE_BV; behind it XCOMP_BV */
#define XSTATE_X87     1u
#define XSTATE_SSE     2u
#define XSTATE_X87_SSE (XSTATE_X87 | XSTATE_SSE)

static int read_image(struct fx_layout *out, visor_vcpu *vcpu)
{
    int err = haxm_call(&haxm_vcpu_of(vcpu)->node, HAXM_GET_FPU, out, sizeof(*out));

    return err != 0 ? haxm_error(HAXM_GET_FPU, err, "vCPU %u", vcpu->id) : 0;
}

/* With the mask of MXCSR that the processor has. */
static int write_image(visor_vcpu *vcpu, struct fx_layout *image, const char *operation)
{
    struct fx_layout now;
    int ret = read_image(&now, vcpu);
    int err;

    if (ret < 0)
        return ret;
    /* The driver loads it with FXRSTOR, which faults. */
    if ((image->mxcsr & ~(now.mxcsr_mask != 0 ? now.mxcsr_mask : 0xffbfu)) != 0)
        return visor__error(VISOR_EREFUSED, "haxm", operation, "mxcsr: 0x%x", image->mxcsr);
    image->mxcsr_mask = now.mxcsr_mask;
    err = haxm_call(&haxm_vcpu_of(vcpu)->node, HAXM_SET_FPU, image, sizeof(*image));
    return err != 0 ? haxm_error(HAXM_SET_FPU, err, "vCPU %u", vcpu->id) : 0;
}

/* ---- their registers ---- */

int haxm_get_fpu(visor_x86_fpu *out, visor_vcpu *vcpu)
{
    struct fx_layout fx;
    int ret = read_image(&fx, vcpu);

    if (ret < 0)
        return ret;
    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < 8; i++) {
        memcpy(&out->st[i].significand, fx.st_mm[i], 8);
        memcpy(&out->st[i].sign_exponent, fx.st_mm[i] + 8, 2);
    }
    memcpy(out->xmm[0], fx.mmx_1, sizeof(fx.mmx_1));
    memcpy(out->xmm[8], fx.mmx_2, sizeof(fx.mmx_2));
    out->last_ip = fx.fpu_ip;
    out->last_dp = fx.fpu_dp;
    out->mxcsr = fx.mxcsr;
    out->fcw = fx.fcw;
    out->fsw = fx.fsw;
    out->last_opcode = fx.fop;
    out->ftw = fx.ftw;
    return 0;
}

int haxm_set_fpu(visor_vcpu *vcpu, const visor_x86_fpu *in)
{
    struct fx_layout fx = {
        .mxcsr = in->mxcsr, .fcw = in->fcw, .fsw = in->fsw, .fop = in->last_opcode, .ftw = in->ftw};

    for (unsigned i = 0; i < 8; i++) {
        memcpy(fx.st_mm[i], &in->st[i].significand, 8);
        memcpy(fx.st_mm[i] + 8, &in->st[i].sign_exponent, 2);
    }
    memcpy(fx.mmx_1, in->xmm[0], sizeof(fx.mmx_1));
    memcpy(fx.mmx_2, in->xmm[8], sizeof(fx.mmx_2));
    fx.fpu_ip = in->last_ip;
    fx.fpu_dp = in->last_dp;
    return write_image(vcpu, &fx, "visor_x86_set_fpu");
}

/* ---- an image of XSAVE ---- */

int haxm_get_xsave(uint8_t *out, visor_vcpu *vcpu)
{
    const uint64_t components = XSTATE_X87_SSE;
    struct fx_layout fx;
    int ret = read_image(&fx, vcpu);

    if (ret < 0)
        return ret;
    memset(fx.pad, 0, sizeof(fx.pad));
    memset(out, 0, HAXM_XSAVE_SIZE);
    memcpy(out, &fx, sizeof(fx));
    memcpy(out + HEADER, &components, sizeof(components));
    return 0;
}

int haxm_set_xsave(visor_vcpu *vcpu, const uint8_t *image)
{
    struct fx_layout fx;
    uint64_t header[2];

    memcpy(&fx, image, sizeof(fx));
    memcpy(header, image + HEADER, sizeof(header));
    if ((header[0] & ~(uint64_t)XSTATE_X87_SSE) != 0 || header[1] != 0)
        return visor__error(VISOR_EREFUSED, "haxm", "visor_x86_set_xsave",
                            "components 0x%llx, compacted 0x%llx: the driver keeps x87 and SSE",
                            (unsigned long long)header[0], (unsigned long long)header[1]);
    /* Components that are not in it have their initial values (SDM vol. 1, 13.6). */
    if ((header[0] & XSTATE_X87) == 0) {
        memset(&fx, 0, offsetof(struct fx_layout, mxcsr));
        memset(fx.st_mm, 0, sizeof(fx.st_mm));
        fx.fcw = 0x37f;
    }
    if ((header[0] & XSTATE_SSE) == 0) {
        memset(fx.mmx_1, 0, sizeof(fx.mmx_1));
        memset(fx.mmx_2, 0, sizeof(fx.mmx_2));
        fx.mxcsr = 0x1f80;
    }
    return write_image(vcpu, &fx, "visor_x86_set_xsave");
}

/* ---- XCR0: of a guest without XSAVE ---- */

void haxm_get_xcrs(visor_x86_xcrs *out)
{
    memset(out, 0, sizeof(*out));
    out->count = 1;
    out->xcr[0].value = XSTATE_X87;
}

int haxm_set_xcrs(const visor_x86_xcrs *in)
{
    for (uint32_t i = 0; i < in->count; i++) {
        if (in->xcr[i].index != 0 || in->xcr[i].value != XSTATE_X87)
            return visor__error(VISOR_EMISMATCH, "haxm", "visor_x86_set_xcrs",
                                "XCR%u = 0x%llx, of a guest without XSAVE", in->xcr[i].index,
                                (unsigned long long)in->xcr[i].value);
    }
    return 0;
}
