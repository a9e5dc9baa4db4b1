/* SPDX-License-Identifier: BSD-3-Clause */
/* What the driver's exits mean, and how accesses are answered. */
#include <string.h>

#include "haxm/haxm.h"

/* ---- ports ---- */

/* Where in the driver's buffer an element is. It is filled as memory is; the elements of an access
 * that goes down come from its end. */
static uint8_t *element_at(const struct haxm_vcpu *v)
{
    unsigned index = v->element;

    if (v->tunnel->io._df != 0)
        index = v->tunnel->io._count - 1u - index;
    return (uint8_t *)v->io + (size_t)index * v->tunnel->io._size;
}

static int fill_element(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    visor_io *io = &vcpu->exit.io;

    *io = (visor_io){.address = v->tunnel->io._port,
                     .length = v->tunnel->io._size,
                     .is_write = v->tunnel->io._direction == HAX_IO_OUT,
                     .space = VISOR_PIO};
    if (io->is_write)
        memcpy(io->data, element_at(v), io->length);
    v->due = HAXM_DUE_PORT;
    v->between = false;
    return VISOR_EXIT_IO;
}

int haxm_exit_element(visor_vcpu *vcpu)
{
    haxm_vcpu_of(vcpu)->element++;
    return fill_element(vcpu);
}

static int exit_port(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    unsigned size = v->tunnel->io._size, count = v->tunnel->io._count;

    /* REP with a count of 0 accesses nothing. */
    if (count == 0)
        return VISOR_EXIT_NONE;
    if ((size != 1 && size != 2 && size != 4) || size * count > IOS_MAX_BUFFER)
        return VISOR_EXIT_UNKNOWN;
    v->element = 0;
    v->unsettled = v->tunnel->io._direction == HAX_IO_IN;
    return fill_element(vcpu);
}

/* ---- memory ---- */

static int exit_mmio(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    const struct hax_fastmmio *mmio = v->io;
    visor_io *io = &vcpu->exit.io;

    if (mmio->size == 0) /* a write to read-only memory, see clear_exit() */
        return VISOR_EXIT_NONE;
    if (mmio->size > 8 || mmio->direction > HAX_FASTMMIO_WRITE)
        return VISOR_EXIT_UNKNOWN;
    *io = (visor_io){.address = mmio->gpa,
                     .length = mmio->size,
                     .is_write = mmio->direction == HAX_FASTMMIO_WRITE,
                     .space = VISOR_MMIO};
    if (io->is_write)
        visor_io_set_value(io, mmio->value);
    v->due = io->is_write ? HAXM_DUE_NONE : HAXM_DUE_MMIO;
    v->unsettled = true;
    return VISOR_EXIT_MMIO;
}

void haxm_exit_answer(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    const visor_io *io = &vcpu->exit.io;

    if (v->due == HAXM_DUE_PORT) {
        if (!io->is_write)
            memcpy(element_at(v), io->data, io->length);
        v->between = v->element + 1u < v->tunnel->io._count;
    } else if (v->due == HAXM_DUE_MMIO) {
        ((struct hax_fastmmio *)v->io)->value = visor_io_value(io);
    }
    v->due = HAXM_DUE_NONE;
}

/* ---- the rest ---- */

/*
 * The driver is told to enter no more by a triple fault, by an access that it cannot emulate, and
 * by exits that should not be. Of all but the first it tells the reason; at a triple fault the
 * reason stays that of the exit before it in the same run, which may be a page that was touched for
 * the first time (48), or CPUID. So only what was cleared before the run, or a kick's mark over
 * that, is known to be a triple fault.
 */
static int exit_dead(visor_vcpu *vcpu)
{
    visor_exit *exit = &vcpu->exit;
    uint32_t reason = haxm_vcpu_of(vcpu)->dead_reason;

    if (reason == 0 || reason == HAX_EXIT_PAUSED)
        return VISOR_EXIT_SHUTDOWN;
    memset(&exit->internal, 0, sizeof(exit->internal));
    exit->internal.suberror = HAX_EXIT_STATECHANGE;
    exit->internal.text =
        reason == HAXM_REASON_EPT
            ? "the driver has given the vCPU up: after a triple fault, or "
              "because it cannot emulate the instruction that accesses a device; it does not tell "
              "which"
            : "the driver has given the vCPU up: after a triple fault, or "
              "because of the exit whose VMX reason the data is; it does not tell which";
    exit->internal.data[0] = reason;
    exit->internal.data_count = 1;
    return VISOR_EXIT_INTERNAL_ERROR;
}

static int exit_memory_fault(visor_vcpu *vcpu)
{
    const struct hax_tunnel *tunnel = haxm_vcpu_of(vcpu)->tunnel;

    vcpu->exit.memory_fault.gpa = tunnel->pagefault.gpa;
    vcpu->exit.memory_fault.length = 0;
    vcpu->exit.memory_fault.flags = tunnel->pagefault.flags & 7; /* the rest is noise */
    return VISOR_EXIT_MEMORY_FAULT;
}

static int exit_debug(visor_vcpu *vcpu)
{
    const struct hax_tunnel *tunnel = haxm_vcpu_of(vcpu)->tunnel;
    visor_exit *exit = &vcpu->exit;
    /* INT3 leaves both registers 0; DR7 has a bit that is always 1. */
    bool is_int3 = tunnel->debug.dr6 == 0 && tunnel->debug.dr7 == 0;

    memset(&exit->debug, 0, sizeof(exit->debug));
    exit->debug.pc = tunnel->debug.rip;
    exit->debug.exception = is_int3 ? 3 : 1;
    if (is_int3)
        return VISOR_EXIT_DEBUG;
    /* What is stored is the exit qualification: DR6 without its bits that are always 1. */
    exit->debug.dr6 = tunnel->debug.dr6 | 0xffff0ff0u;
    exit->debug.dr7 = tunnel->debug.dr7;
    exit->debug.single_step = (tunnel->debug.dr6 & HAXM_DR6_BS) != 0;
    exit->debug.hit_mask = (uint32_t)(tunnel->debug.dr6 & 15);
    return VISOR_EXIT_DEBUG;
}

/* An interrupt of the host, a kick, or that the guest can take an interrupt: all come as one. */
static int exit_interrupt(const struct haxm_vcpu *v)
{
    if (v->irq_window && v->ready && !v->irq_pending)
        return VISOR_EXIT_IRQ_WINDOW;
    return VISOR_EXIT_INTR;
}

int haxm_exit_translate(visor_vcpu *vcpu)
{
    struct haxm_vcpu *v = haxm_vcpu_of(vcpu);
    int ret = VISOR_EXIT_UNKNOWN;

    v->due = HAXM_DUE_NONE;
    v->between = false;
    switch (v->status) {
    case 0: /* a write to read-only memory: nobody gets to know what */
    case HAX_EXIT_PAUSED: return VISOR_EXIT_NONE;
    case HAX_EXIT_IO: ret = exit_port(vcpu); break;
    case HAX_EXIT_FAST_MMIO: ret = exit_mmio(vcpu); break;
    case HAX_EXIT_INTERRUPT: return exit_interrupt(v);
    case HAX_EXIT_HLT: return VISOR_EXIT_HLT;
    case HAX_EXIT_STATECHANGE: return exit_dead(vcpu);
    case HAX_EXIT_PAGEFAULT: return exit_memory_fault(vcpu);
    case HAX_EXIT_DEBUG: return exit_debug(vcpu);
    case HAX_EXIT_UNKNOWN:
        vcpu->exit.fail_entry.reason = v->tunnel->_exit_reason;
        vcpu->exit.fail_entry.cpu = 0;
        return VISOR_EXIT_FAIL_ENTRY;
    default: break;
    }
    if (ret == VISOR_EXIT_UNKNOWN)
        memcpy(vcpu->exit.unknown.payload, v->tunnel, sizeof(*v->tunnel));
    return ret;
}
