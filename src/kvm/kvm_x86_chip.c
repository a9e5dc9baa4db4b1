/* SPDX-License-Identifier: BSD-3-Clause */
/* x86-64: the interrupt chips, the timer and the clock that KVM keeps. */
#include <string.h>

#include "kvm/kvm_x86.h"
#include "kvm/kvm_x86_convert.h"

/* ---- creation ---- */

/*
 * The timer comes with its port 0x61 (the "speaker"): gate and output of channel 2 are there and
 * nowhere else, and kernels calibrate their clocks with them.
 */
static int create_kernel_chip(visor_vm *vm)
{
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
    int fd = kvm_vm_of(vm)->fd;
    int ret = KVM_IOCTL_VALUE(fd, KVM_CREATE_IRQCHIP, 0);

    if (ret >= 0 && !vm->config.no_pit)
        ret = KVM_IOCTL(fd, KVM_CREATE_PIT2, &pit);
    return ret;
}

static int create_split_chip(visor_vm *vm)
{
    uint32_t pins = vm->config.split_pins != 0 ? vm->config.split_pins : VISOR_X86_IOAPIC_PINS;

    return KVM_ENABLE(kvm_vm_of(vm)->fd, KVM_CAP_SPLIT_IRQCHIP, pins);
}

int kvm_x86_chip_create(visor_vm *vm)
{
    int ret = 0;

    if (vm->config.irqchip == VISOR_IRQCHIP_KERNEL)
        ret = create_kernel_chip(vm);
    else if (vm->config.irqchip == VISOR_IRQCHIP_SPLIT)
        ret = create_split_chip(vm);
    if (ret == VISOR_EUNSUPPORTED)
        return visor__error_hint("this kernel has no such interrupt chip; VISOR_IRQCHIP_NONE works "
                                 "everywhere");
    return ret < 0 ? ret : 0;
}

uint32_t kvm_arch_route_chip(visor_chip chip)
{
    switch (chip) {
    case VISOR_CHIP_PIC_PRIMARY: return KVM_IRQCHIP_PIC_MASTER;
    case VISOR_CHIP_PIC_SECONDARY: return KVM_IRQCHIP_PIC_SLAVE;
    default: return KVM_IRQCHIP_IOAPIC;
    }
}

uint32_t kvm_arch_irq_line(uint32_t gsi)
{
    return gsi;
}

/* ---- state of the chips ---- */

/* The public structure has the kernel's members in the kernel's order. */
_Static_assert(sizeof(visor_x86_pic) == sizeof(struct kvm_pic_state), "PIC: size");
_Static_assert(offsetof(visor_x86_pic, init_state) == offsetof(struct kvm_pic_state, init_state),
               "PIC: order");
_Static_assert(offsetof(visor_x86_pic, elcr_mask) == offsetof(struct kvm_pic_state, elcr_mask),
               "PIC: order");

static int check_pit(const visor_x86_pit *pit)
{
    for (int i = 0; i < 3; i++) {
        const visor_x86_pit_channel *channel = &pit->channel[i];

        if (channel->read_state > 4 || channel->write_state > 4 || channel->rw_mode > 3)
            return visor__error(VISOR_EINVAL, "kvm", "KVM_SET_PIT2",
                                "channel %d: states %u, %u, access mode %u", i, channel->read_state,
                                channel->write_state, channel->rw_mode);
    }
    return 0;
}

/* KVM's number of the chip that holds a piece; -1 for the timer. */
static int chip_id(enum visor__vm_state piece)
{
    switch (piece) {
    case VISOR__VM_STATE_X86_PIC_PRIMARY: return KVM_IRQCHIP_PIC_MASTER;
    case VISOR__VM_STATE_X86_PIC_SECONDARY: return KVM_IRQCHIP_PIC_SLAVE;
    case VISOR__VM_STATE_X86_IOAPIC: return KVM_IRQCHIP_IOAPIC;
    default: return -1;
    }
}

static size_t piece_size(enum visor__vm_state piece)
{
    switch (piece) {
    case VISOR__VM_STATE_X86_PIT: return sizeof(visor_x86_pit);
    case VISOR__VM_STATE_X86_IOAPIC: return sizeof(visor_x86_ioapic);
    case VISOR__VM_STATE_X86_PIC_PRIMARY:
    case VISOR__VM_STATE_X86_PIC_SECONDARY: return sizeof(visor_x86_pic);
    default: return 0;
    }
}

static int check_piece(const visor_vm *vm, enum visor__vm_state piece, const char *operation)
{
    if (piece_size(piece) == 0)
        return visor__error(VISOR_EUNSUPPORTED, "kvm", operation, "no chip holds this");
    if (vm->config.irqchip != VISOR_IRQCHIP_KERNEL)
        return visor__error(VISOR_EUNSUPPORTED, "kvm", operation,
                            "this VM has no such chip in the kernel");
    if (piece == VISOR__VM_STATE_X86_PIT && vm->config.no_pit)
        return visor__error(VISOR_EUNSUPPORTED, "kvm", operation, "this VM was made without timer");
    return 0;
}

int kvm_x86_get_chip(void *buf, size_t capacity, visor_vm *vm, enum visor__vm_state piece)
{
    struct kvm_irqchip chip = {.chip_id = (uint32_t)chip_id(piece)};
    struct kvm_pit_state2 pit;
    int fd = kvm_vm_of(vm)->fd;
    size_t size = piece_size(piece);
    int ret = check_piece(vm, piece, "get_chip");

    if (ret < 0)
        return ret;
    if (capacity < size)
        return (int)size;
    if (piece == VISOR__VM_STATE_X86_PIT)
        ret = KVM_IOCTL(fd, KVM_GET_PIT2, &pit);
    else
        ret = KVM_IOCTL(fd, KVM_GET_IRQCHIP, &chip);
    if (ret < 0)
        return ret;
    if (piece == VISOR__VM_STATE_X86_PIT)
        kvm_x86_pit_from_kvm(buf, &pit);
    else if (piece == VISOR__VM_STATE_X86_IOAPIC)
        kvm_x86_ioapic_from_kvm(buf, &chip.chip.ioapic);
    else
        memcpy(buf, &chip.chip.pic, size);
    return (int)size;
}

static int set_pit(visor_vm *vm, const visor_x86_pit *in)
{
    struct kvm_pit_state2 pit;
    int ret = check_pit(in);

    if (ret < 0)
        return ret;
    kvm_x86_pit_to_kvm(&pit, in);
    return KVM_IOCTL(kvm_vm_of(vm)->fd, KVM_SET_PIT2, &pit);
}

static int set_ioapic(visor_vm *vm, const visor_x86_ioapic *in)
{
    struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};

    kvm_x86_ioapic_to_kvm(&chip.chip.ioapic, in);
    return KVM_IOCTL(kvm_vm_of(vm)->fd, KVM_SET_IRQCHIP, &chip);
}

static int set_pic(visor_vm *vm, enum visor__vm_state piece, const visor_x86_pic *in)
{
    struct kvm_irqchip chip = {.chip_id = (uint32_t)chip_id(piece)};

    if (in->init_state > 3)
        return visor__error(VISOR_EINVAL, "kvm", "KVM_SET_IRQCHIP",
                            "initialization word %u of a PIC", in->init_state);
    memcpy(&chip.chip.pic, in, sizeof(*in));
    return KVM_IOCTL(kvm_vm_of(vm)->fd, KVM_SET_IRQCHIP, &chip);
}

int kvm_x86_set_chip(visor_vm *vm, enum visor__vm_state piece, const void *buf, size_t length)
{
    int ret = check_piece(vm, piece, "set_chip");

    if (ret < 0)
        return ret;
    if (length != piece_size(piece))
        return visor__error(VISOR_EMISMATCH, "kvm", "set_chip", "%zu bytes instead of %zu", length,
                            piece_size(piece));
    if (piece == VISOR__VM_STATE_X86_PIT)
        ret = set_pit(vm, buf);
    else if (piece == VISOR__VM_STATE_X86_IOAPIC)
        ret = set_ioapic(vm, buf);
    else
        ret = set_pic(vm, piece, buf);
    return ret < 0 ? ret : 0;
}

/* ---- the paravirtual clock ---- */

static int get_clock(uint64_t *out, visor_vm *vm)
{
    struct kvm_clock_data data = {0};
    int ret = KVM_IOCTL(kvm_vm_of(vm)->fd, KVM_GET_CLOCK, &data);

    if (ret < 0)
        return ret;
    *out = data.clock;
    return 0;
}

/* No flags: the time is set as it is, not moved on by what a host clock says has passed since. */
static int set_clock(visor_vm *vm, uint64_t ns)
{
    struct kvm_clock_data data = {.clock = ns};
    int ret = KVM_IOCTL(kvm_vm_of(vm)->fd, KVM_SET_CLOCK, &data);

    return ret < 0 ? ret : 0;
}

const struct visor__clock_ops kvm_x86_clock_ops = {.get = get_clock, .set = set_clock};
