/* SPDX-License-Identifier: BSD-3-Clause */
/* RISC-V: the whole state of a vCPU survives a snapshot. */
#include <string.h>

#include "riscv.h"

/* Waits for a timer's interrupt. */
VISOR_GUEST_ASM(wait_for_timer,
                "li t0, 0x20; csrw sie, t0; csrsi sstatus, 2; lui t1, 0x7f000; sd zero, 0(t1);"
                "1: wfi; j 1b");
VISOR_GUEST_ASM(tell_cause, "csrr t0, scause;" RISCV_DONE RISCV_AGAIN);

/* Saves the VM into a new one, whose vCPU has had no set-up, and goes on there. */
static void move(struct guest *g)
{
    struct buffer buffer = {0};
    const visor_stream stream = buffer_stream(&buffer);
    struct guest old = *g;

    CHECK_OK(visor_vm_save(g->vm, &stream, NULL));
    g->memory = NULL;
    g->vm = NULL;
    g->vcpu = NULL;
    guest_create(g, NULL);
    guest_add_vcpu(g, 0);
    CHECK_OK(visor_vm_restore(g->vm, &stream, NULL));
    visor_vcpu_free(old.vcpu);
    visor_vm_free(old.vm);
    visor_memory_free(old.memory);
    buffer_free(&buffer);
}

CASE(snapshot_riscv, registers, "general, control, floating-point and vector registers")
{
    uint8_t image[2][40 + 32 * 256] = {0};
    visor_riscv_regs regs, regs_after;
    visor_riscv_fp fp, fp_after;
    int length;

    guest_create(g, NULL);
    guest_add_vcpu(g, 0);
    regs = riscv_regs(g->vcpu);
    for (unsigned i = 1; i < 32; i++)
        regs.x[i] = 0x0101010101010101u * i;
    regs.pc = guest_code;
    regs.mode = VISOR_RISCV_USER;
    CHECK_OK(visor_riscv_set_regs(g->vcpu, &regs));
    riscv_set_reg(g->vcpu, VISOR_RISCV_CSR, RISCV_SSCRATCH, 0x1234567890u);
    riscv_set_reg(g->vcpu, VISOR_RISCV_CSR, RISCV_SEPC, 0x80001000u);
    riscv_set_reg(g->vcpu, VISOR_RISCV_CSR, RISCV_SIE, 0x222);
    riscv_set_reg(g->vcpu, VISOR_RISCV_CSR, RISCV_SIP, 2); /* a software interrupt */
    CHECK_OK(visor_riscv_get_fp(&fp, g->vcpu));
    for (unsigned i = 0; i < 32; i++)
        fp.f[i] = 0x1000000000000001u * i;
    fp.fcsr = 0x41;
    CHECK_OK(visor_riscv_set_fp(g->vcpu, &fp));
    length = CHECK_OK(visor_riscv_get_vector(image[0], sizeof(image[0]), g->vcpu));
    if (length > 0) {
        memset(image[0] + 40, 0x5a, (size_t)length - 40);
        CHECK_OK(visor_riscv_set_vector(g->vcpu, image[0], (size_t)length));
    }
    move(g);
    regs_after = riscv_regs(g->vcpu);
    CHECK_BYTES(&regs_after, &regs, sizeof(regs));
    CHECK_EQ(riscv_reg(g->vcpu, VISOR_RISCV_CSR, RISCV_SSCRATCH), 0x1234567890u);
    CHECK_EQ(riscv_reg(g->vcpu, VISOR_RISCV_CSR, RISCV_SEPC), 0x80001000u);
    CHECK_EQ(riscv_reg(g->vcpu, VISOR_RISCV_CSR, RISCV_SIE), 0x222);
    CHECK_EQ(riscv_reg(g->vcpu, VISOR_RISCV_CSR, RISCV_SIP), 2);
    CHECK_OK(visor_riscv_get_fp(&fp_after, g->vcpu));
    CHECK_BYTES(&fp_after, &fp, sizeof(fp));
    CHECK_EQ(CHECK_OK(visor_riscv_get_vector(image[1], sizeof(image[1]), g->vcpu)), length);
    CHECK_BYTES(image[1], image[0], (size_t)length);
}

CASE(snapshot_riscv, armed_timer, "a timer that was armed fires in the new VM; time goes on")
{
    visor_riscv_timer before, after;

    guest_start(g, &wait_for_timer, 0, 0, 0, NULL);
    riscv_set_handler(g, &tell_cause);
    CHECK_EQ(GUEST_FINISH(g), 0);
    CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_NONE);
    CHECK_OK(visor_riscv_get_timer(&before, g->vcpu));
    before.time += 1000 * before.frequency;
    before.compare = before.time + before.frequency / 4;
    before.armed = 1;
    CHECK_OK(visor_riscv_set_timer(g->vcpu, &before));
    move(g);
    CHECK_OK(visor_riscv_get_timer(&after, g->vcpu));
    CHECK_EQ(after.armed, 1);
    CHECK(after.time >= before.time);
    CHECK(after.time - before.time < 100 * before.frequency);
    CHECK_EQ(GUEST_FINISH(g), (uint64_t)1 << 63 | 5);
}

CASE(snapshot_riscv, other_hart, "a hart with another extension is a mismatch, which is named")
{
    struct buffer buffer = {0};
    const visor_stream stream = buffer_stream(&buffer);
    visor_vm *saved;
    visor_memory *memory;
    visor_vcpu *vcpu;

    guest_start(g, &tell_cause, 0, 0, 0, NULL);
    GUEST_FINISH(g);
    CHECK_OK(visor_vm_save(g->vm, &stream, NULL));
    saved = g->vm;
    memory = g->memory;
    vcpu = g->vcpu;
    guest_create(g, NULL);
    guest_add_vcpu(g, 0);
    riscv_set_reg(g->vcpu, VISOR_RISCV_ISA, RISCV_ISA_D, 0);
    /* It has not run: it becomes what was saved. */
    CHECK_OK(visor_vm_restore(g->vm, &stream, NULL));
    CHECK(riscv_has_isa(g->vcpu, RISCV_ISA_D));
    visor_vcpu_free(g->vcpu);
    visor_vm_free(g->vm);
    visor_memory_free(g->memory);
    guest_start(g, &tell_cause, 0, 0, 0, NULL);
    riscv_set_reg(g->vcpu, VISOR_RISCV_ISA, RISCV_ISA_D, 0);
    GUEST_FINISH(g);
    buffer.cursor = 0;
    CHECK_ERROR(visor_vm_restore(g->vm, &stream, NULL), EMISMATCH);
    visor_vcpu_free(vcpu);
    visor_vm_free(saved);
    visor_memory_free(memory);
    buffer_free(&buffer);
}
