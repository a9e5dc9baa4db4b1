/* SPDX-License-Identifier: BSD-3-Clause */
/* Port I/O. */
#include <pthread.h>
#include <stdatomic.h>

#include "x86.h"

VISOR_GUEST_ASM16(out_in_add, "out 0x10, al; in al, 0x20; add ax, bx; hlt");

CASE(pio, exit, "one byte out, one byte in")
{
    x86_start(g, &(struct x86_setup){
                     .load = 0x1000, .code = &out_in_add, .regs = {.rax = 0x34, .rbx = 0x42}});
    RUN_TO_OUT(g, 0x10, 1, 0x34);
    RUN_TO_IN(g, 0x20, 1, 2 * 0x34);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 0xaa);
}

CASE(pio, unanswered_read, "a port that nobody answers reads as zero")
{
    x86_start(g, &(struct x86_setup){
                     .load = 0x1000, .code = &out_in_add, .regs = {.rax = 0x34, .rbx = 0x42}});
    RUN_TO_OUT(g, 0x10, 1, 0x34);
    RUN_TO(g, IO);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 0x42);
}

VISOR_GUEST_ASM16(rep_string, "cld; mov dx, 0x80; mov di, 0x100; mov cx, 5; rep insb;"
                              "mov si, 0x100; mov dx, 0x80; mov cx, 5; rep outsb;"
                              "mov cx, 0x5678; hlt");

CASE(pio, rep_string, "repeated string I/O arrives element by element, in order")
{
    static const uint8_t expected[5] = {0, 1, 2, 3, 4};
    visor_x86_regs regs;
    uint8_t bytes[5];

    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &rep_string, .regs = {.rax = 0x1234}});
    for (unsigned i = 0; i < 5; i++)
        RUN_TO_IN(g, 0x80, 1, i);
    for (unsigned i = 0; i < 5; i++)
        RUN_TO_OUT(g, 0x80, 1, i);
    RUN_TO(g, HLT);
    CHECK_OK(visor_memory_read(bytes, g->memory, 0x100, sizeof(bytes)));
    CHECK_BYTES(bytes, expected, sizeof(bytes));
    regs = x86_regs(g->vcpu);
    CHECK_EQ(regs.rax, 0x1234);
    CHECK_EQ(regs.rcx, 0x5678);
}

VISOR_GUEST_ASM16(rep_wide, "cld; mov dx, 0x80; mov di, 0x200; mov cx, 3; rep insw;"
                            "mov cx, 2; rep insd;"
                            "std; mov si, 0x200 + 4; mov cx, 3; rep outsw;"
                            "cld; mov si, 0x206; mov cx, 2; rep outsd; hlt");

CASE(pio, rep_string_wide, "words and doublewords, and backwards")
{
    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &rep_wide});
    for (unsigned i = 0; i < 3; i++)
        RUN_TO_IN(g, 0x80, 2, 0x1100u + i);
    for (unsigned i = 0; i < 2; i++)
        RUN_TO_IN(g, 0x80, 4, 0x22220000u + i);
    for (unsigned i = 3; i-- > 0;)
        RUN_TO_OUT(g, 0x80, 2, 0x1100u + i);
    for (unsigned i = 0; i < 2; i++)
        RUN_TO_OUT(g, 0x80, 4, 0x22220000u + i);
    RUN_TO(g, HLT);
    CHECK_EQ(peek(g, 0x200, 8), 0x0000110211011100u);
}

VISOR_GUEST_ASM16(rep_long, "cld; mov dx, 0x80; mov di, 0x2000; mov cx, 5000; rep insb; hlt");

CASE(pio, rep_string_long, "more elements than a page of the hypervisor's buffer holds")
{
    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &rep_long});
    for (unsigned i = 0; i < 5000; i++)
        RUN_TO_IN(g, 0x80, 1, i % 251);
    RUN_TO(g, HLT);
    for (unsigned i = 0; i < 5000; i++)
        CHECK_EQ(peek(g, 0x2000 + i, 1), i % 251);
    CHECK_EQ(peek(g, 0x2000 + 5000, 1), 0);
    CHECK_EQ(x86_regs(g->vcpu).rcx, 0);
}

VISOR_GUEST_ASM16(four_outs, "mov ax, 0; inc ax; out 1, ax; inc ax; out 2, al; inc ax; mov dx, ax;"
                             "out dx, ax; inc ax; inc dx; out dx, al; hlt");

CASE(pio, out_forms, "immediate and DX ports, bytes and words")
{
    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &four_outs});
    RUN_TO_OUT(g, 1, 2, 1);
    RUN_TO_OUT(g, 2, 1, 2);
    RUN_TO_OUT(g, 3, 2, 3);
    RUN_TO_OUT(g, 4, 1, 4);
    RUN_TO(g, HLT);
}

VISOR_GUEST_ASM16(four_ins, "in ax, 1; mov si, ax; mov ax, 0; in al, 2; mov bx, ax; mov dx, 3;"
                            "in ax, dx; mov cx, ax; inc dx; mov ax, 0; in al, dx; mov dx, ax;"
                            "mov ax, si; hlt");

CASE(pio, in_forms, "the same for reads")
{
    visor_x86_regs regs;

    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &four_ins});
    RUN_TO_IN(g, 1, 2, 0x0101);
    RUN_TO_IN(g, 2, 1, 0x02);
    RUN_TO_IN(g, 3, 2, 0x0303);
    RUN_TO_IN(g, 4, 1, 0x04);
    RUN_TO(g, HLT);
    regs = x86_regs(g->vcpu);
    CHECK_EQ(regs.rax, 0x0101);
    CHECK_EQ(regs.rbx, 0x02);
    CHECK_EQ(regs.rcx, 0x0303);
    CHECK_EQ(regs.rdx, 0x04);
}

VISOR_GUEST_ASM16(dword_io, "out 0x30, eax; mov edx, 0; in eax, 0x31; hlt");

CASE(pio, dwords, "four bytes at once, upper half intact")
{
    x86_start(g,
              &(struct x86_setup){.load = 0x1000, .code = &dword_io, .regs = {.rax = 0xfedcba98}});
    RUN_TO_OUT(g, 0x30, 4, 0xfedcba98);
    RUN_TO_IN(g, 0x31, 4, 0x89abcdef);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 0x89abcdef);
}

VISOR_GUEST_ASM16(high_ports, "mov dx, 0xffff; out dx, al; in al, dx; hlt");

CASE(pio, highest_port, "port 0xffff")
{
    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &high_ports, .regs = {.rax = 0x5a}});
    RUN_TO_OUT(g, 0xffff, 1, 0x5a);
    RUN_TO_IN(g, 0xffff, 1, 0xa5);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 0xa5);
}

VISOR_GUEST_ASM16(mmio_then_pio, "mov [ebx], al; mov al, [ecx]; out 0x19, al; in al, 0x20; hlt");

CASE(pio, after_mmio, "MMIO and port accesses mixed, each completed before the next")
{
    x86_start(g, &(struct x86_setup){.ram = 0x2000,
                                     .load = 0x1000,
                                     .code = &mmio_then_pio,
                                     .regs = {.rax = 0x33, .rbx = 0x3000, .rcx = 0x3010}});
    RUN_TO_MMIO_WRITE(g, 0x3000, 1, 0x33);
    RUN_TO_MMIO_READ(g, 0x3010, 1, 0x66);
    RUN_TO_OUT(g, 0x19, 1, 0x66);
    RUN_TO_IN(g, 0x20, 1, 0x77);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 0x77);
}

VISOR_GUEST_ASM16(counting, "1: out 0x10, ax; in ax, 0x12; inc ax; jmp 1b");

struct kicker {
    visor_vcpu *vcpu;
    atomic_bool stop;
};

static void *kick_all_the_time(void *argument)
{
    struct kicker *kicker = argument;
    unsigned seed = 1;

    while (!atomic_load(&kicker->stop)) {
        seed = seed * 1103515245u + 12345u;
        for (volatile unsigned i = (seed >> 16) % 2000; i > 0; i--)
            continue;
        visor_vcpu_kick(kicker->vcpu);
    }
    return NULL;
}

/* The write that is due, or the read; on from kicks. */
static visor_io *next_access(struct guest *g, bool is_write)
{
    visor_io *io = &visor_vcpu_exit(g->vcpu)->io;
    int reason;

    do
        reason = CHECK_OK(visor_vcpu_run(g->vcpu));
    while (reason == VISOR_EXIT_KICKED || reason == VISOR_EXIT_INTR);
    if (reason != VISOR_EXIT_IO || io->is_write != is_write)
        UNEXPECTED(g);
    return io;
}

CASE(pio, kicked, "kicks lose no access, wherever they come")
{
    static struct kicker kicker;
    const uint64_t end = now_ns() + 700000000u;
    unsigned rounds = 0;
    pthread_t thread;

    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &counting});
    kicker.vcpu = g->vcpu;
    if (pthread_create(&thread, NULL, kick_all_the_time, &kicker) != 0)
        FAIL("cannot make a thread");
    for (; rounds == 0 || (rounds < 20000 && now_ns() < end); rounds++) {
        CHECK_EQ(visor_io_value(next_access(g, true)), rounds & 0xffff);
        visor_io_set_value(next_access(g, false), rounds & 0xffff);
    }
    atomic_store(&kicker.stop, true);
    pthread_join(thread, NULL);
    note("%u writes and reads", rounds);
}

CASE(pio, string_kicked, "nor do they between the elements of a string")
{
    static struct kicker kicker;
    pthread_t thread;

    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &rep_long});
    kicker.vcpu = g->vcpu;
    if (pthread_create(&thread, NULL, kick_all_the_time, &kicker) != 0)
        FAIL("cannot make a thread");
    for (unsigned i = 0; i < 5000; i++)
        visor_io_set_value(next_access(g, false), i % 251);
    atomic_store(&kicker.stop, true);
    pthread_join(thread, NULL);
    while (CHECK_OK(visor_vcpu_run(g->vcpu)) != VISOR_EXIT_HLT) {
        if (visor_vcpu_exit(g->vcpu)->reason != VISOR_EXIT_KICKED &&
            visor_vcpu_exit(g->vcpu)->reason != VISOR_EXIT_INTR)
            UNEXPECTED(g);
    }
    for (unsigned i = 0; i < 5000; i++)
        CHECK_EQ(peek(g, 0x2000 + i, 1), i % 251);
}

VISOR_GUEST_ASM16(out_often, "mov dx, 0x80; mov cx, 600; again: out dx, ax; inc ax; loop again;"
                             "out 0x81, ax; in al, dx; hlt");

struct collected {
    unsigned count, wrong;
};

static int count_collected(void *context, visor_vcpu *vcpu, visor_io *io)
{
    struct collected *collected = context;

    (void)vcpu;
    if (io->space != VISOR_PIO || io->address != 0x80 || io->length != 2 || !io->is_write ||
        visor_io_value(io) != 7 + collected->count)
        collected->wrong++;
    collected->count++;
    return VISOR_IO_DONE;
}

CASE(pio, coalesced, "writes to a port are collected, all and in order, and only in its range")
{
    visor_io_range range = VISOR_IO_RANGE_INIT;
    struct collected collected = {0};

    x86_start(g, &(struct x86_setup){.load = 0x1000, .code = &out_often, .regs = {.rax = 7}});
    NEED(g, IO_COALESCE);
    range.space = VISOR_PIO;
    range.address = 0x80;
    range.length = 2;
    range.handler = count_collected;
    range.context = &collected;
    range.coalesce = true;
    CHECK_OK(visor_vm_map_io(g->vm, &range));
    RUN_TO_OUT(g, 0x81, 2, 607);
    CHECK_EQ(collected.count, 600);
    CHECK_EQ(collected.wrong, 0);
    RUN_TO(g, HLT);
    CHECK_EQ(collected.count, 601); /* the read */
}
