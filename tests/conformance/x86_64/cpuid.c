/* SPDX-License-Identifier: BSD-3-Clause */
/* CPUID: what is set is what the guest sees. */
#include "x86.h"

#include <stdlib.h>
#include <string.h>

VISOR_GUEST_ASM16(cpuid_and_halt, "cpuid; hlt");

/* The supported list, to be freed by the caller. */
static visor_x86_cpuid_entry *supported_cpuid(struct guest *g, size_t *count, size_t spare)
{
    visor_x86_cpuid_entry *list;
    size_t length = (size_t)CHECK_OK(visor_x86_supported_cpuid(NULL, 0, g->hv));

    list = calloc(length + spare, sizeof(*list));
    CHECK(list != NULL);
    CHECK_EQ(visor_x86_supported_cpuid(list, length, g->hv), length);
    *count = length;
    return list;
}

/* Lets the guest execute CPUID and returns eax, ebx, ecx, edx. */
static void guest_cpuid(uint32_t out[4], struct guest *g, uint32_t function, uint32_t index)
{
    visor_x86_regs regs = {.rax = function, .rcx = index};

    x86_load(g, g->vcpu, 0x1000, &cpuid_and_halt, &regs);
    RUN_TO(g, HLT);
    regs = x86_regs(g->vcpu);
    out[0] = (uint32_t)regs.rax;
    out[1] = (uint32_t)regs.rbx;
    out[2] = (uint32_t)regs.rcx;
    out[3] = (uint32_t)regs.rdx;
}

CASE(cpuid, exit, "CPUID executes; the configured list says that a hypervisor is there")
{
    uint32_t r[4];

    x86_start(g, &(struct x86_setup){0});
    guest_cpuid(r, g, 1, 0);
    CHECK((r[2] & 1u << 31) != 0);
    CHECK_EQ(x86_regs(g->vcpu).rip, 0x1003);
}

CASE(cpuid, supported, "the supported list is not empty and its length can be asked for")
{
    visor_x86_cpuid_entry few[4];
    size_t count, found = 0;
    visor_x86_cpuid_entry *list = supported_cpuid(g, &count, 0);

    CHECK(count > 4);
    memset(few, 0xee, sizeof(few));
    CHECK_EQ(visor_x86_supported_cpuid(few, 3, g->hv), count);
    CHECK_BYTES(few, list, 3 * sizeof(few[0]));
    CHECK_EQ(few[3].function, 0xeeeeeeee);
    for (size_t i = 0; i < count; i++)
        found += list[i].function == 1 || list[i].function == 0x80000001;
    CHECK_EQ(found, 2);
    free(list);
}

CASE(cpuid, set_is_seen, "entries set by the VMM reach the guest, subleaves told apart")
{
    visor_x86_cpuid_entry *list;
    size_t count;
    uint32_t r[4];

    x86_start(g, &(struct x86_setup){.without_cpuid = true});
    list = supported_cpuid(g, &count, 3);
    for (size_t i = 0; i < count; i++) {
        if (list[i].function == 0)
            list[i].ebx = 0x11223344;
    }
    /* 0x400001xx: no hypervisor's own leaves are there. */
    list[count] = (visor_x86_cpuid_entry){.function = 0x40000100, .eax = 0x40000101, .ebx = 0x77};
    list[count + 1] = (visor_x86_cpuid_entry){
        .function = 0x40000101, .index = 0, .flags = VISOR_X86_CPUID_INDEXED, .eax = 10};
    list[count + 2] = (visor_x86_cpuid_entry){
        .function = 0x40000101, .index = 1, .flags = VISOR_X86_CPUID_INDEXED, .eax = 11};
    CHECK_OK(visor_x86_set_cpuid(g->vcpu, list, count + 3));
    guest_cpuid(r, g, 0, 0);
    CHECK_EQ(r[1], 0x11223344);
    guest_cpuid(r, g, 0x40000100, 0);
    CHECK_EQ(r[0], 0x40000101);
    CHECK_EQ(r[1], 0x77);
    guest_cpuid(r, g, 0x40000101, 1);
    CHECK_EQ(r[0], 11);
    guest_cpuid(r, g, 0x40000101, 0);
    CHECK_EQ(r[0], 10);
    free(list);
}

CASE(cpuid, get_after_set, "what was set can be read back")
{
    visor_x86_cpuid_entry *list, *back;
    size_t count, seen = 0;

    x86_start(g, &(struct x86_setup){.without_cpuid = true});
    list = supported_cpuid(g, &count, 0);
    CHECK_OK(visor_x86_set_cpuid(g->vcpu, list, count));
    back = calloc(count, sizeof(*back));
    CHECK(back != NULL);
    CHECK_EQ(visor_x86_get_cpuid(NULL, 0, g->vcpu), count);
    CHECK_EQ(visor_x86_get_cpuid(back, count, g->vcpu), count);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            if (back[j].function != list[i].function || back[j].index != list[i].index)
                continue;
            CHECK_EQ(back[j].flags, list[i].flags);
            seen++;
            /* The hypervisor keeps the XSAVE sizes and OS bits of some leaves up to date. */
            if (list[i].function == 0 || list[i].function == 0x80000000)
                CHECK_BYTES(&back[j], &list[i], sizeof(back[j]));
        }
    }
    CHECK_EQ(seen, count);
    free(list);
    free(back);
}

CASE(cpuid, policy, "topology, processor number, hypervisor and TSC leaves of a configured vCPU")
{
    visor_x86_cpu_config config = VISOR_X86_CPU_CONFIG_INIT;
    uint32_t r[4], leaf0[4];
    visor_vcpu *vcpu;

    config.vcpu_count = 6;
    config.no_smt = true;
    config.tsc_leaf = true;
    config.tsc_hz = 2500000000;
    config.lapic_hz = 1000000000;
    config.nested = VISOR_OFF;
    x86_create(g, 0xf000, NULL);
    CHECK_OK(visor_vcpu_create(&vcpu, g->vm, 3));
    CHECK_OK(visor_x86_configure_cpuid(vcpu, &config));
    visor_vcpu_free(g->vcpu);
    g->vcpu = vcpu;
    x86_set_mode(g, vcpu, X86_REAL, 0);
    guest_cpuid(leaf0, g, 0, 0);
    CHECK(leaf0[0] >= 0x15);
    guest_cpuid(r, g, 1, 0);
    CHECK_EQ(r[1], 3u << 24 | 6u << 16 | 8u << 8);
    CHECK_EQ(r[2] >> 31, 1);
    CHECK_EQ(r[2] & 1u << 5, 0);  /* VMX */
    CHECK_EQ(r[2] & 1u << 21, 0); /* x2APIC: there is no interrupt chip */
    CHECK_EQ(r[3] >> 28 & 1, 1);  /* several logical processors */
    guest_cpuid(r, g, 0x80000001, 0);
    CHECK_EQ(r[2] & 1u << 2, 0); /* SVM */
    guest_cpuid(r, g, 0x15, 0);
    CHECK_EQ(r[0], 1000);
    CHECK_EQ(r[1], 2500);
    CHECK_EQ(r[2], 1000000000);
    guest_cpuid(r, g, 0xb, 0);
    if (r[2] >> 8 != 0) { /* the leaf exists on this processor */
        CHECK_EQ(r[0], 0);
        CHECK_EQ(r[1], 1);
        CHECK_EQ(r[2], 1u << 8);
        CHECK_EQ(r[3], 3);
        guest_cpuid(r, g, 0xb, 1);
        CHECK_EQ(r[0], 3);
        CHECK_EQ(r[1], 6);
        CHECK_EQ(r[2], 2u << 8 | 1);
    }
}

CASE(cpuid, nested_on, "nested virtualization is shown, or its absence is an error")
{
    visor_x86_cpu_config config = VISOR_X86_CPU_CONFIG_INIT;
    uint32_t r[4], vmx, svm;
    int result;

    config.nested = VISOR_ON;
    x86_start(g, &(struct x86_setup){.without_cpuid = true});
    result = visor_x86_configure_cpuid(g->vcpu, &config);
    if (result < 0) {
        CHECK_EQ(result, VISOR_EUNSUPPORTED);
        config.nested = VISOR_AUTO;
        CHECK_OK(visor_x86_configure_cpuid(g->vcpu, &config));
    }
    guest_cpuid(r, g, 1, 0);
    vmx = r[2] >> 5 & 1;
    guest_cpuid(r, g, 0x80000001, 0);
    svm = r[2] >> 2 & 1;
    CHECK_EQ(vmx | svm, result >= 0);
}

CASE(cpuid, x2apic_follows_chip, "x2APIC and the deadline timer are shown if the chip has them")
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    visor_x86_cpuid_entry list[256];
    size_t count;
    uint32_t ecx = 0;

    NEED(g, IRQCHIP);
    config.irqchip = VISOR_IRQCHIP_KERNEL;
    x86_create(g, 0xf000, &config);
    CHECK_OK(visor_x86_configure_cpuid(g->vcpu, NULL));
    count = (size_t)CHECK_OK(visor_x86_get_cpuid(list, 256, g->vcpu));
    for (size_t i = 0; i < count && i < 256; i++) {
        if (list[i].function == 1)
            ecx = list[i].ecx;
    }
    CHECK_EQ(ecx >> 21 & 1, 1);
    CHECK_EQ(ecx >> 24 & 1, visor_vm_cap(g->vm, VISOR_CAP_X86_TSC_DEADLINE) > 0);
}
