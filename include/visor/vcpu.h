/* SPDX-License-Identifier: BSD-3-Clause */
/* A virtual CPU: creation, running, exits, kick. Registers are in the architecture's header. */
#ifndef VISOR_VCPU_H
#define VISOR_VCPU_H

#include <visor/base.h>
#include <visor/io.h>

VISOR_BEGIN_DECLS

/*
 * Why visor_vcpu_run() returned: X(NAME, name, text). The payload of each is the member of
 * visor_exit that its comment names.
 */
#define VISOR_EXITS(X)                                                                             \
    X(NONE, "none", "nothing happened")                                                            \
    X(KICKED, "kicked", "visor_vcpu_kick() was called")                                            \
    X(INTR, "intr", "a signal of the host arrived; run again")                                     \
    X(IO, "io", "port access") /* io */                                                            \
    X(MMIO, "mmio", "access to memory that is not there, or a write to read-only memory") /* io */ \
    X(HLT, "hlt", "the guest halted and waits for an interrupt")                                   \
    X(IRQ_WINDOW, "irq_window", "an interrupt can be injected now")                                \
    X(SHUTDOWN, "shutdown", "triple fault or the like; the vCPU is dead until it is reset")        \
    X(SYSTEM_EVENT, "system_event",                                                                \
      "the guest asked for poweroff, reset, or reported a crash") /* system */                     \
    X(HYPERCALL, "hypercall", "hypercall") /* hypercall */                                         \
    X(MSR, "msr", "access to a model-specific register") /* msr */                                 \
    X(CPUID, "cpuid", "CPUID instruction") /* cpuid */                                             \
    X(DEBUG, "debug", "breakpoint, watchpoint or single step") /* debug */                         \
    X(EXCEPTION, "exception", "an exception that the hypervisor does not handle") /* exception */  \
    X(IOAPIC_EOI, "ioapic_eoi", "end of interrupt for a vector of the outer I/O APIC") /* eoi */   \
    X(SET_TPR, "set_tpr", "the guest lowered its task priority")                                   \
    X(TPR_ACCESS, "tpr_access", "the guest accessed its task priority register") /* tpr */         \
    X(BUS_LOCK, "bus_lock", "the guest locked the bus")                                            \
    X(MEMORY_FAULT, "memory_fault", "guest memory could not be accessed") /* memory_fault */       \
    X(FAIL_ENTRY, "fail_entry", "the processor refused to enter the guest") /* fail_entry */       \
    X(INTERNAL_ERROR, "internal_error", "the hypervisor could not go on") /* internal */           \
    X(NOTIFY, "notify", "the guest blocked interrupts for too long") /* notify */                  \
    X(SBI, "sbi", "RISC-V supervisor call") /* hypercall */                                        \
    X(CSR, "csr", "RISC-V control register access") /* csr */                                      \
    X(UNKNOWN, "unknown", "an exit that this library does not know") /* unknown */

typedef enum visor_exit_reason {
#define VISOR_EXIT_ENUM_(id, name, text) VISOR_EXIT_##id,
    VISOR_EXITS(VISOR_EXIT_ENUM_)
#undef VISOR_EXIT_ENUM_
    VISOR_EXIT_COUNT
} visor_exit_reason;

/* "mmio", ...; "unknown" outside the table. */
VISOR_API const char *visor_exit_name(int reason);
/* The text of the table. */
VISOR_API const char *visor_exit_text(int reason);

typedef enum visor_system_event {
    VISOR_SYSTEM_SHUTDOWN = 1,
    VISOR_SYSTEM_RESET = 2,
    VISOR_SYSTEM_CRASH = 3,
    VISOR_SYSTEM_WAKEUP = 4,
    VISOR_SYSTEM_SUSPEND = 5,
    VISOR_SYSTEM_OTHER = 6, /* see visor_exit.system.raw */
} visor_system_event;

typedef struct visor_exit {
    visor_exit_reason reason;
    uint32_t raw; /* the hypervisor's own number for it */
    union {
        visor_io io; /* IO, MMIO: a read is answered by filling data */
        struct {
            visor_system_event type;
            uint32_t raw;
            uint32_t data_count;
            uint64_t data[16]; /* KVM on Arm: PSCI flags, reset type, cookie */
        } system;
        struct {
            uint64_t number;    /* hypercall or SBI function */
            uint64_t extension; /* SBI extension, else 0 */
            uint64_t args[8];
            uint64_t results[4];   /* to answer; set to the ABI's "not supported" error */
            uint32_t result_count; /* how many of them the guest receives */
            bool long_mode;        /* x86: called from 64-bit code */
        } hypercall;
        struct {
            uint32_t index;
            bool is_write;
            bool fault;     /* to answer: true raises #GP in the guest; set to true */
            uint32_t why;   /* hypervisor specific: unknown, filtered, invalid */
            uint64_t value; /* written value, or to answer a read */
        } msr;
        struct {
            uint32_t function, index;
            uint32_t eax, ebx, ecx, edx; /* to answer; set to what the guest would have seen */
        } cpuid;
        struct {
            uint64_t pc;
            uint64_t address;   /* of the access, for a watchpoint; Arm: FAR */
            uint64_t dr6, dr7;  /* x86 */
            uint32_t exception; /* x86 vector; Arm: ESR */
            bool single_step;
            uint32_t hit_mask;  /* bit n: breakpoint n of the configuration */
        } debug;
        struct {
            uint32_t vector;
            uint32_t error_code;
        } exception;
        struct {
            uint32_t vector;
        } eoi;
        struct {
            uint64_t pc;
            bool is_write;
        } tpr;
        struct {
            uint64_t gpa, length;
            uint64_t flags; /* hypervisor specific */
        } memory_fault;
        struct {
            uint64_t reason; /* hardware's code */
            uint32_t cpu;    /* host CPU, if known */
        } fail_entry;
        struct {
            uint32_t suberror;
            uint32_t data_count;
            uint64_t data[16];
            const char *text;         /* what the suberror means, never NULL */
            uint32_t instruction_len; /* bytes of the instruction, 0 if not known */
            uint8_t instruction[15];
        } internal;
        struct {
            uint32_t flags;
        } notify;
        struct {
            uint32_t csr;
            uint64_t new_value, write_mask;
            uint64_t value; /* to answer */
        } csr;
        struct {
            uint8_t payload[128]; /* the exit's raw data, as the hypervisor gave it */
        } unknown;
    };
} visor_exit;

/* A register with its value, for lists of registers; id is numbered as the architecture's header
 * says. */
typedef struct visor_reg {
    uint64_t id;
    uint64_t value;
} visor_reg;

/*
 * Creates the vCPU `id` of the VM, in architectural reset state. With an interrupt chip in the
 * kernel, x86 vCPUs other than 0 wait for a start-up interrupt. EEXIST: the id was used before
 * (a hypervisor may keep a freed id taken). ELIMIT: too many.
 */
VISOR_API int visor_vcpu_create(visor_vcpu **out, visor_vm *vm, uint32_t id);
/*
 * The vCPU must not be running. Its address stays valid for visor_vcpu_kick(), and for nothing
 * else, until the VM is gone.
 */
VISOR_API void visor_vcpu_free(visor_vcpu *vcpu);
VISOR_API uint32_t visor_vcpu_id(const visor_vcpu *vcpu);
VISOR_API visor_vm *visor_vcpu_vm(visor_vcpu *vcpu); /* borrowed */

/*
 * Completes the last exit with what the caller filled into it, runs the guest, and returns the
 * reason of the next exit (>= 0), also found in visor_vcpu_exit(). Handlers registered with
 * visor_vm_map_io() are called inside. What the guest does is never an error; < 0 means that the
 * host failed.
 *
 * On Linux the calling thread has the kick signal (SIGRTMIN+1 unless the hypervisor was opened with
 * the option signal=N) blocked from its first run on, and must not unblock it; no handler is
 * installed. Other signals keep the mask that the thread had when it first ran the vCPU: a later
 * change of it takes effect inside the guest after the next VISOR_EXIT_INTR. Geniezone, Gunyah,
 * Halla and HAXM differ: opening one (HAXM: creating a vCPU) gives the kick signal a handler that does
 * nothing unless it has one (EINVAL for one with SA_RESTART); and with the first three, signals whose
 * handlers have SA_RESTART wait for the end of the run.
 */
VISOR_API int visor_vcpu_run(visor_vcpu *vcpu);

/* The payload of the last exit: an address that is the same for the vCPU's whole life. */
VISOR_API visor_exit *visor_vcpu_exit(visor_vcpu *vcpu);

/*
 * Makes the current or the next visor_vcpu_run() return VISOR_EXIT_KICKED. Sticky: a kick before
 * run makes that run return at once, without guest code; idempotent: several kicks before one
 * return count as one; never lost. From any thread and from signal handlers; safe against a
 * concurrent visor_vcpu_free() as long as the caller keeps the VM alive.
 */
VISOR_API void visor_vcpu_kick(visor_vcpu *vcpu);

/*
 * Completes a pending access with what the caller filled in, without executing further guest code,
 * so that registers are final and state can be saved. Returns VISOR_EXIT_NONE when the vCPU is
 * settled, or the reason of another part of the same instruction's accesses, to be answered first
 * (handlers are asked as in run). A pending kick stays pending. EUNSUPPORTED: the hypervisor
 * completes an access only when the guest runs on (Geniezone, Halla); until then its registers
 * cannot be set (ESTATE).
 */
VISOR_API int visor_vcpu_settle(visor_vcpu *vcpu);

/* Tells the guest's clock code that the vCPU was paused by the VMM; no effect where not needed. */
VISOR_API int visor_vcpu_paused(visor_vcpu *vcpu);

/*
 * Switches on a feature of the vCPU in the hypervisor's own numbering (KVM_ENABLE_CAP), for what
 * this API does not name. EUNSUPPORTED where there is no such thing.
 */
VISOR_API int visor_vcpu_native_enable(visor_vcpu *vcpu, uint32_t number, const uint64_t args[4]);

/* Multiprocessor state, the same on all architectures. */
typedef enum visor_mp_state {
    VISOR_MP_RUNNABLE = 0,
    VISOR_MP_UNINITIALIZED = 1, /* waits for INIT */
    VISOR_MP_INIT_RECEIVED = 2, /* waits for SIPI */
    VISOR_MP_HALTED = 3,
    VISOR_MP_SIPI_RECEIVED = 4,
    VISOR_MP_STOPPED = 5,
} visor_mp_state;
VISOR_API int visor_vcpu_get_mp_state(visor_mp_state *out, visor_vcpu *vcpu);
VISOR_API int visor_vcpu_set_mp_state(visor_vcpu *vcpu, visor_mp_state state);

VISOR_END_DECLS

#endif
