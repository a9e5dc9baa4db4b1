/* SPDX-License-Identifier: BSD-3-Clause */
/* Accesses that the platform does not decode. */
#include "whpx/whpx.h"

#include <stdlib.h>
#include <string.h>

#define XSAVE_AVX 2u

/* The upper halves of YMM0 ... YMM15, in an XSAVE image of the standard form. */
static int ymm_image(uint8_t **image, size_t *size, visor_vcpu *vcpu)
{
    const struct whpx_hv *whpx = whpx_hv_of(vcpu->vm->hv);
    int ret;

    *size = whpx->xsave_size;
    *image = calloc(1, *size > 0 ? *size : 1);
    if (*image == NULL)
        return visor__error(VISOR_ENOMEM, "whpx", "assist", "%zu bytes", *size);
    ret = *size > 0 ? whpx_get_xsave(*image, *size, vcpu) : 0;
    return ret < 0 ? ret : 0;
}

static int get_ymm(uint8_t out[16][16], visor_vcpu *vcpu)
{
    const struct whpx_xsave_part *part = &whpx_hv_of(vcpu->vm->hv)->xsave[XSAVE_AVX];
    uint8_t *image;
    size_t size;
    int ret = ymm_image(&image, &size, vcpu);

    if (ret == 0 && part->offset != 0 && part->offset + 256 <= size)
        memcpy(out, image + part->offset, 256);
    free(image);
    return ret;
}

static int set_ymm(visor_vcpu *vcpu, const uint8_t in[16][16])
{
    const struct whpx_xsave_part *part = &whpx_hv_of(vcpu->vm->hv)->xsave[XSAVE_AVX];
    uint64_t components;
    uint8_t *image;
    size_t size;
    int ret = ymm_image(&image, &size, vcpu);

    if (ret == 0 && part->offset != 0 && part->offset + 256 <= size) {
        memcpy(image + part->offset, in, 256);
        memcpy(&components, image + 512, 8);
        components |= UINT64_C(1) << XSAVE_AVX;
        memcpy(image + 512, &components, 8);
        ret = whpx_set_xsave(vcpu, image, size);
    }
    free(image);
    return ret;
}

/* ---- registers in and out ---- */

static int get(struct visor__assist_x86_state *out, void *context, unsigned pieces)
{
    visor_vcpu *vcpu = context;
    int ret = 0;

    if ((pieces & VISOR__ASSIST_X86_REGS) != 0)
        ret = whpx_get_regs(&out->regs, vcpu);
    if (ret == 0 && (pieces & VISOR__ASSIST_X86_SREGS) != 0)
        ret = whpx_get_sregs(&out->sregs, vcpu);
    if (ret == 0 && (pieces & VISOR__ASSIST_X86_FPU) != 0) {
        out->xcr0 = 1;
        ret = whpx_get_fpu(&out->fpu, vcpu);
        if (ret == 0 && whpx_hv_of(vcpu->vm->hv)->xsave_size > 0)
            ret = whpx_get_number(&out->xcr0, vcpu, WHvX64RegisterXCr0);
    }
    if (ret == 0 && (pieces & VISOR__ASSIST_X86_YMM) != 0)
        ret = get_ymm(out->ymm_high, vcpu);
    return ret;
}

static int set(void *context, const struct visor__assist_x86_state *state,
               const struct visor__assist_x86_changes *changes)
{
    visor_vcpu *vcpu = context;
    uint64_t interrupts = 0;
    int ret = 0;

    if (changes->gpr != 0 || changes->rip || changes->rflags)
        ret = whpx_set_regs(vcpu, &state->regs);
    if (ret == 0 && changes->sregs)
        ret = whpx_set_sregs(vcpu, &state->sregs);
    if (ret == 0 && (changes->xmm != 0 || changes->mxcsr || changes->x87))
        ret = whpx_set_fpu(vcpu, &state->fpu);
    if (ret == 0 && changes->ymm != 0)
        ret = set_ymm(vcpu, state->ymm_high);
    if (ret == 0)
        ret = whpx_get_number(&interrupts, vcpu, WHvRegisterInterruptState);
    if (ret == 0 && (interrupts & 1) != (state->shadow != 0))
        ret = whpx_set_number(vcpu, WHvRegisterInterruptState,
                              (interrupts & ~UINT64_C(1)) | (state->shadow != 0));
    return ret;
}

static int inject(void *context, const struct visor__assist_x86_exception *exception)
{
    return whpx_inject(context, exception);
}

static const struct visor__assist_x86_ops ops = {.get = get, .set = set, .inject = inject};

/* ---- instructions ---- */

bool whpx_assist_is_active(const visor_vcpu *vcpu)
{
    const struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);

    return whpx->assist != NULL && visor__assist_x86_is_active(whpx->assist);
}

/* Serves what the chips have; the rest is an exit. */
static int serve(visor_vcpu *vcpu, int reason, bool settle)
{
    struct visor__assist_x86 *assist = whpx_vcpu_of(vcpu)->assist;

    while ((reason == VISOR_EXIT_MMIO || reason == VISOR_EXIT_IO) && vcpu->lapic != NULL &&
           visor__irqchip_access(vcpu->lapic, &vcpu->exit.io)) {
        visor__assist_x86_answer(assist, &vcpu->exit.io);
        reason = visor__assist_x86_next(&vcpu->exit, assist, settle);
    }
    if (reason == VISOR_EXIT_NONE && whpx_vcpu_of(vcpu)->debug.on)
        return whpx_debug_trap(vcpu);
    return reason;
}

int whpx_assist_start(visor_vcpu *vcpu, const uint8_t *bytes, size_t count)
{
    struct whpx_vcpu *whpx = whpx_vcpu_of(vcpu);
    int ret;

    if (whpx->assist == NULL) {
        ret = visor__assist_x86_create(&whpx->assist, vcpu->vm, &ops, vcpu,
                                       whpx_hv_of(vcpu->vm->hv)->gpa_bits);
        if (ret < 0)
            return ret;
        whpx_chip_changed(vcpu);
    }
    return serve(vcpu, visor__assist_x86_start(&vcpu->exit, whpx->assist, bytes, count), false);
}

int whpx_assist_next(visor_vcpu *vcpu, bool settle)
{
    return serve(vcpu, visor__assist_x86_next(&vcpu->exit, whpx_vcpu_of(vcpu)->assist, settle),
                 settle);
}
