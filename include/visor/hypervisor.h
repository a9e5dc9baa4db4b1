/* SPDX-License-Identifier: BSD-3-Clause */
/* Finding and opening hypervisors. */
#ifndef VISOR_HYPERVISOR_H
#define VISOR_HYPERVISOR_H

#include <visor/base.h>

VISOR_BEGIN_DECLS

/*
 * Capabilities: X(NAME, name, level, text). Every answer is an integer: 0 means absent, 1 means
 * present unless the text names a count, a size or a mask. Ask at VM level where there is a VM: the
 * answer may depend on how it was configured. HV: meaningful for a hypervisor too; VM: for a VM only.
 */
#define VISOR_CAPS(X)                                                                              \
    X(KICK, "kick", HV, "a run can be cancelled without a race")                                   \
    X(USER_MEMORY, "user_memory", HV, "host memory can be mapped into the guest")                  \
    X(MAX_VCPUS, "max_vcpus", HV, "largest number of vCPUs of a VM")                               \
    X(MAX_SLOTS, "max_slots", HV, "number of memory slots of a VM")                                \
    X(GPA_BITS, "gpa_bits", HV, "width of guest-physical addresses in bits")                       \
    X(PROTECTED, "protected", HV, "the host can be denied access to guest memory")                 \
    X(BOOT_CONTEXT, "boot_context", HV, "the hypervisor sets the initial registers itself")        \
    X(SWIOTLB_REGION, "swiotlb_region", HV,                                                        \
      "the bounce buffer must be a memory region of its own")                                      \
    X(CPUID_AT_CREATE, "cpuid_at_create", HV, "CPUID is fixed when the VM is created")             \
    X(TSC_LEAF_NEEDED, "tsc_leaf_needed", HV,                                                      \
      "the guest needs an exact TSC frequency in CPUID leaf 0x15")                                 \
    X(X86_XCRS, "x86_xcrs", HV, "extended control registers can be read and written")              \
    X(X86_XSAVE_SIZE, "x86_xsave_size", VM, "bytes of the XSAVE image")                            \
    X(X86_NESTED_STATE_SIZE, "x86_nested_state_size", VM,                                          \
      "most bytes of the nested virtualization state")                                             \
    X(X86_BUS_LOCK, "x86_bus_lock", HV, "guest bus locks can exit")                                \
    X(X86_MSR_EXITS, "x86_msr_exits", HV, "MSR accesses can exit, with a filter")                  \
    X(X86_TSC_DEADLINE, "x86_tsc_deadline", HV,                                                    \
      "the in-kernel local APIC has the TSC deadline timer")                                       \
    X(X86_TSC_OFFSET, "x86_tsc_offset", HV,                                                        \
      "writing IA32_TSC gives the guest its own counter offset")                                   \
    X(AARCH64_GIC_V2, "aarch64_gic_v2", HV, "an interrupt controller of version 2 for guests")     \
    X(AARCH64_GIC_V3, "aarch64_gic_v3", HV, "an interrupt controller of version 3 for guests")     \
    X(AARCH64_ITS, "aarch64_its", HV, "an Interrupt Translation Service for guests")               \
    X(AARCH64_PMU, "aarch64_pmu", HV, "performance monitors for guests")                           \
    X(AARCH64_SVE, "aarch64_sve", HV, "scalable vectors: the longest in bits")                     \
    X(AARCH64_PAUTH, "aarch64_pauth", HV, "pointer authentication for guests")                     \
    X(AARCH64_EL2, "aarch64_el2", HV, "guests can use virtualization")                             \
    X(AARCH64_MTE, "aarch64_mte", HV, "memory tagging for guests")                                 \
    X(AARCH64_STOLEN_TIME, "aarch64_stolen_time", HV, "guests can be told of stolen time")         \
    X(AARCH64_COUNTER_OFFSET, "aarch64_counter_offset", HV,                                        \
      "the guest's counters can be set back for the whole VM")                                     \
    X(RISCV_AIA, "riscv_aia", HV, "an APLIC and IMSICs for guests")                                \
    X(IRQCHIP, "irqchip", HV, "an interrupt controller inside the hypervisor")                     \
    X(IRQCHIP_SPLIT, "irqchip_split", HV,                                                          \
      "local APICs inside the hypervisor, PIC and I/O APIC outside")                               \
    X(IRQ_LINES, "irq_lines", HV, "interrupt lines can be raised and lowered by call")              \
    X(IRQFD, "irqfd", HV, "interrupts can be raised by events")                                    \
    X(IRQFD_RESAMPLE, "irqfd_resample", HV,                                                        \
      "level interrupts by events, with an event at end of interrupt")                             \
    X(MSI, "msi", HV, "message-signalled interrupts can be sent directly")                         \
    X(IO_EVENTS, "io_events", HV, "guest writes can signal events instead of exiting")             \
    X(IO_COALESCE, "io_coalesce", HV, "guest writes can be collected and delivered later")         \
    X(READ_ONLY, "read_only", VM, "read-only memory slots")                                        \
    X(DIRTY_LOG, "dirty_log", VM, "pages that the guest wrote can be listed")                      \
    X(DIRTY_RING, "dirty_ring", HV, "most entries of a vCPU's dirty ring")                         \
    X(MEMORY_FAULT, "memory_fault", VM, "failing guest memory accesses give an exit of their own") \
    X(NONCOHERENT_DMA, "noncoherent_dma", VM, "the guest's own memory types can be honoured")      \
    X(PV_CLOCK, "pv_clock", VM, "the paravirtual clock can be read and set")                       \
    X(SYNC_REGS, "sync_regs", HV, "registers are at hand after an exit without a system call")     \
    X(HYPERCALLS, "hypercalls", VM,                                                                \
      "guest hypercalls can exit: mask or count of the ones that can")                             \
    X(DEBUG, "debug", VM, "guest debugging: single step")                                          \
    X(HW_BREAKPOINTS, "hw_breakpoints", VM, "number of hardware breakpoints of a vCPU")            \
    X(HW_WATCHPOINTS, "hw_watchpoints", VM,                                                        \
      "number of hardware watchpoints, if they are not among the breakpoints")                     \
    X(NMI, "nmi", VM, "non-maskable interrupts can be injected")                                   \
    X(MP_STATE, "mp_state", VM, "the multiprocessor state of a vCPU can be read and set")          \
    X(SNAPSHOT, "snapshot", VM, "a VM can be saved and restored")                                  \
    X(VFIO, "vfio", VM, "the VFIO device of the hypervisor can be created")

typedef enum visor_cap {
#define VISOR_CAP_ENUM_(id, name, level, text) VISOR_CAP_##id,
    VISOR_CAPS(VISOR_CAP_ENUM_)
#undef VISOR_CAP_ENUM_
    VISOR_CAP_COUNT
} visor_cap;

/* "irqfd_resample", ...; "unknown" outside the table. */
VISOR_API const char *visor_cap_name(visor_cap cap);
/* The text of the table. */
VISOR_API const char *visor_cap_text(visor_cap cap);

/*
 * Opens a hypervisor by specification string: a backend's name, optionally with options in
 * brackets, "kvm", "kvm[device=/dev/kvm]", or "auto" (also NULL or ""), which probes all backends
 * that it may take, prefers those that run all that a processor can, and of these takes the fastest.
 * Unknown names, unknown options and malformed brackets are VISOR_EINVAL; a known backend that
 * cannot be used here says why with one of EABSENT, EACCESS, EDISABLED, EBROKEN, EUNSUPPORTED and a hint.
 */
VISOR_API int visor_hypervisor_open(visor_hypervisor **out, const char *spec);
/* One more reference to the same object, to be freed like any other. Returns hv. */
VISOR_API visor_hypervisor *visor_hypervisor_ref(visor_hypervisor *hv);
VISOR_API void visor_hypervisor_free(visor_hypervisor *hv);

/* The name of the backend behind hv. */
VISOR_API const char *visor_hypervisor_backend(const visor_hypervisor *hv);
/* Why this one was chosen, a sentence: "asked for by name", or what "auto" saw and took. */
VISOR_API const char *visor_hypervisor_reason(const visor_hypervisor *hv);
/* The native version, as text: "API 12". */
VISOR_API const char *visor_hypervisor_version(const visor_hypervisor *hv);
/* Whether hv can run guests of this architecture. */
VISOR_API bool visor_hypervisor_has_arch(const visor_hypervisor *hv, visor_arch arch);

/* The value of a capability; 0 for one that is absent, unknown or has no meaning without a VM. */
VISOR_API int64_t visor_hypervisor_cap(visor_hypervisor *hv, visor_cap cap);

/* Backends that this library was built with, in the order in which "auto" tries them. */
VISOR_API size_t visor_backend_count(void);
/* The name of backend index, NULL past the end. */
VISOR_API const char *visor_backend_name(size_t index);
/* A line about it; NULL past the end. */
VISOR_API const char *visor_backend_summary(size_t index);
/* Whether "auto" may take it (test backends are opened by name only). */
VISOR_API bool visor_backend_is_auto(size_t index);

/* What a probe found out by running a small guest. */
typedef struct visor_probe {
    uint32_t size;
    int status;           /* 0: guests run; else why not, as from visor_hypervisor_open() */
    visor_arch arch;      /* of the guest that ran */
    bool full;            /* false: it runs guests, but not all that a processor can (see detail) */
    double mips;          /* measured speed, million guest instructions a second; 0 unknown */
    char version[64];     /* native version, as visor_hypervisor_version() */
    char detail[256];     /* a sentence for people */
    char hint[256];       /* remedy, if status < 0 or full is false */
} visor_probe;
#define VISOR_PROBE_INIT {.size = sizeof(visor_probe)}

/*
 * Opens what spec names, runs a small guest in it for at most about a tenth of a second, and closes
 * it. Returns 0 if there is a result (look at out->status), < 0 if spec itself is wrong. out->size
 * must be set.
 */
VISOR_API int visor_hypervisor_probe(visor_probe *out, const char *spec);

VISOR_END_DECLS

#endif
