/* SPDX-License-Identifier: BSD-3-Clause */
/* What the Gunyah backend says to its driver, the device tree, and what it makes of the answers. */
#include "driver.h"

#include <libfdt.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <visor.h>

#include "gunyah/gunyah_tree.h"
#include "linux_gunyah.h"

#define RAM      0x80000000u
#define RAM_SIZE 0x100000u
#define TREE     (RAM + 0x80000u)
#define PAGE     0x1000u

static struct {
    int step;
    int (*guest)(struct gunyah_vcpu_run *run); /* 0 or -errno */
    struct gunyah_vcpu_run *run;
    bool is_old;      /* android14-6.1: no boot context, nothing taken back */
    bool is_mainline; /* the proposal */
    bool has_timer_wakeup;
    int start; /* what VM_START gives */
    /* Arguments of functions are behind a pointer. */
    uint8_t functions[64][64];
    size_t function_count;
} kernel;

static int add_function(const struct gunyah_fn_desc *function)
{
    if (kernel.function_count < 64)
        memcpy(kernel.functions[kernel.function_count++], (const void *)(uintptr_t)function->arg,
               function->arg_size < 64 ? function->arg_size : 64);
    if (function->type != GUNYAH_FN_VCPU)
        return 0;
    int fd = driver_file(PAGE);

    kernel.run = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return fd;
}

static int answer(unsigned long request, void *argument)
{
    switch (request) {
    case GUNYAH_CREATE_VM: return argument != NULL ? -EINVAL : driver_file(1);
    case GUNYAH_CREATE_GUEST_MEM_LKML17: return kernel.is_mainline ? -EFAULT : -ENOTTY;
    case GUNYAH_VM_ADD_FUNCTION:
    case GUNYAH_VM_REMOVE_FUNCTION: return add_function(argument);
    case GUNYAH_VCPU_MMAP_SIZE: return PAGE;
    case GUNYAH_VM_SET_BOOT_CONTEXT:
    case GH_VM_RECLAIM_REGION: return kernel.is_old ? -ENOTTY : 0;
    case GH_VM_CHECK_EXTENSION: return kernel.has_timer_wakeup ? 1 : -ENOTTY;
    case GH_VM_ANDROID_SET_AUTH_TYPE:
        memcpy(kernel.functions[kernel.function_count++],
               (const void *)(uintptr_t)((const struct gunyah_auth_desc *)argument)->arg,
               sizeof(struct gunyah_qtvm_auth_arg));
        return -EINVAL; /* and yet it has taken effect */
    case GUNYAH_VM_START: return kernel.start;
    case GUNYAH_VCPU_RUN:
        return kernel.run->immediate_exit != 0 ? -EINTR : kernel.guest(kernel.run);
    default: return 0;
    }
}

static struct {
    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vm *vm;
    visor_vcpu *vcpu;
    visor_exit *exit;
} box;

static const visor_memory_region regions[] = {
    {.gpa = 0x7fc00000, .length = 0x10000, .purpose = VISOR_MEMORY_PROTECTED_FIRMWARE},
    {.gpa = RAM, .length = RAM_SIZE},
    {.gpa = RAM + RAM_SIZE, .length = 0x10000, .purpose = VISOR_MEMORY_SWIOTLB},
};

static bool open_vm(const char *spec, visor_protection protection)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;

    memset(&driver, 0, sizeof(driver));
    memset(&box, 0, sizeof(box));
    kernel.function_count = 0;
    driver.answer = answer;
    config.irqchip = VISOR_IRQCHIP_KERNEL;
    config.protection = protection;
    return CHECK_OK(visor_hypervisor_open(&box.hv, spec)) &&
           CHECK_OK(visor_memory_create(&box.memory, regions, 3, NULL)) &&
           CHECK_OK(visor_vm_create(&box.vm, box.hv, box.memory, &config));
}

static bool start(int (*guest)(struct gunyah_vcpu_run *run), visor_protection protection)
{
    memset(&kernel, 0, sizeof(kernel));
    kernel.guest = guest;
    if (!open_vm("gunyah[device=/dev/null]", protection) ||
        !CHECK_OK(visor_vcpu_create(&box.vcpu, box.vm, 0)))
        return false;
    box.exit = visor_vcpu_exit(box.vcpu);
    return true;
}

static void stop(void)
{
    visor_vcpu_free(box.vcpu);
    visor_vm_free(box.vm);
    visor_memory_free(box.memory);
    visor_hypervisor_free(box.hv);
    if (kernel.run != NULL)
        munmap(kernel.run, PAGE);
    kernel.run = NULL;
}

static int boot_at(uint64_t entry)
{
    const visor_aarch64_boot boot = {
        .size = sizeof(boot), .entry_gpa = entry, .tree_gpa = TREE, .tree_length = PAGE};

    return visor_aarch64_set_boot(box.vm, &boot);
}

/* ---- opening ---- */

static int no_such_request(unsigned long request, void *argument)
{
    (void)request;
    (void)argument;
    return -ENOTTY;
}

TEST(open_tells_the_reasons_apart)
{
    visor_hypervisor *hv;

    memset(&kernel, 0, sizeof(kernel));
    CHECK_INT(visor_hypervisor_open(&hv, "gunyah[device=/nonexistent]"), VISOR_EABSENT);
    driver.answer = no_such_request;
    CHECK_INT(visor_hypervisor_open(&hv, "gunyah[device=/dev/null]"), VISOR_EBROKEN);
    driver.answer = answer;
    kernel.is_mainline = true;
    CHECK_INT(visor_hypervisor_open(&hv, "gunyah[device=/dev/null]"), VISOR_EUNSUPPORTED);
    kernel.is_mainline = false;
    CHECK_INT(visor_hypervisor_open(&hv, "gunyah[device=/dev/null,qcom_trusted_vm_id=0]"),
              VISOR_EINVAL);
    CHECK_INT(visor_hypervisor_open(&hv, "gunyah[device=/dev/null,qcom_trusted_vm_id=65536,"
                                         "qcom_trusted_vm_pas_id=0]"),
              VISOR_EINVAL);
}

/* ---- the calls from creation to start ---- */

static int power_off(struct gunyah_vcpu_run *run)
{
    /* Told once. */
    if (kernel.step++ == 0) {
        run->exit_reason = GUNYAH_VCPU_EXIT_STATUS;
        run->status.status = GUNYAH_VM_STATUS_EXITED;
        run->status.exit_info.type = GH_RM_EXIT_TYPE_PSCI_POWER_OFF;
    }
    return 0;
}

TEST(creation)
{
    static const unsigned long order[] = {
        GUNYAH_CREATE_VM,               /* which it refuses: it is Gunyah */
        GUNYAH_CREATE_GUEST_MEM_LKML17, /* and Android's */
        GUNYAH_CREATE_VM,
        GH_VM_SET_USER_MEM_REGION,
        GH_VM_SET_USER_MEM_REGION,
        GH_VM_SET_USER_MEM_REGION,
        GUNYAH_VM_ADD_FUNCTION, /* vCPU */
        GUNYAH_VCPU_MMAP_SIZE,
        GUNYAH_VM_ADD_FUNCTION, /* doorbell */
        GH_VM_CHECK_EXTENSION,
        GUNYAH_VM_SET_DTB_CONFIG,
        GUNYAH_VM_SET_BOOT_CONTEXT,
        GUNYAH_VM_START,
        GUNYAH_VCPU_RUN,
        0,
    };
    int event = eventfd(0, EFD_CLOEXEC);
    visor_memory_info info;

    if (start(power_off, VISOR_UNPROTECTED)) {
        CHECK_OK(visor_vm_add_irq_event(box.vm, 4, event, VISOR_EVENT_NONE));
        CHECK_OK(boot_at(RAM + 0x1000));
        CHECK_INT(boot_at(RAM), VISOR_ESTATE);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_SYSTEM_EVENT);
        CHECK(driver_order(0, order));
        for (unsigned i = 0; i < 3; i++) {
            visor_memory_region_info(&info, box.memory, i);
            DRIVER_GAVE(GH_VM_SET_USER_MEM_REGION, i,
                        (struct gunyah_userspace_memory_region){i, 7, info.gpa, info.length,
                                                                (uintptr_t)info.host});
        }
        CHECK_INT(((const struct gunyah_fn_desc *)driver.calls[6].bytes)->type, 1);
        CHECK_INT(((const struct gunyah_fn_desc *)driver.calls[6].bytes)->arg_size, 4);
        CHECK_INT(((const struct gunyah_fn_desc *)driver.calls[8].bytes)->type, 2);
        CHECK_INT(((const struct gunyah_fn_desc *)driver.calls[8].bytes)->arg_size, 16);
        CHECK_INT(((const struct gunyah_fn_irqfd_arg *)kernel.functions[1])->label, 4);
        CHECK_INT(((const struct gunyah_fn_irqfd_arg *)kernel.functions[1])->flags, 0);
        DRIVER_GAVE(GUNYAH_VM_SET_DTB_CONFIG, 0, (struct gunyah_vm_dtb_config){TREE, PAGE});
        DRIVER_GAVE(GUNYAH_VM_SET_BOOT_CONTEXT, 0,
                    (struct gunyah_vm_boot_context){0x100, 0, RAM + 0x1000});
        /* The end is told as often as somebody asks. */
        CHECK_INT(box.exit->system.type, VISOR_SYSTEM_SHUTDOWN);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_SYSTEM_EVENT);
        CHECK_INT(box.exit->system.type, VISOR_SYSTEM_SHUTDOWN);
        CHECK_INT(visor_vm_add_irq_event(box.vm, 5, event, VISOR_EVENT_NONE), VISOR_EEXIST);
        CHECK_OK(visor_vm_remove_irq_event(box.vm, 4, event));
        CHECK_INT(visor_vm_add_irq_event(box.vm, 5, event, VISOR_EVENT_NONE), VISOR_ESTATE);
    }
    stop();
    close(event);
}

TEST(protected)
{
    uint64_t size;

    if (start(power_off, VISOR_PROTECTED)) {
        /* All is lent but the bounce buffer. */
        CHECK_INT(driver_calls(GH_VM_ANDROID_LEND_USER_MEM), 2);
        CHECK_INT(driver_calls(GH_VM_SET_USER_MEM_REGION), 1);
        CHECK_INT(((const struct gunyah_userspace_memory_region *)driver_call(
                       GH_VM_SET_USER_MEM_REGION, 0)
                       ->bytes)
                      ->label,
                  2);
        CHECK_OK(boot_at(RAM + 0x1000));
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_ESTATE); /* no firmware */
        CHECK_INT(visor_vm_load_firmware(&size, box.vm, 0x7fc00000, 0xfff), VISOR_ELIMIT);
        CHECK_OK(visor_vm_load_firmware(&size, box.vm, 0x7fc00000, 0x10fff));
        DRIVER_GAVE(GH_VM_ANDROID_SET_FW_CONFIG, 0,
                    (struct gunyah_vm_firmware_config){0x7fc00000, 0x10000});
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_SYSTEM_EVENT);
        CHECK_INT(driver_calls(GUNYAH_VM_SET_BOOT_CONTEXT), 0); /* the firmware's business */
    }
    stop();
    if (start(power_off, VISOR_PROTECTED_NO_FIRMWARE)) {
        CHECK_INT(boot_at(RAM + 0x1000), VISOR_EINVAL);
        CHECK_OK(boot_at(RAM));
        CHECK_INT(visor_vm_load_firmware(&size, box.vm, 0x7fc00000, 0x10000), VISOR_ESTATE);
    }
    stop();
}

TEST(trusted)
{
    memset(&kernel, 0, sizeof(kernel));
    if (open_vm("gunyah[device=/dev/null,qcom_trusted_vm_id=0,qcom_trusted_vm_pas_id=70000]",
                VISOR_UNPROTECTED)) {
        const struct gunyah_auth_desc *auth;
        const struct gunyah_qtvm_auth_arg *ids;

        CHECK_INT(boot_at(RAM + 4), VISOR_EINVAL);
        CHECK_OK(boot_at(RAM));
        CHECK_OK(visor_vcpu_create(&box.vcpu, box.vm, 0));
        kernel.guest = power_off;
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_SYSTEM_EVENT);
        CHECK(driver_call(GH_VM_ANDROID_SET_AUTH_TYPE, 0) != NULL);
        auth = (const void *)driver_call(GH_VM_ANDROID_SET_AUTH_TYPE, 0)->bytes;
        CHECK_INT(auth->type, 1);
        CHECK_INT(auth->arg_size, 24);
        ids = (const void *)kernel.functions[1];
        CHECK_INT(ids->vm_id, 0);
        CHECK_INT(ids->peripheral_id, 70000);
        CHECK_INT(ids->guest_phys_addr, RAM);
        CHECK_INT(ids->size, RAM_SIZE);
    }
    stop();
}

TEST(pool_of_a_trusted_vm)
{
    FILE *file = tmpfile();
    visor_memory_region region = {.gpa = RAM, .length = RAM_SIZE, .from_file = true};
    const char *spec = "gunyah[device=/dev/null,qcom_trusted_vm_id=1,qcom_trusted_vm_pas_id=2]";
    struct gunyah_map_cma_mem_args args;

    REQUIRE(file != NULL && ftruncate(fileno(file), RAM_SIZE) == 0);
    region.file = fileno(file);
    memset(&kernel, 0, sizeof(kernel));
    memset(&driver, 0, sizeof(driver));
    memset(&box, 0, sizeof(box));
    driver.answer = answer;
    if (CHECK_OK(visor_hypervisor_open(&box.hv, spec)) &&
        CHECK_OK(visor_memory_create(&box.memory, &region, 1, NULL)) &&
        CHECK_OK(visor_vm_create(&box.vm, box.hv, box.memory, NULL)) &&
        CHECK_INT(driver_calls(GH_VM_ANDROID_MAP_CMA_MEM), 1)) {
        memcpy(&args, driver_call(GH_VM_ANDROID_MAP_CMA_MEM, 0)->bytes, sizeof(args));
        CHECK_INT(args.flags, GUNYAH_MEM_FORCE_SHARE | GUNYAH_MEM_ALLOW_RWX);
        CHECK_INT(args.guest_addr, RAM);
        CHECK_INT(args.size, RAM_SIZE);
    }
    stop();
    fclose(file);
}

TEST(registers_at_the_start)
{
    visor_aarch64_regs regs = {.x = {[0] = TREE, [30] = 9}, .pc = RAM + 8, .pstate = 0x3c5};
    uint64_t value;

    if (start(power_off, VISOR_UNPROTECTED)) {
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_ESTATE); /* where does it start? */
        CHECK_OK(visor_aarch64_set_regs(box.vcpu, &regs));
        CHECK_INT(visor_aarch64_get_regs(&regs, box.vcpu), VISOR_EUNSUPPORTED);
        CHECK_INT(visor_aarch64_set_reg(box.vcpu, VISOR_AARCH64_SYSREG(3, 0, 1, 0, 0), 1),
                  VISOR_EUNSUPPORTED);
        CHECK_OK(visor_aarch64_get_reg(&value, box.vcpu, VISOR_AARCH64_SYSREG(3, 0, 0, 0, 5)));
        CHECK_INT(value, 0x80000000);
        CHECK_OK(boot_at(RAM));
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_SYSTEM_EVENT);
        CHECK_INT(driver_calls(GUNYAH_VM_SET_BOOT_CONTEXT), 32);
        DRIVER_GAVE(GUNYAH_VM_SET_BOOT_CONTEXT, 0,
                    (struct gunyah_vm_boot_context){0x100, 0, RAM + 8});
        DRIVER_GAVE(GUNYAH_VM_SET_BOOT_CONTEXT, 31, (struct gunyah_vm_boot_context){30, 0, 9});
        CHECK_INT(visor_aarch64_set_regs(box.vcpu, &regs), VISOR_EUNSUPPORTED); /* too late */
        regs.pstate = 0;
    }
    stop();
    regs.pstate = 0x3c4;
    if (start(power_off, VISOR_UNPROTECTED))
        CHECK_INT(visor_aarch64_set_regs(box.vcpu, &regs), VISOR_EUNSUPPORTED);
    stop();
}

TEST(old_kernels_start_at_the_first_byte)
{
    if (start(power_off, VISOR_UNPROTECTED)) {
        kernel.is_old = true;
        CHECK_OK(boot_at(RAM));
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_SYSTEM_EVENT);
        CHECK_INT(visor_vm_balloon_inflate(box.vm, RAM, PAGE), VISOR_EUNSUPPORTED);
    }
    stop();
    if (start(power_off, VISOR_UNPROTECTED)) {
        kernel.is_old = true;
        CHECK_OK(boot_at(RAM + 4));
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EUNSUPPORTED);
        CHECK_INT(driver_calls(GUNYAH_VM_START), 0);
    }
    stop();
}

TEST(a_failed_start_is_final)
{
    if (start(power_off, VISOR_UNPROTECTED)) {
        kernel.start = -ENODEV;
        CHECK_OK(boot_at(RAM));
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_ESYSTEM);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_ESTATE);
        CHECK_INT(driver_calls(GUNYAH_VM_START), 1);
    }
    stop();
}

/* ---- functions ---- */

TEST(doorbells_are_kept_in_order)
{
    int events[3];
    const char *names[] = {"bell-1", "bell-5", "bell-1f", "shm-2"};
    int node, at = 0, n = 0;
    void *tree;

    for (int i = 0; i < 3; i++)
        events[i] = eventfd(0, EFD_CLOEXEC);
    if (start(power_off, VISOR_UNPROTECTED)) {
        CHECK_OK(visor_vm_add_irq_event(box.vm, 31, events[0], VISOR_EVENT_NONE));
        CHECK_OK(visor_vm_add_irq_event(box.vm, 9, events[1], VISOR_EVENT_NONE));
        /* The newest driver would only warn. */
        CHECK_INT(visor_vm_add_irq_event(box.vm, 9, events[2], VISOR_EVENT_NONE), VISOR_EEXIST);
        CHECK_OK(visor_vm_add_irq_event(box.vm, 1, events[2], VISOR_EVENT_NONE));
        CHECK_OK(visor_vm_remove_irq_event(box.vm, 9, events[1]));
        /* Removed by the very bytes it was added with. */
        CHECK(memcmp(kernel.functions[2], kernel.functions[4], 16) == 0);
        CHECK_INT(((const struct gunyah_fn_desc *)driver_call(GUNYAH_VM_REMOVE_FUNCTION, 0)->bytes)
                      ->arg_size,
                  16);
        CHECK_OK(visor_vm_add_irq_event(box.vm, 5, events[1], VISOR_EVENT_NONE));
        CHECK_INT(visor_vm_set_irq(box.vm, 5, true), VISOR_EUNSUPPORTED);
        CHECK_OK(boot_at(RAM));
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_SYSTEM_EVENT);
        CHECK_OK(visor_memory_ptr(&tree, box.memory, TREE, PAGE));
        node = fdt_path_offset(tree, "/gunyah-vm-config/vdevices");
        fdt_for_each_subnode(at, tree, node)
        {
            if (n < 4)
                CHECK_STR(fdt_get_name(tree, at, NULL), names[n]);
            n++;
        }
        CHECK_INT(n, 4); /* none of the doorbell that was removed */
    }
    stop();
    for (int i = 0; i < 3; i++)
        close(events[i]);
}

TEST(io_events)
{
    visor_io_event io_event = {.space = VISOR_MMIO, .address = 0x3000, .length = 4, .match = true};
    const struct gunyah_fn_ioeventfd_arg *native = (const void *)kernel.functions[1];

    io_event.event = eventfd(0, EFD_CLOEXEC);
    io_event.value = 9;
    if (start(power_off, VISOR_UNPROTECTED)) {
        CHECK_OK(visor_vm_add_io_event(box.vm, &io_event));
        CHECK_INT(native->flags, GUNYAH_IOEVENTFD_FLAGS_DATAMATCH); /* 1: not 1 << 1 */
        CHECK_INT(native->datamatch, 9);
        CHECK_INT(native->len, 4);
        CHECK_OK(visor_vm_remove_io_event(box.vm, &io_event));
        CHECK(memcmp(kernel.functions[1], kernel.functions[2], sizeof(*native)) == 0);
        CHECK_INT(((const struct gunyah_fn_desc *)driver_call(GUNYAH_VM_REMOVE_FUNCTION, 0)->bytes)
                      ->arg_size,
                  32);
        /* The driver would signal for a write of any length. */
        io_event.match = false;
        CHECK_INT(visor_vm_add_io_event(box.vm, &io_event), VISOR_EUNSUPPORTED);
        CHECK(strstr(visor_error_last()->detail, "other lengths than 4") != NULL);
        io_event.space = VISOR_PIO;
        CHECK_INT(visor_vm_add_io_event(box.vm, &io_event), VISOR_EUNSUPPORTED);
    }
    stop();
    close((int)io_event.event);
}

/* ---- running ---- */

static int mmio(struct gunyah_vcpu_run *run)
{
    run->exit_reason = GUNYAH_VCPU_EXIT_MMIO;
    run->mmio.phys_addr = 0x1000;
    run->mmio.len = 2;
    run->mmio.is_write = kernel.step != 0;
    memcpy(run->mmio.data, "\x22\x11\0\0\0\0\0\0", 8);
    if (kernel.step++ == 0)
        return 0;
    visor_vcpu_kick(box.vcpu);
    return -EINTR;
}

TEST(accesses)
{
    if (start(mmio, VISOR_UNPROTECTED)) {
        CHECK_OK(boot_at(RAM));
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_MMIO);
        CHECK_INT(box.exit->io.address, 0x1000);
        CHECK_INT(box.exit->io.length, 2);
        CHECK_INT(visor_io_value(&box.exit->io), 0);
        visor_io_set_value(&box.exit->io, 0x7766);
        /* The driver completes it and leaves. */
        CHECK_INT(visor_vcpu_settle(box.vcpu), VISOR_EXIT_NONE);
        CHECK(memcmp(kernel.run->mmio.data, "\x66\x77", 2) == 0);
        CHECK_INT(driver_calls(GUNYAH_VCPU_RUN), 2);
        CHECK_INT(visor_vcpu_settle(box.vcpu), VISOR_EXIT_NONE);
        CHECK_INT(driver_calls(GUNYAH_VCPU_RUN), 2);
        /* One that comes along with a signal is not lost, and nor is the kick. */
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_MMIO);
        CHECK(box.exit->io.is_write);
        CHECK_INT(visor_io_value(&box.exit->io), 0x1122);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_KICKED);
    }
    stop();
}

static int one_of_each(struct gunyah_vcpu_run *run)
{
    int step = kernel.step++;

    run->exit_reason = GUNYAH_VCPU_EXIT_STATUS;
    run->status.status = GUNYAH_VM_STATUS_EXITED;
    memset(&run->status.exit_info, 0, sizeof(run->status.exit_info));
    if (step < 9) { /* one more than there are */
        run->status.exit_info.type = (uint16_t)step;
        run->status.exit_info.reason_size = 100;
        run->status.exit_info.reason[7] = 1;
        return 0;
    }
    switch (step) {
    case 9: run->status.status = GUNYAH_VM_STATUS_LOAD_FAILED; return 0;
    case 10: run->status.status = GUNYAH_VM_STATUS_CRASHED; return 0;
    case 11: run->status.status = 77; return 0;
    case 12:
        run->exit_reason = GUNYAH_VCPU_EXIT_PAGE_FAULT;
        run->page_fault.phys_addr = 0x5000;
        run->page_fault.attempt = -EPERM;
        return 0;
    case 13: run->exit_reason = 4711; return 0;
    default: run->exit_reason = 0; return -EFAULT;
    }
}

TEST(exits)
{
    static const visor_system_event types[] = {
        VISOR_SYSTEM_SHUTDOWN, VISOR_SYSTEM_SHUTDOWN, VISOR_SYSTEM_RESET,
        VISOR_SYSTEM_RESET,    VISOR_SYSTEM_CRASH,    VISOR_SYSTEM_CRASH,
        VISOR_SYSTEM_CRASH,    VISOR_SYSTEM_SHUTDOWN, VISOR_SYSTEM_OTHER,
    };

    if (start(one_of_each, VISOR_UNPROTECTED)) {
        CHECK_OK(boot_at(RAM));
        for (unsigned i = 0; i < 9; i++) {
            CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_SYSTEM_EVENT);
            CHECK_INT(box.exit->system.type, types[i]);
            CHECK_INT(box.exit->system.raw, i);
            CHECK_INT(box.exit->system.data[0], UINT64_C(1) << 56);
        }
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_FAIL_ENTRY);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_SYSTEM_EVENT);
        CHECK_INT(box.exit->system.type, VISOR_SYSTEM_CRASH);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_UNKNOWN);
        CHECK_INT(box.exit->unknown.payload[0], 77);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_MEMORY_FAULT);
        CHECK_INT(box.exit->memory_fault.gpa, 0x5000);
        CHECK_INT(box.exit->memory_fault.flags, EPERM);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_UNKNOWN);
        CHECK_INT(box.exit->raw, 4711);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_ESYSTEM);
        CHECK_STR(visor_error_last()->operation, "GUNYAH_VCPU_RUN");
    }
    stop();
}

/* ---- what there is not ---- */

TEST(refusals)
{
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    visor_mapping *mapping = NULL, *other = NULL, *back;
    visor_vm_config vm_config = VISOR_VM_CONFIG_INIT;
    visor_vm *vm;
    uint32_t slot;
    int64_t native;
    visor_file file;

    if (start(power_off, VISOR_UNPROTECTED) && CHECK_OK(visor_mapping_create(&mapping, PAGE)) &&
        CHECK_OK(visor_mapping_create(&other, PAGE))) {
        config.gpa = 0x10000000;
        config.read_only = true;
        CHECK_OK(visor_vm_add_slot(&slot, box.vm, mapping, &config));
        CHECK_INT(((const struct gunyah_userspace_memory_region *)driver_call(
                       GH_VM_SET_USER_MEM_REGION, 3)
                       ->bytes)
                      ->flags,
                  5);
        CHECK_INT(visor_vm_remove_slot(&back, box.vm, slot), VISOR_EUNSUPPORTED);
        CHECK_INT(visor_vm_slot_discard(box.vm, slot, 0, PAGE), VISOR_EUNSUPPORTED);
        CHECK_OK(visor_vm_balloon_inflate(box.vm, RAM, PAGE));
        DRIVER_GAVE(GH_VM_RECLAIM_REGION, 0, (struct gunyah_address_range){RAM, PAGE});
        CHECK_INT(visor_vm_cap(box.vm, VISOR_CAP_DIRTY_LOG), 0);
        CHECK_INT(visor_vm_cap(box.vm, VISOR_CAP_SNAPSHOT), 0);
        CHECK_INT(visor_vm_cap(box.vm, VISOR_CAP_BOOT_CONTEXT), 1);
        CHECK_OK(visor_vm_native_cap(&native, box.vm, 0));
        CHECK_INT(native, 0);
        CHECK_OK(visor_vm_native_handle(&file, box.vm));
        CHECK((fcntl((int)file, F_GETFD) & FD_CLOEXEC) != 0);
        close((int)file);
        CHECK_INT(visor_vm_create_vfio(&file, box.vm), VISOR_EUNSUPPORTED);
        CHECK_INT(visor_vm_set_clock(box.vm, 1), VISOR_EUNSUPPORTED);
        CHECK_INT(visor_vm_enable_hypercalls(box.vm, 0, 1), VISOR_EUNSUPPORTED);
        CHECK_INT(visor_vcpu_native_enable(box.vcpu, 0, (const uint64_t[4]){0}),
                  VISOR_EUNSUPPORTED);
        vm_config.protection = VISOR_PROTECTED_CUSTOM_FIRMWARE;
        CHECK_INT(visor_vm_create(&vm, box.hv, box.memory, &vm_config), VISOR_EUNSUPPORTED);
        vm_config.protection = VISOR_UNPROTECTED;
        vm_config.gpa_bits = 36;
        CHECK_INT(visor_vm_create(&vm, box.hv, box.memory, &vm_config), VISOR_EUNSUPPORTED);
        CHECK(strstr(visor_error_last()->detail, "36 bits") != NULL);
        CHECK_OK(boot_at(RAM));
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_SYSTEM_EVENT);
        config.gpa += PAGE;
        CHECK_INT(visor_vm_add_slot(&slot, box.vm, other, &config), VISOR_ESTATE);
        visor_mapping_free(other);
    }
    stop();
}

/* ---- the device tree ---- */

static bool has(const void *tree, const char *path, const char *name, const void *value, int length)
{
    int actual = -1, node = fdt_path_offset(tree, path);
    const void *at = node >= 0 ? fdt_getprop(tree, node, name, &actual) : NULL;

    if (at != NULL && actual == length && memcmp(at, value, (size_t)length) == 0)
        return true;
    printf("# %s %s: %d bytes\n", path, name, actual);
    return false;
}
#define HAS(path, name, bytes) CHECK(has(tree, (path), (name), (bytes), sizeof(bytes) - 1))

TEST(a_tree_of_its_own)
{
    uint8_t area[PAGE] = {0};
    const visor_aarch64_config config = {.gic_distributor_gpa = 0x3fff0000,
                                         .gic_redistributor_gpa = 0x3ffb0000};
    const struct gunyah_doorbell bell = {.label = 0x2a};
    visor_memory *memory;
    struct gunyah_tree info = {.config = &config,
                               .vcpu_count = 2,
                               .no_timer_wakeups = true,
                               .doorbells = &bell,
                               .doorbell_count = 1};
    const void *tree = area;

    REQUIRE_OK(visor_memory_create(&memory, regions, 3, NULL));
    info.memory = memory;
    CHECK_OK(gunyah_tree_complete(area, sizeof(area), &info));
    CHECK_INT(fdt_check_full(area, sizeof(area)), 0);
    HAS("/", "interrupt-parent", "\0\0\0\1");
    HAS("/memory@80000000", "reg", "\0\0\0\0\x80\0\0\0\0\0\0\0\0\x10\0\0");
    HAS("/cpus/cpu@1", "reg", "\0\0\0\0\0\0\0\1");
    HAS("/interrupt-controller@3fff0000", "phandle", "\0\0\0\1");
    HAS("/gunyah-vm-config", "os-type", "linux\0");
    HAS("/gunyah-vm-config/memory", "base-address", "\0\0\0\0\x80\0\0\0");
    HAS("/gunyah-vm-config/memory", "size-max", "\0\0\0\x07\x80\0\0\0");
    HAS("/gunyah-vm-config/memory", "firmware-address", "\0\0\0\0\x7f\xc0\0\0");
    HAS("/gunyah-vm-config/memory", "#size-cells", "\0\0\0\2");
    HAS("/gunyah-vm-config/interrupts", "config", "\0\0\0\1");
    HAS("/gunyah-vm-config/vcpus", "affinity", "proxy\0");
    HAS("/gunyah-vm-config/vcpus", "no-timer-wakeups", "");
    HAS("/gunyah-vm-config/vdevices", "generate", "/hypervisor\0");
    HAS("/gunyah-vm-config/vdevices/bell-2a", "vdevice-type", "doorbell\0");
    HAS("/gunyah-vm-config/vdevices/bell-2a", "generate", "/hypervisor/bell-2a\0");
    HAS("/gunyah-vm-config/vdevices/bell-2a", "label", "\0\0\0\x2a");
    HAS("/gunyah-vm-config/vdevices/bell-2a", "peer-default", "");
    HAS("/gunyah-vm-config/vdevices/bell-2a", "source-can-clear", "");
    HAS("/gunyah-vm-config/vdevices/bell-2a", "interrupts", "\0\0\0\0\0\0\0\x2a\0\0\0\1");
    HAS("/gunyah-vm-config/vdevices/shm-2", "vdevice-type", "shm\0");
    HAS("/gunyah-vm-config/vdevices/shm-2", "dma_base", "\0\0\0\0\0\0\0\0");
    HAS("/gunyah-vm-config/vdevices/shm-2/memory", "label", "\0\0\0\2");
    HAS("/gunyah-vm-config/vdevices/shm-2/memory", "base", "\0\0\0\0\x80\x10\0\0");
    visor_memory_free(memory);
}

/* A tree as a VMM makes it, with libfdt. */
static void make_tree(void *area, int size, bool parent)
{
    fdt_create(area, size);
    fdt_add_reservemap_entry(area, 0x1000, 0x2000);
    fdt_finish_reservemap(area);
    fdt_begin_node(area, "");
    if (parent)
        fdt_property_u32(area, "interrupt-parent", 77);
    fdt_begin_node(area, "chosen");
    fdt_property_string(area, "bootargs", "quiet");
    fdt_property_u32(area, "interrupt-parent", 3); /* not the root's */
    fdt_end_node(area);
    fdt_end_node(area);
    fdt_finish(area);
}

TEST(nodes_are_added_to_a_tree)
{
    static uint8_t area[PAGE], damaged[PAGE];
    visor_memory *memory;
    struct gunyah_tree info = {0};
    uint64_t address, size;
    const void *tree = area;
    int bad = 0;

    REQUIRE_OK(visor_memory_create(&memory, regions, 3, NULL));
    info.memory = memory;
    make_tree(area, sizeof(area), true);
    memcpy(damaged, area, sizeof(area));
    CHECK_OK(gunyah_tree_complete(area, sizeof(area), &info));
    CHECK_INT(fdt_check_full(area, sizeof(area)), 0);
    HAS("/chosen", "bootargs", "quiet\0");
    HAS("/gunyah-vm-config/interrupts", "config", "\0\0\0\x4d");
    CHECK_INT(fdt_num_mem_rsv(area), 1);
    CHECK_INT(fdt_get_mem_rsv(area, 0, &address, &size), 0);
    CHECK_INT(address, 0x1000);

    make_tree(area, sizeof(area), false);
    CHECK_INT(gunyah_tree_complete(area, sizeof(area), &info), VISOR_EINVAL);
    make_tree(area, sizeof(area), true);
    CHECK_INT(gunyah_tree_complete(area, 0x200, &info), VISOR_ELIMIT);

    /* Any damage: an error or another tree, but nothing outside the area is touched. */
    for (size_t i = 0; i < 0x100 * 8; i++) {
        uint8_t *copy = malloc(0x800);
        int ret;

        REQUIRE(copy != NULL);
        memcpy(copy, damaged, 0x800);
        copy[i / 8] ^= (uint8_t)(1u << i % 8);
        ret = gunyah_tree_complete(copy, 0x800, &info);
        bad += ret < 0;
        CHECK(ret == 0 || ret == VISOR_EFORMAT || ret == VISOR_EINVAL || ret == VISOR_ELIMIT);
        free(copy);
    }
    CHECK(bad > 100);
    visor_memory_free(memory);
}

UNIT_MAIN()
