/* SPDX-License-Identifier: BSD-3-Clause */
/* The state of the null backend: it is kept and given back, and means nothing to it but RIP and CS.
 */
#include "null/null.h"

#include <stdlib.h>
#include <string.h>

/* An ordinary selection, in the order in which a snapshot lists them. */
const struct null_msr null_msrs[NULL_MSRS] = {
    {.index = 0x10},                                /* IA32_TIME_STAMP_COUNTER */
    {.index = 0xfe, .read_only = true, .value = 8}, /* IA32_MTRRCAP */
    {.index = 0x174},                               /* IA32_SYSENTER_CS */
    {.index = 0x175},                               /* IA32_SYSENTER_ESP */
    {.index = 0x176},                               /* IA32_SYSENTER_EIP */
    {.index = 0x277, .value = 0x0007040600070406},  /* IA32_PAT */
    {.index = 0xc0000081},                          /* IA32_STAR */
    {.index = 0xc0000102},                          /* IA32_KERNEL_GS_BASE */
};

/* ---- pieces ---- */

static bool is_of_apic(enum visor__state piece)
{
    return piece == VISOR__STATE_X86_LAPIC || piece == VISOR__STATE_X86_APIC_BASE;
}

/* Whether this VM has the piece. MSRs go through their own operations. */
static int check_piece(const visor_vcpu *vcpu, enum visor__state piece)
{
    if (piece == VISOR__STATE_X86_MSRS || (is_of_apic(piece) && vcpu->lapic == NULL))
        return visor__error(VISOR_EUNSUPPORTED, "null", visor__states[piece].name,
                            "this VM has no such state");
    return 0;
}

/* Replaces the value of a piece by a copy of this one. */
static int store(visor_vcpu *vcpu, enum visor__state piece, const void *value, size_t length)
{
    struct null_vcpu *null = null_vcpu_of(vcpu);
    void *copy = malloc(length > 0 ? length : 1);

    if (copy == NULL)
        return visor__error(VISOR_ENOMEM, "null", visor__states[piece].name, "%zu bytes", length);
    if (length > 0)
        memcpy(copy, value, length);
    free(null->state[piece].value);
    null->state[piece].value = copy;
    null->state[piece].length = length;
    return 0;
}

int null_state_create(visor_vcpu *vcpu)
{
    static const uint8_t zeros[NULL_XSAVE_SIZE];
    const visor_x86_debugregs debugregs = {.dr6 = 0xffff0ff0, .dr7 = 0x400};
    const visor_x86_xcrs xcrs = {.count = 1, .xcr = {{.value = 1}}};
    const visor_x86_events events = {0};
    /* With a chip that could start them, others than the first wait for that. */
    const uint32_t mp_state =
        vcpu->vm->chip == NULL || vcpu->id == 0 ? VISOR_MP_RUNNABLE : VISOR_MP_UNINITIALIZED;
    visor_x86_regs regs;
    visor_x86_sregs sregs;
    visor_x86_fpu fpu;
    int ret = 0;

    visor_x86_reset_regs(&regs);
    visor_x86_reset_sregs(&sregs);
    visor_x86_reset_fpu(&fpu);
    const struct {
        enum visor__state piece;
        const void *value;
        size_t length;
    } initial[] = {
        {VISOR__STATE_X86_MP_STATE, &mp_state, sizeof(mp_state)},
        {VISOR__STATE_X86_CPUID, NULL, 0},
        {VISOR__STATE_X86_REGS, &regs, sizeof(regs)},
        {VISOR__STATE_X86_SREGS, &sregs, sizeof(sregs)},
        {VISOR__STATE_X86_DEBUGREGS, &debugregs, sizeof(debugregs)},
        {VISOR__STATE_X86_XCRS, &xcrs, sizeof(xcrs)},
        {VISOR__STATE_X86_FPU, &fpu, sizeof(fpu)},
        {VISOR__STATE_X86_XSAVE, zeros, NULL_XSAVE_SIZE},
        {VISOR__STATE_X86_NESTED, NULL, 0},
        {VISOR__STATE_X86_EVENTS, &events, sizeof(events)},
    };

    for (size_t i = 0; ret == 0 && i < sizeof(initial) / sizeof(initial[0]); i++)
        ret = store(vcpu, initial[i].piece, initial[i].value, initial[i].length);
    for (size_t i = 0; i < NULL_MSRS; i++)
        null_vcpu_of(vcpu)->msrs[i] = null_msrs[i].value;
    if (ret < 0)
        null_state_destroy(vcpu);
    return ret;
}

void null_state_destroy(visor_vcpu *vcpu)
{
    for (int piece = 0; piece < VISOR__STATE_COUNT; piece++)
        free(null_vcpu_of(vcpu)->state[piece].value);
}

int null_get_state(void *buf, size_t capacity, visor_vcpu *vcpu, enum visor__state piece)
{
    const struct null_vcpu *null = null_vcpu_of(vcpu);
    size_t length = null->state[piece].length;
    int ret = NULL_FAULT(vcpu->vm->hv, vcpu, get_state);

    if (ret == 0)
        ret = check_piece(vcpu, piece);
    if (ret < 0)
        return ret;
    if (is_of_apic(piece))
        return visor__lapic_get_state(buf, capacity, vcpu->lapic, piece);
    null_chip_take_events(vcpu);
    if (length > 0 && capacity >= length)
        memcpy(buf, null->state[piece].value, length);
    return (int)length;
}

int null_set_state(visor_vcpu *vcpu, enum visor__state piece, const void *buf, size_t length)
{
    int ret = NULL_FAULT(vcpu->vm->hv, vcpu, set_state);

    if (ret == 0)
        ret = check_piece(vcpu, piece);
    if (ret < 0)
        return ret;
    if (is_of_apic(piece))
        return visor__lapic_set_state(vcpu->lapic, piece, buf, length);
    if (piece == VISOR__STATE_X86_NESTED && length > NULL_NESTED_SIZE)
        return visor__error(VISOR_EMISMATCH, "null", visor__states[piece].name, "%zu bytes",
                            length);
    return store(vcpu, piece, buf, length);
}

/* ---- MSRs ---- */

static size_t find_msr(uint32_t index)
{
    size_t i = 0;

    while (i < NULL_MSRS && null_msrs[i].index != index)
        i++;
    return i;
}

static int get_msrs(visor_x86_msr *msrs, size_t count, visor_vcpu *vcpu)
{
    int ret = NULL_FAULT(vcpu->vm->hv, x86, get_msrs);
    size_t done = 0;

    if (ret < 0)
        return ret;
    while (done < count && find_msr(msrs[done].index) < NULL_MSRS) {
        msrs[done].value = null_vcpu_of(vcpu)->msrs[find_msr(msrs[done].index)];
        done++;
    }
    if (done < count)
        visor__error(VISOR_ENOENT, "null", "x86.get_msrs", "no MSR 0x%x", msrs[done].index);
    return (int)done;
}

static int set_msrs(visor_vcpu *vcpu, const visor_x86_msr *msrs, size_t count)
{
    int ret = NULL_FAULT(vcpu->vm->hv, x86, set_msrs);

    if (ret < 0)
        return ret;
    for (size_t done = 0; done < count; done++) {
        size_t i = find_msr(msrs[done].index);

        if (i == NULL_MSRS || null_msrs[i].read_only) {
            visor__error(VISOR_EREFUSED, "null", "x86.set_msrs", "MSR 0x%x", msrs[done].index);
            return (int)done;
        }
        null_vcpu_of(vcpu)->msrs[i] = msrs[done].value;
    }
    return (int)count;
}

/* ---- interrupts ---- */

static visor_x86_events *events_of(visor_vcpu *vcpu)
{
    return null_vcpu_of(vcpu)->state[VISOR__STATE_X86_EVENTS].value;
}

static int ready_for_interrupt(visor_vcpu *vcpu)
{
    const visor_x86_regs *regs = null_vcpu_of(vcpu)->state[VISOR__STATE_X86_REGS].value;
    const visor_x86_events *events = events_of(vcpu);
    int ret = NULL_FAULT(vcpu->vm->hv, x86, ready_for_interrupt);

    if (ret < 0)
        return ret;
    return (regs->rflags & 0x200) != 0 && events->interrupt.shadow == 0 &&
           events->interrupt.injected == 0;
}

static int interrupt(visor_vcpu *vcpu, uint8_t vector)
{
    visor_x86_events *events = events_of(vcpu);
    const visor_x86_regs *regs = null_vcpu_of(vcpu)->state[VISOR__STATE_X86_REGS].value;
    int ret = NULL_FAULT(vcpu->vm->hv, x86, interrupt);

    if (ret < 0)
        return ret;
    if ((regs->rflags & 0x200) == 0 || events->interrupt.shadow != 0)
        return visor__error(VISOR_EAGAIN, "null", "x86.interrupt", "interrupts are disabled");
    events->interrupt.injected = 1;
    events->interrupt.vector = vector;
    return 0;
}

static int request_irq_window(visor_vcpu *vcpu, bool on)
{
    int ret = NULL_FAULT(vcpu->vm->hv, x86, request_irq_window);

    if (ret == 0)
        null_vcpu_of(vcpu)->irq_window = on;
    return ret;
}

static int nmi(visor_vcpu *vcpu)
{
    int ret = NULL_FAULT(vcpu->vm->hv, x86, nmi);

    if (ret == 0)
        events_of(vcpu)->nmi.pending = 1;
    return ret;
}

/* ---- what has no effect ---- */

static int set_msr_exits(visor_vm *vm, const visor_x86_msr_range *ranges, size_t count,
                         bool unknown)
{
    (void)ranges;
    (void)count;
    (void)unknown;
    return NULL_FAULT(vm->hv, x86, set_msr_exits);
}

static int set_identity_map(visor_vm *vm, uint64_t gpa)
{
    (void)gpa;
    return NULL_FAULT(vm->hv, x86, set_identity_map);
}

static int set_tss_area(visor_vm *vm, uint64_t gpa)
{
    (void)gpa;
    return NULL_FAULT(vm->hv, x86, set_tss_area);
}

static int set_bus_lock_exits(visor_vm *vm, bool on)
{
    (void)on;
    return NULL_FAULT(vm->hv, x86, set_bus_lock_exits);
}

static int set_platform_info(visor_vm *vm, bool on)
{
    (void)on;
    return NULL_FAULT(vm->hv, x86, set_platform_info);
}

static int get_tsc_offset(uint64_t *out, visor_vcpu *vcpu)
{
    int ret = NULL_FAULT(vcpu->vm->hv, x86, get_tsc_offset);

    if (ret == 0)
        *out = null_vcpu_of(vcpu)->tsc_offset;
    return ret;
}

static int set_tsc_offset(visor_vcpu *vcpu, uint64_t offset)
{
    int ret = NULL_FAULT(vcpu->vm->hv, x86, set_tsc_offset);

    if (ret == 0)
        null_vcpu_of(vcpu)->tsc_offset = offset;
    return ret;
}

static int get_tsc_hz(uint64_t *out, visor_vcpu *vcpu)
{
    int ret = NULL_FAULT(vcpu->vm->hv, x86, get_tsc_hz);

    if (ret == 0)
        *out = 1000000000;
    return ret;
}

const struct visor__x86_ops null_x86_ops = {
    .ready_for_interrupt = ready_for_interrupt,
    .interrupt = interrupt,
    .request_irq_window = request_irq_window,
    .nmi = nmi,
    .get_msrs = get_msrs,
    .set_msrs = set_msrs,
    .get_chip = null_get_chip,
    .set_chip = null_set_chip,
    .set_msr_exits = set_msr_exits,
    .set_identity_map = set_identity_map,
    .set_tss_area = set_tss_area,
    .set_bus_lock_exits = set_bus_lock_exits,
    .set_platform_info = set_platform_info,
    .get_tsc_offset = get_tsc_offset,
    .set_tsc_offset = set_tsc_offset,
    .get_tsc_hz = get_tsc_hz,
};
