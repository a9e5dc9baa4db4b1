/* SPDX-License-Identifier: BSD-3-Clause */
/* Ports, interrupts flags, control registers, MSRs, CPUID, caches. */
#include "soft/debug.h"
#include "soft/event.h"
#include "soft/flags.h"
#include "soft/machine.h"
#include "soft/memory.h"
#include "soft/ops.h"
#include "soft/segment.h"
#include "soft/system.h"

#define RAX (8 * SOFT_RAX)
#define RDX (8 * SOFT_RDX)

#define MSR_TSC 0x10u

static void need_cpl0(struct soft_cpu *cpu, const struct soft_uop *op)
{
    if (SOFT_UNLIKELY(soft_cpl(cpu) != 0))
        soft_raise_error(cpu, op, SOFT_GP, 0);
}

/* Back to the run loop, behind the instruction. */
static const struct soft_uop *end_block(struct soft_cpu *cpu, const struct soft_uop *op)
{
    cpu->rip = soft_next_rip(cpu, op);
    return NULL;
}

/* ---- ports ---- */

void soft_check_io(struct soft_cpu *cpu, const struct soft_uop *op, uint16_t port, unsigned size)
{
    uint16_t map, bits;
    uint64_t at;

    if (!soft_is_protected(cpu) ||
        (!soft_is_vm86(cpu) && soft_cpl(cpu) <= (cpu->eflags & SOFT_IOPL) >> 12))
        return;
    /* Only a TSS of 32 or 64 bits has the map; two bytes of it are read in any case. */
    if ((cpu->tr.type & 8) == 0 || cpu->tr.limit < 0x67)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    soft_read_as(&map, cpu, op, cpu->tr.base + 0x66, 2, SOFT_AS_KERNEL);
    at = (uint64_t)map + port / 8;
    if (at + 1 > cpu->tr.limit)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    soft_read_as(&bits, cpu, op, cpu->tr.base + at, 2, SOFT_AS_KERNEL);
    if ((bits >> (port & 7) & ((1u << size) - 1)) != 0)
        soft_raise_error(cpu, op, SOFT_GP, 0);
}

/* aux: bytes; src: 1 if the port is in DX, else it is imm. */
static uint16_t port_of(const struct soft_cpu *cpu, const struct soft_uop *op)
{
    return op->src != 0 ? (uint16_t)cpu->r[SOFT_RDX] : (uint16_t)op->imm;
}

SOFT_HANDLER(soft_op_in)
{
    uint64_t value;

    soft_check_io(cpu, op, port_of(cpu, op), op->aux);
    value = soft_port_read(cpu, op, port_of(cpu, op), op->aux);
    if (op->aux == 4)
        cpu->r[SOFT_RAX] = (uint32_t)value;
    else
        memcpy(&cpu->r[SOFT_RAX], &value, op->aux);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_out)
{
    uint64_t value = op->aux == 4   ? SOFT_R(uint32_t, RAX)
                     : op->aux == 2 ? SOFT_R(uint16_t, RAX)
                                    : SOFT_R(uint8_t, RAX);

    soft_check_io(cpu, op, port_of(cpu, op), op->aux);
    soft_port_write(cpu, op, port_of(cpu, op), value, op->aux);
    SOFT_NEXT;
}

/* ---- the interrupt flag, HLT ---- */

static void check_iopl(struct soft_cpu *cpu, const struct soft_uop *op)
{
    if (soft_is_protected(cpu) && soft_cpl(cpu) > (cpu->eflags & SOFT_IOPL) >> 12)
        soft_raise_error(cpu, op, SOFT_GP, 0);
}

SOFT_HANDLER(soft_op_cli)
{
    check_iopl(cpu, op);
    cpu->eflags &= ~SOFT_IF;
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_sti)
{
    check_iopl(cpu, op);
    if ((cpu->eflags & SOFT_IF) == 0) {
        cpu->eflags |= SOFT_IF;
        cpu->shadow = SOFT_SHADOW_STI;
    }
    return end_block(cpu, op);
}

SOFT_HANDLER(soft_op_hlt)
{
    need_cpl0(cpu, op);
    cpu->halted = true;
    return end_block(cpu, op);
}

/* ---- CPUID, counters, MSRs ---- */

SOFT_HANDLER(soft_op_cpuid)
{
    const visor_x86_cpuid_entry *entry =
        soft_cpuid_find(cpu, SOFT_R(uint32_t, RAX), SOFT_R(uint32_t, 8 * SOFT_RCX));
    uint32_t function = SOFT_R(uint32_t, RAX), index = SOFT_R(uint32_t, 8 * SOFT_RCX);
    const struct soft_devices *devices = &cpu->machine->devices;
    visor_x86_cpuid_entry now = {0};

    if ((cpu->misc_features & 1) != 0 && soft_cpl(cpu) != 0)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    if (entry != NULL)
        now = *entry;
    /* What follows registers of the processor (SDM vol. 2A, CPUID). */
    if (function == 1) {
        now.ecx = (now.ecx & ~(1u << 27)) | ((cpu->cr4 & SOFT_CR4_OSXSAVE) != 0 ? 1u << 27 : 0);
        if ((cpu->apic_base & 0x800) == 0)
            now.edx &= ~(1u << 9);
    } else if (function == 0xd && entry != NULL && index <= 1) {
        now.ebx = (cpu->xcr0 & 4) != 0 ? 832 : 576;
    }
    if (SOFT_UNLIKELY(devices->cpuid_exits != NULL) &&
        devices->cpuid_exits(devices->context, cpu, function)) {
        cpu->exit->cpuid.function = function;
        cpu->exit->cpuid.index = index;
        cpu->exit->cpuid.eax = now.eax;
        cpu->exit->cpuid.ebx = now.ebx;
        cpu->exit->cpuid.ecx = now.ecx;
        cpu->exit->cpuid.edx = now.edx;
        soft_leave_exit(cpu, op, false, VISOR_EXIT_CPUID);
    }
    cpu->r[SOFT_RAX] = now.eax;
    cpu->r[SOFT_RBX] = now.ebx;
    cpu->r[SOFT_RCX] = now.ecx;
    cpu->r[SOFT_RDX] = now.edx;
    soft_serialize(cpu);
    return end_block(cpu, op);
}

static void put_wide(struct soft_cpu *cpu, uint64_t value)
{
    cpu->r[SOFT_RAX] = (uint32_t)value;
    cpu->r[SOFT_RDX] = value >> 32;
}

static uint64_t get_wide(struct soft_cpu *cpu)
{
    return cpu->r[SOFT_RDX] << 32 | SOFT_R(uint32_t, RAX);
}

static void check_tsc(struct soft_cpu *cpu, const struct soft_uop *op)
{
    if ((cpu->cr4 & SOFT_CR4_TSD) != 0 && soft_cpl(cpu) != 0)
        soft_raise_error(cpu, op, SOFT_GP, 0);
}

SOFT_HANDLER(soft_op_rdtsc)
{
    check_tsc(cpu, op);
    put_wide(cpu, soft_tsc(cpu, op));
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_rdtscp)
{
    check_tsc(cpu, op);
    put_wide(cpu, soft_tsc(cpu, op));
    cpu->r[SOFT_RCX] = (uint32_t)cpu->tsc_aux;
    SOFT_NEXT;
}

/* There are no counters. */
SOFT_HANDLER(soft_op_rdpmc)
{
    soft_raise_error(cpu, op, SOFT_GP, 0);
}

SOFT_HANDLER(soft_op_rdpid)
{
    SOFT_R(uint64_t, op->dst) = cpu->tsc_aux;
    SOFT_NEXT;
}

/* An MSR that is not the processor's own, or is wanted outside. Returns false for #GP. */
static bool foreign_msr(uint64_t *value, struct soft_cpu *cpu, const struct soft_uop *op,
                        uint32_t index, bool is_write)
{
    struct soft_access access = {.address = index,
                                 .value = is_write ? *value : 0,
                                 .length = 8,
                                 .is_write = is_write,
                                 .space = SOFT_SPACE_MSR};

    soft_access(cpu, op, &access);
    *value = access.value;
    return !access.fault;
}

/* Whether it leaves to the caller, or has, and this is its answer. */
static bool msr_exits(struct soft_cpu *cpu, const struct soft_uop *op, uint32_t index,
                      bool is_write)
{
    const struct soft_devices *devices = &cpu->machine->devices;

    if (cpu->log.count > 0 && cpu->log.instruction == soft_instruction_number(cpu, op))
        return true;
    return devices->msr_exits != NULL && devices->msr_exits(devices->context, cpu, index, is_write);
}

SOFT_HANDLER(soft_op_rdmsr)
{
    uint32_t index = SOFT_R(uint32_t, 8 * SOFT_RCX);
    enum soft_msr_result result = SOFT_MSR_UNKNOWN;
    uint64_t value = 0;

    need_cpl0(cpu, op);
    if (!msr_exits(cpu, op, index, false))
        result = soft_msr_read_by_guest(&value, cpu, index);
    /* Where time counts instructions, it is that of this one, not of the block's end. */
    if (result == SOFT_MSR_DONE && index == MSR_TSC)
        value = soft_tsc(cpu, op);
    if (result == SOFT_MSR_UNKNOWN && foreign_msr(&value, cpu, op, index, false))
        result = SOFT_MSR_DONE;
    if (result != SOFT_MSR_DONE)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    put_wide(cpu, value);
    SOFT_NEXT_FROM_FRAME;
}

/* The deadline and the registers of the local APIC: writing them does not serialize (SDM vol. 2C,
 * WRMSR), and kernels do it for each interrupt. */
static bool is_relaxed(uint32_t index)
{
    return index == 0x6e0 || (index >= 0x802 && index <= 0x83f);
}

SOFT_HANDLER(soft_op_wrmsr)
{
    uint32_t index = SOFT_R(uint32_t, 8 * SOFT_RCX);
    enum soft_msr_result result = SOFT_MSR_UNKNOWN;
    uint64_t value = get_wide(cpu);

    need_cpl0(cpu, op);
    if (!msr_exits(cpu, op, index, true))
        result = soft_msr_write(cpu, index, value, true);
    if (result == SOFT_MSR_UNKNOWN && foreign_msr(&value, cpu, op, index, true))
        result = SOFT_MSR_DONE;
    if (result != SOFT_MSR_DONE)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    if (!is_relaxed(index))
        soft_serialize(cpu);
    return end_block(cpu, op);
}

/* ---- control and debug registers: dst or src is general, aux the number ---- */

static uint64_t get_cr8(struct soft_cpu *cpu)
{
    const struct soft_devices *devices = &cpu->machine->devices;

    return devices->get_cr8 != NULL ? devices->get_cr8(devices->context, cpu) : cpu->cr8;
}

SOFT_HANDLER(soft_op_mov_from_cr)
{
    uint64_t value;

    need_cpl0(cpu, op);
    switch (op->aux) {
    case 0: value = cpu->cr0; break;
    case 2: value = cpu->cr2; break;
    case 3: value = cpu->cr3; break;
    case 4: value = cpu->cr4; break;
    default: value = get_cr8(cpu); break;
    }
    SOFT_R(uint64_t, op->dst) = soft_is_64(cpu) ? value : (uint32_t)value;
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_mov_to_cr)
{
    uint64_t value = soft_is_64(cpu) ? SOFT_R(uint64_t, op->src) : SOFT_R(uint32_t, op->src);
    const struct soft_devices *devices = &cpu->machine->devices;

    need_cpl0(cpu, op);
    switch (op->aux) {
    case 0: soft_set_cr0(cpu, op, value); break;
    case 2: cpu->cr2 = value; break;
    case 3: soft_set_cr3(cpu, op, value); break;
    case 4: soft_set_cr4(cpu, op, value); break;
    default:
        if ((value & ~UINT64_C(15)) != 0)
            soft_raise_error(cpu, op, SOFT_GP, 0);
        if (devices->set_cr8 != NULL)
            devices->set_cr8(devices->context, cpu, value);
        else
            cpu->cr8 = value;
        break;
    }
    soft_serialize(cpu);
    return end_block(cpu, op);
}

SOFT_HANDLER(soft_op_clts)
{
    need_cpl0(cpu, op);
    cpu->cr0 &= ~SOFT_CR0_TS;
    soft_mode_update(cpu);
    return end_block(cpu, op);
}

/* MSW is the low half of CR0; PE can be set but not cleared. src, or memory if aux. */
SOFT_HANDLER(soft_op_lmsw)
{
    uint16_t value;

    need_cpl0(cpu, op);
    value = op->aux != 0 ? soft_read16(cpu, op, soft_address(cpu, op)) : SOFT_R(uint16_t, op->src);
    soft_set_cr0(cpu, op, (cpu->cr0 & ~UINT64_C(14)) | (value & 15) | (cpu->cr0 & SOFT_CR0_PE));
    return end_block(cpu, op);
}

#define DR7_GD UINT64_C(0x2000)

static unsigned debug_register(struct soft_cpu *cpu, const struct soft_uop *op)
{
    unsigned n = op->aux;

    if (n == 4 || n == 5) {
        if ((cpu->cr4 & SOFT_CR4_DE) != 0)
            soft_raise(cpu, op, SOFT_UD);
        n += 2;
    }
    need_cpl0(cpu, op);
    if ((cpu->dr7 & DR7_GD) != 0) {
        cpu->dr6 |= UINT64_C(0x2000); /* BD */
        soft_raise(cpu, op, SOFT_DB);
    }
    return n;
}

SOFT_HANDLER(soft_op_mov_from_dr)
{
    unsigned n = debug_register(cpu, op);
    uint64_t value = n == 6 ? cpu->dr6 : n == 7 ? cpu->dr7 : cpu->dr[n];

    SOFT_R(uint64_t, op->dst) = soft_is_64(cpu) ? value : (uint32_t)value;
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_mov_to_dr)
{
    unsigned n = debug_register(cpu, op);
    uint64_t value = soft_is_64(cpu) ? SOFT_R(uint64_t, op->src) : SOFT_R(uint32_t, op->src);

    if (n > 3 && value >> 32 != 0)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    if (n <= 3)
        cpu->dr[n] = value;
    else if (n == 6)
        cpu->dr6 = (value & 0xe00f) | UINT64_C(0xffff0ff0);
    else
        cpu->dr7 = (value & UINT64_C(0xffff2bff)) | 0x400;
    soft_debug_update(cpu);
    return end_block(cpu, op);
}

/* ---- descriptor tables and segment registers ---- */

static void check_umip(struct soft_cpu *cpu, const struct soft_uop *op)
{
    if ((cpu->cr4 & SOFT_CR4_UMIP) != 0 && soft_cpl(cpu) != 0)
        soft_raise_error(cpu, op, SOFT_GP, 0);
}

/* To memory (2 bytes) if size is 0, else to a register of that size. */
static void put_word(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t value, unsigned size)
{
    switch (size) {
    case 0: soft_write16(cpu, op, soft_address(cpu, op), (uint16_t)value); break;
    case 2: SOFT_R(uint16_t, op->dst) = (uint16_t)value; break;
    case 4: SOFT_R(uint64_t, op->dst) = (uint32_t)value; break;
    default: SOFT_R(uint64_t, op->dst) = value; break;
    }
}

/* src2: size of the register, 0: memory */
SOFT_HANDLER(soft_op_smsw)
{
    check_umip(cpu, op);
    put_word(cpu, op, cpu->cr0, op->src2);
    SOFT_NEXT;
}

static void need_protected(struct soft_cpu *cpu, const struct soft_uop *op)
{
    if (!soft_is_protected(cpu) || soft_is_vm86(cpu))
        soft_raise(cpu, op, SOFT_UD);
}

/* aux: 0 SLDT, 1 STR */
SOFT_HANDLER(soft_op_store_system)
{
    need_protected(cpu, op);
    check_umip(cpu, op);
    put_word(cpu, op, op->aux != 0 ? cpu->tr.selector : cpu->ldt.selector, op->src2);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_mov_from_segment)
{
    put_word(cpu, op, cpu->seg[op->src].selector, op->src2);
    SOFT_NEXT;
}

/* aux: the segment; src2: 0 memory */
SOFT_HANDLER(soft_op_mov_to_segment)
{
    uint16_t selector =
        op->src2 != 0 ? SOFT_R(uint16_t, op->src) : soft_read16(cpu, op, soft_address(cpu, op));

    soft_segment_load(cpu, op, op->aux, selector);
    if (op->aux == SOFT_SEG_SS)
        cpu->shadow = SOFT_SHADOW_SS;
    return end_block(cpu, op);
}

/* LDS, LES, LSS, LFS, LGS: aux the segment, src2 the size. */
SOFT_HANDLER(soft_op_load_far)
{
    uint64_t address = soft_address(cpu, op), offset = 0;
    uint16_t selector;

    /* As of CALL and JMP: far_pointer(). */
    soft_check_alignment(cpu, op, address, op->src2);
    soft_read_as(&offset, cpu, op, address, op->src2, soft_rights(cpu));
    soft_read_as(&selector, cpu, op, address + op->src2, 2, soft_rights(cpu));
    soft_segment_load(cpu, op, op->aux, selector);
    if (op->src2 == 2)
        SOFT_R(uint16_t, op->dst) = (uint16_t)offset;
    else
        SOFT_R(uint64_t, op->dst) = offset;
    return end_block(cpu, op);
}

/* aux: 0 GDT, 1 IDT; src2: bytes of the base that count, 3 with 16-bit operands */
SOFT_HANDLER(soft_op_load_table)
{
    visor_x86_table *table = op->aux != 0 ? &cpu->idt : &cpu->gdt;
    uint64_t address = soft_address(cpu, op), base = 0;
    uint16_t limit;

    need_cpl0(cpu, op);
    soft_read_as(&limit, cpu, op, address, 2, soft_rights(cpu));
    soft_read_as(&base, cpu, op, address + 2, op->src2 == 8 ? 8 : 4, soft_rights(cpu));
    if (op->src2 == 3)
        base &= 0xffffff;
    if (op->src2 == 8 && (uint64_t)((int64_t)(base << 7) >> 7) != base)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    table->limit = limit;
    table->base = base;
    SOFT_NEXT_FROM_FRAME;
}

SOFT_HANDLER(soft_op_store_table)
{
    const visor_x86_table *table = op->aux != 0 ? &cpu->idt : &cpu->gdt;
    uint8_t image[10];

    check_umip(cpu, op);
    memcpy(image, &table->limit, 2);
    memcpy(image + 2, &table->base, 8);
    soft_write_as(cpu, op, soft_address(cpu, op), image, op->src2 == 8 ? 10 : 6, soft_rights(cpu));
    SOFT_NEXT_FROM_FRAME;
}

/* A selector: in src if src2, else in memory. */
static uint16_t selector_of(struct soft_cpu *cpu, const struct soft_uop *op)
{
    return op->src2 != 0 ? SOFT_R(uint16_t, op->src) : soft_read16(cpu, op, soft_address(cpu, op));
}

SOFT_HANDLER(soft_op_lldt)
{
    need_protected(cpu, op);
    need_cpl0(cpu, op);
    soft_lldt(cpu, op, selector_of(cpu, op));
    return end_block(cpu, op);
}

SOFT_HANDLER(soft_op_ltr)
{
    need_protected(cpu, op);
    need_cpl0(cpu, op);
    soft_ltr(cpu, op, selector_of(cpu, op));
    return end_block(cpu, op);
}

static void set_zf(struct soft_cpu *cpu, bool zf)
{
    uint32_t flags = soft_flags_arithmetic(cpu) & ~SOFT_ZF;

    soft_flags_set_arithmetic(cpu, flags | (zf ? SOFT_ZF : 0));
}

static const struct soft_uop *look(struct soft_cpu *cpu, const struct soft_uop *op,
                                   bool (*at)(uint32_t *, struct soft_cpu *,
                                              const struct soft_uop *, uint16_t))
{
    uint32_t value = 0;
    bool found;

    need_protected(cpu, op);
    found = at(&value, cpu, op, selector_of(cpu, op));
    set_zf(cpu, found);
    if (found) {
        if (op->aux == 2)
            SOFT_R(uint16_t, op->dst) = (uint16_t)value;
        else
            SOFT_R(uint64_t, op->dst) = value;
    }
    SOFT_NEXT_FROM_FRAME;
}

/* aux: operand size */
SOFT_HANDLER(soft_op_lar)
{
    return look(cpu, op, soft_lar);
}

SOFT_HANDLER(soft_op_lsl)
{
    return look(cpu, op, soft_lsl);
}

/* aux: 1 VERW */
SOFT_HANDLER(soft_op_verify)
{
    need_protected(cpu, op);
    set_zf(cpu, soft_verify(cpu, op, selector_of(cpu, op), op->aux != 0));
    SOFT_NEXT;
}

/* dst or memory (src2 0), src */
SOFT_HANDLER(soft_op_arpl)
{
    uint16_t value, other = SOFT_R(uint16_t, op->src);
    bool adjust;

    need_protected(cpu, op);
    value = op->src2 != 0 ? SOFT_R(uint16_t, op->dst) : soft_read16(cpu, op, soft_address(cpu, op));
    adjust = (value & 3) < (other & 3);
    if (adjust)
        value = (uint16_t)((value & ~3) | (other & 3));
    if (op->src2 != 0)
        SOFT_R(uint16_t, op->dst) = value;
    else if (adjust)
        soft_write16(cpu, op, soft_address(cpu, op), value);
    set_zf(cpu, adjust);
    SOFT_NEXT;
}

/* aux: operand size */
SOFT_HANDLER(soft_op_bound)
{
    uint64_t address = soft_address(cpu, op);
    int32_t index, low, high;

    if (op->aux == 2) {
        index = (int16_t)SOFT_R(uint16_t, op->dst);
        low = (int16_t)soft_read16(cpu, op, address);
        high = (int16_t)soft_read16(cpu, op, address + 2);
    } else {
        index = (int32_t)SOFT_R(uint32_t, op->dst);
        low = (int32_t)soft_read32(cpu, op, address);
        high = (int32_t)soft_read32(cpu, op, address + 4);
    }
    if (index < low || index > high)
        soft_raise(cpu, op, SOFT_BR);
    SOFT_NEXT;
}

/* ---- caches and translations ---- */

SOFT_HANDLER(soft_op_invlpg)
{
    need_cpl0(cpu, op);
    soft_tlb_flush_page(cpu, soft_address(cpu, op));
    soft_serialize(cpu);
    return end_block(cpu, op);
}

/* dst: the type (SDM vol. 2A, INVPCID). The TLB holds one PCID only: all that is asked is done. */
SOFT_HANDLER(soft_op_invpcid)
{
    uint64_t descriptor[2], type = SOFT_R(uint64_t, op->dst);

    if (!soft_is_protected(cpu) || soft_is_vm86(cpu))
        soft_raise(cpu, op, SOFT_UD);
    need_cpl0(cpu, op);
    soft_read_as(descriptor, cpu, op, soft_address(cpu, op), 16, soft_rights(cpu));
    if (type > 3 || ((descriptor[0] & ~UINT64_C(0xfff)) != 0 && type < 2) ||
        (type == 0 && (uint64_t)((int64_t)(descriptor[1] << 7) >> 7) != descriptor[1]))
        soft_raise_error(cpu, op, SOFT_GP, 0);
    soft_tlb_flush(cpu, type == 2);
    if (type == 0)
        soft_tlb_flush_page(cpu, descriptor[1]);
    soft_serialize(cpu);
    return end_block(cpu, op);
}

SOFT_HANDLER(soft_op_invd)
{
    need_cpl0(cpu, op);
    soft_serialize(cpu);
    return end_block(cpu, op);
}

/* CLFLUSH and its like: checked as a read of one byte. */
SOFT_HANDLER(soft_op_cflush)
{
    (void)soft_read8(cpu, op, soft_address(cpu, op));
    SOFT_NEXT;
}

/* MFENCE and LFENCE order what total store order does not. */
SOFT_HANDLER(soft_op_mfence)
{
    atomic_thread_fence(memory_order_seq_cst);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_serialize)
{
    soft_serialize(cpu);
    return end_block(cpu, op);
}

/* ---- SYSCALL and its like (SDM vol. 2B) ---- */

static visor_x86_segment flat_segment(uint16_t selector, uint8_t type, unsigned dpl, bool l,
                                      bool db)
{
    return (visor_x86_segment){.limit = 0xffffffff,
                               .selector = selector,
                               .type = type,
                               .present = 1,
                               .dpl = (uint8_t)dpl,
                               .db = db,
                               .s = 1,
                               .l = l,
                               .g = 1};
}

static void set_flat(struct soft_cpu *cpu, uint16_t cs, uint16_t ss, unsigned cpl, bool l)
{
    visor_x86_segment code = flat_segment(cs, 11, cpl, l, !l);

    cpu->seg[SOFT_SEG_SS] = flat_segment(ss, 3, cpl, false, true);
    soft_set_cs(cpu, &code, cpl);
}

/* SYSCALL and SYSRET look at TF when they are done: a kernel whose mask has it is not stepped, and
 * a program that is gets its #DB as if SYSCALL had just completed (what went wrong in Linux's KVM
 * where it did not: CVE-2017-7518). */
static void trap_behind(struct soft_cpu *cpu)
{
    cpu->step_trap = false;
    if ((cpu->eflags & SOFT_TF) != 0)
        soft_event_trap(cpu, SOFT_DR6_BS);
}

SOFT_HANDLER(soft_op_syscall)
{
    if ((cpu->efer & SOFT_EFER_SCE) == 0 || !soft_is_64(cpu))
        soft_raise(cpu, op, SOFT_UD);
    cpu->r[SOFT_RCX] = soft_next_rip(cpu, op);
    cpu->r[11] = soft_eflags(cpu) & ~SOFT_RF;
    cpu->rip = cpu->lstar;
    soft_set_eflags(cpu, soft_eflags(cpu) & ~((uint32_t)cpu->fmask | SOFT_RF));
    set_flat(cpu, (uint16_t)(cpu->star >> 32 & 0xfffc), (uint16_t)((cpu->star >> 32 & 0xfffc) + 8),
             0, true);
    trap_behind(cpu);
    return NULL;
}

/* aux: operand size */
SOFT_HANDLER(soft_op_sysret)
{
    uint64_t rip = cpu->r[SOFT_RCX];
    uint16_t base = (uint16_t)(cpu->star >> 48);
    bool wide = op->aux == 8;

    if ((cpu->efer & SOFT_EFER_SCE) == 0 || !soft_is_64(cpu))
        soft_raise(cpu, op, SOFT_UD);
    need_cpl0(cpu, op);
    if (wide && (uint64_t)((int64_t)(rip << 7) >> 7) != rip)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    soft_set_eflags(cpu, ((uint32_t)cpu->r[11] & 0x3c7fd7) | 2);
    cpu->rip = wide ? rip : (uint32_t)rip;
    set_flat(cpu, (uint16_t)((base + (wide ? 16 : 0)) | 3), (uint16_t)((base + 8) | 3), 3, wide);
    trap_behind(cpu);
    return NULL;
}

SOFT_HANDLER(soft_op_sysenter)
{
    uint16_t cs = (uint16_t)(cpu->sysenter_cs & 0xfffc);
    bool lng = soft_is_long(cpu);

    if (!soft_is_protected(cpu) || cs == 0)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    cpu->eflags &= ~(SOFT_VM | SOFT_IF | SOFT_RF);
    cpu->r[SOFT_RSP] = lng ? cpu->sysenter_esp : (uint32_t)cpu->sysenter_esp;
    cpu->rip = lng ? cpu->sysenter_eip : (uint32_t)cpu->sysenter_eip;
    set_flat(cpu, cs, (uint16_t)(cs + 8), 0, lng);
    return NULL;
}

SOFT_HANDLER(soft_op_sysexit)
{
    uint16_t base = (uint16_t)(cpu->sysenter_cs & 0xfffc);
    bool wide = op->aux == 8;

    if (!soft_is_protected(cpu) || base == 0)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    need_cpl0(cpu, op);
    if (wide && ((uint64_t)((int64_t)(cpu->r[SOFT_RCX] << 7) >> 7) != cpu->r[SOFT_RCX] ||
                 (uint64_t)((int64_t)(cpu->r[SOFT_RDX] << 7) >> 7) != cpu->r[SOFT_RDX]))
        soft_raise_error(cpu, op, SOFT_GP, 0);
    cpu->rip = wide ? cpu->r[SOFT_RDX] : SOFT_R(uint32_t, RDX);
    cpu->r[SOFT_RSP] = wide ? cpu->r[SOFT_RCX] : SOFT_R(uint32_t, 8 * SOFT_RCX);
    set_flat(cpu, (uint16_t)((base + (wide ? 32 : 16)) | 3),
             (uint16_t)((base + (wide ? 40 : 24)) | 3), 3, wide);
    return NULL;
}

SOFT_HANDLER(soft_op_swapgs)
{
    uint64_t base = cpu->seg[SOFT_SEG_GS].base;

    need_cpl0(cpu, op);
    cpu->seg[SOFT_SEG_GS].base = cpu->kernel_gs_base;
    cpu->kernel_gs_base = base;
    SOFT_NEXT;
}

/* aux: 0 RDFSBASE, 1 RDGSBASE, 2 WRFSBASE, 3 WRGSBASE; src2: operand size; dst */
SOFT_HANDLER(soft_op_fsgsbase)
{
    visor_x86_segment *segment = &cpu->seg[(op->aux & 1) != 0 ? SOFT_SEG_GS : SOFT_SEG_FS];
    uint64_t value = op->src2 == 8 ? SOFT_R(uint64_t, op->dst) : SOFT_R(uint32_t, op->dst);

    if ((cpu->cr4 & SOFT_CR4_FSGSBASE) == 0)
        soft_raise(cpu, op, SOFT_UD);
    if ((op->aux & 2) == 0) {
        SOFT_R(uint64_t, op->dst) = op->src2 == 8 ? segment->base : (uint32_t)segment->base;
    } else {
        if ((uint64_t)((int64_t)(value << 7) >> 7) != value)
            soft_raise_error(cpu, op, SOFT_GP, 0);
        segment->base = value;
    }
    SOFT_NEXT;
}

static const struct soft_uop *set_ac(struct soft_cpu *cpu, const struct soft_uop *op, bool ac)
{
    if (soft_cpl(cpu) != 0)
        soft_raise(cpu, op, SOFT_UD);
    cpu->eflags = ac ? cpu->eflags | SOFT_AC : cpu->eflags & ~SOFT_AC;
    soft_mode_update(cpu);
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_clac)
{
    return set_ac(cpu, op, false);
}

SOFT_HANDLER(soft_op_stac)
{
    return set_ac(cpu, op, true);
}

/* aux: 8 RDSEED has another source on silicon; size in src2; dst */
SOFT_HANDLER(soft_op_rdrand)
{
    uint64_t value;

    /* Enough for a guest's early entropy: it is mixed with what else the guest has. */
    if (!soft_random(&value, cpu)) {
        soft_flags_set_arithmetic(cpu, 0);
        value = 0;
    } else {
        soft_flags_set_arithmetic(cpu, SOFT_CF);
    }
    if (op->src2 == 2)
        SOFT_R(uint16_t, op->dst) = (uint16_t)value;
    else
        SOFT_R(uint64_t, op->dst) = op->src2 == 4 ? (uint32_t)value : value;
    SOFT_NEXT_FROM_FRAME;
}

/* ---- hypercalls: KVM's interface (linux/kvm_para.h) ---- */

SOFT_HANDLER(soft_op_vmcall)
{
    uint64_t number = soft_is_64(cpu) ? cpu->r[SOFT_RAX] : SOFT_R(uint32_t, RAX);
    struct soft_access access = {.address = number, .length = 8, .space = SOFT_SPACE_HYPERCALL};

    if (soft_cpl(cpu) != 0)
        access.value = (uint64_t)-1; /* -KVM_EPERM */
    else if (number >= 64 || (cpu->machine->hypercalls >> number & 1) == 0)
        access.value = (uint64_t)-1000; /* -KVM_ENOSYS */
    else
        soft_access(cpu, op, &access);
    cpu->r[SOFT_RAX] = soft_is_64(cpu) ? access.value : (uint32_t)access.value;
    SOFT_NEXT_FROM_FRAME;
}

/* ---- XCR0 ---- */

SOFT_HANDLER(soft_op_xgetbv)
{
    uint32_t index = SOFT_R(uint32_t, 8 * SOFT_RCX);

    if ((cpu->cr4 & SOFT_CR4_OSXSAVE) == 0)
        soft_raise(cpu, op, SOFT_UD);
    if (index > 1)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    put_wide(cpu, index == 0 ? cpu->xcr0 : cpu->xcr0 & soft_xinuse(cpu));
    SOFT_NEXT;
}

SOFT_HANDLER(soft_op_xsetbv)
{
    uint64_t value = get_wide(cpu);

    if ((cpu->cr4 & SOFT_CR4_OSXSAVE) == 0)
        soft_raise(cpu, op, SOFT_UD);
    need_cpl0(cpu, op);
    if (SOFT_R(uint32_t, 8 * SOFT_RCX) != 0 || (value & ~SOFT_XCR0_ALL) != 0 || (value & 1) == 0 ||
        (value & 6) == 4)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    cpu->xcr0 = value;
    soft_mode_update(cpu);
    return end_block(cpu, op);
}
