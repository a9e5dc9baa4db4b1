/* SPDX-License-Identifier: BSD-3-Clause */
/* What is around an instruction that the x86 assist executes: faults, debugging, where its bytes
 * come from, what is refused, and the VM. */
#include "x86_assist.h"

/* ---- faults ---- */

TEST(page_faults)
{
    static const struct {
        uint64_t entry; /* of the second page; its address is added */
        uint8_t cpl;
        bool is_write;
        int error; /* -1: none */
    } cases[] = {
        {7, 0, true, -1},
        {6, 0, true, 2},
        {6, 3, true, 6},
        {5, 3, true, 7},
        {5, 0, true, 3},
        {5, 0, false, -1},
        {3, 3, true, 7},
        {3, 3, false, 5},
        {3, 0, true, -1},
        {6, 3, false, 4},
        {7 | UINT64_C(1) << 45, 0, false, 9},
        {7 | UINT64_C(1) << 63, 3, true, -1},
    };

    set_up();
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        x86_long_mode(machine, cases[i].cpl);
        set_registers();
        *x86_pte(machine, X86_DEVICE + X86_PAGE) = (X86_DEVICE + X86_PAGE) | cases[i].entry;
        machine->vcpu.regs.rbx = X86_DEVICE + X86_PAGE - 2;
        CHECK_INT(cases[i].is_write ? RUN("\x89\x03") : RUN("\x8b\x03"), VISOR_EXIT_NONE);
        CHECK_INT(machine->injects, cases[i].error >= 0);
        CHECK_INT(machine->logged, cases[i].error >= 0 ? 0 : 2);
        if (cases[i].error >= 0) {
            check_exception(14, cases[i].error);
            CHECK_INT(machine->exception.payload, X86_DEVICE + X86_PAGE);
            CHECK_INT(machine->vcpu.regs.rip, X86_CODE);
            CHECK_INT(machine->changes.gpr, 0);
            CHECK(!machine->changes.sregs);
        }
    }
    x86_free(machine);
}

TEST(accessed_and_dirty_are_set)
{
    set_up();
    CHECK_INT(RUN("\x8b\x03"), VISOR_EXIT_NONE);
    CHECK_INT(*x86_pte(machine, X86_DEVICE), X86_DEVICE | 0x27);
    CHECK_INT(RUN("\x89\x03"), VISOR_EXIT_NONE);
    CHECK_INT(*x86_pte(machine, X86_DEVICE), X86_DEVICE | 0x67);
    x86_free(machine);
}

TEST(addresses_that_are_not_canonical)
{
    set_up();
    machine->vcpu.regs.rbx = UINT64_C(0x800000000000);
    CHECK_INT(RUN("\x8b\x03"), VISOR_EXIT_NONE);
    check_exception(13, 0);
    machine->vcpu.regs.rbp = UINT64_C(0x800000000000);
    CHECK_INT(RUN("\x8b\x45\x00"), VISOR_EXIT_NONE); /* mov eax, [rbp] */
    check_exception(12, 0);
    x86_free(machine);
}

TEST(ports_that_the_program_may_not_use)
{
    visor_x86_segment tss = {.base = X86_DATA, .limit = 0x1ff, .type = 11, .present = 1};

    set_up();
    x86_long_mode(machine, 3);
    set_registers();
    machine->vcpu.sregs.tr = tss;
    put(X86_DATA + 0x66, 0x80, 2);           /* where the bitmap is */
    put(X86_DATA + 0x80 + 0x7f, 0xfe, 1);    /* 0x3f8 allowed, its neighbours not */
    CHECK_INT(RUN("\xec"), VISOR_EXIT_NONE); /* in al, dx */
    CHECK_INT(machine->injects, 0);
    check_access(0, 0x3f8, 1, false);
    CHECK_INT(RUN("\xed"), VISOR_EXIT_NONE); /* in eax, dx */
    check_exception(13, 0);
    CHECK_INT(machine->logged, 0);
    x86_free(machine);
}

TEST(a_port_is_not_read_for_nothing)
{
    set_up();
    *x86_pte(machine, X86_DATA) = 0;
    CHECK_INT(RUN("\x6c"), VISOR_EXIT_NONE); /* insb */
    CHECK_INT(machine->logged, 0);
    check_exception(14, 2);
    x86_free(machine);
}

TEST(a_division_fails_after_the_device_was_read)
{
    set_up();
    memset(machine->device, 0, 8);
    CHECK_INT(RUN("\xf7\x33"), VISOR_EXIT_NONE); /* div dword [rbx] */
    CHECK_INT(machine->logged, 1);
    check_exception(0, -1);
    CHECK_INT(machine->changes.gpr, 0);
    CHECK_INT(machine->vcpu.regs.rip, X86_CODE);
    x86_free(machine);
}

/* ---- around the instruction ---- */

TEST(single_step)
{
    set_up();
    machine->vcpu.regs.rflags |= TF;
    CHECK_INT(RUN("\x8b\x03"), VISOR_EXIT_NONE);
    CHECK_INT(machine->vcpu.regs.rip, X86_CODE + 2);
    check_exception(1, -1);
    CHECK(machine->exception.is_trap);
    CHECK_INT(machine->exception.payload, 0x4000);
    CHECK_INT(machine->changes.gpr, 1 << RAX);
    machine->vcpu.regs.rip = X86_CODE;
    CHECK_INT(RUN("\xf3\xa5"), VISOR_EXIT_NONE); /* rep movsd: after each */
    check_exception(1, -1);
    CHECK_INT(machine->logged, 1);
    CHECK_INT(machine->vcpu.regs.rcx, 1);
    CHECK_INT(machine->vcpu.regs.rip, X86_CODE);
    x86_free(machine);
}

TEST(resume_flag_and_shadow)
{
    set_up();
    machine->vcpu.regs.rflags |= 0x10000;
    machine->vcpu.shadow = 1;
    CHECK_INT(RUN("\x8b\x03"), VISOR_EXIT_NONE);
    CHECK_INT(machine->vcpu.regs.rflags, 2);
    CHECK_INT(machine->vcpu.shadow, 0);
    machine->vcpu.sregs.gdt.base = X86_DATA;
    machine->vcpu.sregs.gdt.limit = 0x1f;
    put(X86_DATA + 0x10, 0x00cf92000000ffff, 8);
    memcpy(machine->device, "\x10\x00", 2);
    CHECK_INT(RUN("\x8e\x13"), VISOR_EXIT_NONE); /* mov ss, [rbx] */
    CHECK_INT(machine->vcpu.shadow, 1);
    x86_free(machine);
}

/* ---- the bytes ---- */

TEST(bytes_come_from_memory_where_none_are_known)
{
    set_up();
    memcpy(x86_at(machine, X86_CODE), "\x48\x89\x44\xcb\x10", 5);
    for (unsigned known = 0; known < 5; known++) {
        machine->vcpu.regs.rip = X86_CODE;
        CHECK_INT(x86_run(machine, "\x48\x89\x44\xcb\x10", known), VISOR_EXIT_NONE);
        check_access(0, X86_DEVICE + 0x20, 8, true);
        CHECK_INT(machine->vcpu.regs.rip, X86_CODE + 5);
    }
    x86_free(machine);
}

TEST(given_bytes_win_over_memory)
{
    set_up();
    memcpy(x86_at(machine, X86_CODE), "\xf4\xf4\xf4", 3);
    CHECK_INT(RUN("\x8b\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
              VISOR_EXIT_NONE);
    CHECK_INT(machine->vcpu.regs.rip, X86_CODE + 2);
    x86_free(machine);
}

TEST(code_that_changes_while_it_waits)
{
    int reason;

    set_up();
    memcpy(x86_at(machine, X86_CODE), "\x01\x03", 2);
    reason = x86_start(machine, NULL, 0);
    CHECK_INT(reason, VISOR_EXIT_MMIO);
    memset(x86_at(machine, X86_CODE), 0x90, 2);
    CHECK_INT(x86_finish(machine, reason), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 2);
    x86_free(machine);
}

TEST(code_in_two_pages)
{
    set_up();
    machine->vcpu.regs.rip = X86_CODE + X86_PAGE - 1;
    *x86_at(machine, X86_CODE + X86_PAGE - 1) = 0x8b;
    *x86_at(machine, X86_CODE + 5 * X86_PAGE) = 0x03;
    *x86_pte(machine, X86_CODE + X86_PAGE) = (X86_CODE + 5 * X86_PAGE) | 7;
    CHECK_INT(x86_run(machine, NULL, 0), VISOR_EXIT_NONE);
    check_access(0, X86_DEVICE, 4, false);
    *x86_pte(machine, X86_CODE + X86_PAGE) = 0;
    machine->vcpu.regs.rip = X86_CODE + X86_PAGE - 1;
    CHECK_INT(x86_run(machine, NULL, 0), VISOR_EXIT_NONE);
    check_exception(14, 0x10);
    CHECK_INT(machine->exception.payload, X86_CODE + X86_PAGE);
    CHECK_INT(machine->sets, 1);
    x86_free(machine);
}

TEST(code_behind_its_segment)
{
    set_up();
    x86_real_mode(machine);
    machine->vcpu.sregs.cs.limit = X86_CODE;
    memcpy(x86_at(machine, X86_CODE), "\x8a\x07", 2);
    CHECK_INT(x86_run(machine, NULL, 0), VISOR_EXIT_NONE);
    check_exception(13, 0);
    x86_free(machine);
}

TEST(sixteen_prefixes)
{
    set_up();
    CHECK_INT(RUN("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x8b"),
              VISOR_EXIT_NONE);
    check_exception(13, 0);
    CHECK_INT(machine->vcpu.regs.rip, X86_CODE);
    x86_free(machine);
}

/* ---- refusing ---- */

TEST(refusals)
{
    static const struct {
        const char *code;
        unsigned length;
        enum visor__assist_x86_refusal refusal;
    } cases[] = {
#define CASE(code, id) {code, sizeof(code) - 1, VISOR__ASSIST_X86_REFUSED_##id}
        CASE("\x62\xf1\x7c\x48\x10\x03", UNKNOWN), /* vmovups zmm0, [rbx] */
        CASE("\x66\x0f\x38\xf8\x03\x90", UNKNOWN), /* movdir64b rax, [rbx] */
        CASE("\xc4\xe2\x75\xdc\x03", UNKNOWN),     /* vaesenc ymm0, ymm1, [rbx] */
        CASE("\x0f\xa2", SYSTEM),                  /* cpuid */
        CASE("\x0f\x30", SYSTEM),                  /* wrmsr */
        CASE("\x0f\x22\xd8", SYSTEM),              /* mov cr3, rax */
        CASE("\xf4", SYSTEM),                      /* hlt */
        CASE("\x0f\xc7\x33", SYSTEM),              /* vmptrld [rbx] */
        CASE("\xcf", SYSTEM),                      /* iret */
#undef CASE
    };

    set_up();
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const visor_exit *exit = &machine->exit;

        CHECK_INT(x86_run(machine, cases[i].code, cases[i].length), VISOR_EXIT_INTERNAL_ERROR);
        CHECK_INT(machine->sets + machine->injects + machine->logged, 0);
        CHECK_INT(exit->internal.suberror, cases[i].refusal);
        CHECK(exit->internal.text[0] != '\0');
        CHECK_INT(exit->internal.data[0], X86_CODE);
        CHECK_INT(exit->internal.instruction_len, cases[i].length);
        CHECK(memcmp(exit->internal.instruction, cases[i].code, cases[i].length) == 0);
        CHECK(!visor__assist_x86_is_active(machine->assist));
    }
    machine->vcpu.regs.rip = X86_DEVICE;
    CHECK_INT(x86_run(machine, NULL, 0), VISOR_EXIT_INTERNAL_ERROR);
    CHECK_INT(machine->exit.internal.suberror, VISOR__ASSIST_X86_REFUSED_FETCH);
    CHECK_INT(machine->exit.internal.instruction_len, 0);
    x86_free(machine);
}

TEST(failing_operations_end_it)
{
    static const char code[] = "\xc5\xfe\x6f\x13"; /* vmovdqu ymm2, [rbx] */

    set_up();
    for (int succeed = 0; succeed < 3; succeed++) {
        machine->fail_after = succeed;
        CHECK_INT(x86_run(machine, code, 4), VISOR_EBROKEN);
        CHECK(!visor__assist_x86_is_active(machine->assist));
    }
    machine->fail_after = -1;
    machine->vcpu.regs.rip = X86_CODE;
    CHECK_INT(x86_run(machine, code, 4), VISOR_EXIT_NONE);
    x86_free(machine);
}

/* ---- the VM around it ---- */

TEST(slots_come_and_go)
{
    visor_mapping *mapping = NULL;
    uint64_t bitmap = 0;
    uint32_t slot;

    set_up();
    REQUIRE_OK(visor_mapping_create(&mapping, X86_PAGE * 2));
    {
        visor_slot_config config = VISOR_SLOT_CONFIG_INIT;

        config.gpa = X86_DEVICE;
        config.log_dirty = true;
        REQUIRE_OK(visor_vm_add_slot(&slot, machine->vm, mapping, &config));
    }
    CHECK_INT(RUN("\x01\x03"), VISOR_EXIT_NONE); /* add [rbx], eax */
    CHECK_INT(machine->logged, 0);
    CHECK_OK(visor_vm_dirty_log(&bitmap, sizeof(bitmap), machine->vm, slot));
    CHECK_INT(bitmap, 1);
    bitmap = 0;
    CHECK_INT(RUN("\x8b\x03"), VISOR_EXIT_NONE);
    CHECK_INT(machine->vcpu.regs.rax, 0x55667788);
    CHECK_OK(visor_vm_dirty_log(&bitmap, sizeof(bitmap), machine->vm, slot));
    CHECK_INT(bitmap, 0);
    machine->vcpu.regs.rdi = X86_DEVICE + X86_PAGE - 2;
    CHECK_INT(RUN("\xab"), VISOR_EXIT_NONE); /* stosd */
    CHECK_OK(visor_vm_dirty_log(&bitmap, sizeof(bitmap), machine->vm, slot));
    CHECK_INT(bitmap, 3);
    bitmap = 0;
    machine->vcpu.regs.rsi = X86_DEVICE;
    machine->vcpu.regs.rdi = X86_DEVICE + 0x100;
    CHECK_INT(RUN("\x48\xa5"), VISOR_EXIT_NONE); /* movsq: read first, then written */
    CHECK_OK(visor_vm_dirty_log(&bitmap, sizeof(bitmap), machine->vm, slot));
    CHECK_INT(bitmap, 1);
    CHECK_OK(visor_vm_remove_slot(&mapping, machine->vm, slot));
    CHECK_INT(RUN("\x8b\x03"), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 1);
    visor_mapping_free(mapping);
    x86_free(machine);
}

TEST(a_slot_that_goes_while_an_access_waits)
{
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_mapping *mapping = NULL;
    uint32_t slot;
    int reason;

    set_up();
    config.gpa = X86_DEVICE + X86_PAGE;
    REQUIRE_OK(visor_mapping_create(&mapping, X86_PAGE));
    REQUIRE_OK(visor_vm_add_slot(&slot, machine->vm, mapping, &config));
    machine->vcpu.regs.rsi = X86_DEVICE + X86_PAGE;
    machine->vcpu.regs.rdi = X86_DEVICE;
    reason = x86_start(machine, "\x48\xa5", 2); /* movsq */
    CHECK_INT(reason, VISOR_EXIT_MMIO);
    CHECK_INT(machine->exit.io.address, X86_DEVICE);
    REQUIRE_OK(visor_vm_remove_slot(&mapping, machine->vm, slot));
    visor_mapping_free(mapping);
    /* The source is a device's now, and so another value. */
    CHECK_INT(x86_finish(machine, reason), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 3);
    check_access(1, X86_DEVICE + X86_PAGE, 8, false);
    check_access(2, X86_DEVICE, 8, true);
    CHECK_INT(in_device(X86_DEVICE, 8), in_device(X86_DEVICE + X86_PAGE, 8));
    x86_free(machine);
}

TEST(beginning_anew_forgets_what_is_under_way)
{
    set_up();
    CHECK_INT(x86_start(machine, "\x48\x8b\x03", 3), VISOR_EXIT_MMIO); /* mov rax, [rbx] */
    CHECK_INT(RUN("\x8b\x0b"), VISOR_EXIT_NONE);                       /* mov ecx, [rbx] */
    CHECK_INT(machine->logged, 1);
    CHECK_INT(machine->changes.gpr, 1 << RCX);
    CHECK_INT(machine->vcpu.regs.rax, NUMBER);
    /* Nothing waits for an answer any more. */
    machine->exit.io = (visor_io){.length = 8};
    visor__assist_x86_answer(machine->assist, &machine->exit.io);
    CHECK_INT(visor__assist_x86_next(&machine->exit, machine->assist, false), VISOR_EXIT_NONE);
    CHECK_INT(machine->sets, 1);
    x86_free(machine);
}

UNIT_MAIN()
