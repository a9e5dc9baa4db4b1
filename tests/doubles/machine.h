/* SPDX-License-Identifier: BSD-3-Clause */
/* The hypervisor behind the doubles: guests run by KVM. Functions return negative errnos. */
#ifndef VISOR_TESTS_DOUBLE_MACHINE_H
#define VISOR_TESTS_DOUBLE_MACHINE_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/kvm.h>

#define MACHINE_VCPUS 64
#define MACHINE_SLOTS 64
/* INTIDs from 32 on are SPIs. KVM wants a multiple of 32 below 1024. */
#define MACHINE_INTIDS 992

struct machine_slot {
    uint64_t gpa, size;
    uint64_t host;  /* where the program has it */
    void *lent;     /* where it is while the program must not have it, or NULL */
    uint32_t flags; /* the driver's */
    bool is_readonly, is_used;
};

struct machine;

struct machine_ioevent {
    struct machine_ioevent *next;
    uint64_t addr, match;
    uint32_t size; /* bytes; 0: any */
    bool has_match;
    int fd;
    unsigned id; /* what the driver tells it by */
};

struct machine_irqfd {
    struct machine_irqfd *next;
    int fd;
    unsigned id;     /* of the eventfd */
    uint32_t number; /* the driver's name of the interrupt */
    uint32_t flags;  /* the driver's */
};

/* What the driver does when the eventfd of an irqfd is signalled; on the machine's own thread. */
typedef void machine_signal(struct machine *machine, const struct machine_irqfd *irqfd);

struct machine_vcpu {
    struct machine *machine;
    unsigned id;
    int kvm;
    struct kvm_run *run;
    /* Of the thread that runs it. */
    pid_t thread; /* 0: none; under the machine's lock */
    uint64_t mask;
    bool has_mask;
};

struct machine {
    int kvm;
    pthread_mutex_t lock;
    struct machine_slot slots[MACHINE_SLOTS];
    struct machine_vcpu *vcpus[MACHINE_VCPUS];
    unsigned vcpu_number;
    int gic;                     /* -1: none */
    bool is_ready;               /* the interrupt controller knows its vCPUs */
    bool levels[MACHINE_INTIDS]; /* of SPIs, from before it did */
    bool is_over;                /* no vCPU enters any more */
    struct machine_ioevent *ioevents;
    struct machine_irqfd *irqfds;
    machine_signal *signal;
    bool keeps_count; /* signals do not reset the eventfd's count */
    int poll;         /* of irqfds; -1: no thread yet */
    int stop;
    pthread_t thread;
};

/* address_bits 0: as many as there are, at most 48. */
int machine_init(struct machine *machine, unsigned address_bits, machine_signal *signal);
/* Nobody else may use it any more. Memory that was lent comes back. */
void machine_destroy(struct machine *machine);

/* The size of the whole mapping of the program that holds address; 0: there is none. */
uint64_t mapping_size(uint64_t address);
int machine_set_slot(struct machine *machine, unsigned slot, uint64_t gpa, uint64_t size,
                     uint64_t host, bool is_readonly);
/* When the VM of KVM is gone. */
void machine_remove_slot(struct machine *machine, unsigned slot);
/* Takes the memory of a slot away from the program: what it holds moves out of its reach, and a
 * touch is a fault. */
int machine_lend(struct machine *machine, unsigned slot);
/* Bytes of guest memory, wherever they are; -EFAULT if they are not all in one slot. */
int machine_read(struct machine *machine, uint64_t gpa, void *out, uint64_t size);
int machine_write(struct machine *machine, uint64_t gpa, const void *data, uint64_t size);
const struct machine_slot *machine_slot_of(const struct machine *machine, uint64_t gpa,
                                           uint64_t size);

/* A GICv3. Either part alone, in any order. */
int machine_set_dist(struct machine *machine, uint64_t gpa);
int machine_set_redist(struct machine *machine, uint64_t gpa, uint64_t size);
/* intid: of an SPI. Before the machine runs the level is kept until then. */
int machine_set_irq(struct machine *machine, unsigned intid, bool level);

/* 0, and *id is that of the eventfd that fd is; -EBADF, -EINVAL if it is none. */
int eventfd_identity(int fd, unsigned *id);
/* Both take a descriptor of their own. */
int machine_add_ioevent(struct machine *machine, const struct machine_ioevent *model);
int machine_add_irqfd(struct machine *machine, const struct machine_irqfd *model);
/* The first that is like model; is_like decides. Returns false if there is none. */
bool machine_remove_ioevent(struct machine *machine, const struct machine_ioevent *model,
                            bool (*is_like)(const struct machine_ioevent *one,
                                            const struct machine_ioevent *model));
bool machine_remove_irqfd(struct machine *machine, const struct machine_irqfd *model,
                          bool (*is_like)(const struct machine_irqfd *one,
                                          const struct machine_irqfd *model));

/* vCPU 0 is on, the others wait for PSCI's CPU_ON. */
int machine_add_vcpu(struct machine *machine, unsigned id, struct machine_vcpu **out);
int vcpu_set_reg(struct machine_vcpu *vcpu, uint64_t id, uint64_t value);
/* A core register, by its offset in struct kvm_regs. */
#define VCPU_CORE_REG(member) \
    (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(member))
/*
 * Runs the guest until an exit that is not for the machine itself: 0, and vcpu->run tells. Writes
 * that an ioevent takes are for the machine.
 * -DOUBLE_RESTART: a signal of the program's waits. -ESHUTDOWN: the machine is over.
 */
int vcpu_enter(struct machine_vcpu *vcpu);
/* Ends an access that the guest has left with, without running the guest: PC is behind it then. */
void vcpu_settle(struct machine_vcpu *vcpu);
/* firmware.S: what the hypervisor loads as the firmware of a protected VM. */
extern const uint8_t double_firmware[];
extern const uint32_t double_firmware_size; /* bytes */
/* From now on no vCPU enters, and those that are in come out. */
void machine_end(struct machine *machine);

/* Between the parts of the machine. */
int machine_ready(struct machine *machine);
void machine_stop_irqfds(struct machine *machine);
/* Has an ioevent taken the guest's write? */
bool machine_signal_ioevent(struct machine *machine, uint64_t gpa, const uint8_t *data,
                            uint32_t size);
void vcpu_destroy(struct machine_vcpu *vcpu);

#endif
