/* SPDX-License-Identifier: BSD-3-Clause */
/* ioctl() with errors that name what failed. */
#include "kvm/kvm.h"

int kvm_ioctl(int fd, const char *name, unsigned long request, uintptr_t argument)
{
    int result = kvm_ioctl_quiet(fd, request, argument);

    return result < 0 ? kvm_error(name, -result, "%s", "") : result;
}

int kvm_check(int fd, unsigned long number)
{
    int result = kvm_ioctl_quiet(fd, KVM_CHECK_EXTENSION, number);

    return result < 0 ? 0 : result;
}

int kvm_enable(int fd, const char *name, uint32_t number, uint32_t flags, const uint64_t args[4])
{
    struct kvm_enable_cap cap = {
        .cap = number,
        .flags = flags,
        .args = {args[0], args[1], args[2], args[3]},
    };
    int result = kvm_ioctl_quiet(fd, KVM_ENABLE_CAP, (uintptr_t)&cap);

    return result < 0 ? kvm_error("KVM_ENABLE_CAP", -result, "%s", name) : result;
}

static int attr_ioctl(int fd, unsigned long request, uint32_t group, uint64_t attr,
                      const void *value)
{
    struct kvm_device_attr native = {.group = group, .attr = attr, .addr = (uintptr_t)value};

    return kvm_ioctl_quiet(fd, request, (uintptr_t)&native);
}

bool kvm_has_attr(int fd, uint32_t group, uint64_t attr)
{
    return attr_ioctl(fd, KVM_HAS_DEVICE_ATTR, group, attr, NULL) >= 0;
}

int kvm_get_attr(void *value, int fd, const char *what, uint32_t group, uint64_t attr)
{
    int ret = attr_ioctl(fd, KVM_GET_DEVICE_ATTR, group, attr, value);

    return ret < 0 ? kvm_error("KVM_GET_DEVICE_ATTR", -ret, "%s", what) : 0;
}

int kvm_set_attr(int fd, const char *what, uint32_t group, uint64_t attr, const void *value)
{
    int ret = attr_ioctl(fd, KVM_SET_DEVICE_ATTR, group, attr, value);

    return ret < 0 ? kvm_error("KVM_SET_DEVICE_ATTR", -ret, "%s", what) : 0;
}
