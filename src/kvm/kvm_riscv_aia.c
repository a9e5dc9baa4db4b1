/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The interrupt controller: one APLIC domain that turns lines into messages, and an IMSIC for each
 * vCPU (Advanced Interrupt Architecture, chapters 3 and 4; <asm/kvm.h>, KVM_DEV_RISCV_AIA_...).
 *
 * Saved as registers: those of the APLIC by their offset in the domain's area, with the level of
 * the lines in in_clrip; those of the IMSICs by their selectors. Reading has no effect on any of
 * them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/kvm_riscv.h"

/* ---- creation ---- */

bool kvm_riscv_aia_exists(int vm_fd)
{
    struct kvm_create_device device = {
        .type = KVM_DEV_TYPE_RISCV_AIA,
        .flags = KVM_CREATE_DEVICE_TEST,
    };

    return kvm_check(vm_fd, KVM_CAP_IRQCHIP) > 0 &&
           kvm_ioctl_quiet(vm_fd, KVM_CREATE_DEVICE, (uintptr_t)&device) >= 0;
}

/* Bits of a number below count. */
static uint32_t index_bits(uint32_t count)
{
    return count > 1 ? 32 - (uint32_t)__builtin_clz(count - 1) : 0;
}

static int set_config(int fd, const char *what, uint64_t attr, uint32_t value)
{
    return kvm_set_attr(fd, what, KVM_DEV_RISCV_AIA_GRP_CONFIG, attr, &value);
}

/* How many identities, and so sources, there can be. */
static int resolve_ids(int fd, visor_riscv_config *config)
{
    uint32_t most;
    int ret = kvm_get_attr(&most, fd, "identities", KVM_DEV_RISCV_AIA_GRP_CONFIG,
                           KVM_DEV_RISCV_AIA_CONFIG_IDS);

    if (ret < 0)
        return ret;
    if (config->id_count == 0)
        config->id_count = most;
    if (config->id_count > most || config->source_count > config->id_count) {
        visor__error(VISOR_EUNSUPPORTED, "kvm", "visor_riscv_configure",
                     "%u identities, %u sources", config->id_count, config->source_count);
        return visor__error_hint("this host has %u identities; each source needs one", most);
    }
    return 0;
}

int kvm_riscv_aia_configure(visor_vm *vm, visor_riscv_config *config)
{
    struct kvm_riscv_vm *riscv = kvm_riscv_vm_of(vm);
    struct kvm_create_device device = {.type = KVM_DEV_TYPE_RISCV_AIA};
    int ret;

    /* A VM can have the device only once, so that an attempt that failed leaves it. */
    if (riscv->aia_fd < 0) {
        ret = KVM_IOCTL(riscv->common.fd, KVM_CREATE_DEVICE, &device);
        if (ret < 0)
            return ret;
        riscv->aia_fd = (int)device.fd;
    }
    ret = resolve_ids(riscv->aia_fd, config);
    if (ret == 0)
        ret =
            set_config(riscv->aia_fd, "identities", KVM_DEV_RISCV_AIA_CONFIG_IDS, config->id_count);
    if (ret == 0)
        ret = set_config(riscv->aia_fd, "sources", KVM_DEV_RISCV_AIA_CONFIG_SRCS,
                         config->source_count);
    if (ret == 0)
        ret = set_config(riscv->aia_fd, "hart index bits", KVM_DEV_RISCV_AIA_CONFIG_HART_BITS,
                         index_bits(config->vcpu_count));
    return ret;
}

/* KVM counts vCPUs in the order of their creation; the list has the newest first. */
static int set_imsics(visor_vm *vm)
{
    const visor_riscv_config *config = &vm->machine.riscv;
    uint64_t index = 0;
    int ret = 0;

    for (const visor_vcpu *vcpu = vm->vcpus; vcpu != NULL; vcpu = vcpu->next)
        index++;
    for (const visor_vcpu *vcpu = vm->vcpus; vcpu != NULL && ret == 0; vcpu = vcpu->next) {
        uint64_t gpa = config->imsic_gpa + UINT64_C(0x1000) * vcpu->id;

        index--;
        ret = kvm_set_attr(kvm_riscv_vm_of(vm)->aia_fd, "address of an IMSIC",
                           KVM_DEV_RISCV_AIA_GRP_ADDR, KVM_DEV_RISCV_AIA_ADDR_IMSIC(index), &gpa);
    }
    return ret;
}

int kvm_riscv_aia_seal(visor_vm *vm)
{
    int fd = kvm_riscv_vm_of(vm)->aia_fd;
    int ret = kvm_set_attr(fd, "address of the APLIC", KVM_DEV_RISCV_AIA_GRP_ADDR,
                           KVM_DEV_RISCV_AIA_ADDR_APLIC, &vm->machine.riscv.aplic_gpa);

    if (ret == 0)
        ret = set_imsics(vm);
    if (ret == 0)
        ret = kvm_set_attr(fd, "completing the AIA", KVM_DEV_RISCV_AIA_GRP_CTRL,
                           KVM_DEV_RISCV_AIA_CTRL_INIT, NULL);
    return ret;
}

/* ---- messages ---- */

/* Whether an address is in the IMSIC of a vCPU. */
static bool has_imsic(const visor_vm *vm, uint64_t address)
{
    const visor_riscv_config *config = &vm->machine.riscv;
    const visor_vcpu *vcpu = vm->vcpus;
    uint64_t index = (address - config->imsic_gpa) / 0x1000;

    while (vcpu != NULL && vcpu->id != index)
        vcpu = vcpu->next;
    return address >= config->imsic_gpa && vcpu != NULL;
}

/* KVM says 0 for a message that has arrived, and also if there is no IMSIC at its address; ENODEV
 * or EINVAL if the IMSIC has no such register or identity. */
int kvm_riscv_aia_send_msi(visor_vm *vm, const visor_msi *msi)
{
    struct kvm_msi native = {
        .address_lo = (uint32_t)msi->address,
        .address_hi = (uint32_t)(msi->address >> 32),
        .data = msi->data,
    };
    int ret = kvm_ioctl_quiet(kvm_vm_of(vm)->fd, KVM_SIGNAL_MSI, (uintptr_t)&native);

    if (ret == -ENODEV || ret == -EINVAL)
        return 0;
    if (ret < 0)
        return kvm_error("KVM_SIGNAL_MSI", -ret, "address %#llx, data %#x",
                         (unsigned long long)msi->address, msi->data);
    return has_imsic(vm, msi->address);
}

/* ---- saving and restoring ---- */

/* Offsets in the area of an APLIC's domain (AIA, 4.5). Those that are one bit for a source have 32
 * of them in a register. */
#define DOMAINCFG    0x0000u
#define SOURCECFG(n) (0x0004u + 4 * ((n)-1))
#define SETIP(word)  (0x1c00u + 4 * (word))
#define IN_CLRIP(w)  (0x1d00u + 4 * (w)) /* read: the inputs; written: clears pending bits */
#define SETIE(word)  (0x1e00u + 4 * (word))
#define CLRIE(word)  (0x1f00u + 4 * (word))
#define TARGET(n)    (0x3004u + 4 * ((n)-1))
#define MOST_SOURCES 1023u
/* sourcecfg (AIA, 4.5.2): the source modes that take the input inverted. */
#define FALLING_EDGE 5u
#define LEVEL_LOW    7u
/* Selectors of an IMSIC (AIA, 3.8); RV64 has the even ones of the arrays. */
#define EIDELIVERY  0x70u
#define EITHRESHOLD 0x72u
#define EIP(pair)   (0x80u + 2 * (pair))
#define EIE(pair)   (0xc0u + 2 * (pair))

/* Where registers are gathered. */
struct reg_list {
    visor_irqchip_reg *out;
    size_t capacity, count;
    int fd;
};

static int add_aplic(struct reg_list *list, uint32_t offset)
{
    uint32_t value = 0;
    int ret = 0;

    if (list->count < list->capacity) {
        ret = kvm_get_attr(&value, list->fd, "register of the APLIC", KVM_DEV_RISCV_AIA_GRP_APLIC,
                           offset);
        list->out[list->count] =
            (visor_irqchip_reg){.group = VISOR_AIA_APLIC, .offset = offset, .value = value};
    }
    list->count++;
    return ret;
}

static int add_imsic(struct reg_list *list, uint32_t vcpu, uint32_t selector)
{
    uint64_t value = 0;
    int ret = 0;

    if (list->count < list->capacity) {
        ret = kvm_get_attr(&value, list->fd, "register of an IMSIC", KVM_DEV_RISCV_AIA_GRP_IMSIC,
                           KVM_DEV_RISCV_AIA_IMSIC_MKATTR((uint64_t)vcpu, selector));
        list->out[list->count] = (visor_irqchip_reg){
            .group = VISOR_AIA_IMSIC, .vcpu = vcpu, .offset = selector, .value = value};
    }
    list->count++;
    return ret;
}

static int add_aplic_regs(struct reg_list *list, uint32_t sources)
{
    int ret = add_aplic(list, DOMAINCFG);

    for (uint32_t n = 1; n <= sources && ret == 0; n++) {
        ret = add_aplic(list, SOURCECFG(n));
        if (ret == 0)
            ret = add_aplic(list, TARGET(n));
    }
    for (uint32_t word = 0; word <= sources / 32 && ret == 0; word++) {
        ret = add_aplic(list, SETIP(word));
        if (ret == 0)
            ret = add_aplic(list, IN_CLRIP(word));
        if (ret == 0)
            ret = add_aplic(list, SETIE(word));
    }
    return ret;
}

static int add_imsic_regs(struct reg_list *list, uint32_t vcpu, uint32_t ids)
{
    int ret = add_imsic(list, vcpu, EIDELIVERY);

    if (ret == 0)
        ret = add_imsic(list, vcpu, EITHRESHOLD);
    for (uint32_t pair = 0; pair <= ids / 64 && ret == 0; pair++) {
        ret = add_imsic(list, vcpu, EIP(pair));
        if (ret == 0)
            ret = add_imsic(list, vcpu, EIE(pair));
    }
    return ret;
}

int kvm_riscv_aia_get_regs(visor_irqchip_reg *out, size_t capacity, visor_vm *vm)
{
    struct reg_list list = {.out = out, .capacity = capacity, .fd = kvm_riscv_vm_of(vm)->aia_fd};
    const visor_riscv_config *config = &vm->machine.riscv;
    int ret = add_aplic_regs(&list, config->source_count);

    for (const visor_vcpu *vcpu = vm->vcpus; vcpu != NULL && ret == 0; vcpu = vcpu->next) {
        if (!vcpu->closed)
            ret = add_imsic_regs(&list, vcpu->id, config->id_count);
    }
    return ret < 0 ? ret : (int)list.count;
}

/* What a list says about the APLIC. */
struct aplic {
    uint32_t domaincfg;
    uint32_t sourcecfg[MOST_SOURCES + 1], target[MOST_SOURCES + 1];
    uint32_t pending[32], input[32], enabled[32];
};

/* Whether offset is that of one of count registers from first on; if so, which. */
static bool among(uint32_t *out, uint64_t offset, uint32_t first, uint32_t count)
{
    if (offset < first || offset % 4 != 0 || (offset - first) / 4 >= count)
        return false;
    *out = (uint32_t)(offset - first) / 4;
    return true;
}

static bool take_aplic(struct aplic *aplic, const visor_irqchip_reg *reg, uint32_t sources)
{
    uint32_t value = (uint32_t)reg->value, words = sources / 32 + 1, n;

    if (reg->offset == DOMAINCFG)
        aplic->domaincfg = value;
    else if (among(&n, reg->offset, SOURCECFG(1), sources))
        aplic->sourcecfg[n + 1] = value;
    else if (among(&n, reg->offset, TARGET(1), sources))
        aplic->target[n + 1] = value;
    else if (among(&n, reg->offset, SETIP(0), words))
        aplic->pending[n] = value;
    else if (among(&n, reg->offset, IN_CLRIP(0), words))
        aplic->input[n] = value;
    else if (among(&n, reg->offset, SETIE(0), words))
        aplic->enabled[n] = value;
    else
        return false;
    return true;
}

static int write_aplic(visor_vm *vm, uint32_t offset, uint32_t value)
{
    return kvm_set_attr(kvm_riscv_vm_of(vm)->aia_fd, "register of the APLIC",
                        KVM_DEV_RISCV_AIA_GRP_APLIC, offset, &value);
}

/* Nothing is delivered, enabled, pending or configured. */
static int quiet_aplic(visor_vm *vm, uint32_t sources)
{
    int ret = write_aplic(vm, DOMAINCFG, 0);

    for (uint32_t word = 0; word <= sources / 32 && ret == 0; word++) {
        ret = write_aplic(vm, CLRIE(word), UINT32_MAX);
        if (ret == 0)
            ret = write_aplic(vm, IN_CLRIP(word), UINT32_MAX);
    }
    for (uint32_t n = 1; n <= sources && ret == 0; n++)
        ret = write_aplic(vm, SOURCECFG(n), 0);
    return ret;
}

/* The level of a line, while its source is inactive and takes no notice. */
static int set_line(visor_vm *vm, const struct aplic *aplic, uint32_t n)
{
    uint32_t mode = aplic->sourcecfg[n] & 7;
    bool inverted = mode == FALLING_EDGE || mode == LEVEL_LOW;
    bool input = (aplic->input[n / 32] >> n % 32 & 1) != 0;
    struct kvm_irq_level line = {.irq = n, .level = input != inverted};

    return KVM_IOCTL(kvm_vm_of(vm)->fd, KVM_IRQ_LINE, &line) < 0 ? visor_error_last()->code : 0;
}

/* Lines before what looks at them, pending before enabled, and delivery last, so that nothing is
 * delivered that was not before. */
static int set_aplic(visor_vm *vm, const struct aplic *aplic, uint32_t sources)
{
    int ret = quiet_aplic(vm, sources);

    for (uint32_t n = 1; n <= sources && ret == 0; n++) {
        ret = set_line(vm, aplic, n);
        if (ret == 0)
            ret = write_aplic(vm, SOURCECFG(n), aplic->sourcecfg[n]);
        if (ret == 0)
            ret = write_aplic(vm, TARGET(n), aplic->target[n]);
    }
    for (uint32_t word = 0; word <= sources / 32 && ret == 0; word++) {
        ret = write_aplic(vm, SETIP(word), aplic->pending[word]);
        if (ret == 0)
            ret = write_aplic(vm, SETIE(word), aplic->enabled[word]);
    }
    return ret < 0 ? ret : write_aplic(vm, DOMAINCFG, aplic->domaincfg);
}

static int no_such(const visor_irqchip_reg *reg)
{
    return visor__error(VISOR_EMISMATCH, "kvm", "visor_vm_set_irqchip",
                        "group %u, vCPU %u, offset %#llx: this AIA has no such register",
                        reg->group, reg->vcpu, (unsigned long long)reg->offset);
}

/* The whole list is looked at before anything is set. */
static int check_regs(struct aplic *aplic, visor_vm *vm, const visor_irqchip_reg *regs,
                      size_t count)
{
    const visor_riscv_config *config = &vm->machine.riscv;
    uint32_t selectors = EIE(config->id_count / 64) + 1;

    for (size_t i = 0; i < count; i++) {
        const visor_vcpu *vcpu = vm->vcpus;

        if (regs[i].group == VISOR_AIA_APLIC && take_aplic(aplic, &regs[i], config->source_count))
            continue;
        while (vcpu != NULL && (vcpu->closed || vcpu->id != regs[i].vcpu))
            vcpu = vcpu->next;
        if (regs[i].group != VISOR_AIA_IMSIC || vcpu == NULL || regs[i].offset >= selectors)
            return no_such(&regs[i]);
    }
    return 0;
}

static int set_imsic(visor_vm *vm, const visor_irqchip_reg *reg)
{
    uint64_t value = reg->value;

    return kvm_set_attr(kvm_riscv_vm_of(vm)->aia_fd, "register of an IMSIC",
                        KVM_DEV_RISCV_AIA_GRP_IMSIC,
                        KVM_DEV_RISCV_AIA_IMSIC_MKATTR((uint64_t)reg->vcpu, reg->offset), &value);
}

int kvm_riscv_aia_set_regs(visor_vm *vm, const visor_irqchip_reg *regs, size_t count)
{
    uint32_t sources = vm->machine.riscv.source_count;
    struct aplic *aplic = calloc(1, sizeof(*aplic));
    int ret;

    if (aplic == NULL)
        return visor__error(VISOR_ENOMEM, "kvm", "visor_vm_set_irqchip", "%zu bytes",
                            sizeof(*aplic));
    ret = check_regs(aplic, vm, regs, count);
    for (size_t i = 0; i < count && ret == 0; i++) {
        if (regs[i].group == VISOR_AIA_IMSIC)
            ret = set_imsic(vm, &regs[i]);
    }
    if (ret == 0)
        ret = set_aplic(vm, aplic, sources);
    free(aplic);
    return ret;
}
