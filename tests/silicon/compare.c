/* SPDX-License-Identifier: BSD-3-Clause */
/* What must be the same after a case. undefined.c has what need not. */
#include <stdio.h>
#include <string.h>

#include "numbers.h"
#include "silicon.h"

#define RF     UINT64_C(0x10000) /* of EFLAGS */
#define X87_UE 0x0010U

/* ---- approximations ---- */

/* Sign and exponent; denormals have the exponent of the smallest normal numbers. */
static uint64_t scale(const uint8_t *value)
{
    const uint64_t exponent = silicon_get(value + 8, 2);

    return (exponent & 0x7fff) != 0 ? exponent : exponent | 1;
}

/* Transcendental functions: within one unit in the last place of the exact result (SDM vol. 1,
 * 8.3.10), so two of one another. */
static bool near_f80(const uint8_t *a, const uint8_t *b)
{
    const uint64_t x = silicon_get(a, 8), y = silicon_get(b, 8);
    const uint64_t ex = scale(a), ey = scale(b);
    const int64_t step = (int64_t)(x - y);

    if (ex == ey)
        return step >= -2 && step <= 2;
    /* Across a power of two. */
    return (ex == ey + 1 && x == UINT64_C(1) << 63 && y >= UINT64_MAX - 1) ||
           (ey == ex + 1 && y == UINT64_C(1) << 63 && x >= UINT64_MAX - 1);
}

bool silicon_is_f32_approximation(unsigned id)
{
    return id == SOFT_INSN_RCPPS || id == SOFT_INSN_RCPSS || id == SOFT_INSN_RSQRTPS ||
           id == SOFT_INSN_RSQRTSS;
}

bool silicon_is_transcendental(unsigned id)
{
    return id == SOFT_INSN_F2XM1 || id == SOFT_INSN_FYL2X || id == SOFT_INSN_FYL2XP1 ||
           id == SOFT_INSN_FPTAN || id == SOFT_INSN_FPATAN || id == SOFT_INSN_FSIN ||
           id == SOFT_INSN_FCOS || id == SOFT_INSN_FSINCOS;
}

/* ---- comparison ---- */

static char text[96];

static const char *differ(const char *what, unsigned at, uint64_t here, uint64_t there)
{
    snprintf(text, sizeof(text), "%s %u: soft has %llx, the processor %llx", what, at,
             (unsigned long long)there, (unsigned long long)here);
    return text;
}

static bool is_table(unsigned id)
{
    return id == SOFT_INSN_FNSTENV || id == SOFT_INSN_FLDENV || id == SOFT_INSN_FNSAVE ||
           id == SOFT_INSN_FRSTOR || id == SOFT_INSN_FXSAVE || id == SOFT_INSN_FXRSTOR ||
           id == SOFT_INSN_XRSTOR || id == SOFT_INSN_XSAVE || id == SOFT_INSN_XSAVEC ||
           id == SOFT_INSN_XSAVEOPT || id == SOFT_INSN_RETF || id == SOFT_INSN_IRET;
}

static const char *compare_fault(const struct silicon_case *c, const struct silicon_state *here,
                                 const struct silicon_state *there)
{
    bool table = false;

    if (here->vector != there->vector)
        return differ("vector", 0, (uint64_t)here->vector, (uint64_t)there->vector);
    if (here->rip != there->rip)
        return differ("rip", 0, here->rip, there->rip);
    /* Linux shows addresses of its own half as if there were a mapping, and no address at all. */
    if (here->vector == 14 && (there->address >> 47) != 0)
        return NULL;
    if (here->error != there->error)
        return differ("error", 0, here->error, there->error);
    for (unsigned i = 0; i < c->count; i++)
        table |= here->rip == SILICON_START + c->start[i] && is_table(c->insn[i].id);
    /* Of a table the part that is named is any. */
    if (here->address != there->address && !table)
        return differ("cr2", 0, here->address, there->address);
    return NULL;
}

bool silicon_is_nan(const struct silicon_state *state)
{
    return (silicon_get(state->image + SILICON_IMAGE_ST + 8, 2) & 0x7fff) == 0x7fff;
}

/*
 * VDPPS of 256 bits that an unmasked exception in one lane ends. In SDM vol. 2A, DPPS, a lane
 * begins after the one before it has ended; AMD's processors do a step in both, and do not report
 * what is found in results (OE, UE, PE) of a step in which an operand is bad.
 */
static uint64_t undefined_mxcsr(const struct silicon_case *c, const struct silicon_state *here)
{
    uint64_t undefined = 0;

    for (unsigned i = 0; here->vector == 19 && i < c->count; i++) {
        if (c->insn[i].id == SOFT_INSN_DPPS && c->insn[i].vex_length == 32)
            undefined = 0x3f;
    }
    return undefined;
}

static const char *compare_image(const struct silicon_case *c, const struct silicon_state *here,
                                 const struct silicon_state *there)
{
    const unsigned id = c->insn[0].id;
    const uint8_t *a = here->image, *b = there->image;
    uint64_t undefined = 0;

    for (unsigned i = 0; i < c->count; i++)
        undefined |= silicon_undefined_status(c->insn[i].id, silicon_get(a + SILICON_IMAGE_FSW, 2),
                                              silicon_is_nan(here));

    /* Two results next to one another may be a denormal and the smallest normal number. */
    if (silicon_is_transcendental(id) &&
        memcmp(a + SILICON_IMAGE_ST, b + SILICON_IMAGE_ST, 10) != 0)
        undefined |= X87_UE;
    if (silicon_get(a, 2) != silicon_get(b, 2))
        return differ("fcw", 0, silicon_get(a, 2), silicon_get(b, 2));
    if (((silicon_get(a + 2, 2) ^ silicon_get(b + 2, 2)) & ~undefined) != 0)
        return differ("fsw", 0, silicon_get(a + 2, 2), silicon_get(b + 2, 2));
    if (a[4] != b[4])
        return differ("ftw", 0, a[4], b[4]);
    if (((silicon_get(a + 24, 4) ^ silicon_get(b + 24, 4)) & ~undefined_mxcsr(c, here)) != 0)
        return differ("mxcsr", 0, silicon_get(a + 24, 4), silicon_get(b + 24, 4));
    for (unsigned i = 0; i < 8; i++) {
        unsigned at = SILICON_IMAGE_ST + 16 * i;

        if (memcmp(a + at, b + at, 10) == 0 ||
            (silicon_is_transcendental(id) && near_f80(a + at, b + at)))
            continue;
        if (silicon_get(a + at, 8) != silicon_get(b + at, 8))
            return differ("st", i, silicon_get(a + at, 8), silicon_get(b + at, 8));
        return differ("st exponent", i, silicon_get(a + at + 8, 2), silicon_get(b + at + 8, 2));
    }
    /* A gather that faults may have fetched more than the elements before the fault, and changed
     * more of its mask (SDM vol. 2C, VGATHERDPS). */
    if (here->vector != SILICON_NONE && c->insn[0].memory.vsib != 0)
        return NULL;
    for (unsigned i = 0; i < 128; i++) {
        const unsigned at = i < 64 ? SILICON_IMAGE_XMM + 4 * i : SILICON_IMAGE_YMM + 4 * (i - 64);
        const uint32_t x = (uint32_t)silicon_get(a + at, 4), y = (uint32_t)silicon_get(b + at, 4);

        if (x != y && !(silicon_is_f32_approximation(id) && numbers_near_f32(x, y)))
            return differ(i < 64 ? "xmm word" : "ymm high word", i % 64, x, y);
    }
    return NULL;
}

static uint32_t undefined_flags(const struct silicon_case *c, const struct silicon_state *here)
{
    uint32_t undefined = c->undefined;

    /* The exception could have come, but has not. */
    if (c->count == 1 && silicon_is_comparison_to_flags(c->insn[0].id) &&
        (here->image[SILICON_IMAGE_FSW] & 0x80) == 0)
        return 0;
    /* Of several instructions it may be any that was the last. */
    for (unsigned i = 0; here->vector != SILICON_NONE && c->count > 1 && i < c->count; i++)
        undefined |= silicon_undefined(&c->insn[i], i == 0 ? &c->in : NULL);
    return undefined;
}

const char *silicon_compare(const struct silicon_case *c, const struct silicon_state *here,
                            const struct silicon_state *there)
{
    const char *what = compare_fault(c, here, there);
    uint32_t undefined = undefined_flags(c, here);
    uint64_t registers[16] = {0};

    if (what != NULL)
        return what;
    if (((here->flags ^ there->flags) & ~(undefined | RF)) != 0)
        return differ("flags", undefined, here->flags & ~undefined, there->flags & ~undefined);
    for (unsigned i = 0; i < c->count && here->vector == SILICON_NONE; i++)
        silicon_undefined_registers(registers, &c->insn[i], i == 0 ? &c->in : NULL);
    for (unsigned i = 0; i < 16; i++) {
        if (((here->r[i] ^ there->r[i]) & ~registers[i]) != 0)
            return differ("register", i, here->r[i], there->r[i]);
    }
    for (unsigned i = 0; i < SILICON_PAGE; i++) {
        if (here->data[i] != there->data[i] && !silicon_is_vendors_byte(c, i))
            return differ("memory", i, here->data[i], there->data[i]);
    }
    return compare_image(c, here, there);
}
