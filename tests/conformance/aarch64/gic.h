/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that has a GIC, and if the VM has one an ITS, and takes interrupts from them. What it
 * writes to its devices first is a list in guest memory: cases may add to it. The handlers of cases
 * are for a GICv3, which gic_create() asks for.
 */
#ifndef CONFORMANCE_GIC_H
#define CONFORMANCE_GIC_H

#include "arm.h"

#define GIC_PRIVATE_INTID  29u /* a PPI that no timer uses */
#define GIC_SPI_INTID      32u
#define GIC_LPI_INTID      8192u
#define GIC_DEVICE         0x0123u /* the device id that the guest's messages come from */
#define GIC_VIRTUAL_TIMER  27u
#define GIC_PMU            23u
#define GIC_SPURIOUS       1023u
#define GIC_REDISTRIBUTORS 0x20000u /* bytes of one */

/* Writes of the guest to its devices, in order. */
struct gic_writes {
    struct {
        uint64_t address, value, width; /* width 4 or 8; address 0 ends the list */
    } list[96];
    unsigned count;
};
void gic_write(struct gic_writes *writes, unsigned width, uint64_t address, uint64_t value);

/* Writes that enable the distributor with gsi 4 (edge) and 5 (level), the redistributors of `vcpus`
 * vCPUs with all private interrupts, and, with an ITS, four LPIs of events 0 to 3 of GIC_DEVICE. */
void gic_common(struct gic_writes *writes, struct guest *g, unsigned vcpus);

/*
 * A command of the ITS as number n of its queue, of which gic_common() has used the first. Returns
 * what GITS_CWRITER has to become, with a write to GIC_CWRITER of it.
 */
uint32_t gic_command(struct guest *g, unsigned n, uint64_t dw0, uint64_t dw1, uint64_t dw2);
/* Commands, behind those of gic_common(), that send an event's LPI to vCPU 1 instead of 0. */
void gic_move_event(struct gic_writes *writes, struct guest *g, unsigned event);
#define GIC_COMMANDS   8u
#define GIC_CWRITER    0x88u
#define GIC_PROPERTIES (ARM_ROOM + 0x20000u) /* a byte for each LPI, from GIC_LPI_INTID on */

/*
 * Points a vCPU to the program that does the writes, enables its CPU interface, writes 0 to
 * guest_done, takes interrupts, and waits for them, or runs `idle` (NULL: WFI for ever). The
 * handler of IRQs writes the INTID to guest_done, then ends the interrupt; or it is `handler`.
 */
void gic_enter(struct guest *g, visor_vcpu *vcpu, const struct gic_writes *writes,
               const struct code *idle, const struct code *handler);

/* The same for vCPU 0, with these writes and `idle`, and for a second one with none; both up to
 * their first write to guest_done. */
void gic_enter_two(struct guest *g, visor_vcpu *second, const struct gic_writes *writes,
                   const struct code *idle);

/* guest_create() with a GICv3 and vCPU 0. config may be NULL. */
void gic_create(struct guest *g, const visor_aarch64_config *config);
/* All of it: create, common writes, enter, and the first write to guest_done. */
void gic_start(struct guest *g, const visor_aarch64_config *config, const struct code *idle,
               const struct code *handler);
/* What was decided for the VM. */
visor_aarch64_config gic_config(struct guest *g);

/* In assembly: the CPU interface's registers, and what a handler does. Uses x20 and x21. */
#define GIC_ACKNOWLEDGE "mrs x20, s3_0_c12_c12_0; movz x21, #0xbf00, lsl #16; str x20, [x21];"
#define GIC_END         "msr s3_0_c12_c12_1, x20; eret;"

#endif
