/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The backend "whpx": the Windows Hypervisor Platform.
 *
 *   library.c       WinHvPlatform.dll and its functions, found at run time; errors and remedies
 *   whpx.c          opening, capabilities, the backend structure
 *   whpx_survey.c   what the platform's processor has: CPUID, MSRs
 *   whpx_vm.c       partitions, memory, dirty pages, MSR exits
 *   whpx_vcpu.c     running, settling, interrupts from the caller
 *   whpx_exit.c     what an exit means
 *   whpx_chip.c     interrupts of the VM's own chips (src/irqchip/)
 *   whpx_assist.c   accesses that the platform does not decode (src/assist/)
 *   whpx_debug.c    guest debugging through exits at exceptions
 *   whpx_state.c    pieces of vCPU state; whpx_events.c, whpx_xsave.c, whpx_msr.c: some of them
 *
 * The platform neither decodes accesses nor completes them: a virtual processor stands at the
 * instruction, and who answers it sets its registers. So nothing is pending in the platform
 * between two runs, and registers can be read and set at any time.
 */
#ifndef VISOR_WHPX_WHPX_H
#define VISOR_WHPX_WHPX_H

#include <whpx.h>

#include "assist/x86_64.h"
#include "core/backend.h"
#include "irqchip/irqchip.h"

#define WHPX_PAGE UINT64_C(4096)

/* ---- library.c ---- */

/* X(name): WHv...; the first list is in every system that has the platform, or needs to be. */
#define WHPX_REQUIRED(X)            \
    X(GetCapability)                \
    X(CreatePartition)              \
    X(SetupPartition)               \
    X(DeletePartition)              \
    X(SetPartitionProperty)         \
    X(MapGpaRange)                  \
    X(UnmapGpaRange)                \
    X(CreateVirtualProcessor)       \
    X(DeleteVirtualProcessor)       \
    X(RunVirtualProcessor)          \
    X(CancelRunVirtualProcessor)    \
    X(GetVirtualProcessorRegisters) \
    X(SetVirtualProcessorRegisters)
/* Newer than the first system with the platform (Windows 10 1803); NULL where absent. */
#define WHPX_OPTIONAL(X)              \
    X(QueryGpaRangeDirtyBitmap)       \
    X(GetVirtualProcessorXsaveState)  \
    X(SetVirtualProcessorXsaveState)  \
    X(GetVirtualProcessorState)       \
    X(SetVirtualProcessorState)       \
    X(GetVirtualProcessorCpuidOutput) \
    X(SuspendPartitionTime)           \
    X(ResumePartitionTime)

struct whpx_functions {
#define WHPX_MEMBER(name) __typeof__(WHv##name) *name;
    WHPX_REQUIRED(WHPX_MEMBER)
    WHPX_OPTIONAL(WHPX_MEMBER)
#undef WHPX_MEMBER
};

/* MSRs that are registers of the platform, see whpx_msr.c. */
#define WHPX_MSRS      96u
#define WHPX_CPUID_MAX 192u

/* An XSAVE component in the standard form: bytes at offset. */
struct whpx_xsave_part {
    uint32_t offset, size;
    bool aligned; /* at 64 bytes, in the compacted form */
};

struct whpx_hv {
    HMODULE library;
    struct whpx_functions call;
    WHV_CAPABILITY_FEATURES features;
    WHV_EXTENDED_VM_EXITS exits; /* that the platform has */
    uint64_t exceptions;         /* that can exit */
    WHV_X64_MSR_EXIT_BITMAP msr_exits;
    uint64_t tsc_hz; /* 0: it does not say */

    struct visor__mutex lock; /* over the survey, which is made once */
    int survey;               /* 0 to be made, 1 made */
    visor_x86_cpuid_entry cpuid[WHPX_CPUID_MAX];
    size_t cpuid_count;
    bool has_msr[WHPX_MSRS]; /* by row of the table */
    uint32_t xsave_size;     /* of the standard form; 0: there is no XSAVE */
    struct whpx_xsave_part xsave[64];
    unsigned gpa_bits;
};

static inline struct whpx_hv *whpx_hv_of(const visor_hypervisor *hv)
{
    return hv->priv;
}

/* Loads the platform's library, or says why it is not there. */
int whpx_library_open(visor_hypervisor *hv);
void whpx_library_close(visor_hypervisor *hv);
/* Records what a function has returned; otherwise: the code for results that mean nothing else. */
int whpx_failed(HRESULT result, const char *function, int otherwise);

/* ---- whpx_survey.c ---- */

/* Makes the survey if it has not been made. */
int whpx_survey(visor_hypervisor *hv);
int whpx_x86_cpuid(visor_x86_cpuid_entry *out, size_t capacity, visor_hypervisor *hv);

/* ---- whpx_vm.c ---- */

/* The chips' time: the host's, without what went by while the partition's was suspended. */
struct whpx_clock {
    bool held;
    uint64_t held_ns, held_tsc; /* where it stands while it is held */
    uint64_t away_ns, away_tsc; /* how far it is behind the host's otherwise */
};

struct whpx_vm {
    WHV_PARTITION_HANDLE partition;
    WHV_X64_MSR_EXIT_BITMAP chip_exits; /* what this backend needs for itself */
    struct visor__mutex lock;           /* over the MSR exits and the clock */
    struct whpx_clock clock;
    WHV_X64_MSR_EXIT_BITMAP msr_exits; /* as the platform has them */
    unsigned msr_exit_changes;         /* of the latter, so far */
    visor_x86_msr_range msr_ranges[16];
    size_t msr_range_count;
    bool unknown_msrs_exit;
    uint64_t tsc_hz;
    unsigned debugged; /* vCPUs: exceptions exit while there are any. VM lock */
};

static inline struct whpx_vm *whpx_vm_of(const visor_vm *vm)
{
    return vm->priv;
}
static inline const struct whpx_functions *whpx_calls(const visor_vm *vm)
{
    return &whpx_hv_of(vm->hv)->call;
}

extern const struct visor__vm_ops whpx_vm_ops;
extern const struct visor__dirty_ops whpx_dirty_ops;
/* Changes exits of a partition that is set up, which systems before Windows 10 1909 do not do. */
int whpx_change_property(const visor_vm *vm, WHV_PARTITION_PROPERTY_CODE code, uint64_t value);
int whpx_get_tsc_hz(uint64_t *out, visor_vcpu *vcpu);
int whpx_set_msr_exits(visor_vm *vm, const visor_x86_msr_range *ranges, size_t count, bool unknown);
/* Whether the caller wants this access for itself. known: the processor, or a chip, has it. */
bool whpx_msr_exits(visor_vm *vm, uint32_t index, bool is_write, bool known);
/*
 * Whether an access has left whose exit was switched off meanwhile: the platform answers it if it
 * is executed again. True once after each change, as an exit under way can only be one.
 */
bool whpx_msr_exit_is_over(visor_vcpu *vcpu, uint32_t index, bool is_write);
/* A partition that is set up, with this many processors. exits: of the platform's, those wanted. */
int whpx_partition_create(WHV_PARTITION_HANDLE *out, visor_hypervisor *hv, uint32_t processors,
                          WHV_X64_MSR_EXIT_BITMAP msr_exits);

/* ---- whpx_vcpu.c ---- */

/* The window that the platform is asked to tell of; as it is there now. */
struct whpx_window {
    bool interrupt, nmi;
    uint8_t priority; /* of the interrupt: below, the window is shut; 0: it does not count */
};

struct whpx_debug {
    bool on, step, int3;
    unsigned count;
    visor_breakpoint breakpoints[4];
    uint64_t resume; /* RIP of a breakpoint that was told of: the next run passes it */
    bool resumes;
    /* What is the guest's while the debugger's is in the registers. */
    bool lent;
    uint64_t flags;
    visor_x86_debugregs guest;
};

struct whpx_vcpu {
    WHV_RUN_VP_EXIT_CONTEXT exit;
    struct visor__assist_x86 *assist; /* NULL: no access yet */
    int due;                          /* VISOR_EXIT_... whose answer is in vcpu->exit */
    visor_x86_cpuid_entry *cpuid;
    size_t cpuid_count;
    uint32_t mp_state;
    bool halted;
    bool dead;        /* triple fault */
    bool nmi_pending; /* not with the platform yet */
    bool irq_window;  /* the caller wants to know */
    bool irq_soft;    /* of the interrupt that is injected */
    bool payload;     /* the exception that is pending was set with one */
    uint8_t
        shadow_kind; /* which shadow was set, as the platform has one bit; 0: it does not know */
    uint8_t cr8;     /* as the platform has it; with a chip */
    struct whpx_window window;
    struct whpx_debug debug;
    unsigned msr_exit_changes; /* of the VM's, when an access was executed again */
    atomic_ullong tsc_offset;  /* of the platform's counter to that of the chips' clock */
};

static inline struct whpx_vcpu *whpx_vcpu_of(const visor_vcpu *vcpu)
{
    return vcpu->priv;
}

extern const struct visor__vcpu_ops whpx_vcpu_ops;
/* What stands between the vCPU and an event. */
struct whpx_readiness {
    bool flag, shadow, nmi_masked;
    bool busy;      /* an event is on its way already */
    bool interrupt; /* and that is an interrupt */
};
int whpx_look(struct whpx_readiness *out, visor_vcpu *vcpu);
int whpx_ready_for_interrupt(visor_vcpu *vcpu);
int whpx_interrupt(visor_vcpu *vcpu, uint8_t vector);
int whpx_request_irq_window(visor_vcpu *vcpu, bool on);
int whpx_nmi(visor_vcpu *vcpu);
/* Asks the platform for this window, unless it is asked already. */
int whpx_set_window(visor_vcpu *vcpu, struct whpx_window window);

/* ---- registers: several in one call ---- */

int whpx_get_registers(visor_vcpu *vcpu, const WHV_REGISTER_NAME *names, size_t count,
                       WHV_REGISTER_VALUE *values);
int whpx_set_registers(visor_vcpu *vcpu, const WHV_REGISTER_NAME *names, size_t count,
                       const WHV_REGISTER_VALUE *values);
int whpx_get_number(uint64_t *out, visor_vcpu *vcpu, WHV_REGISTER_NAME name);
int whpx_set_number(visor_vcpu *vcpu, WHV_REGISTER_NAME name, uint64_t value);

/* ---- whpx_exit.c ---- */

/* The platform was cancelled: no exit of the API. */
#define WHPX_CANCELED VISOR_EXIT_COUNT
/* The exit that is in the vCPU's context: an exit of the API, NONE to go on, or CANCELED. */
int whpx_handle_exit(visor_vcpu *vcpu);
/* Completes an access to an MSR. */
int whpx_finish_msr(visor_vcpu *vcpu);
/* Makes an exception the next thing that happens in the guest. */
int whpx_inject(visor_vcpu *vcpu, const struct visor__assist_x86_exception *exception);

/* ---- whpx_chip.c ---- */

int whpx_chip_attach(visor_vm *vm);
/* After the local APIC's state was set. */
void whpx_chip_changed(visor_vcpu *vcpu);
/* Stops the chips' clock, or lets it go on from where it stopped. */
void whpx_chip_hold_time(visor_vm *vm, bool hold);
/* Reads the platform's counter, for the chip. */
int whpx_chip_sync_tsc(visor_vcpu *vcpu);
/* Takes INIT, SIPI and NMI into the vCPU. */
int whpx_chip_take(visor_vcpu *vcpu);
/*
 * What has to be done before the guest is entered: sleep while it is halted, and give it what waits
 * for it, or ask for a window. Returns NONE to enter, CANCELED, or an exit.
 */
int whpx_before_entry(visor_vcpu *vcpu);

/* ---- whpx_assist.c ---- */

int whpx_assist_start(visor_vcpu *vcpu, const uint8_t *bytes, size_t count);
/* Goes on after an answer. Both return as visor__assist_x86_start(), with what chips serve done. */
int whpx_assist_next(visor_vcpu *vcpu, bool settle);
bool whpx_assist_is_active(const visor_vcpu *vcpu);

/* ---- whpx_debug.c ---- */

extern const struct visor__debug_ops whpx_debug_ops;
/* Before the guest is entered, and after it was left. */
int whpx_debug_lend(visor_vcpu *vcpu);
int whpx_debug_return(visor_vcpu *vcpu);
/* An exception that has left: DEBUG, or NONE if it was the guest's own, which gets it. */
int whpx_debug_exception(visor_vcpu *vcpu);
/* #DB behind an instruction of the assist: DEBUG if the debugger wanted it, else NONE. */
int whpx_debug_trap(visor_vcpu *vcpu);

/* ---- whpx_state.c, whpx_events.c, whpx_xsave.c, whpx_msr.c ---- */

int whpx_get_state(void *buf, size_t capacity, visor_vcpu *vcpu, enum visor__state piece);
int whpx_set_state(visor_vcpu *vcpu, enum visor__state piece, const void *buf, size_t length);
/* IA32_APIC_BASE, where there is no chip. */
uint64_t whpx_get_apic_base(visor_vcpu *vcpu);
int whpx_get_regs(visor_x86_regs *out, visor_vcpu *vcpu);
int whpx_set_regs(visor_vcpu *vcpu, const visor_x86_regs *regs);
int whpx_get_sregs(visor_x86_sregs *out, visor_vcpu *vcpu);
int whpx_set_sregs(visor_vcpu *vcpu, const visor_x86_sregs *sregs);
int whpx_get_fpu(visor_x86_fpu *out, visor_vcpu *vcpu);
int whpx_set_fpu(visor_vcpu *vcpu, const visor_x86_fpu *fpu);
int whpx_get_events(visor_x86_events *out, visor_vcpu *vcpu);
int whpx_set_events(visor_vcpu *vcpu, const visor_x86_events *events);
int whpx_drop_exception(visor_vcpu *vcpu);
/* The image in its standard form. get returns its size; 0: there is no XSAVE. */
int whpx_get_xsave(void *buf, size_t capacity, visor_vcpu *vcpu);
int whpx_set_xsave(visor_vcpu *vcpu, const void *buf, size_t length);
int whpx_get_msrs(visor_x86_msr *msrs, size_t count, visor_vcpu *vcpu);
int whpx_set_msrs(visor_vcpu *vcpu, const visor_x86_msr *msrs, size_t count);
int whpx_msr_list(uint32_t *out, size_t capacity, visor_hypervisor *hv);
/* Which of the table's registers a virtual processor has. */
void whpx_survey_msrs(bool has[WHPX_MSRS], const struct whpx_functions *call,
                      WHV_PARTITION_HANDLE partition);
/* Whether it is a register of the platform. */
bool whpx_is_msr(const visor_hypervisor *hv, uint32_t index);

#endif
