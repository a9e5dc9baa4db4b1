/* SPDX-License-Identifier: BSD-3-Clause */
/* Every operation of a backend fails once: its error must reach the caller, and nothing may leak.
 */
#include "guest.h"

static visor_event event;

/* ---- how each operation is reached from the public API ---- */

static int call_hv_x86_cpuid(struct guest *guest)
{
    visor_x86_cpuid_entry entries[8];
    int ret = visor_x86_supported_cpuid(entries, 8, guest->hv);

    return ret < 0 ? ret : 0;
}

static int call_hv_x86_msr_list(struct guest *guest)
{
    uint32_t list[NULL_MSRS];
    int ret = visor_x86_msr_list(list, NULL_MSRS, guest->hv);

    return ret < 0 ? ret : 0;
}

static int add_slot(visor_mapping **out, uint32_t *slot, struct guest *guest)
{
    visor_slot_config config = VISOR_SLOT_CONFIG_INIT;
    int ret = visor_mapping_create(out, PAGE);

    if (ret < 0)
        return ret;
    config.gpa = HOLE;
    config.log_dirty = true;
    ret = visor_vm_add_slot(slot, guest->vm, *out, &config);
    if (ret < 0)
        visor_mapping_free(*out);
    return ret;
}

static int call_vm_map(struct guest *guest)
{
    visor_mapping *mapping;
    uint32_t slot;

    return add_slot(&mapping, &slot, guest);
}

static int call_vm_unmap(struct guest *guest)
{
    visor_mapping *mapping, *back = NULL;
    uint32_t slot = 1; /* which is still there if it could not be removed */
    int ret = add_slot(&mapping, &slot, guest);

    if (ret < 0 && ret != VISOR_EEXIST)
        return ret;
    ret = visor_vm_remove_slot(&back, guest->vm, slot);
    visor_mapping_free(back);
    return ret;
}

static int call_vm_native_cap(struct guest *guest)
{
    int64_t value;

    return visor_vm_native_cap(&value, guest->vm, 0);
}

static int call_vm_native_handle(struct guest *guest)
{
    visor_file file;

    return visor_vm_native_handle(&file, guest->vm);
}

static int call_vm_create_vfio(struct guest *guest)
{
    visor_file file;

    return visor_vm_create_vfio(&file, guest->vm);
}

static int call_vm_enable_hypercalls(struct guest *guest)
{
    return visor_vm_enable_hypercalls(guest->vm, 0, 1);
}

static int call_vm_inflate(struct guest *guest)
{
    return visor_vm_balloon_inflate(guest->vm, 0, PAGE);
}

static int call_vm_deflate(struct guest *guest)
{
    return visor_vm_balloon_deflate(guest->vm, 0, PAGE);
}

static int call_vcpu_create(struct guest *guest)
{
    visor_vcpu *vcpu;
    int ret = visor_vcpu_create(&vcpu, guest->vm, 1);

    if (ret == 0)
        visor_vcpu_free(vcpu);
    return ret;
}

static int call_vcpu_run(struct guest *guest)
{
    int ret;

    visor_vcpu_kick(guest->vcpu); /* with a chip a guest waits in its halt */
    ret = visor_vcpu_run(guest->vcpu);
    return ret < 0 ? ret : 0;
}

static int call_vcpu_settle(struct guest *guest)
{
    return visor_vcpu_settle(guest->vcpu);
}

static int call_vcpu_get_state(struct guest *guest)
{
    visor_x86_regs regs;

    return visor_x86_get_regs(&regs, guest->vcpu);
}

static int call_vcpu_set_state(struct guest *guest)
{
    const visor_x86_regs regs = {.rip = SCRIPT_GPA};

    return visor_x86_set_regs(guest->vcpu, &regs);
}

static int call_vcpu_paused(struct guest *guest)
{
    return visor_vcpu_paused(guest->vcpu);
}

static int call_vcpu_native_enable(struct guest *guest)
{
    return visor_vcpu_native_enable(guest->vcpu, 0, (const uint64_t[4]){0});
}

static int call_irq_set_irq(struct guest *guest)
{
    return visor_vm_set_irq(guest->vm, 4, true);
}

static int call_irq_add_event(struct guest *guest)
{
    return visor_vm_add_irq_event(guest->vm, 4, event, event);
}

static int call_irq_remove_event(struct guest *guest)
{
    int ret = visor_vm_add_irq_event(guest->vm, 4, event, event);

    /* The first try may have failed: then it is still there. */
    if (ret < 0 && ret != VISOR_EEXIST)
        return ret;
    return visor_vm_remove_irq_event(guest->vm, 4, event);
}

static int call_irq_set_routes(struct guest *guest)
{
    return visor_vm_set_routes(guest->vm, NULL, 0);
}

static int call_irq_send_msi(struct guest *guest)
{
    const visor_msi msi = {.address = 0xfee00000};
    int ret = visor_vm_send_msi(guest->vm, &msi);

    return ret < 0 ? ret : 0;
}

static int call_io_event_add(struct guest *guest)
{
    const visor_io_event io = {.event = event, .space = VISOR_PIO, .address = 1};

    return visor_vm_add_io_event(guest->vm, &io);
}

static int call_io_event_remove(struct guest *guest)
{
    const visor_io_event io = {.event = event, .space = VISOR_PIO, .address = 1};
    int ret = visor_vm_add_io_event(guest->vm, &io);

    if (ret < 0 && ret != VISOR_EEXIST)
        return ret;
    return visor_vm_remove_io_event(guest->vm, &io);
}

static int drop(void *context, visor_vcpu *vcpu, visor_io *io)
{
    (void)context;
    (void)vcpu;
    (void)io;
    return VISOR_IO_DONE;
}

static int map_coalesced(struct guest *guest)
{
    visor_io_range range = VISOR_IO_RANGE_INIT;

    range.address = HOLE;
    range.length = 4;
    range.handler = drop;
    range.coalesce = true;
    return visor_vm_map_io(guest->vm, &range);
}

static int call_coalesce_add(struct guest *guest)
{
    return map_coalesced(guest);
}

static int call_coalesce_remove(struct guest *guest)
{
    int ret = map_coalesced(guest);

    if (ret < 0 && ret != VISOR_EEXIST)
        return ret;
    return visor_vm_unmap_io(guest->vm, VISOR_MMIO, HOLE, 4);
}

static int call_coalesce_take(struct guest *guest)
{
    int ret = map_coalesced(guest);

    if (ret < 0 && ret != VISOR_EEXIST)
        return ret;
    return visor_vm_flush_io(guest->vm);
}

static void ignore_page(void *context, uint32_t slot, uint64_t offset)
{
    (void)context;
    (void)slot;
    (void)offset;
}

static int call_dirty_log(struct guest *guest)
{
    visor_mapping *mapping;
    uint32_t slot;
    int ret = add_slot(&mapping, &slot, guest);

    if (ret < 0 && ret != VISOR_EEXIST)
        return ret;
    return visor_vm_dirty_harvest(guest->vm, ignore_page, NULL);
}

static int call_debug_set(struct guest *guest)
{
    return visor_vcpu_set_debug(guest->vcpu, NULL);
}

static int call_clock_get(struct guest *guest)
{
    uint64_t ns;

    return visor_vm_get_clock(&ns, guest->vm);
}

static int call_clock_set(struct guest *guest)
{
    return visor_vm_set_clock(guest->vm, 1);
}

static int call_x86_ready_for_interrupt(struct guest *guest)
{
    return visor_x86_ready_for_interrupt(guest->vcpu);
}

static int call_x86_interrupt(struct guest *guest)
{
    visor_x86_regs regs = {.rflags = 0x202};
    int ret = visor_x86_set_regs(guest->vcpu, &regs);

    return ret < 0 ? ret : visor_x86_interrupt(guest->vcpu, 0x20);
}

static int call_x86_request_irq_window(struct guest *guest)
{
    return visor_x86_request_irq_window(guest->vcpu, true);
}

static int call_x86_nmi(struct guest *guest)
{
    return visor_x86_nmi(guest->vcpu);
}

static int call_x86_get_msrs(struct guest *guest)
{
    uint64_t value;

    return visor_x86_get_msr(&value, guest->vcpu, 0x174);
}

static int call_x86_set_msrs(struct guest *guest)
{
    return visor_x86_set_msr(guest->vcpu, 0x174, 8);
}

static int call_x86_get_chip(struct guest *guest)
{
    visor_x86_ioapic ioapic;

    return visor_x86_get_ioapic(&ioapic, guest->vm);
}

static int call_x86_set_chip(struct guest *guest)
{
    const visor_x86_ioapic ioapic = {0};

    return visor_x86_set_ioapic(guest->vm, &ioapic);
}

static int call_x86_set_msr_exits(struct guest *guest)
{
    return visor_x86_set_msr_exits(guest->vm, NULL, 0, true);
}

static int call_x86_set_identity_map(struct guest *guest)
{
    return visor_x86_set_identity_map(guest->vm, 0xfffbc000);
}

static int call_x86_set_tss_area(struct guest *guest)
{
    return visor_x86_set_tss_area(guest->vm, 0xfffbd000);
}

static int call_x86_set_bus_lock_exits(struct guest *guest)
{
    return visor_x86_set_bus_lock_exits(guest->vm, true);
}

static int call_x86_set_platform_info(struct guest *guest)
{
    return visor_x86_set_platform_info(guest->vm, true);
}

static int call_vm_load_firmware(struct guest *guest)
{
    uint64_t size;

    return visor_vm_load_firmware(&size, guest->vm, 0, PAGE);
}

static int call_x86_get_tsc_offset(struct guest *guest)
{
    uint64_t offset;

    return visor_x86_get_tsc_offset(&offset, guest->vcpu);
}

static int call_x86_set_tsc_offset(struct guest *guest)
{
    return visor_x86_set_tsc_offset(guest->vcpu, 1);
}

static int call_x86_get_tsc_hz(struct guest *guest)
{
    uint64_t hz;

    return visor_x86_get_tsc_hz(&hz, guest->vcpu);
}

/* These two make the guest itself. */
#define call_hv_open   NULL
#define call_vm_create NULL

static int (*const calls[NULL_OP_COUNT])(struct guest *guest) = {
#define CALL_ENTRY(table, member) [NULL_OP_##table##_##member] = call_##table##_##member,
    NULL_OPS(CALL_ENTRY)
#undef CALL_ENTRY
};

/* What succeeds in null only by being refused. */
static int success_of(int op)
{
    switch (op) {
    case NULL_OP_vm_native_handle:
    case NULL_OP_vm_create_vfio: return VISOR_EUNSUPPORTED;
    case NULL_OP_vm_load_firmware: return VISOR_ENOENT;
    default: return 0;
    }
}

/* How often making a guest calls the operation. */
static unsigned calls_to_create(int op)
{
    return op == NULL_OP_vm_map || op == NULL_OP_vcpu_create;
}

/* Makes a guest with an operation that fails, and calls it before and after it was mended. */
static void fail_and_mend(int op)
{
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    const char *name = null_op_name((enum null_op)op);
    visor_hypervisor *hv;
    struct guest guest;
    char spec[96];
    int ret;

    config.irqchip = VISOR_IRQCHIP_KERNEL;
    snprintf(spec, sizeof(spec), "null[fail=%s,error=EBUSY,after=%u]", name, calls_to_create(op));
    if (!CHECK_OK(visor_hypervisor_open(&hv, spec)) || !guest_create_on(&guest, hv, &config))
        return;
    ret = calls[op](&guest);
    if (!CHECK_INT(ret, VISOR_EBUSY) || !CHECK_STR(visor_error_last()->operation, name))
        printf("# operation %s\n", name);

    /* Once it works again, so does the VM. */
    ((struct null_hv *)hv->priv)->fail = NULL_OP_COUNT;
    if (!CHECK_INT(calls[op](&guest), success_of(op)))
        printf("# operation %s, mended\n", name);
    guest_free(&guest);
}

TEST(every_operation_can_fail_and_work_again)
{
    int files;

    event = make_event();
    files = open_files();
    for (int op = 0; op < NULL_OP_COUNT; op++) {
        if (calls[op] != NULL)
            fail_and_mend(op);
    }
    CHECK_INT(open_files(), files);
    close_event(event);
}

TEST(a_guest_that_cannot_be_made_leaves_nothing_behind)
{
    const visor_memory_region ram[2] = {{.length = RAM_SIZE}, {.gpa = HOLE, .length = RAM_SIZE}};
    static const char *const specs[] = {
        "null[fail=vm.create,error=ENOMEM]",
        "null[fail=vm.map,error=ENOMEM]",
        "null[fail=vm.map,error=ENOMEM,after=1]",
    };
    visor_vm_config config = GUEST_CONFIG_INIT;
    visor_memory *memory;
    visor_hypervisor *hv;
    visor_vcpu *vcpu = NULL;
    visor_vm *vm = NULL;

    config.irqchip = VISOR_IRQCHIP_KERNEL;
    CHECK_INT(visor_hypervisor_open(&hv, "null[fail=hv.open,error=EACCESS]"), VISOR_EACCESS);
    REQUIRE_OK(visor_memory_create(&memory, ram, 2, NULL));
    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        REQUIRE_OK(visor_hypervisor_open(&hv, specs[i]));
        CHECK_INT(visor_vm_create(&vm, hv, memory, &config), VISOR_ENOMEM);
        CHECK(vm == NULL);
        CHECK_INT(atomic_load(&hv->refs), 1);
        visor_hypervisor_free(hv);
    }
    REQUIRE_OK(visor_hypervisor_open(&hv, "null[fail=vcpu.create,after=1]"));
    REQUIRE_OK(visor_vm_create(&vm, hv, memory, &config));
    REQUIRE_OK(visor_vcpu_create(&vcpu, vm, 1));
    visor_vcpu_free(vcpu);
    CHECK_INT(visor_vcpu_create(&vcpu, vm, 2), VISOR_EREFUSED);
    CHECK_INT(visor_vcpu_create(&vcpu, vm, 2), VISOR_EREFUSED); /* the id is not taken */
    CHECK_INT(atomic_load(&vm->refs), 1);
    visor_vm_free(vm);
    visor_memory_free(memory);
    visor_hypervisor_free(hv);
}

TEST(bad_orders_to_fail_are_refused)
{
    visor_hypervisor *hv;

    CHECK_INT(visor_hypervisor_open(&hv, "null[fail=vm.fly]"), VISOR_EINVAL);
    CHECK_INT(visor_hypervisor_open(&hv, "null[fail=vm.map,error=ENONSENSE]"), VISOR_EINVAL);
    CHECK_INT(visor_hypervisor_open(&hv, "null[fail=vm.map,after=soon]"), VISOR_EINVAL);
    CHECK_INT(visor_hypervisor_open(&hv, "null[device=/dev/null]"), VISOR_EINVAL);
}

/* A member that the contract gains must come to null, and to its fault injector, too. */
TEST(null_has_every_operation_of_the_contract)
{
    const size_t pointers =
        (sizeof(struct visor__hv_ops) + sizeof(struct visor__vm_ops) +
         sizeof(struct visor__vcpu_ops) + sizeof(struct visor__irq_ops) +
         sizeof(struct visor__io_event_ops) + sizeof(struct visor__coalesce_ops) +
         sizeof(struct visor__dirty_ops) + sizeof(struct visor__debug_ops) +
         sizeof(struct visor__clock_ops) + sizeof(struct visor__x86_ops)) /
        sizeof(void (*)(void));
    visor_hypervisor *hv;

    REQUIRE_OK(visor_hypervisor_open(&hv, "null"));
#define CHECK_PRESENT(table, member) CHECK(hv->backend->table->member != NULL);
    NULL_OPS(CHECK_PRESENT)
#undef CHECK_PRESENT
    /* hv.close, hv.cap, vm.destroy, vm.cap, vm.hold_time, vcpu.destroy and vcpu.kick cannot fail.
     * vm.seal, vcpu.reset, irq.get_regs and irq.set_regs are for guests that null does not run. */
    CHECK_INT(pointers, NULL_OP_COUNT + 7 + 4);
    visor_hypervisor_free(hv);
}

UNIT_MAIN()
