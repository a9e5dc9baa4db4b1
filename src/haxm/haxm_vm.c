/* SPDX-License-Identifier: BSD-3-Clause */
/* A VM and its memory. */
#include "haxm/haxm.h"
#include "irqchip/irqchip.h"

typedef unsigned long long ull;

/* Tells the driver that we take accesses which it has decoded. Another client's name is in the
 * request, its meaning is the driver's. */
static int introduce(visor_vm *vm)
{
    struct hax_qemu_version version = {.cur_version = HAX_CUR_VERSION, .least_version = 1};
    int err = haxm_call(&haxm_vm_of(vm)->node, HAXM_NOTIFY, &version, sizeof(version));

    return err != 0 ? haxm_error(HAXM_NOTIFY, err, "%s", "") : 0;
}

static int create(visor_vm *vm)
{
    struct haxm_vm *priv = haxm_vm_of(vm);
    int err, ret;

    if (vm->config.protection != VISOR_UNPROTECTED)
        return visor__unsupported(vm->hv, "visor_vm_create",
                                  "guests have no secrets from this process");
    err = haxm_call(&haxm_hv_of(vm->hv)->node, HAXM_CREATE_VM, &priv->id, sizeof(priv->id));
    if (err != 0)
        return haxm_error(HAXM_CREATE_VM, err, "the driver has %u VMs at most", HAX_MAX_VMS);
    ret = haxm_open_vm(&priv->node, &haxm_hv_of(vm->hv)->node, priv->id);
    if (ret < 0)
        return ret;
    ret = introduce(vm);
    if (ret == 0)
        ret = haxm_chip_attach(vm);
    if (ret < 0)
        haxm_close(&priv->node);
    return ret;
}

/* With its last descriptor the driver's VM goes. */
static void destroy(visor_vm *vm)
{
    struct haxm_vm *priv = haxm_vm_of(vm);

    visor__irqchip_detach(vm);
    if (priv->has_first)
        haxm_close(&priv->first);
    haxm_close(&priv->node);
}

static int64_t vm_cap(visor_vm *vm, visor_cap cap)
{
    return vm->hv->backend->hv->cap(vm->hv, cap);
}

static int set_ram(visor_vm *vm, const struct visor__slot_map *map, uint64_t host, uint32_t flags)
{
    struct hax_set_ram_info2 info = {
        .pa_start = map->gpa, .size = map->length, .va = host, .flags = flags};
    int err = haxm_call(&haxm_vm_of(vm)->node, HAXM_SET_RAM2, &info, sizeof(info));

    return err != 0 ? haxm_error(HAXM_SET_RAM2, err, "slot %u: 0x%llx bytes at 0x%llx", map->slot,
                                 (ull)map->length, (ull)map->gpa)
                    : 0;
}

/* The driver keeps memory in blocks that must not overlap; a block of its own for each mapping goes
 * with it again. */
static int map(visor_vm *vm, const struct visor__slot_map *map)
{
    return set_ram(vm, map, (uintptr_t)map->host,
                   HAX_RAM_INFO_STANDALONE | (map->read_only ? HAX_RAM_INFO_ROM : 0u));
}

static int unmap(visor_vm *vm, const struct visor__slot_map *map)
{
    return set_ram(vm, map, 0, HAX_RAM_INFO_INVALID);
}

const struct visor__vm_ops haxm_vm_ops = {
    .create = create,
    .destroy = destroy,
    .cap = vm_cap,
    .map = map,
    .unmap = unmap,
};
