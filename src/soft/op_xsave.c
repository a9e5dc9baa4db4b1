/* SPDX-License-Identifier: BSD-3-Clause */
/* FXSAVE, FXRSTOR and the XSAVE family (SDM vol. 1, 10.5 and 13.7 to 13.12). */
#include "soft/memory.h"
#include "soft/ops.h"
#include "soft/system.h"
#include "soft/xstate.h"

#define HEADER_XCOMP_BV 8u /* offset in the header */
#define COMPACTED       (UINT64_C(1) << 63)

/* Vector registers that the mode can name. */
static unsigned registers(const struct soft_cpu *cpu)
{
    return soft_is_64(cpu) ? 16 : 8;
}

static void check_alignment(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                            unsigned alignment)
{
    if ((address & (alignment - 1)) != 0)
        soft_raise_error(cpu, op, SOFT_GP, 0);
}

/* Parts of at most 64 bytes, which is what one access can be. */
static void read_image(uint8_t *out, struct soft_cpu *cpu, const struct soft_uop *op,
                       uint64_t address, unsigned length)
{
    for (unsigned done = 0; done < length; done += 64)
        soft_read_as(out + done, cpu, op, address + done, length - done < 64 ? length - done : 64,
                     soft_rights(cpu));
}

static void write_image(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                        const uint8_t *data, unsigned length)
{
    for (unsigned done = 0; done < length; done += 64)
        soft_write_as(cpu, op, address + done, data + done, length - done < 64 ? length - done : 64,
                      soft_rights(cpu));
}

/* All of a store is permitted, or none of it happens. */
static void check_image(struct soft_cpu *cpu, const struct soft_uop *op, uint64_t address,
                        unsigned length)
{
    for (unsigned done = 0; done < length; done += 64)
        soft_check_write(cpu, op, address + done, length - done < 64 ? length - done : 64,
                         soft_rights(cpu));
}

static void put_mxcsr(uint8_t image[512], const struct soft_cpu *cpu)
{
    const uint32_t mask = SOFT_MXCSR_MASK;

    memcpy(image + 24, &cpu->mxcsr, 4);
    memcpy(image + 28, &mask, 4);
}

/* The MXCSR of an image; raises #GP if it has bits that do not exist. */
static uint32_t get_mxcsr(struct soft_cpu *cpu, const struct soft_uop *op, const uint8_t image[512])
{
    uint32_t mxcsr;

    memcpy(&mxcsr, image + 24, 4);
    if ((mxcsr & ~SOFT_MXCSR_MASK) != 0)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    return mxcsr;
}

/* aux: 1 with REX.W */
SOFT_HANDLER(soft_op_fxsave)
{
    uint64_t address = soft_address(cpu, op);
    uint8_t image[512];

    check_alignment(cpu, op, address, 16);
    check_image(cpu, op, address, sizeof(image));
    /* Bytes 464 to 511 are the program's; what is reserved before them stays as it is, too. */
    read_image(image, cpu, op, address, sizeof(image));
    soft_x87_store(image, cpu, op->aux != 0);
    put_mxcsr(image, cpu);
    if ((cpu->cr4 & SOFT_CR4_OSFXSR) != 0)
        soft_sse_store(image, cpu, registers(cpu));
    write_image(cpu, op, address, image, 416);
    SOFT_NEXT_FROM_FRAME;
}

SOFT_HANDLER(soft_op_fxrstor)
{
    uint64_t address = soft_address(cpu, op);
    uint8_t image[512];
    uint32_t mxcsr;

    check_alignment(cpu, op, address, 16);
    read_image(image, cpu, op, address, sizeof(image));
    mxcsr = get_mxcsr(cpu, op, image);
    soft_x87_load(cpu, image, op->aux != 0);
    cpu->mxcsr = mxcsr;
    if ((cpu->cr4 & SOFT_CR4_OSFXSR) != 0)
        soft_sse_load(cpu, image, registers(cpu));
    SOFT_NEXT_FROM_FRAME;
}

/* ---- XSAVE ---- */

static uint64_t requested(const struct soft_cpu *cpu)
{
    return (cpu->r[SOFT_RDX] << 32 | (uint32_t)cpu->r[SOFT_RAX]) & cpu->xcr0;
}

static void need_xsave(struct soft_cpu *cpu, const struct soft_uop *op)
{
    if ((cpu->cr4 & SOFT_CR4_OSXSAVE) == 0)
        soft_raise(cpu, op, SOFT_UD);
    if ((cpu->cr0 & SOFT_CR0_TS) != 0)
        soft_raise(cpu, op, SOFT_NM);
}

/* Stores the components `saved` of an image in their places, and the header. */
static const struct soft_uop *store(struct soft_cpu *cpu, const struct soft_uop *op,
                                    uint64_t wanted, uint64_t saved, bool compact)
{
    uint64_t address = soft_address(cpu, op), header[2];
    uint8_t legacy[512], avx[256];
    uint64_t in_use = soft_xinuse(cpu);
    bool has_avx = (saved & SOFT_XSTATE_AVX) != 0;
    unsigned length = has_avx ? SOFT_XSAVE_SIZE : SOFT_XSAVE_AVX;

    need_xsave(cpu, op);
    check_alignment(cpu, op, address, 64);
    /* In the compacted form AVX, the only extended component, is at the same place. */
    check_image(cpu, op, address, length);
    read_image((uint8_t *)header, cpu, op, address + SOFT_XSAVE_HEADER, 16);
    read_image(legacy, cpu, op, address, sizeof(legacy));
    if ((saved & SOFT_XSTATE_X87) != 0)
        soft_x87_store(legacy, cpu, op->aux != 0);
    if ((saved & SOFT_XSTATE_SSE) != 0)
        soft_sse_store(legacy, cpu, registers(cpu));
    if (compact) {
        /* MXCSR counts as part of SSE here. */
        if ((wanted & SOFT_XSTATE_SSE) != 0 && cpu->mxcsr != SOFT_MXCSR_RESET)
            in_use |= SOFT_XSTATE_SSE;
        if ((wanted & in_use & SOFT_XSTATE_SSE) != 0) {
            put_mxcsr(legacy, cpu);
            soft_sse_store(legacy, cpu, registers(cpu));
        }
        header[0] = wanted & in_use;
        header[1] = wanted | COMPACTED;
    } else {
        if ((wanted & (SOFT_XSTATE_SSE | SOFT_XSTATE_AVX)) != 0)
            put_mxcsr(legacy, cpu);
        header[0] = (header[0] & ~wanted) | (wanted & in_use);
    }
    if (has_avx) {
        read_image(avx, cpu, op, address + SOFT_XSAVE_AVX, sizeof(avx));
        soft_avx_store(avx, cpu, registers(cpu));
        write_image(cpu, op, address + SOFT_XSAVE_AVX, avx, sizeof(avx));
    }
    write_image(cpu, op, address, legacy, 416);
    write_image(cpu, op, address + SOFT_XSAVE_HEADER, (const uint8_t *)header, compact ? 16 : 8);
    SOFT_NEXT_FROM_FRAME;
}

SOFT_HANDLER(soft_op_xsave)
{
    uint64_t wanted = requested(cpu);

    return store(cpu, op, wanted, wanted, false);
}

/* The init optimization; the modified one would have to know where the last XRSTOR was from. */
SOFT_HANDLER(soft_op_xsaveopt)
{
    uint64_t wanted = requested(cpu);

    return store(cpu, op, wanted, wanted & soft_xinuse(cpu), false);
}

/* XSAVEC, and XSAVES, for which there is no state that only it saves. */
SOFT_HANDLER(soft_op_xsavec)
{
    uint64_t wanted = requested(cpu);

    return store(cpu, op, wanted, wanted & soft_xinuse(cpu), true);
}

static bool all_zero(const uint8_t *bytes, unsigned length)
{
    uint8_t any = 0;

    for (unsigned i = 0; i < length; i++)
        any |= bytes[i];
    return any == 0;
}

/* aux2: 1 XRSTORS, which takes compacted images only */
SOFT_HANDLER(soft_op_xrstor)
{
    uint64_t wanted = requested(cpu), address = soft_address(cpu, op), stored, form;
    bool supervisor = (op->aux2 & 1) != 0, compact;
    uint8_t legacy[512], header[64], avx[256];
    uint32_t mxcsr = cpu->mxcsr;

    need_xsave(cpu, op);
    check_alignment(cpu, op, address, 64);
    read_image(legacy, cpu, op, address, sizeof(legacy));
    read_image(header, cpu, op, address + SOFT_XSAVE_HEADER, sizeof(header));
    memcpy(&stored, header, 8);
    memcpy(&form, header + HEADER_XCOMP_BV, 8);
    compact = (form & COMPACTED) != 0;
    if ((stored & ~cpu->xcr0) != 0 || (supervisor && !compact) ||
        (compact ? ((form & ~COMPACTED & ~cpu->xcr0) | (stored & ~form)) != 0 ||
                       !all_zero(header + 16, 48)
                 : form != 0 || !all_zero(header + 16, 8)))
        soft_raise_error(cpu, op, SOFT_GP, 0);
    if (compact ? (wanted & stored & SOFT_XSTATE_SSE) != 0
                : (wanted & (SOFT_XSTATE_SSE | SOFT_XSTATE_AVX)) != 0)
        mxcsr = get_mxcsr(cpu, op, legacy);
    else if (compact && (wanted & SOFT_XSTATE_SSE) != 0)
        mxcsr = SOFT_MXCSR_RESET;
    if ((wanted & stored & SOFT_XSTATE_AVX) != 0)
        read_image(avx, cpu, op, address + SOFT_XSAVE_AVX, sizeof(avx));

    soft_xstate_init(cpu, wanted & ~stored);
    if ((wanted & stored & SOFT_XSTATE_X87) != 0)
        soft_x87_load(cpu, legacy, op->aux != 0);
    if ((wanted & stored & SOFT_XSTATE_SSE) != 0)
        soft_sse_load(cpu, legacy, registers(cpu));
    if ((wanted & stored & SOFT_XSTATE_AVX) != 0)
        soft_avx_load(cpu, avx, registers(cpu));
    cpu->mxcsr = mxcsr;
    SOFT_NEXT_FROM_FRAME;
}

SOFT_HANDLER(soft_op_cpl0_xrstors)
{
    if (soft_cpl(cpu) != 0)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    return soft_op_xrstor(cpu, op);
}

SOFT_HANDLER(soft_op_cpl0_xsaves)
{
    if (soft_cpl(cpu) != 0)
        soft_raise_error(cpu, op, SOFT_GP, 0);
    return soft_op_xsavec(cpu, op);
}
