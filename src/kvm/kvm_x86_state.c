/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pieces of vCPU state.
 *
 * Registers without a system call (KVM_CAP_SYNC_REGS): the kernel can bring the general and the
 * special registers along with an exit, in the run area. `current` says which of them are there and
 * are the vCPU's present state. Fetching them costs the kernel time at every exit, so they come
 * along only on a lease, which every look at them renews. General registers can be set in the same
 * place; the kernel takes them when it next enters the guest, or kvm_x86_flush() brings them there
 * when anything else about the vCPU is asked for or changed first. Special registers are always set
 * by a system call, which can refuse them. Events are always asked for: other vCPUs change them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/kvm_x86.h"
#include "kvm/kvm_x86_convert.h"

/* Exits. Long enough for a loop that looks at registers now and then, short enough to be forgotten
 * by a VMM that only looked at them once. */
#define LEASE 256

#define MSR_APIC_BASE 0x1b
#define XSAVE_MIN     sizeof(struct kvm_xsave) /* what kernels without KVM_CAP_XSAVE2 transfer */

/* ---- synced registers ---- */

void kvm_arch_enter(visor_vcpu *vcpu)
{
    struct kvm_x86_vcpu *x = kvm_x86_vcpu_of(vcpu);
    uint64_t wanted = 0;

    if (x->regs_lease > 0) {
        x->regs_lease--;
        wanted |= KVM_SYNC_X86_REGS;
    }
    if (x->sregs_lease > 0) {
        x->sregs_lease--;
        wanted |= KVM_SYNC_X86_SREGS;
    }
    x->common.run->kvm_valid_regs = wanted & x->sync;
    x->current = 0;
}

void kvm_arch_left(visor_vcpu *vcpu, int err)
{
    struct kvm_x86_vcpu *x = kvm_x86_vcpu_of(vcpu);

    if (err == 0 || err == EINTR)
        x->current = x->common.run->kvm_valid_regs;
    x->settable = err == 0;
}

int kvm_x86_flush(visor_vcpu *vcpu)
{
    struct kvm_run *run = kvm_vcpu_of(vcpu)->run;
    int ret;

    if ((run->kvm_dirty_regs & KVM_SYNC_X86_REGS) == 0)
        return 0;
    ret = KVM_IOCTL(kvm_vcpu_of(vcpu)->fd, KVM_SET_REGS, &run->s.regs.regs);
    if (ret >= 0)
        run->kvm_dirty_regs = 0;
    return ret;
}

int kvm_x86_ioctl(visor_vcpu *vcpu, bool change, const char *name, unsigned long request,
                  uintptr_t argument)
{
    int ret = kvm_x86_flush(vcpu);

    if (ret < 0)
        return ret;
    if (change)
        kvm_x86_vcpu_of(vcpu)->current = 0;
    return kvm_ioctl(kvm_vcpu_of(vcpu)->fd, name, request, argument);
}

int kvm_arch_vcpu_init(visor_vcpu *vcpu)
{
    struct kvm_x86_vcpu *x = kvm_x86_vcpu_of(vcpu);

    x->sync = (uint64_t)kvm_check(kvm_vm_of(vcpu->vm)->fd, KVM_CAP_SYNC_REGS) &
              (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS);
    x->regs_lease = LEASE;
    return 0;
}

/* ---- general and special registers ---- */

static int get_regs(void *buf, visor_vcpu *vcpu)
{
    struct kvm_x86_vcpu *x = kvm_x86_vcpu_of(vcpu);
    struct kvm_regs *regs = &x->common.run->s.regs.regs;

    /* The same 18 registers in the same order. */
    _Static_assert(sizeof(visor_x86_regs) == sizeof(struct kvm_regs), "regs");
    x->regs_lease = LEASE;
    if ((x->current & KVM_SYNC_X86_REGS) == 0)
        return KVM_VCPU_READ(vcpu, KVM_GET_REGS, buf);
    memcpy(buf, regs, sizeof(*regs));
    return 0;
}

static int set_regs(visor_vcpu *vcpu, const void *buf)
{
    struct kvm_x86_vcpu *x = kvm_x86_vcpu_of(vcpu);
    struct kvm_regs *regs = &x->common.run->s.regs.regs;

    if ((x->current & KVM_SYNC_X86_REGS) == 0 || !x->settable)
        return KVM_VCPU_CHANGE(vcpu, KVM_SET_REGS, buf);
    memcpy(regs, buf, sizeof(*regs));
    regs->rflags |= 2; /* always set; the kernel would see to it, but get_regs() may come first */
    x->common.run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
    return 0;
}

static int read_sregs(struct kvm_sregs *out, visor_vcpu *vcpu)
{
    struct kvm_x86_vcpu *x = kvm_x86_vcpu_of(vcpu);

    if ((x->current & KVM_SYNC_X86_SREGS) == 0)
        return KVM_VCPU_READ(vcpu, KVM_GET_SREGS, out);
    *out = x->common.run->s.regs.sregs;
    return 0;
}

static int get_sregs(void *buf, visor_vcpu *vcpu)
{
    struct kvm_x86_vcpu *x = kvm_x86_vcpu_of(vcpu);
    struct kvm_sregs sregs;
    int ret = read_sregs(&sregs, vcpu);

    if (ret < 0)
        return ret;
    if (x->common.run->exit_reason != 0) /* not before the first exit: a VMM that sets up a guest */
        x->sregs_lease = LEASE;
    kvm_x86_sregs_from_kvm(buf, &sregs);
    return 0;
}

static int set_sregs(visor_vcpu *vcpu, const void *buf)
{
    struct kvm_vcpu *k = kvm_vcpu_of(vcpu);
    struct kvm_sregs sregs;
    int ret;

    ret = read_sregs(&sregs, vcpu);
    if (ret < 0)
        return ret;
    kvm_x86_sregs_to_kvm(&sregs, buf);
    ret = KVM_VCPU_CHANGE(vcpu, KVM_SET_SREGS, &sregs);
    if (ret < 0)
        return ret;
    k->run->cr8 = sregs.cr8; /* without a local APIC in the kernel KVM_RUN takes it from here */
    return 0;
}

/* ---- pieces that are one structure each ---- */

static int get_debugregs(void *buf, visor_vcpu *vcpu)
{
    visor_x86_debugregs *out = buf;
    struct kvm_debugregs regs;
    int ret = KVM_VCPU_READ(vcpu, KVM_GET_DEBUGREGS, &regs);

    if (ret < 0)
        return ret;
    memcpy(out->db, regs.db, sizeof(out->db));
    out->dr6 = regs.dr6;
    out->dr7 = regs.dr7;
    return 0;
}

static int set_debugregs(visor_vcpu *vcpu, const void *buf)
{
    const visor_x86_debugregs *in = buf;
    struct kvm_debugregs regs = {.dr6 = in->dr6, .dr7 = in->dr7};

    memcpy(regs.db, in->db, sizeof(regs.db));
    return KVM_VCPU_CHANGE(vcpu, KVM_SET_DEBUGREGS, &regs);
}

static int get_xcrs(void *buf, visor_vcpu *vcpu)
{
    visor_x86_xcrs *out = buf;
    struct kvm_xcrs xcrs = {0};
    int ret = KVM_VCPU_READ(vcpu, KVM_GET_XCRS, &xcrs);

    if (ret < 0)
        return ret;
    memset(out, 0, sizeof(*out));
    out->count = xcrs.nr_xcrs < 8 ? xcrs.nr_xcrs : 8;
    for (uint32_t i = 0; i < out->count; i++) {
        out->xcr[i].index = xcrs.xcrs[i].xcr;
        out->xcr[i].value = xcrs.xcrs[i].value;
    }
    return 0;
}

static int set_xcrs(visor_vcpu *vcpu, const void *buf)
{
    const visor_x86_xcrs *in = buf;
    struct kvm_xcrs xcrs = {.nr_xcrs = in->count < 8 ? in->count : 8};

    for (uint32_t i = 0; i < xcrs.nr_xcrs; i++) {
        xcrs.xcrs[i].xcr = in->xcr[i].index;
        xcrs.xcrs[i].value = in->xcr[i].value;
    }
    return KVM_VCPU_CHANGE(vcpu, KVM_SET_XCRS, &xcrs);
}

static int get_lapic(void *buf, visor_vcpu *vcpu)
{
    struct kvm_lapic_state lapic;
    int ret = KVM_VCPU_READ(vcpu, KVM_GET_LAPIC, &lapic);

    if (ret >= 0)
        kvm_x86_lapic_from_kvm(buf, &lapic);
    return ret;
}

static int set_lapic(visor_vcpu *vcpu, const void *buf)
{
    struct kvm_lapic_state lapic;

    kvm_x86_lapic_to_kvm(&lapic, buf);
    return KVM_VCPU_CHANGE(vcpu, KVM_SET_LAPIC, &lapic);
}

static int get_events(void *buf, visor_vcpu *vcpu)
{
    struct kvm_vcpu_events events;
    int ret = KVM_VCPU_READ(vcpu, KVM_GET_VCPU_EVENTS, &events);

    if (ret >= 0)
        kvm_x86_events_from_kvm(buf, &events);
    return ret;
}

static int set_events(visor_vcpu *vcpu, const void *buf)
{
    const struct kvm_x86_vm *vm = vcpu->vm->priv;
    struct kvm_vcpu_events events;

    kvm_x86_events_to_kvm(&events, buf, vm->events_valid);
    return KVM_VCPU_CHANGE(vcpu, KVM_SET_VCPU_EVENTS, &events);
}

/* Through the MSR, not sregs, which would drag all of them along. */
static int get_apic_base(void *buf, visor_vcpu *vcpu)
{
    visor_x86_msr msr = {.index = MSR_APIC_BASE};
    int ret = kvm_x86_get_msrs(&msr, 1, vcpu);

    if (ret != 1)
        return ret < 0 ? ret : VISOR_ENOENT;
    memcpy(buf, &msr.value, sizeof(msr.value));
    return 0;
}

static int set_apic_base(visor_vcpu *vcpu, const void *buf)
{
    visor_x86_msr msr = {.index = MSR_APIC_BASE};
    int ret;

    memcpy(&msr.value, buf, sizeof(msr.value));
    ret = kvm_x86_set_msrs(vcpu, &msr, 1);
    if (ret != 1)
        return ret < 0 ? ret : VISOR_EREFUSED;
    return 0;
}

/* Asking folds a pending INIT or SIPI into the state, which can reset the vCPU. */
static int get_mp_state(void *buf, visor_vcpu *vcpu)
{
    struct kvm_mp_state state;
    uint32_t value;
    int ret = KVM_VCPU_CHANGE(vcpu, KVM_GET_MP_STATE, &state);

    if (ret < 0)
        return ret;
    value = state.mp_state <= VISOR_MP_STOPPED ? state.mp_state : VISOR_MP_RUNNABLE;
    memcpy(buf, &value, sizeof(value));
    return 0;
}

static int set_mp_state(visor_vcpu *vcpu, const void *buf)
{
    struct kvm_mp_state state;

    memcpy(&state.mp_state, buf, sizeof(state.mp_state));
    return KVM_VCPU_CHANGE(vcpu, KVM_SET_MP_STATE, &state);
}

/* ---- CPUID ---- */

static int get_cpuid(void *buf, size_t capacity, visor_vcpu *vcpu)
{
    struct kvm_cpuid2 *list;
    int ret = kvm_x86_flush(vcpu);

    if (ret < 0)
        return ret;
    /* Kernels before 6.4 take the number of entries asked for, and do not say how many there are.
     */
    list = kvm_x86_cpuid_list(kvm_vcpu_of(vcpu)->fd, KVM_GET_CPUID2, "KVM_GET_CPUID2",
                              kvm_x86_vcpu_of(vcpu)->cpuid_count);
    if (list == NULL)
        return visor_error_last()->code;
    ret = (int)(list->nent * sizeof(visor_x86_cpuid_entry));
    if (capacity >= (size_t)ret)
        kvm_x86_cpuid_copy(buf, list);
    free(list);
    return ret;
}

static int set_cpuid(visor_vcpu *vcpu, const void *buf, size_t length)
{
    const visor_x86_cpuid_entry *entries = buf;
    size_t count = length / sizeof(*entries);
    struct kvm_cpuid2 *list = calloc(1, sizeof(*list) + count * sizeof(list->entries[0]));
    int ret;

    if (list == NULL)
        return visor__error(VISOR_ENOMEM, "kvm", "KVM_SET_CPUID2", "%zu entries", count);
    list->nent = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        list->entries[i] = (struct kvm_cpuid_entry2){
            .function = entries[i].function,
            .index = entries[i].index,
            .flags = entries[i].flags,
            .eax = entries[i].eax,
            .ebx = entries[i].ebx,
            .ecx = entries[i].ecx,
            .edx = entries[i].edx,
        };
    }
    ret = KVM_VCPU_CHANGE(vcpu, KVM_SET_CPUID2, list);
    if (ret >= 0)
        kvm_x86_vcpu_of(vcpu)->cpuid_count = list->nent;
    free(list);
    return ret;
}

/* ---- XSAVE ---- */

static size_t xsave_size(const visor_vcpu *vcpu)
{
    int size = kvm_check(kvm_vm_of(vcpu->vm)->fd, KVM_CAP_XSAVE2);

    return size > (int)XSAVE_MIN ? (size_t)size : XSAVE_MIN;
}

static int get_xsave(void *buf, size_t capacity, visor_vcpu *vcpu)
{
    size_t size = xsave_size(vcpu);
    int ret = 0;

    if (capacity >= size)
        ret = size > XSAVE_MIN ? KVM_VCPU_READ(vcpu, KVM_GET_XSAVE2, buf)
                               : KVM_VCPU_READ(vcpu, KVM_GET_XSAVE, buf);
    return ret < 0 ? ret : (int)size;
}

static int set_xsave(visor_vcpu *vcpu, const void *buf, size_t length)
{
    size_t size = xsave_size(vcpu);

    if (length != size)
        return visor__error(VISOR_EMISMATCH, "kvm", "KVM_SET_XSAVE",
                            "an image of %zu bytes; this vCPU's has %zu", length, size);
    return KVM_VCPU_CHANGE(vcpu, KVM_SET_XSAVE, buf);
}

/*
 * x87 and SSE registers. Not by KVM_GET_FPU and KVM_SET_FPU: those leave MXCSR out, and what they
 * set is lost where the component is still in its initial state.
 */
static int get_fpu(void *buf, visor_vcpu *vcpu)
{
    size_t size = xsave_size(vcpu);
    void *image = malloc(size);
    int ret;

    if (image == NULL)
        return visor__error(VISOR_ENOMEM, "kvm", "KVM_GET_XSAVE", "%zu bytes", size);
    ret = get_xsave(image, size, vcpu);
    if (ret >= 0)
        kvm_x86_fpu_from_xsave(buf, image);
    free(image);
    return ret < 0 ? ret : 0;
}

static int set_fpu(visor_vcpu *vcpu, const void *buf)
{
    size_t size = xsave_size(vcpu);
    void *image = malloc(size);
    int ret;

    if (image == NULL)
        return visor__error(VISOR_ENOMEM, "kvm", "KVM_SET_XSAVE", "%zu bytes", size);
    ret = get_xsave(image, size, vcpu);
    if (ret >= 0) {
        kvm_x86_fpu_to_xsave(image, buf);
        ret = set_xsave(vcpu, image, size);
    }
    free(image);
    return ret;
}

/* ---- nested virtualization ---- */

static size_t nested_size(const visor_vcpu *vcpu)
{
    int size = kvm_check(kvm_vm_of(vcpu->vm)->fd, KVM_CAP_NESTED_STATE);

    return size >= (int)sizeof(struct kvm_nested_state) ? (size_t)size : 0;
}

/* The state of a vCPU whose guest has not begun to use virtualization. */
static void nested_clear(struct kvm_nested_state *state)
{
    uint16_t format = state->format;

    memset(state, 0, sizeof(*state));
    state->format = format;
    state->size = sizeof(*state);
    if (format == KVM_STATE_NESTED_FORMAT_SVM) {
        state->flags = KVM_STATE_NESTED_GIF_SET;
    } else {
        state->hdr.vmx.vmxon_pa = UINT64_MAX;
        state->hdr.vmx.vmcs12_pa = UINT64_MAX;
    }
}

static bool nested_is_clear(const struct kvm_nested_state *state)
{
    if (state->format == KVM_STATE_NESTED_FORMAT_SVM)
        return state->flags == KVM_STATE_NESTED_GIF_SET;
    return state->flags == 0 && state->hdr.vmx.vmxon_pa == UINT64_MAX;
}

/* The kernel's state in memory that the caller frees; NULL where the kernel has none. */
static int nested_read(struct kvm_nested_state **out, visor_vcpu *vcpu)
{
    size_t size = nested_size(vcpu);
    struct kvm_nested_state *state;
    int ret;

    *out = NULL;
    if (size == 0)
        return 0;
    state = calloc(1, size);
    if (state == NULL)
        return visor__error(VISOR_ENOMEM, "kvm", "KVM_GET_NESTED_STATE", "%zu bytes", size);
    state->size = (uint32_t)size;
    ret = KVM_VCPU_READ(vcpu, KVM_GET_NESTED_STATE, state);
    if (ret < 0) {
        free(state);
        return ret;
    }
    *out = state;
    return 0;
}

static int get_nested(void *buf, size_t capacity, visor_vcpu *vcpu)
{
    struct kvm_nested_state *state;
    int ret = nested_read(&state, vcpu);

    if (ret < 0 || state == NULL)
        return ret;
    if (!nested_is_clear(state)) {
        ret = (int)state->size;
        if (capacity >= state->size)
            memcpy(buf, state, state->size);
    }
    free(state);
    return ret;
}

static int set_nested(visor_vcpu *vcpu, const void *buf, size_t length)
{
    static const char op[] = "KVM_SET_NESTED_STATE";
    size_t most = nested_size(vcpu);
    struct kvm_nested_state *state;
    int ret;

    if (length == 0) {
        ret = nested_read(&state, vcpu);
        if (ret < 0 || state == NULL)
            return ret;
        ret = 0;
        if (!nested_is_clear(state)) {
            nested_clear(state);
            ret = KVM_VCPU_CHANGE(vcpu, KVM_SET_NESTED_STATE, state);
        }
        free(state);
        return ret;
    }
    if (most == 0)
        return visor__error(VISOR_EUNSUPPORTED, "kvm", op, "no nested virtualization here");
    if (length < sizeof(*state) || length > most)
        return visor__error(VISOR_EFORMAT, "kvm", op, "%zu bytes, not %zu to %zu", length,
                            sizeof(*state), most);
    state = malloc(length); /* a copy, for its alignment */
    if (state == NULL)
        return visor__error(VISOR_ENOMEM, "kvm", op, "%zu bytes", length);
    memcpy(state, buf, length);
    if (state->size < sizeof(*state) || state->size > length)
        ret = visor__error(VISOR_EFORMAT, "kvm", op, "says that it has %u of %zu bytes",
                           state->size, length);
    else
        ret = KVM_VCPU_CHANGE(vcpu, KVM_SET_NESTED_STATE, state);
    free(state);
    return ret;
}

/* ---- the table ---- */

static const struct {
    size_t size; /* 0: variable */
    int (*get)(void *buf, visor_vcpu *vcpu);
    int (*set)(visor_vcpu *vcpu, const void *buf);
    int (*get_some)(void *buf, size_t capacity, visor_vcpu *vcpu);
    int (*set_some)(visor_vcpu *vcpu, const void *buf, size_t length);
} pieces[VISOR__STATE_COUNT] = {
    [VISOR__STATE_X86_MP_STATE] = {4, get_mp_state, set_mp_state, NULL, NULL},
    [VISOR__STATE_X86_CPUID] = {0, NULL, NULL, get_cpuid, set_cpuid},
    [VISOR__STATE_X86_APIC_BASE] = {8, get_apic_base, set_apic_base, NULL, NULL},
    [VISOR__STATE_X86_LAPIC] = {sizeof(visor_x86_lapic), get_lapic, set_lapic, NULL, NULL},
    [VISOR__STATE_X86_REGS] = {sizeof(visor_x86_regs), get_regs, set_regs, NULL, NULL},
    [VISOR__STATE_X86_SREGS] = {sizeof(visor_x86_sregs), get_sregs, set_sregs, NULL, NULL},
    [VISOR__STATE_X86_DEBUGREGS] = {sizeof(visor_x86_debugregs), get_debugregs, set_debugregs, NULL,
                                    NULL},
    [VISOR__STATE_X86_XCRS] = {sizeof(visor_x86_xcrs), get_xcrs, set_xcrs, NULL, NULL},
    [VISOR__STATE_X86_FPU] = {sizeof(visor_x86_fpu), get_fpu, set_fpu, NULL, NULL},
    [VISOR__STATE_X86_XSAVE] = {0, NULL, NULL, get_xsave, set_xsave},
    [VISOR__STATE_X86_NESTED] = {0, NULL, NULL, get_nested, set_nested},
    [VISOR__STATE_X86_EVENTS] = {sizeof(visor_x86_events), get_events, set_events, NULL, NULL},
};

static bool has_piece(const visor_vcpu *vcpu, enum visor__state piece)
{
    if (piece == VISOR__STATE_X86_LAPIC)
        return vcpu->vm->config.irqchip != VISOR_IRQCHIP_NONE;
    return pieces[piece].get != NULL || pieces[piece].get_some != NULL;
}

int kvm_arch_get_state(void *buf, size_t capacity, visor_vcpu *vcpu, enum visor__state piece)
{
    size_t size = pieces[piece].size;
    int ret = 0;

    if (!has_piece(vcpu, piece))
        return visor__unsupported(vcpu->vm->hv, visor__states[piece].name,
                                  "this VM has no such state");
    if (pieces[piece].get_some != NULL)
        return pieces[piece].get_some(buf, capacity, vcpu);
    if (capacity >= size)
        ret = pieces[piece].get(buf, vcpu);
    return ret < 0 ? ret : (int)size;
}

int kvm_arch_set_state(visor_vcpu *vcpu, enum visor__state piece, const void *buf, size_t length)
{
    int ret;

    if (!has_piece(vcpu, piece))
        return visor__unsupported(vcpu->vm->hv, visor__states[piece].name,
                                  "this VM has no such state");
    ret = pieces[piece].set_some != NULL ? pieces[piece].set_some(vcpu, buf, length)
                                         : pieces[piece].set(vcpu, buf);
    return ret < 0 ? ret : 0;
}

int kvm_arch_paused(visor_vcpu *vcpu)
{
    int ret;

    if (kvm_check(kvm_vm_of(vcpu->vm)->fd, KVM_CAP_KVMCLOCK_CTRL) <= 0)
        return 0;
    ret = kvm_ioctl_quiet(kvm_vcpu_of(vcpu)->fd, KVM_KVMCLOCK_CTRL, 0);
    if (ret < 0 && ret != -EINVAL) /* EINVAL: the guest does not use the clock on this vCPU */
        return kvm_error("KVM_KVMCLOCK_CTRL", -ret, "vCPU %u", vcpu->id);
    return 0;
}
