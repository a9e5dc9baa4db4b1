/* SPDX-License-Identifier: BSD-3-Clause */
/* Names and versions. */
#include "core/internal.h"

const char *visor_version(void)
{
    return VISOR_VERSION_STRING;
}

const char *visor_arch_name(visor_arch arch)
{
    switch (arch) {
    case VISOR_ARCH_X86_64: return "x86_64";
    case VISOR_ARCH_AARCH64: return "aarch64";
    case VISOR_ARCH_RISCV64: return "riscv64";
    case VISOR_ARCH_NATIVE: break;
    }
    return "unknown";
}
