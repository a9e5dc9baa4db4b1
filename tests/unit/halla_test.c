/* SPDX-License-Identifier: BSD-3-Clause */
/* What is Halla's own: numbers, types of VMs, limits. The rest is as in geniezone_test.c. */
#include "driver.h"

#include <sys/eventfd.h>
#include <visor.h>

#include "linux_halla.h"

#define RAM 0x80000000u

static struct {
    int step;
    uint64_t gpa_bits;
} kernel;

static int guest(struct hvm_vcpu_run *run)
{
    memset(run->padding, 0, sizeof(run->padding));
    switch (kernel.step++) {
    case 0:
        run->exit_reason = HVM_EXIT_MMIO;
        run->mmio.phys_addr = 0x1000;
        run->mmio.size = 1;
        break;
    case 1: run->exit_reason = HVM_EXIT_IRQ; break;
    case 2:
        run->exit_reason = HVM_EXIT_EXCEPTION;
        run->exception.exception = HVM_EXCEPTION_PAGE_FAULT;
        run->exception.fault_gpa = 0x7000;
        break;
    case 3: run->exit_reason = HVM_EXIT_INTERNAL_ERROR; break;
    case 4:
        run->exit_reason = HVM_EXIT_SYSTEM_EVENT;
        run->system_event.type = HVM_SYSTEM_EVENT_CRASH;
        break;
    case 5: run->exit_reason = HVM_EXIT_SHUTDOWN; break;
    case 6: run->exit_reason = HVM_EXIT_IDLE; break;
    case 7: run->exit_reason = HVM_EXIT_SGI; break;
    default: run->exit_reason = 0x484c0009; break;
    }
    return 0;
}

static int answer(unsigned long request, void *argument)
{
    uint64_t *cap = argument;

    switch (request) {
    case HVM_CHECK_EXTENSION:
        if (*cap == HVM_CAP_VM_GPA_SIZE && kernel.gpa_bits == 0)
            return -EOPNOTSUPP;
        *cap = *cap == HVM_CAP_VM_GPA_SIZE ? kernel.gpa_bits : 1;
        return 0;
    case HVM_CREATE_VM:
    case HVM_CREATE_VCPU: return driver_file(1);
    case HVM_ENABLE_CAP:
        if (((const struct hvm_enable_cap *)argument)->args[0] == HVM_CAP_PVM_GET_PVMFW_SIZE)
            ((struct hvm_enable_cap *)argument)->args[1] = 0x5000;
        return 0;
    case HVM_VCPU_RUN: return guest(argument);
    default: return 0;
    }
}

static struct {
    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vm *vm;
    visor_vcpu *vcpu;
} box;

static bool start(const visor_vm_config *config)
{
    static const visor_memory_region region = {.gpa = RAM, .length = 0x100000};

    memset(&driver, 0, sizeof(driver));
    memset(&box, 0, sizeof(box));
    driver.answer = answer;
    return CHECK_OK(visor_hypervisor_open(&box.hv, "halla[device=/dev/null]")) &&
           CHECK_OK(visor_memory_create(&box.memory, &region, 1, NULL)) &&
           CHECK_OK(visor_vm_create(&box.vm, box.hv, box.memory, config));
}

static void stop(void)
{
    visor_vcpu_free(box.vcpu);
    visor_vm_free(box.vm);
    visor_memory_free(box.memory);
    visor_hypervisor_free(box.hv);
}

static visor_vm_config protection(visor_protection kind)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;

    config.protection = kind;
    return config;
}

TEST(types_of_vms)
{
    visor_vm_config config = protection(VISOR_UNPROTECTED);

    memset(&kernel, 0, sizeof(kernel));
    if (start(&config))
        CHECK_INT(driver_call(HVM_CREATE_VM, 0)->value, 40); /* the driver did not say */
    stop();
    config.gpa_bits = 36;
    if (start(&config)) {
        CHECK_INT(driver_call(HVM_CREATE_VM, 0)->value, 36);
        CHECK_INT(visor_vm_cap(box.vm, VISOR_CAP_GPA_BITS), 36);
    }
    stop();
    kernel.gpa_bits = 36;
    config = protection(VISOR_PROTECTED);
    if (start(&config)) {
        uint64_t size = 0;

        CHECK_INT(driver_call(HVM_CREATE_VM, 0)->value, 0x80000024);
        CHECK_INT(visor_vm_seal(box.vm), VISOR_ESTATE);
        CHECK_OK(visor_vm_load_firmware(&size, box.vm, RAM, 0x10000));
        CHECK_INT(size, 0x5000);
        CHECK_OK(visor_vm_seal(box.vm));
        /* The other sub-command is for VMs without firmware. */
        CHECK_INT(driver_calls(HVM_ENABLE_CAP), 2);
        DRIVER_GAVE(
            HVM_ENABLE_CAP, 1,
            (struct hvm_enable_cap){HVM_CAP_PROTECTED_VM, {HVM_CAP_PVM_SET_PVMFW_GPA, RAM}});
    }
    stop();
    config = protection(VISOR_PROTECTED_NO_FIRMWARE);
    if (start(&config)) {
        CHECK_OK(visor_vm_seal(box.vm));
        DRIVER_GAVE(HVM_ENABLE_CAP, 0,
                    (struct hvm_enable_cap){HVM_CAP_PROTECTED_VM, {HVM_CAP_PVM_SET_PROTECTED_VM}});
    }
    stop();
}

TEST(capabilities)
{
    memset(&kernel, 0, sizeof(kernel));
    kernel.gpa_bits = 48;
    if (start(NULL)) {
        CHECK_INT(visor_hypervisor_cap(box.hv, VISOR_CAP_GPA_BITS), 48);
        CHECK_INT(visor_hypervisor_cap(box.hv, VISOR_CAP_MAX_VCPUS), 10);
        CHECK_INT(visor_hypervisor_cap(box.hv, VISOR_CAP_SWIOTLB_REGION), 0);
        CHECK_INT(visor_vm_cap(box.vm, VISOR_CAP_DIRTY_LOG), 0);
    }
    stop();
}

/* One of its drivers would write past its table. */
TEST(vcpu_ids_are_bounded)
{
    memset(&kernel, 0, sizeof(kernel));
    if (start(NULL)) {
        CHECK_INT(visor_vcpu_create(&box.vcpu, box.vm, 10), VISOR_ELIMIT);
        CHECK_INT(driver_calls(HVM_CREATE_VCPU), 0);
        CHECK_OK(visor_vcpu_create(&box.vcpu, box.vm, 9));
    }
    stop();
}

TEST(exits)
{
    static const int expected[] = {
        VISOR_EXIT_MMIO,           VISOR_EXIT_IRQ_WINDOW,   VISOR_EXIT_MEMORY_FAULT,
        VISOR_EXIT_INTERNAL_ERROR, VISOR_EXIT_SYSTEM_EVENT, VISOR_EXIT_SHUTDOWN,
        VISOR_EXIT_INTR,           VISOR_EXIT_INTR,         VISOR_EXIT_UNKNOWN,
    };

    memset(&kernel, 0, sizeof(kernel));
    if (start(NULL) && CHECK_OK(visor_vcpu_create(&box.vcpu, box.vm, 0))) {
        for (unsigned i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
            CHECK_INT(visor_vcpu_run(box.vcpu), expected[i]);
        CHECK_INT(visor_vcpu_exit(box.vcpu)->raw, 0x484c0009);
    }
    stop();
}

/* The driver wakes the vCPU without looking whether it is there. */
TEST(interrupts_need_their_vcpu)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    int event = eventfd(0, EFD_CLOEXEC);

    config.irqchip = VISOR_IRQCHIP_KERNEL;
    memset(&kernel, 0, sizeof(kernel));
    if (start(&config) && CHECK_OK(visor_vcpu_create(&box.vcpu, box.vm, 1))) {
        CHECK_INT(visor_vm_add_irq_event(box.vm, 1, event, VISOR_EVENT_NONE), VISOR_ESTATE);
        CHECK_INT(visor_vm_set_irq(box.vm, 1, true), VISOR_ESTATE);
        CHECK_INT(driver_calls(HVM_IRQFD) + driver_calls(HVM_IRQ_LINE), 0);
    }
    stop();
    close(event);
}

UNIT_MAIN()
