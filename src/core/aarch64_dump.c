/* SPDX-License-Identifier: BSD-3-Clause */
/* AArch64 state as text. Every line begins with the name of its piece. */
#include <inttypes.h>

#include "core/aarch64.h"

void visor__dump_aarch64_mp_state(const void *value, size_t length,
                                  const struct visor__printer *out)
{
    visor__dump_mp_state(value, length, out);
}

void visor__dump_aarch64_features(const void *value, size_t length,
                                  const struct visor__printer *out)
{
    const visor_aarch64_features *f = value;

    (void)length;
    visor__say(out, "features   %s%s%s%s%ssve_lengths 0x%x",
               f->bits & VISOR_AARCH64_HAS_PMU ? "pmu " : "",
               f->bits & VISOR_AARCH64_HAS_SVE ? "sve " : "",
               f->bits & VISOR_AARCH64_HAS_PAUTH ? "pauth " : "",
               f->bits & VISOR_AARCH64_HAS_EL2 ? "el2 " : "",
               f->bits & VISOR_AARCH64_HAS_MTE ? "mte " : "", f->sve_lengths);
}

void visor__dump_aarch64_firmware(const void *value, size_t length,
                                  const struct visor__printer *out)
{
    const visor_reg *regs = value;

    for (size_t i = 0; i < length / sizeof(*regs); i++)
        visor__say(out, "firmware   %x: %016" PRIx64,
                   (unsigned)regs[i].id - VISOR_AARCH64_FIRMWARE(0), regs[i].value);
}

/* As assemblers name a register that has no name: S3_0_C1_C0_0. */
void visor__dump_aarch64_sysregs(const void *value, size_t length, const struct visor__printer *out)
{
    const visor_reg *regs = value;

    for (size_t i = 0; i < length / sizeof(*regs); i++) {
        unsigned id = (unsigned)regs[i].id;

        visor__say(out, "sysregs    S%u_%u_C%u_C%u_%u %016" PRIx64, id >> 14 & 3, id >> 11 & 7,
                   id >> 7 & 15, id >> 3 & 15, id & 7, regs[i].value);
    }
}

void visor__dump_aarch64_caches(const void *value, size_t length, const struct visor__printer *out)
{
    const visor_reg *regs = value;

    for (size_t i = 0; i < length / sizeof(*regs); i++)
        visor__say(out, "caches     CCSIDR_EL1[%u] %016" PRIx64,
                   (unsigned)regs[i].id - VISOR_AARCH64_CCSIDR(0), regs[i].value);
}

void visor__dump_aarch64_regs(const void *value, size_t length, const struct visor__printer *out)
{
    const visor_aarch64_regs *r = value;

    (void)length;
    for (unsigned i = 0; i < 30; i += 3)
        visor__say(out, "regs       x%-2u %016" PRIx64 "  x%-2u %016" PRIx64 "  x%-2u %016" PRIx64,
                   i, r->x[i], i + 1, r->x[i + 1], i + 2, r->x[i + 2]);
    visor__say(out, "regs       x30 %016" PRIx64 "  sp  %016" PRIx64, r->x[30], r->sp);
    visor__say(out, "regs       pc  %016" PRIx64 "  pstate %08" PRIx64, r->pc, r->pstate);
}

void visor__dump_aarch64_fpsimd(const void *value, size_t length, const struct visor__printer *out)
{
    const visor_aarch64_fpsimd *f = value;

    (void)length;
    visor__say(out, "fpsimd     fpsr %08x fpcr %08x", f->fpsr, f->fpcr);
    for (unsigned i = 0; i < 32; i++) {
        if ((f->v[i][0] | f->v[i][1]) != 0)
            visor__say(out, "fpsimd     v%-2u %016" PRIx64 "%016" PRIx64, i, f->v[i][1],
                       f->v[i][0]);
    }
}

void visor__dump_aarch64_sve(const void *value, size_t length, const struct visor__printer *out)
{
    (void)value;
    visor__say(out, "sve        %zu bytes", length);
}

void visor__dump_aarch64_events(const void *value, size_t length, const struct visor__printer *out)
{
    const visor_aarch64_events *e = value;

    (void)length;
    if (e->serror_pending != 0)
        visor__say(out, "events     SError pending%s %" PRIx64,
                   e->serror_has_esr ? ", syndrome" : "", e->serror_esr);
}
