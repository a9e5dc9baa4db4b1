/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The smallest complete backend: a processor that executes scripts (script.h) instead of machine
 * code, and keeps all state that it is given. It is the template of a port (docs/porting.md), and
 * it proves the core: any of its operations can be told to fail,
 *
 *     null[fail=vm.map,error=ENOMEM,after=1]
 *
 * Time stands still in it, so that what is saved twice is the same twice.
 */
#ifndef VISOR_NULL_NULL_H
#define VISOR_NULL_NULL_H

#include "core/backend.h"
#include "irqchip/irqchip.h"

/* Every operation that can fail, as X(table, member). The fault injector knows it by that name. */
#define NULL_OPS(X)             \
    X(hv, open)                 \
    X(hv, x86_cpuid)            \
    X(hv, x86_msr_list)         \
    X(vm, create)               \
    X(vm, map)                  \
    X(vm, unmap)                \
    X(vm, native_cap)           \
    X(vm, native_handle)        \
    X(vm, create_vfio)          \
    X(vm, enable_hypercalls)    \
    X(vm, load_firmware)        \
    X(vm, inflate)              \
    X(vm, deflate)              \
    X(vcpu, create)             \
    X(vcpu, run)                \
    X(vcpu, settle)             \
    X(vcpu, get_state)          \
    X(vcpu, set_state)          \
    X(vcpu, paused)             \
    X(vcpu, native_enable)      \
    X(irq, set_irq)             \
    X(irq, add_event)           \
    X(irq, remove_event)        \
    X(irq, set_routes)          \
    X(irq, send_msi)            \
    X(io_event, add)            \
    X(io_event, remove)         \
    X(coalesce, add)            \
    X(coalesce, remove)         \
    X(coalesce, take)           \
    X(dirty, log)               \
    X(debug, set)               \
    X(clock, get)               \
    X(clock, set)               \
    X(x86, ready_for_interrupt) \
    X(x86, interrupt)           \
    X(x86, request_irq_window)  \
    X(x86, nmi)                 \
    X(x86, get_msrs)            \
    X(x86, set_msrs)            \
    X(x86, get_chip)            \
    X(x86, set_chip)            \
    X(x86, set_msr_exits)       \
    X(x86, set_identity_map)    \
    X(x86, set_tss_area)        \
    X(x86, set_bus_lock_exits)  \
    X(x86, set_platform_info)   \
    X(x86, get_tsc_offset)      \
    X(x86, set_tsc_offset)      \
    X(x86, get_tsc_hz)

enum null_op {
#define NULL_OP_ENUM(table, member) NULL_OP_##table##_##member,
    NULL_OPS(NULL_OP_ENUM)
#undef NULL_OP_ENUM
        NULL_OP_COUNT
};

struct null_hv {
    enum null_op fail; /* NULL_OP_COUNT: none */
    int code;          /* what it returns then */
    atomic_llong left; /* calls of it that still succeed */
};

/* "vm.map" */
const char *null_op_name(enum null_op op);
/* The beginning of every operation: 0, or the error that it was told to return. */
int null_fault(const visor_hypervisor *hv, enum null_op op);
#define NULL_FAULT(hv, table, member) null_fault(hv, NULL_OP_##table##_##member)

struct null_slot {
    struct null_slot *next;
    struct visor__slot_map map;
    uint64_t *dirty; /* NULL: no log */
};

struct null_zone {
    struct null_zone *next;
    visor_space space;
    uint64_t address, length;
};

struct null_io_event {
    struct null_io_event *next;
    visor_io_event io;
};

#define NULL_RING_SIZE 16
#define NULL_VECTORS   16

struct null_vm {
    struct visor__mutex lock; /* between what the guests do and the operations of the VM */
    struct null_slot *slots;
    struct null_zone *zones;
    struct null_io_event *events;
    visor_io ring[NULL_RING_SIZE]; /* collected writes */
    unsigned ring_first, ring_count;
    uint64_t clock_ns;
    atomic_ullong now_ns; /* the time of the interrupt chips; tests move it */
};

struct null_msr {
    uint32_t index;
    bool read_only;
    uint64_t value; /* after reset */
};
#define NULL_MSRS 8
extern const struct null_msr null_msrs[NULL_MSRS];

#define NULL_XSAVE_SIZE  576u /* the legacy region and the header (SDM vol. 1, 13.4) */
#define NULL_NESTED_SIZE 4096u

struct null_access {
    bool pending;
    int reason;
    unsigned parts_left; /* after this one */
};

struct null_vcpu {
    atomic_bool leave; /* set by kick: "leave the guest now" */
    struct null_access access;
    struct {
        void *value;
        size_t length;
    } state[VISOR__STATE_COUNT];
    uint64_t msrs[NULL_MSRS];
    bool irq_window;
    bool single_step;
    uint64_t tsc_offset;
    uint8_t vectors[NULL_VECTORS]; /* the interrupts taken last, the n-th at n % NULL_VECTORS */
    unsigned vector_count;
};

static inline struct null_vm *null_vm_of(visor_vm *vm)
{
    return vm->priv;
}

static inline struct null_vcpu *null_vcpu_of(visor_vcpu *vcpu)
{
    return vcpu->priv;
}

/* What became of a guest's access: served inside, or an exit. */
enum null_result { NULL_SERVED, NULL_EXITS };
/* Reads and writes of the guest. io->data is filled for a read that is served. */
enum null_result null_vm_access(visor_vm *vm, visor_io *io);
/* Copies out of guest memory, as the processor fetches. Returns whether it is all there. */
bool null_vm_fetch(void *out, visor_vm *vm, uint64_t gpa, size_t length);

/* ---- the tables ---- */
extern const struct visor__vm_ops null_vm_ops;
extern const struct visor__irq_ops null_irq_ops;
extern const struct visor__io_event_ops null_io_event_ops;
extern const struct visor__coalesce_ops null_coalesce_ops;
extern const struct visor__dirty_ops null_dirty_ops;
extern const struct visor__clock_ops null_clock_ops;
extern const struct visor__vcpu_ops null_vcpu_ops;
extern const struct visor__debug_ops null_debug_ops;
extern const struct visor__x86_ops null_x86_ops;

/* State, in null_state.c: vcpu ops, and what create and destroy need. */
int null_state_create(visor_vcpu *vcpu);
void null_state_destroy(visor_vcpu *vcpu);
int null_get_state(void *buf, size_t capacity, visor_vcpu *vcpu, enum visor__state piece);
int null_set_state(visor_vcpu *vcpu, enum visor__state piece, const void *buf, size_t length);

/* Interrupts, in null_chip.c. All do nothing for a VM without chips. */
int null_chip_create(visor_vm *vm);
/* NMI, SMI, INIT and SIPI become the vCPU's own state. */
void null_chip_take_events(visor_vcpu *vcpu);
/* Serves what is pending, and sleeps while the vCPU is halted or waits to be started. Returns an
 * exit, or NONE: go on, or leave if told to. */
int null_chip_serve(visor_vcpu *vcpu);
/* HLT: whether the vCPU waits inside. */
bool null_chip_halt(visor_vcpu *vcpu);
int null_get_chip(void *buf, size_t capacity, visor_vm *vm, enum visor__vm_state piece);
int null_set_chip(visor_vm *vm, enum visor__vm_state piece, const void *buf, size_t length);

#endif
