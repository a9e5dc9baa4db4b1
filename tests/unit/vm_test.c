/* SPDX-License-Identifier: BSD-3-Clause */
/* VMs and vCPUs as objects: creation, references, capabilities, exits. */
#include "guest.h"
#include "host.h"

TEST(freeing_works_in_any_order)
{
    struct guest guest;

    REQUIRE(guest_create(&guest, NULL));
    visor_hypervisor_free(guest.hv);
    visor_memory_free(guest.memory);
    visor_vm_free(guest.vm);
    /* The vCPU keeps all of them. */
    CHECK_STR(visor_hypervisor_backend(visor_vm_hypervisor(visor_vcpu_vm(guest.vcpu))), "null");
    CHECK_INT(visor_memory_size(visor_vm_memory(visor_vcpu_vm(guest.vcpu))), RAM_SIZE);
    CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_HLT);
    visor_vcpu_free(guest.vcpu);
    visor_vm_free(NULL);
    visor_vcpu_free(NULL);
}

TEST(many_guests_leave_nothing_behind)
{
    visor_event event = make_event();
    uint64_t memory = 0;
    int files = 0;

    for (int i = 0; i < HOST_MANY_VMS; i++) {
        visor_vm_config config = VISOR_VM_CONFIG_INIT;
        visor_slot_config slot_config = VISOR_SLOT_CONFIG_INIT;
        visor_io_event io_event = {.event = event, .space = VISOR_PIO, .address = 1};
        visor_mapping *mapping;
        struct guest guest;
        uint32_t slot;

        if (i == 100) { /* the first ones fill caches of the C library, which count as in use */
            files = open_files();
            memory = heap_used();
        }
        config.irqchip = VISOR_IRQCHIP_KERNEL;
        slot_config.gpa = HOLE;
        slot_config.log_dirty = true;
        REQUIRE(guest_create(&guest, &config));
        REQUIRE_OK(visor_mapping_create(&mapping, PAGE));
        REQUIRE_OK(visor_vm_add_slot(&slot, guest.vm, mapping, &slot_config));
        REQUIRE_OK(visor_vm_add_io_event(guest.vm, &io_event));
        REQUIRE_OK(visor_vm_add_irq_event(guest.vm, 4, event, event));
        visor_vcpu_kick(guest.vcpu);
        CHECK_INT(visor_vcpu_run(guest.vcpu), VISOR_EXIT_KICKED);
        guest_free(&guest);
    }
    CHECK_INT(open_files(), files);
    CHECK_INT(heap_used(), memory);
    close_event(event);
}

TEST(a_bad_configuration_is_refused)
{
    static const struct {
        visor_vm_config config;
        int error;
    } cases[] = {
        {{.size = sizeof(visor_vm_config), .arch = (visor_arch)9}, VISOR_EINVAL},
        {{.size = sizeof(visor_vm_config), .irqchip = (visor_irqchip)9}, VISOR_EINVAL},
        {{.size = sizeof(visor_vm_config), .protection = (visor_protection)9}, VISOR_EINVAL},
        {{.size = sizeof(visor_vm_config), .dirty_ring_entries = 100}, VISOR_EINVAL},
        {{.size = sizeof(visor_vm_config), .arch = VISOR_ARCH_RISCV64}, VISOR_EUNSUPPORTED},
        {{.size = 0}, VISOR_EINVAL},
    };
    const visor_memory_region ram = {.length = RAM_SIZE};
    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vm *vm = NULL;

    REQUIRE_OK(visor_hypervisor_open(&hv, "null"));
    REQUIRE_OK(visor_memory_create(&memory, &ram, 1, NULL));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        CHECK_INT(visor_vm_create(&vm, hv, memory, &cases[i].config), cases[i].error);
    CHECK(vm == NULL);
    visor_memory_free(memory);
    visor_hypervisor_free(hv);
}

TEST(an_unknown_tail_of_a_configuration_is_refused_unless_zero)
{
    struct {
        visor_vm_config config;
        uint64_t later;
    } big = {.config = {.size = sizeof(big), .arch = VISOR_ARCH_X86_64}};
    const visor_memory_region ram = {.length = RAM_SIZE};
    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vm *vm = NULL;

    REQUIRE_OK(visor_hypervisor_open(&hv, "null"));
    REQUIRE_OK(visor_memory_create(&memory, &ram, 1, NULL));
    REQUIRE_OK(visor_vm_create(&vm, hv, memory, &big.config));
    visor_vm_free(vm);
    big.later = 1;
    CHECK_INT(visor_vm_create(&vm, hv, memory, &big.config), VISOR_EINVAL);
    visor_memory_free(memory);
    visor_hypervisor_free(hv);
}

TEST(memory_beyond_the_address_width_is_refused)
{
    const visor_memory_region ram = {.gpa = UINT64_C(1) << 40, .length = RAM_SIZE};
    const visor_memory_region odd = {.gpa = 0x800, .length = RAM_SIZE};
    const visor_vm_config config = GUEST_CONFIG_INIT;
    visor_hypervisor *hv;
    visor_memory *memory;
    visor_vm *vm;

    REQUIRE_OK(visor_hypervisor_open(&hv, "null"));
    REQUIRE_OK(visor_memory_create(&memory, &ram, 1, NULL));
    CHECK_INT(visor_vm_create(&vm, hv, memory, &config), VISOR_EOVERFLOW);
    visor_memory_free(memory);
    if (visor_memory_create(&memory, &odd, 1, NULL) == 0) {
        CHECK_INT(visor_vm_create(&vm, hv, memory, &config), VISOR_EALIGN);
        visor_memory_free(memory);
    }
    visor_hypervisor_free(hv);
}

TEST(a_table_decides_its_capabilities)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    struct visor_backend bare;
    visor_hypervisor *hv;
    struct guest guest;

    REQUIRE_OK(visor_hypervisor_open(&hv, "null"));
    CHECK_INT(visor_hypervisor_cap(hv, VISOR_CAP_IRQFD), 1);
    CHECK_INT(visor_hypervisor_cap(hv, VISOR_CAP_IRQCHIP), 1);
    CHECK_INT(visor_hypervisor_cap(hv, VISOR_CAP_IO_COALESCE), 1);
    CHECK_INT(visor_hypervisor_cap(hv, VISOR_CAP_DIRTY_LOG), 0); /* needs a VM */
    CHECK_INT(visor_hypervisor_cap(hv, VISOR_CAP_COUNT), 0);

    config.irqchip = VISOR_IRQCHIP_KERNEL;
    REQUIRE(guest_create_on(&guest, visor_hypervisor_ref(hv), &config));
    CHECK_INT(visor_vm_cap(guest.vm, VISOR_CAP_DIRTY_LOG), 1);
    CHECK_INT(visor_vm_cap(guest.vm, VISOR_CAP_IRQFD), 1);
    CHECK_INT(visor_vm_cap(guest.vm, VISOR_CAP_READ_ONLY), 1);
    CHECK_INT(visor_vm_cap(guest.vm, VISOR_CAP_HW_BREAKPOINTS), 4);
    guest_free(&guest);

    bare = *hv->backend;
    bare.irq = NULL;
    bare.coalesce = NULL;
    bare.dirty = NULL;
    bare.debug = NULL;
    hv->backend = &bare;
    CHECK_INT(visor_hypervisor_cap(hv, VISOR_CAP_IRQFD), 0);
    CHECK_INT(visor_hypervisor_cap(hv, VISOR_CAP_IRQCHIP), 0);
    CHECK_INT(visor_hypervisor_cap(hv, VISOR_CAP_IO_COALESCE), 0);
    config.irqchip = VISOR_IRQCHIP_NONE;
    config.no_read_only = true;
    REQUIRE(guest_create_on(&guest, hv, &config));
    CHECK_INT(visor_vm_cap(guest.vm, VISOR_CAP_DIRTY_LOG), 0);
    CHECK_INT(visor_vm_cap(guest.vm, VISOR_CAP_HW_BREAKPOINTS), 0);
    CHECK_INT(visor_vm_cap(guest.vm, VISOR_CAP_READ_ONLY), 0);
    CHECK_INT(visor_vcpu_set_debug(guest.vcpu, NULL), VISOR_EUNSUPPORTED);
    guest_free(&guest);
}

TEST(names_of_capabilities_and_exits)
{
    CHECK_STR(visor_cap_name(VISOR_CAP_IRQFD_RESAMPLE), "irqfd_resample");
    CHECK_STR(visor_cap_name(VISOR_CAP_COUNT), "unknown");
    CHECK_STR(visor_exit_name(VISOR_EXIT_MMIO), "mmio");
    CHECK_STR(visor_exit_name(-5), "unknown");
    CHECK_STR(visor_exit_text(VISOR_EXIT_COUNT), visor_exit_text(VISOR_EXIT_UNKNOWN));
}

TEST(an_id_is_used_once)
{
    struct guest guest;
    visor_vcpu *vcpu = NULL;

    REQUIRE(guest_create(&guest, NULL));
    CHECK_INT(visor_vcpu_create(&vcpu, guest.vm, 0), VISOR_EEXIST);
    REQUIRE_OK(visor_vcpu_create(&vcpu, guest.vm, 7));
    CHECK_INT(visor_vcpu_id(vcpu), 7);
    visor_vcpu_free(vcpu);
    CHECK_INT(visor_vcpu_create(&vcpu, guest.vm, 7), VISOR_EEXIST);
    guest_free(&guest);
}

TEST(the_number_of_vcpus_is_limited)
{
    visor_vcpu *vcpus[64];
    struct guest guest;
    int64_t max;

    REQUIRE(guest_create(&guest, NULL));
    max = visor_vm_cap(guest.vm, VISOR_CAP_MAX_VCPUS);
    REQUIRE(max == 64);
    for (uint32_t id = 1; id < 64; id++)
        REQUIRE_OK(visor_vcpu_create(&vcpus[id], guest.vm, id));
    CHECK_INT(visor_vcpu_create(&vcpus[0], guest.vm, 64), VISOR_ELIMIT);
    for (uint32_t id = 1; id < 64; id++)
        visor_vcpu_free(vcpus[id]);
    guest_free(&guest);
}

TEST(a_balloon_frees_whole_pages_of_one_region)
{
    struct guest guest;
    uint8_t *host;

    REQUIRE(guest_create(&guest, NULL));
    REQUIRE_OK(visor_memory_ptr((void **)&host, guest.memory, 0, RAM_SIZE));
    host[PAGE] = host[2 * PAGE] = 1;
    CHECK_OK(visor_vm_balloon_inflate(guest.vm, PAGE, PAGE));
    CHECK_INT(host[PAGE], 0);
    CHECK_INT(host[2 * PAGE], 1);
    CHECK_OK(visor_vm_balloon_deflate(guest.vm, PAGE, PAGE));
    CHECK_INT(visor_vm_balloon_inflate(guest.vm, PAGE, 1), VISOR_EALIGN);
    CHECK_INT(visor_vm_balloon_inflate(guest.vm, 1, PAGE), VISOR_EALIGN);
    CHECK_INT(visor_vm_balloon_inflate(guest.vm, RAM_SIZE, PAGE), VISOR_ERANGE);
    CHECK_INT(visor_vm_balloon_deflate(guest.vm, RAM_SIZE - PAGE, 2 * PAGE), VISOR_ERANGE);
    guest_free(&guest);
}

TEST(what_a_backend_lacks_is_unsupported)
{
    struct visor__vm_ops vm_ops;
    struct visor__vcpu_ops vcpu_ops;
    struct visor_backend bare;
    visor_hypervisor *hv;
    struct guest guest;
    visor_file file;
    int64_t value;
    uint64_t ns;

    REQUIRE_OK(visor_hypervisor_open(&hv, "null"));
    bare = *hv->backend;
    vm_ops = *bare.vm;
    vm_ops.native_cap = NULL;
    vm_ops.native_handle = NULL;
    vm_ops.create_vfio = NULL;
    vm_ops.enable_hypercalls = NULL;
    vcpu_ops = *bare.vcpu;
    vcpu_ops.native_enable = NULL;
    vcpu_ops.paused = NULL;
    bare.vm = &vm_ops;
    bare.vcpu = &vcpu_ops;
    bare.clock = NULL;
    hv->backend = &bare;
    REQUIRE(guest_create_on(&guest, hv, NULL));
    CHECK_INT(visor_vm_native_cap(&value, guest.vm, 0), VISOR_EUNSUPPORTED);
    CHECK_INT(visor_vm_native_handle(&file, guest.vm), VISOR_EUNSUPPORTED);
    CHECK_INT(visor_vm_create_vfio(&file, guest.vm), VISOR_EUNSUPPORTED);
    CHECK_INT(visor_vm_enable_hypercalls(guest.vm, 0, 1), VISOR_EUNSUPPORTED);
    CHECK_INT(visor_vm_enable_hypercalls(guest.vm, UINT32_MAX, 2), VISOR_EINVAL);
    CHECK_INT(visor_vm_get_clock(&ns, guest.vm), VISOR_EUNSUPPORTED);
    CHECK_INT(visor_vm_set_clock(guest.vm, 1), VISOR_EUNSUPPORTED);
    CHECK_INT(visor_vcpu_native_enable(guest.vcpu, 0, NULL), VISOR_EUNSUPPORTED);
    CHECK_OK(visor_vcpu_paused(guest.vcpu));
    guest_free(&guest);
}

UNIT_MAIN()
