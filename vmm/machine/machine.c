/* SPDX-License-Identifier: BSD-3-Clause */
/* What a machine is on every architecture. */
#include "machine/board.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the end ---- */

void machine_end(struct machine *machine, enum machine_end end, const char *why)
{
    bool first;

    pthread_mutex_lock(&machine->lock);
    first = machine->end == MACHINE_RUNNING;
    if (first) {
        machine->end = end;
        snprintf(machine->why.text, sizeof(machine->why.text), "%s", why != NULL ? why : "");
        pthread_cond_broadcast(&machine->changed);
    }
    pthread_mutex_unlock(&machine->lock);
    if (!first)
        return;
    atomic_store(&machine->ending, true);
    for (uint32_t i = 0; i < machine->config.vcpu_count; i++) {
        if (machine->cpus[i].vcpu != NULL)
            visor_vcpu_kick(machine->cpus[i].vcpu);
    }
    if (machine->config.ended != NULL)
        machine->config.ended(machine->config.context);
}

void machine_stop(struct machine *machine)
{
    machine_end(machine, MACHINE_STOPPED, NULL);
}

/* vmm_host.request */
static void on_request(void *context, vmm_request request)
{
    switch (request) {
    case VMM_REQUEST_POWEROFF: machine_end(context, MACHINE_POWEROFF, NULL); break;
    case VMM_REQUEST_RESET: machine_end(context, MACHINE_RESET, NULL); break;
    case VMM_REQUEST_PANIC: machine_end(context, MACHINE_PANICKED, "the guest panicked"); break;
    }
}

/* vmm_host.exit */
static void on_guest_exit(void *context, uint32_t status)
{
    struct machine *machine = context;

    pthread_mutex_lock(&machine->lock);
    if (machine->end == MACHINE_RUNNING)
        machine->exit_status = status;
    pthread_mutex_unlock(&machine->lock);
    machine_end(machine, MACHINE_EXITED, NULL);
}

#define LOG_LINES_MAX 100

/* vmm_host.log: much of it is the guest's doing, which must not fill the log of the host. */
static void on_log(void *context, const char *line)
{
    struct machine *machine = context;
    unsigned int number = atomic_fetch_add(&machine->log_lines, 1);

    if (machine->config.log == NULL || number > LOG_LINES_MAX)
        return;
    machine->config.log(machine->config.context,
                        number < LOG_LINES_MAX ? line : "no more messages of devices are shown");
}

/* ---- virtual processors ---- */

static void end_with(struct machine *machine, enum machine_end end, visor_vcpu *vcpu,
                     const char *text)
{
    char why[256];

    snprintf(why, sizeof(why), "vCPU %" PRIu32 ": %s", visor_vcpu_id(vcpu), text);
    machine_end(machine, end, why);
}

/* An access that no device claimed: reads as ones, like a bus that nothing drives. */
static void float_bus(visor_io *io)
{
    if (!io->is_write)
        visor_io_set_value(io, UINT64_MAX);
}

static void on_system_event(struct machine *machine, visor_vcpu *vcpu, const visor_exit *exit)
{
    switch (exit->system.type) {
    case VISOR_SYSTEM_SHUTDOWN: machine_end(machine, MACHINE_POWEROFF, NULL); break;
    case VISOR_SYSTEM_RESET: machine_end(machine, MACHINE_RESET, NULL); break;
    case VISOR_SYSTEM_CRASH: end_with(machine, MACHINE_PANICKED, vcpu, "guest crash"); break;
    default: break; /* wake-up, suspend: nothing that this machine has */
    }
}

static void on_exit_reason(struct machine *machine, visor_vcpu *vcpu, int reason)
{
    visor_exit *exit = visor_vcpu_exit(vcpu);
    char text[200];

    switch (reason) {
    case VISOR_EXIT_IO:
    case VISOR_EXIT_MMIO: float_bus(&exit->io); break;
    case VISOR_EXIT_SYSTEM_EVENT: on_system_event(machine, vcpu, exit); break;
    case VISOR_EXIT_SHUTDOWN: end_with(machine, MACHINE_CRASHED, vcpu, "triple fault"); break;
    case VISOR_EXIT_INTERNAL_ERROR:
        snprintf(text, sizeof(text), "%s: %s (%" PRIu32 ")", visor_exit_text(reason),
                 exit->internal.text, exit->internal.suberror);
        end_with(machine, MACHINE_CRASHED, vcpu, text);
        break;
    case VISOR_EXIT_FAIL_ENTRY:
        snprintf(text, sizeof(text), "%s, reason 0x%" PRIx64, visor_exit_text(reason),
                 exit->fail_entry.reason);
        end_with(machine, MACHINE_CRASHED, vcpu, text);
        break;
    case VISOR_EXIT_MEMORY_FAULT:
        snprintf(text, sizeof(text), "%s at 0x%" PRIx64, visor_exit_text(reason),
                 exit->memory_fault.gpa);
        end_with(machine, MACHINE_CRASHED, vcpu, text);
        break;
    case VISOR_EXIT_EXCEPTION:
    case VISOR_EXIT_UNKNOWN:
        snprintf(text, sizeof(text), "%s (%" PRIu32 ")", visor_exit_text(reason), exit->raw);
        end_with(machine, MACHINE_CRASHED, vcpu, text);
        break;
    default: break; /* kicked, interrupted, or answered with the default that is filled in */
    }
}

static void *run_cpu(void *argument)
{
    struct machine_cpu *cpu = argument;
    struct machine *machine = cpu->machine;

    while (!atomic_load(&machine->ending)) {
        int reason = visor_vcpu_run(cpu->vcpu);
        char text[200];

        if (reason < 0) {
            visor_error_format(text, sizeof(text));
            end_with(machine, MACHINE_FAILED, cpu->vcpu, text);
            break;
        }
        if (atomic_exchange(&cpu->was_paused, false))
            visor_vcpu_paused(cpu->vcpu);
        on_exit_reason(machine, cpu->vcpu, reason);
    }
    return NULL;
}

void machine_paused(struct machine *machine)
{
    for (uint32_t i = 0; i < machine->config.vcpu_count; i++) {
        atomic_store(&machine->cpus[i].was_paused, true);
        visor_vcpu_kick(machine->cpus[i].vcpu);
    }
}

int machine_start(struct machine *machine, vmm_error *error)
{
    for (uint32_t i = 0; i < machine->config.vcpu_count; i++) {
        struct machine_cpu *cpu = &machine->cpus[i];
        int code = vmm_thread_start(&cpu->thread, run_cpu, cpu, error);

        if (code != 0) {
            machine_stop(machine);
            machine_join(machine, NULL);
            return code;
        }
        cpu->started = true;
    }
    return 0;
}

enum machine_end machine_join(struct machine *machine, vmm_error *why)
{
    pthread_mutex_lock(&machine->lock);
    while (machine->end == MACHINE_RUNNING)
        pthread_cond_wait(&machine->changed, &machine->lock);
    pthread_mutex_unlock(&machine->lock);
    /* A vCPU may be waiting for a terminal that takes no output. */
    for (size_t i = 0; i < MACHINE_PORTS; i++) {
        if (machine->serial[i] != NULL)
            serial_stop(machine->serial[i]);
    }
    for (uint32_t i = 0; i < machine->config.vcpu_count; i++) {
        if (machine->cpus[i].started)
            pthread_join(machine->cpus[i].thread, NULL);
        machine->cpus[i].started = false;
    }
    if (why != NULL)
        *why = machine->why;
    return machine->end;
}

uint32_t machine_exit_status(const struct machine *machine)
{
    return machine->exit_status;
}

int machine_power_button(struct machine *machine)
{
    if (machine->board->power_button == NULL)
        return VISOR_EUNSUPPORTED;
    return machine->board->power_button(machine) ? 0 : VISOR_ESTATE;
}

const void *machine_tree(size_t *size, const struct machine *machine)
{
    *size = machine->tree_size;
    return machine->tree;
}

serial *machine_serial_port(struct machine *machine, size_t n)
{
    return n < MACHINE_PORTS ? machine->serial[n] : NULL;
}

/* ---- putting it together ---- */

static const struct machine_board *find_board(visor_hypervisor *hv)
{
    for (size_t i = 0; machine_boards[i] != NULL; i++) {
        if (visor_hypervisor_has_arch(hv, machine_boards[i]->arch))
            return machine_boards[i];
    }
    return NULL;
}

void machine_limits(uint32_t *vcpus, uint64_t *memory, visor_hypervisor *hv)
{
    const struct machine_board *board = find_board(hv);
    int64_t cap = visor_hypervisor_cap(hv, VISOR_CAP_MAX_VCPUS);
    int64_t bits = visor_hypervisor_cap(hv, VISOR_CAP_GPA_BITS);

    *vcpus = board != NULL ? board->max_vcpus : 0;
    if (cap > 0 && cap < *vcpus)
        *vcpus = (uint32_t)cap;
    *memory = board != NULL ? board->max_memory(bits > 0 ? (unsigned int)bits : 36) : 0;
}

static int make_vm(struct machine *machine, vmm_error *error)
{
    visor_memory_region regions[MACHINE_REGIONS] = {{0}};
    uint64_t mib = machine->config.memory_size >> 20;
    size_t count = machine->board->regions(regions, machine->config.memory_size);
    visor_vm_config config = machine->board->vm;
    char what[80];
    int code;

    config.protection = machine->config.protection;
    if (config.protection != VISOR_UNPROTECTED)
        count = machine->board->protect(regions, count, &machine->config);
    else if (machine->config.firmware != NULL)
        count = machine->board->add_firmware(regions, count, machine->config.firmware->size);
    code = visor_memory_create(&machine->memory, regions, count, NULL);
    if (code < 0) {
        snprintf(what, sizeof(what), "cannot get %" PRIu64 " MiB of memory for the guest", mib);
        return vmm_fail_visor(error, code, what);
    }
    code = visor_vm_create(&machine->vm, machine->hv, machine->memory, &config);
    if (code < 0)
        return vmm_fail_visor(error, code, "cannot create a VM");
    return 0;
}

static int add_virtio(struct machine *machine, virtio_device *device, vmm_error *error)
{
    virtio_pci **slot = &machine->virtio[machine->virtio_count];
    int code = virtio_pci_create(slot, &machine->host, machine->pci, device, error);

    if (code == 0)
        machine->virtio_count++;
    return code;
}

static int add_virtio_devices(struct machine *machine, vmm_error *error)
{
    virtio_device *device;
    int code;

    for (size_t i = 0; i < machine->config.disk_count; i++) {
        code = virtio_blk_create(&device, &machine->host, &machine->config.disks[i], error);
        if (code == 0)
            code = add_virtio(machine, device, error);
        if (code != 0)
            return code;
    }
    if (!machine->config.entropy)
        return 0;
    code = virtio_rng_create(&device, &machine->host, error);
    return code == 0 ? add_virtio(machine, device, error) : code;
}

static int make_vcpus(struct machine *machine, vmm_error *error)
{
    const struct machine_board *board = machine->board;
    char what[48];
    int code;

    for (uint32_t i = 0; i < machine->config.vcpu_count; i++) {
        struct machine_cpu *cpu = &machine->cpus[i];

        cpu->machine = machine;
        code = visor_vcpu_create(&cpu->vcpu, machine->vm, i);
        if (code < 0) {
            snprintf(what, sizeof(what), "cannot create vCPU %" PRIu32, i);
            return vmm_fail_visor(error, code, what);
        }
        code = board->init_vcpu != NULL ? board->init_vcpu(machine, cpu->vcpu, error) : 0;
        if (code != 0)
            return code;
    }
    code = visor_vm_seal(machine->vm);
    return code < 0 ? vmm_fail_visor(error, code, "cannot complete the VM") : 0;
}

static int load_kernel(struct machine *machine, vmm_error *error)
{
    const struct boot_image *kernel = machine->config.kernel;
    struct boot_image unpacked = {0};
    int code;

    if (machine->config.firmware != NULL && machine->config.protection == VISOR_UNPROTECTED)
        return machine->board->load(machine, kernel, error);
    code = boot_unpack(&unpacked, kernel, machine->config.memory_size, error);
    if (code >= 0)
        code = machine->board->load(machine, code != 0 ? &unpacked : kernel, error);
    boot_image_close(&unpacked);
    return code;
}

static int check_protection(const struct machine_board *board, visor_hypervisor *hv,
                            const struct machine_config *config, vmm_error *error)
{
    const char *name = visor_hypervisor_backend(hv);

    if (board->protect == NULL)
        return vmm_fail(error, VISOR_EINVAL, "a machine of %s cannot be protected",
                        visor_arch_name(board->arch));
    if (visor_hypervisor_cap(hv, VISOR_CAP_PROTECTED) <= 0)
        return vmm_fail(error, VISOR_EUNSUPPORTED, "%s protects no VMs here", name);
    /* Elsewhere the guest shares what it likes when it runs, and the host is not told what. */
    if (visor_hypervisor_cap(hv, VISOR_CAP_SWIOTLB_REGION) <= 0)
        return vmm_fail(error, VISOR_EUNSUPPORTED,
                        "%s has no memory that a protected VM shares from its start, which "
                        "devices need",
                        name);
    if (config->bounce_size >= config->memory_size)
        return vmm_fail(error, VISOR_EINVAL, "the bounce buffer leaves the guest no memory");
    return 0;
}

/* What only a PC has. */
static int check_board(const struct machine_board *board, const struct machine_config *config,
                       vmm_error *error)
{
    const char *what = NULL;

    if (board->add_firmware != NULL)
        return config->firmware != NULL ? board->check_firmware(config->firmware, error) : 0;
    if (config->firmware != NULL && config->protection == VISOR_UNPROTECTED)
        what = "firmware";
    if (config->debug_exit)
        what = "debug exit";
    if (config->guest_time)
        what = "clocks of its own";
    if (config->module_count != 0)
        what = "multiboot modules";
    for (size_t i = MACHINE_SERIAL_PORTS; i < MACHINE_PORTS; i++) {
        if (config->serial[i].present)
            what = "debug console";
    }
    if (what == NULL)
        return 0;
    return vmm_fail(error, VISOR_EINVAL, "a machine of %s has no %s: that is for PCs",
                    visor_arch_name(board->arch), what);
}

int machine_create(struct machine **out, visor_hypervisor *hv, const struct machine_config *config,
                   vmm_error *error)
{
    const struct machine_board *board = find_board(hv);
    struct machine *machine;
    int code;

    if (board == NULL)
        return vmm_fail(error, VISOR_EUNSUPPORTED,
                        "%s runs no guests of an architecture that there is a machine for",
                        visor_hypervisor_backend(hv));
    code = config->protection != VISOR_UNPROTECTED ? check_protection(board, hv, config, error) : 0;
    if (code == 0)
        code = check_board(board, config, error);
    if (code != 0)
        return code;
    machine = calloc(1, sizeof(*machine));
    if (machine == NULL)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    machine->board = board;
    machine->config = *config;
    machine->hv = hv;
    pthread_mutex_init(&machine->lock, NULL);
    pthread_cond_init(&machine->changed, NULL);
    machine->cpus = calloc(config->vcpu_count, sizeof(*machine->cpus));
    code = machine->cpus != NULL ? 0 : vmm_fail(error, VISOR_ENOMEM, "out of memory");
    if (code == 0)
        code = make_vm(machine, error);
    if (code == 0) {
        vmm_host_from_vm(&machine->host, machine->vm);
        machine->host.bounce_only = config->protection != VISOR_UNPROTECTED;
        machine->host.request = on_request;
        machine->host.exit = on_guest_exit;
        machine->host.request_context = machine;
        machine->host.log = on_log;
        machine->host.log_context = machine;
        code = board->add_devices(machine, error);
    }
    if (code == 0)
        code = add_virtio_devices(machine, error);
    if (code == 0)
        code = make_vcpus(machine, error);
    if (code == 0)
        code = load_kernel(machine, error);
    if (code == 0)
        code = board->enter(machine, machine->cpus[0].vcpu, error);
    if (code != 0) {
        machine_free(machine);
        return code;
    }
    *out = machine;
    return 0;
}

void machine_free(struct machine *machine)
{
    if (machine == NULL)
        return;
    for (uint32_t i = 0; machine->cpus != NULL && i < machine->config.vcpu_count; i++)
        visor_vcpu_free(machine->cpus[i].vcpu);
    for (size_t i = 0; i < machine->virtio_count; i++)
        virtio_pci_free(machine->virtio[i]);
    for (size_t i = 0; i < MACHINE_PORTS; i++)
        serial_free(machine->serial[i]);
    machine->board->free_devices(machine);
    pci_bus_free(machine->pci);
    visor_vm_free(machine->vm);
    visor_memory_free(machine->memory);
    free(machine->tree);
    free(machine->cpus);
    pthread_cond_destroy(&machine->changed);
    pthread_mutex_destroy(&machine->lock);
    free(machine);
}
