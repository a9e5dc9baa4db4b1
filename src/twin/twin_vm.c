/* SPDX-License-Identifier: BSD-3-Clause */
/* A VM: memory, interrupt controller, protection, and where its guest starts. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/aarch64.h"
#include "twin/twin.h"

#define DISTRIBUTOR_SIZE   0x10000u
#define REDISTRIBUTOR_SIZE 0x20000u

typedef unsigned long long ull;

static int create(visor_vm *vm)
{
    const struct twin *twin = twin_of(vm);
    unsigned bits = twin_hv_of(vm->hv)->gpa_bits;
    int ret;

    if (!twin->narrow_vms && vm->config.gpa_bits != 0 && vm->config.gpa_bits != bits)
        return visor__error(VISOR_EUNSUPPORTED, twin->name, "visor_vm_create",
                            "guest addresses of %u bits: a VM has %u, and its type does not tell",
                            vm->config.gpa_bits, bits);
    ret = visor__linux_ioctl(twin_hv_of(vm->hv)->fd, twin->create_vm.number, twin->vm_type(vm));
    if (ret == -ENXIO || ret == -ENODEV) {
        visor__error_native(VISOR_EDISABLED, twin->name, twin->create_vm.name, VISOR_NATIVE_ERRNO,
                            -ret, "the driver is there, the hypervisor is not");
        return visor__error_hint("the firmware of this device has to start it");
    }
    if (ret < 0)
        return twin_error(twin, create_vm, -ret, "%s", "");
    twin_vm_of(vm)->fd = ret;
    return 0;
}

/* The vCPUs' descriptors are closed: the driver frees what is behind them with the VM's. */
static void destroy(visor_vm *vm)
{
    twin_drop_io_events(vm);
    close(twin_vm_of(vm)->fd);
}

static int64_t vm_cap(visor_vm *vm, visor_cap cap)
{
    if (cap == VISOR_CAP_GPA_BITS && vm->config.gpa_bits != 0)
        return vm->config.gpa_bits;
    return twin_hv_cap(vm->hv, cap);
}

/* The VM is there until this is closed, too; it has no vCPUs any more by then. */
static int native_handle(visor_file *out, visor_vm *vm)
{
    return visor__linux_duplicate(out, twin_vm_of(vm)->fd, twin_of(vm)->name);
}

/* ---- memory ---- */

/* What a region is for, in the hypervisor's words; nothing of a slot that is added. */
static uint32_t region_flags(const struct visor__slot_map *map)
{
    if (!map->is_memory)
        return 0;
    switch (map->purpose) {
    case VISOR_MEMORY_PROTECTED_FIRMWARE: return GZVM_USER_MEM_REGION_PROTECT_FW;
    case VISOR_MEMORY_SWIOTLB: return GZVM_USER_MEM_REGION_STATIC_SWIOTLB;
    default: return GZVM_USER_MEM_REGION_GUEST_MEM;
    }
}

static int map(visor_vm *vm, const struct visor__slot_map *map)
{
    const struct twin *twin = twin_of(vm);
    struct gzvm_userspace_memory_region region = {
        .slot = map->slot,
        .flags = region_flags(map),
        .guest_phys_addr = map->gpa,
        .memory_size = map->length,
        .userspace_addr = (uintptr_t)map->host,
    };
    int ret = twin_ioctl(twin_vm_of(vm)->fd, &twin->set_memory, &region);

    if (ret == 0)
        return 0;
    twin_error(twin, set_memory, -ret, "slot %u: 0x%llx bytes at 0x%llx", map->slot,
               (ull)map->length, (ull)map->gpa);
    /* The driver compares the size with that of the mapping around the address. */
    if (ret == -EINVAL)
        return visor__error_hint("the driver takes a host mapping only as a whole: borrowed memory "
                                 "has to be one mmap() of its own, an arena may not be divided");
    return visor_error_last()->code;
}

/* The driver has no request for it: it overwrites the slot with the next region, and an empty one
 * equals no mapping. */
static int unmap(visor_vm *vm, const struct visor__slot_map *map)
{
    return visor__error(VISOR_EUNSUPPORTED, twin_of(vm)->name, "visor_vm_remove_slot",
                        "slot %u: the driver cannot take memory out of a VM", map->slot);
}

/* ---- interrupt controller ---- */

static int create_gic_part(visor_vm *vm, uint32_t type, uint64_t gpa, uint64_t length,
                           const char *what)
{
    const struct twin *twin = twin_of(vm);
    struct gzvm_create_device device = {
        .dev_type = type,
        .dev_addr = gpa,
        .dev_reg_size = length,
    };
    int ret = twin_ioctl(twin_vm_of(vm)->fd, &twin->create_device, &device);

    return ret < 0 ? twin_error(twin, create_device, -ret, "GIC %s at 0x%llx", what, (ull)gpa) : 0;
}

static int configure(visor_vm *vm, visor_aarch64_config *config)
{
    const struct twin *twin = twin_of(vm);
    int ret = visor__aarch64_config_plain(vm, config);

    if (ret < 0 || vm->config.irqchip == VISOR_IRQCHIP_NONE)
        return ret;
    if (config->vcpu_count > twin->max_vcpus)
        return visor__error(VISOR_ELIMIT, twin->name, "visor_aarch64_configure",
                            "%u vCPUs; the driver takes %u", config->vcpu_count, twin->max_vcpus);
    ret = create_gic_part(vm, GZVM_DEV_TYPE_ARM_VGIC_V3_DIST, config->gic_distributor_gpa,
                          DISTRIBUTOR_SIZE, "distributor");
    if (ret == 0)
        ret = create_gic_part(vm, GZVM_DEV_TYPE_ARM_VGIC_V3_REDIST, config->gic_redistributor_gpa,
                              (uint64_t)REDISTRIBUTOR_SIZE * config->vcpu_count, "redistributors");
    return ret;
}

/* ---- protection ---- */

static bool isolates(const visor_vm *vm)
{
    return vm->config.protection == VISOR_PROTECTED ||
           vm->config.protection == VISOR_PROTECTED_CUSTOM_FIRMWARE ||
           vm->config.protection == VISOR_PROTECTED_NO_FIRMWARE;
}

/* A sub-command of the capability. Returns -errno; args[1] goes in and out. */
static int protection(visor_vm *vm, uint64_t command, uint64_t *value)
{
    const struct twin *twin = twin_of(vm);
    /* The driver writes the answer into it, although the request is encoded as write-only. */
    struct gzvm_enable_cap cap = {.cap = twin->cap_protected, .args = {command, *value}};
    int ret = twin_ioctl(twin_vm_of(vm)->fd, &twin->enable_cap, &cap);

    *value = cap.args[1];
    return ret;
}

/*
 * Readings of what protects a VM of Geniezone differ: the driver of 6.12 says SET_PROTECTED_VM
 * alone, its oldest clients send SET_PVMFW_GPA alone, which is all that the oldest driver knows,
 * and that of 6.1.57 takes both for the same, address included. So both, in this order, both with
 * the address; and that the second is not known does not matter.
 */
static int load_firmware(uint64_t *out, visor_vm *vm, uint64_t gpa, uint64_t max_size)
{
    static const char op[] = "visor_vm_load_firmware";
    const struct twin *twin = twin_of(vm);
    uint64_t size = 0, address = gpa;
    int ret;

    if (vm->config.protection != VISOR_PROTECTED) {
        visor__error(VISOR_ESTATE, twin->name, op, "the VM was not created for it");
        return visor__error_hint("set protection = VISOR_PROTECTED in visor_vm_config");
    }
    ret = protection(vm, GZVM_CAP_PVM_GET_PVMFW_SIZE, &size);
    if (ret < 0 || size == 0)
        return visor__error_native(VISOR_ENOENT, twin->name, op, VISOR_NATIVE_ERRNO, -ret,
                                   "the hypervisor has no firmware");
    if (size > max_size)
        return visor__error(VISOR_ELIMIT, twin->name, op,
                            "the firmware has 0x%llx bytes, 0x%llx are there", (ull)size,
                            (ull)max_size);
    ret = protection(vm, GZVM_CAP_PVM_SET_PVMFW_GPA, &address);
    if (ret < 0)
        return twin_error(twin, enable_cap, -ret, "firmware at 0x%llx", (ull)gpa);
    address = gpa;
    if (twin->protect_after_firmware) {
        ret = protection(vm, GZVM_CAP_PVM_SET_PROTECTED_VM, &address);
        if (ret < 0 && ret != -EINVAL)
            return twin_error(twin, enable_cap, -ret, "protecting the VM");
    }
    twin_vm_of(vm)->is_protected = true;
    *out = size;
    return 0;
}

/* The address of the firmware that the VMM has loaded, 0 if there is none. */
static uint64_t own_firmware(const visor_vm *vm)
{
    visor_memory_info info;

    for (size_t i = 0; visor_memory_region_info(&info, vm->memory, i) == 0; i++) {
        if (info.purpose == VISOR_MEMORY_PROTECTED_FIRMWARE)
            return info.gpa;
    }
    return 0;
}

/*
 * Shared interrupts go to vCPU 0, and Halla's driver wakes it without looking whether it is there:
 * the host's kernel would crash. It stays in the driver when it is freed here.
 */
static int check_target(const visor_vm *vm)
{
    const visor_vcpu *vcpu = vm->vcpus;

    while (vcpu != NULL && vcpu->id != 0)
        vcpu = vcpu->next;
    if (vcpu != NULL || vm->config.irqchip == VISOR_IRQCHIP_NONE)
        return 0;
    visor__error(VISOR_ESTATE, twin_of(vm)->name, "visor_vm_seal",
                 "there is no vCPU 0 to be interrupted");
    return visor__error_hint("create the vCPUs before interrupts are used");
}

/* A VM that was to be protected must not run when it is not. */
static int seal(visor_vm *vm)
{
    static const char op[] = "visor_vm_seal";
    struct twin_vm *priv = twin_vm_of(vm);
    uint64_t address;
    int ret = check_target(vm);

    if (ret < 0)
        return ret;
    if (!isolates(vm) || priv->is_protected)
        return 0;
    if (vm->config.protection == VISOR_PROTECTED) {
        visor__error(VISOR_ESTATE, twin_of(vm)->name, op, "the VM's firmware is not loaded");
        return visor__error_hint("call visor_vm_load_firmware() before the VM runs");
    }
    address = own_firmware(vm);
    ret = protection(vm, GZVM_CAP_PVM_SET_PROTECTED_VM, &address);
    if (ret == -EINVAL)
        return visor__error_native(VISOR_EUNSUPPORTED, twin_of(vm)->name,
                                   twin_of(vm)->enable_cap.name, VISOR_NATIVE_ERRNO, EINVAL,
                                   "this hypervisor protects VMs with its own firmware only");
    if (ret < 0)
        return twin_error(twin_of(vm), enable_cap, -ret, "protecting the VM");
    priv->is_protected = true;
    return 0;
}

/* ---- start ---- */

int twin_set_boot(visor_vm *vm, const visor_aarch64_boot *boot)
{
    struct gzvm_dtb_config dtb = {.dtb_addr = boot->tree_gpa, .dtb_size = boot->tree_length};
    int ret = twin_ioctl(twin_vm_of(vm)->fd, &twin_of(vm)->set_dtb, &dtb);

    if (ret == -ENOTTY) /* the oldest driver; its guests find the tree through X0 alone */
        return 0;
    return ret < 0 ? twin_error(twin_of(vm), set_dtb, -ret, "device tree at 0x%llx",
                                (ull)boot->tree_gpa)
                   : 0;
}

/* ---- tables ---- */

const struct visor__vm_ops twin_vm_ops = {
    .create = create,
    .destroy = destroy,
    .cap = vm_cap,
    .map = map,
    .unmap = unmap,
    .native_handle = native_handle,
    .seal = seal,
    .load_firmware = load_firmware,
};

const struct visor__aarch64_ops twin_aarch64_ops = {
    .configure = configure,
    .set_boot = twin_set_boot,
    .get_reg = twin_get_reg,
    .set_reg = twin_set_reg,
};
