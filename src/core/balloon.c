/* SPDX-License-Identifier: BSD-3-Clause */
/* The balloon: host memory behind guest memory that the guest does not need. */
#include "core/vm.h"

static int check(visor_vm *vm, uint64_t gpa, uint64_t length, const char *operation)
{
    uint64_t page = visor__os_page_size();

    if (gpa % page != 0 || length % page != 0)
        return visor__error(VISOR_EALIGN, "", operation, "0x%llx bytes at 0x%llx",
                            (unsigned long long)length, (unsigned long long)gpa);
    if (!visor_memory_contains(vm->memory, gpa, length))
        return visor__error(VISOR_ERANGE, "", operation,
                            "0x%llx bytes at 0x%llx are not inside one region of guest memory",
                            (unsigned long long)length, (unsigned long long)gpa);
    return 0;
}

int visor_vm_balloon_inflate(visor_vm *vm, uint64_t gpa, uint64_t length)
{
    const struct visor__vm_ops *ops = vm->hv->backend->vm;
    int ret = check(vm, gpa, length, "visor_vm_balloon_inflate");

    if (ret == 0 && ops->inflate != NULL)
        ret = ops->inflate(vm, gpa, length);
    else if (ret == 0 && vm->hv->backend->pinned != NULL)
        ret = visor__unsupported(vm->hv, "visor_vm_balloon_inflate", vm->hv->backend->pinned);
    return ret == 0 ? visor_memory_discard(vm->memory, gpa, length) : ret;
}

int visor_vm_balloon_deflate(visor_vm *vm, uint64_t gpa, uint64_t length)
{
    const struct visor__vm_ops *ops = vm->hv->backend->vm;
    int ret = check(vm, gpa, length, "visor_vm_balloon_deflate");

    return ret == 0 && ops->deflate != NULL ? ops->deflate(vm, gpa, length) : ret;
}
