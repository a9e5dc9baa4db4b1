/* SPDX-License-Identifier: BSD-3-Clause */
/* KVM's x86 structures and the public ones, one into the other and back. */
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "kvm/kvm_x86.h"
#include "kvm/kvm_x86_convert.h"

#define ALL_EVENTS                                                                        \
    (KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |                  \
     KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM | KVM_VCPUEVENT_VALID_PAYLOAD | \
     KVM_VCPUEVENT_VALID_TRIPLE_FAULT)

/* No two bits alike where they could be mixed up. */
static struct kvm_vcpu_events some_events(void)
{
    return (struct kvm_vcpu_events){
        .exception =
            {.injected = 1, .nr = 65, .has_error_code = 1, .pending = 1, .error_code = 110},
        .interrupt = {.injected = 0, .nr = 100, .soft = 1, .shadow = 114},
        .nmi = {.injected = 1, .pending = 1, .masked = 0},
        .sipi_vector = 105,
        .flags = ALL_EVENTS & ~KVM_VCPUEVENT_VALID_TRIPLE_FAULT,
        .smi = {.smm = 1, .pending = 0, .smm_inside_nmi = 1, .latched_init = 100},
        .exception_has_payload = 1,
        .exception_payload = 33,
    };
}

TEST(events_from_kvm)
{
    struct kvm_vcpu_events in = some_events();
    visor_x86_events out;

    kvm_x86_events_from_kvm(&out, &in);
    CHECK_INT(out.exception.injected, 1);
    CHECK_INT(out.exception.vector, 65);
    CHECK_INT(out.exception.has_error_code, 1);
    CHECK_INT(out.exception.error_code, 110);
    CHECK_INT(out.exception.has_pending, 1);
    CHECK_INT(out.exception.pending, 1);
    CHECK_INT(out.exception.has_payload, 1);
    CHECK_INT(out.exception.payload, 33);
    CHECK_INT(out.interrupt.injected, 0);
    CHECK_INT(out.interrupt.vector, 100);
    CHECK_INT(out.interrupt.soft, 1);
    CHECK_INT(out.interrupt.has_shadow, 1);
    CHECK_INT(out.interrupt.shadow, 114);
    CHECK_INT(out.nmi.injected, 1); /* not the interrupt's */
    CHECK_INT(out.nmi.has_pending, 1);
    CHECK_INT(out.nmi.pending, 1);
    CHECK_INT(out.nmi.masked, 0);
    CHECK_INT(out.has_sipi_vector, 1);
    CHECK_INT(out.sipi_vector, 105);
    CHECK_INT(out.smi.has_smm, 1);
    CHECK_INT(out.smi.smm, 1);
    CHECK_INT(out.smi.pending, 0);
    CHECK_INT(out.smi.inside_nmi, 1);
    CHECK_INT(out.smi.latched_init, 100);
    CHECK_INT(out.triple_fault.has_pending, 0);
}

TEST(events_round_trip)
{
    struct kvm_vcpu_events in = some_events(), back;
    visor_x86_events out;

    kvm_x86_events_from_kvm(&out, &in);
    kvm_x86_events_to_kvm(&back, &out, ALL_EVENTS);
    CHECK(memcmp(&in, &back, sizeof(in)) == 0);
    /* A pending exception need not have a payload. */
    in.exception_has_payload = 0;
    in.exception_payload = 0;
    in.flags = ALL_EVENTS;
    in.triple_fault.pending = 1;
    in.interrupt.injected = 1;
    in.nmi.injected = 0;
    kvm_x86_events_from_kvm(&out, &in);
    kvm_x86_events_to_kvm(&back, &out, ALL_EVENTS);
    CHECK(memcmp(&in, &back, sizeof(in)) == 0);
}

TEST(events_that_the_kernel_does_not_know)
{
    struct kvm_vcpu_events in = some_events(), back;
    visor_x86_events out;

    in.exception.injected = 0;
    kvm_x86_events_from_kvm(&out, &in);
    kvm_x86_events_to_kvm(&back, &out, KVM_VCPUEVENT_VALID_SHADOW);
    CHECK_INT(back.flags, KVM_VCPUEVENT_VALID_SHADOW);
    CHECK_INT(back.interrupt.shadow, 114);
    CHECK_INT(back.exception.pending, 0);
    CHECK_INT(back.exception.injected, 1); /* not lost: delivered again */
    CHECK_INT(back.smi.smm, 0);
    CHECK_INT(back.nmi.pending, 0);
    /* What was not reported is not set. */
    in.flags = 0;
    kvm_x86_events_from_kvm(&out, &in);
    kvm_x86_events_to_kvm(&back, &out, ALL_EVENTS);
    CHECK_INT(back.flags, 0);
}

TEST(ioapic)
{
    struct kvm_ioapic_state in, back;
    visor_x86_ioapic out;

    memset(&in, 0, sizeof(in));
    in.base_address = 1;
    in.ioregsel = 2;
    in.id = 4;
    in.irr = 8;
    for (int i = 0; i < KVM_IOAPIC_NUM_PINS; i++) {
        in.redirtbl[i].fields.vector = 0xff;
        in.redirtbl[i].fields.delivery_mode = 2; /* SMI */
        in.redirtbl[i].fields.delivery_status = 1;
        in.redirtbl[i].fields.polarity = 1;
        in.redirtbl[i].fields.remote_irr = 1;
        in.redirtbl[i].fields.trig_mode = 1;
        in.redirtbl[i].fields.mask = 1;
        in.redirtbl[i].fields.dest_id = 0xaa;
    }
    kvm_x86_ioapic_from_kvm(&out, &in);
    CHECK_INT(out.base_address, 1);
    CHECK_INT(out.ioregsel, 2);
    CHECK_INT(out.id, 4);
    CHECK_INT(out.irr, 8);
    CHECK_INT(out.redirect[0], 0xaa0000000001f2ff);
    CHECK_INT(out.redirect[23], 0xaa0000000001f2ff);
    kvm_x86_ioapic_to_kvm(&back, &out);
    CHECK(memcmp(&in, &back, sizeof(in)) == 0);
}

TEST(pit)
{
    static const struct kvm_pit_channel_state channel = {
        .count = 256,
        .latched_count = 512,
        .count_latched = 1,
        .status = 7,
        .read_state = 2,
        .write_state = 4,
        .write_latch = 8,
        .rw_mode = 3,
        .mode = 5,
        .gate = 1,
        .count_load_time = 1024,
    };
    struct kvm_pit_state2 in = {.channels = {channel, channel, channel}, .flags = 255}, back;
    visor_x86_pit out;

    in.channels[2].count = 0x10000;
    kvm_x86_pit_from_kvm(&out, &in);
    CHECK_INT(out.flags, 255);
    CHECK_INT(out.channel[0].count, 256);
    CHECK_INT(out.channel[0].latched_count, 512);
    CHECK_INT(out.channel[0].count_latched, 1);
    CHECK_INT(out.channel[0].status_latched, 0);
    CHECK_INT(out.channel[0].status, 7);
    CHECK_INT(out.channel[0].read_state, 2);
    CHECK_INT(out.channel[0].write_state, 4);
    CHECK_INT(out.channel[0].reload_value, 8);
    CHECK_INT(out.channel[0].rw_mode, 3);
    CHECK_INT(out.channel[0].mode, 5);
    CHECK_INT(out.channel[0].bcd, 0);
    CHECK_INT(out.channel[0].gate, 1);
    CHECK_INT(out.channel[0].load_time, 1024);
    CHECK_INT(out.channel[2].count, 0x10000);
    kvm_x86_pit_to_kvm(&back, &out);
    CHECK(memcmp(&in, &back, sizeof(in)) == 0);
}

TEST(lapic)
{
    visor_x86_lapic in = {{0}}, back;
    struct kvm_lapic_state out;

    in.regs[2] = 0x08040201;
    in.regs[63] = 0xdeadbeef;
    kvm_x86_lapic_to_kvm(&out, &in);
    CHECK_INT(out.regs[32], 1);
    CHECK_INT(out.regs[33], 2);
    CHECK_INT(out.regs[34], 4);
    CHECK_INT(out.regs[35], 8);
    CHECK_INT(out.regs[36], 0);
    kvm_x86_lapic_from_kvm(&back, &out);
    CHECK(memcmp(&in, &back, sizeof(in)) == 0);
}

TEST(fpu_in_an_xsave_image)
{
    uint8_t image[4096];
    visor_x86_fpu in, back;

    memset(image, 0x5a, sizeof(image));
    image[512] = 4; /* XSTATE_BV: AVX is in use, nothing else */
    visor_x86_reset_fpu(&in);
    in.st[7].significand = 0x8000000000000001;
    in.st[7].sign_exponent = 0x3fff;
    in.xmm[15][15] = 42;
    in.last_opcode = 0x123;
    in.last_ip = 0x1122334455667788;
    kvm_x86_fpu_to_xsave(image, &in);
    /* SDM vol. 1, table 10-2. */
    CHECK_INT(image[0] | image[1] << 8, 0x37f);
    CHECK_INT(image[8], 0x88);
    CHECK_INT(image[24] | image[25] << 8, 0x1f80);
    CHECK_INT(image[32 + 7 * 16], 1);
    CHECK_INT(image[32 + 7 * 16 + 9], 0x3f);
    CHECK_INT(image[32 + 7 * 16 + 10], 0);
    CHECK_INT(image[415], 42);
    CHECK_INT(image[512], 7);
    CHECK_INT(image[28], 0x5a); /* the mask of MXCSR, and what follows, are as before */
    CHECK_INT(image[576], 0x5a);
    kvm_x86_fpu_from_xsave(&back, image);
    CHECK(memcmp(&in, &back, sizeof(in)) == 0);
}

TEST(segments_keep_what_kvm_says)
{
    struct kvm_sregs in, back;
    visor_x86_sregs out;

    memset(&in, 0, sizeof(in));
    in.cs = (struct kvm_segment){.base = 0x1234,
                                 .limit = 0xffffffff,
                                 .selector = 0x10,
                                 .type = 11,
                                 .present = 1,
                                 .dpl = 3,
                                 .db = 1,
                                 .s = 1,
                                 .l = 1,
                                 .g = 1,
                                 .avl = 1};
    in.ds = in.cs;
    in.ds.unusable = 1; /* although present */
    in.ss = in.cs;
    in.ss.present = 0;
    in.apic_base = 0xfee00900;
    in.interrupt_bitmap[1] = 5;
    in.cr8 = 7;
    back = in;
    kvm_x86_sregs_from_kvm(&out, &in);
    CHECK_INT(out.cs.limit, 0xffffffff); /* in bytes, not scaled again */
    CHECK_INT(out.ds.unusable, 1);
    CHECK_INT(out.ss.unusable, 0);
    out.cr8 = 3;
    kvm_x86_sregs_to_kvm(&back, &out);
    CHECK(memcmp(&in.cs, &back.cs, sizeof(in.cs)) == 0);
    CHECK(memcmp(&in.ds, &back.ds, sizeof(in.ds)) == 0);
    CHECK_INT(back.ss.unusable, 1); /* implied */
    CHECK_INT(back.cr8, 3);
    CHECK_INT(back.apic_base, 0xfee00900);
    CHECK_INT(back.interrupt_bitmap[1], 5);
}

TEST(cpuid_list_grows)
{
    static const char name[] = "KVM_GET_SUPPORTED_CPUID";
    struct kvm_cpuid2 *list;
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        SKIP("no /dev/kvm here");
    for (uint32_t capacity = 0; capacity <= 4; capacity += 4) {
        list = kvm_x86_cpuid_list(fd, KVM_GET_SUPPORTED_CPUID, name, capacity);
        CHECK(list != NULL && list->nent > 4);
        free(list);
    }
    close(fd);
}

UNIT_MAIN()
