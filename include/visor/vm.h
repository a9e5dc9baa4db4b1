/* SPDX-License-Identifier: BSD-3-Clause */
/* A virtual machine: creation, capabilities, memory slots, dirty pages, balloon, clock. */
#ifndef VISOR_VM_H
#define VISOR_VM_H

#include <visor/base.h>
#include <visor/hypervisor.h>
#include <visor/memory.h>

VISOR_BEGIN_DECLS

/* Where interrupt controllers live. */
typedef enum visor_irqchip {
    VISOR_IRQCHIP_NONE = 0,   /* outside the hypervisor; vCPUs are injected one by one */
    VISOR_IRQCHIP_KERNEL = 1, /* all inside: PIC, I/O APIC, local APICs, PIT; GIC; AIA */
    VISOR_IRQCHIP_SPLIT = 2,  /* x86: local APICs inside, PIC and I/O APIC outside */
} visor_irqchip;

/* Who may see the guest's memory, and who brings its first code. */
typedef enum visor_protection {
    VISOR_UNPROTECTED = 0,
    VISOR_PROTECTED = 1,                 /* isolated; the hypervisor brings the firmware */
    VISOR_PROTECTED_CUSTOM_FIRMWARE = 2, /* isolated; the VMM brings it */
    VISOR_PROTECTED_NO_FIRMWARE = 3,     /* isolated; none */
    VISOR_UNPROTECTED_FIRMWARE = 4,      /* not isolated, but started through the firmware */
} visor_protection;

typedef enum visor_toggle {
    VISOR_OFF = 0,
    VISOR_AUTO = 1, /* on if the host can */
    VISOR_ON = 2,   /* fail if the host cannot */
} visor_toggle;

typedef struct visor_vm_config {
    uint32_t size;
    visor_arch arch;
    visor_irqchip irqchip;
    visor_protection protection;
    uint32_t split_pins;          /* pins of the outer I/O APIC of a split chip; 0: 24 */
    uint32_t dirty_ring_entries;  /* power of two: log dirty pages in per-vCPU rings; 0: bitmap */
    /* Width of guest-physical addresses, at most VISOR_CAP_GPA_BITS of the hypervisor. 0: its own
     * choice, wide enough for the memory. Only Arm's can be narrower than the host's, and not
     * everywhere (EUNSUPPORTED). */
    uint32_t gpa_bits;
    bool no_read_only;            /* answer 0 for VISOR_CAP_READ_ONLY */
    bool no_pit;                  /* kernel irqchip without the interval timer */
} visor_vm_config;
#define VISOR_VM_CONFIG_INIT {.size = sizeof(visor_vm_config)}

/*
 * Creates a VM with this memory. The regions take the slot ids 0 ... region_count-1. config may be
 * NULL: native architecture, no interrupt chip. The VM keeps references to hv and memory.
 */
VISOR_API int visor_vm_create(visor_vm **out, visor_hypervisor *hv, visor_memory *memory,
                              const visor_vm_config *config);
VISOR_API visor_vm *visor_vm_ref(visor_vm *vm);
/* The VM goes when its vCPUs are freed too. */
VISOR_API void visor_vm_free(visor_vm *vm);

VISOR_API visor_hypervisor *visor_vm_hypervisor(visor_vm *vm); /* borrowed */
VISOR_API visor_memory *visor_vm_memory(visor_vm *vm);         /* borrowed */
VISOR_API visor_arch visor_vm_arch(const visor_vm *vm);
VISOR_API visor_irqchip visor_vm_irqchip(const visor_vm *vm);

/*
 * Says that all vCPUs have been created: completes the interrupt chip and whatever else depends on
 * them. The first visor_vcpu_run() does it, and so does the first use of the interrupt chip, so
 * that only a caller who wants its errors early needs it. On x86 nothing depends on them; elsewhere
 * visor_vcpu_create() is ESTATE from then on.
 */
VISOR_API int visor_vm_seal(visor_vm *vm);

/* The value of a capability for this VM; 0 if absent. */
VISOR_API int64_t visor_vm_cap(visor_vm *vm, visor_cap cap);

/*
 * The hypervisor's own answer to a capability question in its own numbering (KVM_CHECK_EXTENSION),
 * for what this API does not name. EUNSUPPORTED where there is no such question.
 */
VISOR_API int visor_vm_native_cap(int64_t *out, visor_vm *vm, uint32_t number);

/*
 * A duplicate of the VM's native descriptor, for handing it to another process or to vhost. The
 * caller closes it. EUNSUPPORTED where a VM has none.
 */
VISOR_API int visor_vm_native_handle(visor_file *out, visor_vm *vm);

/* Creates an in-kernel VFIO device; the caller closes the descriptor. */
VISOR_API int visor_vm_create_vfio(visor_file *out, visor_vm *vm);

/* ---- memory slots ---- */

typedef struct visor_slot_config {
    uint32_t size;
    uint64_t gpa;       /* page aligned */
    bool read_only;     /* guest reads are direct, a guest write is an MMIO exit */
    bool log_dirty;     /* the slot can be passed to visor_vm_dirty_log() */
    bool noncoherent;   /* honour the guest's memory types if the host can (NONCOHERENT_DMA) */
} visor_slot_config;
#define VISOR_SLOT_CONFIG_INIT {.size = sizeof(visor_slot_config)}

/*
 * Maps a mapping into the guest, length rounded up to pages, and takes ownership of it; on failure
 * the caller keeps it. The id is the smallest free one. EOVERFLOW: the range passes 2^64 or the
 * width of guest addresses. EOVERLAP: it overlaps guest memory. EEXIST: it overlaps another slot.
 * ELIMIT: no slot is left. EACCESS: the host can only read the mapping, and read_only is not set.
 */
VISOR_API int visor_vm_add_slot(uint32_t *out, visor_vm *vm, visor_mapping *mapping,
                                const visor_slot_config *config);

/*
 * Takes a slot out of the guest. Once this returns no guest access reaches the memory: an access
 * is an MMIO exit. The very mapping that was added comes back through out, and is the caller's
 * again. ENOENT for an unknown slot and for the slots of guest memory.
 */
VISOR_API int visor_vm_remove_slot(visor_mapping **out, visor_vm *vm, uint32_t slot);

/*
 * Work on part of a slot's host memory; offset and length in bytes, offset page aligned. ENOENT:
 * unknown slot. ERANGE: outside the mapping (length 0 at its very end is allowed).
 */
/* Writes a shared file mapping back, synchronously. */
VISOR_API int visor_vm_slot_sync(visor_vm *vm, uint32_t slot, uint64_t offset, uint64_t length);
/* Advises the host to page the range out. */
VISOR_API int visor_vm_slot_page_out(visor_vm *vm, uint32_t slot, uint64_t offset,
                                     uint64_t length);
/* Frees the range and its backing store; it reads as zeros. */
VISOR_API int visor_vm_slot_discard(visor_vm *vm, uint32_t slot, uint64_t offset, uint64_t length);
/*
 * Backs part of an arena with a file, or makes it zeros again. EUNSUPPORTED if the slot is not an
 * arena. The guest sees the change at once.
 */
VISOR_API int visor_vm_slot_map_file(visor_vm *vm, uint32_t slot, uint64_t offset, uint64_t length,
                                     visor_file file, uint64_t file_offset, bool writable);
VISOR_API int visor_vm_slot_unmap(visor_vm *vm, uint32_t slot, uint64_t offset, uint64_t length);

/* ---- dirty pages ---- */

/* Bytes of a dirty bitmap for a slot of `length` bytes: one bit for each host page. */
VISOR_API size_t visor_dirty_log_size(uint64_t length);

/*
 * Which pages of the slot the guest has written since the last call; clears the log. Bit n of byte
 * m is page 8m+n. capacity >= visor_dirty_log_size(mapping length), else EINVAL; not one byte more
 * is written. ENOENT: unknown slot or guest memory. ESTATE: the slot has no log. With a dirty ring
 * the answer is the same; the ring only makes a sparse harvest cheaper.
 */
VISOR_API int visor_vm_dirty_log(void *bitmap, size_t capacity, visor_vm *vm, uint32_t slot);

/*
 * Calls page(context, slot, offset of the page in the slot in bytes) for every page written since
 * the last harvest of any kind, over all logging slots. Returns the number of pages.
 */
VISOR_API int visor_vm_dirty_harvest(visor_vm *vm,
                                     void (*page)(void *context, uint32_t slot, uint64_t offset),
                                     void *context);

/* ---- balloon ---- */

/* The guest gave up [gpa, gpa+length) of its RAM: free the host memory behind it. */
VISOR_API int visor_vm_balloon_inflate(visor_vm *vm, uint64_t gpa, uint64_t length);
/* The guest wants it back; it reads as zeros. */
VISOR_API int visor_vm_balloon_deflate(visor_vm *vm, uint64_t gpa, uint64_t length);

/* ---- clock and hypercalls ---- */

/* The paravirtual clock, ns since the VM was created. EUNSUPPORTED unless VISOR_CAP_PV_CLOCK. */
VISOR_API int visor_vm_get_clock(uint64_t *out, visor_vm *vm);
VISOR_API int visor_vm_set_clock(visor_vm *vm, uint64_t ns);

/*
 * Lets the guest's hypercalls first ... first+count-1 (in the numbering of the architecture's own
 * hypercall ABI) leave as VISOR_EXIT_HYPERCALL. Before any vCPU runs.
 */
VISOR_API int visor_vm_enable_hypercalls(visor_vm *vm, uint32_t first, uint32_t count);

/*
 * Loads the hypervisor's firmware of a protected VM at gpa and returns its size in bytes through
 * out. Before any vCPU runs. ELIMIT: it is larger than max_size. ENOENT: there is none.
 */
VISOR_API int visor_vm_load_firmware(uint64_t *out, visor_vm *vm, uint64_t gpa, uint64_t max_size);

VISOR_END_DECLS

#endif
