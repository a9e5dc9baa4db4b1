/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every piece of state, once. Saving, restoring, resetting, dumping, the typed accessors and the
 * tests' comparison all come from these tables.
 *
 * X(ID, name, type, variable, save, restore)
 *   name      a bare word: in snapshots, dumps and errors as text, and the last part of the names
 *             of the piece's own functions: visor__reset_ARCH_NAME(), visor__dump_ARCH_NAME()
 *   type      the public structure; for variable pieces the element of an array or image
 *   save      rank when saving: MP_STATE first, because KVM folds pending INIT/SIPI into the state
 *             when it is asked for
 *   restore   rank when restoring. CPUID decides what all else may hold. APIC_BASE and LAPIC come
 *             before MSRS, or the TSC deadline is refused. XCRS before XSAVE. EVENTS after REGS:
 *             KVM_SET_REGS drops a pending exception. MP_STATE last: it may start the vCPU.
 * Ranks are dense, from 0.
 */
#ifndef VISOR_CORE_STATE_H
#define VISOR_CORE_STATE_H

#include <visor.h>

#define VISOR__X86_STATES(X)                                      \
    X(X86_MP_STATE, mp_state, uint32_t, false, 0, 12)             \
    X(X86_CPUID, cpuid, visor_x86_cpuid_entry, true, 1, 0)        \
    X(X86_APIC_BASE, apic_base, uint64_t, false, 2, 1)            \
    X(X86_LAPIC, lapic, visor_x86_lapic, false, 3, 2)             \
    X(X86_REGS, regs, visor_x86_regs, false, 4, 3)                \
    X(X86_SREGS, sregs, visor_x86_sregs, false, 5, 4)             \
    X(X86_DEBUGREGS, debugregs, visor_x86_debugregs, false, 6, 5) \
    X(X86_XCRS, xcrs, visor_x86_xcrs, false, 7, 6)                \
    X(X86_FPU, fpu, visor_x86_fpu, false, 8, 7)                   \
    X(X86_XSAVE, xsave, uint8_t, true, 9, 8)                      \
    X(X86_MSRS, msrs, visor_x86_msr, true, 10, 9)                 \
    X(X86_NESTED, nested, uint8_t, true, 11, 10)                  \
    X(X86_EVENTS, events, visor_x86_events, false, 12, 11)

/*
 * Saved like x86's. FEATURES first when restoring: what else there is depends on it; it is
 * compared, not changed. FIRMWARE before SYSREGS: the guest has asked its firmware what it may use.
 */
#define VISOR__AARCH64_STATES(X)                                       \
    X(AARCH64_MP_STATE, mp_state, uint32_t, false, 0, 8)               \
    X(AARCH64_FEATURES, features, visor_aarch64_features, false, 1, 0) \
    X(AARCH64_FIRMWARE, firmware, visor_reg, true, 2, 1)               \
    X(AARCH64_SYSREGS, sysregs, visor_reg, true, 3, 2)                 \
    X(AARCH64_CACHES, caches, visor_reg, true, 4, 3)                   \
    X(AARCH64_REGS, regs, visor_aarch64_regs, false, 5, 4)             \
    X(AARCH64_FPSIMD, fpsimd, visor_aarch64_fpsimd, false, 6, 5)       \
    X(AARCH64_SVE, sve, uint8_t, true, 7, 6)                           \
    X(AARCH64_EVENTS, events, visor_aarch64_events, false, 8, 7)

/* What describes the hart comes first when restoring. */
#define VISOR__RISCV_STATES(X)                           \
    X(RISCV_MP_STATE, mp_state, uint32_t, false, 0, 9)   \
    X(RISCV_CONFIG, config, visor_reg, true, 1, 0)       \
    X(RISCV_ISA, isa, visor_reg, true, 2, 1)             \
    X(RISCV_SBI, sbi, visor_reg, true, 3, 2)             \
    X(RISCV_SBI_STATE, sbi_state, visor_reg, true, 4, 3) \
    X(RISCV_CSRS, csrs, visor_reg, true, 5, 4)           \
    X(RISCV_REGS, regs, visor_riscv_regs, false, 6, 5)   \
    X(RISCV_FP, fp, visor_riscv_fp, false, 7, 6)         \
    X(RISCV_VECTOR, vector, uint8_t, true, 8, 7)         \
    X(RISCV_TIMER, timer, visor_riscv_timer, false, 9, 8)

enum visor__state {
#define VISOR__STATE_ENUM(id, ...) VISOR__STATE_##id,
    /* clang-format off */
    VISOR__X86_STATES(VISOR__STATE_ENUM)
    VISOR__AARCH64_STATES(VISOR__STATE_ENUM)
    VISOR__RISCV_STATES(VISOR__STATE_ENUM)
    VISOR__STATE_COUNT
    /* clang-format on */
#undef VISOR__STATE_ENUM
};

/*
 * State of the VM beside its vCPUs: X(ID, name, type, variable, late). The order is that of saving
 * and restoring. The chips of x86 go through x86->get_chip, ROUTES is kept by the core, CLOCK goes
 * through the clock table, IRQCHIP through irq->get_regs. A late piece is read before guest memory
 * is saved, because reading it may write there, and stands behind it in a snapshot, because setting
 * it reads there.
 */
#define VISOR__VM_STATES(X)                                          \
    X(X86_PIT, pit, visor_x86_pit, false, false)                     \
    X(X86_PIC_PRIMARY, pic_primary, visor_x86_pic, false, false)     \
    X(X86_PIC_SECONDARY, pic_secondary, visor_x86_pic, false, false) \
    X(X86_IOAPIC, ioapic, visor_x86_ioapic, false, false)            \
    X(ROUTES, routes, struct visor__route_image, true, false)        \
    X(CLOCK, clock, uint64_t, false, false)                          \
    X(IRQCHIP, irqchip, visor_irqchip_reg, true, true)

enum visor__vm_state {
#define VISOR__VM_STATE_ENUM(id, ...) VISOR__VM_STATE_##id,
    VISOR__VM_STATES(VISOR__VM_STATE_ENUM)
#undef VISOR__VM_STATE_ENUM
    VISOR__VM_STATE_COUNT
};

/* A visor_route without padding, as snapshots hold it. */
struct visor__route_image {
    uint32_t gsi;
    uint32_t kind; /* 0: pin of a chip, 1: message, 2: message with device_id */
    uint32_t chip, pin;
    uint64_t address;
    uint32_t data, device_id;
};

/* A text sink: lines without newline. */
struct visor__printer {
    void (*print)(void *context, const char *line);
    void *context;
};

/* Gives a printer one line. */
void visor__say(const struct visor__printer *out, const char *format, ...)
    __attribute__((format(VISOR_PRINTF, 2, 3)));

/* The piece mp_state, which all architectures have. */
void visor__dump_mp_state(const void *value, size_t length, const struct visor__printer *out);

/* What the tables say about a piece, for code that walks over all of them. */
struct visor__state_info {
    const char *name;
    size_t size; /* bytes of type */
    visor_arch arch;
    unsigned save, restore;
    bool variable;
    /* Turns the present value into the reset value, in place. Returns 1, or 0: leave it alone.
     * NULL: only the backend can (vcpu_ops.reset). */
    int (*reset)(void *value, size_t length, visor_vcpu *vcpu);
    void (*dump)(const void *value, size_t length, const struct visor__printer *out);
};
extern const struct visor__state_info visor__states[VISOR__STATE_COUNT];

struct visor__vm_state_info {
    const char *name;
    size_t size;
    bool variable;
    bool late;
};
extern const struct visor__vm_state_info visor__vm_states[VISOR__VM_STATE_COUNT];

/* The piece with that name, VISOR__STATE_COUNT if the architecture has none. */
enum visor__state visor__state_by_name(visor_arch arch, const char *name);
/* The piece of that rank, VISOR__STATE_COUNT past the last. */
enum visor__state visor__state_by_save(visor_arch arch, unsigned rank);
enum visor__state visor__state_by_restore(visor_arch arch, unsigned rank);

/*
 * One piece of a vCPU, as backend.h has it for get_state and set_state, and beyond it: MSRS is
 * assembled from the list of the hypervisor, set checks what it is given (EINVAL, EMISMATCH), and
 * CPUID and MSRS that are as wanted already are not written again. notes (may be NULL, and so may
 * its print) is told of MSRs that were left behind.
 */
int visor__state_get(void *buf, size_t capacity, visor_vcpu *vcpu, enum visor__state piece);
int visor__state_set(visor_vcpu *vcpu, enum visor__state piece, const void *value, size_t length,
                     const struct visor__printer *notes);
/* get into memory of the right size, which the caller frees; NULL if the length is 0. */
int visor__state_read(void **out, visor_vcpu *vcpu, enum visor__state piece);
/* Ends what a restore must not find: an access that has not been completed, nested guest mode. */
int visor__state_abandon(visor_vcpu *vcpu);

/* The same for a VM. */
int visor__vm_state_get(void *buf, size_t capacity, visor_vm *vm, enum visor__vm_state piece);
int visor__vm_state_read(void **out, visor_vm *vm, enum visor__vm_state piece);
int visor__vm_state_set(visor_vm *vm, enum visor__vm_state piece, const void *value, size_t length);

#endif
