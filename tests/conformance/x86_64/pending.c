/* SPDX-License-Identifier: BSD-3-Clause */
/* x86-64: registers while an access is half finished, and settling of it. */
#include "x86.h"

#include "guest.h"

VISOR_GUEST_ASM16(in_and_halt, "in al, 0x20; hlt");

CASE(pending, settle_in, "after settle the registers of an IN are final")
{
    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &in_and_halt});
    RUN_TO_IN(g, 0x20, 1, 0x5a);
    CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_NONE);
    CHECK_EQ(x86_regs(g->vcpu).rax, 0x5a);
    CHECK_EQ(x86_regs(g->vcpu).rip, 0x1002);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 0x5a);
}

VISOR_GUEST_ASM16(out_and_in, "out 0x10, al; in al, 0x20; hlt");

CASE(pending, settle_out, "after settle an OUT is behind")
{
    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &out_and_in, .regs = {.rax = 7}});
    RUN_TO_OUT(g, 0x10, 1, 7);
    CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_NONE);
    CHECK_EQ(x86_regs(g->vcpu).rip, 0x1002);
    RUN_TO_IN(g, 0x20, 1, 8);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 8);
}

VISOR_GUEST_ASM16(rep_ins, "cld; mov dx, 0x80; mov di, 0x2000; mov cx, 6; rep insb; hlt");

CASE(pending, settle_rep_ins, "a repeated IN in the middle: the rest is handed out by settle")
{
    visor_exit *exit;
    int reason;

    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &rep_ins});
    exit = visor_vcpu_exit(g->vcpu);
    RUN_TO_IN(g, 0x80, 1, 0);
    RUN_TO_IN(g, 0x80, 1, 1);
    /* What settle hands out belongs to the same batch; the hypervisor may have cut the string
     * instruction anywhere, and then the rest comes with the next run. */
    for (unsigned i = 2;; i++) {
        reason = CHECK_OK(visor_vcpu_settle(g->vcpu));
        if (reason == VISOR_EXIT_NONE)
            reason = RUN(g);
        if (reason != VISOR_EXIT_IO) {
            CHECK_EQ(i, 6);
            break;
        }
        CHECK_EQ(exit->io.address, 0x80);
        visor_io_set_value(&exit->io, i);
    }
    CHECK_EQ(reason, VISOR_EXIT_HLT);
    for (unsigned i = 0; i < 6; i++)
        CHECK_EQ(peek(g, 0x2000 + i, 1), i);
    CHECK_EQ(x86_regs(g->vcpu).rcx, 0);
    CHECK_EQ(x86_regs(g->vcpu).rdi, 0x2006);
}

VISOR_GUEST_ASM64(count_and_out, "3: inc rax; out 0x10, al; jmp 3b");

CASE(pending, registers_fresh, "registers asked for after each exit are those of that exit")
{
    visor_x86_regs regs;
    visor_x86_sregs sregs;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG, .load = 0x1000, .code = &count_and_out});
    for (unsigned i = 1; i <= 200; i++) {
        RUN_TO_OUT(g, 0x10, 1, i & 0xff);
        if (i % 3 == 0)
            continue;
        regs = x86_regs(g->vcpu);
        CHECK_EQ(regs.rax, i);
        if (i % 7 == 0) {
            sregs = x86_sregs(g->vcpu);
            CHECK_EQ(sregs.cs.l, 1);
            CHECK_EQ(sregs.cr3, X86_PML4);
        }
    }
}

VISOR_GUEST_ASM64(add_r8_and_out, "3: add rax, r8; mov rcx, cr2; out 0x10, al; jmp 3b");

CASE(pending, registers_set,
     "registers set after an exit are the guest's, whatever was read before")
{
    visor_x86_regs regs;
    visor_x86_sregs sregs;

    x86_start(g, &(struct x86_setup){
                     .mode = X86_LONG, .load = 0x1000, .code = &add_r8_and_out, .regs = {.r8 = 1}});
    for (unsigned i = 1; i <= 50; i++) {
        RUN(g);
        CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_NONE);
        regs = x86_regs(g->vcpu);
        CHECK_EQ(regs.rax, i == 1 ? 1 : 100 * (i - 1) + i);
        if (i % 2 == 0) {
            sregs = x86_sregs(g->vcpu);
            sregs.cr2 = 0x1000 * i;
            x86_set_sregs(g->vcpu, &sregs);
        }
        regs.rax = 100 * i;
        regs.r8 = i + 1;
        x86_set_regs(g->vcpu, &regs);
        CHECK_EQ(x86_regs(g->vcpu).rax, 100 * i);
        CHECK_EQ(x86_regs(g->vcpu).r8, i + 1);
        if (i % 2 == 0)
            CHECK_EQ(x86_sregs(g->vcpu).cr2, 0x1000 * i);
    }
}

CASE(pending, set_then_other_state, "registers set first are not lost by setting anything else")
{
    visor_x86_debugregs debugregs;
    visor_x86_regs regs;
    uint64_t value;

    x86_start(g, &(struct x86_setup){
                     .mode = X86_LONG, .load = 0x1000, .code = &count_and_out, .regs = {.rax = 5}});
    RUN_TO_OUT(g, 0x10, 1, 6);
    regs = x86_regs(g->vcpu);
    RUN_TO_OUT(g, 0x10, 1, 7);
    CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_NONE);
    regs = x86_regs(g->vcpu);
    regs.rax = 0x40;
    x86_set_regs(g->vcpu, &regs);
    CHECK_OK(visor_x86_get_debugregs(&debugregs, g->vcpu));
    debugregs.db[0] = 0x9000;
    CHECK_OK(visor_x86_set_debugregs(g->vcpu, &debugregs));
    CHECK_OK(visor_x86_set_msr(g->vcpu, X86_MSR_LSTAR, 0x77));
    CHECK_OK(visor_x86_get_msr(&value, g->vcpu, X86_MSR_LSTAR));
    CHECK_EQ(value, 0x77);
    CHECK_EQ(x86_regs(g->vcpu).rax, 0x40);
    RUN_TO_OUT(g, 0x10, 1, 0x41);
}

CASE(pending, set_then_kick, "registers set before a run that is kicked at once are not lost")
{
    visor_x86_regs regs;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG, .load = 0x1000, .code = &count_and_out});
    for (unsigned i = 0; i < 20; i++) {
        RUN(g);
        CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_NONE);
        regs = x86_regs(g->vcpu);
        regs.rax = 3 * i;
        x86_set_regs(g->vcpu, &regs);
        visor_vcpu_kick(g->vcpu);
        RUN_TO(g, KICKED);
        CHECK_EQ(x86_regs(g->vcpu).rax, 3 * i);
        RUN_TO_OUT(g, 0x10, 1, (3 * i + 1) & 0xff);
        CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_NONE);
    }
}

/* ---- accesses of several parts, which an access across two pages is here ---- */

CASE(kick, settle_parts, "an access of several parts is settled part by part")
{
    visor_exit *exit;

    guest_start(g, guest_load[3], guest_hole + 0xffc, 0, 0, NULL);
    RUN_TO_MMIO_READ(g, guest_hole + 0xffc, 4, 0x11223344);
    CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_MMIO);
    exit = visor_vcpu_exit(g->vcpu);
    CHECK_EQ(exit->io.address, guest_hole + 0x1000);
    CHECK_EQ(exit->io.length, 4);
    visor_io_set_value(&exit->io, 0x55667788);
    CHECK_EQ(CHECK_OK(visor_vcpu_settle(g->vcpu)), VISOR_EXIT_NONE);
    CHECK_EQ(GUEST_FINISH(g), 0x5566778811223344u);
}

CASE(snapshot, unanswered_part, "an access with parts still to be answered cannot be saved yet")
{
    struct buffer buffer = {0};
    const visor_stream stream = buffer_stream(&buffer);
    visor_exit *exit;

    guest_start(g, guest_load[3], guest_hole + 0xffc, 0, 0, NULL);
    NEED(g, SNAPSHOT);
    RUN_TO_MMIO_READ(g, guest_hole + 0xffc, 4, 1);
    CHECK_ERROR(visor_vm_save(g->vm, &stream, NULL), ESTATE);
    exit = visor_vcpu_exit(g->vcpu);
    CHECK_EQ(exit->reason, VISOR_EXIT_MMIO);
    CHECK_EQ(exit->io.address, guest_hole + 0x1000);
    visor_io_set_value(&exit->io, 2);
    buffer_free(&buffer);
    CHECK_OK(visor_vm_save(g->vm, &stream, NULL));
    CHECK_EQ(GUEST_FINISH(g), 0x200000001u);
    buffer_free(&buffer);
}
