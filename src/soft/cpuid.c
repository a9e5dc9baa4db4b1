/* SPDX-License-Identifier: BSD-3-Clause */
/* What the software CPU says it is (SDM vol. 2A, CPUID): exactly what it can do. */
#include <stddef.h>

#include "soft/system.h"

#define BIT(n) (1u << (n))

#define LEAF1_EDX                                                                                  \
    (BIT(0) /* FPU */ | BIT(1) /* VME */ | BIT(2) /* DE */ | BIT(3) /* PSE */ | BIT(4) /* TSC */ | \
     BIT(5) /* MSR */ | BIT(6) /* PAE */ | BIT(7) /* MCE */ | BIT(8) /* CX8 */ |                   \
     BIT(9) /* APIC */ | BIT(11) /* SEP */ | BIT(12) /* MTRR */ | BIT(13) /* PGE */ |              \
     BIT(14) /* MCA */ | BIT(15) /* CMOV */ | BIT(16) /* PAT */ | BIT(17) /* PSE-36 */ |           \
     BIT(19) /* CLFSH */ | BIT(23) /* MMX */ | BIT(24) /* FXSR */ | BIT(25) /* SSE */ |            \
     BIT(26) /* SSE2 */)
#define LEAF1_ECX                                                                               \
    (BIT(0) /* SSE3 */ | BIT(1) /* PCLMULQDQ */ | BIT(9) /* SSSE3 */ | BIT(12) /* FMA */ |      \
     BIT(13) /* CX16 */ | BIT(17) /* PCID */ | BIT(19) /* SSE4.1 */ | BIT(20) /* SSE4.2 */ |    \
     BIT(21) /* x2APIC */ | BIT(22) /* MOVBE */ | BIT(23) /* POPCNT */ |                        \
     BIT(24) /* TSC deadline */ | BIT(25) /* AES */ | BIT(26) /* XSAVE */ | BIT(28) /* AVX */ | \
     BIT(29) /* F16C */ | BIT(30) /* RDRAND */ | BIT(31) /* a hypervisor is there */)
#define LEAF7_EBX                                                                               \
    (BIT(0) /* FSGSBASE */ | BIT(1) /* TSC_ADJUST */ | BIT(3) /* BMI1 */ | BIT(5) /* AVX2 */ |  \
     BIT(7) /* SMEP */ | BIT(8) /* BMI2 */ | BIT(9) /* ERMS */ | BIT(10) /* INVPCID */ |        \
     BIT(18) /* RDSEED */ | BIT(19) /* ADX */ | BIT(20) /* SMAP */ | BIT(23) /* CLFLUSHOPT */ | \
     BIT(24) /* CLWB */ | BIT(29) /* SHA */)
#define LEAF7_ECX (BIT(2) /* UMIP */ | BIT(16) /* LA57 */ | BIT(22) /* RDPID */)
#define LEAF7_EDX \
    (BIT(14) /* SERIALIZE */ | BIT(26) /* IBRS, IBPB */ | BIT(29) /* ARCH_CAPABILITIES */)
#define EXT1_EDX                                                                                   \
    (BIT(11) /* SYSCALL */ | BIT(20) /* NX */ | BIT(26) /* 1 GiB pages */ | BIT(27) /* RDTSCP */ | \
     BIT(29) /* long mode */)
#define EXT1_ECX (BIT(0) /* LAHF */ | BIT(5) /* LZCNT */ | BIT(8) /* PREFETCHW */)

/* "GenuineIntel": what is left undefined by the manuals follows Intel's processors here. */
static const visor_x86_cpuid_entry leaves[] = {
    {.function = 0, .eax = 0x16, .ebx = 0x756e6547, .edx = 0x49656e69, .ecx = 0x6c65746e},
    /* Family 6, model 0x3c (the first with AVX2), stepping 3. */
    {.function = 1, .eax = 0x306c3, .ebx = 8 << 8, .ecx = LEAF1_ECX, .edx = LEAF1_EDX},
    {.function = 2, .eax = 1},
    {.function = 4, .index = 0, .flags = 1, .eax = 0x04000121, .ebx = 0x01c0003f, .ecx = 63},
    {.function = 4, .index = 1, .flags = 1, .eax = 0x04000122, .ebx = 0x01c0003f, .ecx = 63},
    {.function = 4, .index = 2, .flags = 1, .eax = 0x04000143, .ebx = 0x01c0003f, .ecx = 511},
    {.function = 4, .index = 3, .flags = 1},
    {.function = 7, .index = 0, .flags = 1, .ebx = LEAF7_EBX, .ecx = LEAF7_ECX, .edx = LEAF7_EDX},
    {.function = 0xb, .index = 0, .flags = 1, .eax = 0, .ebx = 1, .ecx = 0x100},
    {.function = 0xb, .index = 1, .flags = 1, .eax = 0, .ebx = 1, .ecx = 0x201},
    {.function = 0xb, .index = 2, .flags = 1, .ecx = 2},
    /* x87, SSE, AVX: 832 bytes. */
    {.function = 0xd, .index = 0, .flags = 1, .eax = 7, .ebx = 576, .ecx = 832},
    {.function = 0xd, .index = 1, .flags = 1, .eax = 0xf, .ebx = 576}, /* OPT, C, XGETBV 1, S */
    {.function = 0xd, .index = 2, .flags = 1, .eax = 256, .ebx = 576},
    {.function = 0x80000000, .eax = 0x80000008},
    {.function = 0x80000001, .ecx = EXT1_ECX, .edx = EXT1_EDX},
    /* "visor software CPU" */
    {.function = 0x80000002,
     .eax = 0x6f736976,
     .ebx = 0x6f732072,
     .ecx = 0x61777466,
     .edx = 0x43206572},
    {.function = 0x80000003, .eax = 0x00005550},
    {.function = 0x80000004},
    {.function = 0x80000006, .ecx = 0x02008040}, /* L2: 512 KiB, 8 ways, lines of 64 bytes */
    {.function = 0x80000007, .edx = BIT(8)},     /* invariant TSC */
    {.function = 0x80000008, .eax = 0x3928},     /* 40 bits physical, 57 linear */
};

size_t soft_cpuid_supported(visor_x86_cpuid_entry *out, size_t capacity)
{
    const size_t count = sizeof(leaves) / sizeof(leaves[0]);

    for (size_t i = 0; i < count && i < capacity; i++)
        out[i] = leaves[i];
    return count;
}

static const visor_x86_cpuid_entry *find(const struct soft_cpu *cpu, uint32_t function,
                                         uint32_t index)
{
    for (size_t i = 0; i < cpu->cpuid_count; i++) {
        const visor_x86_cpuid_entry *entry = &cpu->cpuid[i];

        if (entry->function == function &&
            ((entry->flags & VISOR_X86_CPUID_INDEXED) == 0 || entry->index == index))
            return entry;
    }
    return NULL;
}

const visor_x86_cpuid_entry *soft_cpuid_find(const struct soft_cpu *cpu, uint32_t function,
                                             uint32_t index)
{
    const visor_x86_cpuid_entry *entry = find(cpu, function, index), *first;

    if (entry != NULL)
        return entry;
    /* Past the end Intel's processors answer as for the last basic leaf; in a leaf that exists an
     * index that does not is all zero. */
    first = find(cpu, function & 0x80000000, 0);
    if (first != NULL && function <= first->eax)
        return NULL;
    first = find(cpu, 0, 0);
    return first != NULL ? find(cpu, first->eax, index) : NULL;
}
