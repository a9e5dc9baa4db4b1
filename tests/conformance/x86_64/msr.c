/* SPDX-License-Identifier: BSD-3-Clause */
/* Model-specific registers. */
#include "x86.h"

#include <stdlib.h>
#include <string.h>

VISOR_GUEST_ASM16(bump_msr, "rdmsr; add ax, 1; wrmsr; hlt");

CASE(msr, valid_access, "the guest reads, changes and writes its time stamp counter")
{
    x86_start(g,
              &(struct x86_setup){.load = 0x1000, .code = &bump_msr, .regs = {.rcx = X86_MSR_TSC}});
    RUN_TO(g, HLT);
    CHECK(x86_regs(g->vcpu).rax > 0);
    CHECK_EQ(x86_regs(g->vcpu).rip, 0x1008);
}

/* A handler at 0x1800 for #GP, one at 0x1900 for the rest; the program at 0x1000. */
VISOR_GUEST_ASM64(gp_handler, "mov ebx, 999; hlt");
VISOR_GUEST_ASM64(other_handler, "mov ebx, 888; hlt");

static void start_with_handlers(struct guest *g, const struct code *code,
                                const visor_x86_regs *regs)
{
    x86_start(g, &(struct x86_setup){.mode = X86_LONG,
                                     .ram = 0x20000,
                                     .load = 0x1000,
                                     .code = code,
                                     .idt = 0x12000,
                                     .regs = *regs});
    put(g, 0x1800, gp_handler.bytes, gp_handler.length);
    put(g, 0x1900, other_handler.bytes, other_handler.length);
    x86_set_gates(g, 0x12000, 0x1900);
    x86_set_gate(g, 0x12000, 13, 0x1800);
}

VISOR_GUEST_ASM64(write_p5_mc_addr, "mov esp, 0x900; mov ebx, 777; wrmsr; hlt");

CASE(msr, write_read_only, "a write to an MSR that cannot be written raises #GP in the guest")
{
    start_with_handlers(g, &write_p5_mc_addr, &(visor_x86_regs){0});
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 999);
}

VISOR_GUEST_ASM64(set_reserved_efer, "mov esp, 0x900; rdmsr; or eax, 2; wrmsr; hlt");

CASE(msr, reserved_efer_bit, "setting a reserved bit of EFER raises #GP")
{
    start_with_handlers(g, &set_reserved_efer, &(visor_x86_regs){.rcx = X86_MSR_EFER});
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 999);
}

VISOR_GUEST_ASM64(swap_msrs, "mov ecx, 0xc0000082; rdmsr; mov r8d, eax; mov r9d, edx;"
                             "mov ecx, 0xc0000102; mov eax, 0x55667788; mov edx, 0x1122; wrmsr;"
                             "hlt");

CASE(msr, both_ways, "the guest sees what the VMM set, and the VMM what the guest set")
{
    uint64_t value;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG, .load = 0x1000, .code = &swap_msrs});
    CHECK_OK(visor_x86_set_msr(g->vcpu, X86_MSR_LSTAR, 0xffff8000deadbeefu));
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).r8, 0xdeadbeef);
    CHECK_EQ(x86_regs(g->vcpu).r9, 0xffff8000);
    CHECK_OK(visor_x86_get_msr(&value, g->vcpu, X86_MSR_KERNEL_GS_BASE));
    CHECK_EQ(value, 0x112255667788u);
}

CASE(msr, set_before_cpuid, "TSC_AUX can be set before any CPUID is")
{
    uint64_t value;

    x86_start(g, &(struct x86_setup){.without_cpuid = true});
    CHECK_OK(visor_x86_set_msr(g->vcpu, 0xc0000103, 42));
    CHECK_OK(visor_x86_get_msr(&value, g->vcpu, 0xc0000103));
    CHECK_EQ(value, 42);
}

CASE(msr, unknown, "an MSR that does not exist: ENOENT to read, EREFUSED to write")
{
    uint64_t value = 77;

    x86_start(g, &(struct x86_setup){0});
    CHECK_OK(visor_x86_get_msr(&value, g->vcpu, 0x11e));
    value = 77;
    CHECK_ERROR(visor_x86_get_msr(&value, g->vcpu, 0xffffffff), ENOENT);
    CHECK_EQ(value, 77);
    CHECK_ERROR(visor_x86_set_msr(g->vcpu, 0xffffffff, ~0ull), EREFUSED);
    /* An existing one, but a value that it cannot have: not canonical. */
    CHECK_ERROR(visor_x86_set_msr(g->vcpu, X86_MSR_LSTAR, 0x8000000000000000u), EREFUSED);
}

CASE(msr, list_failure_names_it, "a list stops at the MSR that fails, and the error names it")
{
    const visor_x86_msr list[3] = {{.index = X86_MSR_LSTAR, .value = 0x1000},
                                   {.index = 0x7ffff123, .value = 1},
                                   {.index = X86_MSR_KERNEL_GS_BASE, .value = 0x2000}};
    uint64_t value;

    x86_start(g, &(struct x86_setup){0});
    CHECK_ERROR(visor_x86_set_msrs(g->vcpu, list, 3), EREFUSED);
    CHECK(strstr(visor_error_last()->detail, "7ffff123") != NULL);
    CHECK_OK(visor_x86_get_msr(&value, g->vcpu, X86_MSR_LSTAR));
    CHECK_EQ(value, 0x1000);
    CHECK_OK(visor_x86_get_msr(&value, g->vcpu, X86_MSR_KERNEL_GS_BASE));
    CHECK_EQ(value, 0);
}

CASE(msr, many_at_once, "one call moves more MSRs than fit into 256 entries")
{
    enum { COUNT = 700 };
    visor_x86_msr *list = calloc(COUNT, sizeof(*list));

    CHECK(list != NULL);
    x86_start(g, &(struct x86_setup){0});
    for (unsigned i = 0; i < COUNT; i++) {
        list[i].index = i % 2 ? X86_MSR_LSTAR : X86_MSR_KERNEL_GS_BASE;
        list[i].value = 0x10000 + i;
    }
    CHECK_OK(visor_x86_set_msrs(g->vcpu, list, COUNT));
    for (unsigned i = 0; i < COUNT; i++)
        list[i].value = 0;
    CHECK_OK(visor_x86_get_msrs(list, COUNT, g->vcpu));
    for (unsigned i = 0; i < COUNT; i++)
        CHECK_EQ(list[i].value, 0x10000 + (i % 2 ? COUNT - 1 : COUNT - 2));
    free(list);
}

CASE(msr, index_list, "the list for snapshots: its length, its content, and all values at once")
{
    uint32_t few[2] = {0, 0xeeeeeeee};
    size_t count = (size_t)CHECK_OK(visor_x86_msr_list(NULL, 0, g->hv));
    visor_x86_msr *values = calloc(count, sizeof(*values));
    uint32_t *list = calloc(count, sizeof(*list));
    bool has_tsc = false;
    size_t got;

    CHECK(values != NULL && list != NULL);
    CHECK(count >= 2);
    CHECK_EQ(visor_x86_msr_list(few, 1, g->hv), count);
    CHECK_EQ(few[1], 0xeeeeeeee);
    CHECK_EQ(visor_x86_msr_list(list, count, g->hv), count);
    for (size_t i = 0; i < count; i++)
        has_tsc |= list[i] == X86_MSR_TSC;
    CHECK(has_tsc);
    x86_start(g, &(struct x86_setup){0});
    CHECK_OK(visor_x86_set_msr(g->vcpu, X86_MSR_STAR, 0x0023001000000000u));
    got = (size_t)CHECK_OK(visor_x86_get_all_msrs(values, count, g->vcpu));
    CHECK(got >= 2 && got <= count);
    for (size_t i = 0; i < got; i++) {
        if (values[i].index == X86_MSR_STAR)
            CHECK_EQ(values[i].value, 0x0023001000000000u);
    }
    free(values);
    free(list);
}

/* ---- MSR exits ---- */

#define TEST_MSR 0xc0011234u
VISOR_GUEST_ASM64(read_then_write, "mov esp, 0x900; mov ecx, 0xc0011234; rdmsr;"
                                   "mov r8d, eax; mov r9d, edx;"
                                   "mov eax, 0x89abcdef; mov edx, 0x01234567; wrmsr; hlt");

static void expect_msr_exit(struct guest *g, uint32_t index, bool is_write)
{
    const visor_exit *exit = RUN_TO(g, MSR);

    CHECK_EQ(exit->msr.index, index);
    CHECK_EQ(exit->msr.is_write, is_write);
    CHECK_EQ(exit->msr.fault, true);
}

CASE(msr, exit_answered, "filtered accesses exit and are answered by the VMM")
{
    const visor_x86_msr_range range = {
        .first = TEST_MSR - 4, .count = 16, .reads = true, .writes = true};
    visor_exit *exit;

    start_with_handlers(g, &read_then_write, &(visor_x86_regs){0});
    NEED(g, X86_MSR_EXITS);
    exit = visor_vcpu_exit(g->vcpu);
    CHECK_OK(visor_x86_set_msr_exits(g->vm, &range, 1, false));
    expect_msr_exit(g, TEST_MSR, false);
    exit->msr.value = 0xaaaabbbbccccddddu;
    exit->msr.fault = false;
    expect_msr_exit(g, TEST_MSR, true);
    CHECK_EQ(exit->msr.value, 0x0123456789abcdefu);
    exit->msr.fault = false;
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).r8, 0xccccdddd);
    CHECK_EQ(x86_regs(g->vcpu).r9, 0xaaaabbbb);
    CHECK_EQ(x86_regs(g->vcpu).rip, 0x1000 + read_then_write.length);
}

CASE(msr, exit_faulted, "an MSR exit that nobody answers raises #GP")
{
    const visor_x86_msr_range range = {.first = TEST_MSR, .count = 1, .reads = true};

    start_with_handlers(g, &read_then_write, &(visor_x86_regs){0});
    NEED(g, X86_MSR_EXITS);
    CHECK_OK(visor_x86_set_msr_exits(g->vm, &range, 1, false));
    expect_msr_exit(g, TEST_MSR, false);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 999);
    CHECK_EQ(x86_regs(g->vcpu).r8, 0);
}

VISOR_GUEST_ASM64(touch_lstar, "mov esp, 0x900; mov ecx, 0xc0000082; mov eax, 0x1234; mov edx, 0;"
                               "wrmsr; xor eax, eax; rdmsr; mov r8, rax; hlt");

CASE(msr, exit_direction, "reads and writes are filtered apart, known MSRs too")
{
    const visor_x86_msr_range range = {.first = X86_MSR_LSTAR, .count = 1, .writes = true};
    visor_exit *exit;
    uint64_t value;

    start_with_handlers(g, &touch_lstar, &(visor_x86_regs){0});
    NEED(g, X86_MSR_EXITS);
    exit = visor_vcpu_exit(g->vcpu);
    CHECK_OK(visor_x86_set_msr_exits(g->vm, &range, 1, false));
    expect_msr_exit(g, X86_MSR_LSTAR, true);
    CHECK_EQ(exit->msr.value, 0x1234);
    exit->msr.fault = false;
    /* The VMM takes the write as it likes; the read is the processor's own. */
    CHECK_OK(visor_x86_set_msr(g->vcpu, X86_MSR_LSTAR, 0x5678));
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).r8, 0x5678);
    CHECK_OK(visor_x86_get_msr(&value, g->vcpu, X86_MSR_LSTAR));
    CHECK_EQ(value, 0x5678);
}

VISOR_GUEST_ASM64(read_tsc, "mov esp, 0x900; mov ecx, 0x10; rdmsr; mov r8d, eax; rdmsr; hlt");

CASE(msr, exit_tsc, "reads of the time stamp counter exit if asked for, and no longer when not")
{
    const visor_x86_msr_range range = {.first = X86_MSR_TSC, .count = 1, .reads = true};
    visor_exit *exit;

    start_with_handlers(g, &read_tsc, &(visor_x86_regs){0});
    NEED(g, X86_MSR_EXITS);
    exit = visor_vcpu_exit(g->vcpu);
    CHECK_OK(visor_x86_set_msr_exits(g->vm, &range, 1, false));
    expect_msr_exit(g, X86_MSR_TSC, false);
    exit->msr.value = 0x1234567;
    exit->msr.fault = false;
    CHECK_OK(visor_x86_set_msr_exits(g->vm, NULL, 0, false));
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).r8, 0x1234567);
    CHECK_EQ(x86_regs(g->vcpu).rip, 0x1000 + read_tsc.length);
}

CASE(msr, exit_unknown,
     "accesses to unknown MSRs exit if asked for, and no longer when switched off")
{
    visor_exit *exit;

    start_with_handlers(g, &read_then_write, &(visor_x86_regs){0});
    NEED(g, X86_MSR_EXITS);
    exit = visor_vcpu_exit(g->vcpu);
    CHECK_OK(visor_x86_set_msr_exits(g->vm, NULL, 0, true));
    expect_msr_exit(g, TEST_MSR, false);
    exit->msr.value = 5;
    exit->msr.fault = false;
    CHECK_OK(visor_x86_set_msr_exits(g->vm, NULL, 0, false));
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).r8, 5);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 999);
}

CASE(msr, exit_limits, "more ranges or larger ones than can be filtered are refused")
{
    visor_x86_msr_range ranges[17];

    for (unsigned i = 0; i < 17; i++)
        ranges[i] = (visor_x86_msr_range){.first = 0xc0011000u + 16 * i, .count = 8, .reads = true};
    x86_start(g, &(struct x86_setup){0});
    NEED(g, X86_MSR_EXITS);
    CHECK_OK(visor_x86_set_msr_exits(g->vm, ranges, 16, false));
    CHECK_ERROR(visor_x86_set_msr_exits(g->vm, ranges, 17, false), ELIMIT);
    ranges[0] = (visor_x86_msr_range){.first = 0xc0010000u, .count = 12288, .writes = true};
    CHECK_OK(visor_x86_set_msr_exits(g->vm, ranges, 1, false));
    ranges[0].count = 12289;
    CHECK_ERROR(visor_x86_set_msr_exits(g->vm, ranges, 1, false), ELIMIT);
    ranges[0] = (visor_x86_msr_range){.first = 0xfffffff0u, .count = 32, .writes = true};
    CHECK_ERROR(visor_x86_set_msr_exits(g->vm, ranges, 1, false), EINVAL);
    CHECK_OK(visor_x86_set_msr_exits(g->vm, NULL, 0, false));
}

VISOR_GUEST_ASM64(read_platform_info, "mov esp, 0x900; mov ecx, 0xce; mov ebx, 1; rdmsr; hlt");

CASE(msr, platform_info, "MSR_PLATFORM_INFO can be hidden from the guest")
{
    start_with_handlers(g, &read_platform_info, &(visor_x86_regs){0});
    if (visor_x86_set_platform_info(g->vm, false) == VISOR_EUNSUPPORTED)
        SKIP("the hypervisor cannot hide MSR_PLATFORM_INFO");
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 999);
    CHECK_OK(visor_x86_set_platform_info(g->vm, true));
    x86_load(g, g->vcpu, 0x1000, &read_platform_info, &(visor_x86_regs){0});
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, 1);
}
