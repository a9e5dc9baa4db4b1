/* SPDX-License-Identifier: BSD-3-Clause */
/* Stands for `silicon` and `soft_known_test` where there is no processor, or no kernel, for them.
 */
#include <stdio.h>

int main(void)
{
    printf("1..0 # SKIP this is no x86-64 Linux host\n");
    return 0;
}
