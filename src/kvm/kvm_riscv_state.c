/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pieces of vCPU state, and single registers. KVM has one call for one register (api.rst 4.68);
 * which registers a vCPU has is a list that the kernel is asked for (api.rst 4.84; Linux 6.6).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/kvm_riscv.h"

/* ---- one register ---- */

/* Returns 0 or -errno. Narrow registers are extended by zeros. */
static int one_reg(visor_vcpu *vcpu, unsigned long request, uint64_t id, void *value)
{
    struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)value};

    return kvm_ioctl_quiet(kvm_vcpu_of(vcpu)->fd, request, (uintptr_t)&reg);
}

static int read_reg(uint64_t *out, visor_vcpu *vcpu, uint64_t id)
{
    uint64_t value = 0;
    int ret = one_reg(vcpu, KVM_GET_ONE_REG, id, &value);

    *out = value;
    return ret;
}

static int write_reg(visor_vcpu *vcpu, uint64_t id, uint64_t value)
{
    if (kvm_riscv_reg_size(id) < sizeof(value) && value >> 32 != 0)
        return -EINVAL;
    return one_reg(vcpu, KVM_SET_ONE_REG, id, &value);
}

/* Kernels before 6.6 say EINVAL for what there is not. */
static int read_failed(uint32_t reg, int err)
{
    int code = err == EINVAL ? VISOR_ENOENT : visor__linux_code(err);

    return visor__error_native(code, "kvm", "KVM_GET_ONE_REG", VISOR_NATIVE_ERRNO, err,
                               "register %#x", reg);
}

/* EBUSY, before 6.6 EOPNOTSUPP: the vCPU has run. */
static int write_failed(uint32_t reg, uint64_t value, int err)
{
    int code = err == EBUSY || err == EOPNOTSUPP ? VISOR_EREFUSED : visor__linux_code(err);

    return visor__error_native(code, "kvm", "KVM_SET_ONE_REG", VISOR_NATIVE_ERRNO, err,
                               "register %#x = %#llx", reg, (unsigned long long)value);
}

/* KVM's number of a public register of this vCPU. */
static uint64_t reg_id(visor_vcpu *vcpu, uint32_t reg)
{
    uint64_t id = kvm_riscv_reg_to_kvm(reg, true), value;

    if (reg >> 24 == VISOR_RISCV_FP && read_reg(&value, vcpu, id) < 0)
        id = kvm_riscv_reg_to_kvm(reg, false);
    return id;
}

int kvm_riscv_get_reg(uint64_t *out, visor_vcpu *vcpu, uint32_t reg)
{
    uint64_t id = reg_id(vcpu, reg), value;
    int ret = reg == VISOR_RISCV_REG(VISOR_RISCV_CORE, 0) || id != 0 ? 0 : -ENOENT;

    if (ret == 0)
        ret = read_reg(&value, vcpu, id);
    if (ret < 0)
        return read_failed(reg, -ret);
    /* With F but not D the upper half is ones. */
    if (reg >> 24 == VISOR_RISCV_FP && (reg & 0xffffff) < 32 && kvm_riscv_reg_size(id) == 4)
        value |= UINT64_C(0xffffffff) << 32;
    *out = value;
    return 0;
}

/* What an answered access still has to do to the vCPU comes first, or it would do it to the new
 * state: a load its register, and each of them the PC. */
int kvm_riscv_set_reg(visor_vcpu *vcpu, uint32_t reg, uint64_t value)
{
    uint64_t id = reg_id(vcpu, reg);
    int ret = kvm_vcpu_complete(vcpu);

    if (ret < 0)
        return ret;
    if (reg >> 24 == VISOR_RISCV_FP && kvm_riscv_reg_size(id) == 4)
        value &= 0xffffffff;
    ret = id == 0 ? -ENOENT : write_reg(vcpu, id, value);
    return ret < 0 ? write_failed(reg, value, -ret) : 0;
}

/* Registers first ... first + count - 1 of a group, from and to an array. */
static int get_row(uint64_t *out, visor_vcpu *vcpu, uint32_t first, uint32_t count)
{
    int ret = 0;

    for (uint32_t i = 0; ret == 0 && i < count; i++)
        ret = kvm_riscv_get_reg(&out[i], vcpu, first + i);
    return ret;
}

static int set_row(visor_vcpu *vcpu, uint32_t first, const uint64_t *values, uint32_t count)
{
    int ret = 0;

    for (uint32_t i = 0; ret == 0 && i < count; i++)
        ret = kvm_riscv_set_reg(vcpu, first + i, values[i]);
    return ret;
}

/* ---- lists of registers ---- */

/* The registers of a group with their values. Returns the bytes of all. */
static int get_list(visor_reg *out, size_t capacity, visor_vcpu *vcpu, uint32_t group)
{
    struct kvm_reg_list *list = kvm_reg_list(vcpu);
    size_t count = 0;
    int ret = 0;

    if (list == NULL)
        return visor_error_last()->code;
    for (uint64_t i = 0; ret == 0 && i < list->n; i++) {
        uint32_t reg = kvm_riscv_reg_from_kvm(list->reg[i]);

        if (reg >> 24 != group)
            continue;
        if ((count + 1) * sizeof(*out) <= capacity) {
            out[count].id = reg;
            ret = read_reg(&out[count].value, vcpu, list->reg[i]);
            if (ret < 0)
                ret = read_failed(reg, -ret);
        }
        count++;
    }
    free(list);
    return ret < 0 ? ret : (int)(count * sizeof(*out));
}

/* What describes the hart can be set before it has run, and then only to what the host has. */
static bool describes(uint32_t group)
{
    return group == VISOR_RISCV_CONFIG || group == VISOR_RISCV_ISA || group == VISOR_RISCV_SBI;
}

static int set_one_of_list(visor_vcpu *vcpu, const visor_reg *reg, uint32_t group)
{
    uint64_t present;
    uint64_t id = reg->id <= UINT32_MAX ? kvm_riscv_reg_to_kvm((uint32_t)reg->id, true) : 0;
    int ret;

    if (reg->id >> 24 != group)
        return visor__error(VISOR_EINVAL, "kvm", "KVM_SET_ONE_REG",
                            "register %#llx is of another group", (unsigned long long)reg->id);
    ret = id == 0 ? -ENOENT : read_reg(&present, vcpu, id);
    if (ret == 0 && present == reg->value)
        return 0;
    if ((ret == -ENOENT || ret == -EINVAL) && describes(group) && reg->value == 0)
        return 0; /* an extension that neither has */
    if (ret == 0)
        ret = write_reg(vcpu, id, reg->value);
    if (ret < 0 && describes(group))
        return visor__error_native(VISOR_EMISMATCH, "kvm", "KVM_SET_ONE_REG", VISOR_NATIVE_ERRNO,
                                   -ret, "register %#llx cannot be %#llx here",
                                   (unsigned long long)reg->id, (unsigned long long)reg->value);
    return ret < 0 ? write_failed((uint32_t)reg->id, reg->value, -ret) : 0;
}

static int set_list(visor_vcpu *vcpu, const visor_reg *regs, size_t length, uint32_t group)
{
    int ret = 0;

    for (size_t i = 0; ret == 0 && i < length / sizeof(*regs); i++)
        ret = set_one_of_list(vcpu, &regs[i], group);
    return ret;
}

/* ---- general and floating-point registers ---- */

#define CORE(index) VISOR_RISCV_REG(VISOR_RISCV_CORE, index)
#define FP(index)   VISOR_RISCV_REG(VISOR_RISCV_FP, index)

static int get_regs(visor_riscv_regs *out, visor_vcpu *vcpu)
{
    int ret = get_row(&out->pc, vcpu, CORE(0), 1);

    out->x[0] = 0;
    if (ret == 0)
        ret = get_row(&out->x[1], vcpu, CORE(1), 31);
    return ret < 0 ? ret : get_row(&out->mode, vcpu, CORE(32), 1);
}

static int set_regs(visor_vcpu *vcpu, const visor_riscv_regs *regs)
{
    int ret = set_row(vcpu, CORE(0), &regs->pc, 1);

    if (ret == 0)
        ret = set_row(vcpu, CORE(1), &regs->x[1], 31);
    return ret < 0 ? ret : set_row(vcpu, CORE(32), &regs->mode, 1);
}

/* No F: the piece does not exist. */
static int fp_result(const visor_vcpu *vcpu, int ret)
{
    return ret == VISOR_ENOENT ? visor__unsupported(vcpu->vm->hv, "KVM_GET_ONE_REG",
                                                    "the vCPU has no floating-point registers")
                               : ret;
}

static int get_fp(visor_riscv_fp *out, visor_vcpu *vcpu)
{
    return fp_result(vcpu, get_row(out->f, vcpu, FP(0), 33));
}

static int set_fp(visor_vcpu *vcpu, const visor_riscv_fp *fp)
{
    return fp_result(vcpu, set_row(vcpu, FP(0), fp->f, 33));
}
_Static_assert(sizeof(visor_riscv_fp) == 33 * sizeof(uint64_t), "f0 to f31, fcsr");

/* ---- vectors ---- */

/* KVM's numbers: vstart, vl, vtype, vcsr, vlenb; from 6 on v0 to v31 (struct __riscv_v_ext_state of
 * Linux 6.7). */
#define VECTOR_CSRS  5u
#define VECTOR_VLENB 4u
#define VECTOR_FIRST 6u
#define VECTOR_ID(size, index) \
    (KVM_REG_RISCV | (uint64_t)(size) << KVM_REG_SIZE_SHIFT | KVM_REG_RISCV_VECTOR | (index))

/* Bytes of a vector register, a power of two; 0: the vCPU has none. */
static uint64_t vector_bytes(visor_vcpu *vcpu)
{
    uint64_t vlenb;

    if (read_reg(&vlenb, vcpu, VECTOR_ID(3, VECTOR_VLENB)) < 0 || vlenb > 8192)
        return 0;
    return vlenb;
}

/* Reads or writes all of the image, whose length is right. */
static int move_vector(visor_vcpu *vcpu, unsigned long request, const char *name, uint8_t *image,
                       uint64_t vlenb)
{
    unsigned size = (unsigned)__builtin_ctzll(vlenb);
    int ret = 0;

    for (uint32_t i = 0; ret == 0 && i < VECTOR_CSRS; i++)
        ret = one_reg(vcpu, request, VECTOR_ID(3, i), image + 8 * (size_t)i);
    for (uint32_t i = 0; ret == 0 && i < 32; i++)
        ret = one_reg(vcpu, request, VECTOR_ID(size, VECTOR_FIRST + i),
                      image + 8 * VECTOR_CSRS + vlenb * i);
    return ret < 0
               ? kvm_error(name, -ret, "vector registers of %llu bytes", (unsigned long long)vlenb)
               : 0;
}

static int get_vector(void *buf, size_t capacity, visor_vcpu *vcpu)
{
    uint64_t vlenb = vector_bytes(vcpu);
    size_t length = vlenb == 0 ? 0 : (size_t)(8 * VECTOR_CSRS + 32 * vlenb);
    int ret = 0;

    if (length > 0 && capacity >= length)
        ret = move_vector(vcpu, KVM_GET_ONE_REG, "KVM_GET_ONE_REG", buf, vlenb);
    return ret < 0 ? ret : (int)length;
}

static int set_vector(visor_vcpu *vcpu, const void *buf, size_t length)
{
    uint64_t vlenb = vector_bytes(vcpu), wanted;
    uint8_t *image;
    int ret;

    if (length != (vlenb == 0 ? 0 : (size_t)(8 * VECTOR_CSRS + 32 * vlenb)))
        return visor__error(VISOR_EMISMATCH, "kvm", "KVM_SET_ONE_REG",
                            "%zu bytes of vector registers; this vCPU has %llu bytes in each",
                            length, (unsigned long long)vlenb);
    if (length == 0)
        return 0;
    memcpy(&wanted, (const uint8_t *)buf + 8 * (size_t)VECTOR_VLENB, sizeof(wanted));
    if (wanted != vlenb)
        return visor__error(VISOR_EMISMATCH, "kvm", "KVM_SET_ONE_REG", "vlenb cannot be %llu here",
                            (unsigned long long)wanted);
    image = malloc(length); /* KVM's interface to set takes no const */
    if (image == NULL)
        return visor__error(VISOR_ENOMEM, "kvm", "KVM_SET_ONE_REG", "%zu bytes", length);
    memcpy(image, buf, length);
    ret = move_vector(vcpu, KVM_SET_ONE_REG, "KVM_SET_ONE_REG", image, vlenb);
    free(image);
    return ret;
}

/* ---- time ---- */

#define TIMER(index) VISOR_RISCV_REG(VISOR_RISCV_TIMER, index)

/*
 * A host with Sstc gives the guest's hart the comparator itself, which fires as long as time is not
 * before it, and has no state beside. KVM's register for that state then only tells whether a
 * halted vCPU is waited for; setting it would compare with 1 (Linux 6.12: its value is taken for
 * the time).
 */
static bool has_comparator(visor_vcpu *vcpu)
{
    uint64_t value;

    /* Sstc; there if the host has it, whatever the guest was given. */
    return read_reg(&value, vcpu,
                    kvm_riscv_reg_to_kvm(VISOR_RISCV_REG(VISOR_RISCV_ISA, 8), true)) == 0;
}

static int get_timer(visor_riscv_timer *out, visor_vcpu *vcpu)
{
    int ret = get_row(&out->frequency, vcpu, TIMER(0), 4);

    if (ret == 0 && has_comparator(vcpu))
        out->armed = out->compare != UINT64_MAX;
    return ret;
}
_Static_assert(sizeof(visor_riscv_timer) == 4 * sizeof(uint64_t), "the registers in their order");

/* KVM's own timer. To arm it sets the time to compare with to 1, so that the interrupt comes at
 * once; the guest finds that it is early. The right time is set behind it, for whoever reads it. */
static int arm(visor_vcpu *vcpu, uint64_t compare)
{
    int ret = kvm_riscv_set_reg(vcpu, TIMER(3), KVM_RISCV_TIMER_STATE_ON);

    return ret < 0 ? ret : kvm_riscv_set_reg(vcpu, TIMER(2), compare);
}

static int set_timer(visor_vcpu *vcpu, const visor_riscv_timer *timer)
{
    visor_riscv_timer present = {0};
    int ret = get_timer(&present, vcpu);

    if (ret < 0)
        return ret;
    if (timer->frequency != present.frequency)
        return visor__error(
            VISOR_EMISMATCH, "kvm", "KVM_SET_ONE_REG", "time runs at %llu Hz here, not at %llu Hz",
            (unsigned long long)present.frequency, (unsigned long long)timer->frequency);
    ret = kvm_riscv_set_reg(vcpu, TIMER(1), timer->time);
    if (ret < 0)
        return ret;
    if (has_comparator(vcpu))
        return kvm_riscv_set_reg(vcpu, TIMER(2), timer->armed ? timer->compare : UINT64_MAX);
    if (timer->armed)
        return arm(vcpu, timer->compare);
    if (present.armed)
        ret = kvm_riscv_set_reg(vcpu, TIMER(3), KVM_RISCV_TIMER_STATE_OFF);
    return ret < 0 ? ret : kvm_riscv_set_reg(vcpu, TIMER(2), timer->compare);
}

/* ---- multiprocessor state ---- */

static int get_mp_state(uint32_t *out, visor_vcpu *vcpu)
{
    struct kvm_mp_state state;
    int ret = KVM_IOCTL(kvm_vcpu_of(vcpu)->fd, KVM_GET_MP_STATE, &state);

    if (ret < 0)
        return ret;
    *out = state.mp_state; /* KVM's numbers are ours */
    return 0;
}

static int set_mp_state(visor_vcpu *vcpu, const uint32_t *value)
{
    struct kvm_mp_state state = {.mp_state = *value};
    int ret = kvm_ioctl_quiet(kvm_vcpu_of(vcpu)->fd, KVM_SET_MP_STATE, (uintptr_t)&state);

    return ret < 0 ? kvm_error("KVM_SET_MP_STATE", -ret, "state %u", *value) : 0;
}

/* ---- all of them ---- */

int kvm_arch_get_state(void *buf, size_t capacity, visor_vcpu *vcpu, enum visor__state piece)
{
    size_t size = visor__states[piece].size;
    int ret;

    switch (piece) {
    case VISOR__STATE_RISCV_CONFIG: return get_list(buf, capacity, vcpu, VISOR_RISCV_CONFIG);
    case VISOR__STATE_RISCV_ISA: return get_list(buf, capacity, vcpu, VISOR_RISCV_ISA);
    case VISOR__STATE_RISCV_SBI: return get_list(buf, capacity, vcpu, VISOR_RISCV_SBI);
    case VISOR__STATE_RISCV_SBI_STATE: return get_list(buf, capacity, vcpu, VISOR_RISCV_SBI_STATE);
    case VISOR__STATE_RISCV_CSRS: return get_list(buf, capacity, vcpu, VISOR_RISCV_CSR);
    case VISOR__STATE_RISCV_VECTOR: return get_vector(buf, capacity, vcpu);
    default: break;
    }
    if (capacity < size)
        return (int)size;
    switch (piece) {
    case VISOR__STATE_RISCV_MP_STATE: ret = get_mp_state(buf, vcpu); break;
    case VISOR__STATE_RISCV_REGS: ret = get_regs(buf, vcpu); break;
    case VISOR__STATE_RISCV_FP: ret = get_fp(buf, vcpu); break;
    case VISOR__STATE_RISCV_TIMER: ret = get_timer(buf, vcpu); break;
    default: return visor__unsupported(vcpu->vm->hv, visor__states[piece].name, "not of RISC-V");
    }
    return ret < 0 ? ret : (int)size;
}

int kvm_arch_set_state(visor_vcpu *vcpu, enum visor__state piece, const void *buf, size_t length)
{
    int ret = kvm_vcpu_complete(vcpu);

    if (ret < 0)
        return ret;
    switch (piece) {
    case VISOR__STATE_RISCV_CONFIG: return set_list(vcpu, buf, length, VISOR_RISCV_CONFIG);
    case VISOR__STATE_RISCV_ISA: return set_list(vcpu, buf, length, VISOR_RISCV_ISA);
    case VISOR__STATE_RISCV_SBI: return set_list(vcpu, buf, length, VISOR_RISCV_SBI);
    case VISOR__STATE_RISCV_SBI_STATE: return set_list(vcpu, buf, length, VISOR_RISCV_SBI_STATE);
    case VISOR__STATE_RISCV_CSRS: return set_list(vcpu, buf, length, VISOR_RISCV_CSR);
    case VISOR__STATE_RISCV_VECTOR: return set_vector(vcpu, buf, length);
    case VISOR__STATE_RISCV_MP_STATE: return set_mp_state(vcpu, buf);
    case VISOR__STATE_RISCV_REGS: return set_regs(vcpu, buf);
    case VISOR__STATE_RISCV_FP: return set_fp(vcpu, buf);
    case VISOR__STATE_RISCV_TIMER: return set_timer(vcpu, buf);
    default: return visor__unsupported(vcpu->vm->hv, visor__states[piece].name, "not of RISC-V");
    }
}

int kvm_arch_paused(visor_vcpu *vcpu)
{
    (void)vcpu; /* no clock that would have to be told */
    return 0;
}
