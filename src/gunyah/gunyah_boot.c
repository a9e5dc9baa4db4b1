/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a guest starts, with which registers, under whose protection; and starting it. */
#include <errno.h>
#include <string.h>

#include "core/aarch64.h"
#include "core/memory.h"
#include "gunyah/gunyah.h"

typedef unsigned long long ull;

static const char op_boot[] = "visor_aarch64_set_boot";

/* PSTATE of every vCPU when it starts: EL1 with its own stack pointer, D, A, I and F masked. */
#define PSTATE_AT_START 0x3c5u

/* ---- protection ---- */

/* Its size cannot be asked: the driver hands the whole area over, in whole pages. */
int gunyah_load_firmware(uint64_t *out, visor_vm *vm, uint64_t gpa, uint64_t max_size)
{
    static const char op[] = "GH_VM_ANDROID_SET_FW_CONFIG";
    const struct gunyah_vm_firmware_config firmware = {
        .guest_phys_addr = gpa,
        .size = max_size & ~(uint64_t)(visor__os_page_size() - 1),
    };
    int ret;

    if (vm->config.protection != VISOR_PROTECTED) {
        visor__error(VISOR_ESTATE, "gunyah", op, "the VM was not created for it");
        return visor__error_hint("set protection = VISOR_PROTECTED in visor_vm_config");
    }
    if (firmware.size == 0)
        return visor__error(VISOR_ELIMIT, "gunyah", op, "less than a page for the firmware");
    ret = gunyah_ioctl(gunyah_vm_of(vm)->fd, GH_VM_ANDROID_SET_FW_CONFIG, &firmware);
    if (ret < 0)
        return gunyah_error(op, -ret, "firmware at 0x%llx", (ull)gpa);
    gunyah_vm_of(vm)->has_firmware = true;
    *out = firmware.size;
    return 0;
}

/*
 * A trusted VM is authenticated by metadata that stand at the beginning of its image. The request
 * takes effect, but the driver that was read ends it with EINVAL all the same.
 */
static int set_trusted(visor_vm *vm, const visor_aarch64_boot *boot)
{
    static const char op[] = "GH_VM_ANDROID_SET_AUTH_TYPE";
    const struct gunyah_hv *hv = gunyah_hv_of(vm->hv);
    struct gunyah_qtvm_auth_arg ids;
    const struct gunyah_auth_desc auth = {
        .type = GUNYAH_QCOM_TRUSTED_VM_TYPE,
        .arg_size = sizeof(ids),
        .arg = (uintptr_t)&ids,
    };
    int ret;

    memset(&ids, 0, sizeof(ids)); /* padding too */
    ids.vm_id = hv->vm_id;
    ids.peripheral_id = hv->pas_id;
    ids.guest_phys_addr = boot->entry_gpa;
    ids.size = visor__memory_find(vm->memory, boot->entry_gpa, 4)->info.length;
    ret = gunyah_ioctl(gunyah_vm_of(vm)->fd, GH_VM_ANDROID_SET_AUTH_TYPE, &auth);
    if (ret == -ENOTTY)
        return visor__error_native(VISOR_EUNSUPPORTED, "gunyah", op, VISOR_NATIVE_ERRNO, ENOTTY,
                                   "this kernel has no trusted VMs: android16-6.12 is needed");
    return ret < 0 && ret != -EINVAL
               ? gunyah_error(op, -ret, "vm id %u, peripheral id %u", hv->vm_id, hv->pas_id)
               : 0;
}

/* ---- preparing the start ---- */

/* The region of the entry, which the tree has to be in too, at a place that suits the VM. */
static int check_places(const visor_vm *vm, const visor_aarch64_boot *boot)
{
    const struct visor__region *region = visor__memory_find(vm->memory, boot->entry_gpa, 4);
    uint64_t offset;

    if (region != visor__memory_find(vm->memory, boot->tree_gpa, boot->tree_length))
        return visor__error(VISOR_EINVAL, "gunyah", op_boot,
                            "entry and device tree are in different regions");
    offset = boot->entry_gpa - region->info.gpa;
    if (gunyah_hv_of(vm->hv)->is_trusted && offset != 0)
        return visor__error(VISOR_EINVAL, "gunyah", op_boot,
                            "the image of a trusted VM is the whole region, from its first byte");
    if (vm->config.protection == VISOR_PROTECTED_NO_FIRMWARE && offset != 0)
        return visor__error(VISOR_EINVAL, "gunyah", op_boot,
                            "a protected VM without firmware starts at the first byte of its "
                            "region");
    return 0;
}

static int complete_tree(visor_vm *vm)
{
    const struct gunyah_vm *gunyah = gunyah_vm_of(vm);
    const visor_aarch64_boot *boot = &gunyah->boot;
    const struct gunyah_tree tree = {
        .memory = vm->memory,
        .config = &vm->machine.aarch64,
        .vcpu_count = gunyah->vcpu_count,
        .no_timer_wakeups =
            !gunyah_hv_of(vm->hv)->is_trusted &&
            visor__linux_ioctl(gunyah->fd, GH_VM_CHECK_EXTENSION, GH_CAP_VCPU_TIMER_WAKEUP) > 0,
        .doorbells = gunyah->doorbells,
        .doorbell_count = gunyah->doorbell_count,
    };
    void *area;
    int ret = visor_memory_ptr(&area, vm->memory, boot->tree_gpa, boot->tree_length);

    return ret < 0 ? ret : gunyah_tree_complete(area, boot->tree_length, &tree);
}

/* The rest is done when the VM starts: until then doorbells, vCPUs and memory may be added. */
int gunyah_set_boot(visor_vm *vm, const visor_aarch64_boot *boot)
{
    int ret = check_places(vm, boot);

    if (ret == 0)
        gunyah_vm_of(vm)->boot = *boot;
    return ret;
}

/* ---- registers: those that vCPU 0 starts with ---- */

static int check_start_reg(const visor_vcpu *vcpu, const char *operation)
{
    if (vcpu->id == 0 && atomic_load(&gunyah_vm_of(vcpu->vm)->phase) == GUNYAH_BUILDING)
        return 0;
    return visor__error(VISOR_EUNSUPPORTED, "gunyah", operation,
                        "vCPU %u: only vCPU 0 can be given registers, and before it starts",
                        vcpu->id);
}

static int check_pstate(uint64_t pstate)
{
    return pstate == PSTATE_AT_START ? 0
                                     : visor__error(VISOR_EUNSUPPORTED, "gunyah", "set_regs",
                                                    "PSTATE 0x%llx: a vCPU starts with 0x%x",
                                                    (ull)pstate, PSTATE_AT_START);
}

int gunyah_set_state(visor_vcpu *vcpu, enum visor__state piece, const void *buf, size_t length)
{
    const visor_aarch64_regs *regs = buf;
    struct gunyah_vm *gunyah = gunyah_vm_of(vcpu->vm);
    int ret;

    (void)length;
    if (piece != VISOR__STATE_AARCH64_REGS)
        return visor__error(VISOR_EUNSUPPORTED, "gunyah", "set_state",
                            "the driver has no such state");
    ret = check_start_reg(vcpu, "visor_aarch64_set_regs");
    if (ret == 0)
        ret = check_pstate(regs->pstate);
    if (ret < 0)
        return ret;
    gunyah->regs = *regs;
    gunyah->has_regs = true;
    return 0;
}

int gunyah_get_reg(uint64_t *out, visor_vcpu *vcpu, uint32_t reg)
{
    return visor__aarch64_fixed_reg(out, vcpu, reg, "its driver lets no register be read");
}

int gunyah_set_reg(visor_vcpu *vcpu, uint32_t reg, uint64_t value)
{
    struct gunyah_vm *gunyah = gunyah_vm_of(vcpu->vm);
    int ret = check_start_reg(vcpu, "visor_aarch64_set_reg");

    if (ret < 0)
        return ret;
    if (reg == VISOR_AARCH64_PSTATE)
        return check_pstate(value);
    if (reg >= VISOR_AARCH64_X(0) && reg <= VISOR_AARCH64_X(30))
        gunyah->regs.x[reg - VISOR_AARCH64_X(0)] = value;
    else if (reg == VISOR_AARCH64_SP)
        gunyah->regs.sp = value;
    else if (reg == VISOR_AARCH64_PC)
        gunyah->regs.pc = value;
    else
        return visor__error(VISOR_EUNSUPPORTED, "gunyah", "visor_aarch64_set_reg",
                            "the driver has no number for register 0x%x", reg);
    gunyah->has_regs = true;
    return 0;
}

/* ---- the start ---- */

static int set_context(const struct gunyah_vm *gunyah, uint32_t set, uint32_t index, uint64_t value)
{
    const struct gunyah_vm_boot_context context = {
        .reg = set << GUNYAH_VM_BOOT_CONTEXT_REG_SHIFT | index,
        .value = value,
    };

    return gunyah_ioctl(gunyah->fd, GUNYAH_VM_SET_BOOT_CONTEXT, &context);
}

/* Without the request, as in android14-6.1, a guest starts at the first byte of its region, with
 * the address of its tree in X0. */
static int check_old_start(const visor_vm *vm, bool has_regs)
{
    const struct gunyah_vm *gunyah = gunyah_vm_of(vm);
    const struct visor__region *region = visor__memory_find(vm->memory, gunyah->boot.entry_gpa, 4);

    if (!has_regs && gunyah->boot.entry_gpa == region->info.gpa)
        return 0;
    visor__error_native(VISOR_EUNSUPPORTED, "gunyah", "GUNYAH_VM_SET_BOOT_CONTEXT",
                        VISOR_NATIVE_ERRNO, ENOTTY, "this kernel starts a guest its own way only");
    return visor__error_hint("enter at the first byte of the region and set no registers, or use "
                             "android15-6.6 or later");
}

/* The entry, and what was set besides. The registers of VMs with an authentication are not the
 * VMM's to set: the driver would ignore them without a word. */
static int set_registers(visor_vm *vm)
{
    const struct gunyah_vm *gunyah = gunyah_vm_of(vm);
    bool is_other_pc = gunyah->has_regs && gunyah->regs.pc != 0;
    int ret = 0;

    if (gunyah->has_firmware || gunyah_hv_of(vm->hv)->is_trusted)
        return 0;
    ret =
        set_context(gunyah, REG_SET_PC, 0, is_other_pc ? gunyah->regs.pc : gunyah->boot.entry_gpa);
    if (ret == -ENOTTY)
        return check_old_start(vm, gunyah->has_regs);
    for (uint32_t i = 0; ret == 0 && gunyah->has_regs && i < 31; i++)
        ret = set_context(gunyah, REG_SET_X, i, gunyah->regs.x[i]);
    if (ret == 0 && gunyah->has_regs && gunyah->regs.sp != 0)
        ret = set_context(gunyah, REG_SET_SP, 0, gunyah->regs.sp);
    return ret < 0 ? gunyah_error("GUNYAH_VM_SET_BOOT_CONTEXT", -ret, "%s", "") : 0;
}

/* What the resource manager reads, and how it trusts it. */
static int prepare(visor_vm *vm)
{
    struct gunyah_vm *gunyah = gunyah_vm_of(vm);
    /* Whole pages: the driver forgets what is left of a page. */
    const struct gunyah_vm_dtb_config dtb = {gunyah->boot.tree_gpa, gunyah->boot.tree_length};
    int ret;

    if (gunyah->boot.size == 0) {
        visor__error(VISOR_ESTATE, "gunyah", "visor_vcpu_run",
                     "the hypervisor does not know where the guest starts");
        return visor__error_hint("call visor_aarch64_set_boot() before the first run");
    }
    if (vm->config.protection == VISOR_PROTECTED && !gunyah->has_firmware) {
        visor__error(VISOR_ESTATE, "gunyah", "visor_vcpu_run", "the VM's firmware is not loaded");
        return visor__error_hint("call visor_vm_load_firmware() before the first run");
    }
    ret = gunyah->has_tree ? 0 : complete_tree(vm);
    gunyah->has_tree = ret == 0;
    if (ret == 0 && gunyah_hv_of(vm->hv)->is_trusted)
        ret = set_trusted(vm, &gunyah->boot);
    if (ret < 0)
        return ret;
    ret = gunyah_ioctl(gunyah->fd, GUNYAH_VM_SET_DTB_CONFIG, &dtb);
    return ret < 0 ? gunyah_error("GUNYAH_VM_SET_DTB_CONFIG", -ret, "device tree at 0x%llx",
                                  (ull)dtb.guest_phys_addr)
                   : set_registers(vm);
}

/* VM lock. What is wrong before the request can be mended; after it the VM is lost. */
static int start(visor_vm *vm)
{
    struct gunyah_vm *gunyah = gunyah_vm_of(vm);
    int ret;

    if (atomic_load(&gunyah->phase) == GUNYAH_STARTED)
        return 0;
    if (atomic_load(&gunyah->phase) == GUNYAH_FAILED)
        return visor__error(VISOR_ESTATE, "gunyah", "visor_vcpu_run",
                            "the VM could not be started, and cannot be any more");
    ret = prepare(vm);
    if (ret < 0)
        return ret;
    ret = visor__linux_ioctl(gunyah->fd, GUNYAH_VM_START, 0);
    atomic_store(&gunyah->phase, ret < 0 ? GUNYAH_FAILED : GUNYAH_STARTED);
    return ret < 0 ? gunyah_error("GUNYAH_VM_START", -ret, "%s",
                                  "the resource manager did not take the VM or its device tree")
                   : 0;
}

int gunyah_start(visor_vm *vm)
{
    int ret;

    if (atomic_load(&gunyah_vm_of(vm)->phase) == GUNYAH_STARTED)
        return 0;
    visor__mutex_lock(&vm->lock);
    ret = start(vm);
    visor__mutex_unlock(&vm->lock);
    return ret;
}
