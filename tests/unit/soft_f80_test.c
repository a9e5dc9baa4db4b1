/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Arithmetic in 80 bits against the x87 of this processor: random and special operands, all
 * roundings and precisions. VISOR_F80_COUNT and VISOR_F80_SEED say how many and where from.
 */
#include "unit.h"

#include <stdlib.h>
#include <time.h>

#include "soft/f80.h"

#if !defined(__x86_64__)

TEST(against_the_processor)
{
    SKIP("this processor has no x87");
}

#else

static uint64_t state;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* Mostly numbers that are close to each other; often special ones. */
static struct soft_f80 operand(void)
{
    static const uint64_t significands[] = {
        0,
        1,
        F80_ONE,
        F80_ONE + 1,
        ~UINT64_C(0),
        F80_ONE | F80_QUIET,
        F80_ONE | 1u << 12,
        ~UINT64_C(0) << 11,
        ~UINT64_C(0) << 40,
        F80_ONE >> 1,
    };
    static const uint16_t exponents[] = {0, 1, 2, 0x3fff, 0x3ffe, 0x4000, 0x7ffe, 0x7fff, 0x403e};
    struct soft_f80 a;

    switch (next() % 4) {
    case 0: a.significand = significands[next() % 10]; break;
    case 1: {
        uint64_t some = next(), few = some & next();

        a.significand = F80_ONE | (few & next());
        break;
    }
    default: a.significand = F80_ONE | next(); break;
    }
    switch (next() % 4) {
    case 0: a.sign_exponent = exponents[next() % 9]; break;
    case 1: a.sign_exponent = (uint16_t)(0x3fff - 70 + next() % 140); break;
    case 2: a.sign_exponent = (uint16_t)(next() % 80); break;
    default: a.sign_exponent = next() & 0x7fff; break;
    }
    a.sign_exponent |= (uint16_t)(next() << 15);
    return a;
}

static long double native(struct soft_f80 a)
{
    long double value = 0;

    memcpy(&value, &a, 10);
    return value;
}

static struct soft_f80 own(long double value)
{
    struct soft_f80 a = {0};

    memcpy(&a, &value, 10);
    return a;
}

enum operation { ADD, SUB, MUL, DIV, SQRT, RNDINT, SCALE, PREM, PREM1, OPERATIONS };
static const char *const names[] = {"fadd",    "fsub",   "fmul",  "fdiv",  "fsqrt",
                                    "frndint", "fscale", "fprem", "fprem1"};

struct result {
    struct soft_f80 value;
    uint16_t status; /* exceptions and condition codes */
};

#define RUN(instruction)                                                               \
    __asm__ volatile("fninit; fldcw %[cw]; fldt %[b]; fldt %[a]; fnclex; " instruction \
                     "; fnstsw %[sw]; fstpt %[out]; fninit"                            \
                     : [out] "=m"(out), [sw] "=m"(status)                              \
                     : [a] "m"(x), [b] "m"(y), [cw] "m"(control)                       \
                     : "memory")

static struct result on_processor(enum operation operation, struct soft_f80 a, struct soft_f80 b,
                                  uint16_t control)
{
    long double x = native(a), y = native(b), out = 0;
    uint16_t status = 0;

    switch (operation) {
    case ADD: RUN("fadd %%st(1), %%st"); break;
    case SUB: RUN("fsub %%st(1), %%st"); break;
    case MUL: RUN("fmul %%st(1), %%st"); break;
    case DIV: RUN("fdiv %%st(1), %%st"); break;
    case SQRT: RUN("fsqrt"); break;
    case RNDINT: RUN("frndint"); break;
    case SCALE: RUN("fscale"); break;
    case PREM: RUN("fprem"); break;
    default: RUN("fprem1"); break;
    }
    return (struct result){own(out), status & 0x473f};
}

static struct result in_software(enum operation operation, struct soft_f80 a, struct soft_f80 b,
                                 uint16_t control)
{
    struct f80_context c = {.control = control};
    struct result result = {0};
    int q = 0;

    switch (operation) {
    case ADD: result.value = f80_add(&c, a, b); break;
    case SUB: result.value = f80_sub(&c, a, b); break;
    case MUL: result.value = f80_mul(&c, a, b); break;
    case DIV: result.value = f80_div(&c, a, b); break;
    case SQRT: result.value = f80_sqrt(&c, a); break;
    case RNDINT: result.value = f80_round(&c, a); break;
    case SCALE: result.value = f80_scale(&c, a, b); break;
    default: result.value = f80_remainder(&c, a, b, operation == PREM1, &q); break;
    }
    result.status = c.flags;
    if (operation >= PREM)
        result.status |= (uint16_t)(q < 0 ? 0x400 : (q & 4) << 6 | (q & 2) << 13 | (q & 1) << 9);
    else
        result.status |= c.up ? 0x200 : 0;
    return result;
}

static unsigned long long number_from(const char *name, unsigned long long fallback)
{
    const char *text = getenv(name);

    return text != NULL ? strtoull(text, NULL, 0) : fallback;
}

static void start(const char *what)
{
    state = number_from("VISOR_F80_SEED", (unsigned long long)time(NULL)) | 1;
    printf("# %s: seed %llu\n", what, (unsigned long long)state);
}

TEST(against_the_processor)
{
    unsigned long long count = number_from("VISOR_F80_COUNT", 300000);
    unsigned shown = 0;

    start("arithmetic");
    for (unsigned long long i = 0; i < count && shown < 20; i++) {
        enum operation operation = (enum operation)(next() % OPERATIONS);
        struct soft_f80 a = operand(), b = operand();
        static const uint16_t precisions[] = {0x000, 0x200, 0x300};
        uint16_t control = (uint16_t)(0x7f | precisions[next() % 3] | (next() & 3) << 10);
        struct result there = on_processor(operation, a, b, control);
        struct result here = in_software(operation, a, b, control);
        /* C1 means something only where a result was rounded. */
        uint16_t mask = operation < PREM && (there.status & F80_PE) == 0 ? 0x53f : 0x73f;

        if (there.value.significand == here.value.significand &&
            there.value.sign_exponent == here.value.sign_exponent &&
            ((there.status ^ here.status) & (operation < PREM ? mask & ~0x500u : mask | 0x4000u)) ==
                0)
            continue;
        shown++;
        CHECK(false);
        printf("# %s %04x:%016llx, %04x:%016llx, control %04x\n", names[operation], a.sign_exponent,
               (unsigned long long)a.significand, b.sign_exponent,
               (unsigned long long)b.significand, control);
        printf("#   processor %04x:%016llx %04x, software %04x:%016llx %04x\n",
               there.value.sign_exponent, (unsigned long long)there.value.significand, there.status,
               here.value.sign_exponent, (unsigned long long)here.value.significand, here.status);
    }
}

/* Stores and loads of other formats. */
TEST(conversions)
{
    unsigned long long count = number_from("VISOR_F80_COUNT", 300000);
    unsigned shown = 0;

    start("conversions");
    for (unsigned long long i = 0; i < count && shown < 20; i++) {
        struct soft_f80 a = operand();
        uint16_t control = (uint16_t)(0x37f | (next() & 3) << 10), status[6];
        struct f80_context c[6];
        long double x = native(a);
        uint32_t f32 = 0;
        uint64_t f64 = 0;
        int16_t i16 = 0;
        int32_t i32 = 0;
        int64_t i64 = 0;
        uint8_t bcd[10] = {0}, own_bcd[10];

#define STORE(instruction, n, where)                                        \
    __asm__ volatile("fninit; fldcw %[cw]; fldt %[a]; fnclex; " instruction \
                     " %[out]; fnstsw %[sw]; fninit"                        \
                     : [out] "=m"(where), [sw] "=m"(status[n])              \
                     : [a] "m"(x), [cw] "m"(control)                        \
                     : "memory")
        STORE("fstps", 0, f32);
        STORE("fstpl", 1, f64);
        STORE("fistps", 2, i16);
        STORE("fistpl", 3, i32);
        STORE("fistpll", 4, i64);
        STORE("fbstp", 5, bcd);
        for (unsigned n = 0; n < 6; n++)
            c[n] = (struct f80_context){.control = control};
        f80_to_bcd(own_bcd, &c[5], a);
        if (f80_to_f32(&c[0], a) == f32 && f80_to_f64(&c[1], a) == f64 &&
            f80_to_int(&c[2], a, 16, false) == i16 && f80_to_int(&c[3], a, 32, false) == i32 &&
            f80_to_int(&c[4], a, 64, false) == i64 && memcmp(own_bcd, bcd, 10) == 0) {
            bool same = true;

            for (unsigned n = 0; n < 6; n++)
                same &= ((status[n] ^ c[n].flags) & 0x3f) == 0 &&
                        ((c[n].flags & F80_PE) == 0 || (status[n] >> 9 & 1) == c[n].up);
            if (same)
                continue;
        }
        shown++;
        CHECK(false);
        printf("# %04x:%016llx, control %04x\n", a.sign_exponent, (unsigned long long)a.significand,
               control);
        for (unsigned n = 0; n < 6; n++)
            printf("#   %u: processor %04x, software %04x up %d\n", n, status[n], c[n].flags,
                   c[n].up);
        printf("#   f32 %08x %08x f64 %016llx i16 %d i32 %d i64 %lld\n", f32, f80_to_f32(&c[0], a),
               (unsigned long long)f64, i16, i32, (long long)i64);
    }
}

TEST(comparisons)
{
    unsigned long long count = number_from("VISOR_F80_COUNT", 300000);
    unsigned shown = 0;

    start("comparisons");
    for (unsigned long long i = 0; i < count && shown < 20; i++) {
        static const uint16_t codes[] = {
            [F80_LESS] = 0x100, [F80_EQUAL] = 0x4000, [F80_GREATER] = 0, [F80_UNORDERED] = 0x4500};
        struct soft_f80 a = operand(), b = next() % 4 == 0 ? a : operand();
        struct f80_context c = {.control = 0x37f};
        bool quiet = next() % 2 != 0;
        long double x = native(a), y = native(b);
        uint16_t status, mine;

        if (quiet)
            __asm__ volatile("fninit; fldt %[b]; fldt %[a]; fnclex; fucom %%st(1);"
                             "fnstsw %[sw]; fninit"
                             : [sw] "=m"(status)
                             : [a] "m"(x), [b] "m"(y));
        else
            __asm__ volatile("fninit; fldt %[b]; fldt %[a]; fnclex; fcom %%st(1);"
                             "fnstsw %[sw]; fninit"
                             : [sw] "=m"(status)
                             : [a] "m"(x), [b] "m"(y));
        mine = codes[f80_compare(&c, a, b, quiet)];
        if (((status ^ (mine | c.flags)) & 0x453f) == 0)
            continue;
        shown++;
        CHECK(false);
        printf("# %04x:%016llx %04x:%016llx quiet %d: processor %04x, software %04x\n",
               a.sign_exponent, (unsigned long long)a.significand, b.sign_exponent,
               (unsigned long long)b.significand, quiet, status, mine | c.flags);
    }
}

TEST(widening)
{
    unsigned long long count = number_from("VISOR_F80_COUNT", 300000);

    start("widening");
    for (unsigned long long i = 0; i < count; i++) {
        uint64_t bits = next() % 8 == 0 ? next() & UINT64_C(0x800fffffffffffff) : next();
        uint32_t half = next() % 8 == 0 ? (uint32_t)next() & 0x807fffffu : (uint32_t)next();
        struct f80_context c = {.control = 0x37f}, d = c;
        long double x, y;
        uint16_t s, t;
        struct soft_f80 a = f80_from_f64(&c, bits), b = f80_from_f32(&d, half);

        __asm__ volatile("fninit; fldl %[in]; fnstsw %[sw]; fstpt %[out]"
                         : [out] "=m"(x), [sw] "=m"(s)
                         : [in] "m"(bits));
        __asm__ volatile("fninit; flds %[in]; fnstsw %[sw]; fstpt %[out]; fninit"
                         : [out] "=m"(y), [sw] "=m"(t)
                         : [in] "m"(half));
        REQUIRE(own(x).significand == a.significand && own(x).sign_exponent == a.sign_exponent);
        REQUIRE(own(y).significand == b.significand && own(y).sign_exponent == b.sign_exponent);
        REQUIRE((s & 0x3f) == c.flags && (t & 0x3f) == d.flags);
    }
}

/* Units in the last place between two results of the same sign. */
static uint64_t distance(struct soft_f80 a, struct soft_f80 b)
{
    __int128 x = (__int128)(a.sign_exponent & 0x7fff) << 63 | (a.significand & ~F80_ONE);
    __int128 y = (__int128)(b.sign_exponent & 0x7fff) << 63 | (b.significand & ~F80_ONE);
    __int128 apart = x < y ? y - x : x - y;

    if ((a.sign_exponent ^ b.sign_exponent) >> 15 != 0)
        return UINT64_MAX;
    return apart > UINT32_MAX ? UINT64_MAX : (uint64_t)apart;
}

#define FUNCTION(instruction)                                             \
    __asm__ volatile("fninit; fldt %[b]; fldt %[a]; fnclex; " instruction \
                     "; fnstsw %[sw]; fstpt %[out]; fninit"               \
                     : [out] "=m"(out), [sw] "=m"(status)                 \
                     : [a] "m"(x), [b] "m"(y)                             \
                     : "memory")

/* Processors promise one unit in the last place; theirs and ours make two at most. */
TEST(functions)
{
    static const char *const functions[] = {"f2xm1", "fyl2x", "fyl2xp1", "fpatan",
                                            "fsin",  "fcos",  "fptan"};
    unsigned long long count = number_from("VISOR_F80_COUNT", 300000) / 20;
    uint64_t worst[7] = {0};
    unsigned shown = 0;

    start("functions");
    for (unsigned long long i = 0; i < count && shown < 20; i++) {
        struct soft_f80 a = operand(), b = operand(), result, other;
        struct f80_context c = {.control = 0x37f};
        unsigned which = (unsigned)(next() % 7);
        uint16_t status = 0, mask = F80_IE | F80_ZE;
        long double x, y = native(b), out = 0;
        uint64_t apart;

        /* In the range that the instruction is defined for. */
        if (which == 0 && f80_exponent(a) >= F80_BIAS && f80_exponent(a) != 0x7fff)
            a.sign_exponent = (uint16_t)((a.sign_exponent & 0x8000) | (0x3fff - 1 - next() % 60));
        if (which == 2 && f80_exponent(a) >= F80_BIAS - 2)
            a.sign_exponent = (uint16_t)((a.sign_exponent & 0x8000) | (0x3fff - 3 - next() % 60));
        /* Of large angles processors use more of pi, or less. */
        if (which >= 4 && f80_exponent(a) > F80_BIAS + 1)
            a.sign_exponent = (uint16_t)((a.sign_exponent & 0x8000) | (0x3fff - next() % 60));
        x = native(a);
        switch (which) {
        case 0:
            FUNCTION("f2xm1");
            result = f80_2xm1(&c, a);
            break;
        case 1:
            FUNCTION("fyl2x");
            result = f80_yl2x(&c, b, a);
            break;
        case 2:
            FUNCTION("fyl2xp1");
            result = f80_yl2xp1(&c, b, a);
            break;
        case 3:
            FUNCTION("fpatan");
            result = f80_patan(&c, b, a);
            break;
        case 4:
            FUNCTION("fsin");
            f80_sincos(&result, &other, &c, a);
            break;
        case 5:
            FUNCTION("fcos");
            f80_sincos(&other, &result, &c, a);
            break;
        default:
            FUNCTION("fptan; fstp %%st(0)");
            f80_ptan(&result, &c, a);
            break;
        }
        apart = distance(own(out), result);
        if (apart != UINT64_MAX && apart > worst[which])
            worst[which] = apart;
        if (apart <= 2 && ((status ^ c.flags) & mask) == 0)
            continue;
        shown++;
        CHECK(false);
        printf("# %s %04x:%016llx (%04x:%016llx): processor %04x:%016llx %04x, "
               "software %04x:%016llx %04x\n",
               functions[which], a.sign_exponent, (unsigned long long)a.significand,
               b.sign_exponent, (unsigned long long)b.significand, own(out).sign_exponent,
               (unsigned long long)own(out).significand, status, result.sign_exponent,
               (unsigned long long)result.significand, c.flags);
    }
    for (unsigned i = 0; i < 7; i++)
        printf("# %s: at most %llu units apart\n", functions[i], (unsigned long long)worst[i]);
}

#endif

UNIT_MAIN()
