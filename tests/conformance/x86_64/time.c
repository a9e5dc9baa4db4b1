/* SPDX-License-Identifier: BSD-3-Clause */
/* Clocks: the time stamp counter and its offset, the paravirtual clock. */
#include "x86.h"

VISOR_GUEST_ASM16(store_tsc, "rdtsc; mov [ecx + 4], edx; mov [ecx], eax; hlt");

/* About 100 ms at 2.5 GHz. */
#define SLACK 250000000ll

static void check_near(struct where where, uint64_t actual, uint64_t expected, const char *what)
{
    int64_t difference = (int64_t)(actual - expected);

    if (difference < -SLACK || difference > SLACK)
        fail_at(where, "%s is %lld off (0x%llx, expected near 0x%llx)", what, (long long)difference,
                (unsigned long long)actual, (unsigned long long)expected);
}
#define CHECK_NEAR(actual, expected) check_near(HERE, (actual), (expected), #actual)

static uint64_t guest_tsc(struct guest *g)
{
    x86_load(g, g->vcpu, 0x1000, &store_tsc, &(visor_x86_regs){.rcx = 0x3000});
    RUN_TO(g, HLT);
    return peek(g, 0x3000, 8);
}

static uint64_t tsc_offset(struct guest *g)
{
    uint64_t offset;

    CHECK_OK(visor_x86_get_tsc_offset(&offset, g->vcpu));
    return offset;
}

CASE(time, tsc_by_msr, "writing IA32_TSC gives the guest its own counter")
{
    uint64_t now;

    x86_start(g, &(struct x86_setup){.ram = 0x4000});
    NEED(g, X86_TSC_OFFSET);
    now = x86_host_tsc();
    CHECK_OK(visor_x86_set_msr(g->vcpu, X86_MSR_TSC, 0));
    CHECK_NEAR(tsc_offset(g), 0 - now);
    CHECK_NEAR(guest_tsc(g), 0);
}

CASE(time, tsc_offset_zero, "offset 0: the host's counter")
{
    uint64_t now;

    x86_start(g, &(struct x86_setup){.ram = 0x4000});
    NEED(g, X86_TSC_OFFSET);
    now = x86_host_tsc();
    CHECK_OK(visor_x86_set_tsc_offset(g->vcpu, 0));
    CHECK_NEAR(tsc_offset(g), 0);
    CHECK_NEAR(guest_tsc(g), now);
}

CASE(time, tsc_offset_ahead, "an offset of ten seconds")
{
    uint64_t now;

    x86_start(g, &(struct x86_setup){.ram = 0x4000});
    NEED(g, X86_TSC_OFFSET);
    now = x86_host_tsc();
    CHECK_OK(visor_x86_set_tsc_offset(g->vcpu, 25000000000u));
    CHECK_NEAR(tsc_offset(g), 25000000000u);
    CHECK_NEAR(guest_tsc(g), now + 25000000000u);
}

CASE(time, tsc_offset_back, "an offset that takes the guest back to zero")
{
    uint64_t now;

    x86_start(g, &(struct x86_setup){.ram = 0x4000});
    NEED(g, X86_TSC_OFFSET);
    now = x86_host_tsc();
    CHECK_OK(visor_x86_set_tsc_offset(g->vcpu, 0 - now));
    CHECK_NEAR(tsc_offset(g), 0 - now);
    CHECK_NEAR(guest_tsc(g), 0);
}

CASE(time, tsc_set, "the counter can be set; two vCPUs set alike agree")
{
    visor_vcpu *second;
    uint64_t a, b;

    x86_start(g, &(struct x86_setup){.ram = 0x4000});
    NEED(g, X86_TSC_OFFSET);
    CHECK_OK(visor_vcpu_create(&second, g->vm, 1));
    CHECK_OK(visor_x86_set_tsc(g->vcpu, 0x100000000000u));
    CHECK_OK(visor_x86_set_tsc(second, 0x100000000000u));
    CHECK_NEAR(guest_tsc(g), 0x100000000000u);
    CHECK_OK(visor_x86_get_msr(&a, g->vcpu, X86_MSR_TSC));
    CHECK_OK(visor_x86_get_msr(&b, second, X86_MSR_TSC));
    CHECK_NEAR(b, a);
    visor_vcpu_free(second);
}

CASE(time, tsc_hz, "the counter's frequency is what the host's clock says")
{
    uint64_t hz, ticks = 0, begin;

    x86_start(g, &(struct x86_setup){0});
    if (visor_x86_get_tsc_hz(&hz, g->vcpu) == VISOR_ENOENT)
        SKIP("the hypervisor does not know it");
    /* A busy host may stop this process between the two clocks, so one good look suffices. */
    for (unsigned attempt = 0; attempt < 10; attempt++) {
        begin = now_ns();
        ticks = x86_host_tsc();
        sleep_ms(100);
        begin = now_ns() - begin;
        ticks = x86_host_tsc() - ticks;
        ticks = (uint64_t)((double)ticks * 1e9 / (double)begin);
        note("%llu Hz, measured %llu Hz", (unsigned long long)hz, (unsigned long long)ticks);
        if (hz > ticks / 10 * 9 && hz < ticks / 10 * 11)
            return;
    }
    check_eq(HERE, hz, ticks, "the frequency");
}

CASE(time, clock, "the paravirtual clock can be read, set, and goes on")
{
    uint64_t first, second;

    x86_start(g, &(struct x86_setup){0});
    NEED(g, PV_CLOCK);
    CHECK_OK(visor_vm_get_clock(&first, g->vm));
    sleep_ms(2);
    CHECK_OK(visor_vm_get_clock(&second, g->vm));
    CHECK(second > first);
    CHECK_OK(visor_vm_set_clock(g->vm, second + 1000));
    CHECK_OK(visor_vm_set_clock(g->vm, 77000000000000u));
    CHECK_OK(visor_vm_get_clock(&second, g->vm));
    CHECK(second >= 77000000000000u);
    CHECK(second < 77060000000000u);
}

/* kvmclock (kernel, Documentation/virt/kvm/x86/msr.rst): MSR 0x4b564d01 holds the address of the
 * page, bit 0 switches it on. system_time is at 16, ns at tsc_timestamp. */
VISOR_GUEST_ASM64(enable_kvmclock, "mov ecx, 0x4b564d01; mov eax, 0x3001; xor edx, edx; wrmsr;"
                                   "nop; hlt");

CASE(time, clock_seen_by_guest, "the guest's clock page follows the clock that the VMM sets")
{
    x86_start(g, &(struct x86_setup){.mode = X86_LONG, .load = 0x1000, .code = &enable_kvmclock});
    NEED(g, PV_CLOCK);
    CHECK_OK(visor_vm_set_clock(g->vm, 9000000000000u));
    RUN_TO(g, HLT);
    CHECK_EQ(peek(g, 0x3000, 4) & 1, 0); /* version: even when consistent */
    CHECK(peek(g, 0x3000, 4) > 0);
    CHECK(peek(g, 0x3010, 8) >= 9000000000000u);
    CHECK(peek(g, 0x3010, 8) < 9060000000000u);
    CHECK_OK(visor_vcpu_paused(g->vcpu));
}

CASE(time, paused, "a vCPU whose guest has no clock can be told that it was paused")
{
    x86_start(g, &(struct x86_setup){0});
    CHECK_OK(visor_vcpu_paused(g->vcpu));
}
