/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pieces of vCPU state, and single registers. KVM has one call for one register (api.rst 4.68);
 * which registers a vCPU has is a list that the kernel is asked for (api.rst 4.84), as long as it
 * may be.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/kvm_aarch64.h"

#define CCSIDR_EL1 VISOR_AARCH64_SYSREG(3, 1, 0, 0, 0)
#define CSSELR_EL1 VISOR_AARCH64_SYSREG(3, 2, 0, 0, 0)

/* ---- one register ---- */

int kvm_aarch64_one_reg(visor_vcpu *vcpu, unsigned long request, uint64_t id, void *value)
{
    struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)value};

    return kvm_ioctl_quiet(kvm_vcpu_of(vcpu)->fd, request, (uintptr_t)&reg);
}

/* -errno or 0. Registers have 32 or 64 bits; the narrow ones are extended by zeros. */
static int read_reg(uint64_t *out, visor_vcpu *vcpu, uint32_t reg)
{
    uint64_t id = kvm_aarch64_reg_to_kvm(reg);
    uint32_t narrow;
    int ret;

    if ((id & KVM_REG_SIZE_MASK) == KVM_REG_SIZE_U64)
        return kvm_aarch64_one_reg(vcpu, KVM_GET_ONE_REG, id, out);
    ret = kvm_aarch64_one_reg(vcpu, KVM_GET_ONE_REG, id, &narrow);
    *out = narrow;
    return ret;
}

static int write_reg(visor_vcpu *vcpu, uint32_t reg, uint64_t value)
{
    uint64_t id = kvm_aarch64_reg_to_kvm(reg);
    uint32_t narrow = (uint32_t)value;

    if ((id & KVM_REG_SIZE_MASK) == KVM_REG_SIZE_U64)
        return kvm_aarch64_one_reg(vcpu, KVM_SET_ONE_REG, id, &value);
    return value == narrow ? kvm_aarch64_one_reg(vcpu, KVM_SET_ONE_REG, id, &narrow) : -EINVAL;
}

/* Not getting it: the vCPU has none. Not setting it: the kernel does not want to. */
static int reg_failed(const char *op, uint32_t reg, int err)
{
    char name[KVM_AARCH64_REG_NAME];
    int code = visor__linux_code(err);

    if (op[4] == 'S' && (err == EPERM || err == EBUSY))
        code = VISOR_EREFUSED;
    return visor__error_native(code, "kvm", op, VISOR_NATIVE_ERRNO, err, "%s",
                               kvm_aarch64_reg_name(name, reg));
}

/* KVM keeps CCSIDR_EL1 as an array. */
static int resolve(uint32_t *reg, visor_vcpu *vcpu)
{
    uint64_t selector;
    int ret;

    if (*reg != CCSIDR_EL1)
        return 0;
    ret = read_reg(&selector, vcpu, CSSELR_EL1);
    if (ret < 0)
        return reg_failed("KVM_GET_ONE_REG", CSSELR_EL1, -ret);
    *reg = VISOR_AARCH64_CCSIDR((uint32_t)selector & 0x1f);
    return 0;
}

int kvm_aarch64_get_reg(uint64_t *out, visor_vcpu *vcpu, uint32_t reg)
{
    uint64_t value;
    int ret = resolve(&reg, vcpu);

    if (ret < 0)
        return ret;
    ret = read_reg(&value, vcpu, reg);
    if (ret < 0)
        return reg_failed("KVM_GET_ONE_REG", reg, -ret);
    *out = value;
    return 0;
}

int kvm_aarch64_put_reg(visor_vcpu *vcpu, uint32_t reg, uint64_t value)
{
    int ret = resolve(&reg, vcpu);

    if (ret < 0)
        return ret;
    ret = write_reg(vcpu, reg, value);
    return ret < 0 ? reg_failed("KVM_SET_ONE_REG", reg, -ret) : 0;
}

int kvm_aarch64_set_reg(visor_vcpu *vcpu, uint32_t reg, uint64_t value)
{
    int ret = kvm_aarch64_complete(vcpu, reg == VISOR_AARCH64_PC);

    return ret < 0 ? ret : kvm_aarch64_put_reg(vcpu, reg, value);
}

/* ---- lists of registers ---- */

static int by_number(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* The public numbers from first to last that the vCPU has, ascending, into numbers, which has room
 * for all. */
static size_t select_regs(uint32_t *numbers, const struct kvm_reg_list *list, uint32_t first,
                          uint32_t last)
{
    size_t count = 0;
    uint32_t reg;

    for (uint64_t i = 0; i < list->n; i++) {
        if (kvm_aarch64_reg_from_kvm(&reg, list->reg[i]) && reg >= first && reg <= last)
            numbers[count++] = reg;
    }
    qsort(numbers, count, sizeof(*numbers), by_number);
    return count;
}

static int get_list(void *buf, size_t capacity, visor_vcpu *vcpu, uint32_t first, uint32_t last)
{
    visor_reg *out = buf;
    size_t room = capacity / sizeof(*out), count;
    struct kvm_reg_list *list = kvm_reg_list(vcpu);
    uint32_t *numbers;
    int ret = 0;

    if (list == NULL)
        return visor_error_last()->code;
    numbers = calloc((size_t)list->n + 1, sizeof(*numbers));
    if (numbers == NULL) {
        free(list);
        return visor__error(VISOR_ENOMEM, "kvm", "KVM_GET_REG_LIST", "no memory for the list");
    }
    count = select_regs(numbers, list, first, last);
    for (size_t i = 0; ret == 0 && i < count && i < room; i++) {
        out[i].id = numbers[i];
        ret = kvm_aarch64_get_reg(&out[i].value, vcpu, numbers[i]);
    }
    free(numbers);
    free(list);
    return ret < 0 ? ret : (int)(count * sizeof(*out));
}

/*
 * Setting what has its value already is not tried: some registers refuse even that, others may not
 * be set any more once the guest has run. What still fails is a difference between the processors
 * (or their firmware) of here and there.
 */
static int set_list(visor_vcpu *vcpu, const void *buf, size_t length, uint32_t first, uint32_t last)
{
    const visor_reg *regs = buf;
    char name[KVM_AARCH64_REG_NAME];
    uint64_t present = 0;

    for (size_t i = 0; i < length / sizeof(*regs); i++) {
        uint32_t reg = (uint32_t)regs[i].id;
        int ret;

        if (regs[i].id < first || regs[i].id > last)
            return visor__error(VISOR_EINVAL, "kvm", "KVM_SET_ONE_REG", "no register 0x%llx here",
                                (unsigned long long)regs[i].id);
        ret = read_reg(&present, vcpu, reg);
        if (ret == 0 && present == regs[i].value)
            continue;
        if (ret == 0)
            ret = write_reg(vcpu, reg, regs[i].value);
        if (ret == -ENOENT)
            return visor__error_native(VISOR_EMISMATCH, "kvm", "KVM_GET_ONE_REG",
                                       VISOR_NATIVE_ERRNO, ENOENT, "this vCPU has no %s",
                                       kvm_aarch64_reg_name(name, reg));
        if (ret < 0)
            return visor__error_native(
                VISOR_EMISMATCH, "kvm", "KVM_SET_ONE_REG", VISOR_NATIVE_ERRNO, -ret,
                "%s is 0x%llx here and cannot become 0x%llx", kvm_aarch64_reg_name(name, reg),
                (unsigned long long)present, (unsigned long long)regs[i].value);
    }
    return 0;
}

/* ---- general registers ---- */

static int get_regs(void *buf, visor_vcpu *vcpu)
{
    visor_aarch64_regs *out = buf;
    int ret = 0;

    for (uint32_t i = 0; ret == 0 && i < 31; i++)
        ret = kvm_aarch64_get_reg(&out->x[i], vcpu, VISOR_AARCH64_X(i));
    if (ret == 0)
        ret = kvm_aarch64_get_reg(&out->sp, vcpu, VISOR_AARCH64_SP);
    if (ret == 0)
        ret = kvm_aarch64_get_reg(&out->pc, vcpu, VISOR_AARCH64_PC);
    if (ret == 0)
        ret = kvm_aarch64_get_reg(&out->pstate, vcpu, VISOR_AARCH64_PSTATE);
    return ret;
}

static int set_regs(visor_vcpu *vcpu, const void *buf)
{
    const visor_aarch64_regs *in = buf;
    int ret = kvm_aarch64_put_reg(vcpu, VISOR_AARCH64_PSTATE, in->pstate);

    for (uint32_t i = 0; ret == 0 && i < 31; i++)
        ret = kvm_aarch64_put_reg(vcpu, VISOR_AARCH64_X(i), in->x[i]);
    if (ret == 0)
        ret = kvm_aarch64_put_reg(vcpu, VISOR_AARCH64_SP, in->sp);
    if (ret == 0)
        ret = kvm_aarch64_put_reg(vcpu, VISOR_AARCH64_PC, in->pc);
    return ret;
}

/* ---- events, power, features ---- */

static int get_events(void *buf, visor_vcpu *vcpu)
{
    visor_aarch64_events *out = buf;
    struct kvm_vcpu_events events = {0};
    int ret = KVM_IOCTL(kvm_vcpu_of(vcpu)->fd, KVM_GET_VCPU_EVENTS, &events);

    if (ret < 0)
        return ret;
    *out = (visor_aarch64_events){
        .serror_pending = events.exception.serror_pending,
        .serror_has_esr = events.exception.serror_has_esr,
        .external_abort_pending = events.exception.ext_dabt_pending,
        .serror_esr = events.exception.serror_esr,
    };
    return 0;
}

static int set_events(visor_vcpu *vcpu, const void *buf)
{
    const visor_aarch64_events *in = buf;
    struct kvm_vcpu_events events = {
        .exception = {.serror_pending = in->serror_pending != 0,
                      .serror_has_esr = in->serror_has_esr != 0,
                      .ext_dabt_pending = in->external_abort_pending != 0,
                      .serror_esr = in->serror_esr},
    };
    int ret;

    /* It is the pending access that aborts, if there is one. */
    if (in->external_abort_pending != 0) {
        ret = kvm_aarch64_abandon(vcpu);
        if (ret < 0)
            return ret;
    }
    return KVM_IOCTL(kvm_vcpu_of(vcpu)->fd, KVM_SET_VCPU_EVENTS, &events);
}

/* A suspended vCPU waits for an interrupt, as a halted one does (api.rst 4.38). */
static int get_mp_state(void *buf, visor_vcpu *vcpu)
{
    struct kvm_mp_state state;
    uint32_t value = VISOR_MP_RUNNABLE;
    int ret = KVM_IOCTL(kvm_vcpu_of(vcpu)->fd, KVM_GET_MP_STATE, &state);

    if (ret < 0)
        return ret;
    if (state.mp_state == KVM_MP_STATE_STOPPED)
        value = VISOR_MP_STOPPED;
    else if (state.mp_state == KVM_MP_STATE_SUSPENDED)
        value = VISOR_MP_HALTED;
    memcpy(buf, &value, sizeof(value));
    return 0;
}

static int set_mp_state(visor_vcpu *vcpu, const void *buf)
{
    struct kvm_mp_state state = {.mp_state = KVM_MP_STATE_RUNNABLE};
    uint32_t value;

    memcpy(&value, buf, sizeof(value));
    switch (value) {
    case VISOR_MP_RUNNABLE: break;
    case VISOR_MP_STOPPED: state.mp_state = KVM_MP_STATE_STOPPED; break;
    case VISOR_MP_HALTED: state.mp_state = KVM_MP_STATE_SUSPENDED; break;
    default:
        return visor__error(VISOR_EREFUSED, "kvm", "KVM_SET_MP_STATE",
                            "state %u is one of x86 processors", value);
    }
    return KVM_IOCTL(kvm_vcpu_of(vcpu)->fd, KVM_SET_MP_STATE, &state);
}

static visor_aarch64_features features_of(const visor_vcpu *vcpu)
{
    const visor_aarch64_config *config = &vcpu->vm->machine.aarch64;

    return (visor_aarch64_features){
        .bits = (config->pmu == VISOR_ON ? VISOR_AARCH64_HAS_PMU : 0) |
                (config->sve == VISOR_ON ? VISOR_AARCH64_HAS_SVE : 0) |
                (config->pauth == VISOR_ON ? VISOR_AARCH64_HAS_PAUTH : 0) |
                (config->el2 == VISOR_ON ? VISOR_AARCH64_HAS_EL2 : 0) |
                (config->mte == VISOR_ON ? VISOR_AARCH64_HAS_MTE : 0),
        .sve_lengths = config->sve_lengths,
    };
}

static int get_features(void *buf, visor_vcpu *vcpu)
{
    visor_aarch64_features features = features_of(vcpu);

    memcpy(buf, &features, sizeof(features));
    return 0;
}

static int set_features(visor_vcpu *vcpu, const void *buf)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {
        {VISOR_AARCH64_HAS_PMU, "pmu"},     {VISOR_AARCH64_HAS_SVE, "sve"},
        {VISOR_AARCH64_HAS_PAUTH, "pauth"}, {VISOR_AARCH64_HAS_EL2, "el2"},
        {VISOR_AARCH64_HAS_MTE, "mte"},
    };
    const visor_aarch64_features *wanted = buf;
    visor_aarch64_features present = features_of(vcpu);
    uint32_t differ = wanted->bits ^ present.bits;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if ((differ & names[i].bit) != 0) {
            visor__error(VISOR_EMISMATCH, "kvm", "features", "this vCPU has %s%s",
                         (present.bits & names[i].bit) != 0 ? "" : "no ", names[i].name);
            return visor__error_hint("visor_aarch64_configure() decides it");
        }
    }
    if (differ != 0)
        return visor__error(VISOR_EMISMATCH, "kvm", "features", "features 0x%x are not known here",
                            differ);
    if (wanted->sve_lengths != present.sve_lengths)
        return visor__error(VISOR_EMISMATCH, "kvm", "features",
                            "vector lengths 0x%x; this vCPU has 0x%x", wanted->sve_lengths,
                            present.sve_lengths);
    return 0;
}

/* ---- all of them ---- */

/* Pieces of a fixed size. */
static const struct {
    size_t size;
    int (*get)(void *buf, visor_vcpu *vcpu);
    int (*set)(visor_vcpu *vcpu, const void *buf);
} fixed[VISOR__STATE_COUNT] = {
    [VISOR__STATE_AARCH64_MP_STATE] = {sizeof(uint32_t), get_mp_state, set_mp_state},
    [VISOR__STATE_AARCH64_FEATURES] = {sizeof(visor_aarch64_features), get_features, set_features},
    [VISOR__STATE_AARCH64_REGS] = {sizeof(visor_aarch64_regs), get_regs, set_regs},
    [VISOR__STATE_AARCH64_FPSIMD] = {sizeof(visor_aarch64_fpsimd), kvm_aarch64_get_fpsimd,
                                     kvm_aarch64_set_fpsimd},
    [VISOR__STATE_AARCH64_EVENTS] = {sizeof(visor_aarch64_events), get_events, set_events},
};

/* Numbers of the registers of a piece that is a list. */
static const struct {
    uint32_t first, last;
} lists[VISOR__STATE_COUNT] = {
    [VISOR__STATE_AARCH64_SYSREGS] = {0, 0xffff},
    [VISOR__STATE_AARCH64_CACHES] = {VISOR_AARCH64_CCSIDR(0), VISOR_AARCH64_CCSIDR(0x1f)},
    [VISOR__STATE_AARCH64_FIRMWARE] = {VISOR_AARCH64_FIRMWARE(0), VISOR_AARCH64_FIRMWARE(0x1ffff)},
};

static int no_piece(enum visor__state piece)
{
    return visor__error(VISOR_EUNSUPPORTED, "kvm", visor__states[piece].name,
                        "an AArch64 vCPU has none");
}

int kvm_arch_get_state(void *buf, size_t capacity, visor_vcpu *vcpu, enum visor__state piece)
{
    int ret;

    if (piece == VISOR__STATE_AARCH64_SVE)
        return kvm_aarch64_get_sve(buf, capacity, vcpu);
    if (lists[piece].last != 0)
        return get_list(buf, capacity, vcpu, lists[piece].first, lists[piece].last);
    if (fixed[piece].get == NULL)
        return no_piece(piece);
    if (capacity < fixed[piece].size)
        return (int)fixed[piece].size;
    ret = fixed[piece].get(buf, vcpu);
    return ret < 0 ? ret : (int)fixed[piece].size;
}

int kvm_arch_set_state(visor_vcpu *vcpu, enum visor__state piece, const void *buf, size_t length)
{
    int ret = 0;

    if (piece != VISOR__STATE_AARCH64_EVENTS)
        ret = kvm_aarch64_complete(vcpu, piece == VISOR__STATE_AARCH64_REGS);
    if (ret < 0)
        return ret;
    if (piece == VISOR__STATE_AARCH64_SVE)
        return kvm_aarch64_set_sve(vcpu, buf, length);
    if (lists[piece].last != 0)
        return set_list(vcpu, buf, length, lists[piece].first, lists[piece].last);
    if (fixed[piece].set == NULL)
        return no_piece(piece);
    ret = fixed[piece].set(vcpu, buf);
    return ret < 0 ? ret : 0;
}
