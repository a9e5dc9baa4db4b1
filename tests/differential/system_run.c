/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "system.h"

visor_vcpu *volatile system_running;
volatile unsigned system_count;

#define ACCESSES 64u /* of an instruction to what is no memory: more is no instruction */

/* Reads of devices are answered so that it shows. */
static void note_access(struct system_end *out, visor_exit *exit)
{
    uint64_t value = UINT64_C(0x1122334455667788);

    if (exit->io.is_write)
        value = visor_io_value(&exit->io);
    else
        visor_io_set_value(&exit->io, value);
    out->trace = out->trace * 31 + exit->io.address;
    out->trace = out->trace * 31 + exit->io.length;
    out->trace = out->trace * 31 + exit->io.is_write;
    out->trace = out->trace * 31 + value;
    out->accesses++;
}

static int set(struct machine *machine, const struct system_case *c)
{
    visor_vcpu *vcpu = machine->vcpu;
    visor_x86_events events = c->events;
    visor_x86_sregs sregs = c->sregs;
    int ret;

    /* QEMU 7.2 gives up ("invalid tss type") on a guest whose TR is busy, as it has to be, and
     * which comes to an inner stack. KVM does not show the bit to us, nor do processors look. */
    if (strcmp(machine->name, "kvm") == 0)
        sregs.tr.type = 9;

    events.exception.has_pending = 1;
    events.nmi.has_pending = 1;
    events.interrupt.has_shadow = 1;
    events.triple_fault.has_pending = 1;
    memcpy(machine->ram, c->ram, SYSTEM_RAM);
    ret = visor_x86_set_sregs(vcpu, &sregs);
    if (ret >= 0)
        ret = visor_x86_set_regs(vcpu, &c->regs);
    if (ret >= 0)
        ret = visor_x86_set_debugregs(vcpu, &c->debugregs);
    if (ret >= 0)
        ret = visor_x86_set_msrs(vcpu, c->msrs, SYSTEM_MSRS);
    if (ret >= 0)
        ret = visor_x86_set_events(vcpu, &events);
    return ret;
}

const char *system_run(struct system_end *out, struct machine *machine, const struct system_case *c)
{
    visor_vcpu *vcpu = machine->vcpu;
    visor_exit *exit = visor_vcpu_exit(vcpu);

    memset(out, 0, sizeof(*out));
    if (set(machine, c) < 0)
        return machine_error(machine->name);
    system_running = vcpu;
    system_count++;
    do {
        visor_x86_events events = {0};

        /* A trap behind HLT ends it; KVM has an exit before. */
        if (out->reason == VISOR_EXIT_HLT && visor_x86_get_events(&events, vcpu) < 0)
            return machine_error(machine->name);
        if (out->reason == VISOR_EXIT_HLT && !events.exception.pending)
            break;
        out->reason = visor_vcpu_run(vcpu);
        if (out->reason == VISOR_EXIT_IO || out->reason == VISOR_EXIT_MMIO)
            note_access(out, exit);
    } while (out->reason == VISOR_EXIT_INTR || out->reason == VISOR_EXIT_SET_TPR ||
             out->reason == VISOR_EXIT_HLT ||
             ((out->reason == VISOR_EXIT_IO || out->reason == VISOR_EXIT_MMIO) &&
              out->accesses < ACCESSES));
    system_running = NULL;
    if (visor_vcpu_settle(vcpu) < 0 || visor_x86_get_regs(&out->regs, vcpu) < 0 ||
        visor_x86_get_sregs(&out->sregs, vcpu) < 0 ||
        visor_x86_get_debugregs(&out->debugregs, vcpu) < 0 ||
        visor_x86_get_events(&out->events, vcpu) < 0)
        return machine_error(machine->name);
    memcpy(out->msrs, c->msrs, sizeof(out->msrs));
    return visor_x86_get_msrs(out->msrs, SYSTEM_MSRS, vcpu) < 0 ? machine_error(machine->name)
                                                                : NULL;
}
