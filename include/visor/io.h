/* SPDX-License-Identifier: BSD-3-Clause */
/* Port and memory-mapped I/O: the access as the VMM sees it, handlers, and I/O events. */
#ifndef VISOR_IO_H
#define VISOR_IO_H

#include <visor/base.h>

VISOR_BEGIN_DECLS

typedef enum visor_space {
    VISOR_MMIO = 0,
    VISOR_PIO = 1, /* x86 ports */
} visor_space;

/*
 * One access of the guest, decoded. Repeated string I/O and accesses that cross pages or are wider
 * than 8 bytes arrive as several, in the order in which the processor does them. An access is at
 * most 4 bytes for PIO and 8 for MMIO.
 */
typedef struct visor_io {
    uint64_t address; /* GPA or port */
    uint32_t length;  /* bytes, 1 to 8 */
    bool is_write;
    visor_space space;
    uint8_t data[8];  /* little-endian; a read arrives as zeros: fill in `length` bytes */
} visor_io;

/* data as a number, the bytes past length as 0; and the other way round (truncated to length). */
static inline uint64_t visor_io_value(const visor_io *io)
{
    uint64_t value = 0;

    for (uint32_t i = 0; i < io->length && i < 8; i++)
        value |= (uint64_t)io->data[i] << (8 * i);
    return value;
}

static inline void visor_io_set_value(visor_io *io, uint64_t value)
{
    for (uint32_t i = 0; i < 8; i++)
        io->data[i] = (uint8_t)(i < io->length ? value >> (8 * i) : 0);
}

/* What a handler did with an access. */
enum visor_io_result {
    VISOR_IO_DONE = 0,    /* served; the guest goes on without leaving visor_vcpu_run() */
    VISOR_IO_DECLINE = 1, /* not mine: give it to the next handler, or return it as an exit */
};

/*
 * A handler of an address range. Called inside visor_vcpu_run(), on the thread of the vCPU, with no
 * lock of the library held; several vCPUs may be in it at a time. It is asked about accesses that
 * lie wholly inside its range. A coalesced write is delivered later and with vcpu == NULL, perhaps
 * on another thread, one at a time: the exits of other vCPUs wait for that, so a handler of a
 * coalesced range must not wait for another vCPU. Declining a coalesced write drops it.
 */
typedef int (*visor_io_handler)(void *context, visor_vcpu *vcpu, visor_io *io);

typedef struct visor_io_range {
    uint32_t size;
    visor_space space;
    uint64_t address;
    uint64_t length;          /* bytes */
    visor_io_handler handler;
    void *context;
    bool coalesce;            /* writes may be collected and delivered in order before the next
                                 exit of any vCPU or at visor_vm_flush_io() (IO_COALESCE) */
} visor_io_range;
#define VISOR_IO_RANGE_INIT {.size = sizeof(visor_io_range)}

/*
 * Registers a handler. Ranges may overlap: the one registered last is asked first. A coalesced
 * range overlaps no other (EEXIST). EINVAL: no handler, no length. EOVERFLOW: the range passes
 * 2^64, or the 65536 ports. `context` must stay valid until the range is unmapped or the VM is
 * freed.
 */
VISOR_API int visor_vm_map_io(visor_vm *vm, const visor_io_range *range);
/*
 * Removes the newest handler of exactly this range (ENOENT). When it returns, the handler is not
 * running and will not run again. Must not be called from a handler (ESTATE).
 */
VISOR_API int visor_vm_unmap_io(visor_vm *vm, visor_space space, uint64_t address,
                                uint64_t length);
/* Delivers coalesced writes now. Returns how many. Must not be called from a handler (ESTATE). */
VISOR_API int visor_vm_flush_io(visor_vm *vm);

/* A guest write that signals an event instead of exiting. */
typedef struct visor_io_event {
    visor_event event;
    visor_space space;
    uint64_t address;
    uint32_t length;  /* bytes: 1, 2, 4, 8, or 0 for any width */
    bool match;       /* only writes of `value`; needs a length */
    uint64_t value;
} visor_io_event;

/*
 * EEXIST if one is there that the same write would signal: at the same address, with the same or
 * any length, and the same or any value. A write that signals an event reaches no handler and is no
 * exit. The event is not closed.
 */
VISOR_API int visor_vm_add_io_event(visor_vm *vm, const visor_io_event *io_event);
/* Needs the same members as were added (ENOENT). */
VISOR_API int visor_vm_remove_io_event(visor_vm *vm, const visor_io_event *io_event);

VISOR_END_DECLS

#endif
