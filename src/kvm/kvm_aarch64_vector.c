/* SPDX-License-Identifier: BSD-3-Clause */
/* Vector registers, with and without SVE. */
#include <string.h>

#include "kvm/kvm_aarch64.h"

#define FPCR VISOR_AARCH64_SYSREG(3, 3, 4, 4, 0)
#define FPSR VISOR_AARCH64_SYSREG(3, 3, 4, 4, 1)

/*
 * With SVE the vectors are reached as Z registers only. These are transferred in slices of 2048
 * bits, which is also the longest vector that there is: one slice each (api.rst 4.68).
 */
#define Z_SLICE 256
#define Z_REGS  32u
#define P_REGS  16u

static bool has_sve(const visor_vcpu *vcpu)
{
    return vcpu->vm->machine.aarch64.sve == VISOR_ON;
}

static int vector_failed(const char *op, const char *kind, unsigned n, int err)
{
    return kvm_error(op, err, "%s%u", kind, n);
}

static int vector_reg(visor_vcpu *vcpu, unsigned long request, unsigned n, uint8_t slice[Z_SLICE])
{
    uint64_t id = has_sve(vcpu) ? KVM_REG_ARM64_SVE_ZREG(n, 0) : kvm_aarch64_vector_to_kvm(n);

    return kvm_aarch64_one_reg(vcpu, request, id, slice);
}

int kvm_aarch64_get_vector(uint64_t out[2], visor_vcpu *vcpu, unsigned n)
{
    uint8_t slice[Z_SLICE];
    int ret = vector_reg(vcpu, KVM_GET_ONE_REG, n, slice);

    if (ret < 0)
        return vector_failed("KVM_GET_ONE_REG", "V", n, -ret);
    memcpy(out, slice, 2 * sizeof(out[0]));
    return 0;
}

int kvm_aarch64_put_vector(visor_vcpu *vcpu, unsigned n, const uint64_t value[2])
{
    uint8_t slice[Z_SLICE] = {0};
    int ret;

    memcpy(slice, value, 2 * sizeof(value[0]));
    ret = vector_reg(vcpu, KVM_SET_ONE_REG, n, slice);
    return ret < 0 ? vector_failed("KVM_SET_ONE_REG", "V", n, -ret) : 0;
}

int kvm_aarch64_set_vector(visor_vcpu *vcpu, unsigned n, const uint64_t value[2])
{
    int ret = kvm_aarch64_complete(vcpu, false);

    return ret < 0 ? ret : kvm_aarch64_put_vector(vcpu, n, value);
}

int kvm_aarch64_get_fpsimd(void *buf, visor_vcpu *vcpu)
{
    visor_aarch64_fpsimd *out = buf;
    uint64_t fpsr, fpcr;
    int ret = kvm_aarch64_get_reg(&fpsr, vcpu, FPSR);

    if (ret != 0)
        return ret;
    out->fpsr = (uint32_t)fpsr;
    ret = kvm_aarch64_get_reg(&fpcr, vcpu, FPCR);
    if (ret != 0)
        return ret;
    out->fpcr = (uint32_t)fpcr;
    for (unsigned n = 0; ret == 0 && n < 32; n++)
        ret = kvm_aarch64_get_vector(out->v[n], vcpu, n);
    return ret;
}

int kvm_aarch64_set_fpsimd(visor_vcpu *vcpu, const void *buf)
{
    const visor_aarch64_fpsimd *in = buf;
    int ret = kvm_aarch64_put_reg(vcpu, FPSR, in->fpsr);

    if (ret == 0)
        ret = kvm_aarch64_put_reg(vcpu, FPCR, in->fpcr);
    for (unsigned n = 0; ret == 0 && n < 32; n++)
        ret = kvm_aarch64_put_vector(vcpu, n, in->v[n]);
    return ret;
}

/* ---- the whole of SVE ---- */

/* Bytes of the longest vector, from the set of lengths. */
static size_t vector_bytes(const visor_vcpu *vcpu)
{
    size_t bytes = 0;

    for (uint32_t lengths = vcpu->vm->machine.aarch64.sve_lengths; lengths != 0; lengths >>= 1)
        bytes += 16;
    return bytes;
}

/* Walks over the image: Z0 to Z31, P0 to P15, FFR. Either from the vCPU or to it. */
static int copy_sve(visor_vcpu *vcpu, uint8_t *out, const uint8_t *in)
{
    unsigned long request = out != NULL ? KVM_GET_ONE_REG : KVM_SET_ONE_REG;
    size_t vector = vector_bytes(vcpu), offset = 0;

    for (unsigned n = 0; n < Z_REGS + P_REGS + 1; n++) {
        bool is_vector = n < Z_REGS;
        size_t bytes = is_vector ? vector : vector / 8;
        uint64_t id = is_vector             ? KVM_REG_ARM64_SVE_ZREG(n, 0)
                      : n < Z_REGS + P_REGS ? KVM_REG_ARM64_SVE_PREG(n - Z_REGS, 0)
                                            : KVM_REG_ARM64_SVE_FFR(0);
        uint8_t slice[Z_SLICE] = {0};
        int ret;

        if (in != NULL)
            memcpy(slice, in + offset, bytes);
        ret = kvm_aarch64_one_reg(vcpu, request, id, slice);
        if (ret < 0)
            return vector_failed(in != NULL ? "KVM_SET_ONE_REG" : "KVM_GET_ONE_REG",
                                 is_vector ? "Z" : "P", is_vector ? n : n - Z_REGS, -ret);
        if (out != NULL)
            memcpy(out + offset, slice, bytes);
        offset += bytes;
    }
    return 0;
}

static size_t sve_size(const visor_vcpu *vcpu)
{
    size_t vector = has_sve(vcpu) ? vector_bytes(vcpu) : 0;

    return Z_REGS * vector + (P_REGS + 1) * vector / 8;
}

int kvm_aarch64_get_sve(void *buf, size_t capacity, visor_vcpu *vcpu)
{
    size_t size = sve_size(vcpu);
    int ret = size > 0 && capacity >= size ? copy_sve(vcpu, buf, NULL) : 0;

    return ret < 0 ? ret : (int)size;
}

int kvm_aarch64_set_sve(visor_vcpu *vcpu, const void *buf, size_t length)
{
    size_t size = sve_size(vcpu);

    if (length != size)
        return visor__error(VISOR_EMISMATCH, "kvm", "sve",
                            "an image of %zu bytes; this vCPU's has %zu", length, size);
    return size > 0 ? copy_sve(vcpu, NULL, buf) : 0;
}
