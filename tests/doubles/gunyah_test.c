/* SPDX-License-Identifier: BSD-3-Clause */
/* The double of Gunyah's driver, by what the driver does. */
#include "double_test.h"

#include <libfdt.h>

#include "linux_gunyah.h"

#define TREE (RAM + 0x8000)

struct gunyah {
    int device, vm, vcpu;
    char *ram;
    struct gunyah_vcpu_run *run;
};

static void set_kernel(const char *version)
{
    setenv("VISOR_DOUBLE_KERNEL", version, 1);
}

/* What the tree of a test lacks or has wrong. */
static const char *left_out = "";

static void property(void *tree, const char *name, const void *value, int size)
{
    if (strcmp(left_out, name) != 0)
        CHECK_INT(fdt_property(tree, name, value, size), 0);
}

static void text(void *tree, const char *name, const char *value)
{
    property(tree, name, value, (int)strlen(value) + 1);
}

static void cells(void *tree, const char *name, unsigned number, const uint32_t *values)
{
    fdt32_t big[8];

    for (unsigned i = 0; i < number; i++)
        big[i] = cpu_to_fdt32(values[i]);
    property(tree, name, big, (int)(number * 4));
}
#define CELLS(tree, name, ...)                                         \
    cells((tree), (name), sizeof((const uint32_t[]){__VA_ARGS__}) / 4, \
          (const uint32_t[]){__VA_ARGS__})

/* Doorbells 1 (SPI 3, edge) and 2 (SPI 4, level). */
static void put_bell(void *tree, unsigned label, unsigned spi, unsigned kind)
{
    char name[16], path[32];

    snprintf(name, sizeof(name), "bell-%x", label);
    snprintf(path, sizeof(path), "/hypervisor/bell-%x", label);
    fdt_begin_node(tree, name);
    text(tree, "vdevice-type", "doorbell");
    text(tree, "generate", path);
    CELLS(tree, "label", label);
    property(tree, "peer-default", NULL, 0);
    property(tree, "source-can-clear", NULL, 0);
    CELLS(tree, "interrupts", 0, spi, kind);
    fdt_end_node(tree);
}

static void put_config(void *tree)
{
    fdt_begin_node(tree, "gunyah-vm-config");
    text(tree, "image-name", "test");
    text(tree, "os-type", "linux");
    fdt_begin_node(tree, "memory");
    CELLS(tree, "#address-cells", 2);
    CELLS(tree, "#size-cells", 2);
    CELLS(tree, "base-address", 0, (uint32_t)RAM);
    CELLS(tree, "size-max", 0, (uint32_t)RAM_SIZE);
    fdt_end_node(tree);
    fdt_begin_node(tree, "interrupts");
    CELLS(tree, "config", 7);
    fdt_end_node(tree);
    fdt_begin_node(tree, "vcpus");
    text(tree, "affinity", "proxy");
    fdt_end_node(tree);
    fdt_begin_node(tree, "vdevices");
    text(tree, "generate", "/hypervisor");
    put_bell(tree, 1, 3, 1);
    put_bell(tree, 2, 4, 4);
    fdt_end_node(tree);
    fdt_end_node(tree);
}

static void put_tree(void *tree)
{
    memset(tree, 0, 0x1000);
    CHECK_INT(fdt_create(tree, 0x1000), 0);
    fdt_finish_reservemap(tree);
    fdt_begin_node(tree, "");
    put_config(tree);
    fdt_begin_node(tree, "cpus");
    fdt_begin_node(tree, "cpu@0");
    fdt_end_node(tree);
    fdt_begin_node(tree, "cpu@1");
    fdt_end_node(tree);
    fdt_end_node(tree);
    fdt_begin_node(tree, "intc");
    text(tree, "compatible", "arm,gic-v3");
    CELLS(tree, "reg", 0, (uint32_t)DIST, 0, 0x10000, 0, (uint32_t)REDIST, 0, 0x40000);
    CELLS(tree, "phandle", 7);
    fdt_end_node(tree);
    fdt_end_node(tree);
    CHECK_INT(fdt_finish(tree), 0);
}

static bool open_vm(struct gunyah *g)
{
    *g = (struct gunyah){.device = open("/dev/gunyah", O_RDWR | O_CLOEXEC), .vcpu = -1};
    g->vm = ioctl(g->device, GUNYAH_CREATE_VM, 0L);
    return CHECK(g->device >= 0) && CHECK(g->vm >= 0);
}

static long add_memory(const struct gunyah *g, unsigned long request, uint32_t label,
                       uint32_t flags, uint64_t gpa, void *ram, uint64_t size)
{
    struct gunyah_userspace_memory_region region = {
        .label = label,
        .flags = flags,
        .guest_phys_addr = gpa,
        .memory_size = size,
        .userspace_addr = (uintptr_t)ram,
    };

    return CALL(g->vm, request, &region);
}

static long add_function(const struct gunyah *g, uint32_t type, void *arg, uint32_t size)
{
    struct gunyah_fn_desc desc = {.type = type, .arg_size = size, .arg = (uintptr_t)arg};

    return CALL(g->vm, GUNYAH_VM_ADD_FUNCTION, &desc);
}

static long remove_function(const struct gunyah *g, uint32_t type, void *arg, uint32_t size)
{
    struct gunyah_fn_desc desc = {.type = type, .arg_size = size, .arg = (uintptr_t)arg};

    return CALL(g->vm, GUNYAH_VM_REMOVE_FUNCTION, &desc);
}

static int add_vcpu(const struct gunyah *g, uint32_t id, struct gunyah_vcpu_run **run)
{
    struct gunyah_fn_vcpu_arg arg = {id};
    int fd = (int)add_function(g, GUNYAH_FN_VCPU, &arg, sizeof(arg));

    CHECK(fd >= 0);
    CHECK_INT(CALL(fd, GUNYAH_VCPU_MMAP_SIZE, 0L), 4096);
    *run = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(*run != MAP_FAILED);
    return fd;
}

static long set_dtb(const struct gunyah *g, uint64_t gpa, uint64_t size)
{
    struct gunyah_vm_dtb_config dtb = {gpa, size};

    return CALL(g->vm, GUNYAH_VM_SET_DTB_CONFIG, &dtb);
}

static long boot(const struct gunyah *g, uint32_t reg, uint64_t value)
{
    struct gunyah_vm_boot_context context = {.reg = reg, .value = value};

    return CALL(g->vm, GUNYAH_VM_SET_BOOT_CONTEXT, &context);
}

static bool prepare(struct gunyah *g, unsigned long request)
{
    if (!open_vm(g))
        return false;
    g->ram = map_ram(RAM_SIZE);
    CHECK_INT(add_memory(g, request, 0, GUNYAH_MEM_ALLOW_RWX, RAM, g->ram, RAM_SIZE), 0);
    put_tree(g->ram + (TREE - RAM));
    g->vcpu = add_vcpu(g, 0, &g->run);
    CHECK_INT(set_dtb(g, TREE, 0x1000), 0);
    return true;
}

static long start(const struct gunyah *g)
{
    return CALL(g->vm, GUNYAH_VM_START, 0L);
}

static void stop(struct gunyah *g)
{
    if (g->vcpu >= 0) {
        munmap(g->run, 4096);
        close(g->vcpu);
    }
    close(g->vm);
    close(g->device);
    if (g->ram != NULL)
        munmap(g->ram, RAM_SIZE);
}

static long run(const struct gunyah *g)
{
    g->run->exit_reason = 0;
    return CALL(g->vcpu, GUNYAH_VCPU_RUN, 0L);
}

static void check_write(const struct gunyah *g, uint64_t addr, uint32_t size, uint64_t value)
{
    CHECK_INT(run(g), 0);
    CHECK_INT(g->run->exit_reason, GUNYAH_VCPU_EXIT_MMIO);
    CHECK_INT(g->run->mmio.phys_addr, addr);
    CHECK_INT(g->run->mmio.len, size);
    CHECK_INT(g->run->mmio.is_write, 1);
    CHECK(memcmp(g->run->mmio.data, &value, size) == 0);
}

static void check_off(const struct gunyah *g)
{
    CHECK_INT(run(g), 0);
    CHECK_INT(g->run->exit_reason, GUNYAH_VCPU_EXIT_STATUS);
    CHECK_INT(g->run->status.status, GUNYAH_VM_STATUS_EXITED);
    CHECK_INT(g->run->status.exit_info.type, GH_RM_EXIT_TYPE_PSCI_POWER_OFF);
}

TEST(descriptors)
{
    struct gunyah g;

    REQUIRE(open_vm(&g));
    CHECK_ERRNO(CALL(g.device, GUNYAH_CREATE_VM, 1L), EINVAL);
    CHECK_ERRNO(CALL(g.device, GH_CREATE_VM_LEGACY, 0L), ENOTTY);
    CHECK_ERRNO(CALL(g.vm, GUNYAH_VM_MAP_MEM, 0L), ENOTTY);
    CHECK_ERRNO(CALL(g.vm, GH_VM_CHECK_EXTENSION, 0L), ENOTTY);
    g.vcpu = add_vcpu(&g, 0, &g.run);
    CHECK_INT(fcntl(g.vcpu, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(CALL(g.vcpu, GUNYAH_VM_START, 0L), ENOTTY);
    set_kernel("6.1");
    CHECK_ERRNO(CALL(g.vcpu, GUNYAH_VM_START, 0L), EINVAL);
    CHECK_ERRNO(boot(&g, REG_SET_PC << 8, 0), ENOTTY);
    set_kernel("6.12");
    CHECK_ERRNO(CALL(g.vcpu, GUNYAH_VCPU_RUN, 0L), ENODEV); /* no lazy start */
    stop(&g);
}

TEST(memory_rules)
{
    unsigned long share = GH_VM_SET_USER_MEM_REGION;
    struct gunyah g;

    REQUIRE(open_vm(&g));
    g.ram = map_ram(RAM_SIZE);
    CHECK_ERRNO(add_memory(&g, share, 0, 8, RAM, g.ram, RAM_SIZE), EINVAL);
    CHECK_ERRNO(add_memory(&g, share, 0, 7, RAM, g.ram, 0), EINVAL);
    CHECK_ERRNO(add_memory(&g, share, 0, 7, RAM + 1, g.ram, RAM_SIZE), EINVAL);
    CHECK_ERRNO(add_memory(&g, share, 0, 7, RAM, g.ram + 1, RAM_SIZE), EINVAL);
    CHECK_ERRNO(add_memory(&g, share, 0, 7, 0ULL - RAM_SIZE, g.ram, RAM_SIZE), EOVERFLOW);
    CHECK_INT(add_memory(&g, share, 0, 7, RAM, g.ram, RAM_SIZE / 2), 0);
    CHECK_ERRNO(add_memory(&g, share, 1, 7, RAM + 0x1000, g.ram, 0x1000), EEXIST);
    /* The label counts in 6.1 only. */
    set_kernel("6.1");
    CHECK_ERRNO(add_memory(&g, share, 0, 7, HOLE, g.ram, RAM_SIZE), EEXIST);
    set_kernel("6.12");
    CHECK_INT(add_memory(&g, share, 0, 7, HOLE, g.ram, RAM_SIZE), 0);
    stop(&g);
}

TEST(boot_context_rules)
{
    struct gunyah g;

    REQUIRE(prepare(&g, GH_VM_SET_USER_MEM_REGION));
    CHECK_ERRNO(boot(&g, 0x10000, 0), EINVAL);
    CHECK_ERRNO(boot(&g, 3 << 8, 0), EINVAL);
    CHECK_ERRNO(boot(&g, REG_SET_X << 8 | 32, 0), EINVAL);
    CHECK_ERRNO(boot(&g, REG_SET_PC << 8 | 1, 0), EINVAL);
    CHECK_ERRNO(boot(&g, REG_SET_SP << 8 | 3, 0), EINVAL);
    CHECK_INT(boot(&g, REG_SET_PC << 8, RAM), 0);
    CHECK_INT(start(&g), 0);
    CHECK_INT(start(&g), 0); /* again */
    CHECK_ERRNO(boot(&g, REG_SET_PC << 8, RAM), EINVAL);
    stop(&g);
}

TEST(function_rules)
{
    uint8_t much[512] = {0};
    struct gunyah_fn_vcpu_arg vcpu = {0};
    int event = new_event();
    struct gunyah_fn_irqfd_arg irqfd = {.fd = (uint32_t)event, .label = 1};
    struct gunyah_fn_ioeventfd_arg io = {.addr = HOLE, .len = 4, .fd = event};
    struct gunyah g;
    int fd;

    set_kernel("6.6");
    REQUIRE(open_vm(&g));
    CHECK_ERRNO(add_function(&g, GUNYAH_FN_VCPU, much, 257), EINVAL);
    CHECK_ERRNO(add_function(&g, GUNYAH_FN_VCPU, NULL, 4), EFAULT);
    CHECK_ERRNO(add_function(&g, 4, much, 4), ENOENT);
    CHECK_ERRNO(add_function(&g, GUNYAH_FN_VCPU, much, 8), EINVAL);
    CHECK_ERRNO(add_function(&g, GUNYAH_FN_IRQFD, much, 32), EINVAL);
    CHECK_ERRNO(add_function(&g, GUNYAH_FN_IOEVENTFD, much, 16), EINVAL);
    fd = (int)add_function(&g, GUNYAH_FN_VCPU, &vcpu, sizeof(vcpu));
    CHECK(fd >= 0);
    CHECK_ERRNO(add_function(&g, GUNYAH_FN_VCPU, &vcpu, sizeof(vcpu)), EEXIST);
    CHECK_INT(remove_function(&g, GUNYAH_FN_VCPU, &vcpu, sizeof(vcpu)), 0);
    CHECK_ERRNO(CALL(fd, GUNYAH_VCPU_RUN, 0L), ENODEV);
    close(fd);

    irqfd.flags = 2;
    CHECK_ERRNO(add_function(&g, GUNYAH_FN_IRQFD, &irqfd, sizeof(irqfd)), EINVAL);
    irqfd.flags = 0;
    CHECK_INT(add_function(&g, GUNYAH_FN_IRQFD, &irqfd, sizeof(irqfd)), 0);
    CHECK_ERRNO(add_function(&g, GUNYAH_FN_IRQFD, &irqfd, sizeof(irqfd)), EEXIST);
    irqfd.fd = 1000;
    irqfd.label = 2;
    CHECK_ERRNO(add_function(&g, GUNYAH_FN_IRQFD, &irqfd, sizeof(irqfd)), EBADF);
    CHECK_ERRNO(remove_function(&g, GUNYAH_FN_IRQFD, &irqfd, sizeof(irqfd)), ENOENT);
    irqfd.label = 1; /* only this is compared */
    CHECK_INT(remove_function(&g, GUNYAH_FN_IRQFD, &irqfd, sizeof(irqfd)), 0);

    io.flags = 2;
    CHECK_ERRNO(add_function(&g, GUNYAH_FN_IOEVENTFD, &io, sizeof(io)), EINVAL);
    io.flags = GUNYAH_IOEVENTFD_FLAGS_DATAMATCH;
    CHECK_INT(add_function(&g, GUNYAH_FN_IOEVENTFD, &io, sizeof(io)), 0);
    io.datamatch = 1;
    CHECK_INT(add_function(&g, GUNYAH_FN_IOEVENTFD, &io, sizeof(io)), 0);
    io.flags = 0;
    CHECK_ERRNO(add_function(&g, GUNYAH_FN_IOEVENTFD, &io, sizeof(io)), EEXIST);
    CHECK_ERRNO(remove_function(&g, GUNYAH_FN_IOEVENTFD, &io, sizeof(io)), ENOENT);
    io.flags = GUNYAH_IOEVENTFD_FLAGS_DATAMATCH;
    CHECK_INT(remove_function(&g, GUNYAH_FN_IOEVENTFD, &io, sizeof(io)), 0);
    set_kernel("6.12");
    close(event);
    stop(&g);
}

TEST(start_rules)
{
    static const char *const parts[] = {"image-name", "base-address", "config", "affinity",
                                        "generate",   "label",        "reg"};
    struct gunyah g;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        left_out = parts[i];
        REQUIRE(prepare(&g, GH_VM_SET_USER_MEM_REGION));
        CHECK_ERRNO(start(&g), EINVAL);
        CHECK_ERRNO(start(&g), ENODEV); /* it is spoilt */
        stop(&g);
    }
    left_out = "";
    REQUIRE(prepare(&g, GH_VM_SET_USER_MEM_REGION));
    CHECK_INT(set_dtb(&g, HOLE, 0x1000), 0);
    CHECK_ERRNO(start(&g), ENODEV); /* the newest driver forgets why; this can be repeated */
    CHECK_INT(set_dtb(&g, TREE, 0x1000), 0);
    CHECK_INT(start(&g), 0);
    stop(&g);
    REQUIRE(prepare(&g, GH_VM_SET_USER_MEM_REGION));
    CHECK_INT(set_dtb(&g, TREE, 0xfff), 0); /* no whole page */
    CHECK_ERRNO(start(&g), EINVAL);
    stop(&g);
    set_kernel("6.6");
    REQUIRE(prepare(&g, GH_VM_SET_USER_MEM_REGION));
    CHECK_INT(set_dtb(&g, HOLE, 0x1000), 0);
    CHECK_ERRNO(start(&g), ENOENT);
    stop(&g);
    set_kernel("6.1");
    REQUIRE(prepare(&g, GH_VM_SET_USER_MEM_REGION));
    CHECK_INT(set_dtb(&g, HOLE, 0x1000), 0);
    CHECK_ERRNO(start(&g), EINVAL);
    stop(&g);
    set_kernel("6.12");
}

TEST(guest_runs)
{
    struct gunyah g;

    REQUIRE(prepare(&g, GH_VM_SET_USER_MEM_REGION));
    PUT_GUEST(g.ram + 0x1000, mmio);
    CHECK_INT(boot(&g, REG_SET_PC << 8, RAM + 0x1000), 0);
    CHECK_INT(boot(&g, REG_SET_X << 8, HOLE), 0);
    CHECK_INT(boot(&g, REG_SET_X << 8 | 1, 0xabcd), 0);
    CHECK_INT(start(&g), 0);
    g.run->immediate_exit = 1;
    CHECK_ERRNO(run(&g), EINTR);
    CHECK_INT(g.run->immediate_exit, 1);
    g.run->immediate_exit = 0;
    check_write(&g, HOLE, 4, 0xabcd);
    CHECK_INT(run(&g), 0);
    CHECK_INT(g.run->exit_reason, GUNYAH_VCPU_EXIT_MMIO);
    CHECK_INT(g.run->mmio.is_write, 0);
    memcpy(g.run->mmio.data, "\x78\x56\x34\x12", 4);
    g.run->mmio.resume_action = GUNYAH_VCPU_RESUME_RETRY;
    CHECK_ERRNO(run(&g), EINVAL); /* and waits */
    g.run->mmio.resume_action = GUNYAH_VCPU_RESUME_HANDLED;
    setenv("VISOR_DOUBLE_EINTR", "1", 1);
    CHECK_ERRNO(run(&g), EINTR); /* with an exit */
    unsetenv("VISOR_DOUBLE_EINTR");
    CHECK_INT(g.run->exit_reason, GUNYAH_VCPU_EXIT_MMIO);
    CHECK(memcmp(g.run->mmio.data, "\x78\x56\x34\x12", 4) == 0);
    CHECK_INT(run(&g), 0);
    check_off(&g);
    CHECK_INT(run(&g), 0); /* the page stays as it is */
    CHECK_INT(g.run->exit_reason, 0);
    stop(&g);
}

/* 6.1 starts at the beginning of memory, with the tree at x0. */
TEST(guest_starts_at_its_memory)
{
    struct gunyah g;

    set_kernel("6.1");
    REQUIRE(prepare(&g, GH_VM_SET_USER_MEM_REGION));
    PUT_GUEST(g.ram, mmio);
    CHECK_INT(start(&g), 0);
    check_off(&g);
    CHECK_INT(*(uint32_t *)(void *)(g.ram + 0x8000), 0);
    stop(&g);
    set_kernel("6.12");
}

/* An abort in a guest without vectors: it loops at 0x200, and a signal gets it out. */
TEST(access_faults)
{
    struct test_signal order;
    struct gunyah g;

    set_handler(SIGUSR2, 0);
    REQUIRE(prepare(&g, GH_VM_SET_USER_MEM_REGION));
    PUT_GUEST(g.ram, mmio);
    CHECK_INT(boot(&g, REG_SET_X << 8, HOLE), 0);
    CHECK_INT(start(&g), 0);
    check_write(&g, HOLE, 4, 0);
    g.run->mmio.resume_action = GUNYAH_VCPU_RESUME_FAULT;
    signal_later(&order, SIGUSR2, 300);
    CHECK_ERRNO(run(&g), EINTR);
    CHECK_INT(g.run->exit_reason, 0);
    pthread_join(order.thread, NULL);
    stop(&g);
}

TEST(memory_that_is_only_read)
{
    void *rom = map_ram(0x1000);
    struct gunyah g;

    REQUIRE(prepare(&g, GH_VM_SET_USER_MEM_REGION));
    CHECK_INT(
        add_memory(&g, GH_VM_SET_USER_MEM_REGION, 1, GUNYAH_MEM_ALLOW_READ, HOLE, rom, 0x1000), 0);
    PUT_GUEST(g.ram, readonly);
    CHECK_INT(boot(&g, REG_SET_X << 8, HOLE), 0);
    CHECK_INT(start(&g), 0);
    for (int i = 0; i < 2; i++) { /* it is tried again */
        CHECK_INT(run(&g), 0);
        CHECK_INT(g.run->exit_reason, GUNYAH_VCPU_EXIT_PAGE_FAULT);
        CHECK_INT(g.run->page_fault.phys_addr, HOLE);
        CHECK_INT(g.run->page_fault.attempt, -EPERM);
    }
    stop(&g);
    munmap(rom, 0x1000);
}

static void start_interrupts(struct gunyah *g, bool timer)
{
    PUT_GUEST(g->ram, interrupts);
    CHECK_INT(boot(g, REG_SET_X << 8, DIST), 0);
    CHECK_INT(boot(g, REG_SET_X << 8 | 1, REDIST), 0);
    CHECK_INT(boot(g, REG_SET_X << 8 | 3, HOLE), 0);
    CHECK_INT(boot(g, REG_SET_X << 8 | 4, timer), 0);
    CHECK_INT(start(g), 0);
}

TEST(doorbells)
{
    int edge = new_event(), level = new_event(), stray = new_event();
    struct gunyah_fn_irqfd_arg irqfd = {.fd = (uint32_t)edge, .label = 1};
    struct gunyah_fn_ioeventfd_arg io = {.addr = HOLE + 8, .len = 4, .fd = new_event()};
    struct gunyah g;

    REQUIRE(prepare(&g, GH_VM_SET_USER_MEM_REGION));
    CHECK_INT(add_function(&g, GUNYAH_FN_IRQFD, &irqfd, sizeof(irqfd)), 0);
    irqfd = (struct gunyah_fn_irqfd_arg){(uint32_t)level, 2, GUNYAH_IRQFD_FLAGS_LEVEL, 0};
    CHECK_INT(add_function(&g, GUNYAH_FN_IRQFD, &irqfd, sizeof(irqfd)), 0);
    irqfd = (struct gunyah_fn_irqfd_arg){(uint32_t)stray, 3, 0, 0}; /* not in the tree */
    CHECK_INT(add_function(&g, GUNYAH_FN_IRQFD, &irqfd, sizeof(irqfd)), 0);
    /* Without a match the length is not looked at: it takes the guest's write of 8 bytes. */
    CHECK_INT(add_function(&g, GUNYAH_FN_IOEVENTFD, &io, sizeof(io)), 0);
    signal_event(level); /* too early */
    usleep(200000);
    start_interrupts(&g, true);
    check_write(&g, HOLE, 8, 27);
    CHECK_INT(count_of(io.fd), 1);
    signal_event(stray);
    signal_event(level);
    check_write(&g, HOLE, 8, 32 + 4);
    signal_event(level);
    check_write(&g, HOLE, 8, 32 + 4);
    CHECK_INT(count_of(level), 3); /* nobody takes the count */
    close(edge);
    close(level);
    close(stray);
    close(io.fd);
    stop(&g);
}

static void *run_first(void *arg)
{
    const struct gunyah *g = arg;

    run(g);
    return NULL;
}

/* Both vCPUs hear of the end. */
TEST(second_vcpu)
{
    struct gunyah g, second;
    pthread_t thread;

    REQUIRE(prepare(&g, GH_VM_SET_USER_MEM_REGION));
    PUT_GUEST(g.ram, second);
    CHECK_INT(boot(&g, REG_SET_X << 8, HOLE), 0);
    second = g;
    second.vcpu = add_vcpu(&g, 1, &second.run);
    CHECK_INT(start(&g), 0);
    CHECK_INT(pthread_create(&thread, NULL, run_first, &g), 0);
    check_write(&second, HOLE, 4, 0x5678);
    check_off(&second);
    pthread_join(thread, NULL);
    CHECK_INT(g.run->exit_reason, GUNYAH_VCPU_EXIT_STATUS);
    CHECK_INT(g.run->status.status, GUNYAH_VM_STATUS_EXITED);
    munmap(second.run, 4096);
    close(second.vcpu);
    stop(&g);
}

static bool prepare_protected(struct gunyah *g)
{
    struct gunyah_vm_firmware_config firmware = {RAM + 0xc000, 0x1000};

    if (!prepare(g, GH_VM_ANDROID_LEND_USER_MEM))
        return false;
    PUT_GUEST(g->ram, mmio);
    CHECK_INT(CALL(g->vm, GH_VM_ANDROID_SET_FW_CONFIG, &firmware), 0);
    CHECK_INT(boot(g, REG_SET_PC << 8, HOLE), 0); /* not for protected VMs */
    CHECK_INT(start(g), 0);
    return true;
}

TEST(protected_vm)
{
    struct gunyah g;

    REQUIRE(prepare_protected(&g));
    check_off(&g);
    close(g.vcpu);
    close(g.vm); /* the memory comes back, with the firmware's mark */
    CHECK(memcmp(g.ram + 0x8008, "\x66\x6d\x70\x76", 4) == 0);
    munmap(g.run, 4096);
    munmap(g.ram, RAM_SIZE);
    close(g.device);
}

static void touch_lent(void)
{
    struct gunyah g;

    prepare_protected(&g);
    *(volatile char *)g.ram = 1;
}

static void reclaim_nothing(void)
{
    struct gunyah_address_range range = {RAM, 0};
    struct gunyah g;

    prepare_protected(&g);
    ioctl(g.vm, GH_VM_RECLAIM_REGION, &range);
}

TEST(what_must_not_be_done)
{
    struct gunyah_address_range range = {RAM, 1};
    struct gunyah g;

    CHECK_INT(death_of(touch_lent), SIGSEGV);
    CHECK_INT(death_of(reclaim_nothing), SIGABRT);
    REQUIRE(prepare(&g, GH_VM_SET_USER_MEM_REGION));
    CHECK_ERRNO(CALL(g.vm, GH_VM_RECLAIM_REGION, &range), EINVAL);
    range.size = 0x1000;
    CHECK_INT(CALL(g.vm, GH_VM_RECLAIM_REGION, &range), 0);
    stop(&g);
}

TEST(trusted_vm)
{
    struct gunyah_qtvm_auth_arg image = {.vm_id = 1, .guest_phys_addr = RAM, .size = RAM_SIZE};
    struct gunyah_auth_desc desc = {2, sizeof(image), (uintptr_t)&image};
    struct gunyah g;

    REQUIRE(prepare(&g, GH_VM_ANDROID_LEND_USER_MEM));
    PUT_GUEST(g.ram, mmio);
    CHECK_ERRNO(CALL(g.vm, GH_VM_ANDROID_SET_AUTH_TYPE, &desc), ENOENT);
    desc.type = GUNYAH_QCOM_TRUSTED_VM_TYPE;
    CHECK_ERRNO(CALL(g.vm, GH_VM_ANDROID_SET_AUTH_TYPE, &desc), EINVAL); /* and yet it has */
    CHECK_INT(start(&g), 0);
    check_off(&g);
    stop(&g);
}

UNIT_MAIN()
