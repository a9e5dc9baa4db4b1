/* SPDX-License-Identifier: BSD-3-Clause */
/* Translated blocks: finding, making, checking. */
#include "soft/block.h"

#include <stdlib.h>
#include <string.h>

#include "soft/machine.h"
#include "soft/memory.h"

#define HASH_SIZE  8192u
#define JUMP_SIZE  4096u
#define PAGES_SIZE 4096u

/* A page that blocks were translated from. */
struct page {
    struct page *next; /* in the hash chain */
    uint64_t gpa;
    uint64_t lines; /* bit n: bytes 64 n ... of the page are code */
};

struct jump {
    struct soft_block *block;
    uint32_t generation;
};

struct soft_blocks {
    uint8_t *memory;
    size_t size, used;
    struct soft_block *hash[HASH_SIZE];
    struct page *pages[PAGES_SIZE];
    struct jump jumps[JUMP_SIZE]; /* by linear address; of this map_generation only */
    struct soft_translation_unit unit;
};

int soft_blocks_create(struct soft_cpu *cpu, size_t bytes)
{
    struct soft_blocks *blocks = calloc(1, sizeof(*blocks));

    if (blocks != NULL)
        blocks->memory = malloc(bytes);
    if (blocks == NULL || blocks->memory == NULL) {
        free(blocks);
        return VISOR_ENOMEM;
    }
    blocks->size = bytes;
    cpu->blocks = blocks;
    return 0;
}

void soft_blocks_destroy(struct soft_cpu *cpu)
{
    if (cpu->blocks != NULL)
        free(cpu->blocks->memory);
    free(cpu->blocks);
    cpu->blocks = NULL;
}

void soft_blocks_clear(struct soft_cpu *cpu)
{
    struct soft_blocks *blocks = cpu->blocks;

    memset(blocks->hash, 0, sizeof(blocks->hash));
    memset(blocks->pages, 0, sizeof(blocks->pages));
    memset(blocks->jumps, 0, sizeof(blocks->jumps));
    blocks->used = 0;
    cpu->block = NULL;
    /* Pages that were protected against writes need not be any more: the next miss finds that. */
}

static unsigned hash_of(uint64_t gpa, uint32_t mode)
{
    uint64_t x = (gpa ^ (uint64_t)mode << 44) * UINT64_C(0x9e3779b97f4a7c15);

    return (unsigned)(x >> 51) & (HASH_SIZE - 1);
}

static struct jump *jump_of(struct soft_cpu *cpu, uint64_t rip)
{
    return &cpu->blocks->jumps[(rip ^ rip >> 12) & (JUMP_SIZE - 1)];
}

struct soft_block *soft_block_peek(struct soft_cpu *cpu, uint64_t rip)
{
    const struct jump *jump = jump_of(cpu, rip);
    struct soft_block *block = jump->block;

    if (block != NULL && block->rip == rip && block->mode == cpu->mode &&
        jump->generation == cpu->map_generation)
        return block;
    return NULL;
}

/* ---- pages with code ---- */

static struct page *page_find(const struct soft_cpu *cpu, uint64_t gpa)
{
    struct page *page = cpu->blocks->pages[(gpa >> 12) & (PAGES_SIZE - 1)];

    while (page != NULL && page->gpa != (gpa & SOFT_PAGE_MASK))
        page = page->next;
    return page;
}

bool soft_block_has_code(const struct soft_cpu *cpu, uint64_t gpa)
{
    return page_find(cpu, gpa) != NULL;
}

/* Lines of 64 bytes that an access to its page touches. */
static uint64_t lines_of(uint64_t gpa, unsigned length)
{
    unsigned first = (unsigned)(gpa & (SOFT_PAGE - 1)) / 64;
    unsigned last = (unsigned)((gpa & (SOFT_PAGE - 1)) + length - 1) / 64;

    return (~UINT64_C(0) >> (63 - (last > 63 ? 63 : last))) & (~UINT64_C(0) << first);
}

void soft_block_writing(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t gpa,
                        unsigned length)
{
    const struct page *page = page_find(cpu, gpa);

    if (page == NULL || (page->lines & lines_of(gpa, length)) == 0)
        return;
    if (op != NULL && cpu->block != NULL && (cpu->mode & SOFT_IN_SINGLE) == 0) {
        cpu->step_once = true;
        soft_leave(cpu, op, SOFT_LEAVE_AGAIN);
    }
    cpu->stamp++;
}

/* ---- memory ---- */

static void *take(struct soft_blocks *blocks, size_t bytes)
{
    void *memory;

    bytes = (bytes + 15) & ~(size_t)15;
    if (blocks->size - blocks->used < bytes)
        return NULL;
    memory = blocks->memory + blocks->used;
    blocks->used += bytes;
    return memory;
}

static bool page_add(struct soft_cpu *cpu, uint64_t gpa, unsigned length)
{
    struct page **chain = &cpu->blocks->pages[(gpa >> 12) & (PAGES_SIZE - 1)];
    struct page *page = page_find(cpu, gpa);

    if (page == NULL) {
        page = take(cpu->blocks, sizeof(*page));
        if (page == NULL)
            return false;
        *page = (struct page){.next = *chain, .gpa = gpa & SOFT_PAGE_MASK};
        *chain = page;
        soft_tlb_protect(cpu, gpa);
    }
    page->lines |= lines_of(gpa, length);
    return true;
}

/* ---- making ---- */

static enum soft_mode decode_mode(uint32_t mode)
{
    return (mode & SOFT_IN_64) != 0   ? SOFT_MODE_64
           : (mode & SOFT_IN_32) != 0 ? SOFT_MODE_32
                                      : SOFT_MODE_16;
}

/* The linear address of cpu->rip; in 64-bit mode the base of CS is 0. */
static uint64_t linear_rip(const struct soft_cpu *cpu)
{
    uint64_t address = cpu->seg[SOFT_SEG_CS].base + cpu->rip;

    return (cpu->mode & SOFT_IN_64) != 0 ? cpu->rip : address & 0xffffffff;
}

/*
 * Guest code from `rip` on: the rest of its page, and what of the next page an instruction that
 * crosses needs. Where the next page is has nothing to do with where this one is.
 */
struct source {
    const uint8_t *here, *there; /* there: NULL until somebody needs it */
    uint64_t gpa, gpa2;
    unsigned room; /* bytes in the first page */
};

/*
 * Decodes the instruction at `offset`; returns as soft_decode(). Raises #PF of the second page.
 *
 * Bytes are read from the guest once, into unit->code: another vCPU may be writing them, and what
 * is kept beside the block has to be what was translated.
 */
static int decode(struct soft_insn *insn, struct soft_cpu *cpu, struct source *source,
                  unsigned offset)
{
    struct soft_translation_unit *unit = &cpu->blocks->unit;
    enum soft_mode mode = decode_mode(cpu->mode);
    int length = soft_decode(insn, unit->code + offset, unit->known - offset, mode);

    /* An instruction that crosses the page is a block of its own. */
    if (length != SOFT_DECODE_MORE || offset > 0)
        return length;
    if (source->there == NULL) {
        source->there = soft_fetch(&source->gpa2, cpu, linear_rip(cpu) + source->room);
        if (source->there == NULL)
            return SOFT_DECODE_MORE;
    }
    memcpy(unit->code + unit->known, source->there, SOFT_INSN_MAX_LENGTH);
    unit->known += SOFT_INSN_MAX_LENGTH;
    return soft_decode(insn, unit->code, unit->known, mode);
}

/* The unit as a block; NULL: no room. */
static struct soft_block *put(struct soft_cpu *cpu, const struct source *source, unsigned bytes)
{
    struct soft_blocks *blocks = cpu->blocks;
    const struct soft_translation_unit *unit = &blocks->unit;
    struct soft_block *block =
        take(blocks, sizeof(*block) + unit->count * sizeof(struct soft_uop) + bytes);
    uint8_t *code;

    if (block == NULL)
        return NULL;
    code = (uint8_t *)&block->uops[unit->count];
    memcpy(code, unit->code, bytes);
    *block = (struct soft_block){
        .rip = cpu->rip,
        .gpa = source->gpa,
        .gpa2 = bytes > source->room ? source->gpa2 : 0,
        .stamp = cpu->stamp,
        .mode = cpu->mode,
        .bytes = (uint16_t)bytes,
        .count = (uint16_t)unit->number,
        .code = code,
    };
    memcpy(block->uops, unit->uops, unit->count * sizeof(struct soft_uop));
    return block;
}

/* The same, with stores to its code seen. */
static struct soft_block *keep(struct soft_cpu *cpu, const struct source *source, unsigned bytes)
{
    struct soft_block *block = put(cpu, source, bytes);
    unsigned here = bytes < source->room ? bytes : source->room;

    if (block == NULL || !page_add(cpu, source->gpa, here) ||
        (bytes > here && !page_add(cpu, source->gpa2, bytes - here)))
        return NULL;
    return block;
}

/* How many bytes make the instruction there none; if one of them changes, it may be one. */
static unsigned seen(const struct soft_translation_unit *unit, unsigned offset, uint32_t mode)
{
    struct soft_insn insn;
    unsigned bytes = 1;

    while (bytes < SOFT_INSN_MAX_LENGTH &&
           soft_decode(&insn, unit->code + offset, bytes, decode_mode(mode)) == SOFT_DECODE_MORE)
        bytes++;
    return bytes;
}

/* Translates into the unit, from cpu->rip on. Returns the number of bytes; 0: the first instruction
 * is not in memory. */
static unsigned translate(struct soft_cpu *cpu, struct source *source)
{
    struct soft_translation_unit *unit = &cpu->blocks->unit;
    unsigned most = (cpu->mode & SOFT_IN_SINGLE) != 0 ? 1 : SOFT_BLOCK_INSTRUCTIONS;
    struct soft_insn insn;
    unsigned offset = 0;
    int length;

    unit->cpu = cpu;
    unit->rip = cpu->rip;
    unit->mode = cpu->mode;
    unit->number = unit->count = 0;
    unit->ended = false;
    unit->known = source->room < SOFT_BLOCK_BYTES ? source->room : SOFT_BLOCK_BYTES;
    memcpy(unit->code, source->here, unit->known);
    while (!unit->ended && offset < source->room && unit->number < most &&
           unit->count < SOFT_BLOCK_UOPS - 16) {
        length = decode(&insn, cpu, source, offset);
        if (length == SOFT_DECODE_MORE && offset > 0)
            break;
        if (length == SOFT_DECODE_MORE)
            return 0;
        unit->offset = offset;
        unit->insn = &insn;
        if (length < 0) {
            unsigned bytes = seen(unit, offset, cpu->mode);

            insn.length = 1;
            soft_translate_fault(unit, length == SOFT_DECODE_INVALID ? SOFT_UD : SOFT_GP);
            offset += bytes;
        } else {
            soft_translate_insn(unit, &insn);
            offset += (unsigned)length;
        }
        unit->number++;
    }
    unit->offset = offset;
    if (!unit->ended)
        soft_translate_end(unit);
    return offset;
}

static struct soft_block *make(struct soft_cpu *cpu, struct source *source)
{
    unsigned bytes = translate(cpu, source);
    struct soft_block *block;

    if (bytes == 0)
        return NULL;
    block = keep(cpu, source, bytes);
    if (block == NULL) {
        soft_blocks_clear(cpu);
        block = keep(cpu, source, bytes); /* one block always fits */
    }
    return block;
}

/* ---- finding ---- */

/* Raises #GP if the next `length` bytes of code are not inside CS. */
static void check_fetch(struct soft_cpu *cpu, unsigned length)
{
    const visor_x86_segment *cs = &cpu->seg[SOFT_SEG_CS];
    unsigned spare = (cpu->cr4 & SOFT_CR4_LA57) != 0 ? 64 - 57 : 64 - 48;

    if ((cpu->mode & SOFT_IN_64) != 0) {
        if ((uint64_t)((int64_t)(cpu->rip << spare) >> spare) != cpu->rip)
            soft_raise_error(cpu, NULL, SOFT_GP, 0);
    } else if (cpu->rip + length - 1 > cs->limit) {
        soft_raise_error(cpu, NULL, SOFT_GP, 0);
    }
}

enum state { CURRENT, CHANGED, ELSEWHERE };

/* Whether memory still holds what was translated; ELSEWHERE: the second page is another one now. Of
 * that page nobody asks unless the first has the instruction that goes on there: fetching may
 * fault. */
static enum state compare(struct soft_cpu *cpu, const struct soft_block *block,
                          struct source *source)
{
    unsigned here = block->bytes < source->room ? block->bytes : source->room;

    if (memcmp(block->code, source->here, here) != 0)
        return CHANGED;
    if (block->bytes == here)
        return CURRENT;
    if (source->there == NULL)
        source->there = soft_fetch(&source->gpa2, cpu, linear_rip(cpu) + source->room);
    if (source->there == NULL || block->gpa2 != source->gpa2)
        return ELSEWHERE;
    return memcmp(block->code + here, source->there, block->bytes - here) == 0 ? CURRENT : CHANGED;
}

struct soft_block *soft_block_find(struct soft_cpu *cpu)
{
    struct soft_blocks *blocks = cpu->blocks;
    struct soft_block *block = soft_block_peek(cpu, cpu->rip);
    struct soft_block **chain;
    struct source source = {0};
    uint64_t address;

    if (block != NULL && block->stamp == cpu->stamp)
        return block;
    address = linear_rip(cpu);
    check_fetch(cpu, 1);
    source.here = soft_fetch(&source.gpa, cpu, address);
    if (source.here == NULL)
        return NULL;
    source.room = (unsigned)(SOFT_PAGE - (address & (SOFT_PAGE - 1)));
    chain = &blocks->hash[hash_of(source.gpa, cpu->mode)];
    while ((block = *chain) != NULL) {
        if (block->gpa == source.gpa && block->rip == cpu->rip && block->mode == cpu->mode) {
            enum state state = compare(cpu, block, &source);

            if (state == CURRENT)
                break;
            if (state == CHANGED) {
                /* It stays in memory, out of reach, until all is cleared; links to it find a stamp
                 * that never is. */
                block->stamp = 0;
                *chain = block->next;
                continue;
            }
        }
        chain = &block->next;
    }
    if (block == NULL) {
        block = make(cpu, &source);
        if (block == NULL)
            return NULL;
        chain = &blocks->hash[hash_of(block->gpa, block->mode)];
        block->next = *chain;
        *chain = block;
    }
    if ((cpu->mode & (SOFT_IN_64 | SOFT_IN_FLAT)) == 0) {
        if ((cpu->mode & SOFT_IN_SINGLE) != 0 || block->count == 1)
            check_fetch(cpu, block->bytes);
        else if (cpu->rip + block->bytes - 1 > cpu->seg[SOFT_SEG_CS].limit)
            cpu->step_once = true; /* what is before the limit is executed; see soft_run() */
    }
    block->stamp = cpu->stamp;
    *jump_of(cpu, cpu->rip) = (struct jump){block, cpu->map_generation};
    return block;
}

/* ---- single instructions ---- */

unsigned soft_block_read(uint8_t out[SOFT_INSN_MAX_LENGTH], struct soft_cpu *cpu)
{
    uint64_t address = linear_rip(cpu), gpa;
    unsigned room = (unsigned)(SOFT_PAGE - (address & (SOFT_PAGE - 1)));
    unsigned count = room < SOFT_INSN_MAX_LENGTH ? room : SOFT_INSN_MAX_LENGTH;
    struct soft_insn insn;
    const uint8_t *code;

    check_fetch(cpu, 1);
    code = soft_fetch(&gpa, cpu, address);
    if (code == NULL)
        return 0;
    memcpy(out, code, count);
    if (count < SOFT_INSN_MAX_LENGTH &&
        soft_decode(&insn, out, count, decode_mode(cpu->mode)) == SOFT_DECODE_MORE) {
        code = soft_fetch(&gpa, cpu, address + room);
        if (code == NULL)
            return count;
        memcpy(out + count, code, SOFT_INSN_MAX_LENGTH - count);
        count = SOFT_INSN_MAX_LENGTH;
    }
    return count;
}

struct soft_block *soft_block_from(struct soft_cpu *cpu, const uint8_t *bytes, unsigned length)
{
    struct source source = {.here = bytes, .room = length};
    struct soft_block *block;

    cpu->blocks->used = 0;
    block = put(cpu, &source, translate(cpu, &source));
    check_fetch(cpu, block->bytes);
    return block;
}
