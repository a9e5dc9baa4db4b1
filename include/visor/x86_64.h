/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * x86-64 guests: registers, CPUID, MSRs, events, interrupt controllers, time.
 *
 * Every structure here has a fixed layout without hidden padding: it is also what a snapshot holds.
 * All functions return EUNSUPPORTED for a VM of another architecture. "SDM" is Intel's Software
 * Developer's Manual.
 */
#ifndef VISOR_X86_64_H
#define VISOR_X86_64_H

#include <visor/base.h>
#include <visor/vm.h>

VISOR_BEGIN_DECLS

/* ---- registers ---- */

typedef struct visor_x86_regs {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rip, rflags;
} visor_x86_regs;

/*
 * A segment register with its hidden part. `limit` is in BYTES, granularity already applied (what
 * VMCS and VMCB hold): flat 4 GiB is 0xffffffff with g = 1. See visor_x86_segment_from_descriptor()
 * for the 20-bit field of a descriptor.
 */
typedef struct visor_x86_segment {
    uint64_t base;
    uint32_t limit;
    uint16_t selector;
    uint8_t type;     /* the 4 type bits; s is separate */
    uint8_t present;
    uint8_t dpl;
    uint8_t db;       /* default operand size: 1 = 32 bit */
    uint8_t s;        /* 1 = code or data, 0 = system */
    uint8_t l;        /* 1 = 64-bit code */
    uint8_t g;        /* granularity: 1 = limit counted in 4 KiB */
    uint8_t avl;
    uint8_t unusable; /* the register holds no segment (VMX "unusable"); implied by !present */
    uint8_t reserved;
} visor_x86_segment;

typedef struct visor_x86_table {
    uint64_t base;
    uint16_t limit; /* bytes - 1 */
    uint16_t reserved[3];
} visor_x86_table;

/*
 * The APIC base and the interrupt bitmap that KVM keeps beside these belong to the interrupt
 * controller: setting sregs leaves them alone.
 */
typedef struct visor_x86_sregs {
    visor_x86_segment cs, ds, es, fs, gs, ss, tr, ldt;
    visor_x86_table gdt, idt;
    uint64_t cr0, cr2, cr3, cr4, cr8, efer;
} visor_x86_sregs;

/* x87 and SSE state, as FXSAVE has it. */
typedef struct visor_x86_fpu {
    struct {
        uint64_t significand;
        uint16_t sign_exponent;
        uint16_t reserved[3];
    } st[8]; /* ST0 ... ST7 (MM0 ... MM7) */
    uint8_t xmm[16][16];
    uint64_t last_ip, last_dp;
    uint32_t mxcsr;
    uint16_t fcw, fsw, last_opcode;
    uint8_t ftw; /* abridged tag: bit n set = STn in use (SDM vol. 1, 10.5.1) */
    uint8_t reserved[5];
} visor_x86_fpu;

typedef struct visor_x86_debugregs {
    uint64_t db[4];
    uint64_t dr6, dr7;
} visor_x86_debugregs;

typedef struct visor_x86_xcrs {
    uint32_t count; /* entries in use */
    uint32_t reserved;
    struct {
        uint32_t index, reserved;
        uint64_t value;
    } xcr[8];
} visor_x86_xcrs;

/*
 * The architectural reset values (SDM vol. 3A, table 10-1), with CR0 = 0x60000010, and FCW = 0x37f
 * as FNINIT leaves it. visor_vcpu_reset() adds the processor's signature in RDX.
 */
VISOR_API void visor_x86_reset_regs(visor_x86_regs *out);
VISOR_API void visor_x86_reset_sregs(visor_x86_sregs *out);
VISOR_API void visor_x86_reset_fpu(visor_x86_fpu *out);

VISOR_API int visor_x86_get_regs(visor_x86_regs *out, visor_vcpu *vcpu);
VISOR_API int visor_x86_set_regs(visor_vcpu *vcpu, const visor_x86_regs *regs);
VISOR_API int visor_x86_get_sregs(visor_x86_sregs *out, visor_vcpu *vcpu);
VISOR_API int visor_x86_set_sregs(visor_vcpu *vcpu, const visor_x86_sregs *sregs);
VISOR_API int visor_x86_get_fpu(visor_x86_fpu *out, visor_vcpu *vcpu);
VISOR_API int visor_x86_set_fpu(visor_vcpu *vcpu, const visor_x86_fpu *fpu);
VISOR_API int visor_x86_get_debugregs(visor_x86_debugregs *out, visor_vcpu *vcpu);
VISOR_API int visor_x86_set_debugregs(visor_vcpu *vcpu, const visor_x86_debugregs *regs);
VISOR_API int visor_x86_get_xcrs(visor_x86_xcrs *out, visor_vcpu *vcpu);
VISOR_API int visor_x86_set_xcrs(visor_vcpu *vcpu, const visor_x86_xcrs *xcrs);

/*
 * The XSAVE image in standard (not compacted) form, VISOR_CAP_X86_XSAVE_SIZE bytes. get returns the
 * size, and writes nothing but that if capacity is too small. set wants exactly that size
 * (EMISMATCH).
 */
VISOR_API int visor_x86_get_xsave(void *out, size_t capacity, visor_vcpu *vcpu);
VISOR_API int visor_x86_set_xsave(visor_vcpu *vcpu, const void *image, size_t length);

/*
 * A segment from the 8 bytes of a descriptor and the selector that would load it, and back. The
 * base of 64-bit system descriptors is cut to 32 bits. to_descriptor: ERANGE if the limit does not
 * fit (SDM vol. 3A, 3.4.5).
 */
VISOR_API void visor_x86_segment_from_descriptor(visor_x86_segment *out, uint64_t descriptor,
                                                 uint16_t selector);
VISOR_API int visor_x86_segment_to_descriptor(uint64_t *out, const visor_x86_segment *segment);

/* ---- model-specific registers ---- */

typedef struct visor_x86_msr {
    uint32_t index;
    uint32_t reserved;
    uint64_t value;
} visor_x86_msr;

/* ENOENT: no such MSR. EREFUSED: this value is not accepted, or the MSR cannot be written. */
VISOR_API int visor_x86_get_msr(uint64_t *out, visor_vcpu *vcpu, uint32_t index);
VISOR_API int visor_x86_set_msr(visor_vcpu *vcpu, uint32_t index, uint64_t value);
/*
 * Any number at a time: fills in the value of each index / sets each in order. On failure the
 * error's detail names the MSR; those before it have been done.
 */
VISOR_API int visor_x86_get_msrs(visor_x86_msr *msrs, size_t count, visor_vcpu *vcpu);
VISOR_API int visor_x86_set_msrs(visor_vcpu *vcpu, const visor_x86_msr *msrs, size_t count);
/* The indices that a snapshot must hold. Fills in up to capacity; returns how many there are. */
VISOR_API int visor_x86_msr_list(uint32_t *out, size_t capacity, visor_hypervisor *hv);
/* All of those that this vCPU has, with their values. Same convention. */
VISOR_API int visor_x86_get_all_msrs(visor_x86_msr *out, size_t capacity, visor_vcpu *vcpu);

/* Accesses to MSRs that leave as VISOR_EXIT_MSR. */
typedef struct visor_x86_msr_range {
    uint32_t first, count;
    bool reads, writes;
} visor_x86_msr_range;
/*
 * In place of what was set before: accesses in any of the ranges exit (at most 16 ranges of at most
 * 12288 MSRs, else ELIMIT), and with `unknown` also accesses that the hypervisor would answer with #GP.
 * count 0 and unknown false: none exit.
 */
VISOR_API int visor_x86_set_msr_exits(visor_vm *vm, const visor_x86_msr_range *ranges,
                                      size_t count, bool unknown);

/* ---- CPUID ---- */

typedef struct visor_x86_cpuid_entry {
    uint32_t function, index;
    uint32_t flags; /* 1: the index counts */
    uint32_t eax, ebx, ecx, edx;
} visor_x86_cpuid_entry;
#define VISOR_X86_CPUID_INDEXED 1u

/* What the hypervisor can offer a guest. Fills in up to capacity; returns how many there are. */
VISOR_API int visor_x86_supported_cpuid(visor_x86_cpuid_entry *out, size_t capacity,
                                        visor_hypervisor *hv);
/* Before the vCPU first runs. */
VISOR_API int visor_x86_set_cpuid(visor_vcpu *vcpu, const visor_x86_cpuid_entry *entries,
                                  size_t count);
VISOR_API int visor_x86_get_cpuid(visor_x86_cpuid_entry *out, size_t capacity, visor_vcpu *vcpu);

typedef enum visor_x86_core_type {
    VISOR_X86_CORE_ANY = 0,
    VISOR_X86_CORE_ATOM = 1,
    VISOR_X86_CORE_CORE = 2,
} visor_x86_core_type;

/* How the CPUID of a vCPU differs from what the hypervisor supports. */
typedef struct visor_x86_cpu_config {
    uint32_t size;
    uint32_t vcpu_count;        /* of the VM; 0 counts as 1 */
    bool host_topology;         /* show the host's cores and caches as they are */
    bool no_smt;                /* each vCPU is a core of its own */
    bool hwp;                   /* show the host's hardware P-states */
    bool itmt;                  /* and its favoured cores; needs hwp */
    bool tsc_leaf;              /* leaf 0x15 with the measured TSC frequency */
    visor_x86_core_type hybrid; /* of a hybrid processor */
    visor_toggle nested;        /* virtualization inside the guest; ON: fail if impossible */
    bool x2apic;                /* the interrupt chip has x2APIC mode */
    bool tsc_deadline;          /* and the TSC deadline timer */
    uint64_t tsc_hz;            /* for tsc_leaf; 0: measure (takes about 10 ms; once for a VM) */
    uint32_t lapic_hz;          /* local APIC timer; 0: 1 GHz */
} visor_x86_cpu_config;
#define VISOR_X86_CPU_CONFIG_INIT                                                                  \
    {                                                                                              \
        .size = sizeof(visor_x86_cpu_config), .vcpu_count = 1, .nested = VISOR_AUTO                \
    }

/*
 * Adjusts a list for the vCPU `id`, in place: *count entries of capacity. Up to three are added
 * (ELIMIT if there is no room; nothing is changed then): 0x15, and the second level of the topology
 * where only the first is listed. EUNSUPPORTED: nested is ON and not offered. host is asked for
 * leaves copied from the host's processor; NULL: the real CPUID instruction (on x86 hosts; zeros
 * elsewhere).
 */
typedef void (*visor_x86_cpuid_source)(void *context, visor_x86_cpuid_entry *entry);
VISOR_API int visor_x86_adjust_cpuid(visor_x86_cpuid_entry *entries, size_t *count, size_t capacity,
                                     const visor_x86_cpu_config *config, uint32_t id,
                                     visor_x86_cpuid_source host, void *context);
/* Supported list, adjusted, set: what most callers want. config may be NULL. x2apic and
 * tsc_deadline are taken from the VM's interrupt chip where config is NULL. */
VISOR_API int visor_x86_configure_cpuid(visor_vcpu *vcpu, const visor_x86_cpu_config *config);

/* ---- interrupts and events ---- */

/*
 * Whether an external interrupt could be injected before the next instruction: 1 or 0. True if IF
 * is set, there is no interrupt shadow (mov ss, sti) and nothing is pending. As of the last exit.
 */
VISOR_API int visor_x86_ready_for_interrupt(visor_vcpu *vcpu);
/*
 * Injects an external interrupt (no local APIC in the hypervisor). EAGAIN if not ready. One at a
 * time: a second call before the next run replaces the first vector.
 */
VISOR_API int visor_x86_interrupt(visor_vcpu *vcpu, uint8_t vector);
/* Asks for VISOR_EXIT_IRQ_WINDOW as soon as one can be injected; stays on until switched off. */
VISOR_API int visor_x86_request_irq_window(visor_vcpu *vcpu, bool on);
VISOR_API int visor_x86_nmi(visor_vcpu *vcpu);

/* Everything on its way into the vCPU. A member whose has_ flag is 0 was not reported, and is left
 * alone when set. */
typedef struct visor_x86_events {
    struct {
        uint8_t injected, vector, has_error_code;
        uint8_t has_pending; /* pending and payload are reported */
        uint8_t pending, has_payload, reserved[2];
        uint32_t error_code, reserved2;
        uint64_t payload; /* CR2 for #PF, DR6 bits for #DB */
    } exception;
    struct {
        uint8_t injected, vector, soft;
        uint8_t has_shadow;
        uint8_t shadow; /* 1: mov ss, 2: sti */
        uint8_t reserved[3];
    } interrupt;
    struct {
        uint8_t injected, masked;
        uint8_t has_pending;
        uint8_t pending;
        uint8_t reserved[4];
    } nmi;
    struct {
        uint8_t has_smm;
        uint8_t smm, pending, inside_nmi, latched_init;
        uint8_t reserved[3];
    } smi;
    struct {
        uint8_t has_pending, pending, reserved[6];
    } triple_fault;
    uint32_t sipi_vector;
    uint8_t has_sipi_vector, reserved[3];
} visor_x86_events;
VISOR_API int visor_x86_get_events(visor_x86_events *out, visor_vcpu *vcpu);
VISOR_API int visor_x86_set_events(visor_vcpu *vcpu, const visor_x86_events *events);

/*
 * Nested virtualization state, opaque; at most VISOR_CAP_X86_NESTED_STATE_SIZE bytes. get returns
 * the size (0: the guest does not use virtualization) and writes only if capacity suffices. Setting
 * it with length 0 leaves nested guest mode, and forgets that the guest switched virtualization on.
 */
VISOR_API int visor_x86_get_nested_state(void *out, size_t capacity, visor_vcpu *vcpu);
VISOR_API int visor_x86_set_nested_state(visor_vcpu *vcpu, const void *state, size_t length);

/* ---- interrupt controllers in the hypervisor ---- */

/* Register n is the 32-bit word at offset 16n of the APIC page (SDM vol. 3A, table 11-1). */
typedef struct visor_x86_lapic {
    uint32_t regs[64];
} visor_x86_lapic;
VISOR_API int visor_x86_get_lapic(visor_x86_lapic *out, visor_vcpu *vcpu);
VISOR_API int visor_x86_set_lapic(visor_vcpu *vcpu, const visor_x86_lapic *lapic);

/* 8259A, in the terms of its data sheet. */
typedef struct visor_x86_pic {
    uint8_t last_irr, irr, imr, isr, priority_add, irq_base;
    uint8_t read_reg_select, poll, special_mask;
    uint8_t init_state; /* next initialization word: 0 ICW1 ... 3 ICW4 */
    uint8_t auto_eoi, rotate_on_auto_eoi, special_fully_nested_mode, init4, elcr, elcr_mask;
} visor_x86_pic;
/* secondary: 0 or 1. */
VISOR_API int visor_x86_get_pic(visor_x86_pic *out, visor_vm *vm, bool secondary);
VISOR_API int visor_x86_set_pic(visor_vm *vm, bool secondary, const visor_x86_pic *pic);

#define VISOR_X86_IOAPIC_PINS 24
/*
 * 82093AA. A redirection entry, from bit 0: vector 8, delivery mode 3, destination mode 1, delivery
 * status 1, polarity 1, remote IRR 1, trigger mode 1, mask 1, reserved 39, destination 8.
 */
typedef struct visor_x86_ioapic {
    uint64_t base_address;
    uint32_t id;
    uint32_t irr;      /* current level of each pin */
    uint32_t ioregsel;
    uint32_t reserved;
    uint64_t redirect[VISOR_X86_IOAPIC_PINS];
} visor_x86_ioapic;
VISOR_API int visor_x86_get_ioapic(visor_x86_ioapic *out, visor_vm *vm);
VISOR_API int visor_x86_set_ioapic(visor_vm *vm, const visor_x86_ioapic *ioapic);

/* 8254. */
typedef struct visor_x86_pit_channel {
    uint32_t count; /* 1 ... 0x10000 */
    uint16_t latched_count;
    uint16_t reload_value;
    uint8_t count_latched, status_latched, status;
    uint8_t read_state, write_state; /* 0 none, 1 LSB, 2 MSB, 3 first of word, 4 second of word */
    uint8_t rw_mode;                 /* 0 none, 1 least, 2 most significant byte, 3 both */
    uint8_t mode, bcd, gate;
    uint8_t reserved[7];
    uint64_t load_time; /* ns */
} visor_x86_pit_channel;
typedef struct visor_x86_pit {
    visor_x86_pit_channel channel[3];
    uint32_t flags; /* hypervisor specific */
    uint32_t reserved;
} visor_x86_pit;
VISOR_API int visor_x86_get_pit(visor_x86_pit *out, visor_vm *vm);
/* Set it behind the other chips: a tick that comes before the state of a chip is wiped out by that,
 * and KVM's PIT then waits for ever for somebody to acknowledge it. */
VISOR_API int visor_x86_set_pit(visor_vm *vm, const visor_x86_pit *pit);

/* ---- VM ---- */

/*
 * Three pages / one page of guest address space for the host's use on old Intel processors (real
 * mode without "unrestricted guest"), neither RAM nor a slot. Before any vCPU, identity map first.
 * Accepted and ignored where not needed. visor_vm_create() does not choose them.
 */
VISOR_API int visor_x86_set_identity_map(visor_vm *vm, uint64_t gpa);
VISOR_API int visor_x86_set_tss_area(visor_vm *vm, uint64_t gpa);
/* Bus locks in the guest give VISOR_EXIT_BUS_LOCK. EUNSUPPORTED unless VISOR_CAP_X86_BUS_LOCK. */
VISOR_API int visor_x86_set_bus_lock_exits(visor_vm *vm, bool on);
/* Whether the guest can read MSR_PLATFORM_INFO (on by default; off for favoured cores). */
VISOR_API int visor_x86_set_platform_info(visor_vm *vm, bool on);

/* ---- time ---- */

/* Guest TSC minus host TSC, modulo 2^64. */
VISOR_API int visor_x86_get_tsc_offset(uint64_t *out, visor_vcpu *vcpu);
/* Exact where the hypervisor has an offset control, else within the time of a few system calls. */
VISOR_API int visor_x86_set_tsc_offset(visor_vcpu *vcpu, uint64_t offset);
/* Makes the guest's TSC read `value` now. */
VISOR_API int visor_x86_set_tsc(visor_vcpu *vcpu, uint64_t value);
/* The frequency of the guest's TSC in Hz; ENOENT if the hypervisor does not know it. */
VISOR_API int visor_x86_get_tsc_hz(uint64_t *out, visor_vcpu *vcpu);

VISOR_END_DECLS

#endif
