/* SPDX-License-Identifier: BSD-3-Clause */
/* x86-64: instructions that access memory-mapped I/O in their own ways, and read-only memory. */
#include "x86.h"

#include <sched.h>
#include <string.h>

#include "guest.h"

VISOR_GUEST_ASM16(store_load, "mov [ebx], al; mov al, [ecx]; hlt");

CASE(mmio, code_crosses_page, "an instruction that lies across two pages accesses MMIO")
{
    x86_start(g, &(struct x86_setup){.ram = 0x2000,
                                     .load = 0xfff,
                                     .code = &store_load,
                                     .regs = {.rax = 0x33, .rbx = 0x3000, .rcx = 0x3010}});
    RUN_TO_MMIO_WRITE(g, 0x3000, 1, 0x33);
    RUN_TO_MMIO_READ(g, 0x3010, 1, 0x66);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 0x66);
}

VISOR_GUEST_ASM16(increment_at_es, "mov al, es:[bx]; add al, 1; mov es:[bx], al; hlt");

CASE(mmio, read_only_slot, "reads of a read-only slot do not exit, a write does and is not done")
{
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    const uint32_t first = 0x66;
    visor_mapping *mapping;
    visor_x86_sregs sregs;
    visor_file file;
    uint32_t slot, content;

    x86_start(g, &(struct x86_setup){
                     .ram = 0x2000, .load = 0x1000, .code = &increment_at_es, .regs = {.rax = 1}});
    NEED(g, READ_ONLY);
    file = file_create(0x1000);
    file_write(file, 0, &first, sizeof(first));
    CHECK_OK(visor_mapping_create_file(&mapping, file, 0, 0x1000, true));
    config.gpa = 0x5000;
    config.read_only = true;
    CHECK_OK(visor_vm_add_slot(&slot, g->vm, mapping, &config));
    sregs = x86_sregs(g->vcpu);
    sregs.cs.s = 1;
    sregs.cs.type = 11;
    sregs.es.base = 0x5000;
    sregs.es.selector = 0;
    sregs.es.s = 1;
    sregs.es.type = 11;
    x86_set_sregs(g->vcpu, &sregs);
    RUN_TO_MMIO_WRITE(g, 0x5000, 1, 0x67);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 0x67);
    file_read(file, 0, &content, sizeof(content));
    CHECK_EQ(content, 0x66);
    drop_slot(g, slot);
    file_close(file);
}

VISOR_GUEST_ASM64(load_out_load, "movabs al, [0x20000]; out 5, al; movabs al, [0x20000]; hlt");

CASE(mmio, removed_slot_in_use, "removing a slot takes it out of the guest's TLB too")
{
    visor_mapping *mapping, *back;
    uint32_t slot;

    /* No migration of this thread may flush the TLB by accident and hide a missing flush. */
    host_pin_thread();
    x86_start(g, &(struct x86_setup){
                     .mode = X86_LONG, .ram = 0x12000, .load = 0x1000, .code = &load_out_load});
    slot = add_slot(g, 0x20000, 0x1000, &mapping, false, false);
    memset(visor_mapping_host(mapping), 0xff, 0x1000);
    host_lock_memory(visor_mapping_host(mapping), 0x1000);
    RUN_TO_OUT(g, 5, 1, 0xff);
    CHECK_OK(visor_vm_remove_slot(&back, g->vm, slot));
    CHECK(back == mapping);
    RUN_TO_MMIO_READ(g, 0x20000, 1, 0);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax & 0xff, 0);
    visor_mapping_free(back);
}

VISOR_GUEST_ASM16(load_absolute, "mov al, [0x3000]; hlt");

CASE(mmio, removed_slot, "a removed slot is MMIO")
{
    visor_mapping *code, *data, *back;
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    const visor_memory_region region = {.gpa = 0x8000, .length = 0x1000};
    visor_x86_regs regs = {.rip = 0x1000, .rflags = 2};
    uint32_t slot;

    CHECK_OK(visor_memory_create(&g->memory, &region, 1, NULL));
    CHECK_OK(visor_vm_create(&g->vm, g->hv, g->memory, NULL));
    CHECK_OK(visor_vcpu_create(&g->vcpu, g->vm, 0));
    CHECK_OK(visor_mapping_create(&code, 0x2000));
    memcpy((uint8_t *)visor_mapping_host(code) + 0x1000, load_absolute.bytes, load_absolute.length);
    config.gpa = 0;
    CHECK_OK(visor_vm_add_slot(&slot, g->vm, code, &config));
    slot = add_slot(g, 0x3000, 0x1000, &data, false, false);
    *(uint8_t *)visor_mapping_host(data) = 0x55;
    x86_set_mode(g, g->vcpu, X86_REAL, 0);
    x86_set_regs(g->vcpu, &regs);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 0x55);
    x86_set_regs(g->vcpu, &regs);
    CHECK_OK(visor_vm_remove_slot(&back, g->vm, slot));
    CHECK(back == data);
    RUN_TO_MMIO_READ(g, 0x3000, 1, 0x44);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 0x44);
    visor_mapping_free(back);
}

CASE(mmio, read_only_slot_at_base, "as read_only_slot, with the code in a slot as well")
{
    const visor_memory_region region = {.gpa = 0x8000, .length = 0x1000};
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_mapping *code, *data;
    visor_x86_regs regs = {.rip = 0x1000, .rflags = 2};
    visor_x86_sregs sregs;
    uint32_t slot;

    CHECK_OK(visor_memory_create(&g->memory, &region, 1, NULL));
    CHECK_OK(visor_vm_create(&g->vm, g->hv, g->memory, NULL));
    NEED(g, READ_ONLY);
    CHECK_OK(visor_vcpu_create(&g->vcpu, g->vm, 0));
    CHECK_OK(visor_mapping_create(&code, 0x2000));
    memcpy((uint8_t *)visor_mapping_host(code) + 0x1000, increment_at_es.bytes,
           increment_at_es.length);
    CHECK_OK(visor_vm_add_slot(&slot, g->vm, code, &config));
    add_slot(g, 0x3000, 0x1000, &data, true, false);
    *(uint8_t *)visor_mapping_host(data) = 0x66;
    sregs = x86_sregs(g->vcpu);
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    sregs.es.base = 0x3000;
    sregs.es.type = 11;
    x86_set_sregs(g->vcpu, &sregs);
    x86_set_regs(g->vcpu, &regs);
    RUN_TO_MMIO_WRITE(g, 0x3000, 1, 0x67);
    RUN_TO(g, HLT);
    CHECK_EQ(*(uint8_t *)visor_mapping_host(data), 0x66);
    CHECK_EQ(x86_regs(g->vcpu).rax, 0x67);
}

CASE(mmio, access_crosses_page, "an access across two pages arrives as two, lower address first")
{
    guest_start(g, guest_store[3], guest_hole + 0xffd, 0x8877665544332211u, 0, NULL);
    RUN_TO_MMIO_WRITE(g, guest_hole + 0xffd, 3, 0x332211);
    RUN_TO_MMIO_WRITE(g, guest_hole + 0x1000, 5, 0x8877665544u);
    GUEST_FINISH(g);
    guest_restart(g, g->vcpu, guest_load[2], guest_hole + 0xffe, 0, 0);
    RUN_TO_MMIO_READ(g, guest_hole + 0xffe, 2, 0x2211);
    RUN_TO_MMIO_READ(g, guest_hole + 0x1000, 2, 0x4433);
    CHECK_EQ(GUEST_FINISH(g), 0x44332211);
}

CASE(mmio, access_leaves_memory, "half of an access is memory, the other half MMIO")
{
    visor_mapping *mapping;
    uint8_t *host;

    guest_start(g, guest_store[2], guest_hole + 0xffe, 0x44332211u, 0, NULL);
    add_slot(g, guest_hole, 0x1000, &mapping, false, false);
    host = visor_mapping_host(mapping);
    RUN_TO_MMIO_WRITE(g, guest_hole + 0x1000, 2, 0x4433);
    GUEST_FINISH(g);
    CHECK_EQ(host[0xffe], 0x11);
    CHECK_EQ(host[0xfff], 0x22);
    guest_restart(g, g->vcpu, guest_load[2], guest_hole + 0xffe, 0, 0);
    RUN_TO_MMIO_READ(g, guest_hole + 0x1000, 2, 0x8877);
    CHECK_EQ(GUEST_FINISH(g), 0x88772211u);
}

VISOR_GUEST_ASM64(modify, "add byte ptr [rdi], 3; lock inc word ptr [rdi + 16];"
                          "xchg [rdi + 32], eax; hlt");

CASE(mmio, read_modify_write, "an instruction that reads and writes gives a read, then a write")
{
    x86_start(g, &(struct x86_setup){.mode = X86_LONG,
                                     .load = 0x1000,
                                     .code = &modify,
                                     .regs = {.rdi = guest_hole, .rax = 0x12345678}});
    RUN_TO_MMIO_READ(g, guest_hole, 1, 0x40);
    RUN_TO_MMIO_WRITE(g, guest_hole, 1, 0x43);
    RUN_TO_MMIO_READ(g, guest_hole + 16, 2, 0xffff);
    RUN_TO_MMIO_WRITE(g, guest_hole + 16, 2, 0);
    RUN_TO_MMIO_READ(g, guest_hole + 32, 4, 0x9abcdef0);
    RUN_TO_MMIO_WRITE(g, guest_hole + 32, 4, 0x12345678);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 0x9abcdef0);
}

VISOR_GUEST_ASM64(rep_moves, "cld; mov ecx, 4; rep movsd; mov rsi, rbx; mov rdi, rdx; mov ecx, 3;"
                             "rep movsb; hlt");

CASE(mmio, rep_string, "repeated string moves to and from MMIO, element by element")
{
    static const uint32_t words[4] = {0x11111111, 0x22222222, 0x33333333, 0x44444444};

    x86_start(
        g, &(struct x86_setup){
               .mode = X86_LONG,
               .load = 0x1000,
               .code = &rep_moves,
               .regs = {.rsi = 0x2000, .rdi = guest_hole, .rbx = guest_hole + 0x100, .rdx = 0x3000},
               .memory = {{0x2000, words, sizeof(words)}}});
    for (unsigned i = 0; i < 4; i++)
        RUN_TO_MMIO_WRITE(g, guest_hole + 4 * i, 4, words[i]);
    for (unsigned i = 0; i < 3; i++)
        RUN_TO_MMIO_READ(g, guest_hole + 0x100 + i, 1, 0x61 + i);
    RUN_TO(g, HLT);
    CHECK_EQ(peek(g, 0x3000, 4), 0x636261);
}

VISOR_GUEST_ASM64(store_xmm, "mov rax, cr4; or eax, 0x200; mov cr4, rax;"
                             "movups xmm0, [rsi]; movups [rdi], xmm0; movups xmm1, [rdi + 32];"
                             "movups [rdx], xmm1; hlt");

CASE(mmio, sixteen_bytes, "accesses wider than 8 bytes arrive as two")
{
    static const uint64_t halves[2] = {0x1111222233334444u, 0x5555666677778888u};

    x86_start(g, &(struct x86_setup){.mode = X86_LONG,
                                     .load = 0x1000,
                                     .code = &store_xmm,
                                     .regs = {.rsi = 0x2000, .rdi = guest_hole, .rdx = 0x3000},
                                     .memory = {{0x2000, halves, sizeof(halves)}}});
    RUN_TO_MMIO_WRITE(g, guest_hole, 8, halves[0]);
    RUN_TO_MMIO_WRITE(g, guest_hole + 8, 8, halves[1]);
    RUN_TO_MMIO_READ(g, guest_hole + 32, 8, 0xa1a2a3a4a5a6a7a8u);
    RUN_TO_MMIO_READ(g, guest_hole + 40, 8, 0xb1b2b3b4b5b6b7b8u);
    RUN_TO(g, HLT);
    CHECK_EQ(peek(g, 0x3000, 8), 0xa1a2a3a4a5a6a7a8u);
    CHECK_EQ(peek(g, 0x3008, 8), 0xb1b2b3b4b5b6b7b8u);
}
