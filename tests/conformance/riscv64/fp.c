/* SPDX-License-Identifier: BSD-3-Clause */
/* RISC-V: floating-point and vector registers go both ways. */
#include <stdlib.h>
#include <string.h>

#include "riscv.h"

VISOR_GUEST_ASM(add_floats,
                "li t0, 0x6000; csrs sstatus, t0; fadd.d f2, f0, f1; fadd.d f31, f2, f2;"
                "fmv.x.d t0, f2;" RISCV_DONE RISCV_AGAIN);

CASE(fp, round_trip, "the guest computes with what the VMM set, and the VMM sees the result")
{
    const double one = 1.25, two = 2.5, three = 3.75, seven = 7.5;
    visor_riscv_fp fp;
    uint64_t bits;

    guest_start(g, &add_floats, 0, 0, 0, NULL);
    CHECK_OK(visor_riscv_get_fp(&fp, g->vcpu));
    for (unsigned i = 0; i < 32; i++)
        fp.f[i] = 0x1111111111111111u * (i % 7);
    memcpy(&fp.f[0], &one, 8);
    memcpy(&fp.f[1], &two, 8);
    fp.fcsr = 0x60; /* round to the nearest, ties to larger */
    CHECK_OK(visor_riscv_set_fp(g->vcpu, &fp));
    memcpy(&bits, &three, 8);
    CHECK_EQ(GUEST_FINISH(g), bits);
    CHECK_OK(visor_riscv_get_fp(&fp, g->vcpu));
    CHECK_EQ(fp.f[2], bits);
    memcpy(&bits, &seven, 8);
    CHECK_EQ(fp.f[31], bits);
    CHECK_EQ(fp.f[30], 0x2222222222222222u);
    CHECK_EQ(fp.fcsr, 0x60);
    CHECK_EQ(riscv_reg(g->vcpu, VISOR_RISCV_FP, 31), bits);
    riscv_set_reg(g->vcpu, VISOR_RISCV_FP, 5, 0xabcdef);
    CHECK_OK(visor_riscv_get_fp(&fp, g->vcpu));
    CHECK_EQ(fp.f[5], 0xabcdef);
}

/* v8 = v0 + v4, all elements of 8 bits, 8 registers at a time are too many here: one. */
VISOR_GUEST_ASM(add_vectors, ".option push; .option arch, +v;"
                             "li t0, 0x600; csrs sstatus, t0; vsetvli t0, zero, e8, m1, ta, ma;"
                             "vadd.vv v8, v0, v4; .option pop;" RISCV_DONE RISCV_AGAIN);

CASE(fp, vectors, "vector registers go both ways, as an image")
{
    uint8_t *image, *v;
    uint64_t vlenb;
    int length;

    guest_start(g, &add_vectors, 0, 0, 0, NULL);
    length = CHECK_OK(visor_riscv_get_vector(NULL, 0, g->vcpu));
    if (!riscv_has_isa(g->vcpu, RISCV_ISA_V)) {
        CHECK_EQ(length, 0);
        SKIP("this hart has no vector registers");
    }
    image = calloc(1, (size_t)length);
    CHECK(image != NULL);
    CHECK_EQ(visor_riscv_get_vector(image, (size_t)length, g->vcpu), length);
    memcpy(&vlenb, image + 32, 8);
    note("%u bytes in a register", (unsigned)vlenb);
    CHECK_EQ(length, 40 + 32 * vlenb);
    v = image + 40;
    for (uint64_t i = 0; i < 32 * vlenb; i++)
        v[i] = (uint8_t)(3 * i + 1);
    CHECK_OK(visor_riscv_set_vector(g->vcpu, image, (size_t)length));
    CHECK_EQ(GUEST_FINISH(g), vlenb); /* the length that it got */
    memset(image, 0, (size_t)length);
    CHECK_EQ(visor_riscv_get_vector(image, (size_t)length, g->vcpu), length);
    for (uint64_t i = 0; i < vlenb; i++)
        CHECK_EQ(v[8 * vlenb + i], (uint8_t)(v[i] + v[4 * vlenb + i]));
    CHECK_EQ(v[31 * vlenb], (uint8_t)(3 * 31 * vlenb + 1));
    CHECK_ERROR(visor_riscv_set_vector(g->vcpu, image, 40), EMISMATCH);
    free(image);
}
