/* SPDX-License-Identifier: BSD-3-Clause */
/* Exits of AArch64 vCPUs with run areas filled by hand, their answers, and guest debugging. */
#include "unit.h"

#include "fake_kvm_aarch64.h"

static bool start(int (*script)(struct kvm_run *run))
{
    fake_reset();
    kernel.script = script;
    kernel.caps[KVM_CAP_GUEST_DEBUG_HW_BPS] = 16;
    kernel.caps[KVM_CAP_GUEST_DEBUG_HW_WPS] = 4;
    return box_open(NULL) && box_vcpu();
}

static void put_code(uint32_t instruction)
{
    CHECK_OK(visor_memory_write(box.memory, GUEST_GPA, &instruction, sizeof(instruction)));
}

/* ---- accesses ---- */

static int mmio(struct kvm_run *run)
{
    run->exit_reason = KVM_EXIT_MMIO;
    run->mmio.phys_addr = 0x1000;
    run->mmio.len = 4;
    run->mmio.is_write = 0;
    return 0;
}

TEST(setting_registers_completes_the_access_first)
{
    uint64_t pc = 0;

    if (start(mmio)) {
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_MMIO);
        visor_io_set_value(&box.exit->io, 0x12345678);
        CHECK_OK(visor_aarch64_set_reg(box.vcpu, VISOR_AARCH64_PC, 0x4000));
        CHECK(memcmp(kernel.run->mmio.data, "\x78\x56\x34\x12", 4) == 0);
        CHECK_OK(visor_aarch64_get_reg(&pc, box.vcpu, VISOR_AARCH64_PC));
        CHECK_INT(pc, 0x4000);
        CHECK_INT(kernel.runs, 2);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_MMIO);
        CHECK_INT(fake_value(PC_ID), 0x4000);
    }
    box_close();
}

static int no_syndrome(struct kvm_run *run)
{
    if (kernel.step++ > 0) {
        run->exit_reason = KVM_EXIT_SHUTDOWN;
        return 0;
    }
    run->exit_reason = KVM_EXIT_ARM_NISV;
    run->arm_nisv.esr_iss = 0x7;
    run->arm_nisv.fault_ipa = 0x1000;
    return 0;
}

TEST(a_pair_comes_in_two_parts)
{
    if (start(no_syndrome)) {
        put_code(0xa9400c02); /* ldp x2, x3, [x0] */
        fake_set(X_ID(0), 0x1000);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_MMIO);
        CHECK_INT(box.exit->raw, KVM_EXIT_ARM_NISV);
        CHECK_INT(box.exit->io.address, 0x1000);
        CHECK_INT(box.exit->io.length, 8);
        visor_io_set_value(&box.exit->io, 0x1111);
        visor_vcpu_kick(box.vcpu);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_KICKED);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_MMIO);
        CHECK_INT(box.exit->io.address, 0x1008);
        CHECK_INT(fake_value(X_ID(2)), 0);
        visor_io_set_value(&box.exit->io, 0x2222);
        CHECK_INT(visor_vcpu_settle(box.vcpu), VISOR_EXIT_NONE);
        CHECK_INT(fake_value(X_ID(2)), 0x1111);
        CHECK_INT(fake_value(X_ID(3)), 0x2222);
        CHECK_INT(fake_value(PC_ID), GUEST_GPA + 4);
        CHECK_INT(kernel.runs, 1);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_SHUTDOWN);
    }
    box_close();
}

TEST(a_vcpu_sent_elsewhere_forgets_the_rest)
{
    if (start(no_syndrome)) {
        put_code(0xa9400c02);
        fake_set(X_ID(0), 0x1000);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_MMIO);
        CHECK_OK(visor_aarch64_set_reg(box.vcpu, VISOR_AARCH64_PC, 0x4000));
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_SHUTDOWN);
        CHECK_INT(fake_value(PC_ID), 0x4000);
        CHECK_INT(fake_value(X_ID(2)), 0);
    }
    box_close();
}

TEST(an_instruction_that_accesses_nothing_is_no_exit)
{
    if (start(no_syndrome)) {
        put_code(0xf9800000); /* prfm pldl1keep, [x0] */
        fake_set(X_ID(0), 0x1000);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_SHUTDOWN);
        CHECK_INT(kernel.runs, 2);
        CHECK_INT(fake_value(PC_ID), GUEST_GPA + 4);
    }
    box_close();
}

TEST(what_cannot_be_completed_says_so)
{
    if (start(no_syndrome)) {
        put_code(0xc85f7c02); /* ldxr x2, [x0] */
        fake_set(X_ID(0), 0x1000);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_INTERNAL_ERROR);
        CHECK_INT(box.exit->internal.suberror, VISOR__A64_REFUSED_EXCLUSIVE);
        CHECK_INT(box.exit->internal.data[0], 0x1000);
        CHECK_INT(box.exit->internal.instruction_len, 4);
        CHECK_INT(fake_value(PC_ID), GUEST_GPA);
    }
    box_close();
}

/* ---- hypercalls and system events ---- */

static int hypercall(struct kvm_run *run)
{
    run->exit_reason = KVM_EXIT_HYPERCALL;
    run->hypercall.nr = 0xc600003c;
    return 0;
}

TEST(hypercalls_are_in_general_registers)
{
    if (start(hypercall)) {
        for (uint64_t i = 0; i < 9; i++)
            fake_set(X_ID(i), 0xffff0000c600003c + i);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_HYPERCALL);
        CHECK_INT(box.exit->hypercall.number, 0xc600003c); /* W0 */
        CHECK_INT(box.exit->hypercall.args[0], 0xffff0000c600003d);
        CHECK_INT(box.exit->hypercall.args[7], 0xffff0000c6000044);
        CHECK_INT(box.exit->hypercall.result_count, 4);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_HYPERCALL); /* unanswered */
        CHECK_INT(fake_value(X_ID(0)), -1);
        CHECK_INT(fake_value(X_ID(3)), 0);
        CHECK_INT(fake_value(X_ID(4)), 0xffff0000c6000040);
        for (unsigned i = 0; i < 4; i++)
            box.exit->hypercall.results[i] = 100 + i;
        CHECK_INT(visor_vcpu_settle(box.vcpu), VISOR_EXIT_NONE);
        for (uint64_t i = 0; i < 4; i++)
            CHECK_INT(fake_value(X_ID(i)), 100 + i);
        CHECK_INT(kernel.runs, 2);
    }
    box_close();
}

static int reset2(struct kvm_run *run)
{
    run->exit_reason = KVM_EXIT_SYSTEM_EVENT;
    run->system_event.type = KVM_SYSTEM_EVENT_RESET;
    run->system_event.ndata = 1;
    run->system_event.data[0] = 1;
    return 0;
}

TEST(a_reset_has_its_type)
{
    if (start(reset2)) {
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_SYSTEM_EVENT);
        CHECK_INT(box.exit->system.type, VISOR_SYSTEM_RESET);
        CHECK_INT(box.exit->system.data_count, 1);
        CHECK_INT(box.exit->system.data[0], 1);
    }
    box_close();
}

/* ---- debugging ---- */

static int debug_exit(struct kvm_run *run)
{
    static const uint32_t classes[] = {0x32, 0x30, 0x34, 0x34, 0x3c};

    run->exit_reason = KVM_EXIT_DEBUG;
    run->debug.arch.hsr = classes[kernel.step] << 26 | 0x2000077;
    run->debug.arch.far = kernel.step == 3 ? 0x1fe8 : 0x2009;
    kernel.step++;
    return 0;
}

TEST(debug_exits_tell_what_was_hit)
{
    const visor_breakpoint points[] = {
        {.address = 0x3000, .length = 4},
        {.address = 0x2000, .length = 8, .kind = VISOR_BREAK_WRITE},
        {.address = 0x2008, .length = 8, .kind = VISOR_BREAK_ACCESS},
        {.address = GUEST_GPA, .length = 4},
    };
    visor_debug_config config = VISOR_DEBUG_CONFIG_INIT;

    config.breakpoints = points;
    config.breakpoint_count = 4;
    if (start(debug_exit)) {
        CHECK_OK(visor_vcpu_set_debug(box.vcpu, &config));
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_DEBUG);
        CHECK(box.exit->debug.single_step);
        CHECK_INT(box.exit->debug.hit_mask, 0);
        CHECK_INT(box.exit->debug.pc, GUEST_GPA);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_DEBUG);
        CHECK(!box.exit->debug.single_step);
        CHECK_INT(box.exit->debug.hit_mask, 8);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_DEBUG);
        CHECK_INT(box.exit->debug.hit_mask, 4);
        CHECK_INT(box.exit->debug.address, 0x2009);
        /* An access that begins below what is watched: the nearest. */
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_DEBUG);
        CHECK_INT(box.exit->debug.hit_mask, 2);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_DEBUG);
        CHECK_INT(box.exit->debug.exception, 0x3cu << 26 | 0x2000077);
        CHECK_INT(box.exit->debug.hit_mask, 0);
    }
    box_close();
}

TEST(debug_registers)
{
    visor_breakpoint points[20];
    visor_debug_config config = VISOR_DEBUG_CONFIG_INIT;

    config.breakpoints = points;
    if (start(mmio)) {
        for (unsigned i = 0; i < 20; i++)
            points[i] = (visor_breakpoint){.address = 0xffff000000001000u + 4 * i, .length = 4};
        config.breakpoint_count = 16;
        config.single_step = true;
        CHECK_OK(visor_vcpu_set_debug(box.vcpu, &config));
        CHECK_INT(kernel.debug.control,
                  KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW);
        for (unsigned i = 0; i < 16; i++) {
            CHECK_INT(kernel.debug.arch.dbg_bcr[i], 0x1e7);
            CHECK_INT(kernel.debug.arch.dbg_bvr[i], points[i].address);
            CHECK_INT(kernel.debug.arch.dbg_wcr[i], 0);
        }
        config.breakpoint_count = 17;
        CHECK_INT(visor_vcpu_set_debug(box.vcpu, &config), VISOR_ELIMIT);

        /* As many as there are of both kinds. */
        for (unsigned i = 16; i < 20; i++)
            points[i] = (visor_breakpoint){
                .address = 0x5600000000002002u, .length = 2, .kind = VISOR_BREAK_ACCESS};
        points[16].kind = VISOR_BREAK_WRITE;
        points[17].address = 0x1000;
        points[17].length = 8;
        config.breakpoint_count = 20;
        config.single_step = false;
        CHECK_OK(visor_vcpu_set_debug(box.vcpu, &config));
        CHECK_INT(kernel.debug.control, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW);
        CHECK_INT(kernel.debug.arch.dbg_bcr[15], 0x1e7);
        CHECK_INT(kernel.debug.arch.dbg_wcr[0], 0xc << 5 | 2 << 3 | 7); /* bytes 2 and 3, stores */
        CHECK_INT(kernel.debug.arch.dbg_wvr[0], 0x2000); /* without the pointer's tag */
        CHECK_INT(kernel.debug.arch.dbg_wcr[1], 0xff << 5 | 3 << 3 | 7);
        points[0] = points[16];
        CHECK_INT(visor_vcpu_set_debug(box.vcpu, &config), VISOR_ELIMIT);

        CHECK_OK(visor_vcpu_set_debug(box.vcpu, NULL));
        CHECK_INT(kernel.debug.control, 0);
        config.breakpoint_count = 0;
        config.software_breakpoints = true;
        CHECK_OK(visor_vcpu_set_debug(box.vcpu, &config));
        CHECK_INT(kernel.debug.control, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP);
    }
    box_close();
}

UNIT_MAIN()
