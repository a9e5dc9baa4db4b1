/* SPDX-License-Identifier: BSD-3-Clause */
/* The double of Geniezone's driver, by what the driver does. */
#include "double_test.h"

#include "linux_gzvm.h"

struct gz {
    int device, vm, vcpu;
    void *ram;
    struct gzvm_vcpu_run run;
};

#define X(number) (GZVM_REG_ARM64 | GZVM_REG_SIZE_U64 | GZVM_REG_ARM_CORE | (2ULL * (number)))
#define PC        X(32)

static void set_kernel(const char *version)
{
    setenv("VISOR_DOUBLE_KERNEL", version, 1);
}

static bool open_vm(struct gz *gz)
{
    *gz = (struct gz){.device = open("/dev/gzvm", O_RDWR | O_CLOEXEC)};
    gz->vm = ioctl(gz->device, GZVM_CREATE_VM, 0L);
    gz->vcpu = -1;
    return CHECK(gz->device >= 0) && CHECK(gz->vm >= 0);
}

static long add_ram(struct gz *gz, uint32_t slot, uint32_t flags, uint64_t gpa, void *ram,
                    uint64_t size)
{
    struct gzvm_userspace_memory_region region = {
        .slot = slot,
        .flags = flags,
        .guest_phys_addr = gpa,
        .memory_size = size,
        .userspace_addr = (uintptr_t)ram,
    };

    return CALL(gz->vm, GZVM_SET_USER_MEMORY_REGION, &region);
}

static void set_reg(const struct gz *gz, uint64_t id, uint64_t value)
{
    struct gzvm_one_reg reg = {.id = id, .addr = (uintptr_t)&value};

    CHECK_INT(CALL(gz->vcpu, GZVM_SET_ONE_REG, &reg), 0);
}

static long add_device(const struct gz *gz, uint32_t type, uint64_t addr, uint64_t size)
{
    struct gzvm_create_device device = {
        .dev_type = type,
        .dev_addr = addr,
        .dev_reg_size = size,
    };

    return CALL(gz->vm, GZVM_CREATE_DEVICE, &device);
}

/* A VM with memory, an interrupt controller, and vCPU 0 at the start of memory. */
static bool start(struct gz *gz, uint64_t x0, uint64_t x1)
{
    if (!open_vm(gz))
        return false;
    gz->ram = map_ram(RAM_SIZE);
    CHECK_INT(add_ram(gz, 0, GZVM_USER_MEM_REGION_GUEST_MEM, RAM, gz->ram, RAM_SIZE), 0);
    CHECK_INT(add_device(gz, GZVM_DEV_TYPE_ARM_VGIC_V3_DIST, DIST, 0x10000), 0);
    CHECK_INT(add_device(gz, GZVM_DEV_TYPE_ARM_VGIC_V3_REDIST, REDIST, 0x40000), 0);
    gz->vcpu = (int)CALL(gz->vm, GZVM_CREATE_VCPU, 0L);
    if (!CHECK(gz->vcpu >= 0))
        return false;
    set_reg(gz, PC, RAM);
    set_reg(gz, X(0), x0);
    set_reg(gz, X(1), x1);
    return true;
}

static void stop(struct gz *gz)
{
    if (gz->vcpu >= 0)
        close(gz->vcpu);
    close(gz->vm);
    close(gz->device);
    if (gz->ram != NULL)
        munmap(gz->ram, RAM_SIZE);
}

static long run(struct gz *gz)
{
    gz->run.exit_reason = 0;
    return CALL(gz->vcpu, GZVM_RUN, &gz->run);
}

static void check_write(struct gz *gz, uint64_t addr, uint64_t size, uint64_t value)
{
    CHECK_INT(run(gz), 0);
    CHECK_INT(gz->run.exit_reason, GZVM_EXIT_MMIO);
    CHECK_INT(gz->run.mmio.phys_addr, addr);
    CHECK_INT(gz->run.mmio.size, size);
    CHECK_INT(gz->run.mmio.is_write, 1);
    CHECK(memcmp(gz->run.mmio.data, &value, size) == 0);
}

static void check_off(struct gz *gz)
{
    CHECK_INT(run(gz), 0);
    CHECK_INT(gz->run.exit_reason, GZVM_EXIT_SYSTEM_EVENT);
    CHECK_INT(gz->run.system_event.type, GZVM_SYSTEM_EVENT_SHUTDOWN);
}

TEST(descriptors)
{
    struct gz gz;
    int vcpu;

    REQUIRE(open_vm(&gz));
    vcpu = ioctl(gz.vm, GZVM_CREATE_VCPU, 0L);
    CHECK(vcpu >= 0);
    CHECK_INT(fcntl(gz.vm, F_GETFD), FD_CLOEXEC);
    CHECK_INT(fcntl(vcpu, F_GETFD), FD_CLOEXEC);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, vcpu, 0) == MAP_FAILED);
    CHECK_ERRNO(CALL(gz.device, GZVM_CREATE_VM, 1L), EINVAL);
    CHECK_ERRNO(CALL(gz.device, GZVM_GET_API_VERSION, 0L), ENOTTY);
    CHECK_ERRNO(CALL(gz.device, GZVM_CREATE_VCPU, 0L), ENOTTY);
    CHECK_ERRNO(CALL(gz.vm, GZVM_CREATE_IRQCHIP, 0L), ENOTTY);
    CHECK_ERRNO(CALL(gz.vm, GZVM_CREATE_VM, 0L), ENOTTY);
    CHECK_ERRNO(CALL(vcpu, GZVM_GET_ONE_REG, 0L), EOPNOTSUPP);
    CHECK_ERRNO(CALL(gz.vm, GZVM_CREATE_VCPU, 8L), EINVAL);
    close(vcpu);
    stop(&gz);
    CHECK_ERRNO(CALL(gz.vm, GZVM_CREATE_VCPU, 0L), EBADF);
}

TEST(extensions_are_asked_by_pointer)
{
    uint64_t value = GZVM_CAP_VM_GPA_SIZE;
    struct gz gz;

    REQUIRE(open_vm(&gz));
    CHECK_INT(CALL(gz.device, GZVM_CHECK_EXTENSION, &value), 0);
    CHECK_INT(value, 48);
    value = GZVM_CAP_PROTECTED_VM;
    CHECK_INT(CALL(gz.vm, GZVM_CHECK_EXTENSION, &value), 0);
    CHECK_INT(value, 1);
    value = 7;
    CHECK_ERRNO(CALL(gz.vm, GZVM_CHECK_EXTENSION, &value), EOPNOTSUPP);
    CHECK_ERRNO(CALL(gz.vm, GZVM_CHECK_EXTENSION, (long)GZVM_CAP_VM_GPA_SIZE), EFAULT);
    CHECK_ERRNO(CALL(gz.device, GZVM_CHECK_EXTENSION, 0L), EFAULT);
    set_kernel("6.1");
    CHECK_ERRNO(CALL(gz.device, GZVM_CHECK_EXTENSION, 0L), EINVAL);
    set_kernel("6.12");
    stop(&gz);
}

TEST(memory_is_a_whole_mapping)
{
    struct gz gz;
    char *ram = map_ram(2 * RAM_SIZE);

    REQUIRE(open_vm(&gz));
    CHECK_INT(add_ram(&gz, 0, 0, RAM, ram, 2 * RAM_SIZE), 0);
    CHECK_INT(add_ram(&gz, 0, 0, RAM, ram, 2 * RAM_SIZE), 0); /* again */
    CHECK_ERRNO(add_ram(&gz, 1, 0, HOLE, ram, RAM_SIZE), EINVAL);
    CHECK_ERRNO(add_ram(&gz, 0, 0, RAM, ram, 0), EINVAL);
    CHECK_ERRNO(add_ram(&gz, 10, 0, HOLE, ram, 2 * RAM_SIZE), EINVAL);
    CHECK_ERRNO(add_ram(&gz, 1, 0, HOLE + 1, ram, 2 * RAM_SIZE), EINVAL);
    CHECK_ERRNO(add_ram(&gz, 1, 0, HOLE, ram, 2 * RAM_SIZE - 1), EINVAL);
    CHECK_ERRNO(add_ram(&gz, 1, 0, 0ULL - RAM_SIZE, ram, 2 * RAM_SIZE), EINVAL);
    CHECK_ERRNO(add_ram(&gz, 1, 0, RAM, ram, 2 * RAM_SIZE), EFAULT); /* the hypervisor refuses */
    munmap(ram, 2 * RAM_SIZE);
    CHECK_ERRNO(add_ram(&gz, 1, 0, HOLE, ram, 2 * RAM_SIZE), EFAULT);
    stop(&gz);
}

TEST(registers)
{
    uint64_t value[2] = {0};
    struct gzvm_one_reg reg = {.id = X(0), .addr = (uintptr_t)value};
    struct gz gz;

    REQUIRE(start(&gz, 0, 0));
    reg.id = GZVM_REG_ARM64 | GZVM_REG_SIZE_U128 | GZVM_REG_ARM_CORE | 84; /* V0 */
    CHECK_ERRNO(CALL(gz.vcpu, GZVM_SET_ONE_REG, &reg), EINVAL);
    reg.id = X(500);
    CHECK_ERRNO(CALL(gz.vcpu, GZVM_SET_ONE_REG, &reg), EINVAL);
    reg = (struct gzvm_one_reg){.id = X(0), .addr = 8};
    CHECK_ERRNO(CALL(gz.vcpu, GZVM_SET_ONE_REG, &reg), EFAULT);
    CHECK_ERRNO(CALL(gz.vcpu, GZVM_SET_ONE_REG, 0L), EFAULT);
    stop(&gz);
}

TEST(interrupt_controller)
{
    uint8_t blob[16] = {0};
    struct gzvm_create_device device = {
        .dev_type = GZVM_DEV_TYPE_ARM_VGIC_V3_DIST,
        .dev_addr = DIST,
        .dev_reg_size = 0x10000,
        .attr_addr = (uintptr_t)blob,
        .attr_size = 4097,
    };
    struct gz gz;

    REQUIRE(open_vm(&gz));
    CHECK_ERRNO(CALL(gz.vm, GZVM_CREATE_DEVICE, &device), EINVAL);
    device.attr_size = sizeof(blob);
    device.attr_addr = 8;
    CHECK_ERRNO(CALL(gz.vm, GZVM_CREATE_DEVICE, &device), EFAULT);
    CHECK_ERRNO(add_device(&gz, 2, DIST, 0x10000), EINVAL);
    CHECK_ERRNO(add_device(&gz, GZVM_DEV_TYPE_ARM_VGIC_V3_REDIST, REDIST, 0x10000), EINVAL);
    CHECK_INT(add_device(&gz, GZVM_DEV_TYPE_ARM_VGIC_V3_DIST, DIST, 0x10000), 0);
    stop(&gz);
}

TEST(irqfd_rules)
{
    int event = new_event(), other = new_event();
    struct gzvm_irqfd irqfd = {.fd = (uint32_t)event, .gsi = 3};
    struct gz gz;

    REQUIRE(open_vm(&gz));
    irqfd.pad[15] = 1;
    CHECK_ERRNO(CALL(gz.vm, GZVM_IRQFD, &irqfd), EINVAL);
    irqfd.pad[15] = 0;
    irqfd.flags = 4;
    CHECK_ERRNO(CALL(gz.vm, GZVM_IRQFD, &irqfd), EINVAL);
    irqfd.flags = 0;
    irqfd.fd = 1000;
    CHECK_ERRNO(CALL(gz.vm, GZVM_IRQFD, &irqfd), EBADF);
    irqfd.fd = (uint32_t)gz.device == 0 ? 1 : 0; /* /dev/null */
    CHECK_ERRNO(CALL(gz.vm, GZVM_IRQFD, &irqfd), EINVAL);
    irqfd.fd = (uint32_t)event;
    CHECK_INT(CALL(gz.vm, GZVM_IRQFD, &irqfd), 0);
    CHECK_ERRNO(CALL(gz.vm, GZVM_IRQFD, &irqfd), EBUSY);
    irqfd.fd = (uint32_t)dup(event); /* the same eventfd */
    CHECK_ERRNO(CALL(gz.vm, GZVM_IRQFD, &irqfd), EBUSY);
    irqfd.flags = GZVM_IRQFD_FLAG_DEASSIGN;
    irqfd.gsi = 4;
    CHECK_INT(CALL(gz.vm, GZVM_IRQFD, &irqfd), 0); /* there is none */
    irqfd.gsi = 3;
    CHECK_INT(CALL(gz.vm, GZVM_IRQFD, &irqfd), 0);
    close((int)irqfd.fd);
    irqfd.fd = (uint32_t)event;
    irqfd.flags = GZVM_IRQFD_FLAG_RESAMPLE;
    CHECK_INT(CALL(gz.vm, GZVM_IRQFD, &irqfd), 0);
    close(event);
    close(other);
    stop(&gz);
}

TEST(ioeventfd_rules)
{
    int event = new_event();
    struct gzvm_ioeventfd io = {.addr = HOLE, .len = 4, .fd = event};
    struct gz gz;

    REQUIRE(open_vm(&gz));
    io.len = 3;
    CHECK_ERRNO(CALL(gz.vm, GZVM_IOEVENTFD, &io), EINVAL);
    io.len = 4;
    io.flags = GZVM_IOEVENTFD_FLAG_PIO;
    CHECK_ERRNO(CALL(gz.vm, GZVM_IOEVENTFD, &io), EINVAL);
    io.flags = 8;
    CHECK_ERRNO(CALL(gz.vm, GZVM_IOEVENTFD, &io), EINVAL);
    io.flags = GZVM_IOEVENTFD_FLAG_DATAMATCH;
    io.len = 0;
    CHECK_ERRNO(CALL(gz.vm, GZVM_IOEVENTFD, &io), EINVAL);
    io.flags = 0;
    io.addr = ~0ULL - 1;
    io.len = 4;
    CHECK_ERRNO(CALL(gz.vm, GZVM_IOEVENTFD, &io), EINVAL);
    io.addr = HOLE;
    io.fd = 1000;
    CHECK_ERRNO(CALL(gz.vm, GZVM_IOEVENTFD, &io), EBADF);
    io.fd = event;
    CHECK_INT(CALL(gz.vm, GZVM_IOEVENTFD, &io), 0);
    CHECK_ERRNO(CALL(gz.vm, GZVM_IOEVENTFD, &io), EEXIST);
    io.addr = HOLE + 2;
    CHECK_ERRNO(CALL(gz.vm, GZVM_IOEVENTFD, &io), EEXIST); /* inside of the other */
    io.flags = GZVM_IOEVENTFD_FLAG_DEASSIGN;
    CHECK_ERRNO(CALL(gz.vm, GZVM_IOEVENTFD, &io), ENOENT);
    io.addr = HOLE;
    io.len = 8;
    CHECK_ERRNO(CALL(gz.vm, GZVM_IOEVENTFD, &io), ENOENT);
    io.len = 4;
    CHECK_INT(CALL(gz.vm, GZVM_IOEVENTFD, &io), 0);
    close(event);
    stop(&gz);
}

TEST(guest_runs)
{
    struct gz gz;

    REQUIRE(start(&gz, HOLE, 0xabcd));
    PUT_GUEST(gz.ram, mmio);
    CHECK_ERRNO(CALL(gz.vcpu, GZVM_RUN, 0L), EFAULT);
    gz.run.padding1[1] = 1;
    CHECK_ERRNO(run(&gz), EINVAL);
    gz.run.padding1[1] = 0;
    gz.run.immediate_exit = 1;
    CHECK_ERRNO(run(&gz), EINTR);
    CHECK_INT(gz.run.exit_reason, 0);
    gz.run.immediate_exit = 2; /* only 1 counts */
    check_write(&gz, HOLE, 4, 0xabcd);
    CHECK_INT(run(&gz), 0);
    CHECK_INT(gz.run.exit_reason, GZVM_EXIT_MMIO);
    CHECK_INT(gz.run.mmio.is_write, 0);
    CHECK_INT(gz.run.mmio.size, 4);
    memcpy(gz.run.mmio.data, "\x78\x56\x34\x12", 4);
    check_write(&gz, HOLE + 4, 4, 0x12345678);
    CHECK_INT(run(&gz), 0);
    check_off(&gz);
    stop(&gz);
}

/* A signal that comes with an exit, or before an answer is taken. */
TEST(interrupted_runs)
{
    struct gz gz;

    REQUIRE(start(&gz, HOLE, 0xabcd));
    PUT_GUEST(gz.ram, mmio);
    setenv("VISOR_DOUBLE_EINTR", "1", 1);
    CHECK_ERRNO(run(&gz), EINTR); /* with the write */
    CHECK_INT(gz.run.exit_reason, GZVM_EXIT_MMIO);
    CHECK_INT(gz.run.mmio.is_write, 1);
    unsetenv("VISOR_DOUBLE_EINTR");
    CHECK_INT(run(&gz), 0);
    CHECK_INT(gz.run.mmio.is_write, 0);
    memcpy(gz.run.mmio.data, "\x78\x56\x34\x12", 4);
    setenv("VISOR_DOUBLE_EINTR", "1", 1);
    CHECK_ERRNO(run(&gz), EINTR); /* before the answer */
    CHECK_INT(gz.run.exit_reason, 0);
    unsetenv("VISOR_DOUBLE_EINTR");
    check_write(&gz, HOLE + 4, 4, 0x12345678);
    stop(&gz);
}

TEST(signal_ends_a_run)
{
    struct test_signal first, second;
    struct gz gz;

    REQUIRE(start(&gz, 0, 0));
    PUT_GUEST(gz.ram, spin);
    set_handler(SIGUSR1, SA_RESTART);
    set_handler(SIGRTMIN + 1, 0);
    signal_later(&first, SIGUSR1, 100);
    signal_later(&second, SIGRTMIN + 1, 400);
    CHECK_ERRNO(run(&gz), EINTR);
    CHECK_INT(handled, SIGRTMIN + 1); /* the first has not ended it */
    CHECK_INT(gz.run.exit_reason, GZVM_EXIT_IRQ);
    pthread_join(first.thread, NULL);
    pthread_join(second.thread, NULL);
    stop(&gz);
}

static void start_interrupts(struct gz *gz, bool timer)
{
    PUT_GUEST(gz->ram, interrupts);
    set_reg(gz, X(0), DIST);
    set_reg(gz, X(1), REDIST);
    set_reg(gz, X(3), HOLE);
    set_reg(gz, X(4), timer);
}

TEST(timer)
{
    struct gz gz;

    REQUIRE(start(&gz, 0, 0));
    start_interrupts(&gz, true);
    check_write(&gz, HOLE + 8, 8, 0);
    check_write(&gz, HOLE, 8, 27);
    stop(&gz);
}

TEST(interrupt_line)
{
    struct gzvm_irq_level line = {.irq = GZVM_IRQ_TYPE_SPI << GZVM_IRQ_TYPE_SHIFT | 5, .level = 1};
    struct gz gz;

    REQUIRE(start(&gz, 0, 0));
    start_interrupts(&gz, false);
    check_write(&gz, HOLE + 8, 8, 0);
    CHECK_INT(CALL(gz.vm, GZVM_IRQ_LINE, &line), 0);
    check_write(&gz, HOLE, 8, 32 + 5);
    line.level = 0;
    CHECK_INT(CALL(gz.vm, GZVM_IRQ_LINE, &line), 0);
    line.irq = 0xffff;
    CHECK_ERRNO(CALL(gz.vm, GZVM_IRQ_LINE, &line), EFAULT);
    stop(&gz);
}

TEST(eventfds)
{
    struct gz gz;
    int event = new_event();
    struct gzvm_irqfd irqfd = {.fd = (uint32_t)event, .gsi = 7};
    struct gzvm_ioeventfd io = {.addr = HOLE + 8, .len = 8, .fd = new_event()};

    REQUIRE(start(&gz, 0, 0));
    start_interrupts(&gz, false);
    CHECK_INT(CALL(gz.vm, GZVM_IRQFD, &irqfd), 0);
    CHECK_INT(CALL(gz.vm, GZVM_IOEVENTFD, &io), 0);
    signal_event(event); /* before the guest runs */
    check_write(&gz, HOLE, 8, 32 + 7);
    CHECK_INT(count_of(event), 0);
    CHECK_INT(count_of(io.fd), 1);
    close(event);
    close(io.fd);
    stop(&gz);
}

static void *run_first(void *arg)
{
    struct gz *gz = arg;

    run(gz); /* until a signal */
    return NULL;
}

TEST(second_vcpu)
{
    struct gz gz, second;
    pthread_t thread;

    set_handler(SIGUSR2, 0);
    REQUIRE(start(&gz, HOLE, 0));
    PUT_GUEST(gz.ram, second);
    second = gz;
    second.vcpu = ioctl(gz.vm, GZVM_CREATE_VCPU, 1L);
    CHECK_INT(pthread_create(&thread, NULL, run_first, &gz), 0);
    check_write(&second, HOLE, 4, 0x5678);
    pthread_kill(thread, SIGUSR2);
    pthread_join(thread, NULL);
    CHECK_INT(gz.run.exit_reason, GZVM_EXIT_IRQ);
    close(second.vcpu);
    stop(&gz);
}

static void make_protected(struct gz *gz)
{
    struct gzvm_enable_cap cap = {.cap = GZVM_CAP_PROTECTED_VM, .args = {1}};

    CHECK_INT(CALL(gz->vm, GZVM_ENABLE_CAP, &cap), 0);
    CHECK_INT(cap.args[1], 0x1000);
    cap.args[0] = GZVM_CAP_PVM_SET_PVMFW_GPA;
    cap.args[1] = RAM + 0x8000;
    CHECK_INT(CALL(gz->vm, GZVM_ENABLE_CAP, &cap), 0);
    cap.args[0] = GZVM_CAP_PVM_SET_PROTECTED_VM;
    CHECK_INT(CALL(gz->vm, GZVM_ENABLE_CAP, &cap), 0);
    cap.args[0] = 3;
    CHECK_ERRNO(CALL(gz->vm, GZVM_ENABLE_CAP, &cap), EINVAL);
}

/* The firmware runs first, and jumps to the payload with its mark in x8. */
static void run_protected(struct gz *gz)
{
    struct gzvm_dtb_config dtb = {RAM + 0x4000, 0x1000};

    if (!start(gz, 0, RAM))
        return;
    /* x0 is the tree for the firmware, and then where the guest writes: into the tree. */
    PUT_GUEST(gz->ram, mmio);
    memcpy((char *)gz->ram + 0x4000, "\xd0\x0d\xfe\xed", 4);
    make_protected(gz);
    CHECK_INT(CALL(gz->vm, GZVM_SET_DTB_CONFIG, &dtb), 0);
    check_off(gz);
}

TEST(protected_vm_starts_with_firmware)
{
    struct gz gz;

    run_protected(&gz);
    close(gz.vcpu);
    close(gz.vm); /* the memory comes back */
    CHECK(memcmp((char *)gz.ram + 0x4008, "\x66\x6d\x70\x76", 4) == 0);
    munmap(gz.ram, RAM_SIZE);
    close(gz.device);
}

static void touch_lent(void)
{
    struct gz gz;

    run_protected(&gz);
    *(volatile char *)gz.ram = 1;
}

static void touch_shared(void)
{
    char *shared = map_ram(RAM_SIZE);
    struct gz gz;

    if (!start(&gz, HOLE, 0))
        return;
    PUT_GUEST(gz.ram, reset);
    add_ram(&gz, 1, GZVM_USER_MEM_REGION_STATIC_SWIOTLB, HOLE, shared, RAM_SIZE);
    make_protected(&gz);
    run(&gz);
    *(volatile char *)shared = 1;
    kill(getpid(), SIGUSR1);
}

TEST(lent_memory_is_gone)
{
    CHECK_INT(death_of(touch_lent), SIGSEGV);
    signal(SIGUSR1, SIG_DFL);
    CHECK_INT(death_of(touch_shared), SIGUSR1);
}

static void change_block(void)
{
    struct gz gz;

    start(&gz, HOLE, 0);
    PUT_GUEST(gz.ram, mmio);
    run(&gz);
    run(&gz);
    gz.run.mmio.reg_nr++;
    run(&gz);
}

static void use_after_close(void)
{
    struct gz gz;

    set_kernel("6.6");
    start(&gz, HOLE, 0);
    PUT_GUEST(gz.ram, mmio);
    close(gz.vm);
    run(&gz);
}

TEST(what_must_not_be_done)
{
    struct gz gz;

    CHECK_INT(death_of(change_block), SIGABRT);
    CHECK_INT(death_of(use_after_close), SIGABRT);
    /* In 6.12 the vCPU keeps its VM. */
    REQUIRE(start(&gz, HOLE, 0));
    PUT_GUEST(gz.ram, mmio);
    close(gz.vm);
    check_write(&gz, HOLE, 4, 0);
    close(gz.vcpu);
    close(gz.device);
}

UNIT_MAIN()
