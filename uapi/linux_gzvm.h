/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel interface of Geniezone (MediaTek), /dev/gzvm: what <linux/gzvm.h> of Android's common
 * kernels android14-6.1 to android16-6.12 defines, written anew. The driver exists on arm64 only,
 * the layouts are the same everywhere. tests/abi compares each number with a table.
 */
#ifndef VISOR_UAPI_LINUX_GZVM_H
#define VISOR_UAPI_LINUX_GZVM_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define GZVM_IOC_MAGIC 0x92

/* Limits of the driver; its own header keeps them. */
#define GZVM_MAX_VCPUS      8
#define GZVM_MAX_MEM_REGION 10

/* Capabilities: asked by a pointer to a __u64, which also takes the answer. The two named _ARM_ are
 * other spellings. */
#define GZVM_CAP_VM_GPA_SIZE               0xa5
#define GZVM_CAP_ARM_VM_IPA_SIZE           GZVM_CAP_VM_GPA_SIZE
#define GZVM_CAP_BLOCK_BASED_DEMAND_PAGING 0x9201
#define GZVM_CAP_ENABLE_DEMAND_PAGING      0x9202
#define GZVM_CAP_ENABLE_IDLE               0x9203
#define GZVM_CAP_QUERY_HYP_BATCH_PAGES     0x9204
#define GZVM_CAP_QUERY_DESTROY_BATCH_PAGES 0x9205
#define GZVM_CAP_PROTECTED_VM              0xffbadab1
#define GZVM_CAP_ARM_PROTECTED_VM          GZVM_CAP_PROTECTED_VM

/* What GZVM_CAP_PROTECTED_VM does: args[0]. */
#define GZVM_CAP_PVM_SET_PVMFW_GPA    0 /* args[1]: guest address of the firmware's region */
#define GZVM_CAP_PVM_GET_PVMFW_SIZE   1 /* args[1] takes the size, although the request is _IOW */
#define GZVM_CAP_PVM_SET_PROTECTED_VM 2

/* Registers have the ids of KVM on arm64. */
#define GZVM_REG_ARCH_MASK              0xff00000000000000ULL
#define GZVM_REG_GENERIC                0ULL
#define GZVM_REG_ARM                    0x4000000000000000ULL
#define GZVM_REG_ARM64                  0x6000000000000000ULL
#define GZVM_REG_ARCH_ARM64             GZVM_REG_ARM64
#define GZVM_REG_SIZE_SHIFT             52
#define GZVM_REG_SIZE_MASK              0x00f0000000000000ULL
#define GZVM_REG_SIZE_U8                0x0000000000000000ULL
#define GZVM_REG_SIZE_U16               0x0010000000000000ULL
#define GZVM_REG_SIZE_U32               0x0020000000000000ULL
#define GZVM_REG_SIZE_U64               0x0030000000000000ULL
#define GZVM_REG_SIZE_U128              0x0040000000000000ULL
#define GZVM_REG_SIZE_U256              0x0050000000000000ULL
#define GZVM_REG_SIZE_U512              0x0060000000000000ULL
#define GZVM_REG_SIZE_U1024             0x0070000000000000ULL
#define GZVM_REG_SIZE_U2048             0x0080000000000000ULL
#define GZVM_REG_ARM_COPROC_SHIFT       16
#define GZVM_REG_ARM_COPROC_MASK        0x000000000fff0000
#define GZVM_REG_ARM_CORE               0x100000
#define GZVM_REG_TYPE_GENERAL2          GZVM_REG_ARM_CORE
#define GZVM_REG_ARM_DEMUX              0x110000
#define GZVM_REG_ARM_DEMUX_ID_SHIFT     8
#define GZVM_REG_ARM_DEMUX_ID_MASK      0xff00
#define GZVM_REG_ARM_DEMUX_VAL_SHIFT    0
#define GZVM_REG_ARM_DEMUX_VAL_MASK     0x00ff
#define GZVM_REG_ARM64_SYSREG           0x130000
#define GZVM_REG_ARM64_SYSREG_OP0_SHIFT 14
#define GZVM_REG_ARM64_SYSREG_OP0_MASK  0xc000
#define GZVM_REG_ARM64_SYSREG_OP1_SHIFT 11
#define GZVM_REG_ARM64_SYSREG_OP1_MASK  0x3800
#define GZVM_REG_ARM64_SYSREG_CRN_SHIFT 7
#define GZVM_REG_ARM64_SYSREG_CRN_MASK  0x0780
#define GZVM_REG_ARM64_SYSREG_CRM_SHIFT 3
#define GZVM_REG_ARM64_SYSREG_CRM_MASK  0x0078
#define GZVM_REG_ARM64_SYSREG_OP2_SHIFT 0
#define GZVM_REG_ARM64_SYSREG_OP2_MASK  0x0007

/* Never passed: a core register's id is GZVM_REG_ARM_CORE plus a quarter of its offset here. */
#define GZVM_NR_SPSR 5
struct gzvm_regs {
    struct {
        __u64 regs[31];
        __u64 sp;
        __u64 pc;
        __u64 pstate;
    } regs;
    __u64 sp_el1;
    __u64 elr_el1;
    __u64 spsr[GZVM_NR_SPSR];
    struct {
        __u64 vregs[32][2] __attribute__((aligned(16)));
        __u32 fpsr;
        __u32 fpcr;
        __u32 reserved[2];
    } fp_regs;
};

struct gzvm_memory_region { /* no driver answers it */
    __u32 slot;
    __u32 flags;
    __u64 guest_phys_addr;
    __u64 memory_size; /* bytes */
};

/* Flags as clients use them; the driver passes the word on to the hypervisor. */
#define GZVM_USER_MEM_REGION_GUEST_MEM      (1U << 0)
#define GZVM_USER_MEM_REGION_PROTECT_FW     (1U << 1)
#define GZVM_USER_MEM_REGION_STATIC_SWIOTLB (1U << 2)
struct gzvm_userspace_memory_region {
    __u32 slot;
    __u32 flags;
    __u64 guest_phys_addr;
    __u64 memory_size; /* bytes; of the whole mapping that holds userspace_addr */
    __u64 userspace_addr;
};

/* The word of an interrupt line. vCPU2 counts 256 vCPUs each. */
#define GZVM_IRQ_VCPU2_SHIFT 28
#define GZVM_IRQ_VCPU2_MASK  0xf
#define GZVM_IRQ_TYPE_SHIFT  24
#define GZVM_IRQ_TYPE_MASK   0xf
#define GZVM_IRQ_VCPU_SHIFT  16
#define GZVM_IRQ_VCPU_MASK   0xff
#define GZVM_IRQ_NUM_SHIFT   0
#define GZVM_IRQ_NUM_MASK    0xffff
#define GZVM_IRQ_TYPE_CPU    0
#define GZVM_IRQ_TYPE_SPI    1
#define GZVM_IRQ_TYPE_PPI    2
#define GZVM_IRQ_CPU_IRQ     0
#define GZVM_IRQ_CPU_FIQ     1
struct gzvm_irq_level {
    union {
        __u32 irq;
        __u32 status;
    };
    __u32 level;
};

#define GZVM_IRQFD_FLAG_DEASSIGN (1U << 0)
#define GZVM_IRQFD_FLAG_RESAMPLE (1U << 1)
struct gzvm_irqfd {
    __u32 fd;
    __u32 gsi; /* SPI index: 0 is INTID 32 */
    __u32 flags;
    __u32 resamplefd;
    __u8 pad[16]; /* zero */
};

#define GZVM_IOEVENTFD_FLAG_DATAMATCH  (1U << 0)
#define GZVM_IOEVENTFD_FLAG_PIO        (1U << 1)
#define GZVM_IOEVENTFD_FLAG_DEASSIGN   (1U << 2)
#define GZVM_IOEVENTFD_VALID_FLAG_MASK 0x7U
struct gzvm_ioeventfd {
    __u64 datamatch;
    __u64 addr;
    __u32 len; /* 0 (any), 1, 2, 4 or 8 */
    __s32 fd;
    __u32 flags;
    __u8 pad[36];
};

struct gzvm_enable_cap {
    __u64 cap;
    __u64 args[5];
};

struct gzvm_one_reg {
    __u64 id;
    __u64 addr; /* of the value, in user space */
};

#define GZVM_DEV_TYPE_ARM_VGIC_V3_DIST   0
#define GZVM_DEV_TYPE_ARM_VGIC_V3_REDIST 1
#define GZVM_DEV_TYPE_MAX                2
struct gzvm_create_device {
    __u32 dev_type;
    __u32 id;
    __u64 flags;
    __u64 dev_addr;
    __u64 dev_reg_size; /* bytes */
    __u64 attr_addr;    /* of more for the hypervisor, in user space */
    __u64 attr_size;    /* bytes, at most a page */
};

struct gzvm_dtb_config {
    __u64 dtb_addr; /* guest address */
    __u64 dtb_size; /* bytes */
};

#define GZVM_EXIT_UNKNOWN        0x92920000U
#define GZVM_EXIT_MMIO           0x92920001U
#define GZVM_EXIT_HYPERCALL      0x92920002U
#define GZVM_EXIT_IRQ            0x92920003U
#define GZVM_EXIT_EXCEPTION      0x92920004U
#define GZVM_EXIT_DEBUG          0x92920005U
#define GZVM_EXIT_FAIL_ENTRY     0x92920006U
#define GZVM_EXIT_INTERNAL_ERROR 0x92920007U
#define GZVM_EXIT_SYSTEM_EVENT   0x92920008U
#define GZVM_EXIT_SHUTDOWN       0x92920009U
#define GZVM_EXIT_GZ             0x9292000aU
#define GZVM_EXIT_IDLE           0x9292000bU /* 6.6 */
#define GZVM_EXIT_IPI            0x9292000dU /* the newest 6.12 */

#define GZVM_EXCEPTION_UNKNOWN    0
#define GZVM_EXCEPTION_PAGE_FAULT 1

/* In hypercall.args[0]. */
#define GZVM_HVC_PTP            0x86000001U /* the newest 6.12 */
#define GZVM_HVC_MEM_RELINQUISH 0xc6000009U

#define GZVM_SYSTEM_EVENT_SHUTDOWN 1
#define GZVM_SYSTEM_EVENT_RESET    2
#define GZVM_SYSTEM_EVENT_CRASH    3
#define GZVM_SYSTEM_EVENT_WAKEUP   4
#define GZVM_SYSTEM_EVENT_SUSPEND  5
#define GZVM_SYSTEM_EVENT_SEV_TERM 6
#define GZVM_SYSTEM_EVENT_S2IDLE   7

/* Passed by pointer to each GZVM_RUN; read at its start and written back at its end. */
struct gzvm_vcpu_run {
    __u32 exit_reason;
    __u8 immediate_exit; /* 1: do not enter. Read at the start only. */
    __u8 padding1[3];    /* zero */
    union {
        struct {
            __u64 phys_addr;
            __u8 data[8];
            __u64 size; /* bytes */
            __u32 reg_nr;
            __u8 is_write;
        } mmio;
        struct {
            __u64 hardware_entry_failure_reason;
            __u32 cpu;
        } fail_entry;
        struct {
            __u32 exception;
            __u32 error_code;
            __u64 fault_gpa;
            __u64 reserved[30];
        } exception;
        struct {
            __u64 args[8];
        } hypercall;
        struct {
            __u32 suberror;
            __u32 ndata;
            __u64 data[16];
        } internal;
        struct {
            __u32 type;
            __u32 ndata;
            __u64 data[16];
        } system_event;
        char padding[256];
    };
};

/* On the device. */
#define GZVM_GET_API_VERSION _IO(GZVM_IOC_MAGIC, 0x00) /* the oldest 6.1 only */
#define GZVM_CREATE_VM       _IO(GZVM_IOC_MAGIC, 0x01)
#define GZVM_CHECK_EXTENSION _IO(GZVM_IOC_MAGIC, 0x03) /* also on a VM */
/* On a VM. */
#define GZVM_SET_MEMORY_REGION      _IOW(GZVM_IOC_MAGIC, 0x40, struct gzvm_memory_region)
#define GZVM_CREATE_VCPU            _IO(GZVM_IOC_MAGIC, 0x41)
#define GZVM_SET_USER_MEMORY_REGION _IOW(GZVM_IOC_MAGIC, 0x46, struct gzvm_userspace_memory_region)
#define GZVM_CREATE_IRQCHIP         _IO(GZVM_IOC_MAGIC, 0x60) /* no driver answers it */
#define GZVM_IRQ_LINE               _IOW(GZVM_IOC_MAGIC, 0x61, struct gzvm_irq_level)
#define GZVM_IRQFD                  _IOW(GZVM_IOC_MAGIC, 0x76, struct gzvm_irqfd)
#define GZVM_IOEVENTFD              _IOW(GZVM_IOC_MAGIC, 0x79, struct gzvm_ioeventfd)
#define GZVM_ENABLE_CAP             _IOW(GZVM_IOC_MAGIC, 0xa3, struct gzvm_enable_cap)
#define GZVM_CREATE_DEVICE          _IOWR(GZVM_IOC_MAGIC, 0xe0, struct gzvm_create_device)
#define GZVM_SET_DTB_CONFIG         _IOW(GZVM_IOC_MAGIC, 0xff, struct gzvm_dtb_config)
/* On a vCPU. */
#define GZVM_RUN _IO(GZVM_IOC_MAGIC, 0x80)
#define GZVM_GET_ONE_REG \
    _IOW(GZVM_IOC_MAGIC, 0xab, struct gzvm_one_reg) /* EOPNOTSUPP but in the oldest */
#define GZVM_SET_ONE_REG _IOW(GZVM_IOC_MAGIC, 0xac, struct gzvm_one_reg)

#endif
