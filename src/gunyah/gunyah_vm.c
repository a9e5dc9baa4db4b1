/* SPDX-License-Identifier: BSD-3-Clause */
/* A VM and the parcels of its memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/memory.h"
#include "gunyah/gunyah.h"

typedef unsigned long long ull;

bool gunyah_isolates(const visor_vm *vm)
{
    return vm->config.protection == VISOR_PROTECTED ||
           vm->config.protection == VISOR_PROTECTED_NO_FIRMWARE;
}

static int create(visor_vm *vm)
{
    int ret;

    if (vm->config.protection == VISOR_PROTECTED_CUSTOM_FIRMWARE ||
        vm->config.protection == VISOR_UNPROTECTED_FIRMWARE) {
        visor__error(VISOR_EUNSUPPORTED, "gunyah", "visor_vm_create",
                     "firmware that the VMM brings along");
        return visor__error_hint("VISOR_PROTECTED has the hypervisor's own");
    }
    if (vm->config.gpa_bits != 0 && vm->config.gpa_bits != gunyah_cap(vm->hv, VISOR_CAP_GPA_BITS))
        return visor__error(VISOR_EUNSUPPORTED, "gunyah", "visor_vm_create",
                            "guest addresses of %u bits: a VM has %d, and the driver is not told",
                            vm->config.gpa_bits, (int)gunyah_cap(vm->hv, VISOR_CAP_GPA_BITS));
    ret = visor__linux_ioctl(gunyah_hv_of(vm->hv)->fd, GUNYAH_CREATE_VM, 0);
    if (ret < 0)
        return gunyah_error("GUNYAH_CREATE_VM", -ret, "%s", "");
    gunyah_vm_of(vm)->fd = ret;
    return 0;
}

/* The vCPUs' descriptors are closed: with the VM's the driver stops it and takes its memory back.
 */
static void destroy(visor_vm *vm)
{
    close(gunyah_vm_of(vm)->fd);
    free(gunyah_vm_of(vm)->doorbells);
}

static int64_t vm_cap(visor_vm *vm, visor_cap cap)
{
    return gunyah_cap(vm->hv, cap);
}

static int native_cap(int64_t *out, visor_vm *vm, uint32_t number)
{
    int ret = visor__linux_ioctl(gunyah_vm_of(vm)->fd, GH_VM_CHECK_EXTENSION, number);

    *out = ret > 0 ? ret : 0; /* kernels that do not know the request have no capabilities */
    return 0;
}

static int native_handle(visor_file *out, visor_vm *vm)
{
    return visor__linux_duplicate(out, gunyah_vm_of(vm)->fd, "gunyah");
}

/* ---- memory ---- */

static uint32_t access_of(const struct visor__slot_map *map)
{
    return GUNYAH_MEM_ALLOW_READ | GUNYAH_MEM_ALLOW_EXEC |
           (map->read_only ? 0 : GUNYAH_MEM_ALLOW_WRITE);
}

/* Lent memory is the guest's alone from the start on; the bounce buffer is what remains common. */
static bool is_lent(const visor_vm *vm, const struct visor__slot_map *map)
{
    return gunyah_isolates(vm) && map->is_memory && map->purpose != VISOR_MEMORY_SWIOTLB;
}

/* The file behind a region, if the caller has brought it. */
static bool own_file(const visor_memory_info **out, const visor_vm *vm,
                     const struct visor__slot_map *map)
{
    if (!map->is_memory || vm->memory->regions[map->slot].info.file == vm->memory->memfile)
        return false;
    *out = &vm->memory->regions[map->slot].info;
    return true;
}

/* The memory of a trusted VM is contiguous: a file from a pool that the driver has for it. */
static int map_pool(visor_vm *vm, const struct visor__slot_map *map, const visor_memory_info *info)
{
    struct gunyah_map_cma_mem_args args;
    int ret;

    memset(&args, 0, sizeof(args)); /* padding too */
    args.label = map->slot;
    args.guest_addr = map->gpa;
    args.flags =
        access_of(map) | (is_lent(vm, map) ? GUNYAH_MEM_FORCE_LEND : GUNYAH_MEM_FORCE_SHARE);
    args.guest_mem_fd = (uint32_t)info->file;
    args.offset = info->file_offset;
    args.size = map->length;
    ret = gunyah_ioctl(gunyah_vm_of(vm)->fd, GH_VM_ANDROID_MAP_CMA_MEM, &args);
    if (ret == -ENOTTY)
        return visor__error_native(VISOR_EUNSUPPORTED, "gunyah", "GH_VM_ANDROID_MAP_CMA_MEM",
                                   VISOR_NATIVE_ERRNO, ENOTTY,
                                   "this kernel has no contiguous memory for trusted VMs");
    return ret < 0 ? gunyah_error("GH_VM_ANDROID_MAP_CMA_MEM", -ret, "region %u", map->slot) : 0;
}

/* Whether it is the first region with a file of its own, which is the pool's. */
static bool is_pool(const visor_vm *vm, const struct visor__slot_map *map,
                    const visor_memory_info **info)
{
    if (!gunyah_hv_of(vm->hv)->is_trusted || !own_file(info, vm, map))
        return false;
    for (uint32_t i = 0; i < map->slot; i++) {
        if (vm->memory->regions[i].info.file != vm->memory->memfile)
            return false;
    }
    return true;
}

static int map(visor_vm *vm, const struct visor__slot_map *map)
{
    struct gunyah_userspace_memory_region region = {
        .label = map->slot,
        .flags = access_of(map),
        .guest_phys_addr = map->gpa,
        .memory_size = map->length,
        .userspace_addr = (uintptr_t)map->host,
    };
    const visor_memory_info *info;
    bool lent = is_lent(vm, map);
    int ret;

    if (atomic_load(&gunyah_vm_of(vm)->phase) != GUNYAH_BUILDING) {
        visor__error(VISOR_ESTATE, "gunyah", "visor_vm_add_slot",
                     "memory is handed over when the VM starts");
        return visor__error_hint("add slots before the first run");
    }
    if (is_pool(vm, map, &info))
        return map_pool(vm, map, info);
    ret = gunyah_ioctl(gunyah_vm_of(vm)->fd,
                       lent ? GH_VM_ANDROID_LEND_USER_MEM : GH_VM_SET_USER_MEM_REGION, &region);
    if (ret == 0)
        return 0;
    gunyah_error(lent ? "GH_VM_ANDROID_LEND_USER_MEM" : "GH_VM_SET_USER_MEM_REGION", -ret,
                 "slot %u: 0x%llx bytes at 0x%llx", map->slot, (ull)map->length, (ull)map->gpa);
    if (ret == -ENOMEM || ret == -EFAULT)
        return visor__error_hint("the driver keeps the pages: raise the limit of locked memory "
                                 "(ulimit -l)");
    return visor_error_last()->code;
}

static int unmap(visor_vm *vm, const struct visor__slot_map *map)
{
    (void)vm;
    return visor__error(VISOR_EUNSUPPORTED, "gunyah", "visor_vm_remove_slot",
                        "slot %u: the driver cannot take memory out of a VM", map->slot);
}

/* Makes the driver let go of the pages; a later access of the guest has it take new ones. */
static int inflate(visor_vm *vm, uint64_t gpa, uint64_t length)
{
    const struct gunyah_address_range range = {.guest_phys_addr = gpa, .size = length};
    int ret;

    if (length == 0) /* the driver would take it for all there is */
        return 0;
    ret = gunyah_ioctl(gunyah_vm_of(vm)->fd, GH_VM_RECLAIM_REGION, &range);
    if (ret == -ENOTTY)
        return visor__error_native(VISOR_EUNSUPPORTED, "gunyah", "GH_VM_RECLAIM_REGION",
                                   VISOR_NATIVE_ERRNO, ENOTTY,
                                   "this kernel takes no memory back: android15-6.6 is needed");
    return ret < 0 ? gunyah_error("GH_VM_RECLAIM_REGION", -ret, "0x%llx bytes at 0x%llx",
                                  (ull)length, (ull)gpa)
                   : 0;
}

/* vCPUs and their number are part of the device tree. */
static int seal(visor_vm *vm)
{
    (void)vm;
    return 0;
}

const struct visor__vm_ops gunyah_vm_ops = {
    .create = create,
    .destroy = destroy,
    .cap = vm_cap,
    .map = map,
    .unmap = unmap,
    .native_cap = native_cap,
    .native_handle = native_handle,
    .seal = seal,
    .load_firmware = gunyah_load_firmware,
    .inflate = inflate,
};
