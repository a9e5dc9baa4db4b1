// SPDX-License-Identifier: BSD-3-Clause
// The headers from C++, linked against the C library.
#include <visor.h>

#include <cstring>

int main()
{
    return std::strcmp(visor_arch_name(VISOR_ARCH_X86_64), "x86_64");
}
