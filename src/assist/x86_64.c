/* SPDX-License-Identifier: BSD-3-Clause */
/* The instruction under way: registers in, the software CPU's single step, registers out. */
#include "assist/x86_64.h"

#include <stdlib.h>
#include <string.h>

#include "assist/x86_class.h"
#include "core/vm.h"
#include "soft/block.h"
#include "soft/engine.h"
#include "soft/event.h"
#include "soft/flags.h"
#include "soft/machine.h"
#include "soft/memory.h"
#include "soft/mmu.h"
#include "soft/registers.h"
#include "soft/system.h"

#define BLOCK_BYTES 4096u /* more than the micro-operations of one instruction */

/* The processor's registers before the instruction, to be compared with those behind it. */
struct before {
    uint64_t r[16], rip;
    uint32_t eflags;
    union soft_vector_register v[16];
    visor_x86_sregs sregs;
    visor_x86_fpu fpu;
};

struct visor__assist_x86 {
    visor_vm *vm;
    const struct visor__assist_x86_ops *ops;
    void *context;

    bool active;     /* an instruction is under way */
    bool touched;    /* its present element has reached a device */
    bool repeats;    /* it is a repeated string instruction */
    uint16_t clears; /* vector registers of which it clears what is above YMM */
    unsigned got;    /* pieces */
    unsigned count;  /* bytes that are known of it */
    uint8_t bytes[SOFT_INSN_MAX_LENGTH];

    struct visor__assist_x86_state state;
    struct before before;
    visor_exit ignored; /* where the software CPU writes exits that do not occur here */
    size_t range_capacity;
    struct soft_machine machine;
    struct soft_cpu cpu;
};

/* ---- life ---- */

int visor__assist_x86_create(struct visor__assist_x86 **out, visor_vm *vm,
                             const struct visor__assist_x86_ops *ops, void *context,
                             unsigned gpa_bits)
{
    const size_t size = (sizeof(struct visor__assist_x86) + 63) / 64 * 64;
    struct visor__assist_x86 *assist = visor__os_alloc(64, size);
    struct soft_cpu *cpu;

    if (assist == NULL)
        return visor__error(VISOR_ENOMEM, "", "assist", "%zu bytes", size);
    memset(assist, 0, size);
    assist->vm = vm;
    assist->ops = ops;
    assist->context = context;
    assist->machine.gpa_last = (UINT64_C(1) << (gpa_bits == 0 ? 52 : gpa_bits)) - 1;
    cpu = &assist->cpu;
    cpu->machine = &assist->machine;
    cpu->exit = &assist->ignored;
    cpu->stamp = 1;
    if (visor__mutex_init(&assist->machine.exchange_lock) < 0) {
        visor__os_free(assist);
        return visor__error(VISOR_ENOMEM, "", "assist", "a lock");
    }
    if (soft_blocks_create(cpu, BLOCK_BYTES) < 0) {
        visor__mutex_destroy(&assist->machine.exchange_lock);
        visor__os_free(assist);
        return visor__error(VISOR_ENOMEM, "", "assist", "%u bytes", BLOCK_BYTES);
    }
    soft_tlb_init(cpu);
    soft_cpu_reset(cpu, false);
    cpu->apic_page = UINT64_MAX;
    *out = assist;
    return 0;
}

void visor__assist_x86_free(struct visor__assist_x86 *assist)
{
    if (assist == NULL)
        return;
    soft_blocks_destroy(&assist->cpu);
    visor__mutex_destroy(&assist->machine.exchange_lock);
    free(assist->machine.ranges);
    visor__os_free(assist);
}

void visor__assist_x86_set_apic_page(struct visor__assist_x86 *assist, uint64_t gpa)
{
    assist->cpu.apic_page = gpa;
}

bool visor__assist_x86_is_active(const struct visor__assist_x86 *assist)
{
    return assist->active;
}

/* ---- memory ---- */

/* VM lock. */
static void mark(const struct soft_range *range, uint64_t gpa)
{
    visor__dirty_mark(range->context, range->slot, (gpa - range->gpa) / visor__os_page_size());
}

/* The VM's slots as they are now, in the order of their addresses. What was translated through
 * others, or through tables that the guest has changed since, is forgotten. VM lock. */
static int take_slots(struct visor__assist_x86 *assist)
{
    struct soft_machine *machine = &assist->machine;
    const struct visor__slots *slots = assist->vm->slots;

    if (slots->count > assist->range_capacity) {
        struct soft_range *ranges =
            realloc(machine->ranges, slots->count * sizeof(*machine->ranges));

        if (ranges == NULL)
            return visor__error(VISOR_ENOMEM, "", "assist", "%u slots", slots->count);
        machine->ranges = ranges;
        assist->range_capacity = slots->count;
    }
    machine->range_count = 0;
    for (uint32_t id = 0; id < slots->count; id++) {
        const struct visor__slot *slot = slots->table[id];
        size_t at = machine->range_count;

        if (slot == NULL || slot->leaving)
            continue;
        for (; at > 0 && machine->ranges[at - 1].gpa > slot->map.gpa; at--)
            machine->ranges[at] = machine->ranges[at - 1];
        machine->ranges[at] = (struct soft_range){.gpa = slot->map.gpa,
                                                  .length = slot->map.length,
                                                  .host = slot->map.host,
                                                  .read_only = slot->map.read_only,
                                                  .written = slot->dirty != NULL ? mark : NULL,
                                                  .context = assist->vm,
                                                  .slot = slot->map.slot};
        machine->range_count++;
    }
    soft_tlb_flush(&assist->cpu, true);
    return 0;
}

/* ---- registers in ---- */

static int get(struct visor__assist_x86 *assist, unsigned pieces)
{
    pieces &= ~assist->got;
    assist->got |= pieces;
    return pieces == 0 ? 0 : assist->ops->get(&assist->state, assist->context, pieces);
}

/* What of a real processor's state the software CPU does not know is kept from it. */
static void load_general(struct visor__assist_x86 *assist)
{
    struct soft_cpu *cpu = &assist->cpu;
    visor_x86_sregs sregs = assist->state.sregs;

    sregs.cr4 &= SOFT_CR4_ALL;
    sregs.efer &= SOFT_EFER_ALL;
    soft_set_sregs(cpu, &sregs);
    soft_set_regs(cpu, &assist->state.regs);
    cpu->event.kind = SOFT_EVENT_NONE;
    cpu->nmi_pending = cpu->halted = cpu->dead = false;
    cpu->shadow = 0;
    /* What the last instruction has accessed is not this one's. */
    soft_access_commit(cpu);
    cpu->log.pending = false;
}

static void load_vectors(struct visor__assist_x86 *assist)
{
    struct soft_cpu *cpu = &assist->cpu;

    soft_set_fpu(cpu, &assist->state.fpu);
    cpu->xcr0 = (assist->state.xcr0 & SOFT_XCR0_ALL) | 1;
    for (unsigned i = 0; i < 16 && (assist->got & VISOR__ASSIST_X86_YMM) != 0; i++)
        memcpy(cpu->v[i].u8 + 16, assist->state.ymm_high[i], 16);
    soft_mode_update(cpu);
}

static void remember(struct visor__assist_x86 *assist)
{
    const struct soft_cpu *cpu = &assist->cpu;
    struct before *before = &assist->before;

    memcpy(before->r, cpu->r, sizeof(before->r));
    before->rip = cpu->rip;
    before->eflags = soft_eflags(cpu);
    memcpy(before->v, cpu->v, sizeof(before->v));
    soft_get_sregs(&before->sregs, cpu);
    soft_get_fpu(&before->fpu, cpu);
}

/* ---- registers out ---- */

/* What is neither XMM nor MXCSR. */
static bool same_x87(const visor_x86_fpu *a, const visor_x86_fpu *b)
{
    return memcmp(a->st, b->st, sizeof(a->st)) == 0 && a->last_ip == b->last_ip &&
           a->last_dp == b->last_dp && a->fcw == b->fcw && a->fsw == b->fsw &&
           a->last_opcode == b->last_opcode && a->ftw == b->ftw;
}

static void store_vectors(struct visor__assist_x86 *assist,
                          struct visor__assist_x86_changes *changes)
{
    const struct soft_cpu *cpu = &assist->cpu;
    const struct before *before = &assist->before;

    soft_get_fpu(&assist->state.fpu, cpu);
    changes->mxcsr = cpu->mxcsr != before->fpu.mxcsr;
    changes->x87 = !same_x87(&assist->state.fpu, &before->fpu);
    for (unsigned i = 0; i < 16; i++) {
        memcpy(assist->state.ymm_high[i], cpu->v[i].u8 + 16, 16);
        changes->xmm |= (uint16_t)((memcmp(cpu->v[i].u8, before->v[i].u8, 16) != 0) << i);
        changes->ymm |= (uint16_t)((memcmp(cpu->v[i].u8 + 16, before->v[i].u8 + 16, 16) != 0) << i);
    }
}

static void store_sregs(struct visor__assist_x86 *assist, struct visor__assist_x86_changes *changes)
{
    visor_x86_sregs *out = &assist->state.sregs, old = *out, sregs;

    soft_get_sregs(&sregs, &assist->cpu);
    sregs.cr2 = assist->before.sregs.cr2; /* comes with the exception */
    changes->sregs = memcmp(&sregs, &assist->before.sregs, sizeof(sregs)) != 0;
    if (!changes->sregs)
        return;
    *out = sregs;
    out->cr4 |= old.cr4 & ~SOFT_CR4_ALL;
    out->efer |= old.efer & ~SOFT_EFER_ALL;
}

static int store(struct visor__assist_x86 *assist, bool is_complete)
{
    const struct soft_cpu *cpu = &assist->cpu;
    struct visor__assist_x86_changes changes = {0};

    for (unsigned i = 0; i < 16; i++)
        changes.gpr |= (uint16_t)((cpu->r[i] != assist->before.r[i]) << i);
    changes.rip = cpu->rip != assist->before.rip;
    changes.rflags = soft_eflags(cpu) != assist->before.eflags;
    soft_get_regs(&assist->state.regs, cpu);
    if ((assist->got & VISOR__ASSIST_X86_FPU) != 0)
        store_vectors(assist, &changes);
    changes.zmm = is_complete ? assist->clears : 0;
    store_sregs(assist, &changes);
    assist->state.shadow = cpu->shadow;
    return assist->ops->set(assist->context, &assist->state, &changes);
}

static int inject(struct visor__assist_x86 *assist, bool is_trap)
{
    const struct soft_event *event = &assist->cpu.event;
    struct visor__assist_x86_exception exception = {.vector = event->vector,
                                                    .has_error_code = event->has_error,
                                                    .error_code = event->error,
                                                    .is_trap = is_trap};

    if (event->vector == SOFT_PF_FAULT) {
        exception.has_payload = true;
        exception.payload = assist->cpu.cr2;
    } else if (event->vector == SOFT_DB) {
        exception.has_payload = true;
        exception.payload = SOFT_DR6_BS;
    }
    return assist->ops->inject(assist->context, &exception);
}

static int finish(struct visor__assist_x86 *assist, bool is_complete)
{
    int ret = store(assist, is_complete);

    assist->active = false;
    if (ret == 0 && assist->cpu.event.kind != SOFT_EVENT_NONE)
        ret = inject(assist, is_complete);
    return ret < 0 ? ret : VISOR_EXIT_NONE;
}

/* ---- refusing ---- */

static const char *refusal_text(enum visor__assist_x86_refusal refusal)
{
    switch (refusal) {
#define TEXT(id, text) \
    case VISOR__ASSIST_X86_REFUSED_##id: return text;
        VISOR__ASSIST_X86_REFUSALS(TEXT)
#undef TEXT
    default: return "";
    }
}

static int refuse(visor_exit *exit, struct visor__assist_x86 *assist,
                  enum visor__assist_x86_refusal refusal)
{
    const struct soft_cpu *cpu = &assist->cpu;

    assist->active = false;
    memset(&exit->internal, 0, sizeof(exit->internal));
    exit->internal.suberror = refusal;
    exit->internal.text = refusal_text(refusal);
    exit->internal.data_count = 1;
    exit->internal.data[0] = soft_is_64(cpu) ? cpu->rip : cpu->seg[SOFT_SEG_CS].base + cpu->rip;
    exit->internal.instruction_len = assist->count;
    memcpy(exit->internal.instruction, assist->bytes, assist->count);
    return VISOR_EXIT_INTERNAL_ERROR;
}

/* ---- going on ---- */

static int hand_out(visor_exit *exit, struct visor__assist_x86 *assist, int reason)
{
    const struct soft_access *access = &assist->cpu.log.next;

    assist->touched = true;
    exit->io = soft_io_of(access);
    return reason;
}

static int step(struct visor__assist_x86 *assist)
{
    int ret;

    visor__mutex_lock(&assist->vm->lock);
    ret = take_slots(assist);
    if (ret == 0)
        ret = soft_step_bytes(&assist->cpu, assist->bytes, assist->count);
    visor__mutex_unlock(&assist->vm->lock);
    return ret;
}

void visor__assist_x86_answer(struct visor__assist_x86 *assist, const visor_io *io)
{
    soft_answer(&assist->cpu, visor_io_value(io), false);
}

int visor__assist_x86_next(visor_exit *exit, struct visor__assist_x86 *assist, bool settle)
{
    const struct soft_cpu *cpu = &assist->cpu;

    while (assist->active) {
        const uint64_t icount = cpu->icount;
        int ret = step(assist);

        if (ret < 0)
            return ret;
        if (ret == VISOR_EXIT_MMIO || ret == VISOR_EXIT_IO)
            return hand_out(exit, assist, ret);
        if (ret != VISOR_EXIT_NONE)
            return refuse(exit, assist, VISOR__ASSIST_X86_REFUSED_SYSTEM);
        if (cpu->event.kind != SOFT_EVENT_NONE || !assist->repeats || !assist->touched || settle ||
            cpu->rip != assist->before.rip)
            return finish(assist, cpu->icount != icount);
        assist->touched = false;
    }
    return VISOR_EXIT_NONE;
}

/* ---- beginning ---- */

static enum soft_mode decode_mode(const struct soft_cpu *cpu)
{
    return soft_is_64(cpu)                 ? SOFT_MODE_64
           : (cpu->mode & SOFT_IN_32) != 0 ? SOFT_MODE_32
                                           : SOFT_MODE_16;
}

/* Decodes what is known of the instruction, or else what memory has. Returns as soft_decode(). */
static int decode(struct soft_insn *insn, struct visor__assist_x86 *assist, const uint8_t *bytes,
                  size_t count)
{
    struct soft_cpu *cpu = &assist->cpu;
    int length;

    assist->count = count < SOFT_INSN_MAX_LENGTH ? (unsigned)count : SOFT_INSN_MAX_LENGTH;
    if (assist->count > 0)
        memcpy(assist->bytes, bytes, assist->count);
    length = soft_decode(insn, assist->bytes, assist->count, decode_mode(cpu));
    if (length != SOFT_DECODE_MORE)
        return length;
    assist->count = soft_fetch_bytes(assist->bytes, cpu);
    return soft_decode(insn, assist->bytes, assist->count, decode_mode(cpu));
}

static int prepare(int *length, struct soft_insn *insn, struct visor__assist_x86 *assist,
                   const uint8_t *bytes, size_t count)
{
    int ret = get(assist, VISOR__ASSIST_X86_REGS | VISOR__ASSIST_X86_SREGS);

    if (ret < 0)
        return ret;
    visor__mutex_lock(&assist->vm->lock);
    ret = take_slots(assist);
    if (ret == 0) {
        load_general(assist);
        *length = decode(insn, assist, bytes, count);
    }
    visor__mutex_unlock(&assist->vm->lock);
    remember(assist);
    return ret;
}

int visor__assist_x86_start(visor_exit *exit, struct visor__assist_x86 *assist,
                            const uint8_t *bytes, size_t count)
{
    struct soft_cpu *cpu = &assist->cpu;
    enum visor__assist_x86_refusal refusal;
    struct soft_insn insn;
    unsigned pieces;
    int ret, length = SOFT_DECODE_MORE;

    assist->active = assist->touched = assist->repeats = false;
    assist->got = 0;
    ret = prepare(&length, &insn, assist, bytes, count);
    if (ret < 0)
        return ret;
    if (length == SOFT_DECODE_TOO_LONG)
        cpu->event =
            (struct soft_event){.kind = SOFT_EVENT_EXCEPTION, .vector = SOFT_GP, .has_error = true};
    if (cpu->event.kind != SOFT_EVENT_NONE)
        return finish(assist, false);
    if (length < 0)
        return refuse(exit, assist,
                      length == SOFT_DECODE_MORE ? VISOR__ASSIST_X86_REFUSED_FETCH
                                                 : VISOR__ASSIST_X86_REFUSED_UNKNOWN);
    assist->count = insn.length;
    refusal = visor__assist_x86_classify(&pieces, &insn);
    if (refusal != VISOR__ASSIST_X86_PERFORMED)
        return refuse(exit, assist, refusal);
    if (pieces != 0) {
        ret = get(assist, pieces);
        if (ret < 0)
            return ret;
        if (visor__assist_x86_is_xsave(&insn) && (assist->state.xcr0 & ~SOFT_XCR0_ALL) != 0)
            return refuse(exit, assist, VISOR__ASSIST_X86_REFUSED_XSTATE);
        load_vectors(assist);
        remember(assist);
    }
    assist->clears = visor__assist_x86_clears(&insn);
    assist->repeats = (insn.attributes & SOFT_ATTR_STRING) != 0 &&
                      (insn.prefixes & (SOFT_PREFIX_REP | SOFT_PREFIX_REPNE)) != 0;
    assist->active = true;
    return visor__assist_x86_next(exit, assist, false);
}
