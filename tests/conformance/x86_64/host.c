/* SPDX-License-Identifier: BSD-3-Clause */
/* What kind of host this is. Runs in a process of its own, as a case does. */
#include <string.h>

#include "x86.h"

VISOR_GUEST_ASM32(load_segment_limit, "mov ecx, cs; lsl eax, cx; hlt");

/*
 * A hypervisor without hardware below it emulates kernel-mode code, and knows only the
 * instructions that somebody has taught it. LSL is not in the emulator of Linux' KVM.
 */
static bool host_emulates(visor_hypervisor *hv)
{
    struct guest g = {.hv = hv};
    int reason;

    x86_start(&g, &(struct x86_setup){
                      .mode = X86_PROTECTED, .load = 0x1000, .code = &load_segment_limit});
    reason = RUN(&g);
    visor_vcpu_free(g.vcpu);
    visor_vm_free(g.vm);
    visor_memory_free(g.memory);
    return reason == VISOR_EXIT_INTERNAL_ERROR;
}

/* The signature of leaf 0x40000000 if a hypervisor is below us, else "". */
static void host_signature(char out[13])
{
    uint32_t r[4];

    memset(out, 0, 13);
    x86_host_cpuid(r, 1, 0);
    if ((r[2] & 1u << 31) == 0)
        return;
    x86_host_cpuid(r, 0x40000000, 0);
    memcpy(out, &r[1], 12);
}

unsigned host_detect(visor_hypervisor *hv)
{
    char signature[13], vendor[13] = "";
    unsigned facts = HOST_X86_64;
    uint32_t r[4];

    host_signature(signature);
    x86_host_cpuid(r, 0, 0);
    memcpy(vendor, (uint32_t[3]){r[1], r[3], r[2]}, 12);
    if (strcmp(signature, "TCGTCGTCGTCG") == 0)
        facts |= HOST_QEMU;
    if (strcmp(vendor, "AuthenticAMD") == 0 || strcmp(vendor, "HygonGenuine") == 0)
        facts |= HOST_AMD;
    if (strcmp(vendor, "GenuineIntel") == 0)
        facts |= HOST_INTEL;
    /* Bochs' processors are exact copies; only the firmware is its own. */
    if (host_file_begins("/sys/class/dmi/id/bios_vendor", "The Bochs Project"))
        facts |= HOST_BOCHS;
    if (host_emulates(hv))
        facts |= HOST_EMULATES;
    return facts;
}
