/* SPDX-License-Identifier: BSD-3-Clause */
/* RISC-V state as text. Every line begins with the name of its piece. */
#include <inttypes.h>

#include "core/riscv.h"

void visor__dump_riscv_mp_state(const void *value, size_t length, const struct visor__printer *out)
{
    visor__dump_mp_state(value, length, out);
}

static void say_list(const char *name, const void *value, size_t length,
                     const struct visor__printer *out)
{
    const visor_reg *regs = value;

    for (size_t i = 0; i < length / sizeof(*regs); i++)
        visor__say(out, "%-10s %03x: %016" PRIx64, name, (unsigned)regs[i].id & 0xffffff,
                   regs[i].value);
}

#define LIST(name)                                                  \
    void visor__dump_riscv_##name(const void *value, size_t length, \
                                  const struct visor__printer *out) \
    {                                                               \
        say_list(#name, value, length, out);                        \
    }
LIST(config)
LIST(sbi)
LIST(sbi_state)
LIST(csrs)

void visor__dump_riscv_isa(const void *value, size_t length, const struct visor__printer *out)
{
    const visor_reg *regs = value;

    for (size_t i = 0; i < length / sizeof(*regs); i++) {
        uint32_t index = (uint32_t)regs[i].id & 0xffffff;
        const char *name = visor_riscv_isa_name(index);

        if (regs[i].value != 0)
            visor__say(out, "isa        %s (%u)", name != NULL ? name : "unknown", index);
    }
}

void visor__dump_riscv_regs(const void *value, size_t length, const struct visor__printer *out)
{
    const visor_riscv_regs *r = value;

    (void)length;
    visor__say(out, "regs       pc  %016" PRIx64 "  mode %s", r->pc,
               r->mode == VISOR_RISCV_USER ? "U" : "S");
    for (unsigned i = 0; i < 32; i += 4)
        visor__say(out, "regs       x%-2u %016" PRIx64 " %016" PRIx64 " %016" PRIx64 " %016" PRIx64,
                   i, r->x[i], r->x[i + 1], r->x[i + 2], r->x[i + 3]);
}

void visor__dump_riscv_fp(const void *value, size_t length, const struct visor__printer *out)
{
    const visor_riscv_fp *fp = value;

    (void)length;
    visor__say(out, "fp         fcsr %" PRIx64, fp->fcsr);
    for (unsigned i = 0; i < 32; i++) {
        if (fp->f[i] != 0)
            visor__say(out, "fp         f%-2u %016" PRIx64, i, fp->f[i]);
    }
}

void visor__dump_riscv_vector(const void *value, size_t length, const struct visor__printer *out)
{
    (void)value;
    visor__say(out, "vector     %zu bytes", length);
}

void visor__dump_riscv_timer(const void *value, size_t length, const struct visor__printer *out)
{
    const visor_riscv_timer *t = value;

    (void)length;
    visor__say(out, "timer      %" PRIu64 " Hz, time %" PRIx64 ", compare %" PRIx64 "%s",
               t->frequency, t->time, t->compare, t->armed ? ", armed" : "");
}
