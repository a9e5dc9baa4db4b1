/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The contract between the core and a backend: this header is the porting guide.
 *
 * A backend is one const struct visor_backend. The core checks arguments, counts references, owns
 * slots, handlers and errors' thread-locality; the backend talks to its hypervisor and nothing
 * else. `vm` and `vcpu` tables are required. Every other table is optional, and its presence is the
 * capability: there is no second flag to disagree with it. What only the running system can answer
 * (sizes, counts, features of this kernel) is asked through the two cap() functions.
 *
 * General rules for all operations
 *  - Return 0 (or a count / exit reason where stated) or a VISOR_E... code set by visor__error() or
 *    visor__error_native() with the system's own name of what failed.
 *  - A member may be NULL unless marked REQUIRED; the core then answers EUNSUPPORTED for it.
 *  - Private data: the core allocates *_size zeroed bytes with each object; hv->priv, vm->priv,
 *    vcpu->priv. create/open may leave anything there: close/destroy is called exactly once after
 *    a successful create/open, never after a failed one.
 *  - Locks: "VM lock" below means that the core holds vm->lock, so that at most one such operation
 *    of a VM runs at a time. vCPU operations are called by the thread that owns the vCPU, without
 *    any lock; kick from any thread and from signal handlers.
 *  - Nothing prints, exits, or asserts on what the guest or the kernel says.
 */
#ifndef VISOR_CORE_BACKEND_H
#define VISOR_CORE_BACKEND_H

#include <visor.h>

#include "core/internal.h"
#include "core/state.h"

/* An option in the brackets of a specification string. */
struct visor__option {
    const char *name;
    const char *text; /* for documentation and error messages */
};

struct visor__hv_ops {
    /*
     * REQUIRED. Opens the device or library. Options: visor__option_get(hv, "device"). Tell apart
     * EABSENT (nothing there), EACCESS, EDISABLED, EBROKEN, EUNSUPPORTED, with a hint each.
     * Fill hv->version. Must not run a guest: probing is the core's.
     */
    int (*open)(visor_hypervisor *hv);
    /* REQUIRED. */
    void (*close)(visor_hypervisor *hv);
    /* REQUIRED. A capability without a VM; 0 for what is not known here. Never fails. Asked only
     * for what the tables leave open, see visor__cap_by_table() in cap.c: a missing table or member
     * means 0, and the simple ones whose member is there are 1. */
    int64_t (*cap)(visor_hypervisor *hv, visor_cap cap);
    /* x86: what visor_x86_supported_cpuid() and visor_x86_msr_list() return, same convention. */
    int (*x86_cpuid)(visor_x86_cpuid_entry *out, size_t capacity, visor_hypervisor *hv);
    int (*x86_msr_list)(uint32_t *out, size_t capacity, visor_hypervisor *hv);
};

/* A slot as the backend sees it: checked, rounded, not overlapping. */
struct visor__slot_map {
    uint32_t slot;
    uint64_t gpa;
    uint64_t length; /* whole pages */
    void *host;
    bool read_only;
    bool log_dirty;
    bool noncoherent;
    visor_memory_purpose purpose; /* of guest memory; RAM for added slots */
    bool is_memory;               /* a region of guest memory, not an added slot */
};

struct visor__vm_ops {
    /*
     * REQUIRED. Creates the VM and its interrupt chip as vm->config says; a configuration that the
     * host cannot do is EUNSUPPORTED with the alternatives in the hint. Slots come afterwards. A
     * kernel chip of x86 starts with the routes of visor__irq_create(): gsi 0-15 to the PICs and
     * the I/O APIC, 16-23 to the I/O APIC.
     */
    int (*create)(visor_vm *vm);
    /* REQUIRED. All vCPUs are destroyed before. */
    void (*destroy)(visor_vm *vm);
    /* REQUIRED. As hv_ops.cap, for this VM. */
    int64_t (*cap)(visor_vm *vm, visor_cap cap);
    /* REQUIRED. VM lock. Makes the memory visible to the guest. */
    int (*map)(visor_vm *vm, const struct visor__slot_map *map);
    /* REQUIRED. VM lock. No guest access may reach the memory once this returns. Gets what map got.
     */
    int (*unmap)(visor_vm *vm, const struct visor__slot_map *map);
    int (*native_cap)(int64_t *out, visor_vm *vm, uint32_t number);
    int (*native_handle)(visor_file *out, visor_vm *vm);
    int (*create_vfio)(visor_file *out, visor_vm *vm);
    /*
     * VM lock. All vCPUs exist, and none has run: what had to wait for that, the interrupt chip
     * first of all. Called once, before the first run and before the first use of irq_ops but for
     * set_routes; no vCPU is created afterwards. NULL: nothing depends on it, and vCPUs may be
     * created at any time.
     */
    int (*seal)(visor_vm *vm);
    /* VM lock. */
    int (*load_firmware)(uint64_t *out, visor_vm *vm, uint64_t gpa, uint64_t max_size);
    /*
     * No vCPU runs, and no lock is held. Makes the guest's clocks stand still, and go on from where
     * they are: called around the saving and the restoring of a VM, so that all of its vCPUs are
     * read or set at one moment. NULL: clocks cannot be stopped, or need not.
     */
    void (*hold_time)(visor_vm *vm, bool hold);
    /* Before any vCPU has run. */
    int (*enable_hypercalls)(visor_vm *vm, uint32_t first, uint32_t count);
    /*
     * Balloon: called around the core's own discarding of host memory. inflate before the range is
     * discarded, deflate when the guest wants it back. NULL: nothing to do.
     */
    int (*inflate)(visor_vm *vm, uint64_t gpa, uint64_t length);
    int (*deflate)(visor_vm *vm, uint64_t gpa, uint64_t length);
};

struct visor__vcpu_ops {
    /* REQUIRED. VM lock. vcpu->id is set and new to this VM. */
    int (*create)(visor_vcpu *vcpu);
    /*
     * REQUIRED. VM lock. No kick is inside, and none will come.
     */
    void (*destroy)(visor_vcpu *vcpu);
    /*
     * REQUIRED. Completes the pending exit from vcpu->exit, enters the guest, and fills vcpu->exit
     * for the reason it returns. An access of several parts is returned part by part, without
     * entering the guest between them. Calls visor__run_begin() before entering and
     * visor__run_end() after (see kick.h): they say when to return KICKED.
     */
    int (*run)(visor_vcpu *vcpu);
    /*
     * REQUIRED. Completes the pending exit without guest code. Returns NONE, or the reason of the
     * next part of the same instruction's accesses.
     */
    int (*settle)(visor_vcpu *vcpu);
    /*
     * REQUIRED. Makes the run under way return soon, with visor__run_end() told that it was
     * interrupted. Called between visor__run_begin() and the return of visor__run_end() only. Any
     * thread, signal handlers: async-signal-safe.
     */
    void (*kick)(visor_vcpu *vcpu);
    /*
     * One piece of state (state.h) in the public structure of that piece. get returns its size, and
     * fills in buf only if capacity suffices; set gets exactly one piece. set is REQUIRED; get is
     * NULL for a hypervisor that lets nothing be read, whose VMs cannot be saved then. A piece that
     * this VM does not have: EUNSUPPORTED. Pieces of variable size are arrays or images.
     * MSRS is never asked for: it goes through x86->get_msrs. NESTED is empty (0) while the guest
     * does not use virtualization, so that such a snapshot fits any hypervisor; setting it with
     * length 0 leaves nested guest mode and forgets VMXON and the like. Lists of registers
     * (visor_reg) are in the numbers of the architecture's header; setting one skips registers that
     * have their value already. Setting the piece `features` or a list that describes the processor
     * to something else than the vCPU has: EMISMATCH, naming what differs.
     */
    int (*get_state)(void *buf, size_t capacity, visor_vcpu *vcpu, enum visor__state piece);
    int (*set_state)(visor_vcpu *vcpu, enum visor__state piece, const void *buf, size_t length);
    /* Back to the state after creation. NULL: the core sets every piece to its reset value. */
    int (*reset)(visor_vcpu *vcpu);
    int (*paused)(visor_vcpu *vcpu);
    int (*native_enable)(visor_vcpu *vcpu, uint32_t number, const uint64_t args[4]);
};

/* Interrupt lines, events and messages into the hypervisor's interrupt chip. VM lock for all but
 * set_irq and send_msi. The core keeps the table of events and refuses duplicates. */
struct visor__irq_ops {
    int (*set_irq)(visor_vm *vm, uint32_t gsi, bool level);
    int (*add_event)(visor_vm *vm, uint32_t gsi, visor_event event, visor_event resample);
    int (*remove_event)(visor_vm *vm, uint32_t gsi, visor_event event);
    int (*set_routes)(visor_vm *vm, const visor_route *routes, size_t count);
    int (*send_msi)(visor_vm *vm, const visor_msi *msi); /* 1 delivered, 0 ignored by the guest */
    /* VM lock, no vCPU runs. The chip as registers, as visor_vm_get_irqchip() and its counterpart;
     * x86 has x86_ops.get_chip instead. */
    int (*get_regs)(visor_irqchip_reg *out, size_t capacity, visor_vm *vm);
    int (*set_regs)(visor_vm *vm, const visor_irqchip_reg *regs, size_t count);
};

/* Guest writes that signal events inside the hypervisor. VM lock; already checked for duplicates.
 * A backend without this table gets I/O events from the core, on the exit path. */
struct visor__io_event_ops {
    int (*add)(visor_vm *vm, const visor_io_event *io_event);
    int (*remove)(visor_vm *vm, const visor_io_event *io_event);
};

/* Collected writes. VM lock for all. The core lets no two ranges overlap. */
struct visor__coalesce_ops {
    int (*add)(visor_vm *vm, visor_space space, uint64_t address, uint64_t length);
    int (*remove)(visor_vm *vm, visor_space space, uint64_t address, uint64_t length);
    /* Takes the oldest collected write out into io. Returns 1, or 0 if there is none. */
    int (*take)(visor_io *io, visor_vm *vm);
};

struct visor__dirty_ops {
    /*
     * VM lock. ORs the slot's dirty pages since the last call into bitmap, whose size the core has
     * rounded up to 8 bytes, and clears the hypervisor's log. With a dirty ring: harvests the rings
     * of all vCPUs first, other slots' pages via visor__dirty_mark().
     */
    int (*log)(uint64_t *bitmap, visor_vm *vm, uint32_t slot, uint64_t length);
};

struct visor__debug_ops {
    /* config is never NULL; empty means off. breakpoint_count is within HW_BREAKPOINTS, with
     * HW_WATCHPOINTS added: what there is of each kind is checked here. */
    int (*set)(visor_vcpu *vcpu, const visor_debug_config *config);
};

struct visor__clock_ops {
    int (*get)(uint64_t *out, visor_vm *vm);
    int (*set)(visor_vm *vm, uint64_t ns);
};

/* The most MSRs that a backend is asked for at a time. */
#define VISOR__MSR_BATCH 256

/* x86-64 guests. Required for backends that list VISOR_ARCH_X86_64. */
struct visor__x86_ops {
    /* REQUIRED unless the hypervisor has all local APICs. As the public functions. */
    int (*ready_for_interrupt)(visor_vcpu *vcpu);
    int (*interrupt)(visor_vcpu *vcpu, uint8_t vector);
    int (*request_irq_window)(visor_vcpu *vcpu, bool on);
    int (*nmi)(visor_vcpu *vcpu);
    /* REQUIRED. At most VISOR__MSR_BATCH at a time. Returns how many were done before the first
     * that failed (== count: all). The error of that one is set by the backend: ENOENT on get,
     * EREFUSED on set. */
    int (*get_msrs)(visor_x86_msr *msrs, size_t count, visor_vcpu *vcpu);
    int (*set_msrs)(visor_vcpu *vcpu, const visor_x86_msr *msrs, size_t count);
    /* VM lock, for this and all up to set_platform_info. The chips among enum visor__vm_state, same
     * convention as get_state. */
    int (*get_chip)(void *buf, size_t capacity, visor_vm *vm, enum visor__vm_state piece);
    int (*set_chip)(visor_vm *vm, enum visor__vm_state piece, const void *buf, size_t length);
    int (*set_msr_exits)(visor_vm *vm, const visor_x86_msr_range *ranges, size_t count,
                         bool unknown);
    /* NULL: not needed, which is a success. */
    int (*set_identity_map)(visor_vm *vm, uint64_t gpa);
    int (*set_tss_area)(visor_vm *vm, uint64_t gpa);
    int (*set_bus_lock_exits)(visor_vm *vm, bool on);
    int (*set_platform_info)(visor_vm *vm, bool on);
    /* NULL: the core computes them with MSR 0x10 and the host's counter. */
    int (*get_tsc_offset)(uint64_t *out, visor_vcpu *vcpu);
    int (*set_tsc_offset)(visor_vcpu *vcpu, uint64_t offset);
    int (*get_tsc_hz)(uint64_t *out, visor_vcpu *vcpu);
};

/* AArch64 guests. Required for backends that list VISOR_ARCH_AARCH64. */
struct visor__aarch64_ops {
    /*
     * REQUIRED. VM lock. Before the first vCPU, once. config is checked, but for the host: replaces
     * every VISOR_AUTO by ON or OFF and every 0 that stands for the host's choice by the choice;
     * addresses are there already. EUNSUPPORTED, with the alternatives in the hint, for what the
     * host lacks. With VISOR_IRQCHIP_KERNEL creates the GIC, which seal() completes.
     */
    int (*configure)(visor_vm *vm, visor_aarch64_config *config);
    /* VM lock; once. boot is checked: entry and tree are in guest memory, the tree's area
     * is whole pages of one region. NULL: nothing to be told, which is a success. */
    int (*set_boot)(visor_vm *vm, const visor_aarch64_boot *boot);
    /* One register, as the public functions with these names. */
    int (*get_reg)(uint64_t *out, visor_vcpu *vcpu, uint32_t reg);
    int (*set_reg)(visor_vcpu *vcpu, uint32_t reg, uint64_t value);
    int (*get_vector)(uint64_t out[2], visor_vcpu *vcpu, unsigned n);
    int (*set_vector)(visor_vcpu *vcpu, unsigned n, const uint64_t value[2]);
    /* Any thread; vcpu_id and intid are checked. */
    int (*set_private_irq)(visor_vm *vm, uint32_t vcpu_id, uint32_t intid, bool level);
    int (*set_irq_input)(visor_vm *vm, uint32_t vcpu_id, bool fiq, bool level);
    int (*outputs)(uint32_t *out, visor_vcpu *vcpu);
    /* VM lock for these. */
    int (*set_counter_offset)(visor_vm *vm, uint64_t ticks);
    int (*get_tags)(uint8_t *tags, visor_vm *vm, uint64_t gpa, uint64_t length);
    int (*set_tags)(visor_vm *vm, uint64_t gpa, uint64_t length, const uint8_t *tags);
};

/* RISC-V guests. Required for backends that list VISOR_ARCH_RISCV64. */
struct visor__riscv_ops {
    /* REQUIRED. As aarch64_ops.configure; with VISOR_IRQCHIP_KERNEL creates the AIA. */
    int (*configure)(visor_vm *vm, visor_riscv_config *config);
    int (*get_reg)(uint64_t *out, visor_vcpu *vcpu, uint32_t reg);
    int (*set_reg)(visor_vcpu *vcpu, uint32_t reg, uint64_t value);
    int (*set_irq_input)(visor_vm *vm, uint32_t vcpu_id, bool level);
};

struct visor_backend {
    const char *name;    /* as in specification strings */
    const char *summary; /* a line for people */
    bool is_auto;        /* "auto" may take it */
    uint32_t arches;     /* bit 1 << VISOR_ARCH_...: guests it can run on this host */
    size_t hv_size, vm_size, vcpu_size;  /* private bytes */
    const struct visor__option *options; /* ended by a NULL name; NULL: none */
    /*
     * NULL, or the reason why the host pages behind guest memory must stay what they are: the
     * hypervisor holds on to them. Then slots cannot be discarded, paged out or backed anew, nor
     * the balloon inflated, unless inflate makes the hypervisor let go.
     */
    const char *pinned;

    const struct visor__hv_ops *hv;
    const struct visor__vm_ops *vm;
    const struct visor__vcpu_ops *vcpu;
    const struct visor__irq_ops *irq;
    const struct visor__io_event_ops *io_event;
    const struct visor__coalesce_ops *coalesce;
    const struct visor__dirty_ops *dirty;
    const struct visor__debug_ops *debug;
    const struct visor__clock_ops *clock;
    const struct visor__x86_ops *x86;
    const struct visor__aarch64_ops *aarch64;
    const struct visor__riscv_ops *riscv;
};

/* All backends of this build, in the order of "auto"; ended by NULL (backends.c). */
extern const struct visor_backend *const visor__backends[];

/* The value of an option of the specification string, NULL if it was not given. */
const char *visor__option_get(const visor_hypervisor *hv, const char *name);
/* The same as a number (decimal or 0x); fallback if absent; EINVAL if it is no number <= max. */
int visor__option_number(uint64_t *out, const visor_hypervisor *hv, const char *name,
                         uint64_t fallback, uint64_t max);

/* The routes of a gsi, as many as there is room for; returns how many. For hypervisors that let
 * lines reach their chip directly. Takes the VM lock. */
size_t visor__irq_routes_of(visor_route *out, size_t capacity, visor_vm *vm, uint32_t gsi);

/* Marks a page of a logging slot dirty in the core's own bitmap. VM lock. */
void visor__dirty_mark(visor_vm *vm, uint32_t slot, uint64_t page);

#endif
