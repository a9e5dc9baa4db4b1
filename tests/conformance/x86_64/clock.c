/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The paravirtual clock as a guest reads it: kvmclock (kernel, Documentation/virt/kvm/x86/msr.rst
 * and cpuid.rst).
 */
#include "x86.h"

#include <time.h>

#define PAGE       0x3000u
#define OTHER_PAGE 0x3080u
#define WALL       0x3040u
#define MSR_WALL   0x4b564d00u
#define MSR_PAGE   0x4b564d01u
#define FLAGS      29u
#define STOPPED    2u
#define NS_PER_S   1000000000u
#define SLACK      50000000u /* of a host that is stopped between two looks */
#define SOME_TIME  (9000ull * NS_PER_S)

VISOR_GUEST_ASM64(use_clock, "mov ecx, 0x4b564d01; mov eax, 0x3001; xor edx, edx; wrmsr;"
                             "mov ecx, 0x4b564d00; mov eax, 0x3040; wrmsr;"
                             "again: hlt; jmp again");

static void start(struct guest *g)
{
    x86_start(g, &(struct x86_setup){.mode = X86_LONG, .load = 0x1000, .code = &use_clock});
    NEED(g, PV_CLOCK);
    CHECK_OK(visor_vm_set_clock(g->vm, SOME_TIME));
    RUN_TO(g, HLT);
}

/* What the guest would compute now. */
static uint64_t guest_ns(struct guest *g)
{
    int8_t shift = (int8_t)peek(g, PAGE + 28, 1);
    uint64_t ticks;

    CHECK_EQ(peek(g, PAGE, 4) & 1, 0);
    CHECK_OK(visor_x86_get_msr(&ticks, g->vcpu, X86_MSR_TSC));
    ticks -= peek(g, PAGE + 8, 8);
    ticks = shift >= 0 ? ticks << shift : ticks >> -shift;
    return peek(g, PAGE + 16, 8) +
           (uint64_t)((unsigned __int128)ticks * peek(g, PAGE + 24, 4) >> 32);
}

static void check_agrees(struct where where, struct guest *g)
{
    uint64_t before, seen, after;

    CHECK_OK(visor_vm_get_clock(&before, g->vm));
    seen = guest_ns(g);
    CHECK_OK(visor_vm_get_clock(&after, g->vm));
    if (seen + SLACK < before || seen > after + SLACK)
        fail_at(where, "the guest computes %llu ns, the clock said %llu and %llu",
                (unsigned long long)seen, (unsigned long long)before, (unsigned long long)after);
}
#define CHECK_AGREES(g) check_agrees(HERE, g)

CASE(clock, computed, "what the guest computes from its page is the clock")
{
    uint32_t version;

    start(g);
    CHECK_AGREES(g);
    sleep_ms(20);
    CHECK_AGREES(g);
    version = (uint32_t)peek(g, PAGE, 4);
    CHECK_OK(visor_vm_set_clock(g->vm, 2 * SOME_TIME));
    RUN_TO(g, HLT);
    CHECK_AGREES(g);
    CHECK(peek(g, PAGE, 4) > version);
    CHECK(guest_ns(g) >= 2 * SOME_TIME);
}

CASE(clock, speed, "the clock goes as fast as the host's")
{
    uint64_t host, before, after;

    start(g);
    /* A busy host may stop this process between the two, so one good look suffices. */
    for (unsigned attempt = 0; attempt < 10; attempt++) {
        host = now_ns();
        CHECK_OK(visor_vm_get_clock(&before, g->vm));
        sleep_ms(50);
        host = now_ns() - host;
        CHECK_OK(visor_vm_get_clock(&after, g->vm));
        after -= before;
        note("%llu ns, the host's %llu", (unsigned long long)after, (unsigned long long)host);
        if (after > host / 10 * 9 && after < host / 10 * 11)
            return;
    }
    check_eq(HERE, after, host, "what has passed");
}

CASE(clock, other_tsc, "the page follows the vCPU's time-stamp counter")
{
    start(g);
    CHECK_OK(visor_x86_set_tsc(g->vcpu, UINT64_C(1) << 50));
    RUN_TO(g, HLT);
    CHECK_AGREES(g);
    CHECK(guest_ns(g) >= SOME_TIME);
}

/* By IA32_TSC_ADJUST: for writes of IA32_TSC itself Linux 6.1 leaves the page as it is. */
VISOR_GUEST_ASM64(set_tsc, "mov ecx, 0x3b; mov edx, 0x2000; xor eax, eax; wrmsr; nop;"
                           "once: hlt; jmp once");

CASE(clock, own_tsc, "and so it does when the guest sets that")
{
    start(g);
    x86_load(g, g->vcpu, 0x1000, &set_tsc, &(visor_x86_regs){0});
    RUN_TO(g, HLT);
    RUN_TO(g, HLT);
    CHECK_AGREES(g);
}

CASE(clock, wall, "the guest is told when the clock was 0")
{
    uint64_t ns, value;
    int64_t off;

    start(g);
    CHECK_EQ(peek(g, WALL, 4) & 1, 0);
    CHECK_OK(visor_vm_get_clock(&ns, g->vm));
    off = (int64_t)(peek(g, WALL + 4, 4) + ns / NS_PER_S) - (int64_t)time(NULL);
    if (off < -2 || off > 2)
        FAIL("the guest's calendar is %lld s off", (long long)off);
    CHECK(peek(g, WALL + 8, 4) < NS_PER_S);
    CHECK_OK(visor_x86_get_msr(&value, g->vcpu, MSR_WALL));
    CHECK_EQ(value, WALL);
    CHECK_OK(visor_x86_get_msr(&value, g->vcpu, MSR_PAGE));
    CHECK_EQ(value, PAGE | 1);
}

CASE(clock, paused, "the guest is told that it was paused, until it has noted it")
{
    const uint8_t noted = 1;

    start(g);
    CHECK_EQ(peek(g, PAGE + FLAGS, 1) & STOPPED, 0);
    CHECK_OK(visor_vcpu_paused(g->vcpu));
    RUN_TO(g, HLT);
    CHECK_EQ(peek(g, PAGE + FLAGS, 1) & STOPPED, STOPPED);
    CHECK_OK(visor_vm_set_clock(g->vm, SOME_TIME));
    RUN_TO(g, HLT);
    CHECK_EQ(peek(g, PAGE + FLAGS, 1) & STOPPED, STOPPED);
    CHECK_OK(visor_memory_write(g->memory, PAGE + FLAGS, &noted, 1));
    CHECK_OK(visor_vm_set_clock(g->vm, SOME_TIME));
    RUN_TO(g, HLT);
    CHECK_EQ(peek(g, PAGE + FLAGS, 1) & STOPPED, 0);
}

CASE(clock, switched_off, "a page that was given up is left alone, another one is written")
{
    uint64_t zero = 0;

    start(g);
    CHECK_OK(visor_x86_set_msr(g->vcpu, MSR_PAGE, PAGE));
    CHECK_OK(visor_memory_write(g->memory, PAGE + 16, &zero, 8));
    CHECK_OK(visor_vm_set_clock(g->vm, SOME_TIME));
    RUN_TO(g, HLT);
    CHECK_EQ(peek(g, PAGE + 16, 8), 0);
    CHECK_OK(visor_x86_set_msr(g->vcpu, MSR_PAGE, OTHER_PAGE | 1));
    RUN_TO(g, HLT);
    CHECK(peek(g, OTHER_PAGE + 16, 8) >= SOME_TIME);
    CHECK_OK(visor_x86_set_msr(g->vcpu, MSR_PAGE, PAGE | 1));
    RUN_TO(g, HLT);
    CHECK(peek(g, PAGE + 16, 8) >= SOME_TIME);
}

CASE(clock, nowhere, "a page where there is no memory does no harm")
{
    start(g);
    CHECK_OK(visor_x86_set_msr(g->vcpu, MSR_PAGE, 0x10000001));
    CHECK_OK(visor_vm_set_clock(g->vm, SOME_TIME));
    RUN_TO(g, HLT);
    RUN_TO(g, HLT);
}

CASE(clock, moved, "in a restored VM the page agrees with the clock there")
{
    struct buffer buffer = {0};
    const visor_stream stream = buffer_stream(&buffer);
    struct guest twin = {.hv = g->hv};

    start(g);
    NEED(g, SNAPSHOT);
    CHECK_OK(visor_vm_save(g->vm, &stream, NULL));
    x86_create(&twin, visor_memory_size(g->memory), NULL);
    CHECK_OK(visor_x86_configure_cpuid(twin.vcpu, NULL));
    CHECK_OK(visor_vm_restore(twin.vm, &stream, NULL));
    RUN_TO(&twin, HLT);
    check_agrees(HERE, &twin);
    CHECK(guest_ns(&twin) >= SOME_TIME);
    visor_vcpu_free(twin.vcpu);
    visor_vm_free(twin.vm);
    visor_memory_free(twin.memory);
    buffer_free(&buffer);
}

CASE(clock, announced, "CPUID tells the guest of the clock where there is one")
{
    static visor_x86_cpuid_entry entries[256];
    uint32_t features = 0;
    int count;

    x86_start(g, &(struct x86_setup){0});
    NEED(g, PV_CLOCK);
    count = CHECK_OK(visor_x86_supported_cpuid(entries, 256, g->hv));
    for (int i = 0; i < count && i < 256; i++) {
        if (entries[i].function == 0x40000001)
            features = entries[i].eax;
    }
    CHECK_EQ(features >> 3 & 1, 1);
}
