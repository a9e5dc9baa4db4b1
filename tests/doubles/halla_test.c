/* SPDX-License-Identifier: BSD-3-Clause */
/* The double of Halla's driver, by what the driver does; mostly where it is not like Geniezone's.
 */
#include "double_test.h"

#include "linux_halla.h"

struct halla {
    int device, vm, vcpu;
    void *ram;
    struct hvm_vcpu_run run;
};

#define X(number) (HVM_REG_ARM64 | HVM_REG_SIZE_U64 | HVM_REG_ARM_CORE | (2ULL * (number)))
#define PC        X(32)

static bool open_vm(struct halla *h, unsigned long type)
{
    *h = (struct halla){.device = open("/dev/halla", O_RDWR | O_CLOEXEC), .vcpu = -1};
    h->vm = ioctl(h->device, HVM_CREATE_VM, type);
    return CHECK(h->device >= 0) && CHECK(h->vm >= 0);
}

static void set_reg(const struct halla *h, uint64_t id, uint64_t value)
{
    struct hvm_one_reg reg = {.id = id, .addr = (uintptr_t)&value};

    CHECK_INT(CALL(h->vcpu, HVM_SET_ONE_REG, &reg), 0);
}

static bool start(struct halla *h, unsigned long type, uint64_t x0)
{
    struct hvm_userspace_memory_region region = {
        .guest_phys_addr = RAM,
        .memory_size = RAM_SIZE,
    };
    struct hvm_create_device dist = {
        .dev_type = HVM_DEV_TYPE_ARM_VGIC_V3_DIST,
        .dev_addr = DIST,
        .dev_reg_size = 0x10000,
    };
    struct hvm_create_device redist = {
        .dev_type = HVM_DEV_TYPE_ARM_VGIC_V3_REDIST,
        .dev_addr = REDIST,
        .dev_reg_size = 0x20000,
    };

    if (!open_vm(h, type))
        return false;
    h->ram = map_ram(RAM_SIZE);
    region.userspace_addr = (uintptr_t)h->ram;
    CHECK_INT(CALL(h->vm, HVM_SET_USER_MEMORY_REGION, &region), 0);
    CHECK_INT(CALL(h->vm, HVM_CREATE_DEVICE, &dist), 0);
    CHECK_INT(CALL(h->vm, HVM_CREATE_DEVICE, &redist), 0);
    h->vcpu = (int)CALL(h->vm, HVM_CREATE_VCPU, 0L);
    if (!CHECK(h->vcpu >= 0))
        return false;
    set_reg(h, PC, RAM);
    set_reg(h, X(0), x0);
    return true;
}

static void stop(struct halla *h)
{
    if (h->vcpu >= 0)
        close(h->vcpu);
    close(h->vm);
    close(h->device);
    if (h->ram != NULL)
        munmap(h->ram, RAM_SIZE);
}

static long run(struct halla *h)
{
    h->run.exit_reason = 0;
    return CALL(h->vcpu, HVM_VCPU_RUN, &h->run);
}

static void check_write(struct halla *h, uint64_t addr, uint64_t size, uint64_t value)
{
    CHECK_INT(run(h), 0);
    CHECK_INT(h->run.exit_reason, HVM_EXIT_MMIO);
    CHECK_INT(h->run.mmio.phys_addr, addr);
    CHECK_INT(h->run.mmio.size, size);
    CHECK_INT(h->run.mmio.is_write, 1);
    CHECK(memcmp(h->run.mmio.data, &value, size) == 0);
}

TEST(types)
{
    struct halla h;

    REQUIRE(open_vm(&h, 40));
    CHECK_ERRNO(CALL(h.device, HVM_CREATE_VM, 0x100L), EINVAL);
    CHECK_ERRNO(CALL(h.device, HVM_CREATE_VM, 20L), EINVAL); /* too few bits */
    CHECK_INT(fcntl(h.vm, F_GETFD), FD_CLOEXEC);
    stop(&h);
}

TEST(unknown_requests)
{
    struct halla h;

    REQUIRE(open_vm(&h, 0));
    h.vcpu = ioctl(h.vm, HVM_CREATE_VCPU, 0L);
    CHECK_ERRNO(CALL(h.device, HVM_CREATE_VCPU, 0L), ENOTTY);
    CHECK_ERRNO(CALL(h.vm, HVM_VCPU_RUN, 0L), ENOTTY);
    CHECK_ERRNO(CALL(h.vcpu, HVM_GET_ONE_REG, 0L), EOPNOTSUPP);
    CHECK_ERRNO(CALL(h.vcpu, HVM_CREATE_VM, 0L), EOPNOTSUPP);
    stop(&h);
}

TEST(extensions_are_asked_by_pointer)
{
    uint64_t value = HVM_CAP_VM_GPA_SIZE;
    struct halla h;

    REQUIRE(open_vm(&h, 0));
    CHECK_INT(CALL(h.device, HVM_CHECK_EXTENSION, &value), 0);
    CHECK_INT(value, 48);
    value = HVM_CAP_PROTECTED_VM;
    CHECK_INT(CALL(h.vm, HVM_CHECK_EXTENSION, &value), 0);
    CHECK_INT(value, 1);
    value = 0;
    CHECK_ERRNO(CALL(h.vm, HVM_CHECK_EXTENSION, &value), EOPNOTSUPP);
    CHECK_ERRNO(CALL(h.device, HVM_CHECK_EXTENSION, (long)HVM_CAP_VM_GPA_SIZE), EFAULT);
    stop(&h);
}

TEST(vcpu_ids_are_limited)
{
    struct halla h;

    REQUIRE(open_vm(&h, 0));
    CHECK_ERRNO(CALL(h.vm, HVM_CREATE_VCPU, 10L), EINVAL);
    CHECK_ERRNO(CALL(h.vm, HVM_CREATE_VCPU, 11L), EINVAL);
    stop(&h);
}

/* The hypervisor's status comes as it is. */
TEST(refusals_are_not_translated)
{
    struct hvm_create_device device = {.dev_type = 2};
    struct hvm_enable_cap cap = {.cap = 1};
    struct hvm_irq_level line = {.irq = 0xffff, .level = 1};
    uint64_t value = 0;
    struct hvm_one_reg reg = {.id = X(500), .addr = (uintptr_t)&value};
    struct halla h;

    REQUIRE(start(&h, 0, 0));
    CHECK_ERRNO(CALL(h.vm, HVM_CREATE_DEVICE, &device), EPERM);
    CHECK_ERRNO(CALL(h.vcpu, HVM_SET_ONE_REG, &reg), EPERM);
    CHECK_ERRNO(CALL(h.vm, HVM_IRQ_LINE, &line), EPERM);
    line.irq = 10 << 16;
    CHECK_ERRNO(CALL(h.vm, HVM_IRQ_LINE, &line), EINVAL);
    CHECK_ERRNO(CALL(h.vm, HVM_ENABLE_CAP, &cap), EINVAL); /* of the driver */
    stop(&h);
}

TEST(guest_runs)
{
    struct halla h;

    REQUIRE(start(&h, 40, HOLE));
    PUT_GUEST(h.ram, mmio);
    h.run.pad[2] = 1;
    CHECK_ERRNO(run(&h), EINVAL);
    h.run.pad[2] = 0;
    h.run.immediate_exit = 1;
    CHECK_ERRNO(run(&h), EINTR);
    h.run.immediate_exit = 0;
    set_reg(&h, X(1), 0xabcd);
    check_write(&h, HOLE, 4, 0xabcd);
    CHECK_INT(run(&h), 0);
    CHECK_INT(h.run.exit_reason, HVM_EXIT_MMIO);
    CHECK_INT(h.run.mmio.is_write, 0);
    memcpy(h.run.mmio.data, "\x78\x56\x34\x12", 4);
    check_write(&h, HOLE + 4, 4, 0x12345678);
    check_write(&h, HOLE + 8, 8, 0);
    CHECK_INT(run(&h), 0);
    CHECK_INT(h.run.exit_reason, HVM_EXIT_SYSTEM_EVENT);
    CHECK_INT(h.run.system_event.type, HVM_SYSTEM_EVENT_SHUTDOWN);
    stop(&h);
}

TEST(interrupts)
{
    struct hvm_irq_level line = {.irq = HVM_IRQ_TYPE_SPI << 24 | 5, .level = 1};
    int event = new_event();
    struct hvm_irqfd irqfd = {.fd = (uint32_t)event, .gsi = 6};
    struct halla h;

    REQUIRE(start(&h, 0, DIST));
    PUT_GUEST(h.ram, interrupts);
    set_reg(&h, X(1), REDIST);
    set_reg(&h, X(3), HOLE);
    set_reg(&h, X(4), 1);
    CHECK_INT(CALL(h.vm, HVM_IRQFD, &irqfd), 0);
    check_write(&h, HOLE + 8, 8, 0);
    check_write(&h, HOLE, 8, 27);
    CHECK_INT(CALL(h.vm, HVM_IRQ_LINE, &line), 0);
    check_write(&h, HOLE, 8, 32 + 5);
    line.level = 0;
    CHECK_INT(CALL(h.vm, HVM_IRQ_LINE, &line), 0);
    signal_event(event);
    check_write(&h, HOLE, 8, 32 + 6);
    CHECK_INT(count_of(event), 0);
    close(event);
    stop(&h);
}

TEST(protected_vm)
{
    struct hvm_enable_cap cap = {
        .cap = HVM_CAP_PROTECTED_VM,
        .args = {HVM_CAP_PVM_GET_PVMFW_SIZE},
    };
    struct hvm_dtb_config dtb = {.dtb_addr = RAM + 0x4000, .dtb_size = 0x1000};
    struct halla h;

    REQUIRE(start(&h, HVM_VM_TYPE_ARM_PROTECTED | 40, 0));
    PUT_GUEST(h.ram, mmio);
    memcpy((char *)h.ram + 0x4000, "\xd0\x0d\xfe\xed", 4);
    set_reg(&h, X(1), RAM);
    CHECK_INT(CALL(h.vm, HVM_ENABLE_CAP, &cap), 0);
    CHECK_INT(cap.args[1], 0x1000);
    cap = (struct hvm_enable_cap){
        .cap = HVM_CAP_PROTECTED_VM,
        .args = {HVM_CAP_PVM_SET_PVMFW_GPA, RAM + 0x8000},
    };
    CHECK_INT(CALL(h.vm, HVM_ENABLE_CAP, &cap), 0);
    CHECK_INT(CALL(h.vm, HVM_SET_DTB_CONFIG, &dtb), 0);
    CHECK_INT(run(&h), 0);
    CHECK_INT(h.run.exit_reason, HVM_EXIT_SYSTEM_EVENT);
    close(h.vcpu);
    close(h.vm); /* the memory comes back, with the firmware's mark */
    CHECK(memcmp((char *)h.ram + 0x4008, "\x66\x6d\x70\x76", 4) == 0);
    munmap(h.ram, RAM_SIZE);
    close(h.device);
}

static void signal_without_vcpu(void)
{
    struct hvm_irqfd irqfd = {.fd = (uint32_t)new_event(), .gsi = 6};
    struct halla h;

    open_vm(&h, 0);
    ioctl(h.vm, HVM_IRQFD, &irqfd);
    signal_event((int)irqfd.fd);
    usleep(5000000); /* until the driver hears of it */
}

static void interrupt_missing_vcpu(void)
{
    struct hvm_irq_level line = {.irq = 1 << 16 | 5, .level = 1};
    struct halla h;

    start(&h, 0, 0);
    ioctl(h.vm, HVM_IRQ_LINE, &line);
}

static void use_after_close(void)
{
    struct halla h;

    start(&h, 0, HOLE);
    close(h.vm);
    run(&h);
}

static void write_past_table(void)
{
    struct halla h;

    setenv("VISOR_DOUBLE_KERNEL", "6.6", 1);
    open_vm(&h, 0);
    ioctl(h.vm, HVM_CREATE_VCPU, 10L);
}

static void same_id_twice(void)
{
    struct halla h;

    start(&h, 0, 0);
    ioctl(h.vm, HVM_CREATE_VCPU, 0L);
}

TEST(what_crashes_the_kernel)
{
    CHECK_INT(death_of(signal_without_vcpu), SIGABRT);
    CHECK_INT(death_of(interrupt_missing_vcpu), SIGABRT);
    CHECK_INT(death_of(use_after_close), SIGABRT);
    CHECK_INT(death_of(write_past_table), SIGABRT);
    CHECK_INT(death_of(same_id_twice), SIGABRT);
}

UNIT_MAIN()
