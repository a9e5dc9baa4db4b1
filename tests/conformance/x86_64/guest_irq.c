/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest of the generic cases about interrupts: 64-bit code, rcx at the local APIC, rdx at the
 * I/O APIC (SDM vol. 3A, chapter 11; Intel 82093AA). A vector is its interrupt's number.
 */
#include "guest.h"
#include "x86.h"

#define LAPIC        0xfee00000u
#define IOAPIC       0xfec00000u
#define DIRECTORY    0xd000u /* for the fourth GiB, where the two are */
#define HANDLERS     0x70000u
#define IDT          0x71000u
#define STACK        0x73000u
#define FIRST_VECTOR 0x50u

const struct guest_line guest_edge = {.gsi = 5, .number = 0x45};
const struct guest_line guest_level = {.gsi = 10, .number = 0x4a};

#define HANDLER(name, vector)                   \
    VISOR_GUEST_ASM64(name, "mov eax, " #vector \
                            "; mov [0x3f000000], rax; mov dword ptr [rcx + 0xb0], 0; iretq")
HANDLER(on_edge, 0x45);
HANDLER(on_level, 0x4a);
HANDLER(on_message0, 0x50);
HANDLER(on_message1, 0x51);
HANDLER(on_message2, 0x52);
HANDLER(on_message3, 0x53);
HANDLER(on_other, 0xbad);

/* PICs masked, local APIC enabled, pin 5 an edge, pin 10 a level. */
VISOR_GUEST_ASM64(take_interrupts, "mov al, 0xff; out 0x21, al; out 0xa1, al;"
                                   "mov dword ptr [rcx + 0xf0], 0x1ff;"
                                   "mov dword ptr [rdx], 0x1b; mov dword ptr [rdx + 0x10], 0;"
                                   "mov dword ptr [rdx], 0x1a; mov dword ptr [rdx + 0x10], 0x45;"
                                   "mov dword ptr [rdx], 0x25; mov dword ptr [rdx + 0x10], 0;"
                                   "mov dword ptr [rdx], 0x24; mov dword ptr [rdx + 0x10], 0x804a;"
                                   "xor eax, eax; mov [0x3f000000], rax;"
                                   "sti; 3: hlt; jmp 3b");

struct guest_message guest_message(struct guest *g, unsigned n)
{
    (void)g;
    return (struct guest_message){.msi = {.address = LAPIC, .data = FIRST_VECTOR + n},
                                  .number = FIRST_VECTOR + n};
}

void guest_arch_irqs(struct guest *g)
{
    static const struct {
        const struct code *code;
        unsigned vector;
    } handlers[] = {{&on_other, 0},       {&on_edge, 0x45},     {&on_level, 0x4a},
                    {&on_message0, 0x50}, {&on_message1, 0x51}, {&on_message2, 0x52},
                    {&on_message3, 0x53}};
    const visor_x86_regs regs = {.rip = guest_code, .rcx = LAPIC, .rdx = IOAPIC, .rsp = STACK};
    visor_x86_sregs sregs = x86_sregs(g->vcpu);

    poke(g, 0xa018, DIRECTORY | 3, 8);
    poke(g, DIRECTORY + 8 * (IOAPIC >> 21 & 511), IOAPIC | 0x93, 8); /* not cached */
    poke(g, DIRECTORY + 8 * (LAPIC >> 21 & 511), LAPIC | 0x93, 8);
    x86_set_gates(g, IDT, HANDLERS);
    for (unsigned i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
        guest_put_code(g, HANDLERS + 0x40 * i, handlers[i].code);
        if (i > 0)
            x86_set_gate(g, IDT, handlers[i].vector, HANDLERS + 0x40 * i);
    }
    sregs.idt = (visor_x86_table){.base = IDT, .limit = 0xfff};
    x86_set_sregs(g->vcpu, &sregs);
    x86_load(g, g->vcpu, guest_code, &take_interrupts, &regs);
}
