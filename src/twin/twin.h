/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What Geniezone (MediaTek) and Halla (Samsung) have in common: nearly everything. Their drivers
 * are of one design, with the same structures and the same rules under other numbers, so their code
 * is here, once, with what differs in a struct twin. The rooms geniezone/ and halla/ have the
 * numbers.
 *
 *   twin.c        opening, capabilities
 *   twin_vm.c     creating a VM, memory, interrupt controller, protection, where the guest starts
 *   twin_event.c  interrupt lines and events, I/O events
 *   twin_vcpu.c   creating, running, settling and kicking a vCPU, its exits
 *   twin_reg.c    registers
 *
 * "The driver" below is drivers/virt/geniezone and drivers/virt/halla of Android's common kernels.
 * Structures have the names of <linux_gzvm.h>; halla.c asserts that Halla's are laid out like them.
 */
#ifndef VISOR_TWIN_TWIN_H
#define VISOR_TWIN_TWIN_H

#include "linux/kick.h"
#include "linux_gzvm.h"

struct twin_request {
    unsigned long number;
    const char *name; /* for errors */
};
#define TWIN_REQUEST(request) \
    {                         \
        (request), #request   \
    }

/* An exit of the driver and what it is here. */
struct twin_exit {
    uint32_t native;
    enum visor_exit_reason reason;
};

struct twin {
    const char *name;
    const char *title;        /* for people */
    const char *default_path; /* of the device node */
    struct twin_request create_vm, check_extension, enable_cap, set_dtb, create_vcpu, run, set_reg,
        set_memory, irqfd, irq_line, create_device, ioeventfd;
    uint64_t cap_gpa_size, cap_protected;
    uint32_t max_vcpus, max_slots;
    bool swiotlb_region;           /* the guest's bounce buffer is a region of its own */
    bool narrow_vms;               /* a VM's type carries the width of its addresses */
    bool protect_after_firmware;   /* naming the firmware's region does not protect yet */
    const struct twin_exit *exits; /* ended by native 0 */
    /* The argument of create_vm. */
    unsigned long (*vm_type)(const visor_vm *vm);
};

/* ---- private data ---- */

struct twin_hv {
    const struct twin *twin;
    int fd;
    int signal;
    unsigned gpa_bits;
};

struct twin_vm {
    int fd;
    bool is_protected;         /* the hypervisor has been told */
    visor_io_event *io_events; /* all of them: the driver forgets to free them. VM lock */
    size_t io_event_count;
};

struct twin_vcpu {
    int fd;
    bool due;       /* the answer to an MMIO read is still in vcpu->exit */
    bool unsettled; /* the driver completes an access in the next run */
    struct visor__linux_kick kick;
    sigset_t mask;            /* while the guest runs */
    struct gzvm_vcpu_run run; /* handed to the driver by each run */
};

static inline struct twin_hv *twin_hv_of(const visor_hypervisor *hv)
{
    return hv->priv;
}

static inline struct twin_vm *twin_vm_of(const visor_vm *vm)
{
    return vm->priv;
}

static inline struct twin_vcpu *twin_vcpu_of(const visor_vcpu *vcpu)
{
    return vcpu->priv;
}

static inline const struct twin *twin_of(const visor_vm *vm)
{
    return twin_hv_of(vm->hv)->twin;
}

/*
 * ioctl() with a pointer. Returns 0 or -errno. The driver hands some answers of the hypervisor
 * through as they are, and those are 0 or a failure: a positive one becomes -EINVAL.
 */
int twin_ioctl(int fd, const struct twin_request *request, void *argument);
/* Records errno value err of a request with a detail, a format; returns the code. */
#define twin_error(twin, request, err, ...) \
    visor__linux_error((twin)->name, (twin)->request.name, (err), __VA_ARGS__)

/* ---- for the backend structures of the two ---- */

int twin_open(visor_hypervisor *hv, const struct twin *twin);
void twin_close(visor_hypervisor *hv);
int64_t twin_hv_cap(visor_hypervisor *hv, visor_cap cap);
#define TWIN_HV_OPS_COMMON .close = twin_close, .cap = twin_hv_cap

extern const struct visor__option twin_options[];
extern const struct visor__vm_ops twin_vm_ops;
extern const struct visor__vcpu_ops twin_vcpu_ops;
extern const struct visor__irq_ops twin_irq_ops;
extern const struct visor__io_event_ops twin_io_event_ops;
extern const struct visor__aarch64_ops twin_aarch64_ops;
#define TWIN_BACKEND_COMMON                                                                       \
    .arches = 1u << VISOR_ARCH_AARCH64, .hv_size = sizeof(struct twin_hv),                        \
    .vm_size = sizeof(struct twin_vm), .vcpu_size = sizeof(struct twin_vcpu),                     \
    .options = twin_options, .vm = &twin_vm_ops, .vcpu = &twin_vcpu_ops, .irq = &twin_irq_ops,    \
    .pinned = "its driver keeps the host's pages while the VM lives: the guest would go on with " \
              "the old ones",                                                                     \
    .io_event = &twin_io_event_ops, .aarch64 = &twin_aarch64_ops

/* ---- parts of the tables ---- */

void twin_drop_io_events(visor_vm *vm);
/* Whether the driver signals an event for this write instead of an exit. */
bool twin_has_io_event(visor_vm *vm, uint64_t address, uint32_t length, const uint8_t *data);
int twin_set_state(visor_vcpu *vcpu, enum visor__state piece, const void *buf, size_t length);
int twin_get_reg(uint64_t *out, visor_vcpu *vcpu, uint32_t reg);
int twin_set_reg(visor_vcpu *vcpu, uint32_t reg, uint64_t value);
int twin_set_boot(visor_vm *vm, const visor_aarch64_boot *boot);

#endif
