/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The x86 assist under whatever a guest and a hypervisor can hand it: any bytes, any registers, any
 * page tables, any answers. It ends, what leaves is an access as the API has them, and what it
 * refuses or faults at has changed no register.
 *
 * The input: a mode, entries of page tables, changes of registers, then the bytes of the
 * instruction.
 */
#include "input.h"
#include "x86_machine.h"

#define MOST_ACCESSES 96u  /* then the instruction is settled */
#define MOST_PARTS    600u /* of one element, XSAVE's for example */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct x86_machine *machine;
static const uint8_t *input;
static size_t left;

static uint64_t next(size_t bytes)
{
    return input_next(&input, &left, bytes);
}

static void set_mode(unsigned mode)
{
    visor_x86_sregs *sregs = &machine->vcpu.sregs;
    const uint8_t cpl = mode / 8 % 4;

    switch (mode % 8) {
    case 0: x86_real_mode(machine); break;
    case 1:
        x86_real_mode(machine);
        sregs->cr0 |= 1;
        machine->vcpu.regs.rflags |= 0x20000; /* VM */
        sregs->ss.dpl = sregs->cs.dpl = 3;
        break;
    case 2: x86_protected_mode(machine, cpl); break;
    case 3: /* PAE, with the tables below the PDPT */
        x86_long_mode(machine, cpl);
        sregs->efer = 0x800;
        sregs->cs.l = 0;
        sregs->cr3 = X86_TABLES + X86_PAGE;
        *(uint64_t *)(void *)x86_at(machine, X86_TABLES + X86_PAGE) &= ~UINT64_C(0x1e6);
        break;
    case 4: /* two levels; what the entries of the others mean here is as good as any */
        x86_long_mode(machine, cpl);
        sregs->efer = 0;
        sregs->cs.l = 0;
        sregs->cr4 &= ~UINT64_C(0x20);
        sregs->cr3 = X86_TABLES + 2 * X86_PAGE;
        break;
    case 5:
        x86_long_mode(machine, cpl);
        sregs->cs.l = 0;
        sregs->cs.db = 1;
        break;
    default: x86_long_mode(machine, cpl); break;
    }
    if (mode >= 128)
        sregs->cr4 |= 0x1310; /* PSE, PGE, LA57 */
}

static visor_x86_segment *segment(unsigned n)
{
    visor_x86_sregs *sregs = &machine->vcpu.sregs;
    visor_x86_segment *const all[] = {&sregs->cs, &sregs->ds, &sregs->es, &sregs->fs,
                                      &sregs->gs, &sregs->ss, &sregs->tr, &sregs->ldt};

    return all[n % 8];
}

static void set_segment(visor_x86_segment *out)
{
    const uint64_t bits = next(2);

    out->base = next(3);
    out->limit = (uint32_t)next(3);
    out->type = bits & 15;
    out->present = bits >> 4 & 1;
    out->dpl = bits >> 5 & 3;
    out->db = bits >> 7 & 1;
    out->s = bits >> 8 & 1;
    out->unusable = bits >> 9 & 1;
    out->selector = (uint16_t)next(2);
}

static uint64_t interesting(void)
{
    static const uint32_t places[] = {
        X86_DATA, X86_DEVICE, X86_DEVICE + X86_PAGE, X86_MORE, X86_TABLES, X86_ROM, X86_END, 0};
    const uint64_t choice = next(1);

    return choice < 128 ? places[choice / 16] - 32 + choice % 16 * 4 : next(8);
}

static void change(void)
{
    const unsigned which = (unsigned)next(1);
    visor_x86_sregs *sregs = &machine->vcpu.sregs;

    switch (which % 8) {
    case 0:
    case 1:
    case 2: *x86_gpr(&machine->vcpu.regs, which / 8 % 16) = interesting(); break;
    case 3: x86_pte(machine, 0)[next(1)] = next(8); break;
    case 4:
        *(uint64_t *)(void *)x86_at(machine, X86_TABLES + which / 8 % 3 * X86_PAGE) = next(8);
        break;
    case 5: set_segment(segment(which / 8)); break;
    case 6:
        switch (which / 8) {
        case 0:
            sregs->cr0 ^= next(4) & 0x8005003f & ~(sregs->efer & 0x400 ? 0x80000001u : 0);
            break;
        case 1: sregs->cr4 ^= next(3) & ~UINT64_C(0x20); break;
        case 2: sregs->cr3 = interesting() & 0xfffff000; break;
        case 3: sregs->gdt.base = interesting(), sregs->gdt.limit = (uint16_t)next(2); break;
        case 4: machine->vcpu.fpu.mxcsr = next(2) & 0xffff; break;
        case 5: machine->vcpu.fpu.fcw = (uint16_t)next(2); break;
        case 6: machine->vcpu.fpu.fsw = (uint16_t)next(2); break;
        case 7: machine->vcpu.fpu.ftw = (uint8_t)next(1); break;
        case 8: machine->vcpu.xcr0 = next(1); break;
        case 9: machine->vcpu.regs.rip = interesting(); break;
        case 10:
            visor__assist_x86_set_apic_page(machine->assist, interesting() & 0xfffff000);
            break;
        default: memcpy(machine->vcpu.fpu.xmm[which / 8 % 16], &(uint64_t){next(8)}, 8); break;
        }
        break;
    default: machine->vcpu.regs.rflags = (next(3) & 0x257fd5) | 2; break;
    }
}

static void check_access(const visor_io *io, int reason)
{
    require(io->length >= 1 && io->length <= 8);
    if (reason == VISOR_EXIT_IO)
        require(io->space == VISOR_PIO && io->address <= 0xffff && io->length != 3 &&
                io->length <= 4);
    else
        require(io->space == VISOR_MMIO && io->address % X86_PAGE + io->length <= X86_PAGE);
}

static void run(const uint8_t *bytes, size_t count)
{
    const struct visor__assist_x86_state before = machine->vcpu;
    unsigned settled = 0;
    int reason = x86_start(machine, bytes, count);

    while (reason == VISOR_EXIT_MMIO || reason == VISOR_EXIT_IO) {
        check_access(&machine->exit.io, reason);
        require(memcmp(&before, &machine->vcpu, sizeof(before)) == 0);
        x86_serve(machine, &machine->exit.io);
        visor__assist_x86_answer(machine->assist, &machine->exit.io);
        settled += machine->logged > MOST_ACCESSES;
        require(settled < MOST_PARTS);
        reason = visor__assist_x86_next(&machine->exit, machine->assist, settled > 0);
    }
    require(!visor__assist_x86_is_active(machine->assist));
    if (reason == VISOR_EXIT_INTERNAL_ERROR) {
        require(machine->sets == 0 && machine->injects == 0);
        require(machine->exit.internal.instruction_len <= 15);
        return;
    }
    require(reason == VISOR_EXIT_NONE && machine->sets == 1 && machine->injects <= 1);
    if (machine->injects == 1 && !machine->exception.is_trap)
        require(machine->vcpu.regs.rip == before.regs.rip);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned changes;

    if (machine == NULL)
        machine = x86_new();
    input = data;
    left = size;
    visor__assist_x86_set_apic_page(machine->assist, UINT64_MAX);
    memset(x86_at(machine, 0), 0, X86_DEVICE);
    set_mode((unsigned)next(1));
    for (changes = (unsigned)next(1) % 32; changes > 0 && left > 16; changes--)
        change();
    /* The rest is code: given, or in memory. */
    if (left > 0 && input[left - 1] % 2 == 0) {
        const uint64_t rip = machine->vcpu.regs.rip;

        if (rip < X86_DEVICE - 16)
            memcpy(x86_at(machine, rip), input, left < 16 ? left : 16);
        left = 0;
    }
    run(input, left < 16 ? left : 16);
    return 0;
}
