/* SPDX-License-Identifier: BSD-3-Clause */
/* A VM of the double of HAXM: memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "haxm_machine.h"

/* A VM of the software CPU has memory of its own; nobody looks there. */
#define UNUSED_GPA 0xff12345000ull
#define PAGE       4096u

/* Frames of guest memory have 31 bits. */
#define FRAMES_END (1ull << 31)

long driver_vm_create(struct vm_double **out, visor_hypervisor *hv, unsigned id)
{
    const visor_memory_region region = {.gpa = UNUSED_GPA, .length = PAGE};
    struct vm_double *vm = calloc(1, sizeof(*vm));

    if (vm == NULL)
        return -ENOMEM;
    vm->id = id;
    vm->references = 1;
    pthread_mutex_init(&vm->lock, NULL);
    SOFT_OK(visor_memory_create(&vm->memory, &region, 1, NULL));
    SOFT_OK(visor_vm_create(&vm->vm, hv, vm->memory, NULL));
    driver_msr_exits(vm->vm);
    driver_cpuid_init(vm, hv);
    *out = vm;
    return 0;
}

void driver_vm_free(struct vm_double *vm)
{
    visor_vm_free(vm->vm);
    visor_memory_free(vm->memory);
    for (unsigned i = 0; i < HAXM_RANGES; i++)
        free(vm->blocks[i]);
    pthread_mutex_destroy(&vm->lock);
    free(vm);
}

/* ---- blocks ---- */

static long add_block(struct vm_double *vm, uint64_t va, uint64_t size, struct block **out)
{
    struct block **free_place = NULL;

    if (va == 0 || size == 0)
        return -EINVAL;
    for (unsigned i = 0; i < HAXM_RANGES; i++) {
        struct block *block = vm->blocks[i];

        if (block == NULL)
            free_place = &vm->blocks[i];
        else if (va < block->va + block->size && block->va < va + size)
            return -EINVAL;
    }
    if (free_place == NULL)
        return -ENOMEM;
    *free_place = calloc(1, sizeof(**free_place));
    if (*free_place == NULL)
        return -ENOMEM;
    **free_place = (struct block){.va = va, .size = size};
    if (out != NULL)
        *out = *free_place;
    return 0;
}

static void put_block(struct vm_double *vm, struct block *block)
{
    if (--block->used > 0 || !block->standalone)
        return;
    for (unsigned i = 0; i < HAXM_RANGES; i++) {
        if (vm->blocks[i] == block)
            vm->blocks[i] = NULL;
    }
    free(block);
}

static struct block *block_of(struct vm_double *vm, uint64_t va)
{
    for (unsigned i = 0; i < HAXM_RANGES; i++) {
        struct block *block = vm->blocks[i];

        if (block != NULL && va >= block->va && va - block->va < block->size)
            return block;
    }
    return NULL;
}

/* ---- mappings ---- */

const struct range *driver_range_of(struct vm_double *vm, uint64_t gpa)
{
    for (unsigned i = 0; i < vm->range_count; i++) {
        if (gpa >= vm->ranges[i].gpa && gpa - vm->ranges[i].gpa < vm->ranges[i].size)
            return &vm->ranges[i];
    }
    return NULL;
}

static void insert(struct vm_double *vm, struct range range)
{
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_mapping *mapping;
    unsigned at = 0;

    if (vm->range_count == HAXM_RANGES)
        double_die("more than %u ranges of memory", HAXM_RANGES);
    config.gpa = range.gpa;
    config.read_only = (range.flags & HAX_RAM_INFO_ROM) != 0;
    SOFT_OK(visor_mapping_create_borrowed(&mapping, (void *)(uintptr_t)range.va, range.size));
    SOFT_OK(visor_vm_add_slot(&range.slot, vm->vm, mapping, &config));
    range.block->used++;
    while (at < vm->range_count && vm->ranges[at].gpa < range.gpa)
        at++;
    memmove(&vm->ranges[at + 1], &vm->ranges[at], (vm->range_count - at) * sizeof(range));
    vm->ranges[at] = range;
    vm->range_count++;
    vm->mappings++;
}

static struct range remove_at(struct vm_double *vm, unsigned at)
{
    struct range range = vm->ranges[at];
    visor_mapping *mapping;

    SOFT_OK(visor_vm_remove_slot(&mapping, vm->vm, range.slot));
    visor_mapping_free(mapping);
    vm->range_count--;
    memmove(&vm->ranges[at], &vm->ranges[at + 1], (vm->range_count - at) * sizeof(range));
    return range;
}

/* Takes what is there out, and puts back what sticks out on either side. */
static void unmap(struct vm_double *vm, uint64_t gpa, uint64_t size)
{
    for (unsigned i = 0; i < vm->range_count;) {
        struct range old = vm->ranges[i], part;

        if (old.gpa >= gpa + size || gpa >= old.gpa + old.size) {
            i++;
            continue;
        }
        remove_at(vm, i);
        part = old;
        if (old.gpa < gpa) {
            part.size = gpa - old.gpa;
            insert(vm, part);
        }
        if (old.gpa + old.size > gpa + size) {
            part.gpa = gpa + size;
            part.va = old.va + (part.gpa - old.gpa);
            part.size = old.gpa + old.size - part.gpa;
            insert(vm, part);
        }
        put_block(vm, old.block);
        i = 0;
    }
}

static long set_ram(struct vm_double *vm, uint64_t gpa, uint64_t size, uint64_t va, uint32_t flags)
{
    bool is_unmap = (flags & HAX_RAM_INFO_INVALID) != 0;
    struct range range = {.flags = flags};
    long ret = 0;

    if ((is_unmap && (flags != HAX_RAM_INFO_INVALID || va != 0)) || (!is_unmap && va == 0) ||
        size == 0)
        return -EINVAL;
    /* The driver cuts to pages without a word. */
    if ((gpa | size | va) % PAGE != 0)
        double_die("memory of 0x%llx bytes at 0x%llx is no whole pages", (unsigned long long)size,
                   (unsigned long long)gpa);
    if ((gpa + size) / PAGE > FRAMES_END)
        return -EINVAL;
    if (gpa + size > vm->gpa_end)
        vm->gpa_end = gpa + size;
    if (!is_unmap && (flags & HAX_RAM_INFO_STANDALONE) != 0) {
        ret = add_block(vm, va, size, &range.block);
        if (ret == 0)
            range.block->standalone = true;
    } else if (!is_unmap) {
        range.block = block_of(vm, va);
        ret = range.block == NULL ? -EINVAL : 0;
    }
    if (ret < 0)
        return ret;
    unmap(vm, gpa, size);
    range.gpa = gpa;
    range.size = size;
    range.va = va;
    if (!is_unmap)
        insert(vm, range);
    return 0;
}

static long protect_ram(struct vm_double *vm, const struct hax_protect_ram_info *info)
{
    unsigned permission = info->flags & HAX_RAM_PERM_MASK;

    if ((permission != HAX_RAM_PERM_NONE && permission != HAX_RAM_PERM_RWX) || info->size == 0 ||
        info->pa_start + info->size > vm->gpa_end)
        return -EINVAL;
    if (permission == HAX_RAM_PERM_NONE)
        double_die("protected memory is not played");
    return 0;
}

/* ---- requests ---- */

static long vcpu_create(struct vm_double *vm, uint64_t arg)
{
    uint32_t id;

    if (copy_from_user(&id, arg, sizeof(id)) < 0)
        return -EFAULT;
    return driver_vcpu_create(vm, id) == NULL ? -EINVAL : 0;
}

/* Copies the structure of a request in. */
#define TAKE(structure) copy_from_user(&(structure), arg, sizeof(structure)) < 0

static long handle(struct vm_double *vm, unsigned request, uint64_t arg)
{
    struct hax_alloc_ram_info alloc;
    struct hax_ramblock_info block;
    struct hax_set_ram_info ram;
    struct hax_set_ram_info2 ram2;
    struct hax_protect_ram_info protect;
    struct hax_qemu_version version;

    switch (request) {
    case HAX_VM_IOCTL_VCPU_CREATE:
    case HAX_VM_IOCTL_VCPU_CREATE_ORIG: return vcpu_create(vm, arg);
    case HAX_VM_IOCTL_ALLOC_RAM:
        return TAKE(alloc) ? -EFAULT : add_block(vm, alloc.va, alloc.size, NULL);
    case HAX_VM_IOCTL_ADD_RAMBLOCK:
        if (TAKE(block))
            return -EFAULT;
        return block.reserved != 0 ? -EINVAL : add_block(vm, block.start_va, block.size, NULL);
    case HAX_VM_IOCTL_SET_RAM:
        return TAKE(ram) ? -EFAULT : set_ram(vm, ram.pa_start, ram.size, ram.va, ram.flags);
    case HAX_VM_IOCTL_SET_RAM2:
        if (TAKE(ram2))
            return -EFAULT;
        if (ram2.reserved1 != 0 || ram2.reserved2 != 0)
            return -EINVAL;
        return set_ram(vm, ram2.pa_start, ram2.size, ram2.va, ram2.flags);
    case HAX_VM_IOCTL_PROTECT_RAM:
        if (TAKE(protect))
            return -EFAULT;
        return protect.reserved != 0 ? -EINVAL : protect_ram(vm, &protect);
    case HAX_VM_IOCTL_NOTIFY_QEMU_VERSION:
        if (TAKE(version))
            return -EFAULT;
        vm->fast_mmio = version.cur_version >= 2;
        return 0;
    default: return 0; /* what the driver does not know succeeds */
    }
}

static long vm_ioctl(struct object *object, unsigned request, uint64_t arg)
{
    struct vm_double *vm = ((struct node_object *)object)->vm;
    long ret;

    pthread_mutex_lock(&vm->lock);
    ret = handle(vm, request, arg);
    pthread_mutex_unlock(&vm->lock);
    return ret;
}

static void vm_close(struct object *object)
{
    vm_put(((struct node_object *)object)->vm);
}

static void vm_release(struct object *object)
{
    free(object);
}

static const struct request vm_requests[] = {
    {HAX_VM_IOCTL_VCPU_CREATE, "VCPU_CREATE", "id:4"},
    {HAX_VM_IOCTL_ADD_RAMBLOCK, "ADD_RAMBLOCK", "start_va:8* size:8 reserved:8"},
    {HAX_VM_IOCTL_SET_RAM2, "SET_RAM2", "pa_start:8 size:8 va:8* flags:4 reserved1:4 reserved2:8"},
    {HAX_VM_IOCTL_PROTECT_RAM, "PROTECT_RAM", "pa_start:8 size:8 flags:4 reserved:4"},
    {HAX_VM_IOCTL_NOTIFY_QEMU_VERSION, "NOTIFY_QEMU_VERSION", "cur_version:4 least_version:4"},
    {0, NULL, NULL},
};

const struct object_ops driver_vm_ops = {
    .name = "vm",
    .requests = vm_requests,
    .ioctl = vm_ioctl,
    .close = vm_close,
    .release = vm_release,
};
