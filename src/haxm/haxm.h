/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * HAXM, Intel's driver for VT-x on Linux, Windows, macOS and NetBSD.
 *
 *   haxm.c          opening, capabilities, the backend structure
 *   haxm_cpuid.c    CPUID, which the driver has one of for a whole VM
 *   haxm_vm.c       creating a VM, memory
 *   haxm_vcpu.c     creating, running, settling and kicking a vCPU
 *   haxm_exit.c     what its exits mean, and how they are answered
 *   haxm_irq.c      interrupts, NMIs and exceptions that the caller injects
 *   haxm_deliver.c  those that the driver cannot inject
 *   haxm_chip.c     interrupt chips: the driver has none, so they are those of src/irqchip/
 *   haxm_regs.c     registers of a vCPU
 *   haxm_fpu.c      x87 and SSE
 *   haxm_state.c    pieces of vCPU state
 *   haxm_msr.c      model-specific registers
 *   haxm_debug.c    breakpoints and single step
 *   node_linux.c    how the driver is reached on Linux; on other systems a file beside it
 *
 * "The driver" below is that of version 7.8.0, the last one; names of structures are its.
 */
#ifndef VISOR_HAXM_HAXM_H
#define VISOR_HAXM_HAXM_H

#include <haxm.h> /* of uapi/ */

#include "core/backend.h"
#include "haxm/node.h"

/* VMX's exit reasons (SDM vol. 3D, appendix C) that the driver's are told apart by. */
#define HAXM_REASON_HLT 12
#define HAXM_REASON_IO  30
#define HAXM_REASON_EPT 48

#define HAXM_RFLAGS_TF 0x100u
#define HAXM_RFLAGS_IF 0x200u
#define HAXM_DR6_BS    0x4000u

struct haxm_hv {
    struct haxm_node node;
    uint16_t features; /* HAX_CAP_... */
    uint32_t version;
    struct visor__mutex lock;
    visor_x86_cpuid_entry cpuid[HAX_MAX_CPUID_ENTRIES]; /* what a vCPU starts with */
    int cpuid_count;                                    /* 0: not asked yet */
};

struct haxm_vm {
    struct haxm_node node;
    uint32_t id;
    atomic_ullong tsc_hz; /* 0: not measured yet */
    /* The first vCPU's stays open as long as the VM: the driver frees with it what all use. */
    struct haxm_node first;
    bool has_first;
};

/* What the last exit wants answered before the driver goes on. */
enum haxm_due {
    HAXM_DUE_NONE,
    HAXM_DUE_PORT, /* elements of a port access, one after another */
    HAXM_DUE_MMIO, /* value of a read */
};

struct haxm_vcpu {
    struct haxm_node node;
    struct haxm_kick *kick;
    struct hax_tunnel *tunnel;
    void *io; /* buffer of the driver: elements of ports, or a struct hax_fastmmio */
    enum haxm_due due;
    bool unsettled;       /* the driver completes an access at the start of the next run */
    bool between;         /* more elements of a port access are to come */
    unsigned element;     /* the one that vcpu->exit is about */
    uint32_t status;      /* HAX_EXIT_... of the last run */
    bool dead;            /* the driver never enters it again */
    uint32_t dead_reason; /* what its _exit_reason was then */
    atomic_bool leave;    /* a run shall look around */
    visor_mp_state mp_state;
    bool irq_window;  /* the caller wants to know when an interrupt can be injected */
    bool irq_pending; /* injected, for the next entry */
    bool irq_queued;  /* and told to the driver */
    bool ready;       /* the guest could take an interrupt */
    bool nmi_pending;
    bool exception_pending;
    struct {
        uint8_t vector;
        bool has_error_code;
        uint32_t error_code;
    } exception;
    uint8_t irq_vector;
    uint64_t apic_base; /* as the driver was last seen to have it */
    bool debugging, stepping;
    uint64_t guest_dr[6]; /* the guest's own debug registers meanwhile: DR0-3, 6, 7 */
    uint64_t seen_dr[6];  /* what the driver had in their place when it was last looked at */
    bool has_state;       /* `state` is what the driver has */
    struct vcpu_state_t state;
};

static inline struct haxm_hv *haxm_hv_of(const visor_hypervisor *hv)
{
    return hv->priv;
}

static inline struct haxm_vm *haxm_vm_of(const visor_vm *vm)
{
    return vm->priv;
}

static inline struct haxm_vcpu *haxm_vcpu_of(const visor_vcpu *vcpu)
{
    return vcpu->priv;
}

/* ---- haxm_cpuid.c ---- */

int haxm_cpuid_supported(visor_x86_cpuid_entry *out, size_t capacity, visor_hypervisor *hv);
/* Width of guest-physical addresses. */
unsigned haxm_cpuid_gpa_bits(visor_hypervisor *hv);
/* What the guest sees of a new vCPU: what can be saved and restored, and no more. */
int haxm_cpuid_init(visor_vcpu *vcpu);
int haxm_cpuid_get(visor_x86_cpuid_entry *out, size_t capacity, visor_vcpu *vcpu);
int haxm_cpuid_set(visor_vcpu *vcpu, const visor_x86_cpuid_entry *entries, size_t count);

/* ---- haxm_vm.c ---- */

extern const struct visor__vm_ops haxm_vm_ops;

/* ---- haxm_vcpu.c ---- */

extern const struct visor__vcpu_ops haxm_vcpu_ops;

/* ---- haxm_exit.c ---- */

/* Takes the answer over into the driver's buffer. */
void haxm_exit_answer(visor_vcpu *vcpu);
/* Fills in the exit for the next element of a port access. */
int haxm_exit_element(visor_vcpu *vcpu);
/* What the run that has returned means; NONE: nothing, the guest goes on. */
int haxm_exit_translate(visor_vcpu *vcpu);

/* ---- haxm_irq.c ---- */

int haxm_ready_for_interrupt(visor_vcpu *vcpu);
int haxm_interrupt(visor_vcpu *vcpu, uint8_t vector);
int haxm_request_irq_window(visor_vcpu *vcpu, bool on);
int haxm_nmi(visor_vcpu *vcpu);
/* Before the driver enters the guest: gives it what is to be injected. */
int haxm_irq_enter(visor_vcpu *vcpu);
/* After it has left. */
void haxm_irq_left(visor_vcpu *vcpu);

/* ---- haxm_deliver.c ---- */

/* Lets the guest begin with the handler of an NMI or exception. 1; 0: its memory or tables do not
 * let it; < 0: an error. */
int haxm_deliver(visor_vcpu *vcpu, uint8_t vector, const uint32_t *error_code);

/* ---- haxm_chip.c: they do nothing if the VM has no chip ---- */

int haxm_chip_attach(visor_vm *vm);
/* Takes INIT, SIPI and NMI into the vCPU. */
int haxm_chip_take(visor_vcpu *vcpu);
/* What has to be looked at before the guest is entered. NONE: enter; else an exit, or an error.
 * *leave: look at kicks instead. */
int haxm_chip_serve(visor_vcpu *vcpu, bool *leave);
/* Whether a chip serves the access in vcpu->exit. */
bool haxm_chip_access(visor_vcpu *vcpu);
/* Whether the halted guest waits inside the run. */
bool haxm_chip_halt(visor_vcpu *vcpu);
/* The guest may have moved its local APIC. */
void haxm_chip_left(visor_vcpu *vcpu);

/* ---- haxm_regs.c ---- */

/* Reads the driver's structure into v->state, unless it is there. */
int haxm_load(visor_vcpu *vcpu);
/* Writes it. */
int haxm_store(visor_vcpu *vcpu, const char *operation);
/* Of v->state, which has been loaded; those that set write it. */
void haxm_get_regs(visor_x86_regs *out, const struct haxm_vcpu *v);
int haxm_set_regs(visor_vcpu *vcpu, const visor_x86_regs *in);
int haxm_get_sregs(visor_x86_sregs *out, visor_vcpu *vcpu);
int haxm_set_sregs(visor_vcpu *vcpu, const visor_x86_sregs *in);
void haxm_get_debugregs(visor_x86_debugregs *out, struct haxm_vcpu *v);
int haxm_set_debugregs(visor_vcpu *vcpu, const visor_x86_debugregs *in);
/* What INIT does to registers. */
int haxm_regs_init(visor_vcpu *vcpu);

/* ---- haxm_fpu.c ---- */

#define HAXM_XSAVE_SIZE 576 /* x87, SSE, header */

int haxm_get_fpu(visor_x86_fpu *out, visor_vcpu *vcpu);
int haxm_set_fpu(visor_vcpu *vcpu, const visor_x86_fpu *in);
/* Images of HAXM_XSAVE_SIZE bytes. */
int haxm_get_xsave(uint8_t *out, visor_vcpu *vcpu);
int haxm_set_xsave(visor_vcpu *vcpu, const uint8_t *image);
void haxm_get_xcrs(visor_x86_xcrs *out);
int haxm_set_xcrs(const visor_x86_xcrs *in);

/* ---- haxm_state.c ---- */

int haxm_get_state(void *buf, size_t capacity, visor_vcpu *vcpu, enum visor__state piece);
int haxm_set_state(visor_vcpu *vcpu, enum visor__state piece, const void *buf, size_t length);

/* ---- haxm_msr.c ---- */

#define HAXM_MSR_TSC       0x10u
#define HAXM_MSR_APIC_BASE 0x1bu
#define HAXM_MSR_EFER      0xc0000080u

int haxm_msr_list(uint32_t *out, size_t capacity, visor_hypervisor *hv);
int haxm_get_msrs(visor_x86_msr *msrs, size_t count, visor_vcpu *vcpu);
/* One of them, with EREFUSED if it does not have the value afterwards. */
int haxm_write_msr(visor_vcpu *vcpu, const visor_x86_msr *msr);
int haxm_set_msrs(visor_vcpu *vcpu, const visor_x86_msr *msrs, size_t count);
int haxm_get_tsc_hz(uint64_t *out, visor_vcpu *vcpu);

/* ---- haxm_debug.c ---- */

extern const struct visor__debug_ops haxm_debug_ops;
/* DR0 to DR3, 6 and 7, as the driver has them. */
void haxm_debug_registers(uint64_t out[6], const struct vcpu_state_t *s);
/* Takes over what the guest has written to debug registers while they are the debugger's.
 * v->state has been loaded. */
void haxm_debug_follow(struct haxm_vcpu *v);

#endif
