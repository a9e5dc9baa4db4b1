/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The backend for Gunyah, the hypervisor of Qualcomm's phones, from inside.
 *
 *   gunyah.c        opening, capabilities
 *   gunyah_vm.c     creating a VM, its memory
 *   gunyah_boot.c   where the guest starts, protection, starting the VM
 *   gunyah_tree.c   what the resource manager wants to find in the device tree, without a driver
 *   gunyah_event.c  functions of a VM: doorbells and I/O events
 *   gunyah_vcpu.c   creating, running, settling and kicking a vCPU, its exits
 *
 * A VM of Gunyah is built and then started once: memory is lent or shared in parcels, functions are
 * added, the device tree is read by the resource manager, which makes interrupt controller and
 * doorbells from it. visor_aarch64_set_boot() says where it starts, the first run starts it.
 * Registers cannot be read, and those of vCPU 0 can be set before the start only.
 *
 * "The driver" is drivers/virt/gunyah of Android's common kernels android14-6.1 to android16-6.12.
 */
#ifndef VISOR_GUNYAH_GUNYAH_H
#define VISOR_GUNYAH_GUNYAH_H

#include "gunyah/gunyah_tree.h"
#include "linux/kick.h"
#include "linux_gunyah.h"

/* What its resource manager is known to give a VM; the driver has no limit of its own. */
#define GUNYAH_MAX_VCPUS 8u

struct gunyah_hv {
    int fd;
    int signal;
    bool is_trusted; /* VMs are trusted VMs of Qualcomm, with these */
    uint16_t vm_id;
    uint32_t pas_id;
};

enum gunyah_phase {
    GUNYAH_BUILDING,
    GUNYAH_STARTED,
    GUNYAH_FAILED, /* a start that has failed cannot be repeated */
};

struct gunyah_vm {
    int fd;
    atomic_int phase;                  /* enum gunyah_phase; changes under the VM lock */
    visor_aarch64_boot boot;           /* size 0: not told yet */
    visor_aarch64_regs regs;           /* of vCPU 0 at the start */
    bool has_regs;                     /* they were set */
    bool has_tree;                     /* what the resource manager wants is in the tree */
    bool has_firmware;                 /* the driver knows where it goes */
    uint32_t vcpu_count;               /* created so far */
    struct gunyah_doorbell *doorbells; /* by ascending label. VM lock */
    size_t doorbell_count;
};

struct gunyah_vcpu {
    int fd;
    struct gunyah_vcpu_run *run;
    size_t run_size;
    bool due;       /* the answer to an MMIO read is still in vcpu->exit */
    bool unsettled; /* the driver completes the last exit in the next run */
    bool is_over;   /* the VM's end is in vcpu->exit: the driver tells it once */
    struct visor__linux_kick kick;
    sigset_t mask; /* while the guest runs */
};

static inline struct gunyah_hv *gunyah_hv_of(const visor_hypervisor *hv)
{
    return hv->priv;
}

static inline struct gunyah_vm *gunyah_vm_of(const visor_vm *vm)
{
    return vm->priv;
}

static inline struct gunyah_vcpu *gunyah_vcpu_of(const visor_vcpu *vcpu)
{
    return vcpu->priv;
}

/* ioctl() with a pointer. Returns what it returned, or -errno. */
static inline int gunyah_ioctl(int fd, unsigned long request, const void *argument)
{
    return visor__linux_ioctl(fd, request, (uintptr_t)argument);
}
#define gunyah_error(operation, err, ...) visor__linux_error("gunyah", operation, err, __VA_ARGS__)

/* The capabilities of all VMs. */
int64_t gunyah_cap(visor_hypervisor *hv, visor_cap cap);
/* Whether the host loses its access to the VM's memory. */
bool gunyah_isolates(const visor_vm *vm);

/* ---- gunyah_event.c: functions of a VM ---- */

/* GUNYAH_VM_ADD_FUNCTION, or REMOVE for an argument of the very same bytes. Returns what ioctl()
 * returned, or -errno. */
int gunyah_add_function(visor_vm *vm, uint32_t type, const void *argument, uint32_t size);
int gunyah_remove_function(visor_vm *vm, uint32_t type, const void *argument, uint32_t size);
extern const struct visor__irq_ops gunyah_irq_ops;
extern const struct visor__io_event_ops gunyah_io_event_ops;

/* ---- gunyah_boot.c ---- */

int gunyah_load_firmware(uint64_t *out, visor_vm *vm, uint64_t gpa, uint64_t max_size);
int gunyah_set_boot(visor_vm *vm, const visor_aarch64_boot *boot);
/* Before each run: starts the VM unless it is started. */
int gunyah_start(visor_vm *vm);
/* Registers that vCPU 0 starts with. */
int gunyah_set_state(visor_vcpu *vcpu, enum visor__state piece, const void *buf, size_t length);
int gunyah_get_reg(uint64_t *out, visor_vcpu *vcpu, uint32_t reg);
int gunyah_set_reg(visor_vcpu *vcpu, uint32_t reg, uint64_t value);

extern const struct visor__vm_ops gunyah_vm_ops;
extern const struct visor__vcpu_ops gunyah_vcpu_ops;

#endif
