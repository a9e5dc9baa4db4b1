/* SPDX-License-Identifier: BSD-3-Clause */
/* Encodings: Arm ARM (DDI 0487), chapter C6. */
#include "entry.h"

#include <string.h>

#define VCPUS     4u /* that a VM can have */
#define ENTRIES   8u
#define SYSTEM    48u    /* registers on a list */
#define AREA      0x800u /* bytes of a prologue: code, from POOL on what it loads */
#define POOL      0x500u
#define PROLOGUES 0x80005000u /* below the stacks */
#define PARK      (PROLOGUES + VCPUS * AREA)
#define PAGE      0x1000u /* of a vCPU's code */

#define SP_EL0   VISOR_AARCH64_SYSREG(3, 0, 4, 1, 0)
#define NZCV     VISOR_AARCH64_SYSREG(3, 3, 4, 2, 0)
#define DAIF     VISOR_AARCH64_SYSREG(3, 3, 4, 2, 1)
#define SCRATCH  9u
#define MOV_SP   0x9100001fu /* mov sp, x0 */
#define MSR      0xd5000000u
#define ISB      0xd5033fdfu
#define HVC      0xd4000002u
#define BRANCH   0x14000000u
#define LDR      0x58000000u /* of a literal */
#define PSCI_ON  0xc4000003u
#define AT_START (ARM_PSTATE_EL1H | ARM_PSTATE_DAIF)

struct entry {
    visor_vcpu *vcpu; /* NULL: free */
    const visor_vm *vm;
    uint32_t id;
    visor_memory *memory;
    struct {
        uint32_t reg;
        uint64_t value;
    } system[SYSTEM];
    unsigned count;
    bool wanted;  /* one of them by a case */
    bool staged;  /* the guest sets all of its registers, and switches it on */
    bool entered; /* it has a program */
    visor_aarch64_regs regs;
};

static struct entry entries[ENTRIES];

/* NULL: it is none of ours. */
static struct entry *entry_of(const visor_vcpu *vcpu)
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (entries[i].vcpu == vcpu)
            return &entries[i];
    }
    return NULL;
}

/* The VM's vCPU with this id, if it has a program. */
static struct entry *entry_with(const visor_vm *vm, uint32_t id)
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (entries[i].vcpu != NULL && entries[i].vm == vm && entries[i].id == id &&
            entries[i].entered)
            return &entries[i];
    }
    return NULL;
}

static bool has_cap(visor_vcpu *vcpu, visor_cap cap)
{
    return visor_vm_cap(visor_vcpu_vm(vcpu), cap) > 0;
}

/* Whether the guest sets all of the vCPU's registers. */
static bool is_staged(visor_vcpu *vcpu)
{
    return has_cap(vcpu, VISOR_CAP_BOOT_CONTEXT) ||
           (visor_vcpu_id(vcpu) != 0 && !has_cap(vcpu, VISOR_CAP_MP_STATE));
}

void entry_forget(struct guest *g, visor_vcpu *vcpu)
{
    static unsigned last;
    struct entry *entry = entry_of(vcpu);

    if (visor_vcpu_id(vcpu) >= VCPUS)
        return;
    /* The first of a new VM: an older one may have been at this address. */
    for (unsigned i = 0; visor_vcpu_id(vcpu) == 0 && i < ENTRIES; i++) {
        if (entries[i].vm == g->vm)
            entries[i] = (struct entry){.vcpu = NULL};
    }
    if (entry == NULL)
        entry = &entries[last++ % ENTRIES];
    *entry = (struct entry){.vcpu = vcpu,
                            .vm = g->vm,
                            .id = visor_vcpu_id(vcpu),
                            .memory = g->memory,
                            .staged = is_staged(vcpu)};
}

/* ---- the prologue ---- */

struct prologue {
    uint64_t gpa;
    union {
        uint32_t code[AREA / 4];
        uint64_t pool[AREA / 8];
    } words;
    unsigned code, pool;
};

static uint64_t address_of(const struct entry *entry)
{
    return PROLOGUES + (uint64_t)AREA * entry->id;
}

static void emit(struct prologue *to, uint32_t word)
{
    CHECK(to->code < POOL / 4);
    to->words.code[to->code++] = word;
}

static void emit_load(struct prologue *to, unsigned x, uint64_t value)
{
    CHECK(to->pool < AREA / 8);
    to->words.pool[to->pool] = value;
    emit(to, LDR | (2 * to->pool - to->code) << 5 | x);
    to->pool++;
}

static uint32_t branch(uint64_t from, uint64_t to)
{
    return BRANCH | ((uint32_t)(to - from) >> 2 & 0x3ffffffu);
}

static void emit_system(struct prologue *to, uint32_t reg, uint64_t value)
{
    emit_load(to, SCRATCH, value);
    emit(to, reg == ARM_SP_EL1 ? MOV_SP | SCRATCH << 5 : MSR | reg << 5 | SCRATCH);
}

/* Has it switch on the VM's other vCPUs that have a program; one that is on stays as it is. */
static void emit_power(struct prologue *to, const struct entry *entry)
{
    for (unsigned i = 1; entry->id == 0 && i < VCPUS; i++) {
        const struct entry *other = entry_with(entry->vm, i);
        uint64_t mpidr;

        if (other == NULL || !other->staged)
            continue;
        CHECK_OK(visor_aarch64_get_reg(&mpidr, other->vcpu, ARM_MPIDR_EL1));
        emit_load(to, 0, PSCI_ON);
        emit_load(to, 1, mpidr & 0xff00ffffffu);
        emit_load(to, 2, address_of(other));
        emit(to, HVC);
    }
}

static void put_words(const struct entry *entry, uint64_t gpa, const void *words, size_t length)
{
    const struct code code = {words, length};
    struct guest g = {.memory = entry->memory};

    guest_put_code(&g, gpa, &code);
}

/* It runs where the program will: at EL1, with all interrupts masked. */
static void put_prologue(const struct entry *entry)
{
    const visor_aarch64_regs *regs = &entry->regs;
    struct prologue prologue = {.gpa = address_of(entry), .pool = POOL / 8};

    for (unsigned i = 0; i < entry->count; i++)
        emit_system(&prologue, entry->system[i].reg, entry->system[i].value);
    emit(&prologue, ISB);
    emit_power(&prologue, entry);
    if (entry->staged) {
        CHECK_EQ(regs->pstate & 0xf, ARM_PSTATE_EL1H);
        emit_system(&prologue, SP_EL0, regs->sp);
        emit_system(&prologue, NZCV, regs->pstate & 0xf0000000u);
    }
    for (unsigned i = 0; i < 31; i++) {
        if (i != SCRATCH)
            emit_load(&prologue, i, regs->x[i]);
    }
    if (entry->staged)
        emit_system(&prologue, DAIF, regs->pstate & ARM_PSTATE_DAIF);
    emit_load(&prologue, SCRATCH, regs->x[SCRATCH]);
    emit(&prologue, branch(prologue.gpa + 4 * prologue.code, regs->pc));
    put_words(entry, prologue.gpa, &prologue.words, sizeof(prologue.words));
}

/* ---- a vCPU that runs already ---- */

/*
 * Leads it to a new program without a register: wherever in its page of code it is, it finds a jump
 * to a place where it waits, and from there the prologue. The program is in the page already.
 */
static void lead_over(const struct entry *entry)
{
    static uint32_t jumps[PAGE / 4];
    static uint8_t program[PAGE];
    const uint64_t page = guest_code + PAGE * visor_vcpu_id(entry->vcpu);
    uint32_t wait = branch(PARK, PARK);

    CHECK_OK(visor_memory_read(program, entry->memory, page, PAGE));
    for (unsigned i = 0; i < PAGE / 4; i++)
        jumps[i] = branch(page + 4 * i, PARK);
    put_words(entry, PARK, &wait, sizeof(wait));
    put_words(entry, page, jumps, PAGE);
    kick_later(entry->vcpu, 20);
    run_to(HERE, entry->vcpu, VISOR_EXIT_KICKED);
    put_words(entry, page, program, PAGE);
    put_prologue(entry);
    wait = branch(PARK, address_of(entry));
    put_words(entry, PARK, &wait, sizeof(wait));
}

/* ---- from outside ---- */

/* A hypervisor that starts guests its own way is told where, once; it finds no device tree and has
 * to do without. */
static void set_boot(visor_vcpu *vcpu, uint64_t pc)
{
    const visor_aarch64_boot boot = {
        .size = sizeof(boot), .entry_gpa = pc, .tree_gpa = ARM_ROOM, .tree_length = 0x10000};
    int ret = visor_aarch64_set_boot(visor_vcpu_vm(vcpu), &boot);

    CHECK(ret == 0 || ret == VISOR_ESTATE); /* told before; what counts is in the registers */
}

/* Whether vCPU 0 has others to switch on. */
static bool has_others(const struct entry *entry)
{
    for (unsigned i = 1; entry->id == 0 && i < VCPUS; i++) {
        const struct entry *other = entry_with(entry->vm, i);

        if (other != NULL && other->staged)
            return true;
    }
    return false;
}

/* vCPU 0, which has registers, and others to switch on, or registers that only the guest sets. */
static void enter_first(struct entry *entry)
{
    visor_aarch64_regs regs = entry->regs;
    int ret;

    if (has_others(entry) || (entry->staged && (entry->wanted || regs.pstate != AT_START))) {
        put_prologue(entry);
        regs.pc = address_of(entry);
        regs.pstate = entry->staged ? AT_START : regs.pstate;
    }
    ret = visor_aarch64_set_regs(entry->vcpu, &regs);
    if (ret != VISOR_EUNSUPPORTED || !entry->staged)
        CHECK_OK(ret);
    else
        lead_over(entry);
    if (has_cap(entry->vcpu, VISOR_CAP_BOOT_CONTEXT))
        set_boot(entry->vcpu, regs.pc);
}

static void enter(struct entry *entry)
{
    struct entry *first = entry_with(entry->vm, 0);

    entry->entered = true;
    if (entry->id == 0) {
        enter_first(entry);
        return;
    }
    put_prologue(entry);
    if (first != NULL)
        enter_first(first);
}

bool entry_take_reg(visor_vcpu *vcpu, uint32_t reg, uint64_t value, bool wanted)
{
    struct entry *entry = entry_of(vcpu);
    unsigned i = 0;

    /* Above are registers that are none of the processor's; and nobody sets the counter. */
    if (entry == NULL || !entry->staged || reg > 0xffff || reg == ARM_CNTVCT_EL0)
        return false;
    while (i < entry->count && entry->system[i].reg != reg)
        i++;
    CHECK(i < SYSTEM);
    entry->system[i].reg = reg;
    entry->system[i].value = value;
    entry->count += i == entry->count;
    entry->wanted |= wanted;
    if (entry->entered)
        enter(entry);
    return true;
}

void entry_go(visor_vcpu *vcpu, const visor_aarch64_regs *regs)
{
    struct entry *entry = entry_of(vcpu);

    if (entry == NULL || (!entry->staged && !has_others(entry))) {
        CHECK_OK(visor_aarch64_set_regs(vcpu, regs));
        if (entry == NULL)
            return;
        entry->regs = *regs;
        entry->entered = true;
        return;
    }
    CHECK(entry->id == 0 || !entry->entered); /* another's first program is its last */
    entry->regs = *regs;
    enter(entry);
}
