/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/device.h"

#include <stdarg.h>
#include <stdio.h>

int vmm_fail(vmm_error *error, int code, const char *format, ...)
{
    va_list args;

    if (error) {
        va_start(args, format);
        vsnprintf(error->text, sizeof(error->text), format, args);
        va_end(args);
    }
    return code;
}

int vmm_fail_visor(vmm_error *error, int code, const char *what)
{
    char text[300];

    visor_error_format(text, sizeof(text));
    return vmm_fail(error, code, "%s: %s", what, text);
}

void vmm_log(const vmm_host *host, const char *format, ...)
{
    char line[300];
    va_list args;

    if (!host->log)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    host->log(host->log_context, line);
}

int vmm_map_io(const vmm_host *host, visor_space space, uint64_t address, uint64_t length,
               visor_io_handler handler, void *context, const char *what, vmm_error *error)
{
    visor_io_range range = VISOR_IO_RANGE_INIT;
    int result;

    range.space = space;
    range.address = address;
    range.length = length;
    range.handler = handler;
    range.context = context;
    result = host->map_io(host->context, &range);
    return result < 0 ? vmm_fail_visor(error, result, what) : 0;
}

static int vm_map_io(void *context, const visor_io_range *range)
{
    return visor_vm_map_io(context, range);
}

static int vm_set_irq(void *context, uint32_t gsi, bool level)
{
    return visor_vm_set_irq(context, gsi, level);
}

static int vm_send_msi(void *context, const visor_msi *msi)
{
    return visor_vm_send_msi(context, msi);
}

static int vm_add_io_event(void *context, const visor_io_event *io_event)
{
    return visor_vm_add_io_event(context, io_event);
}

static int vm_remove_io_event(void *context, const visor_io_event *io_event)
{
    return visor_vm_remove_io_event(context, io_event);
}

void vmm_host_from_vm(vmm_host *out, visor_vm *vm)
{
    *out = (vmm_host){
        .context = vm,
        .memory = visor_vm_memory(vm),
        .map_io = vm_map_io,
        .set_irq = vm_set_irq,
        .irq_context = vm,
        .send_msi = vm_send_msi,
    };
    if (visor_vm_cap(vm, VISOR_CAP_IO_EVENTS) > 0) {
        out->add_io_event = vm_add_io_event;
        out->remove_io_event = vm_remove_io_event;
    }
}
