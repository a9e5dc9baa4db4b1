/* SPDX-License-Identifier: BSD-3-Clause */
/* Executing x86 instructions whose accesses go to devices, to memory, or to both. */
#include "x86_assist.h"

/* ---- every form, in a table ---- */

struct access {
    uint64_t address;
    unsigned length;
    bool is_write;
    uint64_t value; /* written */
};

#define DEVICE_(offset) (X86_DEVICE + (offset))
#define READ(offset, size)                    \
    {                                         \
        X86_DEVICE + (offset), size, false, 0 \
    }
#define WRITE(offset, size, value)               \
    {                                            \
        X86_DEVICE + (offset), size, true, value \
    }
#define IN(port, size)       \
    {                        \
        port, size, false, 0 \
    }
#define OUT(port, size, value)  \
    {                           \
        port, size, true, value \
    }

static const struct form {
    const char *name;
    const char *code;
    unsigned length, count;
    struct access access[4];
    uint16_t gpr; /* that change */
    unsigned reg; /* one of them */
    uint64_t value;
} table[] = {
#define FORM(name, code, ...)                     \
    {                                             \
        name, code, sizeof(code) - 1, __VA_ARGS__ \
    }
    FORM("mov eax, [rbx]", "\x8b\x03", 1, {READ(0, 4)}, 1 << RAX, RAX, 0x04030201),
    FORM("mov [rbx], al", "\x88\x03", 1, {WRITE(0, 1, 0x88)}, 0, RAX, NUMBER),
    FORM("mov [rbx], ah", "\x88\x23", 1, {WRITE(0, 1, 0x77)}, 0, RAX, NUMBER),
    FORM("mov ax, [rbx + 2]", "\x66\x8b\x43\x02", 1, {READ(2, 2)}, 1 << RAX, RAX,
         0x1122334455660403),
    FORM("mov [rbx + rcx * 8 + 16], rax", "\x48\x89\x44\xcb\x10", 1, {WRITE(0x20, 8, NUMBER)}, 0,
         RAX, NUMBER),
    FORM("mov rax, [0x20008] with 32 bits of address", "\x67\x48\x8b\x04\x25\x08\x00\x02\x00", 1,
         {READ(8, 8)}, 1 << RAX, RAX, 0x100f0e0d0c0b0a09),
    FORM("mov eax, [rip + 0x1f000]", "\x8b\x05\xfa\xef\x01\x00", 1, {READ(0, 4)}, 1 << RAX, RAX,
         0x04030201),
    FORM("mov al, [0x20001]", "\xa0\x01\x00\x02\x00\x00\x00\x00\x00", 1, {READ(1, 1)}, 1 << RAX,
         RAX, 0x1122334455667702),
    FORM("mov dword [rbx], 0x12345678", "\xc7\x03\x78\x56\x34\x12", 1, {WRITE(0, 4, 0x12345678)}, 0,
         RAX, NUMBER),
    FORM("mov qword [rbx], -1", "\x48\xc7\x03\xff\xff\xff\xff", 1, {WRITE(0, 8, ~0ull)}, 0, RAX,
         NUMBER),
    FORM("mov r9, [rbx]", "\x4c\x8b\x0b", 1, {READ(0, 8)}, 1 << 9, 9, 0x0807060504030201),
    FORM("movzx ecx, byte [rbx + 3]", "\x0f\xb6\x4b\x03", 1, {READ(3, 1)}, 1 << RCX, RCX, 4),
    FORM("movsx rcx, byte [rbx + 0x7f]", "\x48\x0f\xbe\x4b\x7f", 1, {READ(0x7f, 1)}, 1 << RCX, RCX,
         UINT64_C(0xffffffffffffff80)),
    FORM("movsxd rcx, dword [rbx]", "\x48\x63\x0b", 1, {READ(0, 4)}, 1 << RCX, RCX, 0x04030201),
    FORM("movbe [rbx], eax", "\x0f\x38\xf1\x03", 1, {WRITE(0, 4, 0x88776655)}, 0, RAX, NUMBER),
    FORM("movnti [rbx], rax", "\x48\x0f\xc3\x03", 1, {WRITE(0, 8, NUMBER)}, 0, RAX, NUMBER),
    FORM("xchg [rbx], eax", "\x87\x03", 2, {READ(0, 4), WRITE(0, 4, 0x55667788)}, 1 << RAX, RAX,
         0x04030201),
    FORM("add [rbx], eax", "\x01\x03", 2, {READ(0, 4), WRITE(0, 4, 0x59697989)}, 0, RAX, NUMBER),
    FORM("lock sub [rbx], cl", "\xf0\x28\x0b", 2, {READ(0, 1), WRITE(0, 1, 0xff)}, 0, RAX, NUMBER),
    FORM("add ecx, [rbx]", "\x03\x0b", 1, {READ(0, 4)}, 1 << RCX, RCX, 0x04030203),
    FORM("cmp eax, [rbx]", "\x3b\x03", 1, {READ(0, 4)}, 0, RAX, NUMBER),
    FORM("test dword [rbx], 0x100", "\xf7\x03\x00\x01\x00\x00", 1, {READ(0, 4)}, 0, RAX, NUMBER),
    FORM("or byte [rbx], 0x80", "\x80\x0b\x80", 2, {READ(0, 1), WRITE(0, 1, 0x81)}, 0, RAX, NUMBER),
    FORM("not word [rbx]", "\x66\xf7\x13", 2, {READ(0, 2), WRITE(0, 2, 0xfdfe)}, 0, RAX, NUMBER),
    FORM("inc dword [rbx]", "\xff\x03", 2, {READ(0, 4), WRITE(0, 4, 0x04030202)}, 0, RAX, NUMBER),
    FORM("shl dword [rbx], cl", "\xd3\x23", 2, {READ(0, 4), WRITE(0, 4, 0x100c0804)}, 0, RAX,
         NUMBER),
    FORM("bts dword [rbx], ecx", "\x0f\xab\x0b", 2, {READ(0, 4), WRITE(0, 4, 0x04030205)}, 0, RAX,
         NUMBER),
    FORM("xadd [rbx], ecx", "\x0f\xc1\x0b", 2, {READ(0, 4), WRITE(0, 4, 0x04030203)}, 1 << RCX, RCX,
         0x04030201),
    FORM("lock cmpxchg [rbx], ecx, which differs", "\xf0\x0f\xb1\x0b", 2,
         {READ(0, 4), WRITE(0, 4, 0x04030201)}, 1 << RAX, RAX, 0x04030201),
    FORM("lock cmpxchg16b [rbx], which differs", "\xf0\x48\x0f\xc7\x0b", 4,
         {READ(0, 8), READ(8, 8), WRITE(0, 8, 0x0807060504030201), WRITE(8, 8, 0x100f0e0d0c0b0a09)},
         1 << RAX | 1 << RDX, RDX, 0x100f0e0d0c0b0a09),
    FORM("sete [rbx]", "\x0f\x94\x03", 1, {WRITE(0, 1, 0)}, 0, RAX, NUMBER),
    FORM("mul dword [rbx]", "\xf7\x23", 1, {READ(0, 4)}, 1 << RAX | 1 << RDX, RDX, 0x1569abc),
    FORM("cmove rcx, [rbx]", "\x48\x0f\x44\x0b", 1, {READ(0, 8)}, 0, RCX, 2),
    FORM("andn eax, ecx, [rbx]", "\xc4\xe2\x70\xf2\x03", 1, {READ(0, 4)}, 1 << RAX, RAX,
         0x04030201),
    FORM("push qword [rbx]", "\xff\x33", 1, {READ(0, 8)}, 1 << RSP, RSP, X86_DATA + 0x800 - 8),
    FORM("pop qword [rbx]", "\x8f\x03", 1, {WRITE(0, 8, 0)}, 1 << RSP, RSP, X86_DATA + 0x800 + 8),
    FORM("movsb", "\xa4", 1, {READ(0x100, 1)}, 1 << RSI | 1 << RDI, RSI, DEVICE_(0x101)),
    FORM("lodsd", "\xad", 1, {READ(0x100, 4)}, 1 << RSI | 1 << RAX, RAX, 0x07060504),
    FORM("rep lodsw", "\xf3\x66\xad", 2, {READ(0x100, 2), READ(0x102, 2)},
         1 << RSI | 1 << RAX | 1 << RCX, RAX, 0x1122334455660706),
    FORM("cmpsb", "\xa6", 1, {READ(0x100, 1)}, 1 << RSI | 1 << RDI, RDI, X86_DATA + 1),
    FORM("in al, 0x60", "\xe4\x60", 1, {IN(0x60, 1)}, 1 << RAX, RAX, 0x1122334455667700),
    FORM("in ax, dx", "\x66\xed", 1, {IN(0x3f8, 2)}, 1 << RAX, RAX, 0x112233445566f800),
    FORM("in eax, dx", "\xed", 1, {IN(0x3f8, 4)}, 1 << RAX, RAX, 0x3f800),
    FORM("out 0x80, al", "\xe6\x80", 1, {OUT(0x80, 1, 0x88)}, 0, RAX, NUMBER),
    FORM("out dx, eax", "\xef", 1, {OUT(0x3f8, 4, 0x55667788)}, 0, RAX, NUMBER),
    FORM("rep insd", "\xf3\x6d", 2, {IN(0x3f8, 4), IN(0x3f8, 4)}, 1 << RDI | 1 << RCX, RDI,
         X86_DATA + 8),
    FORM("rep outsb from a device", "\xf3\x6e", 4,
         {READ(0x100, 1), OUT(0x3f8, 1, 4), READ(0x101, 1), OUT(0x3f8, 1, 5)}, 1 << RSI | 1 << RCX,
         RSI, DEVICE_(0x102)),
#undef FORM
};

TEST(forms)
{
    set_up();
    for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const struct form *form = &table[i];
        const struct visor__assist_x86_state before = machine->vcpu;
        visor_x86_regs *regs = &machine->vcpu.regs;

        for (unsigned n = 0; n < sizeof(machine->device); n++)
            machine->device[n] = (uint8_t)(n + (n >> 8) * 3 + 1);
        CHECK_INT(x86_run(machine, form->code, form->length), VISOR_EXIT_NONE);
        CHECK_INT(machine->logged, form->count);
        for (unsigned n = 0; n < form->count && n < machine->logged; n++) {
            check_access(n, form->access[n].address, form->access[n].length,
                         form->access[n].is_write);
            if (form->access[n].is_write)
                CHECK_INT(visor_io_value(&machine->log[n]), form->access[n].value);
        }
        CHECK_INT(machine->sets, 1);
        CHECK_INT(machine->injects, 0);
        CHECK_INT(machine->changes.gpr, form->gpr);
        CHECK(machine->changes.rip);
        CHECK(!machine->changes.sregs && machine->changes.xmm == 0 && machine->changes.ymm == 0);
        CHECK_INT(regs->rip, X86_CODE + form->length);
        CHECK_INT(*x86_gpr(regs, form->reg), form->value);
        CHECK_INT(machine->pieces, VISOR__ASSIST_X86_REGS | VISOR__ASSIST_X86_SREGS);
        if (atomic_load(&unit_failed)) {
            printf("#   it is: %s\n", form->name);
            break;
        }
        machine->vcpu = before;
    }
    x86_free(machine);
}

/* ---- where the operands are ---- */

TEST(an_access_that_crosses_pages_is_split)
{
    set_up();
    machine->vcpu.regs.rbx = X86_DEVICE + X86_PAGE - 3;
    CHECK_INT(RUN("\x48\x8b\x03"), VISOR_EXIT_NONE); /* mov rax, [rbx] */
    CHECK_INT(machine->logged, 2);
    check_access(0, X86_DEVICE + X86_PAGE - 3, 3, false);
    check_access(1, X86_DEVICE + X86_PAGE, 5, false);
    CHECK_INT(machine->vcpu.regs.rax, in_device(X86_DEVICE + X86_PAGE - 3, 8));
    x86_free(machine);
}

TEST(pages_side_by_side_may_be_anywhere)
{
    set_up();
    /* The page behind the first is one before it. */
    *x86_pte(machine, X86_DEVICE + X86_PAGE) = (X86_DEVICE + 3 * X86_PAGE) | 7;
    machine->vcpu.regs.rbx = X86_DEVICE + X86_PAGE - 4;
    CHECK_INT(RUN("\x48\x89\x03"), VISOR_EXIT_NONE); /* mov [rbx], rax */
    check_access(0, X86_DEVICE + X86_PAGE - 4, 4, true);
    check_access(1, X86_DEVICE + 3 * X86_PAGE, 4, true);
    x86_free(machine);
}

TEST(memory_and_device_in_one_access)
{
    set_up();
    put(X86_DEVICE - 4, 0xdddddddd, 4);
    machine->vcpu.regs.rbx = X86_DEVICE - 4;
    CHECK_INT(RUN("\x48\x01\x03"), VISOR_EXIT_NONE); /* add [rbx], rax */
    CHECK_INT(machine->logged, 2);
    check_access(0, X86_DEVICE, 4, false);
    check_access(1, X86_DEVICE, 4, true);
    CHECK_INT(in_memory(X86_DEVICE - 4, 4), 0x33445565);
    CHECK_INT(in_device(X86_DEVICE, 4), 0x11223344 + 0x04030201 + 1);
    x86_free(machine);
}

TEST(an_instruction_on_memory_alone_is_executed_there)
{
    set_up();
    machine->vcpu.regs.rbx = X86_DATA;
    put(X86_DATA, 5, 8);
    CHECK_INT(RUN("\xf0\x48\x01\x0b"), VISOR_EXIT_NONE); /* lock add [rbx], rcx */
    CHECK_INT(machine->logged, 0);
    CHECK_INT(in_memory(X86_DATA, 8), 7);
    x86_free(machine);
}

TEST(rom_is_read_and_not_written)
{
    set_up();
    put(X86_ROM, 0x55aa, 2);
    machine->vcpu.regs.rbx = X86_ROM;
    CHECK_INT(RUN("\x01\x03"), VISOR_EXIT_NONE); /* add [rbx], eax */
    CHECK_INT(machine->logged, 1);
    check_access(0, X86_ROM, 4, true);
    CHECK_INT(visor_io_value(&machine->log[0]), 0x55667788 + 0x55aa);
    CHECK_INT(in_memory(X86_ROM, 4), 0x55aa);
    x86_free(machine);
}

TEST(a_page_of_an_apic_is_no_memory)
{
    set_up();
    visor__assist_x86_set_apic_page(machine->assist, X86_DATA);
    machine->vcpu.regs.rbx = X86_DATA + 0x20;
    CHECK_INT(RUN("\x8b\x03"), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 1);
    check_access(0, X86_DATA + 0x20, 4, false);
    x86_free(machine);
}

/* ---- segments and modes ---- */

TEST(real_mode)
{
    set_up();
    x86_real_mode(machine);
    machine->vcpu.sregs.es = x86_segment(0x2000, 0x20000, 0xffff, 3, 0);
    machine->vcpu.regs.rbx = 0x12340010;             /* of which BX counts */
    CHECK_INT(RUN("\x26\x8a\x07"), VISOR_EXIT_NONE); /* mov al, es:[bx] */
    check_access(0, X86_DEVICE + 0x10, 1, false);
    CHECK_INT(machine->vcpu.regs.rax, machine->device[0x10]);
    CHECK_INT(machine->vcpu.regs.rip, X86_CODE + 3);
    x86_free(machine);
}

TEST(real_mode_has_limits)
{
    set_up();
    x86_real_mode(machine);
    machine->vcpu.sregs.ds = x86_segment(0x2000, 0x20000, 0xffff, 3, 0);
    machine->vcpu.regs.rbx = 0xffff;
    CHECK_INT(RUN("\x8b\x07"), VISOR_EXIT_NONE); /* mov ax, [bx] */
    CHECK_INT(machine->logged, 0);
    check_exception(13, 0);
    CHECK_INT(machine->vcpu.regs.rip, X86_CODE);
    machine->vcpu.sregs.ss = machine->vcpu.sregs.ds;
    machine->vcpu.regs.rbp = 0xffff;
    CHECK_INT(RUN("\x8b\x46\x00"), VISOR_EXIT_NONE); /* mov ax, [bp] */
    check_exception(12, 0);
    x86_free(machine);
}

TEST(segments_of_protected_mode)
{
    static const struct {
        visor_x86_segment segment;
        uint64_t address;
        int read, write; /* vectors, -1: none */
    } cases[] = {
        {{.base = 0x1f000, .limit = 0x1003, .type = 3, .present = 1, .s = 1, .db = 1},
         0x1000,
         -1,
         -1},
        {{.base = 0x1f000, .limit = 0x1002, .type = 3, .present = 1, .s = 1, .db = 1},
         0x1000,
         13,
         13},
        {{.base = 0x1f000, .limit = 0xfff, .type = 7, .present = 1, .s = 1, .db = 1},
         0x1000,
         -1,
         -1},
        {{.base = 0x1f000, .limit = 0x1000, .type = 7, .present = 1, .s = 1, .db = 1},
         0x1000,
         13,
         13},
        {{.base = 0x1f000, .limit = 0x1003, .type = 1, .present = 1, .s = 1, .db = 1},
         0x1000,
         -1,
         13},
        {{.base = 0x1f000, .limit = 0x1003, .type = 11, .present = 1, .s = 1, .db = 1},
         0x1000,
         -1,
         13},
        {{.base = 0x1f000, .limit = 0x1003, .type = 9, .present = 1, .s = 1, .db = 1},
         0x1000,
         13,
         13},
        {{.base = 0x1f000, .limit = 0x1003, .type = 3, .present = 0, .s = 1, .db = 1},
         0x1000,
         13,
         13},
    };

    set_up();
    x86_protected_mode(machine, 0);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        machine->vcpu.sregs.fs = cases[i].segment;
        machine->vcpu.regs.rbx = cases[i].address;
        for (unsigned is_write = 0; is_write < 2; is_write++) {
            const int vector = is_write ? cases[i].write : cases[i].read;

            machine->vcpu.regs.rip = X86_CODE;
            CHECK_INT(is_write ? RUN("\x64\x89\x03") : RUN("\x64\x8b\x03"), VISOR_EXIT_NONE);
            CHECK_INT(machine->logged, vector < 0);
            CHECK_INT(machine->injects, vector >= 0);
            if (vector >= 0)
                check_exception((unsigned)vector, 0);
            else
                check_access(0, X86_DEVICE, 4, is_write != 0);
        }
    }
    x86_free(machine);
}

TEST(bases_of_64_bit_code)
{
    set_up();
    machine->vcpu.sregs.gs.base = X86_DEVICE;
    machine->vcpu.sregs.ds.base = 0x1000000; /* does not count */
    machine->vcpu.regs.rbx = 0x40;
    CHECK_INT(RUN("\x65\x8b\x03"), VISOR_EXIT_NONE); /* mov eax, gs:[rbx] */
    check_access(0, X86_DEVICE + 0x40, 4, false);
    machine->vcpu.regs.rbx = X86_DEVICE;
    CHECK_INT(RUN("\x3e\x8b\x03"), VISOR_EXIT_NONE); /* mov eax, ds:[rbx] */
    check_access(0, X86_DEVICE, 4, false);
    x86_free(machine);
}

TEST(a_segment_register_from_a_device)
{
    static const uint64_t data = 0x00cf92001000ffff;

    set_up();
    machine->vcpu.sregs.gdt.base = X86_DATA;
    machine->vcpu.sregs.gdt.limit = 0x1f;
    put(X86_DATA + 0x10, data, 8);
    memcpy(machine->device, "\x10\x00", 2);
    CHECK_INT(RUN("\x8e\x1b"), VISOR_EXIT_NONE); /* mov ds, [rbx] */
    check_access(0, X86_DEVICE, 2, false);
    CHECK(machine->changes.sregs);
    CHECK_INT(machine->vcpu.sregs.ds.selector, 0x10);
    CHECK_INT(machine->vcpu.sregs.ds.base, 0x1000);
    CHECK_INT(machine->vcpu.sregs.ds.limit, 0xffffffff);
    CHECK_INT(in_memory(X86_DATA + 0x10, 8), data | UINT64_C(1) << 40); /* accessed */
    x86_free(machine);
}

TEST(what_only_the_processor_knows_is_kept)
{
    set_up();
    machine->vcpu.sregs.cr4 |= 0x402000; /* PKE, VMXE */
    machine->vcpu.sregs.efer |= 0x1000;  /* SVME */
    machine->vcpu.xcr0 = 0xe7;           /* AVX-512 */
    memcpy(machine->device, "\x00\x00", 2);
    CHECK_INT(RUN("\x8e\x23"), VISOR_EXIT_NONE); /* mov fs, [rbx] */
    CHECK(machine->changes.sregs);
    CHECK_INT(machine->vcpu.sregs.cr4 & 0x402000, 0x402000);
    CHECK_INT(machine->vcpu.sregs.efer & 0x1000, 0x1000);
    CHECK_INT(RUN("\xc5\xfe\x6f\x13"), VISOR_EXIT_NONE); /* vmovdqu ymm2, [rbx] */
    CHECK_INT(machine->logged, 4);
    x86_free(machine);
}

/* ---- strings ---- */

TEST(repeated_moves_go_element_by_element)
{
    set_up();
    machine->vcpu.regs.rcx = 100;
    CHECK_INT(RUN("\xf3\xa5"), VISOR_EXIT_NONE); /* rep movsd */
    CHECK_INT(machine->logged, 100);
    CHECK_INT(machine->sets, 1);
    for (unsigned i = 0; i < 100; i++)
        check_access(i, X86_DEVICE + 0x100 + 4 * i, 4, false);
    CHECK(memcmp(x86_at(machine, X86_DATA), machine->device + 0x100, 400) == 0);
    CHECK_INT(machine->vcpu.regs.rcx, 0);
    CHECK_INT(machine->vcpu.regs.rsi, X86_DEVICE + 0x100 + 400);
    CHECK_INT(machine->vcpu.regs.rdi, X86_DATA + 400);
    CHECK_INT(machine->vcpu.regs.rip, X86_CODE + 2);
    x86_free(machine);
}

TEST(backwards)
{
    set_up();
    machine->vcpu.regs.rflags |= DF;
    CHECK_INT(RUN("\xf3\x48\xa5"), VISOR_EXIT_NONE); /* rep movsq */
    check_access(0, X86_DEVICE + 0x100, 8, false);
    check_access(1, X86_DEVICE + 0xf8, 8, false);
    CHECK_INT(machine->vcpu.regs.rdi, X86_DATA - 16);
    x86_free(machine);
}

TEST(a_search_ends_with_what_it_finds)
{
    set_up();
    machine->vcpu.regs.rdi = X86_DEVICE;
    machine->vcpu.regs.rcx = 100;
    machine->vcpu.regs.rax = 9;
    CHECK_INT(RUN("\xf2\xae"), VISOR_EXIT_NONE); /* repne scasb */
    CHECK_INT(machine->logged, 9);
    CHECK_INT(machine->vcpu.regs.rcx, 91);
    CHECK(machine->vcpu.regs.rflags & ZF);
    CHECK_INT(machine->vcpu.regs.rip, X86_CODE + 2);
    x86_free(machine);
}

TEST(nothing_to_repeat)
{
    set_up();
    machine->vcpu.regs.rcx = 0;
    CHECK_INT(RUN("\xf3\xa5"), VISOR_EXIT_NONE);
    CHECK_INT(machine->logged, 0);
    CHECK_INT(machine->changes.gpr, 0);
    CHECK_INT(machine->vcpu.regs.rip, X86_CODE + 2);
    x86_free(machine);
}

TEST(memory_behind_a_device_is_the_guests_own)
{
    set_up();
    machine->vcpu.regs.rdi = X86_MORE - 8;
    machine->vcpu.regs.rcx = 0x800;
    CHECK_INT(RUN("\xf3\xab"), VISOR_EXIT_NONE); /* rep stosd */
    CHECK_INT(machine->logged, 2);
    /* One that needed no device, and the guest goes on by itself. */
    CHECK_INT(machine->vcpu.regs.rcx, 0x800 - 3);
    CHECK_INT(machine->vcpu.regs.rdi, X86_MORE + 4);
    CHECK(!machine->changes.rip);
    CHECK_INT(machine->vcpu.regs.rip, X86_CODE);
    x86_free(machine);
}

TEST(a_fault_between_elements)
{
    set_up();
    *x86_pte(machine, X86_DEVICE + X86_PAGE) = 0;
    machine->vcpu.regs.rdi = X86_DEVICE + X86_PAGE - 8;
    machine->vcpu.regs.rcx = 5;
    CHECK_INT(RUN("\xf3\xab"), VISOR_EXIT_NONE); /* rep stosd */
    CHECK_INT(machine->logged, 2);
    CHECK_INT(machine->vcpu.regs.rcx, 3);
    CHECK_INT(machine->vcpu.regs.rdi, X86_DEVICE + X86_PAGE);
    CHECK_INT(machine->vcpu.regs.rip, X86_CODE);
    check_exception(14, 2);
    CHECK_INT(machine->exception.payload, X86_DEVICE + X86_PAGE);
    CHECK(!machine->exception.is_trap);
    x86_free(machine);
}

TEST(settling_ends_behind_an_element)
{
    int reason;

    set_up();
    machine->vcpu.regs.rcx = 10;
    reason = x86_start(machine, "\xf3\xa5", 2);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_INT(reason, VISOR_EXIT_MMIO);
        CHECK(visor__assist_x86_is_active(machine->assist));
        CHECK_INT(machine->vcpu.regs.rcx, 10);
        x86_serve(machine, &machine->exit.io);
        visor__assist_x86_answer(machine->assist, &machine->exit.io);
        reason = visor__assist_x86_next(&machine->exit, machine->assist, i == 2);
    }
    CHECK_INT(reason, VISOR_EXIT_NONE);
    CHECK(!visor__assist_x86_is_active(machine->assist));
    CHECK_INT(machine->vcpu.regs.rcx, 7);
    CHECK_INT(machine->vcpu.regs.rsi, X86_DEVICE + 0x100 + 12);
    CHECK_INT(machine->vcpu.regs.rip, X86_CODE);
    CHECK_INT(visor__assist_x86_next(&machine->exit, machine->assist, false), VISOR_EXIT_NONE);
    CHECK_INT(machine->sets, 1);
    x86_free(machine);
}

/* ---- vectors ---- */

TEST(an_xmm_register)
{
    set_up();
    CHECK_INT(RUN("\x0f\x10\x0b"), VISOR_EXIT_NONE); /* movups xmm1, [rbx] */
    CHECK_INT(machine->logged, 2);
    check_access(0, X86_DEVICE, 8, false);
    check_access(1, X86_DEVICE + 8, 8, false);
    CHECK_INT(machine->changes.xmm, 1 << 1);
    CHECK_INT(machine->changes.ymm, 0);
    CHECK(!machine->changes.x87 && !machine->changes.mxcsr && machine->changes.gpr == 0);
    CHECK(memcmp(machine->vcpu.fpu.xmm[1], machine->device, 16) == 0);
    CHECK_INT(machine->pieces & VISOR__ASSIST_X86_YMM, 0);
    CHECK_INT(RUN("\x0f\x29\x53\x10"), VISOR_EXIT_NONE); /* movaps [rbx + 16], xmm2 */
    check_access(0, X86_DEVICE + 16, 8, true);
    check_access(1, X86_DEVICE + 24, 8, true);
    CHECK_INT(machine->changes.xmm, 0);
    CHECK_INT(visor_io_value(&machine->log[1]), 0x1212121212121212);
    x86_free(machine);
}

TEST(a_misaligned_vector)
{
    set_up();
    machine->vcpu.regs.rbx++;
    CHECK_INT(RUN("\x0f\x28\x0b"), VISOR_EXIT_NONE); /* movaps xmm1, [rbx] */
    CHECK_INT(machine->logged, 0);
    check_exception(13, 0);
    CHECK_INT(machine->changes.xmm, 0);
    x86_free(machine);
}

TEST(a_ymm_register)
{
    set_up();
    CHECK_INT(RUN("\xc5\xfe\x6f\x13"), VISOR_EXIT_NONE); /* vmovdqu ymm2, [rbx] */
    CHECK_INT(machine->logged, 4);
    CHECK_INT(machine->changes.xmm, 1 << 2);
    CHECK_INT(machine->changes.ymm, 1 << 2);
    CHECK(memcmp(machine->vcpu.fpu.xmm[2], machine->device, 16) == 0);
    CHECK(memcmp(machine->vcpu.ymm_high[2], machine->device + 16, 16) == 0);
    machine->vcpu.regs.rbx = X86_DEVICE + 0x200;
    CHECK_INT(RUN("\xc5\xfe\x7f\x1b"), VISOR_EXIT_NONE); /* vmovdqu [rbx], ymm3 */
    CHECK_INT(machine->logged, 4);
    CHECK_INT(in_device(X86_DEVICE + 0x218, 8), UINT64_C(0xa3a3a3a3a3a3a3a3));
    CHECK_INT(machine->changes.zmm, 0);
    CHECK_INT(RUN("\xc5\xf8\x10\x23"), VISOR_EXIT_NONE); /* vmovups xmm4, [rbx] */
    CHECK_INT(machine->changes.zmm, 1 << 4);
    CHECK_INT(machine->changes.ymm, 1 << 4); /* cleared */
    CHECK_INT(machine->vcpu.ymm_high[4][0], 0);
    x86_free(machine);
}

TEST(what_is_above_ymm)
{
    static const struct {
        const char *code;
        uint16_t cleared;
    } cases[] = {
        {"\xc5\xfc\x10\x0b", 1 << 1},                  /* vmovups ymm1, [rbx] */
        {"\xc5\x7c\x10\x0b", 1 << 9},                  /* vmovups ymm9, [rbx] */
        {"\x0f\x10\x0b\x90", 0},                       /* movups xmm1, [rbx] */
        {"\xc5\xfc\x11\x0b", 0},                       /* vmovups [rbx], ymm1 */
        {"\xc5\xf8\x2e\x0b", 0},                       /* vucomiss xmm1, [rbx] */
        {"\xc4\xe2\x7d\x17\x0b", 0},                   /* vptest ymm1, [rbx] */
        {"\xc4\xe3\x79\x62\x0b\x00", 1},               /* vpcmpistrm xmm1, [rbx], 0 */
        {"\xc5\xf4\x58\x13", 1 << 2},                  /* vaddps ymm2, ymm1, [rbx] */
        {"\xc4\xe2\x65\x90\x0c\x13", 1 << 1 | 1 << 3}, /* vpgatherdd ymm1, [rbx + ymm2], ymm3 */
        {"\xc4\xe2\x70\xf2\x03", 0},                   /* andn eax, ecx, [rbx] */
    };

    set_up();
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        machine->vcpu.regs.rip = X86_CODE;
        memset(machine->vcpu.fpu.xmm[2], 0, 16);
        memset(machine->vcpu.ymm_high[2], 0, 16);
        CHECK_INT(x86_run(machine, cases[i].code, strlen(cases[i].code) + (i == 6)),
                  VISOR_EXIT_NONE);
        CHECK_INT(machine->injects, 0);
        CHECK_INT(machine->changes.zmm, cases[i].cleared);
    }
    *x86_pte(machine, X86_DEVICE) = 0;
    CHECK_INT(x86_run(machine, cases[0].code, 4), VISOR_EXIT_NONE);
    check_exception(14, 0);
    CHECK_INT(machine->changes.zmm, 0);
    x86_free(machine);
}

TEST(extended_state_that_is_not_known)
{
    static const char *const codes[] = {"\x0f\xae\x23", "\x0f\xae\x2b", "\x0f\xae\x33",
                                        "\x0f\x01\xd0"}; /* xsave, xrstor, xsaveopt, xgetbv */

    set_up();
    machine->vcpu.xcr0 = 0xe7;
    for (unsigned i = 0; i < 4; i++) {
        CHECK_INT(x86_run(machine, codes[i], 3), VISOR_EXIT_INTERNAL_ERROR);
        CHECK_INT(machine->exit.internal.suberror, VISOR__ASSIST_X86_REFUSED_XSTATE);
        CHECK_INT(machine->logged + machine->sets, 0);
    }
    x86_free(machine);
}

TEST(avx_that_is_off)
{
    set_up();
    machine->vcpu.xcr0 = 3;
    CHECK_INT(RUN("\xc5\xfe\x6f\x13"), VISOR_EXIT_NONE);
    check_exception(6, -1);
    machine->vcpu.xcr0 = 7;
    machine->vcpu.sregs.cr0 |= 8; /* TS */
    CHECK_INT(RUN("\xc5\xfe\x6f\x13"), VISOR_EXIT_NONE);
    check_exception(7, -1);
    x86_free(machine);
}

TEST(x87_and_mmx)
{
    set_up();
    CHECK_INT(RUN("\xdf\x2b"), VISOR_EXIT_NONE); /* fild qword [rbx] */
    check_access(0, X86_DEVICE, 8, false);
    CHECK(machine->changes.x87 && machine->changes.xmm == 0);
    CHECK_INT(machine->vcpu.fpu.st[0].significand, 0x0807060504030201ull << 4);
    CHECK_INT(RUN("\xdf\x7b\x20"), VISOR_EXIT_NONE); /* fistp qword [rbx + 32] */
    check_access(0, X86_DEVICE + 32, 8, true);
    CHECK_INT(visor_io_value(&machine->log[0]), 0x0807060504030201);
    CHECK_INT(machine->vcpu.fpu.ftw, 0);
    CHECK_INT(RUN("\xdb\xf1"), VISOR_EXIT_NONE); /* fcomi st1: with CMOV */
    CHECK_INT(machine->pieces & VISOR__ASSIST_X86_FPU, VISOR__ASSIST_X86_FPU);
    CHECK(machine->changes.x87);
    CHECK_INT(RUN("\x0f\x6f\x3b"), VISOR_EXIT_NONE); /* movq mm7, [rbx] */
    CHECK_INT(machine->vcpu.fpu.st[7].significand, 0x0807060504030201);
    CHECK_INT(RUN("\x0f\xae\x5b\x40"), VISOR_EXIT_NONE); /* stmxcsr [rbx + 64] */
    CHECK_INT(visor_io_value(&machine->log[0]), 0x1f80);
    CHECK(!machine->changes.x87);
    memcpy(machine->device, "\x81\x1f\x00\x00", 4);
    CHECK_INT(RUN("\x0f\xae\x13"), VISOR_EXIT_NONE); /* ldmxcsr [rbx] */
    CHECK(machine->changes.mxcsr);
    CHECK_INT(machine->vcpu.fpu.mxcsr, 0x1f81);
    x86_free(machine);
}

TEST(xsave_to_a_device)
{
    set_up();
    machine->vcpu.regs.rax = 7;
    machine->vcpu.regs.rdx = 0;
    memset(machine->device + 512, 0, 64);
    CHECK_INT(RUN("\x0f\xae\x23"), VISOR_EXIT_NONE); /* xsave [rbx] */
    CHECK_INT(machine->injects, 0);
    CHECK(machine->logged > 90);
    CHECK(memcmp(machine->device + 160, machine->vcpu.fpu.xmm[0], 256) == 0);
    CHECK(memcmp(machine->device + 576, machine->vcpu.ymm_high[0], 256) == 0);
    memset(machine->vcpu.fpu.xmm[5], 0, 16);
    CHECK_INT(RUN("\x0f\xae\x2b"), VISOR_EXIT_NONE); /* xrstor [rbx] */
    CHECK_INT(machine->changes.xmm, 1 << 5);
    CHECK_INT(machine->vcpu.fpu.xmm[5][0], 0x15);
    x86_free(machine);
}

/* ---- branches ---- */

TEST(jumps_through_a_device)
{
    set_up();
    memcpy(machine->device, "\x00\x20\x00\x00\x00\x00\x00\x00", 8);
    CHECK_INT(RUN("\xff\x23"), VISOR_EXIT_NONE); /* jmp [rbx] */
    CHECK_INT(machine->vcpu.regs.rip, 0x2000);
    machine->vcpu.regs.rip = X86_CODE;
    CHECK_INT(RUN("\xff\x13"), VISOR_EXIT_NONE); /* call [rbx] */
    CHECK_INT(machine->vcpu.regs.rip, 0x2000);
    CHECK_INT(in_memory(X86_DATA + 0x800 - 8, 8), X86_CODE + 2);
    machine->vcpu.regs.rsp = X86_DEVICE;
    CHECK_INT(RUN("\xc3"), VISOR_EXIT_NONE); /* ret */
    check_access(0, X86_DEVICE, 8, false);
    CHECK_INT(machine->vcpu.regs.rsp, X86_DEVICE + 8);
    x86_free(machine);
}

UNIT_MAIN()
