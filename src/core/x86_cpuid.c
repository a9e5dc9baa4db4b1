/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The CPUID of a vCPU: what the hypervisor supports, with topology, frequencies and virtualization
 * as the caller wants them. Leaves and bits: SDM vol. 2A, CPUID; AMD APM vol. 3, appendix E.
 */
#include <stdlib.h>
#include <string.h>

#include "core/backend.h"
#include "core/x86.h"
#include "os/cpu.h"

#define BIT(n) (1u << (n))

#define LEAF1_ECX_VMX          BIT(5)
#define LEAF1_ECX_X2APIC       BIT(21)
#define LEAF1_ECX_TSC_DEADLINE BIT(24)
#define LEAF1_ECX_HYPERVISOR   BIT(31)
#define LEAF1_EBX_CLFLUSH      (8u << 8) /* in units of 8 bytes */
#define LEAF1_EDX_HTT          BIT(28)
#define LEAF4_EAX_CORES_SHIFT  26
#define LEAF4_EAX_CORES_MAX    63u
#define LEAF6_EAX_HWP          (BIT(7) | BIT(8) | BIT(10)) /* base, notification, preference */
#define LEAF6_EAX_ITMT         BIT(14)                     /* highest performance change */
#define LEAF6_ECX_BIAS         BIT(3)
#define LEAF7_EDX_HYBRID       BIT(15)
#define LEAF1A_TYPE_SHIFT      24
#define LEAF1A_ATOM            0x20u
#define LEAF1A_CORE            0x40u
#define LEAF8_1_ECX_SVM        BIT(2)
#define TOPOLOGY_SMT           1u
#define TOPOLOGY_CORE          2u

#define LAPIC_HZ_DEFAULT 1000000000u /* of the timer in KVM and most others */
#define TSC_DENOMINATOR  1000u

struct policy {
    visor_x86_cpu_config config;
    uint32_t id, vcpu_count;
    uint32_t tsc_numerator, lapic_hz; /* leaf 0x15; numerator 0: leave it as it is */
    visor_x86_cpuid_source host;
    void *context;
};

static void real_host(void *context, visor_x86_cpuid_entry *entry)
{
    uint32_t out[4];

    (void)context;
    visor__cpu_cpuid(out, entry->function, entry->index);
    entry->eax = out[0];
    entry->ebx = out[1];
    entry->ecx = out[2];
    entry->edx = out[3];
}

static visor_x86_cpuid_entry host_leaf(const struct policy *policy, uint32_t function,
                                       uint32_t index)
{
    visor_x86_cpuid_entry entry = {.function = function, .index = index};

    policy->host(policy->context, &entry);
    return entry;
}

/* Takes the four registers from the host. */
static void copy_host(visor_x86_cpuid_entry *entry, const struct policy *policy)
{
    visor_x86_cpuid_entry host = host_leaf(policy, entry->function, entry->index);

    entry->eax = host.eax;
    entry->ebx = host.ebx;
    entry->ecx = host.ecx;
    entry->edx = host.edx;
}

static void copy_bits(uint32_t *to, uint32_t from, uint32_t mask)
{
    *to = (*to & ~mask) | (from & mask);
}

/* ---- topology: without no_smt an even number of vCPUs makes cores of two threads ---- */

static uint32_t core_count(const struct policy *policy)
{
    if (policy->config.no_smt)
        return policy->vcpu_count;
    return policy->vcpu_count % 2 == 0 ? policy->vcpu_count / 2 : 1;
}

/* Bits of the APIC ids of this many vCPUs. */
static uint32_t id_bits(uint32_t count)
{
    uint32_t width = 0;

    while (width < 32 && (uint64_t)1 << width < count)
        width++;
    return width;
}

static void adjust_extended_topology(visor_x86_cpuid_entry *entry, const struct policy *policy)
{
    uint32_t count = policy->vcpu_count;

    if (policy->config.host_topology)
        return;
    entry->edx = policy->id;
    entry->eax = entry->ebx = entry->ecx = 0;
    if (entry->index == 0) {
        entry->ecx = TOPOLOGY_SMT << 8;
        if (policy->config.no_smt || count == 1) {
            entry->ebx = 1;
        } else if (count % 2 == 0) {
            entry->eax = 1;
            entry->ebx = 2;
        } else {
            entry->eax = id_bits(count);
            entry->ebx = count & 0xffff;
        }
    } else if (entry->index == 1) {
        entry->eax = id_bits(count);
        entry->ebx = count & 0xffff;
        entry->ecx = TOPOLOGY_CORE << 8 | 1;
    }
}

static void adjust_caches(visor_x86_cpuid_entry *entry, const struct policy *policy)
{
    uint32_t cores = core_count(policy) - 1;

    copy_host(entry, policy);
    if (policy->config.host_topology)
        return;
    if (cores > LEAF4_EAX_CORES_MAX)
        cores = LEAF4_EAX_CORES_MAX;
    copy_bits(&entry->eax, cores << LEAF4_EAX_CORES_SHIFT,
              LEAF4_EAX_CORES_MAX << LEAF4_EAX_CORES_SHIFT);
}

/* ---- features ---- */

static void adjust_features(visor_x86_cpuid_entry *entry, const struct policy *policy)
{
    const visor_x86_cpu_config *config = &policy->config;
    uint32_t count = policy->vcpu_count;

    if (count > 255) /* the field has 8 bits; more vCPUs are in leaf 0xB */
        count = 255;
    if (entry->index == 0)
        entry->ecx |= LEAF1_ECX_HYPERVISOR;
    copy_bits(&entry->ecx, config->x2apic ? LEAF1_ECX_X2APIC : 0, LEAF1_ECX_X2APIC);
    if (config->tsc_deadline)
        entry->ecx |= LEAF1_ECX_TSC_DEADLINE;
    if (config->nested == VISOR_OFF)
        entry->ecx &= ~LEAF1_ECX_VMX;
    if (config->host_topology) {
        entry->ebx |= LEAF1_EBX_CLFLUSH;
        entry->edx |= host_leaf(policy, 1, 0).edx & LEAF1_EDX_HTT;
        return;
    }
    entry->ebx = (policy->id & 0xff) << 24 | LEAF1_EBX_CLFLUSH;
    if (count > 1) {
        entry->ebx |= count << 16;
        entry->edx |= LEAF1_EDX_HTT;
    }
}

static void adjust_power(visor_x86_cpuid_entry *entry, const struct policy *policy)
{
    visor_x86_cpuid_entry host;

    if (!policy->config.hwp)
        return;
    host = host_leaf(policy, entry->function, entry->index);
    copy_bits(&entry->eax, host.eax, LEAF6_EAX_HWP | (policy->config.itmt ? LEAF6_EAX_ITMT : 0));
    copy_bits(&entry->ecx, host.ecx, LEAF6_ECX_BIAS);
}

static void adjust_extended_features(visor_x86_cpuid_entry *entry, const struct policy *policy)
{
    if (entry->index != 0)
        return;
    if (policy->config.host_topology)
        entry->edx |= host_leaf(policy, 7, 0).edx & LEAF7_EDX_HYBRID;
    if (policy->config.hybrid != VISOR_X86_CORE_ANY)
        entry->edx |= LEAF7_EDX_HYBRID;
}

static void adjust_core_type(visor_x86_cpuid_entry *entry, const struct policy *policy)
{
    uint32_t type = policy->config.hybrid == VISOR_X86_CORE_ATOM ? LEAF1A_ATOM : LEAF1A_CORE;

    if (policy->config.host_topology)
        copy_host(entry, policy);
    if (policy->config.hybrid != VISOR_X86_CORE_ANY)
        copy_bits(&entry->eax, type << LEAF1A_TYPE_SHIFT, 0xffu << LEAF1A_TYPE_SHIFT);
}

static void adjust(visor_x86_cpuid_entry *entry, const struct policy *policy)
{
    bool tsc = policy->tsc_numerator != 0;

    switch (entry->function) {
    case 0:
        if (tsc && entry->eax < 0x15)
            entry->eax = 0x15;
        break;
    case 1: adjust_features(entry, policy); break;
    case 2: copy_host(entry, policy); break;
    case 4: adjust_caches(entry, policy); break;
    case 6: adjust_power(entry, policy); break;
    case 7: adjust_extended_features(entry, policy); break;
    case 0xb:
    case 0x1f: adjust_extended_topology(entry, policy); break;
    case 0x15:
        if (tsc) {
            /* TSC = ECX * EBX / EAX; ECX is also what the local APIC's timer counts by. */
            entry->eax = TSC_DENOMINATOR;
            entry->ebx = policy->tsc_numerator;
            entry->ecx = policy->lapic_hz;
            entry->edx = 0;
        }
        break;
    case 0x1a: adjust_core_type(entry, policy); break;
    case 0x80000001:
        if (policy->config.nested == VISOR_OFF)
            entry->ecx &= ~LEAF8_1_ECX_SVM;
        break;
    case 0x80000002: /* the processor's name */
    case 0x80000003:
    case 0x80000004:
    case 0x80000005: /* its caches and TLBs */
    case 0x80000006: copy_host(entry, policy); break;
    default: break;
    }
}

/* ---- the list ---- */

static const visor_x86_cpuid_entry *find(const visor_x86_cpuid_entry *entries, size_t count,
                                         uint32_t function, uint32_t index)
{
    for (size_t i = 0; i < count; i++) {
        if (entries[i].function == function && entries[i].index == index)
            return &entries[i];
    }
    return NULL;
}

/* An empty leaf to be adjusted, unless it is there. */
static int append(visor_x86_cpuid_entry *entries, size_t *count, size_t capacity, uint32_t function,
                  uint32_t index)
{
    if (find(entries, *count, function, index) != NULL)
        return 0;
    if (*count >= capacity)
        return visor__error(VISOR_ELIMIT, "", "visor_x86_adjust_cpuid",
                            "no room for leaf 0x%x among %zu entries", function, capacity);
    entries[(*count)++] = (visor_x86_cpuid_entry){
        .function = function,
        .index = index,
        .flags = index != 0 ? VISOR_X86_CPUID_INDEXED : 0,
    };
    return 0;
}

/*
 * Leaves that the policy fills in but that the hypervisor may not have listed. KVM has reported
 * only subleaf 0 of the topology since Linux 6.2, without which subleaf 1 has to be made here.
 */
static int append_missing(visor_x86_cpuid_entry *entries, size_t *count, size_t capacity,
                          const struct policy *policy)
{
    static const uint32_t topology[] = {0xb, 0x1f};
    int ret = 0;

    if (policy->tsc_numerator != 0)
        ret = append(entries, count, capacity, 0x15, 0);
    for (size_t i = 0; ret == 0 && i < sizeof(topology) / sizeof(topology[0]); i++) {
        if (!policy->config.host_topology && find(entries, *count, topology[i], 0) != NULL)
            ret = append(entries, count, capacity, topology[i], 1);
    }
    return ret;
}

/* Whether virtualization is in the list, in the way of its vendor. */
static bool has_nested(const visor_x86_cpuid_entry *entries, size_t count)
{
    const visor_x86_cpuid_entry *leaf0 = find(entries, count, 0, 0);
    const visor_x86_cpuid_entry *leaf1 = find(entries, count, 1, 0);
    const visor_x86_cpuid_entry *leaf8_1 = find(entries, count, 0x80000001, 0);
    bool vmx = leaf1 != NULL && (leaf1->ecx & LEAF1_ECX_VMX) != 0;
    bool svm = leaf8_1 != NULL && (leaf8_1->ecx & LEAF8_1_ECX_SVM) != 0;
    char vendor[13] = "";

    if (leaf0 != NULL) {
        memcpy(vendor, &leaf0->ebx, 4);
        memcpy(vendor + 4, &leaf0->edx, 4);
        memcpy(vendor + 8, &leaf0->ecx, 4);
    }
    if (strcmp(vendor, "GenuineIntel") == 0)
        return vmx;
    if (strcmp(vendor, "AuthenticAMD") == 0)
        return svm;
    return vmx || svm;
}

/* ---- the policy ---- */

static int check_config(const visor_x86_cpu_config *config)
{
    const char *wrong = NULL;

    if (config->itmt && !config->hwp)
        wrong = "itmt needs hwp";
    else if ((unsigned)config->nested > VISOR_ON)
        wrong = "nested is none of VISOR_OFF, VISOR_AUTO, VISOR_ON";
    else if ((unsigned)config->hybrid > VISOR_X86_CORE_CORE)
        wrong = "hybrid is no core type";
    return wrong == NULL ? 0 : visor__error(VISOR_EINVAL, "", "visor_x86_cpu_config", "%s", wrong);
}

/* Fills in leaf 0x15's part of the policy. */
static int set_frequency(struct policy *policy)
{
    uint64_t tsc_hz = policy->config.tsc_hz;
    uint64_t numerator;
    int ret = 0;

    if (!policy->config.tsc_leaf)
        return 0;
    if (tsc_hz == 0)
        ret = visor__x86_measure_tsc(&tsc_hz);
    if (ret < 0)
        return ret;
    if (tsc_hz > UINT64_MAX / TSC_DENOMINATOR)
        return visor__error(VISOR_ERANGE, "", "visor_x86_cpu_config", "tsc_hz is %llu",
                            (unsigned long long)tsc_hz);
    numerator = tsc_hz * TSC_DENOMINATOR / policy->lapic_hz;
    if (numerator == 0 || numerator > UINT32_MAX)
        return visor__error(VISOR_ERANGE, "", "visor_x86_cpu_config",
                            "leaf 0x15 cannot express %llu Hz by a clock of %u Hz",
                            (unsigned long long)tsc_hz, policy->lapic_hz);
    policy->tsc_numerator = (uint32_t)numerator;
    return 0;
}

static int make_policy(struct policy *policy, const visor_x86_cpu_config *config, uint32_t id,
                       visor_x86_cpuid_source host, void *context)
{
    static const visor_x86_cpu_config defaults = VISOR_X86_CPU_CONFIG_INIT;
    int ret;

    *policy =
        (struct policy){.id = id, .host = host != NULL ? host : real_host, .context = context};
    ret = visor__config_copy(&policy->config, sizeof(policy->config),
                             config != NULL ? config : &defaults, "visor_x86_cpu_config");
    if (ret == 0)
        ret = check_config(&policy->config);
    if (ret < 0)
        return ret;
    policy->vcpu_count = policy->config.vcpu_count != 0 ? policy->config.vcpu_count : 1;
    policy->lapic_hz = policy->config.lapic_hz != 0 ? policy->config.lapic_hz : LAPIC_HZ_DEFAULT;
    return set_frequency(policy);
}

int visor_x86_adjust_cpuid(visor_x86_cpuid_entry *entries, size_t *count, size_t capacity,
                           const visor_x86_cpu_config *config, uint32_t id,
                           visor_x86_cpuid_source host, void *context)
{
    struct policy policy;
    size_t used = *count;
    int ret = make_policy(&policy, config, id, host, context);

    if (ret == 0)
        ret = append_missing(entries, &used, capacity, &policy);
    if (ret < 0)
        return ret;
    *count = used;
    for (size_t i = 0; i < used; i++)
        adjust(&entries[i], &policy);
    if (policy.config.nested == VISOR_ON && !has_nested(entries, used)) {
        visor__error(VISOR_EUNSUPPORTED, "", __func__,
                     "nested virtualization is wanted, and the hypervisor does not offer it");
        return visor__error_hint("load kvm_intel or kvm_amd with nested=1, or ask for VISOR_AUTO");
    }
    return 0;
}

/* The host's frequency, the same for every vCPU of the VM. */
static int vm_tsc_hz(uint64_t *out, visor_vm *vm)
{
    unsigned long long known = atomic_load(&vm->host_tsc_hz);
    uint64_t measured;

    if (known == 0) {
        int ret = visor__x86_measure_tsc(&measured);

        if (ret < 0)
            return ret;
        /* Another thread may have been first: then its result holds, and known becomes it. */
        if (atomic_compare_exchange_strong(&vm->host_tsc_hz, &known, measured))
            known = measured;
    }
    *out = known;
    return 0;
}

/* What the policy gets from the VM where the caller has not said it. */
static int complete_config(visor_x86_cpu_config *out, const visor_x86_cpu_config *config,
                           visor_vm *vm)
{
    int ret = 0;

    if (config != NULL) {
        ret = visor__config_copy(out, sizeof(*out), config, "visor_x86_cpu_config");
        out->size = sizeof(*out);
    } else {
        *out = (visor_x86_cpu_config)VISOR_X86_CPU_CONFIG_INIT;
        out->x2apic = vm->config.irqchip != VISOR_IRQCHIP_NONE;
        out->tsc_deadline = out->x2apic && visor_vm_cap(vm, VISOR_CAP_X86_TSC_DEADLINE) != 0;
    }
    if (ret == 0 && visor_hypervisor_cap(vm->hv, VISOR_CAP_TSC_LEAF_NEEDED) != 0)
        out->tsc_leaf = true;
    if (ret == 0 && out->tsc_leaf && out->tsc_hz == 0)
        ret = vm_tsc_hz(&out->tsc_hz, vm);
    return ret;
}

int visor_x86_configure_cpuid(visor_vcpu *vcpu, const visor_x86_cpu_config *config)
{
    visor_x86_cpu_config complete;
    visor_x86_cpuid_entry *entries;
    size_t count;
    int ret = complete_config(&complete, config, vcpu->vm);

    if (ret < 0)
        return ret;
    entries = calloc(VISOR__CPUID_MAX, sizeof(*entries));
    if (entries == NULL)
        return visor__error(VISOR_ENOMEM, "", __func__, "%u entries", VISOR__CPUID_MAX);
    ret = visor_x86_supported_cpuid(entries, VISOR__CPUID_MAX, vcpu->vm->hv);
    if (ret > (int)VISOR__CPUID_MAX)
        ret = visor__error(VISOR_ELIMIT, "", __func__, "the hypervisor lists %d entries", ret);
    count = ret < 0 ? 0 : (size_t)ret;
    if (ret >= 0)
        ret = visor_x86_adjust_cpuid(entries, &count, VISOR__CPUID_MAX, &complete, vcpu->id, NULL,
                                     NULL);
    if (ret == 0)
        ret = visor_x86_set_cpuid(vcpu, entries, count);
    free(entries);
    return ret;
}
