/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names of ISA extensions as device trees have them (riscv,isa-extensions), in the order of Linux's
 * KVM (enum KVM_RISCV_ISA_EXT_ID in its <asm/kvm.h>, Linux 6.16).
 */
#include <visor/riscv64.h>

static const char *const names[] = {
    "a",         "c",       "d",           "f",      "h",       "i",        "m",        "svpbmt",
    "sstc",      "svinval", "zihintpause", "zicbom", "zicboz",  "zbb",      "ssaia",    "v",
    "svnapot",   "zba",     "zbs",         "zicntr", "zicsr",   "zifencei", "zihpm",    "smstateen",
    "zicond",    "zbc",     "zbkb",        "zbkc",   "zbkx",    "zknd",     "zkne",     "zknh",
    "zkr",       "zksed",   "zksh",        "zkt",    "zvbb",    "zvbc",     "zvkb",     "zvkg",
    "zvkned",    "zvknha",  "zvknhb",      "zvksed", "zvksh",   "zvkt",     "zfh",      "zfhmin",
    "zihintntl", "zvfh",    "zvfhmin",     "zfa",    "ztso",    "zacas",    "sscofpmf", "zimop",
    "zca",       "zcb",     "zcd",         "zcf",    "zcmop",   "zawrs",    "smnpm",    "ssnpm",
    "svade",     "svadu",   "svvptc",      "zabha",  "ziccrse", "zaamo",    "zalrsc",   "zicbop",
};

const char *visor_riscv_isa_name(uint32_t index)
{
    return index < sizeof(names) / sizeof(names[0]) ? names[index] : NULL;
}
