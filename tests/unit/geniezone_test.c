/* SPDX-License-Identifier: BSD-3-Clause */
/* What the Geniezone backend says to its driver, and what it makes of the answers. */
#include "driver.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <visor.h>

#include "linux_gzvm.h"

#define RAM 0x80000000u

static struct {
    int step;
    int (*guest)(struct gzvm_vcpu_run *run); /* 0 or -errno */
    uint64_t gpa_bits;
    uint64_t firmware;     /* bytes; 0: none */
    bool no_set_protected; /* the oldest driver */
    int error;             /* of requests that are not listed */
} kernel;

static int enable_cap(struct gzvm_enable_cap *cap)
{
    if (cap->cap != GZVM_CAP_PROTECTED_VM)
        return -EINVAL;
    switch (cap->args[0]) {
    case GZVM_CAP_PVM_GET_PVMFW_SIZE:
        cap->args[1] = kernel.firmware;
        return kernel.firmware != 0 ? 0 : -EINVAL;
    case GZVM_CAP_PVM_SET_PROTECTED_VM: return kernel.no_set_protected ? -EINVAL : 0;
    default: return 0;
    }
}

static int answer(unsigned long request, void *argument)
{
    uint64_t *cap = argument;

    switch (request) {
    case GZVM_CHECK_EXTENSION:
        if (*cap == GZVM_CAP_VM_GPA_SIZE)
            *cap = kernel.gpa_bits;
        else if (*cap == GZVM_CAP_PROTECTED_VM)
            *cap = 1;
        else
            return -EOPNOTSUPP;
        return kernel.error;
    case GZVM_CREATE_VM:
    case GZVM_CREATE_VCPU: return driver_file(1);
    case GZVM_ENABLE_CAP: return enable_cap(argument);
    case GZVM_RUN: {
        struct gzvm_vcpu_run *run = argument;

        return run->immediate_exit == 1 ? -EINTR : kernel.guest(run);
    }
    default: return kernel.error;
    }
}

static size_t hidden(unsigned long request)
{
    return request == GZVM_CHECK_EXTENSION ? 8 : request == GZVM_RUN ? 64 : 0;
}

static struct {
    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vm *vm;
    visor_vcpu *vcpu;
    visor_exit *exit;
} box;

static const visor_memory_region regions[] = {
    {.gpa = 0x7fc00000, .length = 0x400000, .purpose = VISOR_MEMORY_PROTECTED_FIRMWARE},
    {.gpa = RAM, .length = 0x100000},
    {.gpa = RAM + 0x100000, .length = 0x10000, .purpose = VISOR_MEMORY_SWIOTLB},
};

static bool start(const visor_vm_config *config)
{
    int (*guest)(struct gzvm_vcpu_run * run) = kernel.guest;

    memset(&driver, 0, sizeof(driver));
    memset(&box, 0, sizeof(box));
    kernel.guest = guest;
    kernel.gpa_bits = 39;
    driver.answer = answer;
    driver.hidden = hidden;
    return CHECK_OK(visor_hypervisor_open(&box.hv, "geniezone[device=/dev/null]")) &&
           CHECK_OK(visor_memory_create(&box.memory, regions, 3, NULL)) &&
           CHECK_OK(visor_vm_create(&box.vm, box.hv, box.memory, config));
}

static bool start_vcpu(int (*guest)(struct gzvm_vcpu_run *run))
{
    memset(&kernel, 0, sizeof(kernel));
    kernel.guest = guest;
    if (!start(NULL) || !CHECK_OK(visor_vcpu_create(&box.vcpu, box.vm, 0)))
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
}

static const visor_vm_config with_gic = {
    .size = sizeof(visor_vm_config),
    .irqchip = VISOR_IRQCHIP_KERNEL,
};

static const visor_vm_config with_protection = {
    .size = sizeof(visor_vm_config),
    .irqchip = VISOR_IRQCHIP_KERNEL,
    .protection = VISOR_PROTECTED,
};

/* ---- opening ---- */

static int not_gzvm(unsigned long request, void *argument)
{
    (void)request;
    (void)argument;
    return -ENOTTY;
}

static int no_hypervisor(unsigned long request, void *argument)
{
    (void)request;
    (void)argument;
    return -ENXIO;
}

TEST(open_tells_the_reasons_apart)
{
    visor_hypervisor *hv;

    CHECK_INT(visor_hypervisor_open(&hv, "geniezone[device=/nonexistent]"), VISOR_EABSENT);
    CHECK(visor_error_last()->hint[0] != '\0');
    driver.answer = not_gzvm;
    CHECK_INT(visor_hypervisor_open(&hv, "geniezone[device=/dev/null]"), VISOR_EBROKEN);
    CHECK(strstr(visor_error_last()->detail, "is not Geniezone") != NULL);
    driver.answer = no_hypervisor;
    CHECK_INT(visor_hypervisor_open(&hv, "geniezone[device=/dev/null]"), VISOR_EDISABLED);
    CHECK_INT(visor_hypervisor_open(&hv, "geniezone[path=/dev/null]"), VISOR_EINVAL);
}

TEST(kick_signal_must_not_restart)
{
    struct sigaction action = {.sa_handler = SIG_DFL, .sa_flags = 0};
    visor_hypervisor *hv = NULL;

    driver.answer = answer;
    action.sa_handler = SIG_IGN;
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, NULL); /* not a handler: it is replaced */
    CHECK_OK(visor_hypervisor_open(&hv, "geniezone[device=/dev/null,signal=10]"));
    visor_hypervisor_free(hv);
    sigaction(SIGUSR1, NULL, &action);
    CHECK(action.sa_handler != SIG_IGN);
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, NULL);
    CHECK_INT(visor_hypervisor_open(&hv, "geniezone[device=/dev/null,signal=10]"), VISOR_EINVAL);
    action.sa_handler = SIG_DFL;
    sigaction(SIGUSR1, &action, NULL);
}

TEST(capabilities)
{
    memset(&kernel, 0, sizeof(kernel));
    if (start(NULL)) {
        const uint64_t question = GZVM_CAP_VM_GPA_SIZE;

        /* By pointer: the driver answers in memory. */
        DRIVER_GAVE(GZVM_CHECK_EXTENSION, 0, question);
        CHECK_INT(visor_hypervisor_cap(box.hv, VISOR_CAP_GPA_BITS), 39);
        CHECK_INT(visor_hypervisor_cap(box.hv, VISOR_CAP_MAX_VCPUS), 8);
        CHECK_INT(visor_hypervisor_cap(box.hv, VISOR_CAP_MAX_SLOTS), 10);
        CHECK_INT(visor_hypervisor_cap(box.hv, VISOR_CAP_PROTECTED), 1);
        /* What is in memory counts only if the driver says that it is the answer. */
        kernel.error = -EINVAL;
        CHECK_INT(visor_hypervisor_cap(box.hv, VISOR_CAP_PROTECTED), 0);
        kernel.error = 0;
        CHECK_INT(visor_hypervisor_cap(box.hv, VISOR_CAP_SWIOTLB_REGION), 1);
        CHECK_INT(visor_hypervisor_cap(box.hv, VISOR_CAP_BOOT_CONTEXT), 0);
        CHECK_INT(visor_hypervisor_cap(box.hv, VISOR_CAP_IRQFD_RESAMPLE), 0);
        CHECK_INT(visor_hypervisor_cap(box.hv, VISOR_CAP_AARCH64_MTE), 0);
        CHECK_INT(visor_vm_cap(box.vm, VISOR_CAP_DIRTY_LOG), 0);
        CHECK_INT(visor_vm_cap(box.vm, VISOR_CAP_READ_ONLY), 0);
        CHECK_INT(visor_vm_cap(box.vm, VISOR_CAP_SNAPSHOT), 0);
    }
    stop();
}

/* ---- the calls at creation ---- */

TEST(creation)
{
    static const unsigned long order[] = {
        GZVM_CHECK_EXTENSION, /* open */
        GZVM_CREATE_VM,
        GZVM_SET_USER_MEMORY_REGION,
        GZVM_SET_USER_MEMORY_REGION,
        GZVM_SET_USER_MEMORY_REGION,
        GZVM_CREATE_DEVICE,
        GZVM_CREATE_DEVICE,
        GZVM_CREATE_VCPU,
        GZVM_CREATE_VCPU,
        GZVM_ENABLE_CAP,
        GZVM_ENABLE_CAP,
        GZVM_ENABLE_CAP,
        GZVM_SET_DTB_CONFIG,
        0,
    };
    const visor_aarch64_boot boot = {
        .size = sizeof(boot), .entry_gpa = RAM, .tree_gpa = RAM + 0x80000, .tree_length = 0x10000};
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;
    visor_vcpu *second = NULL;
    visor_memory_info info;
    uint64_t size = 0;

    memset(&kernel, 0, sizeof(kernel));
    kernel.firmware = 0x21000;
    config.vcpu_count = 2;
    if (start(&with_protection)) {
        CHECK_OK(visor_aarch64_configure(box.vm, &config));
        CHECK_OK(visor_vcpu_create(&box.vcpu, box.vm, 0));
        CHECK_OK(visor_vcpu_create(&second, box.vm, 1));
        CHECK_OK(visor_vm_load_firmware(&size, box.vm, 0x7fc00000, 0x400000));
        CHECK_INT(size, 0x21000);
        CHECK_OK(visor_aarch64_set_boot(box.vm, &boot));
        CHECK_INT(visor_aarch64_set_boot(box.vm, &boot), VISOR_ESTATE);
        CHECK(driver_order(0, order));

        CHECK_INT(driver_call(GZVM_CREATE_VM, 0)->value, 0);
        for (unsigned i = 0; i < 3; i++) {
            visor_memory_region_info(&info, box.memory, i);
            /* Purposes: firmware, memory, bounce buffer. */
            DRIVER_GAVE(GZVM_SET_USER_MEMORY_REGION, i,
                        (struct gzvm_userspace_memory_region){i, (const uint32_t[]){2, 1, 4}[i],
                                                              info.gpa, info.length,
                                                              (uintptr_t)info.host});
        }
        DRIVER_GAVE(GZVM_CREATE_DEVICE, 0,
                    (struct gzvm_create_device){0, 0, 0, 0x3fff0000, 0x10000, 0, 0});
        DRIVER_GAVE(GZVM_CREATE_DEVICE, 1,
                    (struct gzvm_create_device){1, 0, 0, 0x3ffb0000, 0x40000, 0, 0});
        CHECK_INT(driver_call(GZVM_CREATE_VCPU, 1)->value, 1);
        DRIVER_GAVE(GZVM_ENABLE_CAP, 0,
                    (struct gzvm_enable_cap){GZVM_CAP_PROTECTED_VM, {GZVM_CAP_PVM_GET_PVMFW_SIZE}});
        DRIVER_GAVE(GZVM_ENABLE_CAP, 1,
                    (struct gzvm_enable_cap){GZVM_CAP_PROTECTED_VM,
                                             {GZVM_CAP_PVM_SET_PVMFW_GPA, 0x7fc00000}});
        DRIVER_GAVE(GZVM_ENABLE_CAP, 2,
                    (struct gzvm_enable_cap){GZVM_CAP_PROTECTED_VM,
                                             {GZVM_CAP_PVM_SET_PROTECTED_VM, 0x7fc00000}});
        DRIVER_GAVE(GZVM_SET_DTB_CONFIG, 0, (struct gzvm_dtb_config){RAM + 0x80000, 0x10000});
    }
    visor_vcpu_free(second);
    stop();
}

/* ---- protection ---- */

TEST(firmware)
{
    visor_vm_config config = with_protection;
    uint64_t size;

    memset(&kernel, 0, sizeof(kernel));
    if (start(&with_protection) && CHECK_OK(visor_vcpu_create(&box.vcpu, box.vm, 0))) {
        /* A VM that was to be protected does not run when it is not. */
        CHECK_INT(visor_vm_seal(box.vm), VISOR_ESTATE);
        CHECK_INT(visor_vm_load_firmware(&size, box.vm, 0x7fc00000, 0x400000), VISOR_ENOENT);
        kernel.firmware = 0x21000;
        CHECK_INT(visor_vm_load_firmware(&size, box.vm, 0x7fc00000, 0x20000), VISOR_ELIMIT);
        /* The oldest driver does not know SET_PROTECTED_VM, and needs it not. */
        kernel.no_set_protected = true;
        CHECK_OK(visor_vm_load_firmware(&size, box.vm, 0x7fc00000, 0x400000));
        CHECK_OK(visor_vm_seal(box.vm));
    }
    stop();

    config.protection = VISOR_UNPROTECTED;
    if (start(&config))
        CHECK_INT(visor_vm_load_firmware(&size, box.vm, 0x7fc00000, 0x400000), VISOR_ESTATE);
    stop();
}

TEST(without_firmware_of_the_hypervisor)
{
    visor_vm_config config = with_protection;

    memset(&kernel, 0, sizeof(kernel));
    config.protection = VISOR_PROTECTED_CUSTOM_FIRMWARE;
    if (start(&config) && CHECK_OK(visor_vcpu_create(&box.vcpu, box.vm, 0))) {
        CHECK_OK(visor_vm_seal(box.vm));
        CHECK_INT(driver_calls(GZVM_ENABLE_CAP), 1);
        DRIVER_GAVE(GZVM_ENABLE_CAP, 0,
                    (struct gzvm_enable_cap){GZVM_CAP_PROTECTED_VM,
                                             {GZVM_CAP_PVM_SET_PROTECTED_VM, 0x7fc00000}});
    }
    stop();
    kernel.no_set_protected = true;
    config.protection = VISOR_PROTECTED_NO_FIRMWARE;
    if (start(&config) && CHECK_OK(visor_vcpu_create(&box.vcpu, box.vm, 0)))
        CHECK_INT(visor_vm_seal(box.vm), VISOR_EUNSUPPORTED);
    stop();
}

/* ---- running ---- */

static int mmio_read(struct gzvm_vcpu_run *run)
{
    run->exit_reason = GZVM_EXIT_MMIO;
    run->mmio.phys_addr = 0x1000;
    run->mmio.size = 4;
    run->mmio.is_write = 0;
    run->mmio.reg_nr = 7;
    return 0;
}

TEST(a_read_is_answered_in_the_same_block)
{
    const struct driver_call *call;
    const struct gzvm_vcpu_run *run;

    if (start_vcpu(mmio_read)) {
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_MMIO);
        CHECK_INT(box.exit->io.address, 0x1000);
        CHECK_INT(box.exit->io.length, 4);
        CHECK(!box.exit->io.is_write);
        CHECK_INT(box.exit->raw, GZVM_EXIT_MMIO);
        visor_io_set_value(&box.exit->io, 0x12345678);
        /* It is completed when the guest runs on, and not before. */
        CHECK_INT(visor_vcpu_settle(box.vcpu), VISOR_EUNSUPPORTED);
        CHECK_INT(visor_aarch64_set_reg(box.vcpu, VISOR_AARCH64_PC, 0), VISOR_ESTATE);
        /* A kick does not lose the answer. */
        visor_vcpu_kick(box.vcpu);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_KICKED);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_MMIO);
        call = driver_call(GZVM_RUN, 1);
        REQUIRE(call != NULL);
        run = (const void *)call->bytes;
        CHECK(memcmp(run->mmio.data, "\x78\x56\x34\x12", 4) == 0);
        CHECK_INT(run->mmio.reg_nr, 7);
        CHECK_INT(run->mmio.size, 4);
        CHECK_INT(run->exit_reason, 0); /* a new one is told from it */
        CHECK(!call->kick_blocked);
    }
    stop();
}

static int write_under_signal(struct gzvm_vcpu_run *run)
{
    if (kernel.step++ > 0)
        return -EINTR;
    run->exit_reason = GZVM_EXIT_MMIO;
    run->mmio.phys_addr = 0x2000;
    run->mmio.size = 8;
    run->mmio.is_write = 1;
    memcpy(run->mmio.data, "12345678", 8);
    visor_vcpu_kick(box.vcpu);
    return -EINTR;
}

TEST(an_exit_that_comes_with_a_signal_is_not_lost)
{
    if (start_vcpu(write_under_signal)) {
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_MMIO);
        CHECK(box.exit->io.is_write);
        CHECK(memcmp(box.exit->io.data, "12345678", 8) == 0);
        /* Nor is the kick. */
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_KICKED);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_INTR);
    }
    stop();
}

/* What the driver has dealt with itself stays in the block. */
static int consumed_under_signal(struct gzvm_vcpu_run *run)
{
    static const uint32_t reasons[] = {GZVM_EXIT_IRQ,       GZVM_EXIT_GZ,   GZVM_EXIT_IDLE,
                                       GZVM_EXIT_EXCEPTION, GZVM_EXIT_MMIO, GZVM_EXIT_MMIO};

    memset(run->padding, 0, sizeof(run->padding));
    run->exit_reason = reasons[kernel.step];
    if (run->exit_reason == GZVM_EXIT_EXCEPTION)
        run->exception.exception = GZVM_EXCEPTION_PAGE_FAULT;
    if (run->exit_reason == GZVM_EXIT_MMIO) {
        run->mmio.phys_addr = 0x3000;
        run->mmio.size = 4;
        run->mmio.is_write = 1;
        run->mmio.data[0] = kernel.step == 4 ? 9 : 8;
    }
    kernel.step++;
    return -EINTR;
}

TEST(what_the_driver_has_consumed_is_no_exit)
{
    visor_io_event io_event = {.space = VISOR_MMIO, .address = 0x3000, .length = 4, .match = true};

    io_event.event = eventfd(0, EFD_CLOEXEC);
    io_event.value = 9;
    if (start_vcpu(consumed_under_signal)) {
        CHECK_OK(visor_vm_add_io_event(box.vm, &io_event));
        for (unsigned i = 0; i < 5; i++)
            CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_INTR);
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_MMIO); /* of another value */
    }
    stop();
    close((int)io_event.event);
}

static int one_of_each(struct gzvm_vcpu_run *run)
{
    memset(run->padding, 0, sizeof(run->padding));
    switch (kernel.step++) {
    case 0:
        run->exit_reason = GZVM_EXIT_SYSTEM_EVENT;
        run->system_event.type = GZVM_SYSTEM_EVENT_RESET;
        run->system_event.ndata = 99;
        run->system_event.data[15] = 7;
        break;
    case 1:
        run->exit_reason = GZVM_EXIT_SYSTEM_EVENT;
        run->system_event.type = GZVM_SYSTEM_EVENT_SEV_TERM;
        break;
    case 2:
        run->exit_reason = GZVM_EXIT_HYPERCALL;
        run->hypercall.args[0] = 0x84000050;
        run->hypercall.args[7] = 8;
        break;
    case 3:
        run->exit_reason = GZVM_EXIT_EXCEPTION;
        run->exception.exception = GZVM_EXCEPTION_PAGE_FAULT;
        run->exception.fault_gpa = 0x5000;
        break;
    case 4:
        run->exit_reason = GZVM_EXIT_EXCEPTION;
        run->exception.error_code = 3;
        break;
    case 5: run->exit_reason = GZVM_EXIT_DEBUG; break;
    case 6:
        run->exit_reason = GZVM_EXIT_FAIL_ENTRY;
        run->fail_entry.hardware_entry_failure_reason = 42;
        break;
    case 7:
        run->exit_reason = GZVM_EXIT_INTERNAL_ERROR;
        run->internal.suberror = 5;
        run->internal.ndata = 99;
        break;
    case 8: run->exit_reason = GZVM_EXIT_SHUTDOWN; break;
    case 9: run->exit_reason = GZVM_EXIT_IRQ; break;
    case 10: run->exit_reason = GZVM_EXIT_IDLE; break;
    case 11: run->exit_reason = GZVM_EXIT_UNKNOWN; break;
    case 12:
        run->exit_reason = 0x9292000c;
        run->padding[127] = 9;
        break;
    case 13:
        run->exit_reason = GZVM_EXIT_MMIO;
        run->mmio.size = 0x100000004; /* 64 bits wide */
        break;
    default: return -EFAULT;
    }
    return 0;
}

TEST(exits)
{
    static const int expected[] = {
        VISOR_EXIT_SYSTEM_EVENT, VISOR_EXIT_SYSTEM_EVENT,   VISOR_EXIT_HYPERCALL,
        VISOR_EXIT_MEMORY_FAULT, VISOR_EXIT_EXCEPTION,      VISOR_EXIT_DEBUG,
        VISOR_EXIT_FAIL_ENTRY,   VISOR_EXIT_INTERNAL_ERROR, VISOR_EXIT_SHUTDOWN,
        VISOR_EXIT_IRQ_WINDOW,   VISOR_EXIT_INTR,           VISOR_EXIT_UNKNOWN,
        VISOR_EXIT_UNKNOWN,      VISOR_EXIT_UNKNOWN,        VISOR_ESYSTEM,
    };

    if (start_vcpu(one_of_each)) {
        for (unsigned i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
            CHECK_INT(visor_vcpu_run(box.vcpu), expected[i]);
            switch (i) {
            case 0:
                CHECK_INT(box.exit->system.type, VISOR_SYSTEM_RESET);
                CHECK_INT(box.exit->system.data_count, 16);
                CHECK_INT(box.exit->system.data[15], 7);
                break;
            case 1:
                CHECK_INT(box.exit->system.type, VISOR_SYSTEM_OTHER);
                CHECK_INT(box.exit->system.raw, 6);
                break;
            case 2:
                CHECK_INT(box.exit->hypercall.number, 0x84000050);
                CHECK_INT(box.exit->hypercall.args[6], 8);
                CHECK_INT(box.exit->hypercall.result_count, 0);
                break;
            case 3: CHECK_INT(box.exit->memory_fault.gpa, 0x5000); break;
            case 4: CHECK_INT(box.exit->exception.error_code, 3); break;
            case 6: CHECK_INT(box.exit->fail_entry.reason, 42); break;
            case 7:
                CHECK_INT(box.exit->internal.suberror, 5);
                CHECK_INT(box.exit->internal.data_count, 16);
                CHECK(box.exit->internal.text != NULL);
                break;
            case 12:
                CHECK_INT(box.exit->raw, 0x9292000c);
                CHECK_INT(box.exit->unknown.payload[127], 9);
                break;
            default: break;
            }
        }
        CHECK_INT(visor_error_last()->native, EFAULT);
        CHECK_STR(visor_error_last()->operation, "GZVM_RUN");
    }
    stop();
}

static void on_signal(int number)
{
    (void)number;
}

static int look_at_mask(struct gzvm_vcpu_run *run)
{
    sigset_t mask;

    (void)run;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    kernel.step = sigismember(&mask, SIGUSR1) << 1 | sigismember(&mask, SIGUSR2);
    return -EINTR;
}

/* The kernel would enter the guest again for it, and lose an exit. */
TEST(signals_that_restart_are_held_back)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigset_t mask;

    sigaction(SIGUSR1, &action, NULL);
    action.sa_flags = 0;
    sigaction(SIGUSR2, &action, NULL);
    if (start_vcpu(look_at_mask)) {
        CHECK_INT(visor_vcpu_run(box.vcpu), VISOR_EXIT_INTR);
        CHECK_INT(kernel.step, 2);
        pthread_sigmask(SIG_BLOCK, NULL, &mask);
        CHECK(!sigismember(&mask, SIGUSR1)); /* inside only */
        CHECK(sigismember(&mask, SIGRTMIN + 1));
    }
    stop();
}

/* ---- registers ---- */

TEST(registers)
{
    visor_aarch64_regs regs = {.x = {[3] = 33}, .pc = RAM, .pstate = 0x3c5};
    visor_aarch64_fpsimd fpsimd = {0};
    uint64_t value;

    if (start_vcpu(mmio_read)) {
        driver.count = 0;
        CHECK_OK(visor_aarch64_set_regs(box.vcpu, &regs));
        CHECK_INT(driver_calls(GZVM_SET_ONE_REG), 34);
        CHECK_INT(((const struct gzvm_one_reg *)driver.calls[3].bytes)->id, 0x6030000000100006);
        CHECK_INT(((const struct gzvm_one_reg *)driver.calls[31].bytes)->id, 0x603000000010003e);
        CHECK_INT(((const struct gzvm_one_reg *)driver.calls[32].bytes)->id, 0x6030000000100040);
        CHECK_INT(((const struct gzvm_one_reg *)driver.calls[33].bytes)->id, 0x6030000000100042);
        /* SCTLR_EL1; SP_EL1 is a core register for the driver. */
        CHECK_OK(visor_aarch64_set_reg(box.vcpu, VISOR_AARCH64_SYSREG(3, 0, 1, 0, 0), 1));
        CHECK_OK(visor_aarch64_set_reg(box.vcpu, VISOR_AARCH64_SYSREG(3, 4, 4, 1, 0), 1));
        CHECK_INT(((const struct gzvm_one_reg *)driver.calls[34].bytes)->id, 0x603000000013c080);
        CHECK_INT(((const struct gzvm_one_reg *)driver.calls[35].bytes)->id, 0x6030000000100044);
        /* Nothing can be read back but what is known. */
        CHECK_INT(visor_aarch64_get_regs(&regs, box.vcpu), VISOR_EUNSUPPORTED);
        CHECK_INT(visor_aarch64_get_fpsimd(&fpsimd, box.vcpu), VISOR_EUNSUPPORTED);
        CHECK_INT(visor_aarch64_set_fpsimd(box.vcpu, &fpsimd), VISOR_EUNSUPPORTED);
        CHECK_INT(visor_aarch64_get_reg(&value, box.vcpu, VISOR_AARCH64_PC), VISOR_EUNSUPPORTED);
        CHECK_OK(visor_aarch64_get_reg(&value, box.vcpu, VISOR_AARCH64_SYSREG(3, 0, 0, 0, 5)));
        CHECK_INT(value, 0x80000000);
        CHECK_OK(visor_aarch64_get_reg(&value, box.vcpu, VISOR_AARCH64_PSCI_VERSION));
        CHECK_INT(value, 2);
        kernel.error = 1; /* an answer of the hypervisor that is not a success */
        CHECK_INT(visor_aarch64_set_reg(box.vcpu, VISOR_AARCH64_PC, 0), VISOR_EREFUSED);
    }
    stop();
}

/* ---- interrupts and I/O events ---- */

TEST(interrupts)
{
    int event = eventfd(0, EFD_CLOEXEC), other = eventfd(0, EFD_CLOEXEC);

    memset(&kernel, 0, sizeof(kernel));
    if (start(&with_gic)) {
        CHECK_INT(visor_vm_set_irq(box.vm, 3, true), VISOR_ESTATE); /* no vCPU 0 */
        CHECK_INT(visor_vm_add_irq_event(box.vm, 3, event, VISOR_EVENT_NONE), VISOR_ESTATE);
    }
    stop();
    if (start(&with_gic) && CHECK_OK(visor_vcpu_create(&box.vcpu, box.vm, 0))) {
        struct gzvm_irqfd irqfd;

        CHECK_OK(visor_vm_set_irq(box.vm, 3, true));
        DRIVER_GAVE(GZVM_IRQ_LINE, 0, (struct gzvm_irq_level){{0x01000003}, 1});
        CHECK_OK(visor_vm_add_irq_event(box.vm, 4, event, VISOR_EVENT_NONE));
        memcpy(&irqfd, driver_call(GZVM_IRQFD, 0)->bytes, sizeof(irqfd));
        CHECK_INT(irqfd.gsi, 4);
        CHECK_INT(irqfd.flags, 0);
        CHECK_INT(visor_vm_add_irq_event(box.vm, 5, other, event), VISOR_EUNSUPPORTED);
        CHECK_OK(visor_vm_remove_irq_event(box.vm, 4, event));
        irqfd.flags = GZVM_IRQFD_FLAG_DEASSIGN;
        DRIVER_GAVE(GZVM_IRQFD, 1, irqfd);
        CHECK_INT(visor_vm_set_routes(box.vm, NULL, 0), VISOR_EUNSUPPORTED);
        CHECK_INT(visor_vm_send_msi(box.vm, &(visor_msi){0}), VISOR_EUNSUPPORTED);
    }
    stop();
    close(event);
    close(other);
}

TEST(io_events)
{
    visor_io_event io_event = {.space = VISOR_MMIO, .address = 0x3000, .length = 4, .match = true};
    struct gzvm_ioeventfd native = {0};
    const struct driver_call *call;

    io_event.event = eventfd(0, EFD_CLOEXEC);
    io_event.value = 9;
    memset(&kernel, 0, sizeof(kernel));
    if (start(NULL)) {
        CHECK_OK(visor_vm_add_io_event(box.vm, &io_event));
        call = driver_call(GZVM_IOEVENTFD, 0);
        if (CHECK(call != NULL))
            memcpy(&native, call->bytes, sizeof(native));
        CHECK_INT(native.addr, 0x3000);
        CHECK_INT(native.datamatch, 9);
        CHECK_INT(native.len, 4);
        CHECK_INT(native.flags, GZVM_IOEVENTFD_FLAG_DATAMATCH);
        io_event.space = VISOR_PIO;
        CHECK_INT(visor_vm_add_io_event(box.vm, &io_event), VISOR_EUNSUPPORTED);
        CHECK_INT(driver_calls(GZVM_IOEVENTFD), 1);
    }
    stop(); /* what is left is taken back, with the same bytes */
    native.flags |= GZVM_IOEVENTFD_FLAG_DEASSIGN;
    DRIVER_GAVE(GZVM_IOEVENTFD, 1, native);
    close((int)io_event.event);
}

/* ---- what there is not ---- */

TEST(refusals)
{
    visor_aarch64_config config = VISOR_AARCH64_CONFIG_INIT;
    visor_slot_config slot_config = VISOR_SLOT_CONFIG_INIT;
    visor_mapping *mapping = NULL, *back;
    visor_vm_config narrow = with_gic;
    visor_vcpu *vcpu;
    visor_vm *vm;
    uint32_t slot;
    uint64_t clock;
    int64_t native;
    visor_file file;

    memset(&kernel, 0, sizeof(kernel));
    if (start(&with_gic) && CHECK_OK(visor_mapping_create(&mapping, 0x3000))) {
        config.sve = VISOR_ON;
        CHECK_INT(visor_aarch64_configure(box.vm, &config), VISOR_EUNSUPPORTED);
        config.sve = VISOR_AUTO;
        config.gic_version = 2;
        CHECK_INT(visor_aarch64_configure(box.vm, &config), VISOR_EUNSUPPORTED);
        config.gic_version = 0;
        CHECK_OK(visor_aarch64_configure(box.vm, &config));
        CHECK_OK(visor_aarch64_get_config(&config, box.vm));
        CHECK_INT(config.gic_version, 3);
        CHECK_INT(config.pmu, VISOR_OFF);
        CHECK_INT(visor_vcpu_create(&vcpu, box.vm, 8), VISOR_ELIMIT);

        slot_config.gpa = 0x10000000;
        slot_config.read_only = true;
        CHECK_INT(visor_vm_add_slot(&slot, box.vm, mapping, &slot_config), VISOR_EUNSUPPORTED);
        slot_config.read_only = false;
        slot_config.log_dirty = true;
        CHECK_INT(visor_vm_add_slot(&slot, box.vm, mapping, &slot_config), VISOR_EUNSUPPORTED);
        slot_config.log_dirty = false;
        kernel.error = -EINVAL;
        CHECK_INT(visor_vm_add_slot(&slot, box.vm, mapping, &slot_config), VISOR_EREFUSED);
        CHECK(strstr(visor_error_last()->hint, "as a whole") != NULL);
        kernel.error = 0;
        CHECK_OK(visor_vm_add_slot(&slot, box.vm, mapping, &slot_config));
        CHECK_INT(visor_vm_remove_slot(&back, box.vm, slot), VISOR_EUNSUPPORTED);
        CHECK_INT(visor_vm_slot_discard(box.vm, slot, 0, 0x1000), VISOR_EUNSUPPORTED);
        CHECK_INT(visor_vm_slot_page_out(box.vm, slot, 0, 0x1000), VISOR_EUNSUPPORTED);
        CHECK_OK(visor_vm_slot_sync(box.vm, slot, 0, 0x1000));
        CHECK_INT(visor_vm_balloon_inflate(box.vm, RAM, 0x1000), VISOR_EUNSUPPORTED);
        CHECK_INT(visor_vm_enable_hypercalls(box.vm, 0, 1), VISOR_EUNSUPPORTED);
        CHECK_INT(visor_vm_get_clock(&clock, box.vm), VISOR_EUNSUPPORTED);
        CHECK_INT(visor_vm_set_clock(box.vm, 1), VISOR_EUNSUPPORTED);
        CHECK_INT(visor_vm_native_cap(&native, box.vm, 0), VISOR_EUNSUPPORTED);
        CHECK_INT(visor_vm_create_vfio(&file, box.vm), VISOR_EUNSUPPORTED);
        CHECK_OK(visor_vm_balloon_deflate(box.vm, RAM, 0x1000));
        CHECK_OK(visor_vm_native_handle(&file, box.vm));
        CHECK((fcntl((int)file, F_GETFD) & FD_CLOEXEC) != 0);
        close((int)file);
        narrow.gpa_bits = 36;
        CHECK_INT(visor_vm_create(&vm, box.hv, box.memory, &narrow), VISOR_EUNSUPPORTED);
        CHECK(strstr(visor_error_last()->detail, "36 bits") != NULL);
    }
    stop();
}

UNIT_MAIN()
