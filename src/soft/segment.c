/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptors and segment registers. */
#include "soft/segment.h"

#include "soft/memory.h"
#include "soft/stack.h"

bool soft_descriptor_read(struct soft_descriptor *out, struct soft_cpu *cpu,
                          const struct soft_uop *op, uint16_t selector, enum soft_vector vector)
{
    bool local = (selector & 4) != 0;
    uint64_t base = local ? cpu->ldt.base : cpu->gdt.base;
    uint32_t limit = local ? cpu->ldt.limit : cpu->gdt.limit;
    uint32_t offset = selector & 0xfff8u;

    if ((local && !cpu->ldt.present) || offset + 7 > limit) {
        if (vector == 0)
            return false;
        soft_raise_error(cpu, op, vector, selector & 0xfffcu);
    }
    out->address = base + offset;
    out->high = 0;
    soft_read_as(&out->raw, cpu, op, out->address, 8, SOFT_AS_KERNEL);
    return true;
}

void soft_descriptor_read_high(struct soft_descriptor *d, struct soft_cpu *cpu,
                               const struct soft_uop *op, uint16_t selector,
                               enum soft_vector vector)
{
    bool local = (selector & 4) != 0;

    if (!soft_is_long(cpu))
        return;
    if ((selector & 0xfff8u) + 15 > (local ? cpu->ldt.limit : cpu->gdt.limit))
        soft_raise_error(cpu, op, vector, selector & 0xfffcu);
    soft_read_as(&d->high, cpu, op, d->address + 8, 8, SOFT_AS_KERNEL);
    /* Its type field must be 0 (SDM vol. 3A, 5.8.3.1). */
    if ((d->high >> 40 & 0x1f) != 0)
        soft_raise_error(cpu, op, vector, selector & 0xfffcu);
}

void soft_descriptor_access(struct soft_descriptor *d, struct soft_cpu *cpu,
                            const struct soft_uop *op)
{
    uint8_t type;

    if ((d->raw >> 40 & SOFT_TYPE_ACCESSED) != 0)
        return;
    d->raw |= UINT64_C(1) << 40;
    type = (uint8_t)(d->raw >> 40);
    soft_write_as(cpu, op, d->address + 5, &type, 1, SOFT_AS_KERNEL);
}

void soft_segment_unpack(visor_x86_segment *out, const struct soft_descriptor *d, uint16_t selector)
{
    visor_x86_segment_from_descriptor(out, d->raw, selector);
    if (!out->s)
        out->base |= d->high << 32;
}

void soft_segment_set_real(struct soft_cpu *cpu, unsigned which, uint16_t selector)
{
    visor_x86_segment *segment = &cpu->seg[which];

    segment->selector = selector;
    segment->base = (uint64_t)selector << 4;
    if (soft_is_vm86(cpu)) {
        /* SDM vol. 3A, 20.2.1. */
        *segment = (visor_x86_segment){.base = (uint64_t)selector << 4,
                                       .limit = 0xffff,
                                       .selector = selector,
                                       .type = 3,
                                       .s = 1,
                                       .dpl = 3,
                                       .present = 1};
    } else if (which == SOFT_SEG_CS) {
        /* Limit and attributes stay, which is what "unreal mode" lives on; but CS becomes one that
         * can be written. */
        segment->type = 3;
        segment->s = segment->present = 1;
        segment->dpl = 0;
    }
}

/* A null selector in a register that may have one. */
static void load_null(struct soft_cpu *cpu, unsigned which, uint16_t selector)
{
    visor_x86_segment *segment = &cpu->seg[which];
    /* In SS the privilege level is kept: it is CPL. In 64-bit mode base and limit are not looked
     * at, and FS and GS lose theirs. */
    uint8_t dpl = which == SOFT_SEG_SS ? segment->dpl : 0;

    *segment = (visor_x86_segment){.selector = selector, .dpl = dpl, .unusable = 1};
}

void soft_stack_segment(visor_x86_segment *out, struct soft_cpu *cpu, const struct soft_uop *op,
                        uint16_t selector, unsigned cpl, enum soft_vector vector)
{
    struct soft_descriptor d;

    if ((selector & 0xfffc) == 0)
        soft_raise_error(cpu, op, vector, vector == SOFT_TS ? selector & 0xfffc : 0);
    soft_descriptor_read(&d, cpu, op, selector, vector);
    if ((selector & 3) != cpl || !soft_desc_s(&d) || soft_desc_is_code(&d) ||
        (soft_desc_type(&d) & SOFT_TYPE_WRITABLE) == 0 || soft_desc_dpl(&d) != cpl)
        soft_raise_error(cpu, op, vector, selector & 0xfffc);
    if (!soft_desc_present(&d))
        soft_raise_error(cpu, op, SOFT_SS_FAULT, selector & 0xfffc);
    soft_descriptor_access(&d, cpu, op);
    soft_segment_unpack(out, &d, selector);
}

void soft_segment_load(struct soft_cpu *cpu, const struct soft_uop *op, unsigned which,
                       uint16_t selector)
{
    struct soft_descriptor d;
    unsigned type;

    if (!soft_is_protected(cpu) || soft_is_vm86(cpu)) {
        soft_segment_set_real(cpu, which, selector);
        soft_mode_update(cpu);
        return;
    }
    if (which == SOFT_SEG_SS) {
        if ((selector & 0xfffc) == 0) {
            /* Only 64-bit code has use for one, and not in ring 3. */
            if (!soft_is_64(cpu) || soft_cpl(cpu) == 3 || (selector & 3) != soft_cpl(cpu))
                soft_raise_error(cpu, op, SOFT_GP, 0);
            load_null(cpu, which, selector);
        } else {
            visor_x86_segment ss;

            soft_stack_segment(&ss, cpu, op, selector, soft_cpl(cpu), SOFT_GP);
            cpu->seg[SOFT_SEG_SS] = ss;
        }
        soft_mode_update(cpu);
        return;
    }
    if ((selector & 0xfffc) == 0) {
        load_null(cpu, which, selector);
        soft_mode_update(cpu);
        return;
    }
    soft_descriptor_read(&d, cpu, op, selector, SOFT_GP);
    type = soft_desc_type(&d);
    if (!soft_desc_s(&d) ||
        (soft_desc_is_code(&d) && (type & SOFT_TYPE_WRITABLE) == 0) || /* not readable */
        (!soft_desc_is_conforming_code(&d) &&
         (soft_desc_dpl(&d) < soft_cpl(cpu) || soft_desc_dpl(&d) < (selector & 3u))))
        soft_raise_error(cpu, op, SOFT_GP, selector & 0xfffc);
    if (!soft_desc_present(&d))
        soft_raise_error(cpu, op, SOFT_NP, selector & 0xfffc);
    soft_descriptor_access(&d, cpu, op);
    soft_segment_unpack(&cpu->seg[which], &d, selector);
    soft_mode_update(cpu);
}

void soft_set_cs(struct soft_cpu *cpu, const visor_x86_segment *cs, unsigned cpl)
{
    if (cs->base != cpu->seg[SOFT_SEG_CS].base)
        cpu->map_generation++; /* RIP is another place now */
    cpu->seg[SOFT_SEG_CS] = *cs;
    cpu->seg[SOFT_SEG_CS].selector = (uint16_t)((cs->selector & 0xfffc) | cpl);
    cpu->seg[SOFT_SEG_SS].dpl = (uint8_t)cpl;
    soft_mode_update(cpu);
}

uint64_t soft_segment_linear(struct soft_cpu *cpu, const struct soft_uop *op, unsigned which,
                             uint64_t offset, unsigned size, bool write)
{
    const visor_x86_segment *segment = &cpu->seg[which];
    bool code = (segment->type & SOFT_TYPE_CODE) != 0;
    bool bad = size != 0 && !soft_in_limit(segment, offset, size);

    if (soft_is_protected(cpu) && !soft_is_vm86(cpu)) {
        bad |= !segment->present || segment->unusable;
        bad |= write ? code || (segment->type & SOFT_TYPE_WRITABLE) == 0
                     : code && (segment->type & SOFT_TYPE_WRITABLE) == 0;
    }
    if (bad)
        soft_raise_error(cpu, op, which == SOFT_SEG_SS ? SOFT_SS_FAULT : SOFT_GP, 0);
    return (segment->base + offset) & 0xffffffff;
}

/* ---- system segments ---- */

void soft_lldt(struct soft_cpu *cpu, const struct soft_uop *op, uint16_t selector)
{
    struct soft_descriptor d;

    if ((selector & 0xfffc) == 0) {
        cpu->ldt = (visor_x86_segment){.selector = selector, .type = SOFT_TYPE_LDT, .unusable = 1};
        return;
    }
    if ((selector & 4) != 0)
        soft_raise_error(cpu, op, SOFT_GP, selector & 0xfffc);
    soft_descriptor_read(&d, cpu, op, selector, SOFT_GP);
    if (soft_desc_s(&d) || soft_desc_type(&d) != SOFT_TYPE_LDT)
        soft_raise_error(cpu, op, SOFT_GP, selector & 0xfffc);
    if (!soft_desc_present(&d))
        soft_raise_error(cpu, op, SOFT_NP, selector & 0xfffc);
    soft_descriptor_read_high(&d, cpu, op, selector, SOFT_GP);
    soft_segment_unpack(&cpu->ldt, &d, selector);
}

void soft_ltr(struct soft_cpu *cpu, const struct soft_uop *op, uint16_t selector)
{
    struct soft_descriptor d;
    unsigned type;
    uint8_t byte;

    if ((selector & 0xfffc) == 0)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    if ((selector & 4) != 0)
        soft_raise_error(cpu, op, SOFT_GP, selector & 0xfffc);
    soft_descriptor_read(&d, cpu, op, selector, SOFT_GP);
    type = soft_desc_type(&d);
    if (soft_desc_s(&d) ||
        (type != SOFT_TYPE_TSS && (type != SOFT_TYPE_TSS16 || soft_is_long(cpu))))
        soft_raise_error(cpu, op, SOFT_GP, selector & 0xfffc);
    if (!soft_desc_present(&d))
        soft_raise_error(cpu, op, SOFT_NP, selector & 0xfffc);
    soft_descriptor_read_high(&d, cpu, op, selector, SOFT_GP);
    d.raw |= UINT64_C(2) << 40; /* busy */
    byte = (uint8_t)(d.raw >> 40);
    soft_write_as(cpu, op, d.address + 5, &byte, 1, SOFT_AS_KERNEL);
    soft_segment_unpack(&cpu->tr, &d, selector);
}

/* Whether a descriptor may be looked at from here. */
static bool visible(const struct soft_cpu *cpu, const struct soft_descriptor *d, uint16_t selector)
{
    return soft_desc_is_conforming_code(d) ||
           (soft_desc_dpl(d) >= soft_cpl(cpu) && soft_desc_dpl(d) >= (selector & 3u));
}

/* The descriptor that LAR and LSL look at. False: they do nothing. The sets are of system types. */
static bool look_up(struct soft_descriptor *out, struct soft_cpu *cpu, const struct soft_uop *op,
                    uint16_t selector, unsigned legacy, unsigned in_long_mode)
{
    unsigned valid = soft_is_long(cpu) ? in_long_mode : legacy;

    return (selector & 0xfffc) != 0 && soft_descriptor_read(out, cpu, op, selector, 0) &&
           (soft_desc_s(out) || (valid >> soft_desc_type(out) & 1) != 0) &&
           visible(cpu, out, selector);
}

bool soft_lar(uint32_t *out, struct soft_cpu *cpu, const struct soft_uop *op, uint16_t selector)
{
    /* Valid system types (SDM vol. 2A, LAR): in long mode 16-bit ones and task gates are not. */
    struct soft_descriptor d;

    if (!look_up(&d, cpu, op, selector, 0x1a3e | 1u << SOFT_TYPE_TASK, 0x1a04))
        return false;
    *out = (uint32_t)(d.raw >> 32) & 0x00ffff00;
    return true;
}

bool soft_lsl(uint32_t *out, struct soft_cpu *cpu, const struct soft_uop *op, uint16_t selector)
{
    struct soft_descriptor d;
    visor_x86_segment segment;

    if (!look_up(&d, cpu, op, selector, 0x0a0e, 0x0a04)) /* types with a limit */
        return false;
    soft_segment_unpack(&segment, &d, selector);
    *out = segment.limit;
    return true;
}

bool soft_verify(struct soft_cpu *cpu, const struct soft_uop *op, uint16_t selector, bool write)
{
    struct soft_descriptor d;

    if ((selector & 0xfffc) == 0 || !soft_descriptor_read(&d, cpu, op, selector, 0) ||
        !soft_desc_s(&d) || !visible(cpu, &d, selector))
        return false;
    if (soft_desc_is_code(&d))
        return !write && (soft_desc_type(&d) & SOFT_TYPE_WRITABLE) != 0;
    return !write || (soft_desc_type(&d) & SOFT_TYPE_WRITABLE) != 0;
}

/* ---- stacks of inner rings (SDM vol. 3A, figures 7-2, 7-10 and 7-11) ---- */

void soft_inner_stack(uint16_t *ss, uint64_t *sp, struct soft_cpu *cpu, const struct soft_uop *op,
                      unsigned cpl)
{
    bool wide = (cpu->tr.type & 8) != 0;
    uint32_t offset = wide ? 4 + 8 * cpl : 2 + 4 * cpl;
    uint32_t pointer = 0;

    if (offset + (wide ? 5 : 3) > cpu->tr.limit)
        soft_raise_error(cpu, op, SOFT_TS, cpu->tr.selector & 0xfffc);
    soft_read_as(&pointer, cpu, op, cpu->tr.base + offset, wide ? 4 : 2, SOFT_AS_KERNEL);
    soft_read_as(ss, cpu, op, cpu->tr.base + offset + (wide ? 4 : 2), 2, SOFT_AS_KERNEL);
    *sp = pointer;
}

uint64_t soft_inner_stack_64(struct soft_cpu *cpu, const struct soft_uop *op, unsigned slot)
{
    uint32_t offset = 4 + 8 * slot;
    uint64_t sp;

    if (offset + 7 > cpu->tr.limit)
        soft_raise_error(cpu, op, SOFT_TS, cpu->tr.selector & 0xfffc);
    soft_read_as(&sp, cpu, op, cpu->tr.base + offset, 8, SOFT_AS_KERNEL);
    return sp;
}
