/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening, capabilities, lifetimes, errors. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

CASE(api, open_by_name, "the backend can be opened by its name, several times")
{
    visor_hypervisor *first, *second;
    const char *name = visor_hypervisor_backend(g->hv);

    CHECK_OK(visor_hypervisor_open(&first, name));
    CHECK_OK(visor_hypervisor_open(&second, name));
    CHECK(strcmp(visor_hypervisor_backend(first), name) == 0);
    CHECK(visor_hypervisor_version(first)[0] != '\0');
    CHECK(visor_hypervisor_reason(first)[0] != '\0');
    CHECK(visor_hypervisor_has_arch(first, VISOR_ARCH_X86_64) ||
          visor_hypervisor_has_arch(first, VISOR_ARCH_AARCH64) ||
          visor_hypervisor_has_arch(first, VISOR_ARCH_RISCV64));
    visor_hypervisor_free(first);
    visor_hypervisor_free(second);
}

CASE(api, bad_specifications, "unknown names, unknown options, unbalanced brackets: EINVAL")
{
    static const char *const bad[] = {"nosuch",
                                      "kvm[",
                                      "kvm]",
                                      "kvm[nosuch=1]",
                                      "kvm[device]",
                                      "[device=x]",
                                      "kvm[device=/dev/kvm]x"};
    visor_hypervisor *hv = NULL;

    (void)g;
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int result = visor_hypervisor_open(&hv, bad[i]);

        if (result != VISOR_EINVAL)
            FAIL("\"%s\": %s, should be EINVAL", bad[i], visor_error_name(result));
        CHECK(hv == NULL);
        CHECK(visor_error_last()->detail[0] != '\0');
    }
}

CASE(api, device_absent, "a device that is not there, or is none, and one without permission")
{
    static const char *const with_node[] = {"kvm", "geniezone", "gunyah", "halla"};
    const char *backend = visor_hypervisor_backend(g->hv);
    visor_hypervisor *hv = NULL;
    char path[64], spec[128];
    unsigned i = 0;

    while (i < 4 && strcmp(backend, with_node[i]) != 0)
        i++;
    if (i == 4)
        SKIP("this backend has no device node");
    snprintf(spec, sizeof(spec), "%s[device=/dev/no-such-device]", backend);
    CHECK_ERROR(visor_hypervisor_open(&hv, spec), EABSENT);
    CHECK(visor_error_last()->hint[0] != '\0');
    CHECK_EQ(visor_error_last()->native, ENOENT);
    snprintf(spec, sizeof(spec), "%s[device=/dev/null]", backend);
    CHECK_ERROR(visor_hypervisor_open(&hv, spec), EBROKEN);
    permission_drop(path, sizeof(path));
    snprintf(spec, sizeof(spec), "%s[device=%s]", backend, path);
    CHECK_ERROR(visor_hypervisor_open(&hv, spec), EACCESS);
    CHECK(visor_error_last()->hint[0] != '\0');
    permission_restore(path);
    CHECK(hv == NULL);
}

static void need_kvm(struct guest *g)
{
    if (strcmp(visor_hypervisor_backend(g->hv), "kvm") != 0)
        SKIP("the numbers here are KVM's");
}

CASE(api, probe, "a probe runs a guest and says what came of it")
{
    visor_probe probe = VISOR_PROBE_INIT;

    (void)g;
    CHECK_OK(visor_hypervisor_probe(&probe, suite_options.hypervisor));
    CHECK_EQ(probe.status, 0);
    CHECK(probe.detail[0] != '\0');
    note("%s: %.1f MIPS", probe.detail, probe.mips);
    CHECK(probe.mips > 0);
    CHECK_ERROR(visor_hypervisor_probe(&probe, "nosuch[x"), EINVAL);
}

CASE(api, capabilities, "capabilities: known ones, unknown ones, without and with a VM")
{
    CHECK_EQ(visor_hypervisor_cap(g->hv, VISOR_CAP_USER_MEMORY), 1);
    CHECK_EQ(visor_hypervisor_cap(g->hv, VISOR_CAP_KICK), 1);
    CHECK(visor_hypervisor_cap(g->hv, VISOR_CAP_MAX_VCPUS) >= 1);
    CHECK(visor_hypervisor_cap(g->hv, VISOR_CAP_GPA_BITS) >= 32);
    CHECK_EQ(visor_hypervisor_cap(g->hv, (visor_cap)10000), 0);
    guest_create(g, NULL);
    CHECK_EQ(visor_vm_cap(g->vm, VISOR_CAP_USER_MEMORY), 1);
    CHECK_EQ(visor_vm_cap(g->vm, (visor_cap)10000), 0);
    CHECK(visor_vm_cap(g->vm, VISOR_CAP_MAX_SLOTS) >= 8);
    CHECK(visor_vm_hypervisor(g->vm) == g->hv);
    for (int i = 0; i < VISOR_CAP_COUNT; i++)
        note("%s = %lld", visor_cap_name((visor_cap)i),
             (long long)visor_vm_cap(g->vm, (visor_cap)i));
}

/* Numbers of linux/kvm.h. */
CASE(api, capabilities_agree, "what the library says is what the kernel says")
{
    static const struct {
        visor_cap cap;
        uint32_t number;
    } same[] = {{VISOR_CAP_READ_ONLY, 81},      {VISOR_CAP_IRQFD, 32},
                {VISOR_CAP_IRQFD_RESAMPLE, 82}, {VISOR_CAP_IO_EVENTS, 36},
                {VISOR_CAP_X86_XCRS, 56},       {VISOR_CAP_IRQCHIP, 0},
                {VISOR_CAP_IRQCHIP_SPLIT, 121}, {VISOR_CAP_X86_MSR_EXITS, 188},
                {VISOR_CAP_SYNC_REGS, 74},      {VISOR_CAP_MSI, 77},
                {VISOR_CAP_MEMORY_FAULT, 232},  {VISOR_CAP_IO_COALESCE, 15},
                {VISOR_CAP_PV_CLOCK, 39}};
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    int64_t native;

    need_kvm(g);
    NEED(g, IRQCHIP);
    config.irqchip = VISOR_IRQCHIP_KERNEL; /* without one, interrupts by events have no sense */
    guest_create(g, &config);
    for (unsigned i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        CHECK_OK(visor_vm_native_cap(&native, g->vm, same[i].number));
        if ((visor_vm_cap(g->vm, same[i].cap) > 0) != (native > 0))
            FAIL("%s is %d, KVM_CHECK_EXTENSION(%u) is %d", visor_cap_name(same[i].cap),
                 (int)visor_vm_cap(g->vm, same[i].cap), same[i].number, (int)native);
    }
    /* Not only 1 means present: counts come through as they are. */
    CHECK_OK(visor_vm_native_cap(&native, g->vm, 3)); /* user memory */
    CHECK_EQ(native, 1);
    CHECK_OK(visor_vm_native_cap(&native, g->vm, 10)); /* memory slots */
    CHECK_EQ(native, visor_vm_cap(g->vm, VISOR_CAP_MAX_SLOTS));
    CHECK_OK(visor_vm_native_cap(&native, g->vm, 42)); /* S390 PSW */
    CHECK_EQ(native, 0);
}

CASE(api, native_handle, "the VM's descriptor can be handed on")
{
    visor_file file;
    int result;

    guest_create(g, NULL);
    result = visor_vm_native_handle(&file, g->vm);
    if (result == VISOR_EUNSUPPORTED)
        SKIP("%s", visor_error_last()->detail);
    CHECK_OK(result);
    file_check_private(file);
    file_close(file);
    guest_add_vcpu(g, 0);
    guest_restart(g, g->vcpu, guest_load[0], guest_data, 0, 0);
    CHECK_EQ(GUEST_FINISH(g), 0);
}

CASE(api, vfio, "the VFIO device can be created where there is one")
{
    visor_file file;

    guest_create(g, NULL);
    if (visor_vm_cap(g->vm, VISOR_CAP_VFIO) <= 0) {
        CHECK(visor_vm_create_vfio(&file, g->vm) < 0);
        NEED(g, VFIO);
    }
    CHECK_OK(visor_vm_create_vfio(&file, g->vm));
    file_close(file);
}

CASE(api, native_enable, "a feature in the hypervisor's own numbering")
{
    const uint64_t none[4] = {0};
    int64_t answer;
    visor_vm_config config = VISOR_VM_CONFIG_INIT;

    need_kvm(g);
    NEED(g, IRQCHIP);
    config.irqchip = VISOR_IRQCHIP_KERNEL;
    guest_create(g, &config);
    guest_add_vcpu(g, 0);
    CHECK_OK(visor_vm_native_cap(&answer, g->vm, 123)); /* KVM_CAP_HYPERV_SYNIC */
    if (answer > 0)
        CHECK_OK(visor_vcpu_native_enable(g->vcpu, 123, none));
    CHECK(visor_vcpu_native_enable(g->vcpu, 0xfffffff0u, none) < 0);
}

CASE(api, configurations, "impossible VMs are refused, with a reason")
{
    const visor_memory_region region = {.gpa = guest_base, .length = GUEST_RAM};
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    union {
        visor_vm_config config;
        uint8_t bytes[sizeof(visor_vm_config) + 16];
    } larger = {.config = VISOR_VM_CONFIG_INIT};

    CHECK_OK(visor_memory_create(&g->memory, &region, 1, NULL));
    config.arch = VISOR_ARCH_RISCV64;
    if (!visor_hypervisor_has_arch(g->hv, VISOR_ARCH_RISCV64))
        CHECK_ERROR(visor_vm_create(&g->vm, g->hv, g->memory, &config), EUNSUPPORTED);
    config.arch = (visor_arch)99;
    CHECK(visor_vm_create(&g->vm, g->hv, g->memory, &config) < 0);
    config = (visor_vm_config)VISOR_VM_CONFIG_INIT;
    config.size = 0;
    CHECK_ERROR(visor_vm_create(&g->vm, g->hv, g->memory, &config), EINVAL);
    /* A newer caller: zeros in what this library does not know are fine, all else is refused. */
    larger.config.size = sizeof(larger);
    larger.bytes[sizeof(larger) - 1] = 1;
    CHECK_ERROR(visor_vm_create(&g->vm, g->hv, g->memory, &larger.config), EINVAL);
    larger.bytes[sizeof(larger) - 1] = 0;
    CHECK_OK(visor_vm_create(&g->vm, g->hv, g->memory, &larger.config));
}

CASE(api, vcpu_ids, "an id is used once; ids that cannot be are refused")
{
    visor_vcpu *other = NULL;

    guest_create(g, NULL);
    guest_add_vcpu(g, 0);
    CHECK_EQ(visor_vcpu_id(g->vcpu), 0);
    CHECK(visor_vcpu_vm(g->vcpu) == g->vm);
    CHECK_ERROR(visor_vcpu_create(&other, g->vm, 0), EEXIST);
    CHECK(visor_vcpu_create(&other, g->vm, UINT32_MAX) < 0);
    CHECK(other == NULL);
    CHECK_OK(visor_vcpu_create(&other, g->vm, 7));
    CHECK_EQ(visor_vcpu_id(other), 7);
    visor_vcpu_free(other);
}

CASE(api, order_of_freeing, "children keep their parents alive: free in any order")
{
    visor_hypervisor *hv = NULL;
    struct guest own = {0};

    CHECK_OK(visor_hypervisor_open(&hv, suite_options.hypervisor));
    own.hv = hv;
    guest_start(&own, guest_count, guest_data, 10, 0, NULL);
    visor_hypervisor_free(hv);
    visor_vm_free(own.vm);
    visor_memory_free(own.memory);
    CHECK_EQ(guest_finish_at(HERE, own.vcpu), 1);
    visor_vcpu_free(own.vcpu);
    visor_vcpu_free(NULL);
    visor_vm_free(NULL);
    visor_memory_free(NULL);
    visor_mapping_free(NULL);
    visor_hypervisor_free(NULL);
    (void)g;
}

static void *free_vm(void *vm)
{
    visor_vm_free(vm);
    return NULL;
}

CASE(api, vm_on_another_thread, "a VM can be used and freed by a thread that did not make it")
{
    pthread_t thread;

    guest_create(g, NULL);
    if (pthread_create(&thread, NULL, free_vm, g->vm) != 0)
        FAIL("cannot make a thread");
    pthread_join(thread, NULL);
    g->vm = NULL;
}

static void *run_count(void *argument)
{
    visor_vcpu *vcpu = argument;

    for (unsigned i = 1; i <= 200; i++) {
        if (guest_finish_at(HERE, vcpu) != i)
            FAIL("vCPU %u lost count", visor_vcpu_id(vcpu));
    }
    return NULL;
}

CASE(api, four_vcpus, "four vCPUs run at the same time")
{
    visor_vcpu *vcpus[4];
    pthread_t threads[4];

    guest_create(g, NULL);
    for (unsigned i = 0; i < 4; i++) {
        vcpus[i] = guest_add_vcpu(g, i);
        guest_restart(g, vcpus[i], guest_count, guest_data + 64 * i, 200, 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        if (pthread_create(&threads[i], NULL, run_count, vcpus[i]) != 0)
            FAIL("cannot make a thread");
    }
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(peek(g, guest_data + 64 * i, 8), 200);
    for (unsigned i = 1; i < 4; i++)
        visor_vcpu_free(vcpus[i]);
}

CASE(api, moves_between_threads, "a vCPU may go from thread to thread")
{
    pthread_t thread;

    guest_start(g, guest_count, guest_data, 1000, 0, NULL);
    if (pthread_create(&thread, NULL, run_count, g->vcpu) != 0)
        FAIL("cannot make a thread");
    pthread_join(thread, NULL);
    CHECK_EQ(GUEST_FINISH(g), 201);
}

CASE(api, moves_between_programs, "a vCPU goes on with another program on another thread")
{
    pthread_t thread;

    guest_start(g, guest_spin, guest_data, 0, 0, NULL);
    kick_later(g->vcpu, 10);
    RUN_TO(g, KICKED);
    guest_restart(g, g->vcpu, guest_count, guest_data + 8, 1000, 0);
    if (pthread_create(&thread, NULL, run_count, g->vcpu) != 0)
        FAIL("cannot make a thread");
    pthread_join(thread, NULL);
}

CASE_SLOW(api, create_and_destroy, 6,
          "making and freeing VMs many times leaves no descriptor behind")
{
    unsigned before = 0,
             rounds = suite_options.stress / 10 < 1000 ? suite_options.stress / 10 : 1000;

    for (unsigned i = 0; i < rounds; i++) {
        struct guest own = {.hv = g->hv};

        guest_start(&own, guest_count, guest_data, 10, 0, NULL);
        CHECK_EQ(guest_finish_at(HERE, own.vcpu), 1);
        visor_vcpu_free(own.vcpu);
        visor_vm_free(own.vm);
        visor_memory_free(own.memory);
        if (i == 0)
            before = host_count_handles();
    }
    CHECK_EQ(host_count_handles(), before);
}

CASE(api, errors_are_described,
     "every error has a name, a text, an operation and a line for people")
{
    char line[512], shortened[8];
    visor_mapping *mapping;
    int length;

    guest_create(g, NULL);
    CHECK_ERROR(visor_vm_remove_slot(&mapping, g->vm, 77), ENOENT);
    CHECK(strcmp(visor_error_name(VISOR_ENOENT), "ENOENT") == 0);
    CHECK(visor_error_text(VISOR_ENOENT)[0] != '\0');
    CHECK(strcmp(visor_error_name(0), "ok") == 0);
    CHECK(strcmp(visor_error_name(-9999), "unknown") == 0);
    length = visor_error_format(line, sizeof(line));
    CHECK(length > 0 && (size_t)length == strlen(line));
    CHECK_EQ(visor_error_format(shortened, sizeof(shortened)), length);
    CHECK_EQ(strlen(shortened), sizeof(shortened) - 1);
    CHECK(strstr(line, "77") != NULL);
}

CASE(api, exits_are_named, "every exit has a name and a text")
{
    for (int i = 0; i < VISOR_EXIT_COUNT; i++) {
        CHECK(visor_exit_name(i)[0] != '\0');
        CHECK(visor_exit_text(i)[0] != '\0');
    }
    CHECK(strcmp(visor_exit_name(VISOR_EXIT_MMIO), "mmio") == 0);
    CHECK(strcmp(visor_exit_name(-5), "unknown") == 0);
    CHECK(strcmp(visor_exit_name(12345), "unknown") == 0);
    (void)g;
}

static void count_line(void *context, const char *line)
{
    unsigned *count = context;

    CHECK(strchr(line, '\n') == NULL);
    *count += 1;
}

CASE(api, dump, "a vCPU's state as text")
{
    unsigned count = 0;

    guest_start(g, guest_count, guest_data, 10, 0, NULL);
    CHECK_EQ(GUEST_FINISH(g), 1);
    CHECK_OK(visor_vcpu_dump(g->vcpu, count_line, &count));
    CHECK(count >= 10);
}
