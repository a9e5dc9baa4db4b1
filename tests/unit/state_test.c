/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of state and what comes from it: accessors, reset, dump. Segments and the TSC. */
#include "guest.h"

#include "core/x86.h"
#include "os/cpu.h"

/* The pieces of x86 guests are the first. */
#define X86_PIECES (VISOR__STATE_X86_EVENTS + 1)

/* ---- the tables ---- */

TEST(ranks_are_dense_and_names_fit)
{
    static const visor_arch arches[] = {VISOR_ARCH_X86_64, VISOR_ARCH_AARCH64, VISOR_ARCH_RISCV64};

    for (size_t a = 0; a < sizeof(arches) / sizeof(arches[0]); a++) {
        unsigned pieces = 0;

        for (unsigned i = 0; i < VISOR__STATE_COUNT; i++)
            pieces += visor__states[i].arch == arches[a];
        for (unsigned rank = 0; rank < pieces; rank++) {
            CHECK(visor__state_by_save(arches[a], rank) < VISOR__STATE_COUNT);
            CHECK(visor__state_by_restore(arches[a], rank) < VISOR__STATE_COUNT);
        }
        CHECK_INT(visor__state_by_save(arches[a], pieces), VISOR__STATE_COUNT);
        CHECK_INT(visor__state_by_restore(arches[a], pieces), VISOR__STATE_COUNT);
        CHECK(visor__state_by_name(arches[a], "mp_state") < VISOR__STATE_COUNT);
    }
    for (unsigned i = 0; i < VISOR__STATE_COUNT; i++)
        CHECK(strlen(visor__states[i].name) < 16);
    for (unsigned i = 0; i < VISOR__VM_STATE_COUNT; i++)
        CHECK(strlen(visor__vm_states[i].name) < 16);
}

/* docs/snapshot-format.md: a structure of another size would be another format. */
TEST(sizes_are_those_of_the_format)
{
    static const struct {
        visor_arch arch; /* NATIVE: the VM's own */
        const char *name;
        size_t size;
    } sizes[] = {
#define X VISOR_ARCH_X86_64
        {X, "mp_state", 4},   {X, "cpuid", 28},       {X, "apic_base", 8},      {X, "lapic", 256},
        {X, "regs", 144},     {X, "sregs", 272},      {X, "debugregs", 48},     {X, "xcrs", 136},
        {X, "fpu", 416},      {X, "xsave", 1},        {X, "msrs", 16},          {X, "nested", 1},
        {X, "events", 64},
#undef X
#define A VISOR_ARCH_AARCH64
        {A, "mp_state", 4},   {A, "features", 8},     {A, "firmware", 16},      {A, "sysregs", 16},
        {A, "caches", 16},    {A, "regs", 272},       {A, "fpsimd", 520},       {A, "sve", 1},
        {A, "events", 16},
#undef A
#define R VISOR_ARCH_RISCV64
        {R, "mp_state", 4},   {R, "config", 16},      {R, "isa", 16},           {R, "sbi", 16},
        {R, "sbi_state", 16}, {R, "csrs", 16},        {R, "regs", 272},         {R, "fp", 264},
        {R, "vector", 1},     {R, "timer", 32},
#undef R
        {0, "pit", 104},      {0, "pic_primary", 16}, {0, "pic_secondary", 16}, {0, "ioapic", 216},
        {0, "routes", 32},    {0, "clock", 8},        {0, "irqchip", 24},
    };
    size_t found = 0;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        enum visor__state piece = visor__state_by_name(sizes[i].arch, sizes[i].name);

        if (piece < VISOR__STATE_COUNT)
            found += CHECK_INT(visor__states[piece].size, sizes[i].size);
        for (unsigned k = 0; sizes[i].arch == VISOR_ARCH_NATIVE && k < VISOR__VM_STATE_COUNT; k++) {
            if (strcmp(sizes[i].name, visor__vm_states[k].name) == 0)
                found += CHECK_INT(visor__vm_states[k].size, sizes[i].size);
        }
    }
    CHECK_INT(found, VISOR__STATE_COUNT + VISOR__VM_STATE_COUNT);
}

/* A restored MSR may depend on these: the order is a promise (guests on KVM). */
TEST(restoring_goes_in_the_right_order)
{
    static const enum visor__state before[][2] = {
        {VISOR__STATE_X86_CPUID, VISOR__STATE_X86_SREGS},
        {VISOR__STATE_X86_CPUID, VISOR__STATE_X86_XSAVE},
        {VISOR__STATE_X86_CPUID, VISOR__STATE_X86_MSRS},
        {VISOR__STATE_X86_APIC_BASE, VISOR__STATE_X86_LAPIC},
        {VISOR__STATE_X86_LAPIC, VISOR__STATE_X86_MSRS},
        {VISOR__STATE_X86_SREGS, VISOR__STATE_X86_MSRS},
        {VISOR__STATE_X86_XCRS, VISOR__STATE_X86_XSAVE},
        {VISOR__STATE_X86_FPU, VISOR__STATE_X86_XSAVE},
        {VISOR__STATE_X86_MSRS, VISOR__STATE_X86_NESTED},
        {VISOR__STATE_X86_REGS, VISOR__STATE_X86_EVENTS},
        {VISOR__STATE_X86_EVENTS, VISOR__STATE_X86_MP_STATE},
        {VISOR__STATE_AARCH64_FEATURES, VISOR__STATE_AARCH64_FIRMWARE},
        {VISOR__STATE_AARCH64_FIRMWARE, VISOR__STATE_AARCH64_SYSREGS},
        {VISOR__STATE_AARCH64_FPSIMD, VISOR__STATE_AARCH64_SVE}, /* which clears what is above */
        {VISOR__STATE_AARCH64_EVENTS, VISOR__STATE_AARCH64_MP_STATE},
    };

    for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++)
        CHECK(visor__states[before[i][0]].restore < visor__states[before[i][1]].restore);
    CHECK_INT(visor__states[VISOR__STATE_X86_MP_STATE].save, 0);
}

TEST(errors_can_be_put_into_context)
{
    CHECK_INT(visor__error(VISOR_EINVAL, "b", "op", "detail %d", 1), VISOR_EINVAL);
    CHECK_INT(visor__error_context("vCPU %d", 3), VISOR_EINVAL);
    CHECK_STR(visor_error_last()->detail, "vCPU 3: detail 1");
    CHECK_STR(visor_error_last()->operation, "op");
    CHECK_INT(visor__error(VISOR_EINVAL, "", "", "%s", ""), VISOR_EINVAL);
    CHECK_INT(visor__error_context("outer"), VISOR_EINVAL);
    CHECK_STR(visor_error_last()->detail, "outer");
}

/* ---- segments ---- */

static void check_round_trip(uint64_t descriptor)
{
    visor_x86_segment segment;
    uint64_t again = 0;

    visor_x86_segment_from_descriptor(&segment, descriptor, 0x10);
    if (CHECK_OK(visor_x86_segment_to_descriptor(&again, &segment)) &&
        !CHECK_INT(again, descriptor))
        printf("#   descriptor 0x%" PRIx64 "\n", descriptor);
}

TEST(known_segments)
{
    visor_x86_segment s;

    visor_x86_segment_from_descriptor(&s, 0x00cf9b000000ffff, 0x08); /* flat 32-bit code */
    CHECK_INT(s.base, 0);
    CHECK_INT(s.limit, 0xffffffff);
    CHECK_INT(s.selector, 8);
    CHECK_INT(s.type, 11);
    CHECK_INT(s.s, 1);
    CHECK_INT(s.dpl, 0);
    CHECK_INT(s.present, 1);
    CHECK_INT(s.db, 1);
    CHECK_INT(s.l, 0);
    CHECK_INT(s.g, 1);
    CHECK_INT(s.unusable, 0);
    visor_x86_segment_from_descriptor(&s, 0x00affb000000ffff, 0x33); /* 64-bit user code */
    CHECK_INT(s.l, 1);
    CHECK_INT(s.db, 0);
    CHECK_INT(s.dpl, 3);
    visor_x86_segment_from_descriptor(&s, 0x1200f234567889ab, 0); /* base in three parts */
    CHECK_INT(s.base, 0x12345678);
    CHECK_INT(s.limit, 0x089ab);
    visor_x86_segment_from_descriptor(&s, 0, 0);
    CHECK_INT(s.unusable, 1);
    visor_x86_segment_from_descriptor(&s, 0x008f9b0000000000, 0); /* the smallest in pages */
    CHECK_INT(s.limit, 0xf0000fff);
}

TEST(descriptors_survive_the_way_to_segments_and_back)
{
    uint64_t random = 88172645463325252;

    for (unsigned bit = 0; bit < 64; bit++) {
        check_round_trip((uint64_t)1 << bit);
        check_round_trip(~((uint64_t)1 << bit));
    }
    for (int i = 0; i < 100000 && !atomic_load(&unit_failed); i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        check_round_trip(random);
    }
}

TEST(limits_that_no_descriptor_holds_are_refused)
{
    visor_x86_segment s = {.limit = 0xfffff};
    uint64_t descriptor = 42;

    CHECK_OK(visor_x86_segment_to_descriptor(&descriptor, &s));
    CHECK_INT(descriptor, 0x000f00000000ffff);
    s.limit = 0x100000;
    CHECK_INT(visor_x86_segment_to_descriptor(&descriptor, &s), VISOR_ERANGE);
    CHECK_INT(descriptor, 0x000f00000000ffff);
    s.g = 1;
    s.limit = 0x100fff;
    CHECK_OK(visor_x86_segment_to_descriptor(&descriptor, &s));
    CHECK_INT(descriptor, 0x0080000000000100);
    s.limit = UINT32_MAX;
    CHECK_OK(visor_x86_segment_to_descriptor(&descriptor, &s));
    CHECK_INT(descriptor, 0x008f00000000ffff);
}

/* ---- accessors ---- */

static bool make_guest(struct guest *guest, visor_irqchip irqchip)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;

    config.arch = VISOR_ARCH_X86_64;
    config.irqchip = irqchip;
    return guest_create(guest, &config);
}

#define CHECK_PIECE(name)                                    \
    do {                                                     \
        visor_x86_##name wanted, is;                         \
                                                             \
        memset(&wanted, 0x5a, sizeof(wanted));               \
        CHECK_OK(visor_x86_set_##name(guest.vcpu, &wanted)); \
        CHECK_OK(visor_x86_get_##name(&is, guest.vcpu));     \
        CHECK(memcmp(&wanted, &is, sizeof(is)) == 0);        \
    } while (0)

TEST(what_is_set_can_be_got)
{
    struct guest guest;
    visor_mp_state state;
    uint8_t image[NULL_XSAVE_SIZE + 1] = {1, 2, 3}, again[NULL_XSAVE_SIZE];
    visor_x86_xcrs xcrs = {.count = 8};
    visor_x86_lapic lapic, lapic_is;

    if (!make_guest(&guest, VISOR_IRQCHIP_KERNEL))
        return;
    CHECK_PIECE(regs);
    CHECK_PIECE(sregs);
    CHECK_PIECE(fpu);
    CHECK_PIECE(debugregs);
    CHECK_PIECE(events);
    CHECK_OK(visor_x86_get_lapic(&lapic, guest.vcpu));
    lapic.regs[0x8] = lapic.regs[0xa] = 0x5a; /* task priority, and so the processor's */
    lapic.regs[0xf] = 0x1fe;                  /* spurious vector */
    CHECK_OK(visor_x86_set_lapic(guest.vcpu, &lapic));
    CHECK_OK(visor_x86_get_lapic(&lapic_is, guest.vcpu));
    CHECK(memcmp(&lapic, &lapic_is, sizeof(lapic)) == 0);
    CHECK_OK(visor_x86_set_xcrs(guest.vcpu, &xcrs));
    xcrs.count = 9;
    CHECK_INT(visor_x86_set_xcrs(guest.vcpu, &xcrs), VISOR_EINVAL);
    CHECK_OK(visor_x86_get_xcrs(&xcrs, guest.vcpu));
    CHECK_INT(xcrs.count, 8);

    CHECK_OK(visor_x86_set_xsave(guest.vcpu, image, NULL_XSAVE_SIZE));
    CHECK_INT(visor_x86_set_xsave(guest.vcpu, image, NULL_XSAVE_SIZE + 1), VISOR_EMISMATCH);
    CHECK_INT(visor_x86_set_xsave(guest.vcpu, image, NULL_XSAVE_SIZE - 1), VISOR_EMISMATCH);
    memset(again, 0xee, sizeof(again));
    CHECK_INT(visor_x86_get_xsave(again, sizeof(again) - 1, guest.vcpu), NULL_XSAVE_SIZE);
    CHECK_INT(again[0], 0xee);
    CHECK_INT(visor_x86_get_xsave(again, sizeof(again), guest.vcpu), NULL_XSAVE_SIZE);
    CHECK(memcmp(image, again, sizeof(again)) == 0);

    CHECK_OK(visor_vcpu_set_mp_state(guest.vcpu, VISOR_MP_HALTED));
    CHECK_OK(visor_vcpu_get_mp_state(&state, guest.vcpu));
    CHECK_INT(state, VISOR_MP_HALTED);
    CHECK_INT(visor_vcpu_set_mp_state(guest.vcpu, (visor_mp_state)6), VISOR_EINVAL);
    guest_free(&guest);
}

TEST(chips_of_the_vm)
{
    struct guest guest;
    visor_x86_pic primary = {.irr = 1}, secondary = {.irr = 2, .imr = 2}, pic;
    visor_x86_ioapic ioapic = {.redirect = {[23] = 7}}, ioapic_is;
    visor_x86_pit pit = {.flags = 3}, pit_is;

    if (!make_guest(&guest, VISOR_IRQCHIP_KERNEL))
        return;
    CHECK_OK(visor_x86_set_pic(guest.vm, false, &primary));
    CHECK_OK(visor_x86_set_pic(guest.vm, true, &secondary));
    CHECK_OK(visor_x86_get_pic(&pic, guest.vm, false));
    CHECK_INT(pic.irr, 1);
    CHECK_OK(visor_x86_get_pic(&pic, guest.vm, true));
    CHECK_INT(pic.irr, 2);
    CHECK_OK(visor_x86_set_ioapic(guest.vm, &ioapic));
    CHECK_OK(visor_x86_get_ioapic(&ioapic_is, guest.vm));
    CHECK_INT(ioapic_is.redirect[23], 7);
    CHECK_OK(visor_x86_set_pit(guest.vm, &pit));
    CHECK_OK(visor_x86_get_pit(&pit_is, guest.vm));
    CHECK_INT(pit_is.flags, 3);
    guest_free(&guest);
    if (!make_guest(&guest, VISOR_IRQCHIP_SPLIT))
        return;
    CHECK_INT(visor_x86_get_pic(&pic, guest.vm, false), VISOR_EUNSUPPORTED);
    CHECK_INT(visor_x86_set_pit(guest.vm, &pit), VISOR_EUNSUPPORTED);
    guest_free(&guest);
}

TEST(lists_say_how_many_there_are)
{
    struct guest guest;
    visor_x86_cpuid_entry entries[2] = {{.function = 1, .eax = 2}, {.function = 7}}, is[2];
    visor_x86_msr msrs[NULL_MSRS];
    uint32_t indices[NULL_MSRS];

    if (!make_guest(&guest, VISOR_IRQCHIP_NONE))
        return;
    CHECK_INT(visor_x86_get_cpuid(NULL, 0, guest.vcpu), 0);
    CHECK_OK(visor_x86_set_cpuid(guest.vcpu, entries, 2));
    CHECK_INT(visor_x86_get_cpuid(NULL, 0, guest.vcpu), 2);
    memset(is, 0, sizeof(is));
    CHECK_INT(visor_x86_get_cpuid(is, 1, guest.vcpu), 2);
    CHECK_INT(is[0].eax, 2);
    CHECK_INT(is[1].function, 0);
    CHECK_INT(visor_x86_set_cpuid(guest.vcpu, entries, 100000), VISOR_ELIMIT);

    CHECK_INT(visor_x86_msr_list(NULL, 0, guest.hv), NULL_MSRS);
    CHECK_INT(visor_x86_msr_list(indices, NULL_MSRS, guest.hv), NULL_MSRS);
    CHECK_INT(visor_x86_get_all_msrs(NULL, 0, guest.vcpu), NULL_MSRS);
    CHECK_INT(visor_x86_get_all_msrs(msrs, NULL_MSRS, guest.vcpu), NULL_MSRS);
    for (size_t i = 0; i < NULL_MSRS; i++) {
        CHECK_INT(msrs[i].index, indices[i]);
        CHECK_INT(msrs[i].value, null_msrs[i].value);
    }
    guest_free(&guest);
}

TEST(msr_exits_are_checked)
{
    struct guest guest;
    visor_x86_msr_range ranges[17];

    if (!make_guest(&guest, VISOR_IRQCHIP_NONE))
        return;
    for (size_t i = 0; i < 17; i++)
        ranges[i] = (visor_x86_msr_range){.first = 0x100 * (uint32_t)i, .count = 1, .reads = true};
    CHECK_OK(visor_x86_set_msr_exits(guest.vm, ranges, 16, false));
    CHECK_OK(visor_x86_set_msr_exits(guest.vm, NULL, 0, true));
    CHECK_INT(visor_x86_set_msr_exits(guest.vm, ranges, 17, false), VISOR_ELIMIT);
    ranges[0].count = 12288;
    CHECK_OK(visor_x86_set_msr_exits(guest.vm, ranges, 1, false));
    ranges[0].count = 12289;
    CHECK_INT(visor_x86_set_msr_exits(guest.vm, ranges, 1, false), VISOR_ELIMIT);
    ranges[0].count = 0;
    CHECK_INT(visor_x86_set_msr_exits(guest.vm, ranges, 1, false), VISOR_EINVAL);
    ranges[0] = (visor_x86_msr_range){.first = UINT32_MAX, .count = 2};
    CHECK_INT(visor_x86_set_msr_exits(guest.vm, ranges, 1, false), VISOR_EINVAL);
    ranges[0].count = 1;
    CHECK_OK(visor_x86_set_msr_exits(guest.vm, ranges, 1, false));
    guest_free(&guest);
}

/* ---- reset ---- */

TEST(public_reset_values)
{
    visor_x86_regs regs;
    visor_x86_sregs sregs;
    visor_x86_fpu fpu;

    visor_x86_reset_regs(&regs);
    CHECK(memcmp(&regs, &(visor_x86_regs){.rip = 0xfff0, .rflags = 2}, sizeof(regs)) == 0);
    visor_x86_reset_sregs(&sregs);
    CHECK_INT(sregs.cs.base, 0xffff0000);
    CHECK_INT(sregs.cs.selector, 0xf000);
    CHECK_INT(sregs.cs.limit, 0xffff);
    CHECK_INT(sregs.cs.type, 11);
    CHECK_INT(sregs.ss.type, 3);
    CHECK_INT(sregs.tr.type, 11);
    CHECK_INT(sregs.tr.s, 0);
    CHECK_INT(sregs.ldt.type, 2);
    CHECK_INT(sregs.idt.limit, 0xffff);
    CHECK_INT(sregs.cr0, 0x60000010);
    CHECK_INT(sregs.cr3 | sregs.cr4 | sregs.efer, 0);
    visor_x86_reset_fpu(&fpu);
    CHECK_INT(fpu.fcw, 0x37f);
    CHECK_INT(fpu.mxcsr, 0x1f80);
    CHECK_INT(fpu.ftw, 0);
}

TEST(a_reset_reaches_every_piece)
{
    struct guest guest;
    visor_vcpu *second;
    uint8_t fresh[X86_PIECES][1024], pattern[1024];
    int lengths[X86_PIECES];
    const visor_x86_cpuid_entry cpuid = {.function = 1, .eax = 0x806ea};
    visor_mp_state state;
    visor_x86_lapic lapic;
    visor_x86_regs regs;

    if (!make_guest(&guest, VISOR_IRQCHIP_KERNEL))
        return;
    CHECK_OK(visor_vcpu_create(&second, guest.vm, 1));
    /* What a reset does to a fresh vCPU, and to one that has been messed up, is the same. */
    CHECK_OK(visor_vcpu_reset(guest.vcpu));
    for (unsigned i = 0; i < X86_PIECES; i++)
        lengths[i] = visor__state_get(fresh[i], sizeof(fresh[i]), guest.vcpu, (enum visor__state)i);
    memset(pattern, 0x33, sizeof(pattern));
    for (unsigned i = 0; i < X86_PIECES; i++) {
        enum visor__state piece = (enum visor__state)i;

        /* These have rules of their own, or stay as they are. */
        if (piece == VISOR__STATE_X86_CPUID || piece == VISOR__STATE_X86_MSRS ||
            piece == VISOR__STATE_X86_NESTED || piece == VISOR__STATE_X86_EVENTS ||
            piece == VISOR__STATE_X86_LAPIC || piece == VISOR__STATE_X86_XSAVE)
            continue;
        pattern[0] = piece == VISOR__STATE_X86_APIC_BASE ? 0 : 3;
        memset(pattern + 1, piece == VISOR__STATE_X86_MP_STATE ? 0 : 0x33, 3);
        if (piece == VISOR__STATE_X86_XCRS)
            memset(pattern + 1, 0, 3);
        if (piece == VISOR__STATE_X86_APIC_BASE)
            memset(pattern + 1, 0, 7);
        CHECK_OK(visor__state_set(guest.vcpu, piece, pattern, visor__states[piece].size, NULL));
    }
    CHECK_OK(visor_x86_set_msr(guest.vcpu, 0x277, 1));
    CHECK_OK(visor_x86_set_msr(guest.vcpu, 0xc0000081, 1));
    CHECK_OK(visor_x86_set_nested_state(guest.vcpu, "nested", 6));
    CHECK_OK(visor_vcpu_reset(guest.vcpu));
    for (unsigned i = 0; i < X86_PIECES; i++) {
        uint8_t now[1024];
        int length = visor__state_get(now, sizeof(now), guest.vcpu, (enum visor__state)i);

        if (!CHECK_INT(length, lengths[i]) || !CHECK(memcmp(now, fresh[i], (size_t)length) == 0))
            printf("#   %s\n", visor__states[i].name);
    }

    /* The signature of the processor; CPUID stays. */
    CHECK_OK(visor_x86_set_cpuid(second, &cpuid, 1));
    CHECK_OK(visor_vcpu_reset(second));
    CHECK_OK(visor_x86_get_regs(&regs, second));
    CHECK_INT(regs.rdx, 0x806ea);
    CHECK_INT(regs.rip, 0xfff0);
    CHECK_OK(visor_vcpu_get_mp_state(&state, second));
    CHECK_INT(state, VISOR_MP_UNINITIALIZED);
    CHECK_OK(visor_vcpu_get_mp_state(&state, guest.vcpu));
    CHECK_INT(state, VISOR_MP_RUNNABLE);

    /* LVT entries as the version register counts them, all masked. */
    lapic = (visor_x86_lapic){.regs = {[2] = 9u << 24, [0xf] = 0x1ff, [0x32] = 0x31, [0x35] = 1}};
    CHECK_OK(visor_x86_set_lapic(second, &lapic));
    CHECK_OK(visor_vcpu_reset(second));
    CHECK_OK(visor_x86_get_lapic(&lapic, second));
    CHECK_INT(lapic.regs[2], 1 << 24);
    CHECK_INT(lapic.regs[3], 0x50014);
    CHECK_INT(lapic.regs[0xe], UINT32_MAX);
    CHECK_INT(lapic.regs[0xf], 0xff);
    for (unsigned i = 0x32; i <= 0x37; i++)
        CHECK_INT(lapic.regs[i], 0x10000);
    CHECK_INT(lapic.regs[0x2f], 0);
    visor_vcpu_free(second);
    guest_free(&guest);
}

TEST(a_reset_empties_the_events_and_keeps_what_is_reported)
{
    struct guest guest;
    visor_x86_events events = {.exception = {.injected = 1, .has_pending = 1, .pending = 1},
                               .interrupt = {.has_shadow = 1, .shadow = 1},
                               .nmi = {.masked = 1},
                               .has_sipi_vector = 1,
                               .sipi_vector = 9};
    const visor_x86_events empty = {
        .exception = {.has_pending = 1}, .interrupt = {.has_shadow = 1}, .has_sipi_vector = 1};
    uint8_t image[NULL_XSAVE_SIZE];

    if (!make_guest(&guest, VISOR_IRQCHIP_NONE))
        return;
    CHECK_OK(visor_x86_set_events(guest.vcpu, &events));
    memset(image, 0x77, sizeof(image));
    CHECK_OK(visor_x86_set_xsave(guest.vcpu, image, sizeof(image)));
    CHECK_OK(visor_vcpu_reset(guest.vcpu));
    CHECK_OK(visor_x86_get_events(&events, guest.vcpu));
    CHECK(memcmp(&events, &empty, sizeof(events)) == 0);
    CHECK_INT(visor_x86_get_xsave(image, sizeof(image), guest.vcpu), sizeof(image));
    CHECK_INT(image[0] | image[1] << 8, 0x37f);
    CHECK_INT(image[24] | image[25] << 8, 0x1f80);
    CHECK_INT(image[28], 0x77); /* MXCSR_MASK is the processor's */
    CHECK_INT(image[512], 3);   /* x87 and SSE are there */
    CHECK_INT(image[513], 0);
    guest_free(&guest);
}

TEST(a_reset_drops_a_pending_access)
{
    struct guest guest;
    visor_x86_regs regs;

    if (!make_guest(&guest, VISOR_IRQCHIP_NONE))
        return;
    GUEST_LOAD(&guest, NULL_REP_IN(3, 0x10, 1));
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_IO);
    CHECK_OK(visor_vcpu_reset(guest.vcpu));
    CHECK_INT(visor_vcpu_settle(guest.vcpu), VISOR_EXIT_NONE);
    CHECK_OK(visor_x86_get_regs(&regs, guest.vcpu));
    CHECK_INT(regs.rip, 0xfff0);
    CHECK_INT(regs.rax, 0);
    guest_free(&guest);
}

/* ---- dump ---- */

struct lines {
    unsigned count;
    bool seen[X86_PIECES];
    bool newline;
};

static void look(void *context, const char *line)
{
    struct lines *lines = context;

    lines->count++;
    lines->newline |= strchr(line, '\n') != NULL;
    for (unsigned i = 0; i < X86_PIECES; i++) {
        size_t length = strlen(visor__states[i].name);

        if (strncmp(line, visor__states[i].name, length) == 0 && line[length] == ' ')
            lines->seen[i] = true;
    }
}

TEST(a_dump_shows_every_piece)
{
    struct guest guest;
    struct lines lines = {0};
    const visor_x86_cpuid_entry cpuid = {.function = 1};
    const visor_x86_lapic lapic = {.regs = {1}};

    if (!make_guest(&guest, VISOR_IRQCHIP_KERNEL))
        return;
    CHECK_OK(visor_x86_set_cpuid(guest.vcpu, &cpuid, 1));
    CHECK_OK(visor_x86_set_lapic(guest.vcpu, &lapic));
    CHECK_OK(visor_x86_set_nested_state(guest.vcpu, "nested", 6));
    CHECK_OK(visor_vcpu_dump(guest.vcpu, look, &lines));
    for (unsigned i = 0; i < X86_PIECES; i++) {
        if (!CHECK(lines.seen[i]))
            printf("#   %s\n", visor__states[i].name);
    }
    CHECK(lines.count > 50);
    CHECK(!lines.newline);
    guest_free(&guest);
}

/* ---- TSC ---- */

TEST(without_help_of_the_backend_the_offset_comes_from_the_msr)
{
    struct guest guest;
    struct visor__x86_ops ops = null_x86_ops;
    const struct visor_backend *real;
    struct visor_backend backend;
    uint64_t before, after, offset, guest_tsc;

    if (!visor__cpu_tsc(&before))
        SKIP("no time-stamp counter on this host");
    if (!make_guest(&guest, VISOR_IRQCHIP_NONE))
        return;
    real = guest.hv->backend;
    backend = *real;
    ops.get_tsc_offset = NULL;
    ops.set_tsc_offset = NULL;
    ops.get_tsc_hz = NULL;
    backend.x86 = &ops;
    guest.hv->backend = &backend;

    /* The null backend's counter stands still at what it was set to. */
    CHECK_OK(visor_x86_set_tsc(guest.vcpu, 1000));
    visor__cpu_tsc(&before);
    CHECK_OK(visor_x86_get_tsc_offset(&offset, guest.vcpu));
    visor__cpu_tsc(&after);
    CHECK(1000 - offset >= before && 1000 - offset <= after);

    visor__cpu_tsc(&before);
    CHECK_OK(visor_x86_set_tsc_offset(guest.vcpu, (uint64_t)-500));
    visor__cpu_tsc(&after);
    CHECK_OK(visor_x86_get_msr(&guest_tsc, guest.vcpu, VISOR__MSR_TSC));
    CHECK(guest_tsc + 500 >= before && guest_tsc + 500 <= after);
    CHECK_INT(visor_x86_get_tsc_hz(&offset, guest.vcpu), VISOR_ENOENT);
    guest.hv->backend = real;
    guest_free(&guest);
}

UNIT_MAIN()
