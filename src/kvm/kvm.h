/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The KVM backend from inside. Files without an architecture in their name know of none: what
 * differs is behind kvm_arch_*(), implemented in kvm_<arch>.c, which the build selects.
 *
 *   kvm.c           opening, capabilities of the host
 *   kvm_error.c     ioctl() with errors that name what failed
 *   kvm_vm.c        creating and destroying a VM, its capabilities
 *   kvm_memory.c    memory slots
 *   kvm_dirty.c     dirty bitmap and dirty rings
 *   kvm_event.c     I/O events, interrupt lines, events, routes and messages
 *   kvm_coalesce.c  collected writes
 *   kvm_vcpu.c      creating, running, settling and kicking a vCPU
 *   kvm_reg_list.c  which registers a vCPU has (Arm and RISC-V)
 *
 * References "api.rst N.M" are to the kernel's Documentation/virt/kvm/api.rst.
 */
#ifndef VISOR_KVM_KVM_H
#define VISOR_KVM_KVM_H

#include <linux/kvm.h>
#include <stdatomic.h>

#include "core/backend.h"
#include "linux/kick.h"
#include "linux_kvm_new.h"

/* ---- private data; an architecture may put one of these first in a larger structure ---- */

struct kvm_hv {
    int fd;          /* /dev/kvm */
    size_t run_size; /* bytes of a vCPU's run area (KVM_GET_VCPU_MMAP_SIZE) */
    int signal;      /* the signal that kicks a vCPU out of the guest */
};

struct kvm_vm {
    int fd;
    uint32_t max_slots;
    bool has_region2;                          /* KVM_SET_USER_MEMORY_REGION2 exists */
    bool has_noncoherent;                      /* a kernel that may know KVM_MEM_NON_COHERENT_DMA */
    uint64_t hypercall_mask;                   /* hypercalls that exit so far */
    uint32_t ring_entries;                     /* of each vCPU's dirty ring; 0: bitmap */
    bool ring_bitmap;                          /* a bitmap too, of pages that no vCPU wrote */
    struct kvm_coalesced_mmio_ring *coalesced; /* NULL until there is a vCPU to map it through */
};

struct kvm_vcpu {
    int fd;
    struct kvm_run *run;
    size_t run_size;
    /* Even outside ioctl(KVM_RUN), odd inside: kvm_dirty.c waits for it to change. */
    atomic_uint passages;
    struct visor__linux_kick kick;
    uint32_t due;               /* KVM_EXIT_... whose answer is still in vcpu->exit; 0: none */
    bool unsettled;             /* the kernel completes the last exit in the next KVM_RUN */
    struct kvm_dirty_gfn *ring; /* NULL without a dirty ring, and once detached. VM lock */
    uint32_t ring_next;         /* first entry not yet harvested. VM lock */
    uint32_t ring_full_at;      /* ring_next when the ring was found full last. VM lock */
};

static inline struct kvm_hv *kvm_hv_of(const visor_hypervisor *hv)
{
    return hv->priv;
}

static inline struct kvm_vm *kvm_vm_of(const visor_vm *vm)
{
    return vm->priv;
}

static inline struct kvm_vcpu *kvm_vcpu_of(const visor_vcpu *vcpu)
{
    return vcpu->priv;
}

/* ---- kvm_error.c ---- */

/*
 * ioctl() that starts again after EINTR and records an error that carries the request's name.
 * Returns what ioctl() returned, or a VISOR_E... code (see visor__linux_code()). Not for KVM_RUN.
 */
int kvm_ioctl(int fd, const char *name, unsigned long request, uintptr_t argument);
#define KVM_IOCTL(fd, request, pointer) kvm_ioctl((fd), #request, (request), (uintptr_t)(pointer))
#define KVM_IOCTL_VALUE(fd, request, number) \
    kvm_ioctl((fd), #request, (request), (uintptr_t)(number))
/* The same, but leaves errors to the caller: returns -errno and records nothing. */
#define kvm_ioctl_quiet visor__linux_ioctl
/* Records errno value err of an operation with a detail, a format; returns the code. */
#define kvm_error(operation, err, ...) visor__linux_error("kvm", operation, err, __VA_ARGS__)
/* KVM_CHECK_EXTENSION as an integer, on a system or VM descriptor; 0 if the kernel does not know.
 */
int kvm_check(int fd, unsigned long number);
/* KVM_ENABLE_CAP on a VM or vCPU descriptor; name is the capability's, for errors. */
int kvm_enable(int fd, const char *name, uint32_t number, uint32_t flags, const uint64_t args[4]);
#define KVM_ENABLE(fd, cap, arg0) kvm_enable((fd), #cap, (cap), 0, (const uint64_t[4]){(arg0)})
/*
 * An attribute of a device, VM or vCPU (api.rst 4.80, 4.81): what is its name for errors, value
 * what the attribute is documented to point at. has: whether it exists, and can be set now.
 */
bool kvm_has_attr(int fd, uint32_t group, uint64_t attr);
int kvm_get_attr(void *value, int fd, const char *what, uint32_t group, uint64_t attr);
int kvm_set_attr(int fd, const char *what, uint32_t group, uint64_t attr, const void *value);

/* ---- capabilities; vm is NULL when the host is asked, fd the VM's or the system's ---- */

int64_t kvm_cap(visor_hypervisor *hv, visor_vm *vm, visor_cap cap);
int64_t kvm_max_slots(int fd);
int64_t kvm_dirty_ring_max(int fd);  /* entries */
bool kvm_may_be_noncoherent(int fd); /* see kvm_memory.c */

/* ---- parts of the VM operations ---- */

int kvm_dirty_init(visor_vm *vm); /* before vCPUs: the dirty ring, if the VM is to have one */
void kvm_coalesce_close(visor_vm *vm);
int kvm_map(visor_vm *vm, const struct visor__slot_map *map);
int kvm_unmap(visor_vm *vm, const struct visor__slot_map *map);
/* Takes everything out of all dirty rings, and lets the kernel use the entries again. VM lock. */
int kvm_dirty_drain(visor_vm *vm);

/* ---- what the vCPU side needs of the VM side, under the VM lock ---- */

/* After the vCPU's descriptor is open and before it runs: maps its dirty ring / the ring of
 * collected writes, if there are any. */
int kvm_dirty_attach(visor_vcpu *vcpu);
int kvm_coalesce_attach(visor_vcpu *vcpu);
/* Before the descriptor is closed: takes what is left in the ring, then unmaps it. NULL-safe after
 * a failed attach. */
void kvm_dirty_detach(visor_vcpu *vcpu);
/*
 * For KVM_EXIT_DIRTY_RING_FULL, on the vCPU's thread, outside KVM_RUN. Takes the VM lock. After it
 * the vCPU can enter the guest again: the caller does so at once.
 */
int kvm_dirty_ring_full(visor_vcpu *vcpu);

/* ---- kvm_vcpu.c ---- */

/* Fills vcpu->exit for the exit in the run area; returns its VISOR_EXIT_... */
int kvm_vcpu_exit(visor_vcpu *vcpu);
/*
 * Lets the kernel end what it has left half done, with the caller's answer. To be called before
 * registers are set where that would change them: Arm's and RISC-V's KVM move the PC on only when
 * an access has been answered.
 */
int kvm_vcpu_complete(visor_vcpu *vcpu);

/* ---- kvm_reg_list.c: Arm and RISC-V ---- */

/* All numbers that the kernel has for this vCPU; the caller frees them. NULL: an error was
 * recorded. */
struct kvm_reg_list *kvm_reg_list(visor_vcpu *vcpu);

/* ---- operation tables; an architecture's file gathers them in the backend structure ---- */

/* kvm_hv_ops is the architecture's: these, and what only it offers. */
int kvm_open(visor_hypervisor *hv);
void kvm_close(visor_hypervisor *hv);
int64_t kvm_hv_cap(visor_hypervisor *hv, visor_cap cap);
#define KVM_HV_OPS_COMMON .open = kvm_open, .close = kvm_close, .cap = kvm_hv_cap
extern const struct visor__hv_ops kvm_hv_ops;

/* So are these. An architecture that keeps devices of its own in a VM closes them and then calls
 * kvm_vm_destroy(). kvm_vm.c */
int kvm_vm_create(visor_vm *vm);
void kvm_vm_destroy(visor_vm *vm);
int64_t kvm_vm_cap(visor_vm *vm, visor_cap cap);
int kvm_vm_native_cap(int64_t *out, visor_vm *vm, uint32_t number);
int kvm_vm_native_handle(visor_file *out, visor_vm *vm);
int kvm_vm_create_vfio(visor_file *out, visor_vm *vm);
int kvm_vm_load_firmware(uint64_t *out, visor_vm *vm, uint64_t gpa, uint64_t max_size);
#define KVM_VM_OPS_COMMON                                                           \
    .create = kvm_vm_create, .cap = kvm_vm_cap, .map = kvm_map, .unmap = kvm_unmap, \
    .native_cap = kvm_vm_native_cap, .native_handle = kvm_vm_native_handle,         \
    .create_vfio = kvm_vm_create_vfio, .load_firmware = kvm_vm_load_firmware,       \
    .enable_hypercalls = kvm_arch_enable_hypercalls
extern const struct visor__vm_ops kvm_vm_ops;

/* kvm_vcpu.c */
int kvm_vcpu_create(visor_vcpu *vcpu);
void kvm_vcpu_destroy(visor_vcpu *vcpu);
int kvm_vcpu_run(visor_vcpu *vcpu);
int kvm_vcpu_settle(visor_vcpu *vcpu);
void kvm_vcpu_kick(visor_vcpu *vcpu);
int kvm_vcpu_native_enable(visor_vcpu *vcpu, uint32_t number, const uint64_t args[4]);
#define KVM_VCPU_OPS_COMMON                                                            \
    .create = kvm_vcpu_create, .destroy = kvm_vcpu_destroy, .run = kvm_vcpu_run,       \
    .settle = kvm_vcpu_settle, .kick = kvm_vcpu_kick, .get_state = kvm_arch_get_state, \
    .set_state = kvm_arch_set_state, .paused = kvm_arch_paused,                        \
    .native_enable = kvm_vcpu_native_enable
extern const struct visor__vcpu_ops kvm_vcpu_ops;

/* kvm_event.c */
/* set_irq: where KVM_IRQ_LINE follows the routes, and where it names an input of the chip. */
int kvm_set_irq(visor_vm *vm, uint32_t gsi, bool level);
int kvm_set_routed_irq(visor_vm *vm, uint32_t gsi, bool level);
int kvm_add_event(visor_vm *vm, uint32_t gsi, visor_event event, visor_event resample);
int kvm_remove_event(visor_vm *vm, uint32_t gsi, visor_event event);
int kvm_set_routes(visor_vm *vm, const visor_route *routes, size_t count);
int kvm_send_msi(visor_vm *vm, const visor_msi *msi);
#define KVM_IRQ_OPS_COMMON                                                                      \
    .add_event = kvm_add_event, .remove_event = kvm_remove_event, .set_routes = kvm_set_routes, \
    .send_msi = kvm_send_msi
extern const struct visor__irq_ops kvm_irq_ops;

extern const struct visor__io_event_ops kvm_io_event_ops;
extern const struct visor__coalesce_ops kvm_coalesce_ops;
extern const struct visor__dirty_ops kvm_dirty_ops;
extern const struct visor__debug_ops kvm_debug_ops; /* of the architecture */
extern const struct visor__option kvm_options[];

/* The members of the backend structure that are the same everywhere. */
#define KVM_BACKEND_COMMON                                                                        \
    .name = "kvm", .summary = "Linux kernel virtual machines (/dev/kvm)", .is_auto = true,        \
    .hv_size = sizeof(struct kvm_hv), .options = kvm_options, .hv = &kvm_hv_ops,                  \
    .vm = &kvm_vm_ops, .vcpu = &kvm_vcpu_ops, .irq = &kvm_irq_ops, .io_event = &kvm_io_event_ops, \
    .coalesce = &kvm_coalesce_ops, .dirty = &kvm_dirty_ops, .debug = &kvm_debug_ops

/* ---- the architecture: VM side ---- */

/*
 * Whether the processor has the virtualization that KVM is made for. A paravirtual KVM, which does
 * without, offers the same capabilities but keeps not all that they promise.
 */
bool kvm_arch_has_hardware(void);
/* Width of guest-physical addresses in bits; vm is NULL when the host is asked. */
int64_t kvm_arch_gpa_bits(visor_hypervisor *hv, visor_vm *vm);
/* Whether the architecture has it not, whatever number the kernel answers. */
bool kvm_arch_lacks(visor_cap cap);
/* Capabilities whose answer depends on the architecture; vm is NULL when the host is asked. */
int64_t kvm_arch_cap(visor_hypervisor *hv, visor_vm *vm, visor_cap cap);
/* The argument of KVM_CREATE_VM for this configuration. */
int kvm_arch_vm_type(unsigned long *out, visor_vm *vm);
/* After KVM_CREATE_VM, before slots and vCPUs: features and the interrupt chip. */
int kvm_arch_vm_init(visor_vm *vm);
/* The kernel's number of a chip that the core has checked. */
uint32_t kvm_arch_route_chip(visor_chip chip);
/* The number that KVM_IRQ_LINE wants for a gsi, or for an input of the chip. */
uint32_t kvm_arch_irq_line(uint32_t gsi);
/* The number of the capability for protected VMs; 0 if the architecture has none. */
uint32_t kvm_arch_protected_cap(void);
/* Switches exits for hypercalls first ... first + count - 1 on. */
int kvm_arch_enable_hypercalls(visor_vm *vm, uint32_t first, uint32_t count);

/* ---- the architecture: vCPU side ---- */

/* After the vCPU is open. */
int kvm_arch_vcpu_init(visor_vcpu *vcpu);
/* Just before and after ioctl(KVM_RUN), which gave err: 0 or an errno value. For an error that the
 * guest caused, kvm_arch_left() puts KVM_EXIT_INTERNAL_ERROR in the run area. */
void kvm_arch_enter(visor_vcpu *vcpu);
void kvm_arch_left(visor_vcpu *vcpu, int err);
/*
 * Fills vcpu->exit for the exit in the run area and returns its VISOR_EXIT_..., after setting due
 * and unsettled where an answer is wanted; VISOR_EXIT_NONE if it is none of this architecture's;
 * KVM_EXIT_DONE if it needs nobody's answer, so that the guest can go on.
 */
#define KVM_EXIT_DONE VISOR_EXIT_COUNT
int kvm_arch_exit(visor_vcpu *vcpu);
/* Takes the answer of exit `due` over into the run area. */
void kvm_arch_answer(visor_vcpu *vcpu, uint32_t due);
/* The next exit that is already in the run area, as kvm_arch_exit(); NONE: enter the guest. */
int kvm_arch_part(visor_vcpu *vcpu);
int kvm_arch_get_state(void *buf, size_t capacity, visor_vcpu *vcpu, enum visor__state piece);
int kvm_arch_set_state(visor_vcpu *vcpu, enum visor__state piece, const void *buf, size_t length);
int kvm_arch_paused(visor_vcpu *vcpu);

#endif
