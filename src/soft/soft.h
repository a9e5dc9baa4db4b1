/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The backend "soft" around the software CPU:
 *
 *   soft.c         opening, capabilities, the backend structure
 *   soft_vm.c      memory, dirty log, MSR exits, clock
 *   soft_chip.c    the machine's own interrupt chips
 *   soft_clock.c   the paravirtual clock
 *   soft_coalesce.c  collected writes
 *   soft_ticker.c  ends runs now and then
 *   soft_vcpu.c    running, settling, interrupts from the caller
 *   soft_state.c   pieces of vCPU state
 *   xstate.c       x87, SSE and AVX state as FXSAVE and XSAVE have it
 */
#ifndef VISOR_SOFT_SOFT_H
#define VISOR_SOFT_SOFT_H

#include "core/backend.h"
#include "soft/engine.h"
#include "soft/machine.h"

/* All of a VM's translations together. */
#define SOFT_BLOCK_MEMORY (UINT64_C(32) << 20)

/* Hypercalls that can leave to the caller: KVM_HC_MAP_GPA_RANGE, as on KVM. */
#define SOFT_HYPERCALLS (INT64_C(1) << 12)

struct soft_hv {
    bool deterministic; /* time is a count of instructions */
};

/* Writes to a zone are collected in a ring, whose lock is the machine's. */
#define SOFT_COLLECTED_MAX 256u
struct soft_zone {
    visor_space space;
    uint64_t address, length;
};
struct soft_coalesce {
    struct soft_zone *zones;
    size_t zone_count;
    visor_io *ring; /* NULL until there is a zone */
    size_t first, count;
};

/* The paravirtual clock. The machine's lock is for at and ns. */
struct soft_clock {
    uint64_t at, ns; /* it said ns when the machine's counter was at */
    uint32_t multiplier;
    int8_t shift;
    atomic_uint generation; /* of the two, never 0 */
    uint64_t wall_msr;
};

struct soft_vm {
    struct soft_machine machine;
    struct soft_coalesce collected;
    struct soft_clock clock;
    visor_vm *vm;
    visor_x86_msr_range msr_ranges[16];
    size_t msr_range_count;
    uint64_t tsc_hz; /* of the machine's clock */
};

struct soft_vcpu {
    struct soft_cpu *cpu;
    visor_x86_cpuid_entry *cpuid;
    int due;          /* VISOR_EXIT_... whose answer is in vcpu->exit; NONE: none */
    bool irq_window;  /* the caller wants to know when an interrupt can be injected */
    bool irq_pending; /* injected by the caller, for the next entry */
    bool irq_soft;    /* it is an INT instruction's, which is complete */
    uint8_t irq_vector;
    bool inside; /* counted in machine->inside */
    struct {
        uint64_t msr;        /* where the guest has its page; bit 0: it has one */
        uint64_t tsc_offset; /* in the page */
        unsigned generation; /* in the page; 0: none */
        bool paused;         /* to be told to the guest */
    } clock;
};

static inline struct soft_hv *soft_hv_of(const visor_hypervisor *hv)
{
    return hv->priv;
}

static inline struct soft_vm *soft_vm_of(const visor_vm *vm)
{
    return vm->priv;
}

static inline struct soft_vcpu *soft_vcpu_of(const visor_vcpu *vcpu)
{
    return vcpu->priv;
}

/* ---- soft_vm.c ---- */

/*
 * A vCPU is inside while it may look at memory's table or touch the guest's memory. Stopping waits
 * until none is, and keeps them out; it nests. A vCPU that waits to get in must not be counted.
 */
void soft_machine_enter(struct soft_machine *machine);
void soft_machine_leave(struct soft_machine *machine);
void soft_machine_stop(struct soft_machine *machine);
/* The same for a vCPU that is inside and stays there. It may have to wait outside for others. */
void soft_machine_stop_others(struct soft_machine *machine);
void soft_machine_go(struct soft_machine *machine);

/* soft_ticker.c: between enter and leave a vCPU gets SOFT_LOOK_TICK every 10 ms. */
int soft_ticker_start(struct soft_machine *machine);
void soft_ticker_stop(struct soft_machine *machine);
void soft_ticker_enter(struct soft_machine *machine);
void soft_ticker_leave(struct soft_machine *machine);

extern const struct visor__vm_ops soft_vm_ops;
extern const struct visor__dirty_ops soft_dirty_ops;
int soft_set_msr_exits(visor_vm *vm, const visor_x86_msr_range *ranges, size_t count, bool unknown);
int soft_set_bus_lock_exits(visor_vm *vm, bool on);
int soft_set_platform_info(visor_vm *vm, bool on);

/* ---- soft_clock.c ---- */

extern const struct visor__clock_ops soft_clock_ops;
/* Once the machine has its counter. */
void soft_clock_init(struct soft_vm *soft);
/* The machine's counter. */
uint64_t soft_clock_ticks(const struct soft_vm *soft);
/* Before guest code is executed: writes the vCPU's page if something in it has changed. */
void soft_clock_publish(visor_vcpu *vcpu);
/* The clock's MSRs. False: it is none of them. */
bool soft_clock_read_msr(uint64_t *out, const visor_vcpu *vcpu, uint32_t index);
bool soft_clock_write_msr(visor_vcpu *vcpu, uint32_t index, uint64_t value, bool by_guest);
size_t soft_clock_msr_list(uint32_t *out, size_t capacity);
int soft_clock_paused(visor_vcpu *vcpu);
/* After INIT. */
void soft_clock_reset(visor_vcpu *vcpu);
/* The leaves that announce it. */
size_t soft_clock_cpuid(visor_x86_cpuid_entry *out, size_t capacity);

/* ---- soft_coalesce.c ---- */

extern const struct visor__coalesce_ops soft_coalesce_ops;
/* Collects a write of the guest. False: it is none that shall be, or there is no room. */
bool soft_coalesce(struct soft_vm *soft, const visor_io *io);
void soft_coalesce_destroy(struct soft_vm *soft);

/* ---- soft_chip.c: they do nothing if the VM has no chip ---- */

int soft_chip_attach(visor_vm *vm);
/* After the local APIC's page or base may have moved. */
void soft_chip_changed(visor_vcpu *vcpu);
/* Whether its time is a count of instructions. */
bool soft_chip_is_counted(const visor_vm *vm);
/* In that case: lets timers go off that are due, and sets the alarm for the next. */
void soft_chip_look_at_timers(visor_vcpu *vcpu);
/* For struct soft_devices. */
bool soft_chip_access(void *context, struct soft_cpu *cpu, struct soft_access *access);
uint64_t soft_chip_get_cr8(void *context, struct soft_cpu *cpu);
void soft_chip_set_cr8(void *context, struct soft_cpu *cpu, uint64_t value);
/* Takes INIT, SIPI and NMI into the vCPU. */
void soft_chip_take(visor_vcpu *vcpu);
/* Injects an interrupt if there is one and it can be. Returns whether one has to wait. */
bool soft_chip_interrupt(visor_vcpu *vcpu);
/* Sleeps while there is nothing to execute. False: something else wants attention. */
bool soft_chip_sleep(visor_vcpu *vcpu);

/* ---- soft_vcpu.c ---- */

extern const struct visor__vcpu_ops soft_vcpu_ops;
extern const struct visor__debug_ops soft_debug_ops;
int soft_ready_for_interrupt(visor_vcpu *vcpu);
int soft_interrupt(visor_vcpu *vcpu, uint8_t vector);
int soft_request_irq_window(visor_vcpu *vcpu, bool on);
int soft_nmi(visor_vcpu *vcpu);

/* ---- soft_state.c ---- */

int soft_get_state(void *buf, size_t capacity, visor_vcpu *vcpu, enum visor__state piece);
int soft_set_state(visor_vcpu *vcpu, enum visor__state piece, const void *buf, size_t length);
int soft_get_msrs(visor_x86_msr *msrs, size_t count, visor_vcpu *vcpu);
int soft_set_msrs(visor_vcpu *vcpu, const visor_x86_msr *msrs, size_t count);
int soft_get_tsc_offset(uint64_t *out, visor_vcpu *vcpu);
int soft_set_tsc_offset(visor_vcpu *vcpu, uint64_t offset);
int soft_get_tsc_hz(uint64_t *out, visor_vcpu *vcpu);

#endif
