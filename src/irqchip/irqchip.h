/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The interrupt chips of a PC, for backends whose hypervisor has none: two 8259A (PIC), an 82093AA
 * (I/O APIC), an 8254 (PIT) with port 0x61, and a local APIC for each vCPU. They are what
 * VISOR_IRQCHIP_KERNEL and VISOR_IRQCHIP_SPLIT mean on such a backend, and look like KVM's: the
 * same functions drive them, and their state is the public structures of <visor/x86_64.h>, so that
 * what is saved here resumes there and the other way round.
 *
 * ---- what a backend does ----
 *
 *  1. Life. vm_ops.create calls visor__irqchip_attach(), vcpu_ops.create visor__lapic_attach(),
 *     which do nothing if vm->config asks for no chip; destroy calls the other two. The tables
 *     point at the functions that need the core's objects only: `.irq = &visor__irqchip_irq_ops`,
 *     `.get_chip = visor__irqchip_get_chip`, `.set_chip = visor__irqchip_set_chip`.
 *
 *  2. Accesses. Every port access, every MMIO access and every access to an MSR that is not the
 *     processor's own is offered: visor__irqchip_access(), visor__lapic_read_msr(),
 *     visor__lapic_write_msr(). The page of the local APIC, visor__lapic_page(), comes before
 *     memory. CR8 is visor__lapic_get_cr8() and visor__lapic_set_cr8().
 *
 *  3. Entering. Before it enters the guest, and whenever its `wake` was called, the vCPU looks at
 *     visor__lapic_pending() (one atomic load) and serves what is there, in this order:
 *         INIT       visor__lapic_take(INIT): reset the registers as INIT does; a vCPU other than
 *                    the bootstrap processor becomes VISOR_MP_INIT_RECEIVED
 *         SIPI       visor__lapic_take_sipi(): in INIT_RECEIVED start at vector << 12, else ignore
 *         SMI, NMI   visor__lapic_take(): from then on it is the vCPU's, in its visor_x86_events
 *         EOI        visor__lapic_take_eoi(): return VISOR_EXIT_IOAPIC_EOI (split chip only)
 *         INTERRUPT  if the guest can take one (IF, no shadow): visor__lapic_acknowledge(), which
 *                    is the interrupt acknowledge cycle: the vector is the vCPU's now, to inject
 *                    at once or to keep as events.interrupt.injected. Else, and if it is still
 *                    pending then (a local APIC's behind a PIC's; `wake` is not called again),
 *                    open the interrupt window and ask again then.
 *     NMI, SMI, INIT and SIPI that are pending are not in visor_x86_lapic: get_state of MP_STATE
 *     and EVENTS takes them first and puts them there.
 *
 *  4. HLT, and waiting for INIT or SIPI. Between visor__run_begin() and visor__run_end():
 *         for (;;) {
 *             uint32_t bell = visor__lapic_bell(lapic);
 *             if (it is kicked, or something is pending that ends this wait)
 *                 break;
 *             visor__lapic_sleep(lapic, bell);
 *         }
 *     and vcpu_ops.kick calls visor__lapic_ring(). HLT is not an exit then.
 *
 *  5. Time. `now` and `tsc` are asked for whenever a chip needs the time. With the real clock
 *     (`clocked`) nothing else is to be done: a thread of the VM waits for the next deadline and
 *     wakes the vCPU that has to look, also out of the guest. A backend whose time is a count of
 *     instructions does it itself: when `now` reaches visor__irqchip_deadline() it calls
 *     visor__irqchip_expire(), and if all vCPUs sleep it moves its time there. `deadline` says that
 *     the deadline became earlier. Events of the host have a thread in either case.
 *
 * ---- locks and threads ----
 *
 * Any function may be called from any thread, but for those of a vCPU's own run loop: the ones that
 * take, acknowledge and sleep are called by the thread that owns the vCPU. All chips of a VM share
 * one lock, which is held for tens of nanoseconds and calls nothing but `struct
 * visor__irqchip_host`; these must not call back, and take no lock under which a chip is called.
 * visor__lapic_pending() takes no lock.
 */
#ifndef VISOR_IRQCHIP_IRQCHIP_H
#define VISOR_IRQCHIP_IRQCHIP_H

#include "core/backend.h"

struct visor__irqchip; /* the chips of a VM, and the wires between them */
struct visor__lapic;   /* the local APIC of a vCPU */

/* What the chips need of the machine around them. */
struct visor__irqchip_host {
    /* REQUIRED. The VM's time in ns, which never goes back. If `clocked`, the monotonic clock of
     * the host, plus a constant at most; it may stand still for a time. */
    uint64_t (*now)(void *vm);
    /* REQUIRED. What RDTSC would read on this vCPU now. Called from other threads too. */
    uint64_t (*tsc)(void *vcpu);
    /* REQUIRED. visor__lapic_pending() has a new bit: the vCPU shall look at it soon, also if it is
     * in the guest. A sleeping vCPU wakes up without this. visor__kick_nudge() does it. */
    void (*wake)(void *vcpu);
    /* NULL: nobody has to know. visor__irqchip_deadline() is earlier than it was. */
    void (*deadline)(void *vm);
    /* `now` goes on by itself, as fast as the host's clock. */
    bool clocked;
};

struct visor__irqchip_config {
    const struct visor__irqchip_host *host; /* lives as long as the chips */
    void *vm;                               /* for host->now and host->deadline */
    bool split;                             /* local APICs only */
    bool no_pit;
    uint64_t tsc_hz; /* of host->tsc; 0: there is no TSC deadline timer */
};

/* ---- life ---- */

/* The chips of a VM after power-up, with no route. */
int visor__irqchip_create(struct visor__irqchip **out, const struct visor__irqchip_config *config);
/* All local APICs are destroyed before. Accepts NULL. */
void visor__irqchip_destroy(struct visor__irqchip *chip);
/* vcpu: for host->tsc and host->wake. id: at most 254. Id 0 is the bootstrap processor's. */
int visor__lapic_create(struct visor__lapic **out, struct visor__irqchip *chip, uint32_t id,
                        void *vcpu);
/* When it returns no other thread calls the host for this vCPU. Accepts NULL. */
void visor__lapic_destroy(struct visor__lapic *lapic);
/* What CPUID says of the vCPU: without it the guest cannot switch it on. Both are on at first
 * (TSC deadline: if there is a tsc_hz). */
void visor__lapic_set_features(struct visor__lapic *lapic, bool x2apic, bool tsc_deadline);

/* The same for the core's objects: into vm->chip and vcpu->lapic, with the vm and the vcpu as the
 * host's arguments. Nothing happens if the VM has no chip. */
int visor__irqchip_attach(visor_vm *vm, const struct visor__irqchip_host *host, uint64_t tsc_hz);
void visor__irqchip_detach(visor_vm *vm);
int visor__lapic_attach(visor_vcpu *vcpu);
void visor__lapic_detach(visor_vcpu *vcpu);

/* ---- devices: lines, messages, events ---- */

/* As the operations of visor__irq_ops with these names; the core has checked what it can. */
int visor__irqchip_set_irq(struct visor__irqchip *chip, uint32_t gsi, bool level);
int visor__irqchip_send_msi(struct visor__irqchip *chip, const visor_msi *msi);
int visor__irqchip_set_routes(struct visor__irqchip *chip, const visor_route *routes, size_t count);
int visor__irqchip_add_event(struct visor__irqchip *chip, uint32_t gsi, visor_event event,
                             visor_event resample);
int visor__irqchip_remove_event(struct visor__irqchip *chip, uint32_t gsi, visor_event event);

/* For tables of backends. */
extern const struct visor__irq_ops visor__irqchip_irq_ops;
int visor__irqchip_get_chip(void *buf, size_t capacity, visor_vm *vm, enum visor__vm_state piece);
int visor__irqchip_set_chip(visor_vm *vm, enum visor__vm_state piece, const void *buf,
                            size_t length);

/* ---- the guest's accesses ---- */

/* The address of the page of the local APIC; UINT64_MAX while there is none (switched off, or in
 * x2APIC mode). Only accesses of this vCPU change it. */
uint64_t visor__lapic_page(struct visor__lapic *lapic);
/*
 * A port or memory access of this vCPU. Returns whether a chip served it (io->data is filled for a
 * read); false: it is somebody else's. An access is at most 8 bytes and crosses no page.
 */
bool visor__irqchip_access(struct visor__lapic *lapic, visor_io *io);

enum visor__msr_result {
    VISOR__MSR_DONE,
    VISOR__MSR_FAULT,   /* #GP(0) */
    VISOR__MSR_FOREIGN, /* not of the local APIC */
};
/*
 * IA32_APIC_BASE (0x1b), IA32_TSC_DEADLINE (0x6e0) and the x2APIC's (0x800 to 0x8ff). by_guest:
 * the rules for guests apply; else it is the VMM that sets state: no fault for a mode that a guest
 * could not switch to at once.
 */
enum visor__msr_result visor__lapic_read_msr(uint64_t *out, struct visor__lapic *lapic,
                                             uint32_t index, bool by_guest);
enum visor__msr_result visor__lapic_write_msr(struct visor__lapic *lapic, uint32_t index,
                                              uint64_t value, bool by_guest);

/* The task priority, 0 to 15. set ignores all other bits, which are #GP before. */
uint64_t visor__lapic_get_cr8(struct visor__lapic *lapic);
void visor__lapic_set_cr8(struct visor__lapic *lapic, uint64_t value);

/* ---- the vCPU's run loop ---- */

enum {
    VISOR__PENDING_INTERRUPT = 1 << 0, /* maskable: local APIC or PIC, above the priority */
    VISOR__PENDING_NMI = 1 << 1,
    VISOR__PENDING_SMI = 1 << 2,
    VISOR__PENDING_INIT = 1 << 3,
    VISOR__PENDING_SIPI = 1 << 4,
    VISOR__PENDING_EOI = 1 << 5,
};
/* Everything that waits for this vCPU, as a set of bits. */
unsigned visor__lapic_pending(const struct visor__lapic *lapic);
/* The vector that acknowledge would give now, -1 if none: for hypervisors that want to know the
 * priority (TPR threshold). A PIC's is not known before its acknowledge cycle: -1 too. */
int visor__lapic_peek(struct visor__lapic *lapic);
/* The vector to inject; the local APIC or PIC counts it as in service. -1: there is none (any
 * more). */
int visor__lapic_acknowledge(struct visor__lapic *lapic);
/* Takes NMI, SMI or INIT: whether it was pending. INIT resets the local APIC. */
bool visor__lapic_take(struct visor__lapic *lapic, unsigned bit);
/* The vector of a start-up interrupt, -1 if there is none. */
int visor__lapic_take_sipi(struct visor__lapic *lapic);
/* The vector whose end the outer I/O APIC of a split chip has to see, -1 if there is none. */
int visor__lapic_take_eoi(struct visor__lapic *lapic);
/* Makes an NMI pending, as visor_x86_nmi(). */
void visor__lapic_nmi(struct visor__lapic *lapic);
/*
 * Split chip: the outer PIC's interrupt, as visor_x86_interrupt(). accepts: LINT0 lets it through,
 * and there is none yet (part of ready_for_interrupt; the other part is the processor's).
 */
bool visor__lapic_accepts_extint(struct visor__lapic *lapic);
void visor__lapic_set_extint(struct visor__lapic *lapic, uint8_t vector);

/* Sleeping, see 4 above. bell changes whenever a pending bit comes up or ring is called. */
uint32_t visor__lapic_bell(const struct visor__lapic *lapic);
/* Until the bell is not what it was. May return earlier. */
void visor__lapic_sleep(struct visor__lapic *lapic, uint32_t bell);
/* Any thread, signal handlers: async-signal-safe. */
void visor__lapic_ring(struct visor__lapic *lapic);

/* ---- time ---- */

/* When the next timer is due, in ns of host->now; UINT64_MAX: none is set. No lock. */
uint64_t visor__irqchip_deadline(const struct visor__irqchip *chip);
/* Lets what is due happen. */
void visor__irqchip_expire(struct visor__irqchip *chip);
/* The vCPU's TSC was set: a TSC deadline is at another time now. */
void visor__lapic_tsc_changed(struct visor__lapic *lapic);

/* ---- state ---- */

/* As vcpu_ops.get_state and set_state, for X86_LAPIC and X86_APIC_BASE. No access of the vCPU is
 * under way. */
int visor__lapic_get_state(void *buf, size_t capacity, struct visor__lapic *lapic,
                           enum visor__state piece);
int visor__lapic_set_state(struct visor__lapic *lapic, enum visor__state piece, const void *buf,
                           size_t length);
/* As x86_ops.get_chip and set_chip. */
int visor__irqchip_get_state(void *buf, size_t capacity, struct visor__irqchip *chip,
                             enum visor__vm_state piece);
int visor__irqchip_set_state(struct visor__irqchip *chip, enum visor__vm_state piece,
                             const void *buf, size_t length);

#endif
