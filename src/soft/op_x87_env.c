/* SPDX-License-Identifier: BSD-3-Clause */
/* FNSTENV, FLDENV, FNSAVE, FRSTOR: the x87 in memory (SDM vol. 1, 8.1.10). */
#include "soft/memory.h"
#include "soft/x87.h"
#include "soft/xstate.h"

/* The full tag word: 0 valid, 1 zero, 2 special, 3 empty, for physical registers. */
static uint16_t tag_word(const struct soft_fpu *fpu)
{
    unsigned word = 0;

    for (unsigned i = 0; i < 8; i++) {
        struct soft_f80 a = fpu->st[i];
        unsigned tag;

        if ((fpu->used >> i & 1) == 0)
            tag = 3;
        else if (f80_is_zero(a))
            tag = 1;
        else if (f80_exponent(a) == 0 || f80_exponent(a) == 0x7fff || f80_is_unsupported(a))
            tag = 2;
        else
            tag = 0;
        word |= tag << (2 * i);
    }
    return (uint16_t)word;
}

static void set_tag_word(struct soft_fpu *fpu, uint16_t word)
{
    fpu->used = 0;
    for (unsigned i = 0; i < 8; i++) {
        if ((word >> (2 * i) & 3) != 3)
            fpu->used |= (uint8_t)(1u << i);
    }
}

static void put(uint8_t *image, unsigned index, uint32_t value, unsigned size)
{
    memcpy(image + index * size, &value, size);
}

static uint32_t get(const uint8_t *image, unsigned index, unsigned size)
{
    uint32_t value = 0;

    memcpy(&value, image + index * size, size);
    return value;
}

/* Figures 8-9 to 8-12: seven fields of 2 or 4 bytes. */
static unsigned make(uint8_t image[28], const struct soft_cpu *cpu, const struct soft_uop *op)
{
    const struct soft_fpu *fpu = &cpu->fpu;
    unsigned size = op->aux;
    uint32_t high = size == 4 ? 0xffff0000u : 0;
    uint32_t ip = (uint32_t)fpu->last_ip, dp = (uint32_t)fpu->last_dp;

    put(image, 0, high | fpu->control, size);
    put(image, 1, high | soft_fpu_status(fpu), size);
    put(image, 2, high | tag_word(fpu), size);
    if (op->src != 0) {
        put(image, 3, ip, size);
        put(image, 4, fpu->last_cs | (size == 4 ? (uint32_t)fpu->last_opcode << 16 : 0), size);
        put(image, 5, dp, size);
        put(image, 6, high | fpu->last_ds, size);
    } else {
        /* Real mode: linear addresses of 20 or 32 bits, in two parts. */
        ip += (uint32_t)fpu->last_cs << 4;
        dp += (uint32_t)fpu->last_ds << 4;
        put(image, 3, high | (ip & 0xffff), size);
        put(image, 4, (ip >> 16 << 12) | fpu->last_opcode, size);
        put(image, 5, high | (dp & 0xffff), size);
        put(image, 6, dp >> 16 << 12, size);
    }
    return 7 * size;
}

static void take(struct soft_cpu *cpu, const struct soft_uop *op, const uint8_t image[28])
{
    struct soft_fpu *fpu = &cpu->fpu;
    unsigned size = op->aux;

    fpu->control = (uint16_t)((get(image, 0, size) & 0x1f3f) | 0x40);
    soft_fpu_set_status(fpu, (uint16_t)get(image, 1, size));
    set_tag_word(fpu, (uint16_t)get(image, 2, size));
    if (op->src != 0) {
        fpu->last_ip = get(image, 3, size);
        fpu->last_cs = (uint16_t)get(image, 4, size);
        fpu->last_opcode = size == 4 ? get(image, 4, size) >> 16 & 0x7ff : 0;
        fpu->last_dp = get(image, 5, size);
        fpu->last_ds = (uint16_t)get(image, 6, size);
    } else {
        fpu->last_ip = (get(image, 3, size) & 0xffff) | (get(image, 4, size) >> 12 << 16);
        fpu->last_dp = (get(image, 5, size) & 0xffff) | (get(image, 6, size) >> 12 << 16);
        fpu->last_opcode = get(image, 4, size) & 0x7ff;
        fpu->last_cs = fpu->last_ds = 0;
    }
    /* Exceptions that are flagged and not masked are pending. */
    fpu->status &= 0x7f7f;
    if ((fpu->status & ~fpu->control & 0x3f) != 0)
        fpu->status |= X87_ES | X87_B;
}

SOFT_HANDLER(soft_op_x87_store_env)
{
    uint8_t image[28];
    unsigned length = make(image, cpu, op);

    soft_write_as(cpu, op, soft_address(cpu, op), image, length, soft_rights(cpu));
    cpu->fpu.control |= 0x3f;
    cpu->fpu.status &= 0x7f7f;
    SOFT_NEXT_FROM_FRAME;
}

SOFT_HANDLER(soft_op_x87_load_env)
{
    uint8_t image[28];

    if ((cpu->fpu.status & X87_ES) != 0 && (cpu->cr0 & SOFT_CR0_NE) != 0)
        soft_raise(cpu, op, SOFT_MF);
    soft_read_as(image, cpu, op, soft_address(cpu, op), 7u * op->aux, soft_rights(cpu));
    take(cpu, op, image);
    SOFT_NEXT_FROM_FRAME;
}

SOFT_HANDLER(soft_op_x87_save)
{
    uint64_t address = soft_address(cpu, op);
    uint8_t image[28 + 80];
    unsigned length = make(image, cpu, op);

    for (unsigned i = 0; i < 8; i++) {
        const struct soft_f80 *st = x87_st(&cpu->fpu, i);

        memcpy(image + length + 10 * i, &st->significand, 8);
        memcpy(image + length + 10 * i + 8, &st->sign_exponent, 2);
    }
    length += 80;
    soft_check_write(cpu, op, address, 64, soft_rights(cpu));
    soft_check_write(cpu, op, address + 64, length - 64, soft_rights(cpu));
    soft_write_as(cpu, op, address, image, 64, soft_rights(cpu));
    soft_write_as(cpu, op, address + 64, image + 64, length - 64, soft_rights(cpu));
    soft_fpu_init(&cpu->fpu);
    SOFT_NEXT_FROM_FRAME;
}

SOFT_HANDLER(soft_op_x87_restore)
{
    uint64_t address = soft_address(cpu, op);
    unsigned length = 7u * op->aux;
    uint8_t image[28 + 80];

    if ((cpu->fpu.status & X87_ES) != 0 && (cpu->cr0 & SOFT_CR0_NE) != 0)
        soft_raise(cpu, op, SOFT_MF);
    soft_read_as(image, cpu, op, address, 64, soft_rights(cpu));
    soft_read_as(image + 64, cpu, op, address + 64, length + 80 - 64, soft_rights(cpu));
    take(cpu, op, image);
    for (unsigned i = 0; i < 8; i++) {
        struct soft_f80 *st = x87_st(&cpu->fpu, i);

        memcpy(&st->significand, image + length + 10 * i, 8);
        memcpy(&st->sign_exponent, image + length + 10 * i + 8, 2);
    }
    SOFT_NEXT_FROM_FRAME;
}
