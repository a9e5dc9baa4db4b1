/* SPDX-License-Identifier: BSD-3-Clause */
/* The state that a case begins with: numbers that are likely to matter. */
#include <string.h>

#include "silicon.h"

/* ---- numbers ---- */

/* Also what is no valid number: unnormals, pseudo-denormals, pseudo-NaNs. */
static void random_f80(uint8_t out[10])
{
    static const uint16_t exponents[] = {0,      1,      2,      0x3ffe, 0x3fff, 0x4000, 0x401d,
                                         0x401e, 0x403d, 0x403e, 0x7ffd, 0x7ffe, 0x7fff, 0x3fbf};
    static const uint64_t significands[] = {
        0x0000000000000000, 0x0000000000000001, 0x7fffffffffffffff, 0x8000000000000000,
        0x8000000000000001, 0xc000000000000000, 0xffffffffffffffff, 0xc000000000000001,
        0x9fffffffffffffff, 0xfffffffffffff800, 0xffffff8000000000, 0x4000000000000000,
    };
    uint64_t significand = silicon_random();
    unsigned exponent = 0x3fff - 40 + silicon_below(110);

    if (silicon_below(16) != 0)
        significand |= UINT64_C(1) << 63;
    if (silicon_below(3) == 0)
        significand = significands[silicon_below(sizeof(significands) / 8)];
    if (silicon_below(3) == 0) /* an integer, mostly */
        significand &= ~UINT64_C(0) << silicon_below(64);
    switch (silicon_below(4)) {
    case 0: exponent = exponents[silicon_below(sizeof(exponents) / 2)]; break;
    case 1: exponent = silicon_below(8) == 0 ? silicon_below(0x8000) : exponent; break;
    default: break;
    }
    silicon_put(out, significand, 8);
    silicon_put(out + 8, exponent | silicon_below(2) << 15, 2);
}

void silicon_random_half(uint8_t out[16])
{
    const unsigned kind = silicon_below(10), few = 1 + silicon_below(6);

    for (unsigned i = 0; i < 16; i += 8) {
        uint64_t value = silicon_random();

        switch (kind) {
        case 0:
        case 1: value = silicon_f32() | (uint64_t)silicon_f32() << 32; break;
        case 2:
        case 3: value = silicon_f64(); break;
        case 4: /* strings */
            for (unsigned n = 0; n < 64; n += 8)
                value = (value & ~(UINT64_C(0xff) << n)) |
                        (uint64_t)(silicon_below(12) == 0 ? 0 : 'a' + silicon_below(few)) << n;
            break;
        case 5: /* packed decimals */ value &= UINT64_C(0x7777777777777777); break;
        case 6:
        case 7: value = silicon_edge(); break;
        default: break;
        }
        silicon_put(out + i, value, 8);
    }
    if (kind == 8)
        random_f80(out);
}

/* ---- the state ---- */

void silicon_random_x87(uint8_t *image)
{
    unsigned fcw = 0x37f, fsw = silicon_below(8) << 11;
    uint64_t used;

    for (unsigned i = 0; i < 8; i++) {
        if (silicon_below(2) == 0)
            random_f80(image + SILICON_IMAGE_ST + 16 * i);
        else
            silicon_random_half(image + SILICON_IMAGE_ST + 16 * i);
        memset(image + SILICON_IMAGE_ST + 10 + 16 * i, 0, 6);
    }
    if (silicon_below(2) == 0) {
        static const uint16_t precisions[] = {0x000, 0x200, 0x300, 0x300};

        fcw = 0x7f | precisions[silicon_below(4)] | silicon_below(4) << 10;
        if (silicon_below(2) == 0)
            fcw &= ~silicon_below(64);
        fsw |= silicon_below(2) == 0 ? silicon_below(64) & fcw : 0;
        fsw |= silicon_below(2) == 0 ? (silicon_below(16) & 7) << 8 | silicon_below(2) << 14 : 0;
    }
    if (silicon_below(32) == 0) { /* a pending exception: unmasked, and ES and B are set */
        fcw &= ~1U;
        fsw |= 0x8081;
    }
    silicon_put(image + SILICON_IMAGE_FCW, fcw, 2);
    silicon_put(image + SILICON_IMAGE_FSW, fsw, 2);
    used = silicon_random();
    used |= silicon_random();
    image[SILICON_IMAGE_FTW] = (uint8_t)used;
    if (silicon_below(4) == 0)
        image[SILICON_IMAGE_FTW] = 0xff;
}

/* Six bits. */
static unsigned mostly_ones(void)
{
    const unsigned first = silicon_below(64);

    return first | silicon_below(64);
}

void silicon_state_random(struct silicon_state *in)
{
    uint32_t mxcsr = 0x1f80;

    memset(in->image, 0, SILICON_IMAGE);
    memset(in->data, 0, SILICON_PAGE);
    for (unsigned i = 0; i < 16; i++) {
        in->r[i] = silicon_below(2) == 0 ? silicon_random() : silicon_edge();
        silicon_random_half(in->image + SILICON_IMAGE_XMM + 16 * i);
        silicon_random_half(in->image + SILICON_IMAGE_YMM + 16 * i);
    }
    for (unsigned i = SILICON_MIDDLE - 512; i < SILICON_MIDDLE + 512; i += 16)
        silicon_random_half(in->data + i);
    for (unsigned i = SILICON_PAGE - 64; i < SILICON_PAGE; i += 16)
        silicon_random_half(in->data + i);
    for (unsigned i = 0; i < 64; i += 16)
        silicon_random_half(in->data + i);
    silicon_random_x87(in->image);
    if (silicon_below(2) == 0) {
        mxcsr = silicon_below(64) | silicon_below(4) << 13;
        mxcsr |= silicon_below(2) != 0 ? 0x1f80 : mostly_ones() << 7;
        mxcsr |= silicon_below(3) == 0 ? 0x40 : 0;
        mxcsr |= silicon_below(3) == 0 ? 0x8000 : 0;
    }
    silicon_put(in->image + SILICON_IMAGE_MXCR, mxcsr, 4);
    silicon_put(in->image + SILICON_IMAGE_MXCR + 4, 0xffff, 4);
    silicon_put(in->image + SILICON_IMAGE_BV, 7, 8);
    in->flags = 0x202 | (silicon_random() & 0x8d5);
    if (silicon_below(8) == 0)
        in->flags |= 0x400; /* DF */
    if (silicon_below(64) == 0)
        in->flags |= 0x40000; /* AC */
    in->vector = SILICON_NONE;
    in->rip = SILICON_START;
}
