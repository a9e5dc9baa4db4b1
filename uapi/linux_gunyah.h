/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel interface of Gunyah (Qualcomm), /dev/gunyah: what <linux/gunyah.h> of Android's common
 * kernels android14-6.1 to android16-6.12 defines, written anew with the names of 6.12 (6.1 has GH_
 * and gh_ for GUNYAH_ and gunyah_). Names that end in
 *   _LKML17   are of the proposal for mainline Linux (version 17), which numbers the flags of
 * memory in another way, _LEGACY   are of Qualcomm's driver before 2023, another interface under
 * the same node, _EARLY61  are of early snapshots of android14-6.1. The driver exists on arm64
 * only, the layouts are the same everywhere. tests/abi compares each number with a table.
 */
#ifndef VISOR_UAPI_LINUX_GUNYAH_H
#define VISOR_UAPI_LINUX_GUNYAH_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define GUNYAH_IOCTL_TYPE         'G'
#define GUNYAH_ANDROID_IOCTL_TYPE 'A'
#define GUNYAH_IOCTL_TYPE_LEGACY  0xb2

/* Memory. */
#define GUNYAH_MEM_ALLOW_READ  (1U << 0)
#define GUNYAH_MEM_ALLOW_WRITE (1U << 1)
#define GUNYAH_MEM_ALLOW_EXEC  (1U << 2)
#define GUNYAH_MEM_ALLOW_RWX   0x7U
/* For GUNYAH_VM_MAP_MEM and GH_VM_ANDROID_MAP_CMA_MEM. */
#define GUNYAH_MEM_DEFAULT_ACCESS 0x00U
#define GUNYAH_MEM_FORCE_LEND     0x10U
#define GUNYAH_MEM_FORCE_SHARE    0x20U
#define GUNYAH_MEM_ACCESS_MASK    0x70U
#define GUNYAH_MEM_UNMAP          0x100U

#define GUNYAH_MEM_DEFAULT_ACCESS_LKML17 0x00U
#define GUNYAH_MEM_FORCE_LEND_LKML17     0x01U
#define GUNYAH_MEM_FORCE_SHARE_LKML17    0x02U
#define GUNYAH_MEM_ACCESS_MASK_LKML17    0x07U
#define GUNYAH_MEM_ALLOW_READ_LKML17     0x10U
#define GUNYAH_MEM_ALLOW_WRITE_LKML17    0x20U
#define GUNYAH_MEM_ALLOW_EXEC_LKML17     0x40U
#define GUNYAH_MEM_ALLOW_RWX_LKML17      0x70U
#define GUNYAH_MEM_UNMAP_LKML17          0x100U

/* All addresses and sizes are whole pages. */
struct gunyah_userspace_memory_region {
    __u32 label;
    __u32 flags; /* GUNYAH_MEM_ALLOW_* */
    __u64 guest_phys_addr;
    __u64 memory_size; /* bytes */
    __u64 userspace_addr;
};

struct gunyah_map_mem_args { /* no Android driver answers its request */
    __u64 guest_addr;
    __u32 flags;
    __u32 guest_mem_fd;
    __u64 offset;
    __u64 size; /* bytes */
};

struct gunyah_map_cma_mem_args { /* 6.12 */
    __u32 label;
    __u64 guest_addr;
    __u32 flags;
    __u32 guest_mem_fd;
    __u64 offset;
    __u64 size; /* bytes */
};

struct gunyah_address_range { /* 6.6 */
    __u64 guest_phys_addr;
    __u64 size; /* bytes */
};

#define GHMF_CLOEXEC_LKML17        (1U << 0)
#define GHMF_ALLOW_HUGEPAGE_LKML17 (1U << 1)
struct gunyah_create_mem_args_lkml17 {
    __u64 flags;
    __u64 size; /* bytes */
    __u64 reserved[6];
};

/* What starts. Sizes of less than a page count as none. */
struct gunyah_vm_dtb_config {
    __u64 guest_phys_addr;
    __u64 size; /* bytes */
};
struct gunyah_vm_firmware_config {
    __u64 guest_phys_addr;
    __u64 size; /* bytes */
};

enum gunyah_vm_boot_context_reg {             /* 6.6 */
                                  REG_SET_X,  /* index 0..31 */
                                  REG_SET_PC, /* index 0 */
                                  REG_SET_SP, /* index 0..2 */
};
#define GUNYAH_VM_BOOT_CONTEXT_REG_SHIFT 8
struct gunyah_vm_boot_context {
    __u32 reg; /* set << GUNYAH_VM_BOOT_CONTEXT_REG_SHIFT | index */
    __u32 reserved;
    __u64 value;
};

/* 6.12 */
#define GUNYAH_ANDROID_PVM_TYPE     0 /* the driver knows no number for it */
#define GUNYAH_QCOM_TRUSTED_VM_TYPE 1
struct gunyah_qtvm_auth_arg {
    __u16 vm_id;
    __u32 peripheral_id;
    __u64 guest_phys_addr;
    __u64 size; /* bytes */
};
struct gunyah_auth_desc {
    __u32 type;
    __u32 arg_size; /* bytes */
    __u64 arg;      /* of the type's structure, in user space */
};

#define GH_CAP_VCPU_TIMER_WAKEUP 0

/* Functions of a VM. */
#define GUNYAH_FN_VCPU         1
#define GUNYAH_FN_IRQFD        2
#define GUNYAH_FN_IOEVENTFD    3
#define GUNYAH_FN_MAX_ARG_SIZE 256
struct gunyah_fn_desc {
    __u32 type;
    __u32 arg_size; /* bytes */
    __u64 arg;      /* of the type's structure, in user space */
};

struct gunyah_fn_vcpu_arg {
    __u32 id;
};

#define GUNYAH_IRQFD_FLAGS_LEVEL (1U << 0)
struct gunyah_fn_irqfd_arg {
    __u32 fd;
    __u32 label; /* of the doorbell in the device tree */
    __u32 flags;
    __u32 padding;
};

#define GUNYAH_IOEVENTFD_FLAGS_DATAMATCH (1U << 0)
struct gunyah_fn_ioeventfd_arg {
    __u64 datamatch;
    __u64 addr;
    __u32 len; /* 0, 1, 2, 4 or 8 */
    __s32 fd;
    __u32 flags;
    __u32 padding;
};

/* Running. */
#define GUNYAH_VM_STATUS_LOAD_FAILED 1
#define GUNYAH_VM_STATUS_EXITED      2
#define GUNYAH_VM_STATUS_CRASHED     3

/* gunyah_vm_exit_info.type; numbers of the resource manager. */
#define GH_RM_EXIT_TYPE_VM_EXIT            0
#define GH_RM_EXIT_TYPE_PSCI_POWER_OFF     1
#define GH_RM_EXIT_TYPE_PSCI_SYSTEM_RESET  2
#define GH_RM_EXIT_TYPE_PSCI_SYSTEM_RESET2 3
#define GH_RM_EXIT_TYPE_WDT_BITE           4
#define GH_RM_EXIT_TYPE_HYP_ERROR          5
#define GH_RM_EXIT_TYPE_ASYNC_EXT_ABORT    6
#define GH_RM_EXIT_TYPE_VM_FORCE_STOPPED   7

#define GUNYAH_VM_MAX_EXIT_REASON_SIZE 8
struct gunyah_vm_exit_info {
    __u16 type;
    __u16 padding;
    __u32 reason_size; /* bytes; may be more than are here */
    __u8 reason[GUNYAH_VM_MAX_EXIT_REASON_SIZE];
};

#define GUNYAH_VCPU_EXIT_UNKNOWN    0
#define GUNYAH_VCPU_EXIT_MMIO       1
#define GUNYAH_VCPU_EXIT_STATUS     2
#define GUNYAH_VCPU_EXIT_PAGE_FAULT 3 /* 6.6 */

/* 6.6 */
#define GUNYAH_VCPU_RESUME_HANDLED 0
#define GUNYAH_VCPU_RESUME_FAULT   1
#define GUNYAH_VCPU_RESUME_RETRY   2

/* At the start of the page that a vCPU's descriptor maps. */
struct gunyah_vcpu_run {
    __u8 immediate_exit; /* not zero: leave the guest, at the next look */
    __u8 padding[7];
    __u32 exit_reason;
    union {
        struct {
            __u64 phys_addr;
            __u8 data[8];
            __u32 len; /* bytes, 1..8 */
            __u8 is_write;
            __u8 resume_action; /* 6.6 */
        } mmio;
        struct {
            __u32 status; /* GUNYAH_VM_STATUS_* */
            struct gunyah_vm_exit_info exit_info;
        } status;
        struct {
            __u64 phys_addr;
            __s32 attempt; /* negative errno */
            __u8 resume_action;
        } page_fault; /* 6.6 */
    };
};

/* On the device. */
#define GUNYAH_CREATE_VM _IO(GUNYAH_IOCTL_TYPE, 0x0)
#define GUNYAH_CREATE_GUEST_MEM_LKML17 \
    _IOW(GUNYAH_IOCTL_TYPE, 0x8, struct gunyah_create_mem_args_lkml17)
#define GH_ANDROID_TENTATIVE_UAPI_EARLY61 _IO(GUNYAH_ANDROID_IOCTL_TYPE, 0x10)
/* On a VM. */
#define GH_VM_SET_USER_MEM_REGION \
    _IOW(GUNYAH_IOCTL_TYPE, 0x1, struct gunyah_userspace_memory_region)
#define GUNYAH_VM_SET_DTB_CONFIG  _IOW(GUNYAH_IOCTL_TYPE, 0x2, struct gunyah_vm_dtb_config)
#define GUNYAH_VM_START           _IO(GUNYAH_IOCTL_TYPE, 0x3)
#define GUNYAH_VM_ADD_FUNCTION    _IOW(GUNYAH_IOCTL_TYPE, 0x4, struct gunyah_fn_desc)
#define GUNYAH_VM_REMOVE_FUNCTION _IOW(GUNYAH_IOCTL_TYPE, 0x7, struct gunyah_fn_desc)
#define GUNYAH_VM_MAP_MEM         _IOW(GUNYAH_IOCTL_TYPE, 0x9, struct gunyah_map_mem_args)
#define GUNYAH_VM_SET_BOOT_CONTEXT \
    _IOW(GUNYAH_IOCTL_TYPE, 0xa, struct gunyah_vm_boot_context) /* 6.6 */
#define GH_VM_ANDROID_LEND_USER_MEM \
    _IOW(GUNYAH_ANDROID_IOCTL_TYPE, 0x11, struct gunyah_userspace_memory_region)
#define GH_VM_ANDROID_SET_FW_CONFIG \
    _IOW(GUNYAH_ANDROID_IOCTL_TYPE, 0x12, struct gunyah_vm_firmware_config)
#define GH_VM_RECLAIM_REGION \
    _IOW(GUNYAH_ANDROID_IOCTL_TYPE, 0x13, struct gunyah_address_range) /* 6.6 */
#define GH_VM_ANDROID_MAP_CMA_MEM \
    _IOW(GUNYAH_ANDROID_IOCTL_TYPE, 0x15, struct gunyah_map_cma_mem_args) /* 6.12 */
#define GH_VM_ANDROID_SET_AUTH_TYPE \
    _IOW(GUNYAH_ANDROID_IOCTL_TYPE, 0x16, struct gunyah_auth_desc) /* 6.12 */
#define GH_VM_CHECK_EXTENSION _IO(GUNYAH_ANDROID_IOCTL_TYPE, 0x17) /* 6.12, not in each */
/* On a vCPU. */
#define GUNYAH_VCPU_RUN       _IO(GUNYAH_IOCTL_TYPE, 0x5)
#define GUNYAH_VCPU_MMAP_SIZE _IO(GUNYAH_IOCTL_TYPE, 0x6)
/* On a pool of contiguous memory, a device of its own. */
#define GH_ANDROID_CREATE_CMA_MEM_FD _IO(GUNYAH_ANDROID_IOCTL_TYPE, 0x14) /* 6.12 */

/* Only to recognise the legacy driver: sizes of arguments without their structures. */
#define GUNYAH_IO_LEGACY(number)        _IO(GUNYAH_IOCTL_TYPE_LEGACY, number)
#define GUNYAH_IOR_LEGACY(number, size) _IOC(_IOC_READ, GUNYAH_IOCTL_TYPE_LEGACY, number, size)
#define GUNYAH_IOW_LEGACY(number, size) _IOC(_IOC_WRITE, GUNYAH_IOCTL_TYPE_LEGACY, number, size)
#define GUNYAH_IOWR_LEGACY(number, size) \
    _IOC(_IOC_READ | _IOC_WRITE, GUNYAH_IOCTL_TYPE_LEGACY, number, size)
#define GH_CREATE_VM_LEGACY              GUNYAH_IO_LEGACY(0x01)
#define GH_CREATE_VCPU_LEGACY            GUNYAH_IO_LEGACY(0x40)
#define GH_VM_SET_FW_NAME_LEGACY         GUNYAH_IOW_LEGACY(0x41, 16)
#define GH_VM_GET_FW_NAME_LEGACY         GUNYAH_IOR_LEGACY(0x42, 16)
#define GH_VM_GET_VCPU_COUNT_LEGACY      GUNYAH_IO_LEGACY(0x43)
#define GH_GET_SHARED_MEMORY_SIZE_LEGACY GUNYAH_IOR_LEGACY(0x61, 8)
#define GH_IOEVENTFD_LEGACY              GUNYAH_IOW_LEGACY(0x62, 16)
#define GH_IRQFD_LEGACY                  GUNYAH_IOW_LEGACY(0x63, 16)
#define GH_WAIT_FOR_EVENT_LEGACY         GUNYAH_IOWR_LEGACY(0x64, 16)
#define GH_SET_DEVICE_FEATURES_LEGACY    GUNYAH_IOW_LEGACY(0x65, 16)
#define GH_SET_QUEUE_NUM_MAX_LEGACY      GUNYAH_IOW_LEGACY(0x66, 16)
#define GH_SET_DEVICE_CONFIG_DATA_LEGACY GUNYAH_IOW_LEGACY(0x67, 16)
#define GH_GET_DRIVER_CONFIG_DATA_LEGACY GUNYAH_IOWR_LEGACY(0x68, 16)
#define GH_GET_QUEUE_INFO_LEGACY         GUNYAH_IOWR_LEGACY(0x69, 40)
#define GH_GET_DRIVER_FEATURES_LEGACY    GUNYAH_IOWR_LEGACY(0x6a, 16)
#define GH_ACK_DRIVER_OK_LEGACY          GUNYAH_IOWR_LEGACY(0x6b, 4)
#define GH_ACK_RESET_LEGACY              GUNYAH_IOW_LEGACY(0x6d, 8)
#define GH_VCPU_RUN_LEGACY               GUNYAH_IO_LEGACY(0x80)

#endif
