/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening the driver, and what it can do. */
#include "twin/twin.h"

#include <errno.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

/* What clients assume of a driver that does not say. */
#define DEFAULT_GPA_BITS 40

const struct visor__option twin_options[] = {
    {"device", "path of the device node"},
    VISOR__LINUX_OPTION_SIGNAL,
    {NULL, NULL},
};

int twin_ioctl(int fd, const struct twin_request *request, void *argument)
{
    int ret = visor__linux_ioctl(fd, request->number, (uintptr_t)argument);

    return ret > 0 ? -EINVAL : ret;
}

/* The driver's answer about a capability: it takes the place of the number. 0 or -errno. */
static int ask(uint64_t *answer, int fd, const struct twin *twin, uint64_t number)
{
    *answer = number;
    return twin_ioctl(fd, &twin->check_extension, answer);
}

/* An open descriptor is not yet the driver. All of its versions know the capability. */
static int check_device(struct twin_hv *hv, const char *path)
{
    const struct twin *twin = hv->twin;
    uint64_t bits;
    int ret = ask(&bits, hv->fd, twin, twin->cap_gpa_size);

    if (ret == -ENOTTY) {
        visor__error_native(VISOR_EBROKEN, twin->name, twin->check_extension.name,
                            VISOR_NATIVE_ERRNO, -ret, "%s is not %s", path, twin->title);
        return visor__error_hint("the node of %s is %s", twin->title, twin->default_path);
    }
    if (ret == -ENXIO || ret == -ENODEV) {
        visor__error_native(VISOR_EDISABLED, twin->name, twin->check_extension.name,
                            VISOR_NATIVE_ERRNO, -ret, "the driver is there, the hypervisor is not");
        return visor__error_hint("the firmware of this device has to start it");
    }
    hv->gpa_bits = ret == 0 && bits >= 32 && bits <= 52 ? (unsigned)bits : DEFAULT_GPA_BITS;
    return 0;
}

int twin_open(visor_hypervisor *hv, const struct twin *twin)
{
    struct twin_hv *priv = twin_hv_of(hv);
    const char *path = visor__option_get(hv, "device");
    const struct visor__linux_node node = {
        .backend = twin->name,
        .path = path != NULL ? path : twin->default_path,
        .absent = "only phones with this hypervisor have it, with a kernel of Android 14 or later",
        .no_driver = "the firmware of this device does not start the hypervisor",
        .owner_only = "on Android run this as root (adb root, or su)",
    };
    struct utsname host;
    int ret;

    priv->twin = twin;
    ret = visor__linux_kick_signal(&priv->signal, hv);
    if (ret == 0)
        ret = visor__linux_kick_handle(priv->signal, twin->name);
    if (ret == 0)
        ret = visor__linux_open(&priv->fd, &node);
    if (ret < 0)
        return ret;
    ret = check_device(priv, node.path);
    if (ret < 0) {
        close(priv->fd);
        return ret;
    }
    if (uname(&host) < 0)
        host.release[0] = '\0';
    snprintf(hv->version, sizeof(hv->version), "Linux %.40s", host.release);
    return 0;
}

void twin_close(visor_hypervisor *hv)
{
    close(twin_hv_of(hv)->fd);
}

int64_t twin_hv_cap(visor_hypervisor *hv, visor_cap cap)
{
    const struct twin_hv *priv = twin_hv_of(hv);
    uint64_t answer;

    switch (cap) {
    case VISOR_CAP_MAX_VCPUS: return priv->twin->max_vcpus;
    case VISOR_CAP_MAX_SLOTS: return priv->twin->max_slots;
    case VISOR_CAP_GPA_BITS: return priv->gpa_bits;
    case VISOR_CAP_PROTECTED:
        return ask(&answer, priv->fd, priv->twin, priv->twin->cap_protected) == 0 && answer == 1;
    case VISOR_CAP_SWIOTLB_REGION: return priv->twin->swiotlb_region;
    case VISOR_CAP_IRQCHIP:
    case VISOR_CAP_AARCH64_GIC_V3:
    case VISOR_CAP_MEMORY_FAULT: return 1;
    default: return 0;
    }
}
