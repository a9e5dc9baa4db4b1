/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The run loop of a vCPU: executes blocks, delivers events, and returns when somebody else is
 * wanted. It knows neither kicks nor interrupt chips; those are its caller's.
 */
#ifndef VISOR_SOFT_ENGINE_H
#define VISOR_SOFT_ENGINE_H

#include "soft/cpu.h"

/*
 * Executes guest code, with cpu->alone one instruction, and returns
 *   VISOR_EXIT_NONE  cpu->attention is not 0, or an interrupt that waits (cpu->irq_waiting) can be
 *                    injected now
 *   VISOR_EXIT_IO, MMIO, MSR  cpu->log.next is to be answered: soft_answer()
 *   another VISOR_EXIT_...          cpu->exit, if it has a payload
 */
int soft_run(struct soft_cpu *cpu);
/* The same for one instruction or one event: VISOR_EXIT_NONE if it is complete. */
int soft_step(struct soft_cpu *cpu);
/* The same for an instruction, of which these are the bytes, all of them and no more. */
int soft_step_bytes(struct soft_cpu *cpu, const uint8_t *bytes, unsigned length);
/* The bytes of the next instruction, and maybe more, as soft_block_read(). 0: they are not in
 * memory, or cpu->event is what fetching them has raised. */
unsigned soft_fetch_bytes(uint8_t out[SOFT_INSN_MAX_LENGTH], struct soft_cpu *cpu);
/* An access to a port or a device. */
static inline visor_io soft_io_of(const struct soft_access *access)
{
    visor_io io = {.address = access->address,
                   .length = access->length,
                   .is_write = access->is_write,
                   .space = access->space == SOFT_SPACE_PORT ? VISOR_PIO : VISOR_MMIO};

    if (access->is_write)
        visor_io_set_value(&io, access->value);
    return io;
}
/* Takes the answer to the access that soft_run() returned; value only of a read. fault: of an MSR,
 * raise #GP. */
void soft_answer(struct soft_cpu *cpu, uint64_t value, bool fault);
/* Whether an access that was returned has to be completed yet, by soft_step() or soft_run(). */
bool soft_is_settled(const struct soft_cpu *cpu);

/* Whether an interrupt could be injected now: IF is set, no shadow, nothing else is on its way. */
bool soft_can_interrupt(const struct soft_cpu *cpu);
/* Makes an interrupt the next thing to happen. */
void soft_inject_interrupt(struct soft_cpu *cpu, uint8_t vector);

/* The state after power-up or INIT (SDM vol. 3A, table 10-1). */
void soft_cpu_reset(struct soft_cpu *cpu, bool init);

#endif
