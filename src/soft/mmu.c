/* SPDX-License-Identifier: BSD-3-Clause */
/* Page walks, the TLB's other half, physical memory (SDM vol. 3A, chapter 4). */
#include "soft/mmu.h"

#include "soft/block.h"
#include "soft/debug.h"
#include "soft/machine.h"
#include "soft/memory.h"
#include "soft/uop.h"

/* Entries of paging structures. */
#define PTE_P  UINT64_C(0x001)
#define PTE_W  UINT64_C(0x002)
#define PTE_U  UINT64_C(0x004)
#define PTE_A  UINT64_C(0x020)
#define PTE_D  UINT64_C(0x040)
#define PTE_PS UINT64_C(0x080)
#define PTE_G  UINT64_C(0x100)
#define PTE_NX (UINT64_C(1) << 63)

/* Error codes of #PF (SDM vol. 3A, 4.7). */
#define PF_P    0x01u
#define PF_W    0x02u
#define PF_U    0x04u
#define PF_RSVD 0x08u
#define PF_I    0x10u

/* ---- physical memory ---- */

const struct soft_range *soft_range_find(const struct soft_machine *machine, uint64_t gpa)
{
    size_t low = 0, high = machine->range_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct soft_range *range = &machine->ranges[middle];

        if (gpa < range->gpa)
            high = middle;
        else if (gpa - range->gpa >= range->length)
            low = middle + 1;
        else
            return range;
    }
    return NULL;
}

/* The same for the guest: the page of its local APIC is no memory. */
static const struct soft_range *range_of(const struct soft_cpu *cpu, uint64_t gpa)
{
    return (gpa & SOFT_PAGE_MASK) == cpu->apic_page ? NULL : soft_range_find(cpu->machine, gpa);
}

static void *host_of(const struct soft_range *range, uint64_t gpa)
{
    return range->host + (gpa - range->gpa);
}

/* ---- accesses to devices ---- */

void soft_access(struct soft_cpu *cpu, const struct soft_uop *op, struct soft_access *access)
{
    struct soft_access_log *log = &cpu->log;
    const struct soft_devices *devices = &cpu->machine->devices;
    bool served;

    if (log->instruction != soft_instruction_number(cpu, op)) {
        log->instruction = soft_instruction_number(cpu, op);
        log->count = log->cursor = 0;
    }
    if (log->cursor < log->count) {
        const struct soft_access *done = &log->done[log->cursor];

        if (done->address == access->address && done->length == access->length &&
            done->is_write == access->is_write && done->space == access->space) {
            log->cursor++;
            access->value = done->value;
            access->fault = done->fault;
            return;
        }
        /* Something that the instruction depends on has changed meanwhile: from here on it is
         * another one. */
        log->count = log->cursor;
    }
    cpu->accessing = true;
    served = devices->access != NULL && devices->access(devices->context, cpu, access);
    cpu->accessing = false;
    if (!served) {
        log->next = *access;
        log->pending = true;
        soft_leave(cpu, op, SOFT_LEAVE_ACCESS);
    }
    /* An instruction that leaves later must not do this again. */
    if (log->count < SOFT_ACCESSES)
        log->done[log->count++] = *access;
    log->cursor = log->count;
}

void soft_access_commit(struct soft_cpu *cpu)
{
    cpu->log.count = cpu->log.cursor = 0;
}

uint64_t soft_port_read(struct soft_cpu *cpu, const struct soft_uop *op, uint16_t port,
                        unsigned size)
{
    struct soft_access access = {
        .address = port, .length = (uint8_t)size, .space = SOFT_SPACE_PORT};

    soft_access(cpu, op, &access);
    return access.value;
}

void soft_port_write(struct soft_cpu *cpu, const struct soft_uop *op, uint16_t port, uint64_t value,
                     unsigned size)
{
    struct soft_access access = {.address = port,
                                 .value = value,
                                 .length = (uint8_t)size,
                                 .is_write = true,
                                 .space = SOFT_SPACE_PORT};

    if (cpu->watching)
        soft_debug_port(cpu, port, size);
    soft_access(cpu, op, &access);
}

/* ---- walks ---- */

struct walk {
    struct soft_cpu *cpu;
    const struct soft_uop *op;
    uint64_t address;
    enum soft_access_kind kind;
    enum soft_rights rights;
    /* what the entries passed so far allow */
    bool writable, user, executable;
};

static _Noreturn void page_fault(const struct walk *walk, uint32_t code)
{
    const struct soft_cpu *cpu = walk->cpu;

    code |= (walk->kind == SOFT_WRITE ? PF_W : 0) | (walk->rights == SOFT_AS_USER ? PF_U : 0);
    /* SDM vol. 3A, 4.7: the flag is 1 for fetches only if these features are on. */
    if (walk->kind == SOFT_EXECUTE &&
        ((cpu->cr4 & SOFT_CR4_SMEP) != 0 ||
         ((cpu->cr4 & SOFT_CR4_PAE) != 0 && (cpu->efer & SOFT_EFER_NXE) != 0)))
        code |= PF_I;
    soft_raise_page_fault(walk->cpu, walk->op, walk->address, code);
}

static uint64_t entry_read(const struct walk *walk, uint64_t gpa, unsigned size)
{
    const struct soft_range *range = range_of(walk->cpu, gpa);
    struct soft_access access = {.address = gpa, .length = (uint8_t)size};

    if (range != NULL)
        return size == 8 ? soft_load64(host_of(range, gpa)) : soft_load32(host_of(range, gpa));
    soft_access(walk->cpu, walk->op, &access);
    return access.value;
}

/* Sets bits of an entry if it still is what was read. False: read it again. */
static bool entry_set(const struct walk *walk, uint64_t gpa, unsigned size, uint64_t old,
                      uint64_t bits)
{
    const struct soft_range *range = range_of(walk->cpu, gpa);
    uint32_t old32 = (uint32_t)old;
    void *host;

    /* Read-only memory and devices keep no such bits. */
    if ((old & bits) == bits || range == NULL || range->read_only)
        return true;
    host = host_of(range, gpa);
    soft_range_mark(range, gpa);
    if (size == 8)
        return __atomic_compare_exchange_n((uint64_t *)host, &old, old | bits, false,
                                           __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return __atomic_compare_exchange_n((uint32_t *)host, &old32, old32 | (uint32_t)bits, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Bits that must be 0 in an entry of 8 bytes. */
static uint64_t reserved_bits(const struct soft_cpu *cpu)
{
    uint64_t bits = ~cpu->machine->gpa_last & UINT64_C(0x000ffffffffff000);

    if ((cpu->efer & SOFT_EFER_NXE) == 0)
        bits |= PTE_NX;
    if (!soft_is_long(cpu))
        bits |= UINT64_C(0x7ff0000000000000);
    return bits;
}

/* Whether the rights so far permit the access; the PDPTEs of PAE have none of their own. */
static bool permitted(const struct walk *walk)
{
    const struct soft_cpu *cpu = walk->cpu;

    if (walk->rights == SOFT_AS_USER) {
        if (!walk->user)
            return false;
        return walk->kind == SOFT_READ ||
               (walk->kind == SOFT_WRITE ? walk->writable : walk->executable);
    }
    if (walk->kind == SOFT_EXECUTE)
        return walk->executable && !(walk->user && (cpu->cr4 & SOFT_CR4_SMEP) != 0);
    if (walk->user && (cpu->cr4 & SOFT_CR4_SMAP) != 0 && walk->rights == SOFT_AS_KERNEL)
        return false;
    return walk->kind == SOFT_READ || walk->writable || (cpu->cr0 & SOFT_CR0_WP) == 0;
}

/* Whether a write, too, would be permitted to where a read has just been. */
static bool also_writable(struct walk walk)
{
    walk.kind = SOFT_WRITE;
    return permitted(&walk);
}

/* page: where the 4 KiB of the address are; size: of the page that they are part of. */
static void finish(struct soft_translation *out, struct walk *walk, uint64_t page, uint64_t size,
                   uint64_t entry)
{
    out->size = size;
    out->gpa = page | (walk->address & (SOFT_PAGE - 1));
    out->global = (entry & PTE_G) != 0 && (walk->cpu->cr4 & SOFT_CR4_PGE) != 0;
    /* Not until a write has set D. */
    out->writable = (walk->kind == SOFT_WRITE || (entry & PTE_D) != 0) && also_writable(*walk);
}

/* Entries of 8 bytes, 3 to 5 levels; PAE starts below its PDPTEs. */
static void walk_long(struct soft_translation *out, struct walk *walk)
{
    struct soft_cpu *cpu = walk->cpu;
    uint64_t reserved = reserved_bits(cpu), table, entry, gpa, size, bad;
    unsigned level, shift;

again:
    walk->writable = walk->user = walk->executable = true;
    if (soft_is_long(cpu)) {
        level = (cpu->cr4 & SOFT_CR4_LA57) != 0 ? 5 : 4;
        table = cpu->cr3 & UINT64_C(0x000ffffffffff000);
    } else {
        entry = cpu->pdpte[(walk->address >> 30) & 3];
        if ((entry & PTE_P) == 0)
            page_fault(walk, 0);
        level = 2;
        table = entry & UINT64_C(0x000ffffffffff000);
    }
    for (;; level--) {
        shift = 12 + 9 * (level - 1);
        gpa = table + ((walk->address >> shift) & 511) * 8;
        entry = entry_read(walk, gpa, 8);
        if ((entry & PTE_P) == 0)
            page_fault(walk, 0);
        bad = entry & reserved;
        if ((entry & PTE_PS) != 0 && level > 3)
            bad |= PTE_PS;
        if ((entry & PTE_PS) != 0 && level > 1)
            bad |= entry & ((UINT64_C(1) << shift) - 1) & ~UINT64_C(0x1fff);
        if (bad != 0)
            page_fault(walk, PF_P | PF_RSVD);
        walk->writable &= (entry & PTE_W) != 0;
        walk->user &= (entry & PTE_U) != 0;
        walk->executable &= (entry & PTE_NX) == 0;
        if (level == 1 || (entry & PTE_PS) != 0)
            break;
        if (!entry_set(walk, gpa, 8, entry, PTE_A))
            goto again;
        table = entry & UINT64_C(0x000ffffffffff000);
    }
    if (!permitted(walk))
        page_fault(walk, PF_P);
    if (!entry_set(walk, gpa, 8, entry, walk->kind == SOFT_WRITE ? PTE_A | PTE_D : PTE_A))
        goto again;
    size = UINT64_C(1) << shift;
    finish(out, walk,
           (entry & UINT64_C(0x000ffffffffff000) & ~(size - 1)) |
               (walk->address & (size - 1) & SOFT_PAGE_MASK),
           size, entry);
}

/* Entries of 4 bytes, 2 levels (SDM vol. 3A, 4.3). */
static void walk_short(struct soft_translation *out, struct walk *walk)
{
    struct soft_cpu *cpu = walk->cpu;
    uint64_t entry, gpa, page, size = SOFT_PAGE;

again:
    walk->writable = walk->user = walk->executable = true;
    gpa = (cpu->cr3 & UINT64_C(0xfffff000)) + ((walk->address >> 22) & 1023) * 4;
    entry = entry_read(walk, gpa, 4);
    if ((entry & PTE_P) == 0)
        page_fault(walk, 0);
    walk->writable &= (entry & PTE_W) != 0;
    walk->user &= (entry & PTE_U) != 0;
    if ((entry & PTE_PS) != 0 && (cpu->cr4 & SOFT_CR4_PSE) != 0) {
        /* PSE-36: bits 39:32 of the address are in bits 20:13; bit 21 is reserved. */
        page = (entry & UINT64_C(0xffc00000)) | (entry & UINT64_C(0x1fe000)) << 19;
        if ((entry & UINT64_C(0x200000)) != 0 || (page & ~cpu->machine->gpa_last) != 0)
            page_fault(walk, PF_P | PF_RSVD);
        page |= walk->address & UINT64_C(0x3ff000);
        size = UINT64_C(1) << 22;
    } else {
        if (!entry_set(walk, gpa, 4, entry, PTE_A))
            goto again;
        gpa = (entry & UINT64_C(0xfffff000)) + ((walk->address >> 12) & 1023) * 4;
        entry = entry_read(walk, gpa, 4);
        if ((entry & PTE_P) == 0)
            page_fault(walk, 0);
        walk->writable &= (entry & PTE_W) != 0;
        walk->user &= (entry & PTE_U) != 0;
        page = entry & UINT64_C(0xfffff000);
    }
    if (!permitted(walk))
        page_fault(walk, PF_P);
    if (!entry_set(walk, gpa, 4, entry, walk->kind == SOFT_WRITE ? PTE_A | PTE_D : PTE_A))
        goto again;
    finish(out, walk, page, size, entry);
}

void soft_translate(struct soft_translation *out, struct soft_cpu *cpu, const struct soft_uop *op,
                    uint64_t address, enum soft_access_kind kind, enum soft_rights rights)
{
    struct walk walk = {.cpu = cpu, .op = op, .address = address, .kind = kind, .rights = rights};

    if ((cpu->cr0 & SOFT_CR0_PG) == 0) {
        *out = (struct soft_translation){
            .gpa = address, .writable = true, .global = true, .size = SOFT_PAGE};
        return;
    }
    if ((cpu->cr4 & SOFT_CR4_PAE) != 0)
        walk_long(out, &walk);
    else
        walk_short(out, &walk);
}

/* ---- the TLB ---- */

static void tlb_clear(struct soft_cpu *cpu, enum soft_rights rights)
{
    for (unsigned i = 0; i < SOFT_TLB_SIZE; i++) {
        cpu->tlbs[rights][i].read = SOFT_NO_PAGE;
        cpu->tlbs[rights][i].write = SOFT_NO_PAGE;
    }
    cpu->tlb_used[rights] = false;
}

/*
 * Larger pages have an entry for each 4 KiB that was accessed, but INVLPG of any address in one
 * flushes it whole (SDM vol. 3A, 4.10.4.1). What they are is not kept for each entry: an INVLPG
 * between the first and the last of them flushes everything. Kernels map themselves so, and
 * programs are in the other half.
 */
static void large_add(struct soft_cpu *cpu, uint64_t address, const struct soft_translation *where)
{
    struct soft_large_pages *large = &cpu->large[address >> 63];
    uint64_t first = address & ~(where->size - 1), last = address | (where->size - 1);

    if (where->size == SOFT_PAGE)
        return;
    if (first < large->first)
        large->first = first;
    if (last > large->last)
        large->last = last;
    large->global |= where->global;
}

void soft_tlb_flush(struct soft_cpu *cpu, bool globals)
{
    for (unsigned rights = 0; rights < SOFT_RIGHTS; rights++) {
        if (!cpu->tlb_used[rights])
            continue;
        if (globals) {
            tlb_clear(cpu, rights);
            continue;
        }
        for (unsigned i = 0; i < SOFT_TLB_SIZE; i++) {
            struct soft_tlb_entry *entry = &cpu->tlbs[rights][i];

            if ((entry->gpa & 1) == 0)
                entry->read = entry->write = SOFT_NO_PAGE;
        }
    }
    for (unsigned i = 0; i < SOFT_ITLB_SIZE; i++)
        cpu->itlb[i].page = SOFT_NO_PAGE;
    for (unsigned half = 0; half < 2; half++) {
        if (globals || !cpu->large[half].global)
            cpu->large[half] = (struct soft_large_pages){.first = UINT64_MAX};
    }
    cpu->map_generation++;
}

void soft_tlb_flush_page(struct soft_cpu *cpu, uint64_t address)
{
    uint64_t page = address & SOFT_PAGE_MASK;
    struct soft_itlb_entry *fetch = &cpu->itlb[(page >> 12) & (SOFT_ITLB_SIZE - 1)];
    const struct soft_large_pages *large = &cpu->large[address >> 63];

    if (address >= large->first && address <= large->last) {
        soft_tlb_flush(cpu, true);
        return;
    }
    for (unsigned rights = 0; rights < SOFT_RIGHTS; rights++) {
        struct soft_tlb_entry *entry = &cpu->tlbs[rights][(page >> 12) & (SOFT_TLB_SIZE - 1)];

        entry->read = entry->write = SOFT_NO_PAGE;
    }
    fetch->page = SOFT_NO_PAGE;
    cpu->map_generation++;
}

void soft_tlb_init(struct soft_cpu *cpu)
{
    for (unsigned rights = 0; rights < SOFT_RIGHTS; rights++)
        tlb_clear(cpu, rights);
    for (unsigned i = 0; i < SOFT_TLB_SIZE; i++)
        cpu->no_tlb[i] = cpu->tlbs[0][i];
    soft_tlb_flush(cpu, true);
}

void soft_tlb_protect(struct soft_cpu *cpu, uint64_t gpa)
{
    for (unsigned rights = 0; rights < SOFT_RIGHTS; rights++) {
        if (!cpu->tlb_used[rights])
            continue;
        for (unsigned i = 0; i < SOFT_TLB_SIZE; i++) {
            struct soft_tlb_entry *entry = &cpu->tlbs[rights][i];

            if ((entry->gpa & SOFT_PAGE_MASK) == (gpa & SOFT_PAGE_MASK))
                entry->write = SOFT_NO_PAGE;
        }
    }
}

void soft_tlb_protect_all(struct soft_cpu *cpu)
{
    for (unsigned rights = 0; rights < SOFT_RIGHTS; rights++) {
        for (unsigned i = 0; i < SOFT_TLB_SIZE; i++)
            cpu->tlbs[rights][i].write = SOFT_NO_PAGE;
    }
}

enum soft_rights soft_rights(const struct soft_cpu *cpu)
{
    if (soft_cpl(cpu) == 3)
        return SOFT_AS_USER;
    return (cpu->eflags & SOFT_AC) != 0 ? SOFT_AS_KERNEL_AC : SOFT_AS_KERNEL;
}

/* A page of memory for the TLB, if it can have an entry. */
static void tlb_fill(struct soft_cpu *cpu, uint64_t address, enum soft_rights rights,
                     const struct soft_translation *where, const struct soft_range *range,
                     bool written)
{
    uint64_t page = address & SOFT_PAGE_MASK;
    struct soft_tlb_entry *entry = &cpu->tlbs[rights][(page >> 12) & (SOFT_TLB_SIZE - 1)];
    uint64_t gpa = where->gpa & SOFT_PAGE_MASK;

    entry->host = (uintptr_t)host_of(range, gpa) - (uintptr_t)page;
    entry->gpa = gpa | where->global;
    entry->read = page;
    large_add(cpu, address, where);
    /* A logged page is marked by its first write after each harvest. */
    entry->write = where->writable && !range->read_only &&
                           (!soft_range_is_logged(range) || written) &&
                           !soft_block_has_code(cpu, gpa)
                       ? page
                       : SOFT_NO_PAGE;
    cpu->tlb_used[rights] = true;
}

const uint8_t *soft_fetch(uint64_t *gpa, struct soft_cpu *cpu, uint64_t address)
{
    struct soft_itlb_entry *entry = &cpu->itlb[(address >> 12) & (SOFT_ITLB_SIZE - 1)];
    bool user = (cpu->mode & SOFT_IN_USER) != 0;
    /* Bit 0 is SOFT_NO_PAGE's: user code may be in page 0. */
    uint64_t page = (address & SOFT_PAGE_MASK) | (user ? 2u : 0u);
    const struct soft_range *range;
    struct soft_translation where;

    if (entry->page != page) {
        soft_translate(&where, cpu, NULL, address, SOFT_EXECUTE,
                       user ? SOFT_AS_USER : SOFT_AS_KERNEL);
        range = range_of(cpu, where.gpa);
        if (range == NULL) {
            *gpa = where.gpa;
            return NULL;
        }
        large_add(cpu, address, &where);
        entry->page = page;
        entry->gpa = where.gpa & SOFT_PAGE_MASK;
        entry->host = host_of(range, entry->gpa);
    }
    *gpa = entry->gpa | (address & (SOFT_PAGE - 1));
    return entry->host + (address & (SOFT_PAGE - 1));
}

/* ---- accesses inside one page ---- */

/*
 * A canonical linear address. Outside of long mode they have 32 bits. #SS instead of #GP if the
 * instruction addresses the stack (SDM vol. 3A, 3.3.7.1).
 */
static uint64_t linear(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address)
{
    unsigned spare = (cpu->cr4 & SOFT_CR4_LA57) != 0 ? 64 - 57 : 64 - 48;

    if (!soft_is_long(cpu))
        return address & 0xffffffff;
    if ((uint64_t)((int64_t)(address << spare) >> spare) != address)
        soft_raise_error(
            cpu, op, op != NULL && (op->aux2 & SOFT_UOP_STACK) != 0 ? SOFT_SS_FAULT : SOFT_GP, 0);
    return address;
}

static void read_in_page(uint8_t *out, struct soft_cpu *cpu, const struct soft_uop *op,
                         uint64_t address, unsigned length, enum soft_rights rights)
{
    struct soft_access access = {0};
    const struct soft_range *range;
    struct soft_translation where;

    if (cpu->watching)
        soft_debug_access(cpu, address, length, false);
    soft_translate(&where, cpu, op, address, SOFT_READ, rights);
    range = range_of(cpu, where.gpa);
    if (range != NULL) {
        const void *host = host_of(range, where.gpa);

        tlb_fill(cpu, address, rights, &where, range, false);
        switch (length) {
        case 1: *out = soft_load8(host); return;
        case 2: *(uint16_t *)(void *)out = soft_load16(host); return;
        case 4: *(uint32_t *)(void *)out = soft_load32(host); return;
        case 8: *(uint64_t *)(void *)out = soft_load64(host); return;
        default: memcpy(out, host, length); return;
        }
    }
    for (unsigned done = 0; done < length; done += access.length) {
        access.address = where.gpa + done;
        access.length = (uint8_t)(length - done < 8 ? length - done : 8);
        access.value = 0;
        soft_access(cpu, op, &access);
        memcpy(out + done, &access.value, access.length);
    }
}

static void write_in_page(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                          const uint8_t *data, unsigned length, enum soft_rights rights)
{
    struct soft_access access = {.is_write = true};
    const struct soft_range *range;
    struct soft_translation where;
    void *host;

    if (cpu->watching)
        soft_debug_access(cpu, address, length, true);
    soft_translate(&where, cpu, op, address, SOFT_WRITE, rights);
    range = range_of(cpu, where.gpa);
    if (range != NULL && !range->read_only) {
        soft_block_writing(cpu, op, where.gpa, length);
        host = host_of(range, where.gpa);
        soft_range_mark(range, where.gpa);
        tlb_fill(cpu, address, rights, &where, range, true);
        switch (length) {
        case 1: soft_store8(host, *data); return;
        case 2: soft_store16(host, *(const uint16_t *)(const void *)data); return;
        case 4: soft_store32(host, *(const uint32_t *)(const void *)data); return;
        case 8: soft_store64(host, *(const uint64_t *)(const void *)data); return;
        default: memcpy(host, data, length); return;
        }
    }
    for (unsigned done = 0; done < length; done += access.length) {
        access.address = where.gpa + done;
        access.length = (uint8_t)(length - done < 8 ? length - done : 8);
        access.value = 0;
        memcpy(&access.value, data + done, access.length);
        soft_access(cpu, op, &access);
    }
}

/* ---- any accesses ---- */

/* Bytes of an access that are in its first page. */
static unsigned first_part(uint64_t address, unsigned length)
{
    uint64_t room = SOFT_PAGE - (address & (SOFT_PAGE - 1));

    return length <= room ? length : (unsigned)room;
}

void soft_check_write(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                      unsigned length, enum soft_rights rights)
{
    unsigned first = first_part(address, length);
    struct soft_translation where;

    soft_translate(&where, cpu, op, linear(cpu, op, address), SOFT_WRITE, rights);
    if (first < length)
        soft_translate(&where, cpu, op, linear(cpu, op, address + first), SOFT_WRITE, rights);
}

void soft_read_as(void *out, struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                  unsigned length, enum soft_rights rights)
{
    unsigned first = first_part(address, length);
    uint64_t start = linear(cpu, op, address);

    if (first < length) {
        struct soft_translation where;
        uint64_t rest = linear(cpu, op, address + first);

        /* A fault of the second page comes before a device in the first is disturbed. */
        soft_translate(&where, cpu, op, start, SOFT_READ, rights);
        soft_translate(&where, cpu, op, rest, SOFT_READ, rights);
        read_in_page(out, cpu, op, start, first, rights);
        read_in_page((uint8_t *)out + first, cpu, op, rest, length - first, rights);
        return;
    }
    read_in_page(out, cpu, op, start, length, rights);
}

/* Raises what writing a part of a page would raise, or leaves if there is code. Returns whether it
 * is a write to memory. */
static bool announce_write(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                           unsigned length, enum soft_rights rights)
{
    struct soft_translation where;
    const struct soft_range *range;

    soft_translate(&where, cpu, op, address, SOFT_WRITE, rights);
    range = range_of(cpu, where.gpa);
    if (range != NULL)
        soft_block_writing(cpu, op, where.gpa, length);
    return range != NULL && !range->read_only;
}

void soft_write_as(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                   const void *data, unsigned length, enum soft_rights rights)
{
    unsigned first = first_part(address, length);
    uint64_t start = linear(cpu, op, address);

    if (first < length) {
        const uint8_t *more = (const uint8_t *)data + first;
        uint64_t rest = linear(cpu, op, address + first);
        /* Before anything is written: what leaves between the two writes a second time. */
        bool in_memory = announce_write(cpu, op, start, first, rights);
        bool rest_in_memory = announce_write(cpu, op, rest, length - first, rights);

        /* A device comes before memory: an instruction that leaves for it reads its operand again,
         * which must be as it was. */
        if (in_memory && !rest_in_memory)
            write_in_page(cpu, op, rest, more, length - first, rights);
        write_in_page(cpu, op, start, data, first, rights);
        if (!in_memory || rest_in_memory)
            write_in_page(cpu, op, rest, more, length - first, rights);
        return;
    }
    write_in_page(cpu, op, start, data, length, rights);
}

void soft_check_alignment(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                          unsigned size)
{
    if (!cpu->aligned || (address & (size - 1)) == 0)
        return;
    /* What is not canonical comes first. */
    (void)linear(cpu, op, address);
    soft_raise_error(cpu, op, SOFT_AC_FAULT, 0);
}

SOFT_COLD uint64_t soft_read_slow(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                                  unsigned size)
{
    uint64_t value = 0;

    soft_check_alignment(cpu, op, address, size);
    soft_read_as(&value, cpu, op, address, size, soft_rights(cpu));
    return value;
}

SOFT_COLD void soft_write_slow(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                               uint64_t value, unsigned size)
{
    soft_check_alignment(cpu, op, address, size);
    soft_write_as(cpu, op, address, &value, size, soft_rights(cpu));
}

SOFT_COLD void *soft_modify_slow(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                                 unsigned size)
{
    enum soft_rights rights = soft_rights(cpu);
    struct soft_translation where;
    const struct soft_range *range;
    void *pointer;

    soft_check_alignment(cpu, op, address, size);
    soft_check_write(cpu, op, address, size, rights);
    if (first_part(address, size) == size && !cpu->watching) {
        soft_translate(&where, cpu, op, linear(cpu, op, address), SOFT_WRITE, rights);
        range = range_of(cpu, where.gpa);
        if (range != NULL && !range->read_only) {
            soft_block_writing(cpu, op, where.gpa, size);
            soft_range_mark(range, where.gpa);
            tlb_fill(cpu, address, rights, &where, range, true);
            pointer = host_of(range, where.gpa);
            return pointer;
        }
    }
    soft_read_as(cpu->bounce, cpu, op, address, size, rights);
    cpu->bounce_address = address;
    cpu->bounce_length = size;
    return cpu->bounce;
}

SOFT_COLD void soft_modify_done_slow(struct soft_cpu *cpu, const struct soft_uop *op)
{
    soft_write_as(cpu, op, cpu->bounce_address, cpu->bounce, cpu->bounce_length, soft_rights(cpu));
}
