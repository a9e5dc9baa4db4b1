/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Numbers of KVM on RISC-V (<asm/kvm.h>) that came after Linux 6.1, with the version that brought
 * each.
 */
#ifndef VISOR_UAPI_LINUX_KVM_RISCV_H
#define VISOR_UAPI_LINUX_KVM_RISCV_H

#include <linux/kvm.h>

/* Groups of registers: SBI extensions (Linux 6.4), vectors (6.5), state of SBI extensions (6.8). */
#ifndef KVM_REG_RISCV_SBI_EXT
#define KVM_REG_RISCV_SBI_EXT (0x08 << KVM_REG_RISCV_TYPE_SHIFT)
#endif
#ifndef KVM_REG_RISCV_VECTOR
#define KVM_REG_RISCV_VECTOR (0x09 << KVM_REG_RISCV_TYPE_SHIFT)
#endif
#ifndef KVM_REG_RISCV_SBI_STATE
#define KVM_REG_RISCV_SBI_STATE (0x0a << KVM_REG_RISCV_TYPE_SHIFT)
#endif
/* Linux 6.4 */
#ifndef KVM_REG_RISCV_SUBTYPE_SHIFT
#define KVM_REG_RISCV_SUBTYPE_SHIFT 16
#define KVM_REG_RISCV_SUBTYPE_MASK  0x0000000000ff0000
#endif

/* Linux 6.5: the device of the Advanced Interrupt Architecture. */
#ifndef KVM_DEV_RISCV_AIA_GRP_CONFIG
#define KVM_DEV_TYPE_RISCV_AIA 11

#define KVM_DEV_RISCV_AIA_GRP_CONFIG       0
#define KVM_DEV_RISCV_AIA_CONFIG_IDS       1
#define KVM_DEV_RISCV_AIA_CONFIG_SRCS      2
#define KVM_DEV_RISCV_AIA_CONFIG_HART_BITS 5

#define KVM_DEV_RISCV_AIA_GRP_ADDR          1
#define KVM_DEV_RISCV_AIA_ADDR_APLIC        0
#define KVM_DEV_RISCV_AIA_ADDR_IMSIC(index) (1 + (index))

#define KVM_DEV_RISCV_AIA_GRP_CTRL  2
#define KVM_DEV_RISCV_AIA_CTRL_INIT 0

#define KVM_DEV_RISCV_AIA_GRP_APLIC 3 /* attribute: offset */

#define KVM_DEV_RISCV_AIA_GRP_IMSIC                4
#define KVM_DEV_RISCV_AIA_IMSIC_MKATTR(vcpu, isel) ((vcpu) << 12 | ((isel)&0xfff))
#endif

/* Linux 6.10 */
#ifndef KVM_GUESTDBG_USE_SW_BP
#define KVM_GUESTDBG_USE_SW_BP 0x00010000
#endif

#endif
