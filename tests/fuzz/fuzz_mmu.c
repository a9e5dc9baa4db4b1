/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The page walks of the software CPU, in every paging mode, over tables with anything in them,
 * against a second walker that is written down from the SDM (volume 3A, chapter 4) section by
 * section, without regard to speed: the same translation or the same error code, and accessed and
 * dirty flags where they belong.
 *
 * The input: a paging mode, an address, and an entry for each level. It is walked for every kind of
 * access, and with every combination of the features that decide about rights.
 */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "soft/machine.h"
#include "soft/memory.h"
#include "soft/mmu.h"

#define PAGES 6u /* of memory, from 0; a table of each level in one of the first */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct soft_cpu cpu;
static struct soft_machine machine;
static uint8_t memory[PAGES * SOFT_PAGE] __attribute__((aligned(4096)));
static uint8_t before[sizeof(memory)];
/* The entries in it that are not 0. */
static struct {
    uint64_t gpa, entry;
} made[5];
static unsigned made_count;
static const uint8_t *input;
static size_t left;

static uint64_t next(size_t bytes)
{
    return input_next(&input, &left, bytes);
}

/* ---- where there is no memory ---- */

static uint64_t device_value(uint64_t gpa, unsigned length)
{
    const uint64_t value = gpa * UINT64_C(0x9e3779b97f4a7c15);

    return length == 8 ? value : (uint32_t)value;
}

static bool device(void *context, struct soft_cpu *by, struct soft_access *access)
{
    (void)context;
    (void)by;
    require(!access->is_write && access->space == SOFT_SPACE_MEMORY);
    access->value = device_value(access->address, access->length);
    return true;
}

/* ---- the second walker ---- */

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
#define XD UINT64_C(0x8000000000000000)

struct request {
    uint64_t address;
    bool write, fetch, user, ac;
};

struct answer {
    bool fault;
    uint32_t error;
    uint64_t gpa, size;
    bool global;
    unsigned depth;    /* entries that were read */
    uint64_t where[5]; /* they are here */
    uint64_t entry[5];
};

static unsigned entry_size(void)
{
    return (cpu.cr4 & SOFT_CR4_PAE) != 0 ? 8 : 4;
}

static uint64_t read_entry(uint64_t gpa, unsigned size)
{
    uint64_t value = 0;

    if (gpa >= sizeof(memory))
        return device_value(gpa, size);
    memcpy(&value, before + gpa, size);
    return value;
}

static bool has_xd(void)
{
    return (cpu.cr4 & SOFT_CR4_PAE) != 0 && (cpu.efer & SOFT_EFER_NXE) != 0;
}

/* 4.7: what goes to the handler beside the reason. */
static void page_fault(struct answer *out, const struct request *request, uint32_t reason)
{
    out->fault = true;
    out->error = reason;
    if (request->write)
        out->error |= 2;
    if (request->user)
        out->error |= 4;
    if (request->fetch && (has_xd() || (cpu.cr4 & SOFT_CR4_SMEP) != 0))
        out->error |= 16;
}

/* Tables 4-4 to 4-20: bits of an entry that are reserved. level 1: the last table. */
static uint64_t reserved(unsigned level, unsigned levels, bool is_page)
{
    const uint64_t width = machine.gpa_last + 1;
    uint64_t bits = 0;

    for (uint64_t bit = 1; bit < UINT64_C(1) << 52; bit <<= 1) {
        if (bit >= width)
            bits |= bit;
    }
    if (!has_xd())
        bits |= XD;
    if (levels == 3)
        bits |= UINT64_C(0x7ff0000000000000);
    if (level >= 4)
        bits |= PS;
    if (is_page && level == 3)
        bits |= UINT64_C(0x3fffe000);
    if (is_page && level == 2)
        bits |= UINT64_C(0x1fe000);
    return bits;
}

/* 4.6.1, with the flags that all entries together leave. */
static bool is_permitted(const struct request *request, bool all_user, bool all_writable,
                         bool any_xd)
{
    const bool smap = (cpu.cr4 & SOFT_CR4_SMAP) != 0, smep = (cpu.cr4 & SOFT_CR4_SMEP) != 0;
    const bool wp = (cpu.cr0 & SOFT_CR0_WP) != 0;

    if (request->user) {
        if (!all_user)
            return false;
        if (request->fetch)
            return !(has_xd() && any_xd);
        return !request->write || all_writable;
    }
    if (request->fetch) {
        if (all_user && smep)
            return false;
        return !(has_xd() && any_xd);
    }
    if (all_user && smap && !request->ac)
        return false;
    return !request->write || !wp || all_writable;
}

/* 4.3: 32-bit paging. */
static void walk_two(struct answer *out, const struct request *request)
{
    const uint32_t address = (uint32_t)request->address;
    const uint64_t gpa = (cpu.cr3 & 0xfffff000) | (address >> 22) << 2;
    const uint32_t pde = (uint32_t)read_entry(gpa, 4);
    uint64_t gpa2;
    uint32_t pte;

    out->where[out->depth] = gpa, out->entry[out->depth++] = pde;
    if ((pde & P) == 0) {
        page_fault(out, request, 0);
        return;
    }
    if ((pde & PS) != 0 && (cpu.cr4 & SOFT_CR4_PSE) != 0) {
        const uint64_t high = pde >> 13 & 0xff;

        out->size = 4 << 20;
        out->gpa = high << 32 | (pde & 0xffc00000) | (address & 0x3fffff);
        if ((pde & 1u << 21) != 0 || high << 32 > machine.gpa_last) {
            page_fault(out, request, 8 | 1);
            return;
        }
        out->global = (pde & G) != 0;
        if (!is_permitted(request, (pde & U) != 0, (pde & W) != 0, false))
            page_fault(out, request, 1);
        return;
    }
    gpa2 = (pde & 0xfffff000) | (address >> 12 & 0x3ff) << 2;
    pte = (uint32_t)read_entry(gpa2, 4);
    out->where[out->depth] = gpa2, out->entry[out->depth++] = pte;
    if ((pte & P) == 0) {
        page_fault(out, request, 0);
        return;
    }
    out->size = 4096;
    out->gpa = (pte & 0xfffff000) | (address & 0xfff);
    out->global = (pte & G) != 0;
    if (!is_permitted(request, (pde & pte & U) != 0, (pde & pte & W) != 0, false))
        page_fault(out, request, 1);
}

/* 4.4 and 4.5: PAE paging behind its PDPTEs (levels 3), 4-level and 5-level paging. */
static void walk_many(struct answer *out, const struct request *request, unsigned levels)
{
    const uint64_t frame = UINT64_C(0x000ffffffffff000);
    uint64_t table = cpu.cr3 & frame, all = ~UINT64_C(0), any = 0;
    unsigned level = levels;

    if (levels == 3) {
        const uint64_t pdpte = cpu.pdpte[request->address >> 30 & 3];

        if ((pdpte & P) == 0) {
            page_fault(out, request, 0);
            return;
        }
        table = pdpte & frame;
        level = 2;
    }
    for (;; level--) {
        const unsigned shift = 12 + 9 * (level - 1);
        const uint64_t gpa = table + (request->address >> shift & 0x1ff) * 8;
        const uint64_t entry = read_entry(gpa, 8);
        const bool is_page = level == 1 || (level <= 3 && (entry & PS) != 0);

        out->where[out->depth] = gpa, out->entry[out->depth++] = entry;
        if ((entry & P) == 0) {
            page_fault(out, request, 0);
            return;
        }
        if ((entry & reserved(level, levels, is_page)) != 0) {
            page_fault(out, request, 8 | 1);
            return;
        }
        all &= entry;
        any |= entry;
        if (is_page) {
            out->size = UINT64_C(1) << shift;
            out->gpa = (entry & frame & ~(out->size - 1)) | (request->address & (out->size - 1));
            out->global = (entry & G) != 0;
            break;
        }
        table = entry & frame;
    }
    if (!is_permitted(request, (all & U) != 0, (all & W) != 0, (any & XD) != 0))
        page_fault(out, request, 1);
}

static void walk(struct answer *out, const struct request *request)
{
    *out = (struct answer){0};
    if ((cpu.cr4 & SOFT_CR4_PAE) == 0)
        walk_two(out, request);
    else if ((cpu.efer & SOFT_EFER_LMA) == 0)
        walk_many(out, request, 3);
    else
        walk_many(out, request, (cpu.cr4 & SOFT_CR4_LA57) != 0 ? 5 : 4);
}

/* ---- what the input asks for ---- */

static void set_up_machine(void)
{
    static struct soft_range range;

    if (machine.ranges != NULL)
        return;
    range = (struct soft_range){.length = sizeof(memory), .host = memory};
    machine.ranges = &range;
    machine.range_count = 1;
    machine.devices.access = device;
    cpu.machine = &machine;
    cpu.apic_page = UINT64_MAX;
    soft_tlb_init(&cpu);
}

enum { WP = 1, SMEP = 2, SMAP = 4, NXE = 8, COMBINATIONS = 16 };

static void set_mode(uint64_t bits)
{
    static const uint64_t widths[] = {36, 40, 46, 52};

    machine.gpa_last = (UINT64_C(1) << widths[bits >> 2 & 3]) - 1;
    cpu.cr4 = ((bits & 16) != 0 ? SOFT_CR4_PGE : 0) | ((bits & 32) != 0 ? SOFT_CR4_PSE : 0);
    cpu.efer = 0;
    if ((bits & 3) != 0)
        cpu.cr4 |= SOFT_CR4_PAE;
    if ((bits & 3) > 1)
        cpu.efer |= SOFT_EFER_LMA | SOFT_EFER_LME;
    if ((bits & 3) == 3)
        cpu.cr4 |= SOFT_CR4_LA57;
    cpu.cr3 = (bits >> 6 & 3) == 3 ? next(4) & 0xfffff000 : 0;
}

static void set_features(unsigned features)
{
    cpu.cr0 = SOFT_CR0_PE | SOFT_CR0_PG | ((features & WP) != 0 ? SOFT_CR0_WP : 0);
    cpu.cr4 &= ~(SOFT_CR4_SMEP | SOFT_CR4_SMAP);
    cpu.cr4 |=
        ((features & SMEP) != 0 ? SOFT_CR4_SMEP : 0) | ((features & SMAP) != 0 ? SOFT_CR4_SMAP : 0);
    cpu.efer = (cpu.efer & ~SOFT_EFER_NXE) | ((features & NXE) != 0 ? SOFT_EFER_NXE : 0);
}

/* Most are present and lead to the table of the next level. */
static uint64_t make_entry(unsigned level)
{
    const unsigned choice = (unsigned)next(2);
    uint64_t entry = next(2) & 0xfff;

    entry |= (choice & 7) != 0 ? P : 0;
    entry |= (choice & 0x38) != 0 ? (level + 1) * SOFT_PAGE
                                  : next(5) << 12 & UINT64_C(0x000ffffffffff000);
    if ((choice & 0xc0) == 0)
        entry |= XD;
    if ((choice & 0x300) == 0) {
        const uint64_t bit = next(1);

        entry ^= UINT64_C(1) << (bit < 128 ? 52 + bit % 12 : bit % 52);
    }
    return entry;
}

/* An entry of the input in the table of each level. */
static void make_tables(uint64_t address)
{
    const unsigned levels = (cpu.efer & SOFT_EFER_LMA) == 0  ? 2
                            : (cpu.cr4 & SOFT_CR4_LA57) != 0 ? 5
                                                             : 4;
    const unsigned bits = entry_size() == 4 ? 10 : 9, size = entry_size();

    for (made_count = 0; made_count < levels; made_count++) {
        const unsigned shift = 12 + bits * (levels - made_count - 1);

        made[made_count].gpa =
            made_count * SOFT_PAGE + (address >> shift & ((1u << bits) - 1)) * size;
        made[made_count].entry = make_entry(made_count);
    }
    for (unsigned n = 0; n < 4; n++)
        cpu.pdpte[n] = (address & 0x10) != 0 ? next(4) : (cpu.cr3 & 0xfffff000) | P;
}

/* ---- comparing ---- */

/* Accessed flags on the way, and at its end with success only; the dirty flag after a write. */
static void check_flags(const struct answer *answer, const struct request *request)
{
    const unsigned size = entry_size();

    for (unsigned n = 0; n < answer->depth; n++) {
        const bool last = n + 1 == answer->depth;
        uint64_t expected = answer->entry[n], entry = 0;

        if (answer->where[n] >= sizeof(memory))
            continue;
        memcpy(&entry, memory + answer->where[n], size);
        if (!last || !answer->fault)
            expected |= A;
        if (last && !answer->fault && request->write)
            expected |= D;
        /* Tables that are their own next table have an entry twice. */
        for (unsigned other = 0; other < answer->depth; other++) {
            if (other != n && answer->where[other] == answer->where[n])
                expected |= entry & (A | D);
        }
        require(entry == expected);
        memcpy(before + answer->where[n], &entry, size);
    }
}

/* Returns whether it is permitted. */
static bool translate(const struct request *request)
{
    const enum soft_access_kind kind = request->fetch   ? SOFT_EXECUTE
                                       : request->write ? SOFT_WRITE
                                                        : SOFT_READ;
    const enum soft_rights rights = request->user ? SOFT_AS_USER
                                    : request->ac ? SOFT_AS_KERNEL_AC
                                                  : SOFT_AS_KERNEL;
    static struct soft_translation where;
    static struct answer answer;

    cpu.event.kind = SOFT_EVENT_NONE;
    soft_access_commit(&cpu);
    walk(&answer, request);
    if (setjmp(cpu.leave) != 0) {
        require(cpu.event.kind == SOFT_EVENT_EXCEPTION && cpu.event.vector == SOFT_PF_FAULT);
        require(answer.fault && cpu.event.error == answer.error && cpu.cr2 == request->address);
        check_flags(&answer, request);
        return false;
    }
    soft_translate(&where, &cpu, NULL, request->address, kind, rights);
    require(!answer.fault && where.gpa == answer.gpa && where.size == answer.size);
    require(where.global == (answer.global && (cpu.cr4 & SOFT_CR4_PGE) != 0));
    check_flags(&answer, request);
    if (where.writable && answer.where[answer.depth - 1] < sizeof(memory)) {
        struct request write = *request;

        write.write = true;
        write.fetch = false;
        walk(&answer, &write);
        require(!answer.fault && (answer.entry[answer.depth - 1] & D) != 0);
    }
    return true;
}

/* Twice: the second time with flags as they are then. */
static void translate_fresh(const struct request *request)
{
    for (unsigned n = 0; n < made_count; n++) {
        memcpy(memory + made[n].gpa, &made[n].entry, entry_size());
        memcpy(before + made[n].gpa, &made[n].entry, entry_size());
    }
    if (translate(request))
        require(translate(request));
}

/* Nothing but the entries has been written to. */
static void clear_tables(void)
{
    static const uint8_t zeros[sizeof(memory)];

    for (unsigned n = 0; n < made_count; n++) {
        memset(memory + made[n].gpa, 0, entry_size());
        memset(before + made[n].gpa, 0, entry_size());
    }
    require(memcmp(memory, zeros, sizeof(memory)) == 0);
}

static void set_kind(struct request *request, unsigned kind)
{
    request->user = kind >= 3 && kind < 6;
    request->ac = kind >= 6;
    request->write = kind % 3 == 1;
    request->fetch = kind % 3 == 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct request request = {0};

    set_up_machine();
    input = data;
    left = size;
    set_mode(next(1));
    request.address = next(8);
    if ((cpu.efer & SOFT_EFER_LMA) == 0)
        request.address = (uint32_t)request.address;
    else
        request.address = (cpu.cr4 & SOFT_CR4_LA57) != 0
                              ? (uint64_t)((int64_t)(request.address << 7) >> 7)
                              : (uint64_t)((int64_t)(request.address << 16) >> 16);
    make_tables(request.address);
    for (unsigned features = 0; features < COMBINATIONS; features++) {
        set_features(features);
        for (unsigned kind = 0; kind < 8; kind++) {
            set_kind(&request, kind);
            translate_fresh(&request);
        }
    }
    set_features((unsigned)next(1) % COMBINATIONS);
    set_kind(&request, (unsigned)next(1) % 8);
    for (unsigned bit = 0; bit < made_count * entry_size() * 8; bit++) {
        uint64_t *entry = &made[bit / (entry_size() * 8)].entry;
        const uint64_t flip = UINT64_C(1) << bit % (entry_size() * 8);

        *entry ^= flip;
        translate_fresh(&request);
        *entry ^= flip;
    }
    clear_tables();
    return 0;
}
