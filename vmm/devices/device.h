/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a device of the VMM gets from the machine around it, and nothing more. A device knows
 * neither the hypervisor nor the processor: it claims I/O ranges, raises interrupts, reaches guest
 * memory and tells the machine what the guest asked for, all through a vmm_host.
 *
 * Rules for all devices
 *  - xxx_create(out, host, ..., error) returns 0 or a VISOR_E... code with `error` filled in.
 *    `host` must outlive the device. xxx_free() takes NULL.
 *  - Free devices when no vCPU runs any more. Their I/O ranges stay registered with the VM (which
 *    is about to go too), so nothing may run in the VM after that.
 *  - I/O handlers are called on vCPU threads, several at a time; each device has its own lock.
 *    A device calls the host with its lock held, so the host's functions must not call back.
 *  - Nothing that the guest does is an error, prints, or ends the process.
 */
#ifndef VMM_DEVICES_DEVICE_H
#define VMM_DEVICES_DEVICE_H

#include <pthread.h>

#include <visor.h>

/* A message that says what went wrong, for the person who started the VMM. */
typedef struct vmm_error {
    char text[400];
} vmm_error;

/* Formats the message (error may be NULL) and returns code. */
int vmm_fail(vmm_error *error, int code, const char *format, ...)
    __attribute__((format(VISOR_PRINTF, 3, 4)));
/* The same for a call of libvisor that failed with `code`: appends visor_error_format(). */
int vmm_fail_visor(vmm_error *error, int code, const char *what);

/* What the guest asks of the machine. */
typedef enum vmm_request {
    VMM_REQUEST_POWEROFF = 1,
    VMM_REQUEST_RESET = 2,
    VMM_REQUEST_PANIC = 3, /* it reports that it cannot go on */
} vmm_request;

typedef struct vmm_host {
    void *context;        /* of the functions below, which may be called from any thread */
    visor_memory *memory; /* of the guest, borrowed */
    /* The VM is protected: of its memory only the bounce buffer (VISOR_MEMORY_SWIOTLB) may be
     * touched, whatever the guest says. The rest is not the host's any more. */
    bool bounce_only;

    int (*map_io)(void *context, const visor_io_range *range);
    /* Level of an interrupt line. The line belongs to one device; pci.c joins its own, and tells of
     * each device that begins to drive one. */
    int (*set_irq)(void *irq_context, uint32_t gsi, bool level);
    void *irq_context;
    int (*send_msi)(void *context, const visor_msi *msi);
    /* Guest writes that signal an event; NULL if the hypervisor cannot, then the write is an
     * ordinary access that the device serves itself. */
    int (*add_io_event)(void *context, const visor_io_event *io_event);
    int (*remove_io_event)(void *context, const visor_io_event *io_event);

    /* Called on a vCPU thread: note it, kick the vCPUs, return. */
    void (*request)(void *request_context, vmm_request request);
    /* The guest, a test, ends the machine with this exit status. In the same way. */
    void (*exit)(void *request_context, uint32_t status);
    void *request_context;
    /* A line about something that the guest or the host did wrong, without newline; may be NULL. */
    void (*log)(void *log_context, const char *line);
    void *log_context;
    /* The guest's own time at an access of this vCPU, in ns since it began; NULL: clocks show the
     * host's. */
    uint64_t (*guest_time)(visor_vcpu *vcpu);
} vmm_host;

/*
 * Fills in the functions that a VM serves directly: context, memory, I/O and interrupts. It does
 * not matter where the VM has its interrupt chip, as long as it has one. The VM is borrowed. The
 * caller sets request and log.
 */
void vmm_host_from_vm(vmm_host *out, visor_vm *vm);

void vmm_log(const vmm_host *host, const char *format, ...)
    __attribute__((format(VISOR_PRINTF, 2, 3)));

/* Starts a thread with the host's signals blocked: they are for the main thread, and SIGPIPE and
 * SIGXFSZ become errors of the write that caused them. Faults are not: see terminal.c. */
int vmm_thread_start(pthread_t *out, void *(*run)(void *argument), void *argument,
                     vmm_error *error);

/* Claims a range; error may be NULL. `what` names the device in the message. */
int vmm_map_io(const vmm_host *host, visor_space space, uint64_t address, uint64_t length,
               visor_io_handler handler, void *context, const char *what, vmm_error *error);

#endif
