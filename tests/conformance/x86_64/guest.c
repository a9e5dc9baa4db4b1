/* SPDX-License-Identifier: BSD-3-Clause */
#include "x86.h"

#include <cpuid.h>
#include <string.h>
#include <x86intrin.h>

#include "guest.h"

/* ---- set-ups of guests that are about x86-64 ---- */

visor_x86_regs x86_regs(visor_vcpu *vcpu)
{
    visor_x86_regs regs;

    CHECK_OK(visor_x86_get_regs(&regs, vcpu));
    return regs;
}

visor_x86_sregs x86_sregs(visor_vcpu *vcpu)
{
    visor_x86_sregs sregs;

    CHECK_OK(visor_x86_get_sregs(&sregs, vcpu));
    return sregs;
}

void x86_set_regs(visor_vcpu *vcpu, const visor_x86_regs *regs)
{
    CHECK_OK(visor_x86_set_regs(vcpu, regs));
}

void x86_set_sregs(visor_vcpu *vcpu, const visor_x86_sregs *sregs)
{
    CHECK_OK(visor_x86_set_sregs(vcpu, sregs));
}

void x86_set_rip(visor_vcpu *vcpu, uint64_t rip)
{
    visor_x86_regs regs = x86_regs(vcpu);

    regs.rip = rip;
    x86_set_regs(vcpu, &regs);
}

void x86_host_cpuid(uint32_t out[4], uint32_t function, uint32_t index)
{
    __cpuid_count(function, index, out[0], out[1], out[2], out[3]);
}

uint64_t x86_host_tsc(void)
{
    return __rdtsc();
}

void x86_create(struct guest *g, uint64_t ram, const visor_vm_config *config)
{
    const visor_memory_region region = {.gpa = 0, .length = ram};

    CHECK_OK(visor_memory_create(&g->memory, &region, 1, NULL));
    CHECK_OK(visor_vm_create(&g->vm, g->hv, g->memory, config));
    CHECK_OK(visor_vcpu_create(&g->vcpu, g->vm, 0));
}

/* Descriptors: SDM vol. 3A, 3.4.5. Page table entries: 4.5. */
void x86_write_tables(struct guest *g, enum x86_mode mode)
{
    const uint64_t gdt[3] = {0, 0, mode == X86_LONG ? 0x00af9b000000ffffu : 0x00cf9b000000ffffu};
    uint64_t table[512] = {0};

    put(g, X86_GDT, gdt, sizeof(gdt));
    if (mode != X86_LONG)
        return;
    table[0] = 0xa000 | 3;
    put(g, 0x9000, table, sizeof(table));
    table[0] = 0xb000 | 3;
    put(g, 0xa000, table, sizeof(table));
    for (uint64_t i = 1; i < 512; i++)
        table[i] = i << 21 | 0x83;
    table[0] = 0xc000 | 3;
    put(g, 0xb000, table, sizeof(table));
    for (uint64_t i = 0; i < 512; i++)
        table[i] = i << 12 | 3;
    put(g, 0xc000, table, sizeof(table));
}

void x86_set_mode(struct guest *g, visor_vcpu *vcpu, enum x86_mode mode, uint64_t idt)
{
    visor_x86_sregs sregs = x86_sregs(vcpu);

    (void)g;
    switch (mode) {
    case X86_RESET: return;
    case X86_REAL:
        sregs.cs.base = 0;
        sregs.cs.selector = 0;
        break;
    case X86_PROTECTED:
    case X86_LONG:
        sregs.gdt = (visor_x86_table){.base = X86_GDT, .limit = 0x17};
        sregs.idt = (visor_x86_table){.base = idt, .limit = mode == X86_LONG ? 0xfff : 0x7ff};
        sregs.cs = (visor_x86_segment){.limit = 0xffffffff,
                                       .selector = X86_CODE_SELECTOR,
                                       .type = 11,
                                       .present = 1,
                                       .s = 1,
                                       .db = mode == X86_PROTECTED,
                                       .l = mode == X86_LONG,
                                       .g = 1};
        sregs.cr0 |= X86_CR0_PE;
        if (mode == X86_LONG) {
            sregs.cr0 |= X86_CR0_PG;
            sregs.cr3 = X86_PML4;
            sregs.cr4 |= X86_CR4_PGE | X86_CR4_PAE;
            sregs.efer |= X86_EFER_LME | X86_EFER_LMA;
        }
        break;
    }
    x86_set_sregs(vcpu, &sregs);
}

void x86_load(struct guest *g, visor_vcpu *vcpu, uint64_t gpa, const struct code *code,
              const visor_x86_regs *regs)
{
    visor_x86_regs copy = *regs;

    put(g, gpa, code->bytes, code->length);
    if (copy.rip == 0)
        copy.rip = gpa;
    copy.rflags |= 2;
    x86_set_regs(vcpu, &copy);
}

void x86_start(struct guest *g, const struct x86_setup *setup)
{
    visor_x86_regs regs = setup->regs;

    x86_create(g, setup->ram ? setup->ram : 0xf000, setup->vm.size ? &setup->vm : NULL);
    if (!setup->without_cpuid)
        CHECK_OK(visor_x86_configure_cpuid(g->vcpu, NULL));
    for (size_t i = 0; i < sizeof(setup->memory) / sizeof(setup->memory[0]); i++) {
        if (setup->memory[i].data != NULL)
            put(g, setup->memory[i].gpa, setup->memory[i].data, setup->memory[i].length);
    }
    if (setup->mode == X86_PROTECTED || setup->mode == X86_LONG)
        x86_write_tables(g, setup->mode);
    x86_set_mode(g, g->vcpu, setup->mode, setup->idt ? setup->idt : X86_IDT);
    if (setup->extra_cr4 != 0) {
        visor_x86_sregs sregs = x86_sregs(g->vcpu);

        sregs.cr4 |= setup->extra_cr4;
        x86_set_sregs(g->vcpu, &sregs);
    }
    if (setup->code != NULL) {
        x86_load(g, g->vcpu, setup->load, setup->code, &regs);
        g->code_end = setup->load + setup->code->length;
    } else {
        regs.rflags |= 2;
        x86_set_regs(g->vcpu, &regs);
    }
}

static uint32_t put_code(struct guest *g, uint32_t *at, const struct code *code)
{
    uint32_t gpa = *at;

    put(g, gpa, code->bytes, code->length);
    *at += (uint32_t)code->length;
    return gpa;
}

void x86_start_ivt(struct guest *g, const struct x86_ivt_setup *setup)
{
    const uint8_t idtr[6] = {0xff, 0x03, 0x06, 0x02, 0, 0};
    uint32_t vectors[256] = {0}, own[4] = {0}, at = X86_IVT_ISR, others = 0;
    visor_x86_regs regs = setup->regs;

    x86_create(g, setup->ram ? setup->ram : 0x1000, setup->vm.size ? &setup->vm : NULL);
    CHECK_OK(visor_x86_configure_cpuid(g->vcpu, NULL));
    x86_set_mode(g, g->vcpu, X86_REAL, 0);
    for (size_t i = 0; i < 4 && setup->isrs[i].isr != NULL; i++)
        own[i] = put_code(g, &at, setup->isrs[i].isr);
    if (setup->others != NULL)
        others = put_code(g, &at, setup->others);
    for (size_t i = 0; i < 256; i++)
        vectors[i] = others;
    for (size_t i = 0; i < 4 && setup->isrs[i].isr != NULL; i++)
        vectors[setup->isrs[i].vector] = own[i];
    put(g, X86_IVT_IDTR, idtr, sizeof(idtr));
    put(g, X86_IVT_IDTR + 6, vectors, sizeof(vectors));
    regs.rip = 0;
    x86_load(g, g->vcpu, at, setup->main, &regs);
    g->code_end = at + setup->main->length;
}

void x86_set_gate(struct guest *g, uint64_t base, unsigned vector, uint64_t handler)
{
    const uint64_t gate[2] = {(handler & 0xffff) | X86_CODE_SELECTOR << 16 | 0x8eULL << 40 |
                                  (handler >> 16 & 0xffff) << 48,
                              handler >> 32};

    put(g, base + 16 * vector, gate, sizeof(gate));
}

void x86_set_gates(struct guest *g, uint64_t base, uint64_t handler)
{
    for (unsigned vector = 0; vector < 256; vector++)
        x86_set_gate(g, base, vector, handler);
}

/* ---- what the cases that all architectures share need ----
 *
 * rdi, rsi, rdx = a0, a1, a2. The tables of long mode are below the code. */

const uint64_t guest_base = 0;
const uint64_t guest_code = 0x10000;
const uint64_t guest_data = 0x20000;
const uint64_t guest_hole = 0x10000000;
const uint64_t guest_done = 0x3f000000;
#define DONE  "mov [0x3f000000], rax;"
#define AGAIN "2: jmp 2b;"

VISOR_GUEST_ASM64(load1, "movzx eax, byte ptr [rdi];" DONE AGAIN);
VISOR_GUEST_ASM64(load2, "movzx eax, word ptr [rdi];" DONE AGAIN);
VISOR_GUEST_ASM64(load4, "mov eax, [rdi];" DONE AGAIN);
VISOR_GUEST_ASM64(load8, "mov rax, [rdi];" DONE AGAIN);
VISOR_GUEST_ASM64(store1, "mov [rdi], sil; xor eax, eax;" DONE AGAIN);
VISOR_GUEST_ASM64(store2, "mov [rdi], si; xor eax, eax;" DONE AGAIN);
VISOR_GUEST_ASM64(store4, "mov [rdi], esi; xor eax, eax;" DONE AGAIN);
VISOR_GUEST_ASM64(store8, "mov [rdi], rsi; xor eax, eax;" DONE AGAIN);
VISOR_GUEST_ASM64(fill, "xor eax, eax;"
                        "3: cmp rax, rdx; je 4f;"
                        "inc rax; mov [rdi], rax; add rdi, rsi; jmp 3b;"
                        "4:" DONE AGAIN);
VISOR_GUEST_ASM64(watch, "3: movzx eax, byte ptr [rdi];" DONE "jmp 3b");
VISOR_GUEST_ASM64(spin, "3: inc qword ptr [rdi]; jmp 3b");
VISOR_GUEST_ASM64(count, "3: inc qword ptr [rdi]; mov rax, [rdi];" DONE "dec rsi; jnz 3b;" AGAIN);
VISOR_GUEST_ASM64(add, "mov rax, [rdi]; add rax, [rsi];" DONE AGAIN);

const struct code *const guest_load[4] = {&load1, &load2, &load4, &load8};
const struct code *const guest_store[4] = {&store1, &store2, &store4, &store8};
const struct code *const guest_fill = &fill;
const struct code *const guest_watch = &watch;
const struct code *const guest_spin = &spin;
const struct code *const guest_count = &count;
const struct code *const guest_add = &add;

void guest_arch_tables(struct guest *g)
{
    x86_write_tables(g, X86_LONG);
}

void guest_arch_vcpu(struct guest *g, visor_vcpu *vcpu)
{
    CHECK_OK(visor_x86_configure_cpuid(vcpu, NULL));
    x86_set_mode(g, vcpu, X86_LONG, X86_IDT);
}

void guest_arch_enter(visor_vcpu *vcpu, uint64_t pc, uint64_t a0, uint64_t a1, uint64_t a2)
{
    const visor_x86_regs regs = {.rip = pc, .rdi = a0, .rsi = a1, .rdx = a2, .rflags = 2};

    x86_set_regs(vcpu, &regs);
}

/* The tables map the first GiB only. One more directory, with a large page in it, makes the second
 * GiB begin at the gpa. */
uint64_t guest_arch_far(struct guest *g, uint64_t gpa)
{
    poke(g, 0xa008, guest_data | 3, 8);
    poke(g, guest_data, (gpa & ~0x1fffffull) | 0x83, 8);
    return 0x40000000u + (gpa & 0x1fffff);
}
