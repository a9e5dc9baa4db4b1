/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a snapshot of the software CPU may hold that HAXM has no place for is refused, and named.
 * Run with the double preloaded; what does move is for tests/differential/resume.c.
 */
#include "../unit/buffer.h"
#include "../unit/unit.h"

#define PAGE   4096u
#define LEAVES 64

struct side {
    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vm *vm;
    visor_vcpu *vcpu;
};

static struct side soft, haxm;

static void create(struct side *side, const char *name)
{
    const visor_memory_region region = {.gpa = 0, .length = PAGE};

    CHECK_INT(visor_hypervisor_open(&side->hv, name), 0);
    CHECK_INT(visor_memory_create(&side->memory, &region, 1, NULL), 0);
    CHECK_INT(visor_vm_create(&side->vm, side->hv, side->memory, NULL), 0);
    CHECK_INT(visor_vcpu_create(&side->vcpu, side->vm, 0), 0);
}

static void release(struct side *side)
{
    visor_vcpu_free(side->vcpu);
    visor_vm_free(side->vm);
    visor_memory_free(side->memory);
    visor_hypervisor_free(side->hv);
}

/* Two VMs whose guests are told the same. */
static void begin(void)
{
    visor_x86_cpuid_entry leaves[LEAVES];
    int count;

    create(&soft, "soft");
    create(&haxm, "haxm");
    count = visor_x86_get_cpuid(leaves, LEAVES, haxm.vcpu);
    CHECK(count > 0 && count <= LEAVES);
    CHECK_INT(visor_x86_set_cpuid(soft.vcpu, leaves, (size_t)count), 0);
}

/* Moves from the one to the other. */
static int move(void)
{
    struct buffer buffer = {0};
    const visor_stream stream = buffer_stream(&buffer);
    int ret;

    CHECK_INT(visor_vm_save(soft.vm, &stream, NULL), 0);
    ret = visor_vm_restore(haxm.vm, &stream, NULL);
    buffer_free(&buffer);
    return ret;
}

/* The move fails with a code, and a text that has both in it. */
static void check_refused(int code, const char *piece, const char *detail)
{
    char text[512];

    CHECK_INT(move(), code);
    visor_error_format(text, sizeof(text));
    CHECK(strstr(text, piece) != NULL);
    CHECK(strstr(text, detail) != NULL);
    release(&soft);
    release(&haxm);
}

TEST(what_both_have_moves)
{
    visor_x86_fpu fpu;

    begin();
    CHECK_INT(visor_x86_get_fpu(&fpu, soft.vcpu), 0);
    memset(fpu.xmm[9], 0x5a, sizeof(fpu.xmm[9]));
    CHECK_INT(visor_x86_set_fpu(soft.vcpu, &fpu), 0);
    CHECK_INT(move(), 0);
    memset(&fpu, 0, sizeof(fpu));
    CHECK_INT(visor_x86_get_fpu(&fpu, haxm.vcpu), 0);
    CHECK_INT(fpu.xmm[9][15], 0x5a);
    release(&soft);
    release(&haxm);
}

TEST(xcr0_is_refused)
{
    const visor_x86_xcrs xcrs = {.count = 1, .xcr = {{.value = 7}}};

    begin();
    CHECK_INT(visor_x86_set_xcrs(soft.vcpu, &xcrs), 0);
    check_refused(VISOR_EMISMATCH, "xcrs", "XCR0 = 0x7");
}

TEST(upper_halves_of_vector_registers_are_refused)
{
    uint8_t image[PAGE];
    int size;

    begin();
    size = visor_x86_get_xsave(image, sizeof(image), soft.vcpu);
    CHECK(size >= 832);
    image[512] |= 4;
    image[576 + 16] = 1;
    CHECK_INT(visor_x86_set_xsave(soft.vcpu, image, (size_t)size), 0);
    check_refused(VISOR_EMISMATCH, "xsave", "components 0x4");
}

TEST(cr8_is_refused_without_a_chip)
{
    visor_x86_sregs sregs;

    begin();
    CHECK_INT(visor_x86_get_sregs(&sregs, soft.vcpu), 0);
    sregs.cr8 = 3;
    CHECK_INT(visor_x86_set_sregs(soft.vcpu, &sregs), 0);
    check_refused(VISOR_EMISMATCH, "sregs", "cr8 is 0x3");
}

TEST(pae_paging_is_refused)
{
    visor_x86_sregs sregs;

    begin();
    CHECK_INT(visor_x86_get_sregs(&sregs, soft.vcpu), 0);
    sregs.cr4 |= 0x20;
    sregs.cr0 |= 0x80000001u;
    CHECK_INT(visor_x86_set_sregs(soft.vcpu, &sregs), 0);
    check_refused(VISOR_EMISMATCH, "sregs", "PAE paging");
}

TEST(a_blocked_nmi_is_refused)
{
    visor_x86_events events;

    begin();
    CHECK_INT(visor_x86_get_events(&events, soft.vcpu), 0);
    events.nmi.masked = 1;
    CHECK_INT(visor_x86_set_events(soft.vcpu, &events), 0);
    check_refused(VISOR_EMISMATCH, "events", "a blocked NMI");
}

TEST(msrs_that_the_driver_lacks_are_refused)
{
    begin();
    CHECK_INT(visor_x86_set_msr(soft.vcpu, 0x3b, 5), 0); /* TSC_ADJUST */
    check_refused(VISOR_EREFUSED, "msrs", "MSR 0x3b = 0x5");
}

TEST(cpuid_that_the_driver_cannot_give_is_refused)
{
    visor_x86_cpuid_entry leaves[LEAVES];
    int count;

    begin();
    count = visor_x86_get_cpuid(leaves, LEAVES, soft.vcpu);
    for (int i = 0; i < count; i++) {
        if (leaves[i].function == 1)
            leaves[i].ecx |= 1u << 26; /* XSAVE */
    }
    CHECK_INT(visor_x86_set_cpuid(soft.vcpu, leaves, (size_t)count), 0);
    check_refused(VISOR_EREFUSED, "cpuid", "XSAVE");
}

UNIT_MAIN()
