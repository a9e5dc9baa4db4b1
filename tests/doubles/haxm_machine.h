/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The double of HAXM: its driver (7.8.0), written from what that does, in front of the software
 * CPU, which stands for the processor with VT-x. It needs no virtualization below it. It speaks as
 * the driver of Linux; on Windows what differs is in front of it.
 *
 *   haxm.c        the nodes and the device
 *   haxm_vm.c     a VM: memory
 *   haxm_vcpu.c   a vCPU: its requests, shared memory, interrupts
 *   haxm_run.c    RUN
 *   haxm_port.c   port accesses, as VMX and the driver take them apart
 *   haxm_insn.c   what the driver's emulator can do; guest memory by linear addresses
 *   haxm_state.c  registers, FPU, debugging
 *   haxm_msr.c, haxm_cpuid.c
 *   haxm_linux.c  what it needs of the system; files.c is how programs reach it
 *   haxm_windows.c, haxm_control.c, haxm_patch.c  the same on Windows
 *
 * What would crash the host or is undefined there ends the process (double_die).
 */
#ifndef VISOR_TESTS_HAXM_MACHINE_H
#define VISOR_TESTS_HAXM_MACHINE_H

#include <haxm.h>
#include <pthread.h>
#include <visor.h>

#include "double.h"

#define HAXM_RANGES 1024

/* Host memory that was registered. */
struct block {
    uint64_t va, size;
    bool standalone; /* goes with its last mapping */
    unsigned used;   /* mappings */
};

struct range {
    uint64_t gpa, size, va;
    uint32_t flags;
    struct block *block;
    uint32_t slot; /* of the software CPU's VM */
};

struct vm_double {
    unsigned id;
    bool opened;
    unsigned references; /* its creation, and its vCPUs */
    visor_vm *vm;
    visor_memory *memory;
    pthread_mutex_t lock;
    struct block *blocks[HAXM_RANGES];
    struct range ranges[HAXM_RANGES]; /* sorted */
    unsigned range_count;
    unsigned mappings; /* that were ever made */
    uint64_t gpa_end;  /* of all there ever were */
    bool fast_mmio;
    struct vcpu_double *vcpus[HAX_MAX_VCPUS];
    struct hax_cpuid_entry cpuid[HAX_MAX_CPUID_ENTRIES]; /* the first vCPU's, for all */
    unsigned cpuid_count;
};

struct vcpu_double {
    struct vm_double *vm;
    unsigned id;
    bool opened;
    visor_vcpu *vcpu;
    pthread_mutex_t lock;
    struct hax_tunnel *tunnel;
    void *io;
    bool panicked;
    bool emulating;     /* an access of the instruction is with the client */
    bool carried;       /* the software CPU has left already, with the next port access */
    unsigned populated; /* of the VM's mappings, those whose first page has been touched */
    bool running;       /* under the lock of the ticker */
    uint32_t pending[8];
    unsigned pending_count;
    bool dirty_sregs; /* `sregs` are to be taken over before the next entry */
    visor_x86_sregs sregs;
    uint64_t efer;
    uint64_t apic_base;
    uint64_t mtrr[0x100]; /* from 0x200 */
    uint64_t mtrr_cap;
    uint32_t debug_control;
    struct vcpu_double *next; /* of the ticker */
};

/* ---- haxm.c ---- */

void vm_put(struct vm_double *vm);
/* The software CPU must not fail. */
#define SOFT_OK(call) soft_check((call), #call)
int soft_check(int ret, const char *call);

/* ---- haxm_linux.c, haxm_windows.c ---- */

/* A page that the client shares with the driver, or NULL. */
void *driver_page(void);
void driver_page_free(void *page);
/* Calls tick() once a millisecond, in a thread of its own. lock: what tick() takes. */
void driver_clock_start(void (*tick)(void), pthread_mutex_t *lock);
/* Whether SET_MSRS brings the count back. */
extern const bool driver_tells_msrs_set;

/* ---- haxm_vm.c ---- */

extern const struct object_ops driver_vm_ops;
long driver_vm_create(struct vm_double **out, visor_hypervisor *hv, unsigned id);
void driver_vm_free(struct vm_double *vm);
/* The mapping of an address; NULL: none. */
const struct range *driver_range_of(struct vm_double *vm, uint64_t gpa);

/* ---- haxm_vcpu.c ---- */

extern const struct object_ops driver_vcpu_ops;
struct node_object {
    struct object object;
    struct vm_double *vm;
    struct vcpu_double *vcpu;
};
struct vcpu_double *driver_vcpu_create(struct vm_double *vm, unsigned id);

/* ---- haxm_run.c ---- */

long driver_run(struct vcpu_double *v);
void driver_ticker_start(void);
/* An interrupt for the processor that is in the guest; nothing if none is. */
void driver_kick_off(struct vcpu_double *vcpu);
/* Around the guest: meanwhile `user_event_pending` is looked at once a millisecond, as at the
 * interrupts of the host's clock. */
void driver_ticker_enter(struct vcpu_double *v);
void driver_ticker_leave(struct vcpu_double *v);

/* ---- haxm_port.c ---- */

/* The software CPU has left with a port access: the driver's side of it. */
void driver_port_exit(struct vcpu_double *v);
/* At the next run. */
void driver_port_post(struct vcpu_double *v);

/* ---- haxm_insn.c ---- */

/* Guest memory by linear address. Returns how many bytes. */
size_t driver_read_linear(struct vcpu_double *v, uint64_t linear, void *out, size_t length);
size_t driver_write_linear(struct vcpu_double *v, uint64_t linear, const void *data, size_t length);

struct insn {
    uint8_t bytes[15];
    unsigned length;                        /* as many as could be read */
    unsigned at;                            /* of the opcode */
    bool rep, wide_address, narrow_address; /* 64 or 32 bits, 16 bits */
    bool operand_16;
    uint8_t segment; /* prefix, or 0 */
    uint8_t opcode;
};
/* What is at CS:RIP, up to the opcode. */
void driver_decode(struct insn *out, struct vcpu_double *v, const visor_x86_regs *regs,
                   const visor_x86_sregs *sregs);
/* Whether the driver's emulator has the instruction. */
bool driver_can_emulate(struct vcpu_double *v);

/* ---- haxm_state.c ---- */

void driver_regs_get(struct vcpu_double *v, struct vcpu_state_t *out);
void driver_regs_set(struct vcpu_double *v, struct vcpu_state_t *in);
void driver_fpu_get(struct vcpu_double *v, struct fx_layout *out);
void driver_fpu_set(struct vcpu_double *v, const struct fx_layout *in);
void driver_debug_set(struct vcpu_double *v, const struct hax_debug_t *debug);
/* As far as VMX would enter the guest with it. */
bool driver_sregs_flush(struct vcpu_double *v);
/* The ones that hold. */
void driver_sregs(struct vcpu_double *v, visor_x86_sregs *out);
/* EFER and what follows from it (vmwrite_efer() of the driver). */
void driver_efer_set(struct vcpu_double *v, uint64_t value);

/* ---- haxm_msr.c ---- */

/* Ask for exits of all MSRs that the driver has a mind of its own about. */
void driver_msr_init(struct vcpu_double *v);
void driver_msr_exits(visor_vm *vm);
bool driver_msr_read(struct vcpu_double *v, uint32_t index, uint64_t *value);
bool driver_msr_write(struct vcpu_double *v, uint32_t index, uint64_t value);

/* ---- haxm_cpuid.c ---- */

void driver_cpuid_init(struct vm_double *vm, visor_hypervisor *hv);
/* Gives the vCPU the VM's list. */
void driver_cpuid_use(struct vcpu_double *v);
long driver_cpuid_get(struct vm_double *vm, struct hax_cpuid *list);
long driver_cpuid_set(struct vm_double *vm, const struct hax_cpuid *list);

#endif
