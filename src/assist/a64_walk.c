/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The stage 1 walk: DDI 0487, "The AArch64 Virtual Memory System Architecture", sections
 * "Translation process" and "Translation table descriptor formats"; registers: TCR_EL1, TTBR0_EL1,
 * TTBR1_EL1, SCTLR_EL1. Granules of 4, 16 and 64 KiB, input addresses from any TnSZ, output
 * addresses of up to 52 bits (FEAT_LPA, FEAT_LPA2).
 *
 * Memory attributes do not matter here. Permissions with FEAT_S1PIE are not worked out: nothing is
 * readable or writable then. Descriptors of 128 bits do not translate.
 */
#include "assist/a64_walk.h"

#define FAULT VISOR__A64_REFUSED_TRANSLATION

#define BIT(n) (UINT64_C(1) << (n))

#define SCTLR_M  BIT(0)
#define SCTLR_EE BIT(25)

#define TCR_HPD(upper) BIT(41 + (upper))
#define TCR_DS         BIT(59)

#define TCR2_PIE  BIT(1)
#define TCR2_D128 BIT(5)

#define PSTATE_PAN BIT(22)

#define DESC_VALID     BIT(0)
#define DESC_TABLE     BIT(1) /* at the last level: a page */
#define DESC_AP_EL0    BIT(6)
#define DESC_AP_RO     BIT(7)
#define DESC_AF        BIT(10)
#define DESC_APTABLE_1 BIT(61) /* no access of EL0 below */
#define DESC_APTABLE_2 BIT(62) /* no writing below */

/* How one half of the address space is translated. */
struct half {
    unsigned granule; /* log2 of bytes in a page */
    unsigned input;   /* bits of addresses */
    unsigned output;  /* bits of physical addresses */
    bool wide;        /* descriptors hold 52 bits */
    bool flat_rights; /* APTable is ignored */
    uint64_t ttbr;
};

int visor__a64_regime_load(struct visor__a64_regime *out, const struct visor__a64_ops *ops,
                           void *context, uint64_t pstate)
{
    const struct {
        uint64_t *value;
        enum visor__a64_register reg;
    } wanted[] = {
        {&out->sctlr, VISOR__A64_SCTLR_EL1},   {&out->tcr, VISOR__A64_TCR_EL1},
        {&out->tcr2, VISOR__A64_TCR2_EL1},     {&out->ttbr[0], VISOR__A64_TTBR0_EL1},
        {&out->ttbr[1], VISOR__A64_TTBR1_EL1},
    };

    out->ops = ops;
    out->context = context;
    out->pan = (pstate & PSTATE_PAN) != 0;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        int ret = ops->get(wanted[i].value, context, wanted[i].reg);

        if (ret < 0)
            return ret;
    }
    return 0;
}

static uint64_t field(uint64_t value, unsigned high, unsigned low)
{
    return (value >> low) & (BIT(high - low + 1) - 1);
}

/* The address without its tag, as far as TCR_EL1.TBIn says that it has one. */
static uint64_t untagged(uint64_t address, uint64_t tcr, bool upper)
{
    if ((tcr & BIT(37 + upper)) == 0)
        return address;
    return upper ? address | (uint64_t)0xff << 56 : address & ~((uint64_t)0xff << 56);
}

/* TGn, TnSZ, IPS and DS. False: addresses of this half do not translate. */
static bool find_half(struct half *out, const struct visor__a64_regime *regime, bool upper,
                      bool el0)
{
    /* TG0: 4, 64, 16 KiB; TG1: reserved, 16, 4, 64 KiB */
    static const uint8_t granules[2][4] = {{12, 16, 14, 0}, {0, 14, 12, 16}};
    static const uint8_t outputs[8] = {32, 36, 40, 42, 44, 48, 52, 52};
    const uint64_t tcr = regime->tcr, half = upper ? tcr >> 16 : tcr; /* T1SZ, EPD1, TG1 */
    unsigned largest;

    out->granule = granules[upper][field(half, 15, 14)];
    out->input = 64 - (unsigned)field(half, 5, 0);
    out->output = outputs[field(tcr, 34, 32)];
    out->wide = out->granule == 16 ? out->output == 52 : (tcr & TCR_DS) != 0;
    out->flat_rights = (tcr & TCR_HPD(upper)) != 0;
    out->ttbr = regime->ttbr[upper];
    largest = out->granule == 16 || out->wide ? 52 : 48;
    if (out->granule == 0 || out->input <= out->granule || out->input > largest)
        return false;
    if ((half & BIT(7)) != 0 || (el0 && (tcr & BIT(55 + upper)) != 0)) /* EPDn, E0PDn */
        return false;
    return (regime->tcr2 & TCR2_D128) == 0;
}

/* The address in a descriptor, whose bits below low are zero. */
static uint64_t descriptor_address(const struct half *half, uint64_t descriptor, unsigned low)
{
    uint64_t address = descriptor & (BIT(48) - BIT(low));

    if (half->wide && half->granule == 16)
        address |= field(descriptor, 15, 12) << 48;
    else if (half->wide)
        address |= (descriptor & (BIT(50) - BIT(48))) | field(descriptor, 9, 8) << 50;
    return address;
}

/* Of the first table, which has 2^bits entries. */
static uint64_t first_table(const struct half *half, unsigned bits)
{
    unsigned low = bits + 3;
    uint64_t address;

    if (half->wide && low < 6)
        low = 6;
    address = half->ttbr & (BIT(48) - BIT(low));
    if (half->wide)
        address |= field(half->ttbr, 5, 2) << 48;
    return address;
}

/* Whether a descriptor may be a block of 2^low bytes. */
static bool may_be_block(const struct half *half, unsigned low)
{
    const unsigned stride = half->granule - 3;
    const unsigned levels = (half->granule == 12 ? 2u : 1u) + half->wide; /* above the last */

    return (low - half->granule) / stride <= levels;
}

static int read_descriptor(uint64_t *out, const struct visor__a64_regime *regime, uint64_t gpa)
{
    int ret = regime->ops->memory(regime->context, gpa, out, sizeof(*out), false);

    if (ret < 0)
        return ret;
    if ((regime->sctlr & SCTLR_EE) != 0)
        *out = __builtin_bswap64(*out);
    return ret == 1 && (*out & DESC_VALID) != 0 ? 0 : FAULT;
}

static void find_rights(struct visor__a64_place *out, const struct visor__a64_regime *regime,
                        uint64_t descriptor, uint64_t tables, bool el0)
{
    const bool user = (descriptor & DESC_AP_EL0) != 0 && (tables & DESC_APTABLE_1) == 0;
    const bool read_only = (descriptor & DESC_AP_RO) != 0 || (tables & DESC_APTABLE_2) != 0;

    out->readable = el0 ? user : !(user && regime->pan);
    if ((regime->tcr2 & TCR2_PIE) != 0)
        out->readable = false;
    out->writable = out->readable && !read_only;
}

static int walk(struct visor__a64_place *out, const struct visor__a64_regime *regime,
                const struct half *half, uint64_t address, bool el0)
{
    const unsigned stride = half->granule - 3;
    /* Bits of the address below the index of the level at hand; those of the first table's index.
     */
    unsigned low = half->granule + (half->input - half->granule - 1) / stride * stride;
    unsigned bits = half->input - low;
    uint64_t table = first_table(half, bits), tables = 0, descriptor;

    for (;; low -= stride, bits = stride) {
        int ret;

        if (table >> half->output != 0)
            return FAULT;
        ret = read_descriptor(&descriptor, regime, table + field(address, low + bits - 1, low) * 8);
        if (ret != 0)
            return ret;
        if (low == half->granule || (descriptor & DESC_TABLE) == 0)
            break;
        table = descriptor_address(half, descriptor, half->granule);
        if (!half->flat_rights)
            tables |= descriptor;
    }
    if (low == half->granule ? (descriptor & DESC_TABLE) == 0 : !may_be_block(half, low))
        return FAULT;
    out->gpa = descriptor_address(half, descriptor, low) | (address & (BIT(low) - 1));
    if (out->gpa >> half->output != 0 || (descriptor & DESC_AF) == 0)
        return FAULT;
    find_rights(out, regime, descriptor, tables, el0);
    return 0;
}

int visor__a64_translate(struct visor__a64_place *out, const struct visor__a64_regime *regime,
                         uint64_t address, bool el0)
{
    const bool upper = (address & BIT(55)) != 0;
    const uint64_t plain = untagged(address, regime->tcr, upper);
    struct half half;

    if ((regime->sctlr & SCTLR_M) == 0) {
        /* Tags are ignored, and what is above 52 bits is no physical address. */
        *out = (struct visor__a64_place){.gpa = plain, .readable = true, .writable = true};
        return plain >> 52 != 0 ? FAULT : 0;
    }
    if (!find_half(&half, regime, upper, el0))
        return FAULT;
    if (plain >> half.input != (upper ? UINT64_MAX >> half.input : 0))
        return FAULT;
    return walk(out, regime, &half, plain, el0);
}
