/* SPDX-License-Identifier: BSD-3-Clause */
/* AArch64: the state of the interrupt controller, as a list of registers and tables in guest
 * memory. All of it with the VM lock, while no vCPU runs: KVM says EBUSY otherwise. */
#include <stdio.h>
#include <stdlib.h>

#include "kvm/kvm_aarch64.h"
#include "kvm/kvm_aarch64_gic.h"

/* A vCPU whose registers can be reached. */
struct owner {
    uint32_t id;
    uint64_t name; /* as the upper half of an attribute */
};

struct chip {
    int gic_fd, its_fd;
    struct kvm_gic_shape shape;
    struct owner *owners; /* in the order of creation */
    size_t owner_count;
};

/* ---- the vCPUs ---- */

/* MPIDR_EL1, which tells where the vCPU's redistributor and CPU interface belong. */
static int get_mpidr(uint64_t *out, const visor_vcpu *vcpu)
{
    struct kvm_one_reg reg = {
        .id = ARM64_SYS_REG(3, 0, 0, 0, 5),
        .addr = (uintptr_t)out,
    };

    return KVM_IOCTL(kvm_vcpu_of(vcpu)->fd, KVM_GET_ONE_REG, &reg);
}

static int name_vcpu(struct owner *out, const visor_vcpu *vcpu, uint32_t version)
{
    uint64_t mpidr;
    int ret;

    out->id = vcpu->id;
    if (version == 2) {
        out->name = kvm_gic_index(vcpu->id);
        return kvm_aarch64_gic_check_index(vcpu->vm, vcpu->id, "GICv2 registers");
    }
    ret = get_mpidr(&mpidr, vcpu);
    if (ret < 0)
        return ret;
    out->name = kvm_gic_affinity(mpidr);
    return 0;
}

static void close_chip(struct chip *chip)
{
    free(chip->owners);
}

static int open_chip(struct chip *out, visor_vm *vm)
{
    const visor_aarch64_config *config = &vm->machine.aarch64;
    size_t count = 0, at;
    int ret = 0;

    *out = (struct chip){
        .gic_fd = kvm_aarch64_vm_of(vm)->gic_fd,
        .its_fd = kvm_aarch64_vm_of(vm)->its_fd,
        .shape = {.version = config->gic_version,
                  .spi_count = config->spi_count,
                  .has_its = config->its == VISOR_ON},
    };
    for (const visor_vcpu *vcpu = vm->vcpus; vcpu != NULL; vcpu = vcpu->next)
        count += !vcpu->closed;
    if (count == 0)
        return visor__error(VISOR_ESTATE, "kvm", "GIC registers", "the VM has no vCPU any more");
    out->owners = calloc(count, sizeof(*out->owners));
    if (out->owners == NULL)
        return visor__error(VISOR_ENOMEM, "kvm", "GIC registers", "no memory for %zu vCPUs", count);
    out->owner_count = at = count;
    for (const visor_vcpu *vcpu = vm->vcpus; vcpu != NULL && ret >= 0; vcpu = vcpu->next) {
        if (!vcpu->closed)
            ret = name_vcpu(&out->owners[--at], vcpu, config->gic_version);
    }
    if (ret < 0)
        close_chip(out);
    return ret;
}

static const struct owner *find_owner(const struct chip *chip, uint32_t id)
{
    for (size_t i = 0; i < chip->owner_count; i++) {
        if (chip->owners[i].id == id)
            return &chip->owners[i];
    }
    return NULL;
}

/* ---- one register ---- */

/* For errors. */
struct reg_text {
    char text[64];
};

static struct reg_text describe(const visor_irqchip_reg *reg)
{
    static const char *const groups[] = {
        [VISOR_GIC_DISTRIBUTOR] = "GICD",  [VISOR_GIC_REDISTRIBUTOR] = "GICR",
        [VISOR_GIC_CPU] = "CPU interface", [VISOR_GIC_LEVELS] = "line levels",
        [VISOR_GIC_ITS] = "GITS",
    };
    bool known = reg->group > 0 && reg->group < sizeof(groups) / sizeof(groups[0]);
    struct reg_text out;

    snprintf(out.text, sizeof(out.text), "%s %#llx of vCPU %u",
             known ? groups[reg->group] : "group?", (unsigned long long)reg->offset, reg->vcpu);
    return out;
}

/*
 * Where KVM's view of a GICv2 is another than the guest's. GICC_PMR: its upper five bits, moved
 * down (arm-vgic.rst). GICD_ISPENDR0: which SGIs are pending is told, with their senders, by
 * GICD_SPENDSGIR, and to set them here would add this vCPU as a sender.
 */
static uint32_t from_kvm(const visor_irqchip_reg *reg, uint32_t version, uint32_t value)
{
    if (version == 2 && reg->group == VISOR_GIC_CPU && reg->offset == 0x4)
        return value << 3;
    if (version == 2 && reg->group == VISOR_GIC_DISTRIBUTOR && reg->offset == 0x200)
        return value & 0xffff0000;
    return value;
}

static uint32_t to_kvm(const visor_irqchip_reg *reg, uint32_t version, uint32_t value)
{
    if (version == 2 && reg->group == VISOR_GIC_CPU && reg->offset == 0x4)
        return value >> 3;
    return value;
}

static int move(const struct chip *chip, visor_irqchip_reg *reg, bool set)
{
    const struct owner *owner = find_owner(chip, reg->vcpu);
    /* What is no vCPU's is asked of any. */
    uint64_t vcpu = owner != NULL ? owner->name : chip->owners[0].name;
    uint32_t version = chip->shape.version, word = to_kvm(reg, version, (uint32_t)reg->value);
    bool wide = kvm_gic_is_wide(reg->group, version);
    struct kvm_device_attr attr;
    int ret;

    kvm_gic_attr(&attr, reg, version, vcpu);
    attr.addr = wide ? (uintptr_t)&reg->value : (uintptr_t)&word;
    ret = kvm_ioctl_quiet(reg->group == VISOR_GIC_ITS ? chip->its_fd : chip->gic_fd,
                          set ? KVM_SET_DEVICE_ATTR : KVM_GET_DEVICE_ATTR, (uintptr_t)&attr);
    if (ret < 0)
        return kvm_error(set ? "KVM_SET_DEVICE_ATTR" : "KVM_GET_DEVICE_ATTR", -ret, "%s",
                         describe(reg).text);
    if (!set && !wide)
        reg->value = from_kvm(reg, version, word);
    return 0;
}

/* ---- saving ---- */

/* LPIs that are pending, and what the ITS knows, into guest memory. */
static int save_tables(const struct chip *chip)
{
    int ret;

    if (!chip->shape.has_its)
        return 0;
    ret = kvm_set_attr(chip->gic_fd, "tables of pending LPIs", KVM_DEV_ARM_VGIC_GRP_CTRL,
                       KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, NULL);
    if (ret < 0)
        return ret;
    return kvm_set_attr(chip->its_fd, "tables of the ITS", KVM_DEV_ARM_VGIC_GRP_CTRL,
                        KVM_DEV_ARM_ITS_SAVE_TABLES, NULL);
}

/* A list that is filled in as far as there is room. */
struct list {
    visor_irqchip_reg *regs;
    size_t capacity, count;
};

static int put_kind(struct list *out, const struct chip *chip, const struct kvm_gic_kind *kind,
                    uint32_t vcpu, unsigned active_priorities)
{
    uint32_t count = kvm_gic_count(kind, &chip->shape);
    int ret = 0;

    for (uint32_t i = 0; i < count && ret == 0; i++) {
        visor_irqchip_reg reg = {
            .group = kind->group, .vcpu = vcpu, .offset = kvm_gic_offset(kind, i)};
        unsigned n;

        if (kvm_gic_is_active_priority(&reg, chip->shape.version, &n) && n >= active_priorities)
            continue;
        if (out->count < out->capacity) {
            ret = move(chip, &reg, false);
            out->regs[out->count] = reg;
        }
        out->count++;
    }
    return ret;
}

/* How many active priorities of a group the vCPUs have: the same for all. */
static int get_active_priorities(unsigned *out, const struct chip *chip)
{
    visor_irqchip_reg ctlr = {.group = VISOR_GIC_CPU,
                              .vcpu = chip->owners[0].id,
                              .offset = VISOR_AARCH64_SYSREG(3, 0, 12, 12, 4)}; /* ICC_CTLR_EL1 */
    int ret = 0;

    if (chip->shape.version == 3)
        ret = move(chip, &ctlr, false);
    *out = kvm_gic_active_priorities(ctlr.value);
    return ret;
}

static int get_all(struct list *out, const struct chip *chip)
{
    unsigned priorities;
    int ret = get_active_priorities(&priorities, chip);

    for (size_t i = 0; i < kvm_gic_kind_count && ret == 0; i++) {
        const struct kvm_gic_kind *kind = &kvm_gic_kinds[i];

        if (!kind->per_vcpu)
            ret = put_kind(out, chip, kind, 0, priorities);
        for (size_t n = 0; kind->per_vcpu && n < chip->owner_count && ret == 0; n++)
            ret = put_kind(out, chip, kind, chip->owners[n].id, priorities);
    }
    return ret;
}

int kvm_aarch64_gic_get_regs(visor_irqchip_reg *out, size_t capacity, visor_vm *vm)
{
    struct list list = {.regs = out, .capacity = capacity};
    struct chip chip;
    int ret = open_chip(&chip, vm);

    if (ret < 0)
        return ret;
    if (capacity > 0)
        ret = save_tables(&chip);
    if (ret == 0)
        ret = get_all(&list, &chip);
    close_chip(&chip);
    return ret < 0 ? ret : (int)list.count;
}

/* ---- restoring ---- */

static int check_list(const struct chip *chip, const visor_irqchip_reg *regs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct kvm_gic_kind *kind = kvm_gic_find(&regs[i], &chip->shape);

        if (kind == NULL || (kind->per_vcpu && find_owner(chip, regs[i].vcpu) == NULL))
            return visor__error(VISOR_EMISMATCH, "kvm", "visor_vm_set_irqchip",
                                "this VM's GIC has no register %s", describe(&regs[i]).text);
    }
    return 0;
}

static bool has_its_regs(const visor_irqchip_reg *regs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (regs[i].group == VISOR_GIC_ITS)
            return true;
    }
    return false;
}

/* Forgets what can be set only once: LPIs on, and what the ITS has been told. */
static int prepare(const struct chip *chip, const visor_irqchip_reg *regs, size_t count)
{
    int ret = 0;

    for (size_t i = 0; i < count && ret == 0; i++) {
        visor_irqchip_reg off = {.group = regs[i].group, .vcpu = regs[i].vcpu};

        if (regs[i].group == VISOR_GIC_REDISTRIBUTOR && regs[i].offset == 0) /* GICR_CTLR */
            ret = move(chip, &off, true);
    }
    if (ret == 0 && has_its_regs(regs, count))
        ret = kvm_set_attr(chip->its_fd, "ITS", KVM_DEV_ARM_VGIC_GRP_CTRL,
                           KVM_DEV_ARM_ITS_CTRL_RESET, NULL);
    return ret;
}

static int set_one(const struct chip *chip, const struct kvm_gic_kind *kind,
                   const visor_irqchip_reg *wanted)
{
    visor_irqchip_reg reg = *wanted, clear = *wanted;
    int ret = 0;

    if (kind->clear != 0) {
        clear.offset += (uint64_t)(int64_t)kind->clear;
        clear.value = ~wanted->value;
        ret = move(chip, &clear, true);
    }
    return ret == 0 ? move(chip, &reg, true) : ret;
}

static int set_kind(const struct chip *chip, const struct kvm_gic_kind *kind,
                    const visor_irqchip_reg *regs, size_t count)
{
    int ret = 0;

    for (size_t i = 0; i < count && ret == 0; i++) {
        if (kvm_gic_find(&regs[i], &chip->shape) == kind)
            ret = set_one(chip, kind, &regs[i]);
    }
    return ret;
}

static int set_all(const struct chip *chip, const visor_irqchip_reg *regs, size_t count)
{
    int ret = 0;

    for (size_t i = 0; i < kvm_gic_kind_count && ret == 0; i++) {
        const struct kvm_gic_kind *kind = &kvm_gic_kinds[i];

        if (kind->after_tables && has_its_regs(regs, count))
            ret = kvm_set_attr(chip->its_fd, "tables of the ITS", KVM_DEV_ARM_VGIC_GRP_CTRL,
                               KVM_DEV_ARM_ITS_RESTORE_TABLES, NULL);
        if (ret == 0)
            ret = set_kind(chip, kind, regs, count);
    }
    return ret;
}

/*
 * A GICv2's lines cannot be read or set as such; GICD_ISPENDR tells latch and line in one, and the
 * latch of an interrupt that is being served is lost. So a pending interrupt that is sensitive to
 * the level of its line stands for a line that is high, until its device says otherwise.
 */
static int raise_line(const struct chip *chip, visor_vm *vm, uint32_t intid)
{
    visor_irqchip_reg trigger = {.group = VISOR_GIC_DISTRIBUTOR, .offset = 0xc00 + intid / 16 * 4};
    int ret = move(chip, &trigger, false); /* GICD_ICFGR: two bits, the upper one for an edge */

    if (ret < 0 || (trigger.value >> intid % 16 * 2 & 2) != 0)
        return ret;
    return kvm_set_irq(vm, intid - 32, true);
}

static int raise_lines(const struct chip *chip, visor_vm *vm, const visor_irqchip_reg *regs,
                       size_t count)
{
    int ret = 0;

    for (size_t i = 0; i < count && chip->shape.version == 2; i++) {
        uint64_t first = (regs[i].offset - 0x200) * 8; /* GICD_ISPENDR */

        if (regs[i].group != VISOR_GIC_DISTRIBUTOR || first < 32 || first >= 1024)
            continue;
        for (uint32_t n = 0; n < 32 && ret == 0; n++) {
            if ((regs[i].value >> n & 1) != 0)
                ret = raise_line(chip, vm, (uint32_t)first + n);
        }
    }
    return ret;
}

int kvm_aarch64_gic_set_regs(visor_vm *vm, const visor_irqchip_reg *regs, size_t count)
{
    struct chip chip;
    int ret = open_chip(&chip, vm);

    if (ret < 0)
        return ret;
    ret = check_list(&chip, regs, count);
    if (ret == 0)
        ret = prepare(&chip, regs, count);
    if (ret == 0)
        ret = set_all(&chip, regs, count);
    if (ret == 0)
        ret = raise_lines(&chip, vm, regs, count);
    close_chip(&chip);
    return ret;
}
