/* SPDX-License-Identifier: BSD-3-Clause */
/* The CPUID policy, leaf by leaf, with a made-up host. */
#include "unit.h"

#include <visor.h>

#include "core/x86.h"

static visor_x86_cpu_config new_config(void)
{
    return (visor_x86_cpu_config)VISOR_X86_CPU_CONFIG_INIT;
}

/* Every register of every leaf of the host is different, and so are those of the hypervisor. */
static uint32_t mark(uint32_t seed, uint32_t function, uint32_t index, uint32_t reg)
{
    return (seed + function * 2654435761u + index * 40503u + reg * 2246822519u) ^ (reg << 13);
}

static void host(void *context, visor_x86_cpuid_entry *entry)
{
    if (context != NULL)
        ++*(unsigned *)context;
    entry->eax = mark(1, entry->function, entry->index, 0);
    entry->ebx = mark(1, entry->function, entry->index, 1);
    entry->ecx = mark(1, entry->function, entry->index, 2);
    entry->edx = mark(1, entry->function, entry->index, 3);
}

static visor_x86_cpuid_entry supported(uint32_t function, uint32_t index)
{
    return (visor_x86_cpuid_entry){
        .function = function,
        .index = index,
        .flags = 0x40,
        .eax = mark(2, function, index, 0),
        .ebx = mark(2, function, index, 1),
        .ecx = mark(2, function, index, 2),
        .edx = mark(2, function, index, 3),
    };
}

/* What becomes of one leaf. */
static visor_x86_cpuid_entry adjusted(visor_x86_cpuid_entry entry,
                                      const visor_x86_cpu_config *config, uint32_t id)
{
    visor_x86_cpuid_entry entries[4] = {entry};
    size_t count = 1;

    CHECK_OK(visor_x86_adjust_cpuid(entries, &count, 4, config, id, host, NULL));
    return entries[0];
}

static visor_x86_cpuid_entry leaf(uint32_t function, uint32_t index,
                                  const visor_x86_cpu_config *config, uint32_t id)
{
    return adjusted(supported(function, index), config, id);
}

static bool equal(visor_x86_cpuid_entry a, visor_x86_cpuid_entry b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

/* The entry with the registers that the host has. */
static visor_x86_cpuid_entry of_host(uint32_t function, uint32_t index)
{
    visor_x86_cpuid_entry entry = supported(function, index);

    host(NULL, &entry);
    return entry;
}

TEST(other_leaves_stay_as_they_are)
{
    static const uint32_t touched[] = {0x1,        0x2,        0x4,        0xb,        0x1f,
                                       0x80000002, 0x80000003, 0x80000004, 0x80000005, 0x80000006};
    visor_x86_cpu_config config = new_config();

    for (uint32_t i = 0; i < 0x200; i++) {
        uint32_t function = i < 0x80 ? i : i < 0x100 ? 0x40000000 + i : 0x80000000 + (i & 0x7f);
        bool is_touched = false;

        for (size_t k = 0; k < sizeof(touched) / sizeof(touched[0]); k++)
            is_touched |= touched[k] == function;
        if (!is_touched && !CHECK(equal(leaf(function, 0, &config, 0), supported(function, 0))))
            printf("#   leaf 0x%x\n", function);
    }
}

TEST(flags_function_and_index_are_never_touched)
{
    visor_x86_cpu_config config = new_config();

    config.vcpu_count = 4;
    config.tsc_leaf = true;
    config.tsc_hz = 2000000000;
    config.hybrid = VISOR_X86_CORE_ATOM;
    config.hwp = config.itmt = true;
    for (uint32_t function = 0; function < 0x20; function++) {
        for (uint32_t index = 0; index < 4; index++) {
            visor_x86_cpuid_entry entry = leaf(function, index, &config, 1);

            CHECK_INT(entry.function, function);
            CHECK_INT(entry.index, index);
            CHECK_INT(entry.flags, 0x40);
        }
    }
}

TEST(leaves_of_the_host_are_copied)
{
    static const uint32_t functions[] = {2,          0x80000002, 0x80000003,
                                         0x80000004, 0x80000005, 0x80000006};
    visor_x86_cpu_config config = new_config();

    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
        CHECK(equal(leaf(functions[i], 0, &config, 0), of_host(functions[i], 0)));
    config.host_topology = true;
    CHECK(equal(leaf(4, 3, &config, 0), of_host(4, 3)));
}

TEST(leaf_1_topology)
{
    for (uint32_t count = 0; count <= 300; count++) {
        visor_x86_cpu_config config = new_config();
        uint32_t id = count * 7 % 300;
        visor_x86_cpuid_entry entry, base = supported(1, 0);

        config.vcpu_count = count;
        base.edx &= ~(1u << 28);
        entry = adjusted(base, &config, id);
        CHECK_INT(entry.ebx >> 24, id & 0xff);
        CHECK_INT(entry.ebx >> 8 & 0xff, 8);
        CHECK_INT(entry.ebx & 0xff, 0);
        CHECK_INT(entry.ebx >> 16 & 0xff, count <= 1 ? 0 : count > 255 ? 255 : count);
        CHECK_INT(entry.edx, base.edx | (count > 1 ? 1u << 28 : 0));
        CHECK_INT(entry.eax, base.eax);
    }
}

TEST(leaf_1_with_the_topology_of_the_host)
{
    for (uint32_t bit = 0; bit < 2; bit++) {
        visor_x86_cpu_config config = new_config();
        visor_x86_cpuid_entry entry, base = supported(1, 0), real = of_host(1, 0);

        config.vcpu_count = 4;
        config.host_topology = true;
        base.edx = bit << 28;
        entry = adjusted(base, &config, 3);
        CHECK_INT(entry.ebx, base.ebx | 8 << 8);
        CHECK_INT(entry.edx, base.edx | (real.edx & 1u << 28));
    }
}

TEST(leaf_1_features)
{
    for (unsigned i = 0; i < 3 * 2 * 2 * 2 * 2; i++) {
        visor_x86_cpu_config config = new_config();
        visor_x86_cpuid_entry entry, base = supported(1, i >> 3 & 1);
        uint32_t wanted;

        config.x2apic = i & 1;
        config.tsc_deadline = i >> 1 & 1;
        base.ecx = i >> 2 & 1 ? UINT32_MAX : 0;
        config.nested = i / 16 == 0 ? VISOR_OFF : VISOR_AUTO;
        entry = adjusted(base, &config, 0);
        wanted = base.ecx & ~(1u << 21);
        if (base.index == 0)
            wanted |= 1u << 31;
        if (config.x2apic)
            wanted |= 1u << 21;
        if (config.tsc_deadline)
            wanted |= 1u << 24;
        if (config.nested == VISOR_OFF)
            wanted &= ~(1u << 5);
        CHECK_INT(entry.ecx, wanted);
    }
}

TEST(leaf_4_counts_cores)
{
    for (uint32_t count = 0; count <= 200; count++) {
        for (unsigned no_smt = 0; no_smt < 2; no_smt++) {
            visor_x86_cpu_config config = new_config();
            visor_x86_cpuid_entry entry, real = of_host(4, 2);
            uint32_t cores = no_smt ? count : count % 2 == 0 ? count / 2 : 1;

            config.vcpu_count = count;
            config.no_smt = no_smt;
            entry = leaf(4, 2, &config, 0);
            if (count <= 1)
                cores = 1;
            CHECK_INT(entry.eax >> 26, cores > 64 ? 63 : cores - 1);
            CHECK_INT(entry.eax & 0x3ffffff, real.eax & 0x3ffffff);
            CHECK_INT(entry.ebx, real.ebx);
            CHECK_INT(entry.ecx, real.ecx);
            CHECK_INT(entry.edx, real.edx);
        }
    }
}

TEST(leaf_6_shows_power_management_only_if_wanted)
{
    const uint32_t hwp = 1u << 7 | 1u << 8 | 1u << 10;
    visor_x86_cpu_config config = new_config();
    visor_x86_cpuid_entry base = supported(6, 0), real = of_host(6, 0), entry;

    CHECK(equal(leaf(6, 0, &config, 0), base));
    config.hwp = true;
    entry = leaf(6, 0, &config, 0);
    CHECK_INT(entry.eax, (base.eax & ~hwp) | (real.eax & hwp));
    CHECK_INT(entry.ecx, (base.ecx & ~8u) | (real.ecx & 8));
    CHECK_INT(entry.ebx, base.ebx);
    CHECK_INT(entry.edx, base.edx);
    config.itmt = true;
    entry = leaf(6, 0, &config, 0);
    CHECK_INT(entry.eax, (base.eax & ~(hwp | 1u << 14)) | (real.eax & (hwp | 1u << 14)));
    config.hwp = false;
    CHECK_INT(visor_x86_adjust_cpuid(&base, &(size_t){1}, 1, &config, 0, host, NULL), VISOR_EINVAL);
}

TEST(leaf_7_hybrid)
{
    visor_x86_cpu_config config = new_config();
    visor_x86_cpuid_entry base = supported(7, 0);

    base.edx = 0;
    CHECK_INT(adjusted(base, &config, 0).edx, 0);
    config.host_topology = true;
    CHECK_INT(adjusted(base, &config, 0).edx, of_host(7, 0).edx & 1u << 15);
    config.host_topology = false;
    config.hybrid = VISOR_X86_CORE_CORE;
    CHECK_INT(adjusted(base, &config, 0).edx, 1u << 15);
    CHECK(equal(leaf(7, 1, &config, 0), supported(7, 1)));
}

TEST(leaf_1a_core_type)
{
    visor_x86_cpu_config config = new_config();
    visor_x86_cpuid_entry base = {.function = 0x1a};

    CHECK_INT(adjusted(base, &config, 0).eax, 0);
    config.hybrid = VISOR_X86_CORE_ATOM;
    CHECK_INT(adjusted(base, &config, 0).eax, 0x20000000);
    config.hybrid = VISOR_X86_CORE_CORE;
    CHECK_INT(adjusted(base, &config, 0).eax, 0x40000000);
    config.host_topology = true;
    CHECK_INT(adjusted(base, &config, 0).eax, 0x40000000 | (of_host(0x1a, 0).eax & 0xffffff));
    config.hybrid = VISOR_X86_CORE_ANY;
    CHECK(equal(leaf(0x1a, 0, &config, 0), of_host(0x1a, 0)));
}

TEST(extended_topology)
{
    static const uint32_t functions[] = {0xb, 0x1f};

    for (uint32_t i = 0; i < 2 * 2 * 301; i++) {
        uint32_t function = functions[i & 1], count = i / 4, id = i % 300, bits = 0;
        uint32_t vcpus = count == 0 ? 1 : count;
        visor_x86_cpu_config config = new_config();
        visor_x86_cpuid_entry entry;

        config.no_smt = i >> 1 & 1;
        config.vcpu_count = count;
        while ((1u << bits) < vcpus)
            bits++;
        entry = leaf(function, 0, &config, id);
        CHECK_INT(entry.edx, id);
        CHECK_INT(entry.ecx, 1 << 8);
        if (config.no_smt || vcpus == 1) {
            CHECK_INT(entry.eax, 0);
            CHECK_INT(entry.ebx, 1);
        } else if (vcpus % 2 == 0) {
            CHECK_INT(entry.eax, 1);
            CHECK_INT(entry.ebx, 2);
        } else {
            CHECK_INT(entry.eax, bits);
            CHECK_INT(entry.ebx, vcpus);
        }
        entry = leaf(function, 1, &config, id);
        CHECK_INT(entry.eax, bits);
        CHECK_INT(entry.ebx, vcpus);
        CHECK_INT(entry.ecx, 2 << 8 | 1);
        CHECK_INT(entry.edx, id);
        entry = leaf(function, 2, &config, id);
        CHECK_INT(entry.eax | entry.ebx | entry.ecx, 0);
        CHECK_INT(entry.edx, id);
        config.host_topology = true;
        CHECK(equal(leaf(function, 0, &config, id), supported(function, 0)));
    }
}

TEST(the_second_level_of_the_topology_is_added)
{
    visor_x86_cpu_config config = new_config();
    visor_x86_cpuid_entry entries[3] = {supported(0xb, 0), supported(7, 0)};
    size_t count = 2;

    config.vcpu_count = 4;
    CHECK_INT(visor_x86_adjust_cpuid(entries, &count, 2, &config, 0, host, NULL), VISOR_ELIMIT);
    CHECK_INT(count, 2);
    CHECK(equal(entries[0], supported(0xb, 0)));
    CHECK_OK(visor_x86_adjust_cpuid(entries, &count, 3, &config, 0, host, NULL));
    CHECK_INT(count, 3);
    CHECK_INT(entries[2].function, 0xb);
    CHECK_INT(entries[2].index, 1);
    CHECK_INT(entries[2].flags, VISOR_X86_CPUID_INDEXED);
    CHECK_INT(entries[2].ebx, 4);
    /* Not a second time, and not where the host's topology is shown. */
    CHECK_OK(visor_x86_adjust_cpuid(entries, &count, 3, &config, 0, host, NULL));
    count = 2;
    config.host_topology = true;
    CHECK_OK(visor_x86_adjust_cpuid(entries, &count, 3, &config, 0, host, NULL));
    CHECK_INT(count, 2);
}

TEST(tsc_leaf)
{
    visor_x86_cpu_config config = new_config();
    visor_x86_cpuid_entry entries[2] = {{.function = 0, .eax = 0xd}};
    size_t count = 1;

    CHECK_OK(visor_x86_adjust_cpuid(entries, &count, 2, &config, 0, host, NULL));
    CHECK_INT(count, 1);
    CHECK_INT(entries[0].eax, 0xd);

    config.tsc_leaf = true;
    config.tsc_hz = 2904000000;
    CHECK_INT(visor_x86_adjust_cpuid(entries, &count, 1, &config, 0, host, NULL), VISOR_ELIMIT);
    CHECK_OK(visor_x86_adjust_cpuid(entries, &count, 2, &config, 0, host, NULL));
    CHECK_INT(count, 2);
    CHECK_INT(entries[0].eax, 0x15);
    CHECK_INT(entries[1].function, 0x15);
    CHECK_INT(entries[1].eax, 1000);
    CHECK_INT(entries[1].ebx, 2904);
    CHECK_INT(entries[1].ecx, 1000000000);
    CHECK_INT(entries[1].edx, 0);
    /* The processor's rule gives the frequency back. */
    config.lapic_hz = 100000000;
    CHECK_OK(visor_x86_adjust_cpuid(entries, &count, 2, &config, 0, host, NULL));
    CHECK_INT((uint64_t)entries[1].ecx * entries[1].ebx / entries[1].eax, 2904000000);

    entries[0].eax = 0x20;
    CHECK_OK(visor_x86_adjust_cpuid(entries, &count, 2, &config, 0, host, NULL));
    CHECK_INT(entries[0].eax, 0x20);
}

TEST(absurd_frequencies_are_refused)
{
    static const struct {
        uint64_t tsc_hz;
        uint32_t lapic_hz;
    } absurd[] = {{UINT64_MAX, 0}, {UINT64_MAX / 1000, 0}, {1, UINT32_MAX}, {5000000000, 1}};

    for (size_t i = 0; i < sizeof(absurd) / sizeof(absurd[0]); i++) {
        visor_x86_cpu_config config = new_config();
        visor_x86_cpuid_entry entries[2] = {supported(0x15, 0)};
        size_t count = 1;

        config.tsc_leaf = true;
        config.tsc_hz = absurd[i].tsc_hz;
        config.lapic_hz = absurd[i].lapic_hz;
        CHECK_INT(visor_x86_adjust_cpuid(entries, &count, 2, &config, 0, host, NULL), VISOR_ERANGE);
    }
}

TEST(the_hosts_frequency_can_be_measured)
{
    uint64_t first, second;

    if (visor__x86_host_tsc(&first, "test") < 0)
        SKIP("no time-stamp counter on this host");
    CHECK_OK(visor__x86_measure_tsc(&first));
    CHECK_OK(visor__x86_measure_tsc(&second));
    CHECK(first > 100000000 && first < 20000000000);
    /* A tenth: a busy machine may delay one reading. */
    CHECK(first < second + second / 10 && second < first + first / 10);
}

/* ---- nested virtualization ---- */

static void set_vendor(visor_x86_cpuid_entry *leaf0, const char vendor[13])
{
    memcpy(&leaf0->ebx, vendor, 4);
    memcpy(&leaf0->edx, vendor + 4, 4);
    memcpy(&leaf0->ecx, vendor + 8, 4);
}

TEST(nested_virtualization)
{
    static const struct {
        const char *vendor;
        bool vmx_counts, svm_counts;
    } vendors[] = {
        {"GenuineIntel", true, false},
        {"AuthenticAMD", false, true},
        {"nonesuch1234", true, true},
    };

    for (unsigned i = 0; i < 3 * 3 * 4; i++) {
        visor_x86_cpu_config config = new_config();
        visor_x86_cpuid_entry entries[3] = {
            {.function = 0}, {.function = 1}, {.function = 0x80000001}};
        size_t count = 3, v = i / 12;
        bool vmx = i & 1, svm = i >> 1 & 1;
        bool offered = (vmx && vendors[v].vmx_counts) || (svm && vendors[v].svm_counts);
        int ret;

        config.nested = (visor_toggle)(i / 4 % 3);
        set_vendor(&entries[0], vendors[v].vendor);
        entries[1].ecx = vmx ? 1u << 5 : 0;
        entries[2].ecx = svm ? 1u << 2 : 0;
        ret = visor_x86_adjust_cpuid(entries, &count, 3, &config, 0, host, NULL);
        CHECK_INT(ret, config.nested == VISOR_ON && !offered ? VISOR_EUNSUPPORTED : 0);
        if (ret < 0)
            CHECK(visor_error_last()->hint[0] != '\0');
        CHECK_INT(entries[1].ecx >> 5 & 1, config.nested != VISOR_OFF && vmx);
        CHECK_INT(entries[2].ecx >> 2 & 1, config.nested != VISOR_OFF && svm);
    }
}

/* ---- configuration ---- */

TEST(configurations_are_checked)
{
    struct {
        visor_x86_cpu_config config;
        uint64_t more;
    } newer = {.config = VISOR_X86_CPU_CONFIG_INIT};
    visor_x86_cpu_config config = new_config();
    visor_x86_cpuid_entry entry = supported(7, 0);
    size_t count = 1;

    config.nested = (visor_toggle)3;
    CHECK_INT(visor_x86_adjust_cpuid(&entry, &count, 1, &config, 0, host, NULL), VISOR_EINVAL);
    config = new_config();
    config.hybrid = (visor_x86_core_type)3;
    CHECK_INT(visor_x86_adjust_cpuid(&entry, &count, 1, &config, 0, host, NULL), VISOR_EINVAL);
    newer.config.size = sizeof(newer);
    CHECK_OK(visor_x86_adjust_cpuid(&entry, &count, 1, &newer.config, 0, host, NULL));
    newer.more = 1;
    CHECK_INT(visor_x86_adjust_cpuid(&entry, &count, 1, &newer.config, 0, host, NULL),
              VISOR_EINVAL);
}

TEST(no_configuration_means_one_vcpu_and_what_there_is)
{
    unsigned asked = 0;
    visor_x86_cpuid_entry entry = {.function = 1, .ecx = 1u << 5};
    size_t count = 1;

    CHECK_OK(visor_x86_adjust_cpuid(&entry, &count, 1, NULL, 0, host, &asked));
    CHECK_INT(entry.ecx, 1u << 31 | 1u << 5);
    CHECK_INT(entry.ebx, 8 << 8);
    CHECK_INT(asked, 0);
}

/* ---- the whole way ---- */

static int configured(visor_x86_cpuid_entry *leaf1, visor_irqchip irqchip,
                      const visor_x86_cpu_config *config)
{
    const visor_memory_region region = {.length = 4096};
    visor_vm_config vm_config = VISOR_VM_CONFIG_INIT;
    visor_x86_cpuid_entry entries[16] = {{0}};
    visor_hypervisor *hv = NULL;
    visor_memory *memory = NULL;
    visor_vm *vm = NULL;
    visor_vcpu *vcpu = NULL;
    int ret;

    vm_config.arch = VISOR_ARCH_X86_64;
    vm_config.irqchip = irqchip;
    ret = visor_hypervisor_open(&hv, "null");
    if (ret == 0)
        ret = visor_memory_create(&memory, &region, 1, NULL);
    if (ret == 0)
        ret = visor_vm_create(&vm, hv, memory, &vm_config);
    if (ret == 0)
        ret = visor_vcpu_create(&vcpu, vm, 5);
    if (ret == 0)
        ret = visor_x86_configure_cpuid(vcpu, config);
    if (ret == 0)
        ret = visor_x86_get_cpuid(entries, 16, vcpu);
    for (int i = 0; i < ret && i < 16; i++) {
        if (entries[i].function == 1)
            *leaf1 = entries[i];
    }
    visor_vcpu_free(vcpu);
    visor_vm_free(vm);
    visor_memory_free(memory);
    visor_hypervisor_free(hv);
    return ret;
}

TEST(a_vcpu_is_configured_from_its_vm)
{
    visor_x86_cpu_config config = new_config();
    visor_x86_cpuid_entry leaf1 = {0};

    CHECK_INT(configured(&leaf1, VISOR_IRQCHIP_NONE, NULL), 3);
    CHECK_INT(leaf1.ebx, 5u << 24 | 8 << 8);
    CHECK_INT(leaf1.ecx, 1u << 31);
    CHECK_INT(configured(&leaf1, VISOR_IRQCHIP_KERNEL, NULL), 3);
    CHECK_INT(leaf1.ecx, 1u << 31 | 1u << 21);
    CHECK_INT(configured(&leaf1, VISOR_IRQCHIP_KERNEL, &config), 3);
    CHECK_INT(leaf1.ecx, 1u << 31);
    config.nested = VISOR_ON;
    CHECK_INT(configured(&leaf1, VISOR_IRQCHIP_KERNEL, &config), VISOR_EUNSUPPORTED);
    config.nested = VISOR_OFF;
    config.tsc_leaf = true;
    config.tsc_hz = 1000000000;
    CHECK_INT(configured(&leaf1, VISOR_IRQCHIP_KERNEL, &config), 4);
}

UNIT_MAIN()
