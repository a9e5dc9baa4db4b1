/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest memory by linear address.
 *
 * The fast path is a look into the TLB and one access of the host. Everything else (a page walk, a
 * device, a page boundary inside the access, a page with translated code) is in mmu.c.
 *
 * Memory order: x86 guests expect total store order. On x86 hosts plain accesses have it; elsewhere
 * loads acquire and stores release. An aligned access is one access of the host.
 */
#ifndef VISOR_SOFT_MEMORY_H
#define VISOR_SOFT_MEMORY_H

#include <string.h>

#include "soft/cpu.h"

/* NOLINTBEGIN(bugprone-macro-parentheses): arguments of these macros are sizes and types. */

#if defined(__x86_64__) || defined(__i386__)
#define SOFT_HOST_TSO 1
#else
#define SOFT_HOST_TSO 0
#endif

/* With the present rights. They return or raise; size is 1 to 8. */
uint64_t soft_read_slow(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                        unsigned size);
void soft_write_slow(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                     uint64_t value, unsigned size);
void *soft_modify_slow(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                       unsigned size);
void soft_modify_done_slow(struct soft_cpu *cpu, const struct soft_uop *op);

/* With rights of the caller's choice, and any length up to 64: descriptor tables, stacks of inner
 * rings, vectors. */
void soft_read_as(void *out, struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                  unsigned length, enum soft_rights rights);
void soft_write_as(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                   const void *data, unsigned length, enum soft_rights rights);
/* The rights of the code that runs. */
enum soft_rights soft_rights(const struct soft_cpu *cpu);
/* Raises what writing there would raise, and writes nothing. */
void soft_check_write(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                      unsigned length, enum soft_rights rights);
/* Raises #AC where alignment is checked, which soft_read_as() and soft_write_as() do not. */
void soft_check_alignment(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                          unsigned size);

static inline const struct soft_tlb_entry *soft_tlb_entry(const struct soft_cpu *cpu,
                                                          uint64_t address)
{
    return &cpu->tlb[(address >> 12) & (SOFT_TLB_SIZE - 1)];
}

/* The host's pointer for an access that lies in one page of plain memory, or NULL. The last byte
 * decides: an access that crosses has another page there than the entry is for. */
static inline void *soft_read_pointer(const struct soft_cpu *cpu, uint64_t address, unsigned size)
{
    const struct soft_tlb_entry *entry = soft_tlb_entry(cpu, address);

    return SOFT_LIKELY(entry->read == ((address + size - 1) & SOFT_PAGE_MASK))
               ? (void *)(uintptr_t)(address + entry->host)
               : NULL;
}

static inline void *soft_write_pointer(const struct soft_cpu *cpu, uint64_t address, unsigned size)
{
    const struct soft_tlb_entry *entry = soft_tlb_entry(cpu, address);

    return SOFT_LIKELY(entry->write == ((address + size - 1) & SOFT_PAGE_MASK))
               ? (void *)(uintptr_t)(address + entry->host)
               : NULL;
}

#define SOFT_DEFINE_ACCESS(bits)                                                                  \
    static inline uint##bits##_t soft_load##bits(const void *pointer)                             \
    {                                                                                             \
        uint##bits##_t value;                                                                     \
        if (!SOFT_HOST_TSO && (uintptr_t)pointer % (bits / 8) == 0)                               \
            return __atomic_load_n((const uint##bits##_t *)pointer, __ATOMIC_ACQUIRE);            \
        memcpy(&value, pointer, sizeof(value));                                                   \
        atomic_thread_fence(SOFT_HOST_TSO ? memory_order_relaxed : memory_order_acquire);         \
        return value;                                                                             \
    }                                                                                             \
    static inline void soft_store##bits(void *pointer, uint##bits##_t value)                      \
    {                                                                                             \
        if (!SOFT_HOST_TSO && (uintptr_t)pointer % (bits / 8) == 0) {                             \
            __atomic_store_n((uint##bits##_t *)pointer, value, __ATOMIC_RELEASE);                 \
            return;                                                                               \
        }                                                                                         \
        atomic_thread_fence(SOFT_HOST_TSO ? memory_order_relaxed : memory_order_release);         \
        memcpy(pointer, &value, sizeof(value));                                                   \
    }                                                                                             \
    static inline uint##bits##_t soft_read##bits(struct soft_cpu *cpu, const struct soft_uop *op, \
                                                 uint64_t address)                                \
    {                                                                                             \
        const void *pointer = soft_read_pointer(cpu, address, bits / 8);                          \
        return SOFT_LIKELY(pointer != NULL)                                                       \
                   ? soft_load##bits(pointer)                                                     \
                   : (uint##bits##_t)soft_read_slow(cpu, op, address, bits / 8);                  \
    }                                                                                             \
    static inline void soft_write##bits(struct soft_cpu *cpu, const struct soft_uop *op,          \
                                        uint64_t address, uint##bits##_t value)                   \
    {                                                                                             \
        void *pointer = soft_write_pointer(cpu, address, bits / 8);                               \
        if (SOFT_LIKELY(pointer != NULL))                                                         \
            soft_store##bits(pointer, value);                                                     \
        else                                                                                      \
            soft_write_slow(cpu, op, address, value, bits / 8);                                   \
    }

SOFT_DEFINE_ACCESS(8)
SOFT_DEFINE_ACCESS(16)
SOFT_DEFINE_ACCESS(32)
SOFT_DEFINE_ACCESS(64)
#undef SOFT_DEFINE_ACCESS

/*
 * Read, modify, write. soft_modify() raises whatever the write could raise, and returns where the
 * operand is: in guest memory, or in a buffer that holds a copy. After the new value is there,
 * soft_modify_done().
 */
static inline void *soft_modify(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                                unsigned size)
{
    void *pointer = soft_write_pointer(cpu, address, size);

    return SOFT_LIKELY(pointer != NULL) ? pointer : soft_modify_slow(cpu, op, address, size);
}

static inline void soft_modify_done(struct soft_cpu *cpu, const struct soft_uop *op,
                                    const void *pointer)
{
    if (SOFT_UNLIKELY(pointer == cpu->bounce))
        soft_modify_done_slow(cpu, op);
}

/* The same for an instruction that has worked out its flags already: the store may leave the run
 * loop, and then they have to be as they were before it. */
static inline void soft_modify_done_flags(struct soft_cpu *cpu, const struct soft_uop *op,
                                          const void *pointer, uint64_t result_before,
                                          uint64_t aux_before)
{
    uint64_t result = cpu->result, aux = cpu->aux;

    if (SOFT_LIKELY(pointer != cpu->bounce))
        return;
    cpu->result = result_before;
    cpu->aux = aux_before;
    soft_modify_done_slow(cpu, op);
    cpu->result = result;
    cpu->aux = aux;
}

bool soft_lock_slow(struct soft_cpu *cpu, const struct soft_uop *op, const void *pointer,
                    unsigned size);

/*
 * With LOCK, after soft_modify(): whether the operand takes more than one access of the host's,
 * because it crosses a page, is no plain memory, or is not aligned on a host that wants it so. Then
 * nothing else may happen meanwhile: this leaves unless all other vCPUs stand still, and the
 * instruction begins anew when they do. What devices perform is atomic for nobody.
 *
 * It also leaves for an access across two cache lines that shall become a VISOR_EXIT_BUS_LOCK,
 * unless the instruction is being executed by itself.
 */
static inline bool soft_lock_splits(struct soft_cpu *cpu, const struct soft_uop *op,
                                    const void *pointer, unsigned size)
{
    if (SOFT_LIKELY(pointer != cpu->bounce && !cpu->bus_lock_exits &&
                    (SOFT_HOST_TSO || (uintptr_t)pointer % size == 0)))
        return false;
    return soft_lock_slow(cpu, op, pointer, size);
}

/* Another handler for the same instruction, which begins anew. */
#define SOFT_AGAIN(handler)      \
    do {                         \
        cpu->log.cursor = 0;     \
        return handler(cpu, op); \
    } while (0)

/* ---- mmu.c: the rest of the interface ---- */

/* Where instructions at this address come from: host pointer (within its page) and the page's GPA.
 * Raises #PF. Returns NULL if that is no memory. */
const uint8_t *soft_fetch(uint64_t *gpa, struct soft_cpu *cpu, uint64_t address);
void soft_tlb_flush(struct soft_cpu *cpu, bool globals);
void soft_tlb_flush_page(struct soft_cpu *cpu, uint64_t address);
/* After a page has got its first translated code: stores to it must be seen. */
void soft_tlb_protect(struct soft_cpu *cpu, uint64_t gpa);

/* One access of at most 8 bytes to what is no memory: a device of the machine, or it leaves to have
 * it performed. */
void soft_access(struct soft_cpu *cpu, const struct soft_uop *op, struct soft_access *access);
/* Port accesses: they leave to the caller unless the machine has the device. Data in `value`. */
uint64_t soft_port_read(struct soft_cpu *cpu, const struct soft_uop *op, uint16_t port,
                        unsigned size);
void soft_port_write(struct soft_cpu *cpu, const struct soft_uop *op, uint16_t port, uint64_t value,
                     unsigned size);
/* What a repeated instruction has done so far is done for good: after registers are updated. */
void soft_access_commit(struct soft_cpu *cpu);

/* NOLINTEND(bugprone-macro-parentheses) */

#endif
