/* SPDX-License-Identifier: BSD-3-Clause */
#include "machine/lines.h"

#include "os/os.h"

int lines_create(struct lines *out, visor_vm *vm, const uint32_t *gsis, size_t count,
                 vmm_error *error)
{
    *out = (struct lines){.vm = vm};
    if (count > LINES_MAX)
        return vmm_fail(error, VISOR_ELIMIT, "%zu interrupt lines are too many", count);
    for (size_t i = 0; i < count; i++) {
        visor_event event;
        int code = vmm_event_create(&event, error);

        if (code < 0)
            return code;
        code = visor_vm_add_irq_event(vm, gsis[i], event, VISOR_EVENT_NONE);
        if (code < 0) {
            vmm_event_free(event);
            return vmm_fail_visor(error, code, "cannot connect an interrupt");
        }
        out->line[i].gsi = gsis[i];
        out->line[i].event = event;
        out->count++;
    }
    return 0;
}

void lines_free(struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++) {
        (void)visor_vm_remove_irq_event(lines->vm, lines->line[i].gsi, lines->line[i].event);
        vmm_event_free(lines->line[i].event);
    }
}

/* Devices tell of every rise, not of the level that it comes to with others on the same line: one
 * that comes while the line is high would otherwise be lost. */
int lines_set_irq(void *context, uint32_t gsi, bool level)
{
    struct lines *lines = context;

    for (size_t i = 0; i < lines->count && level; i++) {
        if (lines->line[i].gsi == gsi)
            vmm_event_signal(lines->line[i].event);
    }
    return 0;
}
