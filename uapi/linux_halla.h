/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel interface of Halla (Samsung Exynos), /dev/halla: what the driver's private header
 * (Android's common kernels, drivers/virt/halla) defines, written anew; no header is exported. The
 * driver exists on arm64 only, the layouts are the same everywhere. tests/abi compares each number
 * with a table.
 */
#ifndef VISOR_UAPI_LINUX_HALLA_H
#define VISOR_UAPI_LINUX_HALLA_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define HVM_IOC_MAGIC 0x4c

/* Limits of the driver. An older one takes vCPU id 10 too, and writes past its table. */
#define HVM_MAX_VCPUS      10
#define HVM_MAX_MEM_REGION 10

/* The argument of HVM_CREATE_VM, as clients form it. */
#define HVM_VM_TYPE_IPA_SIZE_MASK 0xffU
#define HVM_VM_TYPE_ARM_PROTECTED 0x80000000U

/* Capabilities: asked by a pointer to a __u64, which also takes the answer. */
#define HVM_CAP_VM_GPA_SIZE  0x475041
#define HVM_CAP_PROTECTED_VM 0x50564d

/* What HVM_CAP_PROTECTED_VM does: args[0]. */
#define HVM_CAP_PVM_SET_PVMFW_GPA    0 /* args[1]: guest address of the firmware's region */
#define HVM_CAP_PVM_GET_PVMFW_SIZE   1 /* args[1] takes the size, although the request is _IOW */
#define HVM_CAP_PVM_SET_PROTECTED_VM 2 /* protected without firmware */

/* Registers have the ids of KVM on arm64. */
#define HVM_REG_ARM64        0x6000000000000000ULL
#define HVM_REG_SIZE_SHIFT   52
#define HVM_REG_SIZE_MASK    0x00f0000000000000ULL
#define HVM_REG_SIZE_U8      0x0000000000000000ULL
#define HVM_REG_SIZE_U16     0x0010000000000000ULL
#define HVM_REG_SIZE_U32     0x0020000000000000ULL
#define HVM_REG_SIZE_U64     0x0030000000000000ULL
#define HVM_REG_SIZE_U128    0x0040000000000000ULL
#define HVM_REG_ARM_CORE     0x100000
#define HVM_REG_ARM64_SYSREG 0x130000

/* Never passed: a core register's id is HVM_REG_ARM_CORE plus a quarter of its offset here. */
struct hvm_regs {
    struct {
        __u64 regs[31];
        __u64 sp;
        __u64 pc;
        __u64 pstate;
    } regs;
    __u64 sp_el1;
    __u64 elr_el1;
    __u64 spsr[5];
    struct {
        __u64 vregs[32][2] __attribute__((aligned(16)));
        __u32 fpsr;
        __u32 fpcr;
        __u32 reserved[2];
    } fp_regs;
};

/* Flags as clients use them. */
#define HVM_USER_MEM_REGION_GUEST_MEM      (1U << 0)
#define HVM_USER_MEM_REGION_PROTECT_FW     (1U << 1)
#define HVM_USER_MEM_REGION_STATIC_SWIOTLB (1U << 2)
struct hvm_userspace_memory_region {
    __u32 slot;
    __u32 flags;
    __u64 guest_phys_addr;
    __u64 memory_size; /* bytes; of the whole mapping that holds userspace_addr */
    __u64 userspace_addr;
};

/* The word of an interrupt line: masks in place, but HVM_IRQ_VCPU_MASK. The driver ignores the
 * type; its vCPU2 counts 256 vCPUs each. */
#define HVM_IRQ_LINE_VCPU2 0xf0000000U
#define HVM_IRQ_LINE_TYPE  0x0f000000U
#define HVM_IRQ_LINE_VCPU  0x00ff0000U
#define HVM_IRQ_LINE_NUM   0x0000ffffU
#define HVM_IRQ_VCPU_MASK  0xffU
#define HVM_IRQ_TYPE_CPU   0
#define HVM_IRQ_TYPE_SPI   1
#define HVM_IRQ_TYPE_PPI   2
struct hvm_irq_level {
    __u32 irq; /* for an SPI its index: 0 is INTID 32 */
    __u32 level;
};

#define HVM_IRQFD_FLAG_DEASSIGN (1U << 0)
#define HVM_IRQFD_FLAG_RESAMPLE (1U << 1)
struct hvm_irqfd {
    __u32 fd;
    __u32 gsi;
    __u32 flags;
    __u32 resamplefd;
    __u8 pad[16]; /* zero */
};

#define HVM_IOEVENTFD_FLAG_DATAMATCH  (1U << 0)
#define HVM_IOEVENTFD_FLAG_PIO        (1U << 1)
#define HVM_IOEVENTFD_FLAG_DEASSIGN   (1U << 2)
#define HVM_IOEVENTFD_VALID_FLAG_MASK 0x7U
struct hvm_ioeventfd {
    __u64 datamatch;
    __u64 addr;
    __u32 len; /* 0 (any), 1, 2, 4 or 8 */
    __s32 fd;
    __u32 flags;
    __u8 pad[36];
};

struct hvm_enable_cap {
    __u64 cap;
    __u64 args[5];
};

struct hvm_one_reg {
    __u64 id;
    __u64 addr; /* of the value, in user space */
};

#define HVM_DEV_TYPE_ARM_VGIC_V3_DIST   0
#define HVM_DEV_TYPE_ARM_VGIC_V3_REDIST 1
struct hvm_create_device {
    __u32 dev_type;
    __u32 id;
    __u64 flags;
    __u64 dev_addr;
    __u64 dev_reg_size; /* bytes */
    __u64 attr_addr;    /* of more for the hypervisor, in user space */
    __u64 attr_size;    /* bytes, at most a page */
};

struct hvm_dtb_config {
    __u64 dtb_addr; /* guest address */
    __u64 dtb_size; /* bytes */
};

#define HVM_EXIT_HALLA          0x484c0000U
#define HVM_EXIT_MMIO           0x484c0001U
#define HVM_EXIT_IRQ            0x484c0002U
#define HVM_EXIT_EXCEPTION      0x484c0003U
#define HVM_EXIT_INTERNAL_ERROR 0x484c0004U
#define HVM_EXIT_SYSTEM_EVENT   0x484c0005U
#define HVM_EXIT_SHUTDOWN       0x484c0006U
#define HVM_EXIT_IDLE           0x484c0007U
#define HVM_EXIT_SGI            0x484c0008U

#define HVM_EXCEPTION_UNKNOWN    0
#define HVM_EXCEPTION_PAGE_FAULT 1

#define HVM_SYSTEM_EVENT_SHUTDOWN 1
#define HVM_SYSTEM_EVENT_RESET    2
#define HVM_SYSTEM_EVENT_CRASH    3
#define HVM_SYSTEM_EVENT_WAKEUP   4
#define HVM_SYSTEM_EVENT_SUSPEND  5
#define HVM_SYSTEM_EVENT_SEV_TERM 6

/* Passed by pointer to each HVM_VCPU_RUN; read at its start and written back at its end. */
struct hvm_vcpu_run {
    __u32 exit_reason;
    __u8 immediate_exit; /* 1: do not enter. Read at the start only. */
    __u8 pad[3];         /* zero */
    union {
        struct {
            __u64 phys_addr;
            __u8 data[8];
            __u64 size; /* bytes */
            __u32 reg_nr;
            __u8 is_write;
        } mmio;
        struct {
            __u32 exception;
            __u32 error_code;
            __u64 fault_gpa;
            __u64 reserved[30];
        } exception;
        struct {
            __u32 type;
            __u32 ndata;
            __u64 data[16];
        } system_event;
        char padding[256];
    };
};

/* On the device. */
#define HVM_CREATE_VM       _IO(HVM_IOC_MAGIC, 0x01)
#define HVM_CHECK_EXTENSION _IO(HVM_IOC_MAGIC, 0x02) /* also on a VM */
/* On a VM. */
#define HVM_ENABLE_CAP             _IOW(HVM_IOC_MAGIC, 0x03, struct hvm_enable_cap)
#define HVM_SET_DTB_CONFIG         _IOW(HVM_IOC_MAGIC, 0x04, struct hvm_dtb_config)
#define HVM_CREATE_VCPU            _IO(HVM_IOC_MAGIC, 0x20)
#define HVM_SET_USER_MEMORY_REGION _IOW(HVM_IOC_MAGIC, 0x41, struct hvm_userspace_memory_region)
#define HVM_IRQFD                  _IOW(HVM_IOC_MAGIC, 0x61, struct hvm_irqfd)
#define HVM_IRQ_LINE               _IOW(HVM_IOC_MAGIC, 0x62, struct hvm_irq_level)
#define HVM_CREATE_DEVICE          _IOWR(HVM_IOC_MAGIC, 0x80, struct hvm_create_device)
#define HVM_IOEVENTFD              _IOW(HVM_IOC_MAGIC, 0xa0, struct hvm_ioeventfd)
/* On a vCPU. */
#define HVM_VCPU_RUN    _IO(HVM_IOC_MAGIC, 0x21)
#define HVM_GET_ONE_REG _IOW(HVM_IOC_MAGIC, 0x28, struct hvm_one_reg) /* no driver answers it */
#define HVM_SET_ONE_REG _IOW(HVM_IOC_MAGIC, 0x29, struct hvm_one_reg)

#endif
