/* SPDX-License-Identifier: BSD-3-Clause */
#include "soft/xstate.h"

#include <string.h>

#include "soft/system.h"

uint16_t soft_fpu_status(const struct soft_fpu *fpu)
{
    return (uint16_t)(fpu->status | fpu->top << 11);
}

void soft_fpu_set_status(struct soft_fpu *fpu, uint16_t status)
{
    fpu->top = status >> 11 & 7;
    fpu->status = status & 0xc7ff;
}

void soft_fpu_init(struct soft_fpu *fpu)
{
    fpu->control = 0x37f;
    fpu->status = 0;
    fpu->top = 0;
    fpu->used = 0;
    fpu->last_opcode = 0;
    fpu->last_ip = fpu->last_dp = 0;
    fpu->last_cs = fpu->last_ds = 0;
}

/* ---- SDM vol. 1, table 10-2 ---- */

static void put(uint8_t *at, uint64_t value, unsigned size)
{
    memcpy(at, &value, size);
}

static uint64_t get(const uint8_t *at, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, at, size);
    return value;
}

void soft_x87_store(uint8_t image[512], const struct soft_cpu *cpu, bool wide)
{
    const struct soft_fpu *fpu = &cpu->fpu;

    put(image, fpu->control, 2);
    put(image + 2, soft_fpu_status(fpu), 2);
    put(image + 4, fpu->used, 2); /* and a reserved byte */
    put(image + 6, fpu->last_opcode, 2);
    put(image + 8, fpu->last_ip, wide ? 8 : 4);
    put(image + 16, fpu->last_dp, wide ? 8 : 4);
    if (!wide) {
        put(image + 12, fpu->last_cs, 4);
        put(image + 20, fpu->last_ds, 4);
    }
    for (unsigned i = 0; i < 8; i++) {
        const struct soft_f80 *st = &fpu->st[(fpu->top + i) & 7];

        put(image + 32 + 16 * i, st->significand, 8);
        put(image + 40 + 16 * i, st->sign_exponent, 8);
    }
}

void soft_x87_load(struct soft_cpu *cpu, const uint8_t image[512], bool wide)
{
    struct soft_fpu *fpu = &cpu->fpu;

    /* Bit 6 is always set, the other reserved ones never. */
    fpu->control = (uint16_t)((get(image, 2) & 0x1f3f) | 0x40);
    soft_fpu_set_status(fpu, (uint16_t)get(image + 2, 2));
    /* ES and B say what the exceptions and their masks say, whatever the image has. */
    fpu->status &= 0x7f7f;
    if ((fpu->status & ~fpu->control & 0x3f) != 0)
        fpu->status |= 0x8080;
    fpu->used = image[4];
    fpu->last_opcode = get(image + 6, 2) & 0x7ff;
    fpu->last_ip = get(image + 8, wide ? 8 : 4);
    fpu->last_dp = get(image + 16, wide ? 8 : 4);
    fpu->last_cs = wide ? 0 : (uint16_t)get(image + 12, 2);
    fpu->last_ds = wide ? 0 : (uint16_t)get(image + 20, 2);
    for (unsigned i = 0; i < 8; i++) {
        struct soft_f80 *st = &fpu->st[(fpu->top + i) & 7];

        st->significand = get(image + 32 + 16 * i, 8);
        st->sign_exponent = (uint16_t)get(image + 40 + 16 * i, 2);
    }
}

void soft_sse_store(uint8_t image[512], const struct soft_cpu *cpu, unsigned registers)
{
    for (unsigned i = 0; i < registers; i++)
        memcpy(image + 160 + 16 * i, cpu->v[i].u8, 16);
}

void soft_sse_load(struct soft_cpu *cpu, const uint8_t image[512], unsigned registers)
{
    for (unsigned i = 0; i < registers; i++)
        memcpy(cpu->v[i].u8, image + 160 + 16 * i, 16);
}

void soft_avx_store(uint8_t part[256], const struct soft_cpu *cpu, unsigned registers)
{
    for (unsigned i = 0; i < registers; i++)
        memcpy(part + 16 * i, cpu->v[i].u8 + 16, 16);
}

void soft_avx_load(struct soft_cpu *cpu, const uint8_t part[256], unsigned registers)
{
    for (unsigned i = 0; i < registers; i++)
        memcpy(cpu->v[i].u8 + 16, part + 16 * i, 16);
}

void soft_xstate_init(struct soft_cpu *cpu, uint64_t components)
{
    if ((components & SOFT_XSTATE_X87) != 0) {
        soft_fpu_init(&cpu->fpu);
        memset(cpu->fpu.st, 0, sizeof(cpu->fpu.st));
    }
    for (unsigned i = 0; i < 16; i++) {
        if ((components & SOFT_XSTATE_SSE) != 0)
            memset(cpu->v[i].u8, 0, 16);
        if ((components & SOFT_XSTATE_AVX) != 0)
            memset(cpu->v[i].u8 + 16, 0, 16);
    }
}

uint64_t soft_xinuse(const struct soft_cpu *cpu)
{
    const struct soft_fpu *fpu = &cpu->fpu;
    uint64_t used = 0, low = 0, high = 0;

    for (unsigned i = 0; i < 16; i++) {
        low |= cpu->v[i].u64[0] | cpu->v[i].u64[1];
        high |= cpu->v[i].u64[2] | cpu->v[i].u64[3];
    }
    if (low != 0)
        used |= SOFT_XSTATE_SSE;
    if (high != 0)
        used |= SOFT_XSTATE_AVX;
    if (fpu->control != 0x37f || soft_fpu_status(fpu) != 0 || fpu->used != 0 ||
        fpu->last_opcode != 0 || fpu->last_ip != 0 || fpu->last_dp != 0)
        return used | SOFT_XSTATE_X87;
    for (unsigned i = 0; i < 8; i++) {
        if (fpu->st[i].significand != 0 || fpu->st[i].sign_exponent != 0)
            return used | SOFT_XSTATE_X87;
    }
    return used;
}
