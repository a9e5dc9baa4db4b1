/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Device trees: the builder, and the trees of whole machines. No hypervisor of this host may have
 * such a guest, so the library's functions that machines ask are replaced here (the linker's
 * --wrap); everything behind them is a VM of the null backend.
 */
#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

#include <libfdt.h>
#include <visor/aarch64.h>
#include <visor/riscv64.h>

#include "machine/board.h"
#include "machine/dt.h"

#define MIB UINT64_C(0x100000)

/* ---- the builder ---- */

static const void *get(const void *tree, const char *path, const char *name, int length)
{
    int actual = -1, node = fdt_path_offset(tree, path);
    const void *value = node >= 0 ? fdt_getprop(tree, node, name, &actual) : NULL;

    if (!CHECK(value != NULL) || !CHECK_INT(actual, length)) {
        printf("#   it is %s of %s\n", name, path);
        return NULL;
    }
    return value;
}

static bool has(const void *tree, const char *path, const char *name)
{
    int node = fdt_path_offset(tree, path);

    return node >= 0 && (name == NULL || fdt_getprop(tree, node, name, NULL) != NULL);
}

static void check_string(const void *tree, const char *path, const char *name, const char *text)
{
    const char *value = get(tree, path, name, (int)strlen(text) + 1);

    if (value != NULL)
        CHECK_STR(value, text);
}

static void check_cells(const void *tree, const char *path, const char *name, const uint32_t *cells,
                        size_t count)
{
    const fdt32_t *value = get(tree, path, name, (int)count * 4);

    for (size_t i = 0; i < count && value != NULL; i++) {
        if (!CHECK_INT(fdt32_to_cpu(value[i]), cells[i]))
            printf("#   it is cell %zu of %s of %s\n", i, name, path);
    }
}
#define CHECK_CELLS(tree, path, name, ...)                         \
    check_cells(tree, path, name, (const uint32_t[]){__VA_ARGS__}, \
                sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

TEST(builder_makes_nodes_and_properties)
{
    static const char *const strings[] = {"one", "two", NULL};
    static const uint64_t pairs[2][2] = {{UINT64_C(0x123456789a), 1}, {2, UINT64_MAX}};
    const char *text;
    void *tree = NULL;
    size_t size = 0;
    vmm_error error;
    struct dt dt;

    dt_begin(&dt, 1 << 20);
    dt_u32(&dt, "number", 7);
    dt_open(&dt, "node", 0xabc);
    dt_string(&dt, "text", "hello");
    dt_strings(&dt, "texts", strings);
    dt_flag(&dt, "flag");
    dt_u64(&dt, "wide", UINT64_C(0x1122334455667788));
    DT_CELLS(&dt, "cells", 1, 2, 3);
    dt_ranges(&dt, "ranges", pairs, 2);
    dt_open_plain(&dt, "inner");
    dt_reg(&dt, 0x1000, 0x10);
    dt_close(&dt);
    dt_close(&dt);
    REQUIRE_OK(dt_finish(&tree, &size, &dt, &error));
    CHECK_OK(fdt_check_full(tree, size));
    CHECK_CELLS(tree, "/", "number", 7);
    check_string(tree, "/node@abc", "text", "hello");
    text = get(tree, "/node@abc", "texts", 8);
    CHECK(text != NULL && memcmp(text, "one\0two", 8) == 0);
    get(tree, "/node@abc", "flag", 0);
    CHECK_CELLS(tree, "/node@abc", "wide", 0x11223344, 0x55667788);
    CHECK_CELLS(tree, "/node@abc", "cells", 1, 2, 3);
    CHECK_CELLS(tree, "/node@abc", "ranges", 0x12, 0x3456789a, 0, 1, 0, 2, 0xffffffff, 0xffffffff);
    CHECK_CELLS(tree, "/node@abc/inner", "reg", 0, 0x1000, 0, 0x10);
    free(tree);
}

static int build_large(void **tree, size_t *size, size_t nodes, size_t limit, vmm_error *error)
{
    struct dt dt;

    error->text[0] = '\0';
    dt_begin(&dt, limit);
    for (size_t i = 0; i < nodes; i++) {
        dt_open(&dt, "node", i);
        dt_u32(&dt, "number", (uint32_t)i);
        dt_close(&dt);
    }
    return dt_finish(tree, size, &dt, error);
}

TEST(builder_grows_up_to_its_limit)
{
    vmm_error error;
    void *tree = NULL;
    size_t size = 0, large;

    REQUIRE_OK(build_large(&tree, &large, 5000, 1 << 20, &error));
    CHECK_OK(fdt_check_full(tree, large));
    CHECK_CELLS(tree, "/node@1387", "number", 4999);
    free(tree);
    CHECK_OK(build_large(&tree, &size, 5000, large, &error));
    free(tree);
    /* A limit that is met anywhere between the header and the last byte. */
    for (size_t limit = 0; limit < large; limit += limit < 400 ? 1 : 4999) {
        if (!CHECK_INT(build_large(&tree, &size, 5000, limit, &error), VISOR_ELIMIT))
            break;
    }
    CHECK_INT(build_large(&tree, &size, 5000, large - 1, &error), VISOR_ELIMIT);
    CHECK_STR(error.text, "the device tree does not fit into the 174 KiB that it may have");
}

/* ---- a library with such guests ---- */

static visor_arch wanted;
static visor_protection protection;
static visor_cap lacking; /* of what a hypervisor with protected VMs has */
static uint64_t firmware_gpa, firmware_room;
static bool creating;
static visor_aarch64_config host_arm; /* what the host's offer comes to */
static visor_riscv_config host_riscv;
static visor_aarch64_regs arm_regs;
static visor_riscv_regs riscv_regs;

bool __real_visor_hypervisor_has_arch(const visor_hypervisor *hv, visor_arch arch);
bool __wrap_visor_hypervisor_has_arch(const visor_hypervisor *hv, visor_arch arch);
bool __wrap_visor_hypervisor_has_arch(const visor_hypervisor *hv, visor_arch arch)
{
    return creating ? __real_visor_hypervisor_has_arch(hv, arch) : arch == wanted;
}

int __real_visor_vm_create(visor_vm **out, visor_hypervisor *hv, visor_memory *memory,
                           const visor_vm_config *config);
int __wrap_visor_vm_create(visor_vm **out, visor_hypervisor *hv, visor_memory *memory,
                           const visor_vm_config *config);
int __wrap_visor_vm_create(visor_vm **out, visor_hypervisor *hv, visor_memory *memory,
                           const visor_vm_config *config)
{
    visor_vm_config plain = *config;
    int code;

    CHECK_INT(config->arch, wanted);
    CHECK_INT(config->irqchip, VISOR_IRQCHIP_KERNEL);
    CHECK_INT(config->protection, protection);
    plain.arch = VISOR_ARCH_X86_64;
    plain.protection = VISOR_UNPROTECTED;
    creating = true;
    code = __real_visor_vm_create(out, hv, memory, &plain);
    creating = false;
    return code;
}

int64_t __real_visor_hypervisor_cap(visor_hypervisor *hv, visor_cap cap);
int64_t __wrap_visor_hypervisor_cap(visor_hypervisor *hv, visor_cap cap);
int64_t __wrap_visor_hypervisor_cap(visor_hypervisor *hv, visor_cap cap)
{
    if (cap == VISOR_CAP_PROTECTED || cap == VISOR_CAP_SWIOTLB_REGION)
        return cap != lacking;
    return __real_visor_hypervisor_cap(hv, cap);
}

int __wrap_visor_vm_load_firmware(uint64_t *out, visor_vm *vm, uint64_t gpa, uint64_t max_size);
int __wrap_visor_vm_load_firmware(uint64_t *out, visor_vm *vm, uint64_t gpa, uint64_t max_size)
{
    (void)vm;
    firmware_gpa = gpa;
    firmware_room = max_size;
    *out = 0x1000;
    return 0;
}

int __wrap_visor_aarch64_configure(visor_vm *vm, const visor_aarch64_config *config);
int __wrap_visor_aarch64_configure(visor_vm *vm, const visor_aarch64_config *config)
{
    (void)vm;
    host_arm.vcpu_count = config->vcpu_count;
    return 0;
}

int __wrap_visor_aarch64_get_config(visor_aarch64_config *out, visor_vm *vm);
int __wrap_visor_aarch64_get_config(visor_aarch64_config *out, visor_vm *vm)
{
    (void)vm;
    *out = host_arm;
    return 0;
}

int __wrap_visor_aarch64_get_reg(uint64_t *out, visor_vcpu *vcpu, uint32_t reg);
int __wrap_visor_aarch64_get_reg(uint64_t *out, visor_vcpu *vcpu, uint32_t reg)
{
    CHECK_INT(reg, 0xc005);
    *out = 0x80000000 | visor_vcpu_id(vcpu) << 8; /* bit 31 is always 1 */
    return 0;
}

int __wrap_visor_aarch64_set_regs(visor_vcpu *vcpu, const visor_aarch64_regs *regs);
int __wrap_visor_aarch64_set_regs(visor_vcpu *vcpu, const visor_aarch64_regs *regs)
{
    CHECK_INT(visor_vcpu_id(vcpu), 0);
    arm_regs = *regs;
    return 0;
}

static visor_aarch64_boot arm_boot;

int __wrap_visor_aarch64_set_boot(visor_vm *vm, const visor_aarch64_boot *boot);
int __wrap_visor_aarch64_set_boot(visor_vm *vm, const visor_aarch64_boot *boot)
{
    (void)vm;
    arm_boot = *boot;
    return 0;
}

int __wrap_visor_riscv_configure(visor_vm *vm, const visor_riscv_config *config);
int __wrap_visor_riscv_configure(visor_vm *vm, const visor_riscv_config *config)
{
    (void)vm;
    host_riscv.vcpu_count = config->vcpu_count;
    return 0;
}

int __wrap_visor_riscv_get_config(visor_riscv_config *out, visor_vm *vm);
int __wrap_visor_riscv_get_config(visor_riscv_config *out, visor_vm *vm)
{
    (void)vm;
    *out = host_riscv;
    return 0;
}

int __wrap_visor_riscv_get_reg(uint64_t *out, visor_vcpu *vcpu, uint32_t reg);
int __wrap_visor_riscv_get_reg(uint64_t *out, visor_vcpu *vcpu, uint32_t reg)
{
    (void)vcpu;
    switch (reg) {
    case VISOR_RISCV_REG(VISOR_RISCV_CONFIG, VISOR_RISCV_CONFIG_ISA):
        *out = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 8 | 1 << 12; /* a c d f i m */
        return 0;
    case VISOR_RISCV_REG(VISOR_RISCV_CONFIG, VISOR_RISCV_CONFIG_ZICBOZ_BLOCK): *out = 64; return 0;
    case VISOR_RISCV_REG(VISOR_RISCV_CONFIG, VISOR_RISCV_CONFIG_SATP_MODE): *out = 9; return 0;
    default: return VISOR_ENOENT;
    }
}

int __wrap_visor_riscv_get_group(visor_reg *out, size_t capacity, visor_vcpu *vcpu,
                                 enum visor_riscv_group group);
int __wrap_visor_riscv_get_group(visor_reg *out, size_t capacity, visor_vcpu *vcpu,
                                 enum visor_riscv_group group)
{
    static const visor_reg isa[] = {
        {.id = VISOR_RISCV_REG(VISOR_RISCV_ISA, 0), .value = 1},    /* a */
        {.id = VISOR_RISCV_REG(VISOR_RISCV_ISA, 8), .value = 1},    /* sstc */
        {.id = VISOR_RISCV_REG(VISOR_RISCV_ISA, 13), .value = 0},   /* zbb, switched off */
        {.id = VISOR_RISCV_REG(VISOR_RISCV_ISA, 17), .value = 1},   /* zba */
        {.id = VISOR_RISCV_REG(VISOR_RISCV_ISA, 9999), .value = 1}, /* of the future */
    };

    (void)vcpu;
    CHECK_INT(group, VISOR_RISCV_ISA);
    memcpy(out, isa, (capacity < 5 ? capacity : 5) * sizeof(*out));
    return 5;
}

int __wrap_visor_riscv_get_timer(visor_riscv_timer *out, visor_vcpu *vcpu);
int __wrap_visor_riscv_get_timer(visor_riscv_timer *out, visor_vcpu *vcpu)
{
    (void)vcpu;
    *out = (visor_riscv_timer){.frequency = 10000000};
    return 0;
}

int __wrap_visor_riscv_set_regs(visor_vcpu *vcpu, const visor_riscv_regs *regs);
int __wrap_visor_riscv_set_regs(visor_vcpu *vcpu, const visor_riscv_regs *regs)
{
    CHECK_INT(visor_vcpu_id(vcpu), 0);
    riscv_regs = *regs;
    return 0;
}

/* ---- machines ---- */

struct rig {
    visor_hypervisor *hv;
    struct machine *machine;
    const void *tree;
    size_t size;
    uint8_t file[4096], initrd_bytes[5000];
    struct boot_image kernel, initrd, firmware;
    vmm_error error;
};

static int rig_create(struct rig *rig, visor_arch arch, uint32_t vcpus)
{
    struct machine_config config = {
        .vcpu_count = vcpus,
        .memory_size = 65 * MIB,
        .kernel = &rig->kernel,
        .initrd = &rig->initrd,
        .params = "panic=-1 console=ttyS0",
        .serial = {[0] = {.present = true}, [2] = {.present = true}},
        .entropy = true,
        .protection = protection,
        .bounce_size = protection != VISOR_UNPROTECTED ? 5 * MIB : 0,
        .firmware = protection == VISOR_PROTECTED_CUSTOM_FIRMWARE ? &rig->firmware : NULL,
    };

    *rig = (struct rig){0};
    wanted = arch;
    rig->firmware = (struct boot_image){.path = "fw", .data = (const uint8_t *)"start", .size = 5};
    boot_put64(rig->file + 8, arch == VISOR_ARCH_AARCH64 ? 0 : 0x200000);
    boot_put64(rig->file + 16, 2 * MIB);
    memcpy(rig->file + 56, arch == VISOR_ARCH_AARCH64 ? "ARMd" : "RSC\5", 4);
    rig->kernel = (struct boot_image){.path = "kernel", .data = rig->file, .size = 4096};
    rig->initrd = (struct boot_image){.path = "initrd", .data = rig->initrd_bytes, .size = 5000};
    if (!CHECK_OK(visor_hypervisor_open(&rig->hv, "null")))
        return VISOR_ENOENT;
    return machine_create(&rig->machine, rig->hv, &config, &rig->error);
}

static bool rig_make(struct rig *rig, visor_arch arch, uint32_t vcpus)
{
    if (!CHECK_INT(rig_create(rig, arch, vcpus), 0)) {
        printf("#   %s\n", rig->error.text);
        return false;
    }
    rig->tree = machine_tree(&rig->size, rig->machine);
    return CHECK(rig->tree != NULL) && CHECK_OK(fdt_check_full(rig->tree, rig->size));
}

static void rig_free(struct rig *rig)
{
    machine_free(rig->machine);
    visor_hypervisor_free(rig->hv);
}

/* What is the same on all boards with a tree; it is in guest memory at `gpa`. */
static void check_common(const struct rig *rig, uint64_t gpa)
{
    static uint8_t copy[65536];
    const void *tree = rig->tree;
    const uint8_t *seed;

    CHECK_INT(gpa, 0x80000000 + 62 * MIB);
    REQUIRE(rig->size < sizeof(copy));
    CHECK_OK(visor_memory_read(copy, rig->machine->memory, gpa, rig->size));
    CHECK(memcmp(copy, tree, rig->size) == 0);

    CHECK_CELLS(tree, "/memory@80000000", "reg", 0, 0x80000000, 0, 65 << 20);
    check_string(tree, "/chosen", "bootargs", "panic=-1 console=ttyS0");
    check_string(tree, "/chosen", "stdout-path", "/serial@1000000");
    CHECK_CELLS(tree, "/chosen", "linux,initrd-start", 0, 0x80000000 + (62 << 20) - 8192);
    CHECK_CELLS(tree, "/chosen", "linux,initrd-end", 0, 0x80000000 + (62 << 20) - 8192 + 5000);
    seed = get(tree, "/chosen", "rng-seed", 64);
    CHECK(seed != NULL && memcmp(seed, copy + sizeof(copy) - 64, 64) != 0);
    get(tree, "/chosen", "kaslr-seed", 8);
    check_string(tree, "/aliases", "serial0", "/serial@1000000");
    check_string(tree, "/aliases", "serial2", "/serial@1002000");
    check_string(tree, "/serial@1002000", "compatible", "ns16550a");
    CHECK_CELLS(tree, "/serial@1002000", "reg", 0, 0x1002000, 0, 8);
    CHECK(!has(tree, "/serial@1001000", NULL));
    CHECK(!has(tree, "/reserved-memory", NULL) && !has(tree, "/pcie@10000000", "memory-region"));
    CHECK(!rig->machine->host.bounce_only);
    check_string(tree, "/pvpanic@1020000", "compatible", "qemu,pvpanic-mmio");
    check_string(tree, "/pcie@10000000", "compatible", "pci-host-ecam-generic");
    CHECK_CELLS(tree, "/pcie@10000000", "reg", 0, 0x10000000, 0, 0x100000);
    CHECK_CELLS(tree, "/pcie@10000000", "ranges", 0x2000000, 0, 0x20000000, 0, 0x20000000, 0,
                0x10000000);
}

/* dtc checks a tree's sense: addresses against names, phandles, numbers of cells. */
static void check_with_dtc(const struct rig *rig)
{
    char path[] = "/tmp/visor-dt-XXXXXX", command[512];
    int fd;

    /* NOLINTNEXTLINE(cert-env33-c): our own words, and dtc is found by PATH */
    if (system("command -v dtc >/dev/null 2>&1") != 0) {
        printf("# dtc is not installed (Debian: device-tree-compiler)\n");
        return;
    }
    fd = mkstemp(path);
    REQUIRE(fd >= 0);
    CHECK_INT(write(fd, rig->tree, rig->size), rig->size);
    close(fd);
    snprintf(command, sizeof(command),
             "dtc -q -q -I dtb -O dts %s >%s.dts && dtc -I dtb -O null %s "
             "2>%s.log; s=$?; sed 's/^/# /' %s.log; test $s = 0 && test ! -s %s.log",
             path, path, path, path, path, path);
    CHECK_INT(system(command), 0); /* NOLINT(cert-env33-c) */
    unlink(path);
    snprintf(command, sizeof(command), "%s.dts", path);
    unlink(command);
    snprintf(command, sizeof(command), "%s.log", path);
    unlink(command);
}

static visor_aarch64_config gic_v3(void)
{
    return (visor_aarch64_config){
        .size = sizeof(visor_aarch64_config),
        .pmu = VISOR_ON,
        .its = VISOR_ON,
        .gic_version = 3,
        .spi_count = 64,
        .pmu_intid = 23,
        .gic_distributor_gpa = 0x3fff0000,
        .gic_redistributor_gpa = 0x3ffb0000,
        .gic_cpu_gpa = 0x3ffd0000,
        .gic_its_gpa = 0x40000000,
    };
}

TEST(aarch64_machine_has_a_gic_with_its)
{
    static struct rig rig;
    const void *tree;

    host_arm = gic_v3();
    REQUIRE(rig_make(&rig, VISOR_ARCH_AARCH64, 2));
    tree = rig.tree;
    CHECK_INT(host_arm.vcpu_count, 2);
    CHECK_INT(arm_regs.pc, 0x80000000);
    CHECK_INT(arm_regs.pstate, 0x3c5);
    CHECK_INT(arm_boot.entry_gpa, 0x80000000);
    CHECK_INT(arm_boot.tree_gpa, arm_regs.x[0]);
    CHECK_INT(arm_boot.tree_length, 2 * MIB);
    check_common(&rig, arm_regs.x[0]);
    check_with_dtc(&rig);

    check_string(tree, "/cpus/cpu@100", "enable-method", "psci");
    CHECK_CELLS(tree, "/cpus/cpu@100", "reg", 0, 0x100);
    CHECK(has(tree, "/cpus/cpu@0", NULL) && !has(tree, "/cpus/cpu@200", NULL));
    check_string(tree, "/psci", "method", "hvc");
    check_string(tree, "/interrupt-controller@3fff0000", "compatible", "arm,gic-v3");
    CHECK_CELLS(tree, "/interrupt-controller@3fff0000", "reg", 0, 0x3fff0000, 0, 0x10000, 0,
                0x3ffb0000, 0, 0x40000);
    CHECK_CELLS(tree, "/interrupt-controller@3fff0000/msi-controller@40000000", "reg", 0,
                0x40000000, 0, 0x20000);
    CHECK_CELLS(tree, "/timer", "interrupts", 1, 13, 8, 1, 14, 8, 1, 11, 8, 1, 10, 8);
    CHECK_CELLS(tree, "/pmu", "interrupts", 1, 7, 4);
    CHECK_CELLS(tree, "/serial@1000000", "interrupts", 0, 1, 4);
    CHECK_CELLS(tree, "/pcie@10000000", "msi-map", 0, 2, 0, 0x10000);
    CHECK_CELLS(tree, "/pcie@10000000", "interrupt-map-mask", 0x1800, 0, 0, 7);
    get(tree, "/pcie@10000000", "interrupt-map", 16 * 10 * 4);
    CHECK_CELLS(tree, "/rtc@1010000", "reg", 0, 0x1010000, 0, 0x1000);
    CHECK_INT(machine_power_button(rig.machine), VISOR_EUNSUPPORTED);
    rig_free(&rig);
}

TEST(aarch64_machine_makes_do_with_less)
{
    static struct rig rig;
    const void *tree;

    host_arm = gic_v3();
    host_arm.gic_version = 2;
    host_arm.its = host_arm.pmu = VISOR_OFF;
    REQUIRE(rig_make(&rig, VISOR_ARCH_AARCH64, 4));
    tree = rig.tree;
    CHECK_CELLS(tree, "/", "interrupt-parent", 1);
    check_with_dtc(&rig);
    check_string(tree, "/interrupt-controller@3fff0000", "compatible", "arm,cortex-a15-gic");
    CHECK_CELLS(tree, "/interrupt-controller@3fff0000", "reg", 0, 0x3fff0000, 0, 0x1000, 0,
                0x3ffd0000, 0, 0x2000);
    CHECK(!has(tree, "/interrupt-controller@3fff0000/msi-controller@40000000", NULL));
    CHECK(!has(tree, "/pcie@10000000", "msi-map"));
    CHECK(has(tree, "/pcie@10000000", "interrupt-map"));
    CHECK(!has(tree, "/pmu", NULL));
    CHECK_CELLS(tree, "/timer", "interrupts", 1, 13, 0xf08, 1, 14, 0xf08, 1, 11, 0xf08, 1, 10,
                0xf08);
    rig_free(&rig);
}

/* The purpose and place of region n. */
static void check_region(const struct rig *rig, size_t n, visor_memory_purpose purpose,
                         uint64_t gpa, uint64_t length)
{
    visor_memory_info info;

    REQUIRE_OK(visor_memory_region_info(&info, rig->machine->memory, n));
    CHECK_INT(info.purpose, purpose);
    CHECK_INT(info.gpa, gpa);
    CHECK_INT(info.length, length);
}

static void check_protected(const struct rig *rig)
{
    const void *tree = rig->tree;

    CHECK_INT(arm_boot.entry_gpa, 0x80000000);
    CHECK_INT(arm_boot.tree_gpa, 0x80000000 + 58 * MIB); /* of 60 MiB */
    CHECK_INT(arm_regs.x[0], arm_boot.tree_gpa);
    check_with_dtc(rig);
    CHECK_CELLS(tree, "/memory@80000000", "reg", 0, 0x80000000, 0, 65 << 20);
    check_string(tree, "/reserved-memory/restricted-dma-pool@83c00000", "compatible",
                 "restricted-dma-pool");
    CHECK_CELLS(tree, "/reserved-memory/restricted-dma-pool@83c00000", "reg", 0, 0x83c00000, 0,
                5 << 20);
    CHECK_CELLS(tree, "/reserved-memory/restricted-dma-pool@83c00000", "phandle", 4);
    CHECK_CELLS(tree, "/pcie@10000000", "memory-region", 4);
    CHECK(rig->machine->host.bounce_only);
}

TEST(protected_machine_has_firmware_and_a_bounce_buffer)
{
    static struct rig rig;

    host_arm = gic_v3();
    protection = VISOR_PROTECTED;
    if (CHECK(rig_make(&rig, VISOR_ARCH_AARCH64, 2))) {
        check_region(&rig, 0, VISOR_MEMORY_PROTECTED_FIRMWARE, 0x7fc00000, 4 * MIB);
        check_region(&rig, 1, VISOR_MEMORY_RAM, 0x80000000, 60 * MIB);
        check_region(&rig, 2, VISOR_MEMORY_SWIOTLB, 0x83c00000, 5 * MIB);
        CHECK_INT(firmware_gpa, 0x7fc00000);
        CHECK_INT(firmware_room, 4 * MIB);
        CHECK_INT(arm_regs.pc, 0x7fc00000);
        CHECK_INT(arm_regs.x[1], 0x80000000);
        CHECK_INT(arm_regs.x[2], 4096);
        check_protected(&rig);
    }
    rig_free(&rig);
    protection = VISOR_UNPROTECTED;
}

TEST(protected_machine_takes_firmware_or_does_without)
{
    static struct rig rig;
    char start[6] = "";

    host_arm = gic_v3();
    firmware_gpa = 0;
    protection = VISOR_PROTECTED_CUSTOM_FIRMWARE;
    if (CHECK(rig_make(&rig, VISOR_ARCH_AARCH64, 1))) {
        CHECK_OK(visor_memory_read(start, rig.machine->memory, 0x7fc00000, 5));
        CHECK_STR(start, "start");
        CHECK_INT(arm_regs.pc, 0x7fc00000);
        CHECK_INT(arm_regs.x[1], 0x80000000);
        check_protected(&rig);
    }
    rig_free(&rig);
    protection = VISOR_PROTECTED_NO_FIRMWARE;
    if (CHECK(rig_make(&rig, VISOR_ARCH_AARCH64, 1))) {
        check_region(&rig, 0, VISOR_MEMORY_RAM, 0x80000000, 60 * MIB);
        check_region(&rig, 1, VISOR_MEMORY_SWIOTLB, 0x83c00000, 5 * MIB);
        CHECK_INT(arm_regs.pc, 0x80000000);
        CHECK_INT(arm_regs.x[1], 0);
        check_protected(&rig);
    }
    rig_free(&rig);
    CHECK_INT(firmware_gpa, 0);
    protection = VISOR_UNPROTECTED;
}

TEST(protected_machine_needs_a_hypervisor_for_it)
{
    static const struct {
        visor_arch arch;
        visor_cap lacking;
        int code;
        const char *text;
    } cases[] = {
        {VISOR_ARCH_RISCV64, 0, VISOR_EINVAL, "a machine of riscv64 cannot be protected"},
        {VISOR_ARCH_AARCH64, VISOR_CAP_PROTECTED, VISOR_EUNSUPPORTED, "null protects no VMs here"},
        {VISOR_ARCH_AARCH64, VISOR_CAP_SWIOTLB_REGION, VISOR_EUNSUPPORTED,
         "null has no memory that a protected VM shares from its start, which devices need"},
    };
    static struct rig rig;

    host_arm = gic_v3();
    protection = VISOR_PROTECTED;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        lacking = cases[i].lacking;
        CHECK_INT(rig_create(&rig, cases[i].arch, 1), cases[i].code);
        CHECK_STR(rig.error.text, cases[i].text);
        rig_free(&rig);
    }
    lacking = 0;
    protection = VISOR_UNPROTECTED;
}

TEST(riscv64_machine_has_an_aplic_and_imsics)
{
    static const char extensions[] = "i\0m\0a\0f\0d\0c\0sstc\0zba";
    static struct rig rig;
    const char *list;
    const void *tree;

    host_riscv = (visor_riscv_config){
        .size = sizeof(visor_riscv_config),
        .source_count = 64,
        .id_count = 255,
        .imsic_gpa = 0x8000000,
        .aplic_gpa = 0x8002000,
    };
    REQUIRE(rig_make(&rig, VISOR_ARCH_RISCV64, 2));
    tree = rig.tree;
    CHECK_INT(host_riscv.vcpu_count, 2);
    CHECK_INT(riscv_regs.pc, 0x80200000);
    CHECK_INT(riscv_regs.mode, VISOR_RISCV_SUPERVISOR);
    CHECK_INT(riscv_regs.x[10], 0);
    check_common(&rig, riscv_regs.x[11]);
    check_with_dtc(&rig);

    /* Else each hart's own controller would be below the one that they all share. */
    CHECK(!has(tree, "/", "interrupt-parent"));
    CHECK_CELLS(tree, "/serial@1002000", "interrupt-parent", 1);
    CHECK_CELLS(tree, "/cpus", "timebase-frequency", 10000000);
    check_string(tree, "/cpus/cpu@1", "riscv,isa", "rv64imafdc_sstc_zba");
    check_string(tree, "/cpus/cpu@1", "mmu-type", "riscv,sv48");
    list = get(tree, "/cpus/cpu@1", "riscv,isa-extensions", sizeof(extensions));
    CHECK(list != NULL && memcmp(list, extensions, sizeof(extensions)) == 0);
    CHECK_CELLS(tree, "/cpus/cpu@1", "riscv,cboz-block-size", 64);
    CHECK(!has(tree, "/cpus/cpu@1", "riscv,cbom-block-size"));
    CHECK_CELLS(tree, "/cpus/cpu@1/interrupt-controller", "phandle", 17);
    CHECK_CELLS(tree, "/interrupt-controller@8000000", "interrupts-extended", 16, 9, 17, 9);
    CHECK_CELLS(tree, "/interrupt-controller@8000000", "reg", 0, 0x8000000, 0, 0x2000);
    CHECK_CELLS(tree, "/interrupt-controller@8000000", "riscv,num-ids", 255);
    CHECK_CELLS(tree, "/interrupt-controller@8002000", "reg", 0, 0x8002000, 0, 0x4000);
    CHECK_CELLS(tree, "/interrupt-controller@8002000", "riscv,num-sources", 64);
    CHECK_CELLS(tree, "/pcie@10000000", "msi-parent", 2);
    get(tree, "/pcie@10000000", "interrupt-map", 16 * 7 * 4);
    CHECK_CELLS(tree, "/serial@1002000", "interrupts", 3, 4);
    CHECK_CELLS(tree, "/rtc@1010000", "interrupts", 5, 4);
    rig_free(&rig);
}

TEST(kernel_of_another_architecture_leaves_no_machine)
{
    static struct rig rig;
    struct machine_config config = {
        .vcpu_count = 1, .memory_size = 64 * MIB, .kernel = &rig.kernel, .params = ""};

    rig = (struct rig){0};
    memcpy(rig.file + 56, "RSC\5", 4);
    rig.kernel = (struct boot_image){.path = "kernel", .data = rig.file, .size = 4096};
    wanted = VISOR_ARCH_AARCH64;
    host_arm = gic_v3();
    REQUIRE_OK(visor_hypervisor_open(&rig.hv, "null"));
    CHECK_INT(machine_create(&rig.machine, rig.hv, &config, &rig.error), VISOR_EFORMAT);
    CHECK_STR(rig.error.text, "kernel 'kernel' is not an arm64 Image: it is a riscv64 Image (a "
                              "kernel for riscv64)");
    visor_hypervisor_free(rig.hv);
}

TEST(what_only_a_pc_has_is_refused)
{
    static const char *const words[] = {"firmware", "debug exit", "multiboot modules",
                                        "debug console"};
    static struct rig rig;

    for (int i = 0; i < 4; i++) {
        struct machine_config config = {
            .vcpu_count = 1, .memory_size = 64 * MIB, .kernel = &rig.kernel, .params = ""};

        rig = (struct rig){0};
        wanted = VISOR_ARCH_AARCH64;
        config.firmware = i == 0 ? &rig.kernel : NULL;
        config.debug_exit = i == 1;
        config.module_count = i == 2 ? 1 : 0;
        config.serial[MACHINE_SERIAL_PORTS].present = i == 3;
        REQUIRE_OK(visor_hypervisor_open(&rig.hv, "null"));
        CHECK_INT(machine_create(&rig.machine, rig.hv, &config, &rig.error), VISOR_EINVAL);
        CHECK(strstr(rig.error.text, words[i]) != NULL);
        visor_hypervisor_free(rig.hv);
    }
}

UNIT_MAIN()
