/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening Gunyah, and what it can do. */
#include "gunyah/gunyah.h"

#include <errno.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/aarch64.h"

static const char op_open[] = "open";

static const struct visor__option options[] = {
    {"device", "path of the device node, /dev/gunyah unless given"},
    {"qcom_trusted_vm_id", "VMs are trusted VMs with this id (16 bits)"},
    {"qcom_trusted_vm_pas_id", "and this peripheral id (32 bits)"},
    VISOR__LINUX_OPTION_SIGNAL,
    {NULL, NULL},
};

/* Both or none: zero is an id like any other. */
static int read_ids(struct gunyah_hv *gunyah, const visor_hypervisor *hv)
{
    bool has_vm = visor__option_get(hv, "qcom_trusted_vm_id") != NULL;
    bool has_pas = visor__option_get(hv, "qcom_trusted_vm_pas_id") != NULL;
    uint64_t vm_id = 0, pas_id = 0;
    int ret;

    if (has_vm != has_pas)
        return visor__error(VISOR_EINVAL, "gunyah", op_open,
                            "a trusted VM needs both qcom_trusted_vm_id and "
                            "qcom_trusted_vm_pas_id");
    ret = visor__option_number(&vm_id, hv, "qcom_trusted_vm_id", 0, UINT16_MAX);
    if (ret == 0)
        ret = visor__option_number(&pas_id, hv, "qcom_trusted_vm_pas_id", 0, UINT32_MAX);
    if (ret < 0)
        return ret;
    gunyah->is_trusted = has_vm;
    gunyah->vm_id = (uint16_t)vm_id;
    gunyah->pas_id = (uint32_t)pas_id;
    return 0;
}

/*
 * Which interface is behind the node. CREATE_VM has no argument yet: the driver refuses one, and
 * nothing has happened. The proposal for mainline Linux takes guest memory from a file of its own,
 * with flags that are numbered in another way; Qualcomm's driver before 2023 has other requests
 * altogether.
 */
static int check_device(int fd, const char *path)
{
    int ret = visor__linux_ioctl(fd, GUNYAH_CREATE_VM, 1);

    if (ret >= 0)
        close(ret);
    if (ret != -EINVAL) {
        visor__error_native(ret == -ENOTTY || ret >= 0 ? VISOR_EBROKEN : visor__linux_code(-ret),
                            "gunyah", "GUNYAH_CREATE_VM", VISOR_NATIVE_ERRNO, ret < 0 ? -ret : 0,
                            "%s is not the Gunyah of Android 14 or later", path);
        return visor__error_hint("kernels before android14-6.1 have another driver under the same "
                                 "name; this one is for android14-6.1 to android16-6.12");
    }
    ret = gunyah_ioctl(fd, GUNYAH_CREATE_GUEST_MEM_LKML17, NULL);
    if (ret == -ENOTTY)
        return 0;
    if (ret >= 0)
        close(ret);
    visor__error(VISOR_EUNSUPPORTED, "gunyah", "GUNYAH_CREATE_GUEST_MEM",
                 "%s has the interface that was proposed for mainline Linux", path);
    return visor__error_hint("Android's common kernels have the one that is needed");
}

static int gunyah_open(visor_hypervisor *hv)
{
    struct gunyah_hv *gunyah = gunyah_hv_of(hv);
    const char *path = visor__option_get(hv, "device");
    const struct visor__linux_node node = {
        .backend = "gunyah",
        .path = path != NULL ? path : "/dev/gunyah",
        .absent = "only phones with this hypervisor have it, with a kernel of Android 14 or later",
        .no_driver = "the firmware of this device does not start the hypervisor",
        .owner_only = "on Android run this as root (adb root, or su)",
    };
    struct utsname host;
    int ret = read_ids(gunyah, hv);

    if (ret == 0)
        ret = visor__linux_kick_signal(&gunyah->signal, hv);
    if (ret == 0)
        ret = visor__linux_kick_handle(gunyah->signal, "gunyah");
    if (ret == 0)
        ret = visor__linux_open(&gunyah->fd, &node);
    if (ret < 0)
        return ret;
    ret = check_device(gunyah->fd, node.path);
    if (ret < 0) {
        close(gunyah->fd);
        return ret;
    }
    if (uname(&host) < 0)
        host.release[0] = '\0';
    snprintf(hv->version, sizeof(hv->version), "Linux %.40s", host.release);
    return 0;
}

static void gunyah_close(visor_hypervisor *hv)
{
    close(gunyah_hv_of(hv)->fd);
}

/* What cannot be asked is what the driver's other clients assume. */
int64_t gunyah_cap(visor_hypervisor *hv, visor_cap cap)
{
    (void)hv;
    switch (cap) {
    case VISOR_CAP_MAX_VCPUS: return GUNYAH_MAX_VCPUS;
    case VISOR_CAP_MAX_SLOTS: return 64;
    case VISOR_CAP_GPA_BITS: return 40;
    case VISOR_CAP_PROTECTED:
    case VISOR_CAP_BOOT_CONTEXT:
    case VISOR_CAP_SWIOTLB_REGION:
    case VISOR_CAP_IRQCHIP:
    case VISOR_CAP_AARCH64_GIC_V3:
    case VISOR_CAP_READ_ONLY:
    case VISOR_CAP_MEMORY_FAULT: return 1;
    default: return 0;
    }
}

/* The resource manager makes a GICv3 from the device tree, for every VM. */
static int configure(visor_vm *vm, visor_aarch64_config *config)
{
    return visor__aarch64_config_plain(vm, config);
}

static const struct visor__hv_ops hv_ops = {
    .open = gunyah_open,
    .close = gunyah_close,
    .cap = gunyah_cap,
};

static const struct visor__aarch64_ops aarch64_ops = {
    .configure = configure,
    .set_boot = gunyah_set_boot,
    .get_reg = gunyah_get_reg,
    .set_reg = gunyah_set_reg,
};

const struct visor_backend visor__gunyah_backend = {
    .name = "gunyah",
    .summary = "Gunyah of Qualcomm's phones (/dev/gunyah)",
    .arches = 1u << VISOR_ARCH_AARCH64,
    .hv_size = sizeof(struct gunyah_hv),
    .vm_size = sizeof(struct gunyah_vm),
    .vcpu_size = sizeof(struct gunyah_vcpu),
    .options = options,
    .pinned = "its driver keeps the host's pages while the guest has them",
    .hv = &hv_ops,
    .vm = &gunyah_vm_ops,
    .vcpu = &gunyah_vcpu_ops,
    .irq = &gunyah_irq_ops,
    .io_event = &gunyah_io_event_ops,
    .aarch64 = &aarch64_ops,
};
