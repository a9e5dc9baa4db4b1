/* SPDX-License-Identifier: BSD-3-Clause */
/* Which registers a vCPU has, where they are exchanged one by one: Arm and RISC-V. */
#include <errno.h>
#include <stdlib.h>

#include "kvm/kvm.h"

struct kvm_reg_list *kvm_reg_list(visor_vcpu *vcpu)
{
    static const char op[] = "KVM_GET_REG_LIST";
    int fd = kvm_vcpu_of(vcpu)->fd;
    struct kvm_reg_list empty = {.n = 0}, *list;
    int ret = kvm_ioctl_quiet(fd, KVM_GET_REG_LIST, (uintptr_t)&empty);

    /* RISC-V's KVM before 6.6. Arm's always had it. */
    if (ret == -EINVAL) {
        visor__error_native(VISOR_EUNSUPPORTED, "kvm", op, VISOR_NATIVE_ERRNO, EINVAL,
                            "this kernel does not tell which registers there are");
        visor__error_hint("Linux 6.6 or later is needed");
        return NULL;
    }
    /* E2BIG comes with the number of registers (api.rst 4.84). */
    if (ret < 0 && ret != -E2BIG) {
        kvm_error(op, -ret, "asking for the number");
        return NULL;
    }
    list = calloc(1, sizeof(*list) + (size_t)empty.n * sizeof(list->reg[0]));
    if (list == NULL) {
        visor__error(VISOR_ENOMEM, "kvm", op, "%llu registers", (unsigned long long)empty.n);
        return NULL;
    }
    list->n = empty.n;
    if (KVM_IOCTL(fd, KVM_GET_REG_LIST, list) < 0) {
        free(list);
        return NULL;
    }
    return list;
}
